"""`python -m bench.console_pages`: the cost of one page of the console, over a journal that holds payments already.

Console and query process run as they are shipped; the daemon runs without broker and banks, which pages do not need.
Processor time is the kernel's, of each process over `--laps` rounds of a page, so other programs disturb it little.
Ends with one line: the dearest page, and its cost.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from sqlalchemy import insert

from bench.console import PAGES, let_in
from bench.orders import order
from bench.site import Bench
from bench.usage import cpu_us
from gateway.control.offline import journal_writer
from gateway.demo import site
from gateway.demo.processes import NotStarted, gateway_command, stop_all
from gateway.kernel.clock import SystemEntropy
from gateway.kernel.commit import payment_rows
from gateway.kernel.commit.rows import PaymentRow, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Life, Rules
from gateway.kernel.sql import schema, vault
from gateway.settings import Settings, load
from protocols.canon.outcome import State
from protocols.erp import commands
from protocols.erp.fingerprint import fingerprint
from protocols.erp.words import CommandType, SubmitOrder

START_S: Final = 60.0
CHUNK: Final = 2_000
DAY_MS: Final = 86_400_000
PORT: Final = 9_470
NOBODY: Final = {
    "host": "127.0.0.1",
    "port": 9,
    "vhost": "none",
    "users": {"bankgw": {"user": "none", "password": "none"}, "erp-demo": {"user": "none", "password": "none"}},
}
_LANE, _RULES = "sample.main", Rules()
_IN_DOUBT_EVERY, _HELD_EVERY = 5_000, 2_000


@dataclass(frozen=True, slots=True)
class PageCost:
    """One page: its size, its time, and its processor time by process."""

    path: str
    bytes: int
    p50_ms: float
    cpu_ms: dict[str, float]

    @property
    def line(self) -> str:
        """A row of the table."""
        spent = "   ".join(f"{name} {used:6.1f}" for name, used in self.cpu_ms.items())
        total = sum(self.cpu_ms.values())
        return f"{self.path:24} {self.bytes:8} bytes   p50 {self.p50_ms:7.1f} ms   CPU ms: {spent}   all {total:6.1f}"


def fill(settings: Settings, payments: int, days: int) -> None:
    """Fill the journal with payments of the last `days` days, nearly all settled, each sealed as the daemon seals
    it."""
    key, entropy = vault.load(settings.journal.vault_key.path()), SystemEntropy()
    accounts, now_ms = site.account_numbers("sample", 2), time.time_ns() // 1_000_000

    def row(tx: Tx, number: int) -> dict[str, Any]:
        read = commands.parse_command(CommandType.PAYMENT_SUBMIT, "application/json", order("FILLED", number, accounts))
        assert isinstance(read, SubmitOrder), read
        at_ms = now_ms - (payments - number) * days * DAY_MS // payments
        state = State.SETTLED
        if number % _IN_DOUBT_EVERY == 7:
            state = State.IN_DOUBT
        elif number % _HELD_EVERY == 9:
            state = State.HELD
        made = PaymentRow(
            entropy.ulid(at_ms),
            "jia",
            "erp",
            "sample",
            _LANE,
            read.order,
            fingerprint(read.order),
            Life(state, rules=_RULES),
            1,
            1,
            f"F{number:019d}",
            Reply(None, None),
            at_ms,
            at_ms,
        )
        blind = {
            "dup_key": None,
            "debtor_idx": tx.vault.blind(made.order.ours.account.clear),
            "creditor_idx": tx.vault.blind(made.order.theirs.account.clear),
        }
        return payment_rows.columns(made, blind, tx.vault)

    def chunk(tx: Tx, first: int) -> None:
        tx.raw.execute(insert(schema.payments), [row(tx, n) for n in range(first, min(first + CHUNK, payments))])

    for first in range(0, payments, CHUNK):
        journal_writer.commit_offline(settings, settings.journal_url(), key, partial(chunk, first=first))


def prepare(folder: Path, payments: int, days: int) -> tuple[Bench, Settings, str]:
    """Make a filled journal and a person who may see everything; returns the person's session."""
    facts = folder / "nobody.json"
    facts.write_text(json.dumps(NOBODY), "utf-8")
    bench = Bench(folder / "site", facts)
    bench.start_simulators()
    site.configure(bench.site, NOBODY, {"erp": {"users": ["none"], "operations": ["payment.submit"]}})
    stop_all(list(bench.children.values()), 20)
    bench.children.clear()
    tables = tomllib.loads(bench.site.settings.read_text("utf-8"))
    tables["web"] = {
        "console_origin": f"http://console.localhost:{PORT}",
        "approval_origin": f"http://approve.localhost:{PORT + 1}",
    }
    bench.site.settings.write_text(site.toml(tables), "utf-8")
    bench.site.state.mkdir(mode=0o700)
    settings = load(bench.site.settings)
    (token,) = let_in(settings, 1)
    fill(settings, payments, days)
    return bench, settings, token


def start(bench: Bench, settings: Settings) -> None:
    """Start daemon, query process and console, and wait until each listens."""
    python, _m, package, *run = gateway_command(bench.site.settings)
    words = (
        "console",
        "--daemon-socket",
        str(settings.web_socket()),
        "--query-socket",
        str(settings.query_socket()),
        "--port",
        str(PORT),
    )
    begun = (python, "-m", package)
    for name, command, ready in (
        ("daemon", (*begun, *run), settings.web_socket().exists),
        ("query", (*begun, "query", "--config", str(bench.site.settings)), settings.query_socket().exists),
        ("console", (*begun, *words), lambda: True),
    ):
        bench.start_beside(name, command, ready)


def page_cost(bench: Bench, token: str, path: str, laps: int, pause_s: float) -> PageCost:
    """Request one page again and again with pauses between, and measure its cost."""
    line = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    pids = {name: child.pid for name, child in bench.children.items() if child.pid is not None}
    headers = {"Host": f"console.localhost:{PORT}", "Cookie": f"__Host-session={token}; __Host-visit=bench"}

    def ask() -> tuple[float, int]:
        began_s = time.monotonic()
        line.request("GET", path, headers=headers)
        answer = line.getresponse()
        size = len(answer.read())
        if answer.status != 200:
            raise NotStarted(f"{path}: {answer.status}\n{bench.children['console'].tail()}")
        return (time.monotonic() - began_s) * 1000, size

    until_s = time.monotonic() + START_S
    while True:
        try:
            ask()
            break
        except ConnectionRefusedError:
            if time.monotonic() > until_s:
                raise NotStarted(f"the console did not come up:\n{bench.children['console'].tail()}") from None
            line.close()
            time.sleep(0.1)
    before = {name: cpu_us(pid) for name, pid in pids.items()}
    took, size = list[float](), 0
    for _ in range(laps):
        ms, size = ask()
        took.append(ms)
        time.sleep(pause_s)
    spent = {name: (cpu_us(pid) - before[name]) / laps / 1000 for name, pid in pids.items()}
    line.close()
    return PageCost(path, size, median(took), spent)


def main(given: Sequence[str] | None = None) -> int:
    """Run the measurement; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.console_pages", description=__doc__.split("\n")[0])
    parser.add_argument("--payments", type=int, default=50_000, help="payments in the journal")
    parser.add_argument("--days", type=int, default=60, help="days over which they were accepted")
    parser.add_argument("--laps", type=int, default=20, help="how often each page is asked for")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two pages")
    asked = parser.parse_args(given)
    with tempfile.TemporaryDirectory(prefix="bankgw-pages-") as folder:
        bench, settings, token = prepare(Path(folder), asked.payments, asked.days)
        try:
            start(bench, settings)
            costs = [page_cost(bench, token, path, asked.laps, asked.pause) for path in PAGES]
        except NotStarted as problem:
            print(f"bench.console_pages: failed: {problem}")
            return 1
        finally:
            stop_all(list(bench.children.values()), 20)
    for one in costs:
        print(one.line)
    dearest = max(costs, key=lambda one: sum(one.cpu_ms.values()))
    print(
        f"bench.console_pages: {asked.payments} payments; dearest page {dearest.path} with "
        f"{sum(dearest.cpu_ms.values()):.1f} ms of processor time"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
