"""The record of a simulated bank: one JSON line per execution, in a file that outlives a killed simulator."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocols.canon.money import Money
from protocols.twin import Booked, Instruction


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of an instruction by the bank. `number` counts from 1 over all executions, in order.

    `decided_ms` is when it settles, or is refused if `refused` gives a reason; `returned_ms` is when the money comes
    back; from `visible_ms` on an enquiry finds it. All are milliseconds of UTC and may be in the future, because the
    fate of an execution is fixed when it is accepted.
    """

    number: int
    instruction: Instruction
    bank_serial: str
    at_ms: int
    decided_ms: int
    refused: str = ""
    returned_ms: int | None = None
    visible_ms: int = 0
    fee_minor: int = 0

    def booked(self, now_ms: int) -> Booked:
        """The booking of this execution as of `now_ms`."""
        if now_ms < self.decided_ms:
            return Booked.TAKEN
        if self.refused:
            return Booked.REFUSED
        return Booked.SETTLED if self.returned_ms is None or now_ms < self.returned_ms else Booked.RETURNED

    def to_plain(self) -> dict[str, Any]:
        """The execution as values that JSON can store."""
        asked = self.instruction
        return {
            "number": self.number,
            "reference": asked.reference,
            "debtor": asked.debtor_account,
            "creditor": asked.creditor_account,
            "creditor_name": asked.creditor_name,
            "minor": asked.amount.minor,
            "currency": asked.amount.currency,
            "purpose": asked.purpose,
            "urgent": asked.urgent,
            "bundle": asked.bundle,
            "collects": asked.collects,
            "bank_serial": self.bank_serial,
            "at_ms": self.at_ms,
            "decided_ms": self.decided_ms,
            "refused": self.refused,
            "returned_ms": self.returned_ms,
            "visible_ms": self.visible_ms,
            "fee_minor": self.fee_minor,
        }

    @classmethod
    def from_plain(cls, line: Mapping[str, Any]) -> Execution:
        """The execution that `to_plain` described."""
        asked = Instruction(
            line["reference"],
            line["debtor"],
            line["creditor"],
            line["creditor_name"],
            Money(line["minor"], line["currency"]),
            line["purpose"],
            line["urgent"],
            line.get("bundle", ""),
            line.get("collects", False),
        )
        return cls(
            line["number"],
            asked,
            line["bank_serial"],
            line["at_ms"],
            line["decided_ms"],
            line["refused"],
            line["returned_ms"],
            line["visible_ms"],
            line["fee_minor"],
        )


class ExecutionRecord:
    """The file of executions, open for appending. When `append` returns, the kernel has the line: it survives the
    process, not a power cut."""

    def __init__(self, file: Path) -> None:
        self.lines = read_lines(file, mend=True)
        self._file = file.open("ab", buffering=0)

    def append(self, line: Mapping[str, Any]) -> None:
        """Append one line."""
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_lines(file: Path, *, mend: bool = False) -> list[dict[str, Any]]:
    """The whole lines of a record; none if the file does not exist.

    A last line that was cut short (the process was killed while it wrote) is left out, and with `mend` also removed
    from the file. Raises ValueError with file and line if a line is not JSON.
    """
    if not file.exists():
        return []
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if mend and len(whole) != len(data):
        with file.open("r+b") as cut:
            cut.truncate(len(whole))
    lines: list[dict[str, Any]] = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            lines.append(json.loads(line))
        except ValueError:
            raise ValueError(f"{file}: line {number} is not JSON; move the file away to open new books") from None
    return lines


def read_executions(file: Path) -> list[Execution]:
    """Every execution in a record, in order: the bank's true state, for comparison with the ERP's messages."""
    return [Execution.from_plain(one) for line in read_lines(file) for one in plain_executions(line)]


def read_heard(file: Path) -> Counter[str]:
    """The number of messages to move money that arrived under each reference, booked or not."""
    return Counter(line["heard"] for line in read_lines(file) if "heard" in line)


def plain_executions(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The executions that one line of a record carries, as `to_plain` made them."""
    return [line["execution"]] if "execution" in line else line.get("executions", [])
