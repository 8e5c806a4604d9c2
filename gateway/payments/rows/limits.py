"""Counting an order before it is judged: its identity, and the daily sums of its sender's limits.

The order is counted before it is judged. So if two nodes admit orders of one sender at once, the second waits for the
first and judges with its sum; and if two nodes admit orders on one account, of any senders, the second sees whether the
first is similar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, bindparam, func, select

from gateway.kernel.clock import ulid_from
from gateway.kernel.commit import registers
from gateway.kernel.commit.payment_cache import MOVED_NOTHING
from gateway.kernel.commit.store import Tx
from gateway.kernel.commit.usage_totals import UsageKey
from gateway.kernel.core.policy import UsageFacts
from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import first_row
from gateway.kernel.sql.sealed import SealBroken
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.outcome import State
from protocols.canon.replaced import replace

SENDER, ACCOUNT, PAYEE, ALIKE = "sender", "account", "payee", "alike"
_ALL = "*"
_NEAR_MIDNIGHT_MS = 60_000
_RAISED = "the row is raised to the sum of the payments; see docs/do/runbooks/BankgwAlarmRowAltered.md"
_C = schema.payments.c
_U = schema.usage.c


def _sum(scope: str, key: str) -> Any:
    return (
        select(_U.sum_minor)
        .where(
            _U.sender == bindparam("b_sender"),
            _U.scope == scope,
            _U.key == bindparam(key),
            _U.currency == bindparam("b_currency"),
            _U.day == bindparam("b_day"),
        )
        .scalar_subquery()
        .label(scope)
    )


# One statement, because admission is frequent.
_LOOK = select(
    select(_C.payment)
    .where(_C.sender == bindparam("b_sender"), _C.order_id == bindparam("b_order"))
    .scalar_subquery()
    .label("taken"),
    select(_C.payment)
    .where(_C.sender == bindparam("b_sender"), _C.batch == bindparam("b_order"))
    .order_by(_C.item_no)
    .limit(1)
    .scalar_subquery()
    .label("batch"),
    _sum(SENDER, "b_all"),
    _sum(ACCOUNT, "b_account"),
    _sum(PAYEE, "b_payee"),
    select(_C.order_id)
    .where(
        _C.dup_key == bindparam("b_dup"),
        _C.accepted_ms >= bindparam("b_since"),
        *[_C.state != state.value for state in sorted(MOVED_NOTHING)],
    )
    .order_by(_C.accepted_ms.desc())
    .limit(1)
    .scalar_subquery()
    .label("alike"),
)


def accepted_today(tx: Tx, zone: ZoneInfo) -> tuple[str, tuple[ColumnElement[bool], ...]]:
    """The present day, and the conditions of the payments that were surely counted on it."""
    begin = datetime.combine(datetime.fromtimestamp(tx.now_ms / 1000, zone).date(), time(), zone)
    begin_ms = int(begin.timestamp() * 1000)
    # Orders of later days exist if the clock was ahead, or is set back now.
    end_ms = int((begin + timedelta(days=1)).timestamp() * 1000)
    # An order that came in just before midnight is counted on the day before, and accepted on this day.
    begin_ms += _NEAR_MIDNIGHT_MS
    return begin.date().isoformat(), (
        _C.payment >= ulid_from(begin_ms),
        _C.accepted_ms >= begin_ms,
        _C.accepted_ms < end_ms,
        _C.state != State.REJECTED.value,
    )


def recount(tx: Tx, zone: ZoneInfo) -> int:
    """Raise the day's sums that are lower than the payments accepted on that day, because somebody changed or deleted
    sums by SQL. Returns how many were raised. A sum may be higher; none is lowered."""
    day, accepted = accepted_today(tx, zone)
    asked = (
        select(
            _C.sender, _C.currency, _C.kind, _C.debtor_idx, _C.creditor_idx, func.sum(_C.amount_minor).label("minor")
        )
        .where(*accepted)
        .group_by(_C.sender, _C.currency, _C.kind, _C.debtor_idx, _C.creditor_idx)
    )
    least: Counter[UsageKey] = Counter()
    for row in tx.read.execute(asked):
        pair = (row.debtor_idx, row.creditor_idx)
        ours, theirs = reversed(pair) if row.kind == Kind.COLLECTION.value else pair
        for scope, key in ((SENDER, _ALL), (ACCOUNT, ours), (PAYEE, theirs)):
            least[row.sender, scope, key, row.currency, day] += int(row.minor)
    return raise_sums(tx, day, least)


def raise_sums(tx: Tx, day: str, least: Mapping[UsageKey, int], expected: Collection[UsageKey] = frozenset()) -> int:
    """Raise the sums of this day that are lower than `least`. Returns how many. Each is reported as altered, except
    those that are `expected` to be lower."""
    there = {
        (row.sender, row.scope, row.key, row.currency, row.day): int(row.sum_minor)
        for row in tx.raw.execute(select(schema.usage).where(_U.day == day))
    }
    raised = set()
    for key in {**there, **least}:
        stored_minor = there.get(key, 0)
        higher = tx.usage_totals.raised(key, stored_minor)
        lacking = least.get(key, 0) - stored_minor - tx.usage_totals.pending_minor(key)
        if lacking > 0:
            tx.usage_totals.add(key, lacking, 0)
        if higher or lacking > 0:
            raised.add(key)
    for key in raised.difference(expected):
        broken = SealBroken(schema.usage.name, "/".join(key[:2]), "counts less than the payments of the day")
        registers.report(tx.vault, broken, _RAISED)
    return len(raised)


def counted_minor(tx: Tx, key: UsageKey, stored: Any) -> int:
    """The sum of this key with what the group has not written yet, by the value of its row, None if it has no row. A
    row that is lower than this process has counted is raised, and reported as altered."""
    if tx.usage_totals.raised(key, int(stored or 0)):
        broken = SealBroken(schema.usage.name, "/".join(key[:2]), "counts less than this process has counted")
        registers.report(tx.vault, broken, _RAISED)
    return int(stored or 0) + tx.usage_totals.pending_minor(key)


def lock_account(tx: Tx, account: str, currency: str) -> None:
    """Wait for other nodes that admit orders on this account, and make them wait until this transaction ends.

    Nodes that skip the search for similar orders do not wait. SQLite has one writer, which needs no lock.
    """
    if tx.raw.dialect.name != "sqlite":
        tx.usage_totals.add((_ALL, ALIKE, tx.vault.blind(account), currency, _ALL), 0, 1)
        tx.usage_totals.write_pending(tx.raw)


class OrderClaim:
    """Counts one order in its sender's sums within one transaction. `columns` are the blind index columns of its
    payment."""

    def __init__(
        self, tx: Tx, sender: str, order: AnyOrder, day: str, dup_key: str | None, alike_since_ms: int
    ) -> None:
        blind, currency = tx.vault.blind, order.amount.currency
        self._tx = tx
        self._minor = order.amount.minor
        # Limits count per own account and per other party, for payments in both directions.
        own = order.ours
        ours, theirs = blind(own.account.clear), blind(order.theirs.account.clear)
        pays = own is order.debtor
        self.columns: dict[str, str | None] = {
            "debtor_idx": ours if pays else theirs,
            "creditor_idx": theirs if pays else ours,
            "dup_key": None if dup_key is None else blind(dup_key),
        }
        self._keys = (
            (sender, SENDER, _ALL, currency, day),
            (sender, ACCOUNT, ours, currency, day),
            (sender, PAYEE, theirs, currency, day),
        )
        # A row without a sum that all orders on one account update, so that orders of two senders wait for each other.
        self._together = None if dup_key is None else (_ALL, ALIKE, ours, currency, _ALL)
        self._bound: dict[str, Any] = {
            "b_sender": sender,
            "b_order": order.id,
            "b_all": _ALL,
            "b_account": ours,
            "b_payee": theirs,
            "b_currency": currency,
            "b_day": day,
            "b_dup": self.columns["dup_key"],
            "b_since": alike_since_ms,
        }

    def usage_facts(self) -> str | UsageFacts:
        """The payment that already has the order's identity, or the facts for judging the order.

        The id of a batch is taken as well: by the batch's first item.
        """
        tx, bound = self._tx, self._bound
        pending = tx.payment_cache.taken(bound["b_sender"], bound["b_order"])
        if pending is not None:
            return pending
        conn = tx.read if tx.payment_cache.gave_back else tx.raw
        row: Any = first_row(conn, _LOOK, bound)
        if row.taken is not None or row.batch is not None:
            return str(row.taken or row.batch)
        if tx.payment_cache.was_admitted(bound["b_sender"], bound["b_order"]):
            why = "was deleted: this process has admitted the order"
            broken = SealBroken(schema.payments.name, f"{bound['b_sender']}/{bound['b_order']}", why)
            registers.report(tx.vault, broken, "the order gets no second payment; ask the bank about the first one")
            raise broken
        day, account_day, payee_day = [
            counted_minor(tx, key, found) for found, key in zip((row.sender, row.account, row.payee), self._keys)
        ]
        return UsageFacts(day, account_day, payee_day, alike_id=tx.payment_cache.alike(bound["b_dup"]) or row.alike)

    def count(self, facts: UsageFacts) -> UsageFacts:
        """Add the order to the day's sums, and return the facts while no other node can change them.

        This may have waited for another node's order, which may be similar to this one.
        """
        self._add(self._minor, 1)
        conn = self._tx.raw
        if conn.dialect.name == "sqlite":
            return facts  # SQLite has this one writer only
        if self._together is not None:
            self._tx.usage_totals.add(self._together, 0, 1)
        self._tx.usage_totals.write_pending(conn)
        again: Any = first_row(conn, _LOOK, self._bound)
        return replace(
            facts,
            day_minor=int(again.sender) - self._minor,
            account_day_minor=int(again.account) - self._minor,
            payee_day_minor=int(again.payee) - self._minor,
            alike_id=facts.alike_id or again.alike,
        )

    def release(self) -> None:
        """Undo the counting of an order that was not admitted."""
        self._add(-self._minor, -1)

    def _add(self, minor: int, number: int) -> None:
        for key in self._keys:
            self._tx.usage_totals.add(key, minor, number)
