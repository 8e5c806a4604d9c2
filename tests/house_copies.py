"""The rule that no two banks have a long run of equal lines. It does not ship."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

from tests.house import Source

COPY_LINES = 12


# Runs that two banks may both have: the first counted line of the run, and the reason.
COPIES: Mapping[str, str] = {}


def bank_copies(
    sources: Iterable[Source], least: int = COPY_LINES, allowed: Mapping[str, str] = COPIES
) -> Iterator[str]:
    """Reports a run of `least` equal lines in the folders of two banks. Blank lines, comments and imports do not
    count."""
    first: dict[tuple[str, ...], tuple[str, str]] = {}  # run: the bank that has it first, and where
    unused = set(allowed)
    for one in sources:
        bank = re.match(r"protocols\.banks\.(\w+)", one.module)
        lines = _counted_lines(one) if bank else []
        told_until = 0
        for at in range(len(lines) - least + 1):
            run = tuple(text for _, text in lines[at : at + least])
            where = f"{one.path}:{lines[at][0]}"
            owner, there = first.setdefault(run, (bank[1] if bank else "", where))
            if not bank or owner == bank[1] or at < told_until:
                continue
            told_until = at + least
            unused.discard(run[0])
            if run[0] not in allowed:
                yield (
                    f"{where}: {least} lines as at {there}, from {run[0]!r} on; move what they share into the kit, "
                    "or tell COPIES (tests/house_copies.py) why"
                )
    for run_begin in sorted(unused):
        yield f"no two banks share lines from {run_begin!r} on any more; remove them from COPIES of tests/house_copies.py"


def _counted_lines(one: Source) -> list[tuple[int, str]]:
    """The lines of a file that count, each with its number and with its blanks folded."""
    imports_of = (node for node in ast.walk(one.tree) if isinstance(node, ast.Import | ast.ImportFrom))
    imported = {line for node in imports_of for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    lines = ((number, " ".join(text.split())) for number, text in enumerate(one.text.splitlines(), 1))
    return [(number, text) for number, text in lines if text and text[0] != "#" and number not in imported]
