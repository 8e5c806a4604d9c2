"""Makes a lane's dialer and signing keys from its settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from gateway import settings as conf
from gateway.bank.connection import BankConnection
from gateway.bank.dialer import BankDialer
from gateway.bank.lane_tls import tls_settings
from gateway.bank.line_check import LineCheck, LineChecker
from gateway.bank.outside_keys import OutsideKeys
from gateway.bank.signers import KeySettings, Signer, signers
from gateway.bank.tls import ClientTls, client_context
from gateway.kernel.clock import Clock, SystemClock
from protocols.bank import Bank, Port


class LaneDialer:
    """Opens a lane's connections as its settings say. All ports share one TLS context."""

    def __init__(self, reactor: Any, table: conf.LaneSettings, bank: Bank) -> None:
        """Prepare the dialer. Raises ValueError (KeyFileError for files) if the settings cannot be used."""
        self._short = not any(port.kept for port in bank.ports.values())
        self._reactor = reactor
        self._table = table
        self.tls = self.context_of(table)
        self._endpoints = {
            name: BankDialer(
                reactor,
                table.host,
                table.ports[name],
                self.tls,
                plaintext="pinned-lan" if table.plaintext == "pinned-lan" else "refuse",
                connect_timeout_s=table.connect_timeout_s,
                handshake_timeout_s=table.handshake_timeout_s,
            )
            for name in bank.ports
        }

    def context_of(self, table: conf.LaneSettings) -> ClientTls | None:
        """The TLS context of these settings and their files, not used yet. Raises ValueError (KeyFileError)."""
        if table.tls is None:
            return None
        # Each short connection costs a handshake. Resumption, which is safe under TLS 1.2, halves that cost.
        wanted = tls_settings(table.tls, table.host, resumption=self._short)
        return client_context(wanted, SystemClock(self._reactor))

    def use(self, table: conf.LaneSettings, tls: ClientTls | None) -> None:
        """Use these settings for connections from now on. The bank's last certificate stays known."""
        if tls is not None and self.tls is not None:
            tls.peer_not_after = self.tls.peer_not_after
        self.tls, self._table = tls, table
        for endpoint in self._endpoints.values():
            endpoint.tls = tls

    def dial(self, port: Port, build: Callable[[], BankConnection]) -> Deferred[BankConnection]:
        """Connect to a port of the bank; fails with NotConnected."""
        return self._endpoints[port.name].connect(build)

    def checks(self, clock: Clock) -> dict[str, LineCheck]:
        """A check of the way to the bank for each port, on a connection of its own."""
        return {
            name: LineChecker(self._reactor, clock, self._table.host, dialer).check
            for name, dialer in self._endpoints.items()
        }


def lane_signers(
    table: conf.LaneSettings, *, production: bool, nonce: bytes, outside: OutsideKeys | None = None
) -> dict[str, Signer]:
    """The lane's signing keys by name; those in files are tested with a signature over `nonce`. Raises KeyFileError.

    `outside` makes the signers of keys in tokens and behind services. Without it such a key raises ValueError.
    """
    wanted = [
        KeySettings(key_id=name, key_file=key.key.path(), cert_file=key.certificate, digest=key.digest)
        for name, key in table.keys.items()
        if key.key is not None
    ]
    loaded = dict(signers(wanted, production=production, nonce=nonce))
    for name, key in table.keys.items():
        if key.key is None:
            if outside is None:
                raise ValueError(f"keys.{name} is in {key.source()}; this command signs with keys in files only")
            loaded[name] = outside.signer(name, key)
    return {name: loaded[name] for name in table.keys}
