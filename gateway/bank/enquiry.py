"""Asks what became of payments: first the bank's enquiry, then its list of returns.

A duplicate answer leads to an enquiry. Where enquiries bring no verdict, or money may come back after success, the
bank's returns question is asked, if it has one. Entries of the account are evidence too; account_watch reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

from sqlalchemy import Connection

from gateway import log
from gateway.bank.bank_calendar import turn_of
from gateway.bank.bundle_enquiry import BundleEnquiry
from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.fault_reasons import reason_of
from gateway.bank.lane_shared import LaneShared
from gateway.bank.outgoing import travels_in_bundles
from gateway.bank.session_pool import BankSession
from gateway.core.states import Answered, AskedInVain, Source, Work
from gateway.journal.commit import attempts
from gateway.journal.commit.rows import AttemptRow, Evidence, PaymentRow
from gateway.journal.payments import bundles
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber
from protocols.canon.query import FateQuestion, ReturnsQuestion, Sent
from protocols.canon.statement import Return
from protocols.kit.errors import ProtocolError

NO_VERDICT = frozenset({Fate.NOT_FOUND, Fate.UNKNOWN, Fate.DUPLICATE})
RETURNS_ASKED_FROM = 4
"""After so many enquiries without a verdict the list of returns is asked, too."""
WALK_KEPT_MS = 60_000
MOST_PAGES = 100
Unanswered = NotConnected | NoAnswer | ProtocolError
_log = log.get("bank.enquiry")


@dataclass(frozen=True, slots=True)
class _Walk:
    """All returns of an account over some bank dates, as asked at `asked_ms`."""

    asked_ms: int
    first: date
    last: date
    returns: tuple[Return, ...]


class Enquiry:
    """Asks the bank about one payment at a time. Every question ends in one recorded event."""

    def __init__(self, shared: LaneShared) -> None:
        self._shared = shared
        self._parts = shared.parts
        self.bundles = BundleEnquiry(shared)
        self._walks: dict[str, _Walk] = {}

    async def about(self, session: BankSession, payment: str, kind: Work) -> None:
        """Ask what became of a payment and record the answer. No answer is recorded too, and it is asked again."""
        shared, epoch, now_ms = self._shared, self._shared.lease.epoch, self._parts.clock.now_ms()
        if (opens_ms := shared.calendar.next_asked_ms(now_ms)) > now_ms:
            session.release()
            shared.work_queue.postpone(payment, kind, opens_ms)
            return
        found = await self._parts.store.read(lambda conn: sent_of(conn, payment))
        if found is None:
            session.release()
            in_vain = AskedInVain(self._parts.clock.now_ms(), "never_sent")
            await shared.recorder.record(payment, in_vain, epoch=epoch)
            return
        row, sent = found
        sent = replace(sent, bank_date=shared.calendar.asked_day(sent.bank_date, turn_of((row,))))
        if not shared.gate.permitted():
            session.release()
            shared.work_queue.postpone(payment, kind, now_ms)
            return
        # Returns are listed by account; without such a list, the message is asked about as long as it matters.
        listed = kind is Work.RETURNS and self._parts.bank.questions.returns is not None
        if travels_in_bundles(self._parts.bank, row) and not listed:
            await self.bundles.about(session, row, kind)
            return
        event: Answered | AskedInVain
        sure = shared.clock_trust.sure(self._parts.rules_of(row).quarantine_ms)
        try:
            event, outcome, fault = await self._ask(session, row, sent, kind)
        except (NotConnected, NoAnswer, ProtocolError) as error:
            if isinstance(error, ProtocolError) and travels_in_bundles(self._parts.bank, row):
                # The list of returns cannot be read. The enquiry about the message tells of returns as well.
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
        """The event, what the bank said, and the fault of a list of returns that nothing hangs on."""
        questions = self._parts.bank.questions
        watching = kind is Work.RETURNS
        fault: Unanswered | None = None
        if watching and questions.returns is not None:
            bundled = travels_in_bundles(self._parts.bank, row)
            try:
                back = await self._returned(session, row, sent)
            except ProtocolError as error:
                # The list cannot be read. The enquiry tells of returns as well, and is asked all the same.
                if bundled or questions.fate is None:
                    raise
                back, fault = None, error
            if back is not None:
                return (*back, None)
            if bundled and await self._came_back_whole(row):
                raise ProtocolError("ambiguous", "money of its whole message came back: the message is asked about")
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
                fault = error  # what the enquiry said stands
        return word, outcome, fault

    async def _returned(self, session: BankSession, row: PaymentRow, sent: Sent) -> tuple[Answered, Outcome] | None:
        """The payment among the account's returns, by reference and amount. Absence proves nothing.

        A return under the reference of a message of many says that money came back, and not whose: then the message is
        asked about (`_came_back_whole`).
        """
        walk = await self._walk(session, row.order.ours.account, sent)
        for one in walk.returns:
            if one.reference != sent.reference:
                continue
            if one.amount is not None and one.amount != sent.amount:
                self._parts.meters.alarms.labels("answers_disagree").inc()
                _log.error("payment.returns_disagree", bank=self._parts.bank_name, lane=self._parts.name,
                           reference=sent.reference, action="not taken for it; look at the bank's list")  # fmt: skip
                continue
            fate = Fate.REVERSED if one.reversed else Fate.RETURNED
            event = Answered(self._parts.clock.now_ms(), fate, Source.RETURNS, walk.asked_ms)
            return event, Outcome(fate, text=one.text)
        return None

    async def _came_back_whole(self, row: PaymentRow) -> bool:
        """Whether the account's returns, as just asked, name the message that carried the payment with others."""
        named = {one.reference for one in self._walks[row.order.ours.account.clear].returns}
        if not named:
            return False
        return await self._parts.store.read(lambda conn: bundles.reference_of(conn, row.payment)) in named

    async def _walk(self, session: BankSession, own: AccountNumber, sent: Sent) -> _Walk:
        """The account's returns from the day before the payment's bank date on; many payments share one walk."""
        shared, profile = self._shared, self._parts.bank.profile
        asked_ms = self._parts.clock.now_ms()
        today = shared.calendar.bank_date(asked_ms)
        first = max(sent.bank_date - timedelta(days=1), today - timedelta(days=profile.history_days))
        last = max(today, sent.bank_date + timedelta(days=1))
        account = own.clear
        kept = self._walks.get(account)
        if kept is not None and kept.first <= first and kept.last >= last and asked_ms - kept.asked_ms < WALK_KEPT_MS:
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
        walk = self._walks[account] = _Walk(asked_ms, first, last, tuple(found))
        return walk


def sent_of(conn: Connection, payment: str) -> tuple[PaymentRow, Sent] | None:
    """A payment and the keys of an enquiry about it, as they were written down before it was last sent."""
    found = attempts.last_with_payment(conn, payment)
    if found is None:
        return None
    row, attempt = found
    return row, sent_from(row, attempt, attempt.attempt)


def sent_from(row: PaymentRow, attempt: AttemptRow, n: int) -> Sent:
    """What was written down before attempt `n` left, which carries the bytes of `attempt`."""
    return Sent(
        reference=row.bank_ref,
        bank_date=date.fromisoformat(attempt.bank_date),
        attempt=n,
        serials=attempt.serials,
        amount=row.order.amount,
        debtor=row.order.debtor.account,
        creditor=row.order.creditor.account,
        bank_serial=row.bank_serial,
    )
