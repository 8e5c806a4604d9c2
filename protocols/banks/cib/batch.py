"""Batches: ASYNBATCHTRSFRTRN, lines with '|' in a text node, and RBATCHTRSFRTRN, lines as elements. 100 lines each.

A line's remark carries our reference, and comes back with it, unless the option `batch_remark` says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lxml import etree

from protocols.banks.cib.bundle import Form, Stated, Told
from protocols.banks.cib.fox import attribute, leaf, leaf_or_none
from protocols.banks.cib.options import Options
from protocols.banks.cib.xferinfo import (
    BANK_BYTES,
    NAME_BYTES,
    PURPOSE_BYTES,
    account_from,
    account_to,
    amount,
    destination,
    flag,
    payee_account,
)
from protocols.canon.money import Money
from protocols.canon.order import Bundle, Channel, Item
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import Delimited, digits
from protocols.kit.orders import required
from protocols.kit.xmldoc import Markup, cdata, el, maybe, several, text, value, value_or

BATCH_LINES: Final = 100
REMARK_BYTES: Final = 50
SENT: Final = Delimited(trailing=True, columns=11)
"""序号 收款账号 收款人名称 兴业 同城 行号 行名 地址 金额 用途 备注."""
_TOLD: Final = Delimited(trailing=True)
_TOLD_COLUMNS: Final = 13
"""What was sent, 处理状态 and 处理结果信息."""
_FORBIDDEN: Final = "<>&|\r\n"


def batch_form(options: Options) -> Form:
    """The batch message these options choose."""
    if options.batch == "realtime":
        return Form("batch", "RBATCHTRSFRTRN", BATCH_LINES, lambda bundle: _content(bundle, options), _told)
    return Form("batch", "ASYNBATCHTRSFRTRN", BATCH_LINES, lambda bundle: _text_content(bundle, options), _text_told)


def _head(bundle: Bundle, options: Options, default_type: str) -> list[Markup | None]:
    """What both have in common, in the bank's order; the optional elements are left out."""
    first = bundle.items[0].order
    purposes = {item.order.purpose for item in bundle.items}
    purpose = first.purpose if len(purposes) == 1 else options.batch_title
    return [
        leaf("TITLE", options.batch_title),
        account_from(first.debtor, options),
        leaf("BIZTYPE", options.batch_biztype or default_type),
        leaf("TOTALCOUNT", str(len(bundle.items))),
        leaf("TOTALAMOUNT", str(Money(bundle.sum_minor))),
        leaf("CURSYM", "RMB"),
        leaf("PURPOSE", required(purpose, "purpose"), most=options.max_purpose_bytes),
    ]


def _remark(item: Item, options: Options) -> str:
    return item.reference if options.batch_remark else ""


def _check_channel(item: Item) -> None:
    if item.order.channel not in (Channel.AUTO, Channel.SAME_BANK):
        raise ProtocolError("value", f"a batch line has no channel {item.order.channel.value}; use auto")


# ---- ASYNBATCHTRSFRTRN -----------------------------------------------------------------------------------------------


def _text_content(bundle: Bundle, options: Options) -> Markup:
    rows = [_row(number, item, options) for number, item in enumerate(bundle.items, start=1)]
    lines = el("XFERINFOTEXT", cdata(SENT.write(rows)), SIZE=str(len(rows)))
    return el("RQBODY", [one for one in _head(bundle, options, "1") if one is not None], lines)


def _row(number: int, item: Item, options: Options) -> Sequence[str]:
    _check_channel(item)
    order, where = item.order, destination(item.order, options)
    party = order.creditor
    return (
        str(number),
        payee_account(party),
        _cell("payee's name", required(party.name.clear, "payee's name"), NAME_BYTES),
        flag(where.own_bank),
        flag(where.local),
        _cell("payee bank's number", party.cnaps or "", 12),
        _cell("payee bank's name", party.bank_name or "", BANK_BYTES),
        _cell("payee's city", where.city, BANK_BYTES),
        amount(order),
        _cell("purpose", required(order.purpose, "purpose"), PURPOSE_BYTES),
        _cell("remark", _remark(item, options), REMARK_BYTES),
    )


def _cell(what: str, content: str, most: int) -> str:
    for position, char in enumerate(content):
        if char in _FORBIDDEN:
            raise ProtocolError("value", f"{what}: the bank refuses {char!r} at position {position} of a line")
    size = len(GBK.encode(content))
    if size > most:
        raise ProtocolError("value", f"{what} takes {most} bytes, not {size}")
    return content


def _text_told(answer: etree._Element) -> Stated | None:
    body = maybe(answer, "RSBODY")
    if body is None:
        return None
    lines = maybe(body, "XFERINFOTEXT")
    rows = [] if lines is None else _TOLD.read(text(lines))
    if lines is not None:
        _check_size(attribute(lines, "SIZE"), len(rows))
    return Stated(body, tuple(_told_row(row) for row in rows), value_or(body, "ACCTFROM/ACCTID"))


def _check_size(stated: str, count: int) -> None:
    if stated and digits(stated) != count:
        raise ProtocolError("value", f"the list says it has {stated} lines, it has {count}")


def _told_row(row: Sequence[str]) -> Told:
    """A line as it comes back. Only the bank's own words, which stand last, may hold a '|' or be left out.

    We send no '|' in a cell: one elsewhere moves account, amount or reference from their places, which is found out.
    """
    sent = SENT.columns
    assert sent is not None
    if len(row) < sent:
        raise ProtocolError("value", f"a line of {len(row)} fields, {sent} were sent")
    cells = [cell.strip() for cell in (*row, *("" for _ in range(_TOLD_COLUMNS - len(row))))]
    return Told(digits(cells[0]), cells[1], cells[8], cells[sent], "|".join(cells[sent + 1 :]), cells[10])


# ---- RBATCHTRSFRTRN --------------------------------------------------------------------------------------------------


def _content(bundle: Bundle, options: Options) -> Markup:
    lines = [_info(number, item, options) for number, item in enumerate(bundle.items, start=1)]
    return el("RQBODY", [one for one in _head(bundle, options, "0") if one is not None], lines)


def _info(number: int, item: Item, options: Options) -> Markup:
    _check_channel(item)
    return el(
        "XFERINFO",
        el("INDX", str(number)),
        account_to(item.order, options),
        el("TRNAMT", amount(item.order)),
        leaf("USE", required(item.order.purpose, "purpose"), most=PURPOSE_BYTES),
        leaf_or_none("REMARK", _remark(item, options), most=REMARK_BYTES),
    )


def _told(answer: etree._Element) -> Stated | None:
    body = maybe(answer, "RSBODY")
    if body is None:
        return None
    lines = tuple(
        Told(
            digits(value(row, "INDX")),
            value_or(row, "ACCTTO/ACCTID"),
            value_or(row, "TRNAMT"),
            value_or(row, "STATUS"),
            value_or(row, "ERRMSG"),
            value_or(row, "REMARK"),
        )
        for row in several(body, "XFERINFO")
    )
    return Stated(body, lines, value_or(body, "ACCTFROM/ACCTID"))
