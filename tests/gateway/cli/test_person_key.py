"""A person's key file: encrypted, unreadable for others, never overwritten."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.cli import person_key
from gateway.cli.person_key import KeyUnusable


@pytest.mark.parametrize("passphrase", [b"a friend", None])
def test_a_key_is_made_and_loaded(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "new" / "person.pem"
    made = person_key.make(path, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert person_key.is_sealed(path) is (passphrase is not None)
    assert person_key.raw(person_key.load(path, passphrase)) == person_key.raw(made)
    assert person_key.raw(made) not in path.read_bytes()


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "person.pem"
    person_key.make(path, None)
    before = path.read_bytes()
    with pytest.raises(KeyUnusable, match="never overwritten"):
        person_key.make(path, None)
    assert path.read_bytes() == before


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    path = tmp_path / "person.pem"
    with pytest.raises(KeyUnusable, match="enrol first"):
        person_key.load(path, None)
    person_key.make(path, b"right")
    for wrong in (b"wrong", None):
        with pytest.raises(KeyUnusable, match="the passphrase is wrong"):
            person_key.load(path, wrong)
    os.chmod(path, 0o640)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        person_key.load(path, b"right")
    other = generate_private_key(SECP256R1())
    octets = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ec.pem").write_bytes(octets)
    os.chmod(tmp_path / "ec.pem", 0o600)
    with pytest.raises(KeyUnusable, match="another kind"):
        person_key.load(tmp_path / "ec.pem", None)
    with pytest.raises(KeyUnusable, match="cannot be made"):
        person_key.make(Path("/proc/nothing/person.pem"), None)
