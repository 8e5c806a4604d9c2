"""Bank references: numbers of the bank's counter, drawn once, written with the time in the bank's alphabet and length.

A bank tells payments apart by their reference, whichever lane they came over. The counter is one for all lanes of a
bank (`serials.draw_serials`), and the time is part of every reference: a counter that begins anew, with an old copy of
the database or under another name, makes other references.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from protocols.canon.limits import ReferenceForm

UNIQUE_DAYS = 400
"""For so long at least no reference may come again: longer than banks keep theirs for enquiries and returns."""
# Seconds are counted from 2020-01-01 UTC; 32 bits of them last until 2156.
_FIRST_SECOND = 1_577_836_800
_SECONDS_BITS = 32
_DAY_S = 86_400
# So many numbers fit into one second at least; a form that has room for more gets more.
_LEAST_NUMBERS = 50_000
_MANY_NUMBERS = 1_000_000


class ReferencesExhausted(Exception):
    """The bank's form has no room for another reference of this bank."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the room of a form is divided: `seconds` until the time begins anew (0: no time), `numbers` in each."""

    seconds: int
    numbers: int


def write(form: ReferenceForm, serial: int, now_ms: int) -> str:
    """The reference of `serial` (from 0, never given twice by a bank's counter).

    The time in seconds stands before the number, which may count round. Only a form that is too short for a time of
    `UNIQUE_DAYS` has the bare number; `bankgw check` refuses it. The database has the last word: a reference is unique
    for each bank.
    """
    space = _space(form)
    layout = _layout(space, len(form.alphabet))
    if layout.seconds:
        second = max(now_ms // 1000 - _FIRST_SECOND, 0) % layout.seconds
        return form.prefix + _in(form.alphabet, second * layout.numbers + serial % layout.numbers, space)
    if serial >= layout.numbers:
        raise ReferencesExhausted(
            f"a reference of {form.length} characters has no room for number {serial}; widen the bank's reference form"
        )
    return form.prefix + _in(form.alphabet, serial, space)


def unique_days(form: ReferenceForm) -> int:
    """For how many days a reference of this form does not come again, even if the bank's counter begins anew."""
    return _layout(_space(form), len(form.alphabet)).seconds // _DAY_S


def _space(form: ReferenceForm) -> int:
    space = form.length - len(form.prefix)
    assert space > 0, "a reference form needs room after its prefix"
    assert len(form.alphabet) > 1, "a reference form needs an alphabet"
    return space


@lru_cache(maxsize=64)
def _layout(space: int, base: int) -> _Layout:
    times = _length(2**_SECONDS_BITS, base)
    if space > times and base ** (space - times) >= _MANY_NUMBERS:
        return _Layout(base**times, base ** (space - times))
    # Whole characters for the one and the other would waste room: the two share what there is.
    seconds = min(2**_SECONDS_BITS, base**space // _LEAST_NUMBERS)
    return _Layout(seconds, base**space // seconds) if seconds >= UNIQUE_DAYS * _DAY_S else _Layout(0, base**space)


def _length(numbers: int, base: int) -> int:
    length, room = 0, 1
    while room < numbers:
        length, room = length + 1, room * base
    return length


def _in(alphabet: str, number: int, length: int) -> str:
    base, letters = len(alphabet), []
    for _ in range(length):
        number, rest = divmod(number, base)
        letters.append(alphabet[rest])
    return "".join(reversed(letters))
