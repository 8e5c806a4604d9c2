"""A site without faults to measure on: simulated banks, daemons, an ERP that sends plain orders and records events."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from faults.site import CampaignSite, Journal
from gateway.demo import processes, stage
from gateway.demo.erp import BrokerAdmin, Erp, ReceivedNews
from gateway.demo.orders import SUBMIT, DemoCommand, write_story
from gateway.demo.verdict import is_news
from gateway.kernel.clock import Clock
from gateway.kernel.tasks import sleep

UP_S = 60.0
_PLAIN_SHARE = 0.75


class Rehearsal:
    """A site without faults, for measurements. `settled` and `accepted` have, by order, the time of the ERP's event, in
    seconds of the clock."""

    def __init__(
        self,
        reactor: Any,
        clock: Clock,
        folder: Path,
        broker: Mapping[str, Any],
        journal: Journal,
        *,
        nodes: int = 1,
        banks: tuple[str, ...] = ("sample",),
        orders: int = 2_000,
    ) -> None:
        self.clock = clock
        self.accepted: dict[str, float] = {}
        self.settled: dict[str, float] = {}
        plans = tuple(
            replace(plan, faults={}, conduct={**plan.conduct, "late_s": 0.0}) for plan in stage.plans(banks, 1)
        )
        self.grounds = CampaignSite(reactor, clock, folder, broker, plans, journal, nodes, "gateway")
        self._reactor = reactor
        self._broker = broker
        self._run = secrets.token_hex(3)
        self._story = write_story(1, round(orders / _PLAIN_SHARE), 0, stage.stage(banks, self._run, datetime.now(UTC)))
        self._banks = {order.id: order.bank for order in self._story.orders}
        plain = {order.id for order in self._story.orders if order.sort == "plain"}
        self._waiting = [one for one in self._story.commands if one.order_id in plain and one.key == SUBMIT]
        self.erp = Erp(reactor, broker, clock, self._run, clock.monotonic_s, self._take)

    def _take(self, one: ReceivedNews) -> None:
        if is_news(one):
            times = {"accepted": self.accepted, "settled": self.settled}.get(str(one.said["state"]))
            if times is not None:
                times.setdefault(str(one.said["id"]), self.clock.monotonic_s())

    async def open(self) -> None:
        """Start everything. Raises NotStarted."""
        clerk = BrokerAdmin(self._reactor, self._broker, self.clock, self.clock.monotonic_s)
        await clerk.empty()
        await self.grounds.open()
        await self.erp.start()
        for node in self.grounds.nodes:
            node.start()
        if not await self.until(lambda: all(node.up for node in self.grounds.nodes), UP_S):
            raise processes.NotStarted(self.grounds.nodes[0].child.tail())

    def bank(self, order: str) -> str:
        """The bank of an order."""
        return self._banks[order]

    def orders(self, count: int) -> tuple[DemoCommand, ...]:
        """Make the next `count` plain orders."""
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return tuple(taken)

    def stream(self, seconds: float, per_second: float) -> Deferred[None]:
        """Publish `per_second` orders a second for `seconds` seconds. Fires when the broker has confirmed the last."""
        return Deferred.fromCoroutine(self.erp.publish(self.orders(round(seconds * per_second)), per_second))

    async def wait(self, seconds: float) -> None:
        """Wait for a number of seconds."""
        await sleep(self.clock, seconds)

    async def until(self, condition: Callable[[], bool], limit_s: float, every_s: float = 0.05) -> bool:
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

    def rate(self, from_s: float, to_s: float) -> float:
        """Orders settled per second between two times."""
        return sum(from_s <= at_s < to_s for at_s in self.settled.values()) / (to_s - from_s)

    async def close(self) -> None:
        """Close connections and stop everything."""
        await self.erp.close()
        await self.grounds.close_proxies()
