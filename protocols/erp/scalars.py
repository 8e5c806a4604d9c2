"""The contract's scalar types: each reads one JSON value strictly, and describes the fault to people and to programs.

A type carries its own JSON Schema, from which the XSD and the reference page are made as well. A fault
never quotes the value: it may be an account number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from protocols.canon.errors import FieldCode
from protocols.canon.money import AMOUNT_PATTERN
from protocols.erp.words import MAX_ID_CHARS

# Characters that no name or purpose needs and that can hide or reorder the text on a screen: controls, soft hyphen,
# zero-width and bidirectional marks, line and paragraph separators, surrogates, non-characters.
_UNSEEN = (
    r"\u0000-\u001F\u007F-\u009F\u00AD\u061C\u180E\u200B-\u200F\u2028-\u202E\u2060-\u206F"
    r"\uFDD0-\uFDEF\uFEFF\uFFF9-\uFFFB\uFFFE\uFFFF"
)
_HIDDEN = re.compile(rf"[{_UNSEEN}\uD800-\uDFFF\U000E0000-\U000E007F]")
_TEXT_PATTERN = rf"^[^{_UNSEEN} ]([^{_UNSEEN}]*[^{_UNSEEN} ])?$"
_ID_PATTERN = rf"^[!-~]{{1,{MAX_ID_CHARS}}}$"
_ACCOUNT_PATTERN = r"^[0-9A-Za-z][0-9A-Za-z-]{0,39}$"
_CNAPS_PATTERN = r"^[0-9]{12}$"
_CURRENCY_PATTERN = r"^[A-Z]{3}$"
_PAYMENT_PATTERN = r"^[0-9A-HJKMNP-TV-Z]{26}$"
_TAG_PATTERN = r"^[0-9A-Za-z_][0-9A-Za-z_.-]{0,63}$"
_BIC_PATTERN = r"^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$"
_COUNTRY_PATTERN = r"^[A-Z]{2}$"
_PURPOSE_CODE_PATTERN = r"^[A-Z0-9]{1,4}$"
_PERSON_PATTERN = r"^[a-z][a-z0-9_.-]{0,30}$"
_POOL_PATTERN = r"^[a-z][a-z0-9_-]{0,30}$"
_DIGEST_PATTERN = r"^[0-9a-f]{64}$"
_SIGNATURE_PATTERN = r"^[0-9A-Za-z+/]{86}==$"
_SCHEME_ID_PATTERN = r"^[!-~]{1,35}$"
_CURSOR_PATTERN = r"^[0-9A-Za-z_-]{1,2048}$"
_SIGNED_PATTERN = "^-?" + AMOUNT_PATTERN.removeprefix("^")
_ENTRY_PATTERN = r"^[0-9a-f]{32}$"
_REPORT_PATTERN = r"^[a-z][a-z0-9-]{0,30}$"
_SLUG_PATTERN = r"^[a-z][a-z0-9_]{0,30}$"
_DATE_PATTERN = r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}$"
_TIME_PATTERN = r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
_DURATION_PATTERN = r"^PT([0-9]{1,2}H([0-9]{1,4}M)?([0-9]{1,5}S)?|[0-9]{1,4}M([0-9]{1,5}S)?|[0-9]{1,5}S)$"
_DURATION = re.compile(r"PT(?=[0-9])(?:([0-9]{1,2})H)?(?:([0-9]{1,4})M)?(?:([0-9]{1,5})S)?\Z", re.ASCII)
_LEADING_DIGITS = re.compile(r"[0-9]+")
_ZERO = frozenset("0.")

_JSON_TYPES = {int: "a number", float: "a number", bool: "true or false", list: "an array", dict: "an object"}


def fault(code: FieldCode, detail: str, limit: int | None = None) -> PydanticCustomError:
    """One fault as pydantic carries it; `protocols.erp.faults` turns it into canon's Fault."""
    return PydanticCustomError(code.value, "{detail}", {"detail": detail, "limit": limit})


def string(value: object) -> str:
    """`value` if it is a JSON string, else a `type` fault that names the type it has."""
    if type(value) is str:
        return value
    named = _JSON_TYPES.get(type(value), "nothing" if value is None else "another type")
    raise fault(FieldCode.TYPE, f"must be a string, it is {named}")


def _sized(text: str, max_chars: int, min_chars: int) -> None:
    if len(text) > max_chars:
        raise fault(FieldCode.TOO_LONG, f"{len(text)} characters, limit {max_chars}", max_chars)
    if len(text) < min_chars:
        raise fault(FieldCode.TOO_SHORT, "must not be empty", min_chars)


def _text(max_chars: int, min_chars: int = 1) -> Callable[[object], str]:
    def checked_text(value: object) -> str:
        text = string(value)
        _sized(text, max_chars, min_chars)
        hidden = None if text.isprintable() else _HIDDEN.search(text)
        if hidden is not None:
            raise fault(
                FieldCode.FORBIDDEN_CHARACTER,
                f"U+{ord(hidden.group()):04X} at position {hidden.start()}: control and invisible characters "
                "are not allowed",
            )
        if text[:1] == " " or text[-1:] == " ":
            raise fault(FieldCode.PATTERN, "begins or ends with a blank")
        return text

    return checked_text


def _formed(pattern: str, what: str, max_chars: int, code: FieldCode = FieldCode.PATTERN) -> Callable[[object], str]:
    matches = re.compile(pattern.removesuffix("$") + r"\Z", re.ASCII).match

    def formed_text(value: object) -> str:
        text = string(value)
        if matches(text) is None:
            _sized(text, max_chars, 1)
            raise fault(code, f"must be {what}")
        return text

    return formed_text


def _amount(value: object) -> str:
    if type(value) in (int, float):
        raise fault(FieldCode.TYPE, 'money is a string such as "12345.67", not a number')
    text = _amount_formed(value)
    if _ZERO.issuperset(text):
        raise fault(FieldCode.AMOUNT, "must be more than zero")
    return text


_amount_formed = _formed(
    AMOUNT_PATTERN, "ASCII digits with at most four decimals, without sign, blank or exponent", 20, FieldCode.AMOUNT
)
_time_formed = _formed(_TIME_PATTERN, "a time with a zone, such as 2026-11-24T17:00:00+08:00", 40, FieldCode.TIME)
_date_formed = _formed(_DATE_PATTERN, "a day, such as 2026-11-24", 10)
_duration_formed = _formed(_DURATION_PATTERN, "a duration in hours, minutes and seconds, such as PT30S", 16)


def _time(value: object) -> datetime:
    text = _time_formed(value)
    if "." in text:
        # Java writes nine digits and .NET seven: all are read, milliseconds are kept.
        whole, _dot, rest = text.partition(".")
        digits = _LEADING_DIGITS.match(rest)
        assert digits is not None, "the pattern promises digits after the point"
        text = f"{whole}.{digits.group()[:3]:0<3}{rest[digits.end() :]}"
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise fault(FieldCode.TIME, "no such day or hour") from None


def _date(value: object) -> date:
    text = _date_formed(value)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise fault(FieldCode.PATTERN, "no such day") from None


def _duration(min_s: int, max_s: int) -> Callable[[object], int]:
    def duration_s(value: object) -> int:
        found = _DURATION.match(_duration_formed(value))
        assert found is not None, "the two duration patterns differ"
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        total_s = hours * 3600 + minutes * 60 + seconds
        if not min_s <= total_s <= max_s:
            limit = min_s if total_s < min_s else max_s
            raise fault(FieldCode.PATTERN, f"must be from {min_s} to {max_s} seconds", limit)
        return total_s

    return duration_s


def bounded(max_items: int) -> BeforeValidator:
    """Refuses an array or map of more than `max_items` before its items are read, because each could cost a fault."""

    def checked_size(value: Any) -> Any:
        if isinstance(value, (list, dict)) and len(value) > max_items:
            raise fault(FieldCode.TOO_LONG, f"{len(value)} items, limit {max_items}", max_items)
        return value

    return BeforeValidator(checked_size)


def _schema(pattern: str, max_chars: int, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "maxLength": max_chars, **more})


def _text_schema(max_chars: int, min_chars: int = 1) -> WithJsonSchema:
    pattern = _TEXT_PATTERN if min_chars else rf"^({_TEXT_PATTERN[1:-1]})?$"
    return WithJsonSchema({"type": "string", "minLength": min_chars, "maxLength": max_chars, "pattern": pattern})


OrderId = Annotated[
    str,
    PlainValidator(_formed(_ID_PATTERN, "printable ASCII without blanks", MAX_ID_CHARS)),
    _schema(_ID_PATTERN, MAX_ID_CHARS),
]
PaymentKey = Annotated[
    str,
    PlainValidator(_formed(_PAYMENT_PATTERN, "a payment key as this gateway gave it out", 26)),
    _schema(_PAYMENT_PATTERN, 26),
]
Account = Annotated[
    str,
    PlainValidator(_formed(_ACCOUNT_PATTERN, "ASCII digits, letters and hyphens without blanks", 40)),
    _schema(_ACCOUNT_PATTERN, 40),
]
Cnaps = Annotated[
    str, PlainValidator(_formed(_CNAPS_PATTERN, "exactly twelve ASCII digits", 12)), _schema(_CNAPS_PATTERN, 12)
]
Currency = Annotated[
    str,
    PlainValidator(_formed(_CURRENCY_PATTERN, "three capital letters (ISO 4217)", 3, FieldCode.CURRENCY)),
    _schema(_CURRENCY_PATTERN, 3),
]
Bic = Annotated[
    str,
    PlainValidator(_formed(_BIC_PATTERN, "a BIC of eight or eleven characters (ISO 9362)", 11)),
    _schema(_BIC_PATTERN, 11),
]
CountryCode = Annotated[
    str, PlainValidator(_formed(_COUNTRY_PATTERN, "two capital letters (ISO 3166)", 2)), _schema(_COUNTRY_PATTERN, 2)
]
PurposeCode = Annotated[
    str,
    PlainValidator(_formed(_PURPOSE_CODE_PATTERN, "one to four capital letters or digits (ISO 20022)", 4)),
    _schema(_PURPOSE_CODE_PATTERN, 4),
]
SchemeId = Annotated[
    str,
    PlainValidator(_formed(_SCHEME_ID_PATTERN, "printable ASCII without blanks", 35)),
    _schema(_SCHEME_ID_PATTERN, 35),
]
PersonName = Annotated[
    str,
    PlainValidator(
        _formed(
            _PERSON_PATTERN,
            "a person's name as enrolled: a lower-case letter, then lower-case letters, digits, _ . or -",
            31,
        )
    ),
    _schema(_PERSON_PATTERN, 31),
]
PoolName = Annotated[
    str,
    PlainValidator(
        _formed(_POOL_PATTERN, "a cash pool's name: a lower-case letter, then lower-case letters, digits, _ or -", 31)
    ),
    _schema(_POOL_PATTERN, 31),
]
ApprovalDigest = Annotated[
    str, PlainValidator(_formed(_DIGEST_PATTERN, "64 hex digits, a to f small", 64)), _schema(_DIGEST_PATTERN, 64)
]
PersonSignature = Annotated[
    str,
    PlainValidator(_formed(_SIGNATURE_PATTERN, "an Ed25519 signature: 64 bytes in Base64", 88)),
    _schema(_SIGNATURE_PATTERN, 88),
]
Cursor = Annotated[
    str,
    PlainValidator(_formed(_CURSOR_PATTERN, "the `next` of a page, unchanged", 2048)),
    _schema(_CURSOR_PATTERN, 2048),
]
TagName = Annotated[
    str, PlainValidator(_formed(_TAG_PATTERN, "ASCII letters, digits, _ . and -", 64)), _schema(_TAG_PATTERN, 64)
]
Amount = Annotated[str, PlainValidator(_amount), _schema(AMOUNT_PATTERN, 20)]
SignedAmountText = Annotated[
    str,
    PlainValidator(
        _formed(
            _SIGNED_PATTERN,
            "ASCII digits with at most four decimals, a minus before them where it is "
            "negative, without blank or exponent",
            21,
            FieldCode.AMOUNT,
        )
    ),
    _schema(_SIGNED_PATTERN, 21),
]
EntryKey = Annotated[
    str,
    PlainValidator(_formed(_ENTRY_PATTERN, "an entry's `line` as this gateway gave it out", 32)),
    _schema(_ENTRY_PATTERN, 32),
]
BookRowId = Annotated[str, PlainValidator(_text(128)), _text_schema(128)]
ReportName = Annotated[
    str,
    PlainValidator(_formed(_REPORT_PATTERN, "lower-case letters, digits and hyphens", 31)),
    _schema(_REPORT_PATTERN, 31),
]
SlugName = Annotated[
    str,
    PlainValidator(_formed(_SLUG_PATTERN, "a lower-case letter, then lower-case letters, digits and _", 31)),
    _schema(_SLUG_PATTERN, 31),
]
Time = Annotated[datetime, PlainValidator(_time), _schema(_TIME_PATTERN, 40, format="date-time")]
Day = Annotated[date, PlainValidator(_date), _schema(_DATE_PATTERN, 10, format="date")]
MaxAge = Annotated[int, PlainValidator(_duration(0, 86_400)), _schema(_DURATION_PATTERN, 16, format="duration")]
MaxWait = Annotated[int, PlainValidator(_duration(1, 600)), _schema(_DURATION_PATTERN, 16, format="duration")]
LongWait = Annotated[int, PlainValidator(_duration(1, 86_400)), _schema(_DURATION_PATTERN, 16, format="duration")]
BankKey = Annotated[str, PlainValidator(_text(255)), _text_schema(255)]
Text35 = Annotated[str, PlainValidator(_text(35)), _text_schema(35)]
Text70 = Annotated[str, PlainValidator(_text(70)), _text_schema(70)]
Text140 = Annotated[str, PlainValidator(_text(140)), _text_schema(140)]
Purpose = Annotated[str, PlainValidator(_text(200, 0)), _text_schema(200, 0)]
ReasonText = Annotated[str, PlainValidator(_text(200, 0)), _text_schema(200, 0)]
TagValue = Annotated[str, PlainValidator(_text(256, 0)), _text_schema(256, 0)]
