"""The cost of a new statement day on a real journal: an account with many matched lines, then one day more.

`fill` and `add_day` write entries as a lane records them, and books as the ERP hands them in; every line is matched
with its book row by the bank's serial.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from bench.own_journal import own_journal
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import Route
from gateway.kernel.sql import databases, vaults
from gateway.reconciliation.rows import account_matchings, books
from gateway.reconciliation.rows.books import BookEntry, BookHead, BookRow, JudgedBook
from gateway.reconciliation.rows.reconciled import reconcile_whole
from gateway.register.match_terms import DEFAULT_ACCOUNT_TERMS
from gateway.statements.rows import accounts
from protocols.canon.limits import Limits
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line

ACCOUNT, FIRST = "0000000000000000017", date(2026, 11, 1)
ROUTE = Route(ACCOUNT, "jia", "sample", "sample.main", "CNY", Limits("utf-8"), frozenset())
AT_ONCE = 500
TIMES = 10
"""The most that a new day may cost, as a part of a whole matching: one tenth."""

Do = Callable[[Callable[[Tx], Any]], Any]
Read = Callable[[Callable[[Connection], Any]], Any]


def fill(do: Do, read: Read, lines: int, a_day: int) -> None:
    """Record a fixed number of lines a day from FIRST on, and one book that has all of them."""
    days = -(-lines // a_day)
    for day in range(days):
        _lines(do, day, range(day * a_day, min((day + 1) * a_day, lines)))
    _book(do, read, (0, days - 1), [(number, number // a_day) for number in range(lines)])


def add_day(do: Do, read: Read, day: int, numbers: range) -> None:
    """Record one more day, and its book."""
    _lines(do, day, numbers)
    _book(do, read, (day, day), [(number, day) for number in numbers])


def _lines(do: Do, day: int, numbers: range) -> None:
    def record(tx: Tx) -> None:
        for number in numbers:
            accounts.keep_entry(
                tx,
                "sample",
                Line(
                    AccountNumber(ACCOUNT),
                    f"S{number}",
                    Direction.DEBIT,
                    Money(_minor(number)),
                    FIRST + timedelta(day),
                    counterparty_name=Name(f"示例{number % 40}公司"),
                    text="货款",
                ),
                (),
            )

    do(record)


def _book(do: Do, read: Read, days: tuple[int, int], rows: Sequence[tuple[int, int]]) -> None:
    opening = sum(one.head.closing_minor for one in read(lambda conn: books.in_force(conn, ACCOUNT))[-1:])
    first, last = (FIRST + timedelta(day) for day in days)
    closing = opening - sum(_minor(number) for number, _ in rows)
    begun = do(lambda tx: books.begin(tx, BookHead(ACCOUNT, first, last, "CNY", opening, closing), "uid:li"))
    assert isinstance(begun, BookRow), begun
    entries = [
        BookEntry(f"V-{number}", FIRST + timedelta(day), Direction.DEBIT, _minor(number), settlement=f"S{number}")
        for number, day in rows
    ]
    for start in range(0, len(entries), AT_ONCE):
        do(partial(books.add, account=ACCOUNT, book=begun.book, entries=entries[start : start + AT_ONCE]))
    judged = read(lambda conn: books.judge(conn, ACCOUNT, begun.book))
    assert isinstance(judged, JudgedBook), judged
    closed = do(lambda tx: books.close(tx, judged, "uid:li"))
    assert isinstance(closed, BookRow), closed


def _minor(number: int) -> int:
    return 1_000 + number % 50


def measure(lines: int, a_day: int) -> list[str]:
    """Print the cost of a whole matching, and of adding a new day to it; returns the broken promises."""
    with tempfile.TemporaryDirectory(prefix="bankgw-recon") as folder, own_journal(Path(folder)) as journal:
        readers = databases.connect(journal.url, connections=1, writing=False)
        vaults.attach(readers, journal.vault)

        def do(unit: Callable[[Tx], Any]) -> Any:
            return journal.committer.commit([unit]).results[0]

        def read_once(fn: Callable[[Connection], Any]) -> Any:
            with readers.connect() as conn:
                return fn(conn)

        def timed(ask: Callable[..., Any], last: date) -> tuple[Any, float]:
            started = time.process_time()
            found = read_once(lambda conn: ask(conn, ROUTE, last, DEFAULT_ACCOUNT_TERMS))
            return found, (time.process_time() - started) * 1000

        fill(do, read_once, lines, a_day)
        day = -(-lines // a_day)
        last = FIRST + timedelta(day)
        timed(account_matchings.reconcile, last - timedelta(1))
        [kept] = read_once(account_matchings.matchings_of).kept(ACCOUNT)
        before = kept.rows.read
        add_day(do, read_once, day, range(lines, lines + a_day))
        found, new_ms = timed(account_matchings.reconcile, last)
        whole, whole_ms = timed(reconcile_whole, last)
        rows = kept.rows.read - before
        readers.dispose()
    print(
        f"journal: {lines} matched lines, a new day of {a_day} lines and {a_day} book rows: {rows} rows read, "
        f"{new_ms:.0f} ms; all {2 * (lines + a_day)} rows anew: {whole_ms:.0f} ms"
    )
    failings = [] if rows == 2 * a_day else [f"a new day reads {rows} rows, not {2 * a_day}"]
    if found.matched != whole.matched:
        failings.append("the kept matching is not that of the whole account")
    if new_ms * TIMES > whole_ms:
        failings.append(f"a new day costs {new_ms:.0f} ms, more than a tenth of {whole_ms:.0f} ms")
    return failings
