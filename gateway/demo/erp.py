"""The demo's two broker clients: an ERP that sends the commands and records replies and events, and a queue inspector.

Both use the gateway's own broker client. The ERP does not rely on messages to arrive once or in order: it keeps each
received message by its message id. The inspector empties the gateway's queues before the demo and watches the queues
that persons look into.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from twisted.internet.defer import Deferred, DeferredList

from gateway.demo.orders import XML, DemoCommand, ExpectedAnswer
from gateway.erp import topology
from gateway.erp.amqp import pika_amqp
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.amqp_types import Amqp, BrokerDown, Declarer, OutgoingMessage, Prepare, PublishResult, PublishStatus
from gateway.erp.broker_address import BrokerAddress
from gateway.erp.client import ClientTimeouts
from gateway.kernel import deliveries
from gateway.kernel.clock import Clock
from gateway.kernel.deliveries import Delivery, Properties
from gateway.kernel.tasks import sleep
from protocols.erp.routing import EVENTS

DELIVERY_LIMIT = "delivery_limit"
"""The broker's own reason for a message that was returned to its queue as often as the queue allows."""
REPLY, EVENT, UNROUTED = ExpectedAnswer.REPLY, ExpectedAnswer.EVENT, ExpectedAnswer.UNROUTED
_QUEUE_LIVES_MS = 900_000
_AT_ONCE = 500
_AGAIN_S = 0.5
_SILENCE_S = 0.4


class BrokerTrouble(Exception):
    """The broker cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class ReceivedNews:
    """One message of the gateway, kept once even if it arrived several times. `at_s` counts from the start of the demo.

    `correlation` is the message id of the command that the message answers, or that caused it. `said` has the body's
    fields.
    """

    where: ExpectedAnswer
    message_id: str
    correlation: str
    name: str
    said: Mapping[str, Any]
    content_type: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked command: the reason, and its sender.

    The gateway parks a command with its own reason; the broker parks one with DELIVERY_LIMIT, after too many daemons
    died with it.
    """

    code: str
    message_id: str


def read_body(body: bytes, content_type: str) -> Mapping[str, Any]:
    """The fields of a reply or event, from JSON or XML."""
    if content_type.startswith(XML):
        return _children(ElementTree.fromstring(body))
    said: Mapping[str, Any] = json.loads(body)
    return said


def _children(element: ElementTree.Element) -> dict[str, Any]:
    return {one.tag.rpartition("}")[2]: _children(one) if len(one) else (one.text or "") for one in element}


def connect(reactor: Any, broker: Mapping[str, Any], role: str, name: str, prepare: Prepare) -> Amqp:
    """A client for one of the users of `.run/broker.json`; `name` is what the broker's tools show."""
    login = broker["users"][role]
    address = BrokerAddress(
        broker["host"], broker["port"], broker["vhost"], login["user"], login["password"], tls=False
    )
    settings = AmqpSettings(address, name, patience=ClientTimeouts(canary_every_s=0))
    return pika_amqp(reactor, settings, random.Random(name), prepare=prepare)


async def up(amqp: Amqp, clock: Clock, patience_s: float = 20.0) -> None:
    """Start the client and wait until it is connected. Raises BrokerTrouble with the broker's own reason."""
    usable: Deferred[None] = Deferred()
    last = [f"no answer within {patience_s:g} s"]

    def on_up() -> None:
        if not usable.called:
            usable.callback(None)

    def on_down(down: BrokerDown) -> None:
        last[0] = down.reason

    amqp.start(on_up, on_down)

    def too_long() -> None:
        if not usable.called:
            usable.errback(BrokerTrouble(f"the broker cannot be used: {last[0]}"))

    timer = clock.later(patience_s, too_long)
    try:
        await usable
    finally:
        if timer.active():
            timer.cancel()


class BrokerAdmin:
    """Watches and empties the gateway's own queues, as the gateway's user."""

    def __init__(self, reactor: Any, broker: Mapping[str, Any], clock: Clock, elapsed: Callable[[], float]) -> None:
        self.thrown_away = 0
        self.parked: list[Parked] = []
        self.unrouted: list[ReceivedNews] = []
        self._clock = clock
        self._elapsed = elapsed
        self._heard_s = 0.0
        self._seen: set[str] = set()
        self._reactor = reactor
        self._broker = broker
        self._amqp: Amqp | None = None

    async def empty(self) -> None:
        """Declare the gateway's topology, and delete messages that an earlier run left in its queues."""
        amqp = self._connect()
        for queue in (
            deliveries.MONEY_QUEUE,
            deliveries.QUERY_QUEUE,
            deliveries.LEDGER_QUEUE,
            topology.PARKED_QUEUE,
            topology.UNROUTED_COMMANDS_QUEUE,
            topology.UNROUTED_NEWS,
            topology.MARK_QUEUE,
        ):
            amqp.consume(queue, _AT_ONCE, lambda delivery: self._throw_away(amqp, delivery))
        await up(amqp, self._clock)
        self._heard_s = self._clock.monotonic_s()
        while (quiet_s := self._clock.monotonic_s() - self._heard_s) < _SILENCE_S:
            await sleep(self._clock, _SILENCE_S - quiet_s)
        await amqp.close(5.0)

    async def watch(self) -> None:
        """Begin to collect parked messages and messages without a receiver."""
        amqp = self._amqp = self._connect()
        amqp.consume(topology.PARKED_QUEUE, _AT_ONCE, self._take_parked)
        amqp.consume(topology.UNROUTED_NEWS, _AT_ONCE, self._take_unrouted)
        await up(amqp, self._clock)

    async def close(self) -> None:
        """Disconnect."""
        if self._amqp is not None:
            await self._amqp.close(2.0)

    def _connect(self) -> Amqp:
        prepare = topology.preparation(topology.standard(), "apply")
        return connect(self._reactor, self._broker, "bankgw", "bankgw demo clerk", prepare)

    def _throw_away(self, amqp: Amqp, delivery: Delivery) -> None:
        self.thrown_away += 1
        self._heard_s = self._clock.monotonic_s()
        amqp.ack(delivery)

    def _take_parked(self, delivery: Delivery) -> None:
        said = delivery.properties
        if said.message_id not in self._seen:
            self._seen.add(said.message_id or "")
            self.parked.append(parked(said))
        self._ack(delivery)

    def _take_unrouted(self, delivery: Delivery) -> None:
        if delivery.properties.message_id not in self._seen:
            self._seen.add(delivery.properties.message_id or "")
            self.unrouted.append(heard(delivery, UNROUTED, self._elapsed()))
        self._ack(delivery)

    def _ack(self, delivery: Delivery) -> None:
        assert self._amqp is not None
        self._amqp.ack(delivery)


def parked(said: Properties) -> Parked:
    """A parked message's reason and command, read from its properties."""
    if "refused" in said.headers:
        return Parked(str(said.headers["refused"]), str(said.headers.get("original_id", "")))
    return Parked(str(said.headers.get("x-first-death-reason", "")), said.message_id or "")


def heard(delivery: Delivery, where: ExpectedAnswer, at_s: float) -> ReceivedNews:
    """A delivery as a received message. Raises ValueError for a body that is neither JSON nor XML."""
    said = delivery.properties
    kind = said.content_type or ""
    return ReceivedNews(
        where,
        said.message_id or "",
        said.correlation_id or "",
        said.type or "",
        read_body(delivery.body, kind),
        kind,
        at_s,
    )


class Erp:
    """The demo's ERP: publishes commands at a steady pace and keeps the answers.

    `sent` has the ids of the commands that may have reached the broker.
    """

    def __init__(
        self,
        reactor: Any,
        broker: Mapping[str, Any],
        clock: Clock,
        run: str,
        elapsed: Callable[[], float],
        on_heard: Callable[[ReceivedNews], None],
    ) -> None:
        self.heard: list[ReceivedNews] = []
        self.repeats = 0
        self.published = 0
        self.sent: set[str] = set()
        self._ahead = 0
        self.replies_queue = f"erp-demo.{run}.replies"
        self.events_queue = f"erp-demo.{run}.events"
        self.gone_queue = f"erp-demo.{run}.gone"
        self._user = broker["users"]["erp-demo"]["user"]
        self._clock = clock
        self._elapsed = elapsed
        self._on_heard = on_heard
        self._seen: set[str] = set()
        self._amqp = connect(reactor, broker, "erp-demo", "demo ERP", self._declare)
        self._amqp.consume(self.replies_queue, _AT_ONCE, lambda delivery: self._take(delivery, REPLY))
        self._amqp.consume(self.events_queue, _AT_ONCE, lambda delivery: self._take(delivery, EVENT))
        self.last_heard_s = 0.0

    async def _declare(self, declarer: Declarer) -> None:
        # No later run uses these queues, so the broker deletes them after some idle time.
        for queue in (self.replies_queue, self.events_queue):
            await declarer.queue(queue, {"x-expires": _QUEUE_LIVES_MS})
        await declarer.bind(self.events_queue, EVENTS, "#")

    async def start(self) -> None:
        """Connect, and declare the ERP's queues."""
        await up(self._amqp, self._clock)

    def hurry(self, commands: int) -> None:
        """Publish these commands at once and ahead of the pace."""
        self._ahead += commands

    async def publish(self, commands: tuple[DemoCommand, ...], per_second: float) -> None:
        """Publish all commands in order, `per_second` of them; returns when the broker has confirmed the last."""
        started_s, waiting = self._clock.monotonic_s(), deque(commands)
        confirms: list[Deferred[None]] = []
        while waiting:
            due = int((self._clock.monotonic_s() - started_s) * per_second) + 1 + self._ahead
            while waiting and len(confirms) < due:
                confirms.append(Deferred.fromCoroutine(self._send(waiting.popleft())))
            await sleep(self._clock, 1 / min(per_second, 50.0))
        await DeferredList(confirms, fireOnOneErrback=True, consumeErrors=True)

    async def bring(self, key: str, message_id: str, body: bytes) -> None:
        """Publish a command outside of the story; returns when the broker has confirmed it."""
        await self._publish(DemoCommand(message_id, "", key, body, frozenset()))

    async def _send(self, command: DemoCommand) -> None:
        self.sent.add(command.message_id)
        await self._publish(command)
        self.published += 1

    async def _publish(self, command: DemoCommand) -> None:
        """Publish one command; repeat it under the same message id until the broker has confirmed it."""
        queues = {REPLY: self.replies_queue, UNROUTED: self.gone_queue, EVENT: None}
        properties = Properties(
            message_id=command.message_id,
            user_id=self._user,
            reply_to=queues[command.answer],
            content_type=command.content_type,
            type=command.named_type,
            timestamp=self._clock.now_ms() // 1000,
            app_id="bankgw-demo",
        )
        while True:
            verdict: PublishResult = await self._amqp.publish(
                OutgoingMessage(topology.COMMANDS, command.key, command.body, properties)
            )
            if verdict.fate is PublishStatus.CONFIRMED:
                return
            if verdict.fate in (PublishStatus.REFUSED, PublishStatus.RETURNED):
                raise BrokerTrouble(f"{command.key} {command.message_id}: {verdict.code} {verdict.text}")
            await sleep(self._clock, _AGAIN_S)

    def _take(self, delivery: Delivery, where: ExpectedAnswer) -> None:
        self.last_heard_s = self._clock.monotonic_s()
        one = heard(delivery, where, self._elapsed())
        if one.message_id in self._seen:
            self.repeats += 1
        else:
            self._seen.add(one.message_id)
            self.heard.append(one)
            self._on_heard(one)
        self._amqp.ack(delivery)

    async def silence(self, quiet_s: float, limit_s: float) -> None:
        """Wait until no message has arrived for `quiet_s` seconds, at most `limit_s`."""
        until_s = self._clock.monotonic_s() + limit_s
        self.last_heard_s = max(self.last_heard_s, self._clock.monotonic_s() - quiet_s / 2)
        while (now_s := self._clock.monotonic_s()) < until_s and now_s - self.last_heard_s < quiet_s:
            await sleep(self._clock, quiet_s / 4)

    async def close(self) -> None:
        """Disconnect."""
        await self._amqp.close(2.0)
