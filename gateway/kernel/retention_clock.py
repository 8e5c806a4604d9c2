"""The time by which the age of rows is judged: a wall clock that is years ahead must not delete yesterday's rows.

Within one run of the daemon this time advances by the monotonic clock. Between two runs it follows the wall clock, by
at most `MOST_DOWN_MS`; table `meta` keeps the last known time, hour by hour. If the wall clock is further ahead, this
time stays behind until a bank's clock agrees with ours. So it may be too early, and rows are kept longer, but it is
never too late.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, func, select

from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import upsert

MOST_DOWN_MS = 31 * 86_400_000
"""A daemon that was down for longer trusts its own clock only after a bank's clock agrees."""
BELIEVED_FROM_MS = 1_735_689_600_000
"""2025-01-01: no gateway ran before. An earlier date comes from a machine whose clock lost its battery."""
_NAME = "retention-clock:"
_M, _U = schema.meta.c, schema.units.c
_log = log.get("journal.retention_clock")


class RetentionClock:
    """Tells the time by which the age of rows is judged. `agrees`: whether the banks' clocks agree with this node's;
    None if no bank told its time.
    """

    def __init__(self, store: Store, clock: Clock, node: str, agrees: Callable[[], bool | None]) -> None:
        self._store = store
        self._clock = clock
        self._node = node
        self._agrees = agrees
        self._known_ms: int | None = None
        self._at_s = 0.0
        self._doubted = False

    async def begin(self) -> None:
        """Read the last recorded time. Must be awaited before this process commits anything."""
        known_ms = await self._store.read(lambda conn: _known_ms(conn, self._node))
        wall_ms, self._at_s = self._clock.now_ms(), self._clock.monotonic_s()
        down_ms = 0 if known_ms is None else wall_ms - known_ms
        self._known_ms = wall_ms if known_ms is None or 0 <= down_ms <= MOST_DOWN_MS else known_ms
        if down_ms > MOST_DOWN_MS:
            _log.warning(
                "retention.clock_ahead",
                days=down_ms // 86_400_000,
                action="the age of rows is judged by the time of the last run until a bank's clock agrees with this "
                "machine's; check this machine's date",
            )

    def now_ms(self) -> int | None:
        """The time by which the age of rows is judged. None while a bank's clock differs from this node's: then nothing
        is deleted.
        """
        agrees, wall_ms = self._agrees(), self._clock.now_ms()
        self._note(agrees is False)
        if agrees is False or self._known_ms is None:
            return None
        if agrees:
            self._known_ms, self._at_s = wall_ms, self._clock.monotonic_s()
        passed_ms = (self._clock.monotonic_s() - self._at_s) * 1000
        return min(wall_ms, self._known_ms + int(passed_ms))

    async def keep(self, now_ms: int) -> None:
        """Record the last known time in the journal, for the next process."""
        await self._store.write(lambda tx: _write(tx, self._node, now_ms))

    def _note(self, doubted: bool) -> None:
        if doubted and not self._doubted:
            _log.warning(
                "retention.clock_doubted",
                action="nothing is deleted until this machine's clock agrees with the banks'; correct the clock",
            )
        self._doubted = doubted


def _known_ms(conn: Connection, node: str) -> int | None:
    """The time that this node recorded last; the newest commit if it never did; None for a new journal."""
    said = conn.execute(select(_M.value).where(_M.name == f"{_NAME}{node}")).scalar()
    if said is not None:
        return int(said)
    return conn.execute(select(func.max(_U.at_ms)).where(_U.at_ms >= BELIEVED_FROM_MS)).scalar()


def _write(tx: Tx, node: str, now_ms: int) -> None:
    upsert(tx.fresh, schema.meta, [{"name": f"{_NAME}{node}", "value": str(now_ms)}])
