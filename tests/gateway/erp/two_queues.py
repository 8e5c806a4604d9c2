"""The two queues that tests of the broker's connection publish to and consume from."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults

from gateway.erp import policies
from gateway.erp.amqp_types import Declarer, PublishResult
from gateway.kernel.deliveries import Scalar

QUEUE = "bankgw.test"


OTHER = "bankgw.test.other"


SAFE: dict[str, Scalar] = {"x-queue-type": "quorum", "x-delivery-limit": policies.UNLIMITED}


async def two_queues(declarer: Declarer) -> None:
    """The topology of most tests of the connection."""
    await declarer.queue(QUEUE, SAFE)
    await declarer.queue(OTHER, SAFE)


async def verdicts(sent: list[Deferred[PublishResult]]) -> list[PublishResult]:
    """The verdicts of all publishes, in order."""
    return list(await gatherResults(sent))
