"""Which banks state the date of their host: the profile names the fields, the answers carry it, the README says so."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber
from protocols.canon.query import LinesQuestion
from tests.protocols.banks.every.bench import EVERY, table

STATE_IT = {"icbc": "TradeDate of QPD", "pab": "AcctDate of today's entries (4013)"}
ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("bank", EVERY)
def test_today_s_list_states_the_date_where_the_profile_names_the_field(bank: str) -> None:
    at = table(bank)
    assert at.bank.profile.host_date == STATE_IT.get(bank, "")
    ask = at.bank.questions.lines
    if ask is None:
        return
    if Kind.PAYMENT in at.bank.money:
        at.pay(at.order(Kind.PAYMENT), at.reference())
        at.stage.time.later(60)
    asked = LinesQuestion(AccountNumber(at.own[0]), at.today, at.today)
    told = at.stage.talk(ask(asked, at.stage.context()))
    assert told.host_date == (at.today if bank in STATE_IT else None)
    assert told.host_date is None or {line.bank_date for line in told.lines} <= {at.today, at.today + timedelta(days=1)}


@pytest.mark.parametrize("bank", ["boc", "citic", "cmb", "icbc", "pab", "spdb"])
def test_the_readme_says_whether_the_bank_states_its_date(bank: str) -> None:
    readme = (ROOT / "protocols/banks" / bank / "README.md").read_text("utf-8")
    assert "**The host's date**" in readme
