"""A signature profile: all properties of a bank's XML signature, as data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Final

from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import steps

DS: Final = "http://www.w3.org/2000/09/xmldsig#"
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
_ENC: Final = "http://www.w3.org/2001/04/xmlenc#"

EXC_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
C14N: Final = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
# A document with comments is refused before canonicalisation, so these forms give the same octets as those above.
EXC_C14N_COMMENTS: Final = EXC_C14N + "WithComments"
C14N_COMMENTS: Final = C14N + "#WithComments"
ENVELOPED: Final = DS + "enveloped-signature"
SHA1: Final = DS + "sha1"
SHA256: Final = _ENC + "sha256"
SHA384: Final = _MORE + "sha384"
SHA512: Final = _ENC + "sha512"
RSA_SHA1: Final = DS + "rsa-sha1"
RSA_SHA256: Final = _MORE + "rsa-sha256"
RSA_SHA384: Final = _MORE + "rsa-sha384"
RSA_SHA512: Final = _MORE + "rsa-sha512"

# MD5 has no entry on purpose: two documents with one MD5 are made in seconds, so no date makes it acceptable.
HASH_OF: Final[dict[str, str]] = {
    SHA1: "sha1",
    SHA256: "sha256",
    SHA384: "sha384",
    SHA512: "sha512",
    RSA_SHA1: "sha1",
    RSA_SHA256: "sha256",
    RSA_SHA384: "sha384",
    RSA_SHA512: "sha512",
}
_DIGESTS: Final = frozenset((SHA1, SHA256, SHA384, SHA512))
_SIGNATURES: Final = frozenset((RSA_SHA1, RSA_SHA256, RSA_SHA384, RSA_SHA512))
EXCLUSIVE: Final = frozenset((EXC_C14N, EXC_C14N_COMMENTS))
_CANONICAL: Final = EXCLUSIVE | {C14N, C14N_COMMENTS}
_WEAK: Final = frozenset((SHA1, RSA_SHA1))
_HASHERS: Final = {SHA1: hashlib.sha1, SHA256: hashlib.sha256, SHA384: hashlib.sha384, SHA512: hashlib.sha512}


def digest_of(method: str, octets: bytes) -> bytes:
    """The digest of `octets`. `method` is a reference's, as a profile names it."""
    return _HASHERS[method](octets).digest()


def canonical_method(transforms: tuple[str, ...]) -> str:
    """The canonical form of a reference's element: its last transform, or the standard's default without one."""
    return transforms[-1] if transforms and transforms[-1] != ENVELOPED else C14N


@dataclass(frozen=True, slots=True)
class Enveloped:
    """Reference URI "": the whole document except the signature inside it."""

    transforms: tuple[str, ...] = (ENVELOPED, EXC_C14N)
    digest: str = SHA256


@dataclass(frozen=True, slots=True)
class ById:
    """Reference "#x": the one element at the absolute `path`, which carries x in `attribute` ("{namespace}Id")."""

    path: str
    attribute: str = "Id"
    transforms: tuple[str, ...] = (EXC_C14N,)
    digest: str = SHA256


@dataclass(frozen=True, slots=True)
class SignatureProfile:
    """The exact form of a bank's signatures: algorithms, references and places.

    `signature_path`: absolute path of the Signature element; its first step is also the name the document's root must
    have. `references`: all of them; `body` is the index of the one whose element is mapped. `key_info`: names of
    elements that KeyInfo may hold; whatever it holds, keys are never taken from it. `prefix`: the prefix that we write
    before the names of the signature namespace ("" makes it the default namespace). `signature_first`: we insert the
    signature as the first child of its parent instead of the last. `earlier`: finished signatures of other signers that
    stand before this one in the same parent. This one covers them like any content; to verify them too, pass
    `Verified.canonical` to the next inner profile. SHA-1 needs `weak_until`, the last day on which it is accepted; MD5
    is never accepted.
    """

    name: str
    signature_path: str
    references: tuple[Enveloped | ById, ...] = (Enveloped(),)
    body: int = 0
    c14n: str = EXC_C14N
    signature_method: str = RSA_SHA256
    min_rsa_bits: int = 2048
    key_info: tuple[str, ...] = (f"{{{DS}}}X509Data",)
    prefix: str = "ds"
    signature_first: bool = False
    earlier: int = 0
    weak_until: date | None = None

    def __post_init__(self) -> None:
        used = {self.signature_method, *(reference.digest for reference in self.references)}
        wrong = {self.signature_method} - _SIGNATURES | ({self.c14n} - _CANONICAL)
        for reference in self.references:
            wrong |= {reference.digest} - _DIGESTS | set(reference.transforms) - _CANONICAL - {ENVELOPED}
            kinds = [transform == ENVELOPED for transform in reference.transforms]
            if kinds not in ([], [True], [False], [True, False]):
                raise ProtocolError("algorithm", f"profile {self.name}: the transforms are in an unsupported order")
            if isinstance(reference, Enveloped) and ENVELOPED not in reference.transforms:
                raise ProtocolError("algorithm", f"profile {self.name}: an enveloped reference without its transform")
            if isinstance(reference, ById) and self._lies_around(reference) != (ENVELOPED in reference.transforms):
                raise ProtocolError(
                    "structure", f"profile {self.name}: {reference.path} and the enveloped transform disagree"
                )
        if wrong:
            raise ProtocolError("algorithm", f"profile {self.name} names {', '.join(sorted(wrong))}")
        if used & _WEAK and self.weak_until is None:
            raise ProtocolError("algorithm", f"profile {self.name} allows SHA-1 without an end date")
        if self.earlier and (self.signature_first or not all(isinstance(one, Enveloped) for one in self.references)):
            raise ProtocolError(
                "structure", f"profile {self.name}: only an enveloped signature that is the last may follow others"
            )
        if not 0 <= self.body < len(self.references):
            raise ProtocolError("structure", f"profile {self.name}: no reference number {self.body}")
        if steps(self.signature_path)[-1] != f"{{{DS}}}Signature":
            raise ProtocolError("structure", f"profile {self.name}: the signature path does not end in Signature")

    def _lies_around(self, reference: ById) -> bool:
        target, signature = steps(reference.path), steps(self.signature_path)
        return signature[: len(target)] == target

    @property
    def is_weak(self) -> bool:
        """True if the profile uses SHA-1 anywhere."""
        return bool(_WEAK & {self.signature_method, *(reference.digest for reference in self.references)})

    def require_day(self, today: date | None) -> None:
        """Refuse a weak profile after its last day, or if `today` is None."""
        if self.weak_until is None:
            return  # `__post_init__` refuses a weak profile without a last day
        if self.is_weak and (today is None or today > self.weak_until):
            raise ProtocolError("algorithm", f"profile {self.name} uses SHA-1, accepted until {self.weak_until} only")
