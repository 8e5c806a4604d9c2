"""The operator's acts on a whole gateway: journal, lane and simulated bank, on a clock moved by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.kernel.cluster import lane_pauses
from gateway.kernel.commit import audit, outbox, work
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Work
from gateway.kernel.deliveries import DEAD
from gateway.kernel.sql import schema
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from tests.gateway.cli.control_operator import OTHER, Operator
from tests.world.world import USER, World

HOLD = {"bands": [{"upto": "1000", "action": "release"}, {"above": "1000", "action": "hold"}]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, sender=HOLD)
    made.start()
    made.run(1)
    yield made
    if made.life is not None:
        made.crash()


@pytest.fixture
def operator(world: World) -> Operator:
    return Operator(world)


def held(operator: Operator, id_: str = "AP-1") -> str:
    operator.world.submit(id_, 200_000)
    operator.world.run(2)
    assert operator.world.last(id_)["state"] == "held"
    return str(operator.world.last(id_)["payment"])


def test_a_held_order_is_let_go_and_paid_once(operator: Operator) -> None:
    payment = held(operator)
    assert not operator.world.bank.ledger.executions
    said = operator.ask("POST", "orders", "kingdee:AP-1", "release", reason="checked by phone")
    assert said["state"] == "ready"
    operator.world.run(5)
    assert operator.world.last("AP-1")["state"] == "settled"
    assert len(operator.world.bank.ledger.executions) == 1
    trail = operator.trail(payment)
    assert ("uid:root", "payment.release") in trail
    assert ("uid:root", "order.released") in trail
    # A second call changes nothing.
    why = operator.no(409, "not_now", "POST", "orders", payment, "release", reason="again")
    assert "settled, not held" in why
    operator.world.run(5)
    assert len(operator.world.bank.ledger.executions) == 1


def test_a_release_needs_a_reason(operator: Operator) -> None:
    held(operator)
    for reason in ({}, {"reason": ""}, {"reason": "  "}, {"reason": 5}):
        operator.no(400, "missing", "POST", "orders", "kingdee:AP-1", "release", **reason)
    operator.world.run(5)
    assert operator.world.last("AP-1")["state"] == "held"


def test_a_held_order_is_withdrawn(operator: Operator) -> None:
    payment = held(operator)
    assert operator.ask("POST", "orders", payment, "cancel", reason="wrong payee")["state"] == "cancelled"
    operator.world.run(5)
    assert operator.world.told("AP-1")[-1] == "payment.cancelled"
    assert not operator.world.bank.ledger.executions
    assert ("uid:root", "order.cancelled") in operator.trail(payment)


def test_what_may_be_at_the_bank_is_not_withdrawn(operator: Operator) -> None:
    operator.world.submit("AP-1")
    operator.world.run(5)
    why = operator.no(409, "not_now", "POST", "orders", "kingdee:AP-1", "cancel", reason="late")
    assert "settled" in why
    payment = operator.world.last("AP-1")["payment"]
    assert ("uid:root", "order.cancelled") not in operator.trail(payment)


def test_asking_now_about_a_payment_in_doubt(tmp_path: Path) -> None:
    world = World(
        tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]), bank_options={"first_enquiry_s": 600.0}
    )
    world.start()
    operator = Operator(world)
    world.run(1)
    world.submit("AP-1")
    world.run(5)
    assert world.last("AP-1")["state"] == "in_doubt"
    payment = world.last("AP-1")["payment"]
    said = operator.ask("POST", "orders", payment, "enquire")
    assert (said["asked"], said["lane_ready"]) == (True, True)
    world.run(5)
    assert world.last("AP-1")["state"] == "settled"
    assert world.last("AP-1")["evidence"] == "enquiry"
    assert len(world.bank.ledger.executions) == 1
    assert ("uid:root", "order.enquire_now") in operator.trail(payment)
    # A settled payment is asked about because its money may come back.
    assert operator.ask("POST", "orders", payment, "enquire")["asked"]
    world.run(5)
    assert world.last("AP-1")["state"] == "settled"
    world.crash()


def test_asking_again_keeps_the_place_among_what_is_due(tmp_path: Path) -> None:
    world = World(
        tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]), bank_options={"first_enquiry_s": 600.0}
    )
    world.start()
    operator = Operator(world)
    world.run(1)
    world.submit("AP-1")
    world.run(5)
    payment = world.last("AP-1")["payment"]
    world.bank.reachable = False
    for pipe in world.pipes:
        pipe.abortConnection()

    def due_ms() -> list[int]:
        return [
            one.due_ms for one in world.read(lambda conn: work.of_payment(conn, payment)) if one.work is Work.ENQUIRE
        ]

    operator.ask("POST", "orders", payment, "enquire")
    first = due_ms()
    for _ in range(3):
        world.run(3)
        operator.ask("POST", "orders", payment, "enquire")
    assert due_ms() == first
    world.crash()


def test_there_is_nothing_to_ask_about_a_held_order(operator: Operator) -> None:
    payment = held(operator)
    assert "nothing to ask" in operator.no(409, "not_now", "POST", "orders", payment, "enquire")


def test_orders_are_listed_filtered_and_paged(operator: Operator) -> None:
    for n in range(5):
        operator.world.submit(f"AP-{n}")
    held(operator, "AP-H")
    operator.world.run(5)
    everything = operator.ask("GET", "orders")
    assert [one["id"] for one in everything["orders"]] == ["AP-H", "AP-4", "AP-3", "AP-2", "AP-1", "AP-0"]
    assert everything["next"] is None
    assert [one["id"] for one in operator.ask("GET", "orders", query={"state": "held"})["orders"]] == ["AP-H"]
    assert operator.ask("GET", "orders", query={"sender": "nobody"})["orders"] == []
    page = operator.ask("GET", "orders", query={"limit": "4"})
    rest = operator.ask("GET", "orders", query={"limit": "4", "after": page["next"]})
    assert [one["id"] for one in page["orders"] + rest["orders"]] == [one["id"] for one in everything["orders"]]
    assert rest["next"] is None
    operator.no(400, "no_such_state", "GET", "orders", query={"state": "lost"})
    for limit in ("0", "-1", "x", "5000"):
        operator.no(400, "bad_number", "GET", "orders", query={"limit": limit})


def test_an_orders_whole_story_is_masked(operator: Operator) -> None:
    operator.world.submit("AP-1", purpose="货款 6位")
    operator.world.run(5)
    said = operator.ask("GET", "orders", "kingdee:AP-1")
    text = json.dumps(said, ensure_ascii=False)
    creditor = operator.world.order("AP-1")["creditor"]["account"]
    for secret in (creditor, operator.world.bank.account, "示例甲公司", "示例乙公司"):
        assert secret not in text
    assert [one["what"] for one in said["timeline"]].count("sent") == 1
    whats = {one["what"] for one in said["timeline"]}
    assert whats == {"act", "sent", "heard", "told"}
    sent = next(one for one in said["timeline"] if one["what"] == "sent")
    assert "<Amount>100.00</Amount>" in sent["wire"]["text"]
    assert sent["wire"]["bytes"] > 100
    first = said["timeline"][0]
    assert (first["act"], first["actor"]) == ("payment.admitted", f"user:{USER}")
    assert said["correlation_id"] == "m-1"


def test_each_message_to_the_erp_says_how_often_it_was_tried(operator: Operator) -> None:
    operator.world.submit("AP-1")
    operator.world.run(5)
    told = [one for one in operator.ask("GET", "orders", "kingdee:AP-1")["timeline"] if one["what"] == "told"]
    assert {(one["state"], one["tries"], one["last_result"], one["last_text"]) for one in told} == {
        ("sent", 1, "confirmed", None)
    }
    assert all(one["at"] <= one["last_tried_at"] for one in told)


def test_clear_data_is_for_root_and_owner_and_is_noted(operator: Operator) -> None:
    operator.world.submit("AP-1")
    operator.world.run(5)
    payment = operator.world.last("AP-1")["payment"]
    operator.no(403, "not_enrolled", "GET", "orders", payment, peer=OTHER, query={"clear": "1"})
    assert not [entry for _actor, entry in operator.trail(payment) if entry == "order.shown_clear"]
    said = operator.ask("GET", "orders", payment, query={"clear": "1"})
    text = json.dumps(said, ensure_ascii=False)
    assert operator.world.order("AP-1")["creditor"]["account"] in text
    assert "示例乙公司" in text
    assert ("uid:root", "order.shown_clear") in operator.trail(payment)


def test_the_logins_secrets_are_never_shown(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    operator = Operator(world)
    world.submit("AP-1")
    world.run(5)
    lane = operator.gateway.lanes["sample.main"]
    # A text in the bytes of every payment, as a password would be.
    object.__setattr__(lane.parts, "credentials", {"password": "DebtorName"})
    text = json.dumps(operator.ask("GET", "orders", "kingdee:AP-1", query={"clear": "1"}))
    assert "DebtorName" not in text
    assert "<***>" in text
    world.crash()


def test_an_order_that_is_not_there(operator: Operator) -> None:
    for name in ("kingdee:NO", "01M8768RDZZ1PBXYBEY0X4ZV58"):
        assert name in operator.no(404, "no_such_order", "GET", "orders", name)
        operator.no(404, "no_such_order", "POST", "orders", name, "release", reason="x")
        operator.no(404, "no_such_order", "POST", "orders", name, "cancel", reason="x")
        operator.no(404, "no_such_order", "POST", "orders", name, "enquire")


def test_status(operator: Operator) -> None:
    held(operator)
    said = operator.ask("GET", "status")
    assert said["status"] == "ready"
    assert said["lanes"] == {"sample.main": "ready"}
    assert said["orders"]["held"] == 1
    assert said["orders"]["in_doubt"] == 0
    assert said["broker"] == {
        "up": True,
        "blocked": False,
        "canary_age_s": 2.5,
        "mark": {"held": True, "why": "this node holds the virtual host"},
    }
    (certificate,) = said["certificates"]
    assert certificate["not_after"] == "2027-01-15T08:00:00+00:00"
    assert certificate["days_left"] == 57


def test_a_paused_lane_sends_nothing_and_stays_paused(operator: Operator) -> None:
    operator.no(400, "missing", "POST", "lanes", "sample.main", "pause")
    said = operator.ask("POST", "lanes", "sample.main", "pause", reason="joint test")
    assert said["condition"] == "paused:operator"
    operator.world.submit("AP-1")
    operator.world.run(10)
    assert operator.world.told("AP-1") == ["payment.accepted"]
    assert ("uid:root", "lane.paused") in operator.trail("sample.main")
    assert said["owner_hears_within_s"] == 0, "it is this node's lane"
    lanes = ["sample.main", "pab.main"]
    assert operator.world.read(lambda conn: lane_pauses.said(conn, lanes)) == {
        "sample.main": lane_pauses.PauseState(1, paused=True),
        "pab.main": lane_pauses.PauseState(),
    }
    said = operator.ask("POST", "lanes", "sample.main", "resume")
    assert said["paused"] == []
    operator.world.run(10)
    assert operator.world.last("AP-1")["state"] == "settled"
    assert operator.world.read(lambda conn: lane_pauses.said(conn, lanes))["sample.main"] == lane_pauses.PauseState(
        2, paused=False
    )


def test_pausing_keeps_other_reasons(operator: Operator) -> None:
    operator.gateway.lanes["sample.main"].pause("broker_blocked")
    operator.ask("POST", "lanes", "sample.main", "pause", reason="x")
    assert operator.ask("POST", "lanes", "sample.main", "resume")["paused"] == ["broker_blocked"]


def _now(world: World, deferred: Deferred[Any]) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    world.run(1)
    return results[0]


def test_a_probe_says_whether_the_bank_answers(operator: Operator) -> None:
    said = operator.ask("POST", "lanes", "sample.main", "probe")
    assert said["answered"]
    assert ("uid:root", "lane.probed") in operator.trail("sample.main")
    operator.world.bank.reachable = False
    for pipe in list(operator.world.life.pipes if operator.world.life else ()):
        pipe.vanish()
    operator.world.run(1)
    said = operator.ask("POST", "lanes", "sample.main", "probe", wait=3)
    assert not said["answered"]
    assert said["reason"] == "bank_silent"
    operator.no(404, "no_such_lane", "POST", "lanes", "icbc.main", "probe")
    operator.no(400, "bad_number", "POST", "lanes", "sample.main", "probe", wait=0)


def test_a_lane_that_is_down_says_why_everywhere(operator: Operator) -> None:
    operator.world.bank.reachable = False
    for pipe in list(operator.world.life.pipes if operator.world.life else ()):
        pipe.abortConnection()
    operator.world.run(2)
    said = operator.ask("POST", "lanes", "sample.main", "probe", wait=3)
    assert not said["answered"]
    assert said["reason"] == "refused" and "check host and port" in said["detail"]
    (lane,) = operator.ask("GET", "lanes")["lanes"]
    assert lane["condition"] == "down:refused" and lane["trouble"] == said["detail"]
    assert lane["answered_s_ago"] >= 3
    assert operator.ask("GET", "status")["lanes"] == {"sample.main": "down:refused"}
    operator.world.bank.reachable = True
    operator.world.run(90)
    (lane,) = operator.ask("GET", "lanes")["lanes"]
    assert (lane["condition"], lane["trouble"]) == ("ready", "")


def test_lanes_are_listed(operator: Operator) -> None:
    (lane,) = operator.ask("GET", "lanes")["lanes"]
    assert (lane["lane"], lane["bank"], lane["condition"], lane["window"]) == ("sample.main", "sample", "ready", 4)
    assert lane["sessions"] == {"ready": 4}


def park(operator: Operator) -> str:
    """Park a reply whose queue does not exist any more; returns its message id."""
    operator.world.command("payment.submit", operator.world.order("AP-1"), reply_to="erp-demo.gone")
    operator.world.run(5)
    (row,) = operator.ask("GET", "parked")["parked"]
    return str(row["message_id"])


def park_another(operator: Operator, id_: str) -> str:
    """Park one more such reply, of another order."""
    operator.world.command("payment.submit", operator.world.order(id_), reply_to="erp-demo.gone")
    operator.world.run(5)
    return str(operator.ask("GET", "parked")["parked"][-1]["message_id"])


def test_news_that_its_node_left_to_others_is_counted_and_listed_too(operator: Operator) -> None:
    message_id = park(operator)
    assert operator.world.life is not None
    store, o = operator.world.life.store, schema.outbox.c

    def left(tx: Tx) -> None:
        tx.fresh.execute(schema.outbox.update().where(o.message_id == message_id).values(node=outbox.NOBODY))

    store.write(left)
    operator.world.run(1)
    assert [row["message_id"] for row in operator.ask("GET", "parked")["parked"]] == [message_id]
    assert operator.ask("GET", "status")["messages"]["parked"] == 1


def test_news_that_nobody_could_take_is_published_again(operator: Operator) -> None:
    message_id = park(operator)
    said = operator.ask("GET", "parked", message_id)
    assert said["event"] == "payment.accepted"
    assert "示例" not in json.dumps(said, ensure_ascii=False)
    operator.world.broker.declare("erp-demo.gone")
    assert operator.ask("POST", "parked", message_id, "replay")["state"] == "waiting"
    operator.world.run(5)
    assert operator.republished == 1
    (kept,) = operator.world.broker.drain("erp-demo.gone")
    assert kept.properties.message_id == message_id
    assert operator.ask("GET", "parked")["parked"] == []
    assert ("uid:root", "outbox.replayed") in operator.trail(message_id)
    operator.no(409, "not_parked", "POST", "parked", message_id, "replay")


def test_parked_news_is_dealt_with(operator: Operator) -> None:
    message_id = park(operator)
    operator.no(400, "missing", "POST", "parked", message_id, "discard")
    operator.ask("POST", "parked", message_id, "discard", reason="told by phone")
    assert operator.ask("GET", "parked")["parked"] == []
    assert ("uid:root", "outbox.discarded") in operator.trail(message_id)
    operator.no(404, "no_such_message", "POST", "parked", "nothing", "discard", reason="x")
    operator.no(404, "no_such_message", "GET", "parked", "nothing")


def test_parked_news_is_counted_and_published_again_in_order_and_no_command_is(operator: Operator) -> None:
    ids = [park(operator), *(park_another(operator, f"AP-{n}") for n in range(2, 5))]
    assert operator.world.life is not None
    store, o = operator.world.life.store, schema.outbox.c

    def of_a_command(tx: Tx) -> None:
        tx.fresh.execute(schema.outbox.update().where(o.message_id == ids[1]).values(exchange=DEAD))

    store.write(of_a_command)
    operator.world.run(1)
    assert operator.ask("GET", "replays") == {"count": 3, "last": ids[3]}
    assert operator.ask("GET", "replays", word="no_route")["count"] == 3
    assert operator.ask("GET", "replays", word="403") == {"count": 0, "last": None}
    assert operator.ask("GET", "replays", since="2200-01-01T00:00+08:00")["count"] == 0
    operator.no(400, "bad_time", "GET", "replays", since="yesterday")
    operator.world.broker.declare("erp-demo.gone")
    said = operator.ask("POST", "replays", through=ids[3], limit=2)
    assert said == {"replayed": 2, "next": ids[2]}
    assert operator.ask("POST", "replays", through=ids[3], after=ids[2], limit=2) == {"replayed": 1, "next": None}
    operator.world.run(5)
    told = [kept.properties.message_id for kept in operator.world.broker.drain("erp-demo.gone")]
    assert told == [ids[0], ids[2], ids[3]], "in their order, without the copy of a command"
    assert [row["message_id"] for row in operator.ask("GET", "parked")["parked"]] == [ids[1]]
    assert ("uid:root", "outbox.replayed_many") in operator.trail(ids[0])


def test_draining_takes_nothing_in_and_finishes_what_is_there(operator: Operator) -> None:
    operator.world.submit("AP-1")
    operator.world.run(5)
    assert operator.ask("POST", "drain", on=True)["draining"]
    operator.world.submit("AP-2")
    operator.world.run(5)
    assert not operator.world.told("AP-2")
    assert "draining" in operator.ask("GET", "status")["reasons"][0]
    assert not operator.ask("POST", "drain", on=False)["draining"]
    operator.world.run(5)
    assert operator.world.last("AP-2")["state"] == "settled"
    assert [entry for _actor, entry in operator.trail("gw1")][-2:] == ["node.draining", "node.undrained"]
    operator.no(400, "bad_switch", "POST", "drain", on="yes")


def test_the_audit_chain_holds_after_all_that(operator: Operator) -> None:
    held(operator)
    operator.ask("POST", "orders", "kingdee:AP-1", "release", reason="x")
    operator.ask("POST", "lanes", "sample.main", "pause", reason="x")
    store, vault = operator.gateway.parts.store, operator.world.vault
    assert _now(operator.world, store.read(lambda conn: audit.verify(conn, vault))) == []


def test_with_the_journal_lost_status_orders_and_today_answer_from_memory(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    operator = Operator(world)
    operator.ask("POST", "lanes", "sample.main", "pause", reason="x")
    world.submit("AP-1")
    world.run(2)
    before = operator.ask("GET", "today")
    operator.lost_ms = operator.gateway.parts.clock.now_ms()
    said = operator.ask("GET", "status")
    assert said["orders"] is None and said["messages"] is None and said["lanes"]["sample.main"] == "paused:operator"
    assert said["journal"]["reachable"] is False
    listed = operator.ask("GET", "orders")
    assert [one["id"] for one in listed["orders"]] == ["AP-1"] and listed["journal"] == said["journal"]
    assert operator.ask("GET", "orders", query={"state": "held"})["orders"] == []
    today = operator.ask("GET", "today")
    assert (today["at"], today["totals"], today["journal"]) == (before["at"], before["totals"], said["journal"])
    assert "this needs the database" in operator.no(503, "journal_unreachable", "GET", "orders", "kingdee:AP-1")
    asked = ("POST", "orders", "kingdee:AP-1", "cancel")
    assert "nothing was changed" in operator.no(503, "journal_unreachable", *asked, reason="x")
    world.crash()
