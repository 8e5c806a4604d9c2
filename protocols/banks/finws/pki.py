"""Danske's own certificate service (PKIFactoryService): two certificates for one key, asked for once with a PIN.

README.md section 8. The form is that of public clients and of one genuine answer of 2022. A renewal has no reliable
public description, so none is made here: the next certificate needs a new PIN.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import date
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.bank import Context, Port, Submit
from protocols.banks.finws import encryption
from protocols.banks.finws.enrolment import PORT, read_certificate, signed_request, stamp
from protocols.banks.finws.messages import Wire, unbase64
from protocols.banks.finws.names import DONE, SOAP, S
from protocols.banks.finws.requests import FACTORY_CERTIFICATE, FACTORY_HEADER, CertificateWords
from protocols.certificates import CertificateSubject, Enrolling, Issued, Stage, public_der
from protocols.kit import dsig, http
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.xmldoc import build, el, maybe, one, parse, value, value_or

_NS: Final = "http://danskebank.dk/PKI/PKIFactoryService"
_ELEMENTS: Final = _NS + "/elements"
_P, _E = f"{{{_NS}}}", f"{{{_ELEMENTS}}}"
_XML_ID: Final = "{http://www.w3.org/XML/1998/namespace}id"
_OUT: Final = f"/{S}Envelope/{S}Body/{_P}CreateCertificateOut/{_E}CreateCertificateResponse"
_ID_CHARS: Final = 10
_SPKI: Final = PublicFormat.SubjectPublicKeyInfo


@dataclass(frozen=True, slots=True)
class Factory:
    """The bank's certificate service (a `certificates.Office`): port "certificates", HTTP over TLS, under `path`."""

    wire: Wire
    path: str
    port: Port = PORT
    old_key: str = "content"

    def first(self, wanted: CertificateSubject, code: str, context: Context) -> Enrolling:
        """Request both certificates with the PIN, encrypted for the bank. Signs only with the new key ("new"), for
        which both certificates are made."""
        if not code:
            raise ProtocolError("value", "no code given")
        if not self.wire.encrypt_to:
            raise ProtocolError("value", "the bank's encryption certificate is needed: the PIN travels sealed")
        der = yield from signed_request(wanted)
        request, at = base64.b64encode(der).decode("ascii"), stamp(context)
        request_id = f"{self.wire.prefix}{context.serials[0]}"[-_ID_CHARS:]
        environment = "production" if self.wire.environment == "PRODUCTION" else "customertest"
        words = CertificateWords(
            self.wire.customer, environment, at, request, sender=self.wire.sender, request_id=request_id, code=code
        )
        document = build(
            el(
                "tns:CreateCertificateRequest",
                {"xmlns:tns": _ELEMENTS},
                [el(f"tns:{name}", text) for name, text in FACTORY_CERTIFICATE.texts(words)],
            ),
            UTF8,
            declaration="",
        )
        sealed = encryption.encrypt(document, self.wire.variant.encryption, self.wire.encrypt_to)
        head = el("pkif:RequestHeader", [el(f"pkif:{name}", text) for name, text in FACTORY_HEADER.texts(words)])
        hole = el("pkif:Sealed")
        asked = el("pkif:CreateCertificateIn", {"xmlns:pkif": _NS}, head, hole)
        soap = build(el("soap:Envelope", {"xmlns:soap": SOAP}, el("soap:Header"), el("soap:Body", asked)), UTF8)
        headers = [
            ("Content-Type", "text/xml; charset=utf-8"),
            ("SOAPAction", '"CreateCertificate"'),
            ("Connection", "close"),
        ]
        message = soap.replace(hole.encode("ascii"), sealed)
        answer = yield Submit(
            "certificates", http.request("POST", self.path, self.wire.host, headers, message), (request_id,)
        )
        return self.read_answer(answer, request_id, public_der(wanted), context.now.date())

    def renew(self, wanted: CertificateSubject, context: Context) -> Enrolling:
        """Refuse a renewal, because its form is not public."""
        yield from ()
        raise ProtocolError("value", "this kind of bank renews another way; ask for a PIN and begin anew")

    def read_answer(self, data: bytes, request_id: str, public_der: bytes, today: date | None = None) -> Issued:
        """The outcome of the answer to a request, also to one sent again. Raises ProtocolError for bytes that are no
        answer.

        A fault of this service has no signature and so proves nothing: the request keeps its state.
        """
        message = http.expect_status(http.parse_answer(data), (200, 500))
        charset = self.wire.variant.charset_of(message)
        body = one(parse(message, charset), f"{S}Body")
        out = maybe(body, f"{_P}CreateCertificateOut")
        if out is None:
            codes = [f"{plain(child.text or '')}" for child in body.iter(f"{_E}ReturnCode", f"{_E}ReturnText")]
            raise ProtocolError("unsigned", f"no certificate but a fault without a signature: {' '.join(codes)}")
        said = value(one(out, f"{_P}ResponseHeader"), f"{_P}RequestId")
        if said != request_id:
            raise ProtocolError("correlation", f"an answer to request {said!r}, not {request_id}")
        root = dsig.verify(
            message, self._profile(), self.wire.bank_keys, charset=charset, today=today, engine=self.wire.engine
        ).root
        code, text = value(root, f"{_E}ReturnCode"), plain(value_or(root, f"{_E}ReturnText"))
        if code != DONE:
            return Issued(Stage.REFUSED, code, text)
        signing = self._ours(value(root, f"{_E}SigningCert"), public_der)
        self._ours(value(root, f"{_E}EncryptionCert"), public_der)
        return Issued(Stage.ISSUED, code, text, signing.public_bytes(Encoding.PEM))

    def _profile(self) -> dsig.SignatureProfile:
        form = self.wire.variant.answer
        reference = dsig.ById(_OUT, _XML_ID, (dsig.ENVELOPED, dsig.EXC_C14N), form.digest)
        return dsig.SignatureProfile(
            "finws CreateCertificateResponse",
            f"{_OUT}/{{{dsig.DS}}}Signature",
            (reference,),
            c14n=dsig.EXC_C14N,
            signature_method=form.method,
            weak_until=self.wire.variant.weak_until,
            min_rsa_bits=self.wire.variant.bits_of(form),
        )

    @staticmethod
    def _ours(shown: str, public: bytes) -> x509.Certificate:
        certificate = read_certificate(unbase64(shown, "Certificate"))
        if certificate.public_key().public_bytes(Encoding.DER, _SPKI) != public:
            raise ProtocolError("wrong_key", "the answer holds a certificate of another key than we asked for")
        return certificate
