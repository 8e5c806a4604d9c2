"""What the bank's codes mean: codes.toml, read once, what the settings add to it, and the words asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final, NoReturn

from protocols.bank import BadOptions
from protocols.banks.boc.wire import Status
from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.declined import Declined

OPERATIONS: Final = ("submit", "status", "question")
_FATES: Final[Mapping[str, Fate]] = {
    "settled": Fate.SETTLED,
    "failed": Fate.FAILED,
    "pending": Fate.PENDING,
    "not_found": Fate.NOT_FOUND,
    "duplicate": Fate.DUPLICATE,
}
_DECLARED: Final[Mapping[str, tuple[tuple[tuple[str, str], ...], codes.OutcomeWord]]] = {
    "duplicate": ((("submit", "message"), ("submit", "row")), "duplicate"),
    "refused": ((("submit", "message"), ("submit", "row"), ("status", "row")), "failed"),
    "not_found": ((("status", "row"), ("status", "message")), "not_found"),
    "empty": ((("question", "message"), ("question", "row")), "empty"),
}
"""An option's word: the operations and layers it speaks about, and what the code means there."""


@dataclass(frozen=True, slots=True)
class Meanings:
    """The code table with the bank's two layers: message (trn-…-rs) and row."""

    table: codes.Table

    def word(self, operation: str, layer: str, status: Status) -> Outcome:
        """What a code says about an order; in doubt and `listed` False if no row knows it."""
        found = self.table.look_up(operation, layer, status.code, status.text)
        fate = Fate.UNKNOWN if found is None else _FATES.get(found, Fate.UNKNOWN)
        return Outcome(fate, code=status.code, text=status.text, listed=found is not None)

    def is_empty(self, status: Status) -> bool:
        """Whether a code is the bank's way of saying that there are no rows."""
        return self.table.look_up("question", "message", status.code, status.text) == "empty"

    def decline(self, code: str, status: Status) -> NoReturn:
        """Raises Declined for a question that was answered with a code; `signed_out` makes the lane sign on again."""
        found = self.table.look_up("question", "message", status.code, status.text)
        raise Declined(code, status.code, status.text, found)

    def must_be_signed_on(self, code: str, *statuses: Status) -> None:
        """Raises Declined ("signed_out") if one says, of the message or of a row, that the bank knows no such token."""
        for status in statuses:
            if self.table.look_up("question", "message", status.code, status.text) == "signed_out":
                self.decline(code, status)


def meanings(declared: Mapping[str, tuple[str, ...]]) -> Meanings:
    """Reads the package's codes.toml and adds what the settings declare.

    Raises ProtocolError("table"), and BadOptions where the settings contradict the bank's own page.
    """
    data = resources.files(__package__).joinpath("codes.toml").read_bytes()
    table = codes.load(data, "protocols/banks/boc/codes.toml", operations=OPERATIONS)
    for code in (code for listed in declared.values() for code in listed):
        if any(row.matches(row.operation, code, "") for row in table.rows):
            raise BadOptions("codes", f"{code} has a meaning already; leave it out")
    return Meanings(codes.Table(table.file, (*table.rows, *_rows(declared, len(table.rows)))))


def _rows(declared: Mapping[str, tuple[str, ...]], last: int) -> Iterator[codes.Row]:
    for word, listed in declared.items():
        places, outcome = _DECLARED[word]
        for operation, layer in places:
            for code in listed:
                last += 1
                yield codes.Row(operation, layer, code, None, outcome, f"the settings: codes.{word}", last)
