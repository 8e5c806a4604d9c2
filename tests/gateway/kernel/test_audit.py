from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from gateway.kernel.commit import audit, chain_check
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from tests.gateway.kernel.bench import Journal, vault

A = schema.audit.c


def note(n: int) -> Callable[[Tx], None]:
    return lambda tx: audit.append(tx, "user:erp", "thing.done", f"object-{n}", {"n": n, "why": "因为"})


@pytest.fixture
def chain(journal: Journal) -> Journal:
    for n in range(6):
        journal.do(note(n))
    assert journal.read(lambda conn: audit.verify(conn, vault())) == []
    return journal


def tamper(journal: Journal, change: Callable[[Any], object]) -> list[str]:
    """The findings of `verify` after a change that did not go through the journal."""
    with journal.stranger() as conn:
        change(conn)
    return journal.read(lambda conn: audit.verify(conn, journal.vault))


def set_(seq: int, **values: object) -> Callable[[Any], object]:
    return lambda conn: conn.execute(update(schema.audit).where(A.seq == seq).values(**values))


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "user:other"},
        {"entry": "thing.undone"},
        {"object_id": "object-9"},
        {"at_ms": 1},
        {"detail": b"x" * 60},
        {"hash": "0" * 64},
    ],
)
def test_any_altered_word_is_seen(chain: Journal, change: dict[str, object]) -> None:
    assert any("entry 3 was altered" in problem for problem in tamper(chain, set_(3, **change)))


def test_a_removed_entry_is_seen(chain: Journal) -> None:
    problems = tamper(chain, lambda conn: conn.execute(delete(schema.audit).where(A.seq == 3)))
    assert problems == ["audit of n1: entry 3 is missing; 4 follows 2"]


def test_a_cut_off_end_is_seen(chain: Journal) -> None:
    problems = tamper(chain, lambda conn: conn.execute(delete(schema.audit).where(A.seq >= 5)))
    assert problems == ["audit of n1: it ends at entry 4, the last commit wrote entry 6"]


def test_two_entries_that_changed_places_are_seen(chain: Journal) -> None:
    def swap(conn: Any) -> None:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            conn.execute(update(schema.audit).where(A.seq == old).values(seq=new))

    problems = tamper(chain, swap)
    assert any("entry 2 does not continue" in problem for problem in problems)
    assert any("entry 3 was altered" in problem for problem in problems)


def test_a_removed_chain_is_seen(chain: Journal) -> None:
    assert tamper(chain, lambda conn: conn.execute(delete(schema.audit))) != []


def test_a_chain_rebuilt_without_the_key_is_seen(chain: Journal) -> None:
    """An attacker with access to the database can compute every hash anew, but cannot seal the details."""

    def rebuild(conn: Any) -> None:
        prev = audit.GENESIS
        rows = conn.execute(select(schema.audit).order_by(A.seq)).all()
        for row in rows:
            actor = "user:innocent" if row.seq == 2 else row.actor
            header = chain_check.header("n1", row.seq, row.at_ms, actor, row.entry, row.object_id, prev)
            digest = hashlib.sha256(header + b"\n" + row.detail).hexdigest()
            values = {"actor": actor, "prev_hash": prev, "hash": digest}
            conn.execute(update(schema.audit).where(A.seq == row.seq).values(values))
            prev = digest
        conn.execute(update(schema.units).values(audit_hash=prev))

    problems = tamper(chain, rebuild)
    # The hashes agree: only the details tell.
    assert not [one for one in problems if "was altered" in one or "does not continue" in one]
    assert "audit of n1: entry 2 was not written by a holder of the vault's key" in problems


def test_entries_of_an_object_are_read_back(chain: Journal) -> None:
    [entry] = chain.read(lambda conn: audit.entries_of(conn, chain.vault, "object-4"))
    assert (entry.seq, entry.actor, entry.entry, entry.detail) == (5, "user:erp", "thing.done", {"n": 4, "why": "因为"})


def test_each_node_has_its_own_chain(chain: Journal) -> None:
    other = Journal(chain.url, "n2")
    other.do(lambda tx: audit.append(tx, "x", "thing.done", "object-0"))
    chain.do(lambda tx: audit.append(tx, "x", "thing.done", "object-0"))
    found = chain.read(lambda conn: audit.entries_of(conn, chain.vault, "object-0"))
    assert [(entry.node, entry.seq) for entry in found] == [("n1", 1), ("n1", 7), ("n2", 1)]
    assert chain.read(lambda conn: audit.verify(conn, vault())) == []
    other.close()


def test_entries_keep_the_order_of_their_node_where_its_clock_was_set_back(small: Journal) -> None:
    small.do(lambda tx: audit.append(tx, "x", "thing.sent", "o"))
    small.hands.task.rightNow -= 3600
    small.do(lambda tx: audit.append(tx, "x", "thing.not_sent", "o"))
    found = small.read(lambda conn: audit.entries_of(conn, small.vault, "o"))
    assert [entry.entry for entry in found] == ["thing.sent", "thing.not_sent"]
    assert found[0].at_ms > found[1].at_ms


def test_details_are_sealed(small: Journal) -> None:
    def append_private(tx: Tx) -> None:
        audit.append(tx, "x", "thing.done", "o", {"word": "a-private-word"})

    small.do(append_private)
    sealed = small.read(lambda conn: conn.execute(select(A.detail)).scalar_one())
    assert b"a-private-word" not in sealed
    assert json.dumps({}) == "{}"
