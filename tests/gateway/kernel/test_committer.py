from __future__ import annotations

import errno
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, select, text
from twisted.python.failure import Failure

from gateway.kernel.cluster import restored_database
from gateway.kernel.commit import audit
from gateway.kernel.commit.committer import Committer
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.permit_lines import PeerHead
from gateway.kernel.commit.rows import Head, Permit
from gateway.kernel.commit.store import StoreFailed, Tx
from gateway.kernel.core.states import Cancel, Send
from gateway.kernel.sql import databases, schema
from gateway.kernel.sql.databases import LOCK_WAIT_S, is_locked
from gateway.payments.rows import admission as payments_admission
from gateway.payments.rows import lookup
from gateway.payments.rows import transition as applying
from protocols.canon.outcome import State
from tests.gateway.kernel.bench import NOW_MS, Journal, MemoryPermits, admission, admit, attempt, order, vault
from tests.gateway.kernel.payee_units import names, put
from tests.world.entropy import SeededEntropy

SERVERS = [pytest.param("postgresql", marks=pytest.mark.postgresql), pytest.param("mariadb", marks=pytest.mark.mariadb)]
servers_only = pytest.mark.parametrize("url", SERVERS, indirect=True)


class PeerHeadPermits(MemoryPermits):
    """A permit log that has seen a head of another node."""

    seen: PeerHead | None = None

    @property
    def peers(self) -> Mapping[str, PeerHead]:
        return {} if self.seen is None else {self.seen.node: self.seen}


def test_a_replica_that_lacks_what_others_wrote_ends_the_process_at_the_reconnection(url: str) -> None:
    permits = PeerHeadPermits()
    other, journal = Journal(url, "n2"), Journal(url, "n1", permits=permits)
    other.do(put("a"))
    head = other.read(lambda conn: audit.head_of(conn, "n2"))
    permits.seen = PeerHead("n2", head.seq, head.hash)
    journal.committer._drop()
    journal.do(put("b"))
    permits.seen = PeerHead("n2", head.seq + 1, head.hash)
    journal.do(put("c"))
    journal.committer._drop()
    with pytest.raises(StoreFailed, match="lacks entry 2 of node n2"):
        journal.do(put("d"))
    assert names(other) == {"a", "b", "c"}
    other.close()


def test_a_node_that_has_joined_and_written_nothing_yet_ends_nobody_at_a_reconnection(url: str) -> None:
    permits = PeerHeadPermits()
    other, journal = Journal(url, "n2"), Journal(url, "n1", permits=permits)
    other.committer.open()
    (permits.seen,) = other.read(lambda conn: restored_database.heads_of_others(conn, "n1"))
    assert permits.seen.seq == 0
    journal.do(put("a"))
    journal.committer._drop()
    journal.do(put("b"))
    assert names(journal) == {"a", "b"}
    other.close()
    journal.close()


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
    kept = MemoryPermits()
    journal = Journal(url, permits=kept)
    journal.do(put("first"))
    lost = lose_answer(journal.engine, after_commit=True)
    runs: list[int] = []

    def put_with_permit(tx: Tx) -> str:
        runs.append(1)
        tx.permit("lane/ref", 1, 1)
        return str(put("a")(tx))

    assert journal.group([put_with_permit, put("b")]) == ["a", "b"]
    assert lost == [1]
    assert runs == [1]
    assert names(journal) == {"first", "a", "b"}
    assert kept.groups == [[Permit("lane/ref", 1, 1)]]
    journal.do(put("c"))
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    journal.close()


@servers_only
def test_a_commit_whose_answer_is_lost_and_which_did_not_happen_is_run_again(url: str) -> None:
    kept = MemoryPermits()
    journal = Journal(url, permits=kept)
    journal.do(put("first"))
    lost = lose_answer(journal.engine, after_commit=False)
    runs: list[int] = []

    def put_with_permit(tx: Tx) -> str:
        runs.append(1)
        tx.permit("lane/ref", 1, 1)
        return str(put("a")(tx))

    assert journal.group([put_with_permit, put("b")]) == ["a", "b"]
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

    def send(tx: Tx) -> Applied:
        runs.append(1)
        return applying.apply(
            tx,
            row.payment,
            Send(NOW_MS),
            epoch=1,
            actor="lane:x",
            attempt=attempt(row.payment),
            version=row.version,
            expect=State.READY,
        )

    sent = journal.do(send)
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

    def cancel(tx: Tx) -> Applied:
        runs.append(1)
        return applying.apply(tx, row.payment, Cancel(NOW_MS), epoch=None, actor="user:erp")

    with pytest.raises(StoreFailed, match="in trouble for 5 s"):
        journal.do(cancel)
    assert runs == [1] and 2 < journal.hands.task.seconds() <= 5
    assert journal.read(lambda conn: lookup.fetch(conn, row.payment)) == row
    del journal.committer._connect  # the connection is back, and nothing uncommitted is left
    assert journal.do(cancel).row_before == row and runs == [1, 1]
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    journal.close()


def cut_questions(journal: Journal, lost: list[int], cuts: int) -> list[int]:
    """After a COMMIT whose answer was lost, end this many of the sessions that ask for the COMMIT's result."""
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
        # All but the COMMIT of another group, which is on its way when the process is killed and the next one starts.
        row = conn.execute(schema.units.select().where(schema.units.c.node == "n1")).one()
        head = Head(row.audit_seq, row.audit_hash)
        seal = audit.head_seal(killed.vault, "n1", "01KILLED", row.at_ms, head, row.before_seq, row.rows_seq)
        conn.execute(schema.units.update().where(schema.units.c.node == "n1").values(unit="01KILLED", seal=seal))
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
    """Lose the answer of the next COMMIT, which is either executed or not."""
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
    """The server is a standby that has taken over the address and is not promoted yet."""
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


ENDLESS = (
    "select count(*) from information_schema.columns a, information_schema.columns b, information_schema.columns c"
)


@pytest.mark.mariadb
@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
@pytest.mark.parametrize("by", ["kill query", "max_statement_time"])
def test_a_statement_that_the_operator_ends_is_run_again(url: str, by: str) -> None:
    journal = Journal(url)
    tries: list[int] = []

    def put_after_kills(tx: Tx) -> str:
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

    assert journal.do(put_after_kills) == "a" and len(tries) == 3
    journal.close()


@pytest.mark.mariadb
@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_a_server_that_says_it_is_in_trouble_is_left_and_the_unit_run_again(url: str) -> None:
    """The server is full, broken or read-only. The error numbers show that; the SQL state is the same as for a
    programming mistake."""
    journal, left = Journal(url), [*databases._TROUBLE_MYSQL]

    def put_after_errors(tx: Tx) -> str:
        if left:
            tx.fresh.execute(text(f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {left.pop()}, MESSAGE_TEXT = 'trouble'"))
        return str(put("a")(tx))

    assert journal.do(put_after_errors) == "a" and left == []
    journal.close()


@servers_only
def test_two_nodes_in_each_others_way_both_get_through(url: str) -> None:
    nodes = [Journal(url, "n1"), Journal(url, "n2")]
    nodes[0].do(put("a"))
    nodes[0].do(put("b"))
    meet = threading.Barrier(2, timeout=10)
    results: dict[str, list[Any]] = {}

    def update_both(first: str, second: str, once: list[int]) -> Any:
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
        results[journal.node] = journal.group([update_both(first, second, [])])

    threads = [
        threading.Thread(target=node, args=(nodes[0], "a", "b")),
        threading.Thread(target=node, args=(nodes[1], "b", "a")),
    ]
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
    """Both nodes count orders of the same senders, one in the order S1, S2, the other in the order S2, S1. The server
    would end one of the two transactions after a second, and the units, run one by one, would conflict again."""
    alone: list[object] = []
    once = Committer._alone

    def counted(self: Committer, *words: Any, **more: Any) -> Any:
        alone.append(words)
        return once(self, *words, **more)

    monkeypatch.setattr(Committer, "_alone", counted)
    nodes = [Journal(url, name) for name in ("n1", "n2", "n3")]
    kinds: list[payments_admission.Admittance] = []

    def admit_one(node: str, number: int, sender: str) -> Any:
        asked = admission(order(f"{node}-{number}", minor=1 + number), sender=sender, dup_key=f"{node}-{number}")
        return lambda tx: payments_admission.admit(tx, asked, tx.entropy)

    def takes_in(journal: Journal, turn: int) -> None:
        for group in range(8):
            senders = [f"s{(n + turn * 3 + group) % 6}" for n in range(6)]
            units = [admit_one(journal.node, 10 * group + n, sender) for n, sender in enumerate(senders)]
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
    """Units that accept orders are in a later group. A renewal, or an answer of a bank, is written."""
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
    monkeypatch.setattr("gateway.kernel.sql.databases.BUSY_TIMEOUT_MS", 1)
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
