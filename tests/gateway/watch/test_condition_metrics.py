"""Readiness, lanes, money in doubt and the disk as gauges: with the words of `status`, and 0 again when the condition
is over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.kernel.clock import SystemClock
from gateway.kernel.meters import LANE_STATES, NOT_READY, Meters
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from gateway.watch.condition_metrics import MOST_COMPANIES, Capacity, ConditionMetrics, capacity, lane_labels
from gateway.watch.health import Readiness
from protocols.canon.money import Money
from tests.gateway.watch.test_watch import Watched
from tests.world.clock import HeapClock


class Waiting:
    """An executor that does its work when the test says so."""

    def __init__(self) -> None:
        self.given: list[tuple[Callable[[], Any], Callable[[Any], object]]] = []

    def run(self, work: Callable[[], Any], then: Callable[[Any], object]) -> None:
        self.given.append((work, then))


def alone() -> tuple[ConditionMetrics, Meters, Callable[..., float | None]]:
    meters = Meters(CollectorRegistry())
    clock = SystemClock(HeapClock())
    return (
        ConditionMetrics(meters, {}, clock),
        meters,
        lambda name, **labels: meters.registry.get_sample_value(name, labels),
    )


def test_every_reason_of_readiness_has_its_code() -> None:
    conditions, _meters, value = alone()
    conditions.show(Readiness(("no lane is ready",), {}, ("no_lane",)))
    assert value("bankgw_ready") == 0
    assert [reason for reason in NOT_READY if value("bankgw_not_ready", reason=reason)] == ["no_lane"]
    conditions.show(Readiness((), {}))
    assert value("bankgw_ready") == 1
    assert [reason for reason in NOT_READY if value("bankgw_not_ready", reason=reason)] == []


@pytest.mark.parametrize(
    ("word", "labels"),
    [
        ("ready", {("ready", "")}),
        ("ready:clock_set", {("ready", "clock_set")}),
        ("down:refused", {("down", "refused")}),
        ("paused:operator,stopped", {("paused", "operator"), ("paused", "stopped")}),
        ("standing_by", {("standing_by", "")}),
        ("halted:defect:KeyError", {("halted", "defect")}),
    ],
)
def test_a_lanes_word_becomes_labels(word: str, labels: set[tuple[str, str]]) -> None:
    assert lane_labels(word) == labels
    assert {state for state, _reason in labels} <= set(LANE_STATES)


def test_open_payments_are_told_by_company_and_bank_and_the_series_are_bounded() -> None:
    conditions, _meters, value = alone()
    conditions.by_company({("jia", "boc", "held"): 2, ("jia", "icbc", "in_doubt"): 1})
    assert value("bankgw_company_payments", company="jia", bank="boc", state="held") == 2
    conditions.by_company({("jia", "icbc", "in_doubt"): 3})
    assert value("bankgw_company_payments", company="jia", bank="boc", state="held") == 0
    assert value("bankgw_company_payments", company="jia", bank="icbc", state="in_doubt") == 3
    conditions.by_company({(f"c{n:04}", "boc", "held"): 1 for n in range(2 * MOST_COMPANIES)})
    conditions.by_company({(f"d{n:04}", "boc", "held"): 1 for n in range(10)})
    names = {
        sample.labels["company"]
        for family in _meters.registry.collect()
        for sample in family.samples
        if sample.name == "bankgw_company_payments"
    }
    assert len(names) == MOST_COMPANIES + 1 and "other" in names
    assert value("bankgw_company_payments", company="other", bank="boc", state="held") == 10


def test_money_in_doubt_is_told_by_bank_and_currency_and_ends() -> None:
    conditions, _meters, value = alone()
    conditions.money({("sample", "CNY"): (2, Money(1_234_567)), ("sample", "JPY"): (1, Money(500, "JPY"))})
    assert value("bankgw_money_in_doubt_amount", bank="sample", currency="CNY") == 12_345.67
    assert value("bankgw_money_in_doubt_amount", bank="sample", currency="JPY") == 500
    assert value("bankgw_money_in_doubt_payments", bank="sample", currency="CNY") == 2
    conditions.money({})
    assert value("bankgw_money_in_doubt_amount", bank="sample", currency="CNY") == 0
    assert value("bankgw_money_in_doubt_payments", bank="sample", currency="JPY") == 0


def test_the_disk_and_the_permit_log_are_measured(tmp_path: Path) -> None:
    (tmp_path / "permits").mkdir()
    (tmp_path / "permits" / "0001.log").write_bytes(b"x" * 77)
    seen = capacity(tmp_path)
    assert seen.permit_log == 77 and 0 < seen.free < seen.size


def test_a_disk_that_hangs_takes_one_thread_and_one_that_is_gone_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conditions, _meters, value = alone()
    executor: Any = Waiting()
    conditions.measure_disk(executor, tmp_path)
    conditions.measure_disk(executor, tmp_path)
    assert len(executor.given) == 1
    executor.given[0][1](Capacity(10, 100, 7))
    assert [value(f"bankgw_{name}_bytes") for name in ("disk_free", "disk_size", "permit_log")] == [10, 100, 7]
    conditions.measure_disk(executor, tmp_path)
    assert len(executor.given) == 2


def test_a_lane_is_shown_as_status_says_it(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    lane: Any = watched.life.gateway.lanes["sample.main"]

    def state(name: str, reason: str) -> float | None:
        return watched.value("bankgw_lane_state", bank="sample", lane="sample.main", state=name, reason=reason)

    watched.watch.start("127.0.0.1", 0)
    watched.run(5)
    assert state("ready", "") == 1 and watched.value("bankgw_ready") == 1
    answered = watched.value("bankgw_lane_last_exchange_timestamp_seconds", bank="sample", lane="sample.main")
    assert answered is not None and 0 <= watched.world.clock.seconds() - answered <= 10
    lane.gate.pause("operator")
    watched.run(2)
    assert (state("ready", ""), state("paused", "operator")) == (0, 1)
    assert watched.value("bankgw_not_ready", reason="no_lane") == 1
    lane.gate.resume("operator")
    watched.run(2)
    assert (state("ready", ""), state("paused", "operator")) == (1, 0)
    assert watched.value("bankgw_ready") == 1
    watched.manager.socket.close()
    watched.world.crash()


def test_a_payment_in_doubt_is_money_in_doubt(tmp_path: Path) -> None:
    watched = Watched(
        tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]), bank_options={"first_enquiry_s": 600.0}
    )
    watched.watch.start("127.0.0.1", 0)
    watched.run(1)
    watched.world.submit("AP-1", 123_456)
    watched.run(8)
    assert watched.world.last("AP-1")["state"] == "in_doubt"
    assert watched.value("bankgw_money_in_doubt_amount", bank="sample", currency="CNY") == 1_234.56
    assert watched.value("bankgw_money_in_doubt_payments", bank="sample", currency="CNY") == 1
    watched.manager.socket.close()
    watched.world.crash()
