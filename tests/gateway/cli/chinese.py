"""Finds English sentences in output for an environment that asks for Chinese."""

from __future__ import annotations

import re

ENVIRONMENT = {"LC_ALL": "zh_CN.UTF-8"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
# What is quoted is typed as it stands: `bankgw resolve --approve`, or a name in the settings.
_QUOTED = re.compile(r"`[^`]*`|bankgw( [a-z-]+)+( (--)?[A-Za-z-]+)*")
_SENTENCE = re.compile(r"(?<![\w./:-])[A-Za-z][A-Za-z']*(?: [A-Za-z][A-Za-z']+){3,}(?![\w./-])")


def english_in(text: str) -> list[str]:
    """The English sentences of a text: four or more English words in a row."""
    return [found.group() for found in _SENTENCE.finditer(_QUOTED.sub("`…`", text))]
