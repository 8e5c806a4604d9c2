"""Bytes of the front end BISafe: the sign port, the packet with its own length inside an HTTP body, and verification.

A message is three exchanges (banks/spdb.md 1-3): the sign port wraps `<body>…</body>` in a CMS that contains it; the
transaction port (here "business") accepts the packet around that CMS and answers with another packet; the sign port
verifies the answer. With the bank's certificate in the settings the third step is made here instead. Only the signed
part of an answer is read; an error answer has none, and is a code and a text.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, QuestionStep
from protocols.banks.spdb.options import Options
from protocols.banks.spdb.requests import HEAD, PACKET_ID_CHARS, PacketHead
from protocols.banks.spdb.table import DONE
from protocols.kit import cms, http
from protocols.kit.charset import GBK
from protocols.kit.china import BEIJING
from protocols.kit.errors import ProtocolError
from protocols.kit.framing import LengthPrefix
from protocols.kit.sign_port import SIGN_TYPE, decoded, element, result_of, signed, without_blanks
from protocols.kit.xmldoc import Markup, build, el, maybe, one, parse, value, value_or

ANSWER_BYTES_MAX: Final = 1_048_576
PACKETS_MOST: Final = 100
"""Packets one conversation may send: their number is the end of the packetID, two digits."""
SERIALS: Final = 100_000
"""Serials that a packetID tells apart within one millisecond."""
_ZEROS: Final = LengthPrefix(6, counts_self=True)
_BLANKS: Final = LengthPrefix(6, counts_self=True, pad=" ", align="left")
_PACKET_ID = re.compile(f"[0-9A-Za-z]{{1,{PACKET_ID_CHARS}}}", re.ASCII)
_CODE = re.compile("[0-9A-Za-z]{7}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refused:
    """An error answer, which is unsigned: returnCode and returnMsg. `sure`: head and body state the same code."""

    code: str
    text: str
    sure: bool


@dataclass(frozen=True, slots=True)
class Sealed:
    """A success answer before its signature, which contains the body, is verified."""

    signature: bytes


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """Writes, signs and verifies messages of one customer."""

    options: Options

    def packet_ids(self, context: Context) -> Iterator[str]:
        """Fresh packetIDs for the questions of one conversation, shorter than a payment's. Raises "paging" at the end.

        A packetID is used once a day for each masterID. Five digits of the bank's counter repeat within a day, so the
        time of day precedes them and makes the packetID of each millisecond different. The last two digits count.
        """
        now = context.now.astimezone(BEIJING)
        of_day_ms = (now - now.replace(hour=0, minute=0, second=0, microsecond=0)) // timedelta(milliseconds=1)
        begin = f"{self.options.packet_prefix}{of_day_ms:08d}{context.serials[0] % SERIALS:05d}"
        for number in range(PACKETS_MOST):
            yield f"{begin}{number:02d}"
        raise ProtocolError("paging", f"more than {PACKETS_MOST} messages for one question")

    def signed(self, body: Markup) -> Generator[QuestionStep, bytes, bytes]:
        """The sign port's signature of a body, in Base64 without line ends. Raises Declined; the body was not sent
        then."""
        content = GBK.encode(body)
        return (yield from signed(self._post(SIGN_TYPE, content), content))

    def packet(self, operation: str, packet_id: str, signature: bytes, now: datetime) -> bytes:
        """The whole HTTP request of a signed message. Raises ProtocolError for an invalid packetID."""
        if not _PACKET_ID.fullmatch(packet_id):
            raise ProtocolError("value", f"{packet_id!r} is no packetID: 1 to 20 letters or digits")
        head = HEAD.elements(PacketHead(operation, packet_id, now, self.options))
        root = el("packet", el("head", head), el("body", el("signature", signature.decode("ascii"))))
        document = build(root, GBK, declaration="<?xml version='1.0' encoding='GBK'?>")
        framing = _BLANKS if self.options.length_padding == "blanks" else _ZEROS
        return self._post("text/plain", framing.wrap(document))

    def ask(
        self, operation: str, body: Markup, packet_ids: Iterator[str], context: Context
    ) -> Generator[QuestionStep, bytes, etree._Element | Refused]:
        """Ask one question in three exchanges; returns the verified body, or the bank's code."""
        signature = yield from self.signed(body)
        packet_id = next(packet_ids)
        answer = yield Ask("business", self.packet(operation, packet_id, signature, context.now))
        return (yield from self.opened(answer, operation, packet_id, context.bank_date))

    def opened(
        self, answer: bytes, operation: str, packet_id: str, today: date
    ) -> Generator[QuestionStep, bytes, etree._Element | Refused]:
        """The content of an answer, verified here or by the front end. Raises ProtocolError for bytes that are no
        answer.
        """
        told = sealed(answer, operation, packet_id)
        if isinstance(told, Refused):
            return told
        if self.options.bank_certificate:
            return self.verified(told, today)
        contains = decoded(told.signature)
        asked = self._post("INFOSEC_VERIFY_SIGN/1.0", told.signature)
        result, page = result_of((yield Ask("sign", asked)))
        if result != "0":
            raise ProtocolError("signature", f"the front end does not verify the answer: result {result}")
        content = element(page, "sic").strip()
        # The front end may have mixed up two answers: the body that it shows must be in this answer.
        if content not in contains:
            raise ProtocolError("correlation", "the front end verified something else than this answer")
        return _body(content)

    def verified(self, told: Sealed, today: date) -> etree._Element:
        """The signed body, verified by the bank's pinned keys. Raises ProtocolError: "wrong_key" if no key is valid on
        this day.
        """
        pinned = [key for key in self.options.bank_certificate if key.valid_on(today)]
        return _body(cms.verify(decoded(told.signature), pinned, cms.allowed(self.options.sha1_until, today)))

    def _post(self, kind: str, body: bytes) -> bytes:
        return http.post(self.options.http_path, self.options.host_header, kind, body)


def sealed(answer: bytes, operation: str, packet_id: str) -> Sealed | Refused:
    """Read the packet in an answer. Raises ProtocolError: "correlation" if it answers another request.

    The length is left-aligned before the XML and counts itself. A success must be signed; an error is not.
    """
    cutter = _ZEROS.cutter(ANSWER_BYTES_MAX)
    frames = cutter.feed(http.body_of(answer))
    cutter.end()
    if len(frames) != 1:
        raise ProtocolError("frame_length", f"{len(frames)} packets in one answer")
    root = parse(frames[0], GBK)
    if root.tag != "packet":
        raise ProtocolError("missing", f"the answer's root is {root.tag!r}, not packet")
    head, body = one(root, "head"), maybe(root, "body")
    for tag, ours in (("transCode", operation), ("packetID", packet_id)):
        if value(head, tag) != ours:
            raise ProtocolError("correlation", f"{operation}: the answer's {tag} is {value(head, tag)!r}, not {ours!r}")
    code = value(head, "returnCode")
    signature = "" if body is None else value_or(body, "signature")
    if (code == DONE) != bool(signature):
        raise ProtocolError("unsigned", f"returnCode {code[:20]} and {len(signature)} characters of signature")
    if code == DONE:
        return Sealed(without_blanks(signature.encode("ascii", "replace")))
    if not _CODE.fullmatch(code):
        raise ProtocolError("value", f"returnCode {code[:20]!r} is not of 7 letters and digits")
    again, text = ("", "") if body is None else (value_or(body, "returnCode"), value_or(body, "returnMsg"))
    if again not in ("", code):
        raise ProtocolError("ambiguous", f"returnCode {code} in the head and {again[:20]} in the body")
    return Refused(code, text, sure=again == code)


def _body(content: bytes) -> etree._Element:
    body = parse(content, GBK)
    if body.tag != "body":
        raise ProtocolError("missing", f"what is signed is {body.tag!r}, not body")
    return body
