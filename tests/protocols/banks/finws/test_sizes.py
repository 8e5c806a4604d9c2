"""Sizes: five thousand payments in a file, and statements that are read page by page because memory cannot hold them."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from gateway.simbank.ledger import LedgerAccount
from protocols.banks import finws
from protocols.banks.finws import iso, messages
from protocols.banks.finws.files import DOWNLOADS_MAX
from protocols.banks.finws.twin_files import NOTIFICATION, STATEMENT, Shelved
from protocols.canon.money import Money
from protocols.canon.order import Bundle, Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Line
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.finws.paper import DEBTOR, options, stage
from tests.protocols.banks.finws.test_files_of_many import ask, items, upload
from tests.protocols.kit.iso20022.test_stream import document, entry, statement
from tests.world.dialogue import NOON, BankAndTwin

RICH = (LedgerAccount(DEBTOR, "示例甲公司", Money(10**12)),)


@pytest.mark.parametrize("profile", ["nordea", "samlink"])
def test_five_thousand_payments_in_a_file(profile: str) -> None:
    """This also holds where the bank takes no packed file."""
    made = stage(RICH, adapter={"profile": profile, "file_payments": 5000})
    bundle = Bundle(Kind.BATCH_ITEM, items(Kind.BATCH_ITEM, *["货款 HT-0931"] * 5000))
    assert {one.fate for one in upload(made, bundle).values()} == {Fate.PENDING}
    found = ask(made, bundle)
    assert len(found) == 5000 and {one.fate for one in found.values()} == {Fate.SETTLED}
    assert len(made.ledger.executions) == 5000


def shelved(entries: int, closing: str = "", profile: str = "nordea") -> BankAndTwin:
    """A bank with one statement, of yesterday."""
    made = stage(adapter={"currencies": ["EUR"], "profile": profile})
    twin: Any = made.twin
    data = b"".join(document(statement(3, "0000000000000000033"), statement(entries, DEBTOR, closing)))
    twin._shelf._keep(Shelved("S1", STATEMENT, "NEW", NOON, data))
    return made


def walk(made: BankAndTwin) -> tuple[list[Line], list[str], list[Any]]:
    """All pages: lines, findings, and the balances of each page."""
    found, findings, ends, cursor = list[Line](), list[str](), list[Any](), None
    yesterday = NOON.date().replace(day=NOON.day - 1)
    assert made.bank.questions.lines is not None
    while True:
        question = LinesQuestion(AccountNumber(DEBTOR), yesterday, yesterday, "EUR", cursor)
        page = made.talk(made.bank.questions.lines(question, made.context()))
        found += page.lines
        findings += page.findings
        ends.append((page.opening, page.closing))
        cursor = page.cursor
        if cursor is None:
            return found, findings, ends


@pytest.mark.parametrize(("closing", "profile"), [("", "nordea"), ("5.00", "nordea"), ("", "samlink")])
def test_a_statement_too_large_to_be_held_comes_in_pages(
    closing: str, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines, ids and findings equal those of the statement read at once, also where the bank packs nothing."""
    whole = walk(shelved(700, closing))
    monkeypatch.setattr(messages, "CONTENT_MAX_BYTES", 100_000)
    monkeypatch.setattr(iso, "PART_ENTRIES", 300)
    made = shelved(700, closing, profile)
    lines, findings, ends = walk(made)
    assert lines == whole[0] and len(lines) > 600
    assert [one for one in findings if "schema" not in one] == [one for one in whole[1] if "schema" not in one]
    assert len(ends) == 3 and ends[0] == (whole[2][0][0], None) and ends[-1] == (None, whole[2][0][1])


def test_an_answer_of_ten_megabytes_is_verified_and_read() -> None:
    """100,000 entries make one text of more than the 10 MB that the XML library accepts by default."""
    made = shelved(1)
    twin: Any = made.twin
    noise = Random(1)
    texts = [b64encode(noise.randbytes(150_000)).decode() for _ in range(48)]
    entries = "".join(
        entry(number).replace("<NtryDtls>", f"<AddtlNtryInf>{text}</AddtlNtryInf><NtryDtls>")
        for number, text in enumerate(texts)
    )
    data = b"".join(document(iter(["".join(statement(0, DEBTOR)).replace("</Stmt>", f"{entries}</Stmt>")])))
    twin._shelf._files["S1"].content = data
    lines, findings, _ = walk(made)
    assert max(len(one.answer) for one in made.said) > 12_000_000 and 40 < len(lines) < 60
    assert all("do not make closing" in one for one in findings)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [("uploadFile", "frame_too_long"), ("downloadFileList", "frame_too_long"), ("downloadFile", "not_xml")],
)
def test_only_an_answer_that_brings_a_file_may_be_large(operation: str, reason: str) -> None:
    body = b" " * (messages.ANSWER_MAX_BYTES + 1)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with pytest.raises(ProtocolError) as refused:
        finws.files(options()).wire.read(answer, operation, ("1",), "", NOON.date())
    assert refused.value.reason == reason


def test_a_booking_is_found_however_many_notifications_came_after_it() -> None:
    """A bank with a notification for every movement writes more files a day than one enquiry fetches."""
    made = stage()
    bundle = Bundle(Kind.BATCH_ITEM, items(Kind.BATCH_ITEM, "货款", "货款"))
    upload(made, bundle)
    assert {one.fate for one in ask(made, bundle).values()} == {Fate.SETTLED}
    twin: Any = made.twin
    data = b"".join(document(statement(3, "0000000000000000033")))
    twin._shelf._accounts.clear()  # no statement of the day has it a second time
    for number in range(1, 100):
        at = NOON + timedelta(seconds=number)
        twin._shelf._keep(Shelved(f"N{number}", NOTIFICATION, "NEW", at, data))
        twin._shelf._keep(Shelved(f"S{number}", STATEMENT, "NEW", at, data))
    asked = len(made.said)
    assert {one.fate for one in ask(made, bundle).values()} == {Fate.SETTLED}
    assert len(made.said) - asked < 3 * DOWNLOADS_MAX


def test_returns_are_found_in_any_number_of_files() -> None:
    made = stage()
    upload(made, Bundle(Kind.BATCH_ITEM, items(Kind.BATCH_ITEM, "货款", "货款 #return")))
    made.time.later(86_400)
    returns = made.bank.questions.returns
    assert returns is not None
    day = made.context().bank_date
    question = ReturnsQuestion(AccountNumber(DEBTOR), NOON.date(), day)
    whole = made.talk(returns(question, made.context()))
    assert len(whole.returns) == 1 and whole.cursor is None
    data = b"".join(document(statement(3, "0000000000000000033")))
    twin: Any = made.twin
    for number in range(150):
        twin._shelf._keep(Shelved(f"N{number}", NOTIFICATION, "NEW", NOON + timedelta(seconds=number), data))
    found, pages, cursor = set[Any](), 0, None
    while pages == 0 or cursor is not None:
        made.time.later(1)
        page = made.talk(returns(replace(question, cursor=cursor), made.context()))
        found, pages, cursor = found | set(page.returns), pages + 1, page.cursor
    assert found == set(whole.returns) and pages == 3
    with pytest.raises(ProtocolError) as refused:
        made.talk(returns(replace(question, last=NOON.date(), cursor="x"), made.context()))
    assert refused.value.reason == "paging"


def test_a_file_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "STREAM_MAX_BYTES", 500_000)
    packed = messages.gzip(b"".join(document(statement(2000, DEBTOR))))
    with pytest.raises(ProtocolError) as refused:
        list(iso.accounts(messages.Packed(packed)))
    assert refused.value.reason == "frame_too_long"
    for wrong in (packed[:-9], packed + b"x", b"\x1f\x8b\x08\x00"):
        monkeypatch.setattr(messages, "STREAM_MAX_BYTES", 50_000_000)
        with pytest.raises(ProtocolError):
            list(messages.Packed(wrong).pieces())


def test_what_must_be_held_is_refused_when_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iso, "_MAX_BYTES", 100)
    for packed in (messages.Packed(messages.gzip(b"<a/>" * 26)), messages.Packed(b"<a/>" * 26, zipped=False)):
        with pytest.raises(ProtocolError) as refused:
            iso.status(packed)
        assert refused.value.reason == "frame_too_long"
