"""The subset of HTTP/1.1 that front-end processors use: one request, one answer, no pipelining, no redirects.

Cutters return a whole message as the bytes that came (head, blank line, body as sent), so that it can be
kept as evidence; `parse_answer` and `parse_request` read such a frame. A message that gives its length
twice, or in any form but plain digits, is refused: two readers could disagree about where it ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus, unquote_to_bytes

from protocols.kit.charset import Charset
from protocols.kit.errors import ProtocolError
from protocols.kit.framing import FrameCutter

HEAD_BYTES_MAX: Final = 16_384
HEADER_LINES_MAX: Final = 100
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"[!-~]+")
_FIELD_TEXT = re.compile(r"[\t -~\x80-\xff]*")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?")
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) ([!-~]{1,8192}) HTTP/1\.([01])")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_CHUNK_LINE_MAX: Final = 256
_BODYLESS: Final = frozenset((204, 304))

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP answer. Header names are in lower case, repeated headers are joined by ", ", and the body is without
    chunking."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An HTTP request as a simulated bank reads it. Names are as in `HttpAnswer`."""

    method: str
    target: str
    headers: Headers
    body: bytes


def request(method: str, path: str, host: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    """The bytes of one request, with Host and Content-Length; `path` may carry a query string.

    Raises "http" for a value that could break a line. The caller sets the header Connection.
    """
    if method == "HEAD" or not _TOKEN.fullmatch(method) or not _TARGET.fullmatch(path):
        raise ProtocolError("http", f"this is not a request line that the gateway sends: {method} {path}")
    named = [("Host", host), *headers]
    if body or method != "GET":
        named.append(("Content-Length", str(len(body))))
    return _head(f"{method} {path} HTTP/1.1", named) + body


def post(path: str, host: str, content_type: str, body: bytes) -> bytes:
    """The bytes of one POST request on a connection that is closed afterwards."""
    return request("POST", path, host, (("Content-Type", content_type), ("Connection", "close")), body)


def answer(status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", phrase: str = "OK") -> bytes:
    """The bytes of one answer with Content-Length, for simulated banks."""
    named = list(headers)
    if status not in _BODYLESS:
        named.append(("Content-Length", str(len(body))))
    return _head(f"HTTP/1.1 {status} {phrase}", named) + body


def _head(first: str, named: Iterable[tuple[str, str]]) -> bytes:
    lines = [first]
    for name, value in named:
        if not _TOKEN.fullmatch(name) or not _FIELD_TEXT.fullmatch(value):
            raise ProtocolError("http", f"header {name!r} has characters that would end its header line")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def form(fields: Iterable[tuple[str, str]], charset: Charset) -> bytes:
    """`fields` as application/x-www-form-urlencoded in the bank's charset, in the form that Java's URLEncoder makes."""
    pairs = (f"{quote_plus(charset.encode(k), safe='*')}={quote_plus(charset.encode(v), safe='*')}" for k, v in fields)
    return "&".join(pairs).encode("ascii")


def parse_form(data: bytes, charset: Charset) -> dict[str, str]:
    """The fields of a form body or query string. Raises "ambiguous" for a field that appears twice."""
    fields: dict[str, str] = {}
    for pair in data.split(b"&") if data else ():
        name, _, value = (charset.decode(unquote_to_bytes(part.replace(b"+", b" "))) for part in _partition(pair))
        if name in fields:
            raise ProtocolError("ambiguous", f"form field {name} comes twice")
        fields[name] = value
    return fields


def _partition(pair: bytes) -> tuple[bytes, bytes, bytes]:
    name, equals, value = pair.partition(b"=")
    return name, equals, value


def parse_answer(frame: bytes) -> HttpAnswer:
    """Reads a frame that an answer cutter returned."""
    head = _parse_head(frame)
    found = _STATUS_LINE.fullmatch(head.first)
    if found is None:
        raise ProtocolError("http", f"not a status line: {head.first[:80]!r}")
    return HttpAnswer(int(found.group(2)), head.fields, _body(frame, head))


def parse_request(frame: bytes) -> HttpRequest:
    """Reads a frame that a request cutter returned."""
    head = _parse_head(frame)
    found = _REQUEST_LINE.fullmatch(head.first)
    if found is None:
        raise ProtocolError("http", f"not a request line: {head.first[:80]!r}")
    return HttpRequest(found.group(1).decode(), found.group(2).decode(), head.fields, _body(frame, head))


@dataclass(frozen=True, slots=True)
class _Head:
    first: bytes
    fields: dict[str, str]
    end: int  # offset of the body
    length: int | None  # Content-Length
    chunked: bool


def _parse_head(data: bytes | bytearray) -> _Head:
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        raise ProtocolError("http", f"this is not the head of an HTTP message: {bytes(data[:80])!r}")
    lines = bytes(data[: end - 4]).split(b"\r\n")
    if len(lines) > HEADER_LINES_MAX:
        raise ProtocolError("http", f"{len(lines)} header lines, the limit is {HEADER_LINES_MAX}")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.decode("latin-1").partition(":")
        text = value.strip(" \t")
        if not colon or not _TOKEN.fullmatch(name) or not _FIELD_TEXT.fullmatch(text):
            raise ProtocolError("http", f"not a header line: {line[:80]!r}")
        key = name.lower()
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return _Head(lines[0], fields, end, *_lengths(fields))


def _lengths(fields: dict[str, str]) -> tuple[int | None, bool]:
    length, coding = fields.get("content-length"), fields.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None:
            raise ProtocolError("http", f"transfer-encoding {coding!r} with content-length {length!r}")
        return None, True
    if length is None:
        return None, False
    if not re.fullmatch("[0-9]{1,18}", length):
        raise ProtocolError("http", f"content-length {length!r} is not a plain number")
    return int(length), False


def _body(frame: bytes, head: _Head) -> bytes:
    if not head.chunked:
        return frame[head.end :]
    chunks = _Chunks(head.end)
    chunks.advance(frame, len(frame))
    return b"".join(frame[start:end] for start, end in chunks.spans)


class _Chunks:
    """Finds the end of a chunked body without copying it. `spans` are the places of the payload in the buffer."""

    __slots__ = ("_in_trailer", "_next", "body_bytes", "spans")

    def __init__(self, start: int) -> None:
        self._next = start
        self._in_trailer = False
        self.body_bytes = 0
        self.spans: list[tuple[int, int]] = []

    def advance(self, data: bytes | bytearray, max_bytes: int) -> int | None:
        """The offset behind the message once it is whole, else None."""
        while True:
            line_end = data.find(b"\r\n", self._next, self._next + _CHUNK_LINE_MAX + 2)
            if line_end < 0:
                if len(data) - self._next > _CHUNK_LINE_MAX:
                    raise ProtocolError("http", "a chunk line is too long")
                return None
            line = bytes(data[self._next : line_end])
            if self._in_trailer:
                self._next = line_end + 2
                if not line:
                    return self._next
                continue
            size = self._size(line)
            if self.body_bytes + size > max_bytes:
                raise ProtocolError("frame_too_long", f"chunked body over the limit of {max_bytes} bytes")
            start = line_end + 2
            if size == 0:
                self._in_trailer, self._next = True, start
                continue
            if len(data) < start + size + 2:
                return None
            if data[start + size : start + size + 2] != b"\r\n":
                raise ProtocolError("http", "a chunk has more bytes than its size line states")
            self.spans.append((start, start + size))
            self.body_bytes += size
            self._next = start + size + 2

    @staticmethod
    def _size(line: bytes) -> int:
        found = _CHUNK_LINE.fullmatch(line)
        if found is None:
            raise ProtocolError("http", f"not a chunk size: {line[:40]!r}")
        return int(found.group(1), 16)


class _HttpCutter:
    """Cuts requests or answers out of a connection's bytes. After a failure every call raises the same error."""

    __slots__ = ("_answers", "_chunks", "_failure", "_head", "_held", "_max_bytes", "_scanned")

    def __init__(self, max_bytes: int, *, answers: bool) -> None:
        self._answers = answers
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._head: _Head | None = None
        self._chunks: _Chunks | None = None
        self._scanned = 0
        self._failure: ProtocolError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        if self._failure is not None:
            raise self._failure
        self._held += data
        frames: list[bytes] = []
        try:
            while (frame := self._next_frame()) is not None:
                frames.append(frame)
        except ProtocolError as error:
            self._fail(error)
        return frames

    def end(self) -> list[bytes]:
        if self._failure is not None:
            raise self._failure
        if self._head is not None and self._until_eof(self._head):
            return [self._take(len(self._held))]
        if self._held:
            self._fail(ProtocolError("truncated", f"peer closed after {len(self._held)} bytes of an HTTP message"))
        return []

    def _fail(self, error: ProtocolError) -> None:
        self._failure = error
        self._held.clear()
        raise error

    def _next_frame(self) -> bytes | None:
        if self._head is None:
            self._head = self._read_head()
        while self._head is not None and self._is_continue(self._head):
            self._take(self._head.end)
            self._head = self._read_head()
        head = self._head
        if head is None:
            return None
        end = self._frame_end(head)
        return None if end is None or len(self._held) < end else self._take(end)

    def _read_head(self) -> _Head | None:
        found = self._held.find(b"\r\n\r\n", max(0, self._scanned - 3))
        self._scanned = len(self._held)
        if (found if found >= 0 else len(self._held)) > HEAD_BYTES_MAX:
            raise ProtocolError("http", f"a head of more than {HEAD_BYTES_MAX} bytes")
        if found < 0:
            return None
        head = _parse_head(self._held)
        line = _STATUS_LINE if self._answers else _REQUEST_LINE
        if not line.fullmatch(head.first):
            raise ProtocolError("http", f"does not begin like HTTP: {head.first[:80]!r}")
        return head

    def _is_continue(self, head: _Head) -> bool:
        return self._answers and head.first[9:12] == b"100"

    def _bodyless(self, head: _Head) -> bool:
        if self._answers:
            return int(head.first[9:12]) in _BODYLESS
        return head.length is None and not head.chunked

    def _until_eof(self, head: _Head) -> bool:
        return self._answers and head.length is None and not head.chunked and not self._bodyless(head)

    def _frame_end(self, head: _Head) -> int | None:
        if self._bodyless(head):
            return head.end
        if head.chunked:
            if len(self._held) - head.end > 2 * self._max_bytes + HEAD_BYTES_MAX:
                raise ProtocolError("frame_too_long", "the chunked coding takes more bytes than the limit for the body")
            if self._chunks is None:
                self._chunks = _Chunks(head.end)
            return self._chunks.advance(self._held, self._max_bytes)
        length = len(self._held) - head.end if head.length is None else head.length
        if length > self._max_bytes:
            raise ProtocolError("frame_too_long", f"body of {length} bytes, the limit is {self._max_bytes}")
        return None if head.length is None else head.end + length

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self._held)[:count])
        del self._held[:count]
        self._head, self._chunks, self._scanned = None, None, 0
        return taken


@dataclass(frozen=True, slots=True)
class HttpAnswers:
    """The framing on the gateway's side: it cuts answers. The body to wrap is a whole `request(...)`."""

    def wrap(self, body: bytes) -> bytes:
        return body

    def cutter(self, max_bytes: int) -> FrameCutter:
        return _HttpCutter(max_bytes, answers=True)


def answers(max_bytes: int) -> Callable[[], FrameCutter]:
    """A factory of cutters, one for each connection, as a Port needs it."""
    return lambda: HttpAnswers().cutter(max_bytes)


def body_of(frame: bytes) -> bytes:
    """The body of an answer with status 200. Raises "http" on another status or no answer."""
    return expect_status(parse_answer(frame))


@dataclass(frozen=True, slots=True)
class HttpRequests:
    """The framing on a simulated bank's side: it cuts requests. The body to wrap is an `answer(...)`."""

    def wrap(self, body: bytes) -> bytes:
        return body

    def cutter(self, max_bytes: int) -> FrameCutter:
        return _HttpCutter(max_bytes, answers=False)


def expect_status(got: HttpAnswer, wanted: Sequence[int] = (200,)) -> bytes:
    """The body, if the status is `wanted`. Raises "http" otherwise. The caller must decide the effect of that on a
    payment."""
    if got.status not in wanted:
        raise ProtocolError("http", f"HTTP status {got.status} where {', '.join(map(str, wanted))} was expected")
    return got.body
