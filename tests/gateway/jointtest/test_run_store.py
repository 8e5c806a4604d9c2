"""A run's journal keeps every entry, survives a crash at any byte, and reveals changes made from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.jointtest.run_store import FILE, BadJournal, RunStore
from gateway.jointtest.runner import undecided_cases, wanted
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict, SeenAt
from tests.gateway.jointtest.samples import sample_cases

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)


def now() -> datetime:
    return NOW


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    made = RunStore(tmp_path, now)
    made.open("abc123", "sample", ["probe", "settles.payment", "day-change"])
    made.begin_round({"gateway": "1", "front_end": "2"})
    return made


def again(tmp_path: Path, clock: Callable[[], datetime] = now) -> RunStore:
    return RunStore(tmp_path, clock)


def test_it_is_read_back(store: RunStore, tmp_path: Path) -> None:
    one = store.start("settles.payment")
    order = {"id": "JT-1", "account": "0000", "kind": "payment", "minor": 100}
    store.publishing(one, "m-1", "payment.submit", [order], b"{}")
    store.end(store.run.tries[-1], CaseFinding(CaseVerdict.PASSED, "settled", seen=SeenAt.TWIN), {"bank_serial": "7"})
    read = again(tmp_path).run
    assert read == store.run
    last = read.latest("settles.payment")
    assert last is not None and last.finding == CaseFinding(CaseVerdict.PASSED, "settled", seen=SeenAt.TWIN)
    assert last.published[0]["orders"] == [order] and last.facts == {"bank_serial": "7"}


def test_what_was_published_is_known_before_the_verdict(store: RunStore, tmp_path: Path) -> None:
    one = store.start("settles.payment")
    store.publishing(one, "m-1", "payment.submit", [{"id": "JT-1"}], b"{}")
    last = again(tmp_path).run.latest("settles.payment")
    assert last is not None and last.finding.verdict is CaseVerdict.OPEN and len(last.published) == 1


def test_a_line_that_was_cut_is_as_if_never_written(store: RunStore, tmp_path: Path) -> None:
    store.start("probe")
    whole = (tmp_path / FILE).read_bytes()
    store.start("day-change")
    longer = (tmp_path / FILE).read_bytes()
    for size in range(len(whole), len(longer)):
        (tmp_path / FILE).write_bytes(longer[:size])
        assert [one.case for one in again(tmp_path).run.tries] == ["probe"]
        assert (tmp_path / FILE).read_bytes() == whole


@pytest.mark.parametrize("change", ["verdict", "drop", "swap"])
def test_a_line_that_was_changed_shows(store: RunStore, tmp_path: Path, change: str) -> None:
    store.end(store.start("probe"), CaseFinding(CaseVerdict.FAILED, "no answer"))
    store.end(store.start("day-change"), CaseFinding(CaseVerdict.FAILED, "no answer"))
    lines = (tmp_path / FILE).read_text().splitlines()
    if change == "verdict":
        lines[3] = lines[3].replace("failed", "passed")
    elif change == "drop":
        del lines[3]
    else:
        lines[2], lines[4] = lines[4], lines[2]
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    with pytest.raises(BadJournal, match="is not what was written"):
        again(tmp_path)


def test_a_changed_line_with_a_new_hash_of_its_own_shows_too(store: RunStore, tmp_path: Path) -> None:
    from gateway.jointtest import run_store

    store.end(store.start("probe"), CaseFinding(CaseVerdict.FAILED, "no answer"))
    store.start("day-change")
    lines = (tmp_path / FILE).read_text().splitlines()
    said = json.loads(lines[3])
    said["verdict"] = "passed"
    said["hash"] = run_store._hash(said)
    lines[3] = json.dumps(said)
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    with pytest.raises(BadJournal, match="line 5"):
        again(tmp_path)


def test_rounds_and_tries_count(store: RunStore) -> None:
    assert [store.start("probe").name, store.start("probe").name] == ["R1-probe-1", "R1-probe-2"]
    store.begin_round({})
    assert store.start("probe").name == "R2-probe-1"


def test_what_is_decided_is_not_played_again(store: RunStore) -> None:
    cases = [case for case in sample_cases() if case.id in store.run.cases]
    assert len(cases) == 3
    store.end(store.start("probe"), CaseFinding(CaseVerdict.PASSED))
    store.end(store.start("settles.payment"), CaseFinding(CaseVerdict.FAILED, "x"))
    store.end(store.start("day-change"), CaseFinding(CaseVerdict.WAITING, "x", NOW + timedelta(days=1)))
    assert [case.id for case in wanted(store.run, cases, 1)] == ["day-change"]
    assert [case.id for case in wanted(store.run, cases, 1, ["settles.payment"])] == ["settles.payment"]
    with pytest.raises(ValueError, match="no case is called nothing"):
        wanted(store.run, cases, 1, ["nothing"])
    assert undecided_cases(store.run, cases) == ["settles.payment", "day-change"]
    store.end(store.start("settles.payment"), CaseFinding(CaseVerdict.WAIVED, "not in this version", owner="Zhang"))
    assert undecided_cases(store.run, cases) == ["day-change"]


def test_a_finding_says_what_belongs_to_it() -> None:
    with pytest.raises(ValueError, match="until when"):
        CaseFinding(CaseVerdict.WAITING, "x")
    with pytest.raises(ValueError, match="owner"):
        CaseFinding(CaseVerdict.WAIVED, "x")
