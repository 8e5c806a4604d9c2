"""Every state that the daemon's own state table can reach, with two nodes, a bank and a network: see
tests/world/model.py."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.kernel.core.flow import TABLE
from gateway.kernel.core.states import Policy as Replaying
from gateway.kernel.core.states import Rules
from tests.world.explore import Explored, explore
from tests.world.policies import BAD, GOOD
from tests.world.policy import DOUBLE, Policy

NAMED = {"P1", "P2", "P2c", "P3", "P4", "P4b", "P5", "P6", "P8", "P9", "P9w without margin"}
SAFE = {"P2b", "P4a", "P4c", "P7", "P9w", "P10"}

# Rows that no node, bank, ERP or person of the model brings about; tests/gateway/kernel/core/test_flow.py has them one by one.
BEYOND = {
    "hold",
    "hold_again",
    "reject",
    "expire",
    "expire_moot",
    "resend_expired",  # judging and the hours are no part of the model
    "reversed",
    "settled_again",
    "failed_again",
    "back_again",
    "failed_old_news",
    "settled_old_news",  # repeats
    "settled_contradicted",
    "failed_contradicted",
    "back_contradicted",
    "ended_known",
    "ended_unknown",  # a lying bank
    "unsent_known",
    "unsent_unknown",
    "pending_unclear",
    "doubt_unclear",
    "pending_not_found",
    "replay_moot",
    "watched_in_vain",
    "asked_in_vain_moot",
    "overdue_moot",
    "resolve_denied",
    "dated_ahead",
    "dated_ahead_in_vain",  # the model's clock is right; the simulation sets clocks ahead
}

# Events the table has no row for yet: the lane stops when one happens. Safe, but it stops.
KNOWN_HALTS: set[str] = set()

_FOUND: dict[str, Explored] = {}


def _explored(policy: Policy) -> Explored:
    if policy.name not in _FOUND:
        _FOUND[policy.name] = explore(policy)
    return _FOUND[policy.name]


@pytest.mark.parametrize("policy", BAD, ids=lambda policy: policy.name)
def test_a_known_mistake_is_caught(policy: Policy) -> None:
    found = _explored(policy)
    assert found.broken == policy.breaks, str(found)
    assert found.path, "a broken promise comes with the way there"


@pytest.mark.parametrize("policy", GOOD, ids=lambda policy: policy.name)
def test_what_is_safe_is_safe_in_every_state(policy: Policy) -> None:
    found = _explored(policy)
    print(found)
    assert found.broken is None, str(found)
    assert set(found.halts) <= KNOWN_HALTS, found.halts
    assert found.states > 10_000, "so few states are no exploration"


def test_all_policies_of_the_design_are_there() -> None:
    assert {policy.name for policy in BAD} >= NAMED
    assert {policy.name for policy in GOOD} >= SAFE


def test_the_model_reaches_the_rows_of_the_table() -> None:
    rows: Counter[str] = Counter()
    for policy in (*GOOD, *BAD):
        rows += _explored(policy).rows
    unreached = {rule.name for rule in TABLE} - set(rows)
    print(
        f"model: {sum(found.states for found in _FOUND.values())} states, {len(rows)} of {len(TABLE)} rows of the table"
    )
    assert unreached <= BEYOND, f"not reached any more: {sorted(unreached - BEYOND)}"


def test_the_shortest_way_to_a_double_is_told() -> None:
    found = explore(Policy("again", "", Rules(Replaying.QUERY_FIRST, 0, 1), resend=True, until=2))
    assert found.broken == DOUBLE
    # The payment is sent, unanswered, asked about, not found, sent again, and both copies arrive.
    assert sum("stands at the socket" in label for label in found.path) == 2
    assert sum("the bank takes 0 (settled)" in label for label in found.path) == 2
