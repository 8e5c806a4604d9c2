"""`bankgw status`: how the daemon is, and whether it is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
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

    Exit code 69 if it is not ready; with --wait, if it is not ready in time.
    """
    daemon = output.remote(context, config, socket)
    if watch is not None and wait_s is None:
        output.repeated(watch, lambda: _look(daemon, None, as_json=as_json))
        return
    said = _look(daemon, wait_s, as_json=as_json)
    if said["status"] != "ready":
        raise typer.Exit(exit_codes.UNAVAILABLE)


def _look(daemon: ControlClient, wait_s: float | None, *, as_json: bool) -> Any:
    with output.asking():
        said = daemon.get("status") if wait_s is None else daemon.ready_status(wait_s)
    output.show(said, as_json=as_json, words=_status)
    return said


def _status(said: Any) -> None:
    ready = said["status"] == "ready"
    output.line(
        f"bankgw {said['version']}  node {said['node']}  {said['mode']}  pid {said['pid']}  since {said['started_at']}"
    )
    output.line(("ready" if ready else f"not ready: {'; '.join(said['reasons'])}", "green" if ready else "red"))
    if said["safe_mode"]:
        output.line(("SAFE MODE: the database is older than what was sent; nothing is sent", "bold red"))
    if said["stop"]:
        stop = said["stop"]
        said_so = f"STOPPED since {stop['since']} by {stop['by']}: {stop['reason']}"
        again = "nothing is sent until two persons start it again (bankgw restart-all)"
        output.line((f"{said_so}; {again}", "bold red"))
    for name, word in said["lanes"].items():
        output.line(f"lane {name}: {word}")
    broker = said["broker"]
    age_s = broker["canary_age_s"]
    heard = "" if age_s is None else f", heartbeat {age_s:.0f} s ago"
    output.line(f"broker: {'up' if broker['up'] else 'down'}{', blocked' if broker['blocked'] else ''}{heard}")
    if not said["journal"]["reachable"]:
        since = said["journal"]["since"]
        unknown = "nothing is taken in or sent; what is under way is not known"
        output.line((f"journal unreachable since {since}: {unknown}", "bold red"))
    _under_way(said)
    if said["certificates"]:
        first = said["certificates"][0]
        left = f"{first['days_left']} days left"
        output.line(f"first to expire: {first['bank']} {first['role']} at {first['not_after']} ({left})")


def _under_way(said: Any) -> None:
    if said["orders"] is None:
        return
    output.line("orders: " + ", ".join(f"{state} {number}" for state, number in said["orders"].items()))
    output.line(f"messages: waiting {said['messages']['waiting']}, parked {said['messages']['parked']}")
