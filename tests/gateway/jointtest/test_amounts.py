"""No amount is above the cap of a run, and sends of an earlier process count towards the caps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.jointtest.amounts import AmountBudget, OverCap, minor, text
from gateway.jointtest.plan import Caps


@given(st.integers(0, 10**12))
def test_amounts_are_read_as_they_are_written(amount: int) -> None:
    assert minor(text(amount)) == amount


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["payment", "transfer"]), st.integers(1, 1500))))
def test_no_cap_is_ever_passed(spent: list[tuple[str, str, int]]) -> None:
    purse = AmountBudget(Caps(per_order="10.00", per_account="30.00", channels={"transfer": "15.00"}))
    for account, channel, amount in spent:
        before = purse.accounts[account], purse.channels[channel]
        try:
            purse.spend(account, channel, amount)
        except OverCap:
            assert (purse.accounts[account], purse.channels[channel]) == before
            over = amount > 1000 or before[0] + amount > 3000 or (channel == "transfer" and before[1] + amount > 1500)
            assert over
    assert all(one <= 3000 for one in purse.accounts.values())
    assert purse.channels["transfer"] <= 1500


def test_what_was_sent_before_counts() -> None:
    purse = AmountBudget(Caps(per_order="10.00", per_account="12.00"))
    purse.count("a", "payment", 1000)
    with pytest.raises(OverCap, match="cap of an account"):
        purse.spend("a", "payment", 300)
    purse.spend("b", "payment", 300)


def test_no_amount_comes_twice_in_a_run_nor_after_it_went_on() -> None:
    caps = Caps(per_order="9.00", per_account="10000.00")
    purse = AmountBudget(caps)
    first = [purse.fresh() for _ in range(300)]
    for amount in first:
        purse.spend("a", "payment", amount)
    again = AmountBudget(caps)
    for amount in first:
        again.count("a", "payment", amount)
    assert len({*first, *(again.fresh() for _ in range(300))}) == 600
    assert all(again.fresh() <= 900 for _ in range(1_000))
