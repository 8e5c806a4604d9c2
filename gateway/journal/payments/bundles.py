"""Bundles: orders of one batch that are sent to their bank in one message, whose bytes are stored once.

A bundle is made when its first order is to be sent: of the batch's orders that are ready then, up to the bank's limit
per message. Each order keeps its own state, attempts and permits; the bundle adds the message's reference and bytes. A
bundle whose bytes may have been sent is spent: neither the bundle nor an order of it is sent again. An order sent again
in another message would no longer be enquired about in the first one, and the bank's answer about the first message
would name an order that no longer belongs to it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, delete, insert, select, update

from gateway.journal.commit import audit, payment_rows
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.serials import draw_serials
from gateway.journal.commit.store import Tx
from gateway.journal.commit.work import may_leave_ms
from gateway.journal.payments import bank_references
from gateway.journal.sql import driver, schema
from gateway.journal.sql.driver import first_row, write_many
from gateway.journal.sql.vault import Vault
from gateway.journal.sql.vaults import vault_of
from protocols.canon.limits import ReferenceForm
from protocols.canon.order import Kind
from protocols.canon.outcome import State

_B = schema.bundles.c
_I = schema.bundle_items.c
_P = schema.payments.c
_OF = (
    select(schema.bundles).join(schema.bundle_items, _I.bundle == _B.bundle)
    .where(_I.payment == bindparam("b_payment"))
)  # fmt: skip
_MEMBERS = (
    select(schema.payments).join(schema.bundle_items, _I.payment == _P.payment)
    .where(_I.bundle == bindparam("b_bundle")).order_by(_I.place)
)  # fmt: skip
_PLACES = select(_I.payment).where(_I.bundle == bindparam("b_bundle")).order_by(_I.place)
_ENTER = insert(schema.bundle_items)
_FREE = (
    select(_P.payment, _P.version, _P.item_no).outerjoin(schema.bundle_items, _I.payment == _P.payment)
    .where(
        _P.sender == bindparam("b_sender"), _P.batch == bindparam("b_batch"), _P.state == State.READY.value,
        _P.first_write_ms.is_(None), _I.payment.is_(None), _P.item_no > bindparam("b_after"),
    )
    .order_by(_P.item_no).limit(bindparam("b_limit", type_=Integer))
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BundleRow:
    """One message with many orders. `bank_ref` is its own reference, unique on its lane; `attempt` counts its sends.

    `spent`: its bytes may have been sent. `bank_date`, `serials`, `port` and `wire` are those of the last attempt.
    """

    bundle: str
    lane: str
    kind: Kind
    bank_ref: str
    attempt: int
    spent: bool
    bank_date: str | None
    serials: tuple[str, ...]
    port: str
    wire: bytes | None


@dataclass(frozen=True, slots=True)
class BundleSend:
    """The exact message to send, and how it was built."""

    bank_date: str
    serials: tuple[str, ...]
    port: str
    wire: bytes


def allot(
    tx: Tx, payment: str, most: int, form: ReferenceForm, epoch: int
) -> tuple[BundleRow, tuple[PaymentRow, ...]] | None:
    """The unspent bundle of a ready payment, with its ready orders in item order.

    Makes a bundle if there is none, from the ready and due orders of the batch that are in no bundle, this one
    included. None if the payment is not ready, was sent before, or if the lane has a higher epoch now.
    """
    row = tx.payment_cache.afresh(tx.read, tx.vault, payment)
    if row is None or row.life.state is not State.READY or row.life.first_write_ms is not None:
        return None
    if tx.epoch_of(row.lane) > epoch:
        return None
    found = first_row(tx.raw, _OF, {"b_payment": payment})
    if found is not None:
        bundle = _read(found, tx.vault)
        assert not bundle.spent, "what is in a spent bundle has left, or may have"
        members = _members(tx.raw, bundle.bundle)
        return bundle, tuple(one for one in members if one.payment == payment or _may_go(one, tx.now_ms))
    # The payment that is due is always included, wherever it stands in the batch.
    chosen = sorted([row, *_free(tx, row, most - 1)], key=lambda one: one.item_no or 0)
    return _make(tx, row, chosen, form), tuple(chosen)


def _free(tx: Tx, first: PaymentRow, most: int) -> list[PaymentRow]:
    """The first `most` payments of its batch besides `first` that may be sent now and are in no bundle."""
    chosen: list[PaymentRow] = []
    after = -1
    while first.batch is not None and len(chosen) < most:
        wanted = {"b_sender": first.sender, "b_batch": first.batch, "b_after": after, "b_limit": most + 1}
        found = driver.rows(tx.raw, _FREE, wanted)
        others = [_current(tx, one.payment, one.version) for one in found if one.payment != first.payment]
        chosen += [one for one in others if _may_go(one, tx.now_ms)]
        if len(found) <= most:
            break
        after = found[-1].item_no or 0
    return chosen[:most]


def _current(tx: Tx, payment: str, version: int) -> PaymentRow:
    """A payment that the database has in this version: most are remembered, and need not be read again."""
    row = tx.payment_cache.in_version(tx.raw, tx.vault, payment, version)
    assert row is not None, "it was found a moment ago in this transaction"
    return row


def _may_go(row: PaymentRow, now_ms: int) -> bool:
    until_ms = row.life.valid_until_ms
    if row.life.state is not State.READY or row.life.first_write_ms is not None:
        return False
    return may_leave_ms(row, now_ms) <= now_ms and (until_ms is None or now_ms < until_ms)


def _make(tx: Tx, first: PaymentRow, rows: Sequence[PaymentRow], form: ReferenceForm) -> BundleRow:
    serial = draw_serials(tx, first.bank, 1).start
    bundle = BundleRow(
        bundle=tx.entropy.ulid(tx.now_ms), lane=first.lane, kind=first.order.kind,
        bank_ref=bank_references.write(form, serial, tx.now_ms), attempt=0, spent=False, bank_date=None,
        serials=(), port="", wire=None,
    )  # fmt: skip
    tx.raw.execute(insert(schema.bundles), {
        "bundle": bundle.bundle, "lane": bundle.lane, "kind": bundle.kind.value, "bank_ref": bundle.bank_ref,
        "attempt": 0, "spent": 0, "made_ms": tx.now_ms, "serials": "[]", "port": "", "ref_bank": first.bank,
    })  # fmt: skip
    _fill(tx, bundle.bundle, rows)
    detail = {"reference": bundle.bank_ref, "items": len(rows), "batch": first.batch}
    audit.append(tx, f"node:{tx.node}", "bundle.made", bundle.bundle, detail)
    return bundle


def sending(
    tx: Tx, bundle: BundleRow, rows: Sequence[PaymentRow], send: BundleSend
) -> None:
    """Record the next attempt and mark the bundle spent. Called in the unit that sets `rows` to `sending`.

    From then on the bundle holds exactly the orders that its bytes name.
    """
    attempt = bundle.attempt + 1
    tx.raw.execute(update(schema.bundles).where(_B.bundle == bundle.bundle).values(
        attempt=attempt, spent=1, bank_date=send.bank_date, serials=json.dumps(send.serials), port=send.port,
        wire=tx.vault.seal(send.wire, _aad("wire", bundle.bundle)),
    ))  # fmt: skip
    if [one.payment for one in driver.rows(tx.raw, _PLACES, {"b_bundle": bundle.bundle})] != [
        row.payment for row in rows
    ]:
        tx.raw.execute(delete(schema.bundle_items).where(_I.bundle == bundle.bundle))
        _fill(tx, bundle.bundle, rows)
    detail = {"attempt": attempt, "items": len(rows), "bytes": len(send.wire)}
    audit.append(tx, f"node:{tx.node}", "bundle.sending", bundle.bundle, detail)


def unsent(tx: Tx, bundle: str) -> None:
    """Mark the bundle unspent, because no byte of it was sent. Called in the unit that sets its orders back to
    `ready`."""
    tx.raw.execute(update(schema.bundles).where(_B.bundle == bundle).values(spent=0))


def answered(tx: Tx, bundle: str, answer: bytes) -> None:
    """Store the bank's answer, once for all orders of the bundle."""
    sealed = tx.vault.seal(answer, _aad("answer", bundle))
    tx.raw.execute(update(schema.bundles).where(_B.bundle == bundle).values(answer=sealed))


def _fill(tx: Tx, bundle: str, rows: Sequence[PaymentRow]) -> None:
    write_many(tx.raw, _ENTER, [
        {"payment": row.payment, "bundle": bundle, "place": place} for place, row in enumerate(rows)
    ])  # fmt: skip


def of_payment(conn: Connection, payment: str) -> tuple[BundleRow, tuple[PaymentRow, ...]] | None:
    """The bundle of this payment, sent or not, with all its orders in item order."""
    found = conn.execute(_OF, {"b_payment": payment}).first()
    if found is None:
        return None
    bundle = _read(found, vault_of(conn))
    return bundle, tuple(_members(conn, bundle.bundle))


def reference_of(conn: Connection, payment: str) -> str | None:
    """The bank reference of the message that carries this payment with others; None if none does."""
    found = conn.execute(_OF, {"b_payment": payment}).first()
    return None if found is None else str(found.bank_ref)


def has_left(conn: Connection, payment: str) -> bool:
    """True if a bundle with this payment may have been sent."""
    found = conn.execute(_OF, {"b_payment": payment}).first()
    return found is not None and bool(found.spent)


def answer_of(conn: Connection, bundle: str) -> bytes | None:
    """The bank's answer to a bundle; None if there is none."""
    sealed = conn.execute(select(_B.answer).where(_B.bundle == bundle)).scalar()
    return None if sealed is None else vault_of(conn).open(sealed, _aad("answer", bundle))


def _members(conn: Connection, bundle: str) -> list[PaymentRow]:
    vault = vault_of(conn)
    return [payment_rows.read(row, vault) for row in conn.execute(_MEMBERS, {"b_bundle": bundle})]


def _aad(column: str, bundle: str) -> bytes:
    return f"bundles/{column}/{bundle}".encode()


def _read(found: Any, vault: Vault) -> BundleRow:
    wire = None if found.wire is None else vault.open(found.wire, _aad("wire", found.bundle))
    return BundleRow(
        bundle=found.bundle, lane=found.lane, kind=Kind(found.kind), bank_ref=found.bank_ref, attempt=found.attempt,
        spent=bool(found.spent), bank_date=found.bank_date, serials=tuple(json.loads(found.serials)), port=found.port,
        wire=wire,
    )  # fmt: skip
