"""Shortens the output of `bankgw orders show`: repeated enquiries, base64 signatures, and octets in hexadecimal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.cli import output

_ENCODED = re.compile(r"[A-Za-z0-9+/]{40,}(?:(?:&#13;)?\r?\n[A-Za-z0-9+/]+)*={0,2}")
_ENCODED_LEAST = 100
_PER_LINE = 16


def folded(timeline: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The timeline. Of several equal enquiries in a row, only the first one is shown, followed by a line with the
    number of the others.

    Enquiries are equal if the state did not change and rule, reason and the bank's text are the same.
    """
    shown: list[Mapping[str, Any]] = []
    more: dict[str, Any] | None = None
    before: tuple[Any, ...] | None = None
    for group in _groups(timeline):
        same = _same(group)
        if same is None or same != before:
            shown += group
            before, more = same, None
        elif more is None:
            more = {"at": group[-1]["at"], "what": "folded", "count": 1, "until": group[-1]["at"]}
            shown.append(more)
        else:
            more |= {"count": more["count"] + 1, "until": group[-1]["at"]}
    return shown


def _groups(timeline: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The timeline in groups: an event together with the bank's message of that moment; every other entry alone."""
    group: list[Mapping[str, Any]] = []
    for one in timeline:
        if group and one["what"] == "heard" and group[0]["what"] == "act" and one["at"] == group[0]["at"]:
            group.append(one)
            continue
        if group:
            yield group
        group = [one]
    if group:
        yield group


def _same(group: Sequence[Mapping[str, Any]]) -> tuple[Any, ...] | None:
    act = group[0]
    detail = act.get("detail") or {}
    if act["what"] != "act" or "after" not in detail or detail.get("before") != detail["after"]:
        return None
    words = tuple((one.get("source"), one.get("fate"), one.get("code"), one.get("note")) for one in group[1:])
    return (act["act"], detail["after"], detail.get("reason"), detail.get("alarms"), *words)


def short_signatures(text: str) -> str:
    """Replaces the base64 of signatures and certificates with its length; digests stay."""
    return _ENCODED.sub(_length, text)


def _length(found: re.Match[str]) -> str:
    size = len(re.sub(r"&#13;|\s", "", found.group()))
    told = (f"[{size} characters of base64; --full has them]", f"[{size} 个 base64 字符；--full 全部显示]")
    return output.in_language(told) if size >= _ENCODED_LEAST else found.group()


def hex_lines(text: str, charset: str) -> Iterator[str]:
    """The text's octets in its charset, 16 a line: offset, octets, and the ASCII characters among them."""
    octets = text.encode(charset, "replace")
    for at in range(0, len(octets), _PER_LINE):
        part = octets[at : at + _PER_LINE]
        shown = "".join(chr(one) if 0x20 <= one < 0x7F else "." for one in part)
        yield f"{at:08x}  {part.hex(' '):<{_PER_LINE * 3 - 1}}  {shown}"
