"""Balance, entries and returns from account reports, page by page, and reports in every form that a bank sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

import pytest

from gateway.simbank.ledger import BookingRules, LedgerAccount
from protocols.banks.finws import iso, twin_papers
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Page
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import lines as words
from tests.protocols.banks.finws.paper import CREDITOR, DEBTOR, fate, stage
from tests.world.dialogue import NOON, BankAndTwin, order_of

OWN, TODAY = AccountNumber(DEBTOR), NOON.date()
ISO = "urn:iso:std:iso:20022:tech:xsd:"


def paid(made: BankAndTwin, count: int, first: int = 0) -> None:
    for n in range(first, first + count):
        order = order_of({"amount": f"{n + 1}.00", "purpose": f"no {n}"})
        made.talk(made.bank.money[Kind.PAYMENT](order, made.context(f"PAGE{n:016d}")))


def lines(made: BankAndTwin, first: int = 0, last: int = 0, cursor: str | None = None) -> Page:
    assert made.bank.questions.lines is not None
    question = LinesQuestion(OWN, TODAY + timedelta(days=first), TODAY + timedelta(days=last), "CNY", cursor)
    return made.talk(made.bank.questions.lines(question, made.context()))


def test_a_walk_over_days_finds_every_entry_once() -> None:
    made = stage()
    for day in range(3):
        paid(made, 2, first=2 * day)
        made.time.later(86_400)
    paid(made, 1, first=6)
    pages = [lines(made, 0, 3)]
    while pages[-1].cursor is not None:
        pages.append(lines(made, 0, 3, pages[-1].cursor))
    found = [line for page in pages for line in page.lines]
    assert [len(page.lines) for page in pages] == [2, 2, 2, 1]
    assert [line.amount.minor for line in found] == [100 * (n + 1) for n in range(7)]
    assert [line.reference for line in found] == [f"PAGE{n:016d}" for n in range(7)]
    assert found[0].bank_date == TODAY and found[-1].bank_date == TODAY + timedelta(days=3)
    assert len({line.bank_line_id for line in found}) == 7


def test_a_cursor_belongs_to_its_question() -> None:
    made = stage()
    paid(made, 1)
    made.time.later(86_400)
    paid(made, 1, first=1)
    cursor = lines(made, 0, 1).cursor
    assert cursor is not None
    with pytest.raises(ProtocolError, match="paging"):
        lines(made, 0, 2, cursor)


def test_only_the_days_asked_about() -> None:
    made = stage()
    paid(made, 1)
    assert lines(made, -3, -1) == Page(())
    made.time.later(86_400)
    assert len(lines(made, 0, 0).lines) == 1
    assert lines(made, 1, 1) == Page(())


def test_balance_of_now_and_of_a_past_day() -> None:
    made = stage()
    paid(made, 1)
    made.time.later(86_400)
    paid(made, 1, first=49)
    assert made.bank.questions.balance is not None
    past = made.talk(made.bank.questions.balance(BalanceQuestion(OWN, on=TODAY), made.context()))
    assert (past.book, past.available) == (Money(9_999_900), None)
    now = made.talk(made.bank.questions.balance(BalanceQuestion(OWN), made.context()))
    assert (now.book, now.previous_day, now.as_of) == (Money(9_994_900), Money(9_999_900), made.time.now)
    with pytest.raises(Declined):
        made.talk(made.bank.questions.balance(BalanceQuestion(OWN, on=TODAY - timedelta(days=9)), made.context()))
    with pytest.raises(ProtocolError, match="correlation"):
        made.talk(made.bank.questions.balance(BalanceQuestion(OWN, "EUR"), made.context()))


def test_each_account_s_report_is_its_own() -> None:
    made = stage([LedgerAccount(CREDITOR, "乙", Money(7)), LedgerAccount(DEBTOR, "甲", Money(1000))])
    assert made.bank.questions.balance is not None
    for number, minor in ((DEBTOR, 1000), (CREDITOR, 7)):
        told = made.talk(made.bank.questions.balance(BalanceQuestion(AccountNumber(number)), made.context()))
        assert told.book == Money(minor)


def test_returns_once_though_two_reports_tell_of_them() -> None:
    made = stage(conduct=BookingRules(return_share=1.0))
    paid(made, 3)
    made.time.later(61)
    assert made.bank.questions.returns is not None
    question = ReturnsQuestion(OWN, TODAY, TODAY)
    page = made.talk(made.bank.questions.returns(question, made.context()))
    assert [one.reference for one in page.returns] == [f"PAGE{n:016d}" for n in range(3)]
    made.time.later(86_400)
    again = made.talk(made.bank.questions.returns(question, made.context()))
    assert len(again.returns) == 3
    assert (again.returns[0].amount, again.returns[0].returned_on) == (Money(100), TODAY)


# ---- reports of other banks' form ----------------------------------------------------------------------------------


def report(entry: str, version: str = "camt.053.001.08") -> bytes:
    return (
        f'<Document xmlns="{ISO}{version}"><BkToCstmrStmt><GrpHdr/><Stmt><Id>S-1</Id><Acct><Id><IBAN>FI0000000000000017</IBAN></Id>'
        f"</Acct><Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy='EUR'>5.00</Amt><CdtDbtInd>DBIT</CdtDbtInd>"
        f"<Dt><Dt>2026-11-24</Dt></Dt></Bal>{entry}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


NTRY = (
    "<Ntry><Amt Ccy='EUR'>3.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-11-24</Dt>"
    "</BookgDt><AcctSvcrRef>A1</AcctSvcrRef><NtryDtls>{0}</NtryDtls></Ntry>"
)
ONE = (
    "<TxDtls><Refs><EndToEndId>E{0}</EndToEndId></Refs><Amt Ccy='EUR'>{0}.00</Amt><RltdPties><Cdtr><Pty><Nm>Y</Nm>"
    "</Pty></Cdtr></RltdPties></TxDtls>"
)


def test_the_newer_version_and_an_entry_of_several_transactions() -> None:
    [told] = iso.accounts(report(NTRY.format(ONE.format(1) + ONE.format(2))))
    assert (told.account, told.balances[0].amount, told.balances[0].on) == (
        "FI0000000000000017",
        Money(-500, "EUR"),
        TODAY,
    )
    assert [
        (one.bank_line_id, one.occurrence, one.amount.minor, one.reference, str(one.counterparty_name))
        for one in words.lines(told)
    ] == [("A1", 0, 100, "E1", "Y**"), ("A1", 1, 200, "E2", "Y**")]


def test_an_entry_without_details_is_one_transaction() -> None:
    [told] = iso.accounts(report(NTRY.format("")))
    assert [(one.amount.minor, one.reference) for one in words.lines(told)] == [(300, None)]


def test_the_day_of_an_entry_may_be_told_with_its_hour() -> None:
    timed = NTRY.format("").replace("<Dt>2026-11-24</Dt>", "<DtTm>2026-11-24T23:30:00+02:00</DtTm>")
    [told] = iso.accounts(report(timed))
    assert [one.bank_date for one in words.lines(told)] == [TODAY] and not told.unread


def test_an_entry_that_does_not_say_what_its_transactions_are_is_one_line() -> None:
    [told] = iso.accounts(report(NTRY.format(ONE.format(1) + ONE.format(2)).replace("<Amt Ccy='EUR'>1.00</Amt>", "")))
    assert [(one.amount.minor, one.reference) for one in words.lines(told)] == [(300, None)]


@pytest.mark.parametrize("data", [report("", "pain.001.001.03"), b"<Document/>"])
def test_reports_that_cannot_be_used(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        tuple(iso.accounts(data))


# ---- statements that do not add up ---------------------------------------------------------------------------------


def altered(made: BankAndTwin, change: Callable[[bytes], bytes]) -> AbstractContextManager[None]:
    """Make the bank write other statements, properly signed."""

    @contextmanager
    def writing() -> Iterator[None]:
        true = twin_papers.statement
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(twin_papers, "statement", lambda *given: change(true(*given)))
            yield

    return writing()


def walk(made: BankAndTwin, days: int) -> list[Page]:
    pages = [lines(made, 0, days)]
    while pages[-1].cursor is not None:
        pages.append(lines(made, 0, days, pages[-1].cursor))
    return pages


def test_a_day_adds_up() -> None:
    made = stage()
    paid(made, 2)
    made.time.later(86_400)
    paid(made, 1, first=2)
    pages = walk(made, 1)
    assert [(page.opening, page.closing) for page in pages] == [
        (Money(10_000_000), Money(9_999_700)),
        (Money(9_999_700), Money(9_999_400)),
    ]
    assert [page.findings for page in pages] == [(), ()]


def test_a_statement_that_does_not_add_up_is_read_and_found_odd() -> None:
    made = stage()
    paid(made, 2)
    made.time.later(86_400)
    with altered(made, lambda data: data.replace(b">99997.00<", b">99997.01<")):
        page = lines(made, 0, 0)
    assert len(page.lines) == 2
    [finding] = page.findings
    assert "do not make closing 99997.01: off by 0.01" in finding


def test_a_missing_day_is_found_from_page_to_page() -> None:
    made = stage()
    for day in range(3):
        paid(made, 1, first=day)
        made.time.later(86_400)
    assert [(len(page.lines), page.findings) for page in walk(made, 3)] == [(1, ()), (1, ()), (1, ()), (0, ())]
    # The bank does not send the statement of the second day. Its third one is unchanged.
    shelf = made.twin._shelf  # type: ignore[attr-defined]
    second = [one for one in shelf._files.values() if one.kind == "camt.053.001.02"][1]
    del shelf._files[second.reference]
    first, last, _ = walk(made, 3)
    assert first.findings == ()
    [finding] = last.findings
    assert finding.endswith("opens with 99997.00 where the one before closed with 99999.00")


def test_statements_of_one_day_follow_each_other() -> None:
    """The bank makes several statements a day. Each entry is in one of them, and each begins where the last one
    ended."""
    made = stage(statement_s=60)
    for number in range(3):
        paid(made, 1, number)
        fate(made)  # a request for statements makes them
        made.time.later(61)
    made.time.later(86_400)
    pages = [lines(made)]
    while (cursor := pages[-1].cursor) is not None:
        pages.append(lines(made, cursor=cursor))
    assert [[line.text for line in page.lines] for page in pages] == [["no 0", "no 1"], ["no 2"]]
    assert [page.opening for page in pages][1:] == [page.closing for page in pages][:-1]
    assert all(page.findings == () and page.opening is not None for page in pages)
