"""What the commands of `ledger.*`, `reconciliation.*` and `report.*` need of the treasury. `app` brings it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import Connection

from gateway.journal.commit.store import Tx
from protocols.canon.errors import Refusal
from protocols.erp.treasury_replies import LedgerState
from protocols.erp.treasury_words import SubmitLedger, TreasuryQuestion, WithdrawLedger


class TreasuryPort(Protocol):
    """The treasury, as the broker's side of the gateway sees it."""

    def take_part(self, tx: Tx, sender: str, part: SubmitLedger, actor: str) -> LedgerState | Refusal:
        """Take one part of a book, once. The book stays `arriving`, also after its last part."""

    def withdraw(self, tx: Tx, sender: str, command: WithdrawLedger, actor: str) -> LedgerState | Refusal:
        """Take a book back."""

    def judge(self, conn: Connection, sender: str, part: SubmitLedger) -> object:
        """Add a book's rows up, on a reading connection: it takes seconds for 100,000 of them."""

    def close(
        self, tx: Tx, sender: str, part: SubmitLedger, judged: object, actor: str
    ) -> LedgerState | Refusal | None:
        """Put a judged book in force, or drop it. None: what it was judged by has changed, judge it again."""

    async def answer(self, sender: str, question: TreasuryQuestion) -> Mapping[str, Any] | Refusal:
        """The reply's body, or why there is none."""
