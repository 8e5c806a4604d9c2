"""Applies the decision of an operator or of two persons to an order or to items of a batch, in one unit.

It also makes the text that two persons sign to release held orders.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.act_ports import Accounts
from gateway.kernel.commit import audit
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core import policy
from gateway.kernel.core.code_names import HOLD_NAMES, STATE_NAMES
from gateway.kernel.core.states import Deny, Event
from gateway.language import BilingualText, bilingual, coded, listed
from gateway.payments.act_answers import batch_view
from gateway.payments.act_answers.batch_view import BatchChanged, OperatorDecision
from gateway.payments.rows import batch_rows, held_orders, lookup
from gateway.payments.rows import transition as applying
from gateway.payments.rows.batch_rows import BatchRow
from gateway.people.rows.persons import No
from gateway.people.rules.signed_text import DecisionFacts, SignedFact, fact
from protocols.canon.money import Money

_REASONS = re.compile(r"[a-z_]+(,[a-z_]+)*")
SEND = "send"
"""The next step after two persons have cleared the only reason of a held order: the order is sent."""


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """The result of an operator's decision on an order: no change (`why` says the reason), `applied`, or the result on
    a batch."""

    row: PaymentRow | None
    why: str = ""
    applied: Applied | None = None
    batch: BatchChanged | None = None


def find(conn: Connection, name: str) -> PaymentRow | None:
    """The order named by the gateway's own key, or by `sender:id`."""
    sender, colon, order_id = name.partition(":")
    return lookup.find(conn, sender, order_id) if colon else lookup.fetch(conn, name)


def find_batch(conn: Connection, name: str) -> BatchRow | None:
    """The batch named by `sender:id`. Orders and batches share one set of ids."""
    sender, colon, batch = name.partition(":")
    return batch_rows.find(conn, sender, batch) if colon else None


def rows_of(conn: Connection, name: str) -> Sequence[PaymentRow]:
    """The order of this name, or all orders of the batch of this name; empty if there is neither."""
    row = find(conn, name)
    if row is not None:
        return (row,)
    batch = find_batch(conn, name)
    return () if batch is None else batch_rows.items(conn, batch.sender, batch.batch)


def befall(tx: Tx, name: str, word: OperatorDecision) -> OrderChanged:
    """Apply the decision to the order, or to those items of the batch that can take it."""
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


def release(
    lanes: Collection[str], accounts: Accounts, actor: str, reason: str, held_for: Collection[str]
) -> OperatorDecision:
    """The decision to clear the named hold reasons, or the only one if none is named. `lanes` are this node's."""

    def event(tx: Tx, row: PaymentRow) -> Event | str:
        if row.lane not in lanes:
            return f"its lane {row.lane} is not configured; nothing was changed"
        return held_orders.release(tx, row, held_for, accounts())

    return OperatorDecision(held_orders.HELD, event, actor, "released", reason, tuple(held_for), one_reason=True)


def why_not_to(to: str) -> str:
    """Why the text `to` does not fit a release; "" if it does."""
    return "" if _REASONS.fullmatch(to) else f"{to!r} is neither {SEND} nor reasons with commas between"


def facts(tx: Tx, name: str, to: str, lanes: Collection[str], accounts: Accounts) -> DecisionFacts | No:
    """The present facts of a release, which both persons sign: the held orders, and the reasons that are cleared."""
    row, batch = find(tx.fresh, name), None
    if row is None:
        batch = find_batch(tx.fresh, name)
    if row is None and batch is None:
        return No("no_such_order", f"there is no order or batch {name}; name it by its payment key, or as SENDER:ID")
    title = f"batch {name}" if row is None else f"order {row.sender}:{row.order.id}"
    word = release(lanes, accounts, "", "", _named(to))
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
    clears = _reasons(policy.in_order(cleared))
    meant = coded(to, {to: "、".join({**HOLD_NAMES, SEND: "放行"}.get(one, one) for one in to.split(","))})
    if row is not None:
        said = _held_order(row, clears)
        return DecisionFacts(said, row.payment, title, _effect("order", said, clears), meant)
    said = _held_batch(name, rows, clears)
    return DecisionFacts(said, name, title, _effect("batch", said, clears), meant)


def _held_order(row: PaymentRow, clears: BilingualText) -> tuple[SignedFact, ...]:
    return (
        fact("payment", "付款编号", row.payment),
        fact("order", "付款指令", f"{row.sender}:{row.order.id}"),
        fact("lane", "通道", row.lane),
        fact("amount", "金额", f"{row.order.amount} {row.order.amount.currency}"),
        fact("creditor", "收款账号", str(row.order.creditor.account)),
        fact("from", "目前状态", coded(row.life.state.value, STATE_NAMES)),
        fact("held-for", "待放行原因", _reasons(row.holds)),
        fact("clears", "解除的原因", clears),
    )


def _held_batch(name: str, rows: Sequence[PaymentRow], clears: BilingualText) -> tuple[SignedFact, ...]:
    waits = sorted(Counter(reason for one in rows for reason in one.holds).items())
    counts = [
        bilingual("{reason} {count}", "{reason} {count} 笔", reason=coded(reason, HOLD_NAMES), count=str(count))
        for reason, count in waits
    ]
    lines = "\n".join(f"{one.order.id} {one.order.theirs.account.clear} {one.order.amount}" for one in rows)
    whole = Money(sum(one.order.amount.minor for one in rows), rows[0].order.amount.currency)
    return (
        fact("batch", "批次", name),
        fact("items", "笔数", str(len(rows))),
        fact("sum", "合计", f"{whole} {whole.currency}"),
        fact("held-for", "待放行原因", listed(counts)),
        fact("clears", "解除的原因", clears),
        fact("items-sha256", "明细校验值（SHA-256）", hashlib.sha256(lines.encode()).hexdigest()),
    )


def _effect(what: str, said: Sequence[SignedFact], clears: BilingualText) -> BilingualText:
    value = {one.label[0]: one.value for one in said}
    if what == "order":
        return bilingual(
            "order {order} over {amount} is not held for {clears} any more; it is sent if nothing else holds it",
            "付款指令 {order}（金额 {amount}）解除待放行原因：{clears}；没有其他原因时即发送",
            order=value["order"],
            amount=value["amount"],
            clears=clears,
        )
    return bilingual(
        "{items} orders of batch {batch}, {sum} in all, are not held for {clears} any more; each is sent if nothing "
        "else holds it",
        "批次 {batch} 的 {items} 笔付款（合计 {sum}）解除待放行原因：{clears}；没有其他原因的即发送",
        items=value["items"],
        batch=value["batch"],
        sum=value["sum"],
        clears=clears,
    )


def _reasons(codes: Sequence[str]) -> BilingualText:
    return listed([coded(one, HOLD_NAMES) for one in codes])


def carry_out(
    tx: Tx, name: str, to: str, note: str, actor: str, lanes: Collection[str], accounts: Accounts
) -> No | None:
    """Carry out the release that both persons have signed."""
    changed = befall(tx, name, release(lanes, accounts, actor, note, _named(to)))
    why = changed.why if changed.batch is None else changed.batch.why
    return No("not_now", f"{name}: {why}") if why else None


def _named(to: str) -> tuple[str, ...]:
    return () if to == SEND else tuple(word.strip() for word in to.split(",") if word.strip())
