"""Finds the key of a person that made a signature under an approval: the Ed25519 key, or a passkey of the approval
page."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from gateway.people.rows.persons import Person
from gateway.people.rules import passkeys
from gateway.people.rules.passkeys import PREFIX, PasskeyRefused, RegisteredPasskey
from gateway.people.rules.web_tokens import WebPage

_ED25519_BYTES = 64


def challenge(octets: bytes) -> bytes:
    """The challenge that a passkey answers instead of signing these bytes."""
    return hashlib.sha256(octets).digest()


def keys_of(person: Person) -> frozenset[str]:
    """The fingerprints of all keys that sign approvals for this person."""
    return frozenset((person.fingerprint, *(one.fingerprint for one in _of_page(person))))


def signing_key(person: Person, signature: bytes, octets: bytes) -> str:
    """The fingerprint of the key that made this signature under these bytes, now or in the past; "" if none did."""
    if len(signature) == _ED25519_BYTES:
        return person.fingerprint if person.signed(signature, octets) else ""
    # The counter was checked when the signature was given; it has grown since.
    found = _answered(person, signature, octets, anew=False)
    return "" if found is None else found.fingerprint


def answered_now(person: Person, signature: bytes, octets: bytes) -> RegisteredPasskey | None:
    """The passkey that gave this answer, with its new counter; None if none did, or if its counter shows a copy."""
    return _answered(person, signature, octets, anew=True)


def by_passkey(fingerprint: str) -> bool:
    """True if the fingerprint is that of a passkey."""
    return fingerprint.startswith(PREFIX)


def may_exist_twice(person: Person, fingerprint: str) -> bool:
    """True if this passkey may be on several devices, or in a cloud."""
    return any(one.passkey.synced for one in _of_page(person) if one.fingerprint == fingerprint)


def _of_page(person: Person) -> tuple[RegisteredPasskey, ...]:
    return tuple(one for one in person.passkeys if one.page is WebPage.APPROVAL)


def _answered(person: Person, signature: bytes, octets: bytes, *, anew: bool) -> RegisteredPasskey | None:
    try:
        answer = signature.decode()
    except UnicodeDecodeError:
        return None
    credential = passkeys.credential_of(answer)
    for one in _of_page(person):
        if one.passkey.credential_id == credential:
            known = one.passkey if anew else replace(one.passkey, sign_count=0)
            try:
                after = passkeys.asserted(answer, challenge(octets), one.party, known)
            except PasskeyRefused:
                return None
            return replace(one, passkey=replace(after, synced=one.passkey.synced or after.synced))
    return None
