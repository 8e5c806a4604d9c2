"""A short connection to the broker for the command line: connect, do one thing, disconnect."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.bank.lane_tls import tls_settings
from gateway.bank.tls import client_context
from gateway.erp import broker_address
from gateway.erp.amqp import pika_amqp
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.amqp_types import BrokerDown, Prepare
from gateway.erp.broker_address import BrokerAddress
from gateway.erp.client import AmqpClient, ClientTimeouts
from gateway.kernel.clock import SystemClock
from gateway.settings import Settings
from protocols.erp.words import MAX_BODY_BYTES

T = TypeVar("T")
CONNECT_S = 10.0
_MOST_BYTES = 1_073_741_824
_QUICK = ClientTimeouts(connect_timeout_s=CONNECT_S, canary_every_s=0)


class BrokerSilent(Exception):
    """The broker cannot be reached, or does not let us in; the text says why. `chinese` is the same in Chinese."""

    def __init__(self, english: str, chinese: str = "") -> None:
        super().__init__(english)
        self.chinese = chinese


def own_client(reactor: Any, settings: Settings, prepare: Prepare | None = None) -> AmqpClient:
    """A client with the gateway's own login; it connects when it is started. Raises OSError if the password cannot be
    read.
    """
    broker = settings.broker
    tls = None if broker.tls is None else client_context(tls_settings(broker.tls, broker.host), SystemClock(reactor))
    return client(reactor, broker_address.own(broker), tls, prepare)


def client(reactor: Any, at: BrokerAddress, tls: Any = None, prepare: Prepare | None = None) -> AmqpClient:
    """A client for one short connection."""
    # A command that reads a queue acknowledges nothing, so its unacked messages are limited to the number that it asks
    # for.
    wanted = AmqpSettings(at, "bankgw command line", patience=_QUICK, most_bytes=_MOST_BYTES, most_body=MAX_BODY_BYTES)
    return pika_amqp(reactor, wanted, random.SystemRandom(), tls=tls, prepare=prepare)


def up(amqp: AmqpClient) -> Deferred[None]:
    """Start the client; fires when it is up, fails with BrokerSilent at the first failed attempt."""
    answer: Deferred[None] = Deferred()

    def on_up() -> None:
        if not answer.called:
            answer.callback(None)

    def on_down(down: BrokerDown) -> None:
        if not answer.called:
            why = down.reason
            answer.errback(BrokerSilent(f"the broker cannot be used: {why}", f"消息服务器无法使用：{why}"))

    amqp.start(on_up, on_down)
    return answer


def visit(reactor: Any, work: Callable[[], Awaitable[T]], limit_s: float) -> T:
    """Run the reactor for one piece of work; return its result, or raise its exception. May be called once per
    process."""
    results: list[T | Failure] = []

    async def working() -> T:
        return await work()

    def over(result: T | Failure) -> None:
        results.append(result)
        reactor.stop()

    def begin() -> None:
        Deferred.fromCoroutine(working()).addTimeout(limit_s, reactor).addBoth(over)

    reactor.callWhenRunning(begin)
    reactor.run()
    if not results:
        raise KeyboardInterrupt
    result = results[0]
    if isinstance(result, Failure):
        if isinstance(result.value, defer.TimeoutError):
            raise BrokerSilent(f"nothing happened for {limit_s:g} s", f"{limit_s:g} 秒内没有进展")
        result.raiseException()
    return result
