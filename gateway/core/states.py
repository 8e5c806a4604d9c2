"""What the payment table reads and says: a payment's life, the events that may befall it, the effects that follow.

Times are integer milliseconds of UTC since 1970 (`_ms`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from protocols.canon.errors import Code
from protocols.canon.outcome import Fate, State


class Policy(StrEnum):
    """What may be done with a payment in doubt besides asking (as the bank's profile declares it)."""

    NEVER = "never"
    QUERY_FIRST = "query_first"
    REPLAY_SAFE = "replay_safe"


@dataclass(frozen=True, slots=True)
class Rules:
    """The bank's rules for one payment, fixed when it was accepted, in milliseconds.

    `window_ms` None: the bank deduplicates references for ever. `same_day`: only within the bank day of the first send.
    `most_repeats` is how often the stored bytes may leave again by themselves; 0: never.
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
    """The rules that hold for a payment: of each limit on repeats, the stricter of the stored and the current one.

    `stored` are the rules of its acceptance, `current` those of the settings now. Deadlines, the watch over returns and
    the pace of enquiries permit no repeat; they stay as stored.
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


KNOWN = -1
"""Value of `Life.not_found` from when on the payment's absence at the bank proves nothing, so it is never repeated: the
bank has acknowledged it, or a clock that was ahead dated it and its age is unknown."""


@dataclass(frozen=True, slots=True)
class Life:
    """A payment as the table sees it.

    `seq` numbers the events told to the ERP; `asked` counts enquiries since the doubt began; `not_found` counts the
    "not found" answers that were asked after the quarantine (or is KNOWN); `doubted` is whether it ever was in doubt;
    `repeats` counts how often the stored bytes left again, the attempt under way included; `last_write_ms` is when
    bytes last may have left; `since_ms` is when it came into its state.
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
    """The life of an order just accepted; its reply `payment.accepted` is number 1."""
    return Life(State.ACCEPTED, rules, seq=1, valid_until_ms=valid_until_ms, tell_sent=tell_sent)


class Source(StrEnum):
    """Where a word about a payment came from; the evidence ladder orders them."""

    SUBMIT = "submit"
    ENQUIRY = "enquiry"
    RETURNS = "returns"
    STATEMENT = "statement"
    PERSONS = "persons"


@dataclass(frozen=True, slots=True)
class Release:
    """Checks or persons let it go: it may be sent from `send_after_ms` on. `cleared` are the reasons they cleared."""

    at_ms: int
    send_after_ms: int
    cleared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """It waits for a person; `reason` is a slug such as `suspected_duplicate`, `also` are further ones.

    `cleared` are reasons that a person cleared in the same step, while these stay.
    """

    at_ms: int
    reason: str
    also: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """All of them, the gravest first."""
        return (self.reason, *self.also)


@dataclass(frozen=True, slots=True)
class Reject:
    """We say no before anything was sent."""

    at_ms: int
    code: Code


@dataclass(frozen=True, slots=True)
class Cancel:
    """The ERP or an operator withdraws it."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Expire:
    """`valid_until` has passed."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Send:
    """The bytes are written down and about to leave: the `sending` commit."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class NotSent:
    """Proof that no byte of `attempt` was handed to the transport; `retry_at_ms` is when to try again.

    `attempt` None, here and below: whichever attempt is the latest.
    """

    at_ms: int
    reason: str
    retry_at_ms: int
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class Silent:
    """No usable answer: time-out, reset, half an answer, wrong signature, somebody else's answer."""

    at_ms: int
    reason: str
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class TakenOver:
    """This node found the payment in `sending` by another owner or by its own former life."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A verified word about the payment.

    `asked_ms` is when the question left (for enquiries), `attempt` which send was answered (for Source.SUBMIT),
    `day_over` whether the bank's day of the latest send has ended by now. `clock_sure` False: when it was asked,
    it could not be told for how long the latest copy had been under way, so it counts as asked within the quarantine.
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
    """An enquiry brought no usable answer; `day_over` as with an answer."""

    at_ms: int
    reason: str
    day_over: bool = False


@dataclass(frozen=True, slots=True)
class Overdue:
    """The deadline for an answer has passed."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Resolve:
    """Two persons decide with evidence: `fate` SETTLED or FAILED, or None to let it be sent again.

    `attempt` is the latest send they knew of: evidence gathered before a repeat says nothing about it.
    """

    at_ms: int
    fate: Fate | None
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """The stored bytes are about to leave again: the `sending` commit of attempt n+1.

    `day_ends_ms` is when the bank day that the bytes name is over.
    """

    at_ms: int
    day_ends_ms: int | None = None


Event = (
    Release | Hold | Reject | Cancel | Expire | Send | NotSent | Silent | TakenOver
    | Answered | AskedInVain | Overdue | Resolve | Replay
)  # fmt: skip


class Work(StrEnum):
    """The only timers of record; one row per payment and kind."""

    SEND = "send"
    ENQUIRE = "enquire"
    ESCALATE = "escalate"
    RETURNS = "returns"
    EXPIRE = "expire"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the ERP: one outbox row, numbered by the life's new `seq`."""

    event: str


@dataclass(frozen=True, slots=True)
class Due:
    """Set the work row of this kind to be due at `at_ms`."""

    work: Work
    at_ms: int


@dataclass(frozen=True, slots=True)
class Done:
    """Delete the work row of this kind, if there is one."""

    work: Work


@dataclass(frozen=True, slots=True)
class Alarm:
    """Count it, log it, and page somebody: `slug` is a closed label."""

    slug: str


@dataclass(frozen=True, slots=True)
class Deny:
    """The asker is told no; nothing changed."""

    code: Code


Effect = Tell | Due | Done | Alarm | Deny
