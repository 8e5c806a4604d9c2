"""The port through which the commands of `ledger.*`, `reconciliation.*` and `report.*` reach the treasury. `app` wires
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import Connection

from gateway.kernel.commit.store import Tx
from protocols.canon.errors import Refusal
from protocols.erp.treasury_replies import LedgerState
from protocols.erp.treasury_words import SubmitLedger, TreasuryQuestion, WithdrawLedger


class TreasuryPort(Protocol):
    """The operations of reconciliation and reports that commands from the broker need."""

    def take_part(self, tx: Tx, sender: str, part: SubmitLedger, actor: str) -> LedgerState | Refusal:
        """Take one part of a book, once. The book stays `arriving`, also after its last part."""

    def withdraw(self, tx: Tx, sender: str, command: WithdrawLedger, actor: str) -> LedgerState | Refusal:
        """Withdraw a book of this sender."""

    def judge(self, conn: Connection, sender: str, part: SubmitLedger) -> object:
        """Check a book's totals by adding up its rows. This needs a reading connection, because 100,000 rows take
        seconds."""

    def close(
        self, tx: Tx, sender: str, part: SubmitLedger, judged: object, actor: str
    ) -> LedgerState | Refusal | None:
        """Put a judged book in force, or drop it. None: the basis of the judgement has changed, so judge it again."""

    async def answer(self, sender: str, question: TreasuryQuestion) -> Mapping[str, Any] | Refusal:
        """The reply's body, or the reason why there is none."""
