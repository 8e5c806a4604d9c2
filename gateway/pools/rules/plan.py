"""The moves of a pool's run, and the reasons for accounts that do not move. Pure: the facts of one moment in, moves
out.

Movable amount = available balance, less the amount that must stay, less the fee, less every debit of the account that
is accepted, held and due, ready, sending, pending or in doubt and is not proven to be inside that balance. Money that
is under way to an account never funds a move, but counts toward its target. A balance that is too old moves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.pools.rules.pool import DownRule, Pool, PoolChild, UpRule
from protocols.canon.money import exponent

_PERCENT = 100


class StayReason(StrEnum):
    """The reasons why nothing is moved at an account."""

    NO_BALANCE = "no_balance"
    STALE = "stale"
    NO_AVAILABLE = "no_available"
    NOTHING_MOVABLE = "nothing_movable"
    BELOW_FIXED = "below_fixed"
    BELOW_LEAST = "below_least"
    AT_TARGET = "at_target"
    NOT_BELOW = "not_below"
    HEADER_SHORT = "header_short"
    QUOTA = "quota"
    CHANGED = "changed"
    SLOT_OVER = "slot_over"
    REFUSED = "refused"
    TOO_LATE = "too_late"
    UNDER_WAY = "under_way"
    OVER_CEILING = "over_ceiling"
    MEMBER_SHORT = "member_short"
    POOL_CHANGED = "pool_changed"
    ORDER_ENDED = "order_ended"


NOT_KNOWN = frozenset({StayReason.NO_BALANCE, StayReason.STALE, StayReason.NO_AVAILABLE})
"""Reasons that only say that facts are missing. They decide nothing about a member while its slot is open."""

REASONS: Mapping[StayReason, str] = {
    StayReason.NO_BALANCE: "the bank has told no balance yet",
    StayReason.STALE: "the balance is older than the pool allows",
    StayReason.NO_AVAILABLE: "the bank states no available balance",
    StayReason.NOTHING_MOVABLE: "nothing is left above what must stay and what is under way",
    StayReason.BELOW_FIXED: "what is movable does not reach the fixed amount",
    StayReason.BELOW_LEAST: "what could be moved is below the least amount, or rounds down to nothing",
    StayReason.AT_TARGET: "the balance and what is under way reach the target",
    StayReason.NOT_BELOW: "the balance is not below the amount at which money comes down",
    StayReason.HEADER_SHORT: "the header account has too little that is movable",
    StayReason.QUOTA: "the member's quota of the contract is used up",
    StayReason.CHANGED: "less is movable, or lacking, than when the run was planned",
    StayReason.SLOT_OVER: "the slot ended before the order was made",
    StayReason.REFUSED: "the order was refused at admission",
    StayReason.TOO_LATE: "its bank is not open for it, or it would miss the cut-off",
    StayReason.UNDER_WAY: "what it lacks is under way to the account",
    StayReason.OVER_CEILING: "what it lacks is beyond a ceiling of the pool's mandate",
    StayReason.MEMBER_SHORT: "earlier payments of the account come to more than it has",
    StayReason.POOL_CHANGED: "two persons changed or closed the pool after it was ordered",
    StayReason.ORDER_ENDED: "the order that it funds has ended, or was let go without it",
}
"""The text of each reason."""


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """The facts about an account. `available_minor` is the smaller of the bank's available and book balance as of
    `as_of_ms`, `most_minor` the larger. `debits_minor` and `incoming_minor` may not be in that balance yet. `fees` is
    the bank's tariff: (up to this amount, this fee)."""

    account: str
    available_minor: int | None = None
    most_minor: int | None = None
    as_of_ms: int | None = None
    debits_minor: int = 0
    incoming_minor: int = 0
    fees: tuple[tuple[int, int], ...] = ()

    def why_unusable(self, pool: Pool, now_ms: int) -> StayReason | None:
        """Why no money may be moved by this balance; None if money may be moved."""
        if self.as_of_ms is None:
            return StayReason.NO_BALANCE
        if now_ms - self.as_of_ms > pool.fresh_s * 1000:
            return StayReason.STALE
        return StayReason.NO_AVAILABLE if self.available_minor is None or self.most_minor is None else None

    def movable_minor(self, stays_minor: int, spent_minor: int = 0) -> int:
        """The highest amount that may leave the account at once, never below 0. `spent_minor` is what the plan itself
        has spent."""
        left = (self.available_minor or 0) - self.debits_minor - spent_minor - stays_minor
        return max(left - self.fee_minor(left), 0)

    def fee_minor(self, amount_minor: int) -> int:
        """The highest fee that the bank may charge for an amount up to this one. Above the tariff's last band the last
        fee is charged."""
        fees, below = [0], 0
        for upto, fee in self.fees:
            if amount_minor > below or not below:
                fees.append(fee)
            below = upto
        return max(fees)


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """The facts at `now_ms`: each account, what the pool moved today, and what each member has lent the header (net of
    moves down; negative: it owes). `moved_run_minor` is the part of today that this run has moved."""

    now_ms: int
    accounts: Mapping[str, AccountFacts]
    moved_today_minor: int = 0
    lent_minor: Mapping[str, int] = field(default_factory=dict)
    moved_run_minor: int = 0


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """One planned transfer from `debit` to `credit`. `up` is toward the header. `over`: beyond a ceiling of the
    mandate, so that it waits for persons."""

    debit: str
    credit: str
    amount_minor: int
    up: bool
    over: bool = False


@dataclass(frozen=True, slots=True)
class PlannedStay:
    """An account at which nothing is moved, and the reason."""

    account: str
    up: bool
    reason: StayReason


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """The planned moves of a run, in order, and the accounts that stay without a move."""

    moves: tuple[PlannedMove, ...] = ()
    stays: tuple[PlannedStay, ...] = ()


def plan(pool: Pool, facts: PoolFacts) -> PoolPlan:
    """The moves of the pool's run now: first up, then down, each in the order of the pool's children."""
    made = _Making(pool, facts)
    for child in pool.children:
        if child.up is not None:
            made.up(child)
    for child in pool.children:
        if child.down is not None:
            made.down(child)
    return PoolPlan(tuple(made.moves), tuple(made.stays))


def why_not_now(pool: Pool, move: PlannedMove, facts: PoolFacts) -> StayReason | None:
    """Why a planned move may not be ordered any more; None if it may. `facts` do not count the move itself."""
    child = next((one for one in pool.children if one.account in (move.debit, move.credit)), None)
    if child is None:
        return StayReason.CHANGED
    again = _Making(pool, facts)
    for account in (move.debit, move.credit) if not move.up else (move.debit,):
        unusable = facts.accounts[account].why_unusable(pool, facts.now_ms)
        if unusable is not None:
            return unusable
    if move.up:
        most = facts.accounts[move.debit].movable_minor(_stays(child))
    else:
        most = facts.accounts[pool.header].movable_minor(pool.floor_minor)
        if child.down is DownRule.TARGET:
            most = min(most, again.lack_minor(child))
    changed = move.amount_minor > most or over_quota(pool, facts, child, move.amount_minor, move.up)
    return StayReason.CHANGED if changed else None


def over_quota(pool: Pool, facts: PoolFacts, child: PoolChild, amount_minor: int, up: bool) -> bool:
    """Whether the member would have lent the header, or would owe it, more than the contract's quota.

    The quota counts by direction. A move up is judged by what the member would have lent, less what came down again; a
    move down by what the member would owe, less what went up again. So a repayment is never over the quota.
    """
    if pool.quota_minor is None:
        return False
    lent = facts.lent_minor.get(child.account, 0)
    return (lent + amount_minor if up else amount_minor - lent) > pool.quota_minor


def _stays(child: PoolChild) -> int:
    return max(child.floor_minor, child.up_value if child.up is UpRule.KEEP else 0)


class _Making:
    def __init__(self, pool: Pool, facts: PoolFacts) -> None:
        self._pool = pool
        self._facts = facts
        self._spent_minor = 0
        self._run_minor = 0
        self.moves: list[PlannedMove] = []
        self.stays: list[PlannedStay] = []

    def up(self, child: PoolChild) -> None:
        facts = self._facts.accounts[child.account]
        unusable = facts.why_unusable(self._pool, self._facts.now_ms)
        if unusable is not None:
            self._stay(child, True, unusable)
            return
        movable = facts.movable_minor(_stays(child))
        if movable <= 0:
            self._stay(child, True, StayReason.NOTHING_MOVABLE)
            return
        if child.up is UpRule.FIXED:
            if movable < child.up_value:
                self._stay(child, True, StayReason.BELOW_FIXED)
                return
            movable = child.up_value
        elif child.up is UpRule.PART:
            movable = movable * child.up_value // _PERCENT
        self._move(child, self._pool.header, movable, up=True)

    def down(self, child: PoolChild) -> None:
        pool, now_ms = self._pool, self._facts.now_ms
        if any(move.debit == child.account for move in self.moves):
            return  # the member had money to give
        header = self._facts.accounts[pool.header]
        unusable = self._facts.accounts[child.account].why_unusable(pool, now_ms) or header.why_unusable(pool, now_ms)
        if unusable is not None:
            self._stay(child, False, unusable)
            return
        reached = self._reached_minor(child)
        if child.below_minor is not None and reached >= child.below_minor:
            self._stay(child, False, StayReason.NOT_BELOW)
            return
        funds = header.movable_minor(pool.floor_minor, self._spent_minor)
        if child.down is DownRule.TARGET:
            lack = self.lack_minor(child)
            if lack <= 0:
                self._stay(child, False, StayReason.AT_TARGET)
                return
            amount = min(lack, funds)
        else:
            amount = child.down_minor if child.down_minor <= funds else 0
        if amount <= 0:
            self._stay(child, False, StayReason.HEADER_SHORT)
            return
        if self._move(child, child.account, amount, up=False):
            self._spent_minor += self.moves[-1].amount_minor + header.fee_minor(self.moves[-1].amount_minor)

    def lack_minor(self, child: PoolChild) -> int:
        """The amount that the child lacks of its target, if all incoming money arrives and nothing leaves."""
        return child.down_minor - self._reached_minor(child)

    def _reached_minor(self, child: PoolChild) -> int:
        facts = self._facts.accounts[child.account]
        return (facts.most_minor or 0) + facts.incoming_minor

    def _move(self, child: PoolChild, credit: str, amount_minor: int, *, up: bool) -> bool:
        pool = self._pool
        if pool.round_units is not None:
            unit = pool.round_units * 10 ** exponent(pool.currency)
            amount_minor -= amount_minor % unit
        if amount_minor < pool.least_minor or amount_minor <= 0:
            self._stay(child, up, StayReason.BELOW_LEAST)
            return False
        if over_quota(self._pool, self._facts, child, amount_minor, up):
            self._stay(child, up, StayReason.QUOTA)
            return False
        run_minor = self._run_minor + amount_minor
        over = (
            self._facts.moved_run_minor + run_minor > pool.most_run_minor
            or self._facts.moved_today_minor + run_minor > pool.most_day_minor
        )
        if not over:
            self._run_minor = run_minor
        debit = child.account if up else pool.header
        self.moves.append(PlannedMove(debit, credit, amount_minor, up, over))
        return True

    def _stay(self, child: PoolChild, up: bool, reason: StayReason) -> None:
        self.stays.append(PlannedStay(child.account, up, reason))
