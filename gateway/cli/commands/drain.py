"""`bankgw drain`: take no more commands in, before a planned stop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

_LOOK_AGAIN_S = 0.5


def drain(
    context: typer.Context,
    off: Annotated[bool, typer.Option("--off", help="Take commands in again.")] = False,
    wait_s: Annotated[
        float | None,
        typer.Option(
            "--wait", min=0, metavar="<seconds>", help="Then wait, at most so long, until no order is ready or sending."
        ),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Take in no more commands; accepted orders are still sent. Use it before a planned stop, or instead of one.

    With --wait, exit code 69 if orders are still ready or sending after that time.
    """
    daemon = output.remote(context, config, socket)
    with output.asking():
        said = daemon.post("drain", on=not off)
        if wait_s is not None and not off:
            said = _emptied(daemon, said, wait_s)

    def print_intake(answer: Any) -> None:
        if not answer["draining"]:
            output.say(("commands are taken in again", "已恢复受理新指令"))
            return
        moving = ", ".join(f"{state} {number}" for state, number in answer["orders"].items() if number)
        output.say(
            (
                f"no more commands are taken in; orders under way: {moving or 'none'}",
                f"已停止受理新指令；在途付款指令：{moving or '无'}",
            )
        )

    output.show(said, as_json=as_json, words=print_intake)
    if wait_s is not None and not off and _moving(said):
        output.leave(
            exit_codes.UNAVAILABLE,
            (
                f"{_moving(said)} orders are still ready or sending after {wait_s:g} s",
                f"{wait_s:g} 秒后仍有 {_moving(said)} 笔付款指令待发送或发送中",
            ),
        )


def _emptied(daemon: ControlClient, said: Any, wait_s: float) -> Any:
    """The answer with the newest counts, as soon as nothing is in progress or the time is over."""
    end_s = time.monotonic() + wait_s
    while _moving(said) and time.monotonic() < end_s:
        time.sleep(min(_LOOK_AGAIN_S, max(0.0, end_s - time.monotonic())))
        said = {**said, "orders": daemon.get("status")["orders"] or said["orders"]}
    return said


def _moving(said: Any) -> int:
    return sum(int(said["orders"].get(state, 0)) for state in ("ready", "sending"))
