"""The parts of `make bench FULL=1` and of `python -m bench.line` that need no broker."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from bench import busy, full, line
from bench.erp import ACCEPTED, SETTLED, Burst, Erp
from bench.fill import fill
from bench.row import Row, verdict
from bench.turns import FILE, ReactorTurns, TimedPoller, install, read_turns
from gateway.erp.amqp_types import CONFIRMED, OutgoingMessage, PublishResult


def test_a_row_says_what_was_not_reached_and_only_a_gate_decides() -> None:
    rows = (Row("a", "1 us"), Row("b", "2 us", target="1 us"), Row("c", "3 us", gate="2 us", target="1 us"))
    assert [row.line for row in rows] == ["a: 1 us", "b: 2 us; target not reached: 1 us", "c: 3 us; NOT HELD: 2 us"]
    assert verdict(rows) == "bench full: 3 rows, 1 gates not held (c); targets not reached: b"
    assert verdict(rows[:1]) == "bench full: 1 rows, 0 gates not held"


def test_growth_is_judged_by_the_larger_figure() -> None:
    held, short, broken = (full.growth("x", (100.0, us), "few", "many", 1.05, 1.25) for us in (104.0, 110.0, 130.0))
    assert (held.gate, held.target) == (None, None)
    assert (short.gate, short.target) == (None, "at most +5%")
    assert broken.gate == "at most +25%" and "+30.0%" in broken.line


def test_turns_are_counted_by_length_and_the_longest_are_kept() -> None:
    turns = ReactorTurns()
    for took_ms in (0.5, 1.0, 3.0, 49.0, 51.0, 400.0, 7.0):
        turns.add(took_ms, took_ms * 2)
    assert turns.cpu == [2, 0, 1, 1, 0, 1, 1, 0, 1] and turns.above(50) == 2 and turns.above(200) == 1
    assert turns.longest_cpu_ms == [400.0, 51.0, 49.0, 7.0, 3.0] and turns.longest_wall_ms[0] == 800.0


class Poller:
    def __init__(self) -> None:
        self.asked: list[Any] = []

    def poll(self, *waits: Any) -> list[Any]:
        self.asked.append(waits)
        return []


def test_a_turn_lies_between_two_waits(tmp_path: Path) -> None:
    reactor: Any = SimpleNamespace(_poller=Poller())
    write = install(reactor, tmp_path / FILE)
    poller: TimedPoller = reactor._poller
    poller.poll(1, 2)
    until_s = time.thread_time() + 0.03
    while time.thread_time() < until_s:
        pass
    poller.poll(1, 2)
    write()
    seen = read_turns(tmp_path / FILE)
    assert sum(seen.cpu) == 1 and 30 <= seen.longest_cpu_ms[0] <= seen.longest_wall_ms[0] + 1
    assert poller.asked == [(1, 2), (1, 2)], "what it does not time is the poller's own"
    assert sum(poller.turns.cpu) == 0, "it begins anew"


def test_settled_payments_are_read_from_the_metrics() -> None:
    text = 'bankgw_payments_total{bank="a",state="settled"} 3.0\nbankgw_payments_total{bank="a",state="ready"} 9.0\n'
    assert busy.settled(text + 'bankgw_payments_total{bank="b",state="settled"} 4.0\n') == 7
    assert 0.0 <= busy.idle_share((0, 0)) <= 1.0


def test_a_burst_may_end_when_all_are_accepted() -> None:
    clock = Clock()

    class Broker:
        def publish(self, _message: OutgoingMessage) -> Deferred[PublishResult]:
            return succeed(CONFIRMED)

        def ack(self, _delivery: Any) -> None:
            pass

    amqp: Any = Broker()
    erp = Erp(amqp, "erp", clock)
    done = erp.burst(Burst("W", 0, 2, "payment.submit", ("1",), until_accepted=True, patience_s=600.0))
    clock.advance(100.0)
    for number in (0, 1):
        told: Any = SimpleNamespace(body=json.dumps({"event": ACCEPTED, "id": f"W-{number:06d}"}).encode())
        erp.deliver(told)
    heard: Any = done.result
    assert heard.trouble == "" and len(heard.times_s) == 2 and heard.events == {ACCEPTED: 2}
    late: Any = SimpleNamespace(body=json.dumps({"event": SETTLED, "id": "W-000000"}).encode())
    erp.deliver(late)


def test_lines_are_measured_and_an_aged_journal_has_what_a_start_reads(tmp_path: Path) -> None:
    watch = line.measure(tmp_path, laps=1, lines=20)
    assert set(watch.best) == {
        "ERP's batch: read",
        "journal: accept",
        "journal: make the bundle",
        "journal: about to send",
        "journal: the bank's word",
        "journal: events confirmed",
    } and all(each_us > 0 for each_us in watch.best.values())
    file, now_ms = tmp_path / "journal.db", time.time_ns() // 1_000_000
    fill(file, 50, 7, now_ms)
    with closing(sqlite3.connect(file)) as conn:
        states = dict(conn.execute("SELECT state, count(*) FROM payments GROUP BY state"))
        works = dict(conn.execute("SELECT kind, count(*) FROM work WHERE due_ms > ? GROUP BY kind", (now_ms,)))
        newest_ms = conn.execute("SELECT max(accepted_ms) FROM payments WHERE order_id LIKE 'AGED-%'").fetchone()[0]
    assert states == {"settled": 70, "pending": 7} and works == {"returns": 70, "enquire": 7}
    assert newest_ms < now_ms - 86_000_000


def test_there_is_a_row_for_all_that_grows() -> None:
    assert list(full.ROWS) == ["databases", "shards", "rows", "banks", "waiting", "turns", "soak"]
    with pytest.raises(SystemExit):
        full.main(["--only", "rows,nothing"])
