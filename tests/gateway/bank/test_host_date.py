"""A bank whose own date is weeks off the calendar: the lane learns it from the lists of today, and all that is asked about
accounts goes by it. Repeats and cut-offs do not."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.bank.clock_trust import ClockTrust
from gateway.bank.host_date import HostDate
from gateway.simbank.ledger import CHINA
from protocols.canon.host_days import HostDays
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Balance, Page
from protocols.kit.errors import ProtocolError
from protocols.trial import trial
from tests.gateway.bank.trials import RecordingTwin, trial_world
from tests.world import files
from tests.world.lines import events, lines
from tests.world.world import World

AHEAD = pytest.mark.parametrize("ahead", [-33, 0, 20])
BANK = pytest.mark.parametrize("bank", ["pab", "icbc"])
OPTION = {"pab": "date_ahead_days", "icbc": "work_days_ahead"}
QUIET = {"poll_every_s": 300.0, "host_date_days": 60}


def world_of(
    bank: str, ahead: int, folder: Path, patch: pytest.MonkeyPatch, **settings: Any
) -> tuple[World, RecordingTwin]:
    """A world whose bank has another date, and whose account is watched."""
    # Few probes, because days pass here.
    work_date = {"work_date": "balance"} if bank == "icbc" else {}
    options = {bank: {**trial(bank).hurried, "probe_every_s": 3_600, **work_date}}
    world, twins = trial_world(
        folder,
        patch,
        (bank,),
        watch=True,
        options=options,
        twin={OPTION[bank]: ahead},
        settings={"banks": {bank: {**QUIET, **settings}}},
    )
    return world, twins[bank]


def calendar(world: World) -> date:
    return world.bank.ledger.now().astimezone(CHINA).date()


def to_midnight(world: World, less_s: float) -> None:
    now = world.bank.ledger.now().astimezone(CHINA)
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
    world.clock.advance((midnight - now).total_seconds() - less_s)


def named(world: World, event: str) -> list[dict[str, Any]]:
    return [one for one in world.events if one["event"] == event]


@pytest.mark.usefixtures("long_lease")
@BANK
@AHEAD
def test_a_payment_settles_its_entry_is_told_and_its_day_is_closed_once(
    bank: str, ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, twin = world_of(bank, ahead, tmp_path, monkeypatch)
    to_midnight(world, 4 * 3_600)  # before the evening, whose entries have the next accounting date
    life = world.start()
    world.submit("AP-1", 12_345)
    world.run(3_600)
    day = calendar(world) + timedelta(days=ahead)
    assert world.told("AP-1")[-1] == "payment.settled", world.told("AP-1")
    [entry] = named(world, "transaction.booked")
    assert entry["line"]["bank_date"] == day.isoformat() and entry["line"]["amount"] == "123.45"
    lane = life.gateway.lanes[f"{bank}.main"]
    assert lane.host_date.stated_days == lane.host_date.days.ahead == ahead
    assert life.sample("bankgw_bank_date_ahead_seconds", bank=bank, lane=f"{bank}.main") == ahead * 86_400
    world.run(4 * 3_600)
    closed = {one["date"]: one["count"] for one in named(world, "statement.closed")}
    assert closed == {day.isoformat(): 1, **{day_: 0 for day_ in closed if day_ < day.isoformat()}}
    assert max(closed) == day.isoformat() and len(closed) <= 2, "no day that the bank has yet to come to"
    assert len(named(world, "transaction.booked")) == 1 and len(files.sends(world, "AP-1")) == 1
    assert len(world.bank.ledger.executions) == 1


@pytest.mark.usefixtures("long_lease")
@AHEAD
def test_no_day_is_closed_before_the_bank_has_stated_its_date(
    ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _twin = world_of("pab", ahead, tmp_path, monkeypatch)
    to_midnight(world, 600)
    life = world.start()
    world.run(3_600)
    assert not named(world, "statement.closed"), "today's list was empty, so that it stated no date"
    assert life.gateway.lanes["pab.main"].host_date.stated_days is None
    world.submit("AP-1", 12_345)
    world.run(1_800)
    assert [one["date"] for one in named(world, "statement.closed")] == [
        (calendar(world) + timedelta(days=ahead - 1)).isoformat()
    ]


@pytest.mark.usefixtures("long_lease")
def test_in_production_a_day_closes_by_the_calendar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, _twin = world_of("pab", 0, tmp_path, monkeypatch, host_date_days=1)
    to_midnight(world, 600)
    world.start()
    world.run(3_600)
    assert (calendar(world) - timedelta(days=1)).isoformat() in {
        one["date"] for one in named(world, "statement.closed")
    }


@AHEAD
def test_the_erp_asks_for_the_calendar_s_day_or_for_the_bank_s(
    ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _twin = world_of("pab", ahead, tmp_path, monkeypatch)
    world.start()
    world.submit("AP-1", 12_345)
    world.run(900)
    today = calendar(world)
    host = (today + timedelta(days=ahead)).isoformat()
    for day in {today.isoformat(), host}:
        world.command("transactions.query", {"account": world.bank.account, "from": day, "to": day})
        world.run(20)
        assert [line["bank_date"] for line in world.replies[-1][1]["lines"]] == [host], world.replies[-1]
    world.command("statement.request", {"account": world.bank.account, "date": host})
    world.run(20)
    said = world.replies[-1][1]
    assert [line["bank_date"] for line in said["lines"]] == [host] and not said["closed"]
    world.submit("AP-2")
    world.run(5)
    [sent] = files.sends(world, "AP-2")
    assert sent.bank_date == today.isoformat(), "a payment is dated and repeated by the calendar"


@AHEAD
def test_the_returns_are_asked_for_by_the_calendar_s_days_and_by_the_bank_s(
    ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, twin = world_of("pab", ahead, tmp_path, monkeypatch, returns_every_s=1_800)
    world.start()
    world.submit("AP-1", 12_345)
    world.run(900)
    assert not twin.times(b"4019  ")
    world.run(3_600)
    asked = [request for _at, request in twin.requests_seen if b"4019  " in request[:46]]
    days = (min(ahead, 0) - 1, max(ahead, 0))
    first, last = ((calendar(world) + timedelta(days=n)).strftime("%Y%m%d").encode() for n in days)
    assert asked and b"<StartDate>%s<" % first in asked[0] and any(b"<EndDate>%s<" % last in one for one in asked)


def test_a_date_beyond_the_settings_is_refused_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, _twin = world_of("icbc", 20, tmp_path, monkeypatch, host_date_days=10)
    with lines() as said:
        life = world.start()
        world.submit("AP-1", 12_345)
        world.run(900)
    [told] = events(said, "lane.host_date_refused")
    assert (told["ahead"], told["most"]) == (20, 10) and "host_date_days" in told["action"]
    lane = life.gateway.lanes["icbc.main"]
    assert lane.host_date.is_refused and lane.host_date.days == HostDays(least=-10, most=10, bound=10)
    assert not named(world, "transaction.booked")
    assert life.sample("bankgw_bank_date_ahead_seconds", bank="icbc", lane="icbc.main") == 20 * 86_400


# ---- what the lane knows ----


def host_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: int = 60) -> tuple[World, HostDate]:
    world, _twin = world_of("pab", 0, tmp_path, monkeypatch, host_date_days=bound)
    return world, world.start().gateway.lanes["pab.main"].host_date


def is_refused(host: HostDate) -> bool:
    return host.is_refused


def listed(world: World, ahead: int) -> Page:
    return Page((), host_date=calendar(world) + timedelta(days=ahead))


def test_the_lane_keeps_the_last_date_and_the_range_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, host = host_date(tmp_path, monkeypatch)
    assert host.days == HostDays(0, -60, 60, 60) and not host.is_settled()
    host.hear(Page(()))
    assert host.days == HostDays(0, -60, 60, 60) and not host.is_settled()
    for ahead, days in [
        (-33, HostDays(-33, -33, -33, 60, True)),
        (20, HostDays(20, -33, 20, 60, True)),
        (1, HostDays(0, -33, 20, 60, True)),
    ]:
        host.hear(listed(world, ahead))
        assert (host.days, host.stated_days, host.is_settled()) == (days, ahead, True)
        assert world.life is not None
        assert host.today(world.life.clock.now_ms()) == calendar(world) + timedelta(days=days.ahead)
        assert host.differs is (abs(ahead) > 1)


@pytest.mark.parametrize("ahead", [-1, 0, 1])
def test_the_turn_of_the_day_is_not_another_date(ahead: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, host = host_date(tmp_path, monkeypatch)
    host.hear(listed(world, ahead))
    assert host.days == HostDays(0, ahead, ahead, 60, True) and not host.differs


def test_a_list_beyond_the_bound_is_refused_and_a_balance_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, host = host_date(tmp_path, monkeypatch, 1)
    assert host.is_settled(), "in production the days are the calendar's"
    host.hear(Balance(AccountNumber("1"), None, None, host_date=calendar(world) + timedelta(days=2)))
    assert is_refused(host) and host.days == HostDays(0, -1, 1, 1)
    with pytest.raises(ProtocolError, match=r"-2 days from the calendar") as caught:
        host.hear(listed(world, -2))
    assert caught.value.reason == "correlation" and host.days == HostDays(0, -1, 1, 1)
    host.hear(listed(world, 0))
    assert not is_refused(host) and host.days.is_learnt


@pytest.mark.parametrize(("ahead", "counts"), [(0, True), (1, True), (-2, False), (20, False)])
def test_not_found_does_not_count_while_the_dates_differ(
    ahead: int, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, host = host_date(tmp_path, monkeypatch)
    host.hear(listed(world, ahead))
    world.submit("AP-1")
    world.run(3)
    monkeypatch.setattr(ClockTrust, "quarantine_left_ms", lambda *_: 0)
    assert world.life is not None
    lane = world.life.gateway.lanes["pab.main"]
    verdict = lane.enquiry._shared.sure_of(files.payment(world, "AP-1"))
    assert verdict.spans and verdict.of(Fate.SETTLED) and verdict.of(Fate.NOT_FOUND) is counts
