"""Says whether an earlier vault key may be removed: whether anything in the journal is still sealed with it.

Nothing here asks the daemon. It reads the journal alone, page by page, and changes nothing in it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from gateway.control.offline.journal_access import Access
from gateway.kernel.cluster import vault_rotation
from gateway.kernel.commit import registers, vault_keys
from gateway.kernel.sql import databases, migrations, vaults
from gateway.kernel.sql.sealed import SealBroken
from protocols.erp.news import instant


class NotRetired(Exception):  # noqa: N818 - an answer, not a fault
    """The key is still needed; the text says for what, and what to do."""


@dataclass(frozen=True, slots=True)
class RetiredKey:
    """The key in use, and since when no value in the journal needs another one. `left` are altered rows that no check
    believes; they stay under the earlier key."""

    current: str
    done_at: str
    left: int


def examine(access: Access, name: str, gone: Collection[str], left: int) -> RetiredKey:
    """Read the whole journal for values that are sealed with another key than the one in use. Raises NotRetired.

    `gone` are nodes that will never run again, and `left` is the number of altered rows that a person gives up.
    """
    url, vault = access
    engine = databases.connect(url, connections=1, writing=False)
    vaults.attach(engine, vault)
    try:
        with engine.connect() as conn:
            found = migrations.revision_of(conn)
            if found is None or found < vault_keys.FIRST:
                raise NotRetired("no vault key was ever activated in this journal: see `bankgw keys activate`")
            registers.load(conn, vault)
            return _examined(conn, name, gone, left)
    finally:
        engine.dispose()


def _examined(conn: Connection, name: str, gone: Collection[str], left: int) -> RetiredKey:
    try:
        in_use = vault_keys.in_use(conn)
    except SealBroken as error:
        raise NotRetired(str(error)) from None
    state = vault_rotation.state_of(conn)
    if in_use is None:
        raise NotRetired("no vault key was ever activated in this journal: see `bankgw keys activate`")
    if name == in_use.key:
        raise NotRetired(f"vault key {name!r} is in use: activate another one first")
    work = state.rotation
    if work is None or work.state != vault_rotation.DONE or work.finished_ms is None:
        raise NotRetired("older values are still being sealed anew: `bankgw keys list` says how far")
    if state.behind:
        raise NotRetired(f"{', '.join(state.behind)} may still seal with an earlier key: `bankgw keys list`")
    silent = sorted(set(state.silent) - set(gone))
    if silent:
        raise NotRetired(
            f"{', '.join(silent)} wrote nothing since key {in_use.key!r} was activated, and may hold values under the "
            f"earlier key back: start it once, or, if it will never run again, name it with --gone"
        )
    under = vault_rotation.unread_rows(conn, in_use.key)
    if under > left:
        raise NotRetired(
            f"{under} rows are not under key {in_use.key!r}. {work.unopened} of them were altered, as the log says "
            f"(`journal.row_altered`). If they may become unreadable, say so with --left {under}; "
            f"otherwise `bankgw keys list` says when the work is done"
        )
    return RetiredKey(in_use.key, instant(work.finished_ms), under)
