"""XFERINFO, the instruction itself: written into every payment, echoed in every answer about one.

Element order is part of the contract. An optional element is left out where there is nothing to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.banks.cib.fox import leaf, leaf_or_none, same
from protocols.banks.cib.options import Options
from protocols.canon.order import AnyOrder, Channel, Kind
from protocols.canon.party import Party
from protocols.kit.china import check_amount
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_text
from protocols.kit.orders import own_bank, required
from protocols.kit.xmldoc import Markup, el, maybe, value_or

ACCOUNT_BYTES: Final = 18
PAYEE_ACCOUNT: Final = r"[0-9A-Za-z-]{1,32}"
NAME_BYTES: Final = 50
BANK_BYTES: Final = 50
CITY_BYTES: Final = 30
PURPOSE_BYTES: Final = 60
SUPER_MAX_MINOR: Final = 5_000_000
"""超级网银 carries 50,000 yuan at most."""
RENMINBI: Final = ("RMB", "CNY", "01")


TAGS: Final = CorrelationTags(
    amount="TRNAMT", debtor="ACCTFROM/ACCTID", creditor="ACCTTO/ACCTID", currency="CURSYM", renminbi=RENMINBI
)
"""Where XFERINFO states the keys of an order; our reference stands beside it, in CLIENTREF."""


def check_stated(parent: etree._Element, keys: CorrelationKeys, *, named: bool) -> None:
    """Raises "correlation" if CLIENTREF or XFERINFO below `parent` are about another payment.

    `named`: the answer must say which payment it is about, by our reference or by amount and both accounts; "missing"
    if it does not. An enquiry's answer has nothing else to tell it from another one.
    """
    client, info = value_or(parent, "CLIENTREF"), maybe(parent, "XFERINFO")
    same("CLIENTREF", client, keys.reference)
    if info is not None:
        check_keys(info, keys, TAGS)
    told = info is not None and all(value_or(info, tag) for tag in (TAGS.amount, TAGS.debtor, TAGS.creditor))
    if named and not client and not told:
        raise ProtocolError("missing", f"{keys.reference}: the answer names no payment")


def check_currency(stated: str) -> None:
    """Raises "correlation" for any currency but ours; some answers say RMB, others the number 01."""
    if stated and stated not in RENMINBI:
        raise ProtocolError("correlation", f"the answer is in {stated!r}, we deal in RMB")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the money goes, as the bank's flags INTERBANK, LOCAL and CITY state it."""

    own_bank: bool
    local: bool
    city: str


def destination(order: AnyOrder, options: Options) -> Destination:
    """INTERBANK, LOCAL and CITY of an order's other party. Raises "missing" if another bank has no name.

    A transfer whose other account names no bank stays here.
    """
    other = order.theirs
    stays = order.kind is Kind.TRANSFER and not other.bank_name and not other.cnaps
    own = is_own(other, options) or order.channel is Channel.SAME_BANK or stays
    if not own and not other.bank_name:
        raise ProtocolError("missing", "an account at another bank needs that bank's name (BANKDESC)")
    city = _city(other.cnaps or "", options)
    return Destination(own, bool(city) and city == options.city, city)


def is_own(party: Party, options: Options) -> bool:
    """True if an account is kept at this bank: a name that says so may not be sent as another bank's."""
    return own_bank(party, options.own_names, options.own_cnaps)


def _city(cnaps: str, options: Options) -> str:
    known = [start for start in options.cities if cnaps.startswith(start)]
    return options.cities[max(known, key=len)] if known else ""


def account_from(party: Party, options: Options) -> Markup:
    """ACCTFROM of an own account."""
    return el(
        "ACCTFROM",
        leaf("ACCTID", required(party.account.clear, "payer's account"), most=ACCOUNT_BYTES),
        leaf_or_none("NAME", party.name.clear, most=NAME_BYTES),
        leaf("BANKDESC", "兴业银行"),
        leaf_or_none("CITY", options.city, most=CITY_BYTES),
    )


def account_to(order: AnyOrder, options: Options) -> Markup:
    """ACCTTO with its two flags."""
    party, where = order.theirs, destination(order, options)
    return el(
        "ACCTTO",
        leaf("ACCTID", payee_account(party)),
        leaf("NAME", required(party.name.clear, "payee's name"), most=NAME_BYTES),
        leaf_or_none("BANKDESC", party.bank_name or "", most=BANK_BYTES),
        leaf_or_none("BANKNUM", party.cnaps or "", most=12),
        leaf_or_none("CITY", where.city),
        INTERBANK=flag(where.own_bank),
        LOCAL=flag(where.local),
    )


def transfer_info(order: AnyOrder, options: Options) -> Markup:
    """XFERINFO of a single payment. Raises ProtocolError where the order does not fit the bank's form."""
    return el(
        "XFERINFO",
        account_from(order.debtor, options),
        account_to(order, options),
        el("CURSYM", "RMB"),
        el("TRNAMT", amount(order)),
        leaf_or_none("PMTMODE", _mode(order, options)),
        leaf("PURPOSE", required(order.purpose, "purpose"), most=options.max_purpose_bytes),
    )


def _mode(order: AnyOrder, options: Options) -> str:
    if order.channel in (Channel.LARGE_VALUE, Channel.SMALL_VALUE):
        raise ProtocolError("value", f"the bank chooses the rail itself; it has no {order.channel.value} for us")
    if order.channel is not Channel.INSTANT:
        return options.payment_mode
    if order.amount.minor > SUPER_MAX_MINOR:
        raise ProtocolError("value", f"SUPER carries {amount_text(SUPER_MAX_MINOR)} at most, not {order.amount}")
    required(order.creditor.cnaps or "", "payee bank's number (BANKNUM), which SUPER demands")
    return "SUPER"


def amount(order: AnyOrder) -> str:
    """An order's amount as the bank writes it. Raises "value" on another currency and on nothing."""
    check_amount("cib", order.amount)
    return amount_text(order.amount.minor)


def payee_account(party: Party) -> str:
    """The other party's account number. Raises "value" if it is none as this bank writes them."""
    if not re.fullmatch(PAYEE_ACCOUNT, party.account.clear, re.ASCII):
        raise ProtocolError("value", "the payee's account is not 1 to 32 digits, letters or '-'")
    return party.account.clear


def flag(yes: bool) -> str:
    """Y or N."""
    return "Y" if yes else "N"
