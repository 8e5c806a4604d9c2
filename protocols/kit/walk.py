"""Paging through an account's entries by a running number. A period is read in legs: ranges of days, one by one.

Nothing is stored here between pages: a `WalkPlace` is the value of a `PageCursor`, which the asker returns. It counts
entries with the same bank key across page ends, and has a mark of the page before, so that a bank that repeats a page
is detected; `paging` alone sees only the numbers that we count ourselves.

Some banks answer about today and about the past by two questions. The leg's last day and the question are then part of
the place. If they were computed again for each page, they would change at midnight in the middle of a leg, and the
numbers counted so far would belong to another list.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from protocols.canon.statement import Direction, Line
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import date_text, digits, parse_date
from protocols.kit.paging import PageCursor, fingerprint

_MOVED: Final = re.compile(r"-[DC]-?[0-9]+\Z")
_BESIDE: Final = "\x1e"
_BESIDE_MOST: Final = 6


@dataclass(frozen=True, slots=True)
class WalkPlace:
    """The place of a page: the first day of its leg, the number of its first entry, and the entries before it.

    `key` and `count` are the last entry's key and the number of entries with it, with the counts of other entries of
    its number (see `carried`). `before` is a fingerprint of the page before, `entry` one of its last entry, `total` the
    number of entries that the bank stated then. `last` and `kind` are the leg's last day and the bank's code of its
    question, fixed when the leg begins.
    """

    day: date
    number: int = 1
    key: str = ""
    count: int = 0
    before: str = ""
    last: date | None = None
    kind: str = ""
    total: int = 0
    entry: str = ""

    @property
    def begun(self) -> bool:
        """True if entries of this leg were reported before this page."""
        return self.number > 1

    def text(self) -> str:
        """The place as the value of a PageCursor. Raises "paging" if a key has a blank in it."""
        if " " in self.key:
            raise ProtocolError("paging", "an entry's key has a blank in it")
        last = "" if self.last is None else date_text(self.last)
        counts = f"{self.number} {self.count} {self.total}"
        return f"{date_text(self.day)} {last} {self.kind} {counts} {self.before} {self.entry} {self.key}"

    @staticmethod
    def of(text: str) -> WalkPlace:
        """The place from the text that `text` wrote. Raises "paging" on any other text."""
        try:
            day, last, kind, number, count, total, before, entry, key = text.split(" ")
            return WalkPlace(
                parse_date(day),
                digits(number),
                key,
                digits(count),
                before,
                parse_date(last) if last else None,
                kind,
                digits(total),
                entry,
            )
        except (ValueError, ProtocolError):
            raise ProtocolError("paging", "this page cursor was not made by this gateway") from None

    def counted(self, lines: Sequence[Line]) -> tuple[Line, ...]:
        """The page's lines, each with its number among lines with the same key."""
        return counted(lines, self.key, self.count)

    def onward(self, lines: Sequence[Line], total: int) -> WalkPlace | None:
        """The place of the next page in a leg of `total` entries; None at the leg's end.

        Raises "paging" if the bank says that there are more and reports none, or repeats the page before.
        """
        mark = fingerprint(*map(_said, lines))
        if lines and mark == self.before:
            raise ProtocolError(
                "paging",
                f"the page from {self.number} on is the same as the page before it: the bank repeats its pages",
            )
        number = self.number + len(lines)
        if number > total:
            return None
        if not lines:
            raise ProtocolError(
                "paging", f"{total} entries are announced, but the bank sends none from number {number} on"
            )
        key, count = carried(lines, self.key, self.count)
        entry = fingerprint(_said(lines[-1]))
        return replace(self, number=number, key=key, count=count, before=mark, total=total, entry=entry)

    def told_again(self, lines: Sequence[Line], total: int) -> int:
        """The number of entries at the page's beginning that an earlier page had already, because the list has grown
        since then.

        If a bank lists the newest entry last, a new entry is only added at the end. If it lists the newest first, a new
        entry moves all others on, and the page begins with entries that we have already. Raises "paging" if the order
        cannot be decided, or if the list has shrunk: the walk must begin again.
        """
        grown = total - self.total if self.total else 0
        if grown < 0:
            raise ProtocolError(
                "paging", f"the bank announced {self.total} entries, then {total}: the list changed during the walk"
            )
        marks = [fingerprint(_said(one)) for one in lines] if grown else []
        if self.entry not in marks:
            return 0
        if marks.index(self.entry) != grown - 1 or marks.count(self.entry) > 1 or lines[grown - 1].balance is None:
            raise ProtocolError("paging", "the list changed during the walk, and an entry may have been read already")
        return grown


def _said(line: Line) -> str:
    return f"{line.bank_line_id} {line.direction} {line.amount} {line.balance} {line.text}"


def counted(lines: Iterable[Line], key: str = "", count: int = 0) -> tuple[Line, ...]:
    """The lines, each with its number among those with the same bank key.

    `key` and `count` are the values that `carried` gave for the page before.
    """
    counts: Counter[str] = Counter(_counts(key, count))
    found: list[Line] = []
    for line in lines:
        found.append(replace(line, occurrence=counts[line.bank_line_id]))
        counts[line.bank_line_id] += 1
    return tuple(found)


def line_key(day: date, parts: Iterable[str], direction: Direction, minor: int, since: date) -> str:
    """An entry's key: its day and the bank's numbers. From the day `since` on, the key also has direction and amount.

    The bank does not say that its number belongs to one entry only. With direction and amount in the key, two entries
    of one number have different keys, in whichever order they are listed. Entries of days before `since` keep the keys
    under which they were reported.
    """
    key = "-".join(filter(None, (date_text(day), *parts)))
    return key if day < since else f"{key}-{'D' if direction is Direction.DEBIT else 'C'}{minor}"


def number_of(key: str) -> str:
    """A key without direction and amount: the day and the bank's numbers only."""
    return _MOVED.sub("", key)


def carried(lines: Sequence[Line], key: str, count: int) -> tuple[str, int]:
    """The last line's key with its count, and the keys with counts of other entries that have the same number.

    The next page may continue with any of them. `key` and `count` are those of the page before.
    """
    last = lines[-1]
    number = number_of(last.bank_line_id)
    ours = [line for line in lines if number_of(line.bank_line_id) == number]
    found = _counts(key, count) if len(ours) == len(lines) and number_of(key.partition(_BESIDE)[0]) == number else {}
    found |= {line.bank_line_id: line.occurrence + 1 for line in ours}
    beside = [f"{one}={many}" for one, many in found.items() if one != last.bank_line_id][-_BESIDE_MOST:]
    return _BESIDE.join([last.bank_line_id, *beside]), found[last.bank_line_id]


def _counts(key: str, count: int) -> dict[str, int]:
    last, *beside = key.split(_BESIDE)
    found = {one: digits(many) for one, _, many in (each.rpartition("=") for each in beside)}
    return {**found, last: count} if count else found


def entered(cursor: str | None, question: str, first: Callable[[], str]) -> PageCursor:
    """The place of the requested page: that of the caller's cursor; without a cursor `first`, the begin of the walk.

    `question` is the fingerprint of the question. Raises "paging" for a cursor of another question.
    """
    return PageCursor(first(), 1, question) if cursor is None else PageCursor.decode(cursor, question)
