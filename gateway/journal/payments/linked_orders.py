"""Linked payments (联动支付) in the journal: an order that names a pool waits until the pool's header has brought what
its account lacks. One row an order, from admission on.

Leg 1 is a run of the pool with one move, from the header to the member; leg 2 is the order itself. Approvers of leg 2
sign the words of `leg_words`, which say where leg 1 comes from and how much it may be at most.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.core.policy import HOLD_FUNDING, Judgement, in_order
from gateway.core.states import Hold, Reject
from gateway.journal.commit import audit
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import pools
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.vaults import vault_of
from protocols.canon.errors import Code, Fault, FieldCode
from protocols.canon.order import AnyOrder

_C = schema.linked_orders.c


class LinkState(StrEnum):
    """WAITING: leg 1 has not begun. FUNDING: it is ordered. UNFUNDED: it moved nothing. RELEASED: leg 2 may go. DONE:
    nothing is left to do. UNDECIDED: leg 2 moved nothing and leg 1 did; a person decides. RETURNED: it is ordered
    back; UNDECIDED again if that order moves nothing. BACK: the header has it, for all that is known. STAYS: it stays
    with the member."""

    WAITING = "waiting"
    FUNDING = "funding"
    UNFUNDED = "unfunded"
    RELEASED = "released"
    DONE = "done"
    UNDECIDED = "undecided"
    RETURNED = "returned"
    BACK = "back"
    STAYS = "stays"


OPEN = (LinkState.WAITING, LinkState.FUNDING, LinkState.UNFUNDED, LinkState.RELEASED)
"""Links that go on by themselves, or wait for the order to be withdrawn."""


@dataclass(frozen=True, slots=True)
class LinkedOrder:
    """One link: leg 2's payment, and the runs of leg 1 and of the way back. `why` says what it waits for."""

    payment: str
    pool: str
    member: str
    state: LinkState
    run: str | None
    back_run: str | None
    changed_ms: int
    why: str = ""


def judged(tx: Tx, order: AnyOrder, verdict: Judgement) -> Judgement:
    """The verdict about an order, with what its link adds: it is held for its funding, or rejected for a pool that
    cannot fund it. An order without a pool is as it was."""
    if order.funded_by is None or isinstance(verdict.event, Reject):
        return verdict
    row = pools.last(tx.raw, order.funded_by)
    pool = None if row is None else row.pool
    detail = "" if pool is not None else "there is no such pool in force"
    if pool is not None and order.debtor.account.clear not in {one.account for one in pool.children}:
        detail = "the debtor's account is no child of this pool"
    elif pool is not None and order.amount.currency != pool.currency:
        detail = f"the pool keeps {pool.currency}"
    event = verdict.event
    if detail:
        fault = Fault("/funded_by", FieldCode.UNKNOWN_CODE, detail)
        return Judgement(Reject(event.at_ms, Code.VALIDATION), (fault,))
    reasons = in_order({*(event.reasons if isinstance(event, Hold) else ()), HOLD_FUNDING})
    return Judgement(Hold(event.at_ms, reasons[0], reasons[1:]))


def leg_words(tx: Tx, order: AnyOrder) -> tuple[str, ...]:
    """What approvers of the order sign about leg 1; nothing without a pool."""
    if order.funded_by is None:
        return ()
    row = pools.last(tx.read, order.funded_by)
    header = "a pool that is closed" if row is None or row.pool is None else row.pool.header
    most = f"up to {order.amount} {order.amount.currency} and the fee"
    return (f"{most} from {header} to {order.debtor.account.clear} by pool {order.funded_by}",)


def begin(tx: Tx, row: PaymentRow) -> None:
    """Note a new order that names a pool."""
    pool, member = row.order.funded_by, row.order.debtor.account.clear
    assert pool is not None, "the caller asks only about orders that name one"
    insert_new(tx.raw, schema.linked_orders, {
        "payment": row.payment, "pool": pool, "member_idx": tx.vault.blind(member), "state": LinkState.WAITING.value,
        "run": None, "back_run": None, "changed_ms": tx.now_ms, "body": _sealed(tx, row.payment, member, ""),
    })  # fmt: skip


def move_on(
    tx: Tx, link: LinkedOrder, state: LinkState, actor: str, *, why: str = "", run: str | None = None,
    back_run: str | None = None,
) -> bool:  # fmt: skip
    """Change a link's state, once. False if it was changed meanwhile; then nothing is."""
    if (state, why, run) == (link.state, link.why, None):
        return False
    changed = tx.fresh.execute(
        update(schema.linked_orders)
        .where(_C.payment == link.payment, _C.state == link.state.value, _C.changed_ms == link.changed_ms)
        .values(state=state.value, run=run or link.run, back_run=back_run or link.back_run,
                changed_ms=max(tx.now_ms, link.changed_ms + 1), body=_sealed(tx, link.payment, link.member, why))
    ).rowcount == 1  # fmt: skip
    if changed:
        audit.append(tx, actor, f"link.{state.value}", link.payment, {
            "pool": link.pool, "why": why, "run": run or link.run, "back_run": back_run or link.back_run})  # fmt: skip
    return changed


def find(conn: Connection, payment: str) -> LinkedOrder | None:
    """The link of an order's payment."""
    row = conn.execute(select(schema.linked_orders).where(_C.payment == payment)).first()
    return None if row is None else _read(conn, row)


def in_state(conn: Connection, *states: LinkState, since_ms: int = 0, limit: int = 1000) -> list[LinkedOrder]:
    """Links in these states since then, in the order in which their orders came."""
    wanted = select(schema.linked_orders).where(_C.state.in_([one.value for one in states]), _C.changed_ms >= since_ms)
    return [_read(conn, row) for row in conn.execute(wanted.order_by(_C.payment).limit(limit))]


def of_member(conn: Connection, member: str, since_ms: int) -> list[LinkedOrder]:
    """The links of one account that are open, or done since then, in the order in which their orders came."""
    index, done = vault_of(conn).blind(member), (_C.state == LinkState.DONE.value) & (_C.changed_ms >= since_ms)
    wanted = select(schema.linked_orders).where(
        _C.member_idx == index, _C.state.in_([one.value for one in OPEN]) | done
    )  # fmt: skip
    return [_read(conn, row) for row in conn.execute(wanted.order_by(_C.payment))]


def _sealed(tx: Tx, payment: str, member: str, why: str) -> bytes:
    return tx.vault.seal(json.dumps({"member": member, "why": why}, ensure_ascii=False).encode(), _aad(payment))


def _read(conn: Connection, row: Any) -> LinkedOrder:
    said = json.loads(vault_of(conn).open(row.body, _aad(row.payment)))
    return LinkedOrder(row.payment, row.pool, said["member"], LinkState(row.state), row.run, row.back_run,
                       row.changed_ms, said["why"])  # fmt: skip


def _aad(payment: str) -> bytes:
    return f"linked_orders/body/{payment}".encode()
