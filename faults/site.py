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
from gateway.demo import evidence, processes, stage
from gateway.demo import site as demo_site
from gateway.demo.processes import Child, NotStarted
from gateway.kernel.clock import Clock
from gateway.kernel.tasks import sleep
from gateway.simbank.pki import BankPki

T = TypeVar("T")
UP = b'"broker.up"'
READY_S = 30.0
SERVER_S = 60.0
ENDING = "_faults"
HOOKED_DAEMON = "faults.hooked_daemon"


class Node:
    """One daemon with its process, its own proxies to broker, database and each bank, and its network if it has one.

    While it is `excused`, something was done to it that may make it end by itself or stop a lane; whoever did that
    starts it anew. What it wrote meanwhile is kept, but no finding.
    """

    def __init__(
        self,
        name: str,
        site: demo_site.Site,
        command: tuple[str, ...],
        broker: Proxy,
        banks: Mapping[str, Proxy],
        database: Proxy | None,
        links: Links | None,
    ) -> None:
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
        """Start the daemon. If its last process ended because the journal was unreachable, its log lines about that are
        no finding."""
        ended = self.child.ended()
        if ended is not None and ended.code == UNAVAILABLE:
            self.forgive()
        self._log_from = self._log_size()
        self.child.start()

    def revive(self) -> str:
        """Start the daemon if it has ended. Returns a sentence about that."""
        ended = self.child.ended()
        if ended is None:
            return ""
        self.ends += 1
        self.start()
        return f"; it ended by itself with code {ended.code} and was started again"

    def be(self, tree: Path | None) -> None:
        """Run the version in `tree` from the next start on; None for this version."""
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
        """Whether the present process of the daemon is ready for the ERP."""
        return self.child.ended() is None and UP in self.said()

    def said(self, since: int | None = None) -> bytes:
        """The log of the present process, or its part after `since` (see `mark`)."""
        if not self.child.log.exists():
            return b""
        with self.child.log.open("rb") as log:
            log.seek(self._log_from if since is None else since)
            return log.read()

    def mark(self) -> int:
        """The present end of the daemon's log."""
        return self._log_size()

    @property
    def excused(self) -> bool:
        """Whether the daemon may end by itself now."""
        return any(end is None for _begin, end in self._excused)

    @contextmanager
    def excuse(self) -> Iterator[None]:
        """Excuse the daemon's errors in the block. At its end either a new process has begun, or the old one must be
        healthy."""
        span: list[int | None] = [self._log_size(), None]
        self._excused.append(span)
        try:
            yield
        finally:
            span[1] = self._log_size()

    def excuse_since(self, mark: int) -> None:
        """Excuse the errors since then, including an end of the process."""
        self._excused.append([mark, self._log_size()])

    def defects(self) -> list[str]:
        """Log lines that only a defect causes, outside the excused times."""
        data, kept, at = self.said(0), b"", 0
        for begin, end in sorted((begin or 0, end or len(data)) for begin, end in self._excused):
            kept += data[at : max(at, data.rfind(b"\n", 0, begin) + 1)]
            at = max(at, data.find(b"\n", end - 1) + 1)
        plain = self.child.log.with_suffix(".kept")
        plain.write_bytes(kept + data[at:])
        found = evidence.defects(plain)
        return list((Counter(found) - self._forgiven).elements())

    def forgive(self) -> None:
        """Excuse a failed start whose reason is no defect."""
        plain = self.child.log.with_suffix(".life")
        plain.write_bytes(self.said())
        found = evidence.defects(plain)
        self._forgiven.update(one for one in found if one.startswith(("daemon.not_started", "not a line of the log")))

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        """All proxies of the node."""
        return (self.broker, *self.banks.values(), *([self.database] if self.database else []))

    def roads(self, role: str) -> tuple[Proxy, ...]:
        """The node's proxies to `banks`, `broker` or `database`."""
        if role == "banks":
            return tuple(self.banks.values())
        return (self.broker,) if role == "broker" else (self.database,) if self.database else ()


@dataclass(frozen=True, slots=True)
class Journal:
    """The database of the journal: SQLite in the node's own folder (None), or a server's URL with its password."""

    url: str | None = None
    server: Postgresql | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The host and port of the database's server."""
        url = make_url(self.url or "")
        return str(url.host), int(url.port or 0)

    @property
    def outside_url(self) -> str:
        """The URL of a database on the same server that is not the campaign's."""
        url = make_url(self.url or "")
        assert url.database is not None
        return url.set(database=url.database.rpartition(ENDING)[0]).render_as_string(hide_password=False)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection of the campaign, without a proxy, that commits each statement at once. Blocks while the server
        restarts. Raises sqlalchemy's errors."""
        assert self.url is not None
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})
        try:
            with _patient(engine, time.monotonic() + SERVER_S) as conn:
                yield conn
        finally:
            engine.dispose()

    def ask(self, work: Callable[[Connection], T]) -> T:
        """Call `work` with such a connection, and again if the connection breaks, because other incidents restart the
        server and end its sessions."""
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
        """Create the server's database, which must not exist. Raises sqlalchemy's errors."""
        self._run("CREATE DATABASE {}")

    def drop(self) -> None:
        """Drop the server's database."""
        # PostgreSQL does not wait for sessions to end by themselves.
        by_force = " WITH (FORCE)" if "postgresql" in str(self.url) else ""
        self._run("DROP DATABASE IF EXISTS {}" + by_force)

    def _run(self, statement: str) -> None:
        if self.url is None:
            return
        # The campaign's database has the name of the tests' database with a suffix; it is created and dropped from
        # there.
        engine = create_engine(self.outside_url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as conn:
                conn.execute(text(statement.format(make_url(self.url).database)))
        finally:
            engine.dispose()

    def settings(self, secrets: Path, host: str, port: int) -> dict[str, Any]:
        """The journal's settings for a daemon that connects through a proxy. The proxy sees clear text, so that it can
        lose one COMMIT."""
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
        """A URL with which the campaign opens the journal."""
        return self.url or f"sqlite:///{node.site.state / 'journal.db'}"


def _patient(engine: Engine, until_s: float) -> Connection:
    while True:
        try:
            return engine.connect()
        except OperationalError:
            if time.monotonic() > until_s:
                raise
        time.sleep(0.2)


class CampaignSite:
    """Sets up the campaign's site and removes it."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        folder: Path,
        broker: Mapping[str, Any],
        plans: tuple[demo_site.BankPlan, ...],
        journal: Journal,
        nodes: int,
        daemon: str,
        *,
        networks: bool = False,
        disk_mb: int = 0,
        senders: Mapping[str, Mapping[str, Any]] | None = None,
        days: str = "",
    ) -> None:
        """`senders`: further senders; `days`: a file of calendars."""
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
        """Whether the daemons have the campaign's hooks (faults.hooked_daemon)."""
        return self._daemon == HOOKED_DAEMON

    @property
    def small_disk(self) -> bool:
        """Whether each node's state is on a small file system of its own."""
        return bool(self._mounted)

    @property
    def banks(self) -> tuple[str, ...]:
        """The names of the banks."""
        return tuple(plan.bank for plan in self.site.plans)

    def children(self) -> list[Child]:
        """Every started process."""
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
                raise NotStarted(f"the simulated bank {bank} did not start; its output:\n{child.tail()}")
            await sleep(self._clock, 0.05)

    async def restart_bank(self, bank: str) -> None:
        """SIGKILL a simulator and start it again with the same ledger and port. Calls come one after the other: a
        second one waits until the simulator is up."""
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
        """Add up the faults that a simulator has committed in this life, before it forgets them."""
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
        site = demo_site.Site(
            folder,
            tuple(
                replace(plan, lane={**plan.lane, **self._lane(folder, plan.bank, at["banks"], banks[plan.bank].port)})
                for plan in self.site.plans
            ),
        )
        if self._disk_mb:
            self._mount(site.state)
        user = self.broker["users"]["erp-demo"]["user"]
        before = {**self.broker, "host": at["broker"], "port": broker.port}
        through = (at["database"], 0 if database is None else database.port)
        demo_site.configure(
            site,
            before,
            {**stage.senders(user, self.banks), **self._senders},
            node=name,
            may_dial=() if links is None else (NETWORK,),
            more=self._tables,
            journal=self.journal.settings(site.folder / "secrets", *through),
        )
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
                "ca_file": str(files.ca_cert),
                "certificate": str(files.client_cert),
                "key": {"file": str(files.client_key)},
                "server_name": LOOPBACK,
            }
        return lane

    def _mount(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        subprocess.run(
            ("mount", "-t", "tmpfs", "-o", f"size={self._disk_mb}m,mode=0700", "bankgw-faults", str(folder)),
            check=True,
            capture_output=True,
        )
        self._mounted.append(folder)

    def _command(self, site: demo_site.Site) -> tuple[str, ...]:
        if self._daemon == "gateway":
            return processes.gateway_command(site.settings)
        if self._daemon == HOOKED_DAEMON:
            return (sys.executable, "-m", HOOKED_DAEMON, "run", "--config", str(site.settings))
        return (sys.executable, "-m", self._daemon, str(site.settings))

    def _folder(self, name: str) -> Path:
        """Make a node's folder, with its own state, secrets and settings. The nodes share the PKI and one vault key."""
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
                return ("127.0.0.1", 1)  # the simulator starts again and does not answer
            return ("127.0.0.1", int(ports["business"]))

        return target

    def take_down(self) -> None:
        """Remove networks, and copy the content of small disks. No daemon may run any more."""
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
        """Close all proxies."""
        for node in self.nodes:
            for proxy in node.proxies:
                await proxy.close()
