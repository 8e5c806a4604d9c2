"""A database that is lost while the gateway runs: the loss is reported at once, the gateway waits, and the return is
reported."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Select, literal_column, make_url, select, text
from sqlalchemy.exc import InterfaceError
from structlog.testing import capture_logs

from faults.proxy import LinkState, Proxy
from gateway.call import Denied
from gateway.guarded_journal import GuardedStore
from gateway.kernel.clock import SystemClock
from gateway.kernel.commit.group_commit import SqlStore
from gateway.kernel.commit.permit_log import NoPermits
from gateway.kernel.commit.store import Tx
from gateway.kernel.meters import Meters
from gateway.kernel.sql.driver import rows
from gateway.kernel.sql.executor import ThreadExecutor
from gateway.kernel.tasks import sleep
from gateway.watch.notify import Notify
from gateway.watch.watch import Watch, WatchedParts
from tests.gateway.conftest import KINDS
from tests.gateway.kernel.bench import vault
from tests.world.within import within

pytestmark = pytest.mark.parametrize("url", KINDS[1:], indirect=True)

TOLD_S = 5.0


class _Amqp:
    up, blocked = True, False


class _Place:
    """A store behind a proxy, and the watch over it."""

    def __init__(self, reactor: Any, folder: Path, url: str) -> None:
        self.clock = SystemClock(reactor)
        parsed = make_url(url)
        assert parsed.host is not None and parsed.port is not None
        self.proxy = Proxy(reactor, lambda: (str(parsed.host), int(parsed.port or 0)))
        self.proxy.listen()
        through = parsed.set(host="127.0.0.1", port=self.proxy.port).render_as_string(hide_password=False)
        self.store = SqlStore(through, reactor, self.clock, "gw1", vault(), NoPermits(), reconnect_s=40)
        self.meters = Meters(CollectorRegistry())
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        self.manager.setblocking(False)
        amqp: Any = _Amqp()
        sights = WatchedParts(self.store, amqp, {}, self.meters, writer=self.store.writer_state)
        notify = Notify({"NOTIFY_SOCKET": str(folder / "notify")})
        self.watch = Watch(reactor, sights, self.clock, notify, ThreadExecutor(reactor, "metrics"))
        self.guarded = GuardedStore(self.store, self.clock, lambda: self.watch.lost_ms)

    def fed(self) -> int:
        """How often the watchdog was fed since the last call."""
        count = 0
        while True:
            try:
                count += self.manager.recv(4096) == b"WATCHDOG=1"
            except BlockingIOError:
                return count

    def up(self) -> float | None:
        return self.meters.registry.get_sample_value("bankgw_journal_up")

    async def until(self, true: Callable[[], bool], most_s: float) -> float:
        """Wait for the condition; returns how long that took."""
        began_s = self.clock.monotonic_s()
        while not true():
            assert self.clock.monotonic_s() - began_s < most_s, f"not within {most_s} s"
            await sleep(self.clock, 0.05)
        return self.clock.monotonic_s() - began_s


def _one(conn: Connection) -> int:
    return int(conn.execute(text("SELECT 1")).scalar_one())


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def place(url: str, tmp_path: Path) -> AsyncIterator[_Place]:
    from twisted.internet import reactor

    made = _Place(reactor, tmp_path, url)
    made.watch.start("127.0.0.1", 0)
    yield made
    await made.watch.stop()
    await made.store.write(lambda _tx: None)
    # The store closes in the reactor's thread, in which the proxy would have to carry its bytes.
    made.proxy.shuts(True)
    await sleep(made.clock, 0.2)
    await made.store.close()
    await made.proxy.close()
    made.manager.close()


@within(60)
async def test_a_lost_database_is_told_within_five_seconds_and_so_is_its_return(place: _Place) -> None:
    await place.until(lambda: place.up() == 1, 10)
    assert await place.guarded.read(_one) == 1
    with capture_logs() as lines:
        place.proxy.shuts(True)
        place.proxy.cut()
        asked = place.guarded.read(_one)
        assert await place.until(lambda: place.up() == 0, 10) <= TOLD_S
        with pytest.raises(Denied, match="journal unreachable since .*; this needs the database"):
            await asked
        began_s = place.clock.monotonic_s()
        with pytest.raises(Denied, match="nothing was changed"):
            await place.guarded.write(lambda _tx: None)
        assert place.clock.monotonic_s() - began_s < 0.5, "answered at once"
        assert not place.watch.journal_ok() and "the journal has not written lately" in place.watch.ready().reasons
        # The service manager must not end the process while the writer retries, for which it has ten minutes.
        place.fed()
        await sleep(place.clock, 5)
        assert place.fed() >= 3
        place.proxy.shuts(False)
        await place.until(lambda: place.up() == 1, 20)
    (lost,) = [line for line in lines if line["event"] == "journal.unreachable"]
    assert lost["error"] not in ("", "no answer") and lost["log_level"] == "error"
    (back,) = [line for line in lines if line["event"] == "journal.back"]
    assert back["away_s"] >= 5
    assert place.meters.registry.get_sample_value("bankgw_journal_failures_total", {"kind": "unreachable"}) == 1
    assert await place.guarded.read(_one) == 1


@within(90)
async def test_a_database_that_takes_bytes_and_never_answers_is_told_as_soon_and_starves_the_watchdog(
    place: _Place,
) -> None:
    await place.until(lambda: place.up() == 1, 10)
    with capture_logs() as lines:
        place.proxy.set(LinkState.HOLE)
        writing = place.guarded.write(lambda _tx: None)
        assert await place.until(lambda: place.up() == 0, 10) <= TOLD_S
        with pytest.raises(Denied, match="whether this was done is not known"):
            await writing
        # The writer hangs in a call and does not retry: only a new process can help.
        place.fed()
        await sleep(place.clock, 3)
        assert place.fed() == 0
        place.proxy.set(LinkState.FAIR)
        await place.until(lambda: place.up() == 1, 30)
    assert [line["event"] for line in lines if line["event"].startswith("journal.")] == [
        "journal.unreachable",
        "journal.back",
    ]


LONG_S, STATEMENT_S = 6.0, 0.25


@within(60)
async def test_a_long_transaction_is_no_lost_database(place: _Place) -> None:
    call = "pg_sleep(0.25)" if "postgresql" in str(place.store._readers.url) else "sleep(0.25)"
    sleeping: Select[Any] = select(literal_column(call).label("slept"))
    await place.until(lambda: place.up() == 1, 10)

    def long(tx: Tx) -> None:
        for n in range(int(LONG_S / STATEMENT_S)):
            rows(tx.raw, sleeping, {}) if n % 2 else tx.raw.execute(sleeping)

    place.fed()
    with capture_logs() as lines:
        writing = place.store.write(long)
        seen = set()
        while not writing.called:
            seen.add((place.up(), place.watch.journal_ok()))
            await sleep(place.clock, 0.05)
        await writing
    assert seen == {(1, True)} and not [line for line in lines if line["event"].startswith("journal.")]
    assert place.fed() >= 4


@within(60)
async def test_a_database_that_answers_reads_and_refuses_writes_is_told_as_soon(place: _Place) -> None:
    await place.until(lambda: place.up() == 1, 10)
    full = True

    def refused(tx: Tx) -> None:
        for _ in range(3):
            tx.raw.execute(select(1))
        if full:
            raise InterfaceError("INSERT", None, Exception("no space left on device"))

    writing = place.store.write(refused)
    assert await place.until(lambda: place.up() == 0, 10) <= TOLD_S
    full = False
    await writing
    await place.until(lambda: place.up() == 1, 20)
