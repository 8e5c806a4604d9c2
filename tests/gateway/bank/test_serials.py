"""Serial numbers of a lane: drawn from the journal ahead of need, waited for when they run short, used once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.parts import Parts
from gateway.simbank.faults import BankFault, Delays, FaultPlan
from gateway.simbank.ledger import BookingRules
from tests.world import files
from tests.world.world import Life, World


def test_serial_numbers_are_never_given_out_twice(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultPlan("3", {BankFault.DROP_AFTER: 0.2}, Delays()))
    for life_number in range(4):
        world.start()
        for n in range(10):
            world.submit(f"AP-{life_number}-{n}")
        world.run(20)
        world.crash()
    serials = Counter(
        serial
        for n in range(4)
        for m in range(10)
        for attempt in files.sends(world, f"AP-{n}-{m}")
        for serial in attempt.serials
    )
    assert len(serials) >= 40 and set(serials.values()) == {1}


class HeldStore:
    """A store whose writer stops while `held` is set; the waiting units are written afterwards."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._back: list[tuple[Any, Deferred[Any]]] = []
        self.held = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, unit: Any, **how: Any) -> Deferred[Any]:
        if not self.held:
            return self._store.write(unit, **how)  # type: ignore[no-any-return]
        later: Deferred[Any] = Deferred()
        self._back.append((unit, later))
        return later

    def go_on(self) -> None:
        self.held = False
        for unit, later in self._back:
            self._store.write(unit).chainDeferred(later)
        self._back.clear()


def held(folder: Path, **more: Any) -> tuple[World, Life, HeldStore]:
    stores: list[HeldStore] = []

    def wrap(_life: Life, parts: Parts) -> Parts:
        stores.append(HeldStore(parts.store))
        return replace(parts, store=stores[0])

    world = World(folder, wrap=wrap, **more)
    return world, world.start(), stores[0]


@pytest.mark.parametrize("left", [5, 7, 24])
def test_questions_wait_for_numbers_while_the_journal_is_slow(left: int, tmp_path: Path) -> None:
    """Several conversations had found enough numbers before the first had taken its own. Then the lane waited for
    ever."""
    world, life, store = held(tmp_path, banks=("pab",), conduct=BookingRules(late_share=1.0, late_s=30.0))
    world.run(2)
    lane: Any = life.gateway.lanes["pab.main"]
    for n in range(8):
        world.submit(f"AP-{n}", bank="pab")
    world.run(1)
    assert {world.told(f"AP-{n}")[-1] for n in range(8)} == {"payment.processing"}
    store.held = True
    while len(lane.serials._stock) > left:
        lane.serials._stock.pop()
    world.run(5)
    assert lane.halted is None
    store.go_on()
    world.run(120)
    assert {world.told(f"AP-{n}")[-1] for n in range(8)} == {"payment.settled"}


def test_a_session_waits_for_its_number_too(tmp_path: Path) -> None:
    world, life, store = held(tmp_path, bank_options={"heartbeat_s": 10.0})
    world.run(2)
    lane: Any = life.gateway.lanes["sample.main"]
    store.held = True
    lane.serials._stock.clear()
    world.run(9)
    assert lane.halted is None
    store.go_on()
    world.run(60)
    world.submit("AP-1")
    world.run(5)
    assert world.told("AP-1")[-1] == "payment.settled"
