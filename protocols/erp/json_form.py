"""JSON as this contract reads it: one object in UTF-8, without repeated names or NaN, limited in depth.

`null` means the same as leaving the field out, because many serialisers write it for every unset field.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

MAX_DEPTH = 16
"""How deep objects and arrays may be nested."""
MAX_NAMES = 256
"""How many names one object may have: each unknown one costs a fault to write down."""

# The closing quote is optional: an unfinished string is then read once, not tried again from every quote in it.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_BOM = b"\xef\xbb\xbf"
_SHOWN_CHARS = 64


class Malformed(ValueError):
    """The body is not a document this contract can read; the message says why and where, and quotes no
    value.
    """


def parse(body: bytes) -> Any:
    """The JSON value in `body`. Raises Malformed, and no other exception for any bytes."""
    try:
        text = body.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"not UTF-8: byte {error.start} is 0x{body[error.start]:02x}{gbk_hint(body)}") from None
    _check_depth(text)
    try:
        return _decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Malformed(f"not well-formed JSON: {error.msg} at {where}") from None
    except Malformed:
        raise
    except (ValueError, RecursionError):
        # This happens for a whole number of thousands of digits. The depth was checked above.
        raise Malformed("not usable JSON: a number with too many digits") from None


def gbk_hint(body: bytes) -> str:
    """The hint for a body that is not UTF-8, if it looks like GBK."""
    try:
        body.decode("gbk")
    except UnicodeDecodeError:
        return ""
    return "; the bytes can be read as GBK: write the body in UTF-8, the gateway converts it for the bank"


def _check_depth(text: str) -> None:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    depth = 0
    for found in _BRACKETS.finditer(text):
        bracket = found.group()
        if bracket in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Malformed(f"nested deeper than {MAX_DEPTH} levels")
        elif bracket in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_NAMES:
        raise Malformed(f"{len(pairs)} names in one object, limit {MAX_NAMES}")
    read = dict(pairs)
    if len(read) != len(pairs):
        counts = Counter(name for name, _value in pairs)
        twice = counts.most_common(1)[0][0][:_SHOWN_CHARS]
        raise Malformed(f"the name {twice!r} occurs twice in one object")
    if None in read.values():
        return {name: value for name, value in read.items() if value is not None}
    return read


def _constant(name: str) -> Any:
    raise Malformed(f"{name} is not JSON")


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant).decode
