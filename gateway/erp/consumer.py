"""A consumed queue: its present channel, subscriptions and unacked deliveries."""

from __future__ import annotations

from gateway.erp.ack_window import AckWindow
from gateway.erp.amqp_link import BrokerChannel
from gateway.erp.amqp_types import OnDelivery

WIDER = 2_000
"""How many more unacked messages each widening allows."""


def _nothing(_tag: int) -> None:
    """Do nothing: the ack function of a consumer whose channel is not open yet."""


class Consumer:
    """A consumed queue with its channel, subscriptions and unacked deliveries. `tags` are the subscriptions of the
    channel: the first takes `prefetch` messages, each further one WIDER more. `sizes` are the bytes of each delivery
    that is not done."""

    def __init__(self, queue: str, prefetch: int, on_delivery: OnDelivery) -> None:
        self.queue = queue
        self.prefetch = prefetch
        self.on_delivery = on_delivery
        self.failures = 0
        self.sizes: dict[int, int] = {}
        self.token = 0
        self.channel: BrokerChannel | None = None
        self.window = AckWindow(_nothing)
        self.tags: list[str] = []
        self._subscriptions = 0

    def opened(self, channel: BrokerChannel, token: int) -> None:
        """Use this channel, which was opened for the consumer."""
        self.token, self.channel, self.window = token, channel, AckWindow(channel.ack_through)
        self.sizes.clear()
        self.tags.clear()
        self._subscriptions = 0

    async def subscribe(self) -> None:
        """Subscribe to the queue: for `prefetch` messages the first time, then for WIDER more each time."""
        channel = self.channel
        if channel is not None:
            self._subscriptions += 1
            tag = f"bankgw-{self.token}-{self._subscriptions}"
            self.tags.append(tag)
            await channel.limit(WIDER if len(self.tags) > 1 else self.prefetch)
            await channel.subscribe(self.queue, tag)

    async def unsubscribe(self, keep: int = 0) -> None:
        """Cancel all subscriptions but the first `keep`; deliveries in transit still arrive."""
        channel = self.channel
        while channel is not None and len(self.tags) > keep:
            await channel.unsubscribe(self.tags.pop())
