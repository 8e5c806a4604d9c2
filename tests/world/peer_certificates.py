"""The certificates of test peers: bad ones, each with the reason why it must be refused, and good ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.bank.handshake_errors import Reason
from gateway.bank.tls import spki_pin
from gateway.simbank.pki import CLIENT_PURPOSE, Authority, new_key
from tests.world.peers import LOOPBACK, NAME, TlsFiles, signed_with_sha1

DAY = timedelta(days=1)


@dataclass(frozen=True)
class PeerCase:
    """The certificate that the peer presents, and why it must be refused; None: it must be accepted."""

    reason: Reason | None
    chain: Sequence[x509.Certificate]
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    settings: dict[str, Any] = field(default_factory=dict)


def expired(yard: TlsFiles) -> PeerCase:
    leaf = yard.leaf(not_before=yard.now - 2 * DAY, not_after=yard.now - DAY)
    return PeerCase(Reason.EXPIRED, [leaf], yard.key)


def not_yet_valid(yard: TlsFiles) -> PeerCase:
    return PeerCase(Reason.NOT_YET_VALID, [yard.leaf(not_before=yard.now + DAY)], yard.key)


def wrong_host(yard: TlsFiles) -> PeerCase:
    return PeerCase(Reason.WRONG_NAME, [yard.leaf(names=["www.bank.test", LOOPBACK])], yard.key)


def common_name_only(yard: TlsFiles) -> PeerCase:
    return PeerCase(Reason.NO_SAN, [yard.leaf(subject=NAME, names=())], yard.key)


def malformed_wildcard(yard: TlsFiles) -> PeerCase:
    return PeerCase(Reason.BAD_SAN, [yard.leaf(names=["*.test"])], yard.key)


def malformed_wildcard_beside_the_name(yard: TlsFiles) -> PeerCase:
    return PeerCase(Reason.BAD_SAN, [yard.leaf(names=[NAME, "fep.*.test"])], yard.key)


def no_subject(yard: TlsFiles) -> PeerCase:
    return PeerCase(Reason.NO_SAN, [yard.leaf(subject=None, names=())], yard.key)


def other_address(yard: TlsFiles) -> PeerCase:
    return PeerCase(Reason.WRONG_NAME, [yard.leaf(names=["127.0.0.2"])], yard.key, {"server_name": LOOPBACK})


def address_only_as_dns_name(yard: TlsFiles) -> PeerCase:
    san = x509.SubjectAlternativeName([x509.DNSName(LOOPBACK)])
    leaf = (
        x509.CertificateBuilder(
            yard.root.certificate.subject, x509.Name([]), yard.key.public_key(), 7, yard.now - DAY, yard.now + DAY
        )
        .add_extension(san, critical=True)
        .sign(yard.root.key, hashes.SHA256())
    )
    return PeerCase(Reason.BAD_SAN, [leaf], yard.key, {"server_name": LOOPBACK})


def self_signed(yard: TlsFiles) -> PeerCase:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    leaf = (
        x509.CertificateBuilder(name, name, yard.key.public_key(), 8, yard.now - DAY, yard.now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(yard.key, hashes.SHA256())
    )
    return PeerCase(Reason.UNKNOWN_CA, [leaf], yard.key)


def other_authority_of_the_same_name(yard: TlsFiles) -> PeerCase:
    other = Authority.root("Bank of Tests root", yard.now)
    return PeerCase(Reason.UNKNOWN_CA, [yard.leaf(other), other.certificate], yard.key)


def chain_of_another_bank(yard: TlsFiles) -> PeerCase:
    other = Authority.root("Another Bank root", yard.now)
    return PeerCase(Reason.UNKNOWN_CA, [yard.leaf(other), other.certificate], yard.key)


def incomplete_chain(yard: TlsFiles) -> PeerCase:
    return PeerCase(Reason.UNKNOWN_CA, [yard.leaf(yard.root.subordinate("issuing", yard.now))], yard.key)


def reversed_chain(yard: TlsFiles) -> PeerCase:
    issuing = yard.root.subordinate("issuing", yard.now)
    return PeerCase(Reason.WRONG_EKU, [issuing.certificate, yard.leaf(issuing)], issuing.key)


def issuer_without_ca_flag(yard: TlsFiles) -> PeerCase:
    issuing = yard.root.subordinate("no authority", yard.now, is_ca=False)
    return PeerCase(Reason.BAD_CHAIN, [yard.leaf(issuing), issuing.certificate], yard.key)


def issuer_that_may_not_sign(yard: TlsFiles) -> PeerCase:
    issuing = yard.root.subordinate("may not sign", yard.now, may_sign=False)
    return PeerCase(Reason.BAD_CHAIN, [yard.leaf(issuing), issuing.certificate], yard.key)


def path_too_long(yard: TlsFiles) -> PeerCase:
    first = yard.root.subordinate("first", yard.now, path_length=0)
    second = first.subordinate("second", yard.now)
    return PeerCase(Reason.BAD_CHAIN, [yard.leaf(second), second.certificate, first.certificate], yard.key)


def wrong_purpose(yard: TlsFiles) -> PeerCase:
    return PeerCase(Reason.WRONG_EKU, [yard.leaf(purpose=CLIENT_PURPOSE)], yard.key)


def key_usage_without_signing(yard: TlsFiles) -> PeerCase:
    usage = x509.KeyUsage(*[name == "key_cert_sign" for name in _KEY_USAGES])
    return PeerCase(Reason.WRONG_EKU, [yard.leaf(key_usage=usage)], yard.key)


def revoked(yard: TlsFiles) -> PeerCase:
    leaf = yard.leaf()
    crl = yard.root.crl([leaf.serial_number], yard.now - DAY, yard.now + DAY)
    return PeerCase(Reason.REVOKED, [leaf], yard.key, {"crl_file": yard.file(crl.public_bytes(Encoding.PEM))})


def stale_crl(yard: TlsFiles) -> PeerCase:
    crl = yard.root.crl([], yard.now - 2 * DAY, yard.now - DAY)
    return PeerCase(Reason.STALE_CRL, [yard.leaf()], yard.key, {"crl_file": yard.file(crl.public_bytes(Encoding.PEM))})


def crl_of_another_issuer(yard: TlsFiles) -> PeerCase:
    crl = Authority.root("Another Bank root", yard.now).crl([], yard.now - DAY, yard.now + DAY)
    return PeerCase(Reason.NO_CRL, [yard.leaf()], yard.key, {"crl_file": yard.file(crl.public_bytes(Encoding.PEM))})


def small_key(yard: TlsFiles) -> PeerCase:
    key = new_key(1024)
    leaf = yard.root.issue(NAME, key.public_key(), yard.now, names=[NAME])
    return PeerCase(Reason.WEAK_KEY, [leaf], key)


def sha1_leaf(yard: TlsFiles) -> PeerCase:
    return PeerCase(Reason.WEAK_SIGNATURE, [signed_with_sha1(yard.leaf(), yard.root.key)], yard.key)


def sha1_issuer(yard: TlsFiles) -> PeerCase:
    issuing = yard.root.subordinate("issuing", yard.now)
    weak = signed_with_sha1(issuing.certificate, yard.root.key)
    return PeerCase(Reason.WEAK_SIGNATURE, [yard.leaf(issuing), weak], yard.key)


def ten_thousand_names(yard: TlsFiles) -> PeerCase:
    names = [f"host{n:05}.bank.test" for n in range(10_000)] + [NAME]
    return PeerCase(Reason.OVERSIZE, [yard.leaf(names=names)], yard.key)


def other_key_than_pinned(yard: TlsFiles) -> PeerCase:
    pins = (spki_pin(yard.client_certificate()), spki_pin(yard.root.certificate))
    return PeerCase(Reason.WRONG_PIN, [yard.leaf()], yard.key, {"pins": pins})


def other_key_than_pinned_without_names(yard: TlsFiles) -> PeerCase:
    pins = (spki_pin(yard.client_certificate()),)
    return PeerCase(Reason.WRONG_PIN, [yard.leaf()], yard.key, {"pins": pins, "name_check": "pin-only"})


def pinned_key_of_another_authority(yard: TlsFiles) -> PeerCase:
    other = Authority.root("Another Bank root", yard.now)
    leaf = yard.leaf(other)
    return PeerCase(Reason.UNKNOWN_CA, [leaf], yard.key, {"pins": (spki_pin(leaf),), "name_check": "pin-only"})


_KEY_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
BAD_CERTIFICATES = [
    expired,
    not_yet_valid,
    wrong_host,
    common_name_only,
    malformed_wildcard,
    malformed_wildcard_beside_the_name,
    no_subject,
    other_address,
    address_only_as_dns_name,
    self_signed,
    other_authority_of_the_same_name,
    chain_of_another_bank,
    incomplete_chain,
    reversed_chain,
    issuer_without_ca_flag,
    issuer_that_may_not_sign,
    path_too_long,
    wrong_purpose,
    key_usage_without_signing,
    revoked,
    stale_crl,
    crl_of_another_issuer,
    small_key,
    sha1_leaf,
    sha1_issuer,
    ten_thousand_names,
    other_key_than_pinned,
    other_key_than_pinned_without_names,
    pinned_key_of_another_authority,
]


def good(yard: TlsFiles) -> PeerCase:
    return PeerCase(None, [yard.leaf()], yard.key)


def good_by_address(yard: TlsFiles) -> PeerCase:
    return PeerCase(None, [yard.leaf(names=[LOOPBACK])], yard.key, {"server_name": LOOPBACK})


def good_by_wildcard(yard: TlsFiles) -> PeerCase:
    return PeerCase(None, [yard.leaf(names=["*.bank.test"])], yard.key)


def good_below_an_intermediate(yard: TlsFiles) -> PeerCase:
    issuing = yard.root.subordinate("issuing", yard.now, path_length=0)
    return PeerCase(None, [yard.leaf(issuing), issuing.certificate], yard.key)


def good_with_its_next_pin(yard: TlsFiles) -> PeerCase:
    pins = (spki_pin(yard.client_certificate()), spki_pin(yard.leaf()))
    return PeerCase(None, [yard.leaf()], yard.key, {"pins": pins})


def good_without_names_by_pin_only(yard: TlsFiles) -> PeerCase:
    leaf = yard.leaf(names=())
    return PeerCase(None, [leaf], yard.key, {"pins": (spki_pin(leaf),), "name_check": "pin-only"})


def good_without_purpose(yard: TlsFiles) -> PeerCase:
    return PeerCase(None, [yard.leaf(purpose=None)], yard.key)


def good_and_not_revoked(yard: TlsFiles) -> PeerCase:
    crl = yard.root.crl([4711], yard.now - DAY, yard.now + DAY)
    return PeerCase(None, [yard.leaf()], yard.key, {"crl_file": yard.file(crl.public_bytes(Encoding.PEM))})


def good_on_p256(yard: TlsFiles) -> PeerCase:
    key = ec.generate_private_key(ec.SECP256R1())
    return PeerCase(None, [yard.root.issue(NAME, key.public_key(), yard.now, names=[NAME])], key)


GOOD_CERTIFICATES = [
    good,
    good_by_address,
    good_by_wildcard,
    good_below_an_intermediate,
    good_with_its_next_pin,
    good_without_names_by_pin_only,
    good_without_purpose,
    good_and_not_revoked,
    good_on_p256,
]
