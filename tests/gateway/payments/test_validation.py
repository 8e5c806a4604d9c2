"""`payment.validate` gives the reply of `payment.submit` in advance, and stores nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.world.world import OPERATIONS, World

STRICT: dict[str, Any] = {
    "bands": [{"upto": "1000", "action": "release"}, {"above": "1000", "action": "hold"}],
    "limits": {"per_payment": "5000.00"},
    "suspected_duplicate_hours": 24,
    "new_payee_hold": True,
}
TABLES = ("payments", "refusals", "usage_counts", "payees_registered", "work", "attempts", "questions")


def started(folder: Path, **sender: Any) -> World:
    folder.mkdir(exist_ok=True)
    world = World(folder, sender=sender)
    world.start()
    world.run(2)
    return world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = started(tmp_path, **STRICT)
    yield made
    made.crash()


def counts(world: World) -> dict[str, int]:
    with sqlite3.connect(world.folder / "journal.db") as db:
        return {table: db.execute(f"select count(*) from {table}").fetchone()[0] for table in TABLES}


def asked(world: World, body: Any) -> dict[str, Any]:
    """The reply to a validation, which must leave every table unchanged."""
    before, replies = counts(world), len(world.replies)
    world.command("payment.validate", body)
    world.run(3)
    assert counts(world) == before
    [(_, said)] = world.replies[replies:]
    assert said["event"] == "payment.validated", said
    return dict(said)


def test_it_says_what_would_hold_the_order_and_leaves_its_id_free(world: World) -> None:
    said = asked(world, world.order("AP-1", 200_000))
    assert (said["would"], said["hold_reasons"]) == ("held", ["new_payee", "approval"])
    assert (said["id"], said["bank"], said["lane"], said["sender"]) == ("AP-1", "sample", "sample.main", "kingdee")
    world.submit("AP-1", 200_000)
    world.run(3)
    assert world.last("AP-1")["hold_reasons"] == ["new_payee", "approval"], "as it was told"
    assert asked(world, {**world.order("AP-1", 200_000), "id": "AP-2"})["hold_reasons"][0] == "suspected_duplicate"
    again = asked(world, world.order("AP-1", 200_000))
    assert (again["would"], again["payment"]) == ("replayed", world.last("AP-1")["payment"])
    other = asked(world, world.order("AP-1", 200_001))
    assert (other["would"], other["error"]["code"]) == ("rejected", "id_conflict")


def test_a_good_order_would_be_sent_and_is_not(tmp_path: Path) -> None:
    world = started(tmp_path)
    said = asked(world, world.order("AP-1"))
    assert said["would"] == "ready" and "send_after" in said and "error" not in said
    world.run(30)
    assert not world.bank.ledger.executions and world.state("AP-1") is None
    world.crash()


def test_every_fault_is_told_at_once_beside_the_holds(world: World) -> None:
    """The bank's limits, the sender's limits and the holds in one answer."""
    body = {**world.order("AP-1", 900_000), "purpose": "货" * 200}
    said = asked(world, body)
    assert said["would"] == "rejected" and said["hold_reasons"] == ["new_payee", "approval"]
    assert {fault["code"] for fault in said["error"]["errors"]} >= {"too_long", "over_limit"}


def test_a_body_that_is_no_order_is_answered_and_not_parked(world: World) -> None:
    said = asked(world, {"id": "AP-1", "amount": "x"})
    assert (said["would"], said["id"], said["error"]["code"]) == ("rejected", "AP-1", "schema")
    assert len(said["error"]["errors"]) > 1
    unknown = {**world.order("AP-1"), "debtor": {"account": "0000000000000000999", "name": "示例甲公司"}}
    assert asked(world, unknown)["error"]["errors"][0]["code"] == "unknown_account"


def test_rights_are_told(tmp_path: Path) -> None:
    """A sender that may submit may validate. One that may only validate is told that it may not submit. One that may do
    neither is refused."""
    world = started(tmp_path / "asks", operations=["payment.validate"])
    assert asked(world, world.order("AP-1"))["error"]["code"] == "not_allowed"
    world.crash()
    other = started(tmp_path / "neither", operations=[one for one in OPERATIONS if not one.startswith("payment.")])
    other.command("payment.validate", other.order("AP-1"))
    other.run(3)
    [(_, said)] = other.replies
    assert (said["event"], said["error"]["code"]) == ("command.rejected", "not_allowed")
    other.crash()


def faults_of(said: dict[str, Any]) -> set[tuple[str, str]]:
    return {(fault["at"], fault["code"]) for fault in said["error"]["errors"]}


def refused(world: World, type_: str, body: Any) -> dict[str, Any]:
    """The refusal of a command, of which nothing becomes a payment or is counted."""
    before, replies = {**counts(world), "refusals": 0}, len(world.replies)
    world.command(type_, body)
    world.run(3)
    assert {**counts(world), "refusals": 0} == before
    [(_, said)] = world.replies[replies:]
    return dict(said)


def wrong_in_three_layers(world: World, id_: str) -> dict[str, Any]:
    """An order with a fault of form, one against the bank's limits and one against the sender's limit."""
    return {**world.order(id_, 900_000), "urgency": "soon", "purpose": "货" * 200, "puprose": "x"}


@pytest.mark.parametrize("type_", ["payment.validate", "payment.submit"])
def test_a_fault_of_form_hides_no_fault_of_the_register(world: World, type_: str) -> None:
    ask = asked if type_ == "payment.validate" else lambda there, body: refused(there, type_, body)
    unknown = {**world.order("AP-1"), "debtor": {"account": "0000000000000000999", "name": "示例甲公司"}, "amount": "x"}
    said = ask(world, unknown)
    assert (said["id"], said["error"]["code"]) == ("AP-1", "schema")
    assert faults_of(said) == {("/amount", "amount"), ("/debtor/account", "unknown_account")}
    said = ask(world, wrong_in_three_layers(world, "AP-2"))
    assert faults_of(said) == {
        ("/urgency", "unknown_code"),
        ("/puprose", "unknown_field"),
        ("/purpose", "too_long"),
        ("/amount", "over_limit"),
    }
    # A field with a fault of form has no second fault, which would be about its stand-in.
    nothing = ask(world, {**world.order("AP-3"), "creditor": {"name": 5}, "currency": "??", "amount": "99999999.00"})
    assert {at for at, _code in faults_of(nothing)} <= {"/creditor/account", "/creditor/name", "/currency"}
    assert world.state("AP-1") is world.state("AP-2") is world.state("AP-3") is None


def test_an_account_of_others_and_a_fault_of_form_are_told_together(tmp_path: Path) -> None:
    world = started(tmp_path, accounts=["0000000000000000099"])
    said = asked(world, {**world.order("AP-1"), "channel": "pigeon"})
    assert faults_of(said) == {("/channel", "unknown_code"), ("/debtor/account", "account_not_allowed")}
    world.crash()


def test_an_order_for_the_bank_is_refused_with_the_senders_limit_too(world: World) -> None:
    said = refused(world, "payment.submit", {**world.order("AP-1", 900_000), "purpose": "货" * 200})
    assert said["error"]["code"] == "validation"
    assert faults_of(said) >= {("/purpose", "too_long"), ("/amount", "over_limit")}
    assert said["error"]["resend"] == "same_id" and world.state("AP-1") is None


def test_an_order_that_is_too_late_is_told_everything_else(world: World) -> None:
    late = {**world.order("AP-1", 900_000), "valid_until": "2020-01-01T00:00:00Z"}
    said = refused(world, "payment.submit", late)
    assert said["error"]["code"] == "expired"
    assert faults_of(said) == {("/valid_until", "time"), ("/amount", "over_limit")}


def test_a_sender_without_the_right_is_told_so_beside_the_fields(tmp_path: Path) -> None:
    world = started(tmp_path, operations=["payment.validate"])
    said = asked(world, {**world.order("AP-1"), "urgency": "soon"})
    assert faults_of(said) == {("", "unsupported"), ("/urgency", "unknown_code")}
    world.crash()


def batch_of(world: World, count: int, **item: Any) -> dict[str, Any]:
    one = world.order("B")
    items = [
        {"id": f"I-{number}", "amount": "10.00", "creditor": dict(one["creditor"]), **item} for number in range(count)
    ]
    total = f"{10 * count}.00"
    return {"id": "B-1", "debtor": one["debtor"], "count": count, "sum": total, "currency": "CNY", "items": items}


def test_every_line_of_a_batch_is_told_over_all_layers(world: World) -> None:
    body = batch_of(world, 4)
    body["items"][0]["amount"] = "ten"
    body["items"][1]["purpose"] = "货" * 200
    body["items"][2]["amount"], body["sum"] = "9000.00", "9030.00"
    del body["items"][3]["creditor"]["name"]
    said = refused(world, "batch.submit", body)
    assert said["error"]["code"] == "schema"
    found = faults_of(said)
    assert {("/items/1/purpose", "too_long"), ("/items/2/amount", "over_limit")} <= found
    assert {at for at, _code in found} == {
        "/items/0/amount",
        "/items/1/purpose",
        "/items/2/amount",
        "/items/3/creditor/name",
    }
    unknown = {**body, "debtor": {**body["debtor"], "account": "0000000000000000999"}}
    assert ("/debtor/account", "unknown_account") in faults_of(refused(world, "batch.submit", {**unknown, "id": "B-2"}))


def test_the_faults_of_a_long_batch_are_bounded(world: World) -> None:
    body = batch_of(world, 300, purpose="货" * 200)
    body["items"][299]["amount"] = "ten"
    assert len(refused(world, "batch.submit", body)["error"]["errors"]) == 100
