"""Mistakes of 平安 PAB's clients, written from the bank's page by a reader who did not know the twin's rules.

Each mistake is one that the programmer of an ERP makes who reads the page badly, or who brings the habits of another
bank's interface.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from protocols.judge import RuleKind
from tests.protocols.banks.mistakes import Mistake
from tests.protocols.banks.pab.client_mistakes import (
    OWN,
    OWN_NAME,
    PAYEE,
    ROWS,
    UPPER,
    UPPER_NAME,
    VOUCHER,
    document,
    framed,
    lines,
    request,
    row,
)

_LINE, _WAGE = "HOResultSet4018R", "HOResultSet4047R"


def _changed(name: str, place: str, operation: str, code: str = "", **changes: str | None) -> Mistake:
    """A good request of `operation` with changes to its own fields."""
    return Mistake(name, partial(request, operation, changes), place, code=code)


def _second_row(name: str, operation: str, field: str, text: str) -> Mistake:
    """A good batch whose second row has another value in `field`."""
    rows = row(operation, {field: text})
    return Mistake(name, partial(request, operation, rows=rows), f"HOResultSet{operation}R[2]/{field}")


def _rows(name: str, place: str, operation: str, rows: Sequence[Mapping[str, str | None]], **changes: str) -> Mistake:
    """A good batch with these rows in place of the good ones."""
    return Mistake(name, partial(request, operation, changes, rows=rows), place)


def _header(name: str, operation: str, field: str, text: str, code: str = "") -> Mistake:
    """A good request of `operation` whose header has another value in `field`."""
    return Mistake(name, partial(request, operation, header={field: text}), field, code=code)


def _again(name: str, place: str, operation: str, **changes: str) -> Mistake:
    """A good request of `operation`, after it another one under the same reference."""
    again = partial(request, operation, changes)
    return Mistake(name, again, place, code="MA4045", before=(partial(request, operation),))


def _text(name: str, place: str, operation: str, old: str, new: str, rule: RuleKind | None = None) -> Mistake:
    """A good request of `operation` in whose XML `old` became `new`."""
    text = document(operation)
    assert old in text, (operation, old)
    return Mistake(name, partial(framed, operation, text.replace(old, new).encode("gbk")), place, rule)


def mistakes() -> tuple[Mistake, ...]:
    """Mistakes in every part of the page: header, XML, payments, batches, payroll, fast pay, sweeps, questions."""
    return (
        *_headers(),
        *_bodies(),
        *_references_and_parties(),
        *_amounts_and_texts(),
        *_routes(),
        *_batches(),
        *_payroll(),
        *_fast_pay_and_sweeps(),
        *_entries(),
        *_other_questions(),
    )


def _headers() -> tuple[Mistake, ...]:
    code = "企业银企直连标准代码"
    return (
        _header("header without header type A002", "4018", "报文类别", "A002"),
        _header("header type in small letters", "4004", "报文类别", "a001"),
        _header("header of the supply chain system", "4004", "目标系统", "02"),
        _header("header target system without its zero", "4001", "目标系统", "1 "),
        Mistake("header says UTF-8 over a GBK body", partial(request, "4004", header={"报文编码": "02"}), "encoding"),
        _header("header protocol 00", "4004", "通讯协议", "00"),
        _header("header of an enterprise that the bank does not know", "4005", code, "00000000000000000170"),
        _header("header operation padded with zeros on the left", "4004", "交易码", "004004", "YQ0000"),
        _header("header operation in small letters", "KHKF03", "交易码", "khkf03", "YQ0000"),
        _header("header operation is the element of its rows", "4018", "交易码", "4018R", "YQ0000"),
        _header("header service type of an answer", "4018", "服务类型", "02"),
        _header("header time as day, month, year", "4004", "交易日期时间", "24112026120000"),
        _header("header time without the century", "4001", "交易日期时间", "261124120000"),
        _header("header time with 24 hours", "4004", "交易日期时间", "20261124240000"),
        _header("header without a serial", "4047", "请求方系统流水号", ""),
        _header("header announces a packet that does not follow", "4018", "后续包标志", "1"),
        _header("header announces a signature and has none", "4047", "签名标识", "1"),
        _header("header signature form in letters", "4004", "签名数据包格式", "P"),
    )


def _bodies() -> tuple[Mistake, ...]:
    chinese = document("4018")
    by_characters = {"接收报文长度": f"{len(chinese):010d}"}
    utf_8 = document("4018").encode()
    return (
        Mistake(
            "body length in characters",
            partial(framed, "4018", chinese.encode("gbk"), by_characters),
            "接收报文长度",
            RuleKind.FRAME,
        ),
        Mistake("body in UTF-8 under GBK", partial(framed, "4018", utf_8), "Result", RuleKind.CHARSET),
        Mistake("body of 4004 is empty", partial(framed, "4004", b""), "", RuleKind.FRAME),
        Mistake(
            "body in JSON",
            partial(framed, "4005", b'{"OrigThirdVoucher":"' + VOUCHER.encode() + b'"}'),
            "",
            RuleKind.FRAME,
        ),
        _text(
            "body crossed in its last element",
            "Result",
            "4005",
            "</OrigFrontLogNo></Result>",
            "</Result></OrigFrontLogNo>",
            RuleKind.FRAME,
        ),
        _text("body with a bare ampersand", "Result", "4004", "货款", "A&B货款", RuleKind.FRAME),
        _text("body root of another bank", "Result", "4004", "Result>", "Body>"),
        _nested("body inside a second Result", "Result"),
        _nested("body of one payment in a row", "HOResultSet4004R"),
        _text("body names in small letters", "ThirdVoucher", "4004", "ThirdVoucher>", "thirdvoucher>"),
        _text(
            "body with two amounts",
            "TranAmount",
            "4004",
            "</TranAmount>",
            "</TranAmount><TranAmount>20.00</TranAmount>",
        ),
        _text("body with two payees", "InAcctNo", "4004", "<InAcctName>", f"<InAcctNo>{UPPER}</InAcctNo><InAcctName>"),
    )


def _nested(name: str, tag: str) -> Mistake:
    """A payment whose fields stand one level too deep, in an element `tag`."""
    text = document("4004").replace("<Result>", f"<Result><{tag}>").replace("</Result>", f"</{tag}></Result>")
    return Mistake(name, partial(framed, "4004", text.encode("gbk")), "ThirdVoucher")


def _references_and_parties() -> tuple[Mistake, ...]:
    return (
        _changed("voucher is a UUID", "ThirdVoucher", "4004", ThirdVoucher="7b0f5a52-9f0d-4a2f-8a06-0f6f4f1f2a11"),
        _changed("voucher in Chinese", "ThirdVoucher", "4004", ThirdVoucher="付款单二〇二六"),
        _changed("voucher of blanks", "ThirdVoucher", "4004", ThirdVoucher="    "),
        _again("voucher of another payment", "ThirdVoucher", "4004", TranAmount="11.00"),
        _changed("customer's own number of 21 bytes", "CstInnerFlowNo", "4004", CstInnerFlowNo="ERP202611240000000001"),
        _changed("payer's account in groups of four", "OutAcctNo", "4004", OutAcctNo="0000 0000 0000 0000 017"),
        _changed("payer's account without its zeros", "OutAcctNo", "4004", OutAcctNo="17"),
        _changed("payer's account is the payee's", "OutAcctNo", "4004", OutAcctNo=PAYEE, InAcctNo=OWN),
        _changed("payer's name shortened", "OutAcctName", "4004", OutAcctName="甲公司"),
        _changed("payer's name is the group's", "OutAcctName", "4018", OutAcctName=UPPER_NAME),
        _changed("payer's name left out", "OutAcctName", "4004", OutAcctName=None),
        _changed("payee's account left out", "InAcctNo", "4004", InAcctNo=None),
        _changed("payee's account in full-width digits", "InAcctNo", "4004", InAcctNo="００００００００２５"),
        _changed("payee's account is the payer's", "InAcctNo", "4004", InAcctNo=OWN, InAcctName=OWN_NAME),
        _changed("payee's name is a blank", "InAcctName", "4004", InAcctName=" "),
        _changed("payee's name is a full-width blank", "InAcctName", "4004", InAcctName="\u3000"),
    )


def _amounts_and_texts() -> tuple[Mistake, ...]:
    amounts = {
        "with a separator": "12,345.60",
        "with three decimals": "10.001",
        "with a currency sign": "￥10.00",
        "with its unit": "10.00元",
        "in full-width digits": "１０．００",
        "in words": "壹拾元整",
        "of nothing": "0",
        "of 00.00": "00.00",
        "below nothing": "-0.01",
        "with a plus sign": "+10.00",
        "as a power of ten": "1E+3",
        "with a comma for the point": "10,50",
        "of a division": "NaN",
    }
    return (
        *(_changed(f"amount {name}", "TranAmount", "4004", TranAmount=text) for name, text in amounts.items()),
        _changed("amount left out", "TranAmount", "4004", TranAmount=None),
        _changed("currency by its ISO name", "CcyCode", "4004", CcyCode="CNY"),
        _changed("currency of a foreign payment", "CcyCode", "4004", CcyCode="HKD"),
        _changed("currency left out", "CcyCode", "4018", CcyCode=None),
        _changed("purpose of 31 characters", "UseEx", "4004", UseEx="采购货款第三季度" * 3 + "合同编号二零二六"[:7]),
        _changed("purpose with a character reference outside GBK", "UseEx", "4004", UseEx="货款&#128512;"),
    )


def _routes() -> tuple[Mistake, ...]:
    return (
        _changed("route UnionFlag in letters", "UnionFlag", "4004", UnionFlag="N"),
        _changed("route UnionFlag left out", "UnionFlag", "4004", UnionFlag=None),
        _changed("route without the payee's bank", "InAcctBankN", "4004", InAcctBankNode=None, InAcctBankName=None),
        _changed("route SysFlag as 1", "SysFlag", "4004", SysFlag="1"),
        _changed("route SysFlag in small letters", "SysFlag", "4004", SysFlag="y"),
        _changed("route AddrFlag in letters", "AddrFlag", "4004", AddrFlag="Y"),
        _changed("route bank node of 11 digits", "InAcctBankNode", "4004", InAcctBankNode="10210009999"),
        _changed("route bank node is the bank's name", "InAcctBankNode", "4004", InAcctBankNode="中国工商银行"),
    )


def _batches() -> tuple[Mistake, ...]:
    one = ROWS["4018"][0]
    other_rows = document("4018").replace("HOResultSet4018R", "HOResultSet4014R").encode("gbk")
    no_voucher = row("4018", {"SThirdVoucher": None})
    no_bank = row("4018", {"InAcctBankName": None, "InAcctBankNode": None})
    too_many = {"totalCts": "1000", "totalAmt": "10000.00"}
    return (
        _changed("batch count of another batch", "totalCts", "4018", totalCts="20"),
        _changed("batch count in words", "totalCts", "4018", totalCts="两笔"),
        _changed("batch sum of one line", "totalAmt", "4018", totalAmt="10.00"),
        _changed("batch sum in fen", "totalAmt", "4018", totalAmt="2000"),
        _changed("batch sum left out", "totalAmt", "4018", totalAmt=None),
        _changed("batch PayType in letters", "PayType", "4018", PayType="N"),
        _changed("batch BSysFlag N in Chinese", "BSysFlag", "4018", BSysFlag="普通"),
        _changed("batch booking date with strokes", "BookingDate", "4018", BookingDate="2026/11/25"),
        _changed("batch voucher of 24 bytes", "ThirdVoucher", "4018", ThirdVoucher="PM2026112412000000000001"),
        _again("batch voucher of another batch", "ThirdVoucher", "4018", OutAcctNo=UPPER, OutAcctName=UPPER_NAME),
        _rows("batch of 1000 lines", _LINE, "4018", lines("4018", 1000), **too_many),
        _rows("batch of no line", _LINE, "4018", [], totalCts="0", totalAmt="0.00"),
        _rows(
            "batch with one voucher twice",
            "SThirdVoucher",
            "4018",
            [one, {**one, "TranAmount": "10.00", "UseEx": "退货"}],
        ),
        _rows("batch line without its voucher", f"{_LINE}[2]/SThirdVoucher", "4018", no_voucher),
        _rows("batch line without the payee's bank", f"{_LINE}[2]/InAcctBankN", "4018", no_bank),
        Mistake("batch rows of another operation", partial(framed, "4018", other_rows), _LINE),
        _second_row("batch line amount with a separator", "4018", "TranAmount", "1,0.00"),
        _second_row("batch line without a payee's name", "4018", "InAcctName", ""),
        _second_row("batch line pays its payer", "4018", "InAcctNo", OWN),
        _second_row("batch line purpose of 31 characters", "4018", "UseEx", "货" * 31),
        _second_row("batch line UnionFlag 2", "4018", "UnionFlag", "2"),
        _second_row("batch line SysFlag X", "4018", "SysFlag", "X"),
        _second_row("batch line voucher of 21 bytes", "4018", "SThirdVoucher", "PM2026112400000000002"),
    )


def _payroll() -> tuple[Mistake, ...]:
    one = ROWS["4047"][0]
    return (
        _changed("payroll count off by one", "TotalNum", "4047", "YQ9993", TotalNum="3"),
        _changed("payroll sum off by a fen", "TotalAmount", "4047", "YQ9993", TotalAmount="20.01"),
        _changed("payroll without an agreement", "AGREE_NO", "4047", AGREE_NO=None),
        _changed("payroll PayType in letters", "PayType", "4047", PayType="D"),
        _changed("payroll SettleType 2", "SettleType", "4047", SettleType="2"),
        _changed("payroll currency of the payment message", "Currency", "4047", Currency=None, CcyCode="RMB"),
        _changed("payroll from an account of nobody", "SrcAccNo", "4047", SrcAccNo="0000000000000000018"),
        _again("payroll voucher of a collection", "ThirdVoucher", "4047", PayType="0"),
        _rows("payroll of no line", _WAGE, "4047", [], TotalNum="0", TotalAmount="0.00"),
        _rows("payroll with one voucher twice", "SThirdVoucher", "4047", [one, {**one, "PostScript": "奖金"}]),
        _rows("payroll line by the names of 4018", f"{_WAGE}[1]/OppAccNo", "4047", list(ROWS["4018"])),
        _second_row("payroll line in half fen", "4047", "Amount", "10.000"),
        _second_row("payroll line of nothing", "4047", "Amount", "0.00"),
        _second_row("payroll line without an account", "4047", "OppAccNo", ""),
        _second_row("payroll line with a blank for a name", "4047", "OppAccName", "\u3000"),
    )


def _fast_pay_and_sweeps() -> tuple[Mistake, ...]:
    return (
        _changed("fast pay with a voucher", "OrderNumber", "KHKF03", OrderNumber=None, ThirdVoucher=VOUCHER),
        _changed(
            "fast pay order number of 32 bytes", "OrderNumber", "KHKF03", OrderNumber="20261124120000000000000000000001"
        ),
        _again("fast pay order number of another order", "OrderNumber", "KHKF03", InAcctNo="0000000000000000033"),
        _changed("fast pay amount in a second form", "TranAmount", "KHKF03", TranAmount="10.0.0"),
        _changed("fast pay from an account of nobody", "AcctNo", "KHKF03", AcctNo="0000000000000000018"),
        _changed("fast pay without a payee's name", "InAcctName", "KHKF03", InAcctName=None),
        _changed("fast pay status without a number", "OrderNumber", "KHKF04", OrderNumber=None, BussFlowNo=None),
        _changed("sweep direction 0", "guiJiType", "4052", guiJiType="0"),
        _changed("sweep of areas 3", "guiJiAreaOption", "4052", guiJiAreaOption="3"),
        _changed("sweep of one account that is not named", "subAccountNo", "4052", subAccountNo=None),
        _changed("sweep of an account into itself", "subAccountNo", "4052", subAccountNo=UPPER),
        _changed("sweep of no money", "Amount", "4052", Amount="0.00"),
        _again("sweep voucher of another sweep", "ThirdVoucher", "4052", guiJiType="2"),
        _changed("sweep without a voucher", "ThirdVoucher", "4052", ThirdVoucher=""),
    )


def _entries() -> tuple[Mistake, ...]:
    days = {"BeginDate": "20261120", "EndDate": "20261124"}
    return (
        _changed("history balance of tomorrow", "RptDate", "4012", "YQ9993", RptDate="20261125"),
        _changed("history balance of last winter", "RptDate", "4012", RptDate="20260131"),
        _changed("history balance with hyphens", "RptDate", "4012", RptDate="2026-11-23"),
        _changed("history balance of 31 November", "RptDate", "4012", RptDate="20261131"),
        _changed("balance without an account", "Account", "4001", Account=None, AcctNo=OWN),
        _changed("today's entries without a cursor", "JournalNo", "4008", JournalNo=None),
        _changed("today's entries by a page in words", "PageNo", "4008", PageNo="first"),
        _changed("today's entries without a count", "LogCount", "4008", LogCount=""),
        _changed("entries of past days and today", "Date", "4013", **days),
        _changed("entries from the last day to the first", "Date", "4013", BeginDate="20261123", EndDate="20261102"),
        _changed("entries of tomorrow", "Date", "4013", BeginDate="20261125", EndDate="20261125"),
        _changed("entries with a time in the date", "BeginDate", "4013", BeginDate="20261101000000"),
        _changed("entries by pages of 10", "PageSize", "4013", PageSize="10"),
        _changed("entries by pages of 1001", "PageSize", "4013", PageSize="1001"),
        _changed("entries from page -1", "PageNo", "4013", PageNo="-1"),
        _changed("entries of an account of nobody", "AcctNo", "4013", AcctNo="0000000000000000018"),
    )


def _other_questions() -> tuple[Mistake, ...]:
    return (
        _changed(
            "status by the payment's element", "OrigThirdVoucher", "4005", OrigThirdVoucher=None, ThirdVoucher=VOUCHER
        ),
        _changed("status of a voucher of 21 bytes", "OrigThirdVoucher", "4005", OrigThirdVoucher=VOUCHER + "1"),
        _changed("batch status of another kind", "QueryType", "4015", QueryType="9"),
        _changed("batch status by pages of 1000", "PageCts", "4015", PageCts="1000"),
        _changed("batch status from page 0", "PageNo", "4015", PageNo="0"),
        _changed("batch status without a batch", "OrigThirdVoucher", "4015", OrigThirdVoucher=None),
        _changed("returns of two months", "Date", "4019", StartDate="20260924", EndDate="20261124"),
        _changed("returns with the dates reversed", "Date", "4019", StartDate="20261124", EndDate="20261102"),
        _changed("returns by pages of 500", "PageCts", "4019", PageCts="500"),
        _changed("returns of an account of nobody", "AccNo", "4019", AccNo="0000000000000000018"),
        _changed("bank look-up by letters", "BankNo", "4017", BankNo="ICBC"),
        _changed("bank look-up by name only", "BankNo", "4017", BankNo=None, BankName="中国工商银行"),
        _changed("bank look-up without a key word", "KeyWord", "4017", KeyWord=None, BankName="中国工商银行"),
        _changed(
            "payroll status by the batch's element", "ThirdVoucher", "4048", ThirdVoucher=None, OrigThirdVoucher=VOUCHER
        ),
    )
