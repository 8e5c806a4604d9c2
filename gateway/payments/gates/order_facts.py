"""The facts that the rules of admission judge: one order with its terms and sums, and the command that it came with.

Facts are read when the first rule asks for them, and once in a unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.kernel.commit.store import Tx
from gateway.kernel.core import gate
from gateway.kernel.core.gate import Against, GateRule, Hold, Refuse
from gateway.kernel.core.policy import Allowance, Judgement, UsageFacts, in_order
from gateway.kernel.core.states import Hold as HoldEvent
from gateway.kernel.core.states import Reject, Release
from gateway.payments.rows import payees
from gateway.payments.rows.judged_orders import ApprovalContext, MadeOrder
from protocols.canon.errors import Code, Fault
from protocols.canon.fast_init import fast_init
from protocols.canon.order import AnyOrder


@fast_init
@dataclass(frozen=True, slots=True)
class OrderTerms:
    """The terms in the settings for an order at the moment of its admission.

    `faults` were found before the unit, and the order is rejected for them. `band_of_whole`: the sum of its batch is in
    a band that is held. `over_mandate`: it is a pool's move beyond a ceiling of the mandate. `payee_before_ms`: a
    payment to the payee that was settled before then, and not returned, makes the payee known; None: the sender needs
    no known payee. `may_use` says whether its sender may use an own account.
    """

    at_ms: int
    send_after_ms: int
    allowance: Allowance
    faults: tuple[Fault, ...] = ()
    band_of_whole: bool = False
    over_mandate: bool = False
    payee_before_ms: int | None = None
    may_use: Callable[[str], bool] = lambda _account: True


class CommandFacts:
    """The orders of one command: a single order, or all items of a batch. Without `counts` their money is only compared
    with the limits, and not counted for later orders. `memo` keeps what a rule reads once for the command."""

    __slots__ = ("context", "counts", "memo", "orders", "sender", "tx")

    def __init__(self, tx: Tx, sender: str, context: ApprovalContext, *, counts: bool = True) -> None:
        self.tx = tx
        self.sender = sender
        self.context = context
        self.counts = counts
        self.orders: list[OrderFacts] = []
        self.memo: dict[str, Any] = {}


class OrderFacts:
    """The facts of one order that the rules of admission judge. `usage` is what the journal counted before it.
    `reasons` and `refused` are the rules' verdicts so far."""

    __slots__ = ("command", "day", "made", "reasons", "refused", "terms", "tx", "usage", "_payee")

    def __init__(self, command: CommandFacts, made: MadeOrder, day: str, terms: OrderTerms, usage: UsageFacts) -> None:
        self.command = command
        self.tx = command.tx
        self.made = made
        self.day = day
        self.terms = terms
        self.usage = usage
        self.reasons: set[str] = set()
        self.refused: Refuse | None = None
        self._payee: UsageFacts | None = None
        command.orders.append(self)

    @property
    def order(self) -> AnyOrder:
        """The order that is judged."""
        return self.made.order

    @property
    def payee(self) -> UsageFacts:
        """The sums of earlier orders, together with the facts about the payee."""
        if self._payee is None:
            before_ms = self.terms.payee_before_ms
            self._payee = payees.looked_at(self.tx, self.made.sender, self.order, before_ms, self.usage)
        return self._payee

    @property
    def judgement(self) -> Judgement:
        """The event that follows admission by the verdicts so far."""
        at_ms, refused = self.terms.at_ms, self.refused
        if refused is not None:
            return Judgement(Reject(at_ms, Code(refused.reason)), refused.faults)
        reasons = in_order(self.reasons)
        if reasons:
            return Judgement(HoldEvent(at_ms, reasons[0], reasons[1:]))
        return Judgement(Release(at_ms, self.terms.send_after_ms))

    def note(self, against: Against) -> None:
        """Record a rule's verdict. A Wait becomes a hold, because admission cannot be asked again later."""
        if isinstance(against, Refuse):
            self.refused = against
        elif isinstance(against, Hold):
            self.reasons.update((against.reason, *against.also))
        else:
            self.reasons.add(against.reason)

    def ask(self, rules: Sequence[GateRule[OrderFacts]]) -> None:
        """Ask these rules in order and record their verdicts. All reasons to hold are kept, so that clearing one does
        not clear the others. A refusal ends the list."""
        for rule in rules:
            if self.refused is not None:
                return
            against = gate.ask(rule, self)
            if against is not None:
                self.note(against)
