"""Busy statements straight to the driver, within the transaction that SQLAlchemy keeps.

SQLAlchemy writes each statement, once; what it would do around each execution (a context, a result with its own
rows, a dozen calls for a value that the driver takes as it is) costs more than the database. Our columns hold text,
whole numbers and bytes, nothing else. What the driver raises comes out as SQLAlchemy's own exceptions all the same.

PostgreSQL gets many rows as one statement. psycopg's `executemany` sends them one by one, and while the server waits
for the next it counts no time: a node that is stopped there, or loses its power, would keep its locks, and all other
nodes from working, for as long as it stands still. For the same reason no statement is so big that it leaves in many
pieces.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Executable, Integer, LargeBinary, Select, exc
from sqlalchemy.engine import Dialect

MOST_BYTES = 65_536
"""The values of one statement of many rows, about; a single row may have more."""
_KINDS = (
    exc.InterfaceError, exc.IntegrityError, exc.OperationalError, exc.DataError, exc.InternalError,
    exc.ProgrammingError, exc.NotSupportedError, exc.DatabaseError,
)  # fmt: skip
_KIND_OF = {kind.__name__: kind for kind in _KINDS}


@dataclass(frozen=True, slots=True)
class _Written:
    """A statement for a driver: its text, its parameters' order (None for a driver that takes them by name), its own
    constants, and what makes a row of a SELECT's values."""

    text: str
    names: tuple[str, ...] | None
    constants: dict[str, Any]
    shape: Callable[[Sequence[Any]], Any]

    def bind(self, values: Mapping[str, Any]) -> Any:
        """The parameters as the driver wants them."""
        if self.names is None:
            return {**self.constants, **values}
        if self.constants:
            values = {**self.constants, **values}
        return tuple([values[name] for name in self.names])


def write_many(conn: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> int:
    """Run an INSERT, UPDATE or DELETE once for each of `rows`, which all have the same keys.

    Returns how many rows of the table that touched. Each statement object is written down once and remembered, so
    callers keep theirs in a module's constant. Raises DBAPIError, as all here.
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
    return _run(conn, written, [written.bind(row) for row in rows], many=True)


def write(conn: Connection, statement: Executable, values: Mapping[str, Any]) -> int:
    """Run an INSERT, UPDATE or DELETE; returns how many rows it touched."""
    written = _written(statement, _speech(conn.dialect), tuple(values))
    return _run(conn, written, written.bind(values))


def first_row(conn: Connection, statement: Select[Any], values: Mapping[str, Any]) -> Any | None:
    """The first row of a SELECT, a named tuple of its columns as the driver gives them; None if there is none."""
    written, found = _select(conn, statement, values, lambda cursor: cursor.fetchone())
    return None if found is None else written.shape(found)


def rows(conn: Connection, statement: Select[Any], values: Mapping[str, Any]) -> list[Any]:
    """All rows of a SELECT, named tuples as in `first_row`."""
    written, found = _select(conn, statement, values, lambda cursor: cursor.fetchall())
    return [written.shape(one) for one in found]


def say(conn: Connection, text: str) -> None:
    """Have the driver run this text as it stands, in or out of a transaction."""
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


def _run(conn: Connection, written: _Written, bound: Any, *, many: bool = False, **words: Any) -> int:
    cursor = _cursor(conn)
    try:
        (cursor.executemany if many else cursor.execute)(written.text, bound, **words)
        return int(cursor.rowcount)
    except conn.dialect.loaded_dbapi.Error as error:
        raise _translated(conn, written.text, error) from error
    finally:
        cursor.close()


def _cursor(conn: Connection) -> Any:
    if not conn.in_transaction():
        conn.begin()  # as SQLAlchemy does at the first statement
    return conn.connection.cursor()


def _translated(conn: Connection, text: str, error: Any) -> exc.DBAPIError:
    """The driver's exception as SQLAlchemy raises it. A connection that is gone is not used again."""
    kinds = (_KIND_OF[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _KIND_OF)
    gone = conn.dialect.is_disconnect(error, conn.connection, None)
    if gone:
        conn.invalidate(error)
    return next(kinds, exc.DBAPIError)(text, None, error, hide_parameters=True, connection_invalidated=gone)


# Each statement has a type of its own for its rows.
_row_type: Any = namedtuple  # noqa: PYI024
_SPOKEN: dict[tuple[object, ...], Dialect] = {}


@lru_cache(maxsize=64)
def _speech(dialect: Dialect) -> Dialect:
    """The first dialect that speaks to such a server through such a driver: engines have one each, all alike."""
    return _SPOKEN.setdefault((dialect.name, dialect.driver, dialect.server_version_info), dialect)


def _compiled(statement: Executable, dialect: Dialect, keys: tuple[str, ...]) -> Any:
    # What can be executed and what can be compiled are two types of SQLAlchemy's, of which every statement is both.
    return statement.compile(dialect=dialect, column_keys=list(keys))  # type: ignore[attr-defined]


@lru_cache(maxsize=256)
def _written(statement: Executable, dialect: Dialect, keys: tuple[str, ...]) -> _Written:
    compiled = _compiled(statement, dialect, keys)
    constants = {name: value for name, value in compiled.params.items() if name not in keys}
    missing = [name for name, value in constants.items() if value is None]
    assert not missing, f"rows without {', '.join(missing)}"
    names = tuple(compiled.positiontup) if compiled.positional else None
    columns = statement.selected_columns.keys() if isinstance(statement, Select) else ()
    return _Written(compiled.string, names, constants, _row_type("Found", columns)._make)


@lru_cache(maxsize=64)
def _together(statement: Executable, dialect: Dialect, keys: tuple[str, ...]) -> _Written:
    """The statement for PostgreSQL with an array for each key: what it does for one row it does for each of `given`.

    It is planned anew each time: the number of rows, and the size of the table, are those of the moment.
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
    """The rows in their order, as many together as MOST_BYTES allow."""
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
    """About how many bytes of a statement: bytes are written there as hexadecimal digits."""
    if isinstance(value, str):
        return len(value) if value.isascii() else 3 * len(value)
    return 2 * len(value) if isinstance(value, bytes) else 0


_PLACE = re.compile(r"%\((\w+)\)s(?:::\w+)?")


def _array(kind: Any) -> str:
    # Never of a bounded type: a cast to one cuts what is too long, where an assignment refuses it.
    return "bytea[]" if isinstance(kind, LargeBinary) else "bigint[]" if isinstance(kind, Integer) else "text[]"
