"""The text of a decision that two persons sign, in its two forms.

Form 1 has the facts in English, one a line. Form 2 has the effect and the facts in English, then the same in Chinese,
made from the same values. The first line names the form, so that the digest covers it. New proposals have form 2; a
proposal that was made in form 1 is signed and carried out in form 1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.language import LANGS, Bilingual, BilingualText, Lang

FORM = 2
"""The form of a proposal that is made now."""
_HEADINGS: Mapping[int, str] = {1: "bankgw action 1", 2: "bankgw action 2"}
_CHINESE = "以下为中文，与以上英文为同一提议、同一事实，一并签署"
_COLONS: Bilingual = (": ", "：")
_BRACKET = "（"
NONE: Mapping[str, str] = {"none": "无"}
TO: Bilingual = ("to", "决定")
EVIDENCE: Bilingual = ("evidence-sha256", "证据文件校验值（SHA-256）")
_EFFECT: Bilingual = ("effect", "签署后的效果")


@dataclass(frozen=True, slots=True)
class SignedFact:
    """One fact in a signed text: its name in both languages, and its value."""

    label: Bilingual
    value: BilingualText | str

    @property
    def english(self) -> str:
        """The fact's value in English."""
        return self.value.said("en") if isinstance(self.value, BilingualText) else self.value


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """The subject of a decision: its facts, the subject's key, the subject's name in a sentence, what happens once both
    have signed, and the choice, with its meaning where it is a code."""

    facts: tuple[SignedFact, ...]
    subject: str
    title: str
    effect: BilingualText
    to: BilingualText | str


@dataclass(frozen=True, slots=True)
class Action:
    """The content of a signed text: the facts, in order, and what happens once both persons have signed."""

    effect: BilingualText
    facts: tuple[SignedFact, ...]
    form: int = FORM

    def text(self) -> str:
        """The text of this form, one fact per line. A character that cannot be printed is escaped as in JSON."""
        if self.form == 1:
            lines = [f"{one.label[0]}: {_plain(one.english)}" for one in self.facts]
        else:
            facts = (SignedFact(_EFFECT, self.effect), *self.facts)
            lines = [*(_line(one, "en") for one in facts), "", _CHINESE, *(_line(one, "zh") for one in facts)]
        return "".join(f"{line}\n" for line in (_HEADINGS[self.form], *lines))

    def digest(self) -> str:
        """The SHA-256 of the text, hex."""
        return digest(self.text())


def fact(english: str, chinese: str, value: BilingualText | str) -> SignedFact:
    """A fact from its name in both languages and its value."""
    return SignedFact((english, chinese), value)


def digest(text: str) -> str:
    """The SHA-256 of an action's text, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def form_of(text: str) -> int | None:
    """The form that the first line of a text names; None if this version does not know it."""
    heading = text.partition("\n")[0]
    return next((form for form, known in _HEADINGS.items() if heading == known), None)


def states_choice(text: str, to: str, evidence_sha256: str | None) -> bool:
    """True if the text, in each of its languages, states this choice and this evidence, and no other."""
    form, wanted = form_of(text), ((TO, to), (EVIDENCE, evidence_sha256 or "none"))
    if form is None:
        return False
    for lang in LANGS[:form]:
        half = _half(text, lang)
        for label, value in wanted:
            begin = f"{label[LANGS.index(lang)]}{_COLONS[LANGS.index(lang)]}"
            line = begin + (_plain(value) if form == 1 else escaped(value))
            found = [one for one in half if one.startswith(begin)]
            if len(found) != 1 or not (found[0] == line or lang == "zh" and found[0].startswith(line + _BRACKET)):
                return False
    return True


def effect_of(text: str) -> Bilingual:
    """The effect once both persons have signed, in each language of the text; empty for a text of form 1."""
    english, chinese = (
        next((one.partition(colon)[2] for one in _half(text, lang) if one.startswith(f"{label}{colon}")), "")
        for lang, label, colon in zip(LANGS, _EFFECT, _COLONS, strict=True)
    )
    return english, chinese


def escaped(value: str) -> str:
    """A value as form 2 writes it: a backslash, or a character that cannot be printed, is escaped as in JSON."""
    return "".join(one if one.isprintable() and one != "\\" else json.dumps(one)[1:-1] for one in value)


def _line(one: SignedFact, lang: Lang) -> str:
    at, value = LANGS.index(lang), one.value
    said = value.said(lang, escaped) if isinstance(value, BilingualText) else escaped(value)
    return f"{one.label[at]}{_COLONS[at]}{said}"


def _half(text: str, lang: Lang) -> list[str]:
    english, _between, chinese = text.partition(f"\n{_CHINESE}\n")
    return (english if lang == "en" else chinese).split("\n")


def _plain(value: str) -> str:
    return value if value.isprintable() else json.dumps(value, ensure_ascii=True)
