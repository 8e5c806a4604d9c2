"""Entries of an account as evidence about payments: what was booked was paid. What is missing proves nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import case, select

from gateway.core.states import Answered, Source, Work
from gateway.journal.commit import attempts, audit, payment_rows
from gateway.journal.commit.hand_over import Applied
from gateway.journal.commit.rows import Evidence, PaymentRow, WorkRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import transition as applying
from gateway.journal.payments.accounts import pieces
from gateway.journal.sql import schema
from gateway.journal.sql.columns import speakable
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome, State
from protocols.canon.statement import Direction, Line

ASKED_AT_ONCE = 1_000
_C = schema.payments.c
_ASKING = [state.value for state in (State.PENDING, State.IN_DOUBT, State.ESCALATED)]


@dataclass(frozen=True, slots=True)
class StatementEvidence:
    """What an entry meant for a payment. `disagrees`: it carries the reference, but is not that payment's booking.
    `twice`: another entry was that booking already, and money moved again under one reference."""

    row: PaymentRow
    applied: Applied | None
    disagrees: str | None = None
    twice: bool = False


def evidence_from_entry(tx: Tx, lane: str, line: Line, *, epoch: int | None, actor: str) -> StatementEvidence | None:
    """Let a booked entry speak for the payment whose reference it carries.

    A debit of the payer's own account (for a collection: a credit of the payee's) with our reference and the exact
    amount is the bank's word that it was paid: Source.STATEMENT, `settled`. None: the entry carries no reference of
    this lane, or is a fee, or runs the other way (money that came back is the returns question's). Nothing is ever
    made `failed` by an entry, nor by its absence. A reference with another amount or account changes no payment; it is
    audited, and so is a second entry of one payment. The caller raises the alarm for both.
    """
    if line.reference is None or line.fee:
        return None
    columns = schema.payments.c
    found = tx.fresh.execute(
        select(schema.payments).where(columns.lane == lane, columns.bank_ref == speakable(line.reference))
    ).first()
    if found is None:
        return None
    row = payment_rows.read(found, tx.vault)
    if line.direction is not (Direction.CREDIT if row.order.kind is Kind.COLLECTION else Direction.DEBIT):
        return None
    wrong = _disagreement(row, line)
    if wrong is not None:
        audit.append(tx, actor, "statement.disagrees", row.payment, {"line": line.bank_line_id, "what": wrong})
        return StatementEvidence(row, None, wrong)
    outcome = Outcome(Fate.SETTLED, bank_serial=line.bank_line_id or None, booked_at=line.booked_at)
    note = speakable(f"entry {line.bank_line_id}/{line.occurrence} of {line.bank_date}")
    twice = any(other != note for other in attempts.notes_of(tx, row.payment, Source.STATEMENT))
    if twice:
        audit.append(tx, actor, "statement.booked_twice", row.payment, {"line": line.bank_line_id})
    evidence = Evidence(Source.STATEMENT, b"", Fate.SETTLED, note=note)
    event = Answered(tx.now_ms, Fate.SETTLED, Source.STATEMENT)
    applied = applying.apply(tx, row.payment, event, epoch=epoch, actor=actor, evidence=evidence, outcome=outcome)
    return StatementEvidence(row, applied, twice=twice)


def unheard(tx: Tx, lane: str, lines: Iterable[Line]) -> list[Line]:
    """Those of the entries that name a payment in doubt and are its booking, though they were seen before.

    Their word was not heard then, or the doubt came later. One that disagrees was audited when it was seen.
    """
    naming = [line for line in lines if line.reference is not None and not line.fee]
    doubts: dict[str | None, PaymentRow] = {}
    for some in pieces(sorted({line.reference for line in naming if line.reference is not None})):
        where = (_C.lane == lane, _C.bank_ref.in_([speakable(one) for one in some]), _C.state.in_(_ASKING))
        for found in tx.read.execute(select(schema.payments).where(*where)).all():
            doubts[found.bank_ref] = payment_rows.read(found, tx.vault)
    return [line for line in naming if line.reference in doubts and not _disagreement(doubts[line.reference], line)]


def ask_after_statement(tx: Tx, lane: str, account: str) -> int:
    """A day of the account is closed: let the bank be asked now about its payments that no entry ended; how many.

    At most `ASKED_AT_ONCE`, the oldest first; the others are asked about in their turn.
    """
    own = case((_C.kind == Kind.COLLECTION.value, _C.creditor_idx), else_=_C.debtor_idx)
    found = tx.fresh.execute(
        select(_C.payment, _C.epoch)
        .where(_C.lane == lane, _C.state.in_(_ASKING), own == tx.vault.blind(account))
        .order_by(_C.payment).limit(ASKED_AT_ONCE)
    ).all()  # fmt: skip
    for payment, epoch in found:
        tx.due(WorkRow(payment, Work.ENQUIRE, lane, tx.now_ms, epoch))
    return len(found)


def _disagreement(row: PaymentRow, line: Line) -> str | None:
    if line.account.clear != row.order.ours.account.clear:
        return "account"
    if line.amount != row.order.amount:
        return "amount"
    return None
