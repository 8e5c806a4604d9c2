"""Approvals of a batch's lines in the journal, with the same results on every database: the request that names a line
is the one that counts for it, and each line is judged without reading the others."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select

from gateway.approvals.rows import (
    approval_checks,
    approval_decisions,
    approval_holds,
    approval_policies,
    approval_requests,
    approvals,
)
from gateway.approvals.rows.approval_decisions import DecidedRequest, GivenDecision
from gateway.approvals.rows.approval_requests import ApprovalRequest, RequestState
from gateway.approvals.rows.approvals import ApprovalDecision
from gateway.kernel.commit.payment_cache import Outdated
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Cancel, Release
from gateway.kernel.sql import schema
from gateway.payments.rows import batch_rows, held_orders, judged_orders, lookup
from gateway.payments.rows.judged_orders import NO_CONTEXT, ApprovalContext
from gateway.people.rows import entitlements, persons
from gateway.people.rows.persons import No, Person
from gateway.people.rules.grants import parse
from gateway.register.approval_terms import DEFAULT_TERMS
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Channel
from protocols.canon.outcome import State
from protocols.canon.party import AccountNumber, Name
from tests.gateway.approvals.test_approvals import BANDS
from tests.gateway.kernel.bench import KEY, NOW_MS, Journal, order
from tests.gateway.payments.test_batches import batch, taken

SUN = Ed25519PrivateKey.from_private_bytes(KEY)
REGISTRY: Any = SimpleNamespace(banks={"sample": None}, senders={}, approval_terms=DEFAULT_TERMS)


def context_of(_tx: Tx, _row: PaymentRow) -> ApprovalContext:
    return NO_CONTEXT


@pytest.fixture
def desk(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """ZHAO makes payments and SUN approves them, by the policy BANDS."""
    monkeypatch.setattr(judged_orders, "context_of", lambda _tx, _row, _registry: NO_CONTEXT)
    monkeypatch.setattr(
        held_orders,
        "approved",
        lambda tx, row, _registry: Release(tx.now_ms, tx.now_ms) if row.life.state is State.HELD else None,
    )

    def enrol_persons(tx: Tx) -> None:
        for n, (name, key) in enumerate(
            (("zhao", bytes(32)), ("sun", SUN.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)))
        ):
            made = persons.enrol(tx, name, 2001 + n, key, "uid:0")
            assert isinstance(made, Person)
            persons.change(
                tx, replace(made, enrolled=True, grants=parse("approver@*;maker@*")), "person.confirmed", "uid:0", {}
            )
        assert approval_policies.put_in_force(tx, BANDS, "p") is not None

    journal.do(enrol_persons)
    return journal


def line(journal: Journal, n: int, minor: int) -> PaymentRow:
    return journal.admit(order(f"B-{n}", minor=minor, maker="zhao"), batch="B", item_no=n).row


def again(journal: Journal, row: PaymentRow) -> PaymentRow:
    found = journal.read(lambda conn: lookup.fetch(conn, row.payment))
    assert found is not None
    return found


def naming(journal: Journal, row: PaymentRow) -> ApprovalRequest:
    found = journal.read(lambda conn: approval_requests.naming(conn, "erp", "B", row.order.id))
    assert found is not None
    return found


def say(
    journal: Journal, request: ApprovalRequest, decision: ApprovalDecision = ApprovalDecision.APPROVE
) -> DecidedRequest:
    signature = SUN.sign(approvals.to_sign(request.digest, decision))
    given = GivenDecision(request.request, decision, request.digest, signature, "no", "control", "uid:2002")

    def sun_decides(tx: Tx) -> DecidedRequest | No:
        return approval_decisions.decide(tx, given, entitlements.of_name(tx.fresh, "sun", tx.now_ms), REGISTRY)

    said = journal.do(sun_decides)
    assert isinstance(said, DecidedRequest), said
    return said


def at_send(journal: Journal, row: PaymentRow) -> Any:
    now = again(journal, row)
    return journal.do(lambda tx: approval_checks.at_send(tx, (now,), context_of))[0]


def test_a_later_request_about_other_lines_changes_nothing_for_this_one(desk: Journal) -> None:
    first, second = line(desk, 1, 5_000_001), line(desk, 2, 5_000_002)
    assert say(desk, naming(desk, first)).request.state is RequestState.APPROVED
    approved = approval_holds.line_of(first.order)
    assert at_send(desk, first) == approved
    assert desk.do(lambda tx: approval_checks.at_repeat(tx, again(desk, first))) == (approved,)
    assert again(desk, second).life.state is State.HELD and naming(desk, second).state is RequestState.OPEN


def test_a_line_that_no_request_names_is_asked_about(desk: Journal) -> None:
    first, second = line(desk, 1, 100), line(desk, 2, 5_000_002)
    assert (first.life.state, second.holds) == (State.READY, ("approval",))
    assert at_send(desk, first) == "nobody was asked"
    made = naming(desk, first)
    assert approval_requests.orders_of(made) == {"B-1"} and made.state is RequestState.OPEN
    assert naming(desk, second).request != made.request and naming(desk, second).state is RequestState.OPEN


def test_a_rejection_ends_the_ready_lines_that_it_names_too(desk: Journal) -> None:
    first, second = line(desk, 1, 100), line(desk, 2, 5_000_002)
    need = naming(desk, second).need
    made = desk.do(lambda tx: approval_holds.request(tx, (first, second), need, DEFAULT_TERMS))
    said = say(desk, made, ApprovalDecision.REJECT)
    assert len(said.changed) == 2 and said.request.state is RequestState.REJECTED
    assert [again(desk, one).life.state for one in (first, second)] == [State.CANCELLED] * 2


def test_a_request_is_void_once_nothing_that_it_names_is_left(desk: Journal) -> None:
    first, second = line(desk, 1, 5_000_001), line(desk, 2, 5_000_002)
    made = desk.do(lambda tx: approval_holds.request(tx, (first, second), naming(desk, first).need, DEFAULT_TERMS))
    desk.apply(first.payment, Cancel(NOW_MS), epoch=None)
    assert naming(desk, first).state is RequestState.OPEN
    desk.apply(second.payment, Cancel(NOW_MS), epoch=None)
    assert (naming(desk, second).request, naming(desk, second).state) == (made.request, RequestState.VOID)


def test_a_line_is_judged_by_the_sum_of_its_batch_without_reading_the_others(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy was made after the batch. Reading 1,000 lines for each line would take the writer most of a minute."""
    rows = taken(journal, batch((2_000_000, 2_000_000, 2_000_000))).items
    journal.do(lambda tx: approval_policies.put_in_force(tx, BANDS, "p"))

    def refuse_to_read(*_asked: Any) -> Any:
        raise AssertionError("all lines of the batch were read")

    with monkeypatch.context() as patched:
        patched.setattr(batch_rows, "items", refuse_to_read)
        why = journal.do(lambda tx: approval_checks.why_not_now(tx, rows[0], NO_CONTEXT))
    assert why == "nobody was asked"
    for row in rows[1:]:
        journal.apply(row.payment, Cancel(NOW_MS), epoch=None)
    need = journal.do(lambda tx: approval_holds.needed_now(tx, rows[0], NO_CONTEXT))
    assert need.approvers == 2, "for want of a maker only: what was cancelled is no money of the batch"


def test_who_asks_anew_about_what_another_has_settled_does_nothing(desk: Journal) -> None:
    row = line(desk, 1, 5_000_001)
    made = naming(desk, row)

    def ask_anew(tx: Tx) -> ApprovalRequest:
        return approval_checks.ask_anew(tx, row, made, NO_CONTEXT, "x")

    other = desk.do(ask_anew)
    with pytest.raises(Outdated, match="settled by another node"):
        desk.do(ask_anew)
    assert naming(desk, row).request == other.request and desk.count(schema.approval_requests) == 2


def test_two_nodes_do_not_both_ask_anew(desk: Journal) -> None:
    """The second node waits for the first one's lock on the request."""
    row = line(desk, 1, 5_000_001)
    made = naming(desk, row)
    desk.do(lambda tx: approval_requests.settle(tx, made, RequestState.VOID, "uid:2002", {}))
    said: list[Any] = []

    def renew() -> None:
        said.append(desk.do(lambda tx: approval_decisions.renew(tx, made.request, "uid:2001", REGISTRY)))

    table, thread = schema.approval_requests, threading.Thread(target=renew)
    with desk.stranger() as conn:
        conn.execute(select(table).where(table.c.request == made.request).with_for_update())
        thread.start()
        thread.join(0.5)
        assert not said, "it did not wait"
    thread.join(10)
    assert isinstance(said[0], ApprovalRequest) and said[0].request != made.request


MUTATIONS = 10_000


def mutated(order: AnyOrder, chance: random.Random) -> AnyOrder:
    """The order with one fact changed that decides where the money goes, how much, from where, or when."""
    payee, what = order.creditor, chance.randrange(10)
    digits = f"{chance.randrange(10**18):018d}"
    if what == 0:
        return replace(order, amount=Money(order.amount.minor + chance.choice((-1, 1)) * chance.randrange(1, 10**6)))
    if what == 1:
        return replace(order, amount=Money(order.amount.minor, chance.choice(("USD", "EUR", "HKD"))))
    if what == 2:
        return replace(order, creditor=replace(payee, account=AccountNumber(f"1{digits}")))
    if what == 3:
        return replace(order, creditor=replace(payee, name=Name(f"示例{digits}")))
    if what == 4:
        return replace(order, creditor=replace(payee, cnaps=digits[:12]))
    if what == 5:
        return replace(order, creditor=replace(payee, bank_name=f"示例银行{digits}"))
    if what == 6:
        return replace(
            order, creditor=replace(payee, bic=f"EXAM{chance.choice('ABCDEFGH')}{chance.choice('ABCDEFGH')}2X")
        )
    if what == 7:
        return replace(order, debtor=replace(order.debtor, account=AccountNumber(f"2{digits}")))
    if what == 8:
        at = datetime.fromtimestamp(NOW_MS / 1000 + chance.randrange(1, 10**7), UTC)
        return replace(order, not_before=at) if chance.random() < 0.5 else replace(order, valid_until=at)
    changed: dict[str, Any] = chance.choice(
        (
            {"purpose": f"货款 {digits}"},
            {"channel": chance.choice([one for one in Channel if one is not order.channel])},
        )
    )
    return replace(order, **changed)


def test_of_many_mutations_of_an_approved_order_none_may_leave(desk: Journal) -> None:
    row = desk.admit(order("AP-1", minor=5_000_001, maker="zhao")).row
    found = desk.read(lambda conn: approval_requests.latest(conn, "erp", "AP-1"))
    assert found is not None and say(desk, found).request.state is RequestState.APPROVED
    now, chance = again(desk, row), random.Random(21)

    def unnoticed_mutations(tx: Tx) -> list[AnyOrder]:
        assert approval_checks.why_not_now(tx, now, NO_CONTEXT) == ""
        tried = (mutated(now.order, chance) for _ in range(MUTATIONS))
        return [one for one in tried if not approval_checks.why_not_now(tx, replace(now, order=one), NO_CONTEXT)]

    assert desk.do(unnoticed_mutations) == []
