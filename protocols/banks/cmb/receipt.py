"""Electronic receipts (电子回单): SDKCSFDFBRT gives each receipt's number and its check code (打印实例号, 验证码).

This message gives no file: number and code are the values that the bank's own site asks for to show and print the
receipt. SDKCSFDFBRTIMG saves pictures on the front end's disk and returns nothing. The content of a receipt is in one
of some 40 interfaces, one for each sort, under the same number; number and code are in CSRRCFDFZ1, with the entry's
serial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.bank import Context, Conversation
from protocols.banks.cmb.requests import RECEIPT, AccountAsked, written
from protocols.banks.cmb.statement import Statements
from protocols.banks.cmb.wire import RENMINBI
from protocols.canon.money import Money
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor
from protocols.kit.walk import number_of
from protocols.kit.xmldoc import several, value, value_or

FUNCTION: Final = "SDKCSFDFBRT"
LATER_S: Final = 3600.0
MEDIA_TYPE: Final = "text/plain; charset=utf-8"
NOT_PRINTED, PRINTED = "1", "2"
"""RRCFLG: a receipt is in one of the two lists."""
_LIST: Final = "CSRRCFDFZ1"
_ACCOUNTS: Final = ("REGEAC", "ACCNBR", "EACNBR")
_AMOUNTS: Final = ("TRSAMT", "AMTTRS")


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts of one enterprise's accounts."""

    statements: Statements

    def receipt(self, question: ReceiptQuestion, context: Context) -> Conversation[Receipt | ReceiptLater]:
        """The receipt of an entry by its REFNBR, or of a payment by its reference in the receipt's text.

        ReceiptLater while the list does not have it. Raises Declined on a code.
        """
        _, _, serial = number_of(question.bank_line_id).partition("-")
        if not serial and not question.reference:
            raise ProtocolError("missing", "a receipt is found by the entry's number (REFNBR), or by the payment's id")
        options, account, days = self.statements.options, question.account.clear, (question.bank_date,) * 2
        for flag in (NOT_PRINTED, PRINTED):
            asked = AccountAsked(options, account, days, amount=question.amount, printed=flag)
            answer = yield from self.statements.ask(FUNCTION, written(RECEIPT, asked))
            found = _of(answer.root, serial, f"{options.payment_code}{question.reference}")
            if found is not None:
                return _told(answer.root, found, question)
        return ReceiptLater(question.ticket or "asked", LATER_S)


def _of(root: etree._Element, serial: str, says: str) -> etree._Element | None:
    """The only line of the list with this serial; without a serial, that of the receipt whose text is `says`. Raises
    "ambiguous"."""
    numbers = {value_or(one, "ISTNBR") for one in root.iterchildren() if value_or(one, "NARTX1") == says}
    tag, wanted = ("TRSSEQ", {serial}) if serial else ("ISTNBR", numbers)
    found = {value_or(one, "ISTNBR"): one for one in several(root, _LIST) if value_or(one, tag) in wanted}
    if len(found) > 1:
        raise ProtocolError("ambiguous", f"{len(found)} receipts of one entry; ask with its amount")
    return next(iter(found.values()), None)


def _told(root: etree._Element, line: etree._Element, question: ReceiptQuestion) -> Receipt:
    """The receipt's number, code and amount. Raises "correlation" if it is about another account or amount."""
    number, code = value(line, "ISTNBR"), value(line, "CHKCOD")
    if not number or not code:
        raise ProtocolError("missing", "a receipt without its number (ISTNBR) or its check code (CHKCOD)")
    told = [f"打印实例号 receipt number: {number}", f"验证码 check code: {code}"]
    for stated in root.iterchildren():
        if stated.tag == _LIST or value_or(stated, "ISTNBR") != number:
            continue
        if any(value_or(stated, tag) not in ("", question.account.clear) for tag in _ACCOUNTS):
            raise ProtocolError("correlation", f"{FUNCTION}: the receipt is of another account")
        if value_or(stated, "CCYNBR") not in ("", RENMINBI):
            raise ProtocolError("correlation", f"{FUNCTION}: the receipt is in another currency")
        for amount in (Money(amount_minor(text)) for tag in _AMOUNTS if (text := value_or(stated, tag))):
            if question.amount is not None and amount != question.amount:
                raise ProtocolError("correlation", f"{FUNCTION}: the receipt is of {amount}, not {question.amount}")
            told.append(f"金额 amount: {amount}")
    return Receipt("".join(f"{one}\n" for one in told).encode(), MEDIA_TYPE, f"{number}.txt")
