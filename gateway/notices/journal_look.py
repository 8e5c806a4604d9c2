"""Reads the journal for the notices process: unsealed columns only, on a connection that can only read.

The audit trail has the events. The entries of each node are in the order in which they were committed, so that only the
last number read of each node must be kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from gateway.approvals.rows.approval_requests import RequestState
from gateway.kernel.core.policy import HOLD_BAND
from gateway.kernel.sql import schema
from gateway.notices.kinds import ADMITTED, KIND_OF_ENTRY, NoticeEvent, NoticeKind, security_key
from protocols.canon.outcome import State

SPAN_ROWS = 20_000
"""The most audit entries of one node that are read in one round."""
_A, _P, _R = schema.audit.c, schema.payments.c, schema.approval_requests.c
_ENTRIES = tuple(KIND_OF_ENTRY)
_MOST_REQUESTS = 1_000
_PIECE = 400
_DAY_MS = 86_400_000
# A request that lasts a few minutes is not reported as ending at the moment it is made.
_LAST_PART = 4


@dataclass(frozen=True, slots=True)
class TrailPart:
    """New events of the audit trail, and the last entry of each node that they cover."""

    events: tuple[NoticeEvent, ...]
    cursors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """An open request for approval that ends soon or ended, or that nobody answered in time. `stage` says which."""

    request: str
    key: str
    stage: str
    companies: frozenset[str] = frozenset()


def heads(conn: Connection) -> dict[str, int]:
    """The last entry of each node."""
    return {node: int(seq) for node, seq in conn.execute(select(_A.node, func.max(_A.seq)).group_by(_A.node))}


def trail_part(conn: Connection, cursors: Mapping[str, int], span: int = SPAN_ROWS) -> TrailPart:
    """The events after `cursors`. A node that is missing there is new, so its trail is read from the beginning.

    Missing entries, and a journal that is older than the cursors, are security events.
    """
    events: list[NoticeEvent] = []
    moved: dict[str, int] = {}
    for node, head in sorted(heads(conn).items()):
        after = cursors.get(node, 0)
        if head < after:
            events.append(NoticeEvent(NoticeKind.SECURITY, f"journal.older node:{node}"))
            moved[node] = head
            continue
        first = conn.execute(select(func.min(_A.seq)).where(_A.node == node, _A.seq > after)).scalar()
        if first is not None and after and first > after + 1:
            events.append(NoticeEvent(NoticeKind.SECURITY, f"audit.gap node:{node}"))
            after = int(first) - 1
        upto = min(head, after + span)
        events += _events(conn, node, after, upto)
        moved[node] = upto
    return TrailPart(tuple(events), moved)


def _events(conn: Connection, node: str, after: int, upto: int) -> Iterator[NoticeEvent]:
    inside = and_(_A.node == node, _A.seq > after, _A.seq <= upto)
    told = (
        select(_A.entry, _A.object_id, _P.company)
        .outerjoin(schema.payments, _P.payment == _A.object_id)
        .where(inside, _A.entry.in_(_ENTRIES))
        .order_by(_A.seq)
    )
    for entry, object_id, company in conn.execute(told):
        kind = KIND_OF_ENTRY[entry]
        if kind is NoticeKind.SECURITY:
            yield NoticeEvent(kind, security_key(entry, object_id))
        elif kind is NoticeKind.APPROVAL_WAITING:
            yield NoticeEvent(kind, object_id, companies_of_request(conn, object_id))
        else:
            yield NoticeEvent(kind, object_id, frozenset({company} if company else ()))
    held = (
        select(_A.object_id, _P.company)
        .join(schema.payments, _P.payment == _A.object_id)
        .where(inside, _A.entry == ADMITTED, _held())
    )
    for payment, company in conn.execute(held.order_by(_A.seq)):
        yield NoticeEvent(NoticeKind.HELD, payment, frozenset({company}))


def companies_of_request(conn: Connection, key: str) -> frozenset[str]:
    """The companies whose money a request for approval, `SENDER/ID`, is about: of an order, or of a batch."""
    sender, _slash, subject = key.partition("/")
    found: set[str] = set()
    for column in (_P.order_id, _P.batch):
        wanted = select(_P.company).where(_P.sender == sender, column == subject).distinct()
        found.update(conn.execute(wanted).scalars())
    return frozenset(found)


def _held() -> Any:
    """The condition for held orders that need a notice. Orders held for approval are left out, because the request's
    own notice covers them."""
    return and_(
        _P.state == State.HELD.value,
        or_(
            _P.hold_reason.is_(None),
            _P.hold_reason != HOLD_BAND,
            and_(_P.hold_reasons.is_not(None), _P.hold_reasons != HOLD_BAND),
        ),
    )


def requests(conn: Connection, now_ms: int, within_ms: int) -> list[OpenRequest]:
    """Open requests that end soon, that ended within a day, or that nobody answered in time."""
    columns = (_R.request, _R.sender, _R.subject, _R.made_ms, _R.escalates_ms, _R.expires_ms)
    wanted = (
        select(*columns)
        .where(_R.state == RequestState.OPEN.value, _R.expires_ms > now_ms - _DAY_MS)
        .order_by(_R.expires_ms)
        .limit(_MOST_REQUESTS)
    )
    found = []
    for row in conn.execute(wanted):
        soon_ms = min(within_ms, (row.expires_ms - row.made_ms) // _LAST_PART)
        if row.expires_ms <= now_ms:
            stage = "expired"
        elif row.expires_ms - now_ms <= soon_ms:
            stage = "expiring"
        elif row.escalates_ms is not None and row.escalates_ms <= now_ms:
            stage = "late"
        else:
            continue
        key = f"{row.sender}/{row.subject}"
        found.append(OpenRequest(row.request, key, stage, companies_of_request(conn, key)))
    return found


def still(conn: Connection, kind: NoticeKind, keys: Sequence[str]) -> list[str]:
    """The `keys` that still need a notice: for example, a payment that is no longer in doubt does not."""
    if kind in (NoticeKind.APPROVAL_WAITING, NoticeKind.APPROVAL_EXPIRING):
        return [key for key in keys if _waits(conn, key)]
    if kind not in (NoticeKind.HELD, NoticeKind.DOUBTFUL):
        return list(keys)
    doubt = _P.state.in_((State.IN_DOUBT.value, State.ESCALATED.value))
    there: set[str] = set()
    for piece in _pieces(keys):
        wanted = select(_P.payment).where(_P.payment.in_(piece), _held() if kind is NoticeKind.HELD else doubt)
        there.update(conn.execute(wanted).scalars())
    return [key for key in keys if key in there]


def _waits(conn: Connection, key: str) -> bool:
    sender, _slash, subject = key.partition("/")
    wanted = select(_R.request).where(_R.sender == sender, _R.subject == subject, _R.state == RequestState.OPEN.value)
    return conn.execute(wanted.limit(1)).first() is not None


def _pieces(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while piece := list(islice(rest, _PIECE)):
        yield piece
