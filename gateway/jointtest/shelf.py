"""Reads the runs of joint tests in a folder. It writes nothing, and looks names up among those that exist."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.jointtest.run_store import FILE, BadJournal, CaseAttempt, Run, read_run
from gateway.jointtest.verdicts import TITLES

_MOST_RUNS = 200
_MOST_BYTES = 16 * 1024 * 1024
_MADE = (".zip", ".pdf", ".html", ".xlsx")
_TOLD = (
    "case",
    "title",
    "title_zh",
    "round",
    "cause",
    "seen",
    "verdict",
    "why",
    "started",
    "ended",
    "signed",
    "timing",
)


class RunShelf:
    """The runs under `folder`: each in a folder of its own or, as `bankgw joint-test trial` makes it, in `run`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def runs(self) -> Sequence[Mapping[str, Any]]:
        """Every run, the newest first. For a journal that cannot be read, `trouble` has the reason."""
        found = []
        for name, folder in self._places().items():
            try:
                found.append({"name": name, **_head(read_run(folder)), "trouble": None})
            except BadJournal as error:
                found.append({"name": name, **_head(Run()), "trouble": str(error)})
        return sorted(found, key=lambda one: str(one["opened"] or ""), reverse=True)[:_MOST_RUNS]

    def run(self, name: str) -> Mapping[str, Any] | None:
        """One run: each case's standing, every try, the acts of people, the packs and reports."""
        folder = self._places().get(name)
        if folder is None:
            return None
        try:
            run = read_run(folder)
        except BadJournal as error:
            nothing: dict[str, Any] = {part: [] for part in ("cases", "tries", "acts", "made")}
            return {"name": name, **_head(Run()), "trouble": str(error), **nothing}
        made = [one for one in sorted(folder.iterdir()) if one.suffix in _MADE and one.is_file()]
        return {
            "name": name,
            **_head(run),
            "trouble": None,
            "cases": [_stands(run, case) for case in run.cases],
            "tries": [_brief(one) for one in reversed(run.tries)],
            "acts": [
                {"at": act["at"], "act": act.get("act", act["what"]), "by": act.get("by", "")} for act in run.acts
            ],
            "made": [_file(one) for one in made],
        }

    def one_try(self, run: str, name: str) -> Mapping[str, Any] | None:
        """One try with its verdict and its files."""
        folder = self._try(run, name)
        if folder is None:
            return None
        files = [one for one in sorted(folder.iterdir()) if one.is_file()]
        verdict = folder / "verdict.json"
        try:
            said = json.loads(verdict.read_bytes()) if verdict in files else {}
        except ValueError:
            said = {}
        about = {key: said.get(key) for key in _TOLD}
        return {"run": run, "name": name, **about, "files": [_file(one) for one in files]}

    def file(self, run: str, name: str, file: str) -> bytes | None:
        """A file of a try, up to 16 MiB of it."""
        folder = self._try(run, name)
        found = None if folder is None else {one.name: one for one in folder.iterdir() if one.is_file()}.get(file)
        if found is None:
            return None
        with found.open("rb") as source:
            return source.read(_MOST_BYTES)

    def _places(self) -> dict[str, Path]:
        return dict(self._under())

    def _under(self) -> Iterator[tuple[str, Path]]:
        try:
            folders = [one for one in sorted(self._folder.iterdir()) if one.is_dir()]
        except OSError:
            return
        for one in folders:
            for place in (one, one / "run"):
                if (place / FILE).is_file():
                    yield one.name, place
                    break

    def _try(self, run: str, name: str) -> Path | None:
        """The folder of a try. The name is looked up among the existing folders and is never used as a path."""
        place = self._places().get(run)
        if place is None or not (place / "evidence").is_dir():
            return None
        there = {one.name: one for one in (place / "evidence").iterdir() if one.is_dir() and not one.is_symlink()}
        return there.get(name)


def _head(run: Run) -> dict[str, Any]:
    stand = [one.finding.verdict.value for one in run.standing().values()]
    return {
        "run": run.id,
        "bank": run.bank,
        "rounds": run.rounds,
        "opened": None if run.opened is None else run.opened.isoformat(),
        "closed": None if run.closed is None else run.closed.isoformat(),
        "counts": {verdict: stand.count(verdict) for verdict in sorted(set(stand))},
        "of": len(run.cases),
    }


def _stands(run: Run, case: str) -> dict[str, Any]:
    found = run.latest(case)
    return {"case": case, "try": None} if found is None else _brief(found)


def _brief(one: CaseAttempt) -> dict[str, Any]:
    finding = one.finding
    return {
        "case": one.case,
        "try": one.name,
        "round": one.round,
        "verdict": finding.verdict.value,
        "verdict_said": list(TITLES[finding.verdict]),
        "why": finding.why,
        "until": None if finding.until is None else finding.until.isoformat(),
        "owner": finding.owner or None,
        "seen": None if finding.seen is None else finding.seen.value,
        "started": one.started.isoformat(),
        "ended": None if one.ended is None else one.ended.isoformat(),
        "published": [{"message_id": said["message_id"], "sha256": said["sha256"]} for said in one.published],
    }


def _file(one: Path) -> dict[str, Any]:
    with one.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return {"name": one.name, "bytes": one.stat().st_size, "sha256": digest}
