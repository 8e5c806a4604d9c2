"""Attached CMS (PKCS#7) SignedData: some banks wrap a message in its own signature instead of signing its XML.

    der = attach(content, key_signature, certificate_der, "sha256")     # after Sign(key, content)
    content = verify(der, pinned, HASHES)                               # the signed bytes, and nothing else

Only the plain form of those banks is read: one signer, no signed attributes, the content inside. `verify` returns
exactly the signed content; read only that. Keys are pinned: a certificate in the message chooses among them and proves
nothing. SHA-1 has to be asked for by name, with a last day.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from asn1crypto import algos, cms, x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm

from protocols.kit.dsig.explain import (
    ExplainedSignature,
    SignatureReport,
    SignedOtherOctets,
    shown_certificates,
    weak_keys,
    weak_words,
    who_signed,
)
from protocols.kit.dsig.key import PinnedKey
from protocols.kit.errors import ProtocolError

MAX_BYTES: Final = 1_048_576
KEY_BITS_MIN: Final = 2048
HASHES: Final = ("sha256", "sha384", "sha512")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{40}[A-Za-z0-9+/=\r\n]*")
_FOUND_MAX: Final = 8
_HASHES: Final[Mapping[str, HashAlgorithm]] = {
    "sha1": SHA1(),
    "sha256": SHA256(),
    "sha384": SHA384(),
    "sha512": SHA512(),
}


def allowed(sha1_until: date | None, today: date) -> tuple[str, ...]:
    """The hash names that are accepted today. SHA-1 is accepted only up to the day that the settings name for this
    bank."""
    return HASHES if sha1_until is None or today > sha1_until else (*HASHES, "sha1")


def attach(content: bytes, signature: bytes, certificate_der: bytes, hash_name: str) -> bytes:
    """Build SignedData in DER around `content`. `signature` is RSA PKCS #1 v1.5 over exactly these bytes.

    The certificate goes with it, so that the receiver finds the signer. No signed attributes.
    """
    certificate = x509.Certificate.load(certificate_der)
    digest = algos.DigestAlgorithm({"algorithm": hash_name})
    signer = cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                {
                    "issuer_and_serial_number": cms.IssuerAndSerialNumber(
                        {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
                    )
                }
            ),
            "digest_algorithm": digest,
            "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": "rsassa_pkcs1v15"}),
            "signature": signature,
        }
    )
    signed = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [digest],
            "encap_content_info": {"content_type": "data", "content": content},
            "certificates": [certificate],
            "signer_infos": [signer],
        }
    )
    der: bytes = cms.ContentInfo({"content_type": "signed_data", "content": signed}).dump()
    return der


def verify(der: bytes, pinned: Sequence[PinnedKey], hashes: Sequence[str] = HASHES) -> bytes:
    """The signed content. Raises ProtocolError: "structure" for another form, "algorithm", "wrong_key", "signature".

    `pinned` are the bank's keys, any of which may have signed (the current one and the next).
    """
    if len(der) > MAX_BYTES:
        raise ProtocolError("frame_too_long", f"a CMS of {len(der)} bytes, the limit is {MAX_BYTES}")
    try:
        signed = _plain(der)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        # asn1crypto reads lazily and raises these three for octets that are no message.
        raise ProtocolError("structure", f"the CMS structure cannot be read: {type(error).__name__}") from None
    if signed.hash_name not in hashes or signed.hash_name not in _HASHES:
        raise ProtocolError("algorithm", f"signed with {signed.hash_name}, allowed are {', '.join(hashes)}")
    if signed.algorithm not in ("rsassa_pkcs1v15", f"{signed.hash_name}_rsa"):
        raise ProtocolError("algorithm", f"the signature algorithm is {signed.algorithm}")
    strong = [key.public for key in pinned if key.public.key_size >= KEY_BITS_MIN]
    if not strong:
        raise ProtocolError("wrong_key", f"no pinned key of at least {KEY_BITS_MIN} bits")
    for key in strong:
        try:
            key.verify(signed.signature, signed.content, PKCS1v15(), _HASHES[signed.hash_name])
        except InvalidSignature:
            continue
        return signed.content
    raise ProtocolError("signature", "no pinned key made this signature, or the content was changed")


def explain(der: bytes, keys: Sequence[PinnedKey] = ()) -> SignatureReport:
    """A report for people on the content and the signers, valid or not; `verify` alone decides. It never raises for the
    CMS's content."""
    try:
        signed = _plain(der)
        certificates = cms.ContentInfo.load(der)["content"]["certificates"]
        shown = shown_certificates(one.chosen.dump() for one in certificates or ())
    except (ProtocolError, ValueError, TypeError, KeyError, RecursionError) as error:
        return SignatureReport("CMS", (), refused=str(error))
    known = [one.key for one in shown]
    signers: tuple[str, ...] = ()
    meant: tuple[SignedOtherOctets, ...] = ()
    note = ""
    if signed.hash_name not in _HASHES or signed.algorithm not in ("rsassa_pkcs1v15", f"{signed.hash_name}_rsa"):
        note = f"{signed.algorithm} over {signed.hash_name} is not carried out"
    else:
        signers, meant = who_signed(signed.signature, signed.content, signed.hash_name, keys, known)
    weak = (*weak_words([("the signature", signed.hash_name)]), *weak_keys(signers, [*keys, *known]))
    one = ExplainedSignature(
        "/SignerInfo", "", f"{signed.hash_name} {signed.algorithm}", signed.content, signers, (), note, meant, weak
    )
    return SignatureReport("CMS", (one,), shown=shown)


def found_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Find signed data in DER, bare or in base64, anywhere in the bytes; returns its place and the DER."""
    if _is_signed(data):
        yield 0, data
        return
    count = 0
    for run in _BASE64.finditer(data):
        try:
            der = base64.b64decode(b"".join(run.group().split()), validate=True)
        except binascii.Error:
            continue
        if _is_signed(der) and (count := count + 1) <= _FOUND_MAX:
            yield run.start(), der


def _is_signed(der: bytes) -> bool:
    try:
        return der[:1] == b"\x30" and cms.ContentInfo.load(der)["content_type"].native == "signed_data"
    except (ValueError, TypeError, KeyError):
        return False


@dataclass(frozen=True, slots=True)
class _Signed:
    content: bytes
    hash_name: str
    algorithm: str
    signature: bytes


def _plain(der: bytes) -> _Signed:
    info = cms.ContentInfo.load(der, strict=True)
    if info["content_type"].native != "signed_data":
        raise ProtocolError("structure", f"the CMS has type {info['content_type'].native}, not signed data")
    signed = info["content"]
    encapsulated = signed["encap_content_info"]
    if encapsulated["content_type"].native != "data":
        raise ProtocolError("structure", f"signed content of type {encapsulated['content_type'].native}, not data")
    content = encapsulated["content"].native
    if not isinstance(content, bytes):
        raise ProtocolError("structure", "the signed content is not inside the message")
    signers = signed["signer_infos"]
    if len(signers) != 1:
        raise ProtocolError("structure", f"{len(signers)} signers, there must be one")
    signer = signers[0]
    if signer["signed_attrs"].native:
        raise ProtocolError("structure", "signed attributes: this form does not sign the content itself")
    return _Signed(
        content,
        str(signer["digest_algorithm"]["algorithm"].native),
        str(signer["signature_algorithm"]["algorithm"].native),
        bytes(signer["signature"].native),
    )
