"""What the desk can do, on a whole gateway: journal, lane and simulated bank, on a clock moved by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.journal.cluster import lane_pauses
from gateway.journal.commit import audit, outbox
from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.simbank.faults import BankFault, Script, Scripted
from tests.gateway.cli.counter import OTHER, Desk
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
def desk(world: World) -> Desk:
    return Desk(world)


def held(desk: Desk, id_: str = "AP-1") -> str:
    desk.world.submit(id_, 200_000)
    desk.world.run(2)
    assert desk.world.last(id_)["state"] == "held"
    return str(desk.world.last(id_)["payment"])


def test_a_held_order_is_let_go_and_paid_once(desk: Desk) -> None:
    payment = held(desk)
    assert not desk.world.bank.ledger.executions
    said = desk.ask("POST", "orders", "kingdee:AP-1", "release", reason="checked by phone")
    assert said["state"] == "ready"
    desk.world.run(5)
    assert desk.world.last("AP-1")["state"] == "settled"
    assert len(desk.world.bank.ledger.executions) == 1
    trail = desk.trail(payment)
    assert ("uid:root", "payment.release") in trail
    assert ("uid:root", "order.released") in trail
    # Twice is once.
    why = desk.no(409, "not_now", "POST", "orders", payment, "release", reason="again")
    assert "settled, not held" in why
    desk.world.run(5)
    assert len(desk.world.bank.ledger.executions) == 1


def test_a_release_needs_a_reason(desk: Desk) -> None:
    held(desk)
    for reason in ({}, {"reason": ""}, {"reason": "  "}, {"reason": 5}):
        desk.no(400, "missing", "POST", "orders", "kingdee:AP-1", "release", **reason)
    desk.world.run(5)
    assert desk.world.last("AP-1")["state"] == "held"


def test_a_held_order_is_withdrawn(desk: Desk) -> None:
    payment = held(desk)
    assert desk.ask("POST", "orders", payment, "cancel", reason="wrong payee")["state"] == "cancelled"
    desk.world.run(5)
    assert desk.world.told("AP-1")[-1] == "payment.cancelled"
    assert not desk.world.bank.ledger.executions
    assert ("uid:root", "order.cancelled") in desk.trail(payment)


def test_what_may_be_at_the_bank_is_not_withdrawn(desk: Desk) -> None:
    desk.world.submit("AP-1")
    desk.world.run(5)
    why = desk.no(409, "not_now", "POST", "orders", "kingdee:AP-1", "cancel", reason="late")
    assert "settled" in why
    payment = desk.world.last("AP-1")["payment"]
    assert ("uid:root", "order.cancelled") not in desk.trail(payment)


def test_asking_now_about_a_payment_in_doubt(tmp_path: Path) -> None:
    world = World(tmp_path, plan=Script([Scripted(BankFault.DROP_AFTER)]), bank_options={"first_enquiry_s": 600.0})
    world.start()
    desk = Desk(world)
    world.run(1)
    world.submit("AP-1")
    world.run(5)
    assert world.last("AP-1")["state"] == "in_doubt"
    payment = world.last("AP-1")["payment"]
    said = desk.ask("POST", "orders", payment, "enquire")
    assert (said["asked"], said["lane_ready"]) == (True, True)
    world.run(5)
    assert world.last("AP-1")["state"] == "settled"
    assert world.last("AP-1")["evidence"] == "enquiry"
    assert len(world.bank.ledger.executions) == 1
    assert ("uid:root", "order.enquire_now") in desk.trail(payment)
    # Of a settled one it is asked whether the money came back.
    assert desk.ask("POST", "orders", payment, "enquire")["asked"]
    world.run(5)
    assert world.last("AP-1")["state"] == "settled"
    world.crash()


def test_there_is_nothing_to_ask_about_a_held_order(desk: Desk) -> None:
    payment = held(desk)
    assert "nothing to ask" in desk.no(409, "not_now", "POST", "orders", payment, "enquire")


def test_orders_are_listed_filtered_and_paged(desk: Desk) -> None:
    for n in range(5):
        desk.world.submit(f"AP-{n}")
    held(desk, "AP-H")
    desk.world.run(5)
    everything = desk.ask("GET", "orders")
    assert [one["id"] for one in everything["orders"]] == ["AP-H", "AP-4", "AP-3", "AP-2", "AP-1", "AP-0"]
    assert everything["next"] is None
    assert [one["id"] for one in desk.ask("GET", "orders", query={"state": "held"})["orders"]] == ["AP-H"]
    assert desk.ask("GET", "orders", query={"sender": "nobody"})["orders"] == []
    page = desk.ask("GET", "orders", query={"limit": "4"})
    rest = desk.ask("GET", "orders", query={"limit": "4", "after": page["next"]})
    assert [one["id"] for one in page["orders"] + rest["orders"]] == [one["id"] for one in everything["orders"]]
    assert rest["next"] is None
    desk.no(400, "no_such_state", "GET", "orders", query={"state": "lost"})
    for limit in ("0", "-1", "x", "5000"):
        desk.no(400, "bad_number", "GET", "orders", query={"limit": limit})


def test_an_orders_whole_story_is_masked(desk: Desk) -> None:
    desk.world.submit("AP-1", purpose="货款 6位")
    desk.world.run(5)
    said = desk.ask("GET", "orders", "kingdee:AP-1")
    text = json.dumps(said, ensure_ascii=False)
    creditor = desk.world.order("AP-1")["creditor"]["account"]
    for secret in (creditor, desk.world.bank.account, "示例甲公司", "示例乙公司"):
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


def test_clear_data_is_for_root_and_owner_and_is_noted(desk: Desk) -> None:
    desk.world.submit("AP-1")
    desk.world.run(5)
    payment = desk.world.last("AP-1")["payment"]
    desk.no(403, "not_allowed", "GET", "orders", payment, peer=OTHER, query={"clear": "1"})
    assert not [entry for _actor, entry in desk.trail(payment) if entry == "order.shown_clear"]
    said = desk.ask("GET", "orders", payment, query={"clear": "1"})
    text = json.dumps(said, ensure_ascii=False)
    assert desk.world.order("AP-1")["creditor"]["account"] in text
    assert "示例乙公司" in text
    assert ("uid:root", "order.shown_clear") in desk.trail(payment)


def test_the_logins_secrets_are_never_shown(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    desk = Desk(world)
    world.submit("AP-1")
    world.run(5)
    lane = desk.gateway.lanes["sample.main"]
    # Something that stands in the bytes of every payment, as a password would.
    object.__setattr__(lane.parts, "credentials", {"password": "DebtorName"})
    text = json.dumps(desk.ask("GET", "orders", "kingdee:AP-1", query={"clear": "1"}))
    assert "DebtorName" not in text
    assert "<***>" in text
    world.crash()


def test_an_order_that_is_not_there(desk: Desk) -> None:
    for name in ("kingdee:NO", "01M8768RDZZ1PBXYBEY0X4ZV58"):
        assert name in desk.no(404, "no_such_order", "GET", "orders", name)
        desk.no(404, "no_such_order", "POST", "orders", name, "release", reason="x")
        desk.no(404, "no_such_order", "POST", "orders", name, "cancel", reason="x")
        desk.no(404, "no_such_order", "POST", "orders", name, "enquire")


def test_status(desk: Desk) -> None:
    held(desk)
    said = desk.ask("GET", "status")
    assert said["status"] == "ready"
    assert said["lanes"] == {"sample.main": "ready"}
    assert said["orders"]["held"] == 1
    assert said["orders"]["in_doubt"] == 0
    assert said["broker"] == {"up": True, "blocked": False, "canary_age_s": 2.5}
    (certificate,) = said["certificates"]
    assert certificate["not_after"] == "2027-01-15T08:00:00+00:00"
    assert certificate["days_left"] == 57


def test_a_paused_lane_sends_nothing_and_stays_paused(desk: Desk) -> None:
    desk.no(400, "missing", "POST", "lanes", "sample.main", "pause")
    said = desk.ask("POST", "lanes", "sample.main", "pause", reason="joint test")
    assert said["condition"] == "paused:operator"
    desk.world.submit("AP-1")
    desk.world.run(10)
    assert desk.world.told("AP-1") == ["payment.accepted"]
    assert ("uid:root", "lane.paused") in desk.trail("sample.main")
    assert said["owner_hears_within_s"] == 0, "it is this node's lane"
    lanes = ["sample.main", "pab.main"]
    assert desk.world.read(lambda conn: lane_pauses.said(conn, lanes)) == {
        "sample.main": lane_pauses.PauseState(1, paused=True), "pab.main": lane_pauses.PauseState(),
    }  # fmt: skip
    said = desk.ask("POST", "lanes", "sample.main", "resume")
    assert said["paused"] == []
    desk.world.run(10)
    assert desk.world.last("AP-1")["state"] == "settled"
    assert desk.world.read(lambda conn: lane_pauses.said(conn, lanes))["sample.main"] == lane_pauses.PauseState(2, paused=False)


def test_pausing_keeps_other_reasons(desk: Desk) -> None:
    desk.gateway.lanes["sample.main"].pause("broker_blocked")
    desk.ask("POST", "lanes", "sample.main", "pause", reason="x")
    assert desk.ask("POST", "lanes", "sample.main", "resume")["paused"] == ["broker_blocked"]


def _now(world: World, deferred: Deferred[Any]) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    world.run(1)
    return results[0]


def test_a_probe_says_whether_the_bank_answers(desk: Desk) -> None:
    said = desk.ask("POST", "lanes", "sample.main", "probe")
    assert said["answered"]
    assert ("uid:root", "lane.probed") in desk.trail("sample.main")
    desk.world.bank.reachable = False
    for pipe in list(desk.world.life.pipes if desk.world.life else ()):
        pipe.vanish()
    desk.world.run(1)
    said = desk.ask("POST", "lanes", "sample.main", "probe", wait=3)
    assert not said["answered"]
    assert said["reason"] == "bank_silent"
    desk.no(404, "no_such_lane", "POST", "lanes", "icbc.main", "probe")
    desk.no(400, "bad_number", "POST", "lanes", "sample.main", "probe", wait=0)


def test_lanes_are_listed(desk: Desk) -> None:
    (lane,) = desk.ask("GET", "lanes")["lanes"]
    assert (lane["lane"], lane["bank"], lane["condition"], lane["window"]) == ("sample.main", "sample", "ready", 4)
    assert lane["sessions"] == {"ready": 4}


def park(desk: Desk) -> str:
    """A reply whose queue is gone."""
    desk.world.command("payment.submit", desk.world.order("AP-1"), reply_to="erp-demo.gone")
    desk.world.run(5)
    (row,) = desk.ask("GET", "parked")["parked"]
    return str(row["message_id"])


def test_news_that_its_node_left_to_others_is_counted_and_listed_too(desk: Desk) -> None:
    message_id = park(desk)
    assert desk.world.life is not None
    store, o = desk.world.life.store, schema.outbox.c

    def left(tx: Tx) -> None:
        tx.fresh.execute(schema.outbox.update().where(o.message_id == message_id).values(node=outbox.NOBODY))

    store.write(left)
    desk.world.run(1)
    assert [row["message_id"] for row in desk.ask("GET", "parked")["parked"]] == [message_id]
    assert desk.ask("GET", "status")["messages"]["parked"] == 1


def test_news_that_nobody_could_take_is_published_again(desk: Desk) -> None:
    message_id = park(desk)
    said = desk.ask("GET", "parked", message_id)
    assert said["event"] == "payment.accepted"
    assert "示例" not in json.dumps(said, ensure_ascii=False)
    desk.world.broker.declare("erp-demo.gone")
    assert desk.ask("POST", "parked", message_id, "replay")["state"] == "waiting"
    desk.world.run(5)
    assert desk.republished == 1
    (kept,) = desk.world.broker.drain("erp-demo.gone")
    assert kept.properties.message_id == message_id
    assert desk.ask("GET", "parked")["parked"] == []
    assert ("uid:root", "outbox.replayed") in desk.trail(message_id)
    desk.no(409, "not_parked", "POST", "parked", message_id, "replay")


def test_parked_news_is_dealt_with(desk: Desk) -> None:
    message_id = park(desk)
    desk.no(400, "missing", "POST", "parked", message_id, "discard")
    desk.ask("POST", "parked", message_id, "discard", reason="told by phone")
    assert desk.ask("GET", "parked")["parked"] == []
    assert ("uid:root", "outbox.discarded") in desk.trail(message_id)
    desk.no(404, "no_such_message", "POST", "parked", "nothing", "discard", reason="x")
    desk.no(404, "no_such_message", "GET", "parked", "nothing")


def test_draining_takes_nothing_in_and_finishes_what_is_there(desk: Desk) -> None:
    desk.world.submit("AP-1")
    desk.world.run(5)
    assert desk.ask("POST", "drain", on=True)["draining"]
    desk.world.submit("AP-2")
    desk.world.run(5)
    assert not desk.world.told("AP-2")
    assert "draining" in desk.ask("GET", "status")["reasons"][0]
    assert not desk.ask("POST", "drain", on=False)["draining"]
    desk.world.run(5)
    assert desk.world.last("AP-2")["state"] == "settled"
    assert [entry for _actor, entry in desk.trail("gw1")][-2:] == ["node.draining", "node.undrained"]
    desk.no(400, "bad_switch", "POST", "drain", on="yes")


def test_the_audit_chain_holds_after_all_that(desk: Desk) -> None:
    held(desk)
    desk.ask("POST", "orders", "kingdee:AP-1", "release", reason="x")
    desk.ask("POST", "lanes", "sample.main", "pause", reason="x")
    store, vault = desk.gateway.parts.store, desk.world.vault
    assert _now(desk.world, store.read(lambda conn: audit.verify(conn, vault))) == []


def test_with_the_journal_lost_status_orders_and_today_answer_from_memory(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    desk = Desk(world)
    desk.ask("POST", "lanes", "sample.main", "pause", reason="x")
    world.submit("AP-1")
    world.run(2)
    before = desk.ask("GET", "today")
    desk.lost_ms = desk.gateway.parts.clock.now_ms()
    said = desk.ask("GET", "status")
    assert said["orders"] is None and said["messages"] is None and said["lanes"]["sample.main"] == "paused:operator"
    assert said["journal"]["reachable"] is False
    listed = desk.ask("GET", "orders")
    assert [one["id"] for one in listed["orders"]] == ["AP-1"] and listed["journal"] == said["journal"]
    assert desk.ask("GET", "orders", query={"state": "held"})["orders"] == []
    today = desk.ask("GET", "today")
    assert (today["at"], today["totals"], today["journal"]) == (before["at"], before["totals"], said["journal"])
    assert "this needs the database" in desk.no(503, "journal_unreachable", "GET", "orders", "kingdee:AP-1")
    asked = ("POST", "orders", "kingdee:AP-1", "cancel")
    assert "nothing was changed" in desk.no(503, "journal_unreachable", *asked, reason="x")
    world.crash()
