"""Opening the four supported databases, classifying their errors, and the statements in which their SQL differs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Executable,
    Insert,
    Table,
    bindparam,
    create_engine,
    event,
    exists,
    func,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.pool import QueuePool, StaticPool

from gateway.kernel.sql.driver import run_write, say, write_many

BUSY_TIMEOUT_MS = 10_000
# About the length of a lane's lease, because a writer that was suspended in a transaction must not lock rows for
# longer.
IDLE_IN_TRANSACTION_S = 15
# Not every session that holds our rows is ended by that limit, so the writer does not wait longer than this.
LOCK_WAIT_S = 5
# Used when a unit of the group has waited already. MySQL and MariaDB count whole seconds.
SHORT_LOCK_WAIT_MS, SHORT_LOCK_WAIT_S = 250, 1
# MySQL and MariaDB: six heartbeats of an idle node.
STILL_S = 30
_KEEPALIVES = {"keepalives_idle": 5, "keepalives_interval": 5, "keepalives_count": 2}
_OPTIONS = {
    "keepalives_idle": socket.TCP_KEEPIDLE,
    "keepalives_interval": socket.TCP_KEEPINTVL,
    "keepalives_count": socket.TCP_KEEPCNT,
}
# If sent bytes are not acknowledged for this long, the server's machine is gone.
_UNTAKEN_MS = 10_000
# The first limits the wait for row locks, the second that for table locks.
_MYSQL_LOCK_WAIT = "SET SESSION innodb_lock_wait_timeout = {0}, lock_wait_timeout = {0}"
_SHORTLY = "bankgw.waits_shortly"
_UNKNOWN_VARIABLE = 1193
# A session ended for idling in a transaction; a read-only transaction, as on a standby not yet promoted.
_LOST_SQLSTATES = frozenset({"25P03", "25006"})
# Deadlock, serialisation failure, lock time-out: the same unit succeeds when it is run alone.
_TRANSIENT_SQLSTATES = frozenset({"40001", "40P01", "55P03"})
_TRANSIENT_MYSQL = frozenset({1205, 1213})
_LOCKED = frozenset({"55P03", 1205})
# SQLite primary result codes: PERM, BUSY, LOCKED, NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB.
_TROUBLE_SQLITE = frozenset({3, 5, 6, 7, 8, 10, 11, 13, 14, 15, 26})
# Connection, resources, operator's intervention, system and internal errors.
_TROUBLE_SQLSTATES = frozenset({"08", "53", "57", "58", "XX"})
# Disk or table full, write or engine error, too many connections, not ready, shutting down, read-only, killed or
# timed out by an operator.
_TROUBLE_MYSQL = frozenset({1021, 1026, 1030, 1040, 1047, 1053, 1077, 1114, 1290, 1317, 1792, 1836, 1927, 1969, 3024})


def is_memory(url: str) -> bool:
    """True for a SQLite database in memory, which only one connection can see."""
    parsed = make_url(url)
    return parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:")


def connect(url: str, *, connections: int, writing: bool, patient: bool = False) -> Engine:
    """Make an engine of at most `connections` connections. It connects when it is first used.

    Server databases use READ COMMITTED, so that a compare-and-set sees other nodes' latest commits; SQLite uses a
    write-ahead log and syncs it at each commit. A writer waits up to LOCK_WAIT_S for locks; a `patient` one, for schema
    changes, as long as the server allows.
    """
    backend = make_url(url).get_backend_name()
    if backend == "sqlite":
        return _sqlite(url, connections, writing)
    extra: dict[str, Any] = {"connect_timeout": 10}
    if backend in ("mysql", "mariadb"):
        extra["charset"] = "utf8mb4"
    elif backend == "postgresql":
        extra.update(_KEEPALIVES, tcp_user_timeout=_UNTAKEN_MS)
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=not writing,
        isolation_level="READ COMMITTED",
        connect_args=extra,
        hide_parameters=True,
    )
    let_go = _let_go_postgresql if backend == "postgresql" else _let_go_mysql
    event.listen(engine, "connect", let_go(engine, bounded=writing and not patient))
    return engine


def _let_go_postgresql(_engine: Engine, *, bounded: bool) -> Callable[[Any, Any], None]:
    def on_connect(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s'")
            if bounded:
                # Disable the server's statement time-out, so that a statement waiting for a lock reports the lock.
                cursor.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'; SET statement_timeout = 0")
            # The server must notice soon that our machine is gone; by default that takes two hours.
            for word, value in _KEEPALIVES.items():
                cursor.execute(f"SET tcp_{word} = {value}")
            # The same while data that we have sent is not acknowledged.
            cursor.execute(f"SET tcp_user_timeout = {IDLE_IN_TRANSACTION_S * 1000}")
        connection.commit()

    return on_connect


def _let_go_mysql(engine: Engine, *, bounded: bool) -> Callable[[Any, Any], None]:
    driver: Any = engine.dialect.dbapi

    def on_connect(connection: Any, _record: Any) -> None:
        _watch_line(connection)
        if bounded:
            with connection.cursor() as cursor:
                cursor.execute(_MYSQL_LOCK_WAIT.format(LOCK_WAIT_S))
                # The writer sends something every few seconds; a session that does not is suspended.
                cursor.execute(f"SET SESSION wait_timeout = {STILL_S}, net_write_timeout = {IDLE_IN_TRANSACTION_S}")
        unlimited = ", max_statement_time = 0" if bounded else ""
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET SESSION idle_transaction_timeout = {IDLE_IN_TRANSACTION_S}{unlimited}")
        except driver.Error as error:
            # MySQL has no such limits, only one for idle sessions.
            if _UNKNOWN_VARIABLE not in error.args:
                raise

    return on_connect


def _watch_line(connection: Any) -> None:
    """Set TCP options that detect a dead server machine; PyMySQL has no setting for them and would wait."""
    line = getattr(connection, "_sock", None)
    if not isinstance(line, socket.socket) or line.family not in (socket.AF_INET, socket.AF_INET6):
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for word, value in _KEEPALIVES.items():
        line.setsockopt(socket.IPPROTO_TCP, _OPTIONS[word], value)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN_MS)


def _sqlite(url: str, connections: int, writing: bool) -> Engine:
    if is_memory(url):
        engine = create_engine(
            url, poolclass=StaticPool, hide_parameters=True, connect_args={"check_same_thread": False}
        )
    else:
        engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
            connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
        )
    event.listen(engine, "connect", _pragmas(read_only=not writing and not is_memory(url)))
    event.listen(engine, "begin", lambda conn: say(conn, "BEGIN IMMEDIATE" if writing else "BEGIN"))
    return engine


def discard(conn: Connection) -> None:
    """Close a reading connection after an error. The error's traceback may hold an open cursor, and SQLite would keep
    the old snapshot for the next reader, because an open cursor keeps it even over a rollback.
    """
    if not is_memory(str(conn.engine.url)):
        conn.invalidate()
    conn.close()


def _pragmas(*, read_only: bool) -> Callable[[Any, Any], None]:
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin with the event above, not where sqlite3 guesses
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        if read_only:
            cursor.execute("PRAGMA query_only=ON")
        else:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return on_connect


def wait_for_locks(conn: Connection, *, shortly: bool) -> None:
    """Set how long this transaction waits for locks: briefly, or up to LOCK_WAIT_S. SQLite has no such locks."""
    if conn.dialect.name == "postgresql":
        if shortly:
            conn.exec_driver_sql(f"SET LOCAL lock_timeout = '{SHORT_LOCK_WAIT_MS}ms'")
    elif conn.dialect.name != "sqlite" and conn.info.get(_SHORTLY, False) is not shortly:
        wait_s = SHORT_LOCK_WAIT_S if shortly else LOCK_WAIT_S
        conn.exec_driver_sql(_MYSQL_LOCK_WAIT.format(wait_s))
        conn.info[_SHORTLY] = shortly


def is_transient(error: BaseException) -> bool:
    """True if the same unit may succeed when run again at once, because another node was in conflict."""
    if isinstance(error, IntegrityError):
        return True  # two nodes inserted the same key: run again, the unit now sees the other's row
    if not isinstance(error, DBAPIError):
        return False
    return _sqlstate(error) in _TRANSIENT_SQLSTATES or _number(error) in _TRANSIENT_MYSQL


def is_locked(error: BaseException | None) -> bool:
    """True if another session still held a lock when the lock wait ended."""
    return isinstance(error, DBAPIError) and (_sqlstate(error) in _LOCKED or _number(error) in _LOCKED)


def is_trouble(error: BaseException) -> bool:
    """True if the database itself fails (it is gone, full or locked), whatever the unit did."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _TROUBLE_SQLITE
    state, number = _sqlstate(error), _number(error)
    if state is not None and (state[:2] in _TROUBLE_SQLSTATES or state in _LOST_SQLSTATES):
        return True
    # MySQL's drivers give an SQLSTATE too, but most errors share HY000.
    if isinstance(number, int):
        return number in _TROUBLE_MYSQL or 2000 <= number < 3000
    return state is None and isinstance(error, OperationalError)


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _number(error: DBAPIError) -> object:
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments else None


def insert_new(conn: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Insert `row` unless its primary key (or, for payments, its identity) exists; True if it was new."""
    return run_write(conn, _insert_new(table, conn.dialect.name, tuple(row)), row) == 1


@lru_cache(maxsize=128)
def _insert_new(table: Table, dialect: str, names: tuple[str, ...]) -> Executable:
    return _insert_unless_there(table, dialect, names)


def _insert_unless_there(table: Table, dialect: str, names: tuple[str, ...]) -> Insert:
    key = identity(table)
    if dialect == "sqlite":
        return sqlite.insert(table).inline().on_conflict_do_nothing(index_elements=key)
    if dialect == "postgresql":
        # Each dialect is loaded only where its database is used: together they take four megabytes of memory.
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table).inline().on_conflict_do_nothing(index_elements=key)
    # MySQL's INSERT IGNORE would also hide other errors, and its ON DUPLICATE KEY does not tell what it did.
    values = [bindparam(name, type_=table.c[name].type).label(name) for name in names]
    there = exists(select(literal(1)).select_from(table).where(*[column == bindparam(column.key) for column in key]))
    return insert(table).from_select(list(names), select(*values).where(~there))


def identity(table: Table) -> Sequence[Column[Any]]:
    """The columns that identify a row: the primary key, or a payment's identity."""
    if table.name == "payments":
        return (table.c.sender, table.c.order_id)
    return tuple(table.primary_key.columns)


def upsert(conn: Connection, table: Table, rows: list[dict[str, Any]], *, add: tuple[str, ...] = ()) -> None:
    """Insert `rows`; where the primary key exists, add to the columns of `add` and overwrite the others."""
    if rows:
        write_many(conn, _upsert(table, conn.dialect.name, add), rows)


@lru_cache(maxsize=128)
def _upsert(table: Table, dialect: str, add: tuple[str, ...]) -> Executable:
    others = [column for column in table.columns if not column.primary_key]
    if dialect in ("sqlite", "postgresql"):
        statement: Any = sqlite.insert(table)
        if dialect == "postgresql":
            from sqlalchemy.dialects import postgresql

            statement = postgresql.insert(table)
        fresh = {c.key: c + statement.excluded[c.key] if c.key in add else statement.excluded[c.key] for c in others}
        changed: Insert = statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=fresh)
        return changed
    if dialect == "oracle":
        from gateway.kernel.sql.oracle import merge

        return merge(table, add)
    from sqlalchemy.dialects import mysql

    mine = mysql.insert(table)
    news = {c.key: c + mine.inserted[c.key] if c.key in add else mine.inserted[c.key] for c in others}
    return mine.on_duplicate_key_update(news)


def count(conn: Connection, table: Table) -> int:
    """The number of rows of the table."""
    return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


def incarnation(conn: Connection) -> str:
    """An identifier of the database server and of its last promotion from a replica; "" where there is no server."""
    if conn.dialect.name == "postgresql":
        return str(conn.execute(text("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)")).scalar_one())
    if conn.dialect.name in ("mysql", "mariadb"):
        return str(conn.execute(text("SELECT CONCAT(@@server_id, '/', @@hostname, '/', @@port)")).scalar_one())
    return ""
