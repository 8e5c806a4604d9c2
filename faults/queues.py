"""Deletes queues by hand, and checks whether they are declared and consumed again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pika
from pika.exceptions import AMQPError


def deleter(broker: Mapping[str, Any], role: str, *, full_too: bool = False) -> Callable[[str], bool]:
    """Make a function that deletes an empty queue and says whether it did. The function blocks.

    A queue that holds something is left alone unless `full_too`: what an ERP throws away unread is no loss of the
    gateway's. (RabbitMQ deletes quorum queues only without looking.)
    """
    return _doer(broker, role, lambda channel, queue: channel.queue_delete(queue, if_empty=not full_too))


def consumed(broker: Mapping[str, Any], role: str) -> Callable[[str], bool]:
    """Make a function that says whether a queue exists and has a consumer. The function blocks."""
    return _doer(broker, role, lambda channel, queue: channel.queue_declare(queue, passive=True).method.consumer_count)


def _doer(broker: Mapping[str, Any], role: str, what: Callable[[Any, str], Any]) -> Callable[[str], bool]:
    login = broker["users"][role]
    address = pika.ConnectionParameters(
        broker["host"],
        broker["port"],
        broker["vhost"],
        pika.PlainCredentials(login["user"], login["password"]),
        blocked_connection_timeout=10,
        socket_timeout=10,
    )

    def do(queue: str) -> bool:
        try:
            connection = pika.BlockingConnection(address)
            try:
                said = what(connection.channel(), queue)
            finally:
                if connection.is_open:
                    connection.close()
        except (AMQPError, OSError):
            return False
        return bool(said)

    return do
