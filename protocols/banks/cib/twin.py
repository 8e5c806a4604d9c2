"""FOX as the bank's side of it would behave, written from the bank's page and not from our own adapter.

It insists on the contract's element order, on lengths in GBK bytes and on the log-on in every message; a TRNUID that
comes again executes nothing and brings back the earlier result. Bundles are in twin_bundles.py, entries and receipts
in twin_accounts.py.

Options: `customer`, `user`, `password` (any, when left out), `lock_after` wrong passwords (5). The faults of the field:
`enable_sign` False (instructions wait for approval), `word` (XFERPRCCODE of every submit, "PENDING" for instance),
`trouble` (CODE of every submit, though it was booked), `used` (a repeat is refused with 12345), `enquiry_code` (every
enquiry is refused), `not_found` ("code", or "list" for FROM/TO -1), `core` ("result/status/clm" of INQSTATE),
`lower_size`, `turned` (bundle lines come last first), `lost_line` (its number), `strange_line` (its number; it says
another amount), `line_word` (status of every line), `round` (pages never end), `cut_names` (names cut in half a
character), `indent` (rows are indented as in the manual), `reference_in` (element of an entry that carries TRNUID),
`receipt_path`, `zipped` (receipts in an archive), `bare` (no XML declaration), `http_500` (HTTP 500 to every submit,
though it was booked), `registered` (what is not done yet is PAYOUT with 登记成功), `reduced` (a payroll's totals are
without its failed lines). `cheap` changes nothing: there is no signature to skip.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import Any, Final

from lxml import etree

from protocols.bank import Cutter
from protocols.banks.cib.twin_accounts import AccountQuestions
from protocols.banks.cib.twin_bundles import Bundling
from protocols.banks.cib.twin_words import ORDER, REGISTERED, Broke, Faults, Refused, leaves, money, sole, text
from protocols.canon.money import Money
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Answer, Booked, Booking, Books, Duplicate, Instruction, Twin

_ZONE: Final = timezone(timedelta(hours=8))
_REQUEST_BYTES_MAX: Final = 2 * 1_048_576
_SUPER_MOST: Final = Money(5_000_000)
_DECLARATION: Final = '<?xml version="1.0" encoding="GBK" standalone="yes"?>'
_WORDS: Final = {
    Booked.TAKEN: ("PROCESSING", "处理中"),
    Booked.SETTLED: ("PAYOUT", "交易成功"),
    Booked.REFUSED: ("FAIL", "交易失败"),
    Booked.RETURNED: ("PAYOUT", "交易成功"),
}
Operation = Callable[[str, etree._Element, Books], Markup | None]


@dataclass(slots=True)
class FoxBank:
    """The front end and the bank behind it. One short connection carries one exchange."""

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
    fast: set[str] = field(default_factory=set)

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for one connection's requests."""
        assert port == "business", port
        return http.HttpRequests().cutter(_REQUEST_BYTES_MAX)

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one request and close."""
        read = http.parse_request(request)
        if read.method == "GET":
            return self._file(read.target)
        if read.method != "POST" or read.headers.get("content-type", "").lower() != "application/x-fox":
            return Answer(http.answer(400, phrase="Bad Request"), close=True)
        root = xmldoc.parse(read.body, GBK)
        try:
            body = self._document(root, books)
        except Broke:
            return Answer(http.answer(500, phrase="Internal Server Error"), close=True)
        declaration = "" if self.faults.bare else _DECLARATION
        headers = (("Content-Type", "application/x-fox"), ("Connection", "close"))
        # A cut name is no text any more, so rows of bytes take the place of a mark.
        document = self.questions.with_rows(xmldoc.build(body, GBK, declaration=declaration))
        return Answer(http.answer(200, headers, document), close=True)

    def _file(self, target: str) -> Answer:
        before, _, after = self.receipt_path.partition("{file_id}")
        file_id = target.removeprefix(before).removesuffix(after)
        data = self.questions.file(file_id) if self.receipt_path and target == before + file_id + after else None
        if data is None:
            return Answer(http.answer(404, phrase="Not Found"), close=True)
        return Answer(http.answer(200, (("Connection", "close"),), data), close=True)

    # ---- the envelope ----------------------------------------------------------------------------------------

    def _document(self, root: etree._Element, books: Books) -> Markup:
        now = f"{books.now().astimezone(_ZONE):%Y-%m-%d %H:%M:%S}"
        try:
            self._log_on(sole(root, "SIGNONMSGSRQV1/SONRQ"))
        except Refused as refused:
            return el("FOX", el("SIGNONMSGSRSV1", el("SONRS", _status(refused), el("DTSERVER", now))))
        head = el("SIGNONMSGSRSV1", el("SONRS", _status(None), el("DTSERVER", now), el("NEWFIELD", "1")))
        answers = [self._operation(one, books) for one in sole(root, "SECURITIES_MSGSRQV1")]
        return el("FOX", head, el("SECURITIES_MSGSRSV1", answers))

    def _log_on(self, request: etree._Element) -> None:
        _in_order(request)
        if self.wrong_passwords >= self.lock_after:
            raise Refused("15500", "操作员已锁定")
        if self.customer and text(request, "CID") != self.customer:
            raise Refused("2000", "证书不符")
        if self.user and text(request, "USERID") != self.user:
            raise Refused("2000", "操作员不存在")
        if self.password and text(request, "USERPASS") != self.password:
            self.wrong_passwords += 1
            raise Refused("15500", "登录失败")
        self.wrong_passwords = 0

    def _operation(self, request: etree._Element, books: Books) -> Markup:
        name = str(request.tag).removesuffix("RQ")
        trnuid = text(request, "TRNUID")
        answer = f"{name}RS"
        try:
            if not re.fullmatch("[0-9A-Za-z]{1,30}", trnuid):
                raise Refused("2002", "TRNUID格式错误")
            _in_order(request)
            content = self._known(name)(trnuid, request, books)
        except Refused as refused:
            return el(answer, el("TRNUID", trnuid), _status(refused), refused.body)
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
        if name not in known:
            raise Refused("2000", "不支持的交易")
        return known[name]

    # ---- money one by one --------------------------------------------------------------------------------------

    def _pay_fast(self, trnuid: str, request: etree._Element, books: Books) -> Markup:
        if not self.faults.enable_sign:
            raise Refused("2000", "前置机代理软件参数需设置启用签名")
        self.fast.add(trnuid)
        return self._pay(trnuid, request, books)

    def _pay(self, trnuid: str, request: etree._Element, books: Books) -> Markup:
        pooled = request.tag != "XFERTRNRQ"
        info = sole(request, "XMPTRQ/XFERINFO" if pooled else "XFERRQ/XFERINFO")
        wanted = _instruction(trnuid, info, books)
        try:
            booking = books.take(wanted)
        except Duplicate as known:
            if self.faults.used:
                raise Refused("12345", "TRNUID值已被使用") from None
            booking = known.booking
        else:
            if booking.booked is Booked.REFUSED:
                raise Refused("2002", f"账号与核心户名不符,应为:{booking.reason}")
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
        if trnuid == reference:
            raise Refused("2002", "TRNUID不能与原指令相同")
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
        reference = text(sole(request, "INQSTATECOND"), "CLIENTREF")
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


def _in_order(element: etree._Element) -> None:
    """The order of elements is the contract's, an optional one is never empty, and no value holds < > &."""
    tag = str(element.tag)
    if not len(element):
        if any(char in (element.text or "") for char in "<>&") or not (element.text or tag.endswith("RQ")):
            raise Refused("2002", f"{tag}值不合法")
        return
    allowed, place = ORDER.get(tag), 0
    for child in element:
        if allowed is not None:
            while place < len(allowed) and allowed[place] != child.tag:
                place += 1
            if place == len(allowed):
                raise Refused("2002", f"报文格式错误:{child.tag!s}")
        _in_order(child)


def _instruction(trnuid: str, info: etree._Element, books: Books) -> Instruction:
    payer, payee = sole(info, "ACCTFROM"), sole(info, "ACCTTO")
    debtor = books.holding(text(payer, "ACCTID"))
    if debtor is None or len(debtor.number) > 18:
        raise Refused("2005", "账号无权限")
    amount, purpose = money(text(info, "TRNAMT")), text(info, "PURPOSE")
    inside, name, bank = payee.get("INTERBANK"), text(payee, "NAME"), text(payee, "BANKDESC")
    if inside not in ("Y", "N") or payee.get("LOCAL") not in ("Y", "N"):
        raise Refused("2002", "INTERBANK/LOCAL不合法")
    if inside == "N" and (not bank or "兴业银行" in bank):
        raise Refused("2002", "他行开户行名称不合法")
    for content, most in ((name, 50), (bank, 50), (purpose, 60), (text(payee, "CITY"), 30)):
        if len(content.encode("gbk")) > most:
            raise Refused("2002", "字段超长")
    if not purpose or not name or not re.fullmatch("[0-9A-Za-z-]{1,32}", text(payee, "ACCTID")):
        raise Refused("2002", "收款信息不完整")
    rapid = text(info, "PMTMODE") == "SUPER"
    if rapid and (amount.minor > _SUPER_MOST.minor or not text(payee, "BANKNUM")):
        raise Refused("2002", "超级网银金额或行号不合法")
    return Instruction(trnuid, debtor.number, text(payee, "ACCTID"), name, amount, purpose, urgent=rapid)


def _processed(booking: Booking, word: str, words: str) -> Markup:
    at = f"{booking.at.astimezone(_ZONE):%Y-%m-%d %H:%M:%S}"
    return el("XFERPRCSTS", el("XFERPRCCODE", word), el("DTXFERPRC", at), el("MESSAGE", words))


def _echo(info: etree._Element) -> Markup:
    """XFERINFO as it came, with what the bank adds."""
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
