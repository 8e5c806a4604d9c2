"""`bankgw simulate`: one simulated bank in the foreground."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli import exit_codes, output

Level = Literal["debug", "info", "warning", "error"]


def simulate(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The simulated bank's settings, TOML or JSON.")],
    log_level: Annotated[Level, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run one simulated bank in the foreground: its own side of the protocol, with a ledger and seeded faults."""
    from twisted.internet.defer import Deferred
    from twisted.internet.error import CannotListenError

    from gateway import log
    from gateway.simbank.config import BadConfig, SimConfig
    from gateway.simbank.service import serve

    reactor = output.environment(context).reactor()
    try:
        config = SimConfig.read(file)
        log.start(log_level)
        running = serve(reactor, config)
    except (BadConfig, CannotListenError) as error:
        code = exit_codes.CONFIG if isinstance(error, BadConfig) else exit_codes.UNAVAILABLE
        output.leave(code, str(error))
    except ValueError as error:
        output.leave(exit_codes.CONFIG, f"{file}: {error}")
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(running.stop()))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(_stop, reactor))
    reactor.run(installSignalHandlers=False)


def _stop(reactor: Any) -> None:
    if reactor.running:
        reactor.stop()
