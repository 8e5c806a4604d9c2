"""The audit trail of the gateway as a witness of a run: what differs from it is told, what it lacks is named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.control.client import ControlClient
from gateway.jointtest import trail
from gateway.jointtest.run_store import RunStore
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict

NOW = datetime(2026, 12, 1, tzinfo=UTC)
PASSED, FAILED = CaseFinding(CaseVerdict.PASSED), CaseFinding(CaseVerdict.FAILED)
WAITING = CaseFinding(CaseVerdict.WAITING, until=NOW)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    made = RunStore(tmp_path, lambda: NOW)
    made.open("abcdef", "sample", ["a", "b"])
    made.begin_round({})
    return made


def ended(store: RunStore, case: str, finding: CaseFinding, by: str = "") -> dict[str, str]:
    """End the case's try with this verdict; returns the entry that the trail gets."""
    store.end(store.run.latest(case) or store.start(case), finding, by=by)
    one = store.run.latest(case)
    assert one is not None
    entry = trail.entry_about(one)
    return {"try": entry.pop("name"), **entry}


def test_what_the_trail_has_agrees(store: RunStore) -> None:
    entries = [ended(store, "a", PASSED), ended(store, "b", WAITING), ended(store, "b", PASSED, by="甲")]
    assert trail.against_trail(store.run, entries) == trail.TrailComparison(2, (), ())


def test_a_verdict_that_the_trail_never_got_is_named(store: RunStore) -> None:
    entry = ended(store, "a", PASSED)
    ended(store, "b", PASSED)
    assert trail.against_trail(store.run, [entry]) == trail.TrailComparison(1, ("R1-b-1",), ())


def test_a_persons_word_without_a_daemon_is_named_and_the_programs_is_a_difference(store: RunStore) -> None:
    waits = ended(store, "a", WAITING)
    ended(store, "a", PASSED, by="甲")
    assert trail.against_trail(store.run, [waits]) == trail.TrailComparison(0, ("R1-a-1",), ())
    ended(store, "a", PASSED)
    (told,) = trail.against_trail(store.run, [waits]).differences
    assert told.startswith("R1-a-1: the pack's verdict (passed")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"verdict": "failed"}, "R1-a-1: the audit trail has a verdict (failed"),
        ({"files": "0" * 64}, "R1-a-1: the audit trail has a verdict (passed, files 00000000…)"),
        ({"try": "R1-a-2"}, "R1-a-2: the gateway's audit trail knows this try, and the pack does not"),
    ],
)
def test_a_flipped_verdict_another_file_and_a_hidden_try_are_told(
    store: RunStore, changed: dict[str, Any], told: str
) -> None:
    found = trail.against_trail(store.run, [{**ended(store, "a", PASSED), **changed}])
    assert any(one.startswith(told) for one in found.differences), found


def test_without_a_daemon_it_says_why(store: RunStore, tmp_path: Path) -> None:
    ended(store, "a", FAILED)
    one = store.run.latest("a")
    assert one is not None
    why = trail.tell(ControlClient(tmp_path / "no.sock"), store.run, trail.entry_about(one))
    assert why.startswith("no daemon listens at ")
