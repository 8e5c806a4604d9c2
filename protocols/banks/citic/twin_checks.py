"""Rules of 中信 CITIC's front end over several fields, over the bank's books, and over its clock; for twin_rules.py.

The page has no code for most mistakes. TWIN000 and TWIN005 are this twin's own, so each is marked as reconstructed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from typing import Final

from protocols.judge import (
    BankRefusal,
    BothLanguages,
    BrokenForm,
    FieldContradiction,
    FieldsOf,
    HeldAccounts,
    RuleKind,
    TogetherRule,
    ValueForm,
    value,
)

MALFORMED: Final = BankRefusal("TWIN000", "报文格式错误", reconstructed=True)
NO_ACCOUNT: Final = BankRefusal("TWIN005", "账号不存在", reconstructed=True)
NO_PAYER: Final = BankRefusal("BLR0024", "付款账号不存在")
NO_PAYEE: Final = BankRefusal("BLR0027", "收款账号不存在")
SHAPE_ROW: Final = "citic.md 1: HTTP POST, bare XML in GBK, tags case-sensitive"
ENVELOPE_ROW: Final = "citic.md 2: <stream><action><userName>…<list name=userDataList><row>"
OPERATIONS_ROW: Final = "citic.md 4, table of operations"
EMPTY_ROW: Final = "citic.md 1: empty elements must be present"
SCHEDULE_ROW: Final = "citic.md 4: preFlg 0/1 with preDate and preTime; citic.md 5: four clock times, B5 no schedule"
HOURS_ROW: Final = "citic.md 5: payType 02 only on working days 9:00 to 17:00"
NOW_ROW: Final = "citic.md 9: preFlg is not nullable, 0 = now with empty preDate and preTime"
ENTRIES_ROW: Final = "citic.md 9.2, DLTRNALL"
RECEIPTS_ROW: Final = "citic.md 9.3, DLEDDRSQ and DLEDCDTD"
CODES_ROW: Final = "citic.md 9.1"
_ZONE: Final = timezone(timedelta(hours=8))
_OPENS, _CLOSES, _SATURDAY = time(9), time(17), 5
ROWS: Final = "list/row"


def whole(low: int, high: int) -> ValueForm:
    """A number from `low` to `high`, in digits."""

    def judge(stated: str) -> BrokenForm | None:
        if not (stated.isascii() and stated.isdigit()):
            return BrokenForm(RuleKind.ALPHABET, BothLanguages("takes digits only", "只能是数字"))
        if len(stated) > len(str(high)):
            words = BothLanguages(
                f"has {len(stated)} digits, at most {len(str(high))}", f"最多 {len(str(high))} 位数字"
            )
            return BrokenForm(RuleKind.LENGTH, words)
        if low <= int(stated) <= high:
            return None
        return BrokenForm(RuleKind.FORM, BothLanguages(f"must be {low} to {high}", f"应为 {low} 至 {high}"))

    return judge


def scheduled(fields: FieldsOf) -> bool:
    """Whether the order is for a later time (preFlg 1)."""
    return value(fields, "preFlg") == "1"


def present(*names: str, reconstructed: bool = False) -> tuple[TogetherRule, ...]:
    """Elements that may be empty and must stand there all the same."""

    def rule(name: str) -> TogetherRule:
        def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
            if fields.texts(name):
                return None
            return FieldContradiction(name, "", "may be empty, but its element is absent", "可为空,但元素必须出现")

        return TogetherRule(check, EMPTY_ROW, RuleKind.MISSING, reconstructed=reconstructed)

    return tuple(map(rule, names))


def present_in_rows(*names: str, reconstructed: bool = False) -> tuple[TogetherRule, ...]:
    """Elements of each row that may be empty and must stand there all the same."""

    def rule(name: str) -> TogetherRule:
        def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
            for number, row in enumerate(fields.rows(ROWS), start=1):
                if not row.texts(name):
                    place = f"{ROWS}[{number}]/{name}"
                    return FieldContradiction(
                        place, "", "may be empty, but its element is absent", "可为空,但元素必须出现"
                    )
            return None

        return TogetherRule(check, EMPTY_ROW, RuleKind.MISSING, reconstructed=reconstructed)

    return tuple(map(rule, names))


def now_is_empty(source: str, *, reconstructed: bool) -> TogetherRule:
    """Without a schedule, its date and time are empty."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = next((name for name in ("preDate", "preTime") if value(fields, name)), "")
        if scheduled(fields) or not stated:
            return None
        return FieldContradiction(
            stated, value(fields, stated), "is filled, but preFlg 0 is no schedule", "preFlg 为 0(非预约),此项应为空"
        )

    return TogetherRule(check, source, reconstructed=reconstructed)


def at_most_days(most: int, source: str) -> TogetherRule:
    """The period has at most so many days, the first and the last included."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        first, last = _day(fields, "startDate"), _day(fields, "endDate")
        days = (last - first).days + 1
        if days <= most:
            return None
        return FieldContradiction(
            "startDate", value(fields, "startDate"), f"{days} days, at most {most}", f"{days} 天,最多 {most} 天"
        )

    return TogetherRule(check, source)


def names_this_bank(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    """payType 01 pays at this bank, which citicbankFlag must say too."""
    inside, flag = value(fields, "payType") == "01", value(fields, "citicbankFlag")
    if inside == (flag == "0"):
        return None
    return FieldContradiction(
        "citicbankFlag", flag, "contradicts payType: 01 pays at this bank, and nothing else does", "与 payType 不符"
    )


def names_a_bank(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    """The payee's bank must be named, by its name or by its number."""
    if value(fields, "payType") == "05" or value(fields, "recOpenBankName") or value(fields, "recOpenBankCode"):
        return None
    words = ("and recOpenBankCode are both empty: no bank is named", "与 recOpenBankCode 均为空,未指明收款行")
    return FieldContradiction("recOpenBankName", "", *words)


def no_night_schedule(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    """B5 (大额夜间) takes no schedule."""
    if value(fields, "payType") != "B5" or not scheduled(fields):
        return None
    return FieldContradiction("preFlg", "1", "B5 (大额夜间) takes no schedule", "B5(大额夜间)不能预约")


def receipt_numbers(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    """A receipt has 28 digits at T+0 and 46 at T+1."""
    today = value(fields, "isCurrDay") == "1"
    for number, row in enumerate(fields.rows(ROWS), start=1):
        stated, wanted = value(row, "brSeqNo"), 28 if today else 46
        if len(stated) != wanted:
            words = (f"has {len(stated)} digits; with this isCurrDay {wanted}", f"应为 {wanted} 位(按 isCurrDay)")
            return FieldContradiction(f"{ROWS}[{number}]/brSeqNo", stated, *words)
    return None


def _day(fields: FieldsOf, name: str) -> date:
    stated = value(fields, name)
    return date(int(stated[:4]), int(stated[4:6]), int(stated[6:]))


# ---- rules that need the bank's clock ----------------------------------------------------------------------------


def _open_now(now: datetime) -> bool:
    return now.weekday() < _SATURDAY and _OPENS <= now.time() < _CLOSES


def _large_value(now: datetime) -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        at = [("", fields), *((f"{ROWS}[{n}]/", row) for n, row in enumerate(fields.rows(ROWS), start=1))]
        # A scheduled order goes at its own time, which is one of the open hours.
        place = next((prefix for prefix, part in at if value(part, "payType") == "02"), None)
        if place is None or _open_now(now) or scheduled(fields):
            return None
        words = (f"02 (大额) is closed at {now:%a %H:%M}", f"{now:%m-%d %H:%M} 非大额支付时间")
        return FieldContradiction(f"{place}payType", "02", *words)

    return TogetherRule(check, HOURS_ROW, refusal=BankRefusal("TWIN000", "非大额支付时间", reconstructed=True))


def _future_schedule(now: datetime) -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, "preDate") + value(fields, "preTime")
        if not scheduled(fields) or stated > f"{now:%Y%m%d%H%M%S}":
            return None
        return FieldContradiction("preDate", stated, "is not in the future", "预约时间已过")

    return TogetherRule(check, SCHEDULE_ROW, reconstructed=True)


def _three_years(now: datetime) -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        if _day(fields, "startDate") >= (now - timedelta(days=3 * 366)).date():
            return None
        words = ("is more than three years back", "早于三年前")
        return FieldContradiction("startDate", value(fields, "startDate"), *words)

    return TogetherRule(check, "citic.md 9.2: three years back")


def _receipts_of_today(now: datetime) -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        first, last, today = _day(fields, "startDate"), _day(fields, "endDate"), now.date()
        wanted = value(fields, "qryType")
        if (first == last == today) if wanted == "1" else last < today:
            return None
        words = (f"contradicts the days: 1 is T+0 ({today}), 2 is T+1", f"与日期不符:1 为当日({today}),2 为次日后")
        return FieldContradiction("qryType", wanted, *words)

    return TogetherRule(check, RECEIPTS_ROW, reconstructed=True)


_BY_CLOCK: Final[Mapping[str, tuple[Callable[[datetime], TogetherRule], ...]]] = {
    **dict.fromkeys(("DLOUTTRN", "DLPAYBAT"), (_large_value, _future_schedule)),
    **dict.fromkeys(("DLINETRN", "CMMANSWP", "CMDWNSWP", "DLSALIMP", "DLAGENTF"), (_future_schedule,)),
    "DLTRNALL": (_three_years,),
    "DLEDDRSQ": (_receipts_of_today,),
}


def rules_at(action: str, now: datetime) -> tuple[TogetherRule, ...]:
    """The rules of an operation that depend on the bank's time, `now`."""
    local = now.astimezone(_ZONE)
    return tuple(make(local) for make in _BY_CLOCK.get(action, ()))
