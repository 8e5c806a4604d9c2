"""Statements of banks without a lane, from files: camt.053 in any version, or CSV with a mapping of its columns."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from hashlib import sha256

from protocols.canon.money import BadMoney, Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line
from protocols.kit import xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import account as camt
from protocols.kit.iso20022 import lines as camt_lines
from protocols.kit.iso20022.account import AccountReport

MOST_BYTES, _MOST_NODES = 16_777_216, 2_000_000
NAMES = ("id", "date", "direction", "amount", "credit", "debit", "counterparty_account", "counterparty_name", "text",
         "reference")  # fmt: skip
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
        told = camt.read(xmldoc.parse(data, UTF8, max_bytes=MOST_BYTES, max_nodes=_MOST_NODES))
        reports = [one for one in told if one.account == account]
        seen = Counter[str]()
        found = [line for one in reports for line in camt_lines.lines(one, seen=seen)]
        lines = [replace(line, account=AccountNumber(account)) for line in found]
    except ProtocolError as error:
        raise BadStatement(f"it cannot be read as camt.053: {error}") from None
    if not reports:
        raise BadStatement(f"it has no statement of this account; there are {len(told)} of others")
    if any(one.kind != "camt.053" for one in reports):
        raise BadStatement(f"it is a {reports[0].kind}, and only a camt.053 has a day's closing balance")
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


def from_csv(data: bytes, account: str, currency: str, columns: Mapping[str, str], encoding: str) -> FileStatement:
    """A CSV with a heading. `columns` names the file's heading of each of NAMES where it is another.

    An entry's amount is `amount` with `direction` (credit or debit), or stands in one of `credit` and `debit`. Without
    an `id` the entry is known by all that it says, and by its number among those alike. Raises BadStatement.
    """
    try:
        reader = csv.DictReader(io.StringIO(data.decode(encoding), newline=""))
        heading = reader.fieldnames or []
        rows = list(reader)
    except (UnicodeDecodeError, LookupError, csv.Error) as error:
        raise BadStatement(f"it cannot be read as CSV in {encoding}: {error}") from None
    taken = {name: columns.get(name, name) for name in NAMES}
    missing = [taken[name] for name in columns if taken[name] not in heading]
    if taken["date"] not in heading or missing:
        raise BadStatement(f"it has no column {missing[0] if missing else taken['date']}; it has {', '.join(heading)}")
    seen = Counter[str]()
    lines = []
    for place, row in enumerate(rows, 2):
        said = {name: (row.get(column) or "").strip() for name, column in taken.items()}
        if any(said.values()):
            lines.append(_line(said, place, account, currency, seen))
    days = [line.bank_date for line in lines]
    return FileStatement(tuple(lines), min(days, default=None), max(days, default=None))


def _line(said: Mapping[str, str], place: int, account: str, currency: str, seen: Counter[str]) -> Line:
    direction, amount = _amount(said, place, currency)
    key = said["id"] or sha256("\x1f".join(said.values()).encode()).hexdigest()[:24]
    occurrence = seen[key]
    seen[key] += 1
    if said["id"] and occurrence:
        raise BadStatement(f"line {place}: id {key} stands twice")
    party, name = said["counterparty_account"], said["counterparty_name"]
    return Line(
        AccountNumber(account), key, direction, amount, _date(said["date"], place),
        counterparty_account=AccountNumber(party) if party else None, counterparty_name=Name(name) if name else None,
        text=said["text"], reference=said["reference"] or None, occurrence=occurrence,
    )  # fmt: skip


def _amount(said: Mapping[str, str], place: int, currency: str) -> tuple[Direction, Money]:
    given = {way: said[way.value].replace(",", "") for way in Direction}
    found = {way: text for way, text in given.items() if text and text.strip("0.")}
    if not found and said["amount"]:
        try:
            found = {Direction(said["direction"]): said["amount"].replace(",", "")}
        except ValueError:
            raise BadStatement(f"line {place}: direction is credit or debit, not {said['direction']!r}") from None
    if len(found) != 1:
        raise BadStatement(f"line {place}: an entry has one amount, in or out; this one has {len(found)}")
    [(way, text)] = found.items()
    try:
        return way, Money.parse(text, currency)
    except BadMoney as error:
        raise BadStatement(f"line {place}: {error}") from None


def _date(text: str, place: int) -> date:
    for form in _DATES:
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    raise BadStatement(f"line {place}: {text!r} is no date as 2026-11-30, 20261130, 2026/11/30 or 30.11.2026")
