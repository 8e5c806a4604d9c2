"""Writes a report as xlsx, PDF, HTML or CSV. Each form takes the rows one by one."""

from __future__ import annotations

import csv
import html
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TextIO

from gateway.reports.charts import ChartFigures, ChartSums, svg
from gateway.reports.table import (
    CURRENCY,
    Cell,
    CellKind,
    ReportForm,
    TableColumn,
    TableHead,
    TableRow,
    TableTotals,
    harmless,
    is_formula,
    money,
    one_line,
    written,
)
from gateway.reports.typesetting import typeset
from protocols.canon.money import exponent

PDF_MOST_ROWS = 5_000
FONT_PLACE = "@font@"
"""A place-holder in a chart for the font of the machine that makes the PDF."""
_WHOLE = frozenset({CellKind.ACCOUNT, CellKind.MONEY, CellKind.DAY})
"""Text that must not be broken over lines on paper, because a digit on the next line is read as another number."""
_RIGHT = frozenset({CellKind.MONEY, CellKind.COUNT, CellKind.PERCENT, CellKind.SECONDS})


class CannotWrite(Exception):  # noqa: N818 - an answer, not a fault
    """The report cannot be written in this form; the text says the reason and names other forms."""


SUFFIXES = (".xlsx", ".pdf", ".html", ".csv")


def to_file(form: ReportForm, about: TableHead, rows: Iterable[TableRow], language: str, out: Path) -> int:
    """Write a file under a temporary name, readable by its owner alone, and rename it when it is whole.

    The end of its name is one of SUFFIXES. Returns the rows written. Raises OSError, CannotWrite and NoPdf; then no
    file is left.
    """
    made = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        # The file is made here first, so that nobody else can read it while it grows.
        made.unlink(missing_ok=True)
        os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        if out.suffix == ".xlsx":
            count = to_xlsx(form, about, rows, language, made)
        elif out.suffix == ".pdf":
            octets, count = to_pdf(form, about, rows, language)
            made.write_bytes(octets)
        elif out.suffix == ".html":
            with made.open("w", encoding="utf-8") as page_file:
                count = to_html(form, about, rows, language, page_file)
        else:
            # With the byte order mark by which spreadsheets recognise UTF-8.
            with made.open("w", encoding="utf-8-sig", newline="") as table_file:
                count = to_csv(form, rows, language, table_file)
        made.replace(out)
    finally:
        made.unlink(missing_ok=True)
    return count


def to_csv(form: ReportForm, rows: Iterable[TableRow], language: str, out: TextIO) -> int:
    """CSV: one heading, one line a row, no totals. Amounts have a point and no thousands. Returns the rows written."""
    write = csv.writer(out, lineterminator="\r\n")
    write.writerow([column.heading(language) for column in form.columns])
    totals = TableTotals(form.columns)
    write.writerows([_plain(column, row, language) for column in form.columns] for row in totals.passing(rows))
    return totals.rows


def _plain(column: TableColumn, row: TableRow, language: str) -> str:
    value = row.get(column.key)
    if isinstance(value, int) and column.kind is CellKind.MONEY:
        return str(money(value, str(row.get(CURRENCY) or "CNY")))
    if isinstance(value, int) and column.kind is CellKind.PERCENT:
        return f"{value / 100:.2f}"
    return "" if value is None else harmless(column.text(str(value), language))


def to_xlsx(form: ReportForm, facts: TableHead, rows: Iterable[TableRow], language: str, file: Path) -> int:
    """A workbook, written row by row: amounts are numbers, accounts are text. Raises CannotWrite."""
    try:
        import xlsxwriter
    except ImportError:
        raise CannotWrite("xlsx needs XlsxWriter: install bankgw[reports]; CSV and HTML need nothing") from None
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_numbers": False,
        "strings_to_urls": False,
    }
    with xlsxwriter.Workbook(str(file), options) as book:
        sheet = book.add_worksheet(form.title(language)[:31])
        return _Sheet(book, sheet, form, language).fill(facts, rows)


class _Sheet:
    """One worksheet, filled from top to bottom. A written row is already in the file and cannot be changed."""

    def __init__(self, book: Any, sheet: Any, form: ReportForm, language: str) -> None:
        self._book, self._sheet, self._form, self._language = book, sheet, form, language
        self._formats: dict[str, Any] = {}

    def fill(self, facts: TableHead, rows: Iterable[TableRow]) -> int:
        """Write title, facts, headings, rows and totals; returns the number of rows."""
        totals, sums = TableTotals(self._form.columns), ChartSums(self._form)
        for place, column in enumerate(self._form.columns):
            self._sheet.set_column(place, place, column.width)
        at = self._head(facts)
        self._sheet.freeze_panes(at, 0)
        for row in totals.passing(sums.passing(rows)):
            self._row(at, row)
            at += 1
        for total in totals.lines(self._language):
            self._row(at, total, bold=True)
            at += 1
        if charts := sums.charts(self._language):
            self._charts(charts)
        return totals.rows

    def _charts(self, charts: Sequence[ChartFigures]) -> None:
        """A second sheet: each chart beside the figures that it shows."""
        name = "图表" if self._language == "zh" else "Charts"
        sheet, at = self._book.add_worksheet(name), 0
        for chart in charts:
            made = self._book.add_chart({"type": "line" if chart.is_line else "column"})
            made.set_title({"name": chart.title})
            sheet.write_string(at, 0, chart.title)
            end = at + 1 + len(chart.labels)
            for place, (series, _) in enumerate(chart.series, 1):
                sheet.write_string(at + 1, place, series)
                made.add_series(
                    {
                        "name": [name, at + 1, place],
                        "categories": [name, at + 2, 0, end, 0],
                        "values": [name, at + 2, place, end, place],
                    }
                )
            for row, label in enumerate(chart.labels, at + 2):
                sheet.write_string(row, 0, one_line(label))
                for place, (_, numbers) in enumerate(chart.series, 1):
                    sheet.write_number(row, place, numbers[row - at - 2])
            sheet.insert_chart(at, len(chart.series) + 2, made)
            at = max(end, at + 16) + 2

    def _head(self, facts: TableHead) -> int:
        language = self._language
        self._sheet.write_string(0, 0, self._form.title(language), self._format("title", bold=True, font_size=14))
        for at, (label, value) in enumerate((*facts.lines, ("", self._form.about(language))), 1):
            self._sheet.write_string(at, 0, f"{label}: {value}" if label else value)
        at = len(facts.lines) + 3
        heading = self._format("heading", bold=True, bottom=1, text_wrap=True)
        for place, column in enumerate(self._form.columns):
            self._sheet.write_string(at, place, column.heading(language), heading)
        return at + 1

    def _row(self, at: int, row: TableRow, *, bold: bool = False) -> None:
        for place, column in enumerate(self._form.columns):
            value = row.get(column.key)
            if isinstance(value, int):
                self._number(at, place, column, row, value, bold)
            elif value is not None:
                text = one_line(column.text(value, self._language))
                # Marked as quoted text, so that it stays text when a person edits the cell.
                quoted = is_formula(text)
                looks = self._format(f"text {quoted}", bold, num_format="@", quote_prefix=quoted)
                self._sheet.write_string(at, place, text, looks)

    def _number(self, at: int, place: int, column: TableColumn, row: TableRow, value: int, bold: bool) -> None:
        if column.kind is CellKind.MONEY:
            currency = str(row.get(CURRENCY) or "CNY")
            digits = exponent(currency)
            shape = "#,##0" + ("." + "0" * digits if digits else "")
            self._sheet.write_number(at, place, money(value, currency), self._format(shape, bold, num_format=shape))
        elif column.kind is CellKind.PERCENT:
            self._sheet.write_number(at, place, value / 10_000, self._format("0.00%", bold, num_format="0.00%"))
        else:
            self._sheet.write_number(at, place, value, self._format("#,##0", bold, num_format="#,##0"))

    def _format(self, name: str, bold: bool = False, **looks: Any) -> Any:
        key = f"{name} {bold}"
        if key not in self._formats:
            self._formats[key] = self._book.add_format({**looks, "bold": bold})
        return self._formats[key]


def to_pdf(form: ReportForm, facts: TableHead, rows: Iterable[TableRow], language: str) -> tuple[bytes, int]:
    """Write a PDF of at most 5,000 rows; returns its number of rows. Raises CannotWrite and NoPdf."""
    totals, sums = TableTotals(form.columns), ChartSums(form)
    cells: list[list[str]] = []
    for row in totals.passing(sums.passing(rows)):
        if len(cells) == PDF_MOST_ROWS:
            raise CannotWrite(f"a PDF has at most {PDF_MOST_ROWS} rows; take a shorter period, or xlsx")
        cells.append([written(column, row, language) for column in form.columns])
    data = {
        "language": language,
        "title": form.title(language),
        "about": form.about(language),
        "facts": [list(one) for one in facts.lines],
        "heads": [column.heading(language) for column in form.columns],
        "right": [column.kind in _RIGHT for column in form.columns],
        "widths": [None if column.kind in _WHOLE else column.width for column in form.columns],
        "rows": cells,
        "totals": [[written(column, row, language) for column in form.columns] for row in totals.lines(language)],
        "charts": [svg(chart, FONT_PLACE) for chart in sums.charts(language)],
        "nothing": "无记录" if language == "zh" else "Nothing to show",
    }
    template = resources.files("gateway.reports").joinpath("report.typ").read_text("utf-8")
    return typeset(template, data, "reports"), totals.rows


def to_html(form: ReportForm, facts: TableHead, rows: Iterable[TableRow], language: str, out: TextIO) -> int:
    """Write one page without scripts or anything from other servers. Returns the rows written."""
    totals, sums = TableTotals(form.columns), ChartSums(form)
    title = html.escape(form.title(language))
    out.write(
        f'<!DOCTYPE html>\n<html lang="{"zh-CN" if language == "zh" else "en"}"><head><meta charset="utf-8">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n<dl>\n"
    )
    for label, value in facts.lines:
        out.write(f"<dt>{html.escape(label)}</dt><dd>{html.escape(value)}</dd>\n")
    out.write(f"</dl>\n<p>{html.escape(form.about(language))}</p>\n<table><thead><tr>")
    for column in form.columns:
        out.write(f"<th{_side(column)}>{html.escape(column.heading(language))}</th>")
    out.write("</tr></thead><tbody>\n")
    out.writelines(_html_row(form, row, language) for row in totals.passing(sums.passing(rows)))
    out.write("</tbody><tfoot>\n")
    out.writelines(_html_row(form, row, language) for row in totals.lines(language))
    out.write("</tfoot></table>\n")
    out.writelines(f"<figure>{svg(chart)}</figure>\n" for chart in sums.charts(language))
    out.write("</body></html>\n")
    return totals.rows


_STYLE = (
    "body{font-family:sans-serif;margin:2em}table{border-collapse:collapse}th,td{border:1px solid #bbb;"
    "padding:.2em .5em;text-align:left}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "tfoot{font-weight:bold}thead th{background:#eee;position:sticky;top:0}"
    "figure{margin:1em 0}svg{max-width:100%;height:auto}"
    "dl{display:grid;grid-template-columns:max-content auto;gap:.2em 1em}dd{margin:0}"
)


def _side(column: TableColumn) -> str:
    return ' class="n"' if column.kind in _RIGHT else ""


def _html_row(form: ReportForm, row: TableRow, language: str) -> str:
    cells = (f"<td{_side(column)}>{html.escape(written(column, row, language))}</td>" for column in form.columns)
    return f"<tr>{''.join(cells)}</tr>\n"


def as_text(form: ReportForm, rows: Iterable[TableRow], language: str) -> Iterator[dict[str, Cell]]:
    """The rows for a terminal, with their totals."""
    totals = TableTotals(form.columns)
    for row in totals.passing(rows):
        yield {column.key: written(column, row, language) for column in form.columns}
    for row in totals.lines(language):
        yield {column.key: written(column, row, language) for column in form.columns}


def csv_text(form: ReportForm, rows: Iterable[TableRow], language: str) -> str:
    """The CSV as one text, for short reports."""
    out = io.StringIO()
    to_csv(form, rows, language, out)
    return out.getvalue()
