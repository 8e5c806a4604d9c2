"""An emergency stop is one state that every node reads, and that nobody can lift without the vault's key."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select, update

from gateway.kernel.cluster import stops
from gateway.kernel.cluster.stops import Stop
from gateway.kernel.commit import audit
from gateway.kernel.sql import schema
from tests.gateway.kernel.bench import NOW_MS, Journal


def say(journal: Journal, *, stopped: bool, reason: str = "fraud?", actor: str = "uid:li") -> Stop:
    return journal.do(lambda tx: stops.say(tx, actor, reason, stopped=stopped))


def last(journal: Journal) -> Stop:
    return journal.read(stops.last)


def test_the_last_word_holds_on_every_node(journal: Journal) -> None:
    assert last(journal) == Stop()
    said = say(journal, stopped=True)
    assert said == Stop(1, True, NOW_MS, "uid:li", "fraud?")
    other = Journal(journal.url, "n2")
    assert last(other) == said
    assert say(other, stopped=False, actor="persons:wang+li") == Stop(2, False, NOW_MS, "persons:wang+li", "fraud?")
    assert not last(journal).stopped
    assert journal.read(lambda conn: audit.verify(conn, journal.vault)) == []
    entries = journal.read(
        lambda conn: (
            conn.execute(
                select(schema.audit.c.entry)
                .where(schema.audit.c.object_id == stops.SUBJECT)
                .order_by(schema.audit.c.node)
            )
            .scalars()
            .all()
        )
    )
    assert entries == ["gateway.stopped", "gateway.restarted"]
    other.close()


def test_a_second_stop_is_the_first_one(journal: Journal) -> None:
    first = say(journal, stopped=True)
    assert say(journal, stopped=True, reason="again", actor="uid:wang") == first
    assert journal.count(schema.stops) == 1


def test_a_word_that_was_not_sealed_by_us_is_a_stop(journal: Journal) -> None:
    say(journal, stopped=True)
    words: dict[str, Any] = {"number": 2, "stopped": 0, "at_ms": NOW_MS, "body": b"{}"}
    with journal.stranger() as conn:
        conn.execute(insert(schema.stops), words)
    forged = last(journal)
    assert (forged.number, forged.stopped) == (2, True) and "altered" in forged.reason
    with journal.stranger() as conn:
        conn.execute(schema.stops.delete().where(schema.stops.c.number == 2))
        conn.execute(update(schema.stops).values(stopped=0))
    assert last(journal).stopped
