"""Dates that the bank states, and dates in requests, are the bank's own: a test environment's date is weeks away from
ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.bank import Context
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import FateQuestion, LinesQuestion
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.spdb.paper import (
    AUTHORISED,
    DEBTOR,
    NOW,
    REFERENCE,
    TODAY,
    bank,
    body_of,
    context,
    listed,
    order,
    row,
    sent,
    stage,
    steps,
    talk,
)
from tests.world.dialogue import BankAndTwin

APART = [timedelta(days=-33), timedelta(days=20)]
"""How far the date of a bank's test environment was from the calendar, in samples of another bank."""


def ours(ahead: timedelta, reference: str = "", serial: int = 7) -> Context:
    """A context at this machine's time NOW, in which the bank's date is TODAY moved by `ahead`."""
    return replace(context(reference, serial=serial), bank_date=TODAY + ahead)


@pytest.mark.parametrize("ahead", APART)
def test_a_row_s_day_is_compared_with_the_bank_s_date_and_not_with_ours(ahead: timedelta) -> None:
    fate: Any = bank().questions.fate
    known = replace(sent(), bank_date=TODAY + ahead)
    theirs, machine_s = (listed(row("4", transDate=f"{day:%Y%m%d}")) for day in (TODAY + ahead, TODAY + 2 * ahead))
    assert talk(fate(FateQuestion(known), ours(ahead)), theirs).fate is Fate.SETTLED
    with pytest.raises(ProtocolError) as caught:
        talk(fate(FateQuestion(replace(known, bank_date=TODAY - ahead)), ours(ahead)), machine_s)
    assert caught.value.reason == "correlation"


@pytest.mark.parametrize("ahead", APART)
def test_what_we_state_is_of_the_bank_s_date(ahead: timedelta) -> None:
    day = TODAY + ahead
    paid = body_of(steps(bank(schedule_date="today").money[Kind.PAYMENT](order(), ours(ahead, REFERENCE)))[0])
    assert f"<bespeakDate>{day:%Y%m%d}</bespeakDate>" in paid
    fate: Any = bank(**AUTHORISED).questions.fate
    known = replace(sent(), bank_date=day - timedelta(days=10))
    asked = body_of(steps(fate(FateQuestion(known), ours(ahead)))[0])
    assert f"<beginDate>{day - timedelta(days=11):%Y%m%d}</beginDate><endDate>{day:%Y%m%d}</endDate>" in asked
    lines: Any = bank().questions.lines
    # Days after the bank's date are not asked about.
    assert (
        steps(
            lines(LinesQuestion(AccountNumber(DEBTOR), day + timedelta(days=1), day + timedelta(days=2)), ours(ahead))
        )
        == []
    )


@pytest.mark.parametrize("ahead", APART)
def test_a_bank_weeks_away_settles_and_finds_nothing_wrong(ahead: timedelta) -> None:
    usual = stage(options={"schedule_date": "today"})
    ledger = Ledger(
        usual.time.now_ms,
        [LedgerAccount(DEBTOR, "示例甲公司", Money(10_000_000))],
        ahead_ms=round(ahead / timedelta(milliseconds=1)),
    )
    scene = BankAndTwin(usual.bank, usual.twin, ledger, usual.time)
    assert scene.talk(scene.bank.money[Kind.PAYMENT](order(), ours(ahead, REFERENCE))).fate is Fate.PENDING
    fate: Any = scene.bank.questions.fate
    known = replace(sent(), bank_date=TODAY + ahead)
    assert scene.talk(fate(FateQuestion(known), ours(ahead))).fate is Fate.SETTLED
    assert f"<timeStamp>{NOW + ahead:%Y-%m-%d}".encode() in scene.said[-1].answer
    lines: Any = scene.bank.questions.lines
    question = LinesQuestion(AccountNumber(DEBTOR), TODAY + ahead, TODAY + ahead)
    [line] = scene.talk(lines(question, ours(ahead, serial=8))).lines
    assert line.bank_date == TODAY + ahead and scene.findings == []
    # Told the machine's day, the same bank finds that day wrong.
    wrong = bank(schedule_date="today").money[Kind.PAYMENT](order(), context("00000000000000000099"))
    assert scene.talk(wrong).fate is Fate.UNKNOWN
    assert [one.place for one in scene.findings] == ["bespeakDate"]
