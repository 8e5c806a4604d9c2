"""Which process or session holds the lock for which the journal's writer waits. Asked only while the journal makes no
progress.

SQLite: the kernel is asked for the holder of the file's lock. A child process asks, because a process that opens and
closes a database file loses its own locks on it. PostgreSQL: the server is asked which session blocks ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.kernel.sql import databases

ASKED_S = 3.0
_ASK = """
import fcntl, os, struct, sys
FORM, WRITE, READ = "hhqqi4x", fcntl.F_WRLCK, fcntl.F_RDLCK
def holder(path, kind, start, length):
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return 0
    asked = struct.pack(FORM, kind, os.SEEK_SET, start, length, 0)
    said = struct.unpack(FORM, fcntl.fcntl(handle, fcntl.F_GETLK, asked))
    return 0 if said[0] == fcntl.F_UNLCK else said[4]
print(holder(sys.argv[1] + "-shm", WRITE, 120, 1) or holder(sys.argv[1], READ, 0x40000000, 512))
"""
"""The byte of SQLite's write lock in the -shm file of a write-ahead log; else the bytes of an exclusive lock."""
_BLOCKING_OF_POSTGRESQL = (
    "SELECT a.pid, a.usename, a.application_name, coalesce(host(a.client_addr), 'the same machine') AS client, "
    "to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since, left(a.query, 60) AS query "
    "FROM pg_stat_activity w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS b(pid) "
    "JOIN pg_stat_activity a ON a.pid = b.pid WHERE w.datname = current_database() AND w.usename = current_user "
    "ORDER BY a.xact_start LIMIT 1"
)


def lock_holder(url: str) -> str:
    """The holder of the lock, as words that follow "is locked by"; "" if nobody else holds it, or if the holder cannot
    be found out.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return "" if databases.is_memory(url) else _of_file(Path(str(parsed.database)))
    return _of_server(url) if parsed.get_backend_name() == "postgresql" else ""


def lock_remedy(holder: str) -> str:
    """The remedy: how to end the holder's transaction."""
    if holder.startswith("session"):
        return (
            "end that session's transaction, or the session: SELECT pg_terminate_backend(pid); the gateway goes on by "
            "itself"
        )
    return "end that program's transaction, or the program; the gateway goes on by itself"


def _of_file(database: Path) -> str:
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        asked = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _ASK, str(database)],
            capture_output=True,
            text=True,
            timeout=ASKED_S,
            check=True,
        )
        pid = int(asked.stdout)
        return f"process {pid} ({_command(pid)})" if pid not in (0, os.getpid()) else ""
    return ""


def _command(pid: int) -> str:
    """The command line of a process. If the unit's sandbox hides other users' processes, the command that shows it."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        # Options are left out, because one may be a password.
        shown = [word for word in words if not word.startswith(b"-")]
        return " ".join(b" ".join(shown).decode("utf-8", "replace").split())[:120]
    return f"ps -p {pid} names it"


def _of_server(url: str) -> str:
    engine = databases.connect(url, connections=1, writing=False)
    try:
        with engine.connect() as conn:
            row = conn.execute(text(_BLOCKING_OF_POSTGRESQL)).first()
    except SQLAlchemyError:
        return ""
    finally:
        engine.dispose()
    if row is None:
        return ""
    return (
        f"session {row.pid} of user {row.usename} ({row.application_name or 'no name'}) at {row.client}, in a "
        f"transaction since {row.since} UTC: {row.query}"
    )
