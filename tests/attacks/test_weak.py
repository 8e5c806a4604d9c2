"""Weak algorithms: a profile can name only SHA-1, and only with a last day; no document can bring in another."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from cryptography.hazmat.primitives import hashes

from protocols.banks.finws.variant import variants
from protocols.kit import dsig
from protocols.kit.errors import ProtocolError
from tests.attacks.kinds_key import ENC, MORE, _signed_by
from tests.attacks.targets import KIT, READY, SignedDocument, signed_documents
from tests.protocols.kit import signing
from tests.protocols.kit.signing import key_pair

MD5_AND_HMAC = (
    f"{MORE}rsa-md5",
    f"{MORE}rsa-ripemd160",
    f"{MORE}hmac-md5",
    f"{dsig.DS}hmac-sha1",
    f"{MORE}hmac-sha256",
    f"{MORE}hmac-sha512",
    f"{dsig.DS}dsa-sha1",
    f"{MORE}ecdsa-sha1",
)
LAST = date(2026, 12, 31)
TARGETS = [KIT, *(bank for bank in READY if bank in ("sample", "finws"))]


@pytest.mark.parametrize("method", MD5_AND_HMAC)
def test_no_profile_can_name_them_whatever_its_date(method: str) -> None:
    with pytest.raises(ProtocolError, match="algorithm"):
        replace(signing.ENVELOPED, signature_method=method, weak_until=LAST)


@pytest.mark.parametrize("digest", [f"{MORE}md5", f"{ENC}ripemd160", "urn:none"])
def test_no_reference_can_name_them_whatever_its_date(digest: str) -> None:
    with pytest.raises(ProtocolError, match="algorithm"):
        replace(signing.ENVELOPED, references=(dsig.Enveloped(digest=digest),), weak_until=LAST)


@pytest.mark.parametrize("profile", [signing.ENVELOPED, signing.SOAP_SIGNED], ids=lambda profile: profile.name)
def test_sha1_needs_a_last_day_and_ends_with_it(profile: dsig.SignatureProfile) -> None:
    with pytest.raises(ProtocolError, match="algorithm"):
        replace(profile, signature_method=dsig.RSA_SHA1)
    weak = replace(profile, signature_method=dsig.RSA_SHA1, weak_until=LAST)
    bank = key_pair("bank")
    plain = signing.answer() if profile is signing.ENVELOPED else signing.envelope()
    prepared = dsig.prepare(plain, weak)
    document = dsig.attach(prepared, bank.sign(prepared.octets, hashes.SHA1()))
    for engine in ("xmlsec", "hand"):
        dsig.verify(document, weak, bank.pin, today=LAST, engine=engine)
        for day in (LAST + timedelta(days=1), None):
            with pytest.raises(ProtocolError, match="algorithm"):
                dsig.verify(document, weak, bank.pin, today=day, engine=engine)
        with pytest.raises(ProtocolError, match="algorithm"):
            dsig.verify(document, profile, bank.pin, today=LAST, engine=engine)


@pytest.mark.parametrize("bank", TARGETS)
def test_short_keys_are_refused_even_when_pinned(bank: str) -> None:
    for target in signed_documents(bank):
        for bits in (1024, 1536):
            short = key_pair(f"short {bits}", bits)
            document = _signed_by(target, short)
            for engine in ("xmlsec", "hand"):
                with pytest.raises(ProtocolError, match="wrong_key"):
                    dsig.verify(document, target.profile, short.pin, today=target.today, engine=engine)


@pytest.mark.parametrize("bank", TARGETS)
def test_no_shipped_profile_is_weak_or_short_of_bits(bank: str) -> None:
    for target in signed_documents(bank):
        assert isinstance(target, SignedDocument)
        assert target.profile.min_rsa_bits >= 2048
        assert not target.profile.is_weak or target.profile.weak_until is not None


def test_each_kind_of_finnish_bank_is_strong_or_names_its_day() -> None:
    for variant in variants().values():
        profiles = (
            variant.content("ApplicationRequest", variant.request),
            variant.content("ApplicationResponse", variant.answer),
            variant.transport(),
        )
        assert all(not one.is_weak or one.weak_until is not None for one in profiles)
