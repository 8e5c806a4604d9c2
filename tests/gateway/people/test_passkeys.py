"""Passkeys: ceremonies of a software authenticator, in the form in which a browser reports them."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, replace
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.people.rules.passkeys import Passkey, PasskeyRefused, RelyingParty, asserted, registered

PARTY = RelyingParty("approve.example", "https://approve.example")
CHALLENGE = hashlib.sha256(b"what is approved").digest()
PRESENT, VERIFIED, MAY_SYNC, IS_SYNCED, ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40


def b64(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


@dataclass
class Authenticator:
    """A device with one ES256 key (WebAuthn Level 2, sections 6.1 and 6.5). `flags` are those of its answers."""

    key: ec.EllipticCurvePrivateKey
    flags: int = PRESENT | VERIFIED
    count: int = 0
    credential_id: bytes = b"credential-of-wang-0001"
    party: RelyingParty = PARTY

    def _data(self, more: bytes = b"", flags: int = 0) -> bytes:
        head = hashlib.sha256(self.party.id.encode()).digest() + bytes([self.flags | flags])
        return head + self.count.to_bytes(4, "big") + more

    def _client(self, kind: str, challenge: bytes) -> bytes:
        return json.dumps(
            {"type": kind, "challenge": b64(challenge), "origin": self.party.origin, "crossOrigin": False}
        ).encode()

    def _said(self, response: dict[str, bytes]) -> str:
        return json.dumps(
            {
                "id": b64(self.credential_id),
                "rawId": b64(self.credential_id),
                "type": "public-key",
                "clientExtensionResults": {},
                "response": {name: b64(octets) for name, octets in response.items()},
            }
        )

    def create(self, challenge: bytes = CHALLENGE) -> str:
        numbers = self.key.public_key().public_numbers()
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        attested = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cose
        made = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": self._data(attested, ATTESTED)})
        return self._said({"attestationObject": made, "clientDataJSON": self._client("webauthn.create", challenge)})

    def get(self, challenge: bytes = CHALLENGE) -> str:
        data, client = self._data(), self._client("webauthn.get", challenge)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._said(
            {"authenticatorData": data, "clientDataJSON": client, "signature": signature, "userHandle": b"wang"}
        )


@pytest.fixture(scope="module")
def device() -> Authenticator:
    return Authenticator(ec.derive_private_key(20_261_128, ec.SECP256R1()))


@pytest.fixture
def passkey(device: Authenticator) -> Passkey:
    return registered(device.create(), CHALLENGE, PARTY)


def test_a_registration_and_an_assertion(device: Authenticator, passkey: Passkey) -> None:
    assert passkey.credential_id == device.credential_id and not passkey.synced and passkey.sign_count == 0
    assert asserted(replace(device, count=7).get(), CHALLENGE, PARTY, passkey) == replace(passkey, sign_count=7)


def test_a_passkey_that_may_be_synced_is_known_as_such(device: Authenticator) -> None:
    synced = replace(device, flags=PRESENT | VERIFIED | MAY_SYNC | IS_SYNCED)
    assert registered(synced.create(), CHALLENGE, PARTY).synced
    assert registered(replace(device, flags=PRESENT | VERIFIED | MAY_SYNC).create(), CHALLENGE, PARTY).synced


def test_the_device_must_verify_its_person(device: Authenticator, passkey: Passkey) -> None:
    present = replace(device, flags=PRESENT)
    with pytest.raises(PasskeyRefused):
        registered(present.create(), CHALLENGE, PARTY)
    with pytest.raises(PasskeyRefused):
        asserted(present.get(), CHALLENGE, PARTY, passkey)


OTHER = hashlib.sha256(b"something else").digest()


@pytest.mark.parametrize(
    "changed",
    [
        {"party": RelyingParty("approve.example", "https://console.example")},
        {"party": RelyingParty("console.example", "https://approve.example")},
        {"key": ec.derive_private_key(1, ec.SECP256R1())},
        {"credential_id": b"credential-of-someone-else"},
    ],
    ids=["origin", "rp", "key", "credential"],
)
def test_an_answer_of_another_page_or_key_is_refused(device: Authenticator, passkey: Passkey, changed: Any) -> None:
    with pytest.raises(PasskeyRefused):
        asserted(replace(device, count=1, **changed).get(), CHALLENGE, PARTY, passkey)


def test_an_answer_to_another_challenge_is_refused(device: Authenticator, passkey: Passkey) -> None:
    for challenge in (OTHER, CHALLENGE[:-1]):
        with pytest.raises(PasskeyRefused):
            asserted(device.get(challenge), CHALLENGE, PARTY, passkey)
        with pytest.raises(PasskeyRefused):
            registered(device.create(challenge), CHALLENGE, PARTY)


def test_an_answer_cannot_be_replayed_and_a_copied_key_is_noticed(device: Authenticator, passkey: Passkey) -> None:
    used = replace(device, count=3)
    after = asserted(used.get(), CHALLENGE, PARTY, passkey)
    for count in (3, 2):
        with pytest.raises(PasskeyRefused):
            asserted(replace(device, count=count).get(), CHALLENGE, PARTY, after)


@pytest.mark.parametrize("answer", ["", "[]", "{}", "null", "1", '{"id": "x"}', '{"id": 1, "response": []}'])
def test_what_is_no_answer_is_refused(passkey: Passkey, answer: str) -> None:
    with pytest.raises(PasskeyRefused):
        asserted(answer, CHALLENGE, PARTY, passkey)
    with pytest.raises(PasskeyRefused):
        registered(answer, CHALLENGE, PARTY)


def test_one_changed_bit_is_refused(device: Authenticator, passkey: Passkey) -> None:
    said = json.loads(replace(device, count=1).get())
    for name in ("authenticatorData", "clientDataJSON", "signature"):
        text = said["response"][name]
        at = len(text) // 2
        changed = {**said["response"], name: text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]}
        with pytest.raises(PasskeyRefused):
            asserted(json.dumps({**said, "response": changed}), CHALLENGE, PARTY, passkey)
