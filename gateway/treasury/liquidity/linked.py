"""What a linked payment (联动支付) does next: go, have its account funded, or wait. Pure: facts in, a step out.

Shortfalls are reserved one after the other: of the links of an account, each counts the payments before it, and not
those after it. What is under way for an earlier link is counted as there when a shortfall is computed, and as not there
when it is decided whether a payment may go.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.treasury.liquidity.plan import PoolFacts, StayReason
from gateway.treasury.liquidity.pool import Pool, PoolChild


@dataclass(frozen=True, slots=True)
class LinkNeed:
    """An order that waits: its account and amount. `in_time`: its bank would take it now, and until well before its
    cut-off and the end of its validity. `legs_minor` is under way to the account for links before it."""

    member: str
    amount_minor: int
    in_time: bool
    legs_minor: int = 0


@dataclass(frozen=True, slots=True)
class LinkStep:
    """`wait` says why nothing is done; else `fund_minor` comes from the header, or, if it is 0, the order may go."""

    fund_minor: int = 0
    wait: StayReason | None = None

    @property
    def goes(self) -> bool:
        """Whether the account has what the order needs."""
        return self.wait is None and not self.fund_minor


def left_minor(child: PoolChild, need: LinkNeed, facts: PoolFacts) -> int:
    """What the account would have left if the order went now, by what the bank has told; below 0 it does not go."""
    member = facts.accounts[need.member]
    fee_minor = member.fee_minor(need.amount_minor)
    held_minor = member.debits_minor + child.floor_minor
    return (member.available_minor or 0) - held_minor - fee_minor - need.amount_minor


def step(pool: Pool, need: LinkNeed, facts: PoolFacts) -> LinkStep:
    """The next step. `facts` do not count this order, nor links after it."""
    child = next((one for one in pool.children if one.account == need.member), None)
    if child is None:
        return LinkStep(wait=StayReason.CHANGED)
    member, header = facts.accounts[need.member], facts.accounts[pool.header]
    unusable = member.why_unusable(pool, facts.now_ms)
    if unusable is not None:
        return LinkStep(wait=unusable)
    left = left_minor(child, need, facts)
    if left >= 0:
        return LinkStep()
    if not need.in_time:
        return LinkStep(wait=StayReason.TOO_LATE)
    lacks = -left - need.legs_minor
    if lacks <= 0:
        return LinkStep(wait=StayReason.UNDER_WAY)
    why = header.why_unusable(pool, facts.now_ms) or _why_not(pool, need, facts, lacks)
    return LinkStep(wait=why) if why is not None else LinkStep(lacks)


def _why_not(pool: Pool, need: LinkNeed, facts: PoolFacts, lacks_minor: int) -> StayReason | None:
    """Why the header may not bring this much; None if it may."""
    if lacks_minor > need.amount_minor + facts.accounts[need.member].fee_minor(need.amount_minor):
        return StayReason.MEMBER_SHORT
    if lacks_minor > facts.accounts[pool.header].movable_minor(pool.floor_minor):
        return StayReason.HEADER_SHORT
    quota, lent = pool.quota_minor, facts.lent_minor.get(need.member, 0)
    if quota is not None and abs(lent - lacks_minor) > quota:
        return StayReason.QUOTA
    if lacks_minor > pool.most_run_minor or facts.moved_today_minor + lacks_minor > pool.most_day_minor:
        return StayReason.OVER_CEILING
    return None
