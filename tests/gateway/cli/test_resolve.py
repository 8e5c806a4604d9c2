"""Two persons decide a payment in doubt: every permitted way, and every refused one."""

from __future__ import annotations

import hashlib
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.call import PeerCredentials
from gateway.cli import person_key
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import KNOWN
from gateway.people.rows.proposals import Role
from gateway.simbank.faults import BankFault, ExchangeKind, FaultScript, ScriptedFault
from tests.gateway.cli.control_operator import ROOT, VALID_MS, Operator
from tests.gateway.cli.resolving import (
    ADAPTERS,
    LETTER,
    LI,
    SLOW,
    WANG,
    ZHAO,
    Hand,
    approval,
    approve,
    confirm,
    doubtful,
    draft,
    enrol,
    made_of,
    propose,
    wish,
)
from tests.gateway.kernel.owned import own_up
from tests.world.batching import SENDER, batch, states
from tests.world.world import World


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[tuple[World, Operator, str]]:
    """A world with a payment that never reached the bank."""
    made = doubtful(tmp_path, BankFault.DROP_BEFORE)
    yield made
    if made[0].life is not None:
        made[0].crash()


@pytest.fixture
def booked(tmp_path: Path) -> Iterator[tuple[World, Operator, str]]:
    """A world with a payment that the bank has booked."""
    made = doubtful(tmp_path, BankFault.DROP_AFTER)
    yield made
    if made[0].life is not None:
        made[0].crash()


def test_two_persons_declare_it_settled(booked: tuple[World, Operator, str]) -> None:
    world, operator, payment = booked
    proposal = propose(operator, WANG, "kingdee:AP-1", "settled")
    world.run(1)
    assert world.last("AP-1")["state"] == "in_doubt", "one person changes nothing"
    assert approve(operator, LI, proposal)["state"] == "done"
    world.run(2)
    news = world.last("AP-1")
    assert (news["event"], news["state"], news["evidence"]) == ("payment.settled", "settled", "persons")
    trail = operator.trail(payment)
    assert ("persons:wang+li", "payment.resolved_settled") in trail
    assert ("uid:2001", "persons.propose") in trail
    assert ("uid:2002", "persons.approve") in trail
    assert world.bank.ledger.executions and len(world.bank.ledger.executions) == 1


def test_two_persons_declare_it_failed(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    approve(operator, LI, propose(operator, WANG, payment, "failed"))
    world.run(2)
    assert world.told("AP-1")[-1] == "payment.failed"
    world.run(7_200)
    assert not world.bank.ledger.executions, "it is never sent again"


def test_the_evidence_is_kept_sealed_and_shown(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    shown = operator.ask("GET", "proposals", proposal, peer=LI.peer)
    assert shown["evidence"] == b64encode(LETTER).decode()
    assert f"evidence-sha256: {hashlib.sha256(LETTER).hexdigest()}" in shown["text"].splitlines()
    assert ("uid:2002", "proposal.shown") in operator.trail(payment)
    approve(operator, LI, proposal)
    heard = [one for one in operator.ask("GET", "orders", payment)["timeline"] if one["what"] == "heard"]
    assert heard[-1]["source"] == "persons"
    assert heard[-1]["wire"]["sha256"] == hashlib.sha256(LETTER).hexdigest()
    for file in world.folder.glob("journal.db*"):
        octets = file.read_bytes()
        assert LETTER not in octets
        assert b"letter of 24 Nov" not in octets


def test_the_trail_holds_both_signatures_and_they_verify(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    digest = operator.ask("GET", "proposals", proposal)["digest"]
    approve(operator, LI, proposal)
    store = operator.gateway.parts.store
    found: list[Any] = []
    store.read(lambda conn: audit.entries_of(conn, world.vault, payment)).addBoth(found.append)
    world.run(1)
    signed = {one.entry: one.detail for one in found[0] if one.entry.startswith("persons.")}
    for one, role in ((WANG, Role.PROPOSE), (LI, Role.APPROVE)):
        detail = signed[f"persons.{role.value}"]
        assert (detail["person"], detail["uid"], detail["digest"]) == (one.name, one.uid, digest)
        assert detail["octets"] == one.sign(digest, role)
    store.read(lambda conn: audit.verify(conn, world.vault)).addBoth(found.append)
    world.run(1)
    assert found[1] == []


def test_a_late_yes_after_a_manual_no_is_told_as_a_correction(tmp_path: Path) -> None:
    # The question is at the bank while two persons decide. Its answer comes afterwards.
    slow = ScriptedFault(BankFault.DELAY, touch=ExchangeKind.ENQUIRY, seconds=10.0)
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER), slow]))
    world.start()
    world.run(1)
    operator = Operator(world)
    enrol(operator, WANG, LI)
    world.submit("AP-1")
    world.run(4)
    payment = world.last("AP-1")["payment"]
    approve(operator, LI, propose(operator, WANG, payment, "failed"))
    world.run(2)
    assert world.last("AP-1")["state"] == "failed"
    world.run(30)
    news = world.last("AP-1")
    assert news["event"] == "payment.correction"
    assert news["state"] == "failed", "never written over"
    assert news["reported"] == "settled"
    world.crash()


def test_ready_needs_the_banks_not_found_and_then_sends_once_more(tmp_path: Path) -> None:
    world, operator, payment = doubtful(tmp_path, BankFault.DROP_BEFORE, first_enquiry_s=2.0)
    why = operator.no(
        409, "not_now", "POST", "proposals", "draft", peer=WANG.peer, **wish(payment, "ready"), evidence_sha256="0" * 64
    )
    assert "not found" in why and "kingdee:AP-1" in why
    world.run(1_800)
    assert world.last("AP-1")["state"] == "in_doubt"
    approve(operator, LI, propose(operator, WANG, payment, "ready"))
    world.run(10)
    assert world.last("AP-1")["state"] == "settled"
    assert len(world.bank.ledger.executions) == 1
    sent = [one for one in operator.ask("GET", "orders", payment)["timeline"] if one["what"] == "sent"]
    assert [one["attempt"] for one in sent] == [1, 2]
    world.crash()


def not_found(world: World, count: int) -> None:
    """Wait until the bank has answered `count` times that it has none of the payments."""

    def unit(tx: Tx) -> None:
        tx.fresh.exec_driver_sql(f"update payments set not_found = {count}")
        own_up(tx.fresh, tx.vault, sends=False)
        tx.payment_cache.distrust()

    assert world.life is not None
    world.life.store.write(unit)
    world.run(0.1)


def test_ready_is_closed_once_the_bank_has_acknowledged_the_payment(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    not_found(world, KNOWN)
    why = operator.no(
        409, "not_now", "POST", "proposals", "draft", peer=WANG.peer, **wish(payment, "ready"), evidence_sha256="0" * 64
    )
    assert "acknowledged" in why
    assert propose(operator, WANG, payment, "failed")


def test_neither_a_message_with_many_orders_nor_an_order_out_of_it_is_sent_once_more(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.MONEY)]),
        bank_options=SLOW,
        adapters=ADAPTERS,
        sender=SENDER,
    )
    world.start()
    world.run(1)
    operator = Operator(world)
    enrol(operator, WANG, LI)
    world.command("batch.submit", batch(world, "B-1", [10_000, 20_000]))
    world.run(5)
    assert states(world, "B-1") == ["in_doubt"] * 2
    not_found(world, 2)
    payment = str(world.last("B-1-2")["payment"])
    why = operator.no(
        409, "not_now", "POST", "proposals", "draft", peer=WANG.peer, **wish(payment, "ready"), evidence_sha256="0" * 64
    )
    assert "kingdee:B-1-2" in why and "decide `failed`" in why and "new id" in why
    approve(operator, LI, propose(operator, WANG, payment, "failed"))
    world.run(1)
    assert states(world, "B-1") == ["in_doubt", "failed"] and world.last("B-1-2")["resend"] == "new_id"
    world.crash()


def test_the_same_person_cannot_approve(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    why = operator.no(
        409,
        "same_person",
        "POST",
        "proposals",
        proposal,
        "approve",
        peer=WANG.peer,
        **approval(operator, WANG, proposal),
    )
    assert proposal in why and "second person" in why
    unchanged(world, operator, proposal)


def unchanged(world: World, operator: Operator, proposal: str, state: str = "open") -> None:
    world.run(2)
    assert world.last("AP-1")["state"] == "in_doubt"
    assert operator.ask("GET", "proposals", proposal)["state"] == state


def test_the_second_persons_key_from_the_first_persons_user_is_refused(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    # Wang has Li's key, but the kernel names the real user.
    operator.no(
        409, "same_person", "POST", "proposals", proposal, "approve", peer=WANG.peer, **approval(operator, LI, proposal)
    )
    unchanged(world, operator, proposal)


def test_the_first_persons_key_from_the_second_persons_user_is_refused(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    why = operator.no(
        403,
        "wrong_signature",
        "POST",
        "proposals",
        proposal,
        "approve",
        peer=LI.peer,
        **approval(operator, WANG, proposal),
    )
    assert "--key" in why
    unchanged(world, operator, proposal)


def test_root_is_not_a_person_whoever_it_claims_to_be(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    why = operator.no(
        403, "not_enrolled", "POST", "proposals", proposal, "approve", peer=ROOT, **approval(operator, LI, proposal)
    )
    assert "uid:root" in why
    for peer in (ROOT, PeerCredentials(77)):
        operator.no(
            403, "not_a_person", "POST", "persons", peer=peer, name="boss", public_key=person_key.public(ZHAO.key)
        )
    unchanged(world, operator, proposal)


@pytest.mark.parametrize("state", ["stranger", "waiting"])
def test_an_unknown_key_is_refused(lost: tuple[World, Operator, str], state: str) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    if state == "waiting":
        operator.ask("POST", "persons", peer=ZHAO.peer, name="zhao", public_key=person_key.public(ZHAO.key))
    why = operator.no(
        403,
        "not_enrolled",
        "POST",
        "proposals",
        proposal,
        "approve",
        peer=ZHAO.peer,
        **approval(operator, ZHAO, proposal),
    )
    assert ("confirm" if state == "waiting" else "enrol") in why
    operator.no(
        403,
        "not_enrolled",
        "POST",
        "proposals",
        "draft",
        peer=ZHAO.peer,
        **wish(payment, "failed"),
        evidence_sha256="0" * 64,
    )
    for path in (("GET", "proposals"), ("GET", "proposals", proposal)):
        operator.no(403, "not_enrolled", *path, peer=ZHAO.peer)
    unchanged(world, operator, proposal)
    assert ("uid:2003", "proposal.refused") in operator.trail(f"proposal:{proposal}")


def test_an_altered_digest_is_refused(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    other = hashlib.sha256(b"other words").hexdigest()
    why = operator.no(
        409,
        "altered",
        "POST",
        "proposals",
        proposal,
        "approve",
        peer=LI.peer,
        digest=other,
        signature=LI.sign(other, Role.APPROVE),
    )
    assert "other words" in why
    unchanged(world, operator, proposal)


@pytest.mark.parametrize(
    "change",
    [
        {"to": "settled"},
        {"note": "another"},
        {"evidence": b64encode(b"another").decode()},
        {"digest": "0" * 64},
        {"proposal": "0" * 26},
    ],
)
def test_what_is_kept_is_what_was_signed(lost: tuple[World, Operator, str], change: dict[str, Any]) -> None:
    _world, operator, payment = lost
    wanted = wish(payment, "failed")
    body = made_of(draft(operator, WANG, wanted), WANG, wanted)
    why = operator.no(409, "stale", "POST", "proposals", peer=WANG.peer, **{**body, **change})
    assert "kingdee:AP-1" in why
    assert operator.ask("GET", "proposals")["proposals"] == []


def test_a_signature_in_one_role_does_not_pass_for_the_other(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    wanted = wish(payment, "failed")
    drafted = draft(operator, WANG, wanted)
    body = made_of(drafted, WANG, wanted, signature=WANG.sign(drafted["digest"], Role.APPROVE))
    operator.no(403, "wrong_signature", "POST", "proposals", peer=WANG.peer, **body)
    proposal = propose(operator, WANG, payment, "failed")
    digest = operator.ask("GET", "proposals", proposal)["digest"]
    operator.no(
        403,
        "wrong_signature",
        "POST",
        "proposals",
        proposal,
        "approve",
        peer=LI.peer,
        digest=digest,
        signature=LI.sign(digest, Role.PROPOSE),
    )
    unchanged(world, operator, proposal)


def test_a_proposal_is_used_once(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    again = approval(operator, LI, proposal)
    approve(operator, LI, proposal)
    seq = None
    for _ in range(2):
        why = operator.no(409, "used", "POST", "proposals", proposal, "approve", peer=LI.peer, **again)
        assert "done already" in why
        world.run(2)
        assert seq in (None, world.last("AP-1")["seq"])
        seq = world.last("AP-1")["seq"]
    operator.no(409, "used", "POST", "proposals", proposal, "withdraw", peer=LI.peer, reason="late")


def test_a_proposal_expires(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    body = approval(operator, LI, proposal)
    world.run(VALID_MS / 1000 + 1)
    why = operator.no(409, "expired", "POST", "proposals", proposal, "approve", peer=LI.peer, **body)
    assert "proposed again" in why
    unchanged(world, operator, proposal, "expired")
    assert propose(operator, WANG, payment, "failed") != proposal


def test_a_draft_cannot_be_made_to_last_longer(lost: tuple[World, Operator, str]) -> None:
    _world, operator, payment = lost
    wanted = wish(payment, "failed")
    drafted = draft(operator, WANG, wanted)
    body = made_of(drafted, WANG, wanted, expires_ms=drafted["expires_ms"] + 86_400_000)
    operator.no(409, "expired", "POST", "proposals", peer=WANG.peer, **body)


def test_a_proposal_is_stale_once_the_payment_has_moved_on(booked: tuple[World, Operator, str]) -> None:
    world, operator, payment = booked
    proposal = propose(operator, WANG, payment, "failed")
    body = approval(operator, LI, proposal)
    operator.ask("POST", "orders", payment, "enquire")
    world.run(5)
    assert world.last("AP-1")["state"] == "settled"
    why = operator.no(409, "stale", "POST", "proposals", proposal, "approve", peer=LI.peer, **body)
    assert "settled" in why
    world.run(2)
    assert world.last("AP-1")["state"] == "settled"
    operator.no(
        409,
        "not_now",
        "POST",
        "proposals",
        "draft",
        peer=WANG.peer,
        **wish(payment, "failed"),
        evidence_sha256="0" * 64,
    )


def test_an_escalation_makes_it_stale_but_asking_in_vain_does_not(tmp_path: Path) -> None:
    world, operator, payment = doubtful(tmp_path, BankFault.DROP_BEFORE, first_enquiry_s=2.0)
    before = operator.ask("GET", "orders", payment)["version"]
    proposal = propose(operator, WANG, payment, "failed")
    world.run(120)
    assert operator.ask("GET", "orders", payment)["version"] > before, "it was asked about in vain"
    body = approval(operator, LI, proposal)
    assert operator.ask("POST", "proposals", proposal, "approve", peer=LI.peer, **body)["state"] == "done"
    world.crash()


def test_an_escalated_payment_moves_its_proposal_out_of_date(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.DROP_BEFORE)]),
        bank_options=SLOW,
        spans={"enquiry_deadline_s": 900.0},
        adapters=ADAPTERS,
    )
    world.start()
    world.run(1)
    operator = Operator(world)
    enrol(operator, WANG, LI)
    world.submit("AP-1")
    world.run(5)
    payment = world.last("AP-1")["payment"]
    proposal = propose(operator, WANG, payment, "failed")
    body = approval(operator, LI, proposal)
    world.run(1_000)
    assert world.last("AP-1")["state"] == "escalated"
    operator.no(409, "stale", "POST", "proposals", proposal, "approve", peer=LI.peer, **body)
    operator.ask("POST", "proposals", proposal, "withdraw", peer=WANG.peer, reason="out of date")
    approve(operator, LI, propose(operator, WANG, payment, "failed"))
    world.run(1)
    assert world.last("AP-1")["state"] == "failed"
    world.crash()


def test_withdrawing_and_listing(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    wanted = wish(payment, "settled")
    body = made_of(draft(operator, LI, wanted), LI, wanted)
    why = operator.no(409, "proposed_already", "POST", "proposals", peer=LI.peer, **body)
    assert proposal in why
    operator.no(400, "missing", "POST", "proposals", proposal, "withdraw", peer=WANG.peer)
    assert (
        operator.ask("POST", "proposals", proposal, "withdraw", peer=WANG.peer, reason="mistake")["state"]
        == "withdrawn"
    )
    operator.no(409, "used", "POST", "proposals", proposal, "approve", peer=LI.peer, **approval(operator, LI, proposal))
    assert [one["state"] for one in operator.ask("GET", "proposals", peer=LI.peer)["proposals"]] == ["withdrawn"]
    unchanged(world, operator, proposal, "withdrawn")
    assert ("uid:2001", "proposal.withdrawn") in operator.trail(payment)


def test_a_removed_persons_proposal_cannot_be_approved(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    operator.ask("POST", "persons", "wang", "remove", reason="left the company")
    why = operator.no(
        409, "first_is_gone", "POST", "proposals", proposal, "approve", peer=LI.peer, **approval(operator, LI, proposal)
    )
    assert "wang" in why
    # The same user with a new key is not the signer.
    again = Hand("wang", WANG.uid, ZHAO.key)
    enrol(operator, again)
    operator.no(
        409, "first_is_gone", "POST", "proposals", proposal, "approve", peer=LI.peer, **approval(operator, LI, proposal)
    )
    unchanged(world, operator, proposal)


def test_there_must_be_evidence_a_reason_and_a_known_wish(lost: tuple[World, Operator, str]) -> None:
    _world, operator, payment = lost
    for wanted, code in (
        (wish(payment, "failed"), "missing"),
        (wish(payment, "paid", evidence_sha256="0"), "bad_choice"),
        (wish(payment, "failed", kind="x"), "bad_kind"),
        (wish(payment, "failed", note=" "), "missing"),
    ):
        operator.no(400, code, "POST", "proposals", "draft", peer=WANG.peer, **wanted)
    operator.no(
        404,
        "no_such_order",
        "POST",
        "proposals",
        "draft",
        peer=WANG.peer,
        **wish("kingdee:NO", "failed"),
        evidence_sha256="0" * 64,
    )
    operator.no(
        404, "no_such_proposal", "POST", "proposals", "0" * 26, "approve", peer=LI.peer, digest="0", signature="AA=="
    )


def test_who_may_be_enrolled_confirmed_and_removed(lost: tuple[World, Operator, str]) -> None:
    _world, operator, _payment = lost
    listed = {one["person"]: one for one in operator.ask("GET", "persons", peer=PeerCredentials(3000))["persons"]}
    assert {name: (one["uid"], one["state"]) for name, one in listed.items()} == {
        "wang": (2001, "enrolled"),
        "li": (2002, "enrolled"),
    }
    key = person_key.public(ZHAO.key)
    for taken in (
        {"peer": WANG.peer, "name": "wang2", "public_key": key},
        {"peer": ZHAO.peer, "name": "wang", "public_key": key},
        {"peer": ZHAO.peer, "name": "zhao", "public_key": person_key.public(WANG.key)},
    ):
        assert "wang" in operator.no(409, "enrolled_already", "POST", "persons", **taken)
    operator.no(400, "bad_key", "POST", "persons", peer=ZHAO.peer, name="zhao", public_key="AAAA")
    operator.no(400, "bad_name", "POST", "persons", peer=ZHAO.peer, name="Zhao Liu", public_key=key)
    said = operator.ask("POST", "persons", peer=ZHAO.peer, name="zhao", public_key=key)
    assert operator.ask("POST", "persons", peer=ZHAO.peer, name="zhao", public_key=key) == said, "twice is once"
    for peer in (WANG.peer, ZHAO.peer, PeerCredentials(77)):
        operator.no(
            403, "not_allowed", "POST", "persons", "zhao", "confirm", peer=peer, fingerprint=said["fingerprint"]
        )
    for wrong in ("0" * 64, said["fingerprint"][:8]):
        operator.no(403, "wrong_fingerprint", "POST", "persons", "zhao", "confirm", fingerprint=wrong)
    operator.no(403, "not_allowed", "POST", "persons", "zhao", "remove", peer=LI.peer, reason="x")
    confirm(operator, "zhao", said["fingerprint"])
    assert operator.ask("POST", "persons", "zhao", "remove", peer=ZHAO.peer, reason="x")["state"] == "removed"
    assert [one for _actor, one in operator.trail("person:zhao")] == [
        "person.enrolled",
        "person.confirmed",
        "person.removed",
    ]
    operator.no(404, "no_such_person", "POST", "persons", "zhao", "confirm", fingerprint=said["fingerprint"])


def test_a_person_slipped_into_the_database_is_nobody(lost: tuple[World, Operator, str]) -> None:
    world, operator, payment = lost
    proposal = propose(operator, WANG, payment, "failed")
    body = approval(operator, ZHAO, proposal)
    with sqlite3.connect(world.folder / "journal.db") as db:
        db.execute("update persons set uid = 2003 where person = 'li'")
    operator.no(409, "altered", "POST", "proposals", proposal, "approve", peer=ZHAO.peer, **body)
    assert operator.ask("GET", "orders", payment)["state"] == "in_doubt"
