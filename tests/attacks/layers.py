"""Finds each document in an answer's bytes, and replaces it by another so that lengths and envelopes around it fit.

Lengths in headers, Base64, GZIP, a CMS and, where the bank signs what lies around, the signature are made good: an
attack must be stopped by whoever reads the document, not by a length that is one off. No bank is known here.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from asn1crypto import cms as asn1

from protocols.kit import cms, dsig
from protocols.kit.errors import ProtocolError
from tests.attacks.document import Document
from tests.protocols.kit.signing import KeyPair

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{40}[A-Za-z0-9+/=\r\n]*")
_HTTP_LENGTH = re.compile(rb"(?i)(content-length:\s*)(\d+)")
_SIGNATURE = re.compile(rb"<(?:\w+:)?Signature\b.*?</(?:\w+:)?Signature>", re.DOTALL)
_PADDED = re.compile(rb"\b([1-9]\d{1,8}) +$")
Sign = Callable[[bytes], bytes]
Put = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Spot:
    """A document in an answer. `put` gives the whole answer with other bytes in its place.

    `authentic`: the bank's own key signs whatever is put here. `packed`: what is put here is compressed. `exact`: a
    signature that was not made anew covers its very bytes, blanks and all.
    """

    document: Document
    put: Callable[[bytes], bytes]
    name: str
    authentic: bool = False
    packed: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Around:
    """The facts about an answer: the documents in it that are signed, their profiles, the bank's key, and amounts in
    minor units."""

    profiles: Mapping[bytes, dsig.SignatureProfile]
    key: KeyPair
    minor: frozenset[str]


def spots(answer: bytes, around: Around) -> Iterator[Spot]:
    """Every document in an answer, the outermost first."""
    first = _beginning(answer)
    if first is None:
        for number, found in enumerate(_BASE64.finditer(answer)):
            yield from _inside(found.group(), around, f"base64 {number}", partial(_framed, answer, *found.span()))
        return
    last = answer.rindex(b">") + 1
    yield from _documents(answer[first:last], lambda new: _framed(answer, first, last, new), around, "document")


def _documents(
    data: bytes,
    put: Put,
    around: Around,
    name: str,
    *,
    packed: bool = False,
    authentic: bool = False,
    exact: bool = False,
) -> Iterator[Spot]:
    document = Document.of(data, around.minor)
    yield Spot(document, put, name, packed=packed, authentic=authentic, exact=exact)
    profile, signed_put = around.profiles.get(data), put
    if profile is not None:
        signed_put = lambda new: put(resigned(new, profile, around.key.sign))  # noqa: E731
        yield Spot(document, signed_put, f"{name}, signed anew", authentic=True, packed=packed)
    for number, found in enumerate(_BASE64.finditer(data)):
        start, end = found.span()
        inner = lambda new, a=start, b=end: signed_put(data[:a] + new + data[b:])  # noqa: E731
        yield from _inside(found.group(), around, f"{name} / base64 {number}", inner, profile is not None)


def _inside(text: bytes, around: Around, name: str, put: Put, authentic: bool = False) -> Iterator[Spot]:
    """The documents in a run of Base64: plain, packed, or wrapped in a signature; `put` takes new Base64."""
    plain, packed = _unpacked(text)
    found = re.search(rb"\r?\n", text.strip())
    line_end = found.group() if found else b""

    def encoded(new: bytes) -> bytes:
        whole = base64.b64encode(gzip.compress(new, 6, mtime=0) if packed else new)
        if not line_end:
            return put(whole)
        return put(b"".join(whole[at : at + 76] + line_end for at in range(0, len(whole), 76)))

    if len(text) >= 200 and _is_document(plain):
        yield from _documents(plain, encoded, around, name, packed=packed, authentic=authentic)
    wrapped = _wrapped(plain, around)
    if wrapped is not None:
        content, certificate = wrapped
        signed = lambda new: encoded(_sealed(new, around.key.sign, certificate))  # noqa: E731
        swapped = lambda new: encoded(_swapped(plain, new))  # noqa: E731
        yield from _documents(content, swapped, around, f"{name} / CMS", exact=True)
        yield from _documents(content, signed, around, f"{name} / CMS, signed anew", authentic=True)


def _wrapped(der: bytes, around: Around) -> tuple[bytes, bytes] | None:
    """The document in a CMS that the bank signed, and the certificate that it shows."""
    try:
        content = cms.verify(der, [around.key.pin])
    except ProtocolError:
        return None
    shown: bytes = asn1.ContentInfo.load(der)["content"]["certificates"][0].chosen.dump()
    return (content, shown) if _is_document(content) else None


def _sealed(new: bytes, sign: Sign, certificate: bytes) -> bytes:
    # A document far beyond every limit need not be a readable CMS.
    return new if len(new) > 4 * cms.MAX_BYTES else cms.attach(new, sign(new), certificate, "sha256")


def _swapped(der: bytes, new: bytes) -> bytes:
    """The CMS with other content, but with the signature over the original content."""
    if len(new) > 4 * cms.MAX_BYTES:
        return der + new
    info = asn1.ContentInfo.load(der)
    info["content"]["encap_content_info"]["content"] = new
    whole: bytes = info.dump(force=True)
    return whole


def _beginning(answer: bytes) -> int | None:
    declared = answer.find(b"<?xml")
    if declared >= 0:
        return declared
    found = re.search(rb"<[A-Za-z]", answer)
    return None if found is None else found.start()


def _is_document(plain: bytes) -> bool:
    return re.match(rb"\s*<[?A-Za-z]", plain) is not None and plain.rstrip().endswith(b">")


def _unpacked(text: bytes) -> tuple[bytes, bool]:
    try:
        plain = base64.b64decode(b"".join(text.split()), validate=True)
        return (zlib.decompress(plain, 31), True) if plain[:2] == b"\x1f\x8b" else (plain, False)
    except (binascii.Error, zlib.error):
        return b"", False


def _framed(answer: bytes, first: int, last: int, new: bytes) -> bytes:
    """The answer with `new` in place of the old bytes, and the length in front corrected."""
    before, behind, grown = answer[:first], answer[last:], len(new) - (last - first)
    return _with_length(before, len(answer), grown) + new + behind


def _with_length(before: bytes, total: int, grown: int) -> bytes:
    """The bytes before a document that has grown, with their lengths corrected: HTTP's, and lengths padded with blanks
    or zeros.
    """
    if grown == 0:
        return before
    found = _HTTP_LENGTH.search(before)
    if found is not None:
        end = before.index(b"\r\n\r\n") + 4
        head, rest, new = before[:end], before[end:], b"%d" % (int(found.group(2)) + grown)
        return head[: found.start(2)] + new + head[found.end() :] + _with_length(rest, total - end, grown)
    lengths = range(total - len(before), total + 1)
    for padded in _PADDED.finditer(before):
        if int(padded.group(1)) in lengths:
            new = (b"%d" % (int(padded.group(1)) + grown)).ljust(len(padded.group()))
            return before[: padded.start()] + new + before[padded.end() :]
    for width in range(10, 3, -1):
        for length in lengths:
            digits = b"%0*d" % (width, length)
            if len(digits) == width and (at := before.find(digits)) >= 0:
                return before[:at] + b"%0*d" % (width, length + grown) + before[at + width :]
    return before


def resigned(data: bytes, profile: dsig.SignatureProfile, sign: Sign) -> bytes:
    """`data` with a fresh signature of the bank; unchanged where no signature of it can be made.

    Everything else stays byte for byte where the profile lets it.
    """
    try:
        prepared = dsig.prepare(_SIGNATURE.sub(b"", data), profile, declaration=_declaration(data))
    except ProtocolError:
        return data
    return dsig.attach(prepared, sign(prepared.octets))


def _declaration(data: bytes) -> str:
    found = re.match(rb"\s*<\?xml[^>]*\?>", data)
    return found.group().decode("ascii", "replace") if found else ""
