"""A bank's quiet hour: orders that arrive in it wait for its end, and no question about earlier sends is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from tests.gateway.bank.trials import RecordingTwin, trial_world
from tests.world.world import World

pytestmark = pytest.mark.usefixtures("long_lease")

# The world begins at 19:06:40 in Shanghai.
TO_MIDNIGHT_S = 4 * 3600 + 53 * 60 + 20
QUIET = (datetime(2026, 11, 18, 16, tzinfo=UTC).timestamp(), datetime(2026, 11, 18, 17, tzinfo=UTC).timestamp())


def evening(folder: Path, patch: pytest.MonkeyPatch, before_s: float) -> tuple[World, RecordingTwin]:
    """A world of 兴业银行 that starts this many seconds before midnight."""
    world, twins = trial_world(folder, patch, ("cib",))
    world.start()
    world.run(TO_MIDNIGHT_S - before_s)
    return world, twins["cib"]


def test_an_order_in_the_quiet_hour_waits_and_is_sent_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, bank = evening(tmp_path, monkeypatch, -1_200)
    world.submit("AP-1")
    world.run(2_300)
    assert world.told("AP-1") == ["payment.accepted"] and not bank.times(b"<XFERTRNRQ>")
    assert world.last("AP-1")["send_after"].startswith("2026-11-18T17:00:00"), "one o'clock there"
    world.run(200)
    assert world.told("AP-1")[-1] == "payment.settled"
    [sent] = bank.times(b"<XFERTRNRQ>")
    assert QUIET[1] <= sent < QUIET[1] + 5


def test_an_order_of_before_midnight_that_was_not_sent_waits_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, bank = evening(tmp_path, monkeypatch, 600)
    world.bank.reachable = False
    world.submit("AP-1")
    world.run(1_500)
    world.bank.reachable = True
    world.run(2_600)
    assert not bank.times(b"<XFERTRNRQ>")
    world.run(600)
    assert world.told("AP-1")[-1] == "payment.settled" and len(bank.times(b"<XFERTRNRQ>")) == 1


def test_nobody_is_asked_about_a_doubt_in_the_quiet_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, bank = evening(tmp_path, monkeypatch, 600)
    world.bank.simbank.script = FaultScript([ScriptedFault(BankFault.DROP_AFTER)])
    world.submit("AP-1")
    world.run(4_100)
    assert world.told("AP-1") == ["payment.accepted", "payment.in_doubt"]
    world.run(600)
    assert world.told("AP-1")[-1] == "payment.settled"
    asked = bank.times(b"<XFERINQTRNRQ>", b"<INQSTATETRNRQ>", b"<XFERTRNRQ>")[1:]
    assert asked and not [at for at in asked if QUIET[0] <= at < QUIET[1]]
    assert len(world.bank.ledger.executions) == 1
