"""The meanings of the bank's codes: codes.toml, the codes that the settings declare, and a line's result beside its
code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Final

from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.fields import plain
from protocols.kit.meanings import Declaration, Meanings, declared_rows, load

EMPTY: Final = "(empty)"
"""How an empty <Result> is written in codes.toml."""
MONEY: Final = ("PAYENT", "PAYPER", "PERDIS")
ENQUIRIES: Final = ("QPAYENT", "QPAYPER", "QPERDIS")
LISTS: Final = ("QPD", "QHISD")
OPERATIONS: Final = (*MONEY, *ENQUIRIES, *LISTS, "QACCBAL", "sign")
OUTCOMES: Final[tuple[codes.OutcomeWord, ...]] = (
    "settled",
    "failed",
    "pending",
    "in_doubt",
    "not_found",
    "duplicate",
    "empty",
    "retry",
)
DECLARATIONS: Final[Mapping[str, Declaration]] = {
    "duplicate": Declaration("duplicate", tuple(product(MONEY, ("package", "line")))),
    "refused": Declaration("failed", tuple(product(MONEY, ("package",)))),
    "not_found": Declaration("not_found", tuple(product(ENQUIRIES, ("package", "line")))),
    "empty": Declaration("empty", tuple(product(LISTS, ("package",)))),
}
"""The words of the option `codes`, because the bank's list of RetCodes is not public."""
_SUCCESS: Final = re.compile("(?<![未不])成功")
"""A success in a text, and not "交易未成功" or "不成功"."""


def meanings(declared: Mapping[str, tuple[str, ...]]) -> Meanings:
    """The outcomes of the bank's codes: codes.toml and the codes that the settings declare. Raises
    ProtocolError("table")."""
    known = load(__package__, OPERATIONS, OUTCOMES)
    return known.extended(declared_rows(known, DECLARATIONS, declared))


def about_the_question(meanings: Meanings, operation: str, layer: str, code: str, text: str = "") -> Outcome:
    """The outcome of a refused enquiry: at most "not found", never an outcome of the payment itself."""
    word = meanings.word(operation, layer, code, text)
    return word if word.fate in (Fate.NOT_FOUND, Fate.UNKNOWN) else replace(word, fate=Fate.UNKNOWN)


def line_word(meanings: Meanings, operation: str, result: str, code: str, text: str) -> Outcome:
    """The outcome of a line, from its Result and the code and text of the instruction beside it.

    Result decides (banks/icbc.md 5). An error code beside a Result that is no refusal, and a success code beside a
    refusal, are contradictions: doubt.
    """
    erred = code not in ("", "0")
    if erred and meanings.table.look_up(operation, "line", code, text) == "duplicate":
        return Outcome(Fate.DUPLICATE, code, plain(text))
    word = meanings.word(operation, "result", result or EMPTY)
    contradicts = (_SUCCESS.search(text) is not None and not erred) if word.fate is Fate.FAILED else erred
    if contradicts:
        return Outcome(Fate.UNKNOWN, f"{result or EMPTY}/{code or 0}", plain(text), listed=False)
    return replace(word, code=code if erred else word.code, text=plain(text))
