"""Which orders wait for approvers: what the policy in force needs of an order or batch, and the request for it.

A batch is judged by the sum of its lines and by each line; each line counts what its maker has paid this payee today. A
maker counts only if enrolled under that name; a maker who is not known makes the need stricter, never weaker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select

from gateway.core.hours import stayed_since_ms
from gateway.core.policy import HOLD_BAND, Allowance, Judgement, UsageFacts, in_order, payee_covers
from gateway.core.states import UNSENT, Hold, Reject, Release
from gateway.journal.commit.payment_cache import MOVED_NOTHING
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import batch_rows, linked_orders, payees, pool_moves
from gateway.journal.people import approval_policies, approval_requests, persons
from gateway.journal.people.approval_requests import ApprovalRequest, RequestState
from gateway.journal.sql import schema
from gateway.journal.sql.driver import first_row
from gateway.people.approval_bands import ANY, ApprovalFacts, ApprovalNeed, stricter
from gateway.people.approval_digest import PAY, ApprovalLine, ApprovalSubject
from gateway.people.approval_policy import ApprovalPolicy
from gateway.people.approval_terms import DEFAULT_TERMS, ApprovalTerms
from protocols.canon.fast_init import fast_init
from protocols.canon.limits import Hours
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder

NOTHING = ApprovalNeed()
_ONE = ApprovalNeed(((ANY, 1),))
_ALL, _MAKER = "*", "maker"
_MAKERS, _WHOLE, _UNSENT_ORDERS = "approval_makers", "approval_whole", "approval_unsent"
_U = schema.usage.c
_SPENT = select(_U.sum_minor).where(
    _U.sender == _ALL, _U.scope == _MAKER, _U.key == bindparam("b_key"), _U.currency == bindparam("b_currency"),
    _U.day == bindparam("b_day"),
)  # fmt: skip
_P = schema.payments.c
_OF_BATCH = (_P.sender == bindparam("b_sender"), _P.batch == bindparam("b_batch"))
_SUM = select(func.sum(_P.amount_minor)).where(
    *_OF_BATCH, _P.state.not_in([one.value for one in MOVED_NOTHING])
)  # fmt: skip
_UNSENT_IDS = select(_P.order_id).where(*_OF_BATCH, _P.state.in_([one.value for one in UNSENT]))


@fast_init
@dataclass(frozen=True, slots=True)
class ApprovalContext:
    """What admission and release know beside the order: the settings' terms, from when a payment must have stayed to
    make a payee known, and whether what the journal says of the payee covers an amount."""

    terms: ApprovalTerms
    payee_before_ms: Callable[[], int]
    covered: Callable[[int, UsageFacts], bool]


def context(
    terms: ApprovalTerms, allowance: Allowance | None, hours: Hours | None, now_ms: int
) -> ApprovalContext:
    """What the approval policy looks at, by the settings of one moment. Without the sender's `allowance` or the bank's
    `hours`, which are not configured any more, every payee is new."""
    if allowance is None or hours is None:
        return ApprovalContext(terms, lambda: 0, lambda _minor, _facts: False)
    return ApprovalContext(
        terms, lambda: stayed_since_ms(hours, now_ms, allowance.payee_days, allowance.holidays, allowance.worked),
        lambda minor, facts: payee_covers(minor, allowance, facts),
    )  # fmt: skip


NO_CONTEXT = ApprovalContext(DEFAULT_TERMS, lambda: 0, lambda _minor, _facts: False)


@fast_init
@dataclass(frozen=True, slots=True)
class JudgedOrder:
    """An order with the verdict of its sender's limits; `day` is the day that its money counts on. None: what came
    before it on its day was counted at admission, and is not looked at again."""

    order: AnyOrder
    day: str | None
    judgement: Judgement


def need_of(
    tx: Tx, sender: str, judged: Sequence[JudgedOrder], context: ApprovalContext, *, count: bool = True,
    whole_minor: int | None = None,
) -> ApprovalNeed:  # fmt: skip
    """What an order, or the orders of a batch, need by the policy in force. `count` their money for those after them.
    `whole_minor` is the sum of their batch, if these are not all of it.

    What the settings hold for an approval needs at least one approver, where a policy is in force: settings make it
    stricter, never weaker. The order of a pool's move inside its mandate needs nothing: two persons signed the pool.
    """
    policy = approval_policies.in_force(tx)
    going = [one for one in judged if not isinstance(one.judgement.event, Reject)
             and not pool_moves.mandated(tx, sender, one.order)]  # fmt: skip
    if not policy.bands or not going:
        return NOTHING
    maker = known_maker(tx, going[0].order)
    need, whole_minor = NOTHING, whole_minor or sum(one.order.amount.minor for one in going)
    for one in going:
        facts = _facts(tx, sender, one.order, maker, policy, context)
        spent_minor = _spent(tx, sender, maker, one, count)
        need = stricter(need, policy.needed(replace(facts, spent_minor=spent_minor)))
        need = stricter(need, policy.needed(replace(facts, amount_minor=whole_minor)))
        if isinstance(one.judgement.event, Hold) and HOLD_BAND in one.judgement.event.reasons:
            need = stricter(need, _ONE)
    return need


def needed_now(tx: Tx, row: PaymentRow, context: ApprovalContext) -> ApprovalNeed:
    """What a payment that was admitted before needs by the policy of this moment: by itself, and by the sum of its
    batch, if it has one.

    Its money of the day was counted at admission; what that needed is in the request.
    """
    if not approval_policies.in_force(tx).bands:
        return NOTHING
    held = HOLD_BAND in row.holds
    verdict = Judgement(Hold(tx.now_ms, HOLD_BAND) if held else Release(tx.now_ms, tx.now_ms))
    return need_of(tx, row.sender, [JudgedOrder(row.order, None, verdict)], context, whole_minor=_whole_minor(tx, row))


def needed_by(tx: Tx, rows: Sequence[PaymentRow], context: ApprovalContext) -> ApprovalNeed:
    """What these payments of one request need together now; those that were sent or have ended need nothing."""
    need = NOTHING
    for row in rows:
        if row.life.state in UNSENT:
            need = stricter(need, needed_now(tx, row, context))
    return need


def _whole_minor(tx: Tx, row: PaymentRow) -> int | None:
    """The sum of a payment's batch but for what ended without moving money; None without a batch.

    It is counted by the database: reading all lines for each of them would take the writer minutes.
    """
    if row.batch is None:
        return None
    name = _WHOLE, row.sender, row.batch
    if name not in tx.memo:
        found = tx.read.execute(_SUM, {"b_sender": row.sender, "b_batch": row.batch}).scalar()
        tx.memo[name] = max(int(found or 0), row.order.amount.minor)
    return int(tx.memo[name])


def unsent(tx: Tx, row: PaymentRow) -> tuple[PaymentRow, ...]:
    """The payments that an approval of this one is about: itself, or all of its batch that were not sent or ended."""
    if row.batch is None:
        return (row,)
    found = batch_rows.items(tx.read, row.sender, row.batch)
    return tuple(one for one in found if one.life.state in UNSENT)


def asked_with(tx: Tx, row: PaymentRow, request: ApprovalRequest | None) -> tuple[PaymentRow, ...]:
    """The payments to ask about together with this one: of its batch, those unsent whose last request is the same."""
    there = approval_requests.about(tx.read, row.sender, subject_name(row))
    own = None if request is None else request.request

    def last(one: PaymentRow) -> str | None:
        return next((made.request for made in there if one.order.id in approval_requests.orders_of(made)), None)

    return tuple(one for one in unsent(tx, row) if one.payment == row.payment or last(one) == own)


def on_ended(tx: Tx, row: PaymentRow, actor: str) -> None:
    """Void the open requests about a payment that has just ended unsent, if nothing else that they name is left."""
    there = approval_requests.about(tx.read, row.sender, subject_name(row))
    open_ones = [one for one in there if one.state is RequestState.OPEN
                 and row.order.id in approval_requests.orders_of(one)]  # fmt: skip
    if not open_ones:
        return
    left = _unsent_orders(tx, row)
    for one in open_ones:
        if not left & approval_requests.orders_of(one):
            approval_requests.settle(tx, one, RequestState.VOID, actor, {"why": f"it is {row.life.state.value}"})


def _unsent_orders(tx: Tx, row: PaymentRow) -> set[str]:
    """The other orders of its batch that are unsent. What an open request names is not sent, so that those of a
    transaction are read once."""
    if row.batch is None:
        return set()
    name = _UNSENT_ORDERS, row.sender, row.batch
    if name not in tx.memo:
        found = tx.read.execute(_UNSENT_IDS, {"b_sender": row.sender, "b_batch": row.batch})
        tx.memo[name] = {one.order_id for one in found}
    left: set[str] = tx.memo[name]
    left.discard(row.order.id)
    return left


def with_hold(judgement: Judgement, need: ApprovalNeed) -> Judgement:
    """The verdict with `approval` among the reasons to hold, if anything is needed."""
    event = judgement.event
    if not need.approvers or isinstance(event, Reject):
        return judgement
    reasons = in_order({*(event.reasons if isinstance(event, Hold) else ()), HOLD_BAND})
    return Judgement(Hold(event.at_ms, reasons[0], reasons[1:]))


def request(tx: Tx, rows: Sequence[PaymentRow], need: ApprovalNeed, terms: ApprovalTerms) -> ApprovalRequest:
    """Ask for the approval of these payments: of one, or of all that go of a batch."""
    first = rows[0]
    about = subject_of(tx, rows)
    return approval_requests.open_request(tx, about, subject_name(first), need, terms, about.valid_until_ms)


def subject_name(row: PaymentRow) -> str:
    """What an approval of this payment is about: its batch, or itself."""
    return row.order.id if row.batch is None else row.batch


def subject_of(tx: Tx, rows: Sequence[PaymentRow]) -> ApprovalSubject:
    """What approvers sign of these payments, but for the environment, instance and nonce of the request."""
    order = rows[0].order
    return ApprovalSubject(
        environment="", instance="", verb=PAY, nonce="", sender=rows[0].sender, kind=order.kind.value,
        channel=order.channel.value, fee_bearer=_fee_bearers(rows), maker=known_maker(tx, order) or "",
        not_before_ms=at_ms(order.not_before), valid_until_ms=at_ms(order.valid_until),
        policy=approval_policies.in_force(tx).version, lines=tuple(line_of(row.order) for row in rows),
        linked=linked_orders.leg_words(tx, order),
    )  # fmt: skip


def _fee_bearers(rows: Sequence[PaymentRow]) -> str:
    """The word that all lines have; where they differ, each line's, in their order."""
    words = [row.order.terms.charge_bearer or "" for row in rows]
    return words[0] if len(set(words)) == 1 else ",".join(word or "-" for word in words)


def line_of(order: AnyOrder) -> ApprovalLine:
    """What approvers sign of one payment."""
    payee = order.creditor
    return ApprovalLine(
        order=order.id, debtor_account=order.debtor.account.clear, payee_name=payee.name.clear,
        payee_account=payee.account.clear, payee_bank=", ".join(filter(None, (payee.bank_name, payee.bic))),
        payee_cnaps=payee.cnaps or "", amount_minor=order.amount.minor, currency=order.amount.currency,
        purpose=order.purpose,
    )  # fmt: skip


def known_maker(tx: Tx, order: AnyOrder) -> str | None:
    """The order's maker, if enrolled under that name."""
    if order.maker is None:
        return None
    if _MAKERS not in tx.memo:
        tx.memo[_MAKERS] = frozenset(one.name for one in persons.everyone(tx.raw) if one.enrolled)
    return order.maker if order.maker in tx.memo[_MAKERS] else None


def _facts(
    tx: Tx, sender: str, order: AnyOrder, maker: str | None, policy: ApprovalPolicy, context: ApprovalContext
) -> ApprovalFacts:
    known = True
    if any(band.payee != ANY for band in policy.bands):
        looked = payees.looked_at(tx, sender, order, context.payee_before_ms(), UsageFacts())
        known = context.covered(order.amount.minor, looked)
    return ApprovalFacts(order.amount.currency, order.amount.minor, order.kind.value, "known" if known else "new",
                         sender, maker=maker)  # fmt: skip


def _spent(tx: Tx, sender: str, maker: str | None, one: JudgedOrder, count: bool) -> int:
    """What the maker's earlier orders to this payee come to today. Without a maker, what the sender's do."""
    if one.day is None:
        return 0
    money: Money = one.order.amount
    who = f"person\x1f{maker}" if maker is not None else f"sender\x1f{sender}"
    key = (_ALL, _MAKER, tx.vault.blind("\x1f".join(("maker", who, one.order.theirs.account.clear))), money.currency,
           one.day)  # fmt: skip
    if count:
        tx.usage_totals.add(key, money.minor, 1)
        if tx.raw.dialect.name != "sqlite":
            # Written before it is read: two nodes that count for one payee wait for each other.
            tx.usage_totals.write(tx.raw)
    row: Any = first_row(tx.raw, _SPENT, {"b_key": key[2], "b_currency": key[3], "b_day": key[4]})
    so_far = (0 if row is None else int(row.sum_minor)) + tx.usage_totals.pending_minor(key)
    return so_far - money.minor if count else so_far


def at_ms(at: datetime | None) -> int | None:
    """A moment as milliseconds of UTC."""
    return None if at is None else int(at.timestamp() * 1000)
