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
from protocols.canon.statement import Balance, Page, Return, ReturnsPage
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
_Seen = tuple[File, AccountReport]


@dataclass(frozen=True, slots=True)
class Asking:
    """The questions. Of a report only the part about the account that was asked about is read."""

    files: Files
    types: Types

    def balance(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        """The newest intraday report, or the closing balance of a past day's statement. Raises Declined for none."""
        turn, number = self.files.wire.turn(context), question.account.clear
        if question.on is None:
            kind, first = self.types.report, context.bank_date
        else:
            kind, first = self.types.statement, question.on
        files = yield from self.files.listing(kind, turn, first=first, last=first + timedelta(days=1))
        found: AccountReport | None = None
        for file in reversed(files[-DOWNLOADS_MAX:]):
            content = yield from self.files.download(file, turn)
            found = next((one for one in iso.accounts(content) if one.account == number and (
                question.on is None or _day_of(file, one) == question.on)), None)  # fmt: skip
            if found is not None:
                break
        if found is None:
            raise Declined("downloadFileList", "24", _NO_REPORT, "failed")
        if any(balance.amount.currency != question.currency for balance in found.balances):
            raise ProtocolError("correlation", f"the account is not kept in {question.currency}")
        if question.on is not None:
            closing = found.balance(_CLOSING)
            return Balance(question.account, None if closing is None else closing.amount, None, as_of=found.created)
        return replace(words.balance(found), account=question.account)

    def lines(self, question: LinesQuestion, context: Context) -> Conversation[Page]:
        """One report's entries a page: a statement per past day, the intraday report for today."""
        turn, asked = self.files.wire.turn(context), _mark("lines", question)
        at = PageCursor.decode(question.cursor, asked) if question.cursor else _PAGING.first(asked)
        statements: tuple[File, ...] = ()
        if question.first < context.bank_date:
            # A statement is made after its day.
            last = min(question.last, context.bank_date - timedelta(days=1)) + timedelta(days=1)
            statements = yield from self.files.listing(self.types.statement, turn, first=question.first, last=last)
        # The day's reports are made anew whenever one asks, so the place to go on from is a word of ours.
        names = [one.reference for one in statements] + ([_TODAY] if question.last >= context.bank_date else [])
        name, offset, earlier = _place(at.value, question)
        if name and name not in names:
            raise ProtocolError("paging", "the report to go on with is not there any more")
        for number in range(names.index(name) if name else 0, len(names)):
            if names[number] == _TODAY:
                seen = yield from self._today(question, context, turn)
            else:
                content = yield from self.files.download(statements[number], turn)
                if isinstance(content, Packed):
                    page, earlier, more = _part_page(statements[number], content, question, offset, earlier)
                    offset = 0
                    if not page.lines:
                        continue
                    place = f"{names[number]} {more}" if more else "".join(names[number + 1 : number + 2])
                    onward = f"{place}{_mark_of(earlier)}" if place else ""
                    following = _PAGING.following(at, PageSeen(len(page.lines), onward, more=bool(onward)))
                    return replace(page, cursor=None if following is None else following.encode())
                seen = [(statements[number], one) for one in iso.accounts(content)]
            page, earlier = _page([one for one in seen if one[1].account == question.account.clear], question, earlier)
            if not page.lines:
                continue
            onward = f"{names[number + 1]}{_mark_of(earlier)}" if number + 1 < len(names) else ""
            following = _PAGING.following(at, PageSeen(len(page.lines), onward, more=bool(onward)))
            return replace(page, cursor=None if following is None else following.encode())
        return Page(())

    def _today(self, question: LinesQuestion, context: Context, turn: Turn) -> Conversation[list[_Seen]]:
        """The newest intraday report that is about this account."""
        today = context.bank_date
        files = yield from self.files.listing(self.types.report, turn, first=today, last=today)
        for file in reversed(files[-DOWNLOADS_MAX:]):
            content = yield from self.files.download(file, turn)
            if isinstance(content, Packed):
                raise ProtocolError("frame_too_long", "today's report is too large to be read")
            found = [(file, one) for one in iso.accounts(content) if one.account == question.account.clear]
            if found:
                return found
        return []

    def returns(self, question: ReturnsQuestion, context: Context) -> Conversation[ReturnsPage]:
        """Credits with return information on this account, from the days' notifications and statements: one page of up
        to 64 files."""
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
            for report in iso.accounts(content):
                odd |= dict.fromkeys(f"{report.kind} {plain(report.id)}: {one}" for one in report.findings)
                for back in words.returns(report) if report.account == question.account.clear else ():
                    day = back.returned_on or _day_of(file, report)
                    if question.first <= day <= question.last:
                        # A notification and the statement after it tell of the same one.
                        key = f"{back.reference} {back.amount} {back.reversed} {day}"
                        count[key] += 1
                        found[f"{key} {count[key]}"] = replace(back, returned_on=day)
        onward = _PAGING.following(at, PageSeen(len(these), following, more=bool(following)))
        return ReturnsPage(tuple(found.values()), None if onward is None else onward.encode(), tuple(odd))


def _page(
    seen: list[_Seen], question: LinesQuestion, earlier: AccountReport | None
) -> tuple[Page, AccountReport | None]:
    """The entries of one file that were asked for, and the report to compare the next one with.

    Opening and closing are told where the page holds all that lies between them.
    """
    found, findings, ids = [], [], Counter[str]()
    balances: list[tuple[Money | None, Money | None]] = []
    for file, report in seen:
        told = words.lines(report, _day_of(file, report), ids)
        if any(line.amount.currency != question.currency for line in told):
            raise ProtocolError("correlation", f"an entry in another currency than {question.currency}")
        ours = [one for one in told if question.first <= one.bank_date <= question.last]
        found += [replace(one, account=question.account) for one in ours]
        findings += [f"{report.kind} {plain(report.id)}: {one}" for one in report.findings]
        if report.kind == "camt.053":
            missing = "" if earlier is None else reports.gap(earlier, report)
            findings += [f"{report.kind} {plain(report.id)}: {missing}"] if missing else []
            earlier = report
        if len(ours) == len(told):
            opening, closing = report.balance("OPBD", "PRCD"), report.balance(_CLOSING, "ITBD")
            balances.append((None if opening is None else opening.amount, None if closing is None else closing.amount))
    opening_closing = balances[0] if len(seen) == len(balances) == 1 else (None, None)
    return Page(tuple(found), None, None, *opening_closing, tuple(findings)), earlier


def _part_page(
    file: File, content: Packed, question: LinesQuestion, offset: int, earlier: AccountReport | None
) -> tuple[Page, AccountReport | None, int]:
    """Some entries of a statement that is too large to be held, and the offset of the next ones; 0 if there are none.

    What comes before is only counted, so that the ids of lines are those of the whole statement.
    """
    number, seen = question.account.clear, Counter[str]()
    read = stream.parts(content.pieces(), iso.PART_ENTRIES, account=number, skip=offset, seen=seen)
    findings: list[str] = []
    for part in (one for one in read if one.report.account == number):
        report, told = part.report, stream.lines_of(part, _day_of(file, part.report), seen)
        if any(line.amount.currency != question.currency for line in told):
            raise ProtocolError("correlation", f"an entry in another currency than {question.currency}")
        inside = [one for one in told if question.first <= one.bank_date <= question.last]
        if part.first == 1 and earlier is not None:
            findings += [one for one in (reports.gap(earlier, report),) if one]
        findings += report.findings
        if not inside and not part.last:
            continue
        opening, closing = report.balance("OPBD", "PRCD"), report.balance(_CLOSING, "ITBD")
        whole = len(inside) == len(told)
        page = Page(
            tuple(replace(one, account=question.account) for one in inside), None, None,
            opening.amount if opening and whole and part.first == 1 else None,
            closing.amount if closing and whole and part.last else None,
            tuple(f"{report.kind} {plain(report.id)}: {one}" for one in findings),
        )  # fmt: skip
        following = 0 if part.last else part.first - 1 + len(report.entries)
        return page, replace(report, entries=()) if part.last else earlier, following
    return Page(()), earlier, 0


def _mark_of(report: AccountReport | None) -> str:
    """What is remembered of a statement from page to page: its number, and what the account held at its end."""
    closing = None if report is None else report.balance(_CLOSING)
    if report is None or closing is None:
        return "~~"
    return f"~{'' if report.sequence is None else report.sequence}~{closing.amount.minor}"


def _place(value: str, question: LinesQuestion) -> tuple[str, int, AccountReport | None]:
    """A cursor's value again: where to go on, and the statement before as far as it was remembered."""
    if not value:
        return "", 0, None
    place, sequence, closing = value.rsplit("~", 2)
    name, _, offset = place.partition(" ")
    if not closing:
        return name, int(offset or 0), None
    balance = CamtBalance(_CLOSING, Money(int(closing), question.currency), None)
    before = AccountReport("camt.053", "", question.account.clear, sequence=int(sequence) if sequence else None,
                           balances=(balance,))  # fmt: skip
    return name, int(offset or 0), before


def _day_of(file: File, report: AccountReport) -> date:
    """The day a report is about: as it says, or that of its making."""
    closing = report.balance(_CLOSING)
    said = None if closing is None else closing.on
    return said or report.first or (report.created or file.made_at).date()


def _mark(what: str, question: LinesQuestion) -> str:
    return fingerprint(what, question.account.clear, question.currency, question.first.isoformat(),
                       question.last.isoformat())  # fmt: skip
