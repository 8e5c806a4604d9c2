"""The progress of the writer's present transaction, for the thread that watches the journal.

A batch of 1,000 orders is one transaction of some seconds. The database answers each of its statements, so the journal
is busy and not lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, event

KEY: Final = "bankgw.progress"
"""The key in a connection's `info`, where `driver` finds it."""


@dataclass(slots=True)
class Progress:
    """Counts the writer's work: `transaction` is the number of transactions begun, `statements` the number begun within
    the last of these. The writer's thread changes both.

    A transaction that failed and is tried again counts as another one, because a database that answers reads and
    refuses the write makes no progress, however often the write is tried.
    """

    transaction: int = 0
    statements: int = 0


@dataclass(frozen=True, slots=True)
class WriterState:
    """The watch's view of the writer. `tried_s` is when the writer last began a pause before it tries a failed database
    again (by the monotonic clock), `trouble` why the last read failed ("" if it did not), `reached` the numbers of its
    transaction and of the statements begun in it."""

    tried_s: float = float("-inf")
    trouble: str = ""
    reached: tuple[int, int] = (0, 0)


def attach(engine: Engine, progress: Progress) -> None:
    """Let the engine's connections count their transactions and statements in `progress`."""

    def on_connect(_connection: Any, record: Any) -> None:
        record.info[KEY] = progress

    def on_begin(_conn: Any) -> None:
        progress.transaction += 1
        progress.statements = 0

    def on_statement(*_words: Any) -> None:
        progress.statements += 1

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    event.listen(engine, "before_cursor_execute", on_statement)
