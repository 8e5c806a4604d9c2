"""A real RabbitMQ for tests: a virtual host of their own, an ERP's blocking client, a wire that can be cut or
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

from gateway.erp.amqp import pika_amqp
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.amqp_types import Down, OutgoingMessage, Prepare, Properties
from gateway.erp.broker_address import BrokerAddress
from gateway.erp.client import AmqpClient, Patience
from setup.machine import free_port
from tests.world.services import Control, broker_file, read_broker

QUICK = Patience(backoff_first_s=0.02, backoff_max_s=0.2, canary_every_s=0, give_back_after_s=0.01)
LOOPBACK = "127.0.0.1"


def running_reactor() -> Any:
    """The reactor of the running tests."""
    from twisted.internet import reactor

    return reactor


def ctl(*words: str) -> str:
    """Runs rabbitmqctl and returns what it printed; RuntimeError when it fails."""
    control = _control()
    command, env = [*control.command, "-q", *words], {**os.environ, **control.env}
    # Else all that run at the same time share ten ports.
    env["RABBITMQ_CTL_DIST_PORT_MIN"] = env["RABBITMQ_CTL_DIST_PORT_MAX"] = str(free_port())
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=env,
                              stdin=subprocess.DEVNULL)  # fmt: skip
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
    """One virtual host, empty at the start of each test. `ruled` when rabbitmqctl works on it."""

    address: BrokerAddress
    ruled: bool
    started: list[AmqpClient | Wire] = field(default_factory=list)

    def client(self, *, port: int = 0, patience: Patience = QUICK, prepare: Prepare | None = None, tls: Any = None,
               reactor: Any = None, heartbeat_s: int = 10, address: BrokerAddress | None = None) -> AmqpClient:
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
        connection = pika.BlockingConnection(pika.ConnectionParameters(
            at.host, at.port, at.vhost, login, heartbeat=0, blocked_connection_timeout=10))
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        finally:
            if connection.is_open:
                connection.close()

    def ruler(self) -> Callable[..., str]:
        """rabbitmqctl for use in a thread; skips the test where it does not reach this broker, fails it in CI.

        Call this in the test itself: what skips in a thread skips nothing.
        """
        if not self.ruled:
            pytest.skip("rabbitmqctl does not reach this broker")
        return ctl

    def rule(self, *words: str) -> str:
        """rabbitmqctl, or skip the test where it does not reach this broker."""
        return self.ruler()(*words)

    def depth(self, queue: str) -> int:
        """Messages ready in the queue."""
        with self.erp() as channel:
            return int(channel.queue_declare(queue, passive=True).method.message_count)

    def put(self, queue: str, count: int, **properties: Any) -> None:
        """Publish `count` messages with bodies 0, 1, 2 …"""
        with self.erp() as channel:
            for n in range(count):
                named = pika.BasicProperties(**{"message_id": f"in-{n}", "delivery_mode": 2, **properties})
                channel.basic_publish("", queue, str(n).encode(), named, mandatory=True)

    def get_all(self, queue: str) -> list[tuple[Any, Any, bytes]]:
        """Take and ack whatever is ready: (method, properties, body)."""
        return self.get_all_as("", "", queue)

    def get_all_as(self, user: str, password: str, queue: str) -> list[tuple[Any, Any, bytes]]:
        """The same as another user."""
        found = []
        with self.erp(user, password) as channel:
            while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
                found.append(got)
        return found


@contextmanager
def rabbit_for_tests(name: str) -> Iterator[Rabbit]:
    """A virtual host for one test module: made with rabbitmqctl where that works, else the one in
    broker.json.
    """
    found = read_broker(broker_file())
    try:
        vhost, user = f"bankgw-{name}-{os.getpid()}", f"bankgw-{name}-{os.getpid()}"
        ctl("add_vhost", vhost)
        ctl("add_user", user, "for-tests")
        ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    except RuntimeError as problem:
        if found is None:
            pytest.skip(f"no RabbitMQ: {problem}")
        yield Rabbit(BrokerAddress(found.host, found.port, found.test_vhost, found.admin.user, found.admin.password),
                     ruled=False)
        return
    host, port = (LOOPBACK, 5672) if found is None else (found.host, found.port)
    try:
        yield Rabbit(BrokerAddress(host, port, vhost, user, "for-tests"), ruled=True)
    finally:
        ctl("delete_vhost", vhost)
        ctl("delete_user", user)


class ClientListener:
    """Records what a client reports and lets tests wait for it."""

    def __init__(self, client: AmqpClient) -> None:
        self.client = client
        self.ups = 0
        self.downs: list[Down] = []
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
        """Send to whoever is at this end."""
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
    """A TCP proxy to the broker. `frozen`: nothing passes, as on a dead line; `deaf`: nothing reaches the
    broker.
    """

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
        """Say something to the client in the broker's name."""
        for end in self.ends:
            if isinstance(end, _In):
                end.write(octets)

    def clog(self) -> None:
        """Stop reading what the client sends, so that its own buffers fill up."""
        self.frozen = True
        for end in self.ends:
            if isinstance(end, _In):
                end.transport.pauseProducing()  # type: ignore[union-attr]

    def cut(self) -> None:
        """Reset every connection."""
        for end in list(self.ends):
            end.transport.abortConnection()  # type: ignore[union-attr]

    def close(self) -> Deferred[Any]:
        """Stop for good."""
        self.cut()
        return maybeDeferred(self.listening.stopListening)
