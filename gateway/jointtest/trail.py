"""Tells the gateway's audit trail of each verdict, and compares a pack with what the trail has.

The trail is a second witness: who holds the run's folder and its key can write both anew, but not the trail. An entry
has the try, the verdict and the digest of the try's files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.jointtest.run_store import CaseAttempt, Run

MISSED = "trail_missed"
"""The act in the run's journal that says why the audit trail did not get a verdict."""


@dataclass(frozen=True, slots=True)
class TrailComparison:
    """The number of verdicts that the audit trail has, the tries of which it has none, and every difference."""

    agreed: int
    unwitnessed: tuple[str, ...]
    differences: tuple[str, ...]


def entry_about(one: CaseAttempt) -> dict[str, str]:
    """The entry about the last verdict on a try."""
    return {"name": one.name, "verdict": one.finding.verdict.value, "files": one.digest}


def tell(desk: ControlClient, run: Run, entry: Mapping[str, str]) -> str:
    """Write an entry into the gateway's audit trail. Returns why not, empty if it was written. Blocks."""
    try:
        desk.post("joint-runs", run.id, "tries", bank=run.bank, **entry)
    except (NoDaemon, Refused) as error:
        return str(error)
    return ""


def against_trail(run: Run, entries: Sequence[Mapping[str, Any]]) -> TrailComparison:
    """Compare the verdicts in a pack's journal with the entries of the audit trail about its run."""
    tries = {one.name: one for one in run.tries}
    told: dict[str, list[tuple[str, str]]] = {}
    for entry in entries:
        told.setdefault(str(entry["try"]), []).append((str(entry["verdict"]), str(entry["files"])))
    wrong = [f"{name}: the gateway's audit trail knows this try, and the pack does not" for name in told.keys() - tries]
    for name, one in tries.items():
        wrong += _differences(one, told.get(name, []))
    agreed = sum(_last(one) in told.get(name, []) for name, one in tries.items() if one.verdicts)
    alone = [name for name, one in tries.items() if one.verdicts and _last(one) not in told.get(name, [])]
    return TrailComparison(agreed, tuple(alone), tuple(sorted(wrong)))


def _differences(one: CaseAttempt, told: Sequence[tuple[str, str]]) -> Iterator[str]:
    packed = [(verdict, files) for verdict, files, _ in one.verdicts]
    for verdict, files in told:
        if (verdict, files) not in packed:
            yield f"{one.name}: the audit trail has a verdict ({verdict}, files {files[:8]}…) that the pack has not"
    # A person's later word may have found no daemon; the program's own verdict comes after one that the trail has.
    if told and one.verdicts and not one.verdicts[-1][2] and _last(one) not in told:
        verdict, files = _last(one)
        yield f"{one.name}: the pack's verdict ({verdict}, files {files[:8]}…) is not in the gateway's audit trail"


def _last(one: CaseAttempt) -> tuple[str, str]:
    verdict, files, _ = one.verdicts[-1]
    return verdict, files
