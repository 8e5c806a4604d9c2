from __future__ import annotations

import errno
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text
from twisted.python.failure import Failure

from gateway.core.states import Cancel, Send
from gateway.journal.commit import audit
from gateway.journal.commit.committer import Committer
from gateway.journal.commit.hand_over import Applied
from gateway.journal.commit.rows import Head, Permit
from gateway.journal.commit.serials import draw_serials
from gateway.journal.commit.store import StoreFailed, Tx
from gateway.journal.payments import admission as payments_admission
from gateway.journal.payments import lookup
from gateway.journal.payments import transition as applying
from gateway.journal.sql import databases, driver, schema
from gateway.journal.sql.databases import LOCK_WAIT_S, count, is_locked
from protocols.canon.outcome import State
from tests.gateway.journal.bench import LANE, NOW_MS, Journal, KeptPermits, admission, admit, attempt, order, vault
from tests.world.entropy import SeededEntropy

SERVERS = [pytest.param("postgresql", marks=pytest.mark.postgresql), pytest.param("mariadb", marks=pytest.mark.mariadb)]
servers_only = pytest.mark.parametrize("url", SERVERS, indirect=True)


def put(name: str) -> Any:
    def unit(tx: Tx) -> str:
        tx.fresh.execute(insert(schema.payees), {"sender": "s", "payee": name, "first_ms": 1})
        audit.append(tx, "x", "put", name)
        return name

    return unit


def names(journal: Journal) -> set[str]:
    return set(journal.read(lambda conn: conn.execute(select(schema.payees.c.payee)).scalars().all()))


def kill(writer: Connection, journal: Journal) -> None:
    """End the writer's own session from outside, as a restarting server does."""
    ours = {"postgresql": "select pg_backend_pid()", "mysql": "select connection_id()"}
    end = {"postgresql": "select pg_terminate_backend({})", "mysql": "kill {}"}
    kind = "postgresql" if writer.dialect.name == "postgresql" else "mysql"
    began = not writer.in_transaction()
    number = writer.execute(text(ours[kind])).scalar_one()
    if began:
        writer.rollback()
    with journal.readers.connect() as conn:
        conn.execute(text(end[kind].format(number)))


@servers_only
def test_a_connection_lost_before_the_commit_is_made_anew_and_the_units_run_again(url: str) -> None:
    journal = Journal(url)
    lost: list[int] = []

    def loses(tx: Tx) -> str:
        put("b")(tx)
        if not lost:
            lost.append(1)
            kill(tx.fresh, journal)
            tx.fresh.execute(select(schema.payees)).all()
        return "b"

    assert journal.group([put("a"), loses, put("c")]) == ["a", "b", "c"]
    assert names(journal) == {"a", "b", "c"}
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    journal.close()


@servers_only
def test_a_commit_whose_answer_is_lost_but_which_happened_is_not_run_again(url: str) -> None:
    kept = KeptPermits()
    journal = Journal(url, permits=kept)
    journal.do(put("first"))
    lost = lose_answer(journal.engine, after_commit=True)
    runs: list[int] = []

    def unit(tx: Tx) -> str:
        runs.append(1)
        tx.permit("lane/ref", 1, 1)
        return str(put("a")(tx))

    assert journal.group([unit, put("b")]) == ["a", "b"]
    assert lost == [1]
    assert runs == [1]
    assert names(journal) == {"first", "a", "b"}
    assert kept.groups == [[Permit("lane/ref", 1, 1)]]
    journal.do(put("c"))
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    journal.close()


@servers_only
def test_a_commit_whose_answer_is_lost_and_which_did_not_happen_is_run_again(url: str) -> None:
    kept = KeptPermits()
    journal = Journal(url, permits=kept)
    journal.do(put("first"))
    lost = lose_answer(journal.engine, after_commit=False)
    runs: list[int] = []

    def unit(tx: Tx) -> str:
        runs.append(1)
        tx.permit("lane/ref", 1, 1)
        return str(put("a")(tx))

    assert journal.group([unit, put("b")]) == ["a", "b"]
    assert lost == [1]
    assert runs == [1, 1]
    assert names(journal) == {"first", "a", "b"}
    assert kept.groups == [[Permit("lane/ref", 1, 1)]]
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    journal.close()


@servers_only
@pytest.mark.parametrize("after_commit", [False, True], ids=["undone", "done"])
@pytest.mark.parametrize("cuts", [1, 3])
def test_a_lost_commit_is_asked_about_until_there_is_an_answer(url: str, after_commit: bool, cuts: int) -> None:
    journal = Journal(url)
    row = journal.admit().row
    lost = lose_answer(journal.engine, after_commit=after_commit)
    cut = cut_questions(journal, lost, cuts)
    runs: list[int] = []

    def unit(tx: Tx) -> Applied:
        runs.append(1)
        return applying.apply(tx, row.payment, Send(NOW_MS), epoch=1, actor="lane:x", attempt=attempt(row.payment),
                              version=row.version, expect=State.READY)  # fmt: skip

    sent = journal.do(unit)
    assert (sent.conflict, len(runs), len(cut)) == (False, 1 if after_commit else 2, cuts)
    assert journal.read(lambda conn: lookup.fetch(conn, row.payment)) == sent.row_after
    journal.do(put("a"))
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    journal.close()


@servers_only
def test_a_lost_commit_that_nothing_can_be_learnt_about_is_the_end_and_nothing_runs_again(url: str) -> None:
    journal = Journal(url, reconnect_s=5.0)
    row = journal.admit().row
    cut_questions(journal, lose_answer(journal.engine, after_commit=False), 1_000)
    runs: list[int] = []

    def unit(tx: Tx) -> Applied:
        runs.append(1)
        return applying.apply(tx, row.payment, Cancel(NOW_MS), epoch=None, actor="user:erp")

    with pytest.raises(StoreFailed, match="in trouble for 5 s"):
        journal.do(unit)
    assert runs == [1] and 2 < journal.hands.task.seconds() <= 5
    assert journal.read(lambda conn: lookup.fetch(conn, row.payment)) == row
    del journal.committer._connect  # the line is back, and nothing is left of what was not committed
    assert journal.do(unit).row_before == row and runs == [1, 1]
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    journal.close()


def cut_questions(journal: Journal, lost: list[int], cuts: int) -> list[int]:
    """Once a COMMIT's answer is lost, end this many of the sessions that are opened to ask what became of it."""
    connect, cut = journal.committer._connect, list[int]()

    def connect_and_lose() -> Connection:
        conn = connect()
        if lost and len(cut) < cuts:
            cut.append(1)
            kill(conn, journal)
        return conn

    journal.committer._connect = connect_and_lose  # type: ignore[method-assign]
    return cut


@servers_only
def test_the_last_commit_of_a_killed_process_may_arrive_after_its_successor(url: str) -> None:
    import threading

    killed, next_one = Journal(url), Journal(url, entropy=SeededEntropy(2))
    killed.do(put("a"))
    results: list[Any] = []
    takes_over = threading.Thread(target=lambda: results.append(next_one.do(put("c"))))
    with create_engine(url).begin() as conn:
        # All but the COMMIT of another group: it is on its way when the process is killed and the next one starts.
        conn.execute(schema.units.update().where(schema.units.c.node == "n1").values(unit="01KILLED"))
        takes_over.start()
        takes_over.join(0.5)
        assert takes_over.is_alive(), "it waits for what is under way"
    takes_over.join(20)
    assert results == ["c"]
    with pytest.raises(StoreFailed, match="another process"):
        killed.do(put("d"))
    for journal in (killed, next_one):
        journal.close()


@servers_only
def test_two_nodes_may_begin_a_journal_in_the_same_moment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with create_engine(url).begin() as conn:
        conn.execute(schema.meta.delete().where(schema.meta.c.name == "vault_probe"))
    one, other = Journal(url), Journal(url, "n2")
    seal, begun = one.vault.seal, list[str]()

    def meanwhile(value: bytes, aad: bytes) -> bytes:
        if aad == b"meta/value/vault_probe" and not begun:
            begun.append(other.do(put("b")))
        return seal(value, aad)

    monkeypatch.setattr(one.vault, "seal", meanwhile)
    assert one.do(put("a")) == "a" and begun == ["b"]
    assert names(one) == {"a", "b"} and one.do(put("c")) == "c" and other.do(put("d")) == "d"
    assert one.read(lambda conn: audit.verify(conn, vault())) == []
    for journal in (one, other):
        journal.close()


@servers_only
def test_a_start_whose_connection_is_lost_begins_anew(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(url)
    head_of, lost = audit.head_of, list[int]()

    def loses(conn: Connection, node: str) -> Head:
        if not lost:
            lost.append(1)
            kill(conn, journal)
        return head_of(conn, node)

    monkeypatch.setattr(audit, "head_of", loses)
    assert journal.do(put("a")) == "a" and lost == [1] and journal.do(put("b")) == "b"
    journal.close()


def lose_answer(engine: Engine, *, after_commit: bool) -> list[int]:
    """Make the next COMMIT's answer disappear, with the COMMIT done or undone."""
    real = engine.dialect.do_commit
    lost: list[int] = []

    def do_commit(connection: Any) -> None:
        if lost:
            real(connection)
            return
        lost.append(1)
        if after_commit:
            real(connection)
        connection.close()
        raise ConnectionResetError("the server went away")

    engine.dialect.do_commit = do_commit  # type: ignore[method-assign, assignment]
    return lost


@servers_only
def test_a_database_that_stays_away_is_the_end_after_a_while(url: str) -> None:
    journal = Journal(url, reconnect_s=5.0)
    journal.do(put("a"))

    def gone(*_: object, **__: object) -> None:
        raise journal.engine.dialect.loaded_dbapi.OperationalError(2003, "cannot connect")

    journal.engine.dialect.connect = gone  # type: ignore[assignment]

    def loses(tx: Tx) -> None:
        kill(tx.fresh, journal)
        tx.fresh.execute(select(schema.payees)).all()

    with pytest.raises(StoreFailed, match="in trouble for 5 s"):
        journal.do(loses)
    assert 2 < journal.hands.task.seconds() <= 5
    journal.readers.dispose()


@pytest.mark.postgresql
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("started", [True, False], ids=["serving", "starting"])
def test_a_server_that_may_only_be_read_is_left_and_sought_anew_until_one_may_be_written(
    url: str, started: bool
) -> None:
    """A standby that took the address over and is not promoted yet."""
    journal = Journal(url)
    if started:
        journal.do(put("a"))
        kill(journal.committer._connected(), journal)
    met: list[int] = []

    def stands_by(connection: Any, _record: Any) -> None:
        met.append(1)
        if len(met) < 4:
            connection.execute("SET default_transaction_read_only = on")
            connection.commit()

    event.listen(journal.engine, "connect", stands_by)
    assert journal.group([put("b"), put("c")]) == ["b", "c"] and len(met) == 4
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    journal.close()


ENDLESS = "select count(*) from information_schema.columns a, information_schema.columns b, information_schema.columns c"


@pytest.mark.mariadb
@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
@pytest.mark.parametrize("by", ["kill query", "max_statement_time"])
def test_a_statement_that_the_operator_ends_is_run_again(url: str, by: str) -> None:
    journal = Journal(url)
    tries: list[int] = []

    def unit(tx: Tx) -> str:
        tries.append(1)
        if len(tries) < 3:
            limit = 20.0 if by == "kill query" else 0.2
            number = tx.fresh.execute(text("select connection_id()")).scalar_one()
            if by == "kill query":
                threading.Timer(0.3, end, [number]).start()
            tx.fresh.execute(text(f"set statement max_statement_time={limit} for {ENDLESS}"))
        return str(put("a")(tx))

    def end(number: int) -> None:
        with create_engine(url).connect() as conn:
            conn.execute(text(f"kill query {number}"))

    assert journal.do(unit) == "a" and len(tries) == 3
    journal.close()


@pytest.mark.mariadb
@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_a_server_that_says_it_is_in_trouble_is_left_and_the_unit_run_again(url: str) -> None:
    """Full, broken, read-only and the like: the numbers say so, the state beside them is the same as of a mistake."""
    journal, left = Journal(url), [*databases._TROUBLE_MYSQL]

    def unit(tx: Tx) -> str:
        if left:
            tx.fresh.execute(text(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {left.pop()}, MESSAGE_TEXT = 'trouble'"))
        return str(put("a")(tx))

    assert journal.do(unit) == "a" and left == []
    journal.close()


@servers_only
def test_two_nodes_in_each_others_way_both_get_through(url: str) -> None:
    nodes = [Journal(url, "n1"), Journal(url, "n2")]
    nodes[0].do(put("a"))
    nodes[0].do(put("b"))
    meet = threading.Barrier(2, timeout=10)
    results: dict[str, list[Any]] = {}

    def unit(first: str, second: str, once: list[int]) -> Any:
        def run(tx: Tx) -> int:
            update = schema.payees.update().values(first_ms=schema.payees.c.first_ms + 1)
            update = update.where(schema.payees.c.sender == "s")
            tx.fresh.execute(update.where(schema.payees.c.payee == first))
            if not once:
                once.append(1)
                meet.wait()
            tx.fresh.execute(update.where(schema.payees.c.payee == second))
            return 1

        return run

    def node(journal: Journal, first: str, second: str) -> None:
        results[journal.node] = journal.group([unit(first, second, [])])

    threads = [threading.Thread(target=node, args=(nodes[0], "a", "b")),
               threading.Thread(target=node, args=(nodes[1], "b", "a"))]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {"n1": [1], "n2": [1]}
    for journal in nodes:
        journal.close()


@servers_only
def test_nodes_that_take_in_orders_of_the_same_senders_at_once_do_not_stand_in_each_others_way(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each counts its orders in their order: S1 then S2 here, S2 then S1 there. The server would end one of the two,
    after a second, and the units of a group that were run one by one would meet again."""
    alone: list[object] = []
    once = Committer._alone
    def counted(self: Committer, *words: Any, **more: Any) -> Any:
        alone.append(words)
        return once(self, *words, **more)

    monkeypatch.setattr(Committer, "_alone", counted)
    nodes = [Journal(url, name) for name in ("n1", "n2", "n3")]
    kinds: list[payments_admission.Admittance] = []

    def unit(node: str, number: int, sender: str) -> Any:
        asked = admission(order(f"{node}-{number}", minor=1 + number), sender=sender, dup_key=f"{node}-{number}")
        return lambda tx: payments_admission.admit(tx, asked, tx.entropy)

    def takes_in(journal: Journal, turn: int) -> None:
        for group in range(8):
            senders = [f"s{(n + turn * 3 + group) % 6}" for n in range(6)]
            units = [unit(journal.node, 10 * group + n, sender) for n, sender in enumerate(senders)]
            kinds.extend(one.kind for one in journal.committer.commit(units, dict.fromkeys(range(6), "s1")).results)

    threads = [threading.Thread(target=takes_in, args=(journal, turn)) for turn, journal in enumerate(nodes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds == [payments_admission.Admittance.NEW] * 144 and alone == []
    for journal in nodes:
        journal.close()


@servers_only
def test_while_a_stranger_stands_in_the_door_the_rest_of_a_group_waits_for_it_once(url: str) -> None:
    """What takes in orders comes with a later group; a renewal, or an answer of a bank, is written down."""
    journal = Journal(url)
    journal.do(put("a"))
    with journal.stranger() as stranger:
        stranger.execute(select(schema.meta).where(schema.meta.c.name == "schema").with_for_update())
        began_s = time.monotonic()
        units = [admit(order("x")), put("b"), admit(order("y")), admit(order("z"))]
        done = journal.committer.commit(units, {0: "s1", 2: "s2", 3: "s3"})
        lasted_s = time.monotonic() - began_s
    first, renewed, *others = done.results
    assert all(isinstance(one, Failure) and is_locked(one.value) for one in (first, *others))
    assert not isinstance(renewed, Failure) and names(journal) == {"a", "b"}
    assert LOCK_WAIT_S - 1 < lasted_s < LOCK_WAIT_S + 2
    again = journal.committer.commit([admit(order("x")), admit(order("y"))], {0: "s1", 1: "s2"})
    assert [one.kind for one in again.results] == [payments_admission.Admittance.NEW] * 2
    journal.close()


def test_a_locked_database_is_waited_for_and_then_the_end(small: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.journal.sql.databases.BUSY_TIMEOUT_MS", 1)
    journal = Journal(small.url, "n2", reconnect_s=3.0)
    with small.engine.connect() as conn, conn.begin(), pytest.raises(StoreFailed, match="in trouble"):
        journal.do(put("a"))
    assert journal.do(put("a")) == "a"
    journal.close()


def test_a_connection_for_which_no_descriptor_is_left_is_waited_for(sqlite_url: str) -> None:
    journal = Journal(sqlite_url)
    real, asked = journal.engine.dialect.connect, []

    def connect(*words: Any, **more: Any) -> Any:
        asked.append(1)
        if len(asked) < 4:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(*words, **more)

    journal.engine.dialect.connect = connect  # type: ignore[method-assign]
    assert journal.do(put("a")) == "a"
    assert len(asked) == 4
    journal.close()


def test_a_wrong_statement_is_the_units_own_fault(journal: Journal) -> None:
    def wrong(tx: Tx) -> None:
        tx.fresh.execute(text("select * from no_such_table"))

    first, second = journal.group([wrong, put("a")])
    assert isinstance(first, Failure)
    assert second == "a"
    assert journal.hands.task.seconds() == 0.0


def test_numbers_and_audit_of_a_group_that_failed_are_not_used_twice_nor_left_out(journal: Journal) -> None:
    drawn: list[int] = []

    def draw(tx: Tx) -> range:
        numbers = draw_serials(tx, LANE, 2)
        audit.append(tx, "x", "drawn", LANE)
        return numbers

    def poison(tx: Tx) -> None:
        draw(tx)
        raise ValueError("poison")

    for _ in range(5):
        for value in journal.group([draw, poison, draw]):
            if not isinstance(value, Failure):
                drawn += value
    other = Journal(journal.url, "n2")
    drawn += other.do(lambda tx: draw_serials(tx, LANE, 100))
    other.close()
    assert len(drawn) == len(set(drawn)) == 120
    assert journal.count(schema.audit) == 10
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []


def test_a_group_that_fails_at_its_very_end_leaves_no_gap_in_the_audit(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[object] = []

    def fail_once(conn: Connection, statement: Any, values: Any) -> int:
        if not failed:
            failed.append(statement)
            raise ValueError("a failure after everything was written")
        return driver.write(conn, statement, values)

    journal.do(put("a"))
    monkeypatch.setattr("gateway.journal.commit.committer.write", fail_once)
    assert journal.group([put("b"), put("c")]) == ["b", "c"]
    assert len(failed) == 1
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    assert journal.count(schema.audit) == 3


def test_numbers_are_not_given_out_again_after_a_restart(journal: Journal) -> None:
    first = journal.do(lambda tx: draw_serials(tx, LANE, 3))
    other = Journal(journal.url, "n2")
    second = other.do(lambda tx: draw_serials(tx, LANE, 300))
    third = journal.do(lambda tx: draw_serials(tx, LANE, 3))
    numbers = [*first, *second, *third]
    assert len(numbers) == len(set(numbers)) == 306
    other.close()


CRASH = """
import os, sys
from pathlib import Path
from tests.gateway.journal.bench import Hands, admission, order, vault
from tests.world.entropy import SeededEntropy
from gateway.journal.payments import admission as admitting
from tests.world.inline_executor import InlineExecutor
from gateway.journal.commit.permit_log import PermitLog
from gateway.journal.commit.group_commit import SqlStore

hands = Hands()
class Dies(InlineExecutor):
    def run(self, work, then):
        def end(result):
            os._exit(9)     # committed, and nobody was told
        super().run(work, end)
store = SqlStore(sys.argv[1], None, hands, "n1", vault(), PermitLog(Path(sys.argv[2]), vault(), "n1"),
                 executor=Dies(hands), reading=InlineExecutor(hands), entropy=SeededEntropy(3))
for n in range(20):
    store.write(lambda tx, n=n: admitting.admit(tx, admission(order(f"a{n}")), tx.entropy)).addCallback(print)
hands.task.advance(0)
hands.task.advance(0)
"""


def test_what_was_committed_survives_a_crash_before_anybody_was_told(sqlite_url: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    script = textwrap.dedent(CRASH)
    arguments = [sys.executable, "-c", script, sqlite_url, str(tmp_path / "permits")]
    done = subprocess.run(arguments, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True,
                          timeout=50)  # fmt: skip
    assert (done.returncode, done.stdout) == (9, ""), done.stderr
    journal = Journal(sqlite_url)
    assert journal.read(lambda conn: count(conn, schema.payments)) == 20
    again = journal.group([admit(order(f"a{n}")) for n in range(20)])
    assert {one.kind for one in again} == {payments_admission.Admittance.REPLAYED}
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    journal.close()
