"""Exceptions of an account's reconciliation, which a person must look at: by kind, each with one next step.

A row without a counterpart is an exception only once its counterpart is overdue; until then the counterpart is still
expected. In the matching of payments, entries that belong to no payment are no exceptions, because most of a bank's
entries are not about our payments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from gateway.reconciliation.rows.reconciled import Reconciled
from gateway.reconciliation.rules.decision import OpenReason
from gateway.reconciliation.rules.rows import Matching
from gateway.register.match_terms import AccountTerms


class ExceptionKind(StrEnum):
    """The kinds of fault that a row can have."""

    AMOUNT = "amount_differs"
    DATE = "date_differs"
    AMBIGUOUS = "ambiguous"
    NOT_BOOKED = "missing_in_book"
    NOT_AT_BANK = "missing_at_bank"
    NOT_EXECUTED = "payment_without_entry"
    VOID = "void_decision"


NEXT_STEPS: Mapping[ExceptionKind, str] = {
    ExceptionKind.AMOUNT: "compare the amounts; hand in a corrected book, or set the row aside with the bank's answer",
    ExceptionKind.DATE: "compare the two rows; if they are the same, confirm them, else set them aside with the reason",
    ExceptionKind.AMBIGUOUS: "find out which rows belong together, and confirm that pair",
    ExceptionKind.NOT_BOOKED: "enter it in the ERP, and hand in the book again",
    ExceptionKind.NOT_AT_BANK: "ask whether it was presented or paid; set the row aside with the answer",
    ExceptionKind.NOT_EXECUTED: "ask the bank for the entry: bankgw orders enquire; look at the order's timeline",
    ExceptionKind.VOID: "undo the decision, and decide again about the rows as they are now",
}
"""The one next step of each kind."""

_KINDS = {
    OpenReason.AMOUNT: ExceptionKind.AMOUNT,
    OpenReason.DATE: ExceptionKind.DATE,
    OpenReason.AMBIGUOUS: ExceptionKind.AMBIGUOUS,
}


@dataclass(frozen=True, slots=True)
class ReconciliationException:
    """One exception. `rows` are the rows that it is about, `day` is that of the oldest; `amount_minor` has the sign of
    its effect on the balance.
    """

    kind: ExceptionKind
    matching: Matching
    rows: tuple[str, ...]
    day: date
    amount_minor: int
    about: str

    @property
    def next_step(self) -> str:
        """The remedy for a fault of this kind."""
        return NEXT_STEPS[self.kind]


def exceptions(found: Reconciled, terms: AccountTerms) -> list[ReconciliationException]:
    """The exceptions of an account, oldest first."""
    made = [*_open(found, Matching.PAYMENTS, terms.payments.latest_days)]
    made += _open(found, Matching.BOOK, terms.book.latest_days)
    for decision, why in found.void:
        there = [found.by_id[id] for id in decision.rows if id in found.by_id]
        day = min((row.day for row in there), default=found.last)
        made.append(ReconciliationException(ExceptionKind.VOID, decision.matching, (decision.decision,), day, 0, why))
    return sorted(made, key=lambda one: (one.day, one.kind, one.matching, one.rows))


def _open(found: Reconciled, matching: Matching, overdue_days: int) -> Iterator[ReconciliationException]:
    one = found.matched[matching]
    for lines, opened in ((False, one.open_entries), (True, one.open_lines)):
        for id, reason in opened.items():
            row = found.by_id[id]
            kind = _KINDS.get(reason)
            if kind is None and (found.last - row.day).days > overdue_days:
                kind = _missing(matching, lines)
            if kind is not None:
                yield ReconciliationException(
                    kind, matching, (id,), row.day, row.effect_minor, found.rows.about.get(id, "")
                )


def _missing(matching: Matching, lines: bool) -> ExceptionKind | None:
    if matching is Matching.PAYMENTS:
        return None if lines else ExceptionKind.NOT_EXECUTED
    return ExceptionKind.NOT_BOOKED if lines else ExceptionKind.NOT_AT_BANK
