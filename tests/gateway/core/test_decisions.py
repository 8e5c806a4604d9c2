"""A change of what the table decides is a deliberate one: see decisions.py."""

from __future__ import annotations

import json

import pytest

from gateway.core.flow import TABLE
from tests.gateway.core.decisions import FILE, PARTS, decided


@pytest.mark.parametrize("part", range(PARTS))
def test_the_table_decides_as_it_always_did(part: int) -> None:
    now, kept = decided(part), json.loads(FILE.read_text("utf-8"))[part]
    changed = sorted(rule for rule in now.keys() | kept.keys() if now.get(rule) != kept.get(rule))
    assert changed == [], "if that was meant: python -m tests.gateway.core.decisions --write"


def test_every_row_decides_something_here() -> None:
    assert {rule.name for rule in TABLE} - {rule for part in range(PARTS) for rule in decided(part)} == set()
