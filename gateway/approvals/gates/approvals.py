"""Rule `approvals`: the order has the approvals that the policy asks for, by the present persons, delegations and
policy.

The rule is asked at admission, at a release, and in the unit that records the send. Each time it judges by the present
state: a role that a person lost, a delegation that ended and a policy that SQL altered count at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.approvals.gates import signed_lines
from gateway.approvals.rows import approval_checks, approval_holds
from gateway.approvals.rules.approval_bands import ApprovalNeed
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.gate import PASS, Hold, Refuse, RuleAnswer, RuleVerdict
from gateway.kernel.core.policy import HOLD_BAND
from gateway.kernel.core.states import UNSENT
from gateway.payments.gates.order_facts import CommandFacts, OrderFacts
from gateway.payments.gates.release_facts import ReleaseFacts
from gateway.payments.gates.send_facts import SendFacts
from gateway.payments.rows import judged_orders
from gateway.payments.rows.judged_orders import JudgedOrder
from gateway.register.registry import Registry
from protocols.canon.outcome import STATE_TABLE

_MEND = "the persons whom the policy asks for: `bankgw approvals list`"


_NEED = "approvals"


def need_of(command: CommandFacts) -> ApprovalNeed:
    """The approvers that the orders of a command need together. Call it only after the rules about each single
    order."""
    if _NEED not in command.memo:
        judged = [JudgedOrder(one.made, one.day, one.judgement) for one in command.orders]
        command.memo[_NEED] = approval_holds.need_of(
            command.tx, command.sender, judged, command.context, count=command.counts
        )
    found: ApprovalNeed = command.memo[_NEED]
    return found


class ApprovalsRule:
    """Rule `approvals` at admission: asks the persons whom the policy in force needs for the order, or for its batch as
    a whole."""

    name = "approvals"
    asks = "Does the approval policy in force ask for approvers?"
    answers = (
        RuleAnswer(
            HOLD_BAND,
            "the policy needs approvers for the order, for its batch, or for what its maker pays this payee today",
            "holds it, and asks for the approvals",
            "`payment.held`, `approval`",
            _MEND,
        ),
    )

    def judge(self, facts: OrderFacts) -> RuleVerdict:
        """Judge the orders of a command together."""
        return Hold(HOLD_BAND) if need_of(facts.command).approvers else PASS

    def enter(self, command: CommandFacts, rows: Sequence[PaymentRow]) -> None:
        """Make one approval request for all payments of the command that go on."""
        need = need_of(command)
        if need.approvers:
            going = [row for row in rows if not STATE_TABLE[row.life.state].final]
            approval_holds.request(command.tx, going, need, command.context.terms)

    def ended(self, tx: Tx, before: PaymentRow, after: PaymentRow, actor: str) -> tuple[str, ...]:
        """Void the open requests about a payment that ended unsent, unless they still name another open payment."""
        if before.life.state in UNSENT:
            approval_holds.on_ended(tx, after, actor)
        return ()


class ApprovalsAtRelease:
    """Rule `approvals` at a release: holds an order for which no approver was asked yet, or which must be approved
    again.
    """

    name = "approvals"
    asks = "Does the order have the approvals that the policy of this moment needs?"
    answers = (
        RuleAnswer(
            HOLD_BAND,
            "approvals are missing, or do not count any more",
            "keeps it held, and asks for the approvals if nobody is asked",
            "`payment.held`, `approval`",
            _MEND,
        ),
    )

    def judge(self, facts: ReleaseFacts) -> RuleVerdict:
        """Hold while approvals are missing. Approvals that this unit has found complete are not checked again."""
        waits = not facts.approved and approval_checks.at_release(facts.tx, facts.row, facts.context)
        return Hold(HOLD_BAND) if waits else PASS


class ApprovalsAtResend:
    """Rule `approvals` when two persons decide to send a payment in doubt once more: its approvals must still be valid.
    A payment that may be at the bank is not approved a second time."""

    name = "approvals"
    asks = "Do the approvals that the payment was sent with still count?"
    answers = (
        RuleAnswer(
            HOLD_BAND,
            "an approval does not count any more",
            "refuses the decision; nothing is changed",
            "–",
            "decide `failed` on the bank's written word, and have the ERP submit the payment under a new id",
        ),
    )

    def judge(self, facts: ReleaseFacts) -> RuleVerdict:
        """Check the payment's approvals; no approver is asked."""
        missing = approval_checks.why_not_now(facts.tx, facts.row, facts.context)
        if not missing:
            return PASS
        return Refuse(
            HOLD_BAND,
            f"its approvals are not valid now ({missing}), and a payment "
            "that may be at the bank cannot be approved again; decide "
            f"`failed` on the bank's written word and have the ERP submit the payment under a new id",
        )


class ApprovalsAtSend:
    """Rule `approvals` in the unit that records the send: the approvals must still count."""

    name = "approvals"
    asks = "Do the approvals still count: request, signatures, roles, delegations, policy and order of this moment?"
    answers = (
        RuleAnswer(
            HOLD_BAND,
            "an approval does not count any more, the order is not as it was approved, or the policy was altered",
            "holds it again and asks again; escalates it if it may have left before",
            "`payment.held`, `approval`; `payment.escalated`",
            _MEND,
        ),
    )

    def __init__(self, registry: Callable[[], Registry]) -> None:
        self._registry = registry

    def judge(self, facts: SendFacts) -> RuleVerdict:
        """Judge by the payment's approval state: a text says why it may not be sent; a signed line, or None, lets it be
        sent."""
        found = signed_lines.signed(facts.message, lambda tx, row: judged_orders.context_of(tx, row, self._registry()))
        said = found[facts.place]
        return Hold(HOLD_BAND, said, "order.approval_void") if isinstance(said, str) else PASS
