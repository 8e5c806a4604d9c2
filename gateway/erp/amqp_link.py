"""The interface of one broker connection that `client.AmqpClient` needs from a client library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from twisted.internet.defer import Deferred

from gateway.erp.amqp_types import BrokerRefused, Declarer, LinkLost
from gateway.erp.publisher import Publisher
from gateway.kernel.deliveries import Delivery

Gone: TypeAlias = BrokerRefused | LinkLost


class BrokerChannel(Protocol):
    """An open channel. Its coroutines raise `BrokerRefused` or `LinkLost` if it closes before the answer."""

    @property
    def gone(self) -> Gone | None:
        """The reason why the channel closed; None while it is open."""

    def when_gone(self, watcher: Callable[[Gone], None]) -> None:
        """Call `watcher` once if the channel closes for any reason but `leave`, or loses its consumer."""

    def leave(self) -> None:
        """Close the channel without calling the watchers."""

    def deliver(self, queue: str, token: int, sink: Callable[[Delivery], None]) -> None:
        """Hand every message that arrives on this channel to `sink`, labelled with `queue` and `token`."""

    async def limit(self, prefetch: int) -> None:
        """Limit the unacked deliveries per consumer declared after this call."""

    async def subscribe(self, queue: str, tag: str, *, no_ack: bool = False) -> None:
        """Consume the queue's messages under a consumer tag never used on this channel before."""

    async def unsubscribe(self, tag: str) -> None:
        """Cancel the subscription; deliveries in transit still arrive."""

    async def look_into(self, queue: str) -> list[bytes]:
        """The bodies of all ready messages of a queue. The messages return to the queue when the channel closes."""

    async def mirror(self, name: str) -> None:
        """Declare an exclusive queue of this name, which is deleted with the connection."""

    def ack_through(self, tag: int) -> None:
        """Ack this delivery and all before it. Does nothing once the channel is gone."""

    def release(self, tag: int) -> None:
        """Return this one delivery to its queue; it counts towards the delivery limit."""

    def reject(self, tag: int) -> None:
        """Let the broker move this one delivery to its queue's dead-letter exchange."""

    async def publish_for(self, publisher: Publisher) -> None:
        """Enable publisher confirms and serve `publisher` (calls its `opened`) while the channel is open."""


class Link(Protocol):
    """One connection to the broker. `opened` fires once or fails with LinkLost. `ended` fires once with the reason, and
    never fails."""

    opened: Deferred[None]
    ended: Deferred[str]

    @property
    def alive(self) -> bool:
        """False once `ended` has fired."""

    async def channel(self) -> BrokerChannel:
        """Open a channel."""

    def hold(self, held: bool) -> None:
        """Stop reading from the broker, or resume. Data that was read before has been handed over."""

    def declarer(self) -> Declarer:
        """A declarer that uses its own channels."""

    def drop(self, reason: str) -> None:
        """Close the transport at once, without the protocol's close."""

    def hang_up(self) -> None:
        """Close in an orderly way; `ended` fires when the broker has answered."""


Dial: TypeAlias = Callable[[Callable[[bool], None]], Deferred[Link]]
"""A function that connects. It takes the callback for "blocked" changes, and fires with a link once the transport is
connected, or fails.
"""
