"""Fixtures for the tests of the gateway: databases for a journal (SQLite always, PostgreSQL and MariaDB where there are
servers), and a lease for tests of several days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from gateway.bank import lease
from gateway.erp import journal_mark
from gateway.kernel.sql import migrations, schema
from tests.gateway.kernel.bench import Journal
from tests.world.databases import database_for_tests

KINDS = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.postgresql),
    pytest.param("mariadb", marks=pytest.mark.mariadb),
]
_MADE_BY_MIGRATION = ("schema", "beside", "journal")
"""The rows of `meta` that an empty journal has."""


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], str]]:
    """`servers(kind)`: the URL of a migrated database of our own; skips without a server, fails in CI.

    Tests that run side by side have one each, beside the one that `make databases` made.
    """
    made: dict[str, str] = {}
    with ExitStack() as stack:

        def database(kind: str) -> str:
            if kind not in made:
                made[kind] = stack.enter_context(database_for_tests(kind, "journal"))
            return made[kind]

        yield database


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
        conn.execute(schema.meta.delete().where(schema.meta.c.name.not_in(_MADE_BY_MIGRATION)))
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


@pytest.fixture
def long_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that last days: leases and the journal's mark are renewed every twenty minutes instead of every few
    seconds."""
    monkeypatch.setattr(lease, "LEASE_MS", 3_600_000)
    monkeypatch.setattr(lease, "RENEW_S", 1_200.0)
    monkeypatch.setattr(lease, "DEAD_S", 4_800.0)
    monkeypatch.setattr(journal_mark, "BEAT_S", 1_200.0)
