"""Asks a bank about payments: first by its enquiry, then by its list of returns.

An answer "duplicate" leads to an enquiry. If enquiries bring no verdict, or if money may come back after success, the
bank's list of returns is asked for, if the bank has one. Entries of the account are evidence too; account_watch reads
them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from sqlalchemy import Connection

from gateway.bank.bank_calendar import turn_of
from gateway.bank.bank_session import BankSession
from gateway.bank.bundle_enquiry import BundleEnquiry
from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.fault_reasons import reason_of
from gateway.bank.lane_shared import LaneShared
from gateway.bank.outgoing import travels_in_bundles
from gateway.kernel import log
from gateway.kernel.commit import attempts
from gateway.kernel.commit.rows import AttemptRow, Evidence, PaymentRow
from gateway.kernel.core.states import Answered, AskedInVain, Source, Work
from gateway.payments.rows import bundles, lookup
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion, ReturnsQuestion, Sent
from protocols.canon.statement import Return
from protocols.kit.errors import ProtocolError

NO_VERDICT = frozenset({Fate.NOT_FOUND, Fate.UNKNOWN, Fate.DUPLICATE})
RETURNS_ASKED_FROM = 4
"""After this many enquiries without a verdict the list of returns is asked too."""
WALK_KEPT_MS = 60_000
MOST_PAGES = 100
Unanswered = NotConnected | NoAnswer | ProtocolError
_log = log.get("bank.enquiry")


@dataclass(frozen=True, slots=True)
class _ReturnsList:
    """All returns of an account over some bank dates, which were asked for at `asked_ms`, and the payments looked for
    among them."""

    asked_ms: int
    first: date
    last: date
    returns: tuple[Return, ...]
    searched: set[str] = field(default_factory=set)

    def serves(self, payment: str, first: date, last: date, now_ms: int) -> bool:
        """True if this list may have news about `payment`.

        Money may come back between two questions, so that the next question about the same payment needs a new list.
        """
        covers = self.first <= first and self.last >= last
        return covers and now_ms - self.asked_ms < WALK_KEPT_MS and payment not in self.searched


class Enquiry:
    """Asks the bank about one payment at a time. Every question ends in one recorded event."""

    def __init__(self, shared: LaneShared) -> None:
        self._shared = shared
        self._parts = shared.parts
        self.bundles = BundleEnquiry(shared)
        self._walks: dict[str, _ReturnsList] = {}

    async def about(self, session: BankSession, payment: str, kind: Work) -> None:
        """Ask about a payment and record the answer. A missing answer is recorded too, and the question is asked
        again."""
        shared, epoch, now_ms = self._shared, self._shared.lease.epoch, self._parts.clock.now_ms()
        if (opens_ms := shared.calendar.next_asked_ms(now_ms)) > now_ms:
            session.release()
            shared.work_queue.postpone(payment, kind, opens_ms)
            return
        found = await self._parts.store.read(lambda conn: sent_of(conn, payment, shared.calendar.bank_date))
        if found is None:
            session.release()
            in_vain = AskedInVain(self._parts.clock.now_ms(), "never_sent")
            await shared.recorder.record(payment, in_vain, epoch=epoch)
            return
        row, sent = found
        session.payment = row.name
        sent = replace(sent, bank_date=shared.calendar.asked_day(sent.bank_date, turn_of((row,))))
        if not shared.gate.permitted():
            session.release()
            shared.work_queue.postpone(payment, kind, now_ms)
            return
        # Returns are listed by account. Without such a list, the message is asked about as long as a return is
        # possible.
        listed = kind is Work.RETURNS and self._parts.bank.questions.returns is not None
        if travels_in_bundles(self._parts.bank, row) and not listed:
            await self.bundles.about(session, row, kind)
            return
        event: Answered | AskedInVain
        sure = shared.sure_of(row)
        try:
            event, outcome, fault = await self._ask(session, row, sent, kind)
        except (NotConnected, NoAnswer, ProtocolError) as error:
            if isinstance(error, ProtocolError) and travels_in_bundles(self._parts.bank, row):
                # The list of returns cannot be read. The enquiry about the message reports returns as well.
                await self.bundles.about(session, row, kind)
                return
            shared.questions.release_after(session, error)
            shared.metrics.mismatch(error, payment)
            event, outcome = AskedInVain(self._parts.clock.now_ms(), reason_of(error)), None
        else:
            if fault is None:
                session.release()
            else:
                shared.questions.release_after(session, fault)
        evidence = None
        if isinstance(event, Answered) and outcome is not None:
            evidence = Evidence(event.source, b"", outcome.fate, outcome.code, outcome.text)
            shared.metrics.found_odd("fate", outcome)
        event = replace(event, day_over=event.at_ms >= shared.calendar.day_ends_ms(sent.bank_date))
        if isinstance(event, Answered):
            event = replace(event, clock_sure=sure.of(event.fate))
        await shared.recorder.record(payment, event, evidence, outcome, epoch=epoch)

    async def _ask(
        self, session: BankSession, row: PaymentRow, sent: Sent, kind: Work
    ) -> tuple[Answered | AskedInVain, Outcome | None, Unanswered | None]:
        """Ask about one payment. Returns the event, the bank's answer, and the fault of a list of returns that was not
        needed for the event."""
        questions = self._parts.bank.questions
        watching = kind is Work.RETURNS
        fault: Unanswered | None = None
        if watching and questions.returns is not None:
            bundled = travels_in_bundles(self._parts.bank, row)
            try:
                back = await self._returned(session, row, sent)
            except ProtocolError as error:
                # The list cannot be read. The enquiry reports returns as well, and is asked all the same.
                if bundled or questions.fate is None:
                    raise
                back, fault = None, error
            if back is not None:
                return (*back, None)
            if bundled and await self._came_back_whole(row):
                raise ProtocolError(
                    "ambiguous",
                    "the bank's list says that money of the message came back, but does not say for which payment",
                )
            if bundled:
                return AskedInVain(self._parts.clock.now_ms(), "not_returned"), None, None
        if questions.fate is None:
            back = None if watching or questions.returns is None else await self._returned(session, row, sent)
            return (*(back or (AskedInVain(self._parts.clock.now_ms(), "no_enquiry_at_this_bank"), None)), None)
        asked_ms = self._parts.clock.now_ms()
        fate = questions.fate(FateQuestion(sent), self._shared.serials.context(session))
        outcome = await self._shared.questions.run(session, "fate", fate)
        if not outcome.listed:
            self._shared.metrics.unlisted("fate", outcome)
        source = Source.RETURNS if watching else Source.ENQUIRY
        word = Answered(self._parts.clock.now_ms(), outcome.fate, source, asked_ms)
        if not watching and outcome.fate in NO_VERDICT and row.life.asked >= RETURNS_ASKED_FROM and questions.returns:
            try:
                return (*(await self._returned(session, row, sent) or (word, outcome)), None)
            except (NotConnected, NoAnswer, ProtocolError) as error:
                fault = error  # the enquiry's answer counts
        return word, outcome, fault

    async def _returned(self, session: BankSession, row: PaymentRow, sent: Sent) -> tuple[Answered, Outcome] | None:
        """Find the payment among the account's returns, by reference and amount. Its absence proves nothing.

        A return under the reference of a message with many orders shows that money came back, but not of which order.
        Then the message is asked about (`_came_back_whole`).
        """
        walk = await self._walk(session, row, sent)
        walk.searched.add(row.payment)
        for one in walk.returns:
            if one.reference != sent.reference:
                continue
            if one.amount is not None and one.amount != sent.amount:
                self._parts.meters.alarms.labels("answers_disagree").inc()
                _log.error(
                    "payment.returns_disagree",
                    bank=self._parts.bank_name,
                    lane=self._parts.name,
                    reference=sent.reference,
                    action=("the amount differs, so the return does not change this payment; check the bank's list"),
                )
                continue
            fate = Fate.REVERSED if one.reversed else Fate.RETURNED
            event = Answered(self._parts.clock.now_ms(), fate, Source.RETURNS, walk.asked_ms)
            return event, Outcome(fate, text=one.text)
        return None

    async def _came_back_whole(self, row: PaymentRow) -> bool:
        """True if the account's returns, as just asked, name the message in which the payment was sent with others."""
        named = {one.reference for one in self._walks[row.order.ours.account.clear].returns}
        if not named:
            return False
        return await self._parts.store.read(lambda conn: bundles.reference_of(conn, row.payment)) in named

    async def _walk(self, session: BankSession, row: PaymentRow, sent: Sent) -> _ReturnsList:
        """Read the account's returns since the day before the payment's bank date. Many payments share one reading.

        They are asked for by the calendar's days and by the host's, whichever begin earlier and end later.
        """
        shared, profile, own = self._shared, self._parts.bank.profile, row.order.ours.account
        asked_ms = self._parts.clock.now_ms()
        today = shared.calendar.bank_date(asked_ms)
        ahead = timedelta(days=shared.host_date.days.ahead)
        begin, oldest = sent.bank_date - timedelta(days=1), today - timedelta(days=profile.history_days)
        first = max(min(begin, begin + ahead), min(oldest, oldest + ahead))
        last = max(today, today + ahead, sent.bank_date + timedelta(days=1))
        account = own.clear
        kept = self._walks.get(account)
        if kept is not None and kept.serves(row.payment, first, last, asked_ms):
            return kept
        found: list[Return] = []
        cursor: str | None = None
        ask = self._parts.bank.questions.returns
        assert ask is not None
        for _ in range(MOST_PAGES):
            await shared.questions.wait_for_pace("returns")
            question = ReturnsQuestion(own, first, last, cursor)
            page = await shared.questions.run(session, "returns", ask(question, shared.serials.context(session)))
            shared.metrics.found_odd("returns", page)
            found += page.returns
            cursor = page.cursor
            if cursor is None:
                break
        else:
            raise ProtocolError("paging", f"more than {MOST_PAGES} pages of returns")
        walk = self._walks[account] = _ReturnsList(asked_ms, first, last, tuple(found))
        return walk


def sent_of(conn: Connection, payment: str, bank_date: Callable[[int], date]) -> tuple[PaymentRow, Sent] | None:
    """A payment and the keys of an enquiry about it, as recorded before its last send; None if it was never sent.

    A restored database lacks the attempt of an order that the permit log knows as sent. The keys are then those of the
    order itself, from the business date on at which the order may have left first.
    """
    found = attempts.last_with_payment(conn, payment)
    if found is not None:
        row, attempt = found
        return row, sent_from(row, attempt, attempt.attempt)
    unwritten = lookup.fetch(conn, payment)
    if unwritten is None or unwritten.life.first_write_ms is None:
        return None
    return unwritten, _sent(unwritten, bank_date(unwritten.life.first_write_ms), 1, ())


def sent_from(row: PaymentRow, attempt: AttemptRow, n: int) -> Sent:
    """The record of a send as it was before attempt `n` was sent, with the bytes of `attempt`."""
    return _sent(row, date.fromisoformat(attempt.bank_date), n, attempt.serials)


def _sent(row: PaymentRow, bank_date: date, n: int, serials: tuple[str, ...]) -> Sent:
    return Sent(
        reference=row.bank_ref,
        bank_date=bank_date,
        attempt=n,
        serials=serials,
        amount=row.order.amount,
        debtor=row.order.debtor.account,
        creditor=row.order.creditor.account,
        bank_serial=row.bank_serial,
    )
