"""招行 CMB: `<CMBSDKPGK>` behind eight bytes of length, in an HTTP body or its form field REQDATA (banks/cmb.md)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from protocols.readback.paper import (
    PaidLine,
    Unreadable,
    after_head,
    amount,
    cut,
    elements,
    leaf,
    nothing_else,
    once,
    rows,
)

_FIELD = b"REQDATA="


def read(data: bytes) -> Sequence[PaidLine]:
    """The payments of one message."""
    body = after_head(data) if data.startswith(b"POST ") else data
    if body.startswith(_FIELD):
        body = unquote_to_bytes(body[len(_FIELD) :].replace(b"+", b" "))
    root = elements(cut(body, b"<CMBSDKPGK>", b"</CMBSDKPGK>"), "gb18030")
    function = leaf(root, "INFO/FUNNAM")
    if function == "DCPAYMNT":
        found = [
            PaidLine(leaf(row, "DBTACC"), leaf(row, "CRTACC"), amount(leaf(row, "TRSAMT")))
            for row in rows(root, "DCOPDPAYX")
        ]
    elif function in ("NTAGCSAL", "NTAGCACL"):
        own = leaf(once(root, "NTAGCAGCX1"), "ACCNBR")
        lines = [(leaf(row, "ACCNBR"), amount(leaf(row, "TRSAMT"))) for row in rows(root, "NTAGCDTLY1")]
        pays = function == "NTAGCSAL"
        found = [PaidLine(own, other, money) if pays else PaidLine(other, own, money) for other, money in lines]
    else:
        raise Unreadable(f"function {function!r} is not known here")
    return nothing_else(root, ("TRSAMT",), found)
