"""A host whose own date is weeks before or after the calendar (banks/pab.md 9: -33 to 20 days at the test front end).

A lane learns the date from the lists of today, and the adapter judges what the bank states by it: the fate of today's
payments, today's entries, and the days that are over at the host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from protocols.bank import BadOptions
from protocols.banks.pab import twin
from protocols.canon.host_days import HostDays
from protocols.canon.order import Channel, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.canon.statement import Line, Page
from protocols.kit.china import BEIJING
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.every.bench import Table, table

AHEAD = pytest.mark.parametrize("ahead", [-33, 0, 20])
STYLES = pytest.mark.parametrize("style", ["4008", "4013"])
UNKNOWN = HostDays(least=-60, most=60, bound=60)


def learnt(ahead: int) -> HostDays:
    return HostDays(ahead, ahead, ahead, bound=60, is_learnt=True)


def at_host(ahead: int, style: str = "4013", host: HostDays = UNKNOWN) -> Table:
    at = table("pab", bank_options={"fast_pay_item": "00001", "today_lines": style}, date_ahead_days=ahead)
    at.stage.host = host
    return at


def settled(at: Table, channel: Channel = Channel.AUTO) -> Outcome:
    reference = at.reference()
    at.pay(replace(at.order(Kind.PAYMENT), channel=channel), reference)
    return at.fate(reference)


@AHEAD
def test_today_s_payment_is_settled(ahead: int) -> None:
    at = at_host(ahead)
    told = settled(at)
    assert told.fate is Fate.SETTLED
    assert told.booked_at is not None and told.booked_at.date() == at.today + timedelta(days=ahead)
    stated = (at.today + timedelta(days=ahead)).strftime("%Y%m%d").encode()
    assert b"<hostTxDate>%s<" % stated in at.stage.said[0].answer
    assert b"<AccountDate>%s<" % stated in at.stage.said[1].answer
    assert all(one.answer[53:61] == stated for one in at.stage.said), "the header of each answer"


@AHEAD
def test_a_date_of_the_host_does_not_outweigh_reference_and_time(ahead: int) -> None:
    assert settled(at_host(ahead, host=HostDays())).fate is Fate.SETTLED


@AHEAD
@pytest.mark.parametrize("is_learnt", [False, True])
def test_today_s_fast_payment_is_settled(ahead: int, is_learnt: bool) -> None:
    host = learnt(ahead) if is_learnt else UNKNOWN
    assert settled(at_host(ahead, host=host), Channel.INSTANT).fate is Fate.SETTLED


@pytest.mark.parametrize(
    ("ahead", "host"),
    [(-33, HostDays(least=-10, most=10, bound=10)), (-33, learnt(0)), (0, learnt(-60)), (-33, learnt(20))],
)
def test_a_fast_payment_has_no_time_of_handing_in_so_the_host_s_date_decides(ahead: int, host: HostDays) -> None:
    with pytest.raises(ProtocolError, match="correlation"):
        settled(at_host(ahead, host=host), Channel.INSTANT)


@AHEAD
@pytest.mark.parametrize("kind", [Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION])
def test_today_s_lines_are_settled(ahead: int, kind: Kind) -> None:
    at = at_host(ahead)
    bundle, reference = at.bundle(kind, ("货款", "货款"))
    at.pay_bundle(bundle, reference)
    assert {one.fate for one in at.bundle_fate(kind, reference).values()} == {Fate.SETTLED}


def _dated(account_date: str) -> Callable[[bytes], bytes]:
    """Rows of 4015 that state a date of the host, as many real ones do."""

    def tamper(frame: bytes) -> bytes:
        if frame[40:46] != b"4015  ":
            return frame
        body = frame[222:].replace(b"<Stt>", b"<AccountDate>%s</AccountDate><Stt>" % account_date.encode())
        return frame[:30] + b"%010d" % len(body) + frame[40:222] + body

    return tamper


@pytest.mark.parametrize(
    ("stated", "host", "believed"),
    [
        ("20261022", learnt(-33), True),
        ("20261022", learnt(0), False),
        ("20261214", learnt(20), True),
        ("20261214", UNKNOWN, True),
        ("20260601", UNKNOWN, False),
    ],
)
def test_a_line_that_states_a_date_of_the_host(stated: str, host: HostDays, believed: bool) -> None:
    at = at_host(0, host=host)
    bundle, reference = at.bundle(Kind.BATCH_ITEM, ("货款",))
    at.pay_bundle(bundle, reference)
    at.stage.tamper = _dated(stated)
    if believed:
        assert {one.fate for one in at.bundle_fate(Kind.BATCH_ITEM, reference).values()} == {Fate.SETTLED}
        return
    with pytest.raises(ProtocolError, match="correlation"):
        at.bundle_fate(Kind.BATCH_ITEM, reference)


def entries(at: Table, day: date) -> list[Line]:
    return at.walk(at.own[0], day, day)


def page(at: Table, first: date, last: date) -> Page:
    ask = at.bank.questions.lines
    assert ask is not None
    return at.stage.talk(ask(LinesQuestion(at.order(Kind.PAYMENT).debtor.account, first, last), at.stage.context()))


@AHEAD
@STYLES
@pytest.mark.parametrize("is_learnt", [False, True])
def test_today_s_entries_have_the_date_that_the_bank_states(ahead: int, style: str, is_learnt: bool) -> None:
    at = at_host(ahead, style, learnt(ahead) if is_learnt else UNKNOWN)
    for _ in range(12):
        settled(at)
    day = at.today + timedelta(days=ahead if is_learnt else 0)
    lines = entries(at, day)
    assert len(lines) == 12 and at.findings == []
    assert {line.bank_date for line in lines} == {at.today + timedelta(days=ahead)}
    # Rows of 4013 have no calendar day of their own: their moment is not known, rather than weeks off.
    known = style == "4008" or ahead == 0
    assert {line.booked_at and line.booked_at.date() for line in lines} == {at.today if known else None}
    assert [line.bank_line_id for line in entries(at, day)] == [line.bank_line_id for line in lines]
    assert page(at, day, day).host_date == at.today + timedelta(days=ahead)


@STYLES
def test_a_question_for_the_calendar_s_day_has_today_s_list_while_the_host_is_behind(style: str) -> None:
    at = at_host(-33, style, learnt(-33))
    settled(at)
    assert len(entries(at, at.today)) == 1
    assert entries(at, at.today + timedelta(days=1)) == [] and entries(at, at.today - timedelta(days=1)) == []


@STYLES
def test_a_past_day_states_no_date_of_the_host(style: str) -> None:
    at = at_host(20, style, learnt(20))
    settled(at)
    at.stage.time.later(86_400)
    yesterday = at.today + timedelta(days=19)
    told = page(at, yesterday, yesterday)
    assert len(told.lines) == 1 and told.host_date is None


@pytest.mark.parametrize("hour", [12, 22])
@pytest.mark.parametrize("ahead", [-33, 0])
@STYLES
def test_in_the_evening_the_next_accounting_date_is_not_taken_for_the_host_s_date(
    hour: int, ahead: int, style: str
) -> None:
    at = at_host(ahead, style, learnt(ahead))
    at.stage.time.now = datetime(2026, 11, 24, hour, tzinfo=BEIJING)
    settled(at)
    day = date(2026, 11, 24) + timedelta(days=ahead)
    assert page(at, day, day).host_date == (None if hour == 22 and style == "4008" else day)


@pytest.mark.parametrize("ahead", [-33, 20, 0])
def test_the_past_balance_of_a_day_that_is_over_at_the_host(ahead: int) -> None:
    at = at_host(ahead, host=learnt(ahead))
    settled(at)
    at.stage.time.later(86_400)
    ask = at.bank.questions.balance
    assert ask is not None
    own, day = at.order(Kind.PAYMENT).debtor.account, at.today + timedelta(days=ahead - 1)
    told = at.stage.talk(ask(BalanceQuestion(own, on=day), at.stage.context()))
    assert told.book is not None and b"4012" in at.stage.said[-1].request[:46]


@pytest.mark.parametrize("ahead", [-33, 0, 20])
@STYLES
def test_the_history_under_the_host_s_date_has_the_same_entries(ahead: int, style: str) -> None:
    at = at_host(ahead, style, learnt(ahead))
    for _ in range(3):
        settled(at)
    stated = at.today + timedelta(days=ahead)
    today = {(line.bank_line_id, line.occurrence) for line in entries(at, stated)}
    at.stage.time.later(86_400)
    assert {(line.bank_line_id, line.occurrence) for line in entries(at, stated)} == today and len(today) == 3


@STYLES
def test_a_walk_over_the_host_s_midnight_reads_the_day_that_ended_once(style: str) -> None:
    at = at_host(-33, "4013", learnt(-33))
    settled(at)
    day = at.today - timedelta(days=33)
    first = page(at, day - timedelta(days=1), day)
    assert first.cursor is not None and not first.lines
    at.stage.time.later(86_400)
    ask = at.bank.questions.lines
    assert ask is not None
    own = at.order(Kind.PAYMENT).debtor.account
    rest = at.stage.talk(ask(LinesQuestion(own, day - timedelta(days=1), day, cursor=first.cursor), at.stage.context()))
    assert [line.bank_date for line in rest.lines] == [day] and rest.cursor is None


@STYLES
def test_beyond_the_bound_no_entry_is_believed_and_none_is_lost_silently(style: str) -> None:
    at = at_host(-33, style, HostDays(least=-10, most=10, bound=10))
    settled(at)
    with pytest.raises(ProtocolError, match="which was not asked for"):
        entries(at, at.today)


@pytest.mark.parametrize("ahead", ["1", 1.5, True, 400])
def test_an_option_of_the_twin_that_is_no_number_of_days(ahead: object) -> None:
    with pytest.raises(BadOptions, match="date_ahead_days"):
        twin.build({"date_ahead_days": ahead}, {})
