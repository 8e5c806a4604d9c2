"""Reconciliation on a running gateway: payments settle, the book comes, open rows are decided, the month closes."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.call import Denied
from gateway.reconciliation.act_answers import reconciliation
from gateway.reconciliation.rows import account_matchings, account_rows, balance_tables
from gateway.reconciliation.rows.exceptions import NEXT_STEPS, ExceptionKind
from gateway.reconciliation.rules import increment, matching
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.erp.account_replies import Statement, Totals
from tests.gateway.cli.control_operator import OTHER, Operator
from tests.gateway.statements.test_accounts_today import POLL_S, SPARE, counter

OPENING = 10**12
FIRST, LAST = "2026-11-01", "2026-11-30"


class OwnAccount:
    """The verbs for one account."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.account = operator.world.banks["sample"].account

    def get(self, *parts: str, **query: str) -> Any:
        return self.operator.ask("GET", "reconciliation", self.account, *parts, query=query)

    def post(self, *parts: str, **body: Any) -> Any:
        return self.operator.ask("POST", "reconciliation", self.account, *parts, **body)

    def denied(self, *parts: str, **body: Any) -> str:
        with pytest.raises(Denied) as refused:
            self.post(*parts, **body)
        return refused.value.code

    def book(self, *rows: dict[str, str], opening: int = OPENING, closing: int, **more: Any) -> Any:
        head = {"from": FIRST, "to": LAST, "opening": str(Money(opening)), "closing": str(Money(closing))}
        key = self.post("books", **{**head, **more})["book"]
        self.post("books", key, "rows", rows=list(rows))
        return self.post("books", key, "close")

    def close_statement(self, closing: int) -> None:
        said = Statement(
            AccountNumber(self.account), "CNY", date(2026, 11, 30), Totals(), Money(OPENING), Money(closing)
        )
        store = self.operator.gateway.parts.store
        done: list[Any] = []
        store.write(lambda tx: accounts.keep_day(tx, said)).addCallback(done.append)
        self.operator.world.run(1)
        assert done


def paid(number: int, minor: int, day: str, **more: str) -> dict[str, str]:
    return {
        "id": f"V-{number}",
        "date": day,
        "direction": "debit",
        "amount": str(Money(minor)),
        "reference": f"AP-{number}",
        "voucher": f"记-{number}",
        **more,
    }


@pytest.fixture
def own(tmp_path: Path) -> Any:
    operator = counter(tmp_path)
    for number, minor in ((1, 10_000), (2, 10_000), (3, 30_000)):
        operator.world.submit(f"AP-{number}", minor, bank="sample")
    operator.world.run(POLL_S * 2 + 5)
    made = OwnAccount(operator)
    yield made
    operator.world.crash()


def report(own: OwnAccount, name: str, to: str = LAST) -> list[dict[str, Any]]:
    """The part of a report about this account; the other accounts have no statement."""
    said = own.operator.ask("GET", "reports", name, query={"to": to, "account": own.account, "from": FIRST})
    assert said["next"] is None
    rows: list[dict[str, Any]] = said["rows"]
    return rows


def today(own: OwnAccount) -> str:
    return str(own.get()["to"])


def test_payments_and_book_are_matched_by_their_codes(own: OwnAccount) -> None:
    said = own.get()["matchings"]
    assert said["A"]["matched"] == {"code": 3, "confirmed": 0} and said["A"]["open_count"] == [0, 0]
    assert said["B"]["open_count"] == [0, 3], "without a book every entry is open"
    day = today(own)
    # Two entries have one amount and payee: only the order's number distinguishes them.
    rows = [paid(number, minor, day) for number, minor in ((2, 10_000), (1, 10_000), (3, 30_000))]
    own.book(*rows, closing=OPENING - 50_000)
    said = own.get()["matchings"]["B"]
    assert said["matched"] == {"code": 3, "confirmed": 0} and said["open_count"] == [0, 0]


def test_the_sums_of_open_rows_have_also_those_that_are_not_listed(
    own: OwnAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.book(paid(9, 777, today(own)), {**paid(8, 7, today(own)), "direction": "credit"}, closing=OPENING - 770)
    monkeypatch.setattr(reconciliation, "LISTED", 1)
    said = own.get()["matchings"]["B"]
    assert [len(said[side]) for side in ("open_entries", "open_lines")] == [1, 1]
    assert said["listed_of"] == [2, 3] and said["open_sums"] == ["-7.70", "-500.00"]


def test_a_book_counts_whole_or_not_at_all(own: OwnAccount) -> None:
    day, rows = today(own), [paid(1, 10_000, "2026-11-02")]
    wrong: dict[str, Any] = {"from": FIRST, "to": LAST, "opening": str(Money(OPENING)), "closing": str(Money(OPENING))}
    key = own.post("books", **wrong)["book"]
    own.post("books", key, "rows", rows=rows)
    own.post("books", key, "rows", rows=rows)
    assert own.denied("books", key, "rows", rows=[paid(1, 9_999, "2026-11-02")]) == "twice"
    assert own.denied("books", key, "rows", rows=[paid(9, 1, "2026-12-01")]) == "bad_period"
    assert own.denied("books", key, "rows", rows=[{**rows[0], "amuont": "1"}]) == "bad_rows"
    assert own.denied("books", key, "rows", rows=[{**rows[0], "amount": "1.234"}]) == "bad_amount"
    assert own.denied("books", key, "close") == "totals"
    assert own.denied("books", key, "close") == "not_arriving"
    made = own.book(*rows, closing=OPENING - 10_000, count=1, debit="100.00")
    assert made["state"] == "in_force"
    for more, code in (
        ({"count": 2}, "totals"),
        ({"debit": "1.00"}, "totals"),
        ({"credit": "1.00"}, "totals"),
        ({"from": "2026-11-02"}, "overlap"),
    ):
        with pytest.raises(Denied) as refused:
            own.book(*rows, closing=OPENING - 10_000, **more)
        assert refused.value.code == code
    with pytest.raises(Denied) as refused:
        own.book(closing=5, opening=5, **{"from": "2026-12-01", "to": "2026-12-31"})
    assert refused.value.code == "gap"
    with pytest.raises(Denied) as refused:
        own.book(
            {**rows[0], "date": "2026-12-02"},
            closing=OPENING - 20_000,
            opening=OPENING - 10_000,
            **{"from": "2026-12-01", "to": "2026-12-31"},
        )
    assert refused.value.code == "twice"
    # A book of the same period replaces it, and a withdrawal removes it.
    again = own.book(paid(2, 10_000, day), closing=OPENING - 10_000)
    assert [row["id"] for row in own.get()["matchings"]["B"]["open_lines"]] != []
    assert own.denied("books", made["book"], "withdraw", reason="x") == "no_such_book"
    assert own.post("books", again["book"], "withdraw", reason="wrong file")["state"] == "withdrawn"
    assert own.denied("books", currency="USD", **wrong) == "bad_currency"


def test_a_person_confirms_sets_aside_and_undoes(own: OwnAccount) -> None:
    day = today(own)
    split = [{**paid(7, minor, day), "id": f"V-{minor}", "reference": ""} for minor in (12_000, 18_000)]
    own.book(*split, closing=OPENING - 30_000)
    found = own.get()["matchings"]["B"]
    entries = [one["id"] for one in found["open_entries"]]
    [line] = [one["id"] for one in found["open_lines"] if one["amount"] == "300.00"]
    other = next(one["id"] for one in found["open_lines"] if one["id"] != line)
    assert len(entries) == 2
    told: dict[str, Any] = {"matching": "B", "entries": entries, "reason": "paid in two parts"}
    assert own.denied("confirm", **told, lines=[other]) == "not_now"
    assert own.denied("confirm", **told, lines=[]) == "missing"
    assert own.denied("confirm", **{**told, "matching": "C"}, lines=[line]) == "bad_matching"
    made = own.post("confirm", **told, lines=[line])
    assert own.get()["matchings"]["B"]["matched"]["confirmed"] == 1
    assert own.denied("confirm", **told, lines=[line]) == "not_now"
    own.post("aside", matching="B", lines=[other], reason="cheque of last year")
    [aside] = [one for one in own.get()["matchings"]["B"]["open_lines"] if one["id"] == other]
    assert aside["reason"] == "aside: cheque of last year"
    assert own.denied("undo", decision="nothing", reason="x") == "no_such_decision"
    own.post("undo", decision=made["decision"], reason="a mistake")
    assert len(own.get()["matchings"]["B"]["open_entries"]) == 2
    assert [one["kind"] for one in own.get()["decisions"]] == ["aside"]


def test_a_month_closes_and_stays(own: OwnAccount) -> None:
    day = today(own)
    if not FIRST <= day <= LAST:
        pytest.skip("the world's month is another")
    outstanding = {"id": "V-9", "date": day, "direction": "credit", "amount": "5.00", "counterparty_name": "甲"}
    own.book(paid(1, 10_000, day), paid(2, 10_000, day), outstanding, closing=OPENING - 19_500)
    assert own.get("tables", "2026-11")["why_not"] == "the bank's statement of 2026-11-30 is not closed"
    assert own.denied("tables", "2026-11", "submit", person="wang") == "not_now"
    own.close_statement(OPENING - 50_000)
    now = own.get("tables", "2026-11")["now"]
    assert (now["book"], now["bank"]) == (OPENING - 19_500, OPENING - 50_000)
    assert [one["amount"] for one in now["bank_paid"]] == [30_000] and now["bank_received"] == []
    assert [one["amount"] for one in now["book_received"]] == [500] and now["book_paid"] == []
    assert now["book_adjusted"] == now["bank_adjusted"] == OPENING - 49_500 and now["difference"] == 0
    assert now["bank_paid"][0]["reason"] == "no_counterpart"
    rows = report(own, "balance-tables")
    assert [(row["section"], row["amount"]) for row in rows] == [
        ("book", OPENING - 19_500),
        ("bank_paid", -30_000),
        ("book_adjusted", OPENING - 49_500),
        ("bank", OPENING - 50_000),
        ("book_received", 500),
        ("bank_adjusted", OPENING - 49_500),
        ("difference", 0),
    ]
    [entry, waiting] = [row for row in report(own, "open-items") if row["matching"] == "B"]
    assert (waiting["side"], waiting["debit"], waiting["reason"]) == ("entry", 30_000, "no_counterpart")
    assert (entry["side"], entry["credit"], entry["about"]) == ("book row", 500, "")
    for verb in ("submit", "approve"):
        assert own.denied("tables", "2026-11", verb, version=1) == "not_a_person"
    assert own.post("tables", "2026-11", "submit", person="wang")["version"] == 1
    assert own.denied("tables", "2026-11", "submit", person="wang") == "not_now"
    assert own.denied("tables", "2026-11", "approve", version=1, person="wang") == "same_person"
    assert own.denied("tables", "2026-11", "approve", version=2, person="li") == "not_the_last"
    made = own.post("tables", "2026-11", "approve", version=1, person="li")
    assert (made["state"], made["submitted_by"], made["approved_by"]) == ("approved", "wang", "li")
    # The rows of the approved month stay; later ones make another version.
    assert own.denied("books", **{"from": FIRST, "to": LAST}, opening="1.00", closing="1.00") == "frozen"
    line = own.get(to=LAST)["matchings"]["B"]["open_lines"][0]["id"]
    assert own.denied("aside", matching="B", lines=[line], reason="x", to=LAST) == "frozen"
    assert own.get("tables", "2026-11")["versions"][0]["state"] == "approved"


def test_only_who_may_sees_an_account(own: OwnAccount) -> None:
    with pytest.raises(Denied):
        own.operator.ask("GET", "reconciliation", own.account, peer=OTHER)
    with pytest.raises(Denied) as refused:
        own.operator.ask("GET", "reconciliation", "0000999")
    assert refused.value.code == "no_such_account"
    for query, code in (({"to": "x"}, "bad_day"),):
        with pytest.raises(Denied) as refused:
            own.get(**query)
        assert refused.value.code == code
    with pytest.raises(Denied) as refused:
        own.get("tables", "2026-13")
    assert refused.value.code == "bad_month"


END: dict[str, Any] = {"from": "2026-11-27", "to": "2026-11-27", "opening": "10.00", "closing": "13.00", "count": 2}


def filed(number: int, amount: str = "", **more: Any) -> dict[str, Any]:
    return {
        "id": f"N-{number}",
        "date": "2026-11-27",
        "direction": "credit",
        "amount": amount or f"{number}.00",
        "counterparty_name": "甲公司",
        **more,
    }


def hand_in(own: OwnAccount, *rows: dict[str, Any], **end: Any) -> Any:
    """Record a statement, in portions of one row."""
    key = own.post("statements", **{**END, **end})["statement"]
    for row in rows:
        own.post("statements", key, "rows", rows=[row])
    return own.post("statements", key, "close")


def refusal(own: OwnAccount, *rows: dict[str, Any], **end: Any) -> str:
    with pytest.raises(Denied) as refused:
        hand_in(own, *rows, **end)
    return refused.value.code


def recorded(own: OwnAccount) -> int:
    return len(own.get(to="2026-11-28")["matchings"]["B"]["open_lines"])


def test_a_statement_from_a_file_closes_its_day(own: OwnAccount) -> None:
    assert refusal(own) == "watched"
    own.account = SPARE
    said = hand_in(own, filed(1), filed(2))
    assert (said["new"], said["rows"], said["closing"]) == (2, 2, "13.00")
    assert hand_in(own, filed(1), filed(2))["new"] == 0, "the same file again changes nothing"
    assert refusal(own, filed(1, "9.00"), filed(2)) == "changed"
    assert refusal(own, filed(1, "-9.00")) == "bad_amount"
    assert refusal(own, filed(1), filed(2), closing="13.01") == "totals"
    later: dict[str, Any] = {
        "from": "2026-11-28",
        "to": "2026-11-28",
        "opening": "12.00",
        "closing": "12.00",
        "count": 0,
    }
    assert refusal(own, **later) == "gap"
    assert hand_in(own, **{**later, "opening": "13.00", "closing": "13.00"})
    # The day before a closed day is still read.
    assert refusal(own, filed(1), filed(2), **{"from": "2026-11-28", "to": "2026-11-28"}) == "bad_period"
    assert recorded(own) == 2


def test_a_file_that_does_not_add_up_leaves_nothing(own: OwnAccount) -> None:
    own.account = SPARE
    wrong: tuple[tuple[tuple[Any, ...], dict[str, Any], str], ...] = (
        ((filed(1), filed(2)), {"closing": "13.01"}, "totals"),
        ((filed(1),), {}, "overlap"),
        ((filed(1), filed(2), filed(3)), {}, "totals"),
        ((filed(1), filed(2, date="2026-11-26")), {}, "bad_period"),
        ((filed(1), filed(2)), {"from": "2026-11-28"}, "bad_period"),
    )
    for rows, end, code in wrong:
        assert (refusal(own, *rows, **end), recorded(own)) == (code, 0)
    assert hand_in(own, filed(1), filed(2))["new"] == 2
    later: tuple[tuple[tuple[Any, ...], dict[str, Any], str], ...] = (
        ((filed(3), filed(4)), {"opening": "13.00", "closing": "20.00"}, "overlap"),
        (
            (filed(5, date="2026-11-28"),),
            {"from": "2026-11-28", "to": "2026-11-28", "count": 1, "closing": "15.00"},
            "gap",
        ),
    )
    for rows, end, code in later:
        assert (refusal(own, *rows, **end), recorded(own)) == (code, 2)


def test_statements_that_arrive_are_kept_apart(own: OwnAccount) -> None:
    own.account = SPARE
    key = own.post("statements", **END)["statement"]
    again = own.post("statements", **END)["statement"]
    assert own.denied("statements", key, "rows", rows=[filed(1)]) == "not_arriving", "the later one took its place"
    own.account = own.operator.world.banks["pab"].account
    assert own.denied("statements", again, "close") == "not_arriving", "it is another account's"
    own.account = SPARE
    assert own.denied("statements", **{**END, "count": 10**6}) == "bad_number"
    assert own.denied("statements", again, "rows", rows=["x"]) == "bad_rows"


def split_month(own: OwnAccount) -> tuple[list[str], str, str]:
    """A book with two rows that are one line of the bank. November is closed on both sides. Returns its entries, that
    line, and another one."""
    day = today(own)
    split = [{**paid(7, minor, day), "id": f"V-{minor}", "reference": ""} for minor in (12_000, 18_000)]
    own.book(*split, closing=OPENING - 30_000)
    own.close_statement(OPENING - 50_000)
    found = own.get()["matchings"]["B"]
    [line] = [one["id"] for one in found["open_lines"] if one["amount"] == "300.00"]
    other = next(one["id"] for one in found["open_lines"] if one["id"] != line)
    return [one["id"] for one in found["open_entries"]], line, other


def test_a_month_needs_the_books_before_it_without_a_gap(own: OwnAccount) -> None:
    own.close_statement(OPENING - 50_000)
    own.book(opening=7, closing=7, **{"from": "2026-09-01", "to": "2026-09-30"})
    own.book(closing=OPENING)
    assert own.get("tables", "2026-11")["why_not"] == "no book of 2026-10-01 to 2026-10-31 is in force"
    rest = {"id": "V-1", "date": "2026-10-31", "direction": "credit", "amount": str(Money(OPENING - 7))}
    own.book(rest, opening=7, closing=OPENING, **{"from": "2026-10-01", "to": "2026-10-31"})
    assert own.get("tables", "2026-11")["now"] is not None
    # October comes again with another end, so that November does not begin where October ends.
    own.book(opening=7, closing=7, **{"from": "2026-10-01", "to": "2026-10-31"})
    assert "closes with 0.07, but the next book opens with" in own.get("tables", "2026-11")["why_not"]


def test_what_is_unexplained_is_not_on_its_way(own: OwnAccount) -> None:
    """Two book rows and two entries are equal. Each has candidates, so none is 未达, and the month waits for a person."""
    day = today(own)
    alike = [{**paid(number, 10_000, day), "reference": "", "counterparty_name": "别人"} for number in (11, 12)]
    own.book(*alike, paid(3, 30_000, day), closing=OPENING - 50_000)
    own.close_statement(OPENING - 50_000)
    content = own.post("tables", "2026-11", "submit", person="wang")["content"]
    assert [len(content[name]) for name in balance_tables.ON_THEIR_WAY] == [0, 0, 0, 0] and content["difference"] == 0
    assert [one["amount"] for one in content["bank_unexplained"]] == [-10_000, -10_000]
    assert {one["reason"] for one in content["book_unexplained"]} == {"ambiguous"}
    assert own.denied("tables", "2026-11", "approve", version=1, person="li") == "unexplained"
    assert [row["section"] for row in report(own, "balance-tables")][-2:] == ["book_unexplained"] * 2
    told = {(one["kind"], one["next_step"]) for one in own.get(to=LAST)["exceptions"]}
    assert told == {("ambiguous", "find out which rows belong together, and confirm that pair")}
    lines = [one["id"] for one in content["bank_unexplained"]]
    for entry, line in zip([one["id"] for one in content["book_unexplained"]], lines, strict=True):
        own.post("confirm", matching="B", entries=[entry], lines=[line], reason="the payees' word")
    assert own.post("tables", "2026-11", "submit", person="wang")["version"] == 2
    first, second = own.get("tables", "2026-11")["versions"]
    assert first["changes"] is None
    assert [one["id"] for one in second["changes"]["bank_unexplained"]["went"]] == lines
    assert second["changes"].keys() == {"bank_unexplained", "book_unexplained"}
    assert own.post("tables", "2026-11", "approve", version=2, person="li")["state"] == "approved"


def test_a_row_without_a_counterpart_is_an_exception_once_it_is_overdue(own: OwnAccount) -> None:
    day = today(own)
    own.book({**paid(9, 77, day), "reference": ""}, closing=OPENING - 77)
    assert own.get(to=day)["exceptions"] == []
    later = (date.fromisoformat(day) + timedelta(days=6)).isoformat()
    found = {(one["kind"], one["amount"]) for one in own.get(to=later)["exceptions"]}
    told = {(row["exception"], row["next_step"]) for row in report(own, "open-items", later) if row["matching"] == "B"}
    assert told == {(kind, NEXT_STEPS[ExceptionKind(kind)]) for kind in ("missing_at_bank", "missing_in_book")}
    assert found == {("missing_at_bank", "-0.77"), ("missing_in_book", "-100.00"), ("missing_in_book", "-300.00")}
    [one] = [one for one in own.get(to=later)["matchings"]["B"]["open_entries"] if one["amount"] == "0.77"]
    own.post("aside", matching="B", entries=[one["id"]], reason="asked", to=later)
    assert "missing_at_bank" not in {one["kind"] for one in own.get(to=later)["exceptions"]}


def test_no_unit_that_writes_matches(own: OwnAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matching takes seconds. Inside a transaction it would stop payments for that time."""
    entries, line, other = split_month(own)
    store, writing, matched = own.operator.gateway.parts.store, list[bool](), list[bool]()
    write, decide = store.write, matching.decide

    def noted_write(unit: Any, **more: Any) -> Any:
        def noted(tx: Any) -> Any:
            writing.append(True)
            try:
                return unit(tx)
            finally:
                writing.pop()

        return write(noted, **more)

    def noted_decide(*asked: Any) -> Any:
        matched.append(bool(writing))
        return decide(*asked)

    monkeypatch.setattr(store, "write", noted_write)
    monkeypatch.setattr(increment, "decide", noted_decide)
    made = own.post("confirm", matching="B", entries=entries, lines=[line], reason="paid in two parts")
    own.post("aside", matching="B", lines=[other], reason="asked the bank")
    own.post("undo", decision=made["decision"], reason="a mistake")
    own.post("tables", "2026-11", "submit", person="wang")
    own.post("tables", "2026-11", "approve", version=1, person="li")
    assert matched and not any(matched)


def test_what_changes_while_it_is_matched_is_matched_again(own: OwnAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    entries, line, _ = split_month(own)
    own.post("confirm", matching="B", entries=entries, lines=[line], reason="paid in two parts")
    looks = list[int]()

    def undone(*asked: Any) -> Any:
        found = account_matchings.reconcile(*asked)
        looks.append(len(found.decided))
        with sqlite3.connect(own.operator.world.folder / "journal.db") as db:
            db.execute("update match_decisions set state = 'undone'")
        return found

    monkeypatch.setattr(reconciliation, "reconcile", undone)
    content = own.post("tables", "2026-11", "submit", person="wang")["content"]
    assert looks == [1, 0]
    assert len(content["book_paid"]) == 2, "what is written is what is so, not what was so"


def test_a_version_that_is_not_so_any_more_is_not_approved(own: OwnAccount) -> None:
    entries, line, _ = split_month(own)
    own.post("tables", "2026-11", "submit", person="wang")
    own.post("confirm", matching="B", entries=entries, lines=[line], reason="paid in two parts")
    assert own.denied("tables", "2026-11", "approve", version=1, person="li") == "changed"
    assert own.post("tables", "2026-11", "submit", person="wang")["version"] == 2
    assert own.post("tables", "2026-11", "approve", version=2, person="li")["state"] == "approved"


def test_a_decision_about_rows_that_are_gone_counts_no_more(own: OwnAccount) -> None:
    entries, line, _ = split_month(own)
    own.post("confirm", matching="B", entries=entries, lines=[line], reason="paid in two parts")
    assert own.get()["matchings"]["B"]["matched"]["confirmed"] == 1
    # The ERP sends the month again: one of the two rows has another amount, the other is missing.
    changed = {**paid(7, 30_000, today(own)), "id": "V-12000", "reference": "", "counterparty_name": "别人"}
    own.book(changed, closing=OPENING - 30_000)
    said = own.get()
    assert said["matchings"]["B"]["matched"]["confirmed"] == 0
    assert line in [one["id"] for one in said["matchings"]["B"]["open_lines"]], "not hidden by what is void"
    assert [(one["kind"], one["why"]) for one in said["void"]] == [("confirm", "book:V-18000 is gone")]
    own.post("undo", decision=said["void"][0]["decision"], reason="the book was sent again")
    assert own.get()["void"] == []


def test_a_payment_that_a_decision_names_can_go(own: OwnAccount) -> None:
    """A confirmed payment was not executed after all: the decision becomes void, and reconciliation continues."""
    found = own.get()["matchings"]["A"]["matches"]
    [one] = [each for each in found if each["amount"] == "300.00"]
    with sqlite3.connect(own.operator.world.folder / "journal.db") as db:
        db.execute("update statement_entries set detail = null, bank_line_id = null where amount_minor = 30000")
    own.post("confirm", matching="A", entries=one["entries"], lines=one["lines"], reason="the bank's word")
    with sqlite3.connect(own.operator.world.folder / "journal.db") as db:
        db.execute("update payments set state = 'failed' where amount_minor = 30000")
    said = own.get()
    assert [each["why"] for each in said["void"]] == [f"{one['entries'][0]} is gone"]


def test_a_book_of_another_account_is_not_reached_through_this_one(own: OwnAccount) -> None:
    made = own.book(paid(1, 10_000, "2026-11-02"), closing=OPENING - 10_000)
    arriving = own.post("books", **{"from": "2026-12-01", "to": "2026-12-31"}, opening="1.00", closing="1.00")["book"]
    own.account = SPARE
    assert own.denied("books", made["book"], "withdraw", reason="x") == "no_such_book"
    assert own.denied("books", arriving, "rows", rows=[paid(2, 1, "2026-12-02")]) == "not_arriving"
    assert own.denied("books", arriving, "close") == "not_arriving"


def test_a_book_does_not_come_into_force_after_its_month_was_approved(own: OwnAccount) -> None:
    split_month(own)
    head: dict[str, Any] = {"from": FIRST, "to": LAST, "opening": str(Money(OPENING)), "closing": str(Money(OPENING))}
    key = own.post("books", **head)["book"]
    own.post("tables", "2026-11", "submit", person="wang")
    own.post("tables", "2026-11", "approve", version=1, person="li")
    assert own.denied("books", key, "close") == "frozen"


def test_a_decision_about_a_frozen_row_and_a_later_one_is_free(own: OwnAccount) -> None:
    """A cheque of November that the bank pays in December."""
    split_month(own)
    own.post("tables", "2026-11", "submit", person="wang")
    own.post("tables", "2026-11", "approve", version=1, person="li")
    later = {**paid(8, 12_000, "2026-12-01"), "direction": "credit", "reference": ""}
    own.book(later, opening=OPENING - 30_000, closing=OPENING - 18_000, **{"from": "2026-12-01", "to": "2026-12-31"})
    lines = own.get(to="2026-12-31")["matchings"]["B"]["open_lines"]
    pair = [one["id"] for one in lines if one["amount"] == "100.00"]
    told: dict[str, Any] = {"matching": "B", "to": "2026-12-31", "reason": "x"}
    assert own.denied("aside", **told, lines=pair) == "frozen"
    made = own.post("aside", **told, lines=pair, entries=["book:V-8"])
    own.post("undo", decision=made["decision"], reason="y")
    payments = own.get()["matchings"]["A"]["matches"]
    assert payments, "A is frozen with B: it lends B its codes"
    with sqlite3.connect(own.operator.world.folder / "journal.db") as db:
        db.execute("update statement_entries set detail = null, bank_line_id = null where amount_minor = 30000")
    [line] = own.get()["matchings"]["A"]["open_lines"]
    assert own.denied("aside", matching="A", lines=[line["id"]], reason="x") == "frozen"


def test_who_paid_does_not_reconcile(own: OwnAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_rows, "payers", lambda conn, paid: frozenset({"wang"}) if paid else frozenset())
    split_month(own)
    assert own.denied("tables", "2026-11", "submit", person="wang") == "own_payment"
    own.post("tables", "2026-11", "submit", person="zhao")
    assert own.denied("tables", "2026-11", "approve", version=1, person="wang") == "own_payment"


def filed_day(own: OwnAccount, day: str, *rows: dict[str, Any], **end: Any) -> None:
    hand_in(own, *rows, **{"from": day, "to": day, "count": len(rows), **end})


def test_rows_shortly_before_the_first_book_are_candidates(own: OwnAccount) -> None:
    """The bank booked on the 30th a row that the book has on the 2nd: neither row is an exception."""
    own.account = SPARE
    early = [filed(1, "2.00", date="2026-10-30"), filed(2, "7.00", date="2026-10-30", counterparty_name="乙公司")]
    filed_day(own, "2026-10-30", *early, opening="1.00", closing="10.00")
    row = {"id": "V-1", "date": "2026-11-02", "direction": "credit", "amount": "2.00", "counterparty_name": "甲公司"}
    own.book(row, opening=1_000, closing=1_200)
    said = own.get(to="2026-11-20")["matchings"]["B"]
    assert said["matched"] == {"near_day": 1, "confirmed": 0} and said["open_count"] == [0, 0]
    # A rival within the period: it is unclear which of the two is meant, though one of them is outside.
    filed_day(own, "2026-11-03", filed(3, "2.00", date="2026-11-03"), opening="10.00", closing="12.00")
    said = own.get(to="2026-11-20")["matchings"]["B"]
    assert said["matched"] == {"confirmed": 0} and [one["reason"] for one in said["open_lines"]] == ["ambiguous"]


def test_an_order_id_of_two_senders_names_both(own: OwnAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two senders may use the same id: a book row with it is matched with neither payment until a person or its sender
    decides."""
    read = account_rows._payments

    def two_senders(*asked: Any) -> Any:
        return [
            replace(row, sender="yonyou", order=replace(row.order, id="AP-1")) if row.order.id == "AP-2" else row
            for row in read(*asked)
        ]

    monkeypatch.setattr(account_rows, "_payments", two_senders)
    day = today(own)
    own.book(paid(1, 10_000, day), closing=OPENING - 10_000)
    said = own.get()["matchings"]["B"]
    assert said["matched"] == {"confirmed": 0} and [one["reason"] for one in said["open_entries"]] == ["ambiguous"]
    own.book({**paid(1, 10_000, day), "reference": "kingdee:AP-1"}, closing=OPENING - 10_000)
    [one] = own.get()["matchings"]["B"]["matches"]
    assert one["rule"] == "code" and any("order:kingdee:AP-1" in each for each in one["evidence"])
