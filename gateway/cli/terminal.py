"""The terminal of a command: its width in columns, whether colours are wanted, and text measured, wrapped and coloured
for it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal
from unicodedata import category, east_asian_width

ColourChoice = Literal["auto", "always", "never"]
_colour: ContextVar[ColourChoice] = ContextVar("colour", default="auto")
_STDOUT, _DEFAULT_SIZE = 1, os.terminal_size((80, 24))
_drawn_later: ContextVar[bool] = ContextVar("drawn later", default=False)
_SGR: Mapping[str, str] = {
    "bold": "1",
    "dim": "2",
    "reverse": "7",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "magenta": "35",
}
_NEVER_FIRST = "，。：；、！？）》」』”’…"
_NEVER_LAST = "（《「『“‘"
_PIECES = re.compile(rf"\s+|[{_NEVER_LAST}]*(?:[\u2e80-\uffef]|[^\s\u2e80-\uffef]+)[{_NEVER_FIRST}]*")


def choose_colour(choice: ColourChoice) -> None:
    """Use colours from now on as `--color` says: auto, always or never."""
    _colour.set(choice)


@contextmanager
def drawn_later() -> Iterator[None]:
    """In this block, what is printed is drawn on the terminal later, so it is made for a terminal."""
    token = _drawn_later.set(True)
    try:
        yield
    finally:
        _drawn_later.reset(token)


def is_terminal() -> bool:
    """True if standard output is a terminal."""
    return _drawn_later.get() or sys.stdout.isatty()


def is_coloured() -> bool:
    """True if standard output gets colours: as `--color` says; by itself only on a terminal that can show them, and not
    where NO_COLOR is set."""
    choice = _colour.get()
    if choice != "auto":
        return choice == "always"
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int | None:
    """The columns of the terminal. None in a pipe or a file, where a row stays one line however long it is."""
    return size().columns if is_terminal() else None


def size() -> os.terminal_size:
    """The size of the terminal at standard output; COLUMNS and LINES in the environment go first."""
    try:
        there = os.get_terminal_size(_STDOUT)
    except OSError:
        there = os.terminal_size((0, 0))
    columns, lines = (os.environ.get(name, "") for name in ("COLUMNS", "LINES"))
    return os.terminal_size(
        (
            int(columns) if columns.isdecimal() and int(columns) else there.columns or _DEFAULT_SIZE.columns,
            int(lines) if lines.isdecimal() and int(lines) else there.lines or _DEFAULT_SIZE.lines,
        )
    )


def styled(text: str, style: str) -> str:
    """The text in a style such as `bold red`, where colours are wanted."""
    if not text or not style or not is_coloured():
        return text
    return f"\x1b[{';'.join(_SGR[one] for one in style.split())}m{text}\x1b[0m"


def columns_of(text: str) -> int:
    """The number of terminal columns that the text takes: a Chinese character takes two, an accent none."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(one) in "WF" else 0 if category(one) in ("Mn", "Me", "Cf") else 1 for one in text)


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """The text with blanks up to this many columns, to the right of it or, with `right`, to the left."""
    blanks = " " * (columns - columns_of(text))
    return blanks + text if right else text + blanks


def folded(text: str, columns: int) -> list[str]:
    """The text in lines of at most this many columns. Chinese text is broken between characters, other text at blanks;
    no line begins with a closing mark. A word that is longer than a line stays whole."""
    lines, line = [], ""
    for piece in _PIECES.findall(text):
        if piece.isspace():
            line += " " * len(piece) if line else ""
        elif line and columns_of(line + piece) > columns:
            lines.append(line.rstrip())
            line = piece
        else:
            line += piece
    return [*lines, line.rstrip()] if line.strip() else lines


def longest_piece(text: str) -> int:
    """The columns of the longest part of the text that `folded` does not break."""
    return max((columns_of(piece) for piece in _PIECES.findall(text)), default=0)


def cut(text: str, columns: int) -> str:
    """The text's beginning, in at most this many columns; `…` stands for the rest."""
    if columns_of(text) <= columns:
        return text
    while text and columns_of(text) > columns - 1:
        text = text[:-1]
    return f"{text}…"


def wrapped(pieces: Sequence[tuple[str, str]], columns: int | None) -> list[str]:
    """Pieces of text, each with its style, as the lines of a terminal of this width. Every line after the first of a
    paragraph has the paragraph's indentation."""
    marked = [(character, style) for text, style in pieces for character in text]
    lines: list[str] = []
    paragraph: list[tuple[str, str]] = []
    for character, style in [*marked, ("\n", "")]:
        if character == "\n":
            lines += _paragraph(paragraph, columns)
            paragraph = []
        else:
            paragraph.append((character, style))
    return lines


def _paragraph(marked: Sequence[tuple[str, str]], columns: int | None) -> list[str]:
    text = "".join(character for character, _style in marked)
    if columns is None or columns_of(text) <= columns:
        return [_in_styles(marked)]
    indent = len(text) - len(text.lstrip())
    lines, at = [], indent
    for line in folded(text[indent:], max(columns - indent, 1)):
        # The blanks at which the text is broken are in no line.
        at = text.index(line[0], at)
        lines.append(" " * indent + _in_styles(marked[at : at + len(line)]))
        at += len(line)
    return lines


def _in_styles(marked: Sequence[tuple[str, str]]) -> str:
    made, run, before = "", "", ""
    for character, style in marked:
        if style != before:
            made, run, before = made + styled(run, before), "", style
        run += character
    return made + styled(run, before)
