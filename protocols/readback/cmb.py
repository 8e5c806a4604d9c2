"""Reads 招行 CMB's bytes back: `<CMBSDKPGK>` behind eight bytes of length, in an HTTP body or field REQDATA
(banks/cmb.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from lxml import etree

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
_SINGLY: Final = {"DCPAYMNT": "DCOPDPAYX", "DCOPRTRF": "DCOPRTRFX"}
"""Functions whose lines name both accounts, with the element of a line."""
_AGENT_PAYS: Final = {"N03010": True, "N03020": True, "N03030": False}
"""BUSCOD of an AgentRequest: whether the own account pays."""


def paid_lines(data: bytes) -> Sequence[PaidLine]:
    """The payments of one message."""
    body = after_head(data) if data.startswith(b"POST ") else data
    if body.startswith(_FIELD):
        body = unquote_to_bytes(body[len(_FIELD) :].replace(b"+", b" "))
    root = elements(cut(body, b"<CMBSDKPGK>", b"</CMBSDKPGK>"), "gb18030")
    function = leaf(root, "INFO/FUNNAM")
    if function in _SINGLY:
        lines = rows(root, _SINGLY[function])
        found = [PaidLine(leaf(row, "DBTACC"), leaf(row, "CRTACC"), amount(leaf(row, "TRSAMT"))) for row in lines]
    elif function in ("NTAGCSAL", "NTAGCACL"):
        own = leaf(once(root, "NTAGCAGCX1"), "ACCNBR")
        found = _of_one_account(own, rows(root, "NTAGCDTLY1"), pays=function == "NTAGCSAL")
    elif function == "AgentRequest":
        head = once(root, "SDKATSRQX")
        kind = leaf(head, "BUSCOD")
        if kind not in _AGENT_PAYS:
            raise Unreadable(f"business {kind!r} is not known here")
        found = _of_one_account(leaf(head, "DBTACC"), rows(root, "SDKATDRQX"), pays=_AGENT_PAYS[kind])
    else:
        raise Unreadable(f"function {function!r} is not known here")
    return nothing_else(root, ("TRSAMT",), found)


def _of_one_account(own: str, lines: Sequence[etree._Element], *, pays: bool) -> list[PaidLine]:
    """The lines of a message whose head names the own account: it pays them, or is paid by them."""
    others = [(leaf(row, "ACCNBR"), amount(leaf(row, "TRSAMT"))) for row in lines]
    return [PaidLine(own, other, money) if pays else PaidLine(other, own, money) for other, money in others]
