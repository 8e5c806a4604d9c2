"""The publishing channels of the broker client: one for all messages, one for those that the broker refuses for now.

The broker closes a channel if the right for a message, or its exchange, is missing. Messages of the same exchange and
sender are then tried on a separate channel, where they do not disturb others, until one is stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.erp.amqp_link import BrokerChannel, Gone, Link
from gateway.erp.amqp_types import BrokerRefused, OutgoingMessage, PublishResult, PublishStatus
from gateway.erp.publisher import NOT_FOUND, Publisher
from gateway.erp.topology import OWN_QUEUES

log = Logger()
BarredScope = tuple[str, str | None]
"""An exchange, and one sender or None for all."""


class PublishChannels:
    """The publishing channels of one connection: one for all messages, one for those that the broker refuses. `open`
    serves them on a connection, `lost` ends that.

    `spawn` runs a task that ends with the connection. `pause` waits a moment, so that a broker that closes every
    channel at once is not flooded. `mend` begins to declare or verify the topology again on this
    connection.
    """

    def __init__(
        self,
        spawn: Callable[[Coroutine[Deferred[Any], Any, None]], None],
        pause: Callable[[], Awaitable[None]],
        mend: Callable[[Link], None],
    ) -> None:
        self._spawn = spawn
        self._pause = pause
        self._mend = mend
        self._main, self._apart = Publisher(), Publisher()
        self._link: Link | None = None
        self._apart_opened = False
        self._barred: dict[BarredScope, str] = {}

    @property
    def in_flight(self) -> int:
        """The number of publishes without a result."""
        return self._main.in_flight + self._apart.in_flight

    @property
    def refusals(self) -> dict[str, str]:
        """The exchanges and senders whose messages the broker refuses for now, with the broker's text."""
        return {_subject(scope): text for scope, text in self._barred.items()}

    async def open(self, link: Link) -> None:
        """Open the channel for all messages on a new connection."""
        self._link = link
        await self._carry(link, self._main)

    def lost(self, reason: str) -> None:
        """End the publishes of a lost connection. A new connection begins without refusals."""
        self._link, self._apart_opened = None, False
        self._barred.clear()
        self._main.lost(reason)
        self._apart.lost(reason)

    def when_idle(self) -> Deferred[None]:
        """Fires when nothing is in flight."""
        return self._main.when_idle().addCallback(lambda _result: self._apart.when_idle())

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        """Publish on the common channel, or on the separate one if the broker has refused a message of this exchange
        and sender."""
        scope = self._scope_of(message)
        publisher = self._main if scope is None else self._apart
        if publisher is self._apart:
            self._open_apart()
        return publisher.publish(message).addCallback(self._heard, message)

    def _scope_of(self, message: OutgoingMessage) -> BarredScope | None:
        if not self._barred:
            return None
        asked = (message.exchange, message.sender), (message.exchange, None)
        return next((scope for scope in asked if scope in self._barred), None)

    def _heard(self, result: PublishResult, message: OutgoingMessage) -> PublishResult:
        if result.fate is PublishStatus.RETURNED and (message.exchange or message.routing_key in OWN_QUEUES):
            # An event without a receiver goes to the alternate exchange: a queue of the gateway's own is missing.
            result = PublishResult(PublishStatus.BARRED, result.code, result.text)
            if self._link is not None:
                self._mend(self._link)
        if result.fate is PublishStatus.BARRED:
            scope = message.exchange, None if result.exchange_wide else message.sender
            if scope not in self._barred:
                log.error("the broker takes nothing for {subject}: {text}", subject=_subject(scope), text=result.text)
            if not result.exchange_wide:
                self._barred.pop((message.exchange, None), None)
            self._barred[scope] = f"{result.code} {result.text}"
        elif result.fate is not PublishStatus.LOST and self._barred:
            self._allowed(message)
        return result

    def _allowed(self, message: OutgoingMessage) -> None:
        for scope in ((message.exchange, message.sender), (message.exchange, None)):
            if self._barred.pop(scope, None) is not None:
                log.info("the broker takes messages for {subject} again", subject=_subject(scope))

    # ---- channels ----

    def _open_apart(self) -> None:
        if not self._apart_opened and self._link is not None:
            self._apart_opened = True
            self._apart.awaits_channel()
            self._spawn(self._carry(self._link, self._apart))

    async def _carry(self, link: Link, publisher: Publisher) -> None:
        channel: BrokerChannel = await link.channel()
        await channel.publish_for(publisher)
        channel.when_gone(partial(self._gone, link, publisher))

    def _gone(self, link: Link, publisher: Publisher, gone: Gone) -> None:
        if not isinstance(gone, BrokerRefused) or link is not self._link:
            return
        log.error("the broker closed a publishing channel: {gone}", gone=str(gone))
        publisher.channel_closed(gone.code, gone.text)
        self._spawn(self._reopen(link, publisher, gone.code))

    async def _reopen(self, link: Link, publisher: Publisher, code: int) -> None:
        await self._pause()
        await self._carry(link, publisher)
        if code == NOT_FOUND:
            self._mend(link)


def _subject(scope: BarredScope) -> str:
    exchange, sender = scope
    name = f"exchange {exchange}" if exchange else "reply queues (amq.default)"
    return name if sender is None else f"{name}, sender {sender or 'none'}"
