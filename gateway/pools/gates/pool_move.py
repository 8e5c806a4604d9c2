"""Rule `pool_move`: a payment that a cash pool ordered may be sent only while the pool's rules and the accounts'
balances still require it.

The unit that records the send checks the version of the pool in force, its ceilings and accounts, the order that it
funds, and the balances: see `pool_sends`.
"""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from gateway.kernel.core.gate import PASS, Hold, Refuse, RuleAnswer, RuleVerdict, Wait
from gateway.payments.gates.send_facts import SendFacts
from gateway.pools.rows import pool_sends
from gateway.register.registry import Registry
from gateway.settings.agreement import TREASURY

AGAIN_MS = 20_000
"""How soon a pool's payment that waits for a balance is tried again."""
_WITHDRAWN = "pool.move_withdrawn"


class PoolMoveRule:
    """Rule `pool_move`: lets a pool's payment be sent only while the pool's rules and the accounts' balances still
    require it. `zone` is the zone of the pools' business dates."""

    name = "pool_move"
    asks = "If a cash pool ordered it: do the pool's version, ceilings, link and the balances still allow the payment?"
    answers = (
        RuleAnswer(
            "withdrawn",
            "two persons changed or closed the pool, or the order that it funds has ended",
            "cancels the move; nothing was sent",
            "–",
            "run the pool by hand if the money is still to move",
        ),
        RuleAnswer(
            "cannot_be_prepared",
            "the pool was changed or closed, or the order that it funds has ended, and an earlier copy of the payment "
            "may have left",
            "escalates it; the bank is still asked about it",
            "`payment.escalated`",
            "call the bank; two persons decide with `bankgw resolve`",
        ),
        RuleAnswer(
            "waits",
            "the account has no fresh balance, or too little, or the pool is unusable with the present register",
            "tries it again every 20 s until its slot ends",
            "–",
            "`bankgw liquidity show` says what it waits for",
        ),
    )

    def __init__(self, registry: Callable[[], Registry], zone: ZoneInfo) -> None:
        self._registry = registry
        self._zone = zone

    def judge(self, facts: SendFacts) -> RuleVerdict:
        """Judge a pool's payment by the present facts. Payments of other senders pass."""
        row = facts.row
        if row.sender != TREASURY:
            return PASS
        found = pool_sends.verdict(facts.tx, row, self._registry(), self._zone)
        if not found.why:
            return PASS
        if not found.ends:
            return Wait(facts.tx.now_ms + AGAIN_MS, "waits", found.why)
        if row.life.first_write_ms is None:
            return Refuse("withdrawn", found.why, _WITHDRAWN)
        return Hold("cannot_be_prepared", found.why, _WITHDRAWN)
