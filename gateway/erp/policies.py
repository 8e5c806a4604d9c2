"""The broker policies in force on our queues, and whether they could lose orders.

AMQP does not show policies. They come from the management API, or from
`rabbitmqctl list_queues --formatter json name arguments effective_policy_definition policy operator_policy`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from gateway.erp.amqp_types import BrokerProblem, UnsafeTopology

UNLIMITED = 1_000_000_000_000
"""A delivery limit that no message reaches, on every RabbitMQ. It is exact in JSON."""
_ANSWER_IN_S = 10.0
_NUMERIC = ("delivery-limit", "message-ttl", "expires", "max-length", "max-length-bytes")
_FORBIDDEN = {
    "message-ttl": "would take orders out of the queue unread",
    "expires": "would delete the queue, with the orders in it, while no gateway runs",
    "max-length-bytes": "is not wanted: the disk alarm is the limit",
    "max-length": "is not wanted: the disk alarm is the limit",
}


@dataclass(frozen=True, slots=True)
class QueueReport:
    """One queue as the broker describes it. Policy keys are without `x-`."""

    name: str
    arguments: Mapping[str, Any]
    policy: Mapping[str, Any]
    policy_names: tuple[str, ...] = ()


def from_json(rows: Sequence[Mapping[str, Any]]) -> list[QueueReport]:
    """Parse the JSON of the management API (`GET /api/queues/<vhost>`) or of rabbitmqctl."""
    return [
        QueueReport(
            row["name"],
            _table(row.get("arguments")),
            _table(row.get("effective_policy_definition")),
            tuple(name for key in ("policy", "operator_policy") if (name := row.get(key))),
        )
        for row in rows
    ]


def effective(arguments: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any]:
    """The effective values by RabbitMQ's rules: the smaller limit, the argument's dead-lettering, the policy's
    overflow.
    """
    merged: dict[str, Any] = dict(policy)
    for key, value in arguments.items():
        name = key.removeprefix("x-")
        if name not in merged:
            merged[name] = value
        elif name in _NUMERIC:
            merged[name] = min((value, merged[name]), key=_size)
        elif name != "overflow":
            merged[name] = value
    return merged


def judge(wanted: Mapping[str, Mapping[str, object]], reports: Sequence[QueueReport]) -> list[BrokerProblem]:
    """The problems of all effective values that would lose, drop or hide a message. `wanted` maps queue names to their
    arguments."""
    found = {report.name: report for report in reports}
    problems: list[BrokerProblem] = []
    for name, arguments in wanted.items():
        report = found.get(name)
        if report is None:
            problems.append(BrokerProblem(f"queue {name} does not exist", "import conf/rabbitmq/definitions.json"))
            continue
        held = effective(report.arguments, report.policy)
        blame = f" (policy {', '.join(report.policy_names)})" if report.policy_names else ""
        for key, value in arguments.items():
            what = key.removeprefix("x-")
            if not _fits(held.get(what), value):
                wrong = f"queue {name}: {what} in force is {held.get(what)}{blame}, wanted {value}"
                problems.append(BrokerProblem(wrong, _remedy(name)))
        problems.extend(
            BrokerProblem(f"queue {name}: {what} in force is {held[what]}{blame}, which {why}", _remedy(name))
            for what, why in _FORBIDDEN.items()
            if what in held and f"x-{what}" not in arguments
        )
    return problems


def management_reports(reactor: Any, url: str, vhost: str) -> Callable[[], Awaitable[list[QueueReport]]]:
    """Queues as the management API at `url` reports them (`http[s]://user:password@host:15672`).

    Raises `UnsafeTopology` if it refuses or does not answer in 10 s, because the check was asked for.
    """
    # Imported only where the API is asked, because Twisted's HTTP client takes a megabyte of memory.
    from twisted.web.client import Agent, ResponseDone, ResponseFailed

    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    path = f"{parts.path.rstrip('/')}/api/queues/{quote(vhost, safe='')}"
    where: str = urlunsplit((parts.scheme, host, path, "", ""))
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    headers = Headers({b"authorization": [b"Basic " + base64.b64encode(login.encode())]})

    async def ask() -> list[QueueReport]:
        agent: Any = Agent(reactor, connectTimeout=_ANSWER_IN_S)
        response = await agent.request(b"GET", where.encode(), headers)
        body = _Body(ResponseDone)
        response.deliverBody(body)
        octets = await body.whole
        if response.code != 200:
            raise ValueError(f"HTTP status {response.code}")
        return from_json(json.loads(octets))

    async def reports() -> list[QueueReport]:
        try:
            return await Deferred.fromCoroutine(ask()).addTimeout(_ANSWER_IN_S, reactor)
        except (OSError, ValueError, KeyError, TypeError, TimeoutError, ConnectError, ResponseFailed) as problem:
            raise UnsafeTopology(
                [
                    BrokerProblem(
                        f"the policies in force cannot be read from {where}: {type(problem).__name__}: {problem}",
                        "correct management_url (its user needs the tag `monitoring`), or remove it",
                    )
                ]
            ) from problem

    return reports


class _Body(Protocol):
    """Collects an answer's body, which ends with the error `done`.

    Twisted's own `readBody` warns by mistake when all has arrived at once.
    """

    def __init__(self, done: type[Exception]) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._done = done
        self._parts: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if isinstance(reason.value, self._done):
            self.whole.callback(b"".join(self._parts))
        else:
            self.whole.errback(ConnectionError(f"the answer broke off: {reason.value}"))


def _table(value: Any) -> Mapping[str, Any]:
    """The pairs of a table. The management API writes an object (an empty list for none), rabbitmqctl a list of key[,
    type], value.
    """
    if isinstance(value, Mapping):
        return value
    return {row[0]: row[-1] for row in value or ()}


def _fits(held: object, wanted: object) -> bool:
    # On RabbitMQ 4, older gateways declared -1, which means no limit.
    return held == wanted or (wanted == UNLIMITED and held == -1)


def _size(limit: int) -> float:
    return float("inf") if limit < 0 else limit


def _remedy(name: str) -> str:
    return (
        f"take {name} out of that policy's pattern, or import conf/rabbitmq/definitions.json, "
        "whose policy `bankgw` has priority 1000; an operator policy must be changed itself"
    )
