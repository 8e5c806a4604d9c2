"""The bank's front end as its own page describes it, written from that and not from our adapter.

Each request is judged by twin_rules.py before anything else. The page has a code for few mistakes: BLR0024 and BLR0027
(no such account of the payer, of the payee), ED01016 (the lower amount is empty). Statuses that begin with TWIN are
this twin's own: TWIN000 a request that breaks a rule, TWIN001 a repeated clientID, TWIN002 an order refused without a
known code, TWIN005 a text that is no account, TWIN006 a detail before its summary, TWIN007 a schedule, which is not
simulated here.

Options. `login` (any, if left out); `no_data`, the status of an empty list of entries (PBRA001, ES88363, EEEEEEE, or
AAAAAAA with no row); and `not_known`, that of an unknown clientID (ED02083, PBRA001, or AAAAAAA with no row). Faults,
each off if left out: `busy` is a status (ED11308, ED07018, ED12002) that answers the first call of each action;
`refuse_at_once` answers a refused order with its code instead of accepting it; `approval` answers AAAAAAB and leaves
accepted orders in 审核中; `eeeeeee` and `client_code` answer EEEEEEE or a client code after booking; `http_500` answers
500 after booking; `another` states an amount that is not the order's; `query_fails` answers DLCIDSTT with a client
code; `unlisted` gives it stt 5; `contradicts` puts 处理失败 beside stt 0; `wants_summary` answers TWIN006 to a detail
(…DET) of a message whose summary (…COL) was not asked for; `odd_rows` puts an empty entry in front of the list;
`no_memo` leaves a batch line's memo empty; `stuck` answers every question for entries with the first page;
`wrong_count` counts one entry too many; `no_keys` leaves the line's number out of a batch's lines; `gb18030` declares
GB2312 and writes beyond GBK; `late_answers` answers an enquiry after orders with the answer to the previous one;
`no_total` leaves totalRecords out; `newest_first` puts the newest entry first; `no_origin` leaves oriNum of an entry
empty.
"""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, timedelta, timezone
from typing import Any, Final

from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.banks.citic.twin_checks import ENVELOPE_ROW, MALFORMED, NO_ACCOUNT, OPERATIONS_ROW, rules_at
from protocols.banks.citic.twin_request import (
    REQUEST_BYTES_MAX,
    Refused,
    broken,
    day_of,
    odd_lists,
    parsed,
    rows_of,
    texts_of,
    unknown_accounts,
)
from protocols.banks.citic.twin_rules import HEAD, RULES
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.judge import RequestFinding, RuleKind, XmlFields, value
from protocols.kit import http
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Booked, Booking, Books, Duplicate, DuplicateBundle, Entry, Instruction, Twin

_ZONE: Final = timezone(timedelta(hours=8))
_TAKEN: Final = "已提交银行处理，需稍后使用交易状态查询交易进行查询"
_MONEY: Final = ("DLOUTTRN", "DLINETRN", "CMMANSWP", "CMDWNSWP", "DLPAYBAT", "DLSALIMP", "DLAGENTF")
_SUMMARIES: Final = {"DLBATCOL": "DLPAYBAT", "DLSALCOL": "DLSALIMP", "DLAGECOL": "DLAGENTF"}
_ENQUIRIES: Final = ("DLCIDSTT", "DLBATDET", "DLSALDET", "DLAGEDET")
_ROW: Final = {
    Booked.TAKEN: "CCCCCCC",
    Booked.SETTLED: "AAAAAAA",
    Booked.REFUSED: "ED02093",
    Booked.RETURNED: "AAAAAAA",
}
_STT: Final = {Booked.TAKEN: "2", Booked.SETTLED: "0", Booked.REFUSED: "1", Booked.RETURNED: "0"}
_TEXT: Final = {
    "CCCCCCC": "处理中",
    "AAAAAAA": "交易成功",
    "AAAAAAD": "扣款成功",
    "ED02093": "处理失败",
    "ED02087": "审核中",
    "ED02083": "没有此笔交易",
}
_REFUSED: Final = {"unknown_account": "BLR0024", "insufficient_funds": "CPRA004"}
Leaves = Mapping[str, str]
Parts = tuple[str, list[Markup]]


@dataclass(frozen=True, slots=True)
class Conduct:
    """The switches of the twin, which the module's description lists."""

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
    no_data: str = "PBRA001"
    not_known: str = "ED02083"
    busy: str = ""
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
    """The simulated front end with its bank. A line's number is kept in memory, because the books do not keep it."""

    conduct: Conduct
    ports: tuple[str, ...] = ("business",)
    _actions: dict[str, str] = field(default_factory=dict)
    _numbers: dict[str, str] = field(default_factory=dict)
    _bundles: dict[str, str] = field(default_factory=dict)
    _bundled: dict[str, frozenset[str]] = field(default_factory=dict)
    _summed: set[str] = field(default_factory=set)
    _lines: dict[str, Leaves] = field(default_factory=dict)
    _hidden: set[str] = field(default_factory=set)
    _busied: set[str] = field(default_factory=set)
    _late: Parts | None = None

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port == "business", port
        return http.HttpRequests().cutter(REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close. A request that breaks a rule of the page is refused, and nothing is booked."""
        action, root, parts, findings = "", None, list[Markup](), tuple[RequestFinding, ...]()
        try:
            root = parsed(request)
            action = (root.findtext("action") or "").strip()
            status, parts = self._called(action, root, books)
            if self.conduct.late_answers and action in _ENQUIRIES:
                meant, before = (status, parts), self._late
                self._late = meant
                status, parts = before or meant
            text = _TAKEN if action in _MONEY else _TEXT.get(status, "没有符合条件的记录")
        except Refused as refused:
            status, text, findings = refused.status, refused.text, refused.findings
        if action in _MONEY and not findings and not status.startswith("TWIN"):
            if self.conduct.eeeeeee:
                status, text, parts = "EEEEEEE", "交易未产生", []
            if self.conduct.client_code:
                status, text, parts = "ET00001", "客户端与银行通讯异常", []
            if self.conduct.http_500:
                data = http.answer(500, (), b"<html/>", "Internal Server Error")
                return Answer(data, True, action, "HTTP 500", "Internal Server Error")
        data = self._framed(status, text, parts)
        if root is not None and action == "DLBALQRY" and status == "AAAAAAA":
            findings = unknown_accounts(root, books)
            status, text = (findings[0].refusal.code, findings[0].refusal.text) if findings else (status, text)
        return Answer(data, True, action, status, text, findings)

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
        if action not in known:
            words = ("is no action of this front end", "没有此交易代码")
            raise broken("action", RuleKind.OPERATION, action, OPERATIONS_ROW, words)
        if self.conduct.busy and action not in self._busied:
            self._busied.add(action)
            raise Refused(self.conduct.busy, "请求过于频繁或正在登录")
        self._judge(action, root, books)
        return known[action](root, books)

    def _judge(self, action: str, root: etree._Element, books: Books) -> None:
        """Refuse a request that breaks rules of the page, with every rule that it breaks."""
        given, table = XmlFields(root), RULES[action]
        found = [one for rule in HEAD for one in rule.judged(given, "", MALFORMED)]
        found += odd_lists(root, table)
        login = value(given, "userName")
        if not found and self.conduct.login and login != self.conduct.login:
            words = ("is no login name of this customer", "登录名不存在")
            found = list(broken("userName", RuleKind.HEADER, login, ENVELOPE_ROW, words).findings)
        found += table.findings(given, books)
        if not found:
            timed = rules_at(action, books.now())
            found = [one for rule in timed for one in rule.judged(given, books, table.refusal)]
        if found:
            refusal = found[0].refusal
            raise Refused(refusal.code, f"{refusal.text} ({found[0].place})", tuple(found))
        if value(given, "preFlg") == "1":
            raise Refused("TWIN007", "本模拟银行不办理预约")

    # ---- one order --------------------------------------------------------------------------------------------

    def _pay(self, root: etree._Element, books: Books) -> Parts:
        given = texts_of(root)
        order = _instruction(
            given["clientID"],
            given["payAccountNo"],
            given["recAccountNo"],
            given.get("recAccountName") or books.holder_of(given["recAccountNo"]) or "",
            given,
        )
        booking = self._handed_in(order, given["action"], books)
        told = str(order.amount) if not self.conduct.another else "0.01"
        return "AAAAAAB" if self.conduct.approval else "AAAAAAE", _elements({
            "tranDate": f"{booking.bank_date:%Y%m%d}", "tranTime": f"{booking.at.astimezone(_ZONE):%H%M%S}",
            "tranNo": "", "payAccountNo": order.debtor_account, "payAccountName": "", "payOpenBankName": "",
            "recAccountNo": order.creditor_account, "recAccountName": order.creditor_name,
            "recOpenBankName": given.get("recOpenBankName", ""), "tranAmount": told, "abstract": order.purpose,
        })  # fmt: skip

    def _sweep(self, root: etree._Element, books: Books) -> Parts:
        """Answer CMMANSWP and CMDWNSWP, between the group's account and a member's, with a status only."""
        given = texts_of(root)
        upper, member = given["conAccountNo" if given["action"] == "CMMANSWP" else "coreAccountNo"], given["accountNo"]
        payer, payee = (member, upper) if given["action"] == "CMMANSWP" else (upper, member)
        order = _instruction(given["clientID"], payer, payee, books.holder_of(payee) or "", given)
        self._handed_in(order, given["action"], books)
        return "AAAAAAB" if self.conduct.approval else "AAAAAAE", []

    def _handed_in(self, order: Instruction, action: str, books: Books) -> Booking:
        try:
            booking = books.book_once(order)
        except Duplicate:
            raise Refused("TWIN001", "clientID重复") from None
        if booking.booked is Booked.REFUSED and self.conduct.refuse_at_once:
            self._hidden.add(order.reference)
            raise Refused(_REFUSED.get(booking.reason, "TWIN002"), booking.reason)
        self._actions[order.reference] = action
        return booking

    def _state(self, root: etree._Element, books: Books) -> Parts:
        given = texts_of(root)
        reference, action = given["clientID"], given.get("type", "")
        if self.conduct.query_fails:
            raise Refused("ED10001", "通讯异常")
        booking = None if reference in self._hidden else books.find(reference)
        if booking is None or action not in ("", self._actions.get(reference, action)):
            return self.conduct.not_known, [_list([])]
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
        lines = rows_of(root)
        taken = self._taken(
            root,
            lines,
            books,
            [
                (line["ID"], line["memo"], line["payAccountNo"], line["recAccountNo"], line["recAccountName"])
                for line in lines
            ],
        )
        total = str(Money(sum(one.instruction.amount.minor for one in taken)))
        totals = {"sucTotalNum": str(len(taken)), "sucTotalAmt": total, "errTotalNum": "0", "errTotalAmt": "0.00"}
        each = [{"ID": line["ID"], "status": "AAAAAAE", "statusText": _TAKEN} for line in lines]
        return "AAAAAAE", [*_elements(totals), _list(each)]

    def _payroll(self, root: etree._Element, books: Books) -> Parts:
        given, lines = texts_of(root), rows_of(root)
        for line in lines:
            line["abstract"] = given["abstract"] or line["wagDetl"]
        self._taken(
            root,
            lines,
            books,
            [
                (line["employeeNo"], line["wagDetl"], given["payAccountNo"], line["recAccountNo"], line["employeeName"])
                for line in lines
            ],
        )
        return "AAAAAAF", _elements({"batchNo": "001"})

    def _collection(self, root: etree._Element, books: Books) -> Parts:
        given, lines = texts_of(root), rows_of(root)
        self._taken(
            root,
            lines,
            books,
            [
                ("", line["abstract"], given["rcvAccountNo"], line["payAccountNo"], line["payAccountName"])
                for line in lines
            ],
        )
        return "AAAAAAF", _elements({"batchNo": "001"})

    def _taken(
        self,
        root: etree._Element,
        lines: list[dict[str, str]],
        books: Books,
        wanted: Sequence[tuple[str, str, str, str, str]],
    ) -> tuple[Booking, ...]:
        given = texts_of(root)
        client, collects = given["clientID"], given["action"] == "DLAGENTF"
        keys = [key for key, *_ in wanted]
        orders = [
            replace(_instruction(_known_as(text, client, number), ours, theirs, name, line), collects=collects)
            for number, (line, (_, text, ours, theirs, name)) in enumerate(zip(lines, wanted, strict=True))
        ]
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
        """Answer with the messages of a kind. A row's fields besides clientID and status are a guess of this twin."""
        given, found = texts_of(root), list[Leaves]()
        for client, action in self._bundles.items():
            bookings = books.bundle(client)
            if action != _SUMMARIES[given["action"]] or not bookings:
                continue
            self._summed.add(client)
            open_ = any(one.booked is Booked.TAKEN for one in bookings)
            total = Money(sum(one.instruction.amount.minor for one in bookings))
            found.append(
                {
                    "clientID": client,
                    "totalNumber": str(len(bookings)),
                    "totalAmount": str(total),
                    "status": "CCCCCCC" if open_ else "AAAAAAA",
                    "statusText": "",
                }
            )
        return "AAAAAAA", [_list(found)]

    def _detailed(self, given: Leaves, books: Books) -> tuple[Booking, ...]:
        client = given["clientID"]
        if self.conduct.wants_summary and client in self._bundles and client not in self._summed:
            raise Refused("TWIN006", "请先查询汇总")
        return books.bundle(client)

    def _batch_lines(self, root: etree._Element, books: Books) -> Parts:
        return "AAAAAAA", [_list([self._batch_line(one) for one in self._detailed(texts_of(root), books)])]

    def _batch_line(self, booking: Booking) -> Leaves:
        """A row of DLBATDET, which has no ID (banks/citic.md 9)."""
        order, said = booking.instruction, self._lines.get(booking.instruction.reference, {})
        status = _ROW[booking.booked]
        echo = {tag: said.get(tag, "") for tag in ("recOpenBankCode", "recOpenBankName", "payType")}
        return {
            "payAccountNo": order.debtor_account,
            "recAccountNo": order.creditor_account,
            "recAccountName": order.creditor_name,
            **echo,
            "tranAmount": str(order.amount),
            "abstract": order.purpose,
            "memo": "" if self.conduct.no_memo else said.get("memo", ""),
            "status": status,
            "statusText": booking.reason or _TEXT[status],
        }

    def _paged_lines(self, root: etree._Element, books: Books) -> Parts:
        given = texts_of(root)
        key = "employeeNo" if given["action"] == "DLSALDET" else ""
        lines = [self._line(one, key) for one in self._detailed(given, books)]
        wanted, begin = int(given.get("pageNumber") or len(lines)), int(given.get("startRecord") or 1)
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
        return (
            number
            | other
            | {
                "tranAmount": str(order.amount),
                "abstract": order.purpose,
                "status": status,
                "statusText": booking.reason or _TEXT[status],
            }
        )

    # ---- accounts ---------------------------------------------------------------------------------------------

    def _balances(self, root: etree._Element, books: Books) -> Parts:
        return "AAAAAAA", [_list([self._balance(line["accountNo"], books) for line in rows_of(root)])]

    def _balance(self, number: str, books: Books) -> Leaves:
        held = books.holding(number)
        if held is None:
            refusal = NO_ACCOUNT
            return {"status": refusal.code, "statusText": refusal.text, "accountNo": number}
        return {
            "status": "AAAAAAA", "statusText": "交易成功", "accountNo": number, "accountName": held.holder,
            "currencyID": "01", "openBankName": "中信银行示例支行", "lastTranDate": "",
            "usableBalance": str(held.book - held.frozen), "balance": str(held.book), "forzenAmt": str(held.frozen),
            "frozenFlag": "", "accountType": "", "lawptLmt": "0.00",
        }  # fmt: skip

    def _past(self, root: etree._Element, books: Books) -> Parts:
        given = texts_of(root)
        number, first = given["accountNo"], day_of(given["startDate"])
        # The page does not refuse a period that is not over; a day that is not over has no closing balance.
        last = min(day_of(given["endDate"]), books.now().astimezone(_ZONE).date() - timedelta(days=1))
        found = []
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            held = books.holding(number, day)
            found.append({"date": f"{day:%Y%m%d}", "balance": str(held.book if held else "")})
        head = {"accountNo": number, "accountNm": "", "mngNode": "", "cryType": ""}
        return "AAAAAAA", [*_elements(head), _list(found)]

    def _entries(self, root: etree._Element, books: Books) -> Parts:
        given = texts_of(root)
        number, first, last = given["accountNo"], day_of(given["startDate"]), day_of(given["endDate"])
        wanted, begin = int(given["pageNumber"]), int(given["startRecord"])
        held = books.holding(number)
        low, high = Money.parse(given["lowAmount"]).minor, Money.parse(given["upAmount"]).minor
        entries = [one for one in books.entries(number, first, last) if low <= one.amount.minor <= high]
        if self.conduct.newest_first:
            entries.reverse()
        begin = 1 if self.conduct.stuck else begin
        # The unreadable row is the first of all, and has a number like the others.
        odd = self.conduct.odd_rows and bool(entries)
        shift = odd and begin > 1
        page = entries[begin - 1 - shift : begin - 1 - shift + wanted - (odd and begin == 1)]
        told = [self._entry(one, int(given["controlFlag"])) for one in page]
        if odd and begin == 1:
            told.insert(0, dict.fromkeys(told[0], ""))
        counts = {
            "accountNo": number,
            "accountName": held.holder if held else "",
            "openBankName": "中信银行示例支行",
            "totalRecords": str(len(entries) + odd),
            "returnRecords": str(len(told) + self.conduct.wrong_count),
        }
        if self.conduct.no_total:
            del counts["totalRecords"]
        return "AAAAAAA" if entries else self.conduct.no_data, [*_elements(counts), _list(told)]

    def _entry(self, one: Entry, control: int) -> Leaves:
        """A row. controlFlag 1 and above shows reversals, 2 and above also the origin of the entry's number (citic.md
        4).
        """
        origin = next((client for client, lines in self._bundled.items() if one.reference in lines), one.reference)
        more: Leaves = {"chkNum": "", "rlTranNo": "", "rfTranDt": "", "rfTranNo": ""} if control >= 1 else {}
        number: Leaves = {"oriNum": "" if self.conduct.no_origin else origin} if control >= 2 else {}
        return {**_entry(one), **more, **number}

    # ---- receipts ---------------------------------------------------------------------------------------------

    def _receipts(self, root: etree._Element, books: Books) -> Parts:
        given = texts_of(root)
        first, last = day_of(given["startDate"]), day_of(given["endDate"])
        low, high, begin = Money.parse(given["minAmt"]), Money.parse(given["maxAmt"]), int(given["startNo"])
        found = [
            {"bresqNo": _receipt_number(one, given["qryType"]), "billType": "3" if one.fee else "1",
             "transeqNo": _number(one), "tranAmt": str(one.amount), "brStt": "1",
             "cdfg": "D" if one.direction is Direction.DEBIT else "C"}
            for one in books.entries(given["accNo"], first, last) if low.minor <= one.amount.minor <= high.minor
        ]  # fmt: skip
        found = [one for one in found if given["billType"] in ("0", one["billType"])]
        return "AAAAAAA", [_list(found[begin - 1 : begin - 1 + int(given["pageSize"])])]

    def _receipt(self, root: etree._Element, books: Books) -> Parts:
        given, lines = texts_of(root), rows_of(root)
        entries = books.entries(given["accNo"], date(2000, 1, 1), date(2100, 1, 1))
        known = {_receipt_number(one, given["isCurrDay"]): one for one in entries}
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, line in enumerate(lines, start=1):
                one = known.get(line["brSeqNo"])
                if one is None:
                    place = f"list/row[{number}]/brSeqNo"
                    words = ("is no receipt of this account", "该账号没有此回单")
                    raise broken(place, RuleKind.BOOKS, line["brSeqNo"], OPERATIONS_ROW, words)
                archive.writestr(f"{line['brSeqNo']}.pdf", f"%PDF-1.4\n% {_number(one)} {one.amount}\n")
        content = base64.b64encode(packed.getvalue()).decode("ascii")
        told = {"fileConTent": content, "fileName": "receipts.zip", "size": str(len(packed.getvalue()))}
        return "AAAAAAA", _elements(told)


# ---- reading and writing -----------------------------------------------------------------------------------------


def _elements(leaves: Leaves) -> list[Markup]:
    return [el(tag, text) for tag, text in leaves.items()]


def _list(each: Sequence[Leaves]) -> Markup:
    # The bank adds fields at any time; one stands in every row.
    return el("list", [el("row", _elements({**one, "rsvField": ""})) for one in each], name="userDataList")


def _instruction(reference: str, ours: str, theirs: str, name: str, line: Leaves) -> Instruction:
    return Instruction(reference, ours, theirs, name, Money.parse(line["tranAmount"]), line.get("abstract", ""))


def _known_as(text: str, client: str, number: int) -> str:
    """A line's reference in the books: the enterprise's own, if the line's text begins with one."""
    found = re.match("[0-9A-Z]{20}(?= |$)", text)
    return found.group() if found else f"{client}-{number}"


def _receipt_number(entry: Entry, current: str) -> str:
    """A receipt's number: 28 digits at T+0 (`current` 1), 46 at T+1. The two number systems have nothing in common."""
    return f"{entry.bank_date:%Y%m%d}{entry.number:020d}" if current == "1" else f"9{entry.number:045d}"


def _number(entry: Entry) -> str:
    """tranNo of an entry. An entry for a fee has the number of the payment before it."""
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
