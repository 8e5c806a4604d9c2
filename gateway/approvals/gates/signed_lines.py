"""The lines that approvers signed of one message's payments, read once in the unit that writes the message down."""

from __future__ import annotations

from collections.abc import Callable

from gateway.approvals.rows import approval_checks, approval_holds
from gateway.approvals.rules.approval_digest import ApprovalLine
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.payments.gates.send_facts import SendMessage
from gateway.payments.rows.judged_orders import ApprovalContext

_SIGNED = "signed_lines"


def signed(
    message: SendMessage, context_of: Callable[[Tx, PaymentRow], ApprovalContext]
) -> list[str | ApprovalLine | None]:
    """The approvals that each payment of a message has now: see approval_checks.at_send."""
    if _SIGNED not in message.memo:
        message.memo[_SIGNED] = approval_checks.at_send(message.tx, message.rows, context_of)
    found: list[str | ApprovalLine | None] = message.memo[_SIGNED]
    return found


def lines_of(message: SendMessage) -> tuple[ApprovalLine, ...]:
    """The lines that approvers signed of each payment; empty if none needed an approval.

    A payment without approval is listed as it was ordered, because the reader of the bytes finds every payment of the
    message. Call it after `signed`.
    """
    found: list[str | ApprovalLine | None] = message.memo[_SIGNED]
    if all(one is None for one in found):
        return ()
    each = zip(message.rows, found, strict=True)
    lines = [approval_holds.line_of(row.order) if one is None else one for row, one in each]
    return tuple(one for one in lines if not isinstance(one, str))
