"""Signing keys that the signer process alone holds: one request a signature, on a kept connection to its UNIX socket.

The request carries the message and the octets that stand for it, because the signer reads what it signs.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from gateway.bank.key_trouble import SigningFailed
from gateway.bank.signer_frames import (
    ANSWER_MAX,
    REQUEST_MAX,
    BadFrame,
    SignAnswer,
    SignerFrames,
    SignerWord,
    SignRequest,
    read_answer,
    request_frame,
)
from protocols.kit.errors import harmless

CONNECT_S = 5.0
_SHOWN = 300


class SignerKeySource:
    """A key of the signer process, as `OutsideSigner` uses it.

    The connection is kept. Whatever goes wrong on it ends it, so that no later request gets an earlier answer.
    """

    def __init__(self, reactor: Any, socket: Path, key: str) -> None:
        self.name = f"signer process {socket}, key {key}"
        self._reactor = reactor
        self._socket = socket
        self._key = key
        self._numbers = count(1)
        self._line: _SignerLine | None = None

    def sign(self, octets: bytes, document: bytes = b"") -> Deferred[bytes]:
        """Fires with the signature, or fails with SigningFailed. Cancelling it hangs up."""
        request = SignRequest(next(self._numbers), self._key, octets, document)
        frame = request_frame(request)
        if len(frame) > REQUEST_MAX:
            return fail(SigningFailed("octets_refused", f"a message of {len(document)} bytes is over the limit"))
        if self._line is None:
            self._line = _SignerLine(self._forget)
            factory = _SignerFactory(self._line)
            self._reactor.connectUNIX(str(self._socket), factory, timeout=CONNECT_S)
        return self._line.ask(request.number, frame)

    def hang_up(self) -> None:
        """End the connection, if there is one."""
        if self._line is not None:
            self._line.hang_up()

    def _forget(self) -> None:
        self._line = None


class _SignerFactory(ClientFactory):
    """Gives the one connection its protocol, and tells it if there is none."""

    noisy = False

    def __init__(self, line: _SignerLine) -> None:
        self._line = line

    def buildProtocol(self, _address: Any) -> _SignerLine:
        return self._line

    def clientConnectionFailed(self, _connector: Any, reason: Failure) -> None:
        self._line.lost("signer_away", reason.getErrorMessage())


class _SignerLine(Protocol):
    """One connection to the signer, and the requests that wait on it."""

    transport: Any

    def __init__(self, forget: Callable[[], None]) -> None:
        self._forget = forget
        self._cutter = SignerFrames(ANSWER_MAX)
        self._unsent: list[bytes] = []
        self._waiting: dict[int, Deferred[bytes]] = {}
        self._ended = False

    def ask(self, number: int, frame: bytes) -> Deferred[bytes]:
        """Send a request, at once or when the connection stands."""
        told: Deferred[bytes] = Deferred(lambda _cancelled: self._give_up(number))
        self._waiting[number] = told
        if self.transport is None:
            self._unsent.append(frame)
        else:
            self.transport.write(frame)
        return told

    def hang_up(self) -> None:
        """End the connection."""
        self.lost("signer_away", "the connection was closed here")

    def lost(self, reason: str, detail: str) -> None:
        """Forget the connection; requests that wait fail."""
        if not self._ended:
            self._ended = True
            self._forget()
            if self.transport is not None:
                self.transport.abortConnection()
        waiting, self._waiting = self._waiting, {}
        for told in waiting.values():
            told.errback(SigningFailed(reason, detail))

    def _give_up(self, number: int) -> None:
        del self._waiting[number]
        self.lost("signer_away", "an earlier request was not answered in time")

    # ---- Twisted's names ----

    def connectionMade(self) -> None:
        """The connection stands: send what waits for it."""
        if self._ended:
            self.transport.abortConnection()
            return
        unsent, self._unsent = self._unsent, []
        self.transport.writeSequence(unsent)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of answers."""
        try:
            answers = [read_answer(body) for body in self._cutter.feed(data)]
        except BadFrame as error:
            self.lost("bad_answer", str(error))
            return
        for answer in answers:
            told = self._waiting.pop(answer.number, None)
            if told is None:
                self.lost("bad_answer", "it is the answer to no request")
                return
            self._tell(told, answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The signer, or the kernel, ended the connection."""
        self.lost("signer_away", reason.getErrorMessage())

    def _tell(self, told: Deferred[bytes], answer: SignAnswer) -> None:
        if answer.word is SignerWord.SIGNED:
            told.callback(answer.content)
            return
        why = harmless(answer.content.decode("ascii", "replace")[:_SHOWN])
        reason = "octets_refused" if answer.word is SignerWord.NEVER else "signer_refused"
        told.errback(SigningFailed(reason, why))
