"""A lane: one login at one bank, and everything that may be said to it.

The lane has a lease, a pool of sessions and a work queue. It sends each payment once, writes down what it is about to
send before the first byte leaves, asks about what it does not know, and records every answer.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway import log
from gateway.asking import Unavailable
from gateway.bank import conversation as bank_conversation
from gateway.bank.bundling import Bundling
from gateway.bank.clock_trust import ClockTrust
from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.enquiry import Enquiry
from gateway.bank.exchange_metrics import ExchangeMetrics
from gateway.bank.fault_reasons import signed_out
from gateway.bank.lane_parts import LaneParts
from gateway.bank.lease import ORPHAN_QUIET_S, Lease
from gateway.bank.question_queue import Question, QuestionQueue, unavailable
from gateway.bank.sending import Sending
from gateway.bank.session_pool import LAPSED_LOOK_S, BankSession, SessionPool
from gateway.bank.work_loader import WorkLoader
from gateway.bank.work_queue import ASKING, WorkQueue
from gateway.core.hours import bank_date, day_ends_ms, local, next_open_ms
from gateway.core.states import Alarm, Event, Expire, Overdue, Rules, Work, stricter
from gateway.journal.cluster import lane_leases, lane_pauses
from gateway.journal.commit.rows import Evidence, PaymentRow, WorkRow
from gateway.journal.commit.serials import draw_serials
from gateway.journal.commit.store import Tx
from gateway.journal.payments import lookup
from gateway.journal.payments import transition as journal_apply
from gateway.tasks import Tasks, sleep
from protocols.bank import Context, Conversation
from protocols.canon.limits import MONEY
from protocols.canon.outcome import Outcome, State
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

R = TypeVar("R")
ROWS_KEPT = 5_000
SERIALS_DRAWN = 1_000
PUMPS_DEEP = 8
"""Work that is over as soon as it is begun looks for more at once: within the other so often, and no deeper."""
RATE_LIMITED_REST_S = 1.0
_log = log.get("bank.lane")


class Lane:
    """See the module. `start` begins, `offer` hands it committed work, `ask` puts a question, `stop` drains it."""

    def __init__(self, parts: LaneParts, on_halt: Callable[[str, str], None]) -> None:
        self.parts = parts
        self.halted: str | None = None
        self.work_queue = WorkQueue()
        self._on_halt = on_halt
        self._profile = parts.bank.profile
        self._hours = self._profile.limits.hours
        self._stopping = False
        self._tasks = Tasks(self._defect)
        self._lease = Lease(parts.name, parts.node, parts.store, parts.clock, self._tasks, self._on_acquired,
                              self._on_lease_lost, lambda: parts.clock.later(0, self.clock_trust.was_set),
                              parts.on_stop)  # fmt: skip
        self.clock_trust = ClockTrust(parts.name, parts.clock, self._lease, parts.meters)
        self._question_queue = QuestionQueue(parts.clock)
        self._rows: OrderedDict[str, PaymentRow] = OrderedDict()
        self._serials: deque[int] = deque()
        # Each conversation that was let in, and has not begun, finds its numbers, and so does the next.
        self._reserve = self._profile.serials_per_word * (parts.window + 1)
        self._stocking = DeferredLock()
        self._timer: IDelayedCall | None = None
        self._wake_s = 0.0
        self._under_way = 0
        self._pumping = 0
        self.taken: set[tuple[str, Work]] = set()
        self._drained: Deferred[None] | None = None
        self._drawing = False
        self._paused: set[str] = set()
        self._said = lane_pauses.PauseState()
        self.session_pool = self._new_session_pool()
        self.exchange_metrics = ExchangeMetrics(parts.bank_name, parts.meters)
        self.bundling = Bundling(self)
        self._sending = Sending(self)
        self._enquiry = Enquiry(self)
        self._work_loader = WorkLoader(self)

    def _new_session_pool(self) -> SessionPool:
        parts = self.parts
        return SessionPool(parts.bank, (parts.bank_name, parts.name), parts.dialer, parts.clock, parts.entropy,
                    parts.meters, parts.window, self._converse, self._session_context, parts.login,
                    self.permitted)  # fmt: skip

    # ---- life ----

    async def start(self) -> None:
        """Take the lease, turn what was under way into doubt, load open work, begin to connect.

        Returns when that is done, or when the lane is found to be another node's: then this one stands by for it.
        """
        await self._lease.begin()
        for watch in self._work_loader.watches():
            self._tasks.spawn(watch)

    async def _on_acquired(self, orphaned: bool) -> None:
        """The lane is this node's now."""
        if self.session_pool.stopping:
            self.session_pool = self._new_session_pool()
        if orphaned:
            # What the last owner wrote may still be on its way: asked too early, the bank would not know it yet.
            self._tasks.spawn(self._recover_later(self.epoch))
        else:
            await self._recover(self.epoch)
        await self._work_loader.set_right()
        await self._work_loader.load()
        await self._draw()
        # Given at another node, or in a former life: known before anything can be sent.
        name = self.parts.name
        self.apply_pause((await self.parts.store.read(lambda conn: lane_pauses.said(conn, [name])))[name])
        if not self.halted:
            self.session_pool.start(self._pump, self._defect)
            self._pump()

    async def _on_lease_lost(self) -> None:
        """The lane is another node's: say no more to the bank, forget what was to be done, end what is under way."""
        self.parts.meters.alarms.labels("stale_epoch").inc()
        self.session_pool.stop()
        self.work_queue = WorkQueue()
        self._work_loader.until_ms = 0
        self._rows.clear()
        self._question_queue.refuse("lane_elsewhere")
        while self._under_way:
            await sleep(self.parts.clock, 1.0)

    def wake(self) -> None:
        """Look at the work queue soon: something was put on it."""
        self._wake_in(0)

    @property
    def stopping(self) -> bool:
        """Whether no new work is taken any more."""
        return self._stopping

    @property
    def epoch(self) -> int:
        """The lane's epoch under this node; 0 while it is another's."""
        return self._lease.epoch

    @property
    def standing_by(self) -> bool:
        """Whether the lane is another node's."""
        return not self.epoch and not self.halted

    @property
    def elsewhere(self) -> bool:
        """Whether the lane is another node's, or is left to another one: halted, it keeps its lease no longer."""
        return self.standing_by or (self.halted is not None and not self._lease.holds)

    async def _recover_later(self, epoch: int) -> None:
        await sleep(self.parts.clock, ORPHAN_QUIET_S)
        await self._recover(epoch)

    async def _recover(self, epoch: int) -> None:
        parts = self.parts
        while self.epoch == epoch:
            doubted = await parts.store.write(lambda tx: lane_leases.recover(tx, parts.name, epoch, parts.node, 500))
            for applied in doubted:
                self.noted(applied)
            if len(doubted) < 500:
                return

    async def stop(self, deadline_s: float) -> None:
        """Take no new work; wait for exchanges under way, at most `deadline_s`; then hang up."""
        self._stopping = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._question_queue.refuse("stopping")
        if self._under_way:
            self._drained = Deferred()
            timer = self.parts.clock.later(deadline_s, self._hang_up)
            await self._drained
            if timer.active():
                timer.cancel()
        self.session_pool.stop()
        await self._lease.end()
        self._tasks.stop()

    def _hang_up(self) -> None:
        """Exchanges that outlived the deadline end as silence; their commits still run."""
        self.session_pool.stop()

    def halt(self, reason: str) -> None:
        """Stop until a restart and say so: a wrong payment is worse than a late one. Another node may take the lane."""
        if self.halted is None:
            self.halted = reason
            _log.error("lane.halted", bank=self.parts.bank_name, lane=self.parts.name, reason=reason)
            self.session_pool.stop()
            self._lease.give_up()
            self._on_halt(self.parts.name, reason)

    def _defect(self, failure: Failure) -> None:
        _log.error("lane.defect", bank=self.parts.bank_name, lane=self.parts.name,
                   error=failure.getTraceback(detail="brief"))  # fmt: skip
        self.parts.meters.alarms.labels("impossible").inc()
        self.halt(f"defect:{type(failure.value).__name__}")

    @property
    def ready(self) -> bool:
        """Whether the bank answers and this node may speak to it."""
        return self.halted is None and self.session_pool.ready and self.permitted()

    def permitted(self) -> bool:
        """Whether this node's lease on the lane holds at this very moment."""
        return self.halted is None and self._lease.holds

    def permits(self, epoch: int, committed_s: float) -> bool:
        """The last gate: whether what was written down under `epoch`, not before `committed_s`, may leave now."""
        return self.halted is None and self._lease.permits(epoch, committed_s)

    @property
    def paused(self) -> tuple[str, ...]:
        """Why nothing is sent; empty while sending is allowed. Asking goes on all the same."""
        return tuple(sorted(self._paused))

    def pause(self, reason: str) -> None:
        """Send nothing until `resume` with the same reason: an operator, a blocked broker, a database from the past."""
        self._paused.add(reason)
        _log.warning("lane.paused", lane=self.parts.name, reason=reason)

    def resume(self, reason: str) -> None:
        """Take one reason away; with the last one gone, sending goes on."""
        if reason in self._paused:
            self._paused.discard(reason)
            _log.info("lane.resumed", lane=self.parts.name, reason=reason)
            self._wake_in(0)

    def apply_pause(self, said: lane_pauses.PauseState) -> None:
        """An operator's word, as the journal has it; one that is older than the last one heard changes nothing."""
        if said.number < self._said.number:
            return
        self._said = said
        if not said.paused:
            self.resume(lane_pauses.OPERATOR)
        elif lane_pauses.OPERATOR not in self._paused:
            self.pause(lane_pauses.OPERATOR)

    # ---- work comes in ----

    def offer(self, row: WorkRow) -> None:
        """A work row of this lane was committed."""
        if not self.epoch or self.halted:
            return
        if row.due_ms > self._work_loader.until_ms:
            self.work_queue.forget(row.payment, row.work)
            return
        self.work_queue.put(row)
        # Not now: the commit's own callbacks come first, and many rows come at once.
        self._wake_in(0)

    @property
    def at_hand(self) -> tuple[PaymentRow, ...]:
        """The ready payments that are kept in memory."""
        return tuple(self._rows.values())

    def postpone(self, payment: str, due_ms: int, kind: Work = Work.SEND) -> None:
        """Try a send, a repeat or an enquiry later; nothing was committed, the journal's row stands."""
        self.work_queue.later(payment, kind, due_ms)
        self._wake_in(0)

    def remember(self, row: PaymentRow) -> None:
        """Keep a payment at hand that was just committed, so that sending it needs no read."""
        if row.life.state is not State.READY or not self.epoch or self.halted:
            return
        self._rows[row.payment] = row
        if len(self._rows) > ROWS_KEPT:
            self._rows.popitem(last=False)

    def ask(self, operation: str, conversation: Callable[[Context], Conversation[R]], max_wait_s: float) -> Deferred[R]:
        """Put a question; fires with the bank's answer or fails with Unavailable or ProtocolError."""
        if self._stopping or self.halted:
            return fail(Unavailable("lane_stopped", self.halted or "stopping"))
        if self.standing_by:
            return fail(Unavailable("lane_elsewhere", "another node speaks to this bank"))
        answer = self._question_queue.put(operation, conversation, max_wait_s)
        self._pump()
        return answer

    # ---- work goes out ----

    def _pump(self) -> None:
        if self._pumping >= PUMPS_DEEP:
            # What was begun a moment ago is over already, for many in a row: the loop outside takes the next.
            self._wake_in(0)
            return
        self._pumping += 1
        try:
            self._pump_once()
        finally:
            self._pumping -= 1

    def _pump_once(self) -> None:
        if self._stopping or self.halted or not self.epoch:
            return
        if not self.permitted():
            # It stood still, or the journal is away: not even a question leaves before the lease is renewed.
            self._wake_in(LAPSED_LOOK_S)
            return
        now_ms, login = self.parts.clock.now_ms(), self.parts.login
        while (quick := self.work_queue.take(now_ms, slow=False)) is not None:
            self._spawn(self._deadline(*quick), quick)
        while self.session_pool.ready and self._has_slow(now_ms):
            if len(self._serials) < self._reserve:
                self._refill()
                return
            wait_s = login.wait_s("")
            if wait_s > 0:
                self._wake_in(wait_s)
                return
            session = self.session_pool.take()
            if session is None:
                break
            if not self._use(session, now_ms):
                self.session_pool.put_back(session)
                break
        if self.work_queue.has_due(sends=False):
            self._wake_in(login.wait_s("fate", asking=True) or 1.0)
        self._wake_for_apart()
        due_ms = self.work_queue.next_ms()
        if due_ms is not None and due_ms > now_ms:
            self._wake_in((due_ms - now_ms) / 1000)

    def _has_slow(self, now_ms: int) -> bool:
        due_ms = self.work_queue.next_ms()
        due = due_ms is not None and due_ms <= now_ms
        return bool(self._question_queue) or due or self.work_queue.has_due(sends=not self._paused)

    def _wake_for_apart(self) -> None:
        """Look again when the turn of what is due comes, of which the bank wants each sort a while apart."""
        money = not self._paused and self.work_queue.has_due(asks=False)
        sorts = self._question_queue.sorts() | ({MONEY} if money else set())
        waits = [wait_s for sort in sorts if (wait_s := self.parts.login.apart_s(sort)) > 0]
        if waits:
            self._wake_in(min(waits))

    def _use(self, session: BankSession, now_ms: int) -> bool:
        """Give a session something to do: the ERP's questions and the work queue in turn."""
        login = self.parts.login
        wanted = self._question_queue.take(login)
        if wanted is not None:
            login.begin(wanted.operation)
            self._spawn(self._answer(session, wanted))
            return True
        sends = not self._paused and not login.wait_s(MONEY)
        asks = not login.wait_s("fate", asking=True)
        item = self.work_queue.take(now_ms, quick=False, sends=sends, asks=asks)
        if item is None:
            return False
        payment, kind = item
        login.begin("fate" if kind in ASKING else MONEY, asking=kind in ASKING)
        if kind in ASKING:
            self._spawn(self._enquiry.about(session, payment, kind), item)
        elif kind is Work.REPLAY:
            self._spawn(self._sending.repeat(session, payment), item)
        else:
            self._spawn(self._sending.carry(session, payment), item)
        return True

    async def spaced(self, sort: str) -> None:
        """Return when the bank's pace allows one more request of a conversation that is already under way."""
        login = self.parts.login
        while (wait_s := login.wait_s(sort)) > 0:
            await sleep(self.parts.clock, wait_s)
        login.begin(sort)
        await self._stock()

    def _wake_in(self, delay_s: float) -> None:
        at_s = self.parts.clock.monotonic_s() + min(delay_s, 3600.0)
        if self._timer is not None and self._timer.active():
            if self._wake_s <= at_s:
                return
            self._timer.cancel()
        self._wake_s = at_s
        self._timer = self.parts.clock.later(max(at_s - self.parts.clock.monotonic_s(), 0.0), self._pump)

    def _spawn(self, coroutine: Any, item: tuple[str, Work] | None = None) -> None:
        if item is not None:
            self.taken.add(item)

        async def counted() -> None:
            self._under_way += 1
            try:
                await coroutine
            finally:
                self._under_way -= 1
                if item is not None:
                    self.taken.discard(item)
                if not self._under_way and self._drained is not None and not self._drained.called:
                    self._drained.callback(None)

        self._tasks.spawn(counted())

    # ---- deadlines and questions ----

    async def _deadline(self, payment: str, kind: Work) -> None:
        now_ms = self.parts.clock.now_ms()
        event: Event = Expire(now_ms) if kind is Work.EXPIRE else Overdue(now_ms)
        await self.record(payment, event)

    async def _answer(self, session: BankSession, wanted: Question) -> None:
        try:
            result = await self.timed(session, wanted.operation, wanted.conversation(self.context(session)))
        except (NotConnected, NoAnswer) as error:
            self.after_fault(session, error)
            wanted.settle(unavailable("bank_unavailable", str(error)))
        except ProtocolError as error:
            self.after_fault(session, error)
            wanted.settle(Failure(error))
        else:
            self.session_pool.release(session)
            self.exchange_metrics.found_odd(wanted.operation, result)
            wanted.settle(result)

    def after_fault(self, session: BankSession, error: NotConnected | NoAnswer | ProtocolError) -> None:
        """A decline leaves the connection in order; silence and senseless bytes end it. Too fast means slower."""
        if isinstance(error, Declined) and error.outcome == "rate_limited":
            self.parts.login.rest(RATE_LIMITED_REST_S)
        self.session_pool.release(session, distrust=not isinstance(error, Declined), signed_out=signed_out(error))

    async def timed(
        self, session: BankSession, operation: str, conversation: Conversation[R], *, opening: bool = False
    ) -> R:
        """Run one question and count it. Raises NotConnected, NoAnswer or ProtocolError."""
        started_s = self.parts.clock.monotonic_s()
        outcome = "ok"
        try:
            return await bank_conversation.ask(session, conversation, self.parts.signers, opening=opening)
        except (NotConnected, NoAnswer, ProtocolError) as error:
            outcome = self.exchange_metrics.fault(error, operation)
            raise
        finally:
            self.exchange_metrics.observe(operation, outcome, self.parts.clock.monotonic_s() - started_s)

    async def _converse(self, session: BankSession, conversation: Conversation[Any]) -> object:
        told = await self.timed(session, "session", conversation, opening=True)
        if isinstance(told, datetime):
            self.clock_trust.hear(told)
        return told

    # ---- what all of them share ----

    async def record(
        self, payment: str, event: Event, evidence: Evidence | None = None, outcome: Outcome | None = None,
        expect: State | None = None, epoch: int | None = None,
    ) -> None:  # fmt: skip
        """Commit one event. A stale epoch, or a state that is not `expect`, changes nothing.

        `epoch` is that under which what is recorded began; by now the lane may have a later one.
        """
        began = self.epoch if epoch is None else epoch

        def unit(tx: Tx) -> journal_apply.Applied:
            return journal_apply.apply(tx, payment, event, epoch=began, actor=f"lane:{self.parts.name}",
                                       evidence=evidence, outcome=outcome, expect=expect,
                                       rules=self.parts.rules)  # fmt: skip

        self.noted(await self.parts.store.write(unit))

    def noted(self, applied: journal_apply.Applied) -> None:
        """Count and log what a commit changed."""
        if applied.conflict:
            row = applied.row_before
            if row is not None and not applied.overtaken:
                # Its work was handed out twice, by memory and by the journal: the first of the two has done it.
                _log.debug("payment.done_already", lane=self.parts.name, payment=row.payment,
                           state=row.life.state.value)  # fmt: skip
                return
            _log.warning("payment.not_ours", lane=self.parts.name, epoch=self.epoch,
                         payment=row.payment if row else "unknown")  # fmt: skip
            return
        assert applied.row_before is not None and applied.row_after is not None and applied.step is not None
        before, after = applied.row_before.life, applied.row_after.life
        if after.state is not before.state:
            self.count(applied.row_after)
            _log.info(f"payment.{after.state.value}", bank=self.parts.bank_name, lane=self.parts.name,
                      payment=applied.row_after.payment, order=applied.row_after.order.id,
                      was=before.state.value, rule=applied.step.rule,
                      correlation_id=applied.row_after.reply.correlation_id)  # fmt: skip
        for slug in (effect.slug for effect in applied.step.effects if isinstance(effect, Alarm)):
            self.parts.meters.alarms.labels(slug).inc()
            _log.error("payment.alarm", bank=self.parts.bank_name, alarm=slug, payment=applied.row_after.payment)

    def rules_of(self, row: PaymentRow) -> Rules:
        """What holds for a payment: the stricter of its stored rules and the settings' present ones."""
        return stricter(row.life.rules, self.parts.rules(row.order.kind))

    def count(self, row: PaymentRow) -> None:
        """One more payment entered its state."""
        self.parts.meters.payments.labels(self.parts.bank_name, row.life.state.value).inc()

    async def row(self, payment: str) -> PaymentRow | None:
        """The payment, from memory if it was just accepted, else from the journal."""
        kept = self._rows.pop(payment, None)
        if kept is not None:
            return kept
        return await self.parts.store.read(lambda conn: lookup.fetch(conn, payment))

    def next_open_ms(self, at_ms: int) -> int:
        """When the bank takes money orders: now or later."""
        return next_open_ms(self._hours, at_ms)

    def next_asked_ms(self, at_ms: int) -> int:
        """When the bank may be asked about a payment: now or later."""
        return at_ms if self._hours.asked_outside else self.next_open_ms(at_ms)

    def asked_day(self, day: date) -> date:
        """The bank's business date to ask about for bytes that name `day`: a day that has not come was named by a clock
        that was ahead, and the bank took the bytes on another one.
        """
        return min(day, bank_date(self._hours, self.parts.clock.now_ms()))

    def day_ends_ms(self, day: date) -> int:
        """When the bank's business date `day` is over."""
        return day_ends_ms(self._hours, day)

    def shut(self, day: date | None) -> str | None:
        """Why the bank takes no money order now that names its business date `day`, or None.

        Without a `day` any will do: a repeat names that of the first send, as long as its own rules let it.
        """
        now_ms = self.parts.clock.now_ms()
        if self.next_open_ms(now_ms) > now_ms:
            return "bank_closed"
        return "day_over" if day is not None and now_ms >= self.day_ends_ms(day) else None

    def _refill(self) -> None:
        """Draw serial numbers ahead of need; the pump goes on when they are there."""
        if not self._drawing:
            self._drawing = True
            self._tasks.spawn(self._draw())

    async def _stock(self) -> None:
        """Return when there are serial numbers for all that may begin before the next are drawn."""
        if len(self._serials) >= self._reserve:
            return
        await self._stocking.acquire()
        try:
            while len(self._serials) < self._reserve:
                await self._draw()
        finally:
            self._stocking.release()

    async def _draw(self) -> None:
        count = max(SERIALS_DRAWN, 2 * self._reserve)
        try:
            drawn = await self.parts.store.write(lambda tx: draw_serials(tx, self.parts.bank_name, count))
        finally:
            self._drawing = False
        self._serials.extend(drawn)
        self._pump()

    def context(self, session: BankSession | None, reference: str = "", attempt: int = 0) -> Context:
        """Everything impure for one conversation. Serial numbers given out here are never given out again."""
        now_ms = self.parts.clock.now_ms()
        if len(self._serials) < max(SERIALS_DRAWN // 4, 2 * self._reserve):
            self._refill()
        count = self._profile.serials_per_word
        assert len(self._serials) >= count, "serial numbers ran out between the pump and the conversation"
        return Context(
            reference=reference, attempt=attempt, bank_date=bank_date(self._hours, now_ms),
            now=local(self._hours, now_ms), serials=tuple(self._serials.popleft() for _ in range(count)),
            credentials=self.parts.credentials, session=session.sign_on if session is not None else {},
        )  # fmt: skip

    async def _session_context(self, session: BankSession | None) -> Context:
        await self._stock()
        return self.context(session)
