"""Pauses of lanes and of companies. They are stored in the journal, survive restarts, and hold on every node.

A company's pause is stored beside those of the lanes, under `company:NAME`, which no lane can be called.

Each pause or resumption gets the next number, whichever node writes it. Nodes' clocks may differ, and a read may be
older than a newer write, so of two states the one with the higher number holds.

The states have a MAC of the vault's key, and the audit trail has the last of them. Where the row is another one
(somebody without the key wrote it, put an older one back or deleted it), or malformed, the audit trail decides. Its
details open only if a holder of the key wrote them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.audit import AuditEntry
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import speakable
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.kernel.sql.vaults import vault_of

OPERATOR = "operator"
FROM_THE_PAST = "database_from_the_past"
COMPANY = "company:"
"""Begins the stored name of a company's pause."""
_PAUSED, _RESUMED = ("lane.paused", "company.paused"), ("lane.resumed", "company.resumed")
"""The audit entries about a lane, and about a company."""
_M, _A = schema.meta.c, schema.audit.c
_MAC = ""
"""The MAC's key in the stored object. No lane has this name, so older versions skip it."""
_NAME = "pauses"
"""The name of the one row with all states: a lane's name may be too long for this column."""
_TOO_HIGH = 2**53
_AT_ONCE = 1_000
"""How many lanes one statement names: a database takes a limited number of values."""
_MINE = select(_M.value).where(_M.name == _NAME)


@dataclass(frozen=True, slots=True)
class PauseState:
    """Whether an operator has paused a lane or a company, by its last change. `number` 0: it was never paused, or only
    by an older version, which did not number changes.
    """

    number: int = 0
    paused: bool = False


def say(tx: Tx, lane: str, actor: str, *, paused: bool, detail: Mapping[str, Any]) -> PauseState:
    """Record that an operator pauses or resumes the lane, or the company `company:NAME`. Returns its new state."""
    before = tx.fresh.execute(_MINE.with_for_update()).scalar()
    if before is None:
        insert_new(tx.fresh, schema.meta, {"name": _NAME, "value": "{}"})
        before = tx.fresh.execute(_MINE.with_for_update()).scalar_one()
    states = _stored(tx.fresh, before, tx.vault)
    state = PauseState(states.get(lane, PauseState()).number + 1, paused)
    kept = {name: [one.number, one.paused] for name, one in {**states, lane: state}.items()}
    mac = _mac(tx.vault, kept)
    sealed = json.dumps({**kept, _MAC: mac}, sort_keys=True)
    registers.note(tx, _NAME, mac, kept)
    tx.fresh.execute(update(schema.meta).where(_M.name == _NAME).values(value=sealed))
    audit.append(tx, actor, (_PAUSED if paused else _RESUMED)[lane.startswith(COMPANY)], lane, detail)
    return state


def said(conn: Connection, lanes: Collection[str]) -> dict[str, PauseState]:
    """The committed pause state of each of these lanes, or companies (`company:NAME`)."""
    return _said(conn, lanes, _committed(conn))


def said_with_companies(conn: Connection, lanes: Collection[str]) -> dict[str, PauseState]:
    """The committed pause state of each of these lanes, and of every company that was ever paused (`company:NAME`)."""
    states = _committed(conn)
    return _said(conn, lanes, states) | {name: one for name, one in states.items() if name.startswith(COMPANY)}


def company_states(said: Mapping[str, PauseState]) -> dict[str, PauseState]:
    """The states of companies among these, by the company's name."""
    return {name.removeprefix(COMPANY): one for name, one in said.items() if name.startswith(COMPANY)}


def last_pause(conn: Connection, company: str) -> AuditEntry | None:
    """The audit entry of the company's last pause, which says who paused it and why; None if it cannot be read."""
    try:
        entries = audit.entries_of(conn, vault_of(conn), COMPANY + company)
    except VaultError:
        return None
    return next((one for one in reversed(entries) if one.entry in _PAUSED), None)


def _committed(conn: Connection) -> dict[str, PauseState]:
    return _stored(conn, conn.execute(_MINE).scalar() or "{}", vault_of(conn))


def _said(conn: Connection, lanes: Collection[str], states: Mapping[str, PauseState]) -> dict[str, PauseState]:
    vault = vault_of(conn)
    counted = {lane: states[lane] for lane in lanes if lane in states}
    trail = _trail(conn, [lane for lane in lanes if lane not in states], vault)
    return (
        {lane: PauseState() for lane in lanes}
        | {lane: PauseState(0, paused) for lane, paused in trail.items()}
        | counted
    )


def _stored(conn: Connection, value: str, vault: Vault) -> dict[str, PauseState]:
    """The stored pause states of all lanes. Empty if the row's MAC is not valid: then the audit trail is read."""
    kept, mac, malformed = _read(value)
    said = registers.newest(conn, _NAME)
    last = mac in said.seals and mac == _mac(vault, kept)
    if malformed or (said.count and not last):
        registers.report(
            vault,
            SealBroken("meta", _NAME, "is malformed" if malformed else "is not the last one"),
            "the pauses of the audit trail count, and not those of this row",
        )
    if said.count and not last:
        kept, mac = dict(said.words), _mac(vault, said.words)
    states = {lane: PauseState(*state) for lane, state in kept.items()}
    if not kept or mac == _mac(vault, kept):
        return states
    trail = _trail(conn, states, vault)
    return {lane: PauseState(state.number, trail.get(lane, False)) for lane, state in states.items()}


def _read(value: str) -> tuple[dict[str, Any], str, bool]:
    """The states in the row, its MAC, and True if the row is malformed: whatever has not the form in which the gateway
    writes it is left out."""
    try:
        kept = json.loads(value)
    except (ValueError, RecursionError):
        return {}, "", True
    if not isinstance(kept, dict):
        return {}, "", True
    mac = kept.pop(_MAC, "")
    states = {lane: state for lane, state in kept.items() if _is_state(state) and speakable(lane) == lane}
    if not isinstance(mac, str):
        return states, "", True
    return states, mac, len(states) != len(kept)


def _is_state(state: object) -> bool:
    """True if this is a number and a truth value. An integer with more digits could not be written as JSON."""
    if not isinstance(state, list) or [type(part) for part in state] != [int, bool]:
        return False
    return bool(0 <= state[0] < _TOO_HIGH)


def _mac(vault: Vault, kept: Mapping[str, Any]) -> str:
    return vault.mac(b"pauses\n" + json.dumps(kept, sort_keys=True).encode()).hex()


def _trail(conn: Connection, lanes: Collection[str], vault: Vault) -> dict[str, bool]:
    """Whether each lane is paused according to the audit trail. Older versions recorded pauses only there."""
    found = dict[str, bool]()
    names = list(lanes)
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        states = select(schema.audit).where(_A.object_id.in_(some), _A.entry.in_((*_PAUSED, *_RESUMED)))
        in_order = conn.execute(states.order_by(_A.at_ms, _A.node, _A.seq))
        found |= {row.object_id: row.entry in _PAUSED for row in in_order if audit.authentic(row, vault)}
    return found
