"""`bankgw lanes trace`: the last connections and exchanges of a lane, with their bytes."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket

_FOLLOW_S = 0.5
_ROW = 16


def trace(
    context: typer.Context,
    lane: Annotated[str, typer.Argument(metavar="LANE", help="BANK.LOGIN, as `bankgw lanes list` names it.")],
    last: Annotated[int, typer.Option(min=1, max=1000, help="How many events to show.")] = 40,
    hexadecimal: Annotated[bool, typer.Option("--hex", help="Show the bytes in hex beside the text.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until interrupted.")] = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show the lane's last connections and exchanges: what was signed, sent and received, and why they ended.

    Sign-ons, probes, refused and half connections are there as well. The login's passwords are cut out; the rest of a
    message is whole, so only root and the daemon's own user may look, and the audit trail names them."""
    daemon = output.remote(context, config, socket)
    with output.asking():
        said = daemon.get("lanes", lane, "trace", last=last)
    output.show(said, as_json=as_json, words=lambda page: _words(page["events"], hexadecimal, "nothing was kept yet"))
    try:
        while follow:
            time.sleep(_FOLLOW_S)
            with output.asking():
                said = daemon.get("lanes", lane, "trace", after=said["last"])
            if said["events"]:
                output.show(said, as_json=as_json, words=lambda page: _words(page["events"], hexadecimal))
    except KeyboardInterrupt:
        pass


def _words(events: list[Any], hexadecimal: bool, nothing: str = "") -> None:
    if not events and nothing:
        output.say(nothing)
    for event in events:
        for line in lines(event, hexadecimal=hexadecimal):
            output.say(line)


def lines(event: Any, *, hexadecimal: bool) -> Iterator[str]:
    """One event in lines."""
    where = [f"session {event['session']}" if event["session"] >= 0 else "the lane's probe"]
    where += [f"{name} {event[name]}" for name in ("connection", "exchange") if event[name]]
    said = f"{event['event']}: {event['note']}" if event["note"] else event["event"]
    port = f" {event['port']}" if event["port"] else ""
    yield f"{event['at']}  {event['purpose'] or '-'}{port}  {said}  ({', '.join(where)})"
    for part in event["parts"]:
        cut = "" if part["cut_after"] is None else f", the first {part['cut_after']} shown"
        yield f"    {part['name']}, {part['bytes']} bytes, read as {part['read_as']}{cut}"
        yield from (hex_lines(b64decode(part["base64"])) if hexadecimal else text_lines(part["text"]))


def text_lines(text: str) -> Iterator[str]:
    """Text with what no terminal can show written as an escape."""
    for line in text.replace("\r\n", "\n").rstrip("\n").split("\n"):
        yield "      " + "".join(one if one.isprintable() or one == "\t" else f"\\x{ord(one):02x}" for one in line)


def hex_lines(octets: bytes) -> Iterator[str]:
    """Offset, hex and ASCII, as `hexdump -C` writes them."""
    for at in range(0, len(octets), _ROW):
        row = octets[at : at + _ROW]
        shown = "".join(chr(one) if 32 <= one < 127 else "." for one in row)
        yield f"      {at:06x}  {row.hex(' '):<47}  |{shown}|"
