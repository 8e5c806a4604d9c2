"""`bankgw reconcile` and `bankgw report` as a person types them, over a gateway in memory."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from gateway.call import Denied
from gateway.cli import application, output
from gateway.cli.commands import report
from gateway.control.client import Refused
from protocols.canon.money import Money
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.test_application import world
from tests.gateway.reconciliation.test_reconciliation import OPENING
from tests.gateway.statements.test_accounts_today import POLL_S, SPARE, counter


class InMemory:
    """The client's two calls, answered by the control API's verbs in memory."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self.person: str | None = None

    def get(self, *parts: str, **query: Any) -> Any:
        return self._asked("GET", *parts, query={name: str(one) for name, one in query.items() if one is not None})

    def post(self, *parts: str, **body: Any) -> Any:
        return self._asked("POST", *parts, **json.loads(json.dumps(body)))

    def _asked(self, *asked: str, **more: Any) -> Any:
        try:
            return self._operator.ask(*asked, person=self.person, **more)
        except Denied as no:
            raise Refused(no.status, no.code, str(no)) from None


class Person:
    """A person who types commands and reads their output."""

    def __init__(self, operator: Operator, client: InMemory, capsys: pytest.CaptureFixture[str]) -> None:
        self.client = client
        self.account = operator.world.banks["sample"].account
        self._capsys = capsys

    def says(self, *words: object, code: int = 0) -> str:
        assert application.main(world(), [str(word) for word in words]) == code
        told = self._capsys.readouterr()
        return told.out if code == 0 else told.err

    def json(self, *words: object) -> Any:
        return json.loads(self.says(*words, "--json"))


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    operator = counter(tmp_path)
    for number, minor in ((1, 10_000), (2, 30_000)):
        operator.world.submit(f"AP-{number}", minor, bank="sample")
    operator.world.run(POLL_S * 2 + 5)
    client = InMemory(operator)
    monkeypatch.setattr(output, "remote", lambda *_given: client)
    capsys.readouterr()
    yield Person(operator, client, capsys)
    operator.world.crash()


def written(file: Path, *rows: dict[str, str]) -> Path:
    with file.open("w", encoding="utf-8", newline="") as out:
        table = csv.DictWriter(out, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return file


def test_a_book_is_handed_in_and_decided(person: Person, tmp_path: Path) -> None:
    said = person.json("reconcile", "show", person.account)
    day = said["to"]
    rows = [
        {"id": f"V-{number}", "date": day, "direction": "debit", "amount": amount, "reference": reference}
        for number, amount, reference in ((1, "100.00", "AP-1"), (2, "120.00", ""), (3, "180.00", ""))
    ]
    file = written(tmp_path / "book.csv", *rows)
    begin, end = day[:8] + "01", day
    told = ("reconcile", "book", person.account, file, "--from", begin, "--to", end, "--opening", str(Money(OPENING)))
    assert "totals" in person.says(*told, "--closing", "1.00", code=3)
    assert "3 rows" in person.says(*told, "--closing", str(Money(OPENING - 40_000)), "--count", 3)
    said = person.json("reconcile", "show", person.account)["matchings"]["B"]
    assert said["matched"]["code"] == 1 and len(said["open_entries"]) == 2
    [line] = said["open_lines"]
    words = person.says("reconcile", "show", person.account)
    assert "B, book and entries: 1 code; open 2 and 1" in words and line["id"] in words
    confirm = (
        "reconcile",
        "confirm",
        person.account,
        "--matching",
        "B",
        "--reason",
        "in two parts",
        "--line",
        line["id"],
    )
    decision = person.json(*confirm, "--entry", "book:V-2", "--entry", "book:V-3")["decision"]
    assert person.json("reconcile", "show", person.account)["matchings"]["B"]["open_count"] == [0, 0]
    assert "undone" in person.says("reconcile", "undo", person.account, decision, "--reason", "x")
    aside = ("reconcile", "aside", person.account, "--matching", "B", "--reason", "asked", "--line", line["id"])
    assert "aside" in person.says(*aside)
    assert "no book" in person.says("reconcile", "table", person.account, "2020-01")
    assert "not_a_person" in person.says("reconcile", "submit", person.account, "2020-01", code=3)
    person.client.person = "wang"
    assert "no book" in person.says("reconcile", "submit", person.account, "2020-01", code=3)
    assert "not the last" in person.says("reconcile", "approve", person.account, "2020-01", "--version", 1, code=3)
    book = person.json(*told, "--closing", str(Money(OPENING - 40_000)))["book"]
    assert "withdrawn" in person.says("reconcile", "withdraw", person.account, book, "--reason", "wrong file")


def test_a_book_that_cannot_be_read_is_not_sent(person: Person, tmp_path: Path) -> None:
    told = ("--from", "2026-11-01", "--to", "2026-11-30", "--opening", "1", "--closing", "1")
    for text, said in (
        ("id,date\n", "no column direction"),
        ("id,date,direction,amount,x\n", "x is no column"),
        ("id,date,direction,amount\n1,2\n", "line 2"),
        ("id,date,direction,amount,voucher\n1,2026-11-02,debit,1,1.2E+17\n", "column voucher: '1.2E+17' has lost"),
    ):
        file = tmp_path / "book.csv"
        file.write_text(text)
        assert said in person.says("reconcile", "book", person.account, file, *told, code=2)
    assert "cannot be read" in person.says("reconcile", "book", person.account, tmp_path / "none", *told, code=2)


def test_a_month_closes_from_files_alone(person: Person, tmp_path: Path) -> None:
    entries = written(tmp_path / "bank.csv", {"交易日期": "2026-10-30", "支出": "5.00", "摘要": "手续费"})
    statement = (
        "reconcile",
        "statement",
        SPARE,
        entries,
        "--column",
        "date=交易日期",
        "--column",
        "debit=支出",
        "--column",
        "text=摘要",
        "--opening",
        "10.00",
        "--closing",
    )
    assert "totals" in person.says(*statement, "4.00", "--to", "2026-10-31", code=3)
    assert "1 entries" in person.says(*statement, "5.00", "--to", "2026-10-31")
    assert "does not state --opening" in person.says(*statement[:-3], code=2)
    assert "none of" in person.says(*statement, "5.00", "--column", "x=y", code=2)
    book = written(tmp_path / "book.csv", {"id": "V-1", "date": "2026-10-31", "direction": "credit", "amount": "2.00"})
    person.says(
        "reconcile",
        "book",
        SPARE,
        book,
        "--from",
        "2026-10-01",
        "--to",
        "2026-10-31",
        "--opening",
        "10.00",
        "--closing",
        "12.00",
    )
    words = person.says("reconcile", "table", SPARE, "2026-10")
    assert "差额 (difference): 0.00" in words and words.count("7.00") == 2 and "手续费" in words
    person.client.person = "wang"
    assert "version 1 is submitted" in person.says("reconcile", "submit", SPARE, "2026-10")
    assert "another person" in person.says("reconcile", "approve", SPARE, "2026-10", "--version", 1, code=3)
    assert "version 1: submitted" in person.says("reconcile", "table", SPARE, "2026-10")


def test_reports_on_the_terminal_and_in_files(person: Person, tmp_path: Path) -> None:
    assert "AP-1" in person.says("report", "payments") and "合计 CNY" in person.says("report", "payments")
    assert [row["order"] for row in person.json("report", "entries", "--account", person.account)["rows"]] == [
        "AP-1",
        "AP-2",
    ]
    for name in ("balances", "positions", "daily", "bank-service", "balance-tables", "open-items"):
        assert person.says("report", name, "--language", "en")
    for suffix in ("xlsx", "html", "csv"):
        file = tmp_path / f"payments.{suffix}"
        assert "2 rows" in person.says("report", "payments", "--out", file)
        assert file.stat().st_mode & 0o777 == 0o600 and file.stat().st_size > 100
    sheet = load_workbook(tmp_path / "payments.xlsx").active
    assert sheet is not None and [cell.value for cell in sheet["K"]][-3:] == [300, 100, 400]
    assert sorted(one.name for one in tmp_path.glob("*payments*")) == ["payments.csv", "payments.html", "payments.xlsx"]
    assert "no report x" in person.says("report", "x", code=2)
    assert "zh or en" in person.says("report", "payments", "--language", "fr", code=2)
    assert "ends with" in person.says("report", "payments", "--out", "x.doc", code=2)
    assert "cannot be written" in person.says("report", "payments", "--out", tmp_path / "no" / "x.csv", code=1)
    assert "bad_day" in person.says("report", "payments", "--to", "x", code=2)


def test_a_long_report_says_how_far_it_is(
    person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "PROGRESS_ROWS", 1)
    assert application.main(world(), ["report", "payments", "--out", str(tmp_path / "x.csv")]) == 0
    assert capsys.readouterr().err.splitlines() == ["1 rows …", "2 rows …"]
