"""Orders: instructions that move money. Unlike questions, they are never simply asked again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from protocols.canon.money import Money
from protocols.canon.party import Name, Party
from protocols.canon.terms import NO_DEBIT_TERMS, NO_TERMS, DebitTerms, Terms


class Kind(StrEnum):
    """The kind of an order. The journal stores it; a bank declares which kinds it can carry."""

    PAYMENT = "payment"
    TRANSFER = "transfer"
    BATCH_ITEM = "batch_item"
    PAYROLL_ITEM = "payroll_item"
    COLLECTION = "collection"


class Urgency(StrEnum):
    """How fast the ERP wants the payment; the bank adapter picks the rail."""

    NORMAL = "normal"
    URGENT = "urgent"


class Channel(StrEnum):
    """Payment rail; `auto` lets the bank adapter choose by amount, hour and destination."""

    AUTO = "auto"
    SAME_BANK = "same_bank"
    LARGE_VALUE = "large_value"
    SMALL_VALUE = "small_value"
    INSTANT = "instant"


@dataclass(frozen=True, slots=True)
class PaymentDetail:
    """A payment to somebody else's account."""


@dataclass(frozen=True, slots=True)
class TransferDetail:
    """资金调拨 between own accounts; `direction` is `transfer`, `sweep` (归集) or `push` (下拨)."""

    direction: str = "transfer"


@dataclass(frozen=True, slots=True)
class BatchItemDetail:
    """One line of a batch: the batch's id and the line's number, from 1."""

    batch_id: str
    item_no: int


@dataclass(frozen=True, slots=True)
class PayrollItemDetail:
    """One line of a payroll (代发): as a batch line, with the bank's purpose code and agreement if it needs them."""

    batch_id: str
    item_no: int
    purpose_code: str | None = None
    agreement: str | None = None
    payee_document: Name | None = None


@dataclass(frozen=True, slots=True)
class CollectionDetail:
    """A collection (代收): `debtor` is the other party who agreed to pay, `creditor` is our own account."""

    agreement: str
    batch_id: str | None = None
    item_no: int | None = None
    terms: DebitTerms = NO_DEBIT_TERMS


D = TypeVar("D", PaymentDetail, TransferDetail, BatchItemDetail, PayrollItemDetail, CollectionDetail)
Detail = PaymentDetail | TransferDetail | BatchItemDetail | PayrollItemDetail | CollectionDetail

KIND_OF_DETAIL: Mapping[type[Detail], Kind] = {
    PaymentDetail: Kind.PAYMENT,
    TransferDetail: Kind.TRANSFER,
    BatchItemDetail: Kind.BATCH_ITEM,
    PayrollItemDetail: Kind.PAYROLL_ITEM,
    CollectionDetail: Kind.COLLECTION,
}


@dataclass(frozen=True, slots=True)
class Order(Generic[D]):
    """One instruction to move `amount` from `debtor` to `creditor`.

    `id` is the ERP's, at most 64 characters, unique per sender for ever. `valid_until` and `not_before` have a zone: no
    byte is sent after the first or before the second. `maker` is the person who made the order, by the name under which
    that person is enrolled here; None if the ERP does not say. `maker_signature` is that person's signature over the
    order, or over its batch, in Base64; it is not part of the signed content. `funded_by` is a cash pool whose header
    transfers the amount that the debtor's account lacks (联动支付).
    """

    id: str
    debtor: Party
    creditor: Party
    amount: Money
    detail: D
    purpose: str = ""
    urgency: Urgency = Urgency.NORMAL
    channel: Channel = Channel.AUTO
    valid_until: datetime | None = None
    not_before: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    terms: Terms = NO_TERMS
    maker: str | None = None
    funded_by: str | None = None
    maker_signature: str | None = None

    @property
    def kind(self) -> Kind:
        """The order's kind, which follows from its detail."""
        return KIND_OF_DETAIL[type(self.detail)]

    @property
    def ours(self) -> Party:
        """The side of the order that is our own account: the payer, except in a collection."""
        return self.creditor if self.kind is Kind.COLLECTION else self.debtor

    @property
    def theirs(self) -> Party:
        """The side of the order that is not `ours`."""
        return self.debtor if self.kind is Kind.COLLECTION else self.creditor


AnyOrder = (
    Order[PaymentDetail]
    | Order[TransferDetail]
    | Order[BatchItemDetail]
    | Order[PayrollItemDetail]
    | Order[CollectionDetail]
)
Payment = Order[PaymentDetail]


@dataclass(frozen=True, slots=True)
class Item:
    """An order inside a bundle, with its own bank reference."""

    order: AnyOrder
    reference: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """Orders of one kind and one own account that are sent to the bank in one message (批量). Never empty.

    Each item has its own state; identical items are distinguished by their references only.
    """

    kind: Kind
    items: tuple[Item, ...]

    @property
    def sum_minor(self) -> int:
        """The sum of the items' amounts, in minor units of their one currency."""
        return sum(item.order.amount.minor for item in self.items)
