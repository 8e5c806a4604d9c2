"""The process or session that holds the journal's lock is found, and asking takes no lock away."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.kernel.sql import databases
from gateway.kernel.sql.lock_holder import lock_holder
from tests.world.databases import database_for_tests

HOLD = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "journal.db"
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA journal_mode=WAL")
    conn.execute("CREATE TABLE t (n)")
    conn.commit()
    yield path
    conn.close()


@pytest.mark.parametrize("word", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_the_process_and_its_command_are_named(database: Path, word: str) -> None:
    # A short name: of a long command line only the beginning is told.
    with subprocess.Popen(
        ["holder", "-c", HOLD, str(database), word],
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holding:
        assert holding.stdout is not None and holding.stdout.readline() == b"held\n"
        said = lock_holder(f"sqlite:///{database}")
        holding.kill()
    assert said.startswith(f"process {holding.pid} (") and "sqlite3.connect" in said and "\n" not in said


def test_nobody_holds_it(database: Path, tmp_path: Path) -> None:
    assert lock_holder(f"sqlite:///{database}") == "" == lock_holder(f"sqlite:///{tmp_path}/none.db")
    assert lock_holder("sqlite://") == ""


def test_asking_takes_no_lock_of_ours_away(database: Path) -> None:
    ours = sqlite3.connect(database, isolation_level=None)
    ours.execute("BEGIN IMMEDIATE")
    assert lock_holder(f"sqlite:///{database}") == "", "this process is no stranger"
    other = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0.1).execute('BEGIN IMMEDIATE')"
    done = subprocess.run([sys.executable, "-c", other, str(database)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "locked" in done.stderr
    ours.close()


@pytest.mark.postgresql
def test_postgresql_names_the_session() -> None:
    with database_for_tests("postgresql", "holder") as url:
        holding, waiting = (databases.connect(url, connections=1, writing=True) for _ in range(2))
        with holding.begin() as conn:
            conn.execute(text("CREATE TABLE held (n int)"))
        with holding.connect() as conn:
            conn.execute(text("LOCK TABLE held IN ACCESS EXCLUSIVE MODE"))
            assert lock_holder(url) == ""
            handle = os.fork()
            if not handle:
                with waiting.connect() as other:
                    try:
                        other.execute(text("SELECT * FROM held"))
                    finally:
                        os._exit(0)
            said = ""
            for _ in range(100):
                said = lock_holder(url)
                if said:
                    break
            conn.rollback()
            os.waitpid(handle, 0)
        holding.dispose()
        waiting.dispose()
    assert said.startswith("session ") and "LOCK TABLE held" in said and "in a transaction since 2" in said
