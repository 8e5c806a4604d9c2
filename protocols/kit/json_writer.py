"""Writes JSON with fixed options, because `json.JSONEncoder.encode` prepares its encoder anew for each value."""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder
from typing import Any

Writer = Callable[[Any], str]


def json_writer(
    *, sort_keys: bool = False, separators: tuple[str, str] = (",", ":"), allow_nan: bool = False
) -> Writer:
    """Make a function that writes a value as JSON text. Characters outside ASCII are not escaped.

    Raises TypeError for a value that JSON cannot express, and ValueError for a number that is not finite. The value
    must not contain itself.
    """
    plain = json.JSONEncoder(
        ensure_ascii=False, check_circular=False, allow_nan=allow_nan, sort_keys=sort_keys, separators=separators
    )
    prepare: Any = vars(encoder)["c_make_encoder"]  # None where Python has no accelerator
    if prepare is None:
        return plain.encode
    text_of: Any = encoder.encode_basestring
    item, key = separators
    pieces = prepare(None, plain.default, text_of, None, key, item, sort_keys, False, allow_nan)

    def json_text(value: Any) -> str:
        if isinstance(value, str):
            return str(text_of(value))
        return "".join(pieces(value, 0))

    return json_text
