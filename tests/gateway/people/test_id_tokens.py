"""Tokens of an identity provider: a valid one, and tokens that are each wrong in one respect."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from gateway.people.rules.id_tokens import IdTokenRefused, IdTokenTerms, subject_of

NOW_S, NONCE = 1_796_000_000, "nonce-of-this-sign-in"
CLAIMS: dict[str, Any] = {
    "iss": "https://id.example.com",
    "aud": "bankgw",
    "sub": "00u1",
    "nonce": NONCE,
    "iat": NOW_S - 5,
    "exp": NOW_S + 300,
}


@cache
def key(kid: str = "k1") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid})


@cache
def terms() -> IdTokenTerms:
    keys = KeySet([key(), key("k2")]).as_dict(private=False)
    return IdTokenTerms(CLAIMS["iss"], CLAIMS["aud"], json.dumps(keys).encode(), ("RS256",), 60)


def token(header: dict[str, Any] | None = None, signed_by: Any = None, **changed: Any) -> str:
    said = {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}
    head = header or {"alg": "RS256", "kid": "k1"}
    return jwt.encode(head, said, signed_by or key(), algorithms=[head["alg"]])


def refused(text: str, wanted: IdTokenTerms | None = None, nonce: str = NONCE, now_s: float = NOW_S) -> str:
    with pytest.raises(IdTokenRefused) as caught:
        subject_of(text, wanted or terms(), nonce, now_s)
    assert "00u1" not in str(caught.value) and NONCE not in str(caught.value)
    return str(caught.value)


def test_a_good_token_says_who_signed_in() -> None:
    assert subject_of(token(), terms(), NONCE, NOW_S) == "00u1"
    assert subject_of(token({"alg": "RS256", "kid": "k2"}, key("k2")), terms(), NONCE, NOW_S) == "00u1"
    assert subject_of(token(aud=["bankgw"]), terms(), NONCE, NOW_S) == "00u1"
    assert subject_of(token(aud=["bankgw", "other"], azp="bankgw"), terms(), NONCE, NOW_S) == "00u1"
    assert subject_of(token(acr="mfa"), replace(terms(), acr="mfa"), NONCE, NOW_S) == "00u1"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"iss": "https://id.example.com/"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": "other"}, "another client"),
        ({"aud": None}, "another client"),
        ({"aud": ["other"]}, "another client"),
        ({"aud": ["bankgw", "other"]}, "another client asked"),
        ({"azp": "other"}, "another client asked"),
        ({"nonce": "other"}, "another sign-in"),
        ({"nonce": None}, "another sign-in"),
        ({"nonce": 1}, "another sign-in"),
        ({"exp": NOW_S - 61}, "has expired"),
        ({"exp": None}, "has expired"),
        ({"exp": "9999999999"}, "has expired"),
        ({"exp": True}, "has expired"),
        ({"iat": None}, "another time"),
        ({"iat": NOW_S + 61}, "another time"),
        ({"iat": NOW_S - 661}, "another time"),
        ({"nbf": NOW_S + 61}, "not valid yet"),
        ({"sub": None}, "names no person"),
        ({"sub": ""}, "names no person"),
        ({"sub": ["00u1"]}, "names no person"),
        ({"sub": "x" * 256}, "names no person"),
    ],
)
def test_a_token_that_is_wrong_in_one_respect(changed: dict[str, Any], why: str) -> None:
    assert why in refused(token(**changed))


def test_a_clock_may_differ_by_the_leeway_and_no_more() -> None:
    for good in (token(exp=NOW_S - 59), token(iat=NOW_S + 59), token(nbf=NOW_S + 59)):
        assert subject_of(good, terms(), NONCE, NOW_S) == "00u1"


def test_what_a_person_showed_there_may_be_asked_for() -> None:
    assert "acr" in refused(token(), replace(terms(), acr="mfa")) and "acr" in refused(
        token(acr="pwd"), replace(terms(), acr="mfa")
    )


def part(said: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()


def test_no_other_signature_is_believed() -> None:
    good = token()
    head, body, proof = good.split(".")
    forged = [
        f"{part({'alg': 'none'})}.{body}.",
        f"{part({'alg': 'none', 'kid': 'k1'})}.{body}.{proof}",
        f"{head}.{body}.",
        f"{head}.{body}",
        token({"alg": "RS256", "kid": "k1"}, key("k2")),
        token({"alg": "RS256", "kid": "k9"}),
        token({"alg": "RS256"}),
        token({"alg": "RS256", "kid": "k1"}, RSAKey.generate_key(2048)),
        token({"alg": "PS256", "kid": "k1"}),
        token({"alg": "ES256", "kid": "k1"}, ECKey.generate_key("P-256")),
        f"{head}.{part({**CLAIMS, 'sub': 'admin'})}.{proof}",
        f"{part({'alg': 'RS256', 'jwk': key('k3').as_dict(private=False)})}.{body}.{token(signed_by=key('k3')).split('.')[2]}",
        "",
        ".",
        "..",
        "a.b.c",
        "é.b.c",
        good + ".x",
        good * 20,
        f"{head}.{part([1])}.{proof}",
    ]
    for text in forged:
        assert "signature" in (why := refused(text)) or "no signed token" in why, text
    # The public key is used as a shared secret.
    head, body = part({"alg": "HS256", "kid": "k1"}), part(CLAIMS)
    mac = hmac.digest(key().as_pem(private=False), f"{head}.{body}".encode(), "sha256")
    assert "signature" in refused(f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


@pytest.mark.parametrize("keys", [b"", b"{}", b"[]", b'{"keys": []}', b'{"keys": [{}]}', b"\xff", b'{"keys": 1}'])
def test_a_file_without_keys_proves_nothing(keys: bytes) -> None:
    assert "file of keys" in refused(token(), replace(terms(), keys=keys))
