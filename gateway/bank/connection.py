"""One connection to a bank: one exchange at a time, each with its own time-outs.

An answer is one whole frame. A frame that nobody asked for, a second frame, or bytes that are no frame end the
connection, because later answers on it could not be matched to their questions.

No byte goes to the kernel unless `may_write` agrees at that moment. That holds for the first byte of a message (TLS has
encrypted it before) and for the rest of a long message that waits for a slow peer. The reason is that a process can
stand still at any point, for long enough that another node takes the lane over.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import cast

from cryptography.x509 import load_der_x509_certificate
from OpenSSL import SSL
from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from gateway.bank.answer_times import AnswerTimes
from gateway.bank.exchange_trace import ConnectionTrace, LaneTrace
from gateway.bank.handshake_errors import explain
from gateway.bank.tls import peer_der
from gateway.kernel.clock import Clock
from protocols.bank import Cutter, Port
from protocols.kit.errors import ProtocolError


class NoAnswer(Exception):  # noqa: N818 - silence is an outcome, not an error
    """An exchange with the bank got no complete answer. `written` is False only if not one byte was handed to the
    kernel."""

    def __init__(self, reason: str, *, written: bool, partial: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.written = written
        self.partial = partial


GONE = "connection_gone"
NO_PERMIT = "permit_refused"
"""Why a message was not sent, or not to its end: at the moment of the write the lane's lease did not hold."""


class BankConnection(Protocol):
    """A connection that has passed its handshake. `exchanges` counts what was written.

    `asked_s` is when the message whose answer is awaited was sent; None if no answer is awaited. `on_end` is called
    once at the connection's end. `may_write` is asked each time before bytes go to the kernel; if it refuses, the
    connection ends. `answer_times` gets the duration of each answer.
    """

    def __init__(
        self,
        port: Port,
        clock: Clock,
        on_end: Callable[[BankConnection], None],
        may_write: Callable[[], bool],
        trace: ConnectionTrace | None = None,
        answer_times: AnswerTimes | None = None,
    ) -> None:
        self.port = port
        self._trace = trace or LaneTrace(None, {}, clock).session(0).connection(port.name)
        self.live = False
        self.exchanges = 0
        self.asked_s: float | None = None
        self._answer_times = answer_times
        self._clock = clock
        self._on_end = on_end
        self._may_write = may_write
        self._handed_over = False
        self._cutter: Cutter = port.answers()
        self._waiting: Deferred[bytes] | None = None
        self._partial = b""
        self._patience: list[IDelayedCall] = []  # timers: next byte, whole answer; none between exchanges

    def exchange(self, data: bytes) -> Deferred[bytes]:
        """Write one framed message and fire with the framed answer, or fail with NoAnswer."""
        if not self.live:
            return _failed(NoAnswer(GONE, written=False))
        assert self.transport is not None
        assert self._waiting is None, "two exchanges on one connection"
        self._waiting = Deferred()
        self._partial = b""
        self.exchanges += 1
        self.asked_s = self._clock.monotonic_s()
        self._patience = [
            self._clock.later(self.port.first_byte_s, self._give_up, "no_answer"),
            self._clock.later(self.port.exchange_s, self._give_up, "too_slow"),
        ]
        waiting, connection = self._waiting, _connection(self.transport)
        self._handed_over = connection is None
        self._trace.request(data)
        self.transport.write(data)
        if connection is not None and connection.connected:
            # Write in this reactor turn, so that the bank works while the next payment is prepared. The reactor handles
            # errors of the socket, because it still waits to write the rest.
            connection.doWrite()
        return waiting

    def hang_up(self) -> None:
        """Close now, dropping what is not yet written. Harmless when the connection is gone."""
        if self.live:
            self.live = False
            assert self.transport is not None
            cast(ITCPTransport, self.transport).abortConnection()

    def finish(self) -> None:
        """Close the connection in order, after all written bytes were sent."""
        if self.live:
            assert self.transport is not None
            self.transport.loseConnection()

    # ---- Twisted's side ----

    def connectionMade(self) -> None:
        self.live = True
        if self._trace.kept:
            self._trace.connected(_tls_words(self.transport))
        connection = _connection(self.transport)
        if connection is None:
            return
        hand_over = connection.writeSomeData

        def permitted(data: bytes) -> int | ConnectionLost:
            # The last test before the system call, a few microseconds later.
            if not self._may_write():
                self._fail(NO_PERMIT, written=self._handed_over)
                return 0
            self._handed_over = True
            return hand_over(data)

        connection.writeSomeData = permitted  # type: ignore[method-assign] # the only way into Twisted's own connection

    def dataReceived(self, data: bytes) -> None:
        if not self.live:
            return
        if self._waiting is None:
            self._trace.unasked(data)
            self._fail("unasked_bytes")
            return
        self._partial = (self._partial + data)[:65536]
        try:
            frames = self._cutter.feed(data)
        except ProtocolError as error:
            self._fail(f"bad_frame:{error.reason}")
            return
        if len(frames) > 1:
            self._fail("two_answers")
        elif frames:
            self._deliver(frames[0])
        else:
            self._patience[0].cancel()
            self._patience[0] = self._clock.later(self.port.between_bytes_s, self._give_up, "answer_stalled")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        was_live, self.live = self.live, False
        # Without a waiting exchange, a frame that is completed by the close answers no question.
        if was_live and self._waiting is not None and isinstance(reason.value, ConnectionDone):
            try:
                frames = self._cutter.end()
            except ProtocolError:
                frames = []
            if len(frames) == 1:
                self._deliver(frames[0])
        if self._waiting is not None:
            word = "half_answer" if self._partial else "closed_without_answer"
            self._trace.no_answer(_with_cause(word, reason), self._partial, written=True)
            self._end_exchange().errback(NoAnswer(word, written=True, partial=self._partial))
        elif was_live and (self.port.kept or not self.exchanges):
            self._trace.closed(_with_cause("the connection ended", reason))
        self._on_end(self)

    def _deliver(self, frame: bytes) -> None:
        self._trace.answer(self._partial, len(frame))
        if self._answer_times is not None and self.asked_s is not None:
            self._answer_times.note(self._clock.monotonic_s() - self.asked_s)
        self._end_exchange().callback(frame)

    def _give_up(self, reason: str) -> None:
        self._fail(reason)

    def _fail(self, reason: str, *, written: bool = True) -> None:
        waiting = self._end_exchange() if self._waiting is not None else None
        self.hang_up()
        if waiting is not None:
            self._trace.no_answer(reason, self._partial, written=written)
            waiting.errback(NoAnswer(reason, written=written, partial=self._partial))

    def _end_exchange(self) -> Deferred[bytes]:
        for timer in self._patience:
            if timer.active():
                timer.cancel()
        self._patience = []
        self.asked_s = None
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        return waiting


def _connection(transport: object) -> tcp.Connection | None:
    """The TCP connection under a transport, below TLS if there is one; None if there is no TCP connection."""
    raw = transport.transport if isinstance(transport, TLSMemoryBIOProtocol) else transport
    return raw if isinstance(raw, tcp.Connection) else None


def _tls_words(transport: object) -> str:
    """The result of the TLS handshake as text: TLS version, cipher suite, and the peer's certificate subject."""
    handle = transport.getHandle() if isinstance(transport, TLSMemoryBIOProtocol) else None
    if not isinstance(handle, SSL.Connection):
        return "plain"
    peer = peer_der(handle)
    who = "" if peer is None else f" {_subject(peer)}"
    return f"{handle.get_protocol_version_name()} {handle.get_cipher_name()}{who}"


@lru_cache(maxsize=256)
def _subject(der: bytes) -> str:
    """The subject of a DER certificate. Cached, because a bank that wants a connection per exchange shows the same
    certificate each time."""
    return load_der_x509_certificate(der).subject.rfc4514_string()


def _with_cause(word: str, reason: Failure) -> str:
    """A slug, with the TLS alert if one ended the connection: under TLS 1.3 a bank can refuse our certificate after the
    handshake."""
    if reason.value is None or isinstance(reason.value, ConnectionDone | ConnectionLost):
        return word
    seen = explain(reason.value)
    return f"{word}: {seen.reason.value}: {seen.detail}; {seen.reason.remedy}"


def _failed(error: NoAnswer) -> Deferred[bytes]:
    deferred: Deferred[bytes] = Deferred()
    deferred.errback(error)
    return deferred
