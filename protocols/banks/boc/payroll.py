"""Payroll (快捷代发, b2e0078): one line a message, because no public page says what asks about a line of many.

The message's insid is then the line's, and b2e0007 tells what became of it (banks/boc.md 2.6, 2.7). Elements and their
order are those of a message that a public client logged.
"""

from __future__ import annotations

import re
from typing import Final

from protocols.bank import Context
from protocols.banks.boc.options import Options
from protocols.banks.boc.wire import Wire, fields
from protocols.canon.order import AnyOrder, Channel, PayrollItemDetail
from protocols.canon.party import Party
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_text, date_text
from protocols.kit.orders import fitting
from protocols.kit.xmldoc import Markup, el

PAYROLL: Final = "b2e0078"
OWN, OTHER = "7", "6"
"""crdtyp: accounts at this bank, whose toibkn is a province, and at others, whose toibkn has 12 digits."""
TEXT_BYTES: Final = 80
NAME_BYTES: Final = 70
ACCOUNT_CHARS: Final = 35
_USAGE = re.compile("[0-9A-Z]{1,4}", re.ASCII)


def province_of(payee: Party, options: Options) -> str:
    """toibkn of an account at this bank: the province that its name says, else the settings' own; "" for none."""
    name = payee.bank_name or ""
    named = [code for text, code in options.payroll_provinces.items() if text in name]
    return named[0] if named else options.payroll_province


def _banks_here(order: AnyOrder, options: Options) -> bool:
    """A line that names no bank is paid to an account at this one."""
    name = order.creditor.bank_name or ""
    nameless = not name and not order.creditor.cnaps
    return order.channel is Channel.SAME_BANK or nameless or any(own in name for own in options.own_names)


def payroll_row(order: AnyOrder, insid: str, context: Context, wire: Wire) -> Markup:
    """The <b2e0078-rq> of one line. Raises "value" or "missing" for what its form does not carry."""
    options, payee = wire.options, order.creditor
    assert isinstance(order.detail, PayrollItemDetail)
    usage = order.detail.purpose_code or options.payroll_usage
    if not _USAGE.fullmatch(usage):
        raise ProtocolError("value", f"{usage!r} is no usage code of b2e0078, such as G8")
    here = _banks_here(order, options)
    number = province_of(payee, options) if here else payee.cnaps or ""
    if not number:
        raise ProtocolError("missing", "a payroll line at boc needs the payee's province (payroll_provinces, "
                                       "payroll_province), or another bank's 12-digit number")  # fmt: skip
    amount = amount_text(order.amount.minor)
    payer = (("fribkn", wire.branch(order.debtor.account)),
             ("actacn", fitting(order.debtor.account.clear, "actacn", ACCOUNT_CHARS)),
             ("actnam", fitting(order.debtor.name.clear, "actnam", NAME_BYTES)))  # fmt: skip
    line = (
        ("toibkn", number), ("tobank", fitting(payee.bank_name or "", "tobank", NAME_BYTES, min_bytes=0)),
        ("toactn", fitting(payee.account.clear, "toactn", ACCOUNT_CHARS)), ("pydcur", options.currency),
        ("pydamt", amount), ("toname", fitting(payee.name.clear, "toname", NAME_BYTES)), ("toidtp", ""), ("toidet", ""),
        ("furinfo", ""), ("purpose", ""), ("reserve1", ""), ("reserve2", ""), ("reserve3", ""), ("reserve4", ""),
    )  # fmt: skip
    return Markup("".join((
        *fields((("insid", insid),)), el("fractn", fields(payer)),
        *fields((
            ("pybcur", options.currency), ("pybamt", amount), ("pybnum", "1"), ("crdtyp", OWN if here else OTHER),
            ("furinfo", usage), ("useinf", fitting(order.purpose, "useinf", TEXT_BYTES, min_bytes=0)),
            ("trfdate", date_text(context.bank_date)),
        )),
        el("detail", fields(line)),
    )))  # fmt: skip
