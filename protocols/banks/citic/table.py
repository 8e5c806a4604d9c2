"""What the bank's statuses mean: codes.toml, read once, what the settings add to it, and the words asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Final, NoReturn

from protocols.bank import BadOptions
from protocols.banks.citic.wire import Answer
from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.declined import Declined
from protocols.kit.fields import plain

OPERATIONS: Final = ("submit", "status", "batch", "collection", "question")
_FATES: Final[Mapping[str, Fate]] = {
    "settled": Fate.SETTLED,
    "failed": Fate.FAILED,
    "pending": Fate.PENDING,
    "not_found": Fate.NOT_FOUND,
    "duplicate": Fate.DUPLICATE,
}
_DECLARED: Final[Mapping[str, tuple[tuple[tuple[str, str], ...], codes.OutcomeWord]]] = {
    "duplicate": (
        (("submit", "outer"), ("submit", "row"), ("batch", "row"), ("collection", "row"), ("status", "row")),
        "duplicate",
    ),
    "refused": ((("submit", "outer"), ("submit", "row"), ("batch", "row"), ("collection", "row")), "failed"),
    "not_found": ((("status", "outer"), ("batch", "outer"), ("collection", "outer")), "not_found"),
    "empty": ((("question", "outer"), ("question", "row")), "empty"),
}
"""An option's word: the operations and layers it speaks about, and what the status means there."""


@dataclass(frozen=True, slots=True)
class Meanings:
    """The code table with the bank's layers: outer (the call), row, stt."""

    table: codes.Table

    def word(self, operation: str, layer: str, code: str, text: str = "") -> Outcome:
        """What a status says about an order; in doubt and `listed` False if no row knows it."""
        found = self.table.look_up(operation, layer, code, text)
        fate = Fate.UNKNOWN if found is None else _FATES.get(found, Fate.UNKNOWN)
        return Outcome(fate, code=code, text=plain(text), listed=found is not None)

    def told(self, stt: str, status: str, text: str) -> Outcome:
        """A row of DLCIDSTT. stt decides, and the status beside it must not say otherwise: that is doubt.

        A status that no row knows may stand beside a failure (the bank's server codes are not public), and never
        beside a success. What stt leaves open, the status may say is under way.
        """
        inner, word = self.word("status", "row", status, text), self.word("status", "stt", stt)
        both = replace(word, code=f"{stt}/{status}", text=plain(text))
        if inner.fate is Fate.DUPLICATE:
            return replace(inner, code=both.code)
        if not word.listed or inner.fate is word.fate:
            return both
        if word.fate is Fate.FAILED and not inner.listed:
            return both
        if word.fate is Fate.UNKNOWN:
            return replace(both, fate=Fate.PENDING if inner.fate is Fate.PENDING else Fate.UNKNOWN)
        return replace(both, fate=Fate.UNKNOWN, listed=False)

    def not_told(self, action: str, operation: str, answer: Answer) -> Outcome:
        """An enquiry that was answered with a status: "not found" if the settings declare it to mean that.

        Anything else says nothing about the payment, and raises Declined.
        """
        word = self.word(operation, "outer", answer.status, answer.text)
        if word.fate is not Fate.NOT_FOUND:
            self.decline(action, answer)
        return word

    def is_empty(self, status: str, text: str) -> bool:
        """Whether a status is the bank's way of saying that there are no rows."""
        return self.table.look_up("question", "outer", status, text) == "empty"

    def decline(self, action: str, answer: Answer) -> NoReturn:
        """Raises Declined for a question that was answered with a status."""
        found = self.table.look_up("question", "outer", answer.status, answer.text)
        raise Declined(action, answer.status, plain(answer.text), found)


def meanings(declared: Mapping[str, tuple[str, ...]]) -> Meanings:
    """Reads the package's codes.toml and adds what the settings declare.

    Raises ProtocolError("table"), and BadOptions where the settings contradict the bank's own page.
    """
    data = resources.files(__package__).joinpath("codes.toml").read_bytes()
    table = codes.load(data, "protocols/banks/citic/codes.toml", operations=OPERATIONS)
    for code in (code for listed in declared.values() for code in listed):
        if any(row.matches(row.operation, code, "") for row in table.rows if row.layer != "stt"):
            raise BadOptions("codes", f"{code} has a meaning in the bank's manual; leave it out")
    return Meanings(codes.Table(table.file, (*table.rows, *_rows(declared, len(table.rows)))))


def _rows(declared: Mapping[str, tuple[str, ...]], last: int) -> Iterator[codes.Row]:
    for word, listed in declared.items():
        places, outcome = _DECLARED[word]
        for operation, layer in places:
            for code in listed:
                last += 1
                yield codes.Row(operation, layer, code, None, outcome, f"the settings: codes.{word}", last)
