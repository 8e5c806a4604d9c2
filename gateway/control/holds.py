"""Release a held order: clears the named reasons; what remains is judged again."""

from __future__ import annotations

from collections.abc import Collection

from gateway.control.daemon_handle import DaemonHandle
from gateway.core import policy
from gateway.core.hours import next_open_ms, stayed_since_ms
from gateway.core.policy import Allowance, UsageFacts
from gateway.core.states import Event, Hold, Release
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import approval_holds, payees
from gateway.journal.people import approval_requests
from protocols.canon.limits import Hours
from protocols.canon.outcome import State

HELD = (State.ACCEPTED, State.HELD)


def release(tx: Tx, row: PaymentRow, named: Collection[str], daemon_handle: DaemonHandle) -> Event | str:
    """What befalls the order when a person clears the `named` reasons, or why nothing can. None named: the only one."""
    if row.life.state not in HELD:
        return f"it is {row.life.state.value}, not held; nothing was changed"
    waits = ", ".join(row.holds)
    if not named and len(row.holds) > 1:
        return (f"it waits for {waits}; say with --held-for which of them you clear "
                f"(all: --held-for {','.join(row.holds)}); nothing was changed")  # fmt: skip
    cleared = tuple(reason for reason in row.holds if not named or reason in named)
    if named and not cleared:
        return f"it waits for {waits}, not for {', '.join(named)}; nothing was changed"
    if policy.HOLD_BAND in cleared and approval_requests.latest(tx.fresh, row.sender, approval_holds.subject_name(row)):
        return ("its approval is for the persons whom the approval policy asks for: bankgw approvals list; "
                "nothing was changed")  # fmt: skip
    lane = daemon_handle.lanes.get(row.lane)
    if lane is None:
        return f"its lane {row.lane} is not configured; nothing was changed"
    left = _left(tx, row, cleared, daemon_handle)
    if left:
        return Hold(tx.now_ms, left[0], left[1:], cleared)
    earliest_ms = max(tx.now_ms, row.life.send_after_ms or 0)
    return Release(tx.now_ms, next_open_ms(lane.parts.bank.profile.limits.hours, earliest_ms), cleared)


def _left(tx: Tx, row: PaymentRow, cleared: Collection[str], daemon_handle: DaemonHandle) -> tuple[str, ...]:
    """The reasons that still hold it, by the settings and the journal of this moment."""
    sender, lane = daemon_handle.register().senders.get(row.sender), daemon_handle.lanes[row.lane]
    if sender is None:
        return policy.in_order(set(row.holds) - set(cleared))
    allowance, hours = sender.allowance, lane.parts.bank.profile.limits.hours
    before_ms = None
    if policy.looks_at_payee(row.order, allowance):
        before_ms = stayed_since_ms(hours, tx.now_ms, allowance.payee_days, allowance.holidays)
    facts = payees.looked_at(tx, row.sender, row.order, before_ms, UsageFacts())
    left = policy.still_held(row.order, allowance, facts, row.holds, {*row.cleared, *cleared})
    return policy.in_order({*left, *_unapproved(tx, row, allowance, hours, daemon_handle)})


def _unapproved(
    tx: Tx, row: PaymentRow, allowance: Allowance, hours: Hours, daemon_handle: DaemonHandle
) -> tuple[str, ...]:
    """`approval`, and a request for it, if the policy in force by now needs one and nobody was asked yet."""
    need = approval_holds.needed_now(
        tx, row, lambda minor, looked: policy.payee_covers(minor, allowance, looked),
        lambda: stayed_since_ms(hours, tx.now_ms, allowance.payee_days, allowance.holidays),
    )  # fmt: skip
    if not need.approvers:
        return ()
    if approval_requests.latest(tx.fresh, row.sender, approval_holds.subject_name(row)) is None:
        approval_holds.request(tx, approval_holds.unsent(tx, row), need, daemon_handle.register().approval_terms)
    return (policy.HOLD_BAND,)
