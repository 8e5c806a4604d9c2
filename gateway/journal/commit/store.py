"""What the rest of the gateway sees of the journal: a store that runs units of work, and the transaction they get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from sqlalchemy import bindparam, select
from sqlalchemy.engine import Connection
from twisted.internet.defer import Deferred

from gateway.clock import Entropy
from gateway.core.states import Work
from gateway.journal.commit.hand_over import Applied, HandOver
from gateway.journal.commit.rows import AttemptRow, Evidence, OutboxRow, PaymentRow, WorkRow
from gateway.journal.commit.usage_totals import UsageTotals
from gateway.journal.sql import schema
from gateway.journal.sql.driver import first_row
from gateway.journal.sql.vault import Vault

if TYPE_CHECKING:
    from gateway.journal.cluster.lane_leases import Serials
    from gateway.journal.commit.audit import Chain
    from gateway.journal.commit.payment_cache import PaymentCache

T = TypeVar("T")
_EPOCH = (
    select(schema.lanes.c.epoch).where(schema.lanes.c.lane == bindparam("b_lane")).with_for_update()
)  # fmt: skip
OnCommit = Callable[[HandOver], None]


@dataclass(frozen=True, slots=True)
class Permit:
    """One line of the permit log: the payment's reference (`lane/bank_ref`) may be written to its bank once."""

    ref: str
    attempt: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Noted:
    """An audit entry waiting to be chained."""

    at_ms: int
    actor: str
    entry: str
    object_id: str
    detail: bytes


@dataclass(slots=True)
class Tx:
    """The transaction of one group of units. A unit reads and writes through it and keeps no reference to it.

    What units write is collected and written together just before the commit. Whoever takes `fresh` makes payments,
    sums and payees be written first, so it shows them as the units before left them, and may change them at will: what
    was known is read again. Who only reads takes `read`. Mail, work, attempts, evidence and audit neither shows.
    `raw` is the same connection without all that, for the journal's own parts.
    """

    raw: Connection
    now_ms: int
    node: str
    vault: Vault
    entropy: Entropy
    chain: Chain
    serials: Serials
    payment_cache: PaymentCache
    usage_totals: UsageTotals = field(default_factory=UsageTotals)
    mails: list[OutboxRow] = field(default_factory=list)
    works: dict[tuple[str, Work], WorkRow | None] = field(default_factory=dict)
    attempts: list[AttemptRow] = field(default_factory=list)
    evidence: list[tuple[str, int, str, Evidence]] = field(default_factory=list)
    permits: list[Permit] = field(default_factory=list)
    notes: list[Noted] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    admitted: list[PaymentRow] = field(default_factory=list)
    changes: list[Applied] = field(default_factory=list)

    def epoch_of(self, lane: str) -> int:
        """The lane's epoch, which nobody can raise before this transaction ends; 0 for a lane never leased.

        A payment's own epoch is not fence enough: one that nobody touched since the lane changed hands still carries
        the old owner's, who could then leave it in `sending`, where no one would look for it.
        """
        if lane not in self.epochs:
            found = first_row(self.raw, _EPOCH, {"b_lane": lane})
            self.epochs[lane] = 0 if found is None else found.epoch
        return self.epochs[lane]

    @property
    def fresh(self) -> Connection:
        """The connection, with what is pending written and nothing taken for known."""
        self.flush()
        self.payment_cache.distrust()
        return self.raw

    @property
    def read(self) -> Connection:
        """The connection with what is pending written, to read from only: what is known stays known."""
        self.flush()
        return self.raw

    def flush(self) -> None:
        """Write the payments, sums and payees that are pending. Raises Outdated if another node was faster."""
        self.payment_cache.write(self.raw, self.vault)
        self.usage_totals.write(self.raw)

    def mail(self, row: OutboxRow) -> None:
        """Write a message to the outbox; after the commit it is handed to the listener."""
        self.mails.append(row)

    def due(self, row: WorkRow) -> None:
        """Set the payment's work of this kind; after the commit it is handed to the listener."""
        self.works[row.payment, row.work] = row

    def done(self, payment: str, work: Work) -> None:
        """Delete the payment's work of this kind, if there is any."""
        self.works[payment, work] = None

    def attempted(self, row: AttemptRow) -> None:
        """Write down one send."""
        self.attempts.append(row)

    def witness(self, payment: str, evidence: Evidence) -> str:
        """Keep what a word about the payment rests on; returns the evidence's own key."""
        key = self.entropy.ulid(self.now_ms)
        self.evidence.append((key, self.now_ms, payment, evidence))
        return key

    def permit(self, ref: str, attempt: int, epoch: int) -> None:
        """Have the permit log carry this send before the unit's Deferred fires."""
        self.permits.append(Permit(ref, attempt, epoch))


Unit = Callable[[Tx], T]


class StoreFailed(Exception):
    """The journal cannot be written any more; the process must end. Whether this unit was committed is not known."""


class Store(Protocol):
    """The journal. Units are re-runnable: a unit may run twice before it is committed once."""

    def write(self, unit: Unit[T], *, sender: str | None = None) -> Deferred[T]:
        """Run `unit` in the writer's next transaction, in the order of the calls.

        Where a stranger has locked a row, a unit that waits for it is run again until it passes, and lets those pass
        that were written after it, and do not wait: whoever needs an order awaits one before he writes the other.

        A unit that takes in what a `sender` wrote is patient. It keeps its place among such units only: of many that
        wait, each transaction takes no more than leave it short, so that all others find the next one soon. And it
        never passes an earlier one of its sender, whatever that waits for: who withdraws an order is not to hear that
        there is none.

        The Deferred fires in the reactor's thread, in the order in which the units were committed, after the commit and
        after the permit log is on disk. It fails with the unit's own exception if the unit raised (alone, in a
        transaction of its own), and with StoreFailed if the journal broke.
        """

    def read(self, fn: Callable[[Connection], T]) -> Deferred[T]:
        """Run `fn` on a reading connection, outside the writer's transactions: it sees what is committed."""

    def listen(self, on_commit: OnCommit) -> None:
        """Call `on_commit` in the reactor's thread once after each commit that hands anything over, before the
        Deferreds of its units."""

    def close(self) -> Deferred[None]:
        """Commit what is waiting, then let go of every connection and thread."""
