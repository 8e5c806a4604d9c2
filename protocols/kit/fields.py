"""Values in the forms of banks: amounts, dates, fixed-width fields counted in bytes, delimited rows."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Final, Literal

from protocols.kit.charset import Charset
from protocols.kit.errors import ProtocolError

DAYS_BEFORE: Final = timedelta(days=7)
DAYS_AFTER: Final = timedelta(days=30)
_XML_BLANKS: Final = " \t\r\n"
_AMOUNT = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,6}))?")
_DATE_SHAPES: Final = {
    "yyyyMMdd": re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})"),
    "yyyy-MM-dd": re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})"),
    "yyyy/MM/dd": re.compile(r"([0-9]{4})/([0-9]{2})/([0-9]{2})"),
}
_TIME_SHAPES: Final = {
    "HHmmss": re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})"),
    "HH:mm:ss": re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})"),
}
DateShape = Literal["yyyyMMdd", "yyyy-MM-dd", "yyyy/MM/dd"]
TimeShape = Literal["HHmmss", "HH:mm:ss"]


def amount_minor(text: str, *, decimals: int = 2, signed: bool = False) -> int:
    """A decimal amount as a whole number of minor units ("12.5" yuan is 1250 fen).

    ASCII digits only, at most 15 before the point; more decimals than the currency has are accepted only when
    they are zeros ("12.500"). No exponent, no plus, no separators; a minus only if `signed`. Raises "value".
    """
    found = _AMOUNT.fullmatch(text.strip(_XML_BLANKS))
    if found is None or (found.group(1) and not signed):
        raise ProtocolError("value", f"{text[:40]!r} is not an amount")
    sign, whole, part = found.group(1), found.group(2), found.group(3) or ""
    if part[decimals:].strip("0"):
        raise ProtocolError("value", f"{text[:40]!r} has more than {decimals} decimals")
    minor = int(whole + part[:decimals].ljust(decimals, "0"))
    return -minor if sign else minor


def amount_text(minor: int, *, decimals: int = 2) -> str:
    """Minor units as a decimal amount with exactly `decimals` places: 1250 is "12.50"."""
    sign, number = ("-" if minor < 0 else ""), str(abs(minor)).zfill(decimals + 1)
    return f"{sign}{number[:-decimals]}.{number[-decimals:]}" if decimals else sign + number


def digits(text: str, *, most: int = 18) -> int:
    """A count or an amount in fen: 1 to `most` ASCII digits, blanks around them ignored. Raises "value"."""
    bare = text.strip(_XML_BLANKS)
    if not (0 < len(bare) <= most and bare.isascii() and bare.isdigit()):
        raise ProtocolError("value", f"{text[:40]!r} is not a number of 1 to {most} digits")
    return int(bare)


def date_text(day: date, shape: DateShape = "yyyyMMdd") -> str:
    """A date as text in the bank's form `shape`."""
    separator = {"yyyyMMdd": "", "yyyy-MM-dd": "-", "yyyy/MM/dd": "/"}[shape]
    return separator.join((f"{day.year:04d}", f"{day.month:02d}", f"{day.day:02d}"))


def parse_date(text: str, shape: DateShape = "yyyyMMdd") -> date:
    """The date in a text that has exactly the form `shape`. Raises "value"."""
    found = _DATE_SHAPES[shape].fullmatch(text.strip(_XML_BLANKS))
    try:
        if found is not None:
            return date(int(found.group(1)), int(found.group(2)), int(found.group(3)))
    except ValueError:
        pass
    raise ProtocolError("value", f"{text[:40]!r} is not a date {shape}")


def check_day(stated: date | None, sent: date, reference: str) -> None:
    """Raises "correlation" if an answer states a day on which this payment cannot have been carried out.

    Accounting days differ from calendar days, and a bank may book some days later; another payment with the same
    reference would be months away. None: the answer states no day.
    """
    if stated is not None and not sent - DAYS_BEFORE <= stated <= sent + DAYS_AFTER:
        raise ProtocolError(
            "correlation", f"{reference}: the answer states the date {stated}, but the message was sent on {sent}"
        )


def months_after(day: date, months: int = 1) -> date:
    """The same day so many months later (earlier if below zero), or that month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def stated_day(text: str, shape: DateShape = "yyyyMMdd") -> date | None:
    """The date at the beginning of `text`. None if none can be read, because then nothing can be compared."""
    try:
        return parse_date(text.strip(_XML_BLANKS)[: len(shape)], shape)
    except ProtocolError:
        return None


def time_text(moment: time, shape: TimeShape = "HHmmss") -> str:
    """A time of day as text in the bank's form `shape`, without fractions of a second."""
    separator = ":" if ":" in shape else ""
    return separator.join((f"{moment.hour:02d}", f"{moment.minute:02d}", f"{moment.second:02d}"))


def parse_time(text: str, shape: TimeShape = "HHmmss") -> time:
    """The time of day in a text that has exactly the form `shape`. Raises "value"."""
    found = _TIME_SHAPES[shape].fullmatch(text.strip(_XML_BLANKS))
    try:
        if found is not None:
            return time(int(found.group(1)), int(found.group(2)), int(found.group(3)))
    except ValueError:
        pass
    raise ProtocolError("value", f"{text[:40]!r} is not a time {shape}")


def plain(text: str) -> str:
    """A bank's `text` without characters that could mislead a reader: control, bidirectional and zero-width ones.

    Each is replaced by U+FFFD, so that a payee's name cannot pose as another one nor break a log line or
    CSV row.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a fixed-width record. Kind "C" is text, left-aligned and padded with blanks; "N" is digits,
    right-aligned and padded with zeros."""

    name: str
    width: int
    kind: Literal["C", "N"] = "C"
    default: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a fixed-width record, with every width in bytes of the bank's charset."""

    columns: tuple[Column, ...]
    charset: Charset
    _defaults: dict[str, bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_defaults", {one.name: self._packed(one, one.default) for one in self.columns})
        assert len(self.columns) == len(self._defaults), "a layout names each field once"

    @property
    def width(self) -> int:
        """The number of bytes of a whole record."""
        return sum(column.width for column in self.columns)

    def place(self, name: str) -> tuple[int, int]:
        """(start, end) of a field in the record."""
        start = 0
        for column in self.columns:
            if column.name == name:
                return start, start + column.width
            start += column.width
        raise KeyError(name)

    def pack(self, values: Mapping[str, str]) -> bytes:
        """Build the record with `values`; fields that are not named take their default. Raises "value" on a value that
        does not fit."""
        defaults = self._defaults
        unknown = values.keys() - defaults.keys()
        assert not unknown, f"no such fields: {sorted(unknown)}"
        return b"".join(
            [
                self._packed(column, values[column.name]) if column.name in values else defaults[column.name]
                for column in self.columns
            ]
        )

    def _packed(self, column: Column, text: str) -> bytes:
        data = self.charset.encode(text)
        if len(data) > column.width:
            raise ProtocolError("value", f"field {column.name} takes {column.width} bytes, not {len(data)}")
        if column.kind == "C":
            return data.ljust(column.width, b" ")
        if text and not (text.isascii() and text.isdigit()):
            raise ProtocolError("value", f"field {column.name} takes digits only")
        return data.rjust(column.width, b"0")

    def unpack(self, record: bytes) -> dict[str, str]:
        """Every field of a record as text, without padding on both sides; numbers keep their leading zeros.

        A text field may end in half a character (banks cut by bytes); the half is dropped. Raises
        "frame_length" on a record of another size, "charset" on bytes that are no text.
        """
        if len(record) != self.width:
            raise ProtocolError("frame_length", f"the record has {len(record)} bytes, the layout has {self.width}")
        fields: dict[str, str] = {}
        start = 0
        for column in self.columns:
            data = record[start : start + column.width]
            fields[column.name] = self.charset.decode_cut(data).strip(" ")
            start += column.width
        return fields


@dataclass(frozen=True, slots=True)
class Delimited:
    """The form of rows inside one text node: fields are cut by `separator`, rows by `row_separator`.

    `trailing`: every row also ends with a separator. Without `columns` any number of fields is read.
    """

    separator: str = "|"
    row_separator: str = "\n"
    trailing: bool = False
    columns: int | None = None

    def joined_rows(self, rows: Iterable[Sequence[str]]) -> str:
        """The text of `rows`. Raises "value" if a field holds a separator or a row has another size."""
        return self.row_separator.join(self._row_text(row) for row in rows)

    def _row_text(self, row: Sequence[str]) -> str:
        if self.columns is not None and len(row) != self.columns:
            raise ProtocolError("value", f"the row has {len(row)} fields, not {self.columns}")
        for cell in row:
            if self.separator in cell or self.row_separator in cell:
                raise ProtocolError("value", f"a field holds the separator {self.separator!r} or a line end")
        return self.separator.join(row) + (self.separator if self.trailing else "")

    def split_rows(self, text: str) -> list[list[str]]:
        """The rows of `text`; blank rows are skipped, CR before LF is dropped. Raises "value" on a wrong size."""
        rows: list[list[str]] = []
        for number, line in enumerate(text.split(self.row_separator), start=1):
            bare = line.rstrip("\r")
            if not bare.strip(_XML_BLANKS):
                continue
            cells = bare.split(self.separator)
            if self.trailing and cells[-1] == "":
                cells.pop()
            if self.columns is not None and len(cells) != self.columns:
                raise ProtocolError("value", f"row {number} has {len(cells)} fields, not {self.columns}")
            rows.append(cells)
        return rows
