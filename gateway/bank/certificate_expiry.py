"""When certificates and revocation lists expire, by bank and role. The files are read at start and with each reload."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from gateway.bank import certificate_check
from gateway.bank.lane_tls import tls_settings
from gateway.bank.signers import read_certificates
from gateway.settings import Settings, Tls

BROKER = "broker"
_ROLES = {"client_cert": "client", "ca_file": "ca", "crl_file": "crl"}
PeerEnds = Callable[[], Mapping[str, datetime | None]]


class CertificateExpiry:
    """Tells when certificates expire. Calling it gives seconds since 1970 by (bank, role); of several files in one
    role, the first to expire.

    Roles: `client` our certificate, `ca` the bank's authority, `crl` the next update of its revocation list, `signing`
    our signing certificates, `server` the certificate the bank showed last, `push_server` our certificate on the port
    for the bank's pushes, `push_ca` the authority of the clients on it. Raises KeyFileError.
    """

    def __init__(self, settings: Settings, peers: PeerEnds) -> None:
        self._peers = peers
        self._files = self.expiry_times(settings)

    def expiry_times(self, settings: Settings) -> dict[tuple[str, str], float]:
        """The expiry times in the present files. Raises KeyFileError."""
        files: dict[tuple[str, str], float] = {}
        if settings.broker.tls is not None:
            _take(files, BROKER, _tls_ends(settings.broker.tls, settings.broker.host))
        for bank_name, bank in settings.banks.items():
            for lane in bank.lanes.values():
                if lane.tls is not None:
                    _take(files, bank_name, _tls_ends(lane.tls, lane.host))
                for key in lane.keys.values():
                    end = read_certificates(key.certificate)[0].not_valid_after_utc
                    _take(files, bank_name, [("signing", end)])
                    if key.remote is not None:
                        _take(files, bank_name, _tls_ends(key.remote.tls, key.remote.host))
            if bank.pushes is not None:
                _take(
                    files,
                    bank_name,
                    [
                        ("push_server", read_certificates(bank.pushes.certificate)[0].not_valid_after_utc),
                        ("push_ca", min(one.not_valid_after_utc for one in read_certificates(bank.pushes.ca_file))),
                    ],
                )
        return files

    def use(self, files: dict[tuple[str, str], float]) -> None:
        """Use these expiry times from now on."""
        self._files = files

    def __call__(self) -> dict[tuple[str, str], float]:
        """The expiry times known now."""
        ends = dict(self._files)
        for bank, at in self._peers().items():
            if at is not None:
                key = (bank, "server")
                ends[key] = min(ends.get(key, float("inf")), at.timestamp())
        return ends


def _take(
    files: dict[tuple[str, str], float], bank: str, found: Iterator[tuple[str, datetime]] | list[tuple[str, datetime]]
) -> None:
    for role, at in found:
        key = (bank, role)
        files[key] = min(files.get(key, float("inf")), at.timestamp())


def _tls_ends(table: Tls, host: str) -> Iterator[tuple[str, datetime]]:
    for setting, at in certificate_check.not_after(tls_settings(table, host)).items():
        yield _ROLES[setting], at
