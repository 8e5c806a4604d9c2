"""What the bank's codes mean: codes.toml, and the layers in which one refusal may have two meanings."""

from __future__ import annotations

from typing import Final, NoReturn

from protocols.canon.outcome import Outcome
from protocols.kit import codes
from protocols.kit.meanings import Meanings, load

SUBMITS: Final = ("pay", "batch", "payroll", "collection")
OPERATIONS: Final = (*SUBMITS, "enquiry", "core", "balance", "past_balance", "lines", "returns", "receipt")
"""The table's operations are what we want, not what the bank calls it: several of its messages share one row."""
OUTCOMES: Final[tuple[codes.OutcomeWord, ...]] = (
    "settled", "failed", "pending", "in_doubt", "not_found", "duplicate", "returned", "reversed", "empty", "retry",
    "signed_out",
)  # fmt: skip


def meanings() -> Meanings:
    """The bank's codes.toml. Raises ProtocolError("table") with every mistake in it."""
    return load(__package__, OPERATIONS, OUTCOMES)


def refusal(meanings: Meanings, operation: str, code: str, text: str, *, again: bool) -> Outcome:
    """A money message's own code other than 0. `again`: it was sent before, so some refusals prove nothing."""
    if again and meanings.table.look_up(operation, "trnrs-again", code, text) is not None:
        return meanings.word(operation, "trnrs-again", code, text)
    return meanings.word(operation, "trnrs", code, text)


def signed_out(meanings: Meanings, operation: str, code: str, text: str) -> NoReturn:
    """Raises Declined for an answer that stops at the log-on."""
    meanings.decline(operation, "sonrs", code, text)
