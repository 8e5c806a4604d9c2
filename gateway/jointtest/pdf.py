"""The report as PDF, by Typst; Chinese needs a font with its characters, which the operating system has to have."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from gateway.jointtest.report import COLUMNS, Contents, Tongue, acts, facts, rows, summary, title

FONTS = ("Noto Sans CJK SC", "Noto Serif CJK SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Source Han Sans SC")
"""Fonts that have the characters, the first that is there is taken."""
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts")


class NoPdf(Exception):  # noqa: N818 - an answer, not a fault
    """No PDF can be made here; the text says what to install."""


def pdf(told: Contents, language: str, folders: Sequence[str] = FONT_FOLDERS) -> bytes:
    """The report as PDF. Raises NoPdf."""
    try:
        import typst
    except ImportError:
        raise NoPdf("PDF needs Typst: install bankgw[joint-test]; the HTML report says the same") from None
    places = [folder for folder in folders if Path(folder).is_dir()]
    families = set(typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=places).families())
    font = next((one for one in FONTS if one in families), None)
    if font is None:
        raise NoPdf(f"no font has Chinese characters; install fonts-noto-cjk (looked for {', '.join(FONTS)})")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        template = resources.files("gateway.jointtest").joinpath("report.typ").read_text("utf-8")
        (folder / "report.typ").write_text(template, "utf-8")
        (folder / "report.json").write_text(json.dumps(_data(told, language, font), ensure_ascii=False), "utf-8")
        octets: Any = typst.compile(str(folder / "report.typ"), root=made, font_paths=places, ignore_system_fonts=True)
    assert isinstance(octets, bytes)
    return octets


def _data(told: Contents, language: str, font: str) -> dict[str, object]:
    say, testers = Tongue(language), told.about["testers"]
    return {
        "font": font, "language": language, "title": title(told, say), "name": f"{told.about['bank']} · {told.run}",
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
