"""A bank's options: for each one what it may be, and what to write instead.

    CHOICES = {"login": (text("[0-9a-z]{1,20}"), "the user's name at the front end"), ...}
    options = read("citic", Options, CHOICES, table)

`Options` is a frozen dataclass; a field without a default must be in the settings. Lists become tuples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from types import MappingProxyType
from typing import Any, Final, TypeVar

from protocols.bank import BadOptions

Check = Callable[[Any], bool]
Choices = Mapping[str, tuple[Check, str]]
T = TypeVar("T")
_AS_IT_IS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType({})


def text(pattern: str) -> Check:
    """Text that matches the whole pattern, in which classes like [0-9] mean ASCII."""
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def among(*words: str) -> Check:
    """One of these words."""
    return lambda value: isinstance(value, str) and value in words


def whole(least: int, most: int) -> Check:
    """A whole number between two bounds, which belong to it; true is no number."""
    return lambda value: type(value) is int and least <= value <= most


def seconds(least: float, most: float = 1_000_000) -> Check:
    """A number of seconds between two bounds."""
    return lambda value: type(value) in (int, float) and least <= value <= most


def flag(value: Any) -> bool:
    """True or false."""
    return type(value) is bool


def words(pattern: str) -> Check:
    """A list of texts of one pattern; an empty list too."""
    fits = text(pattern)
    return lambda value: isinstance(value, (list, tuple)) and all(fits(one) for one in value)


def table(key_pattern: str, check: Check) -> Check:
    """A table whose keys match a pattern and whose values pass a check."""
    fits = text(key_pattern)
    return lambda value: isinstance(value, Mapping) and all(fits(key) and check(one) for key, one in value.items())


def or_none(check: Check) -> Check:
    """What passes the check, or nothing."""
    return lambda value: value is None or check(value)


def hour(value: Any) -> bool:
    """A time of day as `HH:MM`."""
    return text("([01][0-9]|2[0-3]):[0-5][0-9]")(value)


def in_bytes(most: int, encoding: str = "gbk", *, least: int = 1) -> Check:
    """Printable text of at most so many bytes in the bank's charset."""

    def check(value: Any) -> bool:
        if not isinstance(value, str) or not all(char.isprintable() for char in value):
            return False
        try:
            return least <= len(value.encode(encoding)) <= most
        except UnicodeEncodeError:
            return False

    return check


def read(
    bank: str, options: Callable[..., T], choices: Choices, given: Mapping[str, Any],
    made: Mapping[str, Callable[[Any], Any]] = _AS_IT_IS,
) -> T:  # fmt: skip
    """The dataclass `options` from the settings' table. Raises BadOptions naming the first wrong key and the remedy.

    `made` says what is kept instead of a value that passed, for those that are not kept as they are written.
    """
    known = fields(options)  # type: ignore[arg-type]  # a dataclass, which Callable cannot say
    assert choices.keys() == {one.name for one in known}, f"every option of {bank} has one row in its choices"
    for key in given:
        if key not in choices:
            raise BadOptions(key, f"no such option of {bank}; there are {', '.join(sorted(choices))}")
    for one in known:
        if one.name not in given and one.default is MISSING and one.default_factory is MISSING:
            raise BadOptions(one.name, choices[one.name][1])
    for key, value in given.items():
        check, remedy = choices[key]
        if not check(value):
            raise BadOptions(key, remedy)
    return options(**{key: made.get(key, _plain)(value) for key, value in given.items()})


def one_meaning(codes: Mapping[str, tuple[str, ...]]) -> None:
    """Raises BadOptions for a code that is both a duplicate and a refusal: it would turn a payment that was made into
    one that was not."""
    for code in codes.get("duplicate", ()):
        if code in codes.get("refused", ()):
            raise BadOptions("codes", f"{code} cannot be both duplicate and refused")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return tuple(value) if isinstance(value, list) else value
