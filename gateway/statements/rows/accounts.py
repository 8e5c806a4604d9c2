"""Watched accounts: the statement entries seen so far, each recorded once for ever, and the last balance from the
bank."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, case, func, select, update

from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import fitting, speakable
from gateway.kernel.sql.databases import insert_new, upsert
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import events
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import State
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Balance, Line
from protocols.erp import account_replies
from protocols.erp.account_replies import Statement, line_id

_E = schema.statement_entries.c
_B = schema.balances.c
_P = schema.payments.c
KEYS_A_QUERY = 500
CLOSINGS_KEPT = 8
UNCLEAR = (State.SENDING, State.PENDING, State.IN_DOUBT, State.ESCALATED)


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """A balance, and when this node received it, by its own clock. `dated`: that time is sealed by the vault. A balance
    that was stored before its time was sealed is not dated, and moves no money.
    """

    balance: Balance
    currency: str
    seen_ms: int
    dated: bool = True


def unseen(tx: Tx, lines: Sequence[Line]) -> list[Line]:
    """The entries that were never recorded before, in order, each key once."""
    keys = {line_id(line): line for line in lines}
    known = set[str]()
    for some in pieces(list(keys)):
        known.update(tx.read.execute(select(_E.line).where(_E.line.in_(some))).scalars())
    return [line for key, line in keys.items() if key not in known]


def has_entries(conn: Connection, account: str, day: date) -> bool:
    """Whether an entry of this day was ever recorded for this account."""
    index = vault_of(conn).blind(account)
    asked = select(_E.entry).where(_E.account_idx == index, _E.bank_date == day.isoformat()).limit(1)
    return conn.execute(asked).first() is not None


def pieces(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in lists short enough for one statement on every database."""
    return (keys[start : start + KEYS_A_QUERY] for start in range(0, len(keys), KEYS_A_QUERY))


def keep_entry(tx: Tx, bank: str, line: Line, senders: Iterable[str]) -> bool:
    """Record an entry if it is new, and send an event about it to `senders`. Returns whether it was new."""
    entry, index = line_id(line), tx.vault.blind(line.account.clear)
    row: dict[str, Any] = {
        "entry": tx.entropy.ulid(tx.now_ms),
        "bank": bank,
        "account_idx": index,
        "line": entry,
        "bank_line_id": fitting(line.bank_line_id, _E.bank_line_id) or None,
        "bank_date": line.bank_date.isoformat(),
        "direction": line.direction.value,
        "currency": line.amount.currency,
        "amount_minor": line.amount.minor,
        "booked_ms": None if line.booked_at is None else int(line.booked_at.timestamp() * 1000),
        "matched_payment": None,
        "seen_ms": tx.now_ms,
        "body": tx.vault.seal(speakable(line.text).encode(), b"statement_entries/" + entry.encode()),
    }
    row["detail"] = tx.vault.seal(_detail(line, [row[name] for name in _VOUCHED]), _detail_aad(entry))
    payment = _payment_of(tx, bank, line)
    row["matched_payment"] = payment
    if not insert_new(tx.fresh, schema.statement_entries, row):
        return False
    known = {} if payment is None or line.reference is None else {line.reference: payment}
    for sender in senders:
        events.tell(tx, account_replies.transaction_booked(sender, bank, line, tx.now_ms, known), bank, sender)
    return True


_VOUCHED = ("entry", "bank", "account_idx", "direction", "currency", "amount_minor", "seen_ms")
"""The columns of an entry that are sealed with its detail."""


def _detail(line: Line, vouched: list[Any]) -> bytes:
    """The fields of an entry that the matching reads besides its columns, and the columns that its seal covers."""
    said = {
        "row": vouched,
        "reference": line.reference,
        "party": line.counterparty_account and line.counterparty_account.clear,
        "party_name": line.counterparty_name and line.counterparty_name.clear,
        "fee": line.fee,
        "reversal": line.reversal,
        "balance": line.balance and line.balance.minor,
        "value_date": line.value_date and line.value_date.isoformat(),
    }
    return json.dumps({name: value for name, value in said.items() if value}, ensure_ascii=False).encode()


def detail_of(vault: Vault, line: str, sealed: bytes | None) -> Mapping[str, Any]:
    """The counterparty, reference and marks of an entry by its key `line`; {} for one from before schema 9."""
    return {} if sealed is None else json.loads(vault.open(sealed, _detail_aad(line)))


def vouched_detail(vault: Vault, row: Any) -> Mapping[str, Any]:
    """The detail of an entry's row whose columns are as the gateway wrote them; {} if they are not, or if the entry was
    recorded before its columns were sealed. Money moves by an entry only if this has its counterparty."""
    said = detail_of(vault, row.line, row.detail)
    return said if said.get("row") == [getattr(row, name) for name in _VOUCHED] else {}


def _detail_aad(entry: str) -> bytes:
    return b"statement_entries.detail/" + entry.encode()


def close_day(tx: Tx, bank: str, statement: Statement, senders: Iterable[str]) -> None:
    """Send `senders` an event that a day is complete: its opening balance and its entries add up to its closing
    balance."""
    _remember_closing(tx, statement)
    keep_day(tx, statement)
    for sender in senders:
        events.tell(tx, account_replies.statement_closed(sender, bank, statement, tx.now_ms), bank, sender)


def keep_day(tx: Tx, statement: Statement) -> None:
    """Store a closed day's balances for good, because the reconciliation of a month rests on them."""
    index, day = tx.vault.blind(statement.account.clear), statement.day.isoformat()
    said = {
        "currency": statement.currency,
        "opening": statement.opening and statement.opening.minor,
        "closing": statement.closing and statement.closing.minor,
        "count": statement.totals.count,
    }
    body = tx.vault.seal(json.dumps(said).encode(), day_aad(index, day))
    upsert(tx.fresh, schema.statement_days, [{"account_idx": index, "day": day, "at_ms": tx.now_ms, "body": body}])


def day_of(conn: Connection, account: str, last: date) -> tuple[date, Money | None, Money | None] | None:
    """The last closed day up to `last`: the day, its opening and its closing; None if no day is closed yet."""
    vault, columns = vault_of(conn), schema.statement_days.c
    index = vault.blind(account)
    found = conn.execute(
        select(schema.statement_days)
        .where(columns.account_idx == index, columns.day <= last.isoformat())
        .order_by(columns.day.desc())
        .limit(1)
    ).first()
    if found is None:
        return None
    said = json.loads(vault.open(found.body, day_aad(index, found.day)))
    opening, closing = (
        None if said[name] is None else Money(said[name], said["currency"]) for name in ("opening", "closing")
    )
    return date.fromisoformat(found.day), opening, closing


def closings_between(conn: Connection, account: str, first: date, last: date) -> dict[date, Money]:
    """The closing balances of a period's closed days."""
    vault, columns = vault_of(conn), schema.statement_days.c
    index = vault.blind(account)
    statement = select(schema.statement_days).where(
        columns.account_idx == index, columns.day >= first.isoformat(), columns.day <= last.isoformat()
    )
    found: dict[date, Money] = {}
    for row in conn.execute(statement):
        said = json.loads(vault.open(row.body, day_aad(index, row.day)))
        if said["closing"] is not None:
            found[date.fromisoformat(row.day)] = Money(said["closing"], said["currency"])
    return found


def day_aad(index: str, day: str) -> bytes:
    """The associated data with which a closed day's row is sealed."""
    return f"statement_days/{index}/{day}".encode()


def _payment_of(tx: Tx, bank: str, line: Line) -> str | None:
    if line.reference is None:
        return None
    found = (
        tx.fresh.execute(select(_P.payment).where(_P.bank == bank, _P.bank_ref == speakable(line.reference)).limit(2))
        .scalars()
        .all()
    )
    return str(found[0]) if len(found) == 1 else None


def keep_balance(tx: Tx, bank: str, balance: Balance, currency: str) -> None:
    """Store an account's balance as the bank stated it."""
    index = tx.vault.blind(balance.account.clear)
    kept = _balance_row(tx.read, balance.account.clear)
    closings = {} if kept is None else kept[0].get(_CLOSINGS, {})
    body = tx.vault.seal(_written(balance, currency, closings, tx.now_ms), _aad(index))
    upsert(tx.fresh, schema.balances, [{"account_idx": index, "bank": bank, "seen_ms": tx.now_ms, "body": body}])


def balance_of(conn: Connection, account: str) -> BalanceRow | None:
    """The last balance received for an account; None if there is none."""
    kept = _balance_row(conn, account)
    return None if kept is None else _read(account, *kept)


def balances_of(conn: Connection, accounts: Sequence[str]) -> dict[str, BalanceRow]:
    """The last balances received, by account; an account without one is left out."""
    rows = _balance_rows(conn, accounts)
    return {account: _read(account, said, seen_ms) for account, (said, seen_ms) in rows.items()}


def closings_of(conn: Connection, accounts: Sequence[str], day: date) -> dict[str, Money]:
    """The closing balances of a recently closed day, by account; as `closing_of` for many."""
    rows = {
        account: said.get(_CLOSINGS, {}).get(day.isoformat())
        for account, (said, _) in _balance_rows(conn, accounts).items()
    }
    return {account: Money(told[0], told[1]) for account, told in rows.items() if told is not None}


def _balance_rows(conn: Connection, accounts: Sequence[str]) -> dict[str, tuple[dict[str, Any], int]]:
    vault = vault_of(conn)
    names = {vault.blind(account): account for account in accounts}
    found = {}
    for some in pieces(list(names)):
        for row in conn.execute(select(schema.balances).where(_B.account_idx.in_(some))):
            said = json.loads(vault.open(row.body, _aad(row.account_idx)))
            found[names[row.account_idx]] = said, row.seen_ms
    return found


def closing_of(conn: Connection, account: str, day: date) -> Money | None:
    """The closing balance of a recently closed day; None if the day is not closed, or if it was closed too long ago.

    It is stored with the balance, so that an account whose balance is never read has none.
    """
    kept = _balance_row(conn, account)
    said = None if kept is None else kept[0].get(_CLOSINGS, {}).get(day.isoformat())
    return None if said is None else Money(said[0], said[1])


def _remember_closing(tx: Tx, statement: Statement) -> None:
    account, closing = statement.account.clear, statement.closing
    kept = _balance_row(tx.read, account)
    if kept is None or closing is None:
        return
    said, index = kept[0], tx.vault.blind(account)
    closings = {**said.get(_CLOSINGS, {}), statement.day.isoformat(): [closing.minor, closing.currency]}
    said[_CLOSINGS] = dict(sorted(closings.items())[-CLOSINGS_KEPT:])
    body = tx.vault.seal(json.dumps(said).encode(), _aad(index))
    tx.fresh.execute(update(schema.balances).where(_B.account_idx == index).values(body=body))


def _balance_row(conn: Connection, account: str) -> tuple[dict[str, Any], int] | None:
    """The stored balance of an account, and when it was received."""
    vault = vault_of(conn)
    index = vault.blind(account)
    row = conn.execute(select(schema.balances).where(_B.account_idx == index)).first()
    return None if row is None else (json.loads(vault.open(row.body, _aad(index))), row.seen_ms)


def _aad(index: str) -> bytes:
    return b"balances/" + index.encode()


def entries_on(conn: Connection, account: str, day: date) -> int:
    """The number of recorded entries with that bank date."""
    where = (_E.account_idx == vault_of(conn).blind(account), _E.bank_date == day.isoformat())
    return int(conn.execute(select(func.count()).select_from(schema.statement_entries).where(*where)).scalar_one())


def unclear(conn: Connection, accounts: Sequence[str], states: Sequence[State] = UNCLEAR) -> dict[str, tuple[int, int]]:
    """Payments whose outcome is unknown, by own account: their number and their sum in minor units.

    The own account is the payer's; for a collection, the payee's. `states`: count payments in these states instead.
    """
    vault = vault_of(conn)
    names = {vault.blind(account): account for account in accounts}
    own = case((_P.kind == Kind.COLLECTION.value, _P.creditor_idx), else_=_P.debtor_idx)
    statement = (
        select(own, func.count(), func.sum(_P.amount_minor))
        # The lanes are named so that the index over lane and state is used.
        .where(
            _P.lane.in_(select(schema.lanes.c.lane)),
            _P.state.in_([state.value for state in states]),
            own.in_(list(names)),
        )
        .group_by(own)
    )
    return {names[row[0]]: (int(row[1]), int(row[2])) for row in conn.execute(statement)}


_CLOSINGS, _SEEN = "closings", "seen_ms"
_AMOUNTS = ("book", "available", "frozen", "previous_day")


def _written(balance: Balance, currency: str, closings: Mapping[str, object], seen_ms: int) -> bytes:
    said: dict[str, object] = {"currency": currency, _CLOSINGS: closings, _SEEN: seen_ms}
    for name in _AMOUNTS:
        money: Money | None = getattr(balance, name)
        if money is not None:
            said[name] = money.minor
    if balance.as_of is not None:
        said["as_of"] = balance.as_of.isoformat()
    return json.dumps(said).encode()


def _read(account: str, said: Mapping[str, Any], seen_ms: int) -> BalanceRow:
    currency = said["currency"]
    amounts = {name: Money(said[name], currency) if name in said else None for name in _AMOUNTS}
    as_of = datetime.fromisoformat(said["as_of"]) if "as_of" in said else None
    balance = Balance(AccountNumber(account), **amounts, as_of=as_of, host_date=None)
    # The column beside the sealed balance is not sealed: changing it could make an old balance look fresh.
    return BalanceRow(balance, currency, said.get(_SEEN, seen_ms), dated=_SEEN in said)
