"""A person's own signing key: Ed25519, in a file of the person's, sealed with a passphrase unless told otherwise."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

_OTHERS_MAY_NOT = 0o077


class KeyUnusable(Exception):
    """The key file cannot be used; the text says which and what to do."""


def make(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    """Make a key file, mode 0600. Raises KeyUnusable rather than overwriting one."""
    key = Ed25519PrivateKey.generate()
    seal: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    octets = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, seal)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise KeyUnusable(f"{path} exists, and a key is never overwritten; move it away first") from None
    except OSError as error:
        raise KeyUnusable(f"{path} cannot be made ({error.strerror}); name another place with --key") from None
    with os.fdopen(handle, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    return key


def is_sealed(path: Path) -> bool:
    """Whether the file asks for a passphrase. Raises KeyUnusable."""
    return b"ENCRYPTED" in _read(path)


def load(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    """The key of a file. Raises KeyUnusable."""
    octets = _read(path)
    try:
        key = load_pem_private_key(octets, passphrase)
    except (ValueError, TypeError):
        raise KeyUnusable(f"{path} does not open: wrong passphrase, or not a key file") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} holds another kind of key; `bankgw persons enrol` makes the right one")
    return key


def public(key: Ed25519PrivateKey) -> str:
    """The raw public key in base64."""
    return b64encode(raw(key)).decode()


def raw(key: Ed25519PrivateKey) -> bytes:
    """The raw public key."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            octets = file.read()
    except OSError as error:
        why = f"{path} cannot be read ({error.strerror})"
        raise KeyUnusable(f"{why}; enrol first (`bankgw persons enrol NAME`), or name your key with --key") from None
    if mode & _OTHERS_MAY_NOT:
        raise KeyUnusable(f"{path}: others may read or change it; run `chmod 600 {path}`, or make a new key")
    return octets
