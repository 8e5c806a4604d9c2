"""The self-test at start: a stored signature is made again and verified, so that incompatible libraries are found."""

from __future__ import annotations

import base64
from typing import Final

from protocols.kit.charset import UTF8
from protocols.kit.dsig.key import PinnedKey
from protocols.kit.dsig.profile import DS, SignatureProfile
from protocols.kit.dsig.sign import Prepared, attach, prepare, prepare_canonical
from protocols.kit.dsig.stack import start
from protocols.kit.dsig.verify import verify
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import build, canonical, el

_NAMESPACE: Final = "urn:bankgw:self-test"
_PROFILE: Final = SignatureProfile("self test", f"/{{{_NAMESPACE}}}order/{{{DS}}}Signature")
# The private half was thrown away after signing; RSA with PKCS#1 v1.5 padding gives the same value each time.
_PUBLIC: Final = b"""-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAieUGlNkgbfaxuqsgCXZR
osbdiTzmwIRCXwvBLCR6u3BHrgXruY99p6vbF9qSX8I4/EHeiF84vrwav/2f47KV
hI3NtbEin0XQVt5e78ceakWhn4+m7CS+QMJFft3z8iT/5uQLZScgQbb2ko/xpir4
JdPjz2ieEONxc88i5jldXk4xpdRAfv31MbEGvweDRDanfyY5n7YXVraqtOFCpIUH
j8818lqNSmQtN8JMQAXeqLKgvEeds8wT91ptir1fZVwxZEJzbeuEckQSAjBEqFiP
Kth/2K1/jn3BL3hUY//ySEI3R3gVVvQwOiYQhrr2nhwXP4a29Uk+zqK1/1omG9YQ
9QIDAQAB
-----END PUBLIC KEY-----"""
_SIGNATURE: Final = (
    "U4WmXpf7cR3vvGqhYwH78A5gzJO6VwT8RIciLCiUD4QB/TrfdQSofqi+7mLL7QpFm1yY4MPSeFu8kJ5eifEkeLxdfE5D4880TTpp"
    "V9vFHkrD3VbnsPp/stfwz8co/EuoSi/G4ckkL9/jZ5TQ1cOS4/Nrf5GwMXCjDTA6KLjFqMXh9tYW9jKxlWU03wYQx9f1vMMImi8u"
    "NQnx9ho7wWVAgGn9zqXppLIy5O4BF8jodDGJidIrB32g9/Qt4Xgh/jlM54sby8/qfXNi5f6GksK32paTFzqa64xxlUqJZeUpYeSg"
    "CatDJczxjeNWzsvqBcyxg60Z7ZtmFoJ/Of5Ys4CFXw=="
)


def self_test() -> None:
    """Check that XML signatures work: prepare a constant document, attach its stored signature, verify it.

    Fails if lxml and xmlsec do not share a libxml2, if either canonicalises differently than before, or if a changed
    document passes. Call it at the start. Raises "stack" with the fault.
    """
    start()
    key = PinnedKey.from_pem(_PUBLIC)
    document = attach(_prepared(), base64.b64decode(_SIGNATURE))
    fields = canonical((("payee", "甲 & 乙 > \r"), ("note", "")))
    written = f'<order xmlns="{_NAMESPACE}">{fields}</order>'
    if prepare_canonical(written, _PROFILE) != prepare(written.encode(), _PROFILE):
        raise ProtocolError("stack", "signature self-test: our canonical form differs from libxml2's")
    for engine in ("xmlsec", "hand"):
        try:
            verify(document, _PROFILE, key, engine=engine)
        except ProtocolError as error:
            raise ProtocolError("stack", f"signature self-test: {engine} refuses a good document: {error}") from error
        try:
            verify(document.replace(b"12.50", b"92.50"), _PROFILE, key, engine=engine)
        except ProtocolError:
            continue
        raise ProtocolError("stack", f"signature self-test: {engine} accepts a changed document")


def _prepared() -> Prepared:
    payee = el("payee", "甲公司 & 乙", role="to")
    return prepare(build(el("order", payee, el("amount", "12.50"), xmlns=_NAMESPACE), UTF8), _PROFILE)
