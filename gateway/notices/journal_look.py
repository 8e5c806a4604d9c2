"""What the notices process reads of the journal: clear columns only, on a connection that can only read.

The audit trail says what happened, each node's entries in the order in which they were committed, so that the last
number read of each node is all that has to be kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from gateway.core.policy import HOLD_BAND
from gateway.journal.people.approval_requests import RequestState
from gateway.journal.sql import schema
from gateway.notices.kinds import ADMITTED, KIND_OF_ENTRY, NoticeEvent, NoticeKind, security_key
from protocols.canon.outcome import State

SPAN_ROWS = 20_000
"""Audit entries of one node that are looked at in one round."""
_A, _P, _R = schema.audit.c, schema.payments.c, schema.approval_requests.c
_ENTRIES = tuple(KIND_OF_ENTRY)
_MOST_REQUESTS = 1_000
_PIECE = 400
_DAY_MS = 86_400_000
# A request of a few minutes is not told to be ending when it is made.
_LAST_PART = 4


@dataclass(frozen=True, slots=True)
class TrailPart:
    """What is new in the audit trail: events, and up to which entry of each node they are told."""

    events: tuple[NoticeEvent, ...]
    cursors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """An open request for approval that ends soon or ended, or that nobody answered in time. `stage` says which."""

    request: str
    key: str
    stage: str


def heads(conn: Connection) -> dict[str, int]:
    """The last entry of each node."""
    return {node: int(seq) for node, seq in conn.execute(select(_A.node, func.max(_A.seq)).group_by(_A.node))}


def trail_part(conn: Connection, cursors: Mapping[str, int], span: int = SPAN_ROWS) -> TrailPart:
    """The events after `cursors`. A node that is not in it is new: its trail is read from its beginning.

    Entries that are gone, and a journal that is older than the cursors, are events of security.
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
    told = select(_A.entry, _A.object_id).where(inside, _A.entry.in_(_ENTRIES)).order_by(_A.seq)
    for entry, object_id in conn.execute(told):
        kind = KIND_OF_ENTRY[entry]
        yield NoticeEvent(kind, security_key(entry, object_id) if kind is NoticeKind.SECURITY else object_id)
    held = select(_A.object_id).join(schema.payments, _P.payment == _A.object_id).where(
        inside, _A.entry == ADMITTED, _held()
    )  # fmt: skip
    for payment in conn.execute(held.order_by(_A.seq)).scalars():
        yield NoticeEvent(NoticeKind.HELD, payment)


def _held() -> Any:
    """Held, and not for an approval alone: that is told as a request."""
    return and_(_P.state == State.HELD.value, or_(
        _P.hold_reason.is_(None), _P.hold_reason != HOLD_BAND,
        and_(_P.hold_reasons.is_not(None), _P.hold_reasons != HOLD_BAND),
    ))  # fmt: skip


def requests(conn: Connection, now_ms: int, within_ms: int) -> list[OpenRequest]:
    """Open requests that end soon, that ended within a day, or that nobody answered in time."""
    columns = (_R.request, _R.sender, _R.subject, _R.made_ms, _R.escalates_ms, _R.expires_ms)
    wanted = (
        select(*columns).where(_R.state == RequestState.OPEN.value, _R.expires_ms > now_ms - _DAY_MS)
        .order_by(_R.expires_ms).limit(_MOST_REQUESTS)
    )  # fmt: skip
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
        found.append(OpenRequest(row.request, f"{row.sender}/{row.subject}", stage))
    return found


def still(conn: Connection, kind: NoticeKind, keys: Sequence[str]) -> list[str]:
    """Those of `keys` for which a notice is still worth while: a payment that is not in doubt any more is not told."""
    if kind is NoticeKind.APPROVAL_WAITING:
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
    wanted = select(_R.request).where(
        _R.sender == sender, _R.subject == subject, _R.state == RequestState.OPEN.value
    )  # fmt: skip
    return conn.execute(wanted.limit(1)).first() is not None


def _pieces(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while piece := list(islice(rest, _PIECE)):
        yield piece
