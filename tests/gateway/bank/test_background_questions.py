"""Questions about watched accounts delay no payment: they are asked last and take a small share of the bank's pace, but
are still asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.bank.bank_session import BankSession
from gateway.bank.login import BACKGROUND_SHARE, Login
from gateway.bank.question_queue import BACKGROUND_TURN_S, Background, QuestionQueue, QueuedQuestion
from protocols.bank import Context, Conversation
from protocols.canon.limits import Pace
from tests.gateway.bank.trials import RecordingTwin, trial_world
from tests.world.clock import HeapClock
from tests.world.life_clock import LifeClock
from tests.world.world import World

BANK = "spdb"
ACCOUNTS = 40
PAYMENTS = 20
PACE = {"per_second": 4.0, "burst": 4, "first_enquiry_s": 600.0, "probe_every_s": 600.0}
EXCHANGE_S = 1.0


def place(folder: Path, patch: pytest.MonkeyPatch, *, watch: bool) -> tuple[World, RecordingTwin]:
    """A bank with many accounts, all watched or none."""
    folder.mkdir()
    world, twins = trial_world(folder, patch, (BANK,), accounts=ACCOUNTS, watch=watch, options={BANK: PACE})
    return world, twins[BANK]


def paid_s(world: World) -> float:
    """The seconds until payments that come at once have all reached the bank."""
    began_s = world.clock.seconds()
    for number in range(PAYMENTS):
        world.submit(f"AP-{number}", 10_000 + number)
    while len(world.bank.ledger.executions) < PAYMENTS:
        world.run(0.25)
        assert world.clock.seconds() - began_s < 300, "not all are sent"
    return world.clock.seconds() - began_s


def test_payments_take_as_long_as_without_forty_watched_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = {}
    for watch in (False, True):
        world, _heard = place(tmp_path / str(watch), monkeypatch, watch=watch)
        world.start()
        world.run(8)
        took[watch] = paid_s(world)
    assert took[True] <= took[False] + EXCHANGE_S, took


def test_watching_keeps_to_its_share_of_the_banks_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, heard = place(tmp_path / "w", monkeypatch, watch=True)
    life = world.start()
    world.run(10)
    began_s = world.clock.seconds()
    world.run(60)
    # Each question has two exchanges here: the message is signed, then sent.
    asked = len([at for at, _request in heard.requests_seen if at > began_s]) / 2
    most = 60 * PACE["per_second"] * BACKGROUND_SHARE
    assert most / 2 < asked <= most + 1, "forty accounts would ask more than the share allows"
    world.run(300)
    assert not life.sample("bankgw_watch_failures_total", bank=BANK), (
        "they wait for a turn; no question runs out of time"
    )


def test_the_last_free_session_waits_for_a_payment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, bank_options={"sessions": 2})
    life = world.start()
    world.run(2)
    lane, answers = life.gateway.lanes["sample.main"], list[Deferred[Any]]()

    async def slow(session: BankSession, question: QueuedQuestion) -> None:
        answers.append(Deferred())
        question.settle(await answers[-1])
        session.release()

    monkeypatch.setattr(lane, "_answer", slow)
    asked = [lane.ask("balance", Background(_never), 10_000.0) for _ in range(3)]
    world.run(5)
    assert len(answers) == 1, "one session of two"
    world.submit("AP-1")
    world.run(5)
    assert world.told("AP-1")[-1] == "payment.settled" and not any(one.called for one in asked)
    for number in range(3):
        answers[number].callback("12.00")
        world.run(5)
    assert [one.result for one in asked] == ["12.00"] * 3


# ---- the queue ----


class QueueBench:
    """A question queue on a test clock. `taken` are the questions that were taken from it."""

    def __init__(self) -> None:
        self.heap = HeapClock()
        self.clock = LifeClock(self.heap, 0)
        self.queue = QuestionQueue(self.clock)
        self.login = Login(self.clock, Pace(per_second=100.0, burst=100))

    def put(self, operation: str, *, background: bool = False) -> Deferred[Any]:
        """Queue a question that gets no answer."""
        answer = self.queue.put(operation, Background(_never) if background else _never, 10_000.0)
        answer.addErrback(lambda _failure: None)
        return answer

    def taken(self) -> str | None:
        """The sort of the next question that goes before payments."""
        found = self.queue.take_before_payments(self.login)
        return None if found is None else found.operation


def _never(_context: Context) -> Conversation[Any]:
    raise AssertionError("nobody puts it")


def test_what_somebody_waits_for_goes_first() -> None:
    one = QueueBench()
    one.put("lines", background=True)
    one.put("balance")
    assert one.taken() == "balance" and one.taken() is None
    found = one.queue.take_background(one.login)
    assert found is not None and found.operation == "lines" and not one.queue.has_background


def test_one_background_question_goes_each_turn_where_payments_never_pause() -> None:
    one = QueueBench()
    for _ in range(3):
        one.put("lines", background=True)
    began = []
    for second in range(int(3 * BACKGROUND_TURN_S) + 1):
        if one.taken():
            began.append(second)
        one.heap.advance(1.0)
    assert began == [30, 60, 90]


def test_a_background_question_given_up_takes_no_turn() -> None:
    one = QueueBench()
    one.put("lines", background=True).cancel()
    one.heap.advance(BACKGROUND_TURN_S)
    assert one.taken() is None and not one.queue.has_background
