"""The state of a user at a bank: its pace, its single sign-on, its token, and the pause after a refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.bank.login import QUIET_S, Login
from gateway.parts import Parts, logins
from protocols.bank import Bank
from protocols.canon.limits import MONEY, QUESTION, Pace
from protocols.trial import banks, trial
from tests.gateway.bank.trials import trial_world
from tests.world.clock import HeapClock
from tests.world.life_clock import LifeClock
from tests.world.world import Life, World

DAY_S = 86_400


def login(pace: Pace, per_second: float | None = None) -> tuple[Login, HeapClock]:
    clock = HeapClock()
    return Login(LifeClock(clock), pace, per_second), clock


def ready(life: Life, lane: str) -> bool:
    return life.gateway.lanes[lane].ready


def with_credentials(**said: str) -> Callable[[Life, Parts], Parts]:
    def wrap(_life: Life, parts: Parts) -> Parts:
        return replace(parts, credentials=dict.fromkeys(parts.credentials, said))

    return wrap


# ---- pace ----


def test_each_sort_waits_for_its_own_turn_and_not_for_another_s() -> None:
    user, clock = login(Pace(100.0, 100, apart_s={MONEY: 1.0, QUESTION: 2.0, "lines": 5.0}))
    for sort in (MONEY, "balance", "lines"):
        assert user.wait_s(sort) == 0.0, sort
        user.begin(sort)
    assert user.wait_s("fate") == pytest.approx(2.0), "all questions without an allowance of their own share one"
    clock.advance(1.0)
    assert user.wait_s(MONEY) == 0.0 and user.wait_s("balance") == pytest.approx(1.0)
    clock.advance(1.0)
    assert user.wait_s("balance") == 0.0 and user.wait_s("lines") == pytest.approx(3.0)


def test_what_one_sort_leaves_free_is_not_more_than_the_whole() -> None:
    user, _clock = login(Pace(1.0, 1, apart_s={MONEY: 0.1}))
    user.begin(MONEY)
    assert user.wait_s(MONEY) == pytest.approx(1.0)
    assert user.apart_s(MONEY) == pytest.approx(0.1)
    assert user.wait_s("") == pytest.approx(1.0)


def test_a_bank_s_operations_are_spaced_and_neither_holds_up_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """招商银行 wants a second between one user's orders, and two between its questions."""
    world, twins = trial_world(tmp_path, monkeypatch, ("cmb",))
    life = world.start()
    world.run(5)
    for n in range(20):
        world.submit(f"AP-{n}")
        world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT0S", "max_wait": "PT2M"})
    world.run(300)
    sent = twins["cmb"].times(b">DCPAYMNT<")
    questions = twins["cmb"].times(b">NTQADINF<", b">NTQRYSTY<")
    assert len(sent) == 20 and len(questions) >= 40
    assert min(b - a for a, b in pairwise(sent)) >= 0.99
    assert sent[-1] - sent[0] < 60, "orders do not wait for the questions' two seconds"
    assert life.gateway.lanes["cmb.main"].halted is None
    assert all(world.told(f"AP-{n}")[-1] == "payment.settled" for n in range(20))


@pytest.mark.parametrize(("sort", "pause_s"), [("orders", 1.0), ("questions", 2.0)])
def test_what_waits_for_its_operation_goes_when_the_pause_ends(
    sort: str, pause_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else happens on the lane that would wake it up."""
    world, twins = trial_world(tmp_path, monkeypatch, ("cmb",))
    world.start()
    world.run(30)
    for n in range(4):
        if sort == "orders":
            world.submit(f"AP-{n}")
        else:
            world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT0S", "max_wait": "PT2M"})
    world.run(20)
    times = twins["cmb"].times(b">DCPAYMNT<" if sort == "orders" else b">NTQADINF<")
    assert [b - a for a, b in pairwise(times)] == [pytest.approx(pause_s, abs=0.1)] * 3


# finws is not here: its questions read several files each, and what is paced is the question.
@pytest.mark.parametrize("bank", [name for name in banks() if name != "finws"])
def test_each_bank_s_own_pace_is_kept(bank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {bank: {"per_second": 5.0}} if bank == "sample" else {}
    world, twins = trial_world(tmp_path, monkeypatch, (bank,), options=options)
    life = world.start()
    world.run(5)
    twins[bank].at_port.clear()
    for n in range(30):
        world.submit(f"AP-{n}")
        world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT0S", "max_wait": "PT2M"})
    world.run(100)
    pace = life.gateway.parts.banks[bank].profile.limits.pace
    times = twins[bank].at_port["business"]
    assert len(times) >= 60
    # One more than the bucket holds and refills: the session's own probe has no token.
    most = pace.burst + int(pace.per_second) + 1
    assert max(sum(start <= at < start + 1 for at in times) for start in times) <= most


def test_lanes_of_one_user_share_its_pace(tmp_path: Path) -> None:
    lanes = {"main": {}, "second": {"per_second": 3.0}, "other": {}}
    table = {
        name: {"host": "127.0.0.1", "ports": {"business": 1}, "plaintext": "loopback", **more}
        for name, more in lanes.items()
    }
    world = World(tmp_path, settings={"banks": {"sample": {"lanes": table}}})
    known: dict[str, Mapping[str, str]] = {
        "sample.main": {"user": "u"},
        "sample.second": {"user": "u"},
        "sample.other": {"user": "v"},
    }
    bank: Bank = world._adapter(world.settings.banks["sample"], "sample")
    parts: Any = type("Parts", (), {"banks": {"sample": bank}, "credentials": known, "clock": LifeClock(HeapClock())})
    found = logins(world.settings, parts)
    assert found["sample.main"] is found["sample.second"] is not found["sample.other"]
    found["sample.main"].begin("balance")
    assert found["sample.second"]._all._per_second == 3.0, "the least that a lane of the user is set to"
    assert found["sample.other"]._all._per_second == bank.profile.limits.pace.per_second


# ---- signing on ----


def test_the_quiet_after_refusals_grows_to_a_day() -> None:
    user, clock = login(Pace())
    for quiet_s in (*QUIET_S, QUIET_S[-1]):
        assert user.quiet_s == 0.0
        assert user.refused("no") == quiet_s == user.quiet_s
        clock.advance(quiet_s)
    user.accepted()
    assert user.refused("no") == QUIET_S[0], "a yes in between counts from the beginning"


@pytest.mark.parametrize(("bank", "message"), [("cib", b"<SONRQ>"), ("boc", b"<trncod>b2e0001</trncod>")])
def test_a_wrong_password_on_short_connections_is_never_tried_in_a_loop(
    bank: str, message: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by sign-ons nor by messages that carry the password: five wrong ones lock the operator."""
    wrong = with_credentials(**{**trial(bank).credentials, "password": "wrong"})
    options = {"boc": {"sign_on_tries": 4}}
    world, twins = trial_world(tmp_path, monkeypatch, (bank,), wrap=wrong, options=options)
    life = world.start()
    world.submit("AP-1")
    world.run(250)
    lane = life.gateway.lanes[f"{bank}.main"]
    assert not lane.ready and len(twins[bank].times(message)) == 1
    world.run(3_000)
    assert len(twins[bank].times(message)) == 2, "once more after five minutes"
    world.run(DAY_S - 3_250)
    assert len(twins[bank].times(message)) <= 4
    assert world.told("AP-1") == ["payment.accepted"] and not lane.halted


def test_a_password_that_is_refused_in_the_middle_ends_all_talk_with_the_bank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"cib": {"first_enquiry_s": 1.0, "window": 1}}
    world, twins = trial_world(tmp_path, monkeypatch, ("cib",), options=options)
    bank = twins["cib"]
    life = world.start()
    world.run(2)
    assert ready(life, "cib.main")
    bank.twin.password = "changed at the bank"
    before = len(bank.times(b"<SONRQ>"))
    for n in range(5):
        world.submit(f"AP-{n}")
    world.run(250)
    assert len(bank.times(b"<SONRQ>")) == before + 1, "the next word would have been a wrong password again"
    assert not ready(life, "cib.main")
    assert sorted({world.told(f"AP-{n}")[-1] for n in range(5)}) == ["payment.accepted", "payment.in_doubt"]
    bank.twin.password = trial("cib").credentials["password"]
    world.run(1_200)
    assert all(world.told(f"AP-{n}")[-1] == "payment.settled" for n in range(5))


def test_one_token_serves_short_connections_until_the_bank_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"boc": {"per_second": 50, "first_enquiry_s": 1.0}}
    world, twins = trial_world(tmp_path, monkeypatch, ("boc",), options=options)
    bank = twins["boc"]
    life = world.start()
    for n in range(5):
        world.submit(f"AP-{n}")
    world.run(60)
    assert all(world.told(f"AP-{n}")[-1] == "payment.settled" for n in range(5))
    assert len(bank.times(b"<trncod>b2e0001</trncod>")) == 1, "one sign-on for all of them"
    assert all(len(pipe.written) <= 1 for pipe in life.pipes), "one exchange a connection"
    bank.twin._tokens.clear()
    for n in range(5, 8):
        world.submit(f"AP-{n}")
    world.run(120)
    assert len(bank.times(b"<trncod>b2e0001</trncod>")) == 2, "signed on again at once, and once"
    assert all(world.told(f"AP-{n}")[-1] in ("payment.settled", "payment.in_doubt") for n in range(8))
    assert world.told("AP-7")[-1] == "payment.settled"
