"""A bank whose work date is weeks before or after the calendar: QPD is its list of today, under the dates that it states."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from protocols.canon.host_days import HostDays
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.canon.statement import Balance, Page
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.every.bench import Table, table

AHEAD = pytest.mark.parametrize("ahead", [-33, 0, 20])
UNKNOWN = HostDays(least=-60, most=60, bound=60)


def learnt(ahead: int) -> HostDays:
    return HostDays(ahead, ahead, ahead, bound=60, is_learnt=True)


def at_host(ahead: int, host: HostDays = UNKNOWN) -> Table:
    at = table("icbc", bank_options={"work_date": "balance", "previous_balance": True}, work_days_ahead=ahead)
    at.stage.host = host
    return at


def paid(at: Table) -> None:
    reference = at.reference()
    at.pay(at.order(Kind.PAYMENT), reference)
    assert at.fate(reference).fate is Fate.SETTLED


def page(at: Table, day: date) -> Page:
    ask = at.bank.questions.lines
    assert ask is not None
    return at.stage.talk(ask(LinesQuestion(AccountNumber(at.own[0]), day, day), at.stage.context()))


def balance(at: Table, on: date | None = None) -> Balance:
    ask = at.bank.questions.balance
    assert ask is not None
    return at.stage.talk(ask(BalanceQuestion(AccountNumber(at.own[0]), on=on), at.stage.context()))


@AHEAD
@pytest.mark.parametrize("is_learnt", [False, True])
def test_today_s_list_states_the_bank_s_date(ahead: int, is_learnt: bool) -> None:
    at = at_host(ahead, learnt(ahead) if is_learnt else UNKNOWN)
    paid(at)
    told = page(at, at.today + timedelta(days=ahead if is_learnt else 0))
    host = at.today + timedelta(days=ahead)
    assert ([line.bank_date for line in told.lines], told.host_date, told.cursor) == ([host], host, None)


@AHEAD
def test_a_day_that_is_over_at_the_bank_is_read_by_its_date(ahead: int) -> None:
    at = at_host(ahead, learnt(ahead))
    paid(at)
    today = page(at, at.today + timedelta(days=ahead))
    at.stage.time.later(86_400)
    told = page(at, at.today + timedelta(days=ahead - 1))
    assert [line.bank_line_id for line in told.lines] == [line.bank_line_id for line in today.lines]
    assert len(told.lines) == 1 and told.host_date is None
    assert at.stage.findings == []


def test_the_calendar_s_day_has_today_s_list_while_the_bank_is_behind() -> None:
    at = at_host(-33, learnt(-33))
    paid(at)
    assert len(page(at, at.today).lines) == 1
    assert page(at, at.today + timedelta(days=1)) == page(at, at.today - timedelta(days=1)) == Page(())


def test_an_entry_beyond_the_bound_is_left_out_and_its_day_stays_open() -> None:
    at = at_host(-33, HostDays(least=-10, most=10, bound=10))
    paid(at)
    told = page(at, at.today)
    assert (told.lines, told.unread) == ((), 1)


@AHEAD
def test_the_balance_states_the_date_where_the_settings_say_that_it_is_the_work_date(ahead: int) -> None:
    assert balance(at_host(ahead)).host_date == at_host(ahead).today + timedelta(days=ahead)
    other = table("icbc", work_days_ahead=ahead)
    assert balance(other).host_date is None, "LastTranDate may be that of the account's last entry"


@AHEAD
def test_the_balance_of_the_bank_s_day_before(ahead: int) -> None:
    at = at_host(ahead, learnt(ahead))
    host = at.today + timedelta(days=ahead)
    assert balance(at, host - timedelta(days=1)).book is not None
    with pytest.raises(ProtocolError):
        balance(at, host - timedelta(days=2))
