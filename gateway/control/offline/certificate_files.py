"""The certificates that the settings name: list them, find faults, replace one with a new one.

Nothing here asks the daemon, which reads the files again at its next reload.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.bank import certificate_check
from gateway.bank.certificate_expiry import BROKER
from gateway.bank.lane_tls import tls_settings
from gateway.bank.signers import KeyFileError, read_certificates, read_private_key
from gateway.bank.tls import TlsSettings, read_crls, spki_pin, subject_of, weakness
from gateway.settings import KeyPlace, PushSettings, Settings, SigningKey, Tls

SOON_DAYS = 45
BEFORE = ".before-"
"""The end of a kept file's name, after the name of the file that replaced it."""


class NotRotated(Exception):  # noqa: N818 - an answer, not a fault
    """Nothing was changed; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """One certificate or revocation list. `pin` is the pin of its public key, `place` the table of the settings."""

    bank: str
    place: str
    role: str
    file: str
    subject: str
    serial: str
    not_before: str
    not_after: str
    days_left: int
    pin: str


@dataclass(frozen=True, slots=True)
class CertificateFault:
    """A fault of one certificate, and what to do."""

    place: str
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """The result of a rotation: both new files, the place of the old ones, and how long both certificates are valid."""

    certificate: str
    key: str
    kept: tuple[str, ...]
    subject: str
    not_after: str
    overlap_days: int
    notes: tuple[str, ...]


def tls_tables(settings: Settings) -> Iterator[tuple[str, str, str, Tls]]:
    """Every TLS table: bank (or broker), place, host."""
    if settings.broker.tls is not None:
        yield BROKER, "broker.tls", settings.broker.host, settings.broker.tls
    for bank_name, bank in settings.banks.items():
        for lane_name, lane in bank.lanes.items():
            if lane.tls is not None:
                yield bank_name, f"banks.{bank_name}.lanes.{lane_name}.tls", lane.host, lane.tls
            for name, key in lane.keys.items():
                if key.remote is not None:
                    place = f"banks.{bank_name}.lanes.{lane_name}.keys.{name}.remote.tls"
                    yield bank_name, place, key.remote.host, key.remote.tls


def _signing_keys(settings: Settings) -> Iterator[tuple[str, str, SigningKey]]:
    for bank_name, bank in settings.banks.items():
        for lane_name, lane in bank.lanes.items():
            for name, key in lane.keys.items():
                yield bank_name, f"banks.{bank_name}.lanes.{lane_name}.keys.{name}", key


def _push_tables(settings: Settings) -> Iterator[tuple[str, str, PushSettings]]:
    """The TLS tables of the settings for banks that open connections to the gateway."""
    for bank_name, bank in settings.banks.items():
        if bank.pushes is not None:
            yield bank_name, f"banks.{bank_name}.pushes", bank.pushes


def listing(settings: Settings, now: datetime) -> list[CertificateFile]:
    """All certificates, ordered by expiry. Files that cannot be read are left out here; `faults` reports them."""
    found = []
    for bank, place, _host, table in tls_tables(settings):
        found += _of_file(bank, place, "client", table.certificate, now)[:1]
        found += _of_file(bank, place, "ca", table.ca_file, now)
        if table.crl_file is not None:
            found += _of_crl(bank, place, table.crl_file, now)
    for bank, place, key in _signing_keys(settings):
        found += _of_file(bank, place, "signing", key.certificate, now)[:1]
    for bank, place, pushes in _push_tables(settings):
        found += _of_file(bank, place, "push_server", pushes.certificate, now)[:1]
        found += _of_file(bank, place, "push_ca", pushes.ca_file, now)
    return sorted(found, key=lambda one: one.not_after)


def _of_file(bank: str, place: str, role: str, file: Path, now: datetime) -> list[CertificateFile]:
    try:
        chain = read_certificates(file)
    except KeyFileError:
        return []
    return [
        CertificateFile(
            bank,
            place,
            role,
            str(file),
            subject_of(one),
            f"{one.serial_number:x}",
            one.not_valid_before_utc.isoformat(),
            one.not_valid_after_utc.isoformat(),
            (one.not_valid_after_utc - now).days,
            spki_pin(one),
        )
        for one in chain
    ]


def _of_crl(bank: str, place: str, file: Path, now: datetime) -> list[CertificateFile]:
    try:
        lists = read_crls(file)
    except KeyFileError:
        return []
    return [
        CertificateFile(
            bank,
            place,
            "crl",
            str(file),
            f"list of {one.issuer.rfc4514_string()}",
            "",
            one.last_update_utc.isoformat(),
            one.next_update_utc.isoformat(),
            (one.next_update_utc - now).days,
            "",
        )
        for one in lists
        if one.next_update_utc is not None
    ]


def faults(settings: Settings, now: datetime) -> list[CertificateFault]:
    """Everything that is wrong now or within 45 days, also a pin without a successor."""
    found = []
    for _bank, place, host, table in tls_tables(settings):
        problems = certificate_check.check(tls_settings(table, host), now)
        found += [CertificateFault(place, f"{one.file}: {one.what}", one.remedy) for one in problems]
        found += _lonely_pin(place, table.pins)
    for _bank, place, pushes in _push_tables(settings):
        wanted = TlsSettings(place, pushes.ca_file, pushes.certificate, pushes.key.path())
        problems = certificate_check.check(wanted, now)
        found += [CertificateFault(place, f"{one.file}: {one.what}", one.remedy) for one in problems]
        found += _lonely_pin(place, pushes.client_pins)
    for one in listing(settings, now):
        if one.role != "crl" and 0 <= one.days_left <= SOON_DAYS:
            what = f"{one.file}: {one.subject} ends in {one.days_left} days"
            remedy = "ask the bank for its next CA certificate" if one.role.endswith("ca") else "order the next one"
            found.append(CertificateFault(one.place, what, f"{remedy}; bankgw certificates rotate puts it into place"))
    return found


def _lonely_pin(place: str, pins: tuple[str, ...]) -> list[CertificateFault]:
    remedy = "ask the bank for its next certificate and add its pin: bankgw certificates check --next FILE"
    return [CertificateFault(place, "one pin, and none for the bank's next key", remedy)] if len(pins) == 1 else []


def staged(settings: Settings, bank: str, file: Path) -> tuple[str, list[tuple[str, bool, bool]]]:
    """The pin of the bank's next certificate, and its tables to which the certificate fits.

    For each table it is stated whether the table has pins, and whether this pin is among them. Raises KeyFileError.
    """
    fresh = read_certificates(file)[0]
    pin, purposes = spki_pin(fresh), _purposes(fresh)
    tables = [
        (place, table.pins)
        for owner, place, _host, table in tls_tables(settings)
        if owner == bank and ExtendedKeyUsageOID.SERVER_AUTH in purposes
    ]
    tables += [
        (place, pushes.client_pins)
        for owner, place, pushes in _push_tables(settings)
        if owner == bank and ExtendedKeyUsageOID.CLIENT_AUTH in purposes
    ]
    return pin, [(place, bool(pins), pin in pins) for place, pins in tables]


def _purposes(certificate: x509.Certificate) -> Collection[x509.ObjectIdentifier]:
    """The purposes of a certificate. A certificate that names none is for both."""
    try:
        return tuple(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def rotate(settings: Settings, place: str, certificate: Path, key: Path, now: datetime) -> Rotation:
    """Put a new pair in the place of the one that the settings name. The old files are kept beside it.

    Raises NotRotated, KeyFileError.
    """
    old_certificate, secret = _place(settings, place)
    if secret.credential is not None:
        remedy = "put the new key where the unit's LoadCredential= takes it from, then restart the unit"
        raise NotRotated(f"{place}: the key is the systemd credential {secret.credential}; {remedy}")
    old_key = secret.path()
    fresh = read_certificates(certificate)[0]
    if read_private_key(key).public_key() != fresh.public_key():
        raise NotRotated(f"{key} does not belong to {certificate}; give the key that the certificate was issued for")
    if (weak := weakness(fresh)) is not None:
        raise NotRotated(f"{certificate} is too weak: {weak.detail}; have a stronger one issued")
    if not fresh.not_valid_before_utc <= now < fresh.not_valid_after_utc:
        raise NotRotated(
            f"{certificate} is valid from {fresh.not_valid_before_utc:%Y-%m-%d %H:%M}Z to "
            f"{fresh.not_valid_after_utc:%Y-%m-%d %H:%M}Z, which does not include today; rotate within that time"
        )
    old = _leaf_if_there(old_certificate)
    if old == fresh and _belongs(old_key, fresh):
        raise NotRotated(f"{old_certificate} is that certificate already")
    kept = _replace((old_certificate, certificate), (old_key, key), f"{BEFORE}{now:%Y%m%dT%H%M%SZ}")
    overlap = 0 if old is None else max((old.not_valid_after_utc - now).days, 0)
    until = fresh.not_valid_after_utc.isoformat()
    notes = tuple(_notes(old, fresh, now))
    return Rotation(str(old_certificate), str(old_key), kept, subject_of(fresh), until, overlap, notes)


def undo(settings: Settings, place: str, now: datetime) -> Rotation:
    """Put back the pair that the last rotation kept. Raises NotRotated, KeyFileError."""
    certificate, secret = _place(settings, place)
    stamps = sorted(one.name.rpartition(BEFORE)[2] for one in certificate.parent.glob(f"{certificate.name}{BEFORE}*"))
    for stamp in reversed(stamps):
        before = [one.with_name(f"{one.name}{BEFORE}{stamp}") for one in (certificate, secret.path())]
        if all(one.exists() for one in before):
            return rotate(settings, place, before[0], before[1], now)
    raise NotRotated(f"{certificate}: no kept pair beside it")


def _place(settings: Settings, place: str) -> tuple[Path, KeyPlace]:
    for _bank, name, _host, table in tls_tables(settings):
        if name == place:
            return table.certificate, table.key
    for _bank, name, key in _signing_keys(settings):
        if name == place:
            if key.key is None:
                remedy = "make the new key there, then give its certificate and its label in the settings"
                raise NotRotated(f"{place}: the key is in {key.source()}, and no file holds it; {remedy}")
            return key.certificate, key.key
    for _bank, name, pushes in _push_tables(settings):
        if name == place:
            return pushes.certificate, pushes.key
    known = [name for _, name, _, _ in tls_tables(settings)] + [name for _, name, _ in _signing_keys(settings)]
    known += [name for _, name, _ in _push_tables(settings)]
    raise NotRotated(f"the settings have no {place}; they have {', '.join(known)}")


def _belongs(key: Path, certificate: x509.Certificate) -> bool:
    try:
        return read_private_key(key).public_key() == certificate.public_key()
    except KeyFileError:
        return False


def _leaf_if_there(file: Path) -> x509.Certificate | None:
    try:
        return read_certificates(file)[0]
    except KeyFileError:
        return None


def _notes(old: x509.Certificate | None, fresh: x509.Certificate, now: datetime) -> Iterator[str]:
    if old is None or old.not_valid_after_utc <= now:
        yield "the old certificate is over: there was no overlap"
    if old is not None and old.subject != fresh.subject:
        yield f"the subject was {subject_of(old)}: is the new one registered with the bank?"
    if old is not None and old.issuer != fresh.issuer:
        yield f"the issuer was {old.issuer.rfc4514_string()}"


def _replace(first: tuple[Path, Path], second: tuple[Path, Path], ending: str) -> tuple[str, ...]:
    """Replace both files. If the program crashes between the two, running the same command once more replaces the
    second."""
    fresh = []
    for there, given in (first, second):
        made = there.with_name(f"{there.name}.new")
        made.unlink(missing_ok=True)
        handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(given.read_bytes())
            out.flush()
            os.fsync(out.fileno())
        if there.exists():
            about = there.stat()
            made.chmod(about.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.chown(made, about.st_uid, about.st_gid)
        fresh.append((there, made))
    kept = []
    for there, _made in fresh:
        if there.exists():
            old = there.with_name(there.name + ending)
            shutil.copy2(there, old)
            if os.geteuid() == 0:
                os.chown(old, there.stat().st_uid, there.stat().st_gid)
            kept.append(str(old))
    for there, made in fresh:
        made.replace(there)
    return tuple(kept)
