"""`bankgw stop-all`: one person stops everything that moves money."""

from __future__ import annotations

from typing import Any

from gateway.cli import exit_codes, output


def show_stopped(answer: Any) -> None:
    """The person who stopped everything, and when every other node reads it."""
    stopped = ("stopped by {by}: {reason}", "已由 {by} 停止：{reason}")
    output.say(output.in_language(stopped).format_map(answer))
    if answer["written"]:
        others = (
            "every other node stops within {others_hear_within_s:g} s, or within {others_silent_within_s:g} s if it "
            "cannot reach the journal",
            "其他节点在 {others_hear_within_s:g} 秒内停止；无法访问流水库的，在 {others_silent_within_s:g} 秒内停止",
        )
        again = (
            "two persons start it again: bankgw restart-all --reason …, then bankgw resolve --approve …",
            "由两人恢复：bankgw restart-all --reason …，然后 bankgw resolve --approve …",
        )
        output.say(output.in_language(others).format_map(answer))
        output.say(output.in_language(again))


def end_if_not_written(answer: Any) -> None:
    """If the stop is not written yet for the other nodes, ends with UNAVAILABLE."""
    if not answer["written"]:
        unheard = (
            "the journal cannot be reached: this node has stopped, the others have not heard of it, and it is written "
            "down when the journal is back. Give the command again then, and after a restart of this daemon",
            "流水库无法访问：本节点已停止，其他节点尚未得知；流水库恢复后才会写入。届时以及本守护进程重启后，请再次执行此命令",
        )
        output.leave(exit_codes.UNAVAILABLE, unheard)
