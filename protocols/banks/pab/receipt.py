"""Electronic receipts of a batch's lines: 401802 tells the receipt's number and its check code (回单号, 校验码).

The bank gives no file here: number and code are what its own site asks for to show and print the receipt. A payment
that went alone (4004) has no such receipt in the public material.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.bank import Context, Conversation
from protocols.banks.pab.statement import Statements
from protocols.banks.pab.table import decline, has_no_rows
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit.charset import GBK
from protocols.kit.errors import CannotAsk, ProtocolError
from protocols.kit.fields import amount_minor, amount_text
from protocols.kit.xmldoc import el, leaf, leaves, value, value_or

LATER_S: Final = 3600.0
MEDIA_TYPE: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Receipts:
    """Asks for the receipts of one enterprise."""

    statements: Statements

    def receipt(self, question: ReceiptQuestion, context: Context) -> Conversation[Receipt | ReceiptLater]:
        """401802 by batch and line; ReceiptLater while the bank knows none. Raises Declined on any other code."""
        fields = _asked(question)
        answer = yield from self.statements.ask("401802", el("Result", leaves(fields, GBK, leaf)), context)
        if has_no_rows(self.statements.meanings, "401802", answer):
            return ReceiptLater(question.ticket or "asked", LATER_S)
        if not answer.accepted or answer.body is None:
            decline(self.statements.meanings, "401802", answer)
        for tag, ours in fields:
            stated = value_or(answer.body, tag)
            same = amount_minor(stated) == amount_minor(ours) if stated and tag == "TranAmount" else stated == ours
            if stated and not same:
                raise ProtocolError("correlation", f"401802: the receipt's {tag} is {stated!r}, not {ours!r}")
        number, code = value(answer.body, "CheckNo"), value(answer.body, "CheckCode")
        if not number or not code:
            return ReceiptLater(question.ticket or "asked", LATER_S)
        told = f"回单号 receipt number: {number}\n校验码 check code: {code}\n"
        return Receipt(told.encode(), MEDIA_TYPE, f"{number}.txt")


def _asked(question: ReceiptQuestion) -> tuple[tuple[str, str], ...]:
    """What 401802 wants of a line. Raises "missing" for a question that does not name all of it."""
    if not question.bundle or not question.reference or question.creditor is None or question.amount is None:
        raise CannotAsk("401802 tells the receipts of a batch's lines: ask by the payment's id, and for a payment that "
                        "went to the bank in a batch")  # fmt: skip
    name = "" if question.creditor_name is None else question.creditor_name.clear
    return (
        ("ThirdVoucher", question.bundle),
        ("SThirdVoucher", question.reference),
        ("OutAcctNo", question.account.clear),
        ("InAcctNo", question.creditor.clear),
        ("InAcctName", name),
        ("TranAmount", amount_text(question.amount.minor)),
    )
