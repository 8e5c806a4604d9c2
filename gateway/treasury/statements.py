"""Statement entries that come from a file, recorded as those that a bank's lane tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, func, select

from gateway.core.policy import Route
from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.payments import accounts
from gateway.journal.people.persons import No
from gateway.journal.sql import schema
from gateway.journal.sql.vaults import vault_of
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from protocols.erp.account_replies import Statement, Totals, line_id

_E = schema.statement_entries.c


@dataclass(frozen=True, slots=True)
class StatementEnd:
    """What closes a statement from a file: its period, both balances, and how many entries it has."""

    first: date
    last: date
    opening: Money
    closing: Money
    count: int


def add(tx: Tx, route: Route, lines: Sequence[Line], hearers: Sequence[str]) -> int | No:
    """Record entries; those there already are skipped. An entry that was told differently before is refused."""
    new = 0
    for line in lines:
        key = line_id(line)
        there = tx.read.execute(select(_E.direction, _E.amount_minor, _E.currency).where(_E.line == key)).first()
        if there is None:
            new += accounts.keep_entry(tx, route.bank, line, hearers)
        elif tuple(there) != (line.direction.value, line.amount.minor, line.amount.currency):
            return No("changed", f"entry {line.bank_line_id} of {line.bank_date} was told with another amount before; "
                      "this portion is refused")  # fmt: skip
    return new


def close(tx: Tx, route: Route, end: StatementEnd, hearers: Sequence[str], actor: str) -> No | None:
    """Close the period's last day, if the balances and the recorded entries agree. The entries stay either way."""
    if end.first > end.last:
        return No("bad_period", "the statement ends before it begins; its entries are kept, no day is closed")
    count, credit, debit = _sums(tx.fresh, route.account, end.first, end.last)
    if count != end.count:
        return No("overlap", f"{count} entries are recorded of {end.first} to {end.last}, the statement has "
                  f"{end.count}: another statement overlaps it; no day is closed")  # fmt: skip
    if end.opening.minor + credit - debit != end.closing.minor:
        return No("totals", f"opening {end.opening} and entries of +{Money(credit, route.currency)} and "
                  f"-{Money(debit, route.currency)} do not make the closing {end.closing}; no day is "
                  "closed")  # fmt: skip
    before = accounts.day_of(tx.read, route.account, end.first)
    if before is not None and before[0] < end.first and before[2] not in (None, end.opening):
        return No("gap", f"the statement of {before[0]} closes with {before[2]}, this one opens with "
                  f"{end.opening}; no day is closed")  # fmt: skip
    known = accounts.day_of(tx.read, route.account, end.last)
    if known is not None and known[0] == end.last:
        # Closed before: nobody is told twice.
        return None if known[2] == end.closing else No(
            "changed", f"{end.last} is closed with {known[2]}, the statement says {end.closing}; it stays")  # fmt: skip
    statement = Statement(AccountNumber(route.account), route.currency, end.last,
                          Totals(credit_minor=credit, debit_minor=debit), end.opening, end.closing)  # fmt: skip
    accounts.close_day(tx, route.bank, statement, hearers)
    audit.append(tx, actor, "statement.from_file", tx.vault.blind(route.account)[:16], {
        "from": end.first.isoformat(), "to": end.last.isoformat(), "count": end.count})  # fmt: skip
    return None


def _sums(conn: Connection, account: str, first: date, last: date) -> tuple[int, int, int]:
    """Count, money in and money out of the entries recorded of a period."""
    statement = (
        select(_E.direction, func.count(), func.sum(_E.amount_minor))
        .where(_E.account_idx == vault_of(conn).blind(account), _E.bank_date >= first.isoformat(),
               _E.bank_date <= last.isoformat())
        .group_by(_E.direction)
    )  # fmt: skip
    found = {row[0]: (int(row[1]), int(row[2])) for row in conn.execute(statement)}
    credits_, credit = found.get(Direction.CREDIT.value, (0, 0))
    debits, debit = found.get(Direction.DEBIT.value, (0, 0))
    return credits_ + debits, credit, debit
