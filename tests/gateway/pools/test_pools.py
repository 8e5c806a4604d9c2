"""Pools, runs and moves in the journal, on every database: each is written once and ended once, and altered rows are
noticed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

import pytest
from sqlalchemy import delete, update

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.commit.unsealed_rows import seal_page
from gateway.kernel.core.states import Cancel
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault
from gateway.payments.rows import bank_references
from gateway.pools.rows import linked_orders, pool_moves, pool_seals, pools
from gateway.pools.rows.pool_moves import MoveState, PoolMove, PoolRun, RunState
from protocols.canon.limits import ReferenceForm
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Order, TransferDetail
from protocols.canon.outcome import State
from protocols.canon.party import AccountNumber, Name, Party
from tests.gateway.kernel.bench import NOW_MS, Journal

DAY = date(2026, 11, 27)
TEXT = "pool CNY header=1000 most-run=90.00 most-day=90.00; child 2000 up=all; child 3000 down=target:5.00"
RUN = PoolRun(
    "group.20261127.1630", "group", 1, DAY, "1630", "rule:group", NOW_MS, NOW_MS + 1, stays=(("1", "up", "stale"),)
)
UP = PoolMove(RUN.run, 1, "group", 1, DAY, "2000", "1000", True, False, "CNY", 700)
DOWN = replace(UP, place=2, debit="1000", credit="3000", up=False, amount_minor=300)


def transfer(move: PoolMove, **changed: Any) -> AnyOrder:
    made: Order[TransferDetail] = Order(
        move.order_id,
        Party(AccountNumber(move.debit), Name("甲")),
        Party(AccountNumber(move.credit), Name("甲")),
        Money(move.amount_minor),
        TransferDetail("sweep"),
    )
    return replace(made, **changed)


@pytest.fixture
def pooled(journal: Journal) -> Journal:
    journal.do(lambda tx: pools.put_in_force(tx, "group", TEXT, "P1"))
    assert journal.do(lambda tx: pool_moves.store_run(tx, RUN, (UP, DOWN)))
    return journal


def test_the_last_version_is_in_force_and_a_closed_pool_is_not(journal: Journal) -> None:
    for text in (TEXT, TEXT.replace("5.00", "6.00")):
        journal.do(partial(pools.put_in_force, name="group", text=text, proposal="P"))
    found = journal.read(pools.in_force)
    assert found["group"].version == 2 and found["group"].children[1].down_minor == 600
    older = journal.read(lambda conn: pools.of_version(conn, "group", 1))
    assert older is not None and older.children[1].down_minor == 500
    journal.do(lambda tx: pools.put_in_force(tx, "group", "none", "P"))
    assert journal.read(pools.in_force) == {}
    assert [one.version for one in journal.read(lambda conn: pools.versions(conn, "group"))] == [3, 2, 1]


def test_a_run_is_written_once_with_its_moves(pooled: Journal) -> None:
    assert not pooled.do(lambda tx: pool_moves.store_run(tx, RUN, (UP, DOWN)))
    assert pooled.count(schema.pool_moves) == 2
    assert pooled.read(lambda conn: pool_moves.moves_of(conn, RUN.run)) == [UP, DOWN]
    assert pooled.read(lambda conn: pool_moves.find(conn, RUN.run)) == RUN
    assert pooled.read(pool_moves.planned) == [UP, DOWN] and pooled.read(pool_moves.unfinished) == [RUN]
    assert pooled.read(lambda conn: pool_moves.moved_minor(conn, "group", DAY)) == 1000
    assert pooled.read(lambda conn: pool_moves.lent_minor(conn, "group", ("2000", "3000"))) == {
        "2000": 700,
        "3000": -300,
    }


def test_a_move_ends_once_and_a_run_ends_with_its_moves(pooled: Journal) -> None:
    assert pooled.do(lambda tx: pool_moves.settle_move(tx, UP, MoveState.ORDERED, "PAYMENT", None))
    assert not pooled.do(lambda tx: pool_moves.settle_move(tx, UP, MoveState.REFUSED, None, "stale"))
    assert not pooled.do(lambda tx: pool_moves.finish(tx, RUN.run)), "one move is left"
    assert pooled.do(lambda tx: pool_moves.settle_move(tx, DOWN, MoveState.REFUSED, None, "stale"))
    assert pooled.do(lambda tx: pool_moves.finish(tx, RUN.run))
    assert not pooled.do(lambda tx: pool_moves.finish(tx, RUN.run)), "it is done already"
    found = pooled.read(lambda conn: pool_moves.find(conn, RUN.run))
    assert found is not None and found.state is RunState.DONE and pooled.read(pool_moves.unfinished) == []
    assert pooled.read(lambda conn: pool_moves.moved_minor(conn, "group", DAY)) == 700
    assert pooled.read(lambda conn: pool_moves.lent_minor(conn, "group", ("2000", "3000"))) == {"2000": 700}


def test_a_mandate_is_for_the_very_order_that_was_planned(pooled: Journal) -> None:
    def asked(order: AnyOrder, sender: str = "treasury") -> bool:
        return pooled.do(lambda tx: pool_moves.mandated(tx, sender, order))

    assert asked(transfer(UP)) and asked(transfer(DOWN))
    assert not asked(transfer(UP), sender="kingdee")
    assert not asked(transfer(UP, amount=Money(701)))
    assert not asked(transfer(UP, creditor=Party(AccountNumber("4000"), Name("甲"))))
    assert not asked(transfer(UP, id="group.20261127.1630.3"))
    pooled.do(lambda tx: pool_moves.settle_move(tx, DOWN, MoveState.REFUSED, None, "stale"))
    assert not asked(transfer(DOWN))
    pooled.do(lambda tx: pools.put_in_force(tx, "group", TEXT.replace("5.00", "6.00"), "P2"))
    assert not asked(transfer(UP)), "another version is in force"


def test_beyond_a_ceiling_there_is_no_mandate(journal: Journal) -> None:
    journal.do(lambda tx: pools.put_in_force(tx, "group", TEXT, "P1"))
    over = replace(UP, over=True)
    journal.do(lambda tx: pool_moves.store_run(tx, RUN, (over,)))
    assert not journal.do(lambda tx: pool_moves.mandated(tx, "treasury", transfer(over)))
    assert journal.read(lambda conn: pool_moves.moved_minor(conn, "group", DAY)) == 0


ALTERED: dict[str, Any] = {
    "a move's amount": (schema.pool_moves, {"amount_minor": 999}),
    "a move's state": (schema.pool_moves, {"state": "refused"}),
    "a move's outcome": (schema.pool_moves, {"outcome": "failed"}),
    "a run's end": (schema.pool_runs, {"until_ms": 10**15}),
    "a pool's version": (schema.pools, {"version": 2}),
    "a link's state": (schema.linked_orders, {"state": "released"}),
}


@pytest.mark.parametrize("what", ALTERED)
def test_a_row_that_sql_altered_decides_nothing(pooled: Journal, what: str) -> None:
    table, values = ALTERED[what]
    linked = pooled.admit().row
    pooled.do(lambda tx: linked_orders.begin(tx, replace(linked, order=replace(linked.order, funded_by="group"))))

    def alter(tx: Tx) -> None:
        tx.fresh.execute(
            update(table).values(values)
            if table is not schema.pool_moves
            else update(table).where(table.c.place == 1).values(values)
        )

    pooled.do(alter)
    reads: dict[str, Any] = {
        "pools": pools.in_force,
        "pool_runs": pool_moves.unfinished,
        "linked_orders": partial(linked_orders.find, payment=linked.payment),
        "pool_moves": partial(pool_moves.lent_minor, pool="group", accounts=("2000", "3000")),
    }
    with pytest.raises(SealBroken, match=f"table {table.name}"):
        pooled.read(reads[table.name])


@pytest.mark.parametrize("its_entry", ["stands", "is hidden"])
def test_the_newest_version_of_a_pool_cannot_be_taken_away(pooled: Journal, its_entry: str) -> None:
    """The audit entry of the version was moved to another object, so that the version's object lacks it; the list of
    registers still names the version."""
    pooled.do(lambda tx: pools.put_in_force(tx, "group", "none", "P2"))
    pooled.do(lambda tx: tx.fresh.execute(delete(schema.pools).where(schema.pools.c.version == 2)))
    if its_entry == "is hidden":
        hidden = update(schema.audit).where(schema.audit.c.entry == pools.IN_FORCE).values(object_id="nothing")
        pooled.do(lambda tx: tx.fresh.execute(hidden))
    with pytest.raises(SealBroken, match="group/2 is missing"):
        pooled.read(pools.in_force)


def test_a_move_that_was_ordered_cannot_be_taken_away(pooled: Journal) -> None:
    pooled.do(lambda tx: audit.append(tx, "rule:group", pool_moves.MOVE_ORDERED, UP.order_id))
    assert pooled.read(lambda conn: pool_moves.moved_minor(conn, "group", DAY)) == 1000
    pooled.do(lambda tx: tx.fresh.execute(delete(schema.pool_moves).where(schema.pool_moves.c.place == 1)))
    for sum_of in (
        partial(pool_moves.moved_minor, pool="group", day=DAY),
        partial(pool_moves.lent_minor, pool="group", accounts=("2000",)),
    ):
        with pytest.raises(SealBroken, match=f"{UP.order_id} is missing"):
            pooled.read(sum_of)
    assert pooled.read(lambda conn: pool_moves.moved_minor(conn, "grou", DAY)) == 0, "another pool"


def test_a_linked_move_ordered_in_this_life_stays_in_the_sum_of_its_day(pooled: Journal) -> None:
    """The run of a linked order names no day, so only the list of registers tells on which day its move counts."""
    run = replace(RUN, run="group.linked.P0001", slot="linked.P0001", stays=())
    move = replace(UP, run=run.run)
    assert pooled.do(lambda tx: pool_moves.store_run(tx, run, (move,)))
    assert pooled.do(lambda tx: pool_moves.settle_move(tx, move, MoveState.ORDERED, "PAYMENT", None))
    assert pooled.read(lambda conn: pool_moves.moved_minor(conn, "group", DAY)) == 1700
    with pooled.stranger() as conn:
        conn.execute(delete(schema.pool_moves).where(schema.pool_moves.c.run == run.run))
    with pytest.raises(SealBroken, match=f"{move.order_id} is missing"):
        pooled.read(lambda conn: pool_moves.moved_minor(conn, "group", DAY))
    assert pooled.read(lambda conn: pool_moves.moved_minor(conn, "group", date(2026, 11, 28))) == 0


def test_what_failed_is_not_lent_after_its_payment_was_deleted(pooled: Journal) -> None:
    row = pooled.admit(transfer(UP), sender="treasury").row
    pooled.do(lambda tx: pool_moves.settle_move(tx, UP, MoveState.ORDERED, row.payment, None))
    lent = partial(pool_moves.lent_minor, pool="group", accounts=("2000",))
    assert pooled.read(lent) == {"2000": 700}
    pooled.apply(row.payment, Cancel(NOW_MS), epoch=None)
    assert pooled.read(lent) == {}
    pooled.do(lambda tx: tx.fresh.execute(delete(schema.payments)))
    assert pooled.read(lent) == {}, "the move keeps how its payment ended"
    (kept,) = [one for one in pooled.read(partial(pool_moves.moves_of, run=RUN.run)) if one.place == 1]
    assert kept.outcome is State.CANCELLED


def test_rows_of_before_are_sealed_some_at_a_time(pooled: Journal) -> None:
    def strip(tx: Tx) -> None:
        for table in pool_seals.TABLES:
            tx.fresh.execute(update(table).values(seal=None))

    pooled.do(strip)
    pooled.vault.rows_sealed = False
    for table in pool_seals.TABLES:
        pooled.do(partial(seal_page, table=table, sealing=pool_seals.sealing_of(table)))
    pooled.vault.rows_sealed = True
    assert pooled.read(partial(pool_moves.moves_of, run=RUN.run)) == [UP, DOWN]
    assert pooled.read(pools.in_force)["group"].version == 1
    pooled.do(strip)
    with pytest.raises(SealBroken, match="has no seal"):
        pooled.read(pools.in_force)


def test_a_derived_reference_is_the_same_each_time_and_in_the_banks_form() -> None:
    form = ReferenceForm(16, "0123456789ABCDEF", prefix="P")
    vault, other = (Vault({"k": bytes([n]) * 32}, "k") for n in (1, 2))
    made = {
        bank_references.derived(form, vault, bank, f"group.20261127.1630.{n}")
        for bank in ("a", "b")
        for n in range(500)
    }
    assert len(made) == 1000 and all(
        len(one) == 16 and one[0] == "P" and set(one[1:]) <= set(form.alphabet) for one in made
    )
    first = bank_references.derived(form, vault, "a", "group.20261127.1630.1")
    assert first == bank_references.derived(form, vault, "a", "group.20261127.1630.1")
    assert first != bank_references.derived(form, other, "a", "group.20261127.1630.1"), "nobody else can tell it"
