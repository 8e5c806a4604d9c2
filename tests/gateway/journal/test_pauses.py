from __future__ import annotations

from functools import partial

from gateway.journal import audit, pauses
from gateway.journal.pauses import Said
from tests.gateway.journal.bench import Journal

LONG = f"{'b' * 31}.{'m' * 31}"


def say(journal: Journal, lane: str, *, paused: bool) -> Said:
    return journal.do(lambda tx: pauses.say(tx, lane, "uid:root", paused=paused, detail={}))


def test_the_last_word_holds_whatever_the_clock_of_its_node_shows(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    journal.hands.task.advance(60)
    assert say(journal, LONG, paused=False) == Said(1, paused=False)
    assert say(other, LONG, paused=True) == Said(2, paused=True)
    assert journal.read(lambda conn: pauses.said(conn, [LONG, "c.main"])) == {
        LONG: Said(2, paused=True), "c.main": Said(),
    }  # fmt: skip
    other.close()


def test_what_an_older_version_wrote_into_the_audit_trail_counts_until_something_newer_is_said(journal: Journal) -> None:
    for entry in ("lane.resumed", "lane.paused", "lane.probed"):
        journal.hands.task.advance(1)
        journal.do(partial(audit.append, actor="uid:root", entry_kind=entry, object_id="old.main"))
    assert journal.read(lambda conn: pauses.said(conn, ["old.main"])) == {"old.main": Said(0, paused=True)}
    say(journal, "old.main", paused=False)
    assert journal.read(lambda conn: pauses.said(conn, ["old.main"])) == {"old.main": Said(1, paused=False)}
