"""What a run leaves: reports in both languages as HTML and PDF, and the signed evidence pack that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.jointtest import differences, pack, pdf, report
from gateway.jointtest.cases import Case
from gateway.jointtest.differences import Difference
from gateway.jointtest.plan import RunPlan
from gateway.jointtest.report import Contents
from gateway.jointtest.run_store import RunStore
from gateway.typesetting import NoPdf


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The pack, and what could not be put into it."""

    pack: Path
    notes: tuple[str, ...]


def make(store: RunStore, plan: RunPlan, cases: Sequence[Case], key_file: Path, now: datetime) -> RunOutcome:
    """Write the reports beside the run and pack everything. Raises ValueError for a key of another sort."""
    key = pack.signing_key(key_file)
    titles = {case.id: (case.title, case.title_zh) for case in cases}
    about: dict[str, Any] = {
        "bank": plan.bank, "scripts": plan.told.scripts, "against": plan.told.against,
        "environment": plan.told.environment,
        "testers": plan.told.testers.model_dump(),
    }  # fmt: skip
    told = contents(store, about, cases, titles, pack.fingerprint(key.public_key()), now)
    files, notes = [], []
    for language in report.LANGUAGES:
        page = store.folder / f"report.{language}.html"
        page.write_text(report.html(told, language), "utf-8")
        files.append(page)
        try:
            printed = store.folder / f"report.{language}.pdf"
            printed.write_bytes(pdf.pdf(told, language))
            files.append(printed)
        except NoPdf as error:
            notes.append(str(error))
    about["program"] = differences.program()
    made = pack.write(store.folder, store.run, titles, about, key, now, files)
    return RunOutcome(made, tuple(dict.fromkeys(notes)))


def contents(store: RunStore, about: dict[str, Any], cases: Sequence[Case], titles: dict[str, tuple[str, str]],
             fingerprint: str, now: datetime) -> Contents:  # fmt: skip
    """What the report tells of a run, with what changed since the round before."""
    run = store.run
    standing = pack.cases_of(run, titles)
    return Contents(about, run.id, run.rounds, run.opened, run.closed, now, standing, cases, run.acts,
                    changes(store, cases), fingerprint)  # fmt: skip


def changes(store: RunStore, cases: Sequence[Case]) -> list[Difference]:
    """How the cases of the latest round stand otherwise than in the rounds before it."""
    titles = {case.id: (case.title, case.title_zh) for case in cases}
    standing = pack.cases_of(store.run, titles)
    before = {name: one for name, one in _standing_before(store, titles).items() if name in standing}
    return list(differences.between(before, {name: standing[name] for name in before})) if before else []


def _standing_before(store: RunStore, titles: dict[str, tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """How the cases of the latest round stood in rounds before it."""
    run = store.run
    old = type(run)(id=run.id, bank=run.bank, rounds=run.rounds - 1, cases=run.cases, versions=run.versions,
                    tries=[one for one in run.tries if one.round < run.rounds])  # fmt: skip
    return pack.cases_of(old, titles)
