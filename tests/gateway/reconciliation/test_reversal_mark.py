"""An entry is a reversal for the matching by the bank's mark, with or without a word for it in its text."""

from __future__ import annotations

from datetime import date
from typing import cast

import pytest
from sqlalchemy import select

from gateway.kernel.core.policy import Route
from gateway.kernel.sql import schema
from gateway.reconciliation.rows.account_rows import line_row
from gateway.statements.rows import accounts
from protocols.canon.limits import Limits
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from tests.gateway.kernel.bench import Journal

ACCOUNT = "0000000000000017"
ROUTE = Route(ACCOUNT, "demo", "sample", "sample.main", "CNY", cast(Limits, None), frozenset(Kind))


@pytest.mark.parametrize(
    ("text", "marked", "reversal"),
    [("货款", True, True), ("货款", False, False), ("冲正 货款", False, True), ("", True, True)],
)
def test_a_reversal_is_known_by_its_mark(journal: Journal, text: str, marked: bool, reversal: bool) -> None:
    line = Line(
        AccountNumber(ACCOUNT), "L-1", Direction.CREDIT, Money(5), date(2026, 11, 2), text=text, reversal=marked
    )
    journal.do(lambda tx: accounts.keep_entry(tx, "sample", line, ()))
    row = journal.read(lambda conn: conn.execute(select(schema.statement_entries)).one())
    assert journal.read(lambda conn: line_row(conn, row, ROUTE))[0].reversal is reversal
