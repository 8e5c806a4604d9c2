"""The benchmark's ERP, in a process of its own: publishes orders, and notes the time at which each is settled.

    python -m bench.erp FACTS

reads one JSON line per burst on stdin (`Burst`) and answers each with one line on stdout (`BurstResult`). It knows only
queues and events: the same code serves the gateway and the script.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineOnlyReceiver

from bench.orders import batch, batch_id, order, order_id
from gateway.erp.amqp import pika_amqp
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.amqp_types import Amqp, Declarer, OutgoingMessage, PublishResult, PublishStatus
from gateway.erp.broker_address import BrokerAddress
from gateway.erp.topology import COMMANDS
from gateway.kernel.deliveries import Delivery, Properties
from protocols.erp.routing import EVENTS

EVENTS_QUEUE = "erp-demo.bench.events"
SCRIPT_QUEUE = "bench.straight"
SCRIPT_KEY = "straight.submit"
SCRIPT_EVENTS_QUEUE = "erp-demo.bench.straight-events"
QUORUM = {"x-queue-type": "quorum"}
ACCEPTED, SETTLED = "payment.accepted", "payment.settled"
PATIENCE_S = 80.0
_UNWANTED = frozenset({"payment.rejected", "payment.held", "payment.failed", "payment.in_doubt", "payment.escalated"})


@dataclass(frozen=True, slots=True)
class Burst:
    """The orders to publish: `count` orders from number `first` on.

    All at once; or `per_second` in even steps; or never more than `open_most` that are not settled yet, and none once
    `most_s` seconds are over; or, with `batch`, as the items of batches of that many. With `until_accepted` it is over
    when every order is accepted.
    """

    run: str
    first: int
    count: int
    routing_key: str
    accounts: tuple[str, ...]
    per_second: float = 0.0
    open_most: int = 0
    most_s: float = 0.0
    batch: int = 0
    until_accepted: bool = False
    patience_s: float = PATIENCE_S


@dataclass(frozen=True, slots=True)
class BurstResult:
    """The times of a burst's orders. `seconds` is from the first publish to the last settled event.

    `times_s`: by order number, when it was published, when its `accepted` and its `settled` event were heard, in
    seconds of the machine's monotonic clock, which all processes share. In a batch an item has no event of its own
    at acceptance; its time is that of its publishing.
    """

    seconds: float
    cpu_us: int
    times_s: tuple[tuple[int, float, float, float], ...]
    events: dict[str, int]
    trouble: str = ""


class Erp:
    """The benchmark's ERP: publishes bursts of orders, and notes when their events arrive."""

    def __init__(self, amqp: Amqp, user: str, reactor: Any) -> None:
        self._amqp = amqp
        self._user = user
        self._reactor = reactor
        self._published_s: dict[str, float] = {}
        self._accepted_s: dict[str, float] = {}
        self._settled_s: dict[str, float] = {}
        self._events: dict[str, int] = {}
        self._burst: Burst | None = None
        self._next = 0
        self._left = 0
        self._started_s = 0.0
        self._started_cpu_s = 0.0
        self._done: Deferred[BurstResult] = Deferred()
        self._patience: Any = None

    def burst(self, burst: Burst) -> Deferred[BurstResult]:
        """Publish a burst of orders; fires when every order's settled event has arrived."""
        self._published_s, self._accepted_s, self._settled_s, self._events = {}, {}, {}, {}
        self._burst, self._next, self._left, self._done = burst, 0, burst.count, Deferred()
        self._started_cpu_s, self._started_s = time.process_time(), time.monotonic()
        self._patience = self._reactor.callLater(burst.patience_s, self._give_up)
        if burst.batch:
            for number in range(0, burst.count, burst.batch):
                self._publish_batch(burst, number, min(burst.batch, burst.count - number))
        elif burst.per_second:
            for number in range(burst.count):
                self._reactor.callLater(number / burst.per_second, self._publish_next)
        else:
            for _ in range(min(burst.count, burst.open_most or burst.count)):
                self._publish_next()
            if burst.most_s:
                self._reactor.callLater(burst.most_s, self._publish_no_more)
        return self._done

    def _publish_next(self) -> None:
        burst = self._burst
        assert burst is not None
        if self._next < burst.count:
            number = burst.first + self._next
            self._next += 1
            self._publish(burst, order_id(burst.run, number), order(burst.run, number, burst.accounts))

    def _publish_no_more(self) -> None:
        burst = self._burst
        assert burst is not None
        self._left -= burst.count - self._next
        self._burst = replace(burst, count=self._next)
        if not self._left:
            self._end("")

    def _publish_batch(self, burst: Burst, offset: int, count: int) -> None:
        numbers = range(burst.first + offset, burst.first + offset + count)
        now_s = time.monotonic()
        for number in numbers:
            self._published_s[order_id(burst.run, number)] = now_s
        self._publish(burst, batch_id(burst.run, numbers), batch(burst.run, numbers, burst.accounts[0]))

    def _publish(self, burst: Burst, id_: str, body: bytes) -> None:
        properties = Properties(
            message_id=id_, user_id=self._user, content_type="application/json", timestamp=int(time.time())
        )
        if not burst.batch:
            self._published_s[id_] = time.monotonic()
        sending = self._amqp.publish(OutgoingMessage(COMMANDS, burst.routing_key, body, properties))
        sending.addCallback(self._confirmed)

    def _confirmed(self, verdict: PublishResult) -> None:
        if verdict.fate is not PublishStatus.CONFIRMED:
            self._end(f"an order was not taken by the broker: {verdict}")

    def deliver(self, delivery: Delivery) -> None:
        """Handle an event from the gateway, or from the script."""
        self._amqp.ack(delivery)
        said = json.loads(delivery.body)
        event, id_ = said["event"], said["id"]
        if id_ not in self._published_s:
            return
        self._events[event] = self._events.get(event, 0) + 1
        if event in _UNWANTED:
            self._end(f"{id_}: {delivery.body.decode()[:400]}")
        elif event == ACCEPTED:
            self._accepted_s.setdefault(id_, time.monotonic())
            if self._burst is not None and self._burst.until_accepted and len(self._accepted_s) == self._left:
                self._end("")
        elif event == SETTLED and id_ not in self._settled_s:
            self._settled_s[id_] = time.monotonic()
            self._left -= 1
            if not self._left:
                self._end("")
            elif self._burst is not None and self._burst.open_most:
                self._publish_next()

    def _give_up(self) -> None:
        missing = sorted(self._published_s.keys() - self._settled_s.keys())
        which = f"{len(missing)} of {len(self._published_s)} orders, {missing[0]} the first of them"
        assert self._burst is not None
        self._end(f"{which}, did not settle in {self._burst.patience_s:g} s")

    def _end(self, trouble: str) -> None:
        if self._done.called:
            return
        if self._patience.active():
            self._patience.cancel()
        burst, orders = self._burst, len(self._published_s)
        assert burst is not None
        told = {event: self._events.get(event, 0) for event in (ACCEPTED, SETTLED)}
        if not trouble and told != {ACCEPTED: orders, SETTLED: 0 if burst.until_accepted else orders}:
            trouble = f"{orders} orders, but these events: {self._events}"
        ended_s = self._accepted_s if burst.until_accepted else self._settled_s
        times = tuple(
            (int(id_.rpartition("-")[2]), published_s, self._accepted_s.get(id_, published_s), ended_s[id_])
            for id_, published_s in self._published_s.items()
            if id_ in ended_s
        )
        spent_us = int((time.process_time() - self._started_cpu_s) * 1_000_000)
        self._done.callback(BurstResult(time.monotonic() - self._started_s, spent_us, times, self._events, trouble))


class _Commands(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, erp: Erp, reactor: Any) -> None:
        self._erp = erp
        self._reactor = reactor

    def lineReceived(self, line: bytes) -> None:
        said = json.loads(line)
        heard = self._erp.burst(Burst(**{**said, "accounts": tuple(said["accounts"])}))
        heard.addCallback(self._tell)

    def _tell(self, heard: BurstResult) -> None:
        self.sendLine(json.dumps(asdict(heard)).encode())  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any = None) -> None:
        self._reactor.stop()


async def declare(declarer: Declarer) -> None:
    """Declare the ERP's own queues, and bind them to the gateway's exchange for its events."""
    for queue in (EVENTS_QUEUE, SCRIPT_EVENTS_QUEUE):
        await declarer.queue(queue, QUORUM)
    await declarer.bind(EVENTS_QUEUE, EVENTS, "#")


def main(facts: Path) -> None:
    """Serve bursts until stdin ends. The gateway must have declared its exchanges before."""
    from twisted.internet import reactor

    broker = json.loads(facts.read_text("utf-8"))
    login = broker["users"]["erp-demo"]
    address = BrokerAddress(broker["host"], broker["port"], broker["vhost"], login["user"], login["password"])
    amqp = pika_amqp(reactor, AmqpSettings(address, "bench erp"), random.Random(1), prepare=declare)
    erp = Erp(amqp, login["user"], reactor)
    for queue in (EVENTS_QUEUE, SCRIPT_EVENTS_QUEUE):
        amqp.consume(queue, 2000, erp.deliver)
    commands = _Commands(erp, reactor)

    def up() -> None:
        if commands.transport is None:
            StandardIO(commands)
            commands.sendLine(b'"ready"')  # type: ignore[no-untyped-call]

    amqp.start(up, lambda down: print(down.reason, file=sys.stderr))
    reactor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
