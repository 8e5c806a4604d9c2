"""The stored facts of watched accounts: the last balance, the closing balances of the days closed last, entries."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial

from gateway.kernel.commit.store import Tx
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Balance, Direction, Line
from protocols.erp.account_replies import Statement, Totals
from tests.gateway.kernel.bench import Journal

ACCOUNT = AccountNumber("00000000000100")
DAY = date(2026, 11, 24)


def heard(journal: Journal, minor: int) -> None:
    balance = Balance(ACCOUNT, Money(minor), None)
    journal.do(lambda tx: accounts.keep_balance(tx, "sample", balance, "CNY"))


def close(journal: Journal, day: date, minor: int) -> None:
    quiet = Statement(ACCOUNT, "CNY", day, Totals(), Money(minor), Money(minor))
    journal.do(lambda tx: accounts.close_day(tx, "sample", quiet, ()))


def closing(journal: Journal, day: date) -> Money | None:
    return journal.read(partial(accounts.closing_of, account=ACCOUNT.clear, day=day))


def test_the_closing_balances_of_the_last_days_are_kept_beside_the_balance(journal: Journal) -> None:
    close(journal, DAY, 1)
    assert closing(journal, DAY) is None, "an account that was never asked for its balance"
    heard(journal, 500)
    for back in (1, 0, 30):
        close(journal, DAY - timedelta(days=back), 1_000 + back)
    heard(journal, 700)
    assert [closing(journal, DAY - timedelta(days=back)) for back in (0, 1, 2)] == [Money(1_000), Money(1_001), None]
    told = journal.read(partial(accounts.balance_of, account=ACCOUNT.clear))
    assert told is not None and (told.balance.book, told.currency) == (Money(700), "CNY")
    for ahead in range(1, accounts.CLOSINGS_KEPT):
        close(journal, DAY + timedelta(days=ahead), ahead)
    assert [closing(journal, DAY - timedelta(days=back)) for back in (-1, 0, 1)] == [Money(1), Money(1_000), None]


def test_of_very_many_entries_those_never_seen_are_found(journal: Journal) -> None:
    lines = [Line(ACCOUNT, f"N{n}", Direction.CREDIT, Money(1), DAY) for n in range(1_201)]

    def unseen_lines(tx: Tx) -> list[Line]:
        accounts.keep_entry(tx, "sample", lines[1_000], ())
        return accounts.unseen(tx, lines)

    assert journal.do(unseen_lines) == lines[:1_000] + lines[1_001:]
