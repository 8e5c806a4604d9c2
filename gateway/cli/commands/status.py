"""`bankgw status`: how the daemon is, and whether it is ready."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.commands import lanes
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket, WatchOption

if TYPE_CHECKING:
    from gateway.control.client import ControlClient


def status(
    context: typer.Context,
    wait_s: Annotated[float | None, typer.Option(
        "--wait", min=0, metavar="<seconds>", help="First wait, at most so long, until the daemon is ready.")] = None,
    watch: WatchOption = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Say how the daemon is: readiness with reasons, lanes, broker, orders under way, certificates.

    Of shards (bankgw run --shard), all are shown, one after the other. Exit code 69 if one is not ready; with --wait,
    if it is not ready in time.
    """
    shards = [] if socket is not None else output.shards(context, config)
    look = partial(_look_at_shards, shards) if shards else partial(_look, output.remote(context, config, socket))
    if watch is not None and wait_s is None:
        output.repeated(watch, lambda: look(None, as_json=as_json))
    elif not look(wait_s, as_json=as_json):
        raise typer.Exit(exit_codes.UNAVAILABLE)


def _look_at_shards(daemons: Sequence[ControlClient], wait_s: float | None, *, as_json: bool) -> bool:
    """Show each; whether all are ready. A shard that does not answer is not ready."""
    from gateway.control.client import NoDaemon, Refused

    said = []
    for one in daemons:
        with suppress(NoDaemon, Refused):
            said.append(one.get("status") if wait_s is None else one.ready_status(wait_s))
    here = {one["shard"] for one in said}
    count = max((int(name.partition("/")[2]) for name in here), default=len(daemons))
    missing = [name for number in range(1, count + 1) if (name := f"{number}/{count}") not in here]
    if as_json:
        output.dump({"shards": said, "missing": missing})
    else:
        for one in said:
            output.line((f"shard {one['shard']}", "bold"))
            _status(one)
            output.line("")
        for name in missing:
            output.line((f"shard {name}: no daemon answers; start it: bankgw run --shard {name}", "bold red"))
    return not missing and all(one["status"] == "ready" for one in said)


def _look(daemon: ControlClient, wait_s: float | None, *, as_json: bool) -> bool:
    """Show the daemon; whether it is ready."""
    try:
        with output.asking():
            said = daemon.get("status") if wait_s is None else daemon.ready_status(wait_s)
    except typer.Exit:
        _last_start(daemon, as_json=as_json)
        raise
    output.show(said, as_json=as_json, words=_status)
    return bool(said["status"] == "ready")


def _last_start(daemon: ControlClient, *, as_json: bool) -> None:
    """No daemon answers: say why the last one could not start, where that is known."""
    from gateway import start_failures

    failure = start_failures.last(daemon.path.parent)
    if failure is not None and not as_json:
        when = f"the last daemon failed at {failure.at} (exit code {failure.exit})"
        output.warn(f"{when}: {failure.cause}", failure.remedy)


def _status(said: Any) -> None:
    ready = said["status"] == "ready"
    where = f"node {said['node']}  {_environment(said)}"
    output.line(f"bankgw {said['version']}  {where}  pid {said['pid']}  since {said['started_at']}")
    output.line(("ready" if ready else f"not ready: {'; '.join(said['reasons'])}", "green" if ready else "red"))
    if said["safe_mode"]:
        output.line(("SAFE MODE: the database is older than what was sent; nothing is sent", "bold red"))
    if said["stop"]:
        stop = said["stop"]
        said_so = f"STOPPED since {stop['since']} by {stop['by']}: {stop['reason']}"
        again = "nothing is sent until two persons start it again (bankgw restart-all)"
        output.line((f"{said_so}; {again}", "bold red"))
    for one in said["troubles"]:
        output.line((f"{one['trouble']} {one['subject']}: {one['cause']}", "bold red"))
        output.line(f"  since {one['since']}; {one['remedy']} (runbook {one['runbook']})")
    for lane in said["lane_details"]:
        output.line(f"lane {lane['lane']}: {lane['condition']}, {lanes.since(lane)}")
    broker = said["broker"]
    age_s = broker["canary_age_s"]
    heard = "" if age_s is None else f", heartbeat {age_s:.0f} s ago"
    output.line(f"broker: {'up' if broker['up'] else 'down'}{', blocked' if broker['blocked'] else ''}{heard}")
    if not said["journal"]["reachable"]:
        since = said["journal"]["since"]
        unknown = "nothing is taken in or sent; what is under way is not known"
        output.line((f"journal unreachable since {since}: {unknown}", "bold red"))
    _under_way(said)
    _capacity(said["capacity"])
    if said["certificates"]:
        first = said["certificates"][0]
        left = f"{first['days_left']} days left"
        output.line(f"first to expire: {first['bank']} {first['role']} at {first['not_after']} ({left})")


def _environment(said: Any) -> str:
    return str(said["mode"] if said["environment"] == said["mode"] else f"{said['mode']} ({said['environment']})")


def _capacity(said: Any) -> None:
    if said.get("disk_free_bytes") is None:
        return
    free, size, permits = (said[name] / 2**30 for name in ("disk_free_bytes", "disk_size_bytes", "permit_log_bytes"))
    disk = f"disk: {free:.1f} of {size:.1f} GiB free, permit log {permits:.3f} GiB"
    output.line(f"{disk}; {said['retention_overdue']} rows past their retention")


def _under_way(said: Any) -> None:
    if said["orders"] is None:
        return
    output.line("orders: " + ", ".join(f"{state} {number}" for state, number in said["orders"].items()))
    output.line(f"messages: waiting {said['messages']['waiting']}, parked {said['messages']['parked']}")
