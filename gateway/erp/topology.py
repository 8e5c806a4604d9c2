"""The broker topology as data: exchanges, queues and bindings, and how they are declared and verified.

Measured on RabbitMQ 4.0.5 and 3.10.8; these facts decide where each property is checked:

- `x-dead-letter-exchange` and `x-dead-letter-strategy` as queue arguments take precedence over a policy; operator
  policies cannot set them.
- For `delivery-limit`, `message-ttl`, `expires` and `max-length` the smallest of argument, policy and operator policy
  applies. So a policy can expire orders, or delete an idle queue with its messages.
- `overflow` is the exception: the policy takes precedence over the argument.
- Only one ordinary policy applies to a queue, that of the highest priority. `definitions()` has one that keeps broad
  policies of others away; nothing keeps an operator policy away.
- A declaration with other arguments is refused with 406, which names the first difference. It does not see policies;
  they can be read only over the management API or with rabbitmqctl: see `policies`.
- In RabbitMQ 4 a quorum queue without a dead-letter exchange drops a message after its 21st return. So the queues that
  people browse (parked, unrouted) have a limit that no message reaches. RabbitMQ 4's value for no limit, -1, is not
  used, because RabbitMQ 3 drops returned messages under it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.erp.amqp_types import BrokerProblem, BrokerRefused, Declarer, Prepare, UnsafeTopology
from gateway.erp.policies import UNLIMITED, QueueReport, judge
from gateway.kernel.deliveries import DEAD, LEDGER_QUEUE, MONEY_QUEUE, NO_HEADERS, QUERY_QUEUE, Scalar
from protocols.erp.routing import EVENTS

COMMANDS = "bankgw.commands"
PARKED_QUEUE = "bankgw.parked"
UNROUTED = "bankgw.unrouted"
UNROUTED_COMMANDS_QUEUE = "bankgw.unrouted.commands"
UNROUTED_NEWS = "bankgw.unrouted.news"
"""The exchange and the queue for events and replies that have no receiver."""
CHECKPOINTS_QUEUE = "bankgw.audit.checkpoints"
MARK_QUEUE = "bankgw.journal.mark"
"""The queue of the mark. It keeps its last message, which names the journal that holds the virtual host: see
`journal_mark`.
"""
LOCK_QUEUE = "bankgw.journal.lock"
"""The exclusive queue of the node that holds the virtual host. It is declared apart from the topology."""
CHECKPOINTS_KEPT_MS = 7 * 86_400_000
"""How long checkpoints are kept for a witness; a later checkpoint covers the same entries."""

MONEY_KEYS = ("payment.#", "batch.#", "payroll.#", "collection.#", "transfer.#")
QUERY_KEYS = (
    "balance.#",
    "transactions.#",
    "statement.#",
    "receipt.#",
    "status.#",
    "reconciliation.#",
    "report.#",
    "credit.#",
)
LEDGER_KEYS = ("ledger.#",)

DELIVERY_LIMIT = 20
OLDEST_BROKER = (3, 10)
"""The first RabbitMQ with at-least-once dead-lettering; older versions may lose a message."""

_REMEDY = (
    "the gateway deletes nothing and waits: take what is in the {kind} out, and delete it; the gateway then declares "
    'it right by itself (with topology = "verify": import conf/rabbitmq/definitions.json)'
)
_MISMATCH = re.compile(
    r"inequivalent arg '(?P<what>[^']+)' for .+: "
    r"received (?P<wanted>.+) but current is (?P<found>.+)$"
)
_NOT_FOUND, _ACCESS_REFUSED = 404, 403


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange; unroutable messages go to `alternate`."""

    name: str
    kind: Literal["topic", "fanout"]
    alternate: str | None = None

    @property
    def arguments(self) -> Mapping[str, Scalar]:
        """The arguments with which the exchange is declared."""
        return NO_HEADERS if self.alternate is None else {"alternate-exchange": self.alternate}


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue that refuses publishes instead of dropping messages.

    After `delivery_limit` returns a message goes to `dead_letter`, at least once; `UNLIMITED` is never reached.
    Messages that may be lost are dropped after `kept_ms`. With `last_only` each message replaces the one before it.
    """

    name: str
    delivery_limit: int = UNLIMITED
    dead_letter: str | None = None
    kept_ms: int | None = None
    last_only: bool = False

    @property
    def arguments(self) -> Mapping[str, Scalar]:
        """The arguments with which the queue is declared."""
        arguments: dict[str, Scalar] = {
            "x-queue-type": "quorum",
            "x-overflow": "drop-head" if self.last_only else "reject-publish",
            "x-delivery-limit": self.delivery_limit,
        }
        if self.last_only:
            arguments["x-max-length"] = 1
        if self.dead_letter is not None:
            arguments["x-dead-letter-exchange"] = self.dead_letter
            arguments["x-dead-letter-strategy"] = "at-least-once"
        if self.kept_ms is not None:
            arguments["x-message-ttl"] = self.kept_ms
        return arguments


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding: messages of `exchange` whose key matches go to `queue`."""

    queue: str
    exchange: str
    key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """All exchanges, queues and bindings, in the order in which they can be declared."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]


def standard(delivery_limit: int = DELIVERY_LIMIT) -> Topology:
    """The contract's topology. `delivery_limit` is how often a command may be returned before it is parked."""
    return Topology(
        exchanges=(
            Exchange(UNROUTED, "fanout"),
            Exchange(UNROUTED_NEWS, "fanout"),
            Exchange(DEAD, "fanout"),
            Exchange(COMMANDS, "topic", alternate=UNROUTED),
            Exchange(EVENTS, "topic", alternate=UNROUTED_NEWS),
        ),
        queues=(
            Queue(UNROUTED_COMMANDS_QUEUE),
            Queue(UNROUTED_NEWS),
            Queue(PARKED_QUEUE),
            Queue(MONEY_QUEUE, delivery_limit, DEAD),
            Queue(QUERY_QUEUE, delivery_limit, DEAD),
            Queue(LEDGER_QUEUE, delivery_limit, DEAD),
            Queue(CHECKPOINTS_QUEUE, kept_ms=CHECKPOINTS_KEPT_MS),
            Queue(MARK_QUEUE, last_only=True),
        ),
        bindings=(
            Binding(UNROUTED_COMMANDS_QUEUE, UNROUTED, ""),
            Binding(UNROUTED_NEWS, UNROUTED_NEWS, ""),
            Binding(PARKED_QUEUE, DEAD, ""),
            *(Binding(MONEY_QUEUE, COMMANDS, key) for key in MONEY_KEYS),
            *(Binding(QUERY_QUEUE, COMMANDS, key) for key in QUERY_KEYS),
            *(Binding(LEDGER_QUEUE, COMMANDS, key) for key in LEDGER_KEYS),
        ),
    )


OWN_QUEUES = frozenset(queue.name for queue in standard().queues)
"""The names of the gateway's own queues."""


async def apply(declarer: Declarer, topology: Topology) -> None:
    """Declare the missing exchanges, queues and bindings. Raises `UnsafeTopology`, which names everything that exists
    and differs."""
    problems: list[BrokerProblem] = []
    for exchange in topology.exchanges:
        await _fine(problems, "exchange", exchange.name, _declared(declarer, exchange))
    for queue in topology.queues:
        await _fine(problems, "queue", queue.name, _declared(declarer, queue))
    if not problems:
        for binding in topology.bindings:
            bound = declarer.bind(binding.queue, binding.exchange, binding.key)
            await _fine(problems, "queue", binding.queue, bound)
    if problems:
        raise UnsafeTopology(problems)


async def verify(declarer: Declarer, topology: Topology) -> None:
    """Check the topology without creating anything. Raises `UnsafeTopology`, which names everything missing or
    different.

    Existing objects are declared again with the wanted arguments, which the broker compares. Bindings cannot be checked
    this way; a missing one shows in `bankgw.unrouted.commands`.
    """
    problems: list[BrokerProblem] = []
    for exchange in topology.exchanges:
        if await _fine(problems, "exchange", exchange.name, declarer.exchange_exists(exchange.name)):
            await _fine(problems, "exchange", exchange.name, _declared(declarer, exchange))
    for queue in topology.queues:
        if await _fine(problems, "queue", queue.name, declarer.queue_exists(queue.name)):
            await _fine(problems, "queue", queue.name, _declared(declarer, queue))
    if problems:
        raise UnsafeTopology(problems)


Reports = Callable[[], Awaitable[Sequence[QueueReport]]]


def preparation(topology: Topology, mode: Literal["apply", "verify"], reports: Reports | None = None) -> Prepare:
    """The function that `pika_amqp(prepare=…)` runs on each new connection, before consuming or publishing.

    With `reports` (`policies.management_reports`) the policies in force are checked too; if they cannot be read, that
    is a problem like any other.
    """
    check = {"apply": apply, "verify": verify}[mode]

    async def prepare(declarer: Declarer) -> None:
        _new_enough(declarer)
        await check(declarer, topology)
        if reports is not None:
            wanted = {queue.name: queue.arguments for queue in topology.queues}
            problems = judge(wanted, await reports())
            if problems:
                raise UnsafeTopology(problems)

    return prepare


def _declared(declarer: Declarer, thing: Exchange | Queue) -> Awaitable[None]:
    if isinstance(thing, Exchange):
        return declarer.exchange(thing.name, thing.kind, thing.arguments)
    return _queue(declarer, thing)


async def _queue(declarer: Declarer, queue: Queue) -> None:
    try:
        await declarer.queue(queue.name, queue.arguments)
    except BrokerRefused as refused:
        # Declared by an older gateway on RabbitMQ 4, where -1 means no limit. Compare the other arguments.
        found = _MISMATCH.search(refused.text)
        older = found is not None and found["what"] == "x-delivery-limit" and _plain(found["found"]) == "-1"
        if not older or queue.delivery_limit != UNLIMITED or declarer.version < (4,):
            raise
        await declarer.queue(queue.name, {**queue.arguments, "x-delivery-limit": -1})


def _new_enough(declarer: Declarer) -> None:
    if declarer.version < OLDEST_BROKER:
        found = ".".join(map(str, declarer.version)) or "of an unknown version"
        raise UnsafeTopology(
            [
                BrokerProblem(
                    f"the broker is RabbitMQ {found}: it may lose a command that it redelivered too often",
                    f"use RabbitMQ {'.'.join(map(str, OLDEST_BROKER))} or newer",
                )
            ]
        )


async def _fine(problems: list[BrokerProblem], kind: str, name: str, asked: Awaitable[object]) -> bool:
    try:
        await asked
    except BrokerRefused as refused:
        problems.append(_problem(kind, name, refused))
        return False
    return True


def _problem(kind: str, name: str, refused: BrokerRefused) -> BrokerProblem:
    mismatch = _MISMATCH.search(refused.text)
    if mismatch:
        return BrokerProblem(
            f"{kind} {name}: {mismatch['what']} is {_plain(mismatch['found'])}, wanted {_plain(mismatch['wanted'])}",
            _REMEDY.format(kind=kind),
        )
    if refused.code == _NOT_FOUND:
        return BrokerProblem(
            f"{kind} {name} does not exist",
            'import conf/rabbitmq/definitions.json, or let the gateway do it (topology = "declare")',
        )
    if refused.code == _ACCESS_REFUSED:
        return BrokerProblem(
            f"{kind} {name} may not be declared or compared: {refused.text}",
            "give the gateway's broker user configure, write and read rights on ^bankgw\\.",
        )
    return BrokerProblem(f"{kind} {name}: {refused}", "see the broker's log")


def _plain(value: str) -> str:
    """The bare value in the broker's text: `the value 'x' of type 'longstr'` becomes `x`."""
    quoted = re.match(r"(?:the value )?'(?P<value>[^']*)'", value)
    return quoted["value"] if quoted else value
