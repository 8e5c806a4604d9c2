"""Barred persons: no change of their rows by SQL lets anybody act, while the daemon runs or after it starts again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import delete, insert, select

from gateway.kernel.cluster import restored_database
from gateway.kernel.commit import audit, barred_persons, registers
from gateway.kernel.sql import schema
from gateway.people.rows import entitlements
from gateway.people.rows.persons import No
from tests.gateway.kernel.bench import NOW_MS, Journal
from tests.gateway.people.test_people import people

MINE = schema.meta.c.name == "barred.n1"
FORGED = ["missing", "nope", "5", "[1]", '[{"li": "x"}, 3]', "[{}, 3]", pytest.param("[" * 60_000, id="nested")]


@pytest.fixture
def lived(url: str) -> Iterator[Journal]:
    made = Journal(url)
    people(made, wang="supervisor@*", li="supervisor@*", zhao="supervisor@*")
    yield made
    made.close()


def stored(journal: Journal) -> str:
    return str(journal.read(lambda conn: conn.execute(select(schema.meta.c.value).where(MINE)).scalar_one()))


def forge(journal: Journal, value: str) -> None:
    with journal.stranger() as conn:
        conn.execute(delete(schema.meta).where(MINE))
        if value != "missing":
            conn.execute(insert(schema.meta), {"name": "barred.n1", "value": value})


def barred(journal: Journal) -> set[str]:
    return set(journal.read(barred_persons.barred))


@pytest.mark.parametrize("value", FORGED)
def test_whom_a_row_barred_stays_barred_whatever_the_row_says(lived: Journal, value: str) -> None:
    lived.do(lambda tx: barred_persons.bar(tx, ["zhao"]))
    forge(lived, value)
    assert barred(lived) == {"zhao"}
    said = lived.read(lambda conn: entitlements.of_name(conn, "zhao", NOW_MS))
    assert isinstance(said, No) and said.code == "words_missing"
    assert "barred/n1" in registers.altered(lived.vault)
    lived.do(lambda tx: barred_persons.bar(tx, ["zhao"]))
    assert json.loads(stored(lived))[0] == {"zhao": NOW_MS}, "the node writes its row anew, and since when"
    assert registers.altered(lived.vault) == ()


def test_a_row_deleted_with_its_entry_frees_nobody(lived: Journal) -> None:
    lived.do(lambda tx: barred_persons.bar(tx, ["zhao"]))
    forge(lived, "missing")
    with lived.stranger() as conn:
        conn.execute(delete(schema.audit).where(schema.audit.c.object_id == "row:barred/n1"))
    assert barred(lived) == {"zhao"}


def test_an_older_row_put_back_counts_for_nothing(lived: Journal) -> None:
    lived.do(lambda tx: barred_persons.bar(tx, ["zhao"]))
    older = stored(lived)
    lived.do(lambda tx: barred_persons.bar(tx, ["zhao", "li"]))
    forge(lived, older)
    assert barred(lived) == {"li", "zhao"}
    lived.do(lambda tx: barred_persons.bar(tx, []))
    assert barred(lived) == set() and not lived.read(lambda conn: conn.execute(select(schema.meta).where(MINE)).all())
    forge(lived, older)
    assert barred(lived) == set(), "two administrators' words or the right database ended it"


def test_a_later_decision_about_the_person_ends_it_whatever_the_row_says(lived: Journal) -> None:
    lived.do(lambda tx: barred_persons.bar(tx, ["zhao", "li"]))
    forge(lived, "nope")
    lived.hands.task.advance(1)
    lived.do(lambda tx: audit.append(tx, "uid:1", "person.roles_changed", "person:zhao"))
    assert barred(lived) == {"li"}


def test_a_row_of_an_older_version_counts_and_is_noted_by_the_next_comparison(lived: Journal) -> None:
    since = {"zhao": NOW_MS}
    forge(lived, json.dumps([since, barred_persons._mac(lived.vault, "n1", since)]))
    assert barred(lived) == {"zhao"}
    before = lived.committer.committed.seq
    lived.do(lambda tx: barred_persons.bar(tx, ["zhao"]))
    assert lived.committer.committed.seq == before + 1
    lived.do(lambda tx: barred_persons.bar(tx, ["zhao"]))
    assert lived.committer.committed.seq == before + 1, "once"
    forge(lived, "missing")
    assert barred(lived) == {"zhao"}


@pytest.mark.parametrize("value", FORGED[1:])
def test_a_row_that_nobody_can_read_bars_everybody_until_it_is_gone(lived: Journal, value: str) -> None:
    forge(lived, value)
    assert barred(lived) == {"wang", "li", "zhao"}
    assert lived.read(lambda conn: restored_database.has_noticed(conn, "n1")), "the next start writes the row"
    lived.do(lambda tx: barred_persons.bar(tx, []))
    assert barred(lived) == set(), "the node itself knows of nobody"
