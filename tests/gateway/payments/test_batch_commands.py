"""Intake of batches: one command, admitted as a whole or not at all, answered once; its items are orders like any
other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.payments.erp import batches
from protocols.erp import xml_form
from protocols.erp.forms import FORMS
from protocols.erp.words import CommandType
from tests.world.batching import SENDER, alone, answers, batch, completed, states
from tests.world.points import KillAt
from tests.world.world import OPERATIONS, REPLIES, World


def world(folder: Path, sender: dict[str, Any] | None = None, **more: Any) -> World:
    made = World(folder, sender={**SENDER, **(sender or {})}, **more)
    made.start()
    made.run(3)
    return made


def refused(made: World, body: dict[str, Any], key: str = "batch.submit") -> dict[str, Any]:
    made.command(key, body)
    made.run(5)
    [(_said, answer)] = [one for one in made.replies if one[0].correlation_id == f"m-{made._published}"]
    assert answer["event"] == "batch.rejected", answer
    error: dict[str, Any] = answer["error"]
    return error


def pointers(error: dict[str, Any]) -> dict[str, str]:
    return {one["at"]: one["code"] for one in error["errors"]}


# ---- one command, one answer ----


def test_a_batch_is_answered_once_with_every_item(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.command("batch.submit", batch(made, "B-1", [100, 200], tags={"run": "7"}))
    made.run(5)
    [said] = answers(made, "B-1")
    assert (said["event"], said["seq"], said["count"], said["sum"]) == ("batch.accepted", 1, 2, "3.00")
    assert [(one["id"], one["item_no"], one["state"]) for one in said["items"]] == [
        ("B-1-1", 1, "ready"),
        ("B-1-2", 2, "ready"),
    ]
    assert said["tags"] == {"run": "7"} and made.last("B-1-1")["tags"] == {"run": "7"}
    assert len(made.replies) == 1, "items have events, and no replies of their own"


def test_the_items_are_checked_by_the_writer_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world(tmp_path)
    assert made.life is not None
    store, check = made.life.gateway.parts.store, batches._admission
    checked: list[Any] = []
    before: list[int] = []
    write = store.write

    def checking(*words: Any) -> Any:
        checked.append(words)
        return check(*words)

    def writing(unit: Any, **words: Any) -> Any:
        before.append(len(checked))
        return write(lambda tx: (unit(tx), unit(tx))[0], **words) if words.get("sender") else write(unit, **words)

    monkeypatch.setattr(batches, "_admission", checking)
    monkeypatch.setattr(store, "write", writing)
    made.command("batch.submit", batch(made, "B-1", [100, 200]))
    made.run(5)
    assert answers(made, "B-1")[0]["event"] == "batch.accepted"
    assert before[0] == 0, "the reactor's turn hands the unit over unchecked"
    assert len(checked) == 1, "a unit that runs again does not check again"


def test_without_a_reply_queue_the_answer_is_an_event(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.command("batch.submit", batch(made, "B-1", [100]), reply_to=None)
    made.run(5)
    assert [event["event"] for event in made.events if event["id"] == "B-1"] == ["batch.accepted", "batch.completed"]


@pytest.mark.parametrize("again", ["json", "xml", "redelivered"])
def test_the_same_batch_again_is_the_same_batch(again: str, tmp_path: Path) -> None:
    made = world(tmp_path)
    body = batch(made, "B-1", [100, 200])
    made.command("batch.submit", body)
    made.run(5)
    if again == "xml":
        document = xml_form.xml_document("batch.submit", body, FORMS[CommandType.BATCH_SUBMIT])
        made.command("batch.submit", document, content_type="application/xml")
        made.run(5)
        assert "<replayed>true</replayed>" in made.replies[-1][1]["xml"]
    else:
        message_id = "m-1" if again == "redelivered" else "m-2"
        made.command("batch.submit", body, message_id=message_id)
        made.run(5)
        assert made.replies[-1][1]["replayed"] is True
        assert [one["state"] for one in made.replies[-1][1]["items"]] == ["settled", "settled"]
    assert len(made.bank.ledger.executions) == 2 and completed(made, "B-1") == [(2, {"settled": 2})]


def test_killed_after_the_commit_and_before_the_ack_it_is_answered_once(tmp_path: Path) -> None:
    made = World(tmp_path, sender=SENDER, points=KillAt("erp.ack.delivery.before"))
    made.start()
    made.command("batch.submit", batch(made, "B-1", [100, 200]))
    made.run(5)
    assert made.life is None
    made.start()
    made.run(10)
    assert {said.message_id for said, _ in made.replies} == {made.replies[0][0].message_id}
    assert states(made, "B-1") == ["settled", "settled"] and len(made.bank.ledger.executions) == 2


# ---- identity ----


def test_other_content_under_the_same_id_is_a_conflict(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.command("batch.submit", batch(made, "B-1", [100, 200]))
    made.run(5)
    error = refused(made, batch(made, "B-1", [100, 201]))
    assert (error["code"], error["resend"]) == ("id_conflict", "new_id")
    assert "state" not in made.replies[-1][1]
    assert len(made.bank.ledger.executions) == 2


def test_ids_of_batches_items_and_orders_are_one_set(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.submit("B-1")
    made.submit("B-2-2")
    made.command("batch.submit", batch(made, "B-3", [100]))
    made.run(5)
    assert refused(made, batch(made, "B-1", [100]))["code"] == "id_conflict", "an order has it"
    error = refused(made, batch(made, "B-2", [100, 200]))
    assert error["code"] == "id_conflict" and pointers(error) == {"/items/1/id": "repeated"}
    assert states(made, "B-2") == [], "its first item is free"
    made.submit("B-3")
    made.run(5)
    assert made.replies[-1][1]["error"]["code"] == "id_conflict", "a batch has it"
    assert len(made.bank.ledger.executions) == 3


# ---- every fault at once ----


def test_what_no_bank_can_read_is_refused_with_pointers_and_the_ids_stay_free(tmp_path: Path) -> None:
    made = world(tmp_path)
    body = batch(made, "B-1", [100, 200, 300])
    body["items"][0]["amount"], body["items"][2]["creditor"]["name"] = "1e3", ""
    error = refused(made, body)
    assert (error["code"], error["resend"]) == ("schema", "same_id")
    assert pointers(error) == {"/items/0/amount": "amount", "/items/2/creditor/name": "too_short"}
    made.command("batch.submit", batch(made, "B-1", [100, 200, 300]))
    made.run(5)
    assert states(made, "B-1") == ["settled"] * 3


def test_one_item_that_cannot_be_carried_refuses_the_batch(tmp_path: Path) -> None:
    made = world(tmp_path)
    body = batch(made, "B-1", [100, 200, 300])
    body["items"][1]["purpose"] = "示" * 60
    body["items"][2]["creditor"]["name"] = "示" * 60
    error = refused(made, body)
    assert error["code"] == "validation"
    assert pointers(error) == {"/items/1/purpose": "too_long", "/items/2/creditor/name": "too_long"}
    assert states(made, "B-1") == [] and not made.bank.ledger.executions
    made.command("status.query", {"id": "B-1"})
    made.run(5)
    assert made.replies[-1][1]["error"]["code"] == "unknown_payment"


def test_unless_the_sender_wants_only_that_item_refused(tmp_path: Path) -> None:
    made = world(tmp_path)
    body = batch(made, "B-1", [100, 200, 300], on_item_error="refuse_item")
    body["items"][1]["purpose"] = "示" * 60
    made.command("batch.submit", body)
    made.run(5)
    [said] = answers(made, "B-1")
    assert [one["state"] for one in said["items"]] == ["ready", "rejected", "ready"]
    assert said["items"][1]["error"]["errors"][0]["at"] == "/purpose"
    assert made.told("B-1-2") == ["payment.rejected"]
    assert completed(made, "B-1") == [(2, {"settled": 2, "rejected": 1})]


def test_a_batch_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    made = world(tmp_path)
    body = batch(made, "B-1", [100], on_item_error="refuse_item", purpose="示" * 60)
    assert pointers(refused(made, body)) == {"/items/0/purpose": "too_long"}


def test_what_is_wrong_in_the_head_is_told_once(tmp_path: Path) -> None:
    made = world(tmp_path)
    stranger = {"account": "00000000000999", "name": "x"}
    strange = batch(made, "B-1", [1, 2, 3], debtor=stranger)
    assert pointers(refused(made, strange)) == {"/debtor/account": "unknown_account"}
    assert pointers(refused(made, batch(made, "B-1", [100, 200, 300], currency="USD"))) == {"/currency": "currency"}
    late = batch(made, "B-1", [100], valid_until=made.moment(-1))
    assert refused(made, late)["code"] == "expired"
    foreign = batch(made, "C-1", [100], kind="collection", creditor=stranger)
    assert pointers(refused(made, foreign, "collection.submit")) == {"/creditor/account": "unknown_account"}


def test_a_kind_the_bank_has_not_is_refused_at_the_door(tmp_path: Path) -> None:
    made = world(tmp_path, adapters={"sample": lambda bank: replace(bank, bundles={})})
    error = refused(made, batch(made, "P-1", [100], kind="payroll"), "payroll.submit")
    assert (error["code"], error["title"]) == ("unsupported", "sample carries no payroll_item orders here")


def test_a_bank_without_bundles_takes_them_one_by_one(tmp_path: Path) -> None:
    made = world(tmp_path, adapters={"sample": alone})
    made.command("payroll.submit", batch(made, "P-1", [100, 200], kind="payroll"))
    made.run(5)
    assert states(made, "P-1") == ["settled", "settled"]


# ---- limits, holds ----


def test_limits_count_item_by_item_and_the_whole_is_refused(tmp_path: Path) -> None:
    made = world(tmp_path, {"limits": {"per_day": "5.00"}})
    error = refused(made, batch(made, "B-1", [200, 200, 200]))
    assert pointers(error) == {"/items/2/amount": "over_limit"}
    made.command("batch.submit", batch(made, "B-2", [250, 250]))
    made.run(5)
    assert states(made, "B-2") == ["settled", "settled"], "the refused batch used nothing up"
    assert pointers(refused(made, batch(made, "B-3", [1]))) == {"/items/0/amount": "over_limit"}


def test_an_item_over_a_limit_may_be_refused_alone(tmp_path: Path) -> None:
    made = world(tmp_path, {"limits": {"per_payment": "2.00"}})
    made.command("batch.submit", batch(made, "B-1", [200, 300, 100], on_item_error="refuse_item"))
    made.run(5)
    assert states(made, "B-1") == ["settled", "rejected", "settled"]


def test_the_sum_has_a_limit_and_a_band_of_its_own(tmp_path: Path) -> None:
    bands = [{"upto": "10.00", "action": "release"}, {"above": "10.00", "action": "hold"}]
    made = world(tmp_path, {"limits": {"per_batch": "20.00"}, "bands": bands})
    assert pointers(refused(made, batch(made, "B-1", [900, 900, 900]))) == {"/sum": "over_limit"}
    made.command("batch.submit", batch(made, "B-2", [600, 600]))
    made.run(5)
    assert states(made, "B-2") == ["held", "held"], "each is under the band, their sum is not"
    assert made.last("B-2-1")["hold_reason"] == "approval"


def test_an_item_alike_to_another_is_held_alone(tmp_path: Path) -> None:
    made = world(tmp_path, {"suspected_duplicate_hours": 24})
    made.command("batch.submit", batch(made, "B-1", [100, 200, 100]))
    made.run(5)
    assert states(made, "B-1") == ["settled", "settled", "held"]
    assert made.last("B-1-3")["hold_reason"] == "suspected_duplicate"
    made.command("batch.submit", batch(made, "B-2", [200, 300]))
    made.run(5)
    assert states(made, "B-2") == ["held", "settled"], "also to one of an earlier batch"


def test_a_new_payee_holds_its_item_but_never_a_collection(tmp_path: Path) -> None:
    made = world(tmp_path, {"new_payee_hold": True})
    made.command("batch.submit", batch(made, "B-1", [100]))
    made.command("collection.submit", batch(made, "C-1", [100], kind="collection"))
    made.run(5)
    assert (states(made, "B-1"), states(made, "C-1")) == (["held"], ["settled"])


# ---- standing ----


def test_a_batch_and_its_items_can_be_asked_about(tmp_path: Path) -> None:
    made = world(tmp_path)
    body = batch(made, "B-1", [100, 200])
    body["items"][1]["purpose"] = "#refuse"
    made.command("batch.submit", body)
    made.run(5)
    made.command("status.query", {"id": "B-1"})
    made.command("status.query", {"id": "B-1-2"})
    made.run(5)
    (_, whole), (_, item) = made.replies[-2:]
    assert (whole["event"], whole["final"], whole["seq"]) == ("batch.status", True, 2)
    assert [one["state"] for one in whole["items"]] == ["settled", "failed"]
    assert whole["states"] == [
        {"state": "settled", "count": 1, "sum": "1.00"},
        {"state": "failed", "count": 1, "sum": "2.00"},
    ]
    assert (item["event"], item["state"], item["batch"], item["item_no"]) == ("status.result", "failed", "B-1", 2)


def test_a_batch_is_withdrawn_as_far_as_nothing_has_left(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.command("batch.submit", batch(made, "B-1", [100, 200, 300], not_before=made.moment(600)))
    made.run(5)
    made.command("payment.cancel", {"id": "B-1-1"})
    made.run(2)
    made.command("payment.cancel", {"id": "B-1"})
    made.run(5)
    said = made.replies[-1][1]
    assert said["event"] == "batch.status" and said["final"] is True and said["seq"] == 2
    assert states(made, "B-1") == ["cancelled"] * 3
    assert completed(made, "B-1") == [(2, {"cancelled": 3})]
    made.command("payment.cancel", {"id": "B-1"})
    made.run(5)
    assert made.replies[-1][1]["event"] == "batch.status", "once more is no mistake"
    made.command("batch.submit", batch(made, "B-2", [100]))
    made.run(5)
    made.command("payment.cancel", {"id": "B-2"})
    made.run(5)
    assert made.replies[-1][1]["error"]["code"] == "too_late"


def test_another_sender_knows_nothing_of_it(tmp_path: Path) -> None:
    other = {"users": ["other-user"], "operations": list(OPERATIONS), "reply_to": r"erp-demo\..*"}
    made = world(tmp_path, settings={"senders": {"yonyou": other}})
    made.command("batch.submit", batch(made, "B-1", [100]))
    made.run(5)
    made.command("status.query", {"id": "B-1"}, user="other-user", reply_to=REPLIES)
    made.run(5)
    assert made.replies[-1][1]["error"]["code"] == "unknown_payment"


# ---- transfers ----


def test_a_transfer_stays_within_the_house(tmp_path: Path) -> None:
    made = World(
        tmp_path,
        sender=SENDER,
        settings={
            "accounts": [
                {"number": "00000000000100", "name": "示例甲公司", "company": "jia", "bank": "sample"},
                {"number": "00000000000200", "name": "示例甲公司", "company": "jia", "bank": "sample"},
            ]
        },
    )
    made.start()
    made.run(3)
    body = {
        "id": "T-1",
        "debtor": {"account": "00000000000100", "name": "示例甲公司"},
        "amount": "1.00",
        "creditor": {"account": "00000000000999", "name": "示例甲公司"},
        "currency": "CNY",
        "direction": "sweep",
    }
    for creditor, code in (("00000000000999", "unknown_account"), ("00000000000100", "pattern")):
        body["creditor"] = {"account": creditor, "name": "示例甲公司"}
        made.command("transfer.submit", body)
        made.run(5)
        said = made.replies[-1][1]
        assert said["event"] == "payment.rejected" and pointers(said["error"]) == {"/creditor/account": code}
    body["creditor"] = {"account": "00000000000200", "name": "示例甲公司"}
    made.command("transfer.submit", body)
    made.run(5)
    assert made.replies[-1][1]["event"] == "payment.accepted" and made.replies[-1][1]["kind"] == "transfer"
