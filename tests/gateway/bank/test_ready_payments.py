"""Ready payments: waiting ones are read from the journal a page at a time, in the order in which they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.bank import ready_payments
from gateway.bank.ready_payments import ReadyPayments
from gateway.bank.work_queue import WorkQueue
from gateway.kernel.commit.rows import WorkRow
from gateway.kernel.core.states import Work
from gateway.payments.rows import lookup
from tests.world.world import World


def test_those_that_wait_behind_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready_payments, "ROWS_KEPT", 20)
    monkeypatch.setattr(ready_payments, "READ_AHEAD", 10)
    pages: list[int] = []
    real = lookup.fetch_each

    def counted(conn: Any, payments: Any) -> Any:
        pages.append(len(payments))
        return real(conn, payments)

    monkeypatch.setattr(lookup, "fetch_each", counted)
    world = World(tmp_path)
    world.start()
    world.run(3)
    assert world.life is not None
    lane = world.life.gateway.lanes["sample.main"]
    lane.pause("test")
    for number in range(60):
        world.submit(f"AP-{number:02d}", minor=100 + number)
    world.run(10)
    lane.resume("test")
    world.run(60)
    assert [one.instruction.amount.minor for one in world.bank.ledger.executions] == list(range(100, 160))
    assert len(pages) <= 60 / 10, "a read a page, not a read a payment"


def test_what_is_read_after_the_lane_was_lost_is_not_kept(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(3)
    assert world.life is not None
    world.life.gateway.lanes["sample.main"].pause("test")
    for number in range(2):
        world.submit(f"AP-{number}", minor=100 + number)
    world.run(5)
    first, second = world.life.gateway.lanes["sample.main"].ready_payments.rows

    class LateStore:
        """Answers a read when the test says so."""

        def read(self, fn: Any) -> Deferred[Any]:
            self.done: Deferred[Any] = Deferred()
            return self.done

    store: Any = LateStore()
    ready = ReadyPayments(store, lambda _most: [second.payment])
    taken: list[Any] = []
    Deferred.fromCoroutine(ready.take_payment(first.payment)).addBoth(taken.append)
    ready.clear()
    store.done.callback([first, second])
    assert (taken, ready.rows) == ([first], ())


def test_the_next_sends_are_those_that_are_due_and_not_taken() -> None:
    queue = WorkQueue()
    for number, (kind, due_ms) in enumerate(
        ((Work.SEND, 1), (Work.ENQUIRE, 1), (Work.SEND, 2), (Work.SEND, 9), (Work.SEND, 3))
    ):
        queue.put(WorkRow(f"P{number}", kind, "lane", due_ms, 1))
    assert queue.take_due(5, quick=False, asks=False) == ("P0", Work.SEND)
    assert queue.next_sends(9) == ["P2", "P4"]
    queue.forget("P2", Work.SEND)
    assert (queue.next_sends(9), queue.next_sends(0)) == (["P4"], [])
