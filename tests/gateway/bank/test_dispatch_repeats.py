"""Repeats of Dispatch alone, in borderline cases: when the stored bytes may be sent once more, and the payment's state
afterwards."""

from __future__ import annotations

import pytest

from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.core.states import Answered, NotSent, Policy, Rules, Source, Work
from protocols.canon.outcome import Fate, State
from tests.gateway.bank.dispatch_alone import (
    DISTRUSTED,
    IN_ORDER,
    NOW_MS,
    UNREACHABLE,
    DispatchAlone,
    conflict,
    in_doubt,
    row,
)


def test_a_repeat_is_the_stored_bytes_again() -> None:
    alone = in_doubt().repeat()
    assert alone.line.wrote == [b"stored"] and alone.given == [IN_ORDER] and alone.later == []
    [(event, _, _, _)] = alone.recorded
    assert event == Answered(NOW_MS, Fate.SETTLED, Source.SUBMIT, attempt=2)


def test_a_repeat_of_what_is_gone_gives_the_berth_back() -> None:
    alone = in_doubt()
    alone.row = None
    alone.repeat()
    assert alone.given == [IN_ORDER] and not alone.commits and not alone.later


@pytest.mark.parametrize("state", [State.SETTLED, State.SENDING])
def test_a_repeat_of_what_is_not_in_doubt_says_nothing_to_the_bank(state: State) -> None:
    alone = in_doubt(state=state)
    assert alone.row is not None
    alone.applied = Applied(alone.row, alone.row, None, conflict=False)
    alone.calendar.next_open_ms = lambda at_ms: at_ms + 60
    alone.repeat()
    assert alone.commits == 1, "the work is taken off the journal"
    assert alone.line.wrote == [] and alone.given == [IN_ORDER] and not alone.recorded and not alone.later


@pytest.mark.parametrize(
    ("opens_ms", "leased", "trusted", "wanted_ms"),
    [
        (NOW_MS, True, True, None),
        (NOW_MS + 1, True, True, NOW_MS + 1),
        (NOW_MS, False, True, NOW_MS + 2_000),
        (NOW_MS + 9_000, False, True, NOW_MS + 9_000),
        (NOW_MS, True, False, NOW_MS + 600_000),
        (NOW_MS + 1, True, False, NOW_MS + 1),
    ],
)
def test_a_repeat_waits_for_the_banks_hours_the_lease_and_a_clock_that_can_be_trusted(
    opens_ms: int, leased: bool, trusted: bool, wanted_ms: int | None
) -> None:
    alone = in_doubt()
    alone.calendar.next_open_ms, alone.lease.holds = lambda _at_ms: opens_ms, leased
    alone.clock_trust.trusted = lambda: trusted
    alone.repeat()
    assert alone.later == ([] if wanted_ms is None else [(wanted_ms, Work.REPLAY)])
    assert alone.line.wrote == ([b"stored"] if wanted_ms is None else []) and alone.given == [IN_ORDER]
    assert alone.commits == (1 if wanted_ms is None else 0)


def test_a_repeat_waits_until_this_node_has_had_the_lane_for_a_quarantine() -> None:
    alone = in_doubt()
    alone.clock_trust.quarantine_left_ms = lambda quarantine_ms: quarantine_ms // 2
    alone.repeat()
    rest_ms = Rules(Policy.REPLAY_SAFE).quarantine_ms // 2
    assert alone.later == [(NOW_MS + rest_ms, Work.REPLAY)] and rest_ms > 0
    assert alone.line.wrote == [] and alone.given == [IN_ORDER] and not alone.commits


@pytest.mark.parametrize("repeats", [False, True])
def test_what_something_was_learnt_of_after_it_was_written_down_does_not_leave(repeats: bool) -> None:
    alone = in_doubt() if repeats else DispatchAlone()
    alone.leave.revoked = True
    alone.repeat() if repeats else alone.carry()
    ((event, evidence, _, epoch),) = alone.recorded
    assert isinstance(event, NotSent) and event.reason == "overtaken" and (evidence, epoch) == (None, 1)
    assert alone.line.wrote == [] and alone.commits == 1


def test_without_a_connection_a_repeat_is_tried_again_in_two_seconds() -> None:
    alone = in_doubt()
    alone.session.carries = UNREACHABLE
    alone.repeat()
    assert alone.given == [DISTRUSTED] and alone.later == [(NOW_MS + 2_000, Work.REPLAY)] and not alone.commits


@pytest.mark.parametrize(
    ("before", "again"),
    [
        (row(State.IN_DOUBT), True),
        (row(State.IN_DOUBT, epoch=0), True),
        (row(State.IN_DOUBT, epoch=2), False),
        (None, False),
    ],
    ids=["newer", "older_epoch", "other_owner", "gone"],
)
def test_a_repeat_of_what_changed_meanwhile_is_looked_at_again_while_it_is_ours(
    before: PaymentRow | None, again: bool
) -> None:
    alone = in_doubt()
    alone.applied = conflict(before)
    alone.repeat()
    assert alone.line.wrote == [] and alone.given == [IN_ORDER] and not alone.recorded
    assert alone.later == ([(NOW_MS, Work.REPLAY)] if again else [])


def test_a_repeat_that_the_banks_rules_do_not_allow_any_more_is_left_to_the_next_enquiry() -> None:
    alone = in_doubt()
    assert alone.row is not None
    alone.applied = Applied(alone.row, alone.row, None, conflict=False)
    alone.repeat()
    assert alone.line.wrote == [] and alone.given == [IN_ORDER] and not alone.recorded and not alone.later
