"""The model of a report: its columns, its rows as plain values, and totals by currency.

A row is a mapping from a column's key to text, a whole number or None. Money is an integer of minor units of the row's
`currency`; a written form converts it into a number with the currency's decimals.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from protocols.canon.money import exponent

Cell = str | int | None
TableRow = Mapping[str, Cell]
CURRENCY = "currency"


class CellKind(StrEnum):
    """The way in which a column's cells are written. Accounts are text, however many digits they have."""

    TEXT = "text"
    ACCOUNT = "account"
    MONEY = "money"
    COUNT = "count"
    DAY = "day"
    MOMENT = "moment"
    PERCENT = "percent"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column: its key in the rows, its headings, its kind. `added`: the column has a total (money, counts).

    `zh_words` are the Chinese words for the gateway's own texts, such as states.

    Percents are in hundredths of a percent, seconds are whole.
    """

    key: str
    zh: str
    en: str
    kind: CellKind = CellKind.TEXT
    added: bool = False
    width: int = 14
    zh_words: Mapping[str, str] = field(default_factory=dict)

    def heading(self, language: str) -> str:
        """The heading in a language."""
        return self.zh if language == "zh" else self.en

    def text(self, value: str, language: str) -> str:
        """A text of the column in a language."""
        return self.zh_words.get(value, value) if language == "zh" else value


@dataclass(frozen=True, slots=True)
class TableChart:
    """The content of a table's chart: for each value of the `label` columns the sums of `values`, or the number of
    rows.

    `in_order`: labels as they sort (days, months); else the largest first. `is_line`: a line, else bars.
    """

    zh: str
    en: str
    label: tuple[str, ...]
    values: tuple[str, ...] = ()
    is_line: bool = False
    in_order: bool = False


@dataclass(frozen=True, slots=True)
class ReportForm:
    """The definition of a report, without its rows. `about` explains its figures in both languages."""

    name: str
    zh: str
    en: str
    columns: tuple[TableColumn, ...]
    about_zh: str
    about_en: str
    charts: tuple[TableChart, ...] = ()

    def title(self, language: str) -> str:
        """The title in a language."""
        return self.zh if language == "zh" else self.en

    def about(self, language: str) -> str:
        """The explanation of the figures, in a language."""
        return self.about_zh if language == "zh" else self.about_en


@dataclass(frozen=True, slots=True)
class TableHead:
    """The lines above the table: label and value, in the language of the form."""

    lines: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class TableTotals:
    """Adds up the columns that have a total, by currency, while rows pass through `passing`."""

    columns: tuple[TableColumn, ...]
    sums: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: int = 0

    def passing(self, rows: Iterable[TableRow]) -> Iterator[TableRow]:
        """Pass the rows on unchanged, adding each to the totals."""
        added = [column.key for column in self.columns if column.added]
        for row in rows:
            self.rows += 1
            if added:
                sums = self.sums.setdefault(str(row.get(CURRENCY) or ""), {})
                for key in added:
                    value = row.get(key)
                    if isinstance(value, int):
                        sums[key] = sums.get(key, 0) + value
            yield row

    def lines(self, language: str) -> list[TableRow]:
        """One row a currency, with the word for a total in the first column."""
        word = "合计" if language == "zh" else "Total"
        first = self.columns[0].key
        return [
            {**sums, CURRENCY: currency, first: f"{word} {currency}".strip()}
            for currency, sums in sorted(self.sums.items())
        ]


def money(minor: int, currency: str) -> Decimal:
    """An amount as a number with the currency's decimals."""
    return Decimal(minor).scaleb(-exponent(currency))


def written(column: TableColumn, row: TableRow, language: str) -> str:
    """A cell as text for people: amounts with thousands separators, times without the T."""
    value = row.get(column.key)
    if value is None:
        return ""
    if isinstance(value, str):
        return column.text(value, language)
    if column.kind is CellKind.MONEY:
        currency = str(row.get(CURRENCY) or "CNY")
        return f"{money(value, currency):,.{exponent(currency)}f}"
    if column.kind is CellKind.PERCENT:
        return f"{Decimal(value).scaleb(-2):.2f} %"
    return f"{value:,}" if column.kind is CellKind.COUNT else str(value)


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_FORMULA = re.compile(r"\s*['\"]*\s*[=+\-@]")


def one_line(text: str) -> str:
    """A text without tabs, line ends and other control characters, so that it stays in its cell."""
    return _CONTROLS.sub(" ", text)


def harmless(text: str) -> str:
    """The text, changed so that no spreadsheet takes it for a formula, because the text of an ERP or a bank must not be
    executed.

    Full-width signs (＝＋－＠) count as well: a spreadsheet may read them as the plain ones.
    """
    line = one_line(text)
    return f"'{line}" if is_formula(line) else line


def is_formula(text: str) -> bool:
    """True for a text that a spreadsheet could take for a formula."""
    return _FORMULA.match(unicodedata.normalize("NFKC", text)) is not None
