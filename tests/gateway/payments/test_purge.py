"""Retention over years: final and reported payments are deleted with everything of theirs, and the audit trail stays
valid."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred

from gateway.kernel.checkpoints import checkpoints, verify
from gateway.kernel.checkpoints.audit_purge import FILES_MOST, AuditPurge
from gateway.kernel.checkpoints.checkpoints import BadCheckpoint
from gateway.kernel.clock import ulid_from, ulid_ms
from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import OutboxState
from gateway.kernel.commit.unsealed_rows import as_it_is, seal_page
from gateway.kernel.core.states import Cancel
from gateway.kernel.sql import schema
from gateway.payments.rows import purge
from gateway.payments.rows.admission import Admitted
from tests.gateway.kernel.bench import NOW_MS, Journal, admit, order, vault
from tests.gateway.kernel.test_checkpoints import KEY, Maker
from tests.gateway.kernel.test_checkpoints import maker as maker
from tests.gateway.payments.test_batches import batch, taken
from tests.gateway.payments.test_old_rows import put

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
        conn.execute(
            schema.work.insert(), {"payment": undone, "kind": "returns", "lane": open_one.lane, "due_ms": 1, "epoch": 0}
        )
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
        f"payment {gone}: it was admitted, and its row is gone"
    ]
    assert purged not in str(problems(journal))


def test_a_key_of_a_moment_is_below_every_later_key(journal: Journal) -> None:
    row = journal.do(admit(order("AP-1"))).row
    assert row is not None
    at_ms = journal.hands.now_ms()
    assert ulid_from(at_ms - 1000) < row.payment < ulid_from(at_ms + 1000) and len(ulid_from(0)) == 26
    assert ulid_from(-1) == ulid_from(0), "a moment before 1970 is below every key, not above"
    assert ulid_ms(row.payment) == at_ms == ulid_ms(ulid_from(at_ms))


def test_a_payment_dated_by_a_clock_without_its_battery_stays(journal: Journal) -> None:
    payment = ended(journal, "OLD")
    told(journal)
    with journal.stranger() as conn:
        conn.execute(update(schema.payments).values(payment=ulid_from(DAY_MS), changed_ms=DAY_MS, accepted_ms=DAY_MS))
    assert payment and forget(journal) == 0 and journal.count(schema.payments) == 1


def test_approvals_go_with_their_order(journal: Journal) -> None:
    for name in ("OLD", "OTHER"):
        ended(journal, name)
    told(journal)
    for n, subject in enumerate(("OLD", "OTHER", "OLD")):
        put(journal, schema.approval_requests, request=f"R{n}", sender="erp" if n < 2 else "crm", subject=subject)
        put(journal, schema.approvals, request=f"R{n}", person="sun")
    assert forget(journal, most=1) == 1
    for table in (schema.approval_requests, schema.approvals):
        with journal.stranger() as conn:
            left = sorted(conn.execute(select(table.c.request)).scalars())
        assert left == ["R1", "R2"], "those of another order, and of another sender's order of that name"


def test_a_batch_goes_with_its_last_order_and_a_bundle_with_what_it_carried(journal: Journal) -> None:
    items = taken(journal, batch((100, 200))).items
    for row in items:
        journal.apply(row.payment, Cancel(NOW_MS), epoch=None)
    told(journal)
    put(journal, schema.approval_requests, request="R", sender="erp", subject="B")
    old, young = ulid_from(NOW_MS), ulid_from(LATER_MS + DAY_MS)
    for bundle, payment in ((old, items[1].payment), (young, "P")):
        put(journal, schema.bundles, bundle=bundle, bank_ref=bundle)
        put(journal, schema.bundle_items, payment=payment, bundle=bundle)
    journal.vault.rows_sealed = False
    for table in (schema.bundles, schema.bundle_items):
        journal.do(partial(seal_page, table=table, sealing=as_it_is(table)))
    journal.vault.rows_sealed = True
    assert forget(journal, most=1) == 1
    there = (schema.batches, schema.bundles, schema.bundle_items, schema.approval_requests)
    assert [journal.count(table) for table in there] == [1, 2, 2, 1], "an order of it is still there"
    assert forget(journal) == 1
    assert [journal.count(table) for table in there] == [0, 1, 1, 0]
    assert problems(journal) == []


def test_a_batch_that_is_not_over_keeps_its_orders(journal: Journal) -> None:
    first, _second = taken(journal, batch((100, 200))).items
    journal.apply(first.payment, Cancel(NOW_MS), epoch=None)
    told(journal)
    assert forget(journal) == 0 and journal.count(schema.payments) == 2


# ---- the audit chain ----------------------------------------------------------------------------------------------


PURGE_MS = NOW_MS + 440 * DAY_MS
"""Checkpoints of the month of NOW_MS are older than 400 days, and their month is over."""


def purge_at(made: Maker, at_ms: int = PURGE_MS, purger: AuditPurge | None = None) -> object:
    purger = purger or AuditPurge(made.store, "n1", KEY, made.folder / "points", 400)
    return made.done(Deferred.fromCoroutine(purger.purge_once(at_ms)).addErrback(lambda failure: failure.value))


def seqs(made: Maker) -> list[int]:
    found = made.done(
        made.store.read(lambda conn: list(conn.execute(select(schema.audit.c.seq).order_by("seq")).scalars()))
    )
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
    """A connection that writes to the database without the journal."""
    with closing(sqlite3.connect(made.url.removeprefix("sqlite:///"))) as db, db:
        yield db


def test_a_signed_checkpoint_takes_the_place_of_the_beginning(maker: Maker) -> None:
    maker.note(30)
    maker.pass_(70)
    maker.note(20)
    maker.pass_(70)
    assert purge_at(maker, NOW_MS + 399 * DAY_MS) == 0 and purge_at(maker) not in (0, None)
    left = seqs(maker)
    assert left[0] > 30 and 1 not in left
    report = checked(maker)
    assert report.problems == [] and any("a signed checkpoint stands for them" in one for one in report.remarks)
    # It goes on from there, also after a restart, and can be done again.
    maker.note(40)
    maker.pass_(70)
    assert purge_at(maker) not in (0, None) and seqs(maker)[0] > left[0]
    assert checked(maker).problems == []


def test_a_chain_that_is_not_what_was_signed_keeps_its_beginning(maker: Maker) -> None:
    maker.note(30)
    maker.pass_(70)
    with past_it(maker) as db:
        db.execute("update audit set hash = ? where seq = 9", ("0" * 64,))
    assert isinstance(purge_at(maker), BadCheckpoint)
    assert seqs(maker)[0] == 1


@pytest.mark.parametrize("change", ["mac", "size", "hash"])
def test_a_beginning_that_somebody_moved_is_noticed(maker: Maker, change: str) -> None:
    maker.note(30)
    maker.pass_(70)
    purge_at(maker)
    assert checked(maker).problems == []
    with past_it(maker) as db:
        name, value = db.execute("select name, value from meta where name like 'audit-base:%'").fetchone()
        said = json.loads(value)
        said[change] = said[change] + 1 if change == "size" else "f" * 64
        db.execute("update meta set value = ? where name = ?", (json.dumps(said), name))
    assert any("its beginning (table meta) was not written by a holder" in one for one in checked(maker).problems)


def test_without_a_checkpoint_nothing_is_deleted(maker: Maker, tmp_path: Path) -> None:
    maker.note(5)
    assert purge_at(maker) == 0 and seqs(maker) == [1, 2, 3, 4, 5]
    assert audit.AuditBase().size == 0


def test_a_checkpoint_of_a_wrong_clock_deletes_nothing(maker: Maker) -> None:
    maker.note(30)
    maker.pass_(70)
    (folder,) = [maker.folder / "points"]
    (file,) = folder.iterdir()
    (note,) = checkpoints.kept(folder)
    at = checkpoints.opened(note, KEY.public_key())
    for stamp in ("1970-01-02T00:00:00Z", "2025-06-01T00:00:00Z"):
        file.unlink()
        file = folder / f"{stamp[:7]}.txt"
        file.write_text(checkpoints.sign(replace(at, at=stamp), KEY), "utf-8")
        assert purge_at(maker, NOW_MS + DAY_MS) == 0, stamp
    assert seqs(maker)[:2] == [1, 2]
    assert purge_at(maker) not in (0, None), "its entries are old by their own dates"


def test_the_root_of_the_checkpoint_is_compared_with_the_entries(maker: Maker) -> None:
    maker.note(30)
    maker.pass_(70)
    (file,) = (maker.folder / "points").iterdir()
    at = checkpoints.opened(file.read_text("utf-8"), KEY.public_key())
    file.write_text(checkpoints.sign(replace(at, root=b"\x05" * 32), KEY), "utf-8")
    said = purge_at(maker)
    assert isinstance(said, BadCheckpoint) and "are not those of the checkpoint" in str(said)
    assert seqs(maker)[0] == 1


def test_the_trail_of_a_payment_that_is_kept_stays(maker: Maker) -> None:
    made = maker.done(maker.store.write(admit(order("OPEN"))))
    maker.note(30)
    maker.pass_(70)
    assert isinstance(made, Admitted) and purge_at(maker) == 0
    assert checked(maker).problems == []
    with past_it(maker) as db:
        for name in ("payments", "work", "outbox"):
            db.execute(f"delete from {name}")
    assert purge_at(maker) not in (0, None)


def test_of_the_notes_only_the_end_of_the_last_old_months_is_read(maker: Maker) -> None:
    maker.note(30)
    maker.pass_(70)
    (file,) = (maker.folder / "points").iterdir()
    note = file.read_text("utf-8")
    at = checkpoints.opened(note, KEY.public_key())
    file.write_text(checkpoints.sign(replace(at, size=3), KEY) + "#" * 200_000 + "\n\N{EM DASH} cut\n" + note, "utf-8")
    months = ["2026-12.txt", *(f"2027-{month:02}.txt" for month in range(1, 12))]
    for month in months:
        (file.parent / month).write_text("", "utf-8")
    assert len(months) == FILES_MOST and purge_at(maker, NOW_MS + 800 * DAY_MS) == 0
    (file.parent / months[0]).unlink()
    assert purge_at(maker, NOW_MS + 800 * DAY_MS) == at.size


def test_a_checkpoint_after_a_young_entry_is_refused_and_read_once(maker: Maker) -> None:
    maker.note(30)
    maker.pass_(70)
    with past_it(maker) as db:
        db.execute("update audit set at_ms = ? where seq = 9", (PURGE_MS,))
    purger = AuditPurge(maker.store, "n1", KEY, maker.folder / "points", 400)
    with capture_logs() as said:
        assert [purge_at(maker, PURGE_MS, purger), purge_at(maker, PURGE_MS, purger)] == [0, 0]
    assert [one["event"] for one in said] == ["audit.not_purged"]
    assert seqs(maker)[0] == 1
