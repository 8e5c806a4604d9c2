"""`bankgw run`: the daemon, in the foreground."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, Config

if TYPE_CHECKING:
    from gateway.settings import LoadedSettings, Settings


def run(
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="k/n",
            help="Serve the k-th of n parts of the lanes: one of n processes over one journal.",
        ),
    ] = None,
    checked: Annotated[bool, typer.Option("--check/--no-check", help="Refuse to start on mistakes.")] = True,
) -> None:
    """Run the gateway in the foreground, until SIGTERM or SIGINT.

    SIGHUP reads senders, accounts and certificates again.
    """
    with _hidden("rich", "greenlet"):
        from gateway.kernel import log  # noqa: F401 - loaded here first
    from gateway.cli import run as cli_run
    from gateway.control.offline import settings_check as checking
    from gateway.kernel import start_failures
    from gateway.settings import SHARD_VARIABLE, read_settings
    from protocols.kit import dsig

    environment = output.environment(context)
    variables = environment.variables if shard is None else {**environment.variables, SHARD_VARIABLE: shard}
    found = _loaded(config, variables)
    # This comes before any use of the XML libraries, which can be set up only once, and by one thread.
    dsig.start()
    dsig.self_test()
    if checked:
        looked = checking.findings(found, environment.load_bank, environment.now())
        if looked.mistakes:
            cause = "; ".join(map(str, looked.mistakes))
            start_failures.note(found.settings.state_dir, exit_codes.CONFIG, cause, "bankgw check names every mistake")
            output.refuse(looked.mistakes)
        for note in looked.notes:
            output.warn(output.explained(note, "提示："))
        if looked.unreachable:
            # The text is for the reader of the daemon's log, not for a person who edits a file.
            _log_from(found.settings)
            for one in looked.unreachable:
                cli_run.away(str(one), found.settings)
            raise typer.Exit(exit_codes.UNAVAILABLE)
    elif found.mistakes:
        output.refuse(found.mistakes)
    # Other users may not read the files that the daemon writes.
    os.umask(0o077)
    # No core file is written, under a unit or not, because memory has keys and orders in clear.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _log_from(found.settings)
    reread = partial(read_settings, config, variables)
    raise typer.Exit(cli_run.serve(environment.reactor(), found.settings, environment.start, reread))


def _loaded(config: Path, variables: Mapping[str, str]) -> LoadedSettings:
    """The settings. If they cannot be read at all, the unit's state folder keeps why, and the command ends."""
    from gateway.kernel import start_failures
    from gateway.settings import BadSettings, read_settings

    try:
        return read_settings(config, variables)
    except BadSettings as error:
        folder = variables.get("STATE_DIRECTORY", "").partition(":")[0]
        if folder:
            cause = "; ".join(map(str, error.mistakes))
            start_failures.note(Path(folder), exit_codes.CONFIG, cause, "bankgw check names every mistake")
        output.refuse(error.mistakes)


@contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    """Hide these packages from imports inside the block, except those that are loaded already.

    structlog loads rich and greenlet where they are installed, for coloured tracebacks and for greenlets. They take
    five megabytes, and no daemon uses them.
    """
    modules: dict[str, Any] = sys.modules
    hidden = [package for package in packages if package not in modules]
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for package in hidden:
            del modules[package]


def _log_from(settings: Settings) -> None:
    from gateway.kernel import log

    log.start(settings.log.level, priorities=settings.log.priorities, environment=settings.environment_name())
