"""Scenes of persons and senders who lost the right to move money: a maker, an approver, a sender. See `scenes`."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from gateway.approvals.rows.approvals import ApprovalDecision, to_sign
from gateway.call import Denied
from tests.gateway.approvals.test_makers import made_by, signed_by
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, WANG, ZHAO, Hand, approval, enrol, hand, made_of
from tests.gateway.people.test_people_acts import QIAN, SUN, decide, let_in
from tests.gateway.pools.test_linked import PAYEE
from tests.gateway.pools.test_liquidity import RICH, TREASURY, own, pool_of, put
from tests.world.history import violations
from tests.world.stage import ORDER, SPANS, scene
from tests.world.world import World

BANDS = "CNY 0..50000 0; CNY 50000.. 1"
OVER = 5_000_001
VIEWER = hand("han", 2007)
LATER_S = 600.0


def _people(world: World, *hands: tuple[Hand, str]) -> Operator:
    """Make WANG and LI administrators, and give each of these persons these roles."""
    operator = Operator(world)
    enrol(operator, WANG, LI)
    operator.ask("POST", "ceremony", security_admin="wang", system_admin="li", reason="minutes")
    for one, roles in hands:
        let_in(operator, one, roles)
    return operator


def _approve(operator: Operator, one: Hand, subject: str) -> Any:
    [request] = [row for row in operator.ask("GET", "approvals")["approvals"] if row["subject"] == subject]
    signature = b64encode(one.key.sign(to_sign(request["digest"], ApprovalDecision.APPROVE))).decode()
    done = operator.ask(
        "POST", "approvals", request["request"], "approve", peer=one.peer, digest=request["digest"], signature=signature
    )
    operator.world.run(5)
    return done


def _sends(world: World) -> int:
    return sum(len(site.ledger.executions) for site in world.banks.values())


def _kept(world: World) -> World:
    broken = violations(world, calm=False)
    assert broken == [], broken
    assert world.life is not None and world.life.fatal == []
    return world


def _world(folder: Path, **more: Any) -> World:
    world = World(folder, spans=SPANS, accounts=3, **more)
    world.start()
    world.run(2)
    return world


# ---- the maker ----


@scene
def the_erp_names_a_viewer_as_the_maker(folder: Path) -> World:
    """The named person is enrolled, but is no maker: the order needs two approvers, whatever its amount."""
    world = _world(folder)
    operator = _people(world, (VIEWER, "viewer@*"), (SUN, "approver@*"), (QIAN, "approver@*"))
    decide(operator, "policy", "approvals", f"{BANDS}; makers kingdee")
    world.submit(ORDER, OVER, maker="han")
    world.run(3)
    assert _approve(operator, SUN, ORDER)["missing"] == "1 of any approver"
    assert (world.state(ORDER), _sends(world)) == ("held", 0)
    _approve(operator, QIAN, ORDER)
    assert (world.state(ORDER), _sends(world)) == ("settled", 1)
    return _kept(world)


@scene
def the_erp_names_a_maker_who_signed_nothing(folder: Path) -> World:
    """The named person is a maker for that account, but has not signed the order, and the policy does not trust the
    sender."""
    world = _world(folder)
    operator = _people(world, (ZHAO, "maker@*"), (SUN, "approver@*"), (QIAN, "approver@*"))
    decide(operator, "policy", "approvals", BANDS)
    world.submit(ORDER, OVER, maker="zhao")
    world.run(3)
    assert _approve(operator, SUN, ORDER)["missing"] == "1 of any approver"
    assert (world.state(ORDER), _sends(world)) == ("held", 0)
    return _kept(world)


@scene
def the_erp_forges_a_makers_signature(folder: Path) -> World:
    """The maker signed an order of 1.00. The ERP sends another amount with that signature: two approvers are needed."""
    world = _world(folder)
    operator = _people(world, (ZHAO, "maker@*"), (SUN, "approver@*"))
    decide(operator, "policy", "approvals", BANDS)
    signed = made_by(world, ZHAO, world.order(ORDER, 100))
    world.command("payment.submit", {**signed, "amount": "50000.01"})
    world.run(3)
    assert _approve(operator, SUN, ORDER)["missing"] == "1 of any approver"
    assert (world.state(ORDER), _sends(world)) == ("held", 0)
    return _kept(world)


@scene
def the_maker_signed_and_lost_the_role_before_the_send(folder: Path) -> World:
    """The maker signed the order, which needs no approver. The role is taken away before the send: two are needed."""
    world = _world(folder)
    operator = _people(world, (ZHAO, "maker@*"), (SUN, "approver@*"), (QIAN, "approver@*"))
    decide(operator, "policy", "approvals", BANDS)
    for id_, at in (("AP-0", world.moment(1)), (ORDER, world.moment(LATER_S))):
        signed_by(world, ZHAO, id_, 100, not_before=at)
    world.run(5)
    assert (world.state("AP-0"), world.state(ORDER)) == ("settled", "ready")
    decide(operator, "roles", "zhao", "viewer@*")
    world.run(LATER_S)
    assert (world.state(ORDER), _sends(world)) == ("held", 1)
    for one in (SUN, QIAN):
        _approve(operator, one, ORDER)
    assert (world.state(ORDER), _sends(world)) == ("settled", 2)
    return _kept(world)


# ---- the first of two ----


@scene
def the_first_approver_lost_the_role_before_the_second_signed(folder: Path) -> World:
    """Two are needed. The first one's role is taken away before the second signs: the first does not count."""
    world = _world(folder)
    third = hand("tang", 2008)
    operator = _people(world, (SUN, "approver@*"), (QIAN, "approver@*"), (third, "approver@*"))
    decide(operator, "policy", "approvals", "CNY 0.. 2")
    world.submit(ORDER)
    world.run(3)
    _approve(operator, SUN, ORDER)
    decide(operator, "roles", "sun", "viewer@*")
    assert _approve(operator, QIAN, ORDER)["missing"] == "1 of any approver"
    assert (world.state(ORDER), _sends(world)) == ("held", 0)
    assert _approve(operator, third, ORDER)["state"] == "approved"
    assert (world.state(ORDER), _sends(world)) == ("settled", 1)
    return _kept(world)


@scene
def who_proposed_lost_the_role_or_its_scope_before_the_second_signed(folder: Path) -> World:
    """A supervisor proposes a release. The supervisor's role is then limited to another company, and then removed."""
    world = _world(folder, sender={"suspected_duplicate_hours": 24})
    operator = _people(world, (SUN, "supervisor@*"), (QIAN, "supervisor@*"))
    for id_ in ("AP-0", ORDER):
        world.submit(id_, 100, creditor=PAYEE)
        world.run(1)
    world.run(3)
    assert world.state(ORDER) == "held", "it is alike to AP-0"
    wanted: dict[str, Any] = {"kind": "release", "subject": f"kingdee:{ORDER}", "to": "send", "note": "looked at"}
    drafted = operator.ask("POST", "proposals", "draft", peer=SUN.peer, **wanted)
    body = made_of(drafted, SUN, wanted, b"")
    key = operator.ask("POST", "proposals", peer=SUN.peer, **body)["proposal"]
    for roles in (f"supervisor@account:{world.bank.accounts[2]}", "viewer@*"):
        decide(operator, "roles", "sun", roles)
        with pytest.raises(Denied) as no:
            operator.ask("POST", "proposals", key, "approve", peer=QIAN.peer, **approval(operator, QIAN, key))
        assert no.value.code == "first_is_gone", f"{roles}: {no.value}"
    assert (world.state(ORDER), _sends(world)) == ("held", 1)
    return _kept(world)


# ---- the sender ----


@scene
def a_sender_lost_the_operation_before_the_send(folder: Path) -> World:
    """No policy is in force. The settings of the next life do not let the sender submit payments any more."""
    world = _world(folder)
    world.submit(ORDER, not_before=world.moment(LATER_S))
    world.run(3)
    assert world.state(ORDER) == "ready"
    world.leave()
    world._sender = {"operations": ["payment.cancel", "status.query"]}
    world.set_up_again()
    world.start()
    world.run(LATER_S + 60)
    assert (world.state(ORDER), _sends(world)) == ("held", 0)
    assert world.last(ORDER)["hold_reasons"] == ["not_entitled"]
    return _kept(world)


@scene
def a_sender_lost_the_account_before_the_send(folder: Path) -> World:
    """No policy is in force. The settings of the next life do not let the sender use the account any more."""
    world = _world(folder)
    world.submit(ORDER, not_before=world.moment(LATER_S))
    world.run(3)
    assert world.state(ORDER) == "ready"
    world.leave()
    world._sender = {"accounts": [world.bank.accounts[1]]}
    world.set_up_again()
    world.start()
    world.run(LATER_S + 60)
    assert (world.state(ORDER), _sends(world)) == ("held", 0)
    assert world.last(ORDER)["hold_reasons"] == ["not_entitled"]
    world.leave()
    world._sender = {}
    world.set_up_again()
    world.start()
    world.run(2)
    Operator(world).ask("POST", "orders", f"kingdee:{ORDER}", "release", reason="the account is the sender's again")
    world.run(10)
    assert (world.state(ORDER), _sends(world)) == ("settled", 1)
    return _kept(world)


def _pooled(folder: Path) -> tuple[World, Operator]:
    """The pool `group` of all accounts of the bank, whose header is the first one."""
    world = _world(folder, settings={"senders": {"treasury": TREASURY}, "banks": {"sample": {"most_repeats": 0}}})
    operator = Operator(world)
    put(operator, pool_of(operator, "down=target:0.01", "up=keep:1000.00"))
    return world, operator


@scene
def a_linked_order_draws_on_a_header_that_its_sender_may_not_use(folder: Path) -> World:
    """The sender may use only the member, but names the pool: the order is refused, and the header pays nothing."""
    world, operator = _pooled(folder)
    member = own(operator)[1]
    world.leave()
    world._sender = {"accounts": [member]}
    world.set_up_again()
    world.start()
    world.run(2)
    world.submit(ORDER, RICH + 70_000, debtor={"account": member, "name": "示例甲公司"}, funded_by="group")
    world.run(300)
    assert (world.state(ORDER), _sends(world)) == ("rejected", 0)
    said = world.last(ORDER)["error"]
    assert [(one["at"], one["code"]) for one in said["errors"]] == [("/funded_by", "account_not_allowed")], said
    return _kept(world)


@scene
def a_sender_lost_the_header_before_its_linked_order_was_funded(folder: Path) -> World:
    """The right to the header ends between admission and funding: the order waits, and the header pays nothing."""
    world, operator = _pooled(folder)
    member = own(operator)[1]
    at = world.moment(LATER_S)
    world.submit(
        ORDER, RICH + 70_000, debtor={"account": member, "name": "示例甲公司"}, funded_by="group", not_before=at
    )
    world.run(3)
    assert world.state(ORDER) == "held"
    world.leave()
    world._sender = {"accounts": [member]}
    world.set_up_again()
    world.start()
    world.run(LATER_S + 300)
    assert (world.state(ORDER), _sends(world)) == ("held", 0)
    return _kept(world)
