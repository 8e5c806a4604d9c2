"""Signing keys behind a signing service: one HTTPS request a signature, with mutual TLS (docs/do/keys.md has its form).

The service gets the whole octets, so that it can read what it signs. Its answer is used only after `OutsideSigner` has
verified the signature.
"""

from __future__ import annotations

import base64
import json
from typing import Final

from twisted.internet.defer import Deferred

from gateway.bank.connection import BankConnection, NoAnswer
from gateway.bank.dialer import BankDialer, NotConnected
from gateway.bank.key_trouble import SigningFailed
from gateway.bank.signers import Digest
from gateway.kernel.clock import Clock, Entropy
from protocols.bank import Port
from protocols.kit import http
from protocols.kit.errors import ProtocolError, harmless

ANSWER_MAX: Final = 65_536
NEVER: Final = 422
"""The status of a service that judges the message and never signs it."""
CONTENT_TYPE: Final = "application/json"
_SHOWN: Final = 200


class RemoteKeySource:
    """A key of a signing service, as `OutsideSigner` uses it. Each signature has a connection of its own, so that none
    gets the answer to another."""

    def __init__(
        self,
        dialer: BankDialer,
        path: str,
        key: str,
        digest: Digest,
        clock: Clock,
        entropy: Entropy,
        *,
        timeout_s: float,
    ) -> None:
        self.name = f"signing service {dialer.where}, key {key}"
        self._dialer = dialer
        self._path = path
        self._key = key
        self._digest = digest
        self._clock = clock
        self._entropy = entropy
        self._port = Port(
            "sign",
            http.answers(ANSWER_MAX),
            kept=False,
            first_byte_s=timeout_s,
            between_bytes_s=timeout_s,
            exchange_s=timeout_s,
        )

    def sign(self, octets: bytes, document: bytes = b"") -> Deferred[bytes]:
        """Fires with the signature, or fails with SigningFailed. Cancelling it hangs up."""
        return Deferred.fromCoroutine(self._signature(octets))

    async def _signature(self, octets: bytes) -> bytes:
        number = self._entropy.bytes(16).hex()
        body = {
            "id": number,
            "key": self._key,
            "algorithm": f"rsa-pkcs1-{self._digest}",
            "octets": base64.b64encode(octets).decode("ascii"),
        }
        request = http.post(self._path, self._dialer.where, CONTENT_TYPE, json.dumps(body).encode("ascii"))
        try:
            line = await self._dialer.connect(
                lambda: BankConnection(self._port, self._clock, lambda _line: None, lambda: True)
            )
        except NotConnected as error:
            raise SigningFailed("service_away", error.detail) from None
        try:
            frame = await line.exchange(request)
        except NoAnswer as error:
            raise SigningFailed("no_answer", f"{self.name}: {error.reason}") from None
        finally:
            line.hang_up()
        return _signature_in(frame, number)


def _signature_in(frame: bytes, number: str) -> bytes:
    """The signature of an answer. Raises SigningFailed."""
    try:
        answer = http.parse_answer(frame)
    except ProtocolError as error:
        raise SigningFailed("bad_answer", str(error)) from None
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        told = None
    if answer.status != 200:
        said = told.get("error") if isinstance(told, dict) else None
        words = f": {harmless(said[:_SHOWN])}" if isinstance(said, str) else ""
        reason = "octets_refused" if answer.status == NEVER else "service_refused"
        raise SigningFailed(reason, f"status {answer.status}{words}")
    if not isinstance(told, dict) or told.get("id") != number:
        raise SigningFailed("bad_answer", "it is not the answer to this request")
    value = told.get("signature")
    try:
        # A text that is not ASCII raises ValueError too.
        return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
    except ValueError:
        raise SigningFailed("bad_answer", "its signature is not Base64") from None
