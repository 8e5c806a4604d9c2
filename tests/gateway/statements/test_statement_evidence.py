"""An account's entries as evidence about payments: the facts that they prove, and the facts that they do not prove."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.kernel.commit import attempts, work
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.core.states import Silent, Source, Work
from gateway.payments.rows import lookup
from gateway.statements.rows.statement_evidence import (
    StatementEvidence,
    ask_after_statement,
    evidence_from_entry,
    unheard,
)
from protocols.canon.host_days import HostDays
from protocols.canon.money import Money
from protocols.canon.outcome import Fate, State
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal


def doubtful(journal: Journal) -> PaymentRow:
    row = journal.admit().row
    journal.send(row)
    journal.apply(row.payment, Silent(NOW_MS, "no_answer"))
    found = journal.read(lambda conn: lookup.fetch(conn, row.payment))
    assert found is not None
    return found


def booked(row: PaymentRow) -> Line:
    return Line(
        row.order.debtor.account, "L-1", Direction.DEBIT, row.order.amount, date(2026, 11, 24), reference=row.bank_ref
    )


def see(journal: Journal, line: Line) -> StatementEvidence | None:
    return journal.do(lambda tx: evidence_from_entry(tx, LANE, line, epoch=None, actor="watcher"))


def state_of(journal: Journal, row: PaymentRow) -> State:
    found = journal.read(lambda conn: lookup.fetch(conn, row.payment))
    assert found is not None
    return found.life.state


def test_a_booked_debit_with_our_reference_and_amount_is_the_banks_yes(journal: Journal) -> None:
    row = doubtful(journal)
    seen = see(journal, booked(row))
    assert seen is not None and seen.applied is not None and seen.applied.step is not None
    assert seen.applied.step.rule == "asked_settled" and state_of(journal, row) is State.SETTLED
    [exhibit] = journal.read(lambda conn: attempts.evidence_of(conn, row.payment))
    assert (exhibit.content.source, exhibit.content.fate) == (Source.STATEMENT, Fate.SETTLED)
    again = see(journal, booked(row))
    assert again is not None and again.applied is not None and again.applied.step is not None
    assert again.applied.step.rule == "settled_again"


def test_a_second_entry_of_one_payment_is_told_apart_from_the_same_entry_again(journal: Journal) -> None:
    row = doubtful(journal)
    first = booked(row)
    assert [seen.twice for seen in (see(journal, first), see(journal, first)) if seen is not None] == [False, False]
    again = see(journal, replace(first, bank_line_id="L-2"))
    assert again is not None and again.twice and again.disagrees is None
    assert state_of(journal, row) is State.SETTLED
    notes = [one.content.note for one in journal.read(lambda conn: attempts.evidence_of(conn, row.payment))]
    assert sum("L-1" in note for note in notes) == 2 and sum("L-2" in note for note in notes) == 1


def test_two_entries_of_one_payment_in_one_list_are_told_apart(journal: Journal) -> None:
    row = doubtful(journal)
    both = [booked(row), replace(booked(row), occurrence=2)]
    seen = journal.do(lambda tx: [evidence_from_entry(tx, LANE, one, epoch=None, actor="watcher") for one in both])
    assert [one is not None and one.twice for one in seen] == [False, True]


@pytest.mark.parametrize(
    "change", [{"reference": None}, {"reference": "ANOTHER"}, {"fee": True}, {"direction": Direction.CREDIT}]
)
def test_other_entries_say_nothing(journal: Journal, change: dict[str, object]) -> None:
    row = doubtful(journal)
    assert see(journal, replace(booked(row), **change)) is None  # type: ignore[arg-type]
    assert state_of(journal, row) is State.IN_DOUBT


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"amount": Money(1)}, "amount"),
        ({"account": AccountNumber("0000000000000000999")}, "account"),
        ({"reversal": True}, "reversal"),
        ({"reversal": True, "direction": Direction.CREDIT}, "reversal"),
    ],
)
def test_our_reference_on_another_booking_changes_nothing_and_is_told(
    journal: Journal, change: dict[str, object], what: str
) -> None:
    row = doubtful(journal)
    seen = see(journal, replace(booked(row), **change))  # type: ignore[arg-type]
    assert seen is not None and (seen.applied, seen.disagrees) == (None, what)
    assert state_of(journal, row) is State.IN_DOUBT


LEARNT = HostDays(-33, -33, -33, bound=60, is_learnt=True)
AHEAD = HostDays(20, 20, 20, bound=60, is_learnt=True)
UNKNOWN = HostDays(least=-60, most=60, bound=60)


@pytest.mark.parametrize(
    ("days", "host", "proves"),
    [
        (0, HostDays(), True),
        (-7, HostDays(), True),
        (-8, HostDays(), False),
        (-180, HostDays(), False),
        (60, HostDays(), True),
        (-33, LEARNT, True),
        (-40, LEARNT, True),
        (-41, LEARNT, False),
        (20, AHEAD, True),
        (0, AHEAD, False),
        (-60, UNKNOWN, True),
        (-68, UNKNOWN, False),
    ],
)
def test_an_entry_of_a_day_before_the_payment_by_the_bank_s_date_is_of_another_life(
    journal: Journal, days: int, host: HostDays, proves: bool
) -> None:
    row = doubtful(journal)
    assert row.life.first_write_ms is not None
    sent = datetime.fromtimestamp(row.life.first_write_ms / 1000, UTC).date()
    entry = replace(booked(row), bank_date=sent + timedelta(days=days))
    assert journal.do(lambda tx: unheard(tx, LANE, [entry], host)) == ([entry] if proves else [])
    seen = journal.do(lambda tx: evidence_from_entry(tx, LANE, entry, epoch=None, actor="watcher", host=host))
    assert seen is not None and seen.disagrees == (None if proves else "day")
    assert state_of(journal, row) is (State.SETTLED if proves else State.IN_DOUBT)


def test_entries_seen_before_are_heard_again_only_for_a_payment_in_doubt_that_they_are_the_booking_of(
    journal: Journal,
) -> None:
    row = doubtful(journal)
    entry = booked(row)
    others = [
        replace(entry, **change)
        for change in (
            {"reference": None},
            {"reference": "ANOTHER"},
            {"fee": True},
            {"amount": Money(1)},
            {"reversal": True},
        )
    ]
    many = [replace(entry, reference=f"R-{n}") for n in range(1_200)]
    assert journal.do(lambda tx: unheard(tx, LANE, [*others, entry, *many])) == [entry]
    assert journal.do(lambda tx: unheard(tx, "another.lane", [entry])) == []
    see(journal, entry)
    assert journal.do(lambda tx: unheard(tx, LANE, [entry])) == [], "it is settled: there is nothing to hear"


def test_a_debit_of_what_was_told_failed_is_a_correction(journal: Journal) -> None:
    from gateway.kernel.core.states import Answered

    row = doubtful(journal)
    journal.apply(row.payment, Answered(NOW_MS + 9, Fate.FAILED, Source.ENQUIRY, NOW_MS + 8))
    seen = see(journal, booked(row))
    assert seen is not None and seen.applied is not None and seen.applied.step is not None
    assert seen.applied.step.rule == "failed_contradicted" and state_of(journal, row) is State.FAILED


def test_after_a_statement_the_bank_is_asked_about_what_is_open_on_that_account(journal: Journal) -> None:
    row = doubtful(journal)
    own = row.order.ours.account.clear
    assert journal.do(lambda tx: ask_after_statement(tx, LANE, "0000000000000000999")) == 0
    assert journal.do(lambda tx: ask_after_statement(tx, "another.lane", own)) == 0
    assert journal.do(lambda tx: ask_after_statement(tx, LANE, own)) == 1
    [due] = [one for one in journal.read(lambda conn: work.of_payment(conn, row.payment)) if one.work is Work.ENQUIRE]
    assert due.due_ms == NOW_MS
    see(journal, booked(row))
    assert journal.do(lambda tx: ask_after_statement(tx, LANE, own)) == 0, "what is settled is not asked about"
    left = [one.work for one in journal.read(lambda conn: work.of_payment(conn, row.payment))]
    assert Work.ENQUIRE not in left
