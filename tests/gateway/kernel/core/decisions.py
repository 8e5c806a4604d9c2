"""The decisions of the state table for every state, every event and 200 lives of a payment, as readable text.

The lives lie around every threshold that a guard or a consequence knows: one millisecond before, at, and after it. One
line of `decisions.txt` is one way in which a row of the table decides: in which state, on which events, for which lives,
what the state becomes, what follows, and which counters change. A line that changes is a decision that changed. If it was
meant: `.venv/bin/python -m tests.gateway.kernel.core.decisions --write`, and read the difference.

The gaps between enquiries are names in this table: how long they are is a test of its own (`test_decisions.py`).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from functools import cache
from itertools import groupby, product
from pathlib import Path
from unittest.mock import patch

from gateway.kernel.core import flow, guards
from gateway.kernel.core.states import (
    KNOWN,
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
    Rules,
    ScheduleWork,
    Send,
    SendNews,
    Silent,
    Source,
    TakenOver,
    WorkDone,
)
from protocols.canon.errors import Code
from protocols.canon.outcome import Fate, State

FILE = Path(__file__).with_name("decisions.txt")
NOW = 10_000_000
QUARANTINE = 100_000
_NAMES = tuple(field.name for field in fields(Life) if field.name != "rules")
WINDOW = 1_000_000
# Gaps of this table's own, all different, so that each can be called by its name.
PLAN_MS = (2_000, 5_000, 15_000, 30_000, 60_000, 120_000, 300_000, 590_000)
GAPS = {
    **{gap_ms: f"gap {n}" for n, gap_ms in enumerate(PLAN_MS)},
    600_000: "the steady gap",
    3_600_000: "the hourly gap",
}
RULES = ("never", "query_first", "safe_in_window", "safe_same_day", "safe_no_repeats")


def _rules() -> Iterator[Rules]:
    plain = Rules(
        Policy.NEVER,
        QUARANTINE,
        2,
        None,
        deadline_ms=500_000,
        returns_watch_ms=700_000,
        returns_every_ms=300_000,
        first_enquiry_ms=3_000,
    )
    yield plain
    yield replace(plain, replay=Policy.QUERY_FIRST, most_repeats=2)
    yield replace(plain, replay=Policy.REPLAY_SAFE, window_ms=WINDOW, most_repeats=2)
    yield replace(plain, replay=Policy.REPLAY_SAFE, window_ms=WINDOW, same_day=True)
    yield replace(plain, replay=Policy.REPLAY_SAFE, most_repeats=0)


def _lives() -> Iterator[Life]:
    """Lives before and after a send, with every counter at the edges that decide something."""
    for rules in _rules():
        base = Life(
            State.READY,
            rules,
            seq=4,
            attempt=1,
            first_write_ms=NOW - QUARANTINE,
            last_write_ms=NOW - QUARANTINE,
            deadline_ms=NOW + 50,
            since_ms=NOW - 10,
        )
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
    yield from (
        Release(NOW, NOW - 3),
        Release(NOW, NOW + 3),
        Hold(NOW, "x"),
        Reject(NOW, Code.VALIDATION),
        Cancel(NOW),
        Expire(NOW),
        Send(NOW),
        TakenOver(NOW),
        AskedInVain(NOW, "x"),
        Overdue(NOW),
    )
    for attempt in (None, 0, 1, 3):
        yield from (NotSent(NOW, "x", NOW + 11, attempt), Silent(NOW, "x", attempt))
        yield from (Resolve(NOW, fate, attempt) for fate in (Fate.SETTLED, Fate.FAILED, None))
    for day_ends in (None, NOW + QUARANTINE - 1, NOW + QUARANTINE, NOW + QUARANTINE + 1):
        yield Replay(NOW, day_ends)
    for fate in Fate:
        for attempt in (None, 1, 2):
            yield Answered(NOW, fate, Source.SUBMIT, None, attempt)
        for asked_ms in (
            None,
            NOW - QUARANTINE,
            NOW - 21,
            NOW - 20,
            NOW - 19,
            NOW - 11,
            NOW - 10,
            NOW - 9,
            NOW,
            NOW + 1,
        ):
            yield Answered(NOW, fate, Source.ENQUIRY, asked_ms)
        for asked_ms in (None, NOW, NOW + 1):
            yield Answered(NOW, fate, Source.ENQUIRY, asked_ms, clock_sure=False)


# ---- words ------------------------------------------------------------------------------------------------------


def _when(at_ms: int | None) -> str:
    """A moment as a distance from the event's moment."""
    if at_ms is None:
        return "-"
    off_ms = at_ms - NOW
    return "now" if off_ms == 0 else f"now{off_ms:+,} ms"


def _value(name: str, value: object) -> str:
    if name.endswith("_ms"):
        assert value is None or isinstance(value, int)
        return _when(value)
    return "known" if name == "not_found" and value == KNOWN else str(value)


def _life_words(life: Life) -> str:
    return ", ".join(
        f"{name} {_value(name, getattr(life, name))}"
        for name in _NAMES
        if name != "state" and getattr(life, name) not in (None, False)
    )


def _event_words(event: Event) -> str:
    """The name of an event, with those of its facts that a guard may read."""
    if isinstance(event, Answered):
        facts = [f"{event.fate.value}/{event.source.value}"]
        facts += [f"of attempt {event.attempt}"] if event.attempt is not None else []
        facts += [f"asked {_when(event.asked_ms)}"] if event.asked_ms is not None else []
        return " ".join([*facts, *([] if event.clock_sure else ["by an unsure clock"])])
    facts = [
        f"{field.name} {_value(field.name, getattr(event, field.name))}"
        for field in fields(event)
        if field.name != "at_ms" and getattr(event, field.name) is not None
    ]
    return " ".join([type(event).__name__, *facts])


def _effect_words(effect: Effect) -> str:
    match effect:
        case SendNews():
            return f"tell {effect.event}"
        case ScheduleWork():
            gap = GAPS.get(effect.at_ms - NOW)
            return f"{effect.work.value} {f'after {gap}' if gap else f'at {_when(effect.at_ms)}'}"
        case WorkDone():
            return f"no more {effect.work.value}"
        case Alarm():
            return f"alarm {effect.slug}"
        case Deny():
            return f"deny {effect.code.value}"


def _spans(numbers: Iterable[int]) -> str:
    """A list of numbers as ranges: `1-4 7`."""
    parts = []
    for _, run in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        held = [number for _, number in run]
        parts.append(str(held[0]) if len(held) == 1 else f"{held[0]}-{held[-1]}")
    return " ".join(parts)


def _lives_words(numbers: Iterable[int], each: int) -> str:
    """The lives as text, by their rules. Rules with the same lives are listed together."""
    of_rules: dict[str, list[str]] = defaultdict(list)
    held = frozenset(numbers)
    for place, name in enumerate(RULES):
        inside = [n - place * each + 1 for n in range(place * each, (place + 1) * each) if n in held]
        if inside:
            of_rules["all" if len(inside) == each else _spans(inside)].append(name)
    return "; ".join(
        f"{'any rules' if len(names) == len(RULES) else ' + '.join(names)}: {which}"
        for which, names in of_rules.items()
    )


# ---- the table --------------------------------------------------------------------------------------------------


def lines(step: Callable[[Life, Event], flow.Step] = flow.step) -> list[str]:
    """The legend and every decision, a line each. `step` decides; a test passes one that decides otherwise."""
    lives, events = list(_lives()), list(_events())
    each = len(lives) // len(RULES)
    assert each * len(RULES) == len(lives)
    found = ["The lives, each under five sets of rules (" + ", ".join(RULES) + "):"]
    found += [f"  {n + 1:2}  {_life_words(life)}" for n, life in enumerate(lives[:each])]
    with patch.multiple(flow, ENQUIRY_PLAN_MS=PLAN_MS, STEADY_MS=600_000, HOURLY_MS=3_600_000):
        for state in State:
            found += ["", f"{state.value}: row | becomes | what follows | what changes | lives | events"]
            found += _decisions([replace(life, state=state) for life in lives], events, each, step)
    return found


def _decisions(
    lives: list[Life], events: list[Event], each: int, step: Callable[[Life, Event], flow.Step]
) -> Iterator[str]:
    decided: dict[tuple[str, ...], dict[int, list[int]]] = {}
    for m, event in enumerate(events):
        for n, life in enumerate(lives):
            try:
                made = step(life, event)
            except flow.ImpossibleEvent:
                continue
            after = made.life.state.value if made.life.state is not life.state else "stays"
            changes = ", ".join(
                f"{name} {_value(name, getattr(made.life, name))}"
                for name in _NAMES
                if name != "state" and getattr(made.life, name) != getattr(life, name)
            )
            follows = "; ".join(map(_effect_words, made.effects))
            decided.setdefault((made.rule, after, follows or "-", changes or "-"), {}).setdefault(m, []).append(n)
    order = [rule.name for rule in flow.TABLE]
    for key, of_events in sorted(decided.items(), key=lambda one: (order.index(one[0][0]), one[0])):
        together: dict[str, list[str]] = defaultdict(list)
        for m, numbers in of_events.items():
            together[_lives_words(numbers, each)].append(_event_words(events[m]))
        for which, words in together.items():
            yield " | ".join(["  " + key[0], *key[1:], which, ", ".join(words)])


@cache
def decided() -> tuple[str, ...]:
    """Every line, as the table decides today."""
    return tuple(lines())


def keep_decisions() -> None:
    """Store today's decisions."""
    FILE.write_text("\n".join(decided()) + "\n", "utf-8")


if __name__ == "__main__":
    assert sys.argv[1:] == ["--write"]
    keep_decisions()
