"""B2Bi as the bank's side of it would behave, written from the bank's page and not from our own adapter.

It keeps the habits seen in public logs: a blank before `?>`, elements no manual names, front-end numbers of
22 digits, refusals without a body under service type 01, a description that begins with a colon and is cut at
100 bytes, and 4005 answers that carry the original voucher where the header serial belongs. A fee is a marked row of
its payment's trace; today's list is told oldest first and without balances, the history newest first; what is booked
from 21:30 on has the next accounting date.

Words that the page does not tell begin with Z: ZREF and ZTAK are stt of a 4048 row that is refused or not decided, Z1
is BStt of a batch that is not done.

Options: `enterprise_code` (any, when left out), `page_lines_4008` (10), `page_lines_4015` (500),
`rate_limit_per_s` (4008 only, none when left out), `wordy` (descriptions too long for their field), `faults` (a list of
FAULTS), `cheap` (changes nothing: there is no signature to skip).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeVar

from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.banks.pab import twin_special
from protocols.banks.pab.twin_rows import (
    RESULT,
    STT,
    ZONE,
    accounted,
    accounting_date,
    charged,
    front_number,
    row_4008,
    row_4013,
    row_4015,
    row_4019,
    stamp,
    summed,
    trace,
)  # fmt: skip
from protocols.canon.money import BadMoney, Money
from protocols.kit import xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.framing import FixedHeader
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Booked, Booking, Books, Duplicate, DuplicateBundle, Holding, Instruction, Twin

FAULTS: Final = (
    "trouble_after_booking",  # AFE004 and no body, but the money moved
    "counts_characters",  # the header's length counts characters of the body, not bytes
    "others_voucher",  # 4005 and KHKF04 answer about another voucher, the rows of 4015 likewise
    "others_amount",  # 4005 states one fen more
    "unlisted_status",  # 4005 has a Stt that nobody knows
    "page_repeats",  # 4008 and 4013 tell the first page whatever is asked, and that there are more
    "last_line_silent",  # 4015 and 4048 have no row about the last line
    "odd_rows",  # 4008, 4013, 4019: a row in front that says nothing but that it is there
    "batch_untold",  # 4015 says that the batch is in process (B1), and tells of no line
)
_MONEY: Final = frozenset({"4004", "4018", "4047", "4052", "KHKF03"})
_HEADER_BYTES: Final = 222
_FRAMING: Final = FixedHeader(_HEADER_BYTES, (30, 40), ((211, 221),))
_REQUEST_BYTES_MAX: Final = 1_048_576
_RETURNED_DAYS_MAX: Final = 30
_WORDS: Final = {
    twin_special.NO_ACCOUNT: "未找到账户", twin_special.BAD: "null", twin_special.KNOWN: "重复的第三方流水号或凭证号",
    twin_special.NOTHING: "没有满足条件纪录",
}  # fmt: skip
_EXPLANATION: Final = ",请联系客户经理" * 8
BRANCHES: Final = (("000000000000", "示例银行某支行"), ("000000000017", "示例银行另一支行"),
                   ("102000000000", "工商银行示例支行"), ("102000000017", "工商银行示例二支行"))  # fmt: skip
T = TypeVar("T")


class _Refused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """An answer that is only a header. `own_service` keeps 01: the front end itself refused."""

    def __init__(self, code: str, text: str, *, own_service: bool = False) -> None:
        super().__init__(code)
        self.code, self.text, self.own_service = code, text, own_service


@dataclass(frozen=True, slots=True)
class _Request:
    """A request as the front end reads it: whatever the client's padding and side."""

    header: bytes
    body: bytes

    @property
    def operation(self) -> str:
        return self.header[40:46].decode("ascii", "replace").strip()

    @property
    def enterprise(self) -> str:
        return self.header[10:30].decode("ascii", "replace").strip()

    def result(self) -> etree._Element:
        try:
            root = xmldoc.parse(self.body, GBK)
        except ProtocolError:
            raise _Refused("YQ9999", "null", own_service=True) from None
        if root.tag != "Result":
            raise _Refused("YQ9999", "null", own_service=True)
        return root


@dataclass(frozen=True, slots=True)
class _Done:
    """The body of an accepted answer, and what stands in the header for the serial (None: an echo)."""

    body: Markup
    serial: str | None = None


def _text(root: etree._Element, tag: str) -> str:
    return (root.findtext(tag) or "").strip()


def _day(text: str) -> date:
    if not re.fullmatch("[0-9]{8}", text):
        raise _Refused("YQ9993", "日期无效")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise _Refused("YQ9993", "日期无效") from None


def _number(text: str, default: int) -> int:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else default


@dataclass(slots=True)
class B2Bi:
    """The simulated front end. One short connection carries one exchange."""

    enterprise_code: str = ""
    page_lines_4008: int = 10
    page_lines_4015: int = 500
    rate_limit_per_s: int = 0
    wordy: bool = False
    faults: frozenset[str] = frozenset()
    ports: tuple[str, ...] = ("business",)
    _asked: deque[datetime] = field(default_factory=deque)

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port == "business", port
        return _FRAMING.cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close."""
        head, length = request[:_HEADER_BYTES], int(request[30:40])
        read = _Request(head, request[_HEADER_BYTES : _HEADER_BYTES + length])
        now = books.now().astimezone(ZONE)
        try:
            done = self._operation(read)(read, books)
            if read.operation in _MONEY and "trouble_after_booking" in self.faults:
                raise _Refused("AFE004", "通讯异常-接收后台服务响应", own_service=True)
        except _Refused as refused:
            service = b"01" if refused.own_service else b"02"
            words = refused.text + _EXPLANATION if self.wordy else refused.text
            return Answer(_framed(head, now, service, refused.code, words, b"", None), close=True)
        body = xmldoc.build(done.body, GBK, declaration='<?xml version="1.0" encoding="GBK" ?>')
        counted = len(body.decode("gb18030")) if "counts_characters" in self.faults else None
        return Answer(_framed(head, now, b"02", "000000", "交易受理成功", body, done.serial, counted), close=True)

    def _operation(self, read: _Request) -> Callable[[_Request, Books], _Done]:
        if self.enterprise_code and read.enterprise != self.enterprise_code:
            raise _Refused("YQ9986", "企业没有开通银企直联", own_service=True)
        known: dict[str, Callable[[_Request, Books], _Done]] = {
            "S001": self._alive,
            "4001": self._balance,
            "4012": self._balance_on,
            "4008": self._today,
            "4013": self._entries,
            "4004": self._pay,
            "4005": self._fate,
            "4019": self._returns,
            "4018": self._batch,
            "4015": self._batch_fate,
            "4047": self._agency,
            "4048": self._agency_fate,
            "4017": self._branches,
            "KHKF03": self._special(twin_special.fast),
            "KHKF04": self._special(lambda leaf, kept: twin_special.fast_fate(leaf, kept, self._named)),
            "4052": self._special(twin_special.sweep),
            "401802": self._special(twin_special.receipt),
        }
        if read.operation not in known:
            raise _Refused("YQ0000", "无法处理的请求,请核对交易码", own_service=True)
        return known[read.operation]

    def _special(
        self, made: Callable[[Callable[[str], str], Books], Mapping[str, str]]
    ) -> Callable[[_Request, Books], _Done]:
        """An operation of twin_special.py as one of this front end's."""

        def answer(read: _Request, books: Books) -> _Done:
            root = read.result()
            try:
                return _Done(_flat(made(lambda tag: _text(root, tag), books)))
            except twin_special.Code as code:
                raise _Refused(str(code), _WORDS[str(code)]) from None

        return answer

    def _alive(self, read: _Request, books: Books) -> _Done:
        read.result()
        now = books.now().astimezone(ZONE)
        alive = f"hostNo[7],port[49999],currentServerTime[{now:%Y%m%d%H%M%S}]"
        return _Done(el("Result", el("Desc", alive)))

    def _balance(self, read: _Request, books: Books) -> _Done:
        account = _holding(books, _text(read.result(), "Account"))
        available = account.book - account.frozen
        leaves = {
            "Account": account.number, "CcyCode": "RMB", "CcyType": "", "AccountName": account.holder,
            "Balance": str(available), "TotalAmount": str(account.book), "AccountType": "",
            "AccountStatus": "A", "BankName": "",
            "LastBalance": str(account.previous_day), "HoldBalance": str(account.frozen),
        }  # fmt: skip
        return _Done(_flat(leaves))

    def _balance_on(self, read: _Request, books: Books) -> _Done:
        root = read.result()
        account, day = _holding(books, _text(root, "Account")), _day(_text(root, "RptDate"))
        today = _today(books)
        if not today - timedelta(days=100) <= day < today:
            raise _Refused("YQ9993", "查询日期无效")
        before = accounted(books, account.number, date(2000, 1, 1), day)
        # Before its first entry an account holds what it was opened with.
        balance = before[-1].balance_after if before else (books.holding(account.number, day) or account).book
        return _Done(_flat({"Account": account.number, "HisBalance": str(balance), "HisBookBalance": str(balance)}))

    def _pay(self, read: _Request, books: Books) -> _Done:
        root = read.result()
        voucher = _text(root, "ThirdVoucher")
        debtor = books.holding(_text(root, "OutAcctNo"))
        if debtor is None:
            raise _Refused("2778", "未找到账户")
        try:
            amount = Money.parse(_text(root, "TranAmount"))
        except BadMoney:
            raise _Refused("YQ9999", "null") from None
        if not re.fullmatch("[0-9A-Za-z]{1,20}", voucher) or amount.minor <= 0:
            raise _Refused("YQ9999", "null")
        wanted = Instruction(
            voucher, debtor.number, _text(root, "InAcctNo"), _text(root, "InAcctName"), amount,
            _text(root, "UseEx"), urgent=_text(root, "SysFlag") in ("Y", "S"),
        )  # fmt: skip
        try:
            booking = books.take(wanted)
        except Duplicate:
            raise _Refused("MA4045", "重复的第三方流水号或凭证号") from None
        leaves = {
            "ThirdVoucher": voucher, "FrontLogNo": front_number(booking), "CcyCode": "RMB",
            "OutAcctName": _text(root, "OutAcctName"), "OutAcctNo": debtor.number,
            "InAcctBankName": _text(root, "InAcctBankName"), "InAcctNo": wanted.creditor_account,
            "InAcctName": wanted.creditor_name, "TranAmount": str(amount),
            "UnionFlag": _text(root, "UnionFlag"), "Fee1": str(booking.fee or Money(0)), "Fee2": "0.00",
            "SOA_VOUCHER": "", "hostFlowNo": "", "hostTxDate": stamp(booking.bank_date), "Mobile": "",
            "CstInnerFlowNo": _text(root, "CstInnerFlowNo"),
        }  # fmt: skip
        return _Done(_flat(leaves))

    def _batch(self, read: _Request, books: Books) -> _Done:
        root = read.result()
        debtor = books.holding(_text(root, "OutAcctNo"))
        if debtor is None:
            raise _Refused("2778", "未找到账户")
        lines = [
            Instruction(
                _text(row, "SThirdVoucher"), debtor.number, _text(row, "InAcctNo"), _text(row, "InAcctName"),
                _amount(_text(row, "TranAmount")), _text(row, "UseEx"), urgent=_text(row, "SysFlag") in ("Y", "S"),
            )
            for row in root.iterchildren("HOResultSet4018R")
        ]  # fmt: skip
        return self._take(root, lines, ("totalCts", "totalAmt"), books)

    def _agency(self, read: _Request, books: Books) -> _Done:
        root = read.result()
        source = books.holding(_text(root, "SrcAccNo"))
        if source is None:
            raise _Refused("2778", "未找到账户")
        lines = [
            Instruction(
                _text(row, "SThirdVoucher"), source.number, _text(row, "OppAccNo"), _text(row, "OppAccName"),
                _amount(_text(row, "Amount")), _text(row, "PostScript"), collects=_text(root, "PayType") == "0",
            )
            for row in root.iterchildren("HOResultSet4047R")
        ]  # fmt: skip
        done = self._take(root, lines, ("TotalNum", "TotalAmount"), books)
        echo = {tag: _text(root, tag) for tag in ("ThirdVoucher", "PayType", "SrcAccNo", "TotalNum", "TotalAmount")}
        return _Done(_flat(echo | {"BussFlowNo": f"{books.serial():020d}"}), done.serial)

    def _take(
        self, root: etree._Element, lines: Sequence[Instruction], totals: tuple[str, str], books: Books
    ) -> _Done:
        voucher, (count, total) = _text(root, "ThirdVoucher"), totals
        summed = sum(line.amount.minor for line in lines)
        if not lines or _text(root, count) != str(len(lines)) or _amount(_text(root, total)).minor != summed:
            raise _Refused("YQ9999", "null")
        if not re.fullmatch("[0-9A-Za-z]{1,20}", voucher):
            raise _Refused("YQ9999", "null")
        try:
            books.take_bundle(voucher, lines)
        except DuplicateBundle:
            raise _Refused("MA4045", "重复的第三方流水号或凭证号") from None
        return _Done(_flat({"ThirdVoucher": voucher}))

    def _batch_fate(self, read: _Request, books: Books) -> _Done:
        root = read.result()
        voucher = _text(root, "OrigThirdVoucher")
        bookings = books.bundle(voucher)
        if not bookings:
            raise _Refused("MA0103", "没有满足条件纪录")
        size, number = _number(_text(root, "PageCts"), 500), _number(_text(root, "PageNo"), 1)
        page, more = _cut(bookings, number, max(1, min(size, self.page_lines_4015)))
        if "batch_untold" in self.faults:
            page = ()
        good = [one for one in bookings if one.booked in (Booked.SETTLED, Booked.RETURNED)]
        bad = [one for one in bookings if one.booked is Booked.REFUSED]
        open_ = [one for one in bookings if one.booked is Booked.TAKEN]
        head = {
            "OrigThirdVoucher": voucher, "batchSTT": "B1" if open_ or "batch_untold" in self.faults else "20",
            **summed("success", good), **summed("faild", bad), **summed("process", open_),
            "TotalCts": str(len(bookings)), "CTotalCts": str(len(page)), "PTotalCts": "1",
            "IsEnd": "N" if more else "Y", "subBatchSTT": "",
        }  # fmt: skip
        return _Done(_with_rows(head, self._silent([self._row_4015(one) for one in page])), serial=voucher)

    def _agency_fate(self, read: _Request, books: Books) -> _Done:
        voucher = _text(read.result(), "ThirdVoucher")
        bookings = books.bundle(voucher)
        if not bookings:
            raise _Refused("MA0103", "没有满足条件纪录")
        # A line that is refused, or not decided, has another stt than 0000; which one, nobody outside knows.
        rows = [
            {"ThirdVoucher": voucher, "SThirdVoucher": one.instruction.reference,
             "OppAccNo": one.instruction.creditor_account, "OppAccName": one.instruction.creditor_name,
             "Amount": str(one.instruction.amount), "Fee": str(one.fee or Money(0)),
             "stt": "0000" if one.booked in (Booked.SETTLED, Booked.RETURNED) else f"Z{one.booked.value[:3].upper()}",
             "sttInfo": one.reason}
            for one in bookings
        ]  # fmt: skip
        # 3 the batch failed, 4 it went well; what it is called before that, nobody outside knows either.
        by_fate = {one.booked for one in bookings}
        status = "Z1" if Booked.TAKEN in by_fate else "3" if by_fate == {Booked.REFUSED} else "4"
        return _Done(_with_rows({"BStt": status}, self._silent(rows)))

    def _named(self, voucher: str) -> str:
        return voucher[::-1] + "9" if "others_voucher" in self.faults else voucher

    def _row_4015(self, booking: Booking) -> Mapping[str, str]:
        row = row_4015(booking)
        return row | {"SThirdVoucher": self._named(row["SThirdVoucher"])}

    def _silent(self, rows: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
        return rows[:-1] if "last_line_silent" in self.faults else rows

    def _branches(self, read: _Request, books: Books) -> _Done:
        root = read.result()
        number, word = _text(root, "BankNo"), _text(root, "KeyWord")
        if not re.fullmatch("[0-9]{3}", number) or not word:
            raise _Refused("YQ9999", "null")
        found = [
            {"NodeName": title, "NodeCode": code}
            for code, title in BRANCHES
            if code.startswith(number) and word in title + code
        ]
        if not found:
            raise _Refused("YQ9996", "没有满足条件纪录")
        return _Done(_with_rows({}, found))

    def _fate(self, read: _Request, books: Books) -> _Done:
        voucher = _text(read.result(), "OrigThirdVoucher")
        booking = books.find(voucher)
        if booking is None:
            raise _Refused("MA0103", "没有满足条件纪录")
        done, paid = booking.instruction, booking.booked in (Booked.SETTLED, Booked.RETURNED)
        refused = booking.booked is Booked.REFUSED
        result = f"YQ9982:{booking.reason}" if refused and booking.reason else RESULT[booking.booked]
        reason, _, words = result.partition(":")
        leaves = {
            "OrigThirdVoucher": self._named(voucher), "FrontLogNo": front_number(booking), "CcyCode": "RMB",
            "OutAcctBankName": "", "OutAcctNo": done.debtor_account, "InAcctBankName": "",
            "InAcctNo": done.creditor_account, "InAcctName": done.creditor_name,
            "TranAmount": str(Money(done.amount.minor + ("others_amount" in self.faults))), "UnionFlag": "0",
            "Yhcljg": result, "Fee": str(booking.fee or Money(0)), "CstInnerFlowNo": "",
            "Stt": "77" if "unlisted_status" in self.faults else STT[booking.booked],
            "IsBack": "1" if booking.booked is Booked.RETURNED else "0",
            "BackRem": booking.reason if booking.booked is Booked.RETURNED else words, "SysFlag": "N",
            "TransBsn": "4004", "submitTime": f"{booking.at.astimezone(ZONE):%Y%m%d%H%M%S}",
            "AccountDate": stamp(booking.bank_date) if paid else "", "InAcctBankNode": "",
            "hostFlowNo": booking.bank_serial if paid else "",
            "hostErrorCode": reason if refused else "000000",
            "kType": "0", "dType": "0", "subBatchNo": "", "ProxyPayName": "", "ProxyPayAcc": "",
            "ProxyPayBankName": "",
        }  # fmt: skip
        return _Done(_flat(leaves), serial=voucher)

    def _today(self, read: _Request, books: Books) -> _Done:
        self._slow_down(books)
        root = read.result()
        account = _holding(books, _text(root, "AcctNo"))
        today = accounting_date(books.now(), _today(books))
        entries = accounted(books, account.number, today, today)
        if not entries:
            raise _Refused("ES0200", "没有交易明细")
        journal, seen = _text(root, "JournalNo"), _number(_text(root, "LogCount"), 0)
        # The next page begins behind the entry whose number the client brings back.
        begin = 0 if journal in ("", "0") else next(
            (place + 1 for place, entry in enumerate(entries) if trace(entry) == journal), len(entries)
        )  # fmt: skip
        begin = 0 if "page_repeats" in self.faults else begin
        page = entries[begin : begin + self.page_lines_4008]
        last = begin + len(page) >= len(entries) and "page_repeats" not in self.faults
        rows = [row_4008(account, entry, charged(entries)) for entry in page]
        head = {
            "AcctNo": account.number, "CcyCode": "RMB", "TranDate": stamp(today), "EndFlag": "Y" if last else "N",
            "PageSize": str(self.page_lines_4008), "PageRecCount": str(len(self._odd(rows))),
            "PageNo": _text(root, "PageNo"), "JournalNo": trace(page[-1]) if page else journal,
            "LogCount": str(seen + len(page)),
        }  # fmt: skip
        return _Done(_with_rows(head, self._odd(rows)))

    def _slow_down(self, books: Books) -> None:
        if not self.rate_limit_per_s:
            return
        now = books.now()
        while self._asked and now - self._asked[0] >= timedelta(seconds=1):
            self._asked.popleft()
        if len(self._asked) >= self.rate_limit_per_s:
            raise _Refused("YQ9971", "交易请求频率过高,请稍后再试")
        self._asked.append(now)

    def _entries(self, read: _Request, books: Books) -> _Done:
        root = read.result()
        account, today = _holding(books, _text(root, "AcctNo")), _today(books)
        first, last = _day(_text(root, "BeginDate")), _day(_text(root, "EndDate"))
        if first > last or last > today or (last == today and first != today):
            raise _Refused("YQ9993", "当日与历史明细不能同时查询")
        size, number = _number(_text(root, "PageSize"), 30), _number(_text(root, "PageNo"), 1)
        if not 30 <= size <= 1000 or number < 1:
            raise _Refused("YQ9999", "null")
        # Today's list goes on into the next accounting date; the history is told newest first.
        running = first == today
        entries = accounted(books, account.number, first, last + timedelta(days=1) if running else last)
        entries = entries if running else entries[::-1]
        if not entries:
            empty = ("ES0200", "没有交易明细") if first == today else ("YQ9996", "没有满足条件纪录")
            raise _Refused(*empty)
        page, more = _cut(entries, 1 if "page_repeats" in self.faults else number, size)
        more = more or "page_repeats" in self.faults
        head = {
            "AcctNo": account.number, "CcyCode": "RMB", "EndFlag": "N" if more else "Y", "Reserve": "",
            "PageNo": str(number), "PageRecCount": str(len(page)),
        }  # fmt: skip
        rows = [row_4013(account, entry, charged(entries), balance=not running) for entry in page]
        return _Done(_with_rows(head | {"PageRecCount": str(len(self._odd(rows)))}, self._odd(rows)))

    def _odd(self, rows: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
        """The rows, with one in front that has the names of the others and says nothing."""
        return [dict.fromkeys(rows[0], ""), *rows] if "odd_rows" in self.faults and rows else rows

    def _returns(self, read: _Request, books: Books) -> _Done:
        root = read.result()
        account = _holding(books, _text(root, "AccNo"))
        first, last = _day(_text(root, "StartDate")), _day(_text(root, "EndDate"))
        if first > last or (last - first).days >= _RETURNED_DAYS_MAX:
            raise _Refused("YQ9993", "查询日期跨度不能超过30天")
        size, number = _number(_text(root, "PageCts"), 30), _number(_text(root, "PageNo"), 1)
        back = books.returns(account.number, first, last)
        page, more = _cut(back, number, min(size, 300))
        head = {"IsEnd": "N" if more else "Y", "TotalCts": str(len(back))}
        return _Done(_with_rows(head, self._odd([row_4019(item) for item in page])))


def build(options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
    """The twin under `options`; it signs nothing, so `keys` may be empty. Raises BadOptions."""
    faults = frozenset(options.get("faults", ()))
    if not faults <= set(FAULTS):
        raise BadOptions("faults", f"a list of {', '.join(FAULTS)}")
    return B2Bi(
        enterprise_code=str(options.get("enterprise_code", "")),
        page_lines_4008=int(options.get("page_lines_4008", 10)),
        page_lines_4015=int(options.get("page_lines_4015", 500)),
        rate_limit_per_s=int(options.get("rate_limit_per_s", 0)),
        wordy=bool(options.get("wordy", False)),
        faults=faults,
    )


def _framed(
    asked: bytes, now: datetime, service: bytes, code: str, words: str, body: bytes, serial: str | None,
    counted: int | None = None,
) -> bytes:
    """An answer: the header of the question with what an answer changes in it."""
    description = GBK.encode(f":{words}")[:100].ljust(100)
    number = asked[67:87] if serial is None else GBK.encode(serial)[:20].ljust(20)
    length = b"%010d" % (len(body) if counted is None else counted)
    header = b"".join((
        asked[:30], length, asked[40:51], service, now.strftime("%Y%m%d%H%M%S").encode(),
        number, code.encode().ljust(6), description, b"0000", b"00", b" " * 12, b"0         ", b"0",
    ))  # fmt: skip
    assert len(header) == _HEADER_BYTES
    return header + body


def _flat(leaves: Mapping[str, str]) -> Markup:
    return el("Result", [el(tag, content) for tag, content in leaves.items()])


def _with_rows(head: Mapping[str, str], rows: Sequence[Mapping[str, str]]) -> Markup:
    leaves = [el(tag, content) for tag, content in head.items()]
    lists = [el("list", [el(tag, content) for tag, content in row.items()]) for row in rows]
    return el("Result", leaves, lists)


def _cut(items: Sequence[T], number: int, size: int) -> tuple[Sequence[T], bool]:
    begin = (number - 1) * size
    return items[begin : begin + size], begin + size < len(items)


def _holding(books: Books, account: str) -> Holding:
    found = books.holding(account)
    if found is None:
        raise _Refused("2778", "未找到账户")
    return found


def _today(books: Books) -> date:
    return books.now().astimezone(ZONE).date()


def _amount(text: str) -> Money:
    try:
        return Money.parse(text)
    except BadMoney:
        raise _Refused("YQ9999", "null") from None
