"""Fills a SQLite journal with copies of one settled payment, to the size that it has after years.

Table `payments` and the work of each payment are copied, which is what the daemon looks through as it starts and takes
orders in. The copies bear other keys, so nothing of what is sealed in them opens: nobody asks for it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from gateway.kernel.sql import schema

CHUNK: Final = 200_000
# n * FACTOR modulo a prime: ids that are all different and lie far apart, as an ERP's do in the index.
_SPREAD: Final = "(n * 736338717) % 4294967291"
_DAY_MS: Final = 86_400_000


def fill(file: Path, settled: int, still_open: int, now_ms: int) -> None:
    """Add `settled` payments of the last 400 days, which are watched for returns, and `still_open` pending ones.

    A pending one is asked about in an hour. The journal must have one settled payment, and no process may have it open.
    """
    with closing(sqlite3.connect(file, isolation_level=None)) as conn:
        conn.execute("PRAGMA synchronous = OFF")
        # The newest day is left out, because the day's limits and suspected duplicates are counted from it.
        age_ms = f"{_DAY_MS} + n * {399 * _DAY_MS} / {settled + 1}"
        due_ms = {"settled": ("returns", now_ms + _DAY_MS), "pending": ("enquire", now_ms + 3_600_000)}
        for state, first, last in (("settled", 1, settled), ("pending", settled + 1, settled + still_open)):
            kind, at_ms = due_ms[state]
            _copy(
                conn,
                "payments",
                {
                    "payment": "printf('%026d', n)",
                    "order_id": f"printf('AGED-%010d', {_SPREAD})",
                    "bank_ref": "printf('%020d', n)",
                    "dup_key": f"printf('1:%010d', {_SPREAD})",
                    "accepted_ms": f"{now_ms} - ({age_ms})",
                    "changed_ms": f"{now_ms} - ({age_ms})",
                    "state": f"'{state}'",
                },
                first,
                last,
            )
            _copy(
                conn,
                "work",
                {
                    "payment": "printf('%026d', n)",
                    "kind": f"'{kind}'",
                    "due_ms": f"{at_ms} + n % {_DAY_MS}",
                    "set_ms": f"{now_ms}",
                },
                first,
                last,
            )


def _copy(conn: sqlite3.Connection, table: str, changed: dict[str, str], first: int, last: int) -> None:
    names = [column.name for column in schema.metadata.tables[table].columns]
    chosen = ", ".join(changed.get(name, f't."{name}"') for name in names)
    columns = ", ".join(f'"{name}"' for name in names)
    template = "SELECT * FROM payments WHERE state = 'settled' ORDER BY payment DESC LIMIT 1"
    if table == "work":
        template = "SELECT * FROM work WHERE kind = 'returns' ORDER BY payment DESC LIMIT 1"
    statement = (
        "WITH RECURSIVE c(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM c WHERE n < :last) "
        f"INSERT INTO {table} ({columns}) SELECT {chosen} FROM c, ({template}) t"
    )
    for start in range(first, last + 1, CHUNK):
        conn.execute(statement, {"first": start, "last": min(start + CHUNK - 1, last)})
