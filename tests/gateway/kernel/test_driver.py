"""Statements straight to the driver behave, where it matters, as SQLAlchemy's own do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, create_engine, delete, insert, select, text, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import databases, driver, schema
from gateway.kernel.sql.databases import is_trouble
from tests.gateway.kernel.bench import Journal
from tests.gateway.kernel.test_committer import kill, servers_only

_C = schema.meta.c
_PUT = insert(schema.meta)
_ONE = select(schema.meta).where(_C.name == bindparam("b_name"))
_ALL = select(schema.meta).where(_C.name.like(bindparam("b_like"))).order_by(_C.name).limit(2)
_CHANGE = update(schema.meta).where(_C.name == bindparam("b_name")).values(value="changed")


def test_rows_are_read_and_changed(journal: Journal) -> None:
    rows = [{"name": f"bulk-{n}", "value": str(n)} for n in range(3)]
    assert journal.do(lambda tx: driver.write_many(tx.fresh, _PUT, rows)) == 3
    assert journal.do(lambda tx: driver.write_many(tx.fresh, _PUT, [])) == 0
    assert journal.do(lambda tx: driver.run_write(tx.fresh, _CHANGE, {"b_name": "bulk-1"})) == 1
    assert journal.do(lambda tx: driver.run_write(tx.fresh, _CHANGE, {"b_name": "nobody"})) == 0
    found = journal.read(lambda conn: driver.first_row(conn, _ONE, {"b_name": "bulk-1"}))
    assert found is not None and (found.name, found.value) == ("bulk-1", "changed")
    assert journal.read(lambda conn: driver.first_row(conn, _ONE, {"b_name": "nobody"})) is None
    both = journal.read(lambda conn: driver.rows(conn, _ALL, {"b_like": "bulk-%"}))
    assert [row.name for row in both] == ["bulk-0", "bulk-1"]


def test_a_key_that_is_taken_is_an_integrity_error_and_tells_no_values(journal: Journal) -> None:
    row = {"name": "taken", "value": "secret"}
    journal.do(lambda tx: driver.run_write(tx.fresh, _PUT, row))
    with pytest.raises(IntegrityError) as raised:
        journal.do(lambda tx: driver.run_write(tx.fresh, _PUT, row))
    assert "secret" not in str(raised.value) and not raised.value.connection_invalidated
    assert not is_trouble(raised.value)


def test_reading_begins_a_transaction_so_that_two_reads_see_one_moment(journal: Journal) -> None:
    engine = journal.engine
    with engine.connect() as conn:
        assert driver.first_row(conn, _ONE, {"b_name": "nobody"}) is None
        assert conn.in_transaction()


@servers_only
def test_a_connection_that_is_gone_is_not_used_again(journal: Journal) -> None:
    errors: list[DBAPIError] = []

    def select_after_kill(tx: Tx) -> None:
        if errors:
            return
        kill(tx.fresh, journal)
        try:
            driver.first_row(tx.raw, _ONE, {"b_name": "nobody"})
        except DBAPIError as error:
            errors.append(error)
            assert tx.raw.invalidated
            raise

    journal.do(select_after_kill)
    [error] = errors
    assert error.connection_invalidated and is_trouble(error)


@servers_only
@pytest.mark.parametrize("count", [1, 3])
def test_a_transaction_that_stands_still_after_writing_is_ended_by_the_server(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Otherwise a node that is suspended there would keep its locks, and other nodes could not work."""
    monkeypatch.setattr(databases, "IDLE_IN_TRANSACTION_S", 1)
    engine = databases.connect(journal.url, connections=1, writing=True)
    try:
        with engine.connect() as conn:
            driver.write_many(conn, _PUT, [{"name": f"still-{n}", "value": ""} for n in range(count)])
            time.sleep(2.5)
            with pytest.raises(DBAPIError) as raised:
                driver.first_row(conn, _ONE, {"b_name": "nobody"})
        assert is_trouble(raised.value)
    finally:
        engine.dispose()


# Writes groups of many rows for ever: new ones, changed ones, deleted ones.
_BUSY = """
import sys
from gateway.kernel.sql import databases, driver, schema
from tests.gateway.kernel.test_driver import CHANGE_ONE, DELETE_ONE
engine = databases.connect(sys.argv[1], connections=1, writing=True)
with engine.connect() as conn:
    print(conn.exec_driver_sql("SELECT pg_backend_pid()").scalar(), flush=True)
    while True:
        databases.upsert(conn, schema.meta, [{"name": f"busy-{n}", "value": ""} for n in range(100)])
        driver.write_many(conn, CHANGE_ONE, [{"b_name": f"busy-{n}", "b_value": "x"} for n in range(100)])
        driver.write_many(conn, DELETE_ONE, [{"b_name": f"busy-{n}"} for n in range(100)])
        conn.commit()
"""
CHANGE_ONE = update(schema.meta).where(_C.name == bindparam("b_name")).values(value=bindparam("b_value"))
DELETE_ONE = delete(schema.meta).where(_C.name == bindparam("b_name"))
_STANDS = text("SELECT state, wait_event FROM pg_stat_activity WHERE pid = :pid")


@pytest.mark.postgresql
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_wherever_a_writer_is_stopped_the_server_counts_how_long_it_stands_still(url: str) -> None:
    """The session must count as `idle in transaction`, not as `active`: in an active session the server would wait for
    the rest of a pipeline for ever."""
    root, engine = Path(__file__).parents[3], create_engine(url, isolation_level="AUTOCOMMIT")
    states: list[tuple[str, str]] = []
    with (
        subprocess.Popen([sys.executable, "-c", _BUSY, url], cwd=root, stdout=subprocess.PIPE) as busy,
        engine.connect() as conn,
    ):
        assert busy.stdout is not None
        try:
            pid = int(busy.stdout.readline())
            for n in range(40):
                time.sleep(0.02 + 0.001 * n)
                os.kill(busy.pid, signal.SIGSTOP)
                # The statements on their way are carried out; then the server has nothing to do but wait.
                until_s = time.monotonic() + 10
                while (found := conn.execute(_STANDS, {"pid": pid}).one()).wait_event != "ClientRead":
                    assert time.monotonic() < until_s, found
                    time.sleep(0.01)
                time.sleep(0.1)
                states.append(tuple(conn.execute(_STANDS, {"pid": pid}).one()))
                os.kill(busy.pid, signal.SIGCONT)
        finally:
            busy.kill()
    engine.dispose()
    assert ("idle in transaction", "ClientRead") in states
    assert set(states) <= {("idle in transaction", "ClientRead"), ("idle", "ClientRead")}


def test_many_rows_are_changed_and_deleted_as_one_by_one(journal: Journal) -> None:
    journal.do(lambda tx: driver.write_many(tx.fresh, _PUT, [{"name": f"n-{n}", "value": str(n)} for n in range(4)]))
    changed = [{"b_name": f"n-{n}", "b_value": f'{{"{n}", NULL}}'} for n in (1, 2, 9)]
    assert journal.do(lambda tx: driver.write_many(tx.fresh, CHANGE_ONE, changed)) == 2, "the last is nobody's"
    assert (
        journal.do(lambda tx: driver.write_many(tx.fresh, DELETE_ONE, [{"b_name": f"n-{n}"} for n in (0, 2, 9)])) == 2
    )
    both = journal.read(lambda conn: driver.rows(conn, _ALL, {"b_like": "n-%"}))
    assert [(row.name, row.value) for row in both] == [("n-1", '{"1", NULL}'), ("n-3", "3")]


def test_of_many_rows_one_that_is_too_long_or_there_already_refuses_all(journal: Journal) -> None:
    journal.do(lambda tx: driver.run_write(tx.fresh, _PUT, {"name": "there", "value": ""}))
    with pytest.raises(IntegrityError):
        journal.do(
            lambda tx: driver.write_many(tx.fresh, _PUT, [{"name": name, "value": ""} for name in ("new", "there")])
        )
    if journal.engine.dialect.name != "sqlite":
        with pytest.raises(DataError):
            journal.do(
                lambda tx: driver.write_many(tx.fresh, _PUT, [{"name": name * 65, "value": ""} for name in "ab"])
            )
    assert journal.read(lambda conn: driver.first_row(conn, _ONE, {"b_name": "new"})) is None


def test_what_is_empty_stays_empty_and_bytes_stay_bytes(journal: Journal) -> None:
    odd = bytes(range(256))
    rows = [
        {
            "message_id": f"m-{n}",
            "node": "n1",
            "state": "waiting",
            "exchange": "",
            "routing_key": "a,b",
            "headers": "{}",
            "correlation_id": None if n else 'it\'s \\ "so"',
            "content_type": "",
            "payment": None,
            "created_ms": 2**62 + n,
            "body": odd * n,
        }
        for n in range(3)
    ]
    journal.do(lambda tx: driver.write_many(tx.fresh, insert(schema.outbox), rows))
    kept = journal.read(
        lambda conn: conn.execute(select(schema.outbox).order_by(schema.outbox.c.message_id)).mappings().all()
    )
    untried = dict.fromkeys(("tries", "last_tried_ms", "last_result", "last_text"))
    assert [dict(row) for row in kept] == [{**row, **untried} for row in rows]


def _mail(n: int, body: bytes) -> dict[str, Any]:
    return {
        "message_id": f"m{n:03}",
        "node": "n1",
        "state": "waiting",
        "exchange": "",
        "routing_key": "q",
        "headers": "{}",
        "correlation_id": None,
        "content_type": "",
        "payment": None,
        "created_ms": n,
        "body": body,
    }


@pytest.mark.parametrize(
    ("sizes", "statements"),
    [([10] * 100, 1), ([20_000] * 20, 20), ([10_000] * 20, 7), ([10, 200_000, 10, 10], 3), ([200_000, 10], 2)],
)
def test_no_statement_of_many_rows_is_big_enough_to_be_cut_in_two(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, sizes: list[int], statements: int
) -> None:
    """If a writer is suspended while such a statement is being sent, the server waits for the rest of it and measures
    no time."""
    messages, said = [_mail(n, bytes([n]) * size) for n, size in enumerate(sizes)], list[int]()
    run = driver._run

    def heard(conn: Any, written: Any, bound: Any, **words: Any) -> int:
        if isinstance(bound, dict):
            bodies = bound["body"] if isinstance(bound["body"], list) else [bound["body"]]
            said.append(sum(map(len, bodies)) if len(bodies) > 1 else 0)
        return run(conn, written, bound, **words)

    def put(tx: Tx) -> int:
        with monkeypatch.context() as patched:
            patched.setattr(driver, "_run", heard)
            return driver.write_many(tx.fresh, insert(schema.outbox), messages)

    assert journal.do(put) == len(messages)
    if journal.engine.dialect.driver == "psycopg":
        assert len(said) == statements and max(said) <= driver.MOST_BYTES
    kept = journal.read(
        lambda conn: conn.execute(select(schema.outbox.c.body).order_by(schema.outbox.c.message_id)).scalars().all()
    )
    assert [bytes(body) for body in kept] == [mail["body"] for mail in messages]


def test_rows_of_several_statements_are_one_transaction(journal: Journal) -> None:
    messages = [_mail(n, b"x" * 30_000) for n in (1, 2, 3, 4, 1)]
    with pytest.raises(IntegrityError):
        journal.do(lambda tx: driver.write_many(tx.fresh, insert(schema.outbox), messages))
    assert journal.count(schema.outbox) == 0
