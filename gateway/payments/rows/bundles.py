"""Bundles: orders of one batch that are sent to their bank in one message, whose bytes are stored once.

A bundle is made when its first order is to be sent: of the batch's orders that are ready then, up to the bank's limit
per message. Each order keeps its own state, attempts and permits; the bundle adds the message's reference and bytes. A
bundle whose bytes may have been sent is spent: neither the bundle nor an order of it is sent again. An order sent again
in another message would no longer be enquired about in the first one, and the bank's answer about the first message
would name an order that no longer belongs to it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, delete, insert, select, update

from gateway.kernel.commit import attempts, audit, payment_rows
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.serials import draw_serials
from gateway.kernel.commit.store import Tx
from gateway.kernel.commit.work import may_leave_ms
from gateway.kernel.sql import driver, schema
from gateway.kernel.sql.driver import first_row, write_many
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import bank_references
from protocols.canon.limits import ReferenceForm
from protocols.canon.order import Kind
from protocols.canon.outcome import State

_B = schema.bundles.c
_I = schema.bundle_items.c
_P = schema.payments.c
_SEAL, _ITEM_SEAL = row_seal(schema.bundles), row_seal(schema.bundle_items)
_ONE = select(schema.bundles).where(_B.bundle == bindparam("b_bundle"))
_ITEM_OF = select(schema.bundle_items).where(_I.payment == bindparam("b_payment"))
_MEMBERS = (
    select(schema.payments)
    .join(schema.bundle_items, _I.payment == _P.payment)
    .where(_I.bundle == bindparam("b_bundle"))
    .order_by(_I.place)
)
_ITEMS = select(schema.bundle_items).where(_I.bundle == bindparam("b_bundle")).order_by(_I.place)
_ENTER = insert(schema.bundle_items)
_FREE = (
    select(_P.payment, _P.version, _P.item_no)
    .outerjoin(schema.bundle_items, _I.payment == _P.payment)
    .where(
        _P.sender == bindparam("b_sender"),
        _P.batch == bindparam("b_batch"),
        _P.state == State.READY.value,
        _P.first_write_ms.is_(None),
        _I.payment.is_(None),
        _P.item_no > bindparam("b_after"),
    )
    .order_by(_P.item_no)
    .limit(bindparam("b_limit", type_=Integer))
)


@dataclass(frozen=True, slots=True)
class BundleRow:
    """One bank message with many orders. `bank_ref` is its own reference, unique on its lane; `attempt` counts its
    sends.

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
    """The exact bytes of a bundle's message, and the values they were built from."""

    bank_date: str
    serials: tuple[str, ...]
    port: str
    wire: bytes


def allot(
    tx: Tx, payment: str, most: int, form: ReferenceForm, epoch: int
) -> tuple[BundleRow, tuple[PaymentRow, ...]] | None:
    """The unsent bundle of a ready payment, with the bundle's ready orders in item order.

    Makes a bundle if there is none, from the ready and due orders of the batch that are in no bundle, this one
    included. None if the payment is not ready, was sent before, or if the lane has a higher epoch now.
    """
    row = tx.payment_cache.afresh(tx.read, tx.vault, payment)
    if row is None or row.life.state is not State.READY or row.life.first_write_ms is not None:
        return None
    if tx.epoch_of(row.lane) > epoch:
        return None
    bundle = _carrier(tx.raw, payment)
    if bundle is not None:
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
    """A payment that the database has in this version. Most are in the cache and need not be read again."""
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
        bundle=tx.entropy.ulid(tx.now_ms),
        lane=first.lane,
        kind=first.order.kind,
        bank_ref=bank_references.format_reference(form, serial, tx.now_ms),
        attempt=0,
        spent=False,
        bank_date=None,
        serials=(),
        port="",
        wire=None,
    )
    tx.raw.execute(
        insert(schema.bundles),
        _SEAL.with_seal(
            tx.vault,
            {
                "bundle": bundle.bundle,
                "lane": bundle.lane,
                "kind": bundle.kind.value,
                "bank_ref": bundle.bank_ref,
                "attempt": 0,
                "spent": 0,
                "made_ms": tx.now_ms,
                "bank_date": None,
                "serials": "[]",
                "port": "",
                "ref_bank": first.bank,
            },
        ),
    )
    _fill(tx, bundle.bundle, rows)
    detail = {"reference": bundle.bank_ref, "items": len(rows), "batch": first.batch}
    audit.append(tx, f"node:{tx.node}", "bundle.made", bundle.bundle, detail)
    return bundle


def sending(tx: Tx, bundle: BundleRow, rows: Sequence[PaymentRow], send: BundleSend) -> None:
    """Record the bundle's next attempt and mark the bundle spent. Called in the unit that sets `rows` to `sending`.

    From then on the bundle holds exactly the orders that its bytes name.
    """
    attempt = bundle.attempt + 1
    _change(
        tx,
        bundle.bundle,
        {
            "attempt": attempt,
            "spent": 1,
            "bank_date": send.bank_date,
            "serials": json.dumps(send.serials),
            "port": send.port,
            "wire": tx.vault.seal(send.wire, _aad("wire", bundle.bundle)),
        },
    )
    if _items(tx.raw, bundle.bundle) != [row.payment for row in rows]:
        tx.raw.execute(delete(schema.bundle_items).where(_I.bundle == bundle.bundle))
        _fill(tx, bundle.bundle, rows)
    digest = hashlib.sha256(send.wire).hexdigest()
    detail = {"attempt": attempt, "items": len(rows), "bytes": len(send.wire), "sha256": digest}
    audit.append(tx, f"node:{tx.node}", "bundle.sending", bundle.bundle, detail)


def unsent(tx: Tx, bundle: str) -> None:
    """Mark the bundle unspent, because no byte of it was sent. Called in the unit that sets its orders back to
    `ready`."""
    _change(tx, bundle, {"spent": 0})


def _change(tx: Tx, bundle: str, values: dict[str, Any]) -> None:
    row = first_row(tx.raw, _ONE, {"b_bundle": bundle})
    assert row is not None, "a bundle is deleted only when its last order is"
    _SEAL.check(tx.vault, row)
    tx.raw.execute(update(schema.bundles).where(_B.bundle == bundle).values(_SEAL.changed(tx.vault, row, values)))


def answered(tx: Tx, bundle: str, answer: bytes) -> None:
    """Store the bank's answer, once for all orders of the bundle."""
    sealed = tx.vault.seal(answer, _aad("answer", bundle))
    tx.raw.execute(update(schema.bundles).where(_B.bundle == bundle).values(answer=sealed))


def _fill(tx: Tx, bundle: str, rows: Sequence[PaymentRow]) -> None:
    write_many(
        tx.raw,
        _ENTER,
        [
            _ITEM_SEAL.with_seal(tx.vault, {"payment": row.payment, "bundle": bundle, "place": place})
            for place, row in enumerate(rows)
        ],
    )


def seal_old_row(tx: Tx, row: Any) -> dict[str, Any]:
    """The values that seal a bundle's row from before schema 17, if the audit chain agrees with the row. See
    unsealed_rows."""
    for one in audit.entries_of(tx.raw, tx.vault, row.bundle):
        said, other = one.detail, None
        if one.entry == "bundle.made":
            other = said["reference"] != row.bank_ref
        elif one.entry == "bundle.sending":
            other = said["attempt"] > row.attempt
        if other:
            raise SealBroken(_SEAL.table, row.bundle, f"differs from its audit entry {one.entry}")
    return {"seal": _SEAL.over(tx.vault, dict(row._mapping))}


def of_payment(conn: Connection, payment: str) -> tuple[BundleRow, tuple[PaymentRow, ...]] | None:
    """The bundle that contains this payment, sent or not, with all its orders in item order. Raises SealBroken if a row
    was altered."""
    bundle = _carrier(conn, payment)
    return None if bundle is None else (bundle, tuple(_members(conn, bundle.bundle)))


def reference_of(conn: Connection, payment: str) -> str | None:
    """The reference of the message that carries this payment together with others; None if there is none."""
    bundle = _carrier(conn, payment)
    return None if bundle is None else bundle.bank_ref


def has_left(conn: Connection, payment: str) -> bool:
    """True if a bundle with this payment may have been sent."""
    bundle = _carrier(conn, payment)
    return bundle is not None and bundle.spent


def _carrier(conn: Connection, payment: str) -> BundleRow | None:
    """The bundle that contains this payment. Raises SealBroken if its row, or the row of the payment's place in it, was
    altered or deleted."""
    vault = vault_of(conn)
    item = first_row(conn, _ITEM_OF, {"b_payment": payment})
    if item is None:
        sent = attempts.last_with_payment(conn, payment)
        # An order that left alone has stored bytes of its own; the bytes of one that left with others are the bundle's.
        if sent is not None and sent[0].life.first_write_ms is not None and not sent[1].wire:
            raise SealBroken(_ITEM_SEAL.table, payment, "was deleted")
        return None
    _ITEM_SEAL.check(vault, item)
    row = first_row(conn, _ONE, {"b_bundle": item.bundle})
    if row is None:
        raise SealBroken(_SEAL.table, item.bundle, "was deleted")
    return _read(row, vault)


def answer_of(conn: Connection, bundle: str) -> bytes | None:
    """The bank's answer to a bundle; None if there is no answer yet."""
    sealed = conn.execute(select(_B.answer).where(_B.bundle == bundle)).scalar()
    return None if sealed is None else vault_of(conn).open(sealed, _aad("answer", bundle))


def _members(conn: Connection, bundle: str) -> list[PaymentRow]:
    vault = vault_of(conn)
    _items(conn, bundle)
    return [payment_rows.decode_row(row, vault) for row in conn.execute(_MEMBERS, {"b_bundle": bundle})]


def _items(conn: Connection, bundle: str) -> list[str]:
    """The payments of a bundle in their order. Raises SealBroken if the row of a place in it was altered."""
    vault, found = vault_of(conn), driver.rows(conn, _ITEMS, {"b_bundle": bundle})
    for row in found:
        _ITEM_SEAL.check(vault, row)
    return [row.payment for row in found]


def _aad(column: str, bundle: str) -> bytes:
    return f"bundles/{column}/{bundle}".encode()


def _read(found: Any, vault: Vault) -> BundleRow:
    _SEAL.check(vault, found)
    wire = None if found.wire is None else vault.open(found.wire, _aad("wire", found.bundle))
    return BundleRow(
        bundle=found.bundle,
        lane=found.lane,
        kind=Kind(found.kind),
        bank_ref=found.bank_ref,
        attempt=found.attempt,
        spent=bool(found.spent),
        bank_date=found.bank_date,
        serials=tuple(json.loads(found.serials)),
        port=found.port,
        wire=wire,
    )
