"""The journal as the query process has it: it can be read, and every write is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from gateway import log
from gateway.control.guarded_journal import AWAY
from gateway.control.server import Denied
from gateway.journal.commit.store import OnCommit, Unit
from gateway.journal.sql import databases
from gateway.journal.sql.executor import Executor

T = TypeVar("T")
_log = log.get("query.store")


class ReadStore:
    """A Store that reads on `executor`'s threads. A journal out of reach is Denied 503."""

    def __init__(self, engine: Engine, executor: Executor) -> None:
        self._engine = engine
        self._executor = executor

    def write(self, unit: Unit[T], *, sender: str | None = None) -> Deferred[T]:
        """Refused: the daemon alone writes."""
        return fail(Denied(403, "read_only", "this process reads the journal and writes nothing"))

    def read(self, fn: Callable[[Connection], T]) -> Deferred[T]:
        """Run `fn` on a connection that can only read."""
        answer: Deferred[T] = Deferred()

        def look() -> T:
            with self._engine.connect() as conn:
                return fn(conn)

        def then(result: T | Failure) -> None:
            if not isinstance(result, Failure):
                answer.callback(result)
            elif isinstance(result.value, DBAPIError) and databases.is_trouble(result.value):
                _log.error("query.journal_away", error=str(result.value.orig))
                answer.errback(Denied(503, AWAY, "the journal is out of reach; try again in a minute"))
            else:
                answer.errback(result)

        self._executor.run(look, then)
        return answer

    def listen(self, on_commit: OnCommit) -> None:
        """Nothing is committed here."""

    def close(self) -> Deferred[None]:
        """Close the connections."""
        self._engine.dispose()
        return succeed(None)


def nothing(*_arguments: Any) -> Any:
    """What a daemon could do and the query process cannot: Denied 403."""
    raise Denied(403, "read_only", "this process reads the journal and does nothing else")
