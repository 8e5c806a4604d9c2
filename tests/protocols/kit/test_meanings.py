"""Meanings of codes: the fates of payments, declined questions, codes that settings declare, and faults found at
load."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from protocols.bank import BadOptions
from protocols.canon.outcome import Fate, Outcome
from protocols.kit import codes
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.meanings import FATES, Declaration, Meanings, check_unlisted, declared_rows, load

ROWS = """
[[code]]
operation = "*"
layer = "head"
code = "E1"
outcome = "failed"
source = "the manual"
[[code]]
operation = "list"
layer = "head"
code = "N0"
outcome = "empty"
source = "the manual"
[[code]]
operation = "list"
layer = "head"
code = "T9"
outcome = "retry"
source = "the manual"
"""
MEANINGS = Meanings(codes.load(ROWS))
DECLARATIONS = {"refused": Declaration("failed", (("pay", "head"), ("pay", "row")))}


def test_every_outcome_has_a_fate_and_only_words_about_a_payment_have_a_clear_one() -> None:
    assert FATES.keys() == codes.OUTCOMES == set(get_args(codes.OutcomeWord))
    assert [FATES[word] for word in ("settled", "failed", "duplicate")] == [Fate.SETTLED, Fate.FAILED, Fate.DUPLICATE]
    assert {FATES[word] for word in ("empty", "retry", "rate_limited", "signed_out", "in_doubt")} == {Fate.UNKNOWN}


def test_a_code_about_a_payment() -> None:
    assert MEANINGS.word("pay", "head", "E1", "no\u202e") == Outcome(Fate.FAILED, "E1", "no\ufffd")
    assert MEANINGS.word("pay", "head", "E2") == Outcome(Fate.UNKNOWN, "E2", listed=False)
    assert MEANINGS.word("list", "head", "T9") == Outcome(Fate.UNKNOWN, "T9")


def test_a_code_that_answers_a_question() -> None:
    assert MEANINGS.is_empty("list", "head", "N0") and not MEANINGS.is_empty("list", "head", "E1")
    with pytest.raises(Declined) as caught:
        MEANINGS.decline("list", "head", "T9", "later", asked="QRY7")
    declined = caught.value
    assert (declined.code, declined.bank_text, declined.outcome, declined.listed) == ("T9", "later", "retry", True)
    assert "QRY7" in str(declined)
    with pytest.raises(Declined) as caught:
        MEANINGS.decline("list", "head", "?")
    assert (caught.value.outcome, caught.value.listed) == ("retry", False)


def test_what_the_settings_declare_is_added_in_each_place() -> None:
    rows = list(declared_rows(MEANINGS, DECLARATIONS, {"refused": ("R1", "R2")}))
    assert [(row.layer, row.code, row.outcome, row.number) for row in rows] == [
        ("head", "R1", "failed", 4),
        ("head", "R2", "failed", 5),
        ("row", "R1", "failed", 6),
        ("row", "R2", "failed", 7),
    ]
    assert {row.source for row in rows} == {"the settings: codes.refused"}
    extended = MEANINGS.extended(rows)
    assert extended.word("pay", "row", "R2").fate is Fate.FAILED
    assert extended.word("pay", "head", "E1").fate is Fate.FAILED


def test_a_code_that_the_table_has_cannot_be_declared() -> None:
    check_unlisted(MEANINGS, {"refused": ("R1",)})
    check_unlisted(MEANINGS, {"refused": ("E1",)}, but="head")
    with pytest.raises(BadOptions) as caught:
        check_unlisted(MEANINGS, {"refused": ("R1", "E1")})
    assert (caught.value.key, "E1" in caught.value.remedy) == ("codes", True)


def test_loading_names_file_code_and_the_outcomes_that_the_bank_deals_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a_bank"
    folder.mkdir()
    (folder / "codes.toml").write_text(ROWS)
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("a_bank", ("pay", "list"), ("failed", "empty", "retry")).table.file == "a_bank/codes.toml"
    with pytest.raises(ProtocolError) as caught:
        load("a_bank", ("pay", "list"), ("failed", "settled"))
    told = str(caught.value)
    assert caught.value.reason == "table"
    assert "a_bank/codes.toml: row 2 (list head N0 None): outcome 'empty' is none of failed, settled" in told
    assert "row 3 (list head T9 None): outcome 'retry'" in told
