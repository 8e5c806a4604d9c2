"""Reads 工行 ICBC's bytes back: field reqData, Base64 of a signed text with `<CMS>`; amounts in fen (banks/icbc.md)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from urllib.parse import parse_qs

from protocols.readback.paper import (
    PaidLine,
    Unreadable,
    after_head,
    cut,
    elements,
    leaf,
    minor,
    nothing_else,
    once,
    rows,
)


def paid_lines(data: bytes) -> Sequence[PaidLine]:
    """The payments of one message."""
    given = parse_qs(after_head(data).decode("ascii", "replace"), keep_blank_values=True).get("reqData", [])
    if len(given) != 1:
        raise Unreadable("reqData does not occur exactly once")
    try:
        signed = b64decode(given[0], validate=True)
    except ValueError:
        raise Unreadable("reqData is no Base64") from None
    root = elements(cut(signed, b"<CMS>", b"</CMS>"), "gb18030")
    code, content = leaf(root, "eb/pub/TransCode"), once(root, "eb/in")
    if code in ("PAYENT", "PAYPER"):
        found = [
            PaidLine(leaf(row, "PayAccNo"), leaf(row, "RecAccNo"), minor(leaf(row, "PayAmt")))
            for row in rows(content, "rd")
        ]
    elif code == "PERDIS":
        own = leaf(content, "RecAccNo")
        found = [PaidLine(leaf(row, "PayAccNo"), own, minor(leaf(row, "PayAmt"))) for row in rows(content, "rd")]
    else:
        raise Unreadable(f"code {code!r} is not known here")
    return nothing_else(root, ("PayAmt",), found)
