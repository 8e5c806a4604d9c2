"""`bankgw lanes`: list lanes (logins at banks), pause and resume sending, probe a bank, trace it, rename a lane."""

from __future__ import annotations

from typing import Any

from gateway.cli import output

_COLUMNS = {
    "lane": "lane",
    "condition": "condition",
    "up": "sessions up",
    "answered": "last answer",
    "work": "open work",
    "epoch": "epoch",
}


def show_lanes(page: Any) -> None:
    """Every lane, and the trouble of those that are not ready."""
    _words(page["lanes"])


def _words(lanes: Any) -> None:
    rows = [
        {
            **lane,
            "up": output.in_language(("{} of {}", "{} / {}")).format(lane["sessions"].get("ready", 0), lane["window"]),
            "answered": output.in_language(("never", "从未"))
            if lane["answered_s_ago"] is None
            else output.in_language(("{answered_s_ago:g} s ago", "{answered_s_ago:g} 秒前")).format_map(lane),
        }
        for lane in lanes
    ]
    output.table(rows, _COLUMNS, "no lanes")
    for lane in lanes:
        told = [since(lane)] if not lane["condition"].startswith(("ready", "standing_by")) else []
        told += [lane["trouble"]] if lane["condition"].startswith("down") and lane["trouble"] else []
        if lane.get("bank_date_ahead_days"):  # an older daemon does not say it
            dated = (
                "the bank's date is {bank_date} ({bank_date_ahead_days:+d} days)",
                "银行日期为 {bank_date}（{bank_date_ahead_days:+d} 天）",
            )
            told.append(output.in_language(dated).format_map(lane))
        if told:
            named = ("{lane}: {told}", "{lane}：{told}")
            output.line(
                output.in_language(named).format(lane=lane["lane"], told=output.in_language(("; ", "；")).join(told))
            )


def since(lane: Any) -> str:
    """The time since when a lane is in its state, when it tries again, and when the bank last answered."""
    ago_s = lane["answered_s_ago"]
    never, last = ("never answered", "从未应答"), ("last answer {ago_s:g} s ago", "{ago_s:g} 秒前应答")
    start = output.in_language(("the start", "启动时"))
    told = [output.in_language(("since {since}", "自 {since} 起")).format(since=lane["since"] or start)]
    told.append(output.in_language(never if ago_s is None else last).format(ago_s=ago_s))
    if lane["next_try_s"] is not None and not lane["condition"].startswith("ready"):
        told.append(output.in_language(("next try in {next_try_s:g} s", "{next_try_s:g} 秒后重试")).format_map(lane))
    if lane["sign_on_pause_s"]:
        refused = (
            "no sign-on for {sign_on_pause_s:g} s, as the bank refused the last one",
            "上次签到被银行拒绝，{sign_on_pause_s:g} 秒内不签到",
        )
        told.append(output.in_language(refused).format_map(lane))
    return output.in_language((", ", "，")).join(told)


def show_changed(lane: Any) -> None:
    """One lane after a change, and whether another node has it."""
    _words([lane])
    hears_s = lane["owner_hears_within_s"]
    if hears_s:
        elsewhere = (
            "another node has this lane; it hears of this within {hears_s:g} s",
            "该通道在另一节点上，{hears_s:g} 秒内得知",
        )
        output.say(output.in_language(elsewhere).format(hears_s=hears_s))
