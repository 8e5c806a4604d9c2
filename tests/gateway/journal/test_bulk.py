"""Statements straight to the driver behave, where it matters, as SQLAlchemy's own do."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from gateway.journal import bulk, databases, schema
from gateway.journal.databases import is_trouble
from gateway.journal.store import Tx
from tests.gateway.journal.bench import Journal
from tests.gateway.journal.test_committer import kill, servers_only

_C = schema.meta.c
_PUT = insert(schema.meta)
_ONE = select(schema.meta).where(_C.name == bindparam("b_name"))
_ALL = select(schema.meta).where(_C.name.like(bindparam("b_like"))).order_by(_C.name).limit(2)
_CHANGE = update(schema.meta).where(_C.name == bindparam("b_name")).values(value="changed")


def test_rows_are_read_and_changed(journal: Journal) -> None:
    rows = [{"name": f"bulk-{n}", "value": str(n)} for n in range(3)]
    assert journal.do(lambda tx: bulk.write_many(tx.conn, _PUT, rows)) == 3
    assert journal.do(lambda tx: bulk.write_many(tx.conn, _PUT, [])) == 0
    assert journal.do(lambda tx: bulk.write(tx.conn, _CHANGE, {"b_name": "bulk-1"})) == 1
    assert journal.do(lambda tx: bulk.write(tx.conn, _CHANGE, {"b_name": "nobody"})) == 0
    found = journal.read(lambda conn: bulk.first_row(conn, _ONE, {"b_name": "bulk-1"}))
    assert found is not None and (found.name, found.value) == ("bulk-1", "changed")
    assert journal.read(lambda conn: bulk.first_row(conn, _ONE, {"b_name": "nobody"})) is None
    both = journal.read(lambda conn: bulk.rows(conn, _ALL, {"b_like": "bulk-%"}))
    assert [row.name for row in both] == ["bulk-0", "bulk-1"]


def test_a_key_that_is_taken_is_an_integrity_error_and_tells_no_values(journal: Journal) -> None:
    row = {"name": "taken", "value": "secret"}
    journal.do(lambda tx: bulk.write(tx.conn, _PUT, row))
    with pytest.raises(IntegrityError) as raised:
        journal.do(lambda tx: bulk.write(tx.conn, _PUT, row))
    assert "secret" not in str(raised.value) and not raised.value.connection_invalidated
    assert not is_trouble(raised.value)


def test_reading_begins_a_transaction_so_that_two_reads_see_one_moment(journal: Journal) -> None:
    engine = journal.engine
    with engine.connect() as conn:
        assert bulk.first_row(conn, _ONE, {"b_name": "nobody"}) is None
        assert conn.in_transaction()


@servers_only
def test_a_connection_that_is_gone_is_not_used_again(journal: Journal) -> None:
    errors: list[DBAPIError] = []

    def unit(tx: Tx) -> None:
        if errors:
            return
        kill(tx.conn, journal)
        try:
            bulk.first_row(tx.bare, _ONE, {"b_name": "nobody"})
        except DBAPIError as error:
            errors.append(error)
            assert tx.bare.invalidated
            raise

    journal.do(unit)
    [error] = errors
    assert error.connection_invalidated and is_trouble(error)


@servers_only
@pytest.mark.parametrize("count", [1, 3])
def test_a_transaction_that_stands_still_after_writing_is_ended_by_the_server(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Else a node that is stopped there would keep its locks, and other nodes from working, for as long as it stands."""
    monkeypatch.setattr(databases, "IDLE_IN_TRANSACTION_S", 1)
    engine = databases.connect(journal.url, connections=1, writing=True)
    try:
        with engine.connect() as conn:
            bulk.write_many(conn, _PUT, [{"name": f"still-{n}", "value": ""} for n in range(count)])
            time.sleep(2.5)
            with pytest.raises(DBAPIError) as raised:
                bulk.first_row(conn, _ONE, {"b_name": "nobody"})
        assert is_trouble(raised.value)
    finally:
        engine.dispose()
