"""The report on signatures says which octets were signed, and finds the usual reasons for differing digests."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable

import pytest
from lxml import etree

from protocols.kit import dsig
from protocols.kit.errors import ProtocolError
from tests.protocols.kit import signing
from tests.protocols.kit.signing import ENVELOPED, SOAP_SIGNED, D, KeyPair


def spaced() -> bytes:
    return signing.answer().replace(b"<body>", b"<body>\n  ").replace(b"</body>", b"\n</body>")


def test_a_good_message(bank: KeyPair) -> None:
    document = signing.signed(signing.answer(), ENVELOPED, bank)
    found = dsig.explain(document, ENVELOPED, [bank.pin])
    assert (found.verdict, found.refused) == ("accepted", "")
    [signature] = found.signatures
    assert signature.path == "/answer/Signature"
    assert signature.signers == (f"pinned {bank.pin.fingerprint}",)
    assert signature.octets == dsig.prepare(signing.answer(), ENVELOPED).octets
    [covered] = signature.covered
    assert covered.fits and covered.fits_if == ()
    assert covered.octets == dsig.verify(document, ENVELOPED, bank.pin).canonical
    assert covered.actual == hashlib.sha256(covered.octets or b"").hexdigest()


def test_explaining_changes_nothing_and_covers_each_reference(bank: KeyPair) -> None:
    document = signing.signed(signing.envelope(), SOAP_SIGNED, bank)
    [signature] = dsig.explain(document).signatures
    verified = dsig.verify(document, SOAP_SIGNED, bank.pin)
    assert tuple(one.octets for one in signature.covered) == verified.parts
    assert [one.uri for one in signature.covered] == ["#B-1", "#TS-1"]


def test_a_key_the_message_shows_is_told_apart_from_a_trusted_one(bank: KeyPair, stranger: KeyPair) -> None:
    info = dsig.x509_key_info(ENVELOPED, [stranger.certificate])
    document = signing.signed(signing.answer(), ENVELOPED, stranger, info)
    found = dsig.explain(document, ENVELOPED, [bank.pin])
    assert found.signatures[0].signers == (f"shown {stranger.pin.fingerprint}",)
    assert found.verdict.startswith("wrong_key")


def wrong(document: bytes, octets: bytes, key: KeyPair) -> bytes:
    """A signature over other octets than ours, as from a bank that reads the document differently."""
    digest = base64.b64encode(hashlib.sha256(octets).digest()).decode()
    root = etree.fromstring(signing.signed(document, ENVELOPED, key))
    [value] = root.iter(f"{D}DigestValue")
    value.text = digest
    info = next(root.iter(f"{D}SignedInfo"))
    octets = etree.tostring(etree.fromstring(etree.tostring(info)), method="c14n", exclusive=True)
    next(root.iter(f"{D}SignatureValue")).text = base64.b64encode(key.sign(octets)).decode()
    return etree.tostring(root)


READINGS: dict[str, Callable[[bytes], bytes]] = {
    "the canonical form were inclusive": lambda own: etree.tostring(etree.fromstring(own), method="c14n"),
    "the blanks between its elements were gone": lambda own: own.replace(b"\n  ", b"").replace(b"\n<", b"<"),
    "it ended with a line break": lambda own: own + b"\n",
    "its line ends were CR LF": lambda own: own.replace(b"\n", b"&#xD;\n"),
    "it had an XML declaration": lambda own: b'<?xml version="1.0" encoding="UTF-8"?>' + own,
}


@pytest.mark.parametrize("clue", READINGS)
def test_the_usual_reasons_are_found(clue: str, bank: KeyPair) -> None:
    document = spaced().replace(b"<answer ", b'<answer xmlns:unused="urn:unused" ')
    if "inclusive" in clue:
        own = document[document.index(b"?>") + 2 :]
    else:
        own = dsig.verify(signing.signed(document, ENVELOPED, bank), ENVELOPED, bank.pin).canonical
    [signature] = dsig.explain(wrong(document, READINGS[clue](own), bank), keys=[bank.pin]).signatures
    [covered] = signature.covered
    assert signature.signers, "the value itself is good"
    assert not covered.fits
    assert clue in covered.fits_if


def test_a_changed_amount_has_no_excuse(bank: KeyPair) -> None:
    document = signing.signed(signing.answer(), ENVELOPED, bank).replace(b"100.00", b"900.00")
    found = dsig.explain(document, ENVELOPED, [bank.pin])
    [covered] = found.signatures[0].covered
    assert (covered.fits, covered.fits_if) == (False, ())
    assert found.verdict.startswith("digest")


ODD = {
    "file:///dev/zero": "neither to the document nor to an id",
    "http://192.0.2.1/x": "neither to the document nor to an id",
    "#xpointer(/)": "neither to the document nor to an id",
    "#nobody": "0 elements carry the id",
}


@pytest.mark.parametrize("uri", ODD)
def test_nothing_outside_the_message_is_looked_at(uri: str, bank: KeyPair) -> None:
    document = signing.signed(signing.answer(), ENVELOPED, bank).replace(b'URI=""', b'URI="%s"' % uri.encode())
    [covered] = dsig.explain(document).signatures[0].covered
    assert covered.octets is None
    assert ODD[uri] in covered.note


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        (b"enveloped-signature", b"base64", "a transform that is not carried out"),
        (b"xmlenc#sha256", b"xmlenc#md5", "is not carried out"),
    ],
)
def test_odd_algorithms_are_named_and_not_run(old: bytes, new: bytes, note: str, bank: KeyPair) -> None:
    document = signing.signed(signing.answer(), ENVELOPED, bank).replace(old, new)
    [covered] = dsig.explain(document).signatures[0].covered
    assert covered.octets is None and note in covered.note


@pytest.mark.parametrize(
    "data", [b"", b"<a", b"<a><!-- x --></a>", b"\xff", b'<a xmlns:ds="%s"><ds:Signature/></a>' % dsig.DS.encode()]
)
def test_anything_at_all_is_explained(data: bytes) -> None:
    found = dsig.explain(data)
    assert found.refused or found.signatures[0].note


def test_the_first_difference() -> None:
    assert dsig.first_difference(b"abc", b"abc") is None
    assert dsig.first_difference(b"abc", b"axc") == 1
    assert dsig.first_difference(b"abc", b"ab") == 2


@pytest.mark.parametrize("value", [b"<" + bytes(range(255, 0, -1)), b"<m" + bytes(range(256)), b"< a" + b"x" * 99])
def test_a_signature_value_that_begins_like_a_document_is_none(value: bytes) -> None:
    assert dsig.embedded(b"<outer>%s</outer>" % base64.b64encode(value)) == []


def test_documents_inside_in_base64() -> None:
    inner = b'<?xml version="1.0"?><inner xmlns="urn:x"><with>enough text to be one</with></inner>'
    data = b"<outer><a>%s</a><b>%s</b></outer>" % (base64.b64encode(inner), base64.b64encode(b"x" * 99))
    assert dsig.embedded(data) == [("/outer/a", inner)]


def test_countersignatures_cover_those_before_and_nothing_slips_between(bank: KeyPair, stranger: KeyPair) -> None:
    second = dsig.SignatureProfile("second", ENVELOPED.signature_path, earlier=1)
    once = signing.signed(signing.answer(), ENVELOPED, bank)
    twice = signing.signed(once, second, stranger)
    verified = dsig.verify(twice, second, stranger.pin)
    assert dsig.verify(verified.canonical, ENVELOPED, bank.pin).key == bank.pin
    for profile, document in ((ENVELOPED, twice), (second, once)):
        with pytest.raises(ProtocolError, match="structure"):
            dsig.verify(document, profile, [bank.pin, stranger.pin])
    first, last = re.findall(rb"<ds:Signature .*?</ds:Signature>", twice)
    swapped = twice.replace(last, b"@").replace(first, last).replace(b"@", first)
    assert swapped != twice
    with pytest.raises(ProtocolError):
        dsig.verify(swapped, second, [bank.pin, stranger.pin])
    with pytest.raises(ProtocolError):
        dsig.verify(twice.replace(first, b""), second, [bank.pin, stranger.pin])
    with pytest.raises(ProtocolError):
        dsig.prepare(twice, second)
    with pytest.raises(ProtocolError):
        dsig.SignatureProfile("first of all", ENVELOPED.signature_path, earlier=1, signature_first=True)


def test_who_signs_last_may_stand_first(bank: KeyPair, stranger: KeyPair) -> None:
    second = dsig.SignatureProfile("second", ENVELOPED.signature_path, earlier=1)
    twice = signing.signed(signing.signed(signing.answer(), ENVELOPED, bank), second, stranger)
    first, last = re.findall(rb"<ds:Signature .*?</ds:Signature>", twice)
    one, two = dsig.explain(twice).signatures
    assert [(each.covered[0].fits, each.covered[0].later) for each in (one, two)] == [(True, 1), (True, 0)]
    found, _ = dsig.explain(twice.replace(last, b"").replace(first, last + first)).signatures
    assert (found.covered[0].fits, found.covered[0].later) == (True, 0)
    assert found.covered[0].octets == two.covered[0].octets
