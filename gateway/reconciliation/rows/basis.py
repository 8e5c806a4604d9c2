"""The basis of an account's reconciliation, short enough to be compared inside a transaction.

Matching takes seconds, and a transaction of seconds would delay payments. So an account is matched from a snapshot,
outside of any transaction. Its results are written only if the basis is still the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.reconciliation.rows import balance_tables, books, decisions

_B, _D, _E, _S = (schema.books.c, schema.match_decisions.c, schema.statement_entries.c, schema.statement_days.c)


@dataclass(frozen=True, slots=True)
class Basis:
    """The books and decisions in force, the number of entries up to `last`, the last closed day and its time, the last
    approved day.

    Payments are not part of it, because they only lend codes and make no balance.
    """

    last: date
    books: tuple[str, ...]
    decisions: tuple[str, ...]
    lines: int
    closed: tuple[str, int] | None
    frozen: date


def basis_of(conn: Connection, account: str, last: date) -> Basis:
    """The present basis of an account's reconciliation. It costs four look-ups by index, and opens no sealed column."""
    index, day = vault_of(conn).blind(account), last.isoformat()
    book = select(_B.book).where(_B.account_idx == index, _B.state == books.IN_FORCE).order_by(_B.book)
    decision = select(_D.decision).where(_D.account_idx == index, _D.state == decisions.IN_FORCE).order_by(_D.decision)
    lines = (
        select(func.count()).select_from(schema.statement_entries).where(_E.account_idx == index, _E.bank_date <= day)
    )
    closed = select(_S.day, _S.at_ms).where(_S.account_idx == index, _S.day <= day).order_by(_S.day.desc()).limit(1)
    found = conn.execute(closed).first()
    return Basis(
        last,
        tuple(conn.execute(book).scalars()),
        tuple(conn.execute(decision).scalars()),
        int(conn.execute(lines).scalar() or 0),
        None if found is None else (found.day, found.at_ms),
        balance_tables.approved_until(conn, account),
    )
