"""Scenes about facts that the database has lost, and about the parts that may not rely on it: pools, other nodes,
persons. See `scenes`."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

from gateway.erp.journal_mark import read_mark
from gateway.erp.topology import MARK_QUEUE
from gateway.kernel.cluster import restored_database
from gateway.kernel.cluster.gaps import GapKind
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.sql import databases
from gateway.pools.rows import pools
from gateway.simbank.faults import ExchangeKind
from gateway.simbank.ledger import BookingRules
from tests.world import between
from tests.world.history import violations
from tests.world.stage import ORDER, SPANS, SceneWorld, scene
from tests.world.world import World

POOL = {"senders": {"treasury": {"operations": ["transfer.submit"]}}}


def keep(world: World, name: str = "older.db") -> Path:
    """Make a copy of the present journal."""
    copy = world.folder / name
    between._backup(world.folder / "journal.db", copy)
    return copy


def put_back(world: World, copy: Path) -> None:
    """Put the copy in the journal's place. No daemon may run."""
    between.look_away(world)
    for file in world.folder.glob("journal.db*"):
        file.unlink()
    shutil.copy(copy, world.folder / "journal.db")


@scene
def a_pool_waits_in_safe_mode(folder: Path) -> World:
    """The database from before a slot is restored while the slot is open. No moves are planned for the slot in SAFE
    MODE, nor after two persons release the lane, because the moves may have been made already."""
    world = World(folder, accounts=2, settings=POOL, spans=SPANS)
    life = world.start()
    world.run(3)
    header, child = world.bank.accounts
    text = f"pool CNY header={header} slots=19:10-20:30 most-run=90000000000.00 most-day=90000000000.00; child {child} up=all"
    life.store.write(lambda tx: pools.put_in_force(tx, "group", text, "P"))
    world.run(5)
    copy = keep(world)
    world.run(600)
    [moved] = world.bank.ledger.executions
    world.leave()
    put_back(world, copy)
    # Money comes in: a run that is planned again would move it.
    held = world.bank.ledger.holding(child)
    assert held is not None and moved.instruction.amount.minor > 0
    life = world.start()
    world.run(300)
    assert life.gateway.safe_mode.reason
    assert world.query("select count(*) from pool_runs where pool = ?", "group") == [(0,)], "planned in SAFE MODE"
    between.let_go(world)
    world.run(900)
    assert not life.gateway.safe_mode.reason
    assert world.query("select count(*) from pool_runs where pool = ?", "group") == [(0,)], "planned blindly"
    assert life.sample("bankgw_pool_runs_total", result="not_run") == 1
    assert len(world.bank.ledger.executions) == 1
    assert not world.bank.ledger.doubles() and life.fatal == []
    return world


@scene
def a_send_that_the_log_knows_is_not_repeated(folder: Path) -> World:
    """The database from before the send is restored, and two persons release the lane. The order is `ready` in it and
    would be sent under the same reference. The permit log knows that it was sent, so it is held."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    assert world.life is not None
    world.life.gateway.lanes["sample.main"].pause("test")
    world.submit(ORDER)
    world.run(5)
    assert world.state(ORDER) == "ready"
    copy = keep(world)
    world.life.gateway.lanes["sample.main"].resume("test")
    world.run(30)
    assert world.state(ORDER) == "settled"
    world.leave()
    put_back(world, copy)
    life = world.start()
    world.run(30)
    assert life.gateway.safe_mode.reason
    between.let_go(world)
    world.run(120)
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1 and not world.bank.ledger.doubles()
    assert world.state(ORDER) == "held" and life.gateway.lanes["sample.main"].halted is None
    assert life.sample("bankgw_alarms_total", alarm="permitted_before") == 1
    assert life.fatal == []
    return world


@scene
def a_send_is_known_when_its_segment_of_the_log_is_gone(folder: Path) -> World:
    """The segment of the permit log that has an order's send is closed and removed. The database from before the send
    is restored. The log's index knows the send, and the order is held."""
    # Segments are small and kept for no time here. A daemon keeps them for ninety days.
    with patch.dict(PermitLog.__init__.__kwdefaults__, days=0, segment_bytes=1_000):
        world = SceneWorld(folder, conduct=BookingRules(dedup=False))
        assert world.life is not None
        world.life.gateway.lanes["sample.main"].pause("test")
        world.submit(ORDER)
        world.run(5)
        copy = keep(world)
        world.life.gateway.lanes["sample.main"].resume("test")
        world.run(30)
        assert world.state(ORDER) == "settled"
        for n in range(2, 8):
            paid(world, f"AP-{n}")
        world.leave()
    ((ref,),) = world.query("select bank_ref from payments where order_id = ?", ORDER)
    assert not any(ref.encode() in log.read_bytes() for log in world.permit_folder("gw1").glob("*.log"))
    put_back(world, copy)
    life = world.start()
    world.run(30)
    assert life.gateway.safe_mode.reason
    between.let_go(world)
    world.run(120)
    assert world.state(ORDER) == "held" and not world.bank.ledger.doubles()
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 7
    assert life.sample("bankgw_alarms_total", alarm="permitted_before") == 1 and life.fatal == []
    return world


@scene
def a_sent_order_neither_expires_nor_is_cancelled_in_safe_mode(folder: Path) -> World:
    """The database from before two sends is restored. The validity of one order ends in SAFE MODE, and the ERP cancels
    the other. Neither is reported as unsent, because the permit log knows that both were sent. The bank is asked about
    both, although the database has no attempt of either."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    assert world.life is not None
    world.life.gateway.lanes["sample.main"].pause("test")
    world.submit(ORDER, valid_until=world.moment(90))
    world.submit("AP-2")
    world.run(5)
    copy = keep(world)
    world.life.gateway.lanes["sample.main"].resume("test")
    world.run(30)
    assert world.state(ORDER) == world.state("AP-2") == "settled"
    world.leave()
    put_back(world, copy)
    life = world.start()
    world.broker.delete(MARK_QUEUE)
    world.run(120)
    world.command("payment.cancel", {"id": "AP-2"})
    world.run(10)
    assert life.gateway.safe_mode.reason
    assert (world.state(ORDER), world.state("AP-2")) == ("ready", "settled")
    between.let_go(world)
    world.run(120)
    assert (world.state(ORDER), world.state("AP-2")) == ("settled", "settled")
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 2 and not world.bank.ledger.doubles()
    assert life.fatal == []
    return world


PEOPLE = {"zhao": 2001, "wang": 2002, "li": 2003}
TWO_NODES = {"journal": {"poll_ms": 250}}


def paid(world: World, id_: str) -> None:
    """Submit the order and run until it is settled."""
    world.submit(id_)
    world.run(30)
    assert world.state(id_) == "settled"


@scene
def an_older_database_on_a_new_node(folder: Path) -> World:
    """The machine is lost with its permit log. A new one, under another name, starts on an older database. It cannot
    know the lost sends, so nothing is sent until two persons release the lane."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    paid(world, "AP-0")
    copy = keep(world)
    paid(world, ORDER)
    world.leave()
    put_back(world, copy)
    world.broker.delete(MARK_QUEUE)  # the broker was made anew too, so that only the journal itself can tell
    life = world.start("gw2")
    world.run(3)
    world.again(ORDER, fresh=True)
    world.run(120)
    assert life.gateway.safe_mode.reason and world.state(ORDER) == "ready"
    world.crash()
    life = world.start("gw2")
    world.run(30)
    assert life.gateway.safe_mode.reason, "a restart does not end it"
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 2 and life.fatal == []
    return world


def ordered_and_unsent(world: World, *ids: str) -> Path:
    """Accept orders that wait, and return a copy of the journal of that time. Afterwards the gateway sends them."""
    assert world.life is not None
    world.life.gateway.lanes["sample.main"].pause("test")
    for id_ in ids:
        world.submit(id_)
    world.run(5)
    assert [world.state(id_) for id_ in ids] == ["ready"] * len(ids)
    copy = keep(world)
    world.life.gateway.lanes["sample.main"].resume("test")
    world.run(30)
    assert [world.state(id_) for id_ in ids] == ["settled"] * len(ids)
    return copy


@scene
def an_older_database_without_any_send_on_a_new_node(folder: Path) -> World:
    """The machine is lost with its permit log. The older database on the new one has an order and no send at all. Only
    the broker's mark, which names the end of the audit chain, shows that the database is older. Nothing is sent before
    the mark was read, nor afterwards."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    copy = ordered_and_unsent(world, ORDER)
    world.leave()
    put_back(world, copy)
    life = world.start("gw2")
    world.run(60)
    assert life.gateway.safe_mode.reason and world.state(ORDER) == "ready"
    [gap] = life.gateway.safe_mode.past.gaps
    assert "the broker's mark names a life" in gap.sentence() and "node gw1" in gap.sentence()
    world.crash()
    world.broker.away = True
    life = world.start("gw2")
    world.run(60)
    assert life.gateway.safe_mode.reason, "a restart does not end it, and the gap is known without the broker"
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1 and life.fatal == []
    return world


@scene
def a_new_node_that_starts_again_before_it_read_the_mark(folder: Path) -> World:
    """The broker cannot be reached while the new node starts on the older database, and the node dies before it has
    read the mark. Its next process finds the permit log that the first one began. It waits for the mark too, and the
    mark shows that the order was sent."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    copy = ordered_and_unsent(world, ORDER)
    world.leave()
    put_back(world, copy)
    world.broker.away = True
    for _life in range(3):
        life = world.start("gw2")
        world.run(60)
        assert life.gateway.safe_mode.unread and life.gateway.safe_mode.reason, "the mark was not read yet"
        world.crash()
    world.broker.away = False
    life = world.start("gw2")
    world.run(60)
    assert not life.gateway.safe_mode.unread and life.gateway.safe_mode.reason and world.state(ORDER) == "ready"
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1 and life.fatal == []
    return world


@scene
def a_new_node_sends_once_the_mark_agrees(folder: Path) -> World:
    """The node has another name and no log, and the database is the newest. It waits for the broker's mark, but for no
    person: the mark agrees, and the waiting order is sent."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    assert world.life is not None
    world.life.gateway.lanes["sample.main"].pause("test")
    world.submit(ORDER)
    world.run(5)
    world.leave()
    world.broker.away = True
    life = world.start("gw2")
    world.run(60)
    assert life.gateway.safe_mode.reason and world.state(ORDER) == "ready", "the mark was not read yet"
    world.broker.away = False
    world.run(60)
    assert not life.gateway.safe_mode.reason and world.state(ORDER) == "settled"
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 1 and life.fatal == []
    return world


@scene
def a_cancel_in_safe_mode_without_a_log(folder: Path) -> World:
    """A new node without a log has an older database, in which a sent order is unsent. The ERP cancels the order. It is
    not reported as cancelled, because this node has no log of earlier sends."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    paid(world, "AP-0")
    copy = ordered_and_unsent(world, ORDER)
    world.leave()
    put_back(world, copy)
    world.broker.delete(MARK_QUEUE)
    life = world.start("gw2")
    world.run(10)
    world.command("payment.cancel", {"id": ORDER})
    world.run(10)
    assert life.gateway.safe_mode.reason
    assert world.state(ORDER) == "ready", "an order that was sent is told as cancelled"
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 2 and life.fatal == []
    return world


@scene
def a_cancel_after_persons_released_a_lane_without_a_log(folder: Path) -> World:
    """A new node without a log has an older database. Persons release the lane, and operators pause it at once. The ERP
    cancels an order that was sent but is unsent in the journal. The bank is asked first, and answers that the order is
    paid."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    paid(world, "AP-0")
    copy = ordered_and_unsent(world, ORDER)
    world.leave()
    put_back(world, copy)
    world.broker.delete(MARK_QUEUE)
    life = world.start("gw2")
    world.run(10)
    life.gateway.lanes["sample.main"].pause("test")
    between.let_go(world)
    world.run(10)
    assert not life.gateway.safe_mode.reason and world.state(ORDER) == "ready"
    world.command("payment.cancel", {"id": ORDER})
    world.run(10)
    assert "payment.cancelled" not in world.told(ORDER), "an order that was sent is told as cancelled"
    life.gateway.lanes["sample.main"].resume("test")
    world.run(600)
    assert world.state(ORDER) == "settled", world.told(ORDER)
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 2 and life.fatal == []
    return world


@scene
def two_persons_open_intake_after_a_restore(folder: Path) -> World:
    """An older database is restored, and the broker's mark names a later life of the journal: no command is taken in.
    Two persons release the lane, which ends that life. Intake opens, under a higher fencing number than the mark
    had."""
    world = SceneWorld(folder, conduct=BookingRules(dedup=False))
    paid(world, "AP-0")
    copy = keep(world)
    world.leave()
    world.start()
    paid(world, ORDER)
    world.leave()
    put_back(world, copy)
    life = world.start()
    world.submit("AP-2")
    world.run(60)
    assert life.gateway.safe_mode.reason and world.state("AP-2") is None
    assert "bankgw leave-safe-mode" in life.gateway.erp.mark.why
    between.let_go(world)
    world.run(60)
    assert not life.gateway.safe_mode.reason and world.state("AP-2") == "settled"
    [kept] = world.broker.queues[MARK_QUEUE]
    assert read_mark(kept.body).hold.fence == 3
    world.leave()
    life = world.start()
    world.run(30)
    assert not life.gateway.safe_mode.reason, "what two persons ended stays ended"
    paid(world, "AP-3")
    assert not world.bank.ledger.doubles() and life.fatal == []
    return world


@scene
def a_new_node_is_vouched_for(folder: Path) -> World:
    """A second node without a log joins a journal in which the first has sent. The first continues to send and vouches
    for the journal. The second is admitted within seconds, without a person, and pays when the first dies."""
    world = World(folder, settings=TWO_NODES, spans=SPANS)
    first = world.start("gw1")
    world.run(3)
    paid(world, "AP-0")
    second = world.start("gw2")
    world.run(0.5)
    assert second.gateway.safe_mode.reason and not first.gateway.safe_mode.reason
    world.submit(ORDER)
    world.run(5)
    assert not second.gateway.safe_mode.reason and not first.gateway.safe_mode.reason
    world.run(30)
    assert world.state(ORDER) == "settled"
    first.crash()
    world.run(60)
    paid(world, "AP-2")
    world.crash()
    third = world.start("gw2")
    world.run(60)
    assert not third.gateway.safe_mode.reason, "its log knows the first node now"
    assert violations(world) == [] and first.fatal + second.fatal + third.fatal == []
    return world


@scene
def a_former_answer_is_put_back_for_a_newcomer(folder: Path) -> World:
    """The first node vouched for the second once. Later both logs are lost, and an older database is restored. The
    former answer, put back by SQL, has the right MAC but another nonce: it does not admit the second node again."""
    world = World(folder, settings=TWO_NODES, spans=SPANS, conduct=BookingRules(dedup=False))
    first = world.start("gw1")
    world.run(3)
    paid(world, "AP-0")
    second = world.start("gw2")
    world.run(5)
    assert not second.gateway.safe_mode.reason
    ((answer,),) = world.query("select value from meta where name = ?", "say.gw2")
    second.crash()
    copy = keep(world)
    paid(world, ORDER)
    first.crash()
    put_back(world, copy)
    for node in ("gw1", "gw2"):
        shutil.rmtree(world.permit_folder(node))
    world.broker.delete(MARK_QUEUE)  # the broker was made anew too, so that only the nodes can tell
    life = world.start("gw2")
    world.run(5)
    assert world.query("select count(*) from meta where name = ?", "say.gw2") == [(0,)]
    with closing(sqlite3.connect(world.folder / "journal.db")) as db, db:
        db.execute("insert into meta (name, value) values ('say.gw2', ?)", (answer,))
    world.again(ORDER, fresh=True)
    world.run(120)
    assert life.gateway.safe_mode.reason and world.state(ORDER) == "ready"
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 2 and life.fatal == []
    return world


@scene
def a_restored_backup_that_no_log_contradicts(folder: Path) -> World:
    """The owner's machine is lost, and `bankgw restore` restores a backup that has everything that the other node has
    seen. Only the mark of the restored database shows that the owner may have sent more: nothing is sent."""
    world = World(folder, settings=TWO_NODES, spans=SPANS, conduct=BookingRules(dedup=False))
    first = world.start("gw1")
    world.run(5)
    second = world.start("gw2")
    world.run(10)
    paid(world, "AP-0")
    world.run(10)
    second.crash()
    copy = keep(world)
    paid(world, ORDER)
    first.crash()
    shutil.rmtree(world.permit_folder("gw1"))
    with closing(sqlite3.connect(copy)) as db, db:
        mark = restored_database.restored_mark(world.vault, "0" * 32, "older.db")
        db.execute("insert into meta (name, value) values (?, ?)", mark)
    put_back(world, copy)
    world.broker.delete(MARK_QUEUE)  # the broker was made anew too, so that only the database itself can tell
    life = world.start("gw2")
    world.run(60)
    world.again(ORDER, fresh=True)
    world.run(120)
    assert life.gateway.safe_mode.reason and world.state(ORDER) == "ready"
    assert [gap.lack for gap in life.gateway.safe_mode.past.gaps] == [GapKind.RESTORED]
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 2 and life.fatal == []
    return world


@scene
def a_lagging_replica_takes_the_place_of_the_database_under_a_running_node(folder: Path) -> World:
    """The database fails while a standby runs, and its connection is restored to a replica that lacks the owner's last
    send. The standby ends before it writes or sends anything. Its next process is in SAFE MODE."""
    world = World(folder, settings=TWO_NODES, spans=SPANS, conduct=BookingRules(dedup=False))
    first = world.start("gw1")
    world.run(5)
    second = world.start("gw2")
    world.run(10)
    paid(world, "AP-0")
    copy = keep(world)
    paid(world, ORDER)
    world.run(10)
    first.crash()
    between.look_away(world)
    second.store._committer._drop()
    second.store._readers.dispose()
    with closing(sqlite3.connect(copy)) as older, closing(sqlite3.connect(world.folder / "journal.db")) as there:
        older.backup(there)
    world.run(60)
    assert second.fatal and "of node gw1, which this node has seen in it" in second.fatal[0], second.fatal
    second.crash()
    life = world.start("gw2")
    world.run(60)
    world.again(ORDER, fresh=True)
    world.run(120)
    assert life.gateway.safe_mode.reason and world.state(ORDER) == "ready"
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 2 and life.fatal == []
    return world


@scene
def a_lagging_replica_without_its_owner(folder: Path) -> World:
    """The owner's machine is lost, and the database is now a replica that lacks the owner's last send. The other node
    has seen the owner's audit head in the journal: it sends nothing."""
    world = World(folder, settings=TWO_NODES, spans=SPANS, conduct=BookingRules(dedup=False))
    first = world.start("gw1")
    world.run(5)
    second = world.start("gw2")
    world.run(10)
    paid(world, "AP-0")
    copy = keep(world)
    paid(world, ORDER)
    first.crash()
    second.crash()
    put_back(world, copy)
    shutil.rmtree(world.permit_folder("gw1"))
    world.broker.delete(MARK_QUEUE)  # the broker was made anew too, so that only the log of gw2 can tell
    life = world.start("gw2")
    world.run(60)
    world.again(ORDER, fresh=True)
    world.run(120)
    assert life.gateway.safe_mode.reason and world.state(ORDER) == "ready"
    assert world.bank.simbank.tally.exchanges[ExchangeKind.MONEY] == 2 and life.fatal == []
    return world


@scene
def a_promoted_replica_waits_for_the_node_that_is_gone(folder: Path) -> World:
    """The owner's machine is lost at the moment in which a replica replaces the database. The journal has everything
    that the other node has seen, but the owner's last send may be in its log only. Its lane waits until the owner is
    back."""
    world = World(folder, settings=TWO_NODES, spans=SPANS)
    with patch.object(databases, "incarnation", lambda _conn: "server 1"):
        first = world.start("gw1")
        world.run(5)
        second = world.start("gw2")
        world.run(10)
        paid(world, "AP-0")
    with patch.object(databases, "incarnation", lambda _conn: "server 2"):
        first.crash()
        world.submit(ORDER)
        world.run(120)
        assert second.gateway.lanes["sample.main"].epoch and world.state(ORDER) == "ready"
        [gap] = second.gateway.safe_mode.past.gaps
        assert "permit log of gw1" in gap.sentence() and second.gateway.safe_mode.holds("sample.main")
        assert not second.gateway.safe_mode.holds("sample.other")
        back = world.start("gw1")
        world.run(60)
        assert not second.gateway.safe_mode.reason and not back.gateway.safe_mode.reason
        assert world.state(ORDER) == "settled"
    assert violations(world) == [] and first.fatal + second.fatal + back.fatal == []
    return world


@scene
def the_logs_of_the_others_are_presented(folder: Path) -> World:
    """A new machine takes over alone. With a copy of the other node's log it sends at once if the journal is the
    newest. On an older journal it waits, and names the missing entries."""
    world = SceneWorld(folder)
    paid(world, "AP-0")
    copy = keep(world)
    paid(world, ORDER)
    world.leave()
    shutil.copytree(world.permit_folder("gw1"), world.folder / restored_database.PRESENTED / "gw1")
    life = world.start("gw2")
    world.run(5)
    assert not life.gateway.safe_mode.reason
    paid(world, "AP-2")
    world.crash()
    put_back(world, copy)
    life = world.start("gw3")
    world.run(30)
    assert life.gateway.safe_mode.reason
    assert len(life.gateway.safe_mode.past.sends) == 1, "the send that the log of gw1 has"
    assert not world.bank.ledger.doubles() and life.fatal == []
    return world
