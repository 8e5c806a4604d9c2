"""What is done to the daemon and to everything around it, and when: incidents, drawn from a seed."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool

from faults.proxy import Proxy, Weather
from faults.site import Grounds, Node
from gateway.clock import Clock
from gateway.desk.demo_erp import Erp
from gateway.desk.processes import NotStarted
from gateway.tasks import sleep

KILL = "kill -9"
CRASH_LOOP = 5
UP_S = 20.0
LONG_STOP_S = 17.0
"""Longer than a lease: a daemon that stood still so long may not send by what it knew before."""
TAKE_OVER_S = 27.0
"""Long enough for the other node: a lease, and the time until it looks again."""


@dataclass(slots=True)
class Incident:
    """One thing that was done. Times are seconds since the start; `heard_s` is when the ERP next heard news."""

    kind: str
    target: str
    at_s: float
    at_ms: int
    until_s: float
    detail: str = ""
    heard_s: float | None = None
    lives: int = 0
    doubted: int = 0


@dataclass(slots=True)
class Diary:
    """What has happened so far."""

    elapsed: Callable[[], float]
    now_ms: Callable[[], int]
    say: Callable[[str], None]
    incidents: list[Incident] = field(default_factory=list)

    def begin(self, kind: str, target: str, detail: str = "", lives: int = 0) -> Incident:
        """Something is done now."""
        at_s = self.elapsed()
        incident = Incident(kind, target, at_s, self.now_ms(), at_s, detail, lives=lives)
        self.incidents.append(incident)
        return incident

    def end(self, incident: Incident) -> None:
        """It is undone."""
        incident.until_s = self.elapsed()
        self.say(f"{incident.at_s:6.1f} s  {incident.kind} {incident.target} "
                 f"{incident.until_s - incident.at_s:.1f} s {incident.detail}")  # fmt: skip

    def heard(self) -> None:
        """The ERP heard something new."""
        at_s = self.elapsed()
        for incident in reversed(self.incidents):
            if incident.heard_s is not None:
                break
            incident.heard_s = at_s

    @property
    def kills(self) -> int:
        """How many lives of a daemon were ended by SIGKILL."""
        return sum(incident.lives for incident in self.incidents)


def connection_breaker(broker: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The command that makes the broker close every connection of our virtual host; None where we may not."""
    program = shutil.which("rabbitmqctl", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None or broker.get("private"):
        return None
    command = (program, "-q", "list_vhosts", "name")
    try:
        allowed = subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        allowed = False
    if not allowed:
        return None
    return (program, "-q", "close_all_connections", "--vhost", str(broker["vhost"]), "--per-connection-delay", "0",
            "fault campaign")  # fmt: skip


class Nemesis:
    """Kills and bad weather at once, until told to stop."""

    def __init__(
        self, reactor: Any, clock: Clock, grounds: Grounds, erp: Erp, diary: Diary, dice: random.Random,
        delete_queue: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self.stopping = False
        self._reactor = reactor
        self._clock = clock
        self._grounds = grounds
        self._erp = erp
        self._diary = diary
        self._dice = dice
        self._delete_queue = delete_queue
        self._breaker = connection_breaker(grounds.broker)
        self._hands = {node.name: DeferredLock() for node in grounds.nodes}
        self._kinds = self._all_kinds()
        self._bag: list[str] = []
        self._long_s = LONG_STOP_S if len(grounds.nodes) == 1 else TAKE_OVER_S

    # ---- the daemon's lives ----

    async def kill_for_ever(self, mean_gap_s: float) -> None:
        """One kill after the other; some lives end as soon as they have begun."""
        while not self.stopping:
            node = await self._leader()
            if node is None:
                continue
            begun_s = self._clock.monotonic_s()
            await sleep(self._clock, self._dice.uniform(0.02, mean_gap_s))
            if self._dice.random() < 0.5:
                # A rush of orders just before, so that the daemon dies with its hands full.
                self._erp.hurry(10)
                await sleep(self._clock, self._dice.uniform(0.0, 0.25))
            if not self.stopping:
                await self._kill(node, f"after {self._clock.monotonic_s() - begun_s:.2f} s")

    async def _kill(self, node: Node, detail: str) -> None:
        await self._hands[node.name].acquire()
        try:
            incident = self._diary.begin(KILL, node.name, detail, lives=1)
            node.child.kill()
            node.start()
            self._diary.end(incident)
        finally:
            self._hands[node.name].release()

    async def _leader(self) -> Node | None:
        """A node that has opened its door, None if none does in time. Raises NotStarted if one ended by itself."""
        until_s = self._clock.monotonic_s() + UP_S
        while self._clock.monotonic_s() < until_s and not self.stopping:
            for node in self._grounds.nodes:
                ended = node.child.ended()
                if ended is not None and not self._hands[node.name].locked:
                    raise NotStarted(f"{node.child.name} ended with code {ended.code}; it said:\n{node.child.tail()}")
            led = [node for node in self._grounds.nodes if node.up and not node.frozen]
            if led:
                return self._dice.choice(led)
            await sleep(self._clock, 0.05)
        return None

    # ---- weather ----

    async def weather_for_ever(self, pause_s: tuple[float, float]) -> None:
        """One incident after the other; each kind once before any comes again."""
        while True:
            await sleep(self._clock, self._dice.uniform(*pause_s))
            if self.stopping:
                return
            if not self._bag:
                self._bag = list(self._kinds)
                self._dice.shuffle(self._bag)
            await self._kinds[self._bag.pop()]()

    def _all_kinds(self) -> dict[str, Callable[[], Awaitable[None]]]:
        kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "bank cut": lambda: self._cut("bank cut", self._bank_proxy()),
            "bank black hole": lambda: self._sky("bank black hole", self._bank_proxy(), Weather.HOLE, 4.0),
            "bank slow": lambda: self._sky("bank slow", self._bank_proxy(), Weather.SLOW, 4.0, 0.7),
            "bank unreachable": lambda: self._sky("bank unreachable", self._bank_proxy(), Weather.REFUSE, 4.0),
            "bank half message": lambda: self._half("bank half message", self._bank_proxy()),
            "bank process killed": self._bank_killed,
            "broker cut": lambda: self._cut("broker cut", self._broker_proxy()),
            "broker black hole": lambda: self._sky("broker black hole", self._broker_proxy(), Weather.HOLE, 4.0),
            "broker slow": lambda: self._sky("broker slow", self._broker_proxy(), Weather.SLOW, 4.0, 0.3),
            "broker half frame": lambda: self._half("broker half frame", self._broker_proxy()),
            "reply queue deleted": self._queue_deleted,
            "daemon stands still": lambda: self._frozen(self._dice.uniform(1.0, 4.0)),
            "daemon stands still longer than a lease": lambda: self._frozen(self._long_s),
            "daemon told to leave": self._leave,
            "crash loop": self._crash_loop,
        }  # fmt: skip
        if len(self._grounds.nodes) > 1:
            kinds["leader killed and left dead"] = self._left_dead
        if self._breaker is not None:
            kinds["broker closes all connections"] = self._broken_by_broker
        return kinds

    def _bank_proxy(self) -> tuple[str, Proxy]:
        node = self._dice.choice(self._grounds.nodes)
        bank = self._dice.choice(sorted(node.banks))
        return f"{bank} for {node.name}", node.banks[bank]

    def _broker_proxy(self) -> tuple[str, Proxy]:
        node = self._dice.choice(self._grounds.nodes)
        return node.name, node.broker

    async def _cut(self, kind: str, where: tuple[str, Proxy]) -> None:
        incident = self._diary.begin(kind, where[0])
        incident.detail = f"{where[1].cut()} connections"
        self._diary.end(incident)

    async def _half(self, kind: str, where: tuple[str, Proxy]) -> None:
        incident = self._diary.begin(kind, where[0])
        where[1].halve()
        await sleep(self._clock, 1.0)
        incident.detail = "not met" if where[1].halves else ""
        where[1].halve(0)
        self._diary.end(incident)

    async def _sky(
        self, kind: str, where: tuple[str, Proxy], weather: Weather, most_s: float, delay_s: float = 0.0
    ) -> None:
        incident = self._diary.begin(kind, where[0])
        where[1].set(weather, delay_s)
        try:
            await sleep(self._clock, self._dice.uniform(0.5, most_s))
        finally:
            where[1].set(Weather.FAIR)
        self._diary.end(incident)

    async def _bank_killed(self) -> None:
        bank = self._dice.choice(self._grounds.banks)
        incident = self._diary.begin("bank process killed", bank)
        await self._grounds.restart_bank(bank)
        self._diary.end(incident)

    async def _queue_deleted(self) -> None:
        queue = self._erp.replies_queue
        incident = self._diary.begin("reply queue deleted", "ERP")
        gone = await self._in_thread(lambda: self._delete_queue(queue))
        incident.detail = "" if gone else "not met"
        self._diary.end(incident)

    async def _broken_by_broker(self) -> None:
        assert self._breaker is not None
        incident = self._diary.begin("broker closes all connections", str(self._grounds.broker["vhost"]))
        breaker = self._breaker
        await self._in_thread(lambda: subprocess.run(breaker, capture_output=True, timeout=30, check=False).returncode)
        self._diary.end(incident)

    async def _frozen(self, seconds: float) -> None:
        node = await self._leader()
        if node is None:
            return
        await self._hands[node.name].acquire()
        try:
            kind = "daemon stands still longer than a lease" if seconds >= self._long_s else "daemon stands still"
            incident = self._diary.begin(kind, node.name)
            node.frozen = True
            node.child.signal(signal.SIGSTOP)
            await sleep(self._clock, seconds)
            before = sum(proxy.bytes_out for proxy in node.banks.values())
            node.child.signal(signal.SIGCONT)
            node.frozen = False
            # Whatever the daemon does with what it knew before must be seen before it is killed again.
            await sleep(self._clock, 1.0)
            after = sum(proxy.bytes_out for proxy in node.banks.values())
            incident.detail = f"{after - before} bytes to the banks in the second after it"
            self._diary.end(incident)
        finally:
            node.child.signal(signal.SIGCONT)
            self._hands[node.name].release()

    async def _leave(self) -> None:
        node = await self._leader()
        if node is None:
            return
        await self._hands[node.name].acquire()
        try:
            incident = self._diary.begin("daemon told to leave", node.name)
            node.child.signal(signal.SIGTERM)
            until_s = self._clock.monotonic_s() + 40.0
            while node.child.ended() is None and self._clock.monotonic_s() < until_s:
                await sleep(self._clock, 0.05)
            ended = node.child.ended()
            incident.detail = f"exit code {ended.code}" if ended else "killed: it did not leave"
            if ended is None:
                node.child.kill()
            node.start()
            self._diary.end(incident)
        finally:
            self._hands[node.name].release()

    async def _crash_loop(self) -> None:
        """A daemon that dies again and again, most times before it is up: nothing in the queues may be lost by it."""
        node = self._dice.choice(self._grounds.nodes)
        await self._hands[node.name].acquire()
        try:
            incident = self._diary.begin("crash loop", node.name, f"{CRASH_LOOP} times")
            for _ in range(CRASH_LOOP):
                await sleep(self._clock, self._dice.uniform(0.1, 1.6))
                node.child.kill()
                incident.lives += 1
                node.start()
            self._diary.end(incident)
        finally:
            self._hands[node.name].release()

    async def _left_dead(self) -> None:
        """The other node must take over, and only ask about what this one was sending."""
        node = await self._leader()
        if node is None:
            return
        await self._hands[node.name].acquire()
        try:
            incident = self._diary.begin("leader killed and left dead", node.name, lives=1)
            node.child.kill()
            await sleep(self._clock, TAKE_OVER_S)
            node.start()
            self._diary.end(incident)
        finally:
            self._hands[node.name].release()

    def _in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)

    def calm(self) -> None:
        """Every proxy carries again, and nobody stands still."""
        self.stopping = True
        for node in self._grounds.nodes:
            node.child.signal(signal.SIGCONT)
            for proxy in node.proxies:
                proxy.halve(0)
                proxy.set(Weather.FAIR)
