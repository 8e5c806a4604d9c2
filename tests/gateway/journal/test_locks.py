"""Rows and tables that a stranger has locked: who waits for them, how long, and what goes on meanwhile."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import create_engine, text
from twisted.python.failure import Failure

from gateway.journal import databases
from gateway.journal.databases import is_locked
from tests.gateway.journal.bench import Journal
from tests.gateway.journal.test_committer import put, servers_only

_LOCK_TABLE = {"postgresql": "LOCK TABLE payees", "mysql": "LOCK TABLES payees WRITE"}


@servers_only
def test_a_table_that_is_locked_is_waited_for_no_longer_than_a_row(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "LOCK_WAIT_S", 1)
    journal, engine = Journal(url), create_engine(url)
    journal.do(put("a"))
    with engine.connect() as conn:
        conn.execute(text(_LOCK_TABLE[conn.dialect.name.replace("mariadb", "mysql")]))
        began_s = time.monotonic()
        [value] = journal.group([put("b")])
        assert isinstance(value, Failure) and is_locked(value.value) and time.monotonic() - began_s < 3
        conn.invalidate()
    engine.dispose()
    assert journal.do(put("b")) == "b"
    journal.close()
