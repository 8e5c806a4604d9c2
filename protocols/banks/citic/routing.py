"""The way of a payment: at this bank or to another, by which rail, and by whose 12-digit number (banks/citic.md 5)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time
from typing import Final

from protocols.banks.citic.options import Options
from protocols.canon.order import AnyOrder, Channel, Urgency
from protocols.kit.china import BEIJING
from protocols.kit.errors import ProtocolError

HEAD_OFFICES: Final[Mapping[str, str]] = {
    "工商银行": "102100099996",
    "农业银行": "103100000026",
    "中国银行": "104100000004",
    "建设银行": "105100000017",
    "交通银行": "301290000007",
    "招商银行": "308584000013",
    "平安银行": "307584007998",
    "浦东发展银行": "310290000013",
    "浦发银行": "310290000013",
    "兴业银行": "309391000011",
    "民生银行": "305100000013",
    "光大银行": "303100000006",
    "邮政储蓄银行": "403100000004",
    "广发银行": "306581000003",
}
"""The head offices' numbers in the bank's manual, for payees whose branch has none in the order."""
_OTHERS: Final = tuple(sorted({number[:3] for number in HEAD_OFFICES.values()}))
"""How the numbers of other banks begin: the first three digits name the bank."""
_OPENS, _CLOSES, _SATURDAY = time(9), time(17), 5


def same_bank(order: AnyOrder, options: Options) -> bool:
    """Whether the other side banks here too. If its bank's number is another bank's, the number decides, not the name.

    Our own numbers are not on the bank's page. Without `own_cnaps`, only the numbers of banks that are on the page
    decide.
    """
    if order.channel is Channel.SAME_BANK:
        return True
    bank, number = order.theirs.bank_name or "", order.theirs.cnaps or ""
    if number and options.own_cnaps:
        return number.startswith(options.own_cnaps)
    return not number.startswith(_OTHERS) and any(own in bank for own in options.own_names)


def rail(order: AnyOrder, options: Options, now: datetime, *, night: bool = True) -> str:
    """payType of a payment to another bank: 02 大额, 03 小额, B5 大额夜间.

    02 is open on working days from 9:00 to 17:00: Monday to Friday except `holidays`. Outside these hours, an order
    without a stated rail uses 03. Raises "value" for a large-value order that no rail can carry now; nothing was sent.
    """
    limit = options.large_value_from_minor
    by_amount = limit is not None and order.amount.minor >= limit
    wanted = order.channel is Channel.LARGE_VALUE
    if order.channel not in (Channel.AUTO, Channel.LARGE_VALUE, Channel.SMALL_VALUE):
        raise ProtocolError("value", f"citic has no {order.channel.value} channel here; use auto")
    if order.channel is Channel.SMALL_VALUE or not (wanted or by_amount or order.urgency is Urgency.URGENT):
        return "03"
    local = now.astimezone(BEIJING)
    works = local.weekday() < _SATURDAY and local.date().isoformat() not in options.holidays
    if works and _OPENS <= local.time() < _CLOSES:
        return "02"
    if night and options.night:
        return "B5"
    if wanted or by_amount:
        raise ProtocolError("value", "large-value payments go on working days from 9:00 to 17:00")
    return "03"


def bank_code(order: AnyOrder) -> str:
    """recOpenBankCode of a payment to another bank: the number in the order, else that of the head office.

    Raises "missing" if there is none, because without a number, orders by 02 and 03 are handled by people at the bank's
    counter.
    """
    bank = order.creditor.bank_name or ""
    found = order.creditor.cnaps or next((HEAD_OFFICES[one] for one in HEAD_OFFICES if one in bank), "")
    if not found:
        raise ProtocolError("missing", "citic needs the payee bank's 12-digit number")
    return found
