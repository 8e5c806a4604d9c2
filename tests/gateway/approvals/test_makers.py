"""The person who counts as the maker of an order, on a whole gateway: by a signature, a trusted sender, a role, a
scope."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from gateway.__main__ import environment
from gateway.approvals.rules.makers import to_sign
from gateway.cli.application import application
from protocols.erp.fingerprint import batch_fingerprint, fingerprint
from protocols.erp.forms import FORMS
from protocols.erp.words import CommandType, SubmitBatch, SubmitOrder
from tests.gateway.approvals.test_approval_acts import LATER_S, approve, executions, key_of, no
from tests.gateway.approvals.test_approval_holds import OVER, request, submit
from tests.gateway.approvals.test_approval_holds import operator as operator
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import WANG, ZHAO, Hand, hand
from tests.gateway.people.test_people_acts import QIAN, SUN, decide, let_in
from tests.gateway.people.test_people_acts import site as site
from tests.world.batching import batch, states
from tests.world.world import World

STRICT = "CNY 0..50000 0; CNY 50000.. 1"
ZHOU = hand("zhou", 2006)


@pytest.fixture
def desk(site: Operator) -> Operator:
    """A site whose policy trusts no sender: ZHAO makes payments, SUN and QIAN approve them."""
    for one, roles in ((ZHAO, "maker@*"), (SUN, "approver@*"), (QIAN, "approver@*")):
        let_in(site, one, roles)
    decide(site, "policy", "approvals", STRICT)
    return site


def made_by(
    world: World, one: Hand, body: dict[str, Any], key: str = "payment.submit", environment: str = "test"
) -> dict[str, Any]:
    """The command with this person as its maker, and with the person's signature."""
    named = {**body, "maker": one.name}
    word = FORMS[CommandType(key)].model_validate(named).word()
    assert isinstance(word, (SubmitBatch, SubmitOrder))
    found = batch_fingerprint(word) if isinstance(word, SubmitBatch) else fingerprint(word.order)
    signature = one.key.sign(to_sign(environment, world.sender, found))
    return {**named, "maker_signature": b64encode(signature).decode()}


def signed_by(world: World, one: Hand, id_: str, minor: int, **more: Any) -> None:
    """Submit an order that this person made and signed."""
    world.command("payment.submit", made_by(world, one, world.order(id_, minor, **more)))


def needed(operator: Operator, subject: str) -> tuple[str | None, int]:
    made = request(operator, subject)
    return (None, 0) if made is None else (made.maker, made.need.approvers)


def test_a_maker_who_signed_the_order_counts(desk: Operator) -> None:
    signed_by(desk.world, ZHAO, "AP-1", OVER - 1)
    signed_by(desk.world, ZHAO, "AP-2", OVER)
    desk.world.run(3)
    assert desk.world.state("AP-1") == "settled"
    assert needed(desk, "AP-2") == ("zhao", 1)
    approve(desk, SUN, key_of(desk, "AP-2"))
    assert desk.world.state("AP-2") == "settled" and executions(desk) == 2


def test_a_name_that_the_erp_gives_alone_does_not_count_and_the_named_person_approves_nothing(desk: Operator) -> None:
    decide(desk, "roles", "zhao", "approver@*;maker@*")
    submit(desk, "AP-1", 1, maker="zhao")
    assert needed(desk, "AP-1") == (None, 2)
    assert "zhao made it" in no(desk, 409, "own_payment", ZHAO, key_of(desk, "AP-1"))
    assert approve(desk, SUN, key_of(desk, "AP-1"))["missing"] == "1 of any approver"


WRONG: dict[str, Callable[[Operator, dict[str, Any]], dict[str, Any]]] = {
    "changed after it": lambda _site, body: {**body, "amount": "50000.02"},
    "of another order": lambda _site, body: {**body, "id": "AP-2"},
    "of somebody else": lambda site, body: {
        **body,
        "maker_signature": made_by(site.world, ZHOU, body)["maker_signature"],
    },
    "under another name": lambda _site, body: {**body, "maker": "sun"},
    "of another environment": lambda site, body: made_by(site.world, ZHAO, body, environment="live"),
    "no signature": lambda _site, body: {**body, "maker_signature": b64encode(bytes(64)).decode()},
}


@pytest.mark.parametrize("trusted", ["", "; makers kingdee"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_signature_is_no_better_than_none(desk: Operator, name: str, trusted: str) -> None:
    """A wrong signature does not count even if the policy trusts the sender."""
    if trusted:
        decide(desk, "policy", "approvals", STRICT + trusted)
    plain = desk.world.order("AP-1", OVER)
    body = WRONG[name](desk, made_by(desk.world, ZHAO, plain))
    desk.world.command("payment.submit", body)
    desk.world.run(3)
    assert needed(desk, body["id"]) == (None, 2)


@pytest.mark.parametrize("kind", ["batch", "payroll", "collection"])
def test_a_maker_signs_a_whole_batch(desk: Operator, kind: str) -> None:
    world = desk.world
    body = made_by(world, ZHAO, batch(world, "B-1", [OVER, 100], kind=kind), f"{kind}.submit")
    world.command(f"{kind}.submit", body)
    swapped = [{**item, "id": f"C-1-{n}"} for n, item in enumerate(body["items"], 1)]
    world.command(f"{kind}.submit", {**body, "id": "C-1", "items": swapped})
    world.run(3)
    assert needed(desk, "B-1") == ("zhao", 1) and needed(desk, "C-1") == (None, 2)
    approve(desk, SUN, key_of(desk, "B-1"))
    assert states(world, "B-1") == ["settled"] * 2 and states(world, "C-1") == ["held"] * 2


@pytest.mark.parametrize("roles", ["viewer@*", "approver@*;supervisor@*", "maker@account:{}"])
def test_who_is_no_maker_of_the_account_does_not_count_for_a_trusted_sender_either(desk: Operator, roles: str) -> None:
    other = next(one for one in sorted(desk.gateway.registry.routes) if one != desk.world.bank.account)
    decide(desk, "policy", "approvals", f"{STRICT}; makers kingdee")
    submit(desk, "AP-1", 1, maker="zhao")
    assert desk.world.state("AP-1") == "settled"
    decide(desk, "roles", "zhao", roles.format(other))
    submit(desk, "AP-2", 1, maker="zhao")
    assert needed(desk, "AP-2") == (None, 2)


def test_a_maker_who_lost_the_role_after_one_approval_leaves_it_to_two(desk: Operator) -> None:
    world = desk.world
    signed_by(world, ZHAO, "AP-1", OVER, not_before=world.moment(LATER_S))
    world.run(3)
    approve(desk, SUN, key_of(desk, "AP-1"))
    assert world.state("AP-1") == "ready"
    decide(desk, "deactivate", "zhao", "deactivated")
    world.run(LATER_S + 60)
    assert (world.state("AP-1"), executions(desk)) == ("held", 0)
    approve(desk, SUN, key_of(desk, "AP-1"))
    approve(desk, QIAN, key_of(desk, "AP-1"))
    assert world.state("AP-1") == "settled"


def test_an_order_that_comes_again_with_a_signature_is_the_order_that_came_without(desk: Operator) -> None:
    """The signature is no part of the content: the first command decides what the order needs."""
    world = desk.world
    submit(desk, "AP-1", OVER, maker="zhao")
    signed_by(world, ZHAO, "AP-1", OVER)
    world.run(3)
    assert needed(desk, "AP-1") == (None, 2) and world.state("AP-1") == "held"


def test_a_policy_names_senders_that_there_are(desk: Operator) -> None:
    desk.no(
        409,
        "no_such_sender",
        "POST",
        "proposals",
        "draft",
        peer=WANG.peer,
        kind="policy",
        note="x",
        subject="approvals",
        to=f"{STRICT}; makers nobody",
    )
    decide(desk, "policy", "approvals", f"{STRICT}; makers kingdee")
    assert desk.ask("GET", "policy")["policies"][0]["lines"][-1] == "makers kingdee"


def test_the_command_signs_what_counts(desk: Operator, tmp_path: Path) -> None:
    """`bankgw approvals sign-made` signs the file that the ERP submits, and names the commands that it cannot sign."""
    key, file = tmp_path / "person.pem", tmp_path / "order.json"
    key.write_bytes(ZHAO.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key.chmod(0o600)

    def sign(body: dict[str, Any], *more: str) -> Any:
        file.write_text(json.dumps(body))
        words = ["approvals", "sign-made", str(file), "--sender", "kingdee", "--key", str(key), "--yes", *more]
        return CliRunner().invoke(application(), words, obj=environment())

    body = desk.world.order("AP-1", 1, maker="zhao")
    done = sign(body, "--environment", "test", "--json")
    assert done.exit_code == 0, done.output
    desk.world.command("payment.submit", {**body, "maker_signature": json.loads(done.stdout)["maker_signature"]})
    desk.world.run(3)
    assert desk.world.state("AP-1") == "settled"
    assert "has no `maker`" in sign(desk.world.order("AP-2", 1), "--environment", "test").output
    assert "--environment is test or live" in sign(body, "--environment", "prod").output
    assert "makes no payment" in sign({"id": "AP-1"}, "--environment", "test", "--command", "payment.cancel").output
    assert "missing or of the wrong form" in sign({**body, "amount": 1}, "--environment", "test").output


def test_a_payment_is_not_split_by_naming_its_maker_in_one_half(desk: Operator) -> None:
    """Each half needs two approvers by itself, and both together need three, whichever half comes first."""
    decide(desk, "policy", "approvals", "CNY 0..50000 0; CNY 50000..90000 2; CNY 90000.. 3")
    for n, signed in enumerate((True, False, True)):
        creditor = {"account": f"00000000000000000{40 + n}", "name": "示例丙"}
        for half in (signed, not signed):
            id_ = f"AP-{n}-{half}"
            if half:
                signed_by(desk.world, ZHAO, id_, OVER, creditor=creditor)
            else:
                desk.world.submit(id_, OVER, maker="zhao", creditor=creditor)
            desk.world.run(2)
        assert [needed(desk, f"AP-{n}-{half}")[1] for half in (signed, not signed)] == [2, 3]
