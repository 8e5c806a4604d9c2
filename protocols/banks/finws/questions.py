"""Balance, entries and returns, from the account reports the bank leaves for us (camt.052, camt.053, camt.054)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from protocols.bank import Context, Conversation
from protocols.banks.finws import iso
from protocols.banks.finws.climb import Types
from protocols.banks.finws.files import DOWNLOADS_MAX, File, Files
from protocols.banks.finws.messages import Packed, Turn
from protocols.canon.money import Money
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Balance, Line, Page, Return, ReturnsPage
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.iso20022 import account as reports
from protocols.kit.iso20022 import lines as words
from protocols.kit.iso20022 import stream
from protocols.kit.iso20022.account import AccountReport, CamtBalance
from protocols.kit.paging import CursorEcho, PageCursor, PageSeen, fingerprint

_PAGING: Final = CursorEcho()
_CLOSING: Final = "CLBD"
_TODAY: Final = "today"
_NO_REPORT: Final = "no report of this account"
_DAY: Final = timedelta(days=1)
_LATEST: Final = timedelta(days=5)
"""So long after its day a statement is still looked for: over a weekend and a holiday."""


@dataclass(frozen=True, slots=True)
class _Told:
    """The content of one file about the account, as a page.

    `about`: True if any part of the file is about the account. `earlier`: the last statement so far; the next one must
    fit it. `following`: how many entries of a large file came before the next page, 0 at its end.
    """

    page: Page
    about: bool
    earlier: AccountReport | None
    following: int = 0

    @property
    def empty(self) -> bool:
        return not (self.page.lines or self.page.findings or self.following)


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks for balances, entries and returns. Only the part of a report about the requested account is read."""

    files: Files
    types: Types

    def balance(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        """The balance in the newest intraday report, or the closing balance of a past day's statement. Raises Declined
        if there is none."""
        turn, kind = self.files.wire.turn(context), self.types.report
        if question.on is None:
            found = yield from self._report(kind, context.bank_date, context.bank_date + _DAY, question, turn)
        else:
            kind = self.types.statement
            found = yield from self._report(kind, question.on, question.on + _DAY, question, turn)
            if found is None:
                found = yield from self._report(kind, question.on + 2 * _DAY, question.on + _LATEST, question, turn)
        if found is None:
            raise Declined("downloadFileList", "24", _NO_REPORT, "failed")
        if any(balance.amount.currency != question.currency for balance in found.balances):
            raise ProtocolError("correlation", f"the account is not kept in {question.currency}")
        if question.on is not None:
            closing = found.balance(_CLOSING)
            return Balance(question.account, None if closing is None else closing.amount, None, as_of=found.created)
        return replace(words.balance(found), account=question.account)

    def _report(
        self, kind: str, first: date, last: date, question: BalanceQuestion, turn: Turn
    ) -> Conversation[AccountReport | None]:
        """The newest report about the account, of the requested day.

        A file that cannot be read does not hide others; its error is raised if no report is found.
        """
        files, failed = (yield from self.files.listing(kind, turn, first=first, last=last)), None
        for file in reversed(files[-DOWNLOADS_MAX:]):
            content = yield from self.files.download(file, turn)
            try:
                for one in iso.accounts(content):
                    if one.account == question.account.clear and (
                        question.on is None or _day_of(file, one) == question.on
                    ):
                        return one
            except ProtocolError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return None

    def lines(self, question: LinesQuestion, context: Context) -> Conversation[Page]:
        """The entries of one report, or of a part of a large one.

        Past days are read from statements, today from the newest intraday report.

        An entry is reported with the file that states it, under the day that the entry itself states. If an entry is
        booked for an earlier day after that day's statement, it is found with the day whose file states it. A file or
        entry that cannot be read is a finding, and does not hide others.
        """
        turn, asked = self.files.wire.turn(context), _mark("lines", question)
        at = PageCursor.decode(question.cursor, asked) if question.cursor else _PAGING.first(asked)
        name, offset, earlier = _place(at.value, question)
        today = question.last >= context.bank_date
        files: tuple[File, ...] = ()
        if question.first < context.bank_date:
            # A statement is made after its day.
            last = min(question.last, context.bank_date - _DAY)
            files = yield from self._statements(question.first, last + _DAY, turn)
            missed = name not in ("", _TODAY, *(one.reference for one in files))
            if missed or (not files and not name and last + _DAY < context.bank_date):
                later = yield from self._statements(last + 2 * _DAY, min(last + _LATEST, context.bank_date), turn)
                files += tuple(one for one in later if one not in files)
        # Each request makes the day's reports anew: for a large report the cursor remembers the file.
        names = [one.reference for one in files] + ([_TODAY] if today else [])
        if name and name.partition(":")[0] not in names:
            raise ProtocolError("paging", "the report to go on with is not there any more")
        for number in range(names.index(name.partition(":")[0]) if name else 0, len(names)):
            if names[number] == _TODAY:
                told, here = yield from self._today(question, context, turn, name.partition(":")[2], offset)
            else:
                content, here = (yield from self.files.download(files[number], turn)), names[number]
                told = _read(files[number], content, question, offset, earlier)
            offset, earlier = 0, told.earlier
            if told.empty:
                continue
            place = f"{here} {told.following}" if told.following else "".join(names[number + 1 : number + 2])
            onward = f"{place}{_mark_of(earlier)}" if place else ""
            following = _PAGING.following(at, PageSeen(len(told.page.lines), onward, more=bool(onward)))
            return replace(told.page, cursor=None if following is None else following.encode())
        return Page(())

    def _statements(self, first: date, last: date, turn: Turn) -> Conversation[tuple[File, ...]]:
        return (yield from self.files.listing(self.types.statement, turn, first=first, last=last))

    def _today(
        self, question: LinesQuestion, context: Context, turn: Turn, reference: str, offset: int
    ) -> Conversation[tuple[_Told, str]]:
        """The newest intraday report about this account, or more of the large report `reference`; and the name of its
        place."""
        today = context.bank_date
        files = yield from self.files.listing(self.types.report, turn, first=today, last=today)
        wanted = [one for one in reversed(files[-DOWNLOADS_MAX:]) if reference in ("", one.reference)]
        if reference and not wanted:
            raise ProtocolError("paging", "the report to go on with is not there any more")
        left_out = Page(())
        for file in wanted:
            content = yield from self.files.download(file, turn)
            told = _read(file, content, question, offset, None, today)
            if told.about:
                return replace(told, page=_joined(told.page, left_out)), f"{_TODAY}:{file.reference}"
            left_out = _joined(told.page, left_out)
        return _Told(left_out, False, None), _TODAY

    def returns(self, question: ReturnsQuestion, context: Context) -> Conversation[ReturnsPage]:
        """One page of returns: credits with return information, from the days' notifications and statements.

        A page reads up to 64 files.
        """
        turn, found, odd = self.files.wire.turn(context), dict[str, Return](), dict[str, None]()
        days = fingerprint("returns", question.account.clear, question.first.isoformat(), question.last.isoformat())
        at = PageCursor.decode(question.cursor, days) if question.cursor else _PAGING.first(days)
        files: list[File] = []
        for kind in (self.types.statement, self.types.notification):
            last = question.last + timedelta(days=1)
            files += yield from self.files.listing(kind, turn, first=question.first, last=last)
        names = [one.reference for one in files]
        if at.value and at.value not in names:
            raise ProtocolError("paging", "the file to go on with is not there any more")
        start = names.index(at.value) if at.value else 0
        these, following = files[start : start + DOWNLOADS_MAX], "".join(names[start + DOWNLOADS_MAX :][:1])
        for file, content in (yield from self.files.downloads(tuple(these), turn)):
            count = Counter[str]()
            try:
                for report in iso.accounts(content):
                    odd |= dict.fromkeys(_said(report, *report.findings))
                    for back in words.returns(report) if report.account == question.account.clear else ():
                        day = back.returned_on or _day_of(file, report)
                        if question.first <= day <= question.last:
                            # A notification and the statement after it hold the same return.
                            key = f"{back.reference} {back.amount} {back.reversed} {day}"
                            count[key] += 1
                            found[f"{key} {count[key]}"] = replace(back, returned_on=day)
            except ProtocolError as error:
                odd[iso.unread(file, error)] = None
        onward = _PAGING.following(at, PageSeen(len(these), following, more=bool(following)))
        return ReturnsPage(tuple(found.values()), None if onward is None else onward.encode(), tuple(odd))


def _read(
    file: File,
    content: bytes | Packed,
    question: LinesQuestion,
    offset: int,
    earlier: AccountReport | None,
    today: date | None = None,
) -> _Told:
    """The entries of a file after the one at `offset`; `today` for an intraday report. Raises "correlation"."""
    try:
        if isinstance(content, Packed):
            return _part(file, content, question, offset, earlier, today)
        return _whole(file, content, question, earlier, today)
    except ProtocolError as error:
        if error.reason == "correlation":
            raise
        return _Told(Page((), findings=(iso.unread(file, error),), unread=1), False, earlier)


def _whole(
    file: File, content: bytes, question: LinesQuestion, earlier: AccountReport | None, today: date | None
) -> _Told:
    """The page of a whole file. It has opening and closing balance only if it has all entries between them."""
    page, ids, about = Page(()), Counter[str](), 0
    for report in iso.accounts(content):
        if not report.account:
            page = _joined(page, Page((), findings=_said(report, *report.findings), unread=report.unread))
        if report.account != question.account.clear:
            continue
        about += 1
        told, ours, findings, unread = _lines(file, report, question, ids, today)
        if report.kind == "camt.053":
            findings += [one for one in ("" if earlier is None else reports.gap(earlier, report),) if one]
            earlier = report
        opening, closing = _ends(report) if len(ours) == told else (None, None)
        page = _joined(page, Page(ours, None, None, opening, closing, _said(report, *findings), unread))
    # The order of several reports in one file is not known.
    return _Told(page if about == 1 else replace(page, opening=None, closing=None), about > 0, earlier)


def _part(
    file: File, content: Packed, question: LinesQuestion, offset: int, earlier: AccountReport | None, today: date | None
) -> _Told:
    """Some entries of a file that is too large to be held in memory.

    Earlier entries are only counted, so that the ids of lines are those of the whole report.
    """
    number, seen, before = question.account.clear, Counter[str](), Page(())
    read = stream.parts(content.pieces(), iso.PART_ENTRIES, account=number, skip=offset, seen=seen)
    about = False
    for part in read:
        if not part.report.account and not offset:
            before = _joined(before, Page((), findings=_said(part.report, *part.report.findings), unread=1))
        if part.report.account != number:
            continue
        about, report = True, part.report
        told, ours, findings, unread = _lines(file, report, question, seen, today)
        follows = part.first == 1 and earlier is not None and report.kind == "camt.053"
        gap = reports.gap(earlier, report) if follows and earlier is not None else ""
        opening, closing = _ends(report) if len(ours) == told else (None, None)
        page = _joined(
            before,
            Page(
                ours,
                None,
                None,
                opening if part.first == 1 else None,
                closing if part.last else None,
                _said(report, *(one for one in (gap,) if one), *findings),
                unread,
            ),
        )
        if not ours and not part.last:
            before = page
            continue
        if not part.last:
            return _Told(page, True, earlier, part.through)
        return _Told(page, True, replace(report, entries=()) if report.kind == "camt.053" else earlier)
    return _Told(before, about, earlier)


def _lines(
    file: File, report: AccountReport, question: LinesQuestion, ids: Counter[str], today: date | None
) -> tuple[int, tuple[Line, ...], list[str], int]:
    """A report's number of entries, the requested ones, the findings, and the number of entries left out.

    An entry is left out if it cannot be read or is in another currency.

    Raises "correlation" for an account in another currency.
    """
    told = words.lines(report, _day_of(file, report), ids)
    here = [one for one in told if one.amount.currency == question.currency]
    kept_in = {report.currency, *(one.amount.currency for one in report.balances)} - {"", question.currency}
    if kept_in or (told and not here):
        raise ProtocolError("correlation", f"the account is not kept in {question.currency}, or its entries are not")
    first, last = _span(report, today)
    ours = tuple(
        replace(one, account=question.account)
        for one in here
        if question.first <= min(max(one.bank_date, first), last) <= question.last
    )
    foreign = len(told) - len(here)
    more = [f"{foreign} entries in another currency than {question.currency} are left out"] if foreign else []
    return len(told), ours, [*report.findings, *more], report.unread + foreign


def _span(report: AccountReport, today: date | None) -> tuple[date, date]:
    """The days that a report covers. An entry of another day in it is late or early."""
    closing = report.balance(_CLOSING)
    said = closing.on if closing is not None else None
    return report.first or said or today or date.min, report.last or said or today or date.max


def _ends(report: AccountReport) -> tuple[Money | None, Money | None]:
    opening, closing = report.balance("OPBD", "PRCD"), report.balance(_CLOSING, "ITBD")
    return None if opening is None else opening.amount, None if closing is None else closing.amount


def _joined(page: Page, more: Page) -> Page:
    """Both pages' lines and findings; opening and closing from the page that has them."""
    opening = more.opening if page.opening is None else page.opening
    closing = more.closing if page.closing is None else page.closing
    return Page(
        page.lines + more.lines, None, None, opening, closing, page.findings + more.findings, page.unread + more.unread
    )


def _said(report: AccountReport, *sentences: str) -> tuple[str, ...]:
    return tuple(f"{report.kind} {plain(report.id)}: {one}" for one in sentences)


def _mark_of(report: AccountReport | None) -> str:
    """The text that identifies a statement from page to page: its number, and the balance at its end."""
    closing = None if report is None else report.balance(_CLOSING)
    if report is None or closing is None:
        return "~~"
    return f"~{'' if report.sequence is None else report.sequence}~{closing.amount.minor}"


def _place(value: str, question: LinesQuestion) -> tuple[str, int, AccountReport | None]:
    """The content of a cursor's value: the next place, and the previous statement as far as it is remembered."""
    if not value:
        return "", 0, None
    place, sequence, closing = value.rsplit("~", 2)
    name, _, offset = place.partition(" ")
    if not closing:
        return name, int(offset or 0), None
    balance = CamtBalance(_CLOSING, Money(int(closing), question.currency), None)
    before = AccountReport(
        "camt.053", "", question.account.clear, sequence=int(sequence) if sequence else None, balances=(balance,)
    )
    return name, int(offset or 0), before


def _day_of(file: File, report: AccountReport) -> date:
    """The day that a report states, or the day on which it was made."""
    closing = report.balance(_CLOSING)
    said = None if closing is None else closing.on
    return said or report.first or (report.created or file.made_at).date()


def _mark(what: str, question: LinesQuestion) -> str:
    return fingerprint(
        what, question.account.clear, question.currency, question.first.isoformat(), question.last.isoformat()
    )
