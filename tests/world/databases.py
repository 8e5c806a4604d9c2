"""Databases of a server for one fixture of one test process, each with a name of its own, dropped at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.kernel.sql import migrations
from tests.world.services import databases_file, read_database

# Where a server of a developer's machine usually listens, if `make databases` has not said otherwise.
LOOPBACK = {
    "postgresql": "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    "mariadb": "mariadb+pymysql://root@127.0.0.1:3306/mysql",
}
_in_use: set[tuple[str, str]] = set()


@contextmanager
def database_for_tests(kind: str, fixture: str) -> Iterator[str]:
    """The URL of an empty, migrated database for this fixture and process. Skips without a server, fails in CI.

    Two fixtures of one process that ask with the same word are refused: the first to end would drop the other's.
    """
    if (kind, fixture) in _in_use:
        raise ValueError(
            f"two fixtures of this process ask for the {kind} database {fixture!r}: name one of them differently"
        )
    described = read_database(databases_file(), kind)
    server = make_url(described or LOOPBACK[kind])
    prefix = f"bankgw_test_{os.getpid()}" if described is None else server.database
    name = f"{prefix}_{fixture}_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    try:
        # An interrupted run may have left one of this name.
        run_on(server, f"DROP DATABASE IF EXISTS {name}")
        run_on(server, f"CREATE DATABASE {name}{' CHARACTER SET utf8mb4' if kind == 'mariadb' else ''}")
    except SQLAlchemyError as error:
        pytest.skip(f"no {kind}: {type(error).__name__}")
    _in_use.add((kind, fixture))
    try:
        url = server.set(database=name).render_as_string(hide_password=False)
        migrations.upgrade(url)
        yield url
    finally:
        _in_use.remove((kind, fixture))
        # A session of a process that just ended, or of a simulated daemon that died, may still exist.
        run_on(server, f"DROP DATABASE {name}{' WITH (FORCE)' if kind == 'postgresql' else ''}")


def run_on(server: URL, statement: str) -> None:
    """Run one statement outside a transaction."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as conn:
            conn.execute(text(statement))
    finally:
        engine.dispose()
