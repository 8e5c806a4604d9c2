"""Sessions: ready after the first application answer, proven again, and no password tried in a loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import StringTransport

from gateway.bank.answer_times import AnswerTimes
from gateway.bank.bank_session import BankSession
from gateway.bank.connection import BankConnection
from gateway.bank.exchange_trace import LaneTrace
from gateway.bank.session_pool import SessionPool
from gateway.bank.session_states import S
from gateway.kernel.clock import SystemClock
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from protocols.bank import Port
from protocols.kit import http
from tests.world.clock import HeapClock
from tests.world.world import Life, World


def ready(life: Life) -> bool:
    return life.gateway.lanes["sample.main"].ready


def test_a_declined_sign_on_is_tried_once_by_one_berth_and_then_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.credentials = {"user": "u", "password": "wrong"}
    life = world.start()
    world.run(250)
    lane = life.gateway.lanes["sample.main"]
    assert not lane.ready
    assert world.declined(life) == 1, "four sessions, one attempt"
    world.run(60)
    assert world.declined(life) == 2, "once more after five minutes, not a loop"


def test_a_lane_is_not_ready_before_the_bank_has_answered(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        plan=FaultScript([ScriptedFault(BankFault.PROBE_SILENCE) for _ in range(4)]),
        bank_options={"answer_s": 5.0},
    )
    life = world.start()
    world.submit("AP-1")
    world.run(3)
    assert ready(life) is False
    assert world.told("AP-1") == ["payment.accepted"], "nothing is sent on an unproven session"
    world.run(30)
    assert ready(life) is True
    assert world.told("AP-1")[-1] == "payment.settled"


def test_an_idle_session_is_proven_again_by_its_heartbeat(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"heartbeat_s": 10.0, "sessions": 1})
    life = world.start()
    world.run(1)
    before = world.exchanges(life, "session")
    world.run(35)
    assert world.exchanges(life, "session") - before == 3


def test_a_lost_session_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"sessions": 1})
    life = world.start()
    world.run(1)
    world.bank.reachable = False
    life.pipes[-1].abortConnection()
    world.run(0.01)
    assert ready(life) is False
    world.bank.reachable = True
    world.run(5)
    assert ready(life) is True


def test_a_bank_that_cannot_be_reached_is_dialled_ever_more_slowly(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"sessions": 1})
    world.bank.reachable = False
    life = world.start()
    world.run(60)
    first_minute = world.dials
    world.run(600)
    assert first_minute < 14
    assert (world.dials - first_minute) / 10 < 4, "settles near one attempt in half a minute"
    world.bank.reachable = True
    world.run(60)
    assert ready(life) is True


def test_a_bank_that_was_away_for_a_minute_is_back_in_ten_seconds_and_with_all_berths(tmp_path: Path) -> None:
    for sessions in (1, 4):
        for seed in range(5):
            folder = tmp_path / f"{sessions}-{seed}"
            folder.mkdir()
            world = World(folder, bank_options={"sessions": sessions}, seed=seed)
            life = world.start()
            world.run(1)
            world.bank.reachable = False
            for pipe in life.pipes:
                pipe.abortConnection()
            world.run(60 + seed)
            pool = life.gateway.lanes["sample.main"].session_pool
            assert {session.state for session in pool.sessions} <= {S.BACKING_OFF, S.CONNECTING}
            world.bank.reachable = True
            world.run(8.5)
            assert [session.state for session in pool.sessions] == [S.READY] * sessions


class SingleSessionPool:
    """A session pool of one session whose dialer hands out counted lines over in-memory transports."""

    def __init__(self, *, kept: bool) -> None:
        self.clock = SystemClock(HeapClock())
        self.port = Port("business", lambda: http.HttpAnswers().cutter(1_000), kept=kept)
        self.bank = SimpleNamespace(ports={"business": self.port})
        self.dialer = self
        self.dialled: list[BankConnection] = []
        self.lost_sessions = 0
        self.trace = LaneTrace(None, {}, self.clock)
        self.answer_times = AnswerTimes()
        self.session = BankSession(cast(SessionPool, self), 0)

    def dial(self, port: Port, build: Callable[[], BankConnection]) -> Deferred[BankConnection]:
        line = build()
        line.makeConnection(StringTransport())  # type: ignore[no-untyped-call]
        self.dialled.append(line)
        return succeed(line)

    def lost(self, session: BankSession) -> None:
        self.lost_sessions += 1

    def allow(self, port_name: str) -> None:
        """The lane always belongs to this node."""

    def may_write(self) -> bool:
        """Bytes may always be written."""
        return True

    def speak(self, *, same: bool = False) -> BankConnection:
        """Run one exchange on the session's connection; the bank leaves the connection open for a moment longer."""
        line: BankConnection = value_of(Deferred.fromCoroutine(self.session.line("business", same=same)))
        heard = line.exchange(b"GET")
        line.dataReceived(http.answer(200, (), b"ok"))
        assert value_of(heard).endswith(b"ok")
        return line


def value_of(deferred: Deferred[Any]) -> Any:
    found: list[Any] = []
    deferred.addCallback(found.append)
    assert found, "it waits for something"
    return found[0]


def test_a_short_connection_carries_one_exchange_though_the_bank_has_not_closed_it_yet() -> None:
    lone = SingleSessionPool(kept=False)
    first, second = lone.speak(), lone.speak()
    assert first is not second and len(lone.dialled) == 2
    assert cast(StringTransport, first.transport).disconnecting, "the used one is closed in order"


def test_a_short_connection_goes_on_where_the_conversation_wants_the_same() -> None:
    lone = SingleSessionPool(kept=False)
    assert lone.speak() is lone.speak(same=True) and len(lone.dialled) == 1


def test_a_kept_connection_is_used_again() -> None:
    lone = SingleSessionPool(kept=True)
    assert lone.speak() is lone.speak() and len(lone.dialled) == 1


def test_a_front_end_that_hangs_up_after_each_answer_is_not_stormed(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"sessions": 1})
    answer = world.bank.simbank.twin.answer
    world.bank.simbank.twin = cast(
        Any,
        SimpleNamespace(
            ports=world.bank.simbank.twin.ports,
            requests=world.bank.simbank.twin.requests,
            answer=lambda *asked: replace(answer(*asked), close=True),
        ),
    )
    world.start()
    world.run(60)
    assert 5 <= world.dials <= 40
