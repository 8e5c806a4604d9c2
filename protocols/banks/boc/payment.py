"""Payments: b2e0009 (对公汇款, own transfers, batches), b2e0061 (对私汇款), and b2e0007, the enquiry after them.

Lines of a payroll are written by payroll.py, and handed in and asked about here like any order.

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
from protocols.banks.boc.payroll import PAYROLL, payroll_row
from protocols.banks.boc.table import check_signed_on
from protocols.banks.boc.wire import Answer, Status, Wire, fields, status_of
from protocols.canon.order import AnyOrder, Bundle, Channel, Kind, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import PartyKind
from protocols.canon.query import BundleFateQuestion, FateQuestion, Sent, SentBundle
from protocols.kit.china import check_amount
from protocols.kit.correlation import by_reference
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, amount_text, date_text
from protocols.kit.meanings import Meanings
from protocols.kit.orders import check_lines, fitting
from protocols.kit.readable import readable
from protocols.kit.xmldoc import Markup, el, value_or

TEXT_BYTES: Final = 80
NAME_BYTES: Final = 70
ACCOUNT_CHARS: Final = 35
AMOUNT_MOST: Final = 10**17 - 1
_INSID = re.compile(r"[0-9A-Za-z]{1,20}", re.ASCII)
_CORPORATE, _PRIVATE = "b2e0009", "b2e0061"


@dataclass(frozen=True, slots=True)
class Payments:
    """Orders of one customer: sending them, reading the answers, asking what became of them."""

    options: Options
    wire: Wire
    meanings: Meanings

    # ---- handing in -------------------------------------------------------------------------------------------

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """One order. Raises ProtocolError before anything is sent if it does not fit the bank's form."""
        code = self._code(order)
        wire = self._message(code, context, [(order, context.reference)])
        frame = yield Submit("business", wire, (code, number := self.wire.number(context)))
        return self._alone(self.submitted(self._heard(frame, code, number), [context.reference]), context.reference)

    def send_bundle(self, bundle: Bundle, context: Context) -> BundleConversation:
        """All items as rows of one b2e0009. Raises ProtocolError before anything is sent if one does not fit."""
        lines = [(item.order, item.reference) for item in bundle.items]
        references = [item.reference for item in bundle.items]
        check_lines(bundle, self.options.batch_lines)
        if any(self._code(order) != _CORPORATE for order, _ in lines):
            raise ProtocolError("value", "a batch at boc pays organisations only")
        wire = self._message(_CORPORATE, context, lines)
        frame = yield Submit("business", wire, (_CORPORATE, number := self.wire.number(context)))
        return self.submitted(self._heard(frame, _CORPORATE, number), references)

    def _heard(self, frame: bytes, code: str, number: str) -> Answer:
        """The answer to what was just handed in.

        Raises Declined ("signed_out") where the bank does not know the token: doubt, and the lane signs on before the
        next order would meet the same.
        """
        answer = self.wire.read(frame, code, number)
        check_signed_on(self.meanings, code, answer.status, *map(status_of, answer.rows))
        return answer

    def _code(self, order: AnyOrder) -> str:
        if order.kind is Kind.PAYROLL_ITEM:
            return PAYROLL
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
        if code == PAYROLL:
            return payroll_row(order, insid(reference), context, self.wire)
        urgent = "1" if order.urgency is Urgency.URGENT else "0"
        payee, private = order.creditor, code == _PRIVATE
        number = payee.cnaps or (self.wire.branch(payee.account) if order.kind is Kind.TRANSFER else "")
        payer = (("fribkn", self.wire.branch(order.debtor.account)),
                 ("actacn", fitting(order.debtor.account.clear, "actacn", ACCOUNT_CHARS)),
                 ("actnam", fitting(order.debtor.name.clear, "actnam", NAME_BYTES)))  # fmt: skip
        to = [
            ("toibkn", fitting(number, "toibkn", 12)),
            ("actacn", fitting(payee.account.clear, "actacn", ACCOUNT_CHARS)),
            ("toname", fitting(payee.name.clear, "toname", NAME_BYTES)), ("toaddr", self.options.payee_address),
            ("tobknm", fitting(payee.bank_name or "", "tobknm", NAME_BYTES, min_bytes=0)),
        ]  # fmt: skip
        rest = (
            ("trnamt", amount_text(order.amount.minor)), ("trncur", self.options.currency), ("priolv", urgent),
            ("furinfo", fitting(order.purpose, "furinfo", TEXT_BYTES, min_bytes=0)),
            ("trfdate", date_text(context.bank_date)), ("trftime", ""), ("comacn", self.options.fee_account),
        )  # fmt: skip
        extra: tuple[tuple[str, str], ...] = ()
        if private:
            to.append(("acttyp", self.options.person_account_type))
            here = any(own in (payee.bank_name or "") for own in self.options.own_names)
            extra = (("bocflag", self.options.person_flags[0 if here else 1]), ("cuspriolv", urgent))
        parts = [
            *fields((("insid", insid(reference)), ("obssid", ""))), el("fractn", fields(payer)),
            el("toactn", fields(to)), *fields((*rest, *extra)),
        ]  # fmt: skip
        return Markup("".join(parts))

    # ---- the answer to it -------------------------------------------------------------------------------------

    def submitted(self, answer: Answer, references: Sequence[str]) -> Fates:
        """What the answer says of each order: taken at most. An order without a row of its own is left out.

        A message that was not taken has no rows; its code then counts for every order in it. If it has some after all,
        nobody knows.
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
        """The stored answer to the money word of `kind` that was written down as `sent`."""
        if kind not in (Kind.PAYMENT, Kind.TRANSFER, Kind.PAYROLL_ITEM):
            raise ProtocolError("value", f"boc sends no single {kind.value}")
        answer = self.wire.read(frame, *_written_down(sent.serials))
        return self._alone(self.submitted(answer, [sent.reference]), sent.reference)

    def read_bundle(self, sent: SentBundle, frame: bytes) -> Fates:
        """The stored answer to the batch that was written down as `sent`."""
        answer = self.wire.read(frame, *_written_down(sent.serials))
        return self.submitted(answer, [item.reference for item in sent.items])

    # ---- what became of it ------------------------------------------------------------------------------------

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """b2e0007 by our insid. Raises Declined if the question itself is answered with a code."""
        sent = question.sent
        told = yield from self._asked([sent], context)
        return told.get(sent.reference, Outcome(Fate.NOT_FOUND, text="no row under this insid"))

    def bundle_fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """b2e0007 about every item, some at a time. Items without a row are left out, or not found if none has one."""
        told: dict[str, Outcome] = {}
        items, step = question.sent.items, self.options.enquiry_lines
        for nth, begin in enumerate(range(0, len(items), step)):
            told |= yield from self._asked(items[begin : begin + step], context, nth)
        return told or {one.reference: Outcome(Fate.NOT_FOUND, text="no row under this insid") for one in items}

    def _asked(self, items: Sequence[Sent], context: Context, nth: int = 0) -> Conversation[Mapping[str, Outcome]]:
        rows = [Markup("".join(fields((("insid", insid(one.reference)), ("obssid", ""))))) for one in items]
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
        # A row without a code that can be read says nothing of its order, which is then left out, and hides no other.
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
    """The operation and the number (trnid) of a message, from what `Submit` left; "" for what it did not."""
    code, number, *_ = (*serials, "", "")
    return code or _CORPORATE, number


def insid(reference: str) -> str:
    """`reference` if it can be an insid. Raises "value" otherwise."""
    if not _INSID.fullmatch(reference):
        raise ProtocolError("value", f"{reference!r} is no insid: 1 to 20 letters and digits")
    return reference
