"""`GET /positions` and `bankgw positions`: a tree of accounts with names, totals, history and filters, masked and
limited to the scope."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import exit_codes
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, mask
from protocols.erp.account_replies import Statement, Totals
from tests.gateway.cli.control_operator import OTHER, Operator
from tests.gateway.control.test_words import answers, bankgw
from tests.gateway.statements.test_accounts_today import POLL_S, SPARE
from tests.world.world import World

__all__ = ["answers"]
DOLLARS = "00000000000126"


@pytest.fixture
def operator(tmp_path: Path) -> Any:
    world = World(tmp_path, banks=("sample", "pab"), options={"sample": {"sessions": 1, "heartbeat_s": 110}})
    own = {"name": "示例甲公司", "company": "jia"}
    sample, pab = (world.banks[name].account for name in ("sample", "pab"))
    world._changes = {
        "accounts": [
            {**own, "number": sample, "bank": "sample", "watch": True, "title": "总账户", "nature": "basic"},
            {
                **own,
                "number": SPARE,
                "bank": "sample",
                "title": "工资户",
                "nature": "special",
                "parent": sample,
                "opening_balance": "-3.00",
                "opening_day": "2026-01-01",
            },
            {
                **own,
                "number": DOLLARS,
                "bank": "sample",
                "currency": "USD",
                "parent": SPARE,
                "opening_balance": "10.00",
                "opening_day": "2026-01-01",
            },
            {**own, "number": pab, "bank": "pab", "company": "yi"},
        ],
        "banks": {"sample": {"poll_every_s": POLL_S, "most_repeats": 0}},
        "positions": {"group_currency": "CNY", "rates": [{"currency": "USD", "rate": "7.1", "day": "2026-01-01"}]},
    }
    world.settings = world._settings()
    world.start()
    world.run(POLL_S + 5)
    made = Operator(world)
    yield made
    world.crash()


def test_accounts_stand_in_a_tree_with_names_and_subtotals(operator: Operator) -> None:
    said = operator.ask("GET", "positions")
    assert [
        (one["name"], one["nature"], one["depth"], one["parent"], one["balance"], one["source"])
        for one in said["accounts"]
    ] == [
        ("总账户", "basic", 0, None, "10000000000.00", "bank"),
        ("工资户", "special", 1, 0, "-3.00", "opening balance"),
        ("示**", "general", 2, 1, "10.00", "opening balance"),
        ("示**", "general", 0, None, None, ""),
    ]
    top = said["accounts"][0]
    assert top["subtotal"] == {"CNY": "9999999997.00", "USD": "10.00"} and top["note"] == ""
    assert said["accounts"][1]["note"] == "not watched" and said["accounts"][1]["as_of"] == "2026-01-01"
    whole = {
        one["currency"]: (one["balance"], one["known"], one["accounts"])
        for one in said["totals"]
        if (one["company"], one["bank"]) == ("*", "*")
    }
    assert whole == {"CNY": ("9999999997.00", 2, 3), "USD": ("10.00", 1, 1)}
    assert said["group"] == {
        "currency": "CNY",
        "balance": "10000000068.00",
        "without_rate": [],
        "rates": {"USD": {"rate": "7.1", "since": "2026-01-01"}},
    }
    assert not [number for number in (SPARE, DOLLARS) if number in json.dumps(said)]


def test_filters_leave_some_and_refuse_what_names_nothing(operator: Operator) -> None:
    said = operator.ask("GET", "positions", query={"currency": "USD"})
    assert [(one["depth"], one["parent"]) for one in said["accounts"]] == [(0, None)], "what is above it is left out"
    assert [one["company"] for one in operator.ask("GET", "positions", query={"bank": "pab"})["accounts"]] == ["yi"]
    assert "jia, yi" in operator.no(404, "no_such_company", "GET", "positions", query={"company": "x"})
    assert "0000999" not in operator.no(404, "no_such_account", "GET", "positions", query={"account": "0000999"})
    for query in ({"history": "401"}, {"forecast": "-1"}, {"history": "x"}):
        operator.no(400, "bad_number", "GET", "positions", query=query)
    operator.no(400, "bad_day", "GET", "positions", query={"as_of": "2099-01-01"})


def test_as_of_an_earlier_day_and_the_days_up_to_it(operator: Operator) -> None:
    today = date.fromisoformat(operator.ask("GET", "positions")["as_of"])
    day, account = today - timedelta(days=2), operator.world.banks["sample"].account
    said = Statement(AccountNumber(account), "CNY", day, Totals(), Money(0), Money(500))
    operator.gateway.parts.store.write(lambda tx: accounts.keep_day(tx, said))
    operator.world.run(1)
    told = operator.ask("GET", "positions", query={"as_of": day.isoformat(), "history": "2"})
    [one] = [one for one in told["accounts"] if one["name"] == "总账户"]
    assert (one["balance"], one["source"], one["as_of"]) == ("5.00", "closed day", day.isoformat())
    assert (one["in_doubt"], one["forecast"]) == (None, []) and not told["is_now"]
    assert [(row["day"], row["currency"], row["balance"], row["accounts"]) for row in told["history"]] == [
        ((day - timedelta(days=1)).isoformat(), "CNY", "-3.00", 1),
        ((day - timedelta(days=1)).isoformat(), "USD", "10.00", 1),
        (day.isoformat(), "CNY", "2.00", 2),
        (day.isoformat(), "USD", "10.00", 1),
    ]


def test_unmasked_numbers_are_for_those_who_may_and_noted(operator: Operator) -> None:
    operator.no(403, "not_enrolled", "GET", "positions", peer=OTHER, query={"clear": "1"})
    said = operator.ask("GET", "positions", query={"clear": "1"})
    assert {SPARE, DOLLARS} < {one["account"] for one in said["accounts"]}
    assert ("uid:root", "accounts.shown_clear") in operator.trail("gw1")


OWN: dict[str, Any] = {
    "place": 0,
    "parent": None,
    "depth": 0,
    "account": mask(SPARE),
    "name": "=总账户",
    "nature": "basic",
    "company": "jia",
    "bank": "sample",
    "currency": "CNY",
    "balance": "5.00",
    "available": None,
    "source": "bank",
    "as_of": "2026-11-24T01:30:00.000Z",
    "subtotal": {"CNY": "7.00"},
    "waiting": {"count": 1, "sum": "2.00"},
    "under_way": None,
    "in_doubt": None,
    "forecast": [],
    "note": "",
}
TOTAL = {
    "company": "*",
    "bank": "*",
    "currency": "CNY",
    "accounts": 2,
    "known": 1,
    "balance": "5.00",
    "available": "5.00",
    "waiting": "2.00",
    "under_way": "0.00",
    "in_doubt": "0.00",
    "forecast": [{"day": "2026-11-25", "out": "2.00", "in": "0.00", "balance": "3.00"}],
}
SAID = {
    "at": "x",
    "as_of": "2026-11-24",
    "is_now": True,
    "accounts": [OWN, {**OWN, "depth": 1, "name": "工资户"}],
    "totals": [TOTAL],
    "history": [{"day": "2026-11-24", "currency": "CNY", "balance": "5.00", "accounts": 1}],
    "group": {"currency": "CNY", "balance": None, "rates": {}, "without_rate": ["JPY"]},
}


def test_the_command_shows_all_of_it(
    answers: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    answers.append(SAID)
    assert bankgw("positions", "--company", "jia", "--history", "1", "--as-of", "2026-11-24") == exit_codes.OK
    assert answers[1] == (("positions",), {"company": "jia", "history": 1, "as_of": "2026-11-24"})
    shown = " ".join(capsys.readouterr().out.split())
    for said in (
        "1: 2.00",
        "CNY 7.00",
        "all all CNY",
        "2, 1 known",
        "no total in CNY: JPY has no rate on 2026-11-24",
        "2026-11-25 CNY 2.00 0.00 3.00",
        "2026-11-24 CNY 5.00 1",
    ):
        assert said in shown, said


def test_the_command_writes_csv_that_no_spreadsheet_takes_for_a_formula(
    answers: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers.append(SAID)
    assert bankgw("positions", "--csv") == exit_codes.OK
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["depth"], row["name"], row["balance"], row["waiting"], row["in_doubt"]) for row in rows] == [
        ("0", "'=总账户", "5.00", "2.00", ""),
        ("1", "工资户", "5.00", "2.00", ""),
    ]
    assert bankgw("positions", "--json") == exit_codes.OK
    assert json.loads(capsys.readouterr().out) == SAID
