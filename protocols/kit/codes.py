"""The meanings of a bank's codes, as data: rows of codes.toml, each with its source.

    [[code]]
    operation = "payment.submit"     # or "*"
    layer = "header"                 # which of the bank's status levels
    code = "MA4045"                  # or a list; "ET*" means every code that begins with ET
    text = "已存在"                   # optional: regular expression found in the bank's text
    outcome = "duplicate"
    source = "the bank's manual, section 5"

A row needs `code`, `text` or both. For a code without a row the table gives None, and the caller decides: a payment is
then in doubt and never failed, a question is asked again.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from protocols.kit.errors import ProtocolError

OutcomeWord = Literal[
    "settled",
    "failed",
    "pending",
    "in_doubt",
    "not_found",
    "duplicate",
    "returned",
    "reversed",
    "empty",
    "retry",
    "rate_limited",
    "signed_out",
]
OUTCOMES: Final[frozenset[OutcomeWord]] = frozenset(get_args(OutcomeWord))


def outcomes_but(*without: OutcomeWord) -> tuple[OutcomeWord, ...]:
    """All outcomes except these, for a bank whose codes cannot have the excepted outcomes."""
    return tuple(word for word in get_args(OutcomeWord) if word not in without)


_KEYS: Final = frozenset(("operation", "layer", "code", "text", "outcome", "source", "note"))


@dataclass(frozen=True, slots=True)
class Row:
    """One rule of a code table. `number` is its place in the file, for error messages."""

    operation: str
    layer: str
    code: str | None
    text: re.Pattern[str] | None
    outcome: OutcomeWord
    source: str
    number: int
    note: str = ""

    def matches(self, operation: str, code: str, text: str) -> bool:
        if self.operation not in ("*", operation):
            return False
        if self.code is not None and not (
            code.startswith(self.code[:-1]) if self.code.endswith("*") else code == self.code
        ):
            return False
        return self.text is None or self.text.search(text) is not None

    @property
    def weight(self) -> tuple[bool, int, int, bool, bool]:
        """The order of evaluation, greatest first: duplicates before all others, then more exact rules."""
        exact = 0 if self.code is None else 1 if self.code.endswith("*") else 2
        prefix_chars = len(self.code or "") if exact == 1 else 0
        return (self.outcome == "duplicate", exact, prefix_chars, self.text is not None, self.operation != "*")


@dataclass(frozen=True, slots=True)
class Table:
    """All rules of one bank's code table."""

    file: str
    rows: tuple[Row, ...]
    _exact: dict[tuple[str, str], list[Row]] = field(init=False, repr=False, compare=False)
    _other: dict[str, list[Row]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        exact: dict[tuple[str, str], list[Row]] = {}
        other: dict[str, list[Row]] = {}
        for row in self.rows:
            if row.code is None or row.code.endswith("*"):
                other.setdefault(row.layer, []).append(row)
            else:
                exact.setdefault((row.layer, row.code), []).append(row)
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_other", other)

    def look_up(self, operation: str, layer: str, code: str, text: str = "") -> OutcomeWord | None:
        """The outcome of the bank's code and text, or None if no row has them.

        Rows for duplicates come first, whatever else matches: a duplicate that the bank reports as a failure may hide
        a payment that was made. Among the other rows the most exact one decides. If two equally exact rows disagree,
        the result is None.
        """
        likely = (*self._exact.get((layer, code), ()), *self._other.get(layer, ()))
        found = [row for row in likely if row.matches(operation, code, text)]
        if not found:
            return None
        top = max(row.weight for row in found)
        outcomes = {row.outcome for row in found if row.weight == top}
        return outcomes.pop() if len(outcomes) == 1 else None


def load(
    data: str | bytes,
    file: str = "codes.toml",
    *,
    operations: Iterable[str] | None = None,
    outcomes: Iterable[OutcomeWord] = OUTCOMES,
) -> Table:
    """The table in a codes.toml. Raises "table" with every mistake found, each with file and row.

    Mistakes: no rows, unknown keys or outcome words, a missing source, a rule without code and text, a pattern that
    does not compile, the same rule twice; with `operations` also an operation that is not among them; with `outcomes`
    also an outcome that is not among them.
    """
    try:
        document = tomllib.loads(data if isinstance(data, str) else data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProtocolError("table", f"{file}: not TOML: {error}") from None
    mistakes: list[str] = []
    raw_rows = document.get("code", [])
    if set(document) != {"code"} or not isinstance(raw_rows, list) or not raw_rows:
        mistakes.append("the file must consist of [[code]] rows, at least one")
        raw_rows = []
    known = None if operations is None else frozenset((*operations, "*"))
    expected = frozenset(outcomes)
    rows = [
        row for number, raw in enumerate(raw_rows, start=1) for row in _rows(raw, number, known, expected, mistakes)
    ]
    mistakes.extend(_repeated(rows))
    if mistakes:
        raise ProtocolError("table", f"{file}: " + "; ".join(mistakes))
    return Table(file, tuple(rows))


def _rows(
    raw: Mapping[str, Any],
    number: int,
    known: frozenset[str] | None,
    outcomes: frozenset[OutcomeWord],
    mistakes: list[str],
) -> list[Row]:
    where = f"row {number} ({raw.get('operation')} {raw.get('layer')} {raw.get('code')} {raw.get('text')})"
    codes = raw.get("code")
    listed = codes if isinstance(codes, list) else [codes]
    problems = [f"unknown key {key}" for key in sorted(raw.keys() - _KEYS)]
    problems += [f"{key} is missing" for key in ("operation", "layer", "source") if not _is_word(raw.get(key))]
    if raw.get("outcome") not in outcomes:
        problems.append(f"outcome {raw.get('outcome')!r} is none of {', '.join(sorted(outcomes))}")
    if known is not None and raw.get("operation") not in known:
        problems.append(f"operation is none of {', '.join(sorted(known))}")
    if not listed or not all(code is None or _is_word(code) for code in listed):
        problems.append("code must be text, or a list of texts")
    if codes is None and raw.get("text") is None:
        problems.append("neither code nor text")
    pattern = _pattern(raw.get("text"), problems)
    if problems:
        mistakes.extend(f"{where}: {problem}" for problem in problems)
        return []
    note = str(raw.get("note", ""))
    operation, layer, outcome, source = raw["operation"], raw["layer"], raw["outcome"], raw["source"]
    return [Row(operation, layer, code, pattern, outcome, source, number, note) for code in listed]


def _is_word(candidate: object) -> bool:
    return isinstance(candidate, str) and bool(candidate.strip())


def _pattern(raw: object, problems: list[str]) -> re.Pattern[str] | None:
    if raw is None:
        return None
    if not isinstance(raw, str) or not raw:
        problems.append("text must be a regular expression")
        return None
    try:
        return re.compile(raw)
    except re.error as error:
        problems.append(f"text is not a regular expression: {error}")
        return None


def _repeated(rows: Iterable[Row]) -> list[str]:
    first: dict[tuple[str, str, str | None, str | None], Row] = {}
    mistakes: list[str] = []
    for row in rows:
        key = (row.operation, row.layer, row.code, row.text.pattern if row.text else None)
        if key in first:
            mistakes.append(f"row {row.number} says again what row {first[key].number} says ({key})")
        first.setdefault(key, row)
    return mistakes
