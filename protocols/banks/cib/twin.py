"""The bank's side of FOX, written from the bank's page and not from our own adapter.

Every request is judged by the rules of twin_rules.py and twin_shape.py before anything else. One that breaks a rule is
refused and books nothing. A repeated TRNUID executes nothing and returns the earlier result. Bundles are in
twin_bundles.py, entries and receipts in twin_accounts.py.

Options: `customer`, `user`, `password` (any, if left out), `lock_after` wrong passwords (5). Faults: `enable_sign`
False (instructions wait for approval), `word` (XFERPRCCODE of every submit, for instance "PENDING"), `trouble` (CODE of
every submit, although it was booked), `used` (a repeat is refused with 12345), `enquiry_code` (every enquiry is
refused), `not_found` ("code", or "list" for FROM/TO -1), `core` ("result/status/clm" of INQSTATE), `lower_size`,
`turned` (bundle lines in reverse order), `lost_line` (its number), `strange_line` (its number; it states another
amount), `line_word` (status of every line), `round` (pages never end), `cut_names` (names cut in half a character),
`indent` (rows are indented as in the manual), `reference_in` (element of an entry that has TRNUID), `receipt_path`,
`zipped` (receipts in an archive), `bare` (no XML declaration), `http_500` (HTTP 500 to every submit, although it was
booked), `registered` (an undecided payment is PAYOUT with 登记成功), `reduced` (a payroll's totals are without its
failed lines). `cheap` changes nothing, because there is no signature to skip.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import timedelta, timezone
from typing import Any, Final

from lxml import etree

from protocols.bank import Cutter
from protocols.banks.cib.twin_accounts import AccountQuestions
from protocols.banks.cib.twin_bundles import Bundling
from protocols.banks.cib.twin_rules import (
    ASKED_AGAIN,
    CONTENT,
    LOG_ON,
    LOG_ON_FAILED,
    LOG_ON_MALFORMED,
    NO_FOX,
    NO_OPERATOR,
    NO_SUCH_OPERATION,
    OTHER_CERTIFICATE,
    RULES,
)
from protocols.banks.cib.twin_rules_parts import AskedFields, broken_rule
from protocols.banks.cib.twin_shape import ENVELOPE, SHAPES, judge_shape
from protocols.banks.cib.twin_words import REGISTERED, Broke, Faults, Refused, leaves, sole, text
from protocols.canon.money import Money
from protocols.judge import BankRefusal, RequestFinding, RuleKind, XmlFields
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Booked, Booking, Books, Duplicate, Instruction, Twin

_ZONE: Final = timezone(timedelta(hours=8))
_REQUEST_BYTES_MAX: Final = 2 * 1_048_576
_DECLARATION: Final = '<?xml version="1.0" encoding="GBK" standalone="yes"?>'
_WORDS: Final = {
    Booked.TAKEN: ("PROCESSING", "处理中"),
    Booked.SETTLED: ("PAYOUT", "交易成功"),
    Booked.REFUSED: ("FAIL", "交易失败"),
    Booked.RETURNED: ("PAYOUT", "交易成功"),
}
Operation = Callable[[str, etree._Element, Books], Markup | None]
_SIGN_ON: Final = "SIGNONMSGSRQV1/SONRQ"
_HTTP_ROW: Final = "cib.md 1: HTTP POST, Content-Type: application/x-fox"
_LOG_ON_ROW: Final = "cib.md 2: 15500 登录失败, 2000 操作员不存在/证书不符"
_STATE: Final = re.compile("<XFERPRCCODE>([^<]*)</XFERPRCCODE>(?:<DTXFERPRC>[^<]*</DTXFERPRC>)?<MESSAGE>([^<]*)<")


@dataclass(slots=True)
class Told:
    """The facts of an answer, gathered while it is made: operations, the first code, and broken rules."""

    operations: list[str] = field(default_factory=list)
    code: str = ""
    reason: str = ""
    findings: list[RequestFinding] = field(default_factory=list)

    def refused(self, refused: Refused) -> None:
        """Take the code and text of a refusal, and the rules behind it, unless an earlier one was taken."""
        if not self.code or (self.code == "0" and refused.findings) or (refused.findings and not self.findings):
            self.code, self.reason = refused.code, refused.words
        self.findings += refused.findings

    def done(self, content: Markup | None) -> None:
        """Take the state of an instruction from what was answered with CODE 0."""
        if not self.code:
            state = _STATE.search(content or "")
            self.code, self.reason = "0", "" if state is None else f"{state[1]} {state[2]}".strip()

    def answer(self, data: bytes) -> Answer:
        """The answer with these bytes."""
        return Answer(data, True, " ".join(self.operations), self.code, self.reason, tuple(self.findings))


@dataclass(slots=True)
class FoxBank:
    """The simulated front end with the bank behind it. Each connection carries one exchange."""

    customer: str = ""
    user: str = ""
    password: str = ""
    lock_after: int = 5
    receipt_path: str = ""
    faults: Faults = field(default_factory=Faults)
    ports: tuple[str, ...] = ("business",)
    questions: AccountQuestions = field(default_factory=AccountQuestions)
    bundling: Bundling = field(default_factory=Bundling)
    wrong_passwords: int = 0
    keys: set[str] = field(default_factory=set)
    fast: set[str] = field(default_factory=set)
    serials: dict[str, str] = field(default_factory=dict)

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port == "business", port
        return http.HttpRequests().cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close."""
        read = http.parse_request(request)
        if read.method == "GET" and not read.body:
            return self._file(read.target)
        told = Told()
        broken = tuple(_http(read))
        if broken:
            told.refused(_refusal_of(broken))
            return told.answer(http.answer(400, phrase="Bad Request"))
        try:
            body = self._document(read.body, books, told)
        except Broke:
            told.code, told.reason = "500", "Internal Server Error"
            return told.answer(http.answer(500, phrase="Internal Server Error"))
        declaration = "" if self.faults.bare else _DECLARATION
        headers = (("Content-Type", "application/x-fox"), ("Connection", "close"))
        # A name cut in the middle of a character cannot be text, so a mark stands for it and is replaced by bytes at
        # the end.
        document = self.questions.with_rows(xmldoc.build(body, GBK, declaration=declaration))
        return told.answer(http.answer(200, headers, document))

    def _file(self, target: str) -> Answer:
        before, _, after = self.receipt_path.partition("{file_id}")
        file_id = target.removeprefix(before).removesuffix(after)
        is_file = bool(self.receipt_path) and target == before + file_id + after
        data = self.questions.file(file_id) if is_file else None
        if data is None:
            words = ("is no file of a receipt that the bank has", "不是银行已有的回单文件")
            if not is_file:
                words = (
                    "a message comes with POST; GET fetches files of receipts only",
                    "报文须以 POST 发送；GET 仅用于下载回单文件",
                )
            found = broken_rule(NO_FOX, "target", RuleKind.HEADER, target, _HTTP_ROW, words)
            return Answer(http.answer(404, phrase="Not Found"), True, "GET", "404", "Not Found", (found,))
        return Answer(http.answer(200, (("Connection", "close"),), data), True, "GET", "200", "OK")

    # ---- the envelope ----------------------------------------------------------------------------------------

    def _document(self, data: bytes, books: Books, told: Told) -> Markup:
        now = f"{books.now().astimezone(_ZONE):%Y-%m-%d %H:%M:%S}"
        try:
            root = _parsed(data)
            told.operations += [_name(one) for one in root.iterfind("SECURITIES_MSGSRQV1/*")]
            key = self._log_on(root)
        except Refused as refused:
            told.refused(refused)
            return el("FOX", el("SIGNONMSGSRSV1", el("SONRS", _status(refused), el("DTSERVER", now))))
        head = el("SIGNONMSGSRSV1", el("SONRS", _status(None), el("DTSERVER", now), key, el("NEWFIELD", "1")))
        answers = [self._operation(one, books, told) for one in root.iterfind("SECURITIES_MSGSRQV1/*")]
        told.done(None)
        return el("FOX", head, el("SECURITIES_MSGSRSV1", answers))

    def _log_on(self, root: etree._Element) -> list[Markup]:
        """Judge the log-on. The result is the session key, if the client asked for one."""
        broken = (*_envelope(root), *judge_shape(root, ENVELOPE, LOG_ON_MALFORMED))
        if not broken:
            judged = LOG_ON.findings(XmlFields(sole(root, _SIGN_ON)), _NO_BOOKS)
            broken = tuple(replace(one, place=f"{_SIGN_ON}/{one.place}") for one in judged)
        if broken:
            raise _refusal_of(broken)
        request = sole(root, _SIGN_ON)
        if self.wrong_passwords >= self.lock_after:
            raise Refused("15500", "操作员已锁定")
        customer, user = text(request, "CID"), text(request, "USERID")
        if self.customer and customer != self.customer:
            words = ("is not this customer's number", "不是该客户的客户号")
            raise _log_on_broken(OTHER_CERTIFICATE, "CID", customer, words)
        if text(request, "USERKEY"):
            if text(request, "USERKEY") not in self.keys:
                raise _log_on_broken(
                    LOG_ON_FAILED, "USERKEY", "", ("was not given out by the bank", "不是银行发放的会话密钥")
                )
            return []
        if self.user and user != self.user:
            raise _log_on_broken(NO_OPERATOR, "USERID", user, ("is no operator of this customer", "不是该客户的操作员"))
        if self.password and text(request, "USERPASS") != self.password:
            self.wrong_passwords += 1
            raise _log_on_broken(LOG_ON_FAILED, "USERPASS", "", ("is not the operator's password", "密码不正确"))
        self.wrong_passwords = 0
        if text(request, "GENUSERKEY") != "Y":
            return []
        key = f"{customer}@{user}:{base64.b64encode(b'%d' % len(self.keys)).decode()}"
        self.keys.add(key)
        return [el("USERKEY", key)]

    def _operation(self, request: etree._Element, books: Books, told: Told) -> Markup:
        name, trnuid = _name(request), text(request, "TRNUID")
        answer = f"{name}RS"
        try:
            broken = _judged(name, request, books)
            if broken:
                raise _refusal_of(broken)
            content = self._known(name)(trnuid, request, books)
        except Refused as refused:
            told.refused(refused)
            return el(answer, el("TRNUID", trnuid), _status(refused), refused.body)
        told.done(content)
        return el(answer, el("TRNUID", trnuid), _status(None), content)

    def _known(self, name: str) -> Operation:
        known: Mapping[str, Operation] = {
            "XFERTRN": self._pay,
            "XPMTTRN": self._pay,
            "ICTRANSFERTRN": self._pay_fast,
            "XFERINQTRN": self._enquire,
            "ICTRANSFERINQTRN": self._enquire,
            "INQSTATETRN": self._core,
            **self.bundling.operations(self.faults),
            **self.questions.operations(self.faults),
        }
        return known[name]

    # ---- money one by one --------------------------------------------------------------------------------------

    def _pay_fast(self, trnuid: str, request: etree._Element, books: Books) -> Markup:
        if not self.faults.enable_sign:
            raise Refused("2000", "前置机代理软件参数需设置启用签名")
        self.fast.add(trnuid)
        return self._pay(trnuid, request, books)

    def _pay(self, trnuid: str, request: etree._Element, books: Books) -> Markup:
        pooled = request.tag != "XFERTRNRQ"
        if request.find("XMPTRQ") is None and pooled:
            return self._paid_before(trnuid, books)
        info = sole(request, "XMPTRQ/XFERINFO" if pooled else "XFERRQ/XFERINFO")
        wanted = _instruction(trnuid, info)
        try:
            booking = books.book_once(wanted)
        except Duplicate as known:
            if self.faults.used:
                raise Refused("12345", "TRNUID值已被使用") from None
            booking = known.booking
        else:
            if booking.booked is Booked.REFUSED:
                raise Refused("2002", f"账号与核心户名不符,应为:{booking.reason}")
        self.serials[booking.bank_serial] = trnuid
        word = self._word(booking)
        if self.faults.http_500:
            raise Broke
        if self.faults.trouble:
            raise Refused(self.faults.trouble, self.faults.trouble_words)
        return el(
            "XPMTRS" if pooled else "XFERRS",
            el("SRVRID", booking.bank_serial),
            _echo(info),
            _processed(booking, *word),
            el("CLIENTREF", trnuid),
        )

    def _paid_before(self, trnuid: str, books: Books) -> Markup:
        """The answer to XPMTTRN without content, which asks about the payment of this TRNUID."""
        booking = books.find(trnuid)
        if booking is None:
            raise Refused("2000", "支付指令不存在")
        said = _processed(booking, *self._word(booking))
        return el(
            "XPMTRS", el("SRVRID", booking.bank_serial), _booked_info(booking, books), said, el("CLIENTREF", trnuid)
        )

    def _word(self, booking: Booking) -> tuple[str, str]:
        if self.faults.word:
            return self.faults.word, ""
        if not self.faults.enable_sign:
            return "AUDITING", "待审批"
        if self.faults.registered and booking.booked is Booked.TAKEN:
            return REGISTERED
        return _WORDS[booking.booked]

    def _enquire(self, trnuid: str, request: etree._Element, books: Books) -> Markup:
        reference = text(sole(request, "XFERINQRQ"), "CLIENTREF")
        if self.faults.enquiry_code:
            raise Refused(self.faults.enquiry_code, "查询失败")
        elsewhere = (reference in self.fast) != (request.tag == "ICTRANSFERINQTRNRQ") and self.faults.fast_apart
        booking = None if elsewhere else books.find(reference)
        if booking is None and self.faults.not_found == "code":
            raise Refused("2000", "支付指令不存在")
        if booking is None:
            return el("XFERINQRS", el("XFERLIST", el("FROM", "-1"), el("TO", "-1"), MORE="N"))
        row = el(
            "XFER",
            el("SRVRTID", booking.bank_serial),
            _booked_info(booking, books),
            _processed(booking, *self._word(booking)),
        )
        return el("XFERINQRS", el("XFERLIST", el("FROM", "1"), el("TO", "1"), row, MORE="N"))

    def _core(self, trnuid: str, request: etree._Element, books: Books) -> Markup:
        asked = sole(request, "INQSTATECOND")
        reference = text(asked, "CLIENTREF") or self.serials.get(text(asked, "SRVRID"), "")
        booking = books.find(reference)
        if booking is None:
            raise Refused("2020", "指令不存在")
        done = {Booked.TAKEN: "0", Booked.REFUSED: "2"}.get(booking.booked, "1")
        result, status, reason = (*self.faults.core.split("/"), "", "")[:3] if self.faults.core else (done, "", "")
        if result == "1" and not status and books.holding(booking.instruction.creditor_account) is None:
            status = "Y"
        # The bank's samples have SRVRID inside XFERINFO, and no CLIENTREF.
        info = _booked_info(booking, books, el("SRVRID", booking.bank_serial))
        more = [el(tag, said) for tag, said in (("CORESTATUS", status), ("CORECLM", reason)) if said]
        return el("TXNSTATERS", info, el("CORERESULT", result), more)


def _status(refused: Refused | None) -> Markup:
    if refused is None:
        return el("STATUS", el("CODE", "0"), el("SEVERITY", "INFO"))
    severity = "INFO" if refused.harmless else "ERROR"
    return el("STATUS", el("CODE", refused.code), el("SEVERITY", severity), el("MESSAGE", refused.words))


def _name(request: etree._Element) -> str:
    return str(request.tag).removesuffix("RQ")


def _parsed(data: bytes) -> etree._Element:
    try:
        return xmldoc.parse(data, GBK)
    except ProtocolError as error:
        rule = RuleKind.CHARSET if error.reason == "charset" else RuleKind.FRAME
        source = "cib.md 1: charset GBK" if error.reason == "charset" else "cib.md 2: one FOX document"
        words = (f"cannot be read: {error}", f"报文无法解析:{error}")
        raise _refusal_of((broken_rule(LOG_ON_MALFORMED, "FOX", rule, "", source, words),)) from None


def _http(read: http.HttpRequest) -> Iterator[RequestFinding]:
    if read.method != "POST":
        words = ("must be POST", "应为 POST")
        yield broken_rule(NO_FOX, "method", RuleKind.HEADER, read.method, _HTTP_ROW, words)
    kind = read.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "application/x-fox":
        words = ("must be application/x-fox", "应为 application/x-fox")
        yield broken_rule(NO_FOX, "Content-Type", RuleKind.HEADER, kind, _HTTP_ROW, words)


def _envelope(root: etree._Element) -> Iterator[RequestFinding]:
    if root.tag != "FOX":
        words = ("the document must be FOX", "根元素应为 FOX")
        yield broken_rule(LOG_ON_MALFORMED, "FOX", RuleKind.FRAME, str(root.tag), "cib.md 2", words)
        return
    found = len(root.findall(_SIGN_ON))
    if found != 1:
        rule = RuleKind.REPEATED if found else RuleKind.MISSING
        words = (f"stands {found} times, must stand once", f"出现 {found} 次,应出现一次")
        yield broken_rule(LOG_ON_MALFORMED, _SIGN_ON, rule, str(found), "cib.md 1: exactly one SONRQ", words)


def _judged(name: str, request: etree._Element, books: Books) -> tuple[RequestFinding, ...]:
    """Every rule that the operation breaks; places begin with its name."""
    tag = str(request.tag)
    if name not in RULES or name == tag:
        words = ("is no operation of this bank", "本行没有此交易")
        return (broken_rule(NO_SUCH_OPERATION, tag, RuleKind.OPERATION, tag, "cib.md 4: the operations", words),)
    rules = RULES[name]
    if name in CONTENT and request.find(CONTENT[name]) is None:
        rules = ASKED_AGAIN[name]
    shape = judge_shape(request, SHAPES[name])
    fields = AskedFields(request, books.now().astimezone(_ZONE).date())
    return tuple(replace(one, place=f"{tag}/{one.place}") for one in (*shape, *rules.findings(fields, books)))


def _refusal_of(broken: tuple[RequestFinding, ...]) -> Refused:
    first = broken[0].refusal
    return Refused(first.code, first.text, findings=broken)


def _log_on_broken(refusal: BankRefusal, tag: str, said: str, words: tuple[str, str]) -> Refused:
    return _refusal_of((broken_rule(refusal, f"{_SIGN_ON}/{tag}", RuleKind.HEADER, said, _LOG_ON_ROW, words),))


class _NoBooks:
    """The log-on is judged without the books."""

    def holder_of(self, account: str) -> str | None:
        """No account is known."""
        return None


_NO_BOOKS: Final = _NoBooks()


def _instruction(trnuid: str, info: etree._Element) -> Instruction:
    payer, payee = sole(info, "ACCTFROM"), sole(info, "ACCTTO")
    return Instruction(
        trnuid,
        text(payer, "ACCTID"),
        text(payee, "ACCTID"),
        text(payee, "NAME"),
        Money.parse(text(info, "TRNAMT")),
        text(info, "PURPOSE"),
        urgent=text(info, "PMTMODE") == "SUPER",
    )


def _processed(booking: Booking, word: str, words: str) -> Markup:
    at = f"{booking.at.astimezone(_ZONE):%Y-%m-%d %H:%M:%S}"
    return el("XFERPRCSTS", el("XFERPRCCODE", word), el("DTXFERPRC", at), el("MESSAGE", words))


def _echo(info: etree._Element) -> Markup:
    """XFERINFO as the client sent it, with the bank's additions."""
    payee = sole(info, "ACCTTO")
    flags = {"INTERBANK": str(payee.get("INTERBANK")), "LOCAL": str(payee.get("LOCAL"))}
    return el(
        "XFERINFO",
        el("ACCTFROM", leaves(sole(info, "ACCTFROM"))),
        el("ACCTTO", flags, leaves(payee)),
        el("CHEQUENUM"),
        el("CURSYM", "RMB"),
        el("TRNAMT", text(info, "TRNAMT")),
        el("PURPOSE", text(info, "PURPOSE")),
        el("DTDUE"),
        el("MEMO", text(info, "MEMO")),
    )


def _booked_info(booking: Booking, books: Books, first: Markup | None = None) -> Markup:
    done = booking.instruction
    inside = "N" if books.holding(done.creditor_account) is None else "Y"
    return el(
        "XFERINFO",
        first,
        el("ACCTFROM", el("ACCTID", done.debtor_account)),
        el("ACCTTO", el("ACCTID", done.creditor_account), el("NAME", done.creditor_name), INTERBANK=inside, LOCAL="N"),
        el("CHEQUENUM"),
        el("CURSYM", "RMB"),
        el("TRNAMT", str(done.amount)),
        el("PURPOSE", done.purpose),
        el("MEMO"),
    )


def build(options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
    """The twin. Raises TypeError for an option it does not have."""
    own = {"customer", "user", "password", "lock_after", "receipt_path"}
    asked = {key: value for key, value in options.items() if key != "cheap"}
    faults = Faults(**{key: value for key, value in asked.items() if key not in own})
    return FoxBank(**{key: value for key, value in asked.items() if key in own}, faults=faults)
