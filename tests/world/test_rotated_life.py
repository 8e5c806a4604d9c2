"""A life of the daemon whose journal is sealed anew afterwards: the next life, without the earlier vault key, goes on
as if nothing had happened."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway.kernel.checkpoints import verify
from gateway.kernel.cluster.resealing import TABLES
from gateway.kernel.sql import databases, schema
from gateway.kernel.sql.vault import Vault
from tests.gateway.kernel.bench import Journal, ManualClock
from tests.gateway.kernel.rotating import activate, progress, rotation, run_once, under_another_key
from tests.world import sim, tampering
from tests.world.tampered_life import EndSituation

OLD, NEW, INDEX = bytes(32), b"n" * 32, bytes(range(32))
FILLED = frozenset(
    {
        *("approval_policies", "approval_requests", "approvals", "attempts", "audit", "delegations", "evidence"),
        *("outbox", "payments", "persons", "proposals", "refusals", "stops", "pools", "pool_runs", "pool_moves"),
        *("linked_orders", "balances", "credit_claims", "payees_registered", "statement_entries"),
    }
)
"""Tables with sealed columns that the lives below have rows of."""


class LaterClock(ManualClock):
    """A clock that begins when a life has ended."""

    def __init__(self, at_ms: int) -> None:
        super().__init__()
        self._at_ms = at_ms

    def now_ms(self) -> int:
        return self._at_ms + int(self.task.seconds() * 1000)


def rotated(life: Any) -> set[str]:
    """Seal the life's journal anew, and take the earlier key away. Returns the tables that had sealed rows."""
    tampering._lay(life)
    file = life.world.folder / "journal.db"
    with closing(sqlite3.connect(file)) as db:
        [ended_ms] = db.execute("select max(at_ms) from units").fetchone()
    made = Journal(
        f"sqlite:///{file}", "rotator", sealing=Vault({"k1": OLD, "k2": NEW}, "k1", INDEX), hands=LaterClock(ended_ms)
    )
    made.committer.open()
    # The life's own node is off, so that the work waits for no one.
    made.hands.task.advance(61)
    filled = {table.name for table in TABLES if made.read(partial(databases.count, table=table))}
    problems = made.read(lambda conn: verify.whole(conn, made.vault)).problems
    activate(made)
    run_once(made, rotation(made))
    state = progress(made)
    assert state is not None
    assert (state.state, state.unopened, under_another_key(made)) == ("done", 0, 0)
    made.close()
    last = Journal(f"sqlite:///{file}", "rotator", sealing=Vault({"k2": NEW}, "k2", INDEX), hands=made.hands)
    assert last.read(lambda conn: verify.whole(conn, last.vault)).problems == problems == []
    assert last.read(lambda conn: conn.execute(select(schema.vault_keys.c.name)).scalars().all()) == ["k2"]
    last.close()
    with closing(sqlite3.connect(file)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    life.journal = file.read_bytes()
    life.world.vault = Vault({"k2": NEW}, "k2", INDEX)
    return filled


@pytest.mark.slow
def test_the_next_life_needs_the_new_key_alone(tmp_path: Path) -> None:
    sim.quiet()
    filled = set[str]()
    for situation in (EndSituation.STOPPED, EndSituation.POOLS):
        folder = tmp_path / situation.value
        folder.mkdir()
        life = tampering.lived(folder, 1, situation)
        before = tampering._fork(life, ())
        filled |= rotated(life)
        after = tampering._fork(life, ())
        assert (after.second, after.looser) == ([], [])
        assert after == before
    assert filled >= FILLED, FILLED - filled
