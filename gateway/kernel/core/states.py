"""The types of the payment state machine: a payment's life (state and counters), its events, and their effects.

Times are integer milliseconds of UTC since 1970 (`_ms`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from protocols.canon.errors import Code
from protocols.canon.fast_init import fast_init
from protocols.canon.outcome import Fate, State


class Policy(StrEnum):
    """The bank's policy for a payment in doubt, by its profile: never repeat it, enquire first, or repeat it safely."""

    NEVER = "never"
    QUERY_FIRST = "query_first"
    REPLAY_SAFE = "replay_safe"


@dataclass(frozen=True, slots=True)
class Rules:
    """The bank's rules for one payment, fixed when the payment was accepted. Durations are in milliseconds.

    `window_ms` None: the bank detects duplicate references without a time limit. `same_day`: it detects them only
    within the bank day of the first send. `most_repeats` is how many times the stored bytes may be sent again
    automatically.
    """

    replay: Policy = Policy.NEVER
    quarantine_ms: int = 600_000
    not_found_needed: int = 2
    window_ms: int | None = None
    deadline_ms: int = 86_400_000
    returns_watch_ms: int = 604_800_000
    returns_every_ms: int = 86_400_000
    first_enquiry_ms: int = 2_000
    same_day: bool = False
    most_repeats: int = 3


_STRICTNESS = {Policy.REPLAY_SAFE: 0, Policy.QUERY_FIRST: 1, Policy.NEVER: 2}


@lru_cache(maxsize=1024)
def stricter(stored: Rules, current: Rules) -> Rules:
    """The effective rules of a payment: for each limit on repeats, the stricter of the stored and the current one.

    `stored` was fixed at acceptance, `current` comes from the present settings. Deadlines, the returns watch and the
    enquiry intervals do not permit a repeat, so they stay as stored.
    """
    windows_ms = [rules.window_ms for rules in (stored, current) if rules.window_ms is not None]
    return replace(
        stored,
        replay=max(stored.replay, current.replay, key=_STRICTNESS.__getitem__),
        quarantine_ms=max(stored.quarantine_ms, current.quarantine_ms),
        not_found_needed=max(stored.not_found_needed, current.not_found_needed),
        window_ms=min(windows_ms, default=None),
        same_day=stored.same_day or current.same_day,
        most_repeats=min(stored.most_repeats, current.most_repeats),
    )


UNSENT = frozenset({State.ACCEPTED, State.HELD, State.READY})
"""The states in which nothing of the payment is on its way: it can still be held, cancelled or approved."""
KNOWN = -1
"""Value of `Life.not_found` that forbids any repeat, because "not found" no longer proves that the bank lacks the
payment: the bank has acknowledged it, or a clock that was ahead dated it, so its age is unknown."""


@fast_init
@dataclass(frozen=True, slots=True)
class Life:
    """A payment's state and the counters that the state table decides by.

    `seq` numbers the events sent to the ERP; `asked` counts enquiries since the doubt began; `not_found` counts the
    "not found" answers to enquiries made after the quarantine (or is KNOWN); `doubted` tells whether the payment was
    ever in doubt; `repeats` counts the repeated sends, including the one in progress; `last_write_ms` is the latest
    moment at which bytes may have been sent; `since_ms` is when the payment entered its state.
    """

    state: State
    rules: Rules = Rules()
    seq: int = 0
    attempt: int = 0
    asked: int = 0
    not_found: int = 0
    doubted: bool = False
    repeats: int = 0
    first_write_ms: int | None = None
    last_write_ms: int | None = None
    deadline_ms: int | None = None
    send_after_ms: int | None = None
    valid_until_ms: int | None = None
    tell_sent: bool = False
    since_ms: int = 0


def born(rules: Rules, *, valid_until_ms: int | None = None, tell_sent: bool = False) -> Life:
    """The life of a newly accepted order. Its reply `payment.accepted` has number 1."""
    return Life(State.ACCEPTED, rules, seq=1, valid_until_ms=valid_until_ms, tell_sent=tell_sent)


class Source(StrEnum):
    """The source of information about a payment."""

    SUBMIT = "submit"
    ENQUIRY = "enquiry"
    RETURNS = "returns"
    STATEMENT = "statement"
    PERSONS = "persons"


@fast_init
@dataclass(frozen=True, slots=True)
class Release:
    """The event that the checks passed, or that persons released the payment: it may be sent from `send_after_ms` on.
    `cleared`: the reasons released.
    """

    at_ms: int
    send_after_ms: int
    cleared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """The event that the payment must wait for a person. `reason` is a slug such as `suspected_duplicate`; `also` are
    further reasons.

    `cleared` are the reasons that a person released in the same step.
    """

    at_ms: int
    reason: str
    also: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """All reasons, the most serious first."""
        return (self.reason, *self.also)


@dataclass(frozen=True, slots=True)
class Reject:
    """The event that the gateway rejects the order before anything was sent."""

    at_ms: int
    code: Code


@dataclass(frozen=True, slots=True)
class Cancel:
    """The event that the ERP or an operator withdraws the order."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Expire:
    """The event that the order's `valid_until` has passed."""

    at_ms: int


@fast_init
@dataclass(frozen=True, slots=True)
class Send:
    """The event of the `sending` commit: the payment's bytes are stored and will be sent next."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class NotSent:
    """The event that no byte of `attempt` was handed to the transport; `retry_at_ms` is when to try again.

    `attempt` None, here and below, means the latest attempt.
    """

    at_ms: int
    reason: str
    retry_at_ms: int
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class Silent:
    """The event that the bank gave no usable answer: time-out, reset, partial answer, wrong signature, or an answer to
    another message.
    """

    at_ms: int
    reason: str
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The event that this node found the payment in `sending`, left by another node or by its own previous process."""

    at_ms: int


@fast_init
@dataclass(frozen=True, slots=True)
class Answered:
    """The event of a verified answer of the bank about the payment.

    `asked_ms`: when the enquiry was sent. `attempt`: which send was answered (for Source.SUBMIT). `day_over`: whether
    the bank day of the latest send has ended. `clock_sure` False: the node's clock could not tell how long ago the
    latest copy was sent, so the answer counts as asked within the quarantine.
    """

    at_ms: int
    fate: Fate
    source: Source
    asked_ms: int | None = None
    attempt: int | None = None
    day_over: bool = False
    clock_sure: bool = True


@dataclass(frozen=True, slots=True)
class AskedInVain:
    """The event that an enquiry got no usable answer; `day_over` as in Answered."""

    at_ms: int
    reason: str
    day_over: bool = False


@dataclass(frozen=True, slots=True)
class Overdue:
    """The event that the deadline for the bank's answer has passed."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Resolve:
    """The event that two persons decided on evidence: `fate` is SETTLED or FAILED, or None to send the payment again.

    `attempt` is the latest send that they knew of: evidence from before a repeat does not cover the repeat.
    """

    at_ms: int
    fate: Fate | None
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """The event of a repeat's `sending` commit: the stored bytes will be sent again as attempt n+1.

    `day_ends_ms` is the end of the bank day that the bytes name.
    """

    at_ms: int
    day_ends_ms: int | None = None


Event = (
    Release
    | Hold
    | Reject
    | Cancel
    | Expire
    | Send
    | NotSent
    | Silent
    | TakenOver
    | Answered
    | AskedInVain
    | Overdue
    | Resolve
    | Replay
)


class Work(StrEnum):
    """The kinds of scheduled work. The journal keeps one row per payment and kind; there are no other timers of
    record."""

    SEND = "send"
    ENQUIRE = "enquire"
    ESCALATE = "escalate"
    RETURNS = "returns"
    EXPIRE = "expire"
    REPLAY = "replay"


@fast_init
@dataclass(frozen=True, slots=True)
class SendNews:
    """The effect of sending an event to the ERP: one outbox row, numbered by the life's new `seq`."""

    event: str


@fast_init
@dataclass(frozen=True, slots=True)
class ScheduleWork:
    """The effect of setting the work row of this kind to be due at `at_ms`."""

    work: Work
    at_ms: int


@fast_init
@dataclass(frozen=True, slots=True)
class WorkDone:
    """The effect of deleting the work row of this kind, if there is one."""

    work: Work


@dataclass(frozen=True, slots=True)
class Alarm:
    """The effect of counting and logging an alarm; `slug` is one of a fixed set of labels."""

    slug: str


@dataclass(frozen=True, slots=True)
class Deny:
    """The effect of refusing the request; nothing changes."""

    code: Code


Effect = SendNews | ScheduleWork | WorkDone | Alarm | Deny
