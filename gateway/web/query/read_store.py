"""The journal in the query process: it can be read, and every write is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from gateway.call import Denied
from gateway.guarded_journal import AWAY
from gateway.kernel import log
from gateway.kernel.commit.store import OnCommit, Unit
from gateway.kernel.sql import databases
from gateway.kernel.sql.executor import Executor

T = TypeVar("T")
_log = log.get("query.store")


class ReadStore:
    """A Store that reads on `executor`'s threads. Raises Denied 503 when the journal cannot be reached."""

    def __init__(self, engine: Engine, executor: Executor) -> None:
        self._engine = engine
        self._executor = executor

    def write(self, unit: Unit[T], *, sender: str | None = None) -> Deferred[T]:
        """Refuse: only the daemon writes."""
        return fail(Denied(403, "read_only", "this process cannot write to the journal"))

    def read(self, fn: Callable[[Connection], T]) -> Deferred[T]:
        """Run `fn` on a connection that can only read."""
        answer: Deferred[T] = Deferred()

        def run_reading() -> T:
            with self._engine.connect() as conn:
                try:
                    return fn(conn)
                except BaseException:
                    databases.discard(conn)
                    raise

        def then(result: T | Failure) -> None:
            if not isinstance(result, Failure):
                answer.callback(result)
            elif isinstance(result.value, DBAPIError) and databases.is_trouble(result.value):
                _log.error(
                    "query.journal_away",
                    error=str(result.value.orig),
                    action="the console shows no data until the journal answers; check the database",
                )
                answer.errback(Denied(503, AWAY, "the journal cannot be reached; try again in a minute"))
            else:
                answer.errback(result)

        self._executor.run(run_reading, then)
        return answer

    def listen(self, on_commit: OnCommit) -> None:
        """Does nothing, because nothing is committed here."""

    def close(self) -> Deferred[None]:
        """Close the connections."""
        self._engine.dispose()
        return succeed(None)


def nothing(*_arguments: Any) -> Any:
    """Refuse an action that only the daemon can do. Raises Denied 403."""
    raise Denied(403, "read_only", "this process can only read the journal")
