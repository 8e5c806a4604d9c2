"""A publish as the bytes of its AMQP 0-9-1 frames, in one piece.

pika builds the same bytes from an object per frame and a list of pieces per field, which for our eight headers costs
several times what the broker's answer does. Its output is the yardstick of this one's tests.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from gateway.erp.wire import Message, Scalar

_METHOD, _HEADER, _BODY = 1, 2, 3
_END: Final = b"\xce"
_BASIC_PUBLISH: Final = struct.pack(">HHH", 60, 40, 0)  # class, method, a ticket that nobody uses any more
_FRAME = struct.Struct(">BHI")
_CONTENT = struct.Struct(">HHQH")
_LENGTH = struct.Struct(">I")
_TIMESTAMP = struct.Struct(">Q")
_OVERHEAD: Final = _FRAME.size + len(_END)
# The flags of the properties that we ever set, in the order in which their values follow.
_CONTENT_TYPE, _HEADERS, _DELIVERY_MODE, _CORRELATION_ID, _REPLY_TO = 1 << 15, 1 << 13, 1 << 12, 1 << 10, 1 << 9
_EXPIRATION, _MESSAGE_ID, _AT, _TYPE, _USER_ID, _APP_ID = 1 << 8, 1 << 7, 1 << 6, 1 << 5, 1 << 4, 1 << 3


class NotPlain(Exception):  # noqa: N818 - another way has to be taken, that is all
    """A header is no text: whoever knows every AMQP type must write this message."""


def publish(channel: int, message: Message, login: str | None, *, mandatory: bool, frame_max: int) -> bytes:
    """All frames of one publish. `login` is the user-id of a message that names none.

    Raises NotPlain, ValueError for a property too long for AMQP, struct.error for a timestamp that is none.
    """
    exchange, key = _known(message.exchange), _known(message.routing_key)
    method = b"".join((_BASIC_PUBLISH, exchange, key, b"\x01" if mandatory else b"\x00"))
    header = _properties(message, login)
    body, room = message.body, frame_max - _OVERHEAD
    pieces = [_FRAME.pack(_METHOD, channel, len(method)), method, _END,
              _FRAME.pack(_HEADER, channel, len(header)), header, _END]  # fmt: skip
    for start in range(0, len(body), room):
        part = body[start : start + room]
        pieces += (_FRAME.pack(_BODY, channel, len(part)), part, _END)
    return b"".join(pieces)


def _properties(message: Message, login: str | None) -> bytes:
    said = message.properties
    flags, pieces = _DELIVERY_MODE, []
    if said.content_type is not None:
        flags |= _CONTENT_TYPE
        pieces.append(_known(said.content_type))
    if said.headers:
        flags |= _HEADERS
        pieces.append(_table(said.headers))
    pieces.append(b"\x02" if message.persistent else b"\x01")
    for flag, text in (
        (_CORRELATION_ID, said.correlation_id), (_REPLY_TO, said.reply_to), (_EXPIRATION, said.expiration),
        (_MESSAGE_ID, said.message_id),
    ):  # fmt: skip
        if text is not None:
            flags |= flag
            pieces.append(_short(text))
    if said.timestamp is not None:
        flags |= _AT
        pieces.append(_TIMESTAMP.pack(said.timestamp))
    for flag, text in ((_TYPE, said.type), (_USER_ID, said.user_id or login), (_APP_ID, said.app_id)):
        if text is not None:
            flags |= flag
            pieces.append(_known(text))
    return _CONTENT.pack(60, 0, len(message.body), flags) + b"".join(pieces)


def _table(headers: Mapping[str, Scalar]) -> bytes:
    pieces: list[bytes] = []
    for name, value in headers.items():
        if type(value) is not str:
            raise NotPlain(name)
        octets = value.encode()
        pieces += (_known(name), b"S", _LENGTH.pack(len(octets)), octets)
    table = b"".join(pieces)
    return _LENGTH.pack(len(table)) + table


def _short(text: str) -> bytes:
    octets = text.encode()
    if len(octets) > 255:
        raise ValueError(f"a property of {len(octets)} bytes; AMQP carries 255")
    return bytes((len(octets),)) + octets


_known = lru_cache(maxsize=1024)(_short)
"""For what comes again and again: names of exchanges, keys, headers, types, users."""
