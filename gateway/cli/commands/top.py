"""`bankgw top`: rates per second, doubts, lanes, the oldest order and the broker, shown again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import output, screen, terminal
from gateway.cli.act_commands import ActRun

_COLUMNS = {
    "lane": "lane",
    "condition": "condition",
    "up": "sessions up",
    "work": "open work",
    "answered": "last answer",
}
_RATES: Mapping[str, Bilingual] = {
    "commands": ("commands", "命令"),
    "refused": ("refused", "拒绝"),
    "sent": ("sent", "发送"),
    "settled": ("settled", "成功"),
    "failed": ("failed", "失败"),
    "doubted": ("doubted", "结果未知"),
    "published": ("published", "通知"),
}
_FIRST_S = 1.0
"""The time between the two looks that the first rates need."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
KEYS: Bilingual = ("q ends   s sorts by {next}", "q 结束   s 按{next}排序")
_ORDERS: Sequence[tuple[str, Bilingual]] = (("work", ("queue", "待办")), ("lane", ("name", "名称")))


def top(
    run: ActRun,
    every: Annotated[
        float, typer.Option("--every", min=0.5, max=3600, metavar="SECONDS", help="Seconds between two views.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one view and end: for scripts.")] = False,
) -> None:
    """Show the work at a glance, again and again: rates per second, doubts, lanes, the oldest order, the broker.

    Keys on a terminal: q ends, s sorts the lanes by queue or by name. Rates are those of this node.
    """
    if run.as_json or once:
        first, later = _two_looks(run.ask, min(every, _FIRST_S))
        run.show({**later, "rates": rates(first, later)}, lambda said: _view(said, 0))
        return
    with screen.ended_by_interrupt():
        if terminal.is_terminal():
            _on_terminal(run.ask, every)
        else:
            _in_lines(run.ask, every)


def _two_looks(ask: Callable[[], Any], apart_s: float) -> tuple[Any, Any]:
    first = ask()
    time.sleep(apart_s)
    return first, ask()


def _in_lines(ask: Callable[[], Any], every_s: float) -> None:
    """One view after the other, for a pipe or a file."""
    before, now = _two_looks(ask, min(every_s, _FIRST_S))
    while True:
        _view({**now, "rates": rates(before, now)}, 0)
        print(flush=True)
        time.sleep(every_s)
        before, now = now, ask()


def _on_terminal(ask: Callable[[], Any], every_s: float) -> None:
    before, now = _two_looks(ask, min(every_s, _FIRST_S))
    order = 0
    with screen.keys() as key_within, screen.redrawn() as draw:
        shown_s = time.monotonic()
        while True:
            view = {**now, "rates": rates(before, now)}
            text = screen.printed(partial(_view, view, order))
            following = _ORDERS[(order + 1) % len(_ORDERS)][1]
            draw(f"{text}\n{output.in_language(KEYS).format(next=output.in_language(following))}")
            key = key_within(max(shown_s + every_s - time.monotonic(), 0))
            if key in ("q", "Q"):
                return
            if key in ("s", "S"):
                order = (order + 1) % len(_ORDERS)
            if time.monotonic() >= shown_s + every_s:
                shown_s = time.monotonic()
                before, now = now, ask()


def rates(before: Any, now: Any) -> dict[str, float] | None:
    """The rates per second between two answers of one daemon; None if it was started in between."""
    span_s = now["clock_s"] - before["clock_s"]
    if before["started_at"] != now["started_at"] or span_s <= 0:
        return None
    return {name: round((count - before["totals"][name]) / span_s, 2) for name, count in now["totals"].items()}


def _view(said: Any, order: int) -> None:
    _headline(said)
    _rates_line(said["rates"])
    if said["journal"]["reachable"]:
        _open_lines(said)
    else:
        away = (
            "journal unreachable since {since}: open orders and messages are not known",
            "流水库自 {since} 起无法访问：未完成的指令与消息不明",
        )
        output.line((output.in_language(away).format_map(said["journal"]), "bold red"))
    output.line(_broker_line(said))
    output.say("")
    by = _ORDERS[order][0]
    lanes = sorted(said["lanes"], key=lambda one: (-one["work"] if by == "work" else 0, one["lane"]))
    output.table([_lane_row(one) for one in lanes], _COLUMNS, "no lanes")


def _headline(said: Any) -> None:
    ready = said["status"] == "ready"
    state = output.in_language(("ready", "就绪") if ready else ("not ready", "未就绪"))
    reasons = "" if ready else output.in_language((": ", "：")) + output.in_language(("; ", "；")).join(said["reasons"])
    now = said["now"][11:19]
    told = (f"{state}{reasons}", "green" if ready else "red")
    output.line(f"bankgw {said['version']}  {said['node']}  {now} UTC  ", told)
    if said["safe_mode"]:
        output.line((output.in_language(("SAFE MODE: nothing is sent", "安全模式：不发送任何内容")), "bold red"))
    if said["stop"]:
        stopped = ("STOPPED since {since} by {by}: {reason}", "紧急停止：自 {since} 起，由 {by} 发出：{reason}")
        output.line((output.in_language(stopped).format_map(said["stop"]), "bold red"))


def _rates_line(found: Mapping[str, float] | None) -> None:
    if found is None:
        output.say(("per second: not known, the daemon was started again", "每秒：未知，守护进程刚重新启动"))
        return
    told = output.in_language((", ", "，")).join(
        f"{output.in_language(text)} {found[name]:g}" for name, text in _RATES.items()
    )
    output.line(output.in_language((f"per second: {told}", f"每秒：{told}")))


def _open_lines(said: Any) -> None:
    join = output.in_language((", ", "，"))
    counts = join.join(f"{state} {number}" for state, number in said["orders"].items() if number)
    nothing = output.in_language(("none", "无"))
    output.line(output.in_language(("open orders: {}", "未完成的指令：{}")).format(counts or nothing))
    doubts = join.join(
        f"{one['bank']} {one['count']}" + ("" if one["oldest_age_s"] is None else f" ({age(one['oldest_age_s'])})")
        for one in said["doubts"]
    )
    told = output.in_language(("in doubt, with the oldest: {}", "结果未知（最早）：{}")).format(doubts or nothing)
    output.line((told, "yellow" if doubts else ""))
    oldest = said["oldest"]
    shown = nothing
    if oldest is not None:
        shown = f"{oldest['order']} {oldest['state']} {oldest['lane']} {age(oldest['age_s'])}"
    output.line(output.in_language(("oldest open order: {}", "最早的未完成指令：{}")).format(shown))


def _broker_line(said: Any) -> str:
    broker, messages = said["broker"], said["messages"]
    told = output.in_language(("up", "已连接") if broker["up"] else ("down", "断开"))
    told += output.in_language((", blocked", "，已阻塞")) if broker["blocked"] else ""
    if messages is not None:
        waits = "" if messages["oldest_age_s"] is None else f" ({age(messages['oldest_age_s'])})"
        told += output.in_language(
            (
                f", to publish {messages['waiting']}{waits}, parked {messages['parked']}",
                f"，待发布 {messages['waiting']}{waits}，滞留 {messages['parked']}",
            )
        )
    return output.in_language((f"broker: {told}", f"消息服务器：{told}"))


def _lane_row(lane: Any) -> dict[str, Any]:
    ago_s = lane["answered_s_ago"]
    return {
        **lane,
        "up": f"{lane['sessions'].get('ready', 0)}/{lane['window']}",
        "answered": output.in_language(("never", "从未")) if ago_s is None else age(int(ago_s)),
    }


def age(span_s: int) -> str:
    """A time span in its two largest units, such as `3m05s`."""
    if span_s >= _DAY:
        return f"{span_s // _DAY}d{span_s % _DAY // _HOUR:02}h"
    if span_s >= _HOUR:
        return f"{span_s // _HOUR}h{span_s % _HOUR // _MINUTE:02}m"
    return f"{span_s // _MINUTE}m{span_s % _MINUTE:02}s" if span_s >= _MINUTE else f"{span_s}s"
