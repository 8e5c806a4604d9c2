"""Known payees of a sender: known by settled payments that were not returned, or registered by two persons.

A payee is an account, a name and a bank together: a known supplier's account under another name is not known.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from gateway.kernel import log
from gateway.kernel.commit import payment_rows, registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import UsageFacts
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.driver import first_row
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.kernel.sql.vaults import vault_of
from protocols.canon.order import AnyOrder
from protocols.canon.outcome import State
from protocols.canon.replaced import replace

_log = log.get("journal.payees")
LOOK_MOST = 50
"""The number of payments to one account that are compared with the payee's name and bank, the largest first."""
_C = schema.payments.c
_R = schema.payees_registered.c
_G = schema.payees_registered
_SEAL = row_seal(_G)
_REGISTERED = select(_G).where(_R.sender == bindparam("b_sender"), _R.payee == bindparam("b_payee"))
_STAYED = (
    select(schema.payments)
    .where(
        _C.sender == bindparam("b_sender"),
        _C.creditor_idx == bindparam("b_account"),
        _C.currency == bindparam("b_currency"),
        _C.state == State.SETTLED.value,
        _C.changed_ms < bindparam("b_before_ms"),
    )
    .order_by(_C.amount_minor.desc())
    .limit(LOOK_MOST)
)


def looked_at(tx: Tx, sender: str, order: AnyOrder, before_ms: int | None, facts: UsageFacts) -> UsageFacts:
    """The facts completed with those about the order's payee; unchanged if `before_ms` is None."""
    if before_ms is None:
        return facts
    paid_minor = _largest(tx.read, tx.vault, sender, order, before_ms)
    return replace(facts, payee_known=is_registered(tx.raw, sender, order), payee_paid_minor=paid_minor)


def blind_key(vault: Vault, order: AnyOrder) -> str:
    """The keyed hash under which the journal stores the payee."""
    return vault.blind("\x1f".join(("payee", *_of(order))))


def is_registered(conn: Connection, sender: str, order: AnyOrder) -> bool:
    """True if two persons registered the order's payee for this sender. A row with a wrong seal does not count."""
    vault = vault_of(conn)
    payee = blind_key(vault, order)
    row: Any = first_row(conn, _REGISTERED, {"b_sender": sender, "b_payee": payee})
    if row is None:
        return False
    try:
        _SEAL.check(vault, row)
        vault.open(row.body, _aad(sender, payee))
    except (SealBroken, VaultError):
        registers.report(
            vault,
            SealBroken(_SEAL.table, f"{sender}/{payee[:16]}"),
            "the payee counts as not registered; look into the audit trail",
        )
        return False
    return True


def register(tx: Tx, sender: str, order: AnyOrder, proposal: str) -> bool:
    """Register the order's payee for this sender. False if it was registered already."""
    payee = blind_key(tx.vault, order)
    body = json.dumps({"proposal": proposal, "account": str(order.creditor.account)}).encode()
    return insert_new(
        tx.fresh,
        schema.payees_registered,
        _SEAL.with_seal(
            tx.vault,
            {"sender": sender, "payee": payee, "at_ms": tx.now_ms, "body": tx.vault.seal(body, _aad(sender, payee))},
        ),
    )


def seal_old_row(tx: Tx, row: Any) -> dict[str, Any]:
    """Check a registered payee's row from before schema 17, and return the values that seal it. See unsealed_rows."""
    tx.vault.open(row.body, _aad(row.sender, row.payee))
    return {"seal": _SEAL.over(tx.vault, dict(row._mapping))}


def move_sender(tx: Tx, old: str, new: str) -> int:
    """Register the payees of the sender `old` for `new`, sealed again, because the seal covers the sender's name."""
    moved = 0
    for row in tx.fresh.execute(select(_G).where(_G.c.sender == old)).all():
        try:
            body = tx.vault.open(row.body, _aad(old, row.payee))
        except VaultError as error:
            _log.error(
                "payee.not_sealed",
                sender=old,
                error=str(error),
                action="the payee is not registered under the sender's new name; look into the audit trail",
            )
        else:
            sealed = tx.vault.seal(body, _aad(new, row.payee))
            values = {"sender": new, "payee": row.payee, "at_ms": row.at_ms, "body": sealed}
            insert_new(tx.fresh, _G, _SEAL.with_seal(tx.vault, values))
            moved += 1
    tx.fresh.execute(delete(_G).where(_G.c.sender == old))
    return moved


def _aad(sender: str, payee: str) -> bytes:
    return f"payees_registered/body/{sender}/{payee}".encode()


def _largest(conn: Connection, vault: Vault, sender: str, order: AnyOrder, before_ms: int) -> int | None:
    found = conn.execute(
        _STAYED,
        {
            "b_sender": sender,
            "b_account": vault.blind(order.creditor.account.clear),
            "b_currency": order.amount.currency,
            "b_before_ms": before_ms,
        },
    )
    wanted = _of(order)
    rows = (payment_rows.decode_row(row, vault) for row in found)
    return next((row.order.amount.minor for row in rows if _of(row.order) == wanted), None)


def _of(order: AnyOrder) -> tuple[str, str, str]:
    payee = order.creditor
    return payee.account.clear, payee.name.clear, payee.cnaps or payee.bank_name or payee.bic or ""
