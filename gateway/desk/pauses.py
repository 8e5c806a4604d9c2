"""An operator's pause outlives the daemon: what was wanted last is read back from the audit trail."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from gateway.journal import audit
from gateway.journal.vaults import vault_of

OPERATOR = "operator"
FROM_THE_PAST = "database_from_the_past"


def paused(conn: Connection, lanes: Iterable[str]) -> list[str]:
    """The lanes that an operator paused and nobody resumed."""
    return [lane for lane in lanes if _last_word(conn, lane) == "lane.paused"]


def _last_word(conn: Connection, lane: str) -> str | None:
    said = [one.entry for one in audit.entries_of(conn, vault_of(conn), lane)]
    return next((word for word in reversed(said) if word in ("lane.paused", "lane.resumed")), None)
