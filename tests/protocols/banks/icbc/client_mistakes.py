"""Mistakes of 工商银行's clients, each a change to a good request written from the bank's page (banks/icbc.md).

`request` writes a good request of any operation with changes; instructions are signed at the twin's sign port, as a
client would have them signed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks.icbc import twin
from protocols.canon.money import Money
from protocols.judge import RuleKind
from protocols.twin import Twin
from tests.protocols.banks.mistakes import Corner, Mistake, Side
from tests.world.dialogue import BankTime

CIS, LOGIN = "40009000-5ABCDE", "demo.y.4000"
OWN, OWN_TOO, OTHER = "0000021001000000001", "0000021001000000003", "0000021001000000002"
HOLDER = "甲公司"
PACKAGE = "PAYENT20261124120000001"
SIGNED = ("PAYENT", "PAYPER", "PERDIS")
_ROW = re.compile(r"in/rd\[([0-9]+)\]/(.+)")


def _fields(written: str) -> dict[str, str]:
    """Fields in the order of the page; `name=value`, or the name alone for an empty one."""
    return {name: told for name, _, told in (one.partition("=") for one in written.split())}


_LINE = _fields(f"""
    iSeqno=1 ReimburseNo ReimburseNum StartDate StartTime PayType=1 PayAccNo={OWN} PayAccNameCN={HOLDER} PayAccNameEN
    RecAccNo={OTHER} RecAccNameCN=乙公司 RecAccNameEN SysIOFlg=1 IsSameCity=1 Prop=0 RecICBCCode=4000 RecCityName RecBankNo
    RecBankName CurrType=001 PayAmt=12345 UseCode UseCN=货款 EnSummary PostScript Summary Ref Oref ERPSqn BusCode ERPcheckno
    CrvouhType CrvouhName CrvouhNo BankType FileNames Indexs PaySubNo RecSubNo
""")
_COLLECTED = _fields(f"""
    iSeqno=1 PayAccNo={OTHER} PayAccNameCN=示例丙 PayAccNameEN PayBranch Portno ContractNo=XY0001 CurrType=001 PayAmt=12345
    UseCode UseCN=会费 EnSummary PostScript Summary Ref Oref ERPSqn BusCode=022 ERPcheckno CrvouhType CrvouhName CrvouhNo
    ReqReserved3 ReqReserved4
""")
_INSTRUCTION = _fields("OnlBatF=1 SettleMode=0 TotalNum TotalAmt SignTime=20261124120000123 ReqReserved1 ReqReserved2")
_COLLECTION = _fields(f"OnlBatF=1 SettleMode=0 RecAccNo={OWN} RecAccNameCN={HOLDER} RecAccNameEN") | _INSTRUCTION
_ENQUIRY = _fields(f"QryfSeqno={PACKAGE} QrySerialNo ReqReserved1 ReqReserved2")
_ENQUIRED = _fields("iSeqno=1 QryiSeqno=1 QryOrderNo")
_ASKED = _fields(f"iSeqno=1 AccNo={OWN} CurrType=001 ReqReserved3 ReqReserved4 AcctSeq MainAcctNo")
_TODAY = f"AccNo={OWN} AreaCode MinAmt MaxAmt BeginTime EndTime NextTag ReqReserved1 ReqReserved2 CurrType=001 AcctSeq"
_PAST = f"""
    AccNo={OWN} BeginDate=20261101 EndDate=20261123 MinAmt MaxAmt BankType NextTag CurrType=001 DueBillNo AcctSeq
    ComplementFlag
"""
_GOOD: Mapping[str, tuple[Mapping[str, str], Mapping[str, str] | None]] = {
    "PAYENT": (_INSTRUCTION, _LINE),
    "PAYPER": (_INSTRUCTION | {"SettleMode": "2"}, _LINE | {"Prop": "1"}),
    "PERDIS": (_COLLECTION, _COLLECTED),
    "QPAYENT": (_ENQUIRY, _ENQUIRED),
    "QPAYPER": (_ENQUIRY, _ENQUIRED),
    "QPERDIS": (_ENQUIRY, _ENQUIRED | {"ReqReserved3": "", "ReqReserved4": ""}),
    "QACCBAL": (_fields("TotalNum BLFlag=0 SynFlag=0 ReqReserved1 ReqReserved2"), _ASKED),
    "QPD": (_fields(_TODAY), None),
    "QHISD": (_fields(_PAST), None),
}

Changes = Mapping[str, str | None]


def request(
    operation: str,
    changes: Mapping[str, str | None] = {},
    *,
    lines: int = 1,
    encoding: str = "gbk",
    clear: bool = False,
) -> bytes:
    """A good request for `operation` with `changes`, as HTTP bytes for the port `business`.

    A change names its place: `url/…`, `form/…`, `http/path`, `http/content-type`, `pub/…`, `in/…` or `in/rd[1]/…`. None
    leaves the field out, and a name that the operation does not have is added. `lines` is the number of lines (`rd`), whose
    iSeqno counts from 1; the totals are those of the lines unless they are changed. `encoding` is that of the message.
    `clear` sends an instruction unsigned.
    """
    document = message(operation, changes, lines=lines, encoding=encoding)
    if operation in SIGNED and not clear:
        return posted(operation, signature(document), changes)
    return posted(operation, document.decode(encoding), changes, encoding)


def message(operation: str, changes: Mapping[str, str | None] = {}, *, lines: int = 1, encoding: str = "gbk") -> bytes:
    """The XML of a good request with `changes`, as `request` writes it."""
    head, line = _GOOD.get(operation, ({}, None))
    pub: dict[str, str | None] = {
        "TransCode": operation,
        "CIS": CIS,
        "BankCode": "102",
        "ID": LOGIN,
        "TranDate": "20261124",
        "TranTime": "120000123",
        "fSeqno": PACKAGE,
    }
    rows: list[dict[str, str | None]] = [{**line, "iSeqno": str(n + 1)} for n in range(lines) if line is not None]
    for n, row in enumerate(rows, 1):
        if "QryiSeqno" in row:
            row["QryiSeqno"] = str(n)
    inner: dict[str, str | None] = dict(head)
    for place, told in changes.items():
        found = _ROW.fullmatch(place)
        if found:
            rows[int(found.group(1)) - 1][found.group(2)] = told
        elif place.startswith("pub/"):
            pub[place[4:]] = told
        elif place.startswith("in/"):
            inner[place[3:]] = told
    if "TotalNum" in inner and "in/TotalNum" not in changes:
        inner["TotalNum"] = str(len(rows))
    if "TotalAmt" in inner and "in/TotalAmt" not in changes:
        amounts = [row.get("PayAmt") or "" for row in rows]
        inner["TotalAmt"] = str(sum(int(one) for one in amounts if one.isascii() and one.isdigit()) or 1)
    written = _leaves(inner) + "".join(f"<rd>{_leaves(row)}</rd>" for row in rows)
    label = encoding.upper()
    text = f'<?xml version="1.0" encoding="{label}"?><CMS><eb><pub>{_leaves(pub)}</pub><in>{written}</in></eb></CMS>'
    return text.encode(encoding)


def posted(operation: str, data: str, changes: Mapping[str, str | None] = {}, encoding: str = "gbk") -> bytes:
    """The HTTP request of `data` (a signature, or a message in clear) in its form, with the changes around it."""
    package = changes.get("pub/fSeqno", PACKAGE)
    url: dict[str, str | None] = {"userID": LOGIN, "PackageID": package, "SendTime": "20261124120000123"}
    form: dict[str, str | None] = {
        "Version": "0.0.1.0",
        "TransCode": operation,
        "BankCode": "102",
        "GroupCIS": CIS,
        "ID": LOGIN,
        "PackageID": package,
        "Cert": "",
        "reqData": data,
    }
    for place, told in changes.items():
        part, _, name = place.partition("/")
        if part in ("url", "form"):
            (url if part == "url" else form)[name] = told
    path = changes.get("http/path", "/servlet/ICBCCMPAPIReqServlet")
    kind = changes.get("http/content-type", "application/x-www-form-urlencoded")
    return _http(f"POST {path}?{_form(url)} HTTP/1.1", kind or "", _form(form, encoding).encode("ascii"))


def sign_request(document: bytes, kind: str = "INFOSEC_SIGN/1.0") -> bytes:
    """A request to the port `sign` for the signature of a message."""
    return _http("POST / HTTP/1.1", kind, document)


def signature(document: bytes) -> str:
    """The signature of a message as the sign port answers it, without line ends."""
    port = _signer()
    [frame] = port.requests("sign").feed(sign_request(document))
    told = port.answer("sign", frame, side().ledger, {}).data
    found = re.search(rb"<sign>(.*)</sign>", told, re.DOTALL)
    assert found is not None, told
    return re.sub(r"\s", "", found.group(1).decode())


@cache
def _signer() -> Twin:
    return twin.build({}, {})


def _http(first: str, kind: str, body: bytes) -> bytes:
    head = f"{first}\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


def _form(fields: Changes, encoding: str = "gbk") -> str:
    return "&".join(f"{name}={quote_plus(text.encode(encoding))}" for name, text in fields.items() if text is not None)


def _leaves(fields: Changes) -> str:
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items() if text is not None)


def side() -> Side:
    """The bank's side with two accounts of this group."""
    accounts = (
        LedgerAccount(OWN, HOLDER, Money(10_000_000_000_000)),
        LedgerAccount(OWN_TOO, "甲公司分公司", Money(10_000_000)),
    )
    return Side(twin.build({"cis": CIS}, {}), Ledger(BankTime().now_ms, accounts))


def _in(operation: str, place: str, told: str | None, rule: RuleKind, code: str = "TWIN04") -> Mistake:
    shown = "left out" if told is None else repr(told[:24])
    return Mistake(f"{operation} {place} {shown}", partial(request, operation, {place: told}), place, rule, code)


def _line(name: str, told: str | None, rule: RuleKind, code: str = "TWIN04") -> Mistake:
    return _in("PAYENT", f"in/rd[1]/{name}", told, rule, code)


def _around(place: str, told: str | None, operation: str = "PAYENT") -> Mistake:
    return _in(operation, place, told, RuleKind.HEADER, "40418")


def _whole(name: str, made: Callable[[], bytes], place: str, rule: RuleKind, code: str = "40418") -> Mistake:
    return Mistake(name, made, place, rule, code)


ELSEWHERE = {
    "in/rd[1]/SysIOFlg": "2",
    "in/rd[1]/RecCityName": "上海",
    "in/rd[1]/RecBankName": "示例银行某支行",
    "in/rd[1]/RecBankNo": "000000000000",
    "in/rd[1]/RecICBCCode": "",
}


def _other_bank(name: str) -> Mistake:
    place = f"in/rd[1]/{name}"
    made = partial(request, "PAYENT", ELSEWHERE | {place: ""})
    return Mistake(f"another bank's payee without {name}", made, place, RuleKind.MISSING, "TWIN04")


def _changed_after_signing() -> bytes:
    signed = signature(message("PAYENT"))
    return posted("PAYENT", signed[:80] + ("A" if signed[80] != "A" else "B") + signed[81:])


def _plus_lost() -> bytes:
    for n in range(100):
        made = request("PAYENT", {"in/rd[1]/UseCN": f"货款{n}"})
        if b"%2B" in made:
            head, _, body = made.partition(b"\r\n\r\n")
            lost = body.replace(b"%2B", b"+")
            return re.sub(rb"Content-Length: [0-9]+", b"Content-Length: %d" % len(lost), head) + b"\r\n\r\n" + lost
    raise AssertionError("no signature with a plus")


def _signed_question() -> bytes:
    return posted("QPD", signature(message("QPD")))


def _cut() -> bytes:
    return posted("QPD", message("QPD")[:-12].decode("gbk"))


def _document_of_another() -> bytes:
    return posted("PAYENT", signature(message("PAYPER")))


def _frames() -> Sequence[Mistake]:
    """Mistakes around the message, at NetSafe Client's two ports."""
    short = Mistake(
        "a length counted in characters",
        lambda: sign_request(message("PAYENT")[:-9]),
        "http/body",
        RuleKind.FRAME,
        "-1",
        "sign",
    )
    kind = partial(sign_request, message("PAYENT"), "text/xml")
    return (
        _around("url/PackageID", "PAYENT20261124120000002"),
        _around("url/userID", "demo.y.4001"),
        _around("url/SendTime", "2026-11-24 12:00:00"),
        _around("http/path", "/servlet/ICBCCMPAPIReqServlets"),
        _around("http/content-type", "text/xml"),
        _around("form/PackageID", "PAYENT20261124120000002"),
        _around("form/Version", "1.0"),
        _around("form/Version", None),
        _around("form/Cert", "MIIC"),
        _around("form/BankCode", "104"),
        _around("form/GroupCIS", "40009000-5ABCDF"),
        _around("form/zipFlag", "1", "QPD"),
        _whole("a signature that was changed", _changed_after_signing, "form/reqData", RuleKind.SIGNATURE),
        _whole("an instruction in clear", partial(request, "PAYENT", clear=True), "form/reqData", RuleKind.SIGNATURE),
        _whole("a signed question", _signed_question, "form/reqData", RuleKind.SIGNATURE),
        _whole("a + that is not encoded", _plus_lost, "form/reqData", RuleKind.FRAME),
        _whole("XML that is cut", _cut, "form/reqData", RuleKind.FRAME),
        _whole("UTF-8", partial(request, "QPD", encoding="utf-8"), "form/reqData", RuleKind.CHARSET),
        _whole("another message under PAYENT", _document_of_another, "form/TransCode", RuleKind.HEADER),
        _whole("an unknown operation", partial(request, "QACCBAX"), "pub/TransCode", RuleKind.OPERATION, "TWIN04"),
        Mistake("a signature asked as text/xml", kind, "http/content-type", RuleKind.HEADER, "-1", "sign"),
        short,
    )


def _orders() -> Sequence[Mistake]:
    """Mistakes in instructions."""
    twice = partial(request, "PAYENT", {"in/rd[2]/iSeqno": "1"}, lines=2)
    second = partial(request, "PAYENT", {"in/rd[2]/PayAmt": "1.00"}, lines=2)
    merged = partial(
        request,
        "PAYENT",
        {"in/SettleMode": "2", "in/rd[2]/PayAccNo": OWN_TOO, "in/rd[2]/PayAccNameCN": "甲公司分公司"},
        lines=2,
    )
    older = partial(request, "PAYENT", {"form/Version": "0.0.0.1", "in/rd[1]/MCardNo": "0000622200000000"})
    return (
        _in("PAYENT", "pub/TranDate", "20261125", RuleKind.TOGETHER, "TWIN03"),
        _in("PAYENT", "pub/TranDate", "2026-11-24", RuleKind.FORM),
        _in("PAYENT", "pub/TranTime", "12:00:00", RuleKind.FORM),
        _in("PAYENT", "in/SignTime", "20261123120000123", RuleKind.TOGETHER, "TWIN03"),
        _in("PAYENT", "in/SignTime", None, RuleKind.MISSING),
        _in("PAYENT", "in/TotalNum", "2", RuleKind.TOGETHER),
        _in("PAYENT", "in/TotalAmt", "12344", RuleKind.TOGETHER),
        _in("PAYENT", "in/TotalAmt", "123.45", RuleKind.FORM),
        _in("PAYENT", "in/OnlBatF", "3", RuleKind.CODE),
        _in("PAYENT", "in/SettleMode", "1", RuleKind.CODE),
        _line("PayAmt", "123.45", RuleKind.FORM),
        _line("PayAmt", "-12345", RuleKind.FORM),
        _line("PayAmt", "0", RuleKind.FORM),
        _line("PayAmt", "12,345", RuleKind.FORM),
        _line("PayAmt", None, RuleKind.MISSING),
        _line("PayType", "0", RuleKind.CODE),
        _line("PayAccNo", "", RuleKind.MISSING),
        _line("PayAccNo", "0000021001000000099", RuleKind.BOOKS, "TWIN05"),
        _line("PayAccNo", "0000-21001000000001", RuleKind.ALPHABET),
        _line("PayAccNameCN", "别人公司", RuleKind.BOOKS, "B0043"),
        _line("PayAccNameCN", "", RuleKind.MISSING),
        _line("RecAccNo", OWN, RuleKind.TOGETHER, "B0052"),
        _line("RecAccNo", "", RuleKind.MISSING),
        _line("RecAccNameCN", "", RuleKind.MISSING),
        _line("SysIOFlg", "0", RuleKind.CODE),
        _line("IsSameCity", "3", RuleKind.CODE),
        _line("Prop", "2", RuleKind.CODE),
        _line("CurrType", "RMB", RuleKind.CODE),
        _line("CurrType", "CNY", RuleKind.CODE),
        _line("RecBankNo", "10210009999", RuleKind.LENGTH),
        _line("PayAcctNo", OWN, RuleKind.FRAME),
        *(_other_bank(name) for name in ("Prop", "RecCityName", "RecBankName")),
        _whole("two lines with one iSeqno", twice, "in/rd[2]/iSeqno", RuleKind.TOGETHER, "TWIN04"),
        _whole("yuan in the second line", second, "in/rd[2]/PayAmt", RuleKind.FORM, "TWIN04"),
        _whole("a merged package of two payers", merged, "in/rd[2]/PayAccNo", RuleKind.TOGETHER, "TWIN04"),
        _whole("a new field in the old version", older, "MCardNo", RuleKind.TOGETHER, "TWIN04"),
        _whole("no line", partial(request, "PAYENT", lines=0), "in/rd", RuleKind.COUNT, "TWIN04"),
        _in("PAYPER", "in/SettleMode", "0", RuleKind.CODE),
        _in("PERDIS", "in/RecAccNo", "0000021001000000099", RuleKind.BOOKS, "TWIN05"),
        _in("PERDIS", "in/RecAccNameCN", "别人公司", RuleKind.BOOKS),
        _in("PERDIS", "in/rd[1]/ContractNo", "", RuleKind.MISSING),
        _in("PERDIS", "in/rd[1]/PayAccNo", None, RuleKind.MISSING),
    )


def mistakes() -> tuple[Mistake, ...]:
    """The page's rules, each broken once."""
    backwards = partial(request, "QHISD", {"in/MinAmt": "200", "in/MaxAmt": "100"})
    return (
        *_frames(),
        *_orders(),
        _in("QPAYENT", "in/QryfSeqno", "", RuleKind.MISSING),
        _in("QPERDIS", "in/rd[1]/QryiSeqno", "first", RuleKind.ALPHABET),
        _in("QPAYPER", "in/QryfSeqno", "包序列号", RuleKind.ALPHABET),
        _in("QACCBAL", "in/rd[1]/AccNo", "0000021001000000099", RuleKind.BOOKS, "TWIN05"),
        _in("QACCBAL", "in/rd[1]/CurrType", "", RuleKind.MISSING),
        _in("QACCBAL", "in/TotalNum", "2", RuleKind.TOGETHER),
        _in("QPD", "in/AccNo", "0000021001000000099", RuleKind.BOOKS, "TWIN05"),
        _in("QPD", "in/NextTag", "2", RuleKind.FORM),
        _in("QPD", "in/BeginTime", "9:00", RuleKind.FORM),
        _in("QHISD", "in/BeginDate", "2026-11-01", RuleKind.FORM),
        _in("QHISD", "in/BeginDate", "20261124", RuleKind.TOGETHER, "TWIN06"),
        _in("QHISD", "in/EndDate", "20261124", RuleKind.TOGETHER, "TWIN06"),
        _in("QHISD", "in/BeginDate", "20261001", RuleKind.TOGETHER, "TWIN06"),
        _whole("QHISD from 2 yuan to 1 yuan", backwards, "in/MinAmt", RuleKind.TOGETHER, "TWIN04"),
    )


def corners() -> tuple[Corner, ...]:
    """The edges of what the page allows."""
    full = {"in/rd[1]/RecAccNameCN": "ＡＢＣ(上海)·鎔", "in/rd[1]/UseCN": "货款&<1>—①"}
    return (
        Corner("one fen, no purpose", partial(request, "PAYENT", {"in/rd[1]/PayAmt": "1", "in/rd[1]/UseCN": ""})),
        Corner("a large amount in fen", partial(request, "PAYENT", {"in/rd[1]/PayAmt": "9999999999999"})),
        Corner("full-width characters and signs that XML escapes", partial(request, "PAYENT", full)),
        Corner(
            "the label GB2312", partial(request, "PAYENT", {"pub/fSeqno": "20261124.120000.XEO"}, encoding="gb2312")
        ),
        Corner("another bank's person", partial(request, "PAYENT", ELSEWHERE | {"in/rd[1]/Prop": "1"})),
        Corner("a hundred lines", partial(request, "PAYENT", lines=100), 100),
        Corner(
            "the old version without its empty elements",
            partial(
                request, "PAYENT", {"form/Version": "0.0.0.1", "in/ReqReserved1": None, "in/rd[1]/ReimburseNo": None}
            ),
        ),
        Corner("a fSeqno of 25 characters", partial(request, "PERDIS", {"pub/fSeqno": "P" * 25})),
        Corner("twelve digits of TranTime", partial(request, "PAYPER", {"pub/TranTime": "120000123000"})),
        Corner(
            "a payer's English name alone",
            partial(request, "PAYENT", {"in/rd[1]/PayAccNameCN": "", "in/rd[1]/PayAccNameEN": "JIA COMPANY"}),
        ),
    )
