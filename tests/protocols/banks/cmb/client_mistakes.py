"""Mistakes of CMB's clients in front-end mode, each a change to a good request written from the bank's page."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote_plus

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks.cmb import twin
from protocols.canon.money import Money
from protocols.judge import RuleKind
from tests.protocols.banks.mistakes import Corner, Mistake, Side
from tests.world.dialogue import BankTime

OWN, SISTER, OTHER = "769900000010001", "769900000010002", "0000000000000025"
HOLDER, SISTER_HOLDER = "示例甲公司", "示例己公司"
LOGIN = "U01"
PERIOD = {"BGNDAT": "20261123", "ENDDAT": "20261124"}
Part = tuple[str, Mapping[str, str]]


def leaves(text: str) -> dict[str, str]:
    """The fields of an interface, from NAME=content separated by blanks."""
    return dict(one.split("=", 1) for one in text.split())


_PAYMENT = leaves(
    f"YURREF=GW20260105000001 EPTDAT= EPTTIM= DBTACC={OWN} DBTBBK=69 TRSAMT=123.45 CCYNBR=10 STLCHN=F NUSAGE=货款 "
    f"BUSNAR= CRTACC={OTHER} CRTNAM=乙公司 LRVEAN= BRDNBR= BNKFLG=N CRTBNK=某行某支行 CTYCOD= CRTADR=广东省深圳市 CRTFLG=Y "
    "NTFCH1= NTFCH2= CRTSQN= TRSTYP=100001 RCVCHK=1 RSV28Z="
)
_TRANSFER = leaves(
    f"YURREF=GW20260105000002 EPTDAT= EPTTIM= DBTACC={OWN} DBTBBK=69 TRSAMT=1.00 CCYNBR=10 NUSAGE=调拨 BUSNAR= "
    f"CRTACC={SISTER} CRTFLG=Y CRTBBK=69"
)
_BIG = leaves(
    "BEGTAG=Y ENDTAG=Y REQNBR= TTLAMT=3.00 TTLCNT=2 TTLNUM=1 CURAMT=3.00 CURCNT=2 CNVNBR= CCYNBR=10 NTFINF= "
    f"BBKNBR=69 ACCNBR={OWN} CCYMKT=0 TRSTYP=BYSA NUSAGE=工资 EPTDAT= EPTTIM= YURREF=GWPAYROLL0001 DMANBR= GRTFLG=N"
)
_BIG_LINE = leaves(
    f"TRXSEQ=00000001 ACCNBR={OTHER} ACCNAM=示例丁 TRSAMT=1.00 TRSDSP=工资 BNKFLG=Y EACBNK= EACCTY= FSTFLG=N RCVBNK= "
    "CPRACT= CPRREF="
)
_BIG_LINES = (("NTAGCDTLY1", _BIG_LINE), ("NTAGCDTLY1", _BIG_LINE | {"TRXSEQ": "00000002", "TRSAMT": "2.00"}))
_AGENT = leaves(
    f"BUSCOD=N03010 BUSMOD=00002 TRSTYP=BYSA EPTDAT= DBTACC={OWN} BBKNBR=69 SUM=3.00 TOTAL=2 CCYNBR=10 "
    "YURREF=GWAGENT0001 MEMO=工资 DMANBR= GRTFLG=N"
)
_AGENT_LINE = leaves(f"ACCNBR={OTHER} CLTNAM=示例丁 TRSAMT=1.00 BNKFLG=Y EACBNK= EACCTY= TRSDSP=LINE1")
_HEAD = ("SDKPAYRQX", {"BUSCOD": "N02031", "BUSMOD": "00001"})
GOOD: Mapping[str, Sequence[Part]] = {
    "DCPAYMNT": (_HEAD, ("DCOPDPAYX", _PAYMENT)),
    "DCOPRTRF": (("SDKPAYRQX", {"BUSMOD": "00001"}), ("DCOPRTRFX", _TRANSFER)),
    "NTQRYSTY": (("NTQRYSTYX1", {"BUSCOD": "N02031", "YURREF": "GW20260105000001", **PERIOD, "RSV50Z": ""}),),
    "NTQRYSTN": (("NTQRYSTNY1", {"BUSCOD": "N02031", "BUSMOD": "00001", **PERIOD, "DATFLG": "A"}),),
    "NTSTLINF": (("NTSTLINFX", {"REQNBR": "0000000001"}),),
    "GetNewNotice": (),
    "GetHisNoticeEX": (("DCHISMSGX", {"LSTNBR": "", "RECNUM": "100"}),),
    "GetBatchPayOprRes": (("SDQPYRSTX", {"RSTSET": "0000000001"}),),
    "NTAGCSAL": (("NTBUSMODY", {"BUSMOD": "00002"}), ("NTAGCAGCX1", _BIG), *_BIG_LINES),
    "NTAGCAPY": (("NTBUSMODY", {"BUSMOD": "00002"}), ("NTAGCAGCX1", _BIG | {"TRSTYP": "BYBK"}), *_BIG_LINES),
    "NTAGCACL": (("NTBUSMODY", {"BUSMOD": "00003"}), ("NTAGCAGCX1", _BIG | {"TRSTYP": "AYBK"}), *_BIG_LINES),
    "AgentRequest": (
        ("SDKATSRQX", _AGENT),
        ("SDKATDRQX", _AGENT_LINE),
        ("SDKATDRQX", _AGENT_LINE | {"TRSAMT": "2.00", "TRSDSP": "LINE2"}),
    ),
    "NTAGCINY": (("NTAGCINYX1", {"BUSCOD": "N03010", "YURREF": "GWPAYROLL0001", **PERIOD}),),
    "NTAGDINF": (("NTAGDINFY1", {"REQNBR": "0000000001", "BTHNBR": "", "TRXSEQ": "", "HISTAG": ""}),),
    "GetAgentDetail": (("SDKATDQYX", {"REQNBR": "0000000001"}),),
    "NTAGDRFD": (("NTAGDRFDY1", {"BBKNBR": "69", "ACCNBR": OWN, "TRSTYP": "BYSA", **PERIOD, "REQNBR": ""}),),
    "ListMode": (("SDKMDLSTX", {"BUSCOD": "N02031"}),),
    "NTQADINF": (("NTQADINFX", {"BBKNBR": "69", "ACCNBR": OWN}),),
    "SDKNTQABINF": (("NTQABINFY", {"BBKNBR": "69", "ACCNBR": OWN, "BGNDAT": "20261122", "ENDDAT": "20261123"}),),
    "GetTransInfoEX": (("SDKRBPTRSX", {"BBKNBR": "69", "ACCNBR": OWN, "TRSDAT": "20261124", "TRSSEQ": ""}),),
    "SDKCSFDFBRT": (("CSRRCFDFY0", {"EACNBR": OWN, "BEGDAT": "20261124", "ENDDAT": "20261124", "RRCFLG": "1"}),),
}
"""A good request of each function: its interfaces after INFO, in order."""


def document(function: str, parts: Sequence[Part], info: Mapping[str, str] = {}) -> str:
    """The XML of a request. `info` adds fields to INFO or replaces them."""
    head = {"FUNNAM": function, "DATTYP": "2", "LGNNAM": LOGIN, **info}
    written = ""
    for name, leaves in (("INFO", head), *parts):
        inner = "".join(f"<{tag}>{_escaped(content)}</{tag}>" for tag, content in leaves.items())
        written += f"<{name}>{inner}</{name}>"
    return f'<?xml version="1.0" encoding="GBK"?><CMBSDKPGK>{written}</CMBSDKPGK>'


def framed(xml: str, charset: str = "gbk") -> bytes:
    """The request as the SOCKET service takes it: 8 characters of length, left-aligned, blank-padded, then the XML."""
    data = xml.encode(charset)
    return str(len(data)).ljust(8).encode("ascii") + data


def request(operation: str, changes: Mapping[str, str | None] = {}) -> bytes:
    """A good request of `operation` with changes, framed.

    A key of `changes` is INTERFACE/FIELD, or INTERFACE[2]/FIELD for one of several (the first, where no number stands);
    INFO is an interface too. None leaves the field out; a field that the request does not have is added at the end.
    INTERFACE alone with None leaves the interface out.
    """
    return framed(changed(operation, changes))


def changed(operation: str, changes: Mapping[str, str | None] = {}) -> str:
    """The XML of `request`."""
    parts = [(name, dict(leaves)) for name, leaves in GOOD[operation]]
    info: dict[str, str] = {}
    for key, content in changes.items():
        where, _, leaf = key.partition("/")
        name, _, number = where.partition("[")
        if not leaf:
            parts = [part for part in parts if part[0] != name]
            continue
        leaves = (
            info if name == "INFO" else [one for tag, one in parts if tag == name][int(number.rstrip("]") or 1) - 1]
        )
        if content is None:
            leaves.pop(leaf, None)
        else:
            leaves[leaf] = content
    xml = document(operation, parts, info)
    for key, content in changes.items():
        if key.startswith("INFO/") and content is None:
            xml = re.sub(f"<{key[5:]}>[^<]*</{key[5:]}>", "", xml, count=1)
    return xml


def many(operation: str, interface: str, count: int, key: str, head: Mapping[str, str] = {}) -> bytes:
    """A request with `count` interfaces, whose `key` is a running number; `head` changes the other interfaces."""
    parts = [(name, {**leaves, **{k: v for k, v in head.items() if k in leaves}}) for name, leaves in GOOD[operation]]
    row = dict(next(leaves for name, leaves in GOOD[operation] if name == interface))
    form = "{:08d}" if key == "TRXSEQ" else "R{}"
    rows = [(interface, row | {key: form.format(number)}) for number in range(1, count + 1)]
    return framed(document(operation, [*(part for part in parts if part[0] != interface), *rows]))


def _escaped(content: str) -> str:
    return content.replace("&", "&amp;").replace("<", "&lt;")


def side() -> Side:
    """The bank's side with two accounts of one company, by the SOCKET service."""
    accounts = (
        LedgerAccount(OWN, HOLDER, Money(10_000_000_000_000_00)),
        LedgerAccount(SISTER, SISTER_HOLDER, Money(100_00)),
    )
    return Side(twin.build({"transport": "socket", "login": LOGIN}, {}), Ledger(BankTime().now_ms, accounts))


def _broken(
    operation: str, key: str, content: str | None, rule: RuleKind, code: str = "-3", *, place: str = "", **also: str
) -> Mistake:
    """A request with one wrong field; `also` changes others of its interface, `place` is named if it is another."""
    shown = "left out" if content is None else f"={content[:24]!r}"
    changes = {key: content, **{f"{key.partition('/')[0]}/{name}": text for name, text in also.items()}}
    return Mistake(
        f"{operation} {key} {shown}",
        partial(request, operation, changes),
        place or key.partition("/")[2] or key,
        rule,
        code,
    )


def _text(name: str, place: str, rule: RuleKind, xml: Callable[[], bytes], code: str = "-3") -> Mistake:
    return Mistake(name, xml, place, rule, code)


def _replaced(operation: str, old: str, new: str) -> Callable[[], bytes]:
    return lambda: framed(changed(operation).replace(old, new))


def _whole() -> tuple[Mistake, ...]:
    """Mistakes in the transport and the envelope."""
    return (
        _text("no XML", "document", RuleKind.FRAME, lambda: framed("REQDATA=1")),
        _text("an element not closed", "document", RuleKind.FRAME, _replaced("DCPAYMNT", "</CMBSDKPGK>", "")),
        _text("another root", "CMBSDKPGK", RuleKind.FRAME, _replaced("DCPAYMNT", "CMBSDKPGK>", "CMBSDKPKG>")),
        _text("no INFO", "INFO", RuleKind.FRAME, _replaced("DCPAYMNT", "INFO>", "HEAD>")),
        _text(
            "UTF-8 bytes",
            "encoding",
            RuleKind.CHARSET,
            lambda: framed(changed("DCPAYMNT").replace("GBK", "UTF-8"), "utf-8"),
        ),
        _text(
            "a character of GB18030 only",
            "CRTNAM",
            RuleKind.CHARSET,
            lambda: framed(changed("DCPAYMNT", {"DCOPDPAYX/CRTNAM": "示例𬭎"}), "gb18030"),
        ),
        _text(
            "half a character",
            "document",
            RuleKind.CHARSET,
            lambda: framed(changed("DCPAYMNT")).replace("货款".encode("gbk"), b"\xbb\xf5\xff\xff"),
        ),
        _text("an ampersand in clear", "document", RuleKind.FRAME, _replaced("DCPAYMNT", "货款", "A&B")),
        _text(
            "a field twice",
            "TRSAMT",
            RuleKind.REPEATED,
            _replaced("DCPAYMNT", "<CCYNBR>", "<TRSAMT>1.00</TRSAMT><CCYNBR>"),
        ),
        _text(
            "the lines of another function",
            "DCOPRTRFX",
            RuleKind.FRAME,
            _replaced("DCPAYMNT", "</CMBSDKPGK>", "<DCOPRTRFX><YURREF>X</YURREF></DCOPRTRFX></CMBSDKPGK>"),
        ),
        _broken("DCPAYMNT", "INFO/FUNNAM", "Login", RuleKind.OPERATION),
        _broken("DCPAYMNT", "INFO/FUNNAM", "dcpaymnt", RuleKind.OPERATION),
        _broken("DCPAYMNT", "INFO/FUNNAM", "", RuleKind.OPERATION),
        _broken("DCPAYMNT", "INFO/DATTYP", "1", RuleKind.HEADER),
        _broken("DCPAYMNT", "INFO/DATTYP", None, RuleKind.HEADER),
        _broken("DCPAYMNT", "INFO/LGNNAM", None, RuleKind.HEADER, "-4"),
        _broken("DCPAYMNT", "INFO/LGNNAM", "U02", RuleKind.HEADER, "-4"),
    )


def _payments() -> tuple[Mistake, ...]:
    line = "DCOPDPAYX/"
    twice = partial(many, "DCPAYMNT", "DCOPDPAYX", 1501, "YURREF")
    return (
        _broken("DCPAYMNT", "SDKPAYRQX", None, RuleKind.MISSING),
        _broken("DCPAYMNT", "SDKPAYRQX/BUSMOD", "", RuleKind.MISSING),
        _broken("DCPAYMNT", "SDKPAYRQX/BUSCOD", "02031", RuleKind.FORM),
        _broken("DCPAYMNT", "SDKPAYRQX/BUSCOD", "N02030", RuleKind.CODE),
        _broken("DCPAYMNT", "DCOPDPAYX", None, RuleKind.COUNT),
        Mistake("1501 payments", twice, "DCOPDPAYX", RuleKind.COUNT, "-3"),
        Mistake(
            "31 transfers", partial(many, "DCOPRTRF", "DCOPRTRFX", 31, "YURREF"), "DCOPRTRFX", RuleKind.COUNT, "-3"
        ),
        _broken("DCPAYMNT", line + "YURREF", "", RuleKind.MISSING),
        _broken("DCPAYMNT", line + "YURREF", "R" * 31, RuleKind.LENGTH),
        _broken("DCPAYMNT", line + "YURREF", "业务1", RuleKind.CHARSET),
        _broken("DCPAYMNT", line + "EPTDAT", "2026-11-24", RuleKind.FORM),
        _broken("DCPAYMNT", line + "EPTTIM", "0930", RuleKind.FORM),
        _broken("DCPAYMNT", line + "DBTACC", None, RuleKind.MISSING),
        _broken("DCPAYMNT", line + "DBTACC", "769900000010099", RuleKind.BOOKS, "FAAQ086"),
        _broken("DCPAYMNT", line + "DBTBBK", "769", RuleKind.LENGTH),
        _broken("DCPAYMNT", line + "TRSAMT", "12345,67", RuleKind.FORM),
        _broken("DCPAYMNT", line + "TRSAMT", "1.005", RuleKind.FORM),
        _broken("DCPAYMNT", line + "TRSAMT", "0.00", RuleKind.FORM),
        _broken("DCPAYMNT", line + "TRSAMT", "-1.00", RuleKind.FORM),
        _broken("DCPAYMNT", line + "TRSAMT", "100000000000.00", RuleKind.FORM),
        _broken("DCPAYMNT", line + "CCYNBR", "CNY", RuleKind.CODE),
        _broken("DCPAYMNT", line + "STLCHN", "R", RuleKind.CODE),
        _broken("DCPAYMNT", line + "STLCHN", "", RuleKind.MISSING),
        _broken("DCPAYMNT", line + "NUSAGE", "货" * 32, RuleKind.LENGTH),
        _broken("DCPAYMNT", line + "BUSNAR", "货" * 101, RuleKind.LENGTH),
        _broken("DCPAYMNT", line + "CRTNAM", "", RuleKind.MISSING),
        _broken("DCPAYMNT", line + "CRTNAM", "名" * 32, RuleKind.LENGTH),
        _broken("DCPAYMNT", line + "LRVEAN", "名" * 101, RuleKind.LENGTH),
        _broken("DCPAYMNT", line + "BNKFLG", "1", RuleKind.CODE),
        _broken("DCPAYMNT", line + "CRTBNK", "", RuleKind.MISSING),
        _broken("DCPAYMNT", line + "CRTADR", "", RuleKind.MISSING),
        _broken("DCPAYMNT", line + "TRSTYP", "100002", RuleKind.CODE),
        _broken("DCPAYMNT", line + "CRTNAM", "己公司", RuleKind.BOOKS, "FABZ002", CRTACC=SISTER, BNKFLG="Y"),
        Mistake(
            "one YURREF twice",
            lambda: framed(document("DCPAYMNT", [_HEAD, ("DCOPDPAYX", _PAYMENT), ("DCOPDPAYX", _PAYMENT)])),
            "DCOPDPAYX[2]/YURREF",
            RuleKind.TOGETHER,
            "NCB4241",
        ),
        _broken("DCOPRTRF", "SDKPAYRQX/BUSMOD", None, RuleKind.MISSING),
        _broken("DCOPRTRF", "DCOPRTRFX/TRSAMT", "壹元", RuleKind.FORM),
        _broken("DCOPRTRF", "DCOPRTRFX/CRTACC", "", RuleKind.MISSING),
    )


def _agencies() -> tuple[Mistake, ...]:
    head, line = "NTAGCAGCX1/", "NTAGCDTLY1[2]/"
    return (
        _broken("NTAGCSAL", "NTBUSMODY/BUSMOD", "", RuleKind.MISSING),
        _broken("NTAGCSAL", head + "TTLCNT", "3", RuleKind.TOGETHER),
        _broken("NTAGCSAL", head + "CURAMT", "3.01", RuleKind.TOGETHER),
        _broken("NTAGCSAL", head + "TTLAMT", "300", RuleKind.TOGETHER),
        _broken("NTAGCSAL", head + "REQNBR", "0000000001", RuleKind.TOGETHER),
        _broken("NTAGCSAL", head + "ENDTAG", "N", RuleKind.TOGETHER),
        _broken("NTAGCSAL", head + "CCYMKT", "3", RuleKind.CODE),
        _broken("NTAGCSAL", head + "TRSTYP", "AYBK", RuleKind.CODE),
        _broken("NTAGCSAL", head + "NUSAGE", "工" * 22, RuleKind.LENGTH),
        _broken("NTAGCSAL", head + "ACCNBR", "769900000010099", RuleKind.BOOKS, "-2"),
        _broken("NTAGCSAL", line + "TRXSEQ", "2", RuleKind.LENGTH),
        _broken("NTAGCSAL", line + "TRXSEQ", "00000001", RuleKind.TOGETHER),
        _broken("NTAGCSAL", line + "TRSDSP", "工" * 22, RuleKind.LENGTH),
        _broken("NTAGCSAL", line + "ACCNAM", "", RuleKind.MISSING),
        _broken("NTAGCSAL", line + "BNKFLG", "N", RuleKind.MISSING, place="EACBNK"),
        _broken("NTAGCACL", head + "TRSTYP", "BYSA", RuleKind.CODE),
        _broken("NTAGCACL", line + "FSTFLG", "1", RuleKind.CODE),
        _broken("AgentRequest", "SDKATSRQX/BUSCOD", "N03040", RuleKind.CODE),
        _broken("AgentRequest", "SDKATSRQX/EPTDAT", "20261130", RuleKind.FORM),
        _broken("AgentRequest", "SDKATSRQX/TOTAL", "1", RuleKind.TOGETHER),
        _broken("AgentRequest", "SDKATSRQX/SUM", "2.00", RuleKind.TOGETHER),
        _broken("AgentRequest", "SDKATSRQX/MEMO", "工" * 22, RuleKind.LENGTH),
        _broken("AgentRequest", "SDKATSRQX/TRSTYP", "AYBK", RuleKind.CODE),
        _broken("AgentRequest", "SDKATDRQX[2]/TRSDSP", "工" * 11, RuleKind.LENGTH),
        _broken("AgentRequest", "SDKATDRQX[2]/CLTNAM", "名" * 32, RuleKind.LENGTH),
    )


def _questions() -> tuple[Mistake, ...]:
    asked, past = "NTQRYSTYX1/", "NTQABINFY/"
    return (
        _broken("NTQRYSTY", asked + "YURREF", "", RuleKind.MISSING),
        _broken("NTQRYSTY", asked + "BGNDAT", "20261125", RuleKind.TOGETHER),
        _broken("NTQRYSTY", asked + "ENDDAT", "20261131", RuleKind.FORM),
        _broken("NTQRYSTY", asked + "BGNDAT", "20261117", RuleKind.TOGETHER),
        _broken("NTQRYSTY", asked + "BGNDAT", "20260825", RuleKind.TOGETHER, ENDDAT="20260826"),
        _broken("NTQRYSTN", "NTQRYSTNY1/DATFLG", "C", RuleKind.CODE),
        _broken("NTQRYSTN", "NTQRYSTNY1/BUSCOD", "", RuleKind.MISSING),
        _broken("NTSTLINF", "NTSTLINFX/REQNBR", "1", RuleKind.FORM),
        _broken("GetHisNoticeEX", "DCHISMSGX/RECNUM", "99", RuleKind.FORM),
        _broken("GetHisNoticeEX", "DCHISMSGX/RECNUM", "2001", RuleKind.FORM),
        _broken("GetBatchPayOprRes", "SDQPYRSTX/RSTSET", "", RuleKind.MISSING),
        _broken("NTQADINF", "NTQADINFX/ACCNBR", "769900000010099", RuleKind.BOOKS, "FAAQ086"),
        _broken("NTQADINF", "NTQADINFX/BBKNBR", "6", RuleKind.LENGTH),
        Mistake("31 accounts", partial(many, "NTQADINF", "NTQADINFX", 31, "ACCNBR"), "NTQADINFX", RuleKind.COUNT, "-3"),
        _broken("SDKNTQABINF", past + "ENDDAT", "20261124", RuleKind.TOGETHER),
        _broken("SDKNTQABINF", past + "BGNDAT", "20261023", RuleKind.TOGETHER),
        _broken("GetTransInfoEX", "SDKRBPTRSX/TRSDAT", "", RuleKind.MISSING),
        _broken("GetTransInfoEX", "SDKRBPTRSX/TRSSEQ", "A", RuleKind.ALPHABET),
        _broken("GetTransInfoEX", "SDKRBPTRSX/ACCNBR", OTHER, RuleKind.BOOKS, "-2"),
        _broken("NTAGDINF", "NTAGDINFY1/REQNBR", "", RuleKind.MISSING),
        _broken("NTAGDRFD", "NTAGDRFDY1/TRSTYP", "", RuleKind.MISSING),
        _broken("SDKCSFDFBRT", "CSRRCFDFY0/RRCFLG", "3", RuleKind.CODE),
        _broken("SDKCSFDFBRT", "CSRRCFDFY0/BEGDAT", "20261024", RuleKind.TOGETHER),
        _broken("ListMode", "SDKMDLSTX/BUSCOD", "", RuleKind.MISSING),
    )


def mistakes() -> tuple[Mistake, ...]:
    """The transport, the envelope, and rules of every function, broken once each."""
    return (*_whole(), *_payments(), *_agencies(), *_questions())


def form_request(xml: str) -> bytes:
    """The XML as the HTTP WEB service takes it."""
    body = b"REQDATA=" + quote_plus(xml.encode("gbk")).encode("ascii")
    head = f"POST / HTTP/1.1\r\nHost: fep\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


def corners() -> tuple[Corner, ...]:
    """The longest, the shortest and the most that A2 allows."""
    line = "DCOPDPAYX/"
    longest = {
        line + "YURREF": "R" * 30,
        line + "NUSAGE": "货" * 31,
        line + "BUSNAR": "备" * 100,
        line + "CRTNAM": "名" * 31,
        line + "CRTBNK": "行" * 31,
        line + "CRTADR": "址" * 31,
    }
    optional = (
        "EPTDAT",
        "EPTTIM",
        "DBTBBK",
        "STLCHN",
        "NUSAGE",
        "BUSNAR",
        "LRVEAN",
        "BRDNBR",
        "CRTBNK",
        "CTYCOD",
        "CRTADR",
        "CRTFLG",
        "NTFCH1",
        "NTFCH2",
        "CRTSQN",
        "TRSTYP",
        "RCVCHK",
        "RSV28Z",
    )
    shortest = {line + name: None for name in optional}
    wages = {"TTLCNT": "1000", "CURCNT": "1000", "TTLAMT": "1000.00", "CURAMT": "1000.00"}
    return (
        Corner("every field at its longest", partial(request, "DCPAYMNT", longest)),
        Corner(
            "a name of 200 bytes in LRVEAN",
            partial(request, "DCPAYMNT", {line + "CRTNAM": "", line + "LRVEAN": "名" * 100}),
        ),
        Corner(
            "inside the bank, nothing but what is needed",
            partial(
                request, "DCPAYMNT", {**shortest, line + "YURREF": "1", line + "BNKFLG": "Y", line + "TRSAMT": "0.01"}
            ),
        ),
        Corner("the largest amount", partial(request, "DCPAYMNT", {line + "TRSAMT": "99999999999.99"})),
        Corner("an amount without decimals", partial(request, "DCPAYMNT", {line + "TRSAMT": "123"})),
        Corner(
            "full-width and rare characters of GBK",
            partial(request, "DCPAYMNT", {line + "CRTNAM": "ABC(堃喆)·镕", line + "NUSAGE": "a<b & c"}),
        ),
        Corner("a > that nobody escaped", partial(request, "DCPAYMNT", {line + "NUSAGE": "a>b"})),
        Corner("own fields in INFO", partial(request, "DCPAYMNT", {"INFO/GWTRACEID": "T1"})),
        Corner("1500 payments", partial(many, "DCPAYMNT", "DCOPDPAYX", 1500, "YURREF"), 1500),
        Corner("30 transfers", partial(many, "DCOPRTRF", "DCOPRTRFX", 30, "YURREF"), 30),
        Corner(
            "a payee here under its own name",
            partial(
                request,
                "DCPAYMNT",
                {line + "CRTACC": SISTER, line + "CRTNAM": SISTER_HOLDER, line + "BNKFLG": "Y", line + "STLCHN": ""},
            ),
        ),
        Corner("1000 wages", partial(many, "NTAGCSAL", "NTAGCDTLY1", 1000, "TRXSEQ", wages), 1000),
        Corner("two collections", partial(request, "NTAGCACL"), 2),
        Corner("a small payroll", partial(request, "AgentRequest"), 2),
        Corner("30 accounts", lambda: framed(document("NTQADINF", [*GOOD["NTQADINF"]] * 30)), 0),
        Corner("2000 notices", partial(request, "GetHisNoticeEX", {"DCHISMSGX/RECNUM": "2000"}), 0),
        Corner("a whole week", partial(request, "NTQRYSTY", {"NTQRYSTYX1/BGNDAT": "20261118"}), 0),
        Corner(
            "90 days back",
            partial(request, "NTQRYSTY", {"NTQRYSTYX1/BGNDAT": "20260826", "NTQRYSTYX1/ENDDAT": "20260826"}),
            0,
        ),
        Corner("31 days of balances", partial(request, "SDKNTQABINF", {"NTQABINFY/BGNDAT": "20261024"}), 0),
    )
