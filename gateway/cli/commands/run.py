"""`bankgw run`: the daemon, in the foreground."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, Config

if TYPE_CHECKING:
    from gateway.settings import Settings


def run(
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    shard: Annotated[str | None, typer.Option(
        "--shard", metavar="k/n", help="Serve the k-th of n parts of the lanes: one of n processes over one journal.",
    )] = None,
    checked: Annotated[bool, typer.Option("--check/--no-check", help="Refuse to start on mistakes.")] = True,
) -> None:
    """Run the gateway in the foreground, until SIGTERM or SIGINT.

    SIGHUP reads senders, accounts and certificates again.
    """
    with _hidden("rich"):
        from gateway import log  # noqa: F401 - loaded here first
    from gateway import start_failures
    from gateway.cli import run as cli_run
    from gateway.control.offline import settings_check as checking
    from gateway.settings import SHARD_VARIABLE, read
    from protocols.kit import dsig

    environment = output.environment(context)
    variables = environment.variables if shard is None else {**environment.variables, SHARD_VARIABLE: shard}
    found = output.loaded(context, config, variables)
    # Before anything of the XML stack is touched: it can be set up once, and by one thread.
    dsig.start()
    dsig.self_test()
    if checked:
        looked = checking.findings(found, environment.load_bank, environment.now())
        if looked.mistakes:
            cause = "; ".join(map(str, looked.mistakes))
            start_failures.note(found.settings.state_dir, exit_codes.CONFIG, cause, "bankgw check names every mistake")
            output.refuse(looked.mistakes)
        for note in looked.notes:
            print(note, file=sys.stderr)
        if looked.unreachable:
            # Not for a person who edits a file: for whoever reads the daemon's log at night.
            _log_from(found.settings)
            for one in looked.unreachable:
                cli_run.away(str(one), found.settings)
            raise typer.Exit(exit_codes.UNAVAILABLE)
    elif found.mistakes:
        output.refuse(found.mistakes)
    # What the daemon writes is nobody else's to read.
    os.umask(0o077)
    # Nor is its memory, where keys and orders are in clear: no core is written, under a unit or not.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _log_from(found.settings)
    reread = partial(read, config, variables)
    raise typer.Exit(cli_run.serve(environment.reactor(), found.settings, environment.start, reread))


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Let what is imported inside not find this package, unless it is loaded already.

    structlog loads rich, if that is there, for coloured tracebacks: three megabytes that no daemon has a use for.
    """
    modules: dict[str, Any] = sys.modules
    if package in modules:
        yield
        return
    modules[package] = None
    try:
        yield
    finally:
        del modules[package]


def _log_from(settings: Settings) -> None:
    from gateway import log

    log.start(settings.log.level, priorities=settings.log.priorities, environment=settings.environment_name())
