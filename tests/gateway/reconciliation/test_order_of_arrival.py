"""The order and the portions in which rows arrive change nothing: the register decides as if all had come at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.recon.figures import CountShare, Figures, judge
from bench.recon.generator import account_month
from bench.recon.main import terms
from gateway.reconciliation.rules.decision import OpenReason
from gateway.reconciliation.rules.increment import MatchingRegister
from gateway.reconciliation.rules.matching import decide
from gateway.reconciliation.rules.rows import MatchRow
from gateway.register.match_terms import BOOK_TERMS, PAYMENT_TERMS, MatchTerms, NumberRange, Tariff
from protocols.canon.statement import Direction

TERMS = {"numbers": (NumberRange("N", 1, 3, 1),), "tariffs": {"a": Tariff(((9, 1),))}}


def _rows(prefix: str, shadows: bool) -> st.SearchStrategy[list[MatchRow]]:
    """Rows with few different values, so that they compete for the same matches."""
    one = st.builds(
        MatchRow,
        id=st.integers(0, 30).map(lambda number: f"{prefix}{number}"),
        account=st.just("a"),
        direction=st.sampled_from((Direction.DEBIT, Direction.DEBIT, Direction.CREDIT)),
        amount_minor=st.sampled_from((1, 2, 3, 5, 5, 6, 8, -5)),
        currency=st.just("CNY"),
        day=st.integers(0, 14).map(lambda days: date(2026, 9, 1) + timedelta(days)),
        party=st.sampled_from(("", "x", "x", "y")),
        party_name=st.sampled_from(("", "X", "Y")),
        codes=st.frozensets(st.sampled_from(("c:1", "c:2", "o:1")), max_size=1),
        serials=st.frozensets(st.sampled_from(("s:1", "s:2")), max_size=1),
        numbers=st.frozensets(st.sampled_from("123"), max_size=1),
        text=st.sampled_from(("", "N1", "N2 N3")),
        reversal=st.booleans() if prefix == "l" else st.just(False),
        fee=st.booleans() if prefix == "l" else st.just(False),
        shadow=st.booleans() if shadows else st.just(False),
    )
    return st.lists(one, max_size=12, unique_by=lambda row: row.id)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[MatchTerms, list[MatchRow], list[MatchRow], list[tuple[bool, MatchRow]]]:
    base = draw(st.sampled_from((PAYMENT_TERMS, BOOK_TERMS)))
    entries, lines = draw(_rows("e", base is PAYMENT_TERMS)), draw(_rows("l", False))
    arrival = draw(st.permutations([*((False, row) for row in entries), *((True, row) for row in lines)]))
    return replace(base, **TERMS), entries, lines, arrival  # type: ignore[arg-type]


@settings(max_examples=400, deadline=None)
@given(_cases(), st.integers(1, 5))
def test_portions_give_what_all_at_once_gives(
    case: tuple[MatchTerms, list[MatchRow], list[MatchRow], list[tuple[bool, MatchRow]]], portion: int
) -> None:
    limits, entries, lines, arrival = case
    register = MatchingRegister(limits)
    for start in range(0, len(arrival), portion):
        some = arrival[start : start + portion]
        register.put([row for is_line, row in some if not is_line], [row for is_line, row in some if is_line])
    assert register.decided() == decide(entries, lines, limits)


def test_a_red_row_of_another_day_has_its_reason_when_it_comes_later() -> None:
    red = [MatchRow(id, "a", Direction.DEBIT, -5, "CNY", date(2026, 9, day), "x") for id, day in (("e", 1), ("l", 11))]
    register = MatchingRegister(BOOK_TERMS)
    register.put(red[:1])
    register.put((), red[1:])
    assert register.decided() == decide(red[:1], red[1:], BOOK_TERMS)
    assert register.decided().open_lines == {"l": OpenReason.DATE}


@settings(max_examples=200, deadline=None)
@given(_cases())
def test_rows_taken_out_or_replaced_leave_no_trace(
    case: tuple[MatchTerms, list[MatchRow], list[MatchRow], list[tuple[bool, MatchRow]]],
) -> None:
    limits, entries, lines, _ = case
    register = MatchingRegister(limits)
    other = [replace(row, amount_minor=5, codes=frozenset({"c:1"})) for row in lines]
    register.put(entries, other)
    register.put((), lines)
    register.remove([row.id for row in entries[::2]], [row.id for row in lines[::3]])
    left = [row for row in lines if row not in lines[::3]]
    assert register.decided() == decide(entries[1::2], left, limits)


@pytest.mark.parametrize("seed", range(4))
def test_generated_accounts_have_nothing_wrong(seed: int) -> None:
    figures = Figures()
    month = account_month(seed, 1_500, seed)
    judge(month, *terms(month.account), figures)
    assert figures.wrong == []
    assert figures.coded.percent >= 98 and figures.uncoded.percent >= 84
    assert figures.line().startswith("recon: ")


def test_a_wrong_match_is_counted() -> None:
    month = account_month(1, 300, 1)
    ids = [row.id for row in month.lines if row.id in month.truth_b]
    first, second = ids[0], ids[1]
    month.truth_b[first], month.truth_b[second] = month.truth_b[second], month.truth_b[first]
    figures = Figures()
    judge(month, *terms(month.account), figures)
    assert figures.wrong and "wrong" in figures.failings()[0]


def test_a_share_of_too_few_lines_is_stated_and_not_judged() -> None:
    few, many = Figures(groups=CountShare(89, 100)), Figures(groups=CountShare(890, 1_000))
    assert "89.0 % groups (89 of 100, too few to judge)" in few.line() and few.failings() == []
    assert "89.0 % groups, " in many.line() and many.failings() == ["groups: 89.0 %, less than 90.0 %"]
