"""Rotation of the vault's key under load: each node changes to the key in use, and one of them seals older values anew.

`bankgw keys prepare vault` adds a key to the key file of each node, `bankgw keys activate vault` writes into the
journal which key new values are sealed with, and every node changes to it at its next look. Then one node seals
everything that is under another key, table by table, in small units. The row of this work is in `vault_rotations` and
is written in the same units: whoever continues after a kill begins where the last unit ended. When a whole round finds
nothing more, no value is left under another key, and the old one may be removed (`bankgw keys retire vault`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.cluster.resealing import PAGE_ROWS, TABLES, Key, ResealPage, page, portions, reseal_rows
from gateway.kernel.commit import audit, vault_keys, vault_probe
from gateway.kernel.commit.store import Store, StoreFailed, Tx
from gateway.kernel.commit.vault_keys import Activation, NodeKeys
from gateway.kernel.meters import Meters
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.kernel.tasks import Tasks, attempt, sleep

LOOK_S = 5.0
LEASE_MS = 60_000
"""After so long without a unit, another node takes the work over."""
RUNNING, DONE = "running", "done"
ROWS_A_SECOND = 200
_SCANNED_AS_ONE = 20
"""Reading the names of so many rows' keys counts as sealing one row anew."""
_R = schema.vault_rotations.c
_log = log.get("journal.vault")


@dataclass(frozen=True, slots=True)
class RotationState:
    """How far the older values are sealed anew. `place` is the table that is worked on, and `after` its last row.

    `round` counts the passes over all tables, `found` the rows that this pass has sealed anew, `resealed` those of all
    passes, `unopened` the rows that are left because they were altered or no key opens them.
    """

    number: int
    state: str
    node: str
    at_ms: int
    round: int = 1
    place: str = TABLES[0].name
    after: Key = ()
    resealed: int = 0
    found: int = 0
    unopened: int = 0
    finished_ms: int | None = None

    @property
    def tables_done(self) -> int:
        """The number of tables that this round has passed."""
        return len(TABLES) if self.state == DONE else [table.name for table in TABLES].index(self.place)


@dataclass(frozen=True, slots=True)
class VaultState:
    """The vault's keys by the journal. `behind` are the running nodes that do not seal with the key in use yet,
    `silent` those that have written nothing since it was activated."""

    activations: tuple[Activation, ...]
    rotation: RotationState | None
    behind: tuple[str, ...]
    silent: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """True if no value is left under an earlier key, as far as it can be opened."""
        return self.rotation is not None and self.rotation.state == DONE and not self.behind


class WorkTakenOver(Exception):  # noqa: N818 - an answer, not a fault
    """Another node continues the work."""


def state_of(conn: Connection) -> VaultState:
    """The vault's keys and the rotation, from the journal."""
    done = vault_keys.activations(conn)
    if not done:
        return VaultState((), None, (), ())
    behind, silent = vault_keys.behind(conn, done[-1])
    return VaultState(tuple(done), rotation_of(conn, done[-1].number), tuple(behind), tuple(silent))


def rotation_of(conn: Connection, number: int) -> RotationState | None:
    """The work of this activation; None if no node has begun it."""
    row = conn.execute(select(schema.vault_rotations).where(_R.number == number)).first()
    if row is None:
        return None
    work = json.loads(row.work)
    return RotationState(number=row.number, node=row.node, at_ms=row.at_ms, **{**work, "after": tuple(work["after"])})


def begin(tx: Tx, number: int) -> RotationState | None:
    """Begin the work, or take it over from a node that has written nothing for LEASE_MS. None if it is another node's,
    or done."""
    found = rotation_of(tx.fresh, number)
    if found is None:
        made = RotationState(number, RUNNING, tx.node, tx.now_ms)
        if not insert_new(tx.fresh, schema.vault_rotations, {**_columns(made), "number": number}):
            return None
        detail = {"number": number, "tables": len(TABLES)}
        audit.append(tx, f"node:{tx.node}", "vault.resealing_begun", f"vault:{tx.vault.current}", detail)
        return made
    if found.state == DONE or (found.node != tx.node and tx.now_ms < found.at_ms + LEASE_MS):
        return None
    return _kept(tx, found, replace(found, node=tx.node, at_ms=tx.now_ms))


def reseal(tx: Tx, state: RotationState, keys: list[Key]) -> RotationState:
    """Seal some rows of the table anew, and write down how far the work is. Raises WorkTakenOver."""
    table = schema.metadata.tables[state.place]
    done = reseal_rows(tx, table, keys)
    return _kept(
        tx,
        state,
        replace(
            state,
            after=keys[-1],
            at_ms=tx.now_ms,
            resealed=state.resealed + done.rows,
            found=state.found + done.rows + done.changed,
            unopened=state.unopened + len(done.unopened),
        ),
    )


def advance(tx: Tx, state: RotationState) -> RotationState:
    """Write down that a table is done, and go on with the next one. After the last one: with the next round, or, if
    this round found nothing to seal anew, to the end. Raises WorkTakenOver."""
    names = [table.name for table in TABLES]
    if state.place != names[-1]:
        following = names[names.index(state.place) + 1]
        return _kept(tx, state, replace(state, at_ms=tx.now_ms, place=following, after=()))
    found = state.found + vault_probe.renew(tx.fresh, tx.vault)
    if found:
        again = replace(state, at_ms=tx.now_ms, round=state.round + 1, place=names[0], after=(), found=0, unopened=0)
        return _kept(tx, state, again)
    ended = replace(state, at_ms=tx.now_ms, state=DONE, after=(), finished_ms=tx.now_ms)
    detail = {"rows": ended.resealed, "rounds": ended.round, "unopened": ended.unopened}
    audit.append(tx, f"node:{tx.node}", "vault.resealing_ended", f"vault:{tx.vault.current}", detail)
    return _kept(tx, state, ended)


def _kept(tx: Tx, before: RotationState, after: RotationState) -> RotationState:
    mine = (_R.number == before.number, _R.node == before.node, _R.at_ms == before.at_ms)
    changed = tx.raw.execute(update(schema.vault_rotations).where(*mine).values(_columns(after)))
    if changed.rowcount != 1:
        raise WorkTakenOver
    return after


def _columns(state: RotationState) -> dict[str, Any]:
    work = {
        "state": state.state,
        "round": state.round,
        "place": state.place,
        "after": state.after,
        "resealed": state.resealed,
        "found": state.found,
        "unopened": state.unopened,
        "finished_ms": state.finished_ms,
    }
    return {"node": state.node, "at_ms": state.at_ms, "work": json.dumps(work)}


class VaultRotation:
    """Changes this node to the key in use, and seals older values anew if no other node does. Reactor thread only.

    `rows_a_second` limits the work, so that payments keep their pace.
    """

    def __init__(
        self, store: Store, clock: Clock, vault: Vault, meters: Meters, rows_a_second: int = ROWS_A_SECOND
    ) -> None:
        self._store, self._clock, self._vault, self._meters = store, clock, vault, meters
        self._pace_s = 1 / rows_a_second
        self._told: NodeKeys | None = None
        self._ended = 0
        self._said = ""
        self._tasks = Tasks(
            lambda failure: _log.error(
                "vault.rotation_ended",
                error=str(failure.value),
                action="this node changes to no other vault key before the daemon restarts",
            )
        )

    def start(self) -> None:
        """Begin to run_once, now and every LOOK_S seconds."""
        self._tasks.spawn(self._keep_looking())

    def stop(self) -> None:
        """Stop. The next start continues."""
        self._tasks.stop()

    async def _keep_looking(self) -> None:
        while True:
            await attempt(self.run_once, self._defect, ends=StoreFailed)
            await sleep(self._clock, LOOK_S)

    def _defect(self, error: str) -> None:
        _log.error("vault.rotation_failed", error=error, action="tried again in 5 s; values stay under their keys")

    async def run_once(self) -> None:
        """Change to the key in use, tell the other nodes what this one has, and seal older values anew if it is due."""
        try:
            self._vault.refresh()
            found = await self._store.read(vault_keys.in_use)
            if found is not None:
                self._vault.use(found.key)
        except (SealBroken, VaultError) as error:
            if str(error) != self._said:
                self._said = str(error)
                _log.error("vault.key_not_used", error=str(error), action="new values stay under the present key")
            return
        self._said = ""
        if self._told != NodeKeys(self._vault.names, self._vault.current):
            self._told = await self._store.write(vault_keys.tell)
        if found is not None and found.number != self._ended:
            await self._work(found)

    async def _work(self, activation: Activation) -> None:
        # A round counts only if it began when every running node sealed with the new key.
        behind, _silent = await self._store.read(partial(vault_keys.behind, activation=activation))
        if behind:
            return
        state = await self._store.write(partial(begin, number=activation.number))
        if state is None:
            kept = await self._store.read(partial(rotation_of, number=activation.number))
            self._ended = activation.number if kept is not None and kept.state == DONE else 0
            return
        self._meters.vault_resealing.set(1)
        try:
            while state.state != DONE:
                state = await self._next(state)
        except WorkTakenOver:
            return
        finally:
            self._meters.vault_resealing.set(0)
        self._ended = activation.number
        _log.info(
            "vault.resealed",
            rows=state.resealed,
            unopened=state.unopened,
            action="the earlier key may be removed: bankgw keys retire vault",
        )

    async def _next(self, state: RotationState) -> RotationState:
        """Work on one page of a table."""
        table, current = schema.metadata.tables[state.place], self._vault.current
        found: ResealPage = await self._store.read(partial(page, table=table, current=current, after=state.after))
        for keys in portions(found.due):
            before = state.resealed
            state = await self._store.write(partial(reseal, state=state, keys=keys))
            self._meters.vault_resealed.inc(state.resealed - before)
            await sleep(self._clock, len(keys) * self._pace_s)
        await sleep(self._clock, found.rows / _SCANNED_AS_ONE * self._pace_s)
        if found.last is None:
            return await self._store.write(partial(advance, state=state))
        return replace(state, after=found.last)


def unread_rows(conn: Connection, current: str, on_page: Callable[[str, int], object] = lambda _t, _n: None) -> int:
    """The number of rows that are sealed with another key than this one: a complete check of all tables."""
    total = 0
    for table in TABLES:
        after: Key | None = ()
        while after is not None:
            found = page(conn, table, current, after, PAGE_ROWS)
            total, after = total + len(found.due), found.last
            on_page(table.name, len(found.due))
    return total
