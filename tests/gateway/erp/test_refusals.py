"""The daemon waits while the broker refuses something: it reports the refusal, continues, and never ends because of
it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.erp.amqp_types import BrokerDown, BrokerProblem, BrokerRefused, UnsafeTopology
from tests.world.lines import events, lines
from tests.world.scenes_broker import takes_in
from tests.world.world import World

FOREIGN = BrokerProblem("queue bankgw.commands.money: x-queue-type is classic, wanted quorum", "delete it")


def test_an_unsafe_topology_is_named_and_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    unsafe = UnsafeTopology([FOREIGN])
    life.amqp.up = False
    world.broker.unlock(life.amqp)
    life.amqp._on_down(BrokerDown(f"broker: {unsafe}", unsafe))
    assert life.fatal == [], "the daemon does not end"
    assert life.gateway.erp.refusals() == {"topology": str(unsafe)} and "delete it" in str(unsafe)
    life.amqp._connected()
    world.run(3)
    assert life.gateway.erp.refusals() == {}
    world.submit("AP-1")
    world.run(10)
    assert world.told("AP-1")[-1] == "payment.settled"


def test_a_broker_that_is_only_away_is_no_refusal(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    life.amqp.drop(away_s=5.0)
    assert life.gateway.erp.refusals() == {} and life.gateway.erp.trouble == "dropped"


def test_a_missing_right_to_the_mark_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    mark = life.gateway.erp.mark
    place = mark._place
    assert place is not None

    async def refused() -> list[bytes]:
        raise BrokerRefused(403, "ACCESS_REFUSED - read access to queue 'bankgw.journal.mark'")

    with lines() as heard, monkeypatch.context() as without_right:
        without_right.setattr(place, "read_messages", refused)
        world.run(5)
        assert not takes_in(life) and life.fatal == []
        assert "It needs the rights" in mark.why and events(heard, "mark.not_held")
    world.run(5)
    assert takes_in(life)
    world.submit("AP-1")
    world.run(10)
    assert world.told("AP-1")[-1] == "payment.settled"
