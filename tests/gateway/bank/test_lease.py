"""Several nodes and one lane: which node owns it, how it changes hands, and that one node finishes the work that
another recorded."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.bank.enquiry import sent_of
from gateway.bank.lease import LEASE_MS, ORPHAN_QUIET_S, STAND_BY_S
from gateway.bank.work_loader import SWEEP_S
from gateway.kernel.cluster import lane_leases
from gateway.kernel.core.states import Work
from gateway.simbank.faults import BankFault, FaultPlan, FaultScript, ScriptedFault
from gateway.watch.health import lane_word
from protocols.canon.outcome import State
from tests.world import files
from tests.world.world import Life, World

LANE = "sample.main"
SHARED = {"journal": {"poll_ms": 250}}


def lane_of(life: Life) -> Any:
    return life.gateway.lanes[LANE]


def pays(life: Life) -> list[bytes]:
    return [data for pipe in life.pipes for data in pipe.written if b">Pay<" in data]


def leave(world: World, life: Life) -> None:
    world.life = life
    world.leave()


def test_a_second_node_starts_without_waiting_and_stands_by(tmp_path: Path) -> None:
    world = World(tmp_path, settings=SHARED)
    world.start()
    world.run(1)
    second = world.start("gw2")
    world.run(1)
    assert lane_of(second).standing_by and lane_word(lane_of(second)) == "standing_by"
    assert second.amqp.up and not lane_of(second).ready


def test_what_another_node_took_in_is_sent_by_the_owner(tmp_path: Path) -> None:
    world = World(tmp_path, settings=SHARED)
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    world.run(1)
    first.amqp.pause()
    world.submit("AP-1")
    world.run(3)
    assert files.payment(world, "AP-1").life.state is State.SETTLED
    assert len(pays(first)) == 1 and not pays(second)
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"]


def test_what_another_node_took_in_by_a_clock_that_is_slow_is_sent_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, settings=SHARED)
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    monkeypatch.setattr(second.clock, "now_ms", lambda: first.clock.now_ms() - 60_000)
    world.run(30)
    first.amqp.pause()
    world.submit("AP-1")
    world.run(SWEEP_S + 3)
    assert files.payment(world, "AP-1").life.state is State.SETTLED and len(pays(first)) == 1


def test_many_orders_at_once_while_the_lease_is_run_out_wait_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a database outage: all waiting orders come in one commit, and none of them may be sent yet."""
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    lane = lane_of(life)
    with monkeypatch.context() as patched:
        patched.setattr(lane, "permitted", lambda: False)
        life.amqp.pause()
        for n in range(150):
            world.submit(f"AP-{n}")
        life.amqp.resume()
        world.run(1)
        assert pays(life) == []
    world.run(30)
    assert lane.halted is None
    assert len(pays(life)) == 150


def test_an_orderly_stop_hands_the_lane_over_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, settings=SHARED)
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    world.run(1)
    stopped: list[object] = []
    Deferred.fromCoroutine(first.gateway.stop()).addBoth(stopped.append)
    world.run(3)
    assert stopped == [None]
    released = world.read(lambda conn: lane_leases.lease_of(conn, LANE))
    assert released is not None and released.owner == "gw2", "long before the lease would have run out"
    assert lane_of(second).ready


def test_a_new_owner_sends_at_once_but_asks_only_when_what_was_under_way_has_arrived(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DELAY, seconds=10_000)]), settings=SHARED)
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    world.submit("AP-1")
    world.run(1)
    first.crash()
    world.run(LEASE_MS / 1000 + STAND_BY_S)
    assert lane_of(second).ready and files.payment(world, "AP-1").life.state is State.SENDING
    world.submit("AP-2")
    world.run(2)
    assert files.payment(world, "AP-2").life.state is State.SETTLED and len(pays(second)) == 1
    world.run(ORPHAN_QUIET_S)
    assert files.payment(world, "AP-1").life.state is not State.SENDING
    assert "taken_over" in files.rules(world, "AP-1")
    assert LEASE_MS / 1000 + STAND_BY_S + ORPHAN_QUIET_S < 32, "fail-over in half a minute"


def test_a_node_that_lost_its_lane_stands_by_and_may_own_it_again(tmp_path: Path) -> None:
    world = World(tmp_path, settings=SHARED)
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    world.run(1)
    first.clock.freeze()
    world.run(40)
    assert lane_of(second).ready
    first.clock.thaw()
    world.run(40)
    assert lane_of(first).standing_by and lane_of(first).halted is None
    epoch = lane_of(second).epoch
    leave(world, second)
    world.run(30)
    assert lane_of(first).ready and lane_of(first).epoch > epoch
    world.submit("AP-1")
    world.run(3)
    assert files.payment(world, "AP-1").life.state is State.SETTLED and len(pays(first)) == 1


def with_a_halted_lane(tmp_path: Path) -> tuple[World, Life, Life]:
    world = World(tmp_path, settings=SHARED)
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    lane_of(first).halt("test")
    return world, first, second


def test_a_halted_lane_is_left_to_another_node_and_not_taken_again(tmp_path: Path) -> None:
    world = World(tmp_path, settings=SHARED, plan=FaultScript([ScriptedFault(BankFault.DELAY, seconds=10_000)]))
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    world.submit("AP-1")
    world.run(1)
    epoch = lane_of(first).epoch
    lane_of(first).halt("test")
    world.run(5)
    assert lane_of(second).standing_by, "not before the lease has run out"
    world.run(LEASE_MS / 1000)
    assert lane_of(second).ready and lane_of(second).epoch > epoch
    assert lane_word(lane_of(first)) == "halted:test" and not lane_of(first).gate.permits(
        epoch, first.clock.monotonic_s()
    )
    world.submit("AP-2")
    world.run(3)
    assert files.payment(world, "AP-2").life.state is State.SETTLED and len(pays(second)) == 1
    assert files.rules(world, "AP-1") == ["admitted", "send", "silent", "asked_settled"] and len(pays(first)) == 1
    leave(world, second)
    world.run(60)
    lease = world.read(lambda conn: lane_leases.lease_of(conn, LANE))
    assert lease is not None and lease.owner == "gw2", "a node that does not trust itself with it takes it no more"
    leave(world, first)
    assert first.fatal == []


def test_what_is_asked_at_a_node_whose_lane_halted_is_answered_by_the_next_owner(tmp_path: Path) -> None:
    world, first, second = with_a_halted_lane(tmp_path)
    world.run(LEASE_MS / 1000 + STAND_BY_S + 1)
    second.amqp.pause()
    world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT0S"})
    world.run(5)
    assert [len(body["balances"]) for _said, body in world.replies] == [1]


def test_a_halted_lane_keeps_nothing_of_what_another_node_does_for_it(tmp_path: Path) -> None:
    world, first, second = with_a_halted_lane(tmp_path)
    world.run(LEASE_MS / 1000 + STAND_BY_S + 1)
    second.amqp.pause()
    for n in range(20):
        world.submit(f"AP-{n}", 1_000 + n)
    world.run(60)
    assert {world.state(f"AP-{n}") for n in range(20)} == {"settled"} and len(pays(second)) == 20
    assert len(lane_of(first).work_queue) == 0 and not lane_of(first).ready_payments.rows


def test_a_halted_lane_that_is_stopped_lets_go_of_its_lease(tmp_path: Path) -> None:
    world, first, second = with_a_halted_lane(tmp_path)
    world.run(1)
    leave(world, first)
    world.run(STAND_BY_S + 1)
    assert lane_of(second).ready


def test_a_node_that_stood_still_asks_nothing_before_its_lease_is_renewed(tmp_path: Path) -> None:
    # At its resume, enquiries about a doubt are due, one was read from the journal, and an ERP's question waits too.
    world = World(tmp_path, settings=SHARED, plan=FaultPlan("1", {BankFault.DROP_BEFORE: 1.0}))
    first = world.start()
    world.run(1)
    world.start("gw2")
    for n in range(20):
        world.submit(f"AP-{n}")
    world.run(5)
    assert all(files.payment(world, f"AP-{n}").life.state is State.IN_DOUBT for n in range(20))
    first.clock.freeze()
    world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT0S"})
    world.run(40)
    said = [len(pipe.written) for pipe in first.pipes]
    first.clock.thaw()
    world.run(3)
    assert [len(pipe.written) for pipe in first.pipes[: len(said)]] == said, "not a word by what it knew before"
    assert lane_of(first).standing_by


@pytest.mark.parametrize("steps", range(1, 14))
def test_a_node_that_stood_still_while_it_signed_on_signs_on_no_more(steps: int, tmp_path: Path) -> None:
    """The process is suspended at any point: before a handshake is over, or with one session signing on and the others
    waiting."""
    world = World(tmp_path, settings=SHARED)
    first = world.start()
    world.run(0.001 * steps)
    assert not all(session.state.live for session in lane_of(first).session_pool.sessions)
    first.clock.freeze()
    world.run(20)
    said = sum(len(pipe.written) for pipe in first.pipes)
    first.clock.thaw()
    looked_s = 0.0
    while not lane_of(first).permitted() and looked_s < 5:
        assert sum(len(pipe.written) for pipe in first.pipes) == said
        world.run(0.001)
        looked_s += 0.001
    assert 0.001 <= looked_s < 5
    world.run(10)
    assert lane_of(first).ready and first.fatal == []


def test_a_lane_whose_lease_lapsed_while_the_journal_was_away_goes_on_when_it_is_renewed(tmp_path: Path) -> None:
    world = World(tmp_path, settings=SHARED, plan=FaultScript([ScriptedFault(BankFault.DROP_BEFORE)]))
    life = world.start()
    world.run(1)
    world.submit("AP-1")
    world.run(1)
    assert files.payment(world, "AP-1").life.state is State.IN_DOUBT
    life.clock.freeze()
    world.run(40)
    asked = world.exchanges(life, "fate")
    life.clock.thaw()
    world.run(5)
    assert lane_of(life).ready and world.exchanges(life, "fate") > asked


def test_all_lanes_of_a_process_keep_their_leases_with_one_commit(tmp_path: Path) -> None:
    """With fifty lanes, one commit for each renewal would be ten commits a second."""
    world = World(tmp_path, banks=("sample", "pab"))
    life = world.start()
    world.run(4)
    groups: list[int] = []
    life.store._observe = lambda facts: groups.append(facts.units)
    world.run(LEASE_MS / 1000 * 4)
    assert groups == [2] * 12 and all(lane.permitted() for lane in life.gateway.lanes.values())


def test_the_mail_of_a_dead_node_is_published_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, settings=SHARED)
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    world.run(1)
    second.amqp.pause()
    monkeypatch.setattr(first.gateway.outbox, "publish_rows", lambda _rows: None)
    world.submit("AP-1")
    world.run(3)
    first.crash()
    assert files.payment(world, "AP-1").life.state is State.SETTLED and not world.told("AP-1")
    world.run(120)
    assert world.told("AP-1")[0] == "payment.accepted" and world.told("AP-1")[-1] == "payment.settled"


def test_an_enquiry_names_the_bank_date_that_was_written_down(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]))
    world.start()
    world.submit("AP-1")
    world.run(1)
    payment = files.payment(world, "AP-1").payment
    found = world.read(lambda conn: sent_of(conn, payment, lambda _ms: date.min))
    assert found is not None
    [attempt] = files.sends(world, "AP-1")
    assert found[1].bank_date.isoformat() == attempt.bank_date and found[1].serials == attempt.serials
    assert Work.ENQUIRE in {row.work for row in files.due(world, "AP-1")}


def test_an_enquiry_names_the_order_itself_where_the_journal_lacks_the_attempt(tmp_path: Path) -> None:
    world, day = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)])), date(2026, 11, 18)
    world.start()
    world.submit("AP-1")
    world.run(1)
    row = files.payment(world, "AP-1")
    world.crash()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        db.execute("delete from attempts")
        db.commit()
    found = world.read(
        lambda conn: sent_of(conn, row.payment, lambda ms: day if ms == row.life.first_write_ms else date.min)
    )
    assert found is not None
    assert (found[1].reference, found[1].bank_date, found[1].serials) == (row.bank_ref, day, ())
