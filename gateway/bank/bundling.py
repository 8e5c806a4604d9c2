"""Sends many orders in one message, once, and asks about all of them at once.

The gates are those of a single payment (`sending`): every order of the message is `sending`, with its permit, in the
commit that writes the message's bytes down; the permit is tested in the turn of the write; whatever goes wrong after
that is doubt for every order, unless not one byte was written. A bundle is never sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, DeferredLock

from gateway import log
from gateway.bank import conversation as bank_conversation
from gateway.bank.clock_trust import ClockVerdict
from gateway.bank.connection import GONE, NO_PERMIT, BankConnection, NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.fault_reasons import reason_of, signed_out
from gateway.bank.session_pool import BankSession
from gateway.core.states import Answered, AskedInVain, Event, Hold, NotSent, Send, Silent, Source, Work
from gateway.journal.commit import work
from gateway.journal.commit.rows import AttemptRow, Evidence, PaymentRow
from gateway.journal.commit.send_leave import SendLeave
from gateway.journal.commit.store import Tx
from gateway.journal.payments import bundles
from gateway.journal.payments import transition as journal_apply
from gateway.journal.payments.bundles import BundleRow, BundleSend
from protocols.bank import BundleConversation, Fates, Submit
from protocols.canon.order import Bundle, Item
from protocols.canon.outcome import Fate, Outcome, State
from protocols.canon.query import BundleFateQuestion, Sent, SentBundle
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

if TYPE_CHECKING:
    from gateway.bank.lane import Lane

RETRY_UNSENT_MS = 2_000
RETRY_REFUSED_MS = 30_000
ASKED_NOW_MS = 1_000
"""A message that is being asked about is asked again after so long, if that is not about the same orders."""
NOT_NAMED = Outcome(Fate.UNKNOWN, text="the answer does not name this item")
_OPEN = frozenset({State.PENDING, State.IN_DOUBT, State.ESCALATED})
_log = log.get("bank.bundling")


@dataclass(frozen=True, slots=True)
class _Word:
    """One event for one order, with what it stands on."""

    payment: str
    event: Event
    evidence: Evidence | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    conversation: BundleConversation
    submit: Submit
    line: BankConnection
    bank_date: str


@dataclass(frozen=True, slots=True)
class _Leaving:
    """A message whose bytes are written down. `committed_s` is from before the commit."""

    bundle: BundleRow
    rows: tuple[PaymentRow, ...]
    ready: _Ready
    committed_s: float
    leaves: tuple[SendLeave, ...]

    @property
    def epoch(self) -> int:
        """Under which epoch it was written down."""
        return self.rows[0].epoch


class Bundling:
    """The lane's way of carrying orders that its bank takes together."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._parts = lane.parts
        self._asking: dict[str, frozenset[tuple[str, Work]]] = {}

    def carries(self, row: PaymentRow) -> bool:
        """Whether the bank takes this order with others."""
        return row.order.kind in self._parts.bank.bundles

    # ---- sending ----

    async def carry(self, session: BankSession, row: PaymentRow, turn: DeferredLock) -> None:
        """Take this ready order, and those it may travel with, to whatever the bank says. Releases `turn`."""
        leaving: _Leaving | None = None
        try:
            allotted = await self._allotted(row)
            ready = None if allotted is None else await self._prepare(session, *allotted)
            committed_s = self._parts.clock.monotonic_s()
            committing = None
            if allotted is not None and ready is not None:
                committing = self._parts.store.write(self._unit(*allotted, ready))
        finally:
            # The writer commits in the order of the calls (strangers' locks apart): the next of this account may begin.
            turn.release()
        if allotted is None:
            self._lane.session_pool.release(session)
            if row.life.first_write_ms is not None:
                # In another message than the one that carried it, it would not be asked about in that one any more.
                hold = Hold(self._parts.clock.now_ms(), "has_left_before")
                await self._lane.record(row.payment, hold, expect=State.READY)
            return
        if ready is None or committing is None:
            return
        bundle, rows = allotted
        applied = await committing
        if applied is None:
            # One of them changed meanwhile; the bytes named it, so they are not sent.
            ready.conversation.close()
            self._lane.session_pool.release(session)
            self._postpone(rows, self._parts.clock.now_ms())
            return
        for one in applied:
            self._lane.noted(one)
        sending = tuple(one.row_after for one in applied if one.row_after is not None)
        leaves = tuple(one.leave for one in applied if one.leave is not None)
        leaving = _Leaving(bundle, sending, ready, committed_s, leaves)
        await self._speak(session, leaving)

    async def _allotted(self, row: PaymentRow) -> tuple[BundleRow, tuple[PaymentRow, ...]] | None:
        words, epoch = self._parts.bank.bundles[row.order.kind], self._lane.epoch
        form = self._parts.bank.profile.limits.reference
        found = await self._parts.store.write(
            lambda tx: bundles.allot(tx, row.payment, words.most, form, epoch)
        )
        if found is not None:
            self._forget(found[1], Work.SEND)
        return found

    async def _prepare(self, session: BankSession, bundle: BundleRow, rows: tuple[PaymentRow, ...]) -> _Ready | None:
        """The bytes and the connection to write them to; None, and the session is given back, if it cannot go now."""
        lane, kind = self._lane, bundle.kind
        context = lane.context(session, bundle.bank_ref, bundle.attempt + 1)
        word = Bundle(kind, tuple(Item(row.order, row.bank_ref) for row in rows))
        conversation = self._parts.bank.bundles[kind].word(word, context)
        try:
            step = await bank_conversation.until_submit(session, conversation, self._parts.signers)
            if isinstance(step, Submit):
                line = await bank_conversation.proven(session, step.port)
                return _Ready(conversation, step, line, context.bank_date.isoformat())
        except Declined as error:
            lane.session_pool.release(session, signed_out=signed_out(error))
            retry_ms, why = RETRY_REFUSED_MS, str(error)
        except ProtocolError as error:
            # Nothing was sent, and trying again would end the same way: a person must look at these orders.
            conversation.close()
            lane.session_pool.release(session)
            lane.exchange_metrics.fault(error, kind.value)
            _log.error("bundle.cannot_be_prepared", bank=self._parts.bank_name, bundle=bundle.bundle, error=str(error),
                       items=len(rows), action="held; nothing was sent")  # fmt: skip
            hold = Hold(self._parts.clock.now_ms(), "cannot_be_prepared")
            await self._record([_Word(row.payment, hold) for row in rows], lane.epoch, expect=State.READY)
            return None
        except (NotConnected, NoAnswer) as error:
            conversation.close()
            lane.session_pool.release(session, distrust=True)
            lane.exchange_metrics.fault(error, kind.value)
            retry_ms, why = RETRY_UNSENT_MS, str(error)
        else:
            lane.session_pool.release(session)
            retry_ms, why = RETRY_REFUSED_MS, "the conversation ended without asking to send"
        _log.warning("bundle.not_prepared", bank=self._parts.bank_name, lane=self._parts.name, bundle=bundle.bundle,
                     error=why, action="its orders stay ready and are tried again")  # fmt: skip
        self._postpone(rows, self._parts.clock.now_ms() + retry_ms)
        return None

    def _unit(
        self, bundle: BundleRow, rows: tuple[PaymentRow, ...], ready: _Ready
    ) -> Callable[[Tx], tuple[journal_apply.Applied, ...] | None]:
        """All of them to `sending` with the message's bytes, or nothing."""
        epoch, node, submit = self._lane.epoch, self._parts.node, ready.submit
        key_ids = ",".join(self._parts.signers[name].key_id for name in self._parts.bank.profile.signs)

        def unit(tx: Tx) -> tuple[journal_apply.Applied, ...] | None:
            if tx.epoch_of(self._parts.name) > epoch or not all(_unchanged(tx, row) for row in rows):
                return None
            bundles.sending(tx, bundle, rows, BundleSend(ready.bank_date, submit.serials, submit.port, submit.data))
            return tuple(
                journal_apply.apply(
                    tx, row.payment, Send(tx.now_ms), epoch=epoch, expect=State.READY, version=row.version,
                    actor=f"lane:{self._parts.name}",
                    # The bytes stand with the bundle, once.
                    attempt=AttemptRow(
                        payment=row.payment, attempt=row.life.attempt + 1, epoch=epoch, node=node,
                        bank_date=ready.bank_date, serials=submit.serials, port=submit.port, wire=b"",
                        key_id=key_ids or None, first_write_ms=tx.now_ms,
                        replay_policy=self._lane.rules_of(row).replay.value,
                    ),
                    rules=self._parts.rules,
                )
                for row in rows
            )  # fmt: skip

        return unit

    # ---- after the commit ----

    async def _speak(self, session: BankSession, leaving: _Leaving) -> None:
        lane, started_s, ready = self._lane, self._parts.clock.monotonic_s(), leaving.ready
        refusal = self._gate(leaving)
        if refusal is not None:
            await self._not_sent(session, leaving, refusal)
            return
        answer, heard = b"", False
        try:
            answer = await ready.line.exchange(ready.submit.data)
            heard = True
            fates = await bank_conversation.after_submit(session, ready.conversation, self._parts.signers, answer)
        except NoAnswer as error:
            ready.conversation.close()
            if not error.written and not heard:
                await self._not_sent(session, leaving, error.reason)
                return
            await self._silent(session, leaving, error, answer or error.partial, started_s)
        except (NotConnected, ProtocolError) as error:
            await self._silent(session, leaving, error, answer, started_s)
        except CancelledError:
            raise
        except Exception:
            # A defect in the bank's code after the bytes left: all is in doubt, and the lane must stop.
            lane.session_pool.release(session, distrust=True)
            await self._record(self._silences(leaving, "adapter_defect"), leaving.epoch, _kept(leaving, answer))
            raise
        else:
            lane.session_pool.release(session)
            await self._heard(leaving, fates, answer, started_s)

    def _gate(self, leaving: _Leaving) -> str | None:
        """The last gate, in the same turn as the write: why these bytes may not leave now, or None."""
        if not self._lane.permits(leaving.epoch, leaving.committed_s):
            return NO_PERMIT
        if any(one.revoked for one in leaving.leaves):
            return "overtaken"
        if self._lane.paused:
            return "paused"
        now_ms = self._parts.clock.now_ms()
        late = any(
            row.life.valid_until_ms is not None and now_ms >= row.life.valid_until_ms for row in leaving.rows
        )
        return "expired" if late else self._lane.shut(date.fromisoformat(leaving.ready.bank_date))

    async def _heard(self, leaving: _Leaving, fates: Fates, answer: bytes, started_s: float) -> None:
        kind, now_ms = leaving.bundle.kind.value, self._parts.clock.now_ms()
        self._strangers(leaving.bundle, leaving.rows, fates)
        words = []
        for row in leaving.rows:
            outcome = fates.get(row.bank_ref, NOT_NAMED)
            if not outcome.listed:
                self._lane.exchange_metrics.unlisted(kind, outcome)
            evidence = Evidence(Source.SUBMIT, b"", outcome.fate, outcome.code, outcome.text)
            event = Answered(now_ms, outcome.fate, Source.SUBMIT, attempt=row.life.attempt)
            words.append(_Word(row.payment, event, evidence, outcome))
        self._lane.exchange_metrics.observe(kind, "ok", self._parts.clock.monotonic_s() - started_s)
        await self._record(words, leaving.epoch, _kept(leaving, answer))

    async def _silent(
        self, session: BankSession, leaving: _Leaving, error: NotConnected | NoAnswer | ProtocolError, seen: bytes,
        started_s: float,
    ) -> None:  # fmt: skip
        kind = leaving.bundle.kind.value
        self._lane.session_pool.release(session, distrust=True, signed_out=signed_out(error))
        word = self._lane.exchange_metrics.fault(error, kind)
        word = "silent" if word == "not_sent" else word
        self._lane.exchange_metrics.observe(kind, word, self._parts.clock.monotonic_s() - started_s)
        await self._record(self._silences(leaving, reason_of(error)), leaving.epoch, _kept(leaving, seen))

    def _silences(self, leaving: _Leaving, reason: str) -> list[_Word]:
        now_ms = self._parts.clock.now_ms()
        return [_Word(row.payment, Silent(now_ms, reason, row.life.attempt)) for row in leaving.rows]

    async def _not_sent(self, session: BankSession, leaving: _Leaving, reason: str) -> None:
        if reason != GONE:
            self._parts.meters.permits_refused.labels(self._parts.bank_name).inc()
        leaving.ready.conversation.close()
        self._lane.session_pool.release(session, distrust=True)
        self._lane.exchange_metrics.observe(leaving.bundle.kind.value, "not_sent", 0.0)
        now_ms, bundle = self._parts.clock.now_ms(), leaving.bundle.bundle
        words = [
            _Word(row.payment, NotSent(now_ms, reason, now_ms + RETRY_UNSENT_MS, row.life.attempt))
            for row in leaving.rows
        ]
        await self._record(words, leaving.epoch, lambda tx: bundles.unsent(tx, bundle))

    # ---- asking ----

    async def about(self, session: BankSession, row: PaymentRow, kind: Work) -> None:
        """Ask what became of all orders of this one's message, and record each one's word."""
        lane, epoch = self._lane, self._lane.epoch
        found = await self._parts.store.read(lambda conn: bundles.of_payment(conn, row.payment))
        if found is None or found[0].bank_date is None:
            lane.session_pool.release(session)
            await lane.record(row.payment, AskedInVain(self._parts.clock.now_ms(), "never_sent"), epoch=epoch)
            return
        bundle, rows = found
        under_way = self._asking.get(bundle.bundle)
        if under_way is not None and (row.payment, kind) in under_way:
            lane.session_pool.release(session)
            return
        watching = kind is Work.RETURNS
        asked = [one for one in rows if (one.life.state is State.SETTLED if watching else one.life.state in _OPEN)]
        if lane.work_queue.knows(row.payment, kind) or all(one.payment != row.payment for one in asked):
            # Another order's question told of this one while it waited here: it is due again later, or done with.
            # Asked once more for its sake, the others would have used up their early questions within a moment.
            lane.session_pool.release(session)
            left = await self._parts.store.read(lambda conn: work.of_payment(conn, row.payment))
            if not lane.work_queue.knows(row.payment, kind) and any(one.work is kind for one in left):
                await lane.record(row.payment, AskedInVain(self._parts.clock.now_ms(), "known_by_now"), epoch=epoch)
            return
        self._forget(asked, kind)
        if under_way is not None:
            # It is asked about other orders: what these were due for is not answered by that. One asks for all soon.
            lane.session_pool.release(session)
            lane.postpone(row.payment, self._parts.clock.now_ms() + ASKED_NOW_MS, kind)
            return
        self._asking[bundle.bundle] = frozenset((one.payment, kind) for one in asked)
        try:
            await self._ask(session, bundle, rows, asked, watching, epoch)
        finally:
            del self._asking[bundle.bundle]

    async def _ask(
        self, session: BankSession, bundle: BundleRow, rows: Sequence[PaymentRow], asked: Sequence[PaymentRow],
        watching: bool, epoch: int,
    ) -> None:  # fmt: skip
        lane, asked_ms = self._lane, self._parts.clock.now_ms()
        sure = {row.payment: lane.clock_trust.sure(lane.rules_of(row).quarantine_ms) for row in asked}
        question = BundleFateQuestion(_sent(bundle, rows, lane.asked_day))
        fate = self._parts.bank.bundles[bundle.kind].fate
        try:
            fates = await lane.timed(session, "fate", fate(question, lane.context(session)))
        except (NotConnected, NoAnswer, ProtocolError) as error:
            lane.after_fault(session, error)
            lane.exchange_metrics.mismatch(error, asked[0].payment)
            reason, now_ms = reason_of(error), self._parts.clock.now_ms()
            over = self._day_over(bundle, now_ms)
            await self._record([_Word(row.payment, AskedInVain(now_ms, reason, over)) for row in asked], epoch)
            return
        lane.session_pool.release(session)
        self._strangers(bundle, rows, fates)
        source = Source.RETURNS if watching else Source.ENQUIRY
        over = self._day_over(bundle, self._parts.clock.now_ms())
        words = [self._said(row, fates, source, asked_ms, over, sure[row.payment]) for row in asked]
        await self._record(words, epoch)

    def _day_over(self, bundle: BundleRow, now_ms: int) -> bool:
        assert bundle.bank_date is not None
        return now_ms >= self._lane.day_ends_ms(date.fromisoformat(bundle.bank_date))

    def _said(
        self, row: PaymentRow, fates: Fates, source: Source, asked_ms: int, day_over: bool, sure: ClockVerdict
    ) -> _Word:
        now_ms, outcome = self._parts.clock.now_ms(), fates.get(row.bank_ref)
        if outcome is None:
            return _Word(row.payment, AskedInVain(now_ms, "not_named", day_over))
        if not outcome.listed:
            self._lane.exchange_metrics.unlisted("fate", outcome)
        evidence = Evidence(source, b"", outcome.fate, outcome.code, outcome.text)
        event = Answered(now_ms, outcome.fate, source, asked_ms, day_over=day_over,
                         clock_sure=sure.of(outcome.fate))  # fmt: skip
        return _Word(row.payment, event, evidence, outcome)

    # ---- what all of them share ----

    def _strangers(self, bundle: BundleRow, rows: Iterable[PaymentRow], fates: Fates) -> None:
        """References that this message did not carry: nobody's word, and somebody must look."""
        strange = set(fates) - {row.bank_ref for row in rows}
        if strange:
            self._parts.meters.alarms.labels("answers_disagree").inc()
            _log.error("bundle.strange_items", bank=self._parts.bank_name, bundle=bundle.bundle,
                       references=sorted(strange)[:10], action="ignored; look at the bank's answer")  # fmt: skip

    def _forget(self, rows: Iterable[PaymentRow], kind: Work) -> None:
        """They are dealt with together: what each had to be done by itself is off the work queue."""
        for row in rows:
            self._lane.work_queue.forget(row.payment, kind)

    def _postpone(self, rows: Iterable[PaymentRow], due_ms: int) -> None:
        for row in rows:
            self._lane.postpone(row.payment, due_ms)

    async def _record(
        self, words: Sequence[_Word], epoch: int, also: Callable[[Tx], None] | None = None,
        expect: State | None = None,
    ) -> None:  # fmt: skip
        """Commit one event for each order, all in one unit, with what is kept of the message."""
        actor = f"lane:{self._parts.name}"

        def unit(tx: Tx) -> tuple[journal_apply.Applied, ...]:
            if also is not None and tx.epoch_of(self._parts.name) <= epoch:
                also(tx)
            return tuple(
                journal_apply.apply(tx, word.payment, word.event, epoch=epoch, actor=actor, evidence=word.evidence,
                                    outcome=word.outcome, expect=expect, rules=self._parts.rules)
                for word in words
            )  # fmt: skip

        for applied in await self._parts.store.write(unit):
            self._lane.noted(applied)


def _unchanged(tx: Tx, row: PaymentRow) -> bool:
    now = tx.payment_cache.row(tx.raw, tx.vault, row.payment)
    return now is not None and now.version == row.version and now.life.state is State.READY


def _kept(leaving: _Leaving, answer: bytes) -> Callable[[Tx], None] | None:
    bundle = leaving.bundle.bundle
    return (lambda tx: bundles.answered(tx, bundle, answer)) if answer else None


def _sent(bundle: BundleRow, rows: Sequence[PaymentRow], asked_day: Callable[[date], date]) -> SentBundle:
    """The message and its orders as they were written down before the first byte left."""
    assert bundle.bank_date is not None
    bank_date = asked_day(date.fromisoformat(bundle.bank_date))
    items = tuple(
        Sent(
            reference=row.bank_ref, bank_date=bank_date, attempt=row.life.attempt, serials=bundle.serials,
            amount=row.order.amount, debtor=row.order.debtor.account, creditor=row.order.creditor.account,
            bank_serial=row.bank_serial,
        )
        for row in rows
    )  # fmt: skip
    # A number that the bank gave to all of them alike is the message's.
    serials = {item.bank_serial for item in items}
    return SentBundle(bundle.bank_ref, bank_date, bundle.attempt, bundle.serials, items,
                      serials.pop() if len(serials) == 1 else None)  # fmt: skip
