"""The simulated bank's WS-Security: it verifies the envelope of a request, and signs that of an answer by libxmlsec."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from lxml import etree

from protocols.banks.finws.twin_enrolment import LONG_TEXTS, Hand
from protocols.banks.finws.twin_rules import MODEL, SECURITY_ROW, SECURITY_RULES, UNPROVEN, broken, moment, placed
from protocols.judge import HeldAccounts, RequestFinding, RuleKind, XmlFields
from protocols.kit import dsig, xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.dsig.stack import xmlsec_module
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el

SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
_SEXT: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_UTIL: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
_TOKEN: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
_BASE64: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
_HEADER: Final = f"/{{{SOAP}}}Envelope/{{{SOAP}}}Header/{{{_SEXT}}}Security"
_CARRIER: Final = dsig.SignatureProfile(
    "finws twin, carrier",
    f"{_HEADER}/{{{dsig.DS}}}Signature",
    references=(
        dsig.ById(f"/{{{SOAP}}}Envelope/{{{SOAP}}}Body", f"{{{_UTIL}}}Id"),
        dsig.ById(f"{_HEADER}/{{{_UTIL}}}Timestamp", f"{{{_UTIL}}}Id"),
    ),
    key_info=(f"{{{_SEXT}}}SecurityTokenReference",),
)
# Some customers' programs sign only the body. Its own Timestamp then states when it was made.
BODY_ALONE: Final = dsig.SignatureProfile(
    "finws twin, carrier of the body alone",
    _CARRIER.signature_path,
    references=_CARRIER.references[:1],
    key_info=_CARRIER.key_info,
)
# The canonicalisations that customers' programs use for the envelope's SignedInfo. The contract says which one a bank
# takes.
CARRIER_FORMS: Final = {
    "exclusive": dsig.EXC_C14N,
    "exclusive_comments": dsig.EXC_C14N_COMMENTS,
    "inclusive": dsig.C14N,
}
_LIFE: Final = timedelta(seconds=300)
_STAMP: Final = "wsse:Security/Timestamp"


@dataclass(frozen=True, slots=True)
class Carrier:
    """Judges the security header of a customer's envelopes.

    `keys` are the customer's, to which renewed ones are added. `forms`: the canonical forms of SignedInfo that the bank
    accepts. `skew`: how far the two clocks may differ. Without `stamp_signed` the body's signature is enough. Without
    `verifies` no signature is verified.
    """

    keys: list[dsig.PinnedKey]
    forms: tuple[str, ...]
    skew: timedelta
    stamp_signed: bool
    verifies: bool
    most_bytes: int

    def judged(
        self, message: bytes, envelope: etree._Element, now: datetime, books: HeldAccounts
    ) -> tuple[etree._Element, list[RequestFinding]]:
        """The SOAP body to act on, and the faults of the header. The body is the signed one if nothing is wrong."""
        body, stamped = envelope.find(f"{{{SOAP}}}Body"), self.stamp_signed
        assert body is not None, "the shape of the envelope was judged before"
        found: list[RequestFinding] = []
        if self.verifies:
            verified = self._verified(message, found)
            if verified is not None:
                body, stamped = verified.root, self.stamp_signed or len(verified.parts) == 2
        security = envelope.find(f"{{{SOAP}}}Header/{{{_SEXT}}}Security")
        if security is None:
            words = ("is required and absent", "必填,但缺少")
            return body, [broken("wsse:Security", RuleKind.MISSING, "", words, SECURITY_ROW, UNPROVEN), *found]
        fields = XmlFields(security)
        told = placed("wsse:Security/", SECURITY_RULES.findings(fields, books))
        return body, [*found, *told, *self._stamp(fields, body, now, stamped)]

    def _verified(self, message: bytes, found: list[RequestFinding]) -> dsig.Verified | None:
        profiles = (_CARRIER,) if self.stamp_signed else (_CARRIER, BODY_ALONE)
        error: ProtocolError | None = None
        for form in (replace(profile, c14n=form) for profile in profiles for form in self.forms):
            try:
                return dsig.verify(message, form, self.keys, engine="hand", max_bytes=self.most_bytes)
            except ProtocolError as refused:
                error = error or refused
        assert error is not None, "there is a form"
        words = (f"does not verify with the customer's certificate ({error.text})", "用客户登记的证书验签不通过")
        rule = RuleKind.SIGNATURE
        found.append(broken("wsse:Security/Signature", rule, error.reason, words, SECURITY_ROW, UNPROVEN))
        return None

    def _stamp(self, fields: XmlFields, body: etree._Element, now: datetime, stamped: bool) -> list[RequestFinding]:
        """The faults of the time stamp; if it is not signed, those of the body's own time."""
        if not stamped:
            place = "RequestHeader/Timestamp"
            of_body = [one.text or "" for one in body.iter(f"{{{MODEL}}}Timestamp")]
            begins = ends = of_body[0] if of_body else ""
        else:
            place = _STAMP
            begins, ends = (next(iter(fields.texts(f"Timestamp/{name}")), "") for name in ("Created", "Expires"))
        if not begins or not ends:
            words = ("has no Created and Expires", "缺少 Created 与 Expires")
            return [broken(place, RuleKind.MISSING, begins, words, SECURITY_ROW, UNPROVEN)]
        times = [_time(one) for one in (begins, ends)]
        if times[0] is None or times[1] is None:
            words = ("is no time with an offset from UTC", "不是带时区的时间")
            return [broken(place, RuleKind.FORM, f"{begins} {ends}", words, SECURITY_ROW, UNPROVEN)]
        if stamped and times[0] >= times[1]:
            words = ("expires before it was made", "失效时间早于生成时间")
            return [broken(place, RuleKind.TOGETHER, f"{begins} {ends}", words, SECURITY_ROW, UNPROVEN)]
        late = now >= times[1] + self.skew if stamped else now > times[1] + self.skew
        if times[0] - self.skew > now or late:
            shown = now.astimezone(UTC).isoformat(timespec="seconds")
            words = (f"is not of now: the bank's clock says {shown}", f"不在有效期内:银行时钟为 {shown}")
            return [broken(place, RuleKind.TOGETHER, f"{begins} {ends}", words, SECURITY_ROW, UNPROVEN)]
        return []


def _time(given: str) -> datetime | None:
    if moment(given) is not None:
        return None
    found = datetime.fromisoformat(given)
    return None if found.tzinfo is None else found


def envelope_of(inside: Markup, certificate: Certificate, now: datetime) -> bytes:
    """An answer's envelope before it is signed. It shows the bank's certificate: strict clients want to see it."""
    der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")
    token = el("wsse:BinarySecurityToken", {"EncodingType": _BASE64, "ValueType": _TOKEN, "wsu:Id": "BST"}, der)
    stamp = el("wsu:Timestamp", {"wsu:Id": "TS"}, el("wsu:Created", utc(now)), el("wsu:Expires", utc(now + _LIFE)))
    names = {"xmlns:wsse": _SEXT, "xmlns:wsu": _UTIL, "soap:mustUnderstand": "1"}
    security = el("wsse:Security", names, token, stamp)
    body = el("soap:Body", {"xmlns:wsu": _UTIL, "wsu:Id": "B"}, inside)
    return xmldoc.build(el("soap:Envelope", {"xmlns:soap": SOAP}, el("soap:Header", security), body), UTF8)


def sign_carrier(envelope: bytes, key: bytes, hand: Hand) -> bytes:
    """WS-Security over body and time stamp, with a reference to the token, by libxmlsec."""
    xmlsec: Any = xmlsec_module()
    words = xmlsec.constants
    root = etree.fromstring(envelope, LONG_TEXTS)
    security = root[0][0]
    stamp = security[-1]
    digest, method = hand.hash_words(words)
    node = xmlsec.template.create(security, words.TransformExclC14N, method, ns="ds")
    security.append(node)
    context = xmlsec.SignatureContext()
    for element, name in ((root[1], "B"), (stamp, "TS")):
        reference = xmlsec.template.add_reference(node, digest, uri=f"#{name}")
        xmlsec.template.add_transform(reference, words.TransformExclC14N)
        context.register_id(element, "Id", _UTIL)
    info = xmlsec.template.ensure_key_info(node)
    pointer = etree.SubElement(info, f"{{{_SEXT}}}SecurityTokenReference")
    etree.SubElement(pointer, f"{{{_SEXT}}}Reference", URI="#BST", ValueType=_TOKEN)
    context.key = xmlsec.Key.from_memory(key, words.KeyDataFormatPem)
    context.sign(node)
    return etree.tostring(root, encoding=hand.charset, xml_declaration=True)


def utc(moment_of: datetime) -> str:
    """A time in UTC, to the second."""
    return moment_of.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
