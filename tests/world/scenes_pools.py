"""Scenes of cash pools and linked orders over two lives: facts are withdrawn, changed or unknown. See `scenes`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from gateway.payments.rows import purge
from gateway.pools.rows import linked_orders, pool_moves, pools
from gateway.pools.rows.pool_runs import RunRequest
from gateway.pools.rules import pool as pool_text
from gateway.simbank.ledger import BookingRules
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Balance
from tests.world import between
from tests.world.scenes_amnesia import POOL, keep, put_back
from tests.world.stage import ORDER, SPANS, pause, scene
from tests.world.world import World

RICH, MORE = 10**12, 70_000
SLOT = "slots=19:10-19:40 "
DAY_MS = 86_400_000
CEILINGS = "most-run=90000000000.00 most-day=90000000000.00"


def site(folder: Path, rules: str, head: str = "", **more: Any) -> World:
    """Make a world with a header, a child account, and a pool of both that is in force."""
    world = World(folder, accounts=2, settings=POOL, spans=SPANS, **more)
    world.start()
    world.run(3)
    put(world, f"pool CNY header={world.bank.accounts[0]} {head}{CEILINGS}; child {world.bank.accounts[1]} {rules}")
    return world


def put(world: World, text: str) -> None:
    """Put this version of the pool in force."""
    assert world.life is not None
    world.life.store.write(lambda tx: pools.put_in_force(tx, "group", text, "P"))
    world.run(2)


def run_by_hand(world: World, text: str) -> None:
    """Run the pool as a person does."""
    life, pool = world.life, pool_text.parse(text)
    assert life is not None and pool is not None
    service = life.gateway.pools
    wanted = RunRequest("group", service.local().date(), "now", life.clock.now_ms() + 3_600_000, "uid:1")
    Deferred.fromCoroutine(service.run(wanted, pool))
    world.run(5)


def pay_from_member(world: World, id_: str, minor: int) -> None:
    """Submit an order from the member's account, which the pool funds first."""
    payer = {"account": world.bank.accounts[1], "name": "示例甲公司"}
    world.submit(id_, minor, debtor=payer, funded_by="group")


def slots(world: World) -> list[tuple[Any, ...]]:
    """The states of the pool's runs."""
    return world.query("select state from pool_runs where pool = ? order by run", "group")


def in_force(world: World) -> str:
    """The text of the pool that is in force."""
    found: list[Any] = []
    assert world.life is not None
    world.life.store.read(lambda conn: pools.last(conn, "group")).addCallback(found.append)
    world.run(1)
    return str(found[0].text)


def again(world: World) -> None:
    """Kill the daemon and start it again."""
    world.crash()
    world.start()


@scene
def a_cancelled_linked_order_sends_no_leg(folder: Path) -> World:
    """The lane is paused while a linked order is funded and then cancelled. The next process finds nothing to send."""
    world = site(folder, "down=target:0.01")
    pause(world)
    pay_from_member(world, ORDER, RICH + MORE)
    world.run(45)
    ((leg,),) = world.query("select order_id from payments where sender = ?", "treasury")
    assert world.state(leg) == "ready"
    world.command("payment.cancel", {"id": ORDER})
    world.run(5)
    assert [world.state(one) for one in (ORDER, leg)] == ["cancelled"] * 2, "in one unit"
    again(world)
    world.run(900)
    assert world.bank.ledger.executions == []
    assert world.query("select state from linked_orders where pool = ?", "group") == [(linked_orders.LinkState.DONE,)]
    return world


@scene
def a_pool_that_was_closed_sends_nothing_that_it_ordered(folder: Path) -> World:
    """Two persons close the pool after its moves were ordered and before they are sent. The next process withdraws the
    moves."""
    world = site(folder, "up=fixed:60.00")
    text = in_force(world)
    pause(world)
    run_by_hand(world, text)
    ((move,),) = world.query("select order_id from payments where sender = ?", "treasury")
    assert world.state(move) == "ready"
    put(world, "none")
    again(world)
    world.run(600)
    assert (world.state(move), world.bank.ledger.executions) == ("cancelled", [])
    assert world.query("select reason from pool_moves where pool = ?", "group") == [("pool_changed",)]
    return world


@scene
def money_that_left_the_account_between_two_lives_is_not_swept(folder: Path) -> World:
    """A sweep is ordered and not sent. While no daemon runs, somebody else pays from the account, and the stored
    balance becomes too old. The next process asks for the balance. It does not send a sweep that would leave less than
    the pool's rule keeps."""
    world = site(folder, "up=keep:1000.00")
    world.submit(ORDER, 5_000, debtor={"account": world.bank.accounts[1], "name": "示例甲公司"})
    world.run(30)
    (paid,) = world.bank.ledger.executions
    pause(world)
    run_by_hand(world, in_force(world))
    ((move,),) = world.query("select order_id from payments where sender = ?", "treasury")
    world.crash()
    world.bank.ledger.book_once(replace(paid.instruction, reference="OF-ANOTHER"))
    world.run(1_000)
    world.start()
    world.run(300)
    assert world.state(move) == "ready" and len(world.bank.ledger.executions) == 2
    assert world.query("select reason from pool_moves where pool = ?", "group") == [("changed",)]
    return world


@scene
def a_slot_that_found_no_balance_is_run_in_the_next_life(folder: Path) -> World:
    """The bank cannot be reached when the slot opens. The run stays open across a crash, and moves the money once when
    the bank is back."""
    world = World(folder, accounts=2, settings=POOL, spans=SPANS)
    world.bank.reachable = False
    world.start()
    world.run(3)
    header, child = world.bank.accounts
    put(world, f"pool CNY header={header} slots=19:10-20:30 {CEILINGS}; child {child} up=fixed:60.00")
    world.run(480)
    assert world.query("select state from pool_runs where pool = ?", "group") == [("open",)]
    again(world)
    world.bank.reachable = True
    world.run(600)
    assert world.query("select state from pool_runs where pool = ?", "group") == [("done",)]
    (moved,) = world.bank.ledger.executions
    assert moved.instruction.amount.minor == 6_000
    return world


@scene
def a_move_that_failed_is_not_lent_after_its_payment_was_deleted(folder: Path) -> World:
    """The bank refuses a sweep, and retention deletes its payment. The member has lent nothing."""
    world = site(folder, "up=fixed:60.00", conduct=BookingRules(refuse_share=1.0))
    run_by_hand(world, in_force(world))
    world.run(30)
    ((move, state),) = world.query("select order_id, state from payments where sender = ?", "treasury")
    assert state == "failed" and move
    world.run(60)
    life = world.life
    assert life is not None
    life.store.write(lambda tx: purge.forget_payments(tx, tx.now_ms + 1, 10))
    world.run(2)
    assert world.query("select count(*) from payments where sender = ?", "treasury") == [(0,)]
    lent: list[Any] = []
    asked = partial(pool_moves.lent_minor, pool="group", accounts=world.bank.accounts[1:])
    life.store.read(asked).addCallback(lent.append)
    world.run(1)
    assert lent == [{}]
    return world


@scene
def what_a_member_owes_counts_against_its_quota_in_the_next_life(folder: Path) -> World:
    """The quota is 1,000.00, and 700.00 were moved to the member. The next process moves no further 700.00: a quota
    limits the debt of a member just as it limits the loan of a member."""
    world = site(folder, "down=target:0.01", "quota=1000.00 ")
    pay_from_member(world, ORDER, RICH + MORE)
    world.run(120)
    assert world.state(ORDER) == "settled" and len(world.bank.ledger.executions) == 2
    again(world)
    pay_from_member(world, "AP-2", MORE)
    world.run(600)
    assert world.state("AP-2") == "held" and len(world.bank.ledger.executions) == 2
    put(world, in_force(world).replace("quota=1000.00", "quota=1400.00"))
    world.run(600)
    assert world.state("AP-2") == "settled" and len(world.bank.ledger.executions) == 4
    return world


@scene
def an_old_balance_of_the_life_before_lets_no_linked_order_go(folder: Path) -> World:
    """The leg was sent, the bank reports a balance that shows the money, and the daemon dies. The bank cannot be
    reached when the next process looks. The balance is older than the pool's rule allows, so the order waits for a new
    one."""
    world = site(folder, "down=target:0.01", "fresh=60 ")
    pay_from_member(world, ORDER, RICH + MORE)
    while not world.bank.ledger.executions:
        world.run(1)
    member, life = world.bank.accounts[1], world.life
    assert life is not None and world.state(ORDER) == "held"
    said = Money(RICH + MORE)
    life.store.write(lambda tx: accounts.keep_balance(tx, "sample", Balance(AccountNumber(member), said, said), "CNY"))
    world.run(0.1)
    world.crash()
    world.bank.reachable = False
    world.run(120)
    world.start()
    world.run(120)
    assert world.state(ORDER) == "held"
    world.bank.reachable = True
    world.run(300)
    assert world.state(ORDER) == "settled" and len(world.bank.ledger.executions) == 2
    return world


@scene
def a_run_that_the_database_forgot_has_its_references_again(folder: Path) -> World:
    """The database from before a run is restored, and a person runs the pool again. The new order has the reference
    that the permit log knows, so it is held. The bank would book the reference each time it arrives."""
    world = site(folder, "up=fixed:60.00", conduct=BookingRules(dedup=False))
    text, copy = in_force(world), keep(world)
    world.submit(ORDER, 5_000, debtor={"account": world.bank.accounts[1], "name": "示例甲公司"})
    world.run(10)
    run_by_hand(world, text)
    world.run(30)
    sent = "select order_id, bank_ref from payments where sender = ?"
    before = world.query(sent, "treasury")
    assert len(before) == 1 and len(world.bank.ledger.executions) == 2
    world.leave()
    put_back(world, copy)
    life = world.start()
    world.run(10)
    assert life.gateway.safe_mode.reason
    between.let_go(world)
    world.run(120)
    run_by_hand(world, text)
    world.run(120)
    assert world.query(sent, "treasury") == before
    assert len(world.bank.ledger.executions) == 2 and not world.bank.ledger.doubles()
    assert life.sample("bankgw_alarms_total", alarm="permitted_before") == 1 and life.fatal == []
    return world


@scene
def a_machine_whose_clock_is_a_day_ahead_plans_no_slot(folder: Path) -> World:
    """The clock of the first process is a day ahead while the slot is open: it makes no run, neither for tomorrow nor
    for today. The next process has the right clock, and runs the slot once."""
    world = World(folder, accounts=2, settings=POOL, spans=SPANS)
    world.start(off_ms=DAY_MS)
    world.run(3)
    header, child = world.bank.accounts
    put(world, f"pool CNY header={header} {SLOT}{CEILINGS}; child {child} up=fixed:60.00")
    world.run(480)
    assert (slots(world), world.bank.ledger.executions) == ([], [])
    again(world)
    world.run(300)
    assert slots(world) == [("done",)]
    (moved,) = world.bank.ledger.executions
    assert moved.instruction.amount.minor == 6_000
    return world


@scene
def a_standby_plans_no_slot_before_it_owns_the_lane(folder: Path) -> World:
    """The owner of the header's lane does not process its pools while a slot is open, and another node stands by. The
    standby plans nothing before the owner dies; then it runs the slot once."""
    world = World(folder, accounts=2, settings={**POOL, "journal": {"poll_ms": 250}}, spans=SPANS)
    owner = world.start("gw1")
    world.run(5)
    world.start("gw2")
    world.run(5)
    header, child = world.bank.accounts
    put(world, f"pool CNY header={header} {SLOT}{CEILINGS}; child {child} up=fixed:60.00")
    owner.gateway.pools.stop()
    world.run(480)
    assert (slots(world), world.bank.ledger.executions) == ([], [])
    owner.crash()
    world.run(180)
    assert slots(world) == [("done",)] and len(world.bank.ledger.executions) == 1
    return world


@scene
def a_slot_that_ended_between_two_lives_is_told_once(folder: Path) -> World:
    """No balance is known while the slot is open, and the slot ends while no daemon runs. The next process reports it
    as unmoved, and the one after it does not report it again."""
    world = World(folder, accounts=2, settings=POOL, spans=SPANS)
    world.bank.reachable = False
    world.start()
    world.run(3)
    header, child = world.bank.accounts
    put(world, f"pool CNY header={header} {SLOT}{CEILINGS}; child {child} up=fixed:60.00")
    world.run(480)
    assert slots(world) == [("open",)]
    world.crash()
    world.bank.reachable = True
    world.run(1_800)
    for alarms in (1, 0):
        life = world.start()
        world.run(60)
        assert slots(world) == [("unmoved",)]
        assert life.sample("bankgw_alarms_total", alarm="pool_slot_unmoved") == alarms
        world.leave()
    assert world.bank.ledger.executions == []
    return world
