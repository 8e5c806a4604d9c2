"""The topology on a real RabbitMQ: declared, verified, refused, exported."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest

from gateway.erp import topology
from gateway.erp.amqp_types import BrokerRefused, OutgoingMessage, PublishStatus, UnsafeTopology
from gateway.erp.definitions import SenderAccess, definitions, policies
from gateway.erp.policies import UNLIMITED, from_json, judge
from gateway.erp.topology import (
    CHECKPOINTS_QUEUE,
    COMMANDS,
    MARK_QUEUE,
    PARKED_QUEUE,
    UNROUTED,
    UNROUTED_COMMANDS_QUEUE,
    UNROUTED_NEWS,
    preparation,
    standard,
)
from gateway.kernel.deliveries import DEAD, DEAD_LETTERED, LEDGER_QUEUE, MONEY_QUEUE, QUERY_QUEUE, Properties
from protocols.erp.routing import EVENTS
from tests.gateway.erp.rabbit import ClientListener, Rabbit, message, rabbit_for_tests, until

pytestmark = pytest.mark.broker

QUEUES = (
    MONEY_QUEUE,
    QUERY_QUEUE,
    LEDGER_QUEUE,
    PARKED_QUEUE,
    UNROUTED_COMMANDS_QUEUE,
    UNROUTED_NEWS,
    CHECKPOINTS_QUEUE,
)
EXCHANGES = (COMMANDS, EVENTS, DEAD, UNROUTED, UNROUTED_NEWS)
COMMITTED = Path(__file__).resolve().parents[3] / "conf" / "rabbitmq" / "definitions.json"


@pytest.fixture(scope="module")
def house() -> Iterator[Rabbit]:
    with rabbit_for_tests("topology") as rabbit:
        yield rabbit


@pytest.fixture
def rabbit(house: Rabbit) -> Iterator[Rabbit]:
    with house.erp() as channel:
        for queue in (*QUEUES, MARK_QUEUE):
            channel.queue_delete(queue)
        for exchange in EXCHANGES:
            channel.exchange_delete(exchange)
    yield house
    house.stop()


async def applied(rabbit: Rabbit, wanted: topology.Topology | None = None) -> ClientListener:
    """A client that has declared the topology."""
    listener = ClientListener(rabbit.client(prepare=preparation(wanted or standard(), "apply")))
    await listener.up()
    return listener


async def refused(rabbit: Rabbit, mode: Any) -> UnsafeTopology:
    """The refusal of a client that does not come up with this topology."""
    got: list[object] = []
    client = rabbit.client(prepare=preparation(standard(), mode))
    client.consume(MONEY_QUEUE, 10, got.append)
    listener = ClientListener(client)
    await until(lambda: len(listener.downs) >= 2)
    problem = listener.downs[0].error
    assert isinstance(problem, UnsafeTopology)
    assert listener.ups == 0
    assert got == []
    await client.close(1)
    return problem


ROUTES = [
    ("payment.submit", MONEY_QUEUE),
    ("payment.cancel", MONEY_QUEUE),
    ("batch.submit", MONEY_QUEUE),
    ("payroll.submit", MONEY_QUEUE),
    ("collection.submit", MONEY_QUEUE),
    ("transfer.submit", MONEY_QUEUE),
    ("balance.query", QUERY_QUEUE),
    ("transactions.query", QUERY_QUEUE),
    ("statement.request", QUERY_QUEUE),
    ("receipt.request", QUERY_QUEUE),
    ("status.query", QUERY_QUEUE),
    ("reconciliation.query", QUERY_QUEUE),
    ("report.request", QUERY_QUEUE),
    ("credit.claim", QUERY_QUEUE),
    ("ledger.submit", LEDGER_QUEUE),
    ("ledger.withdraw", LEDGER_QUEUE),
    ("payments.submit", UNROUTED_COMMANDS_QUEUE),
    ("PAYMENT.submit", UNROUTED_COMMANDS_QUEUE),
    ("", UNROUTED_COMMANDS_QUEUE),
]


async def test_every_command_has_its_queue_and_a_typo_is_kept(rabbit: Rabbit) -> None:
    await applied(rabbit)
    with rabbit.erp() as channel:
        for key, _queue in ROUTES:
            channel.basic_publish(COMMANDS, key, key.encode(), mandatory=True)
    found = {queue: [body.decode() for _m, _p, body in rabbit.get_all(queue)] for queue in QUEUES}
    for key, queue in ROUTES:
        assert key in found[queue], (key, queue)
    assert sum(map(len, found.values())) == len(ROUTES)


async def test_news_nobody_subscribed_to_is_kept(rabbit: Rabbit) -> None:
    listener = await applied(rabbit)
    key = "payment.settled.icbc.kingdee"
    verdict = await listener.client.publish(OutgoingMessage(EVENTS, key, b"news", Properties(message_id="n-1")))
    assert verdict.fate is PublishStatus.CONFIRMED
    ((method, _properties, body),) = rabbit.get_all(UNROUTED_NEWS)
    assert (method.routing_key, body) == (key, b"news")


async def test_applying_again_changes_nothing_and_verifying_agrees(rabbit: Rabbit) -> None:
    await applied(rabbit)
    rabbit.put(MONEY_QUEUE, 3)
    await applied(rabbit)
    listener = ClientListener(rabbit.client(prepare=preparation(standard(), "verify")))
    await listener.up()
    assert rabbit.depth(MONEY_QUEUE) == 3


async def test_a_queue_without_dead_lettering_is_refused_by_name(rabbit: Rabbit) -> None:
    with rabbit.erp() as channel:
        channel.queue_declare(MONEY_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    for mode in ("apply", "verify"):
        problem = await refused(rabbit, mode)
        money = [str(each) for each in problem.problems if MONEY_QUEUE in each.what]
        assert len(money) == 1
        assert money[0].startswith(f"queue {MONEY_QUEUE}: x-dead-letter-exchange is none, wanted {DEAD} — ")
        assert "delete it; the gateway then declares it right by itself" in money[0]
    with rabbit.erp() as channel:
        channel.queue_delete(MONEY_QUEUE)
    await applied(rabbit)


@pytest.mark.parametrize(
    ("argument", "value", "says"),
    [
        ("x-delivery-limit", 5, "x-delivery-limit is 5, wanted 20"),
        ("x-overflow", "drop-head", "x-overflow is drop-head, wanted reject-publish"),
        ("x-dead-letter-strategy", "at-most-once", "x-dead-letter-strategy is at-most-once, wanted at-least-once"),
        ("x-message-ttl", 1000, "x-message-ttl is 1000, wanted none"),
        ("x-expires", 1_000_000, "x-expires is 1000000, wanted none"),
        ("x-max-length", 100, "x-max-length is 100, wanted none"),
    ],
)
async def test_each_dangerous_argument_is_refused(rabbit: Rabbit, argument: str, value: Any, says: str) -> None:
    arguments = {**standard().queues[3].arguments, argument: value}
    with rabbit.erp() as channel:
        channel.queue_declare(MONEY_QUEUE, durable=True, arguments=arguments)
    problem = await refused(rabbit, "apply")
    assert says in str(problem)


class Old:
    """A declarer on a broker where an older gateway has declared the queues that people browse."""

    def __init__(self, version: tuple[int, ...], strategy: str = "") -> None:
        self.version = version
        self._strategy = strategy
        self.declared: list[tuple[str, object]] = []

    def __getattr__(self, name: str) -> Any:
        async def fine(*_args: object) -> None:
            pass

        return fine

    async def queue(self, name: str, arguments: Mapping[str, object]) -> None:
        """406 as RabbitMQ words it: the first argument that differs."""
        self.declared.append((name, arguments["x-delivery-limit"]))
        if name == PARKED_QUEUE and arguments["x-delivery-limit"] != -1:
            raise BrokerRefused(
                406,
                f"PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue '{name}' in "
                f"vhost 'v': received '{arguments['x-delivery-limit']}' but current is '-1'",
            )
        if name == PARKED_QUEUE and self._strategy:
            raise BrokerRefused(
                406,
                f"PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue '{name}' in vhost "
                f"'v': received 'reject-publish' but current is '{self._strategy}'",
            )


@pytest.mark.parametrize("mode", ["apply", "verify"])
async def test_a_queue_of_an_older_gateway_is_taken_over_where_its_limit_is_none(mode: Any) -> None:
    await preparation(standard(), mode)(Old((4, 0, 5)))
    with pytest.raises(UnsafeTopology, match="x-overflow is drop-head, wanted reject-publish"):
        await preparation(standard(), mode)(Old((4, 0, 5), "drop-head"))
    with pytest.raises(UnsafeTopology, match=f"{PARKED_QUEUE}: x-delivery-limit is -1, wanted {UNLIMITED}"):
        await preparation(standard(), mode)(Old((3, 13, 7)))


@pytest.mark.parametrize(("version", "says"), [((3, 9, 29), "RabbitMQ 3.9.29"), ((), "RabbitMQ of an unknown version")])
async def test_a_broker_that_may_lose_a_parked_command_is_refused(version: tuple[int, ...], says: str) -> None:
    declarer = Old(version)
    with pytest.raises(UnsafeTopology, match=f"the broker is {says}: .* — use RabbitMQ 3.10 or newer"):
        await preparation(standard(), "apply")(declarer)
    assert declarer.declared == []


async def test_queues_of_an_older_gateway_stay_on_a_real_broker(rabbit: Rabbit) -> None:
    with rabbit.erp() as channel:
        version = tuple(map(int, channel.connection._impl.server_properties["version"].split(".")))
        arguments = {**standard().queues[0].arguments, "x-delivery-limit": -1}
        channel.queue_declare(PARKED_QUEUE, durable=True, arguments=arguments)
    if version < (4,):
        assert f"x-delivery-limit is -1, wanted {UNLIMITED}" in str(await refused(rabbit, "apply"))
    else:
        await applied(rabbit)


async def test_a_classic_queue_is_refused(rabbit: Rabbit) -> None:
    with rabbit.erp() as channel:
        channel.queue_declare(PARKED_QUEUE, durable=True, arguments={"x-queue-type": "classic"})
    assert f"queue {PARKED_QUEUE}: " in str(await refused(rabbit, "apply"))


async def test_an_exchange_without_its_alternate_or_of_another_type_is_refused(rabbit: Rabbit) -> None:
    with rabbit.erp() as channel:
        channel.exchange_declare(COMMANDS, "topic", durable=True)
        channel.exchange_declare(EVENTS, "direct", durable=True)
    problem = str(await refused(rabbit, "apply"))
    assert f"exchange {COMMANDS}: alternate-exchange is none, wanted {UNROUTED}" in problem
    assert f"exchange {EVENTS}: type is direct, wanted topic" in problem


async def test_verifying_names_all_that_is_missing_and_creates_nothing(rabbit: Rabbit) -> None:
    problem = await refused(rabbit, "verify")
    missing = {each.what for each in problem.problems}
    assert missing == {f"queue {name} does not exist" for name in (*QUEUES, MARK_QUEUE)} | {
        f"exchange {name} does not exist" for name in EXCHANGES
    }
    with rabbit.erp() as channel, pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.queue_declare(MONEY_QUEUE, passive=True)


def test_21_returns_or_crashes_end_parked_not_lost(rabbit: Rabbit) -> None:
    declare_all(rabbit)
    rabbit.put(MONEY_QUEUE, 1, user_id=rabbit.address.user)
    for _ in range(21):
        with rabbit.erp() as channel:
            method, _properties, _body = take(channel, MONEY_QUEUE)
            channel.basic_nack(method.delivery_tag, requeue=True)
    wait_for(rabbit, PARKED_QUEUE, 1)
    rabbit.put(MONEY_QUEUE, 1)
    for _ in range(21):
        with rabbit.erp() as channel:
            take(channel, MONEY_QUEUE)
    wait_for(rabbit, PARKED_QUEUE, 2)
    assert rabbit.depth(MONEY_QUEUE) == 0
    parked = rabbit.get_all(PARKED_QUEUE)
    assert [properties.headers["x-first-death-reason"] for _m, properties, _b in parked] == ["delivery_limit"] * 2
    assert parked[0][1].user_id == rabbit.address.user
    assert parked[0][0].routing_key == MONEY_QUEUE


def test_people_may_look_at_the_parked_queue_as_often_as_they_like(rabbit: Rabbit) -> None:
    declare_all(rabbit)
    for queue in (PARKED_QUEUE, UNROUTED_NEWS, UNROUTED_COMMANDS_QUEUE):
        rabbit.put(queue, 1)
        with rabbit.erp() as channel:
            for _ in range(30):
                method, _properties, _body = take(channel, queue)
                channel.basic_nack(method.delivery_tag, requeue=True)
        wait_for(rabbit, queue, 1)


def test_our_policy_keeps_a_broad_one_away_but_an_operator_policy_is_found(rabbit: Rabbit) -> None:
    declare_all(rabbit)
    vhost = rabbit.address.vhost
    broad = json.dumps({"message-ttl": 50, "overflow": "drop-head", "max-length": 1, "expires": 3_600_000})
    rabbit.rule("set_policy", "-p", vhost, "--priority", "5", "--apply-to", "queues", "broad", ".*", broad)
    try:
        found = {str(problem) for problem in problems_in_force(rabbit)}
        for name in QUEUES:
            for says in (
                "overflow in force is drop-head (policy broad), wanted reject-publish",
                "message-ttl in force is 50 (policy broad)",
                "expires in force is 3600000",
                "max-length in force is 1",
            ):
                assert any(each.startswith(f"queue {name}: {says}") for each in found), (name, says)

        for ours in policies(vhost):
            rabbit.rule(
                "set_policy",
                "-p",
                vhost,
                "--priority",
                str(ours["priority"]),
                "--apply-to",
                ours["apply-to"],
                ours["name"],
                ours["pattern"],
                json.dumps(ours["definition"]),
            )
        assert problems_in_force(rabbit) == []
        rabbit.put(MONEY_QUEUE, 3)
        time.sleep(0.3)
        assert rabbit.depth(MONEY_QUEUE) == 3, "neither expired nor dropped"

        rabbit.rule(
            "set_operator_policy",
            "-p",
            vhost,
            "--apply-to",
            "queues",
            "op",
            "money",
            json.dumps({"delivery-limit": 2, "message-ttl": 3_600_000}),
        )
        found = {str(problem) for problem in problems_in_force(rabbit)}
        assert len(found) == 2
        assert any("delivery-limit in force is 2 (policy bankgw, op), wanted 20" in each for each in found)
    finally:
        for kind, name in (
            ("policy", "broad"),
            ("policy", "bankgw"),
            ("policy", "bankgw-mark"),
            ("operator_policy", "op"),
        ):
            try:
                rabbit.rule(f"clear_{kind}", "-p", vhost, name)
            except RuntimeError:
                pass  # the test failed before it was set


def problems_in_force(rabbit: Rabbit) -> list[Any]:
    """The problems that `judge` finds in the output of rabbitmqctl, after policies have settled."""
    try:
        said = rabbit.rule(
            "list_queues",
            "-p",
            rabbit.address.vhost,
            "--formatter",
            "json",
            "name",
            "arguments",
            "policy",
            "operator_policy",
            "effective_policy_definition",
        )
    except RuntimeError as problem:
        if "operator_policy are not supported" not in str(problem):
            raise
        pytest.skip("rabbitmqctl of this RabbitMQ (3.10) does not show operator policies; its management API does")
    rows: list[dict[str, Any]] = json.loads(said)
    return judge({queue.name: queue.arguments for queue in standard().queues}, from_json(rows))


def test_the_committed_definitions_are_what_the_code_says() -> None:
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == definitions(standard())


async def test_imported_definitions_are_complete_and_keep_senders_apart(rabbit: Rabbit) -> None:
    vhost = f"{rabbit.address.vhost}-import"
    gateway, demo, other = (f"{rabbit.address.user}-{role}" for role in ("gw", "demo", "other"))
    exported = definitions(
        standard(),
        vhost=vhost,
        gateway_user=gateway,
        senders=(SenderAccess("demo", (demo,)), SenderAccess("other", (other,))),
    )
    # This folder is not pytest's own, because rabbitmqctl may become another user, who could not enter that one.
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        file.write(json.dumps(exported))
        file.flush()
        Path(file.name).chmod(0o644)
        rabbit.rule("import_definitions", file.name)
    try:
        there = replace(rabbit, address=replace(rabbit.address, vhost=vhost, user=gateway, password="g"))
        locked = replace(there, address=replace(there.address, password=""))
        with pytest.raises(pika.exceptions.AMQPConnectionError), locked.erp():
            pass
        for user in (gateway, demo, other):
            rabbit.rule("change_password", user, "g")
        client = rabbit.client(address=there.address, prepare=preparation(standard(), "verify"))
        asked: list[Any] = []
        client.consume(MONEY_QUEUE, 10, asked.append)
        await ClientListener(client).up()
        with there.erp(demo, "g") as channel:
            signed = pika.BasicProperties(user_id=demo)
            channel.basic_publish(COMMANDS, "payment.submit", b"pay", signed, mandatory=True)
            await until(lambda: len(asked) == 1)
            mine = "erp-demo.replies"
            channel.queue_declare(mine, durable=True, arguments={"x-queue-type": "quorum"})
            for key in ("payment.settled.icbc.demo", "*.*.*.demo", "#.demo"):
                channel.queue_bind(mine, EVENTS, key)
            reply = await client.publish(message("reply", mine))
            assert reply.fate is PublishStatus.CONFIRMED
            news = OutgoingMessage(EVENTS, "payment.settled.icbc.demo", b"", Properties(message_id="n-1"))
            assert (await client.publish(news)).fate is PublishStatus.CONFIRMED
        assert len(there.get_all_as(demo, "g", mine)) == 2
        for key in ("payment.settled.icbc.other", "#", "payment.#", "*.*.*.*", "#.other"):
            denied(there, demo, lambda channel, key=key: channel.queue_bind("erp-demo.replies", EVENTS, key))
        denied(there, demo, lambda channel: channel.basic_get(MONEY_QUEUE))
        denied(there, demo, lambda channel: channel.queue_declare("erp-other.replies"))
        denied(there, demo, lambda channel: channel.queue_bind("erp-demo.replies", COMMANDS, "#"))
        denied(there, demo, lambda channel: channel.basic_publish(EVENTS, "payment.settled.icbc.demo", b"forged"))
        denied(there, other, lambda channel: channel.basic_get("erp-demo.replies"))
    finally:
        rabbit.rule("delete_vhost", vhost)
        for user in (gateway, demo, other):
            rabbit.rule("delete_user", user)


def denied(rabbit: Rabbit, user: str, action: Any) -> None:
    """Checks that the broker refuses this with 403."""
    with rabbit.erp(user, "g") as channel, pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        action(channel)
    assert caught.value.reply_code == 403


def declare_all(rabbit: Rabbit) -> None:
    """The topology, declared by a blocking client from the same data."""
    wanted = standard()
    with rabbit.erp() as channel:
        for exchange in wanted.exchanges:
            channel.exchange_declare(exchange.name, exchange.kind, durable=True, arguments=dict(exchange.arguments))
        for queue in wanted.queues:
            channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
        for binding in wanted.bindings:
            channel.queue_bind(binding.queue, binding.exchange, binding.key)


def take(channel: Any, queue: str) -> Any:
    """Take the next message. The broker needs a moment to offer a returned message again."""
    for _ in range(500):
        got = channel.basic_get(queue)
        if got[0] is not None:
            return got
        time.sleep(0.01)
    raise AssertionError(f"nothing in {queue}")


def wait_for(rabbit: Rabbit, queue: str, count: int) -> None:
    """Wait until the queue has this many messages, because the broker moves dead letters with a delay."""
    for _ in range(500):
        if rabbit.depth(queue) == count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{rabbit.depth(queue)} messages in {queue}, expected {count}")


def test_the_queues_that_park_what_is_rejected_are_those_that_the_topology_declares_so() -> None:
    assert {queue.name for queue in standard().queues if queue.dead_letter is not None} == DEAD_LETTERED
    assert {queue.dead_letter for queue in standard().queues} == {DEAD, None}
