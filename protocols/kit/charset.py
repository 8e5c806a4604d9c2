"""A bank's charset: strict when we write, tolerant of wrong GB labels when we read.

Banks use the labels GBK, GB2312 and GB18030 loosely, so text under any of the three is read as GB18030, their superset.
Writing never substitutes a character: one that the bank cannot carry is an error before anything is signed.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final

from protocols.kit.errors import ProtocolError

_FAMILY: Final[dict[str, str]] = {
    "gbk": "gb",
    "cp936": "gb",
    "gb2312": "gb",
    "gb18030": "gb",
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "iso-8859-1": "iso-8859-1",
    "iso-8859-15": "iso-8859-15",
}
_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"\x84\x31\x95\x33")
# Python's GB2312 codec writes these two as bytes that every GBK reader shows as another character.
_GB2312_TWINS: Final = frozenset("―・")


class Unencodable(ProtocolError):
    """A character that the bank's charset does not have; `position` is its index in the text."""

    def __init__(self, char: str, position: int, charset: str) -> None:
        self.char = char
        self.position = position
        self.codepoint = f"U+{ord(char):04X}"
        super().__init__(
            "unencodable", f"character {char!r} ({self.codepoint}) at position {position} does not exist in {charset}"
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, and whether its bytes were outside the charset that the bank names (GB18030 under a smaller label)."""

    text: str
    repaired: bool


@dataclass(frozen=True, slots=True)
class Charset:
    """One of GBK, GB2312, GB18030, UTF-8, ISO-8859-1, ISO-8859-15, under the label the bank uses.

    `encoder` is the codec that limits the characters that we write; by default that of the label, and GBK for the label
    GB2312, which banks use as another word for it. Pass "gb2312" for a bank that means it.
    """

    name: str
    encoder: str = ""

    def __post_init__(self) -> None:
        if self.name.lower() not in _FAMILY:
            raise ProtocolError("charset", f"charset {self.name!r} is none of {', '.join(_FAMILY)}")
        codec = self.encoder or ("gbk" if self.name.lower() in ("gb2312", "cp936") else self.name.lower())
        object.__setattr__(self, "encoder", codecs.lookup(codec).name)

    @property
    def decoder(self) -> str:
        """The codec with which text is decoded: GB18030 for the whole GB family."""
        family = _FAMILY[self.name.lower()]
        return "gb18030" if family == "gb" else family

    def same_family(self, label: str) -> bool:
        """True if a document that declares `label` may be read with this charset."""
        return _FAMILY.get(label.lower()) == _FAMILY[self.name.lower()]

    def encode(self, text: str) -> bytes:
        """`text` in the bank's charset. Raises Unencodable; never replaces a character."""
        if text.isascii():
            return text.encode("ascii")  # the same in each of these charsets, and faster than their codecs
        try:
            data = text.encode(self.encoder)
        except UnicodeEncodeError as error:
            raise Unencodable(text[error.start], error.start, self.name) from None
        if self.encoder == "gb2312" and not _GB2312_TWINS.isdisjoint(text):
            position = next(i for i, c in enumerate(text) if c in _GB2312_TWINS)
            raise Unencodable(text[position], position, self.name)
        return data

    def decode(self, data: bytes) -> str:
        """`data` as text. Raises "charset" on a byte order mark and on bytes that are no text."""
        if data.startswith(_MARKS):
            raise ProtocolError("charset", f"byte order mark {data[:4].hex()} before {self.name} text")
        try:
            # The GB codec takes ten times as long for ASCII, and a large message is mostly ASCII.
            return data.decode("ascii" if data.isascii() else self.decoder)
        except UnicodeDecodeError as error:
            bad = data[error.start : error.start + 4].hex()
            raise ProtocolError("charset", f"bytes {bad} at {error.start} are not {self.name}") from None

    def decode_wider(self, data: bytes) -> Decoded:
        """Decode as `decode` does, and return whether the bytes went beyond the label. That is logged, but not
        refused."""
        text = self.decode(data)
        try:
            data.decode(self.name)
        except UnicodeDecodeError:
            return Decoded(text, repaired=True)
        return Decoded(text, repaired=False)

    def decode_cut(self, data: bytes) -> str:
        """Decode as `decode` does, for a field of fixed size. If its last character was cut in half, that character is
        dropped."""
        try:
            return codecs.getincrementaldecoder(self.decoder)().decode(data)
        except UnicodeDecodeError:
            return self.decode(data)

    def first_unencodable(self, text: str) -> tuple[int, str] | None:
        """Index and character of the first character that the bank's charset does not have, or None."""
        try:
            self.encode(text)
        except Unencodable as error:
            return error.position, error.char
        return None

    def byte_length(self, text: str) -> int:
        """The number of bytes of `text` on the wire, which is the unit of every bank's limits."""
        return len(self.encode(text))

    def fits(self, text: str, max_bytes: int) -> bool:
        """True if `text` can be encoded and takes no more than `max_bytes`."""
        return self.first_unencodable(text) is None and self.byte_length(text) <= max_bytes

    def cut(self, text: str, max_bytes: int) -> str:
        """The longest beginning of `text` within `max_bytes`, without half a character at its end."""
        data = self.encode(text)
        if len(data) <= max_bytes:
            return text
        return codecs.getincrementaldecoder(self.decoder)().decode(data[:max_bytes])


GBK: Final = Charset("GBK")
GB2312: Final = Charset("GB2312")
GB18030: Final = Charset("GB18030")
UTF8: Final = Charset("UTF-8")
