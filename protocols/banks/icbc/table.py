"""What the bank's codes mean: codes.toml, read once, what the settings add to it, and the words asked of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Final, NoReturn

from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.declined import Declined
from protocols.kit.fields import plain

EMPTY: Final = "(empty)"
"""How an empty <Result> is written in codes.toml."""
MONEY: Final = ("PAYENT", "PAYPER", "PERDIS")
ENQUIRIES: Final = ("QPAYENT", "QPAYPER", "QPERDIS")
LISTS: Final = ("QPD", "QHISD")
OPERATIONS: Final = (*MONEY, *ENQUIRIES, *LISTS, "QACCBAL", "sign")

_FATES: Final[Mapping[str, Fate]] = {
    "settled": Fate.SETTLED,
    "failed": Fate.FAILED,
    "pending": Fate.PENDING,
    "in_doubt": Fate.UNKNOWN,
    "not_found": Fate.NOT_FOUND,
    "duplicate": Fate.DUPLICATE,
}
_DECLARED: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...], codes.OutcomeWord]]] = {
    "duplicate": (MONEY, ("package", "line"), "duplicate"),
    "refused": (MONEY, ("package",), "failed"),
    "not_found": (ENQUIRIES, ("package", "line"), "not_found"),
    "empty": (LISTS, ("package",), "empty"),
}
"""An option's word: the operations and layers it speaks about, and what the code means there."""
_SUCCESS: Final = re.compile("(?<![未不])成功")
"""A success in a text, and not "交易未成功" or "不成功"."""


@dataclass(frozen=True, slots=True)
class Meanings:
    """The code table with the bank's layers: nc, package, line, result."""

    table: codes.Table

    def word(self, operation: str, layer: str, code: str, text: str = "") -> Outcome:
        """What a code says about a payment; in doubt and `listed` False if no row knows it."""
        found = self.table.look_up(operation, layer, code, text)
        fate = Fate.UNKNOWN if found is None else _FATES.get(found, Fate.UNKNOWN)
        return Outcome(fate, code=code, text=plain(text), listed=found is not None)

    def about_the_question(self, operation: str, layer: str, code: str, text: str = "") -> Outcome:
        """The bank's no to an enquiry: at most "not found", never a word about the payment itself."""
        word = self.word(operation, layer, code, text)
        return word if word.fate in (Fate.NOT_FOUND, Fate.UNKNOWN) else replace(word, fate=Fate.UNKNOWN)

    def line(self, operation: str, result: str, code: str, text: str) -> Outcome:
        """A line's fate from its Result and the code and text of the instruction beside it.

        Result decides (banks/icbc.md 5). An error code beside a Result that is no refusal, and a refusal that calls
        itself a success, are contradictions: doubt.
        """
        erred = code not in ("", "0")
        if erred and self.table.look_up(operation, "line", code, text) == "duplicate":
            return Outcome(Fate.DUPLICATE, code, plain(text))
        word = self.word(operation, "result", result or EMPTY)
        contradicts = (_SUCCESS.search(text) is not None and not erred) if word.fate is Fate.FAILED else erred
        if contradicts:
            return Outcome(Fate.UNKNOWN, f"{result or EMPTY}/{code or 0}", plain(text), listed=False)
        return replace(word, code=code if erred else word.code, text=plain(text))

    def is_empty(self, operation: str, code: str, text: str) -> bool:
        """Whether a RetCode is the bank's way of saying that there are no rows."""
        return self.table.look_up(operation, "package", code, text) == "empty"

    def decline(self, operation: str, layer: str, code: str, text: str = "") -> NoReturn:
        """Raises Declined for an answer to a question that is only a code."""
        raise Declined(operation, code, plain(text), self.table.look_up(operation, layer, code, text))


def meanings(declared: Mapping[str, tuple[str, ...]]) -> Meanings:
    """Reads the package's codes.toml and adds what the settings declare. Raises ProtocolError("table")."""
    data = resources.files(__package__).joinpath("codes.toml").read_bytes()
    table = codes.load(data, "protocols/banks/icbc/codes.toml", operations=OPERATIONS)
    return Meanings(codes.Table(table.file, (*table.rows, *_rows(declared, len(table.rows)))))


def _rows(declared: Mapping[str, tuple[str, ...]], last: int) -> Iterator[codes.Row]:
    for word, listed in declared.items():
        operations, layers, outcome = _DECLARED[word]
        for operation in operations:
            for layer in layers:
                for code in listed:
                    last += 1
                    yield codes.Row(operation, layer, code, None, outcome, f"the settings: codes.{word}", last)
