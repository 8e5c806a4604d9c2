"""Faults of the journal's database: lost COMMIT answers, locks, restarts, a full disk, a failing audit insert."""

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

from faults.kinds import Kind
from faults.proxy import Proxy
from faults.running_system import RunningSystem
from faults.site import Node

STOPS_MS = 1_000
"""How soon nothing may leave any more after writing has become impossible."""
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


def _on_server(system: RunningSystem) -> bool:
    return system.on_server


def _lost(proxy: Proxy, words: int) -> bool:
    return proxy.lost_words >= words


async def _lost_commit(system: RunningSystem) -> None:
    """Break the connection at a COMMIT: after the server executed it, or before the server got it."""
    node = system.dice.choice(system.nodes)
    proxy, arrives = node.database, system.dice.random() < 0.6
    assert proxy is not None
    with system.told("answer to COMMIT lost" if arrives else "COMMIT lost", node.name) as incident:
        before = proxy.lost_words
        for _ in range(system.dice.choice((1, 1, 3))):
            proxy.lose(b"COMMIT", arrives=arrives)
            await system.until(partial(_lost, proxy, proxy.lost_words + 1), 3.0, 0.01)
        proxy.lose(None)
        lost = proxy.lost_words - before
        incident.detail = f"{lost} times" if lost else "not met"


async def _sessions_ended(system: RunningSystem) -> None:
    journal = system.grounds.journal

    def end(conn: Connection) -> int:
        rows = conn.execute(text(_END_SESSIONS[conn.dialect.name])).all()
        if conn.dialect.name == "mysql":
            for (id_,) in rows:
                conn.execute(text(f"KILL {int(id_)}"))
        return len(rows)

    with system.told("database ends every session", "server") as incident:
        incident.detail = f"{await system.thread(lambda: journal.ask(end))} sessions"


async def _restarted(system: RunningSystem) -> None:
    server = system.grounds.journal.server
    assert server is not None
    how = system.dice.choice((signal.SIGQUIT, signal.SIGINT))
    pause_s = system.dice.uniform(0.0, 3.0)
    detail = "as a crash" if how is signal.SIGQUIT else "in order"
    await system.server.acquire()
    try:
        with system.told("database server restarted", "server", detail), system.trouble():
            await system.thread(lambda: server.restart(how, pause_s))
    finally:
        system.server.release()


async def _locked(system: RunningSystem) -> None:
    seconds = system.dice.uniform(2.0, 6.0)
    with system.told("tables locked by a stranger", "journal") as incident:
        if not system.on_server:
            file = file_of(system.nodes[0])
            with closing(sqlite3.connect(file, isolation_level=None, timeout=9, check_same_thread=False)) as lite:
                try:
                    await system.thread(lambda: lite.execute("BEGIN IMMEDIATE"))
                except sqlite3.OperationalError as error:
                    # Another incident holds it: a daemon suspended in mid-commit, or a copy in progress.
                    incident.detail = f"not met: {error}"
                    return
                await system.wait(seconds)
                lite.execute("ROLLBACK")
            return
        try:
            await system.thread(lambda: _hold_tables(system, seconds))
        except OperationalError as error:
            # This session was ended too, or was chosen as the victim of a deadlock.
            incident.detail = f"over early: {type(error.orig).__name__}"


def _hold_tables(system: RunningSystem, seconds: float) -> None:
    with system.grounds.journal.connection() as conn:
        for statement in _LOCK[conn.dialect.name]:
            conn.exec_driver_sql(statement)
        time.sleep(seconds)
        # The server lets the tables go with the session.
        conn.invalidate()


async def _disk_full(system: RunningSystem) -> None:
    """Let no write succeed, so that nothing may be sent. With room again the daemon must go on by itself."""
    async with system.one() as node:
        ballast = node.site.state / "ballast"
        with node.excuse(), system.told("disk full", node.name) as incident:
            try:
                await system.thread(lambda: _fill(ballast))
                full_ms = system.clock.now_ms()
                await system.between(6.0, 10.0)
                stopped = node.child.ended() is not None
            finally:
                ballast.unlink(missing_ok=True)
            late = system.executed_since(full_ms + STOPS_MS)
            went_on = await system.until(lambda: node.child.ended() is not None or node.up, 20.0)
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


async def _no_audit(system: RunningSystem) -> None:
    """Let the audit trail fail, so that there is no change of state and no send. Persons restart a daemon that stopped
    for good."""
    async with system.hands_on(*system.nodes):
        for node in system.nodes:
            await system.rises(node, 20.0)
        with system.told("audit trail fails", "journal") as incident, _excused(system.nodes):
            await system.thread(lambda: _audit(system, True))
            failing_ms = system.clock.now_ms()
            try:
                await system.between(3.0, 6.0)
            finally:
                # Before the trail can be written again: otherwise an order that just failed could be refused in that
                # moment as a defect, which is right, but not what its ERP was to be told.
                for node in system.nodes:
                    if node.child.ended() is None:
                        node.child.kill()
                        incident.lives += 1
                await system.thread(lambda: _audit(system, False))
            written = await system.thread(lambda: _attempts(system, failing_ms + 500, system.clock.now_ms() - 500))
            incident.detail = f"{written} sends written down meanwhile"
            if written:
                incident.wrong = "a send was written down without its line of the audit trail"
            for node in system.nodes:
                node.start()


@contextmanager
def _excused(nodes: list[Node]) -> Iterator[None]:
    if not nodes:
        yield
        return
    with nodes[0].excuse(), _excused(nodes[1:]):
        yield


def _audit(system: RunningSystem, fails: bool) -> None:
    if not system.on_server:
        with closing(sqlite3.connect(file_of(system.nodes[0]), isolation_level=None, timeout=20)) as conn:
            for statement in _REFUSE_AUDIT["sqlite"] if fails else (_ALLOW_AUDIT["sqlite"],):
                conn.execute(statement)
        return
    for statement in _REFUSE_AUDIT["postgresql"] if fails else (_ALLOW_AUDIT["postgresql"],):
        system.grounds.journal.ask(partial(Connection.exec_driver_sql, statement=statement))


def _attempts(system: RunningSystem, from_ms: int, to_ms: int) -> int:
    query = f"SELECT count(*) FROM attempts WHERE at_ms BETWEEN {from_ms} AND {to_ms}"
    if not system.on_server:
        with closing(sqlite3.connect(file_of(system.nodes[0]), timeout=20)) as conn:
            return int(conn.execute(query).fetchone()[0])
    return system.grounds.journal.ask(lambda conn: int(conn.execute(text(query)).scalar_one()))


def _audit_can_fail(system: RunningSystem) -> bool:
    return not system.on_server or "postgresql" in str(system.grounds.journal.url)


def file_of(node: Node) -> Path:
    """The file of a node's SQLite journal."""
    return node.site.state / "journal.db"


KINDS = (
    Kind("COMMIT lost", "F-05", _lost_commit, _on_server),
    Kind("database ends every session", "F-05", _sessions_ended, _on_server),
    Kind("database server restarted", "F-05", _restarted, lambda system: system.grounds.journal.server is not None),
    Kind("tables locked by a stranger", "F-06", _locked),
    Kind("disk full", "F-03", _disk_full, lambda system: system.grounds.small_disk, long=True),
    Kind("audit trail fails", "F-34", _no_audit, _audit_can_fail, long=True),
)
