"""The mark on a real RabbitMQ: the exclusive queue and the last message, and two gateways in one virtual host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import deferLater

from gateway.demo import site as demo_site
from gateway.demo.processes import Child, gateway_command
from gateway.erp.amqp_types import BrokerRefused, MarkPlace
from gateway.erp.journal_mark import UNREADABLE, MarkMessage, read_mark
from gateway.erp.topology import LOCK_QUEUE, MARK_QUEUE, preparation, standard
from gateway.kernel.cluster.broker_holds import BrokerHold
from tests.gateway.erp.rabbit import Rabbit, rabbit_for_tests, running_reactor, until

broker_only = pytest.mark.broker


@pytest.fixture(scope="module")
def vhost() -> Iterator[Rabbit]:
    with rabbit_for_tests("mark") as rabbit:
        yield rabbit


@pytest.fixture
def rabbit(vhost: Rabbit) -> Iterator[Rabbit]:
    """A virtual host without a mark."""
    with vhost.erp() as channel:
        channel.queue_delete(MARK_QUEUE)
    yield vhost
    vhost.stop()


async def place_of(rabbit: Rabbit) -> MarkPlace:
    """A mark's connection of its own, admitted and up."""
    client = rabbit.client(prepare=preparation(standard(), "apply"))
    places: list[MarkPlace] = []

    async def admit(place: MarkPlace) -> None:
        places.append(place)

    client.start(lambda: None, lambda _down: None, admit=admit)
    await until(lambda: client.up)
    return places[-1]


async def locked(place: MarkPlace, told: list[str]) -> None:
    """Declare the exclusive queue once the broker has seen that its last owner is gone."""
    for _ in range(100):
        try:
            await place.lock(told.append)
            return
        except BrokerRefused as refused:
            if refused.code != 405:
                raise
            await deferLater(running_reactor(), 0.05)
    raise AssertionError("it is still locked")


@broker_only
async def test_the_last_message_stays_and_one_connection_has_the_lock(rabbit: Rabbit) -> None:
    place = await place_of(rabbit)
    assert await place.read_messages() == []
    for number in range(3):
        await place.replace_message(f"mark {number}".encode())
    for _ in range(2):
        await until(lambda: rabbit.depth(MARK_QUEUE) == 1)
        assert await place.read_messages() == [b"mark 2"]
    lost: list[str] = []
    await place.lock(lost.append)
    other = await place_of(rabbit)
    with pytest.raises(BrokerRefused) as caught:
        await other.lock(print)
    assert caught.value.code == 405
    await until(lambda: rabbit.depth(MARK_QUEUE) == 1)
    assert await other.read_messages() == [b"mark 2"], "who has no lock reads it too"
    place.unlock()
    await locked(other, lost)
    assert lost == []


@broker_only
async def test_a_deleted_lock_and_a_lost_connection_are_told(rabbit: Rabbit) -> None:
    place = await place_of(rabbit)
    lost: list[str] = []
    await place.lock(lost.append)
    rabbit.rule(
        "eval",
        f'rabbit_amqqueue:delete_with(rabbit_misc:r(<<"{rabbit.address.vhost}">>, queue, '
        f'<<"{LOCK_QUEUE}">>), none, false, false, <<"test">>, false).',
    )
    await until(lambda: lost != [])
    assert "queue was deleted" in lost[0]
    again = await place_of(rabbit)
    await again.lock(lost.append)
    again.drop("of our own accord")
    await until(lambda: len(lost) == 2)
    await locked(await place_of(rabbit), lost)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"journal": "a", "fence": "x"}'])
def test_what_no_gateway_wrote_is_not_a_mark_of_ours(body: bytes) -> None:
    assert read_mark(body) is UNREADABLE
    mark = MarkMessage("a" * 32, BrokerHold(7, "gw1", "host", 1_795_000_000_000))
    assert read_mark(mark.body()) == mark
    assert read_mark(replace(mark, head=(9, "b" * 64)).body()).head == (9, "b" * 64)
    before = {"journal": "a" * 32, "fence": 7, "node": "gw1", "host": "host", "since_ms": 1_795_000_000_000}
    assert read_mark(json.dumps(before).encode()) == mark, "an older version wrote no end of the audit chain"


def daemon(rabbit: Rabbit, folder: Path, sender: str) -> Child:
    """A gateway with a journal of its own. Its bank need not exist."""
    site = demo_site.prepare(folder, (demo_site.BankPlan("sample"),))
    site.ready_file("sample").write_text('{"ports": {"business": 1}}', "utf-8")
    at = rabbit.address
    broker: dict[str, Any] = {
        "host": at.host,
        "port": at.port,
        "vhost": at.vhost,
        "users": {"bankgw": {"user": at.user, "password": at.password}},
    }
    demo_site.configure(
        site, broker, {sender: {"users": [at.user], "operations": ["payment.submit"], "reply_to": ".*"}}
    )
    return Child(sender, gateway_command(site.settings), folder / "daemon.log")


@broker_only
@pytest.mark.timeout(150)
async def test_a_second_gateway_refuses_a_virtual_host_that_is_taken(rabbit: Rabbit, tmp_path: Path) -> None:
    first, second = daemon(rabbit, tmp_path / "a", "first"), daemon(rabbit, tmp_path / "b", "second")
    try:
        first.start()
        await until(lambda: b'"mark.held"' in first.log.read_bytes(), 60)
        second.start()
        await until(lambda: second.ended() is not None, 60)
        ended, said = second.ended(), second.log.read_text("utf-8")
        assert ended is not None and ended.code == 1
        assert f"virtual host {rabbit.address.vhost} belongs to another gateway: node gw1 on " in said
        assert f"rabbitmqctl -p {rabbit.address.vhost} delete_queue {MARK_QUEUE}" in said and '"broker.up"' not in said
        first.kill()
        # The mark stays when its gateway does not run, and the same journal finds it again.
        second.start()
        await until(lambda: second.ended() is not None, 60)
        first.start()
        await until(lambda: first.log.read_bytes().count(b'"mark.held"') == 2, 60)
        assert first.ended() is None
    finally:
        for child in (first, second):
            child.stop(20)
