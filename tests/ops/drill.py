"""What every drill needs: simulated banks, an ERP that keeps sending, and the judgement by the banks' own books."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika

from gateway.demo import site as demo_site
from gateway.demo.processes import Child, simulator_command, stop_all
from gateway.simbank.record import plain_executions
from tests.gateway.cli.test_live import order
from tests.gateway.erp.rabbit import Rabbit, rabbit_for_tests
from tests.ops.units import WAY
from tests.world.services import ROOT

BANKS = {
    "sample": demo_site.BankPlan("sample", twin_options={"user": "demo", "password": "demo-password"}),
    "pab": demo_site.BankPlan(
        "pab",
        options={"enterprise_code": demo_site.ENTERPRISE_CODE, "per_second": 100, "burst": 50, "first_enquiry_s": 0.5},
        twin_options={"enterprise_code": demo_site.ENTERPRISE_CODE},
    ),
}
EACH_S = 0.4
"""The pause between two orders of the ERP."""


class Traffic:
    """An ERP that sends an order after the other, with a confirm each, until it is told to stop."""

    def __init__(self, rabbit: Rabbit, banks: tuple[str, ...]) -> None:
        self._rabbit, self._banks = rabbit, banks
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self.sent: list[tuple[str, str]] = []
        """The order ids that the broker confirmed, and their amounts, which are all different."""
        self.error = ""

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """End after the present order."""
        self._ending.set()
        self._thread.join(30)
        assert not self.error, self.error

    def give_up(self) -> None:
        """End without judgement, after a drill that failed."""
        self._ending.set()

    def more(self, count: int, limit_s: float = 60) -> None:
        """Wait until so many more orders are sent."""
        goal = len(self.sent) + count
        until(lambda: len(self.sent) >= goal or bool(self.error), limit_s, f"{goal} orders are sent")

    def _send(self) -> None:
        try:
            with self._rabbit.erp() as channel:
                while not self._ending.wait(EACH_S):
                    number = len(self.sent)
                    id_, amount = f"D-{number}", f"{100 + number}.01"
                    body = order(id_, amount, self._banks[number % len(self._banks)])
                    properties = pika.BasicProperties(
                        user_id=self._rabbit.address.user, message_id=id_, content_type="application/json"
                    )
                    channel.basic_publish("bankgw.commands", "payment.submit", json.dumps(body).encode(), properties)
                    self.sent.append((id_, amount))
        except Exception as error:  # the main thread tells it
            self.error = repr(error)


class Drill:
    """A site with running banks, whose settings are written; `tree` is the program that made it."""

    def __init__(self, folder: Path, rabbit: Rabbit, banks: tuple[str, ...], tree: Path) -> None:
        self.folder, self.rabbit, self.banks, self.tree = folder, rabbit, banks, tree
        self.site = demo_site.Site(folder, tuple(BANKS[bank] for bank in banks))
        self.traffic = Traffic(rabbit, banks)
        self.simulators: list[Child] = []
        self.where: tuple[str, ...] = ()
        """The words by which commands find the daemon, where the settings do not tell: of several shards, one."""

    def prepare(self) -> None:
        """Make keys and start the banks."""
        _in_tree(self.tree, "prepare", self.folder, self.banks, {})
        self.start_banks()

    def start_banks(self) -> None:
        """Start the simulated banks and wait until they listen."""
        for bank in self.banks:
            child = Child(bank, simulator_command(self.site.simulator(bank)), self.folder / f"{bank}.log")
            child.start()
            self.simulators.append(child)
        until(lambda: all(self.site.ready_file(bank).exists() for bank in self.banks), 60, "the banks listen")

    def configure(self, **more: Any) -> None:
        """Write the settings, as the program in `tree` writes them."""
        at = self.rabbit.address
        users = {"bankgw": {"user": at.user, "password": at.password}}
        sender = {"users": [at.user], "operations": ["payment.submit"], "reply_to": ".*", "anonymous": True}
        sender["suspected_duplicate_hours"] = 0
        told = {
            "broker": {"host": at.host, "port": at.port, "vhost": at.vhost, "users": users},
            "senders": {"erp": sender},
            **more,
        }
        _in_tree(self.tree, "configure", self.folder, self.banks, told)

    def bankgw(self, *words: str, config: Path | None = None, wanted: int | None = 0) -> str:
        """A command of this version, which must end with this code."""
        command = [sys.executable, "-m", "gateway", *words, "--config", str(config or self.site.settings)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert wanted is None or done.returncode == wanted, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def settled(self, config: Path | None = None) -> dict[str, str]:
        """The state of each order, by its id."""
        said = self.bankgw("orders", "list", "--limit", "1000", "--json", *self.where, config=config, wanted=None)
        found = json.loads(said).get("orders", []) if said.startswith("{") else []
        return {one["id"]: one["state"] for one in found}

    def judge(self, config: Path | None = None, limit_s: float = 240) -> int:
        """Every order that the broker took is settled, and was executed by the bank exactly once. Returns their number."""
        wanted = {id_ for id_, _amount in self.traffic.sent}
        until(
            lambda: {id_ for id_, state in self.settled(config).items() if state == "settled"} == wanted,
            limit_s,
            lambda: f"all are settled; not so: { {k: v for k, v in self.settled(config).items() if v != 'settled'} }",
            each_s=2,
        )
        amounts = Counter(one["minor"] for one in self.executed())
        assert amounts == Counter(minor(amount) for _id, amount in self.traffic.sent)
        return len(wanted)

    def executed(self) -> list[dict[str, Any]]:
        """What the banks executed, by their own books."""
        files = [self.site.ledger(bank) for bank in self.banks]
        lines = [line for file in files if file.exists() for line in file.read_text("utf-8").splitlines()]
        return [one for line in lines for one in plain_executions(json.loads(line))]


@contextmanager
def drill(folder: Path, name: str, *banks: str, tree: Path = ROOT) -> Iterator[Drill]:
    """A drill with its banks; everything is stopped afterwards."""
    with rabbit_for_tests(name) as rabbit:
        made = Drill(folder, rabbit, banks, tree)
        try:
            made.prepare()
            yield made
        finally:
            made.traffic.give_up()
            stop_all(made.simulators, 30)


def result(record: Callable[[str, object], None], **facts: object) -> None:
    """Put the result of a drill, and the way in which it ran, into the report of the tests."""
    record("way", WAY)
    for name, value in facts.items():
        record(name, value)


def until(true: Callable[[], bool], limit_s: float, what: str | Callable[[], str], *, each_s: float = 0.1) -> None:
    """Wait for other processes, which no clock of a test can move."""
    ends_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < ends_s, f"not so after {limit_s} s: {what if isinstance(what, str) else what()}"
        time.sleep(each_s)


def minor(amount: str) -> int:
    """An amount of these drills in minor units."""
    return int(amount.replace(".", ""))


_SCRIPT = """
import json, sys
from pathlib import Path
from gateway.demo import site
told = json.load(sys.stdin)
plans = tuple(site.BankPlan(**one) for one in told["plans"])
if told["step"] == "prepare":
    site.prepare(Path(told["folder"]), plans)
else:
    site.configure(site.Site(Path(told["folder"]), plans), **told["more"])
"""


def _in_tree(tree: Path, step: str, folder: Path, banks: tuple[str, ...], more: Mapping[str, Any]) -> None:
    """Let the program of a tree make its own files, so that an old version has the settings of its time."""
    plans = [
        {"bank": bank, "options": dict(BANKS[bank].options), "twin_options": dict(BANKS[bank].twin_options)}
        for bank in banks
    ]
    told = json.dumps({"step": step, "folder": str(folder), "plans": plans, "more": dict(more)})
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], cwd=tree, input=told, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
