"""The meanings of the bank's codes: the words of codes.toml, the codes that the settings declare, and the lost
session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocols.banks.boc.wire import Status
from protocols.kit.codes import OutcomeWord
from protocols.kit.meanings import Declaration, Meanings, check_unlisted, declared_rows, load

OPERATIONS: Final = ("submit", "status", "question")
OUTCOMES: Final[tuple[OutcomeWord, ...]] = (
    "settled",
    "failed",
    "pending",
    "in_doubt",
    "not_found",
    "duplicate",
    "empty",
    "signed_out",
)
DECLARATIONS: Final[Mapping[str, Declaration]] = {
    "duplicate": Declaration("duplicate", (("submit", "message"), ("submit", "row"))),
    "refused": Declaration("failed", (("submit", "message"), ("submit", "row"), ("status", "row"))),
    "not_found": Declaration("not_found", (("status", "row"), ("status", "message"))),
    "empty": Declaration("empty", (("question", "message"), ("question", "row"))),
}
"""The words of the option `codes`, because the bank's list of rspcod is not public."""


def meanings(declared: Mapping[str, tuple[str, ...]]) -> Meanings:
    """The outcomes of the bank's codes: codes.toml and the codes that the settings declare.

    Raises ProtocolError("table"), and BadOptions if the settings contradict the bank's own page.
    """
    known = load(__package__, OPERATIONS, OUTCOMES)
    check_unlisted(known, declared)
    return known.extended(declared_rows(known, DECLARATIONS, declared))


def check_signed_on(meanings: Meanings, code: str, *statuses: Status) -> None:
    """Raises Declined ("signed_out") if the bank answers, for the message or a row, that it does not know the token."""
    for status in statuses:
        if meanings.table.look_up("question", "message", status.code, status.text) == "signed_out":
            meanings.decline("question", "message", status.code, status.text, asked=code)
