"""Batch admission: many orders of one command, admitted together or not at all.

Each item becomes an ordinary payment. `batch_rows` counts the items that are not final and sends an event when none is
left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.kernel.clock import Entropy
from gateway.kernel.commit import audit
from gateway.kernel.commit.payment_cache import Outdated
from gateway.kernel.commit.rows import PaymentRow, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import UsageFacts
from gateway.payments.gates.lists import LISTS
from gateway.payments.gates.order_facts import CommandFacts, OrderFacts
from gateway.payments.rows import admission as payments_admission
from gateway.payments.rows import batch_rows, lookup
from gateway.payments.rows.admission import Admission
from gateway.payments.rows.batch_rows import BatchRow
from gateway.payments.rows.judged_orders import MadeOrder
from gateway.payments.rows.limits import OrderClaim
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import STATE_TABLE
from protocols.canon.replaced import replace
from protocols.erp.faults import MAX_FAULTS
from protocols.erp.news import instant


@dataclass(frozen=True, slots=True)
class BatchAdmission:
    """A batch that passed all checks that need no journal. `items` are the admissions of its orders, at least one.

    `whole`: one rejected item refuses the whole batch.
    """

    sender: str
    bank: str
    lane: str
    batch: str
    kind: Kind
    fingerprint: str
    total: Money
    items: tuple[Admission, ...]
    whole: bool
    reply: Reply
    actor: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch that was just made, with the payments of its items."""

    row: BatchRow
    items: tuple[PaymentRow, ...]


def admit(
    tx: Tx, admission: BatchAdmission, entropy: Entropy, *, barred: bool = False
) -> NewBatch | BatchRow | Refusal | None:
    """Make payments of all items of a batch, or of none.

    Returns a BatchRow if the batch was admitted before with the same content: answer it again. Returns a Refusal if an
    id is taken, or if items are rejected and the batch is `whole`. Returns None if the batch could be admitted but is
    `barred`. In these three cases nothing changed.
    """
    known = batch_rows.find(tx.read, admission.sender, admission.batch)
    if known is not None:
        return known if known.fingerprint == admission.fingerprint else _conflict(known, admission)
    if lookup.find(tx.read, admission.sender, admission.batch) is not None:
        return Refusal(Code.ID_CONFLICT, f"id {admission.batch!r} is that of an order; nothing happened")
    judged = _judge(tx, admission)
    if isinstance(judged, Refusal):
        return judged
    if barred:
        _give_back(judged)
        return None
    command, claims = judged
    of_command = tx.ports.of(LISTS).of_command
    for order in command.orders:
        order.ask(of_command)
    rows = tuple(
        payments_admission.enter(tx, item, claim, order.judgement, entropy)
        for item, claim, order in zip(admission.items, claims, command.orders, strict=True)
    )
    open_items = sum(not STATE_TABLE[row.life.state].final for row in rows)
    row = BatchRow(
        sender=admission.sender,
        batch=admission.batch,
        bank=admission.bank,
        lane=admission.lane,
        kind=admission.kind,
        fingerprint=admission.fingerprint,
        count=len(rows),
        total=admission.total,
        open_items=open_items,
        seq=1,
        reply=admission.reply,
        accepted_ms=tx.now_ms,
        changed_ms=tx.now_ms,
        tags=admission.tags,
    )
    if not batch_rows.add(tx, row):
        raise Outdated(f"batch {row.batch!r} was admitted by another node at the same time")
    payments_admission.reserve(command, rows)
    detail = {"count": row.count, "open": open_items, "sender": row.sender, "kind": row.kind.value}
    audit.append(tx, admission.actor, "batch.admitted", f"{row.sender}/{row.batch}", detail)
    return NewBatch(row, rows)


def _conflict(known: BatchRow, admission: BatchAdmission) -> Refusal:
    return Refusal(
        Code.ID_CONFLICT,
        f"batch {admission.batch!r} was used on {instant(known.accepted_ms)} with other content "
        f"(fingerprint {known.fingerprint[:15]}…, now {admission.fingerprint[:15]}…); nothing happened",
    )


_Judged = tuple[CommandFacts, list[OrderClaim]]


def _judge(tx: Tx, admission: BatchAdmission) -> _Judged | Refusal:
    """The verdict of every item, each judged together with the items before it. Or a Refusal of the whole batch; then
    nothing is counted."""
    of_order = tx.ports.of(LISTS).of_order
    command, claims = CommandFacts(tx, admission.sender, admission.items[0].approval), list[OrderClaim]()
    taken: list[Fault] = []
    seen: dict[str, str] = {}
    for number, item in enumerate(admission.items):
        claim = OrderClaim(tx, item.sender, item.order, item.day, item.dup_key, item.alike_since_ms)
        facts = claim.usage_facts()
        if isinstance(facts, str):
            taken.append(Fault(f"/items/{number}/id", FieldCode.REPEATED, "is the id of an earlier order or batch"))
            continue
        if item.dup_key is not None:
            facts = _alike(facts, seen.get(item.dup_key))
            seen[item.dup_key] = item.order.id
        made = MadeOrder(item.sender, item.company, item.order, admission.fingerprint)
        order = OrderFacts(command, made, item.day, item.terms, claim.count(facts))
        order.ask(of_order if item.judged_by is None else item.judged_by)
        if order.refused is not None:
            claim.release()
        claims.append(claim)
    judged = command, claims
    if taken:
        refusal = Refusal(
            Code.ID_CONFLICT, f"{len(taken)} item ids were used before; nothing happened", tuple(taken[:MAX_FAULTS])
        )
    else:
        refused = _refused(admission, command.orders)
        if refused is None:
            return judged
        refusal = refused
    _give_back(judged)
    return refusal


def _give_back(judged: _Judged) -> None:
    command, claims = judged
    for order, claim in zip(command.orders, claims, strict=True):
        if order.refused is None:
            claim.release()


def _alike(facts: UsageFacts, earlier: str | None) -> UsageFacts:
    return facts if earlier is None else replace(facts, alike_id=earlier)


def _refused(admission: BatchAdmission, orders: Sequence[OrderFacts]) -> Refusal | None:
    """Why the batch cannot be admitted; None if it can."""
    rejected = {n: order.refused for n, order in enumerate(orders) if order.refused is not None}
    if not rejected or (not admission.whole and len(rejected) < len(orders)):
        return None
    faults = at_items(admission.kind, {number: refused.faults for number, refused in rejected.items()})
    many = "1 field" if len(faults) == 1 else f"{len(faults)} fields"
    return Refusal(Code.VALIDATION, f"{many} cannot be sent to {admission.bank}", faults[:MAX_FAULTS])


def at_items(kind: Kind, per_item: Mapping[int, Sequence[Fault]]) -> tuple[Fault, ...]:
    """The faults of items with the items' places. A fault in a field of the batch's head is reported once, at the
    head."""
    ours = "/creditor" if kind is Kind.COLLECTION else "/debtor"
    faults: dict[tuple[str, str], Fault] = {}
    for number, found in per_item.items():
        for fault in found:
            of_head = fault.at.startswith((ours, *_HEAD)) or not fault.at
            at = fault.at if of_head else f"/items/{number}{fault.at}"
            faults.setdefault((at, fault.code.value), Fault(at, fault.code, fault.detail, fault.limit))
    return tuple(faults.values())


_HEAD = ("/urgency", "/channel", "/currency", "/valid_until")
