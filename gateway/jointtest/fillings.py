"""Replaces names in braces in a case by values of the bank's declaration: `{lacking}`, `{long /purpose}`,
`{yesterday}`.

`{full AT}` fills a field to its limit, `{long AT}` is one character more; both are counted as the gateway counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gateway.kernel.core.policy import field_faults
from protocols.bank import Bank
from protocols.canon.limits import FieldLimit

_WIDE, _NARROW = "货", "x"
_LACKING = ("䶮", "\u0007")
CONTRACT_CHARS = 140
"""The longest text of the contract. A bank that accepts longer texts is not tested with more."""
OVER_LIMIT = "99999999.99"
_BRACES = re.compile(r"\{([^{}]+)\}")


class NoSuchValue(Exception):  # noqa: N818 - an answer, not a fault
    """The bank's limits allow no such value; the text says why."""


def filled(value: Any, bank: Bank, now: datetime, known: Mapping[str, str] = {}) -> Any:
    """`value` with every placeholder in braces replaced; `known` are more of them. Raises NoSuchValue."""
    if not isinstance(value, str):
        return value
    return _BRACES.sub(lambda found: known.get(found.group(1)) or _value(found.group(1), bank, now), value)


def _value(name: str, bank: Bank, now: datetime) -> str:
    word, _, at = name.partition(" ")
    if name == "lacking":
        return lacking(bank)
    if name == "over limit":
        return OVER_LIMIT
    if name == "yesterday":
        return (now - timedelta(days=1)).isoformat(timespec="seconds")
    if name == "in twelve hours":
        return (now + timedelta(hours=12)).isoformat(timespec="seconds")
    if word in ("full", "long"):
        text = full(bank, at)
        return text if word == "full" else text + _NARROW
    raise NoSuchValue(f"there is no value called {{{name}}}")


def lacking(bank: Bank) -> str:
    """A character that the bank's charset does not have; for Unicode a control character, which the
    contract refuses.
    """
    charset = bank.profile.limits.charset
    for letter in _LACKING:
        try:
            letter.encode(charset)
        except UnicodeEncodeError:
            return letter
    return _LACKING[-1]


def full(bank: Bank, at: str) -> str:
    """The longest text for a field: wide characters first, then narrow ones. Raises NoSuchValue."""
    limits = bank.profile.limits
    limit = next((one for one in limits.fields if one.at == at), None)
    if limit is None:
        raise NoSuchValue(f"the bank declares no limit of {at}")
    text = ""
    for letter in (_WIDE, _NARROW):
        while len(text) < CONTRACT_CHARS and not any(field_faults(limit, text + letter, limits.charset)):
            text += letter
    if not text:
        raise NoSuchValue(f"no plain text fits {at}")
    if len(text) >= CONTRACT_CHARS and not _reached(limit, text, limits.charset):
        raise NoSuchValue(f"the contract's own limit, {CONTRACT_CHARS} characters, comes before the bank's at {at}")
    return text


def _reached(limit: FieldLimit, text: str, charset: str) -> bool:
    return any(field_faults(limit, text + _NARROW, charset))


def put(
    fields: dict[str, Any], change: Mapping[str, Any], bank: Bank, now: datetime, known: Mapping[str, str] = {}
) -> dict[str, Any]:
    """`fields` with one change by JSON pointer; None removes a field. Raises NoSuchValue."""
    for pointer, value in change.items():
        *path, last = pointer.strip("/").split("/")
        place = fields
        for name in path:
            place = place.setdefault(name, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = filled(value, bank, now, known)
    return fields
