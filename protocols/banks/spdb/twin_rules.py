"""The rules of 浦发's side for each field of a request, transcribed from the bank's page (banks/spdb.md). The adapter
never reads them.

The page was pieced together from clients and real messages. It is sure of the packet, the signature, 4402, 8800, 8804
and DO48; it has 8801, EY03 and 8924 from clients only. So `reconstructed` marks every rule of the latter three, except
the code lists that the page gives for both 8801 and 8800. Of the other operations it marks the rules that the page
calls unknown: the form of days, refusals besides the few error samples, and the agreement of account and name with the
books.

No length of a field is public but that of packetID. Texts are therefore not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache
from typing import Final

from protocols.judge import (
    BankRefusal,
    BothLanguages,
    BrokenForm,
    FieldContradiction,
    FieldRule,
    FieldsOf,
    HeldAccounts,
    RequestRules,
    RowsRule,
    RuleKind,
    TogetherRule,
    ValueForm,
    amount,
    anything,
    days_in_order,
    digits,
    each_row,
    moment,
    no_row_twice,
    one_of,
    own_account,
    own_name,
    row_totals,
    text,
    value,
)
from protocols.kit.fields import months_after

MALFORMED: Final = BankRefusal("EGG0042", "处理失败", reconstructed=True)
"""The page calls EGG0042 generic. No code for a request that is malformed is public."""
NO_ACCOUNT: Final = BankRefusal("EGG0042", "处理失败[账号不存在]", reconstructed=True)
UNKNOWN_OPERATION: Final = BankRefusal("EGG0042", "处理失败[交易代码不存在]", reconstructed=True)
BAD_SIGNATURE: Final = BankRefusal("EYY9994", "签名校验错误")
OTHER_CUSTOMER: Final = BankRefusal("B2E0005", "网银授权设置不匹配", reconstructed=True)
"""The page has the code and not the mistake that it answers."""
PACKET_SEEN: Final = BankRefusal("EYY8990", "报文流水号当天必须唯一")
PAYEE_MISMATCH: Final = BankRefusal("EGG0346", "收款人账号户名信息不符")
NO_PACKET: Final = BankRefusal("500", "Error", reconstructed=True)
"""An HTTP status: without a packetID that can be read there is no packet to answer with."""
BAD_REQUEST: Final = BankRefusal("400", "Bad Request", reconstructed=True)
NO_POST: Final = BankRefusal("405", "Method Not Allowed", reconstructed=True)
NO_SEAL: Final = BankRefusal("-1", "error", reconstructed=True)
"""The sign port's result that is not 0. Which numbers it has is not public."""

TRANSPORT_ROW: Final = "spdb.md 1, transport and session"
ENVELOPE_ROW: Final = "spdb.md 2, request packet"
SIGNATURE_ROW: Final = "spdb.md 3, signature"
PACKET_ID_ROW: Final = "spdb.md 2 and 5, packetID"
OPERATIONS_ROW: Final = "spdb.md 4, operations"
_BALANCE_ROW: Final = "spdb.md 2, 4402"
_BATCH_ROW: Final = "spdb.md 2, 8800"
_SINGLE_ROW: Final = "spdb.md 2, 8801"
_FLAGS_ROW: Final = "spdb.md 4, single pay 8801; batch 8800"
_QUERY_ROW: Final = "spdb.md 2, 8804"
_PACKAGE_ROW: Final = "spdb.md 4, DO48"
_WEB_ROW: Final = "spdb.md addendum, EY03"
_ENTRIES_ROW: Final = "spdb.md addendum and 9, 8924"
_PAGING_ROW: Final = "spdb.md 4, paging"
_SCHEDULE_ROW: Final = "spdb.md 4, bespeakDate; COMMON-B.md 2.7, schedules"
_BOOKS_ROW: Final = "spdb.md 4, payments are made from accounts of the customer"
_NAME_ROW: Final = "spdb.md 5, EGG0346 收款人账号户名信息不符"

NOT_ANSWERED: Final = frozenset(
    ("DO49", "AQ52", "AQ53", "AQ54", "5652", "5630", "5148", "EG48", "4403", "4469", "4468", "9001", "9003")
)
"""Operations that the page names and this twin does not answer. To ask for one breaks no rule."""
QUERY_MOST, BATCH_MOST, PACKAGES_MOST, ENTRIES_MOST = 30, 20, 10, 20

_DAY: Final = moment("%Y%m%d")
_AMOUNT: Final = amount(13, 2)


def whole(low: int, high: int | None = None) -> ValueForm:
    """A whole number from `low` to `high`, without a sign."""
    form = digits(1, 9)

    def judge(stated: str) -> BrokenForm | None:
        found = form(stated)
        if found is not None:
            return found
        if int(stated) < low:
            return BrokenForm(RuleKind.FORM, BothLanguages(f"must be at least {low}", f"应不小于 {low}"))
        if high is not None and int(stated) > high:
            words = BothLanguages(f"asks for more than {high} rows", f"查询笔数超过 {high}")
            return BrokenForm(RuleKind.COUNT, words)
        return None

    return judge


def schedule(today: date) -> ValueForm:
    """A date of the form yyyyMMdd from the bank's own date on, one month ahead at most."""

    def judge(stated: str) -> BrokenForm | None:
        found = _DAY(stated)
        if found is not None:
            return found
        day = date.fromisoformat(stated)
        shown = f"{today:%Y%m%d}"
        if day < today:
            words = BothLanguages(f"is before the bank's date, {shown}", f"早于银行日期 {shown}")
            return BrokenForm(RuleKind.BOOKS, words)
        if day > months_after(today):
            words = BothLanguages(
                f"is more than a month after the bank's date, {shown}", f"晚于银行日期 {shown} 一个月以上"
            )
            return BrokenForm(RuleKind.BOOKS, words)
        return None

    return judge


# ---- the packet ----

PACKET: Final = RequestRules(
    "packet",
    MALFORMED,
    (
        FieldRule("head", anything, ENVELOPE_ROW, required=lambda packet: not packet.rows("head")),
        FieldRule("body", anything, ENVELOPE_ROW, required=lambda packet: not packet.rows("body")),
        FieldRule("head/transCode", anything, ENVELOPE_ROW, required=True),
        FieldRule("head/signFlag", one_of("1"), "spdb.md 1, only reports 9001/9003 are unsigned", required=True),
        FieldRule("head/masterID", anything, ENVELOPE_ROW, required=True),
        FieldRule("head/packetID", text(max_chars=20), PACKET_ID_ROW, required=True),
        FieldRule("head/timeStamp", moment("%Y-%m-%d %H:%M:%S"), ENVELOPE_ROW, required=True),
        FieldRule("body/signature", anything, SIGNATURE_ROW, required=True, refusal=BAD_SIGNATURE),
    ),
)
"""The rules of the packet around every signed body."""


# ---- orders ----


def _payee_s_name(fields: FieldsOf, books: HeldAccounts) -> FieldContradiction | None:
    """The payee's name where the bank itself keeps the payee's account."""
    stated, holder = value(fields, "payeeName"), books.holder_of(value(fields, "payeeAcctNo"))
    if value(fields, "sysFlag") != "0" or holder is None or holder == stated:
        return None
    return FieldContradiction("payeeName", stated, "is not the name of the payee's account", "收款人账号与户名信息不符")


def _one_amount(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    total, single = value(fields, "totalAmount"), value(fields, "amount")
    if _fen(total) == _fen(single):
        return None
    return FieldContradiction("totalAmount", total, f"is not the amount, {single}", f"与金额 {single} 不符")


def _fen(stated: str) -> int:
    """An amount that has been judged, in fen."""
    before, _, after = stated.partition(".")
    return int(before) * 100 + int(after.ljust(2, "0"))


def _person(fields: FieldsOf) -> bool:
    return value(fields, "payeeType") == "1"


def _elsewhere(fields: FieldsOf) -> bool:
    return value(fields, "sysFlag") == "1"


def _order(today: date, source: str, *, reconstructed: bool) -> tuple[FieldRule, ...]:
    """The fields of one payment. `reconstructed` is for those that the page has from a client only."""

    def field(place: str, form: ValueForm = anything, required: bool | Callable[[FieldsOf], bool] = False) -> FieldRule:
        return FieldRule(place, form, source, required, reconstructed=reconstructed)

    def listed(place: str) -> FieldRule:
        return FieldRule(place, one_of("0", "1"), _FLAGS_ROW, required=True)

    return (
        field("elecChequeNo", required=True),
        field("acctNo", required=True),
        field("acctName", required=True),
        FieldRule("bespeakDate", schedule(today), _SCHEDULE_ROW, reconstructed=True),
        field("payeeAcctNo", required=True),
        field("payeeName", required=True),
        listed("payeeType"),
        FieldRule("payeeBankName", anything, _FLAGS_ROW, required=_elsewhere, reconstructed=True),
        field("payeeAddress"),
        field("amount", _AMOUNT, required=True),
        listed("sysFlag"),
        listed("remitLocation"),
        field("note"),
        field("payeeBankSelectFlag"),
        FieldRule("payeeBankNo", digits(12), "spdb.md 4, EG48; COMMON-B.md 1, CNAPS number", reconstructed=True),
    )


_OWN: Final = (
    own_account("acctNo", _BOOKS_ROW, NO_ACCOUNT, reconstructed=True),
    own_name("acctNo", "acctName", _BOOKS_ROW, MALFORMED, reconstructed=True),
    TogetherRule(_payee_s_name, _NAME_ROW, RuleKind.BOOKS, PAYEE_MISMATCH),
)


def _single(today: date) -> RequestRules:
    return RequestRules(
        "8801",
        MALFORMED,
        (
            FieldRule("totalNumber", one_of("1"), _SINGLE_ROW, required=True, reconstructed=True),
            FieldRule("totalAmount", _AMOUNT, _SINGLE_ROW, required=True, reconstructed=True),
            *_order(today, _SINGLE_ROW, reconstructed=True),
        ),
        (TogetherRule(_one_amount, _SINGLE_ROW, reconstructed=True), *_OWN),
    )


def _batch(today: date) -> RequestRules:
    purpose = FieldRule("payPurpose", anything, "spdb.md 4, payPurpose needed for private payee", required=_person)
    rows = "lists/list"
    return RequestRules(
        "8800",
        MALFORMED,
        (
            # Whether it is empty if no users authorise is not public.
            FieldRule("authMasterID", anything, _BATCH_ROW),
            FieldRule("totalNumber", whole(1), _BATCH_ROW, required=True),
            FieldRule("totalAmount", _AMOUNT, _BATCH_ROW, required=True),
            FieldRule("packageNo", anything, _BATCH_ROW, required=True),
            FieldRule("lists", anything, _BATCH_ROW),
            RowsRule(rows, (*_order(today, _BATCH_ROW, reconstructed=False), purpose), _BATCH_ROW, 1, BATCH_MOST),
        ),
        (
            row_totals(rows, "amount", "totalNumber", "totalAmount", _BATCH_ROW),
            no_row_twice(rows, "elecChequeNo", "spdb.md 5, idempotency", reconstructed=True),
            *(each_row(rows, one) for one in _OWN),
        ),
    )


# ---- questions ----


def _page(most: int | None, source: str, *, reconstructed: bool = False) -> tuple[FieldRule, ...]:
    return (
        FieldRule("queryNumber", whole(1, most), source, required=True, reconstructed=reconstructed),
        FieldRule("beginNumber", whole(1), _PAGING_ROW, required=True, reconstructed=reconstructed),
    )


def _period(source: str) -> tuple[FieldRule, ...]:
    """The days of a question. That they are written as yyyyMMdd is not public."""
    return tuple(FieldRule(place, _DAY, source, True, reconstructed=True) for place in ("beginDate", "endDate"))


def _in_order(source: str, *, reconstructed: bool = False) -> TogetherRule:
    return days_in_order("beginDate", "endDate", source, reconstructed=reconstructed)


def _within_a_month(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    first, last = (date.fromisoformat(value(fields, place)) for place in ("beginDate", "endDate"))
    if last <= months_after(first):
        return None
    shown = value(fields, "endDate")
    return FieldContradiction("endDate", shown, "is more than a month after beginDate", "起止日期超过一个月")


_QUESTIONS: Final = (
    RequestRules(
        "8804",
        MALFORMED,
        (
            FieldRule("elecChequeNo", anything, _QUERY_ROW),
            FieldRule("acctNo", anything, _QUERY_ROW, required=True, reconstructed=True),
            *_period(_QUERY_ROW),
            FieldRule("acceptNo", anything, _QUERY_ROW),
            FieldRule("serialNo", anything, _QUERY_ROW),
            *_page(QUERY_MOST, "spdb.md 2, 8804; COMMON-B.md 2.5, at most 30"),
            FieldRule("singleOrBatchFlag", anything, _QUERY_ROW),
        ),
        (own_account("acctNo", _QUERY_ROW, NO_ACCOUNT, reconstructed=True), _in_order(_QUERY_ROW)),
    ),
    RequestRules(
        "DO48",
        MALFORMED,
        (
            FieldRule("authMasterID", anything, _PACKAGE_ROW, required=True),
            *_period(_PACKAGE_ROW),
            *_page(PACKAGES_MOST, _PACKAGE_ROW),
            FieldRule("entJnlSeqNo", anything, _PACKAGE_ROW),
            FieldRule("packageNo", anything, _PACKAGE_ROW),
        ),
        (_in_order(_PACKAGE_ROW), TogetherRule(_within_a_month, _PACKAGE_ROW)),
    ),
    RequestRules(
        "EY03",
        MALFORMED,
        (
            FieldRule(
                "elecChequeNo",
                anything,
                _WEB_ROW,
                required=lambda fields: not value(fields, "seqNo"),
                reconstructed=True,
            ),
            FieldRule("acctNo", anything, _WEB_ROW, required=True, reconstructed=True),
            *_period(_WEB_ROW),
            FieldRule("seqNo", anything, _WEB_ROW, reconstructed=True),
            *_page(None, _WEB_ROW, reconstructed=True),
            FieldRule("transType", one_of("8801"), _WEB_ROW, required=True, reconstructed=True),
            FieldRule("authMasterID", anything, _WEB_ROW, required=True, reconstructed=True),
        ),
        (own_account("acctNo", _WEB_ROW, NO_ACCOUNT, reconstructed=True), _in_order(_WEB_ROW, reconstructed=True)),
    ),
    RequestRules(
        "4402",
        MALFORMED,
        (
            FieldRule("lists", anything, _BALANCE_ROW),
            FieldRule("lists@name", one_of("acctList"), _BALANCE_ROW, required=True),
            RowsRule("lists/list", (FieldRule("acctNo", anything, _BALANCE_ROW, required=True),), _BALANCE_ROW, 1),
        ),
        (each_row("lists/list", own_account("acctNo", _BALANCE_ROW, NO_ACCOUNT, reconstructed=True)),),
    ),
    RequestRules(
        "8924",
        MALFORMED,
        (
            FieldRule("acctNo", anything, _ENTRIES_ROW, required=True, reconstructed=True),
            *_period(_ENTRIES_ROW),
            *_page(ENTRIES_MOST, _ENTRIES_ROW, reconstructed=True),
            FieldRule("transAmount", amount(13, 2, zero=True), _ENTRIES_ROW, reconstructed=True),
            FieldRule("subAccount", anything, _ENTRIES_ROW, reconstructed=True),
            FieldRule("subAcctName", anything, _ENTRIES_ROW, reconstructed=True),
        ),
        (
            own_account("acctNo", _ENTRIES_ROW, NO_ACCOUNT, reconstructed=True),
            _in_order(_ENTRIES_ROW, reconstructed=True),
        ),
    ),
)


@lru_cache(maxsize=8)
def rules(today: date) -> Mapping[str, RequestRules]:
    """The rules of each operation by its transCode. `today` is the bank's own date, by which stated days are judged."""
    return {one.operation: one for one in (_single(today), _batch(today), *_QUESTIONS)}
