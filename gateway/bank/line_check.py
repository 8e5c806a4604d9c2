"""Checks the way to a bank's port on a connection of its own: name, TCP, TLS. No application byte is sent on it."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.threads import deferToThreadPool
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from gateway.bank.dialer import BankDialer, NotConnected
from gateway.bank.handshake_errors import Reason, explain
from gateway.bank.tls import ClientTls, spki_pin, subject_of
from gateway.kernel.clock import Clock
from gateway.kernel.tasks import sleep

ALERT_S = 0.5
"""How long to wait for a TLS alert, because under TLS 1.3 a bank refuses our certificate after the handshake."""
NAME, TCP, TLS = "name", "tcp", "tls"
_AT_TCP = frozenset({Reason.REFUSED, Reason.UNREACHABLE, Reason.CONNECT_TIMEOUT})


@dataclass(frozen=True, slots=True)
class LineRung:
    """One step of a check of the line to a bank. `seen` are the findings as lines; a failed step has a `reason` and a
    `fix`.
    """

    rung: str
    ok: bool
    seen: tuple[str, ...]
    reason: str = ""
    fix: str = ""


LineCheck = Callable[[], Awaitable[tuple[LineRung, ...]]]


class LineChecker:
    """Checks one port of a lane. `check` returns the steps up to the first that failed."""

    def __init__(self, reactor: Any, clock: Clock, host: str, dialer: BankDialer) -> None:
        self._reactor = reactor
        self._clock = clock
        self._host = host
        self._dialer = dialer

    async def check(self) -> tuple[LineRung, ...]:
        """Check the line: look up the name, connect, shake hands, wait for a late refusal, hang up."""
        named = await self._name()
        if not named.ok:
            return (named,)
        tls = self._dialer.tls
        if tls is not None:
            tls.last_seen = {}
        try:
            line = await self._dialer.connect(_SilentProtocol)
        except NotConnected as error:
            return (named, *_refused(error, self._dialer, tls))
        opened = LineRung(TCP, True, (f"{self._dialer.where} accepts connections",))
        if tls is None:
            line.leave()
            return named, opened, LineRung(TLS, True, ("none: this lane is set to plain text",))
        facts = _facts(line, tls)
        await sleep(self._clock, ALERT_S)
        ended = line.ended
        line.leave()
        if ended is not None and isinstance(ended.value, SSL.Error):
            why = explain(ended.value)
            said = f"the bank broke the connection off after the handshake: {why.detail}"
            return named, opened, LineRung(TLS, False, (*facts, said), why.reason.value, why.reason.remedy)
        return named, opened, LineRung(TLS, True, facts)

    async def _name(self) -> LineRung:
        try:
            ip_address(self._host)
        except ValueError:
            pass
        else:
            return LineRung(NAME, True, (f"{self._host} is an address",))
        looking: Deferred[list[Any]] = deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), socket.getaddrinfo, self._host, None, 0, socket.SOCK_STREAM
        )
        try:
            found = await looking
        except OSError as error:
            return LineRung(NAME, False, (f"{self._host}: {error}",), Reason.DNS.value, Reason.DNS.remedy)
        return LineRung(NAME, True, (f"{self._host} is {', '.join(sorted({one[4][0] for one in found}))}",))


class _SilentProtocol(Protocol):
    """A protocol that sends nothing."""

    def __init__(self) -> None:
        self.ended: Failure | None = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason

    def leave(self) -> None:
        """Hang up."""
        if self.ended is None and self.transport is not None:
            self.transport.loseConnection()


def rung_of(reason: Reason) -> str:
    """The step of the check that failed, by the reason of a failed connection."""
    return NAME if reason is Reason.DNS else TCP if reason in _AT_TCP else TLS


def _refused(error: NotConnected, dialer: BankDialer, tls: ClientTls | None) -> tuple[LineRung, ...]:
    rung = rung_of(error.reason)
    shown = _chain(tls) if rung == TLS and tls is not None else ()
    broken = LineRung(rung, False, (*shown, error.detail), error.reason.value, error.reason.remedy)
    if rung != TLS:
        return (broken,)
    return LineRung(TCP, True, (f"{dialer.where} accepts connections",)), broken


def _facts(line: _SilentProtocol, tls: ClientTls) -> tuple[str, ...]:
    transport: object = line.transport
    handle = transport.getHandle() if isinstance(transport, TLSMemoryBIOProtocol) else None
    if not isinstance(handle, SSL.Connection):
        return ()
    agreed = f"{handle.get_protocol_version_name()}, suite {handle.get_cipher_name()}"
    chain = handle.get_peer_cert_chain(as_cryptography=True) or []
    shown = [
        _certificate(f"the bank's certificate, {depth} above" if depth else "the bank's certificate", one)
        for depth, one in enumerate(chain)
    ]
    name = tls.settings.server_name
    checked = f"the certificate names {name}" if tls.settings.name_check == "san" else "the certificate's pin fits"
    ours = () if tls.own is None else (_certificate("our certificate", tls.own),)
    return agreed, *shown, checked, *ours


def _chain(tls: ClientTls) -> tuple[str, ...]:
    """The certificates that the bank showed before it was refused."""
    return tuple(
        _certificate(f"the bank's certificate, {depth} above" if depth else "the bank's certificate", one)
        for depth, one in sorted(tls.last_seen.items())
    )


def _certificate(what: str, one: x509.Certificate) -> str:
    return (
        f"{what}: {subject_of(one)}, issued by {one.issuer.rfc4514_string() or '(nobody)'}, serial "
        f"{one.serial_number:x}, valid {one.not_valid_before_utc:%Y-%m-%d} to {one.not_valid_after_utc:%Y-%m-%d}, "
        f"pin {spki_pin(one)}"
    )
