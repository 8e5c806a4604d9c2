"""Bank references: numbers drawn once from the lane's counter, written in the bank's alphabet and length."""

from __future__ import annotations

from functools import lru_cache

from protocols.canon.limits import ReferenceForm

# Seconds are counted from 2020-01-01 UTC; 32 bits of them last until 2156.
_FIRST_SECOND = 1_577_836_800
_SECONDS_BITS = 32
_LEAST_NUMBERS = 1_000_000


class ReferencesExhausted(Exception):
    """The bank's form has no room for another reference of this lane."""


def write(form: ReferenceForm, serial: int, now_ms: int) -> str:
    """The reference of `serial` (from 0, never given twice by a lane).

    Where the form is long enough, the time in seconds stands before the number, which may then count round: should
    the counter ever be set back with an old copy of the database, the references still do not repeat. The table's
    unique key of lane and reference has the last word.
    """
    digits, times = _places(form.length - len(form.prefix), len(form.alphabet))
    room = len(form.alphabet) ** digits
    if times:
        second = max(now_ms // 1000 - _FIRST_SECOND, 0)
        return form.prefix + _in(form.alphabet, second, times) + _in(form.alphabet, serial % room, digits)
    if serial >= room:
        raise ReferencesExhausted(
            f"a reference of {form.length} characters has no room for number {serial}; widen the bank's reference form"
        )
    return form.prefix + _in(form.alphabet, serial, digits)


@lru_cache(maxsize=64)
def _places(space: int, base: int) -> tuple[int, int]:
    """How many characters hold the number, and how many the time (0 if it does not fit)."""
    assert space > 0, "a reference form needs room after its prefix"
    assert base > 1, "a reference form needs an alphabet"
    times = _length(2**_SECONDS_BITS, base)
    digits = space - times
    return (digits, times) if digits > 0 and base**digits >= _LEAST_NUMBERS else (space, 0)


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
