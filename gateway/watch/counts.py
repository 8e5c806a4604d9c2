"""The counts behind the gauges. They are read from the journal at one time and by index only, however large the tables
grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from gateway.approvals.rows.approval_requests import RequestState
from gateway.kernel.commit.rows import OutboxState
from gateway.kernel.sql import schema
from protocols.canon.money import Money
from protocols.canon.outcome import State

GROUPS: Mapping[str, str] = {
    State.HELD.value: "held",
    State.READY.value: "ready",
    State.SENDING.value: "sent",
    State.PENDING.value: "sent",
    State.IN_DOUBT.value: "in_doubt",
    State.ESCALATED.value: "in_doubt",
}
"""The states of open payments, in the groups that companies are shown by."""
DOUBT = (State.IN_DOUBT.value, State.ESCALATED.value)


@dataclass(frozen=True, slots=True)
class JournalCounts:
    """Counts from the journal: by bank, by (lane, work), and of the outbox. `oldest_ms` are None where there is
    nothing.

    `money` is the money in doubt by bank and currency: the number of payments, and their sum. `companies` are the open
    payments by company, bank and group of states.
    """

    in_doubt: Mapping[str, tuple[int, int | None]]
    money: Mapping[tuple[str, str], tuple[int, Money]]
    held: Mapping[str, int]
    work: Mapping[tuple[str, str], int]
    waiting: int
    waiting_oldest_ms: int | None
    parked: int
    approvals_late: int
    companies: Mapping[tuple[str, str, str], int] = field(default_factory=dict)


def count(conn: Connection, now_ms: int) -> JournalCounts:
    """Read the counts. The lanes are those of the journal, so that a payment of a lane no longer configured still
    counts.
    """
    p, w, o = schema.payments.c, schema.work.c, schema.outbox.c
    lanes = select(schema.lanes.c.lane)
    doubt = conn.execute(
        select(p.bank, p.currency, func.count(), func.min(p.first_write_ms), func.sum(p.amount_minor))
        .where(p.lane.in_(lanes), p.state.in_(DOUBT))
        .group_by(p.bank, p.currency)
    )
    in_doubt: dict[str, tuple[int, int | None]] = {}
    money = {}
    for bank, currency, number, oldest_ms, minor in doubt:
        before, before_ms = in_doubt.get(bank, (0, None))
        known = [at_ms for at_ms in (before_ms, oldest_ms) if at_ms is not None]
        in_doubt[bank] = (before + number, min(known, default=None))
        money[bank, currency] = (number, Money(int(minor), currency))
    held = conn.execute(
        select(p.bank, func.count()).where(p.lane.in_(lanes), p.state == State.HELD.value).group_by(p.bank)
    )
    work = conn.execute(select(w.lane, w.kind, func.count()).group_by(w.lane, w.kind))
    open_work = {(lane, kind): number for lane, kind, number in work}
    nodes = select(schema.units.c.node)
    waiting, oldest_ms = conn.execute(
        select(func.count(), func.min(o.created_ms)).where(o.node.in_(nodes), o.state == OutboxState.WAITING.value)
    ).one()
    parked = conn.execute(
        select(func.count()).where(o.node.in_(nodes), o.state == OutboxState.PARKED.value)
    ).scalar_one()
    a = schema.approval_requests.c
    late = conn.execute(
        select(func.count()).where(a.state == RequestState.OPEN.value, a.escalates_ms <= now_ms)
    ).scalar_one()
    by_company: Counter[tuple[str, str, str]] = Counter()
    grouped = conn.execute(
        select(p.company, p.bank, p.state, func.count())
        .where(p.lane.in_(lanes), p.state.in_(tuple(GROUPS)))
        .group_by(p.company, p.bank, p.state)
    )
    for company, bank, state, number in grouped:
        by_company[company, bank, GROUPS[state]] += number
    return JournalCounts(
        in_doubt, money, {row[0]: row[1] for row in held}, open_work, waiting, oldest_ms, parked, late, dict(by_company)
    )
