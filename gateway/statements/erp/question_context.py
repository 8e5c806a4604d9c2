"""The shared parts of answers to an ERP's questions: the journal, the register, the clock and the way to a bank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.kernel.asking import AskBank
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store
from gateway.register.registry import Registry


@dataclass(slots=True)
class QuestionContext:
    """The parts that questions share. `registry` is replaced when the settings are read again. `cursor_key` seals the
    cursors given to ERPs. `ahead_days` says by how many days the date of a lane's bank is ahead of the calendar."""

    store: Store
    registry: Registry
    clock: Clock
    cursor_key: bytes
    ask: AskBank
    ahead_days: Callable[[str], int] = lambda _lane: 0
