"""The rules of the certificate offices: that of the Finnish Web Services, and Danske's own (README.md 8).

The names of these messages are those of public clients, so every rule here is reconstructed from public material.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from protocols.banks.finws.twin_rules import chars, moment, refusal
from protocols.judge import (
    BankRefusal,
    BothLanguages,
    BrokenForm,
    FieldContradiction,
    FieldRule,
    FieldsOf,
    HeldAccounts,
    RequestRules,
    RuleKind,
    TogetherRule,
    ValueForm,
    anything,
    digits,
    one_of,
    pattern,
    value,
)

ISSUES: Final = "getCertificate"
CREATES: Final = "CreateCertificate"
_RSA_BITS_MIN: Final = 2048
_SOURCE: Final = "README.md 8, certificates"
_SCHEMA: Final = refusal("12", reconstructed=True)
_PARAMETERS: Final = refusal("29", reconstructed=True)
WRONG_SIGNATURE: Final = refusal("18", reconstructed=True)


def request_of(given: str) -> x509.CertificateSigningRequest | None:
    """The PKCS#10 request in base64 of DER; None if it is none."""
    try:
        return x509.load_der_x509_csr(base64.b64decode("".join(given.split()), validate=True))
    except (binascii.Error, ValueError):
        return None


def _pkcs10(given: str) -> BrokenForm | None:
    """A PKCS#10 request."""
    wanted = request_of(given)
    if wanted is None:
        return BrokenForm(RuleKind.FORM, BothLanguages("is no PKCS#10 in base64", "不是 base64 的 PKCS#10"))
    return None


def _strong(given: str) -> BrokenForm | None:
    """A request of an RSA key of 2,048 bits or more, signed by that key."""
    wanted = request_of(given)
    public = None if wanted is None else wanted.public_key()
    if wanted is None or not wanted.is_signature_valid:
        return BrokenForm(RuleKind.SIGNATURE, BothLanguages("is not signed by its own key", "PKCS#10 自签名无效"))
    if not isinstance(public, RSAPublicKey) or public.key_size < _RSA_BITS_MIN:
        words = BothLanguages(
            f"has no RSA key of {_RSA_BITS_MIN} bits or more", f"不是 {_RSA_BITS_MIN} 位以上的 RSA 密钥"
        )
        return BrokenForm(RuleKind.FORM, words)
    return None


def _field(
    place: str, form: ValueForm, *, needed: bool = True, answer: BankRefusal | None = None, rule: RuleKind | None = None
) -> FieldRule:
    return FieldRule(place, form, f"{_SOURCE}: {place}", needed, answer, True, rule)


def _one_proof(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    proofs = [name for name in ("HMAC", "TransferKey", "Signature") if fields.texts(name)]
    if len(proofs) == 1:
        return None
    words = (f"has {len(proofs)} proofs of who asks, must have one", f"有 {len(proofs)} 种身份证明，应恰为一种")
    return FieldContradiction("HMAC", " ".join(proofs), *words)


def _requested(place: str) -> tuple[FieldRule, ...]:
    return (_field(place, _pkcs10), _field(place, _strong, answer=_PARAMETERS))


HEADER_RULES: Final = RequestRules(
    "RequestHeader",
    _PARAMETERS,
    (
        _field("RequestHeader/SenderId", chars(35)),
        _field("RequestHeader/RequestId", chars(35)),
        _field("RequestHeader/Timestamp", moment),
    ),
)
FACTORY_HEADER_RULES: Final = RequestRules(
    "RequestHeader",
    _PARAMETERS,
    (
        _field("RequestHeader/SenderId", chars(35)),
        _field("RequestHeader/CustomerId", chars(16)),
        _field("RequestHeader/RequestId", chars(10)),
        _field("RequestHeader/Timestamp", moment),
        _field("RequestHeader/InterfaceVersion", digits(1, 2)),
        _field("RequestHeader/Environment", one_of("production", "customertest")),
    ),
)
RULES: Final[Mapping[str, RequestRules]] = {
    ISSUES: RequestRules(
        ISSUES,
        _SCHEMA,
        (
            _field("CustomerId", chars(16)),
            _field("Timestamp", moment),
            _field("Environment", one_of("PRODUCTION", "TEST")),
            _field("SoftwareId", chars(80)),
            _field("Command", one_of("GetCertificate")),
            _field("Service", one_of("ISSUER", "MATU")),
            *_requested("Content"),
            _field("HMAC", anything, needed=False),
            _field(
                "TransferKey",
                pattern("[0-9A-Za-z]{16}", "is no key of 16 characters", "不是 16 位转账密钥"),
                needed=False,
            ),
        ),
        (TogetherRule(_one_proof, f"{_SOURCE}: a code, or the old key's signature", reconstructed=True),),
    ),
    CREATES: RequestRules(
        CREATES,
        _SCHEMA,
        (
            _field("CustomerId", chars(16)),
            _field("KeyGeneratorType", one_of("software")),
            *_requested("EncryptionCertPKCS10"),
            *_requested("SigningCertPKCS10"),
            _field("Timestamp", moment),
            _field("RequestId", chars(10)),
            _field("Environment", one_of("production", "customertest")),
            _field("PIN", chars(32)),
        ),
    ),
}
"""The rules of a request's document, by operation."""


def of_customer(customer: str) -> TogetherRule:
    """The document must be this customer's."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, "CustomerId")
        if stated == customer:
            return None
        return FieldContradiction("CustomerId", stated, "is not this customer's number", "不是该客户的客户号")

    return TogetherRule(check, f"{_SOURCE}: CustomerId", RuleKind.BOOKS, _SCHEMA, reconstructed=True)
