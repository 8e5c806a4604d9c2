"""Bank references: a serial number of the bank's counter and the time, in the bank's alphabet and length.

A bank identifies payments by reference across all lanes, so all lanes of a bank share one counter
(`serials.draw_serials`). The time is part of every reference, so that a counter that starts again, after a restore of
an old database or under another bank name, still makes new references. Orders of cash pools have derived references.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gateway.kernel.sql.vault import Vault
from protocols.canon.limits import ReferenceForm

UNIQUE_DAYS = 400
"""The minimum number of days before a reference may repeat: longer than banks keep references for enquiries and
returns."""
# Seconds are counted from 2020-01-01 UTC; 32 bits of them last until 2156.
_FIRST_SECOND = 1_577_836_800
_SECONDS_BITS = 32
_DAY_S = 86_400
# The minimum of numbers per second; a form with more room gets more.
_LEAST_NUMBERS = 50_000
_MANY_NUMBERS = 1_000_000


class ReferencesExhausted(Exception):
    """The bank's form of references has no free reference left."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a reference form's digits are divided: `seconds` before the time wraps (0: no time part), and `numbers` per
    second."""

    seconds: int
    numbers: int


def format_reference(form: ReferenceForm, serial: int, now_ms: int) -> str:
    """The reference with this `serial`, which is counted from 0 and never given twice by a bank's counter.

    The time in seconds comes before the number, which may wrap. A form too short for a time of `UNIQUE_DAYS` gets the
    number alone, and `bankgw check` refuses such a form. The database enforces that a reference is unique per bank.
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


def derived(form: ReferenceForm, vault: Vault, bank: str, order_id: str) -> str:
    """The reference of an order that the gateway makes by itself, and must make again in the same way: a keyed hash of
    the order's id.

    If the database forgot an order and it is made a second time, it gets the reference of the first one, so that a bank
    that refuses a known reference executes it once. The hash uses the whole length of the form, so that two orders have
    the same reference only by an unlikely accident; the caller refuses the second one.
    """
    space = _space(form)
    hashed = vault.mac(f"bank reference\n{bank}\n{order_id}".encode())
    number = int.from_bytes(hashed, "big") % len(form.alphabet) ** space
    return form.prefix + _in(form.alphabet, number, space)


def unique_days(form: ReferenceForm) -> int:
    """For how many days references of this form do not repeat, even if the bank's counter starts again."""
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
    # Time and number share the space as one number; separate whole characters would waste space.
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
