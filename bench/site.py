"""The processes of the benchmark: two simulated banks, the daemon, the ERP and the script."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.erp import EVENTS_QUEUE, PATIENCE_S, SCRIPT_EVENTS_QUEUE, SCRIPT_KEY, SCRIPT_QUEUE, Burst
from bench.figures import Round, Times
from bench.straight import Job, clear
from bench.stub import StubJob, StubTimes, read_seen
from bench.usage import all_cpu_us, broker_pid
from gateway.demo import site
from gateway.demo.erp import BrokerTrouble
from gateway.demo.own_vhost import own_vhost
from gateway.demo.processes import Child, NotStarted, gateway_command, simulator_command
from gateway.erp.topology import COMMANDS, UNROUTED_NEWS
from gateway.kernel.deliveries import MONEY_QUEUE, QUERY_QUEUE
from gateway.kernel.sql import migrations
from gateway.settings import load
from gateway.simbank.pki import BankPki

START_S = 120.0
HEAR_S = 10.0
BURST_MOST_S = PATIENCE_S + HEAR_S
LOGIN = ("demo", "demo-password")
OPERATIONS = ("payment.submit", "batch.submit", "payment.cancel", "status.query", "balance.query", "transactions.query")
CHECKOUT = Path(__file__).resolve().parents[1]
BROKER_FOLDER = CHECKOUT / ".run" / "bench"
_METRIC = re.compile(r"^(bankgw_journal_units_total|bankgw_journal_commit_duration_seconds_count) (\S+)$", re.MULTILINE)


def facts_file() -> Path:
    """The file that describes the broker: $BANKGW_BROKER_JSON, or that of a node which only the benchmark uses."""
    return Path(os.environ.get("BANKGW_BROKER_JSON") or BROKER_FOLDER / "broker.json")


def start_broker() -> None:
    """Start a RabbitMQ for the benchmark alone, so that its CPU is that of these payments. Raises NotStarted.

    On a machine that is very busy a node may not come up in its 90 seconds; it gets a second chance.
    """
    if "BANKGW_BROKER_JSON" not in os.environ:
        try:
            _setup("setup.broker", "up")
        except NotStarted:
            _setup("setup.broker", "up")


def stop_broker() -> None:
    """Stop the benchmark's RabbitMQ; the next run starts it again."""
    if "BANKGW_BROKER_JSON" not in os.environ:
        _setup("setup.processes", "stop")


def on_a_bench(name: str, run: Callable[[Bench], int]) -> int:
    """Run `run` with a broker and a bench, and end both afterwards; returns the exit code, 1 if something does not
    start."""
    try:
        start_broker()
        with tempfile.TemporaryDirectory(prefix="bankgw-bench-") as folder, own_facts(Path(folder)) as facts:
            return run(Bench(Path(folder), facts))
    except NotStarted as problem:
        print(f"{name}: failed: {problem}")
        return 1
    finally:
        stop_broker()


@contextmanager
def own_facts(folder: Path) -> Iterator[Path]:
    """A file in `folder` that describes the broker with a virtual host of this bench's own. Raises NotStarted."""
    try:
        with own_vhost(json.loads(facts_file().read_text("utf-8")), "bench") as broker:
            site.describe(folder, broker)
            yield folder / "broker.json"
    except BrokerTrouble as problem:
        raise NotStarted(str(problem)) from problem


def _setup(module: str, word: str) -> None:
    env = {**os.environ, "BANKGW_RUN": str(BROKER_FOLDER), "BANKGW_PRIVATE": "1"}
    if subprocess.run((sys.executable, "-m", module, word), cwd=CHECKOUT, env=env).returncode:
        raise NotStarted(f"{module} {word} failed")


def plans(*, cheap: bool = True) -> tuple[site.BankPlan, ...]:
    """The settings of the two banks. `sample` in cheap mode does not verify requests; the gateway verifies its answers
    as usual."""
    pab = {
        "enterprise_code": site.ENTERPRISE_CODE,
        "window": 16,
        "per_second": 5000,
        "burst": 1000,
        "first_enquiry_s": 0.2,
    }
    return (
        site.BankPlan(
            "sample",
            cheap=cheap,
            options={"sessions": 16, "per_second": 5000.0},
            twin_options={"user": LOGIN[0], "password": LOGIN[1]},
        ),
        site.BankPlan("pab", cheap=cheap, options=pab, twin_options={"enterprise_code": site.ENTERPRISE_CODE}),
    )


class Bench:
    """The processes of a benchmark: it starts them, plays rounds and stops them."""

    def __init__(
        self,
        folder: Path,
        facts: Path,
        banks: tuple[site.BankPlan, ...] | None = None,
        journal: Mapping[str, Any] | None = None,
        copies: int = 0,
    ) -> None:
        """`journal`: its table of the settings, for a database other than SQLite. `copies`: see `_copy_bank`."""
        self.broker = json.loads(facts.read_text("utf-8"))
        self.site = site.prepare(folder, banks or plans())
        self.children: dict[str, Child] = {}
        self.stub_seen = folder / "stub-seen.json"
        self.ordered: dict[str, int] = {}
        self.watch_folder = self.site.state
        self._journal = journal
        self._copies = copies
        self._facts = facts
        self._erp: subprocess.Popen[bytes] | None = None
        self._ordered = 0
        self._token = uuid.uuid4().hex[:6]
        self._broker_pid = broker_pid(self.broker.get("control", {}).get("env", {}).get("HOME"))

    # ---- processes ----

    def start_simulators(self) -> None:
        """Start both simulated banks; returns when their ports are open."""
        for plan in self.site.plans:
            self._start(f"simulator {plan.bank}", simulator_command(self.site.simulator(plan.bank)))
        for plan in self.site.plans:
            self._wait(f"simulator {plan.bank}", self.site.ready_file(plan.bank).exists)

    def move_away(self, bank: str, seconds: float) -> None:
        """Start the simulated bank again, on the same ports, so that it answers only after `seconds`."""
        name = f"simulator {bank}"
        self.children.pop(name).stop(10)
        file, ready = self.site.simulator(bank), self.site.ready_file(bank)
        tables = tomllib.loads(file.read_text("utf-8"))
        tables["ports"] = json.loads(ready.read_text("utf-8"))["ports"]
        tables["faults"] = {"delay": 1.0, "delay_s": seconds}
        file.write_text(site.toml(tables), "utf-8")
        ready.unlink()
        self._start(name, simulator_command(file))
        self._wait(name, ready.exists)

    def start_stub(self) -> None:
        """Start a stub bank in place of the simulated `sample`, on the same port."""
        files, name = BankPki(self.site.folder / "pki", "sample"), "simulator sample"
        self.children.pop(name).stop(10)
        self.stub_seen.unlink(missing_ok=True)
        job = StubJob(
            json.loads(self.site.ready_file("sample").read_text("utf-8"))["ports"]["business"],
            str(files.server_cert),
            str(files.server_key),
            str(files.ca_cert),
            str(files.bank_sign_key),
            str(self.stub_seen),
        )
        file = self.site.folder / "stub.json"
        file.write_text(json.dumps(asdict(job)), "utf-8")
        child = self._start(name, (sys.executable, "-m", "bench.stub", str(file)))
        self._wait(name, lambda: "ready" in child.log.read_text("utf-8", "replace"))

    def stop_stub(self) -> StubTimes:
        """Stop the stub bank; returns its record."""
        self.children.pop("simulator sample").stop(10)
        return read_seen(self.stub_seen)

    def clear(self) -> None:
        """Delete the queues and exchanges of an earlier run. The daemon and the ERP declare them again."""
        ours = (MONEY_QUEUE, QUERY_QUEUE, UNROUTED_NEWS)
        clear(self.job("sample"), (*ours, EVENTS_QUEUE, SCRIPT_QUEUE, SCRIPT_EVENTS_QUEUE))

    def start_daemon(self, module: str = "gateway") -> None:
        """Start the gateway; returns when it consumes. `module`: the program to run in its place."""
        login = self.broker["users"]["erp-demo"]["user"]
        sender = {"users": [login], "operations": list(OPERATIONS)}
        site.configure(self.site, self.broker, {"erp": sender}, journal=self._journal)
        self._copy_bank()
        # As on every day but its first, the journal exists already.
        self.site.state.mkdir(mode=0o700)
        migrations.upgrade(load(self.site.settings).journal_url())
        self.start_again("daemon", module)

    def start_again(self, name: str, module: str = "gateway", shard: str = "") -> None:
        """Start a daemon on the existing journal; returns when it consumes commands."""
        python, _m, _gateway, *words = gateway_command(self.site.settings)
        child = self._start(name, (python, "-m", module, *words, *(("--shard", shard) if shard else ())))
        self._wait(name, lambda: '"broker.up"' in child.log.read_text("utf-8", "replace"))

    def start_beside(self, name: str, command: Sequence[str], ready: Callable[[], bool]) -> None:
        """Start one more process; returns when it is ready. Raises NotStarted."""
        self._start(name, command)
        self._wait(name, ready)

    def stop(self, name: str) -> None:
        """Stop one process in order."""
        self.children.pop(name).stop(30)

    def _copy_bank(self) -> None:
        """Make copies of the first bank under other names. Each has one session and one of that bank's last own
        accounts."""
        first = self.site.plans[0].bank
        table = tomllib.loads((self.site.folder / "conf.d" / f"{first}.toml").read_text("utf-8"))["banks"][first]
        table["options"]["sessions"] = 1
        settings = tomllib.loads(self.site.settings.read_text("utf-8"))
        for number in range(1, self._copies + 1):
            text = site.toml({"banks": {f"{first}{number}": table}})
            (self.site.folder / "conf.d" / f"{first}{number}.toml").write_text(text, "utf-8")
            settings["accounts"][-number]["bank"] = f"{first}{number}"
        self.site.settings.write_text(site.toml(settings), "utf-8")

    def start_erp(self) -> None:
        """Start the ERP, which needs the daemon's exchanges."""
        with (self.site.folder / "erp.log").open("wb") as log:
            self._erp = subprocess.Popen(
                (sys.executable, "-m", "bench.erp", str(self._facts)),
                cwd=CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._hear()

    def start_script(self, bank: str) -> None:
        """Start the script for one bank. At most one runs at a time, because they share a queue."""
        file = self.site.folder / f"straight-{bank}.json"
        file.write_text(self.job(bank).model_dump_json(), "utf-8")
        child = self._start("script", (sys.executable, "-m", "bench.straight", str(file)))
        self._wait("script", lambda: "ready" in child.log.read_text("utf-8", "replace"))

    def job(self, bank: str) -> Job:
        """The job of the script for one bank."""
        files = BankPki(self.site.folder / "pki", bank)
        login = self.broker["users"]["bankgw"]
        signs = bank == "sample"
        return Job(
            broker_host=self.broker["host"],
            broker_port=self.broker["port"],
            vhost=self.broker["vhost"],
            user=login["user"],
            password=login["password"],
            exchange=COMMANDS,
            routing_key=SCRIPT_KEY,
            queue=SCRIPT_QUEUE,
            events_queue=SCRIPT_EVENTS_QUEUE,
            database=self.site.folder / f"straight-{bank}.db",
            bank="sample" if signs else "pab",
            port=json.loads(self.site.ready_file(bank).read_text("utf-8"))["ports"]["business"],
            ca=files.ca_cert,
            cert=files.client_cert,
            key=files.client_key,
            sign_key=files.gateway_sign_key,
            bank_cert=files.bank_sign_cert,
            login=LOGIN,
            enterprise=site.ENTERPRISE_CODE,
        )

    def stop_script(self) -> None:
        """Stop the script once its last message is acknowledged, so that the next one does not get it again."""
        self.children.pop("script").stop(10)

    def stop_erp(self) -> None:
        """Stop the ERP; does nothing if it was never started."""
        if self._erp is not None and self._erp.stdin is not None:
            self._erp.stdin.close()
            try:
                self._erp.wait(10)
            except subprocess.TimeoutExpired:
                self._erp.kill()

    def _start(self, name: str, command: Sequence[str]) -> Child:
        log = self.site.folder / f"{name.replace(' ', '-')}.log"
        log.unlink(missing_ok=True)
        child = Child(name, command, log)
        child.start()
        self.children[name] = child
        return child

    def _wait(self, name: str, ready: Any) -> None:
        until_s = time.monotonic() + START_S
        while not ready():
            if self.children[name].ended() is not None or time.monotonic() > until_s:
                raise NotStarted(f"{name} did not come up; it wrote:\n{self.children[name].tail()}")
            time.sleep(0.05)

    # ---- rounds ----

    def play(
        self,
        bank: str,
        contestant: str,
        count: int,
        *,
        per_second: float = 0.0,
        open_most: int = 0,
        most_s: float = 0.0,
        batch: int = 0,
        until_accepted: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> Round:
        """Play one burst through the daemon or the script (see Burst). Raises NotStarted if an order did not settle."""
        key = SCRIPT_KEY if contestant == "script" else "batch.submit" if batch else "payment.submit"
        accounts = site.account_numbers(bank, 2)
        burst = Burst(
            self._token,
            self._ordered,
            count,
            key,
            accounts,
            per_second,
            open_most,
            most_s,
            batch,
            until_accepted,
            patience_s,
        )
        pids = {
            contestant: self.children[contestant].pid,
            "simulator": self.children[f"simulator {bank}"].pid,
            "broker": self._broker_pid,
        }
        self._ordered += count
        before, units_before = all_cpu_us(pids), self.commits()
        assert self._erp is not None and self._erp.stdin is not None
        self._erp.stdin.write(json.dumps(asdict(burst)).encode() + b"\n")
        self._erp.stdin.flush()
        heard = self._hear(patience_s + HEAR_S)
        spent = {name: used - before[name] for name, used in all_cpu_us(pids).items()}
        if heard["trouble"]:
            raise NotStarted(f"{bank} {contestant}: {heard['trouble']}")
        units, commits = (now - then for now, then in zip(self.commits(), units_before, strict=True))
        times = tuple(Times(*one) for one in heard["times_s"])
        self.ordered[bank] = self.ordered.get(bank, 0) + len(times)
        return Round(len(times), heard["seconds"], {**spent, "erp": heard["cpu_us"]}, times, units / max(commits, 1))

    def commits(self) -> tuple[float, float]:
        """The numbers of units and commits of the daemon's journal."""
        found = dict(_METRIC.findall(self.metrics()))
        return (
            float(found["bankgw_journal_units_total"]),
            float(found["bankgw_journal_commit_duration_seconds_count"]),
        )

    def metrics(self) -> str:
        """The daemon's metrics as a scraper gets them."""
        port = int((self.watch_folder / "watch.port").read_text("ascii"))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
            return str(page.read().decode())

    def _hear(self, most_s: float = BURST_MOST_S) -> Any:
        assert self._erp is not None and self._erp.stdout is not None
        until_s = time.monotonic() + most_s
        while not select.select([self._erp.stdout], [], [], 1.0)[0]:
            for name, child in self.children.items():
                if child.ended() is not None:
                    raise NotStarted(f"{name} ended; it wrote:\n{child.tail()}")
            if time.monotonic() > until_s:
                raise NotStarted(f"nothing more was heard for {most_s:g} s; see the logs in {self.site.folder}")
        line = self._erp.stdout.readline()
        if not line:
            raise NotStarted(f"the ERP ended: {(self.site.folder / 'erp.log').read_text('utf-8', 'replace')[-2000:]}")
        return json.loads(line)
