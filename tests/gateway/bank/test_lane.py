"""A lane over time: hours, pace, enquiries, doubts for persons, leaving, and two nodes at once."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from datetime import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.bank.lease import LEASE_MS
from gateway.kernel.cluster import lane_leases
from gateway.kernel.commit.hand_over import HandOver
from gateway.kernel.commit.rows import PaymentRow, WorkRow
from gateway.kernel.core.states import Work
from gateway.parts import Parts
from gateway.simbank.faults import BankFault, ExchangeKind, FaultPlan, FaultScript, ScriptedFault
from gateway.simbank.ledger import BookingRules
from protocols.bank import Bank
from protocols.canon.limits import Hours
from protocols.canon.outcome import Fate, State
from tests.world import files
from tests.world.lines import events, lines
from tests.world.world import START_S, Life, World

DAY_S = 86_400
MIDNIGHT_S = 17_600
"""When the bank's first day ends, in seconds of the world."""
NO_REPEATS = {"banks": {"sample": {"most_repeats": 0}}}


QUIET = {"sessions": 1, "heartbeat_s": 110.0}


def lane_of(life: Life, name: str = "sample.main") -> Any:
    return life.gateway.lanes[name]


def bank_with(change: Callable[[Bank], Bank]) -> Callable[[Life, Parts], Parts]:
    def wrap(_life: Life, parts: Parts) -> Parts:
        return replace(parts, banks={name: change(bank) for name, bank in parts.banks.items()})

    return wrap


def open_at(hours: Hours) -> Callable[[Bank], Bank]:
    return lambda bank: replace(bank, profile=replace(bank.profile, limits=replace(bank.profile.limits, hours=hours)))


def pays(life: Life) -> list[bytes]:
    return [data for pipe in life.pipes for data in pipe.written if b">Pay<" in data]


def at_s(world: World, id_: str, rule: str) -> list[float]:
    """The times at which this row of the table decided about the order, in seconds of the world."""
    return [entry.at_ms / 1000 - START_S for entry in files.trail(world, id_) if entry.entry == f"payment.{rule}"]


# ---- hours ----


@pytest.mark.usefixtures("long_lease")
def test_outside_its_hours_the_bank_gets_nothing_and_the_erp_knows_when(tmp_path: Path) -> None:
    # The world begins on a Wednesday at 19:06:40 in Shanghai.
    world = World(tmp_path, wrap=bank_with(open_at(Hours(opens=time(9), closes=time(17), weekdays=(0, 1, 2, 3, 4)))))
    life = world.start()
    world.submit("AP-1")
    world.run(3600)
    assert world.last("AP-1")["send_after"].startswith("2026-11-19T01:00:00"), "Thursday, 9:00 there"
    assert lane_of(life).ready and not pays(life)
    world.run(13 * 3600)
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"]
    [sent] = at_s(world, "AP-1", "send")
    opens = (24 - 19 + 9) * 3600 - (6 * 60 + 40)
    assert opens <= sent < opens + 1


@pytest.mark.usefixtures("long_lease")
def test_a_bank_that_closes_before_its_turn_comes_gets_it_the_next_day(tmp_path: Path) -> None:
    # Open until 19:07: twenty seconds after the world begins, and the first exchange takes thirty.
    world = World(
        tmp_path,
        bank_options={"sessions": 1},
        plan=FaultScript([ScriptedFault(BankFault.DELAY, seconds=30)]),
        wrap=bank_with(open_at(Hours(opens=time(9), closes=time(19, 7)))),
    )
    life = world.start()
    world.submit("FIRST")
    world.submit("AP-1")
    world.run(3600)
    assert world.told("FIRST")[-1] == "payment.settled" and len(pays(life)) == 1
    assert world.told("AP-1") == ["payment.accepted"] and lane_of(life).halted is None
    world.run(DAY_S)
    assert world.told("AP-1")[-1] == "payment.settled"


# ---- pace ----


@pytest.mark.parametrize("bank", ["sample", "pab"])
def test_no_second_sees_more_requests_than_the_bank_tolerates(bank: str, tmp_path: Path) -> None:
    options = {"per_second": 5.0, **({"burst": 5} if bank == "pab" else {})}
    world = World(tmp_path, banks=(bank,), bank_options=options)
    times: list[float] = []
    hit = world.hit

    def noting(point: str) -> None:
        if point == "bank.write.request.before":
            times.append(world.clock.seconds())
        hit(point)

    world.hit = noting  # type: ignore[method-assign]
    life = world.start()
    world.run(2)
    times.clear()
    for n in range(60):
        world.submit(f"AP-{n}")
    for n in range(20):
        world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT0S"})
        world.command("status.query", {"id": f"AP-{n}"})
    world.run(60)
    assert all(world.told(f"AP-{n}")[-1] == "payment.settled" for n in range(60))
    assert len(times) >= 80
    for start, now in enumerate(times):
        # One more than the bucket holds, because the session's own heartbeat or probe takes no token.
        assert sum(now <= other < now + 1.0 for other in times[start:]) <= 5 + 5 + 1
    elapsed = times[79] - times[0]
    assert elapsed >= (80 - 5) / 5.0 - 0.1, "the long run keeps to the rate"
    assert life.gateway.lanes[f"{bank}.main"].halted is None


def test_a_bank_that_says_too_fast_gets_a_second_of_rest(tmp_path: Path) -> None:
    from protocols.kit.declined import Declined

    declined = [1]

    def change(bank: Bank) -> Bank:
        balance = bank.questions.balance
        assert balance is not None

        def hasty(question: Any, context: Any) -> Any:
            answer = yield from balance(question, context)
            if declined[0]:
                declined[0] -= 1
                raise Declined("Balance", "L100", "too fast", "rate_limited")
            return answer

        return replace(bank, questions=replace(bank.questions, balance=hasty))

    world = World(tmp_path, wrap=bank_with(change))
    life = world.start()
    world.run(1)
    world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT0S"})
    world.run(0.1)
    world.submit("AP-1")
    world.run(0.5)
    assert not pays(life)
    world.run(2)
    assert world.told("AP-1")[-1] == "payment.settled"
    assert world.exchanges(life, "balance", "rate_limited") == 1
    assert lane_of(life).ready, "being told to slow down is no reason to hang up"


# ---- doubt ----


@pytest.mark.usefixtures("long_lease")
def test_a_silent_bank_is_asked_ever_more_slowly_and_for_ever(tmp_path: Path) -> None:
    with lines() as heard:
        world = World(
            tmp_path, settings=NO_REPEATS, plan=FaultPlan("1", {BankFault.DROP_BEFORE: 1.0}), bank_options=QUIET
        )
        life = world.start()
        world.submit("AP-1")
        for _ in range(12):
            world.run(DAY_S / 4)
    [sent] = at_s(world, "AP-1", "silent")
    asked = [sent, *at_s(world, "AP-1", "asked_in_vain")]
    gaps = [after - before for before, after in pairwise(asked)]
    for gap, wanted in zip(gaps, (2, 5, 15, 30, 60, 120, 300, 600), strict=False):
        assert wanted <= gap < wanted + 2, f"planned {wanted} s, waited {gap:.1f}"
    [escalated] = at_s(world, "AP-1", "overdue")
    assert DAY_S <= escalated < DAY_S + 5
    steady = [gap for gap, at in zip(gaps, asked, strict=False) if asked[8] <= at < MIDNIGHT_S]
    slow = [after - at for at, after in pairwise(asked) if at >= MIDNIGHT_S and not at < escalated < after]
    assert len(steady) > 20 and all(600 <= gap < 603 for gap in steady), "every ten minutes while the bank's day lasts"
    assert len(slow) >= 60 and all(3600 <= gap < 3603 for gap in slow), "hourly, without end"
    assert world.told("AP-1") == ["payment.accepted", "payment.in_doubt", "payment.escalated"]
    assert Work.ENQUIRE in {row.work for row in files.due(world, "AP-1")}
    assert life.sample("bankgw_alarms_total", alarm="escalated") == 1
    assert [line["alarm"] for line in events(heard, "payment.alarm")] == ["escalated"]
    assert len(pays(life)) == 1, "asked about, never sent again"
    world.bank.simbank.script.calm()
    world.run(DAY_S)
    assert world.last("AP-1")["state"] == "escalated", "and not found is still no failure"
    assert len(pays(life)) == 1


def test_the_schedule_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path, settings=NO_REPEATS, plan=FaultPlan("1", {BankFault.DROP_BEFORE: 1.0}))
    world.start()
    world.submit("AP-1")
    world.run(60)
    world.crash()
    world.run(10)
    world.start()
    world.run(600)
    asked = at_s(world, "AP-1", "asked_in_vain")
    gaps = [round(after - before) for before, after in pairwise(asked)]
    assert gaps[:2] == [5, 15] and all(gap >= 28 for gap in gaps[2:]), "the restart does not begin again at two seconds"


@pytest.mark.usefixtures("long_lease")
def test_a_late_yes_ends_the_doubt_even_after_the_escalation(tmp_path: Path) -> None:
    plan = FaultScript([ScriptedFault(BankFault.HIDE, seconds=2 * DAY_S)])
    world = World(tmp_path, settings=NO_REPEATS, plan=plan, bank_options=QUIET)
    world.start()
    world.submit("AP-1")
    world.run(3 * DAY_S)
    assert world.told("AP-1") == ["payment.accepted", "payment.in_doubt", "payment.escalated", "payment.settled"]
    last = world.last("AP-1")
    assert (last["was"], last["evidence"]) == ("escalated", "enquiry")
    not_found = [one for one in files.evidence(world, "AP-1") if one.content.fate is Fate.NOT_FOUND]
    assert len(not_found) > 20, "every word of the bank is kept"


def test_a_payment_taken_but_not_decided_is_asked_about_until_it_is(tmp_path: Path) -> None:
    world = World(tmp_path, conduct=BookingRules(late_share=1.0, late_s=100.0))
    world.start()
    world.submit("AP-1")
    world.run(60)
    assert world.told("AP-1") == ["payment.accepted", "payment.processing"]
    world.run(200)
    assert world.told("AP-1")[-1] == "payment.settled"
    assert {row.work for row in files.due(world, "AP-1")} == {Work.RETURNS}


@pytest.mark.usefixtures("long_lease")
def test_money_that_comes_back_days_later_is_told(tmp_path: Path) -> None:
    plan = FaultScript([ScriptedFault(BankFault.LATE_RETURN, seconds=2.5 * DAY_S)])
    world = World(tmp_path, plan=plan, bank_options=QUIET, spans={"returns_watch_s": 3.5 * DAY_S})
    world.start()
    world.submit("AP-1")
    world.submit("AP-2")
    for _ in range(5):
        world.run(DAY_S)
    assert world.told("AP-1") == ["payment.accepted", "payment.settled", "payment.returned"]
    assert world.last("AP-1")["evidence"] == "returns" and world.last("AP-1")["final"] is True
    assert world.told("AP-2") == ["payment.accepted", "payment.settled"]
    assert not files.due(world, "AP-1") and not files.due(world, "AP-2"), "the watch ends"


@pytest.mark.usefixtures("long_lease")
def test_deadlines_need_no_bank(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]), bank_options={"sessions": 1})
    life = world.start()
    world.submit("AP-1")
    world.run(1)
    world.bank.reachable = False
    for pipe in life.pipes:
        pipe.abortConnection()
    world.submit("AP-2", valid_until=world.moment(600))
    world.run(700)
    assert world.told("AP-2") == ["payment.accepted", "payment.expired"]
    world.run(DAY_S)
    assert world.told("AP-1")[-1] == "payment.escalated"


def test_a_deadline_fires_while_every_session_waits_for_its_answer(tmp_path: Path) -> None:
    plan = FaultScript([ScriptedFault(BankFault.DELAY, seconds=100)])
    world = World(tmp_path, plan=plan, bank_options={"sessions": 1, "answer_s": 120.0})
    world.start()
    world.submit("SLOW")
    world.run(1)
    world.submit("AP-1", valid_until=world.moment(20))
    world.run(25)
    assert world.told("AP-1") == ["payment.accepted", "payment.expired"], "not only when the session is free again"


# ---- sessions and questions ----


def test_unasked_bytes_end_the_session_and_a_new_one_is_proven(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"sessions": 1})
    life = world.start()
    world.run(1)
    first = life.pipes[-1]
    assert first.peer is not None
    first.peer.write(b"00000005hello")
    world.run(0.0012)
    assert not first.open and not lane_of(life).ready
    world.run(5)
    assert lane_of(life).ready and len(life.pipes) == 2
    assert b">SignOn<" in life.pipes[-1].written[0]
    world.submit("AP-1")
    world.run(5)
    assert world.told("AP-1")[-1] == "payment.settled"


def test_a_permit_log_that_cannot_be_written_is_no_defect_of_the_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(3)

    def full(*_permits: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(life.store._committer._permits, "append_permits", full)
    with lines() as heard:
        for n in range(3):
            world.submit(f"AP-{n}")
        world.run(10)
    assert [said for said in life.fatal if "permit log cannot be written" in said], "the process ends"
    assert not world.bank.ledger.executions and lane_of(life).halted is None
    assert not events(heard, "lane.defect") and not life.sample("bankgw_alarms_total", alarm="impossible")
    world.crash()
    world.start()
    world.run(200)
    assert len(world.bank.ledger.executions) == 3 and world.bank.ledger.doubles() == []


def test_a_halted_lane_leaves_the_others_at_work(tmp_path: Path) -> None:
    world = World(tmp_path, banks=("sample", "pab"))
    life = world.start()
    world.run(1)
    lane_of(life).halt("test")
    world.submit("S", bank="sample")
    world.submit("P", bank="pab")
    for name in ("sample", "pab"):
        world.command("balance.query", {"accounts": [world.banks[name].account]}, message_id=f"q-{name}")
    world.run(60)
    assert world.told("S") == ["payment.accepted"] and world.told("P")[-1] == "payment.settled"
    said = {properties.correlation_id: body for properties, body in world.replies}
    assert said["q-sample"]["errors"][0]["code"] == "bank_unavailable" and not said["q-sample"]["balances"]
    assert len(said["q-pab"]["balances"]) == 1
    assert not [pipe for pipe in life.pipes if pipe.open and b"SignOn" in b"".join(pipe.written)], "it hung up"
    world.leave()
    world.start()
    world.run(30)
    assert world.told("S")[-1] == "payment.settled", "after the cause is mended and a restart, it goes"


def test_a_paused_lane_sends_nothing_and_asks_all_the_same(tmp_path: Path) -> None:
    doubt = [
        ScriptedFault(BankFault.DROP_AFTER),
        *(ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.ENQUIRY) for _ in range(2)),
    ]
    world = World(tmp_path, plan=FaultScript(doubt))
    life = world.start()
    world.submit("DOUBT")
    world.run(1)
    lane = lane_of(life)
    lane.pause("operator")
    lane.pause("broker_blocked")
    world.submit("AP-1")
    for _ in range(30):
        world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT0S"})
        world.run(1)
    assert lane.paused == ("broker_blocked", "operator") and len(pays(life)) == 1
    assert world.told("DOUBT")[-1] == "payment.settled" and any("balances" in body for _said, body in world.replies)
    lane.resume("operator")
    world.run(5)
    assert len(pays(life)) == 1, "another reason still stands"
    lane.resume("broker_blocked")
    world.run(5)
    assert world.told("AP-1")[-1] == "payment.settled"


def test_questions_that_fail_do_not_count_as_proof_that_the_bank_is_there(tmp_path: Path) -> None:
    world = World(tmp_path, banks=("pab",))
    life = world.start()
    world.run(1)
    assert lane_of(life, "pab.main").ready
    world.bank.reachable = False
    for _ in range(10):
        world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT0S", "max_wait": "PT5S"})
        world.run(20)
    assert not lane_of(life, "pab.main").ready
    assert len(world.replies) == 10


def test_an_order_that_was_held_is_sent_from_the_journal_when_it_is_released(tmp_path: Path) -> None:
    from gateway.kernel.core.states import Release
    from gateway.payments.rows import transition as applying

    world = World(tmp_path, sender={"new_payee_hold": True})
    life = world.start()
    world.submit("AP-1")
    world.run(5)
    assert world.told("AP-1") == ["payment.accepted", "payment.held"]
    payment = files.payment(world, "AP-1").payment
    life.store.write(lambda tx: applying.apply(tx, payment, Release(tx.now_ms, tx.now_ms), epoch=None, actor="test"))
    world.run(5)
    assert world.told("AP-1")[-1] == "payment.settled"


# ---- two nodes, one journal ----


def test_a_second_node_waits_for_the_lease_and_takes_over_without_sending_again(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DELAY, seconds=10_000)]))
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    world.run(60)
    assert lane_of(first).ready and not lane_of(second).epoch, "the first keeps its lease by renewing it"
    world.submit("AP-1")
    world.run(1)
    assert files.payment(world, "AP-1").life.state is State.SENDING
    first.crash()
    world.run(LEASE_MS / 1000 - 6)
    assert not lane_of(second).epoch, "not before the lease has run out"
    world.run(60)
    assert lane_of(second).ready and lane_of(second).epoch > lane_of(first).epoch
    assert not pays(second) and len(pays(first)) == 1
    assert "taken_over" in files.rules(world, "AP-1")
    assert world.told("AP-1")[-1] == "payment.settled", "by asking"
    world.submit("AP-2")
    world.run(5)
    assert world.told("AP-2")[-1] == "payment.settled" and len(pays(second)) == 1


class SlowStore:
    """A store whose commits are reported in a later turn, so that the process can be suspended in between."""

    def __init__(self, store: Any, life: Life) -> None:
        self._store = store
        self._life = life

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def listen(self, on_commit: Callable[..., None]) -> None:
        def later(*said: Any) -> None:
            self._life.clock.later(0, on_commit, *said)

        self._store.listen(later)

    def write(self, unit: Callable[[Any], Any], **how: Any) -> Deferred[Any]:
        later: Deferred[Any] = Deferred()
        self._store.write(unit, **how).addBoth(lambda result: self._life.clock.later(0, later.callback, result))
        return later


def test_a_node_that_stood_still_between_commit_and_write_sends_nothing_when_it_wakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, wrap=lambda life, parts: replace(parts, store=SlowStore(parts.store, life)))
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    world.run(1)
    write = world.permits.append_permits

    def freeze_then(some: Any) -> None:
        write(some)
        if some and not first.clock.frozen:
            first.clock.freeze()

    monkeypatch.setattr(world.permits, "append_permits", freeze_then)
    world.submit("AP-1")
    world.run(60)
    assert world.permits.written and lane_of(second).epoch > lane_of(first).epoch
    assert not pays(first) and not pays(second)
    assert "taken_over" in files.rules(world, "AP-1")
    with lines() as heard:
        first.clock.thaw()
        world.run(60)
    assert not pays(first) and not pays(second) and not world.bank.ledger.executions
    assert first.sample("bankgw_permits_refused_total", bank="sample") == 1
    assert lane_of(first).standing_by and first.sample("bankgw_alarms_total", alarm="stale_epoch") == 1
    assert events(heard, "payment.not_ours"), "and what it writes down about it changes nothing"
    assert world.last("AP-1")["state"] == "in_doubt" and lane_of(second).ready


def test_a_lane_that_begins_its_own_payment_twice_warns_of_no_other_owner(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    lane, fresh = lane_of(life), list[PaymentRow]()
    keep = lane.ready_payments.keep

    def noted(row: PaymentRow) -> None:
        fresh.append(row)
        keep(row)

    lane.ready_payments.keep = noted
    with lines() as heard:
        world.submit("AP-1")
        world.run(5)
        [row] = fresh
        # A scan that began before the send was written down hands the same work out again.
        keep(row)
        lane.on_commit(HandOver((), (WorkRow(row.payment, Work.SEND, row.lane, 0, lane.epoch),)))
        world.run(5)
    assert len(pays(life)) == 1 and world.last("AP-1")["state"] == "settled"
    assert events(heard, "payment.done_already") and not events(heard, "payment.not_ours")


def test_a_node_that_stood_still_before_its_commit_is_fenced_by_the_epoch(tmp_path: Path) -> None:
    world = World(tmp_path, wrap=lambda life, parts: replace(parts, store=SlowStore(parts.store, life)))
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    world.submit("AP-1", not_before=world.moment(1))
    world.run(0.9)
    first.clock.freeze()
    world.run(60)
    assert world.told("AP-1")[-1] == "payment.settled" and len(pays(second)) == 1
    first.clock.thaw()
    world.run(60)
    assert not pays(first) and len(world.bank.ledger.executions) == 1
    assert lane_of(first).standing_by and lane_of(first).halted is None


def test_a_lease_given_up_is_seen_in_the_journal(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.start()
    world.run(1)
    row = files.read_world(world, lambda conn: lane_leases.lease_of(conn, "sample.main"))
    assert row is not None and (row.owner, row.epoch) == ("gw1", lane_of(first).epoch)
    world.crash()
    second = world.start()
    world.run(1)
    assert lane_of(second).epoch == lane_of(first).epoch + 1, "its own former life is no reason to wait"


def test_orders_that_come_while_the_bank_is_busy_cost_no_pace(tmp_path: Path) -> None:
    plan = FaultScript([ScriptedFault(BankFault.DELAY, seconds=20)])
    world = World(tmp_path, bank_options={"sessions": 1, "per_second": 2.0}, plan=plan)
    world.start()
    world.run(2)
    world.submit("SLOW")
    for n in range(110):
        world.submit(f"AP-{n}", not_before=world.moment(0.05))
        world.run(0.19)
        if world.told("SLOW")[-1] == "payment.settled":
            break
    world.run(0.1)
    settled = [n for n in range(110) if world.told(f"AP-{n}")[-1:] == ["payment.settled"]]
    assert len(settled) >= 2, "the bucket was full when the session came free"


# ---- what is due much later ----


@pytest.mark.usefixtures("long_lease")
def test_what_is_due_much_later_waits_in_the_journal_and_comes_in_time(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options=QUIET)
    life = world.start()
    for n in range(3):
        world.submit(f"AP-{n}")
    world.run(60)
    assert {world.told(f"AP-{n}")[-1] for n in range(3)} == {"payment.settled"}
    assert len(lane_of(life).work_queue) == 0, "the watch over returns lasts a week; nothing of it is held in memory"
    world.run(2 * DAY_S)
    assert "overdue_moot" not in world.rules(), "a deadline that was met is not looked at again"
    assert world.exchanges(life, "fate") > 0, "the watch over returns came up"


def test_a_row_that_moves_far_away_takes_the_near_one_with_it(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options=QUIET)
    lane = lane_of(world.start())
    world.run(2)
    near = WorkRow("P", Work.ENQUIRE, "sample.main", lane.parts.clock.now_ms() + 5_000, 1)
    lane.on_commit(HandOver((), (near,)))
    assert len(lane.work_queue) == 1
    lane.on_commit(HandOver((), (replace(near, due_ms=near.due_ms + 3_600_000),)))
    assert len(lane.work_queue) == 0


def test_a_flood_of_doubts_leaves_half_the_pace_to_sends(tmp_path: Path) -> None:
    plan = FaultPlan("1", {BankFault.DROP_AFTER: 1.0})
    world = World(
        tmp_path,
        plan=plan,
        settings=NO_REPEATS,
        bank_options={"per_second": 10.0, "sessions": 8, "first_enquiry_s": 0.0},
    )
    life = world.start()
    for n in range(200):
        world.submit(f"AP-{n}")
    world.run(41)
    sent, asked = len(pays(life)), sum(b">Fate<" in data for pipe in life.pipes for data in pipe.written)
    assert asked <= 41 * 10 * 0.5 + 5, "enquiries keep to their share"
    assert sent >= 41 * 10 * 0.5 - 25 or sent == 200, "and sends get theirs"
