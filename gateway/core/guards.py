"""Guards of the payment table: what a row asks of a payment's life and an event before it applies. Pure."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.states import (
    KNOWN,
    Answered,
    Event,
    Life,
    NotSent,
    Policy,
    Replay,
    Resolve,
    Silent,
    Source,
)
from protocols.canon.outcome import Fate

Guard = Callable[[Life, Event], bool]
CLOCK_AHEAD_MS = 60_000
"""A stored time further in the future was written by a clock that was ahead: clocks that are right differ by less."""


def nothing_left(life: Life, _event: Event) -> bool:
    """No copy has left, as one has of a payment that two persons let be sent again."""
    return life.first_write_ms is None


def resolved(fate: Fate | None) -> Guard:
    """Two persons decided `fate`, None being "send again", and knew of the latest attempt."""
    def guard(life: Life, event: Event) -> bool:
        assert isinstance(event, Resolve)
        return event.fate is fate and event.attempt in (None, life.attempt)

    return guard


def first_copy(life: Life, event: Event) -> bool:
    """The attempt that the event is about is the latest one, and no earlier copy of its bytes can have left."""
    return life.repeats == 0 and latest(life, event)


def first_copy_unknown(life: Life, event: Event) -> bool:
    """As `first_copy`, and the bank has never said that it knows the payment."""
    return first_copy(life, event) and life.attempt > 0 and life.not_found != KNOWN


def only_copy(life: Life, event: Event) -> bool:
    """As `first_copy`, and nothing left before that two persons let go once more."""
    return first_copy(life, event) and not several_copies(life)


def latest(life: Life, event: Event) -> bool:
    """The event is about the latest attempt."""
    assert isinstance(event, NotSent | Silent | Answered)
    return event.attempt in (None, life.attempt)


def was_sent(life: Life, _event: Event) -> bool:
    """Bytes may have left at least once."""
    return life.attempt > 0


def own_answer(life: Life, event: Event) -> bool:
    """The answer came on the connection of the latest send."""
    assert isinstance(event, Answered)
    return event.source is Source.SUBMIT and latest(life, event)


def about_all_copies(life: Life, event: Event) -> bool:
    """Whether the answer covers every copy that may have left so far.

    The answer to a repeat, or to what two persons let be sent again, covers that copy alone: the bank may reject the
    format before it checks for a duplicate.
    An enquiry covers what had arrived when it was asked. Where several copies may have left, the last may have been
    under way then, and a bank that refused the first may book the second.
    A write time in the future is that of a clock that was ahead: the copies left before the clock was set right, and
    `clock_sure` says that the quarantine has passed since then.
    """
    assert isinstance(event, Answered)
    if event.source is Source.SUBMIT:
        return only_copy(life, event)
    if event.asked_ms is None or life.last_write_ms is None:
        return True
    if dated_ahead(life, event):
        return event.clock_sure
    if several_copies(life):
        return event.clock_sure and event.asked_ms >= life.last_write_ms + life.rules.quarantine_ms
    return event.asked_ms > life.last_write_ms


def dated_ahead(life: Life, event: Event) -> bool:
    """A clock that was ahead noted the latest write: when bytes left, and how old the first copy is, is unknown."""
    return life.last_write_ms is not None and life.last_write_ms > event.at_ms + CLOCK_AHEAD_MS


def several_copies(life: Life) -> bool:
    """More than one copy of the bytes may have left: a repeat, or one that two persons let be sent again."""
    return life.repeats > 0 or life.first_write_ms != life.last_write_ms


def no_of_another_copy(life: Life, event: Event) -> bool:
    """A no that was asked for before the yes was known, or that a copy got for itself, as one that is too many does."""
    assert isinstance(event, Answered)
    return several_copies(life) and (event.source is Source.SUBMIT or older_than_verdict(life, event))


def older_than_verdict(life: Life, event: Event) -> bool:
    """The question left before the verdict was known. A verdict dated in the future proves no such order."""
    assert isinstance(event, Answered)
    return event.asked_ms is not None and event.asked_ms <= life.since_ms <= event.at_ms + CLOCK_AHEAD_MS


def may_replay(life: Life, event: Event) -> bool:
    """A repeat is due, some are left, and the policy and the time allow it."""
    assert isinstance(event, Replay)
    due = repeat_is_due(life, event.at_ms) and not repeats_used_up(life)
    return due and may_leave_again(life, event.at_ms, event.day_ends_ms)


def repeat_is_due(life: Life, at_ms: int) -> bool:
    """The bank's own rules allow the very same bytes again, and what left before has had its time to arrive.

    `replay_safe`: the bank knows a reference again. `query_first`: only after enough "not found" answers that were
    asked after the quarantine. What the bank has acknowledged once is there, whatever it says now: a repeat could only
    do harm.
    """
    rules = life.rules
    if life.not_found == KNOWN or life.last_write_ms is None or not in_time(life, at_ms):
        return False
    if at_ms < life.last_write_ms + rules.quarantine_ms:
        return False
    if rules.replay is Policy.REPLAY_SAFE:
        return True
    return rules.replay is Policy.QUERY_FIRST and life.not_found >= rules.not_found_needed


def repeats_used_up(life: Life) -> bool:
    """The stored bytes left again as often as the rules permit."""
    return life.repeats >= life.rules.most_repeats


def in_time(life: Life, at_ms: int) -> bool:
    """Within the order's validity, and the bank's window less the time that bytes may be under way."""
    rules = life.rules
    if life.first_write_ms is None or (life.valid_until_ms is not None and at_ms >= life.valid_until_ms):
        return False
    return rules.window_ms is None or at_ms < life.first_write_ms + rules.window_ms - rules.quarantine_ms


def may_leave_again(life: Life, at_ms: int, day_ends_ms: int | None) -> bool:
    """Whether the policy, the number of repeats and the time allow a repeat: tested when it is written down, and again
    as it leaves, when it is counted in `life.repeats`.

    `day_ends_ms` is when the bank day of the stored bytes is over; where the bank knows a reference for that day
    only, it must be given.
    """
    rules = life.rules
    if rules.replay is Policy.NEVER or life.repeats > rules.most_repeats:
        return False
    if rules.same_day and (day_ends_ms is None or at_ms >= day_ends_ms - rules.quarantine_ms):
        return False
    return in_time(life, at_ms)
