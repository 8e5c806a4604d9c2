"""Random stories about approvals, with a referee that shares no rule with the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world.approvals import told


@pytest.mark.parametrize("seed", range(1, 7))
def test_nothing_leaves_without_the_approvals_that_it_needs(tmp_path: Path, seed: int) -> None:
    found, referee = told(seed, tmp_path)
    assert found == []
    assert referee.sent and referee.refused
