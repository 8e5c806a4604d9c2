"""The table of a payment's life: total, honest about what is known, and never the cause of a second payment."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import flow
from gateway.core.flow import TABLE, Impossible, born, step
from gateway.core.states import (
    Alarm,
    Answered,
    AskedInVain,
    Cancel,
    Deny,
    Done,
    Due,
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
    Send,
    Silent,
    Source,
    TakenOver,
    Tell,
    Work,
)
from protocols.canon.errors import Code
from protocols.canon.outcome import STATE_TABLE, Certainty, Fate, State

T = 1_000_000_000_000
ASKING = {State.PENDING, State.IN_DOUBT, State.ESCALATED}
BEFORE = {State.ACCEPTED, State.HELD, State.READY}

EVENTS: dict[str, Event] = {
    "release": Release(T, T), "hold": Hold(T, "approval"), "reject": Reject(T, Code.VALIDATION), "cancel": Cancel(T),
    "expire": Expire(T), "send": Send(T), "not_sent": NotSent(T, "refused", T + 2000), "silent": Silent(T, "no_answer"),
    "taken_over": TakenOver(T), "asked_in_vain": AskedInVain(T, "down"), "overdue": Overdue(T),
    "resolve_settled": Resolve(T, Fate.SETTLED), "resolve_failed": Resolve(T, Fate.FAILED),
    "resolve_resend": Resolve(T, None), "replay": Replay(T),
    **{f"answered_{fate.value}": Answered(T, fate, Source.ENQUIRY, T) for fate in Fate},
}  # fmt: skip

# What a correct gateway never does: these must fail loudly and stop the lane, not be shrugged off.
IMPOSSIBLE = (
    {(state, "send") for state in State if state is not State.READY}
    | {(state, "not_sent") for state in State if state is not State.SENDING}
    | {(state, "taken_over") for state in State if state is not State.SENDING}
    | {(state, "release") for state in State if state not in (State.ACCEPTED, State.HELD)}
    | {(state, "hold") for state in State if state not in (State.ACCEPTED, State.READY)}
    | {(state, "reject") for state in State if state not in (State.ACCEPTED, State.HELD)}
    | {(state, f"answered_{fate.value}") for state in (State.ACCEPTED, State.HELD) for fate in Fate}
)


def life_in(state: State, **changes: object) -> Life:
    sent = state not in BEFORE | {State.REJECTED, State.CANCELLED, State.EXPIRED}
    life = Life(state, seq=3, attempt=1 if sent else 0, first_write_ms=T if sent else None,
                last_write_ms=T if sent else None)  # fmt: skip
    return replace(life, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("state", "name"), list(product(State, EVENTS)), ids=lambda x: getattr(x, "value", x))
def test_every_state_and_event_has_exactly_one_outcome(state: State, name: str) -> None:
    if (state, name) in IMPOSSIBLE:
        with pytest.raises(Impossible):
            step(life_in(state), EVENTS[name])
    else:
        step(life_in(state), EVENTS[name])


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)
def test_every_row_can_be_reached_and_says_why(rule: flow.Rule) -> None:
    assert rule.why
    reached = set()
    for state, event in product(rule.before, EVENTS.values()):
        for policy, replaying in product(Policy, (False, True)):
            life = life_in(state, rules=Rules(policy, window_ms=None), replaying=replaying)
            try:
                reached.add(step(life, event).rule)
            except Impossible:
                continue
    assert rule.name in reached


def test_rule_names_are_unique() -> None:
    assert len({rule.name for rule in TABLE}) == len(TABLE)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", EVENTS)
def test_only_the_banks_word_or_two_persons_make_failed_or_settled(state: State, name: str) -> None:
    if (state, name) in IMPOSSIBLE or state in (State.SETTLED, State.FAILED):
        return
    after = step(life_in(state), EVENTS[name]).life.state
    if after is State.SETTLED:
        assert name in ("answered_settled", "resolve_settled")
    if after is State.FAILED:
        assert name in ("answered_failed", "resolve_failed")


@pytest.mark.parametrize("state", [State.SENDING, *sorted(ASKING)])
@pytest.mark.parametrize("fate", [Fate.UNKNOWN, Fate.NOT_FOUND, Fate.DUPLICATE, Fate.PENDING])
def test_no_word_short_of_yes_or_no_ends_a_payment(state: State, fate: Fate) -> None:
    after = step(life_in(state), Answered(T, fate, Source.ENQUIRY, T))
    assert after.life.state in ASKING
    assert any(isinstance(e, Due) and e.work is Work.ENQUIRE and e.at_ms > T for e in after.effects)


@pytest.mark.parametrize("state", sorted(ASKING))
def test_asking_never_ends_by_count(state: State) -> None:
    life, now_ms, gaps = life_in(state), T, []
    for _ in range(500):
        decided = step(life, AskedInVain(now_ms, "down"))
        due = [e for e in decided.effects if isinstance(e, Due) and e.work is Work.ENQUIRE]
        assert len(due) == 1
        gaps.append(due[0].at_ms - now_ms)
        life, now_ms = decided.life, due[0].at_ms
    assert max(gaps) <= flow.ESCALATED_MS
    assert gaps == sorted(gaps)
    assert gaps[-1] == (flow.ESCALATED_MS if state is State.ESCALATED else flow.STEADY_MS)


def test_the_first_enquiries_follow_the_plan() -> None:
    life = step(life_in(State.SENDING, asked=9), Silent(T, "no_answer")).life
    gaps = []
    for _ in range(len(flow.ENQUIRY_PLAN_MS)):
        gaps.append(flow.enquiry_gap_ms(life))
        life = step(life, AskedInVain(T, "down")).life
    assert gaps == list(flow.ENQUIRY_PLAN_MS)


def test_a_bank_that_wants_patience_gets_it() -> None:
    life = life_in(State.IN_DOUBT, rules=Rules(first_enquiry_ms=300_000))
    assert flow.enquiry_gap_ms(life) == 300_000
    assert flow.enquiry_gap_ms(replace(life, asked=2)) == 300_000


@pytest.mark.parametrize(("asked_ms", "counts"), [(T + 599_999, 0), (T + 600_000, 1), (None, 0)])
def test_not_found_counts_only_when_asked_after_the_quarantine(asked_ms: int | None, counts: int) -> None:
    answer = Answered(T + 900_000, Fate.NOT_FOUND, Source.ENQUIRY, asked_ms)
    assert step(life_in(State.IN_DOUBT), answer).life.not_found == counts


@pytest.mark.parametrize(
    ("rules", "not_found", "at_ms", "allowed"),
    [
        (Rules(Policy.NEVER), 99, T + 1, False),
        (Rules(Policy.QUERY_FIRST, not_found_needed=2), 1, T + 1, False),
        (Rules(Policy.QUERY_FIRST, not_found_needed=2), 2, T + 1, True),
        (Rules(Policy.REPLAY_SAFE, window_ms=None), 0, T + 10**10, True),
        (Rules(Policy.REPLAY_SAFE, quarantine_ms=1_000, window_ms=10_000), 0, T + 8_999, True),
        (Rules(Policy.REPLAY_SAFE, quarantine_ms=1_000, window_ms=10_000), 0, T + 9_000, False),
    ],
)
def test_replay_only_where_the_banks_rules_allow_it(rules: Rules, not_found: int, at_ms: int, allowed: bool) -> None:
    decided = step(life_in(State.IN_DOUBT, rules=rules, not_found=not_found), Replay(at_ms))
    assert (decided.life.state is State.SENDING) == allowed
    assert decided.life.attempt == (2 if allowed else 1)


def test_a_repeat_that_did_not_leave_is_still_in_doubt_and_a_first_send_is_ready() -> None:
    not_sent = NotSent(T, "permit_refused", T + 2_000)
    assert step(life_in(State.SENDING, replaying=True, attempt=2), not_sent).life.state is State.IN_DOUBT
    ready = step(life_in(State.SENDING), not_sent)
    assert ready.life.state is State.READY and ready.life.first_write_ms is None
    assert Due(Work.SEND, T + 2_000) in ready.effects and Done(Work.ESCALATE) in ready.effects


@pytest.mark.parametrize(("state", "fate"), [
    (State.SETTLED, Fate.FAILED), (State.FAILED, Fate.SETTLED), (State.FAILED, Fate.PENDING),
    (State.CANCELLED, Fate.SETTLED), (State.EXPIRED, Fate.PENDING), (State.REJECTED, Fate.SETTLED),
    (State.READY, Fate.SETTLED), (State.RETURNED, Fate.FAILED),
])  # fmt: skip
def test_a_contradiction_is_told_and_never_written_over(state: State, fate: Fate) -> None:
    decided = step(life_in(state), Answered(T, fate, Source.LATE))
    assert Alarm("contradiction") in decided.effects
    assert any(isinstance(e, Tell) and e.event == "payment.correction" for e in decided.effects)
    assert decided.life.state is (State.ESCALATED if state is State.READY else state)


def test_a_payment_the_bank_knows_before_we_sent_it_is_not_sent_any_more() -> None:
    decided = step(life_in(State.READY), Answered(T, Fate.SETTLED, Source.STATEMENT))
    assert Done(Work.SEND) in decided.effects


@pytest.mark.parametrize("state", [s for s in State if s not in BEFORE])
def test_cancelling_after_the_send_is_denied(state: State) -> None:
    decided = step(life_in(state), Cancel(T))
    assert decided.effects == (Deny(Code.TOO_LATE),) and decided.life.state is state


def test_returned_money_is_watched_for_until_the_bank_can_return_no_more() -> None:
    rules = Rules(returns_watch_ms=3_000, returns_every_ms=1_000)
    settled = step(life_in(State.SENDING, rules=rules), Answered(T, Fate.SETTLED, Source.SUBMIT))
    assert Due(Work.RETURNS, T + 1_000) in settled.effects
    again = step(settled.life, Answered(T + 1_000, Fate.SETTLED, Source.RETURNS))
    assert again.effects == (Due(Work.RETURNS, T + 2_000),)
    last = step(settled.life, AskedInVain(T + 2_500, "down"))
    assert Done(Work.RETURNS) in last.effects
    back = step(settled.life, Answered(T + 1_000, Fate.RETURNED, Source.RETURNS))
    assert back.life.state is State.RETURNED and Done(Work.RETURNS) in back.effects


def test_sent_is_told_to_subscribers_only_and_takes_no_number_otherwise() -> None:
    quiet = step(life_in(State.READY), Send(T))
    loud = step(life_in(State.READY, tell_sent=True), Send(T))
    assert not any(isinstance(e, Tell) for e in quiet.effects) and quiet.life.seq == 3
    assert Tell("payment.sent") in loud.effects and loud.life.seq == 4


EVENT_KINDS = st.sampled_from(sorted(EVENTS))


@given(st.lists(st.tuples(EVENT_KINDS, st.integers(0, 10**9)), max_size=60), st.sampled_from(list(Policy)))
def test_any_history_keeps_the_promises(history: list[tuple[str, int]], policy: Policy) -> None:
    life, now_ms, sends = born(Rules(policy, window_ms=1_000_000), valid_until_ms=T), T, 0
    for name, passed_ms in history:
        now_ms += passed_ms
        event = replace(EVENTS[name], at_ms=now_ms)
        try:
            decided = step(life, event)
        except Impossible:
            assert (life.state, name) in IMPOSSIBLE
            continue
        before, life = life, decided.life
        tells = [e for e in decided.effects if isinstance(e, Tell)]
        assert life.seq == before.seq + len(tells), "every event has its own number"
        if before.state is not life.state and STATE_TABLE[life.state].event and not STATE_TABLE[life.state].optional:
            assert STATE_TABLE[life.state].event in [e.event for e in tells], "a change of state is told"
        if life.state is State.SENDING and before.state is not State.SENDING:
            assert life.attempt == before.attempt + 1
            if policy is Policy.NEVER and name == "replay":
                raise AssertionError("a repeat where the bank forbids it")
            sends += 1
        if STATE_TABLE[before.state].certainty is Certainty.UNKNOWN and life.state in BEFORE:
            assert name in ("not_sent", "resolve_resend"), "only proof or persons lead back before the send"
        if life.state in ASKING and name.startswith(("answered", "asked")) and before.state is not life.state:
            assert any(isinstance(e, Due) and e.work is Work.ENQUIRE for e in decided.effects)
    assert life.attempt == sends
