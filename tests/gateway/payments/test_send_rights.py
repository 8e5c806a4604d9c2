"""Rights to accounts at the send: settings that change while a payment waits, on a whole gateway and without a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.payments.rows import send_rights
from gateway.register.registry import Registry
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from protocols.canon.order import Kind
from protocols.erp.words import BATCHES, SINGLE_ORDERS
from tests.gateway.approvals.test_approval_holds import HAN, TANG
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import ADAPTERS, SLOW, approve, propose, wish
from tests.gateway.people.test_people_acts import appoint
from tests.gateway.pools.test_linked import PAYEE
from tests.gateway.pools.test_liquidity import RICH, own, pool_of, put, world_of
from tests.world.batching import batch, states
from tests.world.world import World

LATER_S = 600.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Operator]:
    operator = Operator(world_of(tmp_path))
    yield operator
    if operator.world.life is not None:
        operator.world.crash()


def _sender(registry: Registry, accounts: frozenset[str]) -> Registry:
    return replace(
        registry, senders={**registry.senders, "kingdee": replace(registry.senders["kingdee"], accounts=accounts)}
    )


def _may_only(registry: Registry, *operations: str) -> Registry:
    """The sender may use these operations only."""
    sender = replace(registry.senders["kingdee"], operations=frozenset(operations))
    return replace(registry, senders={**registry.senders, "kingdee": sender})


def _route(registry: Registry, **changes: Any) -> Registry:
    routes = {number: replace(route, **changes) for number, route in registry.routes.items()}
    return replace(registry, routes=routes)


def _may_use(site: Operator, *accounts: str) -> None:
    """Let the next process read settings by which the sender may use only these accounts."""
    site.world.leave()
    site.world._sender = {"accounts": list(accounts)}
    site.world.set_up_again()
    site.world.start()
    site.world.run(2)


LOST: dict[str, tuple[Callable[[Registry], Registry], str]] = {
    "no sender": (lambda now: replace(now, senders={}), "no sender kingdee any more"),
    "no account of the sender": (lambda now: _sender(now, frozenset({"1"})), "may not use account"),
    "no operation of the sender": (lambda now: _may_only(now, "payment.cancel"), "may not use payment.submit"),
    "no account": (lambda now: replace(now, routes={}), "is not in the settings any more"),
    "another lane": (lambda now: _route(now, lane="sample.other"), "goes by lane sample.other now"),
    "closed": (lambda now: _route(now, closed=date(2020, 1, 1)), "is not open on"),
    "not open yet": (lambda now: _route(now, opened=date(2120, 1, 1)), "is not open on"),
}


@pytest.mark.parametrize("name", LOST)
def test_what_its_sender_has_no_right_to_any_more_is_held_and_goes_when_it_has(site: Operator, name: str) -> None:
    change, why = LOST[name]
    world, gateway = site.world, site.gateway
    there = gateway.registry
    world.submit("AP-1", not_before=world.moment(LATER_S))
    world.run(3)
    gateway.registry = change(there)
    world.run(LATER_S + 30)
    told = world.last("AP-1")
    assert (told["event"], told["hold_reasons"]) == ("payment.held", ["not_entitled"])
    assert not world.bank.ledger.executions and gateway.lanes["sample.main"].halted is None
    said = site.no(409, "not_now", "POST", "orders", "kingdee:AP-1", "release", reason="try")
    assert why in said and "put the settings right first" in said
    gateway.registry = there
    site.ask("POST", "orders", "kingdee:AP-1", "release", reason="put right")
    world.run(10)
    assert world.state("AP-1") == "settled" and len(world.bank.ledger.executions) == 1


def test_each_line_of_a_batch_is_held_and_none_is_lost(site: Operator) -> None:
    world, there = site.world, site.gateway.registry
    world.command("batch.submit", batch(world, "B-1", [100, 101, 102], not_before=world.moment(LATER_S)))
    world.run(3)
    site.gateway.registry = _sender(there, frozenset({"1"}))
    world.run(LATER_S + 30)
    assert states(world, "B-1") == ["held"] * 3 and not world.bank.ledger.executions


def test_a_batch_is_held_if_its_sender_may_submit_no_batches_any_more(site: Operator) -> None:
    world, there = site.world, site.gateway.registry
    world.command("batch.submit", batch(world, "B-1", [100, 101], not_before=world.moment(LATER_S)))
    world.command("batch.submit", batch(world, "B-2", [100, 101], not_before=world.moment(LATER_S)))
    world.run(3)
    site.gateway.registry = _may_only(there, "payment.submit")
    world.run(LATER_S + 30)
    assert states(world, "B-1") == states(world, "B-2") == ["held"] * 2 and not world.bank.ledger.executions


def test_every_kind_of_order_has_an_operation() -> None:
    assert set(send_rights.SUBMITTED_BY) == set(Kind)
    assert set(send_rights.SUBMITTED_BY.values()) == {one.value for one in SINGLE_ORDERS | BATCHES}


def test_a_header_of_others_is_refused_with_words_and_told_beforehand(site: Operator) -> None:
    put(site, pool_of(site, "down=target:0.01", "up=keep:1000.00"))
    header, member = own(site)[:2]
    _may_use(site, member)
    body = {
        "id": "AP-1",
        "debtor": {"account": member, "name": "示例甲公司"},
        "creditor": PAYEE,
        "amount": "100.00",
        "currency": "CNY",
        "funded_by": "group",
    }
    site.world.command("payment.validate", body)
    site.world.run(2)
    said = site.world.replies[-1][1]
    assert said["would"] == "rejected"
    [fault] = said["error"]["errors"]
    assert (fault["at"], fault["code"]) == ("/funded_by", "account_not_allowed") and header not in str(said)
    _may_use(site, member, header)
    site.world.command("payment.validate", body)
    site.world.run(2)
    said = site.world.replies[-1][1]
    assert (said["would"], said["hold_reasons"]) == ("held", ["funding"])


def test_the_header_pays_nothing_if_the_right_to_it_ends_after_leg_1_was_ordered(site: Operator) -> None:
    put(site, pool_of(site, "down=target:0.01", "up=keep:1000.00"))
    header, member = own(site)[:2]
    lane = site.gateway.lanes["sample.main"]
    lane.pause("test")
    site.world.submit("AP-1", RICH + 70_000, debtor={"account": member, "name": "示例甲公司"}, funded_by="group")
    site.world.run(120)
    [leg] = site.world.query("select payment from payments where sender = ? and state = 'ready'", "treasury")
    site.gateway.registry = _sender(site.gateway.registry, frozenset({member}))
    lane.resume("test")
    site.world.run(120)
    assert site.world.query("select hold_reason from payments where payment = ?", leg[0]) == [("not_entitled",)]
    assert not site.world.bank.ledger.executions
    assert ("lane:sample.main", "order.not_entitled") in site.trail(leg[0])


def test_what_two_persons_would_send_once_more_is_asked_too(tmp_path: Path) -> None:
    """The payment is judged before the two persons decide, and again at the send. Then it is escalated, because the
    bank may have a copy."""
    plan = FaultScript([ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY)])
    world = World(tmp_path, accounts=2, plan=plan, bank_options={**SLOW, "first_enquiry_s": 2.0}, adapters=ADAPTERS)
    world.start()
    world.run(1)
    site = Operator(world)
    appoint(site, HAN, TANG, roles="supervisor@*")
    world.submit("AP-1")
    world.run(1_800)
    assert world.state("AP-1") == "in_doubt"
    there, gate = site.gateway.registry, site.gateway.lanes["sample.main"].gate
    site.gateway.registry = _sender(there, frozenset({"1"}))
    why = site.no(
        409,
        "not_now",
        "POST",
        "proposals",
        "draft",
        peer=HAN.peer,
        **wish("kingdee:AP-1", "ready"),
        evidence_sha256="0" * 64,
    )
    assert "may not use account" in why and "put the settings right first" in why
    site.gateway.registry = there
    gate.pause("test")
    approve(site, TANG, propose(site, HAN, "kingdee:AP-1", "ready"))
    site.gateway.registry = _sender(there, frozenset({"1"}))
    gate.resume("test")
    world.run(10)
    assert (world.state("AP-1"), len(world.bank.ledger.executions)) == ("escalated", 0)
    world.crash()
