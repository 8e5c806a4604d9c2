"""The page for authors of a bank: its figures are counted, its example runs, and its traps are real."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from statistics import median

import pytest

from protocols.kit.choices import COMMON, Choices, read_choices
from tests.docs.test_docs import blocks
from tests.house import ROOT, committed, texts

PAGE = "protocols/README.md"
BANKS = ("boc", "cib", "citic", "cmb", "finws", "icbc", "pab", "spdb")
# The page rounds to ten lines. A bank may grow or shrink by this share before the page has to follow.
DRIFT = 0.1


def _lines(name: str, fits: Callable[[str], bool], root: str = "protocols/banks") -> int:
    """The number of lines in a bank's files whose names match."""
    paths = [path for path in committed() if path.startswith(f"{root}/{name}/") and fits(path.rpartition("/")[2])]
    return sum((ROOT / path).read_text("utf-8").count("\n") for path in paths)


def _is_twin(file: str) -> bool:
    return file.startswith("twin") and file.endswith(".py")


PARTS: dict[str, Callable[[str], int]] = {
    "adapter (`*.py` without the twin)": lambda name: _lines(
        name, lambda file: file.endswith(".py") and not _is_twin(file)
    ),
    "twin (`twin*.py`)": lambda name: _lines(name, _is_twin),
    "`codes.toml`": lambda name: _lines(name, lambda file: file == "codes.toml"),
    "`README.md` and dialogues": lambda name: _lines(name, lambda file: file == "README.md" or file.endswith(".dlg")),
    "tests in `tests/protocols/banks/<name>`": lambda name: _lines(
        name, lambda file: file.endswith(".py"), "tests/protocols/banks"
    ),
}


def stated() -> dict[str, tuple[int, int, int]]:
    """The table of costs on the page: least, most and median, by part."""
    found = re.findall(r"^\| (.+?) \| ([\d,]+) to ([\d,]+) \| ([\d,]+) \|$", texts()[PAGE], re.MULTILINE)
    return {part: (_number(least), _number(most), _number(middle)) for part, least, most, middle in found}


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_page_counts_every_bank_but_the_teaching_bank() -> None:
    folders = {
        path.split("/")[2] for path in committed() if path.startswith("protocols/banks/") and path.count("/") > 2
    }
    assert folders == {*BANKS, "sample"}
    assert stated().keys() == PARTS.keys()


@pytest.mark.parametrize("part", PARTS)
def test_the_page_states_what_a_bank_costs(part: str) -> None:
    counted = sorted(PARTS[part](name) for name in BANKS)
    for said, true in zip(stated()[part], (counted[0], counted[-1], median(counted)), strict=True):
        assert abs(said - true) <= max(true * DRIFT, 10), f"{part}: the page says {said}, counted {true:g}"


# ---- the traps -------------------------------------------------------------------------------------------------------


def example() -> dict[str, object]:
    """The names that the page's example of options defines."""
    [block] = [block for block in blocks(texts()[PAGE]) if "read_choices(" in block.text]
    made: dict[str, object] = {"__name__": __name__}
    exec(compile(block.text, PAGE, "exec"), made)
    return made


def test_the_example_of_options_runs() -> None:
    chosen = example()["chosen"]
    assert (getattr(chosen, "customer", ""), getattr(chosen, "history_days", 0)) == ("0000000001", 30)


def test_common_rows_are_found_without_merging_and_merging_is_an_error() -> None:
    made = example()
    options, choices = made["Options"], made["CHOICES"]
    assert isinstance(choices, dict) and callable(options)
    assert "history_days" in COMMON and "history_days" not in choices
    merged: Choices = {**COMMON, **choices}
    with pytest.raises(AssertionError, match="has one row of choices"):
        read_choices("mybank", options, merged, {"customer": "0000000001"})


def _escapes(path: str) -> Iterator[str]:
    """The calls of `el` in a twin's module that the shared tests cannot replace."""
    tree = ast.parse(texts()[path])
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "protocols.kit.xmldoc":
            yield from (f"{path}: imports el as {one.asname}" for one in node.names if one.name == "el" and one.asname)
        elif isinstance(node, ast.Attribute) and node.attr == "el":
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"
    for statement in tree.body:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from (
                f"{path}:{node.lineno}: calls el when it is imported"
                for node in ast.walk(statement)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "el"
            )


def test_each_twin_looks_up_its_global_el_when_it_answers() -> None:
    twins = [path for path in committed() if path.startswith("protocols/banks/") and _is_twin(path.rpartition("/")[2])]
    assert any("import el" in texts()[path] or " el," in texts()[path] for path in twins)
    assert [complaint for path in twins for complaint in _escapes(path)] == []
