"""Versions side by side: statements of the previous schema's programs must work on the newest schema, and this program
must work on the next schema, while a newer node runs and after that node was replaced."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, create_engine, delete, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from faults import versions
from gateway.kernel.backup import backup
from gateway.kernel.backup.backup import Origin
from gateway.kernel.sql import migrations, schema
from gateway.kernel.sql.columns import SealedBytes
from gateway.kernel.sql.migrations import TooNew
from gateway.payments.rows import lookup
from tests.gateway.kernel.bench import Journal, admit, order

STEPS = Path(migrations.__file__).parent / "versions"
SERVED = migrations.KNOWN[migrations.KNOWN.index(migrations.BESIDE) : -1]


def words_of(revision: str) -> MetaData:
    """The tables as programs of that revision know them; each migration step keeps its own."""
    known = MetaData()
    for file in sorted(STEPS.glob("v*.py")):
        step = import_module(f"gateway.kernel.sql.migrations.versions.{file.stem}")
        if step.revision <= revision:
            for table in getattr(step, "metadata", MetaData()).sorted_tables:
                table.to_metadata(known)
    return known


def value(column: Column[Any]) -> Any:
    if isinstance(column.type, BigInteger):
        return 1
    if column.name == "maker":
        return None  # no one decides about an order of his own; a row with equal text would mean that
    return b"x" if isinstance(column.type, SealedBytes) else "x"


def speak(url: str, known: MetaData) -> None:
    """Run the statements of a program with these tables: write, read, change and delete, naming only its own
    columns."""
    engine = create_engine(url)
    with engine.connect() as conn:
        try:
            for table in known.sorted_tables:
                if table.name != "meta":
                    exercise(conn, table)
        finally:
            conn.rollback()
    engine.dispose()


def exercise(conn: Any, table: Table) -> None:
    row = {column.name: value(column) for column in table.columns}
    conn.execute(insert(table), row)
    (found,) = conn.execute(select(table)).all()
    assert tuple(found._mapping) == tuple(row)
    at = [column == row[column.name] for column in table.primary_key]
    plain = {column.name: row[column.name] for column in table.columns if not column.primary_key}
    if plain:
        assert conn.execute(table.update().where(*at).values(plain)).rowcount == 1
    if table.name != "payments":
        assert conn.execute(delete(table).where(*at)).rowcount == 1


def test_what_programs_of_the_schema_before_say_still_works(url: str) -> None:
    assert SERVED, "a step that shuts out the programs before it says so in the changelog, and here"
    for revision in SERVED:
        speak(url, words_of(revision))


@pytest.mark.parametrize(
    "harm",
    [
        "ALTER TABLE refusals ADD COLUMN must INTEGER NOT NULL DEFAULT 0 CHECK (must > 0)",
        "ALTER TABLE work RENAME COLUMN due_ms TO due",
        "DROP TABLE usage_counts",
        "CREATE UNIQUE INDEX one_state ON payments (state)",
        "CREATE TRIGGER strict BEFORE INSERT ON outbox WHEN NEW.exchange = 'x' BEGIN SELECT RAISE(ABORT, 'no'); END",
    ],
)
def test_a_step_that_takes_something_away_is_noticed(sqlite_url: str, small: Journal, harm: str) -> None:
    small.admit()
    engine = create_engine(sqlite_url)
    with engine.begin() as conn:
        conn.execute(text("UPDATE payments SET state = 'x'"))
        conn.execute(text(harm))
    engine.dispose()
    with pytest.raises((SQLAlchemyError, ValueError, AssertionError)):
        speak(sqlite_url, words_of(SERVED[-1]))


@pytest.fixture(scope="module")
def next_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of the next version."""
    return versions.next_one(tmp_path_factory.mktemp("versions") / "next")


@pytest.fixture
def fresh(url: str) -> Iterator[str]:
    """A database that may be changed permanently. Afterwards it is restored for the other tests."""
    yield url
    engine, found = create_engine(url), MetaData()
    with engine.begin() as conn:
        found.reflect(conn)
        found.drop_all(conn)
    engine.dispose()
    migrations.upgrade(url)


def by_the_next(tree: Path, url: str, code: str) -> None:
    lines = (
        f"from gateway.kernel.sql import migrations; assert migrations.KNOWN[-1] == '{versions.NEXT}'; url = {url!r}; "
    )
    done = subprocess.run((sys.executable, "-c", lines + code), cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


NODE = "from tests.gateway.kernel.bench import Journal, admit, order; n = Journal(url, node='n2'); "


def test_this_version_works_beside_the_next_and_after_it(fresh: str, next_version: Path) -> None:
    older = Journal(fresh)
    older.do(admit(order("AP-1")))
    by_the_next(next_version, fresh, f"migrations.upgrade(url); {NODE} n.do(admit(order('AP-2'))); n.close()")
    # The older node continues over its open connection.
    older.do(admit(order("AP-3")))
    seen = older.read(lambda conn: [lookup.find(conn, "erp", id) for id in ("AP-1", "AP-2", "AP-3")])
    assert None not in seen
    older.close()
    # It starts again, as after a crash or a roll-back. The newer node continues with rows that it wrote.
    migrations.upgrade(fresh)
    again = Journal(fresh, node="n3")
    again.do(admit(order("AP-4")))
    by_the_next(next_version, fresh, f"{NODE.replace('n2', 'n4')} n.do(admit(order('AP-5'))); n.close()")
    assert again.count(schema.payments) == 5
    again.close()
    engine = create_engine(fresh)
    with engine.connect() as conn:
        assert migrations.revision_of(conn) == versions.NEXT, "nobody took the schema back"
        assert migrations.too_new(conn) == ""
    engine.dispose()


def test_after_a_roll_back_a_copy_can_be_put_back(sqlite_url: str, next_version: Path, tmp_path: Path) -> None:
    by_the_next(next_version, sqlite_url, "migrations.upgrade(url)")
    older = Journal(sqlite_url)
    older.do(admit(order("AP-1")))
    backup.make(Origin(sqlite_url, older.vault, "n1", "0", tmp_path / "p", "2026-11-24T08:00:00+00:00"), tmp_path / "c")
    older.close()
    back = backup.restore(f"sqlite:///{tmp_path / 'again.db'}", older.vault, tmp_path / "p", tmp_path / "c")
    assert (back.manifest.schema, back.manifest.payments) == (versions.NEXT, 1)


def test_a_schema_that_shuts_this_version_out_is_refused(sqlite_url: str, next_version: Path) -> None:
    by_the_next(next_version, sqlite_url, "migrations.BESIDE = migrations.KNOWN[-1]; migrations.upgrade(url)")
    with pytest.raises(TooNew, match=f"schema {versions.NEXT}, which is newer than this program; install the bankgw"):
        migrations.upgrade(sqlite_url)


def test_a_schema_that_says_nothing_of_others_is_refused(sqlite_url: str) -> None:
    engine = create_engine(sqlite_url)
    with engine.begin() as conn:
        conn.execute(delete(schema.meta).where(schema.meta.c.name == "beside"))
        conn.execute(text("UPDATE alembic_version SET version_num = '0999'"))
        assert "schema 0999" in migrations.too_new(conn)
    engine.dispose()
    with pytest.raises(TooNew):
        migrations.upgrade(sqlite_url)
