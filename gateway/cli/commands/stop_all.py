"""`bankgw stop-all`: one person stops everything that moves money."""

from __future__ import annotations

from typing import Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket


def stop_all(
    context: typer.Context,
    reason: ReasonOption,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Stop everything that moves money, at once and on every node that shares the journal; restarts do not end it.

    Orders are still taken in and wait; what was sent is asked about. Two persons start it again (`restart-all`). Exit
    69: this node has stopped, and the journal could not be reached, so that the others have not heard of it yet."""
    with output.asking():
        said = output.remote(context, config, socket).post("stop", reason=reason)

    def words(answer: Any) -> None:
        output.say(f"stopped by {answer['by']}: {answer['reason']}")
        if answer["written"]:
            output.say(f"every other node stops within {answer['others_hear_within_s']:g} s, or within "
                         f"{answer['others_silent_within_s']:g} s if it cannot reach the journal")  # fmt: skip
            output.say("two persons start it again: bankgw restart-all --reason …, then bankgw resolve --approve …")

    output.show(said, as_json=as_json, words=words)
    if not said["written"]:
        output.leave(exit_codes.UNAVAILABLE, "the journal cannot be reached: this node has stopped, the others have "
                                             "not "
                       "heard of it, and it is written down when the journal is back. Give the command again then, and "
                       "after a restart of this daemon")  # fmt: skip
