"""Payments at Sample Bank: `Pay` and `Move`, and `Fate`, the enquiry after them.

An answer counts only if it is about our reference, amount, currency and accounts: a signed answer about
another payment is still an answer about another payment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from protocols.bank import Ask, Context, Conversation, MoneyConversation, Submit
from protocols.banks.sample.messages import DONE, Answer, Wire, moment, money, require
from protocols.canon.fast_init import fast_init
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Kind, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import PartyKind
from protocols.canon.query import FateQuestion, Sent
from protocols.canon.replaced import replace
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import check_day, plain
from protocols.kit.meanings import Meanings

OPERATION_OF: Final[Mapping[Kind, str]] = {Kind.PAYMENT: "Pay", Kind.TRANSFER: "Move"}


@fast_init
@dataclass(frozen=True, slots=True)
class Subject:
    """The values that an answer must have to be about this payment."""

    reference: str
    debtor: str
    creditor: str
    amount: Money

    @staticmethod
    def of(sent: Sent) -> Subject:
        """The payment as it was stored before it was sent."""
        return Subject(sent.reference, sent.debtor.clear, sent.creditor.clear, sent.amount)

    def check(self, answer: Answer) -> None:
        """Raises "correlation" if the answer is about another payment, "missing" if it names none."""
        require("reference", answer.value("Reference"), self.reference)
        require("debtor account", answer.value("DebtorAccount"), self.debtor)
        require("creditor account", answer.value("CreditorAccount"), self.creditor)
        require("currency", answer.value("Currency"), self.amount.currency)
        amount = answer.amount("Amount", self.amount.currency)
        if amount != self.amount:
            require("amount", str(amount), str(self.amount))


@dataclass(frozen=True, slots=True)
class Payments:
    """Sends orders, reads the answers, and asks for the outcome of a payment."""

    wire: Wire
    meanings: Meanings

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """Send the order. Raises ProtocolError before the Submit if it cannot be written down."""
        operation = OPERATION_OF[order.kind]
        debtor, creditor = order.debtor, order.creditor
        data = yield from self.wire.request(
            operation,
            context,
            (
                ("Reference", context.reference),
                ("DebtorAccount", debtor.account.clear),
                ("DebtorName", debtor.name.clear),
                ("CreditorAccount", creditor.account.clear),
                ("CreditorName", creditor.name.clear),
                ("CreditorBankName", creditor.bank_name or ""),
                ("CreditorBankCode", creditor.cnaps or ""),
                ("Amount", str(order.amount)),
                ("Currency", order.amount.currency),
                ("Purpose", order.purpose),
                ("Urgent", "Y" if order.urgency is Urgency.URGENT else "N"),
                ("Private", "Y" if creditor.kind is PartyKind.PERSON else "N"),
            ),
        )
        said = yield Submit("business", data, (str(context.serials[0]),))
        answer = self.wire.read(said, (operation,), context)
        subject = Subject(context.reference, debtor.account.clear, creditor.account.clear, order.amount)
        return self._outcome(answer, subject)

    def read(self, kind: Kind, sent: Sent, data: bytes) -> Outcome:
        """The outcome of the payment of `sent`, in a stored or replayed answer.

        Its serial is checked too, because a refusal has an empty body, and nothing else shows to which request it
        belongs.
        """
        operation = OPERATION_OF.get(kind)
        if operation is None:
            raise ProtocolError("value", f"this bank carries no {kind.value}")
        answer = self.wire.read(data, (operation,))
        if answer.serial not in sent.serials:
            raise ProtocolError("correlation", f"an answer to message {answer.serial!r}, not one of {sent.reference}")
        return self._outcome(answer, Subject.of(sent))

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """Ask for the outcome of a payment. Raises Declined if the bank does not answer that question."""
        sent, around = question.sent, timedelta(days=1)
        data = yield from self.wire.request(
            "Fate",
            context,
            (
                ("Reference", sent.reference),
                ("FirstDate", (sent.bank_date - around).isoformat()),
                ("LastDate", (sent.bank_date + around).isoformat()),
            ),
            context.session.get("token", ""),
        )
        answer = self.wire.read((yield Ask("business", data)), ("Fate",), context)
        if answer.code != DONE:
            word = self.meanings.word("Fate", "head", answer.code, answer.text)
            if word.fate is not Fate.NOT_FOUND:  # any other head code is about our question, not about the payment
                self.meanings.decline("Fate", "head", answer.code, answer.text)
            return word
        said = self._outcome(answer, Subject.of(sent))
        check_day(None if said.booked_at is None else said.booked_at.date(), sent.bank_date, sent.reference)
        return said

    def _outcome(self, answer: Answer, subject: Subject) -> Outcome:
        has_payment = len(answer.body) > 0
        if answer.code == DONE and not has_payment:
            raise ProtocolError("missing", f"{answer.operation} is done, but the answer names no payment")
        if has_payment:
            subject.check(answer)
        layer, code, words = "head", answer.code, answer.text
        if answer.code == DONE:
            layer, code, words = "status", answer.value("Status"), plain(answer.value("Reason"))
        outcome = self.meanings.word(answer.operation, layer, code, words)
        return _with_details(outcome, answer) if has_payment else outcome


def _with_details(outcome: Outcome, answer: Answer) -> Outcome:
    booked_at, fee = answer.value("BookedAt"), answer.value("Fee")
    return replace(
        outcome,
        bank_serial=answer.value("BankSerial") or None,
        booked_at=moment(booked_at) if booked_at else None,
        fee=money(fee, answer.value("Currency")) if fee else None,
    )
