"""Table `batches`: find and read batches, count their open items, and send an event when none is open."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from gateway.kernel.commit import audit, payment_rows
from gateway.kernel.commit.rows import PaymentRow, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.driver import first_row, rows, run_write
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import events
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import STATE_TABLE, State
from protocols.erp.batch_news import BATCH_COMPLETED, BatchNews, ItemState, Share, batch_fields, shares_of
from protocols.erp.news import routing_key, write_json
from protocols.erp.routing import EVENTS

_B = schema.batches.c
_P = schema.payments.c
_ROW = select(schema.batches).where(_B.sender == bindparam("b_sender"), _B.batch == bindparam("b_batch"))
_TOLD = (
    update(schema.batches)
    .where(_B.sender == bindparam("b_sender"), _B.batch == bindparam("b_batch"))
    .values(seq=bindparam("b_seq"), changed_ms=bindparam("b_changed_ms"))
)
_SHARES = (
    select(_P.state, func.count(), func.sum(_P.amount_minor))
    .where(_P.sender == bindparam("b_sender"), _P.batch == bindparam("b_batch"))
    .group_by(_P.state)
)
_ITEMS = (
    select(schema.payments)
    .where(_P.sender == bindparam("b_sender"), _P.batch == bindparam("b_batch"))
    .order_by(_P.item_no)
)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch of orders. Its identity is (`sender`, `batch`), the ERP's own id; `open_items` counts items that are
    not final."""

    sender: str
    batch: str
    bank: str
    lane: str
    kind: Kind
    fingerprint: str
    count: int
    total: Money
    open_items: int
    seq: int
    reply: Reply
    accepted_ms: int
    changed_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)


def add(tx: Tx, row: BatchRow) -> bool:
    """Store a new batch. False if a batch with this identity exists."""
    return insert_new(tx.raw, schema.batches, _columns(row, tx.vault))


def find(conn: Connection, sender: str, batch: str) -> BatchRow | None:
    """The sender's batch with this id."""
    row = first_row(conn, _ROW, {"b_sender": sender, "b_batch": batch})
    return None if row is None else _read(row, vault_of(conn))


def items(conn: Connection, sender: str, batch: str) -> tuple[PaymentRow, ...]:
    """The payments of a batch, in item order."""
    vault = vault_of(conn)
    found = conn.execute(_ITEMS, {"b_sender": sender, "b_batch": batch})
    return tuple(payment_rows.decode_row(row, vault) for row in found)


def item_states(rows: tuple[PaymentRow, ...]) -> tuple[ItemState, ...]:
    """The states of a batch's items, for a reply."""
    return tuple(
        ItemState(
            id=row.order.id,
            item_no=row.item_no or 0,
            payment=row.payment,
            state=row.life.state,
            seq=row.life.seq,
            amount=row.order.amount,
            bank_reference=None if row.life.state is State.REJECTED else row.bank_ref,
            bank_serial=row.bank_serial,
            bank_code=row.bank_code,
            bank_text=row.bank_text,
            hold_reasons=row.holds,
            refusal=row.refusal,
        )
        for row in rows
    )


def news_of(
    row: BatchRow, event: str, rows: tuple[PaymentRow, ...], at_ms: int, *, replayed: bool = False
) -> BatchNews:
    """The batch with all its items, for an event or a reply."""
    states = item_states(rows)
    return BatchNews(
        event=event,
        id=row.batch,
        sender=row.sender,
        bank=row.bank,
        kind=row.kind,
        seq=row.seq,
        at_ms=at_ms,
        count=row.count,
        total=row.total,
        shares=shares_of(states),
        items=states,
        replayed=replayed,
        tags=row.tags,
    )


def follow(tx: Tx, before: PaymentRow, after: PaymentRow) -> None:
    """Record a changed item of a batch, and send the batch's event once all items are final. Called in the unit that
    changes the item."""
    was, now = STATE_TABLE[before.life.state].final, STATE_TABLE[after.life.state].final
    if after.batch is None or before.life.state is after.life.state or not (was or now):
        return
    delta = 0 if was is now else -1 if now else 1
    still_open = tx.batch_counts.change(tx.raw, (after.sender, after.batch), delta)
    if now and still_open == 0:
        row = first_row(tx.read, _ROW, {"b_sender": after.sender, "b_batch": after.batch})
        assert row is not None
        _complete(tx, _read(row, tx.vault))


def _complete(tx: Tx, row: BatchRow) -> None:
    counted = rows(tx.read, _SHARES, {"b_sender": row.sender, "b_batch": row.batch})
    by_state = {State(state): Share(count, int(total)) for state, count, total in counted}
    seq = row.seq + 1
    run_write(tx.raw, _TOLD, {"b_sender": row.sender, "b_batch": row.batch, "b_seq": seq, "b_changed_ms": tx.now_ms})
    news = BatchNews(
        event=BATCH_COMPLETED,
        id=row.batch,
        sender=row.sender,
        bank=row.bank,
        kind=row.kind,
        seq=seq,
        at_ms=tx.now_ms,
        count=row.count,
        total=row.total,
        shares={state: by_state[state] for state in STATE_TABLE if state in by_state},
        tags=row.tags,
    )
    key = routing_key(BATCH_COMPLETED, row.bank, row.sender)
    body = write_json(batch_fields(news))
    about = (row.bank, row.sender)
    tx.enqueue(events.message(tx, BATCH_COMPLETED, body, (EVENTS, key), about, row.reply, tx.now_ms))
    shares = {state.value: share.count for state, share in by_state.items()}
    audit.append(tx, f"node:{tx.node}", "batch.completed", f"{row.sender}/{row.batch}", {"seq": seq, **shares})


def move_sender(tx: Tx, old: str, new: str) -> int:
    """Move the batches of the sender `old` to `new`; their bodies are sealed with the sender's name, so they are sealed
    again. Returns how many."""
    moved = 0
    for found in tx.fresh.execute(select(schema.batches).where(_B.sender == old)).all():
        body = tx.vault.seal(tx.vault.open(found.body, _aad(old, found.batch)), _aad(new, found.batch))
        theirs = (_B.sender == old) & (_B.batch == found.batch)
        tx.fresh.execute(update(schema.batches).where(theirs).values(sender=new, body=body))
        moved += 1
    return moved


def _aad(sender: str, batch: str) -> bytes:
    return f"batches/body/{sender}/{batch}".encode()


def _columns(row: BatchRow, vault: Vault) -> dict[str, Any]:
    reply = row.reply
    body = json.dumps({"fingerprint": row.fingerprint, "tags": dict(row.tags)}, ensure_ascii=False).encode()
    return {
        "sender": row.sender,
        "batch": row.batch,
        "bank": row.bank,
        "lane": row.lane,
        "kind": row.kind.value,
        "fingerprint": vault.blind(row.fingerprint),
        "count": row.count,
        "currency": row.total.currency,
        "sum_minor": row.total.minor,
        "open_items": row.open_items,
        "seq": row.seq,
        "reply_to": reply.reply_to,
        "correlation_id": reply.correlation_id,
        "traceparent": reply.traceparent,
        "content_type": reply.content_type,
        "accepted_ms": row.accepted_ms,
        "changed_ms": row.changed_ms,
        "body": vault.seal(body, _aad(row.sender, row.batch)),
    }


def _read(found: Any, vault: Vault) -> BatchRow:
    said = found._asdict()
    body = json.loads(vault.open(said["body"], _aad(said["sender"], said["batch"])))
    return BatchRow(
        sender=said["sender"],
        batch=said["batch"],
        bank=said["bank"],
        lane=said["lane"],
        kind=Kind(said["kind"]),
        fingerprint=body["fingerprint"],
        count=said["count"],
        total=Money(said["sum_minor"], said["currency"]),
        open_items=said["open_items"],
        seq=said["seq"],
        reply=Reply(said["reply_to"], said["correlation_id"], said["traceparent"], said["content_type"]),
        accepted_ms=said["accepted_ms"],
        changed_ms=said["changed_ms"],
        tags=body["tags"],
    )
