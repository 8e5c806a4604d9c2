"""What the bank's codes mean: codes.toml, read once, what the settings add to it, and the words asked of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final, NoReturn

from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.declined import Declined
from protocols.kit.fields import plain

DONE: Final = "AAAAAAA"
MONEY: Final = ("8801", "8800")
LISTS: Final = ("8804", "DO48", "EY03")
OPERATIONS: Final = (*MONEY, *LISTS, "4402", "sign")
_FATES: Final[Mapping[str, Fate]] = {
    "settled": Fate.SETTLED,
    "failed": Fate.FAILED,
    "pending": Fate.PENDING,
    "in_doubt": Fate.UNKNOWN,
    "not_found": Fate.NOT_FOUND,
    "duplicate": Fate.DUPLICATE,
    "returned": Fate.RETURNED,
}
_DECLARED: Final[Mapping[str, tuple[tuple[str, ...], str, codes.OutcomeWord]]] = {
    "duplicate": (MONEY, "head", "duplicate"),
    "refused": (MONEY, "head", "failed"),
    "empty": (LISTS, "head", "empty"),
}
"""An option's word: the operations and the layer it speaks about, and what the code means there."""
SIGN: Final = "错误原因:"
"""What the bank's reason begins with: our own text may not hold it, or nobody could tell whose word it is."""
_GLUE: Final = f"|<{SIGN}"
_REASON = re.compile(rf"\|<(?P<reason>{SIGN}(?P<code>\w*).*)>\s*\Z", re.ASCII | re.DOTALL)
_NOES: Final = (Fate.FAILED, Fate.RETURNED)


@dataclass(frozen=True, slots=True)
class Meanings:
    """The code table with the bank's layers; see codes.toml."""

    table: codes.Table

    def word(self, operation: str, layer: str, code: str, text: str = "") -> Outcome:
        """What a code says about a payment; in doubt and `listed` False if no row knows it."""
        found = self.table.look_up(operation, layer, code, text)
        fate = Fate.UNKNOWN if found is None else _FATES.get(found, Fate.UNKNOWN)
        return Outcome(fate, code=code, text=plain(text), listed=found is not None)

    def row(self, status: str, note: str) -> Outcome:
        """What a row of 8804 says: its transStatus and, of a refusal, the reason that the bank glues to the note.

        The note begins with our own text, so a reason counts only in the bank's form and at the note's end, and only
        beside a status that has one. A note that speaks of a reason in any other form may have been cut, and is doubt:
        the reason of a duplicate may be gone from it. One that tells of a duplicate goes before the refusal it is
        dressed in.
        """
        if self.word("8804", "status", status).fate not in _NOES:
            return self.word("8804", "status", status)
        code, reason = reason_of(note)
        if not reason and SIGN in note:
            return Outcome(Fate.UNKNOWN, status, plain(note[note.rindex(SIGN) :]), listed=False)
        if code and self.table.look_up("8804", "reason", code, reason) == "duplicate":
            return Outcome(Fate.DUPLICATE, code, plain(reason))
        word = self.word("8804", "status", status, reason)
        return Outcome(word.fate, code or status, word.text, listed=word.listed)

    def accepted(self, status: str, *, web: bool) -> Outcome:
        """What the transStatus in the answer to an 8801 says. `web`: users authorise, and it may speak of that."""
        if web and self.table.look_up("8801", "accepted-web", status) is not None:
            return self.word("8801", "accepted-web", status)
        return self.word("8801", "accepted", status)

    def is_empty(self, operation: str, code: str, text: str) -> bool:
        """Whether a returnCode is the bank's way of saying that there are no rows."""
        return self.table.look_up(operation, "head", code, text) == "empty"

    def decline(self, operation: str, code: str, text: str) -> NoReturn:
        """Raises Declined for an answer to a question that is only a code."""
        raise Declined(operation, code, plain(text), self.table.look_up(operation, "head", code, text))


def reason_of(note: str) -> tuple[str, str]:
    """The code and the text of the reason at a note's end (`测试|<错误原因:EGG0042 …>`); empty where there is none."""
    found = _REASON.match(note, max(note.rfind(_GLUE), 0))
    return (found["code"], found["reason"]) if found is not None else ("", "")


def meanings(declared: Mapping[str, tuple[str, ...]]) -> Meanings:
    """Reads the package's codes.toml and adds what the settings declare. Raises ProtocolError("table").

    What the settings declare about a code stands in place of what codes.toml says of it, except of a duplicate.
    """
    data = resources.files(__package__).joinpath("codes.toml").read_bytes()
    table = codes.load(data, "protocols/banks/spdb/codes.toml", operations=OPERATIONS)
    added = tuple(_rows(declared, len(table.rows)))
    places = {(row.operation, row.layer, row.code) for row in added}
    kept = [
        row for row in table.rows
        if row.outcome == "duplicate" or (row.operation, row.layer, row.code) not in places
    ]  # fmt: skip
    return Meanings(codes.Table(table.file, (*kept, *added)))


def _rows(declared: Mapping[str, tuple[str, ...]], last: int) -> Iterator[codes.Row]:
    for word, listed in declared.items():
        operations, layer, outcome = _DECLARED[word]
        for operation in operations:
            for code in listed:
                last += 1
                yield codes.Row(operation, layer, code, None, outcome, f"the settings: codes.{word}", last)
