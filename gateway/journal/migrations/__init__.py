"""How a database becomes what `schema` says, step by step. Run before the store opens, by one process at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from gateway.journal import databases, schema

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, RevisionStep

KNOWN = ("0001",)
"""Every revision in `versions`, the newest last: a test holds the two together."""


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
    found = revision_of(conn)
    conn.rollback()
    if found == KNOWN[-1]:
        return
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
