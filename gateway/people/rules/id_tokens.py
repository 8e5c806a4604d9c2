"""Tokens by which a company's identity provider says who has signed in there (OpenID Connect Core 1.0, section
3.1.3.7)."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

MOST_BYTES = 16_384
# A token must be used right after it was issued.
_OLDEST_S = 600


class IdTokenRefused(Exception):  # noqa: N818 - an answer, not a fault
    """An identity provider's token was refused. The text is for the log; it holds no part of the token."""


@dataclass(frozen=True, slots=True)
class IdTokenTerms:
    """The claims that an ID token must have, and the provider's public keys (a JWKS, as its file has it)."""

    issuer: str
    client_id: str
    keys: bytes
    algorithms: tuple[str, ...]
    leeway_s: float
    acr: str | None = None


def subject_of(token: str, terms: IdTokenTerms, nonce: str, now_s: float) -> str:
    """The subject of an ID token that passes every check. Raises IdTokenRefused.

    `nonce` is the one that was made for this sign-in.
    """
    if not token.isascii() or not 0 < len(token) <= MOST_BYTES or token.count(".") != 2:
        raise IdTokenRefused("it is no signed token")
    try:
        keys = KeySet.import_key_set(json.loads(terms.keys))
    except (ValueError, TypeError, KeyError, JoseError) as error:
        raise IdTokenRefused(f"the file of keys has no key in it: {type(error).__name__}") from None
    try:
        # Only algorithms with a pair of keys can be listed: neither `none` nor a public key as a secret is taken.
        claims: Mapping[str, Any] = jwt.decode(token, keys, algorithms=list(terms.algorithms)).claims
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise IdTokenRefused(f"its signature is not valid: {type(error).__name__}") from None
    _judge(claims, terms, nonce, now_s)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise IdTokenRefused("it names no person")
    return subject


def _judge(claims: Mapping[str, Any], terms: IdTokenTerms, nonce: str, now_s: float) -> None:
    if claims.get("iss") != terms.issuer:
        raise IdTokenRefused("it is of another issuer")
    audience = claims.get("aud")
    if audience != terms.client_id and not (isinstance(audience, list) and terms.client_id in audience):
        raise IdTokenRefused("it is for another client")
    several = isinstance(audience, list) and len(audience) > 1
    if claims.get("azp", None if several else terms.client_id) != terms.client_id:
        raise IdTokenRefused("another client asked for it")
    said = claims.get("nonce")
    if not nonce or not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise IdTokenRefused("it was made for another sign-in")
    ends_s, made_s, from_s = (_time(claims, name) for name in ("exp", "iat", "nbf"))
    if ends_s is None or now_s >= ends_s + terms.leeway_s:
        raise IdTokenRefused("it has expired")
    if made_s is None or made_s > now_s + terms.leeway_s or now_s - made_s > _OLDEST_S + terms.leeway_s:
        raise IdTokenRefused("it was made at another time")
    if from_s is not None and from_s > now_s + terms.leeway_s:
        raise IdTokenRefused("it is not valid yet")
    if terms.acr is not None and claims.get("acr") != terms.acr:
        raise IdTokenRefused("the person did not sign in with the strength that `acr` demands")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
