"""The journal's interface: a store that runs units of work, and the transaction that each unit gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection
from twisted.internet.defer import Deferred

from gateway.kernel.clock import Entropy
from gateway.kernel.commit.batch_counts import BatchCounts
from gateway.kernel.commit.hand_over import Applied, HandOver
from gateway.kernel.commit.payment_cache import PaymentCache
from gateway.kernel.commit.ports import NO_PORTS, Ports
from gateway.kernel.commit.rows import (
    AttemptRow,
    Chain,
    Evidence,
    OutboxRow,
    PaymentRow,
    PendingEntry,
    Permit,
    SerialBlocks,
    WorkRow,
)
from gateway.kernel.commit.usage_totals import UsageTotals
from gateway.kernel.core.states import Work
from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import first_row
from gateway.kernel.sql.vault import Vault

T = TypeVar("T")
_EPOCH = select(schema.lanes.c.epoch).where(schema.lanes.c.lane == bindparam("b_lane")).with_for_update()
OnCommit = Callable[[HandOver], None]


@dataclass(slots=True)
class Tx:
    """The transaction of one group of units. A unit reads and writes through it and keeps no reference to it.

    Writes are collected and sent to the database together just before the commit. `read` writes the pending payments
    and sums first and returns the connection for reading. `fresh` does the same and drops cached payments, so its user
    may change payments by SQL. Outbox rows, work, attempts, evidence and audit entries are pending in both. `raw` is
    the connection without any of that, for the journal's own modules. `memo` keeps values that a module reads once in a
    transaction. `permitted` says whether the permit log has this attempt of a reference, or a later one. `ports` are
    the ports by which lower rooms ask higher ones.
    """

    raw: Connection
    now_ms: int
    node: str
    vault: Vault
    entropy: Entropy
    chain: Chain
    serials: SerialBlocks
    payment_cache: PaymentCache
    usage_totals: UsageTotals = field(default_factory=UsageTotals)
    batch_counts: BatchCounts = field(default_factory=BatchCounts)
    messages: list[OutboxRow] = field(default_factory=list)
    works: dict[tuple[str, Work], WorkRow | None] = field(default_factory=dict)
    attempts: list[AttemptRow] = field(default_factory=list)
    evidence: list[tuple[str, int, str, Evidence]] = field(default_factory=list)
    permits: list[Permit] = field(default_factory=list)
    notes: list[PendingEntry] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    admitted: list[PaymentRow] = field(default_factory=list)
    changes: list[Applied] = field(default_factory=list)
    memo: dict[object, Any] = field(default_factory=dict)
    permitted: Callable[[str, int], bool] = lambda _ref, _attempt: False
    ports: Ports = NO_PORTS

    def epoch_of(self, lane: str) -> int:
        """The lane's epoch, locked until this transaction ends; 0 for a lane that was never leased.

        The payment's own epoch is not enough: a payment that was not changed since the lane moved still has the old
        owner's epoch, and the old owner could then leave it in `sending` unnoticed.
        """
        if lane not in self.epochs:
            found = first_row(self.raw, _EPOCH, {"b_lane": lane})
            self.epochs[lane] = 0 if found is None else found.epoch
        return self.epochs[lane]

    @property
    def fresh(self) -> Connection:
        """The connection after pending rows were written and cached payments dropped, for reading and writing."""
        self.flush()
        self.payment_cache.distrust()
        return self.raw

    @property
    def read(self) -> Connection:
        """The connection after pending rows were written, for reading only; cached payments are kept."""
        self.flush()
        return self.raw

    def flush(self) -> None:
        """Write pending payments and sums. Raises Outdated if another node changed one of the payments."""
        self.payment_cache.write_pending(self.raw, self.vault)
        self.usage_totals.write_pending(self.raw)
        self.batch_counts.write_pending(self.raw)

    def enqueue(self, row: OutboxRow) -> None:
        """Add a message to the outbox; the commit listeners get it after the commit."""
        self.messages.append(row)

    def due(self, row: WorkRow) -> None:
        """Set the payment's work of this kind; the commit listeners get it after the commit."""
        self.works[row.payment, row.work] = row

    def done(self, payment: str, work: Work) -> None:
        """Delete the payment's work of this kind, if there is any."""
        self.works[payment, work] = None

    def attempted(self, row: AttemptRow) -> None:
        """Record one send of a payment."""
        self.attempts.append(row)

    def witness(self, payment: str, evidence: Evidence) -> str:
        """Store evidence about the payment; returns the key of the stored evidence."""
        key = self.entropy.ulid(self.now_ms)
        self.evidence.append((key, self.now_ms, payment, evidence))
        return key

    def pending_evidence(self) -> dict[str, str]:
        """The key of the last evidence that this group has stored about each payment. No read sees it before the
        commit."""
        return {payment: key for key, _at_ms, payment, _evidence in self.evidence}

    def permit(self, ref: str, attempt: int, epoch: int) -> None:
        """Write this send to the permit log before the unit's Deferred fires. Raises PermittedBefore."""
        if self.permitted(ref, attempt):
            raise PermittedBefore(
                f"attempt {attempt} of {ref} was permitted before, and the journal does not know of it: the database "
                f"is older than this send, or somebody altered it. Nothing is sent; check the bank's records, and "
                f"run `bankgw audit verify`"
            )
        self.permits.append(Permit(ref, attempt, epoch))


Unit = Callable[[Tx], T]


class PermittedBefore(Exception):  # noqa: N818 - an answer, not a fault
    """The permit log already has this attempt of the reference, or a later one, so it must not be sent again."""


class StoreFailed(Exception):
    """The journal cannot be written; the process must end. It is not known whether this unit was committed."""


class Store(Protocol):
    """The journal. Units can be run again: a unit may run twice before it is committed once."""

    def write(self, unit: Unit[T], *, sender: str | None = None) -> Deferred[T]:
        """Run `unit` in the writer's next transaction, in the order of the calls.

        A unit that needs a row locked by another session is retried until it succeeds, and later units may overtake it.
        A caller that needs an order waits for the first unit before it writes the second.

        A unit with a `sender` admits a command of that sender. The number of such units per transaction is limited, so
        that all other units are not delayed. Units of one sender never overtake each other: a cancellation must find
        the order that was sent before it.

        The Deferred fires in the reactor's thread, in the order of the commits, after the commit and after the permit
        log is on disk. It fails with the unit's own exception if the unit raised (when run alone), and with StoreFailed
        if the journal failed.
        """

    def read(self, fn: Callable[[Connection], T]) -> Deferred[T]:
        """Run `fn` on a reading connection. It sees committed data only."""

    def listen(self, on_commit: OnCommit) -> None:
        """Call `on_commit` in the reactor's thread once after each commit that hands anything over, before the
        Deferreds of its units."""

    def close(self) -> Deferred[None]:
        """Commit the waiting units, then close all connections and threads."""
