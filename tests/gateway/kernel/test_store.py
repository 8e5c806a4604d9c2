"""The guarantees of any Store, on each database."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import create_engine, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime

from gateway.kernel.clock import SystemClock
from gateway.kernel.cluster import lane_leases
from gateway.kernel.commit import audit, outbox
from gateway.kernel.commit.group_commit import GroupFacts, SqlStore
from gateway.kernel.commit.hand_over import Applied, HandOver
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.commit.rows import OutboxRow, QuestionRow, Reply
from gateway.kernel.commit.serials import BLOCK, draw_serials
from gateway.kernel.commit.store import Store, StoreFailed, Tx
from gateway.kernel.core.states import Send, Work
from gateway.kernel.sql import databases, schema
from gateway.kernel.tasks import sleep
from gateway.payments.rows import admission as payments_admission
from gateway.payments.rows import lookup
from gateway.payments.rows import transition as applying
from gateway.payments.rows.admission import Admittance
from gateway.statements.rows import questions
from gateway.wiring import PORTS
from tests.gateway.kernel.bench import NOW_MS, admission, attempt, message, order, take_lane, vault
from tests.gateway.kernel.test_committer import servers_only
from tests.world.entropy import SeededEntropy

Make = Callable[..., SqlStore]


class Poison(Exception):
    pass


def reactor_of_tests() -> IReactorTime:
    from twisted.internet import reactor

    return IReactorTime(reactor)


@pytest.fixture
def make(url: str, tmp_path: Path) -> Iterator[Make]:
    from twisted.internet import reactor

    made: list[SqlStore] = []

    def store(**options: Any) -> SqlStore:
        options.setdefault("permit_log", PermitLog(tmp_path / f"permits{len(made)}", vault(), "n1"))
        options.setdefault("entropy", SeededEntropy(len(made)))
        options.setdefault("node", "n1")
        one = SqlStore(url, IReactorFromThreads(reactor), SystemClock(reactor), vault=vault(), ports=PORTS, **options)
        made.append(one)
        return one

    yield store
    for one in made:
        pytest_twisted.blockon(one.close())


@pytest.fixture
def store(make: Make) -> Store:
    return make()


def put(name: str) -> Callable[[Tx], str]:
    def insert_payee(tx: Tx) -> str:
        tx.fresh.execute(insert(schema.payees), {"sender": "s", "payee": name, "first_ms": 1})
        return name

    return insert_payee


def poisoned(tx: Tx) -> str:
    put("poison")(tx)
    tx.enqueue(message("poison"))
    raise Poison("this one is at fault")


def ask(id: str) -> Callable[[Tx], bool]:
    row = QuestionRow(id, "erp", "balance.query", b"{}", Reply("q", None), NOW_MS, NOW_MS)
    return lambda tx: questions.ask(tx, row)


async def names(store: Store) -> set[str]:
    return set(await store.read(lambda conn: conn.execute(select(schema.payees.c.payee)).scalars().all()))


async def test_a_unit_is_committed_when_its_deferred_fires(store: Store) -> None:
    assert await store.write(put("a")) == "a"
    assert await names(store) == {"a"}


async def test_deferreds_fire_in_the_order_of_the_calls(store: Store) -> None:
    fired: list[str] = []
    waiting = [store.write(put(str(n))).addCallback(fired.append) for n in range(300)]
    await gatherResults(waiting)
    assert fired == [str(n) for n in range(300)]


async def test_units_see_what_earlier_units_of_their_group_wrote(store: Store) -> None:
    def payees(tx: Tx) -> set[str]:
        return set(tx.fresh.execute(select(schema.payees.c.payee)).scalars())

    first, second = store.write(put("a")), store.write(payees)
    assert (await first, await second) == ("a", {"a"})


async def test_units_that_wait_together_are_committed_together(make: Make) -> None:
    groups: list[GroupFacts] = []
    store = make(observe=groups.append)
    await gatherResults([store.write(put(str(n))) for n in range(100)])
    assert [facts.units for facts in groups] == [100]


async def test_a_group_has_no_more_than_the_cap(make: Make) -> None:
    groups: list[GroupFacts] = []
    store = make(observe=groups.append, cap=32)
    await gatherResults([store.write(put(str(n))) for n in range(100)])
    assert max(facts.units for facts in groups) == 32
    assert sum(facts.units for facts in groups) == 100


async def test_one_poisoned_unit_of_fifty_fails_alone(make: Make) -> None:
    groups: list[GroupFacts] = []
    store = make(observe=groups.append)
    messages: list[OutboxRow] = []
    store.listen(lambda commit: messages.extend(commit.messages))
    fired: list[object] = []
    waiting = []
    for n in range(50):
        unit = poisoned if n == 20 else put(str(n))
        waiting.append(store.write(unit).addCallbacks(fired.append, lambda failure: fired.append(failure.type)))
    await gatherResults(waiting)
    assert fired == [Poison if n == 20 else str(n) for n in range(50)]
    assert await names(store) == {str(n) for n in range(50)} - {"20"}
    assert [(facts.units, facts.failed) for facts in groups] == [(50, 1)]
    assert messages == []
    assert await store.read(lambda conn: audit.verify(conn, vault())) == []


async def test_a_unit_that_breaks_a_database_rule_fails_alone(store: Store) -> None:
    def twice(tx: Tx) -> None:
        put("a")(tx)

    first, second, third = store.write(put("a")), store.write(twice), store.write(put("b"))
    assert await first == "a"
    with pytest.raises(IntegrityError):
        await second
    assert await third == "b"
    assert await names(store) == {"a", "b"}


async def test_an_error_of_the_database_never_carries_values(store: Store) -> None:
    await store.write(put("a-secret-name"))
    with pytest.raises(IntegrityError) as raised:
        await store.write(put("a-secret-name"))
    assert "[SQL parameters hidden" in str(raised.value)


async def test_mail_and_work_are_handed_over_once_before_the_deferreds(store: Store) -> None:
    told: list[object] = []
    mailed: list[str] = []

    def listen(commit: HandOver) -> None:
        mailed.extend(mail.message_id for mail in commit.messages)
        told.append([row.work for row in commit.works])

    store.listen(listen)

    def admit_one(n: int) -> Callable[[Tx], object]:
        asked = admission(order(f"a{n}"), reply=Reply(None, None))
        return lambda tx: payments_admission.admit(tx, asked, tx.entropy).kind

    waiting = [store.write(admit_one(n)).addCallback(told.append) for n in range(3)]
    await gatherResults(waiting)
    assert told == [[Work.SEND] * 3] + [Admittance.NEW] * 3
    assert len(mailed) == 3
    assert mailed == [m.message_id for m in await store.read(lambda conn: outbox.unsent(conn, "n1"))]


async def test_a_listener_that_fails_harms_nobody(store: Store, logged_failures: object) -> None:
    heard: list[int] = []

    def deaf(commit: HandOver) -> None:
        raise Poison("a defect of the listener")

    store.listen(deaf)
    store.listen(lambda commit: heard.append(len(commit.messages)))

    def enqueue_message(tx: Tx) -> None:
        tx.enqueue(message("m"))

    await store.write(enqueue_message)
    assert heard == [1]
    assert len(logged_failures.take(Poison)) == 1  # type: ignore[attr-defined]


async def test_a_thousand_repeats_of_one_order_at_once_make_one_payment(store: Store) -> None:
    asked = admission()
    done = await gatherResults(
        [store.write(lambda tx: payments_admission.admit(tx, asked, tx.entropy)) for _ in range(1000)]
    )
    assert sum(one.kind is Admittance.NEW for one in done) == 1
    assert {one.row.payment for one in done} == {done[0].row.payment}
    rows = await store.read(lambda conn: lookup.listing(conn, lookup.Filters()))
    assert len(rows) == 1


async def test_a_send_fires_only_after_its_permit_is_on_disk(make: Make, tmp_path: Path) -> None:
    order_of_things: list[str] = []
    log = PermitLog(tmp_path / "log", vault(), "n1", sync=lambda handle: order_of_things.append("synced"))
    store = make(permit_log=log)
    done = await store.write(lambda tx: payments_admission.admit(tx, admission(), tx.entropy))
    assert order_of_things == []
    payment = done.row.payment

    def send(tx: Tx) -> Applied:
        made = attempt(payment)
        return applying.apply(tx, payment, Send(NOW_MS), epoch=1, actor="node:n1", attempt=made)

    store.listen(lambda _commit: order_of_things.append("told"))
    await gatherResults(
        [
            store.write(send).addCallback(lambda _: order_of_things.append("fired")),
            store.write(lambda tx: tx.enqueue(message("m"))),
        ]
    )
    assert order_of_things == ["synced", "told", "fired"]


async def test_closing_commits_what_waits_and_refuses_what_comes_later(store: Store, url: str, make: Make) -> None:
    waiting = [store.write(put(str(n))) for n in range(10)]
    closed = store.close()
    with pytest.raises(StoreFailed, match="closed"):
        await store.write(put("late"))
    await closed
    assert await gatherResults(waiting) == [str(n) for n in range(10)]
    await store.close()
    with pytest.raises(StoreFailed, match="closed"):
        await store.read(lambda conn: None)
    assert await names(make()) == {str(n) for n in range(10)}


async def test_whoever_stops_waiting_does_not_stop_the_unit(store: Store) -> None:
    waiting = store.write(put("a"))
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    await store.write(put("b"))
    assert await names(store) == {"a", "b"}


async def test_the_next_life_of_a_node_goes_on_where_the_last_one_ended(make: Make) -> None:
    first = make()
    for n in range(3):
        await first.write(ask(f"q{n}"))
    await first.close()
    second = make()
    await second.write(lambda tx: questions.answer(tx, "q1", None))
    assert await second.read(lambda conn: audit.verify(conn, vault())) == []
    assert [row.question for row in (await second.read(questions.waiting))[0]] == ["q0", "q2"]


async def test_two_processes_of_one_name_are_found_out(make: Make) -> None:
    fatal: list[BaseException] = []
    first, second = make(on_fatal=fatal.append), make()
    await first.write(put("a"))
    await second.write(put("b"))
    await second.write(ask("q1"))
    with pytest.raises(StoreFailed, match="another process writes to the journal as node 'n1'"):
        await first.write(ask("q2"))  # its entry of the audit has the number of the other's
    assert len(fatal) == 1
    assert await names(second) == {"a", "b"}
    with pytest.raises(StoreFailed):
        await first.write(put("d"))


async def test_another_vault_key_is_refused_at_the_door(make: Make, url: str, tmp_path: Path) -> None:
    from twisted.internet import reactor

    from gateway.kernel.sql.vault import create

    await make().write(put("a"))
    fatal: list[BaseException] = []
    log = PermitLog(tmp_path / "other", vault(), "n2")
    threads, key = IReactorFromThreads(reactor), create(tmp_path / "key")
    other = SqlStore(url, threads, SystemClock(reactor), "n2", key, log, on_fatal=fatal.append)
    with pytest.raises(StoreFailed, match="does not open this journal"):
        await other.open()
    await other.close()


def test_a_writer_that_stands_still_in_a_transaction_is_cut_off_about_when_its_lease_ends(url: str) -> None:
    engine = databases.connect(url, connections=1, writing=True)
    asked = {
        "postgresql": "SHOW idle_in_transaction_session_timeout",
        "mysql": "SELECT @@idle_transaction_timeout",
        "mariadb": "SELECT @@idle_transaction_timeout",
        "sqlite": "SELECT 15",
    }[engine.dialect.name]
    with engine.connect() as conn:
        assert str(conn.exec_driver_sql(asked).scalar()).rstrip("s") == str(databases.IDLE_IN_TRANSACTION_S)
    engine.dispose()


_LOCK_WAITS = {"postgresql": "SHOW lock_timeout", "mysql": "SELECT @@innodb_lock_wait_timeout"}


@servers_only
def test_a_writer_waits_for_locks_for_seconds_and_a_change_of_the_schema_for_longer(url: str) -> None:
    waits = []
    for patient in (False, True):
        engine = databases.connect(url, connections=1, writing=True, patient=patient)
        with engine.connect() as conn:
            asked = _LOCK_WAITS[engine.dialect.name.replace("mariadb", "mysql")]
            waits.append(str(conn.exec_driver_sql(asked).scalar()).rstrip("s"))
        engine.dispose()
    assert waits[0] == str(databases.LOCK_WAIT_S)
    assert waits[1] == "0" or int(waits[1]) > databases.LOCK_WAIT_S, "0 is for ever"


@servers_only
async def test_while_a_stranger_has_a_lanes_row_other_lanes_go_on_and_then_this_one_does(
    make: Make, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock lasts longer than all tries together: a renewal and a receipt are late, and neither fails."""
    monkeypatch.setattr(databases, "LOCK_WAIT_S", 1)
    fatal: list[BaseException] = []
    store = make(on_fatal=fatal.append)
    clock = SystemClock(reactor_of_tests())
    for lane in ("a.main", "b.main"):
        assert await store.write(partial(take_lane, lane=lane, node="n1", ttl_ms=15_000)) == 1
    assert await store.write(lambda tx: draw_serials(tx, "a", BLOCK)) == range(BLOCK)
    engine = create_engine(url)
    late: list[object] = []
    with engine.connect() as conn:
        conn.execute(update(schema.lanes).where(schema.lanes.c.lane == "a.main").values(serial=7))
        conn.execute(update(schema.counters).where(schema.counters.c.bank == "a").values(serial=7))
        began_s = clock.monotonic_s()
        store.write(lambda tx: lane_leases.renew(tx, "a.main", "n1", 1, 15_000)).addBoth(late.append)
        store.write(lambda tx: draw_serials(tx, "a", 1)).addBoth(late.append)
        renewals = 0
        while clock.monotonic_s() < began_s + 9.0:
            assert await store.write(lambda tx: lane_leases.renew(tx, "b.main", "n1", 1, 15_000))
            renewals += 1
        assert late == [] and renewals >= 2
        conn.rollback()
    engine.dispose()
    while len(late) < 2:
        await sleep(clock, 0.05)
    assert late == [True, range(BLOCK, BLOCK + 1)] and fatal == []


@servers_only
async def test_what_waits_for_a_locked_row_fails_when_the_journal_is_closed(
    make: Make, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LOCK_WAIT_S", 1)
    store = make()
    await store.write(lambda tx: take_lane(tx, "a.main", "n1", 15_000))
    engine = create_engine(url)
    with engine.connect() as conn:
        conn.execute(update(schema.lanes).values(serial=7))
        writing = store.write(lambda tx: lane_leases.renew(tx, "a.main", "n1", 1, 15_000))
        await sleep(SystemClock(reactor_of_tests()), 2.5)
        closing = store.close()
        with pytest.raises(OperationalError):
            await writing
        await closing
        conn.rollback()
    engine.dispose()


@servers_only
async def test_a_start_waits_for_the_last_group_of_a_process_of_its_name_that_stands_still(
    make: Make, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make().write(put("a"))
    monkeypatch.setattr(databases, "LOCK_WAIT_S", 1)
    engine = create_engine(url)
    opened: list[object] = []
    with engine.connect() as conn:
        conn.execute(update(schema.units).values(at_ms=7))
        make().open().addBoth(opened.append)
        await sleep(SystemClock(reactor_of_tests()), 3.5)
        assert opened == []
        conn.rollback()
    engine.dispose()
    while not opened:
        await sleep(SystemClock(reactor_of_tests()), 0.05)
    assert opened == [None]


@pytest.mark.postgresql
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_the_server_notices_within_seconds_that_a_nodes_machine_is_gone(url: str) -> None:
    engine = databases.connect(url, connections=1, writing=False)
    with engine.connect() as conn:
        asked = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
        assert [conn.exec_driver_sql(f"SHOW {name}").scalar() for name in asked] == ["5", "5", "2", "15000"]
    engine.dispose()


@servers_only
@pytest.mark.parametrize("writing", [True, False])
def test_a_node_notices_within_seconds_that_the_servers_machine_is_gone(url: str, writing: bool) -> None:
    engine = databases.connect(url, connections=1, writing=writing)
    with engine.connect() as conn:
        driver: Any = conn.connection.driver_connection
        number = driver._sock.fileno() if hasattr(driver, "_sock") else driver.fileno()
        asked = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        with socket.socket(fileno=os.dup(number)) as line:
            assert [line.getsockopt(socket.IPPROTO_TCP, one) for one in asked] == [5, 5, 2, 10_000]
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    engine.dispose()


@pytest.mark.mariadb
@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_a_writers_session_that_says_nothing_is_ended_with_all_its_locks_where_nothing_else_ends_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on MySQL, which has no time limit for an idle transaction."""
    monkeypatch.setattr(databases, "STILL_S", 1)
    stopped, other = (databases.connect(url, connections=1, writing=True) for _ in range(2))
    locked = select(schema.meta.c.name).where(schema.meta.c.name == "schema").with_for_update()
    conn = stopped.connect()
    conn.exec_driver_sql("SET SESSION idle_transaction_timeout = 0")
    assert conn.execute(locked).scalar() == "schema"
    time.sleep(2.5)
    with other.connect() as next_one:
        assert next_one.execute(locked).scalar() == "schema"
    conn.invalidate()
    for engine in (stopped, other):
        engine.dispose()
