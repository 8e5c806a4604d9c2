"""A database that is lost while the gateway runs: told at once, waited for, and told when it is back."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, make_url, text
from structlog.testing import capture_logs

from faults.proxy import LinkState, Proxy
from gateway.clock import SystemClock
from gateway.control.guarded_journal import GuardedStore
from gateway.control.server import Denied
from gateway.journal.commit.group_commit import SqlStore
from gateway.journal.commit.permit_log import NoPermits
from gateway.journal.sql import migrations
from gateway.journal.sql.executor import ThreadExecutor
from gateway.meters import Meters
from gateway.tasks import sleep
from gateway.watch.notify import Notify
from gateway.watch.watch import Sights, Watch
from tests.gateway.journal.bench import vault
from tests.gateway.journal.conftest import KINDS
from tests.world.within import within

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
        sights = Sights(self.store, amqp, {}, self.meters, tried_s=lambda: self.store.tried_s,
                        trouble=lambda: self.store.trouble)  # fmt: skip
        notify = Notify({"NOTIFY_SOCKET": str(folder / "notify")})
        self.watch = Watch(reactor, sights, self.clock, notify, ThreadExecutor(reactor, "metrics"))
        self.guarded = GuardedStore(self.store, self.clock, lambda: self.watch.lost_ms)

    def fed(self) -> int:
        """How often the watchdog was fed since the last look."""
        count = 0
        while True:
            try:
                count += self.manager.recv(4096) == b"WATCHDOG=1"
            except BlockingIOError:
                return count

    def up(self) -> float | None:
        return self.meters.registry.get_sample_value("bankgw_journal_up")

    async def until(self, true: Callable[[], bool], most_s: float) -> float:
        """Wait for it; returns how long that took."""
        began_s = self.clock.monotonic_s()
        while not true():
            assert self.clock.monotonic_s() - began_s < most_s, f"not within {most_s} s"
            await sleep(self.clock, 0.05)
        return self.clock.monotonic_s() - began_s


def _one(conn: Connection) -> int:
    return int(conn.execute(text("SELECT 1")).scalar_one())


@pytest.fixture(params=KINDS[1:])
def url(request: pytest.FixtureRequest, servers: Callable[[str], str]) -> str:
    found = servers(request.param)
    migrations.upgrade(found)
    return found


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def place(url: str, tmp_path: Path) -> AsyncIterator[_Place]:
    from twisted.internet import reactor

    made = _Place(reactor, tmp_path, url)
    made.watch.start("127.0.0.1", 0)
    yield made
    await made.watch.stop()
    await made.store.write(lambda _tx: None)
    # The store says good-bye in the reactor's thread, in which the proxy would have to carry that.
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
        # The service manager must not end the process while the writer tries: that has ten minutes.
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
async def test_a_database_that_takes_bytes_and_never_answers_is_told_as_soon_and_starves_the_watchdog(place: _Place) -> None:
    await place.until(lambda: place.up() == 1, 10)
    with capture_logs() as lines:
        place.proxy.set(LinkState.HOLE)
        writing = place.guarded.write(lambda _tx: None)
        assert await place.until(lambda: place.up() == 0, 10) <= TOLD_S
        with pytest.raises(Denied, match="whether this was done is not known"):
            await writing
        # The writer stands in a call and tries nothing: only a new process would get out of that.
        place.fed()
        await sleep(place.clock, 3)
        assert place.fed() == 0
        place.proxy.set(LinkState.FAIR)
        await place.until(lambda: place.up() == 1, 30)
    assert [line["event"] for line in lines if line["event"].startswith("journal.")] == [
        "journal.unreachable", "journal.back",
    ]  # fmt: skip
