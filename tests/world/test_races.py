"""Changes between a check and the act that relies on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world import sim
from tests.world.history import violations
from tests.world.world import World


@pytest.mark.parametrize("bank", ["sample", "pab"])
def test_a_cancel_while_the_sending_is_prepared_stops_the_payment_not_the_lane(bank: str, tmp_path: Path) -> None:
    """A front end with short connections is dialled before the sending commit; a cancel may be committed meanwhile."""
    sim.quiet()
    told = set()
    for quarter in range(24):
        folder = tmp_path / str(quarter)
        folder.mkdir()
        world = World(folder, banks=(bank,))
        life = world.start()
        world.run(5)
        world.submit("AP-1")
        world.run(quarter * 0.00025)
        world.command("payment.cancel", {"id": "AP-1"})
        world.run(30)
        assert life.gateway.lanes[f"{bank}.main"].halted is None
        assert violations(world) == []
        told.add(world.last("AP-1")["state"])
    assert told == {"cancelled", "settled"}, "the race was run from both ends"
