"""Payroll: RPAYOFFTRN, up to 300 own-bank cards of persons, asked after with RPAYOFFINQTRN.

A line has no room for our reference: it is known by its number, account and amount. Lines that fail are taken off
the total debit (banks/cib.md 4.7).
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from protocols.banks.cib.bundle import Form, Stated, Told
from protocols.banks.cib.fox import leaf
from protocols.banks.cib.options import PAYROLL_CODES, Options
from protocols.banks.cib.xferinfo import ACCOUNT_BYTES, account_from, amount
from protocols.canon.money import Money
from protocols.canon.order import Bundle, Item, PayrollItemDetail
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import digits
from protocols.kit.orders import required
from protocols.kit.xmldoc import Markup, el, first_of, several, value, value_or

PAYROLL_LINES: Final = 300
NAME_BYTES: Final = 20
WAGES: Final = "006"


def payroll_form(options: Options) -> Form:
    """The payroll message of this customer."""
    return Form(
        "payroll", "RPAYOFFTRN", PAYROLL_LINES, lambda bundle: _content(bundle, options), _told,
        "RPAYOFFINQTRN", lambda reference: el("XFERINQRQ", el("CLIENTREF", reference)),
    )  # fmt: skip


def _content(bundle: Bundle, options: Options) -> Markup:
    return el(
        "RPAYOFFRQ",
        el(
            "RPAYOFFINFO",
            account_from(bundle.items[0].order.debtor, options),
            leaf("TITLE", options.payroll_title, most=30),
            leaf("DESCRIPTION", _description(bundle)),
            leaf("TOTALCOUNT", str(len(bundle.items))),
            leaf("TOTALAMOUNT", str(Money(bundle.sum_minor))),
            el("RPAYOFFLIST", [_line(number, item) for number, item in enumerate(bundle.items, start=1)]),
        ),
    )


def _description(bundle: Bundle) -> str:
    """What is paid for, one code for the whole message; wages where the orders name none."""
    details = [item.order.detail for item in bundle.items]
    codes = {detail.purpose_code or WAGES for detail in details if isinstance(detail, PayrollItemDetail)}
    code = codes.pop() if len(codes) == 1 else ""
    if code not in PAYROLL_CODES:
        raise ProtocolError("value", f"a payroll has one purpose code, one of {', '.join(PAYROLL_CODES)}")
    return code


def _line(number: int, item: Item) -> Markup:
    party = item.order.creditor
    return el(
        "RPAYOFF",
        el("INDX", str(number)),
        leaf("ACCTNAME", required(party.name.clear, "payee's name"), most=NAME_BYTES),
        leaf("ACCTID", required(party.account.clear, "payee's account"), most=ACCOUNT_BYTES),
        el("TRNAMT", amount(item.order)),
    )


def _told(answer: etree._Element) -> Stated | None:
    info = first_of(answer, "RPAYOFFRS/RPAYOFFINFO", "RPAYOFFINQRS/RPAYOFFINFO", "XFERINQRS/RPAYOFFINFO", "RPAYOFFINFO")
    if info is None:
        return None
    lines = tuple(
        Told(
            digits(value(row, "INDX")),
            value_or(row, "ACCTID"),
            value_or(row, "TRNAMT"),
            value_or(row, "STATUS"),
            value_or(row, "ERRMSG"),
        )
        for row in several(info, "RPAYOFFLIST/RPAYOFF")
    )
    return Stated(info, lines, value_or(info, "ACCTFROM/ACCTID"))
