"""The compliance page names tests that exist, and marks every other row open."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house import texts

PAGE = "docs/lookup/compliance.md"


def rows() -> list[list[str]]:
    found = [line.strip("| ").split(" | ") for line in texts()[PAGE].splitlines() if line.startswith("| ")]
    return [row for row in found if row[0] != "control"]


def test_each_row_has_a_control_a_feature_and_a_test() -> None:
    assert len(rows()) > 25
    assert [row for row in rows() if len(row) != 3 or not all(row)] == []


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_its_test_exists_or_it_is_open(row: list[str]) -> None:
    if row[2] == "open":
        return
    found = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", row[2])
    assert found is not None, row[2]
    path, name = found.groups()
    tree = ast.parse(texts()[path])
    tests = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in tests, f"{path} has no {name}"
