"""Busy statements straight through the driver: many rows with one, and the one row that the door asks for.

SQLAlchemy writes the statement, once; what it would do with each row's values (a dozen calls for a value that the
driver takes as it is) costs more than the database. Our columns hold text, whole numbers and bytes, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Executable, Row
from sqlalchemy.engine import Dialect

_KEEP_COUNT = {"preserve_rowcount": True}


def write_many(conn: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> int:
    """Run an INSERT, UPDATE or DELETE once for each of `rows`, which all have the same keys.

    Returns how many rows of the table that touched. Each statement object is written down once and remembered, so
    callers keep theirs in a module's constant.
    """
    if not rows:
        return 0
    text, names, constants = _written(statement, conn.dialect, tuple(rows[0]))
    values: list[Any]
    if names is None:
        values = [{**constants, **row} for row in rows]
    elif constants:
        values = [tuple([row[name] if name in row else constants[name] for name in names]) for row in rows]
    else:
        values = [tuple([row[name] for name in names]) for row in rows]
    return conn.exec_driver_sql(text, values, _KEEP_COUNT).rowcount


def only_row(conn: Connection, statement: Executable, values: Mapping[str, Any]) -> Row[Any]:
    """The one row of a SELECT, whose columns hold what the driver gives."""
    text, names, constants = _written(statement, conn.dialect, tuple(values))
    bound = {**constants, **values}
    return conn.exec_driver_sql(text, bound if names is None else tuple([bound[name] for name in names])).one()


@lru_cache(maxsize=256)
def _written(
    statement: Executable, dialect: Dialect, keys: tuple[str, ...]
) -> tuple[str, tuple[str, ...] | None, dict[str, Any]]:
    """The statement's text, its parameters' order (None for a driver that takes them by name), its own constants."""
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(keys))  # type: ignore[attr-defined]
    constants = {name: value for name, value in compiled.params.items() if name not in keys}
    missing = [name for name, value in constants.items() if value is None]
    assert not missing, f"rows without {', '.join(missing)}"
    names = tuple(compiled.positiontup) if compiled.positional else None
    return compiled.string, names, constants
