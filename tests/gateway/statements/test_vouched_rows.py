"""The columns of balances and entries that the vault's seal covers: columns that SQL changed move no money."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import select, update

from gateway.kernel.sql import schema
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Balance, Direction, Line
from tests.gateway.kernel.bench import Journal

ACCOUNT, HEADER = AccountNumber("0000000000000017"), AccountNumber("0000000000000018")


def test_the_time_of_a_balance_is_the_sealed_one(journal: Journal) -> None:
    told = Balance(ACCOUNT, Money(5), Money(5))
    journal.do(lambda tx: accounts.keep_balance(tx, "sample", told, "CNY"))
    before = journal.read(lambda conn: accounts.balance_of(conn, ACCOUNT.clear))
    journal.do(lambda tx: tx.raw.execute(update(schema.balances).values(seen_ms=2**43)))
    after = journal.read(lambda conn: accounts.balances_of(conn, [ACCOUNT.clear]))
    assert before is not None
    assert before.dated
    assert after == {ACCOUNT.clear: before}


def test_a_balance_of_before_its_time_was_sealed_is_not_dated(journal: Journal) -> None:
    index = journal.vault.blind(ACCOUNT.clear)
    body = journal.vault.seal(b'{"currency": "CNY", "book": 5, "available": 5}', accounts._aad(index))
    row = {"account_idx": index, "bank": "sample", "seen_ms": 7, "body": body}
    journal.do(lambda tx: tx.raw.execute(schema.balances.insert().values(row)))
    found = journal.read(lambda conn: accounts.balance_of(conn, ACCOUNT.clear))
    assert found is not None
    assert (found.seen_ms, found.dated) == (7, False)


def test_an_entry_vouches_for_its_own_columns_only(journal: Journal) -> None:
    line = Line(ACCOUNT, "L-1", Direction.CREDIT, Money(5), date(2026, 11, 2), counterparty_account=HEADER)
    journal.do(lambda tx: accounts.keep_entry(tx, "sample", line, ()))

    def party() -> Any:
        (row,) = journal.read(lambda conn: conn.execute(select(schema.statement_entries)).all())
        return accounts.vouched_detail(journal.vault, row).get("party")

    def put(column: str, value: Any) -> None:
        change = update(schema.statement_entries).values({column: value})
        journal.do(lambda tx: tx.raw.execute(change))

    (row,) = journal.read(lambda conn: conn.execute(select(schema.statement_entries)).all())
    assert party() == HEADER.clear
    for column, value in (("amount_minor", 6), ("seen_ms", 0), ("entry", "0" * 26), ("bank", "pab")):
        put(column, value)
        assert party() is None, column
        put(column, getattr(row, column))
    assert party() == HEADER.clear
