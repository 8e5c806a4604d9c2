"""`make bench FULL=1`: the daemon's cost with other databases, shards, many rows, many banks and waiting orders.

Each row is a site of its own with the stub bank, bounded in time, and prints one line as it ends. Ratios are of
figures of one row, taken minutes apart at most. Ends with 1 if a gate of a row is not held; a target that is not
reached is told.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from sqlalchemy import make_url

from bench import busy
from bench.fill import fill
from bench.row import Row, verdict
from bench.site import CHECKOUT, Bench, own_facts, plans, start_broker, stop_broker
from bench.usage import cpu_us, rss_bytes
from faults.site import ENDING, Journal
from gateway.demo.processes import NotStarted, stop_all
from gateway.demo.site import BankPlan

MB: Final = 1_000_000
WARM_UP: Final = 300
DATABASES: Final = CHECKOUT / ".run" / "databases.json"


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of the rows. `rounds` of `payments` each make one figure, the median."""

    payments: int
    rounds: int
    settled: int
    still_open: int
    banks: int
    waiting: int
    soak_s: int


SIZES: Final = {
    "small": Sizes(300, 1, 20_000, 2_000, 10, 2_000, 40),
    "normal": Sizes(2_000, 3, 1_000_000, 100_000, 50, 50_000, 240),
    "long": Sizes(3_000, 5, 1_000_000, 100_000, 50, 50_000, 480),
}
"""`normal` takes some 20 minutes on two idle cores, most of it in `rows`, `waiting` and `soak`."""


@contextmanager
def ground(accounts: int = 2, copies: int = 0, journal: Journal | None = None) -> Iterator[Bench]:
    """Set up `sample` with the stub bank and an ERP, without starting a daemon. Everything ends with the context."""
    first = plans()[0]
    plan = BankPlan("sample", accounts=accounts, cheap=True, options=first.options, twin_options=first.twin_options)
    with tempfile.TemporaryDirectory(prefix="bankgw-bench-") as folder, own_facts(Path(folder)) as facts:
        made = Path(folder)
        table = None if journal is None else journal_table(journal, made)
        bench = Bench(made, facts, (plan,), table, copies)
        try:
            bench.start_simulators()
            bench.start_stub()
            bench.clear()
            yield bench
        finally:
            bench.stop_erp()
            stop_all(list(bench.children.values()), 30)


def journal_table(journal: Journal, folder: Path) -> dict[str, Any]:
    """The settings' table for that journal, with the password in a file."""
    host, port = journal.address
    return journal.settings(folder / "secrets", host, port)


@contextmanager
def server(kind: str) -> Iterator[Journal | None]:
    """A database of this kind for one row; None if this machine has no such server."""
    known = json.loads(DATABASES.read_text("utf-8")) if DATABASES.exists() else {}
    if not known.get(kind):
        yield None
        return
    url = make_url(known[kind])
    journal = Journal(url.set(database=f"{url.database}{ENDING}_bench").render_as_string(hide_password=False))
    journal.drop()
    journal.make()
    try:
        yield journal
    finally:
        journal.drop()


def begin(bench: Bench) -> None:
    """Start daemon and ERP, and run some payments to warm both up."""
    bench.start_daemon()
    bench.start_erp()
    bench.play("sample", "daemon", WARM_UP)


def measured(bench: Bench, sizes: Sizes) -> tuple[float, float]:
    """CPU a payment in microseconds and payments a second: medians of the rounds."""
    rounds = [bench.play("sample", "daemon", sizes.payments) for _ in range(sizes.rounds)]
    return median(one.cpu_each_us("daemon") for one in rounds), median(one.per_second for one in rounds)


def databases(sizes: Sizes) -> Iterator[Row]:
    """Measure the daemon's CPU with each kind of database, without the CPU of the database's own server."""
    for kind in ("sqlite", "postgresql", "mariadb"):
        with server(kind) as journal:
            if journal is None and kind != "sqlite":
                yield Row(f"database {kind}", "left out: `make databases` has none here")
                continue
            with ground(journal=journal) as bench:
                begin(bench)
                each_us, per_second = measured(bench, sizes)
                yield Row(f"database {kind}", f"{each_us:.0f} us a payment, {per_second:.0f} payments/s")


def shards(sizes: Sizes) -> Iterator[Row]:
    """Measure two lanes over one PostgreSQL: in one process, then in two."""
    with server("postgresql") as journal:
        if journal is None:
            yield Row("shards", "left out: `make databases` has no PostgreSQL here")
            return
        with ground(copies=1, journal=journal) as bench:
            begin(bench)
            _, alone = measured(bench, sizes)
            bench.stop("daemon")
            bench.watch_folder = bench.site.state / "shard-1"
            bench.start_again("daemon", shard="1/2")
            bench.start_again("shard 2", shard="2/2")
            bench.play("sample", "daemon", WARM_UP)
            busy_us = busy.machine_us()
            _, together = measured(bench, sizes)
            idle = busy.idle_share(busy_us)
            ratio = together / alone
            yield Row(
                "shards",
                f"one process {alone:.0f} payments/s, two {together:.0f}: {ratio:.2f} x, cores idle "
                f"{idle:.0%} meanwhile",
                target=None if ratio >= 1.3 else "two processes carry 1.3 x as many",
            )


def rows(sizes: Sizes) -> Iterator[Row]:
    """Compare a journal after an hour with one after years: CPU a payment, bytes a payment, the start, memory."""
    with ground() as bench:
        file = bench.site.state / "journal.db"
        bench.start_daemon()
        bench.stop("daemon")
        empty_bytes = file.stat().st_size
        bench.start_again("daemon")
        bench.start_erp()
        bench.play("sample", "daemon", WARM_UP)
        young_us, _ = measured(bench, sizes)
        bench.stop("daemon")
        payments = WARM_UP + sizes.rounds * sizes.payments
        each_bytes = (file.stat().st_size - empty_bytes) / payments
        yield Row(
            "disk",
            f"{each_bytes:.0f} bytes of journal a settled payment",
            gate=None if each_bytes <= 11_000 else "at most 11,000 bytes",
            target=None if each_bytes <= 5_000 else "5,000 bytes",
        )
        fill(file, sizes.settled, sizes.still_open, time.time_ns() // MB)
        began_s = time.monotonic()
        bench.start_again("daemon")
        start_s = time.monotonic() - began_s
        pid = bench.children["daemon"].pid
        assert pid is not None
        yield Row(
            "start",
            f"{start_s:.1f} s with {sizes.settled:,} settled and {sizes.still_open:,} open payments, "
            f"{rss_bytes(pid) / MB:.0f} MB",
            gate=None if start_s <= 5 else "at most 5 s",
        )
        bench.play("sample", "daemon", WARM_UP)
        old_us, _ = measured(bench, sizes)
        yield growth("rows", (young_us, old_us), f"{payments:,} payments", f"{sizes.settled:,}", 1.05, 1.25)


def banks(sizes: Sizes) -> Iterator[Row]:
    """Compare one bank alone with one bank among many idle connected ones."""
    figures: list[float] = []
    alone_ms = 0.0
    for copies in (0, sizes.banks - 1):
        with ground(accounts=2 + copies, copies=copies) as bench:
            begin(bench)
            figures.append(measured(bench, sizes)[0])
            pid = bench.children["daemon"].pid
            assert pid is not None
            before_us, idle_s = cpu_us(pid), 10.0
            time.sleep(idle_s)
            idle_ms = (cpu_us(pid) - before_us) / 1000 / idle_s
            if copies:
                lane_ms = (idle_ms - alone_ms) / copies
                yield Row(
                    "idle lanes",
                    f"{lane_ms:.2f} ms of CPU a second for an idle lane with one session",
                    gate=None if lane_ms <= 0.5 else "at most 0.5 ms",
                )
            alone_ms = idle_ms
    yield growth("banks", figures, "1 bank", str(sizes.banks), 1.05, 1.25)


def waiting(sizes: Sizes) -> Iterator[Row]:
    """Measure orders that wait for their lane: the cost of taking each in, and of sending one while the others wait."""
    figures: list[float] = []
    few = max(sizes.payments, WARM_UP)
    for count in (2 * few, sizes.waiting):
        with ground() as bench:
            begin(bench)
            steer(bench, "pause")
            taken = bench.play("sample", "daemon", count, until_accepted=True, patience_s=600.0)
            steer(bench, "resume")
            figures.append(taken.cpu_each_us("daemon") + sending_us(bench, few))
    yield growth("waiting", figures, f"{2 * few:,} orders waiting", f"{sizes.waiting:,}", 1.10, 1.50)


def steer(bench: Bench, verb: str) -> None:
    """Pause or resume the lane as an operator does. Raises NotStarted if that was refused."""
    command = (
        sys.executable,
        "-m",
        "gateway",
        "lanes",
        verb,
        "sample.main",
        "--reason",
        "bench",
        "--config",
        str(bench.site.settings),
    )
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    if done.returncode:
        raise NotStarted(f"lanes {verb}: {done.stdout}{done.stderr}")


def sending_us(bench: Bench, count: int) -> float:
    """The daemon's CPU for sending one of the orders that wait, over the next `count` of them."""
    pid = bench.children["daemon"].pid
    assert pid is not None
    settled = first = busy.settled(bench.metrics())
    spent_us, until_s = cpu_us(pid), time.monotonic() + 120
    while settled < first + count:
        if time.monotonic() > until_s:
            raise NotStarted(f"{settled - first:.0f} of {count} waiting orders were sent in two minutes")
        time.sleep(0.5)
        settled = busy.settled(bench.metrics())
    return (cpu_us(pid) - spent_us) / (settled - first)


def soak(sizes: Sizes) -> Iterator[Row]:
    """Run half of the machine's capacity for minutes, and check that CPU and memory stay constant."""
    with ground() as bench:
        begin(bench)
        rate = bench.play("sample", "daemon", sizes.payments).per_second / 2
        pid = bench.children["daemon"].pid
        assert pid is not None
        costs, sizes_bytes, began_s, piece_s = [], [], time.monotonic(), 20.0
        while time.monotonic() < began_s + sizes.soak_s:
            one = bench.play("sample", "daemon", max(int(rate * piece_s), 20), per_second=rate)
            costs.append(one.cpu_each_us("daemon"))
            sizes_bytes.append(rss_bytes(pid))
        third = max(len(costs) // 3, 1)
        drift = median(costs[-third:]) / median(costs[:third]) - 1
        hours = (time.monotonic() - began_s) / 3600
        grows = (median(sizes_bytes[-third:]) / median(sizes_bytes[:third]) - 1) / (hours * 2 / 3)
        last_mb = sizes_bytes[-1] / MB
        yield Row(
            "soak",
            f"{hours * 60:.0f} min at {rate:.0f} payments/s: {median(costs):.0f} us a payment, first to "
            f"last third {drift:+.1%}; {last_mb:.0f} MB, {grows:+.0%} an hour",
            gate=None if drift <= 0.15 and last_mb < 150 else "CPU within 15 %, under 150 MB",
            target=None if drift <= 0.05 and last_mb <= 130 else "CPU within 5 %, 130 MB",
        )


def growth(name: str, each_us: Sequence[float], small: str, large: str, target: float, gate: float) -> Row:
    """A row that compares CPU a payment at two sizes."""
    small_us, large_us = each_us
    ratio = large_us / small_us
    return Row(
        name,
        f"{small_us:.0f} us a payment with {small}, {large_us:.0f} with {large}: {ratio - 1:+.1%}",
        gate=None if ratio <= gate else f"at most {gate - 1:+.0%}",
        target=None if ratio <= target else f"at most {target - 1:+.0%}",
    )


def turns(sizes: Sizes) -> Iterator[Row]:
    """Measure the longest turns of the event loop at full load with all other work at the same time."""
    with tempfile.TemporaryDirectory(prefix="bankgw-bench-") as folder, own_facts(Path(folder)) as facts:
        bench = Bench(Path(folder), facts, plans()[:1])
        try:
            bench.start_simulators()
            bench.clear()
            bench.start_daemon("bench.turns")
            bench.start_erp()
            bench.play("sample", "daemon", WARM_UP)
            for phase, worst in busy.phases(bench, sizes.payments):
                long = worst.above(50)
                yield Row(
                    f"turns, {phase}",
                    f"longest {worst.longest_cpu_ms[0]:.0f} ms of CPU "
                    f"({worst.longest_wall_ms[0]:.0f} ms by the wall), {long} above 50 ms of {sum(worst.cpu):,}",
                    target=None if not long else "no turn above 50 ms of CPU",
                    gate=None if not worst.above(200) else "no turn above 200 ms of CPU",
                )
        finally:
            bench.stop_erp()
            stop_all(list(bench.children.values()), 30)


ROWS: Final[dict[str, Callable[[Sizes], Iterator[Row]]]] = {
    one.__name__: one for one in (databases, shards, rows, banks, waiting, turns, soak)
}


def main(words: list[str]) -> int:
    """Run the requested measurements; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.full", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default=",".join(ROWS), help="rows with commas between: " + ", ".join(ROWS))
    parser.add_argument("--size", default="normal", choices=tuple(SIZES))
    asked = parser.parse_args(words)
    if unknown := set(asked.only.split(",")) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    found: list[Row] = []
    try:
        start_broker()
        for name in asked.only.split(","):
            began_s = time.monotonic()
            try:
                for row in ROWS[name](SIZES[asked.size]):
                    found.append(row)
                    print(row.line, flush=True)
            except NotStarted as problem:
                found.append(Row(name, f"failed: {problem}", gate="it can be measured"))
                print(found[-1].line, flush=True)
            print(f"  ({name}: {time.monotonic() - began_s:.0f} s)", flush=True)
    except NotStarted as problem:
        print(f"bench full: failed: {problem}")
        return 1
    finally:
        stop_broker()
    print(verdict(found))
    return int(any(row.gate for row in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
