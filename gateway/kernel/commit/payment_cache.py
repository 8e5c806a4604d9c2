"""The writer's cache of payments: the rows it wrote last, and the rows that the present group will write.

Only the writer changes payments in this process, so it need not read again what it has just written, and it can write a
group's changes together. Each update names the version it is based on. If another node changed the payment meanwhile,
the update matches no row: the group is rolled back, the cache is cleared, and each unit is run alone from the database.
A decision that writes nothing is not checked that way, so it must be based on `afresh`; so must an answer to an ERP.

A row from the database is trusted if its seal fits and the audit chain has the same version and sends. A payment that
this process has ended unsent stays ended for this process, because SQL could put its older row back and delete the
entry of its end, and only the next start compares the whole chain. The order ids that this process has admitted stay
taken, too: if SQL deletes a payment and its ERP sends the order again, the order must not get a second payment.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import Connection, bindparam, insert, select, update

from gateway.kernel.commit import chain_check, payment_rows
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.send_leave import SendLeave
from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import first_row, write_many
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault
from protocols.canon.outcome import STATE_TABLE, State

ROWS_KEPT = 5_000
IDS_KEPT = 200_000
"""How many order ids a process remembers, the latest: some 25 MB."""
# Final states of payments that were never sent.
_ENDED_UNSENT = frozenset({State.REJECTED, State.CANCELLED, State.EXPIRED})
# A similar order in one of these states is no suspected duplicate: it moved no money.
MOVED_NOTHING = frozenset({State.REJECTED, State.CANCELLED, State.EXPIRED, State.FAILED})
_C = schema.payments.c
_ROW = select(schema.payments).where(_C.payment == bindparam("b_payment"))
_INSERT = insert(schema.payments)
_UPDATE = (
    update(schema.payments)
    .where(_C.payment == bindparam("b_payment"), _C.version == bindparam("b_version"), _C.epoch <= bindparam("b_epoch"))
    .values({name: bindparam(name) for name in payment_rows.MUTABLE})
)


class Outdated(Exception):  # noqa: N818 - nobody's mistake: another node was faster
    """The database has a newer version of a cached payment. The whole group must be rolled back."""


class PaymentCache:
    """The writer's cache of payments, and the changed rows that the present group will write. Used only by the writer's
    thread.
    """

    def __init__(self, room: int = ROWS_KEPT, ids_room: int = IDS_KEPT) -> None:
        """Make an empty cache for `room` payments and `ids_room` order ids. `gave_back`: an order ended without moving
        money, and the database does not show it yet.
        """
        self._room, self._ids_room = room, ids_room
        self._known: OrderedDict[str, PaymentRow] = OrderedDict()
        self._new: dict[str, tuple[PaymentRow, Mapping[str, str | None]]] = {}
        self._changed: dict[str, tuple[int, PaymentRow]] = {}
        self._written: dict[str, PaymentRow] = {}
        # The versions that this group wrote.
        self._ours: dict[str, int] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self.gave_back = False
        # The payments that this process has ended unsent, until it ends: 90 to 120 bytes each (64 for the id, the rest
        # for its place in the set), so 12 MB for 100,000 cancelled orders.
        self._ended_unsent: set[bytes] = set()
        # The order ids that this process has admitted, as hashes; those of the present group, and all in their order.
        self._group_ids: list[bytes] = []
        self._admitted: set[bytes] = set()
        self._in_order: deque[bytes] = deque()
        # One entry per payment that is being sent, for as long as the sender holds its SendLeave.
        self.send_leaves: WeakValueDictionary[str, SendLeave] = WeakValueDictionary()

    def row(self, conn: Connection, vault: Vault, payment: str) -> PaymentRow | None:
        """The payment as the group has changed it so far; it is read from the database if it is not cached."""
        if payment in self._new:
            return self._new[payment][0]
        if payment in self._changed:
            return self._changed[payment][1]
        known = self._written.get(payment) or self._known.get(payment)
        if known is not None:
            return known
        found = first_row(conn, _ROW, {"b_payment": payment})
        return None if found is None else self._believed(conn, vault, found)

    def _believed(self, conn: Connection, vault: Vault, found: Any) -> PaymentRow:
        """A row of the database as a value. Raises SealBroken if the row is not as the gateway wrote it.

        Changes of this group are not in the audit chain yet, so the version that the group wrote is compared instead.
        """
        row = payment_rows.decode_row(found, vault)
        if row.life.state not in _ENDED_UNSENT and row.payment.encode() in self._ended_unsent:
            raise SealBroken(
                "payments",
                row.payment,
                f"has version {row.version} ({row.life.state.value}), and this process has ended it unsent",
            )
        ours = self._ours.get(row.payment)
        if ours is None:
            chain_check.check(conn, vault, found)
        elif ours != row.version:
            raise SealBroken("payments", row.payment, f"has version {row.version}, and version {ours} was written")
        return row

    def afresh(self, conn: Connection, vault: Vault, payment: str) -> PaymentRow | None:
        """As `row`, but read from the database unless this group changed the payment, because another node may have
        changed it.
        """
        self._known.pop(payment, None)
        return self.row(conn, vault, payment)

    def in_version(self, conn: Connection, vault: Vault, payment: str, version: int) -> PaymentRow | None:
        """As `row`, for a payment that the database has in this version. A cached row in another version is dropped."""
        known = self._known.get(payment)
        if known is not None and known.version != version:
            del self._known[payment]
        return self.row(conn, vault, payment)

    def admit(self, row: PaymentRow, blind: Mapping[str, str | None]) -> None:
        """Add a new payment to the group, with its blind index columns."""
        self._new[row.payment] = row, blind
        self._ids[row.sender, row.order.id] = row.payment
        self._group_ids.append(_hashed(row.sender, row.order.id))
        if row.batch is not None:
            self._ids.setdefault((row.sender, row.batch), row.payment)

    def change(self, before: PaymentRow, after: PaymentRow) -> None:
        """Replace a payment by its changed row."""
        payment = after.payment
        self.gave_back = self.gave_back or after.life.state in MOVED_NOTHING
        if payment in self._new:
            self._new[payment] = after, self._new[payment][1]
        else:
            stands_on = self._changed[payment][0] if payment in self._changed else before.version
            self._changed[payment] = stands_on, after

    def taken(self, sender: str, order_id: str) -> str | None:
        """The group's payment with this sender and order id, if it is not in the database yet."""
        return self._ids.get((sender, order_id))

    def was_admitted(self, sender: str, order_id: str) -> bool:
        """True if this process has admitted an order of this identity: then it has a payment, or SQL deleted it."""
        return _hashed(sender, order_id) in self._admitted

    def forget_admitted(self) -> None:
        """Forget the order ids that this process has admitted, because a unit moves orders to another sender."""
        self._admitted.clear()
        self._in_order.clear()

    def alike(self, dup_key: str | None) -> str | None:
        """The group's latest order with this duplicate key, if it is not in the database yet."""
        if dup_key is None:
            return None
        found = [
            row.order.id
            for row, blind in self._new.values()
            if blind["dup_key"] == dup_key and row.life.state not in MOVED_NOTHING
        ]
        return found[-1] if found else None

    def write_pending(self, conn: Connection, vault: Vault) -> None:
        """Write the group's changed rows. Raises Outdated, or IntegrityError if an identity or a reference is taken."""
        if self._new:
            rows = [payment_rows.columns(row, blind, vault) for row, blind in self._new.values()]
            write_many(conn, _INSERT, rows)
            for values, (row, _) in zip(rows, self._new.values(), strict=True):
                self._written[row.payment] = payment_rows.written(row, values)
                self._ours[row.payment] = row.version
            self._new.clear()
            self._ids.clear()
        if self._changed:
            rows = [_update(version, row, vault) for version, row in self._changed.values()]
            if write_many(conn, _UPDATE, rows) != len(rows):
                raise Outdated(f"one of {len(rows)} payments was changed by another node")
            self._written.update((key, row) for key, (_, row) in self._changed.items())
            self._ours.update((key, row.version) for key, (_, row) in self._changed.items())
            self._changed.clear()
        self.gave_back = False

    @property
    def pending(self) -> bool:
        """True if some of the group's rows are not written yet."""
        return bool(self._new or self._changed)

    def commit(self) -> None:
        """Keep the rows that were committed, except payments in a final state."""
        for payment, row in self._written.items():
            self._known.pop(payment, None)
            if not STATE_TABLE[row.life.state].final:
                self._known[payment] = row
            elif row.life.state in _ENDED_UNSENT:
                self._ended_unsent.add(payment.encode())
        self._written.clear()
        self._ours.clear()
        self._admitted.update(self._group_ids)
        self._in_order.extend(self._group_ids)
        self._group_ids.clear()
        while len(self._in_order) > self._ids_room:
            self._admitted.discard(self._in_order.popleft())
        while len(self._known) > self._room:
            self._known.popitem(last=False)

    def distrust(self) -> None:
        """Drop the cached payments, because SQL may have changed their rows."""
        self._known.clear()
        self._written.clear()

    def close(self) -> None:
        """Drop all payments after a rollback."""
        self.distrust()
        for pending in (self._new, self._changed, self._ids, self._ours, self._group_ids):
            pending.clear()
        self.gave_back = False


def _hashed(sender: str, order_id: str) -> bytes:
    return hashlib.blake2b(f"{sender}\0{order_id}".encode(), digest_size=12).digest()


def _update(version: int, row: PaymentRow, vault: Vault) -> dict[str, object]:
    values = payment_rows.changes(row, vault)
    values.update(b_payment=row.payment, b_version=version, b_epoch=row.epoch)
    return values
