"""The approval policy: gaps and overlaps are found, the strictest band counts, and splitting a payment gains
nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.approvals.rules.approval_bands import (
    ApprovalBand,
    ApprovalFacts,
    ApprovalNeed,
    defects,
    needed,
    stricter,
    tighter_or_equal,
)

LOW, MIDDLE, HIGH = (
    ApprovalBand("CNY", 0, 1_000, 0),
    ApprovalBand("CNY", 1_000, 50_000, 1),
    ApprovalBand("CNY", 50_000, None, 2, "*"),
)
GOOD = (LOW, MIDDLE, HIGH)
NEW = (ApprovalBand("CNY", 0, None, 2, payee="new"),)
DIRECTOR = (ApprovalBand("CNY", 0, 50_000, 0, "directors"), ApprovalBand("CNY", 50_000, None, 1, "directors"))
FACTS = ApprovalFacts("CNY", 500, "payment", "known", "erp", maker="wang")


def test_a_policy_without_defects() -> None:
    assert defects(GOOD) == [] and defects((*GOOD, *NEW, *DIRECTOR)) == []


@pytest.mark.parametrize(
    ("bands", "why"),
    [
        ((), "no band at all"),
        ((LOW, HIGH), "gap from 1000 to 50000"),
        ((MIDDLE, HIGH), "gap from 0 to 1000"),
        ((LOW, MIDDLE), "gap above 50000"),
        ((*GOOD, replace(MIDDLE, above_minor=999)), "overlap"),
        ((*GOOD, HIGH), "overlap"),
        ((LOW, replace(MIDDLE, upto_minor=None), HIGH), "overlap"),
        ((LOW, replace(MIDDLE, upto_minor=50_001), HIGH), "overlap"),
        ((replace(LOW, approvers=2), MIDDLE, HIGH), "fewer approvers"),
        (NEW, "no band that covers every kind"),
        ((*GOOD, ApprovalBand("USD", 0, None, 1, sender="erp")), "USD: there is no band that covers every kind"),
        ((replace(LOW, upto_minor=0), MIDDLE, HIGH), "empty"),
        ((replace(LOW, above_minor=-1), MIDDLE, HIGH), "empty"),
        ((replace(LOW, approvers=6), MIDDLE, HIGH), "0 to 5"),
        ((replace(LOW, payee="old"), MIDDLE, HIGH), "known, new"),
        ((replace(LOW, currency="cny"), MIDDLE, HIGH), "three capital letters"),
        ((*GOOD, ApprovalBand("CNY", 5, None, 1, "directors")), "gap from 0 to 5"),
    ],
)
def test_a_policy_with_a_defect_is_named_and_never_used(bands: tuple[ApprovalBand, ...], why: str) -> None:
    assert any(why in one for one in defects(bands)), defects(bands)
    with pytest.raises(ValueError, match="."):
        needed(bands, FACTS)


@pytest.mark.parametrize(
    ("minor", "approvers"), [(1, 0), (1_000, 0), (1_001, 1), (50_000, 1), (50_001, 2), (10**15, 2)]
)
def test_amounts_at_the_edges(minor: int, approvers: int) -> None:
    assert needed(GOOD, replace(FACTS, amount_minor=minor)).approvers == approvers


def test_what_was_paid_the_same_day_counts() -> None:
    assert needed(GOOD, replace(FACTS, amount_minor=500, spent_minor=500)).approvers == 0
    assert needed(GOOD, replace(FACTS, amount_minor=500, spent_minor=501)).approvers == 1
    assert needed(GOOD, replace(FACTS, amount_minor=1, spent_minor=50_000)).approvers == 2


def test_the_strictest_of_all_that_fit_counts() -> None:
    assert needed((*GOOD, *NEW), replace(FACTS, payee="new")).approvers == 2
    assert needed((*GOOD, *NEW), FACTS).approvers == 0
    need = needed((*GOOD, *DIRECTOR), replace(FACTS, amount_minor=60_000))
    assert need == ApprovalNeed((("*", 2), ("directors", 1))) and need.approvers == 2


def test_an_unlisted_currency_is_the_strictest() -> None:
    assert needed((*GOOD, *DIRECTOR), replace(FACTS, currency="USD", amount_minor=1)) == ApprovalNeed(
        (("*", 2), ("directors", 1))
    )


def test_without_a_maker_two_approve() -> None:
    assert needed(GOOD, replace(FACTS, maker=None, amount_minor=1)).approvers == 2


@pytest.mark.parametrize("changed", [{"amount_minor": 0}, {"amount_minor": -5}, {"spent_minor": -500}])
def test_an_amount_that_is_none_has_no_need(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="."):
        needed(GOOD, replace(FACTS, **changed))


EDGES = st.lists(st.integers(1, 100_000), unique=True, max_size=6).map(sorted)


@given(
    EDGES,
    st.lists(st.integers(0, 5), min_size=7, max_size=7).map(sorted),
    st.integers(1, 200_000),
    st.integers(0, 100_000),
)
def test_a_ladder_without_defects_gives_every_amount_one_band(
    edges: list[int], counts: list[int], minor: int, spent: int
) -> None:
    ends = [0, *edges, None]
    bands = [ApprovalBand("CNY", ends[n] or 0, ends[n + 1], counts[n]) for n in range(len(ends) - 1)]
    assert defects(bands) == []
    expected = counts[sum(edge < minor + spent for edge in edges)]
    assert needed(bands, replace(FACTS, amount_minor=minor, spent_minor=spent)).approvers == expected
    # Split in two on one day, it needs in the end as many approvers as the whole.
    if minor > 1:
        last = needed(bands, replace(FACTS, amount_minor=1, spent_minor=spent + minor - 1))
        assert last.approvers == expected
    # Without one of its bands the policy has a gap; with one twice it has an overlap.
    for n in range(len(bands)):
        assert defects([*bands[:n], *bands[n + 1 :]])
        assert defects([*bands, bands[n]])


NEEDS = st.dictionaries(st.sampled_from(["*", "directors", "treasury"]), st.integers(1, 5)).map(
    lambda found: ApprovalNeed(tuple(sorted(found.items())))
)


@given(NEEDS, NEEDS, NEEDS)
def test_the_stricter_of_two_needs(a: ApprovalNeed, b: ApprovalNeed, c: ApprovalNeed) -> None:
    assert stricter(a, b) == stricter(b, a) and stricter(a, a) == a and stricter(a, ApprovalNeed()) == a
    assert stricter(a, stricter(b, c)) == stricter(stricter(a, b), c)
    assert stricter(a, b).approvers >= max(a.approvers, b.approvers)


def test_settings_may_tighten_and_never_loosen() -> None:
    tighter = (ApprovalBand("CNY", 0, None, 2),)
    for minor in (1, 1_001, 60_000):
        facts = replace(FACTS, amount_minor=minor)
        assert tighter_or_equal(tighter, GOOD, facts) and tighter_or_equal(GOOD, GOOD, facts)
    assert not tighter_or_equal(GOOD, tighter, FACTS)
