"""Scenes of a journal whose rows about cash pools, balances and entries were changed by SQL, without the vault's key,
between two lives. See `scenes`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from tests.world.scenes_pools import CEILINGS, MORE, RICH, in_force, pay_from_member, put, site
from tests.world.scenes_seals import altered_long_ago, change
from tests.world.sim import replaying
from tests.world.stage import LOST, NEVER, ORDER, scene
from tests.world.world import World

HIDE_VERSION = "update audit set object_id = 'nothing' where entry = 'pool.in_force'"
HIDE_MOVES = "update audit set object_id = 'nothing' where entry = 'pool.move_ordered'"
OTHER = "AP-2"


def spend(world: World, minor: int) -> None:
    """Submit an order over `minor` from the member's account that names no pool."""
    world.submit("AP-0", minor, debtor={"account": world.bank.accounts[1], "name": "示例甲公司"})
    world.run(60)
    assert world.state("AP-0") == "settled"


def owing(folder: Path, head: str) -> World:
    """Make a world whose member owes its header 700.00, and whose daemon has ended. `head` is put into the pool's
    head."""
    world = site(folder, "down=target:0.01", head)
    pay_from_member(world, ORDER, RICH + MORE)
    world.run(120)
    assert world.state(ORDER) == "settled" and len(world.bank.ledger.executions) == 2
    world.crash()
    return world


def stays_held(world: World, sent: int = 2) -> World:
    """Check that another order over 700.00 more than the member has is neither funded nor sent."""
    life = world.start()
    world.run(10)
    pay_from_member(world, OTHER, MORE)
    world.run(600)
    assert world.state(OTHER) == "held", world.state(OTHER)
    assert len(world.bank.ledger.executions) == sent and life.fatal == []
    return world


def money_came_first(world: World) -> World:
    """Check that each order arrived at the bank only when its account had the money."""
    refused = [one.refused for one in world.bank.ledger.executions if one.refused]
    assert refused == [], "sent before the money for it had come"
    return world


@scene
def an_old_balance_is_made_a_fresh_one_by_sql(folder: Path) -> World:
    """The stored balance is from before somebody else took the money, and the bank states no time. SQL sets its time to
    now. The next process asks the bank again, and moves the money before it sends the order."""
    world = site(folder, "down=target:0.01", banks=("pab",))
    pay_from_member(world, "AP-1", 5_000)
    world.run(60)
    assert world.state("AP-1") == "settled"
    world.crash()
    (paid,) = world.bank.ledger.executions
    world.bank.ledger.book_once(replace(paid.instruction, reference="OF-ANOTHER", amount=Money(RICH - 15_000)))
    world.run(1_000)
    change(world, [f"update balances set seen_ms = {round(world.clock.seconds() * 1000)}"])
    world.start()
    world.run(10)
    pay_from_member(world, OTHER, MORE)
    world.run(400)
    assert world.state(OTHER) == "settled" and len(world.bank.ledger.executions) == 4
    return money_came_first(world)


@scene
def the_evidence_of_a_payment_is_deleted_by_sql(folder: Path) -> World:
    """A balance was reported, and a payment spent it. SQL deletes the payment's evidence, so that the balance seems
    unspent. The payment's own row says when it ended, and the money is moved first."""
    world = site(folder, "down=target:0.01")
    pay_from_member(world, "AP-1", 5_000)
    world.run(25)
    assert world.state("AP-1") == "settled"
    spend(world, RICH - 15_000)
    world.crash()
    change(world, ["delete from evidence"])
    world.start()
    world.run(10)
    pay_from_member(world, OTHER, MORE)
    world.run(900)
    assert world.state(OTHER) == "settled" and len(world.bank.ledger.executions) == 4
    return money_came_first(world)


@scene
def an_entry_is_copied_for_another_leg_by_sql(folder: Path) -> World:
    """An entry showed that the first leg had arrived. A copy of its row has the amount of the second leg, which the
    bank never got: the order of the second leg waits."""
    world = site(folder, "down=target:0.01", adapters={"sample": partial(replaying, rule=NEVER)})
    pay_from_member(world, "AP-1", RICH + MORE)
    world.run(120)
    header, member = world.bank.accounts
    day = date.fromisoformat(str(world.query("select business_date from pool_moves where pool = ?", "group")[0][0]))
    line = Line(
        AccountNumber(member), "L-1", Direction.CREDIT, Money(MORE), day, counterparty_account=AccountNumber(header)
    )
    assert world.life is not None
    world.life.store.write(lambda tx: accounts.keep_entry(tx, "sample", line, ()))
    world.run(1)
    world.bank.simbank.script.add(LOST)
    pay_from_member(world, OTHER, MORE + 1)
    world.run(500)
    assert world.query("select state from linked_orders where state = ?", "funding") == [("funding",)]
    world.crash()
    change(
        world,
        [
            "create table twin as select * from statement_entries",
            f"update twin set entry = substr(entry, 1, 25) || 'Z', bank = 'pab', amount_minor = {MORE + 1}",
            "insert into statement_entries select * from twin",
            "drop table twin",
        ],
    )
    world.start()
    world.run(600)
    assert world.state(OTHER) == "held" and len(world.bank.ledger.executions) == 2
    return money_came_first(world)


@scene
def a_leg_that_was_settled_is_failed_by_sql(folder: Path) -> World:
    """The quota is 1,000.00, and 700.00 were moved. SQL changes the state of the leg's payment to `failed`, and deletes
    its work. Some hours later the member still owes 700.00."""
    world = owing(folder, "quota=1000.00 ")
    change(world, ["update payments set state = 'failed' where sender = 'treasury'", "delete from work"])
    world.run(8_000)
    return stays_held(world)


@scene
def an_older_version_of_a_pool_is_made_the_newest_by_sql(folder: Path) -> World:
    """Two persons lowered the quota to 1,000.00. SQL deletes the row of that version, and hides its entry in the audit
    trail. The list of registers still names the version, and nothing is moved."""
    world = site(folder, "down=target:0.01", "quota=9000.00 ")
    put(world, in_force(world).replace("quota=9000.00", "quota=1000.00"))
    pay_from_member(world, ORDER, RICH + MORE)
    world.run(120)
    assert world.state(ORDER) == "settled"
    world.crash()
    change(world, ["delete from pools where version = 2", HIDE_VERSION])
    with altered_long_ago():
        life = world.start()
        world.run(10)
    pay_from_member(world, OTHER, MORE)
    world.run(600)
    assert world.state(OTHER) != "settled" and len(world.bank.ledger.executions) == 2 and life.fatal == []
    return world


@scene
def the_moves_of_a_pool_are_deleted_by_sql(folder: Path) -> World:
    """The quota is 1,000.00, and 700.00 were moved. SQL deletes the move, and hides its entry in the audit trail. The
    list of registers still names the move."""
    world = owing(folder, "quota=1000.00 ")
    change(world, ["delete from pool_moves", HIDE_MOVES])
    with altered_long_ago():
        return stays_held(world)


@scene
def a_leg_of_the_day_is_deleted_by_sql(folder: Path) -> World:
    """The pool moves at most 1,000.00 a day, and a leg of 700.00 was sent. SQL deletes its row. The next 700.00 of this
    day are not ordered."""
    world = owing(folder, "")
    world.start()
    world.run(5)
    put(world, in_force(world).replace(CEILINGS, "most-run=1000.00 most-day=1000.00"))
    world.crash()
    change(world, ["delete from pool_moves"])
    return stays_held(world)
