"""Treasury commands over the broker: an ERP's book, claims of money received, questions about reconciliation, reports."""

from __future__ import annotations

import csv
import io
from base64 import b64decode
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from gateway.kernel.commit.store import Tx
from gateway.people.rows.persons import No
from gateway.reconciliation.rows import balance_tables, books, decisions
from gateway.reconciliation.rows.decisions import CONFIRM
from gateway.reconciliation.rules.rows import Matching
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from protocols.erp import xml_form
from protocols.erp.account_replies import line_id
from protocols.erp.forms import FORMS
from protocols.erp.words import CommandType
from tests.world.world import OPERATIONS, World

FIRST, LAST = "2026-11-01", "2026-11-15"
OPENING = 1_000_000


def world(folder: Path, **more: Any) -> World:
    folder.mkdir(exist_ok=True)
    made = World(folder, **more)
    made.start()
    made.run(3)
    return made


def asked(made: World, key: str, body: Any, wait_s: float = 5, **said: Any) -> dict[str, Any]:
    made.command(key, body, **said)
    made.run(wait_s)
    found = [one for head, one in made.replies if head.correlation_id == f"m-{made._published}"]
    assert len(found) == 1, found
    return found[0]


def row(number: int, minor: int = 100, **more: str) -> dict[str, str]:
    return {
        "id": f"V-{number}",
        "date": "2026-11-02",
        "direction": "debit",
        "amount": str(Money(minor)),
        "voucher": f"记-{number}",
        **more,
    }


def book(
    made: World,
    *rows: dict[str, str],
    id_: str = "JZ-1",
    part: int = 1,
    parts: int = 1,
    count: int | None = None,
    minor: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """One part of a book whose rows are all debits of 1.00; `count` and `minor` are those of the whole book."""
    count = len(rows) if count is None else count
    minor = count * 100 if minor is None else minor
    return {
        "id": id_,
        "account": made.bank.account,
        "from": FIRST,
        "to": LAST,
        "currency": "CNY",
        "opening": str(Money(OPENING)),
        "closing": str(Money(OPENING - minor)),
        "count": count,
        "debit_sum": str(Money(minor)),
        "credit_sum": "0.00",
        "part": part,
        "parts": parts,
        "rows": list(rows),
        **more,
    }


def doing(made: World, unit: Any) -> Any:
    done: list[Any] = []
    assert made.life is not None
    made.life.gateway.parts.store.write(unit).addBoth(done.append)
    made.run(1)
    return done[0]


def rows_of(made: World) -> set[str]:
    found: list[Any] = []
    assert made.life is not None
    store = made.life.gateway.parts.store
    store.read(lambda conn: books.entries(conn, made.bank.account, date(2026, 12, 31))).addBoth(found.append)
    made.run(1)
    return {one.id for one in found[0]}


# ---- books ----


def test_a_book_in_parts_counts_when_the_last_one_is_there(tmp_path: Path) -> None:
    made = world(tmp_path)
    second = book(made, row(3), part=2, parts=2, count=3)
    first = book(made, row(1), row(2), part=1, parts=2, count=3)
    said = asked(made, "ledger.submit", second)
    assert (said["event"], said["state"], said["received"], said["parts"]) == ("ledger.result", "arriving", 1, 2)
    assert asked(made, "ledger.submit", second)["replayed"] is True
    assert rows_of(made) == set() and not [one for one in made.events if one["event"] == "ledger.closed"]
    said = asked(made, "ledger.submit", first)
    assert (said["state"], said["received"], said["replayed"]) == ("in_force", 2, False)
    assert rows_of(made) == {"V-1", "V-2", "V-3"}
    (closed,) = [one for one in made.events if one["event"] == "ledger.closed"]
    assert (closed["id"], closed["count"], closed["closing"]) == ("JZ-1", 3, "9997.00")
    again = asked(made, "ledger.submit", first)
    assert (again["state"], again["replayed"], again["book"]) == ("in_force", True, said["book"])
    other = asked(made, "ledger.submit", book(made, row(1), row(9), part=1, parts=2, count=3))
    assert other["error"]["code"] == "id_conflict" and rows_of(made) == {"V-1", "V-2", "V-3"}
    head = asked(made, "ledger.submit", book(made, row(1), row(2), part=1, parts=2, count=4))
    assert head["error"]["code"] == "id_conflict"
    assert len([one for one in made.events if one["event"] == "ledger.closed"]) == 1


def test_both_forms_say_the_same(tmp_path: Path) -> None:
    made = world(tmp_path)
    body = book(made, row(1, text="货款"), row(2, reference="AP-1"))
    document = xml_form.xml_document("ledger.submit", body, FORMS[CommandType.LEDGER_SUBMIT])
    made.command("ledger.submit", document, content_type="application/xml")
    made.run(5)
    told = etree.fromstring(made.replies[-1][1]["xml"].encode())
    assert told.findtext("{urn:bankgw:1}state") == "in_force"
    assert asked(made, "ledger.submit", body)["replayed"] is True


def test_a_book_that_does_not_add_up_is_dropped_whole_and_its_id_is_free(tmp_path: Path) -> None:
    made = world(tmp_path)
    asked(made, "ledger.submit", book(made, row(1), part=1, parts=2, count=3))
    said = asked(made, "ledger.submit", book(made, row(2), part=2, parts=2, count=3))
    assert (said["event"], said["id"], said["command"]) == ("command.rejected", "JZ-1", "ledger.submit")
    assert said["error"]["code"] == "book_refused" and "count is 3" in said["error"]["title"]
    assert rows_of(made) == set() and not [one for one in made.events if one["event"] == "ledger.closed"]
    assert asked(made, "ledger.submit", book(made, row(1), row(2)))["state"] == "in_force"


@pytest.mark.parametrize(
    ("changed", "code", "at"),
    [
        ({"closing": None}, "required", "/closing"),
        ({"count": None}, "required", "/count"),
        ({"debit_sum": None}, "required", "/debit_sum"),
        ({"credit_sum": "1.00"}, "total", "/credit_sum"),
        ({"count": 7}, "total", "/count"),
        ({"closing": "1.00"}, "total", "/closing"),
        ({"opening": "1.001"}, "amount", "/opening"),
        ({"opening": "1e3"}, "amount", "/opening"),
        ({"to": "2026-10-01"}, "date_range", "/to"),
        ({"part": 2}, "pattern", "/part"),
        ({"currency": "USD"}, "currency", "/currency"),
        ({"account": "0000000000000999"}, "unknown_account", "/account"),
        ({"rows": [row(1), row(1)]}, "repeated", "/rows/1/id"),
        ({"to": "2026-11-30"}, "date_range", "/to"),
        ({"rows": [row(1, date="2026-10-31"), row(2)]}, "date_range", "/rows/0/date"),
        ({"rows": [row(n) for n in range(501)]}, "too_long", "/rows"),
    ],
)
def test_each_fault_of_a_book_has_its_word(tmp_path: Path, changed: dict[str, Any], code: str, at: str) -> None:
    made = world(tmp_path)
    said = asked(made, "ledger.submit", book(made, row(1), row(2)) | changed)
    faults = {one["at"]: one["code"] for one in said["error"]["errors"]}
    assert faults.get(at) == code, said
    assert rows_of(made) == set()


def test_a_row_in_two_parts_is_refused_with_its_place(tmp_path: Path) -> None:
    made = world(tmp_path)
    asked(made, "ledger.submit", book(made, row(1), row(2), part=1, parts=2, count=4))
    said = asked(made, "ledger.submit", book(made, row(3), row(2), part=2, parts=2, count=4))
    assert said["error"]["errors"] == [
        {"at": "/rows/1/id", "code": "repeated", "detail": "is in another part of the book too"}
    ]
    said = asked(made, "ledger.submit", book(made, row(3), row(4), part=2, parts=2, count=4))
    assert said["state"] == "in_force" and rows_of(made) == {"V-1", "V-2", "V-3", "V-4"}


def test_wherever_a_gateway_is_killed_the_last_part_is_answered_once(tmp_path: Path) -> None:
    killed = set[str | None]()
    for further in range(1, 100):
        made = world(tmp_path / str(further))
        asked(made, "ledger.submit", book(made, row(1), part=1, parts=2, count=2))
        made.points.kill_at = made.points.passed + further
        made.command("ledger.submit", book(made, row(2), part=2, parts=2, count=2))
        made.run(3)
        point, made.points.kill_at = made.points.killed, None
        killed.add(point)
        if made.life is None:
            made.start()
        made.run(10)
        found = {
            head.message_id: one["state"] for head, one in made.replies if head.correlation_id == f"m-{made._published}"
        }
        assert list(found.values()) == ["in_force"] and rows_of(made) == {"V-1", "V-2"}, point
        closed = {one["book"] for one in made.events if one["event"] == "ledger.closed"}
        assert len(closed) == 1, point
        if point is None:
            break
    assert {"journal.commit.group.before", "journal.commit.group.after", "erp.ack.delivery.before", None} <= killed


def test_withdrawal(tmp_path: Path) -> None:
    made = world(tmp_path)
    assert asked(made, "ledger.withdraw", {"id": "JZ-1"})["error"]["code"] == "unknown_book"
    asked(made, "ledger.submit", book(made, row(1), part=1, parts=2, count=2))
    assert asked(made, "ledger.withdraw", {"id": "JZ-1"})["state"] == "withdrawn"
    assert asked(made, "ledger.submit", book(made, row(1), row(2)))["state"] == "in_force"
    said = asked(made, "ledger.withdraw", {"id": "JZ-1", "reason": "重新过账"})
    assert (said["state"], said["replayed"]) == ("withdrawn", False) and rows_of(made) == set()
    again = asked(made, "ledger.withdraw", {"id": "JZ-1"})
    assert (again["state"], again["replayed"]) == ("withdrawn", True)
    assert asked(made, "ledger.submit", book(made, row(1), row(2)))["state"] == "withdrawn", "an id is used once"


def test_what_a_person_decided_or_approved_keeps_its_book(tmp_path: Path) -> None:
    made = world(tmp_path)
    asked(made, "ledger.submit", book(made, row(1), row(2)))
    account = made.bank.account

    def decide(tx: Tx) -> object:
        return decisions.decide(tx, account, CONFIRM, Matching.BOOK, ["book:V-2"], ["line:x"], "why", "uid:li", {})

    one = doing(made, decide)
    assert isinstance(one, decisions.MatchDecision)
    said = asked(made, "ledger.withdraw", {"id": "JZ-1"})
    assert said["error"]["code"] == "book_matched" and "V-2" in said["error"]["title"]
    assert rows_of(made) == {"V-1", "V-2"}
    doing(made, lambda tx: decisions.undo(tx, account, one.decision, "why", "uid:li"))
    doing(made, lambda tx: balance_tables.submit(tx, account, "2026-11", {"difference": 0}, "uid:li"))
    assert not isinstance(doing(made, lambda tx: balance_tables.approve(tx, account, "2026-11", 1, "uid:chen")), No)
    said = asked(made, "ledger.withdraw", {"id": "JZ-1"})
    assert (said["error"]["code"], said["error"]["resend"]) == ("book_frozen", "never")
    said = asked(made, "ledger.submit", book(made, row(5), id_="JZ-2"))
    assert said["error"]["code"] == "book_frozen" and rows_of(made) == {"V-1", "V-2"}


def test_a_hundred_thousand_rows_never_stand_before_a_payment(tmp_path: Path) -> None:
    made = world(tmp_path)
    parts = 200
    for n in range(parts):
        made.command("ledger.submit", book(made, row(n), part=n + 1, parts=parts, count=parts))
    made.submit("AP-1")
    made.run(30)
    order = [one["event"] for _head, one in made.replies]
    assert order.count("ledger.result") == parts and made.replies[-1][1]["state"] == "in_force"
    # With one queue for all, 200 parts would have been answered first.
    assert order.index("payment.accepted") <= 8


def test_only_a_sender_with_the_right_and_a_login_may(tmp_path: Path) -> None:
    made = world(tmp_path, sender={"operations": [one for one in OPERATIONS if not one.startswith("ledger.")]})
    made.command("ledger.submit", book(made, row(1)), user=None)
    made.run(3)
    assert rows_of(made) == set() and made.broker.queues["bankgw.parked"], "nobody's book is parked"
    assert asked(made, "ledger.submit", book(made, row(1)))["error"]["code"] == "not_allowed"


# ---- claims ----


def incoming(made: World, number: int, minor: int = 50_000, direction: Direction = Direction.CREDIT) -> str:
    line = Line(
        AccountNumber(made.bank.account), f"S-{number}", direction, Money(minor), date(2026, 11, 12), text="来款"
    )
    assert doing(made, lambda tx: accounts.keep_entry(tx, "sample", line, ())) is True
    return line_id(line)


def claim(made: World, line: str, id_: str = "RC-1", **more: Any) -> dict[str, Any]:
    return asked(made, "credit.claim", {"id": id_, "account": made.bank.account, "line": line, **more})


def test_money_is_claimed_once_and_freed_again(tmp_path: Path) -> None:
    made = world(tmp_path)
    line = incoming(made, 1)
    said = claim(made, line, reference="SO-1", customer="示例丁公司", by="li")
    assert (said["event"], said["state"], said["reference"], said["replayed"]) == (
        "credit.result",
        "claimed",
        "SO-1",
        False,
    )
    assert claim(made, line, reference="SO-1", customer="示例丁公司", by="li")["replayed"] is True
    assert claim(made, line, reference="SO-2")["error"]["code"] == "id_conflict"
    said = claim(made, line, "RC-2", reference="SO-2")
    assert (said["error"]["code"], said["error"]["resend"]) == ("already_claimed", "never")
    (news,) = [one for one in made.events if one["event"].startswith("credit.")]
    assert (news["event"], news["by"], news["customer"], news["amount"]) == (
        "credit.claimed",
        "li",
        "示例丁公司",
        "500.00",
    )
    assert claim(made, line, act="release")["state"] == "released"
    assert claim(made, line, act="release")["replayed"] is True
    assert claim(made, line, "RC-2", reference="SO-2")["state"] == "claimed"
    assert [one["event"] for one in made.events if one["event"].startswith("credit.")] == [
        "credit.claimed",
        "credit.released",
        "credit.claimed",
    ]


def test_what_cannot_be_claimed(tmp_path: Path) -> None:
    made = world(tmp_path)
    line, out = incoming(made, 1), incoming(made, 2, direction=Direction.DEBIT)
    assert claim(made, "0" * 32, reference="x")["error"]["code"] == "unknown_entry"
    assert "is a debit" in claim(made, out, reference="x")["error"]["title"]
    assert claim(made, line)["error"]["errors"][0] == {
        "at": "/reference",
        "code": "required",
        "detail": "a claim must state the purpose of the money",
    }
    assert claim(made, line, "RC-9", act="release")["error"]["code"] == "unknown_entry"
    said = asked(made, "credit.claim", {"id": "RC-1", "account": "0000000000009999", "line": line, "reference": "x"})
    assert said["error"]["errors"][0]["code"] == "unknown_account"


# ---- questions ----


def test_how_an_account_is_reconciled(tmp_path: Path) -> None:
    made = world(tmp_path)
    asked(made, "ledger.submit", book(made, row(1), row(2)))
    line = Line(AccountNumber(made.bank.account), "S-1", Direction.DEBIT, Money(100), date(2026, 11, 2), text="x")
    doing(made, lambda tx: accounts.keep_entry(tx, "sample", line, ()))
    said = asked(made, "reconciliation.query", {"account": made.bank.account, "to": LAST, "limit": 1})
    assert (said["event"], said["books"], said["to"]) == ("reconciliation.result", 1, LAST)
    booked = said["matchings"][1]
    assert booked["matching"] == "B" and booked["open_entries"] + sum(booked["matched"].values()) == 2
    assert len(booked["entries"]) <= 1
    assert asked(made, "reconciliation.query", {"account": "0000000000009999"})["error"]["code"] == "validation"


def test_reports_come_as_files(tmp_path: Path) -> None:
    made = world(tmp_path)
    for n in range(3):
        made.submit(f"AP-{n}", 100)
    made.run(10)
    today = datetime.fromtimestamp(made.clock.seconds(), UTC).date()
    said = asked(
        made,
        "report.request",
        {"report": "payments", "form": "csv", "language": "en", "from": today.isoformat(), "to": today.isoformat()},
    )
    data = b64decode(said["data"])
    assert (said["event"], said["rows"], said["pages"], said["size"]) == ("report.ready", 3, 1, len(data))
    assert said["sha256"] == sha256(data).hexdigest() and said["name"] == f"payments-{today}.csv"
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert {one["Order"] for one in rows} == {"AP-0", "AP-1", "AP-2"}
    xlsx = asked(made, "report.request", {"report": "balances"})
    assert b64decode(xlsx["data"])[:2] == b"PK" and xlsx["name"].endswith(".xlsx")
    no = asked(made, "report.request", {"report": "balances", "bank": "nowhere"})
    assert no["error"]["code"] == "validation"
    no = asked(made, "report.request", {"report": "profits"})
    assert "balances" in no["error"]["errors"][0]["detail"] and no["error"]["errors"][0]["at"] == "/report"


def test_a_large_report_comes_in_pages_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.erp.treasury_replies.FILE_PAGE_BYTES", 4_000)
    made = world(tmp_path)
    wanted = {"report": "balances", "form": "html"}
    first = asked(made, "report.request", {**wanted, "form": "xlsx"})
    assert first["pages"] > 1
    rest = [asked(made, "report.request", {**wanted, "form": "xlsx", "page": n}) for n in range(2, first["pages"] + 1)]
    whole = b"".join(b64decode(one["data"]) for one in (first, *rest))
    assert sha256(whole).hexdigest() == first["sha256"] == rest[-1]["sha256"]
    no = asked(made, "report.request", {**wanted, "form": "xlsx", "page": first["pages"] + 1})
    assert no["error"]["errors"][0]["at"] == "/page"
    assert asked(made, "report.request", {**wanted, "page": 2, "language": "en"})["error"]["code"] == "expired"
