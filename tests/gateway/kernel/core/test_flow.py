"""The table of a payment's life: it is total, claims no more than is known, and never causes a second payment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.core import flow, guards
from gateway.kernel.core.flow import TABLE, ImpossibleEvent, step
from gateway.kernel.core.states import (
    KNOWN,
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
    born,
)
from protocols.canon.errors import Code
from protocols.canon.outcome import STATE_TABLE, Certainty, Fate, State

T = 1_000_000_000_000
ASKING = {State.PENDING, State.IN_DOUBT, State.ESCALATED}
BEFORE = {State.ACCEPTED, State.HELD, State.READY}

EVENTS: dict[str, Event] = {
    "release": Release(T, T),
    "hold": Hold(T, "approval"),
    "reject": Reject(T, Code.VALIDATION),
    "cancel": Cancel(T),
    "expire": Expire(T),
    "send": Send(T),
    "not_sent": NotSent(T, "refused", T + 2000),
    "silent": Silent(T, "no_answer"),
    "taken_over": TakenOver(T),
    "asked_in_vain": AskedInVain(T, "down"),
    "overdue": Overdue(T),
    "resolve_settled": Resolve(T, Fate.SETTLED),
    "resolve_failed": Resolve(T, Fate.FAILED),
    "resolve_resend": Resolve(T, None),
    "replay": Replay(T),
    **{f"answered_{fate.value}": Answered(T, fate, Source.ENQUIRY, T) for fate in Fate},
    **{f"heard_{fate.value}": Answered(T, fate, Source.SUBMIT) for fate in Fate},
}
LATER = T + Rules().quarantine_ms

# Events that a correct gateway never causes: they must fail loudly and stop the lane.
IMPOSSIBLE = (
    {(state, "send") for state in State if state is not State.READY}
    | {(state, "not_sent") for state in (*BEFORE, State.REJECTED, State.CANCELLED, State.EXPIRED)}
    | {(state, "taken_over") for state in State if state is not State.SENDING}
    | {(state, "release") for state in State if state not in (State.ACCEPTED, State.HELD)}
    | {(state, "hold") for state in State if state not in (State.ACCEPTED, State.HELD, State.READY)}
    | {(state, "reject") for state in State if state not in (State.ACCEPTED, State.HELD)}
    | {(State.ACCEPTED, f"{how}_{fate.value}") for fate in Fate for how in ("answered", "heard")}
)


def life_in(state: State, **changes: object) -> Life:
    sent = state not in BEFORE | {State.REJECTED, State.CANCELLED, State.EXPIRED}
    life = Life(
        state,
        seq=3,
        attempt=1 if sent else 0,
        first_write_ms=T - 1 if sent else None,
        last_write_ms=T - 1 if sent else None,
    )
    return replace(life, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", State)
def test_every_state_and_event_has_exactly_one_outcome(state: State) -> None:
    possible = set()
    for name, event in EVENTS.items():
        with suppress(ImpossibleEvent):
            step(life_in(state), event)
            possible.add(name)
    assert possible == {name for name in EVENTS if (state, name) not in IMPOSSIBLE}


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)
def test_every_row_can_be_reached_and_says_why(rule: flow.Rule) -> None:
    assert rule.why and rule.name in _rules_reached(rule.before)


def _rules_reached(before: Iterable[State]) -> Iterator[str]:
    for state, event in product(before, EVENTS.values()):
        for policy, repeats, since_ms, at_ms in product(Policy, (0, 1, 3), (0, T), (T, LATER)):
            life = life_in(state, rules=Rules(policy), repeats=repeats, since_ms=since_ms, attempt=repeats + 1)
            wrote_ms = T - 1 if since_ms or life.state in BEFORE else T + 1
            ahead_ms = LATER + guards.CLOCK_AHEAD_MS + 1
            for first_write_ms, last_write_ms in product({life.first_write_ms, T - 1}, (wrote_ms, ahead_ms)):
                written = replace(life, first_write_ms=first_write_ms, last_write_ms=last_write_ms)
                with suppress(ImpossibleEvent):
                    yield step(written, replace(event, at_ms=at_ms)).rule


@pytest.mark.parametrize("state", [State.HELD, State.READY])
def test_what_left_before_two_persons_let_it_be_sent_again_neither_expires_nor_is_withdrawn(state: State) -> None:
    """Else the ERP would be told that no money moved, and pay under a new id, while the first copy may be booked."""
    again = life_in(state, attempt=1, first_write_ms=T - 9, last_write_ms=T - 9, not_found=2)
    late = step(again, Expire(T))
    assert (late.rule, late.life.state, late.life.doubted) == ("resend_expired", State.ESCALATED, True)
    assert SendNews("payment.escalated") in late.effects and Alarm("escalated") in late.effects
    assert {WorkDone(Work.SEND), WorkDone(Work.EXPIRE)} <= set(late.effects)
    assert any(isinstance(effect, ScheduleWork) and effect.work is Work.ENQUIRE for effect in late.effects), (
        "it is asked about on"
    )
    withdrawn = step(again, Cancel(T))
    assert (withdrawn.rule, withdrawn.life) == ("cancel_too_late", again)
    unsent = life_in(state, attempt=2)
    assert step(unsent, Expire(T)).life.state is State.EXPIRED, "a send that did not leave left nothing"
    assert step(unsent, Cancel(T)).life.state is State.CANCELLED


def test_what_cannot_be_sent_once_more_is_asked_about_and_can_be_decided() -> None:
    """If the payment were held, it could be neither withdrawn nor decided, and no question would ever end it."""
    again = life_in(State.READY, attempt=1, first_write_ms=T - 9, last_write_ms=T - 9, valid_until_ms=T + 9)
    stuck = step(again, Hold(T, "cannot_be_prepared"))
    assert (stuck.rule, stuck.life.state, stuck.life.doubted) == ("resend_held", State.ESCALATED, True)
    assert SendNews("payment.escalated") in stuck.effects and Alarm("escalated") in stuck.effects
    assert {WorkDone(Work.SEND), WorkDone(Work.EXPIRE)} <= set(stuck.effects)
    assert any(isinstance(effect, ScheduleWork) and effect.work is Work.ENQUIRE for effect in stuck.effects)
    assert step(stuck.life, Resolve(T + 1, Fate.FAILED, 1)).life.state is State.FAILED
    unsent = life_in(State.READY, attempt=2)
    assert step(unsent, Hold(T, "cannot_be_prepared")).rule == "hold", "a send that did not leave left nothing"


def test_no_row_stands_where_an_earlier_one_always_decides() -> None:
    for (state, event, fate), rules in flow._INDEX.items():
        deaf = [rule.name for n, rule in enumerate(rules) if any(earlier.when is None for earlier in rules[:n])]
        assert not deaf, f"{event.__name__}({fate}) in {state.value}"


def test_a_row_either_stays_or_leads_elsewhere() -> None:
    assert [rule.name for rule in TABLE if rule.after in rule.before] == [], "else since_ms would move without a change"


def test_an_order_begins_with_its_acceptance_which_is_told_as_number_1() -> None:
    assert born(Rules()) == Life(State.ACCEPTED, Rules(), seq=1), (
        "and nobody is told of the send who did not ask for it"
    )
    assert born(Rules(), valid_until_ms=T, tell_sent=True) == Life(
        State.ACCEPTED, Rules(), seq=1, valid_until_ms=T, tell_sent=True
    )


def test_rule_names_are_unique() -> None:
    assert len({rule.name for rule in TABLE}) == len(TABLE)


@pytest.mark.parametrize("state", [state for state in State if state not in (State.SETTLED, State.FAILED)])
def test_only_the_banks_word_or_two_persons_make_failed_or_settled(state: State) -> None:
    for name in (name for name in EVENTS if (state, name) not in IMPOSSIBLE):
        after = step(life_in(state), EVENTS[name]).life.state
        if after in (State.SETTLED, State.FAILED):
            word = after.value
            assert name in (f"answered_{word}", f"heard_{word}", f"resolve_{word}")


@pytest.mark.parametrize("state", [State.SENDING, *sorted(ASKING)])
@pytest.mark.parametrize("fate", [Fate.UNKNOWN, Fate.NOT_FOUND, Fate.DUPLICATE, Fate.PENDING])
def test_no_word_short_of_yes_or_no_ends_a_payment(state: State, fate: Fate) -> None:
    source = Source.SUBMIT if state is State.SENDING else Source.ENQUIRY
    after = step(life_in(state), Answered(T, fate, source, None if source is Source.SUBMIT else T))
    assert after.life.state in ASKING
    assert any(isinstance(e, ScheduleWork) and e.work is Work.ENQUIRE and e.at_ms > T for e in after.effects)


@pytest.mark.parametrize("state", sorted(ASKING))
def test_asking_never_ends_by_count(state: State) -> None:
    life, now_ms, gaps = life_in(state), T, []
    for _ in range(500):
        decided = step(life, AskedInVain(now_ms, "down"))
        due = [e for e in decided.effects if isinstance(e, ScheduleWork) and e.work is Work.ENQUIRE]
        assert len(due) == 1
        gaps.append(due[0].at_ms - now_ms)
        life, now_ms = decided.life, due[0].at_ms
    assert max(gaps) <= flow.HOURLY_MS
    assert gaps == sorted(gaps)
    assert gaps[-1] == (flow.HOURLY_MS if state is State.ESCALATED else flow.STEADY_MS)


def test_the_first_enquiries_follow_the_plan() -> None:
    life = step(life_in(State.SENDING, asked=9), Silent(T, "no_answer")).life
    gaps = []
    for _ in range(9):
        gaps.append(flow.enquiry_gap_ms(life, day_over=True) / 1000)
        life = step(life, AskedInVain(T, "down")).life
    assert gaps == [2, 5, 15, 30, 60, 120, 300, 600, 3600]
    assert gaps[:-1] == [gap_ms / 1000 for gap_ms in flow.ENQUIRY_PLAN_MS], "as the page of states prints it"


@pytest.mark.parametrize(
    "word", [AskedInVain(T, "down", day_over=True), Answered(T, Fate.UNKNOWN, Source.ENQUIRY, T, day_over=True)]
)
def test_after_the_banks_day_enquiries_are_hourly_once_the_plan_is_through(word: AskedInVain | Answered) -> None:
    planned = len(flow.ENQUIRY_PLAN_MS)
    for asked, gap_ms in ((planned - 2, flow.ENQUIRY_PLAN_MS[-1]), (planned - 1, flow.HOURLY_MS), (99, flow.HOURLY_MS)):
        life = life_in(State.IN_DOUBT, asked=asked)
        [due] = [e for e in step(life, word).effects if isinstance(e, ScheduleWork) and e.work is Work.ENQUIRE]
        assert due.at_ms == T + gap_ms
        [due] = [e for e in step(life, replace(word, day_over=False)).effects if isinstance(e, ScheduleWork)]
        assert due.at_ms == T + min(gap_ms, flow.STEADY_MS)


def test_a_bank_that_wants_patience_gets_it() -> None:
    life = life_in(State.IN_DOUBT, rules=Rules(first_enquiry_ms=300_000))
    assert flow.enquiry_gap_ms(life, day_over=False) == 300_000
    assert flow.enquiry_gap_ms(replace(life, asked=2), day_over=False) == 300_000


@pytest.mark.parametrize("day_over", [False, True])
@pytest.mark.parametrize("state", [State.PENDING, State.ESCALATED])
def test_a_bank_that_wants_patience_gets_it_to_the_end(state: State, day_over: bool) -> None:
    life = life_in(state, rules=Rules(first_enquiry_ms=7_200_000), asked=50)
    assert flow.enquiry_gap_ms(life, day_over=day_over) == 7_200_000


@pytest.mark.parametrize("first_ms", [0, 200, 1_500])
def test_a_bank_that_may_be_asked_at_once_is(first_ms: int) -> None:
    life = life_in(State.IN_DOUBT, rules=Rules(first_enquiry_ms=first_ms))
    assert flow.enquiry_gap_ms(life, day_over=False) == first_ms
    assert flow.enquiry_gap_ms(replace(life, asked=1), day_over=False) == flow.ENQUIRY_PLAN_MS[1]


@pytest.mark.parametrize(("asked_ms", "counts"), [(T + 599_998, 0), (T + 599_999, 1), (None, 0)])
def test_not_found_counts_only_when_asked_after_the_quarantine(asked_ms: int | None, counts: int) -> None:
    answer = Answered(T + 900_000, Fate.NOT_FOUND, Source.ENQUIRY, asked_ms)
    assert step(life_in(State.IN_DOUBT), answer).life.not_found == counts
    assert step(life_in(State.IN_DOUBT), replace(answer, clock_sure=False)).life.not_found == 0


def test_a_no_about_several_copies_counts_only_when_it_is_sure_that_all_had_arrived() -> None:
    life = life_in(State.IN_DOUBT, repeats=1, attempt=2)
    answer = Answered(T + 900_000, Fate.FAILED, Source.ENQUIRY, T + 800_000)
    assert step(life, answer).life.state is State.FAILED
    assert step(life, replace(answer, clock_sure=False)).rule == "asked_failed_overtaken"


@pytest.mark.parametrize(
    ("rules", "not_found", "at_ms", "allowed"),
    [
        (Rules(Policy.NEVER), 99, LATER, False),
        (Rules(Policy.QUERY_FIRST, not_found_needed=2), 1, LATER, False),
        (Rules(Policy.QUERY_FIRST, not_found_needed=2), 2, LATER, True),
        (Rules(Policy.QUERY_FIRST, not_found_needed=2), KNOWN, LATER, False),
        (Rules(Policy.REPLAY_SAFE, window_ms=None), 0, T + 10**10, True),
        (Rules(Policy.REPLAY_SAFE, window_ms=None), KNOWN, T + 10**10, False),
        (Rules(Policy.REPLAY_SAFE, window_ms=None, most_repeats=0), 0, T + 10**10, False),
        (Rules(Policy.REPLAY_SAFE, quarantine_ms=1_000), 0, T + 998, False),
        (Rules(Policy.REPLAY_SAFE, quarantine_ms=1_000), 0, T + 999, True),
        (Rules(Policy.REPLAY_SAFE, quarantine_ms=1_000, window_ms=10_000), 0, T + 8_998, True),
        (Rules(Policy.REPLAY_SAFE, quarantine_ms=1_000, window_ms=10_000), 0, T + 8_999, False),
    ],
)
def test_replay_only_where_the_banks_rules_allow_it(rules: Rules, not_found: int, at_ms: int, allowed: bool) -> None:
    decided = step(life_in(State.IN_DOUBT, rules=rules, not_found=not_found), Replay(at_ms))
    assert (decided.life.state is State.SENDING) == allowed
    assert decided.life.attempt == (2 if allowed else 1)


def test_a_repeat_that_did_not_leave_is_still_in_doubt_and_a_first_send_is_ready() -> None:
    not_sent = NotSent(T, "permit_refused", T + 2_000)
    doubt = step(life_in(State.SENDING, repeats=1, attempt=2), not_sent).life
    assert doubt.state is State.IN_DOUBT and doubt.repeats == 0, "what did not leave is not counted as a repeat"
    ready = step(life_in(State.SENDING), not_sent)
    assert ready.life.state is State.READY and ready.life.first_write_ms is None
    assert ScheduleWork(Work.SEND, T + 2_000) in ready.effects and WorkDone(Work.ESCALATE) in ready.effects


def test_a_second_send_that_did_not_leave_does_not_make_the_first_undone() -> None:
    cleared = step(doubt(Rules()), Resolve(T + 10, None)).life
    again = step(step(cleared, Send(T + 20)).life, NotSent(T + 21, "refused", T + 30)).life
    assert again.state is State.READY
    assert (again.first_write_ms, again.last_write_ms) == (T - 1, T + 20), (
        "bytes of it are about, and may yet be booked"
    )


@pytest.mark.parametrize(
    ("state", "fate"),
    [
        (State.SETTLED, Fate.FAILED),
        (State.FAILED, Fate.SETTLED),
        (State.FAILED, Fate.PENDING),
        (State.CANCELLED, Fate.SETTLED),
        (State.EXPIRED, Fate.PENDING),
        (State.REJECTED, Fate.SETTLED),
        (State.READY, Fate.SETTLED),
        (State.RETURNED, Fate.FAILED),
    ],
)
def test_a_contradiction_is_told_and_never_written_over(state: State, fate: Fate) -> None:
    decided = step(life_in(state), Answered(T, fate, Source.STATEMENT))
    assert Alarm("contradiction") in decided.effects
    assert any(isinstance(e, SendNews) and e.event == "payment.correction" for e in decided.effects)
    assert decided.life.state is (State.ESCALATED if state is State.READY else state)


def test_a_payment_the_bank_knows_before_we_sent_it_is_not_sent_any_more() -> None:
    decided = step(life_in(State.READY), Answered(T, Fate.SETTLED, Source.STATEMENT))
    assert WorkDone(Work.SEND) in decided.effects


@pytest.mark.parametrize("fate", Fate)
@pytest.mark.parametrize("state", [State.HELD, State.READY])
def test_what_two_persons_let_go_once_more_stops_when_the_bank_knows_it_wherever_it_waits(
    state: State, fate: Fate
) -> None:
    decided = step(life_in(state, attempt=1), Answered(T, fate, Source.STATEMENT))
    known = fate not in (Fate.FAILED, Fate.UNKNOWN, Fate.NOT_FOUND)
    assert decided.life.state is (State.ESCALATED if known else state)
    assert (Alarm("contradiction") in decided.effects) == known
    assert (WorkDone(Work.SEND) in decided.effects) == known


_OVER = [state for state in State if state not in ASKING | {State.ACCEPTED, State.SENDING}]


@pytest.mark.parametrize("fate", [None, *Fate])
@pytest.mark.parametrize("state", _OVER)
def test_a_question_that_is_answered_when_all_is_over_is_not_asked_again_for_ever(
    state: State, fate: Fate | None
) -> None:
    """The step schedules work from the queue again or finishes it, because a row that stays due is asked about again."""
    late: Event = AskedInVain(T, "down") if fate is None else Answered(T, fate, Source.ENQUIRY, T)
    life = life_in(state, since_ms=T - 5, rules=Rules(returns_watch_ms=3_000, returns_every_ms=1_000))
    decided = step(life, late)
    settled = {
        work for effect in decided.effects if isinstance(effect, ScheduleWork | WorkDone) for work in [effect.work]
    }
    assert Work.ENQUIRE in settled
    assert state is not State.SETTLED or Work.RETURNS in settled


@pytest.mark.parametrize("state", [s for s in State if s not in BEFORE])
def test_cancelling_after_the_send_is_denied(state: State) -> None:
    decided = step(life_in(state), Cancel(T))
    assert decided.effects == (Deny(Code.TOO_LATE),) and decided.life.state is state


def test_returned_money_is_watched_for_until_the_bank_can_return_no_more() -> None:
    rules = Rules(returns_watch_ms=3_000, returns_every_ms=1_000)
    settled = step(life_in(State.SENDING, rules=rules), Answered(T, Fate.SETTLED, Source.SUBMIT))
    assert ScheduleWork(Work.RETURNS, T + 1_000) in settled.effects
    again = step(settled.life, Answered(T + 1_000, Fate.SETTLED, Source.RETURNS))
    assert ScheduleWork(Work.RETURNS, T + 2_000) in again.effects
    refused = step(settled.life, Answered(T + 2_500, Fate.FAILED, Source.RETURNS, T + 2_400))
    assert refused.rule == "settled_contradicted" and WorkDone(Work.RETURNS) in refused.effects
    last = step(settled.life, AskedInVain(T + 2_500, "down"))
    assert WorkDone(Work.RETURNS) in last.effects
    back = step(settled.life, Answered(T + 1_000, Fate.RETURNED, Source.RETURNS))
    assert back.life.state is State.RETURNED and WorkDone(Work.RETURNS) in back.effects


@pytest.mark.parametrize("word", [Answered(T, Fate.SETTLED, Source.ENQUIRY, T - 1), Resolve(T, Fate.SETTLED)])
def test_what_settles_long_after_it_was_sent_is_watched_for_as_long_as_what_settles_at_once(word: Event) -> None:
    rules = Rules(returns_watch_ms=3_000, returns_every_ms=1_000)
    settled = step(life_in(State.IN_DOUBT, rules=rules, first_write_ms=T - 90_000, last_write_ms=T - 90_000), word)
    assert settled.life.state is State.SETTLED and ScheduleWork(Work.RETURNS, T + 1_000) in settled.effects
    again = step(settled.life, AskedInVain(T + 2_000, "down"))
    assert ScheduleWork(Work.RETURNS, T + 3_000) in again.effects
    assert WorkDone(Work.RETURNS) in step(settled.life, AskedInVain(T + 2_001, "down")).effects


def test_sent_is_told_to_subscribers_only_and_takes_no_number_otherwise() -> None:
    quiet = step(life_in(State.READY), Send(T))
    loud = step(life_in(State.READY, tell_sent=True), Send(T))
    assert not any(isinstance(e, SendNews) for e in quiet.effects) and quiet.life.seq == 3
    assert SendNews("payment.sent") in loud.effects and loud.life.seq == 4


EVENT_KINDS = st.sampled_from(sorted(EVENTS))


@given(st.lists(st.tuples(EVENT_KINDS, st.integers(0, 10**9)), max_size=60), st.sampled_from(list(Policy)))
def test_any_history_keeps_the_promises(history: list[tuple[str, int]], policy: Policy) -> None:
    life, now_ms, sends = born(Rules(policy, window_ms=1_000_000), valid_until_ms=T), T, 0
    for name, passed_ms in history:
        now_ms += passed_ms
        event = replace(EVENTS[name], at_ms=now_ms)
        try:
            decided = step(life, event)
        except ImpossibleEvent:
            # A payment that the bank knew before its send has no attempt, so that `not_sent` cannot occur.
            assert (life.state, name) in IMPOSSIBLE or (name == "not_sent" and not life.attempt)
            continue
        before, life = life, decided.life
        tells = [e for e in decided.effects if isinstance(e, SendNews)]
        assert life.seq == before.seq + len(tells), "every event has its own number"
        if before.state is not life.state and STATE_TABLE[life.state].event and not STATE_TABLE[life.state].optional:
            assert STATE_TABLE[life.state].event in [e.event for e in tells], "a change of state is told"
        if life.state is State.SENDING and before.state is not State.SENDING:
            assert life.attempt == before.attempt + 1
            if policy is Policy.NEVER and name == "replay":
                raise AssertionError("a repeat where the bank forbids it")
            sends += 1
        if STATE_TABLE[before.state].certainty is Certainty.UNKNOWN and life.state in BEFORE:
            assert name in ("not_sent", "resolve_resend") and life.repeats == 0, (
                "only proof or persons lead back before the send"
            )
        if life.state in ASKING and name.startswith(("answered", "asked", "heard")) and before.state is not life.state:
            assert any(isinstance(e, ScheduleWork) and e.work is Work.ENQUIRE for e in decided.effects)
    assert life.attempt == sends


# ---- repeats ----

SAFE = Rules(Policy.REPLAY_SAFE)
QUERY = Rules(Policy.QUERY_FIRST, not_found_needed=2)


def doubt(rules: Rules, **changes: object) -> Life:
    return life_in(State.IN_DOUBT, rules=rules, doubted=True, **changes)


def not_found(at_ms: int) -> Answered:
    return Answered(at_ms, Fate.NOT_FOUND, Source.ENQUIRY, at_ms - 1)


def replay_due(decided: flow.Step) -> list[int]:
    return [e.at_ms for e in decided.effects if isinstance(e, ScheduleWork) and e.work is Work.REPLAY]


def test_a_repeat_is_due_when_the_bank_was_asked_after_the_quarantine_and_gave_no_verdict() -> None:
    assert not replay_due(step(doubt(SAFE), not_found(LATER - 2)))
    for event in (not_found(LATER), Answered(LATER, Fate.UNKNOWN, Source.ENQUIRY, LATER), AskedInVain(LATER, "down")):
        assert replay_due(step(doubt(SAFE), event)) == [LATER]
        assert not replay_due(step(doubt(Rules()), event)), "never is never"


def test_query_first_needs_its_not_founds_and_nothing_else_will_do() -> None:
    once = step(doubt(QUERY), not_found(LATER + 1))
    assert not replay_due(once)
    assert replay_due(step(once.life, not_found(LATER + 2))) == [LATER + 2]
    assert not replay_due(step(once.life, AskedInVain(LATER + 2, "down")))
    assert not replay_due(step(once.life, Answered(LATER + 2, Fate.UNKNOWN, Source.ENQUIRY, LATER + 1)))


@pytest.mark.parametrize("rules", [QUERY, SAFE], ids=["query_first", "replay_safe"])
@pytest.mark.parametrize("fate", [Fate.PENDING, Fate.DUPLICATE])
def test_what_the_bank_once_knew_is_not_sent_again_because_it_cannot_be_found(fate: Fate, rules: Rules) -> None:
    life = step(life_in(State.SENDING, rules=rules), Answered(T, fate, Source.SUBMIT)).life
    for n in range(5):
        decided = step(life, not_found(LATER + n + 1))
        life = decided.life
        assert life.state is State.IN_DOUBT and life.not_found == KNOWN and not replay_due(decided)
    assert step(life, Replay(LATER + 10)).rule == "replay_refused"


def test_a_repeat_is_the_same_attempt_again_with_the_same_deadline() -> None:
    life = doubt(SAFE, deadline_ms=T + 86_400_000)
    decided = step(life, Replay(LATER))
    assert (decided.rule, decided.life.attempt, decided.life.repeats) == ("replay", 2, 1)
    assert (decided.life.first_write_ms, decided.life.last_write_ms) == (T - 1, LATER)
    assert decided.life.deadline_ms == life.deadline_ms and WorkDone(Work.ESCALATE) not in decided.effects
    assert WorkDone(Work.REPLAY) in decided.effects and WorkDone(Work.ENQUIRE) in decided.effects


@pytest.mark.parametrize(
    ("rules", "day_ends_ms", "allowed"),
    [
        (replace(SAFE, same_day=True), None, False),
        (replace(SAFE, same_day=True), LATER + SAFE.quarantine_ms, False),
        (replace(SAFE, same_day=True), LATER + SAFE.quarantine_ms + 1, True),
        (SAFE, LATER, True),
    ],
)
def test_a_bank_that_forgets_with_its_day_gets_no_repeat_on_the_next(
    rules: Rules, day_ends_ms: int | None, allowed: bool
) -> None:
    assert (step(doubt(rules), Replay(LATER, day_ends_ms)).rule == "replay") == allowed
    assert guards.may_leave_again(doubt(rules), LATER, day_ends_ms) == allowed


def test_nothing_is_repeated_after_its_validity() -> None:
    life = doubt(SAFE, valid_until_ms=LATER + 10)
    assert step(life, Replay(LATER + 9)).rule == "replay"
    assert step(life, Replay(LATER + 10)).rule == "replay_refused"
    assert not replay_due(step(life, not_found(LATER + 10)))
    assert not guards.may_leave_again(step(life, Replay(LATER + 9)).life, LATER + 10, None)


def test_what_never_left_cannot_leave_again() -> None:
    assert not guards.may_leave_again(life_in(State.READY, rules=SAFE), LATER, None)


def test_a_no_to_a_repeat_is_doubt_and_only_a_later_enquiry_makes_it_failed() -> None:
    repeat = step(doubt(SAFE), Replay(LATER)).life
    refused = step(repeat, Answered(LATER + 5, Fate.FAILED, Source.SUBMIT, attempt=2))
    assert (refused.rule, refused.life.state) == ("repeat_refused", State.IN_DOUBT)
    older = step(refused.life, Answered(LATER + 9, Fate.FAILED, Source.ENQUIRY, LATER))
    assert (older.rule, older.life.state) == ("asked_failed_overtaken", State.IN_DOUBT)
    early = step(refused.life, Answered(LATER + 9, Fate.FAILED, Source.ENQUIRY, LATER + 6))
    assert early.life.state is State.IN_DOUBT, "the copy that left last may still be under way"
    arrived_ms = LATER + SAFE.quarantine_ms
    late = step(refused.life, Answered(arrived_ms + 1, Fate.FAILED, Source.ENQUIRY, arrived_ms))
    assert late.life.state is State.FAILED


def test_sends_that_did_not_leave_are_no_copies_however_many() -> None:
    life = life_in(State.READY, attempt=0)
    for at_ms in (T, T + 100, T + 200):
        life = step(step(life, Send(at_ms)).life, NotSent(at_ms + 1, "refused", at_ms + 50)).life
        assert (life.state, life.first_write_ms, life.last_write_ms) == (State.READY, None, None)
    refused = step(step(life, Send(T + 300)).life, Answered(T + 301, Fate.FAILED, Source.SUBMIT, attempt=4))
    assert refused.rule == "sent_failed"


def test_a_no_to_what_people_sent_once_more_speaks_of_that_copy_alone() -> None:
    resent = step(step(life_in(State.IN_DOUBT), Resolve(T + 10, None)).life, Send(T + 20)).life
    refused = step(resent, Answered(T + 21, Fate.FAILED, Source.SUBMIT, attempt=2))
    assert (refused.rule, refused.life.state) == ("repeat_refused", State.IN_DOUBT)
    late = step(step(resent, Silent(T + 21, "x", 2)).life, Answered(T + 30, Fate.FAILED, Source.SUBMIT, attempt=2))
    assert late.rule == "asked_failed_overtaken"
    asked = step(refused.life, Answered(LATER + 30, Fate.FAILED, Source.ENQUIRY, LATER + 29))
    assert asked.life.state is State.FAILED


def test_an_older_no_about_another_copy_is_no_contradiction() -> None:
    settled = step(step(doubt(SAFE), Replay(LATER)).life, Answered(LATER + 9, Fate.SETTLED, Source.SUBMIT)).life
    older = step(settled, Answered(LATER + 20, Fate.FAILED, Source.ENQUIRY, LATER + 8))
    assert older.rule == "settled_overtaken" and Alarm("contradiction") not in older.effects
    newer = step(settled, Answered(LATER + 20, Fate.FAILED, Source.ENQUIRY, LATER + 10))
    assert newer.rule == "settled_contradicted"
    its_own = step(settled, Answered(LATER + 20, Fate.FAILED, Source.SUBMIT, attempt=2))
    assert its_own.rule == "settled_overtaken", "the repeat is refused, as one that is too many may be"
    once = step(life_in(State.SENDING), Answered(T + 9, Fate.SETTLED, Source.SUBMIT)).life
    assert step(once, Answered(T + 20, Fate.FAILED, Source.ENQUIRY, T + 8)).rule == "settled_contradicted"


def test_an_enquiry_cannot_speak_for_a_copy_that_is_under_way() -> None:
    repeat = step(doubt(SAFE), Replay(LATER)).life
    for fate in (Fate.FAILED, Fate.NOT_FOUND, Fate.UNKNOWN, Fate.DUPLICATE):
        for asked_ms in (LATER - 5, LATER + 5):
            decided = step(repeat, Answered(LATER + 6, fate, Source.ENQUIRY, asked_ms))
            assert (decided.rule, decided.life) == ("sent_overtaken", repeat)
    assert step(repeat, Answered(LATER + 6, Fate.SETTLED, Source.ENQUIRY, LATER - 5)).life.state is State.SETTLED


def test_enough_repeats_are_enough_and_people_hear_of_it() -> None:
    life, now_ms = doubt(SAFE), LATER
    for n in range(SAFE.most_repeats):
        assert replay_due(step(life, not_found(now_ms)))
        life = step(step(life, Replay(now_ms)).life, Silent(now_ms, "no_answer", attempt=n + 2)).life
        assert life.repeats == n + 1
        now_ms += SAFE.quarantine_ms
    events: tuple[Event, ...] = (not_found(now_ms), AskedInVain(now_ms, "down"))
    for event in events:
        decided = step(life, event)
        assert step(decided.life, Replay(now_ms)).rule == "replay_moot"
        assert decided.life.state is State.ESCALATED and Alarm("repeats_used_up") in decided.effects
        assert any(isinstance(e, ScheduleWork) and e.work is Work.ENQUIRE for e in decided.effects), "asking goes on"


def test_one_repeat_is_enough_where_one_is_all_that_is_wanted() -> None:
    life = doubt(replace(SAFE, most_repeats=1), repeats=1, attempt=2)
    assert step(life, not_found(LATER)).rule == "repeats_used_up"


def test_people_who_are_on_it_are_not_overtaken_by_a_repeat() -> None:
    assert step(life_in(State.ESCALATED, rules=SAFE), Replay(LATER)).rule == "replay_moot"
    assert not replay_due(step(life_in(State.ESCALATED, rules=SAFE), not_found(LATER)))
    assert WorkDone(Work.REPLAY) in step(doubt(SAFE), Overdue(LATER)).effects


@pytest.mark.parametrize("fate", [Fate.SETTLED, Fate.FAILED, None])
def test_persons_decide_only_about_what_they_saw(fate: Fate | None) -> None:
    again = step(step(doubt(SAFE), Replay(LATER)).life, Silent(LATER, "no_answer")).life
    decided = step(again, Resolve(LATER + 1, fate, attempt=1))
    assert decided.life.state is State.IN_DOUBT and Deny(Code.TOO_LATE) in decided.effects
    assert step(again, Resolve(LATER + 1, fate, attempt=2)).life.state is not State.IN_DOUBT
