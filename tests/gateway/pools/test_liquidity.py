"""Cash pools on a whole gateway: two persons sign one, a preview shows it, a run moves money, and every refusal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.approvals.rows import approval_policies
from gateway.call import Denied
from gateway.kernel.commit.store import Tx
from gateway.pools.rows import pool_runs, pools
from gateway.pools.rows.pool_runs import RunRequest
from gateway.pools.rules import pool as pool_text
from protocols.bank import Bank
from protocols.canon.money import Money
from protocols.canon.order import Kind
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import ZHAO, approve
from tests.gateway.people.test_people_acts import SUN, appoint, decide, sign_in
from tests.world.lines import events, lines
from tests.world.world import World

RICH = 10**12
TREASURY = {"operations": ["transfer.submit"], "suspected_duplicate_hours": 24}


def world_of(tmp_path: Path, accounts: int = 4, **changes: Any) -> World:
    """A world with this many accounts at `sample`, and treasury as a sender."""
    world = World(
        tmp_path,
        accounts=accounts,
        settings={"senders": {"treasury": TREASURY}, "banks": {"sample": {"most_repeats": 0}}, **changes},
    )
    world.start()
    world.run(2)
    return world


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """ZHAO and SUN are supervisors of everything; a pool is in force."""
    folder = tmp_path_factory.mktemp("people")
    (folder / "days.toml").write_text("[old]\nyears = [2025]\n")
    world = World(
        folder, accounts=6, settings={"senders": {"treasury": TREASURY}, "calendar_file": str(folder / "days.toml")}
    )
    accounts = [dict(one) for one in world.settings.model_dump(mode="json")["accounts"]]
    accounts[3]["restricted"], accounts[5]["company"] = True, "yi"
    world._changes = {**world._changes, "accounts": accounts}
    world.settings = world._settings()
    world.start()
    world.run(2)
    operator = Operator(world)
    appoint(operator, ZHAO, SUN, roles="supervisor@*")
    for one in (ZHAO, SUN):
        sign_in(operator, one)
    put(operator, pool_of(operator, "up=all"))
    yield operator
    world.crash()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Operator]:
    world = world_of(tmp_path)
    yield Operator(world)
    if world.life is not None:
        world.crash()


def put(operator: Operator, text: str, name: str = "group") -> None:
    """Put a pool in force without two persons' signatures."""
    made = pool_text.parse(text)
    assert made is not None
    done: list[Any] = []
    store = operator.gateway.parts.store
    store.write(lambda tx: pools.put_in_force(tx, name, made.text(), "PROPOSAL")).addCallback(done.append)
    operator.world.run(1)
    assert done


def policy(operator: Operator, text: str) -> None:
    """Put an approval policy in force without two persons' signatures."""
    operator.gateway.parts.store.write(lambda tx: approval_policies.put_in_force(tx, text, "PROPOSAL"))
    operator.world.run(1)


def own(operator: Operator) -> tuple[str, ...]:
    return operator.world.banks["sample"].accounts


def pool_of(operator: Operator, *rules: str, head: str = "") -> str:
    header, *children = own(operator)
    ceilings = head or "most-run=50000000000.00 most-day=90000000000.00"
    return "; ".join(
        (
            f"pool CNY header={header} {ceilings}",
            *(f"child {account} {rule}" for account, rule in zip(children, rules, strict=False)),
        )
    )


def balance(operator: Operator, n: int) -> int:
    held = operator.world.banks["sample"].ledger.holding(own(operator)[n])
    assert held is not None and held.book is not None
    return held.book.minor


def settle(operator: Operator) -> None:
    operator.world.run(30)


def test_two_supervisors_put_a_pool_in_force_and_both_sign_every_line(people: Operator) -> None:
    with pytest.raises(Denied, match="second person"):
        decide(people, "pool", "group", pool_of(people, "up=keep:5.00"), ZHAO, ZHAO)
    (key,) = [
        one["proposal"] for one in people.ask("GET", "proposals", peer=ZHAO.peer)["proposals"] if one["state"] == "open"
    ]
    assert approve(people, SUN, key)["state"] == "done"
    (pool,) = people.ask("GET", "liquidity")["pools"]
    assert (pool["pool"], pool["version"], pool["children"]) == ("group", 2, 1)
    assert ("uid:2004", "pool.in_force") in people.trail("group")
    shown = people.ask("GET", "liquidity", "group")
    assert [one["version"] for one in shown["versions"]] == [2, 1]
    assert "up=keep:5.00" in shown["versions"][0]["lines"][1]
    assert own(people)[1] not in str(shown), "numbers are masked"


def test_a_run_by_hand_is_signed_by_two_where_there_are_administrators(people: Operator) -> None:
    assert "bankgw resolve --approve" in people.no(409, "two_persons", "POST", "liquidity", "group", "run")
    before = balance(people, 1)
    put(people, pool_of(people, "up=fixed:60.00"))
    with pytest.raises(Denied, match="second person"):
        decide(people, "pool_run", "group", "by-hand", ZHAO, ZHAO)
    (key,) = [
        one["proposal"] for one in people.ask("GET", "proposals", peer=ZHAO.peer)["proposals"] if one["state"] == "open"
    ]
    text = people.ask("GET", "proposals", key, peer=SUN.peer)["text"].splitlines()
    run = f"group.{people.gateway.pools.local():%Y%m%d}.by-hand"
    assert {"pool: group", f"run: {run}", "most: 50000000000.00 CNY"} <= set(text)
    assert people.ask("GET", "liquidity", "group")["runs"] == [], "nothing is planned before the second signature"
    assert approve(people, SUN, key)["state"] == "done"
    settle(people)
    shown = people.ask("GET", "liquidity-runs", run)
    assert (shown["by"], [one["state"] for one in shown["moves"]]) == ("persons:zhao+sun", ["settled"])
    assert balance(people, 1) == before - 6_000
    people.no(
        409,
        "not_now",
        "POST",
        "proposals",
        "draft",
        peer=ZHAO.peer,
        kind="pool_run",
        subject="group",
        to="by-hand",
        note="again",
    )


def test_a_signed_run_of_a_pool_that_changed_is_stale(people: Operator) -> None:
    with pytest.raises(Denied, match="second person"):
        decide(people, "pool_run", "group", "later", ZHAO, ZHAO)
    (key,) = [
        one["proposal"] for one in people.ask("GET", "proposals", peer=ZHAO.peer)["proposals"] if one["state"] == "open"
    ]
    put(people, pool_of(people, "up=fixed:61.00"))
    with pytest.raises(Denied, match="out of date"):
        approve(people, SUN, key)
    assert all(one["slot"] != "later" for one in people.ask("GET", "liquidity", "group")["runs"])


def test_a_preview_says_what_would_move_and_why_not_and_writes_nothing(site: Operator) -> None:
    put(site, pool_of(site, "up=keep:1000.00", "down=target:20000000000.00", "up=fixed:99999999999.00"))
    said = site.ask("GET", "liquidity", "group", "preview")
    assert [(one["direction"], one["amount"]) for one in said["moves"]] == [
        ("up", "9999999000.00"),
        ("down", "10000000000.00"),
    ]
    assert [one["reason"] for one in said["stays"]] == ["below_fixed"]
    assert site.ask("GET", "liquidity", "group")["runs"] == []
    assert balance(site, 0) == RICH


def test_a_run_moves_what_the_preview_said_once(site: Operator) -> None:
    put(site, pool_of(site, "up=keep:1000.00", "down=target:10000000500.00"))
    said = site.ask("POST", "liquidity", "group", "run", slot="now")
    assert [one["amount"] for one in said["moves"]] == ["9999999000.00", "500.00"]
    settle(site)
    again = site.ask("POST", "liquidity", "group", "run", slot="now")
    assert again["run"] == said["run"] and [one["state"] for one in again["moves"]] == ["settled", "settled"]
    settle(site)
    assert [balance(site, n) for n in range(3)] == [RICH + 999_999_900_000 - 50_000, 100_000, RICH + 50_000]
    events = [one for one in site.world.events if one.get("sender") == "treasury"]
    assert {one["id"] for one in events} == {f"{said['run']}.{place}" for place in (1, 2)}
    shown = site.ask("GET", "liquidity-runs", said["run"])
    assert shown["state"] == "done"
    lent = site.ask("GET", "liquidity", "group")["members"]
    assert [one["lent"] for one in lent] == ["9999999000.00", "-500.00"]


def test_what_left_and_the_balance_does_not_have_yet_is_not_moved_again(site: Operator) -> None:
    """The balance is recent enough to be used, but older than a payment that has settled since."""
    put(site, pool_of(site, "up=keep:1000.00"))
    site.ask("GET", "liquidity", "group", "preview")
    payer = {"account": own(site)[1], "name": "示例甲公司"}
    site.world.submit("AP-1", 70_000, bank="sample", debtor=payer)
    site.world.submit("AP-2", 5_000, bank="sample", debtor=payer, not_before=site.world.moment(3_600))
    site.world.run(20)
    assert site.world.last("AP-1")["state"] == "settled"
    said = site.ask("POST", "liquidity", "group", "run", slot="now")
    assert [one["amount"] for one in said["moves"]] == ["9999998250.00"], "both payments are left out"
    settle(site)
    assert balance(site, 1) == 100_000 + 5_000


def test_the_same_amount_on_two_days_trips_no_duplicate_hold(site: Operator) -> None:
    put(site, pool_of(site, "up=fixed:100.00"))
    for slot in ("a", "b"):
        said = site.ask("POST", "liquidity", "group", "run", slot=slot)
        assert [one["amount"] for one in said["moves"]] == ["100.00"]
        settle(site)
        assert site.ask("GET", "liquidity-runs", said["run"])["moves"][0]["state"] == "settled"


def test_beyond_a_ceiling_the_order_waits_for_persons(site: Operator) -> None:
    put(site, pool_of(site, "up=fixed:60.00", "up=fixed:60.00", head="most-run=100.00 most-day=150.00"))
    said = site.ask("POST", "liquidity", "group", "run", slot="a")
    assert [one["over_ceiling"] for one in said["moves"]] == [False, True]
    settle(site)
    assert [one["state"] for one in site.ask("GET", "liquidity-runs", said["run"])["moves"]] == ["settled", "held"]


def test_a_mandate_passes_the_approval_policy_and_what_is_outside_it_does_not(site: Operator) -> None:
    policy(site, "CNY 0.. 1")
    put(site, pool_of(site, "up=fixed:60.00", "up=fixed:60.00", head="most-run=100.00 most-day=150.00"))
    said = site.ask("POST", "liquidity", "group", "run", slot="a")
    settle(site)
    assert [one["state"] for one in site.ask("GET", "liquidity-runs", said["run"])["moves"]] == ["settled", "held"]
    (waits,) = site.ask("GET", "approvals")["approvals"]
    assert waits["subject"] == said["moves"][1]["order"] and waits["need"] == [{"group": "*", "approvers": 2}]


NOES: dict[str, tuple[str, str]] = {
    "two pools": ("pool CNY header={2} most-run=1.00 most-day=1.00; child {1} up=all", "is in pool group already"),
    "header twice": (
        "pool CNY header={0} most-run=1.00 most-day=1.00; child {2} up=all",
        "is the header of pool group",
    ),
    "cycle": ("pool CNY header={1} most-run=1.00 most-day=1.00; child {0} up=all", "cycle: "),
    "restricted": ("pool CNY header={2} most-run=1.00 most-day=1.00; child {3} up=all", "is restricted"),
    "unknown": ("pool CNY header={2} most-run=1.00 most-day=1.00; child 9999999999 up=all", "is not in the register"),
    "currency": ("pool USD header={2} calendar=cn most-run=1.00 most-day=1.00; child {1} up=all", "keeps CNY"),
    "calendar": ("pool CNY header={2} calendar=mars most-run=1.00 most-day=1.00; child {4} up=all", "no calendar mars"),
    "year": ("pool CNY header={2} calendar=old most-run=1.00 most-day=1.00; child {4} up=all", "has no year 2026"),
    "companies": ("pool CNY header={2} most-run=1.00 most-day=1.00; child {5} up=all", "undocumented lending"),
}


@pytest.mark.parametrize("name", NOES)
def test_a_pool_that_cannot_be_is_refused_in_words(people: Operator, name: str) -> None:
    text, why = NOES[name]
    said = people.no(
        409,
        "pool_unusable",
        "POST",
        "proposals",
        "draft",
        peer=ZHAO.peer,
        kind="pool",
        subject="other",
        to=text.format(*own(people)),
        note="x",
    )
    assert why in said


def test_without_treasury_as_a_sender_nothing_moves(tmp_path: Path) -> None:
    world = World(tmp_path, accounts=2)
    world.start()
    world.run(2)
    operator = Operator(world)
    put(operator, pool_of(operator, "up=all"))
    assert "[senders.treasury]" in operator.no(409, "pool_unusable", "POST", "liquidity", "group", "run")
    world.crash()


def test_a_slot_runs_by_itself_once_on_a_business_day(site: Operator) -> None:
    now = site.gateway.pools.local()
    opens = (now + timedelta(minutes=2)).strftime("%H:%M")
    closes = (now + timedelta(minutes=30)).strftime("%H:%M")
    put(site, pool_of(site, "up=fixed:60.00", head=f"slots={opens}-{closes} most-run=100.00 most-day=150.00"))
    site.world.run(300)
    (run,) = site.ask("GET", "liquidity", "group")["runs"]
    assert (run["slot"], run["state"], run["by"]) == (opens.replace(":", ""), "done", "rule:group")
    assert balance(site, 0) == RICH + 6_000


@pytest.mark.parametrize("bands", ["", "CNY 0.. 1"])
def test_bytes_that_say_another_amount_than_the_mandate_are_not_sent(tmp_path: Path, bands: str) -> None:
    """Two persons signed the pool: their rules are compared with the bytes, whether the company has a policy or none."""

    def lying(bank: Bank) -> Bank:
        write = bank.money[Kind.TRANSFER]
        return replace(
            bank,
            money={
                **bank.money,
                Kind.TRANSFER: lambda order, context: write(
                    replace(order, amount=Money(order.amount.minor + 1)), context
                ),
            },
        )

    world = World(tmp_path, accounts=2, settings={"senders": {"treasury": TREASURY}}, adapters={"sample": lying})
    world.start()
    world.run(2)
    site = Operator(world)
    put(site, pool_of(site, "up=fixed:60.00"))
    if bands:
        policy(site, bands)
    site.ask("POST", "liquidity", "group", "run")
    world.run(30)
    (order,) = site.ask("GET", "orders")["orders"]
    assert (order["state"], balance(site, 0)) == ("held", RICH)
    world.crash()


def test_a_pool_that_fails_stops_no_other(site: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    now = site.gateway.pools.local()
    opens = (now + timedelta(minutes=2)).strftime("%H:%M")
    closes = (now + timedelta(minutes=30)).strftime("%H:%M")
    header, first, second, _ = own(site)
    for name, child, head in (("a", first, header), ("b", second, own(site)[3])):
        put(
            site,
            f"pool CNY header={head} slots={opens}-{closes} most-run=100.00 most-day=150.00; "
            f"child {child} up=fixed:60.00",
            name,
        )
    plan_run = pool_runs.plan_run

    def failing(tx: Tx, wanted: RunRequest, *more: Any) -> Any:
        if wanted.pool == "a":
            raise RuntimeError("a row that nobody expected")
        return plan_run(tx, wanted, *more)

    monkeypatch.setattr(pool_runs, "plan_run", failing)
    with lines() as heard:
        site.world.run(300)
    assert events(heard, "pool.look_failed") and balance(site, 3) == RICH + 6_000
