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
from tests.world.lines import events, lines

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


def put(journal: Journal, value: str) -> None:
    """Write the row of the pauses past the gateway."""
    with journal.stranger() as conn:
        conn.execute(delete(schema.meta).where(schema.meta.c.name == "pauses"))
        conn.execute(insert(schema.meta), {"name": "pauses", "value": value})


MALFORMED = [
    '{"x": 5}',
    '{"x": null}',
    '{"x": [1]}',
    '{"x": [1, true, 2]}',
    '{"x": ["1", true]}',
    '{"x": [true, 1]}',
    '{"x": [-1, true]}',
    '{"x": {"number": 1}}',
    '{"": 5, "x": [1, true]}',
    '{"": [], "x": [1, true]}',
    '{"": {}, "x": [1, true]}',
    "5",
    "[1, 2]",
    "null",
    "{",
    "",
    "[" * 100_000,
    '{"x": [' + "9" * 5_000 + ", true]}",
    '{"x": [NaN, true]}',
    '{"x": [1e999, true]}',
    '{"\\ud800": [1, true]}',
    '{"\\u0000": [1, true]}',
    '{"y": [' + "9" * 4_300 + ", true]}",
]


@pytest.mark.parametrize("value", MALFORMED, ids=lambda value: value[:24])
def test_a_malformed_row_stops_no_pause(value: str, small: Journal) -> None:
    """In a journal that never had a pause, nothing but the row's form tells that it is not the gateway's."""
    put(small, value)
    with lines() as heard:
        found = small.read(lambda conn: lane_pauses.said(conn, ["x", "a.main"]))
    assert not found["x"].paused and found["a.main"] == PauseState()
    assert [told["why"] for told in events(heard, "journal.row_altered")] == (["is malformed"] if value else [])
    assert say(small, "a.main", paused=True) == PauseState(1, paused=True)
    found = small.read(lambda conn: lane_pauses.said(conn, ["x", "a.main"]))
    assert not found["x"].paused and found["a.main"] == PauseState(1, paused=True)


def test_a_row_that_names_very_many_lanes_stops_no_pause(journal: Journal) -> None:
    put(journal, json.dumps({f"x{n}": [1, True] for n in range(70_000)}))
    assert journal.read(lambda conn: lane_pauses.said(conn, ["x1"])) == {"x1": PauseState(1, paused=False)}


@pytest.mark.parametrize("value", MALFORMED, ids=lambda value: value[:24])
def test_a_malformed_row_lifts_no_pause(value: str, small: Journal) -> None:
    """The last states are noted with their numbers, also after the entries of the pauses were purged."""
    say(small, "a.main", paused=True)
    say(small, "a.main", paused=True)
    put(small, value)
    with small.stranger() as conn:
        conn.execute(delete(schema.audit).where(schema.audit.c.entry == "lane.paused"))
    for lanes in (["a.main"], ["a.main", "x"]):
        assert small.read(partial(lane_pauses.said, lanes=lanes))["a.main"] == PauseState(2, True)
    assert say(small, "a.main", paused=False) == PauseState(3, paused=False)


def test_what_was_added_to_a_sound_row_is_left_out(small: Journal) -> None:
    say(small, "a.main", paused=True)
    row = select(schema.meta.c.value).where(schema.meta.c.name == "pauses")
    kept = json.loads(small.read(lambda conn: conn.execute(row).scalar_one()))
    put(small, json.dumps({**kept, "x": 5}))
    with small.stranger() as conn:
        conn.execute(delete(schema.audit).where(schema.audit.c.entry == "lane.paused"))
    found = small.read(lambda conn: lane_pauses.said(conn, ["x", "a.main"]))
    assert found == {"x": PauseState(), "a.main": PauseState(1, paused=True)}


def test_a_malformed_state_counts_as_altered_and_the_others_keep_their_numbers(small: Journal) -> None:
    """A row without a MAC, as an older version wrote it: the trail says who is paused."""
    small.do(partial(audit.append, actor="uid:root", entry_kind="lane.paused", object_id="old.main"))
    small.do(partial(audit.append, actor="uid:root", entry_kind="lane.paused", object_id="x"))
    put(small, '{"x": 5, "old.main": [7, false]}')
    with lines() as heard:
        found = small.read(lambda conn: lane_pauses.said(conn, ["x", "old.main"]))
    assert found == {"x": PauseState(0, paused=True), "old.main": PauseState(7, paused=True)}
    [told] = events(heard, "journal.row_altered")
    assert (told["table"], told["row"]) == ("meta", "pauses")
