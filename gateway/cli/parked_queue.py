"""Reads queue bankgw.parked without removing anything: messages are received and never acknowledged."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from twisted.internet.task import deferLater

from gateway.cli import broker_client
from gateway.cli.broker_client import BrokerSilent
from gateway.erp.topology import PARKED_QUEUE
from gateway.kernel.deliveries import Delivery
from gateway.payments.act_answers.order_view import Masking
from gateway.settings import Settings

__all__ = ["BrokerSilent", "ParkedCommand", "browse"]

QUIET_S = 0.5
LIMIT_S = 30.0
_MOST = 2000


@dataclass(frozen=True, slots=True)
class ParkedCommand:
    """A command that the gateway refused as unreadable or hostile, or that came back too often."""

    message_id: str
    delivery: Delivery = field(repr=False)

    def shown(self, *, body: bool = False, clear: bool = False) -> dict[str, Any]:
        """The message as `parked list` shows it, or with its body."""
        said, headers = self.delivery.properties, self.delivery.properties.headers
        try:
            at = None if said.timestamp is None else datetime.fromtimestamp(said.timestamp, UTC).isoformat()
        except (ValueError, OverflowError, OSError):
            at = None  # a sender's clock beyond all calendars
        row: dict[str, Any] = {
            "from": "queue",
            "message_id": self.message_id,
            "written_at": at,
            "event": said.type,
            "routing_key": self.delivery.routing_key,
            "refused": headers.get("refused") or (None if self.delivery.cut is None else "too_large"),
            "sender_user": headers.get("original_user"),
        }
        if body:
            row["headers"] = {name: str(value) for name, value in headers.items()}
            row["body"] = Masking((), (), clear).octets(self.delivery.body)
        return row


def browse(reactor: Any, settings: Settings, limit: int) -> list[ParkedCommand]:
    """The first messages of the queue. Raises BrokerSilent. Runs the reactor: once per process."""
    amqp = broker_client.own_client(reactor, settings)
    found: list[ParkedCommand] = []

    def collect(delivery: Delivery) -> None:
        key = delivery.properties.message_id or f"tag-{delivery.tag}"
        found.append(ParkedCommand(key, delivery))

    async def browse_queue() -> list[ParkedCommand]:
        # Unacknowledged messages go back to the queue, in their order, when the connection ends.
        amqp.consume(PARKED_QUEUE, min(limit, _MOST), collect)
        try:
            await broker_client.up(amqp)
            known = -1
            while len(found) > known and len(found) < limit:
                known = len(found)
                await deferLater(reactor, QUIET_S, _nothing)
            if not amqp.up:
                raise BrokerSilent("the connection broke while the queue was read: the list is incomplete")
        finally:
            await amqp.close(2.0)
        return found[:limit]

    try:
        return broker_client.visit(reactor, browse_queue, LIMIT_S)
    except OSError as error:
        raise BrokerSilent(f"the broker's password cannot be read: {error}") from None


def _nothing() -> None:
    return None
