"""How a database becomes what `schema` says, step by step. Run before the store opens, by one process at a time."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from gateway.journal import databases, schema


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
    script = ScriptDirectory(str(Path(__file__).parent))

    def steps(revision: object, _context: MigrationContext) -> list[RevisionStep]:
        return script._upgrade_revs("head", revision)  # type: ignore[arg-type]

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=conn, target_metadata=schema.metadata)
        with environment.begin_transaction():
            environment.run_migrations()
    conn.commit()


def newest() -> str:
    """The revision that `upgrade` leads to."""
    head = ScriptDirectory(str(Path(__file__).parent)).get_current_head()
    assert head is not None
    return head
