"""Frequent statements executed directly on the driver, within SQLAlchemy's transaction.

SQLAlchemy compiles each statement once. Its work around each execution (context, result object, type conversion) would
cost more than the database. Our columns hold only text, integers and bytes, so no conversion is needed. Errors of the
driver are raised as SQLAlchemy's exceptions.

PostgreSQL gets many rows in one statement. psycopg's `executemany` sends them one by one, and the server has no
time-out while it waits for the next row: a node that is suspended or loses power there would keep its locks and block
all other nodes. For the same reason statements are limited to about MOST_BYTES.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Executable, Integer, LargeBinary, Select, exc
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from gateway.kernel.sql.progress import KEY as PROGRESS

MOST_BYTES = 65_536
"""The approximate limit of values in one statement of many rows; a single row may be larger."""
MOST_ROWS = 200
"""Drivers other than PostgreSQL's get this many rows in one call, so that the writer's progress is seen between
calls."""
_KINDS = (
    exc.InterfaceError,
    exc.IntegrityError,
    exc.OperationalError,
    exc.DataError,
    exc.InternalError,
    exc.ProgrammingError,
    exc.NotSupportedError,
    exc.DatabaseError,
)
_KIND_OF = {kind.__name__: kind for kind in _KINDS}


@dataclass(frozen=True, slots=True)
class _Written:
    """A statement for a driver: its text, the function that puts its parameters in order (None for a driver with named
    parameters), its constants, and the constructor of a SELECT's rows.
    """

    text: str
    ordered: Callable[[Mapping[str, Any]], tuple[Any, ...]] | None
    constants: dict[str, Any]
    shape: Callable[[Sequence[Any]], Any]

    def bind(self, values: Mapping[str, Any]) -> Any:
        """The parameters in the driver's form."""
        if self.constants:
            values = {**self.constants, **values}
        if self.ordered is None:
            return dict(values)
        return self.ordered(values)


def write_many(conn: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> int:
    """Run an INSERT, UPDATE or DELETE once for each of `rows`, which all have the same keys.

    Returns how many rows were changed. Each statement object is compiled once and cached, so callers keep theirs in a
    module constant. Raises DBAPIError, as all functions here do.
    """
    if not rows:
        return 0
    speech, keys = _speech(conn.dialect), tuple(rows[0])
    written = _written(statement, speech, keys)
    if len(rows) == 1:
        return _run(conn, written, written.bind(rows[0]))
    if speech.driver == "psycopg":
        together, touched = _together(statement, speech, keys), 0
        for piece in _pieces(rows, keys):
            columns = {key: [row[key] for row in piece] for key in keys}
            touched += _run(conn, together, {**written.constants, **columns}, prepare=False)
        return touched
    calls = (rows[n : n + MOST_ROWS] for n in range(0, len(rows), MOST_ROWS))
    return sum(_run(conn, written, [written.bind(row) for row in call], many=True) for call in calls)


def run_write(conn: Connection, statement: Executable, values: Mapping[str, Any]) -> int:
    """Run an INSERT, UPDATE or DELETE; returns how many rows it changed."""
    written = _written(statement, _speech(conn.dialect), tuple(values))
    return _run(conn, written, written.bind(values))


def first_row(conn: Connection, statement: Select[Any], values: Mapping[str, Any]) -> Any | None:
    """The first row of a SELECT, as a named tuple of the driver's values; None if there is none."""
    written, found = _select(conn, statement, values, lambda cursor: cursor.fetchone())
    return None if found is None else written.shape(found)


def rows(conn: Connection, statement: Select[Any], values: Mapping[str, Any]) -> list[Any]:
    """All rows of a SELECT, named tuples as in `first_row`."""
    written, found = _select(conn, statement, values, lambda cursor: cursor.fetchall())
    return [written.shape(one) for one in found]


def say(conn: Connection, text: str) -> None:
    """Run this SQL text on the driver unchanged, inside or outside a transaction."""
    cursor = conn.connection.cursor()
    try:
        cursor.execute(text)
    except conn.dialect.loaded_dbapi.Error as error:
        raise _translated(conn, text, error) from error
    finally:
        cursor.close()


def _select(
    conn: Connection, statement: Select[Any], values: Mapping[str, Any], fetch: Callable[[Any], Any]
) -> tuple[_Written, Any]:
    written = _written(statement, _speech(conn.dialect), tuple(values))
    cursor = _cursor(conn)
    try:
        cursor.execute(written.text, written.bind(values))
        return written, fetch(cursor)
    except conn.dialect.loaded_dbapi.Error as error:
        raise _translated(conn, written.text, error) from error
    finally:
        cursor.close()


def _run(conn: Connection, written: _Written, bound: Any, *, many: bool = False, prepare: bool = True) -> int:
    cursor = _cursor(conn)
    try:
        if many:
            cursor.executemany(written.text, bound)
        elif prepare:
            cursor.execute(written.text, bound)
        else:
            cursor.execute(written.text, bound, prepare=False)
        return int(cursor.rowcount)
    except conn.dialect.loaded_dbapi.Error as error:
        raise _translated(conn, written.text, error) from error
    finally:
        cursor.close()


def _cursor(conn: Connection) -> Any:
    if not conn.in_transaction():
        conn.begin()  # as SQLAlchemy does at the first statement
    held: Any = conn.connection
    progress = held.info.get(PROGRESS)
    if progress is not None:
        progress.statements += 1
    return held.dbapi_connection.cursor()  # as the pool's own `cursor` does


def _translated(conn: Connection, text: str, error: Any) -> exc.DBAPIError:
    """The driver's exception as SQLAlchemy's exception. Invalidates a lost connection."""
    kinds = (_KIND_OF[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _KIND_OF)
    gone = conn.dialect.is_disconnect(error, conn.connection, None)
    if gone:
        conn.invalidate(error)
    return next(kinds, exc.DBAPIError)(text, None, error, hide_parameters=True, connection_invalidated=gone)


# Each statement has its own row type.
_row_type: Any = namedtuple  # noqa: PYI024
_SPOKEN: dict[tuple[object, ...], Dialect] = {}


@lru_cache(maxsize=64)
def _speech(dialect: Dialect) -> Dialect:
    """The dialect object of all engines of one server and driver, so that they share the cache of statements."""
    return _SPOKEN.setdefault((dialect.name, dialect.driver, dialect.server_version_info), dialect)


def _compiled(statement: Executable, dialect: Dialect, keys: tuple[str, ...]) -> Any:
    # Every statement is both executable and compilable, which are two types in SQLAlchemy.
    return statement.compile(dialect=dialect, column_keys=list(keys))  # type: ignore[attr-defined]


@lru_cache(maxsize=256)
def _written(statement: Executable, dialect: Dialect, keys: tuple[str, ...]) -> _Written:
    compiled = _compiled(statement, dialect, keys)
    constants = {name: value for name, value in compiled.params.items() if name not in keys}
    missing = [name for name, value in constants.items() if value is None]
    assert not missing, f"rows without {', '.join(missing)}"
    ordered = _ordered(compiled.positiontup) if compiled.positional else None
    columns = statement.selected_columns.keys() if isinstance(statement, Select) else ()
    return _Written(compiled.string, ordered, constants, _row_type("Found", columns)._make)


def _ordered(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """A function that reads these names out of a mapping, in this order."""
    if len(names) < 2:
        return lambda values: tuple([values[name] for name in names])
    return itemgetter(*names)  # itemgetter returns the value itself, not a tuple, for one name


@lru_cache(maxsize=64)
def _together(statement: Executable, dialect: Dialect, keys: tuple[str, ...]) -> _Written:
    """The statement for PostgreSQL with one array per key. It runs for all rows of `given` at once.

    It is planned at each execution, with the present number of rows and table size.
    """
    compiled = _compiled(statement, dialect, keys)
    arrays = ", ".join(f"%({key})s::{_array(compiled.binds[key].type)}" for key in keys)
    names = ", ".join(f'"{key}"' for key in keys)
    given = f"unnest({arrays}) AS given({names})"
    text = _PLACE.sub(lambda found: f'given."{found[1]}"' if found[1] in keys else found[0], compiled.string)
    if text.startswith("INSERT"):
        into, _, values = text.partition(" VALUES (")
        values, _, rest = values.partition(")")
        text = f"{into} SELECT {values} FROM {given}{rest}"
    else:
        change, where, condition = text.partition(" WHERE ")
        text = f"{change} {'USING' if text.startswith('DELETE') else 'FROM'} {given}{where}{condition}"
    return _Written(text, None, {}, tuple)


def _pieces(rows: Sequence[Mapping[str, Any]], keys: tuple[str, ...]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """The rows in order, split into groups of at most MOST_BYTES."""
    long = [key for key in keys if not isinstance(rows[0][key], int)]
    start = size = 0
    for n, row in enumerate(rows):
        more = 8 * len(keys) + sum([_size(row[key]) for key in long])
        if n > start and size + more > MOST_BYTES:
            yield rows[start:n]
            start, size = n, 0
        size += more
    yield rows[start:]


def _size(value: Any) -> int:
    """The approximate size of a value in a statement, where bytes are written as hexadecimal digits."""
    if isinstance(value, str):
        return len(value) if value.isascii() else 3 * len(value)
    return 2 * len(value) if isinstance(value, bytes) else 0


_PLACE = re.compile(r"%\((\w+)\)s(?:::\w+)?")


def _array(kind: Any) -> str:
    # Never a bounded type: a cast to one truncates, where an assignment would refuse.
    if isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    return "bytea[]" if isinstance(kind, LargeBinary) else "bigint[]" if isinstance(kind, Integer) else "text[]"
