from __future__ import annotations

import pytest
from sqlalchemy import Connection, delete, update

from gateway.kernel.cluster import lane_leases
from gateway.kernel.commit import work
from gateway.kernel.commit.rows import WorkRow
from gateway.kernel.commit.serials import BLOCK, draw_serials
from gateway.kernel.core.states import Silent, Work
from gateway.kernel.sql import schema
from gateway.payments.rows import lookup, take_over
from protocols.canon.outcome import State
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal, order, take_lane

TTL = 15_000


def acquire(journal: Journal, node: str = "n1") -> int | None:
    return journal.do(lambda tx: take_lane(tx, LANE, node, TTL))


def test_epochs_begin_at_one_and_rise_with_every_lease(journal: Journal) -> None:
    assert acquire(journal) == 1
    assert acquire(journal) == 2
    assert journal.read(lambda conn: lane_leases.lease_of(conn, LANE)) == lane_leases.LaneRow(
        LANE, 2, "n1", NOW_MS + TTL
    )


def test_an_epoch_that_sql_set_back_is_not_given_again(journal: Journal) -> None:
    for expected in (1, 2, 3):
        assert acquire(journal) == expected
    with journal.stranger() as conn:
        conn.execute(update(schema.lanes).values(epoch=1, owner="", expires_ms=0))
    assert acquire(journal, "n2") == 4, "n1 holds epoch 3: two nodes would write under one epoch"
    with journal.stranger() as conn:
        conn.execute(delete(schema.lanes))
    assert acquire(journal, "n1") == 5


def test_somebody_elses_lane_cannot_be_taken_before_it_expires(journal: Journal) -> None:
    assert acquire(journal, "n1") == 1
    assert acquire(journal, "n2") is None
    journal.hands.task.advance(TTL / 1000 - 0.001)
    assert acquire(journal, "n2") is None
    journal.hands.task.advance(0.001)
    assert acquire(journal, "n2") == 2


def test_a_renewed_lane_stays_and_a_lost_one_says_so(journal: Journal) -> None:
    assert acquire(journal, "n1") == 1
    journal.hands.task.advance(10)
    assert journal.do(lambda tx: lane_leases.renew(tx, LANE, "n1", 1, TTL))
    journal.hands.task.advance(10)
    assert acquire(journal, "n2") is None
    journal.hands.task.advance(10)
    assert acquire(journal, "n2") == 2
    assert not journal.do(lambda tx: lane_leases.renew(tx, LANE, "n1", 1, TTL))
    assert not journal.do(lambda tx: lane_leases.renew(tx, LANE, "n2", 1, TTL))


def test_a_released_lane_can_be_taken_at_once(journal: Journal) -> None:
    acquire(journal, "n1")
    assert not journal.do(lambda tx: lane_leases.release(tx, LANE, "n2", 1))
    assert journal.do(lambda tx: lane_leases.release(tx, LANE, "n1", 1))
    assert acquire(journal, "n2") == 2


def test_a_new_owner_puts_in_doubt_what_the_old_one_was_sending_and_sends_nothing(journal: Journal) -> None:
    old = acquire(journal, "n1")
    assert old == 1
    rows = [journal.admit(order(f"a{n}")).row for n in range(5)]
    for row in rows[:3]:
        journal.send(row, epoch=old)
    journal.apply(rows[0].payment, Silent(NOW_MS, "timeout"), epoch=old)
    attempts = journal.count(schema.attempts)
    journal.hands.task.advance(TTL / 1000)
    new = acquire(journal, "n2")
    assert new == 2
    applied = journal.do(lambda tx: take_over.recover(tx, LANE, 2, "n2", 1))
    assert [one.row_after.life.state for one in applied if one.row_after] == [State.IN_DOUBT]
    assert len(journal.do(lambda tx: take_over.recover(tx, LANE, 2, "n2"))) == 1
    assert journal.do(lambda tx: take_over.recover(tx, LANE, 2, "n2")) == []
    assert journal.count(schema.attempts) == attempts
    stored = reversed(journal.read(lambda conn: lookup.listing(conn, lookup.Filters())))
    assert [row.life.state for row in stored] == [State.IN_DOUBT] * 3 + [State.READY] * 2
    # Later writes of the old owner are refused, because they may be out of date.
    assert journal.apply(rows[1].payment, Silent(NOW_MS, "timeout"), epoch=old).conflict


def test_a_restarted_node_puts_in_doubt_what_its_own_former_life_was_sending(journal: Journal) -> None:
    assert acquire(journal) == 1
    row = journal.admit().row
    journal.send(row, epoch=1)
    assert acquire(journal) == 2
    [applied] = journal.do(lambda tx: take_over.recover(tx, LANE, 2, "n1"))
    assert applied.row_after is not None
    assert (applied.row_after.life.state, applied.row_after.epoch) == (State.IN_DOUBT, 2)


def test_what_this_owner_itself_is_sending_is_left_alone(journal: Journal) -> None:
    epoch = acquire(journal)
    assert epoch == 1
    journal.send(journal.admit().row, epoch=epoch)
    assert journal.do(lambda tx: take_over.recover(tx, LANE, 1, "n1")) == []


def test_a_new_owner_finds_all_the_lanes_work(journal: Journal) -> None:
    rows = [journal.admit(order(f"a{n}")).row for n in range(7)]
    journal.send(rows[0], epoch=1)
    other = Journal(journal.url, "n2")
    seen: list[WorkRow] = []

    def page(conn: Connection) -> list[WorkRow]:
        return work.all_open(conn, LANE, seen[-1] if seen else None, limit=3)

    while found := other.read(page):
        seen += found
    assert len(seen) == len(set(seen)) == 7
    assert {row.payment for row in seen if row.work is Work.SEND} == {row.payment for row in rows[1:]}
    assert [row.payment for row in seen if row.work is Work.ESCALATE] == [rows[0].payment]
    assert seen == sorted(seen, key=lambda row: (row.due_ms, row.payment, row.work.value))
    other.close()


def test_work_is_due_when_its_time_has_come_and_only_on_its_lane(journal: Journal) -> None:
    row = journal.admit().row
    assert journal.read(lambda conn: work.due(conn, LANE, NOW_MS - 1)) == []
    assert journal.read(lambda conn: work.due(conn, "other", NOW_MS)) == []
    assert journal.read(lambda conn: work.due(conn, LANE, NOW_MS)) == [WorkRow(row.payment, Work.SEND, LANE, NOW_MS, 0)]


@pytest.mark.parametrize("n", [1, BLOCK, BLOCK + 1])
def test_serials_are_consecutive_and_never_repeat(journal: Journal, n: int) -> None:
    drawn = [journal.do(lambda tx: draw_serials(tx, LANE, n)) for _ in range(5)]
    assert [len(numbers) for numbers in drawn] == [n] * 5
    everything = [number for numbers in drawn for number in numbers]
    assert everything == sorted(set(everything))
    other = journal.do(lambda tx: draw_serials(tx, "another", 1))
    assert other == range(1)


def test_a_stale_lane_changes_nothing_even_in_payments_that_nobody_touched_since(journal: Journal) -> None:
    old = acquire(journal, "n1")
    assert old == 1
    row = journal.admit().row
    journal.hands.task.advance(TTL / 1000)
    assert acquire(journal, "n2") == 2
    refused = journal.send(row, epoch=old)
    assert refused.conflict and refused.row_after is None
    assert journal.count(schema.attempts) == 0
    assert not journal.send(row, epoch=2).conflict


def test_what_was_left_by_an_owner_that_never_let_go_is_orphaned(journal: Journal) -> None:
    assert journal.do(lambda tx: lane_leases.acquire(tx, LANE, "n1", TTL)) == lane_leases.NewLease(1, orphaned=False)
    assert journal.do(lambda tx: lane_leases.acquire(tx, LANE, "n1", TTL)) == lane_leases.NewLease(2, orphaned=False)
    journal.hands.task.advance(TTL / 1000)
    assert journal.do(lambda tx: lane_leases.acquire(tx, LANE, "n2", TTL)) == lane_leases.NewLease(3, orphaned=True)
    journal.do(lambda tx: lane_leases.release(tx, LANE, "n2", 3))
    assert journal.do(lambda tx: lane_leases.acquire(tx, LANE, "n1", TTL)) == lane_leases.NewLease(4, orphaned=False)


def test_a_dead_lease_is_taken_before_its_time_if_it_is_still_the_one_that_was_seen(journal: Journal) -> None:
    assert acquire(journal, "n1") == 1
    seen = journal.read(lambda conn: lane_leases.lease_of(conn, LANE))
    assert seen is not None
    journal.hands.task.advance(5)
    assert journal.do(lambda tx: lane_leases.renew(tx, LANE, "n1", 1, 3_600_000))
    assert journal.do(lambda tx: lane_leases.acquire(tx, LANE, "n2", TTL, seen)) is None, "it was renewed meanwhile"
    seen = journal.read(lambda conn: lane_leases.lease_of(conn, LANE))
    assert journal.do(lambda tx: lane_leases.acquire(tx, LANE, "n2", TTL, seen)) == lane_leases.NewLease(
        2, orphaned=True
    )
    assert not journal.do(lambda tx: lane_leases.renew(tx, LANE, "n1", 1, TTL))
    assert journal.do(lambda tx: lane_leases.acquire(tx, LANE, "n3", TTL, seen)) is None, "somebody else was faster"


def test_a_lane_is_free_for_its_owner_and_when_it_has_run_out(journal: Journal) -> None:
    def free(node: str, at_ms: int) -> bool:
        return lane_leases.is_free(journal.read(lambda conn: lane_leases.lease_of(conn, LANE)), node, at_ms)

    assert free("n2", NOW_MS)
    acquire(journal, "n1")
    assert free("n1", NOW_MS) and not free("n2", NOW_MS + TTL - 1) and free("n2", NOW_MS + TTL)


def test_fresh_work_is_what_fell_due_since(journal: Journal) -> None:
    row = journal.admit().row
    found = [WorkRow(row.payment, Work.SEND, LANE, NOW_MS, 0)]
    assert journal.read(lambda conn: work.fresh(conn, LANE, NOW_MS - 1, NOW_MS)) == found
    assert journal.read(lambda conn: work.fresh(conn, LANE, NOW_MS, NOW_MS + 1)) == []
    assert journal.read(lambda conn: work.fresh(conn, "other", NOW_MS - 1, NOW_MS)) == []
