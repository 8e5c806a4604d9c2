"""The TLS settings of a peer, from a `[tls]` table of the settings."""

from __future__ import annotations

from gateway import settings as conf
from gateway.bank.tls import TlsSettings


def tls_settings(table: conf.Tls, host: str, *, resumption: bool = False) -> TlsSettings:
    """The TlsSettings of a `[tls]` table. Raises ValueError for contradictions.

    With `resumption`, TLS 1.2 is the highest version unless the table says otherwise, because only sessions of TLS 1.2
    are resumed, and because in TLS 1.2 the peer judges our certificate before the handshake ends.
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
