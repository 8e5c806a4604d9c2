"""Whether an answer is about the order that was sent: reference, amount, accounts, day, as far as it states them."""

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
from protocols.kit.xmldoc import Leaves, value, value_or


@dataclass(frozen=True, slots=True)
class CorrelationKeys:
    """What an answer must agree with. `day` is the bank date of the order; None where no day is compared."""

    reference: str
    amount: Money
    debtor: str
    creditor: str
    day: date | None = None

    @staticmethod
    def of(sent: Sent) -> CorrelationKeys:
        """The order as it was written down before it was sent."""
        return CorrelationKeys(sent.reference, sent.amount, sent.debtor.clear, sent.creditor.clear, sent.bank_date)

    @staticmethod
    def of_order(order: AnyOrder, reference: str) -> CorrelationKeys:
        """The order that is being sent; the answer to that is not compared by day."""
        return CorrelationKeys(reference, order.amount, order.debtor.account.clear, order.creditor.account.clear)


@dataclass(frozen=True, slots=True)
class CorrelationTags:
    """Where a bank's answer states the keys: names of elements, or paths. An empty one is not looked at.

    `must_name`: the answer must state the reference. `renminbi` are the bank's writings of CNY in `currency`. `days`
    are the elements that begin with a date. `minor` reads an amount.
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


@dataclass(frozen=True, slots=True)
class _Stated:
    """An element, read as Leaves are, by names or paths."""

    element: etree._Element

    def value(self, path: str) -> str:
        return value(self.element, path)

    def value_or(self, path: str) -> str:
        return value_or(self.element, path)


def check_keys(stated: etree._Element | Leaves, keys: CorrelationKeys, tags: CorrelationTags) -> None:
    """Raises "correlation" if the answer states another reference, amount, currency, account or a day too far away.

    What the answer leaves out, or leaves empty, is not compared. Raises "missing" if it must name the reference and
    does not. With Leaves no tag may be a path.
    """
    said = stated if isinstance(stated, Leaves) else _Stated(stated)
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
        for tag in tags.days:
            check_day(stated_day(said.value_or(tag)), keys.day, keys.reference)


def by_reference(
    rows: Iterable[etree._Element], tag: str, references: Container[str]
) -> dict[str, etree._Element]:  # fmt: skip
    """The rows by the reference in `tag`. Raises "correlation" on a row of none of these, "ambiguous" on one twice."""
    found: dict[str, etree._Element] = {}
    for row in rows:
        reference = value(row, tag)
        if reference not in references:
            raise ProtocolError("correlation", f"a row is about {reference!r}, which is not in this message")
        if reference in found:
            raise ProtocolError("ambiguous", f"two rows answer {reference!r}")
        found[reference] = row
    return found
