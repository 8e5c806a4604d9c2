"""Mistakes of 中国银行's clients, each a change to a good request written from the bank's page (banks/boc.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from xml.sax.saxutils import escape

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks.boc import twin
from protocols.canon.money import Money
from protocols.judge import RuleKind
from tests.protocols.banks.mistakes import Corner, Mistake, Side
from tests.world.dialogue import BankTime

OWN, OWN_TOO, OTHER = "000000000001", "000000000003", "000000000002"
HOLDER, PASSWORD = "甲公司", "demo-only"
TOKEN = f"{1:032x}"
"""The token that `side` got when it signed on."""
INSID = "GW2611240001"
PATH = "/B2EC/E2BServlet"
_CHANGE = re.compile(r"(detail|[a-z0-9]+-rq)\[([0-9]+)\]/(.+)")
Fields = dict[str, str | None]


def _fields(written: str) -> dict[str, str]:
    """Fields in the order of the page; `name=value`, or the name alone for an empty one."""
    return {name: told for name, _, told in (one.partition("=") for one in written.split())}


_PAID = f"""
    insid={INSID} obssid fractn/fribkn=40000 fractn/actacn={OWN} fractn/actnam={HOLDER} toactn/toibkn=104100000004
    toactn/actacn={OTHER} toactn/toname=乙公司 toactn/toaddr=深圳 toactn/tobknm=中国银行某支行
"""
_REST = "trnamt=123.45 trncur=CNY priolv=0 furinfo=货款 trfdate=20261124 trftime comacn"
_ORDER = {"ceitinfo": "", "transtype": ""}
_GOOD: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
    "b2e0001": ({}, _fields(f"custdt=20261124120000 oprpwd={PASSWORD}")),
    "b2e0002": ({}, _fields("custdt=20261124120000")),
    "b2e0005": ({}, _fields(f"account/ibknum=40000 account/actacn={OWN}")),
    "b2e0012": (
        {},
        _fields(f"account/ibknum=40000 account/actacn={OWN} datescope/from=20261122 datescope/to=20261123"),
    ),
    "b2e0035": (
        {},
        _fields(
            f"ibknum=40000 actacn={OWN} type=2002 datescope/from=20261101 datescope/to=20261123 amountscope/from=0 "
            "amountscope/to=9999999999 begnum=1 recnum=50 direction=0"
        ),
    ),
    "b2e0007": ({}, _fields(f"insid={INSID} obssid")),
    "b2e0009": (_ORDER, _fields(_PAID + _REST)),
    "b2e0061": (_ORDER, _fields(f"{_PAID} toactn/acttyp=119 {_REST} bocflag=1 cuspriolv=0")),
    "b2e0078": (
        _ORDER,
        _fields(
            f"insid={INSID} fractn/fribkn=40000 fractn/actacn={OWN} pybcur=CNY pybamt pybnum crdtyp=6 furinfo=G8 "
            "useinf=工资 trfdate=20261124"
        ),
    ),
    "b2e0500": (
        {},
        _fields(
            "tratype amtscope/minamt=1.00 amtscope/maxamt=2.00 datescope/from=20261124 datescope/to=20261124 "
            f"domaccount/transact domaccount/transname insid={INSID} multidata/confirmdata/actacn={OWN} "
            "multidata/confirmdata/ibknum=40000"
        ),
    ),
}
_DETAIL = _fields(
    f"toibkn=102100099996 tobank=某行 toactn={OTHER} pydcur=CNY pydamt=100.00 toname=示例丙 toidtp toidet furinfo purpose "
    "reserve1 reserve2 reserve3 reserve4"
)


def request(
    operation: str,
    changes: Mapping[str, str | None] = {},
    *,
    lines: int = 1,
    encoding: str = "utf-8",
    tail: bytes = b"",
) -> bytes:
    """A good request for `operation` with `changes`, as HTTP bytes, under the token that `side` has.

    A change names its place: `http/path`, `@version` and the like, `head/…`, `ceitinfo`, `b2e0009-rq[1]/fractn/actnam`; in
    b2e0078 `detail[1]/pydamt` is a field of a line. None leaves the field out, and a name that the operation does not have
    is added. `lines` is the number of rows, whose insid counts upwards, and in b2e0078 of details; pybnum and pybamt are
    those of the details unless they are changed. `encoding` is that of the document, `tail` stands behind it.
    """
    before, row = _GOOD.get(operation, ({}, {"insid": INSID}))
    trn: Fields = {key: changes.get(key, told) for key, told in before.items()}
    rows: list[Fields] = [dict(row) for _ in range(1 if operation == "b2e0078" else lines)]
    for number, one in enumerate(rows[1:], 2):
        if "insid" in one:
            one["insid"] = f"GW26112{number:05d}"
    details: list[Fields] = [dict(_DETAIL) for _ in range(lines)] if operation == "b2e0078" else []
    for place, told in changes.items():
        found = _CHANGE.fullmatch(place)
        if found:
            part = details if found.group(1) == "detail" else rows
            part[int(found.group(2)) - 1][found.group(3)] = told
        elif "/" not in place and "@" not in place:
            trn[place] = told
    if operation == "b2e0078" and rows:
        rows[0] = _counted(rows[0], details)
    attributes: Fields = {"version": "120", "security": "true", "locale": "zh_CN"}
    head: Fields = {
        "termid": "E192168001010",
        "trnid": "20261124120000001",
        "custid": "100000001",
        "cusopr": "200000001",
        "trncod": operation,
        "token": None if operation == "b2e0001" else TOKEN,
    }
    for place, told in changes.items():
        if place.startswith("@"):
            attributes[place[1:]] = told
        elif place.startswith("head/"):
            head[place[5:]] = told
    inside = _nested(trn) + "".join(
        f"<{operation}-rq>{_nested(one)}{''.join(f'<detail>{_nested(line)}</detail>' for line in details)}</{operation}-rq>"
        for one in rows
    )
    written = "".join(f' {name}="{told}"' for name, told in attributes.items() if told is not None)
    document = (
        f'<?xml version="1.0" encoding="{encoding.upper()}"?><bocb2e{written}><head>{_nested(head)}</head><trans>'
        f"<trn-{operation}-rq>{inside}</trn-{operation}-rq></trans></bocb2e>"
    )
    return posted(document.encode(encoding) + tail, changes.get("http/path") or PATH)


def posted(body: bytes, path: str = PATH) -> bytes:
    """The HTTP request with this body."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


def _counted(row: Fields, details: Sequence[Fields]) -> Fields:
    """The row of b2e0078 with number and sum of its details, where nothing else is said."""
    fen = [round(float(one["pydamt"] or 0) * 100) for one in details if re.fullmatch(r"[0-9.]+", one["pydamt"] or "")]
    totals = {"pybnum": str(len(details)), "pybamt": f"{sum(fen) / 100:.2f}"}
    return {key: totals[key] if key in totals and told == "" else told for key, told in row.items()}


def _nested(fields: Fields) -> str:
    """Elements for paths; neighbours under the same parent are written into one."""
    written, last = "", None
    for path, told in fields.items():
        parent, _, name = path.rpartition("/")
        parts = parent.split("/") if parent else []
        leaf = "" if told is None else f"<{name}>{escape(told)}</{name}>"
        if parent and parent == last:
            closing = "".join(f"</{one}>" for one in reversed(parts))
            written = written.removesuffix(closing) + leaf + closing
        else:
            written += "".join(f"<{one}>" for one in parts) + leaf + "".join(f"</{one}>" for one in reversed(parts))
        last = parent
    return written


def side() -> Side:
    """The bank's side with two accounts, signed on."""
    accounts = (
        LedgerAccount(OWN, HOLDER, Money(10_000_000_000_000_000)),
        LedgerAccount(OWN_TOO, "甲公司分公司", Money(10_000_000)),
    )
    made = Side(twin.build({"password": PASSWORD}, {}), Ledger(BankTime().now_ms, accounts))
    assert TOKEN.encode() in made.answer(request("b2e0001")).data
    return made


def _one(operation: str, place: str, told: str | None, rule: RuleKind, code: str = "TW00") -> Mistake:
    shown = "left out" if told is None else repr(told[:24])
    return Mistake(f"{operation} {place} {shown}", partial(request, operation, {place: told}), place, rule, code)


def _pay(name: str, told: str | None, rule: RuleKind, code: str = "TW00") -> Mistake:
    return _one("b2e0009", f"b2e0009-rq[1]/{name}", told, rule, code)


def _wage(place: str, told: str | None, rule: RuleKind, code: str = "TW00") -> Mistake:
    made = partial(request, "b2e0078", {place: told}, lines=2)
    return Mistake(f"b2e0078 {place} {told!r}", made, place.replace("b2e0078-rq[1]/", ""), rule, code)


def _list(changes: Mapping[str, str], place: str, rule: RuleKind) -> Mistake:
    given = {f"b2e0035-rq[1]/{name}": told for name, told in changes.items()}
    return Mistake(f"b2e0035 {dict(changes)}", partial(request, "b2e0035", given), place, rule, "TW00")


def _whole(name: str, made: Callable[[], bytes], place: str, rule: RuleKind, code: str = "TW00") -> Mistake:
    return Mistake(name, made, place, rule, code)


def _renamed() -> bytes:
    body = request("b2e0009").partition(b"\r\n\r\n")[2]
    return posted(body.replace(b"trn-b2e0009-rq", b"trn-b2e0005-rq"))


def _cut() -> bytes:
    return posted(request("b2e0009").partition(b"\r\n\r\n")[2][:-20])


def _wrong_label() -> bytes:
    body = request("b2e0009", encoding="gbk").partition(b"\r\n\r\n")[2]
    return posted(body.replace(b"GBK", b"UTF-8"))


def mistakes() -> tuple[Mistake, ...]:
    """The page's rules, each broken once."""
    twice = partial(request, "b2e0009", {"b2e0009-rq[2]/insid": INSID}, lines=2)
    third = partial(request, "b2e0009", {"b2e0009-rq[3]/trnamt": "1,00"}, lines=3)
    return (
        _whole("an unknown operation", partial(request, "b2e9999"), "head/trncod", RuleKind.OPERATION),
        _whole("elements of another code", _renamed, "trn-b2e0009-rq", RuleKind.FRAME),
        _whole("XML that is cut", _cut, "http/body", RuleKind.FRAME),
        _whole("GBK under the label UTF-8", _wrong_label, "http/body", RuleKind.CHARSET),
        _whole("another root", lambda: posted(b"<bocb2b/>"), "http/body", RuleKind.FRAME),
        _one("b2e0005", "http/path", "/B2EC/", RuleKind.HEADER, "404"),
        _one("b2e0005", "@version", "200", RuleKind.CODE),
        _one("b2e0005", "head/termid", "127000000001", RuleKind.FORM),
        _one("b2e0005", "head/trnid", "", RuleKind.MISSING),
        _one("b2e0005", "head/custid", None, RuleKind.MISSING),
        _one("b2e0005", "head/token", None, RuleKind.MISSING, "B107"),
        _one("b2e0005", "head/token", "x" * 65, RuleKind.LENGTH, "B107"),
        _one("b2e0001", "b2e0001-rq[1]/custdt", "20261124", RuleKind.FORM),
        _one("b2e0001", "b2e0001-rq[1]/oprpwd", "", RuleKind.MISSING),
        _one("b2e0005", "b2e0005-rq[1]/account/ibknum", "4000", RuleKind.LENGTH),
        _one("b2e0005", "b2e0005-rq[1]/account/actacn", "000000000099", RuleKind.BOOKS, "TW07"),
        _one("b2e0012", "b2e0012-rq[1]/datescope/from", "2026-11-22", RuleKind.FORM),
        _list({"type": "2003"}, "type", RuleKind.CODE),
        _list({"type": "2001"}, "datescope/from", RuleKind.TOGETHER),
        _list({"datescope/from": "20261022"}, "datescope/to", RuleKind.TOGETHER),
        _list({"datescope/from": "20251101", "datescope/to": "20251110"}, "datescope/from", RuleKind.TOGETHER),
        _list({"datescope/from": "20261123", "datescope/to": "20261101"}, "datescope/from", RuleKind.TOGETHER),
        _list({"recnum": "100"}, "recnum", RuleKind.FORM),
        _list({"recnum": "5"}, "recnum", RuleKind.FORM),
        _list({"recnum": "51"}, "recnum", RuleKind.FORM),
        _list({"begnum": "0"}, "begnum", RuleKind.FORM),
        _list({"begnum": "123456789"}, "begnum", RuleKind.LENGTH),
        _list({"direction": "D"}, "direction", RuleKind.CODE),
        _list({"actacn": ""}, "actacn", RuleKind.MISSING),
        _one("b2e0007", "b2e0007-rq[1]/insid", "", RuleKind.MISSING),
        _pay("insid", "", RuleKind.MISSING),
        _pay("insid", "GW-2611240001", RuleKind.ALPHABET),
        _pay("insid", "G" * 21, RuleKind.LENGTH),
        _pay("fractn/fribkn", "104100000004", RuleKind.LENGTH),
        _pay("fractn/actacn", "000000000099", RuleKind.BOOKS, "TW07"),
        _pay("fractn/actnam", "别人公司", RuleKind.BOOKS),
        _pay("fractn/actnam", None, RuleKind.MISSING),
        _pay("toactn/toibkn", "", RuleKind.MISSING),
        _pay("toactn/toibkn", "10410000000", RuleKind.FORM),
        _pay("toactn/actacn", "0" * 36, RuleKind.LENGTH),
        _pay("toactn/toname", "名" * 36, RuleKind.LENGTH),
        _pay("toactn/toname", "", RuleKind.MISSING),
        _pay("toactn/toaddr", "址" * 35 + "x", RuleKind.LENGTH),
        _pay("toactn/tobknm", "行" * 36, RuleKind.LENGTH),
        _pay("furinfo", "用" * 40 + "x", RuleKind.LENGTH),
        _pay("trnamt", "12345.678", RuleKind.FORM),
        _pay("trnamt", "0.00", RuleKind.FORM),
        _pay("trnamt", "-1.00", RuleKind.FORM),
        _pay("trnamt", "1" * 16, RuleKind.LENGTH),
        _pay("trncur", "RMB", RuleKind.CODE),
        _pay("priolv", "2", RuleKind.CODE),
        _pay("trfdate", "20261123", RuleKind.TOGETHER),
        _pay("trfdate", "20261225", RuleKind.TOGETHER),
        _pay("trfdate", "20261131", RuleKind.FORM),
        _pay("usage", "货款", RuleKind.FRAME),
        _one("b2e0009", "transtype", "3", RuleKind.CODE),
        _whole("no row", partial(request, "b2e0009", lines=0), "b2e0009-rq", RuleKind.COUNT),
        _whole("1001 rows", partial(request, "b2e0009", lines=1001), "b2e0009-rq", RuleKind.COUNT),
        _whole("an insid twice", twice, "b2e0009-rq[2]/insid", RuleKind.TOGETHER),
        _whole("a comma in the third amount", third, "b2e0009-rq[3]/trnamt", RuleKind.FORM),
        _one("b2e0061", "b2e0061-rq[1]/toactn/acttyp", "100", RuleKind.CODE),
        _one("b2e0061", "b2e0061-rq[1]/bocflag", "", RuleKind.MISSING),
        _wage("b2e0078-rq[1]/pybnum", "3", RuleKind.TOGETHER),
        _wage("b2e0078-rq[1]/pybamt", "200.01", RuleKind.TOGETHER),
        _wage("b2e0078-rq[1]/crdtyp", "8", RuleKind.CODE),
        _wage("b2e0078-rq[1]/furinfo", "工资", RuleKind.FORM),
        _wage("detail[2]/toibkn", "32", RuleKind.TOGETHER),
        _wage("detail[2]/pydamt", "1.005", RuleKind.FORM),
        _wage("detail[1]/toname", "", RuleKind.MISSING),
        _one("b2e0500", "b2e0500-rq[1]/multidata/confirmdata/actacn", "", RuleKind.MISSING),
        _one("b2e0500", "b2e0500-rq[1]/amtscope/minamt", "3.00", RuleKind.TOGETHER),
    )


def corners() -> tuple[Corner, ...]:
    """The edges of what the page allows."""
    row = "b2e0009-rq[1]"
    longest = {
        f"{row}/toactn/toname": "名" * 35,
        f"{row}/toactn/toaddr": "址" * 35,
        f"{row}/toactn/tobknm": "行" * 35,
        f"{row}/furinfo": "用" * 40,
        f"{row}/toactn/actacn": "0" * 35,
        f"{row}/insid": "G" * 20,
    }
    shortest = {
        f"{row}/trnamt": "0.01",
        f"{row}/furinfo": "",
        f"{row}/toactn/toaddr": None,
        f"{row}/trftime": None,
        f"{row}/comacn": None,
        f"{row}/obssid": None,
        "ceitinfo": None,
    }
    rare = {f"{row}/toactn/toname": "ＡＢＣ㐂𠮷&<公司>"}
    oldest = {"@version": "100", "@locale": None, "@lang": "chs", f"{row}/trncur": "001"}
    return (
        Corner("the longest fields", partial(request, "b2e0009", longest)),
        Corner("one fen and nothing that may be left out", partial(request, "b2e0009", shortest)),
        Corner("a large amount", partial(request, "b2e0009", {f"{row}/trnamt": "99999999999999.99"})),
        Corner("full-width and rare characters in UTF-8", partial(request, "b2e0009", rare)),
        Corner("rare characters in GB18030", partial(request, "b2e0009", rare, encoding="gb18030")),
        Corner("GBK, blanks behind the document", partial(request, "b2e0009", encoding="gbk", tail=b" " * 40)),
        Corner("version 100 and currency 001", partial(request, "b2e0009", oldest)),
        Corner("a day a month ahead", partial(request, "b2e0009", {f"{row}/trfdate": "20261224"})),
        Corner("1000 rows", partial(request, "b2e0009", lines=1000), 1000),
        Corner("a payee by the branch's five digits", partial(request, "b2e0009", {f"{row}/toactn/toibkn": "40000"})),
        Corner("a payroll of 200 lines", partial(request, "b2e0078", lines=200), 200),
        Corner(
            "a payroll by UnionPay without toibkn",
            partial(request, "b2e0078", {"b2e0078-rq[1]/crdtyp": "5", "detail[1]/toibkn": ""}),
        ),
        Corner(
            "a list without recnum and direction",
            partial(request, "b2e0035", {"b2e0035-rq[1]/recnum": None, "b2e0035-rq[1]/direction": None}),
            0,
        ),
        Corner("balances up to today", partial(request, "b2e0012", {"b2e0012-rq[1]/datescope/to": "20261124"}), 0),
        Corner(
            "a list of one calendar month",
            partial(request, "b2e0035", {"b2e0035-rq[1]/datescope/from": "20261023", "b2e0035-rq[1]/type": "2002"}),
            0,
        ),
    )
