"""Opens the queue of the canary messages of one connection, and sends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from gateway.erp.amqp_link import Link
from gateway.erp.amqp_types import OutgoingMessage, PublishResult, PublishStatus
from gateway.erp.heartbeat import Heartbeat
from gateway.kernel.deliveries import Properties

CANARY_QUEUE = "bankgw.canary."


class RandomSource(Protocol):
    """The methods of `random.Random` that are used."""

    def random(self) -> float:
        """A random number in [0, 1)."""

    def getrandbits(self, k: int, /) -> int:
        """A random number of `k` bits."""


async def open_canary(
    link: Link,
    clock: IReactorTime,
    every_s: float,
    random: RandomSource,
    publish: Callable[[OutgoingMessage], Deferred[PublishResult]],
    on_silence: Callable[[float], None],
) -> Heartbeat:
    """Make a heartbeat over an exclusive queue of this connection, without starting it. Raises BrokerRefused."""
    queue = f"{CANARY_QUEUE}{random.getrandbits(96):024x}"

    def sent(result: PublishResult) -> None:
        if result.fate is PublishStatus.BARRED:
            # A refusal is an answer too: the connection is alive.
            canary.returned()

    def send() -> None:
        properties = Properties(message_id=f"canary-{random.getrandbits(96):024x}")
        publish(OutgoingMessage("", queue, b"", properties, persistent=False)).addCallback(sent)

    channel = await link.channel()
    await channel.mirror(queue)
    canary = Heartbeat(clock, every_s, send, on_silence)
    channel.deliver(queue, 0, lambda _delivery: canary.returned())
    await channel.subscribe(queue, "bankgw-canary", no_ack=True)
    return canary
