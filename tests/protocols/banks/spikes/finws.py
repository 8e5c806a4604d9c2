"""A spike of the Finnish Web Services (bxd.fi): an upload signed twice, and a repeat that proves delivery.

The business signature is enveloped in ApplicationRequest; the transport signature is detached, over the SOAP
body and the time stamp.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from protocols.bank import (
    Bank,
    Context,
    Conversation,
    MoneyConversation,
    Port,
    Profile,
    Questions,
    Replay,
    ReplayRule,
    Sessions,
    Sign,
    Submit,
)
from protocols.canon.limits import Limits
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import Sent
from protocols.kit import codes, dsig, http
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor
from protocols.kit.xmldoc import build, el, one, parse, value, value_or

SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
SERVICE: Final = "http://bxd.fi/CorporateFileService"
MODEL: Final = "http://model.bxd.fi"
DATA: Final = "http://bxd.fi/xmldata/"
X509_TOKEN: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
HOST: Final = "fep.bank.test"
_HEAD: Final = f"/{{{SOAP}}}Envelope/{{{SOAP}}}Header/{{{WSSE}}}Security"

CONTENT: Final = dsig.Profile("finws.content", f"/{{{DATA}}}ApplicationRequest/{{{dsig.DS}}}Signature")
TRANSPORT: Final = dsig.Profile(
    "finws.transport",
    f"{_HEAD}/{{{dsig.DS}}}Signature",
    references=(
        dsig.ById(f"/{{{SOAP}}}Envelope/{{{SOAP}}}Body", f"{{{WSU}}}Id"),
        dsig.ById(f"{_HEAD}/{{{WSU}}}Timestamp", f"{{{WSU}}}Id"),
    ),
    key_info=(f"{{{WSSE}}}SecurityTokenReference",),
)
# Banks answer with the inclusive canonical form.
ANSWER: Final = dsig.Profile(
    "finws.answer",
    f"/{{{DATA}}}ApplicationResponse/{{{dsig.DS}}}Signature",
    references=(dsig.Enveloped((dsig.ENVELOPED, dsig.C14N)),),
    c14n=dsig.C14N,
)
TABLE: Final = codes.load("""
[[code]]
operation = "uploadFile"
layer = "response"
code = "00"
outcome = "pending"
source = "WebServices Messages 1.05: 00 is only a transfer acknowledgement"

[[code]]
operation = "uploadFile"
layer = "response"
code = ["31", "32"]
outcome = "duplicate"
source = "WebServices Messages 1.05: on a repeat, proof of delivery"

[[code]]
operation = "uploadFile"
layer = "response"
code = ["02", "03", "04", "12", "18", "19", "30"]
outcome = "failed"
source = "WebServices Messages 1.05: signature, certificate, schema, authentication"

[[code]]
operation = "uploadFile"
layer = "response"
code = "26"
outcome = "in_doubt"
source = "WebServices Messages 1.05: technical"
""")
_FATES: Final = {"pending": Fate.PENDING, "duplicate": Fate.DUPLICATE, "failed": Fate.FAILED}


def build_bank(options: Mapping[str, Any]) -> Bank:
    """The spike's bank. `certificate` is ours, `bank_keys` are pinned."""
    finws = FinnishBank(options["certificate"], options["bank_keys"])
    door = Port("business", lambda: http.HttpAnswers().cutter(1_048_576), kept=False)
    rule = ReplayRule(Replay.REPLAY_SAFE, timedelta(minutes=10), 2, timedelta(days=90))
    return Bank(
        Profile("finws", "Finnish Web Services", "", Limits("UTF-8"), {Kind.PAYMENT: rule},
                signs=("content", "transport"), serials_per_word=1),
        {"business": door},
        Sessions(window=1, probe=finws.probe, probe_every_s=60),
        {Kind.PAYMENT: finws.pay},
        Questions(),
        finws.read,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class FinnishBank:
    """The words."""

    certificate: Certificate
    bank_keys: Sequence[dsig.PinnedKey]

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """uploadFile with one payment in it: two signatures, then the bytes that a repeat must not change."""
        prepared = dsig.prepare(self._request(order, context), CONTENT)
        signature = yield Sign("content", prepared.octets)
        content = dsig.attach(prepared, signature, dsig.x509_key_info(CONTENT, [self.certificate]))
        envelope = dsig.prepare(self._envelope(content, context), TRANSPORT)
        signature = yield Sign("transport", envelope.octets)
        message = dsig.attach(envelope, signature, _token_reference())
        headers = [("Content-Type", "text/xml; charset=utf-8"), ("SOAPAction", '""')]
        wire = http.request("POST", "/CorporateFileService", HOST, headers, message)
        answer = yield Submit("business", wire, (str(context.serials[0]),))
        return self._taken(answer, context.reference, order.amount)

    def read(self, kind: Kind, sent: Sent, data: bytes) -> Outcome:
        """The stored or repeated answer to the upload of `sent`; no answer to an upload names accounts."""
        return self._taken(data, sent.reference, sent.amount)

    def _taken(self, data: bytes, reference: str, amount: Money) -> Outcome:
        """The bank's signature tells that the answer is the bank's, serial and total that it is ours."""
        soap = parse(http.expect_status(http.parse_answer(data)), UTF8)
        out = one(soap, f"{{{SOAP}}}Body/{{{SERVICE}}}uploadFileout")
        content = _base64(value(out, f"{{{MODEL}}}ApplicationResponse"))
        said = dsig.verify(content, ANSWER, self.bank_keys).root
        code, text = value(said, f"{{{DATA}}}ResponseCode"), value(said, f"{{{DATA}}}ResponseText")
        shown = value(out, f"{{{MODEL}}}ResponseHeader/{{{MODEL}}}ResponseCode")
        if shown != code:
            raise ProtocolError("correlation", f"the envelope says {shown}, the signed content {code}")
        serial, total = value_or(said, f"{{{DATA}}}ExecutionSerial"), value_or(said, f"{{{DATA}}}AmountTotal")
        if serial and serial != reference:
            raise ProtocolError("correlation", f"the answer is about {serial!r}, not {reference!r}")
        if total and amount_minor(total) != amount.minor:
            raise ProtocolError("correlation", f"upload {reference}: the answer's total is {total}")
        found = TABLE.look_up("uploadFile", "response", code, text)
        return Outcome(_FATES.get(found or "", Fate.UNKNOWN), code, text, listed=found is not None)

    def probe(self, context: Context) -> Conversation[None]:
        """None in this spike."""
        yield from ()

    def _request(self, order: AnyOrder, context: Context) -> bytes:
        paid = el("Document", el("EndToEndId", context.reference), el("InstdAmt", str(order.amount)))
        content = base64.b64encode(build(paid, UTF8))
        leaves = (
            ("CustomerId", "11111111"), ("Command", "UploadFile"), ("Timestamp", context.now.isoformat()),
            ("Environment", "TEST"), ("ExecutionSerial", context.reference), ("Compression", "false"),
            ("AmountTotal", str(order.amount)), ("SoftwareId", "bankgw"), ("FileType", "pain.001"),
            ("Content", content.decode("ascii")),
        )  # fmt: skip
        return build(el("ApplicationRequest", {"xmlns": DATA}, [el(tag, text) for tag, text in leaves]), UTF8)

    def _envelope(self, content: bytes, context: Context) -> bytes:
        token = base64.b64encode(self.certificate.public_bytes(Encoding.DER)).decode("ascii")
        expires = context.now + timedelta(minutes=5)
        security = el(
            "wsse:Security",
            {"xmlns:wsse": WSSE, "xmlns:wsu": WSU, "soap:mustUnderstand": "1"},
            el("wsse:BinarySecurityToken", {"ValueType": X509_TOKEN, "wsu:Id": "token"}, token),
            el("wsu:Timestamp", {"wsu:Id": "stamp"}, el("wsu:Created", context.now.isoformat()),
               el("wsu:Expires", expires.isoformat())),
        )  # fmt: skip
        head = el(
            "m:RequestHeader",
            el("m:SenderId", "11111111"),
            el("m:RequestId", str(context.serials[0])),
            el("m:Timestamp", context.now.isoformat()),
            el("m:ReceiverId", "BANKFIHH"),
        )
        upload = el(
            "c:uploadFilein",
            {"xmlns:c": SERVICE, "xmlns:m": MODEL},
            head,
            el("m:ApplicationRequest", base64.b64encode(content).decode("ascii")),
        )
        body = el("soap:Body", {"xmlns:wsu": WSU, "wsu:Id": "body"}, upload)
        return build(el("soap:Envelope", {"xmlns:soap": SOAP}, el("soap:Header", security), body), UTF8)


def _token_reference() -> str:
    reference = el("wsse:Reference", {"URI": "#token", "ValueType": X509_TOKEN})
    return dsig.key_info(TRANSPORT, el("wsse:SecurityTokenReference", {"xmlns:wsse": WSSE}, reference))


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise ProtocolError("value", "ApplicationResponse is not base64") from None
