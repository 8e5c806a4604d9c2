"""A countersignature counts only over exactly this manifest and by the named certificate; OpenSSL is the oracle."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.jointtest.countersignature import BadCountersignature, check, check_time, countersign
from gateway.jointtest.pack_root import root_of

NOW = datetime.now(UTC)
MANIFEST = '{"run": "abc123", "bank": "示例"}\r\n'.encode()
MakeKey = Callable[[], rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey]
KEYS: dict[str, MakeKey] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
}
TSA = """[tsa]
default_tsa = one
[one]
serial = {0}/serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
"""


def certified(folder: Path, name: str, make: MakeKey, until: datetime = NOW + timedelta(days=9)) -> tuple[bytes, bytes]:
    """A certificate and its key as PEM; also written to files of this name."""
    key = make()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(until)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    certificate = made.public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.pem").write_bytes(certificate)
    (folder / f"{name}.key").write_bytes(private)
    return certificate, private


def openssl(folder: Path, words: str, *more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *words.split(), *more], cwd=folder, capture_output=True, check=False)


@pytest.mark.parametrize("sort", ["rsa", "ec"])
def test_openssl_takes_ours(tmp_path: Path, sort: str) -> None:
    certificate, key = certified(tmp_path, "bank", KEYS[sort])
    made = countersign(MANIFEST, certificate, key, NOW)
    assert check(made, MANIFEST, certificate).subject == "CN=bank"
    (tmp_path / "m").write_bytes(MANIFEST)
    (tmp_path / "p7s").write_bytes(made)
    words = "cms -verify -binary -inform DER -in p7s -content m -CAfile bank.pem -purpose any -out out"
    done = openssl(tmp_path, words)
    assert done.returncode == 0, done.stderr
    (tmp_path / "m").write_bytes(MANIFEST + b" ")
    assert openssl(tmp_path, words).returncode != 0
    with pytest.raises(BadCountersignature, match="over other bytes"):
        check(made, MANIFEST + b" ", certificate)


@pytest.mark.parametrize("sort", ["rsa", "ec"])
@pytest.mark.parametrize("more", [(), ("-noattr",), ("-keyid",)])
def test_ours_takes_openssls(tmp_path: Path, sort: str, more: tuple[str, ...]) -> None:
    certificate, _ = certified(tmp_path, "bank", KEYS[sort])
    (tmp_path / "m").write_bytes(MANIFEST)
    words = "cms -sign -binary -md sha256 -in m -signer bank.pem -inkey bank.key -outform DER -out p7s"
    done = openssl(tmp_path, words, *more)
    assert done.returncode == 0, done.stderr
    made = (tmp_path / "p7s").read_bytes()
    assert check(made, MANIFEST, certificate) == check(made, MANIFEST)
    with pytest.raises(BadCountersignature, match="over other bytes"):
        check(made, b"another manifest")


def test_another_certificate_is_told(tmp_path: Path) -> None:
    certificate, key = certified(tmp_path, "bank", KEYS["rsa"])
    other, _ = certified(tmp_path, "other", KEYS["rsa"])
    made = countersign(MANIFEST, certificate, key, NOW)
    with pytest.raises(BadCountersignature, match="another certificate made it"):
        check(made, MANIFEST, other)
    with pytest.raises(BadCountersignature, match="cannot be read as PEM"):
        check(made, MANIFEST, b"no PEM")


def test_what_cannot_sign_is_told(tmp_path: Path) -> None:
    certificate, key = certified(tmp_path, "bank", KEYS["rsa"])
    _, other = certified(tmp_path, "other", KEYS["rsa"])
    old, old_key = certified(tmp_path, "old", KEYS["rsa"], NOW - timedelta(days=1))
    locked = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )
    for given, words in (
        ((certificate, other), "does not belong"),
        ((certificate, locked), "has a password"),
        ((old, old_key), "not today"),
        ((b"x", key), "cannot be read as PEM"),
    ):
        with pytest.raises(BadCountersignature, match=words):
            countersign(MANIFEST, *given, NOW)


def test_octets_that_are_no_signature_are_refused(tmp_path: Path) -> None:
    made = countersign(MANIFEST, *certified(tmp_path, "bank", KEYS["ec"]), NOW)
    for octets in (b"", b"\x30", b"\x30\x03\x02\x01\x00", made[:-7], made + b"x"):
        with pytest.raises(BadCountersignature, match="cannot be read|no CMS"):
            check(octets, MANIFEST)
        with pytest.raises(BadCountersignature, match="cannot be read|no time stamp"):
            check_time(octets, root_of(MANIFEST))
    with pytest.raises(BadCountersignature):
        check_time(made, root_of(MANIFEST))


@pytest.mark.parametrize("more", [(), ("-token_out",)])
def test_a_time_stamp_is_over_one_root(tmp_path: Path, more: tuple[str, ...]) -> None:
    certified(tmp_path, "authority", KEYS["rsa"])
    (tmp_path / "m").write_bytes(MANIFEST)
    (tmp_path / "serial").write_text("01\n")
    (tmp_path / "conf").write_text(TSA.format(tmp_path))
    assert openssl(tmp_path, "ts -query -data m -sha256 -cert -out q").returncode == 0
    words = "ts -reply -config conf -queryfile q -signer authority.pem -inkey authority.key -out r"
    done = openssl(tmp_path, words, *more)
    assert done.returncode == 0, done.stderr
    stamp = (tmp_path / "r").read_bytes()
    found = check_time(stamp, root_of(MANIFEST))
    assert abs(found.at - NOW) < timedelta(hours=1) and found.authority.subject == "CN=authority"
    with pytest.raises(BadCountersignature, match="not over this root"):
        check_time(stamp, root_of(b"another manifest"))
    altered = stamp.replace(bytes.fromhex(root_of(MANIFEST)), bytes.fromhex(root_of(b"another manifest")))
    with pytest.raises(BadCountersignature, match="over other bytes"):
        check_time(altered, root_of(b"another manifest"))
