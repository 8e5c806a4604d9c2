"""Claims of money received (来款认领): the sender to whom an incoming entry belongs. An entry is claimed once, by one
sender's id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of
from protocols.canon.errors import Code, Refusal
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.erp.treasury_replies import ClaimState
from protocols.erp.treasury_words import ClaimAct, ClaimCredit

_C, _E = schema.credit_claims.c, schema.statement_entries.c


def claim(tx: Tx, sender: str, command: ClaimCredit, actor: str) -> ClaimState | Refusal:
    """Claim an entry for a sender, or release the claim. A repeated claim is answered with the present state."""
    entry = _entry(tx.fresh, command)
    if entry is None:
        return Refusal(
            Code.UNKNOWN_ENTRY,
            "this account has no entry with that `line`; watch the account, so that its entries are recorded",
        )
    if entry.direction != Direction.CREDIT.value:
        return Refusal(Code.UNKNOWN_ENTRY, "the entry is a debit; only a credit can be claimed")
    amount = Money(entry.amount_minor, entry.currency)
    before = tx.fresh.execute(select(schema.credit_claims).where(_C.sender == sender, _C.claim == command.id)).first()
    if command.act is ClaimAct.RELEASE:
        return _release(tx, sender, command, before, amount, actor)
    said = tx.vault.blind(_canonical(command))
    if before is not None:
        if before.fingerprint != said:
            return Refusal(Code.ID_CONFLICT, f"claim {command.id!r} was made with other content; nothing was changed")
        return _state(tx.vault, before, command.account.clear, amount, new=False)
    holder = tx.fresh.execute(select(_C.sender, _C.claim).where(_C.entry == entry.entry)).first()
    row = {
        "sender": sender,
        "claim": command.id,
        "entry": entry.entry,
        "line": command.line,
        "account_idx": tx.vault.blind(command.account.clear),
        "fingerprint": said,
        "at_ms": tx.now_ms,
        "body": tx.vault.seal(_written(command), _aad(command.line)),
    }
    if holder is not None or not insert_new(tx.fresh, schema.credit_claims, row):
        by = f" as {holder.claim!r} of sender {holder.sender}" if holder is not None else ""
        return Refusal(Code.ALREADY_CLAIMED, f"the money is claimed already{by}; nothing was changed")
    audit.append(tx, actor, "credit.claimed", entry.entry, {"claim": command.id, "by": command.by})
    return ClaimState(
        command.id,
        sender,
        command.account.clear,
        command.line,
        amount,
        True,
        command.reference,
        command.customer.clear if command.customer else "",
        command.by,
    )


def _release(tx: Tx, sender: str, command: ClaimCredit, before: Any, amount: Money, actor: str) -> ClaimState | Refusal:
    if before is None or before.line != command.line:
        return Refusal(Code.UNKNOWN_ENTRY, f"sender {sender} has no claim {command.id!r} of this entry")
    account = command.account.clear
    if before.entry is None:
        return _state(tx.vault, before, account, amount, new=False)
    where = (_C.sender == sender, _C.claim == command.id)
    tx.fresh.execute(update(schema.credit_claims).where(*where).values(entry=None, at_ms=tx.now_ms))
    audit.append(tx, actor, "credit.released", before.entry, {"claim": command.id, "by": command.by})
    after = tx.fresh.execute(select(schema.credit_claims).where(*where)).one()
    return _state(tx.vault, after, account, amount, new=True)


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Incoming money that no sender has claimed and that belongs to no payment of the gateway."""

    entry: str
    account_idx: str
    line: str
    bank: str
    bank_date: str
    amount: Money


def unclaimed(conn: Connection, indexes: Sequence[str], since: str, limit: int) -> list[Unclaimed]:
    """Incoming entries of these accounts from a bank date on that are neither claimed nor matched, oldest first."""
    claimed = select(_C.entry).where(_C.entry.is_not(None))
    found = conn.execute(
        select(schema.statement_entries)
        .where(
            _E.account_idx.in_(indexes),
            _E.bank_date >= since,
            _E.direction == Direction.CREDIT.value,
            _E.matched_payment.is_(None),
            _E.entry.not_in(claimed),
        )
        .order_by(_E.bank_date, _E.entry)
        .limit(limit)
    )
    return [
        Unclaimed(row.entry, row.account_idx, row.line, row.bank, row.bank_date, Money(row.amount_minor, row.currency))
        for row in found
    ]


def of_entry(conn: Connection, entry: str) -> ClaimState | None:
    """The claim of an entry, with the account left out; None if it is free."""
    row = conn.execute(
        select(schema.credit_claims, _E.amount_minor, _E.currency)
        .join(schema.statement_entries, _E.entry == _C.entry)
        .where(_C.entry == entry)
    ).first()
    return None if row is None else _state(vault_of(conn), row, "", Money(row.amount_minor, row.currency), new=False)


def _entry(conn: Connection, command: ClaimCredit) -> Any:
    index = vault_of(conn).blind(command.account.clear)
    return conn.execute(
        select(schema.statement_entries).where(_E.account_idx == index, _E.line == command.line)
    ).first()


def _state(vault: Vault, row: Any, account: str, amount: Money, *, new: bool) -> ClaimState:
    said = json.loads(vault.open(row.body, _aad(row.line)))
    return ClaimState(
        row.claim,
        row.sender,
        account,
        row.line,
        amount,
        row.entry is not None,
        said["reference"],
        said["customer"],
        said["by"],
        new,
    )


def _written(command: ClaimCredit) -> bytes:
    said = {
        "reference": command.reference,
        "customer": command.customer.clear if command.customer else "",
        "by": command.by,
    }
    return json.dumps(said, ensure_ascii=False).encode()


def _canonical(command: ClaimCredit) -> str:
    return "\x1f".join((command.account.clear, command.line, _written(command).decode()))


def _aad(line: str) -> bytes:
    return b"credit_claims/" + line.encode()
