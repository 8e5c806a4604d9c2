"""Admission: an accepted order becomes a payment exactly once, with its key, bank reference, verdict, work and
reply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.clock import Entropy
from gateway.core import flow, states
from gateway.core.policy import Judgement, UsageFacts
from gateway.core.states import Hold, Reject, Rules, Tell
from gateway.journal.commit import audit
from gateway.journal.commit.rows import PaymentRow, Reply
from gateway.journal.commit.serials import draw_serials
from gateway.journal.commit.store import Tx
from gateway.journal.payments import approval_holds, bank_references, events, linked_orders, payees
from gateway.journal.payments import transition as applying
from gateway.journal.payments.approval_holds import NO_CONTEXT, ApprovalContext, JudgedOrder
from gateway.journal.payments.limits import OrderClaim
from gateway.journal.payments.redelivery import Coming
from gateway.journal.sql import schema
from protocols.canon.errors import CODES, Refusal
from protocols.canon.fast_init import fast_init
from protocols.canon.limits import ReferenceForm
from protocols.canon.order import AnyOrder
from protocols.canon.outcome import State
from protocols.canon.replaced import replace

_C = schema.payments.c


class Admittance(StrEnum):
    """The result of an admission."""

    NEW = "new"
    REPLAYED = "replayed"
    CONFLICT = "conflict"


@fast_init
@dataclass(frozen=True, slots=True)
class Admission:
    """An order that passed all checks that need no journal, and how to judge it with the journal's counts.

    `day` is the calendar day (ISO) for the sender's limits. `dup_key` is equal for similar orders (same debtor,
    creditor, amount and purpose); None skips that search. `alike_since_ms` is how far back to search. `judge` may be
    called more than once and must be pure. `payee_before_ms`: a payment to the payee that was settled before then, and
    not returned, makes the payee known; None skips that search. `approval` is for the policy of approvals.
    """

    company: str
    sender: str
    bank: str
    lane: str
    order: AnyOrder
    fingerprint: str
    rules: Rules
    reply: Reply
    form: ReferenceForm
    judge: Callable[[UsageFacts], Judgement]
    actor: str
    day: str
    coming: Coming
    dup_key: str | None = None
    alike_since_ms: int = 0
    payee_before_ms: int | None = None
    tell_sent: bool = False
    batch: str | None = None
    item_no: int | None = None
    approval: ApprovalContext = NO_CONTEXT


@fast_init
@dataclass(frozen=True, slots=True)
class Admitted:
    """`row` is the payment as it is now; for a conflict, the other order that has the id, and nothing changed.

    `judgement` is set for new payments only.
    """

    kind: Admittance
    row: PaymentRow
    judgement: Judgement | None = None


def admit(tx: Tx, admission: Admission, entropy: Entropy) -> Admitted:
    """Make the order a payment, exactly once, with its key, bank reference, verdict, work and reply.

    An order with the same id and content is answered with the payment's present state. Other content under the same
    id is a conflict, which the caller refuses.
    """
    claim = OrderClaim(tx, admission.sender, admission.order, admission.day, admission.dup_key,
                       admission.alike_since_ms)  # fmt: skip
    facts = claim.look()
    if isinstance(facts, str):
        return _known(tx, admission, facts)
    facts = payees.looked_at(tx, admission.sender, admission.order, admission.payee_before_ms, claim.count(facts))
    judgement = linked_orders.judged(tx, admission.order, admission.judge(facts))
    if isinstance(judgement.event, Reject):
        claim.release()
    asked = JudgedOrder(admission.order, admission.day, judgement)
    need = approval_holds.need_of(tx, admission.sender, (asked,), admission.approval)
    judgement = approval_holds.with_hold(judgement, need)
    row = enter(tx, admission, claim, judgement, entropy)
    if need.approvers:
        approval_holds.request(tx, (row,), need, admission.approval.terms)
    return Admitted(Admittance.NEW, row, judgement)


def enter(
    tx: Tx, admission: Admission, claim: OrderClaim, judgement: Judgement, entropy: Entropy
) -> PaymentRow:
    """Make the order a payment with this verdict. The caller has checked that its identity is free and counted it in
    the limits, unless it is rejected."""
    row, step, tells = _new_row(tx, admission, judgement, entropy)
    if row.order.funded_by is not None and isinstance(judgement.event, Hold):
        linked_orders.begin(tx, row)
    # If another node takes the identity meanwhile, the group fails when it is written, and is run again.
    tx.payment_cache.admit(row, claim.columns)
    for state, event, seq in tells:
        events.publish(tx, row, events.news_of(row, event, seq, tx.now_ms, state=state))
    applying.schedule(tx, row, step)
    tx.admitted.append(row)
    detail: dict[str, Any] = {
        "event": "Admit", "before": "", "after": row.life.state.value, "rule": step.rule, "version": row.version,
        "seq": row.life.seq, "sender": row.sender, "order_id": row.order.id,
    }  # fmt: skip
    if isinstance(judgement.event, Hold):
        detail["reason"] = judgement.event.reason
        if judgement.event.also:
            detail["reasons"] = list(judgement.event.reasons)
    audit.append(tx, admission.actor, "payment.admitted", row.payment, detail)
    return row


def _known(tx: Tx, admission: Admission, payment: str) -> Admitted:
    row = tx.payment_cache.afresh(tx.raw, tx.vault, payment)
    assert row is not None, "an order's identity belongs to no payment"
    if row.fingerprint != admission.fingerprint:
        return Admitted(Admittance.CONFLICT, row)
    if not events.answered(tx, row, admission.coming, admission.reply):
        events.replay(tx, row, admission.reply)
    audit.append(tx, admission.actor, "order.repeated", row.payment, {"state": row.life.state.value})
    return Admitted(Admittance.REPLAYED, row)


def _new_row(
    tx: Tx, admission: Admission, judgement: Judgement, entropy: Entropy
) -> tuple[PaymentRow, flow.Step, list[tuple[State, str, int]]]:
    """The payment after its verdict, the verdict's step, and the events to send: state, event and number of each."""
    order, event = admission.order, judgement.event
    valid_until_ms = None if order.valid_until is None else int(order.valid_until.timestamp() * 1000)
    born = states.born(admission.rules, valid_until_ms=valid_until_ms, tell_sent=admission.tell_sent)
    tells = [(State.ACCEPTED, events.ACCEPTED, born.seq)]
    if isinstance(event, Reject):
        # One command has one reply: a rejected order was never accepted, so the rejection is number 1.
        born, tells = replace(born, seq=0), []
    step = flow.step(born, event)
    told = [effect.event for effect in step.effects if isinstance(effect, Tell)]
    tells += [(step.life.state, name, seq) for seq, name in enumerate(told, start=born.seq + 1)]
    serial = draw_serials(tx, admission.bank, 1).start
    row = PaymentRow(
        payment=entropy.ulid(tx.now_ms), company=admission.company, sender=admission.sender, bank=admission.bank,
        lane=admission.lane, order=order, fingerprint=admission.fingerprint, life=step.life, version=1, epoch=0,
        bank_ref=bank_references.write(admission.form, serial, tx.now_ms), reply=admission.reply, accepted_ms=tx.now_ms,
        changed_ms=tx.now_ms, holds=event.reasons if isinstance(event, Hold) else (), batch=admission.batch,
        item_no=admission.item_no,
        refusal=Refusal(event.code, CODES[event.code].meaning, judgement.faults) if isinstance(event, Reject) else None,
    )  # fmt: skip
    return row, step, tells
