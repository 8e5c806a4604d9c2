"""A lane's sessions: each carries one conversation at a time over its own connections.

If the bank keeps sessions, a session keeps its connections, signs on, and is ready after the first application answer.
If connections are short, sessions dial for each exchange, and one repeated probe proves all sessions of the lane. If
such a bank requires a sign-on, there is one for all sessions, which share its result (a token). session_states has the
states and their moves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.bank.answer_times import AnswerTimes
from gateway.bank.bank_session import BankSession, Dialer
from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.exchange_trace import LaneTrace
from gateway.bank.fault_reasons import signed_out as is_signed_out
from gateway.bank.handshake_errors import Reason
from gateway.bank.login import Login
from gateway.bank.session_states import SessionEvent, SessionState, after
from gateway.kernel import log
from gateway.kernel.clock import Clock, Entropy
from gateway.kernel.meters import Meters
from gateway.kernel.tasks import Tasks, sleep
from protocols.bank import Bank, Context, Conversation
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

LAPSED_LOOK_S = 0.25
"""How often a lapsed lease is checked for its renewal."""
FIRST_BACKOFF_S = 0.2
LAST_BACKOFF_S = 30.0
SCOUT_BACKOFF_S, SCOUTED_S = 6.5, 120.0
"""Session 0 tries this often, for this long, and then as rarely as the others. It wakes them when it gets through, so
that after a short outage all sessions are back within 10 s without a rush on the bank."""
LIVED_S = 5.0
"""A session that lasted this long, or carried more than its first exchange, connects again at once; others back off."""

SIGN_ON_REFUSED = "sign_on_refused"
SIGN_ON, PROBE = "sign_on", "probe"
"""The trace's names of a session's own conversations."""
_log = log.get("bank.session_pool")


Converse = Callable[["BankSession", Conversation[Any]], Awaitable[object]]


class SessionPool:
    """All sessions of a lane: `take_session` hands out a ready one, `release` returns it; first in, first out."""

    def __init__(
        self,
        bank: Bank,
        labels: tuple[str, str],
        dialer: Dialer,
        clock: Clock,
        entropy: Entropy,
        meters: Meters,
        window: int,
        converse: Converse,
        context: Callable[[BankSession | None], Awaitable[Context]],
        login: Login,
        permitted: Callable[[], bool],
        trace: LaneTrace,
    ) -> None:
        self.bank = bank
        self.trace = trace
        self.dialer = dialer
        self.clock = clock
        self.answer_times = AnswerTimes()
        self.sessions = [BankSession(self, number) for number in range(window)]
        self._probing = BankSession(self, -1)
        self.stopping = False
        self._labels = labels
        self._entropy = entropy
        self._meters = meters
        self._converse = converse
        self._context = context
        self._permitted = permitted
        self._free: deque[BankSession] = deque()
        self._counts = dict.fromkeys(SessionState, 0) | {SessionState.DOWN: window}
        self._live = 0
        self._meter_of = {state: meters.session_state.labels(*labels, state.value) for state in SessionState}
        self._kept = any(port.kept for port in bank.ports.values())
        self._tasks = Tasks(self._keeper_failed)
        self._lost: dict[int, Deferred[None]] = {}
        self._waiting_for: dict[int, Deferred[None]] = {}
        self._on_free: Callable[[], None] = lambda: None
        self._on_defect: Callable[[Failure], None] = lambda _failure: None
        self._proved_s = float("-inf")
        self._answered_s = float("-inf")
        self._login = login
        self._signed_on = False
        self._signed_on_s = float("-inf")
        self._woken: Deferred[None] | None = None
        self._resting: dict[Deferred[None], float] = {}  # in order, so that a simulation repeats exactly
        self._away_s = float("-inf")

    @property
    def ready(self) -> bool:
        """True if the bank has answered an application message on a session that may carry money now."""
        return self._live > 0

    @property
    def has_free(self) -> bool:
        """True if a session is free now."""
        return any(session.state is SessionState.READY for session in self._free)

    def allow(self, port_name: str) -> None:
        """Raise NotConnected unless this node certainly owns the lane at this very moment."""
        if not self._permitted():
            raise NotConnected(port_name, Reason.LEASE_LAPSED, "another node may speak to this bank")

    def may_write(self) -> bool:
        """True if bytes may be written at this very moment. Each connection asks before every write."""
        return self._permitted()

    def start(self, on_free: Callable[[], None], on_defect: Callable[[Failure], None]) -> None:
        """Begin to connect. `on_free` is called whenever a session becomes free, `on_defect` if the gateway's own code
        fails."""
        self._on_free = on_free
        self._on_defect = on_defect
        self._away_s = self.clock.monotonic_s()
        for state, meter in self._meter_of.items():
            meter.set_function(partial(self._counts.__getitem__, state))
        self._count_live()
        keepers = [self._keep(session) for session in self.sessions] if self._kept else [self._probe_for_ever()]
        for keeper in keepers:
            self._tasks.spawn(keeper)

    def take_session(self) -> BankSession | None:
        """A ready session, which is busy from now on; None if there is none."""
        while self._free:
            session = self._free.popleft()
            if session.state is SessionState.READY:
                self._move(session, SessionEvent.TAKEN)
                session.taken_s = self.clock.monotonic_s()
                return session
        return None

    @property
    def all_sessions(self) -> tuple[BankSession, ...]:
        """The sessions, and the one that only probes."""
        return (*self.sessions, self._probing)

    @property
    def trouble(self) -> str:
        """Why a session has no connection: the slug of the newest failure; empty if none has failed."""
        return SIGN_ON_REFUSED if self._login.quiet_s > 0 else self._newest.trouble

    @property
    def trouble_text(self) -> str:
        """The newest failure to connect as text. While no sign-on is tried, it is the bank's refusal of the last one,
        also if another lane of the same user got it."""
        return self._login.refusal if self._login.quiet_s > 0 else self._newest.trouble_text

    @property
    def _newest(self) -> BankSession:
        return max(self.sessions, key=lambda session: session.failed_s if session.trouble else float("-inf"))

    @property
    def answered_s(self) -> float:
        """When the bank last answered, by the monotonic clock; minus infinity before its first answer."""
        return self._answered_s

    @property
    def quiet_s(self) -> float:
        """The seconds for which no session signs on, because the bank refused the last sign-on; 0.0 if one may now."""
        return self._login.quiet_s

    @property
    def next_try_s(self) -> float | None:
        """The seconds until the next attempt to connect; None while a session is live."""
        if self.ready:
            return None
        if self.quiet_s > 0:
            return self.quiet_s
        return max(min(self._resting.values(), default=0.0) - self.clock.monotonic_s(), 0.0)

    def put_back(self, session: BankSession) -> None:
        """Return a session that was not used."""
        self._move(session, SessionEvent.RELEASED)
        freed = self._waiting_for.pop(session.number, None)
        if freed is not None:
            _fire(freed)
        if session.state is SessionState.READY:
            self._free.append(session)

    def release(self, session: BankSession, *, distrust: bool = False, signed_out: bool = False) -> None:
        """Return the session after a conversation. With `distrust` its connections end now, because nothing on them can
        be trusted any more.

        `signed_out`: the bank does not know the session's sign-on; the session must sign on before anything else is
        sent on it.
        """
        distrust = distrust or signed_out
        if signed_out and not self._kept and self.bank.sessions.sign_on is not None:
            self._session_over(session)
        self._move(session, SessionEvent.RELEASED)
        session.close_short(hang_up=distrust)
        freed = self._waiting_for.pop(session.number, None)
        if freed is not None:
            _fire(freed)
        if not distrust:
            self._proved_s = self._answered_s = self.clock.monotonic_s()
        if session.state is SessionState.READY and not (distrust and self._kept):
            self._free.append(session)
            self._on_free()

    async def _freed(self, session: BankSession) -> None:
        """Return when the session's conversation has ended."""
        freed: Deferred[None] = Deferred()
        self._waiting_for[session.number] = freed
        try:
            await freed
        finally:
            self._waiting_for.pop(session.number, None)

    def _keeper_failed(self, failure: Failure) -> None:
        _log.error(
            "session.keeper_failed",
            bank=self._labels[0],
            lane=self._labels[1],
            error=failure.getTraceback(detail="brief"),
            action="a defect of the program: the lane halts; report this error",
        )
        self._on_defect(failure)

    def lost(self, session: BankSession) -> None:
        """A kept connection of this session ended: it is not ready before the bank has answered again."""
        waiting = self._lost.pop(session.number, None)
        if session.state.live:
            self._move(session, SessionEvent.ENDED)
        if waiting is not None and not waiting.called:
            waiting.callback(None)

    def stop(self) -> None:
        """Hang up everything and stop connecting."""
        self.stopping = True
        self._tasks.stop()
        for session in self.sessions:
            self._move(session, SessionEvent.ENDED)
            session.close_short(hang_up=True)

    # ---- kept sessions ----

    async def _keep(self, session: BankSession) -> None:
        backoff_s = FIRST_BACKOFF_S
        while not self.stopping:
            quiet_s = self._login.quiet_s
            if session.state.held:
                # A conversation still holds it; a new session opened under it would be used before the bank has
                # answered.
                await self._freed(session)
            elif not self._permitted():
                self._move(session, SessionEvent.PAUSE)
                await sleep(self.clock, LAPSED_LOOK_S)
            elif quiet_s > 0:
                self._move(session, SessionEvent.PAUSE)
                await sleep(self.clock, quiet_s + session.number)
            elif await self._open(session):
                since_s = self.clock.monotonic_s()
                await self._guard(session)
                if session.worked or self.clock.monotonic_s() - since_s >= LIVED_S:
                    backoff_s = FIRST_BACKOFF_S
                    continue
                # Pause, so that a front end that hangs up after each sign-on is not signed on to in a loop.
                self._move(session, SessionEvent.BACK_OFF)
                await sleep(self.clock, backoff_s * (0.5 + self._entropy.random()))
                backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)
            elif session.number == 0:
                self._move(session, SessionEvent.BACK_OFF)
                backoff_s = await self._scouted(backoff_s)
            else:
                self._move(session, SessionEvent.BACK_OFF)
                await self._back_off(backoff_s * (0.5 + self._entropy.random()))
                backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)

    async def _scouted(self, backoff_s: float) -> float:
        """Wait as session 0, which tests whether the bank answers again. Returns the next back-off in seconds."""
        await self._back_off(backoff_s * (0.8 + 0.4 * self._entropy.random()))
        last_s = SCOUT_BACKOFF_S if self.clock.monotonic_s() - self._away_s < SCOUTED_S else LAST_BACKOFF_S
        return min(backoff_s * 3, last_s)

    async def _back_off(self, seconds: float) -> None:
        """Sleep, but at most until another session has connected."""
        resting: Deferred[None] = Deferred()
        self._resting[resting] = self.clock.monotonic_s() + seconds
        try:
            await self._until(resting, seconds)
        finally:
            self._resting.pop(resting, None)

    async def _open(self, session: BankSession) -> bool:
        self._move(session, SessionEvent.CONNECT)
        session.trace.purpose = SIGN_ON if self.bank.sessions.sign_on is not None else PROBE
        try:
            for port in self.bank.ports.values():
                if port.kept:
                    await session.line(port.name)
            self._move(session, SessionEvent.CONNECTED)
            sessions = self.bank.sessions
            if sessions.sign_on is None:
                await self._converse(session, sessions.probe(await self._context(None)))
            elif not await self._sign_on(session, sessions.sign_on):
                return False
        except (NotConnected, NoAnswer, ProtocolError) as error:
            self._failed(session, error)
            return False
        self._make_ready(session)
        return True

    async def _sign_on(self, session: BankSession, word: Callable[[Context], Conversation[Mapping[str, str]]]) -> bool:
        """Sign on, one session at a time, because a wrong password tried by all sessions at once would lock the
        login."""
        login = self._login
        await login.door.acquire()
        try:
            if login.quiet_s > 0:
                self._move(session, SessionEvent.ENDED)
                session.close_short(hang_up=True)
                return False
            told = await self._converse(session, word(await self._context(None)))
        except Declined as error:
            self._refused(str(error))
            raise
        finally:
            login.door.release()
        login.accepted()
        assert isinstance(told, Mapping)
        session.sign_on = told
        return True

    def _refused(self, error: str) -> None:
        quiet_s = self._login.refused(error)
        _log.error(
            "session.sign_on_refused",
            bank=self._labels[0],
            lane=self._labels[1],
            error=error,
            quiet_s=quiet_s,
            action=(
                f"no sign-on is tried for {quiet_s:.0f} s; check the login's password, then restart the daemon to try "
                "at once"
            ),
        )

    async def _guard(self, session: BankSession) -> None:
        """Send the bank's heartbeat while the session is idle. Returns when the session has ended."""
        wait_s = self.bank.sessions.probe_every_s
        while session.state.live and not self.stopping:
            gone: Deferred[None] = Deferred()
            self._lost[session.number] = gone
            timer = self.clock.later(wait_s, _fire, gone)
            try:
                await gone
            finally:
                self._lost.pop(session.number, None)
                if timer.active():
                    timer.cancel()
            if not self._permitted():
                # Nothing is sent before the lease is known to hold.
                wait_s = LAPSED_LOOK_S
                continue
            wait_s = self.bank.sessions.probe_every_s
            if session.state is SessionState.READY:
                await self._beat(session)

    async def _beat(self, session: BankSession) -> None:
        self._move(session, SessionEvent.TAKEN)
        session.trace.purpose = PROBE
        try:
            await self._converse(session, self.bank.sessions.probe(await self._context(session)))
        except (NotConnected, NoAnswer, ProtocolError) as error:
            self._failed(session, error)
        finally:
            self._move(session, SessionEvent.RELEASED)
        if session.state is SessionState.READY and session not in self._free:
            self._free.append(session)
            self._on_free()

    # ---- short connections ----

    async def _probe_for_ever(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        probing = self._probing
        every_s = self.bank.sessions.probe_every_s
        while not self.stopping:
            if not self._permitted():
                await sleep(self.clock, LAPSED_LOOK_S)
                continue
            since_s, quiet_s = self.clock.monotonic_s() - self._proved_s, self._login.quiet_s
            if self.ready and since_s < every_s:
                await self._pause(every_s - since_s)
                continue
            if quiet_s > 0 and not self._signed_on:
                await sleep(self.clock, quiet_s)
                continue
            try:
                if not await self._prove(probing):
                    continue
            except (NotConnected, NoAnswer, ProtocolError) as error:
                probing.close_short(hang_up=True)
                self._signed_on = self._signed_on and not is_signed_out(error)
                for session in self.sessions:
                    self._failed(session, error)
                    self._move(session, SessionEvent.BACK_OFF)
                backoff_s = await self._scouted(backoff_s)
                continue
            probing.close_short()
            backoff_s = FIRST_BACKOFF_S
            self._proved_s = self._answered_s = self.clock.monotonic_s()
            for session in self.sessions:
                session.sign_on = probing.sign_on
                if not session.state.live:
                    self._make_ready(session)

    async def _prove(self, probing: BankSession) -> bool:
        """Prove that the bank answers this login: by signing on, or by a probe if it is signed on."""
        sessions = self.bank.sessions
        if sessions.sign_on is not None and not self._signed_on:
            probing.trace.purpose = SIGN_ON
            self._signed_on = await self._sign_on(probing, sessions.sign_on)
            self._signed_on_s = self.clock.monotonic_s()
            return self._signed_on
        probing.trace.purpose = PROBE
        await self._converse(probing, sessions.probe(await self._context(probing)))
        return True

    async def _pause(self, seconds: float) -> None:
        """Sleep, but at most until the bank is known to have ended the sign-on."""
        self._woken = Deferred()
        try:
            await self._until(self._woken, seconds)
        finally:
            self._woken = None

    async def _until(self, fired: Deferred[None], seconds: float) -> None:
        """Return when `fired` fires, or after that many seconds."""
        timer = self.clock.later(seconds, _fire, fired)
        try:
            await fired
        finally:
            if timer.active():
                timer.cancel()

    def _session_over(self, session: BankSession) -> None:
        """Send nothing before the next sign-on, because the bank does not know this sign-on any more."""
        if not self._signed_on or session.taken_s < self._signed_on_s:
            return  # the session was taken before the last sign-on
        self._signed_on = False
        if not session.sign_on:
            # No sign-on token can have expired, so the bank has refused the password.
            self._refused("the login in a message was refused")
        for one in self.sessions:
            self._move(one, SessionEvent.ENDED)
        if self._woken is not None:
            _fire(self._woken)

    # ---- both ----

    def _make_ready(self, session: BankSession) -> None:
        session.worked = False
        first = not self.ready
        self._move(session, SessionEvent.PROVEN)
        self._answered_s = self.clock.monotonic_s()
        session.trouble = session.trouble_text = ""
        _log.info("session.up", bank=self._labels[0], lane=self._labels[1], session=session.number)
        if session.state is SessionState.READY:
            self._free.append(session)
        self._on_free()
        if first:
            # Wake the sessions that got no answer while the bank was away. Sessions whose connections the bank ended
            # wait their full back-off.
            for resting in tuple(self._resting):
                _fire(resting)

    def _failed(self, session: BankSession, error: NotConnected | NoAnswer | ProtocolError) -> None:
        reason = str(error.reason.value if isinstance(error, NotConnected) else error.reason)
        session.failed_s = self.clock.monotonic_s()
        if session.trouble != reason:
            session.trouble, session.trouble_text = reason, str(error)
            _log.warning(
                "session.down",
                bank=self._labels[0],
                lane=self._labels[1],
                session=session.number,
                reason=reason,
                error=str(error),
            )
        self._meters.connect_failures.labels(self._labels[0], reason.split(":")[0]).inc()
        self._move(session, SessionEvent.ENDED)
        if self._kept:
            session.close_short(hang_up=True)

    def _move(self, session: BankSession, event: SessionEvent) -> None:
        """Apply an event to a session by the table. Raises IllegalMove, which is a defect."""
        before = session.state
        session.state = state = after(before, event)
        if state is before:
            return
        was_live, live = before.live, state.live
        if was_live and not live:
            self._away_s = self.clock.monotonic_s()
        if session.number < 0:
            return  # the lane's own probe is not counted
        self._counts[before] -= 1
        self._counts[state] += 1
        if was_live is not live:
            self._live += 1 if live else -1
            self._count_live()

    def _count_live(self) -> None:
        self._meters.session_up.labels(*self._labels).set(self._live)


def _fire(deferred: Deferred[None]) -> None:
    if not deferred.called:
        deferred.callback(None)
