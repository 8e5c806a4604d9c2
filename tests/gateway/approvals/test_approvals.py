"""Approvals in the journal, with the same results on every database: requests, sums counted by two nodes, and a maker
who is barred although SQL says otherwise."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from gateway.approvals.rows import (
    approval_checks,
    approval_holds,
    approval_policies,
    approval_requests,
    approvals,
    maker_sums,
)
from gateway.approvals.rows.approval_requests import ApprovalRequest, RequestState
from gateway.approvals.rows.approvals import ApprovalDecision, ApprovalRow
from gateway.approvals.rules.approval_bands import ApprovalNeed
from gateway.kernel.cluster import renames
from gateway.kernel.commit import registers
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.commit.usage_totals import LeastSums
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import SealBroken
from gateway.payments.rows.judged_orders import NO_CONTEXT
from gateway.people.rows import persons
from gateway.people.rows.persons import Person
from gateway.people.rules.grants import parse
from gateway.register.approval_terms import DEFAULT_TERMS
from protocols.canon.outcome import State
from tests.gateway.kernel.bench import Journal, order

BANDS = "CNY 0..50000.00 0; CNY 50000.00.. 1; makers erp"


@pytest.fixture
def four_eyes(journal: Journal) -> Journal:
    def enrol_persons(tx: Tx) -> None:
        for n, name in enumerate(("zhao", "sun")):
            made = persons.enrol(tx, name, 2001 + n, bytes([n]) * 32, "uid:0")
            assert isinstance(made, Person)
            persons.change(
                tx, replace(made, enrolled=True, grants=parse("approver@*;maker@*")), "person.confirmed", "uid:0", {}
            )
        assert approval_policies.put_in_force(tx, BANDS, "p") is not None

    journal.do(enrol_persons)
    return journal


def latest(journal: Journal, subject: str) -> ApprovalRequest:
    found = journal.read(lambda conn: approval_requests.latest(conn, "erp", subject))
    assert found is not None
    return found


def admitted(journal: Journal, id_: str, minor: int) -> PaymentRow:
    return journal.admit(order(id_, minor=minor, maker="zhao")).row


def test_a_request_is_written_with_the_order_and_settled_once(four_eyes: Journal) -> None:
    assert admitted(four_eyes, "AP-1", 5_000_000).life.state is State.READY
    assert admitted(four_eyes, "AP-2", 5_000_001).holds == ("approval",)
    made = latest(four_eyes, "AP-2")
    assert (made.state, made.maker, made.need.approvers) == (RequestState.OPEN, "zhao", 1)
    settled = [
        four_eyes.do(lambda tx: approval_requests.settle(tx, made, RequestState.APPROVED, "uid:2002", {}))
        for _ in range(2)
    ]
    assert settled == [True, False] and latest(four_eyes, "AP-2").state is RequestState.APPROVED


def test_two_nodes_count_one_payees_money_together(four_eyes: Journal) -> None:
    other = Journal(four_eyes.url, "n2")
    assert admitted(four_eyes, "AP-1", 3_000_000).life.state is State.READY
    assert admitted(other, "AP-2", 2_000_001).holds == ("approval",)
    other.close()


def test_sql_itself_bars_who_made_it(four_eyes: Journal) -> None:
    admitted(four_eyes, "AP-1", 5_000_001)
    made = latest(four_eyes, "AP-1")

    def record(person: str) -> bool:
        row = ApprovalRow(
            made.request, person, made.maker, ApprovalDecision.APPROVE, made.digest, 1, "k", b"s", "control"
        )
        return four_eyes.do(lambda tx: approvals.record(tx, row))

    assert record("sun") and not record("sun")
    assert [one.person for one in four_eyes.read(lambda conn: approvals.of_request(conn, made.request))] == ["sun"]
    columns = {
        "request": made.request,
        "person": "zhao",
        "maker": "zhao",
        "decision": "approve",
        "digest": made.digest,
        "at_ms": 1,
        "body": b"",
    }
    with (
        pytest.raises((IntegrityError, OperationalError), match="approvals_not_by_maker"),
        four_eyes.stranger() as conn,
    ):
        conn.execute(insert(schema.approvals), columns)


@pytest.mark.parametrize("column", ["state", "maker", "digest"])
def test_a_request_that_was_altered_is_noticed(four_eyes: Journal, column: str) -> None:
    admitted(four_eyes, "AP-1", 5_000_001)
    table = schema.approval_requests
    with four_eyes.stranger() as conn:
        conn.execute(update(table).values({column: "approved"}))
    with pytest.raises(SealBroken, match="approval_requests"):
        latest(four_eyes, "AP-1")


def test_a_sender_that_is_renamed_keeps_what_waits_and_voids_what_was_signed(four_eyes: Journal) -> None:
    row = admitted(four_eyes, "AP-1", 5_000_001)
    four_eyes.do(lambda tx: renames.rename_sender(tx, "erp", "kingdee", "uid:0", "one name"))
    found = four_eyes.read(lambda conn: approval_requests.latest(conn, "kingdee", "AP-1"))
    assert found is not None and (found.sender, found.state) == ("kingdee", RequestState.OPEN)

    def why(tx: Tx) -> str:
        return approval_checks.why_changed(tx, found, (replace(row, sender="kingdee"),), DEFAULT_TERMS)

    assert "not those that were approved" in four_eyes.do(why)


def test_a_makers_sum_that_sql_lowered_is_raised_to_the_payments(four_eyes: Journal) -> None:
    zone = ZoneInfo("Asia/Shanghai")
    four_eyes.hands.task.advance(1)
    admitted(four_eyes, "AP-1", 3_000_000)
    assert four_eyes.admit(order("AP-2", minor=1_000_000)).row.holds == ("approval",), "without a maker"
    sums = select(schema.usage.c.key, schema.usage.c.sum_minor).where(schema.usage.c.scope == "maker")
    ordered = sums.order_by(schema.usage.c.key)
    before = four_eyes.read(lambda conn: conn.execute(ordered).all())
    assert four_eyes.do(partial(maker_sums.recount, zone=zone)) == 0
    with four_eyes.stranger() as conn:
        conn.execute(update(schema.usage).where(schema.usage.c.scope == "maker").values(sum_minor=0))
    four_eyes.committer._least_sums = LeastSums()  # as after a start
    assert four_eyes.do(partial(maker_sums.recount, zone=zone)) == 2, "of the sender and the maker"
    assert four_eyes.read(lambda conn: conn.execute(ordered).all()) == before
    assert admitted(four_eyes, "AP-3", 2_000_001).holds == ("approval",)


def test_what_was_paid_before_the_policy_is_no_altered_sum(journal: Journal) -> None:
    admitted(journal, "AP-1", 3_000_000)
    journal.hands.task.advance(1)
    assert journal.do(lambda tx: approval_policies.put_in_force(tx, BANDS, "p")) is not None
    assert journal.do(partial(maker_sums.recount, zone=ZoneInfo("Asia/Shanghai"))) == 0


def test_the_sum_of_a_sender_that_was_renamed_is_raised_without_an_alarm(four_eyes: Journal) -> None:
    zone = ZoneInfo("Asia/Shanghai")
    four_eyes.hands.task.advance(1)
    admitted(four_eyes, "AP-1", 3_000_000)
    four_eyes.do(lambda tx: renames.rename_sender(tx, "erp", "kingdee", "uid:0", "one name"))
    assert four_eyes.do(partial(maker_sums.recount, zone=zone)) == 1
    assert registers.altered(four_eyes.vault) == ()


def lost(journal: Journal, row: PaymentRow) -> ApprovalNeed:
    return journal.do(lambda tx: approval_holds.lost_need(tx, (row,)))


@pytest.mark.parametrize(
    "harm",
    [
        delete(schema.approval_requests),
        update(schema.approval_requests).values(subject="AP-9"),
        update(schema.approval_requests).values(sender="other"),
    ],
    ids=("deleted", "under another order", "under another sender"),
)
def test_what_a_request_needed_that_sql_took_away_is_needed_still(four_eyes: Journal, harm: Any) -> None:
    row = replace(admitted(four_eyes, "AP-1", 5_000_001), holds=("suspected_duplicate",))
    assert latest(four_eyes, "AP-1").need.approvers == 1
    assert not lost(four_eyes, row).approvers
    with four_eyes.stranger() as conn:
        conn.execute(harm)
    assert lost(four_eyes, row).approvers == 1
    four_eyes.do(lambda tx: approval_policies.put_in_force(tx, "CNY 0.. 0; makers erp", "q"))
    assert four_eyes.do(lambda tx: approval_checks.at_release(tx, row, NO_CONTEXT)) == ("approval",)
    made = latest(four_eyes, "AP-1")
    assert (made.state, made.need.approvers) == (RequestState.OPEN, 1)
    assert len(registers.altered(four_eyes.vault)) == 1


def test_a_deleted_request_is_missed_under_the_senders_new_name(four_eyes: Journal) -> None:
    row = four_eyes.admit(order("AP-1")).row
    old = four_eyes.read(lambda conn: conn.execute(select(schema.approval_requests)).one())
    four_eyes.do(lambda tx: renames.rename_sender(tx, "erp", "kingdee", "uid:0", "one name"))
    row = replace(row, sender="kingdee")
    assert not lost(four_eyes, row).approvers, "it was moved"
    for again in (False, True):
        with four_eyes.stranger() as conn:
            conn.execute(delete(schema.approval_requests))
            if again:
                conn.execute(insert(schema.approval_requests), dict(old._mapping))
        assert lost(four_eyes, row).approvers == 2, "deleted, and put back under the old name"


def test_a_request_about_a_payment_whose_retention_is_over_is_not_missed(four_eyes: Journal) -> None:
    row = four_eyes.admit(order("AP-1")).row
    with four_eyes.stranger() as conn:
        conn.execute(delete(schema.approval_requests))
    assert not lost(four_eyes, replace(row, accepted_ms=row.accepted_ms + 400 * 86_400_000)).approvers


def test_an_altered_entry_about_a_request_keeps_the_order_held(four_eyes: Journal) -> None:
    row = four_eyes.admit(order("AP-1")).row
    with four_eyes.stranger() as conn:
        conn.execute(update(schema.audit).where(schema.audit.c.entry == "approval.requested").values(at_ms=1))
    with pytest.raises(SealBroken, match="erp/AP-1"):
        four_eyes.do(lambda tx: approval_checks.at_release(tx, row, NO_CONTEXT))
