"""Electronic receipts (电子回单): DLEDDRSQ lists a day's, DLEDCDTD brings one as Base64 of a zip of PDFs.

A receipt belongs to the entry whose tranNo equals its transeqNo (reconstructed).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from protocols.bank import Context, Conversation
from protocols.banks.citic import requests
from protocols.banks.citic.requests import PAGE_LINES, Asked
from protocols.banks.citic.statement import Statements
from protocols.banks.citic.wire import rows
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit.archives import only_member
from protocols.kit.errors import CannotAsk, ProtocolError
from protocols.kit.fields import amount_minor, amount_text
from protocols.kit.paging import fingerprint
from protocols.kit.xmldoc import several, value, value_or

LATER_S: Final = 3600.0
_PAGES_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts of one enterprise's accounts."""

    statements: Statements

    def receipt(self, question: ReceiptQuestion, context: Context) -> Conversation[Receipt | ReceiptLater]:
        """The receipt of an entry; ReceiptLater if the bank lists none for it yet. Raises Declined on a status.

        The entry is found by the tranNo in `bank_line_id`; an amount narrows the list.
        """
        parts = question.bank_line_id.split("-")
        if len(parts) < 2:
            raise CannotAsk("a receipt is found by the entry's number (tranNo)")
        today = question.bank_date >= context.bank_date
        found = yield from self._find(question, parts[1], today=today)
        if found is None:
            return ReceiptLater(question.ticket or "asked", LATER_S)
        asked = Asked(
            account=question.account.clear,
            today=today,
            number=value(found, "bresqNo"),
            kind=value_or(found, "billType"),
        )
        wire = self.statements.wire
        answer = yield from wire.asked(requests.DLEDCDTD, asked, rows(requests.DLEDCDTD_ROW, [asked]))
        return _unpacked(self.statements.answered(answer, "DLEDCDTD").root)

    def _find(self, question: ReceiptQuestion, number: str, *, today: bool) -> Conversation[etree._Element | None]:
        """The only row of the day's list with this number. Raises "ambiguous" if there are two."""
        asked = Asked(
            account=question.account.clear,
            first=question.bank_date,
            last=question.bank_date,
            today=today,
            amount="" if question.amount is None else amount_text(question.amount.minor),
            kind=self.statements.options.receipt_type,
        )
        found: dict[str, etree._Element] = {}
        before = ""
        for _page in range(_PAGES_MOST):
            answer = yield from self.statements.wire.asked(requests.DLEDDRSQ, asked)
            if not self.statements.is_empty(answer, "DLEDDRSQ"):
                self.statements.answered(answer, "DLEDDRSQ")
            mark = fingerprint(*(etree.tostring(row, encoding="unicode") for row in answer.rows))
            if answer.rows and mark == before:
                raise ProtocolError("paging", "DLEDDRSQ tells the same page twice: the bank repeats its pages")
            before = mark
            for row in answer.rows:
                if value_or(row, "transeqNo") == number and _fits(row, question):
                    found[value(row, "bresqNo")] = row
            asked = replace(asked, begin=asked.begin + len(answer.rows))
            if len(answer.rows) < PAGE_LINES:
                break
        else:
            raise ProtocolError("paging", f"more than {_PAGES_MOST} pages of receipts of one day")
        if len(found) > 1:
            raise ProtocolError("ambiguous", f"{len(found)} receipts of one entry; ask with its amount")
        return next(iter(found.values()), None)


def _fits(row: etree._Element, question: ReceiptQuestion) -> bool:
    stated = value_or(row, "tranAmt")
    return question.amount is None or not stated or amount_minor(stated) == question.amount.minor


def _unpacked(root: etree._Element) -> Receipt:
    """The only PDF in the answer. Its elements may be below the root or in a row."""
    holders = [one for one in (root, *several(root, "list/row")) if one.find("fileConTent") is not None]
    if len(holders) != 1:
        raise ProtocolError("missing" if not holders else "ambiguous", f"{len(holders)} files for one receipt")
    try:
        data = base64.b64decode("".join(value(holders[0], "fileConTent").split()), validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("value", "the receipt's archive is not base64") from None
    return only_member(data)
