"""Reads outgoing bytes back, for each bank: own account, payee account and amount of every payment in them.

Written from the banks' pages, apart from the adapters that make the bytes, so that one mistake is not made twice.
Nothing here imports `protocols.banks` or `protocols.kit`; a house rule forbids it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from protocols.canon.order import Kind
from protocols.readback import boc, cib, citic, cmb, finws, icbc, pab, sample, spdb
from protocols.readback.paper import PaidLine, Sealed, Unreadable

__all__ = ["PaidLine", "Unreadable", "differs", "reads"]

_READERS: Mapping[str, Callable[[bytes], Sequence[PaidLine]]] = {
    "sample": sample.paid_lines,
    "pab": pab.paid_lines,
    "cmb": cmb.paid_lines,
    "icbc": icbc.paid_lines,
    "boc": boc.paid_lines,
    "citic": citic.paid_lines,
    "cib": cib.paid_lines,
    "spdb": spdb.paid_lines,
    "finws": finws.paid_lines,
}
_IN_GROUPS = frozenset({"finws"})
"""Banks whose message has the payments in groups, in another order than the batch: they are compared as a set."""
_UNREAD: Mapping[str, frozenset[Kind]] = {}
"""Kinds of orders of which a bank's bytes are not read back."""


def reads(protocol: str, kind: Kind) -> bool:
    """True if this bank's bytes for this kind of order can be read back."""
    return protocol in _READERS and kind not in _UNREAD.get(protocol, ())


def differs(protocol: str, data: bytes, wanted: Sequence[PaidLine]) -> str:
    """The differences between outgoing bytes and the wanted payments, line by line; "" if there are none. Unreadable
    bytes differ. Bytes that are encrypted for the bank pass, as those of a bank that is not read.
    """
    try:
        found = _READERS[protocol](data)
    except Sealed:
        return ""
    except Unreadable as error:
        return f"the bytes cannot be read back: {error}"
    if len(found) != len(wanted):
        return f"the bytes pay {len(found)} times, and {len(wanted)} were wanted"
    if protocol in _IN_GROUPS:
        found, wanted = sorted(found, key=_place), sorted(wanted, key=_place)
    for number, (there, line) in enumerate(zip(found, wanted, strict=True), start=1):
        for name, one, other in (
            ("own account", there.debtor, line.debtor),
            ("payee's account", there.payee, line.payee),
            ("amount", there.amount, line.amount),
        ):
            if one != other:
                return f"line {number}: the bytes have another {name}"
    return ""


def _place(line: PaidLine) -> tuple[str, str, Decimal]:
    return line.debtor, line.payee, line.amount


def wanted(debtor: str, payee: str, amount: str) -> PaidLine:
    """One expected payment; `amount` has the decimals of its currency."""
    return PaidLine(debtor, payee, Decimal(amount))
