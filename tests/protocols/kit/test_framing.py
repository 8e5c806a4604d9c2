"""Frames come out whole however the bytes arrive, and are refused beyond their limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.kit.errors import ProtocolError
from protocols.kit.framing import FixedHeader, Framing, LengthPrefix, UntilEof

EIGHT = LengthPrefix(8)
SPDB = LengthPrefix(6, counts_self=True)
LEFT = LengthPrefix(6, counts_self=True, pad=" ", align="left")
FLAGGED = LengthPrefix(6, pad=" ", align="left", flag=b"0", flags_read=(b"0", b"1"))
HEADER = FixedHeader(20, (5, 15))
LENGTH_FRAMINGS = [EIGHT, SPDB, LEFT, FLAGGED, LengthPrefix(10), LengthPrefix(4, pad=" ")]


def whole(framing: Framing, body: bytes) -> bytes:
    return b"H" * 20 + body if isinstance(framing, FixedHeader) else body


@given(
    framing=st.sampled_from([*LENGTH_FRAMINGS, HEADER]),
    bodies=st.lists(st.binary(max_size=40), max_size=4),
    data=st.data(),
)
def test_any_cutting_of_the_stream_gives_the_same_frames(
    framing: Framing, bodies: list[bytes], data: st.DataObject
) -> None:
    wire = b"".join(framing.wrap(whole(framing, body)) for body in bodies)
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=8).map(sorted))
    cutter = framing.cutter(1_000)
    frames: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        frames += cutter.feed(wire[start:end])
    frames += cutter.end()
    skipped = 20 if framing is HEADER else 0
    assert [frame[skipped:] for frame in frames] == bodies


@pytest.mark.parametrize("framing", [*LENGTH_FRAMINGS, HEADER])
def test_every_split_position_and_every_cut(framing: Framing) -> None:
    wire = framing.wrap(whole(framing, "货款".encode("gbk"))) + framing.wrap(whole(framing, b""))
    expected = framing.cutter(100).feed(wire)
    assert len(expected) == 2
    first = len(framing.wrap(whole(framing, "货款".encode("gbk"))))
    for at in range(len(wire) + 1):
        cutter = framing.cutter(100)
        assert cutter.feed(wire[:at]) + cutter.feed(wire[at:]) == expected
        assert cutter.end() == []
        cut = framing.cutter(100)
        cut.feed(wire[:at])
        if at in (0, first, len(wire)):
            assert cut.end() == []
        else:
            with pytest.raises(ProtocolError, match="truncated"):
                cut.end()


def test_what_we_write() -> None:
    assert EIGHT.wrap(b"abc") == b"00000003abc"
    assert SPDB.wrap(b"abc") == b"000009abc"
    assert LEFT.wrap(b"abc") == b"9     abc"
    assert FLAGGED.wrap(b"abc") == b"03     abc"
    assert LengthPrefix(4, pad=" ").wrap(b"abc") == b"   3abc"
    assert HEADER.wrap(b"H" * 20 + b"abc") == b"HHHHH0000000003HHHHHabc"


@pytest.mark.parametrize("written", [b"9     ", b"     9", b"000009", b"  9   "])
def test_either_padding_is_understood(written: bytes) -> None:
    assert SPDB.cutter(100).feed(written + b"abc") == [b"abc"]
    assert LEFT.cutter(100).feed(written + b"abc") == [b"abc"]


def test_the_flag_of_an_answer_may_differ_within_the_list() -> None:
    assert FLAGGED.cutter(100).feed(b"13     abc") == [b"abc"]
    with pytest.raises(ProtocolError, match="frame_length"):
        FLAGGED.cutter(100).feed(b"23     abc")


@pytest.mark.parametrize(
    "prefix",
    [
        b"     -1 ",
        b"+0000009",
        b"0x000009",
        b"1e3     ",
        b"        ",
        b"12 34   ",
        b"\x00\x00\x00\x00\x00\x00\x009",
        "１２".encode() + b"  ",
        b"<?xml ve",
    ],
)
def test_garbage_is_no_length_and_stays_refused(prefix: bytes) -> None:
    cutter = EIGHT.cutter(100)
    with pytest.raises(ProtocolError, match="frame_length"):
        cutter.feed(prefix[:8])
    with pytest.raises(ProtocolError, match="frame_length"):
        cutter.feed(b"00000001x")
    with pytest.raises(ProtocolError, match="frame_length"):
        cutter.end()


def test_a_length_shorter_than_its_own_prefix() -> None:
    with pytest.raises(ProtocolError, match="frame_length"):
        SPDB.cutter(100).feed(b"000005")


def test_too_long_is_refused_at_the_length_before_the_bytes_come() -> None:
    for framing, head in ((EIGHT, b"00000101"), (SPDB, b"000107"), (HEADER, b"HHHHH0000000081HHHHH")):
        with pytest.raises(ProtocolError, match="frame_too_long"):
            framing.cutter(100).feed(head)
    assert EIGHT.cutter(100).feed(b"00000100" + b"x" * 100) == [b"x" * 100]
    assert len(HEADER.cutter(100).feed(b"HHHHH0000000080HHHHH" + b"x" * 80)[0]) == 100


def test_a_body_longer_than_the_field_can_say() -> None:
    with pytest.raises(ProtocolError, match="frame_too_long"):
        LengthPrefix(2).wrap(b"x" * 100)
    with pytest.raises(ProtocolError, match="frame_too_long"):
        FixedHeader(4, (0, 2)).wrap(b"hhhh" + b"x" * 100)
    with pytest.raises(ProtocolError, match="frame_length"):
        HEADER.wrap(b"short")


def test_a_header_with_further_parts_counts_them_all() -> None:
    framing = FixedHeader(10, (0, 4), more_lengths_at=((4, 8),))
    frame = b"0003   2__abcSS"
    assert framing.wrap(frame) == frame
    assert framing.cutter(100).feed(frame + frame[:5]) == [frame]
    with pytest.raises(ProtocolError, match="frame_length"):
        framing.wrap(frame + b"S")


def test_until_eof() -> None:
    cutter = UntilEof().cutter(10)
    assert cutter.feed(b"abc") == []
    assert cutter.feed(b"def") == []
    assert cutter.end() == [b"abcdef"]
    assert UntilEof().cutter(10).end() == []
    with pytest.raises(ProtocolError, match="frame_too_long"):
        UntilEof().cutter(10).feed(b"x" * 11)


def test_until_eof_with_a_known_end_sees_a_cut() -> None:
    framing = UntilEof(closing=b"</TX>")
    wire = b"<TX>ok</TX>\r\n"
    for at in range(1, len(wire) + 1):
        cutter = framing.cutter(100)
        cutter.feed(wire[:at])
        if at >= len(b"<TX>ok</TX>"):
            assert cutter.end() == [wire[:at]]
        else:
            with pytest.raises(ProtocolError, match="truncated"):
                cutter.end()
