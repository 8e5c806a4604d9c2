"""A bank's options: the allowed values of each option, and the remedy for a wrong value.

    CHOICES = {"login": (text("[0-9a-z]{1,20}"), "the user's name at the front end"), ...}
    options = read("citic", Options, CHOICES, table)

`Options` is a frozen dataclass; a field without a default must be in the settings. Lists become tuples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from datetime import date
from types import MappingProxyType
from typing import Any, Final, TypeVar

from protocols.bank import BadOptions

Check = Callable[[Any], bool]
Choices = Mapping[str, tuple[Check, str]]
T = TypeVar("T")
_AS_IT_IS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType({})


def text(pattern: str) -> Check:
    """A check for text that matches the whole pattern. Classes like [0-9] in it mean ASCII."""
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def among(*words: str) -> Check:
    """A check for one of these words."""
    return lambda value: isinstance(value, str) and value in words


def whole(least: int, most: int) -> Check:
    """A check for a whole number between two bounds, both included. true is no number."""
    return lambda value: type(value) is int and least <= value <= most


def seconds(least: float, most: float = 1_000_000) -> Check:
    """A check for a number of seconds between two bounds."""
    return lambda value: type(value) in (int, float) and least <= value <= most


def flag(value: Any) -> bool:
    """Check that the value is true or false."""
    return type(value) is bool


def texts(pattern: str) -> Check:
    """A check for a list of texts that match one pattern. The list may be empty."""
    fits = text(pattern)
    return lambda value: isinstance(value, (list, tuple)) and all(fits(one) for one in value)


def table(key_pattern: str, check: Check) -> Check:
    """A check for a table whose keys match a pattern and whose values pass a check."""
    fits = text(key_pattern)
    return lambda value: isinstance(value, Mapping) and all(fits(key) and check(one) for key, one in value.items())


def or_none(check: Check) -> Check:
    """A check for a value that passes another check, or for None."""
    return lambda value: value is None or check(value)


def day(value: Any) -> bool:
    """Check that the value is a day as "2027-01-01"."""
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def hour(value: Any) -> bool:
    """Check that the value is a time of day as `HH:MM`."""
    return text("([01][0-9]|2[0-3]):[0-5][0-9]")(value)


def in_bytes(most: int, encoding: str = "gbk", *, least: int = 1) -> Check:
    """A check for printable text of at most so many bytes in the bank's charset."""

    def check(value: Any) -> bool:
        if not isinstance(value, str) or not all(char.isprintable() for char in value):
            return False
        try:
            return least <= len(value.encode(encoding)) <= most
        except UnicodeEncodeError:
            return False

    return check


_SECONDS: Final = seconds(0.001)
_BYTES: Final = (or_none(whole(1, 1000)), "a number of bytes in the bank's charset, or leave it out")
COMMON: Final[Choices] = {
    "own_names": (texts(".+"), "a list of texts found in the names of this bank's branches"),
    "own_cnaps": (texts("[0-9]{3,12}"), "a list of how this bank's numbers begin, 3 to 12 digits"),
    "reference_prefix": (text("[0-9A-Z]{0,6}"), "up to 6 capital letters or digits, different for each gateway"),
    "http_path": (text("/[!-~]{0,200}"), "the path of the HTTP request, beginning with a slash"),
    "http_host": (text("[!-~]{1,200}"), "what the HTTP header Host says"),
    "history_days": (whole(1, 3650), "days back that the bank answers about entries, at least 1"),
    "past_balance_days": (whole(0, 3650), "days back that the bank tells a day's balance, 0: not at all"),
    "line_ids_from": (day, 'the first bank date whose entries have direction and amount in their ids, as "2027-01-01"'),
    "max_amount_minor": (or_none(whole(1, 10**17)), "the most fen one order may carry, or leave it out"),
    "max_name_bytes": _BYTES,
    "max_bank_name_bytes": _BYTES,
    "max_purpose_bytes": _BYTES,
    "opens": (hour, 'when the bank begins to take orders, as "08:30"; equal to closes: round the clock'),
    "closes": (hour, 'when the bank stops taking orders, as "17:00"'),
    "cut_off": (or_none(hour), 'the last moment for today\'s bank date, as "16:30", or leave it out'),
    "window": (whole(1, 64), "how many exchanges may run at once, 1 to 64"),
    "probe_every_s": (_SECONDS, "seconds between probes"),
    "first_byte_s": (_SECONDS, "seconds to wait for the first byte of an answer"),
    "exchange_s": (_SECONDS, "seconds one whole exchange may take"),
    "sign_first_byte_s": (_SECONDS, "seconds to wait for the first byte of the sign port's answer"),
    "per_second": (_SECONDS, "requests a second that the bank tolerates, all sorts together"),
    "burst": (whole(1, 10_000), "requests that may go out at once"),
    "first_enquiry_s": (_SECONDS, "seconds before a payment is first asked about"),
    "poll_every_s": (_SECONDS, "seconds between two looks for an account's new entries"),
}
"""The choices of options that several banks have under the same name. A bank's own row replaces the row here."""


def declared_codes(declarable: Iterable[str], pattern: str, remedy: str) -> tuple[Check, str]:
    """The check of the option `codes`: a table with a list of codes for each word that the bank declares.

    `remedy` says what a code is ("4-character codes").
    """
    known = tuple(declarable)
    return table("|".join(known), texts(pattern)), f"a table of lists of {remedy} under {', '.join(known)}"


def read_choices(
    bank: str,
    options: Callable[..., T],
    choices: Choices,
    given: Mapping[str, Any],
    made: Mapping[str, Callable[[Any], Any]] = _AS_IT_IS,
) -> T:
    """The dataclass `options`, read from the settings' table. Raises BadOptions with the first wrong key and the
    remedy.

    A field whose default is itself a dataclass is a group (see `timing`): its fields are keys of the same table, and
    its default has the values of keys that are not given. An option without a row in `choices` uses that of COMMON.
    `made` converts values that are not stored as they are written.
    """
    known = fields(options)  # type: ignore[arg-type]  # a dataclass, which Callable cannot say
    groups: dict[str, Any] = {one.name: one.default for one in known if is_dataclass(one.default)}
    single = [one for one in known if one.name not in groups]
    rows = {name: choices.get(name) or COMMON.get(name) for name in names(options)}
    assert None not in rows.values() and choices.keys() <= rows.keys(), f"each option of {bank} has one row of choices"
    for key in given:
        if key not in rows:
            raise BadOptions(key, f"{bank} has no such option; it has {', '.join(sorted(rows))}")
    for one in single:
        if one.name not in given and one.default is MISSING and one.default_factory is MISSING:
            raise BadOptions(one.name, remedy_of(one.name, choices))
    kept: dict[str, Any] = {}
    for key, value in given.items():
        check, remedy = rows[key] or COMMON[key]
        if not check(value):
            raise BadOptions(key, remedy)
        kept[key] = made.get(key, _plain)(value)
    for name, group in groups.items():
        inside = {one.name: kept.pop(one.name) for one in fields(group) if one.name in kept}
        kept[name] = replace(group, **inside)
    return options(**kept)


def names(options: Callable[..., Any]) -> tuple[str, ...]:
    """The keys that the dataclass `options` takes from the settings' table, including those of its groups."""
    known = fields(options)  # type: ignore[arg-type]  # as in `read`: Callable cannot say that it is a dataclass
    each = (fields(one.default) if is_dataclass(one.default) else (one,) for one in known)
    return tuple(one.name for several in each for one in several)


def remedy_of(key: str, choices: Choices) -> str:
    """The remedy for an option of a bank with these choices."""
    return (choices.get(key) or COMMON[key])[1]


def one_meaning(codes: Mapping[str, tuple[str, ...]]) -> None:
    """Raises BadOptions for a code that is declared as both a duplicate and a refusal.

    Such a code would turn a payment that was made into one that was not.
    """
    for code in codes.get("duplicate", ()):
        if code in codes.get("refused", ()):
            raise BadOptions("codes", f"{code} cannot mean both a duplicate and a refusal")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return tuple(value) if isinstance(value, list) else value
