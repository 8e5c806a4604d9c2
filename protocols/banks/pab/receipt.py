"""Electronic receipts of a batch's lines: 401802 gives the receipt's number and its check code (回单号, 校验码).

The bank gives no file here: number and code are the values that its own site asks for to show and print the receipt. In
the public material, a payment that was sent alone (4004) has no such receipt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.bank import Context, Conversation
from protocols.banks.pab import requests
from protocols.banks.pab.statement import Statements
from protocols.banks.pab.table import decline, has_no_rows
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit.errors import CannotAsk, ProtocolError
from protocols.kit.fields import amount_minor
from protocols.kit.xmldoc import value, value_or

LATER_S: Final = 3600.0
MEDIA_TYPE: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Receipts:
    """Asks for the receipts of one enterprise."""

    statements: Statements

    def receipt(self, question: ReceiptQuestion, context: Context) -> Conversation[Receipt | ReceiptLater]:
        """The receipt by 401802, with batch and line; ReceiptLater while the bank has no receipt. Raises Declined on
        any other code."""
        asked = _asked(question)
        answer = yield from self.statements.ask("401802", requests.request(requests.RECEIPT, asked), context)
        if has_no_rows(self.statements.meanings, "401802", answer):
            return ReceiptLater(question.ticket or "asked", LATER_S)
        if not answer.accepted or answer.body is None:
            decline(self.statements.meanings, "401802", answer)
        for tag, ours in requests.RECEIPT.texts(asked):
            stated = value_or(answer.body, tag)
            same = amount_minor(stated) == amount_minor(ours) if stated and tag == "TranAmount" else stated == ours
            if stated and not same:
                raise ProtocolError("correlation", f"401802: the receipt's {tag} is {stated!r}, not {ours!r}")
        number, code = value(answer.body, "CheckNo"), value(answer.body, "CheckCode")
        if not number or not code:
            return ReceiptLater(question.ticket or "asked", LATER_S)
        told = f"回单号 receipt number: {number}\n校验码 check code: {code}\n"
        return Receipt(told.encode(), MEDIA_TYPE, f"{number}.txt")


def _asked(question: ReceiptQuestion) -> requests.AskedReceipt:
    """The fields of a line that 401802 demands. Raises "missing" for a question without one of them."""
    if not question.bundle or not question.reference or question.creditor is None or question.amount is None:
        raise CannotAsk(
            "401802 tells the receipts of a batch's lines: ask by the payment's id, and for a payment that "
            "went to the bank in a batch"
        )
    name = "" if question.creditor_name is None else question.creditor_name.clear
    return requests.AskedReceipt(
        question.bundle,
        question.reference,
        question.account.clear,
        question.creditor.clear,
        name,
        question.amount.minor,
    )
