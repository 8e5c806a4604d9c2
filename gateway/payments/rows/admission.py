"""Admission: an accepted order becomes a payment exactly once, with its key, bank reference, verdict, work and
reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.kernel.clock import Entropy
from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import PaymentRow, Reply
from gateway.kernel.commit.serials import draw_serials
from gateway.kernel.commit.store import Tx
from gateway.kernel.core import flow, states
from gateway.kernel.core.gate import GateRule
from gateway.kernel.core.policy import Judgement
from gateway.kernel.core.states import Hold, Reject, Rules, SendNews
from gateway.kernel.sql import schema
from gateway.payments.gates.lists import LISTS
from gateway.payments.gates.order_facts import CommandFacts, OrderFacts, OrderTerms
from gateway.payments.rows import bank_references, events
from gateway.payments.rows import transition as applying
from gateway.payments.rows.judged_orders import NO_CONTEXT, ApprovalContext, MadeOrder
from gateway.payments.rows.limits import OrderClaim
from gateway.payments.rows.redelivery import Redelivery
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
    """An order that passed all checks that need no journal, with the terms for judging it by the journal's counts.

    `day` is the calendar day (ISO) for the sender's limits. `dup_key` is equal for similar orders (same debtor,
    creditor, amount and purpose); None skips that search. `alike_since_ms` is how far back to search. `terms` are the
    settings' terms for it. The rules `judged_by` judge the order by itself; None: the gate's list. `approval` is for
    the policy of approvals. `reference` is the bank reference of an order that has a derived one; None: the bank's
    counter makes it.
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
    terms: OrderTerms
    actor: str
    day: str
    coming: Redelivery
    dup_key: str | None = None
    alike_since_ms: int = 0
    tell_sent: bool = False
    batch: str | None = None
    item_no: int | None = None
    approval: ApprovalContext = NO_CONTEXT
    reference: str | None = None
    judged_by: Sequence[GateRule[OrderFacts]] | None = None

    @property
    def made(self) -> MadeOrder:
        """The order as its sender made it, without the gateway's terms."""
        return MadeOrder(self.sender, self.company, self.order, self.fingerprint)


@fast_init
@dataclass(frozen=True, slots=True)
class Admitted:
    """The result of admitting an order. `row` is the payment as it is now; for a conflict, the other order that has the
    id, and nothing changed.

    `judgement` is set for new payments only.
    """

    kind: Admittance
    row: PaymentRow
    judgement: Judgement | None = None


def admit(tx: Tx, admission: Admission, entropy: Entropy) -> Admitted:
    """Make a payment of the order, exactly once, with its key, bank reference, verdict, work and reply.

    An order with the same id and content is answered with the payment's present state. Other content under the same
    id is a conflict, which the caller refuses.
    """
    claim = OrderClaim(
        tx, admission.sender, admission.order, admission.day, admission.dup_key, admission.alike_since_ms
    )
    facts = claim.usage_facts()
    if isinstance(facts, str):
        return _known(tx, admission, facts)
    command = CommandFacts(tx, admission.sender, admission.approval)
    order = OrderFacts(command, admission.made, admission.day, admission.terms, claim.count(facts))
    lists = tx.ports.of(LISTS)
    order.ask(lists.of_order if admission.judged_by is None else admission.judged_by)
    order.ask(lists.of_command)
    if order.refused is not None:
        claim.release()
    judgement = order.judgement
    row = enter(tx, admission, claim, judgement, entropy)
    reserve(command, (row,))
    return Admitted(Admittance.NEW, row, judgement)


def reserve(command: CommandFacts, rows: Sequence[PaymentRow]) -> None:
    """Tell the rules that count or reserve about the new payments of a command."""
    for rule in command.tx.ports.of(LISTS).reserving:
        rule.enter(command, rows)


def enter(tx: Tx, admission: Admission, claim: OrderClaim, judgement: Judgement, entropy: Entropy) -> PaymentRow:
    """Make a payment of the order with this verdict. The caller has checked that its identity is free and counted it in
    the limits, unless it is rejected."""
    row, step, tells = _new_row(tx, admission, judgement, entropy)
    # If another node takes the identity meanwhile, the group fails when it is written, and is run again.
    tx.payment_cache.admit(row, claim.columns)
    for state, event, seq in tells:
        events.publish(tx, row, events.news_of(row, event, seq, tx.now_ms, state=state))
    applying.schedule(tx, row, step)
    tx.admitted.append(row)
    detail: dict[str, Any] = {
        "event": "Admit",
        "before": "",
        "after": row.life.state.value,
        "rule": step.rule,
        "version": row.version,
        "seq": row.life.seq,
        "sender": row.sender,
        "order_id": row.order.id,
    }
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
    """The payment after its verdict, the step that the verdict caused, and the events to send: state, event and number
    of each."""
    order, event = admission.order, judgement.event
    valid_until_ms = None if order.valid_until is None else int(order.valid_until.timestamp() * 1000)
    born = states.born(admission.rules, valid_until_ms=valid_until_ms, tell_sent=admission.tell_sent)
    tells = [(State.ACCEPTED, events.ACCEPTED, born.seq)]
    if isinstance(event, Reject):
        # One command has one reply: a rejected order was never accepted, so the rejection is number 1.
        born, tells = replace(born, seq=0), []
    step = flow.step(born, event)
    told = [effect.event for effect in step.effects if isinstance(effect, SendNews)]
    tells += [(step.life.state, name, seq) for seq, name in enumerate(told, start=born.seq + 1)]
    row = PaymentRow(
        payment=entropy.ulid(tx.now_ms),
        company=admission.company,
        sender=admission.sender,
        bank=admission.bank,
        lane=admission.lane,
        order=order,
        fingerprint=admission.fingerprint,
        life=step.life,
        version=1,
        epoch=0,
        bank_ref=admission.reference or _drawn(tx, admission),
        reply=admission.reply,
        accepted_ms=tx.now_ms,
        changed_ms=tx.now_ms,
        holds=event.reasons if isinstance(event, Hold) else (),
        batch=admission.batch,
        item_no=admission.item_no,
        refusal=Refusal(event.code, CODES[event.code].meaning, judgement.faults) if isinstance(event, Reject) else None,
    )
    return row, step, tells


def _drawn(tx: Tx, admission: Admission) -> str:
    return bank_references.format_reference(admission.form, draw_serials(tx, admission.bank, 1).start, tx.now_ms)
