"""Pools, runs and moves in the journal, on every database: written once, ended once, and altered rows are noticed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial

import pytest
from sqlalchemy import update

from gateway.journal.commit.store import Tx
from gateway.journal.payments import pool_moves, pools
from gateway.journal.payments.pool_moves import MoveState, PoolMove, PoolRun, RunState
from gateway.journal.sql import schema
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Order, TransferDetail
from protocols.canon.party import AccountNumber, Name, Party
from tests.gateway.journal.bench import NOW_MS, Journal

DAY = date(2026, 11, 27)
TEXT = "pool CNY header=1000 most-run=90.00 most-day=90.00; child 2000 up=all; child 3000 down=target:5.00"
RUN = PoolRun("group.20261127.1630", "group", 1, DAY, "1630", "rule:group", NOW_MS, NOW_MS + 1, stays=(("1", "up", "stale"),))
UP = PoolMove(RUN.run, 1, "group", 1, DAY, "2000", "1000", True, False, "CNY", 700)
DOWN = replace(UP, place=2, debit="1000", credit="3000", up=False, amount_minor=300)


def transfer(move: PoolMove, **changed: object) -> AnyOrder:
    made: Order[TransferDetail] = Order(
        move.order_id, Party(AccountNumber(move.debit), Name("甲")), Party(AccountNumber(move.credit), Name("甲")),
        Money(move.amount_minor), TransferDetail("sweep"),
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


@pytest.fixture
def pooled(journal: Journal) -> Journal:
    journal.do(lambda tx: pools.write(tx, "group", TEXT, "P1"))
    assert journal.do(lambda tx: pool_moves.write(tx, RUN, (UP, DOWN)))
    return journal


def test_the_last_version_is_in_force_and_a_closed_pool_is_not(journal: Journal) -> None:
    for text in (TEXT, TEXT.replace("5.00", "6.00")):
        journal.do(partial(pools.write, name="group", text=text, proposal="P"))
    found = journal.read(pools.in_force)
    assert found["group"].version == 2 and found["group"].children[1].down_minor == 600
    older = journal.read(lambda conn: pools.of_version(conn, "group", 1))
    assert older is not None and older.children[1].down_minor == 500
    journal.do(lambda tx: pools.write(tx, "group", "none", "P"))
    assert journal.read(pools.in_force) == {}
    assert [one.version for one in journal.read(lambda conn: pools.versions(conn, "group"))] == [3, 2, 1]


def test_a_run_is_written_once_with_its_moves(pooled: Journal) -> None:
    assert not pooled.do(lambda tx: pool_moves.write(tx, RUN, (UP, DOWN)))
    assert pooled.count(schema.pool_moves) == 2
    assert pooled.read(lambda conn: pool_moves.moves_of(conn, RUN.run)) == [UP, DOWN]
    assert pooled.read(lambda conn: pool_moves.find(conn, RUN.run)) == RUN
    assert pooled.read(pool_moves.planned) == [UP, DOWN] and pooled.read(pool_moves.unfinished) == [RUN]
    assert pooled.read(lambda conn: pool_moves.moved_minor(conn, "group", DAY)) == 1000
    assert pooled.read(lambda conn: pool_moves.lent_minor(conn, "group", ("2000", "3000"))) == {"2000": 700, "3000": -300}


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
    pooled.do(lambda tx: pools.write(tx, "group", TEXT.replace("5.00", "6.00"), "P2"))
    assert not asked(transfer(UP)), "another version is in force"


def test_beyond_a_ceiling_there_is_no_mandate(journal: Journal) -> None:
    journal.do(lambda tx: pools.write(tx, "group", TEXT, "P1"))
    over = replace(UP, over=True)
    journal.do(lambda tx: pool_moves.write(tx, RUN, (over,)))
    assert not journal.do(lambda tx: pool_moves.mandated(tx, "treasury", transfer(over)))
    assert journal.read(lambda conn: pool_moves.moved_minor(conn, "group", DAY)) == 0


def test_an_altered_amount_is_noticed(pooled: Journal) -> None:
    def alter(tx: Tx) -> None:
        tx.fresh.execute(update(schema.pool_moves).where(schema.pool_moves.c.place == 1).values(amount_minor=999))

    pooled.do(alter)
    with pytest.raises(AssertionError, match="columns were altered"):
        pooled.read(lambda conn: pool_moves.moves_of(conn, RUN.run))
