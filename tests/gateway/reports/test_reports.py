"""Reports over a running gateway: the content of each row, page by page, masked, and within the caller's scope."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.call import Denied
from gateway.people.rows import persons
from gateway.reconciliation.masked_text import masked_text
from gateway.reports import security_source, sources
from gateway.reports.question import ReportScope, question
from gateway.statements.rules.statement_jobs import statement_job
from protocols.canon.outcome import State
from protocols.canon.party import mask
from tests.gateway.cli.control_operator import OTHER, Operator
from tests.gateway.statements.test_accounts_today import POLL_S, SPARE, counter


def only(said: Any, **wanted: str) -> Any:
    (one,) = [row for row in said["rows"] if all(row[key] == value for key, value in wanted.items())]
    return one


def report(operator: Operator, name: str, **query: str) -> Any:
    return operator.ask("GET", "reports", name, query=query)


@pytest.fixture
def operator(tmp_path: Path) -> Any:
    made = counter(tmp_path)
    for number in (1, 2, 3):
        made.world.submit(f"AP-{number}", 10_000 + number, bank="sample")
    made.world.run(POLL_S * 2 + 5)
    yield made
    made.world.crash()


def test_payments_and_their_pages(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    said = report(operator, "payments")
    assert said["next"] is None and [row["order"] for row in said["rows"]] == ["AP-3", "AP-2", "AP-1"]
    row = only(said, order="AP-1")
    assert (row["amount"], row["currency"], row["state"], row["bank"]) == (10_001, "CNY", "settled", "sample")
    assert "*" in row["payee_account"] and "*" in row["account"] and row["sent"] <= row["changed"]
    monkeypatch.setattr(sources, "PAGE_ROWS", 2)
    first = report(operator, "payments")
    second = report(operator, "payments", after=first["next"])
    assert [row["order"] for row in (*first["rows"], *second["rows"])] == ["AP-3", "AP-2", "AP-1"]
    assert second["next"] is None
    day = date.fromisoformat(said["to"]) - timedelta(days=1)
    assert report(operator, "payments", **{"from": day.isoformat(), "to": day.isoformat()})["rows"] == []


def test_entries_name_their_payment(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    said = report(operator, "entries")
    assert [(row["debit"], row["order"]) for row in said["rows"]] == [
        (10_001, "AP-1"),
        (10_002, "AP-2"),
        (10_003, "AP-3"),
    ]
    assert all("credit" not in row for row in said["rows"])
    monkeypatch.setattr(sources, "PAGE_ROWS", 1)
    orders, after = [], None
    while True:
        page = report(operator, "entries", **({} if after is None else {"after": after}))
        orders += [row["order"] for row in page["rows"]]
        after = page["next"]
        if after is None:
            break
    assert orders == ["AP-1", "AP-2", "AP-3"]


def test_balances_and_the_daily_position(operator: Operator) -> None:
    account = operator.world.banks["sample"].account
    clear = report(operator, "balances", clear="1")
    row = only(clear, account=account)
    assert row["book"] == 10**12 - 30_006 and row["note"] == "" and row["holder"] == "示例甲公司"
    assert only(clear, account=SPARE)["book"] is None and only(clear, account=SPARE)["note"] == "not watched"
    daily = report(operator, "daily", clear="1")
    row = only(daily, account=account)
    assert (row["debit"], row["debits"], row["credit"], row["credits"]) == (30_006, 3, 0, 0)
    assert (row["closing"], row["opening"], row["under_way"], row["in_doubt"]) == (10**12 - 30_006, 10**12, 0, 0)
    assert len(daily["audit_head"]) == 64 and "audit_head" not in clear


def test_every_unmasked_page_is_in_the_audit_trail(operator: Operator) -> None:
    """A page can be requested without the first page."""
    before = len(operator.trail("gw1"))
    report(operator, "balances", clear="1", after="0")
    report(operator, "entries", clear="1", after="0")
    told = operator.trail("gw1")[before:]
    assert len(told) == 2 and all("report.shown_clear" in entry for _, entry in told)


def test_a_text_shows_no_account_and_no_name() -> None:
    for text in (
        "付6222021234567890货款",
        "付6222 0212 3456 7890",
        "付６２２２０２１２３４５６",
        "账号622202123",
        "IBAN FI2112345600000785",
    ):
        assert not re.search("[0-9０-９]{7,}", re.sub("[ -]", "", masked_text(text))), text
    assert masked_text("示例乙公司退款 2026-11", "示例乙公司", "") == "示**退款 2026-11"
    assert masked_text("凭证 记-12 20261129") == "凭证 记-12 20261129"


def test_bank_service_counts_by_month(operator: Operator) -> None:
    [row] = [row for row in report(operator, "bank-service")["rows"] if row["payments"]]
    assert (row["bank"], row["payments"], row["settled"], row["doubted"], row["open"]) == ("sample", 3, 3, 0, 0)
    assert row["doubt_share"] == 0 and row["median_s"] is not None and row["median_s"] <= row["p95_s"]


def rows_of(operator: Operator, name: str, **query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = report(operator, name, **query)["rows"]
    return rows


def test_what_is_exceptional_about_a_payment() -> None:
    hour, day = 3_600_000, 86_400_000
    told = [
        (State.IN_DOUBT, 0),
        (State.IN_DOUBT, hour),
        (State.IN_DOUBT, day),
        (State.SETTLED, 9 * day),
        (State.PENDING, 0),
        (State.PENDING, day),
        (State.RETURNED, 0),
    ]
    assert [sources.exception_of(*one) for one in told] == [
        "in doubt, under 1 h",
        "in doubt, under 1 day",
        "in doubt, longer",
        "",
        "",
        "no outcome for a day",
        "came back",
    ]


def test_money_between_own_accounts(operator: Operator) -> None:
    payee = operator.world.order("AP-9")["creditor"]
    assert rows_of(operator, "transfers") == []
    operator.world.submit("AP-9", 5_000, bank="sample", creditor={**payee, "account": SPARE})
    operator.world.run(5)
    [row] = rows_of(operator, "transfers")
    assert (row["order"], row["amount"], row["payee_account"]) == ("AP-9", 5_000, mask(SPARE))
    assert rows_of(operator, "returns") == rows_of(operator, "payroll") == []


def test_fees_and_cash_flow_are_what_the_bank_booked(operator: Operator) -> None:
    day = operator.ask("GET", "today")["at"][:10]
    fee, rent = (
        {"id": id, "date": day, "direction": "debit", "amount": amount, "text": text}
        for id, amount, text in (("N-1", "5.00", "电子汇划手续费"), ("N-2", "70.00", "房租"))
    )
    income = {
        "id": "N-3",
        "date": day,
        "direction": "credit",
        "amount": "100.00",
        "counterparty_name": "示例乙公司",
        "text": "示例乙公司货款",
    }
    end = {"from": day, "to": day, "opening": "0.00", "closing": "25.00", "count": 3}
    key = operator.ask("POST", "reconciliation", SPARE, "statements", **end)["statement"]
    operator.ask("POST", "reconciliation", SPARE, "statements", key, "rows", rows=[fee, rent, income])
    operator.ask("POST", "reconciliation", SPARE, "statements", key, "close")
    [row] = rows_of(operator, "fees")
    assert (row["debit"], row["told"], row["account"]) == (500, "text", mask(SPARE))
    flow = {
        row["item"]: (row["credit"], row["debit"], row["entries"], row["net"]) for row in rows_of(operator, "cash-flow")
    }
    assert flow == {
        "payment": (0, 30_006, 3, -30_006),
        "fees": (0, 500, 1, -500),
        "other payments": (0, 7_000, 1, -7_000),
        "other receipts": (10_000, 0, 1, 10_000),
    }
    [text] = [row["text"] for row in rows_of(operator, "entries", account=SPARE) if row.get("credit")]
    assert text == "示**货款", "the counterparty's name is masked in the text, too"
    later = (date.fromisoformat(day) + timedelta(days=2)).isoformat()
    found = [
        (row["day"], row["balance"], row["accounts"], row["closed"])
        for row in rows_of(operator, "history", **{"from": day, "to": later}, account=SPARE)
    ]
    assert [one[1:] for one in found] == [(2_500, 1, 1), (2_500, 1, 0), (2_500, 1, 0)]
    before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    assert rows_of(operator, "history", **{"from": before, "to": before}, account=SPARE)[0]["balance"] is None


def test_a_transfer_between_own_accounts_is_no_income_and_no_expense(operator: Operator) -> None:
    """Money went from one own account to another. The report has the transfer once, at the paying account."""
    payee = operator.world.order("AP-9")["creditor"]
    operator.world.submit("AP-9", 5_000, bank="sample", creditor={**payee, "account": SPARE})
    operator.world.run(200)
    day = operator.ask("GET", "today")["at"][:10]
    own = operator.world.banks["sample"].account
    rows = [
        {"id": "N-1", "date": day, "direction": "credit", "amount": "50.00", "counterparty_account": own},
        {"id": "N-2", "date": day, "direction": "credit", "amount": "9.00", "counterparty_account": "0000999"},
    ]
    end = {"from": day, "to": day, "opening": "0.00", "closing": "59.00", "count": 2}
    key = operator.ask("POST", "reconciliation", SPARE, "statements", **end)["statement"]
    operator.ask("POST", "reconciliation", SPARE, "statements", key, "rows", rows=rows)
    operator.ask("POST", "reconciliation", SPARE, "statements", key, "close")
    names = ("credit", "debit", "moved", "net", "entries")
    flow = {row["item"]: tuple(row[name] for name in names) for row in rows_of(operator, "cash-flow")}
    assert flow["transfer"] == (0, 0, 5_000, 0, 2) and flow["other receipts"] == (900, 0, 0, 900, 1)
    assert flow["payment"] == (0, 30_006, 0, -30_006, 3)
    # For one of the two accounts alone it is money in or out.
    alone = {row["item"]: tuple(row[name] for name in names) for row in rows_of(operator, "cash-flow", account=SPARE)}
    assert alone == {"other receipts": (5_900, 0, 0, 5_900, 2)}


def test_a_bank_is_held_against_its_targets_and_the_month_before() -> None:
    row = {"p95_s": 301, "doubt_share": 150, "days_expected": 200, "days_arrived": 197, "payments": 3}
    assert sources._judged(row, {"p95_s": 200, "doubt_share": 300}) == {
        "targets": "slow, doubt, statements",
        "p95_drift": 5_050,
        "doubt_drift": -5_000,
    }
    kept = {"p95_s": 300, "doubt_share": 100, "days_expected": 200, "days_arrived": 198, "payments": 3}
    assert sources._judged(kept, None) == {"targets": "met", "p95_drift": None, "doubt_drift": None}
    assert sources._month_before("2026-01") == "2025-12"


def test_statements_are_counted_of_the_own_accounts_only(operator: Operator) -> None:
    """Another company's accounts at the same bank do not count."""
    account = operator.world.banks["sample"].account
    day = operator.ask("GET", "today")["at"][:10]
    with sqlite3.connect(operator.world.folder / "journal.db") as db:
        db.execute("delete from jobs")
        for one in (account, "0000999"):
            db.execute("insert into jobs values (?, 'sample', ?, 'gw1', 'done', 1, 2)", (statement_job(one), day))
    [row] = [row for row in rows_of(operator, "bank-service") if row["bank"] == "sample"]
    assert (row["days_expected"], row["days_arrived"]) == (1, 1)


def test_the_security_review_is_no_report_of_accounts(operator: Operator) -> None:
    operator.no(404, "no_such_report", "GET", "reports", "security-review")
    store, key, day_ms = operator.gateway.parts.store, bytes(32), 86_400_000
    done: list[Any] = []
    store.write(lambda tx: persons.enrol(tx, "wang", 2001, key, "uid:2001")).addCallback(done.append)
    operator.world.run(1)
    said = operator.ask("GET", "security-review")["rows"]
    [one] = [row for row in said if row["about"] == "person"]
    assert (one["subject"], one["finding"]) == ("wang", "waiting") and "admit" in one["next_step"]
    [certificate] = [row for row in said if row["about"] == "certificate"]
    assert (certificate["subject"], certificate["detail"]) == ("sample", "client")

    def found(after_days: int, *seen: tuple[str, int]) -> list[Any]:
        person = persons.Person("li", 2002, key, True, 0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(persons, "everyone", lambda conn: [person])
            patch.setattr(security_source, "_seen", lambda conn, person: dict(seen).get(person.name))
            asked = replace(question(operator.gateway.registry, after_days * day_ms, ReportScope()), certificates={})
            return [row["finding"] for row in security_source._persons(None, asked)]  # type: ignore[arg-type]

    assert found(90) == ["to be confirmed"] and found(91) == ["dormant"]
    assert found(120, ("li", 31 * day_ms)) == ["to be confirmed"]


def test_what_cannot_be_asked(operator: Operator) -> None:
    for name, query, code in (
        ("nothing", {}, "no_such_report"),
        ("payments", {"from": "2026-11"}, "bad_day"),
        ("payments", {"from": "2026-12-01", "to": "2026-11-01"}, "bad_period"),
    ):
        with pytest.raises(Denied) as refused:
            report(operator, name, **query)
        assert refused.value.code == code
    with pytest.raises(Denied):
        operator.ask("GET", "reports", "payments", peer=OTHER)
    assert report(operator, "payments", bank="pab")["rows"] == []
    assert report(operator, "balances", company="yi")["rows"] == []


def test_quantiles() -> None:
    assert [sources._quantile([1, 2, 3, 4], percent) for percent in (50, 95, 100)] == [2, 4, 4]
    assert sources._quantile([], 50) is None


def test_every_account_has_a_statement_or_a_reason(operator: Operator) -> None:
    rows, after = [], None
    while True:
        page = report(operator, "balance-tables", **({} if after is None else {"after": after}))
        rows += page["rows"]
        after = page["next"]
        if after is None:
            break
    assert len(rows) == 3 and all(row["section"] == "missing" and "no book" in row["reason"] for row in rows)
    assert report(operator, "balance-tables", after="99")["rows"] == []


def test_positions_are_by_company_bank_and_currency(operator: Operator) -> None:
    sample = only(report(operator, "positions"), bank="sample")
    assert (sample["company"], sample["currency"], sample["accounts"], sample["heard"]) == ("jia", "CNY", 2, 1)
    assert (sample["book"], sample["under_way"], sample["in_doubt"]) == (10**12 - 30_006, 0, 0)
    pab = only(report(operator, "positions"), bank="pab")
    assert pab["heard"] == 0 and "book" not in pab and pab["as_of"] is None
