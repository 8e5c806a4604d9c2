"""A small signed message format of our own and the keys for it, for the signature tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from lxml import etree

from protocols.kit import dsig
from protocols.kit.charset import UTF8
from protocols.kit.xmldoc import Markup, build, el

NS: Final = "urn:bankgw:test"
SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
D: Final = f"{{{dsig.DS}}}"

ENVELOPED: Final = dsig.SignatureProfile("enveloped", f"/{{{NS}}}answer/{D}Signature")
SOAP_SIGNED: Final = dsig.SignatureProfile(
    "soap",
    f"/{{{SOAP}}}Envelope/{{{SOAP}}}Header/{{{WSSE}}}Security/{D}Signature",
    references=(
        dsig.ById(f"/{{{SOAP}}}Envelope/{{{SOAP}}}Body", f"{{{WSU}}}Id"),
        dsig.ById(f"/{{{SOAP}}}Envelope/{{{SOAP}}}Header/{{{WSSE}}}Security/{{{WSU}}}Timestamp", f"{{{WSU}}}Id"),
    ),
    key_info=(f"{{{WSSE}}}SecurityTokenReference",),
)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A bank's signing key in the form of each library."""

    private: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def pin(self) -> dsig.PinnedKey:
        return dsig.PinnedKey.of(self.private.public_key())

    @property
    def private_pem(self) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, octets: bytes, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
        return self.private.sign(octets, padding.PKCS1v15(), algorithm or hashes.SHA256())


@lru_cache(maxsize=16)
def key_pair(name: str, bits: int = 2048, *, may_sign: bool = True) -> KeyPair:
    """The key of that name, made once per run."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(1000)
        .not_valid_before(datetime(2025, 1, 1))
        .not_valid_after(datetime(2035, 12, 31))
        .add_extension(
            x509.KeyUsage(may_sign, False, not may_sign, False, False, False, False, False, False), critical=True
        )
        .sign(private, hashes.SHA256())
    )
    return KeyPair(private, certificate)


def answer(amount: str = "100.00", payee: str = "甲公司", *, extra: Markup | None = None) -> bytes:
    """An unsigned answer of the enveloped language."""
    head = el("head", el("op", "payment.status"), el("ref", "GW000000000000000001"))
    body = el("body", el("amount", amount), el("payee", payee, kind="company"), el("note", "a & b < c"), extra)
    return build(el("answer", head, body, xmlns=NS), UTF8)


def envelope(amount: str = "100.00") -> bytes:
    """An unsigned SOAP envelope whose Body and Timestamp carry ids."""
    stamp = el("wsu:Timestamp", {"wsu:Id": "TS-1"}, el("wsu:Created", "2026-01-05T08:00:00Z"))
    header = el("soap:Header", el("wsse:Security", {"xmlns:wsse": WSSE}, stamp))
    paid = el("answer", {"xmlns": NS}, el("body", el("amount", amount)))
    body = el("soap:Body", {"wsu:Id": "B-1"}, paid)
    return build(el("soap:Envelope", {"xmlns:soap": SOAP, "xmlns:wsu": WSU}, header, body), UTF8)


def signed(document: bytes, profile: dsig.SignatureProfile, key: KeyPair, key_info: str = "") -> bytes:
    """`document` signed as the gateway signs."""
    prepared = dsig.prepare(document, profile)
    return dsig.attach(prepared, key.sign(prepared.octets), key_info)


def _register_ids(context: xmlsec.SignatureContext, root: etree._Element) -> None:
    seen: set[str] = set()
    for element in root.iter("*"):
        for name, content in element.attrib.items():
            if etree.QName(str(name)).localname == "Id" and str(content) not in seen:
                seen.add(str(content))
                namespace = etree.QName(str(name)).namespace
                if namespace is None:
                    context.register_id(element, "Id")
                else:
                    context.register_id(element, "Id", namespace)


def stock_signs(document: bytes, key: KeyPair) -> bytes:
    """`document`, which has a signature template, completed by xmlsec with everything that the template asks for."""
    root = etree.fromstring(document)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(key.private_pem, xmlsec.constants.KeyDataFormatPem)
    _register_ids(context, root)
    signature = root.find(f".//{D}Signature")
    assert signature is not None
    context.sign(signature)
    return etree.tostring(root)


def stock_accepts(document: bytes, key: KeyPair) -> bool:
    """The result of a careless use of xmlsec: it takes the first signature and accepts ids in any attribute."""
    root = etree.fromstring(document)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(key.pin.pem, xmlsec.constants.KeyDataFormatPem)
    _register_ids(context, root)
    signature = root.find(f".//{D}Signature")
    assert signature is not None
    try:
        context.verify(signature)
    except xmlsec.Error:
        return False
    return True
