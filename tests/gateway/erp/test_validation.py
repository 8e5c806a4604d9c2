"""`payment.validate`: the words of `payment.submit` before it is sent, and nothing of it is kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.world.world import OPERATIONS, World

STRICT: dict[str, Any] = {
    "bands": [{"upto": "1000", "action": "release"}, {"above": "1000", "action": "hold"}],
    "limits": {"per_payment": "5000.00"}, "suspected_duplicate_hours": 24, "new_payee_hold": True,
}  # fmt: skip
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
    """The answer to a rehearsal, which must leave every table as it was."""
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
    """Whoever may submit may ask; who may only ask is told that he may not submit; who may neither is refused."""
    world = started(tmp_path / "asks", operations=["payment.validate"])
    assert asked(world, world.order("AP-1"))["error"]["code"] == "not_allowed"
    world.crash()
    other = started(tmp_path / "neither", operations=[one for one in OPERATIONS if not one.startswith("payment.")])
    other.command("payment.validate", other.order("AP-1"))
    other.run(3)
    [(_, said)] = other.replies
    assert (said["event"], said["error"]["code"]) == ("command.rejected", "not_allowed")
    other.crash()
