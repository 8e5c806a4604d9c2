"""A daemon that is told to stop does so in time, even if another session holds locks in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred

from gateway.kernel.cluster import lane_leases
from gateway.kernel.commit.store import Tx
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from protocols.canon.outcome import State
from tests.gateway.kernel.test_locks import Locked
from tests.world import files
from tests.world.world import World


def locked(*_: Any, **__: Any) -> Any:
    raise OperationalError("SELECT", None, Locked())


@pytest.mark.parametrize("what", ["release", "answer"])
def test_leaving_waits_for_no_row_that_a_stranger_has_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DELAY, seconds=5)]))
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
    assert set(said) == {"the lane's lease runs out by itself; the lane's next owner waits for that"}
    life.crash()
    world.start()
    world.run(60)
    assert files.payment(world, "AP-1").life.state is State.SETTLED and len(world.bank.ledger.executions) == 1
