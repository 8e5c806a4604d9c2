"""Tables for a terminal: aligned columns that fit its width, with every amount, id and state whole.

Prose that does not fit is wrapped. Then less important columns are left out, and the caller names them. If the others
still do not fit, each row becomes a list of its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.cli.terminal import columns_of, folded, longest_piece, padded, styled

_GAP = 2
_PROSE_COLUMNS = 16
"""Prose is not wrapped to fewer columns than this."""
_LONGEST_WORD = 34
"""A longer word without blanks inside prose goes on in the next line."""


@dataclass(frozen=True, slots=True)
class TerminalColumn:
    """A column: its heading and its cells. `whole`: a cell is never wrapped. `kept`: the column is never left out."""

    heading: str
    cells: Sequence[str]
    whole: bool
    kept: bool
    right: bool = False

    @property
    def natural(self) -> int:
        """The columns that it takes if nothing is wrapped."""
        return max(map(columns_of, (self.heading, *self.cells)))

    @property
    def least(self) -> int:
        """The fewest columns that it can take."""
        heading = longest_piece(self.heading)
        if self.whole:
            return max(heading, *map(columns_of, self.cells))
        word = min(max(map(longest_piece, self.cells)), _LONGEST_WORD)
        return max(heading, word, min(self.natural, _PROSE_COLUMNS))


@dataclass(frozen=True, slots=True)
class TableText:
    """A table as lines, and the headings of the columns that are left out."""

    lines: list[str]
    left_out: list[str]


def table_text(columns: Sequence[TerminalColumn], width: int | None, styles: Mapping[str, str]) -> TableText:
    """The table in at most `width` columns; None: as wide as it is. `styles` has the style of a cell by its text."""
    shown = list(columns)
    left_out: list[str] = []
    while width is not None and _least(shown) > width:
        lesser = next((one for one in reversed(shown) if not one.kept), None)
        if lesser is None:
            return TableText(_as_lists(shown, width, styles), left_out)
        shown.remove(lesser)
        left_out.insert(0, lesser.heading)
    return TableText(_as_rows(shown, _widths(shown, width), styles), left_out)


def _least(columns: Sequence[TerminalColumn]) -> int:
    return sum(one.least for one in columns) + _GAP * (len(columns) - 1)


def _widths(columns: Sequence[TerminalColumn], width: int | None) -> list[int]:
    """The least width of each column. The rest of the terminal's width goes to the columns that need more, the smallest
    needs first.
    """
    if width is None:
        return [one.natural for one in columns]
    widths = [one.least for one in columns]
    room = width - sum(widths) - _GAP * (len(columns) - 1)
    wishes = sorted(range(len(columns)), key=lambda at: columns[at].natural - widths[at])
    for position, at in enumerate(wishes):
        more = min(columns[at].natural - widths[at], room // (len(wishes) - position))
        widths[at] += more
        room -= more
    return widths


def _as_rows(columns: Sequence[TerminalColumn], widths: Sequence[int], styles: Mapping[str, str]) -> list[str]:
    lines = _row([one.heading for one in columns], columns, widths, lambda _cell: "bold")
    for cells in zip(*(one.cells for one in columns), strict=True):
        lines += _row(cells, columns, widths, lambda cell: styles.get(cell, ""))
    return lines


def _row(
    cells: Sequence[str], columns: Sequence[TerminalColumn], widths: Sequence[int], style: Callable[[str], str]
) -> list[str]:
    folds = [
        [cell] if columns_of(cell) <= width else _broken(cell, width) for cell, width in zip(cells, widths, strict=True)
    ]
    lines = []
    for number in range(max(map(len, folds))):
        line = ""
        for at, (fold, width) in enumerate(zip(folds, widths, strict=True)):
            text = fold[number] if number < len(fold) else ""
            shown = padded(text, width, right=columns[at].right)
            line += (" " * _GAP if at else "") + shown.replace(text, styled(text, style(cells[at])), 1)
        lines.append(line.rstrip())
    return lines


def _broken(cell: str, width: int) -> list[str]:
    """The cell in lines of at most this width; a longer word goes on in the next line."""
    lines = []
    for line in folded(cell, width):
        while columns_of(line) > width:
            end = len(line)
            while columns_of(line[:end]) > width:
                end -= 1
            lines.append(line[:end])
            line = line[end:]
        lines.append(line)
    return lines


def _as_lists(columns: Sequence[TerminalColumn], width: int, styles: Mapping[str, str]) -> list[str]:
    """Each row as lines of heading and value, for a terminal too narrow for a table."""
    most = max(columns_of(one.heading) for one in columns)
    lines: list[str] = []
    for cells in zip(*(one.cells for one in columns), strict=True):
        lines += [""] if lines else []
        for one, cell in zip(columns, cells, strict=True):
            if cell:
                first, *rest = [cell] if one.whole else folded(cell, max(width - most - _GAP, _PROSE_COLUMNS))
                lines.append(f"{padded(one.heading, most)}{' ' * _GAP}{styled(first, styles.get(cell, ''))}")
                lines += [f"{' ' * (most + _GAP)}{more}" for more in rest]
    return lines
