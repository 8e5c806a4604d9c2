"""`bankgw lanes probe`: tests the way to a bank step by step, and says which step fails and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output, terminal
from gateway.cli.act_commands import ActRun
from gateway.cli.commands.lanes_trace import lines

_RUNG_COLUMNS = 11
_STYLE = {"ok": "green", "broken": "red", "not_reached": "dim", "not_applicable": "dim"}
_SHOWN: Mapping[str, Bilingual] = {
    "ok": (f"{'ok':<12}", "正常        "),
    "broken": (f"{'BROKEN':<12}", "中断        "),
    "not_reached": (f"{'not reached':<12}", "未到此步    "),
    "not_applicable": (f"{'n/a':<12}", "不适用      "),
}
_RUNGS: Mapping[str, str] = {
    "name": "域名",
    "framing": "报文框架",
    "sign_on": "签到",
    "signatures": "签名",
    "heartbeat": "心跳",
    "clock": "时钟",
    "balance": "余额",
}


def probe(
    run: ActRun,
    octets: Annotated[bool, typer.Option("--bytes", help="Show what was sent and received.")] = False,
    hexadecimal: Annotated[bool, typer.Option("--hex", help="Show what was sent and received in hex.")] = False,
) -> None:
    """Test the connection to the bank step by step: name, TCP, TLS, framing, sign-on, signatures, heartbeat, clock,
    balance.

    The first failed step shows the remedy. The command never signs on by itself: of a lane that is down it shows the
    last attempt. Exit 69 if the bank does not answer the heartbeat.
    """
    from gateway.control.client import TIMEOUT_S

    said = run.patient(3 * run.given["wait"] + TIMEOUT_S).ask()
    show_bytes = octets or hexadecimal
    run.show(said, lambda answer: _words(answer, show_bytes, hexadecimal))
    if not said["answered"]:
        raise typer.Exit(exit_codes.UNAVAILABLE)


def _rung(name: str) -> str:
    return terminal.padded(output.in_language((name, _RUNGS.get(name, name))), _RUNG_COLUMNS)


def _words(said: Any, octets: bool, hexadecimal: bool) -> None:
    lane, seconds = said["lane"], said["seconds"]
    for rung in said["rungs"]:
        verdict = rung["verdict"]
        first, *rest = rung["seen"] or [""]
        output.line(
            f"{_rung(rung['rung'])} ", (output.in_language(_SHOWN[verdict]), _STYLE[verdict]), first, whole=True
        )
        for one in rest:
            output.line(f"{'':<24}", one, whole=True)
        if rung["fix"]:
            output.line(f"{'':<24}{rung['reason']}: {rung['fix']}", whole=True)
        if octets or (verdict == "broken" and rung["events"]):
            for event in rung["events"]:
                for one in lines(event, hexadecimal=hexadecimal):
                    output.say("    " + one)
    if said["answered"]:
        output.say((f"{lane} answered in {seconds} s", f"{lane} 在 {seconds} 秒内应答"))
    else:
        why = f"{said['reason']} {said['detail']}"
        output.say((f"{lane} did not answer in {seconds} s: {why}", f"{lane} 在 {seconds} 秒内没有应答：{why}"))
