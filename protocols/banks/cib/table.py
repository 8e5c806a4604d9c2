"""The meanings of the bank's codes: codes.toml, and the layers in which one refusal may have two meanings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Final, NoReturn

from protocols.canon.outcome import Outcome
from protocols.kit import codes
from protocols.kit.meanings import Declaration, Meanings, check_unlisted, declared_rows, load

SUBMITS: Final = ("pay", "batch", "payroll", "collection")
OPERATIONS: Final = (*SUBMITS, "enquiry", "core", "balance", "past_balance", "lines", "returns", "receipt")
"""The table's operations are what we want, not what the bank calls it: several of its messages share one row."""
OUTCOMES: Final = codes.outcomes_but("rate_limited")

DECLARATIONS: Final[Mapping[str, Declaration]] = {
    "duplicate": Declaration("duplicate", tuple(product(SUBMITS, ("trnrs",)))),
    "refused": Declaration("failed", tuple(product(SUBMITS, ("trnrs",)))),
    "not_found": Declaration("not_found", (("enquiry", "asked"),)),
    "empty": Declaration("empty", (("lines", "asked"), ("returns", "asked"))),
}
"""The words of the option `codes`, because the bank's list of codes is not public."""


def meanings(declared: Mapping[str, tuple[str, ...]] = {}) -> Meanings:
    """The outcomes of the bank's codes: codes.toml, and the codes that the settings declare.

    A declared refusal ends the payment only at a first send. Raises ProtocolError("table") with every mistake of the
    file, and BadOptions for a code that codes.toml has already: 2000 and 2002 have the meaning of their text.
    """
    known = load(__package__, OPERATIONS, OUTCOMES)
    check_unlisted(known, declared, but="sonrs")
    rows = tuple(declared_rows(known, DECLARATIONS, declared))
    again = (
        replace(row, layer="trnrs-again", outcome="in_doubt")
        for row in rows
        if (row.operation, row.outcome) == ("pay", "failed")
    )
    return known.extended((*rows, *again))


def refusal(meanings: Meanings, operation: str, code: str, text: str, *, again: bool) -> Outcome:
    """The outcome of a code other than 0 in the answer to an order. `again`: the order was sent before, so some
    refusals prove nothing."""
    if again and meanings.table.look_up(operation, "trnrs-again", code, text) is not None:
        return meanings.word(operation, "trnrs-again", code, text)
    return meanings.word(operation, "trnrs", code, text)


def signed_out(meanings: Meanings, operation: str, code: str, text: str) -> NoReturn:
    """Raises Declined for an answer that stops at the log-on."""
    meanings.decline(operation, "sonrs", code, text)
