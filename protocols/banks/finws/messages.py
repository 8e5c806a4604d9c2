"""Bytes of the Finnish Web Services: the application document with its signers, the SOAP envelope around it, HTTP.

README.md sections 2 to 5. A request is signed twice: by the person or firm responsible for its content, and by its
sender.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from lxml import etree

from protocols.bank import Context, Sign
from protocols.banks.finws import encryption
from protocols.banks.finws.names import (
    BASE64_TOKEN,
    DATA,
    DONE,
    MODEL,
    SERVICE,
    SOAP,
    WSSE,
    WSU,
    X509_TOKEN,
    C,
    D,
    M,
    S,
)
from protocols.banks.finws.requests import FILE_REQUESTS, REQUEST_HEADER, FileRequest, FileWords, MessageHead, element
from protocols.banks.finws.variant import Variant
from protocols.kit import dsig, http
from protocols.kit.charset import UTF8
from protocols.kit.dsig.verify import Engine
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.xmldoc import build, el, maybe, one, parse, several, value, value_or

ANSWER_MAX_BYTES: Final = 6_291_456
"""Of an answer that brings no file: a hostile answer to a payment is refused within 50 ms."""
DOWNLOAD_MAX_BYTES: Final = 16_777_216
"""Of an answer that brings a file: 100,000 entries packed and wrapped twice in base64 are 12 MB."""
_BRING_FILES: Final = frozenset({"downloadFile"})
CONTENT_MAX_BYTES: Final = 2_097_152
"""Of a file that is held as a whole; a larger one is read piece by piece."""
STREAM_MAX_BYTES: Final = 268_435_456
"""What a file may unpack to that is read as a stream, entry by entry."""
_PIECE_BYTES: Final = 65_536
_NODES_MAX: Final = 200_000
REQUEST_MAX_BYTES: Final = 9_437_184
"""Of an envelope that we sign: the XML library takes no longer text than 10 MB."""
_SIGNER_KEYS: Final = ("content", "content2", "content3")


@dataclass(frozen=True, slots=True)
class Answer:
    """A verified answer. `code` and `text` are the bank's, `document` is the signed ApplicationResponse.

    `document` is None if the bank refused the envelope itself and answered with its signed header alone.
    """

    operation: str
    request_id: str
    code: str
    text: str
    document: etree._Element | None

    def value(self, name: str) -> str:
        """The text of an element of the document; "" if there is none."""
        return "" if self.document is None else value_or(self.document, D + name)

    def rows(self, container: str, name: str) -> list[etree._Element]:
        """The repeated elements inside a container of the document."""
        return [] if self.document is None else several(self.document, f"{D}{container}/{D}{name}")

    def content(self) -> bytes | Packed:
        """The file the answer carries, unpacked if that is small. Raises ProtocolError."""
        assert self.document is not None
        packed = unbase64(value(self.document, D + "Content"), "Content")
        if self.value("Compressed").lower() in ("true", "1"):
            return gunzip(packed)
        return packed if len(packed) <= CONTENT_MAX_BYTES else Packed(packed, zipped=False)


@dataclass(frozen=True, slots=True)
class Packed:
    """A file that is too large to be held in memory, `zipped` or plain."""

    data: bytes
    zipped: bool = True

    def whole(self, most: int) -> bytes:
        """The whole content. Raises "value", and "frame_too_long" for more than `most` bytes."""
        found, size = [], 0
        for piece in self.pieces():
            found.append(piece)
            size += len(piece)
            if size > most:
                raise ProtocolError("frame_too_long", f"a file of more than {most} bytes that must be held whole")
        return b"".join(found)

    def pieces(self) -> Iterator[bytes]:
        """The unpacked content in pieces. Raises "value" or "frame_too_long"."""
        if not self.zipped:
            yield from (self.data[at : at + _PIECE_BYTES] for at in range(0, len(self.data), _PIECE_BYTES))
            return
        opener, left, size = zlib.decompressobj(31), self.data, 0
        while not opener.eof:
            try:
                piece = opener.decompress(left, _PIECE_BYTES)
            except zlib.error:
                raise ProtocolError("value", "the content is not GZIP") from None
            left, size = opener.unconsumed_tail, size + len(piece)
            if size > STREAM_MAX_BYTES:
                raise ProtocolError("frame_too_long", f"the content unpacks to more than {STREAM_MAX_BYTES} bytes")
            if not piece and not left:
                break
            yield piece
        if not opener.eof or opener.unused_data or left:
            raise ProtocolError("value", "the content is not one whole GZIP member")


@dataclass(slots=True)
class Turn:
    """The requests of one conversation. Each has an id and a Timestamp that no other request ever has.

    Both come from the conversation's serial. The Timestamp's last three digits distinguish 1,000 conversations of one
    moment, and each request is a millisecond later than the one before.
    """

    prefix: str
    context: Context
    hop: int = -1

    def next(self) -> tuple[str, str]:
        """A RequestId and Timestamp for the next request."""
        self.hop += 1
        serial, now = self.context.serials[0], self.context.now.astimezone(UTC)
        moment = now.replace(microsecond=now.microsecond // 1000 * 1000 + serial * 31 % 1000)
        moment += timedelta(milliseconds=self.hop)
        tail = f"-{self.hop}" if self.hop else ""
        return f"{self.prefix}{serial}{tail}", _stamp(moment)


@dataclass(frozen=True, slots=True)
class Wire:
    """Writes requests of one customer to one bank, and reads and verifies the answers."""

    variant: Variant
    customer: str
    sender: str
    bic: str
    target: str
    environment: str
    software: str
    prefix: str
    host: str
    path: str
    life_s: int
    content_certificates: tuple[Certificate, ...]
    transport_certificate: Certificate | None
    bank_keys: tuple[dsig.PinnedKey, ...]
    encrypt_to: bytes = b""
    engine: Engine = "xmlsec"

    def turn(self, context: Context) -> Turn:
        """A new `Turn`, for the requests of one conversation."""
        return Turn(self.prefix, context)

    def request(self, operation: str, turn: Turn, words: FileWords) -> Generator[Sign, bytes, tuple[str, bytes]]:
        """A RequestId and the whole HTTP request with it. Yields a Sign step for each signature."""
        request_id, stamp = turn.next()
        self.variant.transport().require_day(turn.context.now.date())
        asked = FileRequest(self.customer, self.environment, self.software, self.target, stamp, words)
        inside = FILE_REQUESTS[operation].elements(asked, element)
        document = build(el("ApplicationRequest", {"xmlns": DATA}, inside), UTF8, declaration="")
        for number, certificate in enumerate(self.content_certificates):
            profile = self.variant.content("ApplicationRequest", self.variant.request, earlier=number)
            profile.require_day(turn.context.now.date())
            prepared = dsig.prepare(document, profile, max_bytes=REQUEST_MAX_BYTES)
            signature = yield Sign(_SIGNER_KEYS[number], prepared.octets, document)
            document = dsig.attach(prepared, signature, dsig.x509_key_info(profile, [certificate]))
        if self.variant.encryption:
            document = encryption.encrypt(document, self.variant.encryption, self.encrypt_to)
        envelope = self._envelope(operation, request_id, stamp, turn.context.now, document)
        transport = self.variant.transport()
        prepared = dsig.prepare(envelope, transport, max_bytes=REQUEST_MAX_BYTES)
        signature = yield Sign("transport", prepared.octets, envelope)
        message = dsig.attach(prepared, signature, _token_reference(transport))
        headers = [("Content-Type", "text/xml; charset=utf-8"), ("SOAPAction", '""')]
        return request_id, http.request("POST", self.path, self.host, headers, message)

    def read(
        self, data: bytes, operation: str, request_ids: tuple[str, ...], secret: str = "", today: date | None = None
    ) -> Answer:
        """The answer to one of our requests, verified and then read from what was signed. Raises ProtocolError.

        `secret` is the key that opens encrypted answers, PEM. With `today` the validity of the bank's certificates is
        checked; it is needed if the kind of bank still signs with SHA-1.
        """
        most = DOWNLOAD_MAX_BYTES if operation in _BRING_FILES else ANSWER_MAX_BYTES
        body = self._body(today, http.expect_status(http.parse_answer(data), (200, 500)), most)
        out = maybe(body, f"{C}{operation}out")
        if out is None:
            fault = maybe(body, f"{S}Fault")
            said = "" if fault is None else f": {value_or(fault, 'faultstring')}"
            raise ProtocolError("value", f"no answer to {operation} but {[one.tag for one in body]}{said}")
        header = one(out, f"{M}ResponseHeader")
        request_id, shown = value(header, f"{M}RequestId"), value(header, f"{M}ResponseCode")
        if request_id not in request_ids or value(header, f"{M}SenderId") != self.sender:
            raise ProtocolError("correlation", f"an answer to message {request_id!r}, we sent {', '.join(request_ids)}")
        packed = value_or(out, f"{M}ApplicationResponse")
        words = plain(value_or(header, f"{M}ResponseText"))
        if not packed:
            if not self.variant.answer_envelope_signed or shown == DONE:
                raise ProtocolError("unsigned", f"an answer {shown} without a signed ApplicationResponse")
            return Answer(operation, request_id, shown, words, None)
        document = self._document(packed, secret, today, most)
        if document is None:
            return Answer(operation, request_id, shown, words, None)
        code, said = value(document, D + "ResponseCode"), plain(value_or(document, D + "ResponseText"))
        if value(document, D + "CustomerId") != self.customer:
            raise ProtocolError("correlation", "an answer to another customer")
        if shown not in (code, DONE):
            raise ProtocolError("correlation", f"the envelope says {shown}, the signed content {code}")
        return Answer(operation, request_id, code, said, document)

    def _document(self, packed: str, secret: str, today: date | None, most: int) -> etree._Element | None:
        """The verified ApplicationResponse; None if it is encrypted and the lane has no key for it.

        Without the key, None is returned only at a bank that signs the envelope too; else it is a ProtocolError.
        """
        document = unbase64(packed, "ApplicationResponse")
        if self.variant.encryption and encryption.is_encrypted(document):
            if not secret and self.variant.answer_envelope_signed:
                return None
            if not secret:
                raise ProtocolError("missing", "the answer is encrypted; the lane needs the credential decryption_key")
            document = encryption.decrypt(document, secret.encode())
        profile = self.variant.content("ApplicationResponse", self.variant.answer)
        return dsig.verify(
            document,
            profile,
            self.bank_keys,
            charset=self.variant.charset_of(document),
            today=today,
            engine=self.engine,
            max_bytes=most,
            max_nodes=_NODES_MAX,
        ).root

    def _body(self, today: date | None, message: bytes, most: int) -> etree._Element:
        charset = self.variant.charset_of(message)
        if self.variant.answer_envelope_signed:
            return dsig.verify(
                message,
                self.variant.transport(answer=True),
                self.bank_keys,
                charset=charset,
                today=today,
                engine=self.engine,
                max_bytes=most,
            ).root
        return one(parse(message, charset, max_bytes=most), f"{S}Body")

    def _envelope(self, operation: str, request_id: str, stamp: str, now: datetime, document: bytes) -> bytes:
        assert self.transport_certificate is not None, "there is no certificate yet"
        token = base64.b64encode(self.transport_certificate.public_bytes(Encoding.DER)).decode("ascii")
        created = now.astimezone(UTC)
        security = el(
            "wsse:Security",
            {"xmlns:wsse": WSSE, "xmlns:wsu": WSU, "soap:mustUnderstand": "1"},
            el(
                "wsse:BinarySecurityToken",
                {"EncodingType": BASE64_TOKEN, "ValueType": X509_TOKEN, "wsu:Id": "token"},
                token,
            ),
            el(
                "wsu:Timestamp",
                {"wsu:Id": "stamp"},
                el("wsu:Created", _stamp(created)),
                el("wsu:Expires", _stamp(created + timedelta(seconds=self.life_s))),
            ),
        )
        head = MessageHead(self.sender, request_id, stamp, self.software, self.bic)
        header = el("m:RequestHeader", [el(f"m:{name}", text) for name, text in REQUEST_HEADER.texts(head)])
        asked = el(
            f"c:{operation}in",
            {"xmlns:c": SERVICE, "xmlns:m": MODEL},
            header,
            el("m:ApplicationRequest", base64.b64encode(document).decode("ascii")),
        )
        body = el("soap:Body", {"xmlns:wsu": WSU, "wsu:Id": "body"}, asked)
        return build(el("soap:Envelope", {"xmlns:soap": SOAP}, el("soap:Header", security), body), UTF8)


def _token_reference(profile: dsig.SignatureProfile) -> str:
    reference = el("wsse:Reference", {"URI": "#token", "ValueType": X509_TOKEN})
    return dsig.key_info(profile, el("wsse:SecurityTokenReference", {"xmlns:wsse": WSSE}, reference))


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unbase64(text: str, what: str) -> bytes:
    """Bytes of a base64 element. Raises "value"."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("value", f"{what} is not base64") from None


def gzip(data: bytes) -> bytes:
    """GZIP (RFC 1952) with an empty header: the same input gives the same bytes."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def gunzip(data: bytes) -> bytes | Packed:
    """Unpack one whole GZIP member, unless the content is larger than 2 MiB. Raises "value"."""
    opener = zlib.decompressobj(31)
    try:
        found = opener.decompress(data, CONTENT_MAX_BYTES)
    except zlib.error:
        raise ProtocolError("value", "the content is not GZIP") from None
    if opener.unconsumed_tail:
        return Packed(data)
    if not opener.eof or opener.unused_data:
        raise ProtocolError("value", "the content is not one whole GZIP member")
    return found
