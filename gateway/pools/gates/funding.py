"""Rule `funding`: an order that names a cash pool waits until the pool's header has transferred the missing amount to
its account."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.kernel.commit.lane_releases import MAY_LACK_SENDS
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.gate import PASS, Hold, Refuse, RuleAnswer, RuleVerdict
from gateway.kernel.core.policy import HOLD_FUNDING
from gateway.kernel.core.states import UNSENT
from gateway.payments.gates.lists import FUNDING
from gateway.payments.gates.order_facts import CommandFacts, OrderFacts
from gateway.payments.gates.release_facts import ReleaseFacts
from gateway.pools.rows import linked_orders
from protocols.canon.errors import Code

_HELD = RuleAnswer(
    HOLD_FUNDING,
    "the order names a pool that is to fund it",
    "holds it until the pool's transfer is on the account; the gateway releases it by itself",
    "`payment.held`, `funding`",
    "`bankgw liquidity linked` says what it waits for",
)


class FundingRule:
    """Rule `funding` at admission: holds an order that names a cash pool until the pool has funded it."""

    name = FUNDING
    asks = "Can the pool that the order names fund it, and may its sender use the pool's header?"
    answers = (
        _HELD,
        RuleAnswer(
            Code.VALIDATION.value,
            "there is no such pool, it does not have the account, or its header is not the sender's to use",
            "refuses it",
            "`payment.rejected`, `/funded_by`",
            "the ERP names another pool; the sender's accounts stand in the settings",
        ),
    )

    def judge(self, facts: OrderFacts) -> RuleVerdict:
        """Hold the order if it names a pool. An order without a pool passes."""
        if facts.order.funded_by is None:
            return PASS
        fault = linked_orders.fault_of(facts.tx, facts.order, facts.terms.may_use)
        return Hold(HOLD_FUNDING) if fault is None else Refuse(Code.VALIDATION.value, faults=(fault,))

    def enter(self, command: CommandFacts, rows: Sequence[PaymentRow]) -> None:
        """Store a link for each held order that names a pool, so that its funding transfer (leg 1) is ordered."""
        for row in rows:
            if row.order.funded_by is not None and row.holds:
                linked_orders.begin(command.tx, row)

    def ended(self, tx: Tx, before: PaymentRow, after: PaymentRow, actor: str) -> tuple[str, ...]:
        """Withdraw the pool's orders for an order that ended unsent. A transfer that may have been sent stays; so does
        one whose lane may lack sends. Rule `pool_move` withdraws it when it is due, after the lane was released."""
        if before.life.state not in UNSENT or after.order.funded_by is None:
            return ()
        funding = linked_orders.funding_of(tx, after.payment)
        leg = None if funding is None else tx.payment_cache.afresh(tx.raw, tx.vault, funding)
        if leg is None or leg.life.state not in UNSENT or leg.life.first_write_ms is not None:
            return ()
        return () if tx.ports.of(MAY_LACK_SENDS)(leg.lane) else (leg.payment,)


class FundingAtRelease:
    """Rule `funding` at a release: a person may release the order without its funding."""

    name = FUNDING
    asks = "Does the order still wait for its pool's money, and has nobody cleared that reason?"
    answers = (_HELD,)

    def judge(self, facts: ReleaseFacts) -> RuleVerdict:
        """Hold until a person clears the reason, or the gateway does once the money has arrived."""
        return Hold(HOLD_FUNDING) if facts.waits_for(HOLD_FUNDING) else PASS
