"""The exchange with a sign port: its result, and every answer that cannot be used."""

from __future__ import annotations

import base64

import pytest

from protocols.bank import Ask
from protocols.kit import http
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.sign_port import decoded, element, result_of, signed

CONTENT = b"<body>1</body>"


def page(result: bytes, sign: bytes) -> bytes:
    return http.answer(200, (), b"<html><result>%b</result><sign>%b</sign></html>" % (result, sign))


def played(answer: bytes, *, check_content: bool = True) -> bytes:
    hop = signed(b"request", CONTENT, check_content=check_content)
    assert next(hop) == Ask("sign", b"request")
    with pytest.raises(StopIteration) as done:
        hop.send(answer)
    signature = done.value.value
    assert isinstance(signature, bytes)
    return signature


def test_a_signature_that_contains_the_message_comes_back_without_line_ends() -> None:
    sealed = base64.encodebytes(b"--" + CONTENT * 9 + b"--")
    assert b"\n" in sealed.strip()
    assert played(page(b" 0 ", sealed)) == sealed.replace(b"\n", b"")


def test_only_where_the_bank_says_so_may_the_content_be_another() -> None:
    other = base64.b64encode(b"another payment")
    assert played(page(b"0", other), check_content=False) == other


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (page(b"-1", b""), "-1"),
        (page(b"0", base64.b64encode(b"another payment")), "signature"),
        (page(b"0", b"?"), "value"),
        (page(b"0", b""), "value"),
        (http.answer(200, (), b"<sign>x</sign>"), "missing"),
        (http.answer(200, (), b"<result>0</result>"), "missing"),
        (http.answer(200, (), b"<result>0</result><result>0</result>"), "ambiguous"),
        (http.answer(500, (), b""), "http"),
        (b"no answer", "http"),
    ],
)
def test_nothing_was_sent_when_the_port_is_of_no_use(answer: bytes, code: str) -> None:
    hop = signed(b"request", CONTENT)
    next(hop)
    with pytest.raises(Declined) as caught:
        hop.send(answer)
    assert (caught.value.code, caught.value.outcome) == (code, "retry")


def test_parts() -> None:
    assert result_of(page(b" 7 ", b"x"))[0] == "7"
    assert element(b"<sic><a>1</a></sic>", "sic") == b"<a>1</a>"
    for odd in (b"<sic>1</sic></sic>", b"</sic>1<sic>", b"<sic>1"):
        with pytest.raises(ProtocolError) as caught:
            element(odd, "sic")
        assert caught.value.reason == "ambiguous"
    assert decoded(base64.b64encode(b"x")) == b"x"
    for bad in (b"", b"e A==", b"\xff"):
        with pytest.raises(ProtocolError):
            decoded(bad)
