"""The joint test report as PDF."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from gateway.jointtest.report import COLUMNS, Contents, Tongue, acts, facts, rows, summary, title
from gateway.typesetting import FONT_FOLDERS, typeset


def pdf(told: Contents, language: str, folders: Sequence[str] = FONT_FOLDERS) -> bytes:
    """The report as PDF. Raises NoPdf."""
    template = resources.files("gateway.jointtest").joinpath("report.typ").read_text("utf-8")
    return typeset(template, _data(told, language), "joint-test", folders)


def _data(told: Contents, language: str) -> dict[str, object]:
    say, testers = Tongue(language), told.about["testers"]
    return {
        "language": language, "title": title(told, say), "name": f"{told.about['bank']} · {told.run}",
        "facts": facts(told, say), "summary": summary(told, say), "note": say("twin note"),
        "summary_heads": [say(one) for one in ("verdict", "count", "seen at the bank", "seen at a twin")],
        "heads": [say(one) for one in COLUMNS],
        "rows": [[row.case, row.title, row.cause, row.seen, row.verdict.value, row.verdict_text, row.why, row.reference,
                  row.serial, row.took, row.round] for row in rows(told, say)],
        "words": {one: say(one) for one in ("summary", "cases", "changes", "acts", "sign", "name", "date", "signature",
                                            "none", "ours", "theirs")},
        "sign_note": say("sign note"), "changes": [str(one) for one in told.changes], "acts": acts(told),
        "fingerprint": told.fingerprint, "testers": {"ours": testers.get("ours", ""), "bank": testers.get("bank", "")},
    }  # fmt: skip
