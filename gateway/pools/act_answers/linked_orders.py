"""Handlers of the acts about linked payments (联动支付): those that wait for money, and decisions about the money of a
failed one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from gateway.call import Call, Denied, answers
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.core.code_names import STATE_NAMES
from gateway.language import bilingual, coded
from gateway.payments.act_answers import order_decisions
from gateway.payments.rows import lookup
from gateway.people.refusals import refused
from gateway.people.rows import persons
from gateway.people.rows.persons import No
from gateway.people.rules.scopes import Scope
from gateway.people.rules.signed_text import DecisionFacts, fact
from gateway.pools.acts import DecideLink, ViewPools
from gateway.pools.jobs import PoolService
from gateway.pools.rows import linked_orders, linked_runs, pool_moves
from gateway.pools.rows.linked_orders import LinkedOrder, LinkState
from gateway.pools.rules.plan import REASONS
from protocols.canon.money import Money
from protocols.canon.party import mask
from protocols.erp.news import instant

BACK, STAYS = "return", "stay"
CHOICES = (BACK, STAYS)
_MEANT = {BACK: "资金退回", STAYS: "资金留存"}
SHOWN = (*linked_orders.OPEN, LinkState.UNDECIDED, LinkState.RETURNED)
_WORDS = {one.value: words for one, words in REASONS.items()}


@dataclass(frozen=True, slots=True)
class LinkAnswers:
    """Answers the control API's acts about linked payments."""

    store: Store
    pools: PoolService

    @answers("linked.list")
    async def listing(self, call: Call, params: ViewPools) -> Any:
        """The linked payments in the caller's scope that are open or need a decision."""

        def links_in_scope(conn: Connection) -> list[dict[str, Any]]:
            found = [(one, lookup.fetch(conn, one.payment)) for one in linked_orders.in_state(conn, *SHOWN)]
            return [
                _link(conn, one, row, params.clear)
                for one, row in found
                if row is not None and call.scope.covers(row.company, one.member)
            ]

        return {"linked": await self.store.read(links_in_scope)}

    @answers("linked.decide")
    async def decide(self, call: Call, params: DecideLink) -> Any:
        """Order the return of the pool's money, or record that it stays.

        If there are administrators, two persons sign it instead (`ProposalKind.LINK`).
        """
        name, to, reason = params.order, params.to, params.reason
        if to not in CHOICES:
            raise Denied(400, "bad_choice", f"`to` is one of {', '.join(CHOICES)}")
        if not persons.ceremony_open(await self.store.read(persons.everyone)):
            raise Denied(
                409,
                "two_persons",
                f"two supervisors must sign this decision here: bankgw liquidity {to} as "
                f"one of them, then bankgw resolve --approve as the other; nothing was changed",
            )
        said = await self.store.write(
            lambda tx: carry_out(tx, name, to, reason, call.peer.actor, self.pools, scope=call.scope)
        )
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        if said is not None:
            self.pools.on_payment(said)
        return {"order": name, "to": to, "payment": None if said is None else said.payment}


def _link(conn: Connection, one: LinkedOrder, row: PaymentRow, clear: bool) -> dict[str, Any]:
    leg = None if one.run is None else next(iter(pool_moves.moves_of(conn, one.run)), None)
    return {
        "order": f"{row.sender}:{row.order.id}",
        "payment": one.payment,
        "pool": one.pool,
        "account": one.member if clear else mask(one.member),
        "amount": str(row.order.amount),
        "currency": row.order.amount.currency,
        "state": one.state.value,
        "order_state": row.life.state.value,
        "holds": list(row.holds),
        "funding": None if leg is None else leg.order_id,
        "funded": None if leg is None else str(Money(leg.amount_minor, leg.currency)),
        "why": _WORDS.get(one.why, one.why) or None,
        "since": instant(one.changed_ms),
    }


# ---- the decision ----


def facts(tx: Tx, subject: str, to: str) -> DecisionFacts | No:
    """The facts that both persons sign: the order, and the money that its pool transferred for it."""
    if to not in CHOICES:
        return No("bad_choice", f"{to!r} is neither {BACK} nor {STAYS}; nothing was changed")
    row = order_decisions.find(tx.fresh, subject)
    link = None if row is None else linked_orders.find(tx.fresh, row.payment)
    if row is None or link is None or link.run is None or link.state is not LinkState.UNDECIDED:
        return No("not_now", f"nothing is to be decided about {subject}; see `bankgw liquidity linked`")
    (leg,) = pool_moves.moves_of(tx.raw, link.run)
    order, account = f"{row.sender}:{row.order.id}", mask(link.member)
    funded = f"{Money(leg.amount_minor, leg.currency)} {leg.currency}"
    said = (
        fact("order", "付款指令", order),
        fact("payment", "付款编号", row.payment),
        fact("pool", "资金池", link.pool),
        fact("from", "目前状态", coded(row.life.state.value, STATE_NAMES)),
        fact("funding", "资金划转指令", leg.order_id),
        fact("account", "成员账户", account),
        fact("funded", "已划入金额", funded),
    )
    named = {"funded": funded, "order": order, "pool": link.pool, "account": account}
    effect = (
        bilingual(
            "{funded}, which pool {pool} brought to account {account} for order {order}, goes back to its header",
            "资金池 {pool} 为付款指令 {order} 划入账户 {account} 的 {funded} 退回主账户",
            **named,
        )
        if to == BACK
        else bilingual(
            "{funded}, which pool {pool} brought to account {account} for order {order}, stays there",
            "资金池 {pool} 为付款指令 {order} 划入账户 {account} 的 {funded} 留存该账户",
            **named,
        )
    )
    return DecisionFacts(said, row.payment, f"order {subject}", effect, coded(to, _MEANT))


def carry_out(
    tx: Tx, subject: str, to: str, reason: str, actor: str, pools: PoolService, scope: Scope | None = None
) -> PaymentRow | None | No:
    """Carry out the decision. Returns the payment that returns the money, None if the money stays."""
    row = order_decisions.find(tx.fresh, subject)
    if row is None or not (scope is None or scope.covers(row.company, row.order.debtor.account.clear)):
        return No("no_such_order", f"there is no order {subject} in your scope; name it by its key, or as SENDER:ID")
    if to == BACK:
        return linked_runs.send_back(tx, row.payment, reason, actor, pools.link_setting())
    kept = linked_runs.stay(tx, row.payment, reason, actor)
    return kept if isinstance(kept, No) else None


def why_of(one: LinkedOrder) -> str:
    """A sentence that says for what a linked payment is waiting."""
    return _WORDS.get(one.why, one.why) or one.state.value
