"""Electronic receipts: the bank is asked until it has the receipt or the question expires.

If a bank answers "later", it gives a ticket. The ticket is stored, so that the question continues after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from gateway.kernel.asking import Unavailable
from gateway.kernel.commit.rows import PaymentRow, QuestionRow
from gateway.kernel.core.policy import Route
from gateway.kernel.tasks import sleep, sleep_until
from gateway.payments.rows import lookup
from gateway.receipts.rows import receipt_files, receipt_questions, receipts
from gateway.statements.erp.bank_refusals import is_elsewhere, no_answer
from gateway.statements.erp.question_context import QuestionContext
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.erp.account_replies import ReceiptSubject, receipt_pages, receipt_ready
from protocols.erp.words import ReceiptRequest
from protocols.kit.declined import Declined
from protocols.kit.errors import CannotAsk, ProtocolError

LEAST_WAIT_S = 1.0
AGAIN_S = (15.0, 60.0, 300.0)
"""Pauses after a bank did not answer, or did not know the entry yet; the last pause repeats."""
EXCHANGE_S = 120.0


@dataclass(frozen=True, slots=True)
class _RequestedReceipt:
    """A requested receipt: its subject in the reply, the question to the bank, and the route."""

    subject: ReceiptSubject
    question: ReceiptQuestion
    route: Route

    @property
    def key(self) -> str:
        """A key that is equal for all questions about this receipt."""
        asked = self.question
        if self.subject.payment is not None:
            # The key does not name the entry, because the entry may be recorded between two pages.
            return receipts.digest(self.route.lane, self.subject.payment)
        return receipts.digest(self.route.lane, asked.account.clear, asked.bank_date.isoformat(), asked.bank_line_id)


class Receipts:
    """Answers questions for electronic receipts."""

    def __init__(self, context: QuestionContext) -> None:
        self._context = context

    async def answer(self, row: QuestionRow, query: ReceiptRequest) -> Mapping[str, Any] | Refusal:
        """One page of the receipt, or why there is none."""
        wanted = await self._wanted(row.sender, query)
        if isinstance(wanted, Refusal):
            return wanted
        # A first page also comes from the kept file, so that all pages come from one file.
        until_ms = self._context.clock.now_ms() + (0 if query.page > 1 else receipts.BEGUN_MS)
        receipt: Receipt | Refusal | None = await self._context.store.read(
            lambda conn: _archived(conn, wanted) or receipts.kept(conn, wanted.key, until_ms)
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

    async def _wanted(self, sender: str, query: ReceiptRequest) -> _RequestedReceipt | Refusal:
        if query.account is not None:
            assert query.bank_date is not None and query.bank_line_id is not None
            subject = ReceiptSubject(query.account, query.bank_date, query.bank_line_id)
            asked = query.account, query.bank_date, query.bank_line_id
            question = await self._context.store.read(lambda conn: receipt_questions.of_entry(conn, *asked))
        else:
            found = await self._context.store.read(lambda conn: _of_payment(conn, sender, query))
            if found is None:
                return Refusal(Code.UNKNOWN_PAYMENT, "the payment was never sent")
            subject, question = found
        route = self._context.registry.route_of(question.account.clear)
        if route is None:
            return Refusal(Code.VALIDATION, "the account is not, or no longer, in the gateway's account register")
        return _RequestedReceipt(subject, question, route)

    async def _fetched(self, row: QuestionRow, wanted: _RequestedReceipt) -> Receipt | Refusal:
        """The receipt, after asking until the bank gives it or declines. The last refusal is returned if the question
        expires first."""
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
            except CannotAsk as error:
                return _unfit(wanted, error)
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
                await self._archive(wanted, said)
                if receipt_pages(said) > 1:
                    return await context.store.write(partial(receipts.keep, key=wanted.key, receipt=said))
                return said
            await self._later(row.question, said)

    async def _archive(self, wanted: _RequestedReceipt, receipt: Receipt) -> None:
        """Store the original of a payment's receipt, so that the bank need not be asked for it again."""
        payment, day = wanted.subject.payment, wanted.question.bank_date.isoformat()
        row = None if payment is None else await self._context.store.read(lambda conn: lookup.fetch(conn, payment))
        if row is not None:
            await self._context.store.write(
                lambda tx: receipt_files.keep(tx, row, day, receipt, f"sender:{row.sender}")
            )

    async def _later(self, question: str, said: ReceiptLater) -> None:
        due_ms = self._context.clock.now_ms() + int(max(said.after_s, LEAST_WAIT_S) * 1000)
        await self._context.store.write(lambda tx: receipts.later(tx, question, said.ticket, due_ms))


def _archived(conn: Connection, wanted: _RequestedReceipt) -> Receipt | None:
    """The stored original of a payment's receipt; None if there is none and the bank must be asked."""
    payment = wanted.subject.payment
    return None if payment is None else receipt_files.of_payment(conn, payment)


def _may_come(error: Unavailable | ProtocolError) -> bool:
    """True if the bank may have the receipt later. False after a refusal or an unusable answer, so that it is not asked
    again."""
    if isinstance(error, Declined):
        return error.outcome != "failed"
    return isinstance(error, Unavailable)


def _unfit(wanted: _RequestedReceipt, error: CannotAsk) -> Refusal:
    """The refusal of a question that cannot be put to this bank in this form; None if it can."""
    at = "/bank_line_id" if wanted.subject.payment is None else "/payment"
    fault = Fault(at, FieldCode.UNSUPPORTED, error.text)
    return Refusal(Code.VALIDATION, f"{wanted.route.bank} cannot be asked for this receipt: {error.text}", (fault,))


def _with_ticket(question: ReceiptQuestion, ticket: str) -> ReceiptQuestion:
    return replace(question, ticket=ticket)


def lane_of(conn: Connection, sender: str, query: ReceiptRequest) -> str | None:
    """The lane of the payment whose receipt is requested; None if there is no such payment."""
    row = _payment(conn, sender, query)
    return None if row is None else row.lane


def _of_payment(conn: Connection, sender: str, query: ReceiptRequest) -> tuple[ReceiptSubject, ReceiptQuestion] | None:
    """The subject and question for a payment's receipt, with all references known to us and the bank."""
    row = _payment(conn, sender, query)
    question = None if row is None else receipt_questions.of_payment(conn, row)
    if row is None or question is None:
        return None
    return ReceiptSubject(question.account, question.bank_date, payment=row.payment), question


def _payment(conn: Connection, sender: str, query: ReceiptRequest) -> PaymentRow | None:
    if query.id is not None:
        return lookup.find(conn, sender, query.id)
    row = lookup.fetch(conn, query.payment or "")
    return row if row is not None and row.sender == sender else None
