"""The pages that lead through the code: rooms and tables are those of the code, and every named file and function
exists.
"""

from __future__ import annotations

import ast
import re

import pytest

from gateway.kernel.sql.schema import metadata
from tests.docs import architecture_page
from tests.house import ROOT, texts

PAYMENT = "docs/understand/a-payment.md"
MOST_STATIONS = 12
# Every question that the first screen of the page answers.
QUESTIONS = ("fate", "daily limit", "statement line", "permit", "outbox event", "TLS connection", "command-line verb")
SCREEN = 24
WORDS = (
    "lane",
    "session",
    "epoch",
    "lease",
    "permit",
    "doubt",
    "evidence",
    "unit",
    "outbox",
    "hold",
    "resolve",
    "twin",
    "dialogue",
    "canary",
)


def cells(page: str) -> list[list[str]]:
    """The rows of a page's tables, each as the list of its cells."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]


def places(page: str) -> list[tuple[str, str]]:
    """The rows that name a file and what is in it, as (file, function)."""
    found = []
    for row in cells(page):
        for file, name in zip(row, row[1:], strict=False):
            named, function = re.fullmatch(r"`([\w./]+\.py)`", file), re.match(r"`(\w+)`", name)
            if named and function:
                found.append((named[1], function[1]))
    return found


def lost(file: str, name: str) -> str | None:
    """The fault of a row that names a place: its file is gone, or has no function or class of that name."""
    if file not in texts():
        return f"there is no file {file}"
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    defined = {node.name for node in ast.walk(ast.parse(texts()[file])) if isinstance(node, kinds)}
    return None if name in defined else f"{file} has no {name}"


def test_the_page_is_what_the_code_says() -> None:
    assert architecture_page.PAGE.read_text("utf-8") == architecture_page.page(), (
        "run `python -m tests.docs.architecture_page --write` and commit the page"
    )


def test_every_table_is_on_the_page() -> None:
    page = texts()["docs/understand/architecture.md"]
    assert [name for name in metadata.tables if f"\n| `{name}` | " not in page] == []


def test_a_table_without_words_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(architecture_page.TABLES, "stops")
    monkeypatch.setitem(architecture_page.TABLES, "halts", "a table of before")
    with pytest.raises(AssertionError, match="halts, stops"):
        architecture_page.tables()


def test_every_room_is_on_the_page() -> None:
    page = texts()["docs/understand/architecture.md"]
    rooms = {path.rpartition("/")[0] for path in texts() if re.fullmatch(r"gateway/(?!.*versions).*__init__\.py", path)}
    assert [room for room in sorted(rooms) if f"\n| `{room}` | " not in page] == []


def test_the_first_screen_answers_which_file() -> None:
    top = "\n".join(texts()["docs/understand/architecture.md"].splitlines()[:SCREEN])
    assert [question for question in QUESTIONS if question not in top] == []


@pytest.mark.parametrize("path", ["docs/understand/architecture.md", PAYMENT])
def test_files_and_functions_exist(path: str) -> None:
    found = places(texts()[path])
    assert len(found) >= len(QUESTIONS) - 1
    assert [problem for place in found if (problem := lost(*place))] == []


def test_a_payment_has_at_most_twelve_stations_in_order() -> None:
    stations = [row for row in cells(texts()[PAYMENT]) if row[0].isdigit() and len(row) == 4]  # noqa: PLR2004
    assert [row[0] for row in stations] == [str(n + 1) for n in range(len(stations))]
    assert len(stations) == len(places(texts()[PAYMENT])) <= MOST_STATIONS


def test_the_glossary_has_the_words_in_both_languages() -> None:
    rows = {row[0]: row for row in cells(texts()["docs/understand/glossary.md"]) if len(row) == 5}  # noqa: PLR2004
    assert [word for word in WORDS if word not in rows] == []
    chinese = re.compile(r"[\u4e00-\u9fff]")
    assert [
        word for word, row in rows.items() if word != "word" and not (chinese.search(row[1]) and chinese.search(row[3]))
    ] == []


@pytest.mark.parametrize(
    "row", ["| 1 | x | `gateway/kernel/core/flaw.py` | `step` |", "| 1 | x | `gateway/kernel/core/flow.py` | `stepp` |"]
)
def test_a_place_that_is_gone_is_noticed(row: str) -> None:
    [place] = places(row)
    assert lost(*place) is not None


def test_a_place_that_exists_is_left_alone() -> None:
    assert [lost(*place) for place in places("| 1 | x | `gateway/kernel/core/flow.py` | `step`, by one table |")] == [
        None
    ]
    assert (ROOT / PAYMENT).is_file()
