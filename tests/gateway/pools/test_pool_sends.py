"""Payments that a cash pool ordered are judged again at their send, by the present pool, link and balances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.commit.rows import Evidence
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Answered, Source
from gateway.payments.rows import lookup, transition
from gateway.pools import jobs as pool_service
from gateway.pools.rows import linked_orders, pool_facts, pools
from gateway.pools.rows.linked_orders import LinkState
from gateway.simbank.faults import BankFault, ExchangeKind, ScriptedFault
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.outcome import Fate, State
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Balance
from tests.gateway.cli.control_operator import Operator
from tests.gateway.pools.test_linked import MORE, failed, linked, moved, pay, send_back
from tests.gateway.pools.test_liquidity import RICH, balance, own, policy, pool_of, put, world_of

LANE = "sample.main"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Operator]:
    operator = Operator(world_of(tmp_path))
    yield operator
    if operator.world.life is not None:
        operator.world.crash()


def ordered(site: Operator, *rules: str, **more: Any) -> Any:
    """A run whose orders are made but not sent, because the lane is paused."""
    put(site, pool_of(site, *rules, **more))
    site.ask("GET", "liquidity", "group", "preview")
    site.gateway.lanes[LANE].pause("test")
    return site.ask("POST", "liquidity", "group", "run", slot="now")


def let_go(site: Operator, seconds: float = 60) -> list[Any]:
    """Resume the lane; returns the moves of the run afterwards."""
    site.gateway.lanes[LANE].resume("test")
    site.world.run(seconds)
    return list(site.ask("GET", "liquidity-runs", f"group.{site.gateway.pools.local():%Y%m%d}.now")["moves"])


def told(site: Operator, account: str, minor: int) -> None:
    """Let the bank report a balance."""
    store, said = site.gateway.parts.store, Money(minor)
    store.write(lambda tx: accounts.keep_balance(tx, "sample", Balance(AccountNumber(account), said, said), "CNY"))
    site.world.run(1)


@pytest.mark.parametrize("bands", ["", "CNY 0.. 1"])
@pytest.mark.parametrize("change", ["closed", "edited"])
def test_a_pool_that_two_persons_changed_sends_nothing_of_its_older_version(
    site: Operator, change: str, bands: str
) -> None:
    if bands:
        policy(site, bands)
    ordered(site, "up=fixed:60.00")
    if change == "edited":
        put(site, pool_of(site, "up=fixed:61.00"))
    else:
        site.gateway.parts.store.write(partial(pools.put_in_force, name="group", text="none", proposal="P2"))
        site.world.run(1)
    (move,) = let_go(site)
    assert (moved(site), balance(site, 0)) == ([], RICH)
    assert (move["state"], move["reason"]) == ("cancelled", "pool_changed")
    assert site.world.last(move["order"])["state"] == "cancelled", "the ERP is told"
    assert ("lane:sample.main", "pool.move_withdrawn") in site.trail(move["payment"])


def test_what_has_left_the_account_since_the_plan_is_not_sent(site: Operator) -> None:
    ordered(site, "up=keep:1000.00")
    told(site, own(site)[1], RICH - 5_000)
    (move,) = let_go(site)
    assert (moved(site), move["state"], move["reason"]) == ([], "ready", "changed")
    told(site, own(site)[1], RICH)
    site.world.run(60)
    assert moved(site) == [("0", RICH - 100_000)], "it is there again, and the slot is not over"


def test_an_old_balance_sends_nothing(site: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_self: Any, _account: str) -> None:
        """From now on the bank gives no balance."""

    monkeypatch.setattr(pool_service.PoolService, "_ask_balance", silent)
    put(site, pool_of(site, "up=fixed:60.00"))
    for account in own(site)[:2]:
        told(site, account, RICH)
    site.gateway.lanes[LANE].pause("test")
    site.ask("POST", "liquidity", "group", "run", slot="now")
    site.world.run(901)
    (move,) = let_go(site)
    assert (moved(site), move["state"], move["reason"]) == ([], "ready", "stale")
    monkeypatch.undo()
    site.world.run(60)
    assert moved(site) == [("0", 6_000)], "a fresh balance was asked for"


def test_a_leg_whose_order_was_let_go_without_it_is_not_sent(site: Operator) -> None:
    put(site, pool_of(site, "down=target:0.01"))
    site.gateway.lanes[LANE].pause("test")
    pay(site, "AP-1")
    site.world.run(30)
    (one,) = linked(site)
    site.ask("POST", "orders", "kingdee:AP-1", "release", reason="the account has it", held_for="funding")
    site.world.run(1)
    site.gateway.lanes[LANE].resume("test")
    site.world.run(60)
    assert site.world.state(one["funding"]) == "cancelled" and ("1", MORE) not in moved(site)


def test_a_return_that_failed_and_settled_late_is_not_made_twice(site: Operator) -> None:
    """The bank refuses the order that returns the money, and the next enquiry finds that order settled."""
    put(site, pool_of(site, "down=target:0.01", "up=keep:1000.00"))
    books = site.world.banks["sample"].ledger
    failed(site)
    fine, books.conduct = books.conduct, replace(books.conduct, refuse_share=1.0)
    send_back(site)
    assert [one["state"] for one in linked(site)] == ["undecided"]
    books.conduct = fine
    ((first,),) = site.world.query("select payment from payments where sender = 'treasury' and state = ?", "failed")
    at_once: list[str] = []

    def settle(tx: Tx) -> None:
        (link,) = linked_orders.in_state(tx.fresh, LinkState.UNDECIDED)
        at_once.append(linked_orders.why_back_already(tx, link))
        said = Answered(tx.now_ms, Fate.SETTLED, Source.STATEMENT)
        evidence = Evidence(Source.STATEMENT, b"an entry", Fate.SETTLED, "", "")
        transition.apply(tx, first, said, epoch=None, actor="test", evidence=evidence)
        at_once.append(linked_orders.why_back_already(tx, link))

    site.gateway.parts.store.write(settle)
    site.ask("GET", "liquidity", "group", "preview")
    assert (at_once[0], "as the bank said later" in at_once[1]) == ("", True), "known to the units of its own group"
    site.no(409, "not_now", "POST", "linked", "kingdee:AP-1", "decide", to="return", reason="again")
    site.world.run(60)
    assert moved(site) == [("1", MORE)] and linked(site) == [], "the books of this bank do not have it"
    found: list[Any] = []
    site.gateway.parts.store.read(lambda conn: linked_orders.in_state(conn, LinkState.BACK)).addCallback(found.extend)
    site.world.run(1)
    assert len(found) == 1, "the first return's own fate closes the link"


@pytest.mark.parametrize("group", ["its own", "the next"])
def test_what_settles_in_this_group_is_counted_like_what_settled_just_now(
    site: Operator, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group writes its evidence last. A debit that one unit settles is counted by the units after it, even if it was
    sent so long ago that the search for recent rows misses it."""
    monkeypatch.setattr(pool_facts, "_SENT_BEFORE_MS", -pool_facts.PROVEN_MS - 3_600_000)
    put(site, pool_of(site, "up=fixed:60.00"))
    site.world.banks["sample"].simbank.script.add(ScriptedFault(BankFault.DROP_AFTER, touch=ExchangeKind.MONEY))
    site.world.banks["sample"].simbank.script.add(ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.ENQUIRY))
    pay(site, "AP-1", 5_000, funded_by=None)
    told(site, own(site)[1], RICH)
    registry, pools_, found = site.gateway.pools.link_setting().registry, site.gateway.pools, list[Any]()

    def settle(tx: Tx) -> None:
        row = lookup.find(tx.fresh, "kingdee", "AP-1")
        assert row is not None
        found.append(row.life.state)
        said = Answered(tx.now_ms, Fate.SETTLED, Source.ENQUIRY, attempt=1)
        evidence = Evidence(Source.ENQUIRY, b"paid", Fate.SETTLED, "", "")
        transition.apply(tx, row.payment, said, epoch=None, actor="test", evidence=evidence)

    def count(tx: Tx) -> None:
        row, version = lookup.find(tx.fresh, "kingdee", "AP-1"), pools.last(tx.read, "group")
        assert row is not None and version is not None and version.pool is not None
        facts = pool_facts.read_facts(
            tx, registry, "group", version.pool, pools_.local().date(), tx.now_ms, pools_.zone
        )
        found.extend((row.life.state, facts.accounts[own(site)[1]].debits_minor))

    def both(tx: Tx) -> None:
        settle(tx)
        count(tx)

    for unit in (both,) if group == "its own" else (settle, count):
        site.gateway.parts.store.write(unit)
    site.world.run(0.01)
    assert found == [State.IN_DOUBT, State.SETTLED, 5_000], "the balance is of before"


def test_a_move_that_is_planned_again_has_the_same_order_and_reference(tmp_path: Path) -> None:
    """The database lost a run. The orders of that run are made again under the ids and references that the bank has."""
    made = []
    for n in range(2):
        (tmp_path / str(n)).mkdir()
        site = Operator(world_of(tmp_path / str(n)))
        put(site, pool_of(site, "down=target:0.01", "up=fixed:60.00"))
        if n:
            site.world.submit("AP-1", 5_000, bank="sample")  # the bank's counter has another value
            site.world.run(5)
        site.ask("POST", "liquidity", "group", "run", slot="now")
        made.append(site.world.query("select order_id, bank_ref from payments where sender = ?", "treasury"))
        site.world.crash()
    assert made[0] == made[1] and made[0][0][0].endswith(".2"), "named by the member's place in the pool"


def test_an_old_balance_lets_no_linked_order_go(site: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_self: Any, _account: str) -> None:
        """From now on the bank gives no balance."""

    put(site, pool_of(site, "down=target:0.01", head="fresh=2 most-run=50000000000.00 most-day=90000000000.00"))
    pay(site, "AP-1")
    site.world.run(22)
    monkeypatch.setattr(pool_service.PoolService, "_ask_balance", silent)
    (one,) = linked(site)
    assert site.world.state(one["funding"]) == "settled"
    for _ in range(4):
        # Told between two looks, which are 20 s apart: at each look it is older than two seconds.
        told(site, own(site)[1], RICH + MORE)
        site.world.run(60)
    assert (site.world.state("AP-1"), ("out", RICH + MORE) in moved(site)) == ("held", False)
    monkeypatch.undo()
    site.world.run(60)
    assert site.world.state("AP-1") == "settled"
