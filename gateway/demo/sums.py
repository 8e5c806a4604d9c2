"""The demo's sums of money: by the ERP's orders, by the journal and by the banks' ledgers, per currency. Pure.

Three independent records are added up separately: the orders with the messages that the ERP received, the journal's
rows, and the executions in the ledgers. The sums of executed payments, and of those whose money came back, must be the
same in all three.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.demo.verdict import SETTLED, Executed, Journalled, OrderResult, Verdict
from protocols.canon.outcome import State
from protocols.twin import Booked

ORDERED_IN = "CNY"
"""The currency of every order of the demo."""
_BACK = (State.RETURNED, State.REVERSED)
_DOUBT = (State.IN_DOUBT, State.ESCALATED)


class AmountShare(StrEnum):
    """A part of the ordered money. CAME_BACK is a part of PAID; the others add up to TOTAL."""

    PAID = "carried out"
    CAME_BACK = "of this, came back later"
    IN_DOUBT = "in doubt"
    NOT_PAID = "not carried out: refused, invalid or withdrawn"
    TOTAL = "ordered in all"


@dataclass(frozen=True, slots=True)
class PaymentSum:
    """A number of payments and their sum."""

    count: int = 0
    minor: int = 0

    def plus(self, minor: int) -> PaymentSum:
        """The sum after adding one payment."""
        return PaymentSum(self.count + 1, self.minor + minor)


@dataclass(frozen=True, slots=True)
class MoneyRow:
    """One part of the money in one currency, as stated by the three accounts; None where an account does not state
    it."""

    currency: str
    share: AmountShare
    ordered: PaymentSum
    journal: PaymentSum | None
    ledgers: PaymentSum | None

    @property
    def agrees(self) -> bool | None:
        """Whether the accounts that must be equal are equal; None where nothing is compared."""
        if self.share in (AmountShare.PAID, AmountShare.CAME_BACK):
            return self.ordered == self.journal == self.ledgers
        return self.ordered == self.journal if self.share is AmountShare.IN_DOUBT else None


def sums(verdict: Verdict, executed: Iterable[Executed], journal: Iterable[Journalled]) -> tuple[MoneyRow, ...]:
    """The table's rows for each currency."""
    rows = tuple(journal)
    doubted = {fate.order.creditor for fate in verdict.fates if fate.in_doubt}
    ordered = _add(one for fate in verdict.fates for one in _of_fate(fate, rows))
    journalled = _add((row.currency, share, row.minor) for row in rows for share in _shares(row.state))
    booked = _add(
        (one.currency, share, one.minor) for one in executed for share in _of_execution(one, one.creditor in doubted)
    )
    currencies = sorted({currency for found in (ordered, journalled, booked) for currency, _share in found})
    return tuple(_rows(currencies or [ORDERED_IN], ordered, journalled, booked))


_Sums = Mapping[tuple[str, AmountShare], PaymentSum]


def _add(parts: Iterable[tuple[str, AmountShare, int]]) -> _Sums:
    found: dict[tuple[str, AmountShare], PaymentSum] = {}
    for currency, share, minor in parts:
        found[currency, share] = found.get((currency, share), PaymentSum()).plus(minor)
    return found


def _of_fate(fate: OrderResult, rows: tuple[Journalled, ...]) -> Iterator[tuple[str, AmountShare, int]]:
    amounts = fate.order.amounts_minor
    minor = amounts[0]
    if len(amounts) > 1:
        # The id was used twice with two amounts, and the ERP learns by the answers which one counts.
        taken = {row.minor for row in rows if row.order_id == fate.order.id}
        minor = next((one for one in amounts if one in taken), minor)
    yield ORDERED_IN, AmountShare.TOTAL, minor
    for share in _shares(fate.told):
        yield ORDERED_IN, share, minor


def _shares(state: State | None) -> tuple[AmountShare, ...]:
    if state in _BACK:
        return AmountShare.PAID, AmountShare.CAME_BACK
    if state in SETTLED:
        return (AmountShare.PAID,)
    return (AmountShare.IN_DOUBT,) if state in _DOUBT else (AmountShare.NOT_PAID,)


def _of_execution(one: Executed, in_doubt: bool) -> tuple[AmountShare, ...]:
    if one.booked is Booked.REFUSED:
        return ()
    if in_doubt:
        return (AmountShare.IN_DOUBT,)
    return (AmountShare.PAID, AmountShare.CAME_BACK) if one.booked is Booked.RETURNED else (AmountShare.PAID,)


def _rows(currencies: Iterable[str], ordered: _Sums, journal: _Sums, ledgers: _Sums) -> Iterator[MoneyRow]:
    for currency in currencies:
        for share in AmountShare:
            at = currency, share
            compared = share not in (AmountShare.NOT_PAID, AmountShare.TOTAL)
            yield MoneyRow(
                currency,
                share,
                ordered.get(at, PaymentSum()),
                journal.get(at, PaymentSum()) if compared else None,
                ledgers.get(at, PaymentSum()) if compared else None,
            )


def money_text(minor: int) -> str:
    """Minor units with thousands separators."""
    return f"{minor // 100:,}.{minor % 100:02d}"
