"""The vault: encrypts values that must not be readable in a stolen database, with AES-256-GCM and a key kept outside.

A sealed value is `version(1) | length of key id(1) | key id | salt(12) | counter(8) | ciphertext and tag`. The cipher
key is derived from the named key and the salt, which every process draws anew, and the counter is the nonce, so a nonce
never repeats.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import itertools
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = 1
_SALT_BYTES = 12
_COUNTER_BYTES = 8
_NONCE_PAD = b"\0\0\0\0"
_KEY_BYTES = 32
_REMEMBERED_SALTS = 1024
_OTHERS_MAY_NOT = 0o027


class VaultError(Exception):
    """A key file or a sealed value cannot be used; the message says which and what to do."""


class Vault:
    """Seals with the `current` key and opens with any of `keys`; names are 1 to 32 ASCII characters.

    `index` is the key of the blind indexes and must survive every rotation. None derives it from the current key, which
    is right only while that key stays current. Thread-safe.
    """

    def __init__(
        self,
        keys: Mapping[str, bytes],
        current: str,
        index: bytes | None = None,
        draw: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if current not in keys:
            raise VaultError(f"the current key {current!r} is not among the vault's keys")
        for name, key in keys.items():
            if not 1 <= len(name) <= 32 or not name.isascii() or len(key) != _KEY_BYTES:
                raise VaultError(f"vault key {name!r}: the name is 1-32 ASCII characters, the key {_KEY_BYTES} bytes")
        self._keys = dict(keys)
        self._current = current
        self._draw = draw
        self._index = index if index is not None else _derive(keys[current], b"index")
        # Each MAC is a copy of an object whose key is set, which takes half the time of setting the key again.
        self._blind = hmac.new(self._index, digestmod="sha256")
        self._mac = hmac.new(_derive(self._index, b"mac"), digestmod="sha256")
        self._ciphers: dict[bytes, AESGCM] = {}
        # True once the journal of this process is sealed: then a row without a seal was not written by the gateway.
        self.rows_sealed = False
        # The registers by the audit trail, as this process read it at its start: see commit/registers.
        self.registers: object = None
        self._start()

    def __repr__(self) -> str:
        return f"<vault of {len(self._keys)} key(s), current {self._current!r}>"

    def _start(self) -> None:
        self._pid = os.getpid()
        name = self._current.encode()
        self._prefix = bytes((_VERSION, len(name))) + name + self._draw(_SALT_BYTES)
        self._cipher = self._cipher_of(self._prefix)
        self._counter = itertools.count(1)

    def seal(self, data: bytes, aad: bytes) -> bytes:
        """Encrypt `data` with the current key. It opens only with the same `aad`, which names table, column and row."""
        if os.getpid() != self._pid:
            self._start()  # a forked child would repeat its parent's nonces
        nonce = next(self._counter).to_bytes(_COUNTER_BYTES, "big")
        return self._prefix + nonce + self._cipher.encrypt(_NONCE_PAD + nonce, data, aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """Decrypt a sealed value. Raises VaultError if it was changed, moved to another row, or its key is missing."""
        if len(sealed) < 2 or sealed[0] != _VERSION:
            raise VaultError(f"{aad.decode(errors='replace')}: not a sealed value of this vault")
        head = 2 + sealed[1] + _SALT_BYTES
        nonce = sealed[head : head + _COUNTER_BYTES]
        try:
            cipher = self._cipher_of(sealed[:head])
            return cipher.decrypt(_NONCE_PAD + nonce, sealed[head + _COUNTER_BYTES :], aad)
        except (InvalidTag, ValueError):
            raise VaultError(
                f"{aad.decode(errors='replace')}: the sealed value was altered, or moved from another row, "
                f"or sealed with another key of the same name"
            ) from None

    def blind(self, text: str) -> str:
        """A keyed fingerprint (HMAC-SHA-256, hex) of `text`, to look it up without storing it."""
        keyed = self._blind.copy()
        keyed.update(text.encode())
        return keyed.hexdigest()

    def mac(self, data: bytes) -> bytes:
        """32 bytes that only a holder of the vault's key can compute for `data`, the same after every rotation.

        `data` begins with its purpose, so that a MAC for one purpose never serves another.
        """
        keyed = self._mac.copy()
        keyed.update(data)
        return keyed.digest()

    def _cipher_of(self, prefix: bytes) -> AESGCM:
        cipher = self._ciphers.get(prefix)
        if cipher is None:
            name = prefix[2 : 2 + prefix[1]].decode(errors="replace")
            if name not in self._keys:
                raise VaultError(f"a value was sealed with key {name!r}, which the vault does not have: add it")
            if len(self._ciphers) >= _REMEMBERED_SALTS:
                self._ciphers.clear()
            cipher = AESGCM(_derive(self._keys[name], b"seal" + prefix[-_SALT_BYTES:]))
            self._ciphers[prefix] = cipher
        return cipher


def _derive(key: bytes, label: bytes) -> bytes:
    return hmac.digest(key, b"bankgw vault 1 " + label, "sha256")


def create(path: Path, name: str | None = None, draw: Callable[[int], bytes] = os.urandom) -> Vault:
    """Create a key file of mode 0600 with one new key. Raises FileExistsError if the file exists."""
    key, index = draw(_KEY_BYTES), draw(_KEY_BYTES)
    name = name or _name_of(key)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    _write(handle, {name: key}, name, index)
    return Vault({name: key}, name, index)


def add_key(path: Path, draw: Callable[[int], bytes] = os.urandom) -> str:
    """Add a new key to a key file and make it the current one; returns its name. Raises VaultError, OSError.

    The earlier keys stay, because what they sealed can be opened by them alone. The file is replaced at once, with the
    owner of the earlier one.
    """
    keys, _current, index = _parts(path)
    key = draw(_KEY_BYTES)
    name = _name_of(key)
    fresh, owner = path.with_name(f".{path.name}.new"), path.stat()
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        if os.geteuid() == 0:
            os.fchown(handle, owner.st_uid, owner.st_gid)
        os.fchmod(handle, stat.S_IMODE(owner.st_mode))
        _write(handle, {**keys, name: key}, name, index)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return name


def _name_of(key: bytes) -> str:
    return f"k{hashlib.sha256(key).hexdigest()[:8]}"


def _write(handle: int, keys: Mapping[str, bytes], current: str, index: bytes) -> None:
    written = {name: base64.b64encode(key).decode() for name, key in keys.items()}
    text = json.dumps({"current": current, "index": base64.b64encode(index).decode(), "keys": written}, indent=1)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def load(path: Path) -> Vault:
    """Read the vault's keys from a file made by `create`. Raises VaultError, with what is wrong and what to do."""
    return Vault(*_parts(path))


def _parts(path: Path) -> tuple[dict[str, bytes], str, bytes]:
    """The keys of a file by name, the name of the current one, and the key of the blind indexes."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise VaultError(f"{path}: cannot read the vault's key file: {error}") from None
    if mode & _OTHERS_MAY_NOT:
        raise VaultError(f"{path}: others may read or write the vault's key file; run `chmod 600 {path}`")
    try:
        found = json.loads(text)
        keys = {str(name): base64.b64decode(key, validate=True) for name, key in found["keys"].items()}
        parts = keys, str(found["current"]), base64.b64decode(found["index"], validate=True)
        Vault(*parts)
        return parts
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error) as error:
        raise VaultError(f"{path}: not a vault key file ({error!r}); restore it from your backup of keys") from None
