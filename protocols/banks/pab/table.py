"""What the bank's codes mean: codes.toml, read for the header of an answer."""

from __future__ import annotations

from typing import Final, NoReturn

from protocols.banks.pab.header import Answer
from protocols.kit import codes
from protocols.kit.meanings import Meanings, load

OPERATIONS: Final = ("S001", "4001", "4004", "4005", "4008", "4012", "4013", "4015", "4017", "4018", "4019",
                     "4047", "4048", "4052", "401802", "KHKF03", "KHKF04")  # fmt: skip
OUTCOMES: Final[tuple[codes.OutcomeWord, ...]] = (
    "settled", "failed", "pending", "in_doubt", "not_found", "duplicate", "returned", "empty", "retry",
    "rate_limited",
)  # fmt: skip


def meanings() -> Meanings:
    """The bank's codes.toml. Raises ProtocolError("table") with every mistake in it."""
    return load(__package__, OPERATIONS, OUTCOMES)


def has_no_rows(meanings: Meanings, operation: str, answer: Answer) -> bool:
    """True if the bank says with its code that there are no rows; "not found" says so of a list, too."""
    return meanings.table.look_up(operation, "header", answer.code, answer.text) in ("empty", "not_found")


def decline(meanings: Meanings, operation: str, answer: Answer) -> NoReturn:
    """Raises Declined for an answer that is neither accepted nor empty."""
    meanings.decline(operation, "header", answer.code, answer.text)
