"""The rules of cash pools: their texts, the reading of texts, every refusal, and the limits of every run, for generated
pools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pools.rules import pool as pool_text
from gateway.pools.rules.plan import (
    AccountFacts,
    PlannedMove,
    PoolFacts,
    PoolPlan,
    StayReason,
    over_quota,
    plan,
    why_not_now,
)
from gateway.pools.rules.pool import BadPool, DownRule, Pool, PoolChild, UpRule, clashes, parse

HEAD = "pool CNY header=1000 most-run=900000.00 most-day=900000.00"
NOW_MS = 1_795_500_000_000
HEADER = "1000"


# ---- the text ----


def pool_in(text: str) -> Pool:
    made = parse(text)
    assert made is not None
    return made


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}; child 2000 up=all",
        f"{HEAD}; child 2000 up=keep:500.00 down=target:100.00 below=50.00 floor=1.00; child 3000 up=part:30",
        "pool CNY header=1000 slots=09:00-09:30,16:30-17:00 floor=5.00 "
        "least=100.00 round=1000 most-run=9.00 most-day=9.00 "
        "fresh=60 calendar=x contract=HT-1 quota=5.00 until=2027-12-31; child 2000 down=fixed:3.00",
        "pool USD header=1000 most-run=9.00 most-day=9.00 calendar=cn; child 2000 up=fixed:3.00",
    ],
)
def test_a_pool_has_one_text_which_is_read_back(text: str) -> None:
    assert pool_in(text).text() == text
    assert parse("none") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("child 2000 up=all", "is not a valid first part"),
        (HEAD, "at least one child"),
        ("pool CNY header=1000 most-run=1.00; child 2000 up=all", "lacks most-day="),
        (f"{HEAD}; child 1000 up=all", "cycle: account 1000 is the header and a child"),
        (f"{HEAD}; child 2000 up=all; child 2000 down=target:1.00", "account 2000 is a child twice"),
        (f"{HEAD}; child 2000", "neither up nor down"),
        (f"{HEAD}; child 2000 up=some", "is not a valid rule"),
        (f"{HEAD}; child 2000 up=part:101", "1 to 100 per cent"),
        (f"{HEAD} round=50; child 2000 up=all", "round is one of"),
        (f"{HEAD} slots=17:00-16:00; child 2000 up=all", "ends before it begins"),
        (f"{HEAD} slots=16:00-17:00,16:30-18:00; child 2000 up=all", "overlap"),
        (f"{HEAD} slots=late; child 2000 up=all", "is not a time slot"),
        (f"{HEAD}; child 2000 up=all below=1.00", "needs a rule down="),
        ("pool CNY header=1000 most-run=2.00 most-day=1.00; child 2000 up=all", "most-run is above most-day"),
        (f"{HEAD}; child 2000 up=keep:10.00 down=target:20.00", "would go up again"),
        (f"{HEAD}; child 2000 up=fixed:1.00 down=target:5.00", "the same money up and down"),
        ("pool EUR header=1000 most-run=1.00 most-day=1.00; child 2000 up=all", "no calendar is known for EUR"),
        (f"{HEAD} fresh=0; child 2000 up=all", "fresh must be a whole number of at least 1"),
        (f"{HEAD} colour=red; child 2000 up=all", "is not allowed here; write each of header="),
        (f"{HEAD}; child 2000 up=fixed:1.234", "decimals"),
    ],
)
def test_a_text_that_cannot_be_used_says_why(text: str, why: str) -> None:
    with pytest.raises(BadPool) as caught:
        parse(text)
    assert why in str(caught.value)


def test_an_account_is_a_child_of_one_pool_and_no_pool_is_above_itself() -> None:
    lower = pool_in(f"{HEAD.replace('1000', '2000')}; child 3000 up=all")
    upper = pool_in(f"{HEAD}; child 2000 up=all")
    assert clashes("upper", upper, {"upper": upper, "lower": lower}) == [], "a header may be another pool's child"
    assert clashes("x", pool_in(f"{HEAD.replace('1000', '9000')}; child 3000 up=all"), {"lower": lower}) == [
        "account 3000 is in pool lower already"
    ]
    ring = pool_in(f"{HEAD.replace('1000', '3000')}; child 1000 up=all")
    (said,) = clashes("ring", ring, {"upper": upper, "lower": lower})
    assert said == "cycle: 3000 > 2000 > 1000 > 3000"


# ---- what a run moves ----


def facts(*accounts: AccountFacts, **more: Any) -> PoolFacts:
    return PoolFacts(NOW_MS, {one.account: one for one in accounts}, **more)


def has(account: str, minor: int, *, age_s: int = 0, **more: Any) -> AccountFacts:
    return AccountFacts(account, minor, minor, NOW_MS - age_s * 1000, **more)


def planned(rules: str, minor: int, *, head: str = HEAD, header: int = 10**9, **more: Any) -> PoolPlan:
    return plan(pool_in(f"{head}; child 2000 {rules}"), facts(has(HEADER, header), has("2000", minor, **more)))


@pytest.mark.parametrize(
    ("rules", "minor", "moved"),
    [
        ("up=all", 12_345, 12_345),
        ("up=keep:100.00", 12_345, 2_345),
        ("up=part:30", 12_345, 3_703),
        ("up=fixed:50.00", 12_345, 5_000),
        ("up=all floor=23.45", 12_345, 10_000),
        ("down=target:200.00", 12_345, 7_655),
        ("down=fixed:70.00", 12_345, 7_000),
        ("down=fixed:70.00 below=200.00", 12_345, 7_000),
    ],
)
def test_each_rule_moves_what_it_says(rules: str, minor: int, moved: int) -> None:
    (move,) = planned(rules, minor).moves
    assert move.amount_minor == moved


@pytest.mark.parametrize(
    ("rules", "minor", "more", "reason"),
    [
        ("up=all", 0, {}, StayReason.NOTHING_MOVABLE),
        ("up=fixed:50.00", 4_999, {}, StayReason.BELOW_FIXED),
        ("up=all", 100, {"age_s": 901}, StayReason.STALE),
        ("up=all", 100, {"debits_minor": 100}, StayReason.NOTHING_MOVABLE),
        ("down=target:1.00", 100, {}, StayReason.AT_TARGET),
        ("down=target:1.00", 40, {"incoming_minor": 60}, StayReason.AT_TARGET),
        ("down=fixed:1.00 below=0.50", 50, {}, StayReason.NOT_BELOW),
        ("down=target:1.00", 0, {"age_s": 901}, StayReason.STALE),
    ],
)
def test_what_is_not_moved_has_its_reason(rules: str, minor: int, more: dict[str, Any], reason: StayReason) -> None:
    said = planned(rules, minor, **more)
    assert said.moves == () and [one.reason for one in said.stays] == [reason]


def test_amounts_round_down_and_small_ones_stay() -> None:
    head = f"{HEAD} least=150.00 round=100"
    assert [one.amount_minor for one in planned("up=all", 29_999, head=head).moves] == [20_000]
    assert planned("up=all", 19_999, head=head).stays[0].reason is StayReason.BELOW_LEAST


def test_the_fee_stays_too() -> None:
    (move,) = planned("up=all", 10_000, fees=((5_000, 50), (100_000, 550))).moves
    assert move.amount_minor == 9_450


def test_a_header_that_is_short_gives_what_it_has_and_no_fixed_part() -> None:
    assert [one.amount_minor for one in planned("down=target:9.00", 0, header=700).moves] == [700]
    assert planned("down=fixed:9.00", 0, header=700).stays[0].reason is StayReason.HEADER_SHORT


def test_a_member_lends_no_more_than_its_quota() -> None:
    pool = replace(pool_in(f"{HEAD}; child 2000 up=all"), quota_minor=500)
    known = facts(has(HEADER, 0), has("2000", 200), lent_minor={"2000": 301})
    assert plan(pool, known).stays[0].reason is StayReason.QUOTA


# ---- what no run may do ----

money = st.integers(0, 1_000_000)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Pool, PoolFacts]:
    """A pool with facts about its accounts: some balances old, some missing, pending money in both directions."""
    children = []
    for n in range(draw(st.integers(1, 5))):
        up = draw(st.sampled_from([None, *UpRule]))
        down = draw(st.sampled_from([None, *DownRule])) if up in (None, UpRule.KEEP) else None
        if up is None and down is None:
            down = DownRule.TARGET
        value = draw(st.integers(1, 100)) if up is UpRule.PART else draw(st.integers(1, 1_000_000))
        children.append(
            PoolChild(
                str(2000 + n),
                up,
                value,
                down,
                draw(money),
                draw(st.none() | money) if down else None,
                draw(st.integers(0, 1000)),
            )
        )
    pool = Pool(
        HEADER,
        "CNY",
        tuple(children),
        draw(money),
        draw(money),
        floor_minor=draw(st.integers(0, 1000)),
        least_minor=draw(st.integers(1, 1000)),
        round_units=draw(st.sampled_from((None, 1, 100))),
        quota_minor=draw(st.none() | money),
    )
    accounts = {}
    for account in pool.accounts:
        told = draw(money)
        accounts[account] = AccountFacts(
            account,
            draw(st.sampled_from((None, told, told, told))),
            told + draw(st.sampled_from((0, 0, 500))),
            draw(st.sampled_from((None, NOW_MS, NOW_MS, NOW_MS - 899_000, NOW_MS - 901_000))),
            draw(money) // 3,
            draw(money) // 3,
            draw(st.sampled_from(((), ((10_000, 50), (1_000_000, 2_000))))),
        )
    lent = {one.account: draw(st.integers(-500_000, 500_000)) for one in pool.children}
    return pool, PoolFacts(NOW_MS, accounts, draw(money), lent)


@settings(max_examples=400, deadline=None)
@given(cases())
def test_no_run_moves_beyond_movable_above_a_target_or_on_a_stale_balance(case: tuple[Pool, PoolFacts]) -> None:
    pool, known = case
    made = plan(pool, known)
    child = {one.account: one for one in pool.children}
    left = {name: (one.available_minor or 0) - one.debits_minor for name, one in known.accounts.items()}
    inside = known.moved_today_minor
    for move in made.moves:
        assert move.amount_minor >= pool.least_minor
        for account in (move.debit,) if move.up else (move.debit, move.credit):
            as_of = known.accounts[account].as_of_ms
            assert as_of is not None and NOW_MS - as_of <= pool.fresh_s * 1000, "a stale balance moved money"
        left[move.debit] -= move.amount_minor + known.accounts[move.debit].fee_minor(move.amount_minor)
        stays = child[move.debit].floor_minor if move.up else pool.floor_minor
        assert left[move.debit] >= stays, "more moved than was movable"
        if not move.up and child[move.credit].down is DownRule.TARGET:
            one = known.accounts[move.credit]
            assert (one.most_minor or 0) + one.incoming_minor + move.amount_minor <= child[move.credit].down_minor
        if pool.quota_minor is not None:
            member = move.debit if move.up else move.credit
            lent = known.lent_minor[member] + (move.amount_minor if move.up else -move.amount_minor)
            assert (lent if move.up else -lent) <= pool.quota_minor, (
                "by direction: what it would have lent, or would owe"
            )
        inside += 0 if move.over else move.amount_minor
    run = inside - known.moved_today_minor
    assert run <= pool.most_run_minor and (run == 0 or inside <= pool.most_day_minor)
    assert {one.account for one in pool.children} == (
        {move.debit if move.up else move.credit for move in made.moves} | {stay.account for stay in made.stays}
    )


@settings(max_examples=200, deadline=None)
@given(cases(), st.data())
def test_a_planned_move_is_ordered_only_while_it_may_be(case: tuple[Pool, PoolFacts], data: st.DataObject) -> None:
    """Between the plan and the order an account may have paid. Then the move is dropped, and never made smaller."""
    pool, known = case
    made = plan(pool, known)
    ups = [move for move in made.moves if move.up]
    if not ups:
        return
    move: PlannedMove = data.draw(st.sampled_from(ups))
    spare = known.accounts[move.debit].movable_minor(0)
    assert why_not_now(pool, move, known) is None
    paid = data.draw(st.integers(spare + 1, spare + 10**6))
    one = known.accounts[move.debit]
    later = replace(known, accounts={**known.accounts, move.debit: replace(one, debits_minor=one.debits_minor + paid)})
    assert why_not_now(pool, move, later) is StayReason.CHANGED


@pytest.mark.parametrize(
    ("lent", "up", "minor", "over"),
    [
        (0, True, 100, False),
        (0, True, 101, True),
        (90, True, 11, True),
        (0, False, 101, True),
        (-90, False, 10, False),
        (150, False, 20, False),
        (150, False, 250, False),
        (150, False, 251, True),
        (-150, True, 20, False),
    ],
)
def test_a_quota_counts_by_direction_and_a_repayment_is_never_over_it(
    lent: int, up: bool, minor: int, over: bool
) -> None:
    child = PoolChild("2000", UpRule.ALL)
    pool = Pool(HEADER, "CNY", (child,), 10**9, 10**9, quota_minor=100)
    assert over_quota(pool, PoolFacts(NOW_MS, {}, 0, {"2000": lent}), child, minor, up) is over


def test_lines_are_told_one_by_one() -> None:
    assert list(pool_text.lines("pool a; child b; child c")) == ["pool a", "child b", "child c"]
