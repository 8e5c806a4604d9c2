"""Running conversations: every step once, no fault inside, and money only in a money conversation."""

from __future__ import annotations

from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from gateway.bank import conversation as bank_conversation
from gateway.bank.connection import NoAnswer
from gateway.bank.dialer import NotConnected
from gateway.bank.exchange_trace import LaneTrace
from gateway.bank.session_states import S, SessionState
from protocols.bank import Ask, Continue, Sign, Submit
from protocols.canon.outcome import Fate, Outcome
from protocols.kit.errors import ProtocolError


class ScriptedLine:
    """A line that answers from a list; an exception in the list is the fault of that exchange."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []

    def exchange(self, data: bytes) -> Deferred[bytes]:
        self.asked.append(data)
        answer = self.answers.pop(0)
        return fail(Failure(answer)) if isinstance(answer, Exception) else succeed(answer)


class FakeSession:
    """A session with one line; `states` are its answers about its state, one after the other."""

    def __init__(self, line: Any, *states: SessionState) -> None:
        self._line = line
        self._states = list(states)
        self.dialled: list[str] = []
        clock: Any = SimpleNamespace()
        self.trace = LaneTrace(None, {}, clock).session(1)

    @property
    def state(self) -> SessionState:
        return self._states.pop(0) if self._states else SessionState.BUSY

    async def line(self, port: str, *, same: bool = False) -> Any:
        self.dialled.append(port)
        return self._line


class Key:
    key_id = "order"
    trouble = None

    async def sign(self, octets: bytes, document: bytes = b"") -> bytes:
        return b"signed:" + octets


KEYS: Any = {"order": Key()}
SILENCE = NoAnswer("no_answer", written=True)


def ran(coroutine: Any) -> Any:
    results: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


class RecordingConversation:
    """A conversation that records what reaches it."""

    def __init__(self, *steps: Any, end: Any = "done") -> None:
        self.heard: list[bytes] = []
        self.thrown: list[BaseException] = []
        self.closed = False
        self._steps = steps
        self._end = end

    def run(self) -> Generator[Any, bytes, Any]:
        try:
            for step in self._steps:
                self.heard.append((yield step))
        except GeneratorExit:
            self.closed = True
            raise
        except BaseException as error:
            self.thrown.append(error)
            raise
        return self._end


def test_each_step_is_carried_out_once_and_its_answer_comes_back() -> None:
    door, talking = (
        ScriptedLine(b"one", b"two"),
        RecordingConversation(Ask("business", b"a"), Sign("order", b"o"), Continue("business", b"c")),
    )
    session: Any = FakeSession(door)
    assert ran(bank_conversation.ask(session, talking.run(), KEYS)) == "done"
    assert talking.heard == [b"one", b"signed:o", b"two"] and door.asked == [b"a", b"c"]
    assert session.dialled == ["business", "business"], "signing needs no connection"


def test_a_transport_fault_is_raised_to_the_lane_and_never_into_the_conversation() -> None:
    talking = RecordingConversation(Ask("business", b"a"), Ask("business", b"b"))
    session: Any = FakeSession(ScriptedLine(b"one", SILENCE))
    with pytest.raises(NoAnswer):
        ran(bank_conversation.ask(session, talking.run(), KEYS))
    assert talking.closed and not talking.thrown and talking.heard == [b"one"]


def test_a_question_that_submits_is_stopped_before_a_byte_leaves() -> None:
    door = ScriptedLine(b"never")
    session: Any = FakeSession(door)
    with pytest.raises(AssertionError, match="may not submit"):
        ran(bank_conversation.ask(session, RecordingConversation(Submit("business", b"money")).run(), KEYS))
    assert not door.asked


def test_a_money_word_stops_at_its_submit_and_its_bytes_are_not_sent() -> None:
    door, submit = ScriptedLine(b"token"), Submit("business", b"money", ("7",))
    talking = RecordingConversation(Ask("business", b"hop"), submit, end=Outcome(Fate.SETTLED, "S"))
    session: Any = FakeSession(door)
    conversation = talking.run()
    assert ran(bank_conversation.until_submit(session, conversation, KEYS)) is submit
    assert door.asked == [b"hop"]
    assert ran(bank_conversation.after_submit(session, conversation, KEYS, b"answer")).fate is Fate.SETTLED
    assert talking.heard == [b"token", b"answer"] and door.asked == [b"hop"]


def test_a_money_word_that_ends_without_a_submit_says_why() -> None:
    session: Any = FakeSession(ScriptedLine())
    outcome = ran(
        bank_conversation.until_submit(session, RecordingConversation(end=Outcome(Fate.UNKNOWN, "X")).run(), KEYS)
    )
    assert outcome == Outcome(Fate.UNKNOWN, "X")


def test_a_second_submit_is_stopped() -> None:
    door = ScriptedLine(b"x")
    session: Any = FakeSession(door)
    conversation = RecordingConversation(Submit("business", b"money"), Submit("business", b"again")).run()
    ran(bank_conversation.until_submit(session, conversation, KEYS))
    with pytest.raises(AssertionError, match="may not submit"):
        ran(bank_conversation.after_submit(session, conversation, KEYS, b"answer"))
    assert not door.asked


def test_steps_after_the_submit_go_on_the_same_way() -> None:
    door = ScriptedLine(b"receipt")
    session: Any = FakeSession(door)
    talking = RecordingConversation(
        Submit("business", b"money"), Ask("business", b"confirm"), end=Outcome(Fate.PENDING, "P")
    )
    conversation = talking.run()
    ran(bank_conversation.until_submit(session, conversation, KEYS))
    assert ran(bank_conversation.after_submit(session, conversation, KEYS, b"answer")).fate is Fate.PENDING
    assert talking.heard == [b"answer", b"receipt"]


def test_a_bad_answer_comes_out_as_the_conversation_raised_it() -> None:
    def refusing() -> Generator[Any, bytes, Any]:
        yield Ask("business", b"a")
        raise ProtocolError("digest", "no")

    session: Any = FakeSession(ScriptedLine(b"bad"))
    with pytest.raises(ProtocolError, match="no"):
        ran(bank_conversation.ask(session, refusing(), KEYS))


def test_a_key_that_nobody_configured_is_named() -> None:
    session: Any = FakeSession(ScriptedLine())
    with pytest.raises(bank_conversation.NoSuchKey, match=r"keys\.transport"):
        ran(bank_conversation.ask(session, RecordingConversation(Sign("transport", b"")).run(), KEYS))


@pytest.mark.parametrize("states", [(S.DOWN,), (S.CONNECTING,), (S.SIGNING_ON,), (S.LOST,), (S.BUSY, S.LOST)])
def test_a_session_lost_on_the_way_is_not_used_and_only_its_opening_may_speak_first(
    states: tuple[SessionState, ...],
) -> None:
    door = ScriptedLine(b"one")
    session: Any = FakeSession(door, *states)
    with pytest.raises(NotConnected):
        ran(bank_conversation.ask(session, RecordingConversation(Ask("business", b"a")).run(), KEYS))
    assert not door.asked
    opening: Any = FakeSession(door, *states)
    assert (
        ran(
            bank_conversation.ask(opening, RecordingConversation(Ask("business", b"sign on")).run(), KEYS, opening=True)
        )
        == "done"
    )
