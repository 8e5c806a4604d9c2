from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal import references
from gateway.journal.references import ReferencesExhausted
from protocols.canon.limits import ReferenceForm
from tests.gateway.journal.bench import NOW_MS

FORMS = [
    ReferenceForm(), ReferenceForm(length=16, alphabet="0123456789"), ReferenceForm(length=8, alphabet="0123456789"),
    ReferenceForm(length=30, alphabet="0123456789", prefix="BG"), ReferenceForm(length=12, prefix="X"),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_references_have_the_banks_length_prefix_and_alphabet(form: ReferenceForm) -> None:
    for serial in (0, 1, 999_999):
        made = references.write(form, serial, NOW_MS)
        assert len(made) == form.length
        assert made.startswith(form.prefix)
        assert set(made[len(form.prefix) :]) <= set(form.alphabet)


@given(st.sampled_from(FORMS), st.integers(0, 10**7), st.integers(1, 10**6 - 1), st.integers(0, 10**6))
def test_two_numbers_make_two_references(form: ReferenceForm, serial: int, further: int, later_ms: int) -> None:
    # A lane does not draw a million numbers in one second, so a form with the time in it may count round.
    assert references.write(form, serial, NOW_MS) != references.write(form, serial + further, NOW_MS + later_ms)


def test_a_form_without_room_for_the_time_does_not_count_round() -> None:
    form = ReferenceForm(length=12, alphabet="0123456789")
    assert references.write(form, 10**11, NOW_MS) != references.write(form, 0, NOW_MS)


def test_a_counter_set_back_by_an_old_database_makes_other_references() -> None:
    assert references.write(FORMS[0], 5, NOW_MS) != references.write(FORMS[0], 5, NOW_MS + 1000)


def test_a_short_form_that_is_used_up_says_so() -> None:
    short = ReferenceForm(length=4, alphabet="0123456789")
    assert references.write(short, 9_999, NOW_MS) == "9999"
    with pytest.raises(ReferencesExhausted, match="10000"):
        references.write(short, 10_000, NOW_MS)
