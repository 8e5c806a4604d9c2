"""A real RabbitMQ for tests: a virtual host of its own, an ERP's blocking client, and a connection that can be cut or
frozen.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pika
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from gateway.demo.own_vhost import own_vhost
from gateway.erp.amqp import pika_amqp
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.amqp_types import BrokerDown, OutgoingMessage, Prepare
from gateway.erp.broker_address import BrokerAddress
from gateway.erp.client import AmqpClient, ClientTimeouts
from gateway.kernel.deliveries import Properties
from setup.machine import free_port
from tests.world.services import Control, broker_file, described, read_broker

QUICK = ClientTimeouts(backoff_first_s=0.02, backoff_max_s=0.2, canary_every_s=0, give_back_after_s=0.01)
LOOPBACK = "127.0.0.1"


def running_reactor() -> Any:
    """The reactor of the running tests."""
    from twisted.internet import reactor

    return reactor


def ctl(*words: str) -> str:
    """Run rabbitmqctl and return its output. Raises RuntimeError if it fails."""
    control = _control()
    command, env = [*control.command, "-q", *words], {**os.environ, **control.env}
    # Otherwise all runs at the same time would share ten ports.
    env["RABBITMQ_CTL_DIST_PORT_MIN"] = env["RABBITMQ_CTL_DIST_PORT_MAX"] = str(free_port())
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=240, check=False, env=env, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise RuntimeError("rabbitmqctl is not installed") from None
    if done.returncode:
        raise RuntimeError(f"rabbitmqctl {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def _control() -> Control:
    found = read_broker(broker_file())
    if found is not None and found.control is not None:
        return found.control
    if found is not None and found.private:
        raise RuntimeError("it is not known how rabbitmqctl reaches this private node")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return Control((shutil.which("rabbitmqctl", path=path) or "rabbitmqctl",), {"PATH": path})


@dataclass(frozen=True, slots=True)
class Rabbit:
    """One virtual host, empty at the start of each test. `ruled` is set if rabbitmqctl works on it."""

    address: BrokerAddress
    ruled: bool
    started: list[AmqpClient | Wire] = field(default_factory=list)

    def client(
        self,
        *,
        port: int = 0,
        patience: ClientTimeouts = QUICK,
        prepare: Prepare | None = None,
        tls: Any = None,
        reactor: Any = None,
        heartbeat_s: int = 10,
        address: BrokerAddress | None = None,
    ) -> AmqpClient:
        """Our client, not started; `port` goes through a `Wire`."""
        at = self.address
        to = address or BrokerAddress(at.host, port or at.port, at.vhost, at.user, at.password, tls is not None)
        settings = AmqpSettings(to, heartbeat_s=heartbeat_s, patience=patience)
        client = pika_amqp(reactor or running_reactor(), settings, random.Random(7), tls=tls, prepare=prepare)
        self.started.append(client)
        return client

    def wire(self, context: Any = None) -> Wire:
        """A proxy to this broker."""
        wire = Wire(running_reactor(), self, context)
        self.started.append(wire)
        return wire

    def stop(self) -> None:
        """Close everything made here; from a fixture only."""
        for each in self.started:
            pytest_twisted.blockon(each.close(1) if isinstance(each, AmqpClient) else each.close())
        self.started.clear()

    @contextmanager
    def erp(self, user: str = "", password: str = "") -> Iterator[Any]:
        """An independent client's channel, with confirms on."""
        at = self.address
        login = pika.PlainCredentials(user or at.user, password or at.password)
        connection = pika.BlockingConnection(
            pika.ConnectionParameters(at.host, at.port, at.vhost, login, heartbeat=0, blocked_connection_timeout=10)
        )
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        finally:
            if connection.is_open:
                connection.close()

    def ruler(self) -> Callable[..., str]:
        """The function `rabbitmqctl` for use in a thread. Skips the test if rabbitmqctl does not reach this broker;
        fails it in CI.

        Call this in the test itself: what skips in a thread skips nothing.
        """
        if not self.ruled:
            pytest.skip("rabbitmqctl does not reach this broker")
        return ctl

    def rule(self, *words: str) -> str:
        """Run rabbitmqctl. Skips the test if it does not reach this broker."""
        return self.ruler()(*words)

    def depth(self, queue: str) -> int:
        """The number of messages that are ready in the queue."""
        with self.erp() as channel:
            return int(channel.queue_declare(queue, passive=True).method.message_count)

    def put(self, queue: str, count: int, **properties: Any) -> None:
        """Publish `count` messages with bodies 0, 1, 2 …"""
        with self.erp() as channel:
            for n in range(count):
                named = pika.BasicProperties(**{"message_id": f"in-{n}", "delivery_mode": 2, **properties})
                channel.basic_publish("", queue, str(n).encode(), named, mandatory=True)

    def get_all(self, queue: str) -> list[tuple[Any, Any, bytes]]:
        """Take and ack all messages that are ready: (method, properties, body)."""
        return self.get_all_as("", "", queue)

    def get_all_as(self, user: str, password: str, queue: str) -> list[tuple[Any, Any, bytes]]:
        """Take and ack all messages that are ready, as another user."""
        found = []
        with self.erp(user, password) as channel:
            while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
                found.append(got)
        return found


@contextmanager
def rabbit_for_tests(name: str) -> Iterator[Rabbit]:
    """A virtual host for one test module: made with rabbitmqctl where that works, else the one in broker.json."""
    found = read_broker(broker_file())
    if found is None:
        pytest.skip("no RabbitMQ: run `make broker`")
    login = found.users["bankgw"]
    with own_vhost(described(found), name) as own:
        address = BrokerAddress(found.host, found.port, own["vhost"], login.user, login.password)
        yield Rabbit(address, ruled=found.control is not None)


class ClientListener:
    """Records what a client reports and lets tests wait for it."""

    def __init__(self, client: AmqpClient) -> None:
        self.client = client
        self.ups = 0
        self.downs: list[BrokerDown] = []
        self.blocked: list[bool] = []
        client.start(self._up, self.downs.append, self.blocked.append)

    def _up(self) -> None:
        self.ups += 1

    async def up(self, times: int = 1) -> None:
        """Wait until the client has come up so many times."""
        await until(lambda: self.ups >= times and self.client.up)


async def until(condition: Callable[[], bool], limit_s: float = 15.0) -> None:
    """Let the reactor run until the condition holds; the other side is a real process, so no clock can be
    advanced.
    """
    reactor = running_reactor()
    for _ in range(int(limit_s / 0.01)):
        if condition():
            return
        await deferLater(reactor, 0.01)
    raise AssertionError(f"still not so after {limit_s} s")


def message(n: int | str, queue: str, **properties: Any) -> OutgoingMessage:
    """A message to a queue, by way of the default exchange."""
    return OutgoingMessage("", queue, str(n).encode(), Properties(message_id=f"m-{n}", **properties))


class _End(Protocol):
    peer: _End | None = None

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.wire.ends.discard(self)
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.loseConnection()

    def write(self, data: bytes) -> None:
        """Send to the peer of this end."""
        if self.transport is not None:
            self.transport.write(data)


class _Out(_End):
    def connectionMade(self) -> None:
        self.wire.ends.add(self)
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resumeProducing()  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        if not self.wire.frozen and self.peer is not None:
            self.peer.write(data)


class _In(_End):
    def connectionMade(self) -> None:
        self.wire.ends.add(self)
        self.transport.pauseProducing()  # type: ignore[union-attr]
        self.wire.dial(self)

    def dataReceived(self, data: bytes) -> None:
        if not self.wire.deaf and not self.wire.frozen and self.peer is not None:
            self.peer.write(data)


class Wire:
    """A TCP proxy to the broker. `frozen`: nothing passes, as on a dead connection; `deaf`: nothing reaches the
    broker."""

    def __init__(self, reactor: Any, rabbit: Rabbit, context: Any = None) -> None:
        """With `context` (an SSL context factory) the client's side speaks TLS."""
        self._reactor = reactor
        self._rabbit = rabbit
        self.frozen = False
        self.deaf = False
        self.ends: set[_End] = set()
        factory = Factory.forProtocol(lambda: _In(self))
        factory.noisy = False
        if context is None:
            self.listening: Any = reactor.listenTCP(0, factory, interface=LOOPBACK)
        else:
            self.listening = reactor.listenSSL(0, factory, context, interface=LOOPBACK)
        self.port: int = self.listening.getHost().port

    def dial(self, client: _In) -> None:
        """Connect a client's end to the broker."""
        from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

        server = _Out(self)
        client.peer, server.peer = server, client
        connectProtocol(TCP4ClientEndpoint(self._reactor, self._rabbit.address.host, self._rabbit.address.port), server)

    def inject(self, octets: bytes) -> None:
        """Connect the client's end of the proxy to the broker."""
        for end in self.ends:
            if isinstance(end, _In):
                end.write(octets)

    def clog(self) -> None:
        """Stop reading the client's bytes, so that the client's own buffers fill up."""
        self.frozen = True
        for end in self.ends:
            if isinstance(end, _In):
                end.transport.pauseProducing()  # type: ignore[union-attr]

    def cut(self) -> None:
        """Reset every connection."""
        for end in list(self.ends):
            end.transport.abortConnection()  # type: ignore[union-attr]

    def close(self) -> Deferred[Any]:
        """Close the proxy for good."""
        self.cut()
        return maybeDeferred(self.listening.stopListening)
