"""Shared parts of the rules of 兴业银行: forms, refusals, and the fields that several messages have.

`AskedFields` are the fields of one operation as the rules read them. They include the bank's day and the lines in the
text of an asynchronous batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from lxml import etree

from protocols.judge import (
    BankRefusal,
    BothLanguages,
    FieldContradiction,
    FieldRule,
    FieldsOf,
    HeldAccounts,
    PlainFields,
    RequestFinding,
    RuleKind,
    TogetherRule,
    ValueForm,
    XmlFields,
    amount,
    anything,
    digits,
    moment,
    one_of,
    pattern,
    text,
    value,
)

Check = Callable[[FieldsOf, HeldAccounts], FieldContradiction | None]
OWN_BANK: Final = "兴业银行"
TODAY: Final = "(today)"
LINES: Final = "RQBODY/XFERINFOTEXT"
LINE: Final = ("序号", "收款账号", "收款人名称", "兴业", "同城", "行号", "行名", "地址", "金额", "用途", "备注")
"""cib.md 4.6: the columns of a line of an asynchronous batch."""
_VALUE_MOST: Final = 80
WHOLE_LINE: Final = "明细行"

MALFORMED: Final = BankRefusal("2002", "报文格式错误", reconstructed=True)
AMOUNT_REFUSED: Final = BankRefusal("2006", "金额格式错误")
NO_PERMISSION: Final = BankRefusal("2005", "账号无权限", reconstructed=True)
NAME_DIFFERS: Final = BankRefusal("2002", "账号与核心户名不符")
TOTALS_DIFFER: Final = BankRefusal("51027", "总笔数或总金额不符")
LINES_WRONG: Final = BankRefusal("2000", "批量指令提交失败,明细有误")
LINES_WRONG_TOO: Final = BankRefusal("2000", "批量指令提交失败,明细有误", reconstructed=True)
"""Of batches whose page does not name the code."""

TRNUID_ROW: Final = "cib.md 5: TRNUID up to 30"
AMOUNT: Final = amount(15, 2, fixed=True)
DAY: Final = moment("%Y-%m-%d")
YES_NO: Final = one_of("Y", "N")
BANK_NUMBER: Final = digits(12)
"""A bank's CNAPS number has twelve digits (COMMON-B 1)."""
OTHER_ACCOUNT: Final = text(32, alphabet="[0-9A-Za-z-]", takes="0-9A-Za-z-")
COUNT: Final = pattern("[0-9]{1,10}", "is no number of rows", "不是笔数")
PAGE: Final = pattern("[1-9][0-9]{0,8}", "is no page number; the first page is 1", "不是页码，首页为 1")


@dataclass(frozen=True, slots=True)
class AskedFields:
    """The fields of one operation. `TODAY` is the bank's day; rows at `LINES` are the lines of the batch's text."""

    operation: etree._Element
    today: date

    def texts(self, place: str) -> Sequence[str]:
        """Every text at `place`, without blanks around it."""
        if place == TODAY:
            return (self.today.isoformat(),)
        if place == f"{LINES}@SIZE":
            # The attribute is SIZE in the bank's tables and size in its samples.
            return [*XmlFields(self.operation).texts(place), *XmlFields(self.operation).texts(f"{LINES}@size")]
        return XmlFields(self.operation).texts(place)

    def rows(self, place: str) -> Sequence[FieldsOf]:
        """The repeated parts at `place`."""
        if place != LINES:
            return XmlFields(self.operation).rows(place)
        return [_line(row) for row in batch_lines(self.operation)]


def batch_lines(operation: etree._Element) -> list[str]:
    """The lines in the text of an asynchronous batch."""
    return [row.strip() for row in (operation.findtext(LINES) or "").split("\n") if row.strip()]


def _line(row: str) -> PlainFields:
    cells = row.split("|")
    return PlainFields({WHOLE_LINE: row, **dict(zip(LINE, [*cells, *[""] * len(LINE)], strict=False))})


def broken_rule(
    refusal: BankRefusal,
    place: str,
    rule: RuleKind,
    said: str,
    source: str,
    words: tuple[str, str],
    *,
    reconstructed: bool = False,
) -> RequestFinding:
    """The finding of a rule that no table has. `words` say it in English and in Chinese. No password is shown."""
    shown = "" if place.endswith("USERPASS") else said[:_VALUE_MOST]
    return RequestFinding(place, rule, shown, BothLanguages(*words), source, refusal, reconstructed)


def needed(
    place: str, form: ValueForm, source: str, refusal: BankRefusal | None = None, *, reconstructed: bool = False
) -> FieldRule:
    """A field that must be there."""
    return FieldRule(place, form, source, True, refusal, reconstructed)


TRNUID: Final = needed("TRNUID", text(30), TRNUID_ROW)


def own_side(at: str, source: str) -> tuple[FieldRule, ...]:
    """ACCTFROM of an own account. The page gives the lengths of names and cities for the payee only."""
    return (
        needed(f"{at}/ACCTID", text(18), f"{source}, ACCTFROM/ACCTID(18)"),
        FieldRule(f"{at}/NAME", text(50), f"{source}, ACCTFROM/NAME?", reconstructed=True),
        FieldRule(f"{at}/BANKDESC", text(50), f"{source}, ACCTFROM/BANKDESC?", reconstructed=True),
        FieldRule(f"{at}/CITY", text(30), f"{source}, ACCTFROM/CITY?", reconstructed=True),
    )


def other_side(at: str, source: str, *, way: str = "", reconstructed: bool = False) -> tuple[FieldRule, ...]:
    """ACCTTO with its two flags. `way` is the place of PMTMODE: SUPER needs the number of the payee's bank."""

    def elsewhere(fields: FieldsOf) -> bool:
        return value(fields, f"{at}@INTERBANK") == "N"

    def by_super(fields: FieldsOf) -> bool:
        return bool(way) and value(fields, way) == "SUPER"

    row = f"{source}, ACCTTO"
    return (
        needed(f"{at}@INTERBANK", YES_NO, f"{row}@INTERBANK(Y/N)", reconstructed=reconstructed),
        needed(f"{at}@LOCAL", YES_NO, f"{row}@LOCAL(Y/N)", reconstructed=reconstructed),
        needed(f"{at}/ACCTID", OTHER_ACCOUNT, f"{row}/ACCTID(32: digits, letters, '-')", reconstructed=reconstructed),
        needed(f"{at}/NAME", text(50), f"{row}/NAME(50)", reconstructed=reconstructed),
        FieldRule(f"{at}/BANKDESC", text(50), f"{row}/BANKDESC(50)", elsewhere, None, reconstructed),
        FieldRule(f"{at}/BANKNUM", BANK_NUMBER, f"{row}/BANKNUM(12)", by_super, None, reconstructed),
        FieldRule(f"{at}/CITY", text(30), f"{row}/CITY(30)", reconstructed=reconstructed),
        FieldRule(f"{at}/COLLECT", anything, f"{row}/COLLECT?", reconstructed=reconstructed),
    )


def due_day(place: str, source: str, *, reconstructed: bool = False) -> FieldRule:
    """DTDUE, which may be left out and must not be empty. The form of the date is not on the page."""
    return FieldRule(place, DAY, source, lambda fields: bool(fields.texts(place)), None, reconstructed)


def due_within(place: str, days: int, source: str, *, reconstructed: bool = False) -> TogetherRule:
    """A due day lies after today, at most `days` later."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        stated, today = value(fields, place), day_at(fields, TODAY)
        if not stated or today < day_at(fields, place) <= today + timedelta(days=days):
            return None
        return FieldContradiction(
            place, stated, f"must lie 1 to {days} days ahead of {today}", f"应在 {today} 之后 1 至 {days} 天内"
        )

    return TogetherRule(check, source, reconstructed=reconstructed)


def other_bank_named(at: str, source: str, *, reconstructed: bool = False) -> TogetherRule:
    """An account at another bank must not be said to be at this one."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        return named_here(fields, f"{at}@INTERBANK", f"{at}/BANKDESC")

    return TogetherRule(check, source, reconstructed=reconstructed)


def named_here(fields: FieldsOf, inside: str, bank: str) -> FieldContradiction | None:
    """The contradiction of a payee at another bank (`inside` is N) whose bank's name is this bank's."""
    name = value(fields, bank)
    if value(fields, inside) != "N" or OWN_BANK not in name:
        return None
    return FieldContradiction(bank, name, "names this bank for an account at another one", f"他行账户不得写{OWN_BANK}")


def day_at(fields: FieldsOf, place: str) -> date:
    """The day at `place`, whose form was judged before."""
    return date.fromisoformat(value(fields, place))
