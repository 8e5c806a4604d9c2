"""Retention hour by hour, by a time that a wrong clock cannot move forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred

from gateway.bank.clock_trust import CLOCK_DIFFERS_MS, banks_agree
from gateway.kernel.clock import ulid_from
from gateway.kernel.commit.group_commit import SqlStore
from gateway.kernel.commit.permit_log import NoPermits
from gateway.kernel.meters import Meters
from gateway.kernel.retention_clock import MOST_DOWN_MS, RetentionClock
from gateway.kernel.sql import schema
from gateway.payments.jobs import PURGE_S, Retention, RetentionPeriods, periods_of
from gateway.payments.rows import refusals
from gateway.settings import RetentionSettings
from gateway.wiring import PORTS
from protocols.canon.errors import Code
from tests.gateway.kernel.bench import NO_REACTOR, NOW_MS, Journal, ManualClock, vault
from tests.gateway.payments.test_old_rows import put
from tests.world.inline_executor import InlineExecutor

DAY_MS = 86_400_000
YEARS_MS = 9 * 365 * DAY_MS
PERIODS = RetentionPeriods(90, payments_days=400, statements_days=500, reconciliation_days=450, audit_days=600)


class SettableClock(ManualClock):
    """A clock whose wall time is set beside the monotonic one."""

    def __init__(self) -> None:
        super().__init__()
        self.off_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.off_ms


class DaemonLives:
    """Several lives of one daemon over one database. `agrees` is the banks' answer about their clocks."""

    def __init__(self, url: str) -> None:
        self.hands, self.url = SettableClock(), url
        self.journal = Journal(url, "other", hands=self.hands)
        self.agrees: bool | None = None
        self.begin()

    def begin(self) -> None:
        inline = InlineExecutor(self.hands)
        self.store = SqlStore(
            self.url, NO_REACTOR, self.hands, "n1", vault(), NoPermits(), executor=inline, reading=inline, ports=PORTS
        )
        self.done(self.store.open())
        self.clock = RetentionClock(self.store, self.hands, "n1", lambda: self.agrees)
        self.retention = Retention(self.store, self.hands, self.clock, Meters(CollectorRegistry()), PERIODS)
        self.done(Deferred.fromCoroutine(self.retention.begin()))
        self.retention.start()
        self.pass_(3)

    def end(self) -> None:
        self.retention.stop()
        self.done(self.store.close())

    def again(self, down_ms: int = 0) -> None:
        self.end()
        self.hands.off_ms += down_ms
        self.begin()

    def done(self, waiting: Deferred[Any]) -> object:
        self.pass_(1)
        assert waiting.called
        return waiting.result

    def pass_(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.hands.task.advance(0.1)

    def hours(self, number: int) -> None:
        for _ in range(number * 62):
            self.hands.task.advance(60)
            self.pass_(1)

    def entry(self, name: str, at_ms: int) -> None:
        put(self.journal, schema.statement_entries, entry=ulid_from(at_ms), line=name)

    def entries(self) -> list[str]:
        lines = select(schema.statement_entries.c.line).order_by("line")
        return self.journal.read(lambda conn: list(conn.execute(lines).scalars()))


@pytest.fixture
def lives(sqlite_url: str) -> Iterator[DaemonLives]:
    made = DaemonLives(sqlite_url)
    yield made
    made.end()
    made.journal.close()


def test_each_table_has_its_own_time(lives: DaemonLives) -> None:
    tables: list[tuple[Any, int, Callable[[int], dict[str, Any]]]] = [
        (schema.outbox, 90, lambda ms: {"message_id": str(ms), "state": "sent", "created_ms": ms}),
        (schema.statement_entries, 500, lambda ms: {"entry": ulid_from(ms), "line": str(ms)}),
        (schema.match_decisions, 450, lambda ms: {"decision": str(ms), "at_ms": ms}),
        (schema.proposals, 600, lambda ms: {"proposal": str(ms), "made_ms": ms, "expires_ms": ms}),
    ]
    for table, days, row in tables:
        put(lives.journal, table, **row(NOW_MS - days * DAY_MS - DAY_MS))
        put(lives.journal, table, **row(NOW_MS - days * DAY_MS + DAY_MS))
    with capture_logs() as said:
        lives.hours(1)
    assert [lives.journal.count(table) for table, _days, _row in tables] == [1, 1, 1, 1]
    assert {(one["what"], one["count"]) for one in said if one["event"] == "retention.purged"} == {
        (table.name, 1) for table, _days, _row in tables
    }


def test_it_looks_once_an_hour_whatever_the_wall_clock_does(lives: DaemonLives) -> None:
    lives.hands.off_ms = YEARS_MS
    lives.hours(1)
    lives.hands.off_ms = 0
    lives.entry("old", NOW_MS - 501 * DAY_MS)
    lives.pass_(120)
    assert lives.entries() == ["old"], "not looked yet"
    lives.hours(1)
    assert lives.entries() == [] and PURGE_S == 3_600


@pytest.mark.parametrize("restarts", [0, 1, 3])
def test_a_clock_years_ahead_deletes_nothing(lives: DaemonLives, restarts: int) -> None:
    lives.hours(1)
    lives.entry("fresh", NOW_MS - DAY_MS)
    lives.journal.do(lambda tx: refusals.refuse(tx, "d", "erp", Code.SCHEMA, b"{}", None, None))
    lives.hands.off_ms = YEARS_MS
    lives.hours(2)
    with capture_logs() as said:
        for _ in range(restarts):
            lives.again()
            lives.hours(2)
    assert [one["event"] for one in said if one["event"].startswith("retention.clock")] == [
        "retention.clock_ahead"
    ] * restarts
    assert lives.entries() == ["fresh"] and lives.journal.count(schema.refusals) == 1


def test_a_daemon_that_was_down_for_a_month_believes_its_clock(lives: DaemonLives) -> None:
    lives.hours(1)
    lives.entry("old", NOW_MS - 480 * DAY_MS)
    lives.again(down_ms=MOST_DOWN_MS - 2 * 3_600_000)
    assert lives.entries() == []


def test_after_a_longer_stop_the_banks_clock_says_that_ours_is_right(lives: DaemonLives) -> None:
    lives.hours(1)
    lives.entry("old", NOW_MS - 450 * DAY_MS)
    lives.again(down_ms=2 * MOST_DOWN_MS)
    lives.hours(2)
    assert lives.entries() == ["old"]
    lives.agrees = True
    lives.hours(2)
    assert lives.entries() == []


def test_while_a_banks_clock_differs_nothing_is_deleted(lives: DaemonLives) -> None:
    lives.entry("old", NOW_MS - 501 * DAY_MS)
    lives.agrees = False
    with capture_logs() as said:
        lives.hours(2)
    assert lives.entries() == ["old"]
    assert [one["event"] for one in said] == ["retention.clock_doubted"]
    lives.agrees = True
    lives.hours(1)
    assert lives.entries() == []


class TrustWithOffset:
    def __init__(self, ahead_ms: int | None) -> None:
        self.ahead_ms = ahead_ms


@pytest.mark.parametrize(
    ("ahead", "agree"),
    [
        ([], None),
        ([None], None),
        ([0, None], True),
        ([-CLOCK_DIFFERS_MS, CLOCK_DIFFERS_MS], True),
        ([0, CLOCK_DIFFERS_MS + 1], False),
        ([-CLOCK_DIFFERS_MS - 1], False),
    ],
)
def test_one_bank_whose_clock_differs_is_enough(ahead: list[int | None], agree: bool | None) -> None:
    trusts: Any = [TrustWithOffset(ms) for ms in ahead]
    assert banks_agree(trusts) is agree


@pytest.mark.parametrize(("given", "books"), [({}, 401), ({"reconciliation_days": 400}, 400)])
def test_the_periods_are_those_of_the_settings(given: dict[str, int], books: int) -> None:
    kept = RetentionSettings(payments_days=401, statements_days=402, audit_days=404, **given)
    said: Any = SimpleNamespace(retention=kept, journal=SimpleNamespace(refusals_kept_days=7))
    assert periods_of(said) == RetentionPeriods(7, 401, 402, books, 404)
