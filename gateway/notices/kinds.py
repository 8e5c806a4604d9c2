"""The kinds of notices, the entries of the audit trail and the troubles that each kind is made from, and the kinds
that each role gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.kernel.core.flow import TABLE
from protocols.canon.outcome import State


class NoticeKind(StrEnum):
    """The subject of a notice. Notices that are due together are sent in this order."""

    SECURITY = "security"
    DAEMON_STOPPED = "daemon_stopped"
    CONTRADICTED = "contradicted"
    TROUBLE = "trouble"
    APPROVAL_EXPIRING = "approval_expiring"
    EXPIRED = "expired"
    LANE_DOWN = "lane_down"
    CHANNEL_BROKEN = "channel_broken"
    DOUBTFUL = "doubtful"
    RETURNED = "returned"
    HELD = "held"
    APPROVAL_WAITING = "approval_waiting"
    CERTIFICATE_ENDS = "certificate_ends"
    BACKUP = "backup"
    STATEMENT_MISSING = "statement_missing"
    RECEIPT_MISSING = "receipt_missing"
    REPORT_FAILED = "report_failed"
    UPKEEP = "upkeep"
    OVER = "over"
    ALIVE = "alive"


URGENT = frozenset(
    {
        NoticeKind.SECURITY,
        NoticeKind.DAEMON_STOPPED,
        NoticeKind.CONTRADICTED,
        NoticeKind.TROUBLE,
        NoticeKind.APPROVAL_EXPIRING,
        NoticeKind.EXPIRED,
    }
)
"""Kinds that quiet hours do not mute: payments do not go at all, money is at risk, or a deadline is near. No
destination can leave out security."""

CONDITIONS = frozenset(
    {
        NoticeKind.DAEMON_STOPPED,
        NoticeKind.TROUBLE,
        NoticeKind.LANE_DOWN,
        NoticeKind.CHANNEL_BROKEN,
        NoticeKind.CERTIFICATE_ENDS,
        NoticeKind.BACKUP,
        NoticeKind.STATEMENT_MISSING,
        NoticeKind.RECEIPT_MISSING,
        NoticeKind.REPORT_FAILED,
        NoticeKind.UPKEEP,
    }
)
"""Kinds of conditions: they last, are told once, and their end is told as `over`."""


@dataclass(frozen=True, slots=True)
class NoticeEvent:
    """One event. `key` is the id of a payment, `SENDER/ID` of an approval, the subject of a security event or of a
    condition. `companies` are those that it is about; none means that it is about no single company."""

    kind: NoticeKind
    key: str
    companies: frozenset[str] = frozenset()


_OF_TROUBLE: Mapping[str, NoticeKind] = {
    "lane": NoticeKind.LANE_DOWN,
    "certificate": NoticeKind.CERTIFICATE_ENDS,
    "credential": NoticeKind.CERTIFICATE_ENDS,
    "backup_old": NoticeKind.BACKUP,
    "backup_failed": NoticeKind.BACKUP,
    "drill": NoticeKind.BACKUP,
    "disk_filling": NoticeKind.UPKEEP,
    "permit_log": NoticeKind.UPKEEP,
    "retention": NoticeKind.UPKEEP,
    "pushes": NoticeKind.UPKEEP,
    "settings": NoticeKind.UPKEEP,
    "start_failed": NoticeKind.UPKEEP,
}
_TOLD_AS_SECURITY = "stopped"


def kind_of_trouble(trouble: str) -> NoticeKind | None:
    """The kind for a trouble of the daemon. None for an emergency stop, because its entry of the audit trail causes a
    notice already.
    """
    return None if trouble == _TOLD_AS_SECURITY else _OF_TROUBLE.get(trouble, NoticeKind.TROUBLE)


_K = NoticeKind
_MONEY = (_K.CONTRADICTED, _K.DOUBTFUL, _K.RETURNED, _K.HELD, _K.EXPIRED)
_RUNNING = (
    *(_K.DAEMON_STOPPED, _K.TROUBLE, _K.LANE_DOWN, _K.CHANNEL_BROKEN, _K.CERTIFICATE_ENDS, _K.BACKUP),
    *(_K.STATEMENT_MISSING, _K.RECEIPT_MISSING, _K.REPORT_FAILED, _K.UPKEEP, _K.OVER),
)
KINDS_OF_ROLE: Mapping[str, frozenset[NoticeKind]] = {
    "viewer": frozenset({_K.STATEMENT_MISSING, _K.RECEIPT_MISSING, _K.REPORT_FAILED, _K.OVER}),
    "maker": frozenset({_K.RETURNED, _K.EXPIRED, _K.HELD}),
    "approver": frozenset({_K.APPROVAL_WAITING, _K.APPROVAL_EXPIRING, _K.EXPIRED}),
    "supervisor": frozenset({*_MONEY, _K.APPROVAL_EXPIRING, _K.DAEMON_STOPPED, _K.LANE_DOWN, _K.OVER}),
    "system_admin": frozenset(_RUNNING),
    "security_admin": frozenset({_K.SECURITY, _K.CHANNEL_BROKEN}),
    "audit_admin": frozenset({_K.SECURITY}),
}
"""The kinds that a person of each role can do something about."""


ADMITTED = "payment.admitted"
"""Entries whose state stands in the payment's row: only payments that are held are told."""
_SECURITY = (
    "access.refused",
    "approval.refused",
    "audit.purged",
    "company.paused",
    "company.resumed",
    "delegation.made",
    "delegation.refused",
    "gateway.restarted",
    "gateway.stopped",
    "lane.past_cleared",
    "lane.renamed",
    "payee.registered",
    "person.admitted",
    "person.appointed",
    "person.confirmed",
    "person.deactivated",
    "person.enrolled",
    "person.key_offered",
    "person.key_reset",
    "person.passkey_bound",
    "person.password_confirmed",
    "person.password_set",
    "person.removed",
    "person.roles_changed",
    "policy.in_force",
    "pool.in_force",
    "proposal.refused",
    "sender.renamed",
    "settings.reloaded",
    "sign_in.locked",
)
_CONTRADICTIONS = ("settled_contradicted", "failed_contradicted", "back_contradicted", "unsent_known", "ended_known")
_BY_STATE = {
    State.HELD: NoticeKind.HELD,
    State.IN_DOUBT: NoticeKind.DOUBTFUL,
    State.ESCALATED: NoticeKind.DOUBTFUL,
    State.RETURNED: NoticeKind.RETURNED,
    State.REVERSED: NoticeKind.RETURNED,
    State.EXPIRED: NoticeKind.EXPIRED,
}


def _table() -> dict[str, NoticeKind]:
    made = {f"payment.{rule.name}": _BY_STATE[rule.after] for rule in TABLE if rule.after in _BY_STATE}
    made["payment.hold_again"] = NoticeKind.HELD
    made.update(dict.fromkeys((f"payment.{name}" for name in _CONTRADICTIONS), NoticeKind.CONTRADICTED))
    made.update(dict.fromkeys(_SECURITY, NoticeKind.SECURITY))
    made["approval.requested"] = NoticeKind.APPROVAL_WAITING
    return made


KIND_OF_ENTRY: Mapping[str, NoticeKind] = _table()
"""The kind of notice for each entry of the audit trail that is told."""


def security_key(entry: str, object_id: str) -> str:
    """The name of a security event in a notice: the action and its subject."""
    return f"{entry} {object_id}"
