"""Payments as the writer knows them: what it wrote last, and what the present group is about to write.

The writer is the only one in this process that changes payments, so it need not read again what it wrote a moment
ago, and a group's changes can be written together. Whether somebody else changed one meanwhile shows when they are
written: each update names the version it stands on. If it hits no row, the group is rolled back, the book is closed,
and each unit is run alone, from the database. Who writes nothing because of what stands here learns nothing that way:
such a verdict, and an answer to an ERP, rests on `afresh`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from weakref import WeakValueDictionary

from sqlalchemy import Connection, bindparam, insert, select, update

from gateway.journal.commit import payment_rows
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.send_leave import SendLeave
from gateway.journal.sql import schema
from gateway.journal.sql.driver import first_row, write_many
from gateway.journal.sql.vault import Vault
from protocols.canon.outcome import STATE_TABLE, State

ROWS_KEPT = 5_000
# An order alike to one of these is no duplicate: no money went, or it came back at once.
MOVED_NOTHING = frozenset({State.REJECTED, State.CANCELLED, State.EXPIRED, State.FAILED})
_C = schema.payments.c
_ROW = select(schema.payments).where(_C.payment == bindparam("b_payment"))
_INSERT = insert(schema.payments)
_UPDATE = (
    update(schema.payments)
    .where(_C.payment == bindparam("b_payment"), _C.version == bindparam("b_version"), _C.epoch <= bindparam("b_epoch"))
    .values({name: bindparam(name) for name in payment_rows.MUTABLE})
)  # fmt: skip


class Outdated(Exception):  # noqa: N818 - nobody's mistake: another node was faster
    """A payment is not any more what the writer took it for. Nothing of the group may be committed."""


class PaymentCache:
    """See the module. One per writer; used by its thread only."""

    def __init__(self, room: int = ROWS_KEPT) -> None:
        """`gave_back`: some order has just ended without money, which the database does not show yet."""
        self._room = room
        self._known: OrderedDict[str, PaymentRow] = OrderedDict()
        self._new: dict[str, tuple[PaymentRow, Mapping[str, str | None]]] = {}
        self._changed: dict[str, tuple[int, PaymentRow]] = {}
        self._written: dict[str, PaymentRow] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self.gave_back = False
        # Of the payments whose bytes are about to leave, or under way: for as long as somebody holds the leave.
        self.send_leaves: WeakValueDictionary[str, SendLeave] = WeakValueDictionary()

    def row(self, conn: Connection, vault: Vault, payment: str) -> PaymentRow | None:
        """The payment as the group has it by now, from the database if it is not known."""
        if payment in self._new:
            return self._new[payment][0]
        if payment in self._changed:
            return self._changed[payment][1]
        known = self._written.get(payment) or self._known.get(payment)
        if known is not None:
            return known
        found = first_row(conn, _ROW, {"b_payment": payment})
        return None if found is None else payment_rows.read(found, vault)

    def afresh(self, conn: Connection, vault: Vault, payment: str) -> PaymentRow | None:
        """As `row`, but not as an earlier group left it: another node may have changed it since."""
        self._known.pop(payment, None)
        return self.row(conn, vault, payment)

    def admit(self, row: PaymentRow, blind: Mapping[str, str | None]) -> None:
        """A new payment with its blind columns."""
        self._new[row.payment] = row, blind
        self._ids[row.sender, row.order.id] = row.payment
        if row.batch is not None:
            self._ids.setdefault((row.sender, row.batch), row.payment)

    def change(self, before: PaymentRow, after: PaymentRow) -> None:
        """A payment of this book, changed."""
        payment = after.payment
        self.gave_back = self.gave_back or after.life.state in MOVED_NOTHING
        if payment in self._new:
            self._new[payment] = after, self._new[payment][1]
        else:
            stands_on = self._changed[payment][0] if payment in self._changed else before.version
            self._changed[payment] = stands_on, after

    def taken(self, sender: str, order_id: str) -> str | None:
        """The payment that got this identity in this group and is not in the database yet."""
        return self._ids.get((sender, order_id))

    def alike(self, dup_key: str | None) -> str | None:
        """The latest order of this group that looks the same and is not in the database yet."""
        if dup_key is None:
            return None
        found = [row.order.id for row, blind in self._new.values()
                 if blind["dup_key"] == dup_key and row.life.state not in MOVED_NOTHING]  # fmt: skip
        return found[-1] if found else None

    def write(self, conn: Connection, vault: Vault) -> None:
        """Write what is pending. Raises Outdated, or IntegrityError where an identity or reference is taken."""
        if self._new:
            write_many(conn, _INSERT, [payment_rows.columns(row, blind, vault) for row, blind in self._new.values()])
            self._written.update((key, row) for key, (row, _) in self._new.items())
            self._new.clear()
            self._ids.clear()
        if self._changed:
            rows = [_update(version, row, vault) for version, row in self._changed.values()]
            if write_many(conn, _UPDATE, rows) != len(rows):
                raise Outdated(f"one of {len(rows)} payments was changed by another node")
            self._written.update((key, row) for key, (_, row) in self._changed.items())
            self._changed.clear()
        self.gave_back = False

    @property
    def pending(self) -> bool:
        """Whether the database does not show everything yet."""
        return bool(self._new or self._changed)

    def commit(self) -> None:
        """What was written is committed. Of payments that are done with, nothing is kept."""
        for payment, row in self._written.items():
            self._known.pop(payment, None)
            if not STATE_TABLE[row.life.state].final:
                self._known[payment] = row
        self._written.clear()
        while len(self._known) > self._room:
            self._known.popitem(last=False)

    def distrust(self) -> None:
        """Somebody may have changed payments past the book: read them again."""
        self._known.clear()
        self._written.clear()

    def close(self) -> None:
        """Rolled back: trust nothing but the database."""
        self.distrust()
        for pending in (self._new, self._changed, self._ids):
            pending.clear()
        self.gave_back = False


def _update(version: int, row: PaymentRow, vault: Vault) -> dict[str, object]:
    values = payment_rows.changes(row, vault)
    values.update(b_payment=row.payment, b_version=version, b_epoch=row.epoch)
    return values
