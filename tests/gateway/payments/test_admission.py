from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, select, update

from gateway.kernel.commit import registers, work
from gateway.kernel.commit.rows import PaymentRow, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.commit.usage_totals import LeastSums
from gateway.kernel.core.gate import PASS, Refuse, RuleVerdict
from gateway.kernel.core.policy import Allowance, UsageFacts
from gateway.kernel.core.states import Cancel, Work
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import SealBroken
from gateway.payments.rows import admission as payments_admission
from gateway.payments.rows import limits, lookup
from gateway.payments.rows import transition as applying
from gateway.payments.rows.admission import Admittance
from gateway.payments.rows.lookup import Filters
from protocols.canon.errors import Code, Fault, FieldCode
from protocols.canon.limits import ReferenceForm
from protocols.canon.outcome import State
from tests.gateway.kernel.bench import CREDITOR, DEBTOR, LANE, NOW_MS, Journal, admission, admit, hold, order


def test_an_order_becomes_a_payment_ready_to_be_sent(journal: Journal) -> None:
    admitted = journal.admit()
    row = admitted.row
    assert admitted.kind is Admittance.NEW
    assert (row.life.state, row.life.seq, row.version) == (State.READY, 1, 1)
    assert journal.read(lambda conn: lookup.fetch(conn, row.payment)) == row
    assert journal.read(lambda conn: lookup.find(conn, "erp", "AP-1")) == row
    assert journal.read(lambda conn: lookup.find_by_reference(conn, LANE, row.bank_ref)) == row
    assert [(w.work, w.due_ms) for w in journal.read(lambda conn: work.all_open(conn, LANE))] == [(Work.SEND, NOW_MS)]
    assert journal.count(schema.audit) == 1


def test_the_reply_and_the_event_of_acceptance_are_mailed_in_the_same_unit(journal: Journal) -> None:
    row = journal.admit().row
    event, reply = journal.messages
    assert (event.exchange, event.routing_key) == ("bankgw.events", "payment.accepted.sample.erp")
    assert (reply.exchange, reply.routing_key, reply.correlation_id) == ("", "erp.replies", "corr-1")
    assert event.message_id != reply.message_id
    assert reply.headers["type"] == "payment.accepted"
    assert reply.headers["cloudEvents_id"] == reply.message_id
    assert reply.headers["traceparent"] == "00-aa-bb-01"
    said = json.loads(reply.body)
    assert (said["payment"], said["state"], said["seq"], said["replayed"]) == (row.payment, "accepted", 1, False)
    assert said["bank_reference"] == row.bank_ref
    assert said["tags"] == {"invoice": "INV-0931"}


def test_without_a_reply_queue_there_is_only_the_event(journal: Journal) -> None:
    journal.admit(reply=Reply(None, None))
    assert [mail.exchange for mail in journal.messages] == ["bankgw.events"]


def test_a_held_order_is_accepted_and_then_held_and_has_no_work(journal: Journal) -> None:
    row = journal.admit(judged=hold).row
    assert (row.life.state, row.life.seq, row.hold_reason) == (State.HELD, 2, "approval")
    told = [(json.loads(mail.body)["event"], json.loads(mail.body)["seq"]) for mail in journal.messages]
    assert told == [("payment.accepted", 1), ("payment.accepted", 1), ("payment.held", 2)]
    assert journal.works == []
    assert journal.read(lambda conn: lookup.fetch(conn, row.payment)) == row


def test_a_rejected_order_keeps_its_id_and_is_answered_once_with_every_fault(journal: Journal) -> None:
    faults = (Fault("/purpose", FieldCode.TOO_LONG, "40 bytes", 38), Fault("/amount", FieldCode.OVER_LIMIT, "over"))

    def refused(facts: UsageFacts) -> RuleVerdict:
        return Refuse(Code.VALIDATION, faults=faults)

    row = journal.admit(judged=refused).row
    assert (row.life.state, row.life.seq) == (State.REJECTED, 1)
    replies = [json.loads(mail.body) for mail in journal.messages if mail.exchange == ""]
    told = [(said["event"], said["seq"], said["error"]["code"]) for said in replies]
    assert told == [("payment.rejected", 1, "validation")]
    assert [error["at"] for error in replies[0]["error"]["errors"]] == ["/purpose", "/amount"]
    assert "bank_reference" not in replies[0]
    stored = journal.read(lambda conn: lookup.fetch(conn, row.payment))
    assert stored is not None
    assert stored.refusal is not None
    assert stored.refusal.faults == faults
    assert journal.admit(judged=refused).kind is Admittance.REPLAYED
    [again] = journal.messages
    assert json.loads(again.body)["error"] == replies[0]["error"]


def test_the_same_order_again_is_answered_with_its_present_state(journal: Journal) -> None:
    row = journal.admit().row
    journal.send(row)
    again = journal.admit(reply=Reply("erp.other", "corr-2"))
    assert (again.kind, again.row.life.state) == (Admittance.REPLAYED, State.SENDING)
    [mail] = journal.messages
    said = json.loads(mail.body)
    assert (mail.routing_key, mail.correlation_id) == ("erp.other", "corr-2")
    assert (said["event"], said["replayed"], said["state"]) == ("payment.accepted", True, "sending")
    assert journal.count(schema.payments) == 1
    assert journal.works == []


def test_a_repeat_is_answered_with_what_another_node_made_of_the_order(journal: Journal) -> None:
    other = Journal(journal.url, "n2")
    row = journal.admit().row
    other.apply(row.payment, Cancel(NOW_MS), epoch=None)
    again = journal.admit()
    assert (again.kind, again.row.life.state) == (Admittance.REPLAYED, State.CANCELLED)
    said = json.loads(journal.messages[0].body)
    assert (said["replayed"], said["state"], said["seq"]) == (True, "cancelled", 2)
    other.close()


def test_a_repeat_is_answered_with_what_its_own_group_made_of_the_order(journal: Journal) -> None:
    row = journal.admit().row
    asked = admission()

    def cancel(tx: Tx) -> object:
        return applying.apply(tx, row.payment, Cancel(NOW_MS), epoch=None, actor="user:erp")

    again = journal.group([cancel, lambda tx: payments_admission.admit(tx, asked, tx.entropy)])[-1]
    assert (again.kind, again.row.life.state) == (Admittance.REPLAYED, State.CANCELLED)


def test_a_repeat_without_a_queue_is_answered_by_an_event(journal: Journal) -> None:
    journal.admit()
    journal.admit(reply=Reply(None, None))
    assert [mail.routing_key for mail in journal.messages] == ["payment.accepted.sample.erp"]


def test_the_same_id_with_other_content_changes_nothing(journal: Journal) -> None:
    row = journal.admit().row
    before = {table.name: journal.count(table) for table in schema.metadata.sorted_tables}
    other = journal.admit(order(minor=99))
    assert (other.kind, other.row) == (Admittance.CONFLICT, row)
    assert journal.messages == []
    assert {table.name: journal.count(table) for table in schema.metadata.sorted_tables} == before
    usage = journal.read(lambda conn: conn.execute(select(schema.usage.c.sum_minor)).scalars().all())
    assert set(usage) == {1_234_567}


def test_a_sum_of_the_day_that_sql_lowered_is_raised_to_the_payments(journal: Journal) -> None:
    zone = ZoneInfo("Asia/Shanghai")
    journal.admit(order("a"))
    sums = select(schema.usage.c.scope, schema.usage.c.sum_minor).order_by(schema.usage.c.scope)
    before = journal.read(lambda conn: conn.execute(sums).all())
    assert journal.do(partial(limits.recount, zone=zone)) == 0
    with journal.stranger() as conn:
        conn.execute(update(schema.usage).values(sum_minor=1))
    journal.committer._least_sums = LeastSums()  # as after a start
    assert journal.do(partial(limits.recount, zone=zone)) == 3, "of the sender, the account and the payee"
    assert journal.read(lambda conn: conn.execute(sums).all()) == before


def test_a_sum_of_the_day_that_sql_lowered_while_the_process_runs_counts_as_before(journal: Journal) -> None:
    journal.admit(order("a"))
    sums = select(schema.usage.c.scope, schema.usage.c.sum_minor).order_by(schema.usage.c.scope)
    one = journal.read(lambda conn: conn.execute(sums).all())
    for lower in (update(schema.usage).values(sum_minor=1), delete(schema.usage)):
        with journal.stranger() as conn:
            conn.execute(lower)
        journal.admit(order(f"b{lower.is_update}"))
    found = journal.read(lambda conn: conn.execute(sums).all())
    assert [(row.scope, row.sum_minor) for row in found] == [(row.scope, 3 * row.sum_minor) for row in one]
    assert {"usage_counts/erp/account", "usage_counts/erp/payee", "usage_counts/erp/sender"} <= {
        *registers.altered(journal.vault)
    }


def test_an_order_whose_payment_sql_deleted_gets_no_second_one(journal: Journal) -> None:
    journal.admit(order("a"))
    with journal.stranger() as conn:
        for table in (schema.work, schema.outbox, schema.payments):
            conn.execute(delete(table))
    with pytest.raises(SealBroken, match="was deleted: this process has admitted the order"):
        journal.admit(order("a"))
    assert journal.count(schema.payments) == 0
    assert journal.admit(order("b")).kind is Admittance.NEW


@pytest.mark.parametrize("ahead_s", [-86_400, 86_400])
def test_payments_of_another_day_raise_no_sum_where_the_clock_was_wrong(journal: Journal, ahead_s: int) -> None:
    journal.hands.task.advance(2 * 86_400)
    journal.admit(order("a"))
    journal.hands.task.rightNow += ahead_s
    assert journal.do(partial(limits.recount, zone=ZoneInfo("Asia/Shanghai"))) == 0


def test_ids_differ_by_case_and_trailing_blank_and_belong_to_their_sender(journal: Journal) -> None:
    for id in ("ap-1", "AP-1", "AP-1 "):
        assert journal.admit(order(id)).kind is Admittance.NEW
    assert journal.admit(order("AP-1"), sender="other").kind is Admittance.NEW


def test_a_thousand_repeats_in_one_group_make_one_payment(journal: Journal) -> None:
    asked = admission()

    def admit_again(tx: Tx) -> payments_admission.Admitted:
        return payments_admission.admit(tx, asked, journal.entropy)

    units = [admit_again] * 1000
    kinds = [done.kind for start in range(0, 1000, 250) for done in journal.group(units[start : start + 250])]
    assert kinds == [Admittance.NEW] + [Admittance.REPLAYED] * 999
    assert journal.count(schema.payments) == 1


@pytest.mark.parametrize(
    "url",
    [pytest.param("postgresql", marks=pytest.mark.postgresql), pytest.param("mariadb", marks=pytest.mark.mariadb)],
    indirect=True,
)
def test_two_nodes_at_once_make_one_payment_of_each_order_and_keep_the_limit(url: str) -> None:
    allowance = Allowance("erp", per_day_minor=50 * 100, alike_hours=0)
    nodes = [Journal(url, name) for name in ("n1", "n2")]
    results: dict[str, list[payments_admission.Admitted]] = {}

    def run(node: Journal) -> None:
        units = [admit(order(f"AP-{i}", minor=100), allowance) for i in range(100)]
        results[node.node] = [done for start in range(0, 100, 10) for done in node.group(units[start : start + 10])]

    threads = [threading.Thread(target=run, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = nodes[0].read(lambda conn: lookup.listing(conn, Filters(), limit=1000))
    kinds = [one.kind for done in results.values() for one in done]
    assert len(rows) == 100
    assert sorted(kinds) == [Admittance.NEW] * 100 + [Admittance.REPLAYED] * 100
    assert sum(row.life.state is State.READY for row in rows) == 50
    assert len({row.bank_ref for row in rows}) == 100
    for node in nodes:
        node.close()


@pytest.mark.parametrize(
    "url",
    [pytest.param("postgresql", marks=pytest.mark.postgresql), pytest.param("mariadb", marks=pytest.mark.mariadb)],
    indirect=True,
)
def test_a_node_that_admits_at_the_same_moment_waits_for_the_others_sum(url: str) -> None:
    allowance = Allowance("erp", per_day_minor=100, alike_hours=0)
    first, second = Journal(url, "n1"), Journal(url, "n2")
    for node in (first, second):
        node.do(admit(order(f"{node.node}-before", minor=0), allowance))
    states: list[State] = []
    late = threading.Thread(
        target=lambda: states.append(second.do(admit(order("late", minor=100), allowance)).row.life.state)
    )

    def admit_while_late_waits(tx: Tx) -> State:
        state = admit(order("early", minor=100), allowance)(tx).row.life.state
        late.start()
        late.join(0.5)
        assert late.is_alive(), "it did not wait"
        return state

    assert first.do(admit_while_late_waits) is State.READY
    late.join()
    assert states == [State.REJECTED]
    for node in (first, second):
        node.close()


@pytest.mark.parametrize(
    "url",
    [pytest.param("postgresql", marks=pytest.mark.postgresql), pytest.param("mariadb", marks=pytest.mark.mariadb)],
    indirect=True,
)
@pytest.mark.parametrize("other", ["erp", "treasury"], ids=["one_sender", "two_senders"])
def test_of_two_alike_orders_admitted_by_two_nodes_at_once_the_second_is_held(url: str, other: str) -> None:
    """Two servers of an ERP, or two systems, publish one invoice at the same moment under different ids."""
    allowance = Allowance("erp", alike_hours=24)
    first, second = Journal(url, "n1"), Journal(url, "n2")
    for node in (first, second):
        node.do(admit(order(f"{node.node}-before", minor=1, creditor="0000000000000000033"), allowance))
    seen: list[UsageFacts] = []
    found: list[PaymentRow] = []

    def alike(id: str, sender: str) -> payments_admission.Admission:
        made = order(id)

        def judged(facts: UsageFacts) -> RuleVerdict:
            seen.append(facts)
            return PASS

        return admission(
            made, allowance, judged=judged, dup_key="invoice", alike_since_ms=NOW_MS - 86_400_000, sender=sender
        )

    late = threading.Thread(
        target=lambda: found.append(
            second.do(lambda tx: payments_admission.admit(tx, alike("late", other), tx.entropy)).row
        )
    )

    def admit_while_late_waits(tx: Tx) -> State:
        state = payments_admission.admit(tx, alike("early", "erp"), tx.entropy).row.life.state
        late.start()
        late.join(0.5)
        assert late.is_alive(), "it did not wait"
        return state

    assert first.do(admit_while_late_waits) is State.READY
    late.join()
    assert [(row.life.state, row.hold_reason) for row in found] == [(State.HELD, "suspected_duplicate")]
    assert [facts.alike_id for facts in seen] == [None, "early"]
    for node in (first, second):
        node.close()


def test_the_limits_of_a_day_count_per_sender_account_and_payee(journal: Journal) -> None:
    seen: list[UsageFacts] = []

    def judged(facts: UsageFacts) -> RuleVerdict:
        seen.append(facts)
        return PASS

    journal.admit(order("a", minor=100), judged=judged)
    journal.admit(order("b", minor=20, creditor="0000000000000000033"), judged=judged)
    journal.admit(order("c", minor=3), judged=judged)
    journal.admit(order("d", minor=1), judged=judged, day="2026-11-25")
    journal.admit(order("e", minor=1), judged=judged, sender="other")
    sums = [(facts.day_minor, facts.account_day_minor, facts.payee_day_minor) for facts in seen]
    assert sums == [(0, 0, 0), (100, 100, 0), (120, 120, 100), (0, 0, 0), (0, 0, 0)]


def test_what_was_rejected_does_not_count(journal: Journal) -> None:
    allowance = Allowance("erp", per_day_minor=100)
    assert journal.admit(order("a", minor=101), allowance).row.life.state is State.REJECTED
    assert journal.admit(order("b", minor=100), allowance).row.life.state is State.READY
    assert journal.admit(order("c", minor=1), allowance).row.life.state is State.REJECTED


def test_an_order_alike_to_a_recent_one_is_seen_under_another_id_only_within_the_hours(journal: Journal) -> None:
    seen: list[str | None] = []

    def judged(facts: UsageFacts) -> RuleVerdict:
        seen.append(facts.alike_id)
        return PASS

    journal.admit(order("a"), judged=judged, dup_key="k", alike_since_ms=NOW_MS - 1000)
    journal.admit(order("b"), judged=judged, dup_key="other", alike_since_ms=NOW_MS - 1000)
    journal.admit(order("c"), judged=judged, dup_key="k", alike_since_ms=NOW_MS - 1000)
    journal.hands.task.advance(10)
    journal.admit(order("d"), judged=judged, dup_key="k", alike_since_ms=NOW_MS + 5000)
    journal.admit(order("e"), judged=judged, dup_key=None)
    assert seen == [None, None, "a", None, None]


def test_a_rejected_order_is_no_reason_to_suspect_the_next(journal: Journal) -> None:
    journal.admit(order("a"), judged=lambda facts: Refuse(Code.VALIDATION), dup_key="k")
    row = journal.admit(order("b"), Allowance("erp", alike_hours=24), dup_key="k").row
    assert row.life.state is State.READY
    held = journal.admit(order("c"), Allowance("erp", alike_hours=24), dup_key="k").row
    assert held.hold_reason == "suspected_duplicate"


def test_bank_references_have_the_banks_form_and_never_repeat(journal: Journal) -> None:
    form = ReferenceForm(length=16, alphabet="0123456789", prefix="BG")
    refs = [journal.admit(order(f"a{i}"), form=form).row.bank_ref for i in range(200)]
    assert len(set(refs)) == 200
    assert all(re.fullmatch(r"BG[0-9]{14}", ref) for ref in refs)


def test_what_the_order_says_comes_back_as_it_was(journal: Journal) -> None:
    until = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
    made = order("z", valid_until=until, not_before=until)
    row = journal.admit(made, batch="B-1", item_no=7).row
    stored = journal.read(lambda conn: lookup.fetch(conn, row.payment))
    assert stored == row
    assert stored is not None
    assert (stored.order, stored.life.valid_until_ms, stored.batch, stored.item_no) == (
        made,
        int(until.timestamp() * 1000),
        "B-1",
        7,
    )
    assert {w.work for w in journal.works} == {Work.SEND, Work.EXPIRE}


def test_listing_filters_and_pages_newest_first(journal: Journal) -> None:
    rows = [journal.admit(order(f"a{i}", creditor=f"00000000000000{i:05d}")).row for i in range(5)]
    held = journal.admit(order("h"), judged=hold, lane="sample.other", sender="other").row

    def ids(filters: Filters, limit: int = 100, after: str | None = None) -> list[str]:
        return [row.order.id for row in journal.read(lambda conn: lookup.listing(conn, filters, limit, after))]

    assert ids(Filters(), 2) == ["h", "a4"]
    assert ids(Filters(), 2, after=rows[4].payment) == ["a3", "a2"]
    assert ids(Filters(states=(State.HELD,))) == ["h"]
    assert ids(Filters(lane="sample.other", sender="other", bank="sample")) == ["h"]
    assert ids(Filters(order_id="a1")) == ["a1"]
    assert ids(Filters(bank_ref=held.bank_ref, lane="sample.other")) == ["h"]
    assert ids(Filters(creditor_account="0000000000000000002")) == ["a2"]
    assert ids(Filters(debtor_account=CREDITOR)) == []
    assert len(ids(Filters(debtor_account=DEBTOR))) == 6
    assert ids(Filters(before_ms=NOW_MS)) == []
    assert len(ids(Filters(from_ms=NOW_MS))) == 6


def test_altered_columns_are_not_believed(small: Journal) -> None:
    row = small.admit().row
    small.do(lambda tx: tx.fresh.execute(schema.payments.update().values(amount_minor=1)))
    with pytest.raises(SealBroken, match=f"{row.payment} was altered"):
        small.read(lambda conn: lookup.fetch(conn, row.payment))


def test_an_order_moved_into_another_payments_row_is_not_believed(small: Journal) -> None:
    first, second = small.admit(order("a")).row, small.admit(order("b")).row

    def swap(tx: Tx) -> None:
        p = schema.payments.c
        sealed = tx.fresh.execute(select(p.order).where(p.payment == first.payment)).scalar()
        tx.fresh.execute(schema.payments.update().where(p.payment == second.payment).values(order=sealed))

    small.do(swap)
    with pytest.raises(Exception, match="moved from another row"):
        small.read(lambda conn: lookup.fetch(conn, second.payment))


def test_unknown_payments_are_none(journal: Journal) -> None:
    assert journal.read(lambda conn: lookup.fetch(conn, "nope")) is None
    assert journal.read(lambda conn: lookup.find(conn, "erp", "nope")) is None
    assert replace(admission(), day="x").day == "x"
