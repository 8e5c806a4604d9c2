"""The life of a payment: `step(life, event) -> Step`, one table, total over every state and event.

The table is data (`TABLE`): the journal runs it, the documentation page prints it, and the model checker explores
it. A pair of state and event with no row is a programming error and raises `Impossible`; a pair that changes
nothing has a row that says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

from gateway.core.states import (
    Alarm,
    Answered,
    AskedInVain,
    Cancel,
    Deny,
    Done,
    Due,
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
    Rules,
    Send,
    Silent,
    TakenOver,
    Tell,
    Work,
)
from protocols.canon.errors import Code
from protocols.canon.outcome import CORRECTION_EVENT, STATE_TABLE, Fate, State

ENQUIRY_PLAN_MS = (2_000, 5_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000)
"""Gaps between the first enquiries; after them every ten minutes, and hourly once escalated. There is no last one."""
STEADY_MS = 600_000
ESCALATED_MS = 3_600_000


class Impossible(AssertionError):
    """The event cannot befall a payment in this state: a defect of the gateway. The lane must stop."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step decided: the new life, what follows, and the name of the row that decided."""

    life: Life
    effects: tuple[Effect, ...]
    rule: str


Guard = Callable[[Life, Event], bool]
Consequence = Callable[[Life, Life, Event], tuple[Effect, ...]]
Change = Callable[[Life, Event], Life]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: in any state of `before`, on `event` (and `fate`, for answers), if `when` holds, go to `after`.

    `after` None stays. `change` adjusts counters, `then` lists effects beside telling the ERP of a new state.
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


def enquiry_gap_ms(life: Life) -> int:
    """How long to wait before the next enquiry about this payment."""
    if life.state is State.ESCALATED:
        return ESCALATED_MS
    first = max(life.rules.first_enquiry_ms, ENQUIRY_PLAN_MS[0])
    if life.asked == 0:
        return first
    return max(first, ENQUIRY_PLAN_MS[life.asked]) if life.asked < len(ENQUIRY_PLAN_MS) else STEADY_MS


# ---- consequences ------------------------------------------------------------------------------------------------


def _send(_before: Life, life: Life, event: Event) -> tuple[Effect, ...]:
    due_ms = max(event.at_ms, life.send_after_ms or 0)
    return (Due(Work.SEND, due_ms),)


def _expire_watch(_before: Life, life: Life, _event: Event) -> tuple[Effect, ...]:
    return () if life.valid_until_ms is None else (Due(Work.EXPIRE, life.valid_until_ms),)


def _enquire(_before: Life, life: Life, event: Event) -> tuple[Effect, ...]:
    return (Due(Work.ENQUIRE, event.at_ms + enquiry_gap_ms(life)),)


def _deadline(before: Life, life: Life, _event: Event) -> tuple[Effect, ...]:
    if life.deadline_ms is None or (before.deadline_ms == life.deadline_ms and before.state is not State.SENDING):
        return ()
    return (Due(Work.ESCALATE, life.deadline_ms),)


def _stop_asking(_before: Life, _life: Life, _event: Event) -> tuple[Effect, ...]:
    return (Done(Work.ENQUIRE), Done(Work.ESCALATE))


def _stop_sending(_before: Life, _life: Life, _event: Event) -> tuple[Effect, ...]:
    return (Done(Work.SEND), Done(Work.EXPIRE))


def _watch_returns(_before: Life, life: Life, event: Event) -> tuple[Effect, ...]:
    """Success is not the last word: ask again, once a period, for as long as money may come back."""
    ends_ms = (life.last_write_ms or event.at_ms) + life.rules.returns_watch_ms
    next_ms = event.at_ms + life.rules.returns_every_ms
    return (Due(Work.RETURNS, next_ms),) if next_ms <= ends_ms else (Done(Work.RETURNS),)


def _stop_watching(_before: Life, _life: Life, _event: Event) -> tuple[Effect, ...]:
    return (Done(Work.RETURNS),)


def _too_late(_before: Life, _life: Life, _event: Event) -> tuple[Effect, ...]:
    return (Deny(Code.TOO_LATE),)


def _contradiction(_before: Life, _life: Life, _event: Event) -> tuple[Effect, ...]:
    return (Alarm("contradiction"), Tell(CORRECTION_EVENT))


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
        life, attempt=life.attempt + 1, first_write_ms=first, last_write_ms=event.at_ms, not_found=0,
        deadline_ms=event.at_ms + life.rules.deadline_ms, replaying=isinstance(event, Replay),
    )  # fmt: skip


def _unsent(life: Life, event: Event) -> Life:
    assert isinstance(event, NotSent)
    first_send = life.attempt == 1
    return replace(
        life, send_after_ms=event.retry_at_ms, deadline_ms=None,
        first_write_ms=None if first_send else life.first_write_ms,
        last_write_ms=None if first_send else life.last_write_ms,
    )  # fmt: skip


def _doubted(life: Life, _event: Event) -> Life:
    return replace(life, doubted=True, asked=0)


def _asked(life: Life, _event: Event) -> Life:
    return replace(life, asked=life.asked + 1)


def _redoubted(life: Life, event: Event) -> Life:
    return replace(_not_found(life, event), doubted=True)


def _not_found(life: Life, event: Event) -> Life:
    """Only a "not found" that was *asked* after the quarantine counts: an older answer can cross late bytes."""
    assert isinstance(event, Answered)
    counts = (
        event.asked_ms is not None
        and life.last_write_ms is not None
        and event.asked_ms >= life.last_write_ms + life.rules.quarantine_ms
    )
    return replace(life, asked=life.asked + 1, not_found=life.not_found + (1 if counts else 0))


def _pending_again(life: Life, event: Event) -> Life:
    return replace(life, asked=0, not_found=0, deadline_ms=event.at_ms + life.rules.deadline_ms)


def _resend_cleared(life: Life, event: Event) -> Life:
    return replace(life, send_after_ms=event.at_ms, asked=0, not_found=0, deadline_ms=None)


# ---- guards ------------------------------------------------------------------------------------------------------


def _resolved(fate: Fate | None) -> Guard:
    def guard(_life: Life, event: Event) -> bool:
        assert isinstance(event, Resolve)
        return event.fate is fate

    return guard


def _may_replay(life: Life, event: Event) -> bool:
    """The bank's own rules allow the very same bytes again, here and now.

    `replay_safe`: inside the deduplication window, less the time that bytes may be under way. `query_first`: only
    after enough "not found" answers that were asked after the quarantine.
    """
    rules = life.rules
    if life.first_write_ms is None:
        return False
    if rules.replay is Policy.REPLAY_SAFE:
        margin_ms = rules.quarantine_ms
        return rules.window_ms is None or event.at_ms < life.first_write_ms + rules.window_ms - margin_ms
    return rules.replay is Policy.QUERY_FIRST and life.not_found >= rules.not_found_needed


# ---- the table ---------------------------------------------------------------------------------------------------


def _in(*states: State) -> frozenset[State]:
    return frozenset(states)


S = State
_BEFORE = _in(S.ACCEPTED, S.HELD, S.READY)
_ASKING = _in(S.PENDING, S.IN_DOUBT, S.ESCALATED)
_NEVER_SENT_END = _in(S.REJECTED, S.CANCELLED, S.EXPIRED)
_BACK = _in(S.RETURNED, S.REVERSED)
_END = _in(S.SETTLED, S.FAILED) | _NEVER_SENT_END | _BACK
_ALL = frozenset(State)
_UNCLEAR = frozenset({Fate.UNKNOWN, Fate.DUPLICATE, Fate.NOT_FOUND})
_NEWS = frozenset({Fate.PENDING, Fate.UNKNOWN, Fate.DUPLICATE, Fate.NOT_FOUND})


def _fates(*fates: Fate) -> frozenset[Fate]:
    return frozenset(fates)


TABLE: tuple[Rule, ...] = (
    # before anything is sent
    Rule("release", _in(S.ACCEPTED, S.HELD), Release, S.READY, "nothing stands in its way",
         change=_released, then=(_send, _expire_watch)),
    Rule("hold", _in(S.ACCEPTED, S.READY), Hold, S.HELD, "a person or an hour must let it go",
         then=(lambda *_: (Done(Work.SEND),), _expire_watch)),
    Rule("reject", _in(S.ACCEPTED, S.HELD), Reject, S.REJECTED, "our own no, before anything was sent",
         then=(_stop_sending,)),
    Rule("cancel", _BEFORE, Cancel, S.CANCELLED, "nothing was sent, so withdrawing is safe", then=(_stop_sending,)),
    Rule("cancel_too_late", _ALL - _BEFORE, Cancel, None, "it may be at the bank, or is over", then=(_too_late,)),
    Rule("expire", _BEFORE, Expire, S.EXPIRED, "its time ran out before anything was sent", then=(_stop_sending,)),
    Rule("expire_moot", _ALL - _BEFORE, Expire, None, "it was sent, or is over", then=(lambda *_: (Done(Work.EXPIRE),),)),
    # sending
    Rule("send", _in(S.READY), Send, S.SENDING, "written down before the first byte leaves",
         change=_attempted, then=(_stop_sending, _deadline)),
    Rule("not_sent", _in(S.SENDING), NotSent, S.READY, "no byte was handed to the transport",
         when=lambda life, _e: not life.replaying, change=_unsent, then=(_stop_asking, _send, _expire_watch)),
    Rule("replay_not_sent", _in(S.SENDING), NotSent, S.IN_DOUBT, "the repeat did not leave; the first send is still in doubt",
         change=_doubted, then=(_enquire, _deadline)),
    Rule("silent", _in(S.SENDING), Silent, S.IN_DOUBT, "silence is not an answer",
         change=_doubted, then=(_enquire, _deadline)),
    Rule("silent_moot", _ALL - _in(S.SENDING), Silent, None, "an answer came another way first"),
    Rule("taken_over", _in(S.SENDING), TakenOver, S.IN_DOUBT, "whoever was sending is gone; only asking is safe",
         change=_doubted, then=(_enquire, _deadline)),
    Rule("replay", _in(S.IN_DOUBT, S.ESCALATED), Replay, S.SENDING, "the bank's rules allow the same bytes again",
         when=_may_replay, change=_attempted, then=(_stop_asking, _deadline)),
    Rule("replay_refused", _in(S.IN_DOUBT, S.ESCALATED), Replay, None, "the bank's rules do not allow it (any more)",
         then=(_enquire,)),
    Rule("replay_moot", _ALL - _in(S.IN_DOUBT, S.ESCALATED), Replay, None, "no longer in doubt"),
    # the answer on the sending connection
    Rule("sent_settled", _in(S.SENDING), Answered, S.SETTLED, "the bank's explicit yes",
         fates=_fates(Fate.SETTLED), then=(_stop_asking, _watch_returns)),
    Rule("sent_failed", _in(S.SENDING), Answered, S.FAILED, "the bank's explicit no",
         fates=_fates(Fate.FAILED), then=(_stop_asking,)),
    Rule("sent_pending", _in(S.SENDING), Answered, S.PENDING, "taken, not decided",
         fates=_fates(Fate.PENDING), change=lambda life, _e: replace(life, asked=0), then=(_enquire, _deadline)),
    Rule("replay_known", _in(S.SENDING), Answered, S.PENDING, "the repeat is refused as one: the first copy arrived",
         fates=_fates(Fate.DUPLICATE), when=lambda life, _e: life.replaying,
         change=lambda life, _e: replace(life, asked=0), then=(_enquire, _deadline)),
    Rule("sent_unclear", _in(S.SENDING), Answered, S.IN_DOUBT, "a duplicate, an unlisted code or a non-answer is doubt",
         fates=_UNCLEAR, change=_doubted, then=(_enquire, _deadline)),
    # words about a payment that is being asked about
    Rule("asked_settled", _ASKING, Answered, S.SETTLED, "the bank's explicit yes",
         fates=_fates(Fate.SETTLED), then=(_stop_asking, _watch_returns)),
    Rule("asked_failed", _ASKING, Answered, S.FAILED, "the bank's explicit no",
         fates=_fates(Fate.FAILED), then=(_stop_asking,)),
    Rule("asked_pending", _in(S.IN_DOUBT, S.ESCALATED), Answered, S.PENDING, "the bank has it",
         fates=_fates(Fate.PENDING), change=_pending_again, then=(_enquire, _deadline)),
    Rule("still_pending", _in(S.PENDING), Answered, None, "no news",
         fates=_fates(Fate.PENDING), change=_asked, then=(_enquire,)),
    Rule("pending_unclear", _in(S.PENDING), Answered, None, "the bank's earlier word stands; ask again",
         fates=_fates(Fate.UNKNOWN, Fate.DUPLICATE), change=_asked, then=(_enquire,)),
    Rule("pending_not_found", _in(S.PENDING), Answered, S.IN_DOUBT, "the bank contradicts its own acceptance",
         fates=_fates(Fate.NOT_FOUND), change=_redoubted, then=(_alarm("answers_disagree"), _enquire)),
    Rule("doubt_not_found", _in(S.IN_DOUBT, S.ESCALATED), Answered, None, "not found is never failure",
         fates=_fates(Fate.NOT_FOUND), change=_not_found, then=(_enquire,)),
    Rule("doubt_unclear", _in(S.IN_DOUBT, S.ESCALATED), Answered, None, "no usable word yet",
         fates=_fates(Fate.UNKNOWN, Fate.DUPLICATE), change=_asked, then=(_enquire,)),
    Rule("asked_in_vain", _ASKING, AskedInVain, None, "ask again, without end", change=_asked, then=(_enquire,)),
    Rule("watched_in_vain", _in(S.SETTLED), AskedInVain, None, "ask again whether it came back",
         then=(lambda *_: (Done(Work.ENQUIRE),), _watch_returns)),
    Rule("asked_in_vain_moot", _ALL - _ASKING - _in(S.SETTLED), AskedInVain, None, "known by now",
         then=(lambda *_: (Done(Work.ENQUIRE),),)),
    Rule("overdue", _in(S.PENDING, S.IN_DOUBT), Overdue, S.ESCALATED, "people must look; asking goes on",
         change=lambda life, _e: replace(life, deadline_ms=None),
         then=(_alarm("escalated"), lambda *_: (Done(Work.ESCALATE),), _enquire)),
    Rule("overdue_moot", _ALL - _in(S.PENDING, S.IN_DOUBT, S.SENDING), Overdue, None, "known by now",
         then=(lambda *_: (Done(Work.ESCALATE),),)),
    Rule("overdue_sending", _in(S.SENDING), Overdue, S.ESCALATED, "an exchange outlived every time-out",
         change=_doubted, then=(_alarm("escalated"), lambda *_: (Done(Work.ESCALATE),), _enquire)),
    # success is not the last word
    Rule("returned", _in(S.SENDING, S.SETTLED) | _ASKING, Answered, S.RETURNED, "the money came back",
         fates=_fates(Fate.RETURNED), then=(_stop_asking, _stop_watching)),
    Rule("reversed", _in(S.SENDING, S.SETTLED) | _ASKING, Answered, S.REVERSED, "the bank took its booking back",
         fates=_fates(Fate.REVERSED), then=(_stop_asking, _stop_watching)),
    Rule("settled_again", _in(S.SETTLED), Answered, None, "a repeat of what is known",
         fates=_fates(Fate.SETTLED), then=(_watch_returns,)),
    Rule("settled_old_news", _in(S.SETTLED), Answered, None, "an older answer overtaken by the final one",
         fates=_NEWS, then=(_watch_returns,)),
    Rule("failed_again", _in(S.FAILED), Answered, None, "a repeat of what is known", fates=_fates(Fate.FAILED)),
    Rule("failed_old_news", _in(S.FAILED), Answered, None, "an older answer overtaken by the final one",
         fates=_fates(Fate.UNKNOWN, Fate.DUPLICATE, Fate.NOT_FOUND)),
    Rule("back_again", _BACK, Answered, None, "money came back already; older or repeated news",
         fates=_NEWS | _fates(Fate.SETTLED, Fate.RETURNED, Fate.REVERSED)),
    # contradictions are told, never written over
    Rule("settled_contradicted", _in(S.SETTLED), Answered, None, "told settled, now refused: a person must look",
         fates=_fates(Fate.FAILED), then=(_contradiction,)),
    Rule("failed_contradicted", _in(S.FAILED), Answered, None, "told failed, now taken: a person must look",
         fates=_fates(Fate.SETTLED, Fate.PENDING, Fate.RETURNED, Fate.REVERSED), then=(_contradiction,)),
    Rule("back_contradicted", _BACK, Answered, None, "told returned, now refused", fates=_fates(Fate.FAILED),
         then=(_contradiction,)),
    Rule("unsent_known", _in(S.READY), Answered, S.ESCALATED, "the bank knows a payment we did not send: stop",
         fates=_fates(Fate.SETTLED, Fate.PENDING, Fate.RETURNED, Fate.REVERSED, Fate.DUPLICATE),
         change=_doubted, then=(_stop_sending, _contradiction, _enquire)),
    Rule("unsent_unknown", _in(S.READY), Answered, None, "it was not sent, and the bank does not have it",
         fates=_fates(Fate.FAILED, Fate.UNKNOWN, Fate.NOT_FOUND)),
    Rule("ended_known", _NEVER_SENT_END, Answered, None, "the bank knows a payment that ended before sending",
         fates=_fates(Fate.SETTLED, Fate.PENDING, Fate.RETURNED, Fate.REVERSED, Fate.DUPLICATE),
         then=(_contradiction,)),
    Rule("ended_unknown", _NEVER_SENT_END, Answered, None, "it was never sent",
         fates=_fates(Fate.FAILED, Fate.UNKNOWN, Fate.NOT_FOUND)),
    # two persons with evidence
    Rule("resolved_settled", _in(S.IN_DOUBT, S.ESCALATED), Resolve, S.SETTLED, "two persons saw it was paid",
         when=_resolved(Fate.SETTLED), then=(_stop_asking, _watch_returns)),
    Rule("resolved_failed", _in(S.IN_DOUBT, S.ESCALATED), Resolve, S.FAILED, "two persons saw it was not paid",
         when=_resolved(Fate.FAILED), then=(_stop_asking,)),
    Rule("resolved_resend", _in(S.IN_DOUBT, S.ESCALATED), Resolve, S.READY, "two persons let it be sent again",
         when=_resolved(None), change=_resend_cleared, then=(_stop_asking, _send, _expire_watch)),
    Rule("resolve_denied", _ALL - _in(S.IN_DOUBT, S.ESCALATED), Resolve, None, "only doubt can be resolved",
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
    """Decide what `event` does to a payment in `life`. Raises Impossible if the table has no row for it."""
    fate = event.fate if isinstance(event, Answered) else None
    for rule in _INDEX.get((life.state, type(event), fate), ()):
        if rule.when is None or rule.when(life, event):
            return _carry_out(rule, life, event)
    raise Impossible(f"{type(event).__name__}({fate.value if fate else ''}) cannot happen in {life.state.value}")


def _carry_out(rule: Rule, life: Life, event: Event) -> Step:
    after = rule.change(life, event) if rule.change else life
    told: tuple[Effect, ...] = ()
    if rule.after is not None:
        after = replace(after, state=rule.after)
        facts = STATE_TABLE[rule.after]
        if facts.event is not None and (not facts.optional or life.tell_sent):
            told = (Tell(facts.event),)
    effects = told + tuple(effect for consequence in rule.then for effect in consequence(life, after, event))
    told_count = sum(isinstance(effect, Tell) for effect in effects)
    after = replace(after, seq=after.seq + told_count) if told_count else after
    assert after.attempt >= life.attempt and after.seq >= life.seq
    return Step(after, effects, rule.name)


def born(rules: Rules, *, valid_until_ms: int | None = None, tell_sent: bool = False) -> Life:
    """The life of an order just accepted; its reply `payment.accepted` is number 1."""
    return Life(State.ACCEPTED, rules, seq=1, valid_until_ms=valid_until_ms, tell_sent=tell_sent)
