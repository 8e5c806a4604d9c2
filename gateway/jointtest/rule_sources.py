"""Words the source of a rule so that a bank's engineer can look it up: the bank's document, its part, the subject.

A twin's table names the row of the notes from which it was transcribed (`pab.md 5, purpose 30 chars`). Those notes are
no part of the product. `protocols/banks/<name>/sources.toml` names the bank's own document in both languages. A source
in the README of the bank's folder stays as it is, because the product has that page.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from gateway.language import Bilingual

_SOURCE = re.compile(
    r"(?:banks/)?(?P<bank>[a-z]+)\.md,? ?(?P<part>[1-9A][0-9]?(?:\.[0-9]+)?[a-z]?\b|addendum)?"
    r"(?: and (?P<also>[1-9](?:\.[0-9]+)?)\b)?[,:]? ?(?P<rest>.*)"
)
_PART_IN_REST = re.compile(r"(,? and |; |^)(?:(?:banks/)?[A-Za-z-]+\.md )?[1-9](?:\.[0-9]+[a-z]?)?(?:[,:] |$)")
_PARTS: Mapping[str, Bilingual] = {
    "1": ("connection and session", "通讯与会话"),
    "2": ("message format", "报文格式"),
    "3": ("signature", "签名"),
    "4": ("operations", "交易接口"),
    "5": ("field rules and codes", "字段规则与返回码"),
    "9": ("as real messages have it", "以实际报文为准"),
    "addendum": ("as real messages have it", "以实际报文为准"),
    "A1": ("connection and session", "通讯与会话"),
    "A2": ("messages and operations", "报文与交易接口"),
}


def shown_source(source: str) -> Bilingual:
    """The source of a rule as people read it, in English and Chinese."""
    found = _SOURCE.fullmatch(source)
    if found is None:
        return source, source
    document = _document(found["bank"])
    parts = [_PARTS[_top(one)] for one in (found["part"], found["also"]) if one]
    rest = _PART_IN_REST.sub(r"\1", found["rest"].lstrip("; ")).strip("; ")
    english = ", ".join(dict.fromkeys((document[0], *(one[0] for one in parts))))
    chinese = "，".join(dict.fromkeys((document[1], *(one[1] for one in parts))))
    return (f"{english}: {rest}", f"{chinese}：{rest}") if rest else (english, chinese)


def _top(part: str) -> str:
    return part if part in _PARTS else part[0]


@cache
def _document(bank: str) -> Bilingual:
    text = resources.files(f"protocols.banks.{bank}").joinpath("sources.toml").read_text("utf-8")
    english, chinese = tomllib.loads(text)["document"]
    return english, chinese
