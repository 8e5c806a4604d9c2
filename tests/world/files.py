"""The records of one payment in a world's journal, read from outside while no life writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from gateway.kernel.commit import attempts, audit, work
from gateway.kernel.commit.attempts import StoredEvidence
from gateway.kernel.commit.audit import AuditEntry
from gateway.kernel.commit.rows import AttemptRow, PaymentRow, WorkRow
from gateway.payments.rows import lookup
from tests.world.world import World

T = TypeVar("T")


def read_world(world: World, fn: Callable[[Connection], T]) -> T:
    """The value that `fn` reads from the world's journal."""
    return world.read(fn)


def payment(world: World, id_: str, sender: str = "kingdee") -> PaymentRow:
    """The payment of this order."""
    row = read_world(world, lambda conn: lookup.find(conn, sender, id_))
    assert row is not None, f"no payment {id_}"
    return row


def sends(world: World, id_: str) -> list[AttemptRow]:
    """The attempts of an order's payment, as they were written down."""
    return read_world(world, lambda conn: attempts.of_payment(conn, payment(world, id_).payment))


def evidence(world: World, id_: str) -> list[StoredEvidence]:
    """The evidence about an order's payment."""
    return read_world(world, lambda conn: attempts.evidence_of(conn, payment(world, id_).payment))


def trail(world: World, id_: str) -> list[AuditEntry]:
    """The audit entries about an order's payment, oldest first."""
    return read_world(world, lambda conn: audit.entries_of(conn, world.vault, payment(world, id_).payment))


def rules(world: World, id_: str) -> list[str]:
    """The rows of the state table that decided about it, in order."""
    return [entry.entry.removeprefix("payment.") for entry in trail(world, id_)]


def due(world: World, id_: str) -> list[WorkRow]:
    """The open work of an order's payment."""
    return read_world(world, lambda conn: work.of_payment(conn, payment(world, id_).payment))
