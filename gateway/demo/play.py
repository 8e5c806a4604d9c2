"""The demo's run: commands are published, the banks inject faults, the daemon is killed and restarted.

The run ends when every order is final, or is in doubt and cannot be resolved within minutes.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from gateway.demo import site as demo_site
from gateway.demo import stage
from gateway.demo.board import Board, Snapshot
from gateway.demo.erp import BrokerAdmin, Erp, ReceivedNews
from gateway.demo.evidence import executed
from gateway.demo.orders import ExpectedAnswer, Story
from gateway.demo.processes import Child, NotStarted
from gateway.demo.verdict import Executed, is_news
from gateway.kernel.clock import Clock
from gateway.kernel.tasks import sleep
from protocols.canon.outcome import STATE_TABLE, State
from protocols.twin import Booked

PER_SECOND = 32.0
CALM_AFTER_S = 6.0
DOUBT_S = 12.0
LAST_S, LAST_NEWS_S, MOST_S = 90.0, 20.0, 900.0
HALTED_S = 15.0
_LOOK_EVERY_S = 0.25
_RUSH_S = (0.1, 0.6)
_SESSIONS = re.compile(r'^bankgw_session_up\{bank="([^"]+)",lane="[^"]+"\} ([0-9.]+)$', re.MULTILINE)


@dataclass(slots=True)
class Kill:
    """One SIGKILL of the daemon. Times are seconds from the start of the demo; `heard_s` is when the ERP first got a
    message of the restarted daemon."""

    at_s: float
    at_ms: int
    pid: int
    published: int
    open_orders: int
    heard_s: float | None = None


def compare_at_s(published_s: float, news_s: float, halted: bool) -> float:
    """The time at which the records are compared, even if orders are still in progress.

    A slow machine gets more time as long as the ERP receives messages, because an order that is still under way is not
    lost.
    """
    if halted:
        return published_s + HALTED_S
    return max(published_s + LAST_S, min(news_s + LAST_NEWS_S, published_s + MOST_S))


class Play:
    """Publishes the commands, lets banks inject faults, kills and restarts the daemon. After `run` returned, `kills`,
    `calm_s` and the ERP's messages hold the results.

    `faults` has, about each second, the number of faults that the banks committed since the last count. `halted` names
    lanes of the present daemon that stopped for good because of a defect.
    """

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        board: Board,
        story: Story,
        site: demo_site.Site,
        daemon: Child,
        erp: Erp,
        clerk: BrokerAdmin,
        started_s: float,
        seed: int,
        kills: int,
    ) -> None:
        self.kills: list[Kill] = []
        self.calm_s: float | None = None
        self.published_s: float | None = None
        self.halted: set[str] = set()
        self.faults: list[tuple[float, int]] = []
        self.calm_ms: int | None = None
        self._faults_seen = 0
        self._reactor = reactor
        self._clock = clock
        self._board = board
        self._story = story
        self._site = site
        self._daemon = daemon
        self._erp = erp
        self._clerk = clerk
        self._started_s = started_s
        self._dice = random.Random(f"bankgw demo kills {seed}")
        self._kills_wanted = kills
        self._told: dict[str, tuple[int, State, float]] = {}
        self._rejected: set[str] = set()
        self._answered: set[str] = set()
        self._of_command = {command.message_id: command.order_id for command in story.commands}
        self._heard_since_start = 0
        self._sessions: dict[str, int] = {}

    async def _count_faults(self) -> None:
        """Note how many faults the banks have committed since the last count."""
        pool, total = self._reactor.getThreadPool(), 0
        for plan in self._site.plans:
            try:
                said = await deferToThreadPool(
                    self._reactor, pool, stage.tell_simulator, self._site.control(plan.bank), {"do": "report"}
                )
            except stage.SimulatorSilent:
                return
            total += sum(said["faults"].values())
        if total > self._faults_seen:
            self.faults.append((self.elapsed(), total - self._faults_seen))
            self._faults_seen = total

    def elapsed(self) -> float:
        """Seconds since the start of the demo."""
        return self._clock.monotonic_s() - self._started_s

    def on_heard(self, one: ReceivedNews) -> None:
        """Note that the ERP received a new message."""
        self._heard_since_start += 1
        if self.kills and self.kills[-1].heard_s is None:
            self.kills[-1].heard_s = one.at_s
        if is_news(one):
            order, seq = str(one.said["id"]), int(one.said["seq"])
            if order not in self._told or self._told[order][0] < seq:
                self._told[order] = (seq, State(one.said["state"]), one.at_s)
        if one.where is not ExpectedAnswer.EVENT or one.name == "payment.accepted":
            self._answered.add(one.correlation)
            if "error" in one.said and one.correlation in self._of_command:
                self._rejected.add(self._of_command[one.correlation])

    async def run(self) -> None:
        """Publish, kill the daemon several times, wait for the end. Raises NotStarted if the daemon ends by itself, and
        the errors of publishing."""
        sending = Deferred.fromCoroutine(self._erp.publish(self._story.commands, PER_SECOND))
        sending.addCallback(self._all_published)
        watching = Deferred.fromCoroutine(self._watch())
        parts: list[Deferred[Any]] = [sending, watching, Deferred.fromCoroutine(self._kill_all())]
        try:
            # The first failure ends all of them; the watch ends last of all when there is none.
            await DeferredList(parts, fireOnOneErrback=True, consumeErrors=True)
        finally:
            for part in parts:
                part.cancel()

    def _all_published(self, _result: None) -> None:
        self.published_s = self.elapsed()
        self._board.say(f"{self.elapsed():6.1f} s  all {len(self._story.commands)} commands are published")

    # ---- kills ----

    async def _kill_all(self) -> None:
        commands = len(self._story.commands)
        for n in range(self._kills_wanted):
            share = (n + self._dice.uniform(0.3, 0.8)) / (self._kills_wanted + 0.3)
            # Some lives end while they still resolve the payments that the life before left.
            lively = self._dice.choice((1, 30, 120))
            while self._erp.published < commands * share or self._heard_since_start < min(lively, commands // 20):
                await sleep(self._clock, 0.02)
            # Many orders come just before, so that the daemon is killed with much work in progress.
            self._erp.hurry(commands // 12)
            await sleep(self._clock, self._dice.uniform(*_RUSH_S))
            self._kill()

    def _kill(self) -> None:
        kill = Kill(self.elapsed(), self._clock.now_ms(), self._daemon.kill(), self._erp.published, len(self._open()))
        self.kills.append(kill)
        self._heard_since_start = 0
        self._sessions = {}
        self._daemon.start()
        self._board.say(
            f"{kill.at_s:6.1f} s  kill -9 {kill.pid} with {kill.open_orders} orders not final; "
            f"started again as {self._daemon.pid}"
        )

    # ---- watching ----

    async def _watch(self) -> None:
        looks = 0
        while not self._over():
            ended = self._daemon.ended()
            if ended is not None:
                raise NotStarted(
                    f"the daemon ended by itself with code {ended.code}; its output:\n{self._daemon.tail()}"
                )
            if looks % 4 == 0:
                await self._look_at_sessions()
                await self._count_faults()
            self._board.show(self.snapshot())
            self._calm_in_time()
            looks += 1
            await sleep(self._clock, _LOOK_EVERY_S)
        self._board.show(self.snapshot())

    def snapshot(self) -> Snapshot:
        """The progress at this moment."""
        states = Counter(state.value for _seq, state, _at in self._told.values())
        states["rejected"] += len(self._rejected - self._told.keys())
        return Snapshot(
            self.elapsed(),
            self._erp.published,
            len(self._story.commands),
            self._count_answered(),
            {name: count for name, count in states.items() if count},
            len(self.kills),
            self._kills_wanted,
            dict(self._sessions),
            self._daemon.ended() is None,
        )

    def _count_answered(self) -> int:
        return len((self._answered | {one.correlation for one in self._clerk.unrouted}) & self._of_command.keys())

    def _calm_in_time(self) -> None:
        """Stop the banks' faults towards the end, so that open payments can be resolved within the minute."""
        if self.calm_s is None and self.published_s is not None and self.elapsed() - self.published_s > CALM_AFTER_S:
            self.calm_s, self.calm_ms = self.elapsed(), self._clock.now_ms()
            for plan in self._site.plans:
                stage.tell_simulator(self._site.control(plan.bank), {"do": "calm"})
            self._board.say(f"{self.calm_s:6.1f} s  the banks stop misbehaving")

    def _open(self) -> list[str]:
        """The orders that may reach a bank and whose final state the ERP does not know."""
        return [
            order.id
            for order in self._story.orders
            if order.id not in self._rejected
            and (order.id not in self._told or not STATE_TABLE[self._told[order.id][1]].final)
        ]

    def _over(self) -> bool:
        if self.published_s is None:
            return False
        news_s = max((at_s for _seq, _state, at_s in self._told.values()), default=0.0)
        if self.elapsed() > compare_at_s(self.published_s, news_s, bool(self.halted)):
            after_s = self.elapsed() - self.published_s
            self._board.say(f"{self.elapsed():6.1f} s  {after_s:.0f} s after the last order; comparing as it is")
            return True
        if len(self.kills) < self._kills_wanted or self._count_answered() < len(self._of_command):
            return False
        ledgers = self._ledgers()
        return all(self._will_stay(order, ledgers) for order in self._open()) and self._returns_told(ledgers)

    def _ledgers(self) -> dict[str, Executed]:
        """Every execution by the payee's account, in the state that it will have once everything in progress is
        done."""
        later_ms = self._clock.now_ms() + 3_600_000
        return {
            one.creditor: one
            for plan in self._site.plans
            for one in executed(plan.bank, self._site.ledger(plan.bank), later_ms)
        }

    def _will_stay(self, order_id: str, ledgers: dict[str, Executed]) -> bool:
        """Whether a payment will stay in doubt: the bank never got it, and "not found" is no proof, so nothing will
        resolve the doubt in time."""
        if order_id not in self._told or self._told[order_id][1] is not State.IN_DOUBT:
            return False
        order = next(order for order in self._story.orders if order.id == order_id)
        return order.creditor not in ledgers and self.elapsed() - self._told[order_id][2] > DOUBT_S

    def _returns_told(self, ledgers: dict[str, Executed]) -> bool:
        back = {creditor for creditor, one in ledgers.items() if one.booked is Booked.RETURNED}
        told = {id for id, (_seq, state, _at) in self._told.items() if state in (State.RETURNED, State.REVERSED)}
        return all(order.id in told for order in self._story.orders if order.creditor in back)

    async def _look_at_sessions(self) -> None:
        port_file = self._site.state / "watch.port"
        if not port_file.exists():
            return
        port = int(port_file.read_text("ascii") or 0)
        page = await fetch(self._reactor, self._clock, port, "/metrics", 1.0)
        if page:
            self._sessions = {bank: int(float(count)) for bank, count in _SESSIONS.findall(page)}
        ready = await fetch(self._reactor, self._clock, port, "/readyz", 1.0)
        if ready:
            halted = {f"{lane} {word}" for lane, word in json.loads(ready)["lanes"].items() if "halted" in word}
            for lane in sorted(halted - self.halted):
                self._board.say(f"{self.elapsed():6.1f} s  a lane stopped for good: {lane}")
            self.halted = halted


def fetch(reactor: Any, clock: Clock, port: int, path: str, patience_s: float) -> Awaitable[str]:
    """A page of the daemon's own HTTP server; an empty text if it does not answer."""
    got = _Got(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
    dialling = connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=1), got)
    timer = clock.later(patience_s, lambda: got.give_up(dialling))

    def failed(failure: Failure) -> None:
        failure.trap(ConnectError, ConnectionClosed)
        got.over()

    def done(page: str) -> str:
        if timer.active():
            timer.cancel()
        return page

    dialling.addErrback(failed)
    return got.page.addCallback(done)


class _Got(Protocol):
    def __init__(self, request: bytes) -> None:
        self.page: Deferred[str] = Deferred()
        self._request = request
        self._said = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self._said += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over()

    def over(self) -> None:
        if not self.page.called:
            self.page.callback(self._said.decode("utf-8", "replace").partition("\r\n\r\n")[2])

    def give_up(self, dialling: Deferred[Any]) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
        else:
            dialling.cancel()
        self.over()
