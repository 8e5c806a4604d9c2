"""Kills a life at any named point of a story and reads what is left, for the crash tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from gateway.bank.connection import BankConnection
from gateway.parts import Parts
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from protocols.bank import Port
from tests.world.history import violations
from tests.world.points import LifeEnded, Points
from tests.world.world import Life, World

CALM_S = 300.0
"""Long enough for every doubt that can be resolved by asking: the fourth question comes within a minute."""


class KillWhen(Points):
    """Ends the life at the first passing of `point` at which `when` holds."""

    def __init__(self, point: str, when: Callable[[], bool]) -> None:
        super().__init__()
        self.point = point
        self.when = when

    def hit(self, point: str) -> bool:
        """Whether the life ends at this point (see Points)."""
        super().hit(point)
        if point == self.point and self.killed is None and self.when():
            self.killed = point
            return True
        return False


class Recorded(Points):
    """Ends no life; records the order of the points, with the value of `look` at each."""

    def __init__(self, look: Callable[[], Any]) -> None:
        super().__init__()
        self.look = look
        self.seen: list[tuple[str, Any]] = []

    def hit(self, point: str) -> bool:
        """Record the point; no life ends."""
        super().hit(point)
        self.seen.append((point, self.look()))
        return False


def story(folder: Path, points: Points, bank: str = "sample") -> World:
    """Tell a story of three orders (one without an answer of the bank, one published twice, one cancelled), one refused
    order, and a question."""
    world = World(folder, banks=(bank,), plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER, skip=1)]), points=points)
    world.start()
    world.run(3)
    world.submit("AP-1")
    world.submit("AP-2")
    world.submit("AP-3", purpose="x" * 500)
    world.again("AP-1", fresh=False)
    world.submit("AP-4", not_before=world.moment(3_600))
    world.run(0.5)
    world.command("payment.cancel", {"id": "AP-4"})
    world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT0S", "max_wait": "PT60S"})
    world.run(12)
    return world


def settle(world: World) -> list[str]:
    """Start again if no life runs, make the banks honest and let time pass. Returns every broken promise."""
    world.points.kill_at = None
    if world.life is None:
        world.start()
    for site in world.banks.values():
        site.simbank.script.calm()
    for _ in range(3):
        world.run(CALM_S / 3)
    assert world.life is not None
    halted = [f"{lane.parts.name} halted: {lane.halted}" for lane in world.life.gateway.lanes.values() if lane.halted]
    return violations(world) + world.life.fatal + halted


@dataclass(frozen=True, slots=True)
class Row:
    """The journal's state of a payment."""

    state: str
    attempt: int
    epoch: int


def row(world: World, id_: str = "AP-1") -> Row | None:
    """The payment of an order, as committed; None if there is none."""
    with sqlite3.connect(world.folder / "journal.db") as db:
        found = db.execute("select state, attempt, epoch from payments where order_id = ?", (id_,)).fetchone()
    return None if found is None else Row(*found)


def state(world: World, id_: str = "AP-1") -> str | None:
    """The state of an order's payment, as committed."""
    found = row(world, id_)
    return None if found is None else found.state


class CuttingDialer:
    """A dialer whose connections write only a part of what matches `of`, and then their process is dead."""

    def __init__(self, inner: Any, life: Life, of: Callable[[bytes], bool]) -> None:
        self._inner = inner
        self._life = life
        self._of = of

    def dial(self, port: Port, build: Callable[[], BankConnection]) -> Deferred[BankConnection]:
        """Connect to a port of the bank, with such a connection."""
        return self._inner.dial(port, lambda: self._cut(build()))  # type: ignore[no-any-return]

    def _cut(self, line: BankConnection) -> BankConnection:
        exchange, life = line.exchange, self._life

        def cut(data: bytes) -> Deferred[bytes]:
            if not self._of(data):
                return exchange(data)
            assert line.transport is not None
            line.transport.write(data[: len(data) // 2])
            life.world.crash()
            raise LifeEnded("half of the request is written")

        line.exchange = cut  # type: ignore[method-assign]
        return line


def cutting(of: Callable[[bytes], bool], times: int = 1) -> Callable[[Life, Parts], Parts]:
    """A wrapper for World(wrap=…): the connections of the first `times` lives write only half of each write that
    matches `of`."""
    lives: list[Life] = []

    def wrap(life: Life, parts: Parts) -> Parts:
        lives.append(life)
        if len(lives) > times:
            return parts
        dialers: Mapping[str, Any] = {name: CuttingDialer(inner, life, of) for name, inner in parts.dialers.items()}
        return replace(parts, dialers=dialers)

    return wrap
