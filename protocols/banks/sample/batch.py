"""Many orders in one message at Sample Bank: `PayBatch`, `CollectBatch`, and `BatchFate`, the enquiry after them.

The message is accepted as a whole or not at all; after that each order has its own outcome. An order's result counts
only if it names our reference and our amount. An order that is missing in the answer is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from protocols.bank import Ask, BundleConversation, Context, Conversation, Fates, Submit
from protocols.banks.sample.messages import DONE, Answer, Fields, Wire, cell, moment, money, require
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Bundle, CollectionDetail, Item, Kind, Urgency
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import PartyKind
from protocols.canon.query import BundleFateQuestion, SentBundle
from protocols.canon.replaced import replace
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import check_day, digits, plain
from protocols.kit.meanings import Meanings

MOST: Final = 200
BATCH_OF: Final[Mapping[Kind, str]] = {
    Kind.BATCH_ITEM: "PayBatch",
    Kind.PAYROLL_ITEM: "PayBatch",
    Kind.COLLECTION: "CollectBatch",
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """The values of one sent item that the answer must match: its reference and its amount."""

    reference: str
    amount: Money


@dataclass(frozen=True, slots=True)
class Batches:
    """Sends many orders in one message, reads the answers, and asks for the fate of each order."""

    wire: Wire
    meanings: Meanings

    def send(self, bundle: Bundle, context: Context) -> BundleConversation:
        """Send the orders. Raises ProtocolError before the Submit if they cannot be written down."""
        operation, first = BATCH_OF[bundle.kind], bundle.items[0].order
        collects = bundle.kind is Kind.COLLECTION
        ours, side = first.ours, "Creditor" if collects else "Debtor"
        head = (
            ("Reference", context.reference),
            (f"{side}Account", ours.account.clear),
            (f"{side}Name", ours.name.clear),
            ("Currency", first.amount.currency),
            ("Count", str(len(bundle.items))),
            ("Sum", str(Money(bundle.sum_minor, first.amount.currency))),
        )
        row = _claim if collects else _order
        rows = [row(item) for item in bundle.items]
        data = yield from self.wire.request(operation, context, head, rows=rows)
        said = yield Submit("business", data, (str(context.serials[0]),))
        answer = self.wire.read(said, (operation,), context)
        asked = [_Asked(item.reference, item.order.amount) for item in bundle.items]
        return self._fates(answer, context.reference, asked)

    def read(self, sent: SentBundle, data: bytes) -> Fates:
        """The outcomes of the orders of `sent`, in a stored answer. Its serial must be one of ours."""
        answer = self.wire.read(data, tuple(sorted(set(BATCH_OF.values()))))
        if answer.serial not in sent.serials:
            raise ProtocolError("correlation", f"an answer to message {answer.serial!r}, not one of {sent.reference}")
        return self._fates(answer, sent.reference, _asked(sent))

    def fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """Ask for the outcome of each order. Raises Declined if the bank does not answer that question."""
        sent, around = question.sent, timedelta(days=1)
        data = yield from self.wire.request(
            "BatchFate",
            context,
            (
                ("Reference", sent.reference),
                ("FirstDate", (sent.bank_date - around).isoformat()),
                ("LastDate", (sent.bank_date + around).isoformat()),
            ),
            context.session.get("token", ""),
        )
        answer = self.wire.read((yield Ask("business", data)), ("BatchFate",), context)
        if answer.code != DONE:
            word = self.meanings.word("BatchFate", "head", answer.code, answer.text)
            if word.fate is not Fate.NOT_FOUND:
                self.meanings.decline("BatchFate", "head", answer.code, answer.text)
        said = self._fates(answer, sent.reference, _asked(sent))
        for reference, one in said.items():
            check_day(None if one.booked_at is None else one.booked_at.date(), sent.bank_date, reference)
        return said

    def _fates(self, answer: Answer, reference: str, asked: Iterable[_Asked]) -> Fates:
        if answer.code != DONE:
            # An outcome of the whole message is the outcome of each order.
            word = self.meanings.word(answer.operation, "head", answer.code, answer.text)
            return {one.reference: word for one in asked}
        require("reference", answer.value("Reference"), reference)
        ours = {one.reference: one.amount for one in asked}
        rows = answer.rows("Result")
        if digits(answer.value("Count")) != len(rows):
            raise ProtocolError("value", f"the answer says {answer.value('Count')} results and has {len(rows)}")
        found: dict[str, Outcome] = {}
        for row in rows:
            name = cell(row, "Reference")
            if name not in ours or name in found:
                raise ProtocolError("correlation", f"a result of {name!r}, which we did not send or know already")
            require("amount", str(money(cell(row, "Amount"), ours[name].currency)), str(ours[name]))
            found[name] = self._outcome(answer.operation, row, ours[name].currency)
        return found

    def _outcome(self, operation: str, row: Mapping[str, str], currency: str) -> Outcome:
        status, reason = cell(row, "Status"), plain(cell(row, "Reason"))
        booked_at, fee = cell(row, "BookedAt"), cell(row, "Fee")
        return replace(
            self.meanings.word(operation, "status", status, reason),
            bank_serial=cell(row, "BankSerial") or None,
            booked_at=moment(booked_at) if booked_at else None,
            fee=money(fee, currency) if fee else None,
        )


def _asked(sent: SentBundle) -> list[_Asked]:
    return [_Asked(item.reference, item.amount) for item in sent.items]


def _order(item: Item) -> Fields:
    order, creditor = item.order, item.order.creditor
    return (
        ("Reference", item.reference),
        ("CreditorAccount", creditor.account.clear),
        ("CreditorName", creditor.name.clear),
        ("CreditorBankName", creditor.bank_name or ""),
        ("CreditorBankCode", creditor.cnaps or ""),
        ("Amount", str(order.amount)),
        ("Purpose", order.purpose),
        ("Urgent", "Y" if order.urgency is Urgency.URGENT else "N"),
        ("Private", "Y" if creditor.kind is PartyKind.PERSON else "N"),
    )


def _claim(item: Item) -> Fields:
    order = item.order
    return (
        ("Reference", item.reference),
        ("Agreement", _agreement(order)),
        ("DebtorAccount", order.debtor.account.clear),
        ("DebtorName", order.debtor.name.clear),
        ("Amount", str(order.amount)),
        ("Purpose", order.purpose),
    )


def _agreement(order: AnyOrder) -> str:
    assert isinstance(order.detail, CollectionDetail), "only collections are collected"
    return order.detail.agreement
