"""What the bank's codes mean: codes.toml, read once, and the few words a conversation asks of it.

The bank says where an order is (REQSTS) and, only for one that is finished, how it ended (RTNFLG). Both are looked
up here together, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final, NoReturn

from protocols.banks.cmb.wire import Answer
from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.declined import Declined
from protocols.kit.fields import plain

OPERATIONS: Final = ("submit", "status", "agency", "question")
FINISHED: Final = "FIN"
_FATES: Final[Mapping[str, Fate]] = {
    "settled": Fate.SETTLED,
    "failed": Fate.FAILED,
    "pending": Fate.PENDING,
    "not_found": Fate.NOT_FOUND,
    "duplicate": Fate.DUPLICATE,
    "returned": Fate.RETURNED,
    "reversed": Fate.REVERSED,
}


@dataclass(frozen=True, slots=True)
class Meanings:
    """The code table with the bank's layers."""

    table: codes.Table

    def word(self, operation: str, layer: str, code: str, text: str = "") -> Outcome:
        """What a code says about an order; in doubt and `listed` False if no row knows it."""
        found = self.table.look_up(operation, layer, code, text)
        fate = Fate.UNKNOWN if found is None else _FATES.get(found, Fate.UNKNOWN)
        return Outcome(fate, code=code, text=plain(text), listed=found is not None)

    def status(self, operation: str, reqsts: str, rtnflg: str) -> Outcome:
        """REQSTS x RTNFLG. RTNFLG counts only beside FIN; a finished order without a listed ending is doubt."""
        if reqsts != FINISHED:
            return self.word(operation, "reqsts", reqsts)
        word = self.word(operation, "rtnflg", rtnflg)
        return Outcome(word.fate, code=f"{FINISHED}/{rtnflg}", listed=word.listed)

    def is_duplicate(self, code: str, text: str) -> bool:
        """Whether a line's ERRCOD or ERRTXT says that our reference is known already."""
        return self.table.look_up("submit", "errcod", code, text) == "duplicate"

    def too_often(self, operation: str, answer: Answer) -> bool:
        """Whether RETCOD says that this user asks too frequently."""
        return self.table.look_up(operation, "retcod", answer.code, answer.text) == "rate_limited"

    def decline(self, function: str, answer: Answer, operation: str = "question") -> NoReturn:
        """Raises Declined for an answer whose RETCOD is not 0."""
        found = self.table.look_up(operation, "retcod", answer.code, answer.text)
        raise Declined(function, answer.code, plain(answer.text), found)


def meanings() -> Meanings:
    """Reads the package's codes.toml. Raises ProtocolError("table") with every mistake in it."""
    data = resources.files(__package__).joinpath("codes.toml").read_bytes()
    return Meanings(codes.load(data, "protocols/banks/cmb/codes.toml", operations=OPERATIONS))
