"""The results of a run: the signed evidence pack, then the papers that state its root.

The papers are the reports in both languages (HTML and PDF) and the sheet for the bank's stamp. They stand beside the
pack and not in it, because the root that they state is known only when the pack is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from gateway.jointtest import differences, pack, pdf, report, stamp_sheet
from gateway.jointtest.cases import Case
from gateway.jointtest.differences import Difference
from gateway.jointtest.plan import RunPlan
from gateway.jointtest.report import ReportContents
from gateway.jointtest.run_store import RunStore
from gateway.reports.typesetting import NoPdf


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The pack of a run with its root, what is remarkable about it, and the papers that could not be made."""

    pack: Path
    root: str
    notes: tuple[str, ...]


def make(store: RunStore, plan: RunPlan, cases: Sequence[Case], key_file: Path, now: datetime) -> RunOutcome:
    """Pack the run and write the papers beside the pack. Raises ValueError for a signing key of another type."""
    key = pack.signing_key(key_file)
    titles = {case.id: (case.title, case.title_zh) for case in cases}
    about: dict[str, Any] = {
        "bank": plan.bank,
        "scripts": plan.told.scripts,
        "against": plan.told.against,
        "environment": plan.told.environment,
        "testers": plan.told.testers.model_dump(),
    }
    packed = {**about, "sender": plan.told.sender, "program": differences.program()}
    made = pack.write_pack(store.folder, store.run, titles, packed, key, now)
    told = contents(store, about, cases, titles, pack.fingerprint(key.public_key()), now, made.root)
    notes = [f"{name}: its files changed after the verdict; play the case again" for name in made.unlike]
    notes += write_papers(told, store.folder)
    return RunOutcome(made.file, made.root, tuple(dict.fromkeys(notes)))


def write_papers(told: ReportContents, folder: Path) -> list[str]:
    """Write the reports and the sheet for the bank's stamp; returns why some could not be made.

    Contents without a root make papers which say that the run is not packed yet.
    """
    notes = []
    printed = {f"report.{language}.pdf": partial(pdf.pdf, told, language) for language in report.LANGUAGES}
    for language in report.LANGUAGES:
        (folder / f"report.{language}.html").write_text(report.html(told, language), "utf-8")
    for name, made in {**printed, "stamp-sheet.pdf": partial(stamp_sheet.pdf, told)}.items():
        try:
            (folder / name).write_bytes(made())
        except NoPdf as error:
            notes.append(str(error))
    return notes


def contents(
    store: RunStore,
    about: dict[str, Any],
    cases: Sequence[Case],
    titles: dict[str, tuple[str, str]],
    fingerprint: str,
    now: datetime,
    root: str = "",
) -> ReportContents:
    """The content of a run's report, with the changes since the round before."""
    run = store.run
    standing = pack.cases_of(run, titles)
    return ReportContents(
        about,
        run.id,
        run.rounds,
        run.opened,
        run.closed,
        now,
        standing,
        cases,
        run.acts,
        changes(store, cases),
        fingerprint,
        root,
    )


def changes(store: RunStore, cases: Sequence[Case]) -> list[Difference]:
    """The cases of the latest round whose standing differs from the rounds before."""
    titles = {case.id: (case.title, case.title_zh) for case in cases}
    standing = pack.cases_of(store.run, titles)
    before = {name: one for name, one in _standing_before(store, titles).items() if name in standing}
    return list(differences.between(before, {name: standing[name] for name in before})) if before else []


def _standing_before(store: RunStore, titles: dict[str, tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """The standing of the latest round's cases in the rounds before it."""
    run = store.run
    old = type(run)(
        id=run.id,
        bank=run.bank,
        rounds=run.rounds - 1,
        cases=run.cases,
        versions=run.versions,
        tries=[one for one in run.tries if one.round < run.rounds],
    )
    return pack.cases_of(old, titles)
