"""The bank's front end as its own page describes it, written from that and not from our adapter.

Answer fields come in alphabetical order among others that nobody documents. Codes that begin with ERR are invented,
because the page lists no line codes but SUC0000 and NCB4241.

Options. `transport` http, http-form or socket; `login` (any, when left out); `page_lines` entries an answer (50).
Faults, each off when left out: `too_fast` refuses a user's calls under 1 s (handing in), 2 s (queries), 5 s (notices)
with RETCOD -5 instead of delaying them; `at_once` answers FIN and S where the money moved at once; `refuse_bare` gives
a refused line no REQNBR; `refused_unlisted` keeps lines refused as handed in out of every enquiry; `call_fails` answers
RETCOD -2 beside lines it took; `http_500` answers 500 after taking; `twice` shows an earlier failed record under each
reference; `blind` answers enquiries by reference with nothing; `stuck` repeats the place of the next page; `signed`
writes debits below zero; `wrong_sums` counts one entry too many; `gb18030` declares GB2312 and writes beyond GBK;
`form_answer` wraps the answer of http-form; `counts_characters` counts characters in the length of a socket frame;
`whole_batch` answers NTAGCINY with FIN and S before its lines are decided; `dressed` has NTAGCINY tell the repeat of
a payroll (FIN, F, NCB4241, no REQNBR, as captured of DCPAYMNT) in place of the first one; `no_details` declines
NTAGDINF and GetAgentDetail, `no_notices` notices; `sweeps` leaves the day's last entry out until the day is over, as
the bank does with what is swept in real time; `document_name` answers DCPAYMNT under the name Payment, as the
document's sample does; `no_status` leaves STSCOD out of each message's second line; `odd_row` gives an account's
second entry no readable side and the second record of NTQRYSTN no account; `zero_balances` says 0.00 behind each entry;
`printed` has SDKCSFDFBRT tell receipts under RRCFLG 2 only, as those that were printed before.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final
from urllib.parse import quote_plus, unquote_to_bytes

from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.banks.cmb.twin_orders import Orders, Refused, row, texts
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.framing import LengthPrefix
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Books, Entry, Twin

ENTRY: Final = (
    "ETYDAT", "ETYTIM", "VLTDAT", "TRSCOD", "NARYUR", "TRSAMT", "TRSAMTD", "TRSAMTC", "AMTCDR", "TRSBLV", "REFNBR",
    "REQNBR", "BUSNAM", "NUSAGE", "YURREF", "BUSNAR", "OTRNAR", "C_RPYBBK", "RPYNAM", "RPYACC", "RPYBBN", "RPYBNK",
    "RPYADR", "C_GSBBBK", "GSBACC", "GSBNAM", "INFFLG", "ATHFLG", "CHKNBR", "RSVFLG", "NAREXT", "TRSANL", "REFSUB",
    "FRMCOD",
)  # fmt: skip
"""The fields of an entry that the page names (A2, details)."""
_ZONE: Final = timezone(timedelta(hours=8))
_REQUEST_BYTES_MAX: Final = 4 * 1_048_576
_GAPS_S: Final[Mapping[str, float]] = {"submit": 1.0, "query": 2.0, "notice": 5.0}
_SUBMITS: Final = ("DCPAYMNT", "DCOPRTRF", "AgentRequest", "NTAGCSAL", "NTAGCAPY", "NTAGCACL")
_NOTICES: Final = ("GetNewNotice", "GetHisNoticeEX")
_DETAILS: Final = ("NTAGDINF", "GetAgentDetail")
_NOT_HERE: Final = ("Login", "Logout", "SetConfig", "SetAlive", "FreeBuffer", "XmlComm")


@dataclass(frozen=True, slots=True)
class Conduct:
    """The switches of the module's description."""

    transport: str = "http"
    login: str = ""
    page_lines: int = 50
    cheap: bool = False
    too_fast: bool = False
    at_once: bool = False
    refuse_bare: bool = False
    refused_unlisted: bool = False
    call_fails: bool = False
    http_500: bool = False
    twice: bool = False
    blind: bool = False
    stuck: bool = False
    signed: bool = False
    wrong_sums: bool = False
    gb18030: bool = False
    form_answer: bool = False
    counts_characters: bool = False
    whole_batch: bool = False
    dressed: bool = False
    no_details: bool = False
    no_notices: bool = False
    sweeps: bool = False
    document_name: bool = False
    no_status: bool = False
    odd_row: bool = False
    zero_balances: bool = False
    printed: bool = False


@dataclass(slots=True)
class FrontEnd:
    """The simulated front end with its bank. One short connection carries one exchange."""

    conduct: Conduct
    orders: Orders
    ports: tuple[str, ...] = ("business",)
    _asked: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port == "business", port
        if self.conduct.transport == "socket":
            return LengthPrefix(8, pad=" ", align="left").cutter(_REQUEST_BYTES_MAX)
        return http.HttpRequests().cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close."""
        try:
            root = xmldoc.parse(self._document(request), GBK, max_bytes=_REQUEST_BYTES_MAX, max_nodes=200_000)
        except ProtocolError:
            root = etree.Element("nothing")
        info = root.find("INFO")
        function = "" if info is None else (info.findtext("FUNNAM") or "").strip()
        code, message, parts = "0", "", list[Markup]()
        try:
            parts = self._called(function, root, books)
        except Refused as refused:
            code, message = refused.code, refused.text
        except KeyError as missing:
            code, message = "-3", f"缺少字段{missing}"
        taken = function in _SUBMITS and code == "0"
        if taken and self.conduct.call_fails:
            code, message = "-2", "执行失败"
        head = dict(texts(info)) if info is not None else {}
        head |= {"DATTYP": "2", "ERRMSG": message, "FUNNAM": self._named(function), "RETCOD": code}
        if self.conduct.gb18030:
            head["ERRMSG"] = message + "𬭎"
        document = el("CMBSDKPGK", row("INFO", head), parts)
        return Answer(self._framed(document, failing=taken and self.conduct.http_500), close=True)

    def _named(self, function: str) -> str:
        return "Payment" if self.conduct.document_name and function == "DCPAYMNT" else function

    def _document(self, request: bytes) -> bytes:
        if self.conduct.transport == "socket":
            return request
        read = http.parse_request(request)
        if self.conduct.transport == "http":
            return read.body
        name, _, document = read.body.partition(b"=")
        return unquote_to_bytes(document.replace(b"+", b" ")) if name == b"REQDATA" else b""

    def _framed(self, document: Markup, *, failing: bool) -> bytes:
        charset = "gb18030" if self.conduct.gb18030 else "gbk"
        text = f'<?xml version="1.0" encoding="{"GB2312" if self.conduct.gb18030 else "GBK"}"?>{document}'
        data = text.encode(charset, errors="replace")
        if self.conduct.transport == "socket":
            length = len(text) if self.conduct.counts_characters else len(data)
            return str(length).ljust(8).encode("ascii") + data
        if self.conduct.form_answer:
            data = b"REQDATA=" + quote_plus(data).encode("ascii")
        if failing:
            return http.answer(500, (("Content-Type", "text/html"),), b"<html/>", "Internal Server Error")
        return http.answer(200, (("Content-Type", "text/xml; charset=GBK"),), data)

    def _called(self, function: str, root: etree._Element, books: Books) -> list[Markup]:
        login = (root.findtext("INFO/LGNNAM") or "").strip()
        if root.tag != "CMBSDKPGK" or not function or function in _NOT_HERE:
            raise Refused("-3", "数据格式错误")
        if not login or (self.conduct.login and login != self.conduct.login):
            raise Refused("-4", "用户未登录")
        known: Mapping[str, Callable[[etree._Element, Books], list[Markup]]] = {
            "ListMode": self._modes, "NTQADINF": self._balances, "SDKNTQABINF": self._past,
            "GetTransInfoEX": self._entries, "SDKCSFDFBRT": self._receipts, **self.orders.functions,
        }  # fmt: skip
        if function not in known:
            raise Refused("-3", "接口不存在")
        self._slow_down(login, function, books.now())
        if (self.conduct.no_details and function in _DETAILS) or (self.conduct.no_notices and function in _NOTICES):
            raise Refused("-2", "无此权限")
        return known[function](root, books)

    def _slow_down(self, login: str, function: str, now: datetime) -> None:
        sort = "submit" if function in _SUBMITS else "notice" if function in _NOTICES else "query"
        before = self._asked.get((login, sort))
        if self.conduct.too_fast and before is not None and (now - before).total_seconds() < _GAPS_S[sort]:
            raise Refused("-5", "请求过于频繁")
        self._asked[(login, sort)] = now

    # ---- accounts ---------------------------------------------------------------------------------------------

    def _modes(self, root: etree._Element, books: Books) -> list[Markup]:
        return [row("NTQMDLSTZ", {"BUSMOD": "00001", "MODALS": "直接支付"})]

    def _balances(self, root: etree._Element, books: Books) -> list[Markup]:
        return [self._balance(one, books) for one in root.iterchildren("NTQADINFX")]

    def _balance(self, one: etree._Element, books: Books) -> Markup:
        account = (one.findtext("ACCNBR") or "").strip()
        held = books.holding(account)
        if held is None:
            return row("NTQADINFZ", {"ACCNBR": account, "ERRCOD": "ERR0001", "ERRTXT": "户口不存在"})
        return row("NTQADINFZ", {
            "ACCBLV": str(held.previous_day), "ACCITM": "20101", "ACCNAM": held.holder, "ACCNBR": account,
            "AVLBLV": str(held.book - held.frozen), "BBKNBR": one.findtext("BBKNBR") or "", "CCYNBR": "10",
            "C_CCYNBR": "人民币", "DPSTXT": "活期", "ERRCOD": "SUC0000", "ERRTXT": "", "HLDBLV": str(held.frozen),
            "INTRAT": "0.3500000", "LMTOVR": "0.00", "ONLBLV": str(held.book), "OPNDAT": "20100101", "RELNBR": "",
            "RSV30Z": "", "STSCOD": "A",
        })  # fmt: skip

    def _past(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = _part(root, "NTQABINFY")
        account, first, last = asked["ACCNBR"], _day(asked["BGNDAT"]), _day(asked["ENDDAT"])
        today = books.now().astimezone(_ZONE).date()
        if not first <= last < today or (last - first).days > 30:
            raise Refused("-3", "查询日期范围错误")
        found: list[Markup] = []
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            held = books.holding(account, day)
            if held is None:
                raise Refused("-2", "户口不存在")
            found.append(row("NTQABINFZ", {
                "ACCNBR": account, "BALAMT": str(held.book), "BBKNBR": asked["BBKNBR"], "RSV30Z": "",
                "TRSDAT": f"{day:%Y%m%d}",
            }))  # fmt: skip
        return found

    def _entries(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = _part(root, "SDKRBPTRSX")
        account, day = asked["ACCNBR"], _day(asked["TRSDAT"])
        if books.holding(account) is None:
            raise Refused("-2", "户口不存在")
        begin = int(asked.get("TRSSEQ") or "0")
        entries = books.entries(account, day, day)
        if self.conduct.sweeps and day == books.now().astimezone(_ZONE).date():
            entries = entries[:-1]
        page = entries[begin : begin + self.conduct.page_lines]
        more = begin + len(page) < len(entries)
        sums = {side: [one.amount.minor for one in page if one.direction is side] for side in Direction}
        debits, credits_ = sums[Direction.DEBIT], sums[Direction.CREDIT]
        end = {
            "COTFLG": "Y" if more else "N", "CRTAMT": str(Money(sum(credits_))), "CRTNBR": str(len(credits_)),
            "DBTAMT": str(Money(sum(debits))), "DBTNBR": str(len(debits) + self.conduct.wrong_sums), "RSV50Z": "",
            "TRSSEQ": str(0 if self.conduct.stuck and begin else begin + max(len(page) - 1, 0)),
        }  # fmt: skip
        return [*(self._entry(one) for one in page), row("NTRBPTRSZ1", end)]

    def _entry(self, one: Entry) -> Markup:
        out, amount = one.direction is Direction.DEBIT, str(one.amount)
        side = "X" if self.conduct.odd_row and one.number == 2 else "D" if out else "C"
        after = "0.00" if self.conduct.zero_balances else str(one.balance_after)
        if self.conduct.signed and out:
            amount = f"-{amount}"
        return row("NTQTSINFZ", dict.fromkeys(ENTRY, "") | {
            "AMTCDR": side, "ATHFLG": "N", "BUSNAM": "", "C_BUSNAM": "企业银行支付", "ETYDAT":
            f"{one.bank_date:%Y%m%d}", "ETYTIM": f"{one.at.astimezone(_ZONE):%H%M%S}", "INFFLG": "2",
            "NARYUR": one.text, "NUSAGE": "", "REFNBR": _serial(one), "REQNBR": "",
            "RPYACC": one.counterparty_account, "RPYNAM": one.counterparty_name, "RSVFLG": "", "RSV31Z": "",
            "TRSAMT": amount, "TRSAMTC": "" if out else amount, "TRSAMTD": amount if out else "",
            "TRSANL": "AIC3", "TRSBLV": after, "TRSCOD": "FEE" if one.fee else "CPAA",
            "VLTDAT": f"{one.bank_date:%Y%m%d}", "YURREF": "" if one.fee else one.reference,
        })  # fmt: skip


    def _receipts(self, root: etree._Element, books: Books) -> list[Markup]:
        """A receipt for each entry of these days: what it says, by its sort, and below all its number and check code.

        Fees have a sort of their own, whose CSRRCFDFZ1 has no TRSSEQ.
        """
        asked = _part(root, "CSRRCFDFY0")
        account, first, last = asked["EACNBR"], _day(asked["BEGDAT"]), _day(asked["ENDDAT"])
        held = books.holding(account)
        if held is None:
            raise Refused("-2", "户口不存在")
        if not first <= last or (last - first).days > 30 or asked["RRCFLG"] not in ("1", "2"):
            raise Refused("-3", "查询条件错误")
        low, high = (_amount(asked.get(tag, "")) for tag in ("BEGAMT", "ENDAMT"))
        if asked["RRCFLG"] != ("2" if self.conduct.printed else "1"):
            return []
        least, most = low or 0, 10**15 if high is None else high
        found = [one for one in books.entries(account, first, last) if least <= one.amount.minor <= most]
        named = [_number_and_code(one) for one in found]
        return [*(_receipt(one, account, held.holder) for one in found), *(row("CSRRCFDFZ1", one) for one in named)]


def _serial(one: Entry) -> str:
    return f"K{one.number:014d}"


def _number_and_code(one: Entry) -> Mapping[str, str]:
    code = hashlib.sha256(_serial(one).encode()).hexdigest()[:16].upper()
    number = {"CHKCOD": code, "ISTNBR": f"{one.number:013d}"}
    return number if one.fee else {**number, "ITMCOD": "HD002013", "TRSSEQ": _serial(one)}


def _receipt(one: Entry, account: str, holder: str) -> Markup:
    number, amount, day = f"{one.number:013d}", str(one.amount), f"{one.bank_date:%Y%m%d}"
    if one.fee:
        return row("ABFEEPRTZ1", {
            "ACCNBR": account, "ACTCOD": "10001", "ACTSEQ": "00001", "AMTCOD": "D", "AMTTRS": amount, "BRNNAM": "",
            "BRNNBR": "", "BUSNBR": "", "CCYNBR": "10", "CLTNBR": "", "EACNAM": holder, "ISTNBR": number,
            "NARSMT": "手续费", "SEQNBR": "", "SYSDAT": day, "TRXSET": "",
        })  # fmt: skip
    out = one.direction is Direction.DEBIT
    ours, theirs = (account, holder), (one.counterparty_account, one.counterparty_name)
    payer, payee = (ours, theirs) if out else (theirs, ours)
    more = {"REFTCD": "N02031"} if out else {}
    return row("CPRRCSNDX1" if out else "CPRRCRCVX1", more | {
        "BUSNBR": "", "CCYNBR": "10", "ISTNBR": number, "ISUDAT": day,
        "NARTX1": f"N02031{one.reference}" if out else "", "NARTXT": one.text, "RCVEAA": "", "RCVEAB": "",
        "RCVEAC": payee[0], "RCVEAN": payee[1], "REGEAC": account, "RRCTYP": "CPRRCSN2" if out else "CPRRCCR1",
        "SNDEAA": "", "SNDEAB": "", "SNDEAC": payer[0], "SNDEAN": payer[1], "SPLC80": "", "TLRNBR": "",
        "TRSAMT": amount, "TRSNBR": "", "TSKNBR": "",
    })  # fmt: skip


def _amount(text: str) -> int | None:
    if text and not re.fullmatch(r"[0-9]{1,13}(\.[0-9]{1,2})?", text):
        raise Refused("-3", "金额无效")
    return Money.parse(text).minor if text else None


def _part(root: etree._Element, name: str) -> Mapping[str, str]:
    found = root.find(name)
    if found is None:
        raise Refused("-3", f"缺少接口{name}")
    return dict(texts(found))


def _day(text: str) -> date:
    if not re.fullmatch("[0-9]{8}", text):
        raise Refused("-3", "日期无效")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise Refused("-3", "日期无效") from None


def build(options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
    """The twin under `options`; it signs nothing, so `keys` may be empty. Raises BadOptions on an unknown option."""
    known: Sequence[str] = [one.name for one in fields(Conduct)]
    for key in options:
        if key not in known:
            raise BadOptions(key, f"no such option of the twin; there are {', '.join(known)}")
    conduct = Conduct(**options)
    orders = Orders(conduct.at_once, conduct.refuse_bare, conduct.refused_unlisted, conduct.twice, conduct.blind,
                    conduct.whole_batch, conduct.dressed, conduct.no_status, conduct.odd_row)  # fmt: skip
    return FrontEnd(conduct, orders)
