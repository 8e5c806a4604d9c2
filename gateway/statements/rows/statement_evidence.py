"""Statement entries as evidence about payments: a booked entry proves a payment; a missing entry proves nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import case, select

from gateway.kernel.commit import attempts, audit, payment_rows
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import Evidence, PaymentRow, WorkRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Answered, Source, Work
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import speakable
from gateway.payments.rows import transition as applying
from gateway.statements.rows.accounts import pieces
from protocols.canon.host_days import ON_THE_CALENDAR, HostDays
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome, State
from protocols.canon.statement import Direction, Line
from protocols.kit.fields import DAYS_BEFORE

ASKED_AT_ONCE = 1_000
_C = schema.payments.c
_ASKING = [state.value for state in (State.PENDING, State.IN_DOUBT, State.ESCALATED)]


@dataclass(frozen=True, slots=True)
class StatementEvidence:
    """The evidence that an entry gives about a payment. `disagrees`: it has the reference, but is not that payment's
    booking. `twice`: another entry was the booking already, so that money moved twice under one reference."""

    row: PaymentRow
    applied: Applied | None
    disagrees: str | None = None
    twice: bool = False


def evidence_from_entry(
    tx: Tx, lane: str, line: Line, *, epoch: int | None, actor: str, host: HostDays = ON_THE_CALENDAR
) -> StatementEvidence | None:
    """Apply a booked entry to the payment whose reference it has.

    A debit of the own account (for a collection: a credit) with our reference and the exact amount proves that the
    payment was carried out: Source.STATEMENT, `settled`. Returns None if the entry has no reference of this lane, is a
    fee, or has the opposite direction (returned money is found by the returns question). Neither an entry nor a missing
    entry ever makes a payment `failed`. An entry with another amount or account, or of a day on which the payment was
    not sent yet by the bank's date (`host`), changes no payment; it is audited, and so is a second entry for one
    payment. The caller raises the alarm for both, and for an entry that the bank marks as
    a reversal: whether the bank books the payment again afterwards is for people to find out.
    """
    if line.reference is None or line.fee:
        return None
    columns = schema.payments.c
    found = tx.fresh.execute(
        select(schema.payments).where(columns.lane == lane, columns.bank_ref == speakable(line.reference))
    ).first()
    if found is None:
        return None
    row = payment_rows.decode_row(found, tx.vault)
    ours = Direction.CREDIT if row.order.kind is Kind.COLLECTION else Direction.DEBIT
    if line.direction is not ours and not line.reversal:
        return None
    wrong = _disagreement(row, line, host)
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


def unheard(tx: Tx, lane: str, lines: Iterable[Line], host: HostDays = ON_THE_CALENDAR) -> list[Line]:
    """The entries, among those recorded before, that are the booking of a payment still in doubt.

    They were not applied when they were seen, or the doubt arose later. An entry that disagrees was audited then.
    """
    naming = [line for line in lines if line.reference is not None and not line.fee]
    doubts: dict[str | None, PaymentRow] = {}
    for some in pieces(sorted({line.reference for line in naming if line.reference is not None})):
        where = (_C.lane == lane, _C.bank_ref.in_([speakable(one) for one in some]), _C.state.in_(_ASKING))
        for found in tx.read.execute(select(schema.payments).where(*where)).all():
            doubts[found.bank_ref] = payment_rows.decode_row(found, tx.vault)
    return [
        line for line in naming if line.reference in doubts and not _disagreement(doubts[line.reference], line, host)
    ]


def ask_after_statement(tx: Tx, lane: str, account: str) -> int:
    """Make the enquiries about the account's open payments due now, if no entry of its closed day settled them. Returns
    their number.

    At most `ASKED_AT_ONCE`, oldest first; the others keep their enquiry times.
    """
    own = case((_C.kind == Kind.COLLECTION.value, _C.creditor_idx), else_=_C.debtor_idx)
    found = tx.fresh.execute(
        select(_C.payment, _C.epoch)
        .where(_C.lane == lane, _C.state.in_(_ASKING), own == tx.vault.blind(account))
        .order_by(_C.payment)
        .limit(ASKED_AT_ONCE)
    ).all()
    for payment, epoch in found:
        tx.due(WorkRow(payment, Work.ENQUIRE, lane, tx.now_ms, epoch))
    return len(found)


def _disagreement(row: PaymentRow, line: Line, host: HostDays) -> str | None:
    if line.reversal:
        return "reversal"
    if line.account.clear != row.order.ours.account.clear:
        return "account"
    if line.amount != row.order.amount:
        return "amount"
    if row.life.first_write_ms is not None:
        # A reference of an earlier life of this environment may come again: its entries are months older.
        sent = datetime.fromtimestamp(row.life.first_write_ms / 1000, UTC).date()
        if line.bank_date < sent + timedelta(days=host.least) - DAYS_BEFORE:
            return "day"
    return None
