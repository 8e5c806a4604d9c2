"""`bankgw lanes probe`: the way to a bank rung by rung, where it breaks, and what to do about it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.commands.lanes_trace import lines
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket

_STYLE = {"ok": "green", "broken": "red", "not_reached": "dim", "not_applicable": "dim"}
_SHOWN = {"ok": "ok", "broken": "BROKEN", "not_reached": "not reached", "not_applicable": "n/a"}


def probe(
    context: typer.Context,
    lane: Annotated[str, typer.Argument(metavar="LANE", help="BANK.LOGIN, as `bankgw lanes list` names it.")],
    wait: Annotated[float, typer.Option(min=0.1, max=120, help="Seconds to wait for each answer.")] = 10.0,
    octets: Annotated[bool, typer.Option("--bytes", help="Show what was sent and received.")] = False,
    hexadecimal: Annotated[bool, typer.Option("--hex", help="Show what was sent and received in hex.")] = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Go up the way to the bank: name, TCP, TLS, framing, sign-on, signatures, heartbeat, clock, balance.

    The first rung that is broken says what to do. It never signs on by itself: a lane that is down tells its last
    attempt. Exit 69 when the bank's heartbeat is not answered."""
    from gateway.control.client import TIMEOUT_S

    with output.asking():
        said = output.remote(context, config, socket, 3 * wait + TIMEOUT_S).post("lanes", lane, "probe", wait=wait)
    show_bytes = octets or hexadecimal
    output.show(said, as_json=as_json, words=lambda answer: _words(answer, show_bytes, hexadecimal))
    if not said["answered"]:
        raise typer.Exit(exit_codes.UNAVAILABLE)


def _words(said: Any, octets: bool, hexadecimal: bool) -> None:
    for rung in said["rungs"]:
        verdict = rung["verdict"]
        first, *rest = rung["seen"] or [""]
        output.line(f"{rung['rung']:<11} ", (f"{_SHOWN[verdict]:<12}", _STYLE[verdict]), first, whole=True)
        for one in rest:
            output.line(f"{'':<24}", one, whole=True)
        if rung["fix"]:
            output.line(f"{'':<24}{rung['reason']}: {rung['fix']}", whole=True)
        if octets or (verdict == "broken" and rung["events"]):
            for event in rung["events"]:
                for one in lines(event, hexadecimal=hexadecimal):
                    output.say("    " + one)
    if said["answered"]:
        output.say(f"{said['lane']} answered in {said['seconds']} s")
    else:
        output.say(f"{said['lane']} did not answer in {said['seconds']} s: {said['reason']} {said['detail']}")
