from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine, inspect, select

from gateway.kernel.sql import migrations, schema
from tests.gateway.conftest import KINDS
from tests.gateway.kernel.bench import Journal


def test_the_migrations_lead_to_the_schema_the_code_uses(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == migrations.KNOWN[-1]
        version = conn.execute(select(schema.meta.c.value).where(schema.meta.c.name == "schema")).scalar_one()
        assert version == str(schema.SCHEMA_VERSION)
        for table in schema.metadata.sorted_tables:
            found = {index["name"] for index in inspect(conn).get_indexes(table.name)}
            assert {index.name for index in table.indexes} <= found
    engine.dispose()


def test_every_revision_is_known_in_its_order() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert tuple(step.revision for step in reversed(list(script.walk_revisions()))) == migrations.KNOWN


def test_a_database_that_is_up_to_date_needs_no_alembic(sqlite_url: str) -> None:
    code = f"import sys; from gateway.kernel.sql import migrations; migrations.upgrade({sqlite_url!r}); "
    done = subprocess.run((sys.executable, "-c", code + "sys.exit('alembic' in sys.modules)"), check=False)
    assert done.returncode == 0


def test_upgrading_again_changes_nothing(journal: Journal) -> None:
    row = journal.admit().row
    migrations.upgrade(journal.url)
    assert journal.count(schema.payments) == 1
    assert row.version == 1


@pytest.mark.parametrize("kind", KINDS[1:])
def test_nodes_that_start_together_on_an_empty_database_all_come_up(kind: str, servers: Callable[[str], str]) -> None:
    url = servers(kind)
    engine = create_engine(url)
    found = MetaData()
    with engine.begin() as conn:
        found.reflect(conn)
        found.drop_all(conn)
    engine.dispose()
    code = f"from gateway.kernel.sql import migrations; migrations.upgrade({url!r})"
    nodes = [subprocess.Popen((sys.executable, "-c", code), stderr=subprocess.PIPE) for _ in range(4)]
    assert [(node.communicate()[1][-300:], node.returncode) for node in nodes] == [(b"", 0)] * 4


def test_sqlite_refuses_values_of_the_wrong_type(small: Journal) -> None:
    sql = small.read(
        lambda conn: conn.exec_driver_sql(
            "select name, sql from sqlite_master where type = 'table' and name != 'alembic_version'"
        ).all()
    )
    assert {name for name, text in sql if "STRICT" not in text} == set()


def test_sqlite_keeps_a_log_that_is_synced_at_each_commit(small: Journal) -> None:
    small.admit()
    pragmas = {}
    with small.stranger() as conn:
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout"):
            pragmas[name] = conn.exec_driver_sql(f"pragma {name}").scalar()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


def test_readers_cannot_write(small: Journal) -> None:
    from sqlalchemy.exc import OperationalError

    with pytest.raises(OperationalError, match="readonly"):
        small.read(lambda conn: conn.execute(schema.payees.insert(), {"sender": "s", "payee": "p", "first_ms": 1}))
