"""The parts of a way to run a payment's life, and the promises that it may break: the types of tests/world/model.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.kernel.core.states import Event, Rules

FLIGHT = 1
"""The longest time that bytes may be under way."""
TTL = 2
"""The length of a lease and of a permit."""


class Gate(StrEnum):
    """The condition tested in the same turn as the write."""

    NONE = "nothing"
    LEASE = "the lease holds now"
    PERMIT = "the lease holds, and the commit is not older than a lease"


class Fence(StrEnum):
    """The epoch against which a node's commit is checked."""

    ROW = "the payment's, as it was last touched"
    LANE = "the lane's, too"


@dataclass(frozen=True, slots=True)
class BankRules:
    """The way in which the bank treats a reference that it knows: `dedup` refuses it, for `window` units of time or for
    ever.

    Beside saying yes it may refuse, take first and decide later, and give back. `forgets_at` is when its day ends and
    with it its memory of references. `reuses`: a reference it refused may be used again. A `blunt` bank may say no to any copy before it looks whether it knows it.
    """

    dedup: bool = False
    window: int | None = None
    refuses: bool = False
    takes: bool = False
    returns: bool = False
    forgets_at: int | None = None
    blunt: bool = False
    reuses: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """One variant of the rules with which the state table is run.

    `follow` names rows after which another event is let befall the payment at once: how a known mistake is expressed.
    `resend` lets the lane apply Replay when the table allows it; `quiet` is an extra wait at that decision, from the
    last write. `window_at_write` asks the table again at the socket. `stall` bounds how long a sender may stand still
    between its commit and its write (None: for ever). `copies` is how often a write really leaves. `persons` may
    resolve on the evidence that the table counts; `slow_persons` look first and sign later, and say which send they knew
    of unless they are `blind_persons`. `beside`: an enquiry's answer may be recorded while other things happen.
    `valid_until` is the order's own end, `day_ends` what the lane believes of the bank's day. `until` and `attempts` bound the exploration: the last moment,
    and how often a payment may be in sending.
    """

    name: str
    what: str
    rules: Rules
    bank: BankRules = BankRules()
    gate: Gate = Gate.PERMIT
    fence: Fence = Fence.LANE
    follow: Mapping[str, Callable[[int], Event]] = field(default_factory=dict)
    persist_first: bool = True
    ack_first: bool = False
    resend: bool = False
    quiet: int = 0
    window_at_write: bool = False
    stall: int | None = None
    copies: int = 1
    persons: bool = False
    slow_persons: bool = False
    blind_persons: bool = False
    beside: bool = False
    valid_until: int | None = None
    day_ends: int | None = None
    skew: int = 0
    payments: int = 1
    publishes: int = 0
    cancels: int = 0
    crashes: int = 1
    until: int = 7
    attempts: int = 3
    breaks: str | None = None


# ---- what may never be -------------------------------------------------------------------------------------------

DOUBLE = "executed twice"
FAILED_BUT_PAID = "told failed, but paid"
UNSENT_BUT_PAID = "told that it was not sent, but paid"
SETTLED_UNPAID = "told settled, but not paid"
TOO_LATE = "left after its validity"
CORRECTED = "corrected, though the bank never contradicted itself"
NO_PERMIT = "sent without a permit"
BOTH_SENT = "one attempt left twice"
BOTH_PERMITTED = "two nodes hold a permit at once"
LOST = "acknowledged, and nothing is known of it"
ORPHAN = "in sending, and nobody will ask"
IMPOSSIBLE = "the table has no row for what happened"
