"""The end of a campaign waits for unfinished work of pools."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import update

from faults.pools import PoolRunner, made
from gateway.demo import evidence
from gateway.kernel.sql import migrations, schema
from gateway.settings.agreement import TREASURY
from protocols.canon.outcome import State
from protocols.twin import Booked
from tests.gateway.kernel.bench import NOW_MS, Journal, order


def open_ends(folder: Path, state: State, booked: Booked | None, *, passed_ms: int) -> list[str]:
    """The open ends at this time after an order of a pool reached `state`."""
    url = f"sqlite:///{folder / evidence.JOURNAL}"
    migrations.upgrade(url)
    journal = Journal(url)
    row = journal.admit(order("top.20261124.hand-1.1"), sender=TREASURY).row
    with journal.stranger() as conn:
        conn.execute(update(schema.payments).values(state=state.value))
    journal.close()
    grounds = SimpleNamespace(
        journal=SimpleNamespace(url=None), nodes=[SimpleNamespace(site=SimpleNamespace(state=folder))]
    )
    now = datetime.fromtimestamp((NOW_MS + passed_ms) / 1000, UTC)
    known = {} if booked is None else {("sample", row.bank_ref): booked}
    return PoolRunner((), 1).open_ends(cast("Any", grounds), known, now)


@pytest.mark.parametrize(("state", "booked", "passed_ms", "waits"), [
    (State.SETTLED, Booked.SETTLED, 0, False),
    (State.SETTLED, Booked.RETURNED, 60_000, True),
    (State.RETURNED, Booked.RETURNED, 60_000, False),
    (State.IN_DOUBT, None, 0, True),
    (State.IN_DOUBT, None, 60_000, False),
    (State.IN_DOUBT, Booked.SETTLED, 60_000, True),
    (State.PENDING, Booked.TAKEN, 60_000, True),
    (State.HELD, None, 60_000, False),
])  # fmt: skip
def test_an_order_of_a_pool_is_waited_for_until_the_journal_knows_what_its_bank_knows(
    tmp_path: Path, state: State, booked: Booked | None, passed_ms: int, waits: bool
) -> None:
    found = open_ends(tmp_path, state, booked, passed_ms=passed_ms)
    assert found == ([f"{TREASURY}:top.20261124.hand-1.1"] if waits else [])


@pytest.mark.parametrize(("lasts_s", "count"), [(36, 1), (300, 3), (600, 4), (3_600, 4)])
def test_a_slot_is_still_open_when_the_banks_are_calm(lasts_s: int, count: int) -> None:
    now = datetime(2026, 11, 24, 10, tzinfo=UTC)
    slots = made(("sample",), now, lasts_s)[0].pool.slots
    assert len(slots) == count
    assert slots[0].opens < now.time(), "the first run is planned soon"
    assert all(one.closes == next_.opens for one, next_ in pairwise(slots))
    assert slots[-1].closes >= (now + timedelta(seconds=lasts_s + 60)).time()


def test_no_slot_goes_over_midnight() -> None:
    late = datetime(2026, 11, 24, 23, 57, tzinfo=UTC)
    (slot,) = made(("sample",), late, 130)[0].pool.slots
    assert slot.closes <= (late + timedelta(minutes=2)).time()
