"""The certificates and keys behind TLS settings: their faults, and when each expires."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from gateway.bank.signers import KeyFileError, read_certificates, read_private_key, refuse_open_key
from gateway.bank.tls import TlsSettings, read_crls, subject_of, weakness


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a configured certificate or key file: the file, the setting that names it, and the remedy."""

    file: Path
    key: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.what}; {self.remedy}"


def not_after(settings: TlsSettings) -> dict[str, datetime]:
    """When each configured file expires, by setting: its earliest certificate's end, or its CRL's next update."""
    times = {}
    for key, file in (("client_cert", settings.client_cert), ("ca_file", settings.ca_file)):
        if file is not None:
            times[key] = min(one.not_valid_after_utc for one in read_certificates(file))
    if settings.crl_file is not None:
        updates = [crl.next_update_utc for crl in read_crls(settings.crl_file)]
        times["crl_file"] = min(update or datetime.max.replace(tzinfo=UTC) for update in updates)
    return times


def check(settings: TlsSettings, now: datetime) -> list[Problem]:
    """All faults of the files that `settings` name, at the time `now` (with time zone)."""
    problems: list[Problem] = []
    for key, look in (
        ("client_key", _check_key),
        ("client_cert", _check_client_chain),
        ("ca_file", _check_ca),
        ("crl_file", _check_crl),
    ):
        try:
            for file, what, remedy in look(settings, now):
                problems.append(Problem(file, key, what, remedy))
        except KeyFileError as error:
            problems.append(Problem(error.file, key, error.what, error.remedy))
    return problems


_Finding = tuple[Path, str, str]


def _check_key(settings: TlsSettings, now: datetime) -> Iterator[_Finding]:
    if settings.client_key is None or settings.client_cert is None:
        return
    refuse_open_key(settings.client_key)
    key = read_private_key(settings.client_key, settings.key_password_file)
    try:
        leaf = read_certificates(settings.client_cert)[0]
    except KeyFileError:
        return  # reported with client_cert
    if key.public_key() != leaf.public_key():
        yield settings.client_key, f"does not belong to {settings.client_cert}", "give the key that fits"


def _check_client_chain(settings: TlsSettings, now: datetime) -> Iterator[_Finding]:
    if settings.client_cert is None:
        return
    chain = read_certificates(settings.client_cert)
    yield from _check_dates(settings.client_cert, chain, now, "renew it with the bank")
    weak = weakness(chain[0])
    if weak is not None:
        yield settings.client_cert, f"is too weak: {weak.detail}", "have a stronger one issued"
    for lower, upper in pairwise(chain):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature):
            yield (
                settings.client_cert,
                f"{subject_of(lower)} is not issued by the next, {subject_of(upper)}",
                "put the certificate first, then each issuer in turn",
            )


def _check_ca(settings: TlsSettings, now: datetime) -> Iterator[_Finding]:
    anchors = read_certificates(settings.ca_file)
    yield from _check_dates(settings.ca_file, anchors, now, "ask the bank for its new CA certificate")
    if not any(anchor.issuer == anchor.subject for anchor in anchors):
        yield settings.ca_file, "holds no self-signed root: no chain can end in it", "add the bank's root"


def _check_crl(settings: TlsSettings, now: datetime) -> Iterator[_Finding]:
    if settings.crl_file is not None and not_after(settings)["crl_file"] <= now:
        yield (settings.crl_file, "is stale: its next update is past", "fetch a fresh one; until then nobody connects")


def _check_dates(file: Path, chain: list[x509.Certificate], now: datetime, remedy: str) -> Iterator[_Finding]:
    for one in chain:
        if now >= one.not_valid_after_utc:
            yield file, f"{subject_of(one)} expired at {one.not_valid_after_utc:%Y-%m-%d %H:%M}Z", remedy
        elif now < one.not_valid_before_utc:
            yield (
                file,
                f"{subject_of(one)} is not valid before {one.not_valid_before_utc:%Y-%m-%d %H:%M}Z",
                "check this machine's clock",
            )
