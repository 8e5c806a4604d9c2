"""Run the gateway in this process: lock the state folder, start, serve until a signal, stop in order."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from gateway import log
from gateway.cli.exit_codes import FAILED, OK, UNAVAILABLE
from gateway.cli.reload import Reloading, Reread
from gateway.control.offline.journal_access import trouble
from gateway.control.offline.state_lock import AlreadyRunning, lock
from gateway.settings import Settings

_log = log.get("daemon")


class Running(Protocol):
    """What a daemon needs of the composition root: start it, stop it."""

    async def start(self) -> None:
        """Bring everything up."""

    async def stop(self) -> None:
        """Let everything down, in order and within the drain time."""

    async def reload(self, settings: Settings) -> None:
        """Use these settings, which differ only in what may change."""


Start = Callable[[Any, Settings, Callable[[str], None]], Running]


def away(error: str) -> None:
    """Say that there is no database, and that the process therefore ends."""
    _log.error("journal.away", error=error, action="the process ends; the service manager starts it again")


def serve(reactor: Any, settings: Settings, start: Start, reread: Reread | None = None) -> int:
    """Run until SIGTERM, SIGINT or a fatal fault; returns the exit code. A second signal ends at once.

    SIGHUP reads the settings again with `reread`; without it, it ends the process as it does any other.
    """
    outcome = _Outcome(reactor)

    def fatal(reason: str) -> None:
        _log.error("daemon.fatal", reason=reason, action="the process ends; the service manager starts it again")
        outcome.code = FAILED
        # The journal may be gone: nothing that still runs may write, so there is no orderly way out.
        reactor.callLater(0, os._exit, FAILED) if "journal" in reason else outcome.leave()

    try:
        locked = lock(settings.state_dir)
    except (AlreadyRunning, OSError) as error:
        _log.error("daemon.not_started", error=str(error))
        return UNAVAILABLE
    try:
        running = start(reactor, settings, fatal)
    except DBAPIError as error:
        said = trouble(error)
        if said is None:
            raise
        # It was there a moment ago, when the settings were checked.
        away(said)
        os.close(locked)
        return UNAVAILABLE

    async def up() -> None:
        await running.start()
        # What was loaded stays until the end: the collector need not walk through it again and again.
        gc.collect()
        gc.freeze()
        _log.info("daemon.started", node=settings.node, mode=settings.mode, pid=os.getpid())

    def failed(failure: Failure) -> None:
        if outcome.leaving:
            # Told to end before it had begun: what it then could not begin any more is no fault.
            return
        if isinstance(failure.value, CannotListenError):
            _log.error("daemon.not_started", error=str(failure.value), action="is another daemon running?")
            outcome.code = UNAVAILABLE
        elif (said := trouble(failure.value)) is not None:
            away(said)
            outcome.code = UNAVAILABLE
        else:
            _log.error("daemon.not_started", error=failure.getTraceback(detail="brief"))
            outcome.code = FAILED
        outcome.leave()

    def begin() -> None:
        outcome.starting = Deferred.fromCoroutine(up()).addErrback(failed)

    async def down() -> None:
        _log.info("daemon.stopping")
        await running.stop()
        _log.info("daemon.stopped")

    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(down()).addErrback(_not_stopped))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reactor.callFromThread(outcome.signalled))
    if reread is not None:
        Reloading(settings, reread, lambda new: Deferred.fromCoroutine(running.reload(new))).listen(reactor)
    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    os.close(locked)
    return outcome.code


def _not_stopped(failure: Failure) -> None:
    _log.error("daemon.not_stopped", error=failure.getTraceback(detail="brief"))


class _Outcome:
    def __init__(self, reactor: Any) -> None:
        self.code = OK
        self._reactor = reactor
        self.leaving = False
        self.starting: Deferred[None] | None = None

    def leave(self) -> None:
        if not self.leaving:
            self.leaving = True
            if self.starting is not None:
                self.starting.cancel()
            self._reactor.stop()

    def signalled(self) -> None:
        """A second signal means: now. Everything that matters is on disk."""
        if self.leaving:
            os._exit(self.code or FAILED)
        self.leave()
