"""The joint test report as PDF."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from gateway.jointtest.pack_root import qr_svg
from gateway.jointtest.report import (
    COLUMNS,
    ReportContents,
    ReportLanguage,
    acts,
    bank_name,
    facts,
    foot,
    open_cases,
    root_text,
    rows,
    summary,
    title,
)
from gateway.reports.typesetting import FONT_FOLDERS, typeset


def pdf(told: ReportContents, language: str, folders: Sequence[str] = FONT_FOLDERS) -> bytes:
    """The report as a PDF. Raises NoPdf."""
    template = resources.files("gateway.jointtest").joinpath("report.typ").read_text("utf-8")
    return typeset(template, _data(told, language), "joint-test", folders)


def _data(told: ReportContents, language: str) -> dict[str, object]:
    say, testers = ReportLanguage(language), told.about["testers"]
    return {
        "language": language,
        "title": title(told, say),
        "name": f"{bank_name(str(told.about['bank']), say)} · {told.run}",
        "facts": facts(told, say),
        "summary": summary(told, say),
        "note": say("twin note"),
        "summary_heads": [say(one) for one in ("verdict", "count", "seen at the bank", "seen at a twin")],
        "heads": [say(one) for one in COLUMNS],
        "rows": [
            [
                row.case,
                row.title,
                row.cause,
                row.seen,
                row.verdict.value,
                row.verdict_text,
                row.why,
                row.code,
                row.money,
                row.reference,
                row.serial,
                row.started,
                f"{row.took} {row.round}",
            ]
            for row in rows(told, say)
        ],
        "words": {
            one: say(one)
            for one in (
                "summary",
                "cases",
                "changes",
                "acts",
                "sign",
                "name",
                "date",
                "signature",
                "none",
                "ours",
                "theirs",
            )
        },
        "sign_note": say("sign note"),
        "root": root_text(told, say),
        "root_note": say("root note"),
        "foot": foot(told, say),
        "qr": qr_svg(told.root) if told.root else "",
        "changes": [str(one) for one in told.changes],
        "acts": acts(told, say),
        "open_cases": open_cases(told, say),
        "fingerprint": told.fingerprint,
        "testers": {"ours": testers.get("ours", ""), "bank": testers.get("bank", "")},
    }
