"""Reads outgoing bytes back: own account, payee account and amount of every payment in them, per bank.

Written from the banks' pages, apart from the adapters that make the bytes, so that one mistake is not made twice.
Nothing here imports `protocols.banks` or `protocols.kit`; a house rule forbids it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from protocols.canon.order import Kind
from protocols.readback import boc, cib, citic, cmb, icbc, pab, sample, spdb
from protocols.readback.paper import PaidLine, Unreadable

__all__ = ["PaidLine", "Unreadable", "differs", "reads"]

_READERS: Mapping[str, Callable[[bytes], Sequence[PaidLine]]] = {
    "sample": sample.read, "pab": pab.read, "cmb": cmb.read, "icbc": icbc.read, "boc": boc.read, "citic": citic.read,
    "cib": cib.read, "spdb": spdb.read,
}  # fmt: skip
_UNREAD: Mapping[str, frozenset[Kind]] = {}
"""Kinds of orders of which a bank's bytes are not read back."""


def reads(protocol: str, kind: Kind) -> bool:
    """Whether this bank's bytes for this kind of order can be read back."""
    return protocol in _READERS and kind not in _UNREAD.get(protocol, ())


def differs(protocol: str, data: bytes, wanted: Sequence[PaidLine]) -> str:
    """What of the outgoing bytes is not what was wanted, line by line; "" if all is. Unreadable bytes differ."""
    try:
        found = _READERS[protocol](data)
    except Unreadable as error:
        return f"the bytes cannot be read back: {error}"
    if len(found) != len(wanted):
        return f"the bytes pay {len(found)} times, and {len(wanted)} were wanted"
    for number, (there, line) in enumerate(zip(found, wanted, strict=True), start=1):
        for name, one, other in (
            ("own account", there.debtor, line.debtor), ("payee's account", there.payee, line.payee),
            ("amount", there.amount, line.amount),
        ):  # fmt: skip
            if one != other:
                return f"line {number}: the bytes have another {name}"
    return ""


def wanted(debtor: str, payee: str, amount: str) -> PaidLine:
    """One payment as it should be; `amount` with the decimals of its currency."""
    return PaidLine(debtor, payee, Decimal(amount))
