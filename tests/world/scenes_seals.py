"""Scenes of a journal that somebody changed by SQL, without the vault's key, between two lives. See `scenes`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from gateway.kernel.cluster import sealing
from gateway.kernel.commit import audit
from gateway.simbank.faults import BankFault, ExchangeKind, ScriptedFault
from gateway.simbank.ledger import BookingRules
from gateway.wiring import SEALINGS
from tests.world import between, scenes_pools
from tests.world.batching import batch, states
from tests.world.scenes_amnesia import keep
from tests.world.stage import ORDER, SILENT, SceneWorld, pause, scene
from tests.world.world import Life, World

LANE = "sample.main"
SEND_AGAIN = (
    "update payments set state = 'ready', attempt = 0, first_write_ms = null, last_write_ms = null",
    "delete from attempts",
    "insert into work (payment, kind, lane, due_ms, epoch) select payment, 'send', lane, 0, 0 from payments",
)


def change(world: World, statements: Sequence[str]) -> None:
    """Change the database, as a person with access to it could. No daemon may run."""
    with sqlite3.connect(world.folder / "journal.db") as db:
        db.execute("pragma foreign_keys = off")
        for statement in statements:
            db.execute(statement)
    db.close()


@contextmanager
def altered_long_ago() -> Iterator[None]:
    """Let starts pass over altered entries, as if they lay before those that a start compares with their hashes."""
    with patch.object(audit, "recent_defect", return_value=""):
        yield


def altered(world: World, life: Life, table: str = "payments") -> World:
    """Check that no payment was sent a second time, and that the lane stopped and names the row."""
    lane = life.gateway.lanes[LANE]
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1, "a second send"
    assert not world.bank.ledger.doubles()
    assert (lane.halted or "").startswith(f"row_altered:{table}/"), lane.halted
    assert life.sample("bankgw_alarms_total", alarm="row_altered") >= 1
    assert life.fatal == []
    return world


def settled(folder: Path) -> SceneWorld:
    """Make a world with a settled order, whose daemon has ended. Its bank books a reference every time it arrives."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    world.submit(ORDER)
    world.run(30)
    assert world.state(ORDER) == "settled"
    world.leave()
    return world


@scene
def a_settled_payment_is_made_ready_by_sql(folder: Path) -> World:
    """Three statements without the vault's key change the state, the attempts and the work of a settled payment."""
    world = settled(folder)
    change(world, SEND_AGAIN)
    life = world.start()
    world.run(120)
    return altered(world, life)


@scene
def the_epoch_of_a_lane_is_set_back_by_sql(folder: Path) -> World:
    """The daemon is killed while a payment is being sent, and the row of its lane is deleted. The lane would begin
    again with the epoch of the dead process, and take that payment for its own. The bank is asked about it instead."""
    world = SceneWorld(
        folder,
        [ScriptedFault(BankFault.DELAY, touch=ExchangeKind.MONEY, seconds=300.0)],
        conduct=BookingRules(dedup=False),
    )
    world.submit(ORDER)
    world.run(2)
    assert world.state(ORDER) == "sending"
    world.crash()
    change(world, ["delete from lanes"])
    life = world.start()
    world.run(600)
    assert world.state(ORDER) == "settled", "it is under way for ever"
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1 and life.fatal == []
    assert not world.bank.ledger.doubles()
    return world


@scene
def a_settled_payment_is_made_ready_with_another_reference(folder: Path) -> World:
    """A settled payment is set to ready by SQL, with another reference that neither bank nor permit log knows."""
    world = settled(folder)
    change(world, (*SEND_AGAIN, "update payments set bank_ref = bank_ref || '9'"))
    life = world.start()
    world.run(120)
    return altered(world, life)


@scene
def a_settled_payment_is_moved_to_a_copy_of_its_row(folder: Path) -> World:
    """The payment's row is inserted again under another key, order id and reference, with the sealed order of the
    first."""
    world = settled(folder)
    change(
        world,
        (
            "create table twin as select * from payments",
            "update twin set payment = substr(payment, 1, 25) || 'Z', order_id = 'AP-Z', bank_ref = bank_ref || '9', "
            "state = 'ready', attempt = 0, version = 1",
            "insert into payments select * from twin",
            "drop table twin",
            "insert into work (payment, kind, lane, due_ms, epoch) "
            "select payment, 'send', lane, 0, 0 from payments where order_id = 'AP-Z'",
        ),
    )
    life = world.start()
    world.run(120)
    return altered(world, life)


@scene
def a_suspected_duplicate_is_released_by_sql(folder: Path) -> World:
    """A second order, equal to the first, is held for a person. SQL sets it to `ready` and gives the lane its work."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False), sender={"suspected_duplicate_hours": 24})
    world.submit(ORDER)
    world.run(30)
    world.command("payment.submit", {**world.order(ORDER), "id": "AP-2"})
    world.run(30)
    assert (world.state(ORDER), world.state("AP-2")) == ("settled", "held")
    world.leave()
    change(
        world,
        (
            "update payments set state = 'ready', hold_reason = null, hold_reasons = null where state = 'held'",
            "insert into work (payment, kind, lane, due_ms, epoch) "
            "select payment, 'send', lane, 0, 0 from payments where state = 'ready'",
        ),
    )
    life = world.start()
    world.run(120)
    return altered(world, life)


def in_doubt(folder: Path, statement: str) -> World:
    """The answer to a bundle is lost and the daemon dies. SQL changes the bundle, and the next process asks about its
    orders. It trusts no value of the bundle, sends nothing again, and names the altered row."""
    world = SceneWorld(folder, [SILENT], conduct=BookingRules(dedup=False), bank_options={"first_enquiry_s": 300.0})
    world.submit_batch("batch.submit", batch(world, "B", (10_000, 20_000, 30_000)))
    world.run(10)
    assert states(world, "B") == ["in_doubt"] * 3
    assert world.query("select count(*) from bundle_items where place > ?", "-1") == [(3,)]
    world.crash()
    change(world, (statement,))
    life = world.start()
    world.run(600)
    assert "settled" not in states(world, "B")
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1 and not world.bank.ledger.doubles()
    assert life.sample("bankgw_alarms_total", alarm="row_altered") >= 1 and life.fatal == []
    return world


@scene
def a_bundle_in_doubt_has_another_reference_by_sql(folder: Path) -> World:
    """The bank would not find the other reference, and the orders would count as not arrived."""
    return in_doubt(folder, "update bundles set bank_ref = bank_ref || '9'")


@scene
def a_place_in_a_bundle_in_doubt_is_deleted_by_sql(folder: Path) -> World:
    """One order of the bundle would be asked about, and sent, by itself."""
    return in_doubt(folder, "delete from bundle_items where place = (select min(place) from bundle_items)")


@scene
def the_version_that_closed_a_pool_is_deleted_by_sql(folder: Path) -> World:
    """Two persons close the pool before its move is sent, and SQL deletes that version between two lives. The earlier
    version, which ordered the move, has a valid seal. The audit trail names the newer version, so nothing is sent."""
    world = scenes_pools.site(folder, "up=fixed:60.00")
    text = scenes_pools.in_force(world)
    pause(world)
    scenes_pools.run_by_hand(world, text)
    scenes_pools.put(world, "none")
    world.crash()
    change(world, ("delete from pools where version = (select max(version) from pools)",))
    life = world.start()
    world.run(600)
    assert world.bank.ledger.executions == []
    assert life.sample("bankgw_alarms_total", alarm="row_altered") >= 1 and life.fatal == []
    return world


@scene
def an_older_row_of_the_payment_is_put_back(folder: Path) -> World:
    """The row from before the send is put back with its own valid seal, and the attempt is deleted. The audit chain
    still has the send."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    assert world.life is not None
    world.life.gateway.lanes[LANE].pause("test")
    world.submit(ORDER)
    world.run(5)
    copy = keep(world)
    world.life.gateway.lanes[LANE].resume("test")
    world.run(30)
    assert world.state(ORDER) == "settled"
    world.leave()
    change(
        world,
        (
            f"attach '{copy}' as older",
            "delete from attempts",
            "delete from evidence",
            "delete from payments",
            "insert into main.payments select * from older.payments",
            "insert or replace into main.work select * from older.work",
        ),
    )
    life = world.start()
    world.run(120)
    return altered(world, life)


@scene
def a_cut_audit_trail_with_a_forged_end_is_refused(folder: Path) -> World:
    """The last entries of the audit trail are deleted, and the node's end is set to the last remaining entry. A start
    that continued would seal the forged end. The start fails instead, and changes nothing."""
    world = settled(folder)
    change(
        world,
        (
            "delete from audit where seq > (select max(seq) - 3 from audit)",
            "update units set audit_seq = (select max(seq) from audit), "
            "audit_hash = (select hash from audit order by seq desc limit 1)",
        ),
    )
    refused(world, "its end (table units) was not written by a holder of the vault's key")
    found = world.read(lambda conn: audit.verify(conn, world.vault))
    assert found == ["audit of gw1: its end (table units) was not written by a holder of the vault's key"], found
    return world


@scene
def an_entry_cut_out_of_the_audit_trail_is_missed(folder: Path) -> World:
    """One entry is deleted from the middle: neither the end nor its seal shows that."""
    world = settled(folder)
    change(world, ("delete from audit where entry = 'payment.send'",))
    return refused(world, "1 of its entries after entry 0 are missing")


@scene
def a_hidden_end_of_an_order_is_seen_at_a_start(folder: Path) -> World:
    """A cancelled order's row from before the end is put back, and the entry of the end is moved to another object. A
    start that continued would send the order: it has the newest version that any entry names."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    world.submit(ORDER, not_before=world.moment(300))
    world.run(5)
    keep(world, "older.db")
    world.command("payment.cancel", {"id": ORDER})
    world.run(5)
    assert world.state(ORDER) == "cancelled"
    world.leave()
    older = world.folder / "older.db"
    change(
        world,
        (
            f"attach '{older}' as older",
            "replace into payments select * from older.payments",
            "replace into work select * from older.work",
            "update audit set object_id = 'nothing' where entry = 'payment.cancel'",
        ),
    )
    return refused(world, "was altered", sends=0)


@scene
def an_end_without_a_seal_is_refused(folder: Path) -> World:
    """The seal of the node's end is removed, as if an earlier version had written it."""
    world = settled(folder)
    change(world, ("update units set seal = null, before_seq = null",))
    return refused(world, "its end (table units) carries no seal")


def refused(world: World, why: str, sends: int = 1) -> World:
    """Check that the start fails for this reason, and that the next start fails too, because the first wrote nothing
    that would hide it."""
    for _ in range(2):
        life = world.start()
        world.run(10)
        assert life.fatal and why in life.fatal[0], life.fatal
        world.crash()
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == sends
    return world


UNSEAL = (
    *(f"update {table} set seal = null" for table in sorted(table.name for table in SEALINGS)),
    "delete from meta where name = 'sealed'",
    "update meta set value = '0016' where name = 'beside'",
)
"""Makes a journal of before schema 17, as it is after the upgrade."""


def unseal(world: World, *more: str) -> None:
    """Turn the journal into one from before schema 17, changed by `more`. The next process must not know the mark, so
    the vault, which all lives of a world share, forgets it too."""
    change(world, (*UNSEAL, *more))
    world.vault.rows_sealed = False


@scene
def a_journal_of_before_the_seals_waits_for_two_persons(folder: Path) -> World:
    """A journal from a version without seals is verified at the start. Its lanes send nothing until two persons release
    them. Then every row is sealed, also after a crash in between, and the journal is marked."""
    world = settled(folder)
    unseal(world)
    life = world.start()
    world.run(10)
    world.submit("AP-2")
    world.run(60)
    assert world.state("AP-2") == "ready" and life.gateway.safe_mode.reason
    words = [gap.sentence() for gap in life.gateway.safe_mode.past.gaps]
    assert "no seals: 1 payments" in words[0] and " 0 contradictions" in words[0], words
    between.let_go(world)
    world.run(0.01)
    world.crash()
    life = world.start()
    world.run(120)
    assert world.state("AP-2") == "settled" and not life.gateway.safe_mode.reason
    assert world.query("select count(*) from payments where seal is null and ? = ''", "") == [(0,)]
    assert world.query("select count(*) from attempts where seal is null and ? = ''", "") == [(0,)]
    assert world.query("select value from meta where name = ?", "beside") == [("0017",)]
    world.leave()
    life = world.start()
    world.run(10)
    assert not life.gateway.safe_mode.reason and life.fatal == []
    return world


@scene
def a_journal_of_before_the_seals_with_an_altered_row_is_not_let_go(folder: Path) -> World:
    """A settled payment was set to `ready` before the first sealing. The start names the contradiction, nothing is
    sent, and two persons cannot release the lane before the row is rebuilt."""
    world = settled(folder)
    unseal(world, *SEND_AGAIN)
    life = world.start()
    world.run(30)
    assert sealing.contradictions(life.gateway.safe_mode.past) > 0 and life.gateway.safe_mode.reason
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1 and life.fatal == []
    return world


@scene
def a_row_altered_while_its_journal_waits_for_its_seals_gets_none(folder: Path) -> World:
    """The start verifies a journal from a version without seals, and finds no fault. SQL sets a settled payment to
    `ready` before two persons release the lane. That row gets no seal and is never sent, and every other row is
    sealed."""
    world = settled(folder)
    unseal(world)
    life = world.start()
    world.submit("AP-2")
    world.run(30)
    assert life.gateway.safe_mode.reason and sealing.contradictions(life.gateway.safe_mode.past) == 0
    change(world, SEND_AGAIN[:1])
    between.let_go(world)
    world.run(120)
    assert world.query("select order_id from payments where seal is null and order_id <> ?", "") == [(ORDER,)]
    assert world.query("select value from meta where name = ?", "beside") == [("0017",)]
    world.crash()
    life = world.start()
    world.run(120)
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] <= 2 and not world.bank.ledger.doubles()
    assert life.fatal == []
    return world
