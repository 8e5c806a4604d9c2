from __future__ import annotations

from gateway.journal import neighbours, outbox
from gateway.journal.rows import OutboxRow
from tests.gateway.journal.bench import NOW_MS, Journal


def mail(journal: Journal, message_id: str) -> None:
    journal.do(lambda tx: tx.mail(OutboxRow(message_id, tx.node, "", "q", b"{}", created_ms=tx.now_ms)))


def test_the_mail_of_a_node_that_died_is_taken_over_once(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    mail(journal, "m1")
    dead_s = neighbours.DEAD_MS / 1000
    other.hands.task.advance(dead_s)
    assert other.read(lambda conn: neighbours.silent_nodes(conn, "n2", NOW_MS + neighbours.DEAD_MS)) == []
    assert other.do(lambda tx: neighbours.claim(tx, "n1")) == 0, "it was alive just now"
    other.hands.task.advance(0.001)
    late_ms = NOW_MS + neighbours.DEAD_MS + 1
    assert other.read(lambda conn: neighbours.silent_nodes(conn, "n2", late_ms)) == ["n1"]
    assert other.read(lambda conn: neighbours.silent_nodes(conn, "n1", late_ms)) == [], "nobody is his own heir"
    assert other.do(lambda tx: neighbours.claim(tx, "n1")) == 1
    assert other.do(lambda tx: neighbours.claim(tx, "n1")) == 0
    assert [row.message_id for row in other.read(lambda conn: outbox.unsent(conn, "n2"))] == ["m1"]
    assert other.read(lambda conn: neighbours.silent_nodes(conn, "n2", late_ms)) == [], "it has nothing left"
    other.close()


def test_a_node_that_commits_is_alive(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    mail(journal, "m1")
    journal.hands.task.advance(60)
    journal.do(lambda _tx: None)
    other.hands.task.advance(60)
    assert other.read(lambda conn: neighbours.silent_nodes(conn, "n2", NOW_MS + 60_000)) == []
    assert other.do(lambda tx: neighbours.claim(tx, "n1")) == 0
    other.close()
