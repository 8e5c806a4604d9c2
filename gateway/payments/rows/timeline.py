"""The timeline of one payment: audit entries, sends, evidence and messages, in order of time."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.kernel.commit import attempts, audit, outbox
from gateway.kernel.commit.attempts import StoredEvidence
from gateway.kernel.commit.audit import AuditEntry
from gateway.kernel.commit.rows import AttemptRow, OutboxRow
from gateway.kernel.sql.vaults import vault_of

BY_HAND = ("outbox.replayed", "outbox.discarded", "outbox.shown_clear")
"""Acts of persons about one message. The confirmation of a group of messages is an entry about the group."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One event in a payment's timeline: an audit entry, a send, a piece of evidence, or a message to the ERP."""

    at_ms: int
    what: AuditEntry | AttemptRow | StoredEvidence | OutboxRow


def timeline(conn: Connection, payment: str) -> list[Moment]:
    """All events of a payment, oldest first; within one unit in the order audit entry, send, evidence, message."""
    entries = audit.entries_of(conn, vault_of(conn), payment)
    sent_ms = {entry.detail["attempt"]: entry.at_ms for entry in entries if "attempt" in entry.detail}
    moments = [Moment(entry.at_ms, entry) for entry in entries]
    for attempt in attempts.of_payment(conn, payment):
        moments.append(Moment(sent_ms.get(attempt.attempt, attempt.first_write_ms or 0), attempt))
    moments += [Moment(exhibit.at_ms, exhibit) for exhibit in attempts.evidence_of(conn, payment)]
    for message in outbox.of_payment(conn, payment):
        moments.append(Moment(message.created_ms, message))
        about = audit.entries_of(conn, vault_of(conn), message.message_id)
        moments += [Moment(entry.at_ms, entry) for entry in about if entry.entry in BY_HAND]
    return sorted(moments, key=lambda moment: moment.at_ms)
