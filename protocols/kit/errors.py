"""ProtocolError, the kit's one exception: a message, a code table or our own text breaks the protocol."""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

ErrorReason = Literal[
    "frame_too_long",  # more bytes than the configured limit, or than the length field can say
    "frame_length",  # the length field is not a plain decimal number, or contradicts the frame
    "truncated",  # the peer closed in the middle of a frame
    "trailing",  # bytes after the end of the message
    "http",  # not the subset of HTTP/1.1 that `http` reads
    "charset",  # bytes that are not text in the bank's charset, a BOM, another declared charset
    "unencodable",  # our text holds a character that the bank's charset cannot carry
    "not_xml",  # not well-formed XML
    "doctype",  # a document type or entity declaration, or an entity
    "comment",  # a comment inside a message (it can split an amount)
    "instruction",  # a processing instruction
    "xml_limits",  # too deep, too many elements or attributes
    "missing",  # an element, attribute or field that must be there is not
    "ambiguous",  # something that must be there once is there twice
    "value",  # a value that is not of the form the protocol promises
    "unsigned",  # no signature where one is required
    "structure",  # a signature of another structure than the profile's (wrapping, extra references, ...)
    "algorithm",  # an algorithm the profile does not name, or a weak one after its end date
    "digest",  # the signed element was changed
    "signature",  # the signature value does not fit any pinned key
    "wrong_key",  # signed with a key that is not pinned, or of the wrong type or size
    "correlation",  # an answer to another message, or about another payment
    "paging",  # a page cursor that repeats, or is not ours
    "too_many_pages",  # a list of more pages than paging.PAGES_MAX
    "key_gone",  # no signature can be made: the signing key does not answer, or its signature does not verify
    "table",  # a code table that is wrong in itself
    "stack",  # native libraries on this machine are not compatible
]

REASONS: Final[frozenset[str]] = frozenset(get_args(ErrorReason))
"""The closed list of slugs, fit to be a metric label."""

_LONG_NUMBER = re.compile(r"[0-9](?:[ -]?[0-9]){8,}")
_TEXT_MAX = 2_000


def _masked(found: re.Match[str]) -> str:
    return "***" + re.sub("[ -]", "", found.group())[-4:]


def harmless(text: str) -> str:
    """`text` made safe for a log line: numbers of nine digits or more are cut to their last four, and all characters
    are printable.

    Line breaks, bidirectional marks and zero-width characters come out as escapes, so that a bank's text
    can forge neither a log line nor the order in which one reads it.
    """
    masked = _LONG_NUMBER.sub(_masked, text)[:_TEXT_MAX]
    if masked.isprintable():
        return masked
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in masked)


class ProtocolError(Exception):
    """The bytes of a message, received or about to be sent, break the protocol; `reason` is a slug of `REASONS`.

    The text is for people. It is passed through `harmless`, so it never shows a clear account number.
    """

    def __init__(self, reason: ErrorReason, text: str) -> None:
        assert reason in REASONS, f"{reason} is not a known reason"
        self.reason: ErrorReason = reason
        self.text: str = harmless(text)
        super().__init__(reason, self.text)

    def __str__(self) -> str:
        return f"{self.reason}: {self.text}"


class CannotAsk(ProtocolError):
    """The question cannot be put to the bank in this form; the text says which value is missing. Nothing was sent."""

    def __init__(self, text: str, reason: ErrorReason = "missing") -> None:
        super().__init__(reason, text)
