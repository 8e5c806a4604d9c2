"""A bank's or an ERP's free text, as people without the right to see account numbers and names see it."""

from __future__ import annotations

import re

from protocols.canon.party import Name, mask

_DIGIT, _APART = "[0-9０-９]", "[ \\-　]"
_NUMBER = re.compile(f"{_DIGIT}{{9,}}|{_DIGIT}{{4}}(?:{_APART}{_DIGIT}{{4}}){{2,}}(?:{_APART}?{_DIGIT}{{1,3}})?")
"""Nine digits or more are an account's number, a card's or a telephone's; so are groups of four."""


def masked_text(text: str, *names: str) -> str:
    """The text without whatever looks like an account's number, and without these names."""
    for name in names:
        if name:
            text = text.replace(name, str(Name(name)))
    return _NUMBER.sub(lambda found: mask(re.sub(_APART, "", found.group())), text)
