"""Books, decisions and monthly statements on every database."""

from __future__ import annotations

from datetime import date

from gateway.people.rows.persons import No
from gateway.reconciliation.rows import balance_tables, books, decisions
from gateway.reconciliation.rows.basis import Basis, basis_of
from gateway.reconciliation.rows.books import BookEntry, BookHead, BookRow, JudgedBook
from gateway.reconciliation.rows.decisions import ASIDE, MatchDecision
from gateway.reconciliation.rules.rows import Matching
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from protocols.erp.account_replies import Statement, Totals
from tests.gateway.kernel.bench import Journal

ACCOUNT = "00000000000100"
HEAD = BookHead(ACCOUNT, date(2026, 11, 1), date(2026, 11, 30), "CNY", 1_000, 900)


def entry(id: str, minor: int = 100) -> BookEntry:
    return BookEntry(id, date(2026, 11, 2), Direction.DEBIT, minor, party_name="示例乙公司", voucher="记-1")


def put(journal: Journal, *entries: BookEntry, head: BookHead = HEAD) -> BookRow | No:
    begun = journal.do(lambda tx: books.begin(tx, head, "uid:li"))
    assert isinstance(begun, BookRow)
    assert journal.do(lambda tx: books.add(tx, ACCOUNT, begun.book, entries)) is None
    judged = journal.read(lambda conn: books.judge(conn, ACCOUNT, begun.book))
    assert isinstance(judged, JudgedBook)
    done = journal.do(lambda tx: books.close(tx, judged, "uid:li"))
    assert done is not None
    return done


def test_a_book_is_replaced_and_withdrawn(journal: Journal) -> None:
    first = put(journal, entry("V-a"))
    assert isinstance(first, BookRow)
    # Ids that differ in case only are two rows on every database.
    second = put(journal, entry("V-a", 40), entry("V-A", 60))
    assert isinstance(second, BookRow)
    found = journal.read(lambda conn: books.entries(conn, ACCOUNT, HEAD.last))
    assert {(one.id, one.amount_minor, one.party_name) for one in found} == {
        ("V-a", 40, "示例乙公司"),
        ("V-A", 60, "示例乙公司"),
    }
    wrong = put(journal, entry("V-a", 99))
    assert isinstance(wrong, No) and wrong.code == "totals"
    assert [one.book for one in journal.read(lambda conn: books.in_force(conn, ACCOUNT))] == [second.book]
    assert isinstance(journal.do(lambda tx: books.withdraw(tx, ACCOUNT, second.book, "x", "uid:li")), BookRow)
    assert journal.read(lambda conn: books.entries(conn, ACCOUNT, HEAD.last)) == []


def test_a_book_that_changed_after_it_was_judged_is_judged_again(journal: Journal) -> None:
    begun = journal.do(lambda tx: books.begin(tx, HEAD, "uid:li"))
    assert isinstance(begun, BookRow)
    journal.do(lambda tx: books.add(tx, ACCOUNT, begun.book, [entry("V-a")]))
    judged = journal.read(lambda conn: books.judge(conn, ACCOUNT, begun.book))
    assert isinstance(judged, JudgedBook) and judged.why_not is None
    journal.do(lambda tx: books.add(tx, ACCOUNT, begun.book, [entry("V-b")]))
    assert journal.do(lambda tx: books.close(tx, judged, "uid:li")) is None
    assert journal.read(lambda conn: books.in_force(conn, ACCOUNT)) == []
    assert isinstance(journal.read(lambda conn: books.judge(conn, "0000999", begun.book)), No)


def test_decisions_and_versions(journal: Journal) -> None:
    facts = {"book:1": "2026-11-02 debit 1.00 CNY"}
    made = journal.do(
        lambda tx: decisions.decide(tx, ACCOUNT, ASIDE, Matching.BOOK, ["book:1"], [], "why", "uid:li", facts)
    )
    assert isinstance(made, MatchDecision)
    again = journal.do(
        lambda tx: decisions.decide(tx, ACCOUNT, ASIDE, Matching.BOOK, ["book:1"], [], "x", "uid:li", facts)
    )
    assert isinstance(again, No) and again.code == "decided"
    assert journal.read(lambda conn: decisions.in_force(conn, ACCOUNT)) == [made]
    journal.do(lambda tx: decisions.undo(tx, ACCOUNT, made.decision, "why", "uid:li"))
    assert journal.read(lambda conn: decisions.in_force(conn, ACCOUNT)) == []
    content = {"last": "2026-11-30", "difference": 0}
    journal.do(lambda tx: balance_tables.submit(tx, ACCOUNT, "2026-11", content, "uid:li"))
    assert isinstance(journal.do(lambda tx: balance_tables.approve(tx, ACCOUNT, "2026-11", 1, "uid:li")), No)
    journal.do(lambda tx: balance_tables.approve(tx, ACCOUNT, "2026-11", 1, "uid:chen"))
    assert journal.read(lambda conn: balance_tables.approved_until(conn, ACCOUNT)) == date(2026, 11, 30)
    late = journal.do(lambda tx: balance_tables.submit(tx, ACCOUNT, "2026-11", {**content, "late": 1}, "uid:li"))
    assert [one.state for one in journal.read(lambda conn: balance_tables.versions(conn, ACCOUNT, "2026-11"))] == [
        "approved",
        "submitted",
    ] and not isinstance(late, No)
    frozen = journal.do(lambda tx: books.begin(tx, HEAD, "uid:li"))
    assert isinstance(frozen, No) and frozen.code == "frozen"
    differs = journal.do(lambda tx: balance_tables.submit(tx, ACCOUNT, "2026-12", {"difference": 5}, "uid:li"))
    assert not isinstance(differs, No)
    refused = journal.do(lambda tx: balance_tables.approve(tx, ACCOUNT, "2026-12", 1, "uid:chen"))
    assert isinstance(refused, No) and refused.code == "difference"


def test_the_basis_of_a_reconciliation_changes_with_what_it_rests_on(journal: Journal) -> None:
    def basis() -> Basis:
        return journal.read(lambda conn: basis_of(conn, ACCOUNT, HEAD.last))

    seen = [basis()]
    assert seen[0] == Basis(HEAD.last, (), (), 0, None, date.min)
    book = put(journal, entry("V-a"))
    assert isinstance(book, BookRow)
    seen.append(basis())
    journal.do(lambda tx: decisions.decide(tx, ACCOUNT, ASIDE, Matching.BOOK, ["book:V-a"], [], "why", "uid:li", {}))
    seen.append(basis())
    inside, after = (
        Line(AccountNumber(ACCOUNT), f"N-{day}", Direction.CREDIT, Money(5), day)
        for day in (HEAD.first, date(2026, 12, 1))
    )
    journal.do(lambda tx: accounts.keep_entry(tx, "sample", inside, ()))
    seen.append(basis())
    journal.do(lambda tx: accounts.keep_entry(tx, "sample", after, ()))
    said = Statement(AccountNumber(ACCOUNT), "CNY", HEAD.last, Totals(), Money(0), Money(5))
    journal.do(lambda tx: accounts.keep_day(tx, said))
    seen.append(basis())
    journal.do(lambda tx: balance_tables.submit(tx, ACCOUNT, "2026-11", {"difference": 0}, "wang"))
    journal.do(lambda tx: balance_tables.approve(tx, ACCOUNT, "2026-11", 1, "li"))
    seen.append(basis())
    assert len(set(seen)) == len(seen) == 6 and seen[-1].lines == 1
    assert journal.read(lambda conn: balance_tables.approvals(conn, ACCOUNT)).keys() == {"2026-11"}
    assert journal.read(lambda conn: accounts.closings_between(conn, ACCOUNT, HEAD.first, HEAD.last)) == {
        HEAD.last: Money(5)
    }
    assert journal.read(lambda conn: accounts.closings_between(conn, ACCOUNT, HEAD.first, HEAD.first)) == {}
