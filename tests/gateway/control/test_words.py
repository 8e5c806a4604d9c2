"""The output and exit codes of `today` and `directory`. The tests give the daemon's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import application, exit_codes
from gateway.control.client import ControlClient, Refused
from tests.gateway.cli.test_application import world

SOCKET = "/nowhere/control.sock"
ACCOUNT: dict[str, Any] = {
    "account": "000000****0100",
    "bank": "sample",
    "lane": "sample.main",
    "lane_condition": "ready",
    "company": "jia",
    "currency": "CNY",
    "watched": True,
    "bank_date": "2026-11-24",
    "entries": 3,
    "note": "watched",
    "balance": {
        "book": "1200.00",
        "available": None,
        "frozen": None,
        "currency": "CNY",
        "as_of": "2026-11-24T01:30:00.000Z",
        "heard_at": "2026-11-24T01:31:00.000Z",
    },
    "statement": {"date": "2026-11-23", "expected": True, "arrived": True, "missing": []},
    "in_doubt": {"count": 2, "sum": "12.50"},
}
TOTAL: dict[str, Any] = {
    "bank": "*",
    "currency": "CNY",
    "accounts": 2,
    "watched": 1,
    "book": "1200.00",
    "book_accounts": 1,
    "available": None,
    "available_accounts": 0,
    "oldest_as_of": "2026-11-24T01:30:00.000Z",
    "entries": 3,
    "statements_expected": 1,
    "statements_arrived": 1,
    "statements_missing": 0,
    "in_doubt": {"count": 2, "sum": "12.50"},
}


def bankgw(*words: str) -> int:
    return application.main(world(), [*words, "--socket", SOCKET])


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The list of the daemon's answers or refusals, to be set by the test; each request is appended."""
    told: list[Any] = []

    def get(remote: ControlClient, *parts: str, **query: Any) -> Any:
        said = told[0]
        told.append((parts, {name: value for name, value in query.items() if value is not None}))
        if isinstance(said, Exception):
            raise said
        return said

    monkeypatch.setattr(ControlClient, "get", get)
    return told


def lines(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_an_orders_bytes_are_shown_with_all_that_the_other_side_compares(
    answers: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    wire = {"bytes": 9_000, "sha256": "0123456789abcdef" * 4, "read_as": "GB18030", "text": "<a>", "cut_after": 8_192}
    heard = {
        "at": "2026-11-24T01:30:00.000Z",
        "what": "heard",
        "source": "submit",
        "fate": None,
        "code": "0",
        "note": "",
    }
    answers.append({"id": "A", "timeline": [{**heard, "wire": wire}]})
    assert bankgw("orders", "show", "kingdee:A") == exit_codes.OK
    shown = capsys.readouterr().out
    assert f"sha256 {wire['sha256']}\n" in shown
    assert "from the bank: 9000 bytes, read as GB18030" in shown and "… shown to byte 8192 only" in shown


def test_today_says_what_stands_and_what_is_missing(answers: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    missing = {"date": "2026-11-23", "expected": True, "arrived": False, "missing": ["2026-11-20", "2026-11-23"]}
    answers.append(
        {
            "at": "2026-11-24T01:32:00.000Z",
            "totals": [TOTAL],
            "accounts": [
                ACCOUNT,
                {**ACCOUNT, "watched": False, "balance": None, "entries": None, "statement": None},
                {**ACCOUNT, "statement": missing, "lane_condition": "down", "in_doubt": {"count": 0, "sum": "0.00"}},
                {**ACCOUNT, "balance": None},
            ],
        }
    )
    assert bankgw("today") == exit_codes.OK
    _heads, plain, unwatched, down, unheard, _totals, total = lines(capsys)
    assert plain == [
        "000000****0100",
        "sample",
        "CNY",
        "1200.00",
        "2026-11-24T01:30:00Z",
        "3",
        "11-23",
        "arrived",
        "2:",
        "12.50",
    ]
    assert unwatched == ["000000****0100", "sample", "CNY", "2:", "12.50", "not", "watched"]
    assert down[-7:] == ["missing", "11-20,", "11-23", "lane", "sample.main", "is", "down"]
    assert unheard[3:] == ["3", "11-23", "arrived", "2:", "12.50", "not", "heard", "of", "yet"]
    assert " ".join(total) == ("all banks CNY 1200.00 (1 of 2) 2026-11-24T01:30:00Z 3 1 of 1 2: 12.50 2, 1 watched")
    assert answers[1] == (("today",), {})


def test_today_takes_its_options(answers: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    answers.append({"at": "x", "accounts": [], "totals": []})
    assert bankgw("today", "--bank", "pab", "--clear") == exit_codes.OK
    assert capsys.readouterr().out == "no accounts\n"
    assert answers[1] == (("today",), {"bank": "pab", "clear": 1})
    assert bankgw("today", "--json") == exit_codes.OK
    assert json.loads(capsys.readouterr().out) == answers[0]


def test_directory_prints_branches(answers: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    branch = {"cnaps": "000000000000", "name": "示例银行某支行", "bank_name": "", "city": ""}
    answers.append({"bank": "pab", "lane": "pab.main", "cut": True, "branches": [branch]})
    assert bankgw("directory", "pab", "某支行") == exit_codes.OK
    _heads, row, more = lines(capsys)
    assert row == ["000000000000", "示例银行某支行"] and "--limit" in more
    assert answers[1] == (("directory", "pab"), {"name": "某支行", "limit": 50})
    answers[0] = {**answers[0], "cut": False, "branches": []}
    assert bankgw("directory", "pab", "--cnaps", "000000000000", "--limit", "7") == exit_codes.OK
    assert "pab knows no such branch" in capsys.readouterr().out
    assert answers[2] == (("directory", "pab"), {"cnaps": "000000000000", "limit": 7})


@pytest.mark.parametrize("words", [("pab",), ("pab", "x", "--cnaps", "000000000000"), (), ("pab", "x", "--limit", "0")])
def test_a_question_that_is_none_or_two(words: tuple[str, ...], answers: list[Any]) -> None:
    answers.append({})
    assert bankgw("directory", *words) == exit_codes.USAGE
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, exit_codes.USAGE),
        (403, exit_codes.REFUSED),
        (404, exit_codes.FAILED),
        (409, exit_codes.REFUSED),
        (502, exit_codes.FAILED),
        (503, exit_codes.UNAVAILABLE),
    ],
)
def test_each_refusal_has_its_exit_code(
    status: int, code: int, answers: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers.append(Refused(status, "lane_not_ready", "no lane of pab can be asked"))
    assert bankgw("directory", "pab", "x") == code
    assert capsys.readouterr().err == "lane_not_ready: no lane of pab can be asked\n"


@pytest.mark.parametrize("words", [("today",), ("directory", "pab", "x")])
def test_without_a_daemon(words: tuple[str, ...], tmp_path: Path) -> None:
    assert application.main(world(), [*words, "--socket", str(tmp_path / "none")]) == exit_codes.UNAVAILABLE


def listed(number: int, **changed: Any) -> dict[str, Any]:
    return {
        "payment": f"01M8FD7Z9FPXYMMEBJSXAPB1C{number}",
        "sender": "kingdee",
        "id": f"AP-2026-{number:05}",
        "state": "in_doubt",
        "amount": "1234567.89",
        "currency": "CNY",
        "creditor": "000027*********9125",
        "lane": "sample.main",
        "bank_reference": "03LRZXF00000000003I8",
        "changed_at": "2026-11-27T21:05:45.651Z",
        **changed,
    }


def test_the_list_of_orders_fits_100_columns(
    answers: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    answers.append({"orders": [listed(1), listed(2)], "next": None})
    assert bankgw("orders", "list") == exit_codes.OK
    heads, *rows = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in (heads, *rows)) <= 100
    assert [row.split() for row in rows] == [
        ["11-27", "21:05:45", "in_doubt", f"kingdee:AP-2026-{n:05}", "1234567.89", "CNY", "000027*9125", "sample.main"]
        for n in (1, 2)
    ]
    assert bankgw("orders", "list", "--wide") == exit_codes.OK
    wide = capsys.readouterr().out
    assert "03LRZXF00000000003I8" in wide and "01M8FD7Z9FPXYMMEBJSXAPB1C1" in wide


def test_an_orders_polls_and_signatures_are_folded_unless_asked(
    answers: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    wire = {"bytes": 300, "sha256": "0" * 64, "read_as": "UTF-8", "text": f"<S>{'Ab+/' * 60}</S>"}
    detail = {"before": "pending", "after": "pending"}
    polls = [
        {"at": f"T{n}", "what": "act", "actor": "lane:x", "act": "payment.pending", "detail": detail} for n in range(9)
    ]
    sent = {"at": "T", "what": "sent", "attempt": 1, "port": "p", "bank_date": "d", "node": "n", "wire": wire}
    answers.append({"id": "A", "timeline": [sent, *polls]})
    assert bankgw("orders", "show", "kingdee:A") == exit_codes.OK
    shown = capsys.readouterr().out
    assert "[240 characters of base64; --full has them]" in shown and "… 8 more enquiries until T8" in shown
    assert bankgw("orders", "show", "kingdee:A", "--full") == exit_codes.OK
    full = capsys.readouterr().out
    assert full.count("payment.pending") == 9 and "Ab+/Ab+/" in full and "more enquiries" not in full
    assert bankgw("orders", "show", "kingdee:A", "--hex") == exit_codes.OK
    assert "00000000  3c 53 3e 41 62 2b 2f" in capsys.readouterr().out
