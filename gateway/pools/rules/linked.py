"""The next step of a linked payment (联动支付): be sent, have its account funded, or wait. Pure: facts in, a step out.

Shortfalls are reserved one after the other: each link of an account counts the payments before it, and not those after
it. Money that is under way for an earlier link counts as received when a shortfall is computed, and as not received
when it is decided whether a payment may be sent. Money that was sent before the balance was read may be in the balance
already. It is not counted again, so that a link that depends on it waits for a later balance.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.pools.rules.plan import PoolFacts, StayReason, over_quota
from gateway.pools.rules.pool import Pool, PoolChild


@dataclass(frozen=True, slots=True)
class LinkNeed:
    """An order that waits for its funding: its account and amount. `in_time`: its bank takes it now, and until well
    before its cut-off and the end of its validity. `legs_minor` is under way to the account for earlier links, and not
    in the balance yet. `unclear_minor` is under way or has arrived, and may be in the balance or not."""

    member: str
    amount_minor: int
    in_time: bool
    legs_minor: int = 0
    unclear_minor: int = 0


@dataclass(frozen=True, slots=True)
class LinkStep:
    """The next step of a linked payment. `wait` says why nothing is done. Otherwise `fund_minor` comes from the header;
    if it is 0, the order may be sent."""

    fund_minor: int = 0
    wait: StayReason | None = None

    @property
    def goes(self) -> bool:
        """True if the account has what the order needs."""
        return self.wait is None and not self.fund_minor


def left_minor(child: PoolChild, need: LinkNeed, facts: PoolFacts) -> int:
    """The amount that the account would have after the order, by the balance that the bank told; below 0 the order is
    not sent."""
    member = facts.accounts[need.member]
    fee_minor = member.fee_minor(need.amount_minor)
    held_minor = member.debits_minor + child.floor_minor
    return (member.available_minor or 0) - held_minor - fee_minor - need.amount_minor


def step(pool: Pool, need: LinkNeed, facts: PoolFacts) -> LinkStep:
    """The next step of a linked payment. `facts` count neither this order nor later links."""
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
    """Why the header may not transfer this amount; None if it may."""
    if lacks_minor > need.amount_minor + facts.accounts[need.member].fee_minor(need.amount_minor):
        return StayReason.UNDER_WAY if need.unclear_minor else StayReason.MEMBER_SHORT
    if lacks_minor > facts.accounts[pool.header].movable_minor(pool.floor_minor):
        return StayReason.HEADER_SHORT
    child = next(one for one in pool.children if one.account == need.member)
    if over_quota(pool, facts, child, lacks_minor, up=False):
        return StayReason.QUOTA
    if lacks_minor > pool.most_run_minor or facts.moved_today_minor + lacks_minor > pool.most_day_minor:
        return StayReason.OVER_CEILING
    return None
