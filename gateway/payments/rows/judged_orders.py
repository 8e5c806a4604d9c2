"""An order as it was made, with the verdict of its sender's limits: the input of the rules that hold orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.hours import stayed_since_ms
from gateway.kernel.core.policy import Allowance, Judgement, UsageFacts, payee_covers
from gateway.payments.rows import batch_rows
from gateway.register.approval_terms import DEFAULT_TERMS, ApprovalTerms
from gateway.register.registry import Registry
from protocols.canon.fast_init import fast_init
from protocols.canon.limits import Hours
from protocols.canon.order import AnyOrder

_BATCH = "made_batch"


@fast_init
@dataclass(frozen=True, slots=True)
class MadeOrder:
    """An order as it came, with its sender and the company of its own account. `fingerprint` is the command's: for an
    order of a batch, the whole batch's."""

    sender: str
    company: str
    order: AnyOrder
    fingerprint: str


def made_order(tx: Tx, row: PaymentRow) -> MadeOrder:
    """A payment's order as its sender made it. The maker of a batch signed each of its orders with the whole batch."""
    if row.batch is None or row.order.maker_signature is None:
        return MadeOrder(row.sender, row.company, row.order, row.fingerprint)
    name = _BATCH, row.sender, row.batch
    if name not in tx.memo:
        found = batch_rows.find(tx.read, row.sender, row.batch)
        tx.memo[name] = "" if found is None else found.fingerprint
    return MadeOrder(row.sender, row.company, row.order, tx.memo[name])


@fast_init
@dataclass(frozen=True, slots=True)
class JudgedOrder:
    """An order as it was made, with the verdict of its sender's limits. `day` is the day on which its money counts.
    None: the earlier orders of its day were counted at admission, and are not read again."""

    made: MadeOrder
    day: str | None
    judgement: Judgement

    @property
    def order(self) -> AnyOrder:
        """The order as its sender made it."""
        return self.made.order


@fast_init
@dataclass(frozen=True, slots=True)
class ApprovalContext:
    """The facts besides the order that admission and release judge by: the settings' terms, how long a payment must
    have stayed to make a payee known, and whether the journal's facts about the payee cover an amount."""

    terms: ApprovalTerms
    payee_before_ms: Callable[[], int]
    covered: Callable[[int, UsageFacts], bool]


def context(terms: ApprovalTerms, allowance: Allowance | None, hours: Hours | None, now_ms: int) -> ApprovalContext:
    """The facts that the approval policy judges by, from the settings of one moment. If the sender's `allowance` or the
    bank's `hours` are not configured any more, every payee is new."""
    if allowance is None or hours is None:
        return ApprovalContext(terms, lambda: 0, lambda _minor, _facts: False)
    return ApprovalContext(
        terms,
        lambda: stayed_since_ms(hours, now_ms, allowance.payee_days, allowance.holidays, allowance.worked),
        lambda minor, facts: payee_covers(minor, allowance, facts),
    )


def context_of(tx: Tx, row: PaymentRow, registry: Registry) -> ApprovalContext:
    """As `context`, for a payment that was admitted before, by the present settings."""
    sender, bank = registry.senders.get(row.sender), registry.banks.get(row.bank)
    return context(
        registry.approval_terms,
        None if sender is None else sender.allowance,
        None if bank is None else bank.profile.limits.hours,
        tx.now_ms,
    )


NO_CONTEXT = ApprovalContext(DEFAULT_TERMS, lambda: 0, lambda _minor, _facts: False)


def at_ms(at: datetime | None) -> int | None:
    """A moment as milliseconds of UTC."""
    return None if at is None else int(at.timestamp() * 1000)
