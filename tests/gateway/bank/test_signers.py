"""Signing keys: which are refused at start, and that a bank can verify their signatures."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from gateway.bank.signers import Digest, FileSigner, KeyFileError, KeySettings, Signer, refuse_open_key, signers
from gateway.simbank.pki import Authority, new_key, write_certificates, write_key

NONCE = b"not twice"
OCTETS = "支付 pay".encode()


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority.root("root", datetime.now(UTC))


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_key()


@pytest.fixture
def good(tmp_path: Path, root: Authority, key: rsa.RSAPrivateKey) -> KeySettings:
    return settings_for(tmp_path, root, key)


def settings_for(folder: Path, root: Authority, key: rsa.RSAPrivateKey) -> KeySettings:
    write_key(folder / "sign.key", key)
    write_certificates(folder / "sign.pem", root.issue("us", key.public_key(), datetime.now(UTC), purpose=None))
    return KeySettings("sample-1", folder / "sign.key", folder / "sign.pem")


def load(settings: KeySettings) -> Signer:
    return signers([settings], production=True, nonce=NONCE)[settings.key_id]


@pytest.mark.parametrize(
    ("digest", "algorithm"),
    [("sha1", hashes.SHA1()), ("sha256", hashes.SHA256()), ("sha384", hashes.SHA384()), ("sha512", hashes.SHA512())],
)
async def test_a_signature_verifies_with_the_certificate(
    good: KeySettings, digest: Digest, algorithm: hashes.HashAlgorithm
) -> None:
    signer = load(replace(good, digest=digest))
    signature = await signer.sign(OCTETS)
    public = signer.certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(signature, OCTETS, padding.PKCS1v15(), algorithm)
    with pytest.raises(InvalidSignature):
        public.verify(signature, OCTETS + b"!", padding.PKCS1v15(), algorithm)
    assert signer.key_id == "sample-1"


def test_a_file_key_signs_without_waiting(good: KeySettings) -> None:
    # The coroutine is driven by hand. It ends at its first step, so it uses neither a Deferred nor the reactor.
    step = load(good).sign(OCTETS).__await__()
    with pytest.raises(StopIteration) as done:
        next(iter(step))
    assert len(done.value.value) == 256


def test_an_encrypted_key_needs_its_password(good: KeySettings, key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    good.key_file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"))
    )
    with pytest.raises(KeyFileError, match="password"):
        load(good)
    password = tmp_path / "password"
    for octets in (b"open sesame", b"open sesame\n"):
        password.write_bytes(octets)
        load(replace(good, password_file=password))
    password.write_bytes(b"wrong")
    with pytest.raises(KeyFileError, match="password"):
        load(replace(good, password_file=password))


def missing_key(good: KeySettings) -> Path:
    good.key_file.unlink()
    return good.key_file


def garbage_key(good: KeySettings) -> Path:
    good.key_file.write_bytes(b"no key")
    return good.key_file


def curve_key(good: KeySettings) -> Path:
    other = ec.generate_private_key(ec.SECP256R1())
    good.key_file.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return good.key_file


def small_key(good: KeySettings) -> Path:
    write_key(good.key_file, new_key(1024))
    return good.key_file


def missing_certificate(good: KeySettings) -> Path:
    good.cert_file.unlink()
    return good.cert_file


def garbage_certificate(good: KeySettings) -> Path:
    good.cert_file.write_bytes(b"no certificate")
    return good.cert_file


def certificate_of_another_key(good: KeySettings) -> Path:
    write_key(good.key_file, new_key())
    return good.cert_file


@pytest.mark.parametrize(
    "spoil",
    [
        missing_key,
        garbage_key,
        curve_key,
        small_key,
        missing_certificate,
        garbage_certificate,
        certificate_of_another_key,
    ],
)
def test_what_cannot_sign_is_refused_by_file(good: KeySettings, spoil: Callable[[KeySettings], Path]) -> None:
    file = spoil(good)
    with pytest.raises(KeyFileError) as error:
        load(good)
    assert error.value.file == file
    assert str(file) in str(error.value)
    assert error.value.remedy


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644, 0o610, 0o602])
def test_a_key_others_can_reach_is_refused_in_production(good: KeySettings, mode: int) -> None:
    good.key_file.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}"):
        signers([good], production=True, nonce=NONCE)
    signers([good], production=False, nonce=NONCE)


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_private_key_file_is_fine(good: KeySettings, mode: int) -> None:
    good.key_file.chmod(mode)
    refuse_open_key(good.key_file)


def test_a_systemd_credential_shows_its_acl_as_group_read(good: KeySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    good.key_file.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", os.fspath(good.key_file.parent))
    refuse_open_key(good.key_file)
    good.key_file.chmod(0o444)
    with pytest.raises(KeyFileError, match="0444"):
        refuse_open_key(good.key_file)
    good.key_file.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", os.fspath(good.key_file.parent / "elsewhere"))
    with pytest.raises(KeyFileError, match="0440"):
        refuse_open_key(good.key_file)


def test_a_key_id_given_twice_is_refused(good: KeySettings) -> None:
    with pytest.raises(KeyFileError, match="given twice"):
        signers([good, good], production=True, nonce=NONCE)


def test_the_self_test_catches_a_signer_that_signs_wrongly(root: Authority, key: rsa.RSAPrivateKey) -> None:
    now = datetime.now(UTC)
    assert FileSigner("ours", key, root.issue("us", key.public_key(), now)).proves_itself(NONCE)
    assert not FileSigner("mixed up", key, root.certificate).proves_itself(NONCE)


def test_a_signer_shows_no_key(good: KeySettings) -> None:
    assert repr(load(good)) == "FileSigner('sample-1', sha256)"
