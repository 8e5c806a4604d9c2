"""An operator's pause of a lane outlives the daemon and holds on every node: the journal has what was said last.

Each word has a number, one more than the word before it, whichever node wrote it down. Nodes' clocks may differ, and a
look may come back after a newer word was written: of two words the one with the higher number holds.

The words carry a MAC of the vault's key. Where it is not theirs (a version before wrote them, or somebody who has no
key), the audit trail says what was said last: its details open only if a holder of the key wrote them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.vault import Vault
from gateway.journal.sql.vaults import vault_of

OPERATOR = "operator"
FROM_THE_PAST = "database_from_the_past"
_PAUSED, _RESUMED = "lane.paused", "lane.resumed"
_M, _A = schema.meta.c, schema.audit.c
_MAC = ""
"""Under this key, which no lane has, stands the MAC: versions before read past it."""
_NAME = "pauses"
"""Of the one row that has the words about all lanes: a lane's name may be too long for a name here."""
_MINE = select(_M.value).where(_M.name == _NAME)


@dataclass(frozen=True, slots=True)
class PauseState:
    """The last word about a lane: whether it is paused. `number` 0: nobody said anything yet, or none was counted."""

    number: int = 0
    paused: bool = False


def say(tx: Tx, lane: str, actor: str, *, paused: bool, detail: Mapping[str, Any]) -> PauseState:
    """Write down that an operator pauses the lane, or resumes it."""
    before = tx.fresh.execute(_MINE.with_for_update()).scalar()
    if before is None:
        insert_new(tx.fresh, schema.meta, {"name": _NAME, "value": "{}"})
        before = tx.fresh.execute(_MINE.with_for_update()).scalar_one()
    words = _words(tx.fresh, before, tx.vault)
    word = PauseState(words.get(lane, PauseState()).number + 1, paused)
    kept = {name: [one.number, one.paused] for name, one in {**words, lane: word}.items()}
    sealed = json.dumps({**kept, _MAC: _mac(tx.vault, kept)}, sort_keys=True)
    tx.fresh.execute(update(schema.meta).where(_M.name == _NAME).values(value=sealed))
    audit.append(tx, actor, _PAUSED if paused else _RESUMED, lane, detail)
    return word


def said(conn: Connection, lanes: Collection[str]) -> dict[str, PauseState]:
    """The last word about each of these lanes."""
    vault = vault_of(conn)
    words = _words(conn, conn.execute(_MINE).scalar() or "{}", vault)
    counted = {lane: words[lane] for lane in lanes if lane in words}
    trail = _trail(conn, [lane for lane in lanes if lane not in words], vault)
    return (
        {lane: PauseState() for lane in lanes}
        | {lane: PauseState(0, paused) for lane, paused in trail.items()}
        | counted
    )


def _words(conn: Connection, value: str, vault: Vault) -> dict[str, PauseState]:
    """The kept words of all lanes; those that no holder of the vault's key wrote are read from the audit trail."""
    kept = json.loads(value)
    mac = kept.pop(_MAC, "")
    words = {lane: PauseState(*word) for lane, word in kept.items()}
    if not kept or mac == _mac(vault, kept):
        return words
    trail = _trail(conn, words, vault)
    return {lane: PauseState(word.number, trail.get(lane, False)) for lane, word in words.items()}


def _mac(vault: Vault, kept: Mapping[str, Any]) -> str:
    return vault.mac(b"pauses\n" + json.dumps(kept, sort_keys=True).encode()).hex()


def _trail(conn: Connection, lanes: Collection[str], vault: Vault) -> dict[str, bool]:
    """Whether the audit trail says last of each lane that it is paused. Versions before wrote it there only."""
    if not lanes:
        return {}
    words = select(schema.audit).where(_A.object_id.in_(list(lanes)), _A.entry.in_((_PAUSED, _RESUMED)))
    in_order = conn.execute(words.order_by(_A.at_ms, _A.node, _A.seq))
    return {row.object_id: row.entry == _PAUSED for row in in_order if audit.authentic(row, vault)}
