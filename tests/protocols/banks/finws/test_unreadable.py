"""An unreadable part does not hide another part, and a late entry is reported once, with its booking day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from protocols.banks.finws import iso, messages, twin_papers
from protocols.banks.finws.files import File, Files
from protocols.banks.finws.twin_files import NOTIFICATION, REPORT, STATEMENT, STATUS, Shelved
from protocols.canon.money import Money
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, ReturnsQuestion
from protocols.canon.statement import Page
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.finws.paper import DEBTOR, fate, pay, stage
from tests.protocols.banks.finws.test_questions import lines, paid, walk
from tests.world.dialogue import NOON, BankAndTwin

OWN, TODAY, DAY = AccountNumber(DEBTOR), NOON.date(), timedelta(days=1)


def shelve(made: BankAndTwin, kind: str, content: bytes, number: str = "X1", parent: str = "", days: int = 0) -> None:
    """Add a file at the bank, dated a moment from now."""
    shelf: Any = made.twin
    at = made.time.now + timedelta(seconds=1, days=days)
    shelf._shelf._keep(Shelved(number, kind, "NEW", at, content, parent=parent))


@pytest.mark.parametrize("kind", [STATUS, NOTIFICATION, STATEMENT])
def test_a_file_that_cannot_be_read_hides_no_word_in_another(kind: str) -> None:
    made = stage(statuses=kind != STATUS)
    pay(made)
    shelve(made, kind, b"<Document>")
    told = fate(made)
    assert told.fate is Fate.SETTLED
    assert any(one.startswith(f"{kind} X1 cannot be read and is left out (not_xml") for one in told.findings)


def test_an_upload_s_own_answer_that_cannot_be_read_takes_back_what_an_earlier_one_said() -> None:
    """The unreadable file may say that the bank accepted the upload after all. A booking is believed, an earlier
    refusal is not."""
    made = stage(statuses=True, notifications=False)
    pay(made)
    shelf: Any = made.twin
    [upload] = shelf._shelf._uploads.values()
    [answer] = shelf._shelf.list(STATUS, "ALL", None, None, made.ledger)
    answer.content = answer.content.replace(b"ACCP", b"RJCT")
    assert fate(made).fate is Fate.FAILED
    shelve(made, STATUS, b"<Document>", parent=upload.file.reference)
    told = fate(made)
    assert told.fate is Fate.PENDING and "the upload's own answer" in told.findings[-1]


def test_a_statement_that_cannot_be_read_hides_no_other_day_and_closes_none() -> None:
    made = stage()
    for day in range(2):
        paid(made, 1, first=day)
        made.time.later(86_400)
    before = [line for page in walk(made, 1) for line in page.lines]
    shelve(made, STATEMENT, b"<Document>", days=-1)
    pages = walk(made, 1)
    assert [line for page in pages for line in page.lines] == before and len(before) == 2
    [odd] = [page for page in pages if page.findings]
    assert odd.unread == 1 and "camt.053.001.02 X1 cannot be read" in odd.findings[0]


def test_a_report_that_cannot_be_read_hides_neither_balance_nor_entries_of_the_one_before() -> None:
    made = stage()
    paid(made, 1)
    assert len(lines(made).lines) == 1
    shelve(made, REPORT, b"<Document>")
    page = lines(made)
    assert (len(page.lines), page.unread, len(page.findings)) == (1, 1, 1)
    assert made.bank.questions.balance is not None
    assert made.talk(made.bank.questions.balance(BalanceQuestion(OWN), made.context())).book == Money(9_999_900)


def test_a_balance_is_not_said_to_be_missing_where_its_only_report_cannot_be_read() -> None:
    made = stage()
    shelf: Any = made.twin
    shelf._shelf._accounts.clear()
    shelve(made, REPORT, b"<Document>")
    assert made.bank.questions.balance is not None
    with pytest.raises(ProtocolError) as refused:
        made.talk(made.bank.questions.balance(BalanceQuestion(OWN), made.context()))
    assert refused.value.reason == "not_xml"


def test_returns_are_found_beside_a_file_that_cannot_be_read() -> None:
    made = stage()
    paid(made, 1)
    shelve(made, NOTIFICATION, b"<Document>")
    assert made.bank.questions.returns is not None
    page = made.talk(made.bank.questions.returns(ReturnsQuestion(OWN, TODAY, TODAY), made.context()))
    assert [one.partition(" (")[0] for one in page.findings] == ["camt.054.001.02 X1 cannot be read and is left out"]


def test_an_entry_in_another_currency_is_left_out_alone() -> None:
    made = stage()
    paid(made, 2)
    made.time.later(86_400)
    one = b'<Ntry><Amt Ccy="CNY">2.00'
    with changed_statement(lambda data: data.replace(one, one.replace(b"CNY", b"EUR"))):
        page = lines(made, 0, 0)
    assert [line.amount for line in page.lines] == [Money(100)] and page.unread == 1
    assert page.findings[-1].endswith("1 entries in another currency than CNY are left out")


@contextmanager
def changed_statement(change: Callable[[bytes], bytes]) -> Iterator[None]:
    """The bank writes other statements."""
    true = twin_papers.statement
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twin_papers, "statement", lambda *given: change(true(*given)))
        yield


# ---- entries that are told late ---------------------------------------------------------------------------------------


def test_an_entry_that_is_told_a_day_late_is_told_once_with_its_own_day() -> None:
    """The entry is in the report and in the statement of the following day. The sums of both days are right."""
    made = stage(late_entries=True)
    paid(made, 2)
    assert [line.text for line in lines(made).lines] == ["no 0"]
    made.time.later(86_400)
    paid(made, 2, first=2)
    late = lines(made, 1, 1).lines
    assert [(line.text, line.bank_date) for line in late] == [("no 1", TODAY), ("no 2", TODAY + DAY)]
    made.time.later(86_400)
    first, second = lines(made, 0, 0), lines(made, 1, 1)
    assert [line.text for line in first.lines] == ["no 0"] and second.lines == late
    assert [page.findings for page in (first, second)] == [(), ()]
    assert first.opening == Money(10_000_000) and first.closing == second.opening == Money(9_999_900)
    assert second.closing == Money(9_999_400)
    assert [line.text for page in walk(made, 1) for line in page.lines] == ["no 0", "no 1", "no 2"]


def test_a_statement_of_several_days_tells_each_day_its_own() -> None:
    made = stage()
    paid(made, 1)
    made.time.later(86_400)
    start = f"<FrDtTm>{TODAY}T00:00:00".encode()
    with changed_statement(lambda data: data.replace(start, f"<FrDtTm>{TODAY - DAY}T00:00:00".encode())):
        assert lines(made, -1, -1) == Page(())
        assert [line.bank_date for line in lines(made, 0, 0).lines] == [TODAY]


def test_a_statement_that_is_made_after_the_weekend_is_found() -> None:
    made = stage()
    paid(made, 1)
    made.time.later(86_400)
    shelf: Any = made.twin
    made.time.later(2 * 86_400)
    lines(made, 0, 0)
    [statement] = [one for one in shelf._shelf._files.values() if one.kind == STATEMENT]
    statement.made_at = made.time.now
    assert [line.text for line in lines(made, 0, 0).lines] == ["no 0"]
    assert lines(made, 1, 1) == Page(())
    assert made.bank.questions.balance is not None
    asked = BalanceQuestion(OWN, on=TODAY)
    assert made.talk(made.bank.questions.balance(asked, made.context())).book == Money(9_999_900)


# ---- a large report of today ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["nordea", "samlink"])
def test_today_s_report_too_large_to_be_held_comes_in_pages_of_one_file(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bank makes newer reports meanwhile: with pages of two reports, an entry would be repeated or lost."""
    made = stage(adapter={"profile": profile})
    paid(made, 7)
    whole = lines(made).lines
    monkeypatch.setattr(messages, "CONTENT_MAX_BYTES", 1_000)
    monkeypatch.setattr(iso, "PART_ENTRIES", 3)
    pages = [lines(made)]
    while pages[-1].cursor is not None:
        paid(made, 1, first=10 + len(pages))
        pages.append(lines(made, cursor=pages[-1].cursor))
    assert [len(page.lines) for page in pages] == [3, 3, 1]
    assert tuple(line for page in pages for line in page.lines) == whole
    assert made.bank.questions.balance is not None
    assert made.talk(made.bank.questions.balance(BalanceQuestion(OWN), made.context())).book is not None


def test_a_large_report_that_the_bank_has_no_more_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage()
    paid(made, 4)
    monkeypatch.setattr(messages, "CONTENT_MAX_BYTES", 1_000)
    monkeypatch.setattr(iso, "PART_ENTRIES", 3)
    cursor = lines(made).cursor
    shelf: Any = made.twin
    for one in [one for one in shelf._shelf._files.values() if one.kind == REPORT]:
        del shelf._shelf._files[one.reference]
    paid(made, 1, first=5)
    with pytest.raises(ProtocolError) as refused:
        lines(made, cursor=cursor)
    assert refused.value.reason == "paging"


def test_a_cut_large_statement_tells_what_it_has_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage()
    paid(made, 7)
    made.time.later(86_400)
    monkeypatch.setattr(messages, "CONTENT_MAX_BYTES", 1_000)
    monkeypatch.setattr(iso, "PART_ENTRIES", 3)
    with changed_statement(lambda data: data[: data.rindex(b"<Ntry>")]):
        pages = [lines(made, 0, 0)]
        while pages[-1].cursor is not None:
            pages.append(lines(made, 0, 0, pages[-1].cursor))
    assert sum(len(page.lines) for page in pages) >= 3
    assert pages[-1].unread == 1 and "cannot be read" in pages[-1].findings[-1]


def test_what_cannot_be_verified_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is read piece by piece only after its answer's signature was verified as a whole."""
    made = stage()
    paid(made, 4)
    monkeypatch.setattr(messages, "CONTENT_MAX_BYTES", 1_000)
    read: list[File] = []
    true = Files.download

    def noted(self: Files, file: File, turn: Any) -> Any:
        content = yield from true(self, file, turn)
        read.append(file)
        return content

    monkeypatch.setattr(Files, "download", noted)
    twin: Any = made.twin
    made.tamper = lambda answer: twin.spoil(answer, 0.9) if b"downloadFileout" in answer else answer
    with pytest.raises(ProtocolError):
        lines(made)
    assert read == []


COMMENTED = b"""<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><!-- made by hand --><BkToCstmrStmt><GrpHdr>
<MsgId>S1</MsgId><CreDtTm>2026-11-24T23:00:00+02:00</CreDtTm></GrpHdr><Stmt><Id>S-1</Id>
<CreDtTm>2026-11-24T23:00:00+02:00</CreDtTm><Acct><Id><Othr><Id>0000<!-- a zero follows -->000000000000017</Id></Othr></Id></Acct>
<Ntry><!-- the first --><Amt Ccy="CNY">1<!-- -->2.34</Amt><CdtDbtInd>CR<!-- -->DT</CdtDbtInd><Sts>BOOK</Sts>
<BookgDt><Dt>2026-11-24</Dt></BookgDt><BkTxCd/></Ntry></Stmt></BkToCstmrStmt></Document>"""


@pytest.mark.parametrize("large", [False, True])
def test_comments_in_an_account_report_are_left_out(large: bool) -> None:
    """Official samples have them, also inside a text. Files held whole and files read entry by entry are read alike."""
    content = messages.Packed(COMMENTED, zipped=False) if large else COMMENTED
    told = [one for one in iso.accounts(content) if one.entries]
    [entry] = told[0].entries
    assert (told[0].account, entry.amount, entry.signed_minor) == ("0000000000000000017", Money(1234, "CNY"), 1234)


def test_comments_in_a_status_file_are_left_out() -> None:
    made = stage()
    pay(made)
    twin: Any = made.twin
    twin._shelf.list(STATUS, "ALL", None, None, made.ledger)
    [file] = [one for one in twin._shelf._files.values() if one.kind == STATUS]
    said, findings = iso.status(
        file.content.replace(b"<TxSts>", b"<!-- accepted --><TxSts>").replace(b">ACCP<", b">AC<!-- -->CP<")
    )
    assert findings == () and said.groups[0].payments[0].status == "ACCP"


def test_a_document_type_is_refused_among_comments() -> None:
    with pytest.raises(ProtocolError) as refused:
        iso.document(b"<!-- a --><!DOCTYPE x><x/>")
    assert refused.value.reason == "doctype"
