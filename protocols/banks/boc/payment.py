"""Payments: b2e0009 (对公汇款, own transfers, batches), b2e0061 (对私汇款), and b2e0007, the enquiry after them.

A payroll (快捷代发, b2e0078) has one line in a message, because no public page describes how to ask about one line of
many. The message's insid is then the line's, and b2e0007 gives the result (banks/boc.md 2.6, 2.7).

B001 of a message and of its row is acceptance. Only the row of b2e0007 is about the payment (banks/boc.md 2.7, 5). The
bytes contain the token, so they are not valid in another session: nothing is ever sent again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from protocols.bank import Ask, BundleConversation, Context, Conversation, Fates, MoneyConversation, Submit
from protocols.banks.boc.options import Options
from protocols.banks.boc.requests import WrittenOrder, enquiry_row, order_row, wage_row
from protocols.banks.boc.table import check_signed_on
from protocols.banks.boc.wire import Answer, Status, Wire, status_of
from protocols.canon.order import AnyOrder, Bundle, Channel, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import PartyKind
from protocols.canon.query import BundleFateQuestion, FateQuestion, Sent, SentBundle
from protocols.kit.china import check_amount
from protocols.kit.correlation import by_reference
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor
from protocols.kit.meanings import Meanings
from protocols.kit.orders import check_lines
from protocols.kit.readable import readable
from protocols.kit.xmldoc import Markup, el, value_or

AMOUNT_MOST: Final = 10**17 - 1
_INSID = re.compile(r"[0-9A-Za-z]{1,20}", re.ASCII)
_USAGE = re.compile("[0-9A-Z]{1,4}", re.ASCII)
_CORPORATE, _PRIVATE, _PAYROLL = "b2e0009", "b2e0061", "b2e0078"


@dataclass(frozen=True, slots=True)
class Payments:
    """Sends the orders of one customer, reads the answers, and asks for the outcomes."""

    options: Options
    wire: Wire
    meanings: Meanings

    # ---- handing in -------------------------------------------------------------------------------------------

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """Send one order. Raises ProtocolError before anything is sent if it does not fit the bank's form."""
        code = self._code(order)
        wire = self._message(code, context, [(order, context.reference)])
        frame = yield Submit("business", wire, (code, number := self.wire.number(context)))
        return self._alone(self.submitted(self._heard(frame, code, number), [context.reference]), context.reference)

    def send_bundle(self, bundle: Bundle, context: Context) -> BundleConversation:
        """Send all items as rows of one b2e0009. Raises ProtocolError before anything is sent if an item does not
        fit."""
        lines = [(item.order, item.reference) for item in bundle.items]
        references = [item.reference for item in bundle.items]
        check_lines(bundle, self.options.batch_lines)
        if any(self._code(order) != _CORPORATE for order, _ in lines):
            raise ProtocolError("value", "a batch at boc pays organisations only")
        wire = self._message(_CORPORATE, context, lines)
        frame = yield Submit("business", wire, (_CORPORATE, number := self.wire.number(context)))
        return self.submitted(self._heard(frame, _CORPORATE, number), references)

    def _heard(self, frame: bytes, code: str, number: str) -> Answer:
        """The answer to the message that was just sent.

        Raises Declined ("signed_out") if the bank does not know the token. The order is then in doubt, and the lane
        signs on before the next order.
        """
        answer = self.wire.read(frame, code, number)
        check_signed_on(self.meanings, code, answer.status, *map(status_of, answer.rows))
        return answer

    def _code(self, order: AnyOrder) -> str:
        if order.kind is Kind.PAYROLL_ITEM:
            return _PAYROLL
        if order.kind is Kind.TRANSFER or order.creditor.kind is not PartyKind.PERSON:
            return _CORPORATE
        if not self.options.persons:
            raise ProtocolError("value", "boc pays persons once the settings say so (persons)")
        return _PRIVATE

    def _message(self, code: str, context: Context, lines: Iterable[tuple[AnyOrder, str]]) -> bytes:
        rows = [self._row(code, order, reference, context) for order, reference in lines]
        return self.wire.message(code, context, rows, el("ceitinfo") + el("transtype"))

    def _row(self, code: str, order: AnyOrder, reference: str, context: Context) -> Markup:
        if order.channel not in (Channel.AUTO, Channel.SAME_BANK):
            raise ProtocolError("value", f"boc has no {order.channel.value} channel here; use auto")
        check_amount("boc", order.amount, AMOUNT_MOST)
        written = WrittenOrder(order, insid(reference), context.bank_date, self.options)
        if code == _PAYROLL:
            _check_wage(written)
            return wage_row(written)
        return order_row(written, private=code == _PRIVATE)

    # ---- the answer to it -------------------------------------------------------------------------------------

    def submitted(self, answer: Answer, references: Sequence[str]) -> Fates:
        """The outcome of each order in the answer to its message: at most pending. Orders without a row are left out.

        A message that was not accepted has no rows; its code then counts for every order in it. If it has rows all the
        same, the outcome is doubt.
        """
        rows = by_reference(answer.rows, "insid", references)
        if not answer.status.done:
            word = self.meanings.word("submit", "message", answer.status.code, answer.status.text)
            if rows and word.fate is Fate.FAILED:
                word = replace(word, fate=Fate.UNKNOWN, listed=False)
            return dict.fromkeys(references, word)
        return {one: self._said("submit", row) for one, row in rows.items()}

    def _said(self, operation: str, row: etree._Element) -> Outcome:
        status = status_of(row)
        word = self.meanings.word(operation, "row", status.code, status.text)
        return replace(word, bank_serial=value_or(row, "obssid") or None)

    @staticmethod
    def _alone(told: Fates, reference: str) -> Outcome:
        if reference not in told:
            raise ProtocolError("missing", f"no row answers {reference!r}")
        return told[reference]

    def read(self, kind: Kind, sent: Sent, frame: bytes) -> Outcome:
        """The outcome in the stored answer to a single order of `kind` that was stored as `sent`."""
        if kind not in (Kind.PAYMENT, Kind.TRANSFER, Kind.PAYROLL_ITEM):
            raise ProtocolError("value", f"boc sends no single {kind.value}")
        answer = self.wire.read(frame, *_written_down(sent.serials))
        return self._alone(self.submitted(answer, [sent.reference]), sent.reference)

    def read_bundle(self, sent: SentBundle, frame: bytes) -> Fates:
        """The outcomes in the stored answer to the batch that was stored as `sent`."""
        answer = self.wire.read(frame, *_written_down(sent.serials))
        return self.submitted(answer, [item.reference for item in sent.items])

    # ---- what became of it ------------------------------------------------------------------------------------

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """The outcome of one payment, by b2e0007 with our insid. Raises Declined if the question itself is answered
        with a code."""
        sent = question.sent
        told = yield from self._asked([sent], context)
        return told.get(sent.reference, Outcome(Fate.NOT_FOUND, text="no row under this insid"))

    def bundle_fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """The outcomes of all items, by b2e0007 for some items at a time. Items without a row are left out, or not
        found if no item has a row."""
        told: dict[str, Outcome] = {}
        items, step = question.sent.items, self.options.enquiry_lines
        for nth, begin in enumerate(range(0, len(items), step)):
            told |= yield from self._asked(items[begin : begin + step], context, nth)
        return told or {one.reference: Outcome(Fate.NOT_FOUND, text="no row under this insid") for one in items}

    def _asked(self, items: Sequence[Sent], context: Context, nth: int = 0) -> Conversation[Mapping[str, Outcome]]:
        rows = [enquiry_row(insid(one.reference)) for one in items]
        frame = yield Ask("business", self.wire.message("b2e0007", context, rows, nth=nth))
        answer = self.wire.read(frame, "b2e0007", self.wire.number(context, nth))
        known = {one.reference: one for one in items}
        if not answer.status.done:
            code, text = answer.status.code, answer.status.text
            word = self.meanings.word("status", "message", code, text)
            if word.fate is not Fate.NOT_FOUND:
                self.meanings.decline("question", "message", code, text, asked="b2e0007")
            return dict.fromkeys(known, word)
        heard, _ = readable(answer.rows, _with_status, "b2e0007")
        check_signed_on(self.meanings, "b2e0007", *(status for _, status in heard))
        # A row whose code cannot be read says nothing about its order: that order is left out. The other rows still
        # count.
        told = by_reference([row for row, _ in heard], "insid", known)
        if len(heard) < len(answer.rows) and not told:
            raise ProtocolError("value", "b2e0007: no row about these orders can be read")
        for reference, row in told.items():
            amount = value_or(row, "trnamt")
            if amount and amount_minor(amount) != known[reference].amount.minor:
                raise ProtocolError("correlation", f"{reference}: the answer's amount is {amount}")
        return {reference: self._said("status", row) for reference, row in told.items()}


def _with_status(row: etree._Element) -> tuple[etree._Element, Status]:
    return row, status_of(row)


def _written_down(serials: Sequence[str]) -> tuple[str, str]:
    """The operation and the number (trnid) that were stored when the message was sent; "" for a value that was not
    stored."""
    code, number, *_ = (*serials, "", "")
    return code or _CORPORATE, number


def _check_wage(written: WrittenOrder) -> None:
    """Raises "value" or "missing" for a payroll line that the bank's form cannot carry."""
    if not _USAGE.fullmatch(written.usage):
        raise ProtocolError("value", f"{written.usage!r} is no usage code of b2e0078, such as G8")
    if not written.wage_number:
        raise ProtocolError(
            "missing",
            "a payroll line at boc needs the payee's province (payroll_provinces, "
            "payroll_province), or another bank's 12-digit number",
        )


def insid(reference: str) -> str:
    """Return `reference` if it can be an insid. Raises "value" otherwise."""
    if not _INSID.fullmatch(reference):
        raise ProtocolError("value", f"{reference!r} is no insid: 1 to 20 letters and digits")
    return reference
