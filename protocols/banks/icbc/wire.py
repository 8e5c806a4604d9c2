"""Bytes of NetSafe Client: the form that carries a message, the envelope CMS/eb, and the sign port.

Two plain HTTP ports on the customer's network: the sign port signs a whole message, the encrypt port (here
"business") takes the form and answers `reqData=` with Base64 in lines of 76 characters, or `errorCode=` with a number.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from urllib.parse import quote

from lxml import etree

from protocols.bank import Ask, Conversation, QuestionStep
from protocols.banks.icbc.options import Options
from protocols.banks.icbc.requests import FORM, PUB, WrittenMessage, elements, moment
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ErrorReason, ProtocolError
from protocols.kit.fields import digits
from protocols.kit.sign_port import SIGN_TYPE, decoded, signed, without_blanks
from protocols.kit.xmldoc import Markup, build, el, maybe, one, value, value_or

PATH: Final = "/servlet/ICBCCMPAPIReqServlet"
ANSWER_BYTES_MAX: Final = 2 * 1_048_576
XML_BYTES_MAX: Final = 1_572_864
XML_NODES_MAX: Final = 100_000
RENMINBI: Final = ("001", "RMB", "CNY")
"""What CurrType is answered with for CNY: 001, but RMB in QHISD."""
_PACKAGE_ID = re.compile(r"[0-9A-Za-z]{1,25}", re.ASCII)
_SEQUENCE: Final = b"\x30"
_END: Final = b"</CMS>"
_FEN = re.compile(r"-?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refused:
    """An error number of NetSafe Client itself, not a message of the bank. The outcome of our message is unknown."""

    code: str


@dataclass(frozen=True, slots=True)
class Message:
    """An answer of the bank: code and text about the package, and its body (None if a refusal has none)."""

    code: str
    text: str
    serial: str
    out: etree._Element | None

    @property
    def accepted(self) -> bool:
        """True if the package was processed. This proves nothing about the lines in it."""
        return self.code == "0"


@dataclass(frozen=True, slots=True)
class Wire:
    """Writes requests for one login."""

    options: Options

    def document(self, operation: str, package_id: str, day: date, now: datetime, inner: Sequence[Markup]) -> bytes:
        """A whole request message. Raises ProtocolError for text that GBK or the bank's forms cannot carry."""
        if not _PACKAGE_ID.fullmatch(package_id):
            raise ProtocolError("value", f"{package_id!r} is no fSeqno: 1 to 25 letters or digits")
        pub = elements(PUB, WrittenMessage(operation, package_id, day, now, self.options))
        return build(el("CMS", el("eb", el("pub", pub), el("in", inner))), GBK)

    def question(self, operation: str, package_id: str, document: bytes, day: date, now: datetime) -> bytes:
        """The whole HTTP request of a message that is not signed."""
        plain = self.options.query_data == "plain"
        data = GBK.decode(document) if plain else base64.b64encode(document).decode("ascii")
        return self.posted(WrittenMessage(operation, package_id, day, now, self.options, data))

    def posted(self, message: WrittenMessage) -> bytes:
        """The whole HTTP request of a message in its form. The signature of a signed one contains it."""
        login, package_id = quote(self.options.certificate_id), message.package_id
        target = f"{PATH}?userID={login}&PackageID={package_id}&SendTime={moment(message.now)}"
        body = http.form(FORM.texts(message), GBK)
        return http.post(target, self.options.host_header, "application/x-www-form-urlencoded", body)

    def signed(self, document: bytes) -> Generator[QuestionStep, bytes, str]:
        """The sign port's signature of a message, in Base64 without line ends. Raises Declined; the message was not
        sent then."""
        request = http.post("/", self.options.host_header, SIGN_TYPE, document)
        signature = yield from signed(request, document, check_content=self.options.check_signed_content)
        return signature.decode("ascii")

    def ask(
        self, operation: str, serial: int, day: date, now: datetime, inner: Sequence[Markup]
    ) -> Conversation[Message | Refused]:
        """Ask one question over the encrypt port, under a number of its own."""
        package_id = f"{self.options.query_prefix}{serial:012d}"
        document = self.document(operation, package_id, day, now, inner)
        answer = yield Ask("business", self.question(operation, package_id, document, day, now))
        return read_answer(answer, operation, package_id, self.options.cis)


def read_answer(frame: bytes, operation: str, package_id: str, cis: str) -> Message | Refused:
    """The answer to `operation`, or NetSafe Client's own refusal.

    Raises ProtocolError for anything else, "correlation" where the message names another operation, package or group.
    """
    body = http.body_of(frame).strip()
    if body.startswith(b"errorCode="):
        code = body[10:].strip()
        if not re.fullmatch(rb"-?[0-9A-Za-z]{1,20}", code):
            raise ProtocolError("value", f"errorCode={code[:40]!r}")
        return Refused(code.decode("ascii"))
    if not body.startswith(b"reqData="):
        raise ProtocolError("value", f"neither reqData= nor errorCode=: {body[:40]!r}")
    document = _content(decoded(without_blanks(body[8:])))
    root = xmldoc.parse_root(document, GBK, "CMS", max_bytes=XML_BYTES_MAX, max_nodes=XML_NODES_MAX)
    pub = one(root, "eb/pub")
    for tag, ours in (("TransCode", operation), ("fSeqno", package_id), ("CIS", cis)):
        stated = value_or(pub, tag, cis) if tag == "CIS" else value(pub, tag)
        if stated != ours:
            raise ProtocolError("correlation", f"{operation}: the answer's {tag} is {stated!r}, not {ours!r}")
    return Message(value(pub, "RetCode"), value_or(pub, "RetMsg"), value_or(pub, "SerialNo"), maybe(root, "eb/out"))


def _content(data: bytes) -> bytes:
    """The message in the content of `reqData`: plain, or inside a PKCS#7 signature.

    A signature begins with the octet of an ASN.1 sequence, and contains the message in clear (banks/icbc.md 3). The
    message is cut out and the signature is not verified; an answer without a signature could not be verified either.
    Raises "missing" or "ambiguous".
    """
    if not data.startswith(_SEQUENCE):
        return data
    if data.count(b"<?xml") != 1 or data.count(_END) != 1:
        reason: ErrorReason = "ambiguous" if b"<?xml" in data and _END in data else "missing"
        raise ProtocolError(reason, "an attached signature without exactly one message in it")
    return data[data.index(b"<?xml") : data.index(_END) + len(_END)]


def fen(text: str, *, signed: bool = False) -> int:
    """An amount in fen, as digits only. Raises "value" for a decimal point, which would mean an amount in yuan."""
    if not _FEN.fullmatch(text) or (text.startswith("-") and not signed):
        raise ProtocolError("value", f"{text[:40]!r} is not a whole number of fen")
    return int(text)


def number(text: str) -> int:
    """A count or a line number; leading zeros do not matter. Raises "value"."""
    return digits(text, most=9)
