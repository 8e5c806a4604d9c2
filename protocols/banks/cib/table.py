"""What the bank's codes mean: codes.toml, read once, and the few words a conversation asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final, NoReturn

from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.declined import Declined
from protocols.kit.fields import plain

SUBMITS: Final = ("pay", "batch", "payroll", "collection")
OPERATIONS: Final = (*SUBMITS, "enquiry", "core", "balance", "past_balance", "lines", "returns", "receipt")
"""The table's operations are what we want, not what the bank calls it: several of its messages share one row."""

_FATES: Final[Mapping[str, Fate]] = {
    "settled": Fate.SETTLED,
    "failed": Fate.FAILED,
    "pending": Fate.PENDING,
    "in_doubt": Fate.UNKNOWN,
    "not_found": Fate.NOT_FOUND,
    "duplicate": Fate.DUPLICATE,
    "returned": Fate.RETURNED,
    "reversed": Fate.REVERSED,
    "retry": Fate.UNKNOWN,
    "signed_out": Fate.UNKNOWN,
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

    def refusal(self, operation: str, code: str, text: str, *, again: bool) -> Outcome:
        """A money message's own code other than 0. `again`: it was sent before, so some refusals prove nothing."""
        if again and self.table.look_up(operation, "trnrs-again", code, text) is not None:
            return self.word(operation, "trnrs-again", code, text)
        return self.word(operation, "trnrs", code, text)

    def is_empty(self, operation: str, code: str, text: str) -> bool:
        """Whether a code is the bank's way of saying that there are no rows."""
        return self.table.look_up(operation, "asked", code, text) == "empty"

    def decline(self, operation: str, code: str, text: str) -> NoReturn:
        """Raises Declined for a question that was answered with a code."""
        raise Declined(operation, code, plain(text), self.table.look_up(operation, "asked", code, text))

    def signed_out(self, operation: str, code: str, text: str) -> NoReturn:
        """Raises Declined for an answer that stops at the log-on."""
        raise Declined(operation, code, plain(text), self.table.look_up(operation, "sonrs", code, text))


def meanings() -> Meanings:
    """Reads the package's codes.toml. Raises ProtocolError("table") with every mistake in it."""
    data = resources.files(__package__).joinpath("codes.toml").read_bytes()
    return Meanings(codes.load(data, "protocols/banks/cib/codes.toml", operations=OPERATIONS))
