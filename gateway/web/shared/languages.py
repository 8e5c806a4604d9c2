"""English or Chinese: by the person's choice, else by what the browser asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

WebLanguage = Literal["en", "zh"]
LANGUAGES: tuple[WebLanguage, ...] = ("en", "zh")
Texts = Mapping[str, tuple[str, str]]
"""Each text in English and Chinese, by its name."""


def chosen(cookie: str, accepted: str) -> WebLanguage:
    """The language of a page, chosen by the cookie, else by `accepted`, the browser's Accept-Language."""
    for language in LANGUAGES:
        if cookie == language:
            return language
    for wanted in accepted.split(","):
        for language in LANGUAGES:
            if wanted.strip().lower().startswith(language):
                return language
    return "en"


def text(texts: Texts, name: str, language: WebLanguage) -> str:
    """One text. KeyError for an unknown name, because a template that uses it is wrong."""
    return texts[name][LANGUAGES.index(language)]
