"""The bank behind the front end: it carries out the clear body of each operation. Written from the bank's page.

The page gives the answers of 8800, 8804 and 4402. It does not give the places of the fields of DO48 and EY03, so they
are in rows like those of 8804. The answer to a voucher that is used twice is not public: it is a code of the twin's
own. Each body was judged by twin_rules.py before. A payment with a future bespeakDate is booked at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Final

from lxml import etree

from protocols.banks.spdb.twin_rules import NO_ACCOUNT, PAYEE_MISMATCH
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.judge import RequestFinding
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Booked, Booking, Books, Duplicate, DuplicateBundle, Entry, Instruction

FAULTS: Final = (
    "refuses_at_once",  # a payment, or a batch of such, refused at once is an error answer, and no row ever
    "authoriser_refuses",  # web-bank users say no: nothing is booked
    "rows_reversed",  # rows of 8804 from the last to the first
    "last_line_silent",  # 8804 has no row about the last line of a package
    "two_records",  # 8804 has a refused record beside each real one
    "others_amount",  # rows of 8804 carry one fen more
    "others_rows",  # 8804 ignores the requested voucher
    "page_repeats",  # 8804 ignores beginNumber
    "total_too_high",  # totalCount counts a row that never comes
    "empty_list",  # no rows are an empty list, not EGG0521
    "bare_refusal",  # the note of a refused or returned payment has no reason
    "cut_notes",  # the note of a refused or returned payment is cut before its end
    "bare_rows",  # rows of 8804 carry no number of the bank's
    "odd_entry",  # 8924 gives an account's second entry an unknown tranFlag
    "zero_balances",  # 8924 says 0.00 behind every entry
    "others_packages",  # DO48 ignores the requested packageNo
)
SEEN: Final = "TWN0002"
"""A voucher or a package that was used before. The bank's own code for it is not public."""
OVER_LIMIT: Final = ("EYY8998", "超过帐号的交易限额")
RETURNED: Final = "TWN0005 人行退票"
_ZONE: Final = timezone(timedelta(hours=8))
_STATUS: Final = {Booked.SETTLED: "4", Booked.REFUSED: "8", Booked.RETURNED: "8"}


class BankRefused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """A refusal by the bank: an answer with this returnCode and no signature.

    `findings` are the rules that the request broke; none if the request is well formed and the bank refuses it.
    """

    def __init__(self, code: str, text: str, findings: tuple[RequestFinding, ...] = ()) -> None:
        super().__init__(code)
        self.code, self.text, self.findings = code, text, findings


@dataclass(slots=True)
class Operations:
    """The bank's operations.

    A payment that waits for web-bank users is booked already, and not shown until they have decided; the host has it
    from that day on. With `flags`, two characters, 8804 distinguishes single payments and lines of batches by
    singleOrBatchFlag.
    """

    authorise_s: float = -1.0
    web_status: str = ""
    taken_status: str = "A"
    flags: str = ""
    faults: frozenset[str] = frozenset()
    _vouchers: dict[str, list[str]] = field(default_factory=dict)  # by account, in the order they came
    _packages: dict[str, tuple[int, int]] = field(default_factory=dict)  # lines and fen by packageNo
    _denied: set[str] = field(default_factory=set)  # by authorisers: packages and vouchers
    _turned_away: set[str] = field(default_factory=set)  # vouchers and packages refused at once, without a row

    # ---- money ----

    def single(self, body: etree._Element, books: Books) -> Markup:
        """Answer 8801: one payment, whose fields are directly in the body."""
        instruction = _instruction(body)
        voucher = instruction.reference
        if self._waits() and "authoriser_refuses" in self.faults:
            self._denied.add(voucher)
            return _leaves(transStatus="5", acceptNo=_web_number(voucher))
        try:
            booking = books.book_once(instruction)
        except Duplicate:
            raise BankRefused(SEEN, "电子凭证号重复") from None
        self._remember(instruction)
        if "refuses_at_once" in self.faults and booking.booked is Booked.REFUSED:
            self._turned_away.add(voucher)
            if booking.reason == "refused_by_bank":
                raise BankRefused(PAYEE_MISMATCH.code, PAYEE_MISMATCH.text)
            raise BankRefused(*OVER_LIMIT)
        if self._waits():
            return _leaves(transStatus="5", acceptNo=_web_number(voucher))
        return _leaves(transStatus=self._status(booking), acceptNo=f"PT{voucher}")

    def batch(self, body: etree._Element, books: Books) -> Markup:
        """Answer 8800: up to twenty lines. The answer counts the lines and does not name them."""
        lines, package = body.findall("lists/list"), _text(body, "packageNo")
        instructions = [_instruction(line) for line in lines]
        self._packages[package] = (len(lines), sum(one.amount.minor for one in instructions))
        waiting = _leaves(acceptNo=_web_number(package), seqNo="", successCount="", failCount="")
        if self._waits() and "authoriser_refuses" in self.faults:
            self._denied.add(package)
            return waiting
        try:
            bookings = books.take_bundle(package, instructions)
        except DuplicateBundle:
            raise BankRefused(SEEN, "包号重复") from None
        for instruction in instructions:
            self._remember(instruction)
        if "refuses_at_once" in self.faults and all(one.booked is Booked.REFUSED for one in bookings):
            self._turned_away.update((package, *(one.reference for one in instructions)))
            raise BankRefused(*OVER_LIMIT)
        if self._waits():
            return waiting
        failed = sum(one.booked is Booked.REFUSED for one in bookings)
        return _leaves(
            acceptNo=f"PT{package}",
            seqNo=bookings[0].bank_serial[-12:],
            successCount=str(len(bookings) - failed),
            failCount=str(failed),
        )

    # ---- enquiries ----

    def rows(self, body: etree._Element, books: Books) -> Markup:
        """Answer 8804: payments of an account in some days, by voucher or acceptNo if one is given."""
        account, first, last = (
            _text(body, "acctNo"),
            date.fromisoformat(_text(body, "beginDate")),
            date.fromisoformat(_text(body, "endDate")),
        )
        count, begin = int(_text(body, "queryNumber")), int(_text(body, "beginNumber"))
        found = [
            (place, one)
            for place, one in self._asked_for(body, account, books)
            if one.instruction.debtor_account == account
            and first <= self._host_day(one) <= last
            and not self._hidden(one, books)
            and self._is_asked_for(one, _text(body, "singleOrBatchFlag"))
        ]
        rows = [self._row(one, place) for place, one in found]
        if "two_records" in self.faults:
            rows += [self._row(one, place, record=2) for place, one in found]
        if "rows_reversed" in self.faults:
            rows.reverse()
        if "last_line_silent" in self.faults and len(rows) > 1:
            rows.pop()
        if not rows and "empty_list" not in self.faults:
            raise BankRefused("EGG0521", "已无符合条件的记录")
        begin = 1 if "page_repeats" in self.faults else begin
        total = len(rows) + ("total_too_high" in self.faults)
        shown = "".join(rows[begin - 1 : begin - 1 + count])
        return Markup(f"{el('totalCount', str(total))}{_list(shown)}")

    def _asked_for(self, body: etree._Element, account: str, books: Books) -> Iterator[tuple[int, Booking]]:
        accept, voucher = _text(body, "acceptNo"), _text(body, "elecChequeNo")
        if accept:
            # The web bank's number is not known to the host.
            number = accept[2:] if accept.startswith("PT") else ""
            bookings = books.bundle(number)
            alone = books.find(number)
            yield from enumerate(bookings or (() if alone is None else (alone,)), 1)
            return
        wanted = [voucher] if voucher and "others_rows" not in self.faults else self._of_account(account, books)
        for one in wanted:
            booking = books.find(one)
            if booking is not None:
                yield 1, booking

    def _of_account(self, account: str, books: Books) -> Sequence[str]:
        """Vouchers of an account: those that this process received, and of earlier ones those that moved money."""
        today = books.now().astimezone(_ZONE).date()
        moved = [one.reference for one in books.entries(account, today - timedelta(days=366), today)]
        return list(dict.fromkeys((*filter(None, moved), *self._vouchers.get(account, ()))))

    def _is_asked_for(self, one: Booking, flag: str) -> bool:
        return not self.flags or flag == self.flags[bool(one.instruction.bundle)]

    def _host_day(self, one: Booking) -> date:
        """The day on which the host received a payment; if users authorise, the day of the authorisation."""
        if not self._waits():
            return one.bank_date
        return (one.at + timedelta(seconds=self.authorise_s)).astimezone(_ZONE).date()

    def _hidden(self, one: Booking, books: Books) -> bool:
        return one.instruction.reference in self._turned_away or self._undecided(one.at, books)

    def _row(self, booking: Booking, place: int, record: int = 1) -> Markup:
        done = booking.instruction
        status = self._status(booking) if record == 1 else "8"
        reason = _reason(booking) if record == 1 else "EGG0042 处理失败[EGG0044][余额不足"
        note = done.purpose
        if status == "8" and "bare_refusal" not in self.faults:
            note += f"|<错误原因:{reason}>"
            note = note[:-4] if "cut_notes" in self.faults else note
        minor = done.amount.minor + ("others_amount" in self.faults)
        accept, serial = f"PT{done.bundle or done.reference}", booking.bank_serial[-12:] + ("" if record == 1 else "B")
        if "bare_rows" in self.faults:
            accept = serial = ""
        return el(
            "list",
            _leaves(
                elecChequeNo=done.reference,
                acceptNo=accept,
                serialNo=str(place) if serial else "",
                transDate=f"{self._host_day(booking):%Y%m%d}",
                bespeakDate="",
                PromiseDate="",
                acctNo=done.debtor_account,
                acctName="",
                payeeAcctNo=done.creditor_account,
                payeeName=done.creditor_name,
                payeeType="0",
                payeeBankName="",
                payeeAddress="",
                amount=str(Money(minor)),
                sysFlag="0",
                remitLocation="0",
                note=note,
                transStatus=status,
                seqNo=serial,
            ),
        )

    def _status(self, booking: Booking) -> str:
        return _STATUS.get(booking.booked, self.taken_status)

    # ---- authorisation at the web bank ----

    def package(self, body: etree._Element, books: Books) -> Markup:
        """Answer DO48: the result of the web bank's users for an 8800 message."""
        package, web_number = _text(body, "packageNo"), _text(body, "entJnlSeqNo")
        first, last = date.fromisoformat(_text(body, "beginDate")), date.fromisoformat(_text(body, "endDate"))
        count, begin = int(_text(body, "queryNumber")), int(_text(body, "beginNumber"))
        wanted = [package] if package and "others_packages" not in self.faults else list(self._packages)
        if web_number and not package:
            wanted = [one for one in wanted if _web_number(one) == web_number]
        rows = [row for row in (self._package_row(one, first, last, books) for one in wanted) if row is not None]
        if not rows:
            raise BankRefused("EGG0521", "已无符合条件的记录")
        shown = "".join(rows[begin - 1 : begin - 1 + count])
        return Markup(f"{el('totalCount', str(len(rows)))}{_list(shown)}")

    def _package_row(self, package: str, first: date, last: date, books: Books) -> Markup | None:
        """A package as the web bank lists it, from the day on which it was handed in."""
        bookings = books.bundle(package)
        if package in self._turned_away:
            return None
        if package not in self._denied and not (bookings and first <= bookings[0].bank_date <= last):
            return None
        seen = (len(bookings), sum(one.instruction.amount.minor for one in bookings))
        lines, fen = self._packages.get(package, seen)
        status = self._web_word(package, bookings, books, "0")
        host = f"PT{package}" if status == "0" else ""
        denied = lines if status in ("2", "3", "4") else 0
        return el(
            "list",
            _leaves(
                packageNo=package,
                entJnlSeqNo=_web_number(package),
                authJnlSeqNo="",
                hostJnlSeqNo=host,
                transDate="",
                transStatus=status,
                failCode="",
                totalAmount=str(Money(fen)),
                totalNumber=str(lines),
                rejectNumber=str(denied),
                rejectAmount=str(Money(fen if denied else 0)),
            ),
        )

    def authorisation(self, body: etree._Element, books: Books) -> Markup:
        """Answer EY03: the result of the web bank's users for one 8801."""
        voucher = _text(body, "elecChequeNo")
        booking = books.find(voucher)
        if booking is None and voucher not in self._denied:
            raise BankRefused("EGG0521", "已无符合条件的记录")
        status = self._web_word(voucher, () if booking is None else (booking,), books, "S")
        return Markup(f"{el('totalCount', '1')}{_list(el('list', _leaves(elecChequeNo=voucher, transStatus=status)))}")

    def _web_word(self, key: str, bookings: Sequence[Booking], books: Books, done: str) -> str:
        if key in self._denied:
            return "4"
        if self.web_status:
            return self.web_status
        return "5" if any(self._undecided(one.at, books) for one in bookings) else done

    def _waits(self) -> bool:
        return self.authorise_s >= 0

    def _undecided(self, at: datetime, books: Books) -> bool:
        if not self._waits():
            return False
        return self.web_status not in ("", "0", "S") or books.now() < at + timedelta(seconds=self.authorise_s)

    # ---- accounts ----

    def balance(self, body: etree._Element, books: Books) -> Markup:
        """Answer 4402: the balances of many accounts, one row each."""
        rows = []
        for asked in body.findall("lists/list"):
            number = _text(asked, "acctNo")
            held = books.holding(number)
            if held is None:
                raise BankRefused(NO_ACCOUNT.code, NO_ACCOUNT.text)
            rows.append(
                el(
                    "list",
                    _leaves(
                        acctNo=number,
                        masterID="",
                        reserveBalance="0.00",
                        freezeBalance=str(held.frozen),
                        cortrolBalance="0.00",
                        canUseBalance=str(held.book - held.frozen),
                        overdraftBalance="0.00",
                        balance=str(held.book),
                    ),
                )
            )
        return Markup(f'<lists name="acctBalanceList">{"".join(rows)}</lists>')

    def entries(self, body: etree._Element, books: Books) -> Markup:
        """Answer 8924: entries of an account in some days, oldest first. The rows have the form of a public client."""
        number, first, last = (
            _text(body, "acctNo"),
            date.fromisoformat(_text(body, "beginDate")),
            date.fromisoformat(_text(body, "endDate")),
        )
        count, begin = int(_text(body, "queryNumber")), int(_text(body, "beginNumber"))
        held = books.holding(number)
        if held is None:
            raise BankRefused(NO_ACCOUNT.code, NO_ACCOUNT.text)
        found = books.entries(number, first, last)
        if not found:
            raise BankRefused("EGG0521", "已无符合条件的记录")
        rows = [self._entry(one) for one in found[begin - 1 : begin - 1 + count]]
        head = _leaves(totalCount=str(len(found)), acctNo=number, acctName=held.holder, currency="01")
        return Markup(f'{head}<lists name="HistoryList">{"".join(rows)}</lists>')

    def _entry(self, one: Entry) -> Markup:
        at = one.at.astimezone(_ZONE)
        side = "0" if one.direction is Direction.DEBIT else "1"
        if "odd_entry" in self.faults and one.number == 2:
            side = "9"
        after = "0.00" if "zero_balances" in self.faults else str(one.balance_after)
        return el(
            "list",
            _leaves(
                voucherNo="",
                seqNo=f"{one.number:012d}",
                txAmount=str(one.amount),
                balance=after,
                tranFlag=side,
                # A number and no text: the client fills it up with zeros.
                transDate=f"{one.bank_date:%Y%m%d}",
                transTime=str(int(f"{at:%H%M%S}")),
                note=one.text,
                remark="",
                payeeBankNo="",
                payeeBankName="",
                payeeAcctNo=one.counterparty_account,
                payeeName=one.counterparty_name,
            ),
        )

    def _remember(self, instruction: Instruction) -> None:
        known = self._vouchers.setdefault(instruction.debtor_account, [])
        if instruction.reference not in known:
            known.append(instruction.reference)


def _instruction(line: etree._Element) -> Instruction:
    """A payment as the bank reads it."""
    voucher, own, other = (_text(line, tag) for tag in ("elecChequeNo", "acctNo", "payeeAcctNo"))
    amount = Money.parse(_text(line, "amount"))
    return Instruction(voucher, own, other, _text(line, "payeeName"), amount, _text(line, "note"))


def _reason(booking: Booking) -> str:
    if booking.booked is Booked.RETURNED:
        return RETURNED
    if booking.reason == "duplicate":
        return "EYY8990 电子凭证号重复"
    if booking.reason == "refused_by_bank":
        return "EGG0346 收款人账号户名信息不符"
    return "EGG0042 处理失败[EGG0044][余额不足"


def _web_number(key: str) -> str:
    """网银受理编号: ten digits, the same for the same message."""
    return f"{int(hashlib.sha256(key.encode()).hexdigest(), 16) % 10**10:010d}"


def _leaves(**fields: str) -> Markup:
    return Markup("".join(el(tag, text) for tag, text in fields.items()))


def _list(rows: str) -> str:
    return f'<lists name="LoopResult">{rows}</lists>' if rows else '<lists name="LoopResult"/>'


def _text(parent: etree._Element, tag: str) -> str:
    return (parent.findtext(tag) or "").strip()
