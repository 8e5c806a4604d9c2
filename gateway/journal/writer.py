"""The journal as the gateway uses it: units wait in the reactor's thread, groups are committed by the writer's thread.

A lone unit is committed at once. Under load a group starts at most once in `linger_ms`, or as soon as the group
before it is done and `cap` units wait. Of patient units (orders from the broker) a group takes no more than
`PATIENT_MOST`: a payment needs two groups from ready to settled, and after an outage hundreds of orders come at once.

A unit for which a stranger has locked a row is run again with the next group, for as long as that lasts. It is no fault
of whoever wrote it, and what else there is to write goes on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.clock import Clock, Entropy, SystemEntropy
from gateway.journal import databases, vaults
from gateway.journal.committer import Committed, Committer
from gateway.journal.executor import Executor, ThreadExecutor
from gateway.journal.permits import Permits
from gateway.journal.store import OnCommit, StoreFailed, Unit
from gateway.journal.vault import Vault

T = TypeVar("T")
READERS = 2
PATIENT_MOST = 32
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_Waiting: TypeAlias = tuple[Unit[Any], Deferred[Any], bool]
_log = Logger()


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """One group commit, for the meters: how many units, how many of them failed, how long the writer took."""

    units: int
    failed: int
    duration_s: float


def log_fatal(error: BaseException) -> None:
    """Only logs. The daemon passes something that ends the process instead."""
    _log.critical("the journal is lost, the process must end: {error}", error=error)


class SqlStore:
    """The Store over a SQL database that `migrations.upgrade` has brought up to date. See `store.Store`.

    `on_fatal` is called once, in the reactor's thread, when the journal cannot go on: end the process. `executor`
    has one worker and runs the writer, `reading` runs readers; both default to threads of their own. For an
    in-memory SQLite both must be the same inline executor. `pause` blocks the writer between tries to reconnect.
    """

    def __init__(
        self,
        url: str,
        reactor: IReactorFromThreads,
        clock: Clock,
        node: str,
        vault: Vault,
        permit_log: Permits,
        linger_ms: float = 3.0,
        *,
        cap: int = 256,
        entropy: Entropy | None = None,
        on_fatal: Callable[[BaseException], object] = log_fatal,
        observe: Callable[[GroupFacts], object] | None = None,
        executor: Executor | None = None,
        reading: Executor | None = None,
        reconnect_s: float = 600.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._linger_s = linger_ms / 1000
        self._cap = cap
        self._on_fatal = on_fatal
        self._observe = observe
        self._reconnect_s = reconnect_s
        self._pause = pause
        self._executor = executor or ThreadExecutor(reactor, "journal-writer")
        self._reading = reading or ThreadExecutor(reactor, "journal-reader", READERS)
        engine = databases.connect(url, connections=1, writing=True)
        if databases.is_memory(url):
            self._readers = engine
        else:
            self._readers = databases.connect(url, connections=READERS, writing=False)
        for each in {engine, self._readers}:
            vaults.attach(each, vault)
        self._resting: list[Connection] = []
        self._committer = Committer(
            engine, clock, node, vault, entropy or SystemEntropy(), permit_log, reconnect_s, pause
        )
        self._waiting: deque[_Waiting] = deque()
        self._listeners: list[OnCommit] = []
        self._timer: IDelayedCall | None = None
        self._busy = False
        self._not_before_s = 0.0
        self._failed: StoreFailed | None = None
        self._closing: Deferred[None] | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many units wait for the writer; those under way not counted."""
        return len(self._waiting)

    def open(self) -> Deferred[None]:
        """Connect and check the vault's key now rather than at the first write. Fails with StoreFailed."""
        opened: Deferred[None] = Deferred()

        def then(result: None | Failure) -> None:
            if isinstance(result, Failure):
                opened.errback(result)
            else:
                opened.callback(None)

        self._executor.run(self._committer.open, then)
        return opened

    def write(self, unit: Unit[T], *, patient: bool = False) -> Deferred[T]:
        """Run `unit` in the writer's next transaction. See Store.write."""
        if self._failed is not None or self._closing is not None:
            return fail(self._failed or StoreFailed("the journal is closed; nothing of this unit was written"))
        done: Deferred[T] = Deferred()
        self._waiting.append((unit, done, patient))
        self._wake()
        return done

    def read(self, fn: Callable[[Connection], T]) -> Deferred[T]:
        """Run `fn` on a reading connection, again while the database is away, as the writer does. See Store.read."""
        if self._closed:
            return fail(StoreFailed("the journal is closed; nothing was read"))
        done: Deferred[T] = Deferred()

        def then(result: T | Failure) -> None:
            if isinstance(result, Failure):
                done.errback(result)
            else:
                done.callback(result)

        self._reading.run(lambda: self._read(fn), then)
        return done

    def _read(self, fn: Callable[[Connection], T]) -> T:
        until_s, pause_s = self._clock.monotonic_s() + self._reconnect_s, _FIRST_PAUSE_S
        while True:
            try:
                return self._read_once(fn)
            except (DBAPIError, OSError) as error:
                # An OSError is the system's own word: no descriptor left for a connection, for one.
                away = isinstance(error, OSError) or databases.is_trouble(error)
                leaving = self._closing is not None or self._failed is not None
                if leaving or not away or self._clock.monotonic_s() > until_s:
                    raise
            self._pause(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _read_once(self, fn: Callable[[Connection], T]) -> T:
        """One try, on a connection that rests between readers: fetching one costs as much as a read by key."""
        try:
            conn = self._resting.pop()
        except IndexError:
            conn = self._readers.connect()
        try:
            found = fn(conn)
            conn.rollback()
        except BaseException:
            conn.close()
            raise
        self._resting.append(conn)
        return found

    def listen(self, on_commit: OnCommit) -> None:
        """Call `on_commit` once after each commit. See Store.listen."""
        self._listeners.append(on_commit)

    def close(self) -> Deferred[None]:
        """Commit what waits, then close. See Store.close."""
        if self._closing is None:
            self._closing = Deferred()
            self._wake()
            self._close_if_done()
            return self._closing
        return succeed(None) if self._closing.called else self._closing

    def _wake(self) -> None:
        """See to it that the waiting units are committed: now, or when the linger is over."""
        if self._busy or not self._waiting:
            return
        delay_s = self._not_before_s - self._clock.monotonic_s()
        if len(self._waiting) >= self._cap or self._closing is not None:
            delay_s = 0.0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if self._timer is None:
            # Even a lone unit waits for the end of this turn: what the same turn writes goes with it.
            self._timer = self._clock.later(max(delay_s, 0.0), self._dispatch)

    def _dispatch(self) -> None:
        self._timer = None
        self._busy = True
        started_s = self._clock.monotonic_s()
        self._not_before_s = started_s + self._linger_s
        group = self._next_group()
        units = [unit for unit, _, _ in group]
        admitting = {n for n, (_, _, patient) in enumerate(group) if patient}

        def work() -> tuple[Committed, float]:
            began_s = self._clock.monotonic_s()
            return self._committer.commit(units, admitting), self._clock.monotonic_s() - began_s

        self._executor.run(work, lambda result: self._ended(group, result))

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        left: list[_Waiting] = []
        room = PATIENT_MOST
        while self._waiting and len(group) < self._cap:
            unit, done, patient = self._waiting.popleft()
            if patient and not room:
                left.append((unit, done, patient))
                continue
            room -= patient
            group.append((unit, done, patient))
        self._waiting.extendleft(reversed(left))
        return group

    def _ended(self, group: list[_Waiting], result: tuple[Committed, float] | Failure) -> None:
        self._busy = False
        if isinstance(result, Failure):
            self._fail([done for _, done, _ in group], result)
            return
        committed, duration_s = result
        if self._observe is not None:
            failed = sum(isinstance(value, Failure) for value in committed.results)
            self._observe(GroupFacts(len(group), failed, duration_s))
        if committed.mails or committed.works:
            for listener in self._listeners:
                self._tell(listener, committed)
        locked: list[_Waiting] = []
        for waiting, value in zip(group, committed.results, strict=True):
            if isinstance(value, Failure) and databases.is_locked(value.value) and self._closing is None:
                locked.append(waiting)
            else:
                # callback() with a Failure starts the errbacks.
                waiting[1].callback(value)
        if locked:
            _log.warn("{units} units wait for rows that another session has locked", units=len(locked))
            self._waiting.extendleft(reversed(locked))
        self._wake()
        self._close_if_done()

    def _tell(self, listener: OnCommit, committed: Committed) -> None:
        try:
            listener(committed.mails, committed.works)
        except Exception:
            # What it missed is in the database; the units' own callers must still hear that they are committed.
            _log.failure("a listener of the journal failed; what it missed is read again when it next scans")

    def _fail(self, deferreds: list[Deferred[Any]], failure: Failure) -> None:
        error = failure.value
        if isinstance(error, StoreFailed):
            self._failed = error
        else:
            self._failed = StoreFailed(f"the journal's writer broke: {error!r}")
            self._failed.__cause__ = error
        waiting = [done for _, done, _ in self._waiting]
        self._waiting.clear()
        self._on_fatal(self._failed)
        for done in deferreds + waiting:
            done.errback(self._failed)
        self._close_if_done()

    def _close_if_done(self) -> None:
        closing = self._closing
        if closing is None or self._busy or self._waiting:
            return

        def gone(_result: None | Failure) -> None:
            self._executor.stop().addCallback(lambda _: stop_reading()).addCallback(lambda _: finish())

        def stop_reading() -> Deferred[None]:
            self._closed = True
            return self._reading.stop()

        def finish() -> None:
            for conn in self._resting:
                conn.close()
            self._readers.dispose()
            if not closing.called:
                closing.callback(None)

        self._busy = True  # nothing more will be dispatched
        self._executor.run(self._committer.close, gone)
