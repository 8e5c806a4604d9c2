"""Compares what a signature would say with the journal's rows: the rules by which the signer signs a payment.

Each rule answers with a refusal or passes. A refusal that a later try could not change is NEVER; one that ends by
itself, as a pause does, is LATER.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.work import may_leave_ms
from protocols.canon.order import AnyOrder, CollectionDetail, Urgency
from protocols.canon.outcome import State
from protocols.canon.party import PartyKind
from protocols.readback.signed import SignedLine, SignedMessage

EARLY_MS = 1_000
"""By how much the daemon's clock may be ahead of the signer's."""


class NotJudgedGood(Exception):  # noqa: N818 - a verdict: nothing is signed
    """A message is not signed. `reason` is one word, `later`: the same message may be signed at another time."""

    def __init__(self, reason: str, detail: str, *, later: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.later = later


@dataclass(frozen=True, slots=True)
class JudgedPayment:
    """A payment that a message may carry: what the log of signatures has of it."""

    reference: str
    attempt: int
    kind: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class JournalRows:
    """The journal's rows under a message's reference: one payment, or the payments of a bundle. `bundled`: they travel
    together. `spent`: the bundle may have left."""

    rows: tuple[PaymentRow, ...]
    bundled: bool = False
    spent: bool = False


def judge(message: SignedMessage, found: JournalRows, lane: str, now_ms: int) -> tuple[JudgedPayment, ...]:
    """The payments of a message, if the journal admits each of them now. Raises NotJudgedGood."""
    if found.spent:
        raise NotJudgedGood("has_left", "the bundle may be at the bank")
    rows = {row.bank_ref: row for row in found.rows}
    if found.bundled == (len(message.lines) == 1 and message.lines[0].reference == message.reference):
        raise NotJudgedGood("differs", "the journal sends it in another form, alone or in a bundle")
    if len({line.reference for line in message.lines}) != len(message.lines):
        raise NotJudgedGood("differs", "two lines have one reference")
    if {line.reference for line in message.lines} != {row.bank_ref for row in _leaving(found)}:
        raise NotJudgedGood("differs", "the message has other payments than the journal sends under its reference")
    return tuple(_payment(message, line, rows[line.reference], lane, now_ms) for line in message.lines)


def _leaving(found: JournalRows) -> Sequence[PaymentRow]:
    """The rows that a message must have: of a bundle those that are ready, because others were stopped since."""
    return [row for row in found.rows if row.life.state is State.READY] if found.bundled else found.rows


def _payment(message: SignedMessage, line: SignedLine, row: PaymentRow, lane: str, now_ms: int) -> JudgedPayment:
    life, order = row.life, row.order
    if row.lane != lane:
        raise NotJudgedGood("other_lane", f"{line.reference} belongs to another lane")
    if life.state is not State.READY or row.holds:
        raise NotJudgedGood("not_ready", f"{line.reference} is {life.state.value} in the journal")
    if life.valid_until_ms is not None and now_ms >= life.valid_until_ms:
        raise NotJudgedGood("expired", f"the validity of {line.reference} has ended")
    if may_leave_ms(row, now_ms) > now_ms + EARLY_MS:
        raise NotJudgedGood("too_early", f"{line.reference} may not leave yet", later=True)
    if order.kind not in message.kinds:
        raise NotJudgedGood(
            "differs", f"{line.reference} is a {order.kind.value}, which {message.operation} does not carry"
        )
    if what := difference(line, order):
        raise NotJudgedGood("differs", f"{line.reference} has another {what} in the journal")
    money = order.amount
    return JudgedPayment(line.reference, life.attempt + 1, order.kind.value, money.currency, money.minor)


def difference(line: SignedLine, order: AnyOrder) -> str:
    """The first fact of a line that is another one in the order; "" if there is none."""
    payer, payee = order.debtor, order.creditor
    agreement = order.detail.agreement if isinstance(order.detail, CollectionDetail) else None
    facts: tuple[tuple[str, object, object], ...] = (
        ("own account" if order.ours is payer else "payer's account", line.debtor, payer.account.clear),
        ("own account" if order.ours is payee else "payee's account", line.payee, payee.account.clear),
        ("amount", line.amount, Decimal(str(order.amount))),
        ("currency", line.currency, order.amount.currency),
        ("payer's name", line.debtor_name, payer.name.clear),
        ("payee's name", line.payee_name, payee.name.clear),
        ("bank of the payee", line.payee_bank, payee.cnaps or ""),
        ("BIC of the payee's bank", line.payee_bic, payee.bic or ""),
        ("name of the payee's bank", line.payee_bank_name, payee.bank_name or ""),
        ("kind of payee", line.payee_is_person, payee.kind is PartyKind.PERSON),
        ("purpose", line.purpose, order.purpose),
        ("urgency", line.urgent, order.urgency is Urgency.URGENT),
        ("agreement", line.agreement, agreement),
    )
    return next((name for name, said, ours in facts if said is not None and said != ours), "")
