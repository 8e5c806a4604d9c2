"""Verifies a signed document against its profile and pinned keys. The result is exactly the signed part."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509 import InvalidVersion, load_der_x509_certificate
from lxml import etree

from protocols.canon.fast_init import fast_init
from protocols.kit import xmldoc
from protocols.kit.charset import UTF8, Charset
from protocols.kit.dsig import profile as words
from protocols.kit.dsig.canonical import ALWAYS, element_octets, is_affordable, octets_around
from protocols.kit.dsig.gate import SignatureParts, pass_gate
from protocols.kit.dsig.key import PinnedKey, spki_fingerprint
from protocols.kit.dsig.profile import (
    DS,
    ENVELOPED,
    HASH_OF,
    ById,
    Enveloped,
    SignatureProfile,
    canonical_method,
    digest_of,
)
from protocols.kit.dsig.stack import is_started, xmlsec_module
from protocols.kit.errors import ProtocolError

Engine = Literal["xmlsec", "hand"]
_CERTIFICATE_CHARS_MAX: Final = 16_384
_EXPLAINED_BYTES_MAX: Final = 65_536
"""The size up to which the content of a message that no pinned key signed is digested once, to find the error."""
_TRANSFORM_NAMES: Final = {
    words.EXC_C14N: "TransformExclC14N",
    words.C14N: "TransformInclC14N",
    words.EXC_C14N_COMMENTS: "TransformExclC14NWithComments",
    words.C14N_COMMENTS: "TransformInclC14NWithComments",
    words.ENVELOPED: "TransformEnveloped",
    words.SHA1: "TransformSha1",
    words.SHA256: "TransformSha256",
    words.SHA384: "TransformSha384",
    words.SHA512: "TransformSha512",
    words.RSA_SHA1: "TransformRsaSha1",
    words.RSA_SHA256: "TransformRsaSha256",
    words.RSA_SHA384: "TransformRsaSha384",
    words.RSA_SHA512: "TransformRsaSha512",
}
HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_PADDING: Final = padding.PKCS1v15()


@fast_init
@dataclass(frozen=True, slots=True)
class Verified:
    """The signed octets and the signer. No other part of the message may be trusted.

    `root`: the tree parsed anew from `canonical`, the very octets whose digest was signed for the profile's
    body reference. `parts`: the octets of every reference, in the profile's order. `key`: the pinned key
    that signed.
    """

    root: etree._Element
    canonical: bytes
    parts: tuple[bytes, ...]
    key: PinnedKey


def verify(
    data: bytes,
    profile: SignatureProfile,
    keys: PinnedKey | Sequence[PinnedKey],
    *,
    charset: Charset = UTF8,
    today: date | None = None,
    engine: Engine = "xmlsec",
    max_bytes: int = xmldoc.MAX_BYTES,
    max_nodes: int = xmldoc.MAX_NODES,
) -> Verified:
    """Checks `data` against the profile and the pinned `keys`. Raises ProtocolError with the reason if refused.

    The order of the checks: the document (`xmldoc.parse`), the structure of the signature, the value of SignedInfo
    under a pinned key of sufficient size, the cost of the canonical forms, our own digest of every signed element. So
    nobody without a pinned key can make us digest more than a small document. `today` is needed for profiles with
    SHA-1, and excludes keys outside the validity of their certificate. With the engine "xmlsec", xmlsec also verifies
    the whole signature; both engines make the same checks before and give the same answer.
    """
    assert is_started(), "call dsig.start() once before verifying"
    profile.require_day(today)
    usable = _usable((keys,) if isinstance(keys, PinnedKey) else keys, profile, today)
    root = xmldoc.parse(data, charset, max_bytes=max_bytes, max_nodes=max_nodes)
    gated = pass_gate(root, profile)
    # A declaration is written with the word "xmlns" (no document type could add one), and every charset here has ASCII
    # characters only where their own octets stand. So the octets hold the word at least as often as the tree declares.
    affordable = data.count(b"xmlns") <= ALWAYS or is_affordable(root, _methods(profile))
    is_small = affordable and len(data) <= _EXPLAINED_BYTES_MAX
    signer = _signer(gated, profile, usable)
    if signer is None:
        raise _refusal(gated, profile, usable, is_small)
    if not affordable:
        raise ProtocolError(
            "xml_limits", "too many namespaces for this number of elements: the canonical form is not computed"
        )
    if engine == "xmlsec" and not _by_xmlsec(gated, profile, signer):
        if is_small:
            _signed_parts(gated, profile)  # it names the reference
        raise ProtocolError("digest", f"profile {profile.name}: the signature covers other content")
    parts = _signed_parts(gated, profile)
    canonical = parts[profile.body]
    return Verified(xmldoc.parse_again(canonical, 4 * max_bytes), canonical, parts, signer)


def _usable(keys: Sequence[PinnedKey], profile: SignatureProfile, today: date | None) -> list[PinnedKey]:
    usable = [
        key for key in keys if key.public.key_size >= profile.min_rsa_bits and (today is None or key.valid_on(today))
    ]
    if not usable:
        raise ProtocolError(
            "wrong_key",
            f"none of {len(keys)} pinned keys is valid today and has the {profile.min_rsa_bits} bits "
            f"that profile {profile.name} demands",
        )
    return usable


def _by_xmlsec(gated: SignatureParts, profile: SignatureProfile, key: PinnedKey) -> bool:
    xmlsec = xmlsec_module()
    context = xmlsec.SignatureContext()
    context.key = _xmlsec_key(key.pem)
    of_references, of_signed_info = _transforms(profile)
    for transform in of_references:
        context.enable_reference_transform(transform)
    for transform in of_signed_info:
        context.enable_signature_transform(transform)
    for reference, target in zip(profile.references, gated.targets, strict=True):
        if isinstance(reference, ById):
            name = etree.QName(reference.attribute)
            context.register_id(target, name.localname, name.namespace)
    try:
        context.verify(gated.signature)
    except xmlsec.Error:
        return False
    return True


@lru_cache(maxsize=256)
def _xmlsec_key(pem: bytes) -> Any:
    xmlsec = xmlsec_module()
    return xmlsec.Key.from_memory(pem, xmlsec.KeyFormat.PEM)


@lru_cache(maxsize=64)
def _transforms(profile: SignatureProfile) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The algorithms that xmlsec may run in references and for SignedInfo: only those of the profile."""
    of_references: set[str] = {words.C14N}
    for reference in profile.references:
        of_references |= {*reference.transforms, reference.digest}
    constants = xmlsec_module().constants
    return (
        tuple(getattr(constants, _TRANSFORM_NAMES[name]) for name in sorted(of_references)),
        tuple(getattr(constants, _TRANSFORM_NAMES[name]) for name in (profile.c14n, profile.signature_method)),
    )


def _methods(profile: SignatureProfile) -> set[str]:
    return {profile.c14n, *(canonical_method(reference.transforms) for reference in profile.references)}


def _signer(gated: SignatureParts, profile: SignatureProfile, keys: Sequence[PinnedKey]) -> PinnedKey | None:
    """The pinned key that made the signature over SignedInfo. Only SignedInfo is canonicalised here."""
    if len(profile.references) == 1 and isinstance(profile.references[0], Enveloped):
        # Only the digest differs from message to message.
        octets = octets_around(gated.signed_info, profile.c14n, base64.b64encode(gated.digests[0]))
    else:
        octets = element_octets(gated.signed_info, profile.c14n)
    algorithm = HASHES[HASH_OF[profile.signature_method]]
    for key in keys:
        try:
            key.public.verify(gated.signature_value, octets, _PADDING, algorithm)
        except InvalidSignature:
            continue
        return key
    return None


def _signed_parts(gated: SignatureParts, profile: SignatureProfile) -> tuple[bytes, ...]:
    """The octets of every signed element, each proven by its digest. It removes the signature from the document."""
    enveloping = [ENVELOPED in reference.transforms for reference in profile.references]
    parts: dict[int, bytes] = {}
    for without in (False, True):
        if without and any(enveloping):
            take_out(gated.signature)
        for number, reference in enumerate(profile.references):
            if enveloping[number] is without:
                octets = element_octets(gated.targets[number], canonical_method(reference.transforms))
                if not hmac.compare_digest(digest_of(reference.digest, octets), gated.digests[number]):
                    raise ProtocolError("digest", f"reference {number} of profile {profile.name} covers other content")
                parts[number] = octets
    return tuple([parts[number] for number in range(len(parts))])


def take_out(signature: etree._Element) -> None:
    """Remove the signature, but keep the text behind it, which is signed."""
    parent, previous, tail = signature.getparent(), signature.getprevious(), signature.tail
    assert parent is not None
    parent.remove(signature)
    if tail and previous is not None:
        previous.tail = (previous.tail or "") + tail
    elif tail:
        parent.text = (parent.text or "") + tail


def _refusal(
    gated: SignatureParts, profile: SignatureProfile, keys: Sequence[PinnedKey], may_digest: bool
) -> ProtocolError:
    """The reason of a refusal: changed content, a new key of the bank (if the message shows the key), or another error.

    Changed content is reported only if `may_digest`, because until then the signature does not prove it.
    """
    if may_digest:
        try:
            _signed_parts(gated, profile)
        except ProtocolError as error:
            return error
    pinned = {key.fingerprint for key in keys}
    shown = () if gated.key_info is None else gated.key_info.iter(f"{{{DS}}}X509Certificate")
    for element in shown:
        claimed = _claimed_fingerprint(element.text or "")
        if claimed is not None and claimed not in pinned:
            shape = bytes.fromhex(claimed).hex(":")
            return ProtocolError("wrong_key", f"not signed by a pinned key; it shows a key with SPKI sha256 {shape}")
    return ProtocolError("signature", "the signature value does not fit any pinned key and this content")


def _claimed_fingerprint(content: str) -> str | None:
    if len(content) > _CERTIFICATE_CHARS_MAX:
        return None
    try:
        return spki_fingerprint(load_der_x509_certificate(base64.b64decode(content)).public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidVersion):
        return None
