"""Schema migrations. They run before the store opens; nodes that start together take turns.

Nodes are upgraded one after the other, and an upgrade is sometimes undone. So a database records, besides its revision,
the oldest revision whose programs may use it. A program that finds a newer schema decides by this record.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, select, text

from gateway.kernel.sql import databases, schema

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, RevisionStep

KNOWN = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
    "0017",
    "0018",
)
"""All revisions in `versions`, newest last; a test compares the two."""
BESIDE = KNOWN[-2]
"""The oldest revision whose programs may use a database of the newest revision. A migration that removes or restricts
something that older programs use sets this to itself; until then a test runs the older programs' statements."""
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
    """The database was changed by a newer version and this version cannot use it; the text says so."""


def upgrade(url: str) -> None:
    """Migrate the database to the newest schema. Does nothing if it is current, or newer and still usable.
    Blocks. Raises TooNew, and SQLAlchemy's errors."""
    engine = databases.connect(url, connections=1, writing=True, patient=True)
    try:
        with engine.connect() as conn:
            upgrade_over(conn)
    finally:
        engine.dispose()


def upgrade_over(conn: Connection) -> None:
    """As `upgrade`, on the caller's connection, as a SQLite database in memory requires."""
    if revision_of(conn) == KNOWN[-1]:
        conn.rollback()
        return
    with _alone(conn):
        # Check again under the lock: where a migration is not one transaction, it records `beside` last.
        found, wrong = revision_of(conn), too_new(conn)
        conn.rollback()
        if wrong:
            raise TooNew(f"{wrong}; install the bankgw that made it")
        if found is None or found < KNOWN[-1]:
            _run(conn)


def beside_of(conn: Connection) -> str:
    """The oldest revision whose programs may use this database, as recorded in it; "" if not recorded."""
    said = conn.execute(select(schema.meta.c.value).where(schema.meta.c.name == _BESIDE)).scalar()
    return "" if said is None else str(said)


def fits(revision: str, beside: str) -> bool:
    """True if this program can use a database with that `revision` and that `beside` (see `beside_of`)."""
    return revision in KNOWN or "" < beside <= KNOWN[-1]


def too_new(conn: Connection) -> str:
    """Why this program cannot use the database; "" if it can, perhaps after an upgrade."""
    found = revision_of(conn)
    if found is None or fits(found, beside_of(conn)):
        return ""
    return f"the database has schema {found}, which is newer than this program"


@contextmanager
def _alone(conn: Connection) -> Iterator[None]:
    """Lock out other nodes while the schema changes. SQLite has one node, whose state folder is locked already."""
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
        # End the transaction of a failed migration; the lock belongs to the session and is released below.
        conn.rollback()
        conn.execute(text(give))
        conn.commit()


def _run(conn: Connection) -> None:
    # Imported only here: alembic takes 11 MB of memory and is rarely needed.
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
    """The schema revision of the database; None if it is empty."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
