"""Check that a bank's reference form, with its prefix, keeps references unique for long enough."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.payments.rows import bank_references
from gateway.settings.agreement import Finding
from protocols.canon.limits import ReferenceForm


def reused(at: str, bank: str, form: ReferenceForm) -> Iterator[Finding]:
    """The fault of a reference form that has too few references, so that they would repeat too early; `at` is the
    bank's table."""
    days = bank_references.unique_days(form)
    if days >= bank_references.UNIQUE_DAYS:
        return
    taken = f" after the prefix {form.prefix!r}" if form.prefix else ""
    cure = "shorten or remove reference_prefix" if form.prefix else "give the bank a longer reference form"
    yield (
        f"{at}.options",
        (
            f"references of {bank} stay unique for {days} days, {bank_references.UNIQUE_DAYS} are needed: "
            f"{form.length} characters of {len(form.alphabet)} letters{taken} have no room for the "
            f"time, and an old payment could be taken for a new one; {cure}"
        ),
    )
