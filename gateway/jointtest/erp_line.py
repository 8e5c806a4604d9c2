"""The connection of a joint test to the broker, as an ERP: publishes commands, keeps every answer, waits for expected
ones.

It knows the contract only: commands go to the gateway's exchange, replies come to a queue of its own, events come by
binding. It trusts no message to come once or in order.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from twisted.internet.defer import Deferred

from gateway.erp.amqp import pika_amqp
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.amqp_types import BrokerDown, Declarer, OutgoingMessage, PublishStatus
from gateway.erp.broker_address import BrokerAddress
from gateway.erp.client import ClientTimeouts
from gateway.erp.topology import COMMANDS
from gateway.kernel.clock import Clock
from gateway.kernel.deliveries import Delivery, Properties
from gateway.kernel.tasks import sleep
from protocols.erp import signature
from protocols.erp.routing import EVENTS

_QUEUE_LIVES_MS = 900_000
_AT_ONCE = 500
_LOOK_EVERY_S = 0.02
_CONNECT_S = 20.0
_PROGRESS_MOST = 10


class LineDown(Exception):  # noqa: N818 - says who is missing
    """The broker cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class ErpAccess:
    """Access to the broker, and the sender of a joint test. `queue` is the first part of the name of the queue for
    replies and events."""

    address: BrokerAddress
    sender: str
    queue: str
    tls: Any = None
    hmac_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class HeardMessage:
    """One message of the gateway, kept once even if it arrived several times. `order` is the index of its arrival."""

    order: int
    name: str
    said: Mapping[str, Any]
    correlation: str
    body: bytes
    content_type: str
    at_ms: int

    @property
    def state(self) -> str:
        """The payment state in the message, empty if there is none."""
        return str(self.said.get("state", ""))

    @property
    def code(self) -> str:
        """The code of the refusal, empty if the message is none."""
        error = self.said.get("error")
        return str(error.get("code", "")) if isinstance(error, Mapping) else ""

    @property
    def final(self) -> bool:
        """True if the ERP contract calls the message's state final."""
        return self.said.get("final") in (True, "true")


class ErpLine:
    """The ERP's connection to the broker. Call `open` before use and `close` at the end."""

    def __init__(self, reactor: Any, access: ErpAccess, clock: Clock, run: str) -> None:
        self.heard: list[HeardMessage] = []
        self._access = access
        self._clock = clock
        self._seen: set[str] = set()
        self._heard_s = clock.monotonic_s()
        self._queue = f"{access.queue}.{run}"
        settings = AmqpSettings(access.address, "bankgw joint-test", patience=ClientTimeouts(canary_every_s=0))
        self._amqp = pika_amqp(reactor, settings, random.Random(run), tls=access.tls, prepare=self._declare)
        self._amqp.consume(self._queue, _AT_ONCE, self._take)

    async def _declare(self, declarer: Declarer) -> None:
        # No later run uses the queue, so the broker deletes it after some idle time.
        await declarer.queue(self._queue, {"x-expires": _QUEUE_LIVES_MS})
        await declarer.bind(self._queue, EVENTS, f"#.{self._access.sender}")

    async def open(self) -> None:
        """Connect. Raises LineDown."""
        usable: Deferred[None] = Deferred()
        last = [f"no answer within {_CONNECT_S:g} s"]

        def on_up() -> None:
            if not usable.called:
                usable.callback(None)

        def on_down(down: BrokerDown) -> None:
            last[0] = down.reason

        def too_long() -> None:
            if not usable.called:
                usable.errback(LineDown(f"the broker cannot be used: {last[0]}"))

        self._amqp.start(on_up, on_down)
        timer = self._clock.later(_CONNECT_S, too_long)
        try:
            await usable
        finally:
            if timer.active():
                timer.cancel()

    async def close(self) -> None:
        """Close the connection."""
        await self._amqp.close(2.0)

    async def publish(self, message_id: str, key: str, body: bytes, content_type: str) -> None:
        """Publish one command, and wait until the broker has stored it. Raises LineDown."""
        access = self._access
        headers = {}
        if access.hmac_key is not None:
            headers[signature.HEADER] = signature.sign(access.hmac_key, body, message_id)
        properties = Properties(
            message_id=message_id,
            reply_to=self._queue,
            user_id=access.address.user,
            content_type=content_type,
            timestamp=self._clock.now_ms() // 1000,
            app_id="bankgw joint-test",
            headers=headers,
        )
        for _ in range(20):
            verdict = await self._amqp.publish(OutgoingMessage(COMMANDS, key, body, properties))
            if verdict.fate is PublishStatus.CONFIRMED:
                return
            if verdict.fate in (PublishStatus.REFUSED, PublishStatus.RETURNED, PublishStatus.BARRED):
                raise LineDown(f"the broker did not take {key} {message_id}: {verdict.code} {verdict.text}")
            await sleep(self._clock, 0.5)
        raise LineDown(f"the broker did not take {key} {message_id}")

    async def until(self, good: Callable[[], bool], patience_s: float) -> bool:
        """Wait until `good` returns True; False if nothing was heard of the gateway for the time, and it never did.

        As long as messages come, the gateway makes progress and the wait goes on, for at most ten times as long.
        """
        begun_s = self._clock.monotonic_s()
        while not good():
            now_s = self._clock.monotonic_s()
            quiet_s = now_s - max(begun_s, self._heard_s)
            if quiet_s > patience_s or now_s - begun_s > patience_s * _PROGRESS_MOST:
                return False
            await sleep(self._clock, _LOOK_EVERY_S)
        return True

    def answers(self, message_id: str) -> list[HeardMessage]:
        """The messages that answer a command or were caused by it."""
        return [one for one in self.heard if one.correlation == message_id]

    def about(self, order_id: str) -> list[HeardMessage]:
        """The messages about an order or batch."""
        return [one for one in self.heard if one.said.get("id") == order_id]

    def _take(self, delivery: Delivery) -> None:
        said = delivery.properties
        self._heard_s = self._clock.monotonic_s()
        if said.message_id not in self._seen:
            self._seen.add(said.message_id or "")
            fields = _fields(delivery.body)
            self.heard.append(
                HeardMessage(
                    len(self.heard),
                    str(fields.get("event", said.type or "")),
                    fields,
                    said.correlation_id or "",
                    delivery.body,
                    said.content_type or "",
                    self._clock.now_ms(),
                )
            )
        self._amqp.ack(delivery)


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        try:
            said = _children(ElementTree.fromstring(body))
        except ElementTree.ParseError:
            said = {}
    return said if isinstance(said, dict) else {}


def _children(element: ElementTree.Element) -> dict[str, Any]:
    return {one.tag.rpartition("}")[2]: _children(one) if len(one) else (one.text or "") for one in element}
