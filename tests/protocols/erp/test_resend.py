"""Each refusal's advice about sending again: `same_id` wherever nothing was recorded under the id."""

from __future__ import annotations

import pytest

from protocols.canon.errors import CODES, Code, Refusal, Resend

SAME, NEW, NEVER = Resend.SAME_ID, Resend.NEW_ID, Resend.NEVER
# The advice if it was refused at intake, and if it was recorded as rejected. Written out, because ERPs depend on each.
TABLE = {
    "malformed": (SAME, SAME),
    "too_large": (SAME, SAME),
    "unknown_type": (SAME, SAME),
    "type_conflict": (SAME, SAME),
    "no_sender": (SAME, SAME),
    "unknown_sender": (SAME, SAME),
    "not_allowed": (SAME, SAME),
    "bad_signature": (SAME, SAME),
    "reply_to_refused": (SAME, SAME),
    "schema": (SAME, SAME),
    "validation": (SAME, NEW),
    "id_conflict": (NEW, NEW),
    "expired": (SAME, SAME),
    "unsupported": (SAME, SAME),
    "unknown_payment": (SAME, SAME),
    "too_late": (NEVER, NEVER),
    "not_approved": (SAME, SAME),
    "bad_cursor": (SAME, SAME),
    "bank_unavailable": (SAME, SAME),
    "bank_refused": (SAME, SAME),
    "bank_unclear": (SAME, SAME),
    "book_refused": (SAME, SAME),
    "book_frozen": (NEVER, NEVER),
    "book_matched": (SAME, SAME),
    "unknown_book": (SAME, SAME),
    "unknown_entry": (SAME, SAME),
    "already_claimed": (NEVER, NEVER),
    "internal": (SAME, SAME),
}


def test_the_table_has_every_code() -> None:
    assert list(TABLE) == [code.value for code in Code] == [code.value for code in CODES]


@pytest.mark.parametrize("code", Code)
def test_resend(code: Code) -> None:
    refusal = Refusal(code, "why")
    assert (refusal.resend, refusal.resend_recorded) == TABLE[code.value]
