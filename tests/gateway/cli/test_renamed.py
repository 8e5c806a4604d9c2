"""The effects of a rename in the settings on open payments: with the command nothing is lost or paid twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred

from gateway.kernel.cluster import renames, unknown_to_settings
from gateway.kernel.commit import lane_names
from gateway.settings import Settings
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from gateway.watch.watch import Watch, WatchedParts
from protocols.bank import Bank
from protocols.canon.order import Kind
from tests.gateway.cli.control_operator import Operator
from tests.world.world import World

LATER_S = 25 * 3_600
"""Longer than an order is looked for among those alike."""
HOURS = {"suspected_duplicate_hours": 24}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, sender=HOURS)
    made.start()
    made.run(1)
    yield made
    if made.life is not None:
        made.crash()


def with_sender(settings: Settings, name: str) -> Settings:
    return settings.model_copy(update={"senders": {name: settings.senders["kingdee"]}})


def rename(world: World, change: Any, old: str, new: str) -> None:
    """Rename as the command does, while no daemon works on the journal."""
    found: list[Any] = []
    life = world.life
    assert life is None
    from gateway.kernel.commit.committer import Committer
    from gateway.kernel.commit.permit_log import NoPermits
    from gateway.kernel.sql import databases, vaults
    from gateway.wiring import PORTS
    from tests.world.entropy import SeededEntropy
    from tests.world.life_clock import LifeClock

    engine = databases.connect(world.url, connections=1, writing=True)
    vaults.attach(engine, world.vault)
    committer = Committer(
        engine, LifeClock(world.clock), "gw1.offline", world.vault, SeededEntropy(9), NoPermits(), ports=PORTS
    )
    found += committer.commit([lambda tx: change(tx, old, new, "uid:root", "new name")]).results
    committer.close()
    assert isinstance(found[0], renames.Renamed), found


def paid(world: World) -> int:
    return len(world.bank.ledger.executions)


def test_a_renamed_sender_is_not_paid_twice_when_an_order_comes_again_after_25_hours(world: World) -> None:
    world.submit("AP-1")
    world.run(10)
    assert world.last("AP-1")["state"] == "settled" and paid(world) == 1
    world.leave()
    rename(world, renames.rename_sender, "kingdee", "kingdee-beijing")
    world.settings = with_sender(world.settings, "kingdee-beijing")
    world.run(LATER_S)
    world.start()
    world.run(5)
    world.again("AP-1", fresh=False)
    world.run(60)
    assert paid(world) == 1
    (said,) = [said for _, said in world.replies if said.get("replayed")]
    assert (said["sender"], said["state"]) == ("kingdee-beijing", "settled")


def test_without_the_command_it_would_be_and_check_says_so(world: World) -> None:
    world.submit("AP-1")
    world.run(10)
    world.leave()
    renamed = with_sender(world.settings, "kingdee-beijing")
    known = unknown_to_settings.known_of(renamed, {})
    (found,) = world.read(lambda conn: unknown_to_settings.find_unknown(conn, known, world.vault))
    assert (found.what, found.payments) == ("user", 1)
    assert "bankgw senders rename kingdee kingdee-beijing" in found.sentence
    assert 'accept_unknown = ["user:erp-user"]' in found.sentence
    world.settings = renamed
    world.run(LATER_S)
    world.start()
    world.run(5)
    world.again("AP-1", fresh=False)
    world.run(60)
    assert paid(world) == 2, "the hole that the command closes"


def test_settings_that_move_a_user_are_not_reloaded_in_production(world: World) -> None:
    from gateway.app import UserMoved

    world.submit("AP-1")
    world.run(10)
    assert world.life is not None
    moved = with_sender(world.settings, "other").model_copy(update={"mode": "production"})
    failed: list[Any] = []
    Deferred.fromCoroutine(world.life.gateway.reload(moved)).addErrback(failed.append)
    world.run(1)
    assert (
        failed
        and failed[0].check(UserMoved)
        and "speaks for sender other and spoke for kingdee" in str(failed[0].value)
    )
    assert world.life.gateway.registry.senders.keys() == {"kingdee"}


def test_a_renamed_lane_goes_on_with_what_was_open(tmp_path: Path) -> None:
    world = World(
        tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]), bank_options={"first_enquiry_s": 3_600.0}
    )
    world.start()
    world.run(1)
    world.submit("AP-1")
    world.run(5)
    assert world.state("AP-1") == "in_doubt"
    world.leave()
    refs = world.read(
        lambda conn: unknown_to_settings.find_unknown(
            conn, unknown_to_settings.known_of(world.settings, {}), world.vault
        )
    )
    assert refs == []
    rename(world, renames.rename_lane, "sample.main", "sample.second")
    rename(world, renames.rename_lane, "sample.second", "sample.main")
    world.start()
    world.run(2 * 3_600)
    world.submit("AP-2")
    world.run(60)
    assert world.state("AP-1") == world.state("AP-2") == "settled" and paid(world) == 2
    assert world.read(lane_names.current_lanes) == {"sample.second": "sample.main"}
    world.crash()


def unlisted(world: World, **changes: Any) -> list[unknown_to_settings.Unknown]:
    """The unknown names if these parts of the settings are different."""
    assert world.life is not None
    known = replace(world.life.gateway.known(), **changes)
    return world.read(lambda conn: unknown_to_settings.find_unknown(conn, known, world.vault))


@pytest.fixture
def held(tmp_path: Path) -> Iterator[World]:
    """A world with one open payment."""
    made = World(tmp_path, sender={"bands": [{"action": "hold"}]})
    made.start()
    made.run(1)
    made.submit("AP-1")
    made.run(2)
    assert made.state("AP-1") == "held"
    yield made
    made.crash()


@pytest.mark.parametrize(
    ("changes", "what", "name", "says"),
    [
        ({"lanes": frozenset({"sample.other"})}, "lane", "sample.main", "bankgw lanes rename sample.main NEW"),
        ({"banks": frozenset()}, "bank", "sample", "Put its table back"),
        ({"accounts": ()}, "account", "000000****0100", "Put it back into [[accounts]]"),
        ({"kinds": {"sample": frozenset({"transfer"})}}, "kind", "sample/payment", "switched off"),
        ({"senders": frozenset({"other"})}, "sender", "kingdee", "bankgw senders rename kingdee NEW"),
    ],
)
def test_what_is_open_and_unknown_is_told_with_its_number_and_the_remedy(
    held: World, changes: dict[str, Any], what: str, name: str, says: str
) -> None:
    assert unlisted(held) == []
    (found,) = unlisted(held, **changes)
    assert (found.what, found.name, found.payments) == (what, name, 1)
    assert "1 open payment " in found.remedy and says in found.sentence
    number = held.bank.account
    word = f"account:{number}" if what == "account" else f"{what}:{name}"
    assert unlisted(held, **changes, accepted=frozenset({word})) == []


def test_a_lanes_old_name_cannot_be_given_to_another_lane(held: World) -> None:
    held.leave()
    rename(held, renames.rename_lane, "sample.main", "sample.second")
    held.start()
    found = unlisted(held, lanes=frozenset({"sample.main", "sample.second"}))
    assert [(one.what, one.name) for one in found] == [("old_lane", "sample.main")]
    assert "accept_unknown" not in found[0].sentence
    held.run(5)
    assert held.life is not None and "sample.main was renamed to sample.second" in held.life.fatal[0]


def test_while_anything_is_unknown_a_metric_and_an_alarm_say_so(held: World) -> None:
    from gateway.watch.notify import Notify
    from tests.gateway.watch.test_watch import Reactor
    from tests.world.inline_executor import InlineExecutor

    assert held.life is not None
    life, parts = held.life, held.life.gateway.parts
    known = replace(life.gateway.known(), lanes=frozenset({"sample.other"}))
    sights = WatchedParts(parts.store, parts.amqp, life.gateway.lanes, life.meters, known=lambda: known)
    watch = Watch(Reactor(), sights, parts.clock, Notify({}), InlineExecutor(parts.clock))
    with capture_logs() as lines:
        watch.start("127.0.0.1", 0)
        held.run(70)
    told = [line for line in lines if line["event"] == "settings.unknown"]
    assert [(line["what"], line["name"], line["payments"]) for line in told] == [("lane", "sample.main", 1)]
    assert life.sample("bankgw_payments_unknown_to_settings", what="lane") == 1
    assert life.sample("bankgw_alarms_total", alarm="unknown_to_settings") == 1
    known = life.gateway.known()
    held.run(70)
    assert life.sample("bankgw_payments_unknown_to_settings", what="lane") == 0


def test_an_order_of_a_kind_that_was_switched_off_is_held_and_the_lane_goes_on(tmp_path: Path) -> None:
    world = World(
        tmp_path, sender={"bands": [{"upto": "1000", "action": "release"}, {"above": "1000", "action": "hold"}]}
    )
    world.start()
    world.run(1)
    world.submit("AP-1", 200_000)
    world.run(2)
    world.leave()

    def off(bank: Bank) -> Bank:
        rest: dict[Kind, Any] = {kind: word for kind, word in bank.money.items() if kind is not Kind.PAYMENT}
        return replace(bank, money=MappingProxyType(rest))

    world.adapters["sample"] = off
    life = world.start()
    world.run(2)
    operator = Operator(world)
    with capture_logs() as lines:
        operator.ask("POST", "orders", "kingdee:AP-1", "release", reason="x")
        world.run(10)
    assert world.state("AP-1") == "held" and world.last("AP-1")["hold_reason"] == "cannot_be_prepared"
    assert life.gateway.lanes["sample.main"].halted is None and not paid(world)
    assert any("payment is switched off at this bank" in str(line.get("error")) for line in lines)
    world.crash()
