"""A batch as `GET /orders/<batch>` returns it, and an operator's action on its items: all items in one journal unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from gateway.kernel.commit import audit
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Deny, Event, Hold
from gateway.payments.act_answers import order_view
from gateway.payments.rows import batch_rows
from gateway.payments.rows import transition as applying
from gateway.payments.rows.batch_rows import BatchRow, item_states
from protocols.canon.money import Money
from protocols.canon.outcome import State
from protocols.erp.batch_news import shares_of
from protocols.erp.news import instant

EventOf = Callable[[Tx, PaymentRow], Event | str]
"""Decides about one item: returns the event that it causes, or the reason why nothing can be done."""


@dataclass(frozen=True, slots=True)
class BatchChanged:
    """The result of an operator's decision on a batch: no change (`why` says the reason), or one `applied` for each
    item. `items` are all items after it."""

    row: BatchRow
    items: tuple[PaymentRow, ...]
    applied: tuple[Applied, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class OperatorDecision:
    """An operator's decision: the `states` in which an item takes it, the event that it causes, and its name in the
    audit trail (`entry`).

    `held_for`: only items that wait for one of these reasons. `one_reason`: without it, items of a batch that wait for
    several reasons are not included, because a person who releases items that wait for an approval may not know of a
    suspicion.
    """

    states: Collection[State]
    event: EventOf
    actor: str
    entry: str
    reason: str
    held_for: Collection[str] = ()
    one_reason: bool = False

    def entry_of(self, event: Event) -> str:
        """The name in the audit trail for the change of one order: a release may clear only some of its reasons."""
        return "order.hold_cleared" if isinstance(event, Hold) else f"order.{self.entry}"


def befall(tx: Tx, row: BatchRow, word: OperatorDecision) -> BatchChanged:
    """Apply the decision to every item that can take it, or to none."""
    chosen, why = meant(tx, row, word)
    happens = [] if why else [(one, word.event(tx, one)) for one in chosen]
    why = why or next((event for _one, event in happens if isinstance(event, str)), "")
    if why:
        return BatchChanged(row, batch_rows.items(tx.fresh, row.sender, row.batch), why=why)
    applied = []
    for one, event in happens:
        assert not isinstance(event, str)
        done = applying.apply(tx, one.payment, event, epoch=None, actor=word.actor)
        assert done.step is not None, "one unit reads and changes: nobody can come between"
        if any(isinstance(effect, Deny) for effect in done.step.effects):
            continue
        audit.append(tx, word.actor, word.entry_of(event), one.payment, {"reason": word.reason, "batch": row.batch})
        applied.append(done)
    detail = {"reason": word.reason, "items": len(applied), "count": row.count}
    audit.append(tx, word.actor, f"batch.{word.entry}", f"{row.sender}/{row.batch}", detail)
    now = batch_rows.find(tx.fresh, row.sender, row.batch)
    assert now is not None
    return BatchChanged(now, batch_rows.items(tx.fresh, row.sender, row.batch), tuple(applied))


def meant(tx: Tx, row: BatchRow, word: OperatorDecision) -> tuple[list[PaymentRow], str]:
    """The items of a batch to which the decision applies, or the reason why it applies to none of them."""
    before = batch_rows.items(tx.fresh, row.sender, row.batch)
    chosen = [one for one in before if one.life.state in word.states]
    if word.held_for:
        chosen = [one for one in chosen if set(one.holds) & set(word.held_for)]
    why = _mixed(chosen) if word.one_reason and not word.held_for else None
    if why is None and not chosen:
        why = f"no item of it can be {word.entry}: {_states_of(before)}; nothing was changed"
    return chosen, why or ""


def _mixed(chosen: Collection[PaymentRow]) -> str | None:
    reasons = Counter(reason for one in chosen for reason in one.holds)
    if len(reasons) < 2:
        return None
    told = ", ".join(f"{reason} ({count})" for reason, count in sorted(reasons.items()))
    return f"its items wait for several reasons: {told}; say which with --held-for; nothing was changed"


def _states_of(items: Collection[PaymentRow]) -> str:
    counted = Counter(one.life.state.value for one in items)
    return ", ".join(f"{count} {state}" for state, count in counted.items())


def head(row: BatchRow) -> dict[str, Any]:
    """The batch's own fields for an answer, without its items."""
    return {
        "batch": row.batch,
        "sender": row.sender,
        "kind": row.kind.value,
        "bank": row.bank,
        "lane": row.lane,
        "count": row.count,
        "sum": str(row.total),
        "currency": row.total.currency,
        "open_items": row.open_items,
        "accepted_at": instant(row.accepted_ms),
        "changed_at": instant(row.changed_ms),
    }


def brief(row: BatchRow, items: tuple[PaymentRow, ...]) -> dict[str, Any]:
    """The batch for a list: its items counted by state, and the held ones by reason."""
    currency = row.total.currency
    held = Counter(reason for one in items if one.life.state is State.HELD for reason in one.holds)
    shares = shares_of(item_states(items))
    return {
        **head(row),
        "states": [
            {"state": state.value, "count": share.count, "sum": str(Money(share.sum_minor, currency))}
            for state, share in shares.items()
        ],
        "held_for": dict(held),
    }


def full(row: BatchRow, items: tuple[PaymentRow, ...]) -> dict[str, Any]:
    """The batch for its page: every item as a line, in its order."""
    return {
        **brief(row, items),
        "correlation_id": row.reply.correlation_id,
        "tags": dict(row.tags),
        "items": [order_view.brief(one) for one in items],
    }
