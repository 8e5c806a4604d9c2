"""How a database becomes what `schema` says. Run before the store opens; nodes that start together take turns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from gateway.journal import databases, schema

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, RevisionStep

KNOWN = ("0001", "0002", "0003", "0004")
"""Every revision in `versions`, the newest last: a test holds the two together."""
LOCK_WAIT_S = 120
_PG_LOCK = 0x62616E6B
_MY_LOCKS = (f"SELECT GET_LOCK('bankgw.schema', {LOCK_WAIT_S})", "SELECT RELEASE_LOCK('bankgw.schema')")
_LOCKS = {
    "postgresql": (f"SELECT pg_advisory_lock({_PG_LOCK})", f"SELECT pg_advisory_unlock({_PG_LOCK})"),
    "mysql": _MY_LOCKS,
    "mariadb": _MY_LOCKS,
}


def upgrade(url: str) -> None:
    """Bring the database to the newest schema; does nothing if it is there. Blocks. Raises SQLAlchemy's errors."""
    engine = databases.connect(url, connections=1, writing=True)
    try:
        with engine.connect() as conn:
            upgrade_over(conn)
    finally:
        engine.dispose()


def upgrade_over(conn: Connection) -> None:
    """As `upgrade`, over a connection the caller keeps: the way for a SQLite database in memory."""
    if _is_newest(conn):
        return
    with _alone(conn):
        if not _is_newest(conn):
            _run(conn)


def _is_newest(conn: Connection) -> bool:
    found = revision_of(conn)
    conn.rollback()
    return found == KNOWN[-1]


@contextmanager
def _alone(conn: Connection) -> Iterator[None]:
    """Keep other nodes out while the schema changes; SQLite serves one node, whose state folder is locked already."""
    words = _LOCKS.get(conn.dialect.name)
    if words is None:
        yield
        return
    take, give = words
    if conn.execute(text(take)).scalar() == 0:
        raise TimeoutError(f"another node has been changing the journal's schema for {LOCK_WAIT_S} s; start again")
    conn.commit()
    try:
        yield
    finally:
        # A failed step leaves its transaction; the lock belongs to the session, and goes whatever became of it.
        conn.rollback()
        conn.execute(text(give))
        conn.commit()


def _run(conn: Connection) -> None:
    # Only here: alembic costs a daemon 11 MB for all its life, and is needed once in many starts.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(__file__).parent))

    def steps(revision: object, _context: MigrationContext) -> list[RevisionStep]:
        return script._upgrade_revs("head", revision)  # type: ignore[arg-type]

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=conn, target_metadata=schema.metadata)
        with environment.begin_transaction():
            environment.run_migrations()
    conn.commit()


def revision_of(conn: Connection) -> str | None:
    """Where the database is; None for an empty one."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
