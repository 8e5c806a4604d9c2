"""`bankgw run`: start the gateway in this process, serve until told to stop, leave in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway import log
from gateway.settings import Settings

EXIT_OK, EXIT_FAILED, EXIT_UNAVAILABLE, EXIT_CONFIG = 0, 1, 69, 78
_log = log.get("daemon")

Start = Callable[[Any, Settings, Callable[[str], None]], "Running"]


class Running:
    """What a daemon needs of the composition root: start it, stop it."""

    async def start(self) -> None:
        """Bring everything up."""

    async def stop(self) -> None:
        """Let everything down, in order and within the drain time."""


def serve(reactor: Any, settings: Settings, start: Start) -> int:
    """Run until SIGTERM, SIGINT or a fatal fault; returns the exit code. A second signal ends at once."""
    outcome = _Outcome(reactor)

    def fatal(reason: str) -> None:
        _log.error("daemon.fatal", reason=reason, action="the process ends; the service manager starts it again")
        outcome.code = EXIT_FAILED
        # The journal may be gone: nothing that still runs may write, so there is no orderly way out.
        reactor.callLater(0, os._exit, EXIT_FAILED) if "journal" in reason else outcome.leave()

    running = start(reactor, settings, fatal)

    async def up() -> None:
        await running.start()
        _log.info("daemon.started", node=settings.node, mode=settings.mode, pid=os.getpid())

    def failed(failure: Failure) -> None:
        _log.error("daemon.not_started", error=failure.getTraceback(detail="brief"))
        outcome.code = EXIT_FAILED
        outcome.leave()

    async def down() -> None:
        _log.info("daemon.stopping")
        await running.stop()
        _log.info("daemon.stopped")

    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(down()))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(outcome.leave))
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(up()).addErrback(failed))
    reactor.run(installSignalHandlers=False)
    return outcome.code


class _Outcome:
    def __init__(self, reactor: Any) -> None:
        self.code = EXIT_OK
        self._reactor = reactor
        self._leaving = False

    def leave(self) -> None:
        if self._leaving:
            os._exit(self.code or EXIT_FAILED)
        self._leaving = True
        self._reactor.stop()
