"""Reading and judging policies. A server of ours plays the management API with RabbitMQ's documented answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from gateway.erp.amqp_types import UnsafeTopology
from gateway.erp.policies import UNLIMITED, QueueReport, effective, from_json, judge, management_reports
from gateway.erp.topology import MARK_QUEUE, preparation, standard
from gateway.kernel.deliveries import MONEY_QUEUE
from tests.gateway.erp.rabbit import running_reactor

WANTED = {MONEY_QUEUE: standard().queues[3].arguments}


def report(policy: dict[str, Any], **changed: Any) -> QueueReport:
    arguments = {**WANTED[MONEY_QUEUE], **changed}
    return QueueReport(MONEY_QUEUE, arguments, policy, ("broad",) if policy else ())


def test_safe_is_silent() -> None:
    assert judge(WANTED, [report({})]) == []
    assert judge(WANTED, [report({"delivery-limit": 50, "overflow": "reject-publish"})]) == []
    assert judge(WANTED, [report({"dead-letter-exchange": "elsewhere"})]) == [], "the argument wins"


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"delivery-limit": 3}, "delivery-limit in force is 3 (policy broad), wanted 20"),
        ({"overflow": "drop-head"}, "overflow in force is drop-head (policy broad), wanted reject-publish"),
        ({"message-ttl": 5}, "message-ttl in force is 5 (policy broad), which would take orders out"),
        ({"expires": 5}, "expires in force is 5 (policy broad), which would delete the queue"),
        ({"max-length": 5}, "max-length in force is 5"),
        ({"max-length-bytes": 5}, "max-length-bytes in force is 5"),
    ],
)
def test_each_danger_is_named(policy: dict[str, Any], says: str) -> None:
    (problem,) = judge(WANTED, [report(policy)])
    assert says in problem.what
    assert problem.what.startswith(f"queue {MONEY_QUEUE}: ")


def test_a_missing_queue_and_a_missing_argument_are_named() -> None:
    assert "does not exist" in judge(WANTED, [])[0].what
    (problem,) = judge(WANTED, [report({}, **{"x-dead-letter-exchange": None})])
    assert "dead-letter-exchange in force is None, wanted bankgw.dead" in problem.what


def test_the_smaller_limit_holds_and_minus_one_is_none() -> None:
    assert effective({"x-delivery-limit": -1}, {"delivery-limit": 7})["delivery-limit"] == 7
    assert effective({"x-delivery-limit": 20}, {"delivery-limit": -1})["delivery-limit"] == 20
    assert effective({"x-message-ttl": 9}, {"message-ttl": 7})["message-ttl"] == 7


def test_tables_are_read_as_the_api_and_as_rabbitmqctl_write_them() -> None:
    (found,) = from_json([{"name": "q", "arguments": [], "effective_policy_definition": [], "policy": ""}])
    assert found == QueueReport("q", {}, {}, ())
    (found,) = from_json(
        [
            {
                "name": "q",
                "arguments": {"x-overflow": "drop-head"},
                "operator_policy": "op",
                "effective_policy_definition": {"expires": 5},
            }
        ]
    )
    assert found == QueueReport("q", {"x-overflow": "drop-head"}, {"expires": 5}, ("op",))
    (found,) = from_json(
        [
            {
                "name": "q",
                "arguments": [["x-overflow", "longstr", "drop-head"]],
                "policy": "broad",
                "effective_policy_definition": [["expires", 5]],
            }
        ]
    )
    assert found == QueueReport("q", {"x-overflow": "drop-head"}, {"expires": 5}, ("broad",))


class Management(Resource):
    """`GET /api/queues/<vhost>` as RabbitMQ documents it."""

    isLeaf = True

    def __init__(self, rows: list[dict[str, Any]] | None, code: int = 200) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows = rows
        self.code = code
        self.asked: list[tuple[bytes, bytes, bytes]] = []

    def render_GET(self, request: Request) -> bytes | int:  # noqa: N802 - the name is Twisted's
        self.asked.append((request.uri, request.getUser(), request.getPassword()))
        if self.rows is None:
            return NOT_DONE_YET
        request.setResponseCode(self.code)
        return json.dumps(self.rows).encode()


class Played:
    """The API on a port of its own."""

    def __init__(self, resource: Management) -> None:
        self.reactor = running_reactor()
        self.port = self.reactor.listenTCP(0, Site(resource), interface="127.0.0.1")
        self.url = f"http://us%40er:p%2Fw@127.0.0.1:{self.port.getHost().port}"

    def close(self) -> Deferred[Any]:
        stopped: Deferred[Any] = self.port.stopListening()
        return stopped


class Nothing:
    """A declarer that accepts everything."""

    version = (4, 0, 5)

    def __getattr__(self, name: str) -> Any:
        async def fine(*_args: object) -> None:
            pass

        return fine


def test_the_word_of_older_gateways_for_no_limit_is_as_good() -> None:
    wanted = {"q": {"x-delivery-limit": UNLIMITED}}
    assert judge(wanted, [QueueReport("q", {"x-delivery-limit": -1}, {})]) == []
    assert judge(wanted, [QueueReport("q", {"x-delivery-limit": UNLIMITED}, {})]) == []
    (problem,) = judge(wanted, [QueueReport("q", {"x-delivery-limit": -1}, {"delivery-limit": 7})])
    assert "delivery-limit in force is 7" in problem.what


async def test_policies_are_read_from_the_management_api() -> None:
    rows: list[dict[str, Any]] = [
        {
            "name": queue.name,
            "arguments": dict(queue.arguments),
            "policy": "bankgw",
            "operator_policy": None,
            "effective_policy_definition": {"overflow": "drop-head" if queue.name == MARK_QUEUE else "reject-publish"},
        }
        for queue in standard().queues
    ]
    resource = Management(rows)
    played = Played(resource)
    reports = management_reports(played.reactor, played.url, "bank/gw")
    prepare = preparation(standard(), "verify", reports)
    await prepare(Nothing())
    assert resource.asked == [(b"/api/queues/bank%2Fgw", b"us@er", b"p/w")]
    rows[3]["effective_policy_definition"] = {"message-ttl": 5}
    with pytest.raises(UnsafeTopology, match="message-ttl in force is 5"):
        await prepare(Nothing())
    await played.close()


async def test_a_management_api_that_refuses_or_is_away_is_a_problem_without_the_password() -> None:
    played = Played(Management([], code=401))
    reports = management_reports(played.reactor, played.url, "/")
    with pytest.raises(UnsafeTopology, match="HTTP status 401") as caught:
        await reports()
    assert "p/w" not in str(caught.value)
    assert "p%2Fw" not in str(caught.value)
    await played.close()
    with pytest.raises(UnsafeTopology, match="management_url"):
        await reports()
