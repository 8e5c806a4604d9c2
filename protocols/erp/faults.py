"""Turns pydantic's errors into the contract's faults: a JSON pointer, a code of the list, a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from protocols.canon.errors import Fault, FieldCode

MAX_FAULTS = 100
"""How many faults one refusal lists; a broken generator can make thousands of the same kind."""
_SEGMENT_CHARS = 64

_OWN = {code.value: code for code in FieldCode}
_KNOWN = {
    "missing": FieldCode.REQUIRED,
    "extra_forbidden": FieldCode.UNKNOWN_FIELD,
    "literal_error": FieldCode.UNKNOWN_CODE,
    "too_long": FieldCode.TOO_LONG,
    "too_short": FieldCode.TOO_SHORT,
    "greater_than_equal": FieldCode.PATTERN,
    "less_than_equal": FieldCode.PATTERN,
}


def pointer(path: Iterable[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a path. The sender's own names are cut if they are too long."""
    parts = (str(part)[:_SEGMENT_CHARS].replace("~", "~0").replace("/", "~1") for part in path)
    return "".join(f"/{part}" for part in parts)


@dataclass(frozen=True, slots=True)
class Findings:
    """The errors of one command: its faults, and the names of the top-level fields with a fault."""

    faults: tuple[Fault, ...]
    fields: frozenset[str]


def findings(error: ValidationError, names: Iterable[str]) -> Findings:
    """Every fault pydantic found, in the order of the fields, at most MAX_FAULTS.

    `names` are all field names of the command: for an unknown one the nearest is suggested.
    """
    known = tuple(names)
    details = error.errors(include_url=False, include_input=False)
    fields = frozenset(str(detail["loc"][0]) for detail in details if detail["loc"])
    return Findings(tuple(_fault(detail, known) for detail in details[:MAX_FAULTS]), fields)


def _fault(detail: ErrorDetails, names: tuple[str, ...]) -> Fault:
    kind, context = detail["type"], detail.get("ctx", {})
    path = tuple(part for part in detail["loc"] if part != "[key]")
    own = _OWN.get(kind) if "detail" in context else None
    if own is not None:
        return Fault(pointer(path), own, context["detail"], context["limit"])
    code = _KNOWN.get(kind, FieldCode.TYPE)
    return Fault(pointer(path), code, _sentence(kind, code, detail["msg"], path, context, names), _limit(context))


def _sentence(
    kind: str,
    code: FieldCode,
    said: str,
    path: tuple[str | int, ...],
    context: Mapping[str, Any],
    names: tuple[str, ...],
) -> str:
    if code is FieldCode.REQUIRED:
        return "the field must be present"
    if code is FieldCode.UNKNOWN_FIELD:
        near = get_close_matches(str(path[-1])[:_SEGMENT_CHARS], names, n=1)
        return f"no such field; did you mean {near[0]!r}?" if near else "no such field"
    if code is FieldCode.UNKNOWN_CODE:
        return f"must be one of {context['expected']}".replace("'", '"')
    if code is FieldCode.TOO_LONG:
        return f"{context['actual_length']} items, limit {context['max_length']}"
    if code is FieldCode.TOO_SHORT:
        return f"must have at least {context['min_length']} item"
    if said.startswith("Input should be "):
        return said.replace("Input should be ", "must be ").replace("valid dictionary or instance of", "JSON object,")
    return said


def _limit(context: Mapping[str, Any]) -> int | None:
    for name in ("max_length", "min_length", "le", "ge"):
        if isinstance(context.get(name), int):
            return int(context[name])
    return None
