"""The question to a bank for the receipt of a payment or an entry, with all facts that the journal has about it.

Banks find a receipt by different values: the entry's key, its amount, our reference, the payee. So the question about a
payment also has the key of its entry, and the question about an entry its amount and its payment, if they are recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import Connection, select

from gateway.kernel.commit import attempts
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import bundles, lookup
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import ReceiptQuestion

_E = schema.statement_entries.c


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """The fields of a recorded entry that its receipt needs. `number` is the bank's name for it, if there is one;
    `party` and `party_name` are the other side."""

    entry: str
    bank: str
    account_idx: str
    bank_date: date
    number: str
    amount: Money
    party: str
    party_name: str


def entry_of(conn: Connection, key: str) -> RecordedEntry | None:
    """A recorded entry; None if it is past its retention."""
    row = conn.execute(select(schema.statement_entries).where(_E.entry == key)).first()
    if row is None:
        return None
    detail = accounts.detail_of(vault_of(conn), row.line, row.detail)
    return RecordedEntry(
        row.entry,
        row.bank,
        row.account_idx,
        date.fromisoformat(row.bank_date),
        row.bank_line_id or "",
        Money(row.amount_minor, row.currency),
        detail.get("party", ""),
        detail.get("party_name", ""),
    )


def of_kept(entry: RecordedEntry, account: AccountNumber) -> ReceiptQuestion:
    """The question for the receipt of a recorded entry of incoming money. It names no payment, because money between
    own accounts, or a return, has a receipt of its own at the other account."""
    return ReceiptQuestion(account, entry.bank_date, entry.number, amount=entry.amount)


def of_payment(conn: Connection, row: PaymentRow) -> ReceiptQuestion | None:
    """The question for a payment's receipt; None if it was never sent."""
    attempt = attempts.last(conn, row.payment)
    if attempt is None:
        return None
    account, sent = row.order.ours.account, date.fromisoformat(attempt.bank_date)
    where = (
        _E.account_idx == vault_of(conn).blind(account.clear),
        _E.bank_date >= attempt.bank_date,
        _E.matched_payment == row.payment,
    )
    entry = conn.execute(select(_E.bank_line_id, _E.bank_date).where(*where).order_by(_E.entry).limit(1)).first()
    question = _about(conn, row, sent)
    if entry is None:
        return question
    return replace(question, bank_line_id=entry.bank_line_id or "", bank_date=date.fromisoformat(entry.bank_date))


def of_entry(conn: Connection, account: AccountNumber, bank_date: date, bank_line_id: str) -> ReceiptQuestion:
    """The question for an entry's receipt. If the entry is not recorded, or shares its key with others, the question
    names the key."""
    where = (
        _E.account_idx == vault_of(conn).blind(account.clear),
        _E.bank_date == bank_date.isoformat(),
        _E.bank_line_id == bank_line_id,
    )
    found = conn.execute(select(_E.amount_minor, _E.currency, _E.matched_payment).where(*where).limit(2)).all()
    question = ReceiptQuestion(account, bank_date, bank_line_id)
    if len(found) != 1:
        return question
    entry = found[0]
    row = None if entry.matched_payment is None else lookup.fetch(conn, entry.matched_payment)
    if row is not None:
        question = replace(_about(conn, row, bank_date), bank_line_id=bank_line_id)
    return replace(question, amount=Money(entry.amount_minor, entry.currency))


def _about(conn: Connection, row: PaymentRow, day: date) -> ReceiptQuestion:
    carried = bundles.of_payment(conn, row.payment)
    bundle = carried[0].bank_ref if carried is not None and carried[0].spent else None
    return ReceiptQuestion(
        row.order.ours.account,
        day,
        reference=row.bank_ref,
        bank_serial=row.bank_serial,
        amount=row.order.amount,
        bundle=bundle,
        creditor=row.order.creditor.account,
        creditor_name=row.order.creditor.name,
    )
