"""Reads 兴业 CIB's bytes back: `<FOX>` in an HTTP body; one operation below SECURITIES_MSGSRQV1 (banks/cib.md)."""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from protocols.readback.paper import PaidLine, Unreadable, after_head, amount, elements, leaf, nothing_else, once, rows

_SINGLE = {"XFERTRNRQ": "XFERRQ", "XPMTTRNRQ": "XMPTRQ", "ICTRANSFERTRNRQ": "XMPTRQ"}
_AMOUNTS = ("TRNAMT", "APPLYAMT", "XFERINFOTEXT")
_ACCOUNT_AT, _AMOUNT_AT, _CELLS = 1, 8, 11


def paid_lines(data: bytes) -> Sequence[PaidLine]:
    """The payments of one message."""
    root = elements(after_head(data), "gb18030")
    asked = list(once(root, "SECURITIES_MSGSRQV1"))
    if len(asked) != 1:
        raise Unreadable("the request asks more than one question")
    operation, name = asked[0], str(asked[0].tag)
    if name == "ASYNBATCHTRSFRTRNRQ":
        found = _text(once(operation, "RQBODY"))
        nothing_else(root, _AMOUNTS, found[:1])
        return found
    if name in _SINGLE:
        info = once(operation, f"{_SINGLE[name]}/XFERINFO")
        found = [_line(info, leaf(info, "ACCTFROM/ACCTID"))]
    elif name == "RBATCHTRSFRTRNRQ":
        body = once(operation, "RQBODY")
        own = leaf(body, "ACCTFROM/ACCTID")
        found = [_line(row, own) for row in rows(body, "XFERINFO")]
    elif name == "RPAYOFFTRNRQ":
        info = once(operation, "RPAYOFFRQ/RPAYOFFINFO")
        own = leaf(info, "ACCTFROM/ACCTID")
        lines = rows(info, "RPAYOFFLIST/RPAYOFF")
        found = [PaidLine(own, leaf(row, "ACCTID"), amount(leaf(row, "TRNAMT"))) for row in lines]
    elif name == "GATHERTRNRQ":
        info = once(operation, "GATHERRQ/GATHERINFO")
        own = leaf(info, "ACCTTO/ACCTID")
        found = [
            PaidLine(leaf(row, "ACCTFROM/ACCTID"), own, amount(leaf(row, "APPLYAMT"))) for row in rows(info, "PAYINFO")
        ]
    else:
        raise Unreadable(f"operation {name!r} is not known here")
    return nothing_else(root, _AMOUNTS, found)


def _line(node: etree._Element, own: str) -> PaidLine:
    return PaidLine(own, leaf(node, "ACCTTO/ACCTID"), amount(leaf(node, "TRNAMT")))


def _text(body: etree._Element) -> list[PaidLine]:
    """The lines of XFERINFOTEXT: number, account, name, bank, city, bank number, bank, address, amount, use, remark."""
    own, text = leaf(body, "ACCTFROM/ACCTID"), leaf(body, "XFERINFOTEXT")
    found = []
    for line in text.splitlines():
        cells = line.split("|")
        if len(cells) != _CELLS + 1 or cells[-1]:
            raise Unreadable("a line of XFERINFOTEXT does not have eleven cells")
        found.append(PaidLine(own, cells[_ACCOUNT_AT], amount(cells[_AMOUNT_AT])))
    return found
