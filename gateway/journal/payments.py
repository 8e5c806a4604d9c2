"""Payments: how an order becomes one, and how they are found again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from gateway.clock import Entropy
from gateway.core import flow
from gateway.core.policy import Judgement, UsageFacts
from gateway.core.states import Hold, Reject, Rules, Tell
from gateway.journal import apply as applying
from gateway.journal import audit, payees, records, references, schema, telling
from gateway.journal.bulk import first_row
from gateway.journal.claims import Claim
from gateway.journal.columns import speakable
from gateway.journal.lanes import draw_serials
from gateway.journal.repeats import Coming
from gateway.journal.rows import PaymentRow, Reply
from gateway.journal.store import Tx
from gateway.journal.vaults import vault_of
from protocols.canon.errors import CODES, Refusal
from protocols.canon.limits import ReferenceForm
from protocols.canon.order import AnyOrder
from protocols.canon.outcome import State

_C = schema.payments.c
_FETCH = select(schema.payments).where(_C.payment == bindparam("b_payment"))
_FIND = select(schema.payments).where(_C.sender == bindparam("b_sender"), _C.order_id == bindparam("b_order_id"))

_FIND_BY_REFERENCE = (
    select(schema.payments).where(_C.lane == bindparam("b_lane"), _C.bank_ref == bindparam("b_bank_ref"))
)  # fmt: skip


class Admittance(StrEnum):
    """What became of an order at the door."""

    NEW = "new"
    REPLAYED = "replayed"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Admission:
    """An order that passed every check that needs no journal, and how to judge it with what the journal counted.

    `day` is the calendar day (ISO) in which the sender's limits count. `dup_key` is equal for orders that look
    alike (same debtor, creditor, amount, purpose); None asks for no look. `alike_since_ms` is how far back to look.
    `judge` may be called more than once and must be pure. `payee_before_ms`: a payment to the payee that settled before
    then and stayed makes him known; None asks for no look at the payee.
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


@dataclass(frozen=True, slots=True)
class Admitted:
    """`row` is the payment as it is now. For a conflict it is the other order that has the id; nothing changed.

    `judgement` is given for new payments only.
    """

    kind: Admittance
    row: PaymentRow
    judgement: Judgement | None = None


def admit(tx: Tx, admission: Admission, entropy: Entropy) -> Admitted:
    """Make the order a payment, once: its own key, its bank reference, the verdict, its work and the replies.

    The same id with the same content answers with the payment's present state; with other content it is a conflict,
    which the caller refuses.
    """
    claim = Claim(tx, admission.sender, admission.order, admission.day, admission.dup_key, admission.alike_since_ms)
    facts = claim.look()
    if isinstance(facts, str):
        return _known(tx, admission, facts)
    facts = payees.looked_at(tx, admission.sender, admission.order, admission.payee_before_ms, claim.count(facts))
    judgement = admission.judge(facts)
    if isinstance(judgement.event, Reject):
        claim.give_back()
    return Admitted(Admittance.NEW, enter(tx, admission, claim, judgement, entropy), judgement)


def enter(
    tx: Tx, admission: Admission, claim: Claim, judgement: Judgement, entropy: Entropy
) -> PaymentRow:
    """Make the order a payment with this verdict. Its identity is free, and its claim counted unless it is rejected."""
    row, step, tells = _new_row(tx, admission, judgement, entropy)
    # Should another node have taken the identity meanwhile, the group fails when it is written and runs anew.
    tx.book.admit(row, claim.columns)
    for state, event, seq in tells:
        shown = replace(row, life=replace(row.life, state=state))
        telling.publish(tx, row, telling.news_of(shown, event, seq, tx.now_ms))
    applying.schedule(tx, row, step)
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
    row = tx.book.afresh(tx.bare, tx.vault, payment)
    assert row is not None, "an order's identity belongs to no payment"
    if row.fingerprint != admission.fingerprint:
        return Admitted(Admittance.CONFLICT, row)
    if not telling.answered(tx, row, admission.coming, admission.reply):
        telling.replay(tx, row, admission.reply)
    audit.append(tx, admission.actor, "order.repeated", row.payment, {"state": row.life.state.value})
    return Admitted(Admittance.REPLAYED, row)


def _new_row(
    tx: Tx, admission: Admission, judgement: Judgement, entropy: Entropy
) -> tuple[PaymentRow, flow.Step, list[tuple[State, str, int]]]:
    """The payment after its verdict, the verdict's step, and what to tell: state, event and number of each."""
    order, event = admission.order, judgement.event
    valid_until_ms = None if order.valid_until is None else int(order.valid_until.timestamp() * 1000)
    born = flow.born(admission.rules, valid_until_ms=valid_until_ms, tell_sent=admission.tell_sent)
    tells = [(State.ACCEPTED, telling.ACCEPTED, born.seq)]
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
        bank_ref=references.write(admission.form, serial, tx.now_ms), reply=admission.reply, accepted_ms=tx.now_ms,
        changed_ms=tx.now_ms, holds=event.reasons if isinstance(event, Hold) else (), batch=admission.batch,
        item_no=admission.item_no,
        refusal=Refusal(event.code, CODES[event.code].meaning, judgement.faults) if isinstance(event, Reject) else None,
    )  # fmt: skip
    return row, step, tells


@dataclass(frozen=True, slots=True)
class Filters:
    """Which payments to list; what is None does not matter. Times are of acceptance, in ms: from, and before."""

    states: tuple[State, ...] = ()
    bank: str | None = None
    lane: str | None = None
    sender: str | None = None
    order_id: str | None = None
    bank_ref: str | None = None
    batch: str | None = None
    debtor_account: str | None = None
    creditor_account: str | None = None
    from_ms: int | None = None
    before_ms: int | None = None


def fetch(conn: Connection, payment: str) -> PaymentRow | None:
    """The payment with this key of ours."""
    return _one(conn, _FETCH, b_payment=payment)


def find(conn: Connection, sender: str, order_id: str) -> PaymentRow | None:
    """The payment that this sender knows by this id."""
    return _one(conn, _FIND, b_sender=sender, b_order_id=order_id)


def find_by_reference(conn: Connection, lane: str, bank_ref: str) -> PaymentRow | None:
    """The payment that the lane's bank knows by this reference."""
    return _one(conn, _FIND_BY_REFERENCE, b_lane=lane, b_bank_ref=speakable(bank_ref))


def listing(conn: Connection, filters: Filters, limit: int = 100, after: str | None = None) -> list[PaymentRow]:
    """Payments, the newest first; `after` is the key of the last one of the page before."""
    vault = vault_of(conn)
    statement = select(schema.payments)
    if filters.states:
        statement = statement.where(_C.state.in_([state.value for state in filters.states]))
    for column, wanted in (
        (_C.bank, filters.bank), (_C.lane, filters.lane), (_C.sender, filters.sender),
        (_C.order_id, filters.order_id), (_C.bank_ref, filters.bank_ref), (_C.batch, filters.batch),
    ):  # fmt: skip
        if wanted is not None:
            statement = statement.where(column == wanted)
    for column, account in ((_C.debtor_idx, filters.debtor_account), (_C.creditor_idx, filters.creditor_account)):
        if account is not None:
            statement = statement.where(column == vault.blind(account))
    if filters.from_ms is not None:
        statement = statement.where(_C.accepted_ms >= filters.from_ms)
    if filters.before_ms is not None:
        statement = statement.where(_C.accepted_ms < filters.before_ms)
    if after is not None:
        statement = statement.where(_C.payment < after)
    return [records.read(row, vault) for row in conn.execute(statement.order_by(_C.payment.desc()).limit(limit))]


def _one(conn: Connection, statement: Select[Any], **values: str) -> PaymentRow | None:
    row = first_row(conn, statement, values)
    return None if row is None else records.read(row, vault_of(conn))
