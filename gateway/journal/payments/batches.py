"""Batch admission: many orders of one command, admitted together or not at all.

Each item becomes an ordinary payment. `batch_rows` counts the items that are not final and sends an event when none is
left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.clock import Entropy
from gateway.core.policy import Judgement, UsageFacts
from gateway.core.states import Reject
from gateway.journal.commit import audit
from gateway.journal.commit.payment_cache import Outdated
from gateway.journal.commit.rows import PaymentRow, Reply
from gateway.journal.commit.store import Tx
from gateway.journal.payments import admission as payments_admission
from gateway.journal.payments import approval_holds, batch_rows, lookup, payees
from gateway.journal.payments.admission import Admission
from gateway.journal.payments.approval_holds import JudgedOrder
from gateway.journal.payments.batch_rows import BatchRow
from gateway.journal.payments.limits import OrderClaim
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

    `whole`: one rejected item refuses the whole batch. The verdict of each item's `judge` is final.
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
    """The new batch and the payments of its items."""

    row: BatchRow
    items: tuple[PaymentRow, ...]


def admit(
    tx: Tx, admission: BatchAdmission, entropy: Entropy, *, barred: bool = False
) -> NewBatch | BatchRow | Refusal | None:
    """Make every item a payment, or none.

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
    context = admission.items[0].approval
    need = approval_holds.need_of(tx, admission.sender, [
        JudgedOrder(item.order, item.day, judgement)
        for item, (_claim, _facts, judgement) in zip(admission.items, judged, strict=True)
    ], context)  # fmt: skip
    rows = tuple(
        payments_admission.enter(tx, item, claim, approval_holds.with_hold(judgement, need), entropy)
        for item, (claim, _facts, judgement) in zip(admission.items, judged, strict=True)
    )
    open_items = sum(not STATE_TABLE[row.life.state].final for row in rows)
    row = BatchRow(
        sender=admission.sender, batch=admission.batch, bank=admission.bank, lane=admission.lane, kind=admission.kind,
        fingerprint=admission.fingerprint, count=len(rows), total=admission.total, open_items=open_items, seq=1,
        reply=admission.reply, accepted_ms=tx.now_ms, changed_ms=tx.now_ms, tags=admission.tags,
    )  # fmt: skip
    if not batch_rows.add(tx, row):
        raise Outdated(f"batch {row.batch!r} was admitted by another node in this moment")
    if need.approvers:
        going = [one for one in rows if not STATE_TABLE[one.life.state].final]
        approval_holds.request(tx, going, need, context.terms)
    detail = {"count": row.count, "open": open_items, "sender": row.sender, "kind": row.kind.value}
    audit.append(tx, admission.actor, "batch.admitted", f"{row.sender}/{row.batch}", detail)
    return NewBatch(row, rows)


def _conflict(known: BatchRow, admission: BatchAdmission) -> Refusal:
    return Refusal(
        Code.ID_CONFLICT,
        f"batch {admission.batch!r} was used on {instant(known.accepted_ms)} with other content "
        f"(fingerprint {known.fingerprint[:15]}…, now {admission.fingerprint[:15]}…); nothing happened",
    )  # fmt: skip


_Judged = list[tuple[OrderClaim, UsageFacts, Judgement]]


def _judge(tx: Tx, admission: BatchAdmission) -> _Judged | Refusal:
    """The verdict of every item, each judged with those before it; or a Refusal, and then nothing is counted."""
    judged: _Judged = []
    taken: list[Fault] = []
    seen: dict[str, str] = {}
    for number, item in enumerate(admission.items):
        claim = OrderClaim(tx, item.sender, item.order, item.day, item.dup_key, item.alike_since_ms)
        facts = claim.look()
        if isinstance(facts, str):
            taken.append(Fault(f"/items/{number}/id", FieldCode.REPEATED, "is the id of an earlier order or batch"))
            continue
        if item.dup_key is not None:
            facts = _alike(facts, seen.get(item.dup_key))
            seen[item.dup_key] = item.order.id
        facts = payees.looked_at(tx, item.sender, item.order, item.payee_before_ms, claim.count(facts))
        judgement = item.judge(facts)
        if isinstance(judgement.event, Reject):
            claim.release()
        judged.append((claim, facts, judgement))
    if taken:
        refusal = Refusal(Code.ID_CONFLICT, f"{len(taken)} item ids were used before; nothing happened",
                          tuple(taken[:MAX_FAULTS]))  # fmt: skip
    else:
        refused = _refused(admission, [judgement for _, _, judgement in judged])
        if refused is None:
            return judged
        refusal = refused
    _give_back(judged)
    return refusal


def _give_back(judged: _Judged) -> None:
    for claim, _, judgement in judged:
        if not isinstance(judgement.event, Reject):
            claim.release()


def _alike(facts: UsageFacts, earlier: str | None) -> UsageFacts:
    return facts if earlier is None else replace(facts, alike_id=earlier)


def _refused(admission: BatchAdmission, judgements: list[Judgement]) -> Refusal | None:
    """Why the batch cannot be admitted; None if it can."""
    rejected = [n for n, judgement in enumerate(judgements) if isinstance(judgement.event, Reject)]
    if not rejected or (not admission.whole and len(rejected) < len(judgements)):
        return None
    ours = "/creditor" if admission.kind is Kind.COLLECTION else "/debtor"
    faults: dict[tuple[str, str], Fault] = {}
    for number in rejected:
        for fault in judgements[number].faults:
            # A fault in a field of the batch's head is reported once, at the head.
            of_head = fault.at.startswith((ours, *_HEAD)) or not fault.at
            at = fault.at if of_head else f"/items/{number}{fault.at}"
            faults.setdefault((at, fault.code.value), Fault(at, fault.code, fault.detail, fault.limit))
    many = "1 field" if len(faults) == 1 else f"{len(faults)} fields"
    return Refusal(Code.VALIDATION, f"{many} cannot be sent to {admission.bank}", tuple(faults.values())[:MAX_FAULTS])


_HEAD = ("/urgency", "/channel", "/currency")
