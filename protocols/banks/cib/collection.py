"""Collections: GATHERTRN (托收), money from others under their contract; the same operation without content asks.

Here only where the options name FIRMCODE and BIZCODE, which the bank gives out.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from protocols.banks.cib.bundle import Form, Stated, Told
from protocols.banks.cib.fox import leaf, leaf_or_none
from protocols.banks.cib.options import Options
from protocols.banks.cib.xferinfo import (
    ACCOUNT_BYTES,
    BANK_BYTES,
    NAME_BYTES,
    amount,
    is_own,
    payee_account,
)
from protocols.canon.order import Bundle, CollectionDetail, Item
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import digits
from protocols.kit.orders import required
from protocols.kit.xmldoc import Markup, el, first_of, several, value, value_or

CONTRACT_BYTES: Final = 60
PURPOSE_BYTES: Final = 30


def collection_form(options: Options) -> Form:
    """The collection message of this customer."""
    return Form("collection", "GATHERTRN", options.collection_lines, lambda bundle: _content(bundle, options), _told)


def _content(bundle: Bundle, options: Options) -> Markup:
    ours = bundle.items[0].order.creditor
    own = required(ours.account.clear, "own account")
    return el(
        "GATHERRQ",
        el(
            "GATHERINFO",
            el("ACCTTO", leaf("ACCTID", own, most=ACCOUNT_BYTES)),
            leaf("FIRMCODE", required(options.firm_code, "option firm_code")),
            leaf("BIZCODE", required(options.collection_code, "option collection_code")),
            leaf("LIMITDAYS", str(options.collection_days)),
            leaf("TITLE", options.batch_title),
            leaf_or_none("TRNTYPE", options.collection_type),
            [_line(number, item, options) for number, item in enumerate(bundle.items, start=1)],
        ),
    )


def _line(number: int, item: Item, options: Options) -> Markup:
    order, detail = item.order, item.order.detail
    if not isinstance(detail, CollectionDetail):
        raise ProtocolError("value", "a collection needs the payer's contract")
    payer, inside = order.debtor, is_own(order.debtor, options)
    if not inside:
        required(payer.bank_name or "", "payer bank's name")
        required(payer.cnaps or "", "payer bank's number")
    return el(
        "PAYINFO",
        el("INDX", str(number)),
        leaf("CONTRACTID", required(detail.agreement, "payer's contract"), most=CONTRACT_BYTES),
        el(
            "ACCTFROM",
            leaf("ACCTID", payee_account(payer)),
            leaf("NAME", required(payer.name.clear, "payer's name"), most=NAME_BYTES),
            leaf_or_none("BANKDESC", payer.bank_name or "", most=BANK_BYTES),
            leaf_or_none("BANKNUM", payer.cnaps or "", most=12),
        ),
        el("PAYMODE", "0" if inside else "1"),
        el("APPLYAMT", amount(order)),
        leaf_or_none("PURPOSE", order.purpose, most=PURPOSE_BYTES),
    )


def _told(answer: etree._Element) -> Stated | None:
    info = first_of(answer, "GATHERRS/GATHERINFO", "GATHERRS")
    if info is None:
        return None
    lines = tuple(
        Told(
            digits(value(row, "INDX")),
            value_or(row, "ACCTFROM/ACCTID"),
            value_or(row, "APPLYAMT"),
            value_or(row, "RESULT"),
            value_or(row, "MSG"),
            paid=value_or(row, "PAYAMT"),
        )
        for row in several(info, "PAYINFO")
    )
    return Stated(info, lines, value_or(info, "ACCTTO/ACCTID"))
