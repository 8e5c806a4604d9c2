"""A pause of one company holds at all its banks and on every node, and nobody else waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from gateway.app import CompanyMoved
from gateway.bank.company_waits import LOOK_AGAIN_MS
from gateway.bank.lease import LEASE_MS, ORPHAN_QUIET_S
from gateway.bank.ready_payments import ReadyPayments
from gateway.kernel.cluster.peer_nodes import BEAT_S
from gateway.kernel.commit.rows import PaymentRow
from gateway.payments.rows import lookup
from gateway.settings import Settings
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.test_from_the_past import Restored
from tests.gateway.pools.test_linked import moved
from tests.gateway.pools.test_liquidity import TREASURY, pool_of, put
from tests.world.batching import batch, states
from tests.world.lines import events, lines
from tests.world.world import World

BANKS = ("sample", "pab")
CONTRACT = "most-run=100.00 most-day=100.00 contract=HT-1 quota=500.00 until=2027-12-31"


def two_companies(settings: Settings, second: str = "yi", first: str = "jia") -> Settings:
    """The settings with the second account of each bank at another company."""
    seen, accounts = set[str](), []
    for one in settings.accounts:
        accounts.append(one.model_copy(update={"company": second if one.bank in seen else first}))
        seen.add(one.bank)
    return settings.model_copy(update={"accounts": accounts})


def world_of(folder: Path, banks: tuple[str, ...] = BANKS, **more: Any) -> World:
    world = World(folder, banks=banks, accounts=2, **more)
    world.settings = two_companies(world.settings)
    return world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = world_of(tmp_path)
    made.start()
    made.run(2)
    yield made
    if made.life is not None:
        made.crash()


def pay(world: World, id_: str, bank: str = "sample", *, of: str = "jia", **more: Any) -> None:
    """Submit an order of a company at a bank."""
    account = world.banks[bank].accounts[0 if of == "jia" else 1]
    world.submit(id_, bank=bank, debtor={"account": account, "name": "示例甲公司"}, **more)


def paid(world: World) -> int:
    return sum(len(site.ledger.executions) for site in world.banks.values())


def pause(world: World, company: str = "jia") -> Any:
    return Operator(world).ask("POST", "companies", company, "pause", reason="its officer's key was stolen")


def resume(world: World, company: str = "jia") -> Any:
    return Operator(world).ask("POST", "companies", company, "resume")


def company(world: World, name: str = "jia") -> Any:
    return next(one for one in Operator(world).ask("GET", "companies")["companies"] if one["company"] == name)


def test_one_company_stops_at_every_bank_and_the_other_goes_on(world: World) -> None:
    said = pause(world)
    assert (said["paused"], said["ready"], said["others_hear_within_s"]) == (True, 0, BEAT_S)
    for bank in BANKS:
        pay(world, f"J-{bank}", bank)
        pay(world, f"Y-{bank}", bank, of="yi")
    world.run(30)
    assert [world.state(f"Y-{bank}") for bank in BANKS] == ["settled"] * 2
    assert [world.state(f"J-{bank}") for bank in BANKS] == ["ready"] * 2 and paid(world) == 2
    operator = Operator(world)
    row = company(world)
    assert (row["ready"], row["accounts"], row["banks"], company(world, "yi")["paused_since"]) == (
        2,
        2,
        "pab, sample",
        None,
    )
    assert row["paused_since"].startswith("2026-")
    (why,) = operator.ask("GET", "companies")["pauses"]
    assert why == {"company": "jia", "by": "uid:root", "reason": "its officer's key was stolen"}
    assert operator.ask("GET", "status")["companies_paused"] == ["jia"]
    told = {one["id"]: one["company_paused"] for one in operator.ask("GET", "orders")["orders"]}
    assert told == {"J-sample": "jia", "J-pab": "jia", "Y-sample": None, "Y-pab": None}
    assert operator.ask("GET", "orders", "kingdee:J-pab")["company_paused"] == "jia"
    assert "company_paused" not in operator.ask("GET", "orders", "kingdee:Y-pab")
    said = resume(world)
    assert (said["resumed"], said["ready"]) == (True, 2)
    world.run(10)
    assert [world.state(f"J-{bank}") for bank in BANKS] == ["settled"] * 2 and paid(world) == 4
    assert operator.ask("GET", "status")["companies_paused"] == [] and company(world)["paused_since"] is None
    assert [entry for _, entry in operator.trail("company:jia")] == ["company.paused", "company.resumed"]
    value = operator.gateway.parts.meters.registry.get_sample_value
    assert value("bankgw_company_paused", {"company": "jia"}) == 0


def test_a_pause_outlives_restarts_and_covers_what_only_the_journal_has(world: World) -> None:
    pause(world)
    for n in range(3):
        pay(world, f"J-{n}")
    world.run(5)
    for _ in range(2):
        world.crash()
        world.start()
        pay(world, f"Y-{world.seed}-{_}", of="yi")
        world.run(60)
    assert [world.state(f"J-{n}") for n in range(3)] == ["ready"] * 3 and paid(world) == 2
    pay(world, "J-3")
    world.run(120)
    resume(world)
    world.run(10)
    assert [world.state(f"J-{n}") for n in range(4)] == ["settled"] * 4
    order = [one.instruction.creditor_account for one in world.bank.ledger.executions[2:]]
    assert order == [world.order(f"J-{n}")["creditor"]["account"] for n in range(4)], "in the order of acceptance"


def test_waiting_payments_take_no_session_and_are_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    take = ReadyPayments.take_payment

    async def counted(self: ReadyPayments, payment: str) -> Any:
        taken.append(payment)
        return await take(self, payment)

    monkeypatch.setattr(ReadyPayments, "take_payment", counted)
    pause(world)
    for n in range(20):
        pay(world, f"J-{n}")
    world.run(3 * LOOK_AGAIN_MS / 1000)
    assert taken == []
    world.crash()
    reads: list[int] = []
    fetch = lookup.fetch_each

    def read(conn: Connection, payments: Sequence[str]) -> list[PaymentRow]:
        reads.append(len(payments))
        return fetch(conn, payments)

    monkeypatch.setattr(lookup, "fetch_each", read)
    world.start()
    world.run(5 * LOOK_AGAIN_MS / 1000)
    assert taken == [] and sum(reads) == 20, "afterwards the lane knows that they wait"


def test_a_paused_company_takes_nothing_of_the_pace_that_the_bank_allows(tmp_path: Path) -> None:
    world = world_of(tmp_path, ("sample",), settings={"banks": {"sample": {"lanes": {"main": {"per_second": 0.5}}}}})
    world.start()
    world.run(2)
    pause(world)
    for n in range(60):
        pay(world, f"J-{n}")
    world.run(5)
    for n in range(5):
        pay(world, f"Y-{n}", of="yi")
    world.run(20)
    assert [world.state(f"Y-{n}") for n in range(5)] == ["settled"] * 5 and paid(world) == 5
    world.crash()


def test_a_batch_of_a_paused_company_waits_as_a_whole_and_leaves_in_one_message(world: World) -> None:
    pause(world)
    world.command("batch.submit", batch(world, "B-1", [100, 200, 300]))
    world.run(30)
    assert states(world, "B-1") == ["ready"] * 3
    resume(world)
    world.run(10)
    assert states(world, "B-1") == ["settled"] * 3


def test_what_expires_while_its_company_is_paused_is_told_and_can_be_cancelled_before(world: World) -> None:
    pause(world)
    pay(world, "J-1", valid_until=world.moment(20))
    pay(world, "J-2")
    world.run(5)
    Operator(world).ask("POST", "orders", "kingdee:J-2", "cancel", reason="no longer wanted")
    world.run(60)
    assert world.told("J-1")[-1] == "payment.expired" and world.state("J-2") == "cancelled"
    resume(world)
    world.run(60)
    assert not paid(world)


def test_a_payment_in_doubt_is_asked_about_and_not_repeated_while_its_company_is_paused(tmp_path: Path) -> None:
    plan = FaultScript([ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY)])
    world = world_of(tmp_path, ("sample",), plan=plan)
    world.start()
    world.run(2)
    pay(world, "J-1")
    world.run(1)
    pause(world)
    world.run(1_800)
    assert world.state("J-1") == "in_doubt" and not paid(world)
    assert world.query("select asked from payments where order_id = ?", "J-1")[0][0] > 1
    resume(world)
    world.run(1_800)
    assert (world.state("J-1"), paid(world)) == ("settled", 1)
    world.crash()


def test_every_node_hears_of_it_and_who_takes_a_lane_over_knows_it_before_it_may_send(tmp_path: Path) -> None:
    world = world_of(tmp_path, settings={"journal": {"poll_ms": 250}})
    first = world.start("gw1")
    world.run(2)
    owner = Operator(world)
    second = world.start("gw2")
    world.run(2)
    pause(world)
    assert second.gateway.companies.paused == {"jia"}
    world.run(BEAT_S + 0.5)
    assert first.gateway.companies.paused == {"jia"}
    pay(world, "J-1")
    pay(world, "Y-1", of="yi")
    world.run(30)
    assert (world.state("J-1"), world.state("Y-1")) == ("ready", "settled")
    second.gateway.peer_nodes.stop()
    owner.ask("POST", "companies", "yi", "pause", reason="again")
    first.crash()
    pay(world, "Y-2", of="yi")
    world.run(LEASE_MS / 1000 + ORPHAN_QUIET_S + 30)
    assert second.gateway.lanes["sample.main"].ready and second.gateway.companies.paused == {"jia", "yi"}
    assert (world.state("J-1"), world.state("Y-2"), paid(world)) == ("ready", "ready", 1)
    for name in ("jia", "yi"):
        Operator(world).ask("POST", "companies", name, "resume")
    world.run(10)
    assert (world.state("J-1"), world.state("Y-2"), paid(world)) == ("settled", "settled", 3)
    second.crash()


@pytest.mark.parametrize("name", ["bing", "company:jia", "jia ", "甲公司", "JIA", "", "*", "jia'--"])
def test_a_name_that_no_company_has_is_refused_with_those_that_there_are(world: World, name: str) -> None:
    operator = Operator(world)
    if not name:
        return
    why = operator.no(404, "no_such_company", "POST", "companies", name, "pause", reason="x")
    assert f"there is no company {name}; there are jia, yi" in why
    operator.no(404, "no_such_company", "POST", "companies", name, "resume")
    assert operator.ask("GET", "status")["companies_paused"] == []


def test_settings_that_free_accounts_of_a_paused_company_are_not_reloaded(world: World) -> None:
    pause(world)
    failed: list[Any] = []
    assert world.life is not None
    gateway = world.life.gateway
    for second, first in (("yi", "jia_sh"), ("yi", "yi")):
        fresh = two_companies(world.settings, second, first)
        Deferred.fromCoroutine(gateway.reload(fresh)).addErrback(failed.append)
        world.run(1)
    assert [bool(one.check(CompanyMoved)) for one in failed] == [True, True]
    assert "bankgw companies resume" in str(failed[0].value) and world.life is not None
    pay(world, "J-1")
    world.run(5)
    assert world.state("J-1") == "ready"
    Deferred.fromCoroutine(world.life.gateway.reload(two_companies(world.settings, "jia"))).addErrback(failed.append)
    pay(world, "Y-1", of="yi")
    world.run(5)
    assert len(failed) == 2 and world.state("Y-1") == "ready", "an account that joins a paused company waits"


def test_a_paused_company_that_was_renamed_while_the_daemon_was_down_is_told(world: World) -> None:
    pause(world)
    pay(world, "J-1")
    world.run(5)
    world.leave()
    world.settings = two_companies(world.settings, "yi", "jia_sh")
    with lines() as heard:
        world.start()
        world.run(30)
    (told,) = events(heard, "company.paused_unknown")
    assert told["company"] == "jia" and world.state("J-1") == "ready"
    assert Operator(world).ask("GET", "companies")["unknown"] == [{"company": "jia"}]
    assert (company(world)["accounts"], company(world)["ready"]) == (0, 1)
    resume(world)
    world.run(5)
    assert world.state("J-1") == "settled" and Operator(world).ask("GET", "companies")["unknown"] == []


@pytest.mark.parametrize("n", [0, 1], ids=["payee", "payer"])
def test_moves_of_a_pool_wait_for_the_companies_of_both_accounts(tmp_path: Path, n: int) -> None:
    world = World(tmp_path, accounts=4, settings={"senders": {"treasury": TREASURY}})
    accounts = list(world.settings.accounts)
    accounts[n] = accounts[n].model_copy(update={"company": "yi"})
    world.settings = world.settings.model_copy(update={"accounts": accounts})
    world.start()
    world.run(2)
    site = Operator(world)
    pause(world, "yi")
    put(site, pool_of(site, "up=fixed:60.00", head=CONTRACT))
    said = site.ask("POST", "liquidity", "group", "run", slot="now")
    world.run(120)
    assert said["moves"] and moved(site) == []
    resume(world, "yi")
    world.run(60)
    assert moved(site) == [("0", 6_000)]
    world.crash()


def test_a_pause_that_a_restored_database_lacks_is_named(tmp_path: Path) -> None:
    world = Restored(tmp_path)
    world.start()
    world.run(1)
    world.copy("an-hour-ago.db")
    pause(world)
    world.run(1)
    world.restore("an-hour-ago.db")
    (gap,) = Operator(world).ask("GET", "past")["gaps"]
    assert "company.paused company:jia by uid:root" in str(gap)
    world.submit("AP-1")
    world.run(30)
    assert not paid(world), "in SAFE MODE nothing leaves; the pause is given again before the lane is released"
    pause(world)
    world.crash()
