"""The bank's front end as its own page describes it, written from that and not from our adapter.

The page lists few codes. Those that begin with TW are this twin's own: TW00 a message that does not fit, TW01 a
repeated insid, TW02 a refusal, TW03 no entries, TW04 an insid that is not known, TW05 a wrong password, TW06 a locked
operator, TW07 an account that is not kept, TW08 a message that is refused though its rows were taken.

Options. `password` (any, when left out); `version` 120, 110 or 100 (errmsg, lang and GB2312 in answers); `answers` the
charset of answers (UTF-8); `page_lines` the most entries a page (50); `lasts` how many messages a token serves (0: for
ever). Faults, each off when left out: `forgets` answers the code 1033 after taking a payment, and forgets the token;
`refuses` answers TW08 at message level after taking it; `http_500` answers 500 after taking it; `another` answers with
another's insid; `unlisted` gives b2e0007 a code that nobody knows; `not_known` says TW04 where it finds nothing,
instead of no row; `no_data` says TW03 of an empty list; `stuck` tells the first page whatever is asked; `wrong_count`
counts one entry too many; `lone` answers b2e0007 with its last row only; `odd_row` gives an account's second entry a
direction that nobody knows, and the second row of b2e0007 a code that is none; `odd_rows` puts an entry that says
nothing in front of the list; `zero_balances` says 0.00 behind each entry. `receipt_path` serves receipts' files.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, timedelta, timezone
from typing import Any, Final

from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.canon.money import BadMoney, Money
from protocols.canon.statement import Direction
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK, UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Booked, Booking, Books, Duplicate, DuplicateBundle, Entry, Holding, Instruction, Twin

_ZONE: Final = timezone(timedelta(hours=8))
_REQUEST_BYTES_MAX: Final = 4 * 1_048_576
_WRONG_PASSWORDS: Final = 5
_CODES: Final = {Booked.TAKEN: "B054", Booked.SETTLED: "B001", Booked.REFUSED: "TW02", Booked.RETURNED: "B001"}
_TEXTS: Final = {"B001": "OK", "B054": "处理中", "TW02": "交易失败"}
_MONEY: Final = ("b2e0009", "b2e0061", "b2e0078")
Leaves = Mapping[str, str]


class Refused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """The message as a whole is answered with this code and text, and no rows."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True)
class Conduct:
    """The switches of the module's description."""

    password: str = ""
    version: str = "120"
    answers: str = "UTF-8"
    page_lines: int = 50
    lasts: int = 0
    cheap: bool = False
    forgets: bool = False
    refuses: bool = False
    http_500: bool = False
    another: bool = False
    unlisted: bool = False
    not_known: bool = False
    no_data: bool = False
    stuck: bool = False
    wrong_count: bool = False
    lone: bool = False
    odd_row: bool = False
    odd_rows: bool = False
    receipt_path: str = ""
    zero_balances: bool = False


@dataclass(slots=True)
class FrontEnd:
    """The simulated front end with its bank. It knows each operator's one token, and counts wrong passwords."""

    conduct: Conduct
    ports: tuple[str, ...] = ("business",)
    _tokens: dict[str, str] = field(default_factory=dict)
    _served: dict[str, int] = field(default_factory=dict)
    _wrong: dict[str, int] = field(default_factory=dict)
    _files: dict[str, bytes] = field(default_factory=dict)

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port == "business", port
        return http.HttpRequests().cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close."""
        head, code = dict[str, str](), "b2e0000"
        before, rows = list[Markup](), list[Markup]()
        try:
            asked = http.parse_request(request)
            if asked.method == "GET":
                return self._file(asked.target)
            root = self._document(asked.body)
            head = {str(one.tag): (one.text or "").strip() for one in root.iterfind("head/*")}
            code = head.get("trncod", code)
            status, before, rows = self._called(code, head, root, books)
        except ProtocolError:
            status = self._status("TW00", "报文格式错误")
        except Refused as refused:
            status = self._status(refused.code, refused.text)
        taken = code in _MONEY and bool(rows)
        if taken and self.conduct.http_500:
            return Answer(http.answer(500, (), b"<html/>", "Internal Server Error"), close=True)
        if taken and self.conduct.forgets:
            self._tokens.clear()
            status, rows = self._status("1033", "未签到"), []
        if taken and self.conduct.refuses:
            status, rows = self._status("TW08", "交易失败"), []
        return Answer(self._framed(code, head, [status, *before, *rows]), close=True)

    def _document(self, body: bytes) -> etree._Element:
        # Blanks behind the document are ignored, and the request's own declaration counts.
        charset = GBK if re.match(rb"<\?xml[^>]*encoding=.GB", body) else UTF8
        root = xmldoc.parse(body.rstrip(b" "), charset, max_bytes=_REQUEST_BYTES_MAX, max_nodes=200_000)
        if root.tag != "bocb2e" or root.get("security") != "true":
            raise ProtocolError("missing", "no bocb2e")
        return root

    def _framed(self, code: str, head: Leaves, parts: Sequence[Markup]) -> bytes:
        old = self.conduct.version == "100"
        echoed = {tag: head.get(tag, "") for tag in ("termid", "trnid", "custid", "cusopr", "trncod")}
        told = el("head", _elements({**echoed, "token": self._tokens.get(head.get("cusopr", ""), "")}))
        # Some middleware declares namespaces that nothing uses.
        names = {"xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance"}
        language = {"lang": "chs"} if old else {"locale": "zh_CN"}
        trans = el("trans", el(f"trn-{code}-rs", parts))
        root = el("bocb2e", told, trans, names, version=self.conduct.version, **language)
        label = "GB2312" if old else self.conduct.answers
        codec = "utf-8" if label == "UTF-8" else "gb18030"
        data = f'<?xml version="1.0" encoding="{label}"?>\n{root}'.encode(codec)
        # The header's charset is worth nothing.
        return http.answer(200, (("Content-Type", "application/xml; charset=ISO-8859-1"),), data)

    def _status(self, code: str, text: str) -> Markup:
        said = "errmsg" if self.conduct.version == "100" else "rspmsg"
        return el("status", el("rspcod", code), el(said, text))

    def _called(
        self, code: str, head: Leaves, root: etree._Element, books: Books
    ) -> tuple[Markup, list[Markup], list[Markup]]:
        asked = root.find(f"trans/trn-{code}-rq")
        given = [] if asked is None else list(asked.iterchildren(f"{code}-rq"))
        _refuse_unless(bool(given) and bool(re.fullmatch("E[0-9]{12}", head.get("termid", ""))), "报文格式错误")
        _refuse_unless(bool(head.get("trnid")) and bool(head.get("custid")) and bool(head.get("cusopr")), "报文头错误")
        if code == "b2e0001":
            return self._status("B001", "ok"), self._sign_on(head["cusopr"], given[0], books), []
        self._signed_on(head)
        known: Mapping[str, Callable[[list[etree._Element], Books], tuple[list[Markup], list[Markup]]]] = {
            "b2e0005": self._balances, "b2e0012": self._past, "b2e0035": self._entries, "b2e0007": self._states,
            "b2e0009": self._pay, "b2e0061": self._pay_persons, "b2e0078": self._payroll, "b2e0500": self._receipts,
        }  # fmt: skip
        _refuse_unless(code in known, "交易代码不存在")
        before, rows = known[code](given, books)
        return self._status("B001", "OK"), before, rows

    # ---- signing on -------------------------------------------------------------------------------------------

    def _sign_on(self, operator: str, row: etree._Element, books: Books) -> list[Markup]:
        if self._wrong.get(operator, 0) >= _WRONG_PASSWORDS:
            raise Refused("TW06", "操作员已锁定")
        _refuse_unless(bool(re.fullmatch("[0-9]{14}", _text(row, "custdt"))), "时间错误")
        password = _text(row, "oprpwd")
        if not password or (self.conduct.password and password != self.conduct.password):
            self._wrong[operator] = self._wrong.get(operator, 0) + 1
            raise Refused("TW05", "密码错误")
        self._wrong[operator] = 0
        self._tokens[operator] = f"{books.serial():032x}"
        self._served[operator] = 0
        return _elements({"serverdt": f"{books.now().astimezone(_ZONE):%Y%m%d%H%M%S}", "token": self._tokens[operator]})

    def _signed_on(self, head: Leaves) -> None:
        operator = head["cusopr"]
        self._served[operator] = self._served.get(operator, 0) + 1
        over = bool(self.conduct.lasts) and self._served[operator] > self.conduct.lasts
        if over or not head.get("token") or head["token"] != self._tokens.get(operator):
            raise Refused("B107", "令牌无效")

    # ---- orders -----------------------------------------------------------------------------------------------

    def _pay(
        self, rows: list[etree._Element], books: Books, code: str = "b2e0009"
    ) -> tuple[list[Markup], list[Markup]]:
        _refuse_unless(len(rows) <= 1000, "笔数超限")
        return [], self._booked(code, [_instruction(row, books) for row in rows], books)

    def _pay_persons(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        for row in rows:
            _refuse_unless(_text(row, "toactn/acttyp") in ("119", "101", "188"), "账户类型错误")
            _refuse_unless(_text(row, "bocflag") in ("0", "1") and _text(row, "cuspriolv") in ("0", "1"), "标志错误")
        return self._pay(rows, books, "b2e0061")

    def _payroll(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        """A message of b2e0078 has one insid; its lines have none."""
        told = []
        for row in rows:
            lines, insid = row.findall("detail"), _text(row, "insid")
            orders = [_wage(row, line, insid if len(lines) == 1 else f"{insid}-{n}", books)
                      for n, line in enumerate(lines, start=1)]  # fmt: skip
            total = sum(one.amount.minor for one in orders)
            _refuse_unless(bool(lines) and _text(row, "pybnum") == str(len(lines)), "总笔数不符")
            _refuse_unless(_money(_text(row, "pybamt")).minor == total, "总金额不符")
            try:
                taken = (books.take(orders[0]),) if len(orders) == 1 else books.take_bundle(insid, orders)
            except (Duplicate, DuplicateBundle):
                told.append(self._row("b2e0078", "TW01", "指令重复", {"insid": insid, "obssid": ""}))
                continue
            said = "X" * 12 if self.conduct.another else insid
            told.append(self._row("b2e0078", "B001", "OK", {"insid": said, "obssid": taken[0].bank_serial}))
        return [], told

    def _booked(self, code: str, wanted: list[Instruction], books: Books) -> list[Markup]:
        if len(wanted) == 1:
            try:
                return [self._handed(code, books.take(wanted[0]))]
            except Duplicate:
                return [self._row(code, "TW01", "指令重复", {"insid": wanted[0].reference, "obssid": ""})]
        try:
            # The message has no key of its own; its first row stands for it in the books.
            bookings = books.take_bundle(wanted[0].reference, wanted)
        except DuplicateBundle:
            return [self._row(code, "TW01", "指令重复", {"insid": one.reference, "obssid": ""}) for one in wanted]
        return [self._handed(code, one) for one in bookings]

    def _handed(self, code: str, booking: Booking) -> Markup:
        reference = booking.instruction.reference
        if booking.reason == "duplicate":
            return self._row(code, "TW01", "指令重复", {"insid": reference, "obssid": ""})
        told = "X" * 12 if self.conduct.another else reference
        return self._row(code, "B001", "OK", {"insid": told, "obssid": booking.bank_serial})

    def _row(self, code: str, rspcod: str, text: str, leaves: Leaves) -> Markup:
        return el(f"{code}-rs", self._status(rspcod, text), _elements(leaves))

    def _states(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        found = [self._state(_text(row, "insid"), books) for row in rows]
        told = [one for one in found if one is not None]
        if self.conduct.odd_row and len(told) > 1:
            told[1] = Markup(re.sub("<rspcod>.*?</rspcod>", "<rspcod>?</rspcod>", told[1]))
        return [], told[-1:] if self.conduct.lone else told

    def _state(self, reference: str, books: Books) -> Markup | None:
        # A payroll of many lines is under way until the last of them is done.
        lines = sorted(books.bundle(reference), key=lambda one: one.booked is not Booked.TAKEN)
        booking = books.find(reference) or next(iter(lines), None)
        if booking is None:
            if self.conduct.not_known:
                return self._row("b2e0007", "TW04", "指令不存在", {"insid": reference, "obssid": ""})
            return None
        code = "B999" if self.conduct.unlisted else _CODES[booking.booked]
        leaves = {"insid": reference, "obssid": booking.bank_serial, "hostseqno": booking.bank_serial[-9:]}
        return self._row("b2e0007", code, booking.reason or _TEXTS.get(code, ""), leaves)

    # ---- accounts ---------------------------------------------------------------------------------------------

    def _balances(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        return [], [self._balance(row, books) for row in rows]

    def _balance(self, row: etree._Element, books: Books) -> Markup:
        asked = {tag: _text(row, f"account/{tag}") for tag in ("ibknum", "actacn")}
        held = books.holding(asked["actacn"])
        if held is None:
            return el("b2e0005-rs", self._status("TW07", "账号不存在"), el("account", _elements(asked)))
        account = el("account", _elements({**asked, "curcde": "CNY", "actname": held.holder}))
        balance = el("balance", _elements({
            "bokbal": str(held.book), "avabal": str(held.book - held.frozen), "stpamt": str(held.frozen),
            "ovramt": "0.00",
        }))  # fmt: skip
        return el("b2e0005-rs", self._status("B001", "ok"), account, balance, el("baldat", f"{_today(books):%Y%m%d}"))

    def _past(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        asked = {tag: _text(rows[0], f"account/{tag}") for tag in ("ibknum", "actacn")}
        first, last = (_day(_text(rows[0], f"datescope/{tag}")) for tag in ("from", "to"))
        _refuse_unless(first <= last < _today(books), "日期范围错误")
        found = []
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            held = _known(books.holding(asked["actacn"], day))
            account = el("account", _elements({**asked, "curcde": "001"}))
            balance = el("balance", _elements({"bokbal": str(held.book), "avabal": str(held.book)}))
            found.append(el("b2e0012-rs", account, balance, el("baldat", f"{day:%Y%m%d}")))
        return [], found

    def _entries(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        row, today = rows[0], _today(books)
        account, kind = _text(row, "actacn"), _text(row, "type")
        first, last = (_day(_text(row, f"datescope/{tag}")) for tag in ("from", "to"))
        begin, count = _text(row, "begnum"), _text(row, "recnum") or "01"
        _refuse_unless(bool(re.fullmatch("[0-9]{1,8}", begin)) and int(begin) >= 1, "起始笔数错误")
        _refuse_unless(bool(re.fullmatch("[0-9]{2}", count)) and 1 <= int(count) <= 50, "查询笔数错误")
        _refuse_unless(_text(row, "direction") == "0" and kind in ("2001", "2002"), "查询类型错误")
        within_a_month = first <= last < today and (last - first).days <= 28 and (today - first).days <= 366
        _refuse_unless(first == last == today if kind == "2001" else within_a_month, "日期范围错误")
        held = _known(books.holding(account))
        entries = books.entries(account, first, last)
        if not entries and self.conduct.no_data:
            raise Refused("TW03", "无符合条件的记录")
        start = 0 if self.conduct.stuck else int(begin) - 1
        all_ = [self._entry(one, _text(row, "ibknum"), held) for one in entries]
        if self.conduct.odd_rows and all_:
            all_.insert(0, self._row("b2e0035", "B001", "OK", {"transid": "", "txndate": "", "txnamt": ""}))
        page = all_[start : start + min(int(count), self.conduct.page_lines)]
        counts = {"totalnum": str(len(all_)), "notenum": str(len(page) + self.conduct.wrong_count)}
        return _elements(counts), page

    def _entry(self, one: Entry, branch: str, held: Holding) -> Markup:
        out = one.direction is Direction.DEBIT
        number, name = (held.number, held.holder) if out else (one.counterparty_account, one.counterparty_name)
        other, theirs = (one.counterparty_account, one.counterparty_name) if out else (held.number, held.holder)
        payer = {"ibknum": branch if out else "", "actacn": number, "acntname": name, "ibkname": "", "outref": ""}
        payee = {"toibkn": "" if out else branch, "actacn": other, "toname": theirs, "tobank": "", "tobref": ""}
        leaves = {
            "mactibkn": "", "mactacn": "", "mactname": "", "mactbank": "", "vchnum": "", "transid": f"{one.number:09d}",
            "insid": "" if one.fee else one.reference, "txndate": f"{one.bank_date:%Y%m%d}",
            "txntime": f"{one.at.astimezone(_ZONE):%H%M%S}", "txnamt": str(one.amount),
            "acctbal": "0.00" if self.conduct.zero_balances else str(one.balance_after),
            "avlnal": str(one.balance_after), "frzamt": "0.00", "overdramt": "0.00",
            "avloverdramt": "0.00", "useinfo": "", "furinfo": one.text, "transtype": "", "bustype": "", "trncur": "CNY",
            "direction": "9" if self.conduct.odd_row and one.number == 2 else "2" if out else "1",
            "feeact": "", "feeamt": "", "feecur": "", "valdat": "", "vouchtp": "",
            "vouchnum": "", "fxrate": "", "interinfo": "", "channelflg": "", "commnum": "",
            "reserve1": "", "reserve2": "", "reserve3": "",
        }  # fmt: skip
        parts = (el("fractn", _elements(payer)), el("toactn", _elements(payee)), *_elements(leaves))
        return el("b2e0035-rs", self._status("B001", "OK"), parts)


    # ---- receipts ---------------------------------------------------------------------------------------------

    def _receipts(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        """One file for what fits: its name only, for it lies in the front end's folder."""
        row = rows[0]
        account = _text(row, "multidata/confirmdata/actacn")
        first, last = (_day(_text(row, f"datescope/{tag}")) for tag in ("from", "to"))
        low, high = (_money(_text(row, f"amtscope/{tag}")).minor for tag in ("minamt", "maxamt"))
        _known(books.holding(account))
        found = [one for one in books.entries(account, first, last) if low <= one.amount.minor <= high]
        if not found:
            raise Refused("TW03", "无符合条件的记录")
        name = f"{account}_{first:%Y%m%d}_{found[0].number}.{'pdf' if len(found) == 1 else 'zip'}"
        self._files[name] = _pdf(found[0]) if len(found) == 1 else _packed(found)
        return [], [el("b2e0500-rs", self._status("B001", "OK"), el("filename", name))]

    def _file(self, target: str) -> Answer:
        before, _, after = self.conduct.receipt_path.partition("{filename}")
        data = self._files.get(target.removeprefix(before).removesuffix(after)) if self.conduct.receipt_path else None
        if data is None:
            return Answer(http.answer(404, phrase="Not Found"), close=True)
        return Answer(http.answer(200, (("Connection", "close"),), data), close=True)


# ---- reading and writing -----------------------------------------------------------------------------------------


def _elements(leaves: Leaves) -> list[Markup]:
    return [el(tag, text) for tag, text in leaves.items()]


def _text(row: etree._Element, path: str) -> str:
    found = row.findall(path)
    _refuse_unless(len(found) <= 1, f"要素重复{path}")
    return (found[0].text or "").strip() if found else ""


def _refuse_unless(fits: bool, what: str) -> None:
    if not fits:
        raise Refused("TW00", what)


def _known(held: Holding | None) -> Holding:
    if held is None:
        raise Refused("TW07", "账号不存在")
    return held


def _today(books: Books) -> date:
    return books.now().astimezone(_ZONE).date()


def _day(text: str) -> date:
    _refuse_unless(bool(re.fullmatch("[0-9]{8}", text)), "日期错误")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise Refused("TW00", "日期错误") from None


def _money(text: str) -> Money:
    try:
        amount = Money.parse(text)
    except BadMoney:
        raise Refused("TW00", "金额格式错误") from None
    _refuse_unless(0 < amount.minor < 10**17, "金额超限")
    return amount


def _instruction(row: etree._Element, books: Books) -> Instruction:
    reference, day = _text(row, "insid"), _day(_text(row, "trfdate"))
    _refuse_unless(bool(re.fullmatch("[0-9A-Za-z]{1,20}", reference)), "指令ID错误")
    _refuse_unless(_today(books) <= day <= _today(books) + timedelta(days=31), "转账日期错误")
    _refuse_unless(_text(row, "trncur") in ("CNY", "001") and _text(row, "priolv") in ("0", "1"), "币种或优先级错误")
    _refuse_unless(bool(re.fullmatch("[0-9]{5}", _text(row, "fractn/fribkn"))), "付款行联行号错误")
    _refuse_unless(bool(re.fullmatch("[0-9]{5}|[0-9]{12}", _text(row, "toactn/toibkn"))), "收款行行号错误")
    sizes = (("fractn/actnam", 70), ("toactn/toname", 70), ("toactn/toaddr", 70), ("toactn/tobknm", 70),
             ("toactn/actacn", 35), ("furinfo", 80))  # fmt: skip
    _refuse_unless(all(len(_text(row, tag).encode("gb18030")) <= most for tag, most in sizes), "要素超长")
    payer, payee, name = (_text(row, tag) for tag in ("fractn/actacn", "toactn/actacn", "toactn/toname"))
    _refuse_unless(bool(payer) and bool(payee) and bool(name), "要素缺失")
    return Instruction(reference, payer, payee, name, _money(_text(row, "trnamt")), _text(row, "furinfo"))


def _wage(row: etree._Element, line: etree._Element, reference: str, books: Books) -> Instruction:
    day, crdtyp = _day(_text(row, "trfdate")), _text(row, "crdtyp")
    _refuse_unless(bool(re.fullmatch("[0-9A-Za-z]{1,20}(-[0-9]+)?", reference)), "指令ID错误")
    _refuse_unless(_today(books) <= day <= _today(books) + timedelta(days=31), "转账日期错误")
    _refuse_unless(_text(row, "pybcur") in ("CNY", "001") and _text(line, "pydcur") in ("CNY", "001"), "币种错误")
    number = {"7": "[0-9]{2}", "6": "[0-9]{12}"}.get(crdtyp)
    _refuse_unless(number is not None and bool(re.fullmatch(number, _text(line, "toibkn"))), "收款行号错误")
    _refuse_unless(bool(re.fullmatch("[0-9A-Z]{2}", _text(row, "furinfo"))), "用途代码错误")
    _refuse_unless(bool(re.fullmatch("[0-9]{5}", _text(row, "fractn/fribkn"))), "付款行联行号错误")
    payer, payee, name = _text(row, "fractn/actacn"), _text(line, "toactn"), _text(line, "toname")
    _refuse_unless(bool(payer) and bool(payee) and bool(name), "要素缺失")
    return Instruction(reference, payer, payee, name, _money(_text(line, "pydamt")), _text(row, "useinf"))


def _pdf(one: Entry) -> bytes:
    return f"%PDF-1.4\n% {one.number} {one.amount}\n".encode("ascii")


def _packed(found: Sequence[Entry]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in found:
            archive.writestr(f"{one.number}.pdf", _pdf(one))
    return packed.getvalue()


def build(options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
    """The twin under `options`; it signs nothing, so `keys` may be empty. Raises BadOptions on an unknown option."""
    known: Sequence[str] = [one.name for one in fields(Conduct)]
    for key in options:
        if key not in known:
            raise BadOptions(key, f"no such option of the twin; there are {', '.join(known)}")
    return FrontEnd(Conduct(**options))
