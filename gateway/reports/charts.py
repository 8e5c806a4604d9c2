"""Charts of a report: bars or lines of the sums of its rows.

A chart is drawn once, as SVG, for HTML and PDF; a workbook draws its own from the same figures. Amounts of two
currencies never share a chart: it has the currency with the most rows, and says so.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from gateway.reports.table import CURRENCY, CellKind, ReportForm, TableChart, TableRow, money

MOST_LABELS = 31
MOST_KEPT = 2_000
_WIDTH, _HEIGHT, _LEFT, _TOP, _BELOW = 760, 220, 80, 34, 46
_Height = Callable[[float], float]
_COLOURS = ("#1f5fa8", "#c2571a", "#4a7d3a")


_LARGE = {"zh": ((1e8, "亿"), (1e4, "万")), "en": ((1e9, "bn"), (1e6, "m"), (1e3, "k"))}


@dataclass(frozen=True, slots=True)
class ChartFigures:
    """The content of a chart: a title, labels from left to right, and for each series a name and a number a label.

    `language` is the language of large numbers on the axis.
    """

    title: str
    is_line: bool
    labels: tuple[str, ...]
    series: tuple[tuple[str, tuple[float, ...]], ...]
    language: str = "en"


@dataclass(slots=True)
class ChartSums:
    """Adds up the figures of a form's charts while rows pass."""

    form: ReportForm
    _sums: dict[tuple[int, str, str], list[int]] = field(default_factory=dict)
    _rows: dict[str, int] = field(default_factory=dict)
    _crowded: set[int] = field(default_factory=set)

    def passing(self, rows: Iterable[TableRow]) -> Iterator[TableRow]:
        """Pass the rows on unchanged, adding each to the sums."""
        for row in rows:
            currency = str(row.get(CURRENCY) or "")
            if self.form.charts:
                self._rows[currency] = self._rows.get(currency, 0) + 1
            for place, chart in enumerate(self.form.charts):
                label = "\x1f".join(str(row.get(key) or "") for key in chart.label)
                if not label.strip("\x1f") or place in self._crowded:
                    continue
                if (place, currency, label) not in self._sums and len(self._sums) >= MOST_KEPT:
                    # So crowded a chart would be unreadable, and its sums would keep every row in memory.
                    self._crowded.add(place)
                    continue
                sums = self._sums.setdefault((place, currency, label), [0] * max(1, len(chart.values)))
                for at, value in enumerate([row.get(key) for key in chart.values] or [1]):
                    sums[at] += value if isinstance(value, int) else 0
            yield row

    def charts(self, language: str) -> list[ChartFigures]:
        """The charts that have figures to show."""
        return [made for place, chart in enumerate(self.form.charts) if (made := self._chart(place, chart, language))]

    def _chart(self, place: int, chart: TableChart, language: str) -> ChartFigures | None:
        columns = {column.key: column for column in self.form.columns}
        if place in self._crowded:
            return None
        of_money = any(columns[key].kind is CellKind.MONEY for key in chart.values)
        currency = max(sorted(self._rows), key=lambda one: self._rows[one], default="")
        sums: dict[str, list[int]] = {}
        for (at, its, label), values in self._sums.items():
            if at == place and (its == currency or not of_money):
                before = sums.setdefault(label, [0] * len(values))
                sums[label] = [one + more for one, more in zip(before, values, strict=True)]
        if not sums:
            return None
        labels = sorted(sums) if chart.in_order else sorted(sums, key=lambda label: (-sums[label][0], label))
        labels = labels[-MOST_LABELS:] if chart.in_order else labels[:MOST_LABELS]
        shown = tuple(
            " ".join(
                columns[key].text(word, language) for key, word in zip(chart.label, label.split("\x1f"), strict=True)
            )
            for label in labels
        )
        names = [columns[key].heading(language) for key in chart.values] or ["笔数" if language == "zh" else "Count"]

        def number(minor: int) -> float:
            return float(money(minor, currency)) if of_money else float(minor)

        series = tuple((name, tuple(number(sums[label][at]) for label in labels)) for at, name in enumerate(names))
        title = chart.zh if language == "zh" else chart.en
        return ChartFigures(f"{title} ({currency})" if of_money else title, chart.is_line, shown, series, language)


def svg(chart: ChartFigures, font: str = "sans-serif") -> str:
    """The chart as SVG. It has a title for screen readers, no script, and no content from other servers."""
    values = [value for _, numbers in chart.series for value in numbers]
    low, high = min(0.0, *values), max(0.0, *values)
    high = high if high > low else low + 1.0
    wide, tall = _WIDTH - _LEFT - 10, _HEIGHT - _TOP - _BELOW

    def y(value: float) -> float:
        return _TOP + tall * (high - value) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" font-family="{html.escape(font, quote=True)}" font-size="10">'
        f"<title>{html.escape(chart.title)}</title><text "
        f'x="{_LEFT}" y="14" font-size="12" font-weight="bold">{html.escape(chart.title)}</text>'
    ]
    for value in (low, (low + high) / 2, high):
        at = y(value)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ccc"/>'
            f'<text x="{_LEFT - 6}" y="{at + 3:.1f}" text-anchor="end">'
            f"{_short(value, chart.language)}</text>"
        )
    step = wide / len(chart.labels)
    draw = _line if chart.is_line else _bars
    for place, (name, numbers) in enumerate(chart.series):
        colour = _COLOURS[place % len(_COLOURS)]
        parts += draw(numbers, place, len(chart.series), step, y, colour)
        parts.append(
            f'<rect x="{_LEFT + 120 * place}" y="20" width="8" height="8" fill="{colour}"/>'
            f'<text x="{_LEFT + 12 + 120 * place}" y="28">{html.escape(name)}</text>'
        )
    parts += _labels(chart.labels, step)
    return "".join([*parts, "</svg>"])


def _bars(numbers: Sequence[float], place: int, of: int, step: float, y: _Height, colour: str) -> list[str]:
    wide = step * 0.7 / of
    return [
        f'<rect x="{_LEFT + step * (at + 0.15) + wide * place:.1f}" y="{min(y(value), y(0.0)):.1f}" '
        f'width="{wide:.1f}" height="{abs(y(value) - y(0.0)):.1f}" fill="{colour}"/>'
        for at, value in enumerate(numbers)
    ]


def _line(numbers: Sequence[float], place: int, of: int, step: float, y: _Height, colour: str) -> list[str]:
    points = [(_LEFT + step * (at + 0.5), y(value)) for at, value in enumerate(numbers)]
    path = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
    dots = [f'<circle cx="{across:.1f}" cy="{down:.1f}" r="2" fill="{colour}"/>' for across, down in points]
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>', *dots]


def _labels(labels: Sequence[str], step: float) -> list[str]:
    """The labels under the axis. If there is no room for all, only every second or third label is drawn."""
    shown = [label if len(label) <= 14 else f"{label[:13]}…" for label in labels]
    # A Chinese character is as wide as the letters are high, a Latin one about half of it.
    widest = 6 + max(sum(10 if ord(letter) > 0x2E80 else 6 for letter in label) for label in shown)
    each = max(1, -(-widest // max(1, int(step))))
    return [
        f'<text x="{_LEFT + step * (at + 0.5):.1f}" y="{_HEIGHT - _BELOW + 14}" text-anchor="middle">'
        f"{html.escape(label)}</text>"
        for at, label in enumerate(shown)
        if at % each == 0
    ]


def _short(value: float, language: str) -> str:
    """A number on the axis, shortened with the large units that treasurers use."""
    for size, word in _LARGE["zh" if language == "zh" else "en"]:
        if abs(value) >= size:
            return f"{Decimal(value / size):.1f} {word}"
    return f"{Decimal(value):.0f}" if value == int(value) else f"{Decimal(value):.1f}"
