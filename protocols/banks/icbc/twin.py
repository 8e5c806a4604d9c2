"""NetSafe Client and the bank behind it, written from the bank's page and not from our own adapter.

It keeps the habits seen in public samples: Base64 in lines of 76 characters, two blanks in the XML declaration, RMB
in QHISD and 001 elsewhere, no SignTime in answers. Codes that begin with TWIN are its own, because the bank's are not
public. Its signature is none that a bank would take: a seal around the whole message, which only the twin reads.

Options: `cis` (any, when left out), `page_lines` (20), `span_days` (30, the longest QHISD), `work_days_ahead` (0: how
far the bank's work date is ahead of the clock), `faults` (a list of FAULTS), `cheap` (changes nothing).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Booked, Booking, Books, Duplicate, DuplicateBundle, Entry, Instruction, Twin

FAULTS: Final = (
    "error_code_after_booking",  # errorCode=40418, but the package is booked
    "http_500_after_booking",  # likewise, in the clothes of HTTP
    "empty_result",  # every Result is empty
    "message_refused",  # RetCode says no, the lines below say yes
    "batch_refused",  # BatRetCode of a payroll says no, its lines say yes
    "attached",  # answers to instructions come inside an attached signature
    "enquiry_line_refused",  # iRetCode of an enquiry's line says no, Result says yes
    "others_package",  # the answer is about another fSeqno
    "others_amount",  # the answer's lines carry one fen more
    "raw_ampersand",  # a & as it is in RetMsg
    "declares_gb2312",  # the label GB2312 over GB18030 bytes
    "cursor_repeats",  # NextTag never ends
    "both_columns",  # QHISD fills debit and credit
    "odd_row",  # an account's second entry is neither debit nor credit
    "zero_balances",  # QHISD says 0 for the balance after every entry
    "newest_first",  # lists begin with the newest entry
    "last_line_silent",  # no row about the last line of a package
    "lines_reversed",  # rows from the last line to the first
    "no_key",  # the sign port's key is out
    "swapped_signatures",  # the sign port answers with the signature before
)
PAYMENT: Final = (
    "ReimburseNo", "ReimburseNum", "StartDate", "StartTime", "PayType", "PayAccNo", "PayAccNameCN", "PayAccNameEN",
    "RecAccNo", "RecAccNameCN", "RecAccNameEN", "SysIOFlg", "IsSameCity", "Prop", "RecICBCCode", "RecCityName",
    "RecBankNo", "RecBankName", "CurrType", "PayAmt", "UseCode", "UseCN", "EnSummary", "PostScript", "Summary", "Ref",
    "Oref", "ERPSqn", "BusCode", "ERPcheckno", "CrvouhType", "CrvouhName", "CrvouhNo", "BankType", "FileNames",
    "Indexs", "PaySubNo", "RecSubNo",
)  # fmt: skip
"""The fields of a payment, in the page's order (2.3)."""
QPD_ROW: Final = (
    "Drcrf", "VouhNo", "Amount", "RecipBkNo", "RecipAccNo", "RecipName", "Summary", "UseCN", "PostScript", "Ref",
    "BusCode", "Oref", "EnSummary", "BusType", "CVouhType", "AddInfo", "TimeStamp", "RepReserved3", "RepReserved4",
    "UpDtranf", "ValueDate", "TrxCode", "SequenceNo", "Cashf", "CASHEXF", "Remark", "TradeDate", "TradeTime",
    "TradeLocation", "TradeFee", "ExRate", "ForCurrType", "EnAbstract", "RecBankName", "OpenBankNo", "OpenBankBIC",
    "OpenBankName", "SubAcctSeq", "THCurrency", "ReceiptInfo", "OnlySequence",
)  # fmt: skip
"""A row of today's list, in the page's order (2.2)."""
QHISD_ROW: Final = (
    "Drcrf", "VouhNo", "DebitAmount", "CreditAmount", "Balance", "RecipBkNo", "RecipBkName", "RecipAccNo", "RecipName",
    "Summary", "UseCN", "PostScript", "BusCode", "Date", "Time", "Ref", "Oref", "EnSummary", "BusType", "VouhType",
    "AddInfo", "Toutfo", "OnlySequence", "AgentAcctName", "AgentAcctNo", "UpDtranf", "ValueDate", "TrxCode", "Ref1",
    "Oref1", "CASHF", "TradeLocation", "SubAcctSeq", "THCurrency", "RecipBkName1", "RecipBkNo1", "TInfoNew",
    "RefundMsg", "BusTypNo", "ReceiptInfo", "TelNo", "MDCARDNO", "TrxAmt", "TrxCurr",
)  # fmt: skip
"""A row of the past, in the order of real rows (2.2). RecipBkName says 00000 there, RecipBkName1 the bank (9)."""
OTHER_BANK: Final = "示例银行某支行"
SIGNED: Final = frozenset(("PAYENT", "PAYPER", "PERDIS"))
DUPLICATE, NO_PACKAGE, WRONG_DATE, MALFORMED, NO_ACCOUNT, TOO_LONG, ODD = (f"TWIN{n:02d}" for n in range(1, 8))
NAME_REFUSED: Final = ("B0043", "账号中文户名不符PayAccNameCN")
_CLIENT_REFUSED: Final = "40418"
_ZONE: Final = timezone(timedelta(hours=8))
_REQUEST_BYTES_MAX: Final = 2_097_152
_SEAL: Final = b"\x30\x80NetSafe twin"
_RESULTS: Final = {Booked.TAKEN: "9", Booked.SETTLED: "7", Booked.REFUSED: "6", Booked.RETURNED: "7"}


class _ClientRefused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """NetSafe Client does not pass this on: the answer is `errorCode=`."""


class _BankRefused(Exception):  # noqa: N818 - as above
    """The bank refuses the whole package."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True)
class _Request:
    """A message as the bank reads it."""

    operation: str
    pub: etree._Element
    inner: etree._Element

    @property
    def package_id(self) -> str:
        return _text(self.pub, "fSeqno")


@dataclass(frozen=True, slots=True)
class _Done:
    """The `out` of an answer; `serial` is the package's at the bank, for instructions."""

    out: Markup
    serial: str = ""
    code: str = "0"
    text: str = ""


@dataclass(slots=True)
class NetSafe:
    """The simulated front end and bank. One connection carries one exchange."""

    cis: str = ""
    page_lines: int = 20
    span_days: int = 30
    work_days_ahead: int = 0
    faults: frozenset[str] = frozenset()
    ports: tuple[str, ...] = ("business", "sign")
    _signature: bytes = b""  # the one before, for the fault swapped_signatures

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port in self.ports, port
        return http.HttpRequests().cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close."""
        try:
            asked = http.parse_request(request)
        except ProtocolError:
            return Answer(http.answer(400, phrase="Bad Request"), close=True)
        if port == "sign":
            return Answer(http.answer(200, [("Content-Type", "text/html")], self._signed(asked)), close=True)
        try:
            body = self._business(asked, books)
        except _ClientRefused:
            body = b"errorCode=" + _CLIENT_REFUSED.encode()
        if body is None:
            return Answer(http.answer(500, [("Content-Type", "text/html")], b"error", phrase="Error"), close=True)
        return Answer(http.answer(200, [("Content-Type", "text/html;charset=GBK")], body), close=True)

    # ---- NetSafe Client ----

    def _signed(self, asked: http.HttpRequest) -> bytes:
        kind = asked.headers.get("content-type", "").partition(";")[0]
        if asked.method != "POST" or kind != "INFOSEC_SIGN/1.0" or "no_key" in self.faults:
            return b"<html><head><title>error</title><result>-1</result></head><body></body></html>"
        fresh = _wrapped(_SEAL + asked.body + hashlib.sha256(_SEAL + asked.body).digest())
        shown = self._signature if "swapped_signatures" in self.faults and self._signature else fresh
        self._signature = fresh
        return (
            b"<html><head><title>sign</title><result>0</result></head><body><sign>\r\n%b</sign></body></html>" % shown
        )

    def _business(self, asked: http.HttpRequest, books: Books) -> bytes | None:
        """The body of an answer, or None for a naked HTTP error."""
        path, _, query = asked.target.partition("?")
        try:
            named, form = http.parse_form(query.encode(), GBK), http.parse_form(asked.body, GBK)
        except ProtocolError:
            raise _ClientRefused from None
        if asked.method != "POST" or path != "/servlet/ICBCCMPAPIReqServlet" or form.get("Cert"):
            raise _ClientRefused
        request = _message(form)
        told = {named.get("PackageID"), form.get("PackageID"), request.package_id}
        logins = {named.get("userID"), form.get("ID"), _text(request.pub, "ID")}
        groups = {form.get("GroupCIS"), _text(request.pub, "CIS"), self.cis or form.get("GroupCIS")}
        if len(told) > 1 or len(logins) > 1 or len(groups) > 1 or form.get("TransCode") != request.operation:
            raise _ClientRefused
        try:
            done = self._operation(request.operation)(request, books)
        except _BankRefused as refused:
            done = _Done(Markup(""), code=refused.code, text=refused.text)
        if request.operation in SIGNED and done.code == "0":
            if "error_code_after_booking" in self.faults:
                raise _ClientRefused
            if "http_500_after_booking" in self.faults:
                return None
        document = self._document(request, done, books)
        if "attached" in self.faults and request.operation in SIGNED:
            document = _SEAL + document + hashlib.sha256(_SEAL + document).digest()
        return b"reqData=" + _wrapped(document)

    def _document(self, request: _Request, done: _Done, books: Books) -> bytes:
        now = books.now().astimezone(_ZONE)
        package_id, code, text = request.package_id, done.code, done.text
        if "others_package" in self.faults:
            package_id = f"{package_id[:-1]}{'0' if package_id[-1] != '0' else '1'}"
        if "message_refused" in self.faults and request.operation in SIGNED and code == "0":
            code, text = ODD, "系统忙"
        pub = [
            *(el(tag, _text(request.pub, tag)) for tag in ("TransCode", "CIS", "BankCode", "ID")),
            el("TranDate", f"{now:%Y%m%d}"), el("TranTime", _clock(now)), el("fSeqno", package_id),
            el("SerialNo", done.serial) if done.serial else None, el("RetCode", code), el("RetMsg", text),
        ]  # fmt: skip
        label = "GB2312" if "declares_gb2312" in self.faults else "GBK"
        root = el("CMS", el("eb", el("pub", *pub), el("out", done.out)))
        if "raw_ampersand" in self.faults:
            root = Markup(root.replace("</RetMsg>", " A&B</RetMsg>"))
        return f'<?xml  version="1.0" encoding="{label}" ?>{root}'.encode("gb18030")

    def _operation(self, operation: str) -> Callable[[_Request, Books], _Done]:
        known: dict[str, Callable[[_Request, Books], _Done]] = {
            "QACCBAL": self._balance, "QPD": self._today, "QHISD": self._past,
            **dict.fromkeys(SIGNED, self._package), **{f"Q{name}": self._enquiry for name in SIGNED},
        }  # fmt: skip
        if operation not in known:
            raise _BankRefused(MALFORMED, "不支持的交易代码")
        return known[operation]

    # ---- the bank: money ----

    def _package(self, request: _Request, books: Books) -> _Done:
        inner, rows = request.inner, request.inner.findall("rd")
        amounts = [_fen(_text(row, "PayAmt")) for row in rows]
        if not rows or _text(inner, "TotalNum") != str(len(rows)) or _text(inner, "TotalAmt") != str(sum(amounts)):
            raise _BankRefused(MALFORMED, "总笔数或总金额不符")
        if _text(inner, "SignTime")[:8] != f"{self._work_date(books):%Y%m%d}":
            raise _BankRefused(WRONG_DATE, "签名时间与银行工作日期不符")
        places = [_text(row, "iSeqno") for row in rows]
        if places != [str(n) for n in range(1, len(rows) + 1)]:
            raise _BankRefused(MALFORMED, "指令顺序号错误")
        instructions = [self._instruction(request, row) for row in rows]
        bookings = self._booked(request.package_id, instructions, books)
        echoed = [self._echo(row, n, booking) for n, (row, booking) in enumerate(zip(rows, bookings), 1)]
        head = [*(el(tag, _text(inner, tag)) for tag in ("OnlBatF", "SettleMode", "TotalNum"))]
        total = sum(amounts) + len(rows) * ("others_amount" in self.faults)
        ours = [el("RecAccNo", _text(inner, "RecAccNo"))] if request.operation == "PERDIS" else []
        head += [el("TotalAmt", str(total)), *ours, *_blank("RepReserved1", "RepReserved2", "AlertFlag")]
        head += self._batch(request.operation)
        return _Done(_together(head, self._arranged(echoed)), bookings[0].bank_serial)

    def _instruction(self, request: _Request, row: etree._Element) -> Instruction:
        reference = _text(row, "ERPSqn") or f"{request.package_id}-{_text(row, 'iSeqno')}"
        amount = Money(_fen(_text(row, "PayAmt")))
        purpose = _noted(_text(row, "UseCN"), _text(row, "iSeqno"), _text(row, "Ref"))
        if _text(row, "CurrType") != "001":
            raise _BankRefused(MALFORMED, "币种错误")
        if request.operation == "PERDIS":
            ours, theirs = _text(request.inner, "RecAccNo"), _text(row, "PayAccNo")
            return Instruction(reference, ours, theirs, _text(row, "PayAccNameCN"), amount, purpose, collects=True)
        outside = _text(row, "SysIOFlg") != "1"
        if outside and not (_text(row, "RecCityName") and _text(row, "RecBankName") and _text(row, "Prop")):
            raise _BankRefused(MALFORMED, "跨行必须输入收款方行名、城市与账户属性")
        return Instruction(
            reference, _text(row, "PayAccNo"), _text(row, "RecAccNo"), _text(row, "RecAccNameCN"), amount, purpose,
            urgent=_text(row, "PayType") == "1",
        )  # fmt: skip

    def _booked(self, package_id: str, instructions: Sequence[Instruction], books: Books) -> Sequence[Booking]:
        try:
            if len(instructions) == 1 and instructions[0].reference in (package_id, f"{package_id}-1"):
                return (books.take(instructions[0]),)
            return books.take_bundle(package_id, instructions)
        except (Duplicate, DuplicateBundle):
            raise _BankRefused(DUPLICATE, "指令包序列号重复") from None

    def _echo(self, row: etree._Element, place: int, booking: Booking) -> Markup:
        """A line of the answer: OrderNo behind iSeqno, every field of the request, and what became of it."""
        shown = [el(str(child.tag), self._amount(child)) for child in row if child.tag not in ("MCardNo", "MCardName")]
        shown.insert(1, el("OrderNo", str(place)))
        result = "0" if booking.booked is Booked.TAKEN else _RESULTS[booking.booked]
        code, text = _reason(booking)
        return el("rd", shown, el("Result", self._result(result)), el("iRetCode", code), el("iRetMsg", text),
                  _blank("MCardNo", "MCardName"))  # fmt: skip

    def _amount(self, child: etree._Element) -> str:
        text = (child.text or "").strip()
        return str(int(text) + 1) if child.tag == "PayAmt" and "others_amount" in self.faults else text

    def _result(self, result: str) -> str:
        return "" if "empty_result" in self.faults else result

    def _batch(self, operation: str) -> list[Markup]:
        """What PAYPER and QPAYPER say of the batch beside its lines."""
        if not operation.endswith("PAYPER"):
            return []
        refused = "batch_refused" in self.faults
        code, text = (ODD, "批量处理失败") if refused else ("0", "")
        return [
            *_blank("THBaseAccFlag", "RegSerialNO", "PackageName", "TotalSummary", "BatchSumFlag"),
            el("BatRetCode", code), el("BatRetMsg", text),
        ]  # fmt: skip

    def _arranged(self, rows: list[Markup]) -> list[Markup]:
        if "last_line_silent" in self.faults:
            rows = rows[:-1]
        return rows[::-1] if "lines_reversed" in self.faults else rows

    def _enquiry(self, request: _Request, books: Books) -> _Done:
        package_id = _text(request.inner, "QryfSeqno")
        alone = books.find(package_id)
        bookings = (alone,) if alone is not None else books.bundle(package_id)
        if not bookings:
            raise _BankRefused(NO_PACKAGE, "无此指令包")
        by_place = {int(_notes(one.instruction.purpose)[1]): one for one in bookings}
        asked = [_text(row, "QryiSeqno") for row in request.inner.findall("rd")]
        places = [int(one) for one in asked if one] or sorted(by_place)
        rows = [self._told(n, place, by_place.get(place)) for n, place in enumerate(places, 1)]
        serial = bookings[0].bank_serial
        head = [el("QryfSeqno", package_id), el("QrySerialNo", serial), el("OnlBatF", "1"), el("SettleMode", "0"),
                *_blank("BusType", "RepReserved1", "RepReserved2"), *self._batch(request.operation)]  # fmt: skip
        return _Done(_together(head, self._arranged(rows)))

    def _told(self, number: int, place: int, booking: Booking | None) -> Markup:
        head = [el("iSeqno", str(number)), el("QryiSeqno", str(place))]
        if booking is None:
            return el("rd", head, _blank("QryOrderNo", "Result"), el("iRetCode", NO_PACKAGE), el("iRetMsg", "无此指令"))
        done = booking.instruction
        payer, payee = done.debtor_account, done.creditor_account
        if done.collects:
            payer, payee = payee, payer
        code, text = _reason(booking)
        refused = "enquiry_line_refused" in self.faults
        amount = done.amount.minor + ("others_amount" in self.faults)
        return el(
            "rd", head, el("QryOrderNo", str(place)),
            _in_order(PAYMENT, {
                "PayAccNo": payer, "RecAccNo": payee, "RecAccNameCN": done.creditor_name, "CurrType": "001",
                "PayAmt": str(amount), "UseCN": _notes(done.purpose)[0], "ERPSqn": done.reference,
            }),
            el("Result", self._result(_RESULTS[booking.booked])), el("instrRetCode", code), el("instrRetMsg", text),
            el("BankRetTime", ""), el("iRetCode", ODD if refused else "0"),
            el("iRetMsg", "查询失败" if refused else ""),
            _blank("RepReserved3", "RepReserved4"),
        )  # fmt: skip

    # ---- the bank: accounts ----

    def _balance(self, request: _Request, books: Books) -> _Done:
        rows = []
        for asked in request.inner.findall("rd"):
            number = _text(asked, "AccNo")
            held = books.holding(number)
            head = [el("iSeqno", _text(asked, "iSeqno")), el("AccNo", number), el("CurrType", "001")]
            if held is None:
                rows.append(el("rd", head, el("iRetCode", NO_ACCOUNT), el("iRetMsg", "账号不存在")))
                continue
            rows.append(el(
                "rd", head, el("CashExf", "0"), el("AcctProperty", "001"),
                el("AccBalance", str(held.previous_day.minor)), el("Balance", str(held.book.minor)),
                el("UsableBalance", str(held.book.minor - held.frozen.minor)), el("FrzAmt", str(held.frozen.minor)),
                el("QueryTime", f"{books.now().astimezone(_ZONE):%Y%m%d%H%M%S%f}"),
                el("LastTranDate", f"{self._work_date(books):%Y%m%d}"), el("iRetCode", "0"),
                _blank("iRetMsg", "RepReserved3", "RepReserved4"),
            ))  # fmt: skip
        return _Done(_together([], rows))

    def _today(self, request: _Request, books: Books) -> _Done:
        number, today = _text(request.inner, "AccNo"), self._today_of(books)
        if books.holding(number) is None:
            raise _BankRefused(NO_ACCOUNT, "账号不存在")
        page, tag = self._page(books.entries(number, today, today), _text(request.inner, "NextTag"))
        head = [el("AccNo", number), *_blank("AccName"), el("CurrType", "001"), *_blank("AreaCode"),
                el("NextTag", tag), el("TotalNum", str(len(page))),
                *_blank("RepReserved1", "RepReserved2", "AcctSeq")]  # fmt: skip
        return _Done(_together(head, [self._row_of_today(entry) for entry in page]))

    def _past(self, request: _Request, books: Books) -> _Done:
        inner = request.inner
        number, first, last = _text(inner, "AccNo"), _day(_text(inner, "BeginDate")), _day(_text(inner, "EndDate"))
        if books.holding(number) is None:
            raise _BankRefused(NO_ACCOUNT, "账号不存在")
        if not first <= last < self._today_of(books) or (last - first).days >= self.span_days:
            raise _BankRefused(TOO_LONG, "查询日期区间错误")
        page, tag = self._page(books.entries(number, first, last), _text(inner, "NextTag"))
        head = [el("AccNo", number), *_blank("AccName"), el("CurrType", "RMB"), el("BeginDate", f"{first:%Y%m%d}"),
                el("EndDate", f"{last:%Y%m%d}"), *_blank("MinAmt", "MaxAmt", "BankType"), el("NextTag", tag),
                el("TotalNum", str(len(page))), *_blank("DueBillNo", "AcctSeq")]  # fmt: skip
        return _Done(_together(head, [self._row_of_past(entry) for entry in page]))

    def _page(self, entries: Sequence[Entry], tag: str) -> tuple[Sequence[Entry], str]:
        """The entries behind the one the tag names, and the tag of the next page; empty when there is none."""
        newest_first = "newest_first" in self.faults
        listed = entries[::-1] if newest_first else entries
        behind = int(tag.rpartition(".")[2]) if tag else 0
        left = [one for one in listed if not tag or (one.number < behind if newest_first else one.number > behind)]
        page = left[: self.page_lines]
        if "cursor_repeats" in self.faults and page:
            return page, _stamp(entries[0])
        return page, _stamp(page[-1]) if len(left) > len(page) else ""

    def _row_of_today(self, entry: Entry) -> Markup:
        return el("rd", _in_order(QPD_ROW, {
            "Drcrf": _flag(entry), "Amount": str(entry.amount.minor), "RecipAccNo": entry.counterparty_account,
            "RecipName": entry.counterparty_name, "UseCN": _notes(entry.text)[0], "Ref": _notes(entry.text)[2],
            "TimeStamp": _stamp(entry), "RepReserved3": _receipt_key(entry), "TradeDate": f"{entry.bank_date:%Y%m%d}",
            "RecBankName": OTHER_BANK, "OnlySequence": _sequence(entry),
        } | self._odd(entry)))  # fmt: skip

    def _row_of_past(self, entry: Entry) -> Markup:
        amount = str(entry.amount.minor)
        debit, credit = (amount, "") if entry.direction is Direction.DEBIT else ("", amount)
        if "both_columns" in self.faults:
            debit = credit = amount
        return el("rd", _in_order(QHISD_ROW, {
            "Drcrf": _flag(entry), "DebitAmount": debit, "CreditAmount": credit,
            "Balance": "0" if "zero_balances" in self.faults else str(entry.balance_after.minor),
            "RecipBkName": "00000", "RecipAccNo": entry.counterparty_account, "RecipName": entry.counterparty_name,
            "UseCN": _notes(entry.text)[0], "Date": f"{entry.bank_date:%Y%m%d}", "Time": _stamp(entry),
            "Ref": _notes(entry.text)[2], "Toutfo": _receipt_key(entry), "OnlySequence": _sequence(entry),
            "RecipBkName1": OTHER_BANK,
        } | self._odd(entry)))  # fmt: skip

    def _odd(self, entry: Entry) -> dict[str, str]:
        """With the fault odd_row the account's second entry has a direction that no page explains."""
        return {"Drcrf": "9"} if "odd_row" in self.faults and entry.number == 2 else {}

    def _today_of(self, books: Books) -> date:
        return books.now().astimezone(_ZONE).date()

    def _work_date(self, books: Books) -> date:
        return self._today_of(books) + timedelta(days=self.work_days_ahead)


def build(options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
    """The twin under `options`; its seal needs no key, so `keys` may be empty."""
    faults = frozenset(options.get("faults", ()))
    if not faults <= set(FAULTS):
        raise BadOptions("faults", f"a list of {', '.join(FAULTS)}")
    return NetSafe(
        cis=str(options.get("cis", "")), page_lines=int(options.get("page_lines", 20)),
        span_days=int(options.get("span_days", 30)), work_days_ahead=int(options.get("work_days_ahead", 0)),
        faults=faults,
    )  # fmt: skip


def _message(form: Mapping[str, str]) -> _Request:
    """The message in reqData: sealed for instructions, plain or Base64 for the rest."""
    operation, data = form.get("TransCode", ""), form.get("reqData", "")
    if operation in SIGNED:
        document = _unsealed(data)
    elif data.startswith("<?xml"):
        document = GBK.encode(data)
    else:
        document = _unwrapped(data)
    try:
        root = xmldoc.parse(document, GBK, max_bytes=_REQUEST_BYTES_MAX)
        pub, inner = xmldoc.one(root, "eb/pub"), xmldoc.one(root, "eb/in")
    except ProtocolError:
        raise _ClientRefused from None
    return _Request(_text(pub, "TransCode"), pub, inner)


def _unsealed(data: str) -> bytes:
    blob = _unwrapped(data)
    document, seal = blob[len(_SEAL) : -32], blob[-32:]
    if not blob.startswith(_SEAL) or hashlib.sha256(_SEAL + document).digest() != seal:
        raise _ClientRefused
    return document


def _unwrapped(data: str) -> bytes:
    # A "+" that lost its percent sign on the way has become a blank, and the bank refuses it.
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise _ClientRefused from None


def _wrapped(data: bytes) -> bytes:
    """Base64 with CR LF behind every 76 characters."""
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def _text(parent: etree._Element, tag: str) -> str:
    return (parent.findtext(tag) or "").strip()


def _fen(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,16}", text):
        raise _BankRefused(MALFORMED, "金额错误")
    return int(text)


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        raise _BankRefused(MALFORMED, "日期错误") from None


def _clock(now: datetime) -> str:
    return f"{now:%H%M%S}{now.microsecond // 1000:03d}"


def _stamp(entry: Entry) -> str:
    """The bank's time stamp; its last six digits make it unique within the account."""
    return f"{entry.at.astimezone(_ZONE):%Y-%m-%d-%H.%M.%S}.{entry.number:06d}"


def _receipt_key(entry: Entry) -> str:
    """地区号|网点号|柜员号|流水号 (4): the last one is the teller's serial of six digits."""
    return f"0200|00001|00001|{entry.number:06d}"


def _in_order(tags: Sequence[str], texts: Mapping[str, str]) -> list[Markup]:
    """Every element of a row in the page's order; those that the twin has nothing for are empty."""
    assert texts.keys() <= set(tags), texts.keys() - set(tags)
    return [el(tag, texts[tag]) if texts.get(tag) else Markup(f"<{tag}></{tag}>") for tag in tags]


def _sequence(entry: Entry) -> str:
    return f"{entry.number:010d}"


def _flag(entry: Entry) -> str:
    return "1" if entry.direction is Direction.DEBIT else "2"


def _reason(booking: Booking) -> tuple[str, str]:
    if booking.booked is not Booked.REFUSED:
        return "0", ""
    if booking.reason == "duplicate":
        return DUPLICATE, "指令重复"
    return NAME_REFUSED if booking.reason == "refused_by_bank" else (ODD, booking.reason)


def _noted(purpose: str, place: str, ref: str) -> str:
    """The purpose with what the books must keep for us: the line's number in its package, and Ref."""
    return "\x1f".join((purpose, place, ref))


def _notes(purpose: str) -> tuple[str, str, str]:
    """What `_noted` joined; of the books' own texts and of others' payments only the text."""
    text, _, rest = purpose.partition("\x1f")
    place, _, ref = rest.partition("\x1f")
    return text, place or "1", ref


def _blank(*tags: str) -> list[Markup]:
    return [Markup(f"<{tag}></{tag}>") for tag in tags]


def _together(head: Sequence[Markup], rows: Sequence[Markup]) -> Markup:
    return Markup("".join((*head, *rows)))
