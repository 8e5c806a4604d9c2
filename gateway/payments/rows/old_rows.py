"""Deletes old rows of tables on which nothing else depends.

Payments are not among them: `purge` deletes a payment together with everything that belongs to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, bindparam, delete, exists, select

from gateway.kernel.clock import ulid_from
from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import OutboxState
from gateway.kernel.commit.store import Tx
from gateway.kernel.retention_clock import BELIEVED_FROM_MS
from gateway.kernel.sql import schema

ENTRY = "rows.purged"
_B, _R, _D, _T = (schema.books.c, schema.book_rows.c, schema.match_decisions.c, schema.balance_tables.c)
_S, _J, _U = schema.statement_days.c, schema.jobs.c, schema.usage.c
_X, _G, _E, _O = schema.proposals.c, schema.delegations.c, schema.statement_entries.c, schema.outbox.c

_L, _LP, _M, _C = schema.ledgers.c, schema.ledger_parts.c, schema.match_news.c, schema.credit_claims.c
_RF, _RS = schema.receipt_files.c, schema.receipt_searches.c


@dataclass(frozen=True, slots=True)
class OldRows:
    """The expired rows of one table. `over` gives the condition for rows that expired before a time."""

    table: Table
    over: Callable[[int], ColumnElement[bool]]

    def due(self, conn: Connection, before_ms: int, most: int) -> int:
        """How many rows are past their retention, counted up to `most`."""
        return len(conn.execute(self._old(before_ms, most)).all())

    def forget(self, tx: Tx, before_ms: int, most: int) -> int:
        """Delete up to `most` rows that expired before that time. Returns how many."""
        found = [dict(row) for row in tx.fresh.execute(self._old(before_ms, most)).mappings()]
        if found:
            mine = [column == bindparam(f"b_{column.name}") for column in self.table.primary_key]
            keys = [{f"b_{name}": value for name, value in row.items()} for row in found]
            tx.raw.execute(delete(self.table).where(*mine), keys)
            audit.append(
                tx, f"node:{tx.node}", ENTRY, f"table:{self.table.name}", {"rows": len(found), "before_ms": before_ms}
            )
        return len(found)

    def _old(self, before_ms: int, most: int) -> Select[Any]:
        keys = list(self.table.primary_key)
        return select(*keys).where(self.over(before_ms)).order_by(*keys).limit(most)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


def _old(column: ColumnElement[Any], before_ms: int) -> ColumnElement[bool]:
    """The condition for rows that a plausible clock stamped before that time."""
    return column.between(BELIEVED_FROM_MS, before_ms - 1)


def _decided_for_good(before_ms: int) -> ColumnElement[bool]:
    """The condition for decisions that can be deleted. A decision stays while a book in force begins before that time,
    because its rows would be open again."""
    needed = exists().where(_B.account_idx == _D.account_idx, _B.state == "in_force", _B.first_day < _day(before_ms))
    return and_(_old(_D.at_ms, before_ms), ~needed)


def _day_is_over(before_ms: int) -> ColumnElement[bool]:
    """The condition for closed days that can be deleted. The last closed day of an account stays, because the next day
    begins with its balance."""
    later = schema.statement_days.alias()
    newer = exists().where(later.c.account_idx == _S.account_idx, later.c.day > _S.day)
    return and_(_S.day < _day(before_ms), _old(_S.at_ms, before_ms), newer)


def _told(before_ms: int) -> ColumnElement[bool]:
    """The condition for messages that can be deleted: confirmed by the broker and about no payment. The copy of a
    parked command is deleted with its refusal."""
    copy = exists().where(schema.refusals.c.parked == _O.message_id)
    return and_(_O.payment.is_(None), _O.state == OutboxState.SENT.value, _old(_O.created_ms, before_ms), ~copy)


MESSAGES = OldRows(schema.outbox, _told)
ENTRIES = OldRows(schema.statement_entries, lambda ms: _E.entry.between(ulid_from(BELIEVED_FROM_MS), ulid_from(ms)))
DAYS = OldRows(schema.statement_days, _day_is_over)
JOBS = OldRows(schema.jobs, lambda ms: and_(_J.business_date < _day(ms), _old(_J.started_ms, ms)))
USAGE = OldRows(schema.usage, lambda ms: _U.day < _day(ms))
# A book is deleted as a whole, its head first: rows without a head are in no reconciliation.
BOOKS = OldRows(schema.books, lambda ms: and_(_B.last_day < _day(ms), _old(_B.at_ms, ms)))
BOOK_ROWS = OldRows(schema.book_rows, lambda ms: and_(_R.day < _day(ms), ~exists().where(_B.book == _R.book)))
DECISIONS = OldRows(schema.match_decisions, _decided_for_good)
BALANCE_TABLES = OldRows(schema.balance_tables, lambda ms: and_(_T.month < _day(ms)[:7], _old(_T.at_ms, ms)))
# The ERP's id of a book is deleted with the book.
LEDGERS = OldRows(
    schema.ledgers,
    lambda ms: and_(_L.book.between(ulid_from(BELIEVED_FROM_MS), ulid_from(ms)), ~exists().where(_B.book == _L.book)),
)
LEDGER_PARTS = OldRows(
    schema.ledger_parts, lambda ms: ~exists().where(_L.sender == _LP.sender, _L.ledger == _LP.ledger)
)
MATCH_NEWS = OldRows(schema.match_news, lambda ms: _old(_M.at_ms, ms))
CLAIMS = OldRows(schema.credit_claims, lambda ms: _old(_C.at_ms, ms))
RECEIPT_FILES = OldRows(schema.receipt_files, lambda ms: _old(_RF.at_ms, ms))
RECEIPT_SEARCHES = OldRows(schema.receipt_searches, lambda ms: _old(_RS.since_ms, ms))
PROPOSALS = OldRows(schema.proposals, lambda ms: and_(_old(_X.made_ms, ms), _X.expires_ms < ms))
DELEGATIONS = OldRows(schema.delegations, lambda ms: _old(_G.until_ms, ms))
