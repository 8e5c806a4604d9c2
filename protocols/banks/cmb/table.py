"""The meanings of the bank's codes: codes.toml, the codes that the settings declare, and the two statuses of an order
read together.

The bank gives the stage of an order (REQSTS) and, only for a finished one, its result (RTNFLG). Both are looked up
together here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

from protocols.banks.cmb.wire import Answer
from protocols.canon.outcome import Outcome
from protocols.kit import codes
from protocols.kit.meanings import Declaration, Meanings, declared_rows, load

OPERATIONS: Final = ("submit", "status", "agency", "question")
OUTCOMES: Final = codes.outcomes_but("empty")
FINISHED: Final = "FIN"
DECLARATIONS: Final[Mapping[str, Declaration]] = {
    "duplicate": Declaration("duplicate", (("submit", "errcod"),)),
    "refused": Declaration("failed", (("submit", "errcod"), ("submit", "retcod"))),
}
"""The words of the option `codes`, because the bank's list of line codes is not public."""


def meanings(declared: Mapping[str, tuple[str, ...]] = {}) -> Meanings:
    """The outcomes of the bank's codes: codes.toml, and the codes that the settings declare as the bank told them.

    A declared code replaces its row in codes.toml, except for a duplicate. Raises ProtocolError("table") with every
    mistake in the file.
    """
    known = load(__package__, OPERATIONS, OUTCOMES)
    added = tuple(declared_rows(known, DECLARATIONS, declared))
    places = {(row.operation, row.layer, row.code) for row in added}
    kept = (one for one in known.table.rows if (one.operation, one.layer, one.code) not in places)
    return Meanings(codes.Table(known.table.file, (*kept, *added)))


def status(meanings: Meanings, operation: str, reqsts: str, rtnflg: str) -> Outcome:
    """The outcome of REQSTS and RTNFLG. RTNFLG counts only beside FIN; a finished order with an unknown RTNFLG is in
    doubt."""
    if reqsts != FINISHED:
        return meanings.word(operation, "reqsts", reqsts)
    word = meanings.word(operation, "rtnflg", rtnflg)
    return Outcome(word.fate, code=f"{FINISHED}/{rtnflg}", listed=word.listed)


def is_duplicate(meanings: Meanings, code: str, text: str) -> bool:
    """True if a line's ERRCOD or ERRTXT says that the bank knows our reference already."""
    return meanings.table.look_up("submit", "errcod", code, text) == "duplicate"


def too_often(meanings: Meanings, operation: str, answer: Answer) -> bool:
    """True if RETCOD says that this user asks too frequently."""
    return meanings.table.look_up(operation, "retcod", answer.code, answer.text) == "rate_limited"


def decline(meanings: Meanings, function: str, answer: Answer, operation: str = "question") -> NoReturn:
    """Raises Declined for an answer whose RETCOD is not 0."""
    meanings.decline(operation, "retcod", answer.code, answer.text, asked=function)
