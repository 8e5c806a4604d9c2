"""The kinds of faults that a campaign can inject."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from faults.field import Field


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of incident: its lines of the fault matrix, how it is played, where that is possible.

    `long`: it takes tens of seconds, so short campaigns leave it out.
    """

    name: str
    faults: str
    play: Callable[[Field], Awaitable[None]]
    fits: Callable[[Field], bool] = lambda _field: True
    long: bool = False
