"""The rules of the bank's page for all requests: their sources, the forms of its types, the refusals, and rules over
several fields. twin_rules.py and twin_rules_orders.py are made of them.

Lengths count GBK bytes (type Z) or ASCII characters (type C). RETCOD -3 is the page's code for a data format error. The
page does not say which mistakes the front end answers with it, so most refusals here are reconstructed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Final

from protocols.judge import (
    BankRefusal,
    FieldContradiction,
    FieldRule,
    FieldsOf,
    HeldAccounts,
    RuleKind,
    TogetherRule,
    ValueForm,
    all_of,
    amount,
    days_in_order,
    each_row,
    moment,
    one_of,
    own_account,
    pattern,
    text,
    value,
)

MALFORMED: Final = BankRefusal("-3", "数据格式错误")
"""RETCOD -3 of A2, for what is no CMBSDKPGK message."""
NOT_TAKEN: Final = BankRefusal("-3", "数据格式错误", reconstructed=True)
NO_FUNCTION: Final = BankRefusal("-3", "接口不存在", reconstructed=True)
NOT_LOGGED_IN: Final = BankRefusal("-4", "用户未登录")
NO_ACCOUNT: Final = BankRefusal("FAAQ086", "FAAQ086 -CSAB051 户口不存在", reconstructed=True)
"""On a line of its own (ERRCOD). Seen in the bank's other mode (9.2)."""
NOT_ASKED: Final = BankRefusal("-2", "FAAQ086 -CSAB051 户口不存在", reconstructed=True)
"""The same for a whole call."""
CHECKED: Final = BankRefusal("FABZ002", "FABZ002 -业务检查不通过", reconstructed=True)
"""The business check of a line. Seen in the bank's other mode (9.2)."""
REPEATED_REFERENCE: Final = BankRefusal("NCB4241", "NCB4241 -业务参考号重复")

ENVELOPE: Final = "cmb.md A2, envelope"
TYPES: Final = "cmb.md A2, types C Z N D T M"
PAY: Final = "cmb.md A2, direct payment"
TRANSFER: Final = "cmb.md A2, internal transfer"
STATUS: Final = "cmb.md A2, status"
AGENT: Final = "cmb.md A2, AgentRequest"
BIG: Final = "cmb.md A2, big batch"
AGENCY: Final = "cmb.md A2, agency query"
NOTICES: Final = "cmb.md A2, notices"
BALANCE: Final = "cmb.md A2, balance"
DETAILS: Final = "cmb.md A2, details"
RECEIPTS: Final = "cmb.md A2, receipts"
HELPERS: Final = "cmb.md A2, helpers"
KEY: Final = "cmb.md 5, idempotency: YURREF C30"
OTHER_MODE: Final = "cmb.md 9.3, the widths of the bank's other mode"
KINDS: Final = "cmb.md 9.7b, payroll and collection kinds"
BRANCHES: Final = "cmb.md 9.7b, branch (bbknbr)"
UNSAID: Final = "cmb.md A2 names the field only"

WAGES: Final = ("BYSA", "BYWK", "BYTF", "BYXF", "BYXG", "BYXB", "BYBI", "BYBK")
CLAIMS: Final = ("AYTX", "AYBK")


def ascii_text(most: int | None = None) -> ValueForm:
    """Type C: ASCII."""
    return text(most, charset="ascii", alphabet="[ -~]", takes="ASCII")


def gbk_text(most: int | None = None) -> ValueForm:
    """Type Z: text, its length in GBK bytes."""
    return text(most, charset="gbk")


def width(most: int) -> ValueForm:
    """A length alone."""
    return text(max_chars=most, charset="utf-8")


DAY: Final = moment("%Y%m%d")
TIME: Final = moment("%H%M%S")
MONEY: Final = all_of(
    amount(13, 2), pattern(r"[0-9]{1,11}(\..*)?", "has more than 11 digits before the point", "整数部分超过 11 位")
)
"""Type M, 13.2: taken as 13 digits with the two decimals. The page does not say which way it counts."""
YURREF: Final = ascii_text(30)
BUSCOD: Final = pattern("N[0-9]{5}", "is no business code (N and 5 digits)", "不是业务代码(N 加 5 位数字)")
YES_NO: Final = one_of("Y", "N")


def needs(place: str, form: ValueForm, source: str, refusal: BankRefusal | None = None) -> FieldRule:
    """A field that must be filled."""
    return FieldRule(place, form, source, required=True, refusal=refusal)


def may(place: str, form: ValueForm, source: str, *, reconstructed: bool = False) -> FieldRule:
    """A field that may be left out."""
    return FieldRule(place, form, source, reconstructed=reconstructed)


def guess(place: str, form: ValueForm, source: str = UNSAID, *, required: bool = False) -> FieldRule:
    """A field whose rule is reconstructed."""
    return FieldRule(place, form, source, required=required, reconstructed=True)


def once(interface: str, *rules: FieldRule) -> tuple[FieldRule, ...]:
    """The fields of an interface that occurs once."""
    return tuple(replace(rule, place=f"{interface}/{rule.place}") for rule in rules)


def either(place: str, other: str, form: ValueForm, source: str) -> FieldRule:
    """A field that is required where the one that may stand for it is empty."""
    return FieldRule(place, form, source, required=lambda fields: not value(fields, other))


def account(place: str, source: str) -> tuple[FieldRule, ...]:
    """An account: type C. Its length is that of the bank's other mode."""
    return needs(place, ascii_text(), source), guess(place, width(35), OTHER_MODE)


def number(source: str, *, required: bool = True) -> tuple[FieldRule, ...]:
    """REQNBR: at most 10 characters. That it has exactly 10, as every number that the bank writes, is reconstructed."""
    whole = pattern(".{10,}", "is no number of the bank: 10 characters", "不是 10 位流程实例号")
    form = FieldRule("REQNBR", ascii_text(10), source, required=required)
    return form, guess("REQNBR", whole, source)


def mode(rule: FieldRule) -> tuple[FieldRule, ...]:
    """BUSMOD by this rule, with the length of the page's samples."""
    return rule, guess(rule.place, width(5), rule.source)


# ---- rules over several fields ----


def spans(interface: str, days: int, source: str, *, reconstructed: bool = False) -> tuple[TogetherRule, ...]:
    """BGNDAT to ENDDAT in order, and at most so many days, both counted."""
    return period(f"{interface}/BGNDAT", f"{interface}/ENDDAT", days, source, reconstructed=reconstructed)


def period(first: str, last: str, most: int, source: str, *, reconstructed: bool = False) -> tuple[TogetherRule, ...]:
    """Two days in order, and at most so many days, both counted."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        begin, end = value(fields, first), value(fields, last)
        if begin and end and (date.fromisoformat(end) - date.fromisoformat(begin)).days >= most:
            both = f"{first} {last}"
            return FieldContradiction(
                both, f"{begin} {end}", f"are more than {most} days, both counted", f"起止日期超过 {most} 天"
            )
        return None

    in_order = days_in_order(first, last, source, NOT_TAKEN, reconstructed=reconstructed)
    return (in_order, TogetherRule(check, source, RuleKind.TOGETHER, NOT_TAKEN, reconstructed))


def clock_rules(operation: str, today: date) -> tuple[TogetherRule, ...]:
    """The rules about days before the bank's own `today`."""
    if operation == "NTQRYSTY":
        return (_not_before("NTQRYSTYX1/BGNDAT", today - timedelta(days=90), STATUS),)
    if operation == "SDKNTQABINF":
        return (_not_after("NTQABINFY/ENDDAT", today - timedelta(days=1), BALANCE),)
    return ()


def _not_before(place: str, day: date, source: str) -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, place)
        if not stated or date.fromisoformat(stated) >= day:
            return None
        return FieldContradiction(place, stated, f"is before {day}, the first day to ask for", f"早于可查首日 {day}")

    return TogetherRule(check, source, RuleKind.TOGETHER, NOT_TAKEN)


def _not_after(place: str, day: date, source: str) -> TogetherRule:
    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, place)
        if not stated or date.fromisoformat(stated) <= day:
            return None
        return FieldContradiction(place, stated, f"is after {day}, the last day to ask for", f"晚于可查末日 {day}")

    return TogetherRule(check, source, RuleKind.TOGETHER, NOT_TAKEN)


def each(
    rows: str, check: Callable[[FieldsOf, HeldAccounts], FieldContradiction | None], source: str, refusal: BankRefusal
) -> TogetherRule:
    """A rule about the bank's books that every row keeps."""
    return each_row(rows, TogetherRule(check, source, RuleKind.BOOKS, refusal, reconstructed=True))


def pays_from_own(row: FieldsOf, books: HeldAccounts) -> FieldContradiction | None:
    """DBTACC is an account of this bank."""
    return own_account("DBTACC", PAY).check(row, books)


def pays_another(row: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    """CRTACC is another account than DBTACC."""
    stated = value(row, "CRTACC")
    if stated != value(row, "DBTACC"):
        return None
    return FieldContradiction("CRTACC", stated, "is the paying account itself", "与付方账号相同")


def asks_about_own(row: FieldsOf, books: HeldAccounts) -> FieldContradiction | None:
    """ACCNBR is an account of this bank."""
    return own_account("ACCNBR", BALANCE).check(row, books)


def payee_is_named(row: FieldsOf, books: HeldAccounts) -> FieldContradiction | None:
    """RCVCHK 1: the name of a payee at this bank is compared with the account's."""
    place = "CRTNAM" if value(row, "CRTNAM") else "LRVEAN"
    stated, holder = value(row, place), books.holder_of(value(row, "CRTACC"))
    if (value(row, "BNKFLG"), value(row, "RCVCHK")) != ("Y", "1") or holder is None or stated == holder:
        return None
    return FieldContradiction(place, stated, "is not the name of the payee's account (RCVCHK 1)", "与收方户名不符")


def given_if(place: str, given: Callable[[FieldsOf], bool], english: str, chinese: str, source: str) -> TogetherRule:
    """The field must be filled exactly where `given`."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, place)
        return None if bool(stated) is given(fields) else FieldContradiction(place, stated, english, chinese)

    return TogetherRule(check, source, RuleKind.TOGETHER, NOT_TAKEN)
