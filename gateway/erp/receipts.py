"""Electronic receipts: the bank is asked until it has the receipt or the question expires.

A bank that answers "later" gives a ticket, which is stored, so that the question continues after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from gateway.asking import Unavailable
from gateway.core.policy import Route
from gateway.erp.bank_refusals import is_elsewhere, no_answer
from gateway.erp.question_context import QuestionContext
from gateway.journal.commit import attempts
from gateway.journal.commit.rows import PaymentRow, QuestionRow
from gateway.journal.payments import bundles, lookup, receipts
from gateway.tasks import sleep, sleep_until
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.erp.account_replies import ReceiptSubject, receipt_pages, receipt_ready
from protocols.erp.words import ReceiptRequest
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError

LEAST_WAIT_S = 1.0
AGAIN_S = (15.0, 60.0, 300.0)
"""Pauses after a bank did not answer, or did not know the entry yet; the last pause repeats."""
EXCHANGE_S = 120.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A requested receipt: its subject in the reply, the question to the bank, and the route."""

    subject: ReceiptSubject
    question: ReceiptQuestion
    route: Route

    @property
    def key(self) -> str:
        """A key that is equal for all questions about this receipt."""
        asked = self.question
        parts = (self.route.lane, asked.account.clear, asked.bank_date.isoformat(), asked.bank_line_id,
                 asked.reference or "")  # fmt: skip
        return sha256("\x1f".join(parts).encode()).hexdigest()


class Receipts:
    """Answers questions for electronic receipts."""

    def __init__(self, context: QuestionContext) -> None:
        self._context = context

    async def answer(self, row: QuestionRow, query: ReceiptRequest) -> Mapping[str, Any] | Refusal:
        """One page of the receipt, or why there is none."""
        wanted = await self._wanted(row.sender, query)
        if isinstance(wanted, Refusal):
            return wanted
        # A first page comes from the kept file too, so that all pages come from one file.
        until_ms = self._context.clock.now_ms() + (0 if query.page > 1 else receipts.BEGUN_MS)
        receipt: Receipt | Refusal | None = await self._context.store.read(
            lambda conn: receipts.kept(conn, wanted.key, until_ms)
        )
        if receipt is None:
            receipt = await self._fetched(row, wanted)
        if isinstance(receipt, Refusal):
            return receipt
        pages = receipt_pages(receipt)
        if query.page > pages:
            fault = Fault("/page", FieldCode.PATTERN, f"the receipt has {pages}", pages)
            return Refusal(Code.VALIDATION, f"there is no page {query.page}", (fault,))
        return receipt_ready(wanted.subject, receipt, query.page)

    async def _wanted(self, sender: str, query: ReceiptRequest) -> _Wanted | Refusal:
        if query.account is not None:
            assert query.bank_date is not None and query.bank_line_id is not None
            subject = ReceiptSubject(query.account, query.bank_date, query.bank_line_id)
            question = ReceiptQuestion(query.account, query.bank_date, query.bank_line_id)
        else:
            found = await self._context.store.read(lambda conn: _of_payment(conn, sender, query))
            if found is None:
                return Refusal(Code.UNKNOWN_PAYMENT, "the payment was never sent")
            subject, question = found
        route = self._context.registry.route_of(question.account.clear)
        if route is None:
            return Refusal(Code.VALIDATION, "not an own account of the register (any more)")
        return _Wanted(subject, question, route)

    async def _fetched(self, row: QuestionRow, wanted: _Wanted) -> Receipt | Refusal:
        """Ask until the bank gives it, declines, or the question expires; then the last refusal is returned."""
        context, tries = self._context, 0
        put = context.registry.banks[wanted.route.bank].questions.receipt
        if put is None:
            return Refusal(Code.UNSUPPORTED, f"{wanted.route.bank} gives no electronic receipts")
        last = Refusal(Code.EXPIRED, "max_wait was over before the bank had made the receipt")
        while True:
            ticket = await context.store.read(lambda conn: receipts.ticket_of(conn, row.question))
            now_ms = context.clock.now_ms()
            due_ms = now_ms if ticket is None else ticket[1]
            if due_ms >= row.expires_ms:
                return last
            await sleep_until(context.clock, due_ms)
            question = wanted.question if ticket is None else _with_ticket(wanted.question, ticket[0])
            wait_s = min(EXCHANGE_S, (row.expires_ms - context.clock.now_ms()) / 1000)
            try:
                said = await context.ask(wanted.route.lane, "receipt", partial(put, question), wait_s)
            except (Unavailable, ProtocolError) as error:
                last = no_answer(wanted.route, error)
                pause_s = AGAIN_S[min(tries, len(AGAIN_S) - 1)]
                tries += 1
                late = context.clock.now_ms() + pause_s * 1000 >= row.expires_ms
                if late or is_elsewhere(error) or not _may_come(error):
                    return last
                await sleep(context.clock, pause_s)
                continue
            if isinstance(said, Receipt):
                if receipt_pages(said) > 1:
                    return await context.store.write(partial(receipts.keep, key=wanted.key, receipt=said))
                return said
            await self._later(row.question, said)

    async def _later(self, question: str, said: ReceiptLater) -> None:
        due_ms = self._context.clock.now_ms() + int(max(said.after_s, LEAST_WAIT_S) * 1000)
        await self._context.store.write(lambda tx: receipts.later(tx, question, said.ticket, due_ms))


def _may_come(error: Unavailable | ProtocolError) -> bool:
    """True if the bank may have the receipt later. After a refusal or an unusable answer it is not asked again."""
    if isinstance(error, Declined):
        return error.outcome != "failed"
    return isinstance(error, Unavailable)


def _with_ticket(question: ReceiptQuestion, ticket: str) -> ReceiptQuestion:
    return replace(question, ticket=ticket)


def lane_of(conn: Connection, sender: str, query: ReceiptRequest) -> str | None:
    """The lane of the payment whose receipt is asked for; None if there is no such payment."""
    row = _payment(conn, sender, query)
    return None if row is None else row.lane


def _of_payment(
    conn: Connection, sender: str, query: ReceiptRequest
) -> tuple[ReceiptSubject, ReceiptQuestion] | None:
    """The subject and question for a payment's receipt, with all references known to us and the bank."""
    row = _payment(conn, sender, query)
    attempt = None if row is None else attempts.last(conn, row.payment)
    if row is None or attempt is None:
        return None
    account, bank_date = row.order.ours.account, date.fromisoformat(attempt.bank_date)
    carried = bundles.of_payment(conn, row.payment)
    bundle = carried[0].bank_ref if carried is not None and carried[0].spent else None
    question = ReceiptQuestion(
        account, bank_date, reference=row.bank_ref, bank_serial=row.bank_serial, amount=row.order.amount,
        bundle=bundle, creditor=row.order.creditor.account, creditor_name=row.order.creditor.name,
    )  # fmt: skip
    return ReceiptSubject(account, bank_date, payment=row.payment), question


def _payment(conn: Connection, sender: str, query: ReceiptRequest) -> PaymentRow | None:
    if query.id is not None:
        return lookup.find(conn, sender, query.id)
    row = lookup.fetch(conn, query.payment or "")
    return row if row is not None and row.sender == sender else None
