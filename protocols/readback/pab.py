"""Reads 平安 PAB's bytes back: a header of 222 bytes with code and charset, then `<Result>` (banks/pab.md 1, 2, 4)."""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from protocols.readback.paper import PaidLine, Unreadable, amount, elements, leaf, nothing_else, rows

_HEADER_BYTES = 222
_CHARSETS = {b"01": "gb18030", b"02": "utf-8"}
_SINGLE = {"4004": "OutAcctNo", "400401": "OutAcctNo", "KHKF03": "AcctNo"}


def paid_lines(data: bytes) -> Sequence[PaidLine]:
    """The payments of one message."""
    at = data.find(b"A001")
    header = data[at : at + _HEADER_BYTES]
    if at < 0 or len(header) < _HEADER_BYTES or header[6:8] not in _CHARSETS:
        raise Unreadable("it has no header of 222 bytes in a charset that is known here")
    code = header[40:46].decode("ascii", "replace").strip()
    root = elements(data[at + _HEADER_BYTES :], _CHARSETS[header[6:8]])
    for stated in root.iter("CcyCode", "Currency"):
        if stated.text != "RMB":
            raise Unreadable("its currency is not RMB")
    if code in _SINGLE:
        line = PaidLine(leaf(root, _SINGLE[code]), leaf(root, "InAcctNo"), amount(leaf(root, "TranAmount")))
        return nothing_else(root, ("TranAmount", "Amount"), [line])
    if code in ("4014", "4018"):
        own = None if code == "4014" else leaf(root, "OutAcctNo")
        found = [
            PaidLine(own or leaf(row, "OutAcctNo"), leaf(row, "InAcctNo"), amount(leaf(row, "TranAmount")))
            for row in rows(root, f"HOResultSet{code}R")
        ]
        return nothing_else(root, ("TranAmount", "Amount"), found)
    if code == "4047":
        return nothing_else(root, ("TranAmount", "Amount"), _agency(root))
    if code == "4052":
        return nothing_else(root, ("TranAmount", "Amount"), [_sweep(root)])
    raise Unreadable(f"code {code!r} is not known here")


def _agency(root: etree._Element) -> list[PaidLine]:
    own, pays = leaf(root, "SrcAccNo"), leaf(root, "PayType")
    if pays not in ("0", "1"):
        raise Unreadable("PayType is neither 0 nor 1")
    found = []
    for row in rows(root, "HOResultSet4047R"):
        other, money = leaf(row, "OppAccNo"), amount(leaf(row, "Amount"))
        found.append(PaidLine(own, other, money) if pays == "1" else PaidLine(other, own, money))
    return found


def _sweep(root: etree._Element) -> PaidLine:
    upper, lower, way = leaf(root, "AcctNo"), leaf(root, "subAccountNo"), leaf(root, "guiJiType")
    if way not in ("1", "2"):
        raise Unreadable("guiJiType is neither 1 nor 2")
    debtor, payee = (lower, upper) if way == "1" else (upper, lower)
    return PaidLine(debtor, payee, amount(leaf(root, "Amount")))
