"""A temporary PKI for simulated banks. Each demo or test makes a new one, which nobody else trusts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=7)
SERVER_PURPOSE = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_PURPOSE = ExtendedKeyUsageOID.CLIENT_AUTH
_BACKDATE = timedelta(hours=1)
"""Certificates are valid from a little before they are made, because the clocks of two machines may differ."""


@dataclass(frozen=True, slots=True)
class BankPki:
    """The files with one bank's keys and certificates. Names are fixed, so a folder can be used again; keys have mode
    0600.

    `client` is the gateway's TLS certificate, issued by the bank; the two signing pairs sign messages, one
    for each direction.
    """

    folder: Path
    bank: str

    def _file(self, what: str) -> Path:
        return self.folder / f"{self.bank}-{what}.pem"

    @property
    def server_name(self) -> str:
        """The DNS name in the server's certificate (127.0.0.1 and localhost are in it too)."""
        return f"{self.bank}.bank.test"

    @property
    def ca_cert(self) -> Path:
        return self._file("ca-cert")

    @property
    def server_cert(self) -> Path:
        return self._file("server-cert")

    @property
    def server_key(self) -> Path:
        return self._file("server-key")

    @property
    def client_cert(self) -> Path:
        return self._file("client-cert")

    @property
    def client_key(self) -> Path:
        return self._file("client-key")

    @property
    def gateway_sign_cert(self) -> Path:
        return self._file("gateway-sign-cert")

    @property
    def gateway_sign_key(self) -> Path:
        return self._file("gateway-sign-key")

    @property
    def bank_sign_cert(self) -> Path:
        return self._file("bank-sign-cert")

    @property
    def bank_sign_key(self) -> Path:
        return self._file("bank-sign-key")


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority that issues any certificate asked for, valid or not."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @classmethod
    def root(
        cls, name: str, now: datetime, key: rsa.RSAPrivateKey | None = None, lifetime: timedelta = LIFETIME
    ) -> Authority:
        """A self-signed root called `name`."""
        own = key or new_key()
        subject = _name(name)
        builder = _builder(subject, subject, own.public_key(), now - _BACKDATE, now + lifetime)
        builder = _as_authority(builder, path_length=None, may_sign=True)
        return cls(builder.sign(own, hashes.SHA256()), own)

    def subordinate(
        self,
        name: str,
        now: datetime,
        key: rsa.RSAPrivateKey | None = None,
        *,
        is_ca: bool = True,
        path_length: int | None = None,
        may_sign: bool = True,
    ) -> Authority:
        """An intermediate authority below this one. Without `is_ca` or `may_sign` its certificates are invalid, but it
        can still issue them."""
        own = key or new_key()
        builder = _builder(_name(name), self.certificate.subject, own.public_key(), now - _BACKDATE, now + LIFETIME)
        builder = builder.add_extension(_identifier_of(self.key.public_key()), critical=False)
        if is_ca:
            builder = _as_authority(builder, path_length, may_sign)
        return Authority(builder.sign(self.key, hashes.SHA256()), own)

    def issue(
        self,
        subject: str | None,
        public_key: CertificatePublicKeyTypes,
        now: datetime,
        *,
        names: Sequence[str] = (),
        purpose: x509.ObjectIdentifier | None = SERVER_PURPOSE,
        key_usage: x509.KeyUsage | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> x509.Certificate:
        """An end certificate. `names` become the subjectAltName; those that look like IP addresses become addresses.
        Without names there is no such extension."""
        builder = _builder(
            _name(subject),
            self.certificate.subject,
            public_key,
            not_before or now - _BACKDATE,
            not_after or now + LIFETIME,
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_identifier_of(self.key.public_key()), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(_alternative, names)), critical=False)
        if purpose is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if key_usage is not None:
            builder = builder.add_extension(key_usage, critical=True)
        return builder.sign(self.key, hashes.SHA256())

    def crl(
        self, revoked: Iterable[int], last_update: datetime, next_update: datetime
    ) -> x509.CertificateRevocationList:
        """The list of the revoked serial numbers."""
        builder = x509.CertificateRevocationListBuilder(
            issuer_name=self.certificate.subject, last_update=last_update, next_update=next_update
        )
        for serial in revoked:
            entry = x509.RevokedCertificateBuilder(serial_number=serial, revocation_date=last_update)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256())


def make_pki(folder: Path, banks: Sequence[str], now: datetime, lifetime: timedelta = LIFETIME) -> dict[str, BankPki]:
    """Make (or overwrite) every file of a PKI for `banks` in `folder`, mode 0700. Each bank has its own root.

    `now` is aware. Certificates live for `lifetime`, by default a week. Two banks take about half a second, nearly all
    of it for RSA keys: each party has its own, because a shared key would hide the mistake of using the wrong one.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = {}
    for bank in banks:
        pki = made[bank] = BankPki(folder, bank)
        root, ends = Authority.root(f"{bank} root CA", now, lifetime=lifetime), now + lifetime
        write_certificates(pki.ca_cert, root.certificate)
        server_names = (pki.server_name, "localhost", "127.0.0.1")
        for cert_file, key_file, subject, names, purpose in (
            (pki.server_cert, pki.server_key, pki.server_name, server_names, SERVER_PURPOSE),
            (pki.client_cert, pki.client_key, f"{bank} gateway", (), CLIENT_PURPOSE),
            (pki.gateway_sign_cert, pki.gateway_sign_key, f"{bank} gateway signing", (), None),
            (pki.bank_sign_cert, pki.bank_sign_key, f"{bank} signing", (), None),
        ):
            key = new_key()
            write_key(key_file, key)
            issued = root.issue(subject, key.public_key(), now, names=names, purpose=purpose, not_after=ends)
            write_certificates(cert_file, issued)
    return made


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A fresh RSA key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def write_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    """Write a private key as PKCS#8 PEM, never readable by others, not even for a moment."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def write_certificates(path: Path, *certificates: x509.Certificate) -> None:
    """Write a certificate, and its issuers if given, as PEM."""
    path.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in certificates))


def _name(common_name: str | None) -> x509.Name:
    return x509.Name([] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _identifier_of(issuer: rsa.RSAPublicKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: CertificatePublicKeyTypes,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number(), not_before, not_after)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _as_authority(builder: x509.CertificateBuilder, path_length: int | None, may_sign: bool) -> x509.CertificateBuilder:
    usage = x509.KeyUsage(
        digital_signature=not may_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=may_sign,
        crl_sign=may_sign,
        encipher_only=False,
        decipher_only=False,
    )
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True).add_extension(
        usage, critical=True
    )
