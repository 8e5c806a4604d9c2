"""Asks a bank about all orders of a bundle with one question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial

from gateway.bank.bank_calendar import turn_of
from gateway.bank.bank_session import BankSession
from gateway.bank.clock_trust import ClockVerdict
from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.fault_reasons import reason_of
from gateway.bank.lane_shared import LaneShared
from gateway.bank.outgoing import alarm_on_strangers
from gateway.bank.recorder import PaymentEvent
from gateway.kernel.commit import work
from gateway.kernel.commit.rows import Evidence, PaymentRow
from gateway.kernel.core.states import Answered, AskedInVain, Source, Work
from gateway.payments.rows import bundles
from gateway.payments.rows.bundles import BundleRow
from protocols.bank import Fates
from protocols.canon.outcome import State
from protocols.canon.query import BundleFateQuestion, Sent, SentBundle
from protocols.kit.errors import ProtocolError

ASKED_NOW_MS = 1_000
"""After this time a bundle under enquiry is asked about again, if the running question is about other orders."""
_OPEN = frozenset({State.PENDING, State.IN_DOUBT, State.ESCALATED})


class BundleEnquiry:
    """Asks the bank about all orders of a bundle with one question. `under_way`: each bundle that is being asked about,
    with the work that the question covers."""

    def __init__(self, shared: LaneShared) -> None:
        self.under_way: dict[str, frozenset[tuple[str, Work]]] = {}
        self._shared = shared
        self._parts = shared.parts

    async def about(self, session: BankSession, row: PaymentRow, kind: Work) -> None:
        """Ask about all orders of this payment's bundle, and record the bank's answer on each order."""
        shared, epoch = self._shared, self._shared.lease.epoch
        found = await self._parts.store.read(lambda conn: bundles.of_payment(conn, row.payment))
        if found is None or found[0].bank_date is None:
            session.release()
            in_vain = AskedInVain(self._parts.clock.now_ms(), "never_sent")
            await shared.recorder.record(row.payment, in_vain, epoch=epoch)
            return
        bundle, rows = found
        under_way = self.under_way.get(bundle.bundle)
        if under_way is not None and (row.payment, kind) in under_way:
            session.release()
            return
        watching = kind is Work.RETURNS
        asked = [one for one in rows if (one.life.state is State.SETTLED if watching else one.life.state in _OPEN)]
        if shared.work_queue.knows(row.payment, kind) or all(one.payment != row.payment for one in asked):
            # While this order waited here, another order's question was answered for the whole bundle. This order is
            # then due again later, or finished.
            session.release()
            left = await self._parts.store.read(lambda conn: work.of_payment(conn, row.payment))
            if not shared.work_queue.knows(row.payment, kind) and any(one.work is kind for one in left):
                in_vain = AskedInVain(self._parts.clock.now_ms(), "known_by_now")
                await shared.recorder.record(row.payment, in_vain, epoch=epoch)
            return
        for one in asked:
            # The question is about all of them, so that their own due work leaves the queue.
            shared.work_queue.forget(one.payment, kind)
        if under_way is not None:
            # The running question is about other orders and does not answer for these. A question about all follows
            # soon.
            session.release()
            shared.work_queue.postpone(row.payment, kind, self._parts.clock.now_ms() + ASKED_NOW_MS)
            return
        self.under_way[bundle.bundle] = frozenset((one.payment, kind) for one in asked)
        try:
            await self._ask(session, bundle, rows, asked, watching, epoch)
        finally:
            del self.under_way[bundle.bundle]

    async def _ask(
        self,
        session: BankSession,
        bundle: BundleRow,
        rows: tuple[PaymentRow, ...],
        asked: Sequence[PaymentRow],
        watching: bool,
        epoch: int,
    ) -> None:
        shared, asked_ms = self._shared, self._parts.clock.now_ms()
        sure = {row.payment: shared.sure_of(row) for row in asked}
        question = BundleFateQuestion(_sent(bundle, rows, partial(shared.calendar.asked_day, turn=turn_of(asked))))
        fate = self._parts.bank.bundles[bundle.kind].fate
        try:
            fates = await shared.questions.run(session, "fate", fate(question, shared.serials.context(session)))
        except (NotConnected, NoAnswer, ProtocolError) as error:
            shared.questions.release_after(session, error)
            shared.metrics.mismatch(error, asked[0].payment)
            reason, now_ms = reason_of(error), self._parts.clock.now_ms()
            over = self._day_over(bundle, now_ms)
            in_vain = AskedInVain(now_ms, reason, over)
            await shared.recorder.record_all([PaymentEvent(row.payment, in_vain) for row in asked], epoch)
            return
        session.release()
        alarm_on_strangers(self._parts, bundle, rows, fates)
        shared.metrics.found_odd("fate", fates)
        source = Source.RETURNS if watching else Source.ENQUIRY
        over = self._day_over(bundle, self._parts.clock.now_ms())
        events = [self._event(row, fates, source, asked_ms, over, sure[row.payment]) for row in asked]
        await shared.recorder.record_all(events, epoch)

    def _day_over(self, bundle: BundleRow, now_ms: int) -> bool:
        assert bundle.bank_date is not None
        return now_ms >= self._shared.calendar.day_ends_ms(date.fromisoformat(bundle.bank_date))

    def _event(
        self, row: PaymentRow, fates: Fates, source: Source, asked_ms: int, day_over: bool, sure: ClockVerdict
    ) -> PaymentEvent:
        now_ms, outcome = self._parts.clock.now_ms(), fates.get(row.bank_ref)
        if outcome is None:
            return PaymentEvent(row.payment, AskedInVain(now_ms, "not_named", day_over))
        if not outcome.listed:
            self._shared.metrics.unlisted("fate", outcome)
        evidence = Evidence(source, b"", outcome.fate, outcome.code, outcome.text)
        event = Answered(now_ms, outcome.fate, source, asked_ms, day_over=day_over, clock_sure=sure.of(outcome.fate))
        return PaymentEvent(row.payment, event, evidence, outcome)


def _sent(bundle: BundleRow, rows: Iterable[PaymentRow], asked_day: Callable[[date], date]) -> SentBundle:
    """The bundle's message and orders, as they were recorded before the first byte was sent."""
    assert bundle.bank_date is not None
    bank_date = asked_day(date.fromisoformat(bundle.bank_date))
    items = tuple(
        Sent(
            reference=row.bank_ref,
            bank_date=bank_date,
            attempt=row.life.attempt,
            serials=bundle.serials,
            amount=row.order.amount,
            debtor=row.order.debtor.account,
            creditor=row.order.creditor.account,
            bank_serial=row.bank_serial,
        )
        for row in rows
    )
    # A number that the bank gave to all orders alike belongs to the message.
    serials = {item.bank_serial for item in items}
    return SentBundle(
        bundle.bank_ref, bank_date, bundle.attempt, bundle.serials, items, serials.pop() if len(serials) == 1 else None
    )
