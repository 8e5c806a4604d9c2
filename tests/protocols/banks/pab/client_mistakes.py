"""Mistakes of 平安's clients, each a change to a good request that is written from the bank's page (banks/pab.md).

For other files: `request` builds a good request of an operation with changes to its fields, its rows or its header;
`framed` puts a header before any body; `GOOD`, `ROWS` and `HEADER` are the good values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from gateway.simbank.ledger import Ledger, LedgerAccount
from protocols.banks.pab import twin
from protocols.canon.money import Money
from protocols.judge import RuleKind
from tests.protocols.banks.mistakes import Corner, Mistake, Side
from tests.world.dialogue import BankTime

ENTERPRISE = "00000000000000000017"
OWN, OWN_NAME = "0000000000000000017", "示例甲公司"
UPPER, UPPER_NAME = "0000000000000000117", "示例集团公司"
PAYEE, PAYEE_NAME = "0000000000000000025", "示例丙"
STRANGER = "0000000000000000099"
VOUCHER, BATCH = "PM000000000000000001", "PM00000000000000B001"

HEADER = {
    "报文类别": "A001",
    "目标系统": "01",
    "报文编码": "01",
    "通讯协议": "01",
    "企业银企直连标准代码": ENTERPRISE,
    "接收报文长度": "",
    "交易码": "",
    "操作员代码": "00000",
    "服务类型": "01",
    "交易日期时间": "20261124120000",
    "请求方系统流水号": "PM000000000000009001",
    "返回码": "",
    "返回描述": "",
    "后续包标志": "0",
    "请求次数": "000",
    "签名标识": "0",
    "签名数据包格式": "1",
    "签名算法": "",
    "签名数据长度": "         0",
    "附件数目": "0",
}
"""The header's fields in their order, by the page's names. Empty 接收报文长度 and 交易码 are filled in."""
_WIDTHS = (4, 2, 2, 2, 20, 10, 6, 5, 2, 14, 20, 6, 100, 1, 3, 1, 1, 12, 10, 1)

_PAYEE = {
    "InAcctBankNode": "102100099996",
    "InAcctRecCode": "",
    "InAcctNo": PAYEE,
    "InAcctName": PAYEE_NAME,
    "InAcctBankName": "中国工商银行",
}
GOOD: Mapping[str, Mapping[str, str]] = {
    "S001": {},
    "4001": {"Account": OWN, "CcyType": "C", "CcyCode": "RMB"},
    "4012": {"Account": OWN, "RptDate": "20261123"},
    "4008": {"AcctNo": OWN, "CcyCode": "RMB", "PageNo": "0", "JournalNo": "0", "LogCount": "0"},
    "4013": {
        "AcctNo": OWN,
        "CcyCode": "RMB",
        "BeginDate": "20261101",
        "EndDate": "20261123",
        "PageNo": "1",
        "PageSize": "30",
        "Reserve": "",
    },
    "4004": {
        "ThirdVoucher": VOUCHER,
        "CstInnerFlowNo": "ERP0001",
        "CcyCode": "RMB",
        "OutAcctNo": OWN,
        "OutAcctName": OWN_NAME,
        "OutAcctAddr": "",
        **_PAYEE,
        "TranAmount": "10.00",
        "AmountCode": "",
        "UseEx": "货款",
        "UnionFlag": "0",
        "SysFlag": "N",
        "AddrFlag": "1",
    },
    "4005": {"OrigThirdLogNo": "", "OrigThirdVoucher": VOUCHER, "OrigFrontLogNo": ""},
    "4018": {
        "ThirdVoucher": BATCH,
        "totalCts": "2",
        "totalAmt": "20.00",
        "BatchSummary": "",
        "BSysFlag": "N",
        "CcyCode": "RMB",
        "OutAcctNo": OWN,
        "OutAcctName": OWN_NAME,
        "OutAcctAddr": "",
        "PayType": "0",
        "BizFlag1": "",
        "BookingDate": "",
    },
    "4015": {"OrigThirdVoucher": BATCH, "QueryType": "0", "PageCts": "500", "PageNo": "1"},
    "4019": {"AccNo": OWN, "StartDate": "20261101", "EndDate": "20261124", "PageNo": "1", "PageCts": "30"},
    "4047": {
        "ThirdVoucher": BATCH,
        "AGREE_NO": "AG0001",
        "BusiType": "0001",
        "PayType": "1",
        "Currency": "RMB",
        "OthBankFlag": "N",
        "SrcAccNo": OWN,
        "TotalNum": "2",
        "TotalAmount": "20.00",
        "SettleType": "1",
    },
    "4048": {"ThirdVoucher": BATCH},
    "4017": {"BankNo": "102", "BankName": "", "KeyWord": "示例"},
    "KHKF03": {
        "OrderNumber": VOUCHER,
        "AcctNo": OWN,
        "BusiType": "00001",
        "CorpId": "",
        "CcyCode": "RMB",
        "TranAmount": "10.00",
        "InAcctNo": PAYEE,
        "InAcctName": PAYEE_NAME,
        "InAcctBankName": "",
        "InAcctBankNode": "",
        "Mobile": "",
        "Remark": "货款",
    },
    "KHKF04": {"AcctNo": OWN, "OrderNumber": VOUCHER, "BussFlowNo": ""},
    "4052": {
        "ThirdVoucher": VOUCHER,
        "AcctNo": UPPER,
        "guiJiAreaOption": "2",
        "subAccountNo": OWN,
        "guiJiType": "1",
        "Amount": "10.00",
    },
    "401802": {
        "ThirdVoucher": BATCH,
        "SThirdVoucher": VOUCHER,
        "OutAcctNo": OWN,
        "InAcctNo": PAYEE,
        "InAcctName": PAYEE_NAME,
        "TranAmount": "10.00",
    },
}
"""A good request of each operation that the twin answers, without its rows."""

_LINE = {
    "SThirdVoucher": "PM000000000000000101",
    "CstInnerFlowNo": "",
    **_PAYEE,
    "InAcctProvinceCode": "",
    "InAcctCityName": "",
    "TranAmount": "10.00",
    "UseEx": "货款",
    "UnionFlag": "0",
    "AddrFlag": "1",
    "SysFlag": "N",
    "MainAcctNo": "",
}
_WAGE = {
    "SThirdVoucher": "PM000000000000000101",
    "CstInnerFlowNo": "",
    "OthAreaFlag": "",
    "IdType": "",
    "IdNo": "",
    "OppBankName": "",
    "OppAccNo": PAYEE,
    "OppAccName": PAYEE_NAME,
    "OppBranchId": "",
    "Province": "",
    "City": "",
    "Amount": "10.00",
    "PostScript": "工资",
    "RemarkFCR": "",
}
_SECOND = {"SThirdVoucher": "PM000000000000000102"}
ROWS: Mapping[str, Sequence[Mapping[str, str]]] = {
    "4018": (_LINE, {**_LINE, **_SECOND}),
    "4047": (_WAGE, {**_WAGE, **_SECOND}),
}
"""The rows of a good batch. Their element is HOResultSet4018R or HOResultSet4047R."""


def framed(operation: str, body: bytes, header: Mapping[str, str] | None = None) -> bytes:
    """A message with the header of a good request. `header` has other values by the page's names of the fields.

    Each value is written left aligned and padded with blanks, in GB18030 bytes. Without a value for 接收报文长度 the
    number of bytes of `body` is written.
    """
    fields = {**HEADER, "交易码": operation, "接收报文长度": f"{len(body):010d}", **(header or {})}
    octets = [text.encode("gb18030").ljust(width) for text, width in zip(fields.values(), _WIDTHS, strict=True)]
    assert [len(one) for one in octets] == list(_WIDTHS), fields
    return b"".join(octets) + body


def document(
    operation: str,
    changes: Mapping[str, str | None] | None = None,
    rows: Sequence[Mapping[str, str | None]] | None = None,
) -> str:
    """The XML of a good request with changes to its fields: a text, or None to leave the element out.

    A field that the good request does not have comes at the end. `rows` takes the place of the good rows.
    """
    inner = _elements({**GOOD[operation], **(changes or {})})
    for row in ROWS.get(operation, ()) if rows is None else rows:
        inner += f"<HOResultSet{operation}R>{_elements(row)}</HOResultSet{operation}R>"
    return f'<?xml version="1.0" encoding="GBK"?><Result>{inner}</Result>'


def _elements(fields: Mapping[str, str | None]) -> str:
    return "".join(f"<{tag}>{text}</{tag}>" for tag, text in fields.items() if text is not None)


def request(
    operation: str,
    changes: Mapping[str, str | None] | None = None,
    *,
    rows: Sequence[Mapping[str, str | None]] | None = None,
    header: Mapping[str, str] | None = None,
    charset: str = "gbk",
) -> bytes:
    """A framed request of `operation`: the good one, with changes to its fields, its rows or its header."""
    return framed(operation, document(operation, changes, rows).encode(charset), header)


def row(operation: str, changes: Mapping[str, str | None], number: int = 2) -> list[Mapping[str, str | None]]:
    """The good rows of a batch with changes to row `number`, counted from 1."""
    return [{**one, **changes} if n == number else one for n, one in enumerate(ROWS[operation], start=1)]


def lines(operation: str, count: int) -> list[Mapping[str, str | None]]:
    """So many good rows of a batch, each with a voucher of its own."""
    return [{**ROWS[operation][0], "SThirdVoucher": f"PM{number:018d}"} for number in range(count)]


def side() -> Side:
    """A new front end with two accounts of one enterprise."""
    accounts = (
        LedgerAccount(OWN, OWN_NAME, Money(10_000_000_000_000)),
        LedgerAccount(UPPER, UPPER_NAME, Money(10_000_000_000_000)),
    )
    return Side(twin.build({"enterprise_code": ENTERPRISE}, {}), Ledger(BankTime().now_ms, accounts))


def _changed(operation: str, name: str, text: str | None, rule: RuleKind, code: str = "") -> Mistake:
    shown = "absent" if text is None else repr(text[:24])
    return Mistake(f"{operation} {name} {shown}", partial(request, operation, {name: text}), name, rule, code)


def _line(operation: str, name: str, text: str, rule: RuleKind) -> Mistake:
    wrong = partial(request, operation, rows=row(operation, {name: text}))
    place = f"HOResultSet{operation}R[2]/{name}"
    return Mistake(f"{operation} line {name} {text[:24]!r}", wrong, place, rule)


def _header(name: str, text: str, rule: RuleKind = RuleKind.HEADER, code: str = "") -> Mistake:
    return Mistake(f"header {name} {text!r}", partial(request, "4004", header={name: text}), name, rule, code)


def _too_short() -> bytes:
    """A client that counts characters writes a length that is too short for a body with Chinese text."""
    body = document("4004")
    return framed("4004", body.encode("gbk"), {"接收报文长度": f"{len(body):010d}"})


def _crossed() -> bytes:
    return framed("4001", f"<Result><Account>{OWN}</Result></Account>".encode())


def _in(charset: str, declared: str, text: str = PAYEE_NAME) -> bytes:
    body = document("4004", {"InAcctName": text}).replace("GBK", declared)
    return framed("4004", body.encode(charset))


def _rare() -> bytes:
    text = document("4004", {"InAcctName": "示例𬭎"}).replace("GBK", "UTF-8")
    return framed("4004", text.encode(), {"报文编码": "02"})


def _twice() -> bytes:
    good = document("4004")
    return framed("4004", good.replace("<UseEx>", "<TranAmount>99.00</TranAmount><UseEx>").encode("gbk"))


def _signed() -> bytes:
    return request("4004", header={"签名标识": "1"})


def mistakes() -> tuple[Mistake, ...]:
    """The rules of the page, each broken at least once."""
    whole: tuple[tuple[str, Callable[[], bytes], str, RuleKind, str], ...] = (
        ("a length counted in characters", _too_short, "接收报文长度", RuleKind.FRAME, ""),
        ("tags that cross", _crossed, "Result", RuleKind.FRAME, ""),
        ("another root", partial(framed, "S001", b"<Query></Query><Result/>"), "Result", RuleKind.FRAME, ""),
        ("UTF-8 under the code of GBK", partial(_in, "utf-8", "UTF-8"), "encoding", RuleKind.CHARSET, ""),
        ("a character outside GBK", partial(_in, "gb18030", "GBK", "示例𬭎"), "Result", RuleKind.CHARSET, ""),
        ("a character that the host has not", _rare, "Result", RuleKind.CHARSET, ""),
        ("an amount twice", _twice, "TranAmount", RuleKind.REPEATED, ""),
        ("signed without a signature", _signed, "签名标识", RuleKind.SIGNATURE, ""),
        ("no such code", partial(framed, "DP00", b"<Result/>"), "交易码", RuleKind.OPERATION, "YQ0000"),
        (
            "a code padded on its left",
            partial(framed, "4005", document("4005").encode("gbk"), {"交易码": "  4005"}),
            "交易码",
            RuleKind.HEADER,
            "",
        ),
        (
            "501 lines",
            partial(request, "4018", {"totalCts": "501", "totalAmt": "5010.00"}, rows=lines("4018", 501)),
            "HOResultSet4018R",
            RuleKind.COUNT,
            "",
        ),
        ("a batch without lines", partial(request, "4018", rows=[]), "HOResultSet4018R", RuleKind.COUNT, ""),
        (
            "a line's voucher twice",
            partial(request, "4018", rows=row("4018", {"SThirdVoucher": _LINE["SThirdVoucher"]})),
            "SThirdVoucher",
            RuleKind.TOGETHER,
            "",
        ),
        (
            "real-time single with two lines",
            partial(request, "4047", {"SettleType": "0"}),
            "SettleType",
            RuleKind.TOGETHER,
            "",
        ),
        (
            "another bank and no name of it",
            partial(request, "4004", {"InAcctBankName": "", "InAcctBankNode": ""}),
            "InAcctBankName",
            RuleKind.MISSING,
            "",
        ),
        (
            "an account of the group under a stranger's name",
            partial(request, "4004", {"InAcctNo": UPPER}),
            "InAcctName",
            RuleKind.BOOKS,
            "YQ9982",
        ),
        (
            "an enquiry about nothing",
            partial(request, "4005", {"OrigThirdVoucher": ""}),
            "OrigThirdVoucher",
            RuleKind.MISSING,
            "",
        ),
        (
            "today and the past in one question",
            partial(request, "4013", {"EndDate": "20261124"}),
            "BeginDate",
            RuleKind.TOGETHER,
            "YQ9993",
        ),
    )
    return (
        *(Mistake(name, wrong, place, rule, code) for name, wrong, place, rule, code in whole),
        _header("报文类别", "A002"),
        _header("目标系统", "04"),
        _header("报文编码", "05"),
        _header("通讯协议", "02"),
        _header("企业银企直连标准代码", "00000000000000000099", code="YQ9986"),
        _header("企业银企直连标准代码", "17", code="YQ9986"),
        _header("接收报文长度", f"{len(document('4004').encode('gbk')):>10d}"),
        _header("服务类型", "02"),
        _header("交易日期时间", "2026-11-24 12:"),
        _header("交易日期时间", "20261324120000"),
        _header("请求方系统流水号", ""),
        _header("返回码", "1"),
        _header("签名标识", "Y"),
        _header("签名数据包格式", "2"),
        _header("签名算法", "SM3-SM2"),
        _header("报文编码", "03"),
        _header("操作员代码", "王五"),
        _header("后续包标志", "1"),
        _header("请求次数", "1"),
        _header("附件数目", "1"),
        _changed("4004", "ThirdVoucher", "P" * 21, RuleKind.LENGTH),
        _changed("4004", "ThirdVoucher", "", RuleKind.MISSING),
        _changed("4004", "ThirdVoucher", "凭证一号", RuleKind.ALPHABET),
        _changed("4004", "CstInnerFlowNo", "订单" * 5 + "1", RuleKind.LENGTH),
        _changed("4004", "CcyCode", "USD", RuleKind.CODE),
        _changed("4004", "CcyCode", None, RuleKind.MISSING),
        _changed("4004", "OutAcctNo", STRANGER, RuleKind.BOOKS, "2778"),
        _changed("4004", "OutAcctName", "示例别人公司", RuleKind.BOOKS),
        _changed("4004", "InAcctNo", "", RuleKind.MISSING),
        _changed("4004", "InAcctNo", "6225 0000 1", RuleKind.ALPHABET),
        _changed("4004", "InAcctNo", OWN, RuleKind.TOGETHER),
        _changed("4004", "InAcctName", None, RuleKind.MISSING),
        _changed("4004", "InAcctBankNode", "1021000999", RuleKind.LENGTH),
        _changed("4004", "TranAmount", "1,000.00", RuleKind.FORM),
        _changed("4004", "TranAmount", "10.005", RuleKind.FORM),
        _changed("4004", "TranAmount", "-10.00", RuleKind.FORM),
        _changed("4004", "TranAmount", "0.00", RuleKind.FORM),
        _changed("4004", "TranAmount", "", RuleKind.MISSING),
        _changed("4004", "UseEx", "用" * 60, RuleKind.LENGTH),
        _changed("4004", "UnionFlag", "Y", RuleKind.CODE),
        _changed("4004", "SysFlag", "2", RuleKind.CODE),
        _changed("4004", "AddrFlag", "0", RuleKind.CODE),
        _changed("4018", "totalCts", "3", RuleKind.TOGETHER),
        _changed("4018", "totalAmt", "20.01", RuleKind.TOGETHER),
        _changed("4018", "PayType", "2", RuleKind.CODE),
        _changed("4018", "BookingDate", "2026-11-25", RuleKind.FORM),
        _changed("4018", "OutAcctNo", STRANGER, RuleKind.BOOKS, "2778"),
        _line("4018", "TranAmount", "1e1", RuleKind.FORM),
        _line("4018", "UseEx", "用" * 31, RuleKind.LENGTH),
        _line("4018", "InAcctNo", "", RuleKind.MISSING),
        _changed("4047", "AGREE_NO", "", RuleKind.MISSING, "5223"),
        _changed("4047", "SrcAccNo", STRANGER, RuleKind.BOOKS, "5223"),
        _changed("4047", "TotalNum", "1", RuleKind.TOGETHER, "YQ9993"),
        _changed("4047", "TotalAmount", "2000", RuleKind.TOGETHER, "YQ9993"),
        _changed("4047", "PayType", "2", RuleKind.CODE),
        _changed("4047", "Currency", "CNY", RuleKind.CODE),
        _line("4047", "OppAccName", "", RuleKind.MISSING),
        _changed("KHKF03", "AcctNo", STRANGER, RuleKind.BOOKS, "5223"),
        _changed("KHKF03", "InAcctNo", "6" * 21, RuleKind.LENGTH),
        _changed("KHKF03", "InAcctName", "名" * 33, RuleKind.LENGTH),
        _changed("KHKF03", "BusiType", "0" * 21, RuleKind.LENGTH),
        _changed("KHKF04", "OrderNumber", "", RuleKind.MISSING),
        _changed("4052", "guiJiType", "3", RuleKind.CODE),
        _changed("4052", "subAccountNo", STRANGER, RuleKind.BOOKS, "2778"),
        _changed("4052", "subAccountNo", "", RuleKind.MISSING),
        _changed("4001", "Account", STRANGER, RuleKind.BOOKS, "2778"),
        _changed("4012", "RptDate", "20261124", RuleKind.TOGETHER, "YQ9993"),
        _changed("4012", "RptDate", "20260815", RuleKind.TOGETHER, "YQ9993"),
        _changed("4012", "RptDate", "20260231", RuleKind.FORM, "YQ9993"),
        _changed("4008", "LogCount", "10", RuleKind.TOGETHER),
        _changed("4008", "PageNo", "one", RuleKind.FORM),
        _changed("4013", "PageSize", "29", RuleKind.FORM),
        _changed("4013", "PageNo", "0", RuleKind.FORM),
        _changed("4013", "BeginDate", "20261124", RuleKind.TOGETHER, "YQ9993"),
        _changed("4013", "EndDate", "20261125", RuleKind.TOGETHER, "YQ9993"),
        _changed("4015", "QueryType", "5", RuleKind.CODE),
        _changed("4015", "PageCts", "501", RuleKind.FORM),
        _changed("4019", "StartDate", "20261001", RuleKind.TOGETHER, "YQ9993"),
        _changed("4019", "PageCts", "301", RuleKind.FORM),
        _changed("4017", "BankNo", "102100099996", RuleKind.LENGTH),
        _changed("4017", "KeyWord", "", RuleKind.MISSING),
    )


def corners() -> tuple[Corner, ...]:
    """Requests at the edge of what the page allows."""

    def pay(name: str, **changes: str | None) -> Corner:
        return Corner(name, partial(request, "4004", changes))

    utf8 = document("4004", {"InAcctName": "示例堃"}).replace("GBK", "UTF-8").encode()
    return (
        pay("a voucher of one letter", ThirdVoucher="P", CstInnerFlowNo=None),
        pay("an own number of 20 bytes in Chinese", CstInnerFlowNo="订单" * 5),
        pay("a purpose of 30 characters", UseEx="用" * 30),
        pay("the least amount, no purpose", TranAmount="0.01", UseEx="", SysFlag=None, OutAcctAddr=None),
        pay("an amount without decimals, an urgent one", TranAmount="10", SysFlag="S"),
        pay(
            "full-width and rare characters", InAcctName="ＡＢＣ（示例）㎡堃", InAcctBankName="平安银行", UnionFlag="1"
        ),
        pay("a bank by its number alone", InAcctBankName=""),
        pay("escaped characters", UseEx="a&amp;b &lt;c&gt;"),
        Corner("UTF-8 under its own code", partial(framed, "4004", utf8, {"报文编码": "02"})),
        Corner("the code 999999 in a request", partial(request, "4004", header={"返回码": "999999"})),
        Corner("a signature's length on the left", partial(request, "4004", header={"签名数据长度": "0"})),
        Corner(
            "500 lines", partial(request, "4018", {"totalCts": "500", "totalAmt": "5000"}, rows=lines("4018", 500)), 500
        ),
        Corner("one debit for the batch", partial(request, "4018", {"PayType": "1", "BookingDate": "20261125"}), 2),
        Corner("a payroll", partial(request, "4047"), 2),
        Corner("a payroll without a fee item", partial(request, "4047", {"BusiType": None}), 2),
        Corner("a fast payment with an empty fee item", partial(request, "KHKF03", {"BusiType": ""})),
        Corner(
            "a collection, real-time single",
            partial(
                request,
                "4047",
                {"PayType": "0", "SettleType": "0", "TotalNum": "1", "TotalAmount": "10"},
                rows=lines("4047", 1),
            ),
        ),
        Corner("the longest of fast pay", partial(request, "KHKF03", {"InAcctNo": "6" * 20, "InAcctName": "名" * 32})),
        Corner("a sweep", partial(request, "4052")),
        Corner("the first of 100 days", partial(request, "4012", {"RptDate": "20260816"}), 0),
        Corner("30 days of returns", partial(request, "4019", {"StartDate": "20261026", "PageCts": "300"}), 0),
        Corner("rows of a batch by name", partial(request, "4015", {"PageCts": None, "PageNo": None}, rows=[]), 0),
    )
