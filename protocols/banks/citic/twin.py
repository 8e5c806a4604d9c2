"""The bank's front end as its own page describes it, written from that and not from our adapter.

The page lists no server codes for a repeated clientID, for one that is not known, for "no entries" and for a refusal as
an order is handed in. Statuses that begin with TWIN are this twin's own.

Options. `login` (any, when left out). Faults, each off when left out: `refuse_at_once` answers a refused order with
TWIN002 instead of taking it; `approval` answers AAAAAAB and leaves what it took in 审核中; `eeeeeee` and `client_code`
answer EEEEEEE or a client code after booking; `http_500` answers 500 after booking; `another` states an amount that
is not the order's; `query_fails` answers DLCIDSTT with a client code; `unlisted` gives it stt 5; `contradicts` puts
处理失败 beside stt 0; `no_data` answers an empty list of entries with TWIN003, `not_known` an unknown clientID with
TWIN004; `wants_summary` answers TWIN006 to a detail (…DET) of a message whose summary (…COL) was not asked for;
`odd_rows` puts an entry in front of the list that says nothing; `no_memo` leaves a batch line's memo empty; `stuck`
tells the first page of entries whatever is asked; `wrong_count` counts one entry too many; `no_keys` leaves the
line's number out of a batch's lines; `gb18030` declares GB2312 and writes beyond GBK; `late_answers` answers an
enquiry after orders with what the one before it should have been told; `no_total` leaves totalRecords out;
`newest_first` tells the newest entry first; `no_origin` leaves oriNum of an entry empty.
"""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, time, timedelta, timezone
from typing import Any, Final

from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.canon.money import BadMoney, Money
from protocols.canon.statement import Direction
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Booked, Booking, Books, Duplicate, DuplicateBundle, Entry, Instruction, Twin

_ZONE: Final = timezone(timedelta(hours=8))
_REQUEST_BYTES_MAX: Final = 4 * 1_048_576
_TAKEN: Final = "已提交银行处理，需稍后使用交易状态查询交易进行查询"
_MONEY: Final = ("DLOUTTRN", "DLINETRN", "CMMANSWP", "CMDWNSWP", "DLPAYBAT", "DLSALIMP", "DLAGENTF")
_SUMMARIES: Final = {"DLBATCOL": "DLPAYBAT", "DLSALCOL": "DLSALIMP", "DLAGECOL": "DLAGENTF"}
_ENQUIRIES: Final = ("DLCIDSTT", "DLBATDET", "DLSALDET", "DLAGEDET")
_ROW: Final = {
    Booked.TAKEN: "CCCCCCC", Booked.SETTLED: "AAAAAAA", Booked.REFUSED: "ED02093", Booked.RETURNED: "AAAAAAA",
}  # fmt: skip
_STT: Final = {Booked.TAKEN: "2", Booked.SETTLED: "0", Booked.REFUSED: "1", Booked.RETURNED: "0"}
_TEXT: Final = {
    "CCCCCCC": "处理中", "AAAAAAA": "交易成功", "AAAAAAD": "扣款成功", "ED02093": "处理失败", "ED02087": "审核中",
}  # fmt: skip
Leaves = Mapping[str, str]
Parts = tuple[str, list[Markup]]


class Refused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """The call as a whole is answered with this status and text."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(status)
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Conduct:
    """The switches of the module's description."""

    login: str = ""
    cheap: bool = False
    refuse_at_once: bool = False
    approval: bool = False
    eeeeeee: bool = False
    client_code: bool = False
    http_500: bool = False
    another: bool = False
    query_fails: bool = False
    unlisted: bool = False
    contradicts: bool = False
    no_data: bool = False
    not_known: bool = False
    stuck: bool = False
    wrong_count: bool = False
    no_keys: bool = False
    gb18030: bool = False
    late_answers: bool = False
    no_total: bool = False
    newest_first: bool = False
    wants_summary: bool = False
    odd_rows: bool = False
    no_memo: bool = False
    no_origin: bool = False


@dataclass(slots=True)
class FrontEnd:
    """The simulated front end with its bank. What the books do not keep (a line's number) it keeps while it lives."""

    conduct: Conduct
    ports: tuple[str, ...] = ("business",)
    _actions: dict[str, str] = field(default_factory=dict)
    _numbers: dict[str, str] = field(default_factory=dict)
    _bundles: dict[str, str] = field(default_factory=dict)
    _bundled: dict[str, frozenset[str]] = field(default_factory=dict)
    _summed: set[str] = field(default_factory=set)
    _lines: dict[str, Leaves] = field(default_factory=dict)
    _hidden: set[str] = field(default_factory=set)
    _late: Parts | None = None

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port == "business", port
        return http.HttpRequests().cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close."""
        action, parts = "", list[Markup]()
        try:
            root = xmldoc.parse(http.parse_request(request).body, GBK, max_bytes=_REQUEST_BYTES_MAX, max_nodes=200_000)
            action = (root.findtext("action") or "").strip()
            status, parts = self._called(action, root, books)
            if self.conduct.late_answers and action in _ENQUIRIES:
                meant, before = (status, parts), self._late
                self._late = meant
                status, parts = before or meant
            text = _TAKEN if action in _MONEY else "交易成功"
        except ProtocolError:
            status, text = "TWIN000", "报文格式错误"
        except Refused as refused:
            status, text = refused.status, refused.text
        if action in _MONEY and not status.startswith("TWIN"):
            if self.conduct.eeeeeee:
                status, text, parts = "EEEEEEE", "交易未产生", []
            if self.conduct.client_code:
                status, text, parts = "ET00001", "客户端与银行通讯异常", []
            if self.conduct.http_500:
                return Answer(http.answer(500, (), b"<html/>", "Internal Server Error"), close=True)
        return Answer(self._framed(status, text, parts), close=True)

    def _framed(self, status: str, text: str, parts: list[Markup]) -> bytes:
        text += "𬭎" if self.conduct.gb18030 else ""
        document = el("stream", el("status", status), el("statusText", text), parts)
        label, charset = ("GB2312", "gb18030") if self.conduct.gb18030 else ("GBK", "gbk")
        data = f'<?xml version="1.0" encoding="{label}"?>\n{document}'.encode(charset, errors="replace")
        return http.answer(200, (("Content-Type", "text/xml"),), data)

    def _called(self, action: str, root: etree._Element, books: Books) -> Parts:
        known: Mapping[str, Callable[[etree._Element, Books], Parts]] = {
            "DLBALQRY": self._balances, "DLHBLQRY": self._past, "DLTRNALL": self._entries, "DLOUTTRN": self._pay,
            "DLINETRN": self._pay, "CMMANSWP": self._sweep, "CMDWNSWP": self._sweep,
            "DLCIDSTT": self._state, "DLPAYBAT": self._batch, "DLBATDET": self._batch_lines,
            "DLSALIMP": self._payroll, "DLSALDET": self._paged_lines, "DLAGENTF": self._collection,
            "DLAGEDET": self._paged_lines, "DLBATCOL": self._summary, "DLSALCOL": self._summary,
            "DLAGECOL": self._summary, "DLEDDRSQ": self._receipts, "DLEDCDTD": self._receipt,
        }  # fmt: skip
        if root.tag != "stream" or action not in known:
            raise Refused("TWIN000", "交易代码不存在")
        login = (root.findtext("userName") or "").strip()
        if not login or (self.conduct.login and login != self.conduct.login):
            raise Refused("TWIN000", "登录名不存在")
        return known[action](root, books)

    # ---- one order --------------------------------------------------------------------------------------------

    def _pay(self, root: etree._Element, books: Books) -> Parts:
        given = _head(root)
        wanted = ["preFlg", "preDate", "preTime", "payAccountNo", "recAccountNo", "tranAmount", "abstract", "memo"]
        outside = given["action"] == "DLOUTTRN"
        if outside:
            wanted += ["payType", "recBankNo", "recAccountName", "recOpenBankName", "recOpenBankCode", "citicbankFlag",
                       "cityFlag", "takerName", "takerID", "takerIDType", "chkNum"]  # fmt: skip
        _refuse_unless(all(tag in given for tag in wanted), "要素缺失")
        _refuse_unless(given["preFlg"] == "0", "不支持预约")
        if outside:
            _refuse_unless(given["payType"] in ("00", "01", "02", "03", "04", "05", "B5"), "支付方式错误")
            _refuse_unless(given["citicbankFlag"] in ("0", "1") and given["cityFlag"] in ("0", "1"), "标志错误")
            _refuse_unless((given["payType"] == "01") == (given["citicbankFlag"] == "0"), "支付方式与行内标志不符")
            now = books.now().astimezone(_ZONE)
            open_now = now.weekday() < 5 and time(9) <= now.time() < time(17)
            _refuse_unless(given["payType"] != "02" or open_now, "非大额支付时间")
        order = _instruction(_client_id(given), given["payAccountNo"], given["recAccountNo"],
                             given.get("recAccountName", "内部账户"), given)  # fmt: skip
        booking = self._handed_in(order, given["action"], books)
        told = str(order.amount) if not self.conduct.another else "0.01"
        return "AAAAAAB" if self.conduct.approval else "AAAAAAE", _elements({
            "tranDate": f"{booking.bank_date:%Y%m%d}", "tranTime": f"{booking.at.astimezone(_ZONE):%H%M%S}",
            "tranNo": "", "payAccountNo": order.debtor_account, "payAccountName": "", "payOpenBankName": "",
            "recAccountNo": order.creditor_account, "recAccountName": order.creditor_name,
            "recOpenBankName": given.get("recOpenBankName", ""), "tranAmount": told, "abstract": order.purpose,
        })  # fmt: skip

    def _sweep(self, root: etree._Element, books: Books) -> Parts:
        """CMMANSWP and CMDWNSWP between the group's account and a member's; the answer is the status, no more."""
        given = _head(root)
        upper = books.holding(given["conAccountNo" if given["action"] == "CMMANSWP" else "coreAccountNo"])
        member = books.holding(given["accountNo"])
        if upper is None or member is None:
            raise Refused("TWIN005", "账号不存在")
        _refuse_unless(given["preFlg"] == "0" and not given["preDate"] and not given["preTime"], "不支持预约")
        payer, payee = (member, upper) if given["action"] == "CMMANSWP" else (upper, member)
        order = _instruction(_client_id(given), payer.number, payee.number, payee.holder, given)
        self._handed_in(order, given["action"], books)
        return "AAAAAAB" if self.conduct.approval else "AAAAAAE", []

    def _handed_in(self, order: Instruction, action: str, books: Books) -> Booking:
        try:
            booking = books.take(order)
        except Duplicate:
            raise Refused("TWIN001", "clientID重复") from None
        if booking.booked is Booked.REFUSED and self.conduct.refuse_at_once:
            self._hidden.add(order.reference)
            raise Refused("TWIN002", booking.reason)
        self._actions[order.reference] = action
        return booking

    def _state(self, root: etree._Element, books: Books) -> Parts:
        given = _head(root)
        reference, action = _client_id(given), given.get("type", "")
        if self.conduct.query_fails:
            raise Refused("ED10001", "通讯异常")
        booking = None if reference in self._hidden else books.find(reference)
        if booking is None or action not in ("", self._actions.get(reference, action)):
            if self.conduct.not_known:
                raise Refused("TWIN004", "没有此笔交易")
            return "AAAAAAA", [_list([])]
        stt, status = _STT[booking.booked], _ROW[booking.booked]
        if self.conduct.approval:
            stt, status = "2", "ED02087"
        if self.conduct.unlisted:
            stt = "5"
        if self.conduct.contradicts:
            status = "ED02093"
        text = booking.reason or _TEXT[status]
        return "AAAAAAA", [_list([{"stt": stt, "status": status, "statusText": text}])]

    # ---- many orders ------------------------------------------------------------------------------------------

    def _batch(self, root: etree._Element, books: Books) -> Parts:
        given, lines = _head(root), _rows(root)
        _refuse_unless(given["preFlg"] == "0" and not given["preDate"] and not given["preTime"], "不支持预约")
        for line in lines:
            _refuse_unless(line["payType"] in ("02", "03") and bool(line["recOpenBankCode"]), "支付方式或行号错误")
        taken = self._taken(root, lines, books, [
            (line["ID"], line["memo"], line["payAccountNo"], line["recAccountNo"], line["recAccountName"])
            for line in lines
        ], 4)  # fmt: skip
        total = str(Money(sum(one.instruction.amount.minor for one in taken)))
        totals = {"sucTotalNum": str(len(taken)), "sucTotalAmt": total, "errTotalNum": "0", "errTotalAmt": "0.00"}
        each = [{"ID": line["ID"], "status": "AAAAAAE", "statusText": _TAKEN} for line in lines]
        return "AAAAAAE", [*_elements(totals), _list(each)]

    def _payroll(self, root: etree._Element, books: Books) -> Parts:
        given, lines = _head(root), _rows(root)
        _refuse_unless(given["msgAbstract"] in tuple("1234567") and given["preFlg"] == "0", "摘要代码错误")
        _refuse_unless(re.fullmatch("20[0-9]{2}(0[1-9]|1[0-2])", given["yearMonth"]) is not None, "年月错误")
        for line in lines:
            line["abstract"] = given["abstract"] or line["wagDetl"]
        self._taken(root, lines, books, [
            (line["employeeNo"], line["wagDetl"], given["payAccountNo"], line["recAccountNo"], line["employeeName"])
            for line in lines
        ], 5)  # fmt: skip
        return "AAAAAAF", _elements({"batchNo": "001"})

    def _collection(self, root: etree._Element, books: Books) -> Parts:
        given, lines = _head(root), _rows(root)
        _refuse_unless(given["preFlg"] == "0" and not given["preDate"] and not given["preTime"], "不支持预约")
        self._taken(root, lines, books, [
            ("", line["abstract"], given["rcvAccountNo"], line["payAccountNo"],
             line["payAccountName"])
            for line in lines
        ], 0)  # fmt: skip
        return "AAAAAAF", _elements({"batchNo": "001"})

    def _taken(self, root: etree._Element, lines: list[dict[str, str]], books: Books,
               wanted: Sequence[tuple[str, str, str, str, str]], places: int) -> tuple[Booking, ...]:  # fmt: skip
        given = _head(root)
        client, collects = _client_id(given), given["action"] == "DLAGENTF"
        keys = [key for key, *_ in wanted]
        _refuse_unless(not places or all(re.fullmatch(f"[0-9]{{{places}}}", key) for key in keys), "序号错误")
        _refuse_unless(not places or len(set(keys)) == len(keys), "序号重复")
        orders = [
            replace(_instruction(_known_as(text, client, number), ours, theirs, name, line), collects=collects)
            for number, (line, (_, text, ours, theirs, name)) in enumerate(zip(lines, wanted, strict=True))
        ]
        total = sum(one.amount.minor for one in orders)
        _refuse_unless(bool(orders) and given["totalNumber"] == str(len(orders)), "总笔数不符")
        _refuse_unless(_money(given["totalAmount"]).minor == total, "总金额不符")
        try:
            taken = books.take_bundle(client, orders)
        except DuplicateBundle:
            raise Refused("TWIN001", "clientID重复") from None
        self._numbers |= {order.reference: key for order, key in zip(orders, keys, strict=True)}
        self._lines |= {order.reference: line for order, line in zip(orders, lines, strict=True)}
        self._bundles[client] = given["action"]
        self._bundled[client] = frozenset(order.reference for order in orders)
        return taken

    def _summary(self, root: etree._Element, books: Books) -> Parts:
        """The messages of a kind; what a row of it says but for clientID and status is this twin's own guess."""
        given, found = _head(root), list[Leaves]()
        if given["action"] == "DLSALCOL":
            _refuse_unless(re.fullmatch("20[0-9]{2}(0[1-9]|1[0-2])", given["yearMonth"]) is not None, "年月错误")
        else:
            _refuse_unless(_day(given["startDate"]) <= _day(given["endDate"]), "日期范围错误")
        for client, action in self._bundles.items():
            bookings = books.bundle(client)
            if action != _SUMMARIES[given["action"]] or not bookings:
                continue
            self._summed.add(client)
            open_ = any(one.booked is Booked.TAKEN for one in bookings)
            total = Money(sum(one.instruction.amount.minor for one in bookings))
            found.append({"clientID": client, "totalNumber": str(len(bookings)), "totalAmount": str(total),
                          "status": "CCCCCCC" if open_ else "AAAAAAA", "statusText": ""})  # fmt: skip
        return "AAAAAAA", [_list(found)]

    def _detailed(self, given: Leaves, books: Books) -> tuple[Booking, ...]:
        client = _client_id(given)
        if self.conduct.wants_summary and client in self._bundles and client not in self._summed:
            raise Refused("TWIN006", "请先查询汇总")
        return books.bundle(client)

    def _batch_lines(self, root: etree._Element, books: Books) -> Parts:
        return "AAAAAAA", [_list([self._batch_line(one) for one in self._detailed(_head(root), books)])]

    def _batch_line(self, booking: Booking) -> Leaves:
        """A row of DLBATDET, which has no ID (banks/citic.md 9)."""
        order, said = booking.instruction, self._lines.get(booking.instruction.reference, {})
        status = _ROW[booking.booked]
        echo = {tag: said.get(tag, "") for tag in ("recOpenBankCode", "recOpenBankName", "payType")}
        return {
            "payAccountNo": order.debtor_account, "recAccountNo": order.creditor_account,
            "recAccountName": order.creditor_name, **echo, "tranAmount": str(order.amount), "abstract": order.purpose,
            "memo": "" if self.conduct.no_memo else said.get("memo", ""), "status": status,
            "statusText": booking.reason or _TEXT[status],
        }  # fmt: skip

    def _paged_lines(self, root: etree._Element, books: Books) -> Parts:
        given = _head(root)
        wanted, begin = int(given["pageNumber"]), int(given["startRecord"])
        _refuse_unless(1 <= wanted <= 20 and begin >= 1, "查询条数错误")
        key = "employeeNo" if given["action"] == "DLSALDET" else ""
        lines = [self._line(one, key) for one in self._detailed(given, books)]
        page = lines[begin - 1 : begin - 1 + wanted]
        counts = {"totalRecords": str(len(lines)), "returnRecords": str(len(page))}
        if self.conduct.no_total:
            del counts["totalRecords"]
        return "AAAAAAA", [*_elements(counts), _list(page)]

    def _line(self, booking: Booking, key: str) -> Leaves:
        order, status = booking.instruction, _ROW[booking.booked]
        if order.collects and status == "AAAAAAA":
            status = "AAAAAAD"
        number = {key: self._numbers.get(order.reference, "")} if key and not self.conduct.no_keys else {}
        other = {("payAccountNo" if order.collects else "recAccountNo"): order.creditor_account}
        return number | other | {
            "tranAmount": str(order.amount), "abstract": order.purpose, "status": status,
            "statusText": booking.reason or _TEXT[status],
        }  # fmt: skip

    # ---- accounts ---------------------------------------------------------------------------------------------

    def _balances(self, root: etree._Element, books: Books) -> Parts:
        return "AAAAAAA", [_list([self._balance(line["accountNo"], books) for line in _rows(root)])]

    def _balance(self, number: str, books: Books) -> Leaves:
        held = books.holding(number)
        if held is None:
            return {"status": "TWIN005", "statusText": "账号不存在", "accountNo": number}
        return {
            "status": "AAAAAAA", "statusText": "交易成功", "accountNo": number, "accountName": held.holder,
            "currencyID": "01", "openBankName": "中信银行示例支行", "lastTranDate": "",
            "usableBalance": str(held.book - held.frozen), "balance": str(held.book), "forzenAmt": str(held.frozen),
            "frozenFlag": "", "accountType": "", "lawptLmt": "0.00",
        }  # fmt: skip

    def _past(self, root: etree._Element, books: Books) -> Parts:
        given = _head(root)
        number, first, last = given["accountNo"], _day(given["startDate"]), _day(given["endDate"])
        today = books.now().astimezone(_ZONE).date()
        _refuse_unless(first <= last < today and (last - first).days < 30, "日期范围错误")
        found = []
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            held = books.holding(number, day)
            _refuse_unless(held is not None, "账号不存在")
            found.append({"date": f"{day:%Y%m%d}", "balance": str(held.book if held else "")})
        head = {"accountNo": number, "accountNm": "", "mngNode": "", "cryType": ""}
        return "AAAAAAA", [*_elements(head), _list(found)]

    def _entries(self, root: etree._Element, books: Books) -> Parts:
        given = _head(root)
        number, first, last = given["accountNo"], _day(given["startDate"]), _day(given["endDate"])
        wanted, begin = int(given["pageNumber"]), int(given["startRecord"])
        _refuse_unless(first <= last and (last - first).days < 92, "日期范围错误")
        _refuse_unless(1 <= wanted <= 20 and 1 <= begin <= 9999, "查询条数错误")
        held = books.holding(number)
        _refuse_unless(held is not None, "账号不存在")
        low, high = _money(given["lowAmount"]).minor, _money(given["upAmount"]).minor
        entries = [one for one in books.entries(number, first, last) if low <= one.amount.minor <= high]
        if self.conduct.newest_first:
            entries.reverse()
        if not entries and self.conduct.no_data:
            raise Refused("TWIN003", "没有符合条件的记录")
        begin = 1 if self.conduct.stuck else begin
        # The odd row is the first of all, and has a number like the others.
        odd = self.conduct.odd_rows and bool(entries)
        shift = odd and begin > 1
        page = entries[begin - 1 - shift : begin - 1 - shift + wanted - (odd and begin == 1)]
        told = [self._entry(one, int(given["controlFlag"] or "0")) for one in page]
        if odd and begin == 1:
            told.insert(0, dict.fromkeys(told[0], ""))
        counts = {
            "accountNo": number, "accountName": held.holder if held else "", "openBankName": "中信银行示例支行",
            "totalRecords": str(len(entries) + odd),
            "returnRecords": str(len(told) + self.conduct.wrong_count),
        }  # fmt: skip
        if self.conduct.no_total:
            del counts["totalRecords"]
        return "AAAAAAA", [*_elements(counts), _list(told)]

    def _entry(self, one: Entry, control: int) -> Leaves:
        """A row. controlFlag 1 and more tell of reversals, 2 and more who gave the entry its number (citic.md 4)."""
        origin = next((client for client, lines in self._bundled.items() if one.reference in lines), one.reference)
        more: Leaves = {"chkNum": "", "rlTranNo": "", "rfTranDt": "", "rfTranNo": ""} if control >= 1 else {}
        number: Leaves = {"oriNum": "" if self.conduct.no_origin else origin} if control >= 2 else {}
        return {**_entry(one), **more, **number}

    # ---- receipts ---------------------------------------------------------------------------------------------

    def _receipts(self, root: etree._Element, books: Books) -> Parts:
        given = _head(root)
        first, last = _day(given["startDate"]), _day(given["endDate"])
        today = books.now().astimezone(_ZONE).date()
        _refuse_unless(given["qryType"] == ("1" if first == today else "2") and first <= last, "查询类型错误")
        low, high, begin = _money(given["minAmt"]).minor, _money(given["maxAmt"]).minor, int(given["startNo"])
        found = [
            {"bresqNo": f"R{one.number:08d}", "billType": "01", "transeqNo": _number(one), "tranAmt": str(one.amount),
             "brStt": "0", "cdfg": "D" if one.direction is Direction.DEBIT else "C"}
            for one in books.entries(given["accNo"], first, last) if low <= one.amount.minor <= high
        ]  # fmt: skip
        return "AAAAAAA", [_list(found[begin - 1 : begin - 1 + int(given["pageSize"])])]

    def _receipt(self, root: etree._Element, books: Books) -> Parts:
        given, lines = _head(root), _rows(root)
        _refuse_unless(given["isCurrDay"] in ("1", "2"), "当日标志错误")
        everything = books.entries(given["accNo"], date(2000, 1, 1), date(2100, 1, 1))
        wanted = [one for one in everything if f"R{one.number:08d}" == lines[0]["brSeqNo"]]
        _refuse_unless(len(lines) == 1 and len(wanted) == 1, "回单不存在")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{lines[0]['brSeqNo']}.pdf", f"%PDF-1.4\n% {_number(wanted[0])} {wanted[0].amount}\n")
        content = base64.b64encode(packed.getvalue()).decode("ascii")
        told = {"fileConTent": content, "fileName": "receipts.zip", "size": str(len(packed.getvalue()))}
        return "AAAAAAA", _elements(told)


# ---- reading and writing -----------------------------------------------------------------------------------------


def _texts(element: etree._Element) -> Iterator[tuple[str, str]]:
    for child in element:
        if child.tag != "list":
            yield str(child.tag), (child.text or "").strip()


class _Given(dict[str, str]):
    """The elements of a request; one that is not there is the bank's error, not the program's."""

    def __missing__(self, key: str) -> str:
        raise Refused("TWIN000", f"缺少要素{key}")


def _head(root: etree._Element) -> _Given:
    found = list(_texts(root))
    _refuse_unless(len({tag for tag, _ in found}) == len(found), "要素重复")
    return _Given(found)


def _rows(root: etree._Element) -> list[dict[str, str]]:
    lists = [one for one in root.iterchildren("list") if one.get("name") == "userDataList"]
    _refuse_unless(len(lists) == 1 and len(lists[0]) > 0, "缺少数据")
    return [_Given(_texts(one)) for one in lists[0].iterchildren("row")]


def _elements(leaves: Leaves) -> list[Markup]:
    return [el(tag, text) for tag, text in leaves.items()]


def _list(each: Sequence[Leaves]) -> Markup:
    # The bank adds fields at any time; one stands in every row.
    return el("list", [el("row", _elements({**one, "rsvField": ""})) for one in each], name="userDataList")


def _refuse_unless(fits: bool, what: str) -> None:
    if not fits:
        raise Refused("TWIN000", what)


def _client_id(given: Leaves) -> str:
    _refuse_unless(re.fullmatch("[0-9A-Za-z]{1,20}", given["clientID"]) is not None, "clientID错误")
    return given["clientID"]


def _money(text: str) -> Money:
    _refuse_unless(re.fullmatch(r"[0-9]{1,13}\.[0-9]{2}", text) is not None, "金额格式错误")
    try:
        return Money.parse(text)
    except BadMoney:
        raise Refused("TWIN000", "金额格式错误") from None


def _instruction(reference: str, ours: str, theirs: str, name: str, line: Leaves) -> Instruction:
    amount = _money(line["tranAmount"])
    _refuse_unless(amount.minor > 0 and bool(ours) and bool(theirs) and bool(name), "要素错误")
    for text, most in ((line["abstract"], 102), (name, 122), (theirs, 32), (line.get("memo", ""), 60)):
        _refuse_unless(GBK.byte_length(text) <= most, "要素超长")
    return Instruction(reference, ours, theirs, name, amount, line["abstract"])


def _known_as(text: str, client: str, number: int) -> str:
    """A line's reference in the books: the enterprise's own, if the line's text begins with one."""
    found = re.match("[0-9A-Z]{20}(?= |$)", text)
    return found.group() if found else f"{client}-{number}"


def _day(text: str) -> date:
    _refuse_unless(re.fullmatch("[0-9]{8}", text) is not None, "日期错误")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise Refused("TWIN000", "日期错误") from None


def _number(entry: Entry) -> str:
    """tranNo: an entry for a fee carries that of the payment before it."""
    return f"{entry.number - entry.fee:014d}"


def _entry(one: Entry) -> Leaves:
    return {
        "tranDate": f"{one.bank_date:%Y%m%d}", "tranTime": f"{one.at.astimezone(_ZONE):%H%M%S}", "tranNo": _number(one),
        "sumTranNo": "", "tranAmount": str(one.amount),
        "creditDebitFlag": "D" if one.direction is Direction.DEBIT else "C",
        "oppAccountNo": one.counterparty_account, "oppAccountName": one.counterparty_name, "oppOpenBankName": "",
        "abstract": one.text, "cashTransferFlag": "1", "opId": "", "opName": "", "ckId": "", "ckName": "",
        "balance": str(one.balance_after), "valueDate": f"{one.bank_date:%Y%m%d}", "hostTranCode": "",
        "e3rtDate": f"{one.bank_date:%Y%m%d}" if one.text == "returned" else "",
        "e3rtFlag": "0" if one.text == "returned" else "1",
    }  # fmt: skip


def build(options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
    """The twin under `options`; it signs nothing, so `keys` may be empty. Raises BadOptions on an unknown option."""
    known: Sequence[str] = [one.name for one in fields(Conduct)]
    for key in options:
        if key not in known:
            raise BadOptions(key, f"no such option of the twin; there are {', '.join(known)}")
    return FrontEnd(Conduct(**options))
