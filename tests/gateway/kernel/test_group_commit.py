from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import OperationalError
from twisted.internet.defer import Deferred

from gateway.kernel.commit.group_commit import GroupFacts, SqlStore
from gateway.kernel.commit.permit_log import NoPermits
from gateway.kernel.commit.store import StoreFailed, Tx
from gateway.kernel.sql import migrations, schema
from gateway.payments.rows import lookup
from gateway.wiring import PORTS
from tests.gateway.kernel.bench import NO_REACTOR, ManualClock, MemoryPermits, admit, order, vault
from tests.world.entropy import SeededEntropy
from tests.world.inline_executor import InlineExecutor


class SimulatedStore:
    """A store whose every step happens when the clock is advanced, in this thread."""

    def __init__(self, url: str, **options: Any) -> None:
        self.hands = ManualClock()
        self.groups: list[GroupFacts] = []
        self.fatal: list[BaseException] = []
        inline = InlineExecutor(self.hands)
        options.setdefault("permit_log", NoPermits())
        self.store = SqlStore(
            url,
            NO_REACTOR,
            self.hands,
            "n1",
            vault(),
            executor=inline,
            reading=inline,
            entropy=SeededEntropy(1),
            ports=PORTS,
            observe=self.groups.append,
            on_fatal=self.fatal.append,
            **options,
        )

    def turn(self, seconds: float = 0.0) -> None:
        self.hands.task.advance(seconds)

    def write_payee(self, name: str, *, sender: str | None = None) -> list[object]:
        done: list[object] = []

        def insert_payee(tx: Tx) -> str:
            tx.fresh.execute(insert(schema.payees), {"sender": "s", "payee": name, "first_ms": 1})
            return name

        self.store.write(insert_payee, sender=sender).addCallbacks(
            done.append, lambda failure: done.append(failure.value)
        )
        return done


@pytest.fixture
def simulated(sqlite_url: str) -> Iterator[SimulatedStore]:
    made = SimulatedStore(sqlite_url)
    yield made
    closed = made.store.close()
    for _ in range(3):
        made.turn()
    assert closed.called


def test_a_lone_unit_waits_for_nothing(simulated: SimulatedStore) -> None:
    done = simulated.write_payee("a")
    assert done == []
    simulated.turn()
    simulated.turn()
    assert done == ["a"]
    assert simulated.hands.task.seconds() == 0.0


def test_under_load_a_group_gathers_company_for_the_linger(simulated: SimulatedStore) -> None:
    simulated.write_payee("a")
    simulated.turn()
    simulated.turn()
    second = simulated.write_payee("b")
    simulated.turn(0.002)
    third = simulated.write_payee("c")
    assert second == []
    simulated.turn(0.001)
    simulated.turn()
    assert (second, third) == (["b"], ["c"])
    assert [facts.units for facts in simulated.groups] == [1, 2]


def test_after_a_pause_a_lone_unit_again_waits_for_nothing(simulated: SimulatedStore) -> None:
    simulated.write_payee("a")
    simulated.turn()
    simulated.turn(1.0)
    done = simulated.write_payee("b")
    simulated.turn()
    simulated.turn()
    assert done == ["b"]


def test_a_full_group_does_not_wait_for_the_linger(sqlite_url: str) -> None:
    made = SimulatedStore(sqlite_url, cap=3)
    made.write_payee("a")
    made.turn()
    made.turn()
    some = [made.write_payee(name) for name in "bcd"]
    made.turn()
    made.turn()
    assert some == [["b"], ["c"], ["d"]]
    assert made.hands.task.seconds() == 0.0


def test_a_flood_of_patient_units_leaves_every_group_short(simulated: SimulatedStore) -> None:
    flood = [simulated.write_payee(f"order {n}", sender="s1") for n in range(200)]
    send = simulated.write_payee("send")
    simulated.turn()
    simulated.turn()
    assert send == ["send"], "in the first group, though called last"
    assert [bool(done) for done in flood] == [True] * 32 + [False] * 168
    answer = simulated.write_payee("answer")
    simulated.turn(0.003)
    simulated.turn()
    assert answer == ["answer"] and sum(map(bool, flood)) == 64
    for _ in range(5):
        simulated.turn(0.003)
        simulated.turn()
    assert all(flood), "and none of them is left behind"
    assert [facts.units for facts in simulated.groups] == [33, 33, 32, 32, 32, 32, 8]


def test_patient_units_that_fit_run_in_the_order_of_the_calls(simulated: SimulatedStore) -> None:
    ran: list[str] = []

    def note_run(name: str, _tx: Tx) -> None:
        ran.append(name)

    for name, sender in (("a", "s1"), ("b", None), ("c", "s2")):
        simulated.store.write(partial(note_run, name), sender=sender)
    simulated.turn()
    simulated.turn()
    assert ran == ["a", "b", "c"]


def test_what_is_written_from_a_callback_goes_with_the_next_group(simulated: SimulatedStore) -> None:
    later: list[list[object]] = []
    first: Deferred[Any] = simulated.store.write(lambda tx: None)
    first.addCallback(lambda _: later.append(simulated.write_payee("b")))
    simulated.turn()
    simulated.turn()
    assert later == [[]]
    simulated.turn(0.003)
    simulated.turn()
    assert later == [["b"]]


def test_a_permit_log_that_fails_ends_the_journal_and_lets_nothing_be_sent(sqlite_url: str) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    made = SimulatedStore(sqlite_url, permit_log=MemoryPermits(on_write=full))
    sent: list[object] = []
    made.store.write(lambda tx: tx.permit("lane/ref", 1, 1)).addCallbacks(sent.append, lambda f: sent.append(f.value))
    waiting = made.write_payee("a")
    made.turn()
    behind = made.write_payee("b")
    made.turn()
    assert [type(error) for error in (*sent, *waiting, *behind, *made.fatal)] == [StoreFailed] * 4
    assert "permit log" in str(made.fatal[0])
    assert [type(error) for error in made.write_payee("c")] == [StoreFailed]


def test_sqlite_whose_commit_fails_is_the_end(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimulatedStore(sqlite_url)
    assert made.write_payee("a") == []
    made.turn()
    made.turn()

    def broken(*_: object) -> None:
        raise OSError("disk I/O error")

    monkeypatch.setattr(made.store._committer._engine.dialect, "do_commit", broken)
    done = made.write_payee("b")
    made.turn(1)
    made.turn()
    assert [type(error) for error in (*done, *made.fatal)] == [StoreFailed, StoreFailed]
    assert "COMMIT failed" in str(made.fatal[0])


class AbsentDatabase:
    """A read of a database that is away for the first `times` tries. Pauses between tries move the clock."""

    def __init__(self, simulated: SimulatedStore, times: int, code: int = sqlite3.SQLITE_IOERR) -> None:
        self.tries = 0
        self.answer: list[object] = []
        self._times, self._code = times, code
        simulated.store.read(self._look).addCallbacks(self.answer.append, lambda gone: self.answer.append(gone.value))
        simulated.turn()

    def _look(self, conn: Connection) -> int:
        self.tries += 1
        if self.tries <= self._times:
            error = sqlite3.OperationalError("away")
            error.sqlite_errorcode = self._code
            raise OperationalError("SELECT", {}, error)
        return int(conn.execute(text("SELECT 7")).scalar_one())


def test_a_read_is_tried_again_while_the_database_is_away(sqlite_url: str) -> None:
    made: list[SimulatedStore] = []
    made.append(SimulatedStore(sqlite_url, pause=lambda seconds: made[0].turn(seconds)))
    simulated = made[0]
    away = AbsentDatabase(simulated, 4)
    assert (away.answer, away.tries) == ([7], 5)
    mistake = AbsentDatabase(simulated, 1, sqlite3.SQLITE_ERROR)
    assert isinstance(mistake.answer[0], OperationalError) and mistake.tries == 1, "a wrong question is not asked again"
    began_s = simulated.hands.task.seconds()
    gone = AbsentDatabase(simulated, 10_000)
    assert isinstance(gone.answer[0], OperationalError)
    assert 600.0 < simulated.hands.task.seconds() - began_s < 605.0
    simulated.store.close()
    for _ in range(3):
        simulated.turn()


def test_everything_works_in_memory_for_simulations() -> None:
    hands = ManualClock()
    inline = InlineExecutor(hands)
    store = SqlStore(
        "sqlite://", NO_REACTOR, hands, "n1", vault(), NoPermits(), executor=inline, reading=inline, ports=PORTS
    )
    with store._readers.connect() as conn:
        migrations.upgrade_over(conn)
    done: list[Any] = []
    for n in range(3):
        store.write(admit(order(f"a{n}"))).addCallback(done.append)
    hands.task.advance(0)
    hands.task.advance(0)
    store.read(lambda conn: lookup.listing(conn, lookup.Filters())).addCallback(done.append)
    hands.task.advance(0)
    assert [one.row.order.id for one in done[:3]] == ["a0", "a1", "a2"]
    assert [row.order.id for row in done[3]] == ["a2", "a1", "a0"]


def test_a_readers_connection_rests_between_readers_and_a_failed_one_does_not(simulated: SimulatedStore) -> None:
    seen: list[tuple[Connection, int]] = []
    failed: list[object] = []

    def looks(conn: Connection) -> None:
        seen.append((conn, conn.execute(text("select count(*) from payees")).scalar_one()))

    def fails(conn: Connection) -> None:
        looks(conn)
        raise ValueError("a mistake")

    for reader in (looks, fails, looks):
        simulated.write_payee(f"before reader {len(seen)}")
        simulated.turn(1)
        simulated.store.read(reader).addErrback(failed.append)
        simulated.turn(1)
    connections, counts = zip(*seen, strict=True)
    assert counts == (1, 2, 3), "each reader sees what is committed by now"
    assert connections[0] is connections[1] and connections[2] is not connections[0]
    assert len(failed) == 1 and connections[0].closed and not connections[2].closed
    simulated.store.close()
    simulated.turn(1)
    assert connections[2].closed


def test_a_reader_whose_error_is_kept_does_not_hide_later_commits(simulated: SimulatedStore) -> None:
    """A kept traceback holds its frames' cursors, and an open cursor keeps SQLite's snapshot even over a rollback."""
    kept: list[object] = []
    counts: list[int] = []

    def fails_half_way(conn: Connection) -> None:
        found = conn.execute(text("select payee from payees"))
        kept.append(found)
        assert found.fetchone() is not None
        raise ValueError("a mistake")

    def count(conn: Connection) -> int:
        return int(conn.execute(text("select count(*) from payees")).scalar_one())

    for n in range(3):
        simulated.write_payee(f"before {n}")
        simulated.turn(1)
    simulated.store.read(fails_half_way).addErrback(lambda _failure: None)
    simulated.turn(1)
    simulated.write_payee("after")
    simulated.turn(1)
    simulated.store.read(count).addCallback(counts.append)
    simulated.turn(1)
    assert counts == [4] and len(kept) == 1, "the reader sees the last commit"
