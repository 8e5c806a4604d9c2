"""Each change of a commit is counted and logged once, after the commit, whatever caused it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from gateway.bank.recorder import Recorder
from gateway.kernel.commit.hand_over import Applied, HandOver
from gateway.kernel.commit.rows import PaymentRow, Reply
from gateway.kernel.core.flow import Step
from gateway.kernel.core.states import Alarm, Life
from gateway.kernel.meters import Meters
from protocols.canon.outcome import State
from tests.protocols.erp.orders import ORDER
from tests.world.world import World


def row(state: State, lane: str = "b.main") -> PaymentRow:
    return PaymentRow("P", "c", "s", "b", lane, ORDER, "v1:0", Life(state), 1, 1, "R1", Reply(None, None), 0, 0)


def recorder() -> tuple[Recorder, Meters]:
    meters = Meters(CollectorRegistry())
    around: tuple[Any, Any] = (SimpleNamespace(name="b.main", bank_name="b", meters=meters), SimpleNamespace(epoch=1))
    return Recorder(*around), meters


def entered(meters: Meters, state: State) -> float:
    return float(meters.payments.labels("b", state.value)._value.get())


@pytest.mark.parametrize(("after", "counted"), [(State.SETTLED, 1), (State.SENDING, 0)])
def test_a_payment_is_counted_in_a_state_when_it_enters_it(after: State, counted: int) -> None:
    alone, meters = recorder()
    step = Step(Life(after), (), "rule")
    with capture_logs() as heard:
        alone.on_applied(Applied(row(State.SENDING), row(after), step, conflict=False))
    assert entered(meters, after) == counted
    assert [line["event"] for line in heard] == [f"payment.{after.value}"] * counted


def test_alarms_of_a_change_are_raised() -> None:
    alone, meters = recorder()
    step = Step(Life(State.SETTLED), (Alarm("contradiction"),), "rule")
    alone.on_applied(Applied(row(State.SETTLED), row(State.SETTLED), step, conflict=False))
    assert meters.alarms.labels("contradiction")._value.get() == 1


@pytest.mark.parametrize(("overtaken", "event"), [(True, "payment.not_ours"), (False, "payment.done_already")])
def test_a_conflict_counts_nothing_and_says_whose_it_was(overtaken: bool, event: str) -> None:
    alone, meters = recorder()
    with capture_logs() as heard:
        alone.on_applied(Applied(row(State.SENDING), None, None, conflict=True, overtaken=overtaken))
    assert [line["event"] for line in heard] == [event]
    assert not any(entered(meters, state) for state in State)


def test_a_hand_over_is_parted_by_lane() -> None:
    changes = tuple(Applied(row(State.SENDING, lane), None, None, conflict=True) for lane in ("a", "b", "a"))
    parts = HandOver((), (), (row(State.READY, "c"),), changes).by_lane()
    assert set(parts) == {"a", "b", "c"} and [len(parts[lane].changes) for lane in ("a", "b", "c")] == [2, 1, 0]
    assert len(parts["c"].admitted) == 1 and not any(parts[lane].admitted for lane in ("a", "b"))


def test_an_order_that_the_erp_cancels_is_counted_too(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bank.reachable = False
    life = world.start()
    world.submit("AP-1")
    world.run(1)
    world.command("payment.cancel", {"id": "AP-1"})
    world.run(1)
    assert world.state("AP-1") == "cancelled"
    assert life.sample("bankgw_payments_total", bank="sample", state="cancelled") == 1
