"""The bank's front end as its own page describes it, written from that and not from our adapter.

twin_rules.py has the rules for requests; every request is judged by them first.

The page lists few codes. Those that begin with TW are this twin's own: TW00 a message of the wrong form, TW01 a
repeated insid, TW02 a refusal, TW03 no entries, TW04 an unknown insid, TW05 a wrong password, TW06 a locked operator,
TW07 an unknown account, TW08 a message that is refused although its rows were accepted.

Options. `password` (any, if left out); `version` 120, 110 or 100 (errmsg, lang and GB2312 in answers); `answers` the
charset of answers (UTF-8); `page_lines` the most entries on a page (50); `lasts` how many messages a token is valid for
(0: for ever). Faults, each off if left out: `forgets` answers the code 1033 after accepting a payment, and forgets the
token; `refuses` answers TW08 at message level after accepting it; `http_500` answers 500 after accepting it; `another`
answers with the insid of another payment; `unlisted` gives b2e0007 an unknown code; `not_known` answers TW04 instead of
no row if nothing is found; `no_data` answers TW03 for an empty list; `stuck` answers every question for entries with
the first page; `wrong_count` counts one entry too many; `lone` answers b2e0007 with its last row only; `odd_row` gives
an account's second entry an unknown direction, and the second row of b2e0007 a text that is no code; `odd_rows` puts an
empty entry in front of the list; `zero_balances` states 0.00 as the balance after each entry. `receipt_path` serves
receipts' files.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.banks.boc.twin_rules import ENVELOPE, HTTP, NOT_HELD, PATH, RULES, UNFIT, AskedFields, strange_parts
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.judge import BothLanguages, RequestFinding, RuleKind, XmlFields
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
_WAYS: Final = {"1": Direction.CREDIT, "2": Direction.DEBIT}
_MOST: Final = "999999999999999.99"
Leaves = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Status:
    """The code and text of a message or a row."""

    code: str
    text: str


class Refused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """The whole message is answered with this code and text, and no rows. `findings` are the rules that it breaks."""

    def __init__(self, code: str, text: str, findings: tuple[RequestFinding, ...] = ()) -> None:
        super().__init__(code)
        self.code, self.text, self.findings = code, text, findings


@dataclass(frozen=True, slots=True)
class Conduct:
    """The switches of the twin, which the module's description lists."""

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
    """The simulated front end with its bank. It keeps one token for each operator, and counts wrong passwords."""

    conduct: Conduct
    ports: tuple[str, ...] = ("business",)
    _tokens: dict[str, str] = field(default_factory=dict)
    _served: dict[str, int] = field(default_factory=dict)
    _wrong: dict[str, int] = field(default_factory=dict)
    _files: dict[str, bytes] = field(default_factory=dict)
    _insids: dict[str, str] = field(default_factory=dict)  # the client's key by the bank's (obssid)

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port == "business", port
        return http.HttpRequests().cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close."""
        head, code = dict[str, str](), "b2e0000"
        before, rows, findings = list[Markup](), list[Markup](), tuple[RequestFinding, ...]()
        try:
            asked = http.parse_request(request)
            if asked.method == "GET" and asked.target.partition("?")[0] != PATH:
                return self._file(asked.target)
            findings = HTTP.findings(AskedFields({"http/method": asked.method, "http/path": asked.target}), books)
            if findings:
                return Answer(http.answer(404, phrase="Not Found"), True, "", "404", "Not Found", findings)
            root = _document(asked.body)
            head = {str(one.tag): (one.text or "").strip() for one in root.iterfind("head/*")}
            code = head.get("trncod") or code
            findings = self._judged(root, code, books)
            status, before, rows = self._called(code, head, root, books)
        except ProtocolError as error:
            findings = (_broken("http", RuleKind.FRAME, error.text, "is no HTTP request", "不是 HTTP 请求"),)
            status = _Status(UNFIT.code, UNFIT.text)
        except Refused as refused:
            status, findings = _Status(refused.code, refused.text), refused.findings or findings
        taken = code in _MONEY and bool(rows)
        if taken and self.conduct.http_500:
            data = http.answer(500, (), b"<html/>", "Internal Server Error")
            return Answer(data, True, code, "500", "Internal Server Error", findings)
        if taken and self.conduct.forgets:
            self._tokens.clear()
            status, rows = _Status("1033", "未签到"), []
        if taken and self.conduct.refuses:
            status, rows = _Status("TW08", "交易失败"), []
        told = status if code == "b2e0007" or status.code != "B001" else _worst(status, rows)
        named = code if re.fullmatch("b2e[0-9]{4}", code) else "b2e0000"
        data = self._framed(named, head, [self._status(status.code, status.text), *before, *rows])
        return Answer(data, True, code, told.code, told.text, findings)

    def _judged(self, root: etree._Element, code: str, books: Books) -> tuple[RequestFinding, ...]:
        """The rules that a message breaks and is answered about in its rows. Raises Refused for all others."""
        trn = root.find(f"trans/trn-{code}-rq") if code in RULES else None
        inside = None if trn is None else XmlFields(trn)
        fields = AskedFields({"bank/today": f"{_today(books):%Y%m%d}"}, XmlFields(root), inside)
        found = ENVELOPE.findings(fields, books)
        if code not in RULES:
            words = ("is no operation of this simulated bank", "模拟银行没有此交易")
            found = (*found, _broken("head/trncod", RuleKind.OPERATION, code, *words, source="boc.md 4"))
        elif trn is None:
            words = ("is absent: the elements are named after trncod", "缺少以交易代码命名的元素")
            found = (*found, _broken(f"trans/trn-{code}-rq", RuleKind.FRAME, "", *words))
        else:
            strange = [
                _broken(one.place, one.rule, one.text, one.words.english, one.words.chinese, guessed=True)
                for one in strange_parts(root, code)
            ]
            found = (*found, *strange, *RULES[code].findings(fields, books))
        if found and (found[0].refusal is not NOT_HELD or code != "b2e0005"):
            raise Refused(found[0].refusal.code, found[0].refusal.text, found)
        return found

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
        # The charset in the HTTP header is ignored.
        return http.answer(200, (("Content-Type", "application/xml; charset=ISO-8859-1"),), data)

    def _status(self, code: str, text: str) -> Markup:
        said = "errmsg" if self.conduct.version == "100" else "rspmsg"
        return el("status", el("rspcod", code), el(said, text))

    def _called(
        self, code: str, head: Leaves, root: etree._Element, books: Books
    ) -> tuple[_Status, list[Markup], list[Markup]]:
        given = list(root.iterfind(f"trans/trn-{code}-rq/{code}-rq"))
        if code == "b2e0001":
            return _Status("B001", "ok"), self._sign_on(head["cusopr"], given[0], books), []
        self._signed_on(head)
        if code == "b2e0002":
            self._tokens.pop(head["cusopr"])
            return _Status("B001", "ok"), [], []
        known: Mapping[str, Callable[[list[etree._Element], Books], tuple[list[Markup], list[Markup]]]] = {
            "b2e0005": self._balances,
            "b2e0012": self._past,
            "b2e0035": self._entries,
            "b2e0007": self._states,
            "b2e0009": self._pay,
            "b2e0061": lambda rows, books: self._pay(rows, books, "b2e0061"),
            "b2e0078": self._payroll,
            "b2e0500": self._receipts,
        }
        before, rows = known[code](given, books)
        return _Status("B001", "OK"), before, rows

    # ---- signing on -------------------------------------------------------------------------------------------

    def _sign_on(self, operator: str, row: etree._Element, books: Books) -> list[Markup]:
        if self._wrong.get(operator, 0) >= _WRONG_PASSWORDS:
            raise Refused("TW06", "操作员已锁定")
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
        return [], self._booked(code, [_instruction(row) for row in rows], books)

    def _payroll(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        """Answer b2e0078, whose message has one insid and whose lines have none."""
        told = []
        for row in rows:
            lines, insid = row.findall("detail"), _text(row, "insid")
            orders = [
                _wage(row, line, insid if len(lines) == 1 else f"{insid}-{n}") for n, line in enumerate(lines, start=1)
            ]
            try:
                taken = (books.book_once(orders[0]),) if len(orders) == 1 else books.take_bundle(insid, orders)
            except (Duplicate, DuplicateBundle):
                told.append(self._row("b2e0078", "TW01", "指令重复", {"insid": insid, "obssid": ""}))
                continue
            self._insids[taken[0].bank_serial] = insid
            said = "X" * 12 if self.conduct.another else insid
            told.append(self._row("b2e0078", "B001", "OK", {"insid": said, "obssid": taken[0].bank_serial}))
        return [], told

    def _booked(self, code: str, wanted: list[Instruction], books: Books) -> list[Markup]:
        if len(wanted) == 1:
            try:
                return [self._handed(code, books.book_once(wanted[0]))]
            except Duplicate:
                return [self._row(code, "TW01", "指令重复", {"insid": wanted[0].reference, "obssid": ""})]
        try:
            # The message has no key of its own, so the books know it by its first row.
            bookings = books.take_bundle(wanted[0].reference, wanted)
        except DuplicateBundle:
            return [self._row(code, "TW01", "指令重复", {"insid": one.reference, "obssid": ""}) for one in wanted]
        return [self._handed(code, one) for one in bookings]

    def _handed(self, code: str, booking: Booking) -> Markup:
        reference = booking.instruction.reference
        if booking.reason == "duplicate":
            return self._row(code, "TW01", "指令重复", {"insid": reference, "obssid": ""})
        self._insids[booking.bank_serial] = reference
        told = "X" * 12 if self.conduct.another else reference
        return self._row(code, "B001", "OK", {"insid": told, "obssid": booking.bank_serial})

    def _row(self, code: str, rspcod: str, text: str, leaves: Leaves) -> Markup:
        return el(f"{code}-rs", self._status(rspcod, text), _elements(leaves))

    def _states(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        asked = [_text(row, "insid") or self._insids.get(_text(row, "obssid"), "") for row in rows]
        found = [self._state(one, books) for one in asked]
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
        balance = el(
            "balance",
            _elements(
                {
                    "bokbal": str(held.book),
                    "avabal": str(held.book - held.frozen),
                    "stpamt": str(held.frozen),
                    "ovramt": "0.00",
                }
            ),
        )
        return el("b2e0005-rs", self._status("B001", "ok"), account, balance, el("baldat", f"{_today(books):%Y%m%d}"))

    def _past(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        asked = {tag: _text(rows[0], f"account/{tag}") for tag in ("ibknum", "actacn")}
        first, last = (_day(_text(rows[0], f"datescope/{tag}")) for tag in ("from", "to"))
        # The page does not refuse a period that is not over; a day that is not over has no closing balance.
        last = min(last, _today(books) - timedelta(days=1))
        found = []
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            held = _known(books.holding(asked["actacn"], day))
            account = el("account", _elements({**asked, "curcde": "001"}))
            balance = el("balance", _elements({"bokbal": str(held.book), "avabal": str(held.book)}))
            found.append(el("b2e0012-rs", account, balance, el("baldat", f"{day:%Y%m%d}")))
        return [], found

    def _entries(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        row = rows[0]
        account = _text(row, "actacn")
        first, last = (_day(_text(row, f"datescope/{tag}")) for tag in ("from", "to"))
        begin, count = _text(row, "begnum"), _text(row, "recnum") or "01"
        held, way = _known(books.holding(account)), _WAYS.get(_text(row, "direction"))
        entries = [one for one in books.entries(account, first, last) if way in (None, one.direction)]
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
            "mactibkn": "",
            "mactacn": "",
            "mactname": "",
            "mactbank": "",
            "vchnum": "",
            "transid": f"{one.number:09d}",
            "insid": "" if one.fee else one.reference,
            "txndate": f"{one.bank_date:%Y%m%d}",
            "txntime": f"{one.at.astimezone(_ZONE):%H%M%S}",
            "txnamt": str(one.amount),
            "acctbal": "0.00" if self.conduct.zero_balances else str(one.balance_after),
            "avlnal": str(one.balance_after),
            "frzamt": "0.00",
            "overdramt": "0.00",
            "avloverdramt": "0.00",
            "useinfo": "",
            "furinfo": one.text,
            "transtype": "",
            "bustype": "",
            "trncur": "CNY",
            "direction": "9" if self.conduct.odd_row and one.number == 2 else "2" if out else "1",
            "feeact": "",
            "feeamt": "",
            "feecur": "",
            "valdat": "",
            "vouchtp": "",
            "vouchnum": "",
            "fxrate": "",
            "interinfo": "",
            "channelflg": "",
            "commnum": "",
            "reserve1": "",
            "reserve2": "",
            "reserve3": "",
        }
        parts = (el("fractn", _elements(payer)), el("toactn", _elements(payee)), *_elements(leaves))
        return el("b2e0035-rs", self._status("B001", "OK"), parts)

    # ---- receipts ---------------------------------------------------------------------------------------------

    def _receipts(self, rows: list[etree._Element], books: Books) -> tuple[list[Markup], list[Markup]]:
        """Make one file for the entries that match. The answer holds only its name, because the file is in a folder."""
        row = rows[0]
        account = _text(row, "multidata/confirmdata/actacn")
        first, last = (_day(_text(row, f"datescope/{tag}")) for tag in ("from", "to"))
        low = Money.parse(_text(row, "amtscope/minamt") or "0").minor
        high = Money.parse(_text(row, "amtscope/maxamt") or _MOST).minor
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
            words = ("is neither the bank's address nor a file of a receipt", "既不是银行的地址，也不是回单文件")
            found = _broken("http/path", RuleKind.HEADER, target, *words, source="boc.md 1, URL")
            return Answer(http.answer(404, phrase="Not Found"), True, "GET", "404", "Not Found", (found,))
        return Answer(http.answer(200, (("Connection", "close"),), data), True, "GET", "200", "OK")


# ---- reading and writing -----------------------------------------------------------------------------------------


def _elements(leaves: Leaves) -> list[Markup]:
    return [el(tag, text) for tag, text in leaves.items()]


def _text(row: etree._Element, path: str) -> str:
    return (row.findtext(path) or "").strip()


def _known(held: Holding | None) -> Holding:
    if held is None:
        raise Refused("TW07", "账号不存在")
    return held


def _today(books: Books) -> date:
    return books.now().astimezone(_ZONE).date()


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").date()


def _document(body: bytes) -> etree._Element:
    """The document. Blanks behind it are ignored, and its own declaration counts. Raises Refused."""
    charset = GBK if re.match(rb"<\?xml[^>]*encoding=.GB", body, re.IGNORECASE) else UTF8
    try:
        root = xmldoc.parse(body.rstrip(b" "), charset, max_bytes=_REQUEST_BYTES_MAX, max_nodes=200_000)
        if root.tag != "bocb2e":
            raise ProtocolError("missing", f"the root is {root.tag!r}, not bocb2e")
    except ProtocolError as error:
        rule = RuleKind.CHARSET if error.reason == "charset" else RuleKind.FRAME
        shown = body[:40].decode("gb18030", "replace")
        words = (f"is no message of this bank: {error.text}", "不是本行报文")
        source = "boc.md 1, encoding" if error.reason == "charset" else "boc.md 2, envelope"
        raise Refused(UNFIT.code, UNFIT.text, (_broken("http/body", rule, shown, *words, source=source),)) from None
    return root


def _broken(
    place: str,
    rule: RuleKind,
    stated: str,
    english: str,
    chinese: str,
    *,
    source: str = "boc.md 2, envelope",
    guessed: bool = False,
) -> RequestFinding:
    """A broken rule that stands in no table of twin_rules.py."""
    return RequestFinding(place, rule, stated, BothLanguages(english, chinese), source, UNFIT, guessed)


def _worst(status: _Status, rows: Sequence[Markup]) -> _Status:
    """The first status of a row that is not B001, else that of the message."""
    shown = "".join(rows)
    pairs = zip(re.findall("<rspcod>([^<]*)<", shown), re.findall("<(?:rsp|err)msg>([^<]*)<", shown))
    return next((_Status(*pair) for pair in pairs if pair[0] != "B001"), status)


def _instruction(row: etree._Element) -> Instruction:
    payer, payee, name = (_text(row, tag) for tag in ("fractn/actacn", "toactn/actacn", "toactn/toname"))
    amount = Money.parse(_text(row, "trnamt"))
    return Instruction(_text(row, "insid"), payer, payee, name, amount, _text(row, "furinfo"))


def _wage(row: etree._Element, line: etree._Element, reference: str) -> Instruction:
    payer, payee, name = _text(row, "fractn/actacn"), _text(line, "toactn"), _text(line, "toname")
    return Instruction(reference, payer, payee, name, Money.parse(_text(line, "pydamt")), _text(row, "useinf"))


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
