"""Approvals when facts change between request and send, on a whole gateway: policies, people, cancellations, settings,
a second send, and the bytes at the last gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.tasks import sleep
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from tests.gateway.approvals.test_approval_acts import LATER_S, ZHOU, approve, executions, key_of, no, said
from tests.gateway.approvals.test_approval_holds import BANDS, HAN, OVER, PAYEE, TANG, request, submit
from tests.gateway.approvals.test_approval_holds import four_eyes as four_eyes
from tests.gateway.approvals.test_approval_holds import operator as operator
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import ADAPTERS, LI, SLOW, WANG, ZHAO, draft, enrol, propose, wish
from tests.gateway.cli.resolving import approve as approve_proposal
from tests.gateway.people.test_people_acts import QIAN, SUN, decide, let_in
from tests.gateway.people.test_people_acts import site as site
from tests.world.batching import alone, batch, states
from tests.world.lines import events, lines
from tests.world.world import World


def state_of(operator: Operator, subject: str) -> str:
    made = request(operator, subject)
    assert made is not None
    return made.state.value


# ---- policies and people ----


def test_a_later_policy_about_new_payees_holds_what_is_ready(four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", 100, maker="zhao", creditor=PAYEE, not_before=four_eyes.world.moment(LATER_S))
    assert four_eyes.world.state("AP-1") == "ready"
    decide(four_eyes, "policy", "approvals", "CNY 0.. 0; CNY 0.. 1 payee=new; makers kingdee")
    four_eyes.world.run(LATER_S + 60)
    assert four_eyes.world.state("AP-1") == "held" and executions(four_eyes) == 0
    approve(four_eyes, SUN, key_of(four_eyes, "AP-1"))
    assert four_eyes.world.state("AP-1") == "settled"


def test_who_enrols_under_the_makers_name_later_made_it_all_the_same(four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", 1, maker="zhou")
    key = key_of(four_eyes, "AP-1")
    let_in(four_eyes, ZHOU, "approver@*")
    assert "zhou made it" in no(four_eyes, 409, "own_payment", ZHOU, key)
    assert approve(four_eyes, SUN, key)["missing"] == "1 of any approver"
    assert approve(four_eyes, QIAN, key)["state"] == "approved"


def test_a_group_that_a_later_policy_has_not_is_still_its_members(four_eyes: Operator) -> None:
    decide(
        four_eyes,
        "policy",
        "approvals",
        "CNY 0.. 0; CNY 0..1000 0 group=board; CNY 1000.. 1 group=board; group board=sun; makers kingdee",
    )
    submit(four_eyes, "AP-1", 200_000, maker="zhao")
    decide(four_eyes, "policy", "approvals", BANDS)
    four_eyes.world.run(1_801)
    renewed = four_eyes.ask("POST", "approvals", key_of(four_eyes, "AP-1"), "renew", peer=ZHAO.peer)["request"]
    assert approve(four_eyes, QIAN, renewed)["missing"] == "1 of group board"
    assert approve(four_eyes, SUN, renewed)["state"] == "approved"


def test_the_list_is_cut_after_the_scope(four_eyes: Operator) -> None:
    """200 requests about an account outside the person's scope do not hide the one about an account inside it."""
    world = four_eyes.world
    mine, other = sorted(four_eyes.gateway.registry.routes)[:2]
    submit(four_eyes, "AP-mine", OVER, maker="zhao", debtor={"account": mine, "name": "示例甲公司"})
    for n in range(201):
        world.submit(f"AP-{n}", OVER + n, maker="zhao", debtor={"account": other, "name": "示例甲公司"})
    world.run(5)
    assert len(four_eyes.ask("GET", "approvals")["approvals"]) == 200
    decide(four_eyes, "roles", "sun", f"approver@account:{mine}")
    assert [one["subject"] for one in four_eyes.ask("GET", "approvals", peer=SUN.peer)["approvals"]] == ["AP-mine"]


# ---- what ends without being sent ----


def test_what_is_cancelled_or_expires_is_not_asked_about_any_more(four_eyes: Operator) -> None:
    world = four_eyes.world
    for name in ("AP-1", "AP-2"):
        submit(four_eyes, name, OVER, maker="zhao", creditor=PAYEE)
    submit(four_eyes, "AP-3", OVER, maker="zhao", valid_until=world.moment(300))
    four_eyes.ask("POST", "orders", "kingdee:AP-1", "cancel", reason="typo")
    world.command("payment.cancel", {"id": "AP-2"})
    world.run(400)
    assert [world.state(f"AP-{n}") for n in (1, 2, 3)] == ["cancelled", "cancelled", "expired"]
    assert [state_of(four_eyes, f"AP-{n}") for n in (1, 2, 3)] == ["void"] * 3
    assert four_eyes.ask("GET", "approvals")["approvals"] == []
    assert ("uid:root", "approval.request_void") in four_eyes.trail("kingdee/AP-1")


def test_a_batch_is_asked_about_until_its_last_line_is_cancelled(four_eyes: Operator) -> None:
    four_eyes.world.command("batch.submit", batch(four_eyes.world, "B-1", [OVER, OVER + 1], maker="zhao"))
    four_eyes.world.run(3)
    four_eyes.ask("POST", "orders", "kingdee:B-1-1", "cancel", reason="typo")
    assert state_of(four_eyes, "B-1") == "open"
    four_eyes.ask("POST", "orders", "kingdee:B-1", "cancel", reason="all of it")
    assert state_of(four_eyes, "B-1") == "void"


def test_what_was_cancelled_while_it_was_prepared_stops_no_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stricter policy came into force. All lines of the batch are cancelled just before the send of the first is
    recorded."""
    made = site_of(World(tmp_path, accounts=2, adapters={"sample": alone}))
    world, lane = made.world, made.gateway.lanes["sample.main"]
    body = batch(world, "B-1", [100, 101], maker="zhao", not_before=world.moment(LATER_S))
    world.command("batch.submit", body)
    world.run(3)
    assert states(world, "B-1") == ["ready"] * 2
    decide(made, "policy", "approvals", "CNY 0.. 1; makers kingdee")
    take = lane.ready_payments.take_payment

    async def slow(payment: str) -> Any:
        found = await take(payment)
        if world.state("B-1-1") == "ready":
            for n in (1, 2):
                world.command("payment.cancel", {"id": f"B-1-{n}"})
            await sleep(made.gateway.parts.clock, 1)
        return found

    monkeypatch.setattr(lane.ready_payments, "take_payment", slow)
    world.run(LATER_S + 60)
    assert states(world, "B-1") == ["cancelled"] * 2 and lane.halted is None
    submit(made, "AP-1", 1, maker="zhao")
    approve(made, SUN, key_of(made, "AP-1"))
    assert world.state("AP-1") == "settled"
    world.crash()


def test_a_bank_that_the_settings_have_no_more_is_a_no_and_no_defect(four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    key, gateway = key_of(four_eyes, "AP-1"), four_eyes.gateway
    there = gateway.registry
    gateway.registry = replace(there, banks={})
    assert "no bank sample" in no(four_eyes, 409, "not_now", SUN, key)
    gateway.registry = there
    assert approve(four_eyes, SUN, key)["state"] == "approved" and four_eyes.world.state("AP-1") == "settled"


# ---- sent once more, and the last gate ----


def site_of(world: World) -> Operator:
    """A world like that of the fixture `four_eyes`. HAN and TANG decide payments in doubt."""
    world.start()
    world.run(1)
    made = Operator(world)
    enrol(made, WANG, LI)
    made.ask("POST", "ceremony", security_admin="wang", system_admin="li", reason="minutes")
    for one, roles in (
        (ZHAO, "maker@*"),
        (SUN, "approver@*"),
        (QIAN, "approver@*"),
        (HAN, "supervisor@*"),
        (TANG, "supervisor@*"),
    ):
        let_in(made, one, roles)
    decide(made, "policy", "approvals", BANDS)
    return made


@pytest.fixture
def unknown(tmp_path: Path) -> Iterator[Operator]:
    """AP-1 was approved by SUN. It never reached the bank, and the bank says that it does not know it."""
    plan = FaultScript([ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY)])
    made = site_of(
        World(tmp_path, accounts=2, plan=plan, bank_options={**SLOW, "first_enquiry_s": 2.0}, adapters=ADAPTERS)
    )
    submit(made, "AP-1", OVER, maker="zhao")
    approve(made, SUN, key_of(made, "AP-1"))
    made.world.run(1_800)
    assert made.world.state("AP-1") == "in_doubt"
    yield made
    if made.world.life is not None:
        made.world.crash()


def test_it_is_sent_once_more_while_its_approvals_count(unknown: Operator) -> None:
    approve_proposal(unknown, TANG, propose(unknown, HAN, "kingdee:AP-1", "ready"))
    unknown.world.run(10)
    assert unknown.world.state("AP-1") == "settled" and executions(unknown) == 1


def test_whose_approvals_count_no_more_is_not_proposed_to_be_sent_again(unknown: Operator) -> None:
    decide(unknown, "deactivate", "sun", "deactivated")
    why = unknown.no(
        409,
        "not_now",
        "POST",
        "proposals",
        "draft",
        peer=HAN.peer,
        **wish("kingdee:AP-1", "ready"),
        evidence_sha256="0" * 64,
    )
    assert "sun is not enrolled any more" in why and "submit the payment under a new id" in why
    draft(unknown, HAN, wish("kingdee:AP-1", "failed"))


def test_approvals_that_void_after_the_decision_escalate_it_and_leave_nothing_to_approve(unknown: Operator) -> None:
    lane = unknown.gateway.lanes["sample.main"]
    lane.gate.pause("test")
    approve_proposal(unknown, TANG, propose(unknown, HAN, "kingdee:AP-1", "ready"))
    decide(unknown, "deactivate", "sun", "deactivated")
    lane.gate.resume("test")
    unknown.world.run(10)
    assert unknown.world.state("AP-1") == "escalated" and executions(unknown) == 0
    assert unknown.ask("GET", "approvals")["approvals"] == []


def altered(gate: Any, seen: list[tuple[str, ...]]) -> None:
    """From now on all bytes at the last gate name another amount than the committed one."""
    refusal: Callable[..., Any] = gate.refusal

    def ask(rows: Any, leaves: Any, committed_s: float, bank_date: Any, approved: Any) -> Any:
        seen.append(tuple(line.order for line in approved.lines))
        wire = approved.wire.replace(b"50000.01", b"50000.02")
        assert wire != approved.wire
        return refusal(rows, leaves, committed_s, bank_date, replace(approved, wire=wire))

    gate.refusal = ask


def test_the_gate_is_told_what_was_approved_of_a_first_send(four_eyes: Operator) -> None:
    seen: list[tuple[str, ...]] = []
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    altered(four_eyes.gateway.lanes["sample.main"].gate, seen)
    with lines() as heard:
        approve(four_eyes, SUN, key_of(four_eyes, "AP-1"))
    assert seen[0] == ("AP-1",) and executions(four_eyes) == 0 and four_eyes.world.state("AP-1") == "ready"
    assert events(heard, "bytes.not_as_approved")[0]["error"]


def test_the_gate_is_told_what_was_approved_of_a_repeat(tmp_path: Path) -> None:
    made = site_of(
        World(tmp_path, accounts=2, plan=FaultScript([ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY)]))
    )
    seen: list[tuple[str, ...]] = []
    submit(made, "AP-1", OVER, maker="zhao")
    approve(made, SUN, key_of(made, "AP-1"))
    assert made.world.state("AP-1") == "in_doubt"
    altered(made.gateway.lanes["sample.main"].gate, seen)
    made.world.run(300)
    assert seen and set(seen) == {("AP-1",)}
    assert executions(made) == 0 and made.world.state("AP-1") == "in_doubt"
    made.world.crash()


def test_a_renewed_request_cannot_be_renewed_again_by_its_old_name(four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    key = key_of(four_eyes, "AP-1")
    four_eyes.world.run(1_801)
    four_eyes.ask("POST", "approvals", key, "renew", peer=ZHAO.peer)
    four_eyes.no(409, "not_now", "POST", "approvals", key, "renew", peer=ZHAO.peer)
    assert said(four_eyes, SUN, key)["digest"] != said(four_eyes, SUN, key_of(four_eyes, "AP-1"))["digest"]
