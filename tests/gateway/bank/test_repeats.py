"""Repeats: which stored bytes are sent again, when this is allowed, and what the answer to a repeat proves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.bank import conversation as bank_conversation
from gateway.bank.lease import LEASE_MS
from gateway.kernel.commit import attempts
from gateway.kernel.core.states import Answered, Source, Work
from gateway.parts import Parts
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from gateway.simbank.ledger import BookingRules
from gateway.watch.health import lane_word, readiness
from protocols.bank import Bank, Replay, ReplayRule
from protocols.canon.outcome import Fate, Outcome, State
from tests.world import between, files
from tests.world.lines import events, lines
from tests.world.world import Life, World

QUARANTINE_S = 120.0
"""Sample Bank's."""


def written(life: Life) -> list[bytes]:
    """The payment messages that were sent, as whole frames in order."""
    return [data for pipe in life.pipes for data in pipe.written if b">Pay<" in data]


def lane_of(life: Life) -> Any:
    return next(iter(life.gateway.lanes.values()))


def bank_with(change: Callable[[Bank], Bank]) -> Callable[[Life, Parts], Parts]:
    def wrap(_life: Life, parts: Parts) -> Parts:
        return replace(parts, banks={name: change(bank) for name, bank in parts.banks.items()})

    return wrap


def under(rule: ReplayRule) -> Callable[[Life, Parts], Parts]:
    return bank_with(
        lambda bank: replace(bank, profile=replace(bank.profile, replay=dict.fromkeys(bank.profile.replay, rule)))
    )


def lost(*more: ScriptedFault) -> FaultScript:
    """A fault script by which the first copy never reaches the bank's books."""
    return FaultScript([ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY), *more])


def test_what_the_bank_never_got_leaves_again_to_the_byte(tmp_path: Path) -> None:
    world = World(tmp_path, plan=lost())
    life = world.start()
    world.submit("AP-1")
    world.run(QUARANTINE_S - 10)
    assert len(written(life)) == 1, "not before the quarantine"
    world.run(300)
    first, second = files.sends(world, "AP-1")
    assert written(life) == [first.wire, first.wire]
    assert replace(second, attempt=1, first_write_ms=first.first_write_ms) == first
    assert first.first_write_ms is not None and second.first_write_ms is not None
    assert second.first_write_ms - first.first_write_ms >= QUARANTINE_S * 1000, "each attempt has its own moment"
    assert second.attempt == 2 and [p.attempt for p in world.permits.written] == [1, 2]
    assert len(world.bank.ledger.executions) == 1
    assert world.told("AP-1") == ["payment.accepted", "payment.in_doubt", "payment.settled"]
    assert {row.work for row in files.due(world, "AP-1")} == {Work.RETURNS}


def test_a_repeat_of_what_the_bank_has_is_known_and_asked_about(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.HIDE, seconds=2_000)]))
    life = world.start()
    world.submit("AP-1")
    world.run(4_000)
    assert len(written(life)) == 2 and len(world.bank.ledger.executions) == 1
    rules = files.rules(world, "AP-1")
    assert rules.index("replay") < rules.index("replay_known") < rules.index("asked_settled")
    assert rules.count("replay") == 1, "what the bank once knew is not sent again because it cannot be found"
    assert world.told("AP-1")[-1] == "payment.settled"


def test_the_window_is_looked_at_as_the_bytes_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The permit log is slow, and the window for repeats closes while it writes."""
    rule = ReplayRule(Replay.REPLAY_SAFE, timedelta(seconds=30), window=timedelta(seconds=65))
    world = World(tmp_path, plan=lost(), wrap=under(rule))
    life = world.start()
    write = world.permits.append_permits

    def slow(some: Any) -> None:
        write(some)
        if any(permit.attempt == 2 for permit in some):
            world.clock._now_s += 8.0

    monkeypatch.setattr(world.permits, "append_permits", slow)
    world.submit("AP-1")
    world.run(20)
    assert "replay" not in files.rules(world, "AP-1")
    world.run(60)
    assert "replay" in files.rules(world, "AP-1") and "replay_not_sent" in files.rules(world, "AP-1")
    assert len(written(life)) == 1 and life.sample("bankgw_permits_refused_total", bank="sample") == 1
    assert "window_closed" in [entry.detail.get("reason") for entry in files.trail(world, "AP-1")]
    world.run(3_600)
    assert files.rules(world, "AP-1").count("replay") == 1 and len(written(life)) == 1, "it is closed for good"


def test_nothing_leaves_again_after_the_orders_own_end(tmp_path: Path) -> None:
    world = World(tmp_path, plan=lost())
    life = world.start()
    world.submit("AP-1", valid_until=world.moment(QUARANTINE_S - 20))
    world.run(3_600)
    assert len(written(life)) == 1 and "replay" not in files.rules(world, "AP-1")
    assert world.last("AP-1")["state"] == "in_doubt", "not found is still no failure"


def test_a_bank_that_forgets_with_its_day_gets_no_repeat_after_midnight(tmp_path: Path) -> None:
    rule = ReplayRule(Replay.REPLAY_SAFE, timedelta(seconds=30), same_day=True)
    world = World(tmp_path, plan=lost(), wrap=under(rule))
    life = world.start()
    to_midnight_s = (16 * 3_600 - world.clock.seconds() % 86_400) % 86_400
    world.run(to_midnight_s - 50)
    world.submit("AP-1")
    world.run(3_600)
    assert len(written(life)) == 1 and "replay" not in files.rules(world, "AP-1")


_WIDE = ReplayRule(Replay.REPLAY_SAFE, timedelta(seconds=QUARANTINE_S))


@pytest.mark.parametrize(
    ("now", "executed"),
    [
        (_WIDE, 2),
        (replace(_WIDE, policy=Replay.NEVER), 1),
        (replace(_WIDE, most=0), 1),
        (replace(_WIDE, window=timedelta(seconds=QUARANTINE_S)), 1),
        (replace(_WIDE, not_found_quarantine=timedelta(days=2)), 1),
        (replace(_WIDE, policy=Replay.QUERY_FIRST, not_found_count=1_000), 1),
    ],
    ids=["unchanged", "never", "most_repeats_0", "shorter_window", "longer_quarantine", "query_first"],
)
def test_settings_made_stricter_reach_a_payment_in_doubt(now: ReplayRule, executed: int, tmp_path: Path) -> None:
    """The bank books the first copy, does not find it, and would book a second one."""
    rules = [_WIDE, now]
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.HIDE, seconds=86_400.0)]),
        conduct=BookingRules(dedup=False),
        wrap=lambda life, parts: under(rules.pop(0))(life, parts),
    )
    world.start()
    world.submit("AP-1")
    world.run(10)
    world.crash()
    world.start()
    world.run(4_000)
    assert not rules and len(world.bank.ledger.executions) == executed
    assert world.state("AP-1") == ("settled" if executed == 2 else "in_doubt")


def test_settings_made_wider_do_not_reach_a_payment_accepted_before(tmp_path: Path) -> None:
    rules = [replace(_WIDE, policy=Replay.NEVER), _WIDE]
    world = World(tmp_path, plan=lost(), wrap=lambda life, parts: under(rules.pop(0))(life, parts))
    world.start()
    world.submit("AP-1")
    world.run(10)
    world.crash()
    life = world.start()
    world.run(4_000)
    assert written(life) == [] and world.state("AP-1") == "in_doubt"
    world.submit("AP-2", 20_000)
    world.run(10)
    assert world.state("AP-2") == "settled", "an order accepted now is sent as ever"


def _alone(world: World) -> None:
    world.start()
    world.run(3)
    world.submit("AP-1")
    world.run(10)
    world.crash()
    world.start()


def _set_right_and_restarted(world: World) -> None:
    life = world.start(off_ms=-3_600_000)
    world.run(3)
    world.submit("AP-1")
    world.run(2)
    life.clock.off_ms = 0
    world.run(30)
    world.crash()
    world.start()


def _taken_over_by_a_node_whose_clock_is_right(world: World) -> None:
    world.start("gw1", off_ms=-600_000)
    world.run(3)
    world.submit("AP-1")
    world.run(10)
    world.crash()
    world.start("gw2")


@pytest.mark.parametrize("lives", [_alone, _set_right_and_restarted, _taken_over_by_a_node_whose_clock_is_right])
@pytest.mark.parametrize("rule", [Replay.QUERY_FIRST, Replay.REPLAY_SAFE])
def test_a_quarantine_is_waited_out_by_a_clock_that_nobody_can_set(
    lives: Callable[[World], None], rule: Replay, tmp_path: Path
) -> None:
    """The bank finds a payment 60 s after it arrived, and would book a second copy: nothing may be sent before that."""
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.HIDE, seconds=60.0)]),
        conduct=BookingRules(dedup=False),
        wrap=under(ReplayRule(rule, timedelta(seconds=QUARANTINE_S), 2)),
    )
    lives(world)
    world.run(1_000)
    assert len(world.bank.ledger.executions) == 1
    assert world.told("AP-1")[-1] == "payment.settled"


def test_after_a_restart_what_the_bank_never_got_leaves_again_a_quarantine_later(tmp_path: Path) -> None:
    world = World(tmp_path, plan=lost())
    world.start()
    world.submit("AP-1")
    world.run(QUARANTINE_S - 20)
    world.crash()
    life = world.start()
    world.run(QUARANTINE_S - 5)
    assert not written(life), "not before the quarantine, counted from the restart"
    world.run(300)
    assert len(written(life)) == 1 and len(world.bank.ledger.executions) == 1


def test_what_the_bank_is_heard_to_have_while_a_repeat_is_written_down_does_not_leave_again(tmp_path: Path) -> None:
    """An entry of the account is in the same commit as the repeat, and comes after it."""
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.HIDE, seconds=10_000.0)]))
    life = world.start()
    world.submit("AP-1")
    world.run(5)
    dispatch: Any = lane_of(life).dispatch
    unit_of = dispatch._repeat_unit

    def with_an_entry(*given: Any) -> Any:
        life.clock.later(0, world.befall, "AP-1", Answered(0, Fate.SETTLED, Source.STATEMENT))
        return unit_of(*given)

    dispatch._repeat_unit = with_an_entry
    world.run(QUARANTINE_S + 200)
    assert files.rules(world, "AP-1")[-3:] == ["replay", "sent_settled", "not_sent_moot"]
    assert len(written(life)) == 1 and world.told("AP-1")[-1] == "payment.settled"
    assert "overtaken" in [entry.detail.get("reason") for entry in files.trail(world, "AP-1")]


def test_a_repeat_that_the_permit_log_has_already_halts_the_lane(tmp_path: Path, monkeypatch: Any) -> None:
    """No person has released a lane after a restore, so somebody must have altered the journal: no other payment may be
    sent either."""
    world = World(tmp_path, plan=lost())
    life = world.start()
    world.submit("AP-1")
    world.run(5)
    asked = life.permits.permitted
    monkeypatch.setattr(life.permits, "permitted", lambda ref, attempt: attempt == 2 or asked(ref, attempt))
    world.run(QUARANTINE_S + 200)
    assert len(written(life)) == 1 and world.told("AP-1")[-1] == "payment.escalated"
    assert life.sample("bankgw_alarms_total", alarm="permitted_before") == 1
    assert lane_of(life).halted == "permitted_before"


def test_a_repeat_that_another_repeat_overtook_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The permit log has the other repeat. That is no sign of an altered journal: the lane goes on."""
    world = World(tmp_path, plan=lost())
    life = world.start()
    world.submit("AP-1")
    world.run(5)
    dispatch: Any = lane_of(life).dispatch
    [(payment,)] = world.query("SELECT payment FROM payments WHERE order_id = ?", "AP-1")
    proven = bank_conversation.proven

    async def overtaken(session: Any, port: str, **asked: Any) -> Any:
        """Another repeat is recorded between the look at the payment and this repeat's unit."""
        line = await proven(session, port, **asked)
        store = dispatch._parts.store
        row, last = await store.read(partial(attempts.last_with_payment, payment=payment))
        if not asked and row.life.attempt == 1:
            ends_ms = dispatch._shared.calendar.day_ends_ms(date.fromisoformat(last.bank_date))
            await store.write(dispatch._repeat_unit(row, last, ends_ms, [], []))
        return line

    monkeypatch.setattr(bank_conversation, "proven", overtaken)
    world.run(QUARANTINE_S + 200)
    assert files.rules(world, "AP-1").count("replay") == 1 and len(written(life)) == 1
    assert world.told("AP-1")[-1] == "payment.in_doubt"
    assert life.sample("bankgw_alarms_total", alarm="permitted_before") in (None, 0)
    assert lane_of(life).halted is None


def test_a_no_to_a_repeat_is_doubt_until_the_bank_was_asked(tmp_path: Path) -> None:
    def no(_kind: object, _sent: object, _answer: bytes) -> Outcome:
        return Outcome(Fate.FAILED, "A100", "account not allowed today")

    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.HIDE, seconds=400)]),
        wrap=bank_with(lambda bank: replace(bank, read=no)),
    )
    world.start()
    world.submit("AP-1")
    world.run(1_500)
    assert "repeat_refused" in files.rules(world, "AP-1")
    assert "payment.failed" not in world.told("AP-1") and world.told("AP-1")[-1] == "payment.settled"


def test_enough_repeats_escalate_with_an_alarm(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY)] * 10),
        settings={"banks": {"sample": {"most_repeats": 2}}},
    )
    life = world.start()
    world.submit("AP-1")
    world.run(7_200)
    assert len(written(life)) == 3 and world.told("AP-1")[-1] == "payment.escalated"
    assert life.sample("bankgw_alarms_total", alarm="repeats_used_up") == 1
    assert Work.ENQUIRE in {row.work for row in files.due(world, "AP-1")}


def test_most_repeats_0_turns_them_off(tmp_path: Path) -> None:
    world = World(tmp_path, plan=lost(), settings={"banks": {"sample": {"most_repeats": 0}}})
    life = world.start()
    world.submit("AP-1")
    world.run(7_200)
    assert len(written(life)) == 1 and world.last("AP-1")["state"] == "in_doubt"
    assert life.sample("bankgw_alarms_total", alarm="repeats_used_up") == 0


def test_a_paused_lane_repeats_nothing_and_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    world = World(tmp_path, plan=lost())
    life = world.start()
    world.submit("AP-1")
    world.run(10)
    lane_of(life).pause("operator")
    world.run(1_800)
    assert len(written(life)) == 1
    lane_of(life).resume("operator")
    world.run(5)
    assert len(written(life)) == 2 and world.told("AP-1")[-1] == "payment.settled"


def test_a_clock_that_was_set_stops_repeats(tmp_path: Path) -> None:
    world = World(tmp_path, plan=lost())
    life = world.start()
    world.submit("AP-1")
    world.run(10)
    now_ms = life.clock.now_ms
    life.clock.now_ms = lambda: now_ms() + 3_600_000  # type: ignore[method-assign]
    world.run(900)
    assert len(written(life)) == 1, "an hour that never passed is no quarantine"
    assert life.sample("bankgw_alarms_total", alarm="clock_set") >= 1
    assert lane_word(lane_of(life)) == "ready:clock_set"


@pytest.mark.parametrize("off_ms", [-72_000_000, 3_600_000])
def test_a_clock_that_differs_from_the_banks_stops_repeats(tmp_path: Path, off_ms: int) -> None:
    """The clock was wrong before the start, so the gateway never saw a change of it; but its dates differ from the
    bank's."""
    world = World(tmp_path, plan=lost(), options={"sample": {"heartbeat_s": 60.0}})
    life = world.start(off_ms=off_ms)
    world.submit("AP-1")
    world.run(900)
    assert len(written(life)) == 1
    assert life.sample("bankgw_alarms_total", alarm="clock_differs") >= 1
    assert readiness(lambda: True, life.gateway.parts.amqp, life.gateway.lanes, stopping=False).as_json() == {
        "status": "ready",
        "reasons": [],
        "troubles": [],
        "lanes": {"sample.main": "ready:clock_differs"},
    }
    world.leave()
    life = world.start()
    world.run(3_600 + 1_200)
    if off_ms > 0:
        # A clock that was ahead dated the send: its age is unknown, so that the bytes never leave again.
        assert not written(life) and "dated_ahead" in files.rules(world, "AP-1") and not world.bank.ledger.executions
        return
    assert len(written(life)) == 1 and world.told("AP-1")[-1] == "payment.settled", "written again, by the right clock"
    assert len(world.bank.ledger.executions) == 1


def test_a_clock_that_comes_near_the_banks_is_trusted_again(tmp_path: Path) -> None:
    world = World(tmp_path, plan=lost(), options={"sample": {"heartbeat_s": 60.0}})
    life = world.start(off_ms=90_000)
    world.submit("AP-1")
    with lines() as heard:
        world.run(900)
        assert events(heard, "lane.clock_differs") and not events(heard, "lane.clock_agrees")
        assert lane_word(lane_of(life)) == "ready:clock_differs" and len(written(life)) == 1
        # As a time service does it: each step is too small to count as set.
        life.clock.off_ms = 45_000
        world.run(900)
    assert len(events(heard, "lane.clock_agrees")) == 1
    assert lane_word(lane_of(life)) == "ready"
    assert len(written(life)) == 2 and world.told("AP-1")[-1] == "payment.settled"


def test_no_connection_costs_no_repeat(tmp_path: Path) -> None:
    world = World(tmp_path, plan=lost())
    life = world.start()
    world.submit("AP-1")
    world.run(100)
    world.bank.reachable = False
    for pipe in life.pipes:
        pipe.abortConnection()
    world.run(1_800)
    assert len(files.sends(world, "AP-1")) == 1
    world.bank.reachable = True
    world.run(1_200)
    assert len(files.sends(world, "AP-1")) == 2 and world.told("AP-1")[-1] == "payment.settled"


def test_a_repeat_goes_on_after_a_crash_and_says_whose_it_is(tmp_path: Path) -> None:
    world = World(tmp_path, plan=lost())
    first = world.start()
    world.submit("AP-1")
    world.run(10)
    epoch = lane_of(first).epoch
    world.crash()
    second = world.start("gw2")
    world.run(5)
    assert second.gateway.safe_mode.reason, "a node without a permit log does not know what the other sent"
    between.let_go(world)
    world.run(300)
    assert written(first) == written(second) and len(world.bank.ledger.executions) == 1
    sends = files.sends(world, "AP-1")
    assert [(send.node, send.epoch) for send in sends] == [("gw1", epoch), ("gw2", lane_of(second).epoch)]
    assert lane_of(second).epoch > epoch


@pytest.mark.parametrize("where", ["renewed", "same_lease"])
def test_a_commit_older_than_a_lease_is_no_permit(where: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    lane, now_s = lane_of(life), life.clock.monotonic_s()
    assert lane.gate.permits(lane.epoch, now_s) and not lane.gate.permits(lane.epoch + 1, now_s)
    world.run(LEASE_MS / 1000 - 1 if where == "same_lease" else LEASE_MS / 1000)
    assert lane.permitted(), "the lease is renewed all the while"
    assert lane.gate.permits(lane.epoch, now_s) == (where == "same_lease")


def test_a_payment_that_is_being_repeated_is_not_cancelled(tmp_path: Path) -> None:
    world = World(tmp_path, plan=lost(ScriptedFault(BankFault.DELAY, touch=ExchangeKind.MONEY, seconds=1_000)))
    world.start()
    world.submit("AP-1")
    world.run(150)
    assert files.payment(world, "AP-1").life.state is State.SENDING
    world.command("payment.cancel", {"id": "AP-1"})
    world.run(1_500)
    assert "payment.cancelled" not in world.told("AP-1") and world.told("AP-1")[-1] == "payment.settled"
