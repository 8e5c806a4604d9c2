"""Rows that cannot be read: each becomes a finding for people, and hides no other row (banks/COMMON-B.md 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from protocols.kit.errors import ProtocolError

FINDINGS_MOST: Final = 20
"""Findings told one by one; a list in a form that nobody knows would otherwise fill the log."""
T = TypeVar("T")
U = TypeVar("U")


def read_each(rows: Iterable[T], read: Callable[[T], U], what: str) -> tuple[list[U], tuple[str, ...]]:
    """What `read` makes of each row, and a sentence for each row that it refuses with ProtocolError.

    A row that is left out proves nothing about a payment, as little as a row that the bank did not write.
    """
    found: list[U] = []
    findings: list[str] = []
    left_out = 0
    for place, row in enumerate(rows, start=1):
        try:
            found.append(read(row))
        except ProtocolError as error:
            left_out += 1
            if left_out <= FINDINGS_MOST:
                findings.append(f"{what}: row {place} is not read ({error.reason}: {error.text}); ask the bank for it")
    if left_out > FINDINGS_MOST:
        findings.append(f"{what}: {left_out - FINDINGS_MOST} more rows are not read")
    return found, tuple(findings)
