"""Loads the daemon with everything at once: scrapes, reloads, batches, statements, hostile messages."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pika

from bench.site import Bench
from bench.turns import FILE, ReactorTurns, read_turns
from gateway.demo import site
from gateway.erp.topology import COMMANDS

_SETTLED: Final = re.compile(r'^bankgw_payments_total\{bank="[^"]*",state="settled"\} (\S+)$', re.MULTILINE)
_STAT: Final = Path("/proc/stat")
BATCH_LINES: Final = 1_000
HOSTILE: Final = (
    b"",
    b"\xff\xfe\x00",
    b"[" * 60_000,
    b'{"a":' * 20_000,
    b'{"id": "' + b"A" * 900_000 + b'"}',
    b"{" + b'"k": 1,' * 80_000,
    b'{"id": "h-1", "amount": "' + b"9" * 500_000 + b'"}',
    b'{"id": "h-2", "items": [' + b"{}," * 150_000 + b"{}]}",
)


def settled(metrics: str) -> float:
    """The number of settled payments, by the daemon's metrics."""
    return sum(float(number) for number in _SETTLED.findall(metrics))


def machine_us() -> tuple[int, int]:
    """The ticks of all cores so far: idle ticks, and all ticks."""
    ticks = [int(one) for one in _STAT.read_text("ascii").splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def idle_share(since: tuple[int, int]) -> float:
    """The idle share of the cores' time since `since`."""
    idle, total = machine_us()
    return (idle - since[0]) / max(total - since[1], 1)


def phases(bench: Bench, payments: int) -> Iterator[tuple[str, ReactorTurns]]:
    """Run one kind of load after the other, and measure the turns of the event loop during each."""
    with every(0.5, bench.metrics), every(2.0, lambda: bench.children["daemon"].signal(signal.SIGHUP)):
        yield "full load with scrapes and reloads", during(bench, lambda: bench.play("sample", "daemon", payments))
        yield (
            "batches of 1,000",
            during(bench, lambda: bench.play("sample", "daemon", 2 * BATCH_LINES, batch=BATCH_LINES)),
        )
        yield "hostile messages", during(bench, lambda: _send(bench, "payment.submit", HOSTILE * 3, payments // 3))
        lines = f"statements of {sum(bench.ordered.values()):,} lines"
        account = site.account_numbers("sample", 2)[0]
        today = datetime.now(UTC).date().isoformat()
        asked = f'{{"account": "{account}", "from": "{today}", "to": "{today}", "limit": 1000}}'.encode()
        yield lines, during(bench, lambda: _send(bench, "transactions.query", (asked,) * 10, payments // 3))


def during(bench: Bench, work: Callable[[], object]) -> ReactorTurns:
    """The turns of the event loop while `work` runs."""
    _mark(bench)
    work()
    return _mark(bench)


def _mark(bench: Bench) -> ReactorTurns:
    file = bench.site.folder / FILE
    file.unlink(missing_ok=True)
    bench.children["daemon"].signal(signal.SIGUSR1)
    until_s = time.monotonic() + 30
    while not file.exists() and time.monotonic() < until_s:
        time.sleep(0.05)
    return read_turns(file)


@contextmanager
def every(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """Call `act` every `seconds` seconds while the `with` block runs."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def _send(bench: Bench, key: str, bodies: tuple[bytes, ...], payments: int) -> None:
    """Publish these orders as the ERP, and then further orders at a steady pace."""
    broker, login = bench.broker, bench.broker["users"]["erp-demo"]
    where = pika.ConnectionParameters(
        broker["host"], broker["port"], broker["vhost"], pika.PlainCredentials(login["user"], login["password"])
    )
    with pika.BlockingConnection(where) as conn:
        channel = conn.channel()
        replies = channel.queue_declare("erp-demo.bench.replies", exclusive=True).method.queue
        for number, body in enumerate(bodies):
            said = pika.BasicProperties(
                user_id=login["user"],
                content_type="application/json",
                message_id=f"{key}-{number}-{time.time_ns()}",
                reply_to=replies,
                correlation_id=str(number),
            )
            channel.basic_publish(COMMANDS, key, body, said)
        bench.play("sample", "daemon", payments)
