"""One connection: only whole frames are handed on, time-outs are kept, and bytes that answer no request are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from twisted.internet import tcp
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from gateway.bank.connection import BankConnection, NoAnswer
from protocols.bank import Port
from protocols.kit.framing import Framing, LengthPrefix, UntilEof
from protocols.kit.http import HttpAnswers
from tests.world.clock import HeapClock
from tests.world.life_clock import LifeClock


class FakeTransport:
    """A transport that records its calls."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.ended: list[str] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def loseConnection(self) -> None:  # noqa: N802 - the name is Twisted's
        self.ended.append("close")

    def abortConnection(self) -> None:  # noqa: N802 - the name is Twisted's
        self.ended.append("abort")


@dataclass
class Bench:
    """A connection under test, the bytes that it writes, and the result of its exchange."""

    framing: Framing | HttpAnswers = LengthPrefix(4)
    max_bytes: int = 1000
    time: HeapClock = field(default_factory=HeapClock)
    wire: FakeTransport = field(default_factory=FakeTransport)
    gone: list[BankConnection] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    failures: list[NoAnswer] = field(default_factory=list)

    def __post_init__(self) -> None:
        port = Port(
            "business",
            lambda: self.framing.cutter(self.max_bytes),
            kept=True,
            first_byte_s=60,
            between_bytes_s=10,
            exchange_s=120,
        )
        self.line = BankConnection(port, LifeClock(self.time), self.gone.append, lambda: True)
        connect: Callable[[object], None] = self.line.makeConnection
        connect(self.wire)

    def ask(self, data: bytes = b"question") -> None:
        def failed(failure: Failure) -> None:
            assert isinstance(failure.value, NoAnswer)
            self.failures.append(failure.value)

        self.line.exchange(data).addCallbacks(self.answers.append, failed)

    def hear(self, data: bytes) -> None:
        self.line.dataReceived(data)

    def lose(self, error: Exception) -> None:
        self.line.connectionLost(Failure(error))

    @property
    def failure(self) -> tuple[str, bool, bytes]:
        [error] = self.failures
        return error.reason, error.written, error.partial


def test_an_answer_is_a_whole_frame_however_its_bytes_come() -> None:
    bench = Bench()
    bench.ask(b"0003abc")
    assert bench.wire.written == [b"0003abc"]
    for byte in b"0006answer":
        assert not bench.answers
        bench.hear(bytes([byte]))
    assert bench.answers == [b"answer"] and bench.line.live
    bench.ask()
    bench.hear(b"0002ok")
    assert bench.answers == [b"answer", b"ok"]
    assert not bench.time.getDelayedCalls(), "no timer is left behind"


@pytest.mark.parametrize(
    ("heard", "reason"),
    [
        (lambda bench: bench.hear(b"0002ok0002ok"), "two_answers"),
        (lambda bench: bench.hear(b"oops"), "bad_frame:frame_length"),
        (lambda bench: bench.hear(b"9999"), "bad_frame:frame_too_long"),
        (lambda bench: bench.time.advance(60), "no_answer"),
        (lambda bench: (bench.hear(b"00"), bench.time.advance(10)), "answer_stalled"),
        (lambda bench: bench.lose(ConnectionDone()), "closed_without_answer"),
        (lambda bench: bench.lose(ConnectionLost()), "closed_without_answer"),
        (lambda bench: (bench.hear(b"0006ans"), bench.lose(ConnectionDone())), "half_answer"),
        (lambda bench: bench.line.hang_up() or bench.lose(ConnectionLost()), "closed_without_answer"),
    ],
    ids=["two", "no_number", "too_long", "silent", "stalled", "closed", "lost", "half", "hung_up"],
)
def test_what_is_no_answer_ends_the_exchange_with_the_bytes_counted_as_written(
    heard: Callable[[Bench], object], reason: str
) -> None:
    bench = Bench()
    bench.ask()
    heard(bench)
    said, was_written, _partial = bench.failure
    assert (said, was_written) == (reason, True)
    assert not bench.line.live and not bench.answers
    assert not bench.time.getDelayedCalls()
    assert bench.wire.ended == ["abort"] or bench.gone == [bench.line]


def test_what_was_seen_of_half_an_answer_is_kept_as_evidence() -> None:
    bench = Bench()
    bench.ask()
    bench.hear(b"0006an")
    bench.hear(b"s")
    bench.lose(ConnectionLost())
    assert bench.failure == ("half_answer", True, b"0006ans")


def test_a_flood_is_kept_only_up_to_a_limit() -> None:
    bench = Bench(framing=UntilEof(), max_bytes=1_000_000)
    bench.ask()
    for _ in range(30):
        bench.hear(b"x" * 30_000)
    bench.lose(ConnectionLost())
    reason, _written, partial = bench.failure
    assert reason == "half_answer" and len(partial) == 65_536


def test_an_answer_that_drips_for_ever_is_too_slow() -> None:
    bench = Bench()
    bench.ask()
    for byte in b"0020" + b"x" * 13:
        bench.hear(bytes([byte]))
        bench.time.advance(7)
    assert bench.failures == []
    bench.time.advance(2)
    assert bench.failure[0] == "too_slow"


def test_unasked_bytes_kill_the_session() -> None:
    bench = Bench()
    bench.hear(b"0002hi")
    assert bench.wire.ended == ["abort"] and not bench.line.live
    bench.ask()
    assert bench.failure == ("connection_gone", False, b""), "and nothing more is written on it"
    assert bench.wire.written == []


def test_after_its_end_nothing_is_written_and_that_is_proof() -> None:
    bench = Bench()
    bench.lose(ConnectionLost())
    assert bench.gone == [bench.line]
    bench.ask()
    assert bench.failure == ("connection_gone", False, b"") and bench.wire.written == []


def test_where_the_close_ends_the_answer_a_clean_close_delivers_it_and_a_reset_does_not() -> None:
    whole, cut = Bench(framing=UntilEof()), Bench(framing=UntilEof())
    for bench in (whole, cut):
        bench.ask()
        bench.hear(b"the answer")
    whole.lose(ConnectionDone())
    cut.lose(ConnectionLost())
    assert whole.answers == [b"the answer"]
    assert cut.failure == ("half_answer", True, b"the answer"), "a reset may have swallowed the rest"


def test_bytes_after_we_hung_up_are_not_read() -> None:
    bench = Bench()
    bench.ask()
    bench.line.hang_up()
    bench.hear(b"0002ok")
    bench.line.hang_up()
    bench.line.finish()
    assert bench.wire.ended == ["abort"] and not bench.answers


def test_what_we_broke_off_is_no_answer_though_it_looks_like_a_clean_close() -> None:
    bench = Bench(framing=UntilEof())
    bench.ask()
    bench.hear(b"half of")
    bench.line.hang_up()
    bench.lose(ConnectionDone())
    assert bench.failure == ("half_answer", True, b"half of") and not bench.answers


def test_a_close_that_makes_whole_what_nobody_waits_for_ends_the_line_and_no_more() -> None:
    """As with a proxy that closes an idle connection: the close comes after the last answer, and completes a frame of
    unstated length."""
    bench = Bench(HttpAnswers())
    bench.ask()
    bench.hear(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\nbye"
    )
    assert len(bench.answers) == 1
    bench.lose(ConnectionDone())
    assert len(bench.answers) == 1 and bench.failures == []
    assert bench.gone == [bench.line] and not bench.line.live


def test_before_it_is_connected_nothing_is_written() -> None:
    port = Port(
        "business", lambda: LengthPrefix(4).cutter(9), kept=True, first_byte_s=60, between_bytes_s=10, exchange_s=120
    )
    line = BankConnection(port, LifeClock(HeapClock()), lambda _line: None, lambda: True)
    failed: list[Failure] = []
    line.exchange(b"question").addErrback(failed.append)
    [failure] = failed
    assert isinstance(failure.value, NoAnswer) and not failure.value.written and str(failure.value) == "connection_gone"
    assert line.exchanges == 0


class _Dead(tcp.Connection):
    """A closed connection of Twisted whose protocol was not told yet that it is closed."""

    connected = 0

    def __init__(self) -> None:
        self.held = b""

    def write(self, data: bytes) -> None:
        self.held += data

    def doWrite(self) -> None:  # noqa: N802 - the name is Twisted's
        raise AttributeError("there is no socket any more")


def test_a_connection_that_is_over_is_not_written_to_and_what_was_said_on_it_is_doubt() -> None:
    bench = Bench()
    dead = _Dead()
    bench.line.transport = dead
    bench.ask()
    assert dead.held == b"question" and not bench.failures
    bench.lose(ConnectionLost())
    assert bench.failure == ("closed_without_answer", True, b"")


def test_two_exchanges_at_once_are_a_defect_of_ours() -> None:
    bench = Bench()
    bench.ask()
    with pytest.raises(AssertionError, match="two exchanges"):
        bench.line.exchange(b"more")
    bench.line.hang_up()
    bench.lose(ConnectionLost())
