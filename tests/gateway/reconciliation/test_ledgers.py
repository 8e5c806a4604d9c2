"""Books that arrive over the broker, and claims of money received: the same on every database."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from gateway.kernel.sql import schema
from gateway.reconciliation.rows import books, ledgers
from gateway.statements.rows import accounts, credit_claims
from protocols.canon.errors import Code, Refusal
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line
from protocols.erp.account_replies import line_id
from protocols.erp.treasury_replies import ClaimState, LedgerState
from protocols.erp.treasury_words import ClaimAct, ClaimCredit, LedgerHead, LedgerRow, SubmitLedger, WithdrawLedger
from tests.gateway.kernel.bench import Journal

ACCOUNT = AccountNumber("0000000000000017")
DAY = date(2026, 11, 2)
HEAD = LedgerHead(ACCOUNT, date(2026, 11, 1), date(2026, 11, 30), "CNY", 1_000, 800, 2, 200, 0, 2)


def part(number: int, *ids: str, head: LedgerHead = HEAD) -> SubmitLedger:
    rows = tuple(LedgerRow(one, DAY, Direction.DEBIT, 100, party_name=Name("示例乙公司"), text="货款") for one in ids)
    return SubmitLedger("JZ-1", head, number, rows)


def take(journal: Journal, one: SubmitLedger, sender: str = "erp") -> LedgerState | Refusal:
    return journal.do(lambda tx: ledgers.take_part(tx, sender, one, "user:x"))


def close(journal: Journal, one: SubmitLedger) -> LedgerState | Refusal | None:
    judged = journal.read(lambda conn: ledgers.judge(conn, "erp", one))
    return journal.do(lambda tx: ledgers.close(tx, "erp", one, judged, "sender:erp"))


def test_a_book_is_taken_in_parts_and_withdrawn(journal: Journal) -> None:
    # Ids that differ in case only are two rows, and two books.
    first, second = part(1, "V-a"), part(2, "V-A")
    taken = take(journal, first)
    assert isinstance(taken, LedgerState) and (taken.state, taken.received, taken.replayed) == ("arriving", 1, False)
    again = take(journal, first)
    assert isinstance(again, LedgerState) and (again.received, again.replayed) == (1, True)
    other = take(journal, part(1, "V-b"))
    assert isinstance(other, Refusal) and other.code is Code.ID_CONFLICT
    theirs = take(journal, first, "other")
    assert isinstance(theirs, LedgerState) and not theirs.replayed and theirs.book != taken.book
    stale = journal.read(lambda conn: ledgers.judge(conn, "erp", first))
    assert isinstance(take(journal, second), LedgerState)
    # The judgement before the last part came is not valid any more.
    assert journal.do(lambda tx: ledgers.close(tx, "erp", second, stale, "sender:erp")) is None
    closed = close(journal, second)
    assert isinstance(closed, LedgerState) and (closed.state, closed.closed_now) == ("in_force", True)
    once = close(journal, second)
    assert isinstance(once, LedgerState) and (once.state, once.closed_now) == ("in_force", False)
    assert [one.id for one in journal.read(lambda conn: books.entries(conn, ACCOUNT.clear, HEAD.last))] == [
        "V-A",
        "V-a",
    ]
    gone = journal.do(lambda tx: ledgers.withdraw(tx, "erp", WithdrawLedger("JZ-1"), "user:x"))
    assert isinstance(gone, LedgerState) and gone.state == "withdrawn" and gone.head == HEAD
    assert journal.read(lambda conn: books.entries(conn, ACCOUNT.clear, HEAD.last)) == []


def test_a_book_that_does_not_add_up_leaves_nothing(journal: Journal) -> None:
    wrong = replace(HEAD, closing_minor=700, parts=1)
    assert isinstance(take(journal, part(1, "V-1", "V-2", head=wrong)), LedgerState)
    refused = close(journal, part(1, "V-1", "V-2", head=wrong))
    assert isinstance(refused, Refusal) and refused.code is Code.BOOK_REFUSED
    assert [
        journal.count(table) for table in (schema.ledgers, schema.ledger_parts, schema.books, schema.book_rows)
    ] == [0, 0, 0, 0]
    meanwhile = close(journal, part(1, "V-1", "V-2", head=wrong))
    assert isinstance(meanwhile, Refusal) and meanwhile.code is Code.UNKNOWN_BOOK


def test_an_entry_is_claimed_once(journal: Journal) -> None:
    line = Line(ACCOUNT, "S-1", Direction.CREDIT, Money(500), DAY, text="来款")
    journal.do(lambda tx: accounts.keep_entry(tx, "sample", line, ()))
    wanted = ClaimCredit("RC-1", ACCOUNT, line_id(line), reference="SO-1", customer=Name("示例丁公司"), by="li")

    def claim(command: ClaimCredit, sender: str = "erp") -> ClaimState | Refusal:
        return journal.do(lambda tx: credit_claims.claim(tx, sender, command, "user:x"))

    index = journal.vault.blind(ACCOUNT.clear)
    (free,) = journal.read(lambda conn: credit_claims.unclaimed(conn, [index], "2026-11-01", 10))
    made = claim(wanted)
    assert isinstance(made, ClaimState) and (made.claimed, made.new, made.customer) == (True, True, "示例丁公司")
    assert journal.read(lambda conn: credit_claims.unclaimed(conn, [index], "2026-11-01", 10)) == []
    known = journal.read(lambda conn: credit_claims.of_entry(conn, free.entry))
    assert known is not None and (known.reference, known.by, known.sender) == ("SO-1", "li", "erp")
    for other in (claim(replace(wanted, id="rc-1")), claim(wanted, "other")):
        assert isinstance(other, Refusal) and other.code is Code.ALREADY_CLAIMED
    freed = claim(replace(wanted, act=ClaimAct.RELEASE))
    assert isinstance(freed, ClaimState) and not freed.claimed
    assert isinstance(claim(wanted, "other"), ClaimState)
    assert journal.read(lambda conn: credit_claims.of_entry(conn, free.entry)) is not None
