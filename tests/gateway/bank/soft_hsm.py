"""A SoftHSM token for tests, and wrappers of the PKCS#11 library that let it fail as tokens do."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.simbank.pki import write_key
from tests.independent.site import program

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
TOKEN, PIN, LABEL, KEY_ID = "bank", "123456", "order", "a1b2"
_SO_PIN = "87654321"


@dataclass
class SoftHsm:
    """A folder of SoftHSM with one token in it."""

    folder: Path

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    def pull_out(self) -> None:
        """Take the token out of its slot."""
        self.tokens.rename(self.folder / "away")

    def plug_in(self) -> None:
        """Put it back."""
        (self.folder / "away").rename(self.tokens)

    def add_key(self, key: rsa.RSAPrivateKey, label: str, key_id: str) -> None:
        """Import a private key."""
        file = self.folder / f"{label}.key"
        write_key(file, key)
        _softhsm("--import", file, "--token", TOKEN, "--label", label, "--id", key_id, "--pin", PIN)
        file.unlink()


def make_soft_hsm(folder: Path) -> SoftHsm:
    """A token without keys. Sets SOFTHSM2_CONF, which the library reads when it is initialised."""
    program("softhsm2-util")
    hsm = SoftHsm(folder)
    hsm.tokens.mkdir(parents=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {hsm.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(conf)
    _softhsm("--init-token", "--free", "--label", TOKEN, "--so-pin", _SO_PIN, "--pin", PIN)
    return hsm


def unload() -> None:
    """Let the library forget this token, so that the next test begins with its own."""
    import pkcs11
    from pkcs11.exceptions import PKCS11Error

    try:
        pkcs11.lib(str(MODULE)).finalize()
    except PKCS11Error:
        pass  # it is finalised already
    os.environ.pop("SOFTHSM2_CONF", None)


def _softhsm(*words: object) -> None:
    subprocess.run(["softhsm2-util", *map(str, words)], check=True, capture_output=True)


@dataclass
class Behaviour:
    """How the wrapped library behaves. `opens` counts sessions that were asked for, `order` keeps what was signed."""

    takes_s: float = 0.0
    flags: int = 0
    on_open: Callable[[], None] = lambda: None
    opens: int = 0
    order: list[bytes] = field(default_factory=list)

    def load(self, module: Path) -> Any:
        """Load the real library and wrap it."""
        import pkcs11

        return _Wrapped(pkcs11.lib(str(module)), self)


class _Wrapped:
    """A library, token, session or key of python-pkcs11 with the behaviour of a test."""

    def __init__(self, real: Any, behaviour: Behaviour) -> None:
        self._real = real
        self._behaviour = behaviour

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    @property
    def flags(self) -> Any:
        from pkcs11 import TokenFlag

        return TokenFlag(int(self._real.flags) | self._behaviour.flags)

    def get_token(self, **wanted: Any) -> _Wrapped:
        return _Wrapped(self._real.get_token(**wanted), self._behaviour)

    def open(self, **wanted: Any) -> _Wrapped:
        self._behaviour.opens += 1
        self._behaviour.on_open()
        return _Wrapped(self._real.open(**wanted), self._behaviour)

    def get_key(self, **wanted: Any) -> _Wrapped:
        return _Wrapped(self._real.get_key(**wanted), self._behaviour)

    def sign(self, octets: bytes, **how: Any) -> bytes:
        time.sleep(self._behaviour.takes_s)
        self._behaviour.order.append(octets)
        signature: bytes = self._real.sign(octets, **how)
        return signature
