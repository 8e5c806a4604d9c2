"""Group commit: units queue in the reactor's thread, and the writer's thread commits them in groups.

A lone unit is committed at once. Under load a group starts at most once per `linger_ms`, or as soon as the previous
group is done and `cap` units wait. A group takes at most `PATIENT_MOST` units that admit orders from the broker: a
payment needs two groups from ready to settled, and after an outage hundreds of orders arrive at once.

A unit that needs a row locked by another session is put aside and retried about every second, a few at a time and
alternating with groups of the other units, so that these are not delayed. While any unit is aside, no unit waits long
for a lock.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.kernel.clock import Clock, Entropy, SystemEntropy
from gateway.kernel.commit import registers
from gateway.kernel.commit.committer import UNTRIED, Committed, Committer
from gateway.kernel.commit.permit_log import Permits
from gateway.kernel.commit.ports import NO_PORTS, Ports
from gateway.kernel.commit.rows import Head
from gateway.kernel.commit.store import OnCommit, StoreFailed, Unit
from gateway.kernel.sql import databases, vaults
from gateway.kernel.sql.executor import Executor, ThreadExecutor
from gateway.kernel.sql.progress import Progress, WriterState, attach
from gateway.kernel.sql.vault import Vault

T = TypeVar("T")
READERS = 2
PATIENT_MOST = 32
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
# How long locked units wait before a retry, and how many are retried at once.
_REST_S, _AGAIN_MOST = 1.0, 8
# How often a log line says that they still wait.
_SAID_S = 30.0
_log = Logger()


@dataclass(slots=True)
class _Waiting:
    """A unit that waits for the writer, and the Deferred of its caller. `locked`: the Failure of its last run, if
    another session held a lock.
    """

    unit: Unit[Any]
    done: Deferred[Any]
    sender: str | None
    locked: Failure | None = None


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """The metrics of one group commit: its number of units, how many failed, and the writer's time."""

    units: int
    failed: int
    duration_s: float


def log_fatal(error: BaseException) -> None:
    """Log the error. The daemon passes a function that ends the process instead."""
    _log.critical("the journal is lost, the process must end: {error}", error=error)


class SqlStore:
    """The Store over a SQL database that `migrations.upgrade` has brought up to date. See `store.Store`.

    `on_fatal` is called once, in the reactor's thread, when the journal cannot continue; it must end the process.
    `executor` has one worker and runs the writer, `reading` runs readers; both default to threads of their own. For an
    in-memory SQLite both must be the same inline executor. `pause` blocks the writer between attempts to reconnect.
    `writer_state` is for the watch. `ports` are the ports to higher rooms, for the transactions.
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
        ports: Ports = NO_PORTS,
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
        self._progress = Progress()
        attach(engine, self._progress)
        self._resting: list[Connection] = []
        self._tried_s = float("-inf")
        self._trouble = ""
        self._committer = Committer(
            engine,
            clock,
            node,
            vault,
            entropy or SystemEntropy(),
            permit_log,
            reconnect_s,
            self._rest_before_retry,
            ports,
        )
        self._waiting: deque[_Waiting] = deque()
        self._aside: deque[_Waiting] = deque()
        self._again_at_s, self._said_at_s, self._timer_at_s = 0.0, 0.0, 0.0
        self._last_again = False
        self._listeners: list[OnCommit] = []
        self._timer: IDelayedCall | None = None
        self._busy = False
        self._not_before_s = 0.0
        self._failed: StoreFailed | None = None
        self._closing: Deferred[None] | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """The number of units that wait for the writer, without those that it is running."""
        return len(self._waiting) + len(self._aside)

    def writer_state(self) -> WriterState:
        """The present state of the writer."""
        return WriterState(self._tried_s, self._trouble, (self._progress.transaction, self._progress.statements))

    @property
    def head(self) -> Head:
        """The committed head of this node's audit chain."""
        return self._committer.committed

    def open(self) -> Deferred[None]:
        """Connect and check the vault's key before the first write. Fails with StoreFailed."""
        opened: Deferred[None] = Deferred()

        def then(result: None | Failure) -> None:
            if isinstance(result, Failure):
                opened.errback(result)
            else:
                opened.callback(None)

        self._executor.run(self._committer.open, then)
        return opened

    def write(self, unit: Unit[T], *, sender: str | None = None) -> Deferred[T]:
        """Run `unit` in the writer's next transaction. See Store.write."""
        if self._failed is not None or self._closing is not None:
            return fail(self._failed or StoreFailed("the journal is closed; nothing of this unit was written"))
        done: Deferred[T] = Deferred()
        self._waiting.append(_Waiting(unit, done, sender))
        self._wake()
        return done

    def read(self, fn: Callable[[Connection], T]) -> Deferred[T]:
        """Run `fn` on a reading connection, and retry while the database is away. See Store.read."""
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
                # An OSError comes from the system, for example when no descriptor is free for a connection.
                away = isinstance(error, OSError) or databases.is_trouble(error)
                leaving = self._closing is not None or self._failed is not None
                self._trouble = str(getattr(error, "orig", error)).strip()
                if leaving or not away or self._clock.monotonic_s() > until_s:
                    raise
            self._pause(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _read_once(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` once on a reading connection, which is kept because opening one costs as much as a read by key."""
        try:
            conn = self._resting.pop()
        except IndexError:
            conn = self._readers.connect()
        try:
            registers.begin_read(conn)
            found = fn(conn)
            conn.rollback()
        except BaseException:
            databases.discard(conn)
            raise
        self._resting.append(conn)
        self._trouble = ""
        return found

    def _rest_before_retry(self, seconds: float) -> None:
        """Sleep in the writer's thread before it retries a database that failed."""
        self._tried_s = self._clock.monotonic_s()
        self._pause(seconds)

    def listen(self, on_commit: OnCommit) -> None:
        """Call `on_commit` once after each commit. See Store.listen."""
        self._listeners.append(on_commit)

    def close(self) -> Deferred[None]:
        """Commit the waiting units, then close all connections. See Store.close."""
        if self._closing is None:
            self._closing = Deferred()
            self._wake()
            self._close_if_done()
            return self._closing
        return succeed(None) if self._closing.called else self._closing

    def _wake(self) -> None:
        """Schedule the next group: now, after the linger time, or when the waiting time of the units put aside is
        over.
        """
        if self._busy or not (self._waiting or self._aside):
            return
        now_s = self._clock.monotonic_s()
        at_s = max(self._next_at_s() if self._aside else self._not_before_s, now_s)
        hurry = len(self._waiting) >= self._cap or self._closing is not None
        if self._timer is not None and (hurry or at_s < self._timer_at_s):
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            # Even a lone unit waits until this reactor turn ends, so that units of the same turn go with it.
            self._timer_at_s = now_s if hurry else at_s
            self._timer = self._clock.later(self._timer_at_s - now_s, self._dispatch)

    def _next_at_s(self) -> float:
        return min(self._not_before_s, self._again_at_s) if self._waiting else self._again_at_s

    def _dispatch(self) -> None:
        self._timer = None
        self._busy = True
        started_s = self._clock.monotonic_s()
        again = self._last_again = self._whose_turn(started_s)
        hurried = bool(self._aside) or self._closing is not None
        if again:
            most = _AGAIN_MOST if self._closing is None else len(self._aside)
            group = [self._aside.popleft() for _ in range(min(len(self._aside), most))]
        else:
            self._not_before_s = started_s + self._linger_s
            group = self._next_group()
        units = [one.unit for one in group]
        senders = {n: one.sender for n, one in enumerate(group) if one.sender is not None}

        def work() -> tuple[Committed, float]:
            began_s = self._clock.monotonic_s()
            done = self._committer.commit(units, senders, hurried=hurried, singly=again)
            return done, self._clock.monotonic_s() - began_s

        self._executor.run(work, lambda result: self._ended(group, result))

    def _whose_turn(self, now_s: float) -> bool:
        """True if the units put aside are next: their waiting time is over, and other waiting units were run before
        them.
        """
        if not self._aside or (self._waiting and self._last_again):
            return False
        return not self._waiting or self._closing is not None or now_s >= self._again_at_s

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        left: list[_Waiting] = []
        room = PATIENT_MOST
        behind = {one.sender: one.locked for one in self._aside if one.sender is not None}
        while self._waiting and len(group) < self._cap:
            one = self._waiting.popleft()
            if one.sender in behind:
                one.locked = behind[one.sender]
                self._aside.append(one)
            elif one.sender is not None and not room:
                left.append(one)
            else:
                room -= one.sender is not None
                group.append(one)
        self._waiting.extendleft(reversed(left))
        return group

    def _ended(self, group: list[_Waiting], result: tuple[Committed, float] | Failure) -> None:
        self._busy = False
        if isinstance(result, Failure):
            self._fail(group, result)
            return
        committed, duration_s = result
        # Do this first: a callback of the ended units may close the journal.
        ended = self._put_aside(group, committed.results)
        if self._observe is not None:
            failed = sum(isinstance(value, Failure) for value in committed.results)
            self._observe(GroupFacts(len(group), failed, duration_s))
        if committed.hand_over:
            for listener in self._listeners:
                self._tell(listener, committed)
        for one, value in ended:
            # callback() with a Failure starts the errbacks.
            one.done.callback(value)
        self._wake()
        self._close_if_done()

    def _put_aside(self, group: list[_Waiting], results: Sequence[Any]) -> list[tuple[_Waiting, Any]]:
        """Put aside the units that must run again; returns the others with their values."""
        ended: list[tuple[_Waiting, Any]] = []
        locked: list[_Waiting] = []
        untried: list[_Waiting] = []
        closing = self._closing is not None
        met = next((value for value in results if _is_locked(value)), None)
        for one, value in zip(group, results, strict=True):
            # While closing there is no time for locked units, nor for more orders from outside.
            over = closing and (one.locked is not None or one.sender is not None)
            if value is UNTRIED and not over:
                untried.append(one)
            elif _is_locked(value) and not closing:
                one.locked = value
                locked.append(one)
            else:
                ended.append((one, met if value is UNTRIED else value))
        (self._aside if self._last_again else self._waiting).extendleft(reversed(untried))
        if locked:
            self._rest(locked)
        return ended

    def _rest(self, locked: list[_Waiting]) -> None:
        now_s = self._clock.monotonic_s()
        # A newly locked unit does not delay the retry of the others.
        if self._last_again or not self._aside:
            self._again_at_s = now_s + _REST_S
        # A later unit of a sender does not overtake an earlier one.
        senders = {one.sender for one in locked} - {None}
        others = [one for one in self._aside if one.sender not in senders]
        theirs = [one for one in self._aside if one.sender in senders]
        self._aside = deque([*others, *locked, *theirs])
        if not self._last_again or now_s >= self._said_at_s + _SAID_S:
            self._said_at_s = now_s
            _log.warn("{units} units wait for rows that another session has locked", units=len(self._aside))

    def _tell(self, listener: OnCommit, committed: Committed) -> None:
        try:
            listener(committed.hand_over)
        except Exception:
            # The changes that the listener missed are in the database; the callers must still learn that their units
            # are committed.
            _log.failure("a commit listener failed; what it missed is read again at its next scan")

    def _fail(self, group: list[_Waiting], failure: Failure) -> None:
        error = failure.value
        if isinstance(error, StoreFailed):
            self._failed = error
        else:
            self._failed = StoreFailed(f"the journal's writer broke: {error!r}")
            self._failed.__cause__ = error
        all_of_them = [*group, *self._aside, *self._waiting]
        self._aside.clear()
        self._waiting.clear()
        self._on_fatal(self._failed)
        for one in all_of_them:
            one.done.errback(self._failed)
        self._close_if_done()

    def _close_if_done(self) -> None:
        closing = self._closing
        if closing is None or self._busy or self._waiting or self._aside:
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


def _is_locked(value: Any) -> bool:
    return isinstance(value, Failure) and databases.is_locked(value.value)
