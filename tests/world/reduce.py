"""Reduces a failing story to the few steps that it needs, and shows where it first differs from a passing one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from tests.world import sim
from tests.world.story import Story

LIMIT_S = 300.0
_AROUND = 3
_NAMES = re.compile(r"[A-Z0-9][A-Z0-9.-]{3,}|\d+")

Tell = Callable[[frozenset[int]], Story]
"""Runs the story with these steps only."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """The shortest failing story, and its longest part that passes. `needless`: no further step can be left out;
    otherwise the time was over."""

    failing: Story
    passing: Story | None
    needless: bool


def shape(violation: str) -> str:
    """The violation without ids and numbers, to check that a shorter story fails in the same way."""
    return _NAMES.sub("#", violation)


def reduced(whole: Story, tell: Tell, limit_s: float = LIMIT_S) -> Reduced:
    """Leave out halves, quarters and so on of the steps, as long as the story still fails in the same way."""
    until_s = time.monotonic() + limit_s
    wanted = {shape(violation) for violation in whole.violations}
    failing, passing = whole, None
    parts = 2
    while len(failing.steps) > 1 and time.monotonic() < until_s:
        steps = [step for step, _action in failing.steps]
        size = -(-len(steps) // parts)
        for at in range(0, len(steps), size):
            shorter = tell(frozenset(steps[:at] + steps[at + size :]))
            if wanted & {shape(violation) for violation in shorter.violations}:
                failing, passing, parts = shorter, None, max(parts - 1, 2)
                break
            # The last needed step is the one whose absence changes least.
            passing = shorter
            if time.monotonic() > until_s:
                break
        else:
            if size == 1:
                return Reduced(failing, passing, needless=True)
            parts = min(2 * parts, len(steps))
    return Reduced(failing, passing, needless=False)


def first_difference(failing: list[str], passing: list[str]) -> list[str]:
    """The first line that differs between two stories, with a few lines before it."""
    for n, (one, other) in enumerate(zip_longest(failing, passing)):
        if one != other:
            before = [f"    both     {line}" for line in failing[max(n - _AROUND, 0) : n]]
            return [*before, f"    failing  {one or 'nothing more'}", f"    passing  {other or 'nothing more'}"]
    return ["    nowhere in what the table decided"]


def report(seed: int, limit_s: float = LIMIT_S, **more: Any) -> str:
    """A report of a failing seed: its few steps, its violations, the first difference."""

    def told(keep: frozenset[int] | None) -> Story:
        with sim.memory_folder() as folder:
            return sim.tell(seed, folder, keep=keep, **more)

    whole = told(None)
    if not whole.violations:
        return f"seed {seed}: it keeps every promise, there is nothing to reduce"
    found = reduced(whole, told, limit_s)
    lines = [
        f"seed {seed}: {len(whole.steps)} steps, reduced to {len(found.failing.steps)}"
        + ("" if found.needless else ", time was up")
        + "; it still fails:"
    ]
    lines += [f"    {violation}" for violation in found.failing.violations]
    lines += [f"    step {step}  {action}" for step, action in found.failing.steps]
    if found.passing is not None:
        left_out = sorted(set(found.failing.steps) - set(found.passing.steps))
        lines.append("it passes without " + ", ".join(f"step {step} ({action})" for step, action in left_out))
        lines.append("and what the table decided differs first here:")
        lines += first_difference(found.failing.decided, found.passing.decided)
    steps = [step for step, _action in found.failing.steps]
    lines.append(f"again: sim.tell({seed}, folder, keep=frozenset({steps}), **{more})")
    return "\n".join(lines)
