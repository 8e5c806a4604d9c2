"""The audit trail page by page, the newest first."""

from __future__ import annotations

from sqlalchemy import Connection, and_, or_, select

from gateway.kernel.commit import audit
from gateway.kernel.commit.audit import AuditEntry
from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of

PAGE_ENTRIES = 100
_A = schema.audit.c


def page(conn: Connection, object_id: str | None, actor: str | None, after: str | None) -> list[AuditEntry]:
    """A page of audit entries: about an object, of an actor, or all. `after` is `MS.NODE.SEQ` of the last entry
    before."""
    statement = select(schema.audit)
    if object_id:
        statement = statement.where(_A.object_id == object_id)
    if actor:
        statement = statement.where(_A.actor == actor)
    if after:
        at_ms, node, seq = _place(after)
        earlier = or_(_A.node < node, and_(_A.node == node, _A.seq < seq))
        statement = statement.where(or_(_A.at_ms < at_ms, and_(_A.at_ms == at_ms, earlier)))
    newest = statement.order_by(_A.at_ms.desc(), _A.node.desc(), _A.seq.desc()).limit(PAGE_ENTRIES)
    return audit.opened(conn.execute(newest), vault_of(conn))


def mark(entry: AuditEntry) -> str:
    """The position of this entry as `MS.NODE.SEQ`, with which the next page is asked for."""
    return f"{entry.at_ms}.{entry.node}.{entry.seq}"


def _place(after: str) -> tuple[int, str, int]:
    """The parts of a position that `mark` wrote. Raises ValueError."""
    at_ms, node, seq = after.split(".")
    return int(at_ms), node, int(seq)
