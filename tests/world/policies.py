"""Ways to run a payment's life: known wrong ones, each with the promise that it breaks, and safe ones.

A wrong one is the real table with one part swapped: what follows a row, what is tested at the socket, how much the
quarantine covers. The names are those that the design has given them.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.kernel.core.states import Answered, Resolve, Rules, Source
from gateway.kernel.core.states import Policy as Replaying
from protocols.canon.outcome import Fate
from tests.world.policy import (
    DOUBLE,
    FAILED_BUT_PAID,
    FLIGHT,
    LOST,
    ORPHAN,
    TOO_LATE,
    TTL,
    BankRules,
    Fence,
    Gate,
    Policy,
)

QUIET = TTL + FLIGHT
"""A quarantine that outlives a permit and the bytes that left under it."""
_NEVER = 1_000


def _rules(
    replay: Replaying = Replaying.NEVER,
    quarantine: int = QUIET,
    *,
    window_ms: int | None = None,
    deadline_ms: int = _NEVER,
) -> Rules:
    return Rules(replay, quarantine, not_found_needed=1, window_ms=window_ms, deadline_ms=deadline_ms)


def _again(at_ms: int) -> Resolve:
    """Allow a second send. As an act of persons it is permitted; as a rule of a policy it is the mistake."""
    return Resolve(at_ms, None)


def _failed(at_ms: int) -> Answered:
    return Answered(at_ms, Fate.FAILED, Source.ENQUIRY)


def _once(rules: Rules) -> Rules:
    """The same rules with one repeat at most."""
    return replace(rules, most_repeats=1)


BLIND = {"silent": _again, "taken_over": _again}
_QUERY = _rules(Replaying.QUERY_FIRST)
_SAFE = _rules(Replaying.REPLAY_SAFE, FLIGHT)
_CARELESS = _rules(Replaying.REPLAY_SAFE, 0)
_REUSING = BankRules(dedup=True, refuses=True, reuses=True)
_WINDOW = 3
_WINDOWED = BankRules(dedup=True, window=_WINDOW)


def _windowed(quarantine: int) -> Rules:
    return _rules(Replaying.REPLAY_SAFE, quarantine, window_ms=_WINDOW)


BAD: tuple[Policy, ...] = (
    Policy("P1", "send, then write it down", _rules(), persist_first=False, gate=Gate.NONE, until=3, breaks=DOUBLE),
    Policy(
        "P2",
        "silence or a crash lets it be sent again, a bank that books what it is sent",
        _rules(),
        follow=BLIND,
        until=3,
        breaks=DOUBLE,
    ),
    Policy(
        "P2c",
        "the same, a bank that forgets references at its day's end",
        _rules(),
        BankRules(True, 2),
        follow=BLIND,
        until=4,
        breaks=DOUBLE,
    ),
    Policy(
        "P3", "'not found' lets it be sent again", _rules(), follow={"doubt_not_found": _again}, until=3, breaks=DOUBLE
    ),
    Policy(
        "P4",
        "'not found', then a quarantine, then again",
        _rules(Replaying.QUERY_FIRST, 0),
        quiet=QUIET,
        resend=True,
        until=6,
        breaks=DOUBLE,
    ),
    Policy(
        "P4b",
        "asked after a quarantine that does not cover a paused sender",
        _rules(Replaying.QUERY_FIRST, FLIGHT + 1),
        gate=Gate.NONE,
        stall=2,
        resend=True,
        until=5,
        breaks=DOUBLE,
    ),
    Policy(
        "P5",
        "'not found' is told as failed",
        _rules(),
        follow={"doubt_not_found": _failed},
        until=3,
        breaks=FAILED_BUT_PAID,
    ),
    Policy(
        "P6",
        "the new owner of the lane sends what the old one had in sending, fenced by the epoch",
        _rules(),
        follow={"taken_over": _again},
        until=4,
        breaks=DOUBLE,
    ),
    Policy(
        "P8",
        "a known window, looked at when deciding",
        _windowed(0),
        _WINDOWED,
        gate=Gate.NONE,
        resend=True,
        until=5,
        breaks=DOUBLE,
    ),
    Policy(
        "P9",
        "the same, less the time bytes may take",
        _windowed(FLIGHT),
        _WINDOWED,
        gate=Gate.NONE,
        resend=True,
        until=5,
        breaks=DOUBLE,
    ),
    Policy(
        "P9w without margin",
        "the window looked at in the turn of the write, bytes may still be under way",
        _windowed(0),
        _WINDOWED,
        window_at_write=True,
        resend=True,
        until=5,
        breaks=DOUBLE,
    ),
    # Found by this model, besides the known ones.
    Policy(
        "P4d",
        "as P4c, but a lease renewed since the commit counts as a permit: the quarantine began long ago",
        _QUERY,
        gate=Gate.LEASE,
        resend=True,
        until=5,
        breaks=DOUBLE,
    ),
    Policy(
        "P11",
        "an old owner's commit is held against the payment's epoch alone",
        _rules(),
        fence=Fence.ROW,
        until=4,
        breaks=ORPHAN,
    ),
    Policy(
        "P14",
        "the no to a repeat is believed, a bank that looks at the clothes before the reference",
        _SAFE,
        BankRules(dedup=True, blunt=True),
        follow={"repeat_refused": _failed},
        resend=True,
        attempts=2,
        until=3,
        breaks=FAILED_BUT_PAID,
    ),
    Policy(
        "P15",
        "a no that was asked for before the repeat arrived is believed, a bank that refused the first copy",
        _SAFE,
        _REUSING,
        follow={"asked_failed_overtaken": _failed},
        beside=True,
        resend=True,
        attempts=2,
        crashes=0,
        until=3,
        breaks=FAILED_BUT_PAID,
    ),
    Policy(
        "P16",
        "persons sign what they saw before a repeat",
        _QUERY,
        persons=True,
        slow_persons=True,
        blind_persons=True,
        resend=True,
        attempts=2,
        crashes=0,
        until=4,
        breaks=FAILED_BUT_PAID,
    ),
    Policy(
        "P17",
        "repeated after the order's own end",
        _SAFE,
        BankRules(dedup=True),
        valid_until=2,
        resend=True,
        attempts=2,
        until=3,
        breaks=TOO_LATE,
    ),
    Policy(
        "P18",
        "repeated on the next day, a bank that forgets with its day",
        _SAFE,
        BankRules(dedup=True, forgets_at=2),
        window_at_write=True,
        day_ends=2,
        resend=True,
        attempts=2,
        until=3,
        breaks=DOUBLE,
    ),
    Policy("P12", "acknowledged, then taken in", _rules(), ack_first=True, publishes=1, until=1, breaks=LOST),
    Policy(
        "P13",
        "cancelled although it may have left",
        _rules(),
        follow={"cancel_too_late": _failed},
        cancels=1,
        until=2,
        breaks=FAILED_BUT_PAID,
    ),
    Policy(
        "planted",
        "a line that writes everything twice, a bank that books what it is sent",
        _rules(),
        copies=2,
        until=2,
        breaks=DOUBLE,
    ),
)

GOOD: tuple[Policy, ...] = (
    Policy(
        "P2b",
        "silence lets it be sent again, a bank that knows a reference for ever",
        _rules(),
        BankRules(dedup=True),
        follow=BLIND,
        until=2,
    ),
    Policy(
        "P4a",
        "asked after a quarantine that covers bytes under way and paused senders",
        _rules(Replaying.QUERY_FIRST, FLIGHT + 2),
        gate=Gate.NONE,
        stall=1,
        resend=True,
        until=5,
    ),
    Policy("P4c", "asked after a quarantine, and a permit at the socket", _QUERY, resend=True, until=5),
    Policy(
        "P7",
        "the same reference, a bank that knows it for ever",
        _SAFE,
        BankRules(dedup=True, refuses=True),
        resend=True,
        attempts=2,
        until=2,
    ),
    Policy(
        "P9w",
        "the window, less the time bytes may take, looked at in the turn of the write",
        _windowed(FLIGHT),
        _WINDOWED,
        window_at_write=True,
        resend=True,
        attempts=2,
        crashes=0,
        until=4,
    ),
    Policy(
        "P9d",
        "the bank's day of the first send, less the same time, looked at in the turn of the write",
        replace(_SAFE, same_day=True),
        BankRules(dedup=True, forgets_at=3),
        window_at_write=True,
        day_ends=3,
        resend=True,
        attempts=2,
        crashes=0,
        until=4,
    ),
    Policy(
        "P7 and a blunt bank",
        "the no to a repeat is doubt, and the bank is asked",
        replace(_once(_SAFE), deadline_ms=2),
        BankRules(dedup=True, refuses=True, blunt=True),
        resend=True,
        attempts=3,
        crashes=0,
        until=3,
    ),
    Policy(
        "P7 and a reusing bank",
        "a no of one copy is not the no of all, and the bank is asked again later",
        _rules(Replaying.REPLAY_SAFE),
        _REUSING,
        beside=True,
        resend=True,
        attempts=2,
        crashes=0,
        until=6,
    ),
    Policy(
        "P4c beside",
        "enquiries answered while a repeat is under way, a bank that decides late",
        _once(_QUERY),
        BankRules(refuses=True, takes=True),
        window_at_write=True,
        beside=True,
        resend=True,
        attempts=2,
        crashes=0,
        until=4,
    ),
    Policy(
        "P4c and persons",
        "persons who look first and sign later, and say which send they knew of",
        _once(_QUERY),
        persons=True,
        slow_persons=True,
        window_at_write=True,
        resend=True,
        attempts=2,
        crashes=0,
        until=4,
    ),
    Policy(
        "P4c and an end",
        "the order's own end, looked at in the turn of the write",
        _QUERY,
        valid_until=4,
        window_at_write=True,
        resend=True,
        attempts=2,
        until=5,
    ),
    Policy(
        "P10",
        "written down first, asked about, never sent again, two persons at the deadline",
        _rules(deadline_ms=2),
        BankRules(refuses=True, takes=True),
        persons=True,
        until=3,
    ),
    Policy(
        "P10 and an ERP",
        "the same, published twice and cancelled",
        _rules(),
        BankRules(refuses=True),
        publishes=2,
        cancels=1,
        until=2,
    ),
    Policy(
        "P10 and returns", "the same, and money that comes back", _rules(), BankRules(takes=True, returns=True), until=3
    ),
    Policy(
        "P10 and skewed clocks", "the same, a node that believes leases to end a unit early", _rules(), skew=1, until=3
    ),
    Policy("P10 and two payments", "the same, two payments in one lane", _rules(), payments=2, until=2),
)
