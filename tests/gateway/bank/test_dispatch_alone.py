"""Dispatch alone, in borderline cases: when bytes may be sent, and what happens to the session, the conversation and
the payment."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.bank.connection import NoAnswer
from gateway.bank.key_trouble import KeyTrouble, NotSigned
from gateway.kernel.cluster.lane_pauses import PauseState
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import Evidence, PaymentRow
from gateway.kernel.core.states import Answered, Hold, NotSent, Policy, Rules, Silent, Source, Work
from protocols.canon.outcome import Fate, Outcome, State
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.gateway.bank.dispatch_alone import (
    DAY,
    DISTRUSTED,
    IN_ORDER,
    NOW_MS,
    SETTLED,
    SIGNED_OUT,
    UNREACHABLE,
    DispatchAlone,
    conflict,
    in_doubt,
    row,
)
from tests.protocols.erp.orders import ORDER

KEY_GONE = KeyTrouble("token_gone", "token bank: TokenNotPresent", NOW_MS)

# ---- whether a payment may leave ----


def test_what_is_ready_leaves_and_the_banks_word_is_recorded() -> None:
    alone = DispatchAlone().carry()
    assert alone.line.wrote == [b"money"] and alone.given == [IN_ORDER] and alone.later == []
    [(event, evidence, _, epoch)] = alone.recorded
    assert event == Answered(NOW_MS, Fate.SETTLED, Source.SUBMIT, attempt=1) and epoch == 1
    assert evidence == Evidence(Source.SUBMIT, b"yes", Fate.SETTLED, "0", "done")


def test_the_bank_is_told_which_attempt_it_is() -> None:
    assert DispatchAlone().carry().contexts == [("R1", 1)] and DispatchAlone(attempt=2).carry().contexts == [("R1", 3)]


def test_a_payment_that_is_gone_or_not_ready_any_more_costs_nothing_but_the_look() -> None:
    for row_now in (None, row(State.CANCELLED), row(State.SENDING)):
        alone = DispatchAlone()
        alone.row = row_now
        alone.carry()
        assert alone.given == [IN_ORDER] and not alone.said and not alone.commits and not alone.later


@pytest.mark.parametrize(("until_ms", "leaves"), [(NOW_MS - 1, False), (NOW_MS, False), (NOW_MS + 1, True)])
def test_validity_ends_at_its_moment(until_ms: int, leaves: bool) -> None:
    alone = DispatchAlone(valid_until_ms=until_ms).carry()
    assert bool(alone.line.wrote) == leaves and not alone.later and alone.given == [IN_ORDER]


@pytest.mark.parametrize(
    ("opens_ms", "after_ms", "leased", "wanted_ms"),
    [
        (NOW_MS, None, True, None),
        (NOW_MS, NOW_MS, True, None),
        (NOW_MS, NOW_MS - 9, True, None),
        (NOW_MS + 1, None, True, NOW_MS + 1),
        (NOW_MS + 60, NOW_MS + 70, True, NOW_MS + 70),
        (NOW_MS + 70, NOW_MS + 60, True, NOW_MS + 70),
        (NOW_MS, None, False, NOW_MS + 2_000),
        (NOW_MS + 9_000, None, False, NOW_MS + 9_000),
    ],
)
def test_it_waits_for_the_banks_hours_its_own_hour_and_the_lease(
    opens_ms: int, after_ms: int | None, leased: bool, wanted_ms: int | None
) -> None:
    alone = DispatchAlone(send_after_ms=after_ms)
    alone.calendar.next_open_ms, alone.lease.holds = lambda _at_ms: opens_ms, leased
    alone.carry()
    assert alone.later == ([] if wanted_ms is None else [(wanted_ms, Work.SEND)])
    assert alone.line.wrote == ([b"money"] if wanted_ms is None else []) and alone.given == [IN_ORDER]
    assert alone.commits == (1 if wanted_ms is None else 0)


# ---- before the commit ----


@pytest.mark.parametrize(
    ("trouble", "given", "wait_ms"),
    [
        (Outcome(Fate.UNKNOWN, "7", "not today"), IN_ORDER, 30_000),
        (Declined("token", "9", "come back later", "retry"), IN_ORDER, 30_000),
        (Declined("token", "9", "who are you", "signed_out"), SIGNED_OUT, 30_000),
    ],
)
def test_a_bank_that_does_not_get_as_far_as_the_money_is_tried_again_in_half_a_minute(
    trouble: Exception | Outcome, given: tuple[bool, bool], wait_ms: int
) -> None:
    alone = DispatchAlone()
    alone.before = trouble
    alone.carry()
    assert alone.given == [given] and alone.later == [(NOW_MS + wait_ms, Work.SEND)]
    assert not alone.commits and not alone.recorded


@pytest.mark.parametrize("trouble", [UNREACHABLE, NoAnswer("no_answer", written=True)])
def test_without_a_connection_it_is_tried_again_in_two_seconds(trouble: Exception) -> None:
    alone = DispatchAlone()
    alone.session.carries = trouble
    alone.carry()
    assert alone.given == [DISTRUSTED] and alone.later == [(NOW_MS + 2_000, Work.SEND)]
    assert alone.closed() and not alone.commits and not alone.recorded


def test_without_a_signature_it_stays_ready_and_its_session_stays_good() -> None:
    alone = DispatchAlone()
    alone.before = NotSigned("order", KEY_GONE)
    alone.carry()
    assert alone.given == [IN_ORDER] and alone.later == [(NOW_MS + 2_000, Work.SEND)]
    assert alone.closed() and not alone.commits and not alone.recorded and not alone.line.wrote


def test_while_the_key_is_known_to_be_gone_no_message_is_begun() -> None:
    alone = DispatchAlone()
    alone.keys_gone = {"order": KEY_GONE}
    alone.carry()
    assert alone.later == [(NOW_MS + 2_000, Work.SEND)] and alone.given == [IN_ORDER]
    assert not alone.said and not alone.commits and not alone.recorded


def test_a_signature_that_fails_after_the_answer_is_doubt_and_the_lane_goes_on() -> None:
    alone = DispatchAlone()
    alone.result = NotSigned("order", KEY_GONE)
    alone.carry()
    [(event, evidence, _, _epoch)] = alone.recorded
    assert event == Silent(NOW_MS, "bad_answer:key_gone", 1)
    assert evidence == Evidence(Source.SUBMIT, b"yes", note="bad_answer:key_gone")


@pytest.mark.parametrize("why", ["no_session", "not_its_time"])
def test_a_thousand_that_stay_one_after_the_other_do_not_call_each_other(why: str) -> None:
    """Each gives its session to the next one, which waits for the same account. Once, that was a RecursionError."""
    alone = DispatchAlone(send_after_ms=NOW_MS + 1 if why == "not_its_time" else None)
    alone.session.carries = UNREACHABLE
    done: list[object] = []
    begun = [0]

    def next_one(**_how: bool) -> None:
        begun[0] += 1
        if begun[0] <= 1_000:
            Deferred.fromCoroutine(alone.dispatch.carry(alone.session, "P")).addBoth(done.append)

    alone.session.release = next_one
    next_one()
    alone.clock.advance(0.001)
    assert done == [None] * 1_000 and len(alone.later) == 1_000


def test_what_cannot_be_said_to_the_bank_is_held_for_a_person() -> None:
    alone = DispatchAlone()
    alone.before = ProtocolError("value", "no word for it")
    alone.carry()
    assert alone.given == [IN_ORDER] and alone.later == [] and not alone.commits
    assert alone.recorded == [(Hold(NOW_MS, "cannot_be_prepared"), None, State.READY, 1)]


@pytest.mark.parametrize(
    ("before", "again"),
    [(row(), True), (row(epoch=0), True), (row(epoch=2), False), (row(State.CANCELLED), False), (None, False)],
    ids=["newer", "older_epoch", "other_owner", "cancelled", "gone"],
)
def test_what_changed_meanwhile_is_looked_at_again_while_it_is_ready_and_ours(
    before: PaymentRow | None, again: bool
) -> None:
    alone = DispatchAlone()
    alone.applied = conflict(before)
    alone.carry()
    assert alone.line.wrote == [] and alone.given == [IN_ORDER] and alone.closed() and not alone.recorded
    assert alone.later == ([(NOW_MS, Work.SEND)] if again else [])


# ---- the last gate ----


def refused(alone: DispatchAlone, reason: str, attempt: int = 1) -> bool:
    """Whether nothing was sent, for this reason, and session, conversation and payment were put in order again."""
    [(event, evidence, _, epoch)] = alone.recorded
    told = event == NotSent(NOW_MS, reason, NOW_MS + 2_000, attempt) and evidence is None and epoch == 1
    counted = alone.meters.permits_refused.labels("b")._value.get() == 1 and alone.requests("not_sent") == 1
    return told and counted and alone.given == [DISTRUSTED] and alone.line.wrote == []


def test_without_a_permit_nothing_leaves() -> None:
    alone = DispatchAlone()
    asked: list[tuple[int, float]] = []
    alone.lease.permits = lambda *about: asked.append(about)
    assert refused(alone.carry(), "permit_refused") and alone.closed()
    assert asked == [(1, NOW_MS / 1000)]


@pytest.mark.parametrize(("late_ms", "leaves"), [(-1, True), (0, False), (1, False)])
def test_an_order_that_ends_during_the_commit_does_not_leave(late_ms: int, leaves: bool) -> None:
    alone = DispatchAlone(valid_until_ms=NOW_MS + 5)
    commit = alone.write

    def slow(unit: object) -> Deferred[Applied]:
        alone.parts.clock.now_ms = lambda: NOW_MS + 5 + late_ms
        return commit(unit)

    alone.parts.store = SimpleNamespace(write=slow)
    alone.carry()
    assert bool(alone.line.wrote) == leaves
    if not leaves:
        assert alone.recorded[0][0].reason == "expired"


def test_a_banks_window_for_repeats_is_no_matter_of_first_sends() -> None:
    assert DispatchAlone(rules=Rules(Policy.REPLAY_SAFE, quarantine_ms=2_000, window_ms=1_000)).carry().line.wrote == [
        b"money"
    ]
    alone = in_doubt(rules=Rules(Policy.REPLAY_SAFE, quarantine_ms=2_000, window_ms=1_000))
    assert refused(alone.repeat(), "window_closed", attempt=2)


@pytest.mark.parametrize("now", [{"replay": Policy.NEVER}, {"most_repeats": 0}])
def test_a_repeat_that_the_settings_forbid_by_now_does_not_leave(now: dict[str, Any]) -> None:
    alone = in_doubt()
    alone.parts.rules_of = lambda row: replace(row.life.rules, **now)
    assert refused(alone.repeat(), "window_closed", attempt=2)


def test_a_first_send_names_todays_date_and_a_repeat_that_of_the_first() -> None:
    for alone, day in ((DispatchAlone(), DAY), (in_doubt(), None)):
        asked: list[date | None] = []
        alone.calendar.shut = lambda day, asked=asked: asked.append(day) or "bank_closed"
        if day is None:
            assert refused(alone.repeat(), "bank_closed", attempt=2)
        else:
            assert refused(alone.carry(), "bank_closed")
        assert asked == [day]


@pytest.mark.parametrize("repeats", [False, True])
def test_a_lane_that_is_paused_during_the_commit_lets_nothing_leave(repeats: bool) -> None:
    alone = in_doubt() if repeats else DispatchAlone()
    commit = alone.write

    def paused_meanwhile(unit: object) -> Deferred[Applied]:
        alone.gate.pause("operator")
        return commit(unit)

    alone.parts.store = SimpleNamespace(read=alone.read, write=paused_meanwhile)
    assert refused(alone.repeat() if repeats else alone.carry(), "paused", attempt=2 if repeats else 1)


@pytest.mark.parametrize("repeats", [False, True])
def test_on_a_paused_lane_nothing_is_written_down_for_nothing(repeats: bool) -> None:
    alone = in_doubt() if repeats else DispatchAlone()
    alone.gate.pause("operator")
    alone.repeat() if repeats else alone.carry()
    assert alone.later == [(NOW_MS + 2_000, Work.REPLAY if repeats else Work.SEND)]
    assert not alone.commits and not alone.recorded and alone.given == [IN_ORDER] and alone.line.wrote == []


@pytest.mark.parametrize("repeats", [False, True])
def test_a_company_that_is_paused_during_the_commit_lets_nothing_leave(repeats: bool) -> None:
    alone = in_doubt() if repeats else DispatchAlone()
    commit = alone.write

    def paused_meanwhile(unit: object) -> Deferred[Applied]:
        alone.parts.companies.apply({"c": PauseState(1, paused=True)})
        return commit(unit)

    alone.parts.store = SimpleNamespace(read=alone.read, write=paused_meanwhile)
    assert refused(alone.repeat() if repeats else alone.carry(), "company_paused", attempt=2 if repeats else 1)


@pytest.mark.parametrize("repeats", [False, True])
def test_of_a_paused_company_nothing_is_written_down_for_nothing(repeats: bool) -> None:
    alone = in_doubt() if repeats else DispatchAlone()
    alone.parts.companies.apply({"c": PauseState(1, paused=True)})
    alone.repeat() if repeats else alone.carry()
    assert alone.later == [(NOW_MS + 2_000, Work.REPLAY if repeats else Work.SEND)]
    assert not alone.commits and not alone.recorded and alone.given == [IN_ORDER] and alone.line.wrote == []


# ---- after the first byte ----


def test_a_connection_that_was_gone_is_proof_that_nothing_left() -> None:
    alone = DispatchAlone()
    alone.line.answers = [NoAnswer("connection_gone", written=False)]
    alone.carry()
    assert [event for event, *_ in alone.recorded] == [NotSent(NOW_MS, "connection_gone", NOW_MS + 2_000, 1)]
    assert alone.given == [DISTRUSTED] and alone.closed() and alone.requests("not_sent") == 1
    assert alone.meters.permits_refused.labels("b")._value.get() == 0, "no gate stopped it"


def test_a_lease_that_ended_while_the_message_was_sealed_is_counted_like_one_before() -> None:
    alone = DispatchAlone()
    alone.line.answers = [NoAnswer("permit_refused", written=False)]
    alone.carry()
    assert [event for event, *_ in alone.recorded] == [NotSent(NOW_MS, "permit_refused", NOW_MS + 2_000, 1)]
    assert alone.given == [DISTRUSTED] and alone.closed() and alone.meters.permits_refused.labels("b")._value.get() == 1


@pytest.mark.parametrize("partial", [b"", b"half an an"])
def test_silence_is_doubt_and_what_was_heard_of_the_answer_is_kept(partial: bytes) -> None:
    alone = DispatchAlone()
    alone.line.answers = [NoAnswer("no_answer", written=True, partial=partial)]
    alone.carry()
    [(event, evidence, _, epoch)] = alone.recorded
    assert event == Silent(NOW_MS, "no_answer", 1) and epoch == 1
    assert evidence == (Evidence(Source.SUBMIT, partial, note="no_answer") if partial else None)
    assert alone.given == [DISTRUSTED] and alone.closed() and alone.requests("silent") == 1


@pytest.mark.parametrize(
    ("trouble", "reason", "given", "counted"),
    [
        (NoAnswer("connection_gone", written=False), "connection_gone", DISTRUSTED, "silent"),
        (UNREACHABLE, "not_connected:refused", DISTRUSTED, "silent"),
        (ProtocolError("value", "nonsense"), "bad_answer:value", DISTRUSTED, "bad_answer"),
        (Declined("status", "9", "who are you", "signed_out"), "bad_answer:value", (True, True), "refused"),
    ],
)
def test_what_goes_wrong_once_there_was_an_answer_is_doubt_with_that_answer_as_evidence(
    trouble: Exception, reason: str, given: tuple[bool, bool], counted: str
) -> None:
    alone = DispatchAlone()
    alone.result = trouble
    alone.carry()
    [(event, evidence, _, epoch)] = alone.recorded
    assert event == Silent(NOW_MS, reason, 1) and epoch == 1
    assert evidence == Evidence(Source.SUBMIT, b"yes", note=reason)
    assert alone.given == [given] and alone.requests(counted) == 1


def test_a_defect_once_there_was_an_answer_is_doubt_and_goes_on_to_stop_the_lane() -> None:
    alone = DispatchAlone()
    alone.result = ZeroDivisionError("planted")
    done: list[Any] = []
    Deferred.fromCoroutine(alone.dispatch.carry(alone.session, "P")).addBoth(done.append)
    assert done[0].check(ZeroDivisionError)
    [(event, evidence, _, epoch)] = alone.recorded
    assert event == Silent(NOW_MS, "adapter_defect", 1) and evidence == Evidence(Source.SUBMIT, b"yes") and epoch == 1
    assert alone.given == [DISTRUSTED]


@pytest.mark.parametrize(
    ("outcome", "counted", "unlisted"),
    [
        (SETTLED, "ok", 0),
        (Outcome(Fate.PENDING), "ok", 0),
        (Outcome(Fate.FAILED), "refused", 0),
        (Outcome(Fate.UNKNOWN), "in_doubt", 0),
        (Outcome(Fate.UNKNOWN, "Z9", listed=False), "unlisted_code", 1),
    ],
)
def test_an_answer_is_counted_as_what_it_was(outcome: Outcome, counted: str, unlisted: int) -> None:
    alone = DispatchAlone()
    alone.result = outcome
    alone.carry()
    assert alone.requests(counted) == 1 and alone.given == [IN_ORDER]
    assert alone.meters.unlisted_codes.labels("b", ORDER.kind.value)._value.get() == unlisted
