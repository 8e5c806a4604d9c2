"""Listens for connections from banks: mutual TLS with pinned client certificates, few connections, small messages.

A push is answered only after the journal has stored it. If that fails, or if the connection breaks first, the bank gets
no answer and sends the push again; a push that was stored before is recognised by its content and handled once. A push
changes no payment: the journal makes enquiries due, and the bank's answers to these decide.

If the port cannot be opened, the gateway tries again and everything else goes on: without pushes, the same work is done
a little later.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener, IOpenSSLServerConnectionCreator, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.bank.tls import ServerTls, pinned_server_context
from gateway.bank.token_bucket import TokenBucket
from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store
from gateway.kernel.meters import Meters
from gateway.kernel.tasks import Tasks
from gateway.payments.rows import pushes
from gateway.settings import PushSettings, Settings, lanes_of
from protocols.bank import Bank, Pushes
from protocols.kit.errors import ProtocolError

AGAIN_S = 60.0
"""The pause before a listener that could not be opened is tried again."""
HANDSHAKE_S = 5.0
"""A peer that has not shown its certificate by then is cut off."""
WAITING_MOST = 4
"""The most messages of one connection that wait behind the one being stored."""
_log = log.get("bank.push_listener")


@dataclass(frozen=True, slots=True)
class PushParts:
    """The parts that a push listener needs. `lanes` are the bank's lanes; `look` has an own account read soon."""

    bank_name: str
    pushes: Pushes
    lanes: Collection[str]
    store: Store
    clock: Clock
    meters: Meters
    look: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class NotListening:
    """Why a listener's port is not open, and what to do."""

    cause: str
    remedy: str


class PushListener:
    """Listens for one bank's pushes. `open` listens, `close` ends every connection. `not_listening` says why its port
    is not open."""

    def __init__(self, reactor: Any, parts: PushParts, table: PushSettings, tls: ServerTls) -> None:
        self.parts = parts
        self.table = table
        self.tasks = Tasks(self._defect)
        self.connections: set[PushConnection] = set()
        self.bucket = TokenBucket(table.per_second, max(1, int(table.per_second)), parts.clock.monotonic_s())
        self._reactor = reactor
        self.not_listening: NotListening | None = None
        self._tls = CurrentServerTls(tls)
        self._listening: Any = None
        self._again: IDelayedCall | None = None

    def open(self) -> None:
        """Open the port. If that fails, log the failure and try again each minute."""
        self._again = None
        factory: Any = Factory.forProtocol(partial(PushConnection, self))
        factory.noisy = False
        wrapped: Any = TLSMemoryBIOFactory(self._tls, False, factory)
        wrapped.noisy = False
        bank, table = self.parts.bank_name, self.table
        try:
            self._listening = self._reactor.listenTCP(table.port, wrapped, interface=table.host)
        except CannotListenError as error:
            why = _not_listening(error, bank, table)
            if why != self.not_listening:
                _log.error(
                    "push.not_listening",
                    bank=bank,
                    host=table.host,
                    port=table.port,
                    error=why.cause,
                    action=f"{why.remedy}; the gateway tries again in a minute",
                )
            self.not_listening = why
            self._again = self.parts.clock.later(AGAIN_S, self.open)
            return
        self.not_listening = None
        _log.info("push.listening", bank=bank, host=table.host, port=self.port)

    @property
    def port(self) -> int:
        """The port that the listener is bound to; 0 while it does not listen."""
        return 0 if self._listening is None else int(self._listening.getHost().port)

    def use(self, table: PushSettings, tls: ServerTls) -> None:
        """Use this certificate, authority and these pins for new connections."""
        self.table, self._tls.now = table, tls

    async def close(self) -> None:
        """Stop listening and end open connections. The banks send unanswered messages again."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._listening is not None:
            await self._listening.stopListening()
            self._listening = None
        for one in tuple(self.connections):
            one.cut("closing")
        self.tasks.stop()

    def count(self, result: str) -> None:
        """Count one push, or one connection that was refused."""
        self.parts.meters.pushes.labels(self.parts.bank_name, result).inc()

    def _defect(self, failure: Failure) -> None:
        _log.error(
            "push.not_kept",
            bank=self.parts.bank_name,
            error=failure.getTraceback(detail="brief"),
            action="the message was not stored, so it is not answered; the bank sends it again",
        )


@dataclass(frozen=True, slots=True)
class PushListeners:
    """All push listeners that the settings define."""

    doors: tuple[PushListener, ...]

    def open(self) -> None:
        """Open the port of each listener that can be opened."""
        for door in self.doors:
            door.open()

    def not_listening(self) -> dict[str, NotListening]:
        """The banks whose listeners are not open, each with the reason."""
        return {door.parts.bank_name: door.not_listening for door in self.doors if door.not_listening is not None}

    def prepare_reload(self, settings: Settings) -> Callable[[], None]:
        """Read every file again. Returns a function that puts them into use. Raises ValueError (KeyFileError for
        files)."""
        fresh = []
        for door in self.doors:
            table = settings.banks[door.parts.bank_name].pushes
            if table is not None:
                fresh.append((door, table, _server_tls(table)))

        def use() -> None:
            for door, table, tls in fresh:
                door.use(table, tls)

        return use

    async def close(self) -> None:
        """Close the port and connections of each listener."""
        for door in self.doors:
            await door.close()


def push_listeners(
    reactor: Any,
    settings: Settings,
    banks: Mapping[str, Bank],
    store: Store,
    clock: Clock,
    meters: Meters,
    look: Callable[[str], None],
) -> PushListeners:
    """The listeners of the settings. Raises KeyFileError, and ValueError for an invalid pin."""
    found = []
    # Of several shards, the one with the bank's first lane has the listener, because a port can be opened only once.
    here = lanes_of(settings)
    for name, table in settings.banks.items():
        known = banks[name].pushes
        if table.pushes is None or known is None or f"{name}.{min(table.lanes)}" not in here:
            continue
        one = table.pushes
        tls = _server_tls(one)
        lanes = [f"{name}.{lane}" for lane in table.lanes]
        found.append(PushListener(reactor, PushParts(name, known, lanes, store, clock, meters, look), one, tls))
    return PushListeners(tuple(found))


def _server_tls(table: PushSettings) -> ServerTls:
    return pinned_server_context(table.certificate, table.key.path(), table.ca_file, table.client_pins)


def _not_listening(error: CannotListenError, bank: str, table: PushSettings) -> NotListening:
    number = getattr(error.socketError, "errno", None)
    cause = f"cannot listen at {table.host}:{table.port}: {getattr(error.socketError, 'strerror', None) or error}"
    if number in (errno.EACCES, errno.EPERM):
        # A systemd unit with SocketBindDeny=any gets this error.
        return NotListening(
            cause,
            f"let the unit listen there: `systemctl edit bankgw`, [Service], "
            f"SocketBindAllow=tcp:{table.port}, then restart it",
        )
    if number == errno.EADDRINUSE:
        return NotListening(cause, f"free the port, or set another banks.{bank}.pushes.port")
    return NotListening(cause, f"set banks.{bank}.pushes.host to an address of this machine")


@implementer(IOpenSSLServerConnectionCreator)
class CurrentServerTls:
    """The TLS settings of a listener that are in force now."""

    def __init__(self, now: ServerTls) -> None:
        self.now = now

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A new server connection with the settings in force: see IOpenSSLServerConnectionCreator."""
        return self.now.serverConnectionForTLS(tlsProtocol)


@implementer(IHandshakeListener)
class PushConnection(Protocol):
    """One connection of a bank that pushes messages, which are handled in order, one at a time."""

    def __init__(self, listener: PushListener) -> None:
        self._listener = listener
        self._cutter = listener.parts.pushes.requests()
        self._waiting: deque[bytes] = deque()
        self._busy = False
        self._verified = False
        self._live = False
        self._patience: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Accept the connection if there is room."""
        self._live = True
        if len(self._listener.connections) >= self._listener.table.most_connections:
            self.cut("too_many")
            return
        self._listener.connections.add(self)
        self._wait(HANDSHAKE_S, "handshake")

    def handshakeCompleted(self) -> None:
        """Read messages from now on, because the peer has shown a pinned certificate."""
        self._verified = True
        self._wait(self._listener.table.idle_s, "idle")

    def dataReceived(self, data: bytes) -> None:
        """Split received bytes into messages. Too many waiting messages, or bytes that are no message, end the
        connection."""
        if not self._live:
            return
        if not self._verified:
            self.cut("handshake")
            return
        self._wait(self._listener.table.idle_s, "idle")
        try:
            self._waiting.extend(self._cutter.feed(data))
        except ProtocolError as error:
            _log.warning(
                "push.bad_frame",
                bank=self._listener.parts.bank_name,
                error=str(error),
                action="these bytes are no message of this bank; nothing is answered, and the connection is closed",
            )
            self.cut("bad_frame")
            return
        if len(self._waiting) > WAITING_MOST:
            self.cut("too_many")
            return
        self._next()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the connection. A message that is being stored is still stored; only its answer is lost."""
        if self._live and not self._verified:
            self._listener.count("handshake")
        self._end()

    def cut(self, why: str) -> None:
        """End the connection now, and count the reason."""
        if not self._live:
            return
        if why not in ("idle", "closing"):
            self._listener.count(why)
        self._end()
        assert self.transport is not None
        cast(ITCPTransport, self.transport).abortConnection()

    def _end(self) -> None:
        self._live = False
        self._waiting.clear()
        self._listener.connections.discard(self)
        if self._patience is not None and self._patience.active():
            self._patience.cancel()

    def _wait(self, seconds: float, why: str) -> None:
        if self._patience is not None and self._patience.active():
            self._patience.cancel()
        self._patience = self._listener.parts.clock.later(seconds, self.cut, why)

    def _next(self) -> None:
        if not self._busy and self._waiting and self._live:
            self._busy = True
            self._listener.tasks.spawn(self._take(self._waiting.popleft()))

    async def _take(self, frame: bytes) -> None:
        done = False
        try:
            answer = await self._kept(frame)
            done = True
        finally:
            self._busy = False
            if not done:
                self.cut("not_kept")
        if answer is None or not self._live:
            return
        assert self.transport is not None
        self.transport.write(answer)
        if self._listener.parts.pushes.closes:
            self.transport.loseConnection()
            return
        self._next()

    async def _kept(self, frame: bytes) -> bytes | None:
        """The answer to a message, once the journal has stored it; None for a message that gets no answer."""
        listener, parts = self._listener, self._listener.parts
        if listener.bucket.wait_s(parts.clock.monotonic_s()) > 0:
            self.cut("too_fast")
            return None
        try:
            push = parts.pushes.read(frame)
        except ProtocolError as error:
            _log.warning(
                "push.refused",
                bank=parts.bank_name,
                error=str(error),
                action="the message is not answered and changes nothing; the connection is closed",
            )
            self.cut("refused")
            return None
        kept = await parts.store.write(lambda tx: pushes.keep(tx, parts.bank_name, parts.lanes, push, frame))
        listener.count("unread" if push.unread else "kept" if kept.new else "repeated")
        _log.info(
            "push.received", bank=parts.bank_name, kind=push.kind, new=kept.new, payments=kept.payments, text=push.text
        )
        if kept.new:
            for account in push.accounts:
                parts.look(account.clear)
        return parts.pushes.answer(frame, parts.clock.now_ms())
