"""Statements of a day, receipts that a bank makes later, balances of past days."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.kernel.asking import Unavailable, branches
from gateway.receipts.rows import receipts
from gateway.statements.erp import statements
from gateway.statements.rows import accounts
from protocols.bank import Bank, Context, Conversation
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import DirectoryQuestion, LinesQuestion, ReceiptQuestion
from protocols.canon.statement import Branch, Direction, DirectoryPage, Line, Page, Receipt, ReceiptLater
from protocols.erp.account_replies import RECEIPT_PAGE_BYTES, line_id
from protocols.kit.declined import Declined
from protocols.kit.errors import CannotAsk
from tests.world.batching import SENDER, batch
from tests.world.world import World

DAY_S = 86_400


def world(folder: Path, **more: Any) -> World:
    made = World(folder, sender=SENDER, **more)
    made.start()
    made.run(3)
    return made


def overnight(made: World) -> None:
    """Let a day pass without a person or an ERP, which takes no real time."""
    made.leave()
    made.clock.advance(DAY_S)
    made.start()
    made.run(5)


def asked(made: World, key: str, body: dict[str, Any], wait_s: float = 5) -> dict[str, Any]:
    made.command(key, body)
    made.run(wait_s)
    found = [said for head, said in made.replies if head.correlation_id == f"m-{made._published}"]
    assert len(found) == 1, found
    return found[0]


def today(made: World) -> str:
    """The bank's date, at noon in the time zone eight hours east of UTC."""
    return (datetime.fromtimestamp(made.clock.seconds(), UTC) + timedelta(hours=8)).date().isoformat()


def saying(**questions: Any) -> dict[str, Callable[[Bank], Bank]]:
    """The sample bank with other answers to these questions."""
    return {"sample": lambda bank: replace(bank, questions=replace(bank.questions, **questions))}


# ---- statements ----


def test_a_day_is_walked_to_its_end_checked_and_given_out_in_pages(tmp_path: Path) -> None:
    made = world(tmp_path)
    for n in range(120):
        made.submit(f"AP-{n}", 100)
    made.run(10)
    day = today(made)
    first = asked(made, "statement.request", {"account": made.bank.account, "date": day, "limit": 50})
    assert (first["count"], first["debit_count"], first["debit_sum"]) == (120, 120, "120.00")
    assert (first["opening"], first["closing"]) == ("10000000000.00", "9999999880.00")
    assert (first["checked"], first["closed"], first["complete"], len(first["lines"])) == (True, False, False, 50)
    lines, page = list(first["lines"]), first
    while not page["complete"]:
        page = asked(
            made, "statement.request", {"account": made.bank.account, "date": day, "limit": 50, "after": page["next"]}
        )
        lines += page["lines"]
    assert len({line["line"] for line in lines}) == 120 and all("matched_payment" in line for line in lines)


def test_a_day_that_changed_between_two_pages_is_begun_again(tmp_path: Path) -> None:
    made = world(tmp_path)
    for n in range(3):
        made.submit(f"AP-{n}", 100)
    made.run(5)
    body = {"account": made.bank.account, "date": today(made), "limit": 2}
    first = asked(made, "statement.request", body)
    made.submit("AP-9", 100)
    made.run(5)
    kept = asked(made, "statement.request", {**body, "after": first["next"]})
    assert kept["count"] == 3 and kept["complete"], "within minutes the statement is the one that was begun"
    made.run(900)
    again = asked(made, "statement.request", {**body, "after": first["next"]})
    assert again["error"]["code"] == "bad_cursor"
    borrowed = asked(made, "statement.request", {**body, "date": "2026-11-01", "after": first["next"]})
    assert borrowed["error"]["code"] == "bad_cursor"


def test_a_past_day_is_closed(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.submit("AP-1", 100)
    made.run(5)
    day = today(made)
    overnight(made)
    said = asked(made, "statement.request", {"account": made.bank.account, "date": day})
    assert (said["closed"], said["checked"], said["count"], said["complete"]) == (True, True, 1, True)
    for wrong in ("2020-01-01", "2026-12-31"):
        late = asked(made, "statement.request", {"account": made.bank.account, "date": wrong})
        assert late["error"]["errors"][0]["at"] == "/date"


def after_hours(bank: Bank) -> Bank:
    """The bank after its cut-off, at any time of the day: a send now has tomorrow's date."""
    hours = replace(bank.profile.limits.hours, cut_off=time(0, 0))
    return replace(bank, profile=replace(bank.profile, limits=replace(bank.profile.limits, hours=hours)))


def test_a_cut_off_closes_no_day(tmp_path: Path) -> None:
    made = world(tmp_path, adapters={"sample": after_hours})
    made.submit("AP-1", 100)
    made.run(5)
    day = date.fromisoformat(today(made))
    said = asked(made, "statement.request", {"account": made.bank.account, "date": day.isoformat()})
    assert (said["closed"], said["count"]) == (False, 1)
    tomorrow = asked(made, "statement.request", {"account": made.bank.account, "date": str(day + timedelta(days=1))})
    assert tomorrow["closed"] is False, "the bank may book for it already"
    balance = asked(made, "balance.query", {"accounts": [made.bank.account], "on": day.isoformat()})
    assert balance["error"]["errors"][0]["at"] == "/on" and day.isoformat() in str(balance["error"])


def test_a_statement_is_told_from_others_once_and_not_for_each_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_apart: list[Line] = []
    real = line_id

    def counted(line: Line) -> str:
        told_apart.append(line)
        return real(line)

    monkeypatch.setattr(statements, "line_id", counted)
    made = world(tmp_path)
    for n in range(5):
        made.submit(f"AP-{n}", 100)
    made.run(5)
    body = {"account": made.bank.account, "date": today(made), "limit": 1}
    page = asked(made, "statement.request", body)
    while not page["complete"]:
        page = asked(made, "statement.request", {**body, "after": page["next"]})
    assert len(told_apart) == 5


def _lines(change: Callable[[Page], Page], bank: Bank) -> Callable[[LinesQuestion, Context], Conversation[Page]]:
    inner = bank.questions.lines
    assert inner is not None

    def lines(question: LinesQuestion, context: Context) -> Conversation[Page]:
        return change((yield from inner(question, context)))

    return lines


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda page: replace(page, closing=Money(1)), "bank_unclear"),
        (lambda page: replace(page, total_lines=7), "bank_unclear"),
        (lambda page: replace(page, cursor="again"), "bank_unclear"),
    ],
    ids=["a sum that does not fit", "a count that does not fit", "a walk without end"],
)
def test_a_statement_that_contradicts_itself_is_none(change: Callable[[Page], Page], code: str, tmp_path: Path) -> None:
    def adapter(bank: Bank) -> Bank:
        return replace(bank, questions=replace(bank.questions, lines=_lines(change, bank)))

    made = world(tmp_path, adapters={"sample": adapter})
    made.submit("AP-1", 100)
    made.run(5)
    said = asked(made, "statement.request", {"account": made.bank.account, "date": today(made)}, 30)
    assert said["error"]["code"] == code


def test_a_bank_that_states_no_balances_cannot_be_checked(tmp_path: Path) -> None:
    def adapter(bank: Bank) -> Bank:
        silent = _lines(lambda page: replace(page, opening=None, closing=None), bank)
        return replace(bank, questions=replace(bank.questions, lines=silent))

    made = world(tmp_path, adapters={"sample": adapter})
    said = asked(made, "statement.request", {"account": made.bank.account, "date": today(made)})
    assert said["checked"] is False and "opening" not in said


# ---- receipts ----


def test_a_receipt_is_asked_for_until_it_is_made(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.submit("AP-1", 100)
    made.run(5)
    made.command("receipt.request", {"id": "AP-1"})
    made.run(3)
    assert len(made.replies) == 1, "the bank said: later"
    made.run(10)
    said = made.replies[-1][1]
    data = b64decode(said["data"])
    assert said["sha256"] == sha256(data).hexdigest() and said["size"] == len(data)
    assert (said["media_type"], said["page"], said["pages"]) == ("application/xml", 1, 1)
    assert said["payment"] == made.last("AP-1")["payment"] and b"<Amount>1.00</Amount>" in data


def test_a_receipt_by_its_entry(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.submit("AP-1", 100)
    made.run(5)
    page = asked(made, "statement.request", {"account": made.bank.account, "date": today(made)})
    [line] = page["lines"]
    named = {"account": made.bank.account, "bank_date": line["bank_date"], "bank_line_id": line["bank_line_id"]}
    said = asked(made, "receipt.request", named, 15)
    assert said["bank_line_id"] == line["bank_line_id"] and said["size"] > 0


def test_the_ticket_outlives_the_daemon(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.submit("AP-1", 100)
    made.run(5)
    made.command("receipt.request", {"id": "AP-1"})
    made.run(3)
    made.crash()
    with_ticket = made.read(
        lambda conn: [receipts.ticket_of(conn, key) for (key,) in conn.exec_driver_sql("select question from tickets")]
    )
    assert len(with_ticket) == 1 and with_ticket[0] is not None
    made.start()
    made.run(20)
    assert made.replies[-1][1]["media_type"] == "application/xml" and len(made.replies) == 2
    left = made.read(lambda conn: conn.exec_driver_sql("select count(*) from tickets").scalar())
    assert left == 0


class Maker:
    """Answers receipt questions from a list; an exception in it is raised."""

    def __init__(self, *answers: Receipt | ReceiptLater | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[ReceiptQuestion] = []

    def __call__(self, question: ReceiptQuestion, _context: Context) -> Conversation[Receipt | ReceiptLater]:
        self.asked.append(question)
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(said, Exception):
            raise said
        return said
        yield  # type: ignore[unreachable]


def test_a_large_receipt_comes_in_pages_of_one_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9_000
    maker = Maker(Receipt(data, "application/pdf", "r.pdf"), Receipt(b"another", "application/pdf"))
    made = world(tmp_path, adapters=saying(receipt=maker))
    named = {"account": made.bank.account, "bank_date": today(made), "bank_line_id": "9"}
    first = asked(made, "receipt.request", named)
    assert (first["pages"], first["size"], first["name"]) == (3, len(data), "r.pdf")
    parts = [first] + [asked(made, "receipt.request", {**named, "page": n}) for n in (2, 3)]
    assert b"".join(b64decode(part["data"]) for part in parts) == data
    assert {part["sha256"] for part in parts} == {sha256(data).hexdigest()} and len(maker.asked) == 1
    beyond = asked(made, "receipt.request", {**named, "page": 4})
    assert beyond["error"]["errors"][0]["at"] == "/page"
    overnight(made)
    late = asked(made, "receipt.request", {**named, "page": 2})
    assert late["error"]["code"] == "validation" and len(maker.asked) == 2, "after a day the bank is asked again"


@pytest.mark.parametrize("together", [True, False])
def test_a_payment_s_receipt_is_asked_for_with_what_the_journal_knows_of_it(together: bool, tmp_path: Path) -> None:
    maker = Maker(Receipt(b"x", "text/plain"))
    made = world(tmp_path, adapters=saying(receipt=maker))
    if together:
        made.command("batch.submit", batch(made, "B-1", [10_000, 20_000]))
    else:
        made.command("payment.submit", made.order("B-1-1", minor=10_000))
    made.run(5)
    asked(made, "receipt.request", {"id": "B-1-1"})
    [wanted] = maker.asked
    sent = [one.instruction for one in made.bank.ledger.executions if one.instruction.reference == wanted.reference]
    assert [one.creditor_account for one in sent] == [wanted.creditor.clear if wanted.creditor else ""]
    assert [one.creditor_name for one in sent] == [wanted.creditor_name.clear if wanted.creditor_name else ""]
    assert [one.bundle or None for one in sent] == [wanted.bundle] and (wanted.bundle is not None) == together


def test_a_question_that_the_bank_cannot_be_asked_says_what_it_needs(tmp_path: Path) -> None:
    maker = Maker(CannotAsk("a receipt is asked for by its entry's amount"), Receipt(b"x", "text/plain"))
    made = world(tmp_path, adapters=saying(receipt=maker))
    named = {"account": made.bank.account, "bank_date": today(made), "bank_line_id": "9"}
    dials = made.dials
    said = asked(made, "receipt.request", named)["error"]
    assert (said["code"], said["resend"]) == ("validation", "same_id") and "by its entry's amount" in said["title"]
    assert [(one["at"], one["code"]) for one in said["errors"]] == [("/bank_line_id", "unsupported")]
    assert b64decode(asked(made, "receipt.request", named)["data"]).decode() == "x" and made.dials == dials


@pytest.mark.parametrize("ours", [True, False])
def test_an_entry_s_receipt_is_asked_for_with_what_the_journal_knows_of_it(ours: bool, tmp_path: Path) -> None:
    maker = Maker(Receipt(b"x", "text/plain"))
    made = world(tmp_path, adapters=saying(receipt=maker))
    made.submit("AP-1", 12_345)
    made.run(5)
    reference = made.bank.ledger.executions[0].instruction.reference
    line = Line(
        AccountNumber(made.bank.account),
        "S-1",
        Direction.DEBIT,
        Money(12_345),
        date.fromisoformat(today(made)),
        reference=reference if ours else None,
    )
    assert made.life is not None
    made.life.gateway.parts.store.write(lambda tx: accounts.keep_entry(tx, "sample", line, ()))
    made.run(1)
    asked(made, "receipt.request", {"account": made.bank.account, "bank_date": today(made), "bank_line_id": "S-1"})
    asked(made, "receipt.request", {"id": "AP-1"})
    by_entry, by_payment = maker.asked
    assert (by_entry.amount, by_entry.bank_line_id) == (Money(12_345), "S-1")
    assert by_entry.reference == (reference if ours else None) and by_payment.reference == reference
    assert by_payment.bank_line_id == ("S-1" if ours else "")


def test_pages_of_one_file_follow_also_when_somebody_begins_anew(tmp_path: Path) -> None:
    """The bank makes a new file for each request."""
    maker = Maker(*(Receipt(bytes([n]) * (RECEIPT_PAGE_BYTES + 10), "application/pdf") for n in range(9)))
    made = world(tmp_path, adapters=saying(receipt=maker))
    named = {"account": made.bank.account, "bank_date": today(made), "bank_line_id": "1"}
    said = [asked(made, "receipt.request", {**named, "page": page}) for page in (1, 1, 2, 1, 2)]
    assert len({page["sha256"] for page in said}) == 1 and len(maker.asked) == 1
    # A reader that begins late in the day gets a file that also exists for its further pages.
    made.leave()
    made.clock.advance(DAY_S * 0.6)
    made.start()
    made.run(5)
    late = [asked(made, "receipt.request", {**named, "page": page}) for page in (1, 2)]
    assert len({page["sha256"] for page in late}) == 1 and len(maker.asked) == 2
    whole = b"".join(b64decode(page["data"]) for page in late)
    assert sha256(whole).hexdigest() == late[0]["sha256"] != said[0]["sha256"]


def test_two_who_begin_at_once_are_given_one_file(tmp_path: Path) -> None:
    maker = Maker(*(Receipt(bytes([n]) * (RECEIPT_PAGE_BYTES + 10), "application/pdf") for n in range(9)))
    made = world(tmp_path, adapters=saying(receipt=maker))
    named = {"account": made.bank.account, "bank_date": today(made), "bank_line_id": "1"}
    made.command("receipt.request", named)
    made.command("receipt.request", named)
    made.run(10)
    first, second = (said for _, said in made.replies)
    assert first["sha256"] == second["sha256"] and len(maker.asked) == 2


def test_later_is_as_late_as_the_bank_says_and_no_later_than_patience(tmp_path: Path) -> None:
    maker = Maker(ReceiptLater("t1", 100.0), ReceiptLater("t2", 0.0), Receipt(b"x", "text/plain"))
    made = world(tmp_path, adapters=saying(receipt=maker))
    named = {"account": made.bank.account, "bank_date": today(made), "bank_line_id": "9"}
    made.command("receipt.request", named)
    made.run(99)
    assert [one.ticket for one in maker.asked] == [None]
    made.run(3)
    assert [one.ticket for one in maker.asked] == [None, "t1", "t2"], "a bank in a hurry is given a second"
    assert b64decode(made.replies[-1][1]["data"]) == b"x"
    maker.answers = [ReceiptLater("t", 50.0)]
    said = asked(made, "receipt.request", {**named, "max_wait": "PT2M"}, 200)
    assert said["error"]["code"] == "expired"


@pytest.mark.parametrize(
    ("word", "code", "times"), [("failed", "bank_refused", 1), ("not_found", "bank_unavailable", 4)]
)
def test_what_the_bank_refuses_is_not_asked_again(word: str, code: str, times: int, tmp_path: Path) -> None:
    maker = Maker(Declined("Receipt", "X1", "no", word))
    made = world(tmp_path, adapters=saying(receipt=maker))
    named = {"account": made.bank.account, "bank_date": today(made), "bank_line_id": "9", "max_wait": "PT10M"}
    said = asked(made, "receipt.request", named, 700)
    assert said["error"]["code"] == code and len(maker.asked) == times


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"id": "AP-9"}, "unknown_payment"),
        ({"id": "AP-1"}, "validation"),
        ({"account": "00000000000999", "bank_date": "2026-11-24", "bank_line_id": "1"}, "validation"),
    ],
    ids=["no such payment", "never sent", "no own account"],
)
def test_what_can_have_no_receipt_is_refused_at_the_door(body: dict[str, Any], code: str, tmp_path: Path) -> None:
    made = world(tmp_path)
    made.submit("AP-1", 100, not_before=made.moment(600))
    made.run(2)
    assert asked(made, "receipt.request", body, 1)["error"]["code"] == code


def test_a_bank_without_receipts_or_entries_is_refused_at_the_door(tmp_path: Path) -> None:
    made = world(tmp_path, adapters=saying(receipt=None, lines=None))
    own = made.bank.account
    receipt = asked(made, "receipt.request", {"account": own, "bank_date": today(made), "bank_line_id": "1"}, 1)
    statement = asked(made, "statement.request", {"account": own, "date": today(made)}, 1)
    assert [one["error"]["code"] for one in (receipt, statement)] == ["unsupported"] * 2
    assert receipt["error"]["title"] == "sample gives no electronic receipts"


# ---- past balances ----


def test_the_balance_of_a_past_day(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.submit("AP-1", 100)
    made.run(5)
    day = today(made)
    overnight(made)
    made.submit("AP-2", 500)
    made.run(5)
    [past] = asked(made, "balance.query", {"accounts": [made.bank.account], "on": day})["balances"]
    assert (past["book"], past["on"], past["source"]) == ("9999999999.00", day, "bank")
    [now] = asked(made, "balance.query", {"accounts": [made.bank.account], "max_age": "PT24H"})["balances"]
    assert now["book"] == "9999999994.00" and "on" not in now, "a past day is no answer to what is there now"


def test_a_past_day_that_no_bank_tells_is_refused_at_the_door(tmp_path: Path) -> None:
    def forgetful(bank: Bank) -> Bank:
        return replace(bank, profile=replace(bank.profile, past_balance_days=0))

    made = world(tmp_path, adapters={"sample": forgetful})
    said = asked(made, "balance.query", {"accounts": [made.bank.account], "on": "2026-11-01"}, 1)
    assert said["error"]["code"] == "unsupported" and said["error"]["errors"][0]["at"] == "/accounts/0"


@pytest.mark.parametrize("day", ["2025-01-01", "2026-12-31"])
def test_a_past_day_is_past_and_not_too_far(day: str, tmp_path: Path) -> None:
    made = world(tmp_path)
    said = asked(made, "balance.query", {"accounts": [made.bank.account], "on": day}, 1)
    assert said["error"]["code"] == "validation" and said["error"]["errors"][0]["at"] == "/on"


# ---- the bank's directory ----


def test_the_directory_is_walked_to_its_end(tmp_path: Path) -> None:
    first, second = Branch("000000000001", "甲"), Branch("000000000002", "乙")
    pages = {None: DirectoryPage((first,), "2"), "2": DirectoryPage((second,))}

    def directory(question: DirectoryQuestion, _context: Context) -> Conversation[DirectoryPage]:
        assert question.name == "支行"
        return pages[question.cursor]
        yield  # type: ignore[unreachable]

    made = world(tmp_path, adapters=saying(directory=directory))
    assert made.life is not None
    gateway, found = made.life.gateway, list[Any]()
    bank = gateway.registry.banks["sample"]
    Deferred.fromCoroutine(branches(gateway.ask, "sample.main", bank, "支行")).addBoth(found.append)
    made.run(5)
    assert [branch.name for branch in found[0]] == ["甲", "乙"]
    none = replace(bank, questions=replace(bank.questions, directory=None))
    Deferred.fromCoroutine(branches(gateway.ask, "sample.main", none, "支行")).addBoth(found.append)
    assert isinstance(found[1].value, Unavailable)


def test_a_day_with_an_entry_that_cannot_be_read_is_not_closed() -> None:
    for unread, closed in ((0, True), (1, False)):
        walk = statements._PartialStatement(AccountNumber("00000000000100"), "CNY", date(2026, 11, 18), closed=True)
        walk.add(Page((), unread=unread))
        assert walk.statement().closed is closed
