"""The change of the day as a joint test plays it: a simulated bank pays on the previous day, then its clock is set back
to today."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from pathlib import Path

import pytest

from protocols.trial import trial
from tests.gateway.bank.trials import trial_world

DAY_MS = 86_400_000


@pytest.mark.parametrize("bank", ["finws"])
def test_a_payment_of_the_bank_s_yesterday_settles_and_stands_in_that_day_s_statement(
    bank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _twins = trial_world(tmp_path, monkeypatch, (bank,), options={bank: trial(bank).hurried})
    world.start()
    world.run(5)
    ledger = world.bank.ledger
    ledger.set_ahead(-DAY_MS)
    day = ledger.now().date()
    world.submit("AP-1", 12_345)
    world.run(20)
    assert world.told("AP-1")[-1] == "payment.settled", world.told("AP-1")
    ledger.set_ahead(0)
    assert ledger.now().date() == day + timedelta(days=1)
    world.run(5)
    world.command("statement.request", {"account": world.bank.account, "date": day.isoformat()})
    world.run(20)
    said = world.replies[-1][1]
    assert [line["amount"] for line in said["lines"]] == ["123.45"] and said["closed"], said


@pytest.mark.usefixtures("long_lease")
def test_a_quiet_day_ends_where_citic_says_with_a_status_that_there_are_no_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"citic": {"poll_every_s": 300.0, "probe_every_s": 600.0}}
    world, _twins = trial_world(tmp_path, monkeypatch, ("citic",), watch=True, options=options)
    now = world.bank.ledger.now()
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    world.clock.advance((midnight - now).total_seconds() - 600)
    world.start()
    world.run(3_600)
    [told] = [
        one for one in world.events if one["event"] == "statement.closed" and one["date"] == now.date().isoformat()
    ]
    assert told["count"] == 0 and told["opening"] == told["closing"], told
