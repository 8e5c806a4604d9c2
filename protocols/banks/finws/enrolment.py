"""Certificates: the first one with a one-time code, each next one signed with the key before (README.md section 8).

The caller (`bankgw certificates`) keeps the request in a file, with the new private key beside it, until the
certificate is issued; `protocols.certificates` gives the next permitted step after a missing answer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, date
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.bank import Context, Port, Sign, Submit
from protocols.banks.finws.messages import Wire, unbase64
from protocols.banks.finws.names import DONE, SOAP, S
from protocols.banks.finws.requests import CERTIFICATE, OFFICE_HEADER, CertificateWords, MessageHead
from protocols.certificates import CertificateSubject, Enrolling, Issued, Stage, public_der
from protocols.kit import dsig, http
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.xmldoc import build, el, one, parse, several, value, value_or

_ANSWER_BYTES_MAX: Final = 262_144
PORT: Final = Port("certificates", lambda: http.HttpAnswers().cutter(_ANSWER_BYTES_MAX), kept=False)
# The second name has been seen in an answer to a renewal.
_DONE: Final = (DONE, "0")
_PEM: Final = b"-----BEGIN"
# sha256WithRSAEncryption with its NULL parameter, in DER.
_SHA256_RSA: Final = bytes.fromhex("300d06092a864886f70d01010b0500")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The bank's certificate service (a `certificates.Office`): port "certificates", HTTP over TLS, under `path`."""

    wire: Wire
    path: str = "/services/CertificateService"
    port: Port = PORT
    old_key: str = "content"

    def first(self, wanted: CertificateSubject, code: str, context: Context) -> Enrolling:
        """Request the first certificate with the one-time code, signing with the new key ("new") only. Raises
        ProtocolError before the Submit."""
        self._only_where_offered()
        if not code:
            raise ProtocolError("value", "no code given")
        der = yield from signed_request(wanted)
        return (yield from self._ask(self._document(der, context, code), wanted, context))

    def renew(self, wanted: CertificateSubject, context: Context) -> Enrolling:
        """Request a new certificate with the key that is still valid ("content"), without a code or a person. Begin
        long before the old certificate ends."""
        self._only_where_offered()
        if not self.wire.content_certificates:
            raise ProtocolError("value", "there is no certificate yet to sign a renewal with; ask with a code")
        der = yield from signed_request(wanted)
        profile = self._profile("CertApplicationRequest")
        prepared = dsig.prepare(self._document(der, context), profile, declaration="")
        signature = yield Sign(self.old_key, prepared.octets)
        info = dsig.x509_key_info(profile, [self.wire.content_certificates[0]])
        return (yield from self._ask(dsig.attach(prepared, signature, info), wanted, context))

    def read_answer(self, data: bytes, request_id: str, public_der: bytes, today: date | None = None) -> Issued:
        """The outcome of the answer to a request, also to one sent again. Raises ProtocolError for bytes that are no
        answer.
        """
        message, charset_of = http.expect_status(http.parse_answer(data)), self.wire.variant.charset_of
        body = one(parse(message, charset_of(message)), f"{S}Body")
        n = f"{{{self.wire.variant.cert_service}}}"
        out = one(body, f"{n}getCertificateout")
        said = value(out, f"{n}ResponseHeader/{n}RequestId")
        if said != request_id:
            raise ProtocolError("correlation", f"an answer to request {said!r}, not {request_id}")
        document = unbase64(value(out, f"{n}ApplicationResponse"), "ApplicationResponse")
        profile = self._profile("CertApplicationResponse", answer=True)
        root = dsig.verify(
            document, profile, self.wire.bank_keys, charset=charset_of(document), today=today, engine=self.wire.engine
        ).root
        d = f"{{{self.wire.variant.cert_namespace}}}"
        if value(root, f"{d}CustomerId") != self.wire.customer:
            raise ProtocolError("correlation", "an answer to another customer")
        code, text = value(root, f"{d}ResponseCode"), plain(value_or(root, f"{d}ResponseText"))
        if code in ("31", "32"):
            return Issued(Stage.ARRIVED, code, text)
        if code not in _DONE:
            # The codes for "the bank itself does not know" leave the request in its state.
            return Issued(Stage.ASKED if code in ("23", "26") else Stage.REFUSED, code, text)
        for row in several(root, f"{d}Certificates/{d}Certificate"):
            certificate = read_certificate(unbase64(value(row, f"{d}Certificate"), "Certificate"))
            if certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public_der:
                return Issued(Stage.ISSUED, code, text, certificate.public_bytes(Encoding.PEM))
        raise ProtocolError("wrong_key", "the answer holds no certificate of the key that we asked for")

    def _only_where_offered(self) -> None:
        if self.wire.variant.enrolment == "none":
            raise ProtocolError("value", "this kind of bank gives certificates another way")

    def _ask(self, document: bytes, wanted: CertificateSubject, context: Context) -> Enrolling:
        service, request_id = self.wire.variant.cert_service, f"{self.wire.prefix}C{context.serials[0]}"
        head_words = OFFICE_HEADER.texts(MessageHead(self.wire.sender, request_id, stamp(context)))
        head = el("c:RequestHeader", [el(f"c:{name}", text) for name, text in head_words])
        asked = el(
            "c:getCertificatein",
            {"xmlns:c": service},
            head,
            el("c:ApplicationRequest", base64.b64encode(document).decode("ascii")),
        )
        soap = build(el("soap:Envelope", {"xmlns:soap": SOAP}, el("soap:Header"), el("soap:Body", asked)), UTF8)
        headers = [("Content-Type", "text/xml; charset=utf-8"), ("SOAPAction", '""'), ("Connection", "close")]
        answer = yield Submit(
            "certificates", http.request("POST", self.path, self.wire.host, headers, soap), (request_id,)
        )
        return self.read_answer(answer, request_id, public_der(wanted), context.now.date())

    def _document(self, der: bytes, context: Context, code: str = "") -> bytes:
        """The request's document: with the code or the proof of it, or to be signed with the old key."""
        content, by_hmac = base64.b64encode(der).decode("ascii"), self.wire.variant.enrolment == "hmac"
        mac = ""
        if by_hmac and code:
            mac, code = base64.b64encode(hmac.new(code.encode(), der, hashlib.sha1).digest()).decode("ascii"), ""
        words = CertificateWords(
            self.wire.customer,
            self.wire.environment,
            stamp(context),
            content,
            self.wire.software,
            "ISSUER" if by_hmac else "MATU",
            mac=mac,
            code=code,
        )
        space = {"xmlns": self.wire.variant.cert_namespace}
        return build(el("CertApplicationRequest", space, CERTIFICATE.elements(words)), UTF8, declaration="")

    def _profile(self, root: str, *, answer: bool = False) -> dsig.SignatureProfile:
        form = self.wire.variant.answer if answer else self.wire.variant.request
        path = f"/{{{self.wire.variant.cert_namespace}}}{root}/{{{dsig.DS}}}Signature"
        reference = dsig.Enveloped(form.transforms, form.digest)
        return dsig.SignatureProfile(
            f"finws {root}",
            path,
            (reference,),
            c14n=form.c14n,
            signature_method=form.method,
            weak_until=self.wire.variant.weak_until,
            min_rsa_bits=self.wire.variant.bits_of(form),
        )


def signed_request(wanted: CertificateSubject) -> Generator[Sign, bytes, bytes]:
    """A PKCS#10 request in DER, signed by the new key, which may be in a file, a token or a service."""
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, wanted.common_name),
            x509.NameAttribute(x509.NameOID.COUNTRY_NAME, wanted.country),
        ]
    )
    info = _der(0x30, bytes.fromhex("020100") + name.public_bytes() + public_der(wanted) + _der(0xA0, b""))
    signature = yield Sign("new", info)
    return _der(0x30, info + _SHA256_RSA + _der(0x03, b"\x00" + signature))


def read_certificate(data: bytes) -> x509.Certificate:
    """The certificate in DER or PEM. Samlink has sent a renewed one in PEM. Raises "value"."""
    try:
        return x509.load_pem_x509_certificate(data) if data.startswith(_PEM) else x509.load_der_x509_certificate(data)
    except ValueError:
        raise ProtocolError("value", "what the answer holds is no certificate") from None


def stamp(context: Context) -> str:
    """The time of a request, in UTC."""
    return context.now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _der(tag: int, content: bytes) -> bytes:
    """One element of DER: tag, definite length, content."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content
