"""A lane: one login at one bank, with its lease, sessions and work queue. This file has its lifecycle and its pump.

The pump gives each free session its next work: a payment to send (`dispatch`), a payment to ask about (`enquiry`), or a
question of the ERP. `lane_shared` has the objects that these share.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway.bank.bank_calendar import BankCalendar
from gateway.bank.bank_session import BankSession
from gateway.bank.clock_trust import ClockTrust
from gateway.bank.company_waits import CompanyWaits
from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.dispatch import Dispatch
from gateway.bank.enquiry import Enquiry
from gateway.bank.exchange_metrics import ExchangeMetrics
from gateway.bank.exchange_trace import LaneTrace
from gateway.bank.host_date import HostDate
from gateway.bank.lane_parts import LaneParts
from gateway.bank.lane_shared import LaneShared
from gateway.bank.lease import ORPHAN_QUIET_S, Lease
from gateway.bank.question_queue import BACKGROUND_TURN_S, QuestionQueue, QueuedQuestion, unavailable
from gateway.bank.question_runner import QuestionRunner
from gateway.bank.ready_payments import ReadyPayments
from gateway.bank.recorder import Recorder
from gateway.bank.send_gate import SendGate
from gateway.bank.serials import Serials
from gateway.bank.session_pool import LAPSED_LOOK_S, SessionPool
from gateway.bank.work_loader import WorkLoader
from gateway.bank.work_queue import ASKING, WorkQueue
from gateway.kernel import log
from gateway.kernel.asking import Unavailable
from gateway.kernel.cluster import lane_pauses
from gateway.kernel.commit.hand_over import HandOver
from gateway.kernel.commit.store import PermittedBefore, StoreFailed
from gateway.kernel.core.states import Event, Expire, Overdue, Work
from gateway.kernel.sql.sealed import ROW_ALTERED, SealBroken
from gateway.kernel.tasks import Tasks, sleep
from gateway.payments.rows import take_over
from protocols.bank import Context, Conversation
from protocols.canon.limits import MONEY
from protocols.kit.errors import ProtocolError

R = TypeVar("R")
RECOVERED_AT_ONCE = 500
PUMPS_DEEP = 8
_EXPIRE_AGAIN_MS = 30_000
"""Work that is over at its begin pumps again from within. This is the deepest recursion; then the event loop goes
on."""
_log = log.get("bank.lane")


class Lane:
    """One login at one bank, with its lease, sessions and work queue. `start` begins, `on_commit` hands it committed
    work, `ask` puts a question, `stop` drains it."""

    def __init__(self, parts: LaneParts, on_halt: Callable[[str, str], None]) -> None:
        self.parts = parts
        self._on_halt = on_halt
        self._stopping = False
        self._tasks, self._watches = Tasks(self._defect), Tasks(self._defect)
        self._lease = Lease(
            parts.name,
            parts.node,
            parts.store,
            parts.clock,
            self._tasks,
            self._on_acquired,
            self._on_lost,
            lambda: parts.clock.later(0, self.clock_trust.was_set),
            parts.on_stop,
        )
        self.clock_trust = ClockTrust(parts.name, parts.clock, self._lease, parts.meters)
        self.work_queue = WorkQueue(self._wake)
        self.metrics = ExchangeMetrics(parts.bank_name, parts.meters)
        self.trace = LaneTrace(parts.ring, parts.credentials, parts.clock)
        self.calendar = BankCalendar(parts.bank.profile.limits.hours, parts.clock)
        self.gate = SendGate(parts, self._lease, self.calendar, self._wake)
        self.host_date = HostDate(parts)
        self.serials = Serials(parts, self.calendar, self.host_date, self._tasks, self._pump)
        self._questions = QuestionRunner(parts, self.metrics, self.serials, self.host_date)
        self.recorder = Recorder(parts, self._lease)
        self.ready_payments = ReadyPayments(parts.store, self.work_queue.next_sends)
        shared = LaneShared(
            parts,
            self._lease,
            self.clock_trust,
            self.calendar,
            self.host_date,
            self.gate,
            self.serials,
            self.recorder,
            self.metrics,
            self._questions,
            self.work_queue,
            self.ready_payments,
        )
        self.dispatch = Dispatch(shared)
        self.enquiry = Enquiry(shared)
        self._work_loader = WorkLoader(shared)
        self._company_waits = CompanyWaits(parts, self.work_queue, self.ready_payments, self._spawn)
        self._question_queue = QuestionQueue(parts.clock)
        self._timer: IDelayedCall | None = None
        self._wake_s = 0.0
        self._under_way = 0
        self._pumping = 0
        self._drained: Deferred[None] | None = None
        self.session_pool = self._new_session_pool()

    def _new_session_pool(self) -> SessionPool:
        parts = self.parts
        return SessionPool(
            parts.bank,
            (parts.bank_name, parts.name),
            parts.dialer,
            parts.clock,
            parts.entropy,
            parts.meters,
            parts.window,
            self._converse,
            self.serials.stocked_context,
            parts.login,
            self.permitted,
            self.trace,
        )

    # ---- lifecycle ----

    async def start(self) -> None:
        """Take the lease, set payments that were being sent to in doubt, load open work, and begin to connect.

        Returns when that is done, or when another node is found to own the lane; then this node stands by.
        """
        try:
            await self._lease.begin()
        except SealBroken as broken:
            self._row_altered(broken)
        for watch in self._work_loader.watches():
            self._watches.spawn(watch)

    async def _on_acquired(self, orphaned: bool) -> None:
        """Take up the lane's work after this node acquired the lane. `orphaned`: the last owner did not release it."""
        if self.session_pool.stopping:
            self.session_pool = self._new_session_pool()
        await self.parts.on_taken()
        if orphaned:
            # Bytes of the last owner may still be on their way: if asked too early, the bank would not know them yet.
            self._tasks.spawn(self._recover_later(self.epoch))
        else:
            await self._recover(self.epoch)
        await self._work_loader.set_right()
        await self._work_loader.load()
        await self.serials.draw()
        # Pauses of the lane and of companies, from another node or an earlier life, are read before anything can be
        # sent.
        name = self.parts.name
        said = await self.parts.store.read(lambda conn: lane_pauses.said_with_companies(conn, [name]))
        self.parts.companies.apply(lane_pauses.company_states(said))
        self.apply_pause(said[name])
        if not self.halted:
            self.session_pool.start(self._pump, self._defect)
            self._pump()

    async def _on_lost(self) -> None:
        """Stop the lane's work after another node acquired the lane: send nothing more to the bank, forget the work,
        and end what is under way."""
        self.parts.meters.alarms.labels("stale_epoch").inc()
        await self._forget()

    async def _forget(self) -> None:
        self.session_pool.stop()
        self._work_loader.forget()
        self.ready_payments.clear()
        self._company_waits.clear()
        self._question_queue.refuse("lane_elsewhere")
        while self._under_way:
            await sleep(self.parts.clock, 1.0)

    @property
    def epoch(self) -> int:
        """The lane's epoch while this node owns it; 0 while another node does."""
        return self._lease.epoch

    @property
    def standing_by(self) -> bool:
        """True if another node owns the lane."""
        return not self.epoch and not self.halted

    @property
    def elsewhere(self) -> bool:
        """True if another node owns the lane or may take it: a halted lane does not renew its lease."""
        return self.standing_by or (self.halted is not None and not self._lease.holds)

    async def _recover_later(self, epoch: int) -> None:
        await sleep(self.parts.clock, ORPHAN_QUIET_S)
        await self._recover(epoch)

    async def _recover(self, epoch: int) -> None:
        """Set to in doubt every payment that the last owner left in `sending`."""
        parts = self.parts
        while self.epoch == epoch:
            doubted = await parts.store.write(
                lambda tx: take_over.recover(tx, parts.name, epoch, parts.node, RECOVERED_AT_ONCE)
            )
            if len(doubted) < RECOVERED_AT_ONCE:
                return

    async def stop(self, deadline_s: float) -> None:
        """Take no new work; wait for exchanges under way, at most `deadline_s`; then hang up."""
        self._stopping = True
        self._work_loader.stop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._question_queue.refuse("stopping")
        if self._under_way:
            self._drained = Deferred()
            # Exchanges that take longer than the deadline are recorded as unanswered; those commits still run.
            timer = self.parts.clock.later(deadline_s, lambda: self.session_pool.stop())
            await self._drained
            if timer.active():
                timer.cancel()
        self.session_pool.stop()
        await self._lease.end()
        self._watches.stop()
        self._tasks.stop()

    @property
    def halted(self) -> str | None:
        """Why the lane stopped until a restart; None while it runs."""
        return self.gate.halted

    def halt(self, reason: str) -> None:
        """Stop the lane until a restart and log why, because a wrong payment is worse than a late one. Another node may
        take the lane."""
        if self.gate.halted is None:
            self.gate.halted = reason
            _log.error(
                "lane.halted",
                bank=self.parts.bank_name,
                lane=self.parts.name,
                reason=reason,
                action="this node sends and asks nothing on this lane; mend the cause, then restart the daemon",
            )
            self.session_pool.stop()
            self._lease.give_up()
            self._on_halt(self.parts.name, reason)

    def _defect(self, failure: Failure) -> None:
        if isinstance(failure.value, StoreFailed):
            # The journal has logged why, and the process ends. Nothing more begins here until then.
            self._stopping = True
            return
        if isinstance(failure.value, PermittedBefore):
            self.halt("permitted_before")
            return
        if isinstance(failure.value, SealBroken):
            self._row_altered(failure.value)
            return
        _log.error(
            "lane.defect",
            bank=self.parts.bank_name,
            lane=self.parts.name,
            error=failure.getTraceback(detail="brief"),
            action="a defect of the program: the lane halts; report this error",
        )
        self.parts.meters.alarms.labels("impossible").inc()
        self.halt(f"defect:{type(failure.value).__name__}")

    def _row_altered(self, broken: SealBroken) -> None:
        _log.error(
            "journal.row_altered",
            bank=self.parts.bank_name,
            lane=self.parts.name,
            table=broken.table,
            row=broken.key,
            error=str(broken),
            action="the lane sends nothing until the row is rebuilt: bankgw repair list",
        )
        self.parts.meters.alarms.labels("row_altered").inc()
        self.halt(f"{ROW_ALTERED}:{broken.table}/{broken.key}")

    def mended(self) -> None:
        """Restart a lane after two persons rebuilt an altered row. If it halted for such a row, it begins as after a
        restart: it reads everything anew, and halts again at the next altered row."""
        if self.halted is not None and self.halted.startswith(ROW_ALTERED):
            self._tasks.spawn(self._begin_again())

    async def _begin_again(self) -> None:
        self._watches.stop()
        await self._lease.run_out()
        await self._forget()
        if self.halted is not None and not self._stopping:
            self.gate.halted = None
            _log.warning("lane.begins_again", bank=self.parts.bank_name, lane=self.parts.name)
            await self.start()

    @property
    def ready(self) -> bool:
        """True if the bank answers and this node may send to it."""
        return self.halted is None and self.session_pool.ready and self.permitted()

    def permitted(self) -> bool:
        """True if this node may send to the bank now: see SendGate.permitted."""
        return self.gate.permitted()

    @property
    def paused(self) -> tuple[str, ...]:
        """The reasons why nothing is sent: see SendGate.paused."""
        return self.gate.paused

    def pause(self, reason: str) -> None:
        """Send nothing until `resume` with the same reason: see SendGate.pause."""
        self.gate.pause(reason)

    def resume(self, reason: str) -> None:
        """Remove one reason to pause: see SendGate.resume."""
        self.gate.resume(reason)

    def apply_pause(self, said: lane_pauses.PauseState) -> None:
        """Apply an operator's pause or resume: see SendGate.apply_pause."""
        self.gate.apply_pause(said)

    # ---- work comes in ----

    def on_commit(self, share: HandOver) -> None:
        """Take the lane's share of a commit of this node: due work, new payments, and changes to count."""
        for row in share.works:
            self._work_loader.accept(row)
        if self._work_loader.active:
            for payment in share.admitted:
                self.ready_payments.keep(payment)
        with log.together():
            for applied in share.changes:
                self.recorder.on_applied(applied)

    def ask(self, operation: str, conversation: Callable[[Context], Conversation[R]], max_wait_s: float) -> Deferred[R]:
        """Put a question to the bank; fires with the bank's answer, or fails with Unavailable or ProtocolError."""
        if self._stopping or self.halted:
            return fail(Unavailable("lane_stopped", self.halted or "stopping"))
        if self.standing_by:
            return fail(Unavailable("lane_elsewhere", "another node speaks to this bank"))
        answer = self._question_queue.put(operation, conversation, max_wait_s)
        self._pump()
        return answer

    # ---- the pump: work goes out ----

    def _pump(self) -> None:
        if self._pumping >= PUMPS_DEEP:
            # The work that begins here may end at once and call this method again. At this depth the event loop takes
            # over.
            self._wake()
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
            # The process stood still, or the journal is away: not even a question leaves before the lease is renewed.
            self._wake_in(LAPSED_LOOK_S)
            return
        now_ms, login = self.parts.clock.now_ms(), self.parts.login
        while (quick := self.work_queue.take_due(now_ms, slow=False)) is not None:
            self._spawn(self._deadline(*quick), quick)
        while self.session_pool.ready and self._has_slow(now_ms):
            if not self.serials.enough:
                self.serials.refill()
                return
            wait_s = login.wait_s("")
            if wait_s > 0:
                self._wake_in(wait_s)
                return
            session = self.session_pool.take_session()
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
        return bool(self._question_queue) or due or self.work_queue.has_due(sends=not self.paused)

    def _wake_for_apart(self) -> None:
        """For each sort of due work, look again when the bank's pause between requests of that sort ends."""
        money = not self.paused and self.work_queue.has_due(asks=False)
        if not (money or self._question_queue):
            return
        sorts = self._question_queue.sorts() | ({MONEY} if money else set())
        waits = [wait_s for sort in sorts if (wait_s := self.parts.login.apart_s(sort)) > 0]
        if self._question_queue.has_background:
            waits.append(self.parts.login.background_s or BACKGROUND_TURN_S)
        if waits:
            self._wake_in(min(waits))

    def _use(self, session: BankSession, now_ms: int) -> bool:
        """Give a free session its next work: the ERP's questions first, then the work queue, then background questions,
        which leave the last free session to payments. False if nothing may begin."""
        login = self.parts.login
        question = self._question_queue.take_before_payments(login)
        if question is not None:
            return self._put(session, question)
        sends = not self.paused and not login.wait_s(MONEY)
        asks = not login.wait_s("fate", asking=True)
        item = self._take_due(now_ms, sends=sends, asks=asks)
        if item is None:
            money = not self.paused and self.work_queue.has_due(asks=False)
            spare = self.session_pool.has_free or (self.parts.window == 1 and not money)
            question = self._question_queue.take_background(login) if spare else None
            return question is not None and self._put(session, question)
        payment, kind = item
        session.trace.purpose, session.payment = str(kind), payment
        login.begin("fate" if kind in ASKING else MONEY, asking=kind in ASKING)
        if kind in ASKING:
            self._spawn(self.enquiry.about(session, payment, kind), item)
        elif kind is Work.REPLAY:
            self._spawn(self.dispatch.repeat(session, payment), item)
        else:
            self._spawn(self.dispatch.carry(session, payment), item)
        return True

    def _take_due(self, now_ms: int, *, sends: bool, asks: bool) -> tuple[str, Work] | None:
        """The next due work for a session. Sends of paused companies stay behind, without a session and without a
        request of the bank's pace."""
        while (item := self.work_queue.take_due(now_ms, quick=False, sends=sends, asks=asks)) is not None:
            if item[1] in ASKING or not self._company_waits.keeps(*item):
                return item
        return None

    def _put(self, session: BankSession, question: QueuedQuestion) -> bool:
        self.parts.login.begin(question.operation, background=question.background)
        session.trace.purpose, session.payment = question.operation, ""
        self._spawn(self._answer(session, question))
        return True

    def _wake(self) -> None:
        """Look for work soon, from the event loop."""
        self._wake_in(0)

    def _wake_in(self, delay_s: float) -> None:
        at_s = self.parts.clock.monotonic_s() + min(delay_s, 3600.0)
        if self._timer is not None and self._timer.active():
            if self._wake_s <= at_s:
                return
            self._timer.cancel()
        self._wake_s = at_s
        self._timer = self.parts.clock.later(max(at_s - self.parts.clock.monotonic_s(), 0.0), self._pump)

    def _spawn(self, coroutine: Coroutine[Deferred[Any], Any, None], item: tuple[str, Work] | None = None) -> None:
        if item is not None:
            self.work_queue.under_way.add(item)

        async def counted() -> None:
            self._under_way += 1
            try:
                await coroutine
            finally:
                self._under_way -= 1
                if item is not None:
                    self.work_queue.under_way.discard(item)
                if not self._under_way and self._drained is not None and not self._drained.called:
                    self._drained.callback(None)

        self._tasks.spawn(counted())

    # ---- deadlines and questions ----

    async def _deadline(self, payment: str, kind: Work) -> None:
        now_ms = self.parts.clock.now_ms()
        if kind is Work.EXPIRE and lane_pauses.FROM_THE_PAST in self.gate.paused:
            # In SAFE MODE the payment may have been sent, so that it is not reported as expired before the lane is
            # released.
            self.work_queue.postpone(payment, kind, now_ms + _EXPIRE_AGAIN_MS)
            return
        event: Event = Expire(now_ms) if kind is Work.EXPIRE else Overdue(now_ms)
        await self.recorder.record(payment, event)

    async def _answer(self, session: BankSession, question: QueuedQuestion) -> None:
        try:
            conversation = question.conversation(self.serials.context(session))
            result = await self._questions.run(session, question.operation, conversation)
        except (NotConnected, NoAnswer) as error:
            self._questions.release_after(session, error)
            question.settle(unavailable("bank_unavailable", str(error)))
        except ProtocolError as error:
            self._questions.release_after(session, error)
            question.settle(Failure(error))
        else:
            session.release()
            self.metrics.found_odd(question.operation, result)
            question.settle(result)

    async def _converse(self, session: BankSession, conversation: Conversation[Any]) -> object:
        """Run a session's own conversation: sign-on or probe. If the bank tells its time, it is compared with this
        node's clock."""
        told = await self._questions.run(session, "session", conversation, opening=True)
        if isinstance(told, datetime):
            self.clock_trust.compare(told)
        return told


def why_not_here(lane: Lane | None) -> str:
    """Why this node plans no payment on this lane: another node owns it, or the day is in doubt; "" if this node plans.
    None if this node does not have the lane."""
    return "lane_elsewhere" if lane is None or lane.elsewhere else lane.clock_trust.day_doubt
