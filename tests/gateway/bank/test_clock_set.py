"""Somebody sets the machine's clock while the daemon runs: work that is due by the corrected time is done within
seconds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.bank.lease import DEAD_S, ORPHAN_QUIET_S, STAND_BY_S
from gateway.kernel.core.states import Work
from gateway.kernel.tasks import CLOCK_LOOK_S
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from gateway.simbank.ledger import BookingRules
from protocols.bank import Replay, ReplayRule
from protocols.canon.outcome import State
from tests.gateway.bank.test_repeats import QUARANTINE_S, bank_with, under
from tests.world import files
from tests.world.world import Life, World

DAY_MS = 86_400_000


@pytest.mark.parametrize("by_ms", [-DAY_MS, -3_600_000], ids=["a day", "an hour"])
def test_orders_are_sent_after_a_start_with_a_clock_that_was_slow(tmp_path: Path, by_ms: int) -> None:
    """As on a machine that starts before its time service: all due work lies beyond the loaded period."""
    world = World(tmp_path)
    life = world.start(off_ms=by_ms)
    world.run(2)
    life.clock.off_ms = 0
    world.run(1)
    world.submit("AP-1")
    world.run(CLOCK_LOOK_S + 2)
    assert files.payment(world, "AP-1").life.state is State.SETTLED
    assert len(world.bank.ledger.executions) == 1


def test_a_doubt_is_asked_about_though_the_clock_was_set_back_meanwhile(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]))
    life = world.start()
    world.run(2)
    world.submit("AP-1")
    while world.state("AP-1") != "in_doubt":
        world.run(0.1)
    [due] = [row for row in files.due(world, "AP-1") if row.work is Work.ENQUIRE]
    life.clock.off_ms = -DAY_MS
    life.gateway.lanes["sample.main"].work_queue.wake()
    world.run(CLOCK_LOOK_S + 3)
    assert life.clock.now_ms() < due.due_ms, "by this clock the time to ask is tomorrow"
    assert files.payment(world, "AP-1").life.state is State.SETTLED


def test_what_was_put_off_by_a_clock_that_was_ahead_is_sent_when_it_is_set_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bank.reachable = False
    life = world.start()
    world.submit("AP-1")
    world.submit("AP-2", not_before=world.moment(3_600))
    world.run(1)
    life.clock.off_ms = DAY_MS
    # The lane postpones a send like this while its bank cannot be reached.
    life.gateway.lanes["sample.main"].work_queue.postpone(
        files.payment(world, "AP-1").payment, Work.SEND, life.clock.now_ms() + 2_000
    )
    world.run(CLOCK_LOOK_S + 1)
    life.clock.off_ms = 0
    world.bank.reachable = True
    world.run(CLOCK_LOOK_S + 2)
    assert files.payment(world, "AP-1").life.state is State.SETTLED
    assert files.payment(world, "AP-2").life.state is State.READY, "not before its time"
    world.run(3_600)
    assert files.payment(world, "AP-2").life.state is State.SETTLED


AHEAD_MS = 2 * DAY_MS


def _right_again(world: World, life: Life, *, restart: bool) -> Life:
    if restart:
        life.crash()
        return world.start()
    life.clock.off_ms = 0
    return life


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
def test_what_was_taken_in_by_a_clock_ahead_is_sent_and_asked_about_once_it_is_right(
    tmp_path: Path, restart: bool
) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.HIDE, seconds=30.0)]))
    life = world.start(off_ms=AHEAD_MS)
    world.run(2)
    world.submit("AP-1")
    while world.state("AP-1") != "in_doubt":
        world.run(0.1)
    life.gateway.lanes["sample.main"].pause("waits")
    world.submit("AP-2", 20_000)
    world.submit("AP-3", 30_000, not_before=world.moment(3_600))
    world.run(1)
    assert [world.state(f"AP-{n}") for n in (1, 2, 3)] == ["in_doubt", "ready", "ready"]
    life = _right_again(world, life, restart=restart)
    assert min(row.due_ms for row in files.due(world, "AP-2")) > life.clock.now_ms() + DAY_MS, (
        "by the journal, in two days"
    )
    life.gateway.lanes["sample.main"].resume("waits")
    world.run(QUARANTINE_S)
    assert [world.state(f"AP-{n}") for n in (1, 2, 3)] == ["settled", "settled", "ready"]
    assert life.sample("bankgw_alarms_total", alarm="clock_was_ahead") == 1
    world.run(3_600)
    assert world.state("AP-3") == "settled", "not before the order's own moment"
    assert len(world.bank.ledger.executions) == 3
    assert life.sample("bankgw_alarms_total", alarm="clock_was_ahead") == 1, "once, not at each look"


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
def test_a_doubt_of_a_clock_ahead_escalates_by_the_right_one(tmp_path: Path, restart: bool) -> None:
    deadline = timedelta(seconds=300)
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.HIDE, seconds=86_400.0)]),
        wrap=bank_with(lambda bank: replace(bank, profile=replace(bank.profile, enquiry_deadline=deadline))),
    )
    life = world.start(off_ms=AHEAD_MS)
    world.submit("AP-1")
    while world.state("AP-1") != "in_doubt":
        world.run(0.1)
    life = _right_again(world, life, restart=restart)
    world.run(CLOCK_LOOK_S + 1)
    [due] = [row for row in files.due(world, "AP-1") if row.work is Work.ESCALATE]
    assert 0 < due.due_ms - life.clock.now_ms() <= deadline / timedelta(milliseconds=1)
    world.run(deadline.total_seconds())
    assert world.state("AP-1") == "escalated"


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
def test_what_a_clock_behind_took_in_is_sent_at_once_and_rings_no_alarm(tmp_path: Path, restart: bool) -> None:
    world = World(tmp_path)
    life = world.start(off_ms=-AHEAD_MS)
    world.bank.reachable = False
    world.submit("AP-1")
    world.run(2)
    life = _right_again(world, life, restart=restart)
    world.bank.reachable = True
    world.run(QUARANTINE_S)
    assert world.state("AP-1") == "settled" and len(world.bank.ledger.executions) == 1
    assert not life.sample("bankgw_alarms_total", alarm="clock_was_ahead")


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("rule", [Replay.QUERY_FIRST, Replay.REPLAY_SAFE])
def test_what_a_clock_ahead_sent_does_not_leave_again_when_it_is_right(
    rule: Replay, tmp_path: Path, restart: bool
) -> None:
    """The bank finds the payment after a minute, and would book a second copy."""
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.HIDE, seconds=60.0)]),
        conduct=BookingRules(dedup=False),
        wrap=under(ReplayRule(rule, timedelta(seconds=QUARANTINE_S), 2)),
    )
    life = world.start(off_ms=AHEAD_MS)
    world.run(7)
    world.submit("AP-1")
    world.run(2)
    _right_again(world, life, restart=restart)
    world.run(1_000)
    assert len(world.bank.ledger.executions) == 1
    assert world.told("AP-1")[-1] == "payment.settled"


def test_a_clock_that_was_slow_at_the_start_and_is_set_right_rings_once_and_is_believed_after_a_quarantine(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    life = world.start(off_ms=-7_200_000)
    world.run(1_200)
    life.clock.off_ms = 0
    world.run(CLOCK_LOOK_S + 1)
    clock_trust = life.gateway.lanes["sample.main"].clock_trust
    assert life.sample("bankgw_alarms_total", alarm="clock_set") == 1
    assert clock_trust.doubt == "clock_set" and not clock_trust.sure(600_000).spans
    world.run(600)
    assert clock_trust.sure(600_000).spans and clock_trust.doubt == "clock_set"
    assert life.sample("bankgw_alarms_total", alarm="clock_set") == 1, "once, however often it is looked at"


def test_a_balance_from_before_the_clock_was_set_back_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(2)
    for n, off_ms in enumerate((0, 0, -DAY_MS), 1):
        life.clock.off_ms = off_ms
        world.run(10)
        world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT10M"})
        world.run(3)
        assert len(world.replies) == n
    sources = [body["balances"][0]["source"] for _properties, body in world.replies]
    assert sources == ["bank", "cache", "bank"]


@pytest.mark.parametrize("by_ms", [-3_600_000, -100_000], ids=["an hour", "100 s"])
@pytest.mark.parametrize("rule", [Replay.QUERY_FIRST, Replay.REPLAY_SAFE])
def test_what_was_sent_by_a_clock_that_was_slow_does_not_leave_again_when_it_is_right(
    rule: Replay, by_ms: int, tmp_path: Path
) -> None:
    """By the corrected time the send was long before the quarantine. The bank finds the payment after a minute, and
    would book a second copy."""
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.HIDE, seconds=60.0)]),
        conduct=BookingRules(dedup=False),
        wrap=under(ReplayRule(rule, timedelta(seconds=QUARANTINE_S), 2)),
    )
    life = world.start()
    world.run(1_000)
    life.clock.off_ms = by_ms
    world.run(7)
    world.submit("AP-1")
    world.run(2)
    life.clock.off_ms = 0
    world.run(1_000)
    assert len(world.bank.ledger.executions) == 1
    assert world.told("AP-1")[-1] == "payment.settled"
    assert life.gateway.lanes["sample.main"].clock_trust.doubt == "clock_set", "until a restart"


@pytest.mark.parametrize("ahead_ms", [(3_600_000, 0), (0, -3_600_000)], ids=["its clock was ahead", "ours is slow"])
def test_the_lane_of_a_dead_node_is_taken_over_whatever_the_clocks_say(
    ahead_ms: tuple[int, int], tmp_path: Path
) -> None:
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.DELAY, seconds=10_000)]),
        settings={"journal": {"poll_ms": 250}},
    )
    first = world.start(off_ms=ahead_ms[0])
    world.run(1)
    second = world.start("gw2")
    world.run(1)
    second.clock.off_ms = ahead_ms[1]
    world.run(60)
    lane = second.gateway.lanes["sample.main"]
    assert lane.standing_by, "its owner lives"
    world.submit("AP-1")
    world.run(1)
    assert world.state("AP-1") == "sending"
    first.crash()
    world.run(DEAD_S + STAND_BY_S + 0.5)
    assert DEAD_S + STAND_BY_S <= 25 and lane.ready
    assert world.state("AP-1") == "sending", "it may still be on its way"
    world.run(ORPHAN_QUIET_S)
    assert "taken_over" in files.rules(world, "AP-1") and world.state("AP-1") != "sending"
    assert not [data for pipe in second.pipes for data in pipe.written if b">Pay<" in data]


def test_a_node_whose_clock_is_ahead_keeps_its_lane_while_it_renews(tmp_path: Path) -> None:
    world = World(tmp_path, settings={"journal": {"poll_ms": 250}})
    first = world.start(off_ms=3_600_000)
    world.run(1)
    second = world.start("gw2")
    for _ in range(20):
        world.run(DEAD_S - 1)
        assert first.gateway.lanes["sample.main"].epoch == 1 and second.gateway.lanes["sample.main"].standing_by


@pytest.mark.usefixtures("long_lease")
def test_what_a_clock_behind_sent_is_found_on_the_date_on_which_the_bank_booked_it(tmp_path: Path) -> None:
    """The bytes name a date in the past, under which the bank does not find them."""
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.WRONG_SIGNATURE)]))
    life = world.start(off_ms=-AHEAD_MS)
    world.submit("AP-1")
    while world.state("AP-1") != "in_doubt":
        world.run(0.1)
    _right_again(world, life, restart=True)
    while world.state("AP-1") == "in_doubt":
        world.run(60)
    assert "payment.escalated" in world.told("AP-1"), "on the date of the bytes the bank does not know it"
    world.run(4 * 3_600)
    assert world.state("AP-1") == "settled" and len(world.bank.ledger.executions) == 1
