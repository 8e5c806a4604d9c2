"""Text tables as banks and spreadsheets write them: their encoding, separator, heading row, and ruined cells."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

HEADING_WITHIN = 40
_SEPARATORS = (",", "\t", ";", "|")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_WORKBOOKS = {b"PK\x03\x04": "xlsx", b"\xd0\xcf\x11\xe0": "xls"}
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\ufffd]")
_AS_TEXT = re.compile(r'="(.*)"')
_SCIENTIFIC = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE][+]?[0-9]+", re.ASCII)
_SERIAL = re.compile(r"[2-9][0-9]{4}(?:\.[0-9]+)?", re.ASCII)
_TIME = r"(?:[ T]+[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?"
_YEAR, _SHORT = "([0-9]{4})", "([0-9]{1,2})"
_YEAR_FIRST = (
    re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:[0-9]{6})?", re.ASCII),
    re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})" + _TIME, re.ASCII),
    re.compile(r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})" + _TIME, re.ASCII),
    re.compile(_YEAR + "年" + _SHORT + "月" + _SHORT + "日" + _TIME, re.ASCII),
)
_DAY_FIRST = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})" + _TIME, re.ASCII)


class BadTable(ValueError):
    """The file cannot be read as a table; the text says why, and with which line and column."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """The heading, and the rows below it with their line numbers. Blank rows are left out."""

    heading: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def decoded(data: bytes, encoding: str) -> str:
    """The file's text. Without a declared encoding: by its byte order mark, else UTF-8, else GB18030.

    Nothing is replaced: bytes that do not fit are refused. Raises BadTable.
    """
    kind = next((kind for start, kind in _WORKBOOKS.items() if data.startswith(start)), None)
    if kind is not None:
        raise BadTable(f"it is a workbook ({kind}): save the sheet as CSV in UTF-8")
    marked = [name for mark, name in _MARKS if data.startswith(mark)]
    tried = [encoding] if encoding else marked or ["utf-8", "gb18030"]
    reason = ""
    for name in tried:
        try:
            text = data.decode(name)
        except (ValueError, LookupError) as error:
            reason = f"it cannot be read as CSV in {name}: {error}"
            continue
        if _CONTROL.search(text) is None:
            return text
        reason = f"it cannot be read as CSV in {name}: it has control characters"
    raise BadTable(reason)


def table(text: str, needed: Sequence[str]) -> TextTable:
    """The table below the first row with all `needed` headings, which is one of the first 40 rows.

    The cells are separated by a comma, a tab, a semicolon or a bar. If no row has the headings, the first row is told
    as the heading. Raises BadTable.
    """
    found = [_rows(text, separator) for separator in _SEPARATORS]
    for rows in found:
        for index, (_, cells) in enumerate(rows[:HEADING_WITHIN]):
            if set(needed) <= set(cells):
                return TextTable(cells, tuple(_below(cells, rows[index + 1 :])))
    return TextTable(found[0][0][1] if found[0] else (), ())


def _rows(text: str, separator: str) -> list[tuple[int, tuple[str, ...]]]:
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        rows = [(reader.line_num, tuple(cleaned(cell) for cell in cells)) for cells in reader]
    except csv.Error as error:
        raise BadTable(f"it cannot be read as CSV: {error}") from None
    return [row for row in rows if any(row[1])]


def _below(heading: tuple[str, ...], rows: Sequence[tuple[int, tuple[str, ...]]]) -> list[tuple[int, tuple[str, ...]]]:
    width = len(heading)
    for place, cells in rows:
        if len(cells) < width or any(cells[width:]):
            raise BadTable(f"line {place} does not have as many cells as the heading")
    return [(place, cells[:width]) for place, cells in rows]


def cleaned(cell: str) -> str:
    """The cell without the blanks, the tab, `="…"` or the apostrophe that mark it as text for a spreadsheet."""
    bare = cell.strip()
    if (quoted := _AS_TEXT.fullmatch(bare)) is not None:
        return quoted[1].strip()
    return bare[1:].strip() if bare.startswith("'") else bare


def refuse_ruined(place: int, named: Mapping[str, str]) -> None:
    """Raises BadTable for a number of an account or a document that a spreadsheet wrote with an exponent."""
    for column, cell in named.items():
        if _SCIENTIFIC.fullmatch(cell):
            raise BadTable(
                f"line {place}, column {column}: {cell!r} has lost digits in a spreadsheet: "
                "export the file again and do not save it there, or import the column as text"
            )


def day_of(text: str, place: int, column: str) -> date:
    """The day of a cell, with or without a time of day. Raises BadTable."""
    where = f"line {place}, column {column}"
    if _SERIAL.fullmatch(text):
        raise BadTable(
            f"{where}: {text!r} is a spreadsheet's day number: format the column as a date, and export again"
        )
    found = next((one for form in _YEAR_FIRST if (one := form.fullmatch(text)) is not None), None)
    parts = found.groups() if found else ()
    if not parts and (other := _DAY_FIRST.fullmatch(text)) is not None:
        parts = other.groups()[::-1]
    try:
        year, month, day = map(int, parts)
        return date(year, month, day)
    except ValueError:
        raise BadTable(
            f"{where}: {text!r} is not a date such as 2026-11-30, 20261130, 2026/11/30, 30.11.2026 or 2026年11月30日"
        ) from None
