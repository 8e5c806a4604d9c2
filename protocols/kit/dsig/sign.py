"""Making a signature in three steps: the octets to sign, signing them elsewhere, the finished document."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from lxml import etree

from protocols.canon.fast_init import fast_init
from protocols.kit import xmldoc
from protocols.kit.charset import UTF8, Charset
from protocols.kit.dsig import gate
from protocols.kit.dsig.canonical import element_octets
from protocols.kit.dsig.profile import (
    DS,
    EXC_C14N,
    EXCLUSIVE,
    ById,
    Enveloped,
    SignatureProfile,
    canonical_method,
    digest_of,
)
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Content, Markup, el

_BLANKS: Final = b" \t\r\n"
_HEAD: Final = f'<?xml version="1.0" encoding="{UTF8.name}"?>'.encode("ascii")


@fast_init
@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that lacks only its signature value, and perhaps its KeyInfo.

    `octets`: the canonical SignedInfo, which is signed. The rest is the document in the bank's charset in three parts:
    up to the signature value, from there to the place of KeyInfo, and from there on.
    """

    octets: bytes
    before: bytes
    between: bytes
    after: bytes


def prepare(
    document: bytes | etree._Element,
    profile: SignatureProfile,
    *,
    charset: Charset = UTF8,
    declaration: str | None = None,
    max_bytes: int = xmldoc.MAX_BYTES,
) -> Prepared:
    """Prepares all of the signature except its value, for a `document` without a signature.

    `document` is a tree, or bytes in `charset`; the result is in `charset`, and bytes stay as they are where the
    signature goes to their end. Elements referenced by id must carry
    their ids already. `declaration` is as in `xmldoc.build`. Raises ProtocolError if the document does not fit the
    profile or holds a signature already.
    """
    if isinstance(document, bytes):
        root = xmldoc.parse(document, charset, max_bytes=max_bytes)
    else:
        root = xmldoc.parse(etree.tostring(document, encoding="utf-8"), UTF8, max_bytes=max_bytes)
    _only_earlier_signatures(root, profile)
    targets = [gate.target_of(root, reference) for reference in profile.references]
    uris = tuple(map(_uri, targets, profile.references))
    digests = tuple(map(_digest, targets, profile.references))
    head = f'<?xml version="1.0" encoding="{charset.name}"?>' if declaration is None else declaration
    *above, _ = xmldoc.steps(profile.signature_path)
    if profile.c14n in EXCLUSIVE and len(above) == 1 and not profile.signature_first and isinstance(document, bytes):
        gate.at(root, above[0])
        quick = _at_the_end(document, charset, head, _template(profile, uris), digests)
        if quick is not None:
            return quick
    return _in_the_tree(root, "/".join(above), profile, charset, head, (uris, digests))


def prepare_canonical(document: str, profile: SignatureProfile) -> Prepared:
    """As `prepare`, for a UTF-8 document in its own exclusive canonical form. Nothing is parsed.

    The caller guarantees the form (see `xmldoc.canonical`), and its tests compare it with the canonicaliser. If the
    form were wrong, the bank would refuse the signature, and no other payment could result. The profile must be of one
    enveloped signature at the end of the document.
    """
    frame = _frame(profile)
    if not document.startswith(frame.begin) or not document.endswith(frame.end):
        raise ProtocolError("structure", f"the document to be signed is not a {frame.end[2:-1]}")
    octets = UTF8.encode(document)
    if DS in document:
        # The name stands in a text or in a signature; only the tree can distinguish them.
        return prepare(octets, profile)
    value = base64.b64encode(digest_of(frame.method, octets))
    end = len(frame.end)
    return Prepared(
        value.join(frame.octets), b"".join((_HEAD, octets[:-end], value.join(frame.before))), frame.between, frame.after
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """The octets that `prepare_canonical` writes around any document and its digest, and the required form of the
    document.

    `octets` and `before` are cut at the place of the digest; `method` makes the digest.
    """

    begin: str
    end: str
    method: str
    octets: tuple[bytes, bytes]
    before: tuple[bytes, bytes]
    between: bytes
    after: bytes


@lru_cache(maxsize=256)
def _frame(profile: SignatureProfile) -> _Frame:
    *above, _ = xmldoc.steps(profile.signature_path)
    method = profile.references[0].digest
    plain = len(above) == 1 and profile.references == (Enveloped(digest=method),)
    assert plain and profile.c14n == EXC_C14N and not (profile.signature_first or profile.earlier), profile.name
    name = above[0].rpartition("}")[2]
    template, end = _template(profile, ("",)), f"</{name}>"
    signed, _, signed_rest = template.octets.encode("utf-8").partition(_HOLE.encode("utf-8"))
    before, _, before_rest = template.before.encode("utf-8").partition(_HOLE.encode("utf-8"))
    return _Frame(
        f"<{name} ",
        end,
        method,
        (signed, signed_rest),
        (before, before_rest),
        template.between,
        template.after + end.encode("utf-8"),
    )


def _in_the_tree(
    root: etree._Element,
    above: str,
    profile: SignatureProfile,
    charset: Charset,
    head: str,
    signed: tuple[tuple[str, ...], tuple[str, ...]],
) -> Prepared:
    """Put the signature at its path in the tree, and write the whole document from the tree."""
    hole = _unused_mark(root)
    signature = etree.fromstring(_signature_text(profile, *signed, hole))
    parent = gate.at(root, above)
    parent.insert(0 if profile.signature_first else len(parent), signature)
    octets = element_octets(signature[0], profile.c14n)
    before, _, rest = str(etree.tostring(root, encoding="unicode")).partition(hole)
    value_end = rest.index(">") + 1
    return Prepared(
        octets, charset.encode(head + before), charset.encode(rest[:value_end]), charset.encode(rest[value_end:])
    )


@dataclass(frozen=True, slots=True)
class _Template:
    """A profile's signature with placeholders for the digests: the part that is signed, and the parts around the value.

    The exclusive canonical form of SignedInfo does not depend on the document, so it is made once.
    """

    octets: str
    before: str
    between: bytes
    after: bytes


_HOLE: Final = "\ue000"


@lru_cache(maxsize=256)
def _template(profile: SignatureProfile, uris: tuple[str, ...]) -> _Template:
    signature = etree.fromstring(_signature_text(profile, uris, (_HOLE,) * len(uris), _HOLE * 2))
    text = str(etree.tostring(signature, encoding="unicode"))
    octets = element_octets(signature[0], EXC_C14N).decode("utf-8")
    before, _, rest = text.partition(_HOLE * 2)
    value_end = rest.index(">") + 1
    return _Template(octets, before, rest[:value_end].encode("ascii"), rest[value_end:].encode("ascii"))


def _at_the_end(
    document: bytes, charset: Charset, head: str, template: _Template, digests: tuple[str, ...]
) -> Prepared | None:
    """Put the signature before the end tag of the document's octets; None if the end of the document is not that
    simple."""
    whole = document.strip(_BLANKS)
    if whole.startswith(b"<?xml"):
        whole = whole[whole.index(b"?>") + 2 :].lstrip(_BLANKS)
    end = whole.rfind(b"</")
    if end < 0 or b">" in whole[end:-1]:
        return None
    octets, before = template.octets, template.before
    for digest in digests:
        octets, before = octets.replace(_HOLE, digest, 1), before.replace(_HOLE, digest, 1)
    return Prepared(
        octets.encode("utf-8"),
        b"".join((charset.encode(head), whole[:end], before.encode("ascii"))),
        template.between,
        template.after + whole[end:],
    )


def _only_earlier_signatures(root: etree._Element, profile: SignatureProfile) -> None:
    everywhere = list(root.iter(f"{{{DS}}}Signature"))
    inside = sum(sum(1 for _ in one.iter(f"{{{DS}}}*")) for one in everywhere)
    if len(everywhere) != profile.earlier or sum(1 for _ in root.iter(f"{{{DS}}}*")) != inside:
        raise ProtocolError("structure", "the document to be signed holds signature elements already")


def attach(prepared: Prepared, signature: bytes, key_info: str = "") -> bytes:
    """The finished document with a signature over `prepared.octets`; `key_info`: the result of `key_info()`."""
    assert signature, "an empty signature"
    value, info = base64.b64encode(signature), key_info.encode("ascii")
    return b"".join((prepared.before, value, prepared.between, info, prepared.after))


def key_info(profile: SignatureProfile, *children: Markup) -> Markup:
    """A KeyInfo element for `attach`. Its children must declare their own namespaces."""
    return _ds(profile, "KeyInfo", _namespace(profile), *children)


def x509_key_info(profile: SignatureProfile, certificates: Iterable[Certificate]) -> Markup:
    """A KeyInfo with the signer's certificates, for banks that want to see them."""
    shown = (base64.b64encode(each.public_bytes(Encoding.DER)).decode("ascii") for each in certificates)
    return key_info(profile, _ds(profile, "X509Data", *(_ds(profile, "X509Certificate", one) for one in shown)))


def _unused_mark(root: etree._Element) -> str:
    # A private-use character stands where the signature value will be; the document must not hold the same.
    mark, content = "\ue000", str(etree.tostring(root, encoding="unicode"))
    while mark in content:
        mark += "\ue000"
    return mark


def _signature_text(profile: SignatureProfile, uris: tuple[str, ...], digests: tuple[str, ...], value: str) -> Markup:
    return _ds(
        profile,
        "Signature",
        _namespace(profile),
        _ds(
            profile,
            "SignedInfo",
            _ds(profile, "CanonicalizationMethod", {"Algorithm": profile.c14n}),
            _ds(profile, "SignatureMethod", {"Algorithm": profile.signature_method}),
            *(_reference_text(profile, *parts) for parts in zip(profile.references, uris, digests, strict=True)),
        ),
        _ds(profile, "SignatureValue", value),
    )


def _uri(target: etree._Element, reference: Enveloped | ById) -> str:
    return "" if isinstance(reference, Enveloped) else f"#{gate.id_of(target, reference)}"


def _digest(target: etree._Element, reference: Enveloped | ById) -> str:
    octets = element_octets(target, canonical_method(reference.transforms))
    return base64.b64encode(digest_of(reference.digest, octets)).decode("ascii")


def _reference_text(profile: SignatureProfile, reference: Enveloped | ById, uri: str, digest: str) -> Markup:
    transforms = [_ds(profile, "Transform", {"Algorithm": each}) for each in reference.transforms]
    return _ds(
        profile,
        "Reference",
        {"URI": uri},
        _ds(profile, "Transforms", *transforms) if transforms else None,
        _ds(profile, "DigestMethod", {"Algorithm": reference.digest}),
        _ds(profile, "DigestValue", digest),
    )


def _namespace(profile: SignatureProfile) -> dict[str, str]:
    return {f"xmlns:{profile.prefix}" if profile.prefix else "xmlns": DS}


def _ds(profile: SignatureProfile, name: str, *content: Content) -> Markup:
    return el(f"{profile.prefix}:{name}" if profile.prefix else name, *content)
