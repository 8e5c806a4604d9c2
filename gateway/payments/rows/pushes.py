"""Table `pushes`: messages that banks send of their own accord. Each is stored before it is answered; the same content
is stored once.

A push decides nothing about a payment. For each payment that it names, it makes the enquiry due now, and also the check
for a return, if one is still expected. If a bank got no answer, it sends the push again: the repetition is counted and
has no other effect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, delete, select, update

from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import WorkRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Work
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import speakable
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.driver import run_write
from protocols.bank import Push
from protocols.canon.outcome import State

NAMED_MOST = 500
"""The most payments that are asked about because of one push; the others keep their own times."""
_C, _P, _W = schema.pushes.c, schema.payments.c, schema.work.c
_ASKING = [state.value for state in (State.PENDING, State.IN_DOUBT, State.ESCALATED)]
_AGAIN = (
    update(schema.pushes).where(_C.push == bindparam("b_push")).values(last_ms=bindparam("b_now"), times=_C.times + 1)
)


@dataclass(frozen=True, slots=True)
class PushResult:
    """The result of storing a bank's push: whether it is new, and how many payments are asked about because of it."""

    new: bool
    payments: int = 0


def push_id(bank: str, push: Push) -> str:
    """The key of a push's row: a hash of bank, kind and content, equal for each delivery and frame of the same push."""
    return hashlib.sha256("\x1f".join((bank, push.kind, push.key)).encode()).hexdigest()


def keep(tx: Tx, bank: str, lanes: Collection[str], push: Push, frame: bytes) -> PushResult:
    """Store a push and schedule the work that it calls for, unless the push is stored already."""
    key = push_id(bank, push)
    new = insert_new(
        tx.raw,
        schema.pushes,
        {
            "push": key,
            "bank": bank,
            "kind": speakable(push.kind),
            "received_ms": tx.now_ms,
            "last_ms": tx.now_ms,
            "times": 1,
            "body": tx.vault.seal(frame, _aad(key)),
        },
    )
    if not new:
        run_write(tx.raw, _AGAIN, {"b_push": key, "b_now": tx.now_ms})
        return PushResult(new=False)
    named = _make_due(tx, lanes, push.references)
    what = {"kind": push.kind, "payments": named, "read": not push.unread}
    audit.append(tx, f"bank:{bank}", "push.received", f"push:{key[:26]}", what)
    return PushResult(new=True, payments=named)


def body_of(tx: Tx, key: str) -> bytes | None:
    """The stored frame of a push as it came; None if there is none under this key."""
    found = tx.fresh.execute(select(_C.body).where(_C.push == key)).scalar_one_or_none()
    return None if found is None else tx.vault.open(found, _aad(key))


def overdue(conn: Connection, before_ms: int) -> bool:
    """True if there are pushes that their bank last sent before `before_ms`."""
    return conn.execute(select(_C.push).where(*_old(before_ms)).limit(1)).first() is not None


def forget(tx: Tx, before_ms: int, most: int) -> int:
    """Delete at most `most` pushes that their bank last sent before `before_ms`; returns how many."""
    old = tx.fresh.execute(select(_C.push).where(*_old(before_ms)).order_by(_C.received_ms).limit(most)).scalars().all()
    if old:
        tx.raw.execute(delete(schema.pushes).where(_C.push.in_(old)))
    return len(old)


def _old(before_ms: int) -> tuple[ColumnElement[bool], ...]:
    return (_C.received_ms < before_ms, _C.last_ms < before_ms)


def _make_due(tx: Tx, lanes: Collection[str], references: Collection[str]) -> int:
    """Make enquiries about open payments, and expected checks for returns, due now. Returns the number of payments."""
    wanted = sorted({speakable(one) for one in references})[:NAMED_MOST]
    if not wanted or not lanes:
        return 0
    ours = (_P.lane.in_(list(lanes)), _P.bank_ref.in_(wanted))
    asking = tx.fresh.execute(select(_P.payment, _P.lane, _P.epoch).where(*ours, _P.state.in_(_ASKING))).all()
    for payment, lane, epoch in asking:
        tx.due(WorkRow(payment, Work.ENQUIRE, lane, tx.now_ms, epoch))
    waiting = tx.fresh.execute(
        select(_P.payment, _P.lane, _P.epoch)
        .join(schema.work, _W.payment == _P.payment)
        .where(*ours, _P.state == State.SETTLED.value, _W.kind == Work.RETURNS.value)
    ).all()
    for payment, lane, epoch in waiting:
        tx.due(WorkRow(payment, Work.RETURNS, lane, tx.now_ms, epoch))
    return len(asking) + len(waiting)


def _aad(key: str) -> bytes:
    return b"pushes/body/" + key.encode()
