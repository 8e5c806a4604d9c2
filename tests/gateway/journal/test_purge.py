"""Retention over years: what is final and told goes with all that belongs to it, and the trail is whole without it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select, update
from twisted.internet.defer import Deferred

from gateway.core.states import Cancel
from gateway.journal.checkpoints import checkpoints, verify
from gateway.journal.checkpoints.audit_purge import AuditPurge
from gateway.journal.checkpoints.checkpoints import BadCheckpoint
from gateway.journal.commit import audit
from gateway.journal.commit.rows import OutboxState
from gateway.journal.payments import purge
from gateway.journal.sql import schema
from tests.gateway.journal.bench import NOW_MS, Journal, admit, order, vault
from tests.gateway.journal.test_checkpoints import KEY, Maker
from tests.gateway.journal.test_checkpoints import maker as maker

DAY_MS = 86_400_000
LATER_MS = NOW_MS + 2 * DAY_MS
TABLES = ("payments", "attempts", "evidence", "work", "outbox", "bundle_items")


def told(journal: Journal) -> None:
    with journal.stranger() as conn:
        conn.execute(update(schema.outbox).values(state=OutboxState.SENT.value))


def ended(journal: Journal, name: str) -> str:
    """A payment that was cancelled."""
    row = journal.do(admit(order(name))).row
    assert row is not None
    journal.apply(row.payment, Cancel(NOW_MS), epoch=None)
    return row.payment


def forget(journal: Journal, before_ms: int = LATER_MS, most: int = 100) -> int:
    return journal.do(lambda tx: purge.forget_payments(tx, before_ms, most))


def problems(journal: Journal) -> list[str]:
    return journal.read(lambda conn: verify.whole(conn, journal.vault)).problems


def test_what_is_over_goes_with_all_that_belongs_to_it(journal: Journal) -> None:
    ended(journal, "OLD-1"), ended(journal, "OLD-2")
    told(journal)
    assert forget(journal, most=1) == 1 and forget(journal) == 1 and forget(journal) == 0
    tables = schema.metadata.tables
    assert {name: journal.count(tables[name]) for name in TABLES} == dict.fromkeys(TABLES, 0)
    entries = journal.read(lambda conn: list(conn.execute(select(schema.audit.c.entry)).scalars()))
    assert entries.count(purge.ENTRY) == 2
    assert problems(journal) == []


def test_what_is_open_untold_undone_or_young_stays(journal: Journal) -> None:
    open_one = journal.do(admit(order("OPEN"))).row
    assert open_one is not None
    ended(journal, "UNTOLD")
    assert forget(journal) == 0
    told(journal)
    assert forget(journal, before_ms=NOW_MS - DAY_MS) == 0
    undone = ended(journal, "UNDONE")
    told(journal)
    with journal.stranger() as conn:
        conn.execute(schema.work.insert(), {"payment": undone, "kind": "returns", "lane": open_one.lane, "due_ms": 1,
                                            "epoch": 0})  # fmt: skip
    assert forget(journal) == 1
    left = journal.read(lambda conn: set(conn.execute(select(schema.payments.c.order_id)).scalars()))
    assert left == {"OPEN", "UNDONE"}


def test_a_payment_that_is_gone_without_having_been_purged_is_still_a_problem(journal: Journal) -> None:
    gone, purged = ended(journal, "GONE"), ended(journal, "PURGED")
    told(journal)
    with journal.stranger() as conn:
        for name in TABLES[1:]:
            table = schema.metadata.tables[name]
            conn.execute(table.delete().where(table.c.payment == gone))
        conn.execute(schema.payments.delete().where(schema.payments.c.payment == gone))
    assert forget(journal) == 1
    assert [one for one in problems(journal) if "its row is gone" in one] == [
        f"payment {gone}: it was admitted, and its row is gone"]  # fmt: skip
    assert purged not in str(problems(journal))


def test_a_key_of_a_moment_is_below_every_later_key(journal: Journal) -> None:
    row = journal.do(admit(order("AP-1"))).row
    assert row is not None
    at_ms = journal.hands.now_ms()
    assert purge.key_at(at_ms - 1000) < row.payment < purge.key_at(at_ms + 1000) and len(purge.key_at(0)) == 26


# ---- the audit chain ----------------------------------------------------------------------------------------------


def purger(made: Maker, days: int = 400) -> AuditPurge:
    return AuditPurge(made.store, made.hands, "n1", KEY, made.folder / "points", days)


def look(made: Maker, days: int = 400) -> object:
    return made.done(Deferred.fromCoroutine(purger(made, days).look()).addErrback(lambda failure: failure.value))


def seqs(made: Maker) -> list[int]:
    found = made.done(made.store.read(lambda conn: list(conn.execute(select(schema.audit.c.seq).order_by("seq")).scalars())))
    assert isinstance(found, list)
    return found


def checked(made: Maker) -> verify.Report:
    def whole(conn: object) -> verify.Report:
        notes = [*checkpoints.notes(conn), *checkpoints.kept(made.folder / "points")]  # type: ignore[arg-type]
        points, wrong = verify.believed(notes, {"bankgw/n1": KEY.public_key()})
        assert not wrong
        return verify.whole(conn, vault(), points)  # type: ignore[arg-type]

    found = made.done(made.store.read(whole))
    assert isinstance(found, verify.Report), found
    return found


@contextmanager
def past_it(made: Maker) -> Iterator[sqlite3.Connection]:
    """A connection that writes past the journal."""
    with closing(sqlite3.connect(made.url.removeprefix("sqlite:///"))) as db, db:
        yield db


def test_a_signed_checkpoint_takes_the_place_of_the_beginning(maker: Maker) -> None:
    maker.note(30)
    maker.pass_(70)
    maker.note(20)
    maker.pass_(70)
    assert look(maker) == 0 and look(maker, days=-1) not in (0, None)
    left = seqs(maker)
    assert left[0] > 30 and 1 not in left
    report = checked(maker)
    assert report.problems == [] and any("a signed checkpoint stands for them" in one for one in report.remarks)
    # It goes on from there, also after a restart, and can be done again.
    maker.note(40)
    maker.pass_(70)
    assert look(maker, days=-1) not in (0, None) and seqs(maker)[0] > left[0]
    assert checked(maker).problems == []


def test_a_chain_that_is_not_what_was_signed_keeps_its_beginning(maker: Maker) -> None:
    maker.note(30)
    maker.pass_(70)
    with past_it(maker) as db:
        db.execute("update audit set hash = ? where seq = 9", ("0" * 64,))
    assert isinstance(look(maker, days=-1), BadCheckpoint)
    assert seqs(maker)[0] == 1


@pytest.mark.parametrize("change", ["mac", "size", "hash"])
def test_a_beginning_that_somebody_moved_is_noticed(maker: Maker, change: str) -> None:
    maker.note(30)
    maker.pass_(70)
    look(maker, days=-1)
    assert checked(maker).problems == []
    with past_it(maker) as db:
        name, value = db.execute("select name, value from meta where name like 'audit-base:%'").fetchone()
        said = json.loads(value)
        said[change] = said[change] + 1 if change == "size" else "f" * 64
        db.execute("update meta set value = ? where name = ?", (json.dumps(said), name))
    assert any("its beginning (table meta) was not written by a holder" in one for one in checked(maker).problems)


def test_without_a_checkpoint_nothing_is_deleted(maker: Maker, tmp_path: Path) -> None:
    maker.note(5)
    assert look(maker, days=-1) == 0 and seqs(maker) == [1, 2, 3, 4, 5]
    assert audit.AuditBase().size == 0
