"""The file of a payment in a world's journal, read from outside while no life writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from gateway.journal.commit import attempts, audit, work
from gateway.journal.commit.attempts import Exhibit
from gateway.journal.commit.audit import AuditEntry
from gateway.journal.commit.rows import AttemptRow, PaymentRow, WorkRow
from gateway.journal.payments import lookup
from tests.world.world import World

T = TypeVar("T")


def read(world: World, fn: Callable[[Connection], T]) -> T:
    """What `fn` reads from the world's journal."""
    return world.read(fn)


def payment(world: World, id_: str, sender: str = "kingdee") -> PaymentRow:
    """The payment of this order."""
    row = read(world, lambda conn: lookup.find(conn, sender, id_))
    assert row is not None, f"no payment {id_}"
    return row


def sends(world: World, id_: str) -> list[AttemptRow]:
    """Its attempts as they were written down."""
    return read(world, lambda conn: attempts.of_payment(conn, payment(world, id_).payment))


def evidence(world: World, id_: str) -> list[Exhibit]:
    """What words about it rest on."""
    return read(world, lambda conn: attempts.evidence_of(conn, payment(world, id_).payment))


def trail(world: World, id_: str) -> list[AuditEntry]:
    """Its audit entries, oldest first."""
    return read(world, lambda conn: audit.entries_of(conn, world.vault, payment(world, id_).payment))


def rules(world: World, id_: str) -> list[str]:
    """The rows of the table that decided about it, in order."""
    return [entry.entry.removeprefix("payment.") for entry in trail(world, id_)]


def due(world: World, id_: str) -> list[WorkRow]:
    """What is still to be done for it."""
    return read(world, lambda conn: work.of_payment(conn, payment(world, id_).payment))
