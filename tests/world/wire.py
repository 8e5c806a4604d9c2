"""The messages between the daemons of `mortal` and the teaching bank, a JSON line each, over all lives.

It is read from the bytes and not from the journal, so that a judge can hold against it what the gateway believed: what
left, and what the bank had shown by then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from protocols.canon.money import Money

NAME = "wire.jsonl"
"""The file beside the settings."""
_OPERATION = re.compile(rb"<Operation>(\w+)</Operation>")
_REFERENCE = re.compile(rb"<Reference>(\w+)</Reference>")
_ACCOUNT = re.compile(rb"<Account>(\w+)</Account>")
_DEBTOR = re.compile(rb"<DebtorAccount>(\w+)</DebtorAccount>")
_BOOK = re.compile(rb"<Currency>(\w+)</Currency><Book>([0-9.]+)</Book>")
_MONEY = ("Pay", "Move")


def _first(pattern: re.Pattern[bytes], data: bytes) -> str:
    found = pattern.search(data)
    return "" if found is None else found[1].decode()


def moves_from(data: bytes, debtor: str) -> bool:
    """Whether the bytes ask the bank to move money between own accounts, away from this one."""
    return _first(_OPERATION, data) == "Move" and _first(_DEBTOR, data) == debtor


class WireLog:
    """The open log file. A line has reached the kernel when a method returns, so it survives the end of the process."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("ab", buffering=0)

    def leaves(self, data: bytes) -> None:
        """Record bytes that are about to be written to the bank."""
        operation = _first(_OPERATION, data)
        if operation in _MONEY:
            self._write({"leaves": operation, "reference": _first(_REFERENCE, data)})

    def told(self, data: bytes) -> None:
        """Record the bank's answer as far as it has arrived."""
        operation = _first(_OPERATION, data)
        if operation == "Balance" and (found := _BOOK.search(data)):
            minor = Money.parse(found[2].decode(), found[1].decode()).minor
            self._write({"told": operation, "account": _first(_ACCOUNT, data), "minor": minor})
        elif operation == "Entries":
            references = [one.decode() for one in _REFERENCE.findall(data)]
            self._write({"told": operation, "account": _first(_ACCOUNT, data), "references": references})

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")


def read_lines(file: Path) -> list[dict[str, Any]]:
    """Every line, in order."""
    return [json.loads(line) for line in file.read_bytes().splitlines()] if file.exists() else []


def left_at(lines: Sequence[Mapping[str, Any]], reference: str) -> int | None:
    """The index of the line in which this reference was sent first."""
    found = (n for n, line in enumerate(lines) if "leaves" in line and line["reference"] == reference)
    return next(found, None)


def shows(line: Mapping[str, Any], account: str, reference: str, at_least_minor: int) -> bool:
    """Whether the bank stated in this line that the account has at least this amount, or an entry with this
    reference."""
    if line.get("told") not in ("Balance", "Entries") or line["account"] != account:
        return False
    return reference in line["references"] if "references" in line else bool(line["minor"] >= at_least_minor)
