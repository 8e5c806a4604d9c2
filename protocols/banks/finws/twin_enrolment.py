"""The simulated bank's certificate office: a one-time code gets the first certificate, the old key the next one."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lxml import etree

from protocols.banks.finws import encryption
from protocols.banks.finws.twin_rules import ENVELOPE_ROW, FAULT, TEXTS, broken, placed, refusal
from protocols.banks.finws.twin_rules_certificates import (
    CREATES,
    FACTORY_HEADER_RULES,
    HEADER_RULES,
    ISSUES,
    RULES,
    WRONG_SIGNATURE,
    of_customer,
    request_of,
)
from protocols.judge import RequestFinding, RuleKind, XmlFields
from protocols.judge import value as judged_value
from protocols.kit import dsig, http, xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.dsig.stack import xmlsec_module
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el, maybe, one, value, value_or
from protocols.twin import Answer, Books

_SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
_SPACES: Final = {
    "http://mlp.op.fi/OPCertificateService": "http://op.fi/mlp/xmldata/",
    "http://bxd.fi/CertificateService": "http://filetransfer.nordea.com/xmldata/",
}
_FACTORY: Final = "http://danskebank.dk/PKI/PKIFactoryService"
_YEARS_2: Final = timedelta(days=730)
_YEARS_20: Final = timedelta(days=7300)
_FIRST: Final = datetime(2025, 1, 1, tzinfo=UTC)
_BANK: Final = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Finnish bank, simulated")])


@dataclass(frozen=True, slots=True)
class Hand:
    """The form of a bank's signatures and answers: names of the transforms, the hash, the charset, and the canonical
    form of an answer's SignedInfo."""

    transforms: tuple[str, ...] = ("enveloped", "inclusive")
    digest: str = "sha256"
    charset: str = "UTF-8"
    c14n: str = "inclusive"

    def hash_words(self, words: Any) -> tuple[Any, Any]:
        """libxmlsec's names of the digest and of the signature with it."""
        if self.digest == "sha1":
            return words.TransformSha1, words.TransformRsaSha1
        return words.TransformSha256, words.TransformRsaSha256


USUAL: Final = Hand()
LONG_TEXTS: Final = etree.XMLParser(huge_tree=True)
"""A statement of many entries is one text of more than the usual 10 MB."""
_WORDS: Final = {
    "enveloped": "TransformEnveloped",
    "inclusive": "TransformInclC14N",
    "exclusive": "TransformExclC14N",
    "inclusive_comments": "TransformInclC14NWithComments",
    "exclusive_comments": "TransformExclC14NWithComments",
}


class Refused(Exception):  # noqa: N818 - the office's answer, with the code it carries
    """The certificate office refuses a request, with the rules that it breaks."""

    def __init__(self, code: str, *findings: RequestFinding) -> None:
        super().__init__(code)
        self.code = code
        self.findings = findings


class Office:
    """Issues certificates for two years. A code and a message id are valid once. `renewed` is called for each
    certificate.

    `registered` are the keys with which the customer may ask for the next certificate.
    """

    def __init__(
        self,
        customer: str,
        code: str,
        by_hmac: bool,
        key: bytes,
        certificate: x509.Certificate,
        registered: list[dsig.PinnedKey],
        renewed: Callable[[bytes], None],
        hand: Hand = USUAL,
        pem: bool = False,
        opener: bytes | None = None,
    ) -> None:
        self._registered = registered
        self._customer = customer
        self._code: str | None = code
        self._by_hmac = by_hmac
        self._key = key
        self._issuer = certificate.subject
        self._issued = 0
        self._messages: set[str] = set()
        self._renewed = renewed
        self._hand = hand
        self._pem = pem
        self._opener = opener

    def answer(self, message: bytes, books: Books) -> Answer:
        """The answer to a SOAP message. One that is no request of this office gets a fault, with the rule it breaks."""
        try:
            root = xmldoc.parse(message, UTF8)
            [asked] = one(root, f"{{{_SOAP}}}Body")
        except (ProtocolError, ValueError) as error:
            rule = (
                RuleKind.CHARSET if isinstance(error, ProtocolError) and error.reason == "charset" else RuleKind.FRAME
            )
            words = (f"is no SOAP message with one request ({error})", "不是只含一个请求的 SOAP 报文")
            return faulted(broken("Envelope", rule, "", words, ENVELOPE_ROW, FAULT))
        name = etree.QName(asked)
        if name.namespace == _FACTORY and name.localname == "CreateCertificateIn":
            return self._factory(asked, books)
        if name.namespace not in _SPACES or name.localname != "getCertificatein":
            words = ("is no request of the certificate service", "不是证书服务的请求")
            return faulted(broken("Body", RuleKind.OPERATION, name.text, words, "README.md 8, certificates", FAULT))
        return self._office(asked, name.namespace, books)

    def _office(self, asked: etree._Element, service: str, books: Books) -> Answer:
        space, s = _SPACES[service], f"{{{service}}}"
        fields = XmlFields(asked)
        request_id, certificate = judged_value(fields, "RequestHeader/RequestId"), None
        found = list(HEADER_RULES.findings(fields, books))
        try:
            if request_id in self._messages:
                raise Refused("31")
            certificate = self._issue(value_or(asked, f"{s}ApplicationRequest"), space, books, found)
            self._messages.add(request_id)
            code, text = ("0" if self._pem else "00"), TEXTS["00"]
        except Refused as refused:
            code, text, found = refused.code, TEXTS[refused.code], list(refused.findings)
        shown = None
        if certificate is not None:
            shape = Encoding.PEM if self._pem else Encoding.DER
            der = base64.b64encode(certificate.public_bytes(shape)).decode("ascii")
            shown = el(
                "Certificates",
                el("Certificate", el("Name", "customer"), el("Certificate", der), el("CertificateFormat", "X509")),
            )
        document = xmldoc.build(
            el(
                "CertApplicationResponse",
                {"xmlns": space},
                el("CustomerId", self._customer),
                el("Timestamp", books.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
                el("ResponseCode", code),
                el("ResponseText", text),
                shown,
            ),
            UTF8,
        )
        packed = base64.b64encode(sign_enveloped(document, self._key, self._hand)).decode("ascii")
        head = el(
            "c:ResponseHeader",
            el("c:SenderId", self._customer),
            el("c:RequestId", request_id),
            el("c:ResponseCode", "00" if code == "0" else code),
            el("c:ResponseText", text),
        )
        out = el("c:getCertificateout", {"xmlns:c": service}, head, el("c:ApplicationResponse", packed))
        whole = xmldoc.build(el("soap:Envelope", {"xmlns:soap": _SOAP}, el("soap:Body", out)), UTF8)
        return posted(200, whole, ISSUES, code, text, found)

    def _factory(self, asked: etree._Element, books: Books) -> Answer:
        """Answer for Danske's own service: the request is encrypted, and one PIN gets two certificates."""
        fields = XmlFields(asked)
        request_id = judged_value(fields, "RequestHeader/RequestId")
        found = list(FACTORY_HEADER_RULES.findings(fields, books))
        try:
            if request_id in self._messages:
                raise Refused("31")
            root = self._unsealed(asked)
            found += self._broken_rules(root, CREATES, f"{_FACTORY}/elements", "CreateCertificateRequest", books)
            if found:
                raise Refused(found[0].refusal.code, *found)
            elements = XmlFields(root)
            if judged_value(elements, "PIN") != self._code:
                raise Refused("30")
            names = ("EncryptionCertPKCS10", "SigningCertPKCS10")
            made = [self._made(judged_value(elements, name), books.now()) for name in names]
        except Refused as refused:
            # A fault of this service has no signature.
            text = TEXTS[refused.code]
            fault = el(
                "elem:PKIFactoryServiceFault",
                {"xmlns:elem": f"{_FACTORY}/elements"},
                el("elem:ReturnCode", refused.code),
                el("elem:ReturnText", text),
            )
            whole = el("soap:Fault", el("faultcode", "soap:Client"), el("faultstring", "fault"), el("detail", fault))
            message = xmldoc.build(el("soap:Envelope", {"xmlns:soap": _SOAP}, el("soap:Body", whole)), UTF8)
            return posted(200, message, CREATES, refused.code, text, refused.findings)
        self._code = None
        self._messages.add(request_id)
        self._renewed(made[1].public_bytes(Encoding.PEM))
        der = [base64.b64encode(one.public_bytes(Encoding.DER)).decode("ascii") for one in made]
        response = el(
            "tns:CreateCertificateResponse",
            {"xml:id": "response", "xmlns:tns": f"{_FACTORY}/elements"},
            el("tns:ReturnCode", "00"),
            el("tns:ReturnText", "OK"),
            el("tns:EncryptionCert", der[0]),
            el("tns:SigningCert", der[1]),
            el("tns:RequestId"),
        )
        head = el(
            "pkif:ResponseHeader",
            el("pkif:SenderId", self._customer),
            el("pkif:CustomerId", self._customer),
            el("pkif:RequestId", request_id),
        )
        out = el("pkif:CreateCertificateOut", {"xmlns:pkif": _FACTORY}, head, response)
        whole = el("soap:Envelope", {"xmlns:soap": _SOAP}, el("soap:Body", out))
        return posted(200, _sign_by_id(whole, self._key, self._hand), CREATES, "00", "OK", ())

    def _unsealed(self, asked: etree._Element) -> etree._Element:
        sealed, opener = list(asked)[1:], self._opener
        try:
            if len(sealed) != 1 or opener is None:
                raise ProtocolError("structure", "one sealed request is due")
            return xmldoc.parse(encryption.decrypt(etree.tostring(sealed[0]), opener), UTF8)
        except ProtocolError as error:
            words = (f"is no request sealed for this bank ({error.text})", "不是用本行证书加密的请求")
            place, source = "CreateCertificateIn/EncryptedData", "README.md 8, certificates"
            raise Refused("12", broken(place, RuleKind.FRAME, "", words, source, refusal("12"))) from None

    def _broken_rules(
        self, root: etree._Element, operation: str, space: str, named: str, books: Books
    ) -> list[RequestFinding]:
        if root.tag != f"{{{space}}}{named}":
            words = (f"is no {named}", f"不是 {named}")
            return [broken(named, RuleKind.FRAME, str(root.tag), words, "README.md 8, certificates", refusal("12"))]
        rules = RULES[operation]
        judged = replace(rules, together=(of_customer(self._customer), *rules.together))
        return placed(f"{named}/", judged.findings(XmlFields(root), books))

    def _issue(self, packed: str, space: str, books: Books, found: list[RequestFinding]) -> x509.Certificate:
        try:
            document = base64.b64decode("".join(packed.split()), validate=True)
            root = xmldoc.parse(document, UTF8)
        except (ProtocolError, ValueError) as error:
            words = (f"is no XML in base64 ({error})", "不是 base64 的 XML")
            source = "README.md 8, certificates"
            odd = broken("ApplicationRequest", RuleKind.FRAME, "", words, source, refusal("12"))
            told = [*found, odd]
            raise Refused(told[0].refusal.code, *told) from None
        told = [*found, *self._broken_rules(root, ISSUES, space, "CertApplicationRequest", books)]
        if told:
            raise Refused(told[0].refusal.code, *told)
        n = f"{{{space}}}"
        if maybe(root, f"{{{dsig.DS}}}Signature") is not None:
            self._check_old_key(document, space, books.now())
        else:
            self._check_code(root, n)
        certificate = self._made(judged_value(XmlFields(root), "Content"), books.now())
        self._renewed(certificate.public_bytes(Encoding.PEM))
        return certificate

    def _check_code(self, root: etree._Element, n: str) -> None:
        if self._code is None:
            raise Refused("30")
        if self._by_hmac:
            der = base64.b64decode("".join(value(root, f"{n}Content").split()))
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
        except ProtocolError as error:
            words = (f"does not verify with a registered key ({error.text})", "用已登记的证书验签不通过")
            place, source = "CertApplicationRequest/Signature", "README.md 8, renewal"
            raise Refused(
                "18", broken(place, RuleKind.SIGNATURE, error.reason, words, source, WRONG_SIGNATURE)
            ) from None

    def _made(self, packed: str, now: datetime) -> x509.Certificate:
        wanted = request_of(packed)
        assert wanted is not None, "the rules saw it"
        public = wanted.public_key()
        assert isinstance(public, RSAPublicKey), "the rules saw it"
        self._issued += 1
        begins = now.astimezone(UTC) - timedelta(days=1)
        return _certificate(self._key, public, wanted.subject, self._issuer, 1000 + self._issued, begins)


def own_certificate(key: bytes) -> x509.Certificate:
    """A certificate of the bank's own signing key, for a bank that was given none to show."""
    return _certificate(key, _private_key(key).public_key(), _BANK, _BANK, 1, _FIRST, _YEARS_20)


@lru_cache(maxsize=8)
def _private_key(pem: bytes) -> RSAPrivateKey:
    """The key, read once: OpenSSL verifies its primes at each reading, which takes 40 ms."""
    private = load_pem_private_key(pem, None)
    assert isinstance(private, RSAPrivateKey)
    return private


def _certificate(
    key: bytes,
    public: RSAPublicKey,
    subject: x509.Name,
    issuer: x509.Name,
    number: int,
    begins: datetime,
    life: timedelta = _YEARS_2,
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(number)
        .not_valid_before(begins)
        .not_valid_after(begins + life)
        .add_extension(x509.KeyUsage(True, True, False, False, False, False, False, False, False), critical=True)
        .sign(_private_key(key), hashes.SHA256())
    )


def posted(
    status: int, body: bytes, operation: str, code: str, reason: str, findings: Iterable[RequestFinding]
) -> Answer:
    """The answer to a POST, with what it says and the rules that the request broke."""
    headers = [("Content-Type", "text/xml; charset=utf-8")]
    return Answer(http.answer(status, headers, body), False, operation, code, reason, tuple(findings))


def faulted(found: RequestFinding) -> Answer:
    """A SOAP fault about a message that does not belong to the service."""
    fault = el("soap:Fault", el("faultcode", found.refusal.code), el("faultstring", found.words.english))
    body = xmldoc.build(el("soap:Envelope", {"xmlns:soap": _SOAP}, el("soap:Body", fault)), UTF8)
    return posted(500, body, "", found.refusal.code, found.refusal.text, (found,))


def sign_enveloped(document: bytes, key: bytes, hand: Hand = USUAL) -> bytes:
    """The signature that banks put on their answers: enveloped, in the canonical form of the hand, by libxmlsec."""
    xmlsec: Any = xmlsec_module()
    words = xmlsec.constants
    root = etree.fromstring(document, LONG_TEXTS)
    digest, method = hand.hash_words(words)
    node = xmlsec.template.create(root, getattr(words, _WORDS[hand.c14n]), method)
    root.append(node)
    reference = xmlsec.template.add_reference(node, digest, uri="")
    for transform in hand.transforms:
        xmlsec.template.add_transform(reference, getattr(words, _WORDS[transform]))
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(key, words.KeyDataFormatPem)
    context.sign(node)
    return etree.tostring(root, encoding=hand.charset, xml_declaration=True)


def _sign_by_id(envelope: Markup, key: bytes, hand: Hand) -> bytes:
    """The signature of this service: inside the response, over the response by its xml:id, in the exclusive form."""
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
