"""Bytes of NetSafe Client: the form that carries a message, the envelope CMS/eb, and the sign port.

Two plain HTTP doors on the customer's network: the sign port signs a whole message, the encrypt port (here
"business") takes the form and answers `reqData=` with Base64 in lines of 76 characters, or `errorCode=` with a number.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Final
from urllib.parse import quote

from lxml import etree

from protocols.bank import Ask, Conversation, Cutter, QuestionStep
from protocols.banks.icbc.options import Options
from protocols.kit import http
from protocols.kit.charset import GBK
from protocols.kit.declined import Declined
from protocols.kit.errors import ErrorReason, ProtocolError
from protocols.kit.fields import date_text, digits
from protocols.kit.xmldoc import Markup, build, el, maybe, one, parse, value, value_or

BEIJING: Final = timezone(timedelta(hours=8), "CST")
"""China keeps one time all year."""
PATH: Final = "/servlet/ICBCCMPAPIReqServlet"
ANSWER_BYTES_MAX: Final = 2 * 1_048_576
XML_BYTES_MAX: Final = 1_572_864
XML_NODES_MAX: Final = 100_000
RENMINBI: Final = ("001", "RMB", "CNY")
"""What CurrType is answered with for CNY: 001, but RMB in QHISD."""
_PACKAGE_ID = re.compile(r"[0-9A-Za-z]{1,25}", re.ASCII)
_SEQUENCE: Final = b"\x30"
_END: Final = b"</CMS>"
_WHITE: Final = b" \t\r\n"
_FEN = re.compile(r"-?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refused:
    """NetSafe Client's own word: a number, and no message of the bank. What became of ours is not known."""

    code: str


@dataclass(frozen=True, slots=True)
class Message:
    """An answer of the bank: the words about the package, and its body (None where a refusal came without)."""

    code: str
    text: str
    serial: str
    out: etree._Element | None

    @property
    def accepted(self) -> bool:
        """Whether the package was handled. It says nothing about any line in it."""
        return self.code == "0"


def answers() -> Cutter:
    """A fresh cutter for the answers of either door."""
    return http.HttpAnswers().cutter(ANSWER_BYTES_MAX)


def leaf(tag: str, content: str = "") -> Markup:
    """An element with text, or the empty one as this bank's clients write it."""
    return el(tag, content) if content else Markup(f"<{tag}/>")


def leaves(*written: tuple[str, str]) -> list[Markup]:
    """Leaf elements in the given order. Raises Unencodable with the position inside the field."""
    for _tag, content in written:
        GBK.encode(content)
    return [leaf(tag, content) for tag, content in written]


@dataclass(frozen=True, slots=True)
class Wire:
    """The writing side of one login."""

    options: Options

    def document(self, operation: str, package_id: str, day: date, now: datetime, inner: Sequence[Markup]) -> bytes:
        """A whole request message. Raises ProtocolError on what GBK or the bank's forms cannot carry."""
        if not _PACKAGE_ID.fullmatch(package_id):
            raise ProtocolError("value", f"{package_id!r} is no fSeqno: 1 to 25 letters or digits")
        pub = leaves(
            ("TransCode", operation),
            ("CIS", self.options.cis),
            ("BankCode", self.options.bank_code),
            ("ID", self.options.certificate_id),
            ("TranDate", date_text(day)),
            ("TranTime", moment(now)[8:]),
            ("fSeqno", package_id),
        )
        return build(el("CMS", el("eb", el("pub", pub), el("in", inner))), GBK)

    def question(self, operation: str, package_id: str, document: bytes, now: datetime) -> bytes:
        """The whole HTTP request of a message that is not signed."""
        plain = self.options.query_data == "plain"
        data = GBK.decode(document) if plain else base64.b64encode(document).decode("ascii")
        return self._request(operation, package_id, data, now)

    def instruction(self, operation: str, package_id: str, signature: str, now: datetime) -> bytes:
        """The whole HTTP request of a signed message: the signature contains it."""
        return self._request(operation, package_id, signature, now)

    def _request(self, operation: str, package_id: str, data: str, now: datetime) -> bytes:
        chosen = self.options
        form = [
            ("Version", chosen.version), ("TransCode", operation), ("BankCode", chosen.bank_code),
            ("GroupCIS", chosen.cis), ("ID", chosen.certificate_id), ("PackageID", package_id), ("Cert", ""),
            ("reqData", data),
        ]  # fmt: skip
        if chosen.language_and_zip:
            form += [("Language", "zh_CN"), ("zipFlag", "0")]
        target = f"{PATH}?userID={quote(chosen.certificate_id)}&PackageID={package_id}&SendTime={moment(now)}"
        headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Connection", "close")]
        return http.request("POST", target, chosen.host_header, headers, http.form(form, GBK))

    def signed(self, document: bytes) -> Generator[QuestionStep, bytes, str]:
        """One hop to the sign port, which may be repeated at will: Base64 without line ends.

        Raises Declined where the port refuses, or answers what cannot be used: nothing was sent yet, and asking again
        later is harmless.
        """
        headers = [("Content-Type", "INFOSEC_SIGN/1.0"), ("Connection", "close")]
        answer = yield Ask("sign", http.request("POST", "/", self.options.host_header, headers, document))
        try:
            result, sign = signature_of(answer)
            if result != "0":
                raise Declined("sign", result, "the sign port refused", "retry")
            # Two signatures that change places would make us send another payment under this one's number.
            if self.options.check_signed_content and document not in decoded(sign):
                raise ProtocolError("signature", "the sign port's answer does not contain what was to be signed")
        except Declined:
            raise
        except ProtocolError as error:
            raise Declined("sign", error.reason, error.text, "retry") from None
        return sign.decode("ascii")

    def ask(
        self, operation: str, serial: int, day: date, now: datetime, inner: Sequence[Markup]
    ) -> Conversation[Message | Refused]:
        """One question over the encrypt port, under a number of its own."""
        package_id = f"{self.options.query_prefix}{serial:012d}"
        document = self.document(operation, package_id, day, now, inner)
        answer = yield Ask("business", self.question(operation, package_id, document, now))
        return read_answer(answer, operation, package_id, self.options.cis)


def moment(now: datetime) -> str:
    """A time as yyyyMMddHHmmssSSS in Beijing's zone."""
    local = now.astimezone(BEIJING)
    return f"{local:%Y%m%d%H%M%S}{local.microsecond // 1000:03d}"


def signature_of(answer: bytes) -> tuple[str, bytes]:
    """The sign port's result and signature. What stands around the two elements varies and is not looked at."""
    body = http.expect_status(http.parse_answer(answer))
    result = _inner(body, b"result", must=True).strip()
    sign = _inner(body, b"sign", must=result == b"0")
    return result.decode("ascii", "replace"), sign.translate(None, _WHITE)


def _inner(body: bytes, tag: bytes, *, must: bool) -> bytes:
    found = re.findall(rb"<%b>([^<]*)</%b>" % (tag, tag), body)
    if len(found) > 1 or (must and not found):
        reason: ErrorReason = "ambiguous" if found else "missing"
        raise ProtocolError(reason, f"the sign port's answer has {len(found)} elements {tag.decode()}")
    return found[0] if found else b""


def decoded(data: bytes) -> bytes:
    """Base64 without line ends, strictly. Raises "value"."""
    try:
        plain = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        plain = b""
    if not plain:
        raise ProtocolError("value", "not Base64")
    return plain


def read_answer(frame: bytes, operation: str, package_id: str, cis: str) -> Message | Refused:
    """The answer to `operation`, or NetSafe Client's own refusal.

    Raises ProtocolError for anything else, "correlation" where the message names another operation, package or group.
    """
    body = http.expect_status(http.parse_answer(frame)).strip()
    if body.startswith(b"errorCode="):
        code = body[10:].strip()
        if not re.fullmatch(rb"-?[0-9A-Za-z]{1,20}", code):
            raise ProtocolError("value", f"errorCode={code[:40]!r}")
        return Refused(code.decode("ascii"))
    if not body.startswith(b"reqData="):
        raise ProtocolError("value", f"neither reqData= nor errorCode=: {body[:40]!r}")
    document = _content(decoded(body[8:].translate(None, _WHITE)))
    root = parse(document, GBK, max_bytes=XML_BYTES_MAX, max_nodes=XML_NODES_MAX)
    if root.tag != "CMS":
        raise ProtocolError("missing", f"the answer's root is {root.tag!r}, not CMS")
    pub = one(root, "eb/pub")
    for tag, ours in (("TransCode", operation), ("fSeqno", package_id), ("CIS", cis)):
        stated = value_or(pub, tag, cis) if tag == "CIS" else value(pub, tag)
        if stated != ours:
            raise ProtocolError("correlation", f"{operation}: the answer's {tag} is {stated!r}, not {ours!r}")
    return Message(value(pub, "RetCode"), value_or(pub, "RetMsg"), value_or(pub, "SerialNo"), maybe(root, "eb/out"))


def _content(data: bytes) -> bytes:
    """The message in what `reqData` carried: itself, or inside a signature that is attached to it (PKCS#7).

    A signature begins with the octet of an ASN.1 sequence, and holds the message in clear (banks/icbc.md 3). It is cut
    out and not verified, as little as an answer without one can be. Raises "missing" or "ambiguous".
    """
    if not data.startswith(_SEQUENCE):
        return data
    if data.count(b"<?xml") != 1 or data.count(_END) != 1:
        reason: ErrorReason = "ambiguous" if b"<?xml" in data and _END in data else "missing"
        raise ProtocolError(reason, "an attached signature without exactly one message in it")
    return data[data.index(b"<?xml") : data.index(_END) + len(_END)]


def fen(text: str, *, signed: bool = False) -> int:
    """An amount in fen: digits only. A decimal point is refused: it would be an amount in yuan. Raises "value"."""
    if not _FEN.fullmatch(text) or (text.startswith("-") and not signed):
        raise ProtocolError("value", f"{text[:40]!r} is not a whole number of fen")
    return int(text)


def number(text: str) -> int:
    """A count or a line number; leading zeros do not matter. Raises "value"."""
    return digits(text, most=9)
