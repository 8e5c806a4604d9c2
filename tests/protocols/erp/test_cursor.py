"""Sealed continuations: each opens for its own question, and for no other."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from protocols.canon.errors import Code, Refusal
from protocols.erp.commands import parse_command
from protocols.erp.cursor import seal, unseal
from protocols.erp.words import CommandType, TransactionsQuery
from tests.protocols.erp.orders import as_json

KEY, QUESTION = b"k" * 32, ("kingdee", "0017", "2026-11-01", "2026-11-24")


@given(st.text(max_size=200), st.lists(st.text(), max_size=4).map(tuple))
def test_a_cursor_comes_back(cursor: str, question: tuple[str, ...]) -> None:
    sealed = seal(KEY, question, cursor)
    assert re.fullmatch(r"[0-9A-Za-z_-]+", sealed)
    assert unseal(KEY, question, sealed) == cursor


def test_the_contract_takes_what_the_seal_makes() -> None:
    sealed = seal(KEY, QUESTION, "2026112400917|第2页|" + "x" * 1000)
    body = {"account": "0017", "from": "2026-11-01", "to": "2026-11-24", "after": sealed}
    got = parse_command(CommandType.TRANSACTIONS_QUERY, None, as_json(body))
    assert isinstance(got, TransactionsQuery)
    assert got.after == sealed


def refused(key: bytes, question: tuple[str, ...], sealed: str) -> None:
    found = unseal(key, question, sealed)
    assert isinstance(found, Refusal), sealed
    assert found.code is Code.BAD_CURSOR


def test_one_changed_character_is_refused() -> None:
    sealed = seal(KEY, QUESTION, "cursor-2")
    for at, char in enumerate(sealed):
        refused(KEY, QUESTION, sealed[:at] + ("A" if char != "A" else "B") + sealed[at + 1 :])
    for other in (sealed[:-1], sealed + "A", sealed + "=", sealed + "\n", " " + sealed, "", sealed[:10], "é", "\ud800"):
        refused(KEY, QUESTION, other)


def test_another_key_or_question_is_refused() -> None:
    sealed = seal(KEY, QUESTION, "2")
    refused(b"x" * 32, QUESTION, sealed)
    for at in range(4):
        other = QUESTION[:at] + (QUESTION[at] + "9",) + QUESTION[at + 1 :]
        refused(KEY, other, sealed)
    # The parts have marked ends: a moved boundary makes another question.
    refused(KEY, ("kingdee0017", "", "2026-11-01", "2026-11-24"), sealed)


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    refused(KEY, QUESTION, text)
