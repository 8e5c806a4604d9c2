"""Where a campaign plays: simulated banks, one or two daemons, and a proxy before everything a daemon speaks to."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

from faults.proxy import Proxy
from gateway.clock import Clock
from gateway.desk import demo_site, processes, rig
from gateway.desk.processes import Child, NotStarted
from gateway.tasks import sleep

UP = b'"broker.up"'
READY_S = 30.0
ENDING = "_faults"


class Node:
    """One daemon: its process, and its own proxies to the broker and to each bank."""

    def __init__(
        self, name: str, site: rig.Site, command: tuple[str, ...], broker: Proxy, banks: Mapping[str, Proxy]
    ) -> None:
        self.name = name
        self.site = site
        self.broker = broker
        self.banks = banks
        self.child = Child(f"daemon {name}", command, site.folder / "daemon.log")
        self.frozen = False
        self._log_from = 0

    def start(self) -> None:
        """A new life."""
        log = self.child.log
        self._log_from = log.stat().st_size if log.exists() else 0
        self.child.start()

    @property
    def up(self) -> bool:
        """Whether this life has opened the door to the ERP."""
        if self.child.ended() is not None or not self.child.log.exists():
            return False
        with self.child.log.open("rb") as log:
            log.seek(self._log_from)
            return UP in log.read()

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        """All of them."""
        return (self.broker, *self.banks.values())


@dataclass(frozen=True, slots=True)
class Journal:
    """Where the journal is: None for SQLite in the node's own folder, else a server's URL with its password."""

    url: str | None = None

    def make(self) -> None:
        """Make the server's database, which must not be there. Raises sqlalchemy's errors."""
        self._run("CREATE DATABASE {}")

    def drop(self) -> None:
        """And drop it."""
        self._run("DROP DATABASE IF EXISTS {}")

    def _run(self, statement: str) -> None:
        if self.url is None:
            return
        url = make_url(self.url)
        assert url.database is not None
        # The campaign's database bears the name of the tests' one, with an ending: from there it is made and dropped.
        engine = create_engine(url.set(database=url.database.rpartition(ENDING)[0]), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as conn:
                conn.execute(text(statement.format(url.database)))
        finally:
            engine.dispose()

    def settings(self, secrets: Path) -> dict[str, Any]:
        """As the daemon's settings want it."""
        if self.url is None:
            return {}
        url = make_url(self.url)
        table: dict[str, Any] = {"url": url.set(password=None).render_as_string(hide_password=False)}
        if url.password:
            secrets.mkdir(exist_ok=True, mode=0o700)
            file = secrets / "database"
            file.touch(mode=0o600)
            file.write_text(str(url.password), "utf-8")
            table["password"] = {"file": str(file)}
        return table

    def open_url(self, node: Node) -> str:
        """A URL that opens it."""
        return self.url or f"sqlite:///{node.site.state / 'journal.db'}"


class Grounds:
    """Sets everything up and takes it down."""

    def __init__(
        self, reactor: Any, clock: Clock, folder: Path, broker: Mapping[str, Any], plans: tuple[rig.BankPlan, ...],
        journal: Journal, nodes: int, daemon: str,
    ) -> None:  # fmt: skip
        self.broker = broker
        self.journal = journal
        self.nodes: list[Node] = []
        self.simulators: dict[str, Child] = {}
        self.tallied: Counter[str] = Counter()
        self.site = rig.prepare(folder, plans)
        self._reactor = reactor
        self._clock = clock
        self._names = tuple(f"gw{n + 1}" for n in range(nodes))
        self._daemon = daemon

    @property
    def banks(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(plan.bank for plan in self.site.plans)

    def children(self) -> list[Child]:
        """Everything that was started."""
        return [*self.simulators.values(), *(node.child for node in self.nodes)]

    async def open(self) -> None:
        """Start the simulators, listen with the proxies, write the daemons' settings. Raises NotStarted."""
        for plan in self.site.plans:
            log = self.site.folder / f"simbank-{plan.bank}.log"
            command = processes.simulator_command(self.site.simulator(plan.bank))
            self.simulators[plan.bank] = Child(f"bank {plan.bank}", command, log)
            self.simulators[plan.bank].start()
        for bank in self.banks:
            await self.bank_ready(bank)
        for name in self._names:
            self.nodes.append(self._node(name))

    async def bank_ready(self, bank: str) -> None:
        """Wait until a simulator serves. Raises NotStarted."""
        until_s = self._clock.monotonic_s() + READY_S
        child = self.simulators[bank]
        while not self.site.ready_file(bank).exists():
            if child.ended() is not None or self._clock.monotonic_s() > until_s:
                raise NotStarted(f"the simulated bank {bank} did not come up; it said:\n{child.tail()}")
            await sleep(self._clock, 0.05)

    async def restart_bank(self, bank: str) -> None:
        """SIGKILL a simulator and start it again: its ledger outlives it, its port does not."""
        self.tally(bank)
        self.simulators[bank].kill()
        self.site.ready_file(bank).unlink(missing_ok=True)
        self.simulators[bank].start()
        await self.bank_ready(bank)

    def tally(self, bank: str) -> None:
        """Add up which faults a simulator has committed in this life, before it forgets."""
        self.tallied.update(demo_site.tell_simulator(self.site.control(bank), {"do": "report"})["faults"])

    def _node(self, name: str) -> Node:
        broker = Proxy(self._reactor, lambda: (str(self.broker["host"]), int(self.broker["port"])))
        banks = {bank: Proxy(self._reactor, self._target(bank)) for bank in self.banks}
        for proxy in (broker, *banks.values()):
            proxy.listen()
        plans = tuple(
            replace(plan, lane={**plan.lane, "ports": {"business": banks[plan.bank].port}}) for plan in self.site.plans
        )
        site = rig.Site(self._folder(name), plans)
        user = self.broker["users"]["erp-demo"]["user"]
        before = {**self.broker, "host": "127.0.0.1", "port": broker.port}
        rig.configure(site, before, demo_site.senders(user, self.banks), node=name,
                      journal=self.journal.settings(site.folder / "secrets"))  # fmt: skip
        return Node(name, site, self._command(site), broker, banks)

    def _command(self, site: rig.Site) -> tuple[str, ...]:
        if self._daemon == "gateway":
            return processes.gateway_command(site.settings)
        return (sys.executable, "-m", self._daemon, str(site.settings))

    def _folder(self, name: str) -> Path:
        """Each node has its own state, secrets and settings; they share the PKI and one vault key."""
        first = self.site.folder
        if name == self._names[0]:
            return first
        folder = first / name
        folder.mkdir(mode=0o700)
        os.symlink(first / "pki", folder / "pki")
        for bank in self.banks:
            shutil.copy(self.site.ready_file(bank), folder)
        secrets = folder / "secrets"
        secrets.mkdir(mode=0o700)
        shutil.copy(first / "secrets" / "vault.key", secrets)
        return folder

    def _target(self, bank: str) -> Callable[[], tuple[str, int]]:
        file = self.site.ready_file(bank)

        def target() -> tuple[str, int]:
            try:
                ports = json.loads(file.read_text("utf-8"))["ports"]
            except FileNotFoundError:
                return ("127.0.0.1", 1)  # nobody is there while the simulator starts again
            return ("127.0.0.1", int(ports["business"]))

        return target

    async def close_proxies(self) -> None:
        """Nothing passes any more."""
        for node in self.nodes:
            for proxy in node.proxies:
                await proxy.close()
