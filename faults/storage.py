"""What becomes of the journal: COMMITs whose answer is lost, locks, restarts, a full disk, a trail that fails."""

from __future__ import annotations

import errno
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from faults.field import Field
from faults.kinds import Kind
from faults.proxy import Proxy
from faults.site import Node

STOPS_MS = 1_000
"""How soon nothing more may leave once nothing can be written down."""
_LOCK = {
    "postgresql": ("BEGIN", "LOCK TABLE payments IN ACCESS EXCLUSIVE MODE"),
    "mysql": ("LOCK TABLES payments WRITE",),
}
_END_SESSIONS = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}
_REFUSE_AUDIT = {
    "postgresql": (
        "CREATE OR REPLACE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit trail fails'; END $$",
        "CREATE TRIGGER no_audit BEFORE INSERT ON audit EXECUTE FUNCTION no_audit()",
    ),
    "sqlite": ("CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'it fails'); END",),
}
_ALLOW_AUDIT = {"postgresql": "DROP TRIGGER no_audit ON audit", "sqlite": "DROP TRIGGER no_audit"}


def _on_server(field: Field) -> bool:
    return field.on_server


def _lost(proxy: Proxy, words: int) -> bool:
    return proxy.lost_words >= words


async def _lost_commit(field: Field) -> None:
    """The connection breaks at a COMMIT: after the server carried it out, or before it heard of it."""
    node = field.dice.choice(field.nodes)
    proxy, arrives = node.database, field.dice.random() < 0.6
    assert proxy is not None
    with field.told("answer to COMMIT lost" if arrives else "COMMIT lost", node.name) as incident:
        before = proxy.lost_words
        for _ in range(field.dice.choice((1, 1, 3))):
            proxy.lose(b"COMMIT", arrives=arrives)
            await field.until(partial(_lost, proxy, proxy.lost_words + 1), 3.0, 0.01)
        proxy.lose(None)
        lost = proxy.lost_words - before
        incident.detail = f"{lost} times" if lost else "not met"


async def _sessions_ended(field: Field) -> None:
    journal = field.grounds.journal

    def end(conn: Connection) -> int:
        rows = conn.execute(text(_END_SESSIONS[conn.dialect.name])).all()
        if conn.dialect.name == "mysql":
            for (id_,) in rows:
                conn.execute(text(f"KILL {int(id_)}"))
        return len(rows)

    with field.told("database ends every session", "server") as incident:
        incident.detail = f"{await field.thread(lambda: journal.ask(end))} sessions"


async def _restarted(field: Field) -> None:
    server = field.grounds.journal.server
    assert server is not None
    how = field.dice.choice((signal.SIGQUIT, signal.SIGINT))
    pause_s = field.dice.uniform(0.0, 3.0)
    detail = "as a crash" if how is signal.SIGQUIT else "in order"
    await field.server.acquire()
    try:
        with field.told("database server restarted", "server", detail), field.trouble():
            await field.thread(lambda: server.restart(how, pause_s))
    finally:
        field.server.release()


async def _locked(field: Field) -> None:
    seconds = field.dice.uniform(2.0, 6.0)
    with field.told("tables locked by a stranger", "journal") as incident:
        if not field.on_server:
            file = file_of(field.nodes[0])
            with closing(sqlite3.connect(file, isolation_level=None, timeout=9, check_same_thread=False)) as lite:
                try:
                    await field.thread(lambda: lite.execute("BEGIN IMMEDIATE"))
                except sqlite3.OperationalError as error:
                    # Another incident holds it: a daemon that stands still in mid-commit, a copy being made.
                    incident.detail = f"not met: {error}"
                    return
                await field.wait(seconds)
                lite.execute("ROLLBACK")
            return
        try:
            await field.thread(lambda: _hold_tables(field, seconds))
        except OperationalError as error:
            # Somebody ended this session too, or chose it to end a deadlock.
            incident.detail = f"over early: {type(error.orig).__name__}"


def _hold_tables(field: Field, seconds: float) -> None:
    with field.grounds.journal.connection() as conn:
        for statement in _LOCK[conn.dialect.name]:
            conn.exec_driver_sql(statement)
        time.sleep(seconds)
        # The server lets the tables go with the session.
        conn.invalidate()


async def _disk_full(field: Field) -> None:
    """Nothing can be written down, so nothing may leave; with room again it goes on by itself."""
    async with field.one() as node:
        ballast = node.site.state / "ballast"
        with node.excuse(), field.told("disk full", node.name) as incident:
            try:
                await field.thread(lambda: _fill(ballast))
                full_ms = field.clock.now_ms()
                await field.between(6.0, 10.0)
                stopped = node.child.ended() is not None
            finally:
                ballast.unlink(missing_ok=True)
            late = field.executed_since(full_ms + STOPS_MS)
            went_on = await field.until(lambda: node.child.ended() is not None or node.up, 20.0)
            incident.detail = f"{late} taken by the banks later than a second after it, by what room was left"
            incident.detail += "; it had ended" if stopped else "" if went_on else "; not up"
            incident.detail += node.revive()


def _fill(ballast: Path) -> None:
    block = bytes(65_536)
    with ballast.open("wb", buffering=0) as file:
        while block:
            try:
                file.write(block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                block = block[: len(block) // 2]


async def _no_audit(field: Field) -> None:
    """The audit trail cannot be written: no change of state, so no send. People restart what stopped for good."""
    async with field.hands_on(*field.nodes):
        for node in field.nodes:
            await field.rises(node, 20.0)
        with field.told("audit trail fails", "journal") as incident, _excused(field.nodes):
            await field.thread(lambda: _audit(field, True))
            failing_ms = field.clock.now_ms()
            try:
                await field.between(3.0, 6.0)
            finally:
                # Before the trail can be written again: else an order that just failed for it could be refused in that
                # very moment, as a defect, which is right and yet none of what its ERP was to hear.
                for node in field.nodes:
                    if node.child.ended() is None:
                        node.child.kill()
                        incident.lives += 1
                await field.thread(lambda: _audit(field, False))
            written = await field.thread(lambda: _attempts(field, failing_ms + 500, field.clock.now_ms() - 500))
            incident.detail = f"{written} sends written down meanwhile"
            if written:
                incident.wrong = "a send was written down without its line of the audit trail"
            for node in field.nodes:
                node.start()


@contextmanager
def _excused(nodes: list[Node]) -> Iterator[None]:
    if not nodes:
        yield
        return
    with nodes[0].excuse(), _excused(nodes[1:]):
        yield


def _audit(field: Field, fails: bool) -> None:
    if not field.on_server:
        with closing(sqlite3.connect(file_of(field.nodes[0]), isolation_level=None, timeout=20)) as conn:
            for statement in _REFUSE_AUDIT["sqlite"] if fails else (_ALLOW_AUDIT["sqlite"],):
                conn.execute(statement)
        return
    for statement in _REFUSE_AUDIT["postgresql"] if fails else (_ALLOW_AUDIT["postgresql"],):
        field.grounds.journal.ask(partial(Connection.exec_driver_sql, statement=statement))


def _attempts(field: Field, from_ms: int, to_ms: int) -> int:
    query = f"SELECT count(*) FROM attempts WHERE at_ms BETWEEN {from_ms} AND {to_ms}"
    if not field.on_server:
        with closing(sqlite3.connect(file_of(field.nodes[0]), timeout=20)) as conn:
            return int(conn.execute(query).fetchone()[0])
    return field.grounds.journal.ask(lambda conn: int(conn.execute(text(query)).scalar_one()))


def _audit_can_fail(field: Field) -> bool:
    return not field.on_server or "postgresql" in str(field.grounds.journal.url)


def file_of(node: Node) -> Path:
    """Where a node keeps its journal."""
    return node.site.state / "journal.db"


KINDS = (
    Kind("COMMIT lost", "F-05", _lost_commit, _on_server),
    Kind("database ends every session", "F-05", _sessions_ended, _on_server),
    Kind("database server restarted", "F-05", _restarted, lambda field: field.grounds.journal.server is not None),
    Kind("tables locked by a stranger", "F-06", _locked),
    Kind("disk full", "F-03", _disk_full, lambda field: field.grounds.small_disk, long=True),
    Kind("audit trail fails", "F-34", _no_audit, _audit_can_fail, long=True),
)
