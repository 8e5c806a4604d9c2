"""Statements of banks without a lane, from files: camt.053 in any version, or CSV with a mapping of its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256

from gateway.statements.rules.table_files import BadTable, TextTable, day_of, decoded, refuse_ruined, table
from protocols.canon.money import BadMoney, Money, exponent
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line
from protocols.kit import xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import account as camt
from protocols.kit.iso20022 import lines as camt_lines
from protocols.kit.iso20022.account import AccountReport

MOST_BYTES, _MOST_NODES = 16_777_216, 2_000_000
NAMES = (
    "id",
    "date",
    "direction",
    "amount",
    "credit",
    "debit",
    "counterparty_account",
    "counterparty_name",
    "text",
    "reference",
)
_MARKS = {".": ",", ",": "."}
_THOUSANDS = 3
_NOTHING = frozenset(("-", "--", "—"))
_NUMBERS = ("id", "counterparty_account", "reference")
_TOTALS = ("合计", "总计", "total")
_CREDIT_MARKS = ("credit", "cr", "c", "贷", "贷方", "收", "收入", "来账")
_DEBIT_MARKS = ("debit", "dr", "d", "借", "借方", "付", "支出", "往账")


class BadStatement(ValueError):
    """The file is no statement of this account; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class FileStatement:
    """The booked lines of a file, and the balances around them where the file states them."""

    lines: tuple[Line, ...]
    first: date | None = None
    last: date | None = None
    opening: Money | None = None
    closing: Money | None = None


def from_camt(data: bytes, account: str, currency: str) -> FileStatement:
    """A camt.053; its statements of this account, which must follow each other. Raises BadStatement."""
    try:
        told = camt.read_reports(xmldoc.parse(data, UTF8, max_bytes=MOST_BYTES, max_nodes=_MOST_NODES))
        reports = [one for one in told if one.account == account]
        seen = Counter[str]()
        found = [line for one in reports for line in camt_lines.lines(one, seen=seen)]
        lines = [replace(line, account=AccountNumber(account)) for line in found]
    except ProtocolError as error:
        raise BadStatement(f"it cannot be read as camt.053: {error}") from None
    if not reports:
        raise BadStatement(f"it has no statement of this account; there are {len(told)} of others")
    if any(one.kind != "camt.053" for one in reports):
        raise BadStatement(f"it is a {reports[0].kind}, but only a camt.053 has a day's closing balance")
    strange = next((line for line in lines if line.amount.currency != currency), None)
    if strange is not None:
        raise BadStatement(f"entry {strange.bank_line_id} is in {strange.amount.currency}, the account in {currency}")
    return _around(reports, tuple(lines))


def _around(reports: Sequence[AccountReport], lines: tuple[Line, ...]) -> FileStatement:
    opening, closing = reports[0].balance("OPBD", "PRCD"), reports[-1].balance("CLBD")
    days = [line.bank_date for line in lines]
    first = reports[0].first or (opening.on if opening else None) or min(days, default=None)
    last = (closing.on if closing else None) or reports[-1].last or max(days, default=None)
    before, after = (None if one is None else one.amount for one in (opening, closing))
    return FileStatement(lines, first, last, before, after)


def from_csv(
    data: bytes, account: str, currency: str, columns: Mapping[str, str], encoding: str, decimal: str = ""
) -> FileStatement:
    """A CSV with a heading. `columns` gives the file's own heading for each of NAMES that has another one there.

    An entry's amount is in `amount` with `direction` (credit or debit, 贷 or 借, C or D), or in one of `credit` and
    `debit`. Its decimal mark is `decimal`, a point or a comma, and the other one groups by thousands. If it is not
    declared, the mark is a point, and amounts that could be read in two ways are refused. Rows above the heading are
    not read. A row of totals is compared with the entries above it. Without an `id` the entry is identified by all its
    fields, and by its number among equal ones. An empty `encoding` is recognised. Raises BadStatement, which names the
    line.
    """
    taken = {name: columns.get(name, name) for name in NAMES}
    try:
        read = table(decoded(data, encoding), list(dict.fromkeys(taken[name] for name in ("date", *columns))))
        lines = _lines(read, taken, account, _Amounts(currency, decimal), [taken[name] for name in columns])
    except BadTable as error:
        raise BadStatement(str(error)) from None
    days = [line.bank_date for line in lines]
    return FileStatement(tuple(lines), min(days, default=None), max(days, default=None))


def _lines(
    read: TextTable, taken: Mapping[str, str], account: str, marks: _Amounts, declared: Sequence[str]
) -> list[Line]:
    heading = read.heading
    missing = [column for column in declared if column not in heading]
    if taken["date"] not in heading or missing:
        raise BadStatement(f"it has no column {missing[0] if missing else taken['date']}; it has {', '.join(heading)}")
    twice = next((column for column in taken.values() if heading.count(column) > 1), None)
    if twice is not None:
        raise BadStatement(f"it has two columns {twice}")
    seen, lines = Counter[str](), list[Line]()
    for place, cells in read.rows:
        row = dict(zip(heading, cells, strict=True))
        said = {name: row.get(column, "") for name, column in taken.items()}
        first = next(cell for cell in cells if cell)
        if first.casefold().startswith(_TOTALS) and said["date"] in ("", first):
            _compare_totals(said, place, lines, marks)
        elif any(said.values()):
            refuse_ruined(place, {taken[name]: said[name] for name in _NUMBERS})
            day = day_of(said["date"], place, taken["date"])
            lines.append(_line(said, place, account, marks, seen, day))
    return lines


def _compare_totals(said: Mapping[str, str], place: int, lines: Sequence[Line], marks: _Amounts) -> None:
    if said["amount"]:
        raise BadStatement(f"line {place}: a total of {said['amount']} does not say whether it is money in or out")
    for way in Direction:
        if not said[way.value] or said[way.value] in _NOTHING:
            continue
        total = marks.amount_of(said[way.value], place)
        above = Money(sum(one.amount.minor for one in lines if one.direction is way), total.currency)
        if total != above:
            raise BadStatement(f"line {place}: the total of {way.value} is {total}, the entries above it have {above}")


def _line(said: Mapping[str, str], place: int, account: str, marks: _Amounts, seen: Counter[str], day: date) -> Line:
    direction, amount = _amount(said, place, marks)
    key = said["id"] or sha256("\x1f".join(said.values()).encode()).hexdigest()[:24]
    occurrence = seen[key]
    seen[key] += 1
    if said["id"] and occurrence:
        raise BadStatement(f"line {place}: id {key} occurs twice")
    party, name = said["counterparty_account"], said["counterparty_name"]
    return Line(
        AccountNumber(account),
        key,
        direction,
        amount,
        day,
        counterparty_account=AccountNumber(party) if party else None,
        counterparty_name=Name(name) if name else None,
        text=said["text"],
        reference=said["reference"] or None,
        occurrence=occurrence,
    )


def _amount(said: Mapping[str, str], place: int, marks: _Amounts) -> tuple[Direction, Money]:
    told = {way: said[way.value] for way in Direction if said[way.value] and said[way.value] not in _NOTHING}
    found = {way: marks.amount_of(text, place) for way, text in told.items()}
    found = {way: amount for way, amount in found.items() if amount.minor}
    if not found and said["amount"]:
        mark = said["direction"].casefold()
        if mark not in (*_CREDIT_MARKS, *_DEBIT_MARKS):
            raise BadStatement(f"line {place}: direction is credit or debit (贷 or 借), not {said['direction']!r}")
        way = Direction.CREDIT if mark in _CREDIT_MARKS else Direction.DEBIT
        found = {way: marks.amount_of(said["amount"], place)}
    if len(found) != 1:
        raise BadStatement(f"line {place}: an entry has one amount, in or out; this one has {len(found)}")
    [one] = found.items()
    return one


class _Amounts:
    """Reads amounts with a decimal mark: `12.50`, `1,234.50`, or with a comma `12,50`, `1.234,50`."""

    def __init__(self, currency: str, decimal: str) -> None:
        if decimal not in ("", *_MARKS):
            raise BadStatement(f"a decimal mark is a point or a comma, not {decimal!r}")
        self._currency, self._declared = currency, bool(decimal)
        mark = decimal or "."
        group, digits = _MARKS[mark], exponent(currency)
        fraction = f"(?:{re.escape(mark)}([0-9]{{1,{digits}}}))?" if digits else "()"
        self._plain = re.compile(f"([0-9]+){fraction}")
        self._grouped = re.compile(f"([0-9]{{1,3}}(?:{re.escape(group)}[0-9]{{3}})+){fraction}")
        self._group = group

    def amount_of(self, text: str, place: int) -> Money:
        """The amount. Raises BadStatement."""
        plain, grouped = self._plain.fullmatch(text), self._grouped.fullmatch(text)
        if not self._declared and (
            (grouped and not grouped[2]) or (plain and len(plain[2] or "") == _THOUSANDS) or not (plain or grouped)
        ):
            raise BadStatement(
                f"line {place}: {text!r} is not an amount, or can be read in two ways: declare the decimal mark"
            )
        found = plain or grouped
        if found is None:
            raise BadStatement(f"line {place}: {text!r} is not an amount in {self._currency} with the declared mark")
        whole, fraction = found[1].replace(self._group, ""), found[2]
        try:
            return Money.parse(f"{whole}.{fraction}" if fraction else whole, self._currency)
        except BadMoney:
            raise BadStatement(
                f"line {place}: {text!r} is not an amount: it begins with 0 or has more than 15 digits"
            ) from None
