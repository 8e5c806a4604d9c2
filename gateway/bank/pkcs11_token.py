"""Signing keys in PKCS#11 tokens: smart cards, USB keys, HSMs, SoftHSM.

python-pkcs11 initialises a library for one thread, and a login counts for a whole process. So each library has one
thread, which serves all its tokens in turn, and each token has one session, which all its keys share. A session that
was lost is opened again, and the signature is tried once more; signing twice does no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asn1crypto.algos import DigestInfo
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from gateway.bank.key_trouble import SigningFailed
from gateway.bank.signers import Digest
from gateway.kernel.sql.executor import Executor, ThreadExecutor

LoadLibrary = Callable[[Path], Any]
"""Loads and initialises a PKCS#11 library. Raises what python-pkcs11 raises, ImportError without it."""
_REASONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("PinIncorrect",), "pin_wrong"),
    **dict.fromkeys(("PinLocked",), "pin_locked"),
    **dict.fromkeys(("PinExpired", "PinInvalid", "PinLenRange", "UserPinNotInitialized"), "pin_unusable"),
    **dict.fromkeys(
        ("TokenNotPresent", "TokenNotRecognised", "DeviceRemoved", "NoSuchToken", "SlotIDInvalid"), "token_gone"
    ),
    **dict.fromkeys(("SessionCount", "DeviceMemory", "HostMemory"), "token_full"),
    **dict.fromkeys(("NoSuchKey",), "no_such_key"),
    **dict.fromkeys(("MultipleObjectsReturned", "MultipleTokensReturned"), "ambiguous_key"),
}
"""Our reason by the name of python-pkcs11's exception. Any other one is `token_error`."""
_KEY_REASONS: Final = frozenset({"no_such_key", "ambiguous_key"})
_LASTING: Final = frozenset({"pin_wrong", "pin_locked", "pin_last_try", "pin_unusable", "ambiguous_key"})


@dataclass(frozen=True, slots=True)
class TokenKey:
    """The place of a private key in a token. `label` and `key_id` find it; one of them may be empty."""

    module: Path
    token: str
    label: str
    key_id: bytes
    read_pin: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The key's name for people."""
        return f"PKCS#11 token {self.token}, key {self.label or self.key_id.hex()}"


class Pkcs11Libraries:
    """The PKCS#11 libraries of this process, each with its thread. They stay loaded over a reload of the settings.

    A key that is named in two lanes is used through one session.
    """

    def __init__(self, reactor: IReactorFromThreads, load: LoadLibrary | None = None) -> None:
        self._reactor = reactor
        self._load = load or _load
        self._libraries: dict[Path, _Library] = {}

    def source(self, key: TokenKey, digest: Digest) -> TokenKeySource:
        """The signing of one key. Nothing is loaded before the first signature."""
        library = self._libraries.get(key.module)
        if library is None:
            library = self._libraries[key.module] = _Library(key.module, self._reactor, self._load)
        return TokenKeySource(key, digest, library)

    def stop(self) -> None:
        """End the threads. A thread that is inside a token's call ends with the process."""
        for library in self._libraries.values():
            library.stop()
        self._libraries.clear()


class TokenKeySource:
    """A key in a token, as `OutsideSigner` uses it."""

    def __init__(self, key: TokenKey, digest: Digest, library: _Library) -> None:
        self.name = key.name
        self._key = key
        self._digest = digest
        self._library = library

    def sign(self, octets: bytes, document: bytes = b"") -> Deferred[bytes]:
        """Fires with the PKCS#1 v1.5 signature, or fails with SigningFailed.

        The octets are hashed here: a token signs a few dozen bytes as fast as it can, and needs no hash of its own.
        """
        return self._library.run(lambda: self._library.signature(self._key, digest_info(octets, self._digest)))


def digest_info(octets: bytes, digest: Digest) -> bytes:
    """The DER structure that RSA PKCS#1 v1.5 signs for these octets."""
    value = hashlib.new(digest, octets).digest()
    der: bytes = DigestInfo({"digest_algorithm": {"algorithm": digest}, "digest": value}).dump()
    return der


class _Library:
    """One PKCS#11 library and its thread. `run` and `stop` are for the reactor's thread, all else for the library's."""

    def __init__(self, module: Path, reactor: IReactorFromThreads, load: LoadLibrary) -> None:
        self._module = module
        self._reactor = reactor
        self._load = load
        self._thread: Executor | None = None
        self._waiting = 0
        self._sessions: dict[str, Any] = {}
        self._found: dict[tuple[str, str, bytes], Any] = {}

    def run(self, work: Callable[[], bytes]) -> Deferred[bytes]:
        if self._thread is None:
            self._thread = ThreadExecutor(self._reactor, f"pkcs11-{self._module.stem}")
        if self._waiting >= QUEUE_MAX:
            return fail(SigningFailed("no_answer", f"{self._module.name} has not returned from earlier calls"))
        told: Deferred[bytes] = Deferred(lambda _cancelled: None)
        self._waiting += 1

        def then(result: bytes | Failure) -> None:
            self._waiting -= 1
            if not told.called:
                told.callback(result)

        self._thread.run(work, then)
        return told

    def stop(self) -> None:
        if self._thread is not None:
            self._thread.stop()

    def signature(self, key: TokenKey, signed: bytes) -> bytes:
        """Sign with the session there is; if that fails, once more with a new one. Raises SigningFailed."""
        if key.token in self._sessions:
            try:
                return self._sign(key, signed)
            except _pkcs11_error() as error:
                if (failed := _failed(error, key)).reason in _KEY_REASONS:
                    raise failed from None  # the session is in order
                self._drop(key.token)
        try:
            return self._sign(key, signed)
        except ImportError as error:
            raise SigningFailed("no_module", f"{error}", lasting=True) from None
        except _pkcs11_error() as error:
            failed = _failed(error, key)
            if failed.reason not in _KEY_REASONS:
                self._begin_anew()
            raise failed from None

    def _sign(self, key: TokenKey, signed: bytes) -> bytes:
        from pkcs11 import Mechanism

        signature: bytes = self._private_key(key).sign(signed, mechanism=Mechanism.RSA_PKCS)
        return signature

    def _private_key(self, key: TokenKey) -> Any:
        from pkcs11 import ObjectClass

        place = (key.token, key.label, key.key_id)
        session = self._sessions.get(key.token)
        if session is None:
            session = self._sessions[key.token] = self._open(key)
        if place not in self._found:
            self._found[place] = session.get_key(
                object_class=ObjectClass.PRIVATE_KEY, label=key.label or None, id=key.key_id or None
            )
        return self._found[place]

    def _open(self, key: TokenKey) -> Any:
        """A session of the token in which its user is signed in."""
        from pkcs11 import TokenFlag
        from pkcs11.exceptions import UserAlreadyLoggedIn

        token = self._load(key.module).get_token(token_label=key.token)
        if token.flags & TokenFlag.USER_PIN_LOCKED:
            raise SigningFailed("pin_locked", f"token {key.token} says so; no PIN was tried", lasting=True)
        if token.flags & TokenFlag.USER_PIN_FINAL_TRY:
            raise SigningFailed("pin_last_try", f"token {key.token} says so; no PIN was tried", lasting=True)
        try:
            pin = key.read_pin().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise SigningFailed("pin_unreadable", f"{type(error).__name__}") from None
        try:
            return token.open(user_pin=pin)
        except UserAlreadyLoggedIn:
            # The library has kept the login of a session that is lost for us: any session is signed in then.
            return token.open()

    def _drop(self, token: str) -> None:
        """Close a session that fails. It is the token's only one, so that its log-out ends no other."""
        for place in [one for one in self._found if one[0] == token]:
            del self._found[place]
        session = self._sessions.pop(token, None)
        if session is not None:
            with suppress(_pkcs11_error()):
                session.close()

    def _begin_anew(self) -> None:
        """Let the library begin anew at the next signature. Only then does it notice a token that was inserted again,
        and free resources that a failed try left open; its other tokens sign in again.
        """
        self._sessions.clear()
        self._found.clear()
        with suppress(_pkcs11_error()):
            self._load(self._module).finalize()


QUEUE_MAX: Final = 64
"""Calls that may wait for a library's thread. A token that hangs lets no more of them pile up."""


def _load(module: Path) -> Any:
    import pkcs11

    return pkcs11.lib(str(module))


def _pkcs11_error() -> type[Exception]:
    """python-pkcs11 is installed only where a key is in a token."""
    try:
        from pkcs11.exceptions import PKCS11Error
    except ImportError:
        return _NoPkcs11
    error: type[Exception] = PKCS11Error
    return error


class _NoPkcs11(Exception):  # noqa: N818 - never raised
    """Stands for python-pkcs11's exception where that is not installed."""


def _failed(error: Exception, key: TokenKey) -> SigningFailed:
    word = type(error).__name__
    reason = _REASONS.get(word, "token_error")
    if "while loading" in str(error):
        return SigningFailed("no_module", f"{error}", lasting=True)
    return SigningFailed(reason, f"token {key.token}: {word}", lasting=reason in _LASTING)
