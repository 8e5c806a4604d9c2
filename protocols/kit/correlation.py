"""Checks whether an answer is about the order that was sent, by the reference, amount, accounts and day
that it states.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from datetime import date

from lxml import etree

from protocols.canon.money import Money
from protocols.canon.order import AnyOrder
from protocols.canon.query import Sent
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, check_day, stated_day
from protocols.kit.xmldoc import ChildTexts, value, value_or


@dataclass(frozen=True, slots=True)
class CorrelationKeys:
    """The values with which an answer must agree. `day` is the bank date of the order; None if the day is not
    compared."""

    reference: str
    amount: Money
    debtor: str
    creditor: str
    day: date | None = None

    @staticmethod
    def of(sent: Sent) -> CorrelationKeys:
        """The keys of an order, from its record before it was sent."""
        return CorrelationKeys(sent.reference, sent.amount, sent.debtor.clear, sent.creditor.clear, sent.bank_date)

    @staticmethod
    def of_order(order: AnyOrder, reference: str) -> CorrelationKeys:
        """The keys of the order that is being sent. The day is not among them."""
        return CorrelationKeys(reference, order.amount, order.debtor.account.clear, order.creditor.account.clear)


@dataclass(frozen=True, slots=True)
class CorrelationTags:
    """The places of the keys in a bank's answer: names of elements, or paths. A key with an empty place is not checked.

    `must_name`: the answer must state the reference. `renminbi` are the bank's writings of CNY in `currency`. `days`
    are the elements that begin with a date. `submitted` is the one that says when the order was handed in: where it is
    stated and agrees, `days` are not compared. `minor` reads an amount.
    """

    reference: str = ""
    amount: str = ""
    debtor: str = ""
    creditor: str = ""
    currency: str = ""
    renminbi: tuple[str, ...] = ()
    days: tuple[str, ...] = ()
    must_name: bool = False
    minor: Callable[[str], int] = amount_minor
    submitted: str = ""


@dataclass(frozen=True, slots=True)
class _Stated:
    """An element with the methods of ChildTexts. Keys may be names or paths."""

    element: etree._Element

    def value(self, path: str) -> str:
        return value(self.element, path)

    def value_or(self, path: str) -> str:
        return value_or(self.element, path)


def check_keys(stated: etree._Element | ChildTexts, keys: CorrelationKeys, tags: CorrelationTags) -> None:
    """Raises "correlation" if the answer states another reference, amount, currency, account or a day too far away.

    Values that the answer leaves out, or leaves empty, are not compared. Raises "missing" if the answer must name the
    reference and does not. With ChildTexts no tag may be a path.
    """
    said = stated if isinstance(stated, ChildTexts) else _Stated(stated)
    if tags.reference:
        named = said.value(tags.reference) if tags.must_name else said.value_or(tags.reference)
        if named != keys.reference and (named or tags.must_name):
            raise ProtocolError("correlation", f"the answer is about {named!r}, not {keys.reference!r}")
    amount = said.value_or(tags.amount) if tags.amount else ""
    if amount and tags.minor(amount) != keys.amount.minor:
        raise ProtocolError("correlation", f"{keys.reference}: the answer's amount is {amount}")
    currency = said.value_or(tags.currency) if tags.currency else ""
    if currency and currency not in tags.renminbi:
        raise ProtocolError("correlation", f"{keys.reference}: the answer is in currency {currency!r}")
    for tag, ours in ((tags.debtor, keys.debtor), (tags.creditor, keys.creditor)):
        if tag and said.value_or(tag) not in ("", ours):
            raise ProtocolError("correlation", f"{keys.reference}: the answer has another {tag}")
    if keys.day is not None:
        submitted = stated_day(said.value_or(tags.submitted)) if tags.submitted else None
        for day in [submitted] if submitted else [stated_day(said.value_or(tag)) for tag in tags.days]:
            check_day(day, keys.day, keys.reference)


def by_reference(rows: Iterable[etree._Element], tag: str, references: Container[str]) -> dict[str, etree._Element]:
    """The rows by the reference in `tag`. Raises "correlation" on an unknown reference, "ambiguous" on a
    repeated one.
    """
    found: dict[str, etree._Element] = {}
    for row in rows:
        reference = value(row, tag)
        if reference not in references:
            raise ProtocolError("correlation", f"a row names {reference!r}, which is not in this message")
        if reference in found:
            raise ProtocolError("ambiguous", f"two rows answer {reference!r}")
        found[reference] = row
    return found
