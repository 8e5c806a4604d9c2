"""The rules of the front end for each field of each operation, transcribed from the bank's page (banks/pab.md).

The page names the elements of each request, most code lists, some lengths and the largest batch. It does not say which
elements are mandatory, and it has no code for a malformed request: such rules and refusals are `reconstructed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from protocols.judge import (
    BankRefusal,
    BothLanguages,
    BrokenForm,
    FieldContradiction,
    FieldRule,
    FieldsOf,
    HeldAccounts,
    RequestFinding,
    RequestRules,
    RowsRule,
    RuleKind,
    TogetherRule,
    ValueForm,
    amount,
    anything,
    days_in_order,
    digits,
    moment,
    no_row_twice,
    one_of,
    own_account,
    own_name,
    row_totals,
    text,
    value,
)

MALFORMED: Final = BankRefusal("YQ9999", "null", reconstructed=True)
NO_OPERATION: Final = BankRefusal("YQ0000", "无法处理的请求,请核对交易码")
NOT_CONNECTED: Final = BankRefusal("YQ9986", "企业没有开通银企直联")
_NO_ACCOUNT: Final = BankRefusal("2778", "未找到账户")
_NO_CONTRACT: Final = BankRefusal("5223", "未查询到任何签约帐号信息")
_WRONG_PAYEE: Final = BankRefusal("YQ9982", "验证收款方户名失败!")
_WRONG_DAY: Final = BankRefusal("YQ9993", "日期无效")
_WRONG_SUMS: Final = BankRefusal("YQ9993", "总笔数或总金额不符")
_WRONG_SUMS_4018: Final = BankRefusal("YQ9993", "总笔数或总金额不符", reconstructed=True)

_SAMPLE_4001: Final = "pab.md 2, balance 4001"
_SAMPLE_4004: Final = "pab.md 2, single payment 4004"
_KEY: Final = "pab.md 5, idempotency key: ThirdVoucher C(20)"
_INNER: Final = "pab.md 5, CstInnerFlowNo C(20)"
_AMOUNTS: Final = "pab.md 5, amount: yuan with decimals"
_PURPOSES: Final = "pab.md 4, 4004: UseEx ≤30 Chinese chars; 5, purpose 30 chars"
_REJECTS: Final = "pab.md 5, definite rejects"
_RPT_DAYS: Final = timedelta(days=100)
_RETURNS_DAYS: Final = 30
_BATCH_LINES: Final = 500


def _row(operation: str) -> str:
    return f"pab.md 4, {operation}"


def _number(low: int, high: int) -> ValueForm:
    """A whole number from `low` to `high`."""

    def judge(stated: str) -> BrokenForm | None:
        if stated.isascii() and stated.isdigit() and len(stated) <= 9 and low <= int(stated) <= high:
            return None
        words = BothLanguages(f"is no whole number from {low} to {high}", f"不是 {low} 至 {high} 的整数")
        return BrokenForm(RuleKind.FORM, words)

    return judge


_VOUCHER_BYTES: Final = text(20)
_VOUCHER_SIGNS: Final = text(alphabet="[0-9A-Za-z]", takes="0-9A-Za-z")
_INNER_NO: Final = text(20)
_ACCOUNT: Final = text(32, alphabet="[0-9A-Za-z-]", takes="0-9A-Za-z and hyphens")
_AMOUNT: Final = amount(15, 2)
_NODE: Final = digits(12)
_PURPOSE: Final = text(max_chars=30)
_RMB: Final = one_of("RMB")
_DAY: Final = moment("%Y%m%d")
_RAIL: Final = one_of("N", "Y", "S")
_PAGES: Final = _number(1, 999_999_999)


def _must(place: str, form: ValueForm, source: str, *, guessed: bool = False) -> FieldRule:
    """A field without which the operation makes no sense. `guessed`: the page does not call it mandatory."""
    return FieldRule(place, form, source, required=True, reconstructed=guessed)


def _may(place: str, form: ValueForm, source: str, *, guessed: bool = False) -> FieldRule:
    return FieldRule(place, form, source, reconstructed=guessed)


def _voucher(place: str, source: str = _KEY, *, needed: bool = True) -> tuple[FieldRule, ...]:
    """A reference of ours: 20 bytes on the page; its alphabet is reconstructed."""
    return (
        FieldRule(place, _VOUCHER_BYTES, source, required=needed),
        FieldRule(place, _VOUCHER_SIGNS, source, reconstructed=True),
    )


def _account(place: str, source: str) -> tuple[FieldRule, ...]:
    """The other party's account. Its length and alphabet are reconstructed."""
    return (_must(place, anything, source), _may(place, _ACCOUNT, source, guessed=True))


def _rmb(place: str = "CcyCode", source: str = _SAMPLE_4004) -> FieldRule:
    return _must(place, _RMB, f"{source}: {place} RMB", guessed=True)


# ---- rules over several fields ----


def _other_than(own: str, other: str, source: str, prefix: str = "") -> TogetherRule:
    """The payee's account must not be the payer's. `prefix`: the rows that name the payees."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        payer = value(fields, own)
        for where, row in _rows_of(fields, prefix):
            if payer and value(row, other) == payer:
                return FieldContradiction(f"{where}{other}", payer, "is the paying account itself", "与付款账号相同")
        return None

    return TogetherRule(check, source, RuleKind.TOGETHER, reconstructed=True)


def _rows_of(fields: FieldsOf, prefix: str) -> list[tuple[str, FieldsOf]]:
    """The rows at `prefix` with the beginning of their places; the request itself if there is no prefix."""
    if not prefix:
        return [("", fields)]
    return [(f"{prefix}[{n}]/", row) for n, row in enumerate(fields.rows(prefix), start=1)]


def _payee_name(account: str, name: str) -> TogetherRule:
    """A payee who banks here must have the name of the account's holder."""
    rule = own_name(account, name, f"{_REJECTS}: YQ9982", _WRONG_PAYEE)
    return TogetherRule(rule.check, rule.source, RuleKind.BOOKS, rule.refusal, reconstructed=True)


def _one_of_these(places: tuple[str, ...], source: str) -> TogetherRule:
    """At least one of these fields must be filled."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        if any(value(fields, place) for place in places):
            return None
        named = ", ".join(places)
        return FieldContradiction(places[0], "", f"is empty, and one of {named} is needed", f"{named} 至少填一项")

    return TogetherRule(check, source, RuleKind.MISSING)


def _bank_named(prefix: str = "") -> TogetherRule:
    """A payment to another bank names that bank: InAcctBankName, or its number in InAcctBankNode."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        for where, row in _rows_of(fields, prefix):
            if value(row, "UnionFlag") == "0" and not (value(row, "InAcctBankName") or value(row, "InAcctBankNode")):
                place = f"{where}InAcctBankName"
                return FieldContradiction(place, "", "is needed with UnionFlag 0", "UnionFlag 为 0 时必填")
        return None

    return TogetherRule(check, _SAMPLE_4004, RuleKind.MISSING, reconstructed=True)


def _first_page_4008(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    """JournalNo and LogCount are both "0" in the first question, and both the returned values later."""
    journal, seen = value(fields, "JournalNo"), value(fields, "LogCount")
    if not journal or not seen or (journal == "0") == (seen.strip("0") == ""):
        return None
    return FieldContradiction("LogCount", seen, f"does not go with JournalNo {journal}", f"与 JournalNo {journal} 不符")


def _one_line_alone(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    rows = len(fields.rows("HOResultSet4047R"))
    if value(fields, "SettleType") != "0" or rows <= 1:
        return None
    return FieldContradiction("SettleType", "0", f"is for one line, here are {rows}", f"为单笔实时，此处有 {rows} 行")


# ---- payments ----

_PAYS: Final = (
    *_voucher("ThirdVoucher"),
    _may("CstInnerFlowNo", _INNER_NO, _INNER),
    _rmb(),
    _must("OutAcctNo", anything, _SAMPLE_4004),
    _must("OutAcctName", anything, _SAMPLE_4004, guessed=True),
    _may("OutAcctAddr", anything, _SAMPLE_4004),
)
_PAYEE: Final = (
    _may("InAcctBankNode", _NODE, _SAMPLE_4004, guessed=True),
    _may("InAcctRecCode", anything, _SAMPLE_4004),
    *_account("InAcctNo", _SAMPLE_4004),
    _must("InAcctName", anything, _SAMPLE_4004),
    _may("InAcctBankName", anything, _SAMPLE_4004),
)
_WAY: Final = (
    _must("TranAmount", _AMOUNT, _AMOUNTS),
    _may("UseEx", _PURPOSE, _PURPOSES),
    _must("UnionFlag", one_of("0", "1"), _row("4004: UnionFlag 1 same bank / 0 other"), guessed=True),
    _may("SysFlag", _RAIL, _row("4004: SysFlag N, Y, S")),
    _must("AddrFlag", one_of("1", "2"), _row("4004: AddrFlag 1 same city / 2 other"), guessed=True),
)
_PAID_BY: Final = (
    own_account("OutAcctNo", f"{_REJECTS}: 2778", _NO_ACCOUNT),
    own_name("OutAcctNo", "OutAcctName", _SAMPLE_4004, MALFORMED),
)
_LINE: Final = (
    *_voucher("SThirdVoucher"),
    _may("CstInnerFlowNo", _INNER_NO, _INNER),
    *_PAYEE,
    _may("InAcctProvinceCode", anything, _row("4018")),
    _may("InAcctCityName", anything, _row("4018")),
    *_WAY,
    _may("MainAcctNo", _ACCOUNT, _row("4018"), guessed=True),
)
_LINES_4018: Final = RowsRule("HOResultSet4018R", _LINE, _row("4018: big batch ≤500"), 1, _BATCH_LINES)
_BATCH: Final = RequestRules(
    "4018",
    MALFORMED,
    (
        *_voucher("ThirdVoucher"),
        _must("totalCts", _number(1, 999_999_999), _row("4018: totalCts")),
        _must("totalAmt", amount(15, 2), _row("4018: totalAmt")),
        _may("BatchSummary", anything, _row("4018")),
        _may("BSysFlag", _RAIL, _row("4004: SysFlag; 4018: BSysFlag"), guessed=True),
        _rmb(),
        _must("OutAcctNo", anything, _row("4018: OutAcctNo")),
        _must("OutAcctName", anything, _row("4018: OutAcctName"), guessed=True),
        _may("OutAcctAddr", anything, _row("4018")),
        _may("PayType", one_of("0", "1"), _row("4018: PayType 0 per line debit, 1 one debit")),
        _may("BizFlag1", anything, _row("4018")),
        _may("BookingDate", _DAY, _row("4018: BookingDate"), guessed=True),
        _LINES_4018,
    ),
    (
        *_PAID_BY,
        row_totals(
            "HOResultSet4018R", "TranAmount", "totalCts", "totalAmt", "pab.md 4, 4018; 9, 4047", _WRONG_SUMS_4018
        ),
        no_row_twice("HOResultSet4018R", "SThirdVoucher", _KEY),
        _bank_named("HOResultSet4018R"),
        _other_than("OutAcctNo", "InAcctNo", _row("4018"), "HOResultSet4018R"),
    ),
)
_AGENCY_LINE: Final = (
    *_voucher("SThirdVoucher"),
    _may("CstInnerFlowNo", _INNER_NO, _INNER),
    *(_may(tag, anything, _row("4047")) for tag in ("OthAreaFlag", "IdType", "IdNo", "Province", "City", "RemarkFCR")),
    _may("OppBankName", anything, _row("4047")),
    *_account("OppAccNo", _row("4047: OppAccNo")),
    _must("OppAccName", anything, _row("4047: OppAccName")),
    _may("OppBranchId", _NODE, _row("4047: OppBranchId"), guessed=True),
    _must("Amount", _AMOUNT, _AMOUNTS),
    _may("PostScript", _PURPOSE, "pab.md 5, purpose 30 chars", guessed=True),
)
_AGENCY: Final = RequestRules(
    "4047",
    MALFORMED,
    (
        *_voucher("ThirdVoucher"),
        FieldRule("AGREE_NO", text(30), "pab.md 9: 4047 5223 no contract", True, _NO_CONTRACT),
        # The page names the fee item and does not call it mandatory, so a request without one is taken.
        _may("BusiType", text(20), _row("4047: BusiType"), guessed=True),
        _must("PayType", one_of("0", "1"), _row("4047: PayType 0 collect, 1 pay")),
        _rmb("Currency", _row("4047")),
        _may("OthBankFlag", anything, _row("4047")),
        _must("SrcAccNo", anything, _row("4047: SrcAccNo")),
        _must("TotalNum", _number(1, 999_999_999), _row("4047: TotalNum")),
        _must("TotalAmount", amount(15, 2), _row("4047: TotalAmount")),
        _must("SettleType", one_of("0", "1"), _row("4047: SettleType 0 real-time single, 1 batch"), guessed=True),
        RowsRule("HOResultSet4047R", _AGENCY_LINE, _row("4047"), 1, _BATCH_LINES, reconstructed=True),
    ),
    (
        own_account("SrcAccNo", "pab.md 9: 4047 5223 no contract", _NO_CONTRACT),
        row_totals(
            "HOResultSet4047R", "Amount", "TotalNum", "TotalAmount", "pab.md 9: 4047 YQ9993 totals differ", _WRONG_SUMS
        ),
        no_row_twice("HOResultSet4047R", "SThirdVoucher", _KEY),
        TogetherRule(_one_line_alone, _row("4047: SettleType"), reconstructed=True),
    ),
)
_FAST: Final = RequestRules(
    "KHKF03",
    MALFORMED,
    (
        *_voucher("OrderNumber", _row("KHKF03: OrderNumber as id")),
        _must("AcctNo", anything, _row("KHKF03"), guessed=True),
        _may("BusiType", text(20), _row("KHKF03"), guessed=True),
        _may("CorpId", text(32), _row("KHKF03"), guessed=True),
        _rmb("CcyCode", _row("KHKF03")),
        _must("TranAmount", _AMOUNT, _AMOUNTS),
        _must("InAcctNo", text(20, alphabet="[0-9A-Za-z-]"), _row("KHKF03"), guessed=True),
        _must("InAcctName", text(max_chars=32), _row("KHKF03"), guessed=True),
        _may("InAcctBankName", anything, _row("KHKF03")),
        _may("InAcctBankNode", _NODE, _row("KHKF03"), guessed=True),
        _may("Mobile", anything, _row("KHKF03")),
        _may("Remark", _PURPOSE, "pab.md 5, purpose 30 chars", guessed=True),
    ),
    (own_account("AcctNo", "pab.md 9: KHKF03 5223", _NO_CONTRACT), _other_than("AcctNo", "InAcctNo", _row("KHKF03"))),
)
_SWEEP: Final = RequestRules(
    "4052",
    MALFORMED,
    (
        *_voucher("ThirdVoucher"),
        _must("AcctNo", anything, _row("4052: AcctNo, the upper account")),
        _must("guiJiAreaOption", one_of("1", "2"), _row("4052: guiJiAreaOption 1 all, 2 single")),
        FieldRule(
            "subAccountNo",
            anything,
            _row("4052: subAccountNo"),
            lambda fields: value(fields, "guiJiAreaOption") == "2",
            reconstructed=True,
        ),
        _must("guiJiType", one_of("1", "2"), _row("4052: guiJiType 1 归集, 2 下拨")),
        FieldRule(
            "Amount", _AMOUNT, _AMOUNTS, lambda fields: value(fields, "guiJiAreaOption") == "2", reconstructed=True
        ),
    ),
    (
        own_account("AcctNo", f"{_REJECTS}: 2778", _NO_ACCOUNT),
        own_account("subAccountNo", f"{_REJECTS}: 2778", _NO_ACCOUNT),
        _other_than("AcctNo", "subAccountNo", _row("4052")),
    ),
)

# ---- questions ----

_OF_ACCOUNT: Final = own_account("Account", f"{_REJECTS}: 2778", _NO_ACCOUNT)
_OF_ACCT_NO: Final = own_account("AcctNo", f"{_REJECTS}: 2778", _NO_ACCOUNT)
_RECEIPT: Final = "pab.md 4, e-receipt 401802"

RULES: Final[Mapping[str, RequestRules]] = {
    one.operation: one
    for one in (
        RequestRules("S001", MALFORMED),
        RequestRules(
            "4001",
            MALFORMED,
            (
                _must("Account", anything, _SAMPLE_4001),
                _may("CcyType", anything, _SAMPLE_4001),
                _rmb("CcyCode", _SAMPLE_4001),
            ),
            (_OF_ACCOUNT,),
        ),
        RequestRules(
            "4012",
            MALFORMED,
            (
                _must("Account", anything, _row("4012: Account")),
                FieldRule("RptDate", _DAY, _row("4012: RptDate yyyyMMdd"), True, _WRONG_DAY),
            ),
            (_OF_ACCOUNT,),
        ),
        RequestRules(
            "4008",
            MALFORMED,
            (
                _must("AcctNo", anything, _row("4008: AcctNo")),
                _rmb("CcyCode", _row("4008")),
                _must("PageNo", _number(0, 999_999_999), _row("4008: PageNo, start 0"), guessed=True),
                _must("JournalNo", text(32), _row('4008: JournalNo "0" first, then value returned')),
                _must("LogCount", _number(0, 999_999_999), _row('4008: LogCount "0" first, then returned')),
            ),
            (_OF_ACCT_NO, TogetherRule(_first_page_4008, _row("4008: JournalNo and LogCount"))),
        ),
        RequestRules(
            "4013",
            MALFORMED,
            (
                _must("AcctNo", anything, _row("4013: AcctNo")),
                _rmb("CcyCode", _row("4013")),
                FieldRule("BeginDate", _DAY, _row("4013: BeginDate"), True, _WRONG_DAY),
                FieldRule("EndDate", _DAY, _row("4013: EndDate"), True, _WRONG_DAY),
                _must("PageNo", _PAGES, _row("4013: PageNo from 1"), guessed=True),
                _may("PageSize", _number(30, 1000), _row("4013: PageSize 30 default, 30–1000")),
                _may("Reserve", anything, _row("4013")),
            ),
            (_OF_ACCT_NO, days_in_order("BeginDate", "EndDate", f"{_REJECTS}: YQ9993", _WRONG_DAY)),
        ),
        RequestRules(
            "4004",
            MALFORMED,
            (*_PAYS, *_PAYEE, _may("AmountCode", anything, _SAMPLE_4004), *_WAY),
            (
                *_PAID_BY,
                _other_than("OutAcctNo", "InAcctNo", _SAMPLE_4004),
                _bank_named(),
                _payee_name("InAcctNo", "InAcctName"),
            ),
        ),
        RequestRules(
            "4005",
            MALFORMED,
            (
                _may("OrigThirdLogNo", text(20), "pab.md 2, query 4005"),
                *_voucher("OrigThirdVoucher", needed=False),
                _may("OrigFrontLogNo", digits(1, 22), "pab.md 2: FrontLogNo C(14), logs show 22 digits"),
            ),
            (_one_of_these(("OrigThirdVoucher", "OrigFrontLogNo", "OrigThirdLogNo"), _row("4005: OrigThirdVoucher")),),
        ),
        _BATCH,
        RequestRules(
            "4015",
            MALFORMED,
            (
                *_voucher("OrigThirdVoucher", _row("4015: OrigThirdVoucher")),
                _may("QueryType", one_of("0", "1", "2", "3", "4"), _row("4015: QueryType 0 to 4")),
                _may("PageCts", _number(1, _BATCH_LINES), _row("4015: PageCts ≤500")),
                _may("PageNo", _PAGES, _row("4015: PageNo 1..")),
                RowsRule(
                    "HOResultSet4015R", _voucher("SThirdVoucher"), _row("4015: HOResultSet4015R ≤500"), 0, _BATCH_LINES
                ),
            ),
        ),
        RequestRules(
            "4019",
            MALFORMED,
            (
                _must("AccNo", anything, _row("4019: AccNo")),
                FieldRule("StartDate", _DAY, _row("4019: StartDate"), True, _WRONG_DAY),
                FieldRule("EndDate", _DAY, _row("4019: EndDate"), True, _WRONG_DAY),
                _may("PageNo", _PAGES, _row("4019: PageNo"), guessed=True),
                _may("PageCts", _number(1, 300), _row("4019: PageCts 30, ≤300")),
            ),
            (
                own_account("AccNo", f"{_REJECTS}: 2778", _NO_ACCOUNT),
                days_in_order("StartDate", "EndDate", f"{_REJECTS}: YQ9993", _WRONG_DAY),
            ),
        ),
        _AGENCY,
        RequestRules("4048", MALFORMED, _voucher("ThirdVoucher", _row("4047, 4048"))),
        RequestRules(
            "4017",
            MALFORMED,
            (
                _must("BankNo", digits(3), "pab.md 9: 4017 carries a 3-digit BankNo"),
                _may("BankName", anything, _row("4017")),
                _must("KeyWord", anything, "pab.md 9: 4017 KeyWord is mandatory"),
            ),
        ),
        _FAST,
        RequestRules(
            "KHKF04",
            MALFORMED,
            (
                _must("AcctNo", anything, _row("KHKF04"), guessed=True),
                *_voucher("OrderNumber", _row("KHKF04: OrderNumber as id"), needed=False),
                _may("BussFlowNo", text(32), _row("KHKF04"), guessed=True),
            ),
            (_one_of_these(("OrderNumber", "BussFlowNo"), _row("KHKF04: OrderNumber as id")),),
        ),
        _SWEEP,
        RequestRules(
            "401802",
            MALFORMED,
            (
                *_voucher("ThirdVoucher", _RECEIPT),
                *_voucher("SThirdVoucher", _RECEIPT),
                _must("OutAcctNo", anything, _RECEIPT, guessed=True),
                _must("InAcctNo", anything, _RECEIPT, guessed=True),
                _must("InAcctName", anything, _RECEIPT, guessed=True),
                _must("TranAmount", _AMOUNT, _RECEIPT, guessed=True),
            ),
            (own_account("OutAcctNo", f"{_REJECTS}: 2778", _NO_ACCOUNT),),
        ),
    )
}
"""The rules of each operation, by its code. Header and XML are judged in twin_header.py, before these."""

ELSEWHERE: Final = frozenset(
    (
        *("400401", "4011", "4014", "4016", "4024", "4025", "4027", "4034", "403401", "4054", "4055", "4056", "4059"),
        *("KHKF01", "KHKF02", "KHKF05", "F001", "F002", "FILE01", "FILE02", "FILE03", "FILE04"),
        *("ELC001", "ELC002", "SC00"),
    )
)
"""Operations that the page names and this twin does not have. It answers YQ9990, without calling it a mistake."""


def _period(operation: str, today: date, host: date) -> TogetherRule:
    """The rule that asks which day it is. A date may be past by the calendar or by the host's own date."""
    places = {"4012": ("RptDate",), "4013": ("BeginDate", "EndDate"), "4019": ("StartDate", "EndDate")}[operation]
    latest = max(today, host)

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = [value(fields, place) for place in places]
        first, last = (date(int(one[:4]), int(one[4:6]), int(one[6:])) for one in (stated[0], stated[-1]))
        if operation == "4012" and first >= latest:
            return FieldContradiction("RptDate", stated[0], "must be past", "必须早于今天")
        if operation == "4012" and first < min(today, host) - _RPT_DAYS:
            return FieldContradiction("RptDate", stated[0], "is more than 100 days ago", "早于 100 天前")
        if last > latest:
            return FieldContradiction(places[-1], stated[-1], "is after today", "晚于今天")
        if operation == "4013" and last == today != first:
            return FieldContradiction(
                "BeginDate", stated[0], "mixes today with past days", "当日与历史明细不能同时查询"
            )
        if operation == "4019" and (last - first).days >= _RETURNS_DAYS:
            return FieldContradiction("StartDate", stated[0], "begins a period over 30 days", "查询跨度超过 30 天")
        return None

    source = {
        "4012": _row("4012: within last 100 days, must be past"),
        "4013": _row("4013: Begin=End=today for today, or both historic"),
        "4019": _row("4019: ≤30 days"),
    }[operation]
    return TogetherRule(check, source, RuleKind.TOGETHER, _WRONG_DAY)


def judged(
    operation: str, fields: FieldsOf, books: HeldAccounts, today: date, host: date
) -> tuple[RequestFinding, ...]:
    """Every rule that the fields of a request break, on the calendar day `today` with the host's own date `host`."""
    rules = RULES[operation]
    found = rules.findings(fields, books)
    if not found and operation in ("4012", "4013", "4019"):
        found = tuple(_period(operation, today, host).judged(fields, books, rules.refusal))
    return found
