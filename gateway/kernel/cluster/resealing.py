"""Seals rows anew with the vault's current key, some in each unit, while the gateway works.

A page finds the rows of a table of which a column is sealed with another key, by the first bytes of the column alone.
A unit then opens those columns, seals them, and writes them if they are still as it read them: where a payment or
another node has changed the row meanwhile, that change stays, and it was sealed with the current key already.

Three things are bound to a sealed value. The seal of a row covers the hash of its sealed columns, so it is made anew,
after the old one was checked. The audit trail names the newest seal of a register's row, so it gets an entry with the
new one. The hash of an audit entry covers its detail as it was sealed first, so the first ciphertext is kept inside
of the new one (`Vault.wrap`), and the chain, its checkpoints and the permit logs stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy import ColumnElement, Connection, LargeBinary, Table, func, select, update

from gateway.kernel.cluster.sealing import SEALED_TABLES
from gateway.kernel.commit import chain_check, registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.commit.unsealed_rows import later_than
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import SealedBytes
from gateway.kernel.sql.sealed import SEAL, SealBroken, by_name, row_seal
from gateway.kernel.sql.vault import Vault, VaultError, key_name

PAGE_ROWS = 2_000
"""The rows of which one page reads the keys' names."""
UNIT_ROWS, UNIT_BYTES = 50, 1 << 20
"""What one unit seals anew at most (a single larger row too), so that payments never wait long for the writer."""
_LEAVES_IT = "is left as it is under its vault key; nothing is decided on it"
Aad = Callable[[Mapping[str, Any]], bytes]
Key = tuple[Any, ...]


def _of(template: str) -> Aad:
    return lambda row: template.format_map(row).encode()


def _of_checkpoint(row: Mapping[str, Any]) -> bytes:
    return f"checkpoints/tree/{quote(row['node'], safe='')}/{row['size']}".encode()


def _of_entry(row: Mapping[str, Any]) -> bytes:
    names = ("node", "seq", "at_ms", "actor", "entry", "object_id", "prev_hash")
    return chain_check.header(*(row[name] for name in names))


BOUND_TO: Mapping[str, Mapping[str, Aad]] = {
    "payments": {
        "order": _of("payments/order/{payment}"),
        "bank_text": _of("payments/bank_text/{payment}"),
        "refusal": _of("payments/refusal/{payment}"),
    },
    "attempts": {"wire": _of("attempts/wire/{payment}/{attempt}")},
    "evidence": {"note": _of("evidence/note/{evidence}"), "body": _of("evidence/body/{evidence}")},
    "outbox": {"body": _of("outbox/body/{message_id}")},
    "statement_entries": {"body": _of("statement_entries/{line}"), "detail": _of("statement_entries.detail/{line}")},
    "audit": {"detail": _of_entry},
    "refusals": {"body": _of("refusals/body/{refusal}")},
    "questions": {"body": _of("questions/body/{question}")},
    "pushes": {"body": _of("pushes/body/{push}")},
    "payees_registered": {"body": _of("payees_registered/body/{sender}/{payee}")},
    "persons": {"body": _of("persons/body/{person}")},
    "delegations": {"body": _of("delegations/body/{delegation}")},
    "password_factors": {"body": _of("password_factors/body/{person}")},
    "proposals": {"body": _of("proposals/body/{proposal}"), "evidence": _of("proposals/evidence/{proposal}")},
    "approval_policies": {"body": _of("approval_policies/body/{version}")},
    "approval_requests": {"body": _of("approval_requests/body/{request}")},
    "approvals": {"body": _of("approvals/body/{request}/{person}")},
    "batches": {"body": _of("batches/body/{sender}/{batch}")},
    "bundles": {"wire": _of("bundles/wire/{bundle}"), "answer": _of("bundles/answer/{bundle}")},
    "receipts": {"name": _of("receipts/name/{receipt}"), "body": _of("receipts/body/{receipt}")},
    "tickets": {"ticket": _of("receipts/ticket/{question}")},
    "balances": {"body": _of("balances/{account_idx}")},
    "checkpoints": {"tree": _of_checkpoint},
    "stops": {"body": _of("stops/body/{number}/{stopped}")},
    "statement_days": {"body": _of("statement_days/{account_idx}/{day}")},
    "books": {"body": _of("books/{book}")},
    "book_rows": {"body": _of("book_rows/{book}/{row_id}")},
    "match_decisions": {"body": _of("match_decisions/{decision}")},
    "balance_tables": {"body": _of("balance_tables/{account_idx}/{month}/{version}")},
    "ledgers": {"body": _of("ledgers/{book}")},
    "credit_claims": {"body": _of("credit_claims/{line}")},
    "receipt_files": {"detail": _of("receipt_files/detail/{receipt}"), "body": _of("receipt_files/body/{receipt}")},
    "linked_orders": {"body": _of("linked_orders/body/{payment}")},
    "receipt_searches": {"ticket": _of("receipt_files/ticket/{payment}")},
    "pools": {"body": _of("pools/body/{pool}/{version}")},
    "pool_runs": {"body": _of("pool_runs/body/{run}")},
    "pool_moves": {"body": _of("pool_moves/body/{run}/{place}")},
}
"""What each sealed column is bound to (the vault's associated data), by table and column. The rooms whose rows these
are seal them with the same words; a test compares this list with the schema and with rows that the rooms wrote."""
TABLES: tuple[Table, ...] = tuple(schema.metadata.tables[name] for name in sorted(BOUND_TO))
"""The tables with sealed columns, in the order in which they are sealed anew."""


@dataclass(frozen=True, slots=True)
class ResealPage:
    """One page of a table: the key of its last row (None at the table's end), its rows, and the keys of those that are
    sealed with another key, each with its size."""

    last: Key | None
    rows: int
    due: tuple[tuple[Key, int], ...]


@dataclass(frozen=True, slots=True)
class Resealed:
    """The result of one unit: the number of rows that were sealed anew, and of those that somebody changed meanwhile,
    which the next round looks at; and the rows that nobody can open or that were altered."""

    rows: int = 0
    changed: int = 0
    unopened: tuple[str, ...] = ()


def page(conn: Connection, table: Table, current: str, after: Key = (), most: int = PAGE_ROWS) -> ResealPage:
    """The next rows of a table in the order of their keys, and which of them are sealed with another key."""
    keys, name = list(table.primary_key.columns), bytes((len(current),)) + current.encode()
    hidden = sealed_columns(table)
    # The version of a sealed value stands before the length and the name of its key.
    heads = [func.substr(column, 2, len(name), type_=LargeBinary) for column in hidden]
    wanted = select(*keys, *heads, *(func.length(column) for column in hidden)).order_by(*keys).limit(most)
    found = conn.execute(wanted.where(later_than(keys, after)) if after else wanted).all()
    due = []
    for row in found:
        parts = tuple(row)
        heads_of = parts[len(keys) : len(keys) + len(hidden)]
        if any(head is not None and bytes(head) != name for head in heads_of):
            due.append((parts[: len(keys)], sum(size or 0 for size in parts[len(keys) + len(hidden) :])))
    return ResealPage(tuple(found[-1])[: len(keys)] if len(found) == most else None, len(found), tuple(due))


def portions(due: Sequence[tuple[Key, int]]) -> list[list[Key]]:
    """The rows of a page in portions, each small enough for one unit."""
    made: list[list[Key]] = []
    size = 0
    for key, length in due:
        if not made or len(made[-1]) >= UNIT_ROWS or size + length > UNIT_BYTES:
            made.append([])
            size = 0
        made[-1].append(key)
        size += length
    return made


def reseal_rows(tx: Tx, table: Table, keys: Sequence[Key]) -> Resealed:
    """Seal these rows anew as far as they are sealed with another key. A row that does not open, or whose seal does
    not fit, is left as it is."""
    done, changed, unopened = 0, 0, list[str]()
    # Cached payments stay: what changes in their rows is the ciphertext, which no cached payment has.
    tx.flush()
    for key in keys:
        mine = [column == value for column, value in zip(table.primary_key.columns, key, strict=True)]
        row: Any = tx.raw.execute(select(table).where(*mine)).first()
        if row is None:
            continue
        try:
            is_done = _reseal(tx, table, mine, by_name(row))
            done, changed = done + is_done, changed + (not is_done)
        except (SealBroken, VaultError) as error:
            name = "/".join(map(str, key))
            broken = error if isinstance(error, SealBroken) else SealBroken(table.name, name, "does not open")
            registers.report(tx.vault, broken, _LEAVES_IT)
            unopened.append(f"{table.name}/{name}")
    return Resealed(done, changed, tuple(unopened))


def _reseal(tx: Tx, table: Table, mine: list[ColumnElement[bool]], row: Mapping[str, Any]) -> bool:
    """Seal one row anew; False if somebody changed it meanwhile."""
    vault, values = tx.vault, dict[str, Any]()
    for column in sealed_columns(table):
        sealed = row[column.name]
        if sealed is not None and key_name(sealed) != vault.current:
            values[column.name] = _anew(vault, table, column.name, bytes(sealed), row)
    if not values:
        return False
    as_read = [table.c[name] == row[name] for name in values]
    before = row[SEAL] if table in SEALED_TABLES else None
    if table in SEALED_TABLES:
        seal = row_seal(table)
        seal.check(vault, row)
        fitting = seal.over(vault, {**row, **values})
        # The seal of a payment leaves its sealed columns out, and must not be written: its other columns may change.
        if fitting != before:
            as_read.append(table.c[SEAL] == before)
            values[SEAL] = fitting
    if tx.raw.execute(update(table).where(*mine, *as_read).values(values)).rowcount != 1:
        return False
    if SEAL in values:
        _note(tx, table, row, before, values[SEAL])
    return True


def _anew(vault: Vault, table: Table, name: str, sealed: bytes, row: Mapping[str, Any]) -> bytes:
    aad = BOUND_TO[table.name][name](row)
    return vault.wrap(sealed, aad) if table is schema.audit else vault.reseal(sealed, aad)


def _note(tx: Tx, table: Table, row: Mapping[str, Any], before: str | None, seal: str) -> None:
    """Let the audit trail name the new seal where it names the old one as that of the newest row."""
    key = [str(row[column.name]) for column in table.primary_key.columns]
    for name in (table.name, registers.names(table.name, key)):
        found = registers.newest(tx.raw, name)
        if before in found.seals:
            registers.note(tx, name, seal, found.words)


def sealed_columns(table: Table) -> list[Any]:
    """The columns of a table that the vault seals."""
    return [column for column in table.c if isinstance(column.type, SealedBytes)]
