"""The meanings of a bank's codes for a payment or a question: codes.toml, and codes that the settings declare.

A bank names its operations and the outcomes that it deals with; both are checked when the table is loaded.

    OPERATIONS: Final = ("submit", "status", "question")
    OUTCOMES: Final = ("settled", "failed", "pending", "in_doubt", "empty", "retry")
    meanings = load(__package__, OPERATIONS, OUTCOMES)
    meanings.word("submit", "header", code, text)      # an Outcome of a payment
    meanings.decline("question", "header", code, text)  # raises Declined
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Final, NoReturn

from protocols.bank import BadOptions
from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.declined import Declined
from protocols.kit.fields import plain

FATES: Final[Mapping[codes.OutcomeWord, Fate]] = MappingProxyType(
    {
        "settled": Fate.SETTLED,
        "failed": Fate.FAILED,
        "pending": Fate.PENDING,
        "in_doubt": Fate.UNKNOWN,
        "not_found": Fate.NOT_FOUND,
        "duplicate": Fate.DUPLICATE,
        "returned": Fate.RETURNED,
        "reversed": Fate.REVERSED,
        # These outcomes answer a question and prove nothing about a payment.
        "empty": Fate.UNKNOWN,
        "retry": Fate.UNKNOWN,
        "rate_limited": Fate.UNKNOWN,
        "signed_out": Fate.UNKNOWN,
    }
)
"""The fate of a payment for each outcome that a row of codes.toml may have."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """The outcome of the codes that the settings list under one word of the bank's option `codes`.

    `places` are the pairs of operation and layer in which the code has this outcome.
    """

    outcome: codes.OutcomeWord
    places: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Meanings:
    """A bank's code table, read for payments (`word`) and for questions (`is_empty`, `decline`)."""

    table: codes.Table

    def word(self, operation: str, layer: str, code: str, text: str = "") -> Outcome:
        """The outcome of a payment with this code; in doubt, with `listed` False, if no row has the code."""
        found = self.table.look_up(operation, layer, code, text)
        fate = Fate.UNKNOWN if found is None else FATES[found]
        return Outcome(fate, code=code, text=plain(text), listed=found is not None)

    def is_empty(self, operation: str, layer: str, code: str, text: str = "") -> bool:
        """True if this code means that a list has no rows."""
        return self.table.look_up(operation, layer, code, text) == "empty"

    def decline(self, operation: str, layer: str, code: str, text: str = "", *, asked: str = "") -> NoReturn:
        """Raises Declined for a question that the bank answered with a code.

        `asked` is the bank's own name of the message, for people, if the table's operation is a wider term.
        """
        raise Declined(asked or operation, code, plain(text), self.table.look_up(operation, layer, code, text))

    def extended(self, rows: Iterable[codes.Row]) -> Meanings:
        """The same meanings with more rows in the table."""
        return Meanings(codes.Table(self.table.file, (*self.table.rows, *rows)))


def load(package: str, operations: Iterable[str], outcomes: Iterable[codes.OutcomeWord]) -> Meanings:
    """The meanings in the codes.toml of a bank's package.

    Raises ProtocolError "table" with every mistake in the file: see `codes.load`. An operation or an outcome that the
    bank does not name is a mistake too, so that no row is read in a way that the bank's code does not expect.
    """
    data = resources.files(package).joinpath("codes.toml").read_bytes()
    file = f"{package.replace('.', '/')}/codes.toml"
    return Meanings(codes.load(data, file, operations=operations, outcomes=outcomes))


def declared_rows(
    meanings: Meanings, declarations: Mapping[str, Declaration], given: Mapping[str, tuple[str, ...]]
) -> Iterator[codes.Row]:
    """The rows that the option `codes` adds: `given` has a list of codes for each word of `declarations`."""
    number = len(meanings.table.rows)
    for word, listed in given.items():
        meant = declarations[word]
        for operation, layer in meant.places:
            for code in listed:
                number += 1
                yield codes.Row(operation, layer, code, None, meant.outcome, f"the settings: codes.{word}", number)


def check_unlisted(meanings: Meanings, given: Mapping[str, tuple[str, ...]], *, but: str = "") -> None:
    """Raises BadOptions for a code of the option `codes` that codes.toml has already, in any layer except `but`."""
    rows = [row for row in meanings.table.rows if row.layer != but]
    for code in (code for listed in given.values() for code in listed):
        if any(row.matches(row.operation, code, "") for row in rows):
            raise BadOptions(
                "codes", f"{code} already has a meaning in the bank's code table; leave it out of the setting"
            )
