"""Reads a list row by row. An unreadable row does not prevent reading the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from protocols.kit.errors import ProtocolError

R = TypeVar("R")
T = TypeVar("T")


def readable(rows: Iterable[R], read: Callable[[R], T], what: str) -> tuple[list[T], tuple[str, ...]]:
    """The results of `read` for the rows that can be read, and a sentence for each other row; `what` names the list.

    A "correlation" error is raised all the same: if a row is about another account, the whole answer may belong to
    another question.
    """
    found: list[T] = []
    findings: list[str] = []
    for number, row in enumerate(rows, start=1):
        try:
            found.append(read(row))
        except ProtocolError as error:
            if error.reason == "correlation":
                raise
            findings.append(f"{what}: row {number} cannot be read and is left out ({error})")
    return found, tuple(findings)
