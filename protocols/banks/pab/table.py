"""What the bank's codes mean: codes.toml, read once, and the few words a conversation asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final, NoReturn

from protocols.banks.pab.header import Answer
from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.declined import Declined
from protocols.kit.fields import plain

OPERATIONS: Final = ("S001", "4001", "4004", "4005", "4008", "4012", "4013", "4015", "4017", "4018", "4019",
                     "4047", "4048")  # fmt: skip

_FATES: Final[Mapping[str, Fate]] = {
    "settled": Fate.SETTLED,
    "failed": Fate.FAILED,
    "pending": Fate.PENDING,
    "in_doubt": Fate.UNKNOWN,
    "not_found": Fate.NOT_FOUND,
    "duplicate": Fate.DUPLICATE,
    "returned": Fate.RETURNED,
    "rate_limited": Fate.UNKNOWN,
    "retry": Fate.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Meanings:
    """The code table with the bank's layers."""

    table: codes.Table

    def word(self, operation: str, layer: str, code: str, text: str = "") -> Outcome:
        """What a code says about a payment; in doubt and `listed` False if no row knows it."""
        found = self.table.look_up(operation, layer, code, text)
        fate = Fate.UNKNOWN if found is None else _FATES.get(found, Fate.UNKNOWN)
        return Outcome(fate, code=code, text=plain(text), listed=found is not None)

    def is_empty(self, operation: str, answer: Answer) -> bool:
        """Whether a code is the bank's way of saying that there are no rows."""
        return self.table.look_up(operation, "header", answer.code, answer.text) in ("empty", "not_found")

    def decline(self, operation: str, answer: Answer) -> NoReturn:
        """Raises Declined for an answer that is neither accepted nor empty."""
        found = self.table.look_up(operation, "header", answer.code, answer.text)
        raise Declined(operation, answer.code, plain(answer.text), found)


def meanings() -> Meanings:
    """Reads the package's codes.toml. Raises ProtocolError("table") with every mistake in it."""
    data = resources.files(__package__).joinpath("codes.toml").read_bytes()
    return Meanings(codes.load(data, "protocols/banks/pab/codes.toml", operations=OPERATIONS))
