"""The vault: encrypts values that must not be readable in a stolen database, with AES-256-GCM and a key kept outside.

A sealed value is `version(1) | length of key id(1) | key id | salt(12) | counter(8) | ciphertext and tag`. The cipher
key is derived from the named key and the salt, which every process draws anew, and the counter is the nonce, so a nonce
never repeats.

Version 2 is a value that was sealed anew although a hash covers its first ciphertext (an entry of the audit trail): it
encrypts `length(4) | the value as it was sealed first | its plaintext`, so that the hash can still be computed and the
first key is not needed any more.
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
_WRAPPED = 2
_LENGTH_BYTES = 4
_SALT_BYTES = 12
_COUNTER_BYTES = 8
_NONCE_PAD = b"\0\0\0\0"
_KEY_BYTES = 32
_REMEMBERED_SALTS = 1024
_OTHERS_MAY_NOT = 0o027
_WRAPPED_MARK = bytes((_WRAPPED,))


class VaultError(Exception):
    """A key file or a sealed value cannot be used; the message says which and what to do."""


class Vault:
    """Seals with the `current` key and opens with any of `keys`; names are 1 to 32 ASCII characters.

    `index` is the key of the blind indexes and must survive every rotation. None derives it from the current key, which
    is right only while that key stays current. `source` is the key file, from which keys that were added to it since
    are read. Thread-safe.
    """

    def __init__(
        self,
        keys: Mapping[str, bytes],
        current: str,
        index: bytes | None = None,
        draw: Callable[[int], bytes] = os.urandom,
        source: Path | None = None,
    ) -> None:
        if current not in keys:
            raise VaultError(f"the current key {current!r} is not among the vault's keys")
        for name, key in keys.items():
            if not 1 <= len(name) <= 32 or not name.isascii() or len(key) != _KEY_BYTES:
                raise VaultError(f"vault key {name!r}: the name is 1-32 ASCII characters, the key {_KEY_BYTES} bytes")
        self._keys = dict(keys)
        self._current = current
        self._draw = draw
        self._source, self._read_at = source, None if source is None else _state_of(source)
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
        name = self._current.encode()
        prefix = bytes((_VERSION, len(name))) + name + self._draw(_SALT_BYTES)
        # One value, so that a thread that seals while another one changes the key never mixes two keys.
        self._sealing = os.getpid(), prefix, self._cipher_of(prefix), itertools.count(1)

    @property
    def current(self) -> str:
        """The name of the key that new values are sealed with."""
        return self._current

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all keys, sorted."""
        return tuple(sorted(self._keys))

    def use(self, name: str) -> None:
        """Seal with this key from now on. Raises VaultError if the vault does not have it."""
        if name not in self._keys:
            self.refresh()
        if name not in self._keys:
            raise VaultError(f"the journal's current vault key is {name!r}, which this vault's key file does not have")
        if name != self._current:
            self._current = name
            self._start()

    def refresh(self) -> None:
        """Add the keys that were added to the key file since it was read. Raises VaultError if it cannot be read.

        No key is removed before the process ends, because a value that it sealed may be read at this moment.
        """
        state = None if self._source is None else _state_of(self._source)
        # A file that is gone adds no key; whoever took it away after the start did so on purpose.
        if self._source is None or state is None or state == self._read_at:
            return
        keys, _current, index = _parts(self._source)
        if index != self._index:
            raise VaultError(f"{self._source}: this is the key file of another journal: its index key differs")
        self._keys = {**keys, **self._keys}
        self._read_at = state

    def seal(self, data: bytes, aad: bytes) -> bytes:
        """Encrypt `data` with the current key. It opens only with the same `aad`, which names table, column and row."""
        return self._sealed(data, aad, _VERSION)

    def _sealed(self, data: bytes, aad: bytes, version: int) -> bytes:
        pid, prefix, cipher, counter = self._sealing
        if os.getpid() != pid:
            self._start()  # a forked child would repeat its parent's nonces
            _pid, prefix, cipher, counter = self._sealing
        nonce = next(counter).to_bytes(_COUNTER_BYTES, "big")
        head = prefix if version == _VERSION else bytes((version,)) + prefix[1:]
        return head + nonce + cipher.encrypt(_NONCE_PAD + nonce, data, aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """Decrypt a sealed value. Raises VaultError if it was changed, moved to another row, or its key is missing."""
        return self._opened(sealed, aad) if sealed[:1] != _WRAPPED_MARK else self._unwrapped(sealed, aad)[1]

    def original(self, sealed: bytes, aad: bytes) -> bytes:
        """A sealed value as it was sealed first, which the hash of an audit entry covers. Raises VaultError if it was
        wrapped, and changed since."""
        return sealed if sealed[:1] != _WRAPPED_MARK else self._unwrapped(sealed, aad)[0]

    def reseal(self, sealed: bytes, aad: bytes) -> bytes:
        """The value sealed with the current key. Raises VaultError as `open`."""
        return self.seal(self.open(sealed, aad), aad)

    def wrap(self, sealed: bytes, aad: bytes) -> bytes:
        """The value sealed with the current key, together with its first ciphertext. Raises VaultError as `open`."""
        first = self.original(sealed, aad)
        data = len(first).to_bytes(_LENGTH_BYTES, "big") + first + self.open(sealed, aad)
        return self._sealed(data, _WRAPPED_MARK + aad, _WRAPPED)

    def _unwrapped(self, sealed: bytes, aad: bytes) -> tuple[bytes, bytes]:
        """The first ciphertext and the plaintext of a wrapped value."""
        # The mark in the associated data: nobody can pass an unwrapped value off as a wrapped one.
        data = self._opened(sealed, _WRAPPED_MARK + aad)
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
        return data[_LENGTH_BYTES:end], data[end:]

    def _opened(self, sealed: bytes, aad: bytes) -> bytes:
        if len(sealed) < 2 or sealed[0] not in (_VERSION, _WRAPPED):
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
                self._refresh_quietly()
            if name not in self._keys:
                raise VaultError(f"a value was sealed with key {name!r}, which the vault does not have: add it")
            if len(self._ciphers) >= _REMEMBERED_SALTS:
                self._ciphers.clear()
            cipher = AESGCM(_derive(self._keys[name], b"seal" + prefix[-_SALT_BYTES:]))
            self._ciphers[prefix] = cipher
        return cipher

    def _refresh_quietly(self) -> None:
        """As `refresh`. A key file that cannot be read now leaves the keys as they are: the caller then says which key
        is missing."""
        try:
            self.refresh()
        except VaultError:
            pass


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file is replaced or written; None if it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def key_name(sealed: bytes) -> str:
    """The name of the key with which a value was sealed."""
    return sealed[2 : 2 + sealed[1]].decode(errors="replace")


def _derive(key: bytes, label: bytes) -> bytes:
    return hmac.digest(key, b"bankgw vault 1 " + label, "sha256")


def create(path: Path, name: str | None = None, draw: Callable[[int], bytes] = os.urandom) -> Vault:
    """Create a key file of mode 0600 with one new key. Raises FileExistsError if the file exists."""
    key, index = draw(_KEY_BYTES), draw(_KEY_BYTES)
    name = name or _name_of(key)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    _write(handle, {name: key}, name, index)
    return Vault({name: key}, name, index)


def prepare_key(path: Path, draw: Callable[[int], bytes] = os.urandom) -> str:
    """Add a new key to a key file, which seals nothing before the journal names it; returns its name.

    The earlier keys stay, because what they sealed can be opened by them alone. Raises VaultError, OSError.
    """
    keys, current, index = _parts(path)
    key = draw(_KEY_BYTES)
    name = _name_of(key)
    _replace(path, {**keys, name: key}, current, index)
    return name


def remove_key(path: Path, name: str, current: str) -> bool:
    """Remove a key from a key file, and name `current` as its current one. False if the file does not have the key.

    Raises VaultError, OSError.
    """
    keys, _current, index = _parts(path)
    if current not in keys or name == current:
        raise VaultError(f"{path}: key {current!r}, which the journal uses, would not be in it; nothing was changed")
    if name not in keys:
        return False
    _replace(path, {one: key for one, key in keys.items() if one != name}, current, index)
    return True


def names_in(path: Path) -> tuple[str, ...]:
    """The names of the keys in a key file, sorted. Raises VaultError."""
    return tuple(sorted(_parts(path)[0]))


def _replace(path: Path, keys: Mapping[str, bytes], current: str, index: bytes) -> None:
    """Replace a key file at once by a new one with the owner and the mode of the earlier one."""
    fresh, owner = path.with_name(f".{path.name}.new"), path.stat()
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        if os.geteuid() == 0:
            os.fchown(handle, owner.st_uid, owner.st_gid)
        os.fchmod(handle, stat.S_IMODE(owner.st_mode))
        _write(handle, keys, current, index)
        fresh.replace(path)
        _sync_folder(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
    return Vault(*_parts(path), source=path)


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
