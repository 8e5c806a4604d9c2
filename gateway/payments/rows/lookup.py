"""Finding payments: by key, by order id, by bank reference, or by a list's filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, bindparam, case, func, literal, or_, select

from gateway.kernel.clock import ulid_from
from gateway.kernel.commit import payment_rows
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import speakable
from gateway.kernel.sql.driver import first_row
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rules.scopes import WHOLE, Scope
from protocols.canon.order import Kind
from protocols.canon.outcome import State

_C = schema.payments.c


_FETCH = select(schema.payments).where(_C.payment == bindparam("b_payment"))


_EACH = select(schema.payments).where(_C.payment.in_(bindparam("b_payments", expanding=True)))


_FIND = select(schema.payments).where(_C.sender == bindparam("b_sender"), _C.order_id == bindparam("b_order_id"))


_BATCH = select(schema.batches.c.batch).where(
    schema.batches.c.sender == bindparam("b_sender"), schema.batches.c.batch == bindparam("b_order_id")
)


_ORDER = select(_C.order_id).where(_C.sender == bindparam("b_sender"), _C.order_id == bindparam("b_order_id"))


_OF_FILE = (
    select(_C.order_id)
    .where(_C.sender == bindparam("b_sender"), _C.order_id > bindparam("b_first"), _C.order_id < bindparam("b_last"))
    .limit(1)
)


_FIND_BY_REFERENCE = select(schema.payments).where(
    _C.lane == bindparam("b_lane"), _C.bank_ref == bindparam("b_bank_ref")
)


@dataclass(frozen=True, slots=True)
class Filters:
    """Selects the payments of a list; None means any. Times are acceptance times in ms: from (inclusive) and before.
    Only payments of own accounts `inside` are listed. `of_newest`: search only this many of the newest payments, one by
    one, without another index."""

    states: tuple[State, ...] = ()
    bank: str | None = None
    lane: str | None = None
    sender: str | None = None
    order_id: str | None = None
    bank_ref: str | None = None
    batch: str | None = None
    debtor_account: str | None = None
    creditor_account: str | None = None
    from_ms: int | None = None
    before_ms: int | None = None
    inside: Scope = WHOLE
    of_newest: int | None = None


def fetch(conn: Connection, payment: str) -> PaymentRow | None:
    """The payment with this key."""
    return _one(conn, _FETCH, b_payment=payment)


def fetch_each(conn: Connection, payments: Sequence[str]) -> list[PaymentRow]:
    """The existing payments among these keys, in no order."""
    vault = vault_of(conn)
    found = conn.execute(_EACH, {"b_payments": list(payments)})
    return [payment_rows.decode_row(row, vault) for row in found]


def find(conn: Connection, sender: str, order_id: str) -> PaymentRow | None:
    """The sender's payment with this order id."""
    return _one(conn, _FIND, b_sender=sender, b_order_id=order_id)


def is_taken(conn: Connection, sender: str, id_: str) -> bool:
    """True if the sender has an order or a batch with this id. Only the key is read, so an altered row counts, too."""
    named = {"b_sender": sender, "b_order_id": speakable(id_)}
    return any(first_row(conn, statement, named) is not None for statement in (_ORDER, _BATCH))


def has_orders_of(conn: Connection, sender: str, file_id: str) -> bool:
    """True if the sender has an order whose id begins with this id of a file and `/`, as the orders of files have."""
    first = f"{speakable(file_id)}/"
    named = {"b_sender": sender, "b_first": first, "b_last": f"{first[:-1]}0"}
    return first_row(conn, _OF_FILE, named) is not None


def find_by_reference(conn: Connection, lane: str, bank_ref: str) -> PaymentRow | None:
    """The lane's payment with this bank reference."""
    return _one(conn, _FIND_BY_REFERENCE, b_lane=lane, b_bank_ref=speakable(bank_ref))


def listing(conn: Connection, filters: Filters, limit: int = 100, after: str | None = None) -> list[PaymentRow]:
    """A page of payments, newest first; `after` is the key of the last payment of the previous page."""
    vault = vault_of(conn)
    statement = select(schema.payments).where(*_conditions(conn, filters))
    if after is not None:
        statement = statement.where(_C.payment < after)
    return [
        payment_rows.decode_row(row, vault) for row in conn.execute(statement.order_by(_C.payment.desc()).limit(limit))
    ]


def are_more_than(conn: Connection, filters: Filters, count: int) -> bool:
    """True if more than this many payments match. Counting stops there."""
    some = select(literal(1).label("one")).select_from(schema.payments).where(*_conditions(conn, filters))
    return int(conn.execute(select(func.count()).select_from(some.limit(count + 1).subquery())).scalar_one()) > count


def _conditions(conn: Connection, filters: Filters) -> list[ColumnElement[bool]]:
    """The conditions of a list, arranged so that the most selective one uses its index: lanes or senders are named if
    the index begins with them."""
    vault, where = vault_of(conn), list[ColumnElement[bool]]()
    if filters.states:
        where.append(_C.state.in_([state.value for state in filters.states]))
        if filters.lane is None and State.SETTLED not in filters.states:
            where.append(_C.lane.in_(lanes(conn)))
    by_sender = (filters.order_id, filters.batch, filters.creditor_account) != (None, None, None)
    if by_sender and filters.sender is None and filters.of_newest is None:
        where.append(_C.sender.in_(_values(conn, _C.sender)))
    for column, wanted in (
        (_C.bank, filters.bank),
        (_C.lane, filters.lane),
        (_C.sender, filters.sender),
        (_C.order_id, filters.order_id),
        (_C.bank_ref, filters.bank_ref),
        (_C.batch, filters.batch),
    ):
        if wanted is not None:
            where.append(column == wanted)
    for column, account in ((_C.debtor_idx, filters.debtor_account), (_C.creditor_idx, filters.creditor_account)):
        if account is not None:
            # An index of accounts leads to all payments of an account, which are many for an own account.
            looked_at = column if filters.of_newest is None else func.coalesce(column, "")
            where.append(looked_at == vault.blind(account))
    if filters.of_newest is not None:
        oldest = select(_C.payment).order_by(_C.payment.desc()).offset(filters.of_newest).limit(1)
        where.append(_C.payment > func.coalesce(oldest.scalar_subquery(), ""))
    if not filters.inside.whole:
        where.append(inside(filters.inside, vault))
    if filters.from_ms is not None:
        # The key of a payment begins with its acceptance time, so that no key of the period is smaller.
        where += [_C.payment >= ulid_from(filters.from_ms), _C.accepted_ms >= filters.from_ms]
    if filters.before_ms is not None:
        where.append(_C.accepted_ms < filters.before_ms)
    return where


def lanes(conn: Connection) -> list[str]:
    """The lanes that have payments. A condition that names them can use the index over lane and state."""
    return _values(conn, _C.lane)


def _values(conn: Connection, column: Column[str]) -> list[str]:
    """The distinct values of a column with which an index begins, each found by one step in the index."""
    found, last = list[str](), ""
    while (value := conn.execute(select(func.min(column)).where(column > last)).scalar()) is not None:
        last = value
        found.append(last)
    return found


def inside(scope: Scope, vault: Vault) -> ColumnElement[bool]:
    """The condition for payments of own accounts inside a scope that is not the whole."""
    own = case((_C.kind == Kind.COLLECTION.value, _C.creditor_idx), else_=_C.debtor_idx)
    accounts = [vault.blind(one) for one in sorted(scope.accounts)]
    return or_(_C.company.in_(sorted(scope.companies)), own.in_(accounts))


def _one(conn: Connection, statement: Select[Any], **values: str) -> PaymentRow | None:
    row = first_row(conn, statement, values)
    return None if row is None else payment_rows.decode_row(row, vault_of(conn))
