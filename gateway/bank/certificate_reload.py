"""Reads certificates, keys and revocation lists again while the daemon works: all of them are replaced, or none.

Connections that are open stay as they are; each new one uses the files as they were read last. So a kept connection may
show the old certificate until it ends, and both must be valid meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from datetime import datetime

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from gateway import settings as conf
from gateway.bank.certificate_expiry import CertificateExpiry
from gateway.bank.lane_dialer import LaneDialer, lane_signers
from gateway.bank.lane_tls import tls_settings
from gateway.bank.outside_keys import OutsideKeys
from gateway.bank.signers import Signer
from gateway.bank.tls import ClientTls, client_context
from gateway.kernel import log
from gateway.kernel.clock import Clock, Entropy

_log = log.get("bank.certificate_reload")


@implementer(IOpenSSLClientConnectionCreator)
class CurrentTls:
    """The TLS settings of one peer that are in force now."""

    def __init__(self, now: ClientTls) -> None:
        self.now = now

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A new client connection with the settings in force: see IOpenSSLClientConnectionCreator."""
        return self.now.clientConnectionForTLS(tlsProtocol)


def peer_ends(
    dialers: Mapping[str, LaneDialer], lanes: Mapping[str, tuple[str, conf.LaneSettings]]
) -> dict[str, datetime | None]:
    """When the certificate that each bank showed last expires; of several lanes, the earliest time."""
    ends: dict[str, datetime | None] = {}
    for name, dialer in dialers.items():
        at = None if dialer.tls is None else dialer.tls.peer_not_after
        bank = lanes[name][0]
        known = ends.get(bank)
        ends[bank] = at if known is None or at is None else min(known, at)
    return ends


class CertificateReload:
    """Reloads certificates, keys and revocation lists while the daemon works: all of them or none. `signers` go by
    lane; their inner mappings are changed in place."""

    def __init__(
        self,
        dialers: Mapping[str, LaneDialer],
        signers: Mapping[str, MutableMapping[str, Signer]],
        expiry: CertificateExpiry,
        broker: CurrentTls | None,
        clock: Clock,
        entropy: Entropy,
        outside_keys: OutsideKeys | None = None,
    ) -> None:
        self._dialers = dialers
        self._signers = signers
        self._expiry = expiry
        self._broker = broker
        self._clock = clock
        self._entropy = entropy
        self._outside_keys = outside_keys

    def prepare_reload(self, settings: conf.Settings) -> Callable[[], None]:
        """Read every file. Returns a function that puts them into use. Raises ValueError (KeyFileError for files); then
        nothing is changed."""
        production = settings.mode == "production"
        fresh = []
        for name, dialer in self._dialers.items():
            bank, _, lane_name = name.rpartition(".")
            lane = settings.banks[bank].lanes[lane_name]
            nonce = self._entropy.bytes(32)
            signers = lane_signers(lane, production=production, nonce=nonce, outside=self._outside_keys)
            fresh.append((name, lane, dialer.context_of(lane), signers))
        broker = settings.broker
        broker_tls = None if broker.tls is None else client_context(tls_settings(broker.tls, broker.host), self._clock)
        ends = self._expiry.expiry_times(settings)

        def use() -> None:
            for name, lane, tls, signers in fresh:
                self._dialers[name].use(lane, tls)
                self._signers[name].clear()
                self._signers[name].update(signers)
            if self._broker is not None and broker_tls is not None:
                self._broker.now = broker_tls
            self._expiry.use(ends)
            _log.info(
                "certificates.reloaded",
                lanes=[name for name, _, tls, _ in fresh if tls is not None],
                action="new connections use the new certificates; open connections keep the old ones",
            )

        return use
