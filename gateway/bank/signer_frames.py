"""The frames between the daemon and the signer process: a length, then the fields of a request or of an answer.

request  length(4) version(1) number(8) key length(2) key, octets length(4) octets, document
answer   length(4) version(1) number(8) word(1) signature or text
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

VERSION: Final = 1
REQUEST_MAX: Final = 12_582_912
"""The largest request: the longest message of a bank is 9 MiB, and its octets repeat none of it."""
ANSWER_MAX: Final = 8_192
_LENGTH: Final = struct.Struct("!I")
_REQUEST: Final = struct.Struct("!BQH")
_ANSWER: Final = struct.Struct("!BQB")


class BadFrame(ValueError):
    """Bytes on the socket are no frame of this form, or one over the limit: the connection is closed."""


class SignerWord(IntEnum):
    """What the signer did. NEVER: this message is not signed, whenever it is asked again. LATER: it is not signed
    now."""

    SIGNED = 0
    NEVER = 1
    LATER = 2


@dataclass(frozen=True, slots=True)
class SignRequest:
    """A request to sign `octets`, which stand for `document`, with the key of this name."""

    number: int
    key: str
    octets: bytes
    document: bytes


@dataclass(frozen=True, slots=True)
class SignAnswer:
    """The answer to the request of this number: the signature, or why there is none in ASCII."""

    number: int
    word: SignerWord
    content: bytes


class SignerFrames:
    """Cuts a stream into the bodies of frames. Raises BadFrame before it holds more than `most` bytes of one frame."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies of the frames that these bytes complete."""
        held, found = self._held, []
        held += data
        while len(held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held)
            if not 0 < length <= self._most:
                raise BadFrame(f"a frame of {length} bytes, at most {self._most} are taken")
            end = _LENGTH.size + length
            if len(held) < end:
                break
            found.append(bytes(held[_LENGTH.size : end]))
            del held[:end]
        return found


def request_frame(request: SignRequest) -> bytes:
    """The bytes of a request."""
    key = request.key.encode("utf-8")
    return _framed(
        _REQUEST.pack(VERSION, request.number, len(key)),
        key,
        _LENGTH.pack(len(request.octets)),
        request.octets,
        request.document,
    )


def read_request(body: bytes) -> SignRequest:
    """The request in a frame's body. Raises BadFrame."""
    try:
        version, number, key_bytes = _REQUEST.unpack_from(body)
        at = _REQUEST.size + key_bytes
        key = body[_REQUEST.size : at].decode("utf-8")
        (octets_bytes,) = _LENGTH.unpack_from(body, at)
    except (struct.error, UnicodeDecodeError):
        raise BadFrame("a request is cut short, or its key is no text") from None
    begin = at + _LENGTH.size
    end = begin + octets_bytes
    if version != VERSION or end > len(body):
        raise BadFrame("a request of another version, or with a wrong length")
    return SignRequest(number, key, body[begin:end], body[end:])


def answer_frame(answer: SignAnswer) -> bytes:
    """The bytes of an answer."""
    return _framed(_ANSWER.pack(VERSION, answer.number, answer.word), answer.content)


def read_answer(body: bytes) -> SignAnswer:
    """The answer in a frame's body. Raises BadFrame."""
    try:
        version, number, word = _ANSWER.unpack_from(body)
        if version != VERSION:
            raise BadFrame("an answer of another version")
        return SignAnswer(number, SignerWord(word), body[_ANSWER.size :])
    except (struct.error, ValueError):
        raise BadFrame("an answer is cut short, or of a form that is not known") from None


def _framed(*parts: bytes) -> bytes:
    return b"".join((_LENGTH.pack(sum(map(len, parts))), *parts))
