"""How a lane's new owner treats the payments that the last owner left in `sending`."""

from __future__ import annotations

from sqlalchemy import Integer, bindparam, select

from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import TakenOver
from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import rows
from gateway.payments.rows import transition
from protocols.canon.outcome import State

_P = schema.payments.c
_SENDING = (
    select(_P.payment)
    .where(_P.lane == bindparam("b_lane"), _P.state == State.SENDING.value, _P.epoch < bindparam("b_epoch"))
    .order_by(_P.payment)
    .limit(bindparam("b_limit", type_=Integer))
)


def recover(tx: Tx, lane: str, epoch: int, node: str, limit: int = 500) -> list[Applied]:
    """Put payments in doubt that an earlier owner, or an earlier process of this node, left in `sending`. Sends
    nothing.

    `epoch` is that of the new lease. Call again until the list is empty.
    """
    found = rows(tx.fresh, _SENDING, {"b_lane": lane, "b_epoch": epoch, "b_limit": limit})
    event = TakenOver(tx.now_ms)
    return [transition.apply(tx, row.payment, event, epoch=epoch, actor=f"node:{node}") for row in found]
