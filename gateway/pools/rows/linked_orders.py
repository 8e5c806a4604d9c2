"""Linked payments (联动支付) in the journal: an order that names a pool waits until the pool's header has transferred
the missing amount to its account. There is one row for each order, from admission on.

Leg 1 is a run of the pool with one move, from the header to the member; leg 2 is the order itself. Approvers of leg 2
sign the text of `leg_words`, which states the source of leg 1 and its highest amount.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.kernel.commit import audit
from gateway.kernel.commit.payment_cache import MOVED_NOTHING
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.sealed import row_seal
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import lookup
from gateway.pools.rows import pool_moves, pools
from gateway.register.registry import Registry
from gateway.settings.agreement import TREASURY
from protocols.canon.errors import Fault, FieldCode
from protocols.canon.order import AnyOrder
from protocols.canon.outcome import Fate, State
from protocols.canon.party import mask

_C = schema.linked_orders.c
_SEAL = row_seal(schema.linked_orders)


class LinkState(StrEnum):
    """The state of a linked payment. WAITING: leg 1 has not begun. FUNDING: leg 1 is ordered. UNFUNDED: leg 1 moved
    nothing. RELEASED: leg 2 may be sent. DONE: nothing is left to do. UNDECIDED: leg 1 moved the money and leg 2 moved
    nothing; a person decides. RETURNED: the return is ordered; UNDECIDED again if that order moves nothing. BACK: the
    header has the money again, as far as is known. STAYS: the money stays with the member."""

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
"""Links that go on without a person's decision, or wait for the order to be withdrawn."""

MOST_BACK = 100
"""The most orders that are made to return one order's money."""
_UNDONE = MOVED_NOTHING | {State.RETURNED, State.REVERSED}
_E = schema.evidence.c
_MOVED = (Fate.SETTLED.value,)


@dataclass(frozen=True, slots=True)
class LinkedOrder:
    """A linked payment: the payment of leg 2, and the runs of leg 1 and of the return. `why` says what it is waiting
    for."""

    payment: str
    pool: str
    member: str
    state: LinkState
    run: str | None
    back_run: str | None
    changed_ms: int
    why: str = ""


def fault_of(tx: Tx, order: AnyOrder, may_use: Callable[[str], bool]) -> Fault | None:
    """Why the pool that the order names cannot fund it; None if it can, or if the order names none. `may_use` says
    whether the order's sender may use an own account."""
    if order.funded_by is None:
        return None
    row = pools.last(tx.raw, order.funded_by)
    pool = None if row is None else row.pool
    code, detail = FieldCode.UNKNOWN_CODE, ""
    if pool is None:
        detail = "there is no such pool in force"
    elif order.debtor.account.clear not in {one.account for one in pool.children}:
        detail = "the debtor's account is no child of this pool"
    elif order.amount.currency != pool.currency:
        detail = f"the pool keeps {pool.currency}"
    elif not may_use(pool.header):
        code, detail = FieldCode.ACCOUNT_NOT_ALLOWED, "the sender may not use the header account of this pool"
    return Fault("/funded_by", code, detail) if detail else None


def why_not_header(tx: Tx, order: AnyOrder, sender: str, registry: Registry) -> str:
    """Why the sender may not draw on the header of the pool that the order names. "" if it may, if the order names no
    pool, or if the pool is closed, so that no header pays."""
    row = None if order.funded_by is None else pools.last(tx.read, order.funded_by)
    if row is None or row.pool is None:
        return ""
    known = registry.senders.get(sender)
    if known is not None and known.may_use(row.pool.header):
        return ""
    return f"sender {sender} may not use account {mask(row.pool.header)}, the header of pool {order.funded_by}"


def why_not_funded(tx: Tx, row: PaymentRow, registry: Registry) -> str:
    """Why the sender of a linked order may not draw on the header that funds it; "" if it may. Checked when the header
    pays (leg 1) and when the order itself is sent (leg 2)."""
    order = row
    if row.sender == TREASURY:
        move = pool_moves.of_order(tx.read, row.order.id)
        link = None if move is None else of_leg(tx.read, move.run)
        found = None if link is None else lookup.fetch(tx.read, link.payment)
        if found is None:
            return ""
        order = found
    elif row.order.funded_by is None:
        return ""
    return why_not_header(tx, order.order, order.sender, registry)


def leg_slot(vault: Vault, sender: str, order_id: str) -> str:
    """The slot of leg 1's run. It follows from the order's identity, so that an order that is admitted again is funded
    by the same run."""
    made = vault.mac(f"linked order\n{sender}\n{order_id}".encode())
    return "l" + base64.b32encode(made)[:13].decode().lower()


def leg_words(tx: Tx, order: AnyOrder) -> tuple[str, ...]:
    """The text about leg 1 that approvers of the order sign; empty if the order names no pool."""
    if order.funded_by is None:
        return ()
    row = pools.last(tx.read, order.funded_by)
    header = "a pool that is closed" if row is None or row.pool is None else row.pool.header
    most = f"up to {order.amount} {order.amount.currency} and the fee"
    return (f"{most} from {header} to {order.debtor.account.clear} by pool {order.funded_by}",)


def begin(tx: Tx, row: PaymentRow) -> None:
    """Store the link of a new order that names a pool."""
    pool, member = row.order.funded_by, row.order.debtor.account.clear
    assert pool is not None, "the caller asks only about orders that name one"
    insert_new(
        tx.raw,
        schema.linked_orders,
        _SEAL.with_seal(
            tx.vault,
            {
                "payment": row.payment,
                "pool": pool,
                "member_idx": tx.vault.blind(member),
                "state": LinkState.WAITING.value,
                "run": None,
                "back_run": None,
                "changed_ms": tx.now_ms,
                "body": _sealed(tx, row.payment, member, ""),
            },
        ),
    )


def move_on(
    tx: Tx,
    link: LinkedOrder,
    state: LinkState,
    actor: str,
    *,
    why: str = "",
    run: str | None = None,
    back_run: str | None = None,
) -> bool:
    """Change a link's state, once. False if it was changed meanwhile; then nothing changes."""
    if (state, why, run) == (link.state, link.why, None):
        return False
    name = (_C.payment == link.payment) & (_C.state == link.state.value) & (_C.changed_ms == link.changed_ms)
    row = tx.fresh.execute(select(schema.linked_orders).where(name)).first()
    if row is None:
        return False
    _SEAL.check(tx.vault, row)
    values = _SEAL.changed(
        tx.vault,
        row,
        {
            "state": state.value,
            "run": run or link.run,
            "back_run": back_run or link.back_run,
            "changed_ms": max(tx.now_ms, link.changed_ms + 1),
            "body": _sealed(tx, link.payment, link.member, why),
        },
    )
    changed = tx.raw.execute(update(schema.linked_orders).where(name).values(values)).rowcount == 1
    if changed:
        audit.append(
            tx,
            actor,
            f"link.{state.value}",
            link.payment,
            {"pool": link.pool, "why": why, "run": run or link.run, "back_run": back_run or link.back_run},
        )
    return changed


def find(conn: Connection, payment: str) -> LinkedOrder | None:
    """The link of the order with this payment."""
    row = conn.execute(select(schema.linked_orders).where(_C.payment == payment)).first()
    return None if row is None else of_row(conn, row)


def of_leg(conn: Connection, run: str) -> LinkedOrder | None:
    """The link whose leg 1 is this run."""
    row = conn.execute(select(schema.linked_orders).where(_C.state == LinkState.FUNDING.value, _C.run == run)).first()
    return None if row is None else of_row(conn, row)


def funding_of(tx: Tx, payment: str) -> str | None:
    """The payment of this order's leg 1; None if leg 1 was not ordered, or the order names no pool."""
    link = find(tx.read, payment)
    leg = None if link is None or link.run is None else next(iter(pool_moves.moves_of(tx.raw, link.run)), None)
    return None if leg is None else leg.payment


def back_runs(conn: Connection, link: LinkedOrder) -> list[str]:
    """The ids of all runs that were ordered to return the money, the oldest first."""
    found = []
    for number in range(MOST_BACK):
        run = back_run_id(link, number)
        if pool_moves.find(conn, run) is None:
            break
        found.append(run)
    return found


def back_run_id(link: LinkedOrder, number: int) -> str:
    """The id of the run that returns the money; `number` counts the earlier tries."""
    assert link.run is not None, "without leg 1 there is nothing to bring back"
    return pool_moves.link_run_id(link.pool, f"b{number or ''}{link.run.rpartition('.')[2][1:]}")


def moved_back(tx: Tx, link: LinkedOrder, but: str = "") -> list[PaymentRow]:
    """The payments that returned the money or may still do so, without the payment of the run `but`. A payment that
    failed and was settled later is included."""
    found, conn = [], tx.read
    for run in back_runs(conn, link):
        move = next(iter(pool_moves.moves_of(conn, run)), None)
        row = None if run == but or move is None or move.payment is None else lookup.fetch(conn, move.payment)
        if row is not None and (row.life.state not in _UNDONE or settled_late(tx, row)):
            found.append(row)
    return found


def settled_late(tx: Tx, row: PaymentRow) -> bool:
    """True if the bank later said that a payment moved the money although it had ended as one that moved nothing. Its
    state stays as it was reported to the ERP (see `failed_contradicted` in the state table).
    """
    if row.life.state not in MOVED_NOTHING:
        return False
    if any(of == row.payment and one.fate in _MOVED for _key, _at_ms, of, one in tx.evidence):
        return True
    said = select(_E.evidence).where(_E.payment == row.payment, _E.fate.in_(_MOVED)).limit(1)
    return tx.read.execute(said).first() is not None


def why_back_already(tx: Tx, link: LinkedOrder, but: str = "") -> str:
    """Why no further order to return the money is needed; "" if one is."""
    moved = moved_back(tx, link, but)
    if not moved:
        return ""
    row = moved[0]
    late = ", as the bank said later" if row.life.state in MOVED_NOTHING else ""
    state = State.SETTLED if late else row.life.state
    return f"order {row.order.id}, which brings it back, is {state.value}{late}"


def in_state(
    conn: Connection, *states: LinkState, since_ms: int = 0, limit: int = 1000, after: str = ""
) -> list[LinkedOrder]:
    """Links in these states since that time, of orders after the payment `after`, in the order of acceptance."""
    wanted = select(schema.linked_orders).where(
        _C.state.in_([one.value for one in states]), _C.changed_ms >= since_ms, _C.payment > after
    )
    return [of_row(conn, row) for row in conn.execute(wanted.order_by(_C.payment).limit(limit))]


def of_member(conn: Connection, member: str, since_ms: int) -> list[LinkedOrder]:
    """The links of one account that are open or were finished since that time, in the order of acceptance."""
    index, done = vault_of(conn).blind(member), (_C.state == LinkState.DONE.value) & (_C.changed_ms >= since_ms)
    wanted = select(schema.linked_orders).where(
        _C.member_idx == index, _C.state.in_([one.value for one in OPEN]) | done
    )
    return [of_row(conn, row) for row in conn.execute(wanted.order_by(_C.payment))]


def _sealed(tx: Tx, payment: str, member: str, why: str) -> bytes:
    return tx.vault.seal(json.dumps({"member": member, "why": why}, ensure_ascii=False).encode(), _aad(payment))


def of_row(conn: Connection, row: Any) -> LinkedOrder:
    """A row of the links' table as a value. Raises SealBroken if the row was altered."""
    _SEAL.check(vault_of(conn), row)
    said = json.loads(vault_of(conn).open(row.body, _aad(row.payment)))
    return LinkedOrder(
        row.payment, row.pool, said["member"], LinkState(row.state), row.run, row.back_run, row.changed_ms, said["why"]
    )


def _aad(payment: str) -> bytes:
    return f"linked_orders/body/{payment}".encode()
