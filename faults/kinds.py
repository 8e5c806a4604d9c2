"""A kind of incident: its lines of the fault matrix, its target, and how it is played."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from faults.running_system import RunningSystem


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of incident: its lines of the fault matrix, the function that plays it, and where it is possible.

    `long`: it takes tens of seconds, so short campaigns leave it out.
    """

    name: str
    faults: str
    play: Callable[[RunningSystem], Awaitable[None]]
    fits: Callable[[RunningSystem], bool] = lambda _system: True
    long: bool = False
