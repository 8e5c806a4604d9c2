"""Each guard of a linked payment is needed: without it the model breaks one promise, and with all of them it breaks none."""

from __future__ import annotations

import pytest

from tests.world import linked_model
from tests.world.linked_model import POLICIES, LinkedPolicy


@pytest.mark.parametrize("policy", POLICIES, ids=[one.name for one in POLICIES])
def test_a_way_to_run_linked_payments_breaks_what_it_must(policy: LinkedPolicy) -> None:
    found = linked_model.explore(policy)
    assert found.broken == policy.breaks, found.path
    assert bool(found.path) == bool(policy.breaks) and found.states >= 40
