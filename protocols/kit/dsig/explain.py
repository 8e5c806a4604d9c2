"""The X-ray of a signed message: what was signed, which octets each reference covered, and why it does not fit.

`explain` believes nothing and resolves nothing outside the message: a reference that is neither "" nor "#id", or a
transform other than the enveloped one and the four canonical forms, is named and not carried out. What it says is for
people; whether a message counts is decided by `verify` alone, whose word stands in the report beside it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_der_x509_certificate
from lxml import etree

from protocols.kit import xmldoc
from protocols.kit.charset import UTF8, Charset
from protocols.kit.dsig.canonical import element_octets
from protocols.kit.dsig.key import PinnedKey, spki_fingerprint
from protocols.kit.dsig.profile import C14N, DS, ENVELOPED, EXC_C14N, HASH_OF, Profile
from protocols.kit.dsig.verify import HASHES, take_out, verify
from protocols.kit.errors import ProtocolError

_D: Final = f"{{{DS}}}"
_COMMENTS: Final = {C14N + "#WithComments": C14N, EXC_C14N + "WithComments": EXC_C14N}
_TOKENS: Final = "BinarySecurityToken"
SIGNATURES_MAX: Final = 8
REFERENCES_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Covered:
    """One reference. `octets` is what it covers by our reading (None: not carried out, `note` says why).

    `expected` is the digest the message states, `actual` that of `octets`, both in hexadecimal. `fits_if` names what
    would have to be different about the octets for the stated digest to be theirs: the clue where a digest fails.
    """

    uri: str
    transforms: tuple[str, ...]
    digest: str
    expected: str
    actual: str
    octets: bytes | None
    note: str = ""
    fits_if: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the stated digest is that of the octets."""
        return bool(self.actual) and self.actual == self.expected


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature: the octets whose RSA value it is, who could have made it, and its references.

    `signers` are the keys under which the value verifies: pinned ones by "pinned" and SPKI fingerprint, keys that the
    message itself shows by "shown" (these prove nothing but who claims to have signed).
    """

    path: str
    c14n: str
    method: str
    octets: bytes | None
    signers: tuple[str, ...]
    covered: tuple[Covered, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """The report. `verdict` is the gate's own word: "accepted", its refusal, or "" where no profile was given."""

    root: str
    signatures: tuple[Signed, ...]
    verdict: str = ""
    refused: str = ""


def explain(
    data: bytes,
    profile: Profile | None = None,
    keys: Sequence[PinnedKey] = (),
    *,
    charset: Charset = UTF8,
    today: date | None = None,
) -> Explained:
    """Everything about the signatures of a message, good or bad. Never raises for what the message holds.

    With a `profile` and pinned `keys` the report also says what `verify` says.
    """
    verdict = ""
    if profile is not None:
        try:
            verify(data, profile, keys, charset=charset, today=today)
            verdict = "accepted"
        except ProtocolError as error:
            verdict = str(error)
    try:
        root = xmldoc.parse(data, charset)
    except ProtocolError as error:
        return Explained("", (), verdict, str(error))
    shown = tuple(_shown_keys(root))
    found = list(root.iter(f"{_D}Signature"))[:SIGNATURES_MAX]
    return Explained(str(root.tag), tuple(_signed(root, each, keys, shown) for each in found), verdict)


def first_difference(one: bytes, other: bytes) -> int | None:
    """The index of the first byte in which two texts differ (the length of the shorter if one begins the other)."""
    if one == other:
        return None
    return next((n for n, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))


def embedded(data: bytes, charset: Charset = UTF8) -> list[tuple[str, bytes]]:
    """XML documents that a message carries in base64, as (path of the element, document): signatures within."""
    try:
        root = xmldoc.parse(data, charset)
    except ProtocolError:
        return []
    found = []
    for element in root.iter():
        text = element.text or ""
        if len(element) or len(text) < 64:
            continue
        inner = _base64(text)
        if inner is not None and inner.lstrip()[:1] == b"<":
            found.append((_path(element), inner))
    return found


def _signed(
    root: etree._Element, signature: etree._Element, keys: Sequence[PinnedKey], shown: Sequence[PinnedKey]
) -> Signed:
    path, info = _path(signature), signature.find(f"{_D}SignedInfo")
    if info is None:
        return Signed(path, "", "", None, (), (), "it has no SignedInfo")
    c14n, method = _named(info, "CanonicalizationMethod"), _named(info, "SignatureMethod")
    octets = _octets(info, _COMMENTS.get(c14n, c14n))
    value = _base64(signature.findtext(f"{_D}SignatureValue") or "")
    signers: tuple[str, ...] = ()
    if octets is not None and value is not None and method in HASH_OF:
        signers = (
            *(f"pinned {key.fingerprint}" for key in keys if _fits(key.public, value, octets, method)),
            *(f"shown {key.fingerprint}" for key in shown if _fits(key.public, value, octets, method)),
        )
    references = info.findall(f"{_D}Reference")[:REFERENCES_MAX]
    note = "" if octets is not None else f"canonical form {c14n!r} is not carried out"
    return Signed(path, c14n, method, octets, signers, tuple(_covered(root, signature, each) for each in references),
                  note)  # fmt: skip


def _covered(root: etree._Element, signature: etree._Element, reference: etree._Element) -> Covered:
    uri, method = reference.get("URI"), _named(reference, "DigestMethod")
    transforms = tuple(str(one.get("Algorithm")) for one in reference.iterfind(f"{_D}Transforms/{_D}Transform"))
    stated = _base64(reference.findtext(f"{_D}DigestValue") or "") or b""
    blank = Covered(str(uri), transforms, method, stated.hex(), "", None)
    if method not in HASH_OF:
        return _noted(blank, f"digest method {method!r} is not carried out")
    target = _target(root, uri)
    if isinstance(target, str):
        return _noted(blank, target)
    steps = [_COMMENTS.get(one, one) for one in transforms]
    if any(one not in (ENVELOPED, C14N, EXC_C14N) for one in steps) or len(steps) > 4:
        return _noted(blank, "a transform that is not carried out")
    form = next((one for one in reversed(steps) if one != ENVELOPED), C14N)
    octets = _reading(root, signature, target, ENVELOPED in steps, form)
    if octets is None:
        return _noted(blank, "no canonical form exists")
    actual = _hash(method, octets)
    fits_if: tuple[str, ...] = ()
    if actual != stated.hex():
        others = _other_readings(root, signature, target, ENVELOPED in steps, form)
        fits_if = tuple(what for what, other in others if _hash(method, other) == stated.hex())
    return Covered(str(uri), transforms, method, stated.hex(), actual, octets, "", fits_if)


def _noted(covered: Covered, note: str) -> Covered:
    return Covered(covered.uri, covered.transforms, covered.digest, covered.expected, "", None, note)


def _target(root: etree._Element, uri: str | None) -> etree._Element | str:
    if uri == "":
        return root
    if uri is None or not uri.startswith("#") or "(" in uri:
        return f"reference {uri!r} is neither to the document nor to an id; nothing outside is looked at"
    wanted = uri[1:]
    found = [
        one for one in root.iter()
        if any(text == wanted and etree.QName(str(name)).localname.lower() == "id" for name, text in one.attrib.items())
    ]  # fmt: skip
    if len(found) != 1:
        return f"{len(found)} elements carry the id {wanted!r}"
    return found[0]


def _reading(
    root: etree._Element, signature: etree._Element, target: etree._Element, enveloped: bool, form: str
) -> bytes | None:
    """The octets of `target` in a copy of the document, so that taking a signature out changes nothing here."""
    at, place = _place(root, target), _place(root, signature)
    copy = etree.fromstring(etree.tostring(root, encoding="utf-8"))
    chosen, taken = _go(copy, at), _go(copy, place)
    if enveloped:
        if chosen is not copy and not any(one is chosen for one in taken.iterancestors()):
            return None
        take_out(taken)
    return _octets(chosen, form)


def _other_readings(
    root: etree._Element, signature: etree._Element, target: etree._Element, enveloped: bool, form: str
) -> Iterator[tuple[str, bytes]]:
    """Readings that other software is known to make of the same document."""
    other_form = C14N if form == EXC_C14N else EXC_C14N
    plain = _reading(root, signature, target, enveloped, form)
    other = _reading(root, signature, target, enveloped, other_form)
    kept = _reading(root, signature, target, not enveloped, form) if target is root else None
    if other is not None:
        yield f"the canonical form were {'inclusive' if other_form == C14N else 'exclusive'}", other
    if kept is not None:
        yield ("the signature were left in" if enveloped else "the signature were taken out"), kept
    for what, octets in (("", plain), ("and the other canonical form", other)):
        if octets is None:
            continue
        tail = f", {what}" if what else ""
        yield f"its line ends were CR LF{tail}", octets.replace(b"\n", b"&#xD;\n")
        yield f"its carriage returns were gone{tail}", octets.replace(b"&#xD;", b"")
        yield f"the blanks between its elements were gone{tail}", _without_blanks(octets)
        yield f"it ended with a line break{tail}", octets + b"\n"
        yield f"it had an XML declaration{tail}", b'<?xml version="1.0" encoding="UTF-8"?>' + octets


def _without_blanks(octets: bytes) -> bytes:
    root = etree.fromstring(octets)
    for element in root.iter():
        if len(element) and not (element.text or "").strip():
            element.text = None
        if element.tail and not element.tail.strip():
            element.tail = None
    return _octets(root, C14N) or b""


def _place(root: etree._Element, element: etree._Element) -> tuple[int, ...]:
    """Child numbers from the root down: the same element in a copy."""
    steps: list[int] = []
    while element is not root:
        parent = element.getparent()
        assert parent is not None
        steps.append(parent.index(element))
        element = parent
    return tuple(reversed(steps))


def _go(root: etree._Element, place: tuple[int, ...]) -> etree._Element:
    for number in place:
        root = root[number]
    return root


def _octets(element: etree._Element, form: str) -> bytes | None:
    if form not in (C14N, EXC_C14N):
        return None
    try:
        return element_octets(element, form)
    except ProtocolError:
        return None


def _named(parent: etree._Element, name: str) -> str:
    found = parent.find(f"{_D}{name}")
    return "" if found is None else str(found.get("Algorithm"))


def _hash(method: str, octets: bytes) -> str:
    return hashlib.new(HASH_OF[method], octets).hexdigest()


def _fits(key: RSAPublicKey, value: bytes, octets: bytes, method: str) -> bool:
    try:
        key.verify(value, octets, padding.PKCS1v15(), HASHES[HASH_OF[method]])
    except InvalidSignature:
        return False
    return True


def _shown_keys(root: etree._Element) -> Iterator[PinnedKey]:
    seen: set[str] = set()
    for element in root.iter():
        name = etree.QName(str(element.tag)).localname
        if name not in ("X509Certificate", _TOKENS) or len(seen) >= SIGNATURES_MAX:
            continue
        der = _base64(element.text or "")
        try:
            public = load_der_x509_certificate(der or b"").public_key()
            key = PinnedKey.of(public) if isinstance(public, RSAPublicKey) else None
        except (ValueError, ProtocolError):
            continue
        if key is not None and spki_fingerprint(public) not in seen:
            seen.add(key.fingerprint)
            yield key


def _path(element: etree._Element) -> str:
    names = [etree.QName(str(one.tag)).localname for one in (element, *element.iterancestors())]
    return "/" + "/".join(reversed(names))


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
