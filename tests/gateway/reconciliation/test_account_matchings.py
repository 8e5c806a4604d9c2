"""The stored matching of an account equals a matching of all its rows, whatever rows came and went, and in which order;
and a new day is matched without reading the days before it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update

from bench.recon import new_day
from gateway.kernel.core.policy import Route
from gateway.kernel.sql import schema
from gateway.kernel.sql.vault import Vault
from gateway.people.rows.persons import No
from gateway.reconciliation.rows import account_matchings, account_rows, balance_tables, books, decisions
from gateway.reconciliation.rows.account_matchings import AccountMatchings
from gateway.reconciliation.rows.basis import basis_of
from gateway.reconciliation.rows.books import BookEntry, BookHead, BookRow, JudgedBook
from gateway.reconciliation.rows.decisions import ASIDE, CONFIRM
from gateway.reconciliation.rows.reconciled import Reconciled, facts_of, reconcile_whole
from gateway.reconciliation.rules.rows import Matching
from gateway.register.match_terms import DEFAULT_ACCOUNT_TERMS, AccountTerms
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line
from tests.gateway.kernel.bench import CREDITOR, CREDITOR_NAME, DEBTOR, Journal, order

ROUTE, FIRST = new_day.ROUTE, new_day.FIRST
TERMS = DEFAULT_ACCOUNT_TERMS


def say(found: Reconciled) -> SimpleNamespace:
    """The facts from which every question is answered."""
    return SimpleNamespace(
        matched=found.matched,
        decided=[one.decision for one in found.decided],
        void=found.void,
        by_id=found.by_id,
        about=found.rows.about,
        late=found.rows.late,
        payers=found.rows.payers,
        first=found.rows.first,
        basis=found.basis,
    )


class Account:
    """The journal of one account, and everything that can happen to it."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.number, self.payments = journal, 0, list[Any]()

    def line(self, day: int, minor: int, named: bool) -> None:
        self.number += 1
        reference = self.payments[-1].bank_ref if named and self.payments else None
        said = Line(
            AccountNumber(DEBTOR),
            f"L-{self.number}",
            Direction.DEBIT,
            Money(minor),
            FIRST + timedelta(day),
            reference=reference,
            counterparty_account=AccountNumber(CREDITOR),
            counterparty_name=Name(CREDITOR_NAME),
            text="冲正" if minor == 7 else "货款",
        )
        self.journal.do(lambda tx: accounts.keep_entry(tx, "sample", said, ()))

    def payment(self, minor: int, days: int) -> None:
        self.journal.hands.task.advance(days * 86_400)
        self.number += 1
        row = self.journal.admit(order(f"AP-{self.number}", minor=minor, maker="li" if minor == 5 else None)).row
        self.journal.send(row)
        self.payments.append(row)

    def fail(self, place: int) -> None:
        """Record a later answer of the bank: the payment has failed, so it needs no match."""
        if self.payments:
            row = self.payments[place % len(self.payments)]
            columns = schema.payments.c
            with self.journal.stranger() as conn:
                conn.execute(
                    update(schema.payments)
                    .where(columns.payment == row.payment)
                    .values(state="failed", version=columns.version + 1)
                )

    def book(self, rows: list[tuple[int, int]], named: bool) -> None:
        closing = -sum(minor for _, minor in rows)
        head = BookHead(DEBTOR, FIRST, date(2026, 11, 30), "CNY", 0, closing)
        begun = self.journal.do(lambda tx: books.begin(tx, head, "uid:li"))
        if isinstance(begun, No):
            return
        reference = f"AP-{self.number}" if named else ""
        entries = [
            BookEntry(
                f"V-{place}",
                FIRST + timedelta(day % 30),
                Direction.DEBIT,
                minor,
                CREDITOR,
                CREDITOR_NAME,
                reference if place == 0 else "",
            )
            for place, (day, minor) in enumerate(rows)
        ]
        self.journal.do(lambda tx: books.add(tx, DEBTOR, begun.book, entries))
        judged = self.journal.read(lambda conn: books.judge(conn, DEBTOR, begun.book))
        assert isinstance(judged, JudgedBook)
        assert isinstance(self.journal.do(lambda tx: books.close(tx, judged, "uid:li")), BookRow)

    def withdraw(self) -> None:
        for one in self.journal.read(lambda conn: books.in_force(conn, DEBTOR)):
            self.journal.do(partial(books.withdraw, account=DEBTOR, book=one.book, reason="x", actor="uid:li"))

    def decide(self, matching: Matching, confirm: bool) -> None:
        found = self.whole(date(2026, 12, 10))
        one = found.matched[matching]
        pairs = [
            (entry, line)
            for entry in one.open_entries
            for line in one.open_lines
            if found.by_id[entry].effect_minor == found.by_id[line].effect_minor
        ]
        entries, lines = ([pairs[0][0]], [pairs[0][1]]) if confirm and pairs else ([], [*one.open_lines][:1])
        if lines:
            facts = {id: facts_of(found.by_id[id]) for id in (*entries, *lines)}
            kind = CONFIRM if entries else ASIDE
            self.journal.do(lambda tx: decisions.decide(tx, DEBTOR, kind, matching, entries, lines, "x", "li", facts))

    def undo(self) -> None:
        for one in self.journal.read(lambda conn: basis_of(conn, DEBTOR, FIRST)).decisions[:1]:
            self.journal.do(partial(decisions.undo, account=DEBTOR, decision=one, reason="x", actor="li"))

    def purge(self, day: int) -> None:
        with self.journal.stranger() as conn:
            columns = schema.statement_entries.c
            conn.execute(
                delete(schema.statement_entries).where(columns.bank_date == (FIRST + timedelta(day)).isoformat())
            )

    def approve(self) -> None:
        self.journal.do(lambda tx: balance_tables.submit(tx, DEBTOR, "2026-11", {}, "wang"))
        self.journal.do(lambda tx: balance_tables.approve(tx, DEBTOR, "2026-11", 1, "li"))

    def whole(self, last: date) -> Reconciled:
        return self.journal.read(lambda conn: reconcile_whole(conn, ROUTE, last, TERMS))

    def kept(self, last: date) -> Reconciled:
        return self.journal.read(lambda conn: account_matchings.reconcile(conn, ROUTE, last, TERMS))


DAYS, MINORS = st.integers(0, 38), st.sampled_from((1, 2, 3, 5, 5, 7, 8))
HAPPENINGS = st.one_of(
    st.tuples(st.just("line"), DAYS, MINORS, st.booleans()),
    st.tuples(st.just("line"), DAYS, MINORS, st.booleans()),
    st.tuples(st.just("payment"), MINORS, st.integers(0, 3)),
    st.tuples(st.just("payment"), MINORS, st.just(0)),
    st.tuples(st.just("fail"), st.integers(0, 5)),
    st.tuples(st.just("book"), st.lists(st.tuples(DAYS, MINORS), max_size=5), st.booleans()),
    st.tuples(st.just("withdraw")),
    st.tuples(st.just("decide"), st.sampled_from(Matching), st.booleans()),
    st.tuples(st.just("undo")),
    st.tuples(st.just("purge"), DAYS),
    st.tuples(st.just("approve")),
)


@settings(max_examples=25, deadline=None)
@given(happened=st.lists(st.tuples(HAPPENINGS, st.integers(10, 45)), min_size=3, max_size=14))
def test_what_is_kept_says_what_a_whole_matching_says(
    sqlite_template: bytes, tmp_path_factory: Any, happened: list[tuple[tuple[Any, ...], int]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    path.write_bytes(sqlite_template)
    account = Account(Journal(f"sqlite:///{path}"))
    for (verb, *words), day in happened:
        getattr(account, verb)(*words)
        last = FIRST + timedelta(day)
        assert say(account.kept(last)) == say(account.whole(last)), (verb, words, last)
    account.journal.close()


def test_a_new_day_opens_its_own_rows_only(small: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, opens = list[bytes](), Vault.open

    def noted_open(vault: Vault, sealed: bytes, about: bytes) -> bytes:
        opened.append(about)
        return opens(vault, sealed, about)

    monkeypatch.setattr(Vault, "open", noted_open)
    account = Account(small)
    new_day.fill(small.do, small.read, 600, a_day=30)
    last = new_day.FIRST + timedelta(19)
    first = account.kept(last)
    assert len(first.matched[Matching.BOOK].matches) == 600 and len(opened) > 1_200
    new_day.add_day(small.do, small.read, 20, range(600, 630))
    del opened[:]
    found = account.kept(last + timedelta(1))
    rows = [about for about in opened if about.startswith((b"statement_entries/", b"book_rows/"))]
    assert len(found.matched[Matching.BOOK].matches) == 630 and len(rows) == 60 and len(opened) < 100
    assert say(found) == say(account.whole(last + timedelta(1)))
    del opened[:]
    account.kept(last)
    assert len(opened) < 10, "back by a day, nothing is opened"


def test_the_accounts_asked_about_longest_ago_are_forgotten(small: Journal) -> None:
    new_day.fill(small.do, small.read, 40, a_day=10)
    other, last = replace(ROUTE, account=CREDITOR), new_day.FIRST + timedelta(10)
    kept = AccountMatchings(most_rows=85)

    def ask(route: Route, last: date, terms: AccountTerms = TERMS) -> None:
        small.read(lambda conn: kept.reconcile(conn, route, last, terms))

    ask(ROUTE, last)
    ask(other, last)
    assert [len(kept.kept(one)) for one in (DEBTOR, CREDITOR)] == [1, 1]
    for month in (2, 4):
        ask(ROUTE, last + timedelta(30 * month))
    assert [one.last for one in kept.kept(DEBTOR)] == [last + timedelta(120)], "80 rows twice are too many"
    assert kept.kept(CREDITOR) == []
    ask(ROUTE, last, replace(TERMS, book=replace(TERMS.book, latest_days=6)))
    assert [one.terms.book.latest_days for one in kept.kept(DEBTOR)] == [6], "other settings, another matching"


def test_a_question_that_fails_leaves_nothing_half_done(small: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    account, last = Account(small), new_day.FIRST + timedelta(3)
    new_day.fill(small.do, small.read, 20, a_day=10)
    account.kept(last)
    account.line(2, 5, named=False)
    monkeypatch.setattr(account_rows, "payment_days", lambda *asked: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        account.kept(last)
    monkeypatch.undo()
    assert say(account.kept(last)) == say(account.whole(last))
