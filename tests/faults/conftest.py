"""Runs one campaign at a time, also where tests run side by side, because two would starve each other's daemons."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator

import pytest

from tests.world.services import ROOT


@pytest.fixture(autouse=True)
def the_only_campaign(request: pytest.FixtureRequest) -> Iterator[None]:
    """Wait until no other process runs a campaign."""
    if request.node.get_closest_marker("broker") is None:
        yield
        return
    with (ROOT / ".run" / "campaign.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
