"""The place of a journal's mark in a virtual host: an exclusive queue, and a queue that keeps the last message."""

from __future__ import annotations

from collections.abc import Callable

from gateway.erp.amqp_link import BrokerChannel, Link
from gateway.erp.amqp_types import BrokerRefused, LinkLost, OutgoingMessage, PublishStatus
from gateway.erp.publish_channels import PublishChannels
from gateway.erp.publisher import NOT_FOUND
from gateway.erp.topology import LOCK_QUEUE, MARK_QUEUE
from gateway.kernel.deliveries import Properties


class LinkPlace:
    """The mark's place (`amqp_types.MarkPlace`) on a link of the broker client. `on_missing` is called when the mark's
    queue is gone."""

    def __init__(self, link: Link, publisher: PublishChannels, on_missing: Callable[[], None]) -> None:
        self._link = link
        self._publisher = publisher
        self._on_missing = on_missing
        self._locked: BrokerChannel | None = None
        self._written = 0

    async def read_messages(self) -> list[bytes]:
        """The messages of the mark's queue, which stay in it: see `amqp_types.MarkPlace`."""
        channel = await self._link.channel()
        try:
            bodies = await channel.look_into(MARK_QUEUE)
        except BrokerRefused as refused:
            if refused.code == NOT_FOUND:
                self._on_missing()
            raise
        # Closing the channel returns the messages to the queue.
        channel.leave()
        return bodies

    async def replace_message(self, body: bytes) -> None:
        """Replace the mark's message: see `amqp_types.MarkPlace`."""
        self._written += 1
        properties = Properties(message_id=f"mark-{id(self)}-{self._written}", content_type="application/json")
        result = await self._publisher.publish(OutgoingMessage("", MARK_QUEUE, body, properties))
        if result.fate is not PublishStatus.CONFIRMED:
            raise LinkLost(f"the mark was not stored: {result.fate.value} {result.code} {result.text}".rstrip())

    async def lock(self, on_lost: Callable[[str], None]) -> None:
        """Declare the mark's exclusive queue: see `amqp_types.MarkPlace`."""
        channel = await self._link.channel()
        await channel.mirror(LOCK_QUEUE)
        channel.deliver(LOCK_QUEUE, 0, lambda _delivery: None)
        # The broker tells only a consumer that its queue was deleted.
        await channel.subscribe(LOCK_QUEUE, "bankgw-lock", no_ack=True)
        self._locked = channel
        channel.when_gone(lambda gone: on_lost(str(gone)))

    def unlock(self) -> None:
        """Delete the mark's exclusive queue: see `amqp_types.MarkPlace`."""
        channel, self._locked = self._locked, None
        if channel is not None:
            # Without its consumer the queue is deleted.
            channel.leave()

    def drop(self, reason: str) -> None:
        """Drop the connection: see `amqp_types.MarkPlace`."""
        self._link.drop(reason)
