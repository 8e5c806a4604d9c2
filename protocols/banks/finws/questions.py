"""Balance, entries and returns, from the account reports the bank leaves for us (camt.052, camt.053, camt.054)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from protocols.bank import Context, Conversation
from protocols.banks.finws import payload
from protocols.banks.finws.files import DOWNLOADS_MAX, File, Files
from protocols.banks.finws.messages import Turn
from protocols.banks.finws.payment import Types
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Balance, Direction, Line, Page, Return, ReturnsPage
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import CursorEcho, PageCursor, PageSeen, fingerprint

_PAGING: Final = CursorEcho()
_BOOK, _AVAILABLE, _BEFORE = ("ITBD", "CLBD"), ("ITAV", "CLAV"), ("PRCD", "OPBD")
_TODAY: Final = "today"
_NO_REPORT: Final = "no report of this account"


@dataclass(frozen=True, slots=True)
class Asking:
    """The questions. A report is read for the account asked about, and for nobody else's."""

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
        found: payload.Account | None = None
        for file in reversed(files[-DOWNLOADS_MAX:]):
            content = yield from self.files.download(file, turn)
            found = next((one for one in payload.accounts(content) if one.number == number and (
                question.on is None or _day_of(file, one) == question.on)), None)  # fmt: skip
            if found is not None:
                break
        if found is None:
            raise Declined("downloadFileList", "24", _NO_REPORT, "failed")
        if any(balance.currency != question.currency for balance in found.balances.values()):
            raise ProtocolError("correlation", f"the account is not kept in {question.currency}")
        if question.on is not None:
            return Balance(question.account, found.balances.get("CLBD"), None, None, None, found.made_at)
        return Balance(question.account, _first(found.balances, _BOOK), _first(found.balances, _AVAILABLE), None,
                       _first(found.balances, _BEFORE), found.made_at)  # fmt: skip

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
        if at.value and at.value not in names:
            raise ProtocolError("paging", "the report to go on with is not there any more")
        for number in range(names.index(at.value) if at.value else 0, len(names)):
            if names[number] == _TODAY:
                lines = yield from self._lines_today(question, context, turn)
            else:
                content = yield from self.files.download(statements[number], turn)
                lines = _lines_in(content, question, statements[number])
            if not lines:
                continue
            onward = names[number + 1] if number + 1 < len(names) else ""
            following = _PAGING.following(at, PageSeen(len(lines), onward, more=bool(onward)))
            return Page(lines, None if following is None else following.encode())
        return Page(())

    def _lines_today(self, question: LinesQuestion, context: Context, turn: Turn) -> Conversation[tuple[Line, ...]]:
        """Entries of the newest intraday report that is about this account."""
        today = context.bank_date
        files = yield from self.files.listing(self.types.report, turn, first=today, last=today)
        for file in reversed(files[-DOWNLOADS_MAX:]):
            content = yield from self.files.download(file, turn)
            if any(one.number == question.account.clear for one in payload.accounts(content)):
                return _lines_in(content, question, file)
        return ()

    def returns(self, question: ReturnsQuestion, context: Context) -> Conversation[ReturnsPage]:
        """Credits with return information on this account, from the days' notifications and statements."""
        turn, found = self.files.wire.turn(context), dict[str, Return]()
        for kind in (self.types.statement, self.types.notification):
            files = yield from self.files.listing(
                kind, turn, first=question.first, last=question.last + timedelta(days=1)
            )
            for file, content in (yield from self.files.downloads(files, turn)):
                for account in payload.accounts(content):
                    for booking in account.bookings if account.number == question.account.clear else ():
                        day = booking.booked or _day_of(file, account)
                        if _is_return(booking) and question.first <= day <= question.last:
                            found[booking.key or booking.end_to_end] = Return(
                                booking.end_to_end, booking.amount, day, booking.returned or booking.text,
                                reversed=booking.reversal)  # fmt: skip
        return ReturnsPage(tuple(found.values()))


def _lines_in(content: bytes, question: LinesQuestion, file: File) -> tuple[Line, ...]:
    accounts = [one for one in payload.accounts(content) if one.number == question.account.clear]
    return tuple(line for one in accounts for line in _lines(one, question, file))


def _lines(account: payload.Account, question: LinesQuestion, file: File) -> list[Line]:
    seen: dict[str, int] = {}
    found = []
    for booking in account.bookings:
        day = booking.booked or _day_of(file, account)
        if booking.status != "BOOK" or not question.first <= day <= question.last:
            continue
        if booking.amount.currency != question.currency:
            raise ProtocolError("correlation", f"an entry in {booking.amount.currency}, not {question.currency}")
        occurrence = seen[booking.key] = seen.get(booking.key, -1) + 1
        found.append(Line(
            account=question.account, bank_line_id=booking.key, direction=booking.direction, amount=booking.amount,
            bank_date=day, booked_at=booking.booked_at,
            counterparty_account=AccountNumber(booking.peer_account) if booking.peer_account else None,
            counterparty_name=Name(booking.peer_name) if booking.peer_name else None,
            text=booking.text, reference=booking.end_to_end or None, occurrence=occurrence, fee=booking.fee,
        ))  # fmt: skip
    return found


def _is_return(booking: payload.Booking) -> bool:
    return booking.direction is Direction.CREDIT and bool(booking.returned or booking.reversal)


def _first(balances: Mapping[str, Money], codes: tuple[str, ...]) -> Money | None:
    return next((balances[code] for code in codes if code in balances), None)


def _day_of(file: File, account: payload.Account) -> date:
    """The day a report is about: as it says, or that of its making."""
    return account.day or (account.made_at or file.made_at).date()


def _mark(what: str, question: LinesQuestion) -> str:
    return fingerprint(what, question.account.clear, question.currency, question.first.isoformat(),
                       question.last.isoformat())  # fmt: skip
