"""The signer's log beside the permit log: every permit of its lanes was signed, every signed payment is in the
journal."""

from __future__ import annotations

from dataclasses import replace

from gateway.control.offline import signature_check
from gateway.control.offline.signature_check import SignedPayments
from gateway.control.offline.signature_log import PaymentSignature
from gateway.kernel.commit.rows import PaymentRow, Permit
from tests.gateway.kernel.bench import LANE, NOW_MS, Journal, order


def signed(*signatures: PaymentSignature, begun_ms: int = NOW_MS) -> SignedPayments:
    payments = {(one.lane, one.reference): one for one in signatures}
    return SignedPayments(payments, {LANE: begun_ms}, len(signatures))


def signature(row: PaymentRow, attempt: int = 1) -> PaymentSignature:
    amount = row.order.amount
    return PaymentSignature(
        NOW_MS, "k", LANE, row.bank_ref, attempt, "payment", amount.currency, amount.minor, "c", "o"
    )


def check(journal: Journal, found: SignedPayments, *permits: Permit) -> list[str]:
    return journal.read(lambda conn: list(signature_check.contradictions(conn, found, permits)))


def permit(row: PaymentRow, attempt: int = 1) -> Permit:
    return Permit(f"{LANE}/{row.bank_ref}", attempt, 1)


def test_what_was_signed_and_permitted_agrees(journal: Journal) -> None:
    row = journal.admit(order()).row
    journal.send(row)
    assert check(journal, signed(signature(row)), permit(row)) == []
    assert check(journal, signed(signature(row)), permit(row, 2)) == [], "a repeat sends the same bytes"
    assert check(journal, signed(signature(row))) == [], "it was signed, and never sent"


def test_a_permit_without_a_signature_is_a_contradiction(journal: Journal) -> None:
    row, other = journal.admit(order()).row, journal.admit(order("AP-2")).row
    journal.send(row)
    [said] = check(journal, signed(signature(other)), permit(row))
    assert f"{LANE}/{row.bank_ref}: attempt 1 was permitted" in said
    [said] = check(journal, signed(signature(row, 2)), permit(row))
    assert "attempt 1 was permitted" in said
    unknown = Permit(f"{LANE}/GONE", 1, 1)
    assert len(check(journal, signed(), unknown)) == 1, "a send that the journal lacks"


def test_what_was_sent_before_the_signer_began_was_signed_elsewhere(journal: Journal) -> None:
    row = journal.admit(order()).row
    journal.send(row)
    assert check(journal, signed(begun_ms=NOW_MS + 1), permit(row)) == []


def test_permits_of_other_lanes_are_not_compared(journal: Journal) -> None:
    assert check(journal, signed(), Permit("pab.main/X", 1, 1)) == []


def test_a_signature_without_a_payment_is_a_contradiction(journal: Journal) -> None:
    row = journal.admit(order()).row
    gone = replace(signature(row), reference="GONE")
    [said] = check(journal, signed(gone))
    assert "no payment of this reference" in said
    [said] = check(journal, signed(replace(signature(row), amount_minor=1)))
    assert "another amount" in said


def test_a_payment_that_was_deleted_after_its_retention_is_not_missed(journal: Journal) -> None:
    row = journal.admit(order()).row
    assert check(journal, signed(replace(signature(row), reference="OLD", at_ms=NOW_MS - 1))) == []
