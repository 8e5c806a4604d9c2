"""Framing: finds where one message ends and the next begins. A framing is a frozen value.

A framing wraps a body for sending and makes a fresh `FrameCutter` for each connection. A cutter never holds more than
one unfinished frame. It refuses a frame that is too long when it reads the length, before the bytes are collected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NoReturn, Protocol

from protocols.kit.errors import ErrorReason, ProtocolError


class FrameCutter(Protocol):
    """Cuts the bytes of one connection into frames. After an error every later call raises it again."""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, in order. Raises ProtocolError on an invalid frame."""

    def end(self) -> list[bytes]:
        """Note that the peer closed; returns frames that end with the connection. Raises "truncated" if half a frame is
        left."""


class Framing(Protocol):
    """The way in which a bank marks the length of a message."""

    def wrap(self, body: bytes) -> bytes:
        """The bytes to send for `body`. Raises "frame_too_long" if the length does not fit its field."""

    def cutter(self, max_bytes: int) -> FrameCutter:
        """A cutter for one connection. `max_bytes` is the limit for each frame that the cutter returns."""


def read_length(text: bytes) -> int:
    """The number in a length field, which is padded with blanks or zeros. Raises "frame_length" on any other
    content."""
    number = text.strip(b" ")
    if not number.isdigit():
        raise ProtocolError("frame_length", f"length field {text!r} is not a decimal number")
    return int(number)


@dataclass(slots=True)
class _Buffer:
    """The bytes of unfinished frames of a connection, and its error if there was one."""

    held: bytearray = field(default_factory=bytearray)
    failure: ProtocolError | None = None

    def add(self, data: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.held += data

    def cut_off(self, count: int) -> bytes:
        taken = bytes(memoryview(self.held)[:count])
        del self.held[:count]
        return taken

    def fail(self, reason: ErrorReason, text: str) -> NoReturn:
        self.failed(ProtocolError(reason, text))

    def failed(self, error: ProtocolError) -> NoReturn:
        self.failure = error
        self.held.clear()
        raise error

    def end(self) -> list[bytes]:
        if self.failure is not None:
            raise self.failure
        if self.held:
            self.fail("truncated", f"peer closed inside a frame, {len(self.held)} bytes of it had come")
        return []


@dataclass(frozen=True, slots=True)
class LengthPrefix:
    """Framing by a decimal length of `digits` characters before the body; the cutter returns the body alone.

    `counts_self`: the number also counts the prefix. `flag`: constant bytes before the number; an answer may have any
    of `flags_read` instead. `pad` and `align` are used for writing; reading accepts both sides.
    """

    digits: int
    counts_self: bool = False
    pad: Literal["0", " "] = "0"
    align: Literal["right", "left"] = "right"
    flag: bytes = b""
    flags_read: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        assert self.digits > 0
        assert not (self.pad == "0" and self.align == "left"), "zeros behind a number would change it"
        assert all(len(flag) == len(self.flag) for flag in self.flags_read)

    @property
    def prefix_bytes(self) -> int:
        """The number of bytes of flag and length together."""
        return len(self.flag) + self.digits

    def wrap(self, body: bytes) -> bytes:
        length = len(body) + (self.prefix_bytes if self.counts_self else 0)
        number = str(length)
        if len(number) > self.digits:
            raise ProtocolError("frame_too_long", f"a length of {length} does not fit {self.digits} digits")
        padded = (number.rjust if self.align == "right" else number.ljust)(self.digits, self.pad)
        return self.flag + padded.encode("ascii") + body

    def cutter(self, max_bytes: int) -> FrameCutter:
        return _PrefixCutter(self, max_bytes)

    def body_length(self, prefix: bytes) -> int:
        """The number of bytes of the body, by a complete `prefix`."""
        flag, number = prefix[: len(self.flag)], prefix[len(self.flag) :]
        if flag != self.flag and flag not in self.flags_read:
            raise ProtocolError("frame_length", f"frame begins with {flag!r}, not with {self.flag!r}")
        length = read_length(number) - (self.prefix_bytes if self.counts_self else 0)
        if length < 0:
            raise ProtocolError("frame_length", f"length {number!r} is shorter than its own prefix")
        return length


class _PrefixCutter:
    __slots__ = ("_buffer", "_framing", "_max_bytes", "_wanted")

    def __init__(self, framing: LengthPrefix, max_bytes: int) -> None:
        self._framing = framing
        self._max_bytes = max_bytes
        self._buffer = _Buffer()
        self._wanted: int | None = None

    def feed(self, data: bytes) -> list[bytes]:
        buffer = self._buffer
        buffer.add(data)
        frames: list[bytes] = []
        while True:
            if self._wanted is None:
                if len(buffer.held) < self._framing.prefix_bytes:
                    return frames
                self._wanted = self._read_prefix(buffer.cut_off(self._framing.prefix_bytes))
            if len(buffer.held) < self._wanted:
                return frames
            frames.append(buffer.cut_off(self._wanted))
            self._wanted = None

    def _read_prefix(self, prefix: bytes) -> int:
        try:
            length = self._framing.body_length(prefix)
        except ProtocolError as error:
            self._buffer.failed(error)
        if length > self._max_bytes:
            self._buffer.fail("frame_too_long", f"frame of {length} bytes, the limit is {self._max_bytes}")
        return length

    def end(self) -> list[bytes]:
        if self._wanted is not None:
            self._buffer.fail(
                "truncated", f"peer closed after {len(self._buffer.held)} of {self._wanted} bytes of a frame"
            )
        return self._buffer.end()


@dataclass(frozen=True, slots=True)
class FixedHeader:
    """Framing by a header of constant size that contains the body's length; the cutter returns header and body
    together.

    `length_at` is the (start, end) of the body length in the header; `more_lengths_at` are those of further parts that
    follow the body (a signature block). `wrap` takes header and body together and writes the body length, zero-padded,
    into its place; with further parts it leaves the header unchanged and checks that the sum is right.
    """

    header_bytes: int
    length_at: tuple[int, int]
    more_lengths_at: tuple[tuple[int, int], ...] = ()

    def wrap(self, body: bytes) -> bytes:
        if len(body) < self.header_bytes:
            raise ProtocolError("frame_length", f"{len(body)} bytes are less than a header of {self.header_bytes}")
        if self.more_lengths_at:
            if self.frame_length(body) != len(body):
                raise ProtocolError("frame_length", "the lengths in the header do not add up to the frame")
            return body
        start, end = self.length_at
        number = str(len(body) - self.header_bytes).zfill(end - start)
        if len(number) > end - start:
            raise ProtocolError("frame_too_long", f"a length of {number} does not fit {end - start} digits")
        return body[:start] + number.encode("ascii") + body[end:]

    def cutter(self, max_bytes: int) -> FrameCutter:
        return _HeaderCutter(self, max_bytes)

    def frame_length(self, header: bytes) -> int:
        """The number of bytes of the whole frame that begins with `header`."""
        start, end = self.length_at
        length = self.header_bytes + read_length(header[start:end])
        for start, end in self.more_lengths_at:
            length += read_length(header[start:end])
        return length


class _HeaderCutter:
    __slots__ = ("_buffer", "_framing", "_max_bytes", "_wanted")

    def __init__(self, framing: FixedHeader, max_bytes: int) -> None:
        self._framing = framing
        self._max_bytes = max_bytes
        self._buffer = _Buffer()
        self._wanted: int | None = None

    def feed(self, data: bytes) -> list[bytes]:
        buffer = self._buffer
        buffer.add(data)
        frames: list[bytes] = []
        while True:
            if self._wanted is None:
                if len(buffer.held) < self._framing.header_bytes:
                    return frames
                self._wanted = self._read_header()
            if len(buffer.held) < self._wanted:
                return frames
            frames.append(buffer.cut_off(self._wanted))
            self._wanted = None

    def _read_header(self) -> int:
        try:
            length = self._framing.frame_length(bytes(memoryview(self._buffer.held)[: self._framing.header_bytes]))
        except ProtocolError as error:
            self._buffer.failed(error)
        if length > self._max_bytes:
            self._buffer.fail("frame_too_long", f"frame of {length} bytes, the limit is {self._max_bytes}")
        return length

    def end(self) -> list[bytes]:
        return self._buffer.end()


@dataclass(frozen=True, slots=True)
class UntilEof:
    """Framing by the end of the connection: one message per connection. A connection without bytes has no frame.

    `closing`: the end of a whole message, blanks ignored (for instance b"</TX>"). A message that was cut is then found
    here as "truncated" and not only by the parser.
    """

    closing: bytes = b""

    def wrap(self, body: bytes) -> bytes:
        return body

    def cutter(self, max_bytes: int) -> FrameCutter:
        return _EofCutter(self, max_bytes)


class _EofCutter:
    __slots__ = ("_buffer", "_framing", "_max_bytes")

    def __init__(self, framing: UntilEof, max_bytes: int) -> None:
        self._framing = framing
        self._max_bytes = max_bytes
        self._buffer = _Buffer()

    def feed(self, data: bytes) -> list[bytes]:
        if len(self._buffer.held) + len(data) > self._max_bytes:
            self._buffer.fail("frame_too_long", f"more than {self._max_bytes} bytes came before the end")
        self._buffer.add(data)
        return []

    def end(self) -> list[bytes]:
        held = self._buffer.held
        if not held or not held.rstrip().endswith(self._framing.closing):
            return self._buffer.end()
        return [self._buffer.cut_off(len(held))]
