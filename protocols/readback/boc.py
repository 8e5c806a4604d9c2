"""Reads 中行 BOC's bytes back: `<bocb2e>` in an HTTP body; b2e0009, b2e0061 and b2e0078 (banks/boc.md 2)."""

from __future__ import annotations

from collections.abc import Sequence

from protocols.readback.paper import PaidLine, Unreadable, after_head, amount, elements, leaf, nothing_else, rows

_AMOUNTS = ("trnamt", "pydamt")


def paid_lines(data: bytes) -> Sequence[PaidLine]:
    """The payments of one message."""
    root = elements(after_head(data), "utf-8")
    code = leaf(root, "head/trncod")
    lines = rows(root, f"trans/trn-{code}-rq/{code}-rq")
    if code in ("b2e0009", "b2e0061"):
        found = [
            PaidLine(leaf(row, "fractn/actacn"), leaf(row, "toactn/actacn"), amount(leaf(row, "trnamt")))
            for row in lines
        ]
    elif code == "b2e0078":
        found = [
            PaidLine(leaf(row, "fractn/actacn"), leaf(detail, "toactn"), amount(leaf(detail, "pydamt")))
            for row in lines
            for detail in rows(row, "detail")
        ]
    else:
        raise Unreadable(f"code {code!r} is not known here")
    return nothing_else(root, _AMOUNTS, found)
