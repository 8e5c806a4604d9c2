"""The operator's view of batches, and the acts on them: all items change in one unit, each with its actor."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.commands.orders import _headline, _words, show_changed
from gateway.payments.act_answers import order_view
from gateway.payments.act_answers.order_view import Masking
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from tests.gateway.cli.control_operator import Operator
from tests.world.batching import batch, completed, narrow, states
from tests.world.world import World

HOLD = {
    "bands": [{"upto": "1000", "action": "release"}, {"above": "1000", "action": "hold"}],
    "suspected_duplicate_hours": 0,
}
ALIKE = {**HOLD, "suspected_duplicate_hours": 24}


def counter(folder: Path, **more: Any) -> Operator:
    world = World(folder, **{"sender": HOLD, **more})
    world.start()
    world.run(2)
    return Operator(world)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    made = counter(tmp_path)
    yield made
    if made.world.life is not None:
        made.world.crash()


def submit(operator: Operator, id_: str, minors: list[int], **head: Any) -> None:
    operator.world.command("batch.submit", batch(operator.world, id_, minors, **head))
    operator.world.run(3)


def payment(operator: Operator, id_: str) -> str:
    return str(operator.world.last(id_)["payment"])


def units_of(operator: Operator, entry: str) -> set[int]:
    """The times at which entries of this name were written; entries of one unit have one time."""
    with sqlite3.connect(operator.world.folder / "journal.db") as db:
        return {at for (at,) in db.execute("select at_ms from audit where entry = ?", (entry,))}


def test_a_batch_that_waits_is_let_go_at_once_and_each_item_has_its_actor(operator: Operator) -> None:
    submit(operator, "B-1", [50_000, 40_000, 30_000])
    assert states(operator.world, "B-1") == ["held"] * 3, "their sum belongs to the band that waits"
    assert not operator.world.bank.ledger.executions
    said = operator.ask("POST", "orders", "kingdee:B-1", "release", reason="checked by phone")
    assert (said["batch"], said["changed_items"], said["count"]) == ("B-1", 3, 3)
    assert said["states"] == [{"state": "ready", "count": 3, "sum": "1200.00"}] and said["held_for"] == {}
    operator.world.run(5)
    assert states(operator.world, "B-1") == ["settled"] * 3
    assert completed(operator.world, "B-1") == [(2, {"settled": 3})]
    assert len(operator.world.bank.ledger.executions) == 3
    for n in (1, 2, 3):
        trail = operator.trail(payment(operator, f"B-1-{n}"))
        assert trail.count(("uid:root", "payment.release")) == trail.count(("uid:root", "order.released")) == 1
    assert ("uid:root", "batch.released") in operator.trail("kingdee/B-1")
    assert len(units_of(operator, "order.released")) == 1
    # A second call changes nothing.
    why = operator.no(409, "not_now", "POST", "orders", "kingdee:B-1", "release", reason="again")
    assert "3 settled" in why
    operator.world.run(5)
    assert len(operator.world.bank.ledger.executions) == 3


def test_one_word_does_not_let_go_what_waits_for_another_reason(tmp_path: Path) -> None:
    operator = counter(tmp_path, sender=ALIKE)
    submit(operator, "B-1", [150_000, 10_000, 10_000])
    assert [operator.world.last(f"B-1-{n}")["hold_reason"] for n in (1, 2, 3)] == [
        "approval",
        "approval",
        "suspected_duplicate",
    ]
    why = operator.no(409, "not_now", "POST", "orders", "kingdee:B-1", "release", reason="x")
    assert "approval (3), suspected_duplicate (1)" in why and "--held-for" in why
    assert states(operator.world, "B-1") == ["held"] * 3
    why = operator.no(409, "not_now", "POST", "orders", "kingdee:B-1", "release", reason="x", held_for="new_payee")
    assert "3 held" in why
    operator.no(400, "bad_reason", "POST", "orders", "kingdee:B-1", "release", reason="x", held_for=["approval"])
    said = operator.ask("POST", "orders", "kingdee:B-1", "release", reason="x", held_for="approval")
    assert (said["changed_items"], said["held_for"]) == (3, {"suspected_duplicate": 1}), "the third loses one of two"
    operator.world.run(5)
    assert states(operator.world, "B-1") == ["settled", "settled", "held"]
    # The suspicion holds a single order too.
    why = operator.no(409, "not_now", "POST", "orders", "kingdee:B-1-3", "release", reason="x", held_for="approval")
    assert "waits for suspected_duplicate" in why
    operator.ask("POST", "orders", "kingdee:B-1", "release", reason="both are owed")
    operator.world.run(5)
    assert states(operator.world, "B-1") == ["settled"] * 3 and len(operator.world.bank.ledger.executions) == 3
    operator.world.crash()


def test_a_batch_is_withdrawn_as_far_as_it_was_not_sent(operator: Operator) -> None:
    submit(operator, "B-1", [50_000, 40_000, 30_000])
    operator.ask("POST", "orders", "kingdee:B-1-2", "release", reason="this one alone")
    operator.world.run(5)
    assert states(operator.world, "B-1") == ["held", "settled", "held"]
    said = operator.ask("POST", "orders", "kingdee:B-1", "cancel", reason="wrong month")
    assert said["changed_items"] == 2
    operator.world.run(2)
    assert states(operator.world, "B-1") == ["cancelled", "settled", "cancelled"]
    assert completed(operator.world, "B-1") == [(2, {"settled": 1, "cancelled": 2})]
    assert ("uid:root", "order.cancelled") in operator.trail(payment(operator, "B-1-1"))
    assert ("uid:root", "order.cancelled") not in operator.trail(payment(operator, "B-1-2"))
    why = operator.no(409, "not_now", "POST", "orders", "kingdee:B-1", "cancel", reason="again")
    assert "2 cancelled, 1 settled" in why


def test_the_name_of_no_batch_and_of_another_senders(operator: Operator) -> None:
    submit(operator, "B-1", [150_000])
    for name in ("kingdee:B-2", "other:B-1", "B-1"):
        operator.no(404, "no_such_order", "POST", "orders", name, "release", reason="x")
        operator.no(404, "no_such_order", "GET", "orders", name)
    assert "one of its items" in operator.no(409, "not_now", "POST", "orders", "kingdee:B-1", "enquire")
    operator.no(400, "missing", "POST", "orders", "kingdee:B-1", "release")
    assert states(operator.world, "B-1") == ["held"]


def test_a_batch_and_its_items_are_shown(operator: Operator, capsys: pytest.CaptureFixture[str]) -> None:
    submit(operator, "B-1", [50_000, 60_000])
    submit(operator, "B-2", [100])
    said = operator.ask("GET", "orders", "kingdee:B-1")
    assert (said["batch"], said["sum"], said["open_items"]) == ("B-1", "1100.00", 2)
    assert [(one["id"], one["item_no"], one["state"]) for one in said["items"]] == [
        ("B-1-1", 1, "held"),
        ("B-1-2", 2, "held"),
    ]
    assert said["held_for"] == {"approval": 2}
    assert operator.world.bank.account not in json.dumps(said)
    listed = operator.ask("GET", "orders", query={"batch": "B-1"})["orders"]
    assert [one["id"] for one in listed] == ["B-1-2", "B-1-1"]
    assert operator.ask("GET", "orders", "kingdee:B-2-1")["in_batch"]["batch"] == "B-2"
    assert "in_batch" not in _single(operator)
    _words(said)
    show_changed({**said, "changed_items": 1})
    out = capsys.readouterr().out
    assert "2 held (1100.00); waiting for: approval 2" in out and "B-1-2" in out
    assert "1 of 2 items changed" in out


def _single(operator: Operator) -> Any:
    operator.world.submit("AP-1")
    operator.world.run(3)
    return operator.ask("GET", "orders", "kingdee:AP-1")


def sent(said: Any) -> list[Any]:
    return [one for one in said["timeline"] if one["what"] == "sent"]


def test_an_item_shows_the_message_that_carried_it_and_hides_the_others(
    operator: Operator, capsys: pytest.CaptureFixture[str]
) -> None:
    body = batch(operator.world, "B-1", [10_000, 20_000])
    # Short numbers and names that no pattern recognises, so they must be known from the other order.
    body["items"][1]["creditor"] = {"account": "0000777", "name": "示例丁丁公司"}
    operator.world.command("batch.submit", body)
    operator.world.run(5)
    assert states(operator.world, "B-1") == ["settled", "settled"]
    said = operator.ask("GET", "orders", "kingdee:B-1-1")
    (one,) = sent(said)
    assert one["bundle"]["items"] == 2 and one["bundle"]["attempt"] == 1
    assert "<Operation>PayBatch</Operation>" in one["wire"]["text"] and one["wire"]["bytes"] > 500
    assert "<Result>" in one["answer"]["text"]
    assert said["in_batch"]["count"] == 2
    text = json.dumps(said, ensure_ascii=False)
    for secret in ("0000777", "示例丁丁公司", "示例乙", "0000000000000000025", operator.world.bank.account):
        assert secret not in text
    clear = json.dumps(operator.ask("GET", "orders", "kingdee:B-1-1", query={"clear": "1"}), ensure_ascii=False)
    assert "0000777" in clear and "示例丁丁公司" in clear
    _words(said)
    out = capsys.readouterr().out
    assert f"with others in {one['bundle']['reference']}: 2 items" in out
    assert "to the bank: " in out and "from the bank, to all of them: " in out


def test_an_item_that_left_its_message_is_still_hidden_in_it(tmp_path: Path) -> None:
    """The message was not sent, and is sent later without this order. The bytes of the first try still name the
    order."""
    operator = counter(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY)]))
    body = batch(operator.world, "B-1", [10_000, 20_000])
    body["items"][1]["creditor"] = {"account": "0000777", "name": "示例丁丁公司"}
    operator.world.command("batch.submit", body)
    operator.world.run(1)
    assert states(operator.world, "B-1") == ["in_doubt"] * 2
    row = payment(operator, "B-1-2")
    with sqlite3.connect(operator.world.folder / "journal.db") as db:
        assert db.execute("delete from bundle_items where payment = ?", (row,)).rowcount == 1
    said = operator.ask("GET", "orders", "kingdee:B-1-1")
    assert sent(said)[0]["bundle"]["items"] == 1
    text = json.dumps(said, ensure_ascii=False)
    assert "0000777" not in text and "示例丁丁公司" not in text
    # Its place was deleted by SQL, because the gateway takes an order out of unsent messages only: nothing is shown for it.
    operator.no(409, "row_altered", "GET", "orders", "kingdee:B-1-2")
    operator.world.crash()


def test_the_messages_of_one_batch_are_each_shown_with_their_own_items(tmp_path: Path) -> None:
    operator = counter(tmp_path, adapters={"sample": narrow(2)})
    submit(operator, "B-1", [10_000, 10_000, 10_000])
    shown = [sent(operator.ask("GET", "orders", f"kingdee:B-1-{n}"))[0] for n in (1, 2, 3)]
    assert [one["bundle"]["items"] for one in shown] == [2, 2, 1]
    assert shown[0]["bundle"] == shown[1]["bundle"] != shown[2]["bundle"]
    assert shown[0]["wire"]["sha256"] == shown[1]["wire"]["sha256"] != shown[2]["wire"]["sha256"]
    operator.world.crash()


@pytest.mark.parametrize("shift", range(3))
def test_a_long_message_is_cut_between_characters_and_hides_half_a_name(shift: int) -> None:
    name = "示例乙公司"
    masking = Masking(((name, "示**"),), (), clear=False)
    octets = (b"x" * shift + name.encode() * 10_000)[: order_view.SHOWN_BYTES + 4_000]
    said = masking.octets(octets)
    assert (said["read_as"], said["cut_after"], said["bytes"]) == ("UTF-8", order_view.SHOWN_BYTES, len(octets))
    assert not said["text"].strip("x示*")
    assert masking.octets("示例乙".encode("gb18030"))["read_as"] == "GB18030"
    assert masking.octets(name.encode())["text"] == "示**"


def test_a_line_says_how_a_message_was_tried_where_that_is_more_than_its_state() -> None:
    one = {
        "what": "told",
        "event": "payment.settled",
        "state": "sent",
        "routing_key": "k",
        "tries": 1,
        "last_tried_at": "T",
        "last_result": "confirmed",
        "last_text": None,
    }
    assert _headline(one) == "told payment.settled (sent) key k"
    assert _headline({**one, "tries": None}) == "told payment.settled (sent) key k"
    assert _headline({**one, "tries": 3}) == "told payment.settled (sent, tries 3, the last confirmed at T) key k"
    parked = {**one, "state": "parked", "last_result": "returned", "last_text": "312 NO_ROUTE"}
    assert _headline(parked) == "told payment.settled (parked, tries 1, the last returned 312 NO_ROUTE at T) key k"
