"""Signatures of others over a pack, beside it: the bank's own certificate (CMS), and an RFC 3161 time stamp.

A countersignature is a detached CMS SignedData over the exact bytes of `manifest.json`, as this writes it, or as
`openssl cms -sign -binary -md sha256 -in manifest.json -outform DER` does. A time stamp is over the root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from asn1crypto import cms, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs7

SUFFIX = ".p7s"
_KEY_BITS_MIN = 2048
_HASHES: Mapping[str, HashAlgorithm] = {"sha256": SHA256(), "sha384": SHA384(), "sha512": SHA512()}
_PLAIN = frozenset({"rsassa_pkcs1v15", "ecdsa"})


class BadCountersignature(ValueError):
    """A countersignature or time stamp is not over this pack, or cannot be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Countersigner:
    """The certificate that made a signature: subject, SHA-256 of its DER, and until when it is valid."""

    subject: str
    fingerprint: str
    until: datetime


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """A time stamp over a root. `authority` signed that the root existed at `at`."""

    at: datetime
    authority: Countersigner


def beside(pack: Path) -> Path:
    """The file of a pack's countersignature."""
    return pack.with_name(pack.name + SUFFIX)


def countersign(manifest: bytes, certificate: bytes, key: bytes, now: datetime) -> bytes:
    """A countersignature in DER. `certificate` and `key` are PEM, the key without a password.

    Raises BadCountersignature.
    """
    try:
        signer, private = x509.load_pem_x509_certificate(certificate), load_pem_private_key(key, None)
    except TypeError:
        raise BadCountersignature("the key has a password: decrypt it, or sign manifest.json with openssl") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadCountersignature(f"certificate or key cannot be read as PEM: {error}") from None
    if not isinstance(private, RSAPrivateKey | EllipticCurvePrivateKey):
        raise BadCountersignature("the key is neither RSA nor ECDSA; sign manifest.json with the bank's own tool")
    if private.public_key() != signer.public_key():
        raise BadCountersignature("the key does not belong to the certificate")
    if not signer.not_valid_before_utc <= now <= signer.not_valid_after_utc:
        raise BadCountersignature(
            f"the certificate is valid from {signer.not_valid_before_utc:%Y-%m-%d} to "
            f"{signer.not_valid_after_utc:%Y-%m-%d}, not today"
        )
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    builder = pkcs7.PKCS7SignatureBuilder().set_data(manifest).add_signer(signer, private, SHA256())
    return builder.sign(Encoding.DER, options)


def check(der: bytes, manifest: bytes, pinned: bytes | None = None) -> Countersigner:
    """The signer of a countersignature over exactly these bytes.

    `pinned` is the PEM certificate that must have signed. Without it the signer is the one whose certificate the
    signature brings, and nobody vouches for that certificate. Raises BadCountersignature.
    """
    wanted = None
    if pinned is not None:
        try:
            wanted = x509.load_pem_x509_certificate(pinned)
        except ValueError as error:
            raise BadCountersignature(f"the bank's certificate cannot be read as PEM: {error}") from None
    try:
        content = cms.ContentInfo.load(der, strict=True)
        return _signed_by(content, manifest, wanted)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, UnsupportedAlgorithm) as error:
        if isinstance(error, BadCountersignature):
            raise
        raise BadCountersignature(f"it cannot be read as CMS SignedData: {type(error).__name__}") from None


def check_time(der: bytes, root: str) -> TimeStamp:
    """The time that a time stamp (a reply of RFC 3161, or its token alone) vouches for this root.

    The signature is checked with the certificate that the token brings; whether that authority is trusted is for
    people to say. Raises BadCountersignature.
    """
    try:
        token = _token(der)
        inner = token["content"]["encap_content_info"]
        if inner["content_type"].native != "tst_info":
            raise BadCountersignature("it is no time stamp")
        info, octets = inner["content"].parsed, inner["content"].contents
        said = info["message_imprint"]
        if said["hash_algorithm"]["algorithm"].native != "sha256" or said["hashed_message"].native.hex() != root:
            raise BadCountersignature("it is not over this root: it must be of the SHA-256 of manifest.json")
        return TimeStamp(info["gen_time"].native, _signed_by(token, octets, None))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, UnsupportedAlgorithm) as error:
        if isinstance(error, BadCountersignature):
            raise
        raise BadCountersignature(f"it cannot be read as a time stamp: {type(error).__name__}") from None


def _token(der: bytes) -> Any:
    """The signed token in a reply; or the token itself."""
    try:
        reply = tsp.TimeStampResp.load(der, strict=True)
        token = reply["time_stamp_token"]
        if token.native is not None:
            return token
    except ValueError:
        pass
    return cms.ContentInfo.load(der, strict=True)


def _signed_by(content: Any, octets: bytes, wanted: x509.Certificate | None) -> Countersigner:
    if content["content_type"].native != "signed_data":
        raise BadCountersignature("it is no CMS SignedData")
    signed = content["content"]
    given = [x509.load_der_x509_certificate(one.chosen.dump()) for one in signed["certificates"]]
    candidates = given if wanted is None else [wanted]
    signers: Sequence[Any] = list(signed["signer_infos"])
    if len(signers) != 1:
        raise BadCountersignature(f"it has {len(signers)} signers, and one is expected")
    named = _named(signers[0], candidates)
    if named is None:
        whose = "the certificate that it names is not in it" if wanted is None else "another certificate made it"
        raise BadCountersignature(f"{whose}; name the right one with --bank-certificate")
    _verify(signers[0], octets, named)
    digest = hashlib.sha256(named.public_bytes(Encoding.DER)).hexdigest()
    return Countersigner(named.subject.rfc4514_string(), digest, named.not_valid_after_utc)


def _named(signer: Any, candidates: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """The certificate that a signer's entry names by issuer and serial number, or by its key identifier."""
    sid = signer["sid"]
    for one in candidates:
        asn1 = asn1_x509.Certificate.load(one.public_bytes(Encoding.DER))
        if sid.name == "subject_key_identifier":
            if asn1.key_identifier == sid.native:
                return one
        elif (sid.chosen["issuer"], sid.chosen["serial_number"].native) == (asn1.issuer, asn1.serial_number):
            return one
    return None


def _verify(signer: Any, octets: bytes, certificate: x509.Certificate) -> None:
    """Check a signer's signature over the octets, directly or through its signed attributes."""
    name = str(signer["digest_algorithm"]["algorithm"].native)
    if name not in _HASHES:
        raise BadCountersignature(f"it is signed over {name}; SHA-256, SHA-384 and SHA-512 are accepted")
    algorithm = str(signer["signature_algorithm"].signature_algo)
    if algorithm not in _PLAIN:
        raise BadCountersignature(f"its signature algorithm {algorithm} is not carried out: RSA PKCS #1 v1.5 or ECDSA")
    covered = octets
    attributes = signer["signed_attrs"]
    if attributes.native:
        digests = [one["values"][0].native for one in attributes if one["type"].native == "message_digest"]
        if digests != [hashlib.new(name, octets).digest()]:
            raise BadCountersignature("it is over other bytes: not over the manifest of this pack")
        # The signature covers the attributes as a SET, not with the tag that they have inside the message.
        covered = b"\x31" + attributes.dump()[1:]
    public, signature = certificate.public_key(), signer["signature"].native
    try:
        if isinstance(public, RSAPublicKey) and public.key_size >= _KEY_BITS_MIN:
            public.verify(signature, covered, PKCS1v15(), _HASHES[name])
        elif isinstance(public, EllipticCurvePublicKey):
            public.verify(signature, covered, ECDSA(_HASHES[name]))
        else:
            raise BadCountersignature(f"the certificate's key is neither RSA of {_KEY_BITS_MIN} bits nor ECDSA")
    except InvalidSignature:
        raise BadCountersignature("its signature is wrong, or it is over other bytes than this pack's") from None
