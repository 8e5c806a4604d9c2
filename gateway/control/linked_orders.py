"""Linked payments (联动支付) in the control API: what waits for its funding, and what a person decides about the money
of one that failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from gateway.control import order_decisions
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.persons import refused
from gateway.control.server import Call, Denied, Verb
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import linked_orders, lookup, pool_moves
from gateway.journal.payments.linked_orders import LinkedOrder, LinkState
from gateway.journal.people import persons
from gateway.journal.people.persons import No
from gateway.people.scopes import Scope
from gateway.treasury import linked_runs
from gateway.treasury.liquidity.plan import REASONS
from protocols.canon.money import Money
from protocols.canon.party import mask
from protocols.erp.news import instant

BACK, STAYS = "return", "stay"
CHOICES = (BACK, STAYS)
SHOWN = (*linked_orders.OPEN, LinkState.UNDECIDED, LinkState.RETURNED)
_WORDS = {one.value: words for one, words in REASONS.items()}


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about linked payments."""
    acts = _Acts(daemon_handle)
    return (Verb("GET", "/linked", acts.listing), Verb("POST", "/linked/([^/]+)/decide", acts.decide))


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    async def listing(self, call: Call) -> Any:
        """The linked payments that are open or undecided, inside the asker's scope."""

        def look(conn: Connection) -> list[dict[str, Any]]:
            found = [(one, lookup.fetch(conn, one.payment)) for one in linked_orders.in_state(conn, *SHOWN)]
            return [_link(conn, one, row, call.clear) for one, row in found
                    if row is not None and call.scope.covers(row.company, one.member)]  # fmt: skip

        return {"linked": await self._daemon_handle.store.read(look)}

    async def decide(self, call: Call) -> Any:
        """Order the money back, or note that it stays. Where there are administrators, two persons sign it instead
        (`ProposalKind.LINK`)."""
        name, to, reason = call.parts[0], call.text("to"), call.text("reason")
        if to not in CHOICES:
            raise Denied(400, "bad_choice", f"`to` is one of {', '.join(CHOICES)}")
        if not persons.ceremony_open(await self._daemon_handle.store.read(persons.everyone)):
            raise Denied(409, "two_persons", f"two supervisors decide this here, who sign it: bankgw liquidity {to} as "
                         f"one of them, then bankgw resolve --approve as the other; nothing was changed")  # fmt: skip
        said = await self._daemon_handle.store.write(
            lambda tx: carry_out(tx, name, to, reason, call.peer.actor, self._daemon_handle, scope=call.scope)
        )
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        if said is not None:
            self._daemon_handle.pools.on_payment(said)
        return {"order": name, "to": to, "payment": None if said is None else said.payment}


def _link(conn: Connection, one: LinkedOrder, row: PaymentRow, clear: bool) -> dict[str, Any]:
    leg = None if one.run is None else next(iter(pool_moves.moves_of(conn, one.run)), None)
    return {
        "order": f"{row.sender}:{row.order.id}", "payment": one.payment, "pool": one.pool,
        "account": one.member if clear else mask(one.member), "amount": str(row.order.amount),
        "currency": row.order.amount.currency, "state": one.state.value, "order_state": row.life.state.value,
        "holds": list(row.holds), "funding": None if leg is None else leg.order_id,
        "funded": None if leg is None else str(Money(leg.amount_minor, leg.currency)),
        "why": _WORDS.get(one.why, one.why) or None, "since": instant(one.changed_ms),
    }  # fmt: skip


# ---- the decision ----


def facts(tx: Tx, subject: str, to: str) -> tuple[tuple[tuple[str, str], ...], PaymentRow] | No:
    """What both sign: the order, and the money that its pool brought for it."""
    if to not in CHOICES:
        return No("bad_choice", f"{to!r} is neither {BACK} nor {STAYS}; nothing was changed")
    row = order_decisions.find(tx.fresh, subject)
    link = None if row is None else linked_orders.find(tx.fresh, row.payment)
    if row is None or link is None or link.run is None or link.state is not LinkState.UNDECIDED:
        return No("not_now", f"nothing is to be decided about {subject}; see `bankgw liquidity linked`")
    (leg,) = pool_moves.moves_of(tx.raw, link.run)
    return (
        ("order", f"{row.sender}:{row.order.id}"), ("payment", row.payment), ("pool", link.pool),
        ("from", row.life.state.value), ("funding", leg.order_id), ("account", mask(link.member)),
        ("funded", f"{Money(leg.amount_minor, leg.currency)} {leg.currency}"),
    ), row  # fmt: skip


def carry_out(
    tx: Tx, subject: str, to: str, reason: str, actor: str, daemon_handle: DaemonHandle, scope: Scope | None = None
) -> PaymentRow | None | No:
    """Do it. Returns the payment that brings the money back, None if it stays."""
    row = order_decisions.find(tx.fresh, subject)
    if row is None or not (scope is None or scope.covers(row.company, row.order.debtor.account.clear)):
        return No("no_such_order", f"there is no order {subject} in your scope; name it by its key, or as SENDER:ID")
    if to == BACK:
        return linked_runs.send_back(tx, row.payment, reason, actor, daemon_handle.pools.link_setting())
    kept = linked_runs.stay(tx, row.payment, reason, actor)
    return kept if isinstance(kept, No) else None


def why_of(one: LinkedOrder) -> str:
    """What a link waits for, in words."""
    return _WORDS.get(one.why, one.why) or one.state.value
