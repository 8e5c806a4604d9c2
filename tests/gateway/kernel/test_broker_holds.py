"""The lives in which a journal held a virtual host: numbers, renewals, and which marks are its own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import func, select

from gateway.kernel.cluster import broker_holds
from gateway.kernel.cluster.broker_holds import BrokerHold, LastHold
from gateway.kernel.sql import schema
from tests.gateway.kernel.bench import NOW_MS, Journal


def begin_life(journal: Journal) -> BrokerHold:
    hold = journal.do(lambda tx: broker_holds.begin_life(tx, "host"))
    assert hold is not None
    return hold


def test_each_life_has_the_next_number_and_stands_in_the_journal(journal: Journal) -> None:
    assert journal.read(broker_holds.last) is None
    first = begin_life(journal)
    second = begin_life(journal)
    assert (first.fence, second.fence, first.host, first.since_ms) == (1, 2, "host", NOW_MS)
    assert journal.read(broker_holds.last) == LastHold(second, NOW_MS)
    held = select(func.count()).where(schema.audit.c.entry == "broker.held")
    assert journal.read(lambda conn: conn.execute(held).scalar()) == 2


def test_a_life_that_replaces_a_mark_has_a_higher_number_than_the_mark(journal: Journal) -> None:
    begin_life(journal)
    hold = journal.do(lambda tx: broker_holds.begin_life(tx, "host", above=7))
    assert hold is not None and hold.fence == 8
    assert journal.read(lambda conn: broker_holds.has_life(conn, 8, hold.whose))
    assert not journal.read(lambda conn: broker_holds.has_life(conn, 8, "1 another"))
    assert begin_life(journal).fence == 9


def test_only_its_own_lives_are_the_journals(journal: Journal) -> None:
    first = begin_life(journal)
    begin_life(journal)
    assert journal.read(lambda conn: broker_holds.is_ours(conn, first))
    for other in (
        replace(first, fence=3),
        replace(first, host="elsewhere"),
        replace(first, since_ms=NOW_MS + 1),
        replace(first, node="another"),
    ):
        assert not journal.read(partial(broker_holds.is_ours, hold=other)), other


def test_an_old_life_cannot_be_renewed(journal: Journal) -> None:
    first = begin_life(journal)
    journal.hands.task.advance(2)
    assert journal.do(lambda tx: broker_holds.renew(tx, first))
    assert journal.read(broker_holds.last) == LastHold(first, NOW_MS + 2_000)
    second = begin_life(journal)
    assert not journal.do(lambda tx: broker_holds.renew(tx, first))
    journal.do(lambda tx: broker_holds.leave(tx, second))
    assert journal.read(broker_holds.last) == LastHold(second, 0)


def test_the_journal_has_an_id_and_keeps_its_last_lives(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(journal.read(broker_holds.journal_id)) == 32
    for _ in range(3):
        begin_life(journal)
    monkeypatch.setattr(broker_holds, "KEPT", 2)
    begin_life(journal)
    fences = select(schema.broker_holds.c.fence).order_by(schema.broker_holds.c.fence)
    assert journal.read(lambda conn: list(conn.execute(fences).scalars())) == [3, 4]
