"""`bankgw run`, `check`, `status`, `drain`, `doctor`: the daemon's own life."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from gateway import log
from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run)
    app.command("check")(check)
    app.command("status")(status)
    app.command("drain")(drain)
    app.command("doctor")(doctor)


def run(
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    checked: Annotated[bool, typer.Option("--check/--no-check", help="Refuse to start on mistakes.")] = True,
) -> None:
    """Run the gateway in the foreground, until SIGTERM or SIGINT. SIGHUP reads senders and accounts again."""
    from gateway.cli import check as checking
    from gateway.cli import run as cli_run
    from gateway.settings import read
    from protocols.kit import dsig

    found = output.loaded(context, config)
    environment = output.environment(context)
    # Before anything of the XML stack is touched: it can be set up once, and by one thread.
    dsig.start()
    dsig.self_test()
    if checked:
        looked = checking.findings(found, environment.load_bank, environment.now())
        if looked.mistakes:
            output.refuse(looked.mistakes)
        for note in looked.notes:
            print(note, file=sys.stderr)
        if looked.unreachable:
            # Not for a person who edits a file: for whoever reads the daemon's log at night.
            log.start(found.settings.log.level, priorities=found.settings.log.priorities)
            for one in looked.unreachable:
                cli_run.away(str(one))
            raise typer.Exit(exit_codes.UNAVAILABLE)
    elif found.mistakes:
        output.refuse(found.mistakes)
    # What the daemon writes is nobody else's to read.
    os.umask(0o077)
    log.start(found.settings.log.level, priorities=found.settings.log.priorities)
    reread = partial(read, config, environment.variables)
    raise typer.Exit(cli_run.serve(environment.reactor(), found.settings, environment.start, reread))


def check(context: typer.Context, config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Look for everything that is wrong with the settings and what they name. Nothing is changed or started."""
    from gateway.cli import check as checking
    from gateway.settings import BadSettings, read
    from protocols.kit import dsig

    environment = output.environment(context)
    dsig.start()
    try:
        looked = checking.findings(read(config, environment.variables), environment.load_bank, environment.now())
        mistakes, unreachable, notes = looked.mistakes, looked.unreachable, looked.notes
    except BadSettings as error:
        mistakes, unreachable, notes = error.mistakes, (), ()
    code = exit_codes.CONFIG if mistakes else exit_codes.UNAVAILABLE if unreachable else exit_codes.OK
    if as_json:
        rows, noted = ([{"file": one.file, "key": one.key, "remedy": one.remedy} for one in some]
                       for some in ((*mistakes, *unreachable), notes))  # fmt: skip
        output.dump({"ok": code == exit_codes.OK, "mistakes": rows, "notes": noted})
        raise typer.Exit(code)
    if code != exit_codes.OK:
        output.leave(code, *map(str, (*mistakes, *unreachable, *notes)))
    for note in notes:
        output.say(f"{note}")
    output.say(f"{config}: no mistakes found")


def status(
    context: typer.Context,
    wait_s: Annotated[float | None, typer.Option(
        "--wait", min=0, metavar="<seconds>", help="First wait, at most so long, until the daemon is ready.")] = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Say how the daemon is: readiness with reasons, lanes, broker, orders under way, certificates.

    With --wait, exit code 69 if it is not ready in time.
    """
    daemon = output.remote(context, config, socket)
    with output.asking():
        said = daemon.get("status") if wait_s is None else daemon.ready_status(wait_s)
    output.show(said, as_json=as_json, words=_status)
    if wait_s is not None and said["status"] != "ready":
        raise typer.Exit(exit_codes.UNAVAILABLE)


def _status(said: Any) -> None:
    out = output.console()
    ready = said["status"] == "ready"
    out.print(Text(f"bankgw {said['version']}  node {said['node']}  {said['mode']}  pid {said['pid']}  "
                   f"since {said['started_at']}"))  # fmt: skip
    out.print(Text("ready" if ready else f"not ready: {'; '.join(said['reasons'])}", style="green" if ready else "red"))
    if said["safe_mode"]:
        out.print(Text("SAFE MODE: the database is older than what was sent; nothing is sent", style="bold red"))
    if said["stop"]:
        stop = said["stop"]
        out.print(Text(f"STOPPED since {stop['since']} by {stop['by']}: {stop['reason']}; nothing is sent until two "
                       f"persons start it again (bankgw restart-all)", style="bold red"))  # fmt: skip
    for name, word in said["lanes"].items():
        out.print(Text(f"lane {name}: {word}"))
    broker = said["broker"]
    age_s = broker["canary_age_s"]
    heard = "" if age_s is None else f", heartbeat {age_s:.0f} s ago"
    out.print(Text(f"broker: {'up' if broker['up'] else 'down'}{', blocked' if broker['blocked'] else ''}{heard}"))
    if not said["journal"]["reachable"]:
        out.print(Text(f"journal unreachable since {said['journal']['since']}: nothing is taken in or sent; what is "
                       f"under way is not known", style="bold red"))  # fmt: skip
    _under_way(out, said)
    if said["certificates"]:
        first = said["certificates"][0]
        left = f"{first['days_left']} days left"
        out.print(Text(f"first to expire: {first['bank']} {first['role']} at {first['not_after']} ({left})"))


def _under_way(out: Any, said: Any) -> None:
    if said["orders"] is None:
        return
    out.print(Text("orders: " + ", ".join(f"{state} {number}" for state, number in said["orders"].items())))
    out.print(Text(f"messages: waiting {said['messages']['waiting']}, parked {said['messages']['parked']}"))


def drain(
    context: typer.Context,
    off: Annotated[bool, typer.Option("--off", help="Take commands in again.")] = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Take no more commands in; what was accepted goes on its way. Before a planned stop, or instead of one."""
    with output.asking():
        said = output.remote(context, config, socket).post("drain", on=not off)

    def words(answer: Any) -> None:
        if not answer["draining"]:
            output.say("commands are taken in again")
            return
        moving = ", ".join(f"{state} {number}" for state, number in answer["orders"].items() if number) or "none"
        output.say(f"no more commands are taken in; orders under way: {moving}")

    output.show(said, as_json=as_json, words=words)


def doctor(
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    make_key: Annotated[
        Path | None, typer.Option("--make-key", help="Make a vault key file (mode 0600) there, and do nothing else.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Examine this machine: libraries, settings, broker, journal, clock, certificates, disk. Each line has a fix."""
    from gateway.cli import doctor as examination

    if make_key is not None:
        _make_key(make_key)
        return
    lines = examination.examine(output.environment(context), config)
    if as_json:
        rows = [{"what": one.what, "ok": one.ok, "finding": one.finding, "fix": one.fix} for one in lines]
        output.dump({"ok": all(one.ok for one in lines), "lines": rows})
    else:
        out = output.console()
        for one in lines:
            mark = Text("ok   " if one.ok else "WRONG", style="green" if one.ok else "bold red")
            out.print(mark + Text(f"  {one.what}: {one.finding}{'' if one.ok else f' → {one.fix}'}"))
    if not all(one.ok for one in lines):
        raise typer.Exit(exit_codes.FAILED)


def _make_key(path: Path) -> None:
    from gateway.journal.sql import vault

    try:
        vault.create(path)
    except FileExistsError:
        output.leave(exit_codes.REFUSED, f"{path} exists; a vault key is never overwritten: what it sealed would be "
                                         f"lost")  # fmt: skip
    except OSError as error:
        output.leave(exit_codes.FAILED, f"{path} cannot be made: {error.strerror}")
    output.say(f"made {path}. Back it up apart from the database: without it the journal cannot be read.")
    print("give it to the daemon with LoadCredential= or journal.vault_key.file", file=sys.stderr)
