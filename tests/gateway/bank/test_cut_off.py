"""F-21: a cut-off, or the end of the bank's hours, that passes while a payment is being sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.kernel.core.states import Source
from gateway.parts import Parts
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from gateway.simbank.ledger import CHINA
from protocols.bank import Bank
from protocols.canon.limits import Hours
from protocols.canon.outcome import Fate
from tests.gateway.bank.test_dispatch import StuckDisk, written
from tests.gateway.bank.test_enquiry import SETTINGS, asking
from tests.world import files
from tests.world.batching import SENDER, batch, states
from tests.world.world import Life, World

TO_CUT_OFF_S = 20.0
SLOW_S = 6.0


def keeping(hours: Hours) -> Callable[[Bank], Bank]:
    return lambda bank: replace(bank, profile=replace(bank.profile, limits=replace(bank.profile.limits, hours=hours)))


class CutOffWorld:
    """A world that starts shortly before its bank's hours end, and whose disk can be made slow."""

    def __init__(self, folder: Path, hours: Callable[[time], Hours], **options: Any) -> None:
        self.disks: list[StuckDisk] = []
        plain = World(folder).bank.ledger.now().astimezone(CHINA) + timedelta(seconds=TO_CUT_OFF_S)
        (folder / "evening").mkdir()
        self.world = World(
            folder / "evening",
            wrap=self._wrap,
            adapters={"sample": keeping(hours(plain.time().replace(microsecond=0)))},
            bank_options={"sessions": 1, "heartbeat_s": 110},
            **options,
        )
        self.day = plain.date()

    def _wrap(self, life: Life, parts: Parts) -> Parts:
        self.disks.append(StuckDisk(parts.store, life))
        return replace(parts, store=self.disks[-1])

    def start(self) -> Life:
        """Begin a send whose commit is reported only after the end of hours, five seconds later; the lease still holds
        then."""
        life = self.world.start()
        self.world.submit("AP-1", not_before=self.world.moment(TO_CUT_OFF_S - SLOW_S / 2))
        self.world.run(TO_CUT_OFF_S - SLOW_S / 2 - 0.1)
        self.disks[-1].late_s = SLOW_S
        self.world.run(1)
        self.disks[-1].late_s = 0.0
        self.world.run(SLOW_S)
        return life


def days(world: World, id_: str) -> list[date]:
    return [date.fromisoformat(attempt.bank_date) for attempt in files.sends(world, id_)]


def test_bytes_that_name_a_day_do_not_leave_after_its_cut_off(tmp_path: Path) -> None:
    evening = CutOffWorld(tmp_path, lambda end: Hours(cut_off=end))
    life, world = evening.start(), evening.world
    world.run(5)
    assert files.rules(world, "AP-1") == ["admitted", "send", "not_sent", "send", "sent_settled"]
    assert days(world, "AP-1") == [evening.day, evening.day + timedelta(days=1)]
    assert len(written(life)) == 1, "the bytes of yesterday never left"
    assert life.sample("bankgw_permits_refused_total", bank="sample") == 1


def test_nothing_leaves_after_the_bank_has_closed_and_it_goes_when_it_opens(tmp_path: Path) -> None:
    evening = CutOffWorld(tmp_path, lambda end: Hours(opens=time(9), closes=end))
    life, world = evening.start(), evening.world
    world.run(3_600)
    assert files.rules(world, "AP-1") == ["admitted", "send", "not_sent"] and not written(life)
    for _ in range(14):
        world.run(3_600)
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"]
    assert len(written(life)) == 1 and days(world, "AP-1")[-1] == evening.day + timedelta(days=1)


def test_a_message_of_many_orders_does_not_leave_after_the_cut_off_either(tmp_path: Path) -> None:
    evening = CutOffWorld(tmp_path, lambda end: Hours(cut_off=end), sender=SENDER)
    world = evening.world
    world.start()
    world.run(TO_CUT_OFF_S - SLOW_S / 2)
    evening.disks[-1].late_s = SLOW_S / 5  # accepted, bundled, and written down after the end of hours
    world.command("batch.submit", batch(world, "B-1", [10_000] * 3))
    world.run(60)
    evening.disks[-1].late_s = 0.0
    world.run(20)
    assert states(world, "B-1") == ["settled"] * 3
    assert days(world, "B-1-1") == [evening.day, evening.day + timedelta(days=1)]
    assert "not_sent" in files.rules(world, "B-1-1") and len(world.bank.ledger.executions) == 3


def test_a_repeat_does_not_leave_after_the_bank_has_closed(tmp_path: Path) -> None:
    evening = CutOffWorld(tmp_path, lambda end: Hours(opens=time(9), closes=end))
    lane = evening.world.start().gateway.lanes["sample.main"]
    assert lane.calendar.shut(None) is None and lane.calendar.shut(evening.day) is None
    evening.world.run(TO_CUT_OFF_S)
    assert lane.calendar.shut(None) == "bank_closed"


@pytest.mark.parametrize("fate_known", [True, False])
def test_doubt_is_asked_about_every_ten_minutes_until_the_cut_off_and_then_hourly(
    fate_known: bool, tmp_path: Path
) -> None:
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]),
        settings=SETTINGS,
        wrap=asking(None, Fate.NOT_FOUND if fate_known else Fate.UNKNOWN),
        bank_options={"sessions": 1, "heartbeat_s": 110},
    )
    world.start()
    world.submit("AP-1")
    ends = world.bank.ledger.now().astimezone(CHINA).replace(hour=23, minute=59, second=59).timestamp() * 1000
    for _ in range(9):
        world.run(3_600)
    asked = [one.at_ms for one in files.evidence(world, "AP-1") if one.content.source is Source.ENQUIRY]
    gaps = [(after - before, before > ends) for before, after in zip(asked, asked[1:], strict=False)]
    assert {round(gap / 600_000) for gap, over in gaps[8:] if not over} == {1}
    late = [gap for gap, over in gaps if over]
    assert len(late) >= 3 and all(3_600_000 <= gap < 3_700_000 for gap in late)
