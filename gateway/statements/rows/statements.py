"""Statement entries from a file, recorded like the entries that a bank's lane reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, func, select

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import Route
from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rows.persons import No
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from protocols.erp.account_replies import Statement, Totals, line_id

_E = schema.statement_entries.c


@dataclass(frozen=True, slots=True)
class StatementEnd:
    """The end of a statement from a file: its period, both balances, and the number of its entries."""

    first: date
    last: date
    opening: Money
    closing: Money
    count: int


def judge(conn: Connection, route: Route, end: StatementEnd, lines: Sequence[Line]) -> list[Line] | No:
    """The entries that are not recorded yet, or the reason why nothing of the statement may be recorded.

    It holds for the entries recorded now. `close` compares them again once these are recorded.
    """
    if end.first > end.last:
        return No("bad_period", "the statement ends before it begins; nothing was changed")
    outside = next((line for line in lines if not end.first <= line.bank_date <= end.last), None)
    if outside is not None:
        return No(
            "bad_period",
            f"entry {outside.bank_line_id} of {outside.bank_date} is outside of {end.first} to "
            f"{end.last}; nothing was changed",
        )
    told = {line_id(line): line for line in lines}
    there = _recorded(conn, route.account, list(told))
    for key, said in there.items():
        line = told[key]
        if said != (line.direction.value, line.amount.minor, line.amount.currency):
            return No(
                "changed",
                f"entry {line.bank_line_id} of {line.bank_date} was told with another amount before; "
                "nothing was changed",
            )
    new = [line for key, line in told.items() if key not in there]
    count, credit, debit = _sums(conn, route.account, end.first, end.last)
    credit += sum(line.amount.minor for line in new if line.direction is Direction.CREDIT)
    debit += sum(line.amount.minor for line in new if line.direction is Direction.DEBIT)
    return _why_not(conn, route, end, (count + len(new), credit, debit)) or new


def record(tx: Tx, route: Route, lines: Sequence[Line], hearers: Sequence[str]) -> None:
    """Record the entries of a statement that `judge` accepted."""
    for line in lines:
        accounts.keep_entry(tx, route.bank, line, hearers)


def close(tx: Tx, route: Route, end: StatementEnd, hearers: Sequence[str], actor: str) -> No | None:
    """Close the period's last day, if the balances and the recorded entries still agree."""
    count, credit, debit = _sums(tx.fresh, route.account, end.first, end.last)
    why = _why_not(tx.read, route, end, (count, credit, debit))
    if why is not None:
        return why
    known = accounts.day_of(tx.read, route.account, end.last)
    if known is not None and known[0] == end.last:
        return None  # Closed before: the event is sent only once.
    statement = Statement(
        AccountNumber(route.account),
        route.currency,
        end.last,
        Totals(credit_minor=credit, debit_minor=debit),
        end.opening,
        end.closing,
    )
    accounts.close_day(tx, route.bank, statement, hearers)
    audit.append(
        tx,
        actor,
        "statement.from_file",
        tx.vault.blind(route.account)[:16],
        {"from": end.first.isoformat(), "to": end.last.isoformat(), "count": end.count},
    )
    return None


def _why_not(conn: Connection, route: Route, end: StatementEnd, sums: tuple[int, int, int]) -> No | None:
    """The reason why the period cannot be closed with this number of entries, money in and money out."""
    count, credit, debit = sums
    if count != end.count:
        return No(
            "overlap",
            f"{count} entries are told of {end.first} to {end.last}, the statement says "
            f"{end.count}: entries of another statement are among them, or some are missing; no day is "
            "closed",
        )
    if end.opening.minor + credit - debit != end.closing.minor:
        return No(
            "totals",
            f"opening {end.opening} and entries of +{Money(credit, route.currency)} and "
            f"-{Money(debit, route.currency)} do not make the closing {end.closing}; no day is "
            "closed",
        )
    before = accounts.day_of(conn, route.account, end.first - timedelta(days=1))
    if before is not None and before[2] not in (None, end.opening):
        return No(
            "gap",
            f"the statement of {before[0]} closes with {before[2]}, this one opens with "
            f"{end.opening}; no day is closed",
        )
    known = accounts.day_of(conn, route.account, end.last)
    if known is not None and known[0] == end.last and known[2] != end.closing:
        return No("changed", f"{end.last} is closed with {known[2]}, the statement says {end.closing}; it stays")
    return None


def _recorded(conn: Connection, account: str, keys: Sequence[str]) -> dict[str, tuple[str, int, str]]:
    """Direction, amount and currency of the entries that are recorded under these keys."""
    index = vault_of(conn).blind(account)
    columns = (_E.line, _E.direction, _E.amount_minor, _E.currency)
    return {
        row[0]: (row[1], int(row[2]), row[3])
        for some in accounts.pieces(keys)
        for row in conn.execute(select(*columns).where(_E.account_idx == index, _E.line.in_(some)))
    }


def _sums(conn: Connection, account: str, first: date, last: date) -> tuple[int, int, int]:
    """The number, money in and money out of the entries that are recorded for a period."""
    statement = (
        select(_E.direction, func.count(), func.sum(_E.amount_minor))
        .where(
            _E.account_idx == vault_of(conn).blind(account),
            _E.bank_date >= first.isoformat(),
            _E.bank_date <= last.isoformat(),
        )
        .group_by(_E.direction)
    )
    found = {row[0]: (int(row[1]), int(row[2])) for row in conn.execute(statement)}
    credits_, credit = found.get(Direction.CREDIT.value, (0, 0))
    debits, debit = found.get(Direction.DEBIT.value, (0, 0))
    return credits_ + debits, credit, debit
