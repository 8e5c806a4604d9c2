"""Reads 浦发 SPDB's bytes back: six digits of length, `<packet>`, then the signed `<body>` (banks/spdb.md)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence

from protocols.readback.paper import PaidLine, Unreadable, after_head, amount, cut, elements, leaf, nothing_else, rows

_LENGTH_DIGITS = 6


def paid_lines(data: bytes) -> Sequence[PaidLine]:
    """The payments of one message. Their number and sum must equal the stated ones."""
    packet = elements(after_head(data)[_LENGTH_DIGITS:], "gb18030")
    code = leaf(packet, "head/transCode")
    try:
        signed = b64decode(leaf(packet, "body/signature"), validate=True)
    except ValueError:
        raise Unreadable("the signature is no Base64") from None
    root = elements(cut(signed, b"<body>", b"</body>"), "gb18030")
    lines = [root] if code == "8801" else rows(root, "lists/list")
    if code not in ("8800", "8801"):
        raise Unreadable(f"code {code!r} is not known here")
    found = [PaidLine(leaf(row, "acctNo"), leaf(row, "payeeAcctNo"), amount(leaf(row, "amount"))) for row in lines]
    if leaf(root, "totalNumber") != str(len(found)) or amount(leaf(root, "totalAmount")) != sum(
        one.amount for one in found
    ):
        raise Unreadable("totalNumber or totalAmount is not that of the lines")
    return nothing_else(root, ("amount",), found)
