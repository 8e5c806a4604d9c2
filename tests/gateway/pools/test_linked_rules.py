"""The next step of a linked payment, for generated facts: it is sent only if it is covered, and at most the missing
amount is moved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pools.rows import linked_runs
from gateway.pools.rules.linked import LinkNeed, left_minor, step
from gateway.pools.rules.plan import AccountFacts, PoolFacts, StayReason
from gateway.pools.rules.pool import Pool, parse
from protocols.canon.limits import Hours

NOW_MS = 1_795_500_000_000
made = parse("pool CNY header=1000 floor=5.00 most-run=900.00 most-day=1500.00; child 2000 down=target:1.00 floor=2.00")
assert made is not None
POOL: Pool = made
amounts = st.integers(0, 200_000)


def facts_of(account: str, available: int, debits: int, age_s: int = 0, fee: int = 0) -> AccountFacts:
    return AccountFacts(account, available, available, NOW_MS - age_s * 1000, debits, 0, ((10**9, fee),) if fee else ())


@settings(max_examples=400)
@given(
    amounts,
    amounts,
    amounts,
    amounts,
    st.integers(1, 200_000),
    amounts,
    st.integers(0, 1_000),
    st.booleans(),
    st.sampled_from([0, 0, 899, 901]),
)
def test_it_goes_only_if_covered_and_no_more_comes_than_it_lacks(
    header: int, header_debits: int, member: int, debits: int, amount: int, legs: int, fee: int, in_time: bool, age: int
) -> None:
    facts = PoolFacts(
        NOW_MS,
        {"1000": facts_of("1000", header, header_debits, fee=fee), "2000": facts_of("2000", member, debits, age, fee)},
        60_000,
    )
    done = step(POOL, LinkNeed("2000", amount, in_time, legs), facts)
    left = member - debits - 200 - fee - amount
    assert left == left_minor(POOL.children[0], LinkNeed("2000", amount, in_time), facts)
    if age > 900:
        assert done.wait is StayReason.STALE
    elif left >= 0:
        assert done.goes, "an account that has enough needs nobody"
    else:
        assert not done.goes
        assert in_time or done.wait is StayReason.TOO_LATE
    if done.fund_minor:
        assert done.fund_minor == -left - legs and left + legs + done.fund_minor == 0
        assert done.fund_minor <= min(amount + fee, 90_000, 150_000 - 60_000)
        assert done.fund_minor + fee <= header - header_debits - 500


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, None),
        ({"in_time": False}, StayReason.TOO_LATE),
        ({"legs_minor": 10_000}, StayReason.UNDER_WAY),
        ({"amount_minor": 100_000}, StayReason.OVER_CEILING),
        ({"amount_minor": 900_000}, StayReason.HEADER_SHORT),
        ({"member": "3000"}, StayReason.CHANGED),
    ],
)
def test_each_wait_has_its_reason(more: dict[str, Any], why: StayReason | None) -> None:
    facts = PoolFacts(NOW_MS, {"1000": facts_of("1000", 500_000, 0), "2000": facts_of("2000", 1_200, 0)})
    assert step(POOL, replace(LinkNeed("2000", 10_000, True), **more), facts).wait is why


def test_earlier_payments_that_exceed_the_account_are_nobodys_shortfall() -> None:
    facts = PoolFacts(NOW_MS, {"1000": facts_of("1000", 500_000, 0), "2000": facts_of("2000", 1_000, 5_000)})
    assert step(POOL, LinkNeed("2000", 10_000, True), facts).wait is StayReason.MEMBER_SHORT


def test_money_that_the_balance_may_have_already_is_not_counted_again() -> None:
    """If the money were counted twice, leg 1 of a later link would be too small: the earlier link uses the money, and
    the later one waits for ever."""
    facts = PoolFacts(NOW_MS, {"1000": facts_of("1000", 500_000, 0), "2000": facts_of("2000", 1_000, 5_000)})
    done = step(POOL, LinkNeed("2000", 10_000, True, unclear_minor=5_000), facts)
    assert (done.wait, done.fund_minor) == (StayReason.UNDER_WAY, 0)


def test_a_quota_binds_what_is_brought_too() -> None:
    pool = replace(POOL, quota_minor=5_000)
    facts = PoolFacts(NOW_MS, {"1000": facts_of("1000", 500_000, 0), "2000": facts_of("2000", 1_000, 0)})
    assert step(pool, LinkNeed("2000", 10_000, True), facts).wait is StayReason.QUOTA


CLOSE = Hours(cut_off=datetime(2026, 11, 24, 16, 30).time(), zone="Asia/Shanghai")


@pytest.mark.parametrize(
    ("hour", "minute", "valid_min", "right"),
    [
        (10, 0, None, True),
        (16, 19, None, True),
        (16, 21, None, False),
        (17, 0, None, False),
        (10, 0, 11, True),
        (10, 0, 9, False),
    ],
)
def test_leg_1_begins_only_while_leg_2_can_meet_its_cut_off(
    hour: int, minute: int, valid_min: int | None, right: bool
) -> None:
    now = datetime(2026, 11, 24, hour, minute, tzinfo=UTC) - timedelta(hours=8)
    now_ms = int(now.timestamp() * 1000)
    until_ms = None if valid_min is None else now_ms + valid_min * 60_000
    bank = SimpleNamespace(profile=SimpleNamespace(limits=SimpleNamespace(hours=CLOSE)))
    row = cast(Any, SimpleNamespace(bank="x", life=SimpleNamespace(valid_until_ms=until_ms)))
    assert linked_runs.in_time(row, cast(Any, SimpleNamespace(banks={"x": bank})), now_ms) is right
