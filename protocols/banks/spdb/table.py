"""The meanings of the bank's codes: codes.toml, the settings' own codes, and a row's status beside its reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from typing import Final

from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.fields import plain
from protocols.kit.meanings import Declaration, Meanings, declared_rows, load

DONE: Final = "AAAAAAA"
MONEY: Final = ("8801", "8800")
LISTS: Final = ("8804", "8924", "DO48", "EY03")
OPERATIONS: Final = (*MONEY, *LISTS, "4402", "sign")
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
)
DECLARATIONS: Final[Mapping[str, Declaration]] = {
    "duplicate": Declaration("duplicate", tuple(product(MONEY, ("head",)))),
    "refused": Declaration("failed", tuple(product(MONEY, ("head",)))),
    "empty": Declaration("empty", tuple(product(LISTS, ("head",)))),
}
"""The words of the option `codes`, because the bank's list of returnCodes is not public."""
SIGN: Final = "错误原因:"
"""What the bank's reason begins with: our own text may not hold it, or nobody could tell whose word it is."""
_GLUE: Final = f"|<{SIGN}"
_REASON = re.compile(rf"\|<(?P<reason>{SIGN}(?P<code>\w*).*)>\s*\Z", re.ASCII | re.DOTALL)
_NOES: Final = (Fate.FAILED, Fate.RETURNED)


def meanings(declared: Mapping[str, tuple[str, ...]]) -> Meanings:
    """The outcomes of the bank's codes: codes.toml and the codes that the settings declare. Raises
    ProtocolError("table").

    A code that the settings declare replaces its row in codes.toml, except for a duplicate.
    """
    known = load(__package__, OPERATIONS, OUTCOMES)
    added = tuple(declared_rows(known, DECLARATIONS, declared))
    places = {(row.operation, row.layer, row.code) for row in added}
    kept = [
        row
        for row in known.table.rows
        if row.outcome == "duplicate" or (row.operation, row.layer, row.code) not in places
    ]
    return Meanings(codes.Table(known.table.file, (*kept, *added)))


def row_word(meanings: Meanings, status: str, note: str) -> Outcome:
    """The outcome of a row of 8804, by its transStatus and, for a refusal, by the reason that the bank appends to the
    note.

    The note begins with our own text, so a reason counts only in the bank's form and at the note's end, and only beside
    a status that has one. A note with a reason in any other form may have been cut, and is doubt, because the reason of
    a duplicate may be missing in it. A duplicate takes precedence over the refusal beside it.
    """
    if meanings.word("8804", "status", status).fate not in _NOES:
        return meanings.word("8804", "status", status)
    code, reason = reason_of(note)
    if not reason and SIGN in note:
        return Outcome(Fate.UNKNOWN, status, plain(note[note.rindex(SIGN) :]), listed=False)
    if code and meanings.table.look_up("8804", "reason", code, reason) == "duplicate":
        return Outcome(Fate.DUPLICATE, code, plain(reason))
    word = meanings.word("8804", "status", status, reason)
    return Outcome(word.fate, code or status, word.text, listed=word.listed)


def accepted(meanings: Meanings, status: str, *, web: bool) -> Outcome:
    """The outcome of the transStatus in the answer to an 8801. `web`: users authorise, so the status may be about
    authorisation."""
    if web and meanings.table.look_up("8801", "accepted-web", status) is not None:
        return meanings.word("8801", "accepted-web", status)
    return meanings.word("8801", "accepted", status)


def reason_of(note: str) -> tuple[str, str]:
    """The code and the text of the reason at a note's end (`测试|<错误原因:EGG0042 …>`); empty where there is none."""
    found = _REASON.match(note, max(note.rfind(_GLUE), 0))
    return (found["code"], found["reason"]) if found is not None else ("", "")
