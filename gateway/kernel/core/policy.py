"""Checks of an order: the bank's limits, and the sender's rights and limits. Pure functions.

`check` examines the order alone and reports all faults at once. The other functions compare it with what the journal
counted for the sender; the rules of the gate ask them, inside the transaction that admits the order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from unicodedata import normalize

from gateway.kernel.core.states import Hold, Reject, Release
from protocols.canon.errors import Fault, FieldCode
from protocols.canon.fast_init import fast_init
from protocols.canon.limits import FieldLimit, Limits
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, CollectionDetail, Kind
from protocols.canon.party import is_broken_iban


@dataclass(frozen=True, slots=True)
class Route:
    """The lane and bank for the orders of an own account, and what the bank can carry. `kinds` empty: no orders are
    sent there.

    `holder` is the account holder's name in the register, empty if unknown; if `holder_binds`, an order with another
    name has a fault. `kind_limits` are the limits of kinds that have their own. `past_days`: for how many days back the
    bank gives a balance. `answers` names the questions that it answers (see `protocols.bank.Questions`). `restricted`:
    the account's money is for one purpose, so no pool may use it.
    """

    account: str
    company: str
    bank: str
    lane: str
    currency: str
    limits: Limits
    kinds: frozenset[Kind]
    opened: date | None = None
    closed: date | None = None
    kind_limits: Mapping[Kind, Limits] = field(default_factory=dict)
    past_days: int = 0
    answers: frozenset[str] = frozenset()
    holder: str = ""
    holder_binds: bool = True
    restricted: bool = False

    def limits_of(self, kind: Kind) -> Limits:
        """The bank's limits for one kind of order."""
        return self.kind_limits.get(kind, self.limits)


@dataclass(frozen=True, slots=True)
class Band:
    """A range of amounts: payments above `above_minor` up to `upto_minor` (None: no upper end) are held if `hold`."""

    above_minor: int
    upto_minor: int | None
    hold: bool


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits of one sender, in minor units of the account's currency; None is no limit.

    A payee counts as known up to `payee_cover` times the largest payment to it that has been settled, and not returned,
    for `payee_days` business days (weekdays that are not `holidays`, and days `worked` on a weekend).
    """

    sender: str
    per_payment_minor: int | None = None
    per_batch_minor: int | None = None
    per_day_minor: int | None = None
    per_account_day_minor: int | None = None
    per_payee_day_minor: int | None = None
    bands: tuple[Band, ...] = ()
    alike_hours: int = 24
    hold_new_payee: bool = False
    payee_cover: int = 10
    payee_days: int = 3
    holidays: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()


@fast_init
@dataclass(frozen=True, slots=True)
class UsageFacts:
    """The sums of today's earlier orders, as the journal counted them, in minor units.

    `alike_id` is the id of another recent order with the same debtor, creditor, amount and purpose. `payee_known`: two
    persons registered the payee, or the sender needs no known payee. `payee_paid_minor` is the largest payment to the
    payee that was settled and not returned; None if there is none.
    """

    day_minor: int = 0
    account_day_minor: int = 0
    payee_day_minor: int = 0
    payee_known: bool = True
    payee_paid_minor: int | None = None
    alike_id: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The event that follows an order's admission, and the faults if the event is a rejection."""

    event: Release | Hold | Reject
    faults: tuple[Fault, ...] = ()


HOLD_BAND, HOLD_PAYEE, HOLD_ALIKE = "approval", "new_payee", "suspected_duplicate"
HOLD_FUNDING = "funding"
"""A linked payment waits for the money of its pool."""
HOLD_RIGHT = "not_entitled"
"""At its send the sender had no right to an account any more, or the account belongs to another lane now."""
_GRAVEST = (HOLD_RIGHT, HOLD_ALIKE, HOLD_PAYEE, HOLD_BAND, HOLD_FUNDING)


def check(order: AnyOrder, route: Route, today: date) -> tuple[Fault, ...]:
    """All faults because of which the bank cannot carry the order, with JSON pointers; empty if it can."""
    return tuple(_faults(order, route, today))


def _faults(order: AnyOrder, route: Route, today: date) -> Iterator[Fault]:
    limits = route.limits_of(order.kind)
    if order.kind not in route.kinds:
        yield Fault("", FieldCode.UNSUPPORTED, f"{route.bank} carries no {order.kind.value} orders here")
    if (route.opened and today < route.opened) or (route.closed and today >= route.closed):
        at = "/creditor/account" if order.kind is Kind.COLLECTION else "/debtor/account"
        yield Fault(at, FieldCode.ACCOUNT_CLOSED, f"the account is not open on {today.isoformat()}")
    if route.holder_binds and not names_holder(order, route):
        at = "/creditor/name" if order.kind is Kind.COLLECTION else "/debtor/name"
        yield Fault(at, FieldCode.HOLDER_NAME, "is not the holder's name in the account register")
    if order.amount.currency != route.currency:
        yield Fault("/currency", FieldCode.CURRENCY, f"the account keeps {route.currency}")
    elif order.amount.currency not in limits.amount.currencies:
        yield Fault("/currency", FieldCode.CURRENCY, f"{route.bank} does not carry {order.amount.currency} here")
    if order.channel not in limits.channels:
        yield Fault("/channel", FieldCode.UNSUPPORTED, f"{route.bank} has no {order.channel.value} channel here")
    if order.urgency not in limits.urgencies:
        yield Fault("/urgency", FieldCode.UNSUPPORTED, f"{route.bank} carries no {order.urgency.value} orders here")
    yield from _amount_faults(order.amount, limits)
    yield from _terms_faults(order, limits, route.bank)
    values = order_values(order)
    told = {
        **values,
        "/channel": order.channel.value,
        "/debtor/kind": order.debtor.kind.value,
        "/creditor/kind": order.creditor.kind.value,
    }
    limited = {limit.at for limit in limits.fields}
    for limit in limits.fields:
        unless = limit.required_unless if limit.required else ()
        spared = bool(unless) and any(re.search(pattern, told.get(at) or "") for at, pattern in unless)
        yield from field_faults(replace(limit, required=False) if spared else limit, told.get(limit.at), limits.charset)
    for at, value in values.items():
        if at not in limited and value:
            yield from field_faults(FieldLimit(at), value, limits.charset)


def names_holder(order: AnyOrder, route: Route) -> bool:
    """True if the order names the account holder as the register does; character width and blanks do not count."""
    given = order.ours.name.clear
    return not route.holder or given == route.holder or _plain(given) == _plain(route.holder)


def _plain(name: str) -> str:
    return "".join(normalize("NFKC", name).split())


def order_values(order: AnyOrder) -> dict[str, str | None]:
    """The order's texts that go to the bank, by JSON pointer of the contract."""
    other = {"/debtor/bank_name": order.debtor.bank_name, "/debtor/cnaps": order.debtor.cnaps}
    mandate = (
        {"/agreement": order.detail.agreement, "/signed_on": order.detail.terms.signed_on}
        if isinstance(order.detail, CollectionDetail)
        else {}
    )
    return {
        **(other if order.kind is Kind.COLLECTION else {}),
        **mandate,
        "/debtor/account": order.debtor.account.clear,
        "/debtor/name": order.debtor.name.clear,
        "/creditor/account": order.creditor.account.clear,
        "/creditor/name": order.creditor.name.clear,
        "/creditor/bank_name": order.creditor.bank_name,
        "/creditor/cnaps": order.creditor.cnaps,
        "/purpose": order.purpose,
    }


def _terms_faults(order: AnyOrder, limits: Limits, bank: str) -> Iterator[Fault]:
    """Faults in the fields that decide who pays, who is paid or how the payee books the payment, if the bank cannot
    carry them.

    A missing id or code, or fees that are shared as every rail shares them, are no reason to refuse an order.
    """
    terms = order.terms
    unsaid = [
        one.reference or one.invoice for one in terms.remittances if (one.reference or one.invoice) not in order.purpose
    ]
    told = {
        "charge_bearer": terms.charge_bearer in ("DEBT", "CRED"),
        "remittances": bool(unsaid),
        "ultimate_debtor": terms.ultimate_debtor is not None,
        "ultimate_creditor": terms.ultimate_creditor is not None,
    }
    for name, matters in told.items():
        if matters and name not in limits.terms:
            yield Fault(f"/terms/{name}", FieldCode.UNSUPPORTED, f"{bank} cannot carry it here")


def _amount_faults(amount: Money, limits: Limits) -> Iterator[Fault]:
    least, most = limits.amount.min_minor, limits.amount.max_minor
    if amount.minor < least:
        limit = str(Money(least, amount.currency))
        yield Fault("/amount", FieldCode.AMOUNT_RANGE, f"the least is {limit}", limit)
    if most is not None and amount.minor > most:
        limit = str(Money(most, amount.currency))
        yield Fault("/amount", FieldCode.AMOUNT_RANGE, f"the most is {limit}", limit)


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def field_faults(limit: FieldLimit, value: str | None, charset: str) -> Iterator[Fault]:
    """The faults of one value under one limit; lengths count in the bank's charset."""
    if not value or not value.strip():
        # A bank cuts blanks off, so that a required field of blanks alone arrives empty.
        if limit.required:
            yield Fault(limit.at, FieldCode.REQUIRED, "the bank needs it")
        return
    if limit.max_chars is not None and len(value) > limit.max_chars:
        detail = f"{len(value)} characters, limit {limit.max_chars}"
        yield Fault(limit.at, FieldCode.TOO_LONG, detail, limit.max_chars)
    if limit.pattern is not None and not _compiled(limit.pattern).fullmatch(value):
        yield Fault(limit.at, FieldCode.PATTERN, f"must match {limit.pattern}")
    if limit.iban and is_broken_iban(value):
        yield Fault(limit.at, FieldCode.PATTERN, "has the form of an IBAN and wrong check digits (modulo 97)")
    try:
        length = len(value.encode(charset))
    except UnicodeEncodeError as error:
        character = value[error.start]
        yield Fault(
            limit.at,
            FieldCode.CHARSET,
            f"'{character}' (U+{ord(character):04X}, position {error.start + 1}) not in {charset}",
        )
    else:
        if limit.max_bytes is not None and length > limit.max_bytes:
            detail = f"{length} bytes in {charset}, limit {limit.max_bytes}"
            yield Fault(limit.at, FieldCode.TOO_LONG, detail, limit.max_bytes)
    if value.isprintable() and not limit.forbidden:
        return  # no control character is printable
    for position, character in enumerate(value):
        if character in limit.forbidden or ord(character) < 0x20 or ord(character) == 0x7F:
            shown = character if character.isprintable() else f"\\x{ord(character):02x}"
            yield Fault(limit.at, FieldCode.FORBIDDEN_CHARACTER, f"'{shown}' at position {position}")
            break


def in_order(reasons: Collection[str]) -> tuple[str, ...]:
    """The reasons without duplicates, the most serious first."""
    known = [reason for reason in _GRAVEST if reason in reasons]
    return (*known, *sorted(set(reasons) - set(known)))


def over_limits(amount: Money, allowance: Allowance, facts: UsageFacts) -> Iterator[Fault]:
    """A fault for each limit of the sender that the amount exceeds, with the remainder of that limit."""
    sums = (
        ("payment", allowance.per_payment_minor, 0),
        ("day", allowance.per_day_minor, facts.day_minor),
        ("account and day", allowance.per_account_day_minor, facts.account_day_minor),
        ("payee and day", allowance.per_payee_day_minor, facts.payee_day_minor),
    )
    for per, limit_minor, used_minor in sums:
        if limit_minor is not None and used_minor + amount.minor > limit_minor:
            left = Money(max(limit_minor - used_minor, 0), amount.currency)
            yield Fault(
                "/amount",
                FieldCode.OVER_LIMIT,
                f"over sender {allowance.sender}'s limit per {per}; {left} is left",
                str(Money(limit_minor, amount.currency)),
            )


def looks_at_payee(order: AnyOrder, allowance: Allowance) -> bool:
    """True if the sender's limits require a known payee for this order."""
    return allowance.hold_new_payee and order.kind in _PAYS_OTHERS


def payee_covers(minor: int, allowance: Allowance, facts: UsageFacts) -> bool:
    """True if the payee is known well enough for this amount: a small earlier payment does not cover a large one."""
    paid_minor = facts.payee_paid_minor
    return facts.payee_known or (paid_minor is not None and minor <= allowance.payee_cover * paid_minor)


_PAYS_OTHERS = frozenset({Kind.PAYMENT, Kind.BATCH_ITEM, Kind.PAYROLL_ITEM})


def held_by_band(minor: int, allowance: Allowance) -> bool:
    """True if a payment or batch of this sum is in a band that holds it for approval."""
    for band in allowance.bands:
        if band.above_minor < minor and (band.upto_minor is None or minor <= band.upto_minor):
            return band.hold
    return False


def batch_faults(total: Money, allowance: Allowance) -> tuple[Fault, ...]:
    """The fault of a batch whose sum exceeds the sender's limit, if it does."""
    most = allowance.per_batch_minor
    if most is None or total.minor <= most:
        return ()
    limit = str(Money(most, total.currency))
    return (Fault("/sum", FieldCode.OVER_LIMIT, f"over sender {allowance.sender}'s limit per batch, {limit}", limit),)
