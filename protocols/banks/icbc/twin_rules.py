"""The rules of 工商银行 for each field of a request, transcribed from the bank's page (banks/icbc.md). The adapter
never reads them.

Only two of the bank's RetCodes are public. Codes that begin with TWIN are the twin's own, so every refusal with one of
them is reconstructed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from protocols.judge import (
    BankRefusal,
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
    XmlFields,
    amount,
    amounts_in_order,
    anything,
    days_in_order,
    digits,
    each_row,
    moment,
    no_row_twice,
    one_of,
    own_account,
    own_name,
    pattern,
    text,
    value,
)

SIGNED: Final = frozenset(("PAYENT", "PAYPER", "PERDIS"))
"""The operations with SignTime, whose requests are signed (3)."""
DUPLICATE, NO_PACKAGE, WRONG_DATE, MALFORMED, NO_ACCOUNT, TOO_LONG, ODD = (f"TWIN{n:02d}" for n in range(1, 8))
CLIENT_REFUSED: Final = BankRefusal("40418", "errorCode=40418", reconstructed=True)
"""The one number of NetSafe Client that was seen; which mistakes it stands for is not public."""
UNFIT: Final = BankRefusal(MALFORMED, "报文要素错误", reconstructed=True)
UNKNOWN_OPERATION: Final = BankRefusal(MALFORMED, "不支持的交易代码", reconstructed=True)
NOT_HELD: Final = BankRefusal(NO_ACCOUNT, "账号不存在", reconstructed=True)
OTHER_DATE: Final = BankRefusal(WRONG_DATE, "签名时间与银行工作日期不符", reconstructed=True)
OTHER_PERIOD: Final = BankRefusal(TOO_LONG, "查询日期区间错误", reconstructed=True)
NAME_REFUSED: Final = BankRefusal("B0043", "账号中文户名不符PayAccNameCN")
SAME_ACCOUNT: Final = BankRefusal("B0052", "系统内付款账号与收款账号相同")
LINE_REFUSALS: Final = {one.code: one for one in (NAME_REFUSED, SAME_ACCOUNT)}
"""The refusals of a line by iRetCode, beside RetCode 0 and Result 6."""
LINE: Final = re.compile(r"in/rd\[([0-9]+)\]/")
"""The beginning of a place in a line, with the line's number."""

_FORM: Final = "icbc.md 1, form params"
_AGREE: Final = "icbc.md 1, must-agree rule"
_URL: Final = "icbc.md 1, business URL"
_PUB: Final = "icbc.md 2, pub in request"
_WORK_DATE: Final = "icbc.md 1, business date, and 5, trap 7"
_PAYENT: Final = "icbc.md 2.3"
_CODES: Final = "icbc.md 2.3, Codes"
_PERDIS: Final = "icbc.md 2.6"
_ENQUIRY: Final = "icbc.md 2.4"
_BALANCE: Final = "icbc.md 2.1"
_TODAY: Final = "icbc.md 2.2, QPD in"
_PAST: Final = "icbc.md 2.2, QHISD in"
_PAGING: Final = "icbc.md 2.2, Paging"
_AMOUNT_ROW: Final = "icbc.md 5, Amount"
_KEYS: Final = "icbc.md 5, Idempotency"
_PAYPER: Final = "icbc.md 4, payroll"
_VERSION: Final = "icbc.md 1, Version; 2.3, newer version"


@dataclass(frozen=True, slots=True)
class AskedFields:
    """A request as its rules read it.

    `around` has the values outside the message: `http/…`, `url/…` and `form/…`, and as `bank/…` the bank's own values.
    The paths of the message begin with `pub/` and `in/`.
    """

    around: Mapping[str, str]
    message: XmlFields | None = None

    def texts(self, place: str) -> Sequence[str]:
        """Every text at `place`."""
        if place in self.around:
            return [self.around[place].strip()]
        return [] if self.message is None else self.message.texts(f"eb/{place}")

    def rows(self, place: str) -> Sequence[FieldsOf]:
        """The lines at `place`."""
        return [] if self.message is None else self.message.rows(f"eb/{place}")


# ---- forms -------------------------------------------------------------------------------------------------------

_TEXT: Final = text(charset="gbk")
_DAY: Final = moment("%Y%m%d")
_FEN: Final = amount(17, minor=True)
_FEN_OR_NONE: Final = amount(17, minor=True, zero=True)
_COUNT: Final = digits(1, 9)
_CIS: Final = pattern("[0-9A-Za-z-]+", "takes letters, digits and hyphens", "只能是字母、数字和连字符")
_LOGIN: Final = pattern("[0-9A-Za-z._-]+", "is no certificate id such as name.y.1102", "不是 name.y.1102 形式的证书 ID")
_PACKAGE: Final = text(25, alphabet="[0-9A-Za-z._-]", takes="0-9 A-Z a-z . _ -")
_OWN: Final = digits(1, 19)
_OTHER: Final = text(alphabet="[0-9A-Za-z-]", takes="0-9 A-Z a-z -")
_CLOCK: Final = pattern(
    "([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]([0-9]{3}){1,2}",
    "is no time of the form HHmmssSSS",
    "不是 HHmmssSSS 形式的时间",
)
_TAG: Final = pattern(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{2}\.[0-9]{2}\.[0-9]{2}\.[0-9]{6}",
    "is no NextTag of an answer",
    "不是应答返回的 NextTag",
)


def _stamp(*sizes: int) -> ValueForm:
    """yyyyMMddHHmmss, with digits behind it up to one of `sizes`."""
    whole = moment("%Y%m%d%H%M%S")

    def judge(stated: str) -> BrokenForm | None:
        fault = digits(min(sizes), max(sizes))(stated) or whole(stated[:14])
        return fault or (None if len(stated) in sizes else digits(min(sizes))(stated))

    return judge


def _needed(place: str, form: ValueForm, source: str, *, reconstructed: bool = False) -> FieldRule:
    return FieldRule(place, form, source, required=True, reconstructed=reconstructed)


def _may(source: str, *places: str, form: ValueForm = _TEXT, reconstructed: bool = False) -> tuple[FieldRule, ...]:
    return tuple(FieldRule(place, form, source, reconstructed=reconstructed) for place in places)


def _around(place: str, form: ValueForm, source: str, *, needed: bool = True, reconstructed: bool = False) -> FieldRule:
    return FieldRule(place, form, source, required=needed, reconstructed=reconstructed, rule=RuleKind.HEADER)


# ---- NetSafe Client ----------------------------------------------------------------------------------------------

SIGN_PORT: Final = RequestRules(
    "INFOSEC_SIGN",
    BankRefusal("-1", "error", reconstructed=True),
    (
        _around("http/method", one_of("POST"), "icbc.md 2.5"),
        _around("http/content-type", one_of("INFOSEC_SIGN/1.0"), "icbc.md 2.5"),
    ),
)
"""The rules of the sign port's request around the message."""
AROUND: Final = RequestRules(
    "form",
    CLIENT_REFUSED,
    (
        _around("http/method", one_of("POST"), _URL),
        _around("http/path", one_of("/servlet/ICBCCMPAPIReqServlet"), _URL),
        _around("http/content-type", one_of("application/x-www-form-urlencoded"), "icbc.md 1, content type"),
        _around("url/userID", _LOGIN, _URL, reconstructed=True),
        _around("url/PackageID", _PACKAGE, _URL, reconstructed=True),
        _around("url/SendTime", _stamp(14, 17), _URL),
        _around("form/Version", one_of("0.0.0.1", "0.0.1.0"), _FORM),
        _around("form/TransCode", anything, _FORM),
        _around("form/BankCode", one_of("102", "102a", "102b"), _FORM),
        _around("form/GroupCIS", _CIS, "icbc.md 9, CIS"),
        _around("form/ID", _LOGIN, _FORM, reconstructed=True),
        _around("form/PackageID", _PACKAGE, _KEYS, reconstructed=True),
        _around("form/Cert", pattern("", "must be empty: NC has it", "经 NC 时必须为空"), _FORM, needed=False),
        _around("form/reqData", anything, _FORM),
        _around("form/Language", one_of("zh_CN"), _FORM, needed=False, reconstructed=True),
        _around("form/zipFlag", one_of("0"), _FORM, needed=False, reconstructed=True),
    ),
)  # fmt: skip
"""The rules of the form that carries a message, and of its URL."""


def _same(*places: str, source: str = _AGREE, reconstructed: bool = False) -> TogetherRule:
    """The values at `places` must be alike. The place that differs from most others is reported, else the last one."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = {place: value(fields, place) for place in places}
        usual = Counter(stated.values()).most_common(1)[0][0]
        odd = next((place for place, told in stated.items() if told != usual), None)
        if odd is None:
            return None
        others = " and ".join(place for place, told in stated.items() if told == usual)
        words = f"is not the same as {others}, {usual!r}", f"与 {others}({usual})不一致"
        return FieldContradiction(odd, stated[odd], *words)

    return TogetherRule(check, source, RuleKind.HEADER, None, reconstructed)


def _of_this_group(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    stated, known = value(fields, "form/GroupCIS"), value(fields, "bank/cis")
    if known in ("", stated):
        return None
    return FieldContradiction("form/GroupCIS", stated, "is not this group's number", "不是本集团的 CIS 号")


AGREEMENT: Final = RequestRules(
    "form",
    CLIENT_REFUSED,
    (),
    (
        _same("pub/fSeqno", "form/PackageID", "url/PackageID"),
        _same("pub/TransCode", "form/TransCode", source=_FORM, reconstructed=True),
        _same("pub/ID", "form/ID", "url/userID", source=_FORM, reconstructed=True),
        _same("pub/CIS", "form/GroupCIS", source=_FORM, reconstructed=True),
        _same("pub/BankCode", "form/BankCode", source=_FORM, reconstructed=True),
        TogetherRule(_of_this_group, _FORM, RuleKind.HEADER, None, reconstructed=True),
    ),
)
"""What URL, form and message must say alike."""
PUB: Final = (
    _needed("pub/TransCode", anything, _PUB),
    _needed("pub/CIS", _CIS, "icbc.md 9, CIS"),
    _needed("pub/BankCode", one_of("102", "102a", "102b"), _PUB),
    _needed("pub/ID", _LOGIN, _PUB, reconstructed=True),
    _needed("pub/TranDate", _DAY, _PUB),
    _needed("pub/TranTime", _CLOCK, _PUB),
    _needed("pub/fSeqno", _PACKAGE, _KEYS, reconstructed=True),
)
"""The fields of `pub`, in every request."""


# ---- rules over several fields -----------------------------------------------------------------------------------


def _fen_totals() -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        rows, total = fields.rows("in/rd"), value(fields, "in/TotalAmt")
        if int(value(fields, "in/TotalNum")) != len(rows):
            told = value(fields, "in/TotalNum")
            return FieldContradiction(
                "in/TotalNum", told, f"is not the number of lines, {len(rows)}", f"与指令笔数 {len(rows)} 不符"
            )
        summed = sum(int(value(row, "PayAmt")) for row in rows) if total else 0
        if total and int(total) != summed:
            return FieldContradiction(
                "in/TotalAmt", total, f"is not the sum of the lines in fen, {summed}", f"与各笔合计(分)不符:{summed}"
            )
        return None

    return TogetherRule(check, _PAYENT)


def _work_date(place: str) -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated, today = value(fields, place), value(fields, "bank/work_date")
        if stated[:8] == today:
            return None
        return FieldContradiction(
            place, stated, f"is not of the bank's work date, {today}", f"不是银行工作日期 {today}"
        )

    return TogetherRule(check, _WORK_DATE, refusal=OTHER_DATE)


def _to_itself(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    payee = value(fields, "RecAccNo")
    if value(fields, "SysIOFlg") != "1" or payee != value(fields, "PayAccNo"):
        return None
    return FieldContradiction("RecAccNo", payee, "is the payer's own account", "收款账号与付款账号相同")


def _from_itself(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    payee = value(fields, "in/RecAccNo")
    for number, row in enumerate(fields.rows("in/rd"), 1):
        if value(row, "PayAccNo") == payee:
            words = "is the payee's own account", "付款账号与收款账号相同"
            return FieldContradiction(f"in/rd[{number}]/PayAccNo", payee, *words)
    return None


def _merged_from_one(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    payers = [value(row, "PayAccNo") for row in fields.rows("in/rd")]
    if value(fields, "in/SettleMode") != "2" or len(set(payers)) == 1:
        return None
    number, other = next((n, one) for n, one in enumerate(payers, 1) if one != payers[0])
    return FieldContradiction(
        f"in/rd[{number}]/PayAccNo", other, "is another payer in a merged package", "并笔记账的付款账号必须相同"
    )


def _of_newer_version(*places: str) -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        if value(fields, "form/Version") != "0.0.0.1":
            return None
        found = next((place for place in places if value(fields, place)), None)
        if found is None:
            return None
        return FieldContradiction(
            found, value(fields, found), "is a field of version 0.0.1.0", "是 0.0.1.0 版本才有的要素"
        )

    return TogetherRule(check, _VERSION, reconstructed=True)


def _of_newer_lines(*places: str) -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        if value(fields, "form/Version") != "0.0.0.1":
            return None
        for number, row in enumerate(fields.rows("in/rd"), 1):
            for place in places:
                if value(row, place):
                    words = "is a field of version 0.0.1.0", "是 0.0.1.0 版本才有的要素"
                    return FieldContradiction(f"in/rd[{number}]/{place}", value(row, place), *words)
        return None

    return TogetherRule(check, _VERSION, reconstructed=True)


def _closed_days(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    end, today = value(fields, "in/EndDate"), value(fields, "bank/today")
    if end < today:
        return None
    return FieldContradiction(
        "in/EndDate",
        end,
        f"is not before today, {today}: today's entries are QPD's",
        f"不早于当日 {today},当日明细用 QPD",
    )


def _span(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    first, last = _day(value(fields, "in/BeginDate")), _day(value(fields, "in/EndDate"))
    most = int(value(fields, "bank/span_days"))
    if (last - first).days < most:
        return None
    return FieldContradiction(
        "in/BeginDate", f"{first:%Y%m%d}", f"begins a period of more than {most} days", f"查询区间超过 {most} 天"
    )


def _day(stated: str) -> date:
    return datetime.strptime(stated, "%Y%m%d").date()


# ---- instructions ------------------------------------------------------------------------------------------------


def _elsewhere(fields: FieldsOf) -> bool:
    return value(fields, "SysIOFlg") == "2"


def _no_english(place: str) -> FieldRule:
    """A name in Chinese, required where there is none in English."""
    english = place.removesuffix("CN") + "EN"
    return FieldRule(place, _TEXT, _PAYENT, required=lambda fields: not value(fields, english), reconstructed=True)


def _instruction(modes: tuple[str, ...], source: str) -> tuple[FieldRule, ...]:
    return (
        _needed("in/OnlBatF", one_of("1", "2"), _CODES),
        _needed("in/SettleMode", one_of(*modes), source, reconstructed=source != _CODES),
        _needed("in/TotalNum", _COUNT, _PAYENT),
        _needed("in/TotalAmt", _FEN, _AMOUNT_ROW),
        _needed("in/SignTime", _stamp(17), "icbc.md 2.3 and 3, SignTime"),
        *_may(_PAYENT, "in/ReqReserved1", "in/ReqReserved2"),
    )


_NOTES: Final = ("EnSummary", "PostScript", "Summary", "Ref", "Oref", "ERPSqn", "BusCode")
_VOUCHER: Final = ("ERPcheckno", "CrvouhType", "CrvouhName", "CrvouhNo")
_NEWER: Final = ("MCardNo", "MCardName", "ReqReserved3", "ReqReserved4")
_PAID: Final = (
    _needed("iSeqno", _COUNT, _KEYS),
    *_may(_PAYENT, "ReimburseNo", "ReimburseNum"),
    *_may(_PAYENT, "StartDate", form=_DAY, reconstructed=True),
    *_may(_PAYENT, "StartTime", form=moment("%H%M%S"), reconstructed=True),
    _needed("PayType", one_of("1", "2"), _CODES),
    _needed("PayAccNo", _OWN, "COMMON-A.md 2, account id", reconstructed=True),
    _no_english("PayAccNameCN"),
    *_may(_PAYENT, "PayAccNameEN"),
    _needed("RecAccNo", _OTHER, _PAYENT, reconstructed=True),
    _no_english("RecAccNameCN"),
    *_may(_PAYENT, "RecAccNameEN"),
    _needed("SysIOFlg", one_of("1", "2"), _CODES),
    _needed("IsSameCity", one_of("1", "2"), _CODES),
    FieldRule("Prop", one_of("0", "1"), _CODES, required=_elsewhere),
    *_may(_PAYENT, "RecICBCCode", form=digits(4), reconstructed=True),
    FieldRule("RecCityName", _TEXT, _CODES, required=_elsewhere),
    *_may(_PAYENT, "RecBankNo", form=digits(12), reconstructed=True),
    FieldRule("RecBankName", _TEXT, _CODES, required=_elsewhere),
    _needed("CurrType", one_of("001"), _AMOUNT_ROW),
    _needed("PayAmt", _FEN, _AMOUNT_ROW),
    *_may(_PAYENT, "UseCode", "UseCN", *_NOTES, *_VOUCHER),
    *_may(_PAYENT, "BankType", "FileNames", "Indexs", "PaySubNo", "RecSubNo", *_NEWER),
)
_COLLECTED: Final = (
    _needed("iSeqno", _COUNT, _KEYS),
    _needed("PayAccNo", _OTHER, _PERDIS, reconstructed=True),
    _no_english("PayAccNameCN"),
    *_may(_PERDIS, "PayAccNameEN", "PayBranch", "Portno"),
    _needed("ContractNo", _TEXT, _PERDIS, reconstructed=True),
    _needed("CurrType", one_of("001"), _AMOUNT_ROW),
    _needed("PayAmt", _FEN, _AMOUNT_ROW),
    *_may(_PERDIS, "UseCode", "UseCN", *_NOTES, *_VOUCHER, "ReqReserved3", "ReqReserved4"),
)
_DATED: Final = (_work_date("in/SignTime"), _work_date("pub/TranDate"))
_COUNTED: Final = (_fen_totals(), no_row_twice("in/rd", "iSeqno", _KEYS))
_FROM_OWN: Final = (
    each_row("in/rd", own_account("PayAccNo", _PAYENT, NOT_HELD)),
    each_row("in/rd", own_name("PayAccNo", "PayAccNameCN", "icbc.md 5, iRetCode B0043", NAME_REFUSED)),
    each_row("in/rd", TogetherRule(_to_itself, "icbc.md 5, iRetCode B0052", refusal=SAME_ACCOUNT)),
)


def _payments(operation: str, modes: tuple[str, ...], source: str) -> RequestRules:
    return RequestRules(
        operation,
        UNFIT,
        (*PUB, *_instruction(modes, source), RowsRule("in/rd", _PAID, _PAYENT, at_least=1)),
        (
            *_COUNTED,
            *_DATED,
            TogetherRule(_merged_from_one, _CODES, reconstructed=True),
            _of_newer_lines(*_NEWER),
            *_FROM_OWN,
        ),
    )


_COLLECTION: Final = RequestRules(
    "PERDIS",
    UNFIT,
    (
        *PUB,
        *_instruction(("0", "2"), _CODES),
        _needed("in/RecAccNo", _OWN, _PERDIS, reconstructed=True),
        FieldRule(
            "in/RecAccNameCN",
            _TEXT,
            _PERDIS,
            required=lambda fields: not value(fields, "in/RecAccNameEN"),
            reconstructed=True,
        ),
        *_may(_PERDIS, "in/RecAccNameEN"),
        RowsRule("in/rd", _COLLECTED, _PERDIS, at_least=1),
    ),
    (
        *_COUNTED,
        *_DATED,
        own_account("in/RecAccNo", _PERDIS, NOT_HELD),
        own_name("in/RecAccNo", "in/RecAccNameCN", _PERDIS, reconstructed=True),
        TogetherRule(_from_itself, "icbc.md 5, iRetCode B0052", refusal=SAME_ACCOUNT),
    ),
)


# ---- questions ---------------------------------------------------------------------------------------------------


def _enquiry(operation: str) -> RequestRules:
    source = _PERDIS if operation == "QPERDIS" else _ENQUIRY
    line = (
        *_may(source, "iSeqno", "QryiSeqno", form=_COUNT),
        *_may(source, "QryOrderNo", "ReqReserved3", "ReqReserved4"),
    )
    return RequestRules(
        operation,
        UNFIT,
        (
            *PUB,
            FieldRule("in/QryfSeqno", _PACKAGE, source, required=lambda one: not value(one, "in/QrySerialNo")),
            *_may(source, "in/QrySerialNo", "in/ReqReserved1", "in/ReqReserved2"),
            RowsRule("in/rd", line, source),
        ),
        (no_row_twice("in/rd", "iSeqno", source, reconstructed=True),),
    )


_ASKED: Final = (
    _needed("in/AccNo", _OWN, "COMMON-A.md 2, account id", reconstructed=True),
    *_may(_AMOUNT_ROW, "in/MinAmt", "in/MaxAmt", form=_FEN_OR_NONE),
    *_may(_PAGING, "in/NextTag", form=_TAG),
    *_may(_AMOUNT_ROW, "in/CurrType", form=one_of("001")),
)
_ABOUT_ONE: Final = (
    own_account("in/AccNo", _PAST, NOT_HELD),
    amounts_in_order("in/MinAmt", "in/MaxAmt", _PAST, reconstructed=True),
    _of_newer_version("in/AcctSeq"),
)

RULES: Final[Mapping[str, RequestRules]] = {
    one.operation: one
    for one in (
        _payments("PAYENT", ("0", "2"), _CODES),
        _payments("PAYPER", ("2",), _PAYPER),
        _COLLECTION,
        *(_enquiry(f"Q{name}") for name in ("PAYENT", "PAYPER", "PERDIS")),
        RequestRules(
            "QACCBAL",
            UNFIT,
            (
                *PUB,
                _needed("in/TotalNum", _COUNT, _BALANCE),
                *_may(_BALANCE, "in/BLFlag", "in/SynFlag", "in/ReqReserved1", "in/ReqReserved2"),
                RowsRule(
                    "in/rd",
                    (
                        _needed("iSeqno", _COUNT, _BALANCE),
                        _needed("AccNo", _OWN, "COMMON-A.md 2, account id", reconstructed=True),
                        _needed("CurrType", one_of("001"), _AMOUNT_ROW),
                        *_may(_BALANCE, "ReqReserved3", "ReqReserved4", "AcctSeq", "MainAcctNo"),
                    ),
                    _BALANCE,
                    at_least=1,
                ),
            ),
            (
                _fen_totals(),
                no_row_twice("in/rd", "iSeqno", _BALANCE),
                _of_newer_lines("AcctSeq", "MainAcctNo"),
                each_row("in/rd", own_account("AccNo", _BALANCE, NOT_HELD)),
            ),
        ),
        RequestRules(
            "QPD",
            UNFIT,
            (
                *PUB,
                *_ASKED,
                *_may(_TODAY, "in/AreaCode", form=digits(4), reconstructed=True),
                *_may(_TODAY, "in/BeginTime", "in/EndTime", form=moment("%H%M%S")),
                *_may(_TODAY, "in/ReqReserved1", "in/ReqReserved2", "in/AcctSeq"),
            ),
            _ABOUT_ONE,
        ),
        RequestRules(
            "QHISD",
            UNFIT,
            (
                *PUB,
                *_ASKED,
                _needed("in/BeginDate", _DAY, _PAST),
                _needed("in/EndDate", _DAY, _PAST),
                *_may(_PAST, "in/BankType", "in/DueBillNo", "in/AcctSeq", "in/ComplementFlag"),
            ),
            (
                *_ABOUT_ONE,
                days_in_order("in/BeginDate", "in/EndDate", _PAST, OTHER_PERIOD),
                TogetherRule(_closed_days, "icbc.md 4, history details", refusal=OTHER_PERIOD, reconstructed=True),
                TogetherRule(_span, "icbc.md 4, history details", refusal=OTHER_PERIOD, reconstructed=True),
            ),
        ),
    )
}
"""The rules of each operation, by its TransCode."""


def known_names(rules: RequestRules) -> Mapping[str, frozenset[str]]:
    """The names that an operation has below each of its elements that has any: `CMS`, `eb`, `pub`, `in` and `rd`."""
    found: dict[str, set[str]] = {"CMS": {"eb"}, "eb": {"pub", "in"}}
    for one in rules.fields:
        parent, _, name = one.place.rpartition("/")
        found.setdefault(parent, set()).add(name)
        if isinstance(one, RowsRule):
            found.setdefault(name, set()).update(field.place for field in one.fields)
    return {parent: frozenset(names) for parent, names in found.items()}
