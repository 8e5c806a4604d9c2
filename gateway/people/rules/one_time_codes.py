"""Time-based one-time codes (TOTP, RFC 6238): six digits, 30 seconds, SHA-1, as telephone programs make them."""

from __future__ import annotations

import hmac
from base64 import b32encode

import pyotp

SECRET_BYTES = 20
STEP_S = 30
_SKEW_STEPS = 1


def secret_of(octets: bytes) -> str:
    """A secret in base32, as authenticator programs take it, from random bytes."""
    assert len(octets) == SECRET_BYTES, "RFC 4226 asks for 160 bits"
    return b32encode(octets).decode()


def address(secret: str, person: str, node: str) -> str:
    """The `otpauth:` address from which an authenticator program takes the secret."""
    return pyotp.TOTP(secret).provisioning_uri(name=person, issuer_name=f"bankgw {node}")


def code_at(secret: str, step: int) -> str:
    """The one-time code of this step; steps are 30 seconds and are counted from 1970."""
    return pyotp.HOTP(secret).at(step)


def step_of(secret: str, code: str, now_ms: int, used_step: int) -> int | None:
    """The step of this code: the present step or one beside it, later than `used_step`; None for any other code.

    A code is accepted once: the caller keeps the step, and neither this nor an earlier step is accepted again.
    """
    now = now_ms // 1000 // STEP_S
    found = None
    for step in range(now - _SKEW_STEPS, now + _SKEW_STEPS + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()) and step > used_step:
            found = step
    return found
