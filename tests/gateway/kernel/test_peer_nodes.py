from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from gateway.kernel.cluster import peer_nodes
from gateway.kernel.commit import outbox
from gateway.kernel.commit.rows import OutboxRow
from gateway.kernel.commit.store import StoreFailed
from tests.gateway.kernel.bench import NOW_MS, Journal
from tests.world.lines import events, lines
from tests.world.world import World


def mail(journal: Journal, message_id: str) -> None:
    journal.do(lambda tx: tx.enqueue(OutboxRow(message_id, tx.node, "", "q", b"{}", created_ms=tx.now_ms)))


def test_the_mail_of_a_node_that_died_is_taken_over_once(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    mail(journal, "m1")
    dead_s = peer_nodes.DEAD_MS / 1000
    other.hands.task.advance(dead_s)
    assert other.read(lambda conn: peer_nodes.silent_nodes(conn, "n2", NOW_MS + peer_nodes.DEAD_MS)) == []
    assert other.do(lambda tx: peer_nodes.claim(tx, "n1")) == 0, "it was alive just now"
    other.hands.task.advance(0.001)
    late_ms = NOW_MS + peer_nodes.DEAD_MS + 1
    assert other.read(lambda conn: peer_nodes.silent_nodes(conn, "n2", late_ms)) == ["n1"]
    assert other.read(lambda conn: peer_nodes.silent_nodes(conn, "n1", late_ms)) == [], "nobody is his own heir"
    assert other.do(lambda tx: peer_nodes.claim(tx, "n1")) == 1
    assert other.do(lambda tx: peer_nodes.claim(tx, "n1")) == 0
    assert [row.message_id for row in other.read(lambda conn: outbox.unsent(conn, "n2"))] == ["m1"]
    assert other.read(lambda conn: peer_nodes.silent_nodes(conn, "n2", late_ms)) == [], "it has nothing left"
    other.close()


def test_a_node_that_commits_is_alive(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    mail(journal, "m1")
    journal.hands.task.advance(60)
    journal.do(lambda _tx: None)
    other.hands.task.advance(60)
    assert other.read(lambda conn: peer_nodes.silent_nodes(conn, "n2", NOW_MS + 60_000)) == []
    assert other.do(lambda tx: peer_nodes.claim(tx, "n1")) == 0
    other.close()


def test_the_news_of_a_node_that_died_waits_no_more_than_twenty_seconds(tmp_path: Path) -> None:
    world = World(tmp_path, settings={"journal": {"poll_ms": 250}})
    first = world.start("gw1")
    second = world.start("gw2")
    world.run(peer_nodes.BEAT_S + 1)
    world.submit("AP-1", not_before=world.moment(4))
    world.run(2)
    first.amqp.drop(1_000)
    second.amqp.drop(5)
    world.run(4)
    assert world.told("AP-1")[-1] == "payment.accepted", "one of the two settled it, and could not say so"
    first.crash()
    world.run(20)
    assert world.told("AP-1")[-1] == "payment.settled"


def test_a_node_that_stood_still_itself_takes_nobody_for_dead_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, settings={"journal": {"poll_ms": 250}})
    life = world.start("gw1")
    beats = life.gateway.peer_nodes
    assert beats._may_judge()
    world.run(20)
    assert beats._may_judge(), "it beat all the while"
    beats._beaten_s = life.clock.monotonic_s() - 3 * peer_nodes.BEAT_S
    assert not beats._may_judge()
    world.run(10)
    assert not beats._may_judge()
    world.run(peer_nodes.DEAD_MS / 1000 - 9)
    assert beats._may_judge()


def test_a_malformed_row_of_pauses_stops_no_beat(tmp_path: Path) -> None:
    """The same reading tells this node that another one found the database older than its permit log."""
    world = World(tmp_path, settings={"journal": {"poll_ms": 250}})
    life = world.start()
    world.run(1)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db, db:
        db.execute("INSERT INTO meta (name, value) VALUES ('pauses', '{\"x\": 5}')")
    heard = list[object]()
    life.gateway.peer_nodes._on_past = heard.append
    with lines() as said:
        world.run(peer_nodes.BEAT_S * 2)
    assert not events(said, "peer_nodes.failed") and len(heard) == 2
    assert [told["why"] for told in events(said, "journal.row_altered")] == ["is malformed"]


def test_a_node_alone_that_has_a_new_name_publishes_what_waits_under_its_old_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start("gw1")
    world.run(1)
    world.submit("AP-1", not_before=world.moment(4))
    world.run(2)
    life.amqp.drop(1_000)
    world.run(5)
    assert world.state("AP-1") == "settled" and world.told("AP-1") == ["payment.accepted"]
    world.crash()
    with lines() as said:
        world.start("gw2")
        world.run(20)
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"]
    assert [(line["of"], line["messages"]) for line in events(said, "outbox.claimed")] == [("gw1", 1)]
    assert len(world.bank.ledger.executions) == 1
    world.crash()
    with lines() as said:
        world.start("gw3")
        world.run(20)
    assert not events(said, "outbox.claimed"), "nothing waited"
    world.crash()


def test_of_nodes_that_share_a_journal_none_takes_the_mail_of_another_that_lives(tmp_path: Path) -> None:
    world = World(tmp_path, settings={"journal": {"poll_ms": 250}})
    first = world.start("gw1")
    world.run(1)
    first.amqp.drop(1_000)
    first.store.write(lambda tx: tx.enqueue(OutboxRow("m1", tx.node, "", "q", b"{}", created_ms=tx.now_ms)))
    second = world.start("gw2")
    world.run(peer_nodes.BEAT_S * 2)
    assert [row.message_id for row in world.read(lambda conn: outbox.unsent(conn, "gw1"))] == ["m1"]
    for life in (first, second):
        life.crash()


def test_a_node_that_alone_has_lost_the_broker_leaves_its_news_to_one_that_has_it(tmp_path: Path) -> None:
    world = World(tmp_path, settings={"journal": {"poll_ms": 250}})
    first = world.start("gw1")
    world.run(1)
    second = world.start("gw2")
    world.run(5)
    world.submit("AP-1", not_before=world.moment(10))
    world.run(2)
    first.amqp.drop(600)
    with lines() as said:
        world.run(12)
        assert world.state("AP-1") == "settled" and world.told("AP-1") == ["payment.accepted"]
        assert not events(said, "outbox.left"), "it may be back in a moment"
        world.run(12)
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"]
    [left] = events(said, "outbox.left")
    [claimed] = events(said, "outbox.claimed")
    assert left["messages"] == claimed["messages"] == 1
    world.run(600)
    told = {(event["event"], event["seq"]) for event in world.events if event.get("id") == "AP-1"}
    assert told == {("payment.accepted", 1), ("payment.settled", 2)}, "its own broker back, it may say it once more"
    assert len(world.bank.ledger.executions) == 1 and first.fatal + second.fatal == []
    for life in (first, second):
        life.crash()


def test_without_the_broker_nobody_takes_or_leaves_what_no_other_could_publish_sooner(tmp_path: Path) -> None:
    world = World(tmp_path, settings={"journal": {"poll_ms": 250}})
    first = world.start("gw1")
    world.run(1)
    first.amqp.drop(1_000)
    first.store.write(lambda tx: tx.enqueue(OutboxRow("m1", tx.node, "", "q", b"{}", created_ms=tx.now_ms)))
    world.run(200)
    assert [row.message_id for row in world.read(lambda conn: outbox.unsent(conn, "gw1"))] == ["m1"], "it is alone"
    second = world.start("gw2")
    world.run(1)
    second.amqp.drop(1_000)
    first.crash()
    world.run(200)
    assert [row.message_id for row in world.read(lambda conn: outbox.unsent(conn, "gw1"))] == ["m1"], "nor has gw2 it"
    second.crash()


@pytest.mark.parametrize("last", [False, True])
def test_a_beat_that_fails_is_not_the_last_unless_the_journal_has_failed(
    last: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, settings={"journal": {"poll_ms": 250}})
    life = world.start()
    world.run(1)
    heard: list[Mapping[str, frozenset[str]]] = []

    def stumble(noticed: Mapping[str, frozenset[str]]) -> None:
        heard.append(noticed)
        raise StoreFailed("it is over") if last else KeyError("b.main")

    monkeypatch.setattr(life.gateway.peer_nodes, "_on_past", stumble)
    with lines() as said:
        world.run(peer_nodes.BEAT_S * 2)
    assert len(heard) == (1 if last else 2)
    failed = events(said, "peer_nodes.failed")
    assert len(failed) == (0 if last else 2) == life.sample("bankgw_alarms_total", alarm="impossible")
    assert all("stumble" in line["error"] and "KeyError" in line["error"] for line in failed)
    life.gateway.peer_nodes.stop()
    world.run(peer_nodes.BEAT_S * 2)
    assert len(heard) == (1 if last else 2), "stopped is stopped"
    world.crash()
