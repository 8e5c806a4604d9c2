"""A report for people about a signed message: what was signed, what each reference covers, and why verification fails.

`explain` trusts nothing and resolves nothing outside the message: a reference that is neither "" nor "#id", or a
transform other than the enveloped one and the four canonical forms, is named and not carried out. Whether
a message counts is decided by `verify` alone; its result is in the report too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from asn1crypto.algos import DigestInfo
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import Certificate, InvalidVersion, load_der_x509_certificate
from lxml import etree

from protocols.kit import xmldoc
from protocols.kit.charset import UTF8, Charset
from protocols.kit.dsig.canonical import WORK_MAX, element_octets, is_affordable
from protocols.kit.dsig.key import PinnedKey, spki_fingerprint
from protocols.kit.dsig.profile import C14N, DS, ENVELOPED, EXC_C14N, HASH_OF, SignatureProfile
from protocols.kit.dsig.verify import HASHES, take_out, verify
from protocols.kit.errors import ProtocolError

_D: Final = f"{{{DS}}}"
_COMMENTS: Final = {C14N + "#WithComments": C14N, EXC_C14N + "WithComments": EXC_C14N}
_TOKENS: Final = "BinarySecurityToken"
# One signature value in 256 begins with the octet of "<". A document has no control characters, a signature value has.
_BEGINS_XML: Final = re.compile(rb"\s*<[?!A-Za-z_:\x80-\xff]")
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
SIGNATURES_MAX: Final = 8
REFERENCES_MAX: Final = 16
MAX_BYTES: Final = 16_777_216
"""Larger bounds than those for verifying, because people look at refused messages and no payment waits
for the report.
"""
_NODES_MAX: Final = 500_000
_WORK_MAX: Final = 20 * WORK_MAX
"""Each canonical form of a report may take about 0.2 s; one reference needs up to a dozen of them."""
STRONG_BITS: Final = 2048
UNCOVERED_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class CoveredReference:
    """One reference of a signature. `octets` are the octets that it covers by our reading; None if it was not
    evaluated, and `note` says why.

    `path` is the place of the covered element; `later` is the number of later signatures that were removed first,
    because each later signer adds a signature. `expected` is the digest that the message states, `actual` that of
    `octets`, both in hexadecimal. `fits_if` names the change of the octets with which the stated digest would be
    theirs: a hint at the cause of a wrong digest.
    """

    uri: str
    transforms: tuple[str, ...]
    digest: str
    expected: str
    actual: str
    octets: bytes | None
    note: str = ""
    fits_if: tuple[str, ...] = ()
    path: str = ""
    later: int = 0

    @property
    def fits(self) -> bool:
        """Whether the stated digest is that of the octets."""
        return bool(self.actual) and self.actual == self.expected


@dataclass(frozen=True, slots=True)
class ExplainedSignature:
    """One signature: the octets that its RSA value signs, its possible signers, and its references.

    `signers` are the keys under which the value verifies: pinned ones by "pinned" and SPKI fingerprint, keys that the
    message itself shows by "shown" (these only show who claims to have signed). `meant` are keys that made the value
    over other octets. `weak` names algorithms that no bank should use any more.
    """

    path: str
    c14n: str
    method: str
    octets: bytes | None
    signers: tuple[str, ...]
    covered: tuple[CoveredReference, ...]
    note: str = ""
    meant: tuple[SignedOtherOctets, ...] = ()
    weak: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignedOtherOctets:
    """Proof that `signer` made a value over other octets than ours: the digest inside the value, beside our digest.

    `fits_if` as in `CoveredReference`.
    """

    signer: str
    digest: str
    stated: str
    ours: str
    fits_if: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """A certificate inside the message. It is a claim of the sender, not a proof. The days are its first and last valid
    ones."""

    key: PinnedKey
    subject: str
    serial: int
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """The report on a message's signatures. `verdict` is the result of `verify`: "accepted", its refusal, or "" without
    a profile.

    `uncovered` are the elements that no reference covers, except signatures and their parts: if a signed element was
    moved aside, this is the element that took its place.
    """

    root: str
    signatures: tuple[ExplainedSignature, ...]
    verdict: str = ""
    refused: str = ""
    shown: tuple[ShownCertificate, ...] = ()
    uncovered: tuple[str, ...] = ()


def explain(
    data: bytes,
    profile: SignatureProfile | None = None,
    keys: Sequence[PinnedKey] = (),
    *,
    charset: Charset = UTF8,
    today: date | None = None,
) -> SignatureReport:
    """Everything about the signatures of a message, valid or not. Never raises for the message's content.

    With a `profile` and pinned `keys` the report also has the result of `verify`.
    """
    verdict = ""
    if profile is not None:
        try:
            verify(data, profile, keys, charset=charset, today=today)
            verdict = "accepted"
        except ProtocolError as error:
            verdict = str(error)
    try:
        root = xmldoc.parse(data, charset, max_bytes=MAX_BYTES, max_nodes=_NODES_MAX)
    except ProtocolError as error:
        return SignatureReport("", (), verdict, str(error))
    shown = shown_certificates(_base64(one.text or "") or b"" for one in root.iter() if _shows_certificate(one))
    found = list(root.iter(f"{_D}Signature"))[:SIGNATURES_MAX]
    signatures = tuple(_signed(root, each, keys, [one.key for one in shown]) for each in found)
    uncovered = tuple(_uncovered(root, found))[:UNCOVERED_MAX]
    return SignatureReport(str(root.tag), signatures, verdict, "", shown, uncovered)


def first_difference(one: bytes, other: bytes) -> int | None:
    """The index of the first byte that differs; the length of the shorter text if it begins the other."""
    if one == other:
        return None
    return next((n for n, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))


def embedded(data: bytes, charset: Charset = UTF8) -> list[tuple[str, bytes]]:
    """XML documents that a message carries in base64, as (path of the element, document). They may contain
    signatures."""
    try:
        root = xmldoc.parse(data, charset, max_bytes=MAX_BYTES, max_nodes=_NODES_MAX)
    except ProtocolError:
        return []
    found = []
    for element in root.iter():
        text = element.text or ""
        if len(element) or len(text) < 64:
            continue
        inner = _base64(text)
        if inner is not None and _BEGINS_XML.match(inner) and not _CONTROLS.search(inner):
            found.append((_path(element), inner))
    return found


def _signed(
    root: etree._Element, signature: etree._Element, keys: Sequence[PinnedKey], shown: Sequence[PinnedKey]
) -> ExplainedSignature:
    path, info = _path(signature), signature.find(f"{_D}SignedInfo")
    if info is None:
        return ExplainedSignature(path, "", "", None, (), (), "it has no SignedInfo")
    c14n, method = _named(info, "CanonicalizationMethod"), _named(info, "SignatureMethod")
    octets = _octets(info, _COMMENTS.get(c14n, c14n))
    value = _base64(signature.findtext(f"{_D}SignatureValue") or "")
    signers: tuple[str, ...] = ()
    meant: tuple[SignedOtherOctets, ...] = ()
    if octets is not None and value is not None and method in HASH_OF:
        signers, meant = who_signed(value, octets, HASH_OF[method], keys, shown)
        other = _octets(info, EXC_C14N if c14n.startswith(C14N) else C14N)
        readings = (("the other canonical form were taken", other or b""), *_variants(octets, other))
        meant = tuple(replace(one, fits_if=_clues(readings, one.digest, one.stated)) for one in meant)
    covered = tuple(_covered(root, signature, each) for each in info.findall(f"{_D}Reference")[:REFERENCES_MAX])
    note = "" if octets is not None else f"canonical form {c14n!r} is not carried out: unknown, or over the budget"
    if method not in HASH_OF:
        note = f"signature method {method!r} is not carried out"
    elif value is None:
        note = "its SignatureValue is not base64"
    used = [("the signature", method), *((f"reference {one.uri!r}", one.digest) for one in covered)]
    weak = (*weak_words(used), *weak_keys(signers, [*keys, *shown]))
    return ExplainedSignature(path, c14n, method, octets, signers, covered, note, meant, weak)


def who_signed(
    value: bytes, octets: bytes, hash_name: str, keys: Sequence[PinnedKey], shown: Sequence[PinnedKey]
) -> tuple[tuple[str, ...], tuple[SignedOtherOctets, ...]]:
    """The pinned or shown keys that made this value over `octets`, and those that made it over other octets.
    `hash_name` is "sha1" … "sha512"."""
    signers, meant = [], []
    ours = hashlib.new(hash_name, octets).hexdigest()
    trusted = {key.fingerprint for key in keys}
    named = [("pinned", key) for key in keys] + [("shown", key) for key in shown if key.fingerprint not in trusted]
    for word, key in named:
        if _fits(key.public, value, octets, hash_name):
            signers.append(f"{word} {key.fingerprint}")
        elif (inside := _inside(key.public, value)) is not None:
            meant.append(SignedOtherOctets(f"{word} {key.fingerprint}", *inside, ours))
    return tuple(signers), tuple(meant)


def weak_words(used: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Warnings about algorithms that are no longer secure. `used` has pairs of (where, name or address)."""
    for where, method in used:
        name = method.lower()
        for bad in ("md5", "sha1", "hmac"):
            if bad in name.replace("-1", "1"):
                yield f"{where} uses {bad.upper().replace('SHA1', 'SHA-1')}"


def weak_keys(signers: Sequence[str], keys: Iterable[PinnedKey]) -> Iterator[str]:
    """Warnings about keys that are too short and that made one of these signatures."""
    made = {one.partition(" ")[2] for one in signers}
    for key in {each.fingerprint: each for each in keys}.values():
        if key.fingerprint in made and key.public.key_size < STRONG_BITS:
            yield f"the key has {key.public.key_size} bits, fewer than {STRONG_BITS}"


def _covered(root: etree._Element, signature: etree._Element, reference: etree._Element) -> CoveredReference:
    uri, method = reference.get("URI"), _named(reference, "DigestMethod")
    transforms = tuple(str(one.get("Algorithm")) for one in reference.iterfind(f"{_D}Transforms/{_D}Transform"))
    stated = _base64(reference.findtext(f"{_D}DigestValue") or "") or b""
    blank = CoveredReference(str(uri), transforms, method, stated.hex(), "", None)
    if method not in HASH_OF:
        return _noted(blank, f"digest method {method!r} is not carried out")
    target = _target(root, uri)
    if isinstance(target, str):
        return _noted(blank, target)
    steps = [_COMMENTS.get(one, one) for one in transforms]
    if any(one not in (ENVELOPED, C14N, EXC_C14N) for one in steps) or len(steps) > 4:
        return _noted(blank, "a transform that is not carried out")
    form = next((one for one in reversed(steps) if one != ENVELOPED), C14N)
    enveloped, later = ENVELOPED in steps, _later(signature)
    blank = replace(blank, path=_path(target))
    octets = _reading(root, signature, target, enveloped, form, later if enveloped else [])
    if octets is None:
        return _noted(blank, "no canonical form exists, or none within the budget of a report")
    whole = _reading(root, signature, target, enveloped, form) if enveloped and later else None
    if whole is not None and _hash(method, octets) != stated.hex() == _hash(method, whole):
        octets, later = whole, []
    actual, taken = _hash(method, octets), len(later) if enveloped else 0
    found = replace(blank, actual=actual, octets=octets, later=taken)
    if found.fits:
        return found
    return replace(
        found, fits_if=_clues(_other_readings(root, signature, target, enveloped, form), method, stated.hex())
    )


def _later(signature: etree._Element) -> list[etree._Element]:
    """The signatures that were made after this one. This one does not cover them."""
    return list(signature.itersiblings(f"{_D}Signature"))


def _clues(readings: Iterable[tuple[str, bytes]], method: str, stated: str) -> tuple[str, ...]:
    return tuple(what for what, octets in readings if _hash(method, octets) == stated)


def _noted(covered: CoveredReference, note: str) -> CoveredReference:
    return replace(covered, note=note)


def _target(root: etree._Element, uri: str | None) -> etree._Element | str:
    if uri == "":
        return root
    if uri is None or not uri.startswith("#") or "(" in uri:
        return f"reference {uri!r} is neither to the document nor to an id; nothing outside is looked at"
    wanted = uri[1:]
    found = [
        one
        for one in root.iter()
        if any(text == wanted and etree.QName(str(name)).localname.lower() == "id" for name, text in one.attrib.items())
    ]
    if len(found) != 1:
        return f"{len(found)} elements carry the id {wanted!r}"
    return found[0]


def _reading(
    root: etree._Element,
    signature: etree._Element,
    target: etree._Element,
    enveloped: bool,
    form: str,
    also: Sequence[etree._Element] = (),
) -> bytes | None:
    """The octets of `target` in the canonical form `form`, from a copy of the document, because taking a signature out
    changes it."""
    at, places = _place(root, target), [_place(root, one) for one in (signature, *also)]
    copy = etree.fromstring(etree.tostring(root, encoding="utf-8"))
    chosen, (taken, *others) = _go(copy, at), [_go(copy, place) for place in places]
    if enveloped:
        if chosen is not copy and not any(one is chosen for one in taken.iterancestors()):
            return None
        for one in (taken, *others):
            take_out(one)
    return _octets(chosen, form)


def _other_readings(
    root: etree._Element, signature: etree._Element, target: etree._Element, enveloped: bool, form: str
) -> Iterator[tuple[str, bytes]]:
    """The octets that other software is known to read as `target` in the same document."""
    other_form = C14N if form == EXC_C14N else EXC_C14N
    plain = _reading(root, signature, target, enveloped, form)
    other = _reading(root, signature, target, enveloped, other_form)
    kept = _reading(root, signature, target, not enveloped, form) if target is root else None
    if other is not None:
        yield f"the canonical form were {'inclusive' if other_form == C14N else 'exclusive'}", other
    if kept is not None:
        yield ("the signature were left in" if enveloped else "the signature were taken out"), kept
    yield from _variants(plain, other)


def _variants(plain: bytes | None, other: bytes | None) -> Iterator[tuple[str, bytes]]:
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
    """The child numbers from the root down to the element, by which the same element is found in a copy."""
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
    if form not in (C14N, EXC_C14N) or not is_affordable(element.getroottree().getroot(), (form,), _WORK_MAX):
        return None
    try:
        return element_octets(element, form)
    except ProtocolError:
        return None


def _named(parent: etree._Element, name: str) -> str:
    found = parent.find(f"{_D}{name}")
    return "" if found is None else str(found.get("Algorithm"))


def _hash(method: str, octets: bytes) -> str:
    name = HASH_OF.get(method, method)
    return hashlib.new(name, octets).hexdigest() if name in HASHES else ""


def _fits(key: RSAPublicKey, value: bytes, octets: bytes, hash_name: str) -> bool:
    try:
        key.verify(value, octets, padding.PKCS1v15(), HASHES[hash_name])
    except InvalidSignature:
        return False
    return True


def _inside(key: RSAPublicKey, value: bytes) -> tuple[str, str] | None:
    """The hash's name and the digest that the owner of `key` signed; None if another key made this value."""
    try:
        info = DigestInfo.load(key.recover_data_from_signature(value, padding.PKCS1v15(), None), strict=True)
        return str(info["digest_algorithm"]["algorithm"].native), bytes(info["digest"].native).hex()
    except (InvalidSignature, ValueError, TypeError, KeyError):
        # asn1crypto raises the last three. A value without a DigestInfo inside was not made by this key.
        return None


def _shows_certificate(element: etree._Element) -> bool:
    return etree.QName(str(element.tag)).localname in ("X509Certificate", _TOKENS)


def shown_certificates(ders: Iterable[bytes]) -> tuple[ShownCertificate, ...]:
    """The certificates with RSA keys among these, each once, and at most the first few."""
    found: dict[str, ShownCertificate] = {}
    for der in ders:
        try:
            certificate = load_der_x509_certificate(der)
            public = certificate.public_key()
            if isinstance(public, RSAPublicKey):
                found.setdefault(spki_fingerprint(public), _shown(certificate, PinnedKey.of(public)))
        except (ValueError, InvalidVersion, UnsupportedAlgorithm, ProtocolError):
            continue
        if len(found) >= SIGNATURES_MAX:
            break
    return tuple(found.values())


def _shown(certificate: Certificate, key: PinnedKey) -> ShownCertificate:
    first, last = certificate.not_valid_before_utc.date(), certificate.not_valid_after_utc.date()
    return ShownCertificate(key, certificate.subject.rfc4514_string(), certificate.serial_number, first, last)


def _uncovered(root: etree._Element, signatures: Sequence[etree._Element]) -> Iterator[str]:
    """The outermost elements that no reference covers. Elements that hold only a signature and its token are left
    out."""
    targets = [
        _target(root, reference.get("URI"))
        for one in signatures
        for reference in one.iterfind(f"{_D}SignedInfo/{_D}Reference")
    ]
    covered = [one for one in targets if not isinstance(one, str)]
    around = {above for one in (*covered, *signatures) for above in one.iterancestors()}
    done, waiting = {*covered, *signatures}, [root] if signatures else []
    while waiting:
        one = waiting.pop()
        if one in done or etree.QName(str(one.tag)).localname == _TOKENS:
            continue
        if one in around:
            waiting.extend(reversed(one))
        elif len(one) or (one.text or "").strip() or one.attrib:
            yield _path(one)


def _path(element: etree._Element) -> str:
    return "/" + "/".join(reversed([_step(one) for one in (element, *element.iterancestors())]))


def _step(element: etree._Element) -> str:
    """The element's name, and its number among those of this name."""
    name, parent = etree.QName(str(element.tag)).localname, element.getparent()
    same = [] if parent is None else [one for one in parent if etree.QName(str(one.tag)).localname == name]
    return name if len(same) < 2 else f"{name}[{same.index(element) + 1}]"


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
