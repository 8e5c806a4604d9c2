"""Electronic receipts (电子回单): DLEDDRSQ lists a day's, DLEDCDTD brings one as Base64 of a zip of PDFs.

Which receipt belongs to an entry: its transeqNo is taken to be the entry's tranNo (reconstructed).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, Conversation
from protocols.banks.citic.statement import MOST, Statements
from protocols.banks.citic.wire import rows
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit.archives import only_member
from protocols.kit.errors import CannotAsk, ProtocolError
from protocols.kit.fields import amount_minor, amount_text, date_text
from protocols.kit.paging import fingerprint
from protocols.kit.xmldoc import several, value, value_or

LATER_S: Final = 3600.0
PAGE_LINES: Final = 20
_PAGES_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts of one enterprise's accounts."""

    statements: Statements

    def receipt(self, question: ReceiptQuestion, context: Context) -> Conversation[Receipt | ReceiptLater]:
        """The receipt of an entry; ReceiptLater while the bank lists none for it. Raises Declined on a status.

        The entry is found by the tranNo in `bank_line_id`; an amount narrows the list.
        """
        parts = question.bank_line_id.split("-")
        if len(parts) < 2:
            raise CannotAsk("a receipt is found by the entry's number (tranNo)")
        today = question.bank_date >= context.bank_date
        found = yield from self._find(question, parts[1], today=today)
        if found is None:
            return ReceiptLater(question.ticket or "asked", LATER_S)
        account = question.account.clear
        wanted = (("brSeqNo", value(found, "bresqNo")), ("billType", value_or(found, "billType")))
        head = (("isCurrDay", "1" if today else "2"), ("accNo", account))
        wire = self.statements.wire
        answer = wire.read((yield Ask("business", wire.message("DLEDCDTD", head, rows([wanted])))), "DLEDCDTD")
        return _unpacked(self.statements.answered(answer, "DLEDCDTD").root)

    def _find(self, question: ReceiptQuestion, number: str, *, today: bool) -> Conversation[etree._Element | None]:
        """The one row of the day's list with this number. Raises "ambiguous" on two."""
        amount = "" if question.amount is None else amount_text(question.amount.minor)
        day, begin = date_text(question.bank_date), 1
        found: dict[str, etree._Element] = {}
        before = ""
        for _page in range(_PAGES_MOST):
            answer = yield from self.statements.asked("DLEDDRSQ", (
                ("qryType", "1" if today else "2"), ("accNo", question.account.clear),
                ("billType", self.statements.options.receipt_type), ("minAmt", amount or "0.00"),
                ("maxAmt", amount or MOST), ("startDate", day), ("endDate", day), ("pageSize", str(PAGE_LINES)),
                ("startNo", str(begin)),
            ))  # fmt: skip
            if not self.statements.is_empty(answer):
                self.statements.answered(answer, "DLEDDRSQ")
            mark = fingerprint(*(etree.tostring(row, encoding="unicode") for row in answer.rows))
            if answer.rows and mark == before:
                raise ProtocolError("paging", "DLEDDRSQ tells the same page twice: the bank goes round")
            before = mark
            for row in answer.rows:
                if value_or(row, "transeqNo") == number and _fits(row, question):
                    found[value(row, "bresqNo")] = row
            begin += len(answer.rows)
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
    """The one PDF in the answer, whether its elements stand below the root or in a row."""
    holders = [one for one in (root, *several(root, "list/row")) if one.find("fileConTent") is not None]
    if len(holders) != 1:
        raise ProtocolError("missing" if not holders else "ambiguous", f"{len(holders)} files for one receipt")
    try:
        data = base64.b64decode("".join(value(holders[0], "fileConTent").split()), validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("value", "the receipt's archive is not base64") from None
    return only_member(data)
