"""Our broker client against a real RabbitMQ."""

from __future__ import annotations

import hashlib
import random
import resource
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pika
import pika.spec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from gateway.erp import topology
from gateway.erp.amqp import pika_amqp
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.amqp_types import Declarer, OutgoingMessage, PublishResult, PublishStatus
from gateway.erp.broker_address import BrokerAddress
from gateway.erp.topology import COMMANDS
from gateway.kernel import deliveries
from gateway.kernel.deliveries import CUT_BYTES, CutBody, Delivery, Properties
from protocols.erp.routing import EVENTS
from protocols.erp.words import MAX_BODY_BYTES
from tests.gateway.erp.rabbit import QUICK, ClientListener, Rabbit, message, rabbit_for_tests, running_reactor, until
from tests.gateway.erp.two_queues import OTHER, QUEUE, two_queues, verdicts
from tests.world.services import broker_file, read_broker

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def house() -> Iterator[Rabbit]:
    with rabbit_for_tests("amqp") as rabbit:
        yield rabbit


@pytest.fixture
def rabbit(house: Rabbit) -> Iterator[Rabbit]:
    with house.erp() as channel:
        for queue in (QUEUE, OTHER, topology.PARKED_QUEUE):
            channel.queue_delete(queue)
    yield house
    house.stop()


@pytest.mark.timeout(120)
async def test_of_20000_pipelined_publishes_each_gets_its_own_verdict(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    await ClientListener(client).up()
    count = 20_000
    lost = {n for n in range(count) if n % 50 == 17}
    answers = [client.publish(message(n, "bankgw.nowhere" if n in lost else QUEUE)) for n in range(count)]
    found = await verdicts(answers)
    wrong = [
        n
        for n, verdict in enumerate(found)
        if verdict.fate is not (PublishStatus.RETURNED if n in lost else PublishStatus.CONFIRMED)
    ]
    assert wrong == []
    assert found[17] == PublishResult(PublishStatus.RETURNED, 312, "NO_ROUTE")
    assert rabbit.depth(QUEUE) == count - len(lost)


async def test_what_is_published_arrives_with_all_its_properties(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    got: list[Delivery] = []
    client.consume(QUEUE, 10, got.append)
    await ClientListener(client).up()
    properties = Properties(
        message_id="id-1",
        correlation_id="c-1",
        reply_to="/queues/r",
        user_id=rabbit.address.user,
        type="payment.submit",
        app_id="erp",
        content_type="application/json",
        timestamp=1_790_000_000,
        expiration="60000",
        headers={"bank": "icbc", "n": 7, "yes": True, "name": "示例"},
    )
    verdict = await client.publish(OutgoingMessage("", QUEUE, "正文".encode(), properties))
    assert verdict.fate is PublishStatus.CONFIRMED
    await until(lambda: len(got) == 1)
    assert got[0].properties == properties
    assert (got[0].queue, got[0].tag, got[0].exchange, got[0].routing_key) == (QUEUE, 1, "", QUEUE)
    assert (got[0].body, got[0].redelivered, got[0].undecodable) == ("正文".encode(), False, None)


async def test_our_login_is_the_user_id_unless_another_is_named(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    await ClientListener(client).up()
    await client.publish(message(1, QUEUE))
    ((_method, properties, _body),) = rabbit.get_all(QUEUE)
    assert properties.user_id == rabbit.address.user
    assert properties.delivery_mode == 2


async def test_tables_and_arrays_in_headers_are_left_out(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    got: list[Delivery] = []
    client.consume(QUEUE, 10, got.append)
    await ClientListener(client).up()
    rabbit.put(QUEUE, 1, headers={"flat": "yes", "table": {"a": 1}, "list": [1], "when": datetime.now(UTC)})
    await until(lambda: len(got) == 1)
    assert got[0].properties.headers == {"flat": "yes"}


async def test_a_cut_connection_loses_open_publishes_and_consumers_come_back(rabbit: Rabbit) -> None:
    wire = rabbit.wire()
    client = rabbit.client(port=wire.port, prepare=two_queues)
    got: list[bytes] = []

    def take(delivery: Delivery) -> None:
        got.append(delivery.body)
        client.ack(delivery)

    client.consume(OTHER, 10, take)
    listener = ClientListener(client)
    await listener.up()
    wire.frozen = True
    answers = [client.publish(message(n, QUEUE)) for n in range(300)]
    assert client.status().publishes_in_flight == 300
    wire.cut()
    found = await verdicts(answers)
    assert {verdict.fate for verdict in found} == {PublishStatus.LOST}
    assert not client.up
    assert (await client.publish(message("x", QUEUE))).fate is PublishStatus.LOST
    wire.frozen = False
    await listener.up(2)
    assert listener.downs[0].reason.endswith("the connection broke")
    rabbit.put(OTHER, 3)
    await until(lambda: len(got) == 3)
    assert (await client.publish(message("x", QUEUE))).fate is PublishStatus.CONFIRMED


async def test_connections_closed_by_an_operator_come_back(rabbit: Rabbit) -> None:
    control = rabbit.ruler()
    client = rabbit.client(prepare=two_queues)
    got: list[bytes] = []
    client.consume(OTHER, 10, lambda delivery: got.append(delivery.body))
    listener = ClientListener(client)
    await listener.up()
    answers: list[Deferred[PublishResult]] = []
    closing = deferToThread(control, "close_all_connections", "-p", rabbit.address.vhost, "by test")
    while client.up:
        answers.extend(client.publish(message(f"{len(answers)}-{n}", QUEUE)) for n in range(20))
        await until(lambda: client.status().publishes_in_flight < 40)
    await closing
    await listener.up(2)
    counted = Counter(verdict.fate for verdict in await verdicts(answers))
    assert set(counted) <= {PublishStatus.CONFIRMED, PublishStatus.LOST}
    assert counted[PublishStatus.CONFIRMED] <= rabbit.depth(QUEUE)
    assert "320 CONNECTION_FORCED - by test" in listener.downs[0].reason
    rabbit.put(OTHER, 1)
    await until(lambda: got == [b"0"])


async def test_a_stale_ack_says_so_and_hurts_nothing(rabbit: Rabbit) -> None:
    wire = rabbit.wire()
    client = rabbit.client(port=wire.port, prepare=two_queues)
    got: list[Delivery] = []
    client.consume(QUEUE, 10, got.append)
    listener = ClientListener(client)
    await listener.up()
    rabbit.put(QUEUE, 3)
    await until(lambda: len(got) == 3)
    wire.cut()
    await listener.up(2)
    await until(lambda: len(got) == 6)
    old, new = got[:3], got[3:]
    assert all(delivery.redelivered for delivery in new)
    assert [client.ack(delivery) for delivery in old] == [False] * 3
    assert client.ack(old[-1], multiple=True) is False
    assert [client.ack(delivery) for delivery in new] == [True] * 3
    rabbit.put(QUEUE, 1)
    await until(lambda: len(got) == 7)
    assert got[6].channel == new[0].channel, "the channel lives"
    assert client.ack(got[6])
    assert listener.downs[1:] == []
    await client.close(5)
    assert rabbit.depth(QUEUE) == 0


async def test_acks_leave_up_to_the_unbroken_run_and_survive_the_close(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    got: list[Delivery] = []
    client.consume(QUEUE, 100, got.append)
    await ClientListener(client).up()
    rabbit.put(QUEUE, 10)
    await until(lambda: len(got) == 10)
    for n in (0, 1, 2, 5, 6, 9):
        client.ack(got[n])
    await client.close(5)
    left = sorted(int(body) for _method, _properties, body in rabbit.get_all(QUEUE))
    assert left == [3, 4, 5, 6, 7, 8, 9]


async def test_prefetch_bounds_what_is_in_our_hands(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    got: list[Delivery] = []
    client.consume(QUEUE, 7, got.append)
    await ClientListener(client).up()
    rabbit.put(QUEUE, 50)
    await until(lambda: len(got) >= 7)
    await client.publish(message(1, OTHER))
    assert (len(got), client.status().deliveries_open) == (7, 7)
    client.ack(got[2], multiple=True)
    await until(lambda: len(got) >= 10)
    await client.publish(message(2, OTHER))
    assert (len(got), client.status().deliveries_open) == (10, 7)


async def test_more_may_be_in_our_hands_for_a_while(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    got: list[Delivery] = []
    client.consume(QUEUE, 7, got.append)
    await ClientListener(client).up()
    rabbit.put(QUEUE, 50)
    await until(lambda: len(got) == 7)
    client.widen(QUEUE)
    await until(lambda: len(got) == 50)
    assert [int(one.body) for one in got] == list(range(50)) and [one.tag for one in got] == list(range(1, 51))
    client.narrow(QUEUE)
    await client.publish(message(1, OTHER))
    client.ack(got[-1], multiple=True)
    await client.publish(message(2, OTHER))
    rabbit.put(QUEUE, 50)
    await until(lambda: len(got) >= 57)
    await client.publish(message(3, OTHER))
    assert (len(got), client.status().deliveries_open) == (57, 7)


@pytest.mark.timeout(120)
async def test_large_messages_cost_no_memory_and_are_parked_whole_when_rejected(rabbit: Rabbit) -> None:
    settings = AmqpSettings(rabbit.address, patience=QUICK, most_body=MAX_BODY_BYTES)
    prepare = topology.preparation(topology.standard(), "apply")
    client = pika_amqp(running_reactor(), settings, random.Random(7), prepare=prepare)
    rabbit.started.append(client)
    got: list[Delivery] = []
    client.consume(deliveries.MONEY_QUEUE, 200, got.append)
    await ClientListener(client).up()
    body = b"0123456789abcdef" * (15 * 65_536)
    with rabbit.erp() as channel:
        for _ in range(6):
            channel.basic_publish(topology.COMMANDS, "payment.submit", body)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await until(lambda: len(got) == 6)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 20_000, "of 90 MiB"
    assert {(one.body, one.cut) for one in got} == {
        (body[:CUT_BYTES], CutBody(len(body), hashlib.sha256(body).hexdigest()))
    }
    for delivery in got:
        client.reject(delivery)
    await until(lambda: rabbit.depth(topology.PARKED_QUEUE) == 6)
    assert rabbit.depth(deliveries.MONEY_QUEUE) == 0
    (_method, _properties, whole), *_others = rabbit.get_all(topology.PARKED_QUEUE)
    assert whole == body


async def test_bytes_bound_what_is_read_and_the_connection_lives_meanwhile(rabbit: Rabbit) -> None:
    settings = AmqpSettings(rabbit.address, patience=QUICK, heartbeat_s=1, most_bytes=5_000_000)
    client = pika_amqp(running_reactor(), settings, random.Random(7), prepare=two_queues)
    rabbit.started.append(client)
    got: list[Delivery] = []
    client.consume(QUEUE, 200, got.append)
    listener = ClientListener(client)
    await listener.up()
    with rabbit.erp() as channel:
        for _ in range(30):
            channel.basic_publish("", QUEUE, b"x" * 1_000_000)

    def more(than: int) -> bool:
        return len(got) > than

    await until(partial(more, 4))
    await deferLater(running_reactor(), 4.0, lambda: None)
    assert len(got) == 5 and listener.downs == [], "two heartbeats lay unread, and nobody hung up"
    while len(got) < 30:
        known = len(got)
        client.ack(got[-1], multiple=True)
        await until(partial(more, known))
        assert len(got) - known <= 5
    assert (client.status().connections, listener.downs) == (1, [])


@pytest.mark.parametrize("prefetch", [0, -1, 65_536])
def test_a_prefetch_without_bound_is_refused(rabbit: Rabbit, prefetch: int) -> None:
    with pytest.raises(ValueError, match="1 to 65535"):
        rabbit.client().consume(QUEUE, prefetch, lambda _delivery: None)


async def test_a_foreign_user_id_is_refused_and_its_neighbours_get_through(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    got: list[Delivery] = []
    client.consume(OTHER, 10, got.append)
    listener = ClientListener(client)
    await listener.up()
    answers = [client.publish(message(n, QUEUE, user_id="somebody-else" if n in (5, 30) else None)) for n in range(60)]
    found = await verdicts(answers)
    assert [n for n, verdict in enumerate(found) if verdict.fate is PublishStatus.REFUSED] == [5, 30]
    assert {verdict.fate for n, verdict in enumerate(found) if n not in (5, 30)} == {PublishStatus.CONFIRMED}
    assert found[5].code == 406
    assert "somebody-else" in found[5].text
    bodies = {int(body) for _method, _properties, body in rabbit.get_all(QUEUE)}
    assert bodies == set(range(60)) - {5, 30}
    assert (client.status().connections, listener.downs) == (1, []), "the consumers were not disturbed"
    rabbit.put(OTHER, 1)
    await until(lambda: len(got) == 1)


async def test_messages_nobody_can_send_are_refused(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    await ClientListener(client).up()
    large = replace(message("large", QUEUE), body=bytes(16 * 1024 * 1024 + 1))
    long = message("long", QUEUE, correlation_id="c" * 256)
    odd = message("odd", QUEUE, expiration="soon")
    good = message("good", QUEUE)
    found = await verdicts([client.publish(each) for each in (large, long, odd, good)])
    assert [verdict.fate for verdict in found] == [
        PublishStatus.REFUSED,
        PublishStatus.REFUSED,
        PublishStatus.REFUSED,
        PublishStatus.CONFIRMED,
    ]
    assert "larger than configured max size" in found[0].text
    assert "cannot be put on the wire" in found[1].text


async def test_a_reply_to_a_queue_that_is_gone_is_returned(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    await ClientListener(client).up()
    with rabbit.erp() as channel:
        mine = channel.queue_declare("", exclusive=True).method.queue
        assert (await client.publish(message("reply", mine))).fate is PublishStatus.CONFIRMED
    assert (await client.publish(message("late", mine))).fate is PublishStatus.RETURNED


async def test_a_direct_reply_is_delivered_and_not_called_unroutable(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    asked: list[Delivery] = []
    client.consume(QUEUE, 10, asked.append)
    await ClientListener(client).up()
    with rabbit.erp() as channel:
        answers: list[bytes] = []
        pseudo = "amq.rabbitmq.reply-to"
        channel.basic_consume(pseudo, lambda _c, _m, _p, body: answers.append(body), auto_ack=True)
        channel.basic_publish("", QUEUE, b"?", pika.BasicProperties(reply_to=pseudo))
        await until(lambda: len(asked) == 1)
        reply_to = asked[0].properties.reply_to
        assert reply_to is not None
        assert (await client.publish(message("reply", reply_to))).fate is PublishStatus.CONFIRMED
        channel.connection.process_data_events(time_limit=5)
        assert answers == [b"reply"]


async def test_a_message_that_cannot_be_taken_ends_parked_and_its_neighbours_do_not(
    rabbit: Rabbit, logged_failures: Any
) -> None:
    arguments = topology.Queue(QUEUE, delivery_limit=3, dead_letter=deliveries.DEAD).arguments

    async def prepare(declarer: Declarer) -> None:
        await declarer.exchange(deliveries.DEAD, "fanout", {})
        await declarer.queue(topology.PARKED_QUEUE, topology.Queue(topology.PARKED_QUEUE).arguments)
        await declarer.bind(topology.PARKED_QUEUE, deliveries.DEAD, "")
        await declarer.queue(QUEUE, arguments)

    client = rabbit.client(prepare=prepare)
    tries: Counter[bytes] = Counter()

    def take(delivery: Delivery) -> None:
        tries[delivery.body] += 1
        if delivery.body == b"2":
            raise ZeroDivisionError("a mistake of ours")
        client.ack(delivery)

    client.consume(QUEUE, 10, take)
    listener = ClientListener(client)
    await listener.up()
    rabbit.put(QUEUE, 5)
    await until(lambda: rabbit.depth(topology.PARKED_QUEUE) == 1)
    assert tries == {b"0": 1, b"1": 1, b"2": 4, b"3": 1, b"4": 1}
    rabbit.put(QUEUE, 1)
    await until(lambda: tries[b"0"] == 2)
    await client.close(5)
    assert rabbit.depth(QUEUE) == 0
    ((_method, properties, body),) = rabbit.get_all(topology.PARKED_QUEUE)
    assert body == b"2"
    assert properties.headers["x-first-death-reason"] == "delivery_limit"
    assert listener.downs == []
    assert len(logged_failures.take(ZeroDivisionError)) == 4


async def test_pause_stops_deliveries_without_returning_any(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    got: list[Delivery] = []
    client.consume(QUEUE, 5, got.append)
    await ClientListener(client).up()
    rabbit.put(QUEUE, 20)
    await until(lambda: len(got) == 5)
    client.pause()
    for delivery in got:
        client.ack(delivery)
    for n in range(3):
        await client.publish(message(n, OTHER))
    held = len(got)
    assert held <= 10
    for delivery in got[5:]:
        client.ack(delivery)
    await client.publish(message(3, OTHER))
    assert len(got) == held
    client.resume()
    client.pause()
    client.resume()
    await until(lambda: len(got) > held)
    while len(got) < 20:
        for delivery in got:
            client.ack(delivery)
        before = len(got)
        await until(lambda before=before: len(got) > before)  # type: ignore[misc]
    assert sorted(int(delivery.body) for delivery in got) == list(range(20))
    assert not any(delivery.redelivered for delivery in got)


async def test_a_consumer_added_while_connected_is_served(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    await ClientListener(client).up()
    got: list[Delivery] = []
    client.consume(QUEUE, 5, got.append)
    rabbit.put(QUEUE, 1)
    await until(lambda: len(got) == 1)
    with pytest.raises(ValueError, match="consumed already"):
        client.consume(QUEUE, 5, got.append)


async def test_a_deleted_queue_is_declared_and_consumed_again(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    got: list[Delivery] = []
    client.consume(QUEUE, 5, got.append)
    listener = ClientListener(client)
    await listener.up()
    with rabbit.erp() as channel:
        channel.queue_delete(QUEUE)
    await until(lambda: not client.refusals and rabbit_has(rabbit, QUEUE))
    rabbit.put(QUEUE, 1)
    await until(lambda: len(got) == 1)
    assert (client.status().connections, listener.downs) == (1, []), "on the same connection"


def rabbit_has(rabbit: Rabbit, queue: str) -> bool:
    """Whether the queue exists."""
    try:
        rabbit.depth(queue)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    return True


async def test_a_missing_right_bars_its_exchange_alone_and_nobody_waits_for_it(rabbit: Rabbit) -> None:
    """An ERP's user may publish commands, but neither events nor replies. All three are requested in one pipeline."""
    found = read_broker(broker_file())
    assert found is not None
    erp, at = found.users["erp-demo"], rabbit.address
    first = rabbit.client(prepare=topology.preparation(topology.standard(), "apply"))
    await ClientListener(first).up()
    client = rabbit.client(address=BrokerAddress(at.host, at.port, at.vhost, erp.user, erp.password, False))
    await ClientListener(client).up()
    places = [(COMMANDS, "payment.submit"), (EVENTS, "payment.settled.x.y"), ("", QUEUE)]
    mixed = [
        replace(message(3 * n + place, key), exchange=exchange)
        for n in range(5)
        for place, (exchange, key) in enumerate(places)
    ]
    for _ in range(2):
        said = await verdicts([client.publish(each) for each in mixed])
        assert {one.fate for one in said[::3]} == {PublishStatus.CONFIRMED}
        for barred in (said[1::3], said[2::3]):
            assert {(one.fate, one.code, one.exchange_wide) for one in barred} == {(PublishStatus.BARRED, 403, True)}
        assert set(client.refusals) == {f"exchange {EVENTS}", "reply queues (amq.default)"}
    assert client.status().connections == 1


class Unreadable(pika.BasicProperties):  # type: ignore[misc]
    """Properties that our decoder cannot read: a header dated in the year 292277026596."""

    def encode(self) -> list[bytes]:
        header = b"\x04whenT" + struct.pack(">Q", 2**63 - 1)
        return [struct.pack(">H", 0x2000), struct.pack(">I", len(header)), header]


class Nested(pika.BasicProperties):  # type: ignore[misc]
    """A header table in a header table, a thousand deep."""

    def encode(self) -> list[bytes]:
        table = b""
        for _ in range(1_000):
            table = b"\x01nF" + struct.pack(">I", len(table)) + table
        return [struct.pack(">H", 0x2000), struct.pack(">I", len(table)), table]


@pytest.mark.parametrize("Unreadable", [Unreadable, Nested])
async def test_properties_that_cannot_be_read_do_not_end_the_connection(rabbit: Rabbit, Unreadable: type[Any]) -> None:  # noqa: N803
    client = rabbit.client(prepare=two_queues)
    got: list[Delivery] = []
    client.consume(QUEUE, 5, got.append)
    listener = ClientListener(client)
    await listener.up()
    with rabbit.erp() as channel:
        channel.basic_publish("", QUEUE, b"body", Unreadable())
    rabbit.put(QUEUE, 1)
    await until(lambda: len(got) == 2)
    assert got[0].undecodable is not None
    assert got[0].body == b"body"
    assert got[0].properties == Properties()
    assert got[1].undecodable is None
    assert (client.ack(got[0]), client.ack(got[1])) == (True, True)
    assert listener.downs == []
    await client.close(5)
    assert rabbit.depth(QUEUE) == 0


async def test_a_blocked_connection_is_reported_and_unblocked(rabbit: Rabbit) -> None:
    wire = rabbit.wire()
    client = rabbit.client(port=wire.port, prepare=two_queues)
    listener = ClientListener(client)
    await listener.up()
    wire.inject(pika.frame.Method(0, pika.spec.Connection.Blocked("low on disk")).marshal())
    await until(lambda: client.blocked)
    wire.inject(pika.frame.Method(0, pika.spec.Connection.Unblocked()).marshal())
    await until(lambda: not client.blocked)
    wire.inject(pika.frame.Method(0, pika.spec.Connection.Blocked("low on disk")).marshal())
    await until(lambda: client.blocked)
    wire.cut()
    await listener.up(2)
    assert not client.blocked
    assert listener.blocked == [True, False, True, False]


async def test_close_waits_for_verdicts_but_not_beyond_its_deadline(rabbit: Rabbit) -> None:
    client = rabbit.client(prepare=two_queues)
    listener = ClientListener(client)
    await listener.up()
    answers = [client.publish(message(n, QUEUE)) for n in range(500)]
    await client.close(10)
    assert {verdict.fate for verdict in await verdicts(answers)} == {PublishStatus.CONFIRMED}
    assert listener.downs == []

    wire = rabbit.wire()
    client = rabbit.client(port=wire.port, prepare=two_queues)
    await ClientListener(client).up()
    wire.frozen = True
    answer = client.publish(message(1, QUEUE))
    await client.close(0.05)
    assert (await answer).fate is PublishStatus.LOST
    assert not client.up
