"""An operator's pause of a lane outlives the daemon and holds on every node: the journal has what was said last.

Each word has a number, one more than the word before it, whichever node wrote it down. Nodes' clocks may differ, and a
look may come back after a newer word was written: of two words the one with the higher number holds.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.journal import audit, schema
from gateway.journal.databases import insert_new
from gateway.journal.store import Tx

OPERATOR = "operator"
FROM_THE_PAST = "database_from_the_past"
_PAUSED, _RESUMED = "lane.paused", "lane.resumed"
_M, _A = schema.meta.c, schema.audit.c
_NAME = "pauses"
"""Of the one row that has the words about all lanes: a lane's name may be too long for a name here."""
_MINE = select(_M.value).where(_M.name == _NAME)


@dataclass(frozen=True, slots=True)
class Said:
    """The last word about a lane: whether it is paused. `number` 0: nobody said anything yet, or none was counted."""

    number: int = 0
    paused: bool = False


def say(tx: Tx, lane: str, actor: str, *, paused: bool, detail: Mapping[str, Any]) -> Said:
    """Write down that an operator pauses the lane, or resumes it."""
    before = tx.conn.execute(_MINE.with_for_update()).scalar()
    if before is None:
        insert_new(tx.conn, schema.meta, {"name": _NAME, "value": "{}"})
        before = tx.conn.execute(_MINE.with_for_update()).scalar_one()
    words = json.loads(before)
    word = Said(words.get(lane, [0])[0] + 1, paused)
    words[lane] = [word.number, paused]
    tx.conn.execute(update(schema.meta).where(_M.name == _NAME).values(value=json.dumps(words, sort_keys=True)))
    audit.append(tx, actor, _PAUSED if paused else _RESUMED, lane, detail)
    return word


def said(conn: Connection, lanes: Collection[str]) -> dict[str, Said]:
    """The last word about each of these lanes."""
    words = json.loads(conn.execute(_MINE).scalar() or "{}")
    counted = {lane: Said(*words[lane]) for lane in lanes if lane in words}
    return {lane: Said() for lane in lanes} | _uncounted(conn, [lane for lane in lanes if lane not in words]) | counted


def _uncounted(conn: Connection, lanes: Collection[str]) -> dict[str, Said]:
    """What older versions left: they wrote an operator's word into the audit trail and nowhere else."""
    if not lanes:
        return {}
    words = select(_A.object_id, _A.entry).where(_A.object_id.in_(lanes), _A.entry.in_((_PAUSED, _RESUMED)))
    in_order = conn.execute(words.order_by(_A.at_ms, _A.node, _A.seq))
    return {row.object_id: Said(0, row.entry == _PAUSED) for row in in_order}
