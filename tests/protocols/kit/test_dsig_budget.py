"""The limits of what a signature may cost before its key is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocols.kit import dsig
from protocols.kit.dsig.verify import Engine
from protocols.kit.errors import ProtocolError
from tests.protocols.kit import signing
from tests.protocols.kit.signing import ENVELOPED, KeyPair, key_pair
from tests.protocols.kit.test_dsig_attacks import ENGINES, edited, verifying


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_digested_for_a_stranger_beyond_a_small_document(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, bank: KeyPair
) -> None:
    """SignedInfo is verified first: unless a pinned key made it, neither engine processes the content."""
    monkeypatch.setattr(verifying, "_signed_parts", lambda *_: pytest.fail("the content was canonicalised"))
    monkeypatch.setattr(verifying, "_by_xmlsec", lambda *_: pytest.fail("xmlsec was asked"))
    large = edited(signing.answer(), "</answer>", f"<note>{'x' * 70_000}</note></answer>")
    document = signing.signed(large, ENVELOPED, key_pair("other"))
    with pytest.raises(ProtocolError) as caught:
        dsig.verify(document, ENVELOPED, [bank.pin], engine=engine)
    assert caught.value.reason in ("wrong_key", "signature")


@pytest.mark.parametrize("engine", ENGINES)
def test_changed_content_is_still_told_from_a_strange_key_in_a_small_document(engine: Engine, bank: KeyPair) -> None:
    good = signing.signed(signing.answer(), ENVELOPED, bank)
    for document, pin, reason in (
        (edited(good, "<amount>", "<amount>9"), bank.pin, "digest"),
        (good, key_pair("other").pin, "signature"),
    ):
        with pytest.raises(ProtocolError) as caught:
            dsig.verify(document, ENVELOPED, [pin], engine=engine)
        assert caught.value.reason == reason


@pytest.mark.parametrize("engine", ENGINES)
def test_the_budget_holds_below_a_genuine_signed_info(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, bank: KeyPair
) -> None:
    """An old answer's SignedInfo over a bomb: refused before either engine makes the canonical form of the content."""
    inclusive = replace(ENVELOPED, references=(dsig.Enveloped(transforms=(dsig.ENVELOPED, dsig.C14N)),), c14n=dsig.C14N)
    document = signing.signed(signing.answer(), inclusive, bank)
    around = " ".join(f'xmlns:p{n}="https://bank.example/{n}"' for n in range(30))
    hostile = edited(document, "</answer>", f"<x {around}>{'<a/>' * 4_000}</x></answer>")
    monkeypatch.setattr(verifying, "_signed_parts", lambda *_: pytest.fail("the content was canonicalised"))
    monkeypatch.setattr(verifying, "_by_xmlsec", lambda *_: pytest.fail("xmlsec was asked"))
    with pytest.raises(ProtocolError, match="too many namespaces") as caught:
        dsig.verify(hostile, inclusive, [bank.pin], engine=engine)
    assert caught.value.reason == "xml_limits"
