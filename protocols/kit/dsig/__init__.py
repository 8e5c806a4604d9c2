"""XML signatures by profile: a profile says as data what a bank signs, where, and with which algorithms.

Signing has three steps, so that the key can live elsewhere: `prepare` gives the octets to sign, a signer
signs them, `attach` gives the document. Verifying checks that the document
has exactly the profile's structure and is signed by a pinned key. It returns the tree of the bytes that the signature
covers; nothing else may be read.

The process calls `start()` once before it verifies anything, and `self_test()` before it trusts the
libraries.
"""

from __future__ import annotations

from protocols.kit.dsig.explain import MAX_BYTES as EXPLAINED_BYTES_MAX
from protocols.kit.dsig.explain import (
    CoveredReference,
    ExplainedSignature,
    ShownCertificate,
    SignatureReport,
    SignedOtherOctets,
    embedded,
    explain,
    first_difference,
)
from protocols.kit.dsig.key import PinnedKey
from protocols.kit.dsig.profile import (
    C14N,
    C14N_COMMENTS,
    DS,
    ENVELOPED,
    EXC_C14N,
    EXC_C14N_COMMENTS,
    RSA_SHA1,
    RSA_SHA256,
    RSA_SHA384,
    RSA_SHA512,
    SHA1,
    SHA256,
    SHA384,
    SHA512,
    ById,
    Enveloped,
    SignatureProfile,
)
from protocols.kit.dsig.selftest import self_test
from protocols.kit.dsig.sign import Prepared, attach, key_info, prepare, prepare_canonical, x509_key_info
from protocols.kit.dsig.stack import start
from protocols.kit.dsig.verify import Verified, verify

__all__ = [
    "C14N",
    "C14N_COMMENTS",
    "DS",
    "ENVELOPED",
    "EXC_C14N",
    "EXC_C14N_COMMENTS",
    "EXPLAINED_BYTES_MAX",
    "RSA_SHA1",
    "RSA_SHA256",
    "RSA_SHA384",
    "RSA_SHA512",
    "SHA1",
    "SHA256",
    "SHA384",
    "SHA512",
    "ById",
    "CoveredReference",
    "Enveloped",
    "SignatureReport",
    "SignedOtherOctets",
    "PinnedKey",
    "Prepared",
    "SignatureProfile",
    "ShownCertificate",
    "ExplainedSignature",
    "Verified",
    "attach",
    "embedded",
    "explain",
    "first_difference",
    "key_info",
    "prepare",
    "prepare_canonical",
    "self_test",
    "start",
    "verify",
    "x509_key_info",
]
