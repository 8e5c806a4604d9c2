"""What an operator or two persons do to an order, or to what of a batch it is for, in one unit: find it, let it befall,
note it. And the words that two persons sign to release what is held.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.control import batch_view
from gateway.control.batch_view import BatchChanged, OperatorDecision
from gateway.control.daemon_handle import DaemonHandle
from gateway.core import policy
from gateway.core.states import Deny, Event
from gateway.journal.commit import audit
from gateway.journal.commit.hand_over import Applied
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import batch_rows, held_orders, lookup
from gateway.journal.payments import transition as applying
from gateway.journal.payments.batch_rows import BatchRow
from gateway.journal.people.persons import No
from protocols.canon.money import Money

_REASONS = re.compile(r"[a-z_]+(,[a-z_]+)*")
SEND = "send"
"""What two persons choose who clear the only reason of a held order."""


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """What a unit did to an order: nothing (`why` says it), or `applied`; or to a batch."""

    row: PaymentRow | None
    why: str = ""
    applied: Applied | None = None
    batch: BatchChanged | None = None


def find(conn: Connection, name: str) -> PaymentRow | None:
    """By our own key, or by `sender:id`."""
    sender, colon, order_id = name.partition(":")
    return lookup.find(conn, sender, order_id) if colon else lookup.fetch(conn, name)


def find_batch(conn: Connection, name: str) -> BatchRow | None:
    """By `sender:id`: ids of orders and batches are one set."""
    sender, colon, batch = name.partition(":")
    return batch_rows.find(conn, sender, batch) if colon else None


def rows_of(conn: Connection, name: str) -> Sequence[PaymentRow]:
    """The order of this name, or all of the batch; none if there is neither."""
    row = find(conn, name)
    if row is not None:
        return (row,)
    batch = find_batch(conn, name)
    return () if batch is None else batch_rows.items(conn, batch.sender, batch.batch)


def befall(tx: Tx, name: str, word: OperatorDecision) -> OrderChanged:
    """Let the decision befall the order, or what of the batch it is for."""
    row = find(tx.fresh, name)
    if row is None:
        batch = find_batch(tx.fresh, name)
        return OrderChanged(None, batch=None if batch is None else batch_view.befall(tx, batch, word))
    happens = word.event(tx, row)
    if isinstance(happens, str):
        return OrderChanged(row, happens)
    applied = applying.apply(tx, row.payment, happens, epoch=None, actor=word.actor)
    assert applied.step is not None, "one unit reads and changes: nobody can come between"
    if any(isinstance(effect, Deny) for effect in applied.step.effects):
        return OrderChanged(row, f"it is {row.life.state.value}: it may be at the bank already, or is over")
    audit.append(tx, word.actor, word.entry_of(happens), row.payment, {"reason": word.reason})
    return OrderChanged(applied.row_after, applied=applied)


# ---- releases ----


def release(handle: DaemonHandle, actor: str, reason: str, held_for: Collection[str]) -> OperatorDecision:
    """The decision to clear reasons of what is held; none named: the only one."""

    def event(tx: Tx, row: PaymentRow) -> Event | str:
        if row.lane not in handle.lanes:
            return f"its lane {row.lane} is not configured; nothing was changed"
        return held_orders.release(tx, row, held_for, handle.register())

    return OperatorDecision(held_orders.HELD, event, actor, "released", reason, tuple(held_for), one_reason=True)


def why_not_to(to: str) -> str:
    """Why `to` says nothing about a release; "" if it does."""
    return "" if _REASONS.fullmatch(to) else f"{to!r} is neither {SEND} nor reasons with commas between"


@dataclass(frozen=True, slots=True)
class HeldFacts:
    """What both sign of a release, the subject's key, and how to call it in a sentence."""

    facts: tuple[tuple[str, str], ...]
    subject: str
    title: str


def facts(tx: Tx, name: str, to: str, handle: DaemonHandle) -> HeldFacts | No:
    """What is held, and which reasons are cleared, as things are now."""
    row, batch = find(tx.fresh, name), None
    if row is None:
        batch = find_batch(tx.fresh, name)
    if row is None and batch is None:
        return No("no_such_order", f"there is no order or batch {name}; name it by its payment key, or as SENDER:ID")
    title = f"batch {name}" if row is None else f"order {row.sender}:{row.order.id}"
    word = release(handle, "", "", _named(to))
    rows: Sequence[PaymentRow]
    if row is not None:
        rows, why = (row,), ""
    else:
        assert batch is not None
        rows, why = batch_view.meant(tx, batch, word)
    cleared: set[str] = set()
    for one in rows:
        found = held_orders.cleared_by(tx, one, word.held_for)
        if isinstance(found, str):
            why = why or found
        else:
            cleared.update(found)
    if why:
        return No("not_now", f"{title}: {why}")
    clears = ("clears", ", ".join(policy.in_order(cleared)))
    if row is not None:
        order = row.order
        return HeldFacts((
            ("payment", row.payment), ("order", f"{row.sender}:{order.id}"), ("lane", row.lane),
            ("amount", f"{order.amount} {order.amount.currency}"), ("creditor", str(order.creditor.account)),
            ("from", row.life.state.value), ("held-for", ", ".join(row.holds)), clears,
        ), row.payment, title)  # fmt: skip
    waits = Counter(reason for one in rows for reason in one.holds)
    lines = "\n".join(f"{one.order.id} {one.order.theirs.account.clear} {one.order.amount}" for one in rows)
    whole = Money(sum(one.order.amount.minor for one in rows), rows[0].order.amount.currency)
    return HeldFacts((
        ("batch", name), ("items", str(len(rows))), ("sum", f"{whole} {whole.currency}"),
        ("held-for", ", ".join(f"{reason} {count}" for reason, count in sorted(waits.items()))), clears,
        ("items-sha256", hashlib.sha256(lines.encode()).hexdigest()),
    ), name, title)  # fmt: skip


def carry_out(tx: Tx, name: str, to: str, note: str, actor: str, handle: DaemonHandle) -> No | None:
    """Release what both signed."""
    changed = befall(tx, name, release(handle, actor, note, _named(to)))
    why = changed.why if changed.batch is None else changed.batch.why
    return No("not_now", f"{name}: {why}") if why else None


def _named(to: str) -> tuple[str, ...]:
    return () if to == SEND else tuple(word.strip() for word in to.split(",") if word.strip())
