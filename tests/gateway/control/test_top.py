"""The answer of `GET /top`: the work at a glance, on a whole gateway whose clock is moved by hand."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from gateway.kernel.meters import Meters
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from gateway.watch.activity_totals import activity_totals
from tests.gateway.cli.control_operator import Operator
from tests.world.world import World

HOLD = {"bands": [{"upto": "1000", "action": "release"}, {"above": "1000", "action": "hold"}]}


def test_top_tells_what_is_open_and_since_when(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        sender=HOLD,
        plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]),
        bank_options={"first_enquiry_s": 600.0},
    )
    world.start()
    operator = Operator(world)
    world.run(1)
    nothing = operator.ask("GET", "top")
    assert (nothing["oldest"], nothing["doubts"]) == (None, [])
    assert nothing["messages"] == {"waiting": 0, "parked": 0, "oldest_age_s": None}
    world.submit("AP-1", 200_000)
    world.run(2)
    world.submit("AP-2")
    world.run(5)
    assert (world.last("AP-1")["state"], world.last("AP-2")["state"]) == ("held", "in_doubt")
    world.run(60)
    said = operator.ask("GET", "top")
    oldest = said["oldest"]
    assert (oldest["order"], oldest["state"], oldest["lane"]) == ("kingdee:AP-1", "held", "sample.main")
    assert 60 <= oldest["age_s"] <= 75
    [doubt] = said["doubts"]
    assert (doubt["bank"], doubt["count"]) == ("sample", 1) and 60 <= doubt["oldest_age_s"] <= 70
    assert (said["orders"]["held"], said["orders"]["in_doubt"]) == (1, 1)
    assert [lane["lane"] for lane in said["lanes"]] == ["sample.main"]
    assert said["clock_s"] > nothing["clock_s"] and said["started_at"] == nothing["started_at"]
    world.crash()


def test_top_answers_from_memory_while_the_journal_is_away(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    operator = Operator(world)
    world.run(1)
    operator.lost_ms = operator.gateway.parts.clock.now_ms()
    said = operator.ask("GET", "top")
    assert (said["orders"], said["oldest"], said["doubts"], said["messages"]) == (None, None, None, None)
    assert not said["journal"]["reachable"] and said["lanes"]
    world.crash()


def test_totals_are_those_of_the_metrics() -> None:
    meters = Meters(CollectorRegistry())
    assert set(activity_totals(meters).values()) == {0}
    for bank, state in (("a", "sending"), ("b", "sending"), ("a", "settled"), ("a", "rejected"), ("b", "failed")):
        meters.payments.labels(bank, state).inc()
    meters.payments.labels("a", "in_doubt").inc(3)
    meters.payments.labels("a", "held").inc(9)
    meters.commands.labels("payment.submit", "accepted").inc(4)
    meters.refusals.labels("schema").inc()
    meters.published.labels("confirmed").inc(7)
    meters.published.labels("nacked").inc(2)
    assert activity_totals(meters) == {
        "commands": 4,
        "refused": 1,
        "sent": 2,
        "settled": 1,
        "failed": 2,
        "doubted": 3,
        "published": 7,
    }
