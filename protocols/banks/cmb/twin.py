"""The bank's front end as its own page describes it, written from that and not from our adapter.

Answer fields come in alphabetical order among others that nobody documents. twin_reading.py and twin_rules.py judge
each request first; one that breaks a rule is refused and books nothing. Line codes are those of the page: SUC0000,
NCB4241, and FAAQ086 and FABZ002, which were seen in the bank's other mode.

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
`reverses` books what comes back as a reversal of the bank's own (RSVFLG `*`) beside the payment's reference;
`printed` has SDKCSFDFBRT tell receipts under RRCFLG 2 only, as those that were printed before.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final
from urllib.parse import quote_plus

from lxml import etree

from protocols.bank import BadOptions, Cutter
from protocols.banks.cmb.twin_orders import Orders, Refused, row, texts
from protocols.banks.cmb.twin_reading import REQUEST_BYTES_MAX, Asked, judged, read
from protocols.banks.cmb.twin_rules_forms import NO_ACCOUNT, NOT_ASKED
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.judge import RequestFinding
from protocols.kit import http
from protocols.kit.framing import LengthPrefix
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Books, Entry, Twin

ENTRY: Final = (
    "ETYDAT",
    "ETYTIM",
    "VLTDAT",
    "TRSCOD",
    "NARYUR",
    "TRSAMT",
    "TRSAMTD",
    "TRSAMTC",
    "AMTCDR",
    "TRSBLV",
    "REFNBR",
    "REQNBR",
    "BUSNAM",
    "NUSAGE",
    "YURREF",
    "BUSNAR",
    "OTRNAR",
    "C_RPYBBK",
    "RPYNAM",
    "RPYACC",
    "RPYBBN",
    "RPYBNK",
    "RPYADR",
    "C_GSBBBK",
    "GSBACC",
    "GSBNAM",
    "INFFLG",
    "ATHFLG",
    "CHKNBR",
    "RSVFLG",
    "NAREXT",
    "TRSANL",
    "REFSUB",
    "FRMCOD",
)
"""The fields of an entry that the page names (A2, details)."""
_LINE_CODE: Final = re.compile(r"<ERRCOD>(?!SUC0000<)([^<]+)</ERRCOD>(?:<ERR(?:TXT|DSP)>([^<]*)<)?")
_ZONE: Final = timezone(timedelta(hours=8))
_GAPS_S: Final[Mapping[str, float]] = {"submit": 1.0, "query": 2.0, "notice": 5.0}
_SUBMITS: Final = ("DCPAYMNT", "DCOPRTRF", "AgentRequest", "NTAGCSAL", "NTAGCAPY", "NTAGCACL")
_NOTICES: Final = ("GetNewNotice", "GetHisNoticeEX")
_DETAILS: Final = ("NTAGDINF", "GetAgentDetail")


@dataclass(frozen=True, slots=True)
class Conduct:
    """The switches of the twin, which the module's description lists."""

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
    reverses: bool = False
    printed: bool = False


@dataclass(slots=True)
class FrontEnd:
    """The simulated front end with its bank. Each short connection carries one exchange."""

    conduct: Conduct
    orders: Orders
    ports: tuple[str, ...] = ("business",)
    _asked: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port == "business", port
        if self.conduct.transport == "socket":
            return LengthPrefix(8, pad=" ", align="left").cutter(REQUEST_BYTES_MAX)
        return http.HttpRequests().cutter(REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close. A request that breaks a rule is refused, and nothing is booked."""
        asked = read(request, self.conduct.transport)
        findings = judged(asked, self.conduct.login, books)
        code, message, parts = "0", "", list[Markup]()
        try:
            parts = self._refused(asked, findings, books) if findings else self._called(asked, books)
        except Refused as refused:
            code, message = refused.code, refused.text
        taken = asked.function in _SUBMITS and code == "0" and not findings
        if taken and self.conduct.call_fails:
            code, message = "-2", "执行失败"
        info = asked.root.find("INFO")
        head = dict(texts(info)) if info is not None else {}
        head |= {"DATTYP": "2", "ERRMSG": message, "FUNNAM": self._named(asked.function), "RETCOD": code}
        if self.conduct.gb18030:
            head["ERRMSG"] = message + "𬭎"
        document = el("CMBSDKPGK", row("INFO", head), parts)
        told = (findings[0].refusal.code, findings[0].refusal.text) if findings else _told(code, message, parts)
        data = self._framed(document, failing=taken and self.conduct.http_500)
        return Answer(data, True, asked.function, *told, findings)

    def _refused(self, asked: Asked, findings: tuple[RequestFinding, ...], books: Books) -> list[Markup]:
        """The answer to a request that breaks a rule. Raises Refused where the whole call has a RETCOD for it.

        A line code is written on each line of a payment, as in the captured answer to a duplicate. NTQADINF refuses
        each account by itself.
        """
        refusal = findings[0].refusal
        if not refusal.code.startswith("-") and asked.function == "NTQADINF":
            return self._balances(asked.root, books)
        lines = self.orders.refused_lines(asked.root, refusal)
        if not lines:
            code = refusal.code if refusal.code.startswith("-") else "-2"
            raise Refused(code, f"{refusal.text} {findings[0].place}")
        return lines

    def _named(self, function: str) -> str:
        return "Payment" if self.conduct.document_name and function == "DCPAYMNT" else function

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

    def _called(self, asked: Asked, books: Books) -> list[Markup]:
        known: Mapping[str, Callable[[etree._Element, Books], list[Markup]]] = {
            "ListMode": self._modes,
            "NTQADINF": self._balances,
            "SDKNTQABINF": self._past,
            "GetTransInfoEX": self._entries,
            "SDKCSFDFBRT": self._receipts,
            **self.orders.functions,
        }
        function = asked.function
        self._slow_down(asked.value("INFO/LGNNAM"), function, books.now())
        if (self.conduct.no_details and function in _DETAILS) or (self.conduct.no_notices and function in _NOTICES):
            raise Refused("-2", "无此权限")
        return known[function](asked.root, books)

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
            return row("NTQADINFZ", {"ACCNBR": account, "ERRCOD": NO_ACCOUNT.code, "ERRTXT": NO_ACCOUNT.text})
        return row(
            "NTQADINFZ",
            {
                "ACCBLV": str(held.previous_day),
                "ACCITM": "20101",
                "ACCNAM": held.holder,
                "ACCNBR": account,
                "AVLBLV": str(held.book - held.frozen),
                "BBKNBR": one.findtext("BBKNBR") or "",
                "CCYNBR": "10",
                "C_CCYNBR": "人民币",
                "DPSTXT": "活期",
                "ERRCOD": "SUC0000",
                "ERRTXT": "",
                "HLDBLV": str(held.frozen),
                "INTRAT": "0.3500000",
                "LMTOVR": "0.00",
                "ONLBLV": str(held.book),
                "OPNDAT": "20100101",
                "RELNBR": "",
                "RSV30Z": "",
                "STSCOD": "A",
            },
        )

    def _past(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = _part(root, "NTQABINFY")
        account, first, last = asked["ACCNBR"], _day(asked["BGNDAT"]), _day(asked["ENDDAT"])
        found: list[Markup] = []
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            held = books.holding(account, day)
            if held is None:
                raise Refused(NOT_ASKED.code, NOT_ASKED.text)
            found.append(
                row(
                    "NTQABINFZ",
                    {
                        "ACCNBR": account,
                        "BALAMT": str(held.book),
                        "BBKNBR": asked.get("BBKNBR", ""),
                        "RSV30Z": "",
                        "TRSDAT": f"{day:%Y%m%d}",
                    },
                )
            )
        return found

    def _entries(self, root: etree._Element, books: Books) -> list[Markup]:
        asked = _part(root, "SDKRBPTRSX")
        account, day = asked["ACCNBR"], _day(asked["TRSDAT"])
        begin = int(asked.get("TRSSEQ") or "0")
        entries = books.entries(account, day, day)
        if self.conduct.sweeps and day == books.now().astimezone(_ZONE).date():
            entries = entries[:-1]
        page = entries[begin : begin + self.conduct.page_lines]
        more = begin + len(page) < len(entries)
        sums = {side: [one.amount.minor for one in page if one.direction is side] for side in Direction}
        debits, credits_ = sums[Direction.DEBIT], sums[Direction.CREDIT]
        end = {
            "COTFLG": "Y" if more else "N",
            "CRTAMT": str(Money(sum(credits_))),
            "CRTNBR": str(len(credits_)),
            "DBTAMT": str(Money(sum(debits))),
            "DBTNBR": str(len(debits) + self.conduct.wrong_sums),
            "RSV50Z": "",
            "TRSSEQ": str(0 if self.conduct.stuck and begin else begin + max(len(page) - 1, 0)),
        }
        return [*(self._entry(one) for one in page), row("NTRBPTRSZ1", end)]

    def _entry(self, one: Entry) -> Markup:
        out, amount = one.direction is Direction.DEBIT, str(one.amount)
        side = "X" if self.conduct.odd_row and one.number == 2 else "D" if out else "C"
        after = "0.00" if self.conduct.zero_balances else str(one.balance_after)
        if self.conduct.signed and out:
            amount = f"-{amount}"
        return row(
            "NTQTSINFZ",
            dict.fromkeys(ENTRY, "")
            | {
                "AMTCDR": side,
                "ATHFLG": "N",
                "BUSNAM": "",
                "C_BUSNAM": "企业银行支付",
                "ETYDAT": f"{one.bank_date:%Y%m%d}",
                "ETYTIM": f"{one.at.astimezone(_ZONE):%H%M%S}",
                "INFFLG": "2",
                "NARYUR": one.text,
                "NUSAGE": "",
                "REFNBR": _serial(one),
                "REQNBR": "",
                "RPYACC": one.counterparty_account,
                "RPYNAM": one.counterparty_name,
                "RSVFLG": "*" if self.conduct.reverses and one.text == "returned" else "",
                "RSV31Z": "",
                "TRSAMT": amount,
                "TRSAMTC": "" if out else amount,
                "TRSAMTD": amount if out else "",
                "TRSANL": "AIC3",
                "TRSBLV": after,
                "TRSCOD": "FEE" if one.fee else "CPAA",
                "VLTDAT": f"{one.bank_date:%Y%m%d}",
                "YURREF": "" if one.fee else one.reference,
            },
        )

    def _receipts(self, root: etree._Element, books: Books) -> list[Markup]:
        """Make a receipt for each entry of these days: its text, by its kind, and at the end its number and check code.

        Fees have a sort of their own, whose CSRRCFDFZ1 has no TRSSEQ.
        """
        asked = _part(root, "CSRRCFDFY0")
        account, first, last = asked["EACNBR"], _day(asked["BEGDAT"]), _day(asked["ENDDAT"])
        held = books.holding(account)
        low, high = (_amount(asked.get(tag, "")) for tag in ("BEGAMT", "ENDAMT"))
        if asked["RRCFLG"] != ("2" if self.conduct.printed else "1"):
            return []
        least, most = low or 0, 10**15 if high is None else high
        found = [one for one in books.entries(account, first, last) if least <= one.amount.minor <= most]
        named = [_number_and_code(one) for one in found]
        holder = held.holder if held is not None else ""
        return [*(_receipt(one, account, holder) for one in found), *(row("CSRRCFDFZ1", one) for one in named)]


def _serial(one: Entry) -> str:
    return f"K{one.number:014d}"


def _number_and_code(one: Entry) -> Mapping[str, str]:
    code = hashlib.sha256(_serial(one).encode()).hexdigest()[:16].upper()
    number = {"CHKCOD": code, "ISTNBR": f"{one.number:013d}"}
    return number if one.fee else {**number, "ITMCOD": "HD002013", "TRSSEQ": _serial(one)}


def _receipt(one: Entry, account: str, holder: str) -> Markup:
    number, amount, day = f"{one.number:013d}", str(one.amount), f"{one.bank_date:%Y%m%d}"
    if one.fee:
        return row(
            "ABFEEPRTZ1",
            {
                "ACCNBR": account,
                "ACTCOD": "10001",
                "ACTSEQ": "00001",
                "AMTCOD": "D",
                "AMTTRS": amount,
                "BRNNAM": "",
                "BRNNBR": "",
                "BUSNBR": "",
                "CCYNBR": "10",
                "CLTNBR": "",
                "EACNAM": holder,
                "ISTNBR": number,
                "NARSMT": "手续费",
                "SEQNBR": "",
                "SYSDAT": day,
                "TRXSET": "",
            },
        )
    out = one.direction is Direction.DEBIT
    ours, theirs = (account, holder), (one.counterparty_account, one.counterparty_name)
    payer, payee = (ours, theirs) if out else (theirs, ours)
    more = {"REFTCD": "N02031"} if out else {}
    return row(
        "CPRRCSNDX1" if out else "CPRRCRCVX1",
        more
        | {
            "BUSNBR": "",
            "CCYNBR": "10",
            "ISTNBR": number,
            "ISUDAT": day,
            "NARTX1": f"N02031{one.reference}" if out else "",
            "NARTXT": one.text,
            "RCVEAA": "",
            "RCVEAB": "",
            "RCVEAC": payee[0],
            "RCVEAN": payee[1],
            "REGEAC": account,
            "RRCTYP": "CPRRCSN2" if out else "CPRRCCR1",
            "SNDEAA": "",
            "SNDEAB": "",
            "SNDEAC": payer[0],
            "SNDEAN": payer[1],
            "SPLC80": "",
            "TLRNBR": "",
            "TRSAMT": amount,
            "TRSNBR": "",
            "TSKNBR": "",
        },
    )


def _amount(text: str) -> int | None:
    return Money.parse(text).minor if text else None


def _part(root: etree._Element, name: str) -> Mapping[str, str]:
    found = root.find(name)
    return {} if found is None else dict(texts(found))


def _day(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))


def _told(code: str, message: str, parts: Sequence[Markup]) -> tuple[str, str]:
    """The code and text of an answer: RETCOD and ERRMSG, or the first line's ERRCOD and its text where a line is
    refused.
    """
    if code != "0":
        return code, message
    for part in parts:
        found = _LINE_CODE.search(part)
        if found is not None:
            return found.group(1), found.group(2) or ""
    return code, message


def build(options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
    """The twin under `options`; it signs nothing, so `keys` may be empty. Raises BadOptions on an unknown option."""
    known: Sequence[str] = [one.name for one in fields(Conduct)]
    for key in options:
        if key not in known:
            raise BadOptions(key, f"no such option of the twin; there are {', '.join(known)}")
    conduct = Conduct(**options)
    orders = Orders(
        conduct.at_once,
        conduct.refuse_bare,
        conduct.refused_unlisted,
        conduct.twice,
        conduct.blind,
        conduct.whole_batch,
        conduct.dressed,
        conduct.no_status,
        conduct.odd_row,
    )
    return FrontEnd(conduct, orders)
