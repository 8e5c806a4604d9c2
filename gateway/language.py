"""English and Chinese: the language of a terminal, and sentences made in both languages from the same values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Literal

Lang = Literal["en", "zh"]
LANGS: tuple[Lang, Lang] = ("en", "zh")
Bilingual = tuple[str, str]
"""The same text in English and in Chinese."""


def lang_of(environment: Mapping[str, str]) -> Lang:
    """The language that LC_ALL, LC_MESSAGES or LANG asks for, the first of them that is set."""
    wanted = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return "zh" if wanted.lower().startswith("zh") else "en"


@dataclass(frozen=True, slots=True)
class BilingualText:
    """A sentence in both languages: a template in each, and the values that fill both.

    Each template has each value exactly once, so that the two languages cannot state different facts. A value that is a
    BilingualText itself is written in the language of the sentence; any other value is the same in both.
    """

    templates: Bilingual
    values: Mapping[str, BilingualText | str]

    def __post_init__(self) -> None:
        for template in self.templates:
            places = sorted(name for _text, name, _spec, _as in Formatter().parse(template) if name is not None)
            assert places == sorted(self.values), f"{template!r} does not have each of {sorted(self.values)} once"

    def said(self, lang: Lang, write: Callable[[str], str] = str) -> str:
        """The sentence in one language. `write` gives the form of each value that is the same in both."""
        filled = {
            name: value.said(lang, write) if isinstance(value, BilingualText) else write(value)
            for name, value in self.values.items()
        }
        return self.templates[LANGS.index(lang)].format_map(filled)


def bilingual(english: str, chinese: str, **values: BilingualText | str) -> BilingualText:
    """A sentence from its two templates and its values."""
    return BilingualText((english, chinese), values)


def coded(code: str, meanings: Mapping[str, str]) -> BilingualText | str:
    """A code of the gateway: in Chinese with its meaning in brackets. A code without a meaning is the same in both."""
    return bilingual("{code}", f"{{code}}（{meanings[code]}）", code=code) if code in meanings else code


def listed(parts: Sequence[BilingualText | str], between: Bilingual = (", ", "、")) -> BilingualText:
    """Several parts as one sentence, with `between` in the places between them."""
    names = [f"part{number}" for number in range(len(parts))]
    english, chinese = (mark.join(f"{{{name}}}" for name in names) for mark in between)
    return BilingualText((english, chinese), dict(zip(names, parts, strict=True)))
