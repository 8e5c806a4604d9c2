"""The facts that the rules of a release judge: a held payment, the reasons that a person clears, and the present
settings."""

from __future__ import annotations

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core import policy
from gateway.kernel.core.hours import stayed_since_ms
from gateway.kernel.core.policy import Allowance, UsageFacts
from gateway.payments.rows import judged_orders, payees
from gateway.payments.rows.judged_orders import ApprovalContext
from gateway.register.registry import Registry


class ReleaseFacts:
    """A payment that is held for `row.holds`, of which a release clears `cleared`. `approved`: its approvals were found
    complete in this unit."""

    __slots__ = ("approved", "cleared", "registry", "row", "tx", "_payee")

    def __init__(
        self, tx: Tx, row: PaymentRow, cleared: tuple[str, ...], registry: Registry, *, approved: bool = False
    ) -> None:
        self.tx = tx
        self.row = row
        self.cleared = cleared
        self.registry = registry
        self.approved = approved
        self._payee: UsageFacts | None = None

    @property
    def allowance(self) -> Allowance | None:
        """The sender's present limits; None if the sender is not configured any more."""
        sender = self.registry.senders.get(self.row.sender)
        return None if sender is None else sender.allowance

    @property
    def passed_over(self) -> frozenset[str]:
        """The reasons that do not hold the payment any more: those that this release clears, and those that an earlier
        release cleared. The earlier ones count only while the sender is configured."""
        earlier = self.row.cleared if self.row.sender in self.registry.senders else ()
        return frozenset((*earlier, *self.cleared))

    def waits_for(self, reason: str) -> bool:
        """True if the payment was held for this reason and the reason is not cleared."""
        return reason in self.row.holds and reason not in self.passed_over

    @property
    def context(self) -> ApprovalContext:
        """The facts from the present settings by which the approval policy judges."""
        return judged_orders.context_of(self.tx, self.row, self.registry)

    @property
    def payee(self) -> UsageFacts:
        """The facts about the payee by the sender's present limits."""
        if self._payee is None:
            allowance, before_ms = self.allowance, None
            if allowance is not None and policy.looks_at_payee(self.row.order, allowance):
                hours = self.registry.banks[self.row.bank].profile.limits.hours
                before_ms = stayed_since_ms(
                    hours, self.tx.now_ms, allowance.payee_days, allowance.holidays, allowance.worked
                )
            self._payee = payees.looked_at(self.tx, self.row.sender, self.row.order, before_ms, UsageFacts())
        return self._payee
