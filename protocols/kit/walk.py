"""Paging through an account's entries by a running number. A period is read in legs: ranges of days, one by one.

Nothing is stored here between pages: a `Place` is the value of a `PageCursor`, which the asker returns. It counts
entries with the same bank key across page ends, and has a mark of the page before, so that a bank that repeats a page
is detected; `paging` alone sees only the numbers that we count ourselves.

Some banks answer about today and about the past by two questions. The leg's last day and the question are then part of
the place. If they were computed again for each page, they would change at midnight in the middle of a leg, and the
numbers counted so far would belong to another list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from protocols.canon.statement import Line
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import date_text, digits, parse_date
from protocols.kit.paging import PageCursor, fingerprint


@dataclass(frozen=True, slots=True)
class Place:
    """A page's place: the first day of its leg, the number of its first entry, and what came before it.

    `key` and `count` are the last entry's key and how many had it; `before` is a mark of the page before, `total` what
    the bank said then of the leg. `last` and `kind` are the leg's last day and the bank's word for its question, fixed
    when the leg begins.
    """

    day: date
    number: int = 1
    key: str = ""
    count: int = 0
    before: str = ""
    last: date | None = None
    kind: str = ""
    total: int = 0

    @property
    def begun(self) -> bool:
        """True if entries of this leg were reported before this page."""
        return self.number > 1

    def text(self) -> str:
        """As the value of a PageCursor. Raises "paging" for a key with a blank in it."""
        if " " in self.key:
            raise ProtocolError("paging", "an entry's key holds a blank")
        last = "" if self.last is None else date_text(self.last)
        counts = f"{self.number} {self.count} {self.total}"
        return f"{date_text(self.day)} {last} {self.kind} {counts} {self.before} {self.key}"

    @staticmethod
    def of(text: str) -> Place:
        """Reads what `text` wrote. Raises "paging" on anything else."""
        try:
            day, last, kind, number, count, total, before, key = text.split(" ")
            return Place(parse_date(day), digits(number), key, digits(count), before,
                         parse_date(last) if last else None, kind, digits(total))  # fmt: skip
        except (ValueError, ProtocolError):
            raise ProtocolError("paging", "this page cursor was not made here") from None

    def counted(self, lines: Sequence[Line]) -> tuple[Line, ...]:
        """The page's lines, each with its occurrence among those of the same key."""
        return counted(lines, self.key, self.count)

    def onward(self, lines: Sequence[Line], total: int) -> Place | None:
        """Where a leg of `total` entries goes on after the counted lines of this page; None at its end.

        Raises "paging" if the bank says that there are more and reports none, repeats the page before, or if its list
        changed during the walk: it shrank, or new entries moved one over the page's end that we have already.
        """
        if total < self.total:
            raise ProtocolError("paging", f"{self.total} entries, and then {total}: the list changed during the walk")
        if self.total and total > self.total and any(one.bank_line_id == self.key for one in lines):
            raise ProtocolError("paging", f"{total - self.total} new entries moved others on: begin this walk again")
        mark = fingerprint(*(f"{one.bank_line_id} {one.amount} {one.balance} {one.text}" for one in lines))
        if lines and mark == self.before:
            raise ProtocolError("paging", f"the page from {self.number} on is the one before it: the bank goes round")
        number = self.number + len(lines)
        if number > total:
            return None
        if not lines:
            raise ProtocolError("paging", f"{total} entries are said to be there, and none is told from {number} on")
        key, count = lines[-1].bank_line_id, lines[-1].occurrence + 1
        return replace(self, number=number, key=key, count=count, before=mark, total=total)


def counted(lines: Iterable[Line], key: str = "", count: int = 0) -> tuple[Line, ...]:
    """The lines, each with its occurrence among those of the same bank key.

    `key` is that of the last line of the page before, which `count` lines had.
    """
    counts: Counter[str] = Counter({key: count} if count else {})
    found: list[Line] = []
    for line in lines:
        found.append(replace(line, occurrence=counts[line.bank_line_id]))
        counts[line.bank_line_id] += 1
    return tuple(found)


def entered(cursor: str | None, question: str, first: Callable[[], str]) -> PageCursor:
    """The place that a page is asked for: the asker's cursor, or where the walk begins (`first`) without one.

    `question` is the fingerprint of what is asked. Raises "paging" for a cursor of another question.
    """
    return PageCursor(first(), 1, question) if cursor is None else PageCursor.decode(cursor, question)
