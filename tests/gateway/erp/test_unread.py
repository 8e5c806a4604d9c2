"""Bytes that waited unread in the socket of a suspended process: the gateway knows their greatest possible age, and
does not read bytes that are too old."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from gateway.erp.amqp import STALE_S, _Link
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.broker_address import BrokerAddress

ADDRESS = BrokerAddress("127.0.0.1", 5672, "/", "guest", "guest")


class _Transport(StringTransport):
    def setTcpNoDelay(self, _on: bool) -> None:  # noqa: N802 - the name is Twisted's
        """Does nothing: this is no real socket."""

    def setTcpKeepAlive(self, _on: bool) -> None:  # noqa: N802 - the name is Twisted's
        """Does nothing: this is no real socket."""

    def abortConnection(self) -> None:  # noqa: N802 - the name is Twisted's
        self.disconnecting = True


def _untyped(made: object) -> Any:
    """Twisted's protocols and transports have no types of their own."""
    return made


class _Scene:
    def __init__(self) -> None:
        self.clock, self.transport = Clock(), _untyped(_Transport)()
        self.link = _untyped(_Link(self.clock, AmqpSettings(ADDRESS), lambda _on: None))
        self.waited: list[float] = []
        self.link.makeConnection(self.transport)
        amqp = self.link._amqp
        amqp.on_bytes = lambda _data: self.waited.append(amqp.waited_s)

    def lives(self, seconds: float) -> None:
        """Let the event loop turn for some seconds."""
        self.clock.pump([0.05] * round(seconds / 0.05))

    def stands_still(self, seconds: float) -> None:
        """Suspend the event loop: no timer fires. Afterwards the bytes in the socket are read first."""
        self.clock.rightNow += seconds

    def stood_in_its_wait(self, seconds: float) -> None:
        """Suspend the process while it waits for events. Afterwards the timers fire first, then the socket is read."""
        self.clock.advance(seconds)

    def hears(self) -> None:
        self.link.dataReceived(b"x")


def test_whatever_comes_while_the_loop_turns_has_not_waited_however_long_nothing_came() -> None:
    scene = _Scene()
    for quiet_s in (0.0, 0.5, 8.0, 40.0):
        scene.lives(quiet_s)
        scene.hears()
    scene.stands_still(0.7)
    scene.hears()
    assert scene.waited == [0.0] * 5 and not scene.transport.disconnecting


def test_what_was_read_after_a_pause_may_have_come_at_its_beginning_and_so_may_what_follows_it() -> None:
    scene = _Scene()
    scene.lives(3.0)
    scene.stands_still(6.0)
    scene.hears()
    scene.lives(0.5)
    scene.hears()
    scene.lives(1.0)
    scene.hears()
    first, second, third = scene.waited
    assert 6.0 <= first <= 6.3 and 6.5 <= second <= 6.8 and third == 0.0
    assert not scene.transport.disconnecting


@pytest.mark.parametrize("stood_s", [6.0, 16.0])
def test_a_timer_that_fires_before_the_socket_is_read_hides_no_pause(stood_s: float) -> None:
    scene = _Scene()
    scene.lives(3.0)
    scene.stood_in_its_wait(stood_s)
    scene.hears()
    if stood_s < STALE_S:
        [waited] = scene.waited
        assert stood_s <= waited <= stood_s + 0.3
    else:
        assert scene.waited == [] and scene.transport.disconnecting


def test_after_a_long_pause_nothing_is_read_and_the_connection_is_dropped() -> None:
    scene = _Scene()
    scene.lives(3.0)
    scene.stands_still(16.0)
    scene.hears()
    assert scene.waited == [] and scene.transport.disconnecting


def test_its_timer_ends_with_the_connection() -> None:
    scene = _Scene()
    scene.link._amqp.stream_lost = lambda _reason: None
    scene.link.connectionLost(Failure(ConnectionDone()))
    scene.lives(1.0)
    assert scene.link._turn is not None and not scene.link._turn.active()
