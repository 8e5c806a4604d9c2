from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest
from sqlalchemy import func, select, update

from gateway.kernel.commit import attempts, audit, outbox, payment_rows, work
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import Evidence, OutboxRow, PaymentRow, Permit, WorkRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core import flow
from gateway.kernel.core.flow import TABLE, ImpossibleEvent, Rule
from gateway.kernel.core.guards import CLOCK_AHEAD_MS
from gateway.kernel.core.states import (
    Alarm,
    Answered,
    AskedInVain,
    Cancel,
    Deny,
    Event,
    Expire,
    Hold,
    Life,
    NotSent,
    Overdue,
    Policy,
    Reject,
    Release,
    Replay,
    Resolve,
    Rules,
    ScheduleWork,
    Send,
    SendNews,
    Silent,
    Source,
    TakenOver,
    Work,
    WorkDone,
)
from gateway.kernel.sql import schema
from gateway.payments.rows import lookup
from protocols.canon.errors import Code
from protocols.canon.money import Money
from protocols.canon.outcome import Fate, Outcome, State
from protocols.erp.news import instant
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal, MemoryPermits, attempt, hold, order

AT = NOW_MS + 1_000
AHEAD_MS = AT + CLOCK_AHEAD_MS + 1


def events_of(rule: Rule, fate: Fate | None) -> list[Event]:
    made: dict[type[Event], list[Event]] = {
        Release: [Release(AT, AT + 5)],
        Hold: [Hold(AT, "approval")],
        Reject: [Reject(AT, Code.NOT_ALLOWED)],
        Cancel: [Cancel(AT)],
        Expire: [Expire(AT)],
        Send: [Send(AT)],
        Silent: [Silent(AT, "timeout"), Silent(AT, "timeout", attempt=9)],
        NotSent: [NotSent(AT, "refused", AT + 9), NotSent(AT, "refused", AT + 9, attempt=9)],
        TakenOver: [TakenOver(AT)],
        AskedInVain: [AskedInVain(AT, "timeout")],
        Overdue: [Overdue(AT)],
        Replay: [Replay(AT)],
        Resolve: [Resolve(AT, Fate.SETTLED), Resolve(AT, Fate.FAILED), Resolve(AT, None), Resolve(AT, None, attempt=9)],
    }
    if rule.event is Answered:
        assert fate is not None
        return [Answered(AT, fate, Source.ENQUIRY, asked_ms=AT - 10), Answered(AT, fate, Source.SUBMIT)]
    return made[rule.event]


def lives_of(state: State) -> Iterator[Life]:
    for repeats, policy, since_ms in product((0, 1, 3), (Policy.NEVER, Policy.REPLAY_SAFE), (NOW_MS, AT)):
        for first_write_ms, last_write_ms in ((NOW_MS, NOW_MS), (NOW_MS, AT), (None, None), (AHEAD_MS, AHEAD_MS)):
            yield Life(
                state,
                Rules(replay=policy, quarantine_ms=10),
                seq=4,
                attempt=1,
                asked=1,
                first_write_ms=first_write_ms,
                last_write_ms=last_write_ms,
                deadline_ms=AT + 1_000_000,
                valid_until_ms=AT + 2_000_000,
                tell_sent=True,
                repeats=repeats,
                since_ms=since_ms,
            )


def decides(rule: Rule, life: Life, event: Event) -> bool:
    try:
        return flow.step(life, event).rule == rule.name
    except ImpossibleEvent:
        return False  # an order with a sent copy is never just accepted


def cases() -> Iterator[tuple[str, Life, Event]]:
    for rule in TABLE:
        for state in sorted(rule.before):
            for fate in sorted(rule.fates) if rule.fates else (None,):
                found = next(
                    (
                        (life, event)
                        for event in events_of(rule, fate)
                        for life in lives_of(state)
                        if decides(rule, life, event)
                    ),
                    None,
                )
                assert found is not None, f"no life leads to {rule.name} from {state}"
                yield f"{rule.name}-{state.value}-{fate.value if fate else ''}", *found


CASES = list(cases())


def put(journal: Journal, life: Life, id: str = "AP-1", epoch: int = 1) -> PaymentRow:
    """A payment that has come to the state `life`, with work of every kind."""
    row = journal.admit(order(id), judged=hold).row
    row = replace(row, life=life, epoch=epoch, version=row.version + 1, changed_ms=life.since_ms)

    def write_row(tx: Tx) -> None:
        values = payment_rows.changes(replace(row, fixed=""), tx.vault) | {
            "rules": payment_rows._rules(life.rules),
            "valid_until_ms": life.valid_until_ms,
            "tell_sent": int(life.tell_sent),
        }
        tx.fresh.execute(update(schema.payments).where(schema.payments.c.payment == row.payment).values(values))
        for kind in Work:
            tx.due(WorkRow(row.payment, kind, LANE, 7, 1))

    journal.do(write_row)
    journal.own_up()
    return row


def last_entry(journal: Journal, payment: str) -> audit.AuditEntry:
    return journal.read(lambda conn: audit.entries_of(conn, journal.vault, payment))[-1]


def test_the_table_is_walked_in_full() -> None:
    assert {name.split("-")[0] for name, _, _ in CASES} == {rule.name for rule in TABLE}


@pytest.mark.parametrize(("name", "life", "event"), CASES, ids=[name for name, _, _ in CASES])
def test_every_effect_of_every_rule_reaches_the_rows(small: Journal, name: str, life: Life, event: Event) -> None:
    row = put(small, life)
    expected = flow.step(life, event)
    entries, before_mail = small.count(schema.audit), small.count(schema.outbox)
    made = attempt(row.payment, life.attempt + 1)
    applied = small.apply(row.payment, event, attempt=made if isinstance(event, Send | Replay) else None)

    assert not applied.conflict
    assert applied.step == expected
    stored = small.read(lambda conn: lookup.fetch(conn, row.payment))
    assert stored == applied.row_after
    assert stored is not None
    since_ms = life.since_ms if expected.life.state is life.state else NOW_MS
    assert (stored.life, stored.version) == (replace(expected.life, since_ms=since_ms), row.version + 1)
    assert stored.changed_ms == since_ms, "when it came into its state"

    tells = [effect.event for effect in expected.effects if isinstance(effect, SendNews)]
    events = [json.loads(mail.body) for mail in small.messages if mail.exchange == "bankgw.events"]
    assert [said["event"] for said in events] == tells
    assert [said["seq"] for said in events] == list(range(life.seq + 1, life.seq + 1 + len(tells)))
    assert small.count(schema.outbox) - before_mail == len(small.messages) == len(tells) + ("payment.rejected" in tells)

    left = {w.work: w.due_ms for w in small.read(lambda conn: work.of_payment(conn, row.payment))}
    wanted = dict.fromkeys(Work, 7)
    for effect in expected.effects:
        if isinstance(effect, ScheduleWork):
            wanted[effect.work] = effect.at_ms
        elif isinstance(effect, WorkDone):
            wanted.pop(effect.work, None)
    assert left == wanted

    assert small.count(schema.audit) == entries + 1
    entry = last_entry(small, row.payment)
    assert entry.entry == f"payment.{expected.rule}"
    assert entry.detail.get("alarms", []) == [e.slug for e in expected.effects if isinstance(e, Alarm)]
    assert entry.detail.get("denied", []) == [e.code.value for e in expected.effects if isinstance(e, Deny)]
    assert (entry.detail["before"], entry.detail["after"]) == (life.state.value, expected.life.state.value)


def test_there_is_one_audit_entry_for_each_version_of_a_payment(journal: Journal) -> None:
    for number in range(5):
        row = journal.admit(order(f"a{number}")).row
        journal.send(row)
        journal.apply(row.payment, Answered(AT, Fate.PENDING, Source.SUBMIT))
        journal.apply(row.payment, Answered(AT, Fate.SETTLED, Source.ENQUIRY))
    versions = journal.read(lambda conn: conn.execute(select(func.sum(schema.payments.c.version))).scalar_one())
    assert versions == journal.count(schema.audit) == 20
    assert journal.read(lambda conn: audit.verify(conn, journal.vault)) == []


def test_a_send_is_written_down_and_permitted(url: str) -> None:
    kept = MemoryPermits()
    journal = Journal(url, permits=kept)
    row = journal.admit().row
    applied = journal.send(row)
    assert applied.row_after is not None
    assert applied.row_after.life.state is State.SENDING
    assert journal.read(lambda conn: attempts.last(conn, row.payment)) == attempt(row.payment)
    assert kept.groups == [[Permit(f"{LANE}/{row.bank_ref}", 1, 1)]]
    assert last_entry(journal, row.payment).detail["sha256"] == hashlib.sha256(attempt(row.payment).wire).hexdigest()
    journal.close()


class AllSendsKnown(MemoryPermits):
    """A permit log that knows every send, as after the restore of an older database."""

    def permitted(self, ref: str, attempt: int) -> bool:
        return True


@pytest.mark.parametrize("event", [Cancel(AT), Expire(AT)], ids=["cancel", "expire"])
def test_an_unsent_order_that_the_permit_log_knows_neither_is_cancelled_nor_expires(url: str, event: Event) -> None:
    journal = Journal(url, permits=AllSendsKnown())
    row = journal.admit().row
    journal.apply(row.payment, event, epoch=None)
    stored = journal.read(lambda conn: lookup.fetch(conn, row.payment))
    assert stored is not None and stored.life.state in (State.IN_DOUBT, State.ESCALATED)
    assert Work.ENQUIRE in [one.work for one in journal.works if one.due_ms <= AT]
    journal.close()


def test_nothing_is_sent_that_is_not_written_down(small: Journal) -> None:
    row = small.admit().row
    with pytest.raises(AssertionError, match="written down"):
        small.apply(row.payment, Send(AT))
    with pytest.raises(AssertionError, match="another send"):
        small.apply(row.payment, Send(AT), attempt=attempt(row.payment, 2))
    stored = small.read(lambda conn: lookup.fetch(conn, row.payment))
    assert stored == row


def test_a_refused_replay_writes_no_attempt_and_asks_no_permit(sqlite_url: str) -> None:
    kept = MemoryPermits()
    journal = Journal(sqlite_url, permits=kept)
    row = journal.admit().row
    journal.send(row)
    journal.apply(row.payment, Silent(AT, "timeout"))
    applied = journal.apply(row.payment, Replay(AT), attempt=attempt(row.payment, 2))
    assert applied.step is not None
    assert applied.step.rule == "replay_refused"
    assert journal.count(schema.attempts) == 1
    assert len(kept.groups) == 1
    journal.close()


def test_an_event_that_cannot_be_fails_the_unit_and_changes_nothing(journal: Journal) -> None:
    row = journal.admit().row
    before = {table.name: journal.count(table) for table in schema.metadata.sorted_tables}
    with pytest.raises(ImpossibleEvent):
        journal.apply(row.payment, Release(AT, AT))
    assert {table.name: journal.count(table) for table in schema.metadata.sorted_tables} == before
    assert journal.read(lambda conn: lookup.fetch(conn, row.payment)) == row


def test_a_stale_epoch_changes_nothing(journal: Journal) -> None:
    row = journal.admit().row
    journal.send(row, epoch=5)
    before = {table.name: journal.count(table) for table in schema.metadata.sorted_tables}
    applied = journal.apply(
        row.payment, Answered(AT, Fate.SETTLED, Source.SUBMIT), epoch=4, evidence=Evidence(Source.SUBMIT, b"late")
    )
    assert applied.conflict
    assert applied.row_after is None
    assert {table.name: journal.count(table) for table in schema.metadata.sorted_tables} == before
    assert (journal.messages, journal.works) == ([], [])


def test_a_stale_lane_is_told_so_even_where_its_word_makes_no_sense_any_more(small: Journal) -> None:
    row = small.admit().row
    small.send(row, epoch=5)
    assert small.apply(row.payment, NotSent(AT, "refused", AT), epoch=5).step is not None
    assert small.apply(row.payment, Hold(AT, "x"), epoch=6).step is not None
    assert small.apply(row.payment, Send(AT), epoch=5, attempt=attempt(row.payment, 2)).conflict


def test_an_owner_that_acts_twice_is_not_overtaken_and_a_former_owner_is(journal: Journal) -> None:
    row = journal.admit().row
    journal.send(row, epoch=5)
    twice = journal.apply(row.payment, Send(AT), epoch=5, attempt=attempt(row.payment), expect=State.READY)
    assert twice.conflict and not twice.overtaken
    late = journal.apply(row.payment, Send(AT), epoch=4, attempt=attempt(row.payment), expect=State.READY)
    assert late.conflict and late.overtaken


def test_a_version_that_moved_is_a_conflict(journal: Journal) -> None:
    row = journal.admit().row
    journal.apply(row.payment, Cancel(AT), epoch=None)
    applied = journal.apply(row.payment, Cancel(AT), version=row.version)
    assert applied.conflict
    assert applied.row_before is not None
    assert applied.row_before.life.state is State.CANCELLED
    assert not journal.apply(row.payment, Cancel(AT), version=row.version + 1).conflict


def test_a_state_that_moved_is_a_conflict_and_not_a_defect(journal: Journal) -> None:
    """The ERP withdraws an order that a lane is about to send. The lane gets a conflict and continues."""
    row = journal.admit().row
    journal.apply(row.payment, Cancel(AT), epoch=None)
    applied = journal.apply(row.payment, Send(AT), attempt=attempt(row.payment), expect=State.READY)
    assert applied.conflict
    assert journal.count(schema.attempts) == 0


def test_who_acts_outside_a_lane_is_not_fenced_and_leaves_the_epoch(journal: Journal) -> None:
    row = journal.admit().row
    sent = journal.send(row, epoch=5)
    assert sent.row_after is not None
    journal.apply(row.payment, Silent(AT, "timeout"), epoch=6)
    applied = journal.apply(
        row.payment,
        Resolve(AT, Fate.SETTLED),
        epoch=None,
        evidence=Evidence(Source.PERSONS, b"statement", note="seen by two"),
    )
    assert applied.row_after is not None
    assert (applied.row_after.life.state, applied.row_after.epoch) == (State.SETTLED, 6)
    [exhibit] = journal.read(lambda conn: attempts.evidence_of(conn, row.payment))
    assert exhibit.content == Evidence(Source.PERSONS, b"statement", note="seen by two")
    [event] = journal.messages
    assert (json.loads(event.body)["was"], json.loads(event.body)["evidence"]) == ("in_doubt", "persons")


def test_no_such_payment_is_a_conflict(journal: Journal) -> None:
    applied = journal.apply("01ARZ3NDEKTSV4RRFFQ69G5FAV", Cancel(AT))
    assert (applied.conflict, applied.row_before) == (True, None)


def settled(text: str = "交易成功") -> Outcome:
    return Outcome(Fate.SETTLED, "0000", text, "BANK-77", datetime(2026, 11, 24, 9, 0, tzinfo=UTC), Money(500))


def test_the_banks_words_are_kept_and_told(journal: Journal) -> None:
    row = journal.admit().row
    journal.send(row)
    evidence = Evidence(Source.SUBMIT, b"<ok/>", Fate.SETTLED, "0000", "signed")
    answered = Answered(AT, Fate.SETTLED, Source.SUBMIT)
    applied = journal.apply(row.payment, answered, outcome=settled(), evidence=evidence)
    after = applied.row_after
    assert after is not None
    assert (after.bank_code, after.bank_text, after.bank_serial) == ("0000", "交易成功", "BANK-77")
    said = json.loads(journal.messages[0].body)
    assert (said["event"], said["final"], said["bank_serial"], said["fee"]["amount"]) == (
        "payment.settled",
        True,
        "BANK-77",
        "5.00",
    )
    assert said["booked_at"] == "2026-11-24T09:00:00.000Z"
    assert journal.read(lambda conn: lookup.fetch(conn, row.payment)) == after
    [exhibit] = journal.read(lambda conn: attempts.evidence_of(conn, row.payment))
    assert exhibit.content == evidence
    assert last_entry(journal, row.payment).detail["sha256"] == hashlib.sha256(b"<ok/>").hexdigest()


def test_a_contradiction_is_told_and_written_over_nothing(journal: Journal) -> None:
    row = journal.admit().row
    journal.send(row)
    before = journal.apply(row.payment, Answered(AT, Fate.SETTLED, Source.SUBMIT), outcome=settled()).row_after
    assert before is not None
    no = Outcome(Fate.FAILED, "9999", "失败")
    applied = journal.apply(row.payment, Answered(AT, Fate.FAILED, Source.STATEMENT), outcome=no)
    after = applied.row_after
    assert after is not None
    assert (after.life.state, after.bank_code, after.bank_text) == (State.SETTLED, "0000", "交易成功")
    said = json.loads(journal.messages[0].body)
    assert (said["event"], said["reported"], said["final"]) == ("payment.correction", "failed", False)


def test_doubt_tells_when_the_bank_is_asked_next(journal: Journal) -> None:
    row = journal.admit().row
    journal.send(row)
    journal.apply(row.payment, Silent(AT, "timeout"))
    said = json.loads(journal.messages[0].body)
    due = next(w.due_ms for w in journal.works if w.work is Work.ENQUIRE)
    assert said["next_enquiry"] == instant(due)


def test_work_that_one_unit_sets_and_a_later_one_of_the_group_deletes_is_gone(journal: Journal) -> None:
    from gateway.payments.rows import transition as applying

    row = journal.admit().row

    def held(tx: Tx) -> Applied:
        return applying.apply(tx, row.payment, Hold(AT, "hour"), epoch=None, actor="x")

    def released(tx: Tx) -> Applied:
        return applying.apply(tx, row.payment, Release(AT, AT + 7), epoch=None, actor="x")

    journal.group([held, released, held])
    assert [w.work for w in journal.read(lambda conn: work.all_open(conn, LANE))] == []
    journal.group([released])
    assert [(w.work, w.due_ms) for w in journal.read(lambda conn: work.all_open(conn, LANE))] == [(Work.SEND, AT + 7)]


def test_what_was_held_and_is_rejected_says_why(journal: Journal) -> None:
    row = journal.admit(judged=hold).row
    journal.apply(row.payment, Reject(AT, Code.NOT_ALLOWED), epoch=None)
    replies: list[OutboxRow] = [mail for mail in journal.messages if mail.exchange == ""]
    assert [json.loads(mail.body)["error"]["code"] for mail in replies] == ["not_allowed"]
    stored = journal.read(lambda conn: lookup.fetch(conn, row.payment))
    assert stored is not None
    assert stored.hold_reason is None
    assert journal.read(lambda conn: outbox.of_payment(conn, row.payment))[-1].body == replies[-1].body
