"""The table, and events that come late or were dated by a wrong clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.kernel.core import flow
from gateway.kernel.core.flow import step
from gateway.kernel.core.states import (
    Alarm,
    Answered,
    AskedInVain,
    Event,
    Hold,
    NotSent,
    Overdue,
    Replay,
    ScheduleWork,
    SendNews,
    Silent,
    Source,
    Work,
    WorkDone,
)
from protocols.canon.outcome import Fate, State
from tests.gateway.kernel.core.test_flow import SAFE, T, life_in


def test_proof_that_nothing_left_counts_after_the_deadline_too() -> None:
    overdue = step(life_in(State.SENDING), Overdue(T)).life
    assert step(overdue, NotSent(T, "refused", T + 2_000, 1)).life.state is State.READY
    known = step(overdue, Answered(T, Fate.DUPLICATE, Source.ENQUIRY, T)).life
    assert step(known, NotSent(T, "refused", T + 2_000, 1)).rule == "not_sent_moot", "the bank knows it all the same"
    repeated = step(life_in(State.SENDING, attempt=2, repeats=1), Overdue(T)).life
    assert step(repeated, NotSent(T, "refused", T + 2_000, 2)).rule == "not_sent_moot"


@pytest.mark.parametrize(
    "event",
    [
        NotSent(T, "permit_refused", T + 2_000, attempt=1),
        Silent(T, "no_answer", attempt=1),
        Answered(T, Fate.FAILED, Source.SUBMIT, attempt=1),
        Answered(T, Fate.NOT_FOUND, Source.SUBMIT, attempt=1),
    ],
)
def test_what_befell_an_earlier_attempt_says_nothing_about_this_one(event: Event) -> None:
    life = life_in(State.SENDING, attempt=2)
    assert step(life, event).life == life


def test_a_pending_asked_before_the_no_was_known_is_no_contradiction() -> None:
    failed = step(life_in(State.PENDING), Answered(T + 10, Fate.FAILED, Source.ENQUIRY, T + 5)).life
    assert failed.since_ms == T + 10
    older = step(failed, Answered(T + 20, Fate.PENDING, Source.ENQUIRY, T + 9))
    assert older.rule == "failed_overtaken" and older.effects == (WorkDone(Work.ENQUIRE),)
    newer = step(failed, Answered(T + 20, Fate.PENDING, Source.ENQUIRY, T + 11))
    assert newer.rule == "failed_contradicted" and Alarm("contradiction") in newer.effects


def test_a_hold_that_loses_a_reason_is_told_and_changes_nothing_else() -> None:
    life = life_in(State.HELD)
    held = step(life, Hold(T, "approval", cleared=("suspected_duplicate",)))
    assert (held.rule, held.effects) == ("hold_again", (SendNews("payment.held"),))
    assert held.life == replace(life, seq=life.seq + 1)


def test_a_payment_dated_by_a_clock_that_was_ahead_is_asked_about_and_never_repeated() -> None:
    """The age of the payment is unknown, and so is the remaining time in which the bank knows its reference."""
    ahead_ms = T + 20 * 3_600_000
    life = life_in(State.IN_DOUBT, rules=SAFE, first_write_ms=ahead_ms, last_write_ms=ahead_ms)
    asked = (
        AskedInVain(T, "down"),
        Answered(T, Fate.NOT_FOUND, Source.ENQUIRY, T - 1),
        Answered(T, Fate.UNKNOWN, Source.ENQUIRY, T - 1),
        Answered(T, Fate.DUPLICATE, Source.ENQUIRY, T - 1),
    )
    for event in asked:
        decided = step(life, event)
        assert (decided.life.state, decided.life.asked) == (State.IN_DOUBT, 1), event
        assert ScheduleWork(Work.ENQUIRE, T + flow.ENQUIRY_PLAN_MS[1]) in decided.effects, (
            "it is asked about as any other"
        )
        later = step(decided.life, Replay(ahead_ms + 2 * SAFE.quarantine_ms))
        assert later.rule == "replay_refused", "nor when the time it was dated with has come"
    near = replace(life, first_write_ms=T + 60_000, last_write_ms=T + 60_000)
    assert step(near, AskedInVain(T, "down")).rule == "asked_in_vain", "clocks of two nodes may differ by a minute"


@pytest.mark.parametrize("copies", [1, 2])
def test_a_no_to_a_payment_dated_ahead_is_believed_once_the_clock_was_right_for_the_quarantine(copies: int) -> None:
    ahead_ms = T + 20 * 3_600_000
    life = life_in(State.ESCALATED, attempt=copies, repeats=copies - 1, first_write_ms=ahead_ms, last_write_ms=ahead_ms)
    answer = Answered(T, Fate.FAILED, Source.ENQUIRY, T - 1)
    assert step(life, answer).rule == "asked_failed"
    assert step(life, replace(answer, clock_sure=False)).rule == "asked_failed_overtaken"


def test_a_no_after_a_yes_that_is_dated_ahead_is_a_contradiction() -> None:
    """The date does not prove that the question left first, so a person must look."""
    settled = life_in(State.SETTLED, attempt=2, repeats=1, since_ms=T + 20 * 3_600_000)
    assert step(settled, Answered(T, Fate.FAILED, Source.ENQUIRY, T - 1)).rule == "settled_contradicted"


@pytest.mark.parametrize(("asked", "gap_ms"), [(0, 2_000), (3, 30_000), (8, 3_600_000)])
def test_an_escalated_payment_has_the_first_enquiries_that_it_has_not_had(asked: int, gap_ms: int) -> None:
    """The bank was away for a day: when it is back, it is asked at once and not an hour later."""
    decided = step(life_in(State.IN_DOUBT, asked=asked), Overdue(T))
    assert decided.life.state is State.ESCALATED
    assert ScheduleWork(Work.ENQUIRE, T + gap_ms) in decided.effects
