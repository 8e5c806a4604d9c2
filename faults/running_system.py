"""The system under test: daemons, broker, banks and ERP, and which incident uses which daemon."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool

from faults.erp_listener import ErpListener
from faults.incidents import KILL, Incident, IncidentLog
from faults.servers import Rabbit
from faults.site import CampaignSite, Node
from gateway.cli.exit_codes import UNAVAILABLE
from gateway.demo.erp import Erp
from gateway.demo.processes import NotStarted
from gateway.kernel.clock import Clock
from gateway.kernel.tasks import sleep
from gateway.simbank.record import read_executions

UP_S = 30.0
AGAIN_S = 1.0
AFTER_TROUBLE_S = 8.0


class RunningSystem:
    """The daemons, broker, banks and ERP under test. When `stopping` is set, no incident may touch anything. An
    incident that restarts the database's server, or must not have it restarted, holds `server`."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        grounds: CampaignSite,
        erp: Erp,
        listener: ErpListener,
        diary: IncidentLog,
        dice: random.Random,
        rabbit: Rabbit | None,
        per_second: float,
    ) -> None:
        self.stopping = False
        self.clock = clock
        self.grounds = grounds
        self.erp = erp
        self.listener = listener
        self.diary = diary
        self.dice = dice
        self.rabbit = rabbit
        self.per_second = per_second
        self._reactor = reactor
        self.server = DeferredLock()
        self._hands = {node.name: DeferredLock() for node in grounds.nodes}
        self._troubled_until_s = 0.0

    @property
    def nodes(self) -> list[Node]:
        """The daemons."""
        return self.grounds.nodes

    @property
    def on_server(self) -> bool:
        """Whether the journal is on a database server."""
        return self.grounds.journal.url is not None

    @contextmanager
    def told(self, kind: str, target: str, detail: str = "", lives: int = 0) -> Iterator[Incident]:
        """Log an incident from its begin to its end."""
        incident = self.diary.begin(kind, target, detail, lives)
        try:
            yield incident
        finally:
            self.diary.end(incident)

    @asynccontextmanager
    async def hands_on(self, *nodes: Node) -> AsyncIterator[None]:
        """Reserve these daemons, so that no other incident kills, stops or starts them in the block."""
        held: list[DeferredLock] = []
        try:
            for node in sorted(nodes, key=lambda node: node.name):
                await self._hands[node.name].acquire()
                held.append(self._hands[node.name])
            yield
        finally:
            for hand in reversed(held):
                hand.release()

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Mark the block as one in which the journal cannot be reached: a daemon that is started in it ends, and its
        minder starts it again."""
        self._troubled_until_s = float("inf")
        try:
            yield
        finally:
            self._troubled_until_s = self.clock.monotonic_s() + AFTER_TROUBLE_S

    async def wait(self, seconds: float) -> None:
        """Wait for a number of seconds."""
        await sleep(self.clock, seconds)

    async def between(self, least_s: float, most_s: float) -> None:
        """Wait for a random time."""
        await self.wait(self.dice.uniform(least_s, most_s))

    async def until(self, condition: Callable[[], bool], limit_s: float, every_s: float = 0.1) -> bool:
        """Wait for a condition. Returns whether it came true in time."""
        until_s = self.clock.monotonic_s() + limit_s
        while not condition():
            if self.clock.monotonic_s() > until_s:
                return False
            await self.wait(every_s)
        return True

    def thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        """Run a blocking function in a thread."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)

    async def rises(self, node: Node, limit_s: float) -> bool:
        """Wait until a daemon is ready. Returns whether it was in time."""
        return await self.until(lambda: node.up, limit_s)

    async def leader(self, *, free: bool = False) -> Node | None:
        """A node that is ready; with `free`, one that no incident uses. None if there is none in time."""
        until_s = self.clock.monotonic_s() + UP_S
        while self.clock.monotonic_s() < until_s and not self.stopping:
            led = [node for node in self.nodes if node.up and not node.frozen]
            if free:
                led = [node for node in led if not self._hands[node.name].locked]
            if led:
                return self.dice.choice(led)
            await self.wait(0.05)
        return None

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Node]:
        """Reserve a node for an incident, if possible one that is ready."""
        node = await self.leader() or self.dice.choice(self.nodes)
        async with self.hands_on(node):
            await self.until(lambda: node.up, UP_S)
            yield node

    async def kill(self, node: Node, detail: str) -> None:
        """SIGKILL a reserved daemon and start it again."""
        with self.told(KILL, node.name, detail, lives=1):
            node.child.kill()
            node.start()

    async def mind_for_ever(self) -> None:
        """Act as the service manager: start daemons that ended because there was no journal. Raises NotStarted for a
        daemon that ended for any other reason."""
        while not self.stopping:
            await self.wait(0.2)
            for node in self.nodes:
                await self._mind(node)

    async def _mind(self, node: Node) -> None:
        if node.child.ended() is None or self._hands[node.name].locked:
            return
        async with self.hands_on(node):
            ended = node.child.ended()
            if ended is None:
                return
            if ended.code != UNAVAILABLE and self.clock.monotonic_s() > self._troubled_until_s:
                raise NotStarted(f"{node.child.name} ended with code {ended.code}; it said:\n{node.child.tail()}")
            if ended.code != UNAVAILABLE:
                node.forgive()
            await self.wait(AGAIN_S)
            node.revive()

    def executed_since(self, at_ms: int) -> int:
        """The number of instructions that the banks have accepted since then."""
        ledgers = (self.grounds.site.ledger(bank) for bank in self.grounds.banks)
        return sum(one.at_ms >= at_ms for ledger in ledgers for one in read_executions(ledger))
