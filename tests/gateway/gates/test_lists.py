"""The lists of the gate: their order, and that each rule has words, one file, one test file and one mutant."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import gate_lists
from gateway.gate_lists import RESERVING
from gateway.kernel.core.gate import GateRule
from tests.house import ROOT
from tests.world.catch import read_table

LISTS = {one.name: one for one in gate_lists.shown()}


def _rules() -> Iterator[GateRule[Any]]:
    for one in LISTS.values():
        yield from one.rules


def _file(rule: GateRule[Any]) -> Path:
    return Path(inspect.getfile(type(rule))).relative_to(ROOT)


def test_the_order_of_each_list() -> None:
    """The order is part of the decision, so a change of it must show here too."""
    order = {name: " ".join(rule.name for rule in one.rules) for name, one in LISTS.items()}
    assert order == {
        "admission": "limits duplicates payee bands mandates funding approvals",
        "release": "rights approvals duplicates payee bands funding earlier_holds",
        "sending": "permitted_before company_pause pool_move rights approvals approved_bytes",
        "write": "overtaken stop safe_mode company_pause pause approved_bytes validity repeat_window calendar permit",
        "repeating": "permitted_before",
        "resend": "rights approvals",
    }


@pytest.mark.parametrize("name", LISTS)
def test_a_rule_has_its_name_once_in_a_list_and_words_for_the_pages(name: str) -> None:
    names = [rule.name for rule in LISTS[name].rules]
    assert len(names) == len(set(names))
    for rule in LISTS[name].rules:
        assert rule.asks.endswith("?") and rule.answers, rule.name
        assert all(answer.code and answer.when and answer.does for answer in rule.answers), rule.name


def test_each_rule_has_one_file_one_test_file_and_one_mutant() -> None:
    mutated = {one.file for one in read_table() if not one.awaits}
    files = {_file(rule) for rule in _rules()}
    for file in sorted(files):
        assert file.parent.name == "gates", file
        assert (ROOT / "tests" / "gateway" / "gates" / f"test_{file.name}").is_file(), file
        assert str(file) in mutated, f"{file} has no mutant in tests/world/planted_mutants.toml"
    of_a_file = {file: {rule.name for rule in _rules() if _file(rule) == file} for file in files}
    assert all(len(names) == 1 for names in of_a_file.values()), "two rules in one file"


def test_what_reserves_at_admission_stands_in_its_list() -> None:
    assert set(RESERVING) <= set(LISTS["admission"].rules)
