"""How a database becomes what `schema` says. Run before the store opens; nodes that start together take turns.

Nodes are replaced one after the other, and a new program is sometimes taken back. So a database says, beside its
revision, the oldest revision whose programs may work on it; a program that finds a newer schema goes by that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, select, text

from gateway.journal.sql import databases, schema

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, RevisionStep

KNOWN = ("0001", "0002", "0003", "0004", "0005")
"""Every revision in `versions`, the newest last: a test holds the two together."""
BESIDE = KNOWN[-2]
"""The oldest revision whose programs may work on a database of the newest one. A step that takes away or tightens what
the programs before it use says so here, by naming itself; until then a test runs the older ones' statements."""
LOCK_WAIT_S = 120
_BESIDE = "beside"
_PG_LOCK = 0x62616E6B
_MY_LOCKS = (f"SELECT GET_LOCK('bankgw.schema', {LOCK_WAIT_S})", "SELECT RELEASE_LOCK('bankgw.schema')")
_LOCKS = {
    "postgresql": (f"SELECT pg_advisory_lock({_PG_LOCK})", f"SELECT pg_advisory_unlock({_PG_LOCK})"),
    "mysql": _MY_LOCKS,
    "mariadb": _MY_LOCKS,
}


class TooNew(Exception):
    """A newer program has changed this database so that this one cannot work on it; the text says so."""


def upgrade(url: str) -> None:
    """Bring the database to the newest schema; does nothing if it is there, or newer and still fit for this program.
    Blocks. Raises TooNew, and SQLAlchemy's errors."""
    engine = databases.connect(url, connections=1, writing=True, patient=True)
    try:
        with engine.connect() as conn:
            upgrade_over(conn)
    finally:
        engine.dispose()


def upgrade_over(conn: Connection) -> None:
    """As `upgrade`, over a connection the caller keeps: the way for a SQLite database in memory."""
    if revision_of(conn) == KNOWN[-1]:
        conn.rollback()
        return
    with _alone(conn):
        # Looked at again in here: where a step is not one transaction, what it says of older programs comes last.
        found, wrong = revision_of(conn), too_new(conn)
        conn.rollback()
        if wrong:
            raise TooNew(f"{wrong}; install the bankgw that made it")
        if found is None or found < KNOWN[-1]:
            _run(conn)


def beside_of(conn: Connection) -> str:
    """The oldest revision whose programs may work on this database, as it says itself; "" if it says nothing."""
    said = conn.execute(select(schema.meta.c.value).where(schema.meta.c.name == _BESIDE)).scalar()
    return "" if said is None else str(said)


def fits(revision: str, beside: str) -> bool:
    """Whether this program can work on a database of that revision, which says `beside` of older programs."""
    return revision in KNOWN or "" < beside <= KNOWN[-1]


def too_new(conn: Connection) -> str:
    """Why this program cannot work on the database, "" if it can, perhaps after an upgrade."""
    found = revision_of(conn)
    if found is None or fits(found, beside_of(conn)):
        return ""
    return f"the database has schema {found}, which is newer than this program"


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
            conn.execute(schema.meta.delete().where(schema.meta.c.name == _BESIDE))
            conn.execute(schema.meta.insert(), {"name": _BESIDE, "value": BESIDE})
    conn.commit()


def revision_of(conn: Connection) -> str | None:
    """Where the database is; None for an empty one."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
