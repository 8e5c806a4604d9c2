"""Judges a client's request by the rules of a bank's page. It is used by simulated banks, never by adapters.

A bank's `twin_rules.py` has one `RequestRules` for each operation: its fields with form, length and source, its
repeated rows, and the rules over several fields. They are transcribed from the bank's page independently of the
adapter, so that a mistake in the adapter's tables is found and not repeated. `findings` gives every rule that a request
breaks, in the order of the table, each with the place, the value and the row of the page, and with the bank's answer to
it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol

from lxml import etree

_VALUE_CHARS_MAX: Final = 80
_AMOUNT = re.compile(r"([0-9]+)(?:\.([0-9]+))?")


class RuleKind(StrEnum):
    """The kind of rule that a request breaks."""

    FRAME = "frame"  # lengths, header, envelope, XML that does not parse
    CHARSET = "charset"  # bytes outside the bank's charset
    OPERATION = "operation"  # an operation that the page does not have
    HEADER = "header"  # a field outside the message: fixed header, HTTP header, form parameter
    MISSING = "missing"  # a required field is absent or empty
    REPEATED = "repeated"  # a field that may stand once stands several times
    LENGTH = "length"  # longer, or shorter, than the page allows
    ALPHABET = "alphabet"  # a character that the field does not take
    CODE = "code"  # a value outside the page's list
    FORM = "form"  # an amount, a date or a number of another form
    COUNT = "count"  # more or fewer rows than the page allows
    BOOKS = "books"  # contradicts the bank's books: an unknown account, a name that is not the holder's
    TOGETHER = "together"  # two fields that contradict each other
    SIGNATURE = "signature"  # no signature, or one that does not verify


@dataclass(frozen=True, slots=True)
class BothLanguages:
    """A sentence in English and in Chinese."""

    english: str
    chinese: str


@dataclass(frozen=True, slots=True)
class BankRefusal:
    """The code and text with which the bank refuses a request. `reconstructed`: the bank's page does not give them for
    this mistake."""

    code: str
    text: str
    reconstructed: bool = False


@dataclass(frozen=True, slots=True)
class RequestFinding:
    """One rule that a request breaks.

    `place` is the field's path, with the number of its row (`list[3]/InAcctNo`). `source` is the row of the bank's
    page. `reconstructed`: the rule itself is reconstructed from public material.
    """

    place: str
    rule: RuleKind
    value: str
    words: BothLanguages
    source: str
    refusal: BankRefusal
    reconstructed: bool = False


class FieldsOf(Protocol):
    """The fields of a request, or of one of its rows, by their paths."""

    def texts(self, place: str) -> Sequence[str]:
        """Every text at `place`, without blanks around it; empty if the field is absent."""

    def rows(self, place: str) -> Sequence[FieldsOf]:
        """The repeated parts at `place`, in their order."""


@dataclass(frozen=True, slots=True)
class XmlFields:
    """The fields of an XML element. Paths have local names with slashes; `@name` at the end is an attribute."""

    element: etree._Element

    def texts(self, place: str) -> Sequence[str]:
        """Every text at `place`, without blanks around it."""
        path, _, attribute = place.partition("@")
        found = self._elements(path.rstrip("/"))
        if attribute:
            return [str(one.attrib[attribute]).strip() for one in found if attribute in one.attrib]
        return [(one.text or "").strip() for one in found]

    def rows(self, place: str) -> Sequence[FieldsOf]:
        """The elements at `place`, each as fields of its own."""
        return [XmlFields(one) for one in self._elements(place)]

    def _elements(self, path: str) -> list[etree._Element]:
        found = [self.element]
        for name in filter(None, path.split("/")):
            found = [child for one in found for child in one.iterchildren("{*}" + name)]
        return found


@dataclass(frozen=True, slots=True)
class PlainFields:
    """The fields of a mapping: a fixed header, HTTP headers, form parameters, columns of a delimited row."""

    fields: Mapping[str, str]
    parts: Mapping[str, Sequence[FieldsOf]] = field(default_factory=dict)

    def texts(self, place: str) -> Sequence[str]:
        """The text at `place`, without blanks around it."""
        return [self.fields[place].strip()] if place in self.fields else []

    def rows(self, place: str) -> Sequence[FieldsOf]:
        """The repeated parts at `place`."""
        return self.parts.get(place, ())


@dataclass(frozen=True, slots=True)
class BrokenForm:
    """A value that does not have the form that a rule demands: the kind of rule, and the fault in words."""

    rule: RuleKind
    words: BothLanguages


ValueForm = Callable[[str], BrokenForm | None]
"""Judges one value that is present and not empty: None if it has the form."""


def text(
    max_bytes: int | None = None,
    *,
    max_chars: int | None = None,
    exact: int | None = None,
    charset: str = "gb18030",
    alphabet: str = "",
    takes: str = "",
) -> ValueForm:
    """A text of at most `max_bytes` bytes in `charset`, or `max_chars` characters, or of `exact` bytes.

    `alphabet` is a regular expression of one character; `takes` says it in words for people ("0-9A-Za-z").
    """
    allowed = re.compile(f"(?:{alphabet})*") if alphabet else None

    def judge(value: str) -> BrokenForm | None:
        try:
            size = len(value.encode(charset))
        except UnicodeEncodeError as error:
            bad = value[error.start]
            return _fault(RuleKind.CHARSET, f"{bad!r} does not exist in {charset}", f"{charset} 字符集中没有 {bad!r}")
        if exact is not None and size != exact:
            return _fault(RuleKind.LENGTH, f"has {size} bytes, must have {exact}", f"长 {size} 字节，应为 {exact} 字节")
        if max_bytes is not None and size > max_bytes:
            return _fault(
                RuleKind.LENGTH, f"has {size} bytes, at most {max_bytes}", f"长 {size} 字节，最多 {max_bytes} 字节"
            )
        if max_chars is not None and len(value) > max_chars:
            return _fault(
                RuleKind.LENGTH,
                f"has {len(value)} characters, at most {max_chars}",
                f"长 {len(value)} 字，最多 {max_chars} 字",
            )
        if allowed is not None and not allowed.fullmatch(value):
            return _fault(RuleKind.ALPHABET, f"takes {takes or alphabet} only", f"只能含 {takes or alphabet}")
        return None

    return judge


def digits(low: int, high: int | None = None) -> ValueForm:
    """ASCII digits, from `low` to `high` of them, or exactly `low`."""
    high = low if high is None else high

    def judge(value: str) -> BrokenForm | None:
        if not (value.isascii() and value.isdigit()):
            return _fault(RuleKind.ALPHABET, "takes digits only", "只能是数字")
        if not low <= len(value) <= high:
            span = str(low) if low == high else f"{low} to {high}"
            return _fault(
                RuleKind.LENGTH, f"has {len(value)} digits, must have {span}", f"{len(value)} 位数字，应为 {span} 位"
            )
        return None

    return judge


def amount(
    whole: int = 13,
    decimals: int = 2,
    *,
    fixed: bool = False,
    minor: bool = False,
    zero: bool = False,
    signed: bool = False,
) -> ValueForm:
    """An amount in yuan with at most `whole` digits before the point and `decimals` after it, above zero.

    `fixed`: exactly `decimals` places. `minor`: in fen, without a point. `zero`: 0 is allowed. `signed`: a minus too.
    """

    def judge(value: str) -> BrokenForm | None:
        bare = value[1:] if signed and value.startswith("-") else value
        found = _AMOUNT.fullmatch(bare)
        if found is None or not bare.isascii():
            return _fault(RuleKind.FORM, "is no amount", "不是金额")
        before, after = found.group(1), found.group(2)
        if minor and after is not None:
            return _fault(RuleKind.FORM, "is in fen and takes no decimal point", "以分为单位，不能有小数点")
        if len(before) > whole:
            return _fault(
                RuleKind.LENGTH,
                f"has {len(before)} digits before the point, at most {whole}",
                f"整数 {len(before)} 位，最多 {whole} 位",
            )
        if not minor and (len(after or "") > decimals or (fixed and len(after or "") != decimals)):
            return _fault(RuleKind.FORM, f"takes {decimals} decimal places", f"应有 {decimals} 位小数")
        if not zero and not (before + (after or "")).strip("0"):
            return _fault(RuleKind.FORM, "must be above zero", "必须大于零")
        return None

    return judge


def moment(shape: str = "%Y%m%d") -> ValueForm:
    """A date, a time or both in the form of strptime's `shape`, with all its digits."""

    def judge(value: str) -> BrokenForm | None:
        try:
            if datetime.strptime(value, shape).strftime(shape) == value:  # noqa: DTZ007 - a form, no moment
                return None
        except ValueError:
            pass
        return _fault(RuleKind.FORM, f"is no date or time of the form {shape}", f"日期或时间不是 {shape} 格式")

    return judge


def one_of(*codes: str) -> ValueForm:
    """One value of the list on the bank's page."""

    def judge(value: str) -> BrokenForm | None:
        if value in codes:
            return None
        shown = ", ".join(codes[:12]) + (" …" if len(codes) > 12 else "")
        return _fault(RuleKind.CODE, f"is none of {shown}", f"不在 {shown} 之中")

    return judge


def pattern(expression: str, english: str, chinese: str) -> ValueForm:
    """A value that matches the whole regular expression; `english` and `chinese` describe the form in words."""
    shape = re.compile(expression)

    def judge(value: str) -> BrokenForm | None:
        return None if shape.fullmatch(value) else _fault(RuleKind.FORM, english, chinese)

    return judge


def all_of(*forms: ValueForm) -> ValueForm:
    """A value that has every one of `forms`; the first form that it lacks is reported."""

    def judge(value: str) -> BrokenForm | None:
        return next((found for found in (one(value) for one in forms) if found is not None), None)

    return judge


def anything(_value: str) -> BrokenForm | None:
    """A value of any form, for a field whose form the bank's page does not give."""
    return None


@dataclass(frozen=True, slots=True)
class FieldRule:
    """The rule about one field of a request.

    `required`: the finding if the field is absent or empty; it may be a function of the other fields. `source` is the
    page's row. `refusal` is the bank's answer, if it differs from that of the operation. `reconstructed`: the row of
    the page is reconstructed. `rule` replaces the form's own kind, for fields outside the message (HEADER).
    """

    place: str
    form: ValueForm
    source: str
    required: bool | Callable[[FieldsOf], bool] = False
    refusal: BankRefusal | None = None
    reconstructed: bool = False
    rule: RuleKind | None = None

    def judged(self, fields: FieldsOf, prefix: str, otherwise: BankRefusal) -> Iterator[RequestFinding]:
        """The faults of this field in `fields`."""
        found = fields.texts(self.place)
        needed = self.required if isinstance(self.required, bool) else self.required(fields)
        if len(found) > 1:
            words = BothLanguages(f"stands {len(found)} times, may stand once", f"出现 {len(found)} 次，只能出现一次")
            yield self._finding(RuleKind.REPEATED, words, found[1], prefix, otherwise)
            return
        value = found[0] if found else ""
        if not value:
            if needed:
                words = BothLanguages(
                    "is required and empty" if found else "is required and absent",
                    "必填，但为空" if found else "必填，但缺少",
                )
                yield self._finding(RuleKind.MISSING, words, "", prefix, otherwise)
            return
        fault = self.form(value)
        if fault is not None:
            yield self._finding(fault.rule, fault.words, value, prefix, otherwise)

    def _finding(
        self, rule: RuleKind, words: BothLanguages, value: str, prefix: str, otherwise: BankRefusal
    ) -> RequestFinding:
        return RequestFinding(
            prefix + self.place,
            self.rule or rule,
            value[:_VALUE_CHARS_MAX],
            words,
            self.source,
            self.refusal or otherwise,
            self.reconstructed,
        )


@dataclass(frozen=True, slots=True)
class RowsRule:
    """The repeated part of a request: how many rows it may have, and the fields of each."""

    place: str
    fields: tuple[FieldRule, ...]
    source: str
    at_least: int = 0
    at_most: int | None = None
    refusal: BankRefusal | None = None
    reconstructed: bool = False

    def judged(self, fields: FieldsOf, prefix: str, otherwise: BankRefusal) -> Iterator[RequestFinding]:
        """The faults of the rows in `fields`."""
        rows = fields.rows(self.place)
        if len(rows) < self.at_least or (self.at_most is not None and len(rows) > self.at_most):
            span = f"{self.at_least} to {self.at_most}" if self.at_most is not None else f"at least {self.at_least}"
            words = BothLanguages(f"{len(rows)} rows, must be {span}", f"{len(rows)} 行，应为 {span}")
            yield RequestFinding(
                prefix + self.place,
                RuleKind.COUNT,
                str(len(rows)),
                words,
                self.source,
                self.refusal or otherwise,
                self.reconstructed,
            )
        for number, row in enumerate(rows, start=1):
            for one in self.fields:
                yield from one.judged(row, f"{prefix}{self.place}[{number}]/", otherwise)


@dataclass(frozen=True, slots=True)
class FieldContradiction:
    """The result of a broken rule over several fields: the field to name, its value, and the sentence."""

    place: str
    value: str
    english: str
    chinese: str


class HeldAccounts(Protocol):
    """The part of the bank's books that rules may read (`protocols.twin.Books` has it)."""

    def holder_of(self, account: str) -> str | None:
        """The name of the account's holder; None if the bank does not know the account."""


@dataclass(frozen=True, slots=True)
class TogetherRule:
    """A rule over several fields, or over fields and the bank's books. `check` returns the contradiction, or None."""

    check: Callable[[FieldsOf, HeldAccounts], FieldContradiction | None]
    source: str
    rule: RuleKind = RuleKind.TOGETHER
    refusal: BankRefusal | None = None
    reconstructed: bool = False

    def judged(self, fields: FieldsOf, books: HeldAccounts, otherwise: BankRefusal) -> Iterator[RequestFinding]:
        """The contradictions in `fields`."""
        found = self.check(fields, books)
        if found is not None:
            words = BothLanguages(found.english, found.chinese)
            value = found.value[:_VALUE_CHARS_MAX]
            yield RequestFinding(
                found.place, self.rule, value, words, self.source, self.refusal or otherwise, self.reconstructed
            )


@dataclass(frozen=True, slots=True)
class RequestRules:
    """The rules of one operation of a bank. `refusal` is the bank's answer to a mistake that has none of its own."""

    operation: str
    refusal: BankRefusal
    fields: tuple[FieldRule | RowsRule, ...] = ()
    together: tuple[TogetherRule, ...] = ()

    def findings(self, fields: FieldsOf, books: HeldAccounts) -> tuple[RequestFinding, ...]:
        """Every rule that the request breaks. Rules over several fields are judged only if each field has its form."""
        found = [one for rule in self.fields for one in rule.judged(fields, "", self.refusal)]
        if not found:
            found = [one for rule in self.together for one in rule.judged(fields, books, self.refusal)]
        return tuple(found)


def value(fields: FieldsOf, place: str) -> str:
    """The first text at `place`, or the empty text."""
    found = fields.texts(place)
    return found[0] if found else ""


def own_account(
    place: str, source: str, refusal: BankRefusal | None = None, *, reconstructed: bool = False
) -> TogetherRule:
    """The account at `place` must be one that the bank holds."""

    def check(fields: FieldsOf, books: HeldAccounts) -> FieldContradiction | None:
        number = value(fields, place)
        if not number or books.holder_of(number) is not None:
            return None
        return FieldContradiction(place, number, "is no account at this bank", "不是本行账户")

    return TogetherRule(check, source, RuleKind.BOOKS, refusal, reconstructed)


def own_name(
    account: str, name: str, source: str, refusal: BankRefusal | None = None, *, reconstructed: bool = False
) -> TogetherRule:
    """The name at `name`, if given, must be the name of the holder of the account at `account`, if the bank has that
    account."""

    def check(fields: FieldsOf, books: HeldAccounts) -> FieldContradiction | None:
        stated, holder = value(fields, name), books.holder_of(value(fields, account))
        if not stated or not holder or stated == holder:  # books may keep an account without a name
            return None
        return FieldContradiction(name, stated, "is not the name of the account's holder", "与账户户名不符")

    return TogetherRule(check, source, RuleKind.BOOKS, refusal, reconstructed)


def row_totals(
    rows: str,
    row_amount: str,
    count: str,
    total: str,
    source: str,
    refusal: BankRefusal | None = None,
    *,
    reconstructed: bool = False,
) -> TogetherRule:
    """The count at `count` and the sum at `total`, if given, must be those of the rows' `row_amount`."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        parts = fields.rows(rows)
        if value(fields, count) and value(fields, count).lstrip("0") != str(len(parts)):
            return FieldContradiction(
                count, value(fields, count), f"is not the number of rows, {len(parts)}", f"与行数 {len(parts)} 不符"
            )
        summed = sum(_hundredths(value(row, row_amount)) for row in parts)
        if value(fields, total) and _hundredths(value(fields, total)) != summed:
            shown = f"{summed // 100}.{summed % 100:02d}"
            return FieldContradiction(
                total, value(fields, total), f"is not the sum of the rows, {shown}", f"与各行合计 {shown} 不符"
            )
        return None

    return TogetherRule(check, source, RuleKind.TOGETHER, refusal, reconstructed)


def each_row(rows: str, rule: TogetherRule) -> TogetherRule:
    """The rule over several fields, asked of each row at `rows`; the first row that breaks it is reported."""

    def check(fields: FieldsOf, books: HeldAccounts) -> FieldContradiction | None:
        for number, row in enumerate(fields.rows(rows), start=1):
            found = rule.check(row, books)
            if found is not None:
                return FieldContradiction(f"{rows}[{number}]/{found.place}", found.value, found.english, found.chinese)
        return None

    return TogetherRule(check, rule.source, rule.rule, rule.refusal, rule.reconstructed)


def amounts_in_order(
    least: str, most: str, source: str, refusal: BankRefusal | None = None, *, reconstructed: bool = False
) -> TogetherRule:
    """The amount at `least` must not be above that at `most`, where both stand."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        low, high = value(fields, least), value(fields, most)
        if not low or not high or Decimal(low) <= Decimal(high):
            return None
        return FieldContradiction(least, low, f"is above the largest amount, {high}", f"大于金额上限 {high}")

    return TogetherRule(check, source, RuleKind.TOGETHER, refusal, reconstructed)


def no_row_twice(
    rows: str, key: str, source: str, refusal: BankRefusal | None = None, *, reconstructed: bool = False
) -> TogetherRule:
    """No two rows may have the same value at `key`."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        seen: set[str] = set()
        for number, row in enumerate(fields.rows(rows), start=1):
            stated = value(row, key)
            if stated and stated in seen:
                return FieldContradiction(
                    f"{rows}[{number}]/{key}", stated, "stands in another row too", "与另一行重复"
                )
            seen.add(stated)
        return None

    return TogetherRule(check, source, RuleKind.TOGETHER, refusal, reconstructed)


def days_in_order(
    first: str, last: str, source: str, refusal: BankRefusal | None = None, *, reconstructed: bool = False
) -> TogetherRule:
    """The date at `first` must not be after the date at `last`. Both must have the same form, in which texts sort like
    dates."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        begin, end = value(fields, first), value(fields, last)
        if begin and end and begin > end:
            return FieldContradiction(first, begin, f"is after the last day, {end}", f"晚于截止日期 {end}")
        return None

    return TogetherRule(check, source, RuleKind.TOGETHER, refusal, reconstructed)


def _hundredths(amount_text: str) -> int:
    found = _AMOUNT.fullmatch(amount_text)
    if found is None:
        return 0
    return int(found.group(1)) * 100 + int((found.group(2) or "").ljust(2, "0")[:2])


def _fault(rule: RuleKind, english: str, chinese: str) -> BrokenForm:
    return BrokenForm(rule, BothLanguages(english, chinese))
