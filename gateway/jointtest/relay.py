"""The relay between the gateway and a front end: passes bytes on, and cuts the connection on command.

It works at any bank, for it reads no message: TLS goes through it unbroken. It stands there only for a joint test.

{"do": "pass"}        pass everything on (so it begins)
{"do": "refuse"}      close new connections at once, and those that are open now
{"do": "swallow"}     let requests through and keep the answers back, then close: the answer is lost on the line;
                      with "port": "business" on this port only, as where another port signs
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IDelayedCall, IListeningPort, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

PASS, REFUSE, SWALLOW = "pass", "refuse", "swallow"
HOLD_S = 0.3
"""The time for which the answer is kept back before the connection is cut. By then the bank has carried the request
out.
"""
_HANDSHAKE, _DATA = 22, 23
_RECORD_HEAD = 5
_FINISHED_BYTES = frozenset({53, 69})
"""Lengths of an encrypted TLS 1.3 Finished record (SHA-256, SHA-384). Whatever the client sends after it
is a message.
"""


class TlsRecordSizes:
    """Finds out, from the sizes of TLS records alone, whether a client has begun to send messages."""

    def __init__(self) -> None:
        self.speaking = False
        self._buffer = b""
        self._modern: bool | None = None

    def client_said(self, data: bytes) -> bool:
        """Process the client's bytes; returns whether application data is among them."""
        if not self._buffer and self._modern is None and data[:1] != bytes((_HANDSHAKE,)):
            self.speaking = True
        if self.speaking and not self._modern and self._modern is None:
            return True
        self._buffer += data
        message = False
        while len(self._buffer) >= _RECORD_HEAD:
            size = int.from_bytes(self._buffer[3:5], "big")
            if len(self._buffer) < _RECORD_HEAD + size:
                break
            message |= self._record(self._buffer[0], size)
            self._buffer = self._buffer[_RECORD_HEAD + size :]
        return message

    def server_said(self, data: bytes) -> None:
        """Process the server's first bytes, because its hello tells the version."""
        if self._modern is None and data[:1] == bytes((_HANDSHAKE,)):
            # No hello of TLS 1.2 contains supported_versions (43) with TLS 1.3 (0304).
            self._modern = b"\x00\x2b\x00\x02\x03\x04" in data

    def _record(self, kind: int, size: int) -> bool:
        if kind != _DATA:
            return False
        if self.speaking:
            return True
        if self._modern:
            self.speaking = size in _FINISHED_BYTES
            return False
        self.speaking = True
        return True


class LineRelay:
    """The state that all connections of a relay share: the mode, and the connected sides. A relay may have several
    ports.
    """

    def __init__(self, reactor: Any) -> None:
        self.mode = PASS
        self.only = ""
        self.cut = 0
        self.pairs: set[_Inside] = set()
        self.reactor = reactor

    def stand(self, host: str, port: int, listen: int = 0, name: str = "") -> int:
        """Listen on the loopback for one port of the front end; returns the relay's port, for the gateway's
        settings."""
        door = TCP4ClientEndpoint(self.reactor, host, port)
        factory = Factory.forProtocol(lambda: _Inside(self, door, name))
        factory.noisy = False
        listening: IListeningPort = self.reactor.listenTCP(listen, factory, interface="127.0.0.1")
        return int(cast(IPv4Address, listening.getHost()).port)

    def obey(self, command: Any) -> dict[str, Any]:
        """Carry out one command; returns `error` for an unknown one."""
        word = command.get("do") if isinstance(command, dict) else None
        if word == "report":
            return {"mode": self.mode, "cut": self.cut, "open": len(self.pairs)}
        if word not in (PASS, REFUSE, SWALLOW):
            return {"error": f"no command {word!r}; there are pass, refuse, swallow, report"}
        self.mode, self.only = word, str(command.get("port") or "")
        if word == REFUSE:
            for pair in tuple(self.pairs):
                pair.abort()
        return {"mode": self.mode, "cut": self.cut}


class _Inside(Protocol):
    """The connection between the gateway and the relay."""

    def __init__(self, line: LineRelay, door: TCP4ClientEndpoint, name: str) -> None:
        self._line = line
        self._name = name
        self._door = door
        self._out: _Outside | None = None
        self._early: list[bytes] = []
        self._open = False
        self.talk = TlsRecordSizes()
        self.asked = False
        self._cut: IDelayedCall | None = None

    def connectionMade(self) -> None:
        if self._line.mode == REFUSE:
            cast(Any, self.transport).abortConnection()
            return
        self._open = True
        self._line.pairs.add(self)
        factory = Factory.forProtocol(lambda: _Outside(self))
        factory.noisy = False
        dialled = self._door.connect(cast(Any, factory))
        dialled.addErrback(lambda _failure: self.abort())

    def joined(self, out: _Outside) -> None:
        """Note that the front end has accepted the connection."""
        if not self._open:
            out.abort()
            return
        self._out = out
        for data in self._early:
            out.write(data)
        self._early.clear()

    def dataReceived(self, data: bytes) -> None:
        line = self._line
        is_swallowed = line.mode == SWALLOW and line.only in ("", self._name)
        if self.talk.client_said(data) and is_swallowed and self._cut is None:
            self.asked = True
            self._cut = line.reactor.callLater(HOLD_S, self._lose)
        if self._out is None:
            self._early.append(data)
        else:
            self._out.write(data)

    def answer(self, data: bytes) -> None:
        """Pass on the front end's bytes, unless this answer has to be dropped."""
        self.talk.server_said(data)
        if not self.asked and self._open:
            cast(ITransport, self.transport).write(data)

    def _lose(self) -> None:
        self._line.cut += 1
        self.abort()

    def abort(self) -> None:
        """Abort the connections on both sides."""
        if self._open:
            cast(Any, self.transport).abortConnection()
        if self._out is not None:
            self._out.abort()

    def over(self) -> None:
        """Note that the front end has closed the connection."""
        if self._open and not self.asked:
            cast(ITransport, self.transport).loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._open = False
        self._line.pairs.discard(self)
        if self._cut is not None and self._cut.active():
            self._cut.cancel()
            self._lose()
        if self._out is not None:
            self._out.abort()


class _Outside(Protocol):
    """The connection between the relay and the front end."""

    def __init__(self, inside: _Inside) -> None:
        self._inside = inside
        self._open = False

    def connectionMade(self) -> None:
        self._open = True
        self._inside.joined(self)

    def dataReceived(self, data: bytes) -> None:
        self._inside.answer(data)

    def write(self, data: bytes) -> None:
        """Pass the gateway's bytes on."""
        cast(ITransport, self.transport).write(data)

    def abort(self) -> None:
        """Abort the connection to the front end."""
        if self._open:
            self._open = False
            cast(Any, self.transport).loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._open = False
        self._inside.over()


class _Commands(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, line: LineRelay) -> None:
        self._line = line

    def lineReceived(self, line: bytes) -> None:
        try:
            answer = self._line.obey(json.loads(line))
        except ValueError:
            answer = {"error": "not a JSON object"}
        cast(ITransport, self.transport).write(json.dumps(answer).encode() + self.delimiter)


def control(reactor: Any, path: Path, line: LineRelay) -> IListeningPort:
    """Take commands on a UNIX socket that only this user can reach."""
    path.unlink(missing_ok=True)
    factory = Factory.forProtocol(lambda: _Commands(line))
    factory.noisy = False
    listening: IListeningPort = reactor.listenUNIX(str(path), factory, mode=0o600)
    return listening
