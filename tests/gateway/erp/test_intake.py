"""Identity and acknowledgement: one order becomes one payment, and a command is acknowledged when it is durable."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.erp import intake as intake_module
from gateway.erp.intake import Intake
from gateway.kernel.commit.store import Tx
from gateway.kernel.deliveries import Delivery
from gateway.payments.erp import envelope
from gateway.payments.rows import admission as payments_admission
from gateway.payments.rows import refusals
from gateway.payments.rows.admission import Admission, Admitted
from gateway.statements.rows import questions
from protocols.erp import xml_form
from protocols.erp.order_forms import PaymentSubmit
from tests.world.batching import batch
from tests.world.lines import events, lines
from tests.world.points import KillAt
from tests.world.world import OPERATIONS, USER, Life, World

ACKED = "erp.ack.delivery"


def answers(world: World, message_id: str) -> list[dict[str, Any]]:
    return [body for said, body in world.replies if said.correlation_id == message_id]


def reply_ids(world: World) -> set[str | None]:
    return {said.message_id for said, _body in world.replies}


def test_a_flood_of_orders_is_taken_in_by_short_groups(tmp_path: Path) -> None:
    world = World(tmp_path)
    for n in range(100):
        world.submit(f"AP-{n}")
    taken: list[int] = []
    life = world.start()
    life.store.listen(lambda commit: taken.append(sum(mail.exchange == "" for mail in commit.messages)))
    world.run(5)
    assert sum(taken) == 100 and max(taken) == 32, "what is under way to the bank finds a group soon"


@pytest.mark.parametrize(
    ("user", "words"),
    [
        (None, "the question has no user-id, and no sender takes anonymous questions; set user-id to your login"),
        ("stranger", "broker user 'stranger' belongs to no configured sender"),
    ],
)
def test_a_question_from_nobody_says_what_it_lacks(user: str | None, words: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.command("balance.query", {"accounts": ["00000000000100"]}, user=user)
    world.run(5)
    [copy] = world.broker.drain("bankgw.parked")
    assert copy.properties.headers["refused_title"] == words


@pytest.mark.timeout(240)
@pytest.mark.parametrize("broken", ["unit", "envelope", "refusal"])
def test_what_can_be_neither_taken_nor_refused_goes_back_and_holds_nobody_up(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged_failures: Any
) -> None:
    read, refusal = envelope.envelope_of, Intake._refusal

    def raising(*_: object) -> Any:
        raise TypeError("no such property")

    def fitting(delivery: Delivery, arrived_ms: int) -> envelope.Envelope:
        return (
            raising()
            if broken == "envelope" and delivery.properties.message_id == "m-1"
            else read(delivery, arrived_ms)
        )

    def refusing(intake: Intake, delivery: Delivery, said: envelope.Envelope, refused: Any) -> Any:
        if delivery.properties.message_id != "m-1":
            return refusal(intake, delivery, said, refused)
        return raising() if broken == "refusal" else raising

    monkeypatch.setattr(intake_module, "envelope_of", fitting)
    monkeypatch.setattr(Intake, "_refusal", refusing)
    world = World(tmp_path)
    life = world.start()
    world.command("payment.submit", b"{", content_type="application/json")
    for n in range(300):
        world.submit(f"AP-{n}")
    world.run(60)
    assert {world.state(f"AP-{n}") for n in range(300)} == {"settled"}, "more of them than are read at once"
    [kept] = life.amqp.unacked
    assert kept.properties.message_id == "m-1" and 20 < kept.deliveries < 70, (
        "about once a second, for the limit to count"
    )
    assert life.gateway.intake.under_way == 0 and life.fatal == []
    assert bool(logged_failures.take(TypeError)) == (broken != "unit")


# ---- identity ----


def test_the_same_order_again_in_xml_is_the_same_payment(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    body = {**world.order("AP-1"), "tags": {"invoice": "INV-1"}}
    world.command("payment.submit", body)
    world.run(5)
    xml = xml_form.xml_document("payment.submit", body, PaymentSubmit)
    world.command("payment.submit", xml, content_type="application/xml")
    world.run(5)
    [first], [again] = answers(world, "m-1"), answers(world, "m-2")
    assert first["replayed"] is False and first["state"] == "accepted"
    said = again["xml"]
    assert "<replayed>true</replayed>" in said and "<state>settled</state>" in said and first["payment"] in said
    assert len(world.bank.ledger.executions) == 1
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"], "no event is told twice"


def test_an_order_in_xml_is_answered_in_xml(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    xml = xml_form.xml_document("payment.submit", world.order("AP-1"), PaymentSubmit)
    world.command("payment.submit", xml, content_type="application/xml")
    world.run(5)
    [(said, body)] = world.replies
    assert said.content_type == "application/xml"
    assert "<state>accepted</state>" in body["xml"]


def test_a_repeat_without_a_reply_queue_is_answered_by_an_event(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.submit("AP-1")
    world.run(5)
    world.command("payment.submit", world.order("AP-1"), reply_to=None)
    world.run(5)
    again = [event for event in world.events if event.get("replayed")]
    assert [(one["event"], one["state"], one["seq"]) for one in again] == [("payment.accepted", "settled", 2)]


def test_an_unset_field_and_its_default_are_the_same_order(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.submit("AP-1")
    world.run(5)
    world.again("AP-1", fresh=True, urgency="normal", valid_until=None, amount="100.0")
    world.run(5)
    [again] = answers(world, "m-2")
    assert again["replayed"] is True


def test_renaming_a_broker_user_changes_nothing_about_identity(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.submit("AP-1")
    world.run(5)
    world.leave()
    world._changes = {"senders": {"kingdee": {"users": ["erp-new"]}}}
    world.settings = world._settings()
    world.start()
    world.command("payment.submit", world.order("AP-1"), user="erp-new")
    world.command("status.query", {"id": "AP-1"}, user="erp-new")
    world.command("payment.submit", world.order("AP-2"), user=USER)
    world.run(5)
    [again], [status] = answers(world, "m-2"), answers(world, "m-3")
    assert again["replayed"] is True and status["state"] == "settled"
    assert len(world.bank.ledger.executions) == 1, "the old user speaks for nobody any more"


def test_two_users_of_one_sender_are_one_sender(tmp_path: Path) -> None:
    world = World(tmp_path, sender={"users": [USER, "erp-user-2"]})
    world.start()
    world.submit("AP-1")
    world.command("payment.submit", world.order("AP-1"), user="erp-user-2")
    world.run(5)
    assert sorted(body["replayed"] for _said, body in world.replies) == [False, True]
    assert len(world.bank.ledger.executions) == 1


def test_the_same_id_of_two_senders_is_two_payments_and_neither_sees_the_other(tmp_path: Path) -> None:
    other = {
        "users": ["other-user"],
        "operations": list(OPERATIONS),
        "reply_to": r"erp-other\..*",
        "suspected_duplicate_hours": 0,
    }
    world = World(tmp_path, settings={"senders": {"yonyou": other}})
    world.start()
    world.broker.declare("erp-other.replies")
    world.submit("AP-1", 10_000)
    world.command("payment.submit", world.order("AP-1", 20_000), user="other-user", reply_to="erp-other.replies")
    world.run(5)
    assert sorted(one.instruction.amount.minor for one in world.bank.ledger.executions) == [10_000, 20_000]
    keys = {event["sender"]: event["payment"] for event in world.events}
    assert len(set(keys.values())) == 2
    world.command("status.query", {"payment": keys["yonyou"]})
    world.command("payment.cancel", {"id": "AP-1"}, user="other-user", reply_to="erp-demo.replies")
    world.run(5)
    [status] = answers(world, "m-3")
    assert status["error"]["code"] == "unknown_payment", "another sender's payment is not there for this one"
    assert not answers(world, "m-4"), "and its replies cannot be sent to this one's queue"


# ---- an accepted order is never reported as rejected later ----


@pytest.mark.parametrize("change", ["expired", "closed", "forbidden", "narrowed"])
def test_a_repeat_after_the_order_became_impossible_gives_the_payments_state(change: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    until: dict[str, Any] = {"valid_until": world.moment(30)} if change == "expired" else {}
    world.submit("AP-1", **until)
    world.run(5)
    world.leave()
    account = {"number": world.bank.account, "name": "示例甲公司", "company": "jia", "bank": "sample"}
    changes: dict[str, dict[str, Any]] = {
        "expired": {},
        "closed": {"accounts": [{**account, "closed": "2026-01-01"}]},
        "forbidden": {"senders": {"kingdee": {"accounts": ["00000000009999"]}}},
        "narrowed": {"senders": {"kingdee": {"limits": {"per_payment": "1.00"}}}},
    }
    world._changes = changes[change]
    world.settings = world._settings()
    world.start()
    world.run(60)
    world.again("AP-1", fresh=True)
    world.again("AP-1", fresh=True, purpose="x")
    world.run(5)
    [again], [other] = answers(world, "m-2"), answers(world, "m-3")
    assert (again["event"], again["state"], again["replayed"]) == ("payment.accepted", "settled", True)
    assert other["error"]["code"] == "id_conflict"
    assert len(world.bank.ledger.executions) == 1


def test_an_order_redelivered_after_its_time_is_over_is_not_called_expired(tmp_path: Path) -> None:
    world = World(tmp_path, points=KillAt(f"{ACKED}.before"))
    world.start()
    world.run(1)
    world.submit("AP-1", valid_until=world.moment(20))
    world.run(60)
    world.start()
    world.run(60)
    assert {body["event"] for body in answers(world, "m-1")} == {"payment.accepted"}
    assert world.told("AP-1") == ["payment.accepted", "payment.expired"], "its real end, told once"
    assert len(reply_ids(world)) == 1


# ---- acknowledgement ----


def test_no_command_is_acknowledged_before_its_commit(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    order: list[str] = []
    world.hit = lambda point: order.append(point)  # type: ignore[method-assign]
    world.submit("AP-1")
    world.run(0.1)
    delivered = order.index("erp.deliver.command.after")
    acked = order.index(f"{ACKED}.before")
    assert "journal.commit.group.after" not in order[:delivered]
    assert "journal.commit.group.before" in order[delivered:acked], "the ack comes after the unit's commit"
    assert "journal.commit.group.before" not in order[: order.index("erp.deliver.command.before")]
    assert not life.amqp.unacked


_COMMANDS: list[tuple[str, Callable[[World], Any]]] = [
    ("payment.submit", lambda world: world.order("AP-9")),
    ("payment.submit", lambda world: world.order("AP-0")),
    ("payment.submit", lambda world: {**world.order("AP-9"), "amount": 5}),
    ("payment.cancel", lambda world: {"id": "AP-0"}),
    ("payment.cancel", lambda world: {"id": "AP-1"}),
    ("status.query", lambda world: {"id": "AP-0"}),
    ("balance.query", lambda world: {"accounts": [world.bank.account]}),
    ("nothing.known", lambda world: {}),
    ("batch.submit", lambda world: batch(world, "B-9", [5, 5], purpose="款" * 100)),
]


@pytest.mark.parametrize("index", range(len(_COMMANDS)))
@pytest.mark.parametrize(
    "where", [f"{ACKED}.before", f"{ACKED}.after", "journal.commit.group.before", "journal.commit.group.after"]
)
def test_a_command_whose_acknowledgement_was_lost_has_one_effect_and_one_reply(
    where: str, index: int, tmp_path: Path
) -> None:
    points = KillAt("never")
    world = World(tmp_path, points=points)
    world.start()
    world.run(1)
    world.submit("AP-0", not_before=world.moment(3600))
    world.submit("AP-1")
    world.run(5)
    points.where, points.nth = where, points.names[where] + 1
    key, body = _COMMANDS[index]
    world.command(key, body(world))
    world.run(1)
    assert points.killed == where and world.life is None
    world.start()
    world.run(30)
    replies = {said.message_id for said, _body in world.replies if said.correlation_id == "m-3"}
    assert len(replies) == 1, [body for said, body in world.replies if said.correlation_id == "m-3"]
    assert {event["seq"] for event in world.events if event.get("id") == "AP-9"} in ({1, 2}, set())
    assert len(world.bank.ledger.executions) == (2 if index == 0 else 1)
    assert not world.broker.queues["bankgw.commands.money"] and not world.broker.queues["bankgw.commands.query"]


@pytest.mark.parametrize("index", range(len(_COMMANDS)))
def test_a_command_in_the_hands_of_a_node_that_stood_still_is_answered_by_the_other_alone(
    index: int, tmp_path: Path
) -> None:
    """The first node has read a delivery and is suspended. The broker then gives the delivery to the second node.
    Nothing tells the first node that this has happened."""
    world, first = _about_to_stand_still(tmp_path)
    second = world.start("gw2")
    world.run(5)
    _give(world, first, index)
    first.clock.freeze()
    first.amqp.drop(0.1)
    world.run(40)  # a question waits until the second node has the lane
    answered = [said.message_id for said, _body in world.replies if said.correlation_id == "m-9"]
    assert len(answered) == 1 and not second.amqp.unacked
    first.clock.thaw()
    world.run(60)
    replies = {said.message_id for said, _body in world.replies if said.correlation_id == "m-9"}
    assert replies == set(answered), answers(world, "m-9")
    assert {event["seq"] for event in world.events if event.get("id") == "AP-9"} in ({1, 2}, set())
    assert len(world.bank.ledger.executions) == (2 if index == 0 else 1) and first.fatal + second.fatal == []


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("payment.submit", lambda world: world.order("AP-9", valid_until=world.moment(20))),
        ("batch.submit", lambda world: batch(world, "AP-9", [100, 200], valid_until=world.moment(20))),
    ],
)
def test_an_order_that_another_node_refused_is_not_taken_in_by_one_that_stood_still(
    key: str, body: Callable[[World], Any], tmp_path: Path
) -> None:
    """The order was still valid when the first node read it. The ERP got `new_id` from the second node, and may have
    sent the order under another id."""
    world, first = _about_to_stand_still(tmp_path)
    second = world.start("gw2")
    world.run(5)
    first.store.write(lambda _tx: None)
    world.run(0.01)
    world.command(key, body(world), message_id="m-9")
    world.run(0.01)
    assert len(first.amqp.unacked) == 1
    first.clock.freeze()
    world.run(30)
    first.amqp.drop(0.1)
    world.run(5)
    assert [body["error"]["code"] for body in answers(world, "m-9")] == ["expired"] and not second.amqp.unacked
    first.clock.thaw()
    world.run(60)
    assert [body["error"]["code"] for body in answers(world, "m-9")] == ["expired"]
    told = {event["event"] for event in world.events if event.get("id", "").startswith("AP-9")}
    assert told <= {"payment.rejected"}, told
    assert first.fatal + second.fatal == []


def test_an_order_that_lay_unread_while_another_node_refused_it_is_not_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suspended process reads the order before it sees the end of its connection. Nothing tells it that the broker
    gave the order to another node."""
    unread: list[Delivery] = []
    reads = Intake.deliver

    def lies_there(intake: Intake, delivery: Delivery) -> None:
        if delivery.properties.message_id == "m-9" and not unread:
            unread.append(delivery)
        else:
            reads(intake, delivery)

    monkeypatch.setattr(Intake, "deliver", lies_there)
    world, first = _about_to_stand_still(tmp_path)
    world._sender = {"operations": ["status.query"]}  # the new settings have reached one node
    world.settings = world._settings()
    second = world.start("gw2")
    world.run(5)
    world.command("payment.submit", world.order("AP-9"), message_id="m-9")
    world.run(0.01)
    [delivery] = unread
    assert len(first.amqp.unacked) == 1
    first.clock.freeze()
    first.amqp.drop(0.1)
    world.run(30)
    assert [body["error"]["code"] for body in answers(world, "m-9")] == ["not_allowed"] and not second.amqp.unacked
    first.clock.thaw()
    first.gateway.intake.deliver(replace(delivery, waited_s=30.0))
    world.run(60)
    assert [body["error"]["code"] for body in answers(world, "m-9")] == ["not_allowed"]
    assert world.told("AP-9") in ([], ["payment.rejected"]) and len(world.bank.ledger.executions) == 1
    assert first.fatal + second.fatal == []


def test_an_order_refused_and_delivered_again_is_refused_again_whatever_allows_it_by_now(tmp_path: Path) -> None:
    points = KillAt(f"{ACKED}.before")
    world = World(tmp_path, points=points, sender={"operations": ["status.query"]})
    world.start()
    world.run(1)
    world.submit("AP-1")
    world.run(1)
    assert points.killed and world.life is None
    world._sender = {}
    world.settings = world._settings()
    world.start()
    world.run(30)
    assert {body["error"]["code"] for body in answers(world, "m-1")} == {"not_allowed"}
    assert not world.bank.ledger.executions and world.told("AP-1") in ([], ["payment.rejected"])
    world.again("AP-1", fresh=False)
    world.run(30)
    assert world.told("AP-1")[-1] == "payment.settled" and len(world.bank.ledger.executions) == 1


@pytest.mark.parametrize("index", range(len(_COMMANDS)))
def test_a_command_published_anew_is_answered_anew_however_slow_the_journal_is(index: int, tmp_path: Path) -> None:
    """The first answer may have gone to a deleted queue, so the command is answered once more, even if another node
    answered it first."""
    world, first = _about_to_stand_still(tmp_path)
    _give(world, first, index)
    world.run(5)
    assert len(answers(world, "m-9")) == 1
    first.crash()
    second = world.start("gw2")
    world.run(60)
    _give(world, second, index)
    second.clock.freeze()
    world.run(5)
    second.clock.thaw()
    world.run(60)
    assert len({said.message_id for said, _body in world.replies if said.correlation_id == "m-9"}) == 2
    assert len(world.bank.ledger.executions) == (2 if index == 0 else 1) and second.fatal == []


def _about_to_stand_still(folder: Path) -> tuple[World, Life]:
    world = World(folder, settings={"journal": {"poll_ms": 250}}, linger_ms=100.0)
    life = world.start("gw1")
    world.run(1)
    world.submit("AP-0", not_before=world.moment(3600))
    world.submit("AP-1")
    world.run(5)
    return world, life


def _give(world: World, life: Life, index: int) -> None:
    """Let the node read the command, which then waits for the journal's next group."""
    key, body = _COMMANDS[index]
    life.store.write(lambda _tx: None)
    world.run(0.01)
    world.command(key, body(world), message_id="m-9")
    world.run(0.01)
    assert len(life.amqp.unacked) == 1


def test_a_cancelled_order_cancelled_again_is_told_cancelled(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.submit("AP-1", not_before=world.moment(60))
    world.run(1)
    for _ in range(2):
        world.command("payment.cancel", {"id": "AP-1"})
        world.run(1)
    world.run(100)
    [first], [again] = answers(world, "m-2"), answers(world, "m-3")
    assert first["state"] == again["state"] == "cancelled"
    assert world.told("AP-1") == ["payment.accepted", "payment.cancelled"]
    assert not world.bank.ledger.executions and not life.fatal


def test_a_payment_that_may_be_at_the_bank_cannot_be_cancelled(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.submit("AP-1")
    world.run(5)
    world.command("payment.cancel", {"id": "AP-1"})
    world.run(5)
    [said] = answers(world, "m-2")
    assert (said["event"], said["error"]["code"], said["error"]["resend"]) == ("command.rejected", "too_late", "never")


def test_nothing_is_cancelled_while_its_lane_may_lack_sends(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.submit("AP-1", not_before=world.moment(600))
    world.command("batch.submit", batch(world, "B-1", [100, 101], not_before=world.moment(600)))
    world.run(5)
    life.gateway.safe_mode.unread = True
    for n, id_ in enumerate(("AP-1", "B-1"), start=3):
        world.command("payment.cancel", {"id": id_})
        world.run(2)
        [said] = answers(world, f"m-{n}")
        assert (said["event"], said["error"]["code"]) == ("command.rejected", "too_late")
        assert "SAFE MODE" in said["error"]["title"]
    assert world.state("AP-1") == "ready"
    life.gateway.safe_mode.unread = False
    world.command("payment.cancel", {"id": "AP-1"})
    world.command("payment.cancel", {"id": "B-1"})
    world.run(2)
    assert world.state("AP-1") == "cancelled" and answers(world, "m-6")[0]["event"] == "batch.status"


# ---- our own defects ----


def test_a_unit_that_breaks_parks_its_message_and_spares_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = payments_admission.admit

    def breaks(tx: Tx, admission: Admission, entropy: Any) -> Admitted:
        if admission.order.id == "BAD":
            raise ZeroDivisionError("planted")
        return admit(tx, admission, entropy)

    monkeypatch.setattr(payments_admission, "admit", breaks)
    with lines() as heard:
        world = World(tmp_path)
        life = world.start()
        world.run(1)
        for id_ in ("AP-1", "BAD", "AP-2"):
            world.submit(id_)
        world.run(5)
    [said] = answers(world, "m-2")
    assert (said["event"], said["id"], said["error"]["code"]) == ("payment.rejected", "BAD", "internal")
    assert said["error"]["resend"] == "same_id", "nothing happened, so the same id may be used"
    assert "planted" not in json.dumps(said), "our insides are no news for the ERP"
    [copy] = world.broker.drain("bankgw.parked")
    assert json.loads(copy.body)["id"] == "BAD" and copy.properties.headers["refused"] == "internal"
    assert world.told("AP-1")[-1] == world.told("AP-2")[-1] == "payment.settled"
    [line] = events(heard, "command.defect")
    assert line["log_level"] == "error" and line["message_id"] == "m-2"
    assert life.sample("bankgw_refusals_total", code="internal") == 1
    assert not life.amqp.unacked and life.gateway.intake.under_way == 0
    monkeypatch.undo()
    world.again("BAD", fresh=True)
    world.run(5)
    assert world.told("BAD")[-1] == "payment.settled"


def test_a_question_that_breaks_before_its_unit_is_answered_internal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_args: object) -> None:
        raise ZeroDivisionError("planted")

    world = World(tmp_path)
    life = world.start()
    monkeypatch.setattr(questions, "ask", breaks)
    world.command("balance.query", {"accounts": [world.bank.account]})
    world.run(5)
    [said] = answers(world, "m-1")
    assert said["error"]["code"] == "internal" and said["command"] == "balance.query"
    assert not life.amqp.unacked


def test_what_cannot_be_written_at_all_stays_with_the_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_args: object) -> None:
        raise ZeroDivisionError("planted")

    with lines() as heard:
        world = World(tmp_path)
        life = world.start()
        world.run(1)
        monkeypatch.setattr(payments_admission, "admit", breaks)
        monkeypatch.setattr(refusals, "refuse", breaks)
        world.submit("AP-1")
        world.run(5)
        assert len(life.amqp.unacked) == 1 and not world.replies
        assert life.gateway.intake.under_way == 0
        assert events(heard, "command.not_durable")
        monkeypatch.undo()
        world.crash()
        world.start()
        world.run(5)
    assert world.told("AP-1")[-1] == "payment.settled" and len(answers(world, "m-1")) == 1
