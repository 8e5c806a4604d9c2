"""NetSafe Client and the bank behind it, written from the bank's page and not from our own adapter.

It keeps the habits seen in public samples: Base64 in lines of 76 characters, two blanks in the XML declaration, RMB in
QHISD and 001 elsewhere, no SignTime in answers. Codes that begin with TWIN are its own, because the bank's are not
public. twin_rules.py has the bank's rules, twin_request.py reads a request and judges it by them.

Options: `cis` (any, when left out), `page_lines` (20), `span_days` (30, the longest QHISD), `work_days_ahead` (0: how
far the bank's work date is ahead of the clock), `faults` (a list of FAULTS), `cheap` (changes nothing).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.banks.icbc.twin_request import (
    REQUEST_BYTES_MAX,
    ClientRefused,
    Request,
    read_request,
    sealed,
    sign_findings,
    wrapped,
)
from protocols.banks.icbc.twin_rules import (
    CLIENT_REFUSED,
    DUPLICATE,
    LINE,
    LINE_REFUSALS,
    NAME_REFUSED,
    NO_ACCOUNT,
    NO_PACKAGE,
    NOT_HELD,
    ODD,
    SIGNED,
)
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.judge import BothLanguages, RequestFinding, RuleKind
from protocols.kit import http
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Booked, Booking, Books, Duplicate, DuplicateBundle, Entry, Instruction, Twin

FAULTS: Final = (
    "error_code_after_booking",  # errorCode=40418, but the package is booked
    "http_500_after_booking",  # likewise, as an HTTP error
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
    "no_key",  # the sign port has no key
    "swapped_signatures",  # the sign port answers with the previous signature
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
_ZONE: Final = timezone(timedelta(hours=8))
_TOLD: Final = tuple(
    (re.compile(f"<{code}>([^<]*)<"), re.compile(f"<{text}>([^<]*)<"))
    for code, text in (("RetCode", "RetMsg"), ("iRetCode", "iRetMsg"))
)
_RESULTS: Final = {Booked.TAKEN: "9", Booked.SETTLED: "7", Booked.REFUSED: "6", Booked.RETURNED: "7"}


class _BankRefused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """The bank refuses the whole package."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True)
class _Done:
    """The `out` of an answer. In answers to instructions `serial` is the bank's number of the package."""

    out: Markup
    serial: str = ""
    code: str = "0"
    text: str = ""


@dataclass(slots=True)
class NetSafe:
    """The simulated front end and bank. Each connection carries one exchange.

    It remembers the packages whose lines it refused with separate codes, because the books do not have them, and the
    bank serial of each package.
    """

    cis: str = ""
    page_lines: int = 20
    span_days: int = 30
    work_days_ahead: int = 0
    faults: frozenset[str] = frozenset()
    ports: tuple[str, ...] = ("business", "sign")
    _signature: bytes = b""  # the previous signature, for the fault swapped_signatures
    _refused: dict[str, tuple[Booking, ...]] = field(default_factory=dict)
    _serials: dict[str, str] = field(default_factory=dict)

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port in self.ports, port
        return http.HttpRequests().cutter(REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close."""
        try:
            asked = http.parse_request(request)
        except ProtocolError as error:
            words = BothLanguages(f"is no HTTP request: {error.text}", "不是 HTTP 请求")
            found = RequestFinding("http", RuleKind.FRAME, "", words, "icbc.md 1, ERP↔NC", CLIENT_REFUSED)
            return Answer(http.answer(400, phrase="Bad Request"), True, "", "400", "Bad Request", (found,))
        if port == "sign":
            return self._signed(asked, books)
        try:
            read = read_request(asked, self._known(books), books)
        except ClientRefused as refused:
            return _client_refused(refused.operation, refused.findings)
        return self._business(read, books)

    # ---- NetSafe Client ----

    def _signed(self, asked: http.HttpRequest, books: Books) -> Answer:
        findings = sign_findings(asked, books)
        if findings or "no_key" in self.faults:
            body = b"<html><head><title>error</title><result>-1</result></head><body></body></html>"
            return Answer(_html(body), True, "INFOSEC_SIGN", "-1", "error", findings)
        fresh = wrapped(sealed(asked.body))
        shown = self._signature if "swapped_signatures" in self.faults and self._signature else fresh
        self._signature = fresh
        body = (
            b"<html><head><title>sign</title><result>0</result></head><body><sign>\r\n%b</sign></body></html>" % shown
        )
        return Answer(_html(body), True, "INFOSEC_SIGN", "0")

    def _known(self, books: Books) -> dict[str, str]:
        """The values of the bank itself that its rules compare requests with."""
        return {
            "bank/cis": self.cis,
            "bank/today": f"{self._work_date(books):%Y%m%d}",
            "bank/work_date": f"{self._work_date(books):%Y%m%d}",
            "bank/span_days": str(self.span_days),
        }

    def _business(self, request: Request, books: Books) -> Answer:
        findings = request.findings(books)
        try:
            done = self._done(request, findings, books)
        except _BankRefused as refused:
            done = _Done(Markup(""), code=refused.code, text=refused.text)
        if request.operation in SIGNED and done.code == "0":
            if "error_code_after_booking" in self.faults:
                return _client_refused(request.operation, findings)
            if "http_500_after_booking" in self.faults:
                data = http.answer(500, [("Content-Type", "text/html")], b"error", phrase="Error")
                return Answer(data, True, request.operation, "500", "Error", findings)
        document = self._document(request, done, books)
        code, reason = _told(document)
        if "attached" in self.faults and request.operation in SIGNED:
            document = sealed(document)
        data = http.answer(200, [("Content-Type", "text/html;charset=GBK")], b"reqData=" + wrapped(document))
        return Answer(data, True, request.operation, code, reason, findings)

    def _document(self, request: Request, done: _Done, books: Books) -> bytes:
        now = books.now().astimezone(_ZONE)
        package_id, code, text = request.package_id, done.code, done.text
        if "others_package" in self.faults:
            package_id = f"{package_id[:-1]}{'0' if package_id[-1] != '0' else '1'}"
        if "message_refused" in self.faults and request.operation in SIGNED and code == "0":
            code, text = ODD, "系统忙"
        pub = [
            *(el(tag, _text(request.pub, tag)) for tag in ("TransCode", "CIS", "BankCode", "ID")),
            el("TranDate", f"{now:%Y%m%d}"),
            el("TranTime", _clock(now)),
            el("fSeqno", package_id),
            el("SerialNo", done.serial) if done.serial else None,
            el("RetCode", code),
            el("RetMsg", text),
        ]
        label = "GB2312" if "declares_gb2312" in self.faults else "GBK"
        root = el("CMS", el("eb", el("pub", *pub), el("out", done.out)))
        if "raw_ampersand" in self.faults:
            root = Markup(root.replace("</RetMsg>", " A&B</RetMsg>"))
        return f'<?xml  version="1.0" encoding="{label}" ?>{root}'.encode("gb18030")

    def _done(self, request: Request, findings: Sequence[RequestFinding], books: Books) -> _Done:
        """The bank's answer. A message that breaks a rule is refused, as a whole or line by line."""
        if findings:
            refusal = findings[0].refusal
            if refusal.code in LINE_REFUSALS:
                return self._lines_refused(request, findings, books)
            if refusal is not NOT_HELD or request.operation != "QACCBAL":
                raise _BankRefused(refusal.code, refusal.text)
        known: dict[str, Callable[[Request, Books], _Done]] = {
            "QACCBAL": self._balance,
            "QPD": self._today,
            "QHISD": self._past,
            **dict.fromkeys(SIGNED, self._package),
            **{f"Q{name}": self._enquiry for name in SIGNED},
        }
        return known[request.operation](request, books)

    # ---- the bank: money ----

    def _package(self, request: Request, books: Books) -> _Done:
        instructions = self._instructions(request)
        return self._told_package(request, self._booked(request.package_id, instructions, books))

    def _told_package(self, request: Request, bookings: Sequence[Booking]) -> _Done:
        inner, rows = request.inner, request.inner.findall("rd")
        self._serials[bookings[0].bank_serial] = request.package_id
        echoed = [self._echo(row, n, booking) for n, (row, booking) in enumerate(zip(rows, bookings), 1)]
        head = [*(el(tag, _text(inner, tag)) for tag in ("OnlBatF", "SettleMode", "TotalNum"))]
        total = sum(int(_text(row, "PayAmt")) for row in rows) + len(rows) * ("others_amount" in self.faults)
        ours = [el("RecAccNo", _text(inner, "RecAccNo"))] if request.operation == "PERDIS" else []
        head += [el("TotalAmt", str(total)), *ours, *_blank("RepReserved1", "RepReserved2", "AlertFlag")]
        head += self._batch(request.operation)
        return _Done(_together(head, self._arranged(echoed)), bookings[0].bank_serial)

    def _lines_refused(self, request: Request, findings: Sequence[RequestFinding], books: Books) -> _Done:
        """Refuse every line, each with the code of its own mistake where it has one; nothing is booked."""
        own = {int(found.group(1)): one.refusal.code for one in findings if (found := LINE.match(one.place))}
        instructions, serial, now = self._instructions(request), f"HQP{books.serial():010d}", books.now()
        if self._is_known(request.package_id, instructions, books):
            raise _BankRefused(DUPLICATE, "指令包序列号重复")
        self._refused[request.package_id] = tuple(
            Booking(one, Booked.REFUSED, serial, now, now.date(), reason=own.get(n, findings[0].refusal.code))
            for n, one in enumerate(instructions, 1)
        )
        return self._told_package(request, self._refused[request.package_id])

    def _instructions(self, request: Request) -> list[Instruction]:
        rows = request.inner.findall("rd")
        return [self._instruction(request, row, alone=len(rows) == 1) for row in rows]

    def _instruction(self, request: Request, row: etree._Element, *, alone: bool) -> Instruction:
        own = request.package_id if alone else f"{request.package_id}-{_text(row, 'iSeqno')}"
        reference = _text(row, "ERPSqn") or own
        amount = Money(int(_text(row, "PayAmt")))
        purpose = _noted(_text(row, "UseCN"), _text(row, "iSeqno"), _text(row, "Ref"))
        if request.operation == "PERDIS":
            ours, theirs = _text(request.inner, "RecAccNo"), _text(row, "PayAccNo")
            return Instruction(reference, ours, theirs, _text(row, "PayAccNameCN"), amount, purpose, collects=True)
        return Instruction(
            reference,
            _text(row, "PayAccNo"),
            _text(row, "RecAccNo"),
            _text(row, "RecAccNameCN"),
            amount,
            purpose,
            urgent=_text(row, "PayType") == "1",
        )

    def _is_known(self, package_id: str, instructions: Sequence[Instruction], books: Books) -> bool:
        alone = books.earlier(instructions[0].reference) if len(instructions) == 1 else None
        return package_id in self._refused or alone is not None or books.has_bundle(package_id)

    def _booked(self, package_id: str, instructions: Sequence[Instruction], books: Books) -> Sequence[Booking]:
        try:
            if package_id in self._refused:
                raise DuplicateBundle
            if len(instructions) == 1 and instructions[0].reference == package_id:
                return (books.book_once(instructions[0]),)
            return books.take_bundle(package_id, instructions)
        except (Duplicate, DuplicateBundle):
            raise _BankRefused(DUPLICATE, "指令包序列号重复") from None

    def _echo(self, row: etree._Element, place: int, booking: Booking) -> Markup:
        """A line of the answer: OrderNo behind iSeqno, every field of the request, and the outcome."""
        shown = [el(str(child.tag), self._amount(child)) for child in row if child.tag not in ("MCardNo", "MCardName")]
        shown.insert(1, el("OrderNo", str(place)))
        result = "0" if booking.booked is Booked.TAKEN else _RESULTS[booking.booked]
        code, text = _reason(booking)
        return el(
            "rd",
            shown,
            el("Result", self._result(result)),
            el("iRetCode", code),
            el("iRetMsg", text),
            _blank("MCardNo", "MCardName"),
        )

    def _amount(self, child: etree._Element) -> str:
        text = (child.text or "").strip()
        return str(int(text) + 1) if child.tag == "PayAmt" and "others_amount" in self.faults else text

    def _result(self, result: str) -> str:
        return "" if "empty_result" in self.faults else result

    def _batch(self, operation: str) -> list[Markup]:
        """The fields about the batch in answers to PAYPER and QPAYPER."""
        if not operation.endswith("PAYPER"):
            return []
        refused = "batch_refused" in self.faults
        code, text = (ODD, "批量处理失败") if refused else ("0", "")
        return [
            *_blank("THBaseAccFlag", "RegSerialNO", "PackageName", "TotalSummary", "BatchSumFlag"),
            el("BatRetCode", code),
            el("BatRetMsg", text),
        ]

    def _arranged(self, rows: list[Markup]) -> list[Markup]:
        if "last_line_silent" in self.faults:
            rows = rows[:-1]
        return rows[::-1] if "lines_reversed" in self.faults else rows

    def _enquiry(self, request: Request, books: Books) -> _Done:
        asked_serial = _text(request.inner, "QrySerialNo")
        package_id = _text(request.inner, "QryfSeqno") or self._serials.get(asked_serial, "")
        alone = books.find(package_id)
        bookings = (alone,) if alone is not None else books.bundle(package_id) or self._refused.get(package_id, ())
        if not bookings:
            raise _BankRefused(NO_PACKAGE, "无此指令包")
        by_place = {int(_notes(one.instruction.purpose)[1]): one for one in bookings}
        asked = [_text(row, "QryiSeqno") for row in request.inner.findall("rd")]
        places = [int(one) for one in asked if one] or sorted(by_place)
        rows = [self._told(n, place, by_place.get(place)) for n, place in enumerate(places, 1)]
        serial = bookings[0].bank_serial
        head = [
            el("QryfSeqno", package_id),
            el("QrySerialNo", serial),
            el("OnlBatF", "1"),
            el("SettleMode", "0"),
            *_blank("BusType", "RepReserved1", "RepReserved2"),
            *self._batch(request.operation),
        ]
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

    def _balance(self, request: Request, books: Books) -> _Done:
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

    def _today(self, request: Request, books: Books) -> _Done:
        number, today = _text(request.inner, "AccNo"), self._today_of(books)
        page, tag = self._page(books.entries(number, today, today), _text(request.inner, "NextTag"))
        head = [
            el("AccNo", number),
            *_blank("AccName"),
            el("CurrType", "001"),
            *_blank("AreaCode"),
            el("NextTag", tag),
            el("TotalNum", str(len(page))),
            *_blank("RepReserved1", "RepReserved2", "AcctSeq"),
        ]
        return _Done(_together(head, [self._row_of_today(entry) for entry in page]))

    def _past(self, request: Request, books: Books) -> _Done:
        inner = request.inner
        number, first, last = _text(inner, "AccNo"), _day(_text(inner, "BeginDate")), _day(_text(inner, "EndDate"))
        ahead = timedelta(days=self.work_days_ahead)
        page, tag = self._page(books.entries(number, first - ahead, last - ahead), _text(inner, "NextTag"))
        head = [
            el("AccNo", number),
            *_blank("AccName"),
            el("CurrType", "RMB"),
            el("BeginDate", f"{first:%Y%m%d}"),
            el("EndDate", f"{last:%Y%m%d}"),
            *_blank("MinAmt", "MaxAmt", "BankType"),
            el("NextTag", tag),
            el("TotalNum", str(len(page))),
            *_blank("DueBillNo", "AcctSeq"),
        ]
        return _Done(_together(head, [self._row_of_past(entry) for entry in page]))

    def _page(self, entries: Sequence[Entry], tag: str) -> tuple[Sequence[Entry], str]:
        """The entries after the one that the tag names, and the tag of the next page; "" when there is none."""
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
            "TimeStamp": _stamp(entry), "RepReserved3": _receipt_key(entry), "TradeDate": self._dated(entry),
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
            "UseCN": _notes(entry.text)[0], "Date": self._dated(entry), "Time": _stamp(entry),
            "Ref": _notes(entry.text)[2], "Toutfo": _receipt_key(entry), "OnlySequence": _sequence(entry),
            "RecipBkName1": OTHER_BANK,
        } | self._odd(entry)))  # fmt: skip

    def _odd(self, entry: Entry) -> dict[str, str]:
        """Let the account's second entry have an undocumented direction, if the fault odd_row is on."""
        return {"Drcrf": "9"} if "odd_row" in self.faults and entry.number == 2 else {}

    def _today_of(self, books: Books) -> date:
        return books.now().astimezone(_ZONE).date()

    def _dated(self, entry: Entry) -> str:
        """The work date of an entry."""
        return f"{entry.bank_date + timedelta(days=self.work_days_ahead):%Y%m%d}"

    def _work_date(self, books: Books) -> date:
        # The date of a message is judged by the machine's clock, also while a test has moved the date of the books.
        return books.machine_now().astimezone(_ZONE).date() + timedelta(days=self.work_days_ahead)


def build(options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
    """The twin under `options`; its seal needs no key, so `keys` may be empty."""
    faults = frozenset(options.get("faults", ()))
    if not faults <= set(FAULTS):
        raise BadOptions("faults", f"a list of {', '.join(FAULTS)}")
    return NetSafe(
        cis=str(options.get("cis", "")),
        page_lines=int(options.get("page_lines", 20)),
        span_days=int(options.get("span_days", 30)),
        work_days_ahead=int(options.get("work_days_ahead", 0)),
        faults=faults,
    )


def _told(document: bytes) -> tuple[str, str]:
    """The code and text of an answer: those of the package, or of the first line that says no."""
    shown = document.decode("gb18030")
    pairs = [pair for codes, texts in _TOLD for pair in zip(codes.findall(shown), texts.findall(shown))]
    return next((pair for pair in pairs if pair[0] not in ("", "0")), pairs[0] if pairs else ("", ""))


def _html(body: bytes) -> bytes:
    return http.answer(200, [("Content-Type", "text/html")], body)


def _client_refused(operation: str, findings: tuple[RequestFinding, ...]) -> Answer:
    code = CLIENT_REFUSED.code
    data = http.answer(200, [("Content-Type", "text/html;charset=GBK")], b"errorCode=" + code.encode())
    return Answer(data, True, operation, code, CLIENT_REFUSED.text, findings)


def _text(parent: etree._Element, tag: str) -> str:
    return (parent.findtext(tag) or "").strip()


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").date()


def _clock(now: datetime) -> str:
    return f"{now:%H%M%S}{now.microsecond // 1000:03d}"


def _stamp(entry: Entry) -> str:
    """The bank's time stamp; its last six digits make it unique within the account."""
    return f"{entry.at.astimezone(_ZONE):%Y-%m-%d-%H.%M.%S}.{entry.number:06d}"


def _receipt_key(entry: Entry) -> str:
    """地区号|网点号|柜员号|流水号 (4): the last one is the teller's serial of six digits."""
    return f"0200|00001|00001|{entry.number:06d}"


def _in_order(tags: Sequence[str], texts: Mapping[str, str]) -> list[Markup]:
    """Every element of a row in the page's order. An element without a value in the twin is empty."""
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
    known = NAME_REFUSED if booking.reason == "refused_by_bank" else LINE_REFUSALS.get(booking.reason)
    return (ODD, booking.reason) if known is None else (known.code, known.text)


def _noted(purpose: str, place: str, ref: str) -> str:
    """The purpose, joined with the line's number in its package and Ref, which the twin needs later."""
    return "\x1f".join((purpose, place, ref))


def _notes(purpose: str) -> tuple[str, str, str]:
    """The parts that `_noted` joined; for any other text in the books, only the text."""
    text, _, rest = purpose.partition("\x1f")
    place, _, ref = rest.partition("\x1f")
    return text, place or "1", ref


def _blank(*tags: str) -> list[Markup]:
    return [Markup(f"<{tag}></{tag}>") for tag in tags]


def _together(head: Sequence[Markup], rows: Sequence[Markup]) -> Markup:
    return Markup("".join((*head, *rows)))
