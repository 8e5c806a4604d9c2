"""The site of a campaign: simulated banks, one or two daemons, and a proxy in front of each peer of a daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from twisted.internet.defer import DeferredLock

from faults.links import LOOPBACK, NETWORK, ROLES, Links
from faults.proxy import Proxy
from faults.servers import Postgresql
from gateway.cli.exit_codes import UNAVAILABLE
from gateway.clock import Clock
from gateway.demo import evidence, processes, stage
from gateway.demo import site as demo_site
from gateway.demo.processes import Child, NotStarted
from gateway.simbank.pki import BankPki
from gateway.tasks import sleep

T = TypeVar("T")
UP = b'"broker.up"'
READY_S = 30.0
SERVER_S = 60.0
ENDING = "_faults"
HOOKED_DAEMON = "faults.hooked_daemon"


class Node:
    """One daemon: its process, its own proxies to broker, database and each bank, and its network if it has one.

    While it is `excused`, something was done to it that may make it end by itself or stop a lane; whoever did that
    starts it anew. What it wrote meanwhile is kept, but no finding.
    """

    def __init__(
        self, name: str, site: demo_site.Site, command: tuple[str, ...], broker: Proxy, banks: Mapping[str, Proxy],
        database: Proxy | None, links: Links | None,
    ) -> None:  # fmt: skip
        self.name = name
        self.site = site
        self.broker = broker
        self.banks = banks
        self.database = database
        self.links = links
        self.child = Child(f"daemon {name}", command, site.folder / "daemon.log")
        self._own = command
        self.frozen = False
        self.ends = 0
        self._forgiven: Counter[str] = Counter()
        self._excused: list[list[int | None]] = []
        self._log_from = 0

    def start(self) -> None:
        """A new life. If the one before ended because there was no journal, what it said about that is no finding."""
        ended = self.child.ended()
        if ended is not None and ended.code == UNAVAILABLE:
            self.forgive()
        self._log_from = self._log_size()
        self.child.start()

    def revive(self) -> str:
        """Start it if it has ended; what to say about that."""
        ended = self.child.ended()
        if ended is None:
            return ""
        self.ends += 1
        self.start()
        return f"; it ended by itself with code {ended.code} and was started again"

    def be(self, tree: Path | None) -> None:
        """From its next life on it is the version in that tree; None: this one."""
        if tree is None:
            self.child.command = self._own
            return
        inside = self._own.index(sys.executable)
        self.child.command = (*self._own[:inside], "env", "-C", str(tree), *self._own[inside:])

    def _log_size(self) -> int:
        log = self.child.log
        return log.stat().st_size if log.exists() else 0

    @property
    def up(self) -> bool:
        """Whether this life has opened the door to the ERP."""
        return self.child.ended() is None and UP in self.said()

    def said(self, since: int | None = None) -> bytes:
        """What this life has written, or what came after `since` (see `mark`)."""
        if not self.child.log.exists():
            return b""
        with self.child.log.open("rb") as log:
            log.seek(self._log_from if since is None else since)
            return log.read()

    def mark(self) -> int:
        """Where its log ends now."""
        return self._log_size()

    @property
    def excused(self) -> bool:
        """Whether it may end by itself just now."""
        return any(end is None for _begin, end in self._excused)

    @contextmanager
    def excuse(self) -> Iterator[None]:
        """What it does meanwhile is no defect. Leave with a fresh life begun, or nothing wrong with the old one."""
        span: list[int | None] = [self._log_size(), None]
        self._excused.append(span)
        try:
            yield
        finally:
            span[1] = self._log_size()

    def excuse_since(self, mark: int) -> None:
        """What it has said since then, and has ended with, is no defect."""
        self._excused.append([mark, self._log_size()])

    def defects(self) -> list[str]:
        """What it logged that only a defect can cause, outside the times for which it is excused."""
        data, kept, at = self.said(0), b"", 0
        for begin, end in sorted((begin or 0, end or len(data)) for begin, end in self._excused):
            kept += data[at : max(at, data.rfind(b"\n", 0, begin) + 1)]
            at = max(at, data.find(b"\n", end - 1) + 1)
        plain = self.child.log.with_suffix(".kept")
        plain.write_bytes(kept + data[at:])
        found = evidence.defects(plain)
        return list((Counter(found) - self._forgiven).elements())

    def forgive(self) -> None:
        """It did not come up, for a reason that is no fault of its own."""
        plain = self.child.log.with_suffix(".life")
        plain.write_bytes(self.said())
        found = evidence.defects(plain)
        self._forgiven.update(one for one in found if one.startswith(("daemon.not_started", "not a line of the log")))

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        """All of them."""
        return (self.broker, *self.banks.values(), *([self.database] if self.database else []))

    def roads(self, role: str) -> tuple[Proxy, ...]:
        """The proxies to `banks`, `broker` or `database`."""
        if role == "banks":
            return tuple(self.banks.values())
        return (self.broker,) if role == "broker" else (self.database,) if self.database else ()


@dataclass(frozen=True, slots=True)
class Journal:
    """Where the journal is: None for SQLite in the node's own folder, else a server's URL with its password."""

    url: str | None = None
    server: Postgresql | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where the server listens."""
        url = make_url(self.url or "")
        return str(url.host), int(url.port or 0)

    @property
    def outside_url(self) -> str:
        """Of a database on the same server that is not the campaign's."""
        url = make_url(self.url or "")
        assert url.database is not None
        return url.set(database=url.database.rpartition(ENDING)[0]).render_as_string(hide_password=False)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection of the campaign's own, which no proxy is in the way of; each statement is committed at once. It
        blocks while the server starts again. Raises sqlalchemy's errors."""
        assert self.url is not None
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})
        try:
            with _patient(engine, time.monotonic() + SERVER_S) as conn:
                yield conn
        finally:
            engine.dispose()

    def ask(self, work: Callable[[Connection], T]) -> T:
        """Do something over such a connection, again if it breaks: others restart the server and end its sessions."""
        until_s = time.monotonic() + SERVER_S
        while True:
            try:
                with self.connection() as conn:
                    return work(conn)
            except OperationalError:
                if time.monotonic() > until_s:
                    raise
            time.sleep(0.2)

    def make(self) -> None:
        """Make the server's database, which must not be there. Raises sqlalchemy's errors."""
        self._run("CREATE DATABASE {}")

    def drop(self) -> None:
        """And drop it."""
        # PostgreSQL waits for nobody's session to end by itself.
        by_force = " WITH (FORCE)" if "postgresql" in str(self.url) else ""
        self._run("DROP DATABASE IF EXISTS {}" + by_force)

    def _run(self, statement: str) -> None:
        if self.url is None:
            return
        # The campaign's database bears the name of the tests' one, with an ending: from there it is made and dropped.
        engine = create_engine(self.outside_url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as conn:
                conn.execute(text(statement.format(make_url(self.url).database)))
        finally:
            engine.dispose()

    def settings(self, secrets: Path, host: str, port: int) -> dict[str, Any]:
        """As the daemon's settings want it, by way of a proxy. Its words pass in clear, so that one can be lost."""
        if self.url is None:
            return {}
        url = make_url(self.url).set(host=host, port=port)
        if url.get_backend_name() == "postgresql":
            url = url.update_query_dict({"sslmode": "disable"})
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


def _patient(engine: Engine, until_s: float) -> Connection:
    while True:
        try:
            return engine.connect()
        except OperationalError:
            if time.monotonic() > until_s:
                raise
        time.sleep(0.2)


class Grounds:
    """Sets everything up and takes it down."""

    def __init__(
        self, reactor: Any, clock: Clock, folder: Path, broker: Mapping[str, Any],
        plans: tuple[demo_site.BankPlan, ...],
        journal: Journal, nodes: int, daemon: str, *, networks: bool = False, disk_mb: int = 0,
        senders: Mapping[str, Mapping[str, Any]] | None = None, days: str = "",
    ) -> None:  # fmt: skip
        """`senders` beside the ERP; `days`: a file of calendars."""
        self.broker = broker
        self.journal = journal
        self.nodes: list[Node] = []
        self.simulators: dict[str, Child] = {}
        self.tallied: Counter[str] = Counter()
        self.zombies: list[tuple[str, int, dict[str, int]]] = []
        self.other: Path | None = None
        self.site = demo_site.prepare(folder, plans)
        self._restarting = {plan.bank: DeferredLock() for plan in plans}
        self._reactor = reactor
        self._clock = clock
        self._names = tuple(f"gw{n + 1}" for n in range(nodes))
        self._daemon = daemon
        self._networks = networks
        self._disk_mb = disk_mb
        self._senders = senders or {}
        self._tables: dict[str, str] = {}
        if days:
            file = folder / "days.toml"
            file.write_text(days, "utf-8")
            self._tables["calendar_file"] = str(file)
        self._mounted: list[Path] = []
        self._links: list[Links] = []

    @property
    def hooked(self) -> bool:
        """Whether the daemons take orders from the campaign (faults.hooked_daemon)."""
        return self._daemon == HOOKED_DAEMON

    @property
    def small_disk(self) -> bool:
        """Whether each node's state is on a small file system of its own."""
        return bool(self._mounted)

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
        for number, name in enumerate(self._names):
            self.nodes.append(self._node(number, name))

    async def bank_ready(self, bank: str) -> None:
        """Wait until a simulator serves. Raises NotStarted."""
        until_s = self._clock.monotonic_s() + READY_S
        child = self.simulators[bank]
        while not self.site.ready_file(bank).exists():
            if child.ended() is not None or self._clock.monotonic_s() > until_s:
                raise NotStarted(f"the simulated bank {bank} did not come up; it said:\n{child.tail()}")
            await sleep(self._clock, 0.05)

    async def restart_bank(self, bank: str) -> None:
        """SIGKILL a simulator and start it again: its ledger outlives it, its port does not. One after the other: a
        second one that comes while it is down waits until it is up."""
        await self._restarting[bank].acquire()
        try:
            self.tally(bank)
            self.simulators[bank].kill()
            self.site.ready_file(bank).unlink(missing_ok=True)
            self.simulators[bank].start()
            await self.bank_ready(bank)
        finally:
            self._restarting[bank].release()

    def tally(self, bank: str) -> None:
        """Add up which faults a simulator has committed in this life, before it forgets."""
        self.tallied.update(stage.tell_simulator(self.site.control(bank), {"do": "report"})["faults"])

    def _node(self, number: int, name: str) -> Node:
        links = Links(number) if self._networks else None
        if links is not None:
            self._links.append(links)
            links.make()
        at = {role: LOOPBACK if links is None else links.address(role) for role in ROLES}
        broker = self._proxy(at["broker"], lambda: (str(self.broker["host"]), int(self.broker["port"])))
        banks = {bank: self._proxy(at["banks"], self._target(bank)) for bank in self.banks}
        database = None if self.journal.url is None else self._proxy(at["database"], lambda: self.journal.address)
        folder = self._folder(name)
        site = demo_site.Site(folder, tuple(
            replace(plan, lane={**plan.lane, **self._lane(folder, plan.bank, at["banks"], banks[plan.bank].port)})
            for plan in self.site.plans
        ))  # fmt: skip
        if self._disk_mb:
            self._mount(site.state)
        user = self.broker["users"]["erp-demo"]["user"]
        before = {**self.broker, "host": at["broker"], "port": broker.port}
        through = (at["database"], 0 if database is None else database.port)
        demo_site.configure(site, before, {**stage.senders(user, self.banks), **self._senders}, node=name,
                      may_dial=() if links is None else (NETWORK,), more=self._tables,
                      journal=self.journal.settings(site.folder / "secrets", *through))  # fmt: skip
        inside = () if links is None else links.inside()
        return Node(name, site, (*inside, *self._command(site)), broker, banks, database, links)

    def _proxy(self, interface: str, target: Callable[[], tuple[str, int]]) -> Proxy:
        proxy = Proxy(self._reactor, target)
        proxy.listen(interface)
        return proxy

    def _lane(self, folder: Path, bank: str, host: str, port: int) -> dict[str, Any]:
        lane: dict[str, Any] = {"host": host, "ports": {"business": port}}
        if host != LOOPBACK:
            files = BankPki(folder / "pki", bank)
            lane["tls"] = {
                "ca_file": str(files.ca_cert), "certificate": str(files.client_cert),
                "key": {"file": str(files.client_key)}, "server_name": LOOPBACK,
            }  # fmt: skip
        return lane

    def _mount(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={self._disk_mb}m,mode=0700", "bankgw-faults", str(folder)),
                       check=True, capture_output=True)  # fmt: skip
        self._mounted.append(folder)

    def _command(self, site: demo_site.Site) -> tuple[str, ...]:
        if self._daemon == "gateway":
            return processes.gateway_command(site.settings)
        if self._daemon == HOOKED_DAEMON:
            return (sys.executable, "-m", HOOKED_DAEMON, "run", "--config", str(site.settings))
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

    def take_down(self) -> None:
        """Take networks away and keep what is on small disks. For when no daemon runs any more."""
        for links in self._links:
            links.plug()
            links.remove()
        self._links.clear()
        while self._mounted:
            folder = self._mounted.pop()
            kept = folder.with_name(f"{folder.name}.kept")
            shutil.copytree(folder, kept, ignore=lambda _folder, names: [n for n in names if n.endswith(".sock")])
            subprocess.run(("umount", str(folder)), check=False, capture_output=True)
            folder.rmdir()
            kept.rename(folder)

    async def close_proxies(self) -> None:
        """Nothing passes any more."""
        for node in self.nodes:
            for proxy in node.proxies:
                await proxy.close()
