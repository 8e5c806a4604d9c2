"""The simulated bank's store of files: those that came in, and those it makes, each with its life cycle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Protocol

from protocols.banks.finws import twin_papers as papers
from protocols.banks.finws.twin_rules_files import DEBITS, REASON, REPEATED, TRANSFERS, file_findings
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.judge import RequestFinding
from protocols.twin import Booking, Books, Duplicate, DuplicateBundle, Entry, Holding

PAYMENT, STATUS = "pain.001.001.03", "pain.002.001.03"
NOTIFICATION, REPORT, STATEMENT = "camt.054.001.02", "camt.052.001.02", "camt.053.001.02"
DOWN: Final = (STATUS, NOTIFICATION, REPORT, STATEMENT)
_REPORTS_KEPT: Final = 8


@dataclass(slots=True)
class Shelved:
    """One file. Status of a file from the customer: WFC, FWD, DEL. Status of a file of the bank: NEW until fetched,
    then DLD. `findings`: the rules that a file of payments breaks, so that nothing of it is executed."""

    reference: str
    kind: str
    status: str
    made_at: datetime
    content: bytes
    name: str = ""
    parent: str = ""
    findings: tuple[RequestFinding, ...] = ()


@dataclass(slots=True)
class _Upload:
    """A payment file from the customer; `order` is None if it could not be read or was a repeat."""

    file: Shelved
    message: str
    named: str = PAYMENT
    order: papers.Order | None = None
    reason: str = ""
    told: tuple[str, ...] = ()


class Shelves(Protocol):
    """The store of a bank's files for its customer, however they are made."""

    def accept_file(self, kind: str, content: bytes, name: str, books: Books) -> Shelved:
        """Store a file from the customer."""

    def list(self, kind: str, status: str, first: date | None, last: date | None, books: Books) -> list[Shelved]:
        """Files of a kind, oldest first; `status` ALL is any. Between two days, where they are given."""

    def fetch(self, reference: str, kind: str) -> Shelved | None:
        """A file that the bank made. Fetching it changes its status."""

    def delete(self, reference: str) -> Shelved | None:
        """Delete a file; None if it is forwarded already, or does not exist."""


class Shelf:
    """All files of one customer. They live as long as the process. The books are kept longer.

    `notify_s`: at most one notification file per account in so many seconds. Without `notifications` or `statuses` the
    bank makes no such files. `statement_s`: a statement every so many seconds, in addition to that of the day.
    `odd_rows`: each file begins with an unreadable row. `late_entries`: the last entry of a day is booked and reported
    when the day is over, and so is in the files of the next day. A group that is booked as one has `batch_details`:
    "all" its payments, "some" or "none"; with `back_together` all returned money of the group is one entry.
    """

    def __init__(
        self,
        accounts: Iterable[str],
        notify_s: float,
        notifications: bool,
        statuses: bool,
        statement_s: float = 0,
        collection: str = "",
        *,
        odd_rows: bool = False,
        late_entries: bool = False,
        batch_details: str = "all",
        back_together: bool = False,
    ) -> None:
        self._accounts = dict.fromkeys(accounts)
        self._notify = timedelta(seconds=notify_s)
        self._notifications = notifications
        self._statuses = statuses
        self._files: dict[str, Shelved] = {}
        self._uploads: dict[str, _Upload] = {}
        self._names: dict[str, papers.Named] = {}
        self._money = (PAYMENT, collection)
        self._told: dict[str, set[int]] = {}
        self._told_at: dict[str, datetime] = {}
        self._reported: dict[str, list[str]] = {}
        self._news: dict[str, tuple[date, Holding, int]] = {}
        self._stated: dict[str, set[int]] = {}
        self._stated_at: dict[str, datetime] = {}
        self._interim = timedelta(seconds=statement_s)
        self._opened_at: datetime | None = None
        self._odd_rows, self._late_entries = odd_rows, late_entries
        self._batch_details, self._back_together = batch_details, back_together

    def accept_file(self, kind: str, content: bytes, name: str, books: Books) -> Shelved:
        """Stores a file that comes in. A payment file is executed at once; status files then tell the outcome."""
        if kind not in self._money:
            return self._shelve(kind, "WFC", content, books, name)
        broken = file_findings(content, books, TRANSFERS if kind == PAYMENT else DEBITS)
        if broken:
            file = self._shelve(kind, "FWD", content, books, name)
            file.findings = broken
            self._uploads[file.reference] = _Upload(file, name, kind, None, REASON)
            return file
        order = papers.read(content)
        instructions, taken = [one.instruction for one in order.paid], True
        self._accounts |= dict.fromkeys(one.debtor_account for one in instructions)
        try:
            if len(instructions) == 1:
                books.book_once(instructions[0])
            else:
                books.take_bundle(order.message, instructions)
        except (Duplicate, DuplicateBundle):
            taken = False
        file = self._shelve(kind, "FWD", content, books, name)
        self._uploads[file.reference] = _Upload(
            file, order.message, order.name, order if taken else None, "" if taken else REPEATED
        )
        for one in order.paid:
            together = order.together and len(order.paid) > 1
            named = papers.Named(
                order.message, one.group, one.end_to_end, together, self._batch_details, self._back_together
            )
            self._names.setdefault(one.instruction.reference, named)
        return file

    def list(self, kind: str, status: str, first: date | None, last: date | None, books: Books) -> list[Shelved]:
        """The files of a kind, oldest first, after those that are due are made. A file that the books hide is not
        listed.
        """
        self._opened_at = self._opened_at or books.now()
        self._make(kind, books)
        hidden = self._hidden(books) if kind in self._money else set()
        return [
            one
            for one in self._files.values()
            if one.kind == kind
            and status in ("ALL", one.status)
            and one.reference not in hidden
            and (first is None or first <= one.made_at.date())
            and (last is None or one.made_at.date() <= last)
        ]

    def fetch(self, reference: str, kind: str) -> Shelved | None:
        """A file that the bank made. Fetching it changes its status."""
        found = self._files.get(reference)
        if found is None or found.kind != kind or kind not in DOWN:
            return None
        found.status = "DLD"
        return found

    def delete(self, reference: str) -> Shelved | None:
        """Delete a file; None if it is forwarded already, or does not exist."""
        found = self._files.get(reference)
        if found is None or found.status != "WFC":
            return None
        found.status = "DEL"
        return found

    # ---- making files ----------------------------------------------------------------------------------------

    def _hidden(self, books: Books) -> set[str]:
        return {
            reference
            for reference, upload in self._uploads.items()
            if upload.order is not None and not any(_found(upload.order, books))
        }

    def _hidden_references(self, books: Books) -> set[str]:
        orders = [upload.order for upload in self._uploads.values() if upload.order is not None]
        return {
            paid.instruction.reference
            for order in orders
            for paid, booking in zip(order.paid, _found(order, books), strict=True)
            if booking is None
        }

    def _make(self, kind: str, books: Books) -> None:
        if kind == STATUS and self._statuses:
            for upload in self._uploads.values():
                self._tell(upload, books)
        elif kind == NOTIFICATION and self._notifications:
            for account in self._accounts:
                self._notify_about(account, books)
        elif kind == REPORT:
            self._report(books)
        elif kind == STATEMENT:
            for account in self._accounts:
                self._state(account, books)

    def _tell(self, upload: _Upload, books: Books) -> None:
        told: list[tuple[papers.Paid, Booking]] = []
        if upload.order is not None:
            found = zip(upload.order.paid, _found(upload.order, books), strict=True)
            told = [(paid, booking) for paid, booking in found if booking is not None]
            if not told:
                return
        codes = tuple(papers.status_code(booking) for _, booking in told) or ("RJCT",)
        if codes == upload.told:
            return
        upload.told = codes
        number = self._number(books)
        content = papers.status_file(number, upload.message, upload.named, told, upload.reason, books.now())
        self._keep(Shelved(number, STATUS, "NEW", books.now(), content, parent=upload.file.reference))

    def _notify_about(self, account: str, books: Books) -> None:
        now, told = books.now(), self._told.setdefault(account, set())
        if account in self._told_at and now - self._told_at[account] < self._notify:
            return
        holding, hidden = books.holding(account), self._hidden_references(books)
        fresh = [
            one
            for one in books.entries(account, date.min, date.max)
            if one.number not in told and one.reference not in hidden
        ]
        if holding is None or not fresh:
            return
        told.update(one.number for one in fresh)
        self._told_at[account] = now
        number = self._number(books)
        content = papers.notification(number, holding, fresh, now, self._names)
        self._keep(Shelved(number, NOTIFICATION, "NEW", now, content))

    def _report(self, books: Books) -> None:
        """A fresh report of each account with new entries. The last few reports before it can still be fetched."""
        now, hidden = books.now(), self._hidden_references(books)
        for account in self._accounts:
            holding = books.holding(account)
            if holding is None:
                continue
            every = books.entries(account, now.date() - timedelta(days=1), now.date())
            today = [one for one in every if self._told_on(one, every) == now.date() and one.reference not in hidden]
            news = (now.date(), holding, len(today))
            kept = self._reported.setdefault(account, [])
            if self._news.get(account) == news:
                continue
            self._news[account] = news
            number = self._number(books)
            self._keep(Shelved(number, REPORT, "NEW", now, papers.report(number, holding, today, now, self._names)))
            kept.append(number)
            if len(kept) > _REPORTS_KEPT:
                del self._files[kept.pop(0)]

    def _state(self, account: str, books: Books) -> None:
        """Make a statement for each day that is over and has entries; also statements of unfinished days, if the bank
        makes them."""
        now, stated = books.now(), self._stated.setdefault(account, set())
        every = books.entries(account, date.min, date.max)
        unstated = [one for one in every if one.number not in stated]
        told_on = {one.number: self._told_on(one, every) for one in unstated}
        for day in sorted({on for on in told_on.values() if on < now.date()}):
            made = datetime.combine(day + timedelta(days=1), time.min, now.tzinfo)
            self._make_statement(account, books, [one for one in unstated if told_on[one.number] == day], made, day)
        before = self._stated_at.get(account, self._opened_at)
        if self._interim and before is not None and now - before >= self._interim:
            hidden = self._hidden_references(books)
            ours = [one for one in unstated if one.bank_date == now.date() and one.reference not in hidden]
            self._make_statement(account, books, ours, now)
            self._stated_at[account] = now

    def _told_on(self, entry: Entry, every: Sequence[Entry]) -> date:
        """The day in whose files an entry appears."""
        late = self._late_entries and not any(
            one.bank_date == entry.bank_date and one.number > entry.number for one in every
        )
        return entry.bank_date + timedelta(days=late)

    def _make_statement(
        self, account: str, books: Books, ours: Sequence[Entry], made: datetime, day: date | None = None
    ) -> None:
        """Makes a statement of these entries. Entries that no statement has yet lie between the last closing balance
        and the book.
        """
        holding, stated = books.holding(account), self._stated[account]
        if holding is None or not ours:
            return
        unstated = (one for one in books.entries(account, date.min, date.max) if one.number not in stated)
        opening = holding.book.minor - _moved(unstated)
        stated.update(one.number for one in ours)
        number, closing = self._number(books), Money(opening + _moved(ours), holding.currency)
        day = day or ours[0].bank_date
        content = papers.statement(number, holding, day, tuple(ours), closing, made, self._names)
        self._keep(Shelved(number, STATEMENT, "NEW", made, content))

    def _shelve(self, kind: str, status: str, content: bytes, books: Books, name: str) -> Shelved:
        return self._keep(Shelved(self._number(books), kind, status, books.now(), content, name))

    def _keep(self, file: Shelved) -> Shelved:
        if self._odd_rows and file.kind in DOWN:
            file.content = papers.with_odd_row(file.content)
        self._files[file.reference] = file
        return file

    @staticmethod
    def _number(books: Books) -> str:
        return f"{books.serial():012d}"


def _found(order: papers.Order, books: Books) -> list[Booking | None]:
    """The bookings of a file's payments, in their order; None for a booking that the books hide."""
    return [books.find(one.instruction.reference) for one in order.paid]


def _moved(entries: Iterable[Entry]) -> int:
    return sum(one.amount.minor if one.direction is Direction.CREDIT else -one.amount.minor for one in entries)
