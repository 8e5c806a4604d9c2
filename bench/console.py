"""`python -m bench.console`: users of the console beside a daemon at half of its load.

Rounds without and with users follow each other, so that what else the machine does touches both alike. A page's time
counts from the moment it was due: whoever waits for the page before it makes the next one late. Ends with one line, and
with 1 if the pages are slower than PAGES_MOST_MS, or the daemon's figures differ by more than DAEMON_MOST.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import secrets
import socket
import sys
import threading
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle
from statistics import median
from typing import Final

from bench.figures import Round, percentile
from bench.site import CHECKOUT, Bench, on_a_bench
from gateway.control.offline import journal_writer
from gateway.demo import site
from gateway.demo.processes import gateway_command, stop_all
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import vault
from gateway.people.rows import persons
from gateway.people.rules import grants, web_tokens
from gateway.people.rules.web_tokens import WebPage, WebSession
from gateway.settings import Settings, load

PAGES_MOST_MS: Final = 150.0
DAEMON_MOST: Final = 1.05
HALF: Final = 0.5
WARM_UP: Final = 400
PAGES: Final = (
    "/",
    "/payments",
    "/approvals",
    "/payments?state=held",
    "/positions",
    "/reports/payments",
    "/search?q=AP-1",
    "/reports/balances",
    "/reconciliation",
)
_FIRST_UID: Final = 60_000


@dataclass(frozen=True, slots=True)
class PageTime:
    """One request of a page: the delay of the answer after the request was due, and the answer's status."""

    path: str
    ms: float
    status: int


@dataclass(slots=True)
class Users:
    """Persons at the console, each with a session and a connection of their own, who request pages in turn."""

    port: int
    tokens: Sequence[str]
    per_second: float
    times: list[PageTime] = field(default_factory=list)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Let the persons request pages while the `with` block runs."""
        stop, began_s = threading.Event(), time.monotonic() + 0.2
        threads = [
            threading.Thread(target=self._look, args=(number, began_s, stop), daemon=True)
            for number in range(len(self.tokens))
        ]
        for one in threads:
            one.start()
        try:
            yield
        finally:
            stop.set()
            for one in threads:
                one.join(30)

    def _look(self, number: int, began_s: float, stop: threading.Event) -> None:
        every_s, token = len(self.tokens) / self.per_second, self.tokens[number]
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        # The users look at different pages at any time.
        paths = cycle(PAGES[number % len(PAGES) :] + PAGES[: number % len(PAGES)])
        due_s = began_s + number / self.per_second
        for path in paths:
            if stop.wait(max(due_s - time.monotonic(), 0.0)):
                break
            cookie = f"__Host-session={token}; __Host-visit=bench"
            headers = {"Host": f"console.localhost:{self.port}", "Cookie": cookie}
            line.request("GET", path, headers=headers)
            answer = line.getresponse()
            answer.read()
            self.times.append(PageTime(path, (time.monotonic() - due_s) * 1000, answer.status))
            token = _renewed(answer, token)
            due_s += every_s
        line.close()


def _renewed(answer: http.client.HTTPResponse, token: str) -> str:
    for name, value in answer.getheaders():
        if name.lower() == "set-cookie" and value.startswith("__Host-session="):
            return value.partition("=")[2].partition(";")[0].strip('"') or token
    return token


def let_in(settings: Settings, users: int) -> list[str]:
    """Enrol `users` persons who may see everything; returns a session of each. No daemon may run."""
    key = vault.load(settings.journal.vault_key.path())
    roles = grants.parse("viewer@*;approver@*")

    def enrol(tx: Tx) -> None:
        for number in range(users):
            made = persons.enrol(tx, f"user{number}", _FIRST_UID + number, secrets.token_bytes(32), "bench")
            assert isinstance(made, persons.Person), made
            persons.change(tx, replace(made, enrolled=True, grants=roles), "person.confirmed", "bench", {})

    journal_writer.commit_offline(settings, settings.journal_url(), key, enrol)
    now_ms = time.time_ns() // 1_000_000
    return [
        web_tokens.encode(
            WebSession(f"user{number}", WebPage.CONSOLE, "password", now_ms, now_ms, secrets.token_hex(16)), key.mac
        )
        for number in range(users)
    ]


def open_console(bench: Bench, users: int) -> tuple[int, list[str]]:
    """Start a console beside the daemon; returns its port and the persons' sessions."""
    bench.stop("daemon")
    port, approval = _free_port(), _free_port()
    tables = tomllib.loads(bench.site.settings.read_text("utf-8"))
    tables["web"] = {
        "console_origin": f"http://console.localhost:{port}",
        "approval_origin": f"http://approve.localhost:{approval}",
    }
    bench.site.settings.write_text(site.toml(tables), "utf-8")
    settings = load(bench.site.settings)
    tokens = let_in(settings, users)
    bench.start_again("daemon")
    python, _m, package, *_run = gateway_command(bench.site.settings)
    begun = (python, "-m", package)
    query = (*begun, "query", "--config", str(bench.site.settings))
    bench.start_beside("query", _behind("query", query), settings.query_socket().exists)
    words = (
        "console",
        "--daemon-socket",
        str(settings.web_socket()),
        "--query-socket",
        str(settings.query_socket()),
        "--port",
        str(port),
    )
    bench.start_beside("console", _behind("console", (*begun, *words)), lambda: _listens(port))
    return port, tokens


def niceness(name: str) -> int:
    """The nice value of this process compared with the daemon, from its shipped unit."""
    unit = (CHECKOUT / "systemd" / f"bankgw-{name}.service").read_text("utf-8")
    (found,) = re.findall(r"^Nice=(\d+)$", unit, re.MULTILINE)
    return int(found)


def _behind(name: str, command: Sequence[str]) -> tuple[str, ...]:
    """The command with the nice value of its systemd unit."""
    return ("nice", "-n", str(niceness(name)), *command)


def _free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True, slots=True)
class DaemonFigures:
    """The cost and latency of payments; medians of the rounds."""

    cpu_us: float
    p50_ms: float
    p99_ms: float

    @staticmethod
    def of(rounds: Sequence[Round]) -> DaemonFigures:
        """The figures of rounds of one kind, as medians."""
        waits = [[(one.settled_s - one.published_s) * 1000 for one in each.times] for each in rounds]
        return DaemonFigures(
            median(each.cpu_each_us("daemon") for each in rounds),
            median(percentile(one, 0.5) for one in waits),
            median(percentile(one, 0.99) for one in waits),
        )

    def line(self, name: str) -> str:
        """A row of the table."""
        waits = f"p50 {self.p50_ms:7.1f} ms   p99 {self.p99_ms:7.1f} ms"
        return f"daemon, {name:13} {self.cpu_us:7.0f} us a payment   {waits}"


def measure(bench: Bench, users: Users, rounds: int, seconds: float) -> tuple[DaemonFigures, DaemonFigures]:
    """Play rounds at half load, without and with persons at the console in turn."""
    full = [bench.play("sample", "daemon", WARM_UP) for _ in range(2)][-1]
    rate = HALF * full.per_second
    count = max(int(rate * seconds), 50)
    print(f"full load {full.per_second:.0f} payments a second; rounds of {count} at {rate:.0f}", flush=True)
    alone, beside = list[Round](), list[Round]()
    for _ in range(rounds):
        alone.append(bench.play("sample", "daemon", count, per_second=rate))
        with users.busy():
            beside.append(bench.play("sample", "daemon", count, per_second=rate))
    return DaemonFigures.of(alone), DaemonFigures.of(beside)


def main() -> int:
    """Run the measurement; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__.split("\n")[0])
    parser.add_argument("--users", type=int, default=20, help="people at the console")
    parser.add_argument("--rate", type=float, default=5.0, help="pages a second, of all users together")
    parser.add_argument("--rounds", type=int, default=3, help="rounds without and with users")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a round")
    asked = parser.parse_args()
    return on_a_bench("bench.console", partial(_run, asked=asked))


def _run(bench: Bench, asked: argparse.Namespace) -> int:
    try:
        bench.start_simulators()
        bench.clear()
        bench.start_daemon()
        port, tokens = open_console(bench, asked.users)
        bench.start_erp()
        users = Users(port, tokens, asked.rate)
        alone, beside = measure(bench, users, asked.rounds, asked.seconds)
    finally:
        bench.stop_erp()
        stop_all(list(bench.children.values()), 20)
    print(alone.line("no users"))
    print(beside.line(f"{asked.users} users"))
    for path in PAGES:
        took = [one.ms for one in users.times if one.path == path]
        if took:
            middle, most = percentile(took, 0.5), percentile(took, 0.95)
            print(f"{path:24} {len(took):4}   p50 {middle:7.1f} ms   p95 {most:7.1f} ms")
    return _verdict(users, alone, beside)


def _verdict(users: Users, alone: DaemonFigures, beside: DaemonFigures) -> int:
    took = [one.ms for one in users.times]
    wrong = sorted({one.status for one in users.times} - {200})
    p50, p95, p99 = (percentile(took, share) for share in (0.5, 0.95, 0.99))
    cpu, wait = beside.cpu_us / alone.cpu_us, beside.p50_ms / alone.p50_ms
    holds = bool(took) and not wrong and p95 <= PAGES_MOST_MS and cpu <= DAEMON_MOST and wait <= DAEMON_MOST
    print(
        f"bench.console: {'ok' if holds else 'NOT REACHED'}: {len(took)} pages of {len(users.tokens)} users at "
        f"{users.per_second:g}/s: p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} ms (most {PAGES_MOST_MS:.0f}); daemon "
        f"beside them: CPU a payment x {cpu:.3f}, p50 x {wait:.3f} (most {DAEMON_MOST})"
        f"; load of the machine {os.getloadavg()[0]:.1f}{f'; statuses {wrong}' if wrong else ''}"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
