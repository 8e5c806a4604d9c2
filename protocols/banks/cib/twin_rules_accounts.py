"""The rules of 兴业银行 for questions about accounts, transcribed from the bank's page (cib.md 4.1, 4.2 and 4.9)."""

from __future__ import annotations

from datetime import date
from typing import Final

from protocols.banks.cib.twin_rules_parts import (
    DAY,
    MALFORMED,
    NAME_DIFFERS,
    NO_PERMISSION,
    PAGE,
    TODAY,
    TRNUID,
    Check,
    day_at,
    needed,
)
from protocols.judge import (
    BankRefusal,
    FieldContradiction,
    FieldRule,
    FieldsOf,
    HeldAccounts,
    RequestRules,
    TogetherRule,
    amount,
    amounts_in_order,
    anything,
    days_in_order,
    one_of,
    own_account,
    own_name,
    pattern,
    text,
    value,
)

_BALANCE: Final = "cib.md 4.1 CURRACCTQUERYTRNRQ"
_PAST: Final = "cib.md 4.1 HISBALQUERYTRNRQ"
_DETAILS: Final = "cib.md 4.2 SCUSTSTMTTRNRQ"
_FILE: Final = "cib.md 4.2 FSTMTTRNRQ"
_JOB: Final = "cib.md 4.9 ELECTRONICRECEIPTTRNRQ"
_FILES: Final = "cib.md 4.9 ASYNRECEIPTINFOTRNRQ"
_OWN_ROW: Final = "cib.md 5: 2005 no permission"
_ONE_YEAR: Final = BankRefusal("6000", "最长查询时间范围为一年")
_NOT_MIXED: Final = "cib.md 4.2: start = end, or start < end with end not today"
_DAYS_ROW: Final = "cib.md 4: the form of dates in questions is not on the page"
_PAST_AT: Final = "HISBALQUERYRQ/HISBALQUERYINFO"
_ASKED: Final = "SCUSTSTMTRQ"
_SPAN: Final = f"{_ASKED}/INCTRAN"


def _held(place: str) -> TogetherRule:
    return own_account(place, _OWN_ROW, NO_PERMISSION, reconstructed=True)


def _days(at: str) -> tuple[FieldRule, ...]:
    return tuple(FieldRule(f"{at}/{name}", DAY, _DAYS_ROW, True, None, True) for name in ("DTSTART", "DTEND"))


# ---- balances --------------------------------------------------------------------------------------------------------


def _one_year(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    first, last = day_at(fields, f"{_PAST_AT}/DTSTART"), day_at(fields, f"{_PAST_AT}/DTEND")
    leap_day = (first.month, first.day) == (2, 29)
    year_on = date(first.year + 1, 3, 1) if leap_day else first.replace(year=first.year + 1)
    if last <= year_on:
        return None
    return FieldContradiction(
        f"{_PAST_AT}/DTEND", last.isoformat(), f"is more than a year after {first}", f"距 {first} 超过一年"
    )


def _before_today(place: str) -> Check:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = day_at(fields, place)
        if stated < day_at(fields, TODAY):
            return None
        return FieldContradiction(place, stated.isoformat(), "must be a past day", "必须是过去的日期")

    return check


# ---- entries ---------------------------------------------------------------------------------------------------------


def _spans(fields: FieldsOf) -> bool:
    return bool(fields.rows(_SPAN))


def _today_apart(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    if not _spans(fields):
        return None
    first, last, today = (day_at(fields, place) for place in (f"{_SPAN}/DTSTART", f"{_SPAN}/DTEND", TODAY))
    if first == last or not first <= today <= last:
        return None
    return FieldContradiction(
        f"{_SPAN}/DTEND", last.isoformat(), "mixes today with past days", "当日与历史明细不能同时查询"
    )


def _not_ahead(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    if not _spans(fields) or day_at(fields, f"{_SPAN}/DTEND") <= day_at(fields, TODAY):
        return None
    place = f"{_SPAN}/DTEND"
    return FieldContradiction(place, value(fields, place), "lies in the future", "晚于当前日期")


def _account_asked(source: str) -> tuple[FieldRule, ...]:
    return (
        TRNUID,
        FieldRule(f"{_ASKED}/VERSION", one_of("2.0"), f"{source}, VERSION?(2.0)"),
        FieldRule(f"{_ASKED}/ACCTFROM/ACCTID", text(32), f"{source}, ACCTID; 4.1: 32", True, None, True),
        *(
            FieldRule(f"{_ASKED}/ACCTFROM/{name}", text(most), f"{source}, {name}?; 4.3: {most}", reconstructed=True)
            for name, most in (("NAME", 50), ("BANKDESC", 50), ("CITY", 30))
        ),
    )


def _period(source: str) -> tuple[FieldRule, ...]:
    return (
        *(FieldRule(f"{_SPAN}/{name}", DAY, _DAYS_ROW, _spans, None, True) for name in ("DTSTART", "DTEND")),
        FieldRule(f"{_SPAN}/PAGE", PAGE, f"{source}, PAGE", _spans),
        FieldRule(f"{_SPAN}/TRNTYPE", one_of("0", "1", "2"), f"{source}, TRNTYPE(0借/1贷/2全)", _spans),
    )


_HUNDREDS: Final = pattern("[1-9]00|1000", "is no multiple of 100 from 100 to 1000", "应为 100 至 1000 之间的整百数")
_LIMIT: Final = amount(15, 2, zero=True)
_ASKED_RULES: Final = (
    _held(f"{_ASKED}/ACCTFROM/ACCTID"),
    own_name(
        f"{_ASKED}/ACCTFROM/ACCTID",
        f"{_ASKED}/ACCTFROM/NAME",
        "cib.md 2, the refused sample",
        NAME_DIFFERS,
        reconstructed=True,
    ),
    days_in_order(f"{_SPAN}/DTSTART", f"{_SPAN}/DTEND", _NOT_MIXED),
    TogetherRule(_today_apart, _NOT_MIXED),
    TogetherRule(_not_ahead, _NOT_MIXED, reconstructed=True),
)

ACCOUNT_RULES: Final = (
    RequestRules(
        "CURRACCTQUERYTRN",
        MALFORMED,
        (TRNUID, needed("RQBODY/ACCTID", text(32), f"{_BALANCE}, ACCTID(32)")),
        (_held("RQBODY/ACCTID"),),
    ),
    RequestRules(
        "HISBALQUERYTRN",
        MALFORMED,
        (
            TRNUID,
            needed(f"{_PAST_AT}/ACCTID", text(18), f"{_PAST}, ACCTID(18)"),
            FieldRule(f"{_PAST_AT}/ACCTNAME", text(50), "cib.md 9: without holder in the samples", reconstructed=True),
            *_days(_PAST_AT),
        ),
        (
            _held(f"{_PAST_AT}/ACCTID"),
            own_name(f"{_PAST_AT}/ACCTID", f"{_PAST_AT}/ACCTNAME", _PAST, NAME_DIFFERS, reconstructed=True),
            days_in_order(f"{_PAST_AT}/DTSTART", f"{_PAST_AT}/DTEND", _PAST),
            TogetherRule(_one_year, f"{_PAST}, max 1 year", refusal=_ONE_YEAR),
        ),
    ),
    RequestRules(
        "SCUSTSTMTTRN",
        MALFORMED,
        (
            *_account_asked(_DETAILS),
            *_period(_DETAILS),
            needed(f"{_ASKED}/SELTYPE", one_of("1", "3"), f"{_DETAILS}, SELTYPE(1查询,3退款)"),
        ),
        _ASKED_RULES,
    ),
    RequestRules(
        "FSTMTTRN",
        MALFORMED,
        (
            *_account_asked(_FILE),
            *_period(_FILE),
            FieldRule(f"{_SPAN}/NUM", _HUNDREDS, f"{_FILE}, NUM (100..1000, multiple of 100)"),
            FieldRule(f"{_SPAN}/MINAMT", _LIMIT, f"{_FILE}, MINAMT"),
            FieldRule(f"{_SPAN}/MAXAMT", _LIMIT, f"{_FILE}, MAXAMT"),
        ),
        (
            *_ASKED_RULES,
            amounts_in_order(f"{_SPAN}/MINAMT", f"{_SPAN}/MAXAMT", f"{_FILE}, MINAMT MAXAMT", reconstructed=True),
        ),
    ),
    RequestRules(
        "ELECTRONICRECEIPTTRN",
        MALFORMED,
        (
            TRNUID,
            needed("RQBODY/RECEIPT_TYPE", one_of("01"), f"{_JOB}, RECEIPT_TYPE 01"),
            needed("RQBODY/ACCTID", text(32), f"{_JOB}, ACCTID; 4.1: 32", reconstructed=True),
            needed("RQBODY/RECEIPTDATE", DAY, _DAYS_ROW, reconstructed=True),
        ),
        (_held("RQBODY/ACCTID"), TogetherRule(_before_today("RQBODY/RECEIPTDATE"), f"{_JOB}, RECEIPTDATE (not today)")),
    ),
    RequestRules(
        "ASYNRECEIPTINFOTRN",
        MALFORMED,
        (
            TRNUID,
            needed("RQBODY@PAGE", PAGE, f"{_FILES}, RQBODY@PAGE"),
            needed("RQBODY/CLT_REF_NO", anything, f"{_FILES}, CLT_REF_NO"),
        ),
    ),
)

SECOND_JOB: Final = BankRefusal("2002", "已存在任务")
SECOND_JOB_ROW: Final = f"{_JOB}: a second job for the same account and date is refused"
