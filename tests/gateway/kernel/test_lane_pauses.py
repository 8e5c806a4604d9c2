from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from gateway.kernel.cluster import lane_pauses
from gateway.kernel.cluster.lane_pauses import PauseState
from gateway.kernel.commit import audit
from gateway.kernel.sql import schema
from tests.gateway.kernel.bench import Journal

LONG = f"{'b' * 31}.{'m' * 31}"


def say(journal: Journal, lane: str, *, paused: bool) -> PauseState:
    return journal.do(lambda tx: lane_pauses.say(tx, lane, "uid:root", paused=paused, detail={}))


def test_the_last_word_holds_whatever_the_clock_of_its_node_shows(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    journal.hands.task.advance(60)
    assert say(journal, LONG, paused=False) == PauseState(1, paused=False)
    assert say(other, LONG, paused=True) == PauseState(2, paused=True)
    assert journal.read(lambda conn: lane_pauses.said(conn, [LONG, "c.main"])) == {
        LONG: PauseState(2, paused=True),
        "c.main": PauseState(),
    }
    other.close()


def test_what_an_older_version_wrote_into_the_audit_trail_counts_until_something_newer_is_said(
    journal: Journal,
) -> None:
    for entry in ("lane.resumed", "lane.paused", "lane.probed"):
        journal.hands.task.advance(1)
        journal.do(partial(audit.append, actor="uid:root", entry_kind=entry, object_id="old.main"))
    assert journal.read(lambda conn: lane_pauses.said(conn, ["old.main"])) == {"old.main": PauseState(0, paused=True)}
    say(journal, "old.main", paused=False)
    assert journal.read(lambda conn: lane_pauses.said(conn, ["old.main"])) == {"old.main": PauseState(1, paused=False)}


@pytest.mark.parametrize("forged", ["resumed", "resumed and unsealed", "removed"])
def test_a_pause_that_was_lifted_past_the_gateway_holds(journal: Journal, forged: str) -> None:
    say(journal, "a.main", paused=False)
    row = schema.meta.c.name == "pauses"
    say(journal, "a.main", paused=True)
    kept = json.loads(journal.read(lambda conn: conn.execute(select(schema.meta.c.value).where(row)).scalar_one()))
    kept["a.main"] = [7, False]
    if forged == "resumed and unsealed":
        del kept[""]
    with journal.stranger() as conn:
        if forged == "removed":
            conn.execute(delete(schema.meta).where(row))
        else:
            conn.execute(update(schema.meta).where(row).values(value=json.dumps(kept)))
        trail: dict[str, Any] = {
            "node": "n1",
            "seq": 99,
            "at_ms": 2**60,
            "actor": "uid:root",
            "entry": "lane.resumed",
            "object_id": "a.main",
            "detail": b"x" * 60,
            "prev_hash": "",
            "hash": "",
        }
        conn.execute(insert(schema.audit), trail)
    assert journal.read(lambda conn: lane_pauses.said(conn, ["a.main"]))["a.main"].paused
    say(journal, "b.main", paused=True)
    found = journal.read(lambda conn: lane_pauses.said(conn, ["a.main", "b.main"]))
    assert found["a.main"].paused and found["b.main"].paused, "a later word does not seal what was forged"
