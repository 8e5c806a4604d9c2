"""What the bank's codes mean: codes.toml, and the two statuses of an order read together.

The bank says where an order is (REQSTS) and, only for one that is finished, how it ended (RTNFLG). Both are looked
up here together, and nowhere else.
"""

from __future__ import annotations

from typing import Final, NoReturn

from protocols.banks.cmb.wire import Answer
from protocols.canon.outcome import Outcome
from protocols.kit import codes
from protocols.kit.meanings import Meanings, load

OPERATIONS: Final = ("submit", "status", "agency", "question")
OUTCOMES: Final[tuple[codes.OutcomeWord, ...]] = (
    "settled", "failed", "pending", "in_doubt", "not_found", "duplicate", "returned", "reversed", "retry",
    "rate_limited", "signed_out",
)  # fmt: skip
FINISHED: Final = "FIN"


def meanings() -> Meanings:
    """The bank's codes.toml. Raises ProtocolError("table") with every mistake in it."""
    return load(__package__, OPERATIONS, OUTCOMES)


def status(meanings: Meanings, operation: str, reqsts: str, rtnflg: str) -> Outcome:
    """REQSTS x RTNFLG. RTNFLG counts only beside FIN; a finished order without a listed ending is doubt."""
    if reqsts != FINISHED:
        return meanings.word(operation, "reqsts", reqsts)
    word = meanings.word(operation, "rtnflg", rtnflg)
    return Outcome(word.fate, code=f"{FINISHED}/{rtnflg}", listed=word.listed)


def is_duplicate(meanings: Meanings, code: str, text: str) -> bool:
    """True if a line's ERRCOD or ERRTXT says that our reference is known already."""
    return meanings.table.look_up("submit", "errcod", code, text) == "duplicate"


def too_often(meanings: Meanings, operation: str, answer: Answer) -> bool:
    """True if RETCOD says that this user asks too frequently."""
    return meanings.table.look_up(operation, "retcod", answer.code, answer.text) == "rate_limited"


def decline(meanings: Meanings, function: str, answer: Answer, operation: str = "question") -> NoReturn:
    """Raises Declined for an answer whose RETCOD is not 0."""
    meanings.decline(operation, "retcod", answer.code, answer.text, asked=function)
