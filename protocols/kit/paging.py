"""Paging through a bank's list: the request for the next page, as data. A bank that repeats pages is detected.

The place in a list is a `PageCursor`, an opaque text that the asker returns with the next request. So paging survives
a restart and nothing is stored here. A cursor is bound to its question: one of another account or period is refused.
Its size does not grow with the number of pages.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final, Protocol

from protocols.kit.errors import ProtocolError

_VALUE_MAX: Final = 512
_TEXT_MAX: Final = 16_384
PAGES_MAX: Final = 10_000
"""The most pages of any list: 200,000 entries at the bank that gives the fewest a page."""
TOO_MANY_PAGES: Final = "too_many_pages"
"""The reason of the ProtocolError for too many pages. Asking again cannot help."""
_VERSION: Final = 2
_SEEN_MOST: Final = 16
_MARK = re.compile(r"[0-9a-f]{8}")


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class PageCursor:
    """A place in a list: the bank's own value for the next page, the page's number from 1, and the question's mark.

    `question` is the fingerprint of the question (see `fingerprint`). `seen` are marks of the last 16 values: a bank
    that repeats one of them is detected at once. `anchor` is the mark of the value of the last page whose number is a
    power of two: it detects every longer cycle within three times its length (Brent's method).
    """

    value: str
    page: int
    question: str
    seen: tuple[str, ...] = ()
    anchor: str = ""

    def encode(self) -> str:
        """The cursor as opaque text of letters, digits, "-" and "_"."""
        content = json.dumps(
            [_VERSION, self.value, self.page, self.question, "".join(self.seen), self.anchor],
            ensure_ascii=False,
            separators=(",", ":"),
        )
        return base64.urlsafe_b64encode(content.encode("utf-8")).decode("ascii").rstrip("=")

    @staticmethod
    def decode(text: str, question: str) -> PageCursor:
        """Reads what `encode` wrote. Raises "paging" on anything else and on a cursor of another question."""
        try:
            if len(text) > _TEXT_MAX or not text.isascii():
                raise ValueError
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            version, value, page, asked, seen, anchor = json.loads(data)
            _check(version, value, page, asked, seen, anchor)
        except (ValueError, TypeError, binascii.Error, RecursionError):
            raise ProtocolError("paging", "this page cursor was not made by this gateway") from None
        if asked != question:
            raise ProtocolError("paging", "this page cursor belongs to another question")
        return PageCursor(value, page, asked, tuple(_MARK.findall(seen)), anchor)

    def then(self, value: str) -> PageCursor:
        """The next place, with the bank's value for it. Raises "paging" if the bank repeats a page, and TOO_MANY_PAGES
        after PAGES_MAX pages."""
        seen = (*self.seen, _mark(self.value))[-_SEEN_MOST:]
        anchor = seen[-1] if self.page & (self.page - 1) == 0 else self.anchor
        if _mark(value) in (*seen, anchor):
            raise ProtocolError(
                "paging", f"page {self.page + 1} would repeat a page that was read already: the bank repeats its pages"
            )
        if self.page >= PAGES_MAX:
            raise ProtocolError(TOO_MANY_PAGES, f"more than {PAGES_MAX} pages")
        if len(value) > _VALUE_MAX:
            raise ProtocolError("paging", f"the bank's cursor has {len(value)} characters, the limit is {_VALUE_MAX}")
        return PageCursor(value, self.page + 1, self.question, seen, anchor)


def _check(version: Any, value: Any, page: Any, asked: Any, seen: Any, anchor: Any) -> None:
    if version != _VERSION or not all(isinstance(text, str) for text in (value, asked, seen, anchor)):
        raise ValueError
    if isinstance(page, bool) or not isinstance(page, int) or not 1 <= page <= PAGES_MAX or len(value) > _VALUE_MAX:
        raise ValueError
    if not re.fullmatch(f"(?:[0-9a-f]{{8}}){{{min(page - 1, _SEEN_MOST)}}}", seen):
        raise ValueError
    if not re.fullmatch("[0-9a-f]{8}" if page > 1 else "", anchor):
        raise ValueError


def fingerprint(*parts: str) -> str:
    """A short mark of a question (operation, account, period ...), which binds its cursors to it."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class PageSeen:
    """The facts that an answer states about its page: the number of rows, and other values if there are any."""

    rows: int
    cursor: str = ""
    more: bool | None = None
    total: int | None = None


class Paging(Protocol):
    """The paging method of one operation of a bank."""

    def first(self, question: str) -> PageCursor:
        """The place of the first page."""

    def following(self, at: PageCursor, seen: PageSeen) -> PageCursor | None:
        """The next place, or None after the last page. Raises "paging" if the bank repeats a page."""


@dataclass(frozen=True, slots=True)
class CursorEcho:
    """Paging by a value that the bank returns and the next request repeats. The bank's adapter joins several values
    into one.

    Complete if the bank says so (`more` False), or, if it does not say, if it returns no value or no rows.
    """

    start: str = ""

    def first(self, question: str) -> PageCursor:
        return PageCursor(self.start, 1, question)

    def following(self, at: PageCursor, seen: PageSeen) -> PageCursor | None:
        if seen.more is False or (seen.more is None and not (seen.cursor and seen.rows)):
            return None
        if not seen.cursor:
            raise ProtocolError("paging", "the bank says there is more but hands out no cursor")
        return at.then(seen.cursor)


@dataclass(frozen=True, slots=True)
class PageNumber:
    """Paging by page number, with pages of a constant size; the first page is number `start`.

    Complete if the bank says so, if `total` rows have been passed, or, if it states neither, on a page that is not
    full. A page without rows that claims to have a successor is an error, because paging would never end.
    """

    size: int
    start: int = 1

    def first(self, question: str) -> PageCursor:
        return PageCursor(str(self.start), 1, question)

    def following(self, at: PageCursor, seen: PageSeen) -> PageCursor | None:
        more = seen.more
        if more is None:
            more = at.page * self.size < seen.total if seen.total is not None else seen.rows >= self.size
        return _onward(at, seen, _number(at) + 1) if more else None


@dataclass(frozen=True, slots=True)
class Offset:
    """Paging by row number: a page has at most `size` rows, beginning with a given row; the first row is number
    `start`.

    Complete if the bank says so, if `total` is reached, or, if it states neither, on a page that is not full.
    """

    size: int
    start: int = 1

    def first(self, question: str) -> PageCursor:
        return PageCursor(str(self.start), 1, question)

    def following(self, at: PageCursor, seen: PageSeen) -> PageCursor | None:
        beyond = _number(at) + seen.rows
        more = seen.more
        if more is None:
            more = beyond - self.start < seen.total if seen.total is not None else seen.rows >= self.size
        return _onward(at, seen, beyond) if more else None


def _number(at: PageCursor) -> int:
    if not re.fullmatch("[0-9]{1,9}", at.value):
        raise ProtocolError("paging", "this page cursor was not made by this gateway")
    return int(at.value)


def _onward(at: PageCursor, seen: PageSeen, value: int) -> PageCursor:
    if seen.rows == 0:
        raise ProtocolError("paging", f"page {at.page} has no rows, but the bank says there is more")
    return at.then(str(value))
