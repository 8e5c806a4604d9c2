"""The meanings of the bank's codes: codes.toml, read for the header of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Final, NoReturn

from protocols.banks.pab.header import Answer
from protocols.kit import codes
from protocols.kit.meanings import Declaration, Meanings, check_unlisted, declared_rows, load

MONEY: Final = ("4004", "4018", "4047", "4052", "KHKF03")
OPERATIONS: Final = (
    *MONEY,
    "S001",
    "4001",
    "4005",
    "4008",
    "4012",
    "4013",
    "4015",
    "4017",
    "4019",
    "4048",
    "401802",
    "KHKF04",
)
OUTCOMES: Final[tuple[codes.OutcomeWord, ...]] = (
    "settled",
    "failed",
    "pending",
    "in_doubt",
    "not_found",
    "duplicate",
    "returned",
    "empty",
    "retry",
    "rate_limited",
)
DECLARATIONS: Final[Mapping[str, Declaration]] = {
    "duplicate": Declaration("duplicate", tuple(product(MONEY, ("header",)))),
    "refused": Declaration("failed", tuple(product(MONEY, ("header",)))),
}
"""The words of the option `codes`."""


def meanings(declared: Mapping[str, tuple[str, ...]]) -> Meanings:
    """The outcomes of the bank's codes: codes.toml and the codes that the settings declare.

    Raises ProtocolError("table") with every mistake in codes.toml, BadOptions for a declared code that it has already.
    """
    known = load(__package__, OPERATIONS, OUTCOMES)
    headers = tuple(row for row in known.table.rows if row.layer == "header")
    check_unlisted(Meanings(codes.Table(known.table.file, headers)), declared)
    return known.extended(declared_rows(known, DECLARATIONS, declared))


def has_no_rows(meanings: Meanings, operation: str, answer: Answer) -> bool:
    """True if the bank's code means that there are no rows; for a list, "not found" means that too."""
    return meanings.table.look_up(operation, "header", answer.code, answer.text) in ("empty", "not_found")


def decline(meanings: Meanings, operation: str, answer: Answer) -> NoReturn:
    """Raises Declined for an answer that is neither accepted nor empty."""
    meanings.decline(operation, "header", answer.code, answer.text)
