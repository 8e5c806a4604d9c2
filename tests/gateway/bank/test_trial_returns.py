"""Money that comes back between two readings of a bank's list of returns, at the banks whose enquiry does not show
returns."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.trial import trial
from tests.gateway.bank.trials import trial_world

LOOKS_S = 2.0
"""Seconds between two looks for returns, as in a joint test."""
PATIENCE_S = 25.0


@pytest.mark.parametrize("bank", ["citic"])
def test_money_that_comes_back_after_the_first_look_is_told_in_time(
    bank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _twins = trial_world(
        tmp_path,
        monkeypatch,
        (bank,),
        options={bank: trial(bank).hurried},
        spans={"returns_every_s": LOOKS_S, "returns_watch_s": 600.0},
    )
    world.bank.ledger.conduct = BookingRules(return_s=3.0)
    world.start()
    world.run(5)
    other = {pointer.rpartition("/")[2]: said for pointer, said in trial(bank).order.items()}
    world.submit("AP-1", purpose="货款 #return", creditor={**world.order("AP-1")["creditor"], **other})
    world.run(PATIENCE_S)
    assert world.told("AP-1")[-2:] == ["payment.settled", "payment.returned"], world.told("AP-1")
