"""Run the gateway in this process: lock the state folder, start, serve until a signal, stop in order."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from gateway import log, start_failures
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


SAME_SIGNAL_S = 1.0
"""Signals that are no further apart are one: a process and its group are often told both."""
SWITCH_S = 0.0005
"""How long one thread may keep the interpreter while another waits for it. The reactor and the journal's writer share
it at each commit; Python's own 5 ms would stand in the way of a payment up to three times."""
AWAY = "start the database, or mend the way to it; the service manager starts the daemon again"


def away(error: str, settings: Settings) -> None:
    """Say that there is no database, and that the process therefore ends."""
    _log.error("journal.away", error=error, action="the process ends; the service manager starts it again")
    start_failures.note(settings.state_dir, UNAVAILABLE, f"the database of the journal is out of reach: {error}", AWAY)


def serve(reactor: Any, settings: Settings, start: Start, reread: Reread | None = None) -> int:
    """Run until SIGTERM, SIGINT or a fatal fault; returns the exit code. A second signal ends at once.

    SIGHUP reads the settings again with `reread`; without it, it ends the process as it does any other.
    """
    outcome = _Outcome(reactor, settings)
    sys.setswitchinterval(SWITCH_S)

    try:
        locked = lock(settings.state_dir)
    except (AlreadyRunning, OSError) as error:
        remedy = "a daemon runs already: leave it, or stop it first; bankgw status tells how it is"
        _log.error("daemon.not_started", error=str(error), action=remedy)
        start_failures.note(settings.state_dir, UNAVAILABLE, str(error), remedy)
        return UNAVAILABLE
    try:
        running = start(reactor, settings, outcome.fatal)
    except DBAPIError as error:
        said = trouble(error)
        if said is None:
            raise
        # It was there a moment ago, when the settings were checked.
        away(said, settings)
        os.close(locked)
        return UNAVAILABLE

    async def up() -> None:
        await running.start()
        # What was loaded stays until the end: the collector need not walk through it again and again.
        gc.collect()
        gc.freeze()
        start_failures.forget(settings.state_dir)
        _log.info("daemon.started", node=settings.node, mode=settings.mode, pid=os.getpid())

    def begin() -> None:
        outcome.starting = Deferred.fromCoroutine(up()).addErrback(outcome.failed)

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
    def __init__(self, reactor: Any, settings: Settings) -> None:
        self.code = OK
        self._settings = settings
        self._reactor = reactor
        self.leaving = False
        self._signalled_s = float("-inf")
        self.starting: Deferred[None] | None = None

    def fatal(self, reason: str) -> None:
        """Nothing can go on: end with FAILED."""
        _log.error("daemon.fatal", reason=reason, action="the process ends; the service manager starts it again")
        self._note(FAILED, reason, "mend what this names; the daemon is started again")
        self.code = FAILED
        # The journal may be gone: nothing that still runs may write, so there is no orderly way out.
        self._reactor.callLater(0, os._exit, FAILED) if "journal" in reason else self.leave()

    def failed(self, failure: Failure) -> None:
        """The start failed: say why, and end."""
        if self.leaving:
            # Told to end before it had begun: what it then could not begin any more is no fault.
            return
        if isinstance(failure.value, CannotListenError):
            remedy = "is another daemon running? Free the port, or set watch.port"
            _log.error("daemon.not_started", error=str(failure.value), action=remedy)
            self._note(UNAVAILABLE, str(failure.value), remedy)
        elif (said := trouble(failure.value)) is not None:
            away(said, self._settings)
            self.code = UNAVAILABLE
        else:
            _log.error("daemon.not_started", error=failure.getTraceback(detail="brief"))
            self._note(FAILED, failure.getErrorMessage(), "see the daemon's log")
        self.leave()

    def _note(self, code: int, cause: str, remedy: str) -> None:
        start_failures.note(self._settings.state_dir, code, cause, remedy)
        self.code = code

    def leave(self) -> None:
        if not self.leaving:
            self.leaving = True
            if self.starting is not None:
                self.starting.cancel()
            self._reactor.stop()

    def signalled(self) -> None:
        """A second signal, other than the copy that a service manager sends to the whole group, means: now.

        Everything that matters is on disk."""
        now_s = self._reactor.seconds()
        if not self.leaving:
            self._signalled_s = now_s
            self.leave()
        elif now_s - self._signalled_s > SAME_SIGNAL_S:
            os._exit(self.code or FAILED)
