"""Passkeys (WebAuthn Level 2): whether a registration or an assertion is good, with the person verified by the device.

Pure: the challenge, the origin and the relying party's id are arguments. The challenge of an approval is its digest, so
that an assertion is valid for one approval only.

The library takes four megabytes of memory, so it is loaded only when a passkey is checked.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from gateway.people.rules.web_tokens import WebPage

LEAST_CHALLENGE_BYTES = 16
PREFIX = "passkey:"


class PasskeyRefused(Exception):  # noqa: N818 - an answer, not a fault
    """A passkey's answer was refused; the text says why."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The web page that may use a passkey: the id that credentials are bound to, and the one origin."""

    id: str
    origin: str


@dataclass(frozen=True, slots=True)
class Passkey:
    """A registered passkey credential. `synced`: its key may exist on several devices, or in a cloud."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    synced: bool


@dataclass(frozen=True, slots=True)
class RegisteredPasskey:
    """A person's passkey, for one page at one origin."""

    passkey: Passkey
    page: WebPage
    party: RelyingParty
    at_ms: int

    @property
    def fingerprint(self) -> str:
        """The name of the passkey in the audit trail and in approvals. No fingerprint of a person's own key begins like
        it."""
        return f"{PREFIX}{hashlib.sha256(self.passkey.credential_id + self.passkey.public_key).hexdigest()}"


def load() -> None:
    """Import the passkey library now, so that the first person with a passkey does not delay the process."""
    import webauthn  # noqa: F401 - only loaded


def credential_of(answer: str) -> bytes:
    """The id of the credential that an answer names; b"" if the text is no answer."""
    from webauthn.helpers import base64url_to_bytes

    try:
        said = json.loads(answer)
        return base64url_to_bytes(said["rawId"])
    except (ValueError, TypeError, KeyError):
        return b""


def registered(answer: str, challenge: bytes, party: RelyingParty) -> Passkey:
    """The passkey of a registration, as the browser's JSON says it. Raises PasskeyRefused."""
    from webauthn import verify_registration_response
    from webauthn.helpers.exceptions import WebAuthnException
    from webauthn.helpers.structs import CredentialDeviceType

    _check(challenge)
    try:
        found = verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError) as error:
        raise PasskeyRefused(f"the passkey was not registered: {error}") from None
    synced = found.credential_device_type is CredentialDeviceType.MULTI_DEVICE
    return Passkey(found.credential_id, found.credential_public_key, found.sign_count, synced)


def asserted(answer: str, challenge: bytes, party: RelyingParty, passkey: Passkey) -> Passkey:
    """The passkey after it has answered this challenge, with its new counter. Raises PasskeyRefused.

    A counter that does not grow means that the key was copied. Devices without a counter always say 0.
    """
    from webauthn import verify_authentication_response
    from webauthn.helpers.exceptions import WebAuthnException
    from webauthn.helpers.structs import CredentialDeviceType

    _check(challenge)
    try:
        found = verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError) as error:
        raise PasskeyRefused(f"the passkey's answer is refused: {error}") from None
    if found.credential_id != passkey.credential_id:
        raise PasskeyRefused("the answer is of another passkey")
    return Passkey(
        passkey.credential_id,
        passkey.public_key,
        found.new_sign_count,
        found.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
    )


def _check(challenge: bytes) -> None:
    assert len(challenge) >= LEAST_CHALLENGE_BYTES, "a short challenge can be guessed"
