"""Run the gateway in this process: lock the state folder, start, serve until a signal, stop in order."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from gateway.cli.exit_codes import FAILED, OK, UNAVAILABLE
from gateway.cli.reload import Reloading, Reread
from gateway.control.offline.journal_access import trouble
from gateway.control.offline.start_faults import StartFault, remedy_of_fatal, start_fault
from gateway.control.offline.state_lock import AlreadyRunning, lock
from gateway.kernel import log, reload_refusals, run_record, signals, start_failures
from gateway.settings import Settings

_log = log.get("daemon")


class Running(Protocol):
    """The interface of the composition root that `serve` uses: start, stop and reload."""

    async def start(self) -> None:
        """Start the whole gateway."""

    async def stop(self) -> None:
        """Stop the gateway in order, within the drain time."""

    async def reload(self, settings: Settings) -> None:
        """Use these settings, which differ from the present ones only in keys that may change."""


Start = Callable[[Any, Settings, Callable[[str], None]], Running]


SAME_SIGNAL_S = 1.0
"""Signals that come within this time count as one, because a process and its group often get both."""
SWITCH_S = 0.0005
"""How long one thread may keep the interpreter while another waits for it. The reactor and the journal's writer share
it at each commit; Python's own 5 ms would stand in the way of a payment up to three times."""
AWAY = "start the database, or mend the way to it; the service manager starts the daemon again"


def away(error: str, settings: Settings) -> None:
    """Log that there is no database, and that the process ends for that reason."""
    _log.error("journal.away", error=error, action="the process ends; the service manager starts it again")
    _note(settings, UNAVAILABLE, f"the database of the journal is out of reach: {error}", AWAY)


def not_started(fault: StartFault, settings: Settings) -> None:
    """Log why the daemon cannot start, and keep the reason for `bankgw status`."""
    _log.error("daemon.not_started", error=fault.cause, action=fault.remedy)
    _note(settings, UNAVAILABLE, fault.cause, fault.remedy)


def _note(settings: Settings, code: int, cause: str, remedy: str) -> None:
    start_failures.note(settings.state_dir, code, cause, remedy)
    run_record.end(settings.state_dir, code, cause, remedy)


def serve(reactor: Any, settings: Settings, start: Start, reread: Reread | None = None) -> int:
    """Run the gateway until SIGTERM, SIGINT or a fatal fault; returns the exit code. A second signal ends the process
    at once.

    SIGHUP reads the settings again with `reread`. Without `reread` it ends the process, as it ends any other.
    """
    outcome = _Outcome(reactor, settings)
    sys.setswitchinterval(SWITCH_S)

    try:
        locked = lock(settings.state_dir)
    except (AlreadyRunning, OSError) as error:
        remedy = "a daemon runs already: leave it, or stop it first; bankgw status tells how it is"
        fault = start_fault(error, settings) or StartFault(str(error), remedy)
        _log.error("daemon.not_started", error=fault.cause, action=fault.remedy)
        start_failures.note(settings.state_dir, UNAVAILABLE, fault.cause, fault.remedy)
        return UNAVAILABLE
    before = run_record.last(settings.state_dir)
    run_record.begin(settings.state_dir)
    reload_refusals.forget(settings.state_dir)
    try:
        running = start(reactor, settings, outcome.fatal)
    except Exception as error:
        # A database that is away now was there a moment ago, when the settings were checked.
        outcome.not_up(Failure(error))
        os.close(locked)
        return outcome.code

    async def up() -> None:
        await running.start()
        # Loaded modules stay until the end, so the garbage collector need not visit them again.
        gc.collect()
        gc.freeze()
        start_failures.forget(settings.state_dir)
        ended = {} if before is None else {"last_end": before.ended_at or before.seen_at, "last_cause": before.why()}
        _log.info("daemon.started", node=settings.node, mode=settings.mode, pid=os.getpid(), **ended)

    def begin() -> None:
        outcome.starting = Deferred.fromCoroutine(up()).addErrback(outcome.failed)

    async def down() -> None:
        _log.info("daemon.stopping")
        await running.stop()
        _log.info("daemon.stopped")

    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(down()).addErrback(_not_stopped))
    signals.listen(reactor, (signal.SIGTERM, signal.SIGINT), outcome.signalled)
    if reread is not None:
        Reloading(settings, reread, lambda new: Deferred.fromCoroutine(running.reload(new))).listen(reactor)
    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    run_record.end(settings.state_dir, outcome.code, outcome.reason, run_record.START_IT)
    os.close(locked)
    return outcome.code


def _not_stopped(failure: Failure) -> None:
    _log.error(
        "daemon.not_stopped",
        error=failure.getTraceback(detail="brief"),
        action="the process ends anyway; the journal keeps everything that was committed; report this error",
    )


class _Outcome:
    def __init__(self, reactor: Any, settings: Settings) -> None:
        self.code = OK
        self._settings = settings
        self._reactor = reactor
        self.leaving = False
        self._signalled_s = float("-inf")
        self.starting: Deferred[None] | None = None
        self.reason = "stopped in order"

    def fatal(self, reason: str) -> None:
        """End with FAILED, because nothing can go on."""
        _log.error("daemon.fatal", reason=reason, action="the process ends; the service manager starts it again")
        self.code = FAILED
        _note(self._settings, FAILED, reason, remedy_of_fatal(reason))
        # The journal may be gone: nothing that still runs may write, so there is no orderly way out.
        self._reactor.callLater(0, os._exit, FAILED) if reason.startswith("the journal") else self.leave()

    def failed(self, failure: Failure) -> None:
        """Log why the start failed, and end."""
        if self.leaving:
            # The signal came before the start had ended, so an unfinished start is no fault.
            return
        self.not_up(failure)
        self.leave()

    def not_up(self, failure: Failure) -> None:
        """Log and note why the start failed: a fault that a person can mend, or a defect with its traceback."""
        self.code = UNAVAILABLE
        if isinstance(failure.value, CannotListenError):
            remedy = "is another daemon running? Free the port, or set watch.port"
            not_started(StartFault(str(failure.value), remedy), self._settings)
        elif (said := trouble(failure.value)) is not None:
            away(said, self._settings)
        elif (fault := start_fault(failure.value, self._settings)) is not None:
            not_started(fault, self._settings)
        else:
            self.code, action = FAILED, "a defect of the program: report this error"
            _log.error("daemon.not_started", error=failure.getTraceback(detail="brief"), action=action)
            _note(self._settings, FAILED, failure.getErrorMessage() or repr(failure.value), action)

    def leave(self) -> None:
        if not self.leaving:
            self.leaving = True
            if self.starting is not None:
                self.starting.cancel()
            self._reactor.stop()

    def signalled(self, number: int = signal.SIGTERM) -> None:
        """End at once on a second signal, unless it is the copy that a service manager sends to the whole group.

        No data is lost, because everything that matters is on disk.
        """
        now_s = self._reactor.seconds()
        if not self.leaving:
            self._signalled_s = now_s
            self.reason = f"stopped in order, after {signal.Signals(number).name}"
            self.leave()
        elif now_s - self._signalled_s > SAME_SIGNAL_S:
            cause = f"ended at once, after a second {signal.Signals(number).name}"
            run_record.end(self._settings.state_dir, self.code or FAILED, cause, run_record.START_IT)
            os._exit(self.code or FAILED)
