"""Rows and tables locked by another session: which units wait, how long, and what continues meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text, update
from sqlalchemy.exc import OperationalError
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.kernel.clock import SystemClock, steady_s
from gateway.kernel.cluster import lane_leases
from gateway.kernel.commit.committer import UNTRIED, Committed, _failure
from gateway.kernel.commit.hand_over import HandOver
from gateway.kernel.commit.store import Tx, Unit
from gateway.kernel.sql import databases, schema
from gateway.kernel.sql.databases import LOCK_WAIT_S, is_locked
from gateway.kernel.tasks import sleep
from gateway.payments.rows import lookup
from gateway.payments.rows.admission import Admittance, admit
from tests.gateway.kernel.bench import Journal, admission, order, take_lane
from tests.gateway.kernel.payee_units import put
from tests.gateway.kernel.test_committer import servers_only
from tests.gateway.kernel.test_group_commit import SimulatedStore
from tests.gateway.kernel.test_store import Make, make, reactor_of_tests

__all__ = ["make"]

_LOCK_TABLE = {"postgresql": "LOCK TABLE payees", "mysql": "LOCK TABLES payees WRITE"}


@servers_only
def test_a_table_that_is_locked_is_waited_for_no_longer_than_a_row(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "LOCK_WAIT_S", 1)
    journal, engine = Journal(url), create_engine(url)
    journal.do(put("a"))
    with engine.connect() as conn:
        conn.execute(text(_LOCK_TABLE[conn.dialect.name.replace("mariadb", "mysql")]))
        began_s = time.monotonic()
        [value] = journal.group([put("b")])
        assert isinstance(value, Failure) and is_locked(value.value) and time.monotonic() - began_s < 3
        conn.invalidate()
    engine.dispose()
    assert journal.do(put("b")) == "b"
    journal.close()


def lease(lane: str) -> Unit[int | None]:
    return lambda tx: take_lane(tx, lane, "n1", 60_000)


def renew(lane: str) -> Unit[bool]:
    return lambda tx: lane_leases.renew(tx, lane, "n1", 1, 60_000)


@servers_only
async def test_while_three_units_wait_for_a_strangers_row_the_rest_goes_on(make: Make, url: str) -> None:
    store, clock, late = make(), SystemClock(reactor_of_tests()), list[object]()
    for lane in ("a.main", "b.main"):
        assert await store.write(lease(lane)) == 1
    engine, took_s = create_engine(url), list[float]()
    with engine.connect() as conn:
        conn.execute(update(schema.lanes).where(schema.lanes.c.lane == "a.main").values(serial=7))
        for _ in range(3):
            store.write(renew("a.main")).addBoth(late.append)
        await sleep(clock, 0.2)
        until_s = clock.monotonic_s() + 12.0
        while clock.monotonic_s() < until_s:
            began_s = clock.monotonic_s()
            assert await store.write(renew("b.main"))
            took_s.append(clock.monotonic_s() - began_s)
        assert late == [] and store.waiting in (0, 1, 2, 3)
        conn.rollback()
    engine.dispose()
    assert took_s[0] < LOCK_WAIT_S + 2.5 and max(took_s[1:]) < 3.0, took_s
    while len(late) < 3:
        await sleep(clock, 0.05)
    assert late == [True] * 3


@servers_only
async def test_while_a_stranger_has_what_one_senders_orders_are_counted_in_those_of_another_pass(
    make: Make, url: str
) -> None:
    store, clock, late = make(), SystemClock(reactor_of_tests()), list[Any]()

    def take_in(sender: str, n: int) -> Deferred[Any]:
        asked = admission(order(f"{sender}-{n}", minor=1 + n, creditor=f"{n:019d}"), sender=sender, dup_key=None)
        return store.write(lambda tx: admit(tx, asked, tx.entropy), sender=sender)

    for sender in ("s1", "s2"):
        assert (await take_in(sender, 0)).kind is Admittance.NEW
    engine = create_engine(url)
    with engine.connect() as conn:
        counts = schema.usage.c.count
        conn.execute(update(schema.usage).where(schema.usage.c.sender == "s1").values(count=counts))
        began_s = clock.monotonic_s()
        take_in("s1", 1).addBoth(late.append)
        assert (await take_in("s2", 1)).kind is Admittance.NEW
        assert clock.monotonic_s() - began_s < LOCK_WAIT_S + 4.0
        began_s = clock.monotonic_s()
        take_in("s1", 2).addBoth(late.append)
        assert (await take_in("s2", 2)).kind is Admittance.NEW
        assert clock.monotonic_s() - began_s < 5.0 and late == []
        conn.rollback()
    engine.dispose()
    while len(late) < 2:
        await sleep(clock, 0.05)
    assert [one.kind for one in late] == [Admittance.NEW] * 2


@servers_only
@pytest.mark.parametrize("later_s", [0.0, LOCK_WAIT_S + 2.0])
async def test_who_withdraws_an_order_is_not_told_that_there_is_none_while_it_waits(
    make: Make, url: str, later_s: float
) -> None:
    """Later messages of a sender, such as a second order or a question, do not overtake the first one."""
    store, clock, told = make(), SystemClock(reactor_of_tests()), list[Any]()

    def take_in(n: int) -> Deferred[Any]:
        asked = admission(order(f"o-{n}", minor=1 + n, creditor=f"{n:019d}"), sender="s1", dup_key=None)
        return store.write(lambda tx: admit(tx, asked, tx.entropy), sender="s1")

    assert (await take_in(0)).kind is Admittance.NEW
    engine = create_engine(url)
    with engine.connect() as conn:
        conn.execute(update(schema.usage).values(count=schema.usage.c.count))
        for n in range(1, 13):
            take_in(n).addBoth(lambda done: told.append(done.kind))
        await sleep(clock, later_s)
        store.write(lambda tx: lookup.find(tx.fresh, "s1", "o-12"), sender="s1").addBoth(told.append)
        await sleep(clock, LOCK_WAIT_S + 2.0)
        assert told == []
        conn.rollback()
    engine.dispose()
    while len(told) < 13:
        await sleep(clock, 0.05)
    assert told[:12] == [Admittance.NEW] * 12 and told[12] is not None


@servers_only
async def test_a_journal_is_closed_within_seconds_though_orders_wait_for_a_strangers_row(make: Make, url: str) -> None:
    store, clock, ended = make(), SystemClock(reactor_of_tests()), list[Any]()

    def take_in(n: int, sender: str) -> Deferred[Any]:
        asked = admission(order(f"o-{n}", minor=1 + n, creditor=f"{n:019d}"), sender=sender, dup_key=None)
        return store.write(lambda tx: admit(tx, asked, tx.entropy), sender=sender)

    for n in range(20):
        assert (await take_in(n, f"s{n}")).kind is Admittance.NEW
    engine = create_engine(url)
    with engine.connect() as conn:
        conn.execute(update(schema.usage).values(count=schema.usage.c.count))
        for n in range(20, 80):
            take_in(n, f"s{n % 20}").addBoth(ended.append)
        await sleep(clock, LOCK_WAIT_S + 2.0)
        began_s = clock.monotonic_s()
        await store.close()
        assert clock.monotonic_s() - began_s < 12.0
        assert len(ended) == 60 and all(isinstance(one, Failure) and is_locked(one.value) for one in ended)
        conn.rollback()
    engine.dispose()


@servers_only
async def test_a_table_that_is_locked_at_the_start_is_waited_for(
    make: Make, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LOCK_WAIT_S", 1)
    clock, opened = SystemClock(reactor_of_tests()), list[Any]()
    await make().close()
    engine = create_engine(url)
    with engine.connect() as conn:
        lock = _LOCK_TABLE[conn.dialect.name.replace("mariadb", "mysql")]
        conn.execute(text(lock.replace("payees", "units")))
        store = make()
        store.write(put("a")).addBoth(opened.append)
        await sleep(clock, 3.0)
        assert opened == []
        conn.invalidate()
    engine.dispose()
    while not opened:
        await sleep(clock, 0.05)
    assert opened == ["a"]


@servers_only
def test_a_servers_own_limit_for_statements_does_not_hide_a_lock(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "LOCK_WAIT_S", 3)
    server = url.partition(":")[0].partition("+")[0]
    limit = {
        "postgresql": "options=-c%20statement_timeout%3D1000",
        "mysql": "init_command=SET%20max_statement_time%3D1",
        "mariadb": "init_command=SET%20max_statement_time%3D1",
    }
    journal = Journal(f"{url}{'&' if '?' in url else '?'}{limit[server]}")
    journal.do(lease("a.main"))
    with journal.stranger() as stranger:
        stranger.execute(select(schema.lanes).where(schema.lanes.c.lane == "a.main").with_for_update())
        [value] = journal.group([renew("a.main")])
        assert isinstance(value, Failure) and is_locked(value.value)
    journal.close()


@servers_only
def test_of_many_units_that_meet_locks_a_group_tries_few(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The duration of a group does not depend on how many of its units are locked; the next group waits as it
    should."""
    journal = Journal(url)
    monkeypatch.setattr(journal.hands, "monotonic_s", steady_s)
    for lane in ("a.main", "b.main"):
        journal.do(lease(lane))
    units = [put("first"), *[renew("a.main")] * 20, renew("b.main")]
    with journal.stranger() as stranger:
        stranger.execute(select(schema.lanes).where(schema.lanes.c.lane == "a.main").with_for_update())
        began_s = time.monotonic()
        first, *others = journal.committer.commit(units, {0: "s1"}, hurried=True).results
        assert first == "first" and time.monotonic() - began_s < 5.0
        locked = [one for one in others if isinstance(one, Failure) and is_locked(one.value)]
        assert 2 <= len(locked) <= 10 and others[len(locked) :] == [UNTRIED] * (21 - len(locked))
    asked = {"postgresql": "SHOW lock_timeout", "mysql": "SELECT @@innodb_lock_wait_timeout"}

    def waits(tx: Tx) -> str:
        return str(tx.raw.exec_driver_sql(asked[tx.raw.dialect.name.replace("mariadb", "mysql")]).scalar())

    assert journal.do(waits).rstrip("s") == str(LOCK_WAIT_S)
    journal.close()


class Locked(Exception):
    """PostgreSQL's error after a lock time-out."""

    sqlstate = "55P03"


class LockHolder:
    """Holds locks: units on `locks` fail with the server's lock error, at most two of one group."""

    def __init__(self, simulated: SimulatedStore, patch: pytest.MonkeyPatch) -> None:
        self.locks: set[str] = set()
        self.groups: list[tuple[str, ...]] = []
        self.short: list[bool] = []
        self._simulated = simulated
        patch.setattr(simulated.store._committer, "commit", self._commit)

    def write_named(self, name: str) -> list[Any]:
        """Write a unit of that name. Returns the list that gets its value or Failure."""
        done: list[Any] = []

        def give_name(_tx: Tx) -> str:
            return name

        self._simulated.store.write(give_name).addBoth(done.append)
        return done

    def _commit(
        self, units: Sequence[Callable[[None], str]], _senders: Mapping[int, str], *, hurried: bool, singly: bool
    ) -> Committed:
        names = [unit(None) for unit in units]
        self.groups.append(tuple(names))
        self.short.append(hurried and singly)
        results: list[Any] = []
        for name in names:
            met = sum(isinstance(one, Failure) for one in results)
            error = OperationalError("UPDATE", None, Locked())
            results.append(name if name not in self.locks else UNTRIED if met == 2 else _failure(error))
        return Committed(tuple(results), HandOver((), ()))


@pytest.fixture
def simulated(sqlite_url: str) -> SimulatedStore:
    return SimulatedStore(sqlite_url)


def test_units_that_are_locked_are_tried_few_at_a_time_and_others_between(
    simulated: SimulatedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = LockHolder(simulated, monkeypatch)
    stranger.locks = {f"l{n}" for n in range(10)}
    waiting = [stranger.write_named(f"l{n}") for n in range(10)]
    for n in range(400):
        healthy = stranger.write_named(f"h{n}")
        simulated.turn(0.01)
        simulated.turn(0.01)
        assert len(healthy) == 1, "in the next group, or the one after it"
    assert not any(waiting) and simulated.store.waiting == 10
    again = [group for group, short in zip(stranger.groups, stranger.short, strict=True) if short]
    assert 6 <= len(again) <= 8 and all(len(group) == 8 for group in again), "they rest between tries"
    assert {name for group in again for name in group[:2]} >= {"l0", "l1", "l2", "l3"}, "each has its turn"
    stranger.locks = set()
    for _ in range(4):
        simulated.turn(0.5)
    assert sorted(done[0] for done in waiting) == sorted(f"l{n}" for n in range(10))


def test_who_closes_the_journal_when_his_unit_is_done_leaves_none_behind_that_is_locked(
    simulated: SimulatedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger, closed = LockHolder(simulated, monkeypatch), list[None]()
    stranger.locks = {f"l{n}" for n in range(5)}
    locked = [stranger.write_named(f"l{n}") for n in range(5)]
    simulated.store.write(lambda _tx: "the last").addCallback(lambda _: simulated.store.close().addBoth(closed.append))
    for _ in range(10):
        simulated.turn()
    assert closed == [None] and simulated.store.waiting == 0
    assert all(isinstance(one[0], Failure) and is_locked(one[0].value) for one in locked)
