"""Statements of banks without a lane, from files: camt.053 in any version, or CSV with a mapping of its columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from hashlib import sha256

from protocols.canon.money import Money, exponent
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
_SHORT, _LONG = "\0short", "\0long"
_DATES = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%d.%m.%Y")


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

    An entry's amount is in `amount` with `direction` (credit or debit), or in one of `credit` and `debit`. Its decimal
    mark is `decimal`, a point or a comma, and the other one groups by thousands. If it is not declared, the mark is a
    point, and amounts that could be read in two ways are refused. Without an `id` the entry is identified by all its
    fields, and by its number among equal ones. Raises BadStatement, which names the line.
    """
    try:
        reader = csv.DictReader(io.StringIO(data.decode(encoding), newline=""), restval=_SHORT, restkey=_LONG)
        heading = list(reader.fieldnames or ())
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, LookupError, csv.Error) as error:
        raise BadStatement(f"it cannot be read as CSV in {encoding}: {error}") from None
    taken = {name: columns.get(name, name) for name in NAMES}
    missing = [taken[name] for name in columns if taken[name] not in heading]
    if taken["date"] not in heading or missing:
        raise BadStatement(f"it has no column {missing[0] if missing else taken['date']}; it has {', '.join(heading)}")
    twice = next((column for column in taken.values() if heading.count(column) > 1), None)
    if twice is not None:
        raise BadStatement(f"it has two columns {twice}")
    seen, marks = Counter[str](), _Amounts(currency, decimal)
    lines = []
    for place, row in rows:
        if _LONG in row or _SHORT in row.values():
            raise BadStatement(f"line {place} does not have as many cells as the heading")
        said = {name: row.get(column, "").strip() for name, column in taken.items()}
        if any(said.values()):
            lines.append(_line(said, place, account, marks, seen))
    days = [line.bank_date for line in lines]
    return FileStatement(tuple(lines), min(days, default=None), max(days, default=None))


def _line(said: Mapping[str, str], place: int, account: str, marks: _Amounts, seen: Counter[str]) -> Line:
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
        _date(said["date"], place),
        counterparty_account=AccountNumber(party) if party else None,
        counterparty_name=Name(name) if name else None,
        text=said["text"],
        reference=said["reference"] or None,
        occurrence=occurrence,
    )


def _amount(said: Mapping[str, str], place: int, marks: _Amounts) -> tuple[Direction, Money]:
    found = {way: marks.amount_of(said[way.value], place) for way in Direction if said[way.value]}
    found = {way: amount for way, amount in found.items() if amount.minor}
    if not found and said["amount"]:
        way = next((way for way in Direction if way.value == said["direction"]), None)
        if way is None:
            raise BadStatement(f"line {place}: direction is credit or debit, not {said['direction']!r}")
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
        return Money.parse(f"{whole}.{fraction}" if fraction else whole, self._currency)


def _date(text: str, place: int) -> date:
    for form in _DATES:
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    raise BadStatement(f"line {place}: {text!r} is not a date such as 2026-11-30, 20261130, 2026/11/30 or 30.11.2026")
