"""Which orders wait for approvers: the need of an order or batch by the policy in force, and the request for it.

A batch is judged by the sum of its lines and by each line. Each line is counted together with the sum that its maker
has paid this payee today. `makers` says whether the maker is known; an unknown maker makes the need stricter, never
weaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, func, select

from gateway.approvals.rows import approval_policies, approval_requests, maker_sums, makers
from gateway.approvals.rows.approval_requests import ApprovalRequest, RequestState
from gateway.approvals.rules.approval_bands import ANY, ApprovalFacts, ApprovalNeed, stricter
from gateway.approvals.rules.approval_digest import PAY, ApprovalLine, ApprovalSubject
from gateway.approvals.rules.approval_policy import ApprovalPolicy
from gateway.kernel.commit.payment_cache import MOVED_NOTHING
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import HOLD_BAND, Judgement, UsageFacts
from gateway.kernel.core.states import UNSENT, Hold, Reject, Release
from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import first_row
from gateway.payments.rows import batch_rows, limits, payees
from gateway.payments.rows.judged_orders import ApprovalContext, JudgedOrder, at_ms, made_order
from gateway.payments.rows.rules_above import LEG_WORDS, MANDATE
from gateway.register.approval_terms import ApprovalTerms
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder

NOTHING = ApprovalNeed()
_ONE = ApprovalNeed(((ANY, 1),))
_WHOLE, _UNSENT_ORDERS, _LOST = "approval_whole", "approval_unsent", "approval_lost"
_DAY_MS = 86_400_000
"""More than a node's clock is set back between an admission and a request."""
_U = schema.usage.c
_SPENT = select(_U.sum_minor).where(
    _U.sender == maker_sums.ALL,
    _U.scope == maker_sums.MAKER,
    _U.key == bindparam("b_key"),
    _U.currency == bindparam("b_currency"),
    _U.day == bindparam("b_day"),
)
_P = schema.payments.c
_OF_BATCH = (_P.sender == bindparam("b_sender"), _P.batch == bindparam("b_batch"))
_SUM = select(func.sum(_P.amount_minor)).where(*_OF_BATCH, _P.state.not_in([one.value for one in MOVED_NOTHING]))
_UNSENT_IDS = select(_P.order_id).where(*_OF_BATCH, _P.state.in_([one.value for one in UNSENT]))


def need_of(
    tx: Tx,
    sender: str,
    judged: Sequence[JudgedOrder],
    context: ApprovalContext,
    *,
    count: bool = True,
    whole_minor: int | None = None,
) -> ApprovalNeed:
    """The approvers that an order, or the orders of a batch, need by the policy in force. With `count` their money is
    counted for later orders. `whole_minor` is the sum of the batch, if these are only some of its orders.

    If a policy is in force, an order that the settings hold for an approval needs at least one approver: settings make
    the need stricter, never weaker. A pool's move inside its mandate needs none, because two persons signed the pool.
    """
    policy, mandated = approval_policies.in_force(tx), tx.ports.of(MANDATE)
    going = [
        one for one in judged if not isinstance(one.judgement.event, Reject) and not mandated(tx, sender, one.order)
    ]
    if not policy.bands or not going:
        return NOTHING
    maker = makers.known(tx, going[0].made, context.terms.environment)
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
    """The approvers that an admitted payment needs by the policy of this moment: by its own amount, and by the sum of
    its batch, if it has one.

    The day's money was counted at admission; the need that resulted is in the request.
    """
    if not approval_policies.in_force(tx).bands:
        return NOTHING
    held = HOLD_BAND in row.holds
    verdict = Judgement(Hold(tx.now_ms, HOLD_BAND) if held else Release(tx.now_ms, tx.now_ms))
    judged = JudgedOrder(made_order(tx, row), None, verdict)
    return need_of(tx, row.sender, [judged], context, whole_minor=_whole_minor(tx, row))


def needed_by(tx: Tx, rows: Sequence[PaymentRow], context: ApprovalContext) -> ApprovalNeed:
    """The approvers that these payments of one request need by the policy of this moment, and at least those of the
    requests about them that SQL deleted."""
    need = lost_need(tx, rows)
    for row in rows:
        if row.life.state in UNSENT:
            need = stricter(need, needed_now(tx, row, context))
    return need


def lost_need(tx: Tx, rows: Sequence[PaymentRow]) -> ApprovalNeed:
    """The approvers that the deleted requests about these payments, or about their batch, needed according to the audit
    trail. It reads the trail, so it is not asked at each send.
    """
    name = _LOST, rows[0].sender, subject_name(rows[0])
    if name not in tx.memo:
        since_ms = min(row.accepted_ms for row in rows) - _DAY_MS
        tx.memo[name] = approval_requests.lost_need(tx, *name[1:], since_ms)
    found: ApprovalNeed = tx.memo[name]
    return found


def _whole_minor(tx: Tx, row: PaymentRow) -> int | None:
    """The sum of a payment's batch without the items that ended and moved no money; None without a batch.

    The database counts it, because reading all lines for each line would take the writer minutes.
    """
    if row.batch is None:
        return None
    name = _WHOLE, row.sender, row.batch
    if name not in tx.memo:
        found = tx.read.execute(_SUM, {"b_sender": row.sender, "b_batch": row.batch}).scalar()
        tx.memo[name] = max(int(found or 0), row.order.amount.minor)
    return int(tx.memo[name])


def unsent(tx: Tx, row: PaymentRow) -> tuple[PaymentRow, ...]:
    """The payments that an approval of this one covers: itself, or every item of its batch that was neither sent nor
    ended."""
    if row.batch is None:
        return (row,)
    found = batch_rows.items(tx.read, row.sender, row.batch)
    return tuple(one for one in found if one.life.state in UNSENT)


def asked_with(tx: Tx, row: PaymentRow, request: ApprovalRequest | None) -> tuple[PaymentRow, ...]:
    """The payments to ask about together with this one: the unsent items of its batch whose last request is the
    same."""
    there = approval_requests.about(tx.read, row.sender, subject_name(row))
    own = None if request is None else request.request

    def last(one: PaymentRow) -> str | None:
        return next((made.request for made in there if one.order.id in approval_requests.orders_of(made)), None)

    return tuple(one for one in unsent(tx, row) if one.payment == row.payment or last(one) == own)


def on_ended(tx: Tx, row: PaymentRow, actor: str) -> None:
    """Void the open requests about a payment that has just ended unsent, unless they name another open payment."""
    there = approval_requests.about(tx.read, row.sender, subject_name(row))
    open_ones = [
        one for one in there if one.state is RequestState.OPEN and row.order.id in approval_requests.orders_of(one)
    ]
    if not open_ones:
        return
    left = _unsent_orders(tx, row)
    for one in open_ones:
        if not left & approval_requests.orders_of(one):
            approval_requests.settle(tx, one, RequestState.VOID, actor, {"why": f"it is {row.life.state.value}"})


def _unsent_orders(tx: Tx, row: PaymentRow) -> set[str]:
    """The other unsent orders of the payment's batch. They are read once in a transaction, because an order that an
    open request names is not sent meanwhile."""
    if row.batch is None:
        return set()
    name = _UNSENT_ORDERS, row.sender, row.batch
    if name not in tx.memo:
        found = tx.read.execute(_UNSENT_IDS, {"b_sender": row.sender, "b_batch": row.batch})
        tx.memo[name] = {one.order_id for one in found}
    left: set[str] = tx.memo[name]
    left.discard(row.order.id)
    return left


def request(tx: Tx, rows: Sequence[PaymentRow], need: ApprovalNeed, terms: ApprovalTerms) -> ApprovalRequest:
    """Make the approval request for these payments: one payment, or all items of a batch that go on."""
    first = rows[0]
    about = subject_of(tx, rows, terms.environment)
    return approval_requests.open_request(tx, about, subject_name(first), need, terms, about.valid_until_ms)


def subject_name(row: PaymentRow) -> str:
    """The id of the subject that is approved with this payment: its batch, or its order."""
    return row.order.id if row.batch is None else row.batch


def subject_of(tx: Tx, rows: Sequence[PaymentRow], environment: str) -> ApprovalSubject:
    """The text that approvers sign for these payments, without the environment, instance and nonce of the request. The
    maker is named if known in this `environment`."""
    order, maker = rows[0].order, makers.known(tx, made_order(tx, rows[0]), environment)
    return ApprovalSubject(
        environment="",
        instance="",
        verb=PAY,
        nonce="",
        sender=rows[0].sender,
        kind=order.kind.value,
        channel=order.channel.value,
        fee_bearer=_fee_bearers(rows),
        maker=maker or "",
        not_before_ms=at_ms(order.not_before),
        valid_until_ms=at_ms(order.valid_until),
        policy=approval_policies.in_force(tx).version,
        lines=tuple(line_of(row.order) for row in rows),
        linked=tx.ports.of(LEG_WORDS)(tx, order),
    )


def _fee_bearers(rows: Sequence[PaymentRow]) -> str:
    """The fee bearer that all lines have; if they differ, the fee bearer of each line in order."""
    words = [row.order.terms.charge_bearer or "" for row in rows]
    return words[0] if len(set(words)) == 1 else ",".join(word or "-" for word in words)


def line_of(order: AnyOrder) -> ApprovalLine:
    """The line of a payment that approvers sign."""
    payee = order.creditor
    return ApprovalLine(
        order=order.id,
        debtor_account=order.debtor.account.clear,
        payee_name=payee.name.clear,
        payee_account=payee.account.clear,
        payee_bank=", ".join(filter(None, (payee.bank_name, payee.bic))),
        payee_cnaps=payee.cnaps or "",
        amount_minor=order.amount.minor,
        currency=order.amount.currency,
        purpose=order.purpose,
    )


def _facts(
    tx: Tx, sender: str, order: AnyOrder, maker: str | None, policy: ApprovalPolicy, context: ApprovalContext
) -> ApprovalFacts:
    known = True
    if any(band.payee != ANY for band in policy.bands):
        looked = payees.looked_at(tx, sender, order, context.payee_before_ms(), UsageFacts())
        known = context.covered(order.amount.minor, looked)
    return ApprovalFacts(
        order.amount.currency, order.amount.minor, order.kind.value, "known" if known else "new", sender, maker=maker
    )


def _spent(tx: Tx, sender: str, maker: str | None, one: JudgedOrder, count: bool) -> int:
    """The sum of today's earlier orders for this payee that name the same maker. Without a known maker: of all orders
    of the sender."""
    if one.day is None:
        return 0
    money: Money = one.order.amount
    of_sender, of_named = maker_sums.keys(tx, sender, one.order, one.day)
    key = of_sender if maker is None else of_named
    if count:
        for counted in dict.fromkeys((of_sender, of_named)):
            tx.usage_totals.add(counted, money.minor, 1)
        if tx.raw.dialect.name != "sqlite":
            # Written before it is read, so that two nodes that count for one payee wait for each other.
            tx.usage_totals.write_pending(tx.raw)
    row: Any = first_row(tx.raw, _SPENT, {"b_key": key[2], "b_currency": key[3], "b_day": key[4]})
    so_far = limits.counted_minor(tx, key, None if row is None else row.sum_minor)
    return so_far - money.minor if count else so_far
