"""Makes PDF documents with Typst. Chinese needs a font with its characters, which the operating system must have."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FONTS = ("Noto Sans CJK SC", "Noto Serif CJK SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Source Han Sans SC")
"""Fonts that have the characters. The first one that is installed is used."""
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts")


class NoPdf(Exception):  # noqa: N818 - an answer, not a fault
    """No PDF can be made here; the text says what to install."""


def typeset(template: str, data: Mapping[str, object], extra: str, folders: Sequence[str] = FONT_FOLDERS) -> bytes:
    """The PDF of a Typst template that reads `report.json`: `data` with the `font`. Raises NoPdf.

    `extra` is the package's extra that installs Typst.
    """
    try:
        import typst
    except ImportError:
        raise NoPdf(f"PDF needs Typst: install bankgw[{extra}]; the HTML report has the same content") from None
    places = [folder for folder in folders if Path(folder).is_dir()]
    families = set(typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=places).families())
    font = next((one for one in FONTS if one in families), None)
    if font is None:
        raise NoPdf(f"no font has Chinese characters; install fonts-noto-cjk (looked for {', '.join(FONTS)})")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "report.typ").write_text(template, "utf-8")
        (folder / "report.json").write_text(json.dumps({**data, "font": font}, ensure_ascii=False), "utf-8")
        octets: Any = typst.compile(str(folder / "report.typ"), root=made, font_paths=places, ignore_system_fonts=True)
    assert isinstance(octets, bytes)
    return octets
