"""A daemon that is told to end does so in its time, whatever a stranger has locked in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred

from gateway.journal.cluster import lane_leases
from gateway.journal.commit.store import Tx
from gateway.simbank.faults import BankFault, Script, Scripted
from protocols.canon.outcome import State
from tests.gateway.journal.test_locks import Locked
from tests.world import files
from tests.world.world import World


def locked(*_: Any, **__: Any) -> Any:
    raise OperationalError("SELECT", None, Locked())


@pytest.mark.parametrize("what", ["release", "answer"])
def test_leaving_waits_for_no_row_that_a_stranger_has_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    world = World(tmp_path, plan=Script([Scripted(BankFault.DELAY, seconds=5)]))
    life = world.start()
    world.run(1)
    world.submit("AP-1")
    world.run(0.5)
    with monkeypatch.context() as standing, capture_logs() as heard:
        standing.setattr(*((lane_leases, "release", locked) if what == "release" else (Tx, "epoch_of", locked)))
        started_s, done = world.clock.seconds(), list[float]()
        Deferred.fromCoroutine(life.gateway.stop()).addBoth(lambda _: done.append(world.clock.seconds()))
        world.run(60)
        assert done and done[0] - started_s <= world.settings.drain_s
    said = [line["action"] for line in heard if line["event"] == "lane.not_released"]
    assert set(said) == {"its lease runs out by itself"}
    life.crash()
    world.start()
    world.run(60)
    assert files.payment(world, "AP-1").life.state is State.SETTLED and len(world.bank.ledger.executions) == 1
