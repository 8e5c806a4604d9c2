"""Reads 中信 CITIC's bytes back: `<stream>` in an HTTP body, one action (banks/citic.md 4)."""

from __future__ import annotations

from collections.abc import Sequence

from protocols.readback.paper import PaidLine, Unreadable, after_head, amount, elements, leaf, nothing_else, once, rows

_SIDES = {
    "DLOUTTRN": ("payAccountNo", "recAccountNo"),
    "DLINETRN": ("payAccountNo", "recAccountNo"),
    # A sweep takes money from the member's account, a push moves money into it.
    "CMMANSWP": ("accountNo", "conAccountNo"),
    "CMDWNSWP": ("coreAccountNo", "accountNo"),
}


def paid_lines(data: bytes) -> Sequence[PaidLine]:
    """The payments of one message."""
    root = elements(after_head(data), "gb18030")
    action = leaf(root, "action")
    if action in _SIDES:
        debtor, payee = _SIDES[action]
        found = [PaidLine(leaf(root, debtor), leaf(root, payee), amount(leaf(root, "tranAmount")))]
        return nothing_else(root, ("tranAmount",), found)
    lines = rows(once(root, "list"), "row")
    if action == "DLPAYBAT":
        found = [
            PaidLine(leaf(row, "payAccountNo"), leaf(row, "recAccountNo"), amount(leaf(row, "tranAmount")))
            for row in lines
        ]
    elif action == "DLSALIMP":
        own = leaf(root, "payAccountNo")
        found = [PaidLine(own, leaf(row, "recAccountNo"), amount(leaf(row, "tranAmount"))) for row in lines]
    elif action == "DLAGENTF":
        own = leaf(root, "rcvAccountNo")
        found = [PaidLine(leaf(row, "payAccountNo"), own, amount(leaf(row, "tranAmount"))) for row in lines]
    else:
        raise Unreadable(f"action {action!r} is not known here")
    return nothing_else(root, ("tranAmount",), found)
