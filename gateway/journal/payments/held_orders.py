"""Release a held order: clears the named reasons; what remains is judged again."""

from __future__ import annotations

from collections.abc import Collection

from gateway.core import policy
from gateway.core.hours import next_open_ms, stayed_since_ms
from gateway.core.policy import UsageFacts
from gateway.core.states import Event, Hold, Release
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import approval_checks, approval_holds, payees
from gateway.journal.payments.approval_holds import ApprovalContext
from gateway.registry import Registry
from protocols.canon.outcome import State

HELD = (State.ACCEPTED, State.HELD)


def release(tx: Tx, row: PaymentRow, named: Collection[str], registry: Registry) -> Event | str:
    """What befalls the order when a person clears the `named` reasons, or why nothing can. None named: the only one."""
    cleared = cleared_by(tx, row, named)
    if isinstance(cleared, str):
        return cleared
    return _clear(tx, row, cleared, registry, approval_checks.at_release(tx, row, context_of(tx, row, registry)))


def cleared_by(tx: Tx, row: PaymentRow, named: Collection[str]) -> tuple[str, ...] | str:
    """Which reasons a release that names these clears, or why it clears none. It changes nothing."""
    if row.life.state not in HELD:
        return f"it is {row.life.state.value}, not held; nothing was changed"
    waits = ", ".join(row.holds)
    if not named and len(row.holds) > 1:
        return (f"it waits for {waits}; say with --held-for which of them you clear "
                f"(all: --held-for {','.join(row.holds)}); nothing was changed")  # fmt: skip
    cleared = tuple(reason for reason in row.holds if not named or reason in named)
    if named and not cleared:
        return f"it waits for {waits}, not for {', '.join(named)}; nothing was changed"
    if policy.HOLD_BAND in cleared and approval_checks.was_asked(tx, row):
        return ("its approval is for the persons whom the approval policy asks for: bankgw approvals list; "
                "nothing was changed")  # fmt: skip
    return cleared


def approved(tx: Tx, row: PaymentRow, registry: Registry) -> Event | None:
    """What befalls a held order whose approvals were found complete in this unit; None if it waits for none."""
    if row.life.state not in HELD or policy.HOLD_BAND not in row.holds or row.bank not in registry.banks:
        return None
    return _clear(tx, row, (policy.HOLD_BAND,), registry, ())


def context_of(tx: Tx, row: PaymentRow, registry: Registry) -> ApprovalContext:
    """What the approval policy looks at, by the settings of this moment."""
    sender, bank = registry.senders.get(row.sender), registry.banks.get(row.bank)
    return approval_holds.context(
        registry.approval_terms, None if sender is None else sender.allowance,
        None if bank is None else bank.profile.limits.hours, tx.now_ms,
    )  # fmt: skip


def _clear(
    tx: Tx, row: PaymentRow, cleared: tuple[str, ...], registry: Registry, unapproved: tuple[str, ...]
) -> Event:
    left = _left(tx, row, cleared, registry, unapproved)
    if left:
        return Hold(tx.now_ms, left[0], left[1:], cleared)
    # What was held from the start has no time to be sent yet.
    named_ms = approval_holds.at_ms(row.order.not_before) or 0
    earliest_ms = max(tx.now_ms, row.life.send_after_ms or 0, named_ms)
    return Release(tx.now_ms, next_open_ms(registry.banks[row.bank].profile.limits.hours, earliest_ms), cleared)


def _left(
    tx: Tx, row: PaymentRow, cleared: Collection[str], registry: Registry, unapproved: tuple[str, ...]
) -> tuple[str, ...]:
    """The reasons that still hold it, by the settings and the journal of this moment."""
    sender, hours = registry.senders.get(row.sender), registry.banks[row.bank].profile.limits.hours
    if sender is None:
        return policy.in_order({*(set(row.holds) - set(cleared)), *unapproved})
    allowance, before_ms = sender.allowance, None
    if policy.looks_at_payee(row.order, allowance):
        before_ms = stayed_since_ms(hours, tx.now_ms, allowance.payee_days, allowance.holidays,
                                allowance.worked)
    facts = payees.looked_at(tx, row.sender, row.order, before_ms, UsageFacts())
    left = policy.still_held(row.order, allowance, facts, row.holds, {*row.cleared, *cleared})
    return policy.in_order({*left, *unapproved})
