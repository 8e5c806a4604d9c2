"""`bankgw lanes trace`: the last connections and exchanges of a lane, with their bytes."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import output
from gateway.cli.act_commands import ActRun

_FOLLOW_S = 0.5
_PARTS: Mapping[str, str] = {"sent": "发送", "received": "接收", "signed": "签名"}
_ROW = 16


def trace(
    run: ActRun,
    hexadecimal: Annotated[bool, typer.Option("--hex", help="Show the bytes in hex beside the text.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until interrupted.")] = False,
) -> None:
    """Show the lane's last connections and exchanges: what was signed, sent and received, and why they ended.

    Sign-ons, probes, refused and half connections are included. The login's passwords are cut out and the rest of each
    message is whole. Therefore only root and the daemon's own user may look, and the audit trail names them.
    """
    said = run.ask()
    run.show(said, lambda page: _words(page["events"], hexadecimal, ("nothing was kept yet", "尚未保存任何记录")))
    try:
        while follow:
            time.sleep(_FOLLOW_S)
            said = run.ask(last=None, after=said["last"])
            if said["events"]:
                run.show(said, lambda page: _words(page["events"], hexadecimal))
    except KeyboardInterrupt:
        pass


def _words(events: list[Any], hexadecimal: bool, nothing: Bilingual | None = None) -> None:
    if not events and nothing is not None:
        output.say(nothing)
    for event in events:
        for line in lines(event, hexadecimal=hexadecimal):
            output.say(line)


def lines(event: Any, *, hexadecimal: bool) -> Iterator[str]:
    """One event in lines."""
    session = (f"session {event['session']}", f"会话 {event['session']}")
    where = [output.in_language(session if event["session"] >= 0 else ("the lane's probe", "通道探测"))]
    for name, chinese in (("connection", "连接"), ("exchange", "收发")):
        where += [output.in_language((f"{name} {event[name]}", f"{chinese} {event[name]}"))] if event[name] else []
    said = f"{event['event']}: {event['note']}" if event["note"] else event["event"]
    port = f" {event['port']}" if event["port"] else ""
    yield f"{event['at']}  {event['purpose'] or '-'}{port}  {said}  ({', '.join(where)})"
    for part in event["parts"]:
        name, size, charset, cut = part["name"], part["bytes"], part["read_as"], part["cut_after"]
        english, chinese = ("", "") if cut is None else (f", the first {cut} shown", f"，只显示前 {cut} 字节")
        yield output.in_language(
            (
                f"    {name}, {size} bytes, read as {charset}{english}",
                f"    {_PARTS.get(name, name)}，{size} 字节，按 {charset} 解读{chinese}",
            )
        )
        yield from (hex_lines(b64decode(part["base64"])) if hexadecimal else text_lines(part["text"]))


def text_lines(text: str) -> Iterator[str]:
    """The text, with each character that no terminal can show written as an escape."""
    for line in text.replace("\r\n", "\n").rstrip("\n").split("\n"):
        yield "      " + "".join(one if one.isprintable() or one == "\t" else f"\\x{ord(one):02x}" for one in line)


def hex_lines(octets: bytes) -> Iterator[str]:
    """Offset, hex and ASCII, as `hexdump -C` writes them."""
    for at in range(0, len(octets), _ROW):
        row = octets[at : at + _ROW]
        shown = "".join(chr(one) if 32 <= one < 127 else "." for one in row)
        yield f"      {at:06x}  {row.hex(' '):<47}  |{shown}|"
