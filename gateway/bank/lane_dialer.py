"""From a lane's settings to its dialer and its signing keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from gateway import settings as conf
from gateway.bank.connection import BankConnection
from gateway.bank.dialer import BankDialer
from gateway.bank.line_check import LineCheck, LineChecker
from gateway.bank.signers import KeySettings, Signer, signers
from gateway.bank.tls import ClientTls, TlsSettings, client_context
from gateway.clock import Clock, SystemClock
from protocols.bank import Bank, Port


def tls_settings(table: conf.Tls, host: str, *, resumption: bool = False) -> TlsSettings:
    """The TlsSettings of a `[tls]` table. Raises ValueError for contradictions.

    With `resumption` TLS 1.2 is the highest version unless the table says otherwise: only its sessions are resumed, and
    in it the peer judges our certificate before the handshake ends.
    """
    return TlsSettings(
        server_name=table.server_name or host,
        ca_file=table.ca_file,
        client_cert=table.certificate,
        client_key=table.key.path(),
        name_check=table.name_check,
        pins=table.pins,
        min_version=table.min_version,
        max_version=table.max_version or ("1.2" if resumption else "1.3"),
        resumption=resumption,
        crl_file=table.crl_file,
    )


class LaneDialer:
    """Opens a lane's connections as its settings say. All ports share one TLS context."""

    def __init__(self, reactor: Any, table: conf.LaneSettings, bank: Bank) -> None:
        """Raises ValueError (KeyFileError for files) when the settings cannot be used."""
        self._short = not any(port.kept for port in bank.ports.values())
        self._reactor = reactor
        self._table = table
        self.tls = self.context_of(table)
        self._endpoints = {
            name: BankDialer(
                reactor, table.host, table.ports[name], self.tls,
                plaintext="pinned-lan" if table.plaintext == "pinned-lan" else "refuse",
                connect_timeout_s=table.connect_timeout_s, handshake_timeout_s=table.handshake_timeout_s,
            )
            for name in bank.ports
        }  # fmt: skip

    def context_of(self, table: conf.LaneSettings) -> ClientTls | None:
        """What these settings and their files make; nothing is used yet. Raises ValueError (KeyFileError)."""
        if table.tls is None:
            return None
        # Each short connection costs a handshake; resumption, safe under TLS 1.2, halves it.
        wanted = tls_settings(table.tls, table.host, resumption=self._short)
        return client_context(wanted, SystemClock(self._reactor))

    def use(self, table: conf.LaneSettings, tls: ClientTls | None) -> None:
        """Connections from now on use these; the bank's certificate that was seen last is still known."""
        if tls is not None and self.tls is not None:
            tls.peer_not_after = self.tls.peer_not_after
        self.tls, self._table = tls, table
        for endpoint in self._endpoints.values():
            endpoint.tls = tls

    def dial(self, port: Port, build: Callable[[], BankConnection]) -> Deferred[BankConnection]:
        """Connect to a port of the bank; fails with NotConnected."""
        return self._endpoints[port.name].connect(build)

    def checks(self, clock: Clock) -> dict[str, LineCheck]:
        """By port: a check of the way there, on a connection of its own."""
        return {name: LineChecker(self._reactor, clock, self._table.host, dialer).check
                for name, dialer in self._endpoints.items()}  # fmt: skip


def lane_signers(table: conf.LaneSettings, *, production: bool, nonce: bytes) -> dict[str, Signer]:
    """The lane's keys by name, each proven by a signature over `nonce`. Raises KeyFileError."""
    wanted = [
        KeySettings(key_id=name, key_file=key.key.path(), cert_file=key.certificate, digest=key.digest)
        for name, key in table.keys.items()
    ]
    return dict(signers(wanted, production=production, nonce=nonce))
