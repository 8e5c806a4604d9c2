"""Attacks 93 to 115: weak algorithms, other keys, other messages."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from lxml import etree

from protocols.canon.money import Money
from protocols.kit import dsig
from protocols.kit.dsig.canonical import element_octets
from tests.attacks.document import Leaf
from tests.attacks.forging import by_the_bank, changed, found, opened, template, written
from tests.attacks.kind import Attempt, on_signature, on_spot, on_talk
from tests.attacks.kinds_value import other_value
from tests.attacks.layers import Spot
from tests.attacks.targets import ACCOUNT, MINOR, Golden, SignedDocument, goldens, older
from tests.protocols.kit.signing import D, KeyPair, key_pair

MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
ENC: Final = "http://www.w3.org/2001/04/xmlenc#"
Made = Iterable[bytes | Attempt]
FLIPS: Final = 25


@on_signature(93, "SHA-1")
def _(target: SignedDocument) -> Made:
    yield from by_the_bank(target, template(target, method=dsig.RSA_SHA1))
    yield from by_the_bank(target, template(target, digest=dsig.SHA1))
    yield from by_the_bank(target, template(target, digest=dsig.SHA1, method=dsig.RSA_SHA1))


@on_signature(94, "MD5")
def _(target: SignedDocument) -> Made:
    yield from by_the_bank(target, template(target, method=f"{MORE}rsa-md5"))
    yield from by_the_bank(target, template(target, digest=f"{MORE}md5"))
    yield from by_the_bank(target, template(target, method=f"{MORE}rsa-ripemd160"))
    yield from by_the_bank(target, template(target, digest=f"{ENC}ripemd160"))


def _signed_by(target: SignedDocument, key: KeyPair, shown: str = "") -> bytes:
    """A document with the same content, correctly signed with another key."""
    root, signature = opened(target)
    parent = signature.getparent()
    assert parent is not None
    parent.remove(signature)
    prepared = dsig.prepare(written(root), target.profile)
    return dsig.attach(prepared, key.sign(prepared.octets), shown)


@on_signature(95, "RSA of 1024 bits")
def _(target: SignedDocument) -> Made:
    short = key_pair("short", 1024)
    document = _signed_by(target, short)
    yield document
    yield lambda: dsig.verify(document, target.profile, short.pin, today=target.today)
    yield lambda: dsig.verify(document, target.profile, (short.pin, *target.pins), today=target.today)


def _valued(target: SignedDocument, method: str, value: bytes, parameter: str = "") -> bytes:
    """The document with a signature by another method, whose value was made over a SignedInfo that names that
    method."""

    def change(root: etree._Element, signature: etree._Element) -> None:
        element = found(signature, "SignatureMethod")
        element.set("Algorithm", method)
        if parameter:
            etree.SubElement(element, f"{D}HMACOutputLength").text = parameter
        found(signature, "SignatureValue").text = base64.b64encode(value).decode("ascii")

    return changed(target, change)


def _octets(document: bytes, target: SignedDocument) -> bytes:
    return element_octets(found(etree.fromstring(document), "SignedInfo"), target.profile.c14n)


@on_signature(96, "PKCS#1 v1.5 and PSS swapped")
def _(target: SignedDocument) -> Made:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    for method in ("http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1", target.profile.signature_method):
        draft = _valued(target, method, b"x")
        for style in (pss, padding.PKCS1v15()):
            if style is pss or method != target.profile.signature_method:
                value = target.key.private.sign(_octets(draft, target), style, hashes.SHA256())
                yield _valued(target, method, value)


@on_signature(97, "ECDSA, well and malformed")
def _(target: SignedDocument) -> Made:
    method = f"{MORE}ecdsa-sha256"
    octets = _octets(_valued(target, method, b"x"), target)
    der = ec.generate_private_key(ec.SECP256R1()).sign(octets, ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(der)
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    for value in (der, raw, bytes(64), raw[:63], b"\xff" * 64, b""):
        yield _valued(target, method, value)
        yield _valued(target, target.profile.signature_method, value)


@on_signature(98, "HMAC keyed with the public key")
def _(target: SignedDocument) -> Made:
    (pin,) = target.pins
    for method, name in ((f"{MORE}hmac-sha256", "sha256"), (f"{dsig.DS}hmac-sha1", "sha1"), (f"{MORE}hmac-md5", "md5")):
        octets = _octets(_valued(target, method, b"x"), target)
        for key in (pin.pem, pin.pem.strip(), b"", b"secret"):
            yield _valued(target, method, hmac.new(key, octets, getattr(hashlib, name)).digest())


@on_signature(99, "HMACOutputLength 80, 8 and 0")
def _(target: SignedDocument) -> Made:
    for length in ("80", "8", "0", "-1", ""):
        for method in (f"{MORE}hmac-sha256", target.profile.signature_method):
            yield _valued(target, method, b"", length or "x")
            yield _valued(target, method, b"\0", length or "x")


def _shown(target: SignedDocument, inside: str, key: KeyPair) -> bytes:
    info = f'<ds:KeyInfo xmlns:ds="{dsig.DS}">{inside}</ds:KeyInfo>'
    return _signed_by(target, key, info)


def _certificate(key: KeyPair) -> str:
    text = "".join(key.certificate_pem.decode("ascii").splitlines()[1:-1])
    return f"<ds:X509Data><ds:X509Certificate>{text}</ds:X509Certificate></ds:X509Data>"


@on_signature(100, "attacker's certificate in X509Data")
def _(target: SignedDocument) -> Made:
    stranger = key_pair("stranger")
    yield _shown(target, _certificate(stranger), stranger)
    yield _shown(target, _certificate(target.key), stranger)
    yield _shown(target, _certificate(target.key) + _certificate(stranger), stranger)
    for broken in ("", "A", "!", "AAAA", "A" * 100_000):
        one = f"<ds:X509Data><ds:X509Certificate>{broken}</ds:X509Certificate></ds:X509Data>"
        yield _shown(target, one, stranger)


@on_signature(101, "attacker's KeyValue")
def _(target: SignedDocument) -> Made:
    stranger = key_pair("stranger")
    numbers = stranger.private.public_key().public_numbers()
    modulus, exponent = (
        base64.b64encode(number.to_bytes(-(-number.bit_length() // 8), "big")).decode("ascii")
        for number in (numbers.n, numbers.e)
    )
    value = f"<ds:RSAKeyValue><ds:Modulus>{modulus}</ds:Modulus><ds:Exponent>{exponent}</ds:Exponent></ds:RSAKeyValue>"
    yield _shown(target, f"<ds:KeyValue>{value}</ds:KeyValue>", stranger)
    yield _shown(target, "<ds:KeyValue/>", stranger)


@on_signature(102, "KeyName of somebody else")
def _(target: SignedDocument) -> Made:
    for name in ("other bank", "", "/dev/zero"):
        yield _shown(target, f"<ds:KeyName>{name}</ds:KeyName>", key_pair("stranger"))
        yield _shown(target, f"<ds:KeyName>{name}</ds:KeyName>", target.key)


@on_signature(103, "RetrievalMethod that goes round")
def _(target: SignedDocument) -> Made:
    for uri in ("#k", "", "file:///dev/zero", "http://127.0.0.1:1/"):
        loop = f'<ds:RetrievalMethod Id="k" URI="{uri}" Type="{dsig.DS}X509Data"/>'
        yield _shown(target, loop, key_pair("stranger"))
        yield _shown(target, loop, target.key)


@on_signature(104, "EncryptedKey bomb in KeyInfo")
def _(target: SignedDocument) -> Made:
    nested = "<ds:KeyInfo><xe:EncryptedKey>" * 10 + "</xe:EncryptedKey></ds:KeyInfo>" * 10
    for inside in (nested, "", "<xe:CipherData><xe:CipherReference URI='file:///dev/zero'/></xe:CipherData>"):
        yield _shown(target, f'<xe:EncryptedKey xmlns:xe="{ENC}">{inside}</xe:EncryptedKey>', target.key)
    yield _shown(target, f'<xe:EncryptedKey xmlns:xe="{ENC}"/>' * 1000, key_pair("stranger"))


@on_signature(105, "expired or revoked signer")
def _(target: SignedDocument) -> Made:
    pin = dsig.PinnedKey.of(target.key.certificate)
    assert pin.first_day is not None and pin.last_day is not None
    late, early = pin.last_day + timedelta(days=1), pin.first_day - timedelta(days=1)
    yield lambda: dsig.verify(target.data, target.profile, pin, today=late)
    yield lambda: dsig.verify(target.data, target.profile, pin, today=early)
    # A key is revoked by removing its pin.
    yield lambda: dsig.verify(target.data, target.profile, key_pair("successor").pin, today=target.today)
    yield lambda: dsig.verify(target.data, target.profile, (), today=target.today)


@on_signature(106, "certificate that may not sign")
def _(target: SignedDocument) -> Made:
    other = key_pair("for encryption", may_sign=False)
    document = _signed_by(target, other)
    yield document
    yield lambda: dsig.verify(document, target.profile, dsig.PinnedKey.of(other.certificate), today=target.today)
    yield lambda: dsig.verify(document, target.profile, dsig.PinnedKey.from_pem(other.certificate_pem))


@on_signature(107, "valid signature of another bank")
def _(target: SignedDocument) -> Made:
    other = key_pair("another bank")
    yield _signed_by(target, other)
    yield _shown(target, _certificate(other), other)


@on_talk(108, "older answer of the same bank")
def _(golden: Golden) -> Iterable[tuple[int, bytes]]:
    # The bank's statement about the same payment or bundle in another conversation is true here as well. So is its
    # statement about the same account where the question after a bundle reads the entries.
    others = [one for one in goldens(golden.bank) if one.subject != golden.subject]
    ours = {_dateless(request) for request in golden.requests} if golden.subject == ACCOUNT else set[bytes]()
    for other in (*older(golden.bank), *others):
        for at, _answer in golden.recording.exchanges():
            for (_, answer), request in zip(other.recording.exchanges(), other.requests, strict=True):
                if _dateless(request) not in ours:
                    yield at, answer


def _dateless(request: bytes) -> bytes:
    """The request without its days, because questions about an account are alike whatever days they name."""
    return re.sub(rb"20\d\d(-?)\d\d\1\d\d", b"", request)


@on_talk(109, "answer for another payment of the same amount")
def _(golden: Golden) -> Iterable[tuple[int, bytes]]:
    for other in older(golden.bank):
        if other.recording.name == golden.recording.name:
            yield from other.recording.exchanges()


@on_talk(110, "request reflected as its answer")
def _(golden: Golden) -> Iterable[tuple[int, bytes]]:
    for (at, _answer), request in zip(golden.recording.exchanges(), golden.requests, strict=True):
        yield at, request


@on_signature(111, "key of the test environment")
def _(target: SignedDocument) -> Made:
    test = key_pair("test environment")
    yield _signed_by(target, test)
    yield _shown(target, _certificate(test), test)


@on_spot(113, "signature valid, document not of its schema")
def _(spot: Spot) -> Iterable[bytes]:
    if not spot.authentic:
        return
    yield spot.document.at_end("<Unknown>1</Unknown>")
    yield spot.document.at_start("<Unknown>1</Unknown>")
    try:
        root = etree.fromstring(spot.document.data)
    except etree.XMLSyntaxError:
        return
    root[:] = root[::-1]
    yield written(root)


@on_talk(114, "valid, but the amount is not the journal's")
def wrong_amounts(golden: Golden) -> Iterable[tuple[int, bytes]]:
    """Each amount of the payment changed, for answers that state one."""
    if golden.subject not in ("payment", "bundle"):
        return
    for at, spot in golden.spots():
        for leaf in our_amounts(spot):
            for text in (other_value(leaf.text), f"1{leaf.text}", leaf.text[1:]):
                yield at, spot.put(spot.document.instead(leaf, leaf.with_text(text)))


def our_amounts(spot: Spot) -> list[Leaf]:
    """The payment's own amounts in an answer about it."""
    return [leaf for leaf in spot.document.amounts if leaf.text in (str(Money(MINOR)), str(MINOR))]


@on_signature(115, "one bit changed")
def _(target: SignedDocument) -> Made:
    chance = random.Random(target.profile.name)
    for place in chance.sample(range(len(target.data)), min(FLIPS, len(target.data))):
        for bit in (0, 1, 5, 7):
            yield target.data[:place] + bytes((target.data[place] ^ 1 << bit,)) + target.data[place + 1 :]
