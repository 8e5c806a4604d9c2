"""A lane: one login at one bank, and everything that may be said to it.

The lane owns a lease on itself, a set of berths, and an agenda of work. It sends each payment once, writes down what
it is about to send before the first byte leaves, asks about what it does not know, and records every word it hears.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway import log
from gateway.asking import Unavailable
from gateway.bank import talk
from gateway.bank.agenda import Agenda
from gateway.bank.berths import Berth, Dialer, Quay
from gateway.bank.endpoint import NotConnected
from gateway.bank.faults import SIGNATURE_REASONS, reason_of
from gateway.bank.keys import Signer
from gateway.bank.pace import Pace
from gateway.bank.sending import Sending
from gateway.bank.session import NoAnswer
from gateway.clock import Clock, Entropy
from gateway.core.hours import bank_date, local, next_open_ms
from gateway.core.states import Alarm, Answered, AskedInVain, Event, Expire, Overdue, Source, Work
from gateway.journal import apply as journal_apply
from gateway.journal import attempts, lanes, payments, work
from gateway.journal.rows import Evidence, PaymentRow, WorkRow
from gateway.journal.store import Store, Tx
from gateway.meters import Meters
from gateway.tasks import Tasks, sleep
from protocols.bank import Bank, Context, Conversation
from protocols.canon.outcome import Outcome, State
from protocols.canon.query import FateQuestion, Sent
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

R = TypeVar("R")
LEASE_MS = 15_000
ROWS_KEPT = 5_000
SERIALS_DRAWN = 1_000
WORK_PAGE = 5_000
# What is due later than this stays in the journal: a week's watch over returns is a row per payment.
AHEAD_MS = 600_000
RATE_LIMITED_REST_S = 1.0
_log = log.get("bank.lane")


@dataclass(frozen=True, slots=True)
class LaneParts:
    """What a lane is made of. `name` is `bank.login`; `window` how many conversations run at once."""

    name: str
    bank_name: str
    bank: Bank
    node: str
    store: Store
    dialer: Dialer
    signers: Mapping[str, Signer]
    credentials: Mapping[str, str]
    clock: Clock
    entropy: Entropy
    meters: Meters
    window: int
    per_second: float


@dataclass(slots=True)
class _Wanted:
    operation: str
    conversation: Callable[[Context], Conversation[Any]]
    answer: Deferred[Any]


class Lane:
    """See the module. `start` begins, `offer` hands it committed work, `ask` puts a question, `stop` drains it."""

    def __init__(self, parts: LaneParts, on_halt: Callable[[str, str], None]) -> None:
        self.parts = parts
        self.epoch = 0
        self.halted: str | None = None
        self.agenda = Agenda()
        self._loaded_until_ms = 0
        self._on_halt = on_halt
        self._profile = parts.bank.profile
        self._hours = self._profile.limits.hours
        self._pace = Pace(parts.per_second, self._profile.limits.pace.burst, parts.clock.monotonic_s())
        self._lease_until_s = float("-inf")
        self._stopping = False
        self._tasks = Tasks(self._defect)
        self._wanted: deque[_Wanted] = deque()
        self._rows: OrderedDict[str, PaymentRow] = OrderedDict()
        self._serials: deque[int] = deque()
        self._timer: IDelayedCall | None = None
        self._wake_s = 0.0
        self._under_way = 0
        self._drained: Deferred[None] | None = None
        self._drawing = False
        self._paused: set[str] = set()
        self.quay = Quay(parts.bank, (parts.bank_name, parts.name), parts.dialer, parts.clock, parts.entropy,
                         parts.meters, parts.window, self._converse, self._session_context)  # fmt: skip
        self._sending = Sending(self)

    # ---- life ----

    async def start(self) -> None:
        """Take the lease, turn what was under way into doubt, load open work, begin to connect."""
        parts = self.parts
        while True:
            asked_s = parts.clock.monotonic_s()
            epoch = await parts.store.write(lambda tx: lanes.lease(tx, parts.name, parts.node, LEASE_MS))
            if epoch is not None:
                break
            await sleep(parts.clock, LEASE_MS / 3000)
        self.epoch = epoch
        self._lease_until_s = asked_s + LEASE_MS / 1000
        await self._recover()
        await self._load()
        await self._draw()
        self._tasks.spawn(self._keep_lease())
        self._tasks.spawn(self._look_ahead())
        self.quay.start(self._pump, self._defect)
        self._pump()

    async def _look_ahead(self) -> None:
        """Read what falls due soon, long before it does."""
        while not self._stopping:
            await sleep(self.parts.clock, AHEAD_MS / 2000)
            await self._load()
            self._wake_in(0)

    async def _load(self) -> None:
        """Read open work that falls due soon, a page at a time, so that a long list never holds the loop."""
        # First the bound: what is committed while the pages are read is offered, and kept if it lies within.
        until_ms = self._loaded_until_ms = self.parts.clock.now_ms() + AHEAD_MS
        last: WorkRow | None = None
        while True:
            rows = await self.parts.store.read(
                lambda conn, after=last: work.all_open(conn, self.parts.name, after, WORK_PAGE)  # type: ignore[misc]
            )
            for row in rows:
                if row.due_ms > until_ms:
                    return
                self.agenda.put(row)
            if len(rows) < WORK_PAGE:
                return
            last = rows[-1]

    async def _recover(self) -> None:
        parts = self.parts
        while True:
            doubted = await parts.store.write(
                lambda tx: lanes.recover(tx, parts.name, self.epoch, parts.node, 500)
            )
            for applied in doubted:
                self.noted(applied)
            if len(doubted) < 500:
                return

    async def _keep_lease(self) -> None:
        parts = self.parts
        while not self._stopping:
            await sleep(parts.clock, LEASE_MS / 3000)
            asked_s = parts.clock.monotonic_s()
            if await parts.store.write(lambda tx: lanes.renew(tx, parts.name, parts.node, self.epoch, LEASE_MS)):
                self._lease_until_s = asked_s + LEASE_MS / 1000
            else:
                parts.meters.alarms.labels("stale_epoch").inc()
                self.halt("lease_lost")
                return

    async def stop(self, deadline_s: float) -> None:
        """Take no new work; wait for exchanges under way, at most `deadline_s`; then hang up."""
        self._stopping = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for wanted in self._wanted:
            _settle(wanted.answer, _unavailable("stopping"))
        self._wanted.clear()
        if self._under_way:
            self._drained = Deferred()
            timer = self.parts.clock.later(deadline_s, self._hang_up)
            await self._drained
            if timer.active():
                timer.cancel()
        self.quay.stop()
        self._tasks.stop()

    def _hang_up(self) -> None:
        """Exchanges that outlived the deadline end as silence; their commits still run."""
        self.quay.stop()

    def halt(self, reason: str) -> None:
        """Stop for good and say so: a wrong payment is worse than a late one."""
        if self.halted is None:
            self.halted = reason
            _log.error("lane.halted", bank=self.parts.bank_name, lane=self.parts.name, reason=reason)
            self.quay.stop()
            self._on_halt(self.parts.name, reason)

    def _defect(self, failure: Failure) -> None:
        _log.error("lane.defect", bank=self.parts.bank_name, lane=self.parts.name,
                   error=failure.getTraceback(detail="brief"))  # fmt: skip
        self.parts.meters.alarms.labels("impossible").inc()
        self.halt(f"defect:{type(failure.value).__name__}")

    @property
    def ready(self) -> bool:
        """Whether the bank answers and this node may speak to it."""
        return self.halted is None and self.quay.ready and self.permitted()

    def permitted(self) -> bool:
        """The last gate: whether this node's lease on the lane holds at this very moment."""
        return self.halted is None and self.parts.clock.monotonic_s() < self._lease_until_s

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

    # ---- work comes in ----

    def offer(self, row: WorkRow) -> None:
        """A work row of this lane was committed."""
        if row.due_ms > self._loaded_until_ms:
            self.agenda.forget(row.payment, row.work)
            return
        self.agenda.put(row)
        # Not now: the commit's own callbacks come first, and many rows come at once.
        self._wake_in(0)

    def postpone(self, payment: str, due_ms: int) -> None:
        """Try a send later; nothing was committed, the journal's row stands."""
        self.agenda.later(payment, Work.SEND, due_ms)
        self._wake_in(0)

    def remember(self, row: PaymentRow) -> None:
        """Keep a payment at hand that was just committed, so that sending it needs no read."""
        if row.life.state is not State.READY:
            return
        self._rows[row.payment] = row
        if len(self._rows) > ROWS_KEPT:
            self._rows.popitem(last=False)

    def ask(self, operation: str, conversation: Callable[[Context], Conversation[R]], max_wait_s: float) -> Deferred[R]:
        """Put a question; fires with the bank's answer or fails with Unavailable or ProtocolError."""
        answer: Deferred[R] = Deferred()
        if self._stopping or self.halted:
            answer.errback(Unavailable("lane_stopped", self.halted or "stopping"))
            return answer
        self._wanted.append(_Wanted(operation, conversation, answer))
        patience = self.parts.clock.later(max_wait_s, _settle, answer, _unavailable("bank_silent"))
        answer.addBoth(_no_longer, patience)
        self._pump()
        return answer

    # ---- work goes out ----

    def _pump(self) -> None:
        if self._stopping or self.halted:
            return
        now_ms = self.parts.clock.now_ms()
        while (quick := self.agenda.take(now_ms, slow=False)) is not None:
            self._spawn(self._deadline(*quick))
        while self.quay.ready and self._has_slow(now_ms):
            if len(self._serials) < self._profile.serials_per_word:
                self._refill()
                return
            berth = self.quay.take()
            if berth is None:
                break
            # Last, because it takes a token: one without a berth would be lost.
            wait_s = self._pace.wait_s(self.parts.clock.monotonic_s())
            if wait_s > 0:
                self.quay.put_back(berth)
                self._wake_in(wait_s)
                return
            if not self._use(berth, now_ms):
                self.quay.put_back(berth)
                break
        due_ms = self.agenda.next_ms()
        if due_ms is not None and due_ms > now_ms:
            self._wake_in((due_ms - now_ms) / 1000)

    def _has_slow(self, now_ms: int) -> bool:
        due_ms = self.agenda.next_ms()
        due = due_ms is not None and due_ms <= now_ms
        return bool(self._wanted) or due or self.agenda.has_due(sends=not self._paused)

    def _use(self, berth: Berth, now_ms: int) -> bool:
        """Give a berth something to do: the ERP's questions and the agenda in turn."""
        while self._wanted:
            wanted = self._wanted.popleft()
            if not wanted.answer.called:
                self._spawn(self._answer(berth, wanted))
                return True
        item = self.agenda.take(now_ms, quick=False, sends=not self._paused)
        if item is None:
            return False
        payment, kind = item
        if kind is Work.SEND:
            self._spawn(self._sending.carry(berth, payment))
        else:
            self._spawn(self._enquire(berth, payment, kind))
        return True

    def _wake_in(self, delay_s: float) -> None:
        at_s = self.parts.clock.monotonic_s() + min(delay_s, 3600.0)
        if self._timer is not None and self._timer.active():
            if self._wake_s <= at_s:
                return
            self._timer.cancel()
        self._wake_s = at_s
        self._timer = self.parts.clock.later(max(at_s - self.parts.clock.monotonic_s(), 0.0), self._pump)

    def _spawn(self, coroutine: Any) -> None:
        async def counted() -> None:
            self._under_way += 1
            try:
                await coroutine
            finally:
                self._under_way -= 1
                if not self._under_way and self._drained is not None and not self._drained.called:
                    self._drained.callback(None)

        self._tasks.spawn(counted())

    # ---- deadlines, enquiries, questions ----

    async def _deadline(self, payment: str, kind: Work) -> None:
        now_ms = self.parts.clock.now_ms()
        event: Event = Expire(now_ms) if kind is Work.EXPIRE else Overdue(now_ms)
        await self.record(payment, event)

    async def _enquire(self, berth: Berth, payment: str, kind: Work) -> None:
        """Ask what became of a payment and record the word; no word is recorded too, and asked again."""
        source = Source.RETURNS if kind is Work.RETURNS else Source.ENQUIRY
        fate = self.parts.bank.questions.fate
        sent, asked_ms = await self.parts.store.read(lambda conn: _sent(conn, payment)), self.parts.clock.now_ms()
        if fate is None or sent is None:
            self.quay.give_back(berth)
            await self.record(payment, AskedInVain(asked_ms, "no_enquiry_at_this_bank"))
            return
        try:
            outcome = await self._timed(berth, "fate", fate(FateQuestion(sent), self.context(berth)))
        except (NotConnected, NoAnswer, ProtocolError) as error:
            self._after_fault(berth, error)
            await self.record(payment, AskedInVain(self.parts.clock.now_ms(), reason_of(error)))
            return
        self.quay.give_back(berth)
        if not outcome.listed:
            self.unlisted("fate", outcome)
        evidence = Evidence(source, b"", outcome.fate, outcome.code, outcome.text)
        event = Answered(self.parts.clock.now_ms(), outcome.fate, source, asked_ms)
        await self.record(payment, event, evidence, outcome)

    async def _answer(self, berth: Berth, wanted: _Wanted) -> None:
        try:
            result = await self._timed(berth, wanted.operation, wanted.conversation(self.context(berth)))
        except (NotConnected, NoAnswer) as error:
            self._after_fault(berth, error)
            _settle(wanted.answer, _unavailable("bank_unavailable", str(error)))
        except ProtocolError as error:
            self._after_fault(berth, error)
            _settle(wanted.answer, failure_of(error))
        else:
            self.quay.give_back(berth)
            _settle(wanted.answer, result)

    def _after_fault(self, berth: Berth, error: NotConnected | NoAnswer | ProtocolError) -> None:
        """A decline leaves the connection in order; silence and senseless bytes end it. Too fast means slower."""
        declined = isinstance(error, Declined)
        if isinstance(error, Declined) and error.outcome == "rate_limited":
            self._pace.rest(RATE_LIMITED_REST_S)
        signed_out = isinstance(error, Declined) and error.outcome == "signed_out"
        self.quay.give_back(berth, distrust=signed_out or not declined)

    async def _timed(
        self, berth: Berth, operation: str, conversation: Conversation[R], *, opening: bool = False
    ) -> R:
        started_s = self.parts.clock.monotonic_s()
        outcome = "ok"
        try:
            return await talk.ask(berth, conversation, self.parts.signers, opening=opening)
        except (NotConnected, NoAnswer, ProtocolError) as error:
            outcome = self.fault_word(error, operation)
            raise
        finally:
            self.observe(operation, outcome, self.parts.clock.monotonic_s() - started_s)

    async def _converse(self, berth: Berth, conversation: Conversation[Any]) -> object:
        return await self._timed(berth, "session", conversation, opening=True)

    # ---- what all of them share ----

    async def record(
        self, payment: str, event: Event, evidence: Evidence | None = None, outcome: Outcome | None = None,
        expect: State | None = None,
    ) -> None:  # fmt: skip
        """Commit one event. A stale epoch, or a state that is not `expect`, changes nothing."""
        epoch = self.epoch

        def unit(tx: Tx) -> journal_apply.Applied:
            return journal_apply.apply(tx, payment, event, epoch=epoch, actor=f"lane:{self.parts.name}",
                                       evidence=evidence, outcome=outcome, expect=expect)  # fmt: skip

        self.noted(await self.parts.store.write(unit))

    def noted(self, applied: journal_apply.Applied) -> None:
        """Count and log what a commit changed."""
        if applied.conflict:
            _log.warning("payment.not_ours", lane=self.parts.name, epoch=self.epoch,
                         payment=applied.row_before.payment if applied.row_before else "unknown")  # fmt: skip
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

    def count(self, row: PaymentRow) -> None:
        """One more payment entered its state."""
        self.parts.meters.payments.labels(self.parts.bank_name, row.life.state.value).inc()

    async def row(self, payment: str) -> PaymentRow | None:
        """The payment, from memory if it was just accepted, else from the journal."""
        kept = self._rows.pop(payment, None)
        if kept is not None:
            return kept
        return await self.parts.store.read(lambda conn: payments.fetch(conn, payment))

    def next_open_ms(self, at_ms: int) -> int:
        """When the bank takes money orders: now or later."""
        return next_open_ms(self._hours, at_ms)

    def _refill(self) -> None:
        """Draw serial numbers ahead of need; the pump goes on when they are there."""
        if not self._drawing:
            self._drawing = True
            self._tasks.spawn(self._draw())

    async def _draw(self) -> None:
        try:
            drawn = await self.parts.store.write(lambda tx: lanes.draw_serials(tx, self.parts.name, SERIALS_DRAWN))
        finally:
            self._drawing = False
        self._serials.extend(drawn)
        self._pump()

    def context(self, berth: Berth | None, reference: str = "", attempt: int = 0) -> Context:
        """Everything impure for one conversation. Serial numbers given out here are never given out again."""
        now_ms = self.parts.clock.now_ms()
        if len(self._serials) < SERIALS_DRAWN // 4:
            self._refill()
        count = self._profile.serials_per_word
        assert len(self._serials) >= count, "serial numbers ran out between the pump and the conversation"
        return Context(
            reference=reference, attempt=attempt, bank_date=bank_date(self._hours, now_ms),
            now=local(self._hours, now_ms), serials=tuple(self._serials.popleft() for _ in range(count)),
            credentials=self.parts.credentials, session=berth.session if berth is not None else {},
        )  # fmt: skip

    def _session_context(self, berth: Berth | None) -> Context:
        return self.context(berth)

    def observe(self, operation: str, outcome: str, seconds: float) -> None:
        """Count one exchange and how long it took."""
        meters, bank = self.parts.meters, self.parts.bank_name
        meters.bank_seconds.labels(bank, operation).observe(seconds)
        meters.bank_requests.labels(bank, operation, outcome).inc()

    def unlisted(self, operation: str, outcome: Outcome) -> None:
        """A bank code that no table lists: never a verdict, always a metric and a line."""
        self.parts.meters.unlisted_codes.labels(self.parts.bank_name, operation).inc()
        _log.warning("bank.unlisted_code", bank=self.parts.bank_name, operation=operation, code=outcome.code,
                     text=outcome.text)  # fmt: skip

    def fault_word(self, error: NotConnected | NoAnswer | ProtocolError, operation: str) -> str:
        """The metric's word for a fault, with its line in the log and its own counter where it has one."""
        bank = self.parts.bank_name
        if isinstance(error, Declined):
            if not error.listed:
                self.parts.meters.unlisted_codes.labels(bank, operation).inc()
            _log.warning("bank.declined", bank=bank, operation=operation, code=error.code, text=error.bank_text,
                         outcome=error.outcome)  # fmt: skip
            return "rate_limited" if error.outcome == "rate_limited" else "refused"
        if isinstance(error, ProtocolError):
            if error.reason in SIGNATURE_REASONS:
                self.parts.meters.signature_failures.labels(bank).inc()
            _log.warning("bank.bad_answer", bank=bank, operation=operation, reason=error.reason, error=str(error))
            return "bad_answer"
        if isinstance(error, NotConnected):
            self.parts.meters.connect_failures.labels(bank, error.reason.value).inc()
            return "not_sent"
        return "silent" if error.written else "not_sent"


def failure_of(error: Exception) -> Failure:
    """The exception as a Deferred's failure."""
    return Failure(error)


def _unavailable(reason: str, detail: str = "") -> Failure:
    return failure_of(Unavailable(reason, detail))


def _no_longer(result: R, patience: IDelayedCall) -> R:
    """The asker has its answer, or gave up: the timer is not needed any more."""
    if patience.active():
        patience.cancel()
    return result


def _settle(answer: Deferred[Any], result: Any) -> None:
    """Fire a question's answer unless its asker has stopped waiting."""
    if not answer.called:
        answer.callback(result)


def _sent(conn: Connection, payment: str) -> Sent | None:
    """The keys of an enquiry about a payment, as they were written down before it was sent."""
    row, attempt = payments.fetch(conn, payment), attempts.last(conn, payment)
    if row is None or attempt is None:
        return None
    return Sent(
        reference=row.bank_ref, bank_date=date.fromisoformat(attempt.bank_date), attempt=attempt.attempt,
        serials=attempt.serials, amount=row.order.amount, debtor=row.order.debtor.account,
        creditor=row.order.creditor.account, bank_serial=row.bank_serial,
    )  # fmt: skip
