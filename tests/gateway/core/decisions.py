"""What the table decides for tens of thousands of lives and events, as a digest per row and part of the lives.

The lives lie around every threshold that a guard or a consequence knows: one millisecond before, at, and after it.
A row whose digest changes decides differently somewhere; most such changes show in the first part. If it was meant:
`.venv/bin/python -m tests.gateway.core.decisions --write`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from itertools import islice, product
from pathlib import Path

from gateway.core import flow, guards
from gateway.core.states import (
    KNOWN,
    Answered,
    AskedInVain,
    Cancel,
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
    Source,
    TakenOver,
)
from protocols.canon.errors import Code
from protocols.canon.outcome import Fate, State

FILE = Path(__file__).with_name("decisions.json")
NOW = 10_000_000
QUARANTINE = 100_000
_NAMES = tuple(field.name for field in fields(Life) if field.name != "rules")
WINDOW = 1_000_000
PARTS = 7


def _rules() -> Iterator[Rules]:
    plain = Rules(Policy.NEVER, QUARANTINE, 2, None, deadline_ms=500_000, returns_watch_ms=700_000,
                  returns_every_ms=300_000, first_enquiry_ms=3_000)  # fmt: skip
    yield plain
    yield replace(plain, replay=Policy.QUERY_FIRST, most_repeats=2)
    yield replace(plain, replay=Policy.REPLAY_SAFE, window_ms=WINDOW, most_repeats=2)
    yield replace(plain, replay=Policy.REPLAY_SAFE, window_ms=WINDOW, same_day=True)
    yield replace(plain, replay=Policy.REPLAY_SAFE, most_repeats=0)


def _lives() -> Iterator[Life]:
    """Lives before and after a send, with every counter that something depends on at its edges."""
    for rules in _rules():
        base = Life(State.READY, rules, seq=4, attempt=1, first_write_ms=NOW - QUARANTINE, last_write_ms=NOW - QUARANTINE,
                    deadline_ms=NOW + 50, since_ms=NOW - 10)  # fmt: skip
        yield replace(base, attempt=0, first_write_ms=None, last_write_ms=None, deadline_ms=None, send_after_ms=NOW + 7)
        yield replace(base, attempt=0, first_write_ms=None, last_write_ms=None, tell_sent=True, valid_until_ms=NOW + 9)
        for not_found, repeats in product((KNOWN, 0, 1, 2), (0, 1, 2)):
            yield replace(base, not_found=not_found, repeats=repeats, asked=repeats)
        for asked in range(9):
            yield replace(base, asked=asked)
        for shift in (-1, 0, 1):
            yield replace(base, last_write_ms=NOW - QUARANTINE + shift, not_found=2)
            yield replace(base, first_write_ms=NOW - WINDOW + QUARANTINE + shift, not_found=2)
            yield replace(base, valid_until_ms=NOW + shift, not_found=2, since_ms=NOW - 20 + shift)
            yield replace(base, last_write_ms=NOW - 400_000 + shift, first_write_ms=NOW - 500_000)
            yield replace(base, last_write_ms=NOW - 20 + shift, repeats=1, asked=2)
            yield replace(base, last_write_ms=NOW + guards.CLOCK_AHEAD_MS + shift, repeats=1)
            yield replace(base, since_ms=NOW + guards.CLOCK_AHEAD_MS + shift, repeats=1)
        yield replace(base, deadline_ms=None, doubted=True, send_after_ms=NOW - 5, tell_sent=True)
        yield replace(base, deadline_ms=NOW + 500_000, attempt=3, repeats=1)


def _events() -> Iterator[Event]:
    yield from (Release(NOW, NOW - 3), Release(NOW, NOW + 3), Hold(NOW, "x"), Reject(NOW, Code.VALIDATION), Cancel(NOW),
                Expire(NOW), Send(NOW), TakenOver(NOW), AskedInVain(NOW, "x"), Overdue(NOW))  # fmt: skip
    for attempt in (None, 0, 1, 3):
        yield from (NotSent(NOW, "x", NOW + 11, attempt), Silent(NOW, "x", attempt))
        yield from (Resolve(NOW, fate, attempt) for fate in (Fate.SETTLED, Fate.FAILED, None))
    for day_ends in (None, NOW + QUARANTINE - 1, NOW + QUARANTINE, NOW + QUARANTINE + 1):
        yield Replay(NOW, day_ends)
    for fate in Fate:
        for attempt in (None, 1, 2):
            yield Answered(NOW, fate, Source.SUBMIT, None, attempt)
        for asked_ms in (None, NOW - QUARANTINE, NOW - 21, NOW - 20, NOW - 19, NOW - 11, NOW - 10, NOW - 9, NOW, NOW + 1):
            yield Answered(NOW, fate, Source.ENQUIRY, asked_ms)
        for asked_ms in (None, NOW, NOW + 1):
            yield Answered(NOW, fate, Source.ENQUIRY, asked_ms, clock_sure=False)


@cache
def decided(part: int) -> dict[str, str]:
    """A digest of everything each row decided in every seventh life."""
    digests: dict[str, hashlib._Hash] = defaultdict(hashlib.sha256)
    events = list(_events())
    lives = [replace(life, state=state) for life, state in product(islice(_lives(), part, None, PARTS), State)]
    for (n, life), (m, event) in product(enumerate(lives), enumerate(events)):
        try:
            step = flow.step(life, event)
        except flow.Impossible:
            digests["no row"].update(b"%d %d" % (n, m))
            continue
        after = [getattr(step.life, name) for name in _NAMES]
        digests[step.rule].update(f"{n} {m} {after} {step.effects}".encode())
    # Sixteen digits and no letter would look like an account's number.
    return {rule: digest.hexdigest()[:15] for rule, digest in sorted(digests.items())}


def write() -> None:
    """Keep today's decisions."""
    FILE.write_text(json.dumps([decided(part) for part in range(PARTS)], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    assert sys.argv[1:] == ["--write"]
    write()
