"""The simulation's stories with approvals: drawn separately from all others, and compared with what approvers
signed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.approvals.rows import approval_checks
from tests.world import approving, sim
from tests.world.approving import Approving
from tests.world.corpus import SEEDS

SEED = 16


def test_one_story_in_twenty_at_least_has_approvals_and_none_of_the_corpus() -> None:
    share = sum(map(approving.drawn, range(1, 2_001))) / 2_000
    assert 0.05 <= share <= 0.12
    assert approving.drawn(SEED) and not any(map(approving.drawn, SEEDS))


def test_a_story_with_approvals_keeps_its_promises(tmp_path: Path) -> None:
    story = sim.tell(SEED, tmp_path, orders=40)
    assert story.violations == []
    assert story.actions[approving.APPROVALS] and story.payments


def test_the_referee_sees_what_leaves_without_approvals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this test the gateway does not judge at the send, and its persons only release."""
    monkeypatch.setattr(approval_checks, "at_send", lambda _tx, rows, _context_of: [None] * len(rows))
    monkeypatch.setattr(Approving, "all_approve", lambda _self: None)
    story = sim.tell(SEED, tmp_path, orders=30)
    assert any("left with 0 approvals" in one for one in story.violations)
