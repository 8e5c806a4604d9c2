"""The output of `bankgw lanes trace` for an event: one line about it, then each part as text or hex."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from gateway.cli.commands.lanes_trace import hex_lines, lines, text_lines


def event(**changes: Any) -> dict[str, Any]:
    octets = b"0002<a/>"
    part = {
        "name": "sent",
        "bytes": 8,
        "cut_after": None,
        "read_as": "UTF-8",
        "text": octets.decode(),
        "base64": b64encode(octets).decode(),
    }
    return {
        "number": 1,
        "at": "2026-11-28T10:00:00.000+08:00",
        "session": 0,
        "connection": 4,
        "exchange": 9,
        "event": "request",
        "purpose": "send",
        "port": "business",
        "note": "",
        "parts": [part],
        **changes,
    }


def test_an_event_says_when_for_what_and_where() -> None:
    assert list(lines(event(), hexadecimal=False)) == [
        "2026-11-28T10:00:00.000+08:00  send business  request  (session 0, connection 4, exchange 9)",
        "    sent, 8 bytes, read as UTF-8",
        "      0002<a/>",
    ]
    (head,) = lines(
        event(event="not_connected", session=-1, connection=0, exchange=0, note="refused: x", parts=[]),
        hexadecimal=True,
    )
    assert head.endswith("not_connected: refused: x  (the lane's probe)")


def test_hex_shows_offsets_bytes_and_ascii() -> None:
    assert list(hex_lines(b"0002<a/>\x00\xff23456789")) == [
        "      000000  30 30 30 32 3c 61 2f 3e 00 ff 32 33 34 35 36 37  |0002<a/>..234567|",
        "      000010  38 39                                            |89|",
    ]


def test_text_writes_what_no_terminal_can_show_as_an_escape() -> None:
    assert list(text_lines("金额\r\n\x1b[2J")) == ["      金额", "      \\x1b[2J"]


def test_a_cut_part_says_so() -> None:
    part = {**event()["parts"][0], "bytes": 70_000, "cut_after": 65_536}
    assert "70000 bytes, read as UTF-8, the first 65536 shown" in list(lines(event(parts=[part]), hexadecimal=False))[1]
