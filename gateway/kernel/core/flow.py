"""The payment state machine: `step(life, event) -> Step`, decided by one table.

The table is data (`TABLE`): the journal applies it, the documentation prints it, and the model checker explores it. A
state and event without a row are a programming error and raise `ImpossibleEvent`; an event that changes nothing has a
row that gives the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from gateway.kernel.core.guards import (
    Guard,
    about_all_copies,
    dated_ahead,
    first_copy,
    first_copy_unknown,
    latest,
    may_replay,
    no_of_another_copy,
    nothing_left,
    older_than_verdict,
    only_copy,
    own_answer,
    repeat_is_due,
    repeats_used_up,
    resolved,
    several_copies,
    was_sent,
)
from gateway.kernel.core.states import (
    KNOWN,
    UNSENT,
    Alarm,
    Answered,
    AskedInVain,
    Cancel,
    Deny,
    Effect,
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
    ScheduleWork,
    Send,
    SendNews,
    Silent,
    TakenOver,
    Work,
    WorkDone,
)
from protocols.canon.errors import Code
from protocols.canon.fast_init import fast_init
from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE, Fate, State
from protocols.canon.replaced import replace

ENQUIRY_PLAN_MS = (2_000, 5_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000)
"""Gaps before the first enquiries. Later enquiries follow every ten minutes during the bank day of the send, then
hourly, and hourly once the payment is escalated. No gap is shorter than the bank's `first_enquiry_ms`. Enquiries
never end.

The gaps count enquiries, not time: a payment that escalates while its bank is away has its first enquiries ahead of it,
and the bank is asked soon after it is back."""
STEADY_MS = 600_000
HOURLY_MS = 3_600_000


class ImpossibleEvent(AssertionError):
    """An event that cannot occur in the payment's state: a defect of the gateway. The lane must stop."""


@fast_init
@dataclass(frozen=True, slots=True)
class Step:
    """The result of applying an event: the payment's new life, its effects, and the name of the row that decided."""

    life: Life
    effects: tuple[Effect, ...]
    rule: str


Consequence = Callable[[Life, Life, Event], tuple[Effect, ...]]
Change = Callable[[Life, Event], Life]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: in any state of `before`, on `event` (with one of `fates`, for answers), if `when` is true, go to
    `after`.

    `after` None keeps the state. `change` adjusts counters; `then` lists the effects besides the event to the ERP.
    """

    name: str
    before: frozenset[State]
    event: type[Event]
    after: State | None
    why: str
    fates: frozenset[Fate] | None = None
    when: Guard | None = None
    change: Change | None = None
    then: tuple[Consequence, ...] = ()


def enquiry_gap_ms(life: Life, *, day_over: bool) -> int:
    """The milliseconds until the next enquiry about this payment. `day_over`: the bank day of its send has ended."""
    first = life.rules.first_enquiry_ms
    if life.asked == 0:
        return first
    if life.asked < len(ENQUIRY_PLAN_MS):
        return max(first, ENQUIRY_PLAN_MS[life.asked])
    return max(first, HOURLY_MS if day_over or life.state is State.ESCALATED else STEADY_MS)


# ---- consequences ------------------------------------------------------------------------------------------------


def _send(_before: Life, life: Life, event: Event) -> tuple[Effect, ...]:
    assert life.send_after_ms is not None, "a released payment has a send_after_ms"
    return (ScheduleWork(Work.SEND, max(event.at_ms, life.send_after_ms)),)


def _expire_watch(_before: Life, life: Life, _event: Event) -> tuple[Effect, ...]:
    return () if life.valid_until_ms is None else (ScheduleWork(Work.EXPIRE, life.valid_until_ms),)


def _enquire(_before: Life, life: Life, event: Event) -> tuple[Effect, ...]:
    day_over = isinstance(event, Answered | AskedInVain) and event.day_over
    due_ms = event.at_ms + enquiry_gap_ms(life, day_over=day_over)
    last_ms, repeats = life.last_write_ms, life.rules.replay is not Policy.NEVER and not repeats_used_up(life)
    if life.state is State.IN_DOUBT and last_ms is not None and repeats:
        # An enquiry made once the quarantine is over may permit a repeat, so one is due no later than that moment.
        ripe_ms = last_ms + life.rules.quarantine_ms
        due_ms = min(due_ms, ripe_ms) if ripe_ms > event.at_ms else due_ms
    return (ScheduleWork(Work.ENQUIRE, due_ms),)


def _deadline(before: Life, life: Life, _event: Event) -> tuple[Effect, ...]:
    if life.deadline_ms is None or (before.deadline_ms == life.deadline_ms and before.state is not State.SENDING):
        return ()
    return (ScheduleWork(Work.ESCALATE, life.deadline_ms),)


def _stop_asking(_before: Life, _life: Life, _event: Event) -> tuple[Effect, ...]:
    return (WorkDone(Work.ENQUIRE), WorkDone(Work.ESCALATE), WorkDone(Work.REPLAY))


def _done(work: Work) -> Consequence:
    def consequence(_before: Life, _life: Life, _event: Event) -> tuple[Effect, ...]:
        return (WorkDone(work),)

    return consequence


def _repeat(_before: Life, life: Life, event: Event) -> tuple[Effect, ...]:
    """The enquiry brought no verdict: schedule a repeat of the same bytes if the bank's rules allow it now."""
    due = life.state is State.IN_DOUBT and repeat_is_due(life, event.at_ms) and not repeats_used_up(life)
    return (ScheduleWork(Work.REPLAY, event.at_ms),) if due else ()


def _stop_sending(_before: Life, _life: Life, _event: Event) -> tuple[Effect, ...]:
    return (WorkDone(Work.SEND), WorkDone(Work.EXPIRE))


def _watch_returns(_before: Life, life: Life, event: Event) -> tuple[Effect, ...]:
    """A settled payment may still be returned: ask again once per period until the returns watch ends."""
    ends_ms = max(life.last_write_ms or 0, life.since_ms) + life.rules.returns_watch_ms
    next_ms = event.at_ms + life.rules.returns_every_ms
    return (ScheduleWork(Work.RETURNS, next_ms),) if next_ms <= ends_ms else (WorkDone(Work.RETURNS),)


def _too_late(_before: Life, _life: Life, _event: Event) -> tuple[Effect, ...]:
    return (Deny(Code.TOO_LATE),)


def _contradiction(_before: Life, _life: Life, _event: Event) -> tuple[Effect, ...]:
    return (Alarm("contradiction"), SendNews(CORRECTION_EVENT))


def _alarm(slug: str) -> Consequence:
    def consequence(_before: Life, _life: Life, _event: Event) -> tuple[Effect, ...]:
        return (Alarm(slug),)

    return consequence


# ---- changes -----------------------------------------------------------------------------------------------------


def _released(life: Life, event: Event) -> Life:
    assert isinstance(event, Release)
    return replace(life, send_after_ms=event.send_after_ms)


def _attempted(life: Life, event: Event) -> Life:
    first = life.first_write_ms if life.first_write_ms is not None else event.at_ms
    return replace(
        life,
        attempt=life.attempt + 1,
        first_write_ms=first,
        last_write_ms=event.at_ms,
        not_found=0,
        repeats=0,
        deadline_ms=event.at_ms + life.rules.deadline_ms,
    )


def _repeated(life: Life, event: Event) -> Life:
    # The deadline stays, so that a repeat does not delay the escalation to persons.
    return replace(
        life,
        attempt=life.attempt + 1,
        last_write_ms=event.at_ms,
        not_found=min(life.not_found, 0),
        repeats=life.repeats + 1,
    )


def _unsent(life: Life, event: Event) -> Life:
    assert isinstance(event, NotSent)
    # If the only copy was not sent, no time of a send remains.
    first = not several_copies(life)
    return replace(
        life,
        send_after_ms=event.retry_at_ms,
        deadline_ms=None,
        first_write_ms=None if first else life.first_write_ms,
        last_write_ms=None if first else life.last_write_ms,
    )


def _unrepeated(life: Life, event: Event) -> Life:
    return replace(_doubted(life, event), repeats=max(life.repeats - 1, 0))


def _doubted(life: Life, event: Event) -> Life:
    duplicate = isinstance(event, Answered) and event.fate is Fate.DUPLICATE
    return replace(life, doubted=True, asked=0, not_found=KNOWN if duplicate else life.not_found)


def _found(life: Life, event: Event) -> Life:
    return replace(_doubted(life, event), not_found=KNOWN)


def _taken(life: Life, _event: Event) -> Life:
    return replace(life, asked=0, not_found=KNOWN)


def _asked(life: Life, _event: Event) -> Life:
    return replace(life, asked=life.asked + 1)


def _redoubted(life: Life, event: Event) -> Life:
    return replace(_not_found(life, event), doubted=True)


def _not_found(life: Life, event: Event) -> Life:
    """Count a "not found" only if it was asked after the quarantine: before that, the bytes may still arrive."""
    assert isinstance(event, Answered)
    counts = (
        event.asked_ms is not None
        and event.clock_sure
        and life.last_write_ms is not None
        and event.asked_ms >= life.last_write_ms + life.rules.quarantine_ms
        and life.not_found != KNOWN
    )
    return replace(life, asked=life.asked + 1, not_found=life.not_found + (1 if counts else 0))


def _pending_again(life: Life, event: Event) -> Life:
    return replace(life, asked=0, not_found=KNOWN, deadline_ms=event.at_ms + life.rules.deadline_ms)


def _unclear(life: Life, event: Event) -> Life:
    """Count a bank's answer that has no verdict."""
    if isinstance(event, Answered) and event.fate is Fate.NOT_FOUND:
        return _not_found(life, event)
    duplicate = isinstance(event, Answered) and event.fate is Fate.DUPLICATE
    return replace(life, asked=life.asked + 1, not_found=KNOWN if duplicate else life.not_found)


def _unrepeatable(life: Life, _event: Event) -> Life:
    return replace(life, asked=life.asked + 1, not_found=KNOWN)


def _given_up(life: Life, event: Event) -> Life:
    return replace(_unclear(life, event), deadline_ms=None)


def _resend_cleared(life: Life, event: Event) -> Life:
    return replace(life, send_after_ms=event.at_ms, asked=0, not_found=0, repeats=0, deadline_ms=None)


def _exhausted(life: Life, event: Event) -> bool:
    """True if a repeat would be next but all permitted repeats were used. Always False if `most_repeats` is 0."""
    after = _unclear(life, event)
    return life.rules.most_repeats > 0 and repeats_used_up(after) and repeat_is_due(after, event.at_ms)


# ---- the table ---------------------------------------------------------------------------------------------------


def _in(*states: State) -> frozenset[State]:
    return frozenset(states)


S = State
_BEFORE = UNSENT
_ASKING = _in(S.PENDING, S.IN_DOUBT, S.ESCALATED)
_NEVER_SENT_END = _in(S.REJECTED, S.CANCELLED, S.EXPIRED)
_BACK = _in(S.RETURNED, S.REVERSED)
_ALL = frozenset(State)
_UNCLEAR = frozenset({Fate.UNKNOWN, Fate.DUPLICATE, Fate.NOT_FOUND})
_NEWS = frozenset({Fate.PENDING, Fate.UNKNOWN, Fate.DUPLICATE, Fate.NOT_FOUND})


def _fates(*fates: Fate) -> frozenset[Fate]:
    return frozenset(fates)


TABLE: tuple[Rule, ...] = (
    # before anything is sent
    Rule("release", _in(S.ACCEPTED, S.HELD), Release, S.READY, "all checks passed, or persons released it",
         change=_released, then=(_send, _expire_watch)),
    Rule("hold", _in(S.ACCEPTED, S.READY), Hold, S.HELD, "a person must release it", when=nothing_left,
         then=(_done(Work.SEND), _expire_watch)),
    Rule("hold_again", _in(S.HELD), Hold, None, "one reason was released, others remain", when=nothing_left,
         then=(lambda *_: (SendNews("payment.held"),),)),
    Rule("resend_held", _in(S.READY), Hold, S.ESCALATED, "it cannot be sent again now; the earlier send is in doubt",
         change=_doubted, then=(_stop_sending, _alarm("escalated"), _enquire)),
    Rule("reject", _in(S.ACCEPTED, S.HELD), Reject, S.REJECTED, "the gateway rejects it at admission", then=(_stop_sending,)),
    Rule("cancel", _BEFORE, Cancel, S.CANCELLED, "nothing was sent, so cancelling is safe", when=nothing_left, then=(_stop_sending,)),
    Rule("cancel_too_late", _ALL - _in(S.ACCEPTED), Cancel, None, "it may be at the bank, or is final", then=(_too_late,)),
    Rule("expire", _BEFORE, Expire, S.EXPIRED, "its validity has ended", when=nothing_left, then=(_stop_sending,)),
    Rule("resend_expired", _in(S.HELD, S.READY), Expire, S.ESCALATED, "its validity ended before it could be sent again; the earlier send is in doubt",
         change=_doubted, then=(_stop_sending, _alarm("escalated"), _enquire)),
    Rule("expire_moot", _ALL - _BEFORE, Expire, None, "it was sent, or is final", then=(_done(Work.EXPIRE),)),
    # sending
    Rule("send", _in(S.READY), Send, S.SENDING, "stored before the first byte is sent",
         change=_attempted, then=(_stop_sending, _deadline)),
    Rule("not_sent", _in(S.SENDING), NotSent, S.READY, "no byte was handed to the transport",
         when=first_copy, change=_unsent, then=(_stop_asking, _send, _expire_watch)),
    Rule("replay_not_sent", _in(S.SENDING), NotSent, S.IN_DOUBT, "the repeat was not sent; the first send is still in doubt",
         when=latest, change=_unrepeated, then=(_enquire, _deadline)),
    Rule("not_sent_overdue", _in(S.ESCALATED), NotSent, S.READY, "no byte was handed to the transport, which became known late",
         when=first_copy_unknown, change=_unsent, then=(_stop_asking, _send, _expire_watch)),
    Rule("not_sent_moot", _ALL - _in(S.ACCEPTED, S.REJECTED), NotSent, None,
         "other copies may have been sent, or something else was learnt first", when=was_sent),
    Rule("silent", _in(S.SENDING), Silent, S.IN_DOUBT, "no answer proves nothing",
         when=latest, change=_doubted, then=(_enquire, _deadline)),
    Rule("silent_moot", _ALL, Silent, None, "an answer came another way first, or another attempt is under way"),
    Rule("taken_over", _in(S.SENDING), TakenOver, S.IN_DOUBT, "the sender is gone; only enquiring is safe",
         change=_doubted, then=(_enquire, _deadline)),
    Rule("replay", _in(S.IN_DOUBT), Replay, S.SENDING, "the bank's rules allow the same bytes again",
         when=may_replay, change=_repeated, then=(_done(Work.ENQUIRE), _done(Work.REPLAY))),
    Rule("replay_refused", _in(S.IN_DOUBT), Replay, None, "the bank's rules do not allow it now",
         then=(_done(Work.REPLAY), _enquire)),
    Rule("replay_moot", _ALL - _in(S.IN_DOUBT), Replay, None, "no longer in doubt, or persons are deciding",
         then=(_done(Work.REPLAY),)),
    # the answer to the send
    Rule("sent_settled", _in(S.SENDING), Answered, S.SETTLED, "the bank confirms it explicitly",
         fates=_fates(Fate.SETTLED), then=(_stop_asking, _watch_returns)),
    Rule("sent_failed", _in(S.SENDING), Answered, S.FAILED, "the bank refuses it explicitly",
         fates=_fates(Fate.FAILED), when=lambda life, e: own_answer(life, e) and only_copy(life, e),
         then=(_stop_asking,)),
    Rule("repeat_refused", _in(S.SENDING), Answered, S.IN_DOUBT, "this copy is refused; an earlier one may be booked",
         fates=_fates(Fate.FAILED), when=own_answer, change=_doubted, then=(_enquire, _deadline)),
    Rule("sent_pending", _in(S.SENDING), Answered, S.PENDING, "accepted by the bank, not decided",
         fates=_fates(Fate.PENDING), change=_taken, then=(_done(Work.REPLAY), _enquire, _deadline)),
    Rule("replay_known", _in(S.SENDING), Answered, S.PENDING, "the repeat is refused as a duplicate: the first copy arrived",
         fates=_fates(Fate.DUPLICATE), when=lambda life, e: life.repeats > 0 and own_answer(life, e),
         change=_taken, then=(_enquire, _deadline)),
    Rule("sent_unclear", _in(S.SENDING), Answered, S.IN_DOUBT, "a duplicate, an unlisted code or an unusable answer means doubt",
         fates=_UNCLEAR, when=own_answer, change=_doubted, then=(_enquire, _deadline)),
    Rule("sent_overtaken", _in(S.SENDING), Answered, None, "the answer is about earlier copies; this one is being sent",
         fates=_UNCLEAR | _fates(Fate.FAILED)),
    # answers to enquiries
    Rule("asked_settled", _ASKING, Answered, S.SETTLED, "the bank confirms it explicitly",
         fates=_fates(Fate.SETTLED), then=(_stop_asking, _watch_returns)),
    Rule("asked_failed", _ASKING, Answered, S.FAILED, "the bank refuses it explicitly, for all copies",
         fates=_fates(Fate.FAILED), when=about_all_copies, then=(_stop_asking,)),
    Rule("asked_failed_overtaken", _ASKING, Answered, None, "a refusal of one copy; another may be booked",
         fates=_fates(Fate.FAILED), change=_asked, then=(_enquire,)),
    Rule("asked_pending", _in(S.IN_DOUBT, S.ESCALATED), Answered, S.PENDING, "the bank has it",
         fates=_fates(Fate.PENDING), change=_pending_again, then=(_done(Work.REPLAY), _enquire, _deadline)),
    Rule("still_pending", _in(S.PENDING), Answered, None, "nothing new",
         fates=_fates(Fate.PENDING), change=_asked, then=(_enquire,)),
    Rule("pending_not_found", _in(S.PENDING), Answered, S.IN_DOUBT, "the bank contradicts its own acceptance",
         fates=_fates(Fate.NOT_FOUND), when=about_all_copies, change=_redoubted,
         then=(_alarm("answers_disagree"), _enquire)),
    Rule("pending_unclear", _in(S.PENDING), Answered, None, "the bank's earlier acceptance stands; ask again",
         fates=_UNCLEAR, change=_asked, then=(_enquire,)),
    Rule("dated_ahead", _in(S.IN_DOUBT), Answered, None, "a clock was ahead, so that the age of the send is unknown; it is never repeated",
         fates=_UNCLEAR, when=dated_ahead, change=_unrepeatable, then=(_done(Work.REPLAY), _enquire)),
    Rule("dated_ahead_in_vain", _in(S.IN_DOUBT), AskedInVain, None, "as dated_ahead, and the bank gave no answer",
         when=dated_ahead, change=_unrepeatable, then=(_done(Work.REPLAY), _enquire)),
    Rule("repeats_used_up", _in(S.IN_DOUBT), Answered, S.ESCALATED, "all repeats were used; persons must decide",
         fates=_fates(Fate.UNKNOWN, Fate.NOT_FOUND), when=_exhausted, change=_given_up,
         then=(_alarm("repeats_used_up"), _done(Work.ESCALATE), _done(Work.REPLAY), _enquire)),
    Rule("repeats_used_up_in_vain", _in(S.IN_DOUBT), AskedInVain, S.ESCALATED, "all repeats were used, and the bank gave no answer; persons must decide",
         when=_exhausted, change=_given_up,
         then=(_alarm("repeats_used_up"), _done(Work.ESCALATE), _done(Work.REPLAY), _enquire)),
    Rule("doubt_not_found", _in(S.IN_DOUBT, S.ESCALATED), Answered, None, '"not found" is never a failure',
         fates=_fates(Fate.NOT_FOUND), change=_unclear, then=(_enquire, _repeat)),
    Rule("doubt_unclear", _in(S.IN_DOUBT, S.ESCALATED), Answered, None, "no usable answer yet",
         fates=_fates(Fate.UNKNOWN, Fate.DUPLICATE), change=_unclear, then=(_enquire, _repeat)),
    Rule("asked_in_vain", _ASKING, AskedInVain, None, "ask again; enquiries never end", change=_asked,
         then=(_enquire, _repeat)),
    Rule("watched_in_vain", _in(S.SETTLED), AskedInVain, None, "ask again whether it was returned",
         then=(_done(Work.ENQUIRE), _watch_returns)),
    Rule("asked_in_vain_moot", _ALL - _ASKING - _in(S.SETTLED), AskedInVain, None, "the outcome is known by now",
         then=(_done(Work.ENQUIRE),)),
    Rule("overdue", _in(S.PENDING, S.IN_DOUBT), Overdue, S.ESCALATED, "persons must look; enquiries continue",
         change=lambda life, _e: replace(life, deadline_ms=None),
         then=(_alarm("escalated"), _done(Work.ESCALATE), _done(Work.REPLAY), _enquire)),
    Rule("overdue_moot", _ALL - _in(S.PENDING, S.IN_DOUBT, S.SENDING), Overdue, None, "the outcome is known by now",
         then=(_done(Work.ESCALATE),)),
    Rule("overdue_sending", _in(S.SENDING), Overdue, S.ESCALATED, "an exchange outlasted every time-out",
         change=_doubted, then=(_alarm("escalated"), _done(Work.ESCALATE), _enquire)),
    # after a final state
    Rule("returned", _in(S.SENDING, S.SETTLED) | _ASKING, Answered, S.RETURNED, "the money was returned",
         fates=_fates(Fate.RETURNED), then=(_stop_asking, _done(Work.RETURNS))),
    Rule("reversed", _in(S.SENDING, S.SETTLED) | _ASKING, Answered, S.REVERSED, "the bank reversed its booking",
         fates=_fates(Fate.REVERSED), then=(_stop_asking, _done(Work.RETURNS))),
    Rule("settled_again", _in(S.SETTLED), Answered, None, "repeats what is known",
         fates=_fates(Fate.SETTLED), then=(_done(Work.ENQUIRE), _watch_returns)),
    Rule("settled_old_news", _in(S.SETTLED), Answered, None, "an older answer, superseded by the final one",
         fates=_NEWS, then=(_done(Work.ENQUIRE), _watch_returns)),
    Rule("failed_again", _in(S.FAILED), Answered, None, "repeats what is known",
         fates=_fates(Fate.FAILED), then=(_done(Work.ENQUIRE),)),
    Rule("failed_old_news", _in(S.FAILED), Answered, None, "an older answer, superseded by the final one",
         fates=_fates(Fate.UNKNOWN, Fate.DUPLICATE, Fate.NOT_FOUND), then=(_done(Work.ENQUIRE),)),
    Rule("back_again", _BACK, Answered, None, "the money was returned already; the answer is older or repeated",
         fates=_NEWS | _fates(Fate.SETTLED, Fate.RETURNED, Fate.REVERSED),
         then=(_done(Work.ENQUIRE), _done(Work.RETURNS))),
    # contradictions are reported; the state does not change
    Rule("settled_overtaken", _in(S.SETTLED), Answered, None, "asked before the success was known, about another copy",
         fates=_fates(Fate.FAILED), when=no_of_another_copy, then=(_done(Work.ENQUIRE), _watch_returns)),
    Rule("settled_contradicted", _in(S.SETTLED), Answered, None, "reported settled, now refused: a person must look",
         fates=_fates(Fate.FAILED), then=(_contradiction, _done(Work.ENQUIRE), _watch_returns)),
    Rule("failed_overtaken", _in(S.FAILED), Answered, None, "asked before the refusal was known, when it was still in process",
         fates=_fates(Fate.PENDING), when=older_than_verdict, then=(_done(Work.ENQUIRE),)),
    Rule("failed_contradicted", _in(S.FAILED), Answered, None, "reported failed, now accepted: a person must look",
         fates=_fates(Fate.SETTLED, Fate.PENDING, Fate.RETURNED, Fate.REVERSED),
         then=(_contradiction, _done(Work.ENQUIRE))),
    Rule("back_contradicted", _BACK, Answered, None, "reported returned, now refused", fates=_fates(Fate.FAILED),
         then=(_contradiction, _done(Work.ENQUIRE), _done(Work.RETURNS))),
    Rule("unsent_known", _in(S.HELD, S.READY), Answered, S.ESCALATED, "the bank knows a payment that was not sent: stop",
         fates=_fates(Fate.SETTLED, Fate.PENDING, Fate.RETURNED, Fate.REVERSED, Fate.DUPLICATE),
         change=_found, then=(_stop_sending, _contradiction, _enquire)),
    Rule("unsent_unknown", _in(S.HELD, S.READY), Answered, None, "it was not sent, and the bank does not have it",
         fates=_fates(Fate.FAILED, Fate.UNKNOWN, Fate.NOT_FOUND), then=(_done(Work.ENQUIRE),)),
    Rule("ended_known", _NEVER_SENT_END, Answered, None, "the bank knows a payment that ended before sending",
         fates=_fates(Fate.SETTLED, Fate.PENDING, Fate.RETURNED, Fate.REVERSED, Fate.DUPLICATE),
         then=(_contradiction, _done(Work.ENQUIRE))),
    Rule("ended_unknown", _NEVER_SENT_END, Answered, None, "it was never sent",
         fates=_fates(Fate.FAILED, Fate.UNKNOWN, Fate.NOT_FOUND), then=(_done(Work.ENQUIRE),)),
    # decisions of two persons
    Rule("resolved_settled", _in(S.IN_DOUBT, S.ESCALATED), Resolve, S.SETTLED, "two persons found that it was paid",
         when=resolved(Fate.SETTLED), then=(_stop_asking, _watch_returns)),
    Rule("resolved_failed", _in(S.IN_DOUBT, S.ESCALATED), Resolve, S.FAILED, "two persons found that it was not paid",
         when=resolved(Fate.FAILED), then=(_stop_asking,)),
    Rule("resolved_resend", _in(S.IN_DOUBT, S.ESCALATED), Resolve, S.READY, "two persons release it to be sent again",
         when=resolved(None), change=_resend_cleared, then=(_stop_asking, _send, _expire_watch)),
    Rule("resolve_denied", _ALL, Resolve, None, "only a payment in doubt can be resolved, as those persons saw it",
         then=(_too_late,)),
)  # fmt: skip


def _index() -> dict[tuple[State, type[Event], Fate | None], tuple[Rule, ...]]:
    index: dict[tuple[State, type[Event], Fate | None], list[Rule]] = {}
    for rule in TABLE:
        for state, fate in product(rule.before, rule.fates or {None}):
            index.setdefault((state, rule.event, fate), []).append(rule)
    return {key: tuple(rules) for key, rules in index.items()}


_INDEX = _index()


def step(life: Life, event: Event) -> Step:
    """Decide what `event` does to a payment in `life`. Raises ImpossibleEvent if the table has no row for it."""
    fate = event.fate if isinstance(event, Answered) else None
    for rule in _INDEX.get((life.state, type(event), fate), ()):
        if rule.when is None or rule.when(life, event):
            return _carry_out(rule, life, event)
    raise ImpossibleEvent(f"{type(event).__name__}({fate.value if fate else ''}) cannot happen in {life.state.value}")


def _carry_out(rule: Rule, life: Life, event: Event) -> Step:
    after = rule.change(life, event) if rule.change else life
    told: tuple[Effect, ...] = ()
    if rule.after is not None:
        facts = STATE_TABLE[rule.after]
        if facts.event is not None and (not facts.optional or life.tell_sent):
            told = (SendNews(facts.event),)
        after = replace(after, state=rule.after, since_ms=event.at_ms, seq=after.seq + len(told))
    # No consequence reads `seq`, so it may be counted up before the last one of them is known.
    then = tuple([effect for consequence in rule.then for effect in consequence(life, after, event)])
    more = sum([isinstance(effect, SendNews) for effect in then])
    after = replace(after, seq=after.seq + more) if more else after
    effects = told + then
    assert after.attempt >= life.attempt and after.seq >= life.seq
    return Step(after, effects, rule.name)
