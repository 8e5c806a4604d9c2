"""Masks a bank's or an ERP's free text for people without the right to see account numbers and names."""

from __future__ import annotations

import re

from protocols.canon.party import Name, mask

_DIGIT, _APART = "[0-9０-９]", "[ \\-　]"
_NUMBER = re.compile(f"{_DIGIT}{{9,}}|{_DIGIT}{{4}}(?:{_APART}{_DIGIT}{{4}}){{2,}}(?:{_APART}?{_DIGIT}{{1,3}})?")
"""Nine digits or more may be the number of an account, a card or a telephone; so may groups of four digits."""


def masked_text(text: str, *names: str) -> str:
    """The text with these names, and everything that looks like an account number, masked."""
    for name in names:
        if name:
            text = text.replace(name, str(Name(name)))
    return _NUMBER.sub(lambda found: mask(re.sub(_APART, "", found.group())), text)
