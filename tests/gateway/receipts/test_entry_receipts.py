"""Receipts of entries in the journal, on every database: which are searched, in which order, and one file for each."""

from __future__ import annotations

from datetime import date
from functools import partial

from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.receipts.rows import receipt_files, receipt_questions
from gateway.receipts.rows.receipt_files import CANNOT_ASK, WAITING
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line, Receipt
from tests.gateway.kernel.bench import DEBTOR, NOW_MS, Journal, order

DAY = date(2026, 11, 24)
LANE = "sample.main"
FILE = Receipt(b"%PDF-1.7", "application/pdf", "r.pdf")
_S = schema.receipt_searches.c


def come(journal: Journal, number: str, day: date = DAY, direction: Direction = Direction.CREDIT) -> None:
    line = Line(AccountNumber(DEBTOR), number, direction, Money(100 + len(number)), day)
    journal.do(lambda tx: accounts.keep_entry(tx, "sample", line, ()))


def unsearched(journal: Journal, before_ms: int = NOW_MS * 2) -> list[str]:
    def list_unsearched(tx: Tx) -> list[str]:
        return receipt_files.unsearched_entries(tx.read, [tx.vault.blind(DEBTOR)], "2026-11-01", before_ms, 100)

    return journal.do(list_unsearched)


def numbers(journal: Journal, keys: list[str]) -> list[str]:
    found = [journal.read(partial(receipt_questions.entry_of, key=key)) for key in keys]
    return [one.number for one in found if one is not None]


def test_money_that_came_is_looked_for_once_and_after_payments(journal: Journal) -> None:
    for number, day, direction in (
        ("C1", DAY, Direction.CREDIT),
        ("OLD", date(2026, 10, 31), Direction.CREDIT),
        ("D1", DAY, Direction.DEBIT),
        ("C2", DAY, Direction.CREDIT),
    ):
        come(journal, number, day, direction)
    assert unsearched(journal, before_ms=1) == [], "a bank needs its time"
    found = unsearched(journal)
    assert numbers(journal, found) == ["C1", "C2"]
    begin = partial(receipt_files.begin_entries, lane=LANE, entries=found, due_ms=5)
    assert (journal.do(begin), journal.do(begin), unsearched(journal)) == (2, 0, [])
    payment = journal.admit(order("AP-1")).row.payment
    journal.do(
        lambda tx: tx.fresh.execute(
            schema.receipt_searches.insert().values(
                payment=payment,
                lane=LANE,
                account_idx=tx.vault.blind(DEBTOR),
                bank_date="2026-11-24",
                state=WAITING,
                since_ms=7,
                due_ms=7,
                tries=0,
                code=None,
                ticket=None,
            )
        )
    )
    due = journal.read(partial(receipt_files.due, lane=LANE, now_ms=9, most=9))
    assert [(one.subject, one.is_entry) for one in due] == [(payment, False), (found[0], True), (found[1], True)]


def test_what_a_collection_brought_has_the_receipt_of_that_payment(journal: Journal) -> None:
    come(journal, "C1")
    come(journal, "C2")
    paid, collected = (journal.admit(order(name)).row.payment for name in ("AP-1", "AR-1"))
    first, second = unsearched(journal)

    def match(tx: Tx) -> None:
        entries, payments = schema.statement_entries, schema.payments
        tx.fresh.execute(payments.update().where(payments.c.payment == collected).values(kind=Kind.COLLECTION.value))
        for entry, payment in ((first, paid), (second, collected)):
            tx.fresh.execute(entries.update().where(entries.c.entry == entry).values(matched_payment=payment))

    journal.do(match)
    assert unsearched(journal) == [first], "a return of our payment is money that came in"


def test_a_search_ends_with_one_file_or_where_the_bank_cannot_be_asked(journal: Journal) -> None:
    for number in ("C1", "C2"):
        come(journal, number)
    first, second = unsearched(journal)
    journal.do(partial(receipt_files.begin_entries, lane=LANE, entries=[first, second], due_ms=5))
    journal.do(partial(receipt_files.later, subject=first, due_ms=6, code="later", ticket="t-1"))
    assert journal.read(partial(receipt_files.due, lane=LANE, now_ms=9, most=1))[0].ticket is None, "C2 is due first"
    journal.do(partial(receipt_files.cannot_ask, subject=second))
    (left,) = journal.read(partial(receipt_files.due, lane=LANE, now_ms=9, most=9))
    assert (left.subject, left.ticket, left.tries) == (first, "t-1", 1)
    entry = journal.read(partial(receipt_questions.entry_of, key=first))
    assert entry is not None
    keep = partial(receipt_files.keep_of_entry, entry=entry, receipt=FILE, actor="test")
    key = journal.do(keep)
    assert key is not None and journal.do(keep) is None and journal.count(schema.receipt_files) == 1
    kept = journal.read(partial(receipt_files.kept, receipt=key))
    assert kept is not None and (kept.entry, kept.payment, kept.bank_date) == (first, None, "2026-11-24")
    assert journal.read(partial(receipt_files.due, lane=LANE, now_ms=9, most=9)) == []
    states = journal.read(lambda conn: conn.execute(_S.payment.table.select()).all())
    assert {row.payment: row.state for row in states} == {first: receipt_files.FETCHED, second: CANNOT_ASK}
