"""A connection to the broker that is dead and seems to be alive: heartbeat, canary, and unsent bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.task import Clock

from gateway.erp.amqp_types import PublishStatus
from tests.gateway.erp.rabbit import QUICK, ClientListener, Rabbit, message, rabbit_for_tests, running_reactor, until
from tests.gateway.erp.two_queues import QUEUE, two_queues, verdicts

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def house() -> Iterator[Rabbit]:
    with rabbit_for_tests("dead-lines") as rabbit:
        yield rabbit


@pytest.fixture
def rabbit(house: Rabbit) -> Iterator[Rabbit]:
    yield house
    house.stop()


class HalfReal:
    """The real reactor's sockets with a clock that tests move."""

    def __init__(self) -> None:
        self.clock = Clock()

    def __getattr__(self, name: str) -> Any:
        timed = ("callLater", "seconds", "getDelayedCalls")
        return getattr(self.clock if name in timed else running_reactor(), name)


async def test_a_line_gone_dead_is_noticed_by_its_heartbeat(rabbit: Rabbit) -> None:
    half = HalfReal()
    wire = rabbit.wire()
    client = rabbit.client(port=wire.port, prepare=two_queues, reactor=half, heartbeat_s=10)
    listener = ClientListener(client)
    await listener.up()
    wire.frozen = True
    answer = client.publish(message(1, QUEUE))
    half.clock.pump([1.0] * 14)
    assert client.status().publishes_in_flight == 1
    # pika checks every 15 s (interval + 5 s), and its first check still sees the bytes of the hello.
    half.clock.pump([1.0] * 16)
    assert (await answer).fate is PublishStatus.LOST
    await until(lambda: len(listener.downs) == 1)
    assert "heartbeats" in listener.downs[0].reason


@pytest.mark.parametrize("watch", ["heartbeat", "canary"])
async def test_a_dead_line_is_given_up_although_much_is_still_unsent(rabbit: Rabbit, watch: str) -> None:
    half = HalfReal()
    wire = rabbit.wire()
    patience = replace(QUICK, canary_every_s=5 if watch == "canary" else 0)
    client = rabbit.client(
        port=wire.port,
        prepare=two_queues,
        reactor=half,
        heartbeat_s=10 if watch == "heartbeat" else 60,
        patience=patience,
    )
    listener = ClientListener(client)
    await listener.up()
    wire.clog()
    answers = [client.publish(replace(message(n, QUEUE), body=bytes(4_000_000))) for n in range(8)]
    half.clock.pump([1.0] * 30)
    await until(lambda: len(listener.downs) == 1)
    assert {verdict.fate for verdict in await verdicts(answers)} == {PublishStatus.LOST}


async def test_the_canary_notices_a_connection_that_only_looks_alive(rabbit: Rabbit) -> None:
    wire = rabbit.wire()
    patience = replace(QUICK, canary_every_s=0.1)
    client = rabbit.client(port=wire.port, prepare=two_queues, patience=patience)
    listener = ClientListener(client)
    await listener.up()
    await until(lambda: client.status().canary_age_s is not None)
    wire.deaf = True
    answer = client.publish(message(1, QUEUE))
    assert (await answer).fate is PublishStatus.LOST
    await until(lambda: len(listener.downs) == 1)
    assert "no heartbeat message came back" in listener.downs[0].reason
    wire.deaf = False
    await listener.up(2)
