"""HTTP messages: only whole ones are accepted, however they arrive, and none that two readers could read
differently."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.kit.charset import GBK, UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.http import (
    HEAD_BYTES_MAX,
    HttpAnswer,
    HttpAnswers,
    HttpRequests,
    answer,
    expect_status,
    form,
    parse_answer,
    parse_form,
    parse_request,
    request,
)

BODY = "<a>货款</a>".encode("gbk")
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-A: 1\r\nx-a: 2\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"4\r\n" + BODY[:4] + b"\r\n07;name=x\r\n" + BODY[4:] + b"\r\n0\r\nTrailer: 1\r\n\r\n"
)
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
UNTIL_EOF = b"HTTP/1.0 200 OK\r\nServer: fep\r\n\r\n" + BODY


@pytest.mark.parametrize("wire", [PLAIN, CHUNKED, EMPTY, CONTINUE + PLAIN])
def test_every_split_position(wire: bytes) -> None:
    assert len(BODY) == 11
    expected = wire.removeprefix(CONTINUE)
    for at in range(len(wire) + 1):
        cutter = HttpAnswers().cutter(100)
        assert cutter.feed(wire[:at]) + cutter.feed(wire[at:]) == [expected]
        assert cutter.end() == []
        if 0 < at < len(wire) and wire[:at] != CONTINUE:
            half = HttpAnswers().cutter(100)
            assert half.feed(wire[:at]) == []
            with pytest.raises(ProtocolError, match="truncated"):
                half.end()


def test_byte_by_byte_and_several_in_one_piece() -> None:
    cutter = HttpAnswers().cutter(100)
    frames = [frame for byte in PLAIN + CHUNKED + EMPTY + PLAIN for frame in cutter.feed(bytes([byte]))]
    assert frames == [PLAIN, CHUNKED, EMPTY, PLAIN]
    assert HttpAnswers().cutter(100).feed(PLAIN + CHUNKED + PLAIN[:30]) == [PLAIN, CHUNKED]


def test_parsing() -> None:
    got = parse_answer(PLAIN)
    assert got == HttpAnswer(200, {"content-length": "11", "x-a": "1, 2"}, BODY)
    assert parse_answer(CHUNKED).body == BODY
    assert parse_answer(EMPTY) == HttpAnswer(204, {}, b"")
    assert expect_status(got) == BODY
    with pytest.raises(ProtocolError, match="500"):
        expect_status(parse_answer(b"HTTP/1.1 500\r\nContent-Length: 0\r\n\r\n"))


def test_until_eof() -> None:
    cutter = HttpAnswers().cutter(100)
    assert cutter.feed(UNTIL_EOF[:10]) + cutter.feed(UNTIL_EOF[10:]) == []
    assert cutter.end() == [UNTIL_EOF]
    assert parse_answer(UNTIL_EOF).body == BODY
    cut = HttpAnswers().cutter(100)
    cut.feed(UNTIL_EOF[:20])
    with pytest.raises(ProtocolError, match="truncated"):
        cut.end()
    with pytest.raises(ProtocolError, match="frame_too_long"):
        HttpAnswers().cutter(10).feed(UNTIL_EOF)


def test_requests_as_we_write_them_and_a_bank_reads_them() -> None:
    wire = request("POST", "/eweb/b2e?x=1", "127.0.0.1:8007", [("Content-Type", "application/x-fox")], BODY)
    assert wire == (
        b"POST /eweb/b2e?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8007\r\nContent-Type: application/x-fox\r\n"
        b"Content-Length: 11\r\n\r\n" + BODY
    )
    get = request("GET", "/a", "h")
    assert get == b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    cutter = HttpRequests().cutter(100)
    frames = [frame for byte in wire + get for frame in cutter.feed(bytes([byte]))]
    assert frames == [wire, get]
    read = parse_request(wire)
    assert (read.method, read.target, read.body) == ("POST", "/eweb/b2e?x=1", BODY)
    assert read.headers["content-type"] == "application/x-fox"


def test_answers_as_a_simulated_bank_writes_them() -> None:
    assert parse_answer(answer(200, [("X", "y")], BODY)) == HttpAnswer(200, {"x": "y", "content-length": "11"}, BODY)
    assert HttpAnswers().cutter(100).feed(answer(204)) == [answer(204)]


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "wire",
    [
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n",
        HEAD + b"Content-Length: 3, 3\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: +1\r\n\r\n",
        HEAD + b"Content-Length: 0x1\r\n\r\n",
        HEAD + b"Content-Length: 1_0\r\n\r\n",
        HEAD + b"Content-Length: \xb2\r\n\r\n",
        HEAD + b"Content-Length:\r\n\r\n",
        HEAD + b"Content-Length: 9999999999999999999\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Content-Length : 3\r\n\r\n",
        HEAD + b" folded: 3\r\n\r\n",
        HEAD + b"no colon\r\n\r\n",
        HEAD + b"X: a\x00b\r\n\r\n",
        HEAD + b"X: a\rb\r\n\r\n",
        HEAD + b"X: a\nContent-Length: 3\r\n\r\n",
        HEAD + b"X: 1\r\n" * 100 + b"\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 300,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n000000001\r\n",
        HEAD + b"X: " + b"x" * HEAD_BYTES_MAX,
        b"x" * (HEAD_BYTES_MAX + 1),
    ],
)
def test_refused_for_good(wire: bytes) -> None:
    cutter = HttpAnswers().cutter(1_000)
    with pytest.raises(ProtocolError, match="http"):
        cutter.feed(wire)
    with pytest.raises(ProtocolError, match="http"):
        cutter.feed(PLAIN)
    with pytest.raises(ProtocolError, match="http"):
        cutter.end()


@pytest.mark.parametrize(
    "wire",
    [
        HEAD + b"Content-Length: 101\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n65\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n40\r\n" + b"x" * 64 + b"\r\n40\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n",
    ],
)
def test_too_long_is_refused_before_it_comes(wire: bytes) -> None:
    with pytest.raises(ProtocolError, match="frame_too_long"):
        HttpAnswers().cutter(100).feed(wire)


def test_endless_trailers_are_refused() -> None:
    cutter = HttpAnswers().cutter(100)
    cutter.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
    trailers = b"A: b\r\n" * 3_000
    assert cutter.feed(trailers[:6]) == []
    with pytest.raises(ProtocolError, match="frame_too_long"):
        cutter.feed(trailers)


@pytest.mark.parametrize(
    "made",
    [
        lambda: request("POST", "/a b", "h"),
        lambda: request("POST", "/a\r\nX: y", "h"),
        lambda: request("POST", "", "h"),
        lambda: request("PO ST", "/", "h"),
        lambda: request("HEAD", "/", "h"),
        lambda: request("POST", "/", "h\r\nX: y"),
        lambda: request("POST", "/", "h", [("X\r\n", "y")]),
        lambda: request("POST", "/", "h", [("X", "y\nz")]),
        lambda: request("POST", "/", "h", [("X", "货")]),
    ],
)
def test_nothing_we_send_can_break_a_line(made: object) -> None:
    assert callable(made)
    with pytest.raises(ProtocolError, match="http"):
        made()


@given(st.lists(st.sampled_from([HEAD, b"\r\n", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"3", b"abc"])))
def test_garbage_is_refused_or_waited_for_never_worse(pieces: list[bytes]) -> None:
    for framing, parse in ((HttpAnswers(), parse_answer), (HttpRequests(), parse_request)):
        cutter = framing.cutter(100)
        try:
            frames = [frame for piece in pieces for frame in cutter.feed(piece)] + cutter.end()
            for frame in frames:
                parse(frame)
        except ProtocolError:
            pass


@pytest.mark.parametrize("frame", [b"", b"HTTP/1.1 200 OK\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_no_answer(frame: bytes) -> None:
    with pytest.raises(ProtocolError, match="http"):
        parse_answer(frame)


def test_forms_in_gbk() -> None:
    data = form([("Version", "0.0.0.1"), ("reqData", '<a b="c">货款 & +</a>')], GBK)
    assert data.startswith(b"Version=0.0.0.1&reqData=%3Ca+b%3D%22c%22%3E%BB%F5%BF%EE+%26+%2B")
    assert parse_form(data, GBK) == {"Version": "0.0.0.1", "reqData": '<a b="c">货款 & +</a>'}
    assert form([("a", "货")], UTF8) == b"a=%E8%B4%A7"
    assert parse_form(b"", GBK) == {}
    assert parse_form(b"a", GBK) == {"a": ""}
    with pytest.raises(ProtocolError, match="ambiguous"):
        parse_form(b"a=1&a=2", GBK)
    with pytest.raises(ProtocolError, match="unencodable"):
        form([("a", "䶮")], GBK)
