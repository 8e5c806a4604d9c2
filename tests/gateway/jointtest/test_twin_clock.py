"""A case may move a twin's clock: the move is first recorded in the journal, never made at a real bank, and undone
after an interruption."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.jointtest import twin_clock
from gateway.jointtest.verdicts import SeenAt
from gateway.simbank import control_line
from gateway.simbank.control_line import NobodyListens


class Sitting:
    """The part of a player and its world that a move needs; `heard` are the commands to the twin."""

    def __init__(
        self,
        seen: SeenAt = SeenAt.TWIN,
        *,
        production: bool = False,
        forbids: bool = False,
        now: datetime = datetime(2026, 12, 1, 8, 59, 59, tzinfo=UTC),
    ) -> None:
        self.acts: list[Mapping[str, Any]] = []
        self.heard: list[float] = []
        self._forbids = forbids
        told = SimpleNamespace(twin=SimpleNamespace(control="x.sock"))
        plan = SimpleNamespace(seen=seen, production=production, told=told, path=Path)
        store = SimpleNamespace(act=self._act, run=SimpleNamespace(acts=self.acts))
        self.world: Any = SimpleNamespace(plan=plan, store=store, by="wang", elsewhere=self._elsewhere, now=lambda: now)

    def _act(self, what: str, by: str, **said: Any) -> None:
        self.acts.append({"act": what, "by": by, **said})

    async def _elsewhere(self, fn: Any, _path: Path, command: Mapping[str, Any]) -> Any:
        assert fn is control_line.tell and command["do"] == "clock"
        assert self.acts[-1]["ahead_s"] == command["ahead_s"], "the journal is told first"
        if self._forbids:
            raise NobodyListens("its entries are later")
        self.heard.append(command["ahead_s"])


@pytest.mark.parametrize(
    "where", [{"seen": SeenAt.BANK}, {"seen": SeenAt.BANK, "production": True}, {"production": True}]
)
async def test_no_bank_and_no_production_is_told(where: dict[str, Any]) -> None:
    sitting: Any = Sitting(**where)
    assert await twin_clock.move(sitting, -1) is False
    await twin_clock.back(sitting.world)
    assert (sitting.acts, sitting.heard) == ([], [])


async def test_it_goes_and_comes_back_and_each_move_is_an_act() -> None:
    sitting: Any = Sitting()
    assert await twin_clock.move(sitting, -1) is True
    await twin_clock.back(sitting.world)
    await twin_clock.back(sitting.world)
    assert sitting.heard == [-86_400, 0]
    assert [(one["days"], one["by"]) for one in sitting.acts] == [(-1, "wang"), (0, "wang")]


@pytest.mark.parametrize(
    ("now", "back_s"),
    [
        (datetime(2026, 12, 1, 9, 0, tzinfo=UTC), 5 * 3_600),
        (datetime(2026, 12, 1, 15, 59, 59, tzinfo=UTC), 12 * 3_600 - 1),
        (datetime(2026, 12, 1, 16, 0, tzinfo=UTC), 0),
    ],
)
async def test_in_the_evening_it_goes_back_to_noon_whose_bookings_carry_that_day(now: datetime, back_s: int) -> None:
    sitting: Any = Sitting(now=now)
    assert await twin_clock.move(sitting, -1) is True
    assert sitting.heard == [-86_400 - back_s]
    ahead: Any = Sitting(now=now)
    assert await twin_clock.move(ahead, 1) is True
    assert ahead.heard == [86_400], "a day to come has no evening of its own"


async def test_books_that_forbid_it_leave_it_where_it_is() -> None:
    sitting: Any = Sitting(forbids=True)
    assert await twin_clock.move(sitting, -1) is False
    assert [(one["days"], one.get("refused")) for one in sitting.acts] == [(-1, None), (0, -1)]
    await twin_clock.back(sitting.world)
    assert len(sitting.acts) == 2
