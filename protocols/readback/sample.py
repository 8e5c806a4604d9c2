"""Reads Sample Bank's bytes back: eight digits of length, then signed XML; four operations (its README, 1 and 3)."""

from __future__ import annotations

from collections.abc import Sequence

from protocols.readback.paper import PaidLine, Unreadable, amount, elements, leaf, nothing_else, once, rows

_HEAD_BYTES = 8


def paid_lines(data: bytes) -> Sequence[PaidLine]:
    """The payments of one message."""
    root = elements(data[_HEAD_BYTES:], "utf-8")
    body, operation = once(root, "Body"), leaf(root, "Head/Operation")
    if operation in ("Pay", "Move"):
        found = [PaidLine(leaf(body, "DebtorAccount"), leaf(body, "CreditorAccount"), amount(leaf(body, "Amount")))]
    elif operation == "PayBatch":
        items, own = rows(body, "List/Item"), leaf(body, "DebtorAccount")
        found = [PaidLine(own, leaf(row, "CreditorAccount"), amount(leaf(row, "Amount"))) for row in items]
    elif operation == "CollectBatch":
        items, own = rows(body, "List/Item"), leaf(body, "CreditorAccount")
        found = [PaidLine(leaf(row, "DebtorAccount"), own, amount(leaf(row, "Amount"))) for row in items]
    else:
        raise Unreadable(f"operation {operation!r} is not known here")
    return nothing_else(root, ("Amount",), found)
