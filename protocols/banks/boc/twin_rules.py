"""The rules of 中国银行's front end for each field of a request, transcribed from the bank's page (banks/boc.md).

The adapter never reads them. The page lists few codes, and none for a message of the wrong form. Codes that begin with
TW are the twin's own, so every refusal with one of them is reconstructed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from lxml import etree

from protocols.judge import (
    BankRefusal,
    BothLanguages,
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
    row_totals,
    text,
    value,
)
from protocols.kit.fields import months_after

UNFIT: Final = BankRefusal("TW00", "报文格式错误", reconstructed=True)
NOT_HELD: Final = BankRefusal("TW07", "账号不存在", reconstructed=True)
NOT_SIGNED_ON: Final = BankRefusal("B107", "令牌无效")
NO_PAGE: Final = BankRefusal("404", "Not Found", reconstructed=True)
"""How an HTTP server answers a path that it does not have."""

PATH: Final = "/B2EC/E2BServlet"

_URL: Final = "boc.md 1, URL"
_HEAD: Final = "boc.md 2, head"
_ROOT: Final = "boc.md 2, envelope"
_SIGN_ON: Final = "boc.md 2.1"
_BALANCE: Final = "boc.md 2.2"
_ACCOUNT: Final = "boc.md 2.2, ibknum"
_ENTRIES: Final = "boc.md 2.3"
_PAY: Final = "boc.md 2.4"
_PERSON: Final = "boc.md 2.5"
_PAYROLL: Final = "boc.md 2.6"
_KIND: Final = "boc.md 2.6 and 9.1, crdtyp"
_STATUS: Final = "boc.md 2.7"
_RECEIPT: Final = "boc.md 2.8"
_SIZES: Final = "boc.md 2.4, lengths"
_KEY: Final = "boc.md 5, Idempotency"
_AMOUNTS: Final = "boc.md 2.4, trnamt, and 5, Amounts"
_ROWS_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class AskedFields:
    """The fields of one request, each under the path that the rules use for it.

    `around` holds the HTTP fields as `http/…` and the bank's own values as `bank/…`. A path that begins with `head` or
    `@` (an attribute) starts at the document's root; every other path starts at `trn-CODE-rq`.
    """

    around: Mapping[str, str]
    document: XmlFields | None = None
    trn: XmlFields | None = None

    def texts(self, place: str) -> Sequence[str]:
        """Every text at `place`."""
        if place in self.around:
            return [self.around[place].strip()]
        within = self.document if place.startswith(("head/", "@")) else self.trn
        return [] if within is None else within.texts(place)

    def rows(self, place: str) -> Sequence[FieldsOf]:
        """The rows at `place`."""
        return [] if self.trn is None else self.trn.rows(place)


def _needed(place: str, form: ValueForm, source: str, *, reconstructed: bool = False) -> FieldRule:
    return FieldRule(place, form, source, required=True, reconstructed=reconstructed)


def _may(source: str, *places: str, form: ValueForm = anything, reconstructed: bool = False) -> tuple[FieldRule, ...]:
    return tuple(FieldRule(place, form, source, reconstructed=reconstructed) for place in places)


# ---- forms -------------------------------------------------------------------------------------------------------

_DAY: Final = moment("%Y%m%d")
_BRANCH: Final = digits(5)
_OWN: Final = text(35, alphabet="[0-9A-Za-z]", takes="0-9 A-Z a-z")
_OTHER: Final = text(35, alphabet="[0-9A-Za-z-]", takes="0-9 A-Z a-z -")
_NAME: Final = text(70)
_USAGE: Final = text(80)
_INSID: Final = text(20, alphabet="[0-9A-Za-z]", takes="0-9 A-Z a-z")
_YUAN: Final = amount(15, 2)
_YUAN_OR_NONE: Final = amount(15, 2, zero=True)
_CURRENCY: Final = one_of("CNY", "001")
_YES_NO: Final = one_of("0", "1")
_WORD: Final = pattern("[0-9A-Za-z]+", "takes letters and digits", "只能是字母和数字")
_ROUTE: Final = pattern("[0-9]{12}|[0-9]{5}", "is neither 12 nor 5 digits", "不是 12 位或 5 位数字")
_COUNT: Final = digits(1, 8)

# ---- the envelope ------------------------------------------------------------------------------------------------

HTTP: Final = RequestRules(
    "http",
    NO_PAGE,
    (
        FieldRule("http/method", one_of("POST"), _URL, required=True, rule=RuleKind.HEADER),
        FieldRule("http/path", one_of(PATH), _URL, required=True, rule=RuleKind.HEADER),
    ),
)
"""The rules of the HTTP request."""


def _later(fields: FieldsOf) -> bool:
    return value(fields, "head/trncod") != "b2e0001"


ENVELOPE: Final = RequestRules(
    "envelope",
    UNFIT,
    (
        _needed("@version", one_of("100", "110", "120"), _ROOT, reconstructed=True),
        _needed("@security", one_of("true"), _ROOT, reconstructed=True),
        *_may(_ROOT, "@lang", form=one_of("chs")),
        *_may(_ROOT, "@locale", form=one_of("zh_CN")),
        _needed("head/termid", pattern("E[0-9]{12}", "is not E and 12 digits", "不是 E 加 12 位数字"), _HEAD),
        _needed("head/trnid", _WORD, _HEAD, reconstructed=True),
        _needed("head/custid", _WORD, _HEAD, reconstructed=True),
        _needed("head/cusopr", _WORD, _HEAD, reconstructed=True),
        _needed("head/trncod", anything, _HEAD),
        FieldRule(
            "head/token",
            text(64, alphabet="[!-~]", takes="printable characters"),
            "boc.md 1, session",
            required=_later,
            refusal=NOT_SIGNED_ON,
        ),
    ),
)
"""The rules of `bocb2e` and its head, in every request."""


# ---- rules over several fields -----------------------------------------------------------------------------------


def _day(stated: str) -> date:
    return datetime.strptime(stated, "%Y%m%d").date()


def _window(rows: str, place: str) -> TogetherRule:
    """The payment's day must be today or within a month."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        today = _day(value(fields, "bank/today"))
        for number, row in enumerate(fields.rows(rows), 1):
            stated = value(row, place)
            if not today <= _day(stated) <= months_after(today):
                words = f"is not from today, {today:%Y%m%d}, to a month later", f"不在当日 {today:%Y%m%d} 起一个月内"
                return FieldContradiction(f"{rows}[{number}]/{place}", stated, *words)
        return None

    return TogetherRule(check, "boc.md 2.4, trfdate")


def _period(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    """The days that the type of list has."""
    row = fields.rows("b2e0035-rq")[0]
    kind, begin, end = value(row, "type"), value(row, "datescope/from"), value(row, "datescope/to")
    first, last, today = _day(begin), _day(end), _day(value(fields, "bank/today"))
    if kind == "2001" and not first == last == today:
        words = f"is not today, {today:%Y%m%d}, which type 2001 is about", f"类型 2001 只能查当日 {today:%Y%m%d}"
        return FieldContradiction("b2e0035-rq[1]/datescope/from", begin, *words)
    if kind == "2002" and first < months_after(today, -12):
        words = "is more than a year ago", "早于一年前"
        return FieldContradiction("b2e0035-rq[1]/datescope/from", begin, *words)
    if kind == "2002" and last > months_after(first):
        words = "ends a period of more than one month", "查询区间超过一个月"
        return FieldContradiction("b2e0035-rq[1]/datescope/to", end, *words)
    return None


def _before_today(place: str) -> TogetherRule:
    """The last day of a question about the past must be over; today has a question of its own."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        name, _, path = place.partition("/")
        row, today = fields.rows(name)[0], value(fields, "bank/today")
        end = value(row, path)
        if value(row, "type") == "2001" or end < today:
            return None
        words = f"is not before today, {today}", f"不早于当日 {today}"
        return FieldContradiction(f"{name}[1]/{path}", end, *words)

    return TogetherRule(check, _ENTRIES, reconstructed=True)


def _province(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    kind = value(fields.rows("b2e0078-rq")[0], "crdtyp")
    for number, line in enumerate(fields.rows("b2e0078-rq/detail"), 1):
        stated = value(line, "toibkn")
        place = f"b2e0078-rq/detail[{number}]/toibkn"
        if kind == "6" and len(stated) != 12:
            return FieldContradiction(
                place, stated, "must have 12 digits under crdtyp 6", "crdtyp 为 6 时应为 12 位行号"
            )
        if kind == "7" and len(stated) not in (0, 2):
            words = (
                "must be the province's two digits under crdtyp 7, or empty",
                "crdtyp 为 7 时应为 2 位省行代码或为空",
            )
            return FieldContradiction(place, stated, *words)
    return None


# ---- orders ------------------------------------------------------------------------------------------------------

_PAID: Final = (
    _needed("insid", _INSID, _KEY, reconstructed=True),
    *_may(_PAY, "obssid"),
    _needed("fractn/fribkn", _BRANCH, _ACCOUNT),
    _needed("fractn/actacn", _OWN, _PAY, reconstructed=True),
    _needed("fractn/actnam", _NAME, _SIZES),
    _needed("toactn/toibkn", _ROUTE, "boc.md 2.4, routing by toibkn", reconstructed=True),
    _needed("toactn/actacn", _OTHER, _SIZES),
    _needed("toactn/toname", _NAME, _SIZES),
    *_may(_SIZES, "toactn/toaddr", "toactn/tobknm", form=_NAME),
    _needed("trnamt", _YUAN, _AMOUNTS),
    _needed("trncur", _CURRENCY, "boc.md 2.4, trncur"),
    _needed("priolv", _YES_NO, "boc.md 2.4, priolv"),
    *_may(_SIZES, "furinfo", form=_USAGE),
    _needed("trfdate", _DAY, "boc.md 2.4, trfdate"),
    *_may(_PAY, "trftime", form=moment("%H%M%S"), reconstructed=True),
    *_may(_PAY, "comacn", form=_OWN, reconstructed=True),
)
_TO_PERSON: Final = (
    _needed("toactn/acttyp", one_of("119", "101", "188"), _PERSON),
    _needed("bocflag", anything, _PERSON),
    *_may(_PERSON, "cuspriolv", form=_YES_NO, reconstructed=True),
)
_BEFORE_ROWS: Final = (
    *_may("boc.md 3", "ceitinfo"),
    *_may("boc.md 2.4, transtype", "transtype", form=one_of("1", "2")),
)


def _payments(code: str, more: tuple[FieldRule, ...], source: str) -> RequestRules:
    rows = f"{code}-rq"
    return RequestRules(
        code,
        UNFIT,
        (*_BEFORE_ROWS, RowsRule(rows, (*_PAID, *more), source, 1, _ROWS_MOST)),
        (
            _window(rows, "trfdate"),
            no_row_twice(rows, "insid", _KEY),
            each_row(rows, own_account("fractn/actacn", _PAY, NOT_HELD)),
            each_row(rows, own_name("fractn/actacn", "fractn/actnam", _PAY, reconstructed=True)),
        ),
    )


_WAGE: Final = (
    *_may(_PAYROLL, "toibkn", form=digits(2, 12)),
    *_may(_PAYROLL, "tobank", form=_NAME, reconstructed=True),
    _needed("toactn", _OTHER, _PAYROLL, reconstructed=True),
    _needed("pydcur", _CURRENCY, _PAYROLL),
    _needed("pydamt", _YUAN, _AMOUNTS),
    _needed("toname", _NAME, _PAYROLL, reconstructed=True),
    *_may(_PAYROLL, "toidtp", "toidet", "furinfo", "purpose", "reserve1", "reserve2", "reserve3", "reserve4"),
)
_PAYROLL_RULES: Final = RequestRules(
    "b2e0078",
    UNFIT,
    (
        *_BEFORE_ROWS,
        RowsRule(
            "b2e0078-rq",
            (
                _needed("insid", _INSID, _KEY, reconstructed=True),
                _needed("fractn/fribkn", _BRANCH, _ACCOUNT),
                _needed("fractn/actacn", _OWN, _PAYROLL, reconstructed=True),
                *_may(_PAYROLL, "fractn/actnam", form=_NAME, reconstructed=True),
                _needed("pybcur", _CURRENCY, _PAYROLL),
                _needed("pybamt", _YUAN, _AMOUNTS),
                _needed("pybnum", _COUNT, _PAYROLL),
                _needed("crdtyp", one_of("5", "6", "7"), _KIND),
                _needed(
                    "furinfo",
                    pattern("[0-9A-Z]{2}", "is no usage code such as G8", "不是 G8 形式的用途代码"),
                    _PAYROLL,
                    reconstructed=True,
                ),
                *_may(_PAYROLL, "useinf"),
                _needed("trfdate", _DAY, _PAYROLL),
            ),
            "boc.md 2.6, one insid a message",
            1,
            1,
        ),
        RowsRule("b2e0078-rq/detail", _WAGE, _PAYROLL, 1),
    ),
    (
        row_totals("b2e0078-rq/detail", "pydamt", "b2e0078-rq/pybnum", "b2e0078-rq/pybamt", _PAYROLL),
        _window("b2e0078-rq", "trfdate"),
        TogetherRule(_province, _KIND, reconstructed=True),
        each_row("b2e0078-rq", own_account("fractn/actacn", _PAYROLL, NOT_HELD)),
        each_row("b2e0078-rq", own_name("fractn/actacn", "fractn/actnam", _PAYROLL, reconstructed=True)),
    ),
)

# ---- questions ---------------------------------------------------------------------------------------------------

_SIGNED_ON: Final[tuple[FieldRule | RowsRule, ...]] = (
    *_may(_SIGN_ON, "ceitinfo"),
    RowsRule(
        "b2e0001-rq",
        (
            _needed("custdt", moment("%Y%m%d%H%M%S"), _SIGN_ON),
            _needed("oprpwd", anything, _SIGN_ON),
            *_may(_SIGN_ON, "ceitinfo", "usbkey"),
        ),
        _SIGN_ON,
        1,
        1,
    ),
)
_LIST: Final = RowsRule(
    "b2e0035-rq",
    (
        _needed("ibknum", _BRANCH, _ACCOUNT),
        _needed("actacn", _OWN, _ENTRIES, reconstructed=True),
        _needed("type", one_of("2001", "2002", "2005"), "boc.md 2.3, type"),
        _needed("datescope/from", _DAY, _ENTRIES),
        _needed("datescope/to", _DAY, _ENTRIES),
        *_may(_ENTRIES, "amountscope/from", "amountscope/to", form=_YUAN_OR_NONE),
        _needed("begnum", _COUNT, "boc.md 2.3, begnum"),
        _needed("begnum", pattern("0*[1-9][0-9]*", "begins at 1", "从 1 开始"), "boc.md 2.3, begnum"),
        *_may(
            "boc.md 2.3, recnum",
            "recnum",
            form=pattern(
                "0[1-9]|[1-4][0-9]|50", "is no number of two digits from 01 to 50", "不是 01 至 50 的两位数字"
            ),
        ),
        *_may("boc.md 2.3, direction", "direction", form=one_of("0", "1", "2", "3", "4", "5")),
    ),
    _ENTRIES,
    1,
    1,
)


def _either(fields: FieldsOf) -> bool:
    return not value(fields, "obssid")


_ABOUT_ACCOUNT: Final = (
    _needed("account/ibknum", _BRANCH, _ACCOUNT),
    _needed("account/actacn", _OWN, _BALANCE, reconstructed=True),
)
_RECEIPT_ACCOUNT: Final = "multidata/confirmdata/actacn"

RULES: Final[Mapping[str, RequestRules]] = {
    one.operation: one
    for one in (
        RequestRules("b2e0001", UNFIT, _SIGNED_ON),
        RequestRules(
            "b2e0002",
            UNFIT,
            (
                FieldRule("ceitinfo", anything, "boc.md 3"),
                RowsRule(
                    "b2e0002-rq",
                    (_needed("custdt", moment("%Y%m%d%H%M%S"), "boc.md 4, sign-off", reconstructed=True),),
                    _ROOT,
                    1,
                    1,
                ),
            ),
        ),
        RequestRules(
            "b2e0005",
            UNFIT,
            (RowsRule("b2e0005-rq", _ABOUT_ACCOUNT, _BALANCE, 1),),
            (each_row("b2e0005-rq", own_account("account/actacn", _BALANCE, NOT_HELD)),),
        ),
        RequestRules(
            "b2e0012",
            UNFIT,
            (
                RowsRule(
                    "b2e0012-rq",
                    (
                        *_ABOUT_ACCOUNT,
                        _needed("datescope/from", _DAY, _BALANCE, reconstructed=True),
                        _needed("datescope/to", _DAY, _BALANCE, reconstructed=True),
                    ),
                    _BALANCE,
                    1,
                    1,
                ),
            ),
            (
                each_row("b2e0012-rq", own_account("account/actacn", _BALANCE, NOT_HELD)),
                each_row("b2e0012-rq", days_in_order("datescope/from", "datescope/to", _BALANCE)),
            ),
        ),
        RequestRules(
            "b2e0035",
            UNFIT,
            (_LIST,),
            (
                each_row("b2e0035-rq", own_account("actacn", _ENTRIES, NOT_HELD)),
                each_row("b2e0035-rq", days_in_order("datescope/from", "datescope/to", _ENTRIES)),
                TogetherRule(_period, "boc.md 2.3, type"),
                _before_today("b2e0035-rq/datescope/to"),
                each_row(
                    "b2e0035-rq", amounts_in_order("amountscope/from", "amountscope/to", _ENTRIES, reconstructed=True)
                ),
            ),
        ),
        RequestRules(
            "b2e0007",
            UNFIT,
            (
                RowsRule(
                    "b2e0007-rq",
                    (FieldRule("insid", _INSID, _STATUS, required=_either), *_may(_STATUS, "obssid")),
                    _STATUS,
                    1,
                ),
            ),
        ),
        _payments("b2e0009", (), _PAY),
        _payments("b2e0061", _TO_PERSON, _PERSON),
        _PAYROLL_RULES,
        RequestRules(
            "b2e0500",
            UNFIT,
            (
                RowsRule(
                    "b2e0500-rq",
                    (
                        *_may(_RECEIPT, "tratype", "domaccount/transact", "domaccount/transname"),
                        *_may(_RECEIPT, "insid", form=_INSID, reconstructed=True),
                        *_may(_RECEIPT, "amtscope/minamt", "amtscope/maxamt", form=_YUAN_OR_NONE),
                        _needed("datescope/from", _DAY, _RECEIPT, reconstructed=True),
                        _needed("datescope/to", _DAY, _RECEIPT, reconstructed=True),
                        _needed(_RECEIPT_ACCOUNT, _OWN, _RECEIPT, reconstructed=True),
                        _needed("multidata/confirmdata/ibknum", _BRANCH, _ACCOUNT),
                    ),
                    _RECEIPT,
                    1,
                    1,
                ),
            ),
            (
                each_row("b2e0500-rq", own_account(_RECEIPT_ACCOUNT, _RECEIPT, NOT_HELD)),
                each_row("b2e0500-rq", days_in_order("datescope/from", "datescope/to", _RECEIPT)),
                each_row(
                    "b2e0500-rq", amounts_in_order("amtscope/minamt", "amtscope/maxamt", _RECEIPT, reconstructed=True)
                ),
            ),
        ),
    )
}
"""The rules of each operation, by its trncod."""


@dataclass(frozen=True, slots=True)
class StrangePart:
    """A part of a message that the page does not have, with the kind of rule that it breaks."""

    place: str
    rule: RuleKind
    text: str
    words: BothLanguages


_UNKNOWN: Final = BothLanguages("is no element of this operation", "不是该交易的要素")
_TWICE: Final = BothLanguages("stands more than once, may stand once", "重复出现，只能出现一次")
_BARE: Final = BothLanguages("has text between its elements", "要素之间有多余文字")


def strange_parts(root: etree._Element, code: str) -> Iterator[StrangePart]:
    """The parts of a message that the page does not have: an element of another name or in another place, one that
    repeats, bare text.

    An element without elements of its own that repeats is left to the rule of its field. Places of the head and of
    `trans` begin at the root, all others in `trn-CODE-rq`.
    """
    rows = {one.place for one in RULES[code].fields if isinstance(one, RowsRule)}
    inside = [one.place for one in RULES[code].fields]
    inside += [
        f"{one.place}/{it.place}" for one in RULES[code].fields if isinstance(one, RowsRule) for it in one.fields
    ]
    trn = f"trans/trn-{code}-rq"
    paths = [one.place for one in ENVELOPE.fields if not one.place.startswith("@")]
    paths += [f"{trn}/{one}" for one in inside]
    above = {"/".join(parts[:n]) for parts in (one.split("/") for one in paths) for n in range(len(parts))}
    numbered, known = {f"{trn}/{one}" for one in rows}, {*paths, *above}

    def walk(element: etree._Element, path: str, shown: str) -> Iterator[StrangePart]:
        stated = "".join((element.text or "", *(child.tail or "" for child in element))).strip()
        if path in above and stated:
            yield StrangePart(shown or "bocb2e", RuleKind.FRAME, stated, _BARE)
        counts = Counter[str]()
        for child in element:
            name = etree.QName(child).localname
            counts[name] += 1
            below = f"{path}/{name}".lstrip("/")
            place = f"{shown}/{name}".lstrip("/") if path != trn else name
            if below in numbered:
                place += f"[{counts[name]}]"
            if below not in known:
                yield StrangePart(place, RuleKind.FRAME, "", _UNKNOWN)
            elif below in above and below not in numbered and counts[name] > 1:
                yield StrangePart(place, RuleKind.REPEATED, "", _TWICE)
            else:
                yield from walk(child, below, place)

    return walk(root, "", "")
