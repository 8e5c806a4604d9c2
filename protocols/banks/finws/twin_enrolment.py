"""The simulated bank's certificate office: a one-time code gets the first certificate, the old key the next one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lxml import etree

from protocols.banks.finws import encryption
from protocols.kit import dsig, xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.dsig.stack import xmlsec_module
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el, maybe, one, value, value_or
from protocols.twin import Books

_SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
_SPACES: Final = {
    "http://mlp.op.fi/OPCertificateService": "http://op.fi/mlp/xmldata/",
    "http://bxd.fi/CertificateService": "http://filetransfer.nordea.com/xmldata/",
}
_FACTORY: Final = "http://danskebank.dk/PKI/PKIFactoryService"
_TEXTS: Final = {
    "00": "OK.", "12": "Schema validation failed.", "18": "Signature not valid.", "29": "Invalid parameters.",
    "30": "Authentication failed.", "31": "Duplicate message rejected.",
}  # fmt: skip
_YEARS_2: Final = timedelta(days=730)


@dataclass(frozen=True, slots=True)
class Hand:
    """How a bank signs and writes its answers: names of the transforms, the hash, the charset."""

    transforms: tuple[str, ...] = ("enveloped", "inclusive")
    digest: str = "sha256"
    charset: str = "UTF-8"

    def hash_words(self, words: Any) -> tuple[Any, Any]:
        """libxmlsec's names of the digest and of the signature with it."""
        if self.digest == "sha1":
            return words.TransformSha1, words.TransformRsaSha1
        return words.TransformSha256, words.TransformRsaSha256


USUAL: Final = Hand()
LONG_TEXTS: Final = etree.XMLParser(huge_tree=True)
"""A statement of many entries is one text of more than the usual 10 MB."""
_WORDS: Final = {
    "enveloped": "TransformEnveloped", "inclusive": "TransformInclC14N", "exclusive": "TransformExclC14N",
    "inclusive_comments": "TransformInclC14NWithComments", "exclusive_comments": "TransformExclC14NWithComments",
}  # fmt: skip


class Refused(Exception):  # noqa: N818 - the office's answer, with the code it carries
    """The certificate office refuses a request."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Office:
    """Issues certificates of two years. A code is good once; a message id too. `renewed` is called for each one issued.

    `registered` are the keys with which the customer may ask for the next certificate.
    """

    def __init__(
        self, customer: str, code: str, by_hmac: bool, key: bytes, certificate: x509.Certificate | None,
        registered: list[dsig.PinnedKey], renewed: Callable[[bytes], None], hand: Hand = USUAL, pem: bool = False,
        opener: bytes | None = None,
    ) -> None:  # fmt: skip
        self._registered = registered
        self._customer = customer
        self._code: str | None = code
        self._by_hmac = by_hmac
        self._key = key
        ours = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Finnish bank, simulated")])
        self._issuer = ours if certificate is None else certificate.subject
        self._issued = 0
        self._messages: set[str] = set()
        self._renewed = renewed
        self._hand = hand
        self._pem = pem
        self._opener = opener

    def answer(self, message: bytes, books: Books) -> bytes:
        """A whole SOAP answer. Raises ProtocolError for what is not one of its requests."""
        body = one(xmldoc.parse(message, UTF8), f"{{{_SOAP}}}Body")
        service = etree.QName(body[0]).namespace or ""
        if service == _FACTORY and etree.QName(body[0]).localname == "CreateCertificateIn":
            return self._factory(body[0], books.now())
        if service not in _SPACES or etree.QName(body[0]).localname != "getCertificatein":
            raise ProtocolError("value", "not a request for a certificate")
        space, s = _SPACES[service], f"{{{service}}}"
        request_id, certificate, code = value(body[0], f"{s}RequestHeader/{s}RequestId"), None, "00"
        try:
            if request_id in self._messages:
                raise Refused("31")
            certificate = self._issue(value(body[0], f"{s}ApplicationRequest"), space, books.now())
            self._messages.add(request_id)
        except Refused as refused:
            code = refused.code
        shown = None
        if certificate is not None:
            shape = Encoding.PEM if self._pem else Encoding.DER
            der = base64.b64encode(certificate.public_bytes(shape)).decode("ascii")
            shown = el("Certificates", el("Certificate", el("Name", "customer"), el("Certificate", der),
                                          el("CertificateFormat", "X509")))  # fmt: skip
        document = xmldoc.build(el(
            "CertApplicationResponse", {"xmlns": space}, el("CustomerId", self._customer),
            el("Timestamp", books.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
            el("ResponseCode", "0" if self._pem and code == "00" else code),
            el("ResponseText", _TEXTS[code]), shown,
        ), UTF8)  # fmt: skip
        packed = base64.b64encode(sign_enveloped(document, self._key, self._hand)).decode("ascii")
        head = el("c:ResponseHeader", el("c:SenderId", self._customer), el("c:RequestId", request_id),
                  el("c:ResponseCode", code), el("c:ResponseText", _TEXTS[code]))  # fmt: skip
        out = el("c:getCertificateout", {"xmlns:c": service}, head, el("c:ApplicationResponse", packed))
        return xmldoc.build(el("soap:Envelope", {"xmlns:soap": _SOAP}, el("soap:Body", out)), UTF8)

    def _factory(self, asked: etree._Element, now: datetime) -> bytes:
        """Danske's own service: the request comes sealed, and one PIN gets two certificates."""
        p, e = f"{{{_FACTORY}}}", f"{{{_FACTORY}/elements}}"
        request_id = value(asked, f"{p}RequestHeader/{p}RequestId")
        [sealed] = list(asked)[1:]
        try:
            if request_id in self._messages or len(request_id) > 10 or self._opener is None:
                raise Refused("31")
            root = xmldoc.parse(encryption.decrypt(etree.tostring(sealed), self._opener), UTF8)
            if root.tag != f"{e}CreateCertificateRequest" or value(root, f"{e}CustomerId") != self._customer:
                raise Refused("12")
            names = ("EncryptionCertPKCS10", "SigningCertPKCS10")
            requests = [x509.load_der_x509_csr(base64.b64decode(value(root, e + name))) for name in names]
            if value(root, f"{e}PIN") != self._code:
                raise Refused("30")
            made = []
            for wanted in requests:
                public = wanted.public_key()
                if not wanted.is_signature_valid or not isinstance(public, RSAPublicKey) or public.key_size < 2048:
                    raise Refused("29")
                self._issued += 1
                made.append(self._made(wanted, public, now))
        except (Refused, ProtocolError, ValueError) as refused:
            code = refused.code if isinstance(refused, Refused) else "12"
            # A fault of this service carries no signature.
            fault = el("elem:PKIFactoryServiceFault", {"xmlns:elem": f"{_FACTORY}/elements"},
                       el("elem:ReturnCode", code), el("elem:ReturnText", _TEXTS[code]))  # fmt: skip
            whole = el("soap:Fault", el("faultcode", "soap:Client"), el("faultstring", "fault"), el("detail", fault))
            return xmldoc.build(el("soap:Envelope", {"xmlns:soap": _SOAP}, el("soap:Body", whole)), UTF8)
        self._code = None
        self._messages.add(request_id)
        self._renewed(made[1].public_bytes(Encoding.PEM))
        der = [base64.b64encode(one.public_bytes(Encoding.DER)).decode("ascii") for one in made]
        response = el(
            "tns:CreateCertificateResponse", {"xml:id": "response", "xmlns:tns": f"{_FACTORY}/elements"},
            el("tns:ReturnCode", "00"), el("tns:ReturnText", "OK"), el("tns:EncryptionCert", der[0]),
            el("tns:SigningCert", der[1]), el("tns:RequestId"),
        )  # fmt: skip
        head = el("pkif:ResponseHeader", el("pkif:SenderId", self._customer), el("pkif:CustomerId", self._customer),
                  el("pkif:RequestId", request_id))  # fmt: skip
        out = el("pkif:CreateCertificateOut", {"xmlns:pkif": _FACTORY}, head, response)
        return _sign_by_id(el("soap:Envelope", {"xmlns:soap": _SOAP}, el("soap:Body", out)), self._key, self._hand)

    def _issue(self, packed: str, space: str, now: datetime) -> x509.Certificate:
        n = f"{{{space}}}"
        try:
            document = base64.b64decode(packed, validate=True)
            root = xmldoc.parse(document, UTF8)
            if root.tag != f"{n}CertApplicationRequest" or value(root, f"{n}CustomerId") != self._customer:
                raise Refused("12")
            der = base64.b64decode(value(root, f"{n}Content"), validate=True)
            wanted = x509.load_der_x509_csr(der)
        except (ProtocolError, binascii.Error, ValueError):
            raise Refused("12") from None
        public = wanted.public_key()
        if not wanted.is_signature_valid or not isinstance(public, RSAPublicKey) or public.key_size < 2048:
            raise Refused("29")
        if maybe(root, f"{{{dsig.DS}}}Signature") is not None:
            self._check_old_key(document, space, now)
        else:
            self._check_code(root, n, der)
        certificate = self._made(wanted, public, now)
        self._issued += 1
        self._renewed(certificate.public_bytes(Encoding.PEM))
        return certificate

    def _check_code(self, root: etree._Element, n: str, der: bytes) -> None:
        if self._code is None:
            raise Refused("30")
        if self._by_hmac:
            proof = base64.b64encode(hmac.new(self._code.encode(), der, hashlib.sha1).digest()).decode("ascii")
            good = hmac.compare_digest(value_or(root, f"{n}HMAC"), proof)
        else:
            good = hmac.compare_digest(value_or(root, f"{n}TransferKey"), self._code)
        if not good:
            raise Refused("30")
        self._code = None

    def _check_old_key(self, document: bytes, space: str, now: datetime) -> None:
        signature = f"/{{{space}}}CertApplicationRequest/{{{dsig.DS}}}Signature"
        profile = dsig.SignatureProfile("finws twin, renewal", signature)
        try:
            dsig.verify(document, profile, self._registered, today=now.date())
        except ProtocolError:
            raise Refused("18") from None

    def _made(self, wanted: x509.CertificateSigningRequest, public: RSAPublicKey, now: datetime) -> x509.Certificate:
        key = load_pem_private_key(self._key, None)
        assert isinstance(key, RSAPrivateKey)
        begins = now.astimezone(UTC) - timedelta(days=1)
        return (
            x509.CertificateBuilder().subject_name(wanted.subject).issuer_name(self._issuer).public_key(public)
            .serial_number(1000 + self._issued).not_valid_before(begins).not_valid_after(begins + _YEARS_2)
            .add_extension(x509.KeyUsage(True, True, False, False, False, False, False, False, False), critical=True)
            .sign(key, hashes.SHA256())
        )  # fmt: skip


def sign_enveloped(document: bytes, key: bytes, hand: Hand = USUAL) -> bytes:
    """As banks sign their answers: enveloped, in the inclusive canonical form, by libxmlsec."""
    xmlsec: Any = xmlsec_module()
    words = xmlsec.constants
    root = etree.fromstring(document, LONG_TEXTS)
    digest, method = hand.hash_words(words)
    node = xmlsec.template.create(root, words.TransformInclC14N, method)
    root.append(node)
    reference = xmlsec.template.add_reference(node, digest, uri="")
    for transform in hand.transforms:
        xmlsec.template.add_transform(reference, getattr(words, _WORDS[transform]))
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(key, words.KeyDataFormatPem)
    context.sign(node)
    return etree.tostring(root, encoding=hand.charset, xml_declaration=True)


def _sign_by_id(envelope: Markup, key: bytes, hand: Hand) -> bytes:
    """As this service signs: inside the response, over the response by its xml:id, in the exclusive form."""
    xmlsec: Any = xmlsec_module()
    words = xmlsec.constants
    root = etree.fromstring(xmldoc.build(envelope, UTF8))
    response = root[0][0][1]
    digest, method = hand.hash_words(words)
    node = xmlsec.template.create(response, words.TransformExclC14N, method)
    response.append(node)
    reference = xmlsec.template.add_reference(node, digest, uri="#response")
    xmlsec.template.add_transform(reference, words.TransformEnveloped)
    xmlsec.template.add_transform(reference, words.TransformExclC14N)
    context = xmlsec.SignatureContext()
    context.register_id(response, "id", "http://www.w3.org/XML/1998/namespace")
    context.key = xmlsec.Key.from_memory(key, words.KeyDataFormatPem)
    context.sign(node)
    return etree.tostring(root, encoding=hand.charset, xml_declaration=True)
