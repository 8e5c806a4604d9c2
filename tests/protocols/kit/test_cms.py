"""CMS: we read what openssl signs, openssl verifies what we make, and nothing else passes."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from asn1crypto import cms as asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from cryptography.x509 import Certificate, CertificateBuilder, Name, NameAttribute, random_serial_number
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.kit import cms
from protocols.kit.dsig.key import PinnedKey
from protocols.kit.errors import ProtocolError

CONTENT = "<body><note>货款</note></body>".encode("gbk")


def signer(name: str = "bank") -> tuple[RSAPrivateKey, Certificate]:
    """A key with a certificate, the same for the same name."""
    return _made_once(name)


@cache
def _made_once(name: str) -> tuple[RSAPrivateKey, Certificate]:
    key = generate_private_key(65537, 2048)
    return key, self_signed(name, key)


def self_signed(name: str, key: RSAPrivateKey) -> Certificate:
    title, now = Name([NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    return (
        CertificateBuilder()
        .subject_name(title)
        .issuer_name(title)
        .public_key(key.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )


def made(content: bytes = CONTENT, name: str = "bank", hash_name: str = "sha256") -> bytes:
    key, certificate = signer(name)
    algorithm = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}[hash_name]
    return cms.attach(
        content, key.sign(content, PKCS1v15(), algorithm), certificate.public_bytes(Encoding.DER), hash_name
    )


def pinned(*names: str) -> list[PinnedKey]:
    return [PinnedKey.of(signer(name)[1]) for name in names or ("bank",)]


def refused(der: bytes, *, by: list[PinnedKey] | None = None, allowed: tuple[str, ...] = cms.HASHES) -> str:
    with pytest.raises(ProtocolError) as error:
        cms.verify(der, pinned() if by is None else by, allowed)
    return error.value.reason


def openssl(*words: str, data: bytes = b"") -> bytes:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command")
    done = subprocess.run(["openssl", *words], input=data, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_was_signed_comes_back() -> None:
    assert cms.verify(made(), pinned("other", "bank")) == CONTENT


def test_openssl_verifies_ours(tmp_path: Path) -> None:
    (tmp_path / "bank.pem").write_bytes(signer()[1].public_bytes(Encoding.PEM))
    said = openssl(
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-binary",
        "-CAfile",
        str(tmp_path / "bank.pem"),
        "-purpose",
        "any",
        data=made(),
    )
    assert said == CONTENT


def test_we_verify_openssls(tmp_path: Path) -> None:
    key, certificate = signer()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "bank.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    der = openssl(
        "cms",
        "-sign",
        "-binary",
        "-nodetach",
        "-noattr",
        "-md",
        "sha256",
        "-outform",
        "DER",
        "-signer",
        str(tmp_path / "bank.pem"),
        "-inkey",
        str(tmp_path / "key.pem"),
        data=CONTENT,
    )
    assert cms.verify(der, pinned()) == CONTENT


def test_another_key_whatever_certificate_it_shows() -> None:
    assert refused(made(name="stranger")) == "signature"
    key, certificate = signer("stranger")[0], signer()[1]
    forged = cms.attach(
        CONTENT, key.sign(CONTENT, PKCS1v15(), hashes.SHA256()), certificate.public_bytes(Encoding.DER), "sha256"
    )
    assert refused(forged) == "signature"


def test_no_pin_means_no() -> None:
    assert refused(made(), by=[]) == "wrong_key"


def test_sha1_only_by_name_and_until_its_day() -> None:
    old = made(hash_name="sha1")
    assert refused(old) == "algorithm"
    until, day = date(2027, 1, 1), date(2026, 11, 24)
    assert cms.verify(old, pinned(), cms.allowed(until, day)) == CONTENT
    assert refused(old, allowed=cms.allowed(until, date(2027, 1, 2))) == "algorithm"
    assert cms.allowed(None, day) == cms.HASHES


def test_signed_attributes_are_another_form() -> None:
    key, certificate = signer()
    builder = PKCS7SignatureBuilder().set_data(CONTENT).add_signer(certificate, key, hashes.SHA256())
    assert refused(builder.sign(Encoding.DER, [PKCS7Options.Binary])) == "structure"


def test_a_detached_signature_signs_nothing_that_we_could_read() -> None:
    key, certificate = signer()
    builder = PKCS7SignatureBuilder().set_data(CONTENT).add_signer(certificate, key, hashes.SHA256())
    options = [PKCS7Options.Binary, PKCS7Options.NoAttributes, PKCS7Options.DetachedSignature]
    assert refused(builder.sign(Encoding.DER, options)) == "structure"


def test_two_signers_are_one_too_many() -> None:
    info = asn1.ContentInfo.load(made())
    info["content"]["signer_infos"].append(info["content"]["signer_infos"][0].copy())
    assert refused(info.dump(force=True)) == "structure"


@pytest.mark.parametrize(
    "der", [b"", b"\x30", b"\x30\x80\x00\x00", b"<body/>", b"\x30\x84\xff\xff\xff\xff", b"0" * 2_000_000]
)
def test_noise_is_no_cms(der: bytes) -> None:
    assert refused(der) in ("structure", "frame_too_long")


def test_trailing_bytes_are_refused() -> None:
    assert refused(made() + b"\x00") == "structure"


def test_any_byte_changed_is_refused_or_means_the_same() -> None:
    der, keys = made(), pinned()
    for at in range(len(der)):
        for flip in (0x01, 0x80):
            changed = der[:at] + bytes([der[at] ^ flip]) + der[at + 1 :]
            try:
                assert cms.verify(changed, keys) == CONTENT, f"byte {at}"
            except ProtocolError:
                continue


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        cms.verify(data, pinned())
