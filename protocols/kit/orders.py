"""Checks and values for writing orders: required texts, lengths, bundles, the payee's bank."""

from __future__ import annotations

from protocols.bank import Context
from protocols.canon.order import AnyOrder, Bundle
from protocols.canon.party import Party
from protocols.canon.query import Sent
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError


def required(content: str, what: str) -> str:
    """Return `content`. Raises "missing" if it is empty or blank."""
    if not content.strip():
        raise ProtocolError("missing", f"the bank's form needs the {what}")
    return content


def fitting(content: str, what: str, max_bytes: int, *, min_bytes: int = 1) -> str:
    """Return `content`. Raises "value" if it has more or fewer GBK bytes than the bank's form allows."""
    size = GBK.byte_length(content)
    if not min_bytes <= size <= max_bytes:
        raise ProtocolError("value", f"{what} takes {min_bytes} to {max_bytes} bytes, not {size}")
    return content


def own_bank(party: Party, names: tuple[str, ...], numbers: tuple[str, ...]) -> bool:
    """True if the party's bank has one of `names` in its name, or its CNAPS number begins with one of `numbers`."""
    return any(name in (party.bank_name or "") for name in names) or (party.cnaps or "").startswith(numbers)


def sent_order(order: AnyOrder, reference: str, context: Context) -> Sent:
    """The record of the order that the journal stores when this conversation sends it."""
    return Sent(
        reference, context.bank_date, context.attempt, (), order.amount, order.debtor.account, order.creditor.account
    )


def sent_items(bundle: Bundle, context: Context) -> tuple[Sent, ...]:
    """The records of a bundle's items; see `sent_order`."""
    return tuple(sent_order(item.order, item.reference, context) for item in bundle.items)


def check_lines(bundle: Bundle, most: int) -> None:
    """Raises "value" for a bundle without lines or with more than `most`, and "ambiguous" if a reference appears
    twice."""
    if not 1 <= len(bundle.items) <= most:
        raise ProtocolError("value", f"{len(bundle.items)} lines in one message, the bank takes 1 to {most}")
    if len({item.reference for item in bundle.items}) != len(bundle.items):
        raise ProtocolError("ambiguous", "two lines of one message have the same reference")


def own_account(bundle: Bundle) -> str:
    """The number of the one own account of all lines. Raises "value" if they have several."""
    accounts = {item.order.ours.account.clear for item in bundle.items}
    if len(accounts) != 1:
        raise ProtocolError("value", f"one message can pay from one own account, not from {len(accounts)}")
    return accounts.pop()


def common_purpose(bundle: Bundle) -> str:
    """The purpose of all lines if it is the same; else an empty text."""
    purposes = {item.order.purpose for item in bundle.items}
    return purposes.pop() if len(purposes) == 1 else ""
