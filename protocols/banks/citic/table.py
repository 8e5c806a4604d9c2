"""What the bank's statuses mean: codes.toml, what the settings may declare, and answers with two statuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from protocols.banks.citic.wire import Answer
from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.fields import plain
from protocols.kit.meanings import Declaration, Meanings, check_unlisted, declared_rows, load

OPERATIONS: Final = ("submit", "status", "batch", "collection", "question")
OUTCOMES: Final[tuple[codes.OutcomeWord, ...]] = (
    "settled", "failed", "pending", "in_doubt", "not_found", "duplicate", "empty", "retry",
)  # fmt: skip
_ROWS: Final = (("submit", "row"), ("batch", "row"), ("collection", "row"))
DECLARATIONS: Final[Mapping[str, Declaration]] = {
    "duplicate": Declaration("duplicate", (("submit", "outer"), *_ROWS, ("status", "row"))),
    "refused": Declaration("failed", (("submit", "outer"), *_ROWS)),
    "settled": Declaration("settled", (("batch", "row"), ("collection", "row"))),
    "not_found": Declaration("not_found", (("status", "outer"), ("batch", "outer"), ("collection", "outer"))),
    "empty": Declaration("empty", (("question", "outer"), ("question", "row"))),
}
"""The words of the option `codes`, because the bank's list of server codes is not public."""


def meanings(declared: Mapping[str, tuple[str, ...]]) -> Meanings:
    """The bank's codes.toml with what the settings declare.

    Raises ProtocolError("table"), and BadOptions where the settings contradict the bank's own page.
    """
    known = load(__package__, OPERATIONS, OUTCOMES)
    check_unlisted(known, declared, but="stt")
    return known.extended(declared_rows(known, DECLARATIONS, declared))


def told(meanings: Meanings, stt: str, status: str, text: str) -> Outcome:
    """A row of DLCIDSTT. stt decides, and the status beside it must not say otherwise: that is doubt.

    A status that no row knows may stand beside a failure (the bank's server codes are not public), and never beside a
    success. What stt leaves open, the status may say is under way.
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
    """An enquiry that was answered with a status: "not found" if the settings declare it to mean that.

    Any other status says nothing about the payment, and raises Declined.
    """
    word = meanings.word(operation, "outer", answer.status, answer.text)
    if word.fate is not Fate.NOT_FOUND:
        meanings.decline("question", "outer", answer.status, answer.text, asked=action)
    return word
