"""Making a signature in three steps: the octets to sign, signing them elsewhere, the finished document."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from lxml import etree

from protocols.kit import xmldoc
from protocols.kit.charset import UTF8, Charset
from protocols.kit.dsig import gate
from protocols.kit.dsig.canonical import element_octets
from protocols.kit.dsig.profile import DS, HASH_OF, ById, Enveloped, Profile, canonical_method
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Content, Markup, el


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that lacks only its signature value, and maybe its key info.

    `octets`: the canonical SignedInfo, which is what gets signed. The rest is the document in the bank's
    charset: up to the signature value, from there to the place of KeyInfo, and from there on.
    """

    octets: bytes
    before: bytes
    between: bytes
    after: bytes


def prepare(
    document: bytes | etree._Element,
    profile: Profile,
    *,
    charset: Charset = UTF8,
    declaration: str | None = None,
) -> Prepared:
    """Everything of the signature but its value, for a `document` that has none yet.

    `document` is a tree, or bytes in `charset`; the result is in `charset`. Elements referenced by id must carry
    their ids already. `declaration` is as in `xmldoc.build`. Raises ProtocolError if the document does not fit the
    profile or holds a signature already.
    """
    if isinstance(document, bytes):
        root = xmldoc.parse(document, charset)
    else:
        root = xmldoc.parse(etree.tostring(document, encoding="utf-8"), UTF8)
    if next(root.iter(f"{{{DS}}}*"), None) is not None:
        raise ProtocolError("structure", "the document to be signed holds signature elements already")
    hole = _unused_mark(root)
    signature = etree.fromstring(_signature_text(root, profile, hole))
    *above, _ = xmldoc.steps(profile.signature_path)
    parent = gate.at(root, "/".join(above))
    parent.insert(0 if profile.signature_first else len(parent), signature)
    octets = element_octets(signature[0], profile.c14n)
    head = f'<?xml version="1.0" encoding="{charset.name}"?>' if declaration is None else declaration
    before, _, rest = str(etree.tostring(root, encoding="unicode")).partition(hole)
    value_end = rest.index(">") + 1
    return Prepared(
        octets,
        charset.encode(head + before),
        charset.encode(rest[:value_end]),
        charset.encode(rest[value_end:]),
    )


def attach(prepared: Prepared, signature: bytes, key_info: str = "") -> bytes:
    """The finished document with a signature over `prepared.octets`; `key_info`: what `key_info()` gives."""
    assert signature, "an empty signature"
    value, info = base64.b64encode(signature), key_info.encode("ascii")
    return b"".join((prepared.before, value, prepared.between, info, prepared.after))


def key_info(profile: Profile, *children: Markup) -> Markup:
    """A KeyInfo element for `attach`; children bring their own namespaces."""
    return _ds(profile, "KeyInfo", _namespace(profile), *children)


def x509_key_info(profile: Profile, certificates: Iterable[Certificate]) -> Markup:
    """A KeyInfo with the signer's certificates, for banks that want to see them."""
    shown = (base64.b64encode(each.public_bytes(Encoding.DER)).decode("ascii") for each in certificates)
    return key_info(profile, _ds(profile, "X509Data", *(_ds(profile, "X509Certificate", one) for one in shown)))


def _unused_mark(root: etree._Element) -> str:
    # A private-use character stands where the signature value will be; the document must not hold the same.
    mark, content = "\ue000", str(etree.tostring(root, encoding="unicode"))
    while mark in content:
        mark += "\ue000"
    return mark


def _signature_text(root: etree._Element, profile: Profile, value: str) -> str:
    return _ds(
        profile,
        "Signature",
        _namespace(profile),
        _ds(
            profile,
            "SignedInfo",
            _ds(profile, "CanonicalizationMethod", {"Algorithm": profile.c14n}),
            _ds(profile, "SignatureMethod", {"Algorithm": profile.signature_method}),
            *(_reference_text(root, reference, profile) for reference in profile.references),
        ),
        _ds(profile, "SignatureValue", value),
    )


def _reference_text(root: etree._Element, reference: Enveloped | ById, profile: Profile) -> Markup:
    target = gate.target_of(root, reference)
    uri = "" if isinstance(reference, Enveloped) else f"#{gate.id_of(target, reference)}"
    octets = element_octets(target, canonical_method(reference.transforms))
    digest = base64.b64encode(hashlib.new(HASH_OF[reference.digest], octets).digest()).decode("ascii")
    transforms = [_ds(profile, "Transform", {"Algorithm": each}) for each in reference.transforms]
    return _ds(
        profile,
        "Reference",
        {"URI": uri},
        _ds(profile, "Transforms", *transforms) if transforms else None,
        _ds(profile, "DigestMethod", {"Algorithm": reference.digest}),
        _ds(profile, "DigestValue", digest),
    )


def _namespace(profile: Profile) -> dict[str, str]:
    return {f"xmlns:{profile.prefix}" if profile.prefix else "xmlns": DS}


def _ds(profile: Profile, name: str, *content: Content) -> Markup:
    return el(f"{profile.prefix}:{name}" if profile.prefix else name, *content)
