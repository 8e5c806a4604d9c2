"""What notices are about, and which entries of the audit trail each kind is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.flow import TABLE
from protocols.canon.outcome import State


class NoticeKind(StrEnum):
    """What a notice is about; in the order in which notices that are due together are sent."""

    SECURITY = "security"
    CONTRADICTED = "contradicted"
    APPROVAL_EXPIRING = "approval_expiring"
    EXPIRED = "expired"
    DOUBTFUL = "doubtful"
    RETURNED = "returned"
    HELD = "held"
    APPROVAL_WAITING = "approval_waiting"
    ALIVE = "alive"


URGENT = frozenset({
    NoticeKind.SECURITY, NoticeKind.CONTRADICTED, NoticeKind.APPROVAL_EXPIRING, NoticeKind.EXPIRED,
})  # fmt: skip
"""Quiet hours do not mute these, and no destination can leave out security."""


@dataclass(frozen=True, slots=True)
class NoticeEvent:
    """One thing that happened. `key` is the id of a payment, `SENDER/ID` of an approval, or what security is about."""

    kind: NoticeKind
    key: str


ADMITTED = "payment.admitted"
"""Its state stands in the payment's row: only those that are held are told."""
_SECURITY = (
    "access.refused", "approval.refused", "audit.purged", "delegation.made", "delegation.refused", "gateway.restarted",
    "gateway.stopped", "lane.past_cleared", "lane.renamed", "payee.registered", "person.admitted", "person.appointed",
    "person.confirmed", "person.deactivated", "person.enrolled", "person.key_offered", "person.key_reset",
    "person.passkey_bound", "person.password_confirmed", "person.password_set", "person.removed",
    "person.roles_changed", "policy.in_force", "pool.in_force", "proposal.refused", "sender.renamed",
    "settings.reloaded", "sign_in.locked",
)  # fmt: skip
_CONTRADICTIONS = ("settled_contradicted", "failed_contradicted", "back_contradicted", "unsent_known", "ended_known")
_BY_STATE = {
    State.HELD: NoticeKind.HELD, State.IN_DOUBT: NoticeKind.DOUBTFUL, State.ESCALATED: NoticeKind.DOUBTFUL,
    State.RETURNED: NoticeKind.RETURNED, State.REVERSED: NoticeKind.RETURNED, State.EXPIRED: NoticeKind.EXPIRED,
}  # fmt: skip


def _table() -> dict[str, NoticeKind]:
    made = {f"payment.{rule.name}": _BY_STATE[rule.after] for rule in TABLE if rule.after in _BY_STATE}
    made["payment.hold_again"] = NoticeKind.HELD
    made.update(dict.fromkeys((f"payment.{name}" for name in _CONTRADICTIONS), NoticeKind.CONTRADICTED))
    made.update(dict.fromkeys(_SECURITY, NoticeKind.SECURITY))
    made["approval.requested"] = NoticeKind.APPROVAL_WAITING
    return made


KIND_OF_ENTRY: Mapping[str, NoticeKind] = _table()
"""The kind of each entry of the audit trail that is told."""


def security_key(entry: str, object_id: str) -> str:
    """How a security event is named in a notice: what was done to what."""
    return f"{entry} {object_id}"
