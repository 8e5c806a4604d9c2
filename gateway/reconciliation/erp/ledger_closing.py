"""Answers the last part of a book: its rows are added up outside of any unit, then the book comes into force or is
dropped.
"""

from __future__ import annotations

from gateway.kernel.commit.rows import QuestionRow
from gateway.kernel.commit.store import Tx
from gateway.payments.erp.envelope import answer_row
from gateway.payments.rows import events
from gateway.reconciliation.erp.treasury_port import TreasuryPort
from gateway.statements.erp.question_context import QuestionContext
from gateway.statements.rows import questions
from protocols.canon.errors import Code, Refusal
from protocols.erp import replies
from protocols.erp.treasury_replies import LedgerState, ledger_closed, ledger_result
from protocols.erp.treasury_words import SubmitLedger
from protocols.erp.words import CommandType

LOOKS = 20
"""How often a book is judged again because another book came into force meanwhile."""


class LedgerClosing:
    """Closes whole books. The reply, the events and the book's state are one unit."""

    def __init__(self, context: QuestionContext, treasury: TreasuryPort) -> None:
        self._context = context
        self._treasury = treasury

    async def answer(self, row: QuestionRow, part: SubmitLedger) -> None:
        """Judge the book and close it. Repeat both if other books came into force between the judgement and the
        close."""
        store, treasury = self._context.store, self._treasury
        for _ in range(LOOKS):
            judged = await store.read(lambda conn: treasury.judge(conn, row.sender, part))

            def close_book(tx: Tx, judged: object = judged) -> bool:
                said = treasury.close(tx, row.sender, part, judged, f"sender:{row.sender}")
                if said is None:
                    return False
                self._tell(tx, row, part, said)
                return True

            if await store.write(close_book):
                return
        busy = Refusal(Code.INTERNAL, "the account's books changed again and again; send the last part again")
        await store.write(lambda tx: self._tell(tx, row, part, busy))

    def _tell(self, tx: Tx, row: QuestionRow, part: SubmitLedger, said: LedgerState | Refusal) -> None:
        route = self._context.registry.route_of(part.head.account.clear)
        bank = "none" if route is None else route.bank
        if isinstance(said, Refusal):
            name, body = replies.COMMAND_REJECTED, replies.rejection(CommandType.LEDGER_SUBMIT, part.id, said)
        else:
            name, body = replies.LEDGER_RESULT, ledger_result(said)
        answered = questions.answer(tx, row.question, answer_row(tx, row.reply, name, body, row.sender, bank))
        if answered and not isinstance(said, Refusal) and said.closed_now:
            for sender in self._context.registry.hearers(part.head.account.clear):
                events.tell(tx, ledger_closed(said, sender, row.sender, bank, tx.now_ms), bank, sender)
