"""MT940 customer statements from files: pages in order, every balance checked by addition, a clear message for each
fault.

The form is the public one of the message: fields `:20: :25: :28C: :60F:/:60M: :61: :86: :62F:/:62M: :64:`, marks C, D,
RC and RD, a decimal comma. Files hold one message after the other, each with or without blocks `{1:}{2:}{4:` around it.
`:86:` may be structured by `?20` to `?63` as German banks do; else it is text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256

from gateway.statements.rules.statement_files import MOST_BYTES, BadStatement, FileStatement
from protocols.canon.money import Money, exponent
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line

_FIELD = re.compile(r":([0-9]{2}[A-Z]?):(.*)", re.DOTALL)
_KNOWN = frozenset({"20", "21", "25", "25P", "28", "28C", "60F", "60M", "61", "62F", "62M", "64", "65", "86"})
_BALANCE = re.compile(r"([CD])([0-9]{6})([A-Z]{3})([0-9]{1,14},[0-9]*)")
_ENTRY = re.compile(r"([0-9]{6})([0-9]{4})?(R?[CD])([A-Z])?([0-9]{1,14},[0-9]*)([SNF][A-Z0-9]{3})(.*)")
_NUMBER = re.compile(r"([0-9]{1,5})(?:/([0-9]{1,5}))?")
_STRUCTURED = re.compile(r"[0-9]{3}\?[0-9]{2}")
_NO_REFERENCE = frozenset({"", "NONREF"})
_CENTURY, _PIVOT = 2000, 80
_REVERSAL = "冲正"
_LONGEST = 128


@dataclass(frozen=True, slots=True)
class _Field:
    tag: str
    text: str
    place: int


@dataclass(frozen=True, slots=True)
class _Balance:
    is_final: bool
    on: date
    money: Money
    place: int


@dataclass(slots=True)
class _Page:
    """One MT940 message of a statement. `entries` are its `:61:` fields, each with the `:86:` that follows it."""

    number: str
    place: int
    opening: _Balance
    closing: _Balance
    entries: list[tuple[_Field, str]] = field(default_factory=list)


def is_mt940(data: bytes) -> bool:
    """True for a file that begins as an MT940 does."""
    return data.lstrip(b"\xef\xbb\xbf\r\n ").startswith((b":20:", b"{1:"))


def from_mt940(data: bytes, account: str, currency: str, encoding: str = "utf-8-sig") -> FileStatement:
    """A file of MT940 messages; its statements of this account, which must follow each other. Raises BadStatement.

    An entry is identified by the bank's reference, or by all its fields if it has none. Its day is its entry date;
    without one, its value date, if that is inside of the statement. An entry with mark RC or RD, which reverses another
    one, gets 冲正 before its text, because the matching looks for it.
    """
    if len(data) > MOST_BYTES:
        raise BadStatement(f"it has more than {MOST_BYTES} bytes; hand it in by days")
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise BadStatement(f"it cannot be read as MT940 in {encoding}: {error}") from None
    messages = list(_messages(text))
    mine = [fields for fields in messages if _is_of(fields, account, currency)]
    if not mine:
        raise BadStatement(f"it has no statement of this account; there are {len(messages)} of others")
    pages = [_page(fields, currency) for fields in mine]
    _check_order(pages, mine)
    seen, lines = Counter[str](), list[Line]()
    opened = pages[0].opening.on
    for page in pages:
        found = [_line(entry, about, page, account, opened, seen) for entry, about in page.entries]
        total = page.opening.money.minor + sum(_effect(line) for line in found)
        if total != page.closing.money.minor:
            raise BadStatement(
                f"statement {page.number} opens with {page.opening.money}, its {len(found)} entries make "
                f"{Money(total, currency)}, and it closes with {page.closing.money} (line {page.closing.place})"
            )
        lines += found
    last = pages[-1].closing.on
    days = [last, *(line.bank_date for line in lines)]
    first = min([opened + timedelta(days=1), *days] if opened < last else days)
    return FileStatement(tuple(lines), first, last, pages[0].opening.money, pages[-1].closing.money)


def _effect(line: Line) -> int:
    return line.amount.minor if line.direction is Direction.CREDIT else -line.amount.minor


# ---- messages and fields ----


def _messages(text: str) -> Iterator[list[_Field]]:
    """The messages' fields. A message ends with a line `-` or `-}`, or before the next `:20:`."""
    fields: list[_Field] = []
    for place, raw in enumerate(text.splitlines(), 1):
        line = raw.rstrip()
        if line.startswith("{"):
            line = line.partition("{4:")[2]
        if line in ("-", "-}", "-}{5:}") or line.startswith("-}{"):
            yield from _complete(fields)
            fields = []
            continue
        found = _FIELD.match(line)
        if found is None:
            if fields and line:
                last = fields[-1]
                fields[-1] = _Field(last.tag, f"{last.text}\n{line}", last.place)
            elif line.strip():
                raise BadStatement(f"line {place} belongs to no field: an MT940 begins with :20:")
            continue
        if found[1] not in _KNOWN:
            raise BadStatement(f"line {place}: :{found[1]}: is not a field of an MT940")
        if found[1] == "20":
            yield from _complete(fields)
            fields = []
        fields.append(_Field(found[1], found[2], place))
    yield from _complete(fields)


def _complete(fields: list[_Field]) -> Iterator[list[_Field]]:
    if not fields:
        return
    if fields[0].tag != "20":
        raise BadStatement(f"line {fields[0].place}: a message begins with :20:, not with :{fields[0].tag}:")
    yield fields


def _only(fields: Sequence[_Field], *tags: str) -> _Field:
    found = [one for one in fields if one.tag in tags]
    name = " or ".join(f":{tag}:" for tag in tags)
    if not found:
        raise BadStatement(f"the message of line {fields[0].place} has no {name}; the file may be cut")
    if len(found) > 1:
        raise BadStatement(f"line {found[1].place}: the message of line {fields[0].place} has {name} twice")
    return found[0]


def _is_of(fields: Sequence[_Field], account: str, currency: str) -> bool:
    """True for a message about this account, whose number may have its bank's code before it or its currency after
    it."""
    text = _only(fields, "25", "25P").text.partition("\n")[0].replace(" ", "")
    return text.rpartition("/")[2] in (account, f"{account}{currency}")


def _page(fields: Sequence[_Field], currency: str) -> _Page:
    numbered = _only(fields, "28", "28C")
    if _NUMBER.fullmatch(numbered.text.strip()) is None:
        raise BadStatement(f"line {numbered.place}: {numbered.text!r} is not a statement number such as 00012/001")
    opening, closing = _only(fields, "60F", "60M"), _only(fields, "62F", "62M")
    page = _Page(numbered.text.strip(), fields[0].place, _balance(opening, currency), _balance(closing, currency))
    if page.closing.on < page.opening.on:
        raise BadStatement(f"line {closing.place}: statement {page.number} closes before it opens")
    for one, following in zip(fields, [*fields[1:], None], strict=True):
        if one.tag != "61":
            continue
        if not opening.place < one.place < closing.place:
            raise BadStatement(f"line {one.place}: an entry is not between the two balances")
        about = following.text if following is not None and following.tag == "86" else ""
        page.entries.append((one, about))
    return page


def _balance(one: _Field, currency: str) -> _Balance:
    found = _BALANCE.fullmatch(one.text.strip())
    if found is None:
        raise BadStatement(f"line {one.place}: {one.text!r} is not a balance such as C261130CNY1234,56")
    if found[3] != currency:
        raise BadStatement(f"line {one.place}: the balance is in {found[3]}, the account in {currency}")
    money = _amount(found[4], currency, one.place)
    signed = money if found[1] == "C" else Money(-money.minor, currency)
    return _Balance(one.tag.endswith("F"), _date(found[2], one.place), signed, one.place)


def _check_order(pages: Sequence[_Page], messages: Sequence[Sequence[_Field]]) -> None:
    """Check that the pages follow each other without a gap: a page that continues has :62M:, and the next one begins
    with :60M:."""
    if not pages[0].opening.is_final:
        raise BadStatement(f"its first statement {pages[0].number} is a later page (:60M:); those before are missing")
    if not pages[-1].closing.is_final:
        raise BadStatement(f"its last statement {pages[-1].number} continues (:62M:); the pages after it are missing")
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    for page, fields in zip(pages, messages, strict=True):
        content = tuple((one.tag, one.text) for one in fields)
        if content in seen:
            first = seen[content]
            raise BadStatement(f"line {page.place}: statement {page.number} occurs twice, first in line {first}")
        seen[content] = page.place
    for one, following in zip(pages, pages[1:], strict=False):
        if one.closing.is_final is not following.opening.is_final:
            raise BadStatement(
                f"line {following.opening.place}: a page between {one.number} and {following.number} is missing"
            )
        if one.closing.money != following.opening.money:
            raise BadStatement(
                f"line {following.opening.place}: {following.number} opens with {following.opening.money}, "
                f"{one.number} before it closes with {one.closing.money}"
            )


# ---- entries ----


def _line(entry: _Field, about: str, page: _Page, account: str, opened: date, seen: Counter[str]) -> Line:
    head, _, more = entry.text.partition("\n")
    found = _ENTRY.fullmatch(head.strip())
    if found is None:
        raise BadStatement(
            f"line {entry.place}: {head!r} is not an entry such as 2611301130D1234,56NTRFREFERENCE//BANKREF"
        )
    valued, currency = _date(found[1], entry.place), page.opening.money.currency
    booked, closes = _booked(found[2], valued, entry.place), page.closing.on
    if booked is None:
        booked = valued if opened <= valued <= closes else closes
    elif booked > closes:
        raise BadStatement(f"line {entry.place}: an entry of {booked} in a statement that closes on {closes}")
    mark = found[3]
    reference, _, serial = (part.strip() for part in found[7].partition("//"))
    text, party, name = _information(about)
    words = " ".join(filter(None, (_REVERSAL if mark.startswith("R") else "", text, more.replace("\n", " ").strip())))
    key = serial or sha256(f"{entry.text}\x1f{about}".encode()).hexdigest()[:24]
    occurrence = seen[f"{booked}/{key}"]
    seen[f"{booked}/{key}"] += 1
    return Line(
        AccountNumber(account),
        key,
        _direction(mark),
        _amount(found[5], currency, entry.place),
        booked,
        value_date=valued,
        counterparty_account=AccountNumber(party) if party else None,
        counterparty_name=Name(name) if name else None,
        text=words[:500],
        reference=None if reference in _NO_REFERENCE else reference[:_LONGEST],
        occurrence=occurrence,
    )


def _direction(mark: str) -> Direction:
    """The direction of a debit/credit mark: C and RD bring money in, D and RC take it out."""
    return Direction.CREDIT if mark in ("C", "RD") else Direction.DEBIT


def _booked(text: str | None, valued: date, place: int) -> date | None:
    """The entry date. The field has no year: of the three years around the value date, the one that brings it nearest
    counts."""
    if text is None:
        return None
    days = []
    for year in (valued.year - 1, valued.year, valued.year + 1):
        try:
            days.append(date(year, int(text[:2]), int(text[2:])))
        except ValueError:
            continue
    if not days:
        raise BadStatement(f"line {place}: {text} is not an entry date in the form MMDD")
    return min(days, key=lambda day: abs((day - valued).days))


def _date(text: str, place: int) -> date:
    year = int(text[:2])
    try:
        return date(_CENTURY + year if year < _PIVOT else _CENTURY - 100 + year, int(text[2:4]), int(text[4:]))
    except ValueError:
        raise BadStatement(f"line {place}: {text} is not a date in the form YYMMDD") from None


def _amount(text: str, currency: str, place: int) -> Money:
    whole, _, fraction = text.partition(",")
    if len(fraction) > exponent(currency):
        raise BadStatement(f"line {place}: {text} has more decimals than {currency}")
    whole = whole.lstrip("0") or "0"  # Some banks fill the field with zeros.
    return Money.parse(f"{whole}.{fraction}" if fraction else whole, currency)


def _information(text: str) -> tuple[str, str, str]:
    """The content of `:86:`: text, the counterparty's account and name."""
    if _STRUCTURED.match(text) is None:
        return " ".join(text.split("\n")).strip(), "", ""
    parts: dict[str, str] = {}
    for piece in text.replace("\n", "").split("?")[1:]:
        parts[piece[:2]] = parts.get(piece[:2], "") + piece[2:]
    # A purpose is cut into pieces of a fixed length, even within a word.
    purpose = "".join(parts[key] for key in sorted(parts) if "20" <= key <= "29" or "60" <= key <= "63")
    party = parts.get("31", "").replace(" ", "")
    words = " ".join(filter(None, (parts.get("00", ""), purpose)))
    return words, party, (parts.get("32", "") + parts.get("33", "")).strip()
