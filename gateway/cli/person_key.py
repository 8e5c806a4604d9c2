"""A person's own signing key: Ed25519, in a file of the person, sealed with a passphrase unless told otherwise."""

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

from gateway.cli import output

_OTHERS_MAY_NOT = 0o077


class KeyUnusable(Exception):
    """The key file cannot be used; the text names the file and the remedy. `chinese` is the same in Chinese."""

    def __init__(self, english: str, chinese: str) -> None:
        super().__init__(english)
        self.chinese = chinese


def make(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    """Make a key file with mode 0600. Raises KeyUnusable if the file exists already."""
    key = Ed25519PrivateKey.generate()
    seal: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    octets = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, seal)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise KeyUnusable(
            f"{path} exists, and a key is never overwritten; move it away first",
            f"{path} 已存在，密钥绝不覆盖；请先移走",
        ) from None
    except OSError as error:
        raise KeyUnusable(
            f"{path} cannot be made ({error.strerror}); name another place with --key",
            f"无法生成 {path}（{output.os_reason(error)}）；请以 --key 另指位置",
        ) from None
    with os.fdopen(handle, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    return key


def is_sealed(path: Path) -> bool:
    """Whether the file needs a passphrase. Raises KeyUnusable."""
    return b"ENCRYPTED" in _read(path)


def load(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    """Load the key from a file. Raises KeyUnusable."""
    octets = _read(path)
    try:
        key = load_pem_private_key(octets, passphrase)
    except (ValueError, TypeError):
        raise KeyUnusable(
            f"{path} cannot be opened: the passphrase is wrong, or the file is not a key file",
            f"无法打开 {path}：口令不对，或不是密钥文件",
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(
            f"{path} holds another kind of key; `bankgw persons enrol` makes the right one",
            f"{path} 是另一种密钥；请以 `bankgw persons enrol` 生成",
        )
    return key


def public(key: Ed25519PrivateKey) -> str:
    """The public key's raw bytes, in base64."""
    return b64encode(raw(key)).decode()


def raw(key: Ed25519PrivateKey) -> bytes:
    """The public key's raw bytes."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            octets = file.read()
    except OSError as error:
        raise KeyUnusable(
            f"{path} cannot be read ({error.strerror}); enrol first (`bankgw persons enrol NAME`), "
            "or name your key with --key",
            f"无法读取 {path}（{output.os_reason(error)}）；"
            "请先登记（`bankgw persons enrol NAME`），或以 --key 指明密钥",
        ) from None
    if mode & _OTHERS_MAY_NOT:
        raise KeyUnusable(
            f"{path}: others may read or change it; run `chmod 600 {path}`, or make a new key",
            f"{path}：他人可以读取或更改；请执行 `chmod 600 {path}`，或生成新密钥",
        )
    return octets
