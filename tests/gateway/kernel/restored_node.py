"""A node over one database, whose rows can be copied and put back as a restore does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import delete, insert

from gateway.kernel.cluster import restored_database
from gateway.kernel.cluster.restored_database import Comparison
from gateway.kernel.commit import audit
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.commit.rows import Head, PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal, order, vault


class Node:
    """A node with its permit log, over one database: `start` begins a new process of the daemon."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.journal: Journal
        self.log: PermitLog

    def start(self, name: str = "n1") -> Comparison:
        self.log = PermitLog(self.folder, vault(), name)
        self.journal = Journal(self.url, name, permits=self.log)
        found = self.journal.read(lambda conn: restored_database.compare(conn, self.log.known, NOW_MS))
        restored_database.keep(self.log, found)
        return found

    def kill(self) -> None:
        self.journal.close()

    def again(self) -> Comparison:
        self.kill()
        return self.start()

    def pay(self, id: str) -> None:
        self.journal.send(self.journal.admit(order(id)).row)

    def send_unlogged(self, row: PaymentRow) -> None:
        """Record a send as a process does that dies between the commit and the permit log."""
        with patch.object(self.log, "note"), patch.object(self.log, "append_permits"):
            self.journal.send(row)

    def head(self) -> Head:
        return self.journal.read(lambda conn: audit.head_of(conn, "n1"))

    def entry(self, note: Callable[[Tx], None]) -> None:
        self.journal.do(note)


def lease(tx: Tx) -> None:
    audit.append(tx, "node:n1", "lane.leased", LANE)


TABLES = [
    schema.outbox,
    schema.work,
    schema.evidence,
    schema.attempts,
    schema.audit,
    schema.usage,
    schema.payees,
    schema.units,
    schema.lanes,
    schema.payments,
    schema.past_cleared,
]


def copy(journal: Journal) -> dict[str, list[dict[str, Any]]]:
    """Every row of the journal."""
    return journal.read(
        lambda conn: {table.name: [dict(row._mapping) for row in conn.execute(table.select())] for table in TABLES}
    )


def put_back(journal: Journal, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Restore the journal's rows from a copy."""
    with journal.stranger() as conn:
        for table in TABLES:
            conn.execute(delete(table))
        for table in reversed(TABLES):
            if rows[table.name]:
                conn.execute(insert(table), rows[table.name])
