"""The slot of a cash pool stays open until each member has moved or has a lasting reason; persons are told what stayed
unmoved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from gateway.kernel.cluster import restored_database
from gateway.kernel.sql import schema
from gateway.pools import jobs as pool_service
from tests.gateway.cli.control_operator import Operator
from tests.gateway.pools.test_linked import moved
from tests.gateway.pools.test_liquidity import TREASURY, own, pool_of, put, world_of
from tests.gateway.pools.test_pool_sends import LANE
from tests.world.lines import events, lines
from tests.world.world import World

RUN_S = 120
"""The time in which a slot has its run, if nothing hinders it."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Operator]:
    operator = Operator(world_of(tmp_path))
    yield operator
    if operator.world.life is not None:
        operator.world.crash()


def slot(site: Operator, *rules: str, minutes: int = 30) -> str:
    """Make a pool whose slot opens in a minute or two; returns the id of its run."""
    now = site.gateway.pools.local()
    opens, closes = (now + timedelta(minutes=2), now + timedelta(minutes=2 + minutes))
    put(site, pool_of(site, *rules, head=f"slots={opens:%H:%M}-{closes:%H:%M} most-run=100.00 most-day=150.00"))
    site.world.run(120 - now.second)
    return f"group.{now:%Y%m%d}.{opens:%H%M}"


def runs(site: Operator) -> list[tuple[str, str]]:
    return [(one["run"], one["state"]) for one in site.ask("GET", "liquidity", "group")["runs"]]


def worklist(site: Operator) -> list[Any]:
    return next(one["rows"] for one in site.ask("GET", "worklists")["lists"] if one["list"] == "pools")


def alarms(site: Operator) -> float:
    return float(site.gateway.parts.meters.alarms.labels("pool_slot_unmoved")._value.get())


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let the bank give no balance until this is undone."""

    async def silent(_self: Any, _account: str) -> None:
        """Give no answer."""

    monkeypatch.setattr(pool_service.PoolService, "_ask_balance", silent)
    return monkeypatch


def test_a_slot_without_a_balance_stays_open_and_is_run_once_the_bank_is_back(
    site: Operator, away: pytest.MonkeyPatch
) -> None:
    run = slot(site, "up=fixed:60.00")
    site.world.run(RUN_S)
    assert (runs(site), moved(site)) == ([(run, "open")], [])
    away.undo()
    site.world.run(300)
    assert (runs(site), moved(site)) == ([(run, "done")], [("0", 6_000)])
    site.world.run(1_800)
    assert (worklist(site), alarms(site), moved(site)) == ([], 0, [("0", 6_000)]), "once"


def test_a_member_that_was_told_why_is_not_asked_again_and_one_that_moved_moves_once(
    site: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard, third = pool_service.PoolService._ask_balance, own(site)[3]

    async def but_one(self: Any, account: str) -> None:
        """Let the bank give no balance of one account."""
        if account != third:
            await heard(self, account)

    monkeypatch.setattr(pool_service.PoolService, "_ask_balance", but_one)
    run = slot(site, "up=fixed:30.00", "up=fixed:99999999999.00", "up=fixed:20.00")
    site.world.run(RUN_S)
    assert (runs(site), moved(site)) == ([(run, "open")], [("0", 3_000)])
    monkeypatch.undo()
    site.world.run(60)
    shown = site.ask("GET", "liquidity-runs", run)
    assert [one["reason"] for one in shown["stays"]] == ["below_fixed"] and shown["state"] == "done"
    assert [one["order"] for one in shown["moves"]] == [f"{run}.1", f"{run}.3"], "ids go by the member"
    assert moved(site) == [("0", 3_000), ("0", 2_000)]


def test_a_slot_that_ends_unmoved_is_an_alarm_and_a_row_until_a_later_run_is_done(
    site: Operator, away: pytest.MonkeyPatch
) -> None:
    with lines() as heard:
        run = slot(site, "up=fixed:60.00", minutes=10)
        site.world.run(700)
    assert runs(site) == [(run, "unmoved")] and events(heard, "pool.slot_unmoved")
    (row,) = worklist(site)
    assert (row["key"], row["why"], alarms(site)) == (run, "the bank has told no balance yet", 1)
    assert f"bankgw liquidity show {run}" in row["next"]
    away.undo()
    site.ask("POST", "liquidity", "group", "run", slot="now")
    assert worklist(site) == []


def test_an_order_that_its_slot_left_unsent_is_unmoved_too(site: Operator) -> None:
    site.gateway.lanes[LANE].pause("test")
    run = slot(site, "up=fixed:60.00", minutes=10)
    site.world.run(700)
    assert (runs(site), moved(site), alarms(site)) == ([(run, "unmoved")], [], 1)
    assert worklist(site)[0]["why"] == "the slot ended before the order was made"


def test_a_slot_that_no_daemon_saw_is_told_by_the_next(site: Operator) -> None:
    run = slot(site, "up=fixed:60.00", minutes=10)
    site.world.crash()
    site.world.run(1_200)
    with lines() as heard:
        site.world.start()
        site.world.run(60)
    assert moved(site) == [] and events(heard, "pool.slot_unmoved")
    assert site.world.query("select run, pool_runs.state from pool_runs where run = ?", run) == [(run, "unmoved")]


def test_a_clock_a_day_ahead_makes_no_slot_of_tomorrow(site: Operator) -> None:
    life = site.world.life
    assert life is not None
    run = slot(site, "up=fixed:60.00")
    life.clock.off_ms = 86_400_000
    site.world.run(300)
    assert (runs(site), moved(site)) == ([], []), "neither today's under tomorrow's name, nor tomorrow's"
    life.clock.off_ms = 0
    site.world.run(300)
    assert (runs(site), moved(site)) == ([(run, "done")], [("0", 6_000)])


def test_a_slot_that_opened_before_two_persons_let_a_restored_journal_go_is_not_run(site: Operator) -> None:
    """The slot may have been run in the part that the journal lost. Only the next slot is run."""
    slot(site, "up=fixed:60.00")
    with lines() as heard:
        site.gateway.parts.store.write(lambda tx: restored_database.clear(tx, LANE, "an episode", "PROPOSAL"))
        site.world.run(RUN_S)
    (told,) = events(heard, "pool.not_run")
    assert told["why"] == pool_service.MAYBE_RUN_BEFORE and (runs(site), moved(site)) == ([], [])
    run = slot(site, "up=fixed:60.00")
    site.world.run(RUN_S)
    assert (runs(site), moved(site)) == ([(run, "done")], [("0", 6_000)])


def test_only_the_owner_of_the_headers_lane_plans(tmp_path: Path) -> None:
    world = World(tmp_path, accounts=3, settings={"senders": {"treasury": TREASURY}, "journal": {"poll_ms": 250}})
    first = world.start("gw1")
    world.run(5)
    second = world.start("gw2")
    world.run(5)
    assert second.gateway.lanes[LANE].standing_by
    site = Operator(world)
    run = slot(site, "up=fixed:60.00")
    # The owner does not check its pools; the standby checks in vain.
    first.gateway.pools.stop()
    world.run(RUN_S)
    found = world.query("select run from pool_runs where state <> ?", "")
    assert found == [] and run
    world.crash()


def test_a_pool_whose_row_was_altered_moves_nothing_and_is_told_once(site: Operator) -> None:
    run = slot(site, "up=fixed:60.00")
    site.gateway.parts.store.write(lambda tx: tx.fresh.execute(update(schema.pools).values(at_ms=1)))
    with lines() as heard:
        site.world.run(RUN_S)
    (told,) = events(heard, "journal.row_altered")
    assert (told["table"], moved(site)) == ("pools", []) and run
    assert site.world.query("select run from pool_runs where state <> ?", "") == []
