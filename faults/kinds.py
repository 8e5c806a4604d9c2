"""A kind of incident: which lines of the fault matrix it plays, on what, and how."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from faults.running_system import RunningSystem


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of incident: its lines of the fault matrix, how it is played, where that is possible.

    `long`: it takes tens of seconds, so short campaigns leave it out.
    """

    name: str
    faults: str
    play: Callable[[RunningSystem], Awaitable[None]]
    fits: Callable[[RunningSystem], bool] = lambda _system: True
    long: bool = False
