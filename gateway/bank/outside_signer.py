"""A signer whose private key is not in this process: in a token, an HSM, or behind a signing service.

It signs off the reactor, in order, with a time-out. Each signature is verified with the certificate before anybody
gets it, so that a wrong one never reaches a bank.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from twisted.internet.defer import Deferred, DeferredLock
from twisted.python.failure import Failure

from gateway.bank.key_trouble import KeyTrouble, NotSigned, SigningFailed
from gateway.bank.signers import HASHES, Digest
from gateway.kernel import log
from gateway.kernel.clock import Clock
from protocols.kit.errors import CannotAsk

RETRY_S = 5.0
"""A key that failed is not tried again sooner. Until then every signature fails at once."""
_log = log.get("bank.outside_signer")


class KeySource(Protocol):
    """The place of a private key outside of this process."""

    @property
    def name(self) -> str:
        """What people call it, such as `PKCS#11 token bank, key order`."""

    def sign(self, octets: bytes, document: bytes = b"") -> Deferred[bytes]:
        """Fires with the raw signature over `octets`, or fails with SigningFailed. It may take as long as it takes.
        `document` is the message that `octets` stand for."""


class OutsideSigner:
    """Signs with a key of another place: one signature at a time, in the order in which they were asked for.

    `trouble` says why it signs nothing now. After a failure it signs nothing for RETRY_S; then the next signature, or
    `sign_when_due`, tries again. A lasting failure ends with a reload of the settings only.
    """

    def __init__(
        self,
        key_id: str,
        certificate: x509.Certificate,
        digest: Digest,
        source: KeySource,
        clock: Clock,
        *,
        timeout_s: float,
    ) -> None:
        self.key_id = key_id
        self.certificate = certificate
        self.digest = digest
        self.source = source
        self.trouble: KeyTrouble | None = None
        self.used_ms: int | None = None
        self._clock = clock
        self._timeout_s = timeout_s
        self._turn = DeferredLock()
        self._retry_s = 0.0
        self._answered_s = float("-inf")

    async def sign(self, octets: bytes, document: bytes = b"") -> bytes:
        """The verified signature over `octets`. Raises NotSigned: nobody got a signature.

        Raises CannotAsk if the service judges this message and never signs it. The key is well then, and another try
        would end the same way.
        """
        await self._turn.acquire()
        try:
            if self.trouble is not None and not self._may_try():
                raise NotSigned(self.key_id, self.trouble)
            try:
                signature = await self._in_time(octets, document)
                self._verify(signature, octets)
            except SigningFailed as error:
                if error.reason == "octets_refused":
                    self._signed()
                    raise CannotAsk(f"{self.source.name}: {error}", "value") from None
                raise NotSigned(self.key_id, self._failed(error)) from None
            self._signed()
            return signature
        finally:
            self._turn.release()

    async def sign_when_due(self, nonce: bytes, idle_s: float) -> None:
        """Sign `nonce` if the key is in trouble and may be tried again, or has signed nothing for `idle_s` seconds: so
        that a key that is gone is known before a payment needs it."""
        idle = self._clock.monotonic_s() - self._answered_s >= idle_s
        if self._turn.locked or not (self._may_try() if self.trouble is not None else idle):
            return
        used_ms = self.used_ms
        # `trouble` says why a key signs nothing. A service that judges messages refuses random octets, and is well.
        with suppress(CannotAsk):
            await self.sign(nonce)
        self.used_ms = used_ms

    def _may_try(self) -> bool:
        assert self.trouble is not None
        return not self.trouble.lasting and self._clock.monotonic_s() >= self._retry_s

    def _in_time(self, octets: bytes, document: bytes) -> Deferred[bytes]:
        """What the source signs, or SigningFailed after the time-out. A token that is late goes on by itself; what it
        signs then is dropped."""
        late = SigningFailed("no_answer", f"{self.source.name} did not sign within {self._timeout_s:g} s")

        def abandon(_cancelled: Deferred[bytes]) -> None:
            timer.cancel()
            signing.cancel()

        told: Deferred[bytes] = Deferred(abandon)

        def give_up() -> None:
            told.errback(late)
            signing.cancel()

        timer = self._clock.later(self._timeout_s, give_up)

        def given(result: bytes | Failure) -> None:
            if timer.active():
                timer.cancel()
                told.callback(result)

        signing = self.source.sign(octets, document)
        signing.addBoth(given)
        return told

    def _verify(self, signature: bytes, octets: bytes) -> None:
        public = self.certificate.public_key()
        assert isinstance(public, rsa.RSAPublicKey), "the settings take RSA certificates only"
        try:
            public.verify(signature, octets, padding.PKCS1v15(), HASHES[self.digest]())
        except InvalidSignature:
            detail = f"{self.source.name} gave {len(signature)} octets that the certificate does not verify"
            raise SigningFailed("wrong_signature", detail) from None

    def _failed(self, error: SigningFailed) -> KeyTrouble:
        before, self._retry_s = self.trouble, self._clock.monotonic_s() + RETRY_S
        since_ms = self._clock.now_ms() if before is None else before.since_ms
        self.trouble = trouble = KeyTrouble(error.reason, error.detail, since_ms, error.lasting)
        if before is None or before.reason != trouble.reason:
            _log.error(
                "key.gone",
                key=self.key_id,
                source=self.source.name,
                reason=trouble.reason,
                error=trouble.detail,
                action=f"nothing is signed with it; orders stay ready and questions wait; {trouble.remedy}",
            )
        return trouble

    def _signed(self) -> None:
        self._answered_s, self.used_ms = self._clock.monotonic_s(), self._clock.now_ms()
        if self.trouble is not None:
            self.trouble = None
            _log.info("key.back", key=self.key_id, source=self.source.name)

    def __repr__(self) -> str:
        return f"OutsideSigner({self.key_id!r}, {self.source.name}, {self.digest})"
