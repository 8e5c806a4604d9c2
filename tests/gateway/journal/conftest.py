"""Databases to keep a journal in: SQLite always, PostgreSQL and MariaDB where there are servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, MetaData, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.journal.sql import migrations, schema
from tests.gateway.journal.bench import Journal
from tests.world.services import databases_file, read_database

# Where a server of a developer's machine usually is, if `make databases` has not said otherwise.
LOOPBACK = {
    "postgresql": "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    "mariadb": "mariadb+pymysql://root@127.0.0.1:3306/mysql",
}
KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql),
         pytest.param("mariadb", marks=pytest.mark.mariadb)]  # fmt: skip


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], str]]:
    """`servers(kind)`: the URL of a migrated database of our own; skips without a server, fails in CI.

    Tests that run side by side have one each, beside the one that `make databases` made.
    """
    made: dict[str, tuple[URL | None, URL]] = {}
    worker = os.environ.get("PYTEST_XDIST_WORKER")

    def database(kind: str) -> str:
        if kind not in made:
            described = read_database(databases_file(), kind)
            if described is None:
                made[kind] = _make_database(kind, make_url(LOOPBACK[kind]), f"bankgw_journal_test_{os.getpid()}")
            elif worker is None:
                made[kind] = (None, _empty(make_url(described)))
            else:
                ours = make_url(described)
                made[kind] = _make_database(kind, ours, f"{ours.database}_{worker}")
            migrations.upgrade(made[kind][1].render_as_string(hide_password=False))
        return made[kind][1].render_as_string(hide_password=False)

    yield database
    for server, ours in made.values():
        if server is not None:
            _run(server, f"DROP DATABASE {ours.database}")


def _empty(ours: URL) -> URL:
    """The database that `make databases` made for us, without what an earlier run left in it."""
    engine = create_engine(ours, connect_args={"connect_timeout": 5})
    found = MetaData()
    with engine.begin() as conn:
        found.reflect(conn)
        found.drop_all(conn)
    engine.dispose()
    return ours


def _make_database(kind: str, server: URL, name: str) -> tuple[URL, URL]:
    """A new one, in place of what an interrupted run left under this name."""
    try:
        _run(server, f"DROP DATABASE IF EXISTS {name}")
        _run(server, f"CREATE DATABASE {name}{' CHARACTER SET utf8mb4' if kind == 'mariadb' else ''}")
    except SQLAlchemyError as error:
        pytest.skip(f"no {kind}: {type(error).__name__}")
    return server, server.set(database=name)


def _run(server: URL, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as conn:
            conn.execute(text(statement))
    finally:
        engine.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated, empty SQLite database."""
    path = tmp_path_factory.mktemp("template") / "journal.db"
    migrations.upgrade(f"sqlite:///{path}")
    assert not path.with_name("journal.db-wal").exists()
    return path.read_bytes()


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: bytes) -> str:
    """A fresh, migrated SQLite database in a file."""
    path = tmp_path / "journal.db"
    path.write_bytes(sqlite_template)
    return f"sqlite:///{path}"


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty, migrated database of each kind in turn."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    found = request.getfixturevalue("servers")(request.param)
    yield found
    engine = create_engine(found)
    with engine.begin() as conn:
        for table in reversed(schema.metadata.sorted_tables):
            if table.name != "meta":
                conn.execute(table.delete())
    engine.dispose()


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    """A node over an empty database of each kind in turn."""
    made = Journal(url)
    yield made
    made.close()


@pytest.fixture
def small(sqlite_url: str) -> Iterator[Journal]:
    """A node over an empty SQLite database."""
    made = Journal(sqlite_url)
    yield made
    made.close()
