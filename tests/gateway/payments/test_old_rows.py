"""Retention of rows that nothing else depends on, table by table."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import BigInteger, Table, insert, select

from gateway.kernel.clock import ulid_from
from gateway.kernel.commit import audit
from gateway.kernel.retention_clock import BELIEVED_FROM_MS
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import SealedBytes
from gateway.payments.rows import old_rows
from gateway.payments.rows.old_rows import OldRows
from tests.gateway.kernel.bench import NOW_MS, Journal
from tests.house import ROOT

DAY_MS = 86_400_000
OLD_MS, YOUNG_MS, BEFORE_MS = NOW_MS - 500 * DAY_MS, NOW_MS - 300 * DAY_MS, NOW_MS - 400 * DAY_MS
PAGE = ROOT / "docs" / "do" / "operate.md"


def day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


def put(journal: Journal, table: Table, **given: Any) -> None:
    """Insert a row in which only the given columns matter."""
    row = {
        column.name: None
        if column.nullable
        else b"?"
        if isinstance(column.type, SealedBytes)
        else 0
        if isinstance(column.type, BigInteger)
        else "x"
        for column in table.columns
    }
    with journal.stranger() as conn:
        conn.execute(insert(table), {**row, **given})


def ids(journal: Journal, rows: OldRows, name: str) -> list[Any]:
    return journal.read(lambda conn: list(conn.execute(select(rows.table.c[name]).order_by(name)).scalars()))


def forget(journal: Journal, rows: OldRows, most: int = 100) -> int:
    return journal.do(lambda tx: rows.forget(tx, BEFORE_MS, most))


# Each table with the column that names a row, and how the row of a moment is written.
PLAIN: list[Any] = [
    (old_rows.MESSAGES, lambda ms, n: {"message_id": n, "state": "sent", "created_ms": ms}),
    (old_rows.ENTRIES, lambda ms, n: {"entry": ulid_from(ms)[:-1] + n, "line": n}),
    (old_rows.JOBS, lambda ms, n: {"job": n, "business_date": day(ms), "started_ms": ms}),
    (old_rows.USAGE, lambda ms, n: {"sender": n, "day": day(ms)}),
    (old_rows.BOOKS, lambda ms, n: {"book": n, "first_day": day(ms), "last_day": day(ms), "at_ms": ms}),
    (old_rows.BOOK_ROWS, lambda ms, n: {"book": n, "day": day(ms)}),
    (old_rows.DECISIONS, lambda ms, n: {"decision": n, "at_ms": ms}),
    (old_rows.BALANCE_TABLES, lambda ms, n: {"account_idx": n, "month": day(ms)[:7], "at_ms": ms}),
    (old_rows.PROPOSALS, lambda ms, n: {"proposal": n, "made_ms": ms, "expires_ms": ms}),
    (old_rows.DELEGATIONS, lambda ms, n: {"delegation": n, "until_ms": ms}),
]


@pytest.mark.parametrize(("rows", "row"), PLAIN, ids=[rows.table.name for rows, _row in PLAIN])
def test_what_is_old_goes_in_pieces_and_the_rest_stays(journal: Journal, rows: OldRows, row: Any) -> None:
    name = next(iter(row(OLD_MS, "A")))
    for ms, n in ((OLD_MS, "A"), (OLD_MS + DAY_MS, "B"), (OLD_MS + 2 * DAY_MS, "C"), (YOUNG_MS, "D")):
        put(journal, rows.table, **row(ms, n))
    assert journal.read(lambda conn: (rows.due(conn, BEFORE_MS, 2), rows.due(conn, BEFORE_MS, 9))) == (2, 3)
    assert [forget(journal, rows, 2), forget(journal, rows, 2), forget(journal, rows, 2)] == [2, 1, 0]
    assert [str(one)[-1] for one in ids(journal, rows, name)] == ["D"]
    trail = journal.read(lambda conn: audit.entries_of(conn, journal.vault, f"table:{rows.table.name}"))
    assert [(one.entry, one.detail["rows"]) for one in trail] == [(old_rows.ENTRY, 2), (old_rows.ENTRY, 1)]


@pytest.mark.parametrize(
    ("rows", "row"),
    [one for one in PLAIN if one[0] not in (old_rows.USAGE, old_rows.BOOK_ROWS)],
    ids=lambda one: one.table.name if isinstance(one, OldRows) else "",
)
def test_what_a_clock_without_its_battery_dated_is_not_old(journal: Journal, rows: OldRows, row: Any) -> None:
    put(journal, rows.table, **row(BELIEVED_FROM_MS - DAY_MS, "A"))
    assert forget(journal, rows) == 0 and journal.count(rows.table) == 1


@pytest.mark.parametrize("kept", [{"state": "waiting"}, {"state": "parked"}, {"payment": "P"}, {"message_id": "copy"}])
def test_a_message_of_a_payment_or_refusal_or_one_not_sent_stays(journal: Journal, kept: dict[str, str]) -> None:
    put(journal, schema.refusals, refusal="r", parked="copy")
    put(journal, schema.outbox, **{"message_id": "m", "state": "sent", "created_ms": OLD_MS, **kept})
    assert forget(journal, old_rows.MESSAGES) == 0 and journal.count(schema.outbox) == 1


def test_the_last_closed_day_of_an_account_stays(journal: Journal) -> None:
    for account, ms in (("a", OLD_MS), ("a", OLD_MS + DAY_MS), ("b", OLD_MS), ("b", YOUNG_MS)):
        put(journal, schema.statement_days, account_idx=account, day=day(ms), at_ms=ms)
    assert forget(journal, old_rows.DAYS) == 2
    assert ids(journal, old_rows.DAYS, "day") == [day(OLD_MS + DAY_MS), day(YOUNG_MS)]


def test_a_book_goes_whole_and_one_that_reaches_into_the_time_that_is_kept_stays_whole(journal: Journal) -> None:
    for book, first_ms, last_ms in (("A", OLD_MS, OLD_MS + DAY_MS), ("B", OLD_MS + 2 * DAY_MS, YOUNG_MS)):
        put(
            journal,
            schema.books,
            book=book,
            account_idx="a",
            first_day=day(first_ms),
            last_day=day(last_ms),
            state="in_force",
            at_ms=OLD_MS,
        )
        put(journal, schema.book_rows, book=book, row_id="1", day=day(first_ms))
    assert (
        forget(journal, old_rows.BOOK_ROWS),
        forget(journal, old_rows.BOOKS),
        forget(journal, old_rows.BOOK_ROWS),
    ) == (0, 1, 1)
    assert ids(journal, old_rows.BOOKS, "book") == ids(journal, old_rows.BOOK_ROWS, "book") == ["B"]


def test_a_decision_stays_while_a_book_in_force_may_have_its_rows(journal: Journal) -> None:
    put(
        journal,
        schema.books,
        book="A",
        account_idx="a",
        first_day=day(OLD_MS),
        last_day=day(YOUNG_MS),
        state="in_force",
        at_ms=OLD_MS,
    )
    put(
        journal,
        schema.books,
        book="B",
        account_idx="b",
        first_day=day(OLD_MS),
        last_day=day(YOUNG_MS),
        state="replaced",
        at_ms=OLD_MS,
    )
    for account in ("a", "b"):
        put(journal, schema.match_decisions, decision=account, account_idx=account, at_ms=OLD_MS)
    assert forget(journal, old_rows.DECISIONS) == 1 and ids(journal, old_rows.DECISIONS, "decision") == ["a"]


def test_the_page_says_of_every_table_how_long_its_rows_are_kept() -> None:
    section = PAGE.read_text("utf-8").partition("\n## Retention\n")[2].partition("\n## ")[0]
    said = [
        name
        for line in section.splitlines()
        if line.startswith("|")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    assert sorted(said) == sorted(schema.metadata.tables), "once each"
