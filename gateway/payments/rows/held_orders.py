"""Release a held order: the named reasons are cleared, and the remaining reasons are judged again."""

from __future__ import annotations

from collections.abc import Collection

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core import gate, policy
from gateway.kernel.core.gate import Hold, Refuse
from gateway.kernel.core.hours import next_open_ms
from gateway.kernel.core.states import Event, Release
from gateway.kernel.core.states import Hold as HoldEvent
from gateway.payments.gates.lists import LISTS
from gateway.payments.gates.release_facts import ReleaseFacts
from gateway.payments.rows import judged_orders
from gateway.payments.rows.rules_above import WAS_ASKED
from gateway.register.registry import Registry
from protocols.canon.outcome import State

HELD = (State.ACCEPTED, State.HELD)


def release(tx: Tx, row: PaymentRow, named: Collection[str], registry: Registry) -> Event | str:
    """Release the order from the `named` reasons; returns the event, or why nothing can be released. None named: the
    only reason."""
    cleared = cleared_by(tx, row, named)
    return cleared if isinstance(cleared, str) else _judged(ReleaseFacts(tx, row, cleared, registry))


def cleared_by(tx: Tx, row: PaymentRow, named: Collection[str]) -> tuple[str, ...] | str:
    """The reasons that a release from the `named` ones clears, or why it clears none. Changes nothing."""
    if row.life.state not in HELD:
        return f"it is {row.life.state.value}, not held; nothing was changed"
    waits = ", ".join(row.holds)
    if not named and len(row.holds) > 1:
        return (
            f"it waits for {waits}; say with --held-for which of them you clear "
            f"(all: --held-for {','.join(row.holds)}); nothing was changed"
        )
    cleared = tuple(reason for reason in row.holds if not named or reason in named)
    if named and not cleared:
        return f"it waits for {waits}, not for {', '.join(named)}; nothing was changed"
    if policy.HOLD_BAND in cleared and tx.ports.of(WAS_ASKED)(tx, row):
        return (
            "its approval is for the persons whom the approval policy asks for: bankgw approvals list; "
            "nothing was changed"
        )
    return cleared


def approved(tx: Tx, row: PaymentRow, registry: Registry) -> Event | None:
    """The event for a held order whose approvals this unit found complete; None if the order does not wait for
    approval."""
    if row.life.state not in HELD or policy.HOLD_BAND not in row.holds or row.bank not in registry.banks:
        return None
    event = _judged(ReleaseFacts(tx, row, (policy.HOLD_BAND,), registry, approved=True))
    assert not isinstance(event, str), "only a lost right refuses a release, and approvers do not clear it"
    return event


def _judged(facts: ReleaseFacts) -> Event | str:
    """The verdict of the release rules: the reasons that still hold the order, its release, or why nothing changes."""
    left: set[str] = set()
    for rule in facts.tx.ports.of(LISTS).release:
        against = gate.ask(rule, facts)
        if isinstance(against, Refuse):
            return against.why
        if against is not None:
            left.update((against.reason, *against.also) if isinstance(against, Hold) else (against.reason,))
    tx, row = facts.tx, facts.row
    if left:
        reasons = policy.in_order(left)
        return HoldEvent(tx.now_ms, reasons[0], reasons[1:], facts.cleared)
    # An order that was held from the start has no time of a send yet.
    named_ms = judged_orders.at_ms(row.order.not_before) or 0
    earliest_ms = max(tx.now_ms, row.life.send_after_ms or 0, named_ms)
    hours = facts.registry.banks[row.bank].profile.limits.hours
    return Release(tx.now_ms, next_open_ms(hours, earliest_ms), facts.cleared)
