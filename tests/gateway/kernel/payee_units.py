"""The smallest unit that writes a row and an audit entry, and a check which of them exist."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from tests.gateway.kernel.bench import Journal


def put(name: str) -> Any:
    def insert_payee(tx: Tx) -> str:
        tx.fresh.execute(insert(schema.payees), {"sender": "s", "payee": name, "first_ms": 1})
        audit.append(tx, "x", "put", name)
        return name

    return insert_payee


def names(journal: Journal) -> set[str]:
    return set(journal.read(lambda conn: conn.execute(select(schema.payees.c.payee)).scalars().all()))
