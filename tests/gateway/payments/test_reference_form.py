from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.payments.rows import bank_references
from gateway.payments.rows.bank_references import ReferencesExhausted
from protocols.canon.limits import ReferenceForm
from tests.gateway.kernel.bench import NOW_MS

FORMS = [
    ReferenceForm(),
    ReferenceForm(length=16, alphabet="0123456789"),
    ReferenceForm(length=8, alphabet="0123456789"),
    ReferenceForm(length=30, alphabet="0123456789", prefix="BG"),
    ReferenceForm(length=12, prefix="X"),
    ReferenceForm(length=12, prefix="ABCD"),
    ReferenceForm(length=20, alphabet="0123456789", prefix="123456"),
]


@pytest.mark.parametrize("form", FORMS)
def test_references_have_the_banks_length_prefix_and_alphabet(form: ReferenceForm) -> None:
    for serial in (0, 1, 999_999):
        made = bank_references.format_reference(form, serial, NOW_MS)
        assert len(made) == form.length
        assert made.startswith(form.prefix)
        assert set(made[len(form.prefix) :]) <= set(form.alphabet)


@given(st.sampled_from(FORMS), st.integers(0, 10**7), st.integers(1, 50_000 - 1), st.integers(0, 10**6))
def test_two_numbers_make_two_references(form: ReferenceForm, serial: int, further: int, later_ms: int) -> None:
    # A bank never gets 50,000 orders in one second, so the counter in a form with the time may start again.
    assert bank_references.format_reference(form, serial, NOW_MS) != bank_references.format_reference(
        form, serial + further, NOW_MS + later_ms
    )


def test_a_form_without_room_for_the_time_does_not_count_round() -> None:
    form = ReferenceForm(length=12, alphabet="0123456789")
    assert bank_references.format_reference(form, 10**11, NOW_MS) != bank_references.format_reference(form, 0, NOW_MS)


TIMED = [form for form in FORMS if bank_references.unique_days(form)]


@given(st.sampled_from(TIMED), st.integers(0, 10**9), st.integers(1, 400 * 86_400))
def test_a_counter_that_begins_anew_makes_other_references_for_400_days(
    form: ReferenceForm, serial: int, later_s: int
) -> None:
    assert bank_references.format_reference(form, serial, NOW_MS) != bank_references.format_reference(
        form, serial, NOW_MS + 1000 * later_s
    )


@pytest.mark.parametrize(
    ("form", "days"),
    [
        (ReferenceForm(20), 36**7 // 86_400),
        (ReferenceForm(20, "0123456789"), 10**10 // 86_400),
        (ReferenceForm(12, prefix="A"), 36**7 // 86_400),
        (ReferenceForm(12, prefix="AB"), 2**32 // 86_400),
        (ReferenceForm(12, prefix="ABCD"), 36**8 // 50_000 // 86_400),
        (ReferenceForm(20, "0123456789", "12345"), 2**32 // 86_400),
        (ReferenceForm(20, "0123456789", "123456"), 10**14 // 50_000 // 86_400),
        (ReferenceForm(12, "0123456789"), 0),
        (ReferenceForm(4), 0),
    ],
)
def test_for_how_long_a_reference_stays_unique(form: ReferenceForm, days: int) -> None:
    assert bank_references.unique_days(form) == days


def test_references_with_room_for_all_are_written_as_ever() -> None:
    """Time and number are separate in references, as in earlier versions: no reference of those versions is given out
    again."""
    assert (
        bank_references.format_reference(ReferenceForm(20, "0123456789"), 1_234, 1_795_500_000_000)
        == "02176632000000001234"
    )


def test_a_short_form_that_is_used_up_says_so() -> None:
    short = ReferenceForm(length=4, alphabet="0123456789")
    assert bank_references.format_reference(short, 9_999, NOW_MS) == "9999"
    with pytest.raises(ReferencesExhausted, match="10000"):
        bank_references.format_reference(short, 10_000, NOW_MS)
