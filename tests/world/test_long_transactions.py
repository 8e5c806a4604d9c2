"""A long transaction of the journal on a whole gateway: the watch can tell it from a lost database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from gateway.kernel.commit.store import Tx
from gateway.watch.notify import Notify
from gateway.watch.watch import Watch, WatchedParts
from tests.world.inline_executor import InlineExecutor
from tests.world.lines import events, lines
from tests.world.world import World


class Port:
    """A listening port."""

    port = 9999

    def getHost(self) -> Port:  # noqa: N802 - the name is Twisted's
        return self


class Reactor:
    """A reactor that does not listen on any port."""

    def listenTCP(self, _port: int, _site: Any, interface: str) -> Port:  # noqa: N802 - the name is Twisted's
        return Port()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A gateway with a watch. Time passes while its writer waits for the database."""
    made = World(tmp_path)
    life = made.start()
    life.store._pause = made.clock.advance
    parts = life.gateway.parts
    sights = WatchedParts(parts.store, parts.amqp, life.gateway.lanes, life.meters, writer=life.store.writer_state)
    watch = Watch(Reactor(), sights, parts.clock, Notify({}), InlineExecutor(parts.clock))
    watch.start("127.0.0.1", 0)
    made.run(5)
    yield made
    made.crash()


def up(world: World) -> float:
    assert world.life is not None
    return world.life.sample("bankgw_journal_up")


def test_a_batch_that_takes_long_is_no_lost_database(world: World) -> None:
    """The unit's statements take half a second each. Ticks, and an order, come while it runs."""
    seen: list[float] = []

    def long(tx: Tx) -> None:
        world.submit("AP-1")
        for _ in range(40):
            tx.raw.execute(text("select 1"))
            world.clock.advance(0.5)
            seen.append(up(world))

    assert world.life is not None
    with lines() as heard:
        world.life.store.write(long)
        world.run(60)
    assert seen == [1.0] * 40 and not events(heard, "journal.unreachable")
    assert world.state("AP-1") == "settled" and world.life.fatal == []


def test_a_database_that_reads_and_never_writes_is_lost_whatever_it_answers(world: World) -> None:
    """Each try reads a little more than the try before, and is refused at its end."""
    seen: list[float] = []

    def refused(tx: Tx) -> None:
        for _ in range(len(seen)):
            tx.raw.execute(text("select 1"))
        world.clock.advance(0.6)
        seen.append(up(world))
        if len(seen) < 15:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise OperationalError("INSERT", {}, error)

    assert world.life is not None
    with lines() as heard:
        world.life.store.write(refused)
        world.run(60)
    assert 0.0 in seen and len(events(heard, "journal.unreachable")) == 1
    assert up(world) == 1.0 and events(heard, "journal.back") and world.life.fatal == []
