"""Guards of the payment state table: conditions on a payment's life and an event that a row requires. Pure
functions."""

from __future__ import annotations

from collections.abc import Callable

from gateway.kernel.core.states import KNOWN, Answered, Event, Life, NotSent, Policy, Replay, Resolve, Silent, Source
from protocols.canon.outcome import Fate

Guard = Callable[[Life, Event], bool]
CLOCK_AHEAD_MS = 60_000
"""A stored time further in the future was written by a clock that was ahead: clocks that are right differ by less."""


def nothing_left(life: Life, _event: Event) -> bool:
    """True if no copy of the payment was ever sent. (A payment that two persons released for another send has been sent
    before.)
    """
    return life.first_write_ms is None


def resolved(fate: Fate | None) -> Guard:
    """A guard that is true if two persons decided `fate` (None: "send again") and knew of the latest attempt."""

    def guard(life: Life, event: Event) -> bool:
        assert isinstance(event, Resolve)
        return event.fate is fate and event.attempt in (None, life.attempt)

    return guard


def first_copy(life: Life, event: Event) -> bool:
    """True if the event is about the latest attempt, and no earlier copy of its bytes can have been sent."""
    return life.repeats == 0 and latest(life, event)


def first_copy_unknown(life: Life, event: Event) -> bool:
    """As `first_copy`, and the bank has never said that it has the payment."""
    return first_copy(life, event) and life.attempt > 0 and life.not_found != KNOWN


def only_copy(life: Life, event: Event) -> bool:
    """As `first_copy`, and two persons did not release the payment for another send."""
    return first_copy(life, event) and not several_copies(life)


def latest(life: Life, event: Event) -> bool:
    """True if the event is about the payment's latest attempt."""
    assert isinstance(event, NotSent | Silent | Answered)
    return event.attempt in (None, life.attempt)


def was_sent(life: Life, _event: Event) -> bool:
    """True if the payment's bytes may have been sent at least once."""
    return life.attempt > 0


def own_answer(life: Life, event: Event) -> bool:
    """True if the answer came on the connection of the latest send."""
    assert isinstance(event, Answered)
    return event.source is Source.SUBMIT and latest(life, event)


def about_all_copies(life: Life, event: Event) -> bool:
    """True if the answer covers every copy that may have been sent so far.

    The answer to a repeat, or to a send that two persons released again, covers that copy alone: the bank may reject
    the format before it checks for a duplicate. The answer to an enquiry covers the copies that had arrived when it was
    asked. If several copies may have been sent, the last one may still have been in transit, and a bank that refused
    the first may book the second. A write time in the future comes from a clock that was ahead: the copies were sent
    before the clock was corrected, and `clock_sure` says that the quarantine has passed since then.
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
    """True if a clock that was ahead recorded the latest write, so that the real time of the sends is unknown."""
    return life.last_write_ms is not None and life.last_write_ms > event.at_ms + CLOCK_AHEAD_MS


def several_copies(life: Life) -> bool:
    """True if more than one copy of the bytes may have been sent: by a repeat, or because two persons released the
    payment again.
    """
    return life.repeats > 0 or life.first_write_ms != life.last_write_ms


def no_of_another_copy(life: Life, event: Event) -> bool:
    """True for a refusal that was asked for before the success was known, or that is the bank's answer to one copy
    alone.
    """
    assert isinstance(event, Answered)
    return several_copies(life) and (event.source is Source.SUBMIT or older_than_verdict(life, event))


def older_than_verdict(life: Life, event: Event) -> bool:
    """True if the question was sent before the verdict was known. A verdict dated in the future does not prove that."""
    assert isinstance(event, Answered)
    return event.asked_ms is not None and event.asked_ms <= life.since_ms <= event.at_ms + CLOCK_AHEAD_MS


def may_replay(life: Life, event: Event) -> bool:
    """True if a repeat is due, repeats remain, and the policy and the time allow it."""
    assert isinstance(event, Replay)
    due = repeat_is_due(life, event.at_ms) and not repeats_used_up(life)
    return due and may_leave_again(life, event.at_ms, event.day_ends_ms)


def repeat_is_due(life: Life, at_ms: int) -> bool:
    """True if the bank's rules allow the same bytes again, and earlier copies have had time to arrive.

    `replay_safe`: the bank recognises a repeated reference. `query_first`: only after enough "not found" answers to
    enquiries made after the quarantine. A payment that the bank has acknowledged once is never repeated, whatever the
    bank says later.
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
    """True if the stored bytes were repeated as often as the rules permit."""
    return life.repeats >= life.rules.most_repeats


def in_time(life: Life, at_ms: int) -> bool:
    """True if a repeat at this time is early enough: before the end of the order's validity, and so long before the end
    of the bank's window that a late arrival is still inside it.
    """
    rules = life.rules
    if life.first_write_ms is None or (life.valid_until_ms is not None and at_ms >= life.valid_until_ms):
        return False
    return rules.window_ms is None or at_ms < life.first_write_ms + rules.window_ms - rules.quarantine_ms


def may_leave_again(life: Life, at_ms: int, day_ends_ms: int | None) -> bool:
    """True if the policy, the number of repeats and the time allow a repeat. Tested when the repeat is committed, and
    again just before the write, when `life.repeats` already counts it.

    `day_ends_ms` is the end of the bank day of the stored bytes; it is required where the bank recognises a reference
    only on that day.
    """
    rules = life.rules
    if rules.replay is Policy.NEVER or life.repeats > rules.most_repeats:
        return False
    if rules.same_day and (day_ends_ms is None or at_ms >= day_ends_ms - rules.quarantine_ms):
        return False
    return in_time(life, at_ms)
