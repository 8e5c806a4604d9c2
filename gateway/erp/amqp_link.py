"""One connection to a broker, as the client needs it: what a client library must offer to carry
`client.AmqpClient`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from twisted.internet.defer import Deferred

from gateway.erp.amqp_types import BrokerRefused, Declarer, Delivery, LinkLost
from gateway.erp.publisher import Publisher

Gone: TypeAlias = BrokerRefused | LinkLost


class BrokerChannel(Protocol):
    """An open channel. Its coroutines raise `BrokerRefused` or `LinkLost` when it closes before the answer.
    """

    @property
    def gone(self) -> Gone | None:
        """Why it closed; None while open."""

    def when_gone(self, watcher: Callable[[Gone], None]) -> None:
        """Call `watcher` once if the channel closes for any reason but `leave`, or loses its consumer."""

    def leave(self) -> None:
        """Close it; watchers hear nothing."""

    def deliver(self, queue: str, token: int, sink: Callable[[Delivery], None]) -> None:
        """Hand every message that arrives on this channel to `sink`, labelled with `queue` and `token`."""

    async def limit(self, prefetch: int) -> None:
        """At most so many unacked deliveries per consumer declared after this."""

    async def subscribe(self, queue: str, tag: str, *, no_ack: bool = False) -> None:
        """Ask for the queue's messages under a consumer tag never used on this channel before."""

    async def unsubscribe(self, tag: str) -> None:
        """Ask no more; what is on its way still arrives."""

    async def mirror(self, name: str) -> None:
        """Declare a queue of this connection's own, gone with it."""

    def ack_through(self, tag: int) -> None:
        """Ack this delivery and all before it. Does nothing once the channel is gone."""

    def release(self, tag: int) -> None:
        """Put this one delivery back into its queue, counting towards its delivery limit."""

    def reject(self, tag: int) -> None:
        """Let the broker move this one delivery to its queue's dead-letter exchange."""

    async def publish_for(self, publisher: Publisher) -> None:
        """Switch confirms on and carry `publisher` (calls its `opened`) as long as the channel lives."""


class Link(Protocol):
    """One connection. `opened` fires once or fails with LinkLost; `ended` fires once with the reason, never
    fails.
    """

    opened: Deferred[None]
    ended: Deferred[str]

    @property
    def alive(self) -> bool:
        """False once `ended` has fired."""

    async def channel(self) -> BrokerChannel:
        """Open a channel."""

    def hold(self, held: bool) -> None:
        """Read nothing from the broker for now, or again. What was read before has been handed over."""

    def declarer(self) -> Declarer:
        """Declares on channels of its own."""

    def drop(self, reason: str) -> None:
        """Hang up now, without a word."""

    def hang_up(self) -> None:
        """Say goodbye; `ended` fires when the broker has answered."""


Dial: TypeAlias = Callable[[Callable[[bool], None]], Deferred[Link]]
"""Connects: takes the callback for "blocked" news, fires with a link when the transport is there (or fails).
"""
