"""The tables of attempts (every send with its bytes) and of evidence (each answer of a bank, and its
interpretation).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from gateway.kernel.commit import payment_rows
from gateway.kernel.commit.rows import AttemptRow, Evidence, PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Source
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import fitting, speakable
from gateway.kernel.sql.driver import first_row, write_many
from gateway.kernel.sql.sealed import row_seal
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of
from protocols.canon.outcome import Fate
from protocols.kit.json_writer import json_writer

_list = json_writer()
_A = schema.attempts.c
_E = schema.evidence.c
_SEAL, _NAMES = row_seal(schema.attempts), tuple(_A.keys())
_INSERT_ATTEMPT = insert(schema.attempts)
_INSERT_EVIDENCE = insert(schema.evidence)
_LAST = select(schema.attempts).where(_A.payment == bindparam("b_payment")).order_by(_A.attempt.desc()).limit(1)
_BOTH = (
    select(schema.payments, *[column.label(f"sent_{column.key}") for column in _A])
    .join(schema.attempts, _A.payment == schema.payments.c.payment)
    .where(schema.payments.c.payment == bindparam("b_payment"))
    .order_by(_A.attempt.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class StoredEvidence:
    """One stored piece of evidence: its key, when it was written, and its payment."""

    evidence: str
    at_ms: int
    payment: str
    content: Evidence


def flush(tx: Tx) -> None:
    """Write the sends and the evidence that this group recorded."""
    if tx.attempts:
        write_many(tx.raw, _INSERT_ATTEMPT, [_columns(row, tx) for row in tx.attempts])
    if tx.evidence:
        rows = [_evidence_columns(key, at_ms, payment, item, tx.vault) for key, at_ms, payment, item in tx.evidence]
        write_many(tx.raw, _INSERT_EVIDENCE, rows)


def of_payment(conn: Connection, payment: str) -> list[AttemptRow]:
    """All recorded sends of a payment, oldest first."""
    vault = vault_of(conn)
    statement = select(schema.attempts).where(_A.payment == payment).order_by(_A.attempt)
    return [_read(row, vault) for row in conn.execute(statement)]


def of_number(conn: Connection, payment: str, number: int) -> AttemptRow | None:
    """One send of a payment. Raises if its row was altered."""
    row = conn.execute(select(schema.attempts).where(_A.payment == payment, _A.attempt == number)).first()
    return None if row is None else _read(row, vault_of(conn))


def last(conn: Connection, payment: str) -> AttemptRow | None:
    """The latest send of a payment, which an enquiry asks about and a repeat sends again."""
    row = first_row(conn, _LAST, {"b_payment": payment})
    return None if row is None else _read(row, vault_of(conn))


def last_with_payment(conn: Connection, payment: str) -> tuple[PaymentRow, AttemptRow] | None:
    """A payment and its latest send in one read; None if it was never sent."""
    row = first_row(conn, _BOTH, {"b_payment": payment})
    if row is None:
        return None
    vault = vault_of(conn)
    return payment_rows.decode_row(row, vault), _read(row[-len(_A) :], vault)


def evidence_of(conn: Connection, payment: str) -> list[StoredEvidence]:
    """All evidence stored about a payment, oldest first."""
    vault = vault_of(conn)
    statement = select(schema.evidence).where(_E.payment == payment).order_by(_E.evidence)
    return [_read_evidence(row, vault) for row in conn.execute(statement)]


def notes_of(tx: Tx, payment: str, source: Source) -> list[str]:
    """The notes in the evidence about the payment from this source, including those of the present group."""
    found = tx.read.execute(
        select(_E.evidence, _E.note).where(_E.payment == payment, _E.source == source.value).order_by(_E.evidence)
    )
    written = [tx.vault.open(note, b"evidence/note/" + key.encode()).decode() for key, note in found]
    return written + [one.note for _, _, of, one in tx.evidence if of == payment and one.source is source]


def _wire_aad(payment: str, attempt: int) -> bytes:
    return f"attempts/wire/{payment}/{attempt}".encode()


def _columns(row: AttemptRow, tx: Tx) -> dict[str, Any]:
    return _SEAL.with_seal(
        tx.vault,
        {
            "payment": row.payment,
            "attempt": row.attempt,
            "epoch": row.epoch,
            "node": row.node,
            "bank_date": row.bank_date,
            "serials": _list(row.serials),
            "port": row.port,
            "wire": tx.vault.seal(row.wire, _wire_aad(row.payment, row.attempt)),
            "key_id": row.key_id,
            "first_write_ms": row.first_write_ms,
            "replay_policy": row.replay_policy,
            "at_ms": tx.now_ms,
        },
    )


def _read(row: Sequence[Any], vault: Vault) -> AttemptRow:
    """A row of the table `attempts` as a value."""
    _SEAL.check(vault, dict(zip(_NAMES, row, strict=True)))
    payment, attempt, epoch, node, bank_date, serials, port, wire, key_id, first_write_ms, replay_policy, *_ = row
    return AttemptRow(
        payment=payment,
        attempt=attempt,
        epoch=epoch,
        node=node,
        bank_date=bank_date,
        serials=tuple(json.loads(serials)),
        port=port,
        wire=vault.open(wire, _wire_aad(payment, attempt)),
        key_id=key_id,
        first_write_ms=first_write_ms,
        replay_policy=replay_policy,
    )


def _evidence_columns(key: str, at_ms: int, payment: str, item: Evidence, vault: Vault) -> dict[str, Any]:
    return {
        "evidence": key,
        "payment": payment,
        "at_ms": at_ms,
        "source": item.source.value,
        "fate": None if item.fate is None else item.fate.value,
        "code": fitting(item.code, _E.code),
        "note": vault.seal(speakable(item.note).encode(), b"evidence/note/" + key.encode()),
        "body": vault.seal(item.body, b"evidence/body/" + key.encode()),
    }


def _read_evidence(row: Any, vault: Vault) -> StoredEvidence:
    key = row.evidence.encode()
    content = Evidence(
        source=Source(row.source),
        body=vault.open(row.body, b"evidence/body/" + key),
        fate=None if row.fate is None else Fate(row.fate),
        code=row.code,
        note=vault.open(row.note, b"evidence/note/" + key).decode(),
    )
    return StoredEvidence(row.evidence, row.at_ms, row.payment, content)
