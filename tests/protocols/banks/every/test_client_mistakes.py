"""A bank's side refuses every mistake of a client by name and books nothing for it, and accepts everything that its
page allows."""

from __future__ import annotations

from collections import Counter
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import cast

import pytest

from protocols.trial import banks
from tests.protocols.banks.mistakes import ClientMistakes, Corner, Mistake

MISTAKES_LEAST = 40
CORNERS_LEAST = 4
HERE = "tests.protocols.banks"
JUDGED = tuple(name for name in banks() if find_spec(f"{HERE}.{name}.client_mistakes") is not None)


@cache
def written(bank: str) -> ClientMistakes:
    return cast(ClientMistakes, import_module(f"{HERE}.{bank}.client_mistakes"))


@cache
def from_page(bank: str) -> tuple[Mistake, ...]:
    """The mistakes, written from the bank's page without knowledge of the twin's rules."""
    name = f"{HERE}.{bank}.page_mistakes"
    return import_module(name).mistakes() if find_spec(name) is not None else ()


def all_mistakes(bank: str) -> tuple[Mistake, ...]:
    return (*written(bank).mistakes(), *from_page(bank))


MISTAKES = [pytest.param(bank, one, id=f"{bank}-{one.name}") for bank in JUDGED for one in all_mistakes(bank)]
CORNERS = [pytest.param(bank, one, id=f"{bank}-{one.name}") for bank in JUDGED for one in written(bank).corners()]


@pytest.mark.parametrize(("bank", "mistake"), MISTAKES)
def test_a_mistake_is_refused_named_and_not_booked(bank: str, mistake: Mistake) -> None:
    side = written(bank).side()
    for request in mistake.before:
        side.answer(request(), mistake.port)
    before = len(side.ledger.executions)
    answer = side.answer(mistake.request(), mistake.port)
    found = answer.findings
    assert len(side.ledger.executions) == before, f"{bank} booked: {mistake.name}"
    named = [one for one in found if mistake.place in one.place and mistake.rule in (None, one.rule)]
    assert named, [(one.place, one.rule.value, one.words.english) for one in found]
    assert answer.code == found[0].refusal.code and (not mistake.code or answer.code == mistake.code)
    for one in found:
        assert one.words.english and one.words.chinese and one.source, one


@pytest.mark.parametrize(("bank", "corner"), CORNERS)
def test_what_the_page_just_allows_is_taken(bank: str, corner: Corner) -> None:
    side = written(bank).side()
    answer = side.answer(corner.request(), corner.port)
    assert [(one.place, one.words.english) for one in answer.findings] == []
    assert len(side.ledger.executions) == corner.books, (answer.code, answer.reason)


@pytest.mark.parametrize(
    ("bank", "row"),
    [("boc", "<baldat>202611{}</baldat>"), ("cib", "<DTFLOW>2026-11-{}</DTFLOW>"), ("citic", "<date>202611{}</date>")],
)
def test_a_day_that_is_not_over_has_no_closing_balance(bank: str, row: str) -> None:
    [corner] = [one for one in written(bank).corners() if one.name == "balances up to today"]
    told = written(bank).side().answer(corner.request()).data
    assert row.format(23).encode() in told and row.format(24).encode() not in told


@pytest.mark.parametrize("bank", JUDGED)
def test_a_bank_has_enough_mistakes_and_none_twice(bank: str) -> None:
    names = Counter(one.name for one in all_mistakes(bank))
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) >= MISTAKES_LEAST and len(written(bank).corners()) >= CORNERS_LEAST
    assert bank == "sample" or len(from_page(bank)) >= MISTAKES_LEAST // 2


@pytest.mark.parametrize("bank", JUDGED)
def test_no_two_mistakes_of_a_bank_are_the_same_bytes(bank: str) -> None:
    requests = Counter(one.request() for one in all_mistakes(bank))
    assert max(requests.values()) == 1
