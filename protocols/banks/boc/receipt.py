"""Electronic receipts (b2e0500): the bank answers with the name of a file in the front end's folder.

How that file is fetched is not public. It is fetched from `receipt_path`; without that option there are no receipts
(banks/boc.md 2.8). The answer's elements are those of a public client.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from protocols.bank import Ask, Context, Conversation
from protocols.banks.boc.requests import OwnAccount, WrittenReceipt, receipt_row
from protocols.banks.boc.statement import Statements
from protocols.banks.boc.wire import status_of
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit import http
from protocols.kit.archives import only_pdf
from protocols.kit.declined import Declined
from protocols.kit.errors import CannotAsk, ProtocolError
from protocols.kit.fields import amount_text
from protocols.kit.xmldoc import value

CODE: Final = "b2e0500"
LATER_S: Final = 3600.0
_FILE = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts of one customer's accounts."""

    statements: Statements

    def receipt(self, question: ReceiptQuestion, context: Context) -> Conversation[Receipt | ReceiptLater]:
        """The receipt of an entry, asked for by account, day and amount; ReceiptLater while the bank has none.

        Raises "missing" without an amount, "ambiguous" if the file has several receipts, Declined on a code.
        """
        wire, amount = self.statements.wire, question.amount
        if amount is None:
            raise CannotAsk("a receipt at boc is asked for by its entry's amount")
        own = OwnAccount(question.account, wire.options)
        wanted = WrittenReceipt(amount_text(amount.minor), question.bank_date, wire.number(context)[-12:], wire.options)
        asked = receipt_row(own, wanted)
        answer = yield from self.statements.asked(CODE, context, asked)
        if not answer.status.done or not answer.rows:
            return ReceiptLater(question.ticket or "asked", LATER_S)
        if len(answer.rows) > 1:
            raise ProtocolError("ambiguous", f"{len(answer.rows)} rows about one receipt")
        status = status_of(answer.rows[0])
        if not status.done:
            raise Declined(CODE, status.code, status.text, None)
        name = value(answer.rows[0], "filename")
        if not _FILE.fullmatch(name):
            raise ProtocolError("value", "a file name that cannot stand in a path")
        path = wire.options.receipt_path.replace("{filename}", name)
        fetched = yield Ask("business", http.request("GET", path, wire.options.http_host, (("Connection", "close"),)))
        return only_pdf(http.expect_status(http.parse_answer(fetched)), name)
