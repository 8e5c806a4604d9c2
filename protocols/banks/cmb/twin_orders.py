"""The bank's side of orders: what the front end's twin does with payments, payrolls, collections and notices.

The books know an order by its reference. Which references came on which day, and the results of large batches, are
remembered here as long as the twin lives; what a message was is found again in the books by its own reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta, timezone
from typing import Final

from lxml import etree

from protocols.canon.money import BadMoney, Money
from protocols.kit.charset import GBK
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Booked, Booking, Books, Duplicate, DuplicateBundle, Instruction

_ZONE: Final = timezone(timedelta(hours=8))
_LINES_SYNC, _LINES_MOST = 30, 1500
_REQSTS: Final = {Booked.TAKEN: "BNK", Booked.SETTLED: "FIN", Booked.REFUSED: "FIN", Booked.RETURNED: "FIN"}
_RTNFLG: Final = {Booked.TAKEN: "", Booked.SETTLED: "S", Booked.REFUSED: "F", Booked.RETURNED: "B"}
_BIG: Final = {Booked.TAKEN: "A", Booked.SETTLED: "S", Booked.REFUSED: "E", Booked.RETURNED: "S"}
_SMALL: Final = {Booked.TAKEN: "I", Booked.SETTLED: "S", Booked.REFUSED: "F", Booked.RETURNED: "S"}
_NO_NUMBER: Final = "0000000000"
_DETAIL_PAGE: Final = 1000


class Refused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """The call as a whole is answered with RETCOD `code` and ERRMSG `text`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.code, self.text = code, text


def texts(element: etree._Element) -> Iterator[tuple[str, str]]:
    """The fields of an interface; one that comes twice is refused."""
    seen: set[str] = set()
    for child in element:
        if child.tag in seen:
            raise Refused("-3", f"字段重复{child.tag!s}")
        seen.add(str(child.tag))
        yield str(child.tag), (child.text or "").strip()


def row(name: str, leaves: Mapping[str, str]) -> Markup:
    """One output interface, its fields in alphabetical order."""
    return el(name, [el(tag, leaves[tag]) for tag in sorted(leaves)])


def _number(booking: Booking) -> str:
    return re.sub("[^0-9]", "", booking.bank_serial)[-10:].zfill(10)


def _refuse_unless(fits: bool, what: str) -> None:
    if not fits:
        raise Refused("-3", what)


def _money(text: str) -> Money:
    try:
        amount = Money.parse(text)
    except BadMoney:
        raise Refused("-3", "金额格式错误") from None
    _refuse_unless(0 < amount.minor < 10**13, "金额超限")
    return amount


@dataclass(frozen=True, slots=True)
class _Handed:
    """A line as it was handed in: the booking, or None for a reference that was known."""

    reference: str
    booking: Booking | None
    number: int


@dataclass(slots=True)
class Orders:
    """Everything the bank is told to do. The switches are described in twin.py."""

    at_once: bool = False
    refuse_bare: bool = False
    refused_unlisted: bool = False
    twice: bool = False
    blind: bool = False
    whole_batch: bool = False
    dressed: bool = False
    no_status: bool = False
    odd_row: bool = False
    functions: Mapping[str, Callable[[etree._Element, Books], list[Markup]]] = field(init=False)
    _days: dict[tuple[str, str], date] = field(default_factory=dict)
    _accounts: dict[str, str] = field(default_factory=dict)
    _results: dict[str, list[_Handed]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _unlisted: set[str] = field(default_factory=set)
    _messages: dict[str, str] = field(default_factory=dict)
    _sequence: dict[str, str] = field(default_factory=dict)
    _beside: dict[str, Mapping[str, str]] = field(default_factory=dict)  # what a client wrote beside an agency line

    def __post_init__(self) -> None:
        self.functions = {
            "DCPAYMNT": self._pay, "DCOPRTRF": self._transfer, "NTQRYSTY": self._by_reference,
            "NTQRYSTN": self._by_date, "NTSTLINF": self._by_number, "GetNewNotice": self._new_notices,
            "GetHisNoticeEX": self._old_notices, "GetBatchPayOprRes": self._result, "AgentRequest": self._agent,
            "NTAGCSAL": self._payroll, "NTAGCACL": self._collection, "NTAGCINY": self._agency_state,
            "NTAGDRFD": self._refunds, "NTAGDINF": self._agency_lines, "GetAgentDetail": self._agent_lines,
        }  # fmt: skip

    # ---- payments handed in -----------------------------------------------------------------------------------

    def _pay(self, root: etree._Element, books: Books) -> list[Markup]:
        head = dict(texts(_one(root, "SDKPAYRQX")))
        _refuse_unless(bool(head.get("BUSCOD")) and bool(head.get("BUSMOD")), "业务模式错误")
        lines = [dict(texts(one)) for one in root.iterchildren("DCOPDPAYX")]
        return self._handed_in(head["BUSCOD"], [self._payment(line) for line in lines], books)

    def _transfer(self, root: etree._Element, books: Books) -> list[Markup]:
        _refuse_unless(bool(dict(texts(_one(root, "SDKPAYRQX"))).get("BUSMOD")), "业务模式错误")
        lines = [dict(texts(one)) for one in root.iterchildren("DCOPRTRFX")]
        _refuse_unless(len(lines) <= _LINES_SYNC, "笔数超限")
        wanted = [_instruction(line, "内部转账") for line in lines]
        return self._handed_in("N02041", wanted, books)

    def _payment(self, line: Mapping[str, str]) -> Instruction:
        name = line.get("CRTNAM") or line.get("LRVEAN") or ""
        _refuse_unless(bool(name), "收方户名不能为空")
        for tag, most in (("NUSAGE", 62), ("CRTNAM", 62), ("LRVEAN", 200), ("CRTBNK", 62), ("CRTADR", 62)):
            _refuse_unless(GBK.byte_length(line.get(tag, "")) <= most, f"{tag}超长")
        _refuse_unless(line.get("BNKFLG") in ("Y", "N"), "系统内标志错误")
        if line["BNKFLG"] == "N":
            _refuse_unless(bool(line.get("CRTBNK")) and bool(line.get("CRTADR")), "收方开户行和地址不能为空")
            _refuse_unless(line.get("STLCHN") in ("N", "F"), "结算方式错误")
        return _instruction(line, name)

    def _handed_in(self, code: str, wanted: list[Instruction], books: Books) -> list[Markup]:
        _refuse_unless(1 <= len(wanted) <= _LINES_MOST, "笔数超限")
        today = books.now().astimezone(_ZONE).date()
        for one in wanted:
            self._days.setdefault((code, one.reference), today)
        handed = self._booked(wanted, books)
        for line in handed:
            if self.refused_unlisted and line.booking is not None and line.booking.booked is Booked.REFUSED:
                self._unlisted.add(line.reference)
        if len(handed) <= _LINES_SYNC:
            return [self._line("NTQPAYRQZ", one) for one in handed]
        self._results[f"{books.serial():010d}"] = handed
        return []

    def _booked(self, wanted: list[Instruction], books: Books) -> list[_Handed]:
        if len(wanted) == 1:
            try:
                return [_Handed(wanted[0].reference, books.take(wanted[0]), 1)]
            except Duplicate:
                return [_Handed(wanted[0].reference, None, 1)]
        try:
            bookings = books.take_bundle(wanted[0].reference, wanted)
        except DuplicateBundle:
            return [_Handed(one.reference, None, number) for number, one in enumerate(wanted, start=1)]
        return [
            _Handed(one.instruction.reference, None if one.reason == "duplicate" else one, number)
            for number, one in enumerate(bookings, start=1)
        ]

    def _line(self, name: str, handed: _Handed) -> Markup:
        booking = handed.booking
        if booking is None:
            # As captured: the repeat is dressed as a failure, without a number.
            return row(name, {
                "ERRCOD": "NCB4241", "ERRTXT": "NCB4241 -业务参考号重复", "OPRALS": "", "OPRSQN": "", "REQNBR": "",
                "REQSTS": "FIN", "RTNFLG": "F", "SQRNBR": _NO_NUMBER, "YURREF": handed.reference,
            })  # fmt: skip
        refused, settled = booking.booked is Booked.REFUSED, booking.booked is Booked.SETTLED
        ended = refused or (settled and self.at_once)
        return row(name, {
            "ERRCOD": "ERR0002" if refused else "SUC0000", "ERRTXT": booking.reason if refused else "", "OPRALS": "",
            "OPRSQN": "", "REQNBR": "" if refused and self.refuse_bare else _number(booking),
            "REQSTS": "FIN" if ended else "BNK", "RTNFLG": "F" if refused else "S" if ended else "",
            "SQRNBR": f"{handed.number:010d}", "YURREF": handed.reference,
        })  # fmt: skip

    # ---- what became of payments ------------------------------------------------------------------------------

    def _by_reference(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = dict(texts(_one(root, "NTQRYSTYX1")))
        first, last = _span(asked, books)
        if self.blind:
            return []
        return self._records(asked["BUSCOD"], [asked["YURREF"]], first, last, books)

    def _by_date(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = dict(texts(_one(root, "NTQRYSTNY1")))
        _refuse_unless(asked.get("DATFLG") in ("A", "B"), "日期类型错误")
        first, last = _span(asked, books)
        wanted = [reference for code, reference in self._days if code == asked["BUSCOD"]]
        found = self._records(asked["BUSCOD"], wanted, first, last, books)
        if self.odd_row and len(found) > 1:
            found[1] = Markup(re.sub("<DBTACC>.*?</DBTACC>", "", found[1]))
        return found

    def _records(self, code: str, wanted: Iterable[str], first: date, last: date, books: Books) -> list[Markup]:
        found: list[Markup] = []
        for reference in wanted:
            booking = None if reference in self._unlisted else books.find(reference)
            day = self._days.get((code, reference))
            if booking is None or (day is not None and not first <= day <= last):
                continue
            if day is None and not first <= booking.at.astimezone(_ZONE).date() <= last:
                continue
            number = _number(booking)
            self._accounts[number] = reference
            if self.twice:
                found.append(self._record(booking, f"9{number[1:]}", "FIN", "F"))
            found.append(self._record(booking, number, _REQSTS[booking.booked], _RTNFLG[booking.booked]))
        return found

    def _record(self, booking: Booking, number: str, reqsts: str, rtnflg: str) -> Markup:
        done = booking.instruction
        return row("NTSTLLSTZ", {
            "ATHFLG": "N", "BUSCOD": "N02031", "BUSMOD": "00001", "CCYNBR": "10", "CRTACC": done.creditor_account,
            "CRTBBK": "", "CRTNAM": done.creditor_name, "C_BUSCOD": "直接支付", "DBTACC": done.debtor_account,
            "DBTBBK": "75", "EPTDAT": "", "EPTTIM": "", "OPRDAT": f"{booking.bank_date:%Y%m%d}", "REQNBR": number,
            "REQSTS": reqsts, "RSV30Z": "", "RTNFLG": rtnflg, "TRSAMT": str(done.amount), "YURREF": done.reference,
        })  # fmt: skip

    def _by_number(self, root: etree._Element, books: Books) -> list[Markup]:
        found: list[Markup] = []
        for one in root.iterchildren("NTSTLINFX"):
            number = dict(texts(one)).get("REQNBR", "")
            booking = books.find(self._accounts.get(number, ""))
            if booking is None:
                continue
            back = booking.returned_on
            found.append(row("NTQPAYQYZ", {
                "BUSSTS": "A", "FEETYP": "", "RCVTYP": "A", "REGFLG": "", "TRSBRN": "",
                "REQNBR": number, "REQSTS": _REQSTS[booking.booked],
                "RTNDAT": f"{back:%Y%m%d}" if back else "", "RTNFLG": _RTNFLG[booking.booked],
                "RTNNAR": booking.reason, "YURREF": booking.instruction.reference,
            }))  # fmt: skip
        return found

    # ---- notices ----------------------------------------------------------------------------------------------

    def _new_notices(self, root: etree._Element, books: Books) -> list[Markup]:
        fresh = [one for one in self._results if one not in self._told]
        self._told.update(fresh)
        return [_notice(one) for one in fresh]

    def _old_notices(self, root: etree._Element, books: Books) -> list[Markup]:
        count = dict(texts(_one(root, "DCHISMSGX"))).get("RECNUM", "")
        _refuse_unless(count.isdigit() and 100 <= int(count) <= 2000, "记录数错误")
        return [_notice(one) for one in self._results if one in self._told]

    def _result(self, root: etree._Element, books: Books) -> list[Markup]:
        wanted = dict(texts(_one(root, "SDQPYRSTX"))).get("RSTSET", "")
        return [self._line("SDQPYRSTZ", one) for one in self._results.get(wanted, [])]

    # ---- payroll and collection -------------------------------------------------------------------------------

    def _payroll(self, root: etree._Element, books: Books) -> list[Markup]:
        return self._big(root, books, collects=False)

    def _collection(self, root: etree._Element, books: Books) -> list[Markup]:
        return self._big(root, books, collects=True)

    def _big(self, root: etree._Element, books: Books, *, collects: bool) -> list[Markup]:
        _refuse_unless(bool(dict(texts(_one(root, "NTBUSMODY"))).get("BUSMOD")), "业务模式错误")
        head = dict(texts(_one(root, "NTAGCAGCX1")))
        lines = [dict(texts(one)) for one in root.iterchildren("NTAGCDTLY1")]
        whole = head.get("BEGTAG") == head.get("ENDTAG") == "Y" and head.get("TTLNUM") == "1" and not head["REQNBR"]
        _refuse_unless(whole, "批次标志错误")
        sequence = [line.get("TRXSEQ", "") for line in lines]
        fine = all(re.fullmatch("[0-9]{8}", one) for one in sequence) and len(set(sequence)) == len(sequence)
        _refuse_unless(fine, "交易序号错误")
        wanted = [
            _agency_line(one.get("CPRREF") or f"{head['YURREF']}-{one['TRXSEQ']}", head["ACCNBR"], one, one["ACCNAM"],
                         one["TRSDSP"], collects)
            for one in lines
        ]  # fmt: skip
        totals = [("TTLAMT", "TTLCNT"), ("CURAMT", "CURCNT")]
        number = self._agency(head, wanted, totals, books)
        self._sequence |= {one.reference: place for one, place in zip(wanted, sequence, strict=True)}
        self._beside |= {one.reference: line for one, line in zip(wanted, lines, strict=True)}
        return [row("NTAGCAGCZ1", {"REQNBR": number, "REQSTA": "OPR", "RSV50Z": ""})]

    def _agent(self, root: etree._Element, books: Books) -> list[Markup]:
        head = dict(texts(_one(root, "SDKATSRQX")))
        _refuse_unless(head.get("BUSCOD") in ("N03010", "N03020", "N03030"), "业务类型错误")
        _refuse_unless(not head.get("EPTDAT"), "不支持期望日")
        lines = [dict(texts(one)) for one in root.iterchildren("SDKATDRQX")]
        for line in lines:
            _refuse_unless(GBK.byte_length(line.get("TRSDSP", "")) <= 20, "摘要超长")
        wanted = [
            _agency_line(line["TRSDSP"], head["DBTACC"], line, line["CLTNAM"], head.get("MEMO", ""),
                         head["BUSCOD"] == "N03030")
            for line in lines
        ]  # fmt: skip
        number = self._agency(head, wanted, [("SUM", "TOTAL")], books)
        self._beside |= {one.reference: line for one, line in zip(wanted, lines, strict=True)}
        return [row("NTREQNBRY", {"REQNBR": number, "RSV50Z": "OPR数据接收中"})]

    def _agency(self, head: Mapping[str, str], wanted: list[Instruction], totals: list[tuple[str, str]],
                books: Books) -> str:  # fmt: skip
        total = sum(one.amount.minor for one in wanted)
        _refuse_unless(bool(wanted) and bool(re.fullmatch("[0-9A-Za-z]{1,30}", head["YURREF"])), "业务参考号错误")
        for amount, count in totals:
            fits = head.get(count) == str(len(wanted)) and _money(head.get(amount, "")).minor == total
            _refuse_unless(fits, "总金额或总笔数不符")
        try:
            booked = books.take_bundle(head["YURREF"], wanted)
        except DuplicateBundle:
            raise Refused("-2", "NCB4241 -业务参考号重复") from None
        number = _number(booked[0])
        self._messages[number] = head["YURREF"]
        return number

    def _agency_state(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = dict(texts(_one(root, "NTAGCINYX1")))
        bookings = books.bundle(asked["YURREF"])
        if not bookings:
            return []
        if self.dressed:
            return [row("NTAGCINQZ", {
                "BUSCOD": asked["BUSCOD"], "ERRCOD": "NCB4241", "ERRDSP": "NCB4241 -业务参考号重复", "REQNBR": "",
                "REQSTA": "FIN", "RTNFLG": "F", "SUCAMT": "0.00", "SUCNUM": "0",
                "TOTAMT": str(Money(sum(one.instruction.amount.minor for one in bookings))),
                "TRSNUM": str(len(bookings)), "YURREF": asked["YURREF"],
            })]  # fmt: skip
        done = [one for one in bookings if one.booked in (Booked.SETTLED, Booked.RETURNED)]
        undecided = any(one.booked is Booked.TAKEN for one in bookings) and not self.whole_batch
        number = _number(bookings[0])
        self._messages[number] = asked["YURREF"]
        return [row("NTAGCINQZ", {
            "BUSCOD": asked["BUSCOD"], "ERRCOD": "SUC0000", "ERRDSP": "", "OPRALS": "", "OPRSQN": "",
            "OPRSTP": "", "REQNBR": number, "REQSTA": "BNK" if undecided else "FIN",
            "RTNFLG": "" if undecided else "S" if done or self.whole_batch else "F", "SUCAMT":
            str(Money(sum(one.instruction.amount.minor for one in done))), "SUCNUM": str(len(done)),
            "TOTAMT": str(Money(sum(one.instruction.amount.minor for one in bookings))),
            "TRSNUM": str(len(bookings)), "YURREF": asked["YURREF"],
        })]  # fmt: skip

    def _agency_lines(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = dict(texts(_one(root, "NTAGDINFY1")))
        bookings = self._message(asked["REQNBR"], books)
        begin = int(asked.get("TRXSEQ") or "0")
        # After a restart only the books are left, and a client's lines are numbered from 1 in their order.
        places = {
            one.instruction.reference: self._sequence.get(one.instruction.reference, f"{nth:08d}")
            for nth, one in enumerate(bookings, start=1)
        }
        page = [one for one in bookings if int(places[one.instruction.reference]) > begin][:_DETAIL_PAGE]
        silent = bookings[1:2] if self.no_status else ()
        rows = [
            row("NTAGCDTLY1", ({} if one in silent else {"STSCOD": _BIG[one.booked]}) | {
                "CPRACT": "", "EACBNK": "", "EACCTY": "", "FSTFLG": "", "RCVBNK": "",
                "ACCNAM": one.instruction.creditor_name, "ACCNBR": one.instruction.creditor_account, "BNKFLG": "Y",
                "ERRDSP": one.reason, "TRSAMT": str(one.instruction.amount),
                "TRSDSP": one.instruction.purpose, "TRXSEQ": places[one.instruction.reference],
                "CPRREF": "" if "-" in one.instruction.reference else one.instruction.reference,
            })
            for one in page
        ]  # fmt: skip
        if len(page) < _DETAIL_PAGE or page[-1] == bookings[-1]:
            return rows
        further = {"BTHNBR": "00000001", "HISTAG": "N", "REQNBR": asked["REQNBR"],
                   "TRXSEQ": places[page[-1].instruction.reference]}  # fmt: skip
        return [*rows, row("NTAGDINFY1", further)]

    def _agent_lines(self, root: etree._Element, books: Books) -> list[Markup]:
        bookings = self._message(dict(texts(_one(root, "SDKATDQYX")))["REQNBR"], books)
        return [
            row("NTQATDQYZ", {
                "ACCNBR": one.instruction.creditor_account, "BNKFLG": "Y", "CLTNAM": one.instruction.creditor_name,
                "ERRDSP": one.reason, "STSCOD": _SMALL[one.booked], "TRSAMT": str(one.instruction.amount),
                "TRSDSP": one.instruction.reference,
            })
            for one in bookings
        ]  # fmt: skip

    def _refunds(self, root: etree._Element, books: Books) -> list[Markup]:
        """NTAGDRFD: lines of payrolls that came back, as a public client's sample has them."""
        asked = dict(texts(_one(root, "NTAGDRFDY1")))
        _refuse_unless(bool(asked.get("BBKNBR")) and bool(asked.get("TRSTYP")), "查询条件错误")
        first, last = _span(asked, books)
        back = [one for one in books.returns(asked["ACCNBR"], first, last) if not one.instruction.collects]
        return [self._refund(one) for one in back if one.instruction.reference in self._beside]

    def _refund(self, booking: Booking) -> Markup:
        done = booking.instruction
        line = self._beside[done.reference]
        return row("NTAGDRFDZ1", {
            "BTHDTL": self._sequence.get(done.reference, ""), "CPRACT": line.get("CPRACT", ""), "CPRCNV": "",
            "EACNAM": done.creditor_name, "EACNBR": done.creditor_account, "REQNBR": _number(booking),
            "RTNCOD": "002", "RTNTXT": booking.reason, "STSCOD": "E", "TRSAMT": str(done.amount),
            "TRSDAT": f"{booking.bank_date:%Y%m%d}", "TXTCLT": line.get("TRSDSP", ""), "YURREF": done.bundle,
        })  # fmt: skip

    def _message(self, number: str, books: Books) -> tuple[Booking, ...]:
        reference = self._messages.get(number, "")
        return books.bundle(reference) if reference else ()


def _one(root: etree._Element, name: str) -> etree._Element:
    found = root.findall(name)
    _refuse_unless(len(found) == 1, f"接口{name}错误")
    return found[0]


def _span(asked: Mapping[str, str], books: Books) -> tuple[date, date]:
    try:
        first, last = (date.fromisoformat(asked[tag]) for tag in ("BGNDAT", "ENDDAT"))
    except (KeyError, ValueError):
        raise Refused("-3", "日期无效") from None
    today = books.now().astimezone(_ZONE).date()
    _refuse_unless(first <= last and (last - first).days < 7 and first >= today - timedelta(days=90), "日期范围错误")
    return first, last


def _instruction(line: Mapping[str, str], name: str) -> Instruction:
    _refuse_unless(bool(re.fullmatch("[0-9A-Za-z]{1,30}", line.get("YURREF", ""))), "业务参考号错误")
    _refuse_unless(line.get("CCYNBR") == "10", "币种错误")
    _refuse_unless(bool(line.get("DBTACC")) and bool(line.get("CRTACC")), "户口不能为空")
    return Instruction(
        line["YURREF"], line["DBTACC"], line["CRTACC"], name, _money(line.get("TRSAMT", "")), line.get("NUSAGE", ""),
        urgent=line.get("STLCHN") == "F",
    )  # fmt: skip


def _agency_line(reference: str, account: str, line: Mapping[str, str], name: str, text: str,
                 collects: bool) -> Instruction:  # fmt: skip
    _refuse_unless(bool(line.get("ACCNBR")) and bool(name) and bool(reference), "户口和户名不能为空")
    return Instruction(reference, account, line["ACCNBR"], name, _money(line["TRSAMT"]), text, collects=collects)


def _notice(result: str) -> Markup:
    return row("NTQNTCGTZ", {"MSGNBR": result, "MSGTYP": "NCBCHOPR", "RSTSET": result, "USRNBR": ""})
