"""`python -m faults.measure WHAT`: how long recovery takes after one fault. One line with the figure and its limit;
the exit code is 1 if the limit is missed.

- `recovery`: SIGKILL with ROWS open orders; until ready, and until the first of them is at the bank.
- `failover`: SIGKILL of a lane's owner, left dead; until another daemon sends.
- `outage`: broker, database or bank out of reach for SECONDS; until the full rate is back.
- `bulkhead`: one bank dead; how much longer the others' payments take.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import URLError

from sqlalchemy import text
from twisted.internet.defer import Deferred

from faults.__main__ import HELD, UNAVAILABLE, journal_of, own_rabbit
from faults.proxy import LinkState
from faults.rehearsal import Rehearsal
from gateway.demo import processes
from gateway.demo.erp import BrokerTrouble
from gateway.demo.processes import NotStarted
from gateway.kernel.clock import SystemClock
from gateway.simbank.record import read_executions
from setup.machine import ServiceMissing

READY_S, FIRST_S, FAILOVER_S, BACK_S, SHARE = 3.0, 5.0, 30.0, 10.0, 1.05
FULL = 0.9
FILL_PER_SECOND = 1_500.0
PAIRS = 7
_MISSED = 1
Said = tuple[str, bool]


async def recovery(site: Rehearsal, asked: argparse.Namespace) -> Said:
    """Measure criterion G18: the time to recover after SIGKILL."""
    (node,) = site.grounds.nodes
    node.banks["sample"].set(LinkState.REFUSE)
    await site.erp.publish(site.orders(asked.rows), FILL_PER_SECOND)
    if not await site.until(lambda: len(site.accepted) >= asked.rows, 60 + asked.rows / 50, 0.5):
        return f"only {len(site.accepted)} of {asked.rows} orders were taken in", False
    await site.wait(2.0)
    port, ledger = node.site.state / "watch.port", site.grounds.site.ledger("sample")
    before = len(read_executions(ledger))
    node.child.kill()
    port.unlink()
    node.banks["sample"].set(LinkState.FAIR)
    began_s = site.clock.monotonic_s()
    node.start()
    ready_s = first_s = 0.0
    while (lasted_s := site.clock.monotonic_s() - began_s) < 60 and not (ready_s and first_s):
        if not ready_s and await site.thread(lambda: _ready(port)):
            ready_s = lasted_s
        if not first_s and len(read_executions(ledger)) > before:
            first_s = lasted_s
        await site.wait(0.02)
    said = (
        f"{asked.rows} open orders, SIGKILL: ready after {ready_s:.1f} s (limit {READY_S:g}), "
        f"first send after {first_s:.1f} s (limit {FIRST_S:g})"
    )
    return said, 0 < ready_s <= READY_S and 0 < first_s <= FIRST_S


def _ready(port: Path) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port.read_text('ascii').strip()}/readyz", timeout=2) as page:
            return bool(page.status == 200)
    except (OSError, URLError, ValueError):
        return False


async def failover(site: Rehearsal, asked: argparse.Namespace) -> Said:
    """Measure criterion G19: the time until another daemon sends."""
    streaming = site.stream(90, 20)
    await site.wait(5.0)
    owner = str(await site.thread(lambda: _asked(site, "SELECT owner FROM lanes WHERE lane = 'sample.main'")))
    (dead,) = [node for node in site.grounds.nodes if node.name == owner]
    dead.child.kill()
    died_ms, died_s = site.clock.now_ms(), site.clock.monotonic_s()
    ledger = site.grounds.site.ledger("sample")

    def sent() -> list[int]:
        return [one.at_ms for one in read_executions(ledger) if one.at_ms > died_ms + 1_000]

    await site.until(lambda: bool(sent()), 80.0, 0.1)
    took_s = (sent()[0] - died_ms) / 1000 if sent() else float("inf")
    query = f"SELECT count(*) FROM audit WHERE entry = 'payment.taken_over' AND at_ms > {died_ms}"
    doubt_s = None
    while doubt_s is None and site.clock.monotonic_s() - died_s < 50:
        if await site.thread(lambda: _asked(site, query)):
            doubt_s = site.clock.monotonic_s() - died_s
        await site.wait(0.2)
    streaming.addErrback(lambda _gone: None)
    streaming.cancel()
    asks = "it was sending nothing" if doubt_s is None else f"asked about what it was sending after {doubt_s:.1f} s"
    return f"owner killed: another node sends after {took_s:.1f} s (limit {FAILOVER_S:g}); {asks}", took_s <= FAILOVER_S


def _asked(site: Rehearsal, query: str) -> Any:
    with site.grounds.journal.connection() as conn:
        return conn.execute(text(query)).scalar()


async def outage(site: Rehearsal, asked: argparse.Namespace) -> Said:
    """Measure criterion G20: the time to the full rate after an outage."""
    per_second, said, holds = 20.0, [], True
    for role in asked.roles.split(","):
        streaming = site.stream(asked.seconds + 30, per_second)
        began_s = site.clock.monotonic_s()
        await site.wait(10.0)
        usual = min(site.rate(began_s + 4, began_s + 10), per_second)
        roads = [proxy for node in site.grounds.nodes for proxy in node.roads(role)]
        for proxy in roads:
            proxy.set(LinkState.REFUSE)
        await site.wait(asked.seconds)
        for proxy in roads:
            proxy.set(LinkState.FAIR)
        back_s = site.clock.monotonic_s()
        now = site.clock.monotonic_s
        await site.until(lambda: now() > back_s + 1 and site.rate(now() - 1, now()) >= FULL * usual, 60.0)  # noqa: B023
        took_s = now() - back_s
        await streaming
        # The next measurement begins with nothing left of this one.
        await site.until(lambda: len(site.settled) >= len(site.accepted), 60.0)
        holds = holds and took_s <= BACK_S and usual >= FULL * per_second
        said.append(f"{role} {took_s:.1f} s after {usual:.0f}/s")
    return f"out of reach for {asked.seconds:g} s, full rate again: {', '.join(said)} (limit {BACK_S:g} s)", holds


async def bulkhead(site: Rehearsal, asked: argparse.Namespace) -> Said:
    """Measure criterion G21: how much a dead bank delays the others. Each phase with a dead bank is compared with the
    phase before, and the median of the pairs counts, because a busy machine then disturbs both alike."""
    pairs = []
    for pair in range(PAIRS):
        fine, dead = [
            await _waits(site, asked.seconds, state)
            for state in (LinkState.FAIR, (LinkState.REFUSE, LinkState.HOLE)[pair % 2])
        ]
        pairs.append((fine, dead))
        print(f"bulkhead: p99 {fine * 1000:.0f} ms, with a dead bank {dead * 1000:.0f} ms", file=sys.stderr, flush=True)
    ratio = median(dead / fine for fine, dead in pairs)
    said = (
        f"one bank dead: p99 of another bank's payments {(ratio - 1) * 100:+.1f} % "
        f"(limit +{(SHARE - 1) * 100:.0f} %), the median of {PAIRS} pairs of phases of {asked.seconds:g} s, from "
        f"{median(fine for fine, _ in pairs) * 1000:.0f} ms"
    )
    return said, ratio <= SHARE


async def _waits(site: Rehearsal, seconds: float, state: LinkState) -> float:
    """The 99th percentile of the seconds from accepted to settled at the healthy bank, while the other bank is in
    `state`."""
    seen = set(site.settled)
    for node in site.grounds.nodes:
        node.banks["pab"].set(state)
    await site.wait(3.0)
    if state is LinkState.FAIR:
        # Payments that had waited for the dead bank belong to no phase.
        await site.until(lambda: len(site.settled) >= len(site.accepted), 90.0)
    await site.stream(seconds, 20)
    await site.until(
        lambda: all(order in site.settled for order in site.accepted if site.bank(order) == "sample"), 30.0
    )
    took = sorted(
        site.settled[order] - site.accepted[order]
        for order in site.settled.keys() - seen
        if site.bank(order) == "sample" and order in site.accepted
    )
    return took[int(len(took) * 0.99)]


WHAT: dict[str, Callable[[Rehearsal, argparse.Namespace], Awaitable[Said]]] = {
    "recovery": recovery,
    "failover": failover,
    "outage": outage,
    "bulkhead": bulkhead,
}


def main(words: list[str]) -> int:
    """Run one measurement; returns the exit code."""
    from twisted.internet import reactor

    # Accept ROWS=100000, as for make, besides --rows 100000.
    words = [part for word in words for part in (f"--{word.lower()}".split("=") if word[:1].isupper() else [word])]
    parser = argparse.ArgumentParser(prog="python -m faults.measure", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=tuple(WHAT))
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long an outage or a phase lasts")
    parser.add_argument("--roles", default="banks,broker,database", help="what is out of reach in an outage")
    parser.add_argument("--keep", help="a folder for logs and settings, instead of a temporary one")
    parser.add_argument("--db", choices=("sqlite", "postgresql", "mariadb"), help="default: what the figure needs")
    asked = parser.parse_args(words)
    db = asked.db or ("postgresql" if asked.what in ("failover", "outage") else "sqlite")
    orders = {
        "recovery": asked.rows + 10,
        "failover": 2_000,
        "outage": round(3 * 20 * (asked.seconds + 30)) + 200,
        "bulkhead": round(2 * PAIRS * 20 * asked.seconds) + 200,
    }[asked.what]
    with ExitStack() as stack:
        kept = Path(asked.keep) if asked.keep else None
        folder = kept or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bankgw-measure-")))
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            rabbit = own_rabbit(stack, folder)
            journal = journal_of(stack, db, own=True)
        except (BrokerTrouble, ServiceMissing) as problem:
            print(f"{asked.what}: {problem}", file=sys.stderr)
            return UNAVAILABLE
        site = Rehearsal(
            reactor,
            SystemClock(reactor),
            folder / "site",
            rabbit.facts,
            journal,
            orders=orders,
            nodes=2 if asked.what == "failover" else 1,
            banks=("sample", "pab") if asked.what == "bulkhead" else ("sample",),
        )
        stack.callback(lambda: processes.stop_all(site.grounds.children(), 10.0))
        return _run(reactor, site, asked)


def _run(reactor: Any, site: Rehearsal, asked: argparse.Namespace) -> int:
    codes: list[int] = []

    async def play() -> None:
        try:
            await site.open()
            said, holds = await WHAT[asked.what](site, asked)
        except (NotStarted, BrokerTrouble) as problem:
            said, holds = str(problem), False
        print(f"{asked.what}: {said}", flush=True)
        codes.append(HELD if holds else _MISSED)
        await site.close()

    def begin() -> None:
        playing = Deferred.fromCoroutine(play())
        playing.addErrback(lambda failure: print(failure.getTraceback(), file=sys.stderr))
        playing.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    return codes[0] if codes else _MISSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
