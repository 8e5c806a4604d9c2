"""The meanings of the bank's statuses: codes.toml, the codes that the settings declare, and answers with two
statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from protocols.bank import BadOptions
from protocols.banks.citic.options import LISTS
from protocols.banks.citic.wire import Answer
from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.meanings import Declaration, Meanings, declared_rows, load
from protocols.kit.xmldoc import value_or

_MONEY: Final = ("submit", "status", "batch", "collection")
OPERATIONS: Final = (*_MONEY, "question", *LISTS)
OUTCOMES: Final[tuple[codes.OutcomeWord, ...]] = (
    "settled",
    "failed",
    "pending",
    "in_doubt",
    "not_found",
    "duplicate",
    "empty",
    "retry",
    "rate_limited",
)
_ROWS: Final = (("submit", "row"), ("batch", "row"), ("collection", "row"))
DECLARATIONS: Final[Mapping[str, Declaration]] = {
    "duplicate": Declaration("duplicate", (("submit", "outer"), *_ROWS, ("status", "row"))),
    "refused": Declaration("failed", (("submit", "outer"), *_ROWS)),
    "settled": Declaration("settled", (("batch", "row"), ("collection", "row"))),
    "not_found": Declaration("not_found", (("status", "outer"), ("batch", "outer"), ("collection", "outer"))),
    "empty": Declaration("empty", (("question", "outer"), ("question", "row"))),
    **{f"empty {action}": Declaration("empty", ((action, "outer"),)) for action in LISTS},
}
"""The words of the option `codes`, because the bank's list of server codes is not public."""


CLAIMED: Final = "clients: "
"""How the note of a code begins that only other clients read as a refusal. What follows is its meaning for people."""


def meanings(declared: Mapping[str, tuple[str, ...]]) -> Meanings:
    """The outcomes of the bank's codes: codes.toml and the codes that the settings declare.

    A refusal that only other clients know is in doubt, until the settings declare it (codes.refused).

    Raises ProtocolError("table"), and BadOptions if the settings contradict the bank's own page.
    """
    known = load(__package__, OPERATIONS, OUTCOMES)
    attested = declared.get("refused", ())
    rows = (row for row in known.table.rows if not (row.note.startswith(CLAIMED) and row.code in attested))
    known = Meanings(codes.Table(known.table.file, tuple(rows)))
    _check(known, declared)
    return known.extended(declared_rows(known, DECLARATIONS, declared))


def _check(known: Meanings, declared: Mapping[str, tuple[str, ...]]) -> None:
    """Raises BadOptions for a code to which codes.toml gives another meaning.

    One status may have two meanings, for questions and for money, so each kind is compared with its own rows. A status
    that is declared for one action must not contradict its meaning for every question.
    """
    for word, listed in declared.items():
        meant = DECLARATIONS[word]
        kind: tuple[str, ...]
        layers: tuple[str, ...]
        if word == "empty":
            kind, layers = ("*", "question", *LISTS), ("outer", "row")
        elif meant.outcome == "empty":
            kind, layers = ("question", *(operation for operation, _ in meant.places)), ("outer",)
        else:
            kind, layers = ("*", *_MONEY), ("outer", "row")
        rows = [row for row in known.table.rows if row.layer in layers and row.operation in kind]
        for code in listed:
            if any(row.outcome != meant.outcome and row.matches(row.operation, code, "") for row in rows):
                raise BadOptions("codes", f"{code} has another meaning in the bank's code table; leave it out")


def handed_in(meanings: Meanings, operation: str, layer: str, status: str, text: str) -> Outcome:
    """The outcome of an order, or of one line of a message.

    For a status that only other clients read as a refusal, the outcome's text states that reading.
    """
    word = meanings.word(operation, layer, status, text)
    if word.fate is not Fate.UNKNOWN or not word.listed:
        return word
    for row in meanings.table.rows:
        if row.note.startswith(CLAIMED) and row.layer == layer and row.matches(operation, status, text):
            said = f"{word.text} ({row.note.removeprefix(CLAIMED)}; other clients say so, codes.refused attests it)"
            return replace(word, text=said.strip())
    return word


def asked_word(meanings: Meanings, action: str, answer: Answer) -> codes.OutcomeWord | None:
    """The meaning of a status in the answer to a question: that of the action, else that for every question."""
    own = meanings.table.look_up(action, "outer", answer.status, answer.text)
    return own or meanings.table.look_up("question", "outer", answer.status, answer.text)


def is_empty(meanings: Meanings, action: str, answer: Answer) -> bool:
    """True if the status says that the action's list has no rows. Raises "value" if the answer has some."""
    if asked_word(meanings, action, answer) != "empty":
        return False
    counts = (value_or(answer.root, tag).strip("0") for tag in ("returnRecords", "totalRecords"))
    if answer.rows or any(counts):
        raise ProtocolError("value", f"{action} was answered {answer.status}, an empty list, and the list has rows")
    return True


def declined(meanings: Meanings, action: str, answer: Answer) -> Declined:
    """The exception for a question that was answered with a status."""
    return Declined(action, answer.status, plain(answer.text), asked_word(meanings, action, answer))


def told(meanings: Meanings, stt: str, status: str, text: str) -> Outcome:
    """The outcome of a row of DLCIDSTT. stt decides; if the status beside it contradicts it, the outcome is doubt.

    A status without a row may be beside a failure (the bank's server codes are not public), and never beside a success.
    If stt decides nothing, the status may show that the payment is under way.
    """
    inner, word = meanings.word("status", "row", status, text), meanings.word("status", "stt", stt)
    both = replace(word, code=f"{stt}/{status}", text=plain(text))
    if inner.fate is Fate.DUPLICATE:
        return replace(inner, code=both.code)
    if not word.listed or inner.fate is word.fate:
        return both
    if word.fate is Fate.FAILED and not inner.listed:
        return both
    if word.fate is Fate.UNKNOWN:
        return replace(both, fate=Fate.PENDING if inner.fate is Fate.PENDING else Fate.UNKNOWN)
    return replace(both, fate=Fate.UNKNOWN, listed=False)


def not_told(meanings: Meanings, action: str, operation: str, answer: Answer) -> Outcome:
    """The outcome of an enquiry that was answered with a status: "not found" if the settings declare the status so.

    Any other status says nothing about the payment, and raises Declined.
    """
    word = meanings.word(operation, "outer", answer.status, answer.text)
    if word.fate is not Fate.NOT_FOUND:
        raise declined(meanings, action, answer)
    if answer.rows:
        raise ProtocolError("value", f"{action} was answered {answer.status}, not found, and with rows")
    return word
