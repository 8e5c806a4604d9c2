"""A command that comes again and is refused now: the refusal never states `rejected` about an order, a batch or a file
that was accepted before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from gateway.kernel.sql.sealed import SealBroken
from protocols.erp import xml_form
from protocols.erp.forms import FORMS
from protocols.erp.words import CommandType
from protocols.kit.iso20022 import report, schema
from tests.gateway.payments.test_files import transfers
from tests.world.batching import batch
from tests.world.world import OPERATIONS, World

XML = "application/xml"
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "right": ("not_allowed", {"operations": [one for one in OPERATIONS if not one.endswith(".submit")]}),
    "reply queue": ("reply_to_refused", {"reply_to": r"erp-other\..*"}),
    "key": ("bad_signature", {}),
    "form": ("schema", {}),
}


def refused_since(folder: Path, why: str, key: str, said: dict[str, Any]) -> World:
    """A world whose sender has one settled order or batch, and since then settings under which it is refused."""
    world = World(folder)
    world.start()
    world.command(key, said)
    world.run(120)
    world.leave()
    sender = dict(REFUSED[why][1])
    if why == "key":
        (folder / "hmac").write_bytes(b"h" * 32)
        sender["hmac_key"] = {"file": str(folder / "hmac")}
    world._changes = {"senders": {"kingdee": sender}}
    world.settings = world._settings()
    world.start()
    world.run(5)
    return world


def refusal(world: World, key: str, body: Any, **said: Any) -> dict[str, Any]:
    """The refusal of this command, wherever it was sent."""
    before = len(world.replies), len(world.events)
    world.command(key, body, **said)
    world.run(5)
    [found] = [body for _said, body in world.replies[before[0] :]] + world.events[before[1] :]
    return found


def ill_formed(why: str, body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "purpose": 5} if why == "form" else body


@pytest.mark.parametrize("why", REFUSED)
def test_the_refusal_of_an_order_that_was_settled_states_no_state(why: str, tmp_path: Path) -> None:
    paid = World(tmp_path).order("AP-1")
    world = refused_since(tmp_path, why, "payment.submit", paid)
    assert world.state("AP-1") == "settled"
    again = refusal(world, "payment.submit", ill_formed(why, paid))
    assert (again["event"], again["id"], again["error"]["code"]) == ("payment.rejected", "AP-1", REFUSED[why][0])
    assert "state" not in again
    new = refusal(world, "payment.submit", ill_formed(why, {**paid, "id": "AP-2"}))
    assert (new["error"]["code"], new["state"]) == (REFUSED[why][0], "rejected"), "AP-2 is nothing but refused"
    assert len(world.bank.ledger.executions) == 1


@pytest.mark.parametrize("why", REFUSED)
def test_the_refusal_of_a_batch_that_was_settled_states_no_state(why: str, tmp_path: Path) -> None:
    paid = batch(World(tmp_path), "B-1", [100, 200])
    world = refused_since(tmp_path, why, "batch.submit", paid)
    assert (world.state("B-1-1"), world.state("B-1-2")) == ("settled", "settled")
    again = refusal(world, "batch.submit", ill_formed(why, paid))
    assert (again["event"], again["id"], again["error"]["code"]) == ("batch.rejected", "B-1", REFUSED[why][0])
    assert "state" not in again
    new = refusal(world, "batch.submit", ill_formed(why, {**paid, "id": "B-2"}))
    assert (new["error"]["code"], new["state"]) == (REFUSED[why][0], "rejected")
    item = refusal(world, "payment.submit", ill_formed(why, world.order("B-1-1")))
    assert item["error"]["code"] in (REFUSED[why][0], "id_conflict") and "state" not in item, "an item has the id"


@pytest.mark.parametrize(("key", "id_"), [("payment.submit", "AP-1"), ("batch.submit", "B-1")])
def test_the_refusal_in_xml_states_no_state_either(key: str, id_: str, tmp_path: Path) -> None:
    blank = World(tmp_path)
    paid = blank.order("AP-1") if key == "payment.submit" else batch(blank, "B-1", [100])
    world = refused_since(tmp_path, "right", key, paid)
    for one in (id_, "NEW-1"):
        body = xml_form.xml_document(key, {**paid, "id": one}, FORMS[CommandType(key)])
        said = refusal(world, key, body, content_type=XML)["xml"]
        assert f"<id>{one}</id>" in said and "not_allowed" in said
        assert ("<state>" in said) == (one == "NEW-1")


def test_a_row_that_was_altered_is_no_rejected_payment(tmp_path: Path, logged_failures: Any) -> None:
    """The unit fails at the row's seal, and the message is refused as `internal`."""
    world = World(tmp_path)
    world.start()
    world.submit("AP-1")
    world.run(120)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db, db:
        db.execute("UPDATE payments SET amount_minor = amount_minor + 1")
    again = refusal(world, "payment.submit", world.order("AP-1"))
    assert (again["event"], again["id"], again["error"]["code"]) == ("payment.rejected", "AP-1", "internal")
    assert "state" not in again
    logged_failures.take(SealBroken)


@pytest.mark.parametrize("form", ["pain.002", "json"])
def test_the_refusal_of_a_file_that_was_paid_rejects_no_file(form: str, tmp_path: Path) -> None:
    """A file's own id belongs to no payment: the ids of its orders begin with it."""
    world = World(tmp_path)
    world.start()
    world.command("payment.submit", transfers(world, "1.00", "2.00"), content_type=XML)
    world.run(120)
    assert world.state("M-1/G-1/E2E-1") == "settled"
    world.leave()
    world._changes = {"senders": {"kingdee": REFUSED["right"][1]}}
    world.settings = world._settings()
    world.start()
    world.run(5)
    for message in ("M-1", "M-2", "M"):
        body = transfers(world, "1.00", "2.00", message=message)
        queue = {} if form == "pain.002" else {"reply_to": None}
        said = refusal(world, "payment.submit", body, content_type=XML, **queue)
        if form == "json":
            assert (said["id"], "state" in said) == (message, message != "M-1")
            continue
        root = etree.fromstring(said["xml"].encode())
        assert schema.faults(root, "pain.002.001.12") == ()
        found = report.read_status(root)
        assert (found.original_id, found.reasons[0].code) == (message, "not_allowed")
        assert found.status == ("" if message == "M-1" else "RJCT")
