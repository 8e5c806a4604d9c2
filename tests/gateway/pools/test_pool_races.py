"""Two nodes run one slot of a pool at the same moment, on every database: there is one run, and one payment for each
move.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.capabilities import tried
from gateway.kernel.commit.rows import Evidence
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Answered, Source
from gateway.kernel.sql import schema
from gateway.people.rows.persons import No
from gateway.pools.rows import pool_moves, pool_runs, pools
from gateway.pools.rows.pool_runs import RunRequest
from gateway.register import registry as registries
from gateway.register.registry import Registry
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Balance
from tests.gateway.kernel.bench import NOW_MS, Journal, take_lane
from tests.world.world import World

DAY, ZONE = date(2026, 11, 18), ZoneInfo("Asia/Shanghai")
SLOT = RunRequest("group", DAY, "1630", NOW_MS + 3_600_000, "rule:group")
CHILDREN = 3


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    treasury = {"operations": ["transfer.submit"]}
    world = World(tmp_path_factory.mktemp("w"), accounts=CHILDREN + 1, settings={"senders": {"treasury": treasury}})
    return registries.build(world.settings, {"sample": tried("sample")})


@pytest.fixture
def nodes(url: str, registry: Registry) -> Iterator[tuple[Journal, Journal]]:
    """Two nodes over one journal in which a pool is in force and each balance is fresh."""
    first, second = Journal(url, "n1"), Journal(url, "n2")
    header, *children = sorted(registry.routes)
    text = f"pool CNY header={header} most-run=900.00 most-day=900.00; " + "; ".join(
        f"child {one} up=keep:100.00" for one in children
    )

    def prepare_pool(tx: Tx) -> None:
        pools.put_in_force(tx, "group", text, "P")
        for one in registry.routes:
            book = Money(20_000)
            accounts.keep_balance(tx, "sample", Balance(AccountNumber(one), book, book), "CNY")

    first.do(prepare_pool)
    yield first, second
    first.close()
    second.close()


def both(nodes: tuple[Journal, Journal], unit: Callable[[Tx], Any]) -> list[Any]:
    """The result of each node's unit; both units begin at the same moment."""
    start, results = threading.Barrier(2), dict[str, Any]()

    def run(node: Journal) -> None:
        start.wait(10)
        results[node.node] = node.do(unit)

    threads = [threading.Thread(target=run, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [results[node.node] for node in nodes]


def test_two_nodes_that_run_one_slot_plan_one_run(nodes: tuple[Journal, Journal], registry: Registry) -> None:
    said = both(nodes, lambda tx: pool_runs.plan_run(tx, SLOT, registry, ZONE))
    assert [one.run for one in said] == ["group.20261118.1630"] * 2
    assert nodes[0].count(schema.pool_runs) == 1
    found = nodes[1].read(lambda conn: pool_moves.moves_of(conn, said[0].run))
    assert [one.amount_minor for one in found] == [10_000] * CHILDREN
    entries = nodes[0].read(
        lambda conn: conn.execute(schema.audit.select().where(schema.audit.c.entry == "pool.run_planned")).all()
    )
    assert len(entries) == 1, "who came second wrote nothing"


def test_two_nodes_that_order_one_move_make_one_payment(nodes: tuple[Journal, Journal], registry: Registry) -> None:
    run = nodes[0].do(lambda tx: pool_runs.plan_run(tx, SLOT, registry, ZONE))
    assert not isinstance(run, No)
    for place in range(1, CHILDREN + 1):
        made = both(nodes, partial(pool_runs.order_move, run=run.run, place=place, registry=registry, zone=ZONE))
        assert sum(one is not None for one in made) == 1
    assert nodes[0].count(schema.payments) == CHILDREN
    assert both(nodes, lambda tx: pool_runs.end_run(tx, run.run)) == [False, False], "its orders have not left yet"
    with nodes[0].stranger() as conn:
        conn.execute(schema.payments.update().values(state="settled"))
    nodes[0].own_up()
    ended = both(nodes, lambda tx: pool_runs.end_run(tx, run.run))
    assert sorted(ended) == [False, True]
    found = nodes[1].read(lambda conn: pool_moves.moves_of(conn, run.run))
    assert sum(one.amount_minor for one in found) == 10_000 * CHILDREN
    assert len({one.payment for one in found}) == CHILDREN


def test_moves_that_end_while_a_clock_is_set_back_are_counted(
    nodes: tuple[Journal, Journal], registry: Registry
) -> None:
    first, second = nodes
    run = first.do(lambda tx: pool_runs.plan_run(tx, SLOT, registry, ZONE))
    assert not isinstance(run, No)
    rows = [
        first.do(partial(pool_runs.order_move, run=run.run, place=place, registry=registry, zone=ZONE))
        for place in range(1, CHILDREN + 1)
    ]
    first.hands.task.rightNow -= 20 * 3600
    for row in rows:
        assert row is not None
        epoch = first.do(partial(take_lane, lane=row.lane, node="n1", ttl_ms=60_000)) or 1
        first.send(row, epoch=epoch)
        first.apply(
            row.payment,
            Answered(first.hands.now_ms(), Fate.SETTLED, Source.SUBMIT),
            epoch=epoch,
            evidence=Evidence(Source.SUBMIT, b"<ok/>", Fate.SETTLED, "0000", "ok"),
            outcome=Outcome(Fate.SETTLED, "0000", "ok"),
        )
    first.hands.task.rightNow += 20 * 3600
    again = second.do(partial(pool_runs.plan_run, wanted=replace(SLOT, slot="1700"), registry=registry, zone=ZONE))
    assert not isinstance(again, No)
    assert second.read(lambda conn: pool_moves.moves_of(conn, again.run)) == [], "what went up is not there any more"


def test_another_day_and_another_slot_are_other_runs(nodes: tuple[Journal, Journal], registry: Registry) -> None:
    keys = set()
    for slot in ("1630", "0900"):
        wanted = RunRequest("group", DAY, slot, SLOT.until_ms, SLOT.actor)
        run = nodes[0].do(partial(pool_runs.plan_run, wanted=wanted, registry=registry, zone=ZONE))
        assert not isinstance(run, No)
        keys.add(run.run)
    assert keys == {"group.20261118.1630", "group.20261118.0900"} and nodes[1].count(schema.pool_runs) == 2
