"""Gives a lane or a sender its new name in the journal, while every daemon on it is stopped."""

from __future__ import annotations

from gateway.control.offline import journal_writer
from gateway.control.offline.journal_access import Access
from gateway.control.offline.journal_writer import NotWritten
from gateway.kernel.cluster import renames
from gateway.kernel.cluster.renames import Renamed
from gateway.settings import Settings

_CHANGES = {"lane": renames.rename_lane, "sender": renames.rename_sender}


def rename(settings: Settings, access: Access, what: str, names: tuple[str, str], actor: str, reason: str) -> Renamed:
    """Rename a `what` ("lane" or "sender") from names[0] to names[1]; `actor` and `reason` go to the audit trail.
    `access`: the journal's URL with its password, and its vault. Raises NotWritten."""
    change = _CHANGES[what]
    return journal_writer.commit_offline(settings, *access, lambda tx: change(tx, *names, actor, reason))


__all__ = ["NotWritten", "Renamed", "rename"]
